//! Whether this process is well: for systemd, for whoever asks over HTTP, for the log.
//!
//! Two questions that are never mixed, because their remedies differ:
//!
//! - *Live*: everything with work in hand gets on with it ([`Vitals::stuck`]). What does not is mended by
//!   a restart, so systemd is told of life only while nothing is stuck ([`heart`]). A full disk and a
//!   database server that is away are no such thing: the writer gets an error, which is progress.
//! - *Ready*: results are taken now ([`Vitals::lacks`]): the store writes, the lines are open. What is
//!   lacking a person mends, or time.

mod beat;
pub mod heart;
pub mod notify;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_drivers::{LineHandle, LineStatus, Phase};
use labwire_protocols::wire::Mono;

use crate::store::{Clock, Db, Store, StoreError, Turn, journal};

pub use self::beat::Beat;

/// How long something may have the same piece of work in hand until it is taken for stuck, where
/// nobody says otherwise. The longest that is not: a server of PostgreSQL that is given up after 30 s
/// without an answer, and connecting to it again.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A probe writes so often that the store writes.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);

/// A store that has not written a probe for so long does not write.
const PROBE_OLD: Duration = Duration::from_secs(45);

/// What the probe writes: the time, so that every probe changes the file.
const PROBE_KEY: &str = "probed_at";

/// Something that has to get on with its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Organ {
    /// The thread that commits.
    Writer,
    /// The tasks of lines, couriers and console.
    Runtime,
    /// A worker that reads messages.
    Parser(usize),
}

impl fmt::Display for Organ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writer => f.write_str("the writer of the store"),
            Self::Runtime => f.write_str("the runtime of the lines"),
            Self::Parser(number) => write!(f, "parser worker {number}"),
        }
    }
}

/// Why results are not taken, or not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The store does not write; the code says why.
    Store(&'static str),
    /// The store has not been seen to write for some time, and gives no reason.
    Silent,
    /// A line's port is not open.
    Line(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(code) => write!(f, "the store does not write ({code})"),
            Self::Silent => f.write_str("the store does not answer"),
            Self::Line(line) => write!(f, "line {line} is not open"),
        }
    }
}

/// How far something was when it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Seen {
    steps: u64,
    /// Since when it has been there, with work in hand.
    since: Mono,
}

#[derive(Debug)]
struct State {
    stuck_after: Duration,
    seen: BTreeMap<Organ, Seen>,
    /// When the last probe was written, where somebody probes.
    probed: Option<Mono>,
}

/// The lines that are open in this process.
pub trait Lines: fmt::Debug + Send + Sync {
    /// How each of them stands.
    fn statuses(&self) -> Vec<LineStatus>;
}

impl Lines for Vec<LineHandle> {
    fn statuses(&self) -> Vec<LineStatus> {
        self.iter().map(LineHandle::status).collect()
    }
}

/// The vital signs of a bridge at work.
#[derive(Debug)]
pub struct Vitals {
    store: Store,
    lines: Arc<dyn Lines>,
    workers: Vec<Arc<Beat>>,
    runtime: Arc<Beat>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Vitals {
    /// Those of a bridge with these lines, whose parser beats so.
    pub fn new(
        store: Store,
        lines: Arc<dyn Lines>,
        workers: Vec<Arc<Beat>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            lines,
            workers,
            runtime: Arc::default(),
            clock,
            state: Mutex::new(State {
                stuck_after: STUCK_AFTER,
                seen: BTreeMap::new(),
                probed: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values: nothing can be half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long something may have one piece of work in hand.
    pub fn set_stuck_after(&self, limit: Duration) {
        self.state().stuck_after = limit;
    }

    /// What has had the same piece of work in hand for too long, or has ended and should not have.
    /// Compares with what was seen before, so somebody has to look now and then.
    pub fn stuck(&self) -> Vec<Organ> {
        let now = self.clock.mono();
        let mut state = self.state();
        let limit = state.stuck_after;
        let mut stuck = Vec::new();
        for (organ, steps, is_busy, is_gone) in self.organs() {
            let fresh = Seen { steps, since: now };
            let seen = state.seen.entry(organ).or_insert(fresh);
            if !is_busy || seen.steps != steps {
                *seen = fresh;
            }
            if is_gone || now.since(seen.since) >= limit {
                stuck.push(organ);
            }
        }
        stuck
    }

    /// Each with its steps, whether it has work in hand, and whether it has ended.
    fn organs(&self) -> impl Iterator<Item = (Organ, u64, bool, bool)> + '_ {
        let health = self.store.health();
        let waits = health.waiting.iter().any(|waiting| *waiting > 0);
        let writer = (
            Organ::Writer,
            // A group that failed is progress too: whoever waited was told so.
            health.commits.wrapping_add(health.failures),
            health.is_serving || waits,
            false,
        );
        let of = |organ, beat: &Beat| (organ, beat.steps(), beat.is_busy(), beat.is_gone());
        let workers = self.workers.iter().enumerate();
        [writer, of(Organ::Runtime, &self.runtime)]
            .into_iter()
            .chain(workers.map(move |(number, beat)| of(Organ::Parser(number), beat)))
    }

    /// What is lacking for taking results; nothing when all is as it should be.
    pub fn lacks(&self) -> Vec<Lack> {
        let lines = self.lines.statuses().into_iter();
        let closed = lines.filter(|line| !is_open(line));
        let of_lines = closed.map(|line| Lack::Line(line.id));
        self.lack_of_store().into_iter().chain(of_lines).collect()
    }

    /// Whether the store writes; `None` when it does.
    pub fn lack_of_store(&self) -> Option<Lack> {
        if let Some(error) = self.store.health().failing {
            return Some(Lack::Store(error.code()));
        }
        let probed = self.state().probed?;
        let is_old = self.clock.mono().since(probed) >= PROBE_OLD;
        is_old.then_some(Lack::Silent)
    }

    /// Writes to the store, to see whether it can be written.
    ///
    /// # Errors
    /// What the store says.
    pub async fn probe(&self) -> Result<(), StoreError> {
        probe(&self.store, self.clock.utc_micros()).await?;
        self.state().probed = Some(self.clock.mono());
        Ok(())
    }

    /// One line for whoever asks systemd how the service is.
    pub fn told(&self) -> String {
        let lines = self.lines.statuses();
        let is_connected = |line: &&LineStatus| line.phase == Phase::Connected;
        let connected = lines.iter().filter(is_connected).count();
        let mut text = format!("{} lines, {connected} connected", lines.len());
        let lacks = self.lacks();
        for lack in lacks.iter().take(LACKS_TOLD_MAX) {
            text.push_str(&format!("; {lack}"));
        }
        if let Some(more @ 1..) = lacks.len().checked_sub(LACKS_TOLD_MAX) {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }
}

/// Lacks that one line names.
const LACKS_TOLD_MAX: usize = 4;

/// Writes the time to the store.
async fn probe(store: &Store, now: i64) -> Result<(), StoreError> {
    let work = move |db: &mut dyn Db| journal::set_meta(db, PROBE_KEY, &now.to_string());
    store.transact(Turn::Background, work).await
}

/// Whether a line does its part: a peer that is dialled and away is the peer's matter.
fn is_open(line: &LineStatus) -> bool {
    match line.phase {
        Phase::Listening | Phase::Connected => true,
        Phase::Retrying => {
            line.endpoint.starts_with("tcp://") || line.endpoint.starts_with("tls://")
        }
        Phase::Opening | Phase::Stopped => false,
    }
}

#[cfg(test)]
mod tests;
