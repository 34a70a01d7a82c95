//! Orders and cancels on their way to a device.

use crate::{
    book::{ItemTests, json, unjson},
    model::Priority,
    store::{Db, Param, Sql, StoreError},
};

/// SQLite gives the next id by itself; PostgreSQL would count on from the last that it gave itself,
/// while results bring their own.
const INSERT: Sql = Sql {
    sqlite: "INSERT INTO queue (destination, kind, specimen, priority, state, attempts, due_at, \
             reason, created_at, closed_by, answer) \
             VALUES ($1, $2, $3, $4, 'waiting', 0, $5, '', $5, '', '') RETURNING id",
    postgres: "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, \
               due_at, reason, created_at, closed_by, answer) \
               VALUES ((SELECT coalesce(max(id), 0) + 1 FROM queue), \
               $1, $2, $3, $4, 'waiting', 0, $5, '', $5, '', '') RETURNING id",
};
const INSERT_ASIDE: Sql = Sql {
    sqlite: "INSERT INTO queue (destination, kind, specimen, priority, state, attempts, due_at, \
             reason, created_at, closed_at, closed_by, answer) \
             VALUES ($1, $2, $3, $4, 'set-aside', 0, $5, $6, $5, $5, '', $7) RETURNING id",
    postgres: "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, \
               due_at, reason, created_at, closed_at, closed_by, answer) \
               VALUES ((SELECT coalesce(max(id), 0) + 1 FROM queue), \
               $1, $2, $3, $4, 'set-aside', 0, $5, $6, $5, $5, '', $7) RETURNING id",
};
const ASIDE: Sql = Sql::same(
    "SELECT id FROM queue WHERE state = 'set-aside' AND specimen = $1 AND destination = $2 \
     AND kind = $3 ORDER BY id",
);
const ADD_ORDER: Sql = Sql::same(
    "INSERT INTO queue_order (queue, order_item, tests) VALUES ($1, $2, $3) \
     ON CONFLICT (queue, order_item) DO NOTHING",
);
const TESTS: Sql = Sql::same("SELECT order_item, tests FROM queue_order WHERE queue = $1");
const UNTRIED: Sql = Sql::same(
    "SELECT o.order_item, o.tests FROM queue q JOIN queue_order o ON o.queue = q.id \
     WHERE q.specimen = $1 AND q.destination = $2 AND q.kind = $3 \
     AND q.state IN ('waiting', 'leased') AND q.body IS NULL ORDER BY q.id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&INSERT, &INSERT_ASIDE, &ASIDE, &ADD_ORDER, &TESTS, &UNTRIED];

/// Something a device must be told without having asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The device's line.
    pub line: String,
    /// What it is told.
    pub kind: DownloadKind,
    /// The tube it is about.
    pub specimen: i64,
    /// How urgent.
    pub priority: Priority,
    /// The items, and which of their tests.
    pub items: ItemTests,
}

/// What a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadKind {
    /// Measure these.
    Order,
    /// Do not measure these any more.
    Cancel,
}

impl DownloadKind {
    /// As stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cancel => "cancel",
        }
    }
}

/// Queues a download; order is kept per tube.
///
/// # Errors
/// The store's.
pub fn enqueue_download(db: &mut dyn Db, download: &Download, now: i64) -> Result<i64, StoreError> {
    let params: [Param; 5] = [
        format!("line:{}", download.line).into(),
        download.kind.code().into(),
        download.specimen.into(),
        download.priority.rank().into(),
        now.into(),
    ];
    let id = db.insert(&INSERT, &params)?;
    add_items(db, id, &download.items)?;
    Ok(id)
}

fn add_items(db: &mut dyn Db, id: i64, items: &ItemTests) -> Result<(), StoreError> {
    for (item, tests) in items {
        let params: [Param; 3] = [id.into(), (*item).into(), json(tests)?.into()];
        db.exec(&ADD_ORDER, &params)?;
    }
    Ok(())
}

/// Shows a person what a device refused that no row had told it: set aside from the first. What is
/// set aside already with the same tests is not shown twice.
///
/// # Errors
/// The store's.
pub fn set_aside_download(
    db: &mut dyn Db,
    download: &Download,
    (reason, answer): (&str, &str),
    now: i64,
) -> Result<(), StoreError> {
    let destination = format!("line:{}", download.line);
    let own: [Param; 3] = [
        download.specimen.into(),
        destination.as_str().into(),
        download.kind.code().into(),
    ];
    for row in db.rows(&ASIDE, &own)? {
        if tests_of_row(db, row.int(0)?)? == download.items {
            return Ok(());
        }
    }
    let params: [Param; 7] = [
        destination.into(),
        download.kind.code().into(),
        download.specimen.into(),
        download.priority.rank().into(),
        now.into(),
        reason.into(),
        answer.into(),
    ];
    let id = db.insert(&INSERT_ASIDE, &params)?;
    add_items(db, id, &download.items)
}

/// The items of a row, and which of their tests it is about.
///
/// # Errors
/// The store's.
pub fn tests_of_row(db: &mut dyn Db, row: i64) -> Result<ItemTests, StoreError> {
    db.rows(&TESTS, &[row.into()])?
        .iter()
        .map(|row| Ok((row.int(0)?, unjson(row.text(1)?)?)))
        .collect()
}

/// What a device is yet to be told to measure in a tube, by rows that were never tried.
///
/// # Errors
/// The store's.
pub fn untried_orders(db: &mut dyn Db, line: &str, specimen: i64) -> Result<ItemTests, StoreError> {
    let params: [Param; 3] = [
        specimen.into(),
        format!("line:{line}").into(),
        DownloadKind::Order.code().into(),
    ];
    let mut untried = ItemTests::new();
    for row in db.rows(&UNTRIED, &params)? {
        let tests: Vec<String> = unjson(row.text(1)?)?;
        untried.entry(row.int(0)?).or_default().extend(tests);
    }
    Ok(untried)
}
