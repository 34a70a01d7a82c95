//! Settings that the store keeps for itself.

use crate::store::{Db, Sql, StoreError};

pub(super) const META: Sql = Sql::same("SELECT value FROM meta WHERE key = $1");
pub(super) const SET_META: Sql = Sql::same(
    "INSERT INTO meta (key, value) VALUES ($1, $2) \
     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
);

/// A setting that the store keeps for itself.
///
/// # Errors
/// What the database says.
pub fn meta(db: &mut dyn Db, key: &str) -> Result<Option<String>, StoreError> {
    let row = db.row_opt(&META, &[key.into()])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Keeps a setting.
///
/// # Errors
/// What the database says.
pub fn set_meta(db: &mut dyn Db, key: &str, value: &str) -> Result<(), StoreError> {
    db.exec(&SET_META, &[key.into(), value.into()]).map(|_| ())
}
