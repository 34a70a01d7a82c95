//! Who did what, when, to what: append-only.

use crate::store::{Db, Insert, Param, Sql, StoreError};

const INSERT: Sql =
    Sql::same("INSERT INTO audit (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)");
const INSERT_ALL: Insert = Insert {
    into: "INSERT INTO audit (at, actor, action, subject, detail)",
    columns: 5,
    tail: "",
    types: &[],
};
const OF_SUBJECT: Sql =
    Sql::same("SELECT at, actor, action, detail FROM audit WHERE subject = $1 ORDER BY id");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[&INSERT, &OF_SUBJECT];

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
    let params: [Param; 5] = [
        at.into(),
        actor.into(),
        action.into(),
        subject.into(),
        detail.into(),
    ];
    db.exec(&INSERT, &params)?;
    Ok(())
}

/// Adds rows of one moment, by one statement: actor, action, subject and detail of each.
///
/// # Errors
/// The store's.
pub fn write_all(db: &mut dyn Db, at: i64, rows: &[[&str; 4]]) -> Result<(), StoreError> {
    let rows = rows
        .iter()
        .map(|[actor, action, subject, detail]| {
            vec![
                at.into(),
                (*actor).into(),
                (*action).into(),
                (*subject).into(),
                (*detail).into(),
            ]
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
