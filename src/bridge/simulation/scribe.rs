//! What happened, in a few last words and one number, and what was wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::clock::SimClock;

/// Events kept to be shown with a failure.
const LAST_MAX: usize = 60;
/// Findings kept: the first ones say most.
const FINDINGS_MAX: usize = 20;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The rule that was broken.
    pub(super) rule: &'static str,
    pub(super) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.rule, self.what)
    }
}

/// Writes down what happens.
#[derive(Debug)]
pub(super) struct Scribe {
    clock: Arc<SimClock>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Over every event and the time of each: two runs with the same number did the same.
    hash: u64,
    last: VecDeque<String>,
    counts: BTreeMap<&'static str, u64>,
    findings: Vec<Finding>,
    /// What had happened when the first of them was found.
    before: Vec<String>,
    /// Its name differs from run to run.
    folder: String,
    /// What may stand in no log.
    secrets: Vec<String>,
}

impl Scribe {
    pub(super) fn new(clock: Arc<SimClock>) -> Self {
        Self {
            clock,
            book: Mutex::default(),
        }
    }

    /// The clock by which it writes.
    pub(super) fn clock(&self) -> Arc<SimClock> {
        Arc::clone(&self.clock)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(super) fn note(&self, kind: &'static str, what: impl fmt::Display) {
        let micros = self.clock.micros();
        let text = format!(
            "{:>10}.{:06} {kind}: {what}",
            micros / 1_000_000,
            micros % 1_000_000
        );
        let mut book = self.book();
        book.hash = hash(book.hash, text.as_bytes());
        *book.counts.entry(kind).or_default() += 1;
        if book.last.len() == LAST_MAX {
            book.last.pop_front();
        }
        book.last.push_back(text);
    }

    /// Something is wrong.
    pub(super) fn found(&self, rule: &'static str, what: impl fmt::Display) {
        self.note("FOUND", format_args!("[{rule}] {what}"));
        let mut book = self.book();
        if book.findings.is_empty() {
            book.before = book.last.iter().cloned().collect();
        }
        if book.findings.len() < FINDINGS_MAX {
            let what = what.to_string();
            book.findings.push(Finding { rule, what });
        }
    }

    /// Where the store is, which no line of the run says.
    pub(super) fn is_in(&self, folder: &Path) {
        self.book().folder = folder.display().to_string();
    }

    /// From now on this may stand in no log.
    pub(super) fn hide(&self, secret: &str) {
        self.book().secrets.push(secret.to_owned());
    }

    pub(super) fn has_found(&self) -> bool {
        !self.book().findings.is_empty()
    }

    /// The number of the run, its counts, its last events and its findings.
    pub(super) fn end(&self) -> Told {
        let book = self.book();
        Told {
            hash: book.hash,
            counts: book.counts.clone(),
            before: book.before.clone(),
            last: book.last.iter().cloned().collect(),
            findings: book.findings.clone(),
        }
    }

    fn logged(&self, line: &str) {
        let secret = {
            let book = self.book();
            let mut secrets = book.secrets.iter();
            secrets.find(|one| line.contains(one.as_str())).cloned()
        };
        if let Some(secret) = secret {
            self.found(
                "nothing patient-like in a log",
                format_args!("{secret} in: {line}"),
            );
        }
        let folder = self.book().folder.clone();
        if folder.is_empty() || !line.contains(&folder) {
            return self.note("log", line);
        }
        self.note("log", line.replace(&folder, "…"));
    }
}

/// What is left of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) hash: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) before: Vec<String>,
    pub(super) last: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// FNV-1a, going on from an earlier number.
fn hash(from: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(from ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        })
}

/// The log of a simulation: every event of every level goes to the scribe.
pub(super) struct Log(pub(super) Arc<Scribe>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("labwire")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.logged(&line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a String takes it");
    }
}
