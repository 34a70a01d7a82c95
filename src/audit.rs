//! Who did what, when, to what: append-only, and each row follows from the one before it.

mod chain;

pub use self::chain::{Archived, Break, HASH_BYTES, Head, Walk, archived, newest, set_archived};

use crate::store::{Db, Insert, Sql, StoreError};

const INSERT_ALL: Insert = Insert {
    into: "INSERT INTO audit (at, actor, action, subject, detail, hash)",
    columns: 6,
    tail: "",
    types: &[],
};
const OF_SUBJECT: Sql =
    Sql::same("SELECT at, actor, action, detail FROM audit WHERE subject = $1 ORDER BY id");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static Sql> {
    [&[&OF_SUBJECT], chain::ALL].concat()
}

/// Adds a row. `subject` is `kind:id`; `detail` carries no patient data.
///
/// # Errors
/// The store's.
pub fn write(
    db: &mut dyn Db,
    at: i64,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    write_all(db, at, &[[actor, action, subject, detail]])
}

/// Adds rows of one moment, by one statement: actor, action, subject and detail of each.
///
/// # Errors
/// The store's.
pub fn write_all(db: &mut dyn Db, at: i64, rows: &[[&str; 4]]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut hash = chain::head(db)?;
    let rows = rows
        .iter()
        .map(|said| {
            hash = chain::hash(&hash, at, *said);
            let mut row = vec![at.into()];
            row.extend(said.map(Into::into));
            row.push(hash.clone().into());
            row
        })
        .collect();
    db.insert_rows(&INSERT_ALL, rows).map(|_| ())
}

/// The rows about a subject, oldest first: at, actor, action, detail.
///
/// # Errors
/// The store's.
pub fn of_subject(
    db: &mut dyn Db,
    subject: &str,
) -> Result<Vec<(i64, String, String, String)>, StoreError> {
    db.rows(&OF_SUBJECT, &[subject.into()])?
        .iter()
        .map(|row| {
            Ok((
                row.int(0)?,
                row.text(1)?.to_owned(),
                row.text(2)?.to_owned(),
                row.text(3)?.to_owned(),
            ))
        })
        .collect()
}
