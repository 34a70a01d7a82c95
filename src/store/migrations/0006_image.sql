-- Pictures beside results: histograms and scattergrams. The bytes stand once, however often and by
-- whomever they are sent.
CREATE TABLE image_content (
  id         INTEGER PRIMARY KEY,
  sha256     TEXT    NOT NULL UNIQUE,
  media_type TEXT    NOT NULL,            -- by the bytes; application/octet-stream: no picture that is known
  size       INTEGER NOT NULL,
  bytes      BLOB    NOT NULL,
  at         INTEGER NOT NULL
);

-- What a message says: here is a picture of this tube, or it is in the file of this name.
CREATE TABLE image (
  id          INTEGER PRIMARY KEY,
  message     INTEGER NOT NULL,
  span_start  INTEGER NOT NULL,
  span_end    INTEGER NOT NULL,
  line        TEXT    NOT NULL,
  kind        TEXT    NOT NULL,           -- patient, control, calibration
  barcode     TEXT    NOT NULL,
  code        TEXT    NOT NULL,           -- what the device calls it
  declared    TEXT    NOT NULL,           -- the media type that the device says
  file        TEXT    NOT NULL,           -- empty where the picture came in the message
  content     INTEGER REFERENCES image_content(id),
  fault       TEXT    NOT NULL,           -- why there is no picture; empty where there is, or it may come
  received_at INTEGER NOT NULL
);
CREATE INDEX image_message ON image(message);
CREATE INDEX image_barcode ON image(barcode, received_at);
CREATE INDEX image_awaited ON image(received_at) WHERE content IS NULL AND file <> '';

-- Files that were taken from the folder of a line. Each is linked to one tube, so that a name that a
-- device gives again does not show one patient's picture to another.
CREATE TABLE image_file (
  line        TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  content     INTEGER NOT NULL REFERENCES image_content(id),
  size        INTEGER NOT NULL,
  modified_at INTEGER NOT NULL,
  taken_at    INTEGER NOT NULL,
  is_linked   INTEGER NOT NULL,
  PRIMARY KEY (line, name, content)
) WITHOUT ROWID;
CREATE INDEX image_file_taken ON image_file(line, taken_at);

-- Which message to a host carries which picture.
CREATE TABLE queue_image (
  queue INTEGER NOT NULL REFERENCES queue(id),
  image INTEGER NOT NULL REFERENCES image(id),
  PRIMARY KEY (queue, image)
) WITHOUT ROWID;
CREATE INDEX queue_image_image ON queue_image(image);
