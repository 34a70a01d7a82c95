//! Where every tube is, from what the line tells.
//!
//! [`Track::on_event`] takes one event, [`Track::on_time`] what the passing of time alone shows;
//! both may leave findings, which [`Track::poll`] gives out. No event is refused: what is told late
//! is put where it belongs in the tube's history, and moves the tube only if nothing later is known.

mod event;
mod finding;
mod load;
mod tube;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

pub(in crate::track) use self::load::{WaitQuestion, wait_ms};
pub use self::{
    event::{Event, What},
    finding::Finding,
    load::{Load, WINDOW_MS},
    tube::{Place, STEPS_MAX, Step, Tube},
};
use super::{
    Priority, Time, TubeId,
    model::{Condition, Kind, LaneNo, Line, ModuleNo},
};

/// The books of a line.
#[derive(Clone, Debug)]
pub struct Track {
    line: Arc<Line>,
    tubes: HashMap<TubeId, Tube>,
    /// Tubes under way, by when they were last heard of.
    open: BTreeSet<(Time, TubeId)>,
    /// The others.
    ended: BTreeSet<(Time, TubeId)>,
    /// Tubes that should be somewhere else by then.
    due: BTreeSet<(Time, TubeId)>,
    loads: Vec<Load>,
    lanes: Vec<u32>,
    /// The last word about a reagent, and when it was said. Bounded by the tests of the line's file.
    reagents: BTreeMap<(ModuleNo, String), (Time, bool)>,
    findings: VecDeque<Finding>,
    counts: Counts,
}

/// What was counted and not told one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken.
    pub events: u64,
    /// Events that were told before, word for word.
    pub repeated: u64,
    /// Events told after later ones.
    pub late: u64,
    /// Events whose time lay ahead of ours.
    pub ahead: u64,
    /// Findings that nobody fetched in time.
    pub findings_dropped: u64,
}

/// Findings that wait to be fetched; older ones go, and are counted.
pub const FINDINGS_MAX: usize = 1_000;

impl Track {
    /// Empty books.
    pub fn new(line: Arc<Line>) -> Self {
        Self {
            loads: vec![Load::default(); line.modules.len()],
            lanes: vec![0; line.lanes.len()],
            reagents: BTreeMap::new(),
            line,
            tubes: HashMap::new(),
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            due: BTreeSet::new(),
            findings: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The line.
    pub const fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// A tube; `None` where it was never seen, or is forgotten.
    pub fn tube(&self, id: &TubeId) -> Option<&Tube> {
        self.tubes.get(id)
    }

    /// Every tube, in no order.
    pub fn tubes(&self) -> impl Iterator<Item = (&TubeId, &Tube)> {
        self.tubes.iter()
    }

    /// What a module carries.
    ///
    /// # Panics
    /// When `no` is of another line, which is a mistake of the program.
    pub fn load(&self, no: ModuleNo) -> &Load {
        &self.loads[no.0]
    }

    /// Tubes on a lane, waiting ones among them.
    pub fn occupancy(&self, no: LaneNo) -> u32 {
        self.lanes.get(no.0).copied().unwrap_or_default()
    }

    /// What was counted.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The next finding.
    pub fn poll(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// Says how urgent a tube is; the line does not tell. Of no effect on a tube that was not seen.
    pub fn set_priority(&mut self, id: &TubeId, priority: Priority, now: Time) {
        self.change(id, now, |tube| tube.priority = priority);
    }

    /// Remembers what was advised, so that the next advice does not flap.
    pub fn set_advised(&mut self, id: &TubeId, advised: Option<ModuleNo>) {
        if let Some(tube) = self.tubes.get_mut(id) {
            tube.advised = advised;
        }
    }

    /// A person found the second tube of a barcode; the tube is routed again.
    pub fn settle_double(&mut self, id: &TubeId) {
        if let Some(tube) = self.tubes.get_mut(id) {
            tube.is_doubled = false;
        }
    }

    /// Takes one event. `now` is when it was received: an event from the future is taken as of now.
    pub fn on_event(&mut self, now: Time, event: Event) {
        self.counts.events += 1;
        let mut on_time = |at: Time| {
            self.counts.ahead += u64::from(at > now);
            at.min(now)
        };
        match event {
            Event::Tube {
                tube,
                module,
                what,
                at,
            } => {
                let at = on_time(at);
                self.on_tube(now, tube, Step { at, module, what });
            }
            Event::Unread { module, at } => {
                let at = on_time(at);
                let load = &mut self.loads[module.0];
                load.unread = load.unread.saturating_add(1);
                self.find(Finding::Unread { module, at });
            }
            Event::Reagent {
                module,
                test,
                is_usable,
                at,
            } => {
                let at = on_time(at);
                self.on_reagent((module, test), is_usable, at);
            }
            Event::Module {
                module,
                condition,
                at,
            } => {
                let at = on_time(at);
                let load = &mut self.loads[module.0];
                if at >= load.since {
                    // Whoever says that it takes tubes again has taken out what was in it.
                    if load.condition == Condition::Full && condition == Condition::Up {
                        load.emptied = load.kept;
                    }
                    load.condition = condition;
                    load.since = at;
                }
            }
        }
    }

    /// A test that the module does not have by the line's file is nobody's advice.
    fn on_reagent(&mut self, key: (ModuleNo, String), is_usable: bool, at: Time) {
        if self.line.module(key.0).tests.contains(&key.1) {
            let last = self.reagents.entry(key).or_insert((at, is_usable));
            if at >= last.0 {
                *last = (at, is_usable);
            }
        }
    }

    /// Tests for which a module has no reagent, as far as the line told.
    pub fn without_reagent(&self) -> impl Iterator<Item = (ModuleNo, &str)> {
        let out = self
            .reagents
            .iter()
            .filter(|(_, (_, is_usable))| !is_usable);
        out.map(|((module, test), _)| (*module, test.as_str()))
    }

    fn on_tube(&mut self, now: Time, id: TubeId, step: Step) {
        if !self.tubes.contains_key(&id) {
            self.make_room();
            self.tubes.insert(id.clone(), new_tube(&step));
            self.count_in(&id, step.at);
        }
        let Some(tube) = self.tubes.get(&id) else {
            return;
        };
        if tube.steps.contains(&step) {
            self.counts.repeated += 1;
            return;
        }
        let is_late = step.at < tube.last();
        let module = step.module;
        let at = step.at;
        let what = step.what.clone();
        // It is identified and then in position: one arrival.
        let was_here = matches!(&tube.place, Place::Waiting { module: at, .. } if *at == module);
        let mut index = 0;
        self.change(&id, now, |tube| index = tube.insert(step));
        self.check_apart(&id, index);
        if is_late {
            self.counts.late += 1;
            self.find(Finding::OutOfOrder {
                tube: id,
                module,
                at,
            });
            return;
        }
        match what {
            What::Seen { .. } if was_here => {}
            What::Seen { .. } => self.loads[module.0].on_arrival(at),
            What::Started => self.loads[module.0].on_start(at),
            What::Finished | What::Left { .. } | What::Kept { .. } | What::Lost => {}
        }
        let line = Arc::clone(&self.line);
        self.change(&id, now, |tube| {
            tube.place = place_after(&line, tube.steps.back());
            tube.is_told_overdue = false;
        });
    }

    /// A step and its neighbours in the tube's history must be as far apart in time as their
    /// modules are on the line.
    fn check_apart(&mut self, id: &TubeId, index: usize) {
        let Some(tube) = self.tubes.get(id) else {
            return;
        };
        let mut found = Vec::new();
        for first in [index.checked_sub(1), Some(index)].into_iter().flatten() {
            let (Some(here), Some(there)) = (tube.steps.get(first), tube.steps.get(first + 1))
            else {
                continue;
            };
            let least_ms = self.line.apart_ms(here.module, there.module);
            if there.at.since(here.at) < least_ms {
                found.push(Finding::TwoPlaces {
                    tube: id.clone(),
                    here: (here.module, here.at),
                    there: (there.module, there.at),
                    least_ms,
                });
            }
        }
        if let Some(tube) = self.tubes.get_mut(id).filter(|_| !found.is_empty()) {
            tube.is_doubled = true;
        }
        for finding in found {
            self.find(finding);
        }
    }

    /// What the passing of time shows: overdue tubes are told once, old ones forgotten. Call it
    /// every few seconds, and with `now` not before that of the last event.
    pub fn on_time(&mut self, now: Time) {
        while let Some((_, id)) = self.due.first().filter(|(due, _)| *due < now).cloned() {
            self.due.pop_first();
            self.tell_overdue(&id);
        }
        let forget = self.line.limits.forget_after_ms;
        while let Some((last, id)) = self.ended.first().cloned() {
            if now.since(last) <= forget {
                break;
            }
            self.forget(&id, false);
        }
        while let Some((last, id)) = self.open.first().cloned() {
            if now.since(last) <= forget {
                break;
            }
            self.forget(&id, false);
        }
    }

    fn tell_overdue(&mut self, id: &TubeId) {
        let Some(tube) = self.tubes.get_mut(id) else {
            return;
        };
        tube.is_told_overdue = true;
        let since = tube.last();
        let finding = match &tube.place {
            Place::Between {
                from, to, expected, ..
            } => Finding::OverdueOnWay {
                tube: id.clone(),
                from: *from,
                to: *to,
                expected: *expected,
            },
            Place::Working { module } => Finding::OverdueInModule {
                tube: id.clone(),
                module: *module,
                expected: since.after(self.line.module(*module).dwell_ms),
            },
            Place::Waiting { .. }
            | Place::Done { .. }
            | Place::Kept { .. }
            | Place::Lost { .. } => {
                return;
            }
        };
        self.find(finding);
    }

    /// Tubes that were told to be overdue and have not come since.
    pub fn overdue(&self) -> impl Iterator<Item = (&TubeId, &Tube)> {
        self.tubes.iter().filter(|(_, tube)| tube.is_told_overdue)
    }

    fn make_room(&mut self) {
        while self.tubes.len() >= self.line.limits.tubes_max {
            let oldest = self.ended.first().or_else(|| self.open.first());
            let Some((_, id)) = oldest.cloned() else {
                return;
            };
            self.forget(&id, true);
        }
    }

    fn forget(&mut self, id: &TubeId, is_limit: bool) {
        self.count_out(id, Time::default());
        let Some(tube) = self.tubes.remove(id) else {
            return;
        };
        if !tube.place.is_end() {
            self.find(Finding::Forgotten {
                tube: id.clone(),
                module: tube.place.module(),
                last: tube.last(),
                is_limit,
            });
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() >= FINDINGS_MAX {
            self.findings.pop_front();
            self.counts.findings_dropped += 1;
        }
        self.findings.push_back(finding);
    }

    /// Changes a tube and keeps every count in step.
    fn change(&mut self, id: &TubeId, now: Time, with: impl FnOnce(&mut Tube)) {
        self.count_out(id, now);
        if let Some(tube) = self.tubes.get_mut(id) {
            with(tube);
        }
        self.count_in(id, now);
    }

    fn count_in(&mut self, id: &TubeId, now: Time) {
        self.count(id, now, true);
    }

    fn count_out(&mut self, id: &TubeId, now: Time) {
        self.count(id, now, false);
    }

    fn count(&mut self, id: &TubeId, now: Time, is_added: bool) {
        let Some(tube) = self.tubes.get(id) else {
            return;
        };
        if let Some(load) = load::counted_at(&tube.place).and_then(|no| self.loads.get_mut(no.0)) {
            load.count(id, tube, is_added, now);
        }
        if let Some(lane) = tube
            .place
            .lane()
            .and_then(|lane| self.lanes.get_mut(lane.0))
        {
            *lane = if is_added {
                *lane + 1
            } else {
                lane.saturating_sub(1)
            };
        }
        let age = if tube.place.is_end() {
            &mut self.ended
        } else {
            &mut self.open
        };
        keep(age, (tube.last(), id.clone()), is_added);
        if let Some(due) = due(&self.line, tube).filter(|_| !tube.is_told_overdue) {
            keep(&mut self.due, (due, id.clone()), is_added);
        }
    }
}

fn keep(set: &mut BTreeSet<(Time, TubeId)>, key: (Time, TubeId), is_added: bool) {
    if is_added {
        set.insert(key);
    } else {
        set.remove(&key);
    }
}

/// A tube of which nothing has been told yet but where the first step is.
fn new_tube(step: &Step) -> Tube {
    Tube {
        place: Place::Lost {
            module: step.module,
        },
        priority: Priority::default(),
        is_doubled: false,
        advised: None,
        receipt: (step.module, step.at),
        steps: VecDeque::new(),
        dropped: 0,
        is_told_overdue: false,
    }
}

/// Where a tube is after its last step.
fn place_after(line: &Line, last: Option<&Step>) -> Place {
    let Some(Step { at, module, what }) = last else {
        return Place::Lost {
            module: ModuleNo(0),
        };
    };
    let module = *module;
    match what {
        What::Kept { position } => Place::Kept {
            module,
            position: position.clone(),
        },
        What::Lost => Place::Lost { module },
        What::Left { to, lane } => {
            let way = to.and_then(|to| line.transit_ms(module, to));
            let transit_ms = way.unwrap_or_else(|| line.longest_edge_ms(module));
            Place::Between {
                from: module,
                to: *to,
                lane: *lane,
                expected: at.after(transit_ms),
            }
        }
        What::Seen { lane } => Place::Waiting {
            module,
            lane: *lane,
        },
        // An outlet does nothing but keep.
        What::Started | What::Finished if line.module(module).kind == Kind::Outlet => Place::Kept {
            module,
            position: String::new(),
        },
        What::Started => Place::Working { module },
        What::Finished => Place::Done { module },
    }
}

/// When a tube is overdue where it is; waiting depends on others and has no time.
fn due(line: &Line, tube: &Tube) -> Option<Time> {
    let percent = line.limits.overdue_percent;
    let since = tube.last();
    let usual_ms = match &tube.place {
        Place::Between { expected, .. } => expected.since(since),
        Place::Working { module } => line.module(*module).dwell_ms,
        Place::Waiting { .. } | Place::Done { .. } | Place::Kept { .. } | Place::Lost { .. } => {
            return None;
        }
    };
    // A place beside another is reached in a second or two; a belt that starts late is no loss.
    let allowed = (usual_ms.saturating_mul(percent) / 100).max(OVERDUE_MIN_MS);
    Some(since.after(allowed))
}

/// Nothing is overdue earlier.
const OVERDUE_MIN_MS: u64 = 30_000;
