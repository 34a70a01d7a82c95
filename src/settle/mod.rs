//! From decoded items to decisions, inside one transaction: match to the order, hold or release,
//! recognise repeats, give versions, and put what is released on the queue.
//!
//! What must not happen here: a result dropped, a near match taken, a value changed, a decision
//! that depends on an analyzer's clock.

mod by_hand;
mod clock;
mod critical;
mod decide;
mod key;
mod keyed;
mod matching;
mod name;
mod panel;
mod rack;
mod rows;
mod settled;
mod site;
mod tracked;
mod transfusion;
mod unordered;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book,
    calls::{self, Judged},
    image,
    model::{
        Hold, HoldReason, Item, Observation, ObservationKind, OrderStatus, Priority, ResultState,
    },
    queue,
    store::{Db, StoreError},
};

use self::{
    decide::{Decision, Held},
    matching::{Tube, TubeMatch},
    rack::Readings,
    rows::{Known, NewResult, Sighting},
    transfusion::{Asked, Blood},
};

pub use self::by_hand::{ByHand, decide_by_hand, judge, set_aside};
pub use self::critical::judge_again;
pub use self::rack::{TubeRead, note_readings};
pub use self::rows::{
    StoredResult, of_barcode, of_message, released_tests_of, result_by_id, results_by_ids,
    told_before, versions_before,
};
pub use self::tracked::resume_tracked;
pub use self::{settled::Settled, site::SiteRules};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [rows::ALL, rack::ALL].concat()
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

/// One message to be settled.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What holds for all of it.
    pub context: SettleContext<'a>,
    /// What it says, in its order.
    pub items: &'a [Item],
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
    let message = Message {
        context: *context,
        items,
    };
    let settled = settle_all(db, &[message])?;
    Ok(settled.into_iter().next().unwrap_or_default())
}

/// Settles messages one after the other, as [`settle`] would each, with the same few statements
/// for all of them. They share `now` and `specimen_age_max`.
///
/// # Errors
/// The store's; then nothing of any of them is settled.
pub fn settle_all(db: &mut dyn Db, messages: &[Message<'_>]) -> Result<Vec<Settled>, StoreError> {
    let Some(first) = messages.first() else {
        return Ok(Vec::new());
    };
    let mut session = Session::new(first.context);
    session.look_up_all(db, messages)?;
    let mut settled = Vec::with_capacity(messages.len());
    for message in messages {
        settled.push(session.message(db, message)?);
    }
    session.finish(db)?;
    Ok(settled)
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
    let since = context.now - context.specimen_age_max;
    let waiting = rows::waiting(db, barcode, since)?;
    let mut session = Session::new(*context);
    for stored in waiting {
        session.resume(db, stored)?;
    }
    let settled = session.settled;
    session.finish(db)?;
    Ok(settled)
}

/// Decides again about the results on this barcode that are held because of who the patient was: two
/// patients have become one. Whatever else held them holds them still.
///
/// # Errors
/// The store's.
pub fn resume_merged(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    barcode: &str,
) -> Result<Settled, StoreError> {
    let since = context.now - context.specimen_age_max;
    let held = rows::held_for_patient(db, barcode, since)?;
    let mut session = Session::new(*context);
    for stored in held {
        session.ask_again(db, &stored)?;
    }
    let settled = session.settled;
    session.finish(db)?;
    Ok(settled)
}

/// Makes room for what the whole of a message says of one of its parts, now that its end has come:
/// of `items` those are returned whose result was held as incomplete, and that result is replaced.
/// What was decided otherwise meanwhile stays.
///
/// # Errors
/// The store's.
pub fn give_way(
    db: &mut dyn Db,
    message: i64,
    items: Vec<Item>,
    now: i64,
) -> Result<Vec<Item>, StoreError> {
    let mut open: BTreeMap<usize, i64> = of_message(db, message)?
        .into_iter()
        .filter(|one| matches!(one.state, ResultState::Held | ResultState::Waiting))
        .filter(|one| decide::is_incomplete(&one.holds))
        .map(|one| (one.observation.span.start, one.id))
        .collect();
    let (mut decided_again, mut gave_way) = (Vec::new(), Vec::new());
    for item in items {
        let Item::Observation(observation) = &item else {
            continue;
        };
        if let Some(id) = open.remove(&observation.span.start) {
            rows::set_state(db, id, ResultState::Replaced, now)?;
            gave_way.push(id);
            decided_again.push(item);
        }
    }
    calls::replaced(db, &gave_way, now)?;
    Ok(decided_again)
}

/// What an observation is recognised by when it comes again.
#[derive(Debug)]
struct Keys {
    own: String,
    /// As it was made before its tube was ordered on.
    early: Option<String>,
}

/// What goes into one message: host, tube, and the set-aside message that it waits for.
type Bundle = (String, i64, Option<i64>);

/// One settling transaction: what was read once, what is to be written once.
struct Session<'a> {
    /// Of the message that is being settled.
    context: SettleContext<'a>,
    tubes: BTreeMap<String, TubeMatch>,
    /// What results are recognised by, stored ones and those of earlier messages here.
    known: Known,
    /// Of this message: known from the next one on, because nothing repeats inside one.
    fresh: Vec<(String, Sighting)>,
    new_rows: Vec<NewResult>,
    /// Versions released here, each with the one before it.
    versions: BTreeMap<i64, i64>,
    to_queue: BTreeMap<Bundle, (Priority, Vec<i64>)>,
    /// What was said of the blood of the patients.
    blood: Blood,
    /// Decisions that somebody may have to be called about.
    judged: Vec<Judged>,
    /// Which tubes lines read, and where.
    readings: Readings,
    next_id: i64,
    settled: Settled,
    /// A person's act: what it releases goes alone, and not before this instant.
    due_at: Option<i64>,
}

impl<'a> Session<'a> {
    fn new(context: SettleContext<'a>) -> Self {
        Self {
            context,
            tubes: BTreeMap::new(),
            known: Known::default(),
            fresh: Vec::new(),
            new_rows: Vec::new(),
            versions: BTreeMap::new(),
            to_queue: BTreeMap::new(),
            blood: Blood::default(),
            judged: Vec::new(),
            readings: Readings::default(),
            next_id: 1,
            settled: Settled::default(),
            due_at: None,
        }
    }

    /// Reads at once what the messages will ask for.
    fn look_up_all(&mut self, db: &mut dyn Db, messages: &[Message<'_>]) -> Result<(), StoreError> {
        self.next_id = rows::next_id(db)?;
        let items = messages.iter().flat_map(|message| message.items);
        let barcodes: BTreeSet<&str> = items.filter_map(patient_barcode).collect();
        let received = messages.iter().map(|message| message.context.received_at);
        let oldest = received.min().unwrap_or(self.context.received_at);
        let repeats_since = oldest.saturating_sub(rows::REPEAT_WINDOW);
        let found = matching::find(db, &barcodes, &self.context, repeats_since)?;
        self.tubes = found.tubes;
        self.known = found.known;
        self.readings.look_up(db, messages)
    }

    fn message(&mut self, db: &mut dyn Db, message: &Message<'a>) -> Result<Settled, StoreError> {
        self.context = message.context;
        self.settled = Settled::default();
        let keys = self.keys_of_all(db, message.items)?;
        for item in message.items {
            self.readings.note(&message.context, item);
        }
        let places = self.readings.against(db, &message.context, message.items)?;
        for ((item, keys), of_place) in message.items.iter().zip(keys).zip(places) {
            match item {
                Item::Observation(observation) => {
                    self.observe(db, observation, keys, of_place)?;
                }
                Item::Image(seen) => {
                    image::keep(db, &self.context, seen)?;
                    self.settled.images += 1;
                }
                Item::Query(_) => self.settled.queries += 1,
                Item::Device(event) => {
                    let specimen = event.specimen.as_deref();
                    rows::insert_event(db, &self.context, &event.code, &event.text, specimen)?;
                    self.settled.events += 1;
                }
                Item::Incomplete(part) => {
                    rows::insert_event(db, &self.context, "unreadable", &part.why, None)?;
                    self.settled.events += 1;
                }
            }
        }
        for (key, sighting) in self.fresh.drain(..) {
            self.known.add(key, sighting);
        }
        Ok(self.settled)
    }

    fn observe(
        &mut self,
        db: &mut dyn Db,
        observation: &Observation,
        keys: Option<Keys>,
        of_place: Vec<Hold>,
    ) -> Result<(), StoreError> {
        let id = self.next_id;
        self.next_id += 1;
        let (specimen, decision, key) = if observation.kind == ObservationKind::Patient {
            self.place_new(db, id, observation, (keys, of_place))?
        } else {
            (None, Decision::plain(ResultState::Control), None)
        };
        self.count(decision.state);
        if let Some(key) = &key {
            let at = self.context.received_at;
            let sighting = Sighting { id, specimen, at };
            self.fresh.push((key.clone(), sighting));
        }
        let row = NewResult::new(&self.context, id, observation, specimen, decision, key)?;
        self.new_rows.push(row);
        Ok(())
    }

    /// Decides about an observation of this message; the key is its own where it is the first that
    /// has it.
    fn place_new(
        &mut self,
        db: &mut dyn Db,
        id: i64,
        observation: &Observation,
        (keys, of_place): (Option<Keys>, Vec<Hold>),
    ) -> Result<(Option<i64>, Decision, Option<String>), StoreError> {
        let holds = [observation.holds.as_slice(), &of_place].concat();
        if let (Some(keys), Some(barcode)) = (&keys, barcode_of(observation))
            && let Some(first) = self.seen_before(keys, self.specimen_of(barcode))
        {
            let specimen = self.tube_of(db, observation, &holds)?;
            return Ok((specimen, Decision::repeat_of(first), None));
        }
        let (specimen, decision) = self.place(db, id, observation, None, &holds)?;
        Ok((specimen, decision, keys.map(|keys| keys.own)))
    }

    /// The tube that an observation goes to.
    fn tube_of(
        &mut self,
        db: &mut dyn Db,
        observation: &Observation,
        holds: &[Hold],
    ) -> Result<Option<i64>, StoreError> {
        let barcode = barcode_of(observation).unwrap_or_default();
        let context = self.context;
        let tube = self.tube_key(db, &context, barcode, (observation, holds))?;
        Ok(self.specimen_of(&tube))
    }

    fn resume(&mut self, db: &mut dyn Db, stored: StoredResult) -> Result<(), StoreError> {
        if decide::is_keyed(&stored.holds) {
            return self.resume_keyed(db, &stored);
        }
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

    fn ask_again(&mut self, db: &mut dyn Db, stored: &StoredResult) -> Result<(), StoreError> {
        self.look_up(db, &stored.barcode)?;
        let Some(TubeMatch::One(tube)) = self.tubes.get_mut(&stored.barcode) else {
            return Ok(());
        };
        // It is no version that another follows while it is being decided about itself.
        tube.current.retain(|row| row.id != stored.id);
        let of_message = stored
            .holds
            .iter()
            .filter(|hold| hold.reason.is_of_message() || hold.reason.is_of_place());
        let holds: Vec<Hold> = of_message.cloned().collect();
        let waited = Some((stored.line.as_str(), stored.received_at));
        let (specimen, decision) =
            self.place(db, stored.id, &stored.observation, waited, &holds)?;
        self.count(decision.state);
        rows::update_decision(db, stored.id, specimen, &decision, self.context.now)
    }

    /// Whether a test that nobody had ordered is ordered now, on the very tube it was measured on:
    /// the barcode alone may mean another patient's tube by now.
    fn is_wanted(&mut self, db: &mut dyn Db, stored: &StoredResult) -> Result<bool, StoreError> {
        let barcode = stored.barcode.as_str();
        self.look_up(db, barcode)?;
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
        let at = waited.unwrap_or((self.context.line, self.context.received_at));
        let (about, (line, received_at)) = ((id, waited.is_none()), at);
        let Some(barcode) = barcode_of(observation) else {
            let held = Held::with(holds, Hold::new(HoldReason::NoSpecimen, "")).decision();
            self.judge_critical(None, about, at, observation, &held);
            return Ok((None, held));
        };
        let context = &SettleContext {
            line,
            received_at,
            ..self.context
        };
        let holds = &tracked::holds(db, context, barcode, holds)?;
        let tube = self.tube_key(db, context, barcode, (observation, holds))?;
        let specimen = self.specimen_of(&tube);
        let of_patient = self.of_patient(db, context, &tube, (id, observation))?;
        let Some(found) = self.tubes.get_mut(&tube) else {
            return Err(StoreError::value("a tube was looked up and is gone"));
        };
        let decision = decide::decide(context, found, observation, holds, &of_patient);
        self.learn(db, &tube, (id, observation), &decision)?;
        self.judge_critical(Some(&tube), about, at, observation, &decision);
        if decision.state == ResultState::Released {
            self.release(db, &tube, id, observation, &decision)?;
        } else if let Some(TubeMatch::One(tube)) = self.tubes.get_mut(&tube) {
            tube.remember(id, observation, &decision);
        }
        Ok((specimen, decision))
    }

    /// What a result of transfusion, now decided about, says of those before it.
    fn learn(
        &mut self,
        db: &mut dyn Db,
        tube: &str,
        (id, observation): (i64, &Observation),
        decision: &Decision,
    ) -> Result<(), StoreError> {
        let Some(TubeMatch::One(tube)) = self.tubes.get(tube) else {
            return Ok(());
        };
        let site = self.context.site;
        let asked = Asked {
            id,
            tube,
            observation,
            site,
        };
        for change in self.blood.learn(db, &asked, decision)? {
            let (add, gone) = (change.add.as_ref(), change.gone);
            let mut fresh = self
                .new_rows
                .iter_mut()
                .filter(|row| row.id == change.result);
            match fresh.next() {
                Some(row) => row.amend(add, gone)?,
                None => book::amend_holds(db, change.result, add, gone)?,
            }
        }
        Ok(())
    }

    /// What other results of the tube and of its patient say against this one.
    fn of_patient(
        &mut self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        tube: &str,
        (id, observation): (i64, &Observation),
    ) -> Result<Vec<Hold>, StoreError> {
        let Some(TubeMatch::One(tube)) = self.tubes.get_mut(tube) else {
            return Ok(Vec::new());
        };
        let site = context.site;
        let asked = Asked {
            id,
            tube,
            observation,
            site,
        };
        self.blood.against(db, &asked)
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
        self.look_up(db, barcode)?;
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

    fn look_up(&mut self, db: &mut dyn Db, barcode: &str) -> Result<(), StoreError> {
        if !self.tubes.contains_key(barcode) {
            let one = BTreeSet::from([barcode]);
            let found = matching::find(db, &one, &self.context, self.context.now)?;
            self.tubes.extend(found.tubes);
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
        let (host, specimen) = (tube.specimen.host.clone(), tube.specimen.id);
        let priority = tube.priority();
        let behind = self.aside_before(db, decision)?;
        if let Some(before) = decision.supersedes {
            self.versions.insert(id, before);
        }
        let key = (host, specimen, behind);
        let entry = self
            .to_queue
            .entry(key)
            .or_insert_with(|| (priority, Vec::new()));
        entry.1.push(id);
        Ok(())
    }

    /// The set-aside message that an earlier version of a released result is in.
    fn aside_before(
        &self,
        db: &mut dyn Db,
        decision: &Decision,
    ) -> Result<Option<i64>, StoreError> {
        let Some(mut before) = decision.supersedes else {
            return Ok(None);
        };
        // Those of this transaction are not stored yet, and were never in a message.
        while let Some(earlier) = self.versions.get(&before) {
            before = *earlier;
        }
        queue::aside_before(db, before)
    }

    /// What every observation that can be a repeat is recognised by.
    ///
    /// A result that came before its order has the barcode in its key and not the tube; it is
    /// still the same result as long as it went to this tube, or waits.
    fn keys_of_all(
        &mut self,
        db: &mut dyn Db,
        items: &[Item],
    ) -> Result<Vec<Option<Keys>>, StoreError> {
        let message = key::digest(self.context.digest_input);
        let mut occurrences: BTreeMap<String, u32> = BTreeMap::new();
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            let (Some(barcode), Item::Observation(observation)) = (patient_barcode(item), item)
            else {
                all.push(None);
                continue;
            };
            if decide::is_incomplete(&observation.holds) {
                all.push(None);
                continue;
            }
            self.look_up(db, barcode)?;
            all.push(Some(self.keys(
                &message,
                observation,
                barcode,
                &mut occurrences,
            )));
        }
        Ok(all)
    }

    fn keys(
        &self,
        message: &[u8],
        observation: &Observation,
        barcode: &str,
        occurrences: &mut BTreeMap<String, u32>,
    ) -> Keys {
        let line = self.context.line;
        let of = |tube| key::of(line, message, observation, tube);
        let by_barcode = key::Tube::Barcode(barcode);
        let specimen = self.specimen_of(barcode);
        let plain = of(specimen.map_or(by_barcode, key::Tube::Known));
        let nth = occurrences.entry(plain.clone()).or_insert(0);
        *nth += 1;
        // Without anything known there is nothing to compare with.
        let has_early = specimen.is_some() && !self.known.is_empty();
        Keys {
            own: key::nth(&plain, *nth),
            early: has_early.then(|| key::nth(&of(by_barcode), *nth)),
        }
    }

    /// The result that this one repeats.
    fn seen_before(&self, keys: &Keys, specimen: Option<i64>) -> Option<i64> {
        let since = self.context.received_at.saturating_sub(rows::REPEAT_WINDOW);
        if let Some(first) = self.known.earliest(&keys.own, since) {
            return Some(first.id);
        }
        let early = self.known.earliest(keys.early.as_ref()?, since)?;
        let is_of_this = early.specimen.is_none() || early.specimen == specimen;
        is_of_this.then_some(early.id)
    }

    /// Queues what was released, and says of each result which row tells it.
    fn enqueue(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let mut to_queue: Vec<_> = std::mem::take(&mut self.to_queue).into_iter().collect();
        to_queue.retain(|(_, (_, results))| !results.is_empty());
        // Tubes in the order in which their results came.
        to_queue.sort_by_key(|(_, (_, results))| results.iter().min().copied());
        let news: Vec<queue::News> = to_queue
            .iter()
            .map(|((host, specimen, behind), (priority, _))| queue::News {
                host: host.clone(),
                specimen: *specimen,
                priority: *priority,
                behind: *behind,
            })
            .collect();
        let now = self.context.now;
        let rows = match self.due_at {
            Some(due_at) => queue::enqueue_apart(db, &news, now, due_at)?,
            None => queue::enqueue_results(db, &news, now)?,
        };
        let told = to_queue.into_iter().zip(rows);
        let mut told: BTreeMap<i64, i64> = told
            .flat_map(|((_, (_, results)), row)| {
                results.into_iter().map(move |result| (result, row))
            })
            .collect();
        for new in &mut self.new_rows {
            if let Some(row) = told.remove(&new.id) {
                new.tell_by(row);
            }
        }
        // What is left was stored before.
        let stored: Vec<(i64, i64)> = told.into_iter().collect();
        rows::tell_by(db, &stored)
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

    fn finish(mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let now = self.context.now;
        self.enqueue(db)?;
        rows::insert(db, self.new_rows)?;
        calls::note(db, &self.judged, now)?;
        book::learn_blood(db, &self.blood.into_learned())?;
        self.readings.store(db)?;
        let tubes = self.tubes.values();
        let changed: Vec<(i64, OrderStatus)> = tubes
            .filter_map(|tube| match tube {
                TubeMatch::One(tube) => Some(tube),
                TubeMatch::Unknown | TubeMatch::Ambiguous | TubeMatch::Cancelled => None,
            })
            .flat_map(|tube| changed_statuses(tube))
            .collect();
        book::set_statuses(db, &changed, now)
    }
}

/// The tube id of an observation, if it has one.
fn barcode_of(observation: &Observation) -> Option<&str> {
    let tube = observation.specimen.as_ref()?;
    (!tube.id.is_empty()).then_some(tube.id.as_str())
}

/// The same of an item that is about a patient.
fn patient_barcode(item: &Item) -> Option<&str> {
    match item {
        Item::Observation(observation) if observation.kind == ObservationKind::Patient => {
            barcode_of(observation)
        }
        Item::Observation(_)
        | Item::Image(_)
        | Item::Query(_)
        | Item::Device(_)
        | Item::Incomplete(_) => None,
    }
}

/// Items of a tube whose status is another one now.
fn changed_statuses(tube: &Tube) -> impl Iterator<Item = (i64, OrderStatus)> {
    tube.items.iter().filter_map(|item| {
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
        (status != item.status).then_some((item.id, status))
    })
}

/// Whether a completion time can be told to anyone: whole, and not in another year.
pub fn is_time_usable(completed: Option<&crate::model::WallTime>, received_at: i64) -> bool {
    completed.is_some_and(|time| time.utc.is_some())
        && clock::judge(completed, received_at, None) != clock::Oddity::WrongYear
}

#[cfg(test)]
mod tests;
