-- People who use the console, their sessions, and what the console looks things up by.

CREATE TABLE person (
  id          INTEGER PRIMARY KEY,
  login       TEXT    NOT NULL UNIQUE,    -- lower case
  name        TEXT    NOT NULL,
  role        TEXT    NOT NULL,           -- viewer, technician, verifier, administrator
  password    TEXT    NOT NULL,           -- argon2id with its parameters and salt
  must_change INTEGER NOT NULL,           -- 1: the password was given by somebody else
  is_disabled INTEGER NOT NULL,
  language    TEXT    NOT NULL,           -- vi, en; empty: the laboratory's
  theme       TEXT    NOT NULL,           -- light, dark; empty: the screen's
  created_at  INTEGER NOT NULL,
  changed_at  INTEGER NOT NULL
);

-- token is the SHA-256 of what the cookie says: a copy of this table opens no session.
CREATE TABLE session (
  token      TEXT    NOT NULL PRIMARY KEY,
  person     INTEGER NOT NULL REFERENCES person(id),
  created_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  address    TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_person ON session(person);
CREATE INDEX session_seen ON session(seen_at);

-- Every word of a patient's name without case and diacritics, to find one by.
CREATE TABLE patient_word (
  word    TEXT    NOT NULL,
  patient INTEGER NOT NULL REFERENCES patient(id),
  PRIMARY KEY (word, patient)
) WITHOUT ROWID;
CREATE INDEX patient_word_patient ON patient_word(patient);

CREATE INDEX result_waiting ON result(received_at) WHERE state = 'waiting';
CREATE INDEX result_control ON result(received_at) WHERE kind <> 'patient';

-- What people did, among what lines and hosts did.
CREATE INDEX audit_people ON audit(id) WHERE substr(actor, 1, 5) NOT IN ('line:', 'host:');
