//! What people see and do: list, look, try again, give up with a reason.

use serde::Serialize;

use crate::{
    audit,
    model::{QueueEvent, QueueState},
    store::{Db, Param, Row, Sql, StoreError},
};

/// Open states one by one, because each has an index of its own: what was delivered stays in the table
/// for good, and open rows may stand behind millions of it. SQLite would rather walk through those.
const WAITING: Sql = Sql {
    sqlite: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
             q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
             FROM queue q INDEXED BY queue_waiting JOIN specimen s ON s.id = q.specimen \
             WHERE q.state = 'waiting' AND q.id > $1 ORDER BY q.id LIMIT $2",
    postgres: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
               q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
               FROM queue q JOIN specimen s ON s.id = q.specimen \
               WHERE q.state = 'waiting' AND q.id > $1 ORDER BY q.id LIMIT $2",
};
const LEASED: Sql = Sql {
    sqlite: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
             q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
             FROM queue q INDEXED BY queue_leased JOIN specimen s ON s.id = q.specimen \
             WHERE q.state = 'leased' AND q.id > $1 ORDER BY q.id LIMIT $2",
    postgres: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
               q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
               FROM queue q JOIN specimen s ON s.id = q.specimen \
               WHERE q.state = 'leased' AND q.id > $1 ORDER BY q.id LIMIT $2",
};
const SET_ASIDE: Sql = Sql {
    sqlite: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
             q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
             FROM queue q INDEXED BY queue_aside JOIN specimen s ON s.id = q.specimen \
             WHERE q.state = 'set-aside' AND q.id > $1 ORDER BY q.id LIMIT $2",
    postgres: "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
               q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
               FROM queue q JOIN specimen s ON s.id = q.specimen \
               WHERE q.state = 'set-aside' AND q.id > $1 ORDER BY q.id LIMIT $2",
};
const CLOSED: Sql = Sql::same(
    "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
     q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
     FROM queue q JOIN specimen s ON s.id = q.specimen WHERE q.state = $3 AND q.id > $1 \
     ORDER BY q.id LIMIT $2",
);
const COLUMNS_BY_ID: Sql = Sql::same(
    "SELECT q.id, q.destination, q.kind, s.barcode, q.priority, q.state, q.attempts, q.due_at, \
     q.control_id, q.reason, q.answer, q.created_at, q.closed_at, q.closed_by, q.body \
     FROM queue q JOIN specimen s ON s.id = q.specimen WHERE q.id = $1",
);
/// Due since it is there: before everything that came later, however much waits.
const RETRY: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', due_at = created_at, closed_at = NULL, reason = $2 \
     WHERE id = $1",
);
const DISCARD: Sql = Sql::same(
    "UPDATE queue SET state = 'discarded', closed_at = $2, closed_by = $3, reason = $4 \
     WHERE id = $1",
);
/// State by state, because each of these has an index of its own: what was delivered stays in the table for
/// good, and this is asked every few seconds. Half a million may wait: they are counted in the index
/// alone, and the oldest is the one with the lowest id.
const COUNTS: Sql = Sql::same(
    "SELECT c.destination, q.state, c.total, q.created_at FROM (\
     SELECT destination, count(*) AS total, min(id) AS oldest FROM queue \
     WHERE state = 'waiting' GROUP BY destination UNION ALL \
     SELECT destination, count(*) AS total, min(id) AS oldest FROM queue \
     WHERE state = 'leased' GROUP BY destination UNION ALL \
     SELECT destination, count(*) AS total, min(id) AS oldest FROM queue \
     WHERE state = 'set-aside' GROUP BY destination) c JOIN queue q ON q.id = c.oldest \
     ORDER BY 1, 2",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &WAITING,
    &LEASED,
    &SET_ASIDE,
    &CLOSED,
    &COLUMNS_BY_ID,
    &RETRY,
    &DISCARD,
    &COUNTS,
];

/// A queue row as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueRow {
    /// Row id.
    pub id: i64,
    /// `host:<id>` or `line:<id>`.
    pub destination: String,
    /// `result`, `order` or `cancel`.
    pub kind: String,
    /// The tube.
    pub barcode: String,
    /// 0 is STAT.
    pub priority: i64,
    /// Its state.
    pub state: QueueState,
    /// How often it was tried.
    pub attempts: i64,
    /// Next try, microseconds UTC.
    pub due_at: i64,
    /// MSH-10 of every try.
    pub control_id: Option<String>,
    /// Why it waits or was set aside.
    pub reason: String,
    /// The receiver's last answer.
    pub answer: String,
    /// Microseconds UTC.
    pub created_at: i64,
    /// Microseconds UTC.
    pub closed_at: Option<i64>,
    /// Who gave it up.
    pub closed_by: String,
    /// The bytes, where rendered.
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
}

fn read(row: &Row) -> Result<QueueRow, StoreError> {
    let state = QueueState::from_code(row.text(5)?)
        .ok_or_else(|| StoreError::value("unknown queue state in a row"))?;
    Ok(QueueRow {
        id: row.int(0)?,
        destination: row.text(1)?.to_owned(),
        kind: row.text(2)?.to_owned(),
        barcode: row.text(3)?.to_owned(),
        priority: row.int(4)?,
        state,
        attempts: row.int(6)?,
        due_at: row.int(7)?,
        control_id: row.opt_text(8)?.map(str::to_owned),
        reason: row.text(9)?.to_owned(),
        answer: row.text(10)?.to_owned(),
        created_at: row.int(11)?,
        closed_at: row.opt_int(12)?,
        closed_by: row.text(13)?.to_owned(),
        body: row.opt_blob(14)?.map(<[u8]>::to_vec),
    })
}

/// Rows in a state, oldest first, after a row id, at most so many.
///
/// # Errors
/// The store's.
pub fn list(
    db: &mut dyn Db,
    state: QueueState,
    after: i64,
    count_max: i64,
) -> Result<Vec<QueueRow>, StoreError> {
    let mut params: Vec<Param> = vec![after.into(), count_max.into()];
    let sql = match state {
        QueueState::Waiting => &WAITING,
        QueueState::Leased => &LEASED,
        QueueState::SetAside => &SET_ASIDE,
        QueueState::Delivered | QueueState::Discarded | QueueState::Superseded => {
            params.push(state.code().into());
            &CLOSED
        }
    };
    db.rows(sql, &params)?.iter().map(read).collect()
}

/// One row.
///
/// # Errors
/// The store's.
pub fn find(db: &mut dyn Db, id: i64) -> Result<Option<QueueRow>, StoreError> {
    db.row_opt(&COLUMNS_BY_ID, &[id.into()])?
        .as_ref()
        .map(read)
        .transpose()
}

/// A person asks to try a row again now. False where its state does not allow it.
///
/// # Errors
/// The store's.
pub fn retry(db: &mut dyn Db, id: i64, actor: &str, now: i64) -> Result<bool, StoreError> {
    let Some(row) = find(db, id)? else {
        return Ok(false);
    };
    if row.state.on(QueueEvent::Retry).is_none() {
        return Ok(false);
    }
    db.exec(&RETRY, &[id.into(), format!("asked for by {actor}").into()])?;
    audit::write(
        db,
        now,
        actor,
        "queue-retry",
        &format!("queue:{id}"),
        &row.reason,
    )?;
    Ok(true)
}

/// A person gives a row up, with a reason. False where its state does not allow it.
///
/// # Errors
/// The store's.
pub fn discard(
    db: &mut dyn Db,
    id: i64,
    actor: &str,
    reason: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let Some(row) = find(db, id)? else {
        return Ok(false);
    };
    if row.state.on(QueueEvent::Discard).is_none() {
        return Ok(false);
    }
    db.exec(
        &DISCARD,
        &[id.into(), now.into(), actor.into(), reason.into()],
    )?;
    audit::write(
        db,
        now,
        actor,
        "queue-discard",
        &format!("queue:{id}"),
        reason,
    )?;
    Ok(true)
}

/// How many rows are open per destination and state, and since when the oldest: `(destination,
/// state, count, oldest created_at)`.
///
/// # Errors
/// The store's.
pub fn summary(db: &mut dyn Db) -> Result<Vec<(String, String, i64, i64)>, StoreError> {
    db.rows(&COUNTS, &[])?
        .iter()
        .map(|row| {
            Ok((
                row.text(0)?.to_owned(),
                row.text(1)?.to_owned(),
                row.int(2)?,
                row.int(3)?,
            ))
        })
        .collect()
}
