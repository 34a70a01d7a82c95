//! What came before a message and belongs to it.

use bytes::Bytes;

use super::{Message, MessageState, read};
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
/// itself. Of a session that has gone on for longer than [`BEFORE_MAX`] messages, the oldest of those.
///
/// # Errors
/// What the database says.
pub fn opening(db: &mut dyn Db, id: i64) -> Result<Option<Bytes>, StoreError> {
    let params = [id.into(), id.saturating_sub(BEFORE_MAX).into()];
    let row = db.row_opt(&OPENING, &params)?;
    let raw = row.map(|row| row.blob(0).map(Bytes::copy_from_slice));
    raw.transpose()
}
