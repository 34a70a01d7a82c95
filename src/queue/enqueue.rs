//! Results on their way to a host.

use std::collections::BTreeMap;

use crate::{
    book::json,
    model::Priority,
    store::{Db, Insert, Param, Sql, StoreError},
};

/// Waiting rows that were never tried. Two terms about the state: the first is the index's.
const OPEN_ROWS: Sql = Sql {
    sqlite: "SELECT specimen, destination, id FROM queue \
             WHERE specimen IN (SELECT value FROM json_each($1)) \
             AND state IN ('waiting', 'leased') AND state = 'waiting' AND kind = 'result' \
             AND attempts = 0 AND body IS NULL ORDER BY id",
    postgres: "SELECT specimen, destination, id FROM queue WHERE specimen IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND state IN ('waiting', 'leased') AND state = 'waiting' AND kind = 'result' \
               AND attempts = 0 AND body IS NULL ORDER BY id",
};
const NEXT_ID: Sql = Sql::same("SELECT coalesce(max(id), 0) + 1 FROM queue");
const INSERT: Insert = Insert {
    into: "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, \
           reason, created_at, closed_by, answer)",
    columns: 12,
    tail: "",
};
const RAISE: Sql = Sql::same("UPDATE queue SET priority = $2 WHERE id = $1 AND priority > $2");
/// Rows that were never tried.
const TAKE_OUT_FIRST: Sql = Sql::same(
    "UPDATE result SET queue = NULL WHERE id = $1 AND (SELECT q.state = 'waiting' \
     AND q.attempts = 0 AND q.body IS NULL FROM queue q WHERE q.id = result.queue)",
);
const TAKE_OUT: Sql = Sql::same(
    "DELETE FROM queue_result WHERE result = $1 AND (SELECT q.state = 'waiting' \
     AND q.attempts = 0 AND q.body IS NULL FROM queue q WHERE q.id = queue_result.queue)",
);
const SUPERSEDE_EMPTY: Sql = Sql::same(
    "UPDATE queue SET state = 'superseded', closed_at = $2 WHERE specimen = $1 AND kind = 'result' \
     AND state IN ('waiting', 'leased') AND state = 'waiting' AND attempts = 0 AND body IS NULL \
     AND NOT EXISTS (SELECT 1 FROM result r WHERE r.queue = queue.id) \
     AND NOT EXISTS (SELECT 1 FROM queue_result q WHERE q.queue = queue.id)",
);
const TRIED: Sql = Sql::same(
    "SELECT id, destination, priority FROM queue WHERE specimen = $1 AND kind = 'result' \
     AND state IN ('waiting', 'leased') AND body IS NOT NULL ORDER BY id",
);
const COPY_RESULTS: Sql = Sql::same(
    "INSERT INTO queue_result (queue, result) \
     SELECT $2, r.id FROM result r WHERE r.state = 'released' AND (r.queue = $1 \
     OR r.id IN (SELECT q.result FROM queue_result q WHERE q.queue = $1)) \
     ON CONFLICT (queue, result) DO NOTHING",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN_ROWS,
    &NEXT_ID,
    &RAISE,
    &TAKE_OUT,
    &TAKE_OUT_FIRST,
    &SUPERSEDE_EMPTY,
    &TRIED,
    &COPY_RESULTS,
];

/// Released result versions of one tube for one host.
#[derive(Clone, Debug)]
pub struct News {
    /// The host's id.
    pub host: String,
    /// The tube.
    pub specimen: i64,
    /// Of the tube's most urgent order.
    pub priority: Priority,
}

/// Queues news, by the same few statements however many there are; each tube and host at most once.
/// Returns the queue row of each, in their order, for the caller to write into its results.
///
/// A waiting row that was never tried takes further results of its tube, so that a host that was
/// away for hours gets one message a tube and not one a test.
///
/// # Errors
/// The store's.
pub fn enqueue_results(db: &mut dyn Db, news: &[News], now: i64) -> Result<Vec<i64>, StoreError> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let tubes: Vec<i64> = news.iter().map(|one| one.specimen).collect();
    let mut open = BTreeMap::new();
    for row in db.rows(&OPEN_ROWS, &[json(&tubes)?.into()])? {
        // The newest comes last, and stays.
        open.insert((row.int(0)?, row.text(1)?.to_owned()), row.int(2)?);
    }
    let mut next_id = db.row(&NEXT_ID, &[])?.int(0)?;
    let mut rows = Vec::new();
    let mut ids = Vec::with_capacity(news.len());
    for one in news {
        let destination = format!("host:{}", one.host);
        let key = (one.specimen, destination);
        let rank = one.priority.rank();
        let id = if let Some(id) = open.get(&key) {
            db.exec(&RAISE, &[(*id).into(), rank.into()])?;
            *id
        } else {
            rows.push(row(next_id, &key.1, one.specimen, rank, "", now));
            next_id += 1;
            next_id - 1
        };
        ids.push(id);
    }
    db.insert_rows(&INSERT, rows)?;
    Ok(ids)
}

/// A row that waits and was never tried.
fn row(
    id: i64,
    destination: &str,
    specimen: i64,
    priority: i64,
    reason: &str,
    now: i64,
) -> Vec<Param> {
    vec![
        id.into(),
        destination.into(),
        "result".into(),
        specimen.into(),
        priority.into(),
        "waiting".into(),
        0.into(),
        now.into(),
        reason.into(),
        now.into(),
        "".into(),
        "".into(),
    ]
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
    let taken = db.exec(&TAKE_OUT_FIRST, &[result.into()])?;
    let taken = taken + db.exec(&TAKE_OUT, &[result.into()])? > 0;
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
        let next = db.row(&NEXT_ID, &[])?.int(0)?;
        let new = self::row(next, &destination, specimen, row.int(2)?, reason, now);
        db.insert_rows(&INSERT, vec![new])?;
        db.exec(&COPY_RESULTS, &[row.int(0)?.into(), next.into()])?;
    }
    Ok(())
}
