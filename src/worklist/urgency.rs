//! What comes first on the work list.

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::{
    book::{self, BookItem, BookPatient},
    bridge::Site,
    calls::Critical,
    config::catalogue::Test,
    model::{Comparator, Observation, OrderStatus, Priority, Value},
    settle::StoredResult,
    store::{Db, Sql, StoreError},
};

/// Ordered tests without a released result that were to be done by now; `$1` the oldest order that
/// counts, `$2` to `$4` the newest that is late for STAT, ASAP and routine.
pub(super) const LATE: Sql = Sql::same(
    "SELECT i.id, i.specimen, i.placer, i.service, i.priority, s.barcode, \
     coalesce(s.collected_at, i.created_at) FROM order_item i JOIN specimen s ON s.id = i.specimen \
     WHERE i.status IN ('SC', 'A') AND i.created_at >= $1 AND coalesce(s.collected_at, i.created_at) \
     <= CASE i.priority WHEN 0 THEN CAST($2 AS bigint) WHEN 1 THEN CAST($3 AS bigint) \
       ELSE CAST($4 AS bigint) END \
     ORDER BY i.priority, i.created_at, i.id LIMIT $5",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&LATE];

/// How soon results are to be there after the tube was taken, microseconds; where nobody knows when
/// it was taken, after the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// STAT.
    pub stat: i64,
    /// As soon as possible.
    pub asap: i64,
    /// Everything else.
    pub routine: i64,
    /// What a person and the way to the host take: what is due sooner will be late.
    pub hand: i64,
}

const MINUTE: i64 = 60_000_000;

impl Default for Targets {
    /// An hour for STAT and four for routine, as most hospitals promise their wards.
    fn default() -> Self {
        Self {
            stat: 60 * MINUTE,
            asap: 120 * MINUTE,
            routine: 240 * MINUTE,
            hand: 10 * MINUTE,
        }
    }
}

impl Targets {
    /// How long there is from the tube to the result.
    pub const fn of(self, priority: Priority) -> i64 {
        match priority {
            Priority::Stat => self.stat,
            Priority::Asap => self.asap,
            Priority::Routine => self.routine,
        }
    }
}

/// How soon a person is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Urgency {
    /// Beyond a critical limit: `low` or `high`.
    pub critical: Option<&'static str>,
    /// Of the order.
    pub priority: Priority,
    /// When the result is to be at the host, microseconds UTC.
    pub due_at: Option<i64>,
    /// Late, or going to be.
    pub is_late: bool,
}

/// What is known of a result's tube.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) items: &'a [BookItem],
    pub(super) patient: Option<&'a BookPatient>,
    pub(super) collected_at: Option<i64>,
}

impl Urgency {
    pub(super) fn of(
        site: &Site,
        observation: &Observation,
        known: Known<'_>,
        targets: Targets,
        now: i64,
    ) -> Self {
        let test = observation.test.as_deref().unwrap_or_default();
        let open = known.items.iter();
        let open = open.filter(|item| item.status != OrderStatus::Cancelled);
        let asks = |item: &&BookItem| item.tests.iter().any(|own| own == test);
        // Where nobody knows the test, its whole tube counts.
        let wanting: Vec<&BookItem> = open
            .filter(|item| observation.test.is_none() || asks(item))
            .collect();
        let due = wanting.iter().map(|item| {
            let from = known.collected_at.unwrap_or(item.created_at);
            from.saturating_add(targets.of(item.priority))
        });
        let due_at = due.min();
        Self {
            critical: critical(site, observation, known.patient, now),
            priority: wanting
                .iter()
                .map(|item| item.priority)
                .min()
                .unwrap_or_default(),
            due_at,
            is_late: due_at.is_some_and(|due| now.saturating_add(targets.hand) > due),
        }
    }
}

/// Whether a result may leave at once: its order is STAT, or its value is critical.
pub(super) fn is_urgent(
    db: &mut dyn Db,
    site: &Site,
    result: &StoredResult,
) -> Result<bool, StoreError> {
    let Some(id) = result.specimen else {
        return Ok(false);
    };
    let specimen = book::specimen_by_id(db, id)?;
    let patient = book::patient_of(db, specimen.patient)?;
    let items = book::open_items(db, id)?;
    let known = Known {
        items: &items,
        patient: Some(&patient),
        collected_at: specimen.collected_at,
    };
    let (targets, at) = (Targets::default(), result.received_at);
    let urgency = Urgency::of(site, &result.observation, known, targets, at);
    Ok(urgency.critical.is_some() || urgency.priority == Priority::Stat)
}

/// Beyond the catalogue's critical limits for this patient, or so by the device's own flag. A value in
/// another unit is compared with nothing.
pub fn critical(
    site: &Site,
    observation: &Observation,
    patient: Option<&BookPatient>,
    now: i64,
) -> Option<&'static str> {
    beyond_limit(site, observation, patient, now).map(|critical| critical.side)
}

/// The same with the limit. A value in another unit is compared with nothing.
pub(crate) fn beyond_limit(
    site: &Site,
    observation: &Observation,
    patient: Option<&BookPatient>,
    now: i64,
) -> Option<Critical> {
    let of = |side, beyond: String| Some(Critical { side, beyond });
    let by_flag = |flag: &str| observation.flags.iter().any(|own| own == flag);
    if by_flag("LL") {
        return of(LOW, "LL".to_owned());
    }
    if by_flag("HH") {
        return of(HIGH, "HH".to_owned());
    }
    let test = observation.test.as_deref()?;
    let test = site.laboratory.catalogue.as_ref()?.test(test)?;
    // Most tests have none, and this is asked of every result.
    if test.critical.is_empty() {
        return None;
    }
    let unit = test.unit.as_ref().map(|unit| unit.as_str());
    if unit != observation.ucum.as_deref() {
        return None;
    }
    let Value::Quantity { comparator, number } = &observation.value else {
        return None;
    };
    let limits = beyond(test, patient, site.laboratory.zone.clone(), now)?;
    let low = limits
        .low
        .filter(|low| is_below(*comparator, *number, *low));
    let high = limits
        .high
        .filter(|high| is_above(*comparator, *number, *high));
    match (low, high) {
        (Some(low), _) => of(LOW, format!("< {low}")),
        (None, Some(high)) => of(HIGH, format!("> {high}")),
        (None, None) => None,
    }
}

const LOW: &str = "low";
const HIGH: &str = "high";

/// The critical limits for a patient of that sex and age.
fn beyond(
    test: &Test,
    patient: Option<&BookPatient>,
    zone: jiff::tz::TimeZone,
    now: i64,
) -> Option<crate::config::catalogue::Limits> {
    let sex = patient.and_then(|patient| patient.sex);
    let birth = patient.and_then(|patient| date(patient.birth.expose()));
    let today = Timestamp::from_microsecond(now).ok()?.to_zoned(zone).date();
    Some(test.critical_of(sex, birth, today))
}

/// `YYYYMMDD`.
fn date(text: &str) -> Option<Date> {
    Date::strptime("%Y%m%d", text.get(..8)?).ok()
}

fn is_below(comparator: Option<Comparator>, number: Decimal, low: Decimal) -> bool {
    match comparator {
        None => number < low,
        Some(Comparator::Less | Comparator::LessOrEqual) => number <= low,
        Some(Comparator::Greater | Comparator::GreaterOrEqual) => false,
    }
}

fn is_above(comparator: Option<Comparator>, number: Decimal, high: Decimal) -> bool {
    match comparator {
        None => number > high,
        Some(Comparator::Greater | Comparator::GreaterOrEqual) => number >= high,
        Some(Comparator::Less | Comparator::LessOrEqual) => false,
    }
}
