//! Numbers of a span of days, counted row by row from results of that span alone.
//!
//! There is no index of results by time: ids follow the order of arrival, so the first id of a span is
//! found by halving, and what is read then is the span. Pages of rows keep a reader busy for a moment
//! only; a span with more results than are counted says so.

use std::collections::BTreeMap;

use crate::{
    book::unjson,
    model::{Hold, HoldReason, QueueState, ResultState},
    store::{Db, Row, Sql, StoreError},
};

const LAST: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM result");
const AT: Sql = Sql::same("SELECT id, received_at FROM result WHERE id >= $1 ORDER BY id LIMIT 1");
const ROWS: Sql = Sql::same(
    "SELECT r.id, r.line, r.state, r.holds, r.received_at, r.decided_at, \
     (SELECT min(i.created_at) FROM order_item i WHERE i.specimen = r.specimen), s.received_at, \
     q.state, q.closed_at FROM result r LEFT JOIN specimen s ON s.id = r.specimen \
     LEFT JOIN queue q ON q.id = r.queue \
     WHERE r.id < $1 AND r.id >= $2 AND r.kind = 'patient' AND r.received_at >= $3 \
     AND r.received_at < $4 ORDER BY r.id DESC LIMIT $5",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&LAST, &AT, &ROWS];

/// Rows of one page.
const PAGE: usize = 10_000;
/// Results counted at most: two days of a large laboratory, some tens of megabytes for a second.
pub(super) const ROWS_MAX: usize = 200_000;
/// Workers settle side by side, so ids may be out of time by so much, microseconds.
const OUT_OF_TIME: i64 = 3_600 * 1_000_000;

/// Steps of a result's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// From its first order to its receipt on an automation line.
    Received,
    /// From receipt, or from its order where no line received it, to the analyzer's message.
    Measured,
    /// From the message to the release.
    Released,
    /// From the release to the acknowledgement by the HIS.
    Acknowledged,
    /// From the first order to the acknowledgement.
    Whole,
}

impl Step {
    pub(super) const ALL: [Self; 5] = [
        Self::Received,
        Self::Measured,
        Self::Released,
        Self::Acknowledged,
        Self::Whole,
    ];

    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Measured => "measured",
            Self::Released => "released",
            Self::Acknowledged => "acknowledged",
            Self::Whole => "whole",
        }
    }
}

/// A result with the instants of its way, microseconds UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Way {
    ordered: Option<i64>,
    received: Option<i64>,
    measured: i64,
    released: Option<i64>,
    acknowledged: Option<i64>,
}

impl Way {
    /// Milliseconds of a step; `None` where an end of it is not known, or lies before its begin: then a
    /// clock is wrong, or the order came after the result.
    fn took(&self, step: Step) -> Option<i64> {
        let (from, to) = match step {
            Step::Received => (self.ordered?, self.received?),
            Step::Measured => (self.received.or(self.ordered)?, self.measured),
            Step::Released => (self.measured, self.released?),
            Step::Acknowledged => (self.released?, self.acknowledged?),
            Step::Whole => (self.ordered?, self.acknowledged?),
        };
        (to >= from).then_some((to - from) / 1_000)
    }
}

/// What was counted of one section and day, or of several.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) results: u64,
    pub(super) released: u64,
    pub(super) held: u64,
    pub(super) set_aside: u64,
    pub(super) holds: BTreeMap<HoldReason, u64>,
    took: BTreeMap<Step, Vec<i64>>,
}

impl Tally {
    fn add(&mut self, state: ResultState, holds: &[Hold], way: &Way) {
        self.results += 1;
        self.released += u64::from(state == ResultState::Released);
        self.held += u64::from(state == ResultState::Held);
        self.set_aside += u64::from(state == ResultState::SetAside);
        for hold in holds {
            *self.holds.entry(hold.reason).or_default() += 1;
        }
        for step in Step::ALL {
            if let Some(ms) = way.took(step) {
                self.took.entry(step).or_default().push(ms);
            }
        }
    }

    /// Adds another tally to this one.
    pub(super) fn merge(&mut self, other: &Self) {
        self.results += other.results;
        self.released += other.released;
        self.held += other.held;
        self.set_aside += other.set_aside;
        for (reason, count) in &other.holds {
            *self.holds.entry(*reason).or_default() += count;
        }
        for (step, took) in &other.took {
            self.took.entry(*step).or_default().extend(took);
        }
    }

    /// To be called before [`Tally::percentile`].
    pub(super) fn sort(&mut self) {
        self.took.values_mut().for_each(|took| took.sort_unstable());
    }

    /// How many results a step is known of.
    pub(super) fn count(&self, step: Step) -> usize {
        self.took.get(&step).map_or(0, Vec::len)
    }

    /// The nearest-rank percentile of a step in milliseconds.
    pub(super) fn percentile(&self, step: Step, percent: usize) -> Option<i64> {
        let took = self.took.get(&step)?;
        let rank = (took.len() * percent).div_ceil(100).max(1);
        took.get(rank - 1).copied()
    }
}

/// Everything that was counted, by day and section.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) by: BTreeMap<(jiff::civil::Date, String), Tally>,
    pub(super) rows: usize,
    /// There were more: the oldest are missing.
    pub(super) is_cut: bool,
}

/// The first result id of a time, found by halving.
fn first_id(db: &mut dyn Db, at: i64) -> Result<i64, StoreError> {
    let (mut low, mut high) = (1, db.row(&LAST, &[])?.int(0)? + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match db.row_opt(&AT, &[middle.into()])? {
            Some(row) if row.int(1)? < at => low = row.int(0)? + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The day and section of a result, by its line and when it came (microseconds UTC); what has none is
/// not counted.
pub(super) type PlaceOf<'a> = dyn Fn(&str, i64) -> Option<(jiff::civil::Date, String)> + 'a;

/// Where to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    below: i64,
    first: i64,
}

/// The ids of a span, microseconds UTC.
pub(super) fn span(db: &mut dyn Db, (from, to): (i64, i64)) -> Result<Cursor, StoreError> {
    Ok(Cursor {
        first: first_id(db, from.saturating_sub(OUT_OF_TIME))?,
        below: first_id(db, to.saturating_add(OUT_OF_TIME))?,
    })
}

/// Counts one page, the newest first; where to go on, or `None` at the end.
pub(super) fn page(
    db: &mut dyn Db,
    cursor: Cursor,
    (from, to): (i64, i64),
    place: &PlaceOf<'_>,
    counted: &mut Counted,
) -> Result<Option<Cursor>, StoreError> {
    let room = ROWS_MAX.saturating_sub(counted.rows).min(PAGE);
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let params = [
        cursor.below.into(),
        cursor.first.into(),
        from.into(),
        to.into(),
        limit.into(),
    ];
    let rows = db.rows(&ROWS, &params)?;
    for row in &rows {
        let Some(key) = place(row.text(1)?, row.int(4)?) else {
            continue;
        };
        count(row, counted.by.entry(key).or_default())?;
    }
    counted.rows += rows.len();
    let Some(last) = rows.last().filter(|_| rows.len() >= room) else {
        return Ok(None);
    };
    if counted.rows >= ROWS_MAX {
        counted.is_cut = true;
        return Ok(None);
    }
    Ok(Some(Cursor {
        below: last.int(0)?,
        ..cursor
    }))
}

fn count(row: &Row, tally: &mut Tally) -> Result<(), StoreError> {
    let state = ResultState::from_code(row.text(2)?)
        .ok_or_else(|| StoreError::value("unknown result state in a row"))?;
    if state == ResultState::Repeat {
        return Ok(());
    }
    let holds: Vec<Hold> = match row.text(3)? {
        "" | "[]" => Vec::new(),
        text => unjson(text)?,
    };
    let measured = row.int(4)?;
    let released = (state == ResultState::Released).then_some(row.opt_int(5)?.unwrap_or(measured));
    let is_delivered = row.opt_text(8)? == Some(QueueState::Delivered.code());
    let way = Way {
        ordered: row.opt_int(6)?,
        received: row.opt_int(7)?,
        measured,
        released,
        acknowledged: row.opt_int(9)?.filter(|_| is_delivered),
    };
    tally.add(state, &holds, &way);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use labwire_drivers::SystemClock;

    use super::*;
    use crate::store::{Turn, ground::new_store};

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let mut tally = Tally::default();
        for ms in (1..=10).rev() {
            let way = Way {
                measured: 0,
                released: Some(ms * 1_000),
                ..Way::default()
            };
            tally.add(ResultState::Released, &[], &way);
        }
        tally.sort();
        let at = |percent| tally.percentile(Step::Released, percent);
        assert_eq!(
            (at(50), at(90), at(95), at(100)),
            (Some(5), Some(9), Some(10), Some(10))
        );
        assert_eq!(tally.percentile(Step::Whole, 50), None);
    }

    #[test]
    fn a_step_that_ends_before_it_begins_is_not_counted() {
        let way = Way {
            ordered: Some(9_000),
            received: Some(5_000),
            measured: 7_000,
            released: None,
            acknowledged: Some(20_000),
        };
        let took: Vec<Option<i64>> = Step::ALL.iter().map(|step| way.took(*step)).collect();
        assert_eq!(took, [None, Some(2), None, None, Some(11)]);
    }

    const INSERT: Sql = Sql::same(
        "INSERT INTO result (id, message, line, kind, barcode, state, version, holds, detail, \
         received_at) VALUES ($1, 1, 'xn-1', 'patient', 'T1', $3, 1, $4, '{}', $2)",
    );

    #[test]
    fn of_a_span_its_own_results_are_counted_however_many_stand_around_it() {
        let (store, _ground) = new_store(Arc::new(SystemClock::default()));
        const HOUR: i64 = 3_600 * 1_000_000;
        let counted = store.transact_blocking(Turn::Canonical, |db| {
            for id in 1..=1_000 {
                let (state, holds) = match id % 10 {
                    0 => ("held", r#"[{"reason":"suspect-flag","detail":""}]"#),
                    1 => ("repeat", "[]"),
                    _ => ("released", "[]"),
                };
                // A gap in the ids, as an undone transaction leaves one.
                let id: i64 = if id > 500 { id + 70 } else { id };
                let params = [id.into(), (id * HOUR).into(), state.into(), holds.into()];
                db.exec(&INSERT, &params)?;
            }
            let span_of = (100 * HOUR, 200 * HOUR);
            let mut counted = Counted::default();
            let mut next = Some(span(db, span_of)?);
            let day = jiff::civil::date(2026, 3, 10);
            while let Some(cursor) = next {
                let place = |line: &str, _| Some((day, line.to_owned()));
                next = page(db, cursor, span_of, &place, &mut counted)?;
            }
            assert_eq!(first_id(db, 0)?, 1);
            assert_eq!(first_id(db, 501 * HOUR)?, 501);
            // A gap is of neither side.
            assert_eq!(first_id(db, 571 * HOUR)?, 501);
            assert_eq!(first_id(db, 572 * HOUR)?, 572);
            assert_eq!(first_id(db, 9_000 * HOUR)?, 1_071);
            Ok(counted)
        });
        let counted = counted.expect("the store works");
        let tally = counted.by.values().next().expect("one section");
        assert_eq!((counted.rows, counted.is_cut), (100, false));
        assert_eq!((tally.results, tally.released, tally.held), (90, 80, 10));
        assert_eq!(tally.holds.get(&HoldReason::SuspectFlag), Some(&10));
    }
}
