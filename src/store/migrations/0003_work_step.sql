-- IHE LAW: the work order steps that devices were given, by the number that stands for a step for ever.
CREATE TABLE work_step (
  id          INTEGER PRIMARY KEY,
  line        TEXT NOT NULL,
  specimen    INTEGER NOT NULL REFERENCES specimen(id),
  code        TEXT NOT NULL,              -- the device's
  number      TEXT NOT NULL UNIQUE,       -- OBR-2
  state       TEXT NOT NULL,              -- told, accepted, refused, cancelled
  reason      TEXT NOT NULL,              -- what the device said of it
  told_at     INTEGER NOT NULL,
  answered_at INTEGER
);
CREATE INDEX work_step_tube ON work_step(specimen, line);
