//! Results whose orders people keyed in while the host was away: what becomes of them when it orders.

use crate::{
    model::{Hold, HoldReason, ResultState},
    store::{Db, StoreError},
};

use super::{Session, decide::Held, matching::TubeMatch, rows, rows::StoredResult};

impl Session<'_> {
    /// A result whose order was keyed in: the host may have ordered it since, or something for another
    /// patient on its barcode.
    pub(super) fn resume_keyed(
        &mut self,
        db: &mut dyn Db,
        stored: &StoredResult,
    ) -> Result<(), StoreError> {
        self.look_up(db, &stored.barcode)?;
        let test = stored.observation.test.as_deref().unwrap_or_default();
        let now = self.context.now;
        let is_same = match self.tubes.get_mut(&stored.barcode) {
            Some(TubeMatch::Ambiguous) => {
                let another = Hold::new(HoldReason::AmbiguousSpecimen, "");
                let decision = Held::with(&stored.holds, another).decision();
                return rows::update_decision(db, stored.id, stored.specimen, &decision, now);
            }
            Some(TubeMatch::One(tube)) => {
                let is_same = stored.specimen == Some(tube.specimen.id);
                if is_same && !tube.orders_at_host(test) {
                    return Ok(());
                }
                // It is no version that another follows while it is being decided about itself.
                tube.current.retain(|row| row.id != stored.id);
                is_same
            }
            _ => return Ok(()),
        };
        // Whoever kept it for the ward looked at it, for this very tube.
        let is_judged = is_same && stored.state == ResultState::Kept;
        let holds: Vec<Hold> = stored
            .holds
            .iter()
            .filter(|_| !is_judged)
            .filter(|hold| hold.reason.is_of_message() || hold.reason.is_of_place())
            .cloned()
            .collect();
        let waited = Some((stored.line.as_str(), stored.received_at));
        let (specimen, decision) =
            self.place(db, stored.id, &stored.observation, waited, &holds)?;
        self.count(decision.state);
        rows::update_decision(db, stored.id, specimen, &decision, now)
    }
}
