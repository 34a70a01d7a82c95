//! Leasing rows to workers, and what became of each try.

use crate::{
    model::{QueueEvent, QueueState},
    store::{Db, Param, Row, Sql, StoreError},
};

/// Rows that may go now: due, and no earlier open row of the same tube to the same destination.
const CANDIDATES: Sql = Sql::same(
    "SELECT q.id, q.kind, q.specimen, q.attempts, q.control_id, q.body FROM queue q \
     WHERE q.destination = $1 AND q.state = 'waiting' AND q.due_at <= $2 \
     AND NOT EXISTS (SELECT 1 FROM queue e WHERE e.specimen = q.specimen \
       AND e.destination = q.destination AND e.id < q.id AND e.state IN ('waiting', 'leased')) \
     AND NOT EXISTS (SELECT 1 FROM queue_result own \
       JOIN result mine ON mine.id = own.result \
       JOIN queue_result other ON other.result = mine.supersedes \
       JOIN queue aside ON aside.id = other.queue AND aside.state = 'set-aside' \
       WHERE own.queue = q.id) \
     ORDER BY q.priority, q.id LIMIT $3",
);
const TAKE: Sql = Sql::same(
    "UPDATE queue SET state = 'leased', lease_owner = $2, lease_until = $3, \
     attempts = attempts + 1, tried_at = coalesce(tried_at, $4) \
     WHERE id = $1 AND state = 'waiting'",
);
const KEEP_BODY: Sql =
    Sql::same("UPDATE queue SET control_id = $2, body = $3 WHERE id = $1 AND body IS NULL");
const CLOSE: Sql = Sql::same(
    "UPDATE queue SET state = $2, closed_at = $3, reason = $4, answer = $5, closed_by = $6, \
     lease_owner = NULL, lease_until = NULL WHERE id = $1",
);
const DEFER: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', due_at = $2, reason = $3, answer = $4, \
     lease_owner = NULL, lease_until = NULL WHERE id = $1",
);
const LEASED: Sql =
    Sql::same("SELECT id FROM queue WHERE state = 'leased' AND destination = $1 ORDER BY id");
const STATE: Sql = Sql::same("SELECT state, attempts, lease_owner FROM queue WHERE id = $1");
const VOID: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', lease_owner = NULL, lease_until = NULL, \
     reason = 'the program stopped while this was on its way' WHERE state = 'leased'",
);
const RESULTS: Sql = Sql::same("SELECT result FROM queue_result WHERE queue = $1 ORDER BY result");
const ITEMS: Sql =
    Sql::same("SELECT order_item FROM queue_order WHERE queue = $1 ORDER BY order_item");
const EARLIEST_DUE: Sql =
    Sql::same("SELECT min(due_at) FROM queue WHERE destination = $1 AND state = 'waiting'");

/// The kind of a row that tells results, and so names no ordered items.
const RESULT: &str = "result";

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &CANDIDATES,
    &TAKE,
    &KEEP_BODY,
    &CLOSE,
    &DEFER,
    &STATE,
    &LEASED,
    &VOID,
    &RESULTS,
    &ITEMS,
    &EARLIEST_DUE,
];

/// A row about to be tried for the first time: what to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The queue row.
    pub id: i64,
    /// `result`, `order` or `cancel`.
    pub kind: String,
    /// The tube.
    pub specimen: i64,
    /// Result versions to send.
    pub results: Vec<i64>,
    /// Ordered items to send.
    pub items: Vec<i64>,
}

/// Turns a pending row into bytes, inside the leasing transaction.
pub trait Render: Send {
    /// The message, or `None` when nothing is left to say (everything in it was replaced).
    ///
    /// # Errors
    /// The store's. `Err` with a permanent reason is given as [`Rendered::Impossible`].
    fn render(&mut self, db: &mut dyn Db, pending: &Pending) -> Result<Rendered, StoreError>;
}

/// What rendering gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// Bytes to keep and send, under this control id.
    Message {
        /// Unique for all time in this store (MSH-10).
        control_id: String,
        /// Unframed.
        body: Vec<u8>,
    },
    /// Nothing left to say.
    Nothing,
    /// It cannot be said to this receiver; a person must decide.
    Impossible(String),
}

/// A leased row, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The queue row.
    pub id: i64,
    /// `result`, `order` or `cancel`.
    pub kind: String,
    /// The tube.
    pub specimen: i64,
    /// This try counts as number … from 1.
    pub attempt: i64,
    /// The control id of every try.
    pub control_id: String,
    /// The bytes of every try.
    pub body: Vec<u8>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledged.
    Accepted {
        /// The acknowledgement in a line, without patient data.
        answer: String,
    },
    /// To be tried again.
    Deferred {
        /// Why, for a person.
        reason: String,
        /// The peer's answer, if it gave one.
        answer: String,
    },
    /// Refused for good.
    Refused {
        /// Why, for a person.
        reason: String,
        /// The peer's answer.
        answer: String,
    },
}

/// Bounded exponential backoff between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure, microseconds.
    pub first: i64,
    /// Never longer than this, microseconds; at most 30 s by design.
    pub longest: i64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: 500_000,
            longest: 30_000_000,
        }
    }
}

impl Backoff {
    /// How long to wait after the `attempt`-th failed try (from 1).
    pub fn after(self, attempt: i64) -> i64 {
        let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 20)).unwrap_or(20);
        self.first
            .saturating_mul(1_i64 << doublings)
            .min(self.longest)
    }
}

/// Who leases, for how long.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTerms<'a> {
    /// `host:<id>` or `line:<id>`.
    pub destination: &'a str,
    /// The worker.
    pub owner: &'a str,
    /// Now, microseconds UTC.
    pub now: i64,
    /// The lease ends at this instant, microseconds UTC.
    pub until: i64,
    /// At most so many rows.
    pub count_max: i64,
}

/// Leases due rows, STAT first, then oldest; a row whose tube has an earlier open message waits.
///
/// # Errors
/// The store's.
pub fn lease(
    db: &mut dyn Db,
    terms: &LeaseTerms<'_>,
    render: &mut dyn Render,
) -> Result<Vec<Leased>, StoreError> {
    let params: [Param; 3] = [
        terms.destination.into(),
        terms.now.into(),
        terms.count_max.into(),
    ];
    let rows = db.rows(&CANDIDATES, &params)?;
    let mut leased = Vec::with_capacity(rows.len());
    for row in &rows {
        leased.extend(lease_one(db, terms, row, render)?);
    }
    Ok(leased)
}

fn lease_one(
    db: &mut dyn Db,
    terms: &LeaseTerms<'_>,
    row: &Row,
    render: &mut dyn Render,
) -> Result<Option<Leased>, StoreError> {
    let id = row.int(0)?;
    let (control_id, body) = match (
        row.opt_text(4)?.map(str::to_owned),
        row.opt_blob(5)?.map(<[u8]>::to_vec),
    ) {
        (Some(control_id), Some(body)) => (control_id, body),
        _ => match first_body(db, terms, row, render)? {
            Some(rendered) => rendered,
            None => return Ok(None),
        },
    };
    let params: [Param; 4] = [
        id.into(),
        terms.owner.into(),
        terms.until.into(),
        terms.now.into(),
    ];
    if db.exec(&TAKE, &params)? == 0 {
        return Ok(None);
    }
    Ok(Some(Leased {
        id,
        kind: row.text(1)?.to_owned(),
        specimen: row.int(2)?,
        attempt: row.int(3)? + 1,
        control_id,
        body,
    }))
}

fn first_body(
    db: &mut dyn Db,
    terms: &LeaseTerms<'_>,
    row: &Row,
    render: &mut dyn Render,
) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    let id = row.int(0)?;
    let pending = Pending {
        id,
        kind: row.text(1)?.to_owned(),
        specimen: row.int(2)?,
        results: ids(db, &RESULTS, id)?,
        items: match row.text(1)? {
            RESULT => Vec::new(),
            _ => ids(db, &ITEMS, id)?,
        },
    };
    match render.render(db, &pending)? {
        Rendered::Message { control_id, body } => {
            let params: [Param; 3] = [id.into(), control_id.as_str().into(), body.clone().into()];
            db.exec(&KEEP_BODY, &params)?;
            Ok(Some((control_id, body)))
        }
        Rendered::Nothing => {
            close(
                db,
                id,
                QueueState::Superseded,
                terms.now,
                ["nothing left to say", "", ""],
            )?;
            Ok(None)
        }
        Rendered::Impossible(reason) => {
            close(db, id, QueueState::SetAside, terms.now, [&reason, "", ""])?;
            Ok(None)
        }
    }
}

fn ids(db: &mut dyn Db, sql: &Sql, queue: i64) -> Result<Vec<i64>, StoreError> {
    db.rows(sql, &[queue.into()])?
        .iter()
        .map(|row| row.int(0))
        .collect()
}

fn close(
    db: &mut dyn Db,
    id: i64,
    state: QueueState,
    now: i64,
    [reason, answer, by]: [&str; 3],
) -> Result<(), StoreError> {
    let params: [Param; 6] = [
        id.into(),
        state.code().into(),
        now.into(),
        reason.into(),
        answer.into(),
        by.into(),
    ];
    db.exec(&CLOSE, &params)?;
    Ok(())
}

/// Records how a try ended. A verdict about a row that this owner no longer leases changes
/// nothing and returns false: a late answer never closes somebody else's try.
///
/// # Errors
/// The store's.
pub fn settle_attempt(
    db: &mut dyn Db,
    id: i64,
    owner: &str,
    verdict: &Verdict,
    backoff: Backoff,
    now: i64,
) -> Result<bool, StoreError> {
    let Some(row) = db.row_opt(&STATE, &[id.into()])? else {
        return Ok(false);
    };
    if row.opt_text(2)? != Some(owner) {
        return Ok(false);
    }
    let state = QueueState::from_code(row.text(0)?);
    let event = match verdict {
        Verdict::Accepted { .. } => QueueEvent::Accepted,
        Verdict::Deferred { .. } => QueueEvent::Deferred,
        Verdict::Refused { .. } => QueueEvent::Refused,
    };
    let Some(next) = state.and_then(|state| state.on(event)) else {
        return Ok(false);
    };
    match verdict {
        Verdict::Accepted { answer } => close(db, id, next, now, ["", answer, ""])?,
        Verdict::Refused { reason, answer } => close(db, id, next, now, [reason, answer, ""])?,
        Verdict::Deferred { reason, answer } => {
            let due = now.saturating_add(backoff.after(row.int(1)?));
            let params: [Param; 4] = [
                id.into(),
                due.into(),
                reason.as_str().into(),
                answer.as_str().into(),
            ];
            db.exec(&DEFER, &params)?;
        }
    }
    Ok(true)
}

/// Gives back leases of a destination that nobody knows of: a lease may have been written although
/// its writing was reported as failed. `under_way` are the rows that the only courier of this
/// destination has on their way.
///
/// # Errors
/// The store's.
pub fn reclaim(
    db: &mut dyn Db,
    destination: &str,
    under_way: &[i64],
    now: i64,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for row in db.rows(&LEASED, &[destination.into()])? {
        let id = row.int(0)?;
        if !under_way.contains(&id) {
            let reason = "it was never sent: the store was away when it was taken";
            db.exec(&DEFER, &[id.into(), now.into(), reason.into(), "".into()])?;
            count += 1;
        }
    }
    Ok(count)
}

/// Gives back every lease. Only for the start of a store whose lock proves that its former owner
/// is dead.
///
/// # Errors
/// The store's.
pub fn void_all_leases(db: &mut dyn Db) -> Result<u64, StoreError> {
    db.exec(&VOID, &[])
}

/// When the next row for a destination is due, microseconds UTC; `None` when none waits.
///
/// # Errors
/// The store's.
pub fn earliest_due(db: &mut dyn Db, destination: &str) -> Result<Option<i64>, StoreError> {
    match db.row_opt(&EARLIEST_DUE, &[destination.into()])? {
        Some(row) => row.opt_int(0),
        None => Ok(None),
    }
}
