//! What came before a message and belongs to it.

use bytes::Bytes;

use super::{Message, MessageState, message, meta, read, set_meta};
use crate::store::{Db, Sql, StoreError};

pub(super) const BEFORE: Sql = Sql::same(
    "SELECT id, line, connection, session, received_at, is_complete, raw, state, attempts \
     FROM message WHERE line = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT 1",
);

pub(super) const OPENING: Sql = Sql::same(
    "SELECT opener.raw FROM message own JOIN message opener ON opener.line = own.line \
     AND opener.connection = own.connection AND opener.session = own.session \
     WHERE own.id = $1 AND opener.id >= $2 AND opener.id < $1 ORDER BY opener.id LIMIT 1",
);

/// How many messages of all lines lie at most between two of one line that may be parts of one.
const BEFORE_MAX: i64 = 10_000;

/// Most messages that [`cut_before`] looks back.
const CUT_MAX: usize = 8;

/// The messages of `line` directly before the message `id` that ended without their end and were
/// read, oldest first.
///
/// # Errors
/// What the database says.
pub fn cut_before(db: &mut dyn Db, line: &str, id: i64) -> Result<Vec<Message>, StoreError> {
    let mut cut = Vec::new();
    let mut next = id;
    while cut.len() < CUT_MAX {
        let params = [
            line.into(),
            next.into(),
            id.saturating_sub(BEFORE_MAX).into(),
        ];
        let row = db.row_opt(&BEFORE, &params)?;
        let Some(before) = row.as_ref().map(read).transpose()? else {
            break;
        };
        if before.is_complete || before.state != MessageState::Parsed {
            break;
        }
        next = before.id;
        cut.push(before);
    }
    cut.reverse();
    Ok(cut)
}

/// The first message of the session that the message `id` came in; `None` if that is the message
/// itself. Of a session that is neither remembered nor began within [`BEFORE_MAX`] messages, the oldest of
/// those.
///
/// # Errors
/// What the database says.
pub fn opening(db: &mut dyn Db, id: i64) -> Result<Option<Bytes>, StoreError> {
    let Some(own) = message(db, id)? else {
        return Ok(None);
    };
    if let Some(first) = remembered(db, &own)? {
        if first == id {
            return Ok(None);
        }
        return Ok(message(db, first)?.map(|one| one.raw));
    }
    let params = [id.into(), id.saturating_sub(BEFORE_MAX).into()];
    let row = db.row_opt(&OPENING, &params)?;
    let raw = row.map(|row| row.blob(0).map(Bytes::copy_from_slice));
    raw.transpose()
}

/// Remembers a message as the first of its session, for as long as no other session of its line is:
/// a conversation may go on for days.
///
/// # Errors
/// What the database says.
pub fn remember_opening(db: &mut dyn Db, id: i64) -> Result<(), StoreError> {
    let Some(own) = message(db, id)? else {
        return Ok(());
    };
    let value = format!("{} {} {id}", own.connection, own.session);
    set_meta(db, &key(&own.line), &value)
}

/// The first message of the session of `own`, if it is the one that is remembered.
fn remembered(db: &mut dyn Db, own: &Message) -> Result<Option<i64>, StoreError> {
    let value = meta(db, &key(&own.line))?.unwrap_or_default();
    let prefix = format!("{} {} ", own.connection, own.session);
    Ok(value.strip_prefix(&prefix).and_then(|id| id.parse().ok()))
}

fn key(line: &str) -> String {
    format!("opening:{line}")
}
