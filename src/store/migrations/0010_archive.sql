-- What was archived: one row for each file, and which tube is in which.

CREATE TABLE archive (
  id           INTEGER PRIMARY KEY,
  file         TEXT    NOT NULL UNIQUE,
  kind         TEXT    NOT NULL,          -- tubes, audit
  sha256       TEXT    NOT NULL,          -- of the file
  older_than   INTEGER NOT NULL,          -- what is in it is older than this
  messages     INTEGER NOT NULL,          -- removed from the store once the file was read again
  results      INTEGER NOT NULL,
  deliveries   INTEGER NOT NULL,
  events       INTEGER NOT NULL,          -- rows of the audit
  first_result INTEGER,
  last_result  INTEGER,
  at           INTEGER NOT NULL
);

CREATE TABLE archive_tube (
  barcode TEXT    NOT NULL,
  archive INTEGER NOT NULL REFERENCES archive(id),
  PRIMARY KEY (barcode, archive)
) WITHOUT ROWID;

-- The oldest rows of the audit go once a file holds them: up to the one that meta names, from which the
-- chain goes on.
DROP TRIGGER audit_removal;
CREATE TRIGGER audit_removal BEFORE DELETE ON audit
WHEN OLD.id > coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'audit_archived'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- What refers to a row that leaves is found without reading the table.
CREATE INDEX queue_behind ON queue(behind) WHERE behind IS NOT NULL;
CREATE INDEX image_content_used ON image(content) WHERE content IS NOT NULL;
CREATE INDEX image_file_content ON image_file(content);
