//! From decoded items to decisions, inside one transaction: match to the order, hold or release,
//! recognise repeats, give versions, and put what is released on the queue.
//!
//! What must not happen here: a result dropped, a near match taken, a value changed, a decision
//! that depends on an analyzer's clock.

mod clock;
mod decide;
mod key;
mod matching;
mod rows;
mod unordered;

use std::collections::BTreeMap;

use crate::{
    book,
    model::{
        Hold, HoldReason, Item, Observation, ObservationKind, OrderStatus, Priority, ResultState,
    },
    queue,
    store::{Db, StoreError},
};

use self::{
    decide::{Decision, Held},
    matching::{Tube, TubeMatch},
    rows::{Known, NewResult},
};

pub use self::rows::{
    StoredResult, forget_old_keys, of_barcode, of_message, released_tests, result_by_id,
    results_by_ids, told_before, versions_before,
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&crate::store::Sql] = rows::ALL;

/// What the site says about releasing.
pub trait SiteRules: Send + Sync {
    /// Whether results of this host are released without a person, where nothing holds them.
    fn releases_automatically(&self, host: &str) -> bool;
    /// Whether a test nobody ordered, on a tube that has an order, is posted to this host.
    fn posts_extras(&self, host: &str) -> bool;
    /// The host to which a result of this line is posted although nobody ordered on its tube;
    /// `None` where such a result waits for its order.
    fn posts_unordered(&self, _line: &str) -> Option<String> {
        None
    }
    /// Whether the test, measured on this line, belongs to blood transfusion.
    fn is_transfusion(&self, line: &str, test: &str) -> bool;
}

/// What holds for every result of one message.
#[derive(Clone, Copy)]
pub struct SettleContext<'a> {
    /// The journal row.
    pub message: i64,
    /// The line it came on.
    pub line: &'a str,
    /// When it came, microseconds UTC.
    pub received_at: i64,
    /// Now, microseconds UTC.
    pub now: i64,
    /// An order older than this is not matched by its barcode, microseconds.
    pub specimen_age_max: i64,
    /// The message without its own time and control id: what a retransmission repeats.
    pub digest_input: &'a [u8],
    /// The site's rules.
    pub site: &'a dyn SiteRules,
}

impl std::fmt::Debug for SettleContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettleContext")
            .field("message", &self.message)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// What became of a message's items, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settled {
    /// On their way to a host.
    pub released: u32,
    /// Waiting for a person.
    pub held: u32,
    /// Waiting for an order.
    pub waiting: u32,
    /// Nobody ordered them.
    pub kept: u32,
    /// Sent before.
    pub repeats: u32,
    /// Measured again with the same value.
    pub confirmed: u32,
    /// Controls and calibrations.
    pub controls: u32,
    /// Device events, unreadable parts.
    pub events: u32,
    /// Host queries.
    pub queries: u32,
}

/// Settles every item of a message.
///
/// # Errors
/// The store's; then nothing of the message is settled and it stays unparsed.
pub fn settle(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    items: &[Item],
) -> Result<Settled, StoreError> {
    let mut session = Session::new(context);
    session.next_id = rows::next_id(db)?;
    let keys = session.look_for_repeats(db, items)?;
    for (item, keys) in items.iter().zip(keys) {
        match item {
            Item::Observation(observation) => {
                session.keys_of_this = keys;
                session.observe(db, observation)?;
            }
            Item::Query(_) => session.settled.queries += 1,
            Item::Device(event) => {
                rows::insert_event(
                    db,
                    context,
                    &event.code,
                    &event.text,
                    event.specimen.as_deref(),
                )?;
                session.settled.events += 1;
            }
            Item::Incomplete(part) => {
                rows::insert_event(db, context, "unreadable", &part.why, None)?;
                session.settled.events += 1;
            }
        }
    }
    session.finish(db)
}

/// Lets the results that waited for an order on this barcode go on, in order of arrival: those of
/// an unknown tube, and those of a known one that nobody had ordered yet.
///
/// # Errors
/// The store's.
pub fn resume(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    barcode: &str,
) -> Result<Settled, StoreError> {
    let mut session = Session::new(context);
    let since = context.now - context.specimen_age_max;
    for stored in rows::waiting(db, barcode, since)? {
        session.resume(db, stored)?;
    }
    session.finish(db)
}

/// What an observation is recognised by when it comes again.
#[derive(Debug)]
struct Keys {
    own: String,
    /// As it was made before its tube was ordered on.
    early: Option<String>,
}

impl Keys {
    fn iter(&self) -> impl Iterator<Item = &str> {
        [Some(&self.own), self.early.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

/// One settling transaction: what was read once, what is to be written once.
struct Session<'a> {
    context: &'a SettleContext<'a>,
    tubes: BTreeMap<String, TubeMatch>,
    /// Keys of this message that came before, with their results.
    known: BTreeMap<String, Known>,
    /// Keys of the observation that is being placed.
    keys_of_this: Option<Keys>,
    new_rows: Vec<NewResult>,
    keys: Vec<(String, i64)>,
    to_queue: BTreeMap<(String, i64), (Priority, Vec<i64>)>,
    next_id: i64,
    settled: Settled,
}

impl<'a> Session<'a> {
    fn new(context: &'a SettleContext<'a>) -> Self {
        Self {
            context,
            tubes: BTreeMap::new(),
            known: BTreeMap::new(),
            keys_of_this: None,
            new_rows: Vec::new(),
            keys: Vec::new(),
            to_queue: BTreeMap::new(),
            next_id: 1,
            settled: Settled::default(),
        }
    }

    fn observe(&mut self, db: &mut dyn Db, observation: &Observation) -> Result<(), StoreError> {
        let id = self.next_id;
        self.next_id += 1;
        if observation.kind != ObservationKind::Patient {
            self.settled.controls += 1;
            let decision = Decision::plain(ResultState::Control);
            self.new_rows.push(NewResult::new(
                self.context,
                id,
                observation,
                None,
                decision,
            )?);
            return Ok(());
        }
        let (specimen, decision) = self.place(db, id, observation, None, &observation.holds)?;
        self.count(decision.state);
        self.new_rows.push(NewResult::new(
            self.context,
            id,
            observation,
            specimen,
            decision,
        )?);
        Ok(())
    }

    fn resume(&mut self, db: &mut dyn Db, stored: StoredResult) -> Result<(), StoreError> {
        let is_kept = stored.state == ResultState::Kept;
        // What the tube said against it is asked again; what the message said stays.
        let is_of_tube = |reason| {
            let again = [HoldReason::PatientMismatch, HoldReason::ClockYear];
            reason == HoldReason::UnknownSpecimen || is_kept && again.contains(&reason)
        };
        let holds: Vec<Hold> = stored
            .holds
            .iter()
            .filter(|hold| !is_of_tube(hold.reason))
            .cloned()
            .collect();
        if is_kept && !self.is_wanted(db, &stored)? {
            return Ok(());
        }
        let waited = Some((stored.line.as_str(), stored.received_at));
        let (specimen, decision) =
            self.place(db, stored.id, &stored.observation, waited, &holds)?;
        if decision.state == ResultState::Waiting {
            return Ok(());
        }
        self.count(decision.state);
        rows::update_decision(db, stored.id, specimen, &decision, self.context.now)
    }

    /// Whether a test that nobody had ordered is ordered now, on the very tube it was measured on:
    /// the barcode alone may mean another patient's tube by now.
    fn is_wanted(&mut self, db: &mut dyn Db, stored: &StoredResult) -> Result<bool, StoreError> {
        let barcode = stored.barcode.as_str();
        self.look_up(db, self.context, barcode)?;
        let Some(TubeMatch::One(tube)) = self.tubes.get(barcode) else {
            return Ok(false);
        };
        let test = stored.observation.test.as_deref();
        let is_same_tube = stored.specimen == Some(tube.specimen.id);
        Ok(is_same_tube && test.is_some_and(|test| tube.orders(test)))
    }

    /// Decides about one patient observation: its tube, its state, what it replaces. One that
    /// waited brings the line that it came on and when; one that is new came with this session.
    fn place(
        &mut self,
        db: &mut dyn Db,
        id: i64,
        observation: &Observation,
        waited: Option<(&str, i64)>,
        holds: &[Hold],
    ) -> Result<(Option<i64>, Decision), StoreError> {
        let barcode = observation
            .specimen
            .as_ref()
            .map_or("", |tube| tube.id.as_str())
            .to_owned();
        if barcode.is_empty() {
            let held = Held::with(holds, Hold::new(HoldReason::NoSpecimen, ""));
            return Ok((None, held.decision()));
        }
        let (line, received_at) = waited.unwrap_or((self.context.line, self.context.received_at));
        let context = &SettleContext {
            line,
            received_at,
            ..*self.context
        };
        let tube = self.tube_key(db, context, &barcode, (observation, holds))?;
        let specimen = self.tubes.get(&tube).and_then(TubeMatch::specimen);
        if waited.is_none()
            && let Some(first) = self.seen_before(id, self.specimen_of(&barcode))
        {
            return Ok((specimen, Decision::repeat_of(first)));
        }
        let Some(found) = self.tubes.get_mut(&tube) else {
            return Err(StoreError::value("a tube was looked up and is gone"));
        };
        let decision = decide::decide(context, found, observation, holds);
        if decision.state == ResultState::Released {
            self.release(db, &tube, id, observation, &decision)?;
        } else if let TubeMatch::One(tube) = found {
            tube.remember(id, observation, &decision);
        }
        Ok((specimen, decision))
    }

    /// Looks up the tube of an observation; returns its key in `tubes`: the barcode, or barcode and
    /// patient where the device's word is all there is.
    fn tube_key(
        &mut self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        barcode: &str,
        (observation, holds): (&Observation, &[Hold]),
    ) -> Result<String, StoreError> {
        self.look_up(db, context, barcode)?;
        let is_unknown = matches!(self.tubes.get(barcode), Some(TubeMatch::Unknown));
        let as_seen = is_unknown
            .then(|| unordered::Seen::of(context, observation, holds))
            .flatten();
        let Some(seen) = as_seen else {
            return Ok(barcode.to_owned());
        };
        let key = seen.key(barcode);
        if !self.tubes.contains_key(&key) {
            let tube = seen.tube(db, context, barcode)?;
            self.tubes
                .insert(key.clone(), TubeMatch::One(Box::new(tube)));
        }
        Ok(key)
    }

    fn look_up(
        &mut self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        barcode: &str,
    ) -> Result<(), StoreError> {
        if !self.tubes.contains_key(barcode) {
            let since = context.now - context.specimen_age_max;
            let found = matching::find(db, barcode, since)?;
            self.tubes.insert(barcode.to_owned(), found);
        }
        Ok(())
    }

    fn specimen_of(&self, barcode: &str) -> Option<i64> {
        self.tubes.get(barcode).and_then(TubeMatch::specimen)
    }

    fn release(
        &mut self,
        db: &mut dyn Db,
        tube: &str,
        id: i64,
        observation: &Observation,
        decision: &Decision,
    ) -> Result<(), StoreError> {
        let Some(TubeMatch::One(tube)) = self.tubes.get_mut(tube) else {
            return Err(StoreError::value("a result was released without a tube"));
        };
        for &replaced in &decision.replaces {
            rows::set_state(db, replaced, ResultState::Replaced, self.context.now)?;
            self.new_rows
                .iter_mut()
                .filter(|row| row.id == replaced)
                .for_each(NewResult::replace);
            for (_, queued) in self.to_queue.values_mut() {
                queued.retain(|waiting| *waiting != replaced);
            }
            queue::withdraw_result(db, tube.specimen.id, replaced, self.context.now)?;
        }
        tube.remember(id, observation, decision);
        let key = (tube.specimen.host.clone(), tube.specimen.id);
        let priority = tube.priority();
        let entry = self
            .to_queue
            .entry(key)
            .or_insert_with(|| (priority, Vec::new()));
        entry.1.push(id);
        Ok(())
    }

    /// Makes the keys of every observation that can be a repeat, and looks for all of them at once.
    ///
    /// A result that came before its order has the barcode in its key and not the tube; it is
    /// still the same result as long as it went to this tube, or waits.
    fn look_for_repeats(
        &mut self,
        db: &mut dyn Db,
        items: &[Item],
    ) -> Result<Vec<Option<Keys>>, StoreError> {
        let mut occurrences: BTreeMap<String, u32> = BTreeMap::new();
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            all.push(match item {
                Item::Observation(observation) => self.keys(db, observation, &mut occurrences)?,
                Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
            });
        }
        let wanted: Vec<&str> = all.iter().flatten().flat_map(Keys::iter).collect();
        self.known = rows::find_keys(db, self.context.received_at, &wanted)?;
        Ok(all)
    }

    fn keys(
        &mut self,
        db: &mut dyn Db,
        observation: &Observation,
        occurrences: &mut BTreeMap<String, u32>,
    ) -> Result<Option<Keys>, StoreError> {
        let barcode = observation
            .specimen
            .as_ref()
            .map_or("", |tube| tube.id.as_str());
        let is_patient = observation.kind == ObservationKind::Patient;
        if barcode.is_empty() || !is_patient || decide::is_incomplete(&observation.holds) {
            return Ok(None);
        }
        self.look_up(db, self.context, barcode)?;
        let specimen = self.specimen_of(barcode);
        let plain = key::of(self.context, observation, barcode, specimen);
        let count = occurrences.entry(plain.clone()).or_insert(0);
        *count += 1;
        let nth = *count;
        let early = specimen
            .is_some()
            .then(|| key::nth(&key::of(self.context, observation, barcode, None), nth));
        Ok(Some(Keys {
            own: key::nth(&plain, nth),
            early,
        }))
    }

    /// The stored result that this one repeats; else remembers its key.
    fn seen_before(&mut self, id: i64, specimen: Option<i64>) -> Option<i64> {
        let keys = self.keys_of_this.take()?;
        if let Some((first, _)) = self.known.get(&keys.own) {
            return Some(*first);
        }
        let early = keys.early.as_ref().and_then(|early| self.known.get(early));
        if let Some((first, went_to)) = early
            && (went_to.is_none() || *went_to == specimen)
        {
            return Some(*first);
        }
        self.keys.push((keys.own, id));
        None
    }

    const fn count(&mut self, state: ResultState) {
        match state {
            ResultState::Released => self.settled.released += 1,
            ResultState::Waiting => self.settled.waiting += 1,
            ResultState::Kept => self.settled.kept += 1,
            ResultState::Repeat => self.settled.repeats += 1,
            ResultState::Confirmed => self.settled.confirmed += 1,
            ResultState::Control => self.settled.controls += 1,
            ResultState::Held | ResultState::Replaced | ResultState::SetAside => {
                self.settled.held += 1;
            }
        }
    }

    fn finish(self, db: &mut dyn Db) -> Result<Settled, StoreError> {
        let now = self.context.now;
        rows::insert(db, self.new_rows)?;
        rows::insert_keys(db, self.context.received_at, &self.keys)?;
        for ((host, specimen), (priority, results)) in &self.to_queue {
            if !results.is_empty() {
                queue::enqueue_results(db, host, *specimen, *priority, results, now)?;
            }
        }
        for tube in self.tubes.values() {
            if let TubeMatch::One(tube) = tube {
                update_order_status(db, tube, now)?;
            }
        }
        Ok(self.settled)
    }
}

fn update_order_status(db: &mut dyn Db, tube: &Tube, now: i64) -> Result<(), StoreError> {
    for item in &tube.items {
        let done = item
            .tests
            .iter()
            .filter(|test| tube.has_released(test))
            .count();
        let status = match (item.status, done) {
            (OrderStatus::Cancelled, _) => OrderStatus::Cancelled,
            (status, 0) => status,
            (_, done) if done == item.tests.len() => OrderStatus::Complete,
            _ => OrderStatus::Partial,
        };
        if status != item.status {
            book::set_status(db, item.id, status, now)?;
        }
    }
    Ok(())
}

/// Whether a completion time can be told to anyone: whole, and not in another year.
pub fn is_time_usable(completed: Option<&crate::model::WallTime>, received_at: i64) -> bool {
    completed.is_some_and(|time| time.utc.is_some())
        && clock::judge(completed, received_at, None) != clock::Oddity::WrongYear
}

#[cfg(test)]
mod tests;
