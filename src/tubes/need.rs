//! What is still to be done with a tube: from the order book, the results and its way on the line.

use std::collections::BTreeSet;

use crate::{
    book,
    model::OrderStatus,
    store::{Db, Sql, StoreError},
    track::{
        Priority,
        model::{Kind, Line, Want},
        route::Need,
        state::{Tube, What},
    },
};

/// Tests that have a value, or of which a person has to decide.
const MEASURED: Sql = Sql::same(
    "SELECT DISTINCT test FROM result WHERE barcode = $1 AND received_at >= $2 \
     AND kind = 'patient' AND test IS NOT NULL \
     AND state IN ('released', 'held', 'waiting', 'kept', 'confirmed')",
);

/// By our clock: a line's own may be in any year.
const FINISHED: Sql = Sql::same(
    "SELECT module, max(received_at) FROM track_event WHERE barcode = $1 AND barcode <> '' \
     AND received_at >= $2 AND line = $3 AND kind = 'finished' GROUP BY module",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&MEASURED, &FINISHED];

/// What the order book says of a barcode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody ordered anything on it, or all of it was cancelled.
    NoOrder,
    /// It is active for two patients.
    TwoPatients,
    /// This is to be done.
    Need(Need),
}

/// When an item was ordered (UTC microseconds), and its tests.
type Ordered = (i64, Vec<String>);

/// What is to be done with a tube since `since` (UTC microseconds: no older order is matched).
///
/// A test of a tube that its analyzer is done with is on its way to a result, and is not pending
/// unless it was ordered later.
///
/// # Errors
/// The store's.
pub fn of_tube(
    db: &mut dyn Db,
    (line_id, line): (&str, &Line),
    (barcode, tube): (&str, &Tube),
    since: i64,
) -> Result<Wanted, StoreError> {
    let mut wanted: Option<(i64, Priority, Vec<Ordered>)> = None;
    for specimen in book::specimens_with_barcode(db, barcode, since)? {
        let mut items = book::open_items(db, specimen.id)?;
        items.retain(|item| item.status != OrderStatus::Cancelled);
        if items.is_empty() {
            continue;
        }
        if wanted
            .as_ref()
            .is_some_and(|(patient, ..)| *patient != specimen.patient)
        {
            return Ok(Wanted::TwoPatients);
        }
        let is_stat = items
            .iter()
            .any(|item| item.priority.rank() == crate::model::Priority::Stat.rank());
        let priority = if is_stat {
            Priority::Stat
        } else {
            Priority::Routine
        };
        let tests = items.into_iter().map(|item| (item.created_at, item.tests));
        wanted = Some((specimen.patient, priority, tests.collect()));
    }
    let Some((_, priority, items)) = wanted else {
        return Ok(Wanted::NoOrder);
    };
    let measured: BTreeSet<String> = db
        .rows(&MEASURED, &[barcode.into(), since.into()])?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    let mut sampled = Vec::new();
    let params = [barcode.into(), since.into(), line_id.into()];
    for row in db.rows(&FINISHED, &params)? {
        if let Some(no) = line.module_named(row.text(0)?) {
            sampled.push((line.module(no), row.int(1)?));
        }
    }
    // Whether an analyzer that runs the test was done with the tube after it was ordered.
    let is_sampled = |test: &String, ordered_at: i64| {
        let mut modules = sampled.iter();
        modules.any(|(module, at)| *at >= ordered_at && module.tests.contains(test))
    };
    let mut tests = BTreeSet::new();
    for (ordered_at, item) in items {
        let left = item
            .into_iter()
            .filter(|test| !measured.contains(test) && !is_sampled(test, ordered_at));
        tests.extend(left);
    }
    Ok(Wanted::Need(need(line, tube, priority, tests)))
}

fn need(line: &Line, tube: &Tube, priority: Priority, tests: BTreeSet<String>) -> Need {
    let was_at = |kind: Kind| {
        tube.steps()
            .any(|step| step.what == What::Finished && line.module(step.module).kind == kind)
    };
    // A want of one analyzer is a want of the tube only where no other runs the test without.
    let wants = |want: Want| {
        tests.iter().any(|test| {
            let mut able = line
                .of_kind(Kind::Analyzer)
                .map(|no| line.module(no))
                .filter(|module| module.tests.contains(test))
                .peekable();
            able.peek().is_some() && able.all(|module| module.wants.contains(&want))
        })
    };
    let is_open = was_at(Kind::Decapper);
    let can_recap = line.of_kind(Kind::Recapper).next().is_some();
    Need {
        priority,
        centrifuge: wants(Want::Spun) && !was_at(Kind::Centrifuge),
        decap: wants(Want::Open) && !is_open,
        aliquot: false,
        recap: is_open && can_recap && !was_at(Kind::Recapper),
        tests,
        waited_ms: 0,
    }
}
