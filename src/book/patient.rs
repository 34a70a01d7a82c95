//! Who a patient is: found by the first identifier, followed through merges.

use crate::store::{Db, Param, Row, Sql, StoreError};

use super::{Identifier, PatientEntry};

const BY_KEY: Sql = Sql::same(
    "SELECT patient FROM patient_identifier \
     WHERE host = $1 AND identifier = $2 AND authority = $3 AND is_key = 1",
);
const MERGED_INTO: Sql = Sql::same("SELECT merged_into FROM patient WHERE id = $1");
const INSERT: Sql = Sql::same(
    "INSERT INTO patient (merged_into, fields, birth, sex, updated_at) \
     VALUES (NULL, $1, $2, $3, $4) RETURNING id",
);
const UPDATE: Sql = Sql::same(
    "UPDATE patient SET fields = $2, birth = $3, sex = $4, updated_at = $5 WHERE id = $1",
);
const ADD_IDENTIFIER: Sql = Sql::same(
    "INSERT INTO patient_identifier (host, identifier, authority, is_key, patient) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (host, identifier, authority, patient) \
     DO UPDATE SET is_key = max(is_key, excluded.is_key)",
);
const ABSORB: Sql = Sql::same("UPDATE patient SET merged_into = $2 WHERE id = $1");

/// The longest chain of merges that is followed; a longer one is a loop made by mistaken merges.
const MERGE_DEPTH_MAX: usize = 64;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &BY_KEY,
    &MERGED_INTO,
    &INSERT,
    &UPDATE,
    &ADD_IDENTIFIER,
    &ABSORB,
];

/// Follows merges to the surviving patient.
///
/// # Errors
/// The store's; `OurBug` for a chain of merges without end.
pub fn resolve(db: &mut dyn Db, patient: i64) -> Result<i64, StoreError> {
    let mut current = patient;
    for _ in 0..MERGE_DEPTH_MAX {
        let row = db.row_opt(&MERGED_INTO, &[current.into()])?;
        match row.map(|row| row.opt_int(0)).transpose()?.flatten() {
            Some(next) => current = next,
            None => return Ok(current),
        }
    }
    Err(StoreError::value("patient merges form a loop"))
}

/// The surviving patient that a key identifier names, if any.
pub(super) fn find(
    db: &mut dyn Db,
    host: &str,
    key: &Identifier,
) -> Result<Option<i64>, StoreError> {
    let params: [Param; 3] = [
        host.into(),
        key.id.expose().as_str().into(),
        key.authority.as_str().into(),
    ];
    match db
        .row_opt(&BY_KEY, &params)?
        .map(|row: Row| row.int(0))
        .transpose()?
    {
        Some(id) => resolve(db, id).map(Some),
        None => Ok(None),
    }
}

/// Finds or creates the patient and brings the stored demographics up to the message.
pub(super) fn upsert(
    db: &mut dyn Db,
    host: &str,
    entry: &PatientEntry,
    now: i64,
) -> Result<i64, StoreError> {
    let known = match entry.identifiers.first() {
        Some(key) => find(db, host, key)?,
        None => None,
    };
    let fields = super::change::json(entry.fields.expose())?;
    let birth = entry.birth.expose().as_str();
    let id = if let Some(id) = known {
        let params: [Param; 5] = [
            id.into(),
            fields.into(),
            birth.into(),
            entry.sex.as_str().into(),
            now.into(),
        ];
        db.exec(&UPDATE, &params)?;
        id
    } else {
        let params: [Param; 4] = [
            fields.into(),
            birth.into(),
            entry.sex.as_str().into(),
            now.into(),
        ];
        db.insert(&INSERT, &params)?
    };
    for (index, identifier) in entry.identifiers.iter().enumerate() {
        add_identifier(db, host, identifier, index == 0, id)?;
    }
    Ok(id)
}

/// Remembers an identifier of a patient.
pub(super) fn add_identifier(
    db: &mut dyn Db,
    host: &str,
    identifier: &Identifier,
    is_key: bool,
    patient: i64,
) -> Result<(), StoreError> {
    if identifier.id.expose().is_empty() {
        return Ok(());
    }
    let params: [Param; 5] = [
        host.into(),
        identifier.id.expose().as_str().into(),
        identifier.authority.as_str().into(),
        i64::from(is_key).into(),
        patient.into(),
    ];
    db.exec(&ADD_IDENTIFIER, &params)?;
    Ok(())
}

/// Marks `gone` as merged into `survivor`; nothing is deleted, late messages still resolve.
pub(super) fn absorb(db: &mut dyn Db, gone: i64, survivor: i64) -> Result<(), StoreError> {
    db.exec(&ABSORB, &[gone.into(), survivor.into()])?;
    Ok(())
}
