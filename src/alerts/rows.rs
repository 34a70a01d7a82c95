//! Alerts and their deliveries as rows.

use serde::Serialize;

use crate::{
    audit,
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{
    Cause,
    judge::{Known, Reading},
    watch,
};

const OPEN: Sql = Sql::same(
    "SELECT id, cause, subject, level, edge, raised_at, cleared_at, acknowledged_at, \
     acknowledged_by FROM alert WHERE cleared_at IS NULL ORDER BY raised_at, id",
);
const CLEARED: Sql = Sql::same(
    "SELECT id, cause, subject, level, edge, raised_at, cleared_at, acknowledged_at, \
     acknowledged_by FROM alert WHERE cleared_at IS NOT NULL ORDER BY cleared_at DESC, id DESC \
     LIMIT $1",
);
const BY_ID: Sql = Sql::same(
    "SELECT id, cause, subject, level, edge, raised_at, cleared_at, acknowledged_at, \
     acknowledged_by FROM alert WHERE id = $1",
);
const COUNT: Sql = Sql::same(
    "SELECT count(*), coalesce(sum(CASE WHEN acknowledged_at IS NULL THEN 1 ELSE 0 END), 0) \
     FROM alert WHERE cleared_at IS NULL",
);
const RAISE: Sql = Sql::same(
    "INSERT INTO alert (cause, subject, level, edge, raised_at, acknowledged_by) \
     VALUES ($1, $2, $3, $4, $5, '') RETURNING id",
);
const CLEAR: Sql =
    Sql::same("UPDATE alert SET cleared_at = $2 WHERE id = $1 AND cleared_at IS NULL");
const LEVEL: Sql = Sql::same("UPDATE alert SET level = $2 WHERE id = $1 AND cleared_at IS NULL");
const ACKNOWLEDGE: Sql = Sql::same(
    "UPDATE alert SET acknowledged_at = $2, acknowledged_by = $3 \
     WHERE id = $1 AND cleared_at IS NULL AND acknowledged_at IS NULL",
);
const SEND: Sql = Sql::same(
    "INSERT INTO alert_delivery (alert, channel, event, state, attempts, due_at, reason, \
     created_at) VALUES ($1, $2, $3, 'waiting', 0, $4, '', $4)",
);
const DUE: Sql = Sql::same(
    "SELECT d.id, d.event, d.attempts, d.created_at, a.id, a.cause, a.subject, \
     a.level, a.edge, a.raised_at, a.cleared_at FROM alert_delivery d JOIN alert a \
     ON a.id = d.alert WHERE d.state = 'waiting' AND d.channel = $1 \
     AND (d.due_at <= $2 OR d.due_at > $4) ORDER BY d.id LIMIT $3",
);
const SENT: Sql = Sql::same(
    "UPDATE alert_delivery SET state = $2, attempts = attempts + 1, reason = $3, closed_at = $4 \
     WHERE id = $1 AND state = 'waiting'",
);
const DEFER: Sql = Sql::same(
    "UPDATE alert_delivery SET attempts = attempts + 1, reason = $2, due_at = $3 \
     WHERE id = $1 AND state = 'waiting'",
);
const WAITING: Sql = Sql::same(
    "SELECT channel, count(*), min(created_at), max(attempts), max(reason) FROM alert_delivery \
     WHERE state = 'waiting' GROUP BY channel ORDER BY channel",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN,
    &CLEARED,
    &BY_ID,
    &COUNT,
    &RAISE,
    &CLEAR,
    &LEVEL,
    &ACKNOWLEDGE,
    &SEND,
    &DUE,
    &SENT,
    &DEFER,
    &WAITING,
];

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Its row.
    pub id: i64,
    /// Why.
    pub cause: Cause,
    /// A line, a destination, a channel; empty for the whole laboratory.
    pub subject: String,
    /// As last measured, in the unit of the cause.
    pub level: i64,
    /// The limit that it went over.
    pub edge: i64,
    /// Microseconds UTC.
    pub raised_at: i64,
    /// Microseconds UTC.
    pub cleared_at: Option<i64>,
    /// Microseconds UTC.
    pub acknowledged_at: Option<i64>,
    /// The login name of whoever acknowledged it; empty where nobody did.
    pub acknowledged_by: String,
}

fn cause(row: &Row, column: usize) -> Result<Cause, StoreError> {
    Cause::from_code(row.text(column)?)
        .ok_or_else(|| StoreError::value("unknown cause of an alert in a row"))
}

fn read(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: row.int(0)?,
        cause: cause(row, 1)?,
        subject: row.text(2)?.to_owned(),
        level: row.int(3)?,
        edge: row.int(4)?,
        raised_at: row.int(5)?,
        cleared_at: row.opt_int(6)?,
        acknowledged_at: row.opt_int(7)?,
        acknowledged_by: row.text(8)?.to_owned(),
    })
}

/// What is open, the oldest first.
///
/// # Errors
/// The store's.
pub fn open(db: &mut dyn Db) -> Result<Vec<Alert>, StoreError> {
    db.rows(&OPEN, &[])?.iter().map(read).collect()
}

/// What is over, the newest first.
///
/// # Errors
/// The store's.
pub fn cleared(db: &mut dyn Db, count_max: i64) -> Result<Vec<Alert>, StoreError> {
    db.rows(&CLEARED, &[count_max.into()])?
        .iter()
        .map(read)
        .collect()
}

/// How many are open, and how many of these nobody has acknowledged.
///
/// # Errors
/// The store's.
pub fn count(db: &mut dyn Db) -> Result<(i64, i64), StoreError> {
    let row = db.row(&COUNT, &[])?;
    Ok((row.int(0)?, row.int(1)?))
}

/// A person has seen it. `None` where there is no such alert, false where it is over or was
/// acknowledged before.
///
/// # Errors
/// The store's.
pub fn acknowledge(
    db: &mut dyn Db,
    id: i64,
    actor: &str,
    now: i64,
) -> Result<Option<bool>, StoreError> {
    let Some(row) = db.row_opt(&BY_ID, &[id.into()])? else {
        return Ok(None);
    };
    let alert = read(&row)?;
    if db.exec(&ACKNOWLEDGE, &[id.into(), now.into(), actor.into()])? == 0 {
        return Ok(Some(false));
    }
    let detail = format!("{} {}", alert.cause.code(), alert.subject);
    let subject = format!("alert:{id}");
    audit::write(db, now, actor, "alert-acknowledge", &subject, detail.trim())?;
    Ok(Some(true))
}

/// What is open, for judging.
pub(super) fn known(db: &mut dyn Db) -> Result<Vec<Known>, StoreError> {
    let open = open(db)?.into_iter();
    Ok(open
        .map(|alert| Known {
            id: alert.id,
            cause: alert.cause,
            subject: alert.subject,
            level: alert.level,
        })
        .collect())
}

pub(super) fn raise(db: &mut dyn Db, reading: &Reading, now: i64) -> Result<i64, StoreError> {
    let params: [Param; 5] = [
        reading.cause.code().into(),
        reading.subject.as_str().into(),
        reading.level.into(),
        reading.edge.into(),
        now.into(),
    ];
    db.insert(&RAISE, &params)
}

/// False where it is over already.
pub(super) fn clear(db: &mut dyn Db, id: i64, now: i64) -> Result<bool, StoreError> {
    Ok(db.exec(&CLEAR, &[id.into(), now.into()])? > 0)
}

pub(super) fn level(db: &mut dyn Db, id: i64, level: i64) -> Result<(), StoreError> {
    db.exec(&LEVEL, &[id.into(), level.into()])?;
    Ok(())
}

/// Puts a word about an alert on its way by a channel; `event` is `raised` or `cleared`.
pub(super) fn send(
    db: &mut dyn Db,
    alert: i64,
    channel: &str,
    event: &str,
    now: i64,
) -> Result<(), StoreError> {
    let params = [alert.into(), channel.into(), event.into(), now.into()];
    db.exec(&SEND, &params)?;
    Ok(())
}

/// A word about an alert that is to leave.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) id: i64,
    pub(super) event: String,
    pub(super) attempts: i64,
    pub(super) created_at: i64,
    pub(super) alert: Alert,
}

pub(super) fn due(
    db: &mut dyn Db,
    channel: &str,
    now: i64,
    count_max: i64,
) -> Result<Vec<Due>, StoreError> {
    // What is put off for longer than ever was put off by a clock that has been set back since.
    let beyond = now.saturating_add(watch::RETRY_LONGEST);
    let params: [Param; 4] = [channel.into(), now.into(), count_max.into(), beyond.into()];
    let rows = db.rows(&DUE, &params)?;
    let due = rows.iter().map(|row| {
        Ok(Due {
            id: row.int(0)?,
            event: row.text(1)?.to_owned(),
            attempts: row.int(2)?,
            created_at: row.int(3)?,
            alert: Alert {
                id: row.int(4)?,
                cause: cause(row, 5)?,
                subject: row.text(6)?.to_owned(),
                level: row.int(7)?,
                edge: row.int(8)?,
                raised_at: row.int(9)?,
                cleared_at: row.opt_int(10)?,
                acknowledged_at: None,
                acknowledged_by: String::new(),
            },
        })
    });
    due.collect()
}

/// It left, or is given up with a reason.
pub(super) fn closed(
    db: &mut dyn Db,
    id: i64,
    (state, reason): (&str, &str),
    now: i64,
) -> Result<(), StoreError> {
    let params = [id.into(), state.into(), reason.into(), now.into()];
    db.exec(&SENT, &params)?;
    Ok(())
}

pub(super) fn defer(db: &mut dyn Db, id: i64, reason: &str, due_at: i64) -> Result<(), StoreError> {
    db.exec(&DEFER, &[id.into(), reason.into(), due_at.into()])?;
    Ok(())
}

/// What waits to leave by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// `email` or `webhook`.
    pub channel: String,
    /// How many.
    pub count: i64,
    /// Since when the oldest waits, microseconds UTC.
    pub oldest_at: i64,
    /// How often the one was tried that was tried most.
    pub attempts: i64,
    /// Why the last try failed.
    pub reason: String,
}

/// What waits to leave, by channel.
///
/// # Errors
/// The store's.
pub fn waiting(db: &mut dyn Db) -> Result<Vec<Waiting>, StoreError> {
    let rows = db.rows(&WAITING, &[])?;
    let all = rows.iter().map(|row| {
        Ok(Waiting {
            channel: row.text(0)?.to_owned(),
            count: row.int(1)?,
            oldest_at: row.int(2)?,
            attempts: row.int(3)?,
            reason: row.text(4)?.to_owned(),
        })
    });
    all.collect()
}
