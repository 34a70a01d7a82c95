//! What the store knows of its archives.

use std::collections::BTreeSet;

use crate::store::{Db, Insert, Row, Sql, StoreError};

use super::unit::Unit;

const INSERT: Sql = Sql::same(
    "INSERT INTO archive (file, kind, sha256, older_than, messages, results, deliveries, events, \
     first_result, last_result, at) VALUES ($1, $2, $3, $4, 0, 0, 0, 0, NULL, NULL, $5) RETURNING id",
);
const COUNT: Sql = Sql::same(
    "UPDATE archive SET messages = messages + $2, results = results + $3, \
     deliveries = deliveries + $4, events = events + $5, \
     first_result = CASE WHEN first_result IS NULL OR $6 < first_result THEN $6 ELSE first_result END, \
     last_result = CASE WHEN last_result IS NULL OR $7 > last_result THEN $7 ELSE last_result END \
     WHERE id = $1",
);
const ALL_ROWS: Sql = Sql::same(
    "SELECT id, file, kind, sha256, older_than, messages, results, deliveries, events, at FROM archive \
     ORDER BY id",
);
const FILES: Sql = Sql::same("SELECT file FROM archive");
const OF_TUBE: Sql = Sql::same(
    "SELECT a.file FROM archive_tube t JOIN archive a ON a.id = t.archive WHERE t.barcode = $1 \
     ORDER BY a.id",
);
const OF_RESULT: Sql = Sql::same(
    "SELECT file FROM archive WHERE first_result <= $1 AND last_result >= $1 ORDER BY id",
);
const COUNTS: Sql = Sql::same(
    "SELECT count(*), CAST(coalesce(sum(messages), 0) AS bigint), \
     CAST(coalesce(sum(results), 0) AS bigint), CAST(coalesce(sum(deliveries), 0) AS bigint), \
     CAST(coalesce(sum(events), 0) AS bigint), max(older_than) FROM archive",
);
const TUBES: Insert = Insert {
    into: "INSERT INTO archive_tube (barcode, archive)",
    columns: 2,
    tail: "ON CONFLICT DO NOTHING",
    types: &[],
};

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &INSERT, &COUNT, &ALL_ROWS, &FILES, &OF_TUBE, &OF_RESULT, &COUNTS,
];

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its row.
    pub id: i64,
    /// Its name in the folder of archives.
    pub file: String,
    /// `tubes` or `audit`.
    pub kind: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// What is in it is older than this, UTC microseconds.
    pub before: i64,
    /// What left the store for it.
    pub counts: Counts,
    /// When it was made.
    pub at: i64,
}

/// How much left the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files.
    pub files: i64,
    /// Messages of the journal.
    pub messages: i64,
    /// Results.
    pub results: i64,
    /// Messages to hosts and devices.
    pub deliveries: i64,
    /// Rows of the audit.
    pub events: i64,
    /// The newest age that was archived, UTC microseconds.
    pub before: Option<i64>,
}

/// Every archive, oldest first.
///
/// # Errors
/// The store's.
pub fn archives(db: &mut dyn Db) -> Result<Vec<Archive>, StoreError> {
    let read = |row: &Row| {
        Ok(Archive {
            id: row.int(0)?,
            file: row.text(1)?.to_owned(),
            kind: row.text(2)?.to_owned(),
            sha256: row.text(3)?.to_owned(),
            before: row.int(4)?,
            counts: Counts {
                files: 1,
                messages: row.int(5)?,
                results: row.int(6)?,
                deliveries: row.int(7)?,
                events: row.int(8)?,
                before: Some(row.int(4)?),
            },
            at: row.int(9)?,
        })
    };
    db.rows(&ALL_ROWS, &[])?.iter().map(read).collect()
}

/// How much was archived.
///
/// # Errors
/// The store's.
pub fn counts(db: &mut dyn Db) -> Result<Counts, StoreError> {
    let row = db.row(&COUNTS, &[])?;
    Ok(Counts {
        files: row.int(0)?,
        messages: row.int(1)?,
        results: row.int(2)?,
        deliveries: row.int(3)?,
        events: row.int(4)?,
        before: row.opt_int(5)?,
    })
}

/// The files that a tube is in.
///
/// # Errors
/// The store's.
pub fn of_tube(db: &mut dyn Db, barcode: &str) -> Result<Vec<String>, StoreError> {
    names(&db.rows(&OF_TUBE, &[barcode.into()])?)
}

/// The files that a result of this number is in, if it was archived.
///
/// # Errors
/// The store's.
pub fn of_result(db: &mut dyn Db, result: i64) -> Result<Vec<String>, StoreError> {
    names(&db.rows(&OF_RESULT, &[result.into()])?)
}

fn names(rows: &[Row]) -> Result<Vec<String>, StoreError> {
    rows.iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// The names of all files that the store knows.
pub(super) fn files(db: &mut dyn Db) -> Result<BTreeSet<String>, StoreError> {
    names(&db.rows(&FILES, &[])?).map(BTreeSet::from_iter)
}

/// A file, before anything left the store for it.
pub(super) fn insert(
    db: &mut dyn Db,
    (file, kind, sha256): (&str, &str, &str),
    before: i64,
    now: i64,
) -> Result<i64, StoreError> {
    db.insert(
        &INSERT,
        &[
            file.into(),
            kind.into(),
            sha256.into(),
            before.into(),
            now.into(),
        ],
    )
}

/// Units left the store for the file `archive`.
pub(super) fn count(db: &mut dyn Db, archive: i64, units: &[&Unit]) -> Result<(), StoreError> {
    let total = |table: &str| {
        let rows = units.iter().filter_map(|unit| unit.rows.get(table));
        i64::try_from(rows.map(Vec::len).sum::<usize>()).unwrap_or(i64::MAX)
    };
    let results: BTreeSet<i64> = units
        .iter()
        .flat_map(|unit| unit.numbers("result", "id"))
        .collect();
    let params = [
        archive.into(),
        total("message").into(),
        total("result").into(),
        total("queue").into(),
        0_i64.into(),
        results.first().copied().into(),
        results.last().copied().into(),
    ];
    db.exec(&COUNT, &params)?;
    let tubes: BTreeSet<String> = units.iter().flat_map(|unit| unit.barcodes()).collect();
    let rows = tubes
        .into_iter()
        .map(|tube| vec![tube.into(), archive.into()]);
    db.insert_rows(&TUBES, rows.collect()).map(|_| ())
}

/// Rows of the audit left the store for the file `archive`.
pub(super) fn count_events(db: &mut dyn Db, archive: i64, events: i64) -> Result<(), StoreError> {
    let nothing = || crate::store::Param::Null;
    let params = [
        archive.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        events.into(),
        nothing(),
        nothing(),
    ];
    db.exec(&COUNT, &params).map(|_| ())
}
