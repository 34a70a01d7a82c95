//! Leasing rows to workers, and what became of each try.

use std::collections::BTreeMap;

use crate::{
    book::json,
    model::{Priority, QueueEvent, QueueState},
    store::{Db, Insert, Param, Row, Sql, StoreError},
};

use super::enqueue::put_behind;

macro_rules! candidates {
    ($lock:literal) => {
        concat!(
            "SELECT q.id, q.kind, q.specimen, q.attempts, q.control_id, q.body, q.priority \
             FROM queue q WHERE q.destination = $1 AND q.state = 'waiting' AND q.priority = $4 \
             AND q.due_at <= $2 \
             AND NOT EXISTS (SELECT 1 FROM queue a WHERE a.id = q.behind AND a.state = 'set-aside') \
             AND NOT EXISTS (SELECT 1 FROM queue e WHERE e.specimen = q.specimen \
               AND e.destination = q.destination AND e.id < q.id \
               AND e.state IN ('waiting', 'leased') AND NOT EXISTS \
               (SELECT 1 FROM queue a WHERE a.id = e.behind AND a.state = 'set-aside')) \
             ORDER BY q.due_at, q.id LIMIT $3",
            $lock
        )
    };
}

/// Rows of one priority that may go now: due, not behind a message that is set aside, and no earlier
/// row of the same tube to the same destination that is open and may go itself.
///
/// In the order of the index `queue_open`, so that it costs what it gives however many rows wait and
/// however many of them are not due. Rows that another row of their tube keeps back are not due
/// before that one ([`postpone_later`]), but for the few whose row is on its way or set aside.
///
/// Transactions take turns, so that no two of them meet here; were they ever to, none would wait for
/// another's rows, nor lease them too.
const CANDIDATES: Sql = Sql {
    sqlite: candidates!(""),
    postgres: candidates!(" FOR UPDATE OF q SKIP LOCKED"),
};
/// Row, owner, end of the lease, now, control id, body: the last two stay what they are where they
/// are.
const TAKE: Insert = Insert {
    into: "UPDATE queue SET state = 'leased', lease_owner = v.column2, lease_until = v.column3, \
           attempts = attempts + 1, tried_at = coalesce(tried_at, v.column4), \
           control_id = coalesce(control_id, v.column5), body = coalesce(body, v.column6) FROM (",
    columns: 6,
    tail: ") AS v WHERE queue.id = v.column1 AND queue.state = 'waiting'",
    types: &["bigint", "text", "bigint", "bigint", "text", "bytea"],
};
/// Row, state, now, reason, answer, by whom.
const CLOSE: Insert = Insert {
    into: "UPDATE queue SET state = v.column2, closed_at = v.column3, reason = v.column4, \
           answer = v.column5, closed_by = v.column6, lease_owner = NULL, lease_until = NULL FROM (",
    columns: 6,
    tail: ") AS v WHERE queue.id = v.column1",
    types: &["bigint", "text", "bigint", "text", "text", "text"],
};
const DEFER: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', due_at = $2, reason = $3, answer = $4, \
     lease_owner = NULL, lease_until = NULL WHERE id = $1",
);
/// What waits behind a message of its tube is not due before that one.
const POSTPONE_LATER: Sql = Sql::same(
    "UPDATE queue SET due_at = $4 WHERE specimen = $1 AND destination = $2 AND id > $3 \
     AND state IN ('waiting', 'leased') AND state = 'waiting' AND due_at < $4",
);
const LEASED: Sql =
    Sql::same("SELECT id FROM queue WHERE state = 'leased' AND destination = $1 ORDER BY id");
const STATES: Sql = Sql {
    sqlite: "SELECT id, state, attempts, lease_owner, destination, specimen FROM queue \
             WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT id, state, attempts, lease_owner, destination, specimen FROM queue WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};
const VOID: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', lease_owner = NULL, lease_until = NULL, \
     reason = 'the program stopped while this was on its way' WHERE state = 'leased'",
);
const VOID_OF: Sql = Sql::same(
    "UPDATE queue SET state = 'waiting', lease_owner = NULL, lease_until = NULL, \
     reason = 'the program stopped while this was on its way' \
     WHERE state = 'leased' AND destination = $1",
);
const RENEW: Sql = Sql {
    sqlite: "UPDATE queue SET lease_until = $3 WHERE state = 'leased' AND lease_owner = $2 \
             AND id IN (SELECT value FROM json_each($1))",
    postgres: "UPDATE queue SET lease_until = $3 WHERE state = 'leased' AND lease_owner = $2 AND id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};
const RESULTS: Sql = Sql {
    sqlite: "SELECT queue, id FROM result \
             WHERE queue IN (SELECT value FROM json_each($1)) \
             UNION SELECT queue, result FROM queue_result \
             WHERE queue IN (SELECT value FROM json_each($1)) ORDER BY 1, 2",
    postgres: "SELECT queue, id FROM result WHERE queue IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               UNION SELECT queue, result FROM queue_result WHERE queue IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               ORDER BY 1, 2",
};
const ITEMS: Sql = Sql {
    sqlite: "SELECT queue, order_item FROM queue_order \
             WHERE queue IN (SELECT value FROM json_each($1)) ORDER BY queue, order_item",
    postgres: "SELECT queue, order_item FROM queue_order WHERE queue IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               ORDER BY queue, order_item",
};
/// The first entry of its priority in the index `queue_open` …
const EARLIEST_DUE: Sql = Sql::same(
    "SELECT due_at FROM queue WHERE destination = $1 AND state = 'waiting' AND priority = $2 \
     ORDER BY due_at LIMIT 1",
);
/// … and the last.
const LATEST_DUE: Sql = Sql::same(
    "SELECT due_at FROM queue WHERE destination = $1 AND state = 'waiting' AND priority = $2 \
     ORDER BY due_at DESC LIMIT 1",
);
/// The first or the last row of a priority for a device of [`DEVICES_DUE`].
macro_rules! due_at {
    ($rank:literal, $order:literal) => {
        concat!(
            "(SELECT q.due_at FROM queue q WHERE q.destination = device.destination \
             AND q.state = 'waiting' AND q.priority = ",
            $rank,
            " ORDER BY q.due_at ",
            $order,
            " LIMIT 1)"
        )
    };
}
/// Devices that something waits for are found one after the other by the index `queue_open`, whatever
/// waits for hosts.
const DEVICES_DUE: Sql = Sql::same(concat!(
    "WITH RECURSIVE device(destination) AS (\
       SELECT (SELECT destination FROM queue WHERE state = 'waiting' \
         AND destination >= 'line:' ORDER BY destination LIMIT 1) \
       UNION ALL \
       SELECT (SELECT q.destination FROM queue q WHERE q.state = 'waiting' \
         AND q.destination > device.destination ORDER BY q.destination LIMIT 1) \
       FROM device WHERE device.destination IS NOT NULL) \
     SELECT destination FROM device WHERE destination IS NOT NULL AND (",
    due_at!(0, ""),
    " <= $1 OR ",
    due_at!(1, ""),
    " <= $1 OR ",
    due_at!(2, ""),
    " <= $1 OR ",
    due_at!(0, "DESC"),
    " > $2 OR ",
    due_at!(1, "DESC"),
    " > $2 OR ",
    due_at!(2, "DESC"),
    " > $2)"
));
const BRING_FORWARD: Sql = Sql::same(
    "UPDATE queue SET due_at = $2 WHERE destination = $1 AND state = 'waiting' AND due_at > $3",
);

/// Nothing is ever put off for longer, microseconds: tries rest for 30 s at most, and what a person
/// released leaves when it cannot be undone any more. What is due later than this was put off by a
/// clock that has been set back since.
const PUT_OFF_MAX: i64 = 60_000_000;
const _: () = assert!(crate::worklist::UNDO < PUT_OFF_MAX, "it would leave before");

/// The kind of a row that tells results, and so names no ordered items.
const RESULT: &str = "result";

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &CANDIDATES,
    &DEFER,
    &POSTPONE_LATER,
    &STATES,
    &LEASED,
    &VOID,
    &VOID_OF,
    &RENEW,
    &RESULTS,
    &ITEMS,
    &EARLIEST_DUE,
    &LATEST_DUE,
    &DEVICES_DUE,
    &BRING_FORWARD,
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

/// Turns pending rows into bytes, inside the leasing transaction.
pub trait Render: Send {
    /// One message a row, in the order of the rows. What has a permanent reason not to be said is
    /// [`Rendered::Impossible`] and no error.
    ///
    /// # Errors
    /// The store's.
    fn render(&mut self, db: &mut dyn Db, pending: &[Pending])
    -> Result<Vec<Rendered>, StoreError>;
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
    /// [`crate::model::Priority::rank`] of the row.
    pub priority: i64,
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

impl Verdict {
    const fn event(&self) -> QueueEvent {
        match self {
            Self::Accepted { .. } => QueueEvent::Accepted,
            Self::Deferred { .. } => QueueEvent::Deferred,
            Self::Refused { .. } => QueueEvent::Refused,
        }
    }
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
    /// Only rows with a lower priority rank than this.
    pub more_urgent_than: i64,
}

impl LeaseTerms<'_> {
    /// For [`LeaseTerms::more_urgent_than`]: every row.
    pub const ANY_PRIORITY: i64 = i64::MAX;
}

/// Leases due rows, STAT first, then those that have been due for longest; a row whose tube has an
/// earlier open message waits. What was deferred so lines up behind what was due before it: a message
/// that a host refuses again and again cannot keep a long queue from moving.
///
/// # Errors
/// The store's.
pub fn lease(
    db: &mut dyn Db,
    terms: &LeaseTerms<'_>,
    render: &mut dyn Render,
) -> Result<Vec<Leased>, StoreError> {
    let rows = candidates(db, terms)?;
    let fresh: Vec<&Row> = rows
        .iter()
        .filter(|row| !matches!(row.opt_blob(5), Ok(Some(_))))
        .collect();
    let mut first = first_bodies(db, terms, &fresh, render)?;
    let mut leased = Vec::with_capacity(rows.len());
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = row.int(0)?;
        let (control_id, body) = match (row.opt_text(4)?, row.opt_blob(5)?) {
            (Some(control_id), Some(body)) => (control_id.to_owned(), body.to_vec()),
            _ => match first.remove(&id) {
                Some(rendered) => rendered,
                None => continue,
            },
        };
        taken.push(vec![
            id.into(),
            terms.owner.into(),
            terms.until.into(),
            terms.now.into(),
            control_id.as_str().into(),
            body.as_slice().into(),
        ]);
        leased.push(Leased {
            id,
            kind: row.text(1)?.to_owned(),
            specimen: row.int(2)?,
            priority: row.int(6)?,
            attempt: row.int(3)? + 1,
            control_id,
            body,
        });
    }
    let count = u64::try_from(taken.len()).unwrap_or(u64::MAX);
    match db.insert_rows(&TAKE, taken)?.0 {
        changed if changed == count => Ok(leased),
        _ => Err(StoreError::value("a row to lease that does not wait")),
    }
}

/// Priority by priority, the most urgent first.
fn candidates(db: &mut dyn Db, terms: &LeaseTerms<'_>) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for priority in Priority::ALL.map(Priority::rank) {
        let room = terms.count_max - i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if room <= 0 || priority >= terms.more_urgent_than {
            break;
        }
        let params: [Param; 4] = [
            terms.destination.into(),
            terms.now.into(),
            room.into(),
            priority.into(),
        ];
        rows.extend(db.rows(&CANDIDATES, &params)?);
    }
    Ok(rows)
}

/// Control ids and bodies of rows that were never tried, by row; one that has nothing to say is
/// closed instead.
fn first_bodies(
    db: &mut dyn Db,
    terms: &LeaseTerms<'_>,
    rows: &[&Row],
    render: &mut dyn Render,
) -> Result<BTreeMap<i64, (String, Vec<u8>)>, StoreError> {
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut of_kind = [Vec::new(), Vec::new()];
    for row in rows {
        let [results, others] = &mut of_kind;
        let is_result = row.text(1)? == RESULT;
        (if is_result { results } else { others }).push(row.int(0)?);
    }
    let mut results = ids(db, &RESULTS, &of_kind[0])?;
    let mut items = ids(db, &ITEMS, &of_kind[1])?;
    let mut pending = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.int(0)?;
        pending.push(Pending {
            id,
            kind: row.text(1)?.to_owned(),
            specimen: row.int(2)?,
            results: results.remove(&id).unwrap_or_default(),
            items: items.remove(&id).unwrap_or_default(),
        });
    }
    let rendered = render.render(db, &pending)?;
    if rendered.len() != pending.len() {
        return Err(StoreError::value("a row that was not rendered"));
    }
    let mut bodies = BTreeMap::new();
    let mut closed = Vec::new();
    for (row, rendered) in pending.iter().zip(rendered) {
        match rendered {
            Rendered::Message { control_id, body } => {
                bodies.insert(row.id, (control_id, body));
            }
            Rendered::Nothing => {
                let why = "nothing left to say";
                closed.push(closing(
                    row.id,
                    QueueState::Superseded,
                    terms.now,
                    [why, ""],
                ));
            }
            Rendered::Impossible(why) => {
                closed.push(closing(row.id, QueueState::SetAside, terms.now, [&why, ""]));
            }
        }
    }
    db.insert_rows(&CLOSE, closed)?;
    Ok(bodies)
}

/// What is linked to rows of the queue, by row.
fn ids(db: &mut dyn Db, sql: &Sql, rows: &[i64]) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    let mut linked: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    if rows.is_empty() {
        return Ok(linked);
    }
    for row in db.rows(sql, &[json(&rows)?.into()])? {
        linked.entry(row.int(0)?).or_default().push(row.int(1)?);
    }
    Ok(linked)
}

/// A row of [`CLOSE`], closed by no person.
fn closing(id: i64, state: QueueState, now: i64, [reason, answer]: [&str; 2]) -> Vec<Param> {
    vec![
        id.into(),
        state.code().into(),
        now.into(),
        reason.into(),
        answer.into(),
        "".into(),
    ]
}

/// Records how one try ended; see [`settle_attempts`].
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
    let one = [(id, verdict.clone())];
    Ok(settle_attempts(db, &one, owner, backoff, now)? == 1)
}

/// Records how tries ended; returns of how many. A verdict about a row that this owner no longer
/// leases changes nothing: a late answer never closes somebody else's try.
///
/// # Errors
/// The store's.
pub fn settle_attempts(
    db: &mut dyn Db,
    ended: &[(i64, Verdict)],
    owner: &str,
    backoff: Backoff,
    now: i64,
) -> Result<usize, StoreError> {
    if ended.is_empty() {
        return Ok(0);
    }
    let list: Vec<i64> = ended.iter().map(|(id, _)| *id).collect();
    let mut states = BTreeMap::new();
    for row in db.rows(&STATES, &[json(&list)?.into()])? {
        states.insert(row.int(0)?, row);
    }
    let mut count = 0;
    let (mut closed, mut refused) = (Vec::new(), Vec::new());
    for (id, verdict) in ended {
        // Taken out, so that a second verdict about one try finds nothing.
        let Some(row) = states.remove(id) else {
            continue;
        };
        if row.opt_text(3)? != Some(owner) {
            continue;
        }
        let state = QueueState::from_code(row.text(1)?);
        let Some(next) = state.and_then(|state| state.on(verdict.event())) else {
            continue;
        };
        count += 1;
        match verdict {
            Verdict::Accepted { answer } => closed.push(closing(*id, next, now, ["", answer])),
            Verdict::Refused { reason, answer } => {
                closed.push(closing(*id, next, now, [reason, answer]));
                refused.push((*id, row.text(4)?.to_owned()));
            }
            Verdict::Deferred { reason, answer } => {
                let due = now.saturating_add(backoff.after(row.int(2)?));
                let params: [Param; 4] = [
                    (*id).into(),
                    due.into(),
                    reason.as_str().into(),
                    answer.as_str().into(),
                ];
                db.exec(&DEFER, &params)?;
                postpone_later(db, row.int(5)?, row.text(4)?, *id, due)?;
            }
        }
    }
    db.insert_rows(&CLOSE, closed)?;
    for (aside, destination) in refused {
        put_behind(db, aside)?;
        // The host's own words stay with the row; they may name a patient.
        let subject = format!("queue:{aside}");
        let why = "refused for good";
        crate::audit::write(db, now, &destination, "set-aside", &subject, why)?;
    }
    Ok(count)
}

/// What waits behind a row of its tube need not be looked at before that row is due. It may go at
/// once when that row goes earlier all the same, because somebody asked for it: its own time then
/// comes within the longest wait between two tries.
fn postpone_later(
    db: &mut dyn Db,
    specimen: i64,
    destination: &str,
    row: i64,
    due: i64,
) -> Result<(), StoreError> {
    let params: [Param; 4] = [specimen.into(), destination.into(), row.into(), due.into()];
    db.exec(&POSTPONE_LATER, &params)?;
    Ok(())
}

/// Gives back leases of a destination that nobody knows of: a lease may have been written although
/// its writing was reported as failed, or its courier failed inside. `under_way` are the rows that the only courier of this
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
            let reason = "nobody had it in hand: its courier lost sight of it";
            db.exec(&DEFER, &[id.into(), now.into(), reason.into(), "".into()])?;
            count += 1;
        }
    }
    Ok(count)
}

/// Prolongs the leases of what an owner has in hand.
///
/// # Errors
/// The store's.
pub fn renew(db: &mut dyn Db, owner: &str, rows: &[i64], until: i64) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    db.exec(&RENEW, &[json(&rows)?.into(), owner.into(), until.into()])
}

/// Gives back every lease. Only for the start of a store whose lock proves that its former owner
/// is dead.
///
/// # Errors
/// The store's.
pub fn void_all_leases(db: &mut dyn Db) -> Result<u64, StoreError> {
    db.exec(&VOID, &[])
}

/// Gives back every lease of a destination. Only for whoever serves it from now on, once a fence or the
/// former holder's word proves that nobody else does.
///
/// # Errors
/// The store's.
pub fn void_leases(db: &mut dyn Db, destination: &str) -> Result<u64, StoreError> {
    db.exec(&VOID_OF, &[destination.into()])
}

/// When rows for a destination are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The next one, microseconds UTC.
    pub earliest: i64,
    /// The last one.
    pub latest: i64,
}

impl Due {
    /// Whether a row waits for a time that only a clock could name that has been set back since.
    pub const fn is_out_of_time(self, now: i64) -> bool {
        self.latest > now.saturating_add(PUT_OFF_MAX)
    }
}

/// When the rows for a destination are due; `None` when none waits.
///
/// # Errors
/// The store's.
pub fn due(db: &mut dyn Db, destination: &str) -> Result<Option<Due>, StoreError> {
    let mut due: Option<Due> = None;
    for priority in Priority::ALL.map(Priority::rank) {
        let params: [Param; 2] = [destination.into(), priority.into()];
        let Some(first) = db.row_opt(&EARLIEST_DUE, &params)? else {
            continue;
        };
        let (earliest, latest) = (first.int(0)?, db.row(&LATEST_DUE, &params)?.int(0)?);
        due = Some(due.map_or(Due { earliest, latest }, |found| Due {
            earliest: found.earliest.min(earliest),
            latest: found.latest.max(latest),
        }));
    }
    Ok(due)
}

/// Destinations `line:…` that a row is due for, or waits for a time out of time ([`Due::is_out_of_time`]).
///
/// # Errors
/// The store's.
pub fn devices_due(db: &mut dyn Db, now: i64) -> Result<Vec<String>, StoreError> {
    let beyond = now.saturating_add(PUT_OFF_MAX);
    let rows = db.rows(&DEVICES_DUE, &[now.into(), beyond.into()])?;
    rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}

/// Makes rows due that were put off by a clock that has been set back since; returns how many.
///
/// # Errors
/// The store's.
pub fn bring_forward(db: &mut dyn Db, destination: &str, now: i64) -> Result<u64, StoreError> {
    let beyond = now.saturating_add(PUT_OFF_MAX);
    db.exec(
        &BRING_FORWARD,
        &[destination.into(), now.into(), beyond.into()],
    )
}
