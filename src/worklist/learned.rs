//! Mappings that people made beside the files, as the store keeps them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    profile::{Learned, OfLine},
    store::{Db, Param, Sql, StoreError, journal},
};

const TESTS: Sql =
    Sql::same("SELECT line, code, test, actor, at FROM site_mapping ORDER BY line, code");
const UNITS: Sql =
    Sql::same("SELECT line, code, sent, ucum, actor, at FROM site_unit ORDER BY line, code, sent");
const ADD_TEST: Sql = Sql::same(
    "INSERT INTO site_mapping (line, code, test, actor, at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (line, code) DO UPDATE SET test = excluded.test, actor = excluded.actor, \
     at = excluded.at",
);
const ADD_UNIT: Sql = Sql::same(
    "INSERT INTO site_unit (line, code, sent, ucum, actor, at) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (line, code, sent) DO UPDATE SET ucum = excluded.ucum, actor = excluded.actor, \
     at = excluded.at",
);
const DROP_TEST: Sql = Sql::same("DELETE FROM site_mapping WHERE line = $1 AND code = $2");
const DROP_UNIT: Sql =
    Sql::same("DELETE FROM site_unit WHERE line = $1 AND code = $2 AND sent = $3");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&TESTS, &UNITS, &ADD_TEST, &ADD_UNIT, &DROP_TEST, &DROP_UNIT];

/// Where the store keeps the version of the mappings: the instant of the last change.
const VERSION: &str = "mappings";

/// A mapping that a person made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The line.
    pub line: String,
    /// The code as the line's profile finds it.
    pub code: String,
    /// The unit as sent, where the mapping is about one.
    pub sent: Option<String>,
    /// The catalogue's test, or the UCUM unit.
    pub means: String,
    /// Who said so.
    pub by: String,
    /// When, microseconds UTC.
    pub at: i64,
}

/// Takes over what people mapped since; returns the version that is known then. To be called in
/// every transaction that goes by mappings: it costs one small read.
///
/// # Errors
/// The store's.
pub fn learn(db: &mut dyn Db, learned: &Learned) -> Result<i64, StoreError> {
    let stored = version(db)?;
    if stored != learned.version() {
        learned.replace(stored, lines(db)?);
    }
    Ok(stored)
}

fn version(db: &mut dyn Db) -> Result<i64, StoreError> {
    let text = journal::meta(db, VERSION)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What the store says now, for whoever must not change what others share.
pub(super) fn read(db: &mut dyn Db) -> Result<Learned, StoreError> {
    let learned = Learned::default();
    learn(db, &learned)?;
    Ok(learned)
}

fn lines(db: &mut dyn Db) -> Result<BTreeMap<String, OfLine>, StoreError> {
    let mut lines: BTreeMap<String, OfLine> = BTreeMap::new();
    for one in mappings(db)? {
        let own = lines.entry(one.line).or_default();
        match one.sent {
            Some(sent) => {
                own.units.insert((one.code, sent), one.means);
            }
            None => {
                own.tests.insert(one.code, one.means);
            }
        }
    }
    Ok(lines)
}

/// Every mapping that people made, by line and code.
///
/// # Errors
/// The store's.
pub fn mappings(db: &mut dyn Db) -> Result<Vec<Mapping>, StoreError> {
    let mut all = Vec::new();
    for row in db.rows(&TESTS, &[])? {
        all.push(Mapping {
            line: row.text(0)?.to_owned(),
            code: row.text(1)?.to_owned(),
            sent: None,
            means: row.text(2)?.to_owned(),
            by: row.text(3)?.to_owned(),
            at: row.int(4)?,
        });
    }
    for row in db.rows(&UNITS, &[])? {
        all.push(Mapping {
            line: row.text(0)?.to_owned(),
            code: row.text(1)?.to_owned(),
            sent: Some(row.text(2)?.to_owned()),
            means: row.text(3)?.to_owned(),
            by: row.text(4)?.to_owned(),
            at: row.int(5)?,
        });
    }
    Ok(all)
}

/// Adds a mapping. Versions only rise, so that nobody takes a later state for one it knows.
pub(super) fn add(db: &mut dyn Db, one: &Mapping) -> Result<(), StoreError> {
    let mut params: Vec<Param> = vec![one.line.as_str().into(), one.code.as_str().into()];
    params.extend(one.sent.as_deref().map(Param::from));
    let rest: [Param; 3] = [
        one.means.as_str().into(),
        one.by.as_str().into(),
        one.at.into(),
    ];
    params.extend(rest);
    let sql = if one.sent.is_some() {
        &ADD_UNIT
    } else {
        &ADD_TEST
    };
    db.exec(sql, &params)?;
    raise(db, one.at)
}

/// Takes a mapping back.
pub(super) fn drop(
    db: &mut dyn Db,
    (line, code, sent): &(String, String, Option<String>),
    now: i64,
) -> Result<(), StoreError> {
    let mut params: Vec<Param> = vec![line.into(), code.into()];
    params.extend(sent.as_deref().map(Param::from));
    let sql = if sent.is_some() {
        &DROP_UNIT
    } else {
        &DROP_TEST
    };
    db.exec(sql, &params)?;
    raise(db, now)
}

fn raise(db: &mut dyn Db, now: i64) -> Result<(), StoreError> {
    let next = now.max(version(db)? + 1);
    journal::set_meta(db, VERSION, &next.to_string())
}
