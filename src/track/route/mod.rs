//! Which module a tube goes to next, and why.
//!
//! [`advise`] weighs every module that could do the tube's next step: the way there, the queue
//! before it, the work, and for an analyzer what the tests that it cannot run will take elsewhere.
//! An analyzer that is down or whose control failed is never advised; an advice once given is changed
//! only for a real gain. Every candidate comes back with its cost, or with why it is closed.

mod cost;

use std::collections::{BTreeMap, BTreeSet};

pub use self::cost::Cost;
use super::{
    Priority, Time, TubeId,
    model::{Class, Condition, Kind, LaneNo, Line, ModuleNo, Reason},
    state::{Place, Track},
};

/// What is still to be done with a tube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// How urgent.
    pub priority: Priority,
    /// It has to be spun.
    pub centrifuge: bool,
    /// Its cap has to come off.
    pub decap: bool,
    /// A secondary tube has to be made.
    pub aliquot: bool,
    /// Tests that are not done, by the ids of the catalogue.
    pub tests: BTreeSet<String>,
    /// A cap has to go on after the tests.
    pub recap: bool,
    /// Milliseconds that it has stood still for [`Go::Wait`].
    pub waited_ms: u64,
}

/// The next thing to do with a tube, in the order in which they are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Spin it.
    Centrifuge,
    /// Take the cap off.
    Decap,
    /// Make a secondary tube.
    Aliquot,
    /// Run tests.
    Analyze,
    /// Put a cap on.
    Recap,
    /// Keep it.
    Store,
}

impl Need {
    /// What comes next.
    pub fn step(&self) -> Step {
        if self.centrifuge {
            Step::Centrifuge
        } else if self.decap {
            Step::Decap
        } else if self.aliquot {
            Step::Aliquot
        } else if !self.tests.is_empty() {
            Step::Analyze
        } else if self.recap {
            Step::Recap
        } else {
            Step::Store
        }
    }
}

impl Step {
    /// The kind of module that does it.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Centrifuge => Kind::Centrifuge,
            Self::Decap => Kind::Decapper,
            Self::Aliquot => Kind::Aliquoter,
            Self::Analyze => Kind::Analyzer,
            Self::Recap => Kind::Recapper,
            Self::Store => Kind::Storage,
        }
    }
}

/// How the control of a test stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qc {
    /// In control.
    Passed,
    /// Out of control: nothing may be measured.
    Failed,
    /// It should be measured first; so is one of which nothing is known.
    #[default]
    Due,
}

/// What is known of an analyzer besides its module on the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analyzer {
    /// A person or the analyzer itself took it out of work.
    pub is_offline: bool,
    /// Tests without reagent.
    pub no_reagent: BTreeSet<String>,
    /// The control of each test; [`Qc::Due`] where none is named.
    pub qc: BTreeMap<String, Qc>,
}

/// The analyzers of a line; one that is missing is online with every control due.
pub type Analyzers = BTreeMap<ModuleNo, Analyzer>;

/// Why a candidate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closed {
    /// Its module is off.
    Down,
    /// Its module is jammed.
    Jam,
    /// It takes no more tubes.
    Full,
    /// It was taken out of work.
    Offline,
    /// The control of every pending test that it has failed.
    QcFailed,
    /// It has no reagent for the pending tests that it has.
    NoReagent,
    /// It runs none of the pending tests.
    RunsNone,
    /// No way leads there.
    NoWay,
}

impl Closed {
    /// Its word, which never changes its meaning.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Jam => "jam",
            Self::Full => "full",
            Self::Offline => "offline",
            Self::QcFailed => "qc-failed",
            Self::NoReagent => "no-reagent",
            Self::RunsNone => "runs-none",
            Self::NoWay => "no-way",
        }
    }
}

/// What became of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It could do it, at this cost.
    Open(Cost),
    /// It could not.
    Closed(Closed),
}

/// A module that was weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub module: ModuleNo,
    /// The pending tests that it would run now.
    pub tests: BTreeSet<String>,
    /// What became of it.
    pub verdict: Verdict,
}

/// Why one of the open candidates was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// It was the only one.
    Only,
    /// It takes least.
    Least {
        /// Milliseconds that the next best would take more.
        ahead_ms: u64,
    },
    /// It was advised before, and the best gains too little.
    Kept {
        /// Milliseconds that the best would gain.
        behind_ms: u64,
    },
}

/// What a tube is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go to a module that does the next step.
    To {
        /// Which.
        module: ModuleNo,
        /// On this lane first; `None` where it is there.
        lane: Option<LaneNo>,
        /// Why this one.
        chosen: Chosen,
    },
    /// Go to an outlet.
    Outlet {
        /// Which.
        module: ModuleNo,
        /// On this lane first; `None` where it is there.
        lane: Option<LaneNo>,
        /// Why.
        reason: Reason,
    },
    /// Stay, and ask again later.
    Wait {
        /// Why it would go to an outlet otherwise.
        reason: Reason,
    },
}

/// An advice, with what it was weighed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The step that is next.
    pub step: Step,
    /// What to do.
    pub go: Go,
    /// Everything that was weighed, in the order of the line's file.
    pub candidates: Vec<Candidate>,
}

/// Everything that an advice is made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The books.
    pub track: &'a Track,
    /// The analyzers.
    pub analyzers: &'a Analyzers,
    /// Now.
    pub now: Time,
}

/// The next module of a tube that is at `from`. What was advised before is read from the books
/// ([`Track::set_advised`]); nothing is changed.
pub fn advise(situation: &Situation<'_>, id: &TubeId, from: ModuleNo, need: &Need) -> Advice {
    let step = need.step();
    let question = cost::Question {
        situation,
        id,
        from,
        need,
    };
    let candidates: Vec<Candidate> = situation
        .track
        .line()
        .of_kind(step.kind())
        .map(|module| question.weigh(module))
        .collect();
    let tube = situation.track.tube(id);
    let go = if tube.is_some_and(|tube| tube.is_doubled) {
        to_outlet(&question, Reason::TwoPlaces)
    } else {
        let before = tube.and_then(|tube| tube.advised);
        choose(&question, &candidates, before)
    };
    Advice {
        step,
        go,
        candidates,
    }
}

/// The outlet of a tube that is not to be measured: its barcode cannot be read, nobody ordered
/// anything on it.
pub fn reject(situation: &Situation<'_>, id: &TubeId, from: ModuleNo, reason: Reason) -> Go {
    let need = Need::default();
    let question = cost::Question {
        situation,
        id,
        from,
        need: &need,
    };
    to_outlet(&question, reason)
}

fn choose(question: &cost::Question<'_>, candidates: &[Candidate], before: Option<ModuleNo>) -> Go {
    let mut open: Vec<(u64, ModuleNo)> = candidates
        .iter()
        .filter_map(|candidate| match &candidate.verdict {
            Verdict::Open(cost) => Some((cost.total_ms(), candidate.module)),
            Verdict::Closed(_) => None,
        })
        .collect();
    open.sort_unstable();
    let Some(&(best_ms, best)) = open.first() else {
        return unserved(question, candidates);
    };
    let kept = open.iter().find(|(_, module)| Some(*module) == before);
    let (module, chosen) = match (kept, open.get(1)) {
        (Some(&(cost_ms, module)), _) if module != best && !is_gain(question, cost_ms, best_ms) => {
            let behind_ms = cost_ms - best_ms;
            (module, Chosen::Kept { behind_ms })
        }
        (_, Some(&(next_ms, _))) => {
            let ahead_ms = next_ms - best_ms;
            (best, Chosen::Least { ahead_ms })
        }
        (_, None) => (best, Chosen::Only),
    };
    Go::To {
        module,
        lane: lane(question, module),
        chosen,
    }
}

/// Whether a change is worth it: two modules of equal load would otherwise send a tube to and fro.
fn is_gain(question: &cost::Question<'_>, cost_ms: u64, best_ms: u64) -> bool {
    let routing = &question.line().routing;
    let wanted = routing
        .switch_ms
        .max(cost_ms.saturating_mul(routing.switch_percent) / 100);
    cost_ms.saturating_sub(best_ms) > wanted
}

/// No candidate is open: wait for a jam to end, else an outlet.
fn unserved(question: &cost::Question<'_>, candidates: &[Candidate]) -> Go {
    let closed = |wanted: &[Closed]| {
        candidates.iter().any(
            |candidate| matches!(&candidate.verdict, Verdict::Closed(why) if wanted.contains(why)),
        )
    };
    let all = [
        Closed::Down,
        Closed::Jam,
        Closed::Full,
        Closed::Offline,
        Closed::QcFailed,
        Closed::NoReagent,
    ];
    let reason = match question.need.step() {
        Step::Analyze if closed(&all) => Reason::NoAnalyzer,
        Step::Analyze => Reason::NotOnLine,
        Step::Store => Reason::NoStorage,
        Step::Centrifuge | Step::Decap | Step::Aliquot | Step::Recap => Reason::NoModule,
    };
    let is_short = closed(&[Closed::Jam]) || closed(&[Closed::Full]);
    if is_short && question.need.waited_ms < question.line().routing.wait_max_ms {
        return Go::Wait { reason };
    }
    to_outlet(question, reason)
}

fn to_outlet(question: &cost::Question<'_>, reason: Reason) -> Go {
    let line = question.line();
    let track = question.situation.track;
    let takes = |no: &ModuleNo| line.module(*no).takes.contains(&reason);
    let is_open = |no: &ModuleNo| {
        let load = track.load(*no);
        load.condition == Condition::Up && !load.is_full(line.module(*no))
    };
    let way = |no: &ModuleNo| line.transit_ms(question.from, *no);
    // One that takes the reason, else any other with room: a full outlet must not stop the line.
    let outlets: Vec<ModuleNo> = line
        .of_kind(Kind::Outlet)
        .filter(|no| is_open(no) && way(no).is_some())
        .collect();
    let named = outlets.iter().copied().filter(takes).min_by_key(way);
    match named.or_else(|| outlets.iter().copied().min_by_key(way)) {
        Some(module) => Go::Outlet {
            module,
            lane: lane(question, module),
            reason,
        },
        None => Go::Wait { reason },
    }
}

/// The first lane of the way: a stat lane for urgent tubes and for them alone, where there is
/// another; among lanes alike the emptiest.
fn lane(question: &cost::Question<'_>, to: ModuleNo) -> Option<LaneNo> {
    let line = question.line();
    let is_stat = question.need.priority == Priority::Stat;
    line.first_edges(question.from, to)
        .map(|edge| edge.lane)
        .min_by_key(|no| {
            let is_fitting = (line.lane(*no).class == Class::Stat) == is_stat;
            let load = fill_percent(line, question.situation.track, *no);
            // A full lane is worse than one of another class.
            (load >= 100, !is_fitting, load)
        })
}

/// How full a lane is.
fn fill_percent(line: &Line, track: &Track, no: LaneNo) -> u64 {
    let capacity = u64::from(line.lane(no).capacity.max(1));
    u64::from(track.occupancy(no)) * 100 / capacity
}

/// Whether the books count the tube at that module already: waiting, or on its way.
fn is_counted(track: &Track, id: &TubeId, module: ModuleNo) -> bool {
    track.tube(id).is_some_and(|tube| match &tube.place {
        Place::Waiting { module: at, .. } => *at == module,
        Place::Between { to, .. } => *to == Some(module),
        Place::Working { .. } | Place::Done { .. } | Place::Kept { .. } | Place::Lost { .. } => {
            false
        }
    })
}
