//! What devices have of the book: the tests of each item that each line was told of.

use std::collections::BTreeMap;

use crate::store::{Db, Param, Sql, StoreError};

use super::{
    BookItem,
    change::{json, unjson},
};

const NOTE: Sql = Sql::same(
    "INSERT INTO order_told (order_item, line, tests, at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (order_item, line) DO UPDATE SET tests = excluded.tests, at = excluded.at",
);
const KEEP: Sql = Sql::same("UPDATE order_told SET tests = $3 WHERE order_item = $1 AND line = $2");
const OF_LINE: Sql = Sql {
    sqlite: "SELECT order_item, tests FROM order_told \
             WHERE order_item IN (SELECT value FROM json_each($1)) AND line = $2",
    postgres: "SELECT order_item, tests FROM order_told WHERE order_item IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND line = $2",
};
const OF_ITEM: Sql =
    Sql::same("SELECT line, tests FROM order_told WHERE order_item = $1 ORDER BY line");
const FORGET: Sql = Sql::same("DELETE FROM order_told WHERE order_item = $1 AND line = $2");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[&NOTE, &KEEP, &OF_LINE, &OF_ITEM, &FORGET];

/// Catalogue tests by the item (its row id) that orders them.
pub type ItemTests = BTreeMap<i64, Vec<String>>;

/// Remembers that a device was given these tests, besides those that it has.
///
/// # Errors
/// The store's.
pub fn note_told(
    db: &mut dyn Db,
    line: &str,
    tests: &ItemTests,
    now: i64,
) -> Result<(), StoreError> {
    let mut told = of_line(db, line, tests.keys().copied())?;
    for (item, tests) in tests {
        let all = told.entry(*item).or_default();
        let new: Vec<&String> = tests.iter().filter(|test| !all.contains(test)).collect();
        let all: Vec<&String> = all.iter().chain(new).collect();
        let params: [Param; 4] = [(*item).into(), line.into(), json(&all)?.into(), now.into()];
        db.exec(&NOTE, &params)?;
    }
    Ok(())
}

/// The tests of these items that a device was given, or will be by what is on the queue.
///
/// # Errors
/// The store's.
pub fn told_tests(
    db: &mut dyn Db,
    line: &str,
    items: &[BookItem],
) -> Result<ItemTests, StoreError> {
    of_line(db, line, items.iter().map(|item| item.id))
}

/// A device was told that these are not wanted any more.
///
/// # Errors
/// The store's.
pub fn note_taken_back(db: &mut dyn Db, line: &str, tests: &ItemTests) -> Result<(), StoreError> {
    for (item, mut told) in of_line(db, line, tests.keys().copied())? {
        told.retain(|test| tests.get(&item).is_none_or(|gone| !gone.contains(test)));
        db.exec(&KEEP, &[item.into(), line.into(), json(&told)?.into()])?;
    }
    Ok(())
}

/// A device will not be told of these after all.
///
/// # Errors
/// The store's.
pub fn forget_told(db: &mut dyn Db, line: &str, tests: &ItemTests) -> Result<(), StoreError> {
    note_taken_back(db, line, tests)?;
    for (item, told) in of_line(db, line, tests.keys().copied())? {
        if told.is_empty() {
            db.exec(&FORGET, &[item.into(), line.into()])?;
        }
    }
    Ok(())
}

fn of_line(
    db: &mut dyn Db,
    line: &str,
    items: impl Iterator<Item = i64>,
) -> Result<ItemTests, StoreError> {
    let items: Vec<i64> = items.collect();
    db.rows(&OF_LINE, &[json(&items)?.into(), line.into()])?
        .iter()
        .map(|row| Ok((row.int(0)?, unjson(row.text(1)?)?)))
        .collect()
}

/// Which lines were told of an item, and of which of its tests.
pub(super) fn of_item(
    db: &mut dyn Db,
    item: i64,
) -> Result<Vec<(String, Vec<String>)>, StoreError> {
    db.rows(&OF_ITEM, &[item.into()])?
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), unjson(row.text(1)?)?)))
        .collect()
}

/// The item is on another tube now, of which no device was told.
pub(super) fn forget_line(db: &mut dyn Db, line: &str, item: i64) -> Result<(), StoreError> {
    db.exec(&FORGET, &[item.into(), line.into()]).map(|_| ())
}
