//! What the last holder of a line left in the journal.

use labwire_protocols::wire::{Commit, Received};

use super::{DELETE_SESSION, FRAMES, JournalEntry, SESSIONS, append, session_key};
use crate::store::{
    db::{Db, Sql},
    error::StoreError,
};

/// Of messages that are known again by their connection. A device's second line counts from 2^55 on.
pub(super) const LAST_CONNECTION: Sql = Sql::same(
    "SELECT coalesce(max(connection), 0) FROM message \
     WHERE line = $1 AND frame_index IS NOT NULL AND connection < 36028797018963968",
);

/// At start, before any line opens: joins the frames that a dead process left into one incomplete
/// message a session. Returns the ids of those messages.
///
/// # Errors
/// What the database says.
pub fn orphans(db: &mut dyn Db) -> Result<Vec<i64>, StoreError> {
    orphans_of(db, None)
}

/// The newest number of a connection of a line by which a frame of it is known again, 0 if there is
/// none: the next holder of the line counts on behind it, whatever its clock says.
///
/// # Errors
/// What the database says.
pub fn last_connection(db: &mut dyn Db, line: &str) -> Result<i64, StoreError> {
    db.row(&LAST_CONNECTION, &[line.into()])?.int(0)
}

/// [`orphans`] of one line alone, if one is named.
///
/// # Errors
/// What the database says.
pub fn orphans_of(db: &mut dyn Db, only: Option<&str>) -> Result<Vec<i64>, StoreError> {
    let mut ids = Vec::new();
    for row in db.rows(&SESSIONS, &[])? {
        let (line, connection, session) = (row.text(0)?, row.count(1)?, row.count(2)?);
        if only.is_some_and(|only| only != line) {
            continue;
        }
        let key = session_key(line, connection, session)?;
        let mut joined = Vec::new();
        let mut at = 0;
        for frame in db.rows(&FRAMES, &key)? {
            joined.extend_from_slice(frame.blob(0)?);
            at = frame.int(1)?;
        }
        let message = Received {
            session,
            bytes: joined.into(),
            is_complete: false,
        };
        let commit = Commit::Message(message);
        let entry = JournalEntry {
            line: line.to_owned(),
            connection,
            at,
            commit,
        };
        ids.extend(
            append(db, &[&entry])?
                .into_iter()
                .flat_map(|done| done.messages),
        );
        db.exec(&DELETE_SESSION, &key)?;
    }
    Ok(ids)
}
