//! A simulated automation line: tubes come in, by hand or by pneumatic tube, are read, and go where
//! they are told (HL7 chapter 13 over MLLP); modules jam, fail, fill up and are switched off.
//!
//! [`TrackLine`] is the line as a [`Device`]; an [`Attendant`] puts tubes on it, breaks and mends
//! it, and reads its log. A tube that comes by Tempus600 says nothing before its barcode is read.

mod attendant;
mod layout;
mod trouble;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use labwire_protocols::wire::{Commit, CommitId, Mono, OutId, Outgoing, OutgoingKind, SendOutcome};

use self::{
    attendant::Act,
    words::{Command, Event, Words},
};
pub use self::{
    attendant::{Arrival, Attendant, Fault, Log},
    layout::{Kind, Layout, Module, POWER_EXPRESS},
    trouble::{Trouble, Turn, befall, troubles},
};
use crate::{
    clock::Clock,
    runner::{Actions, Device, Verdict},
};

/// The wait before a message that was not acknowledged is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// Somebody has read a barcode by hand after so many ways.
const READ_BY_HAND: u32 = 5;

/// Tests that a new pack of reagent is good for.
const PACK: u32 = 100;

/// Tubes that one message speaks of at most: as many as a batch of the centrifuge.
const TUBES_A_MESSAGE: usize = 40;

const HOUR: Duration = Duration::from_secs(3_600);

/// How a line is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its modules and lanes.
    pub layout: Layout,
    /// How long every way takes.
    pub transit: Duration,
    /// How long every module works, on any number of tubes at once, where there is no pace.
    pub dwell: Duration,
    /// How many times as fast as life the modules work, each at its own rate, one tube after another;
    /// and a tube that could not be read is read by hand and comes again.
    pub pace: Option<f64>,
    /// Whether to stop when every tube stands in an outlet or a storage and all is said.
    pub stops_when_idle: bool,
    /// The time.
    pub clock: Clock,
}

/// See the module.
#[derive(Debug)]
pub struct TrackLine {
    setup: Setup,
    attendant: Attendant,
    words: Words,
    tubes: BTreeMap<String, Tube>,
    /// To be said, of every tube in this order.
    outbox: VecDeque<Said>,
    /// What is being said, again and again until it is acknowledged.
    saying: Option<Bytes>,
    under_way: Option<OutId>,
    not_before: Mono,
    is_open: bool,
    outgoing: u64,
    kept: BTreeMap<String, u32>,
    condition: BTreeMap<String, Condition>,
    /// The next tube that comes cannot be read.
    next_is_unread: u32,
    /// The next gate lets a tube through to the wrong place.
    next_gate_errs: u32,
    /// When each module may begin with another tube.
    free_at: BTreeMap<String, Mono>,
    /// What was answered to each command, by its number.
    obeyed: BTreeMap<String, &'static str>,
    /// Tubes that could not be read, and when somebody puts them on again.
    again: Vec<(Mono, Arrival)>,
}

/// What is to be said.
#[derive(Clone, Debug)]
enum Said {
    /// Something of a tube: its module, its barcode, the time, and the segment.
    Tube {
        module: String,
        barcode: String,
        time: String,
        segment: String,
    },
    /// A message of its own.
    Message(String),
}

/// How a module is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Up,
    Jam,
    Full,
    Off,
}

/// A tube on the line.
#[derive(Clone, Debug)]
struct Tube {
    at: String,
    stage: Stage,
    /// Where it goes without being told; empty for a tube that waits for commands.
    course: VecDeque<String>,
}

/// What a tube does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits to be told where to go.
    Waits,
    /// It is on its way until then; a gate that erred brought it somewhere else first.
    Travels {
        to: String,
        lane: String,
        until: Mono,
        by_way_of: Option<String>,
    },
    /// It is before a module that stands.
    Stands,
    /// It is its turn then.
    Queued(Mono),
    /// A module works on it until then.
    Worked(Mono),
    /// It stands in an outlet or a storage.
    Kept,
}

impl TrackLine {
    /// A line without tubes.
    pub fn new(setup: Setup) -> Self {
        let since: String = setup.clock.stamp().chars().skip(4).collect();
        Self {
            words: Words::new(&format!("TR{since}-")),
            setup,
            attendant: Attendant::default(),
            tubes: BTreeMap::new(),
            outbox: VecDeque::new(),
            saying: None,
            under_way: None,
            not_before: Mono::default(),
            is_open: false,
            outgoing: 0,
            kept: BTreeMap::new(),
            condition: BTreeMap::new(),
            next_is_unread: 0,
            next_gate_errs: 0,
            free_at: BTreeMap::new(),
            obeyed: BTreeMap::new(),
            again: Vec::new(),
        }
    }

    /// Who stands in front of it.
    pub fn attendant(&self) -> Attendant {
        self.attendant.clone()
    }

    fn say(&mut self, message: String) {
        self.outbox.push_back(Said::Message(message));
    }

    fn tell(&mut self, module: &str, barcode: &str, event: &Event<'_>) {
        self.outbox.push_back(Said::Tube {
            module: module.to_owned(),
            barcode: barcode.to_owned(),
            time: self.setup.clock.stamp(),
            segment: Words::container(barcode, event),
        });
        let event = event.word();
        self.attendant.write(|log| {
            log.told
                .push((barcode.to_owned(), module.to_owned(), event.to_owned()));
        });
    }

    /// What people did since it was looked at last.
    fn attend(&mut self, now: Mono, out: &mut Actions) {
        while let Some(act) = self.attendant.take() {
            match act {
                Act::Arrive(arrival) => self.arrive(now, &arrival),
                Act::Sight(barcode, module) => self.tell(&module, &barcode, &Event::Identified),
                Act::Break(fault) => self.break_down(now, &fault, out),
                Act::Mend(module) => self.mend(now, &module),
                Act::Fill(module, test) => self.count_reagent(&module, &test, PACK),
            }
        }
    }

    fn arrive(&mut self, now: Mono, arrival: &Arrival) {
        if self.next_is_unread > 0 {
            self.next_is_unread -= 1;
            self.tell(&arrival.inlet, "", &Event::Identified);
            if self.setup.pace.is_some() {
                let at = now.after(self.setup.transit * READ_BY_HAND);
                self.again.push((at, arrival.clone()));
            }
            return;
        }
        self.tell(&arrival.inlet, &arrival.barcode, &Event::Identified);
        let tube = Tube {
            at: arrival.inlet.clone(),
            stage: Stage::Waits,
            course: arrival.course.iter().cloned().collect(),
        };
        self.tubes.insert(arrival.barcode.clone(), tube);
        self.go_on(now, &arrival.barcode);
    }

    fn break_down(&mut self, now: Mono, fault: &Fault, out: &mut Actions) {
        let time = self.setup.clock.stamp();
        self.attendant
            .write(|log| *log.faults.entry(fault.name()).or_default() += 1);
        match fault {
            Fault::Jam(module) => {
                self.condition.insert(module.clone(), Condition::Jam);
                let message = self.words.notification(&time, module, ("PD", "JAM0001"));
                self.say(message);
            }
            Fault::Full(module) => {
                self.condition.insert(module.clone(), Condition::Full);
                let message = self.words.notification(&time, module, ("OP", "OUT0001"));
                self.say(message);
            }
            Fault::Off(module) => {
                self.condition.insert(module.clone(), Condition::Off);
                let message = self.words.state(&time, module, "ES");
                self.say(message);
            }
            Fault::Unread => self.next_is_unread += 1,
            Fault::Gate => self.next_gate_errs += 1,
            Fault::Lost(barcode) => {
                if let Some(tube) = self.tubes.remove(barcode) {
                    self.tell(&tube.at, barcode, &Event::Missing);
                }
            }
            Fault::NoReagent { module, test } => self.count_reagent(module, test, 0),
            Fault::Restart => {
                // What it was about to say it says after the restart; tubes stand where they stood.
                self.under_way = None;
                self.not_before = now;
                out.close();
            }
        }
    }

    /// Says how much of a reagent is left.
    fn count_reagent(&mut self, module: &str, test: &str, left: u32) {
        let time = self.setup.clock.stamp();
        let message = self.words.inventory(&time, (module, test), left);
        self.say(message);
    }

    fn mend(&mut self, now: Mono, module: &str) {
        self.condition.remove(module);
        let time = self.setup.clock.stamp();
        let message = self.words.state(&time, module, "OP");
        self.say(message);
        let standing: Vec<String> = self
            .tubes
            .iter()
            .filter(|(_, tube)| tube.at == module && tube.stage == Stage::Stands)
            .map(|(barcode, _)| barcode.clone())
            .collect();
        for barcode in standing {
            self.begin(now, &barcode);
        }
    }

    fn condition(&self, module: &str) -> Condition {
        self.condition.get(module).copied().unwrap_or_default()
    }

    /// The next stop of a tube that knows its way.
    fn go_on(&mut self, now: Mono, barcode: &str) {
        let next = self
            .tubes
            .get_mut(barcode)
            .and_then(|tube| tube.course.pop_front());
        if let Some(to) = next {
            self.leave(now, barcode, &to, "");
        }
    }

    fn leave(&mut self, now: Mono, barcode: &str, to: &str, lane: &str) {
        let lane = if lane.is_empty() {
            self.setup.layout.lanes.first().copied().unwrap_or("")
        } else {
            lane
        };
        let by_way_of = if self.next_gate_errs > 0 {
            self.next_gate_errs -= 1;
            let modules = self.setup.layout.modules.iter();
            let mut wrong =
                modules.filter(|module| module.kind == Kind::Analyzer && module.id != to);
            wrong.next().map(|module| module.id.to_owned())
        } else {
            None
        };
        let until = now.after(self.setup.transit);
        let Some(tube) = self.tubes.get_mut(barcode) else {
            return;
        };
        let from = tube.at.clone();
        tube.stage = Stage::Travels {
            to: to.to_owned(),
            lane: lane.to_owned(),
            until,
            by_way_of,
        };
        self.tell(&from, barcode, &Event::Left { to, lane });
    }

    /// Tubes whose time has come.
    fn move_tubes(&mut self, now: Mono) {
        let due: Vec<(String, Stage)> = self
            .tubes
            .iter()
            .filter(|(_, tube)| due(&tube.stage).is_some_and(|at| at <= now))
            .map(|(barcode, tube)| (barcode.clone(), tube.stage.clone()))
            .collect();
        for (barcode, stage) in due {
            match stage {
                Stage::Travels {
                    to,
                    lane,
                    by_way_of: Some(wrong),
                    ..
                } => self.detour(now, &barcode, (&wrong, &to, &lane)),
                Stage::Travels { to, lane, .. } => self.reach(now, &barcode, (&to, &lane)),
                Stage::Queued(_) => self.take_turn(now, &barcode),
                Stage::Worked(_) => self.end(now, &barcode),
                Stage::Waits | Stage::Stands | Stage::Kept => {}
            }
        }
    }

    /// A gate erred: the tube is seen where it should not be, and goes back.
    fn detour(&mut self, now: Mono, barcode: &str, (wrong, to, lane): (&str, &str, &str)) {
        self.tell(wrong, barcode, &Event::InPosition { lane });
        let back = self.setup.layout.lanes.last().copied().unwrap_or("");
        let until = now.after(self.setup.transit);
        if let Some(tube) = self.tubes.get_mut(barcode) {
            tube.at = wrong.to_owned();
            tube.stage = Stage::Travels {
                to: to.to_owned(),
                lane: back.to_owned(),
                until,
                by_way_of: None,
            };
        }
        self.tell(wrong, barcode, &Event::Left { to, lane: back });
    }

    fn reach(&mut self, now: Mono, barcode: &str, (to, lane): (&str, &str)) {
        if let Some(tube) = self.tubes.get_mut(barcode) {
            to.clone_into(&mut tube.at);
            tube.stage = Stage::Stands;
        }
        self.tell(to, barcode, &Event::InPosition { lane });
        if self.condition(to) == Condition::Up {
            self.begin(now, barcode);
        }
    }

    /// A tube is before a module that works: it waits for its turn there, or has it.
    fn begin(&mut self, now: Mono, barcode: &str) {
        let Some(tube) = self.tubes.get(barcode) else {
            return;
        };
        let turn = self.turn(now, &tube.at.clone());
        if turn <= now {
            self.work(now, barcode);
        } else if let Some(tube) = self.tubes.get_mut(barcode) {
            tube.stage = Stage::Queued(turn);
        }
    }

    /// When a module begins with the next tube, by its rate.
    fn turn(&mut self, now: Mono, module: &str) -> Mono {
        let rate = self.setup.layout.module(module);
        let rate = rate.map_or(0, |module| module.rate_per_hour);
        let Some(pace) = self.setup.pace.filter(|_| rate > 0) else {
            return now;
        };
        let free_at = self.free_at.entry(module.to_owned()).or_insert(now);
        let turn = now.max(*free_at);
        *free_at = turn.after((HOUR / rate).div_f64(pace));
        turn
    }

    fn take_turn(&mut self, now: Mono, barcode: &str) {
        let at = self.tubes.get(barcode).map(|tube| tube.at.clone());
        let is_up = at.is_some_and(|at| self.condition(&at) == Condition::Up);
        if is_up {
            self.work(now, barcode);
        } else if let Some(tube) = self.tubes.get_mut(barcode) {
            tube.stage = Stage::Stands;
        }
    }

    /// How long a module works on a tube.
    fn work_of(&self, module: &str) -> Duration {
        match (self.setup.pace, self.setup.layout.module(module)) {
            (Some(pace), Some(module)) => {
                Duration::from_secs(u64::from(module.work_s)).div_f64(pace)
            }
            _ => self.setup.dwell,
        }
    }

    fn work(&mut self, now: Mono, barcode: &str) {
        let Some(at) = self.tubes.get(barcode).map(|tube| tube.at.clone()) else {
            return;
        };
        let until = now.after(self.work_of(&at));
        let Some(tube) = self.tubes.get_mut(barcode) else {
            return;
        };
        if self.setup.layout.kind(&at).is_some_and(Kind::keeps) {
            tube.stage = Stage::Kept;
            let place = self.kept.entry(at.clone()).or_default();
            *place += 1;
            let place = place.to_string();
            self.tell(&at, barcode, &Event::Kept { place: &place });
            return;
        }
        tube.stage = Stage::Worked(until);
        self.tell(&at, barcode, &Event::InProcess);
        self.attendant.hand_over(&at, barcode);
    }

    fn end(&mut self, now: Mono, barcode: &str) {
        let Some(tube) = self.tubes.get_mut(barcode) else {
            return;
        };
        tube.stage = Stage::Waits;
        let at = tube.at.clone();
        self.tell(&at, barcode, &Event::Completed);
        self.go_on(now, barcode);
    }

    /// A command, and what becomes of it.
    fn obey(&mut self, now: Mono, command: &Command) {
        // A command that comes again is answered again, and done once.
        let known = self.obeyed.get(&command.number).copied();
        let outcome = known.unwrap_or_else(|| self.outcome(command));
        let time = self.setup.clock.stamp();
        let response = self.words.response(&time, command, outcome);
        self.say(response);
        if known.is_some() {
            return;
        }
        self.obeyed.insert(command.number.clone(), outcome);
        self.attendant.write(|log| {
            log.commands.push((
                command.barcode.clone(),
                command.to.clone(),
                outcome.to_owned(),
            ));
        });
        if outcome == "OK" {
            self.leave(now, &command.barcode, &command.to, &command.lane);
        }
    }

    fn outcome(&self, command: &Command) -> &'static str {
        let waits = |tube: &Tube| tube.stage == Stage::Waits && tube.course.is_empty();
        let is_there = self.tubes.get(&command.barcode).is_some_and(waits);
        let is_place = self.setup.layout.kind(&command.to).is_some();
        if command.control != "TT" || !is_place || !is_there {
            return "UN";
        }
        match self.condition(&command.to) {
            Condition::Off | Condition::Full => "ST",
            Condition::Up | Condition::Jam => "OK",
        }
    }

    fn speak(&mut self, now: Mono, out: &mut Actions) {
        if !self.is_open || self.under_way.is_some() || self.not_before > now {
            return;
        }
        if self.saying.is_none() {
            self.saying = self.next_message();
        }
        let Some(payload) = self.saying.clone() else {
            return;
        };
        self.outgoing += 1;
        let id = OutId(self.outgoing);
        self.under_way = Some(id);
        let outgoing = Outgoing {
            payload,
            kind: OutgoingKind::Download,
            expires_after: None,
        };
        out.send(id, outgoing);
    }

    /// The next message. A line that works at a pace says in one message what there is to say of one
    /// module, of each tube in its order.
    fn next_message(&mut self) -> Option<Bytes> {
        let (module, time, segment) = match self.outbox.pop_front()? {
            Said::Message(message) => return Some(message.into()),
            Said::Tube {
                module,
                time,
                segment,
                ..
            } => (module, time, segment),
        };
        let mut segments = vec![segment];
        if self.setup.pace.is_some() {
            // A tube that is left behind here says nothing before its turn.
            let mut behind = BTreeSet::new();
            self.outbox.retain(|said| match said {
                Said::Tube {
                    module: own,
                    barcode,
                    segment,
                    ..
                } => {
                    let is_room = segments.len() < TUBES_A_MESSAGE;
                    let goes = *own == module && is_room && !behind.contains(barcode);
                    if goes {
                        segments.push(segment.clone());
                    } else {
                        behind.insert(barcode.clone());
                    }
                    !goes
                }
                Said::Message(_) => true,
            });
        }
        let message = self.words.containers(&time, &module, &segments);
        Some(message.into())
    }

    fn advance(&mut self, now: Mono, out: &mut Actions) {
        self.attend(now, out);
        while let Some(at) = self.again.iter().position(|(at, _)| *at <= now) {
            let (_, arrival) = self.again.swap_remove(at);
            self.arrive(now, &arrival);
        }
        self.move_tubes(now);
        let is_idle = self.outbox.is_empty()
            && self.saying.is_none()
            && self.again.is_empty()
            && self.tubes.values().all(|tube| tube.stage == Stage::Kept);
        self.attendant.write(|log| log.is_idle = is_idle);
        self.speak(now, out);
    }
}

/// When a tube moves by itself.
const fn due(stage: &Stage) -> Option<Mono> {
    match stage {
        Stage::Travels { until, .. } | Stage::Worked(until) | Stage::Queued(until) => Some(*until),
        Stage::Waits | Stage::Stands | Stage::Kept => None,
    }
}

impl Device for TrackLine {
    fn on_open(&mut self, now: Mono, out: &mut Actions) {
        self.is_open = true;
        self.advance(now, out);
    }

    fn on_commit(&mut self, now: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let Commit::Message(received) = commit else {
            out.answer(id, Verdict::Lost(None));
            return;
        };
        let time = self.setup.clock.stamp();
        let reply = self.words.acknowledgement(&time, &received.bytes);
        out.answer(id, Verdict::Kept(reply.map(Bytes::from)));
        if let Some(command) = Command::read(&received.bytes) {
            self.obey(now, &command);
        }
        self.advance(now, out);
    }

    fn on_finished(&mut self, now: Mono, id: OutId, outcome: SendOutcome, out: &mut Actions) {
        if self.under_way != Some(id) {
            return;
        }
        self.under_way = None;
        let is_taken = matches!(&outcome, SendOutcome::Answered(reply) if words::is_taken(reply));
        if is_taken {
            self.saying = None;
            self.attendant.write(|log| log.acknowledged += 1);
        } else {
            self.not_before = now.after(AGAIN);
        }
        self.advance(now, out);
    }

    fn on_wake(&mut self, now: Mono, out: &mut Actions) {
        self.advance(now, out);
    }

    fn on_close(&mut self, _now: Mono) {
        self.is_open = false;
        self.under_way = None;
    }

    fn deadline(&self) -> Option<Mono> {
        let tubes = self.tubes.values().filter_map(|tube| due(&tube.stage));
        let has_words = self.saying.is_some() || !self.outbox.is_empty();
        let speaks = self.is_open && self.under_way.is_none() && has_words;
        let again = self.again.iter().map(|(at, _)| *at);
        tubes
            .chain(again)
            .chain(speaks.then_some(self.not_before))
            .min()
    }

    fn is_done(&self) -> bool {
        self.setup.stops_when_idle
            && self.attendant.with_log(|log| log.is_idle)
            && !self.tubes.is_empty()
    }
}

#[cfg(test)]
mod tests;
