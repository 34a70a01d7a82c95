-- Several nodes on one store: who they are, and which of them serves what.

-- One row for each run of a node. A run that is fenced writes nothing ever again.
CREATE TABLE node (
  run        text COLLATE "C" NOT NULL PRIMARY KEY,
  name       text COLLATE "C" NOT NULL,
  version    text COLLATE "C" NOT NULL,
  started_at bigint NOT NULL,                   -- by the server's clock, as all times here
  seen_at    bigint NOT NULL,
  fenced_at  bigint,
  why        text COLLATE "C" NOT NULL          -- why it was fenced
);
CREATE INDEX node_open ON node(seen_at) WHERE fenced_at IS NULL;

-- One row for each thing that one node serves at a time: a line, a host, an automation line.
CREATE TABLE lease (
  unit     text COLLATE "C" NOT NULL PRIMARY KEY,
  run      text COLLATE "C",                    -- nobody: free
  token    bigint NOT NULL,                     -- one more with every holder
  since    bigint NOT NULL,
  asked_by text COLLATE "C"                     -- the run that is to have it next
);
