//! Results on their way to a host.

use crate::{
    model::Priority,
    store::{Db, Insert, Param, Sql, StoreError},
};

/// A waiting row that was never tried takes further results of its tube, so that a host that was
/// away for hours gets one message a tube and not one a test.
const OPEN_ROW: Sql = Sql::same(
    "SELECT id FROM queue WHERE specimen = $1 AND destination = $2 AND state = 'waiting' \
     AND attempts = 0 AND body IS NULL ORDER BY id DESC LIMIT 1",
);
const INSERT: Sql = Sql::same(
    "INSERT INTO queue (destination, kind, specimen, priority, state, attempts, due_at, reason, \
     created_at, closed_by, answer) \
     VALUES ($1, 'result', $2, $3, 'waiting', 0, $4, $5, $4, '', '') RETURNING id",
);
const RAISE: Sql = Sql::same("UPDATE queue SET priority = $2 WHERE id = $1 AND priority > $2");
const ADD: Insert = Insert {
    into: "INSERT INTO queue_result (queue, result)",
    columns: 2,
    tail: "ON CONFLICT (queue, result) DO NOTHING",
};
const TAKE_OUT: Sql = Sql::same(
    "DELETE FROM queue_result WHERE result = $1 AND queue IN (SELECT id FROM queue \
     WHERE state = 'waiting' AND attempts = 0 AND body IS NULL)",
);
const SUPERSEDE_EMPTY: Sql = Sql::same(
    "UPDATE queue SET state = 'superseded', closed_at = $2 WHERE specimen = $1 AND kind = 'result' \
     AND state = 'waiting' AND attempts = 0 AND body IS NULL \
     AND NOT EXISTS (SELECT 1 FROM queue_result q WHERE q.queue = queue.id)",
);
const TRIED: Sql = Sql::same(
    "SELECT id, destination, priority FROM queue WHERE specimen = $1 AND kind = 'result' \
     AND state IN ('waiting', 'leased') AND body IS NOT NULL ORDER BY id",
);
const COPY_RESULTS: Sql = Sql::same(
    "INSERT INTO queue_result (queue, result) \
     SELECT $2, r.id FROM queue_result q JOIN result r ON r.id = q.result \
     WHERE q.queue = $1 AND r.state = 'released' ON CONFLICT (queue, result) DO NOTHING",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN_ROW,
    &INSERT,
    &RAISE,
    &TAKE_OUT,
    &SUPERSEDE_EMPTY,
    &TRIED,
    &COPY_RESULTS,
];

/// Queues released result versions of one tube for one host.
///
/// # Errors
/// The store's.
pub fn enqueue_results(
    db: &mut dyn Db,
    host: &str,
    specimen: i64,
    priority: Priority,
    results: &[i64],
    now: i64,
) -> Result<i64, StoreError> {
    let destination = format!("host:{host}");
    let open = db.row_opt(&OPEN_ROW, &[specimen.into(), destination.as_str().into()])?;
    let id = match open {
        Some(row) => {
            let id = row.int(0)?;
            db.exec(&RAISE, &[id.into(), priority.rank().into()])?;
            id
        }
        None => insert(db, &destination, specimen, priority.rank(), "", now)?,
    };
    let rows = results
        .iter()
        .map(|result| vec![id.into(), (*result).into()])
        .collect();
    db.insert_rows(&ADD, rows)?;
    Ok(id)
}

fn insert(
    db: &mut dyn Db,
    destination: &str,
    specimen: i64,
    priority: i64,
    reason: &str,
    now: i64,
) -> Result<i64, StoreError> {
    let params: [Param; 5] = [
        destination.into(),
        specimen.into(),
        priority.into(),
        now.into(),
        reason.into(),
    ];
    db.insert(&INSERT, &params)
}

/// Takes a replaced version out of every row that was never tried. Returns whether it was in one,
/// and so never left the house.
///
/// # Errors
/// The store's.
pub fn withdraw_result(
    db: &mut dyn Db,
    specimen: i64,
    result: i64,
    now: i64,
) -> Result<bool, StoreError> {
    let taken = db.exec(&TAKE_OUT, &[result.into()])? > 0;
    if taken {
        db.exec(&SUPERSEDE_EMPTY, &[specimen.into(), now.into()])?;
    }
    Ok(taken)
}

/// For every message of a tube that was tried and is not closed: a new one with the same results
/// follows it, because its own bytes may not change any more.
///
/// # Errors
/// The store's.
pub fn follow_tried(
    db: &mut dyn Db,
    specimen: i64,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    for row in db.rows(&TRIED, &[specimen.into()])? {
        let destination = row.text(1)?.to_owned();
        let next = insert(db, &destination, specimen, row.int(2)?, reason, now)?;
        db.exec(&COPY_RESULTS, &[row.int(0)?.into(), next.into()])?;
    }
    Ok(())
}
