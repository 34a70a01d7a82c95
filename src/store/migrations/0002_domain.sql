-- The laboratory's words: patients, specimens, orders, results, the queue both ways, the audit.
-- Instants are microseconds since 1970 UTC. Text of a sender is kept as decoded text beside the
-- journalled bytes. JSON columns are read by Labwire alone.

CREATE TABLE patient (
  id          INTEGER PRIMARY KEY,
  merged_into INTEGER REFERENCES patient(id),
  fields      TEXT NOT NULL,              -- PID fields as ordered, by number, standard delimiters
  birth       TEXT NOT NULL,              -- YYYYMMDD where known, else empty
  sex         TEXT NOT NULL,              -- M, F, O or empty
  updated_at  INTEGER NOT NULL
);
CREATE INDEX patient_merged ON patient(merged_into) WHERE merged_into IS NOT NULL;

-- Every identifier a patient ever had. Only the first of a message decides who it is.
CREATE TABLE patient_identifier (
  host       TEXT NOT NULL,
  identifier TEXT NOT NULL,
  authority  TEXT NOT NULL,
  is_key     INTEGER NOT NULL,
  patient    INTEGER NOT NULL REFERENCES patient(id),
  PRIMARY KEY (host, identifier, authority, patient)
) WITHOUT ROWID;
CREATE INDEX patient_identifier_patient ON patient_identifier(patient);

-- A tube. Barcodes come back after months: each patient's use of one is a generation.
CREATE TABLE specimen (
  id           INTEGER PRIMARY KEY,
  host         TEXT NOT NULL,
  barcode      TEXT NOT NULL,
  generation   INTEGER NOT NULL,
  patient      INTEGER NOT NULL REFERENCES patient(id),
  fields       TEXT NOT NULL,             -- SPM fields as ordered, by number
  collected_at INTEGER,
  ordered_at   INTEGER NOT NULL,          -- of its newest order
  station      TEXT NOT NULL DEFAULT '',  -- where it was sent from, as its order says
  received_at  INTEGER,                   -- first read by an automation line, by that line's clock
  received_on  TEXT NOT NULL DEFAULT '',  -- line:module that read it first
  UNIQUE (barcode, generation)
);
CREATE INDEX specimen_patient ON specimen(patient);
CREATE INDEX specimen_received ON specimen(received_at) WHERE received_at IS NOT NULL;

CREATE TABLE order_item (
  id         INTEGER PRIMARY KEY,
  host       TEXT NOT NULL,
  placer     TEXT NOT NULL,
  service    TEXT NOT NULL,
  specimen   INTEGER NOT NULL REFERENCES specimen(id),
  filler     TEXT NOT NULL,
  status     TEXT NOT NULL,
  priority   INTEGER NOT NULL,
  content    TEXT NOT NULL,               -- what came, as JSON
  message    INTEGER NOT NULL,            -- the journal row it came in
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (host, placer, service)
);
CREATE INDEX order_item_specimen ON order_item(specimen);
CREATE INDEX order_item_open ON order_item(created_at) WHERE status IN ('SC', 'A');

CREATE TABLE order_test (
  order_item INTEGER NOT NULL REFERENCES order_item(id),
  test       TEXT NOT NULL,
  position   INTEGER NOT NULL,
  PRIMARY KEY (order_item, test)
) WITHOUT ROWID;

-- Which instrument was told of which order, so that cancels and changes can follow it.
CREATE TABLE order_told (
  order_item INTEGER NOT NULL REFERENCES order_item(id),
  line       TEXT NOT NULL,
  tests      TEXT NOT NULL,               -- JSON list: what it has, or will by a message on the queue
  at         INTEGER NOT NULL,
  PRIMARY KEY (order_item, line)
) WITHOUT ROWID;

-- same_key is what makes a result the same result when it comes again; only the first has one. It
-- is looked for among the results of the barcode, which every other question about a tube needs too:
-- one index by barcode and time serves them all, and grows by neighbours.
CREATE TABLE result (
  id          INTEGER PRIMARY KEY,
  message     INTEGER NOT NULL,
  line        TEXT NOT NULL,
  kind        TEXT NOT NULL,              -- patient, control, calibration
  barcode     TEXT NOT NULL,
  specimen    INTEGER REFERENCES specimen(id), -- a tube of this barcode
  test        TEXT,
  state       TEXT NOT NULL,
  version     INTEGER NOT NULL,
  supersedes  INTEGER REFERENCES result(id),
  holds       TEXT NOT NULL,              -- JSON list, empty when nothing holds it
  detail      TEXT NOT NULL,              -- the observation as decoded, JSON
  same_key    TEXT,
  queue       INTEGER REFERENCES queue(id), -- the message that tells it to its host
  received_at INTEGER NOT NULL,
  decided_at  INTEGER
);
CREATE INDEX result_message ON result(message);
CREATE INDEX result_barcode ON result(barcode, received_at);
CREATE INDEX result_queue ON result(queue) WHERE queue IS NOT NULL;
CREATE INDEX result_control_line ON result(line, received_at) WHERE kind = 'control';
CREATE INDEX result_held ON result(received_at) WHERE state = 'held';
CREATE INDEX result_open ON result(received_at) WHERE state IN ('waiting', 'kept');
CREATE INDEX message_held ON message(id) WHERE state = 'held';

-- What results of blood transfusion said of their patients. The patient is the one of its time: merges
-- are followed when it is read, so that groups of two who became one can be told apart.
CREATE TABLE blood_group (
  result   INTEGER PRIMARY KEY REFERENCES result(id),
  patient  INTEGER NOT NULL REFERENCES patient(id),
  abo      TEXT NOT NULL,                 -- A, B, AB, O or empty
  rhd      TEXT NOT NULL,                 -- POS, NEG, WEAK, PARTIAL or empty
  antibody TEXT NOT NULL                  -- POS, INDETERMINATE or empty
);
CREATE INDEX blood_group_patient ON blood_group(patient);

-- Where lines read tubes, for a week: what stands at a position is the tube that was read there.
CREATE TABLE tube_read (
  line     TEXT NOT NULL,
  rack     TEXT NOT NULL,
  position TEXT NOT NULL,
  at       INTEGER NOT NULL,
  barcode  TEXT NOT NULL,
  PRIMARY KEY (line, rack, position, at, barcode)
) WITHOUT ROWID;

CREATE TABLE device_event (
  id       INTEGER PRIMARY KEY,
  message  INTEGER NOT NULL,
  line     TEXT NOT NULL,
  code     TEXT NOT NULL,
  text     TEXT NOT NULL,
  specimen TEXT NOT NULL,
  at       INTEGER NOT NULL
);
CREATE INDEX device_event_message ON device_event(message);

-- What an automation line told of tubes and modules, and what Labwire found and advised. message and
-- span say where it stands; of what Labwire says itself, message is the one that made it say so.
CREATE TABLE track_event (
  id          INTEGER PRIMARY KEY,
  message     INTEGER NOT NULL,
  span_start  INTEGER NOT NULL,
  span_end    INTEGER NOT NULL,
  line        TEXT NOT NULL,
  module      TEXT NOT NULL,              -- as the line's file calls it
  barcode     TEXT NOT NULL,              -- empty where it is about a module
  kind        TEXT NOT NULL,
  detail      TEXT NOT NULL,              -- JSON
  at          INTEGER NOT NULL,           -- by the clock of the line
  received_at INTEGER NOT NULL
);
CREATE INDEX track_event_barcode ON track_event(barcode, received_at) WHERE barcode <> '';
CREATE INDEX track_event_time ON track_event(line, received_at);

-- One row per message to be delivered: results to a host, orders and cancels to a device.
CREATE TABLE queue (
  id            INTEGER PRIMARY KEY,
  destination   TEXT NOT NULL,            -- host:<id> or line:<id>
  kind          TEXT NOT NULL,            -- result, order, cancel
  specimen      INTEGER NOT NULL REFERENCES specimen(id),
  priority      INTEGER NOT NULL,
  state         TEXT NOT NULL,
  attempts      INTEGER NOT NULL,
  due_at        INTEGER NOT NULL,
  lease_owner   TEXT,
  lease_until   INTEGER,
  control_id    TEXT UNIQUE,
  body          BLOB,                     -- rendered before the first try, never changed after
  reason        TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  tried_at      INTEGER,
  closed_at     INTEGER,
  closed_by     TEXT NOT NULL,
  answer        TEXT NOT NULL,
  behind        INTEGER REFERENCES queue(id) -- a set-aside message that must be decided about first
);
CREATE INDEX queue_open ON queue(destination, priority, id) WHERE state = 'waiting';
CREATE INDEX queue_due ON queue(destination, due_at) WHERE state = 'waiting';
CREATE INDEX queue_leased ON queue(id) WHERE state = 'leased';
CREATE INDEX queue_specimen ON queue(specimen, destination, id) WHERE state IN ('waiting', 'leased');
CREATE INDEX result_supersedes ON result(supersedes) WHERE supersedes IS NOT NULL;
CREATE INDEX queue_aside ON queue(id) WHERE state = 'set-aside';

-- Further messages that tell a result: each follows one that was tried and may not change. The first
-- stands in result.queue, because nearly every result is told once.
CREATE TABLE queue_result (
  queue  INTEGER NOT NULL REFERENCES queue(id),
  result INTEGER NOT NULL REFERENCES result(id),
  PRIMARY KEY (queue, result)
) WITHOUT ROWID;
CREATE INDEX queue_result_result ON queue_result(result);

-- What a device is told: the tests of an item to be measured, or not any more.
CREATE TABLE queue_order (
  queue      INTEGER NOT NULL REFERENCES queue(id),
  order_item INTEGER NOT NULL REFERENCES order_item(id),
  tests      TEXT NOT NULL,               -- JSON list
  PRIMARY KEY (queue, order_item)
) WITHOUT ROWID;

-- Messages of a host that were answered, so that the same one gets the same answer again.
CREATE TABLE answered (
  host       TEXT NOT NULL,
  sender     TEXT NOT NULL,
  control_id TEXT NOT NULL,
  digest     TEXT NOT NULL,
  message    INTEGER NOT NULL,
  reply      BLOB,
  at         INTEGER NOT NULL,
  PRIMARY KEY (host, sender, control_id, digest)
) WITHOUT ROWID;

CREATE TABLE audit (
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail  TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit(subject);

-- What people did about what waits: who, when, why, and how everything stood before, so that it can
-- be undone within seconds.
CREATE TABLE act (
  id        INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  actor     TEXT NOT NULL,
  kind      TEXT NOT NULL,
  subject   TEXT NOT NULL,                -- kind:id, as in the audit
  reason    TEXT NOT NULL,
  changes   TEXT NOT NULL,                -- JSON
  undone_at INTEGER
);
CREATE INDEX act_subject ON act(subject);

-- Codes and units that no file maps, as people mapped them; what lab.toml says goes before.
CREATE TABLE site_mapping (
  line  TEXT NOT NULL,
  code  TEXT NOT NULL,
  test  TEXT NOT NULL,
  actor TEXT NOT NULL,
  at    INTEGER NOT NULL,
  PRIMARY KEY (line, code)
) WITHOUT ROWID;

CREATE TABLE site_unit (
  line  TEXT NOT NULL,
  code  TEXT NOT NULL,
  sent  TEXT NOT NULL,
  ucum  TEXT NOT NULL,
  actor TEXT NOT NULL,
  at    INTEGER NOT NULL,
  PRIMARY KEY (line, code, sent)
) WITHOUT ROWID;
