//! What an automation line says against a result: its tube was never at the analyzer, or two tubes
//! have its barcode.

use crate::{
    model::{Hold, HoldReason},
    store::{Db, StoreError},
    tubes::whereabouts,
};

use super::{Session, SettleContext, Settled, rows};

/// The clock of a line and ours may differ by so much, microseconds.
const CLOCK_SLACK: i64 = 60 * 1_000_000;

/// The holds of a result, with what its tube's line says now. That two tubes had its barcode stays
/// true of a result, also when somebody has found the second one.
pub(super) fn holds(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    barcode: &str,
    holds: &[Hold],
) -> Result<Vec<Hold>, StoreError> {
    let mut holds: Vec<Hold> = holds
        .iter()
        .filter(|hold| hold.reason != HoldReason::TubeNotAtAnalyzer)
        .cloned()
        .collect();
    if !context.site.has_tracks() {
        return Ok(holds);
    }
    let analyzer = context.site.on_track(context.line);
    let since = context.now.saturating_sub(context.specimen_age_max);
    let until = context.received_at.saturating_add(CLOCK_SLACK);
    let tube = whereabouts::of_tube(db, barcode, analyzer, (since, until))?;
    let is_known = |reason| holds.iter().any(|hold: &Hold| hold.reason == reason);
    if tube.is_doubled && !is_known(HoldReason::TubeInTwoPlaces) {
        holds.push(Hold::new(HoldReason::TubeInTwoPlaces, ""));
    }
    if let Some(place) = analyzer.filter(|_| tube.is_elsewhere) {
        holds.push(Hold::new(HoldReason::TubeNotAtAnalyzer, place.module));
    }
    Ok(holds)
}

/// Decides again about the results on this barcode that are held because the line had not seen their
/// tube at the analyzer: it may have told so meanwhile.
///
/// # Errors
/// The store's.
pub fn resume_tracked(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    barcode: &str,
) -> Result<Settled, StoreError> {
    let since = context.now - context.specimen_age_max;
    let held = rows::held_for_track(db, barcode, since)?;
    let mut session = Session::new(*context);
    for stored in held {
        session.ask_again(db, &stored)?;
    }
    let settled = session.settled;
    session.finish(db)?;
    Ok(settled)
}
