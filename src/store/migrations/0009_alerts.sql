-- Alerts: one open row for each cause and what it is about; and how each word of them left.

CREATE TABLE alert (
  id              INTEGER PRIMARY KEY,
  cause           TEXT    NOT NULL,
  subject         TEXT    NOT NULL,       -- a line, a destination, a channel; empty: the laboratory
  level           INTEGER NOT NULL,       -- in the unit of the cause, as last measured
  edge            INTEGER NOT NULL,       -- the limit that it went over
  raised_at       INTEGER NOT NULL,
  cleared_at      INTEGER,
  acknowledged_at INTEGER,
  acknowledged_by TEXT    NOT NULL
);
CREATE UNIQUE INDEX alert_open ON alert(cause, subject) WHERE cleared_at IS NULL;
CREATE INDEX alert_cleared ON alert(cleared_at) WHERE cleared_at IS NOT NULL;

CREATE TABLE alert_delivery (
  id         INTEGER PRIMARY KEY,
  alert      INTEGER NOT NULL REFERENCES alert(id),
  channel    TEXT    NOT NULL,            -- email, webhook
  event      TEXT    NOT NULL,            -- raised, cleared
  state      TEXT    NOT NULL,            -- waiting, sent, given-up
  attempts   INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  reason     TEXT    NOT NULL,            -- of the last try that failed
  created_at INTEGER NOT NULL,
  closed_at  INTEGER
);
CREATE INDEX alert_delivery_waiting ON alert_delivery(channel, due_at) WHERE state = 'waiting';
