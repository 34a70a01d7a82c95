//! Where a tube is sent: by the advice, or by a fixed order as a line does without.

use std::collections::BTreeMap;

use crate::track::Priority;
use crate::track::{
    TubeId,
    model::{Class, Condition, Kind, LaneNo, ModuleNo, Reason},
    route::{Analyzer, Chosen, Go, Need, Qc, Situation, Step, advise, reject},
};

/// How the next module is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Modules before the tests by turns; of the analyzers of a test the first that is not off.
    FirstAnalyzer,
    /// Everything by turns.
    RoundRobin,
    /// By [`advise`].
    Advised,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::FirstAnalyzer, Self::RoundRobin, Self::Advised];

    /// For a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstAnalyzer => "first analyzer of the test",
            Self::RoundRobin => "round robin",
            Self::Advised => "routing advice",
        }
    }
}

/// Whose turn it is, by what is to be done.
pub(super) type Turns = BTreeMap<(Step, String), usize>;

/// Where a tube at `from` is sent.
pub(super) fn decide(
    policy: Policy,
    turns: &mut Turns,
    situation: &Situation<'_>,
    (id, from, need): (&TubeId, ModuleNo, &Need),
) -> Go {
    if policy == Policy::Advised {
        return advise(situation, id, from, need).go;
    }
    let step = need.step();
    let line = situation.track.line();
    // A jam ends by itself for a line that knows no better: tubes queue up before it.
    let works = |no: &ModuleNo| {
        let condition = situation.track.load(*no).condition;
        condition != Condition::Down && condition != Condition::Full
    };
    let first_test = need.tests.first().cloned().unwrap_or_default();
    let open: Vec<ModuleNo> = line
        .of_kind(step.kind())
        .filter(works)
        .filter(|no| line.transit_ms(from, *no).is_some())
        .filter(|no| step != Step::Analyze || runs(situation, *no, &first_test))
        .collect();
    let turn = turns.entry((step, first_test.clone())).or_default();
    let is_by_turns = policy == Policy::RoundRobin || step != Step::Analyze;
    let at = if is_by_turns {
        *turn % open.len().max(1)
    } else {
        0
    };
    *turn += 1;
    match open.get(at) {
        Some(&module) => Go::To {
            module,
            lane: lane(situation, (from, module), need.priority),
            chosen: Chosen::Only,
        },
        None => reject(situation, id, from, reason(situation, step, &first_test)),
    }
}

fn reason(situation: &Situation<'_>, step: Step, test: &str) -> Reason {
    let line = situation.track.line();
    let mut analyzers = line.of_kind(Kind::Analyzer);
    match step {
        Step::Analyze if analyzers.any(|no| line.module(no).tests.contains(test)) => {
            Reason::NoAnalyzer
        }
        Step::Analyze => Reason::NotOnLine,
        Step::Store => Reason::NoStorage,
        Step::Centrifuge | Step::Decap | Step::Aliquot | Step::Recap => Reason::NoModule,
    }
}

/// Whether an analyzer runs a test now; without the advice too, nothing is measured out of control.
pub(super) fn runs(situation: &Situation<'_>, no: ModuleNo, test: &str) -> bool {
    let nothing_known = Analyzer::default();
    let analyzer = situation.analyzers.get(&no).unwrap_or(&nothing_known);
    situation.track.line().module(no).tests.contains(test)
        && !analyzer.is_offline
        && analyzer.qc_of(test) != Qc::Failed
        && !analyzer.no_reagent.contains(test)
}

/// The lane of the tube's class, whatever is on it.
fn lane(
    situation: &Situation<'_>,
    (from, to): (ModuleNo, ModuleNo),
    priority: Priority,
) -> Option<LaneNo> {
    let line = situation.track.line();
    let is_stat = priority == Priority::Stat;
    line.first_edges(from, to)
        .map(|edge| edge.lane)
        .min_by_key(|no| (line.lane(*no).class == Class::Stat) != is_stat)
}
