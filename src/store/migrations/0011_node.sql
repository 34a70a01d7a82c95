-- Several nodes on one store: who they are, and which of them serves what.

-- One row for each run of a node. A run that is fenced writes nothing ever again.
CREATE TABLE node (
  run        TEXT NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  started_at INTEGER NOT NULL,  -- by the server's clock, as all times here
  seen_at    INTEGER NOT NULL,
  fenced_at  INTEGER,
  why        TEXT NOT NULL  -- why it was fenced
);
CREATE INDEX node_open ON node(seen_at) WHERE fenced_at IS NULL;

-- One row for each thing that one node serves at a time: a line, a host, an automation line.
CREATE TABLE lease (
  unit     TEXT NOT NULL PRIMARY KEY,
  run      TEXT,  -- nobody: free
  token    INTEGER NOT NULL,  -- one more with every holder
  since    INTEGER NOT NULL,
  asked_by TEXT  -- the run that is to have it next
);
