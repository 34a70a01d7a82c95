//! Who a patient is: found by the first identifier, followed through merges.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{Db, Param, Row, Sql, StoreError};

use super::{Fields, Identifier, PatientEntry};

const BY_KEY: Sql = Sql::same(
    "SELECT patient FROM patient_identifier \
     WHERE host = $1 AND identifier = $2 AND authority = $3 AND is_key = 1",
);
/// A sender that leaves the authority out means the one patient with this number, if there is one.
const BY_KEY_ALONE: Sql = Sql::same(
    "SELECT DISTINCT patient FROM patient_identifier \
     WHERE host = $1 AND identifier = $2 AND (authority = '' OR $3 = '') AND is_key = 1",
);
const STORED: Sql = Sql::same("SELECT fields, birth, sex FROM patient WHERE id = $1");
const MERGED_INTO: Sql = Sql::same("SELECT merged_into FROM patient WHERE id = $1");
const MERGED: Sql = Sql {
    sqlite: "SELECT id FROM patient WHERE id IN (SELECT value FROM json_each($1)) \
             AND merged_into IS NOT NULL",
    postgres: "SELECT id FROM patient WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND merged_into IS NOT NULL",
};
const INSERT: Sql = Sql::same(
    "INSERT INTO patient (merged_into, fields, birth, sex, updated_at) \
     VALUES (NULL, $1, $2, $3, $4) RETURNING id",
);
const UPDATE: Sql = Sql::same(
    "UPDATE patient SET fields = $2, birth = $3, sex = $4, updated_at = $5 WHERE id = $1",
);
const ADD_IDENTIFIER: Sql = Sql {
    sqlite: "INSERT INTO patient_identifier (host, identifier, authority, is_key, patient) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (host, identifier, authority, patient) \
             DO UPDATE SET is_key = max(is_key, excluded.is_key)",
    postgres: "INSERT INTO patient_identifier (host, identifier, authority, is_key, patient) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (host, identifier, authority, patient) \
               DO UPDATE SET is_key = greatest(patient_identifier.is_key, excluded.is_key)",
};
const ABSORB: Sql = Sql::same("UPDATE patient SET merged_into = $2 WHERE id = $1");

/// The longest chain of merges that is followed; a longer one is a loop made by mistaken merges.
const MERGE_DEPTH_MAX: usize = 64;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &BY_KEY,
    &BY_KEY_ALONE,
    &STORED,
    &MERGED_INTO,
    &MERGED,
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

/// The surviving patient of each of these that was merged into another.
///
/// # Errors
/// As [`resolve`].
pub(super) fn resolve_all(
    db: &mut dyn Db,
    patients: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, i64>, StoreError> {
    if patients.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = super::change::json(patients)?;
    let mut survivors = BTreeMap::new();
    for row in db.rows(&MERGED, &[list.into()])? {
        let id = row.int(0)?;
        survivors.insert(id, resolve(db, id)?);
    }
    Ok(survivors)
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
    let exact = db
        .row_opt(&BY_KEY, &params)?
        .map(|row: Row| row.int(0))
        .transpose()?;
    if let Some(id) = exact {
        return resolve(db, id).map(Some);
    }
    let mut found = Vec::new();
    for row in db.rows(&BY_KEY_ALONE, &params)? {
        found.push(resolve(db, row.int(0)?)?);
    }
    found.dedup();
    match found.as_slice() {
        [only] => Ok(Some(*only)),
        _ => Ok(None),
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
    let (before, (named, birth, sex)) = said_of(db, known, entry)?;
    let fields = super::change::json(&named)?;
    let id = if let Some(id) = known {
        let params: [Param; 5] = [
            id.into(),
            fields.into(),
            birth.into(),
            sex.into(),
            now.into(),
        ];
        db.exec(&UPDATE, &params)?;
        id
    } else {
        insert(db, [fields, birth, sex], now)?
    };
    super::name::note(db, id, before.as_ref(), &named)?;
    for (index, identifier) in entry.identifiers.iter().enumerate() {
        add_identifier(db, host, identifier, index == 0, id)?;
    }
    Ok(id)
}

pub(super) fn insert(
    db: &mut dyn Db,
    [fields, birth, sex]: [String; 3],
    now: i64,
) -> Result<i64, StoreError> {
    let params: [Param; 4] = [fields.into(), birth.into(), sex.into(), now.into()];
    db.insert(&INSERT, &params)
}

/// "Delete what is known" (HL7 v2.5.1 2.5.3).
const NULL: &str = "\"\"";

/// Fields, birth date and sex.
type Known = (Fields, String, String);

/// What was known of the patient before the message, and what is after it: an empty field changes nothing, `""` deletes.
fn said_of(
    db: &mut dyn Db,
    known: Option<i64>,
    entry: &PatientEntry,
) -> Result<(Option<Fields>, Known), StoreError> {
    let stored = match known {
        Some(id) => db.row_opt(&STORED, &[id.into()])?,
        None => None,
    };
    let (mut fields, birth, sex): (Fields, _, _) = match &stored {
        Some(row) => (
            super::change::unjson(row.text(0)?)?,
            row.text(1)?.to_owned(),
            row.text(2)?.to_owned(),
        ),
        None => Default::default(),
    };
    let before = known.map(|_| fields.clone());
    let said = entry.fields.expose();
    for (n, text) in said {
        if text == NULL {
            fields.remove(n);
        } else {
            fields.insert(*n, text.clone());
        }
    }
    let newer = |n: u16, new: &str, old: String| {
        let is_silent = new.is_empty() && !said.contains_key(&n);
        match (is_silent, new) {
            (true, _) => old,
            (false, NULL) => String::new(),
            (false, new) => new.to_owned(),
        }
    };
    let birth = newer(BIRTH, entry.birth.expose(), birth);
    let sex = newer(SEX, &entry.sex, sex);
    Ok((before, (fields, birth, sex)))
}

/// PID-7.
const BIRTH: u16 = 7;
/// PID-8.
const SEX: u16 = 8;

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
