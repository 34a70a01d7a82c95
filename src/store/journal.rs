//! The journal: every frame and message to the byte, on disk before its acknowledgement.
//!
//! Frames of a message that has not ended yet stand in `frame`. The frame that ends it writes the
//! whole message and deletes its frames; what that frame holds of the next message stays under
//! its own number. A message is `unparsed` until the transaction that stores its results marks it.

mod before;
mod left;
mod message;
mod meta;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use labwire_protocols::wire::{Commit, Received};

use super::{
    db::{Db, Insert, Param, Row, Sql},
    error::StoreError,
    session::Session,
};

use self::meta::{META, SET_META};
pub use self::{
    before::{cut_before, opening, remember_opening},
    left::{last_connection, orphans, orphans_of},
    message::{Message, MessageState},
    meta::{meta, set_meta},
};

/// Something a line asks to be made durable.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The line's id.
    pub line: String,
    /// Unique for each connection of this line, such as the UTC microseconds when it was opened.
    pub connection: u64,
    /// When it was received, UTC microseconds.
    pub at: i64,
    /// What to keep.
    pub commit: Commit,
}

impl JournalEntry {
    /// How much this entry writes, without its row's other columns.
    pub(super) fn bytes(&self) -> usize {
        match &self.commit {
            Commit::Message(message) => message.bytes.len(),
            Commit::Frame { text, messages, .. } => {
                let messages = messages.iter().map(|message| message.bytes.len());
                text.len() + messages.sum::<usize>()
            }
        }
    }
}

/// What became durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journalled {
    /// The ids of the messages that ended, oldest first; none for a frame in the middle of one.
    pub messages: Vec<i64>,
}

/// Every constant statement of this module.
pub const ALL: &[&Sql] = &[
    &left::LAST_CONNECTION,
    &DELETE_SESSIONS,
    &DELETE_UP_TO,
    &DELETE_SESSION,
    &ENDED_BY,
    &FRAME,
    &FRAMES,
    &KEPT,
    &SESSIONS,
    &MESSAGE,
    &UNPARSED,
    &UNPARSED_SIZES,
    &UNPARSED_AT,
    &UNPARSED_LINES,
    &BEGIN_ATTEMPTS,
    &LAST,
    &MARK,
    &MARK_PARSED,
    &UNPARSED_OF,
    &before::BEFORE,
    &before::OPENING,
    &OUTCOME,
    &META,
    &WHOLE,
    &FRAME_ALONE,
    &SET_META,
];

const INSERT_MESSAGE: Insert = Insert {
    into: "INSERT INTO message \
           (line, connection, session, frame_index, part, received_at, is_complete, raw)",
    columns: 8,
    tail: "RETURNING id",
    types: &[],
};

/// The same for one message and the frames of its session: the usual case of a quiet line, whose
/// peer waits for every crossing to the database and back.
const WHOLE: Sql = Sql {
    sqlite: "INSERT INTO message \
             (line, connection, session, frame_index, part, received_at, is_complete, raw) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id; \
             DELETE FROM frame WHERE line = $1 AND connection = $2 AND session = $3",
    postgres: "WITH gone AS \
               (DELETE FROM frame WHERE line = $1 AND connection = $2 AND session = $3) \
               INSERT INTO message \
               (line, connection, session, frame_index, part, received_at, is_complete, raw) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
};

/// [`WHOLE`] as a transaction of its own.
const WHOLE_ALONE: Sql = Sql {
    sqlite: "BEGIN IMMEDIATE; \
             INSERT INTO message \
             (line, connection, session, frame_index, part, received_at, is_complete, raw) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id; \
             DELETE FROM frame WHERE line = $1 AND connection = $2 AND session = $3; \
             COMMIT",
    postgres: WHOLE.postgres,
};

/// One frame as a transaction of its own; nothing is returned where one was there before.
const FRAME_ALONE: Sql = Sql::same(
    "INSERT INTO frame (line, connection, session, frame_index, received_at, text) \
     VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (line, connection, session, frame_index) DO NOTHING RETURNING 1",
);

const INSERT_FRAME: Insert = Insert {
    into: "INSERT INTO frame (line, connection, session, frame_index, received_at, text)",
    columns: 6,
    tail: "ON CONFLICT (line, connection, session, frame_index) DO NOTHING",
    types: &[],
};

const FRAME: Sql = Sql::same(
    "SELECT text FROM frame \
     WHERE line = $1 AND connection = $2 AND session = $3 AND frame_index = $4",
);

const FRAMES: Sql = Sql::same(
    "SELECT text, received_at FROM frame \
     WHERE line = $1 AND connection = $2 AND session = $3 ORDER BY frame_index",
);

const KEPT: Sql = Sql::same(
    "SELECT coalesce(sum(length(text)), 0) FROM frame \
     WHERE line = $1 AND connection = $2 AND session = $3 AND frame_index < $4",
);

const SESSIONS: Sql = Sql::same(
    "SELECT DISTINCT line, connection, session FROM frame ORDER BY line, connection, session",
);

const DELETE_UP_TO: Sql = Sql::same(
    "DELETE FROM frame \
     WHERE line = $1 AND connection = $2 AND session = $3 AND frame_index <= $4",
);

const DELETE_SESSION: Sql =
    Sql::same("DELETE FROM frame WHERE line = $1 AND connection = $2 AND session = $3");

const DELETE_SESSIONS: Sql = Sql {
    sqlite: "DELETE FROM frame WHERE (line, connection, session) IN \
             (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))",
    postgres: "DELETE FROM frame WHERE (line, connection, session) IN \
               (SELECT value ->> 0, (value ->> 1)::bigint, (value ->> 2)::bigint \
                FROM json_array_elements($1::json))",
};

const ENDED_BY: Sql = Sql::same(
    "SELECT id, raw FROM message WHERE line = $1 AND connection = $2 AND session = $3 \
     AND frame_index = $4 AND frame_index IS NOT NULL ORDER BY part",
);

const MESSAGE: Sql = Sql::same(
    "SELECT id, line, connection, session, received_at, is_complete, raw, state, attempts \
     FROM message WHERE id = $1",
);

const UNPARSED: Sql = Sql::same(
    "SELECT id, line, connection, session, received_at, is_complete, raw, state, attempts \
     FROM message WHERE line = $1 AND state = 'unparsed' AND id > $2 AND id <= $3 \
     ORDER BY id LIMIT $4",
);

/// How large the messages of [`UNPARSED`] are; their bytes are not read for it.
const UNPARSED_SIZES: Sql = Sql::same(
    "SELECT id, CAST(length(raw) AS bigint) FROM message \
     WHERE line = $1 AND state = 'unparsed' AND id > $2 AND id <= $3 ORDER BY id LIMIT $4",
);

const UNPARSED_AT: Sql = Sql::same(
    "SELECT id, line, connection, session, received_at, is_complete, raw, state, attempts \
     FROM message WHERE line = $1 AND state = 'unparsed' AND connection = $2 AND received_at = $3 \
     ORDER BY id",
);

const OUTCOME: Sql = Sql::same("SELECT outcome FROM message WHERE id = $1");

const UNPARSED_LINES: Sql = Sql::same(
    "SELECT line, count(*) FROM message WHERE state = 'unparsed' GROUP BY line ORDER BY line",
);

const LAST: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM message");

const BEGIN_ATTEMPTS: Sql = Sql {
    sqlite: "UPDATE message SET attempts = attempts + 1 \
             WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "UPDATE message SET attempts = attempts + 1 WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};

const MARK: Sql = Sql::same("UPDATE message SET state = $2, outcome = $3 WHERE id = $1");

const MARK_PARSED: Sql = Sql {
    sqlite: "UPDATE message SET state = 'parsed', outcome = j.value ->> 1 FROM json_each($1) j \
             WHERE message.id = j.value ->> 0",
    postgres: "UPDATE message SET state = 'parsed', outcome = j.value ->> 1 \
               FROM json_array_elements($1::json) j WHERE message.id = (j.value ->> 0)::bigint",
};

const UNPARSED_OF: Sql = Sql {
    sqlite: "SELECT id FROM message WHERE id IN (SELECT value FROM json_each($1)) \
             AND state = 'unparsed'",
    postgres: "SELECT id FROM message WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND state = 'unparsed'",
};

/// Writes entries, in few statements; the answers stand in the same order.
///
/// # Errors
/// [`StoreError::FrameConflict`] when a frame is there already with other bytes; else what the
/// database says. Nothing is written then, once the caller has rolled back.
pub fn append(db: &mut dyn Db, entries: &[&JournalEntry]) -> Result<Vec<Journalled>, StoreError> {
    let mut answers = vec![Journalled::default(); entries.len()];
    let mut batch = Batch::default();
    for (position, entry) in entries.iter().enumerate() {
        if !batch.takes(entry) {
            std::mem::take(&mut batch).write(db, &mut answers)?;
        }
        batch.push(position, entry);
    }
    batch.write(db, &mut answers)?;
    Ok(answers)
}

/// Writes one entry as a transaction of its own, by one crossing to the database: the usual case of
/// a laboratory at rest, whose peer waits for every crossing. `None` when it takes more than that;
/// then nothing was written.
pub(super) fn append_alone(
    session: &mut dyn Session,
    entry: &JournalEntry,
) -> Result<Option<Journalled>, StoreError> {
    if !session.writes_alone() {
        return Ok(None);
    }
    match &entry.commit {
        Commit::Message(message) => {
            let row = message_row(entry, message, None)?;
            let messages = ids(&session.alone(&WHOLE_ALONE, &row)?)?;
            Ok(Some(Journalled { messages }))
        }
        Commit::Frame {
            session: number,
            index,
            text,
            messages,
        } if messages.is_empty() => {
            let frame = Frame {
                entry,
                session: *number,
                index: *index,
                text,
            };
            let written = session.alone(&FRAME_ALONE, &frame.row(text)?)?;
            Ok((!written.is_empty()).then(Journalled::default))
        }
        Commit::Frame { .. } => Ok(None),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Frame,
    Ending,
    Whole,
}

impl Kind {
    fn of(commit: &Commit) -> Self {
        match commit {
            Commit::Frame { messages, .. } if messages.is_empty() => Self::Frame,
            Commit::Frame { .. } => Self::Ending,
            Commit::Message(_) => Self::Whole,
        }
    }
}

/// Entries that may be written in any order of their kinds: no connection has two kinds here.
#[derive(Debug, Default)]
struct Batch<'e> {
    kinds: HashMap<(&'e str, u64), Kind>,
    entries: Vec<(usize, &'e JournalEntry)>,
}

impl<'e> Batch<'e> {
    fn takes(&self, entry: &JournalEntry) -> bool {
        self.kinds
            .get(&(entry.line.as_str(), entry.connection))
            .is_none_or(|kind| *kind == Kind::of(&entry.commit))
    }

    fn push(&mut self, position: usize, entry: &'e JournalEntry) {
        self.kinds
            .insert((&entry.line, entry.connection), Kind::of(&entry.commit));
        self.entries.push((position, entry));
    }

    fn write(self, db: &mut dyn Db, answers: &mut [Journalled]) -> Result<(), StoreError> {
        let mut frames = Vec::new();
        let mut wholes = Vec::new();
        for (position, entry) in self.entries {
            match &entry.commit {
                Commit::Message(message) => wholes.push((position, entry, message)),
                Commit::Frame {
                    session,
                    index,
                    text,
                    messages,
                } => {
                    let frame = Frame {
                        entry,
                        session: *session,
                        index: *index,
                        text,
                    };
                    if messages.is_empty() {
                        frames.push(frame);
                    } else {
                        let ids = frame.end(db, messages)?;
                        put(answers, position, ids);
                    }
                }
            }
        }
        write_frames(db, &frames)?;
        write_wholes(db, &wholes, answers)
    }
}

fn put(answers: &mut [Journalled], position: usize, messages: Vec<i64>) {
    if let Some(answer) = answers.get_mut(position) {
        *answer = Journalled { messages };
    }
}

/// One frame on its way to disk.
#[derive(Clone, Copy, Debug)]
struct Frame<'e> {
    entry: &'e JournalEntry,
    session: u64,
    index: u32,
    text: &'e Bytes,
}

impl Frame<'_> {
    fn session_key(&self) -> Result<[Param; 3], StoreError> {
        session_key(&self.entry.line, self.entry.connection, self.session)
    }

    fn key(&self) -> Result<[Param; 4], StoreError> {
        let [line, connection, session] = self.session_key()?;
        Ok([line, connection, session, self.index.into()])
    }

    fn conflict(&self) -> StoreError {
        StoreError::FrameConflict {
            line: self.entry.line.clone(),
            session: self.session,
            index: self.index,
        }
    }

    fn row(&self, text: &[u8]) -> Result<Vec<Param>, StoreError> {
        let mut row = self.key()?.to_vec();
        row.extend([self.entry.at.into(), text.into()]);
        Ok(row)
    }

    /// Writes the messages that this frame ended, instead of their frames. A frame that came
    /// again, because its first commit was reported too late, finds the messages there.
    fn end(&self, db: &mut dyn Db, messages: &[Received]) -> Result<Vec<i64>, StoreError> {
        let key = self.key()?;
        let known = db.rows(&ENDED_BY, &key)?;
        if !known.is_empty() {
            return self.same_messages(&known, messages);
        }
        let kept = db.row(&KEPT, &key)?.count(0)?;
        let mut rows = Vec::new();
        for (part, message) in (0_u32..).zip(messages) {
            rows.push(message_row(self.entry, message, Some((self.index, part)))?);
        }
        let ids = ids(&db.insert_rows(&INSERT_MESSAGE, rows)?.1)?;
        db.exec(&DELETE_UP_TO, &key)?;
        let tail = tail(kept, self.text, messages);
        if !tail.is_empty() {
            db.insert_rows(&INSERT_FRAME, vec![self.row(tail)?])?;
        }
        Ok(ids)
    }

    fn same_messages(&self, known: &[Row], messages: &[Received]) -> Result<Vec<i64>, StoreError> {
        if known.len() != messages.len() {
            return Err(self.conflict());
        }
        let mut ids = Vec::new();
        for (row, message) in known.iter().zip(messages) {
            if row.blob(1)? != message.bytes {
                return Err(self.conflict());
            }
            ids.push(row.int(0)?);
        }
        Ok(ids)
    }
}

/// What the frame holds after the end of its last message: the begin of the next one.
///
/// The lengths say where that end is, because messages are frames joined. Where a machine left
/// bytes out (before an H record), they do not; then the longest begin of the frame that ends the
/// last message counts, and what is left over is kept: rather twice than not at all.
fn tail<'t>(kept: u64, text: &'t [u8], messages: &[Received]) -> &'t [u8] {
    let last = messages.last().map_or(&[][..], |message| &message.bytes);
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let used: usize = messages.iter().map(|message| message.bytes.len()).sum();
    let by_length = used.checked_sub(kept).filter(|end| *end <= text.len());
    let is_end = |end: &usize| {
        text.get(..*end)
            .is_some_and(|begin| last.ends_with(begin) || begin.ends_with(last))
    };
    let end = by_length
        .into_iter()
        .chain((0..=text.len()).rev())
        .find(is_end)
        .unwrap_or(0);
    text.get(end..).unwrap_or_default()
}

fn write_frames(db: &mut dyn Db, frames: &[Frame<'_>]) -> Result<(), StoreError> {
    if frames.is_empty() {
        return Ok(());
    }
    let rows = frames
        .iter()
        .map(|frame| frame.row(frame.text))
        .collect::<Result<Vec<_>, _>>()?;
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let (written, _) = db.insert_rows(&INSERT_FRAME, rows)?;
    if written == count {
        return Ok(());
    }
    for frame in frames {
        if db.row(&FRAME, &frame.key()?)?.blob(0)? != frame.text {
            return Err(frame.conflict());
        }
    }
    Ok(())
}

fn write_wholes(
    db: &mut dyn Db,
    wholes: &[(usize, &JournalEntry, &Received)],
    answers: &mut [Journalled],
) -> Result<(), StoreError> {
    match wholes {
        [] => return Ok(()),
        [(position, entry, message)] => {
            let id = db.insert(&WHOLE, &message_row(entry, message, None)?)?;
            put(answers, *position, vec![id]);
            return Ok(());
        }
        _ => {}
    }
    let mut rows = Vec::new();
    let mut sessions = Vec::new();
    for (_, entry, message) in wholes {
        rows.push(message_row(entry, message, None)?);
        sessions.push((&entry.line, entry.connection, message.session));
    }
    let ids = ids(&db.insert_rows(&INSERT_MESSAGE, rows)?.1)?;
    for ((position, _, _), id) in wholes.iter().zip(ids) {
        put(answers, *position, vec![id]);
    }
    let sessions = serde_json::to_string(&sessions)
        .map_err(|_| StoreError::value("a list of sessions that is not JSON"))?;
    db.exec(&DELETE_SESSIONS, &[sessions.into()]).map(|_| ())
}

/// The ids of one insert, in the order of its rows: ids are given in that order, but an answer may
/// list them in another.
fn ids(rows: &[Row]) -> Result<Vec<i64>, StoreError> {
    let mut ids = rows
        .iter()
        .map(|row| row.int(0))
        .collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

fn session_key(line: &str, connection: u64, session: u64) -> Result<[Param; 3], StoreError> {
    Ok([
        line.into(),
        Param::count(connection)?,
        Param::count(session)?,
    ])
}

fn message_row(
    entry: &JournalEntry,
    message: &Received,
    ended_by: Option<(u32, u32)>,
) -> Result<Vec<Param>, StoreError> {
    let mut row = session_key(&entry.line, entry.connection, message.session)?.to_vec();
    row.extend([
        ended_by.map(|(index, _)| index).into(),
        ended_by.map_or(0, |(_, part)| part).into(),
        entry.at.into(),
        message.is_complete.into(),
        (&message.bytes).into(),
    ]);
    Ok(row)
}

/// So much of what waits to be read is held in memory at a time; a larger message comes alone.
const UNPARSED_BYTES_MAX: u64 = 8 * 1_024 * 1_024;

/// Up to `limit` unparsed messages of `line` after the message `after` and up to `until`, oldest
/// first; fewer, but one at least, where they are large.
///
/// # Errors
/// What the database says.
pub fn unparsed(
    db: &mut dyn Db,
    line: &str,
    (after, until): (i64, i64),
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    let params = [line.into(), after.into(), until.into(), limit.into()];
    let mut room = UNPARSED_BYTES_MAX;
    let mut last = None;
    for row in db.rows(&UNPARSED_SIZES, &params)? {
        let size = row.count(1)?;
        if last.is_some() && size > room {
            break;
        }
        room = room.saturating_sub(size);
        last = Some(row.int(0)?);
    }
    let Some(last) = last else {
        return Ok(Vec::new());
    };
    let params = [line.into(), after.into(), last.into(), limit.into()];
    db.rows(&UNPARSED, &params)?.iter().map(read).collect()
}

/// The unparsed messages that one entry wrote, known by its connection and its time, oldest first.
///
/// # Errors
/// What the database says.
pub fn unparsed_at(
    db: &mut dyn Db,
    line: &str,
    connection: u64,
    at: i64,
) -> Result<Vec<Message>, StoreError> {
    let params = [line.into(), Param::count(connection)?, at.into()];
    db.rows(&UNPARSED_AT, &params)?.iter().map(read).collect()
}

/// The lines that have unparsed messages, and how many.
///
/// # Errors
/// What the database says.
pub fn unparsed_lines(db: &mut dyn Db) -> Result<Vec<(String, u64)>, StoreError> {
    db.rows(&UNPARSED_LINES, &[])?
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.count(1)?)))
        .collect()
}

/// The id of the newest message, 0 if there is none.
///
/// # Errors
/// What the database says.
pub fn last(db: &mut dyn Db) -> Result<i64, StoreError> {
    db.row(&LAST, &[])?.int(0)
}

/// One message.
///
/// # Errors
/// What the database says.
pub fn message(db: &mut dyn Db, id: i64) -> Result<Option<Message>, StoreError> {
    db.row_opt(&MESSAGE, &[id.into()])?
        .as_ref()
        .map(read)
        .transpose()
}

/// What [`mark`] said of a message last.
///
/// # Errors
/// What the database says.
pub fn outcome(db: &mut dyn Db, id: i64) -> Result<Option<String>, StoreError> {
    let row = db.row_opt(&OUTCOME, &[id.into()])?;
    match row {
        Some(row) => Ok(row.opt_text(0)?.map(str::to_owned)),
        None => Ok(None),
    }
}

/// Counts that the parser begins with messages, before it does. Commit this before parsing, so that
/// a message that breaks the parser is known at the next start.
///
/// # Errors
/// What the database says; [`StoreError::Value`] when there is no such message.
pub fn begin_attempts(db: &mut dyn Db, ids: &[i64]) -> Result<(), StoreError> {
    let list = serde_json::to_string(ids)
        .map_err(|_| StoreError::value("a list of messages that is not JSON"))?;
    let changed = db.exec(&BEGIN_ATTEMPTS, &[list.into()])?;
    if u64::try_from(ids.len()) == Ok(changed) {
        Ok(())
    } else {
        Err(StoreError::value(
            "a message to begin that is not in the journal",
        ))
    }
}

/// Says where a message stands now, in the transaction that stores what came of it. `outcome` is
/// a JSON text without patient data, or nothing.
///
/// # Errors
/// What the database says; [`StoreError::Value`] when there is no such message.
pub fn mark(
    db: &mut dyn Db,
    id: i64,
    state: MessageState,
    outcome: Option<&str>,
) -> Result<(), StoreError> {
    match db.exec(&MARK, &[id.into(), state.code().into(), outcome.into()])? {
        1 => Ok(()),
        _ => Err(StoreError::value(
            "a message to mark that is not in the journal",
        )),
    }
}

/// Of these messages, the ones that are still to be parsed.
///
/// # Errors
/// What the database says.
pub fn unparsed_of(db: &mut dyn Db, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
    let list = serde_json::to_string(ids)
        .map_err(|_| StoreError::value("a list of messages that is not JSON"))?;
    db.rows(&UNPARSED_OF, &[list.into()])?
        .iter()
        .map(|row| row.int(0))
        .collect()
}

/// Says that these messages are parsed, each with its outcome as [`mark`] takes it, by one statement.
///
/// # Errors
/// As [`mark`].
pub fn mark_parsed(db: &mut dyn Db, outcomes: &[(i64, String)]) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let list = serde_json::to_string(outcomes)
        .map_err(|_| StoreError::value("a list of outcomes that is not JSON"))?;
    let changed = db.exec(&MARK_PARSED, &[list.into()])?;
    if u64::try_from(outcomes.len()) == Ok(changed) {
        Ok(())
    } else {
        Err(StoreError::value(
            "a message to mark that is not in the journal",
        ))
    }
}

fn read(row: &Row) -> Result<Message, StoreError> {
    let state = MessageState::from_code(row.text(7)?)
        .ok_or_else(|| StoreError::value("a message state that this labwire does not know"))?;
    Ok(Message {
        id: row.int(0)?,
        line: row.text(1)?.to_owned(),
        connection: row.count(2)?,
        session: row.count(3)?,
        received_at: row.int(4)?,
        is_complete: row.bool(5)?,
        raw: Bytes::copy_from_slice(row.blob(6)?),
        state,
        attempts: row.count(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tail(kept: &str, text: &str, messages: &[&str], expected: &str) {
        let messages: Vec<Received> = messages
            .iter()
            .map(|text| Received {
                session: 1,
                bytes: Bytes::copy_from_slice(text.as_bytes()),
                is_complete: true,
            })
            .collect();
        let tail = tail(kept.len() as u64, text.as_bytes(), &messages);
        assert_eq!(
            std::str::from_utf8(tail).unwrap(),
            expected,
            "{kept:?} + {text:?}"
        );
    }

    #[test]
    fn the_begin_of_the_next_message_is_kept() {
        check_tail("H\rP\r", "L\r", &["H\rP\rL\r"], "");
        check_tail("H\rP\r", "L\rH\rP\r", &["H\rP\rL\r"], "H\rP\r");
        check_tail("", "H\rL\rH\rL\rH\r", &["H\rL\r", "H\rL\r"], "H\r");
        // The first message ends without L because an equal one begins with this frame.
        check_tail("H\r", "H\r", &["H\r"], "H\r");
        // Bytes before the H record were left out of the message.
        check_tail("xx\rH\r", "L\r", &["H\rL\r"], "");
        check_tail("xx\rH\r", "L\rH\r", &["H\rL\r"], "H\r");
    }
}
