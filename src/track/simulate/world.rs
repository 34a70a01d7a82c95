//! The line itself: tubes, modules and time. It tells the books what a line would tell, and asks for
//! every tube where to send it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use super::{
    Policy,
    morning::{self, Arrival, Failure, Fault, Morning},
    policy::{self, Turns},
    random::Random,
    score::{Outcome, Score, Spread},
};
use crate::track::{
    Priority, Time,
    forecast::{LOOK_EVERY_MS, Watch},
    model::{Condition, Kind, LaneNo, Line, ModuleNo, Reason},
    route::{Analyzer, Analyzers, Go, Qc, Situation, reject},
    state::{Event, Place, Track, What},
};

/// What will happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// A tube comes to its inlet.
    Arrive(usize),
    /// A tube comes to a module.
    Reach(usize, ModuleNo, Option<LaneNo>),
    /// A module may begin with what waits.
    Try(ModuleNo),
    /// A module is done with tubes.
    Done(ModuleNo, Vec<usize>),
    /// A tube that stood still asks again.
    Ask(usize, ModuleNo),
    /// A fault begins.
    Fail(usize),
    /// It is mended.
    Mend(usize),
    /// Forecasts and the clock of the books.
    Look,
}

/// Where a tube is bound for, or where it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    None,
    Bound(Reason),
    Kept(ModuleNo, Option<Reason>),
}

#[derive(Clone, Debug)]
struct Body {
    arrival: Arrival,
    /// Since when it stands in a queue, and on which lane it came.
    queued: Option<(Time, Option<LaneNo>)>,
    waited_ms: u64,
    measured: Option<Time>,
    end: End,
    hops: u32,
}

#[derive(Clone, Debug, Default)]
struct Stop {
    /// Urgent tubes first, then in order of arrival.
    queue: BTreeMap<(Priority, u64), usize>,
    /// Faults that hold it.
    jammed: u32,
    off: u32,
    full: u32,
    busy_until: Time,
    /// Done while it stood still.
    held: Vec<usize>,
}

pub(super) struct World {
    line: Arc<Line>,
    morning: Morning,
    policy: Policy,
    random: Random,
    now: Time,
    order: u64,
    agenda: BinaryHeap<Reverse<(Time, u64, Next)>>,
    track: Track,
    watch: Watch,
    analyzers: Analyzers,
    turns: Turns,
    tubes: Vec<Body>,
    stops: Vec<Stop>,
    faults: Vec<Fault>,
    under_way: usize,
    score: Score,
}

/// How often a tube that stands still asks.
const ASK_EVERY_MS: u64 = 60_000;
/// Longer than any morning: what is not at its end by then never will be.
const LASTS_MS: u64 = 24 * 3_600_000;
/// A tube that changed so often stays where it is; no advice should come near.
const HOPS_MAX: u32 = 60;

impl World {
    pub(super) fn new(line: &Arc<Line>, morning: Morning, policy: Policy) -> Self {
        let arrivals = morning::arrivals(&morning, line);
        let faults = morning::faults(&morning, line);
        let analyzers = line.of_kind(Kind::Analyzer).map(|no| {
            let tests = line.module(no).tests.iter();
            let qc = tests.map(|test| (test.clone(), Qc::Passed)).collect();
            let analyzer = Analyzer {
                qc,
                ..Analyzer::default()
            };
            (no, analyzer)
        });
        let mut world = Self {
            morning,
            policy,
            random: Random::new(morning.seed ^ 0xA11E),
            now: Time::default(),
            order: 0,
            agenda: BinaryHeap::new(),
            track: Track::new(Arc::clone(line)),
            watch: Watch::new(line),
            analyzers: analyzers.collect(),
            turns: Turns::new(),
            stops: vec![Stop::default(); line.modules.len()],
            under_way: arrivals.len(),
            tubes: arrivals.into_iter().map(body).collect(),
            faults,
            score: Score::new(line.modules.len()),
            line: Arc::clone(line),
        };
        let opens = world.tubes.first().map(|tube| tube.arrival.at);
        world.plan(opens.unwrap_or_default(), Next::Look);
        for number in 0..world.tubes.len() {
            let at = world.tubes[number].arrival.at;
            world.plan(at, Next::Arrive(number));
        }
        for number in 0..world.faults.len() {
            let (from, until) = (world.faults[number].from, world.faults[number].until);
            world.plan(from, Next::Fail(number));
            world.plan(until, Next::Mend(number));
        }
        world
    }

    pub(super) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, _, next))) = self.agenda.pop() {
            if self.under_way == 0 || at.as_ms() > LASTS_MS {
                break;
            }
            self.now = at;
            self.on(next);
            while let Some(finding) = self.track.poll() {
                let findings = &mut self.score.outcome.findings;
                *findings.entry(finding.code()).or_default() += 1;
            }
        }
        self.finish()
    }

    fn plan(&mut self, at: Time, next: Next) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, next)));
    }

    fn on(&mut self, next: Next) {
        match next {
            Next::Arrive(tube) => {
                let inlet = self.tubes[tube].arrival.inlet;
                self.join(tube, inlet, None);
            }
            Next::Reach(tube, module, lane) => self.reach(tube, module, lane),
            Next::Try(module) => self.begin(module),
            Next::Done(module, tubes) => self.done(module, tubes),
            Next::Ask(tube, module) => {
                self.tubes[tube].arrival.need.waited_ms += ASK_EVERY_MS;
                self.tubes[tube].waited_ms += ASK_EVERY_MS;
                self.go_on(tube, module);
            }
            Next::Fail(fault) => self.fail(fault, true),
            Next::Mend(fault) => self.fail(fault, false),
            Next::Look => {
                self.track.on_time(self.now);
                let news = self.watch.look(&self.track, self.now);
                self.score.on_news(news);
                self.plan(self.now.after(LOOK_EVERY_MS), Next::Look);
            }
        }
    }

    fn tell(&mut self, tube: usize, module: ModuleNo, what: What) {
        let arrival = &self.tubes[tube].arrival;
        // A tube without a readable barcode is seen once, by the inlet, and by nobody after.
        if arrival.is_unread {
            return;
        }
        let (id, at) = (arrival.id.clone(), self.now);
        self.track.on_event(
            self.now,
            Event::Tube {
                tube: id,
                module,
                what,
                at,
            },
        );
    }

    /// A tube stands before a module.
    fn join(&mut self, tube: usize, module: ModuleNo, lane: Option<LaneNo>) {
        self.tell(tube, module, What::Seen { lane });
        let priority = self.tubes[tube].arrival.need.priority;
        if self.line.module(module).is_inlet() {
            // The laboratory's orders say how urgent it is, as soon as it was read.
            let id = self.tubes[tube].arrival.id.clone();
            self.track.set_priority(&id, priority, self.now);
        }
        self.order += 1;
        let order = self.order;
        self.stops[module.0].queue.insert((priority, order), tube);
        self.tubes[tube].queued = Some((self.now, lane));
        self.on_queue(module, lane, true);
        self.plan(self.now, Next::Try(module));
    }

    fn on_queue(&mut self, module: ModuleNo, lane: Option<LaneNo>, is_added: bool) {
        let on_lane = self.score.on_queue((module, lane), is_added);
        let all = u32::try_from(self.stops[module.0].queue.len()).unwrap_or(u32::MAX);
        let limit = self.line.module(module).queue_max;
        let (now, watch) = (self.now, &self.watch);
        self.score.on_length(module, (all, limit), watch, now);
        if self.line.module(module).is_inlet() {
            return;
        }
        let outcome = &mut self.score.outcome;
        outcome.longest_module_queue = outcome.longest_module_queue.max(all);
        if on_lane > outcome.longest_lane_queue {
            outcome.longest_lane_queue = on_lane;
            let lane = lane.map_or("–", |lane| self.line.lane(lane).id.as_str());
            outcome.longest_at = format!("{} on {lane}", self.line.module(module).id);
        }
    }

    /// Takes a tube out of its queue and counts how long it stood there.
    fn leave_queue(&mut self, tube: usize, module: ModuleNo) {
        let Some((since, lane)) = self.tubes[tube].queued.take() else {
            return;
        };
        let queue = &mut self.stops[module.0].queue;
        queue.retain(|_, waiting| *waiting != tube);
        if !self.line.module(module).is_inlet() {
            self.tubes[tube].waited_ms += self.now.since(since);
        }
        self.on_queue(module, lane, false);
    }

    /// A module begins with the next tube, or the next batch, if it can.
    fn begin(&mut self, module: ModuleNo) {
        let stop = &self.stops[module.0];
        let is_still = stop.jammed + stop.off > 0;
        if is_still || stop.queue.is_empty() {
            return;
        }
        if self.now < stop.busy_until {
            let until = stop.busy_until;
            self.plan(until, Next::Try(module));
            return;
        }
        let data = self.line.module(module).clone();
        let batch = usize::try_from(data.batch).unwrap_or(1);
        let chosen: Vec<usize> = stop.queue.values().copied().take(batch).collect();
        if chosen.len() < batch {
            let patience = |tube: &usize| {
                let body = &self.tubes[*tube];
                let wait_ms = match body.arrival.need.priority {
                    Priority::Stat => data.stat_wait_ms,
                    Priority::Routine => data.batch_wait_ms,
                };
                body.queued.map(|(since, _)| since.after(wait_ms))
            };
            let starts = chosen.iter().filter_map(patience).min();
            if let Some(starts) = starts.filter(|starts| *starts > self.now) {
                self.plan(starts, Next::Try(module));
                return;
            }
        }
        for &tube in &chosen {
            self.leave_queue(tube, module);
            self.tell(tube, module, What::Started);
        }
        let interval_ms = data.interval_ms();
        let occupied_ms = if data.batch > 1 {
            data.dwell_ms.max(interval_ms)
        } else {
            interval_ms
        };
        self.stops[module.0].busy_until = self.now.after(occupied_ms);
        self.plan(self.now.after(occupied_ms), Next::Try(module));
        self.plan(
            self.now.after(data.dwell_ms.max(1)),
            Next::Done(module, chosen),
        );
    }

    fn done(&mut self, module: ModuleNo, tubes: Vec<usize>) {
        let stop = &mut self.stops[module.0];
        if stop.jammed + stop.off > 0 {
            stop.held.extend(tubes);
            return;
        }
        for tube in tubes {
            self.tell(tube, module, What::Finished);
            self.worked(tube, module);
            self.go_on(tube, module);
        }
    }

    /// What a module did with a tube.
    fn worked(&mut self, tube: usize, module: ModuleNo) {
        let situation = Situation {
            track: &self.track,
            analyzers: &self.analyzers,
            now: self.now,
        };
        let body = &mut self.tubes[tube];
        let need = &mut body.arrival.need;
        need.waited_ms = 0;
        match self.line.module(module).kind {
            Kind::Centrifuge => need.centrifuge = false,
            Kind::Decapper => need.decap = false,
            Kind::Aliquoter => need.aliquot = false,
            Kind::Recapper => need.recap = false,
            Kind::Analyzer => {
                need.tests
                    .retain(|test| !policy::runs(&situation, module, test));
                if need.tests.is_empty() {
                    body.measured = Some(self.now);
                }
            }
            Kind::Inlet | Kind::StatInlet | Kind::Tempus | Kind::Outlet | Kind::Storage => {}
        }
    }

    fn decide(&mut self, tube: usize, from: ModuleNo) -> Go {
        let situation = Situation {
            track: &self.track,
            analyzers: &self.analyzers,
            now: self.now,
        };
        let arrival = &self.tubes[tube].arrival;
        if arrival.is_unread {
            return reject(&situation, &arrival.id, from, Reason::Unread);
        }
        if let End::Bound(reason) = self.tubes[tube].end {
            return reject(&situation, &arrival.id, from, reason);
        }
        let asked = (&arrival.id, from, &arrival.need);
        policy::decide(self.policy, &mut self.turns, &situation, asked)
    }

    /// Sends a tube on from a module.
    fn go_on(&mut self, tube: usize, from: ModuleNo) {
        let is_unread = self.tubes[tube].arrival.is_unread;
        if is_unread && self.line.module(from).is_inlet() {
            let (module, at) = (from, self.now);
            self.track.on_event(self.now, Event::Unread { module, at });
        }
        match self.decide(tube, from) {
            Go::To { module, lane, .. } => {
                let id = self.tubes[tube].arrival.id.clone();
                self.track.set_advised(&id, Some(module));
                self.send(tube, from, (module, lane));
            }
            Go::Outlet {
                module,
                lane,
                reason,
            } => {
                self.tubes[tube].end = End::Bound(reason);
                self.send(tube, from, (module, lane));
            }
            Go::Wait { .. } => self.plan(self.now.after(ASK_EVERY_MS), Next::Ask(tube, from)),
        }
    }

    fn send(&mut self, tube: usize, from: ModuleNo, (to, lane): (ModuleNo, Option<LaneNo>)) {
        self.tell(tube, from, What::Left { to: Some(to), lane });
        let mut reached = to;
        if self.morning.has_faults && self.random.per_mille(self.morning.gate_per_mille) {
            // A gate fails: the tube comes to another module of the line.
            let others: Vec<ModuleNo> = self
                .line
                .all()
                .filter(|(no, module)| *no != from && !module.is_end() && !module.is_inlet())
                .map(|(no, _)| no)
                .filter(|no| self.line.transit_ms(from, *no).is_some())
                .collect();
            reached = self.random.of(&others).copied().unwrap_or(to);
        }
        let usual_ms = self
            .line
            .transit_ms(from, reached)
            .or_else(|| self.line.transit_ms(from, to))
            .unwrap_or_default();
        let crowd = lane.map_or(0, |lane| {
            let capacity = u64::from(self.line.lane(lane).capacity.max(1));
            let percent = u64::from(self.track.occupancy(lane)) * 100 / capacity;
            percent.saturating_sub(50).min(100)
        });
        let percent = self.random.between(90, 120) + crowd;
        let arrives = self.now.after((usual_ms * percent / 100).max(1));
        self.plan(arrives, Next::Reach(tube, reached, lane));
    }

    fn reach(&mut self, tube: usize, module: ModuleNo, lane: Option<LaneNo>) {
        if self.line.module(module).is_end() {
            self.reach_end(tube, module, lane);
            return;
        }
        let body = &mut self.tubes[tube];
        body.hops += 1;
        let step = body.arrival.need.step();
        let is_fit = self.line.module(module).kind == step.kind();
        let is_bound = body.end != End::None || body.arrival.is_unread;
        let is_tired = body.hops >= HOPS_MAX && is_fit && !is_bound;
        let asks = self.policy == Policy::Advised || !is_fit || is_bound;
        if !asks || is_tired {
            self.join(tube, module, lane);
            return;
        }
        // At the gate before the module: it may stay, or pass on.
        self.tell(tube, module, What::Seen { lane });
        match self.decide(tube, module) {
            Go::To { module: to, .. } if to == module => self.join(tube, module, lane),
            Go::Wait { .. } => self.plan(self.now.after(ASK_EVERY_MS), Next::Ask(tube, module)),
            Go::To { .. } | Go::Outlet { .. } => {
                self.score.outcome.changed += u32::from(is_fit && !is_bound);
                self.go_on(tube, module);
            }
        }
    }

    fn reach_end(&mut self, tube: usize, module: ModuleNo, lane: Option<LaneNo>) {
        let is_full = {
            let load = self.track.load(module);
            self.stops[module.0].full > 0 || load.is_full(self.line.module(module))
        };
        if is_full {
            self.tell(tube, module, What::Seen { lane });
            self.plan(self.now.after(ASK_EVERY_MS), Next::Ask(tube, module));
            return;
        }
        let position = String::new();
        self.tell(tube, module, What::Kept { position });
        let reason = match self.tubes[tube].end {
            End::Bound(reason) => Some(reason),
            End::None | End::Kept(..) => None,
        };
        self.tubes[tube].end = End::Kept(module, reason);
        self.under_way -= 1;
        self.score.outcome.ended = self.now;
        match reason {
            Some(reason) => self.score.on_outlet(reason),
            None => self.score.outcome.stored += 1,
        }
    }

    /// A fault begins or ends.
    fn fail(&mut self, fault: usize, begins: bool) {
        let Fault { module, what, .. } = self.faults[fault];
        let stop = &mut self.stops[module.0];
        let count = match what {
            Failure::Jam => &mut stop.jammed,
            Failure::Off => &mut stop.off,
            Failure::Full => &mut stop.full,
            Failure::Qc => {
                let qc = if begins { Qc::Failed } else { Qc::Passed };
                if let Some(analyzer) = self.analyzers.get_mut(&module) {
                    analyzer.qc.values_mut().for_each(|known| *known = qc);
                }
                self.redirect(module, true);
                return;
            }
        };
        *count = if begins {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        let condition = if stop.off > 0 {
            Condition::Down
        } else if stop.jammed > 0 {
            Condition::Jam
        } else if stop.full > 0 {
            Condition::Full
        } else {
            Condition::Up
        };
        let at = self.now;
        self.track.on_event(
            at,
            Event::Module {
                module,
                condition,
                at,
            },
        );
        if begins {
            self.redirect(module, what == Failure::Off);
            return;
        }
        let held = std::mem::take(&mut self.stops[module.0].held);
        self.done(module, held);
        self.plan(self.now, Next::Try(module));
    }

    /// Tubes that wait before a module that failed go elsewhere: all of them where every line would
    /// send them, else only by the advice.
    fn redirect(&mut self, module: ModuleNo, is_for_all: bool) {
        let is_inlet = self.line.module(module).is_inlet();
        if is_inlet || !(is_for_all || self.policy == Policy::Advised) {
            return;
        }
        let waiting: Vec<usize> = self.stops[module.0].queue.values().copied().collect();
        for tube in waiting {
            match self.decide(tube, module) {
                Go::To { module: to, .. } if to == module => {}
                Go::Wait { .. } => {}
                Go::To { .. } | Go::Outlet { .. } => {
                    self.score.outcome.changed += 1;
                    self.leave_queue(tube, module);
                    self.go_on(tube, module);
                }
            }
        }
    }

    fn finish(mut self) -> Outcome {
        let mut waits: [Vec<u64>; 4] = Default::default();
        for body in &self.tubes {
            let is_stat = body.arrival.need.priority == Priority::Stat;
            let took = body.measured.map(|at| at.since(body.arrival.at));
            let stat = |times: Option<u64>| times.filter(|_| is_stat);
            let waited = (!body.arrival.is_unread).then_some(body.waited_ms);
            for (times, one) in waits
                .iter_mut()
                .zip([waited, stat(waited), took, stat(took)])
            {
                times.extend(one);
            }
            let outcome = &mut self.score.outcome;
            let End::Kept(module, _) = body.end else {
                outcome.unended += 1;
                continue;
            };
            let place = self.track.tube(&body.arrival.id).map(|tube| &tube.place);
            let is_there = matches!(place, Some(Place::Kept { module: at, .. }) if *at == module);
            outcome.misplaced += u32::from(!is_there && !body.arrival.is_unread);
        }
        let outcome = &mut self.score.outcome;
        let [wait, stat_wait, turnaround, stat_turnaround] = waits.map(Spread::of_ms);
        outcome.wait = wait;
        outcome.stat_wait = stat_wait;
        outcome.turnaround = turnaround;
        outcome.stat_turnaround = stat_turnaround;
        self.score.finish()
    }
}

fn body(arrival: Arrival) -> Body {
    Body {
        arrival,
        queued: None,
        waited_ms: 0,
        measured: None,
        end: End::None,
        hops: 0,
    }
}
