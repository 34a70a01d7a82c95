//! What people decide about a stored result: the same rules and the same versions, with a person's
//! word where the rules have none.

use crate::{
    book,
    model::{Hold, HoldReason, Observation, ResultState},
    store::{Db, StoreError},
};

use super::{
    Session, SettleContext, SiteRules, StoredResult, decide,
    matching::{Tube, TubeMatch},
    rows, tracked,
};

/// A result to be decided about.
#[derive(Clone, Copy, Debug)]
pub struct ByHand<'a> {
    /// As it is stored.
    pub result: &'a StoredResult,
    /// What it says now: as stored, or read anew, or under the barcode of the tube that was chosen.
    pub observation: &'a Observation,
    /// Reasons of its message that still count. Where its tube stood, and where it was, is asked here.
    pub holds: &'a [Hold],
    /// The tube that a person chose; `None`: the one that it has, or that its barcode means.
    pub tube: Option<i64>,
    /// A person releases it, whatever holds it. Otherwise the rules decide.
    pub is_released: bool,
    /// A message with it does not leave before this instant, microseconds UTC.
    pub due_at: i64,
}

/// Decides about results in their order and returns where each stands then. Of a tube they leave in
/// one message.
///
/// # Errors
/// The store's; also when a person releases a result that has no tube or no test, which the caller
/// has to refuse before.
pub fn decide_by_hand(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    all: &[ByHand<'_>],
) -> Result<Vec<ResultState>, StoreError> {
    let mut session = Session::new(*context);
    let mut states = Vec::with_capacity(all.len());
    for one in all {
        session.context = one.context(context);
        session.due_at = Some(one.due_at);
        states.push(session.by_hand(db, one)?);
    }
    session.finish(db)?;
    Ok(states)
}

/// What the rules would decide about a result now, and why; nothing is changed.
///
/// # Errors
/// The store's.
pub fn judge(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    one: &ByHand<'_>,
) -> Result<(ResultState, Vec<Hold>), StoreError> {
    let mut session = Session::new(one.context(context));
    let holds = one.standing(db, &session.context)?;
    let Some((key, _)) = session.tube_by_hand(db, one)? else {
        return Ok((ResultState::Held, holds));
    };
    let context = session.context;
    let asked = (one.result.id, one.observation);
    let of_patient = session.of_patient(db, &context, &key, asked)?;
    let Some(found) = session.tubes.get(&key) else {
        return Err(StoreError::value("a tube was looked up and is gone"));
    };
    let decision = decide::decide(&context, found, one.observation, &holds, &of_patient);
    Ok((decision.state, decision.holds))
}

impl ByHand<'_> {
    /// As it was when the result came.
    fn context<'c>(&'c self, context: &SettleContext<'c>) -> SettleContext<'c> {
        SettleContext {
            message: self.result.message,
            line: &self.result.line,
            received_at: self.result.received_at,
            ..*context
        }
    }

    /// What its message says against it, with what was known of the place of its tube when it came,
    /// and what its line says now. A person who says which tube it was ends what was wrong with the
    /// tube alone.
    fn standing(
        &self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
    ) -> Result<Vec<Hold>, StoreError> {
        let is_ended = |reason| {
            let of_tube = [HoldReason::RackIsSpecimen, HoldReason::PositionReused];
            self.tube.is_some() && of_tube.contains(&reason)
        };
        let mut holds = self.holds.to_vec();
        for hold in &self.result.holds {
            let is_told = holds.iter().any(|told| told.reason == hold.reason);
            if hold.reason.is_of_place() && !is_told && !is_ended(hold.reason) {
                holds.push(hold.clone());
            }
        }
        match super::barcode_of(self.observation) {
            Some(barcode) => tracked::holds(db, context, barcode, &holds),
            None => Ok(holds),
        }
    }
}

/// A person gives up a result that is not on its way to anyone. False where its state does not
/// allow it.
///
/// # Errors
/// The store's.
pub fn set_aside(db: &mut dyn Db, id: i64, now: i64) -> Result<bool, StoreError> {
    let result = rows::result_by_id(db, id)?.filter(|result| result.state.is_open());
    let Some(mut result) = result else {
        return Ok(false);
    };
    rows::set_state(db, id, ResultState::SetAside, now)?;
    result.state = ResultState::SetAside;
    super::judge_again(db, &result, None, now)?;
    Ok(true)
}

impl Session<'_> {
    /// The tube of a result: the one that was chosen, the one it has, or what its barcode means.
    /// Returns its key in `tubes`, which for a tube of the book is its row: its barcode may mean
    /// another one by now.
    fn tube_by_hand(
        &mut self,
        db: &mut dyn Db,
        one: &ByHand<'_>,
    ) -> Result<Option<(String, Option<i64>)>, StoreError> {
        let barcode = super::barcode_of(one.observation).unwrap_or_default();
        let mut chosen = one.tube.or(one.result.specimen);
        if chosen.is_none() {
            if barcode.is_empty() {
                return Ok(None);
            }
            self.look_up(db, barcode)?;
            chosen = self.specimen_of(barcode);
        }
        let Some(id) = chosen else {
            return Ok(Some((barcode.to_owned(), None)));
        };
        // Under one key alone, so that every result of it sees the others.
        self.tubes.remove(barcode);
        let key = format!("\u{1f}{id}");
        if !self.tubes.contains_key(&key) {
            let tube = Box::new(tube(db, self.context.site, id)?);
            self.tubes.insert(key.clone(), TubeMatch::One(tube));
        }
        if let Some(TubeMatch::One(tube)) = self.tubes.get_mut(&key) {
            // It is no version that another follows while it is being decided about itself.
            tube.current.retain(|row| row.id != one.result.id);
        }
        Ok(Some((key, Some(id))))
    }

    fn by_hand(&mut self, db: &mut dyn Db, one: &ByHand<'_>) -> Result<ResultState, StoreError> {
        let observation = one.observation;
        let context = self.context;
        // What a person releases, the rules looked at before.
        let standing = if one.is_released {
            one.holds.to_vec()
        } else {
            one.standing(db, &context)?
        };
        let one = &ByHand {
            holds: &standing,
            ..*one
        };
        let barcode = super::barcode_of(observation).unwrap_or_default();
        let Some((mut key, mut specimen)) = self.tube_by_hand(db, one)? else {
            return self.without_tube(db, one);
        };
        if specimen.is_none() && !one.is_released {
            // A site may post what nobody ordered.
            key = self.tube_key(db, &context, barcode, (observation, one.holds))?;
            specimen = self.specimen_of(&key);
        }
        let asked = (one.result.id, observation);
        let of_patient = self.of_patient(db, &context, &key, asked)?;
        let Some(found) = self.tubes.get_mut(&key) else {
            return Err(StoreError::value("a tube was looked up and is gone"));
        };
        let provisional = match (&*found, observation.test.as_deref()) {
            (TubeMatch::One(tube), Some(test)) if tube.is_provisional(test) => {
                Some((tube.specimen.id, test))
            }
            _ => None,
        };
        let decision = match (&*found, one.is_released) {
            (TubeMatch::One(_), true) if provisional.is_some() => {
                let (specimen, test) = provisional.unwrap_or_default();
                let before = rows::kept_for_ward(db, specimen, test)?;
                decide::keep_for_ward(&before, observation, one.holds)
            }
            (TubeMatch::One(tube), true) if observation.test.is_some() => {
                decide::release(tube, observation, one.holds)
            }
            (_, true) => return Err(StoreError::value("a release without a tube or a test")),
            (found, false) => decide::decide(&context, found, observation, one.holds, &of_patient),
        };
        self.learn(db, &key, asked, &decision)?;
        if decision.state == ResultState::Released {
            self.release(db, &key, one.result.id, observation, &decision)?;
        } else {
            for &replaced in &decision.replaces {
                rows::set_state(db, replaced, ResultState::Replaced, context.now)?;
            }
            if let Some(TubeMatch::One(tube)) = self.tubes.get_mut(&key) {
                tube.remember(one.result.id, observation, &decision);
            }
        }
        let id = one.result.id;
        let came = (one.result.line.as_str(), one.result.received_at);
        self.judge_critical(Some(&key), (id, false), came, observation, &decision);
        let at = (barcode, specimen);
        rows::update_whole(db, id, at, observation, &decision, context.now)?;
        Ok(decision.state)
    }

    /// It names no tube, and nobody chose one: what holds it may have changed.
    fn without_tube(
        &mut self,
        db: &mut dyn Db,
        one: &ByHand<'_>,
    ) -> Result<ResultState, StoreError> {
        if one.is_released || one.holds.is_empty() {
            return Err(StoreError::value(
                "a decision about a result without a tube",
            ));
        }
        let decision = decide::Decision {
            holds: one.holds.to_vec(),
            ..decide::Decision::plain(ResultState::Held)
        };
        let (id, now) = (one.result.id, self.context.now);
        let came = (one.result.line.as_str(), one.result.received_at);
        self.judge_critical(None, (id, false), came, one.observation, &decision);
        rows::update_whole(db, id, ("", None), one.observation, &decision, now)?;
        Ok(decision.state)
    }
}

/// A tube by its row, whatever its barcode means to others.
fn tube(db: &mut dyn Db, site: &dyn SiteRules, id: i64) -> Result<Tube, StoreError> {
    let is_read = |test: &str| site.blood(test).is_some();
    let specimen = book::specimen_by_id(db, id)?;
    let items = book::open_items(db, id)?;
    Ok(Tube {
        patient: book::patient_of(db, specimen.patient)?,
        current: rows::current_of(db, id, &is_read)?,
        is_unordered: items.is_empty(),
        items,
        specimen,
    })
}
