//! The oldest rows of the audit: they go with the hash of the last of them, from which the rest follows.

use serde_json::{Value, json};

use crate::{
    audit::{self, Archived},
    people::hex,
    store::{Db, Sql, StoreError},
};

const OLDEST: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail, hash FROM audit \
     WHERE id < (SELECT max(id) FROM audit) ORDER BY id LIMIT $1",
);
const REMOVE: Sql = Sql::same("DELETE FROM audit WHERE id <= $1");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OLDEST, &REMOVE];

/// The oldest rows, as long as they are older than `before`, and the last of them.
pub(super) fn oldest(
    db: &mut dyn Db,
    before: i64,
    rows_max: i64,
) -> Result<Option<(Vec<Value>, Archived)>, StoreError> {
    let mut values = Vec::new();
    let mut last = None;
    for row in db.rows(&OLDEST, &[rows_max.into()])? {
        let (id, at) = (row.int(0)?, row.int(1)?);
        if at >= before {
            break;
        }
        let hash = row.opt_blob(6)?.map(hex);
        values.push(
            json!({ "id": id, "at": at, "actor": row.text(2)?, "action": row.text(3)?,
            "subject": row.text(4)?, "detail": row.text(5)?, "hash": hash }),
        );
        last = Some(Archived { id, hash, at });
    }
    Ok(last.map(|last| (values, last)))
}

/// Removes what a file holds: the rows up to `last`. The database lets nobody remove a later one.
pub(super) fn remove(db: &mut dyn Db, last: &Archived) -> Result<u64, StoreError> {
    audit::set_archived(db, last)?;
    db.exec(&REMOVE, &[last.id.into()])
}
