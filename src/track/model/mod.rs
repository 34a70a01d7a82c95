//! What a line consists of, as its file says: modules, lanes, and the ways between modules.
//!
//! [`Line::read`] reads the file and tells every mistake at once; `config/example/line.toml` shows
//! every key.

mod check;
mod read;
mod way;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::choice::{Choice, choices};

/// A module, by its place in [`Line::modules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleNo(pub(super) usize);

/// A lane, by its place in [`Line::lanes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneNo(pub(super) usize);

choices! {
    "What a module does (`kind`)."
    Kind {
        Inlet = "inlet", "Takes tubes from racks or a bulk loader.";
        StatInlet = "stat-inlet", "Takes urgent tubes.";
        Tempus = "tempus", "Where the pneumatic tube transport ends: its first reading is the receipt.";
        Centrifuge = "centrifuge", "Spins tubes by the batch.";
        Decapper = "decapper", "Takes caps off.";
        Aliquoter = "aliquoter", "Makes secondary tubes.";
        Analyzer = "analyzer", "Measures.";
        Recapper = "recapper", "Puts caps or foil on.";
        Outlet = "outlet", "Holds tubes for a person.";
        Storage = "storage", "Keeps tubes.";
    } default Inlet

    "What a lane is for (`class`)."
    Class {
        Routine = "routine", "Tubes in their turn.";
        Stat = "stat", "Urgent tubes.";
        Return = "return", "Tubes that go back.";
        Bypass = "bypass", "Tubes that pass a module by.";
    } default Routine

    "Which way a lane runs (`direction`)."
    Direction {
        Forward = "forward", "From the inlet on.";
        Backward = "backward", "Towards the inlet.";
    } default Forward

    "In which condition a module is."
    Condition {
        Up = "up", "It works.";
        Jam = "jam", "It stands still and will go on when a person has freed it.";
        Full = "full", "It takes no more tubes until a person has emptied it.";
        Down = "down", "It is off.";
    } default Up

    "What a tube must be before an analyzer takes it (`wants`)."
    Want {
        Spun = "spun", "Centrifuged.";
        Open = "open", "Without its cap.";
    } default Spun

    "What the line is told (`commands`)."
    Commands {
        None = "none", "Nothing: advice is shown to people.";
        Transport = "transport", "Where each tube goes next (EAC^U07, `TT`).";
    } default None

    "Why a tube goes to an outlet (`takes`)."
    Reason {
        Unread = "unread", "Its barcode cannot be read.";
        TwoPlaces = "tube-in-two-places", "Two tubes have its barcode.";
        NotOnLine = "not-on-line", "No analyzer of the line is set up for what is left of its tests.";
        NoAnalyzer = "no-analyzer", "Every analyzer for what is left of its tests is closed.";
        NoModule = "no-module", "Every module that it needs before its tests is closed.";
        NoStorage = "no-storage", "No storage takes it.";
        NoOrder = "no-order", "Nobody ordered anything on it.";
    } default NoAnalyzer
}

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name in this file and in messages of the line.
    pub id: String,
    /// Other names that messages give it.
    pub also: Vec<String>,
    /// What it does.
    pub kind: Kind,
    /// Tubes an hour.
    pub rate_per_hour: u32,
    /// Tubes that are worked on together.
    pub batch: u32,
    /// Longest wait for a batch to fill, in milliseconds.
    pub batch_wait_ms: u64,
    /// The same while an urgent tube waits.
    pub stat_wait_ms: u64,
    /// How long a tube is inside, in milliseconds.
    pub dwell_ms: u64,
    /// Tubes that may wait before it; more is an excess, which [`super::forecast`] foretells.
    pub queue_max: u32,
    /// Tubes that it holds at its end (outlets and storage); `None` is no limit.
    pub capacity: Option<u32>,
    /// Tests that an analyzer is set up for.
    pub tests: BTreeSet<String>,
    /// Reasons whose tubes an outlet takes.
    pub takes: Vec<Reason>,
    /// The `[[instrument]]` of `lab.toml` that an analyzer is; empty for none.
    pub instrument: String,
    /// People put tubes on it as well, which the line does not see.
    pub fed_by_hand: bool,
    /// What a tube must be before it is taken here.
    pub wants: Vec<Want>,
}

impl Module {
    /// Milliseconds between two tubes, or two batches, at its rate.
    pub fn interval_ms(&self) -> u64 {
        u64::from(self.batch) * HOUR_MS / u64::from(self.rate_per_hour.max(1))
    }

    /// Whether a tube's way ends here.
    pub const fn is_end(&self) -> bool {
        matches!(self.kind, Kind::Outlet | Kind::Storage)
    }

    /// Whether tubes come onto the line here.
    pub const fn is_inlet(&self) -> bool {
        matches!(self.kind, Kind::Inlet | Kind::StatInlet | Kind::Tempus)
    }
}

pub(super) const HOUR_MS: u64 = 3_600_000;

/// A lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub class: Class,
    /// Which way it runs.
    pub direction: Direction,
    /// Tubes that find room on it.
    pub capacity: u32,
}

/// A way from one module to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where it begins.
    pub from: ModuleNo,
    /// Where it ends.
    pub to: ModuleNo,
    /// The lane it runs on.
    pub lane: LaneNo,
    /// How long it usually takes, in milliseconds.
    pub transit_ms: u64,
    /// No tube is faster, in milliseconds.
    pub transit_min_ms: u64,
}

impl Edge {
    /// Whether it is a way that tubes usually go on by: neither back nor past something.
    fn lane_is_forward(&self, line: &Line) -> bool {
        let lane = line.lane(self.lane);
        let is_through = matches!(lane.class, Class::Routine | Class::Stat);
        is_through && lane.direction == Direction::Forward
    }
}

/// `[line]`: what holds for the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tubes that are remembered at once.
    pub tubes_max: usize,
    /// A tube that was not seen for so long is forgotten, in milliseconds.
    pub forget_after_ms: u64,
    /// A person needs at least so long to carry a tube to another place, in milliseconds.
    pub by_hand_ms: u64,
    /// A tube is overdue after so many per cent of the time that it should take.
    pub overdue_percent: u64,
    /// What the line is told.
    pub commands: Commands,
}

/// `[routing]`: how the next module is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// An advice is changed only for a gain of so many milliseconds …
    pub switch_ms: u64,
    /// … and of so many per cent of its cost.
    pub switch_percent: u64,
    /// What a control that is due costs a tube, in milliseconds.
    pub qc_due_ms: u64,
    /// How long a jam usually lasts, in milliseconds.
    pub jam_ms: u64,
    /// A tube waits so long for a jam to end before it goes to an outlet, in milliseconds.
    pub wait_max_ms: u64,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name, for people.
    pub name: String,
    /// What holds for the whole of it.
    pub limits: Limits,
    /// How the next module is chosen.
    pub routing: Routing,
    /// Lanes, in the order written.
    pub lanes: Vec<Lane>,
    /// Modules, in the order written.
    pub modules: Vec<Module>,
    /// Ways, in the order written.
    pub edges: Vec<Edge>,
    /// `[notify]`: what a notification of the line says of the module that sent it.
    pub notify: BTreeMap<String, Condition>,
    ways: way::Ways,
}

impl Line {
    /// The module.
    ///
    /// # Panics
    /// When `no` is of another line, which is a mistake of the program.
    pub fn module(&self, no: ModuleNo) -> &Module {
        &self.modules[no.0]
    }

    /// The lane.
    ///
    /// # Panics
    /// When `no` is of another line, which is a mistake of the program.
    pub fn lane(&self, no: LaneNo) -> &Lane {
        &self.lanes[no.0]
    }

    /// The module of that name, or of that other name.
    pub fn module_named(&self, name: &str) -> Option<ModuleNo> {
        let named = |module: &Module| module.id == name || module.also.iter().any(|x| x == name);
        self.modules.iter().position(named).map(ModuleNo)
    }

    /// The lane of that name.
    pub fn lane_named(&self, name: &str) -> Option<LaneNo> {
        self.lanes
            .iter()
            .position(|lane| lane.id == name)
            .map(LaneNo)
    }

    /// Every module.
    pub fn all(&self) -> impl Iterator<Item = (ModuleNo, &Module)> {
        let numbered = self.modules.iter().enumerate();
        numbered.map(|(no, module)| (ModuleNo(no), module))
    }

    /// Every module of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = ModuleNo> {
        let all = self.all();
        all.filter(move |(_, module)| module.kind == kind)
            .map(|(no, _)| no)
    }

    /// Usual milliseconds from one module to another, over whatever lies between; `None` where no
    /// way leads there.
    pub fn transit_ms(&self, from: ModuleNo, to: ModuleNo) -> Option<u64> {
        self.ways.usual(from, to)
    }

    /// Milliseconds below which no tube gets from one module to another, on the line or by hand.
    pub fn apart_ms(&self, from: ModuleNo, to: ModuleNo) -> u64 {
        if from == to {
            return 0;
        }
        let by_lane = self.ways.least(from, to);
        by_lane.map_or(self.limits.by_hand_ms, |least| {
            least.min(self.limits.by_hand_ms)
        })
    }

    /// The ways that a tube may take first to get from one module to another in the usual time:
    /// several where lanes run beside each other.
    pub fn first_edges(&self, from: ModuleNo, to: ModuleNo) -> impl Iterator<Item = &Edge> {
        let total = self.transit_ms(from, to);
        let leads = move |edge: &&Edge| {
            let rest = self.transit_ms(edge.to, to);
            let over = rest.map(|rest| edge.transit_ms.saturating_add(rest));
            edge.from == from && over.is_some() && over == total
        };
        self.edges.iter().filter(leads)
    }

    /// Modules that tubes of a module go to next when all they need is one thing: where every way
    /// from it leads to one kind (outlets, storage and its own kind aside), those of that kind.
    pub fn feeds(&self, from: ModuleNo) -> Vec<ModuleNo> {
        let own = self.module(from).kind;
        let mut next: Vec<ModuleNo> = self
            .edges
            .iter()
            .filter(|edge| edge.from == from && edge.lane_is_forward(self))
            .map(|edge| edge.to)
            .filter(|to| !self.module(*to).is_end() && self.module(*to).kind != own)
            .collect();
        next.sort_unstable();
        next.dedup();
        let kind = next.first().map(|no| self.module(*no).kind);
        if next.iter().any(|no| Some(self.module(*no).kind) != kind) {
            next.clear();
        }
        next
    }

    /// The longest usual way that leaves a module in one step; 0 where none does.
    pub fn longest_edge_ms(&self, from: ModuleNo) -> u64 {
        let out = self.edges.iter().filter(|edge| edge.from == from);
        out.map(|edge| edge.transit_ms).max().unwrap_or_default()
    }
}

impl Reason {
    /// The word that files and people use.
    pub fn code(self) -> &'static str {
        self.word()
    }
}
