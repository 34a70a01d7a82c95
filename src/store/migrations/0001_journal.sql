-- What came in, to the byte, before anything was promised to the peer that sent it.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Whole messages. AUTOINCREMENT: an id names a message for ever, also after old ones are deleted.
-- frame_index and part name the frame that ended the message, where it came in frames: the same
-- frame sent again after a late acknowledgement is the same row.
CREATE TABLE message (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    line        TEXT    NOT NULL,
    connection  INTEGER NOT NULL,
    session     INTEGER NOT NULL,
    frame_index INTEGER,
    part        INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    is_complete INTEGER NOT NULL,
    raw         BLOB    NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'unparsed',
    attempts    INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT
);
CREATE INDEX message_unparsed ON message (line, id) WHERE state = 'unparsed';
CREATE UNIQUE INDEX message_frame ON message (line, connection, session, frame_index, part)
    WHERE frame_index IS NOT NULL;

-- Frames whose message has not ended yet.
CREATE TABLE frame (
    line        TEXT    NOT NULL,
    connection  INTEGER NOT NULL,
    session     INTEGER NOT NULL,
    frame_index INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    text        BLOB    NOT NULL,
    PRIMARY KEY (line, connection, session, frame_index)
) WITHOUT ROWID;
