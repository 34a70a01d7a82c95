-- Calls about critical values: one for each result version beyond a critical limit, until somebody
-- was told and has read it back; and one where what was told as critical is so no longer.

CREATE TABLE critical_call (
  id        INTEGER PRIMARY KEY,
  result    INTEGER NOT NULL REFERENCES result(id),
  kind      TEXT    NOT NULL,             -- critical, corrected
  state     TEXT    NOT NULL,             -- open, told, replaced, ended
  test      TEXT    NOT NULL,             -- of the catalogue, else the device's code
  value     TEXT    NOT NULL,             -- as sent, when the call was opened
  unit      TEXT    NOT NULL,
  side      TEXT    NOT NULL,             -- low, high
  beyond    TEXT    NOT NULL,             -- the limit, or the device's flag
  follows   INTEGER REFERENCES critical_call(id), -- of the version before
  opened_at INTEGER NOT NULL,
  closed_at INTEGER,
  closed_by TEXT    NOT NULL,
  UNIQUE (result, kind)
);
CREATE INDEX critical_call_open ON critical_call(opened_at) WHERE state = 'open';
CREATE INDEX critical_call_follows ON critical_call(follows) WHERE follows IS NOT NULL;
CREATE INDEX critical_call_closed ON critical_call(closed_at) WHERE closed_at IS NOT NULL;

-- Every try to tell somebody, by whom, of whom, and what came of it.
CREATE TABLE call_attempt (
  id        INTEGER PRIMARY KEY,
  call      INTEGER NOT NULL REFERENCES critical_call(id),
  at        INTEGER NOT NULL,
  actor     TEXT    NOT NULL,
  outcome   TEXT    NOT NULL,             -- no-answer, busy, told
  told_to   TEXT    NOT NULL,             -- the name, or who was tried
  contact   TEXT    NOT NULL,             -- role or telephone
  read_back INTEGER NOT NULL
);
CREATE INDEX call_attempt_call ON call_attempt(call);
