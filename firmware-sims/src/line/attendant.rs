//! Who stands in front of a line: tubes go on, modules are broken and mended, the log is read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::analyzer::{Operator, Tube};

/// A tube that comes onto the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Its barcode.
    pub barcode: String,
    /// The module at which it comes.
    pub inlet: String,
    /// Where it goes by the line's own plan; empty for a tube that waits to be told.
    pub course: Vec<String>,
}

/// What goes wrong on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A module stands until it is mended.
    Jam(String),
    /// An outlet takes no more tubes until it is mended: emptied.
    Full(String),
    /// A module is switched off until it is mended.
    Off(String),
    /// The barcode of the next tube cannot be read.
    Unread,
    /// The next gate lets a tube through to the wrong analyzer.
    Gate,
    /// A tube is taken off by hand, and missed.
    Lost(String),
    /// A module has no reagent for a test until it is filled again.
    NoReagent {
        /// The module.
        module: String,
        /// The test.
        test: String,
    },
    /// The line's computer begins again: the connection goes, the tubes stand where they stood.
    Restart,
}

impl Fault {
    /// In a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Jam(_) => "jam",
            Self::Full(_) => "full",
            Self::Off(_) => "off",
            Self::Unread => "unread",
            Self::Gate => "gate",
            Self::Lost(_) => "lost",
            Self::NoReagent { .. } => "no reagent",
            Self::Restart => "restart",
        }
    }
}

/// What the line writes down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Everything said of a tube: barcode, module, what.
    pub told: Vec<(String, String, String)>,
    /// Every command: barcode, module, the answer.
    pub commands: Vec<(String, String, String)>,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Whether every tube stands where its way ends, and all is said.
    pub is_idle: bool,
    /// How often each fault came over it, by its name.
    pub faults: BTreeMap<&'static str, u64>,
}

pub(super) enum Act {
    Arrive(Arrival),
    Sight(String, String),
    Break(Fault),
    Mend(String),
    Fill(String, String),
}

/// Puts tubes on a running line; clones are the same person.
#[derive(Clone, Default)]
pub struct Attendant {
    shared: Arc<Mutex<Shared>>,
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Attendant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendant").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    acts: VecDeque<Act>,
    analyzers: BTreeMap<String, Operator>,
    log: Log,
}

impl Attendant {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, act: Act) {
        let mut shared = self.lock();
        shared.log.is_idle = false;
        shared.acts.push_back(act);
        drop(shared);
        self.wake.notify_one();
    }

    /// A tube comes.
    pub fn arrive(&self, arrival: Arrival) {
        self.act(Act::Arrive(arrival));
    }

    /// A second tube with this barcode is read at a module.
    pub fn sight(&self, barcode: &str, module: &str) {
        self.act(Act::Sight(barcode.to_owned(), module.to_owned()));
    }

    /// Something goes wrong.
    pub fn break_down(&self, fault: Fault) {
        self.act(Act::Break(fault));
    }

    /// A module works again, or was emptied.
    pub fn mend(&self, module: &str) {
        self.act(Act::Mend(module.to_owned()));
    }

    /// A module has reagent for a test again.
    pub fn fill(&self, module: &str, test: &str) {
        self.act(Act::Fill(module.to_owned(), test.to_owned()));
    }

    /// The analyzer at a module: it gets the tubes that the line brings.
    pub fn attach(&self, module: &str, analyzer: Operator) {
        self.lock().analyzers.insert(module.to_owned(), analyzer);
    }

    /// A copy of the log.
    pub fn log(&self) -> Log {
        self.lock().log.clone()
    }

    /// Looks at the log without copying it.
    pub fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.lock().log)
    }

    /// Whether nothing is asked of the line, every tube stands where its way ends, and all is said.
    pub fn is_at_rest(&self) -> bool {
        let shared = self.lock();
        shared.acts.is_empty() && (shared.log.is_idle || shared.log.told.is_empty())
    }

    /// What wakes the line; the runner waits for it.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(super) fn take(&self) -> Option<Act> {
        self.lock().acts.pop_front()
    }

    pub(super) fn write(&self, write: impl FnOnce(&mut Log)) {
        write(&mut self.lock().log);
    }

    pub(super) fn hand_over(&self, module: &str, barcode: &str) {
        let analyzer = self.lock().analyzers.get(module).cloned();
        if let Some(analyzer) = analyzer {
            analyzer.load(Tube::patient(barcode));
        }
    }
}
