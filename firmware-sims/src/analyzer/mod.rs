//! Simulated instruments: they ask, measure, send, send again, and write down what became of it.
//!
//! [`Instrument`] is the life of an analyzer, the same for all; a [`Language`] is how one speaks:
//! ASTM, HL7, IHE LAW, and the vendors' own wires. [`plug`] makes any of them, with its machine. An
//! [`Operator`] loads tubes and reads the log.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use labwire_protocols::wire::{
    Commit, CommitId, Mono, Note, OutId, Outgoing, OutgoingKind, SendOutcome,
};

use crate::{
    chance::Chance,
    clock::Clock,
    persona::{Persona, WithoutOrder},
    runner::{Actions, Device, Verdict},
};

mod asides;
mod astm;
mod bci;
mod beckman_au;
mod blood;
mod dimension;
mod hl7;
mod language;
mod law;
mod measure;
mod operator;
mod plug;
mod poct1a;
mod sysmex_legacy;

use self::asides::Asides;
pub use self::{
    astm::{Astm, AstmLanguage, link_dialect},
    blood::{Abo, Blood},
    hl7::{Hl7, Hl7Language, endpoint_config},
    language::{AnyLanguage, Language, Meaning, Talk, Words},
    measure::{Measured, Nature, Rates, Run, Status},
    operator::{
        Handling, Log, Mark, Mistake, Operator, OrderAction, Ordered, Place, Reading, Sent, Tube,
        rack,
    },
    plug::{Plugged, machine, plug},
};

/// First wait before an unacknowledged message is sent again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait before an unacknowledged message is sent again.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How an instrument is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The model.
    pub persona: &'static Persona,
    /// Where chance starts.
    pub seed: u64,
    /// How often what is unusual happens.
    pub rates: Rates,
    /// How long a measurement takes.
    pub measuring: Duration,
    /// Whether to stop when every tube is measured and acknowledged.
    pub stops_when_idle: bool,
    /// The time.
    pub clock: Clock,
}

/// A simulated instrument.
#[derive(Debug)]
pub struct Instrument<L> {
    setup: Setup,
    language: L,
    operator: Operator,
    stage: Stage,
    asides: Asides,
    /// When the host has to have asked for the results that wait.
    asked_by: Option<Mono>,
    /// When it looks for orders next.
    next_poll: Option<Mono>,
    is_open: bool,
    /// Orders that came without being asked for, by specimen.
    worklist: BTreeMap<String, Vec<String>>,
    /// How often a specimen was measured, so that a second run has other values.
    measured: BTreeMap<String, u64>,
    sequence: u64,
    messages: u64,
    outgoing: u64,
}

/// Where the instrument is with the present tube.
#[derive(Debug)]
enum Stage {
    /// No tube.
    Idle,
    /// The question is to be sent, or under way.
    Asking(Tube, Travel),
    /// The question arrived; the answer is due.
    Waiting(Tube, Mono),
    /// The tube is being measured.
    Measuring(Vec<Message>, Mono),
    /// Results are to be sent, or under way.
    Sending(Vec<Message>, Travel),
}

/// A message of results, rendered once and never changed.
#[derive(Debug)]
struct Message {
    payload: Bytes,
    results: Vec<Sent>,
    was_sent: bool,
}

/// How far a message is.
#[derive(Clone, Copy, Debug)]
struct Travel {
    under_way: Option<OutId>,
    not_before: Mono,
    wait: Duration,
}

impl Travel {
    fn now(now: Mono) -> Self {
        Self {
            under_way: None,
            not_before: now,
            wait: RETRY_MIN,
        }
    }

    fn again(self, now: Mono) -> Self {
        Self {
            under_way: None,
            not_before: now.after(self.wait),
            wait: self.wait.saturating_mul(2).min(RETRY_MAX),
        }
    }
}

impl<L: Language> Instrument<L> {
    /// An instrument that speaks this language.
    pub fn with_language(setup: Setup, language: L) -> Self {
        Self {
            setup,
            language,
            operator: Operator::default(),
            stage: Stage::Idle,
            asides: Asides::default(),
            asked_by: None,
            next_poll: None,
            is_open: false,
            worklist: BTreeMap::new(),
            measured: BTreeMap::new(),
            sequence: 0,
            messages: 0,
            outgoing: 0,
        }
    }

    /// Whoever stands in front of it.
    pub fn operator(&self) -> Operator {
        self.operator.clone()
    }

    fn log(&self, write: impl FnOnce(&mut Log)) {
        self.operator.write(write);
    }

    /// Goes on with the present tube as far as it can.
    fn advance(&mut self, now: Mono, out: &mut Actions) {
        loop {
            self.speak(now, out);
            let stage = std::mem::replace(&mut self.stage, Stage::Idle);
            let (stage, goes_on) = self.step(stage, now, out);
            self.stage = stage;
            if !goes_on {
                break;
            }
        }
        self.speak(now, out);
        let is_busy = !matches!(self.stage, Stage::Idle);
        self.operator.set_busy(is_busy);
    }

    fn step(&mut self, stage: Stage, now: Mono, out: &mut Actions) -> (Stage, bool) {
        match stage {
            Stage::Idle => self.take_tube(now),
            Stage::Asking(tube, travel) => (self.ask(tube, travel, now, out), false),
            Stage::Waiting(tube, until) if until <= now => {
                self.log(|log| log.unanswered += 1);
                (self.measure(&tube, None, now), true)
            }
            Stage::Measuring(messages, until) if until <= now => {
                if !messages.is_empty() {
                    self.open(Talk::Results(messages.len()), now);
                }
                (Stage::Sending(messages, Travel::now(now)), true)
            }
            Stage::Sending(messages, _) if messages.is_empty() && self.asides.is_empty() => {
                (Stage::Idle, true)
            }
            Stage::Sending(messages, travel) => (self.send(messages, travel, now, out), false),
            waiting @ (Stage::Waiting(..) | Stage::Measuring(..)) => (waiting, false),
        }
    }

    /// Says what comes before anything else, and looks for orders when it is time.
    fn speak(&mut self, now: Mono, out: &mut Actions) {
        if !self.is_open {
            return;
        }
        if let Some(message) = self.asides.next(now) {
            let id = self.hand_over(message, out);
            self.asides.is_under_way(id);
        }
        let is_quiet = matches!(self.stage, Stage::Idle | Stage::Measuring(..));
        if is_quiet
            && self.next_poll.is_some_and(|at| at <= now)
            && let Some(every) = self.language.polls_every()
        {
            self.next_poll = Some(now.after(every));
            if let Some(poll) = self.language.poll() {
                self.hand_over(poll, out);
            }
        }
    }

    fn open(&mut self, talk: Talk, now: Mono) {
        let time = self.setup.clock.stamp_at(now);
        self.asides.extend(self.language.opening(talk, &time));
    }

    fn close(&mut self, talk: Talk, now: Mono) {
        let time = self.setup.clock.stamp_at(now);
        self.asides.extend(self.language.closing(talk, &time));
    }

    /// Opens once more what was under way.
    fn reopen(&mut self, now: Mono) {
        self.asides.forget();
        match &self.stage {
            Stage::Asking(..) => self.open(Talk::Query, now),
            Stage::Sending(messages, _) if !messages.is_empty() => {
                let talk = Talk::Results(messages.len());
                self.open(talk, now);
            }
            Stage::Idle | Stage::Waiting(..) | Stage::Measuring(..) | Stage::Sending(..) => {}
        }
    }

    fn take_tube(&mut self, now: Mono) -> (Stage, bool) {
        let Some(tube) = self.operator.take() else {
            return (Stage::Idle, false);
        };
        self.sequence = self.sequence.saturating_add(1);
        if !self.language.can_name(&tube.specimen) {
            self.log(|log| log.skipped += 1);
            return (Stage::Idle, true);
        }
        let told = tube
            .tests
            .clone()
            .or_else(|| self.worklist.get(&tube.specimen).cloned());
        let told = told.filter(|_| tube.handling != Handling::ReadAlone);
        if let Some(tests) = told {
            return (self.measure_codes(&tube, Some(tests), true, now), true);
        }
        if self.setup.persona.queries && !tube.is_control && tube.handling != Handling::Unread {
            self.open(Talk::Query, now);
            return (Stage::Asking(tube, Travel::now(now)), true);
        }
        let is_asked =
            tube.is_control || self.setup.persona.without_order == WithoutOrder::DefaultPanel;
        let codes = is_asked.then(|| self.default_codes());
        (self.measure_codes(&tube, codes, false, now), true)
    }

    fn default_codes(&self) -> Vec<String> {
        self.setup
            .persona
            .default_codes()
            .map(str::to_owned)
            .collect()
    }

    fn ask(&mut self, tube: Tube, travel: Travel, now: Mono, out: &mut Actions) -> Stage {
        if !self.may_speak(travel, now) {
            return Stage::Asking(tube, travel);
        }
        self.messages = self.messages.saturating_add(1);
        let time = self.setup.clock.stamp_at(now);
        let words = words(&self.setup, &tube, (self.sequence, self.messages), &time);
        let payload = self.language.query(&words);
        let id = self.hand_over(payload, out);
        self.log(|log| log.queries += 1);
        let travel = Travel {
            under_way: Some(id),
            ..travel
        };
        Stage::Asking(tube, travel)
    }

    fn may_speak(&self, travel: Travel, now: Mono) -> bool {
        let is_free = travel.under_way.is_none() && self.asides.is_empty();
        is_free && self.is_open && travel.not_before <= now
    }

    fn hand_over(&mut self, payload: Bytes, out: &mut Actions) -> OutId {
        self.hand_over_as(OutgoingKind::Download, payload, out)
    }

    fn hand_over_as(&mut self, kind: OutgoingKind, payload: Bytes, out: &mut Actions) -> OutId {
        self.outgoing = self.outgoing.saturating_add(1);
        let id = OutId(self.outgoing);
        let outgoing = Outgoing {
            payload,
            kind,
            expires_after: None,
        };
        out.send(id, outgoing);
        id
    }

    /// The question is over: measures what the host ordered, or does what the model does without an
    /// order.
    fn measure(&mut self, tube: &Tube, ordered: Option<Vec<String>>, now: Mono) -> Stage {
        self.close(Talk::Query, now);
        if tube.handling == Handling::ReadAlone {
            if let Some(tests) = ordered {
                self.worklist.insert(tube.specimen.clone(), tests);
            }
            return Stage::Idle;
        }
        let is_ordered = ordered.is_some();
        let without = match self.setup.persona.without_order {
            WithoutOrder::DefaultPanel => Some(self.default_codes()),
            WithoutOrder::Skip => None,
        };
        self.measure_codes(tube, ordered.or(without), is_ordered, now)
    }

    fn measure_codes(
        &mut self,
        tube: &Tube,
        codes: Option<Vec<String>>,
        is_ordered: bool,
        now: Mono,
    ) -> Stage {
        let Some(codes) = codes else {
            self.log(|log| log.skipped += 1);
            return Stage::Sending(Vec::new(), Travel::now(now));
        };
        let codes = self.language.measured(codes);
        let runs = self.measured.entry(tube.specimen.clone()).or_insert(0);
        *runs = runs.saturating_add(1);
        let mut chance = Chance::fork(self.setup.seed, &format!("{}/{runs}", tube.specimen));
        let completed = now.after(self.setup.measuring);
        let mut runs = measure::measure(&self.setup, tube, &codes, &mut chance, (now, completed));
        for measured in runs.iter_mut().flat_map(|run| &mut run.results) {
            measured.text = self.language.written(&measured.text);
        }
        if self.language.is_one_a_message() {
            runs = runs.into_iter().flat_map(Run::each).collect();
        }
        let messages = runs
            .iter()
            .map(|run| self.render(tube, run, is_ordered, completed));
        let messages = messages.collect();
        Stage::Measuring(messages, completed)
    }

    fn render(&mut self, tube: &Tube, run: &Run, is_ordered: bool, at: Mono) -> Message {
        self.messages = self.messages.saturating_add(1);
        let time = self.setup.clock.stamp_at(at);
        let words = words(&self.setup, tube, (self.sequence, self.messages), &time);
        let payload = self.language.results(&words, run);
        let results = run.results.iter().map(|measured| Sent {
            message: self.messages,
            specimen: tube.specimen.clone(),
            code: measured.analyte.code.to_owned(),
            test: measured.analyte.test.to_owned(),
            text: measured.text.clone(),
            unit: measured.analyte.unit.to_owned(),
            nature: measured.nature,
            is_ordered,
        });
        Message {
            payload,
            results: results.collect(),
            was_sent: false,
        }
    }

    fn send(
        &mut self,
        mut messages: Vec<Message>,
        travel: Travel,
        now: Mono,
        out: &mut Actions,
    ) -> Stage {
        if !self.may_speak(travel, now) {
            return Stage::Sending(messages, travel);
        }
        if !self.language.may_report() {
            return self.await_request(messages, travel, now);
        }
        self.asked_by = None;
        let Some(message) = messages.first_mut() else {
            return Stage::Idle;
        };
        let is_first = !message.was_sent;
        message.was_sent = true;
        let results = message.results.clone();
        let payload = message.payload.clone();
        self.log(|log| {
            if is_first {
                log.messages += 1;
                log.sent.extend(results);
            } else {
                log.repeated += 1;
            }
        });
        let id = self.hand_over(payload, out);
        let travel = Travel {
            under_way: Some(id),
            ..travel
        };
        Stage::Sending(messages, travel)
    }

    /// The host has still to ask for the results; where it does not, everything begins anew.
    fn await_request(&mut self, messages: Vec<Message>, travel: Travel, now: Mono) -> Stage {
        let within = self.setup.persona.answer_timeout;
        let until = *self.asked_by.get_or_insert(now.after(within));
        if until <= now {
            self.asked_by = None;
            self.open(Talk::Results(messages.len()), now);
        }
        Stage::Sending(messages, travel)
    }

    fn on_asked(&mut self, tube: Tube, travel: Travel, meaning: Meaning, now: Mono) -> Stage {
        match meaning {
            Meaning::Acknowledged => {
                let until = now.after(self.setup.persona.answer_timeout);
                Stage::Waiting(tube, until)
            }
            Meaning::Answered(answer) => {
                let orders = self.language.orders(&answer).unwrap_or_default();
                self.note_orders(&orders);
                let tests = ordered_tests(&orders, &tube.specimen);
                self.measure(&tube, tests, now)
            }
            Meaning::Refused => self.measure(&tube, None, now),
            Meaning::Failed => {
                self.begin_again(Talk::Query, now);
                Stage::Asking(tube, travel.again(now))
            }
        }
    }

    fn on_sent(
        &mut self,
        mut messages: Vec<Message>,
        travel: Travel,
        meaning: &Meaning,
        now: Mono,
    ) -> Stage {
        match meaning {
            Meaning::Acknowledged | Meaning::Answered(_) => {
                let message = messages.remove(0);
                self.log(|log| log.acknowledged.extend(message.results));
                if messages.is_empty() {
                    self.close(Talk::Results(0), now);
                }
                Stage::Sending(messages, Travel::now(now))
            }
            Meaning::Refused => {
                self.log(|log| log.refused += 1);
                Stage::Sending(messages, travel.again(now))
            }
            Meaning::Failed => {
                self.begin_again(Talk::Results(messages.len()), now);
                Stage::Sending(messages, travel.again(now))
            }
        }
    }

    /// What failed is opened anew, where the family does.
    fn begin_again(&mut self, talk: Talk, now: Mono) {
        if self.language.begins_again() {
            self.asides.forget();
            self.asides.rest(now);
            self.open(talk, now);
        }
    }

    fn on_aside(&mut self, meaning: &Meaning, now: Mono) {
        match meaning {
            Meaning::Acknowledged | Meaning::Answered(_) => self.asides.acknowledged(),
            Meaning::Refused | Meaning::Failed => {
                self.asides.rest(now);
                if self.language.begins_again() {
                    self.reopen(now);
                }
            }
        }
    }

    fn note_orders(&mut self, orders: &[Ordered]) {
        self.log(|log| log.orders.extend_from_slice(orders));
    }

    /// Takes a message of the host: the answer that is due, or orders for later.
    fn on_orders(&mut self, orders: &[Ordered], now: Mono) {
        self.note_orders(orders);
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Waiting(tube, _)
                if orders.is_empty()
                    || orders.iter().any(|order| order.specimen == tube.specimen) =>
            {
                let tests = ordered_tests(orders, &tube.specimen);
                self.stage = self.measure(&tube, tests, now);
            }
            stage @ (Stage::Idle
            | Stage::Asking(..)
            | Stage::Waiting(..)
            | Stage::Measuring(..)
            | Stage::Sending(..)) => {
                self.stage = stage;
                self.keep(orders);
            }
        }
    }

    fn keep(&mut self, orders: &[Ordered]) {
        for order in orders {
            let tests = self.worklist.entry(order.specimen.clone()).or_default();
            match order.action {
                OrderAction::Measure => {
                    for test in &order.tests {
                        if !tests.contains(test) {
                            tests.push(test.clone());
                        }
                    }
                }
                OrderAction::Cancel => tests.retain(|test| !order.tests.contains(test)),
                OrderAction::Unknown => {}
            }
            if tests.is_empty() {
                self.worklist.remove(&order.specimen);
            }
        }
    }

    fn on_message(&mut self, now: Mono, message: &[u8]) -> Option<Bytes> {
        if let Some(orders) = self.language.orders(message) {
            self.on_orders(&orders, now);
        }
        self.messages = self.messages.saturating_add(1);
        let time = self.setup.clock.stamp_at(now);
        let nobody = Tube::patient("");
        let words = words(&self.setup, &nobody, (self.sequence, self.messages), &time);
        self.language.reply(&words, message)
    }
}

/// The codes ordered for a specimen; `None` where there is no order for it.
fn ordered_tests(orders: &[Ordered], specimen: &str) -> Option<Vec<String>> {
    let mut tests: Vec<String> = Vec::new();
    let mut is_known = false;
    for order in orders.iter().filter(|order| order.specimen == specimen) {
        if order.action == OrderAction::Measure {
            is_known = true;
            tests.extend(order.tests.iter().cloned());
        }
    }
    is_known.then_some(tests)
}

fn words<'a>(setup: &Setup, tube: &'a Tube, counts: (u64, u64), time: &'a str) -> Words<'a> {
    Words {
        persona: setup.persona,
        specimen: &tube.specimen,
        is_control: tube.is_control,
        place: tube.place.as_ref(),
        sequence: counts.0,
        message: counts.1,
        time,
    }
}

impl<L: Language> Device for Instrument<L> {
    fn on_open(&mut self, now: Mono, out: &mut Actions) {
        self.is_open = true;
        self.log(|log| log.connections += 1);
        self.language.on_open();
        self.next_poll = self.language.polls_every().map(|_| now);
        self.asked_by = None;
        self.reopen(now);
        self.advance(now, out);
    }

    fn on_commit(&mut self, now: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let received = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        let mut reply = None;
        let mut words = Vec::new();
        for message in received.iter().filter(|message| message.is_complete) {
            reply = self.on_message(now, &message.bytes);
            words.extend(self.language.word(&message.bytes));
        }
        out.answer(id, Verdict::Kept(reply));
        for word in words {
            self.hand_over_as(OutgoingKind::Answer, word, out);
        }
        self.advance(now, out);
    }

    fn on_finished(&mut self, now: Mono, id: OutId, outcome: SendOutcome, out: &mut Actions) {
        let meaning = self.language.outcome(&outcome);
        if self.asides.is(id) {
            self.on_aside(&meaning, now);
            return self.advance(now, out);
        }
        let is_ours = |travel: &Travel| travel.under_way == Some(id);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Asking(tube, travel) if is_ours(&travel) => {
                self.on_asked(tube, travel, meaning, now)
            }
            Stage::Sending(messages, travel) if is_ours(&travel) => {
                self.on_sent(messages, travel, &meaning, now)
            }
            other @ (Stage::Idle
            | Stage::Asking(..)
            | Stage::Waiting(..)
            | Stage::Measuring(..)
            | Stage::Sending(..)) => other,
        };
        self.advance(now, out);
    }

    fn on_wake(&mut self, now: Mono, out: &mut Actions) {
        self.advance(now, out);
    }

    fn on_note(&mut self, note: Note) {
        self.log(|log| *log.notes.entry(note.code).or_insert(0) += 1);
    }

    fn on_close(&mut self, _now: Mono) {
        self.is_open = false;
        self.asides = Asides::default();
        self.next_poll = None;
    }

    fn deadline(&self) -> Option<Mono> {
        let aside = self.asides.deadline().filter(|_| self.is_open);
        let is_quiet = matches!(self.stage, Stage::Idle | Stage::Measuring(..));
        let poll = self.next_poll.filter(|_| is_quiet);
        let stage = match &self.stage {
            Stage::Waiting(_, until) | Stage::Measuring(_, until) => Some(*until),
            Stage::Asking(_, travel) | Stage::Sending(_, travel)
                if travel.under_way.is_none() && self.is_open && self.asides.is_empty() =>
            {
                Some(self.asked_by.unwrap_or(travel.not_before))
            }
            Stage::Idle | Stage::Asking(..) | Stage::Sending(..) => None,
        };
        [aside, poll, stage].into_iter().flatten().min()
    }

    fn is_done(&self) -> bool {
        let is_quiet = matches!(self.stage, Stage::Idle) && self.asides.is_empty();
        self.setup.stops_when_idle && is_quiet && self.operator.is_idle()
    }
}

#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod tests;
