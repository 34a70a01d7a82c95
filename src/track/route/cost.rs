//! What a candidate costs: milliseconds until the tube is done.

use std::collections::BTreeSet;

use super::{
    Analyzer, Candidate, Closed, Need, Qc, Situation, Step, Verdict, fill_percent, is_counted,
};
use crate::track::{
    TubeId,
    model::{Condition, Line, ModuleNo},
    state::{WaitQuestion, wait_ms},
};

/// The parts of a cost, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The way there, longer on a crowded lane.
    pub travel_ms: u64,
    /// The queue before it.
    pub wait_ms: u64,
    /// The work itself.
    pub work_ms: u64,
    /// What the remaining tests take elsewhere.
    pub rest_ms: u64,
    /// A control that is due, a jam that will end.
    pub penalty_ms: u64,
}

impl Cost {
    /// All of it.
    pub const fn total_ms(&self) -> u64 {
        self.travel_ms
            .saturating_add(self.wait_ms)
            .saturating_add(self.work_ms)
            .saturating_add(self.rest_ms)
            .saturating_add(self.penalty_ms)
    }
}

/// What is asked: which tube, where it is, what it needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) id: &'a TubeId,
    pub(super) from: ModuleNo,
    pub(super) need: &'a Need,
}

impl<'a> Question<'a> {
    pub(super) fn line(&self) -> &'a Line {
        self.situation.track.line()
    }

    /// Weighs one module for the next step.
    pub(super) fn weigh(&self, module: ModuleNo) -> Candidate {
        let is_analyzer = self.need.step() == Step::Analyze;
        let (tests, refused) = if is_analyzer {
            self.runs(module, &self.need.tests)
        } else {
            (BTreeSet::new(), None)
        };
        let closed = self.closed(module, is_analyzer).or(refused);
        let verdict = match closed {
            Some(why) => Verdict::Closed(why),
            None => match self.cost(module, &tests) {
                Some(cost) => Verdict::Open(cost),
                None => Verdict::Closed(Closed::NoWay),
            },
        };
        Candidate {
            module,
            tests,
            verdict,
        }
    }

    fn closed(&self, no: ModuleNo, is_analyzer: bool) -> Option<Closed> {
        let load = self.situation.track.load(no);
        match load.condition {
            Condition::Down => Some(Closed::Down),
            // Results wait for nobody: another analyzer, or none. Before that a jam only costs time.
            Condition::Jam if is_analyzer => Some(Closed::Jam),
            Condition::Full => Some(Closed::Full),
            Condition::Up | Condition::Jam => {
                load.is_full(self.line().module(no)).then_some(Closed::Full)
            }
        }
    }

    /// The tests among `tests` that an analyzer would run now, or why none.
    fn runs(&self, no: ModuleNo, tests: &BTreeSet<String>) -> (BTreeSet<String>, Option<Closed>) {
        let own = &self.line().module(no).tests;
        let known: Vec<&String> = tests.iter().filter(|test| own.contains(*test)).collect();
        if known.is_empty() {
            return (BTreeSet::new(), Some(Closed::RunsNone));
        }
        let nothing_known = Analyzer::default();
        let analyzer = self.situation.analyzers.get(&no).unwrap_or(&nothing_known);
        if analyzer.is_offline {
            return (BTreeSet::new(), Some(Closed::Offline));
        }
        let is_controlled = |test: &&&String| analyzer.qc_of(test) != Qc::Failed;
        let has_reagent = |test: &&&String| !analyzer.no_reagent.contains(test.as_str());
        let now: BTreeSet<String> = known
            .iter()
            .filter(is_controlled)
            .filter(has_reagent)
            .map(|test| (*test).clone())
            .collect();
        let why = now.is_empty().then(|| {
            if known.iter().any(|test| !is_controlled(&test)) {
                Closed::QcFailed
            } else {
                Closed::NoReagent
            }
        });
        (now, why)
    }

    fn cost(&self, no: ModuleNo, tests: &BTreeSet<String>) -> Option<Cost> {
        let travel_ms = self.travel_ms(no)?;
        let line = self.line();
        let routing = &line.routing;
        let load = self.situation.track.load(no);
        let mut penalty_ms = 0;
        if load.condition == Condition::Jam {
            penalty_ms += routing.jam_ms;
        }
        let analyzer = self.situation.analyzers.get(&no);
        let is_due =
            |test: &String| analyzer.map_or(Qc::Due, |analyzer| analyzer.qc_of(test)) == Qc::Due;
        if tests.iter().any(is_due) {
            penalty_ms += routing.qc_due_ms;
        }
        let wait_ms = self.wait_ms(no, travel_ms);
        let work_ms = line.module(no).dwell_ms;
        let done_ms = travel_ms + wait_ms + work_ms;
        Some(Cost {
            travel_ms,
            wait_ms,
            work_ms,
            rest_ms: self.rest_ms(no, tests, done_ms),
            penalty_ms,
        })
    }

    /// The way there. A lane slows down from half of its room on, and doubles the way when it is
    /// full.
    fn travel_ms(&self, no: ModuleNo) -> Option<u64> {
        let line = self.line();
        let usual = line.transit_ms(self.from, no)?;
        let emptiest = line
            .first_edges(self.from, no)
            .map(|edge| fill_percent(line, self.situation.track, edge.lane))
            .min()
            .unwrap_or_default();
        let crowd = emptiest.saturating_sub(50).min(50) * 2;
        Some(usual.saturating_add(usual * crowd / 100))
    }

    fn wait_ms(&self, no: ModuleNo, travel_ms: u64) -> u64 {
        let track = self.situation.track;
        let question = WaitQuestion {
            now: self.situation.now,
            priority: self.need.priority,
            travel_ms,
            is_counted: is_counted(track, self.id, no),
        };
        wait_ms(track.line(), track.load(no), no, &question)
    }

    /// What the tests that `no` does not run take afterwards: again and again the analyzer that runs
    /// most of them, the nearest in time among those alike. Their queues shorten meanwhile.
    fn rest_ms(&self, no: ModuleNo, done: &BTreeSet<String>, done_ms: u64) -> u64 {
        let mut left: BTreeSet<String> = self.need.tests.difference(done).cloned().collect();
        let (mut at, mut passed) = (no, done_ms);
        while !left.is_empty() {
            let Some((module, tests, cost_ms)) = self.next_best(at, &left, passed) else {
                break;
            };
            left.retain(|test| !tests.contains(test));
            at = module;
            passed = passed.saturating_add(cost_ms);
        }
        passed - done_ms
    }

    fn next_best(
        &self,
        at: ModuleNo,
        left: &BTreeSet<String>,
        passed: u64,
    ) -> Option<(ModuleNo, BTreeSet<String>, u64)> {
        let line = self.line();
        let mut best: Option<(ModuleNo, BTreeSet<String>, u64)> = None;
        for no in line.of_kind(Step::Analyze.kind()) {
            let (tests, refused) = self.runs(no, left);
            if refused.is_some() || self.closed(no, true).is_some() {
                continue;
            }
            let Some(way_ms) = line.transit_ms(at, no) else {
                continue;
            };
            let wait_ms = self.wait_ms(no, passed.saturating_add(way_ms));
            let cost_ms = way_ms + wait_ms + line.module(no).dwell_ms;
            let is_better = best
                .as_ref()
                .is_none_or(|(_, most, least_ms)| (tests.len(), *least_ms) > (most.len(), cost_ms));
            if is_better {
                best = Some((no, tests, cost_ms));
            }
        }
        best
    }
}

impl Analyzer {
    /// The control of a test.
    pub fn qc_of(&self, test: &str) -> Qc {
        self.qc.get(test).copied().unwrap_or_default()
    }
}
