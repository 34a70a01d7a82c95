//! What must not leave the store, whatever its age.

use std::collections::BTreeSet;

use super::unit::{Member, Unit};
use crate::store::{Db, Sql, StoreError};

/// Journal rows of orders that are still open: their messages stay.
const OPEN_ORDERS: Sql =
    Sql::same("SELECT DISTINCT message FROM order_item WHERE status IN ('SC', 'A')");
const TUBE_IS_OPEN: Sql =
    Sql::same("SELECT 1 FROM order_item WHERE specimen = $1 AND status IN ('SC', 'A') LIMIT 1");
const BARCODE_IS_OPEN: Sql = Sql::same(
    "SELECT 1 FROM specimen s JOIN order_item o ON o.specimen = s.id \
     WHERE s.barcode = $1 AND o.status IN ('SC', 'A') LIMIT 1",
);
const BLOOD: Sql = Sql::same("SELECT 1 FROM blood_group WHERE result = $1");
/// A later value of the same test of the same patient, to compare the next one with.
const LATER_VALUE: Sql = Sql::same(
    "SELECT 1 FROM specimen own JOIN specimen s ON s.patient = own.patient \
     JOIN result n ON n.barcode = s.barcode AND n.specimen = s.id WHERE own.id = $1 \
     AND n.test = $2 AND n.id <> $3 AND n.state IN ('released', 'kept') \
     AND (n.received_at > $4 OR n.received_at = $4 AND n.id > $3) LIMIT 1",
);
/// The newest row of a table stays, so that its number is never given again.
const NEWEST: [Sql; 4] = [
    Sql::same("SELECT coalesce(max(id), 0) FROM message"),
    Sql::same("SELECT coalesce(max(id), 0) FROM result"),
    Sql::same("SELECT coalesce(max(id), 0) FROM queue"),
    Sql::same("SELECT coalesce(max(id), 0) FROM image"),
];
const NEWEST_CALL: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM critical_call");
const NEWEST_ATTEMPT: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM call_attempt");
const NEWEST_EVENT: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM device_event");
const NEWEST_TRACK: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM track_event");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN_ORDERS,
    &TUBE_IS_OPEN,
    &BARCODE_IS_OPEN,
    &BLOOD,
    &LATER_VALUE,
    &NEWEST[0],
    &NEWEST[1],
    &NEWEST[2],
    &NEWEST[3],
    &NEWEST_CALL,
    &NEWEST_ATTEMPT,
    &NEWEST_EVENT,
    &NEWEST_TRACK,
];

/// How old a unit has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    /// With results or pictures: nothing of it newer than this, UTC microseconds; `None`: it stays.
    pub(super) tubes_before: Option<i64>,
    /// The same of messages from which no result came, and of what devices were told.
    pub(super) messages_before: Option<i64>,
}

/// What holds for all units of one transaction.
#[derive(Debug)]
pub(super) struct Judge {
    ages: Ages,
    ordering: BTreeSet<i64>,
    newest: BTreeSet<Member>,
    newest_rows: [(&'static str, i64); 4],
}

impl Judge {
    pub(super) fn new(db: &mut dyn Db, ages: Ages) -> Result<Self, StoreError> {
        let rows = db.rows(&OPEN_ORDERS, &[])?;
        let ordering = rows
            .iter()
            .map(|row| row.int(0))
            .collect::<Result<_, _>>()?;
        let mut of = |sql: &Sql| -> Result<i64, StoreError> { db.row(sql, &[])?.int(0) };
        let newest = BTreeSet::from([
            Member::Message(of(&NEWEST[0])?),
            Member::Result(of(&NEWEST[1])?),
            Member::Queue(of(&NEWEST[2])?),
            Member::Image(of(&NEWEST[3])?),
        ]);
        let newest_rows = [
            ("critical_call", of(&NEWEST_CALL)?),
            ("call_attempt", of(&NEWEST_ATTEMPT)?),
            ("device_event", of(&NEWEST_EVENT)?),
            ("track_event", of(&NEWEST_TRACK)?),
        ];
        Ok(Self {
            ages,
            ordering,
            newest,
            newest_rows,
        })
    }

    /// Whether `unit` may leave the store.
    pub(super) fn may_go(&self, db: &mut dyn Db, unit: &Unit) -> Result<bool, StoreError> {
        let is_of_tube = unit.rows.contains_key("result") || unit.rows.contains_key("image");
        let before = if is_of_tube {
            self.ages.tubes_before
        } else {
            self.ages.messages_before
        };
        let Some(before) = before else {
            return Ok(false);
        };
        Ok(is_older(unit, before)
            && is_closed(unit)
            && !self.is_newest(unit)
            && !self.is_of_open_order(db, unit)?
            && !has_blood(db, unit)?
            && !is_last_value(db, unit)?)
    }

    fn is_newest(&self, unit: &Unit) -> bool {
        let has =
            |(table, id): &(&'static str, i64)| unit.numbers(table, "id").any(|one| one == *id);
        unit.members
            .iter()
            .any(|member| self.newest.contains(member))
            || self.newest_rows.iter().any(has)
    }

    fn is_of_open_order(&self, db: &mut dyn Db, unit: &Unit) -> Result<bool, StoreError> {
        if unit
            .numbers("message", "id")
            .any(|id| self.ordering.contains(&id))
        {
            return Ok(true);
        }
        let tubes = unit
            .numbers("result", "specimen")
            .chain(unit.numbers("queue", "specimen"));
        for tube in tubes.collect::<BTreeSet<_>>() {
            if db.row_opt(&TUBE_IS_OPEN, &[tube.into()])?.is_some() {
                return Ok(true);
            }
        }
        // Where a tube went counts for as long as something is to be measured from it.
        for barcode in unit.texts("track_event", "barcode") {
            if db.row_opt(&BARCODE_IS_OPEN, &[barcode.into()])?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether nothing of it happened since `before`. A delivery or a call without an end is not over.
fn is_older(unit: &Unit, before: i64) -> bool {
    let times = [
        ("message", "received_at"),
        ("result", "received_at"),
        ("result", "decided_at"),
        ("queue", "created_at"),
        ("queue", "closed_at"),
        ("image", "received_at"),
        ("track_event", "received_at"),
        ("answered", "at"),
        ("critical_call", "opened_at"),
        ("critical_call", "closed_at"),
        ("call_attempt", "at"),
    ];
    let mut all = times
        .iter()
        .flat_map(|(table, column)| unit.numbers(table, column));
    all.all(|at| at < before)
}

/// Whether nothing of it waits for anybody.
fn is_closed(unit: &Unit) -> bool {
    let only = |table, states: &[&str]| {
        unit.texts(table, "state")
            .all(|state| states.contains(&state))
    };
    only("message", &["parsed", "set-aside"])
        && only(
            "result",
            &[
                "released",
                "kept",
                "repeat",
                "confirmed",
                "replaced",
                "set-aside",
                "control",
            ],
        )
        && only("queue", &["delivered", "discarded", "superseded"])
        && only("critical_call", &["told", "replaced", "ended"])
        && is_told(unit)
}

/// A released result is on its way to a host, or was delivered, with one of the unit's own messages.
fn is_told(unit: &Unit) -> bool {
    let results = unit.rows.get("result").into_iter().flatten();
    let released = results.filter(|row| row.get("state").is_some_and(|state| state == "released"));
    let mut released =
        released.filter_map(|row| Some((row.get("id")?.as_i64()?, row.get("queue")?)));
    released.all(|(id, queue)| {
        let follow_ups = unit.rows.get("queue_result").into_iter().flatten();
        let mut follow_ups = follow_ups.filter_map(|row| row.get("result")?.as_i64());
        !queue.is_null() || follow_ups.any(|result| result == id)
    })
}

/// Groups and antibodies of a patient count for ever, and their results are what proves them.
fn has_blood(db: &mut dyn Db, unit: &Unit) -> Result<bool, StoreError> {
    for result in unit.numbers("result", "id") {
        if db.row_opt(&BLOOD, &[result.into()])?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one of its values is the last of its test and patient.
fn is_last_value(db: &mut dyn Db, unit: &Unit) -> Result<bool, StoreError> {
    for row in unit.rows.get("result").into_iter().flatten() {
        let state = row.get("state").and_then(|state| state.as_str());
        let number = |column: &str| row.get(column).and_then(serde_json::Value::as_i64);
        let (Some("released" | "kept"), Some(tube), Some(test)) = (
            state,
            number("specimen"),
            row.get("test").and_then(|test| test.as_str()),
        ) else {
            continue;
        };
        let (id, at) = (
            number("id").unwrap_or(0),
            number("received_at").unwrap_or(0),
        );
        let params = [tube.into(), test.into(), id.into(), at.into()];
        if db.row_opt(&LATER_VALUE, &params)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
