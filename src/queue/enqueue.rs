//! Results on their way to a host.

use std::collections::BTreeMap;

use crate::{
    book::json,
    image,
    model::{Priority, QueueState},
    store::{Db, Insert, Param, Sql, StoreError},
};

/// Open rows of tubes, when each is due, and whether it takes further results: it was never tried, waits
/// for nothing, and holds less than `$2` bytes of them.
const OPEN_ROWS: Sql = Sql {
    sqlite: "SELECT specimen, destination, id, due_at, CASE WHEN state = 'waiting' \
             AND attempts = 0 AND body IS NULL AND behind IS NULL \
             AND (SELECT coalesce(sum(length(r.detail)), 0) FROM result r WHERE r.queue = q.id) < $2 \
             THEN 1 ELSE 0 END FROM queue q \
             WHERE specimen IN (SELECT value FROM json_each($1)) \
             AND state IN ('waiting', 'leased') AND kind = 'result' ORDER BY id",
    postgres: "SELECT specimen, destination, id, due_at, CAST(CASE WHEN state = 'waiting' \
               AND attempts = 0 AND body IS NULL AND behind IS NULL \
               AND (SELECT coalesce(sum(length(r.detail)), 0) FROM result r \
               WHERE r.queue = q.id) < $2 THEN 1 ELSE 0 END AS bigint) FROM queue q \
               WHERE specimen IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND state IN ('waiting', 'leased') AND kind = 'result' ORDER BY id",
};

/// A waiting message takes no further results once it holds so much: some two thousand numbers, and
/// far below what a message to a host may have.
const MERGED_BYTES_MAX: i64 = 1_024 * 1_024;
/// Walks back through the versions; a tube has few.
const ASIDE_BEFORE: Sql = Sql {
    sqlite: "WITH RECURSIVE before(id) AS (SELECT $1 \
             UNION SELECT r.supersedes FROM result r JOIN before b ON r.id = b.id \
             WHERE r.supersedes IS NOT NULL) \
             SELECT q.id FROM before b JOIN result r ON r.id = b.id \
             JOIN queue q ON q.state = 'set-aside' AND (q.id = r.queue \
             OR q.id IN (SELECT f.queue FROM queue_result f WHERE f.result = r.id)) \
             ORDER BY q.id DESC LIMIT 1",
    postgres: "WITH RECURSIVE before(id) AS (SELECT $1::bigint \
               UNION SELECT r.supersedes FROM result r JOIN before b ON r.id = b.id \
               WHERE r.supersedes IS NOT NULL) \
               SELECT q.id FROM before b JOIN result r ON r.id = b.id \
               JOIN queue q ON q.state = 'set-aside' AND (q.id = r.queue \
               OR q.id IN (SELECT f.queue FROM queue_result f WHERE f.result = r.id)) \
               ORDER BY q.id DESC LIMIT 1",
};
const PUT_BEHIND: Sql = Sql::same(
    "WITH RECURSIVE later(id) AS (SELECT id FROM result WHERE queue = $1 \
     UNION SELECT result FROM queue_result WHERE queue = $1 \
     UNION SELECT r.id FROM result r JOIN later l ON r.supersedes = l.id) \
     UPDATE queue SET behind = $1, reason = $2 WHERE id <> $1 \
     AND state IN ('waiting', 'leased') AND state = 'waiting' AND kind = 'result' \
     AND specimen = (SELECT a.specimen FROM queue a WHERE a.id = $1) \
     AND (id IN (SELECT r.queue FROM result r JOIN later l ON l.id = r.id) \
     OR id IN (SELECT f.queue FROM queue_result f JOIN later l ON l.id = f.result))",
);
const NEXT_ID: Sql = Sql::same("SELECT coalesce(max(id), 0) + 1 FROM queue");
const INSERT: Insert = Insert {
    into: "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, \
           reason, created_at, closed_by, answer, behind)",
    columns: 13,
    tail: "",
    types: &[],
};
const RAISE_TUBE: Sql = Sql::same(
    "UPDATE queue SET priority = $2 WHERE specimen = $1 AND state IN ('waiting', 'leased') \
     AND state = 'waiting' AND priority > $2",
);
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
     AND NOT EXISTS (SELECT 1 FROM queue_result q WHERE q.queue = queue.id) \
     AND NOT EXISTS (SELECT 1 FROM queue_image i WHERE i.queue = queue.id)",
);
const TRIED: Sql = Sql::same(
    "SELECT id, destination, priority, state, due_at FROM queue WHERE specimen = $1 \
     AND kind = 'result' AND state IN ('waiting', 'leased') AND body IS NOT NULL \
     UNION ALL SELECT id, destination, priority, state, due_at FROM queue WHERE state = 'set-aside' \
     AND specimen = $1 AND kind = 'result' AND body IS NOT NULL ORDER BY 1",
);
const TRIED_RESULT: Sql = Sql::same(
    "SELECT 1 FROM (SELECT r.queue AS id FROM result r WHERE r.id = $1 UNION ALL \
     SELECT f.queue FROM queue_result f WHERE f.result = $1) told \
     JOIN queue q ON q.id = told.id WHERE q.body IS NOT NULL LIMIT 1",
);
const MOVE_OPEN: Sql = Sql::same(
    "UPDATE queue SET specimen = $2 WHERE specimen = $1 AND state IN ('waiting', 'leased')",
);
const MOVE_ASIDE: Sql =
    Sql::same("UPDATE queue SET specimen = $2 WHERE specimen = $1 AND state = 'set-aside'");
/// Results of a tried row that no later row is to tell: one that followed it and was never tried
/// itself will be rendered with whatever is true then.
const TO_FOLLOW: Sql = Sql::same(
    "SELECT r.id FROM result r WHERE r.state = 'released' AND (r.queue = $1 \
     OR r.id IN (SELECT q.result FROM queue_result q WHERE q.queue = $1)) \
     AND NOT EXISTS (SELECT 1 FROM queue f WHERE f.specimen = $2 AND f.destination = $3 \
     AND f.id > $1 AND f.state IN ('waiting', 'leased') AND f.body IS NULL AND (f.id = r.queue \
     OR f.id IN (SELECT l.queue FROM queue_result l WHERE l.result = r.id))) ORDER BY r.id",
);
const FOLLOW: Insert = Insert {
    into: "INSERT INTO queue_result (queue, result)",
    columns: 2,
    tail: "ON CONFLICT (queue, result) DO NOTHING",
    types: &[],
};

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN_ROWS,
    &ASIDE_BEFORE,
    &PUT_BEHIND,
    &NEXT_ID,
    &RAISE,
    &RAISE_TUBE,
    &TAKE_OUT,
    &TAKE_OUT_FIRST,
    &SUPERSEDE_EMPTY,
    &TRIED,
    &TRIED_RESULT,
    &MOVE_OPEN,
    &MOVE_ASIDE,
    &TO_FOLLOW,
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
    /// A message that was set aside with an earlier version: these wait until it is decided about.
    pub behind: Option<i64>,
}

/// Queues news, by the same few statements however many there are; each tube and host at most once,
/// what waits for a decision apart.
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
    // What waits behind a message of its tube is not due before that one.
    let mut due: BTreeMap<_, i64> = BTreeMap::new();
    let params = [json(&tubes)?.into(), MERGED_BYTES_MAX.into()];
    for row in db.rows(&OPEN_ROWS, &params)? {
        let key = (row.int(0)?, row.text(1)?.to_owned());
        let latest = due.entry(key.clone()).or_default();
        *latest = row.int(3)?.max(*latest);
        if row.int(4)? == 1 {
            // The newest comes last, and stays.
            open.insert(key, row.int(2)?);
        }
    }
    let mut next_id = db.row(&NEXT_ID, &[])?.int(0)?;
    let mut rows = Vec::new();
    let mut ids = Vec::with_capacity(news.len());
    for one in news {
        let destination = format!("host:{}", one.host);
        let key = (one.specimen, destination);
        let rank = one.priority.rank();
        let is_free = one.behind.is_none();
        let id = if let Some(id) = open.get(&key).filter(|_| is_free) {
            db.exec(&RAISE, &[(*id).into(), rank.into()])?;
            *id
        } else {
            let reason = one.behind.map_or_else(String::new, why_behind);
            let mut new = row(next_id, &key.1, one.specimen, rank, &reason, now);
            if let (Some(behind), Some(column)) = (one.behind, new.last_mut()) {
                *column = behind.into();
            }
            if let (Some(before), Some(column)) = (due.get(&key), new.get_mut(DUE_COLUMN)) {
                *column = now.max(*before).into();
            }
            rows.push(new);
            next_id += 1;
            next_id - 1
        };
        ids.push(id);
    }
    db.insert_rows(&INSERT, rows)?;
    Ok(ids)
}

/// Queues news in messages of their own that do not leave before `due_at`, so that whoever released
/// it can take it back until then. Returns the queue row of each.
///
/// # Errors
/// The store's.
pub fn enqueue_apart(
    db: &mut dyn Db,
    news: &[News],
    now: i64,
    due_at: i64,
) -> Result<Vec<i64>, StoreError> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::with_capacity(news.len());
    let mut rows = Vec::with_capacity(news.len());
    let first = db.row(&NEXT_ID, &[])?.int(0)?;
    for (id, one) in (first..).zip(news) {
        let destination = format!("host:{}", one.host);
        let reason = one.behind.map_or_else(String::new, why_behind);
        let rank = one.priority.rank();
        let mut new = row(id, &destination, one.specimen, rank, &reason, now);
        if let Some(due) = new.get_mut(DUE_COLUMN) {
            *due = due_at.into();
        }
        if let (Some(behind), Some(column)) = (one.behind, new.last_mut()) {
            *column = behind.into();
        }
        rows.push(new);
        ids.push(id);
    }
    db.insert_rows(&INSERT, rows)?;
    Ok(ids)
}

/// Where `due_at` stands among the columns of [`INSERT`].
const DUE_COLUMN: usize = 7;

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
        Param::Null,
    ]
}

fn why_behind(message: i64) -> String {
    format!("an earlier version was set aside: decide about message {message} first")
}

/// The set-aside message that told, or was to tell, an earlier version of this result.
///
/// # Errors
/// The store's.
pub fn aside_before(db: &mut dyn Db, result: i64) -> Result<Option<i64>, StoreError> {
    db.row_opt(&ASIDE_BEFORE, &[result.into()])?
        .map(|row| row.int(0))
        .transpose()
}

/// Says of waiting messages with later versions of what a set-aside one tells, that they wait for
/// the decision about it.
///
/// # Errors
/// The store's.
pub(super) fn put_behind(db: &mut dyn Db, aside: i64) -> Result<(), StoreError> {
    db.exec(&PUT_BEHIND, &[aside.into(), why_behind(aside).into()])?;
    Ok(())
}

/// What waits of a tube becomes as urgent as its order now is; nothing becomes less urgent.
///
/// # Errors
/// The store's.
pub fn raise(db: &mut dyn Db, specimen: i64, priority: Priority) -> Result<(), StoreError> {
    db.exec(&RAISE_TUBE, &[specimen.into(), priority.rank().into()])?;
    Ok(())
}

/// Whether a message that tells this result was tried: its host has it, or may have it.
///
/// # Errors
/// The store's.
pub fn was_tried(db: &mut dyn Db, result: i64) -> Result<bool, StoreError> {
    Ok(db.row_opt(&TRIED_RESULT, &[result.into()])?.is_some())
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

/// Messages of one tube that are open become those of another, which is the same tube.
///
/// # Errors
/// The store's.
pub fn move_open(db: &mut dyn Db, from: i64, to: i64) -> Result<(), StoreError> {
    let params: [Param; 2] = [from.into(), to.into()];
    db.exec(&MOVE_OPEN, &params)?;
    db.exec(&MOVE_ASIDE, &params)?;
    Ok(())
}

/// For every message of a tube that was tried and is not closed: a new one with the same results
/// follows it, because its own bytes may not change any more. What follows a message that is set
/// aside waits until somebody has decided about that one.
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
        let params: [Param; 3] = [
            row.int(0)?.into(),
            specimen.into(),
            destination.as_str().into(),
        ];
        let results = db.rows(&TO_FOLLOW, &params)?;
        let tried = row.int(0)?;
        if results.is_empty() && image::of_row(db, tried)?.is_empty() {
            continue;
        }
        let next = db.row(&NEXT_ID, &[])?.int(0)?;
        let mut new = self::row(next, &destination, specimen, row.int(2)?, reason, now);
        if row.text(3)? == QueueState::SetAside.code()
            && let Some(behind) = new.last_mut()
        {
            *behind = row.int(0)?.into();
        } else if let Some(due) = new.get_mut(DUE_COLUMN) {
            *due = now.max(row.int(4)?).into();
        }
        db.insert_rows(&INSERT, vec![new])?;
        let links = results
            .iter()
            .map(|result| Ok(vec![next.into(), result.int(0)?.into()]))
            .collect::<Result<_, StoreError>>()?;
        db.insert_rows(&FOLLOW, links)?;
        image::follow(db, tried, next)?;
    }
    Ok(())
}
