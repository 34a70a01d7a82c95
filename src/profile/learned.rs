//! What people said of a line's codes and units beside its files, shared by everyone who reads the
//! line, so that a running bridge goes on with it at once.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

/// Mappings that the store keeps, of every line.
#[derive(Debug, Default)]
pub struct Learned {
    /// Of what is in `lines`; 0 when nothing was ever said.
    version: AtomicI64,
    lines: RwLock<BTreeMap<String, OfLine>>,
}

/// Mappings of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfLine {
    /// Instrument code = catalogue test.
    pub tests: BTreeMap<String, String>,
    /// Instrument code and unit as sent = UCUM.
    pub units: BTreeMap<(String, String), String>,
}

impl Learned {
    /// Which state of the store this is.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// Takes over what the store says at that version.
    pub fn replace(&self, version: i64, lines: BTreeMap<String, OfLine>) {
        let mut own = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        *own = lines;
        self.version.store(version, Ordering::Release);
    }

    /// The test that people gave to a code of a line.
    pub(super) fn test(&self, line: &str, code: &str) -> Option<String> {
        self.of(line, |own| own.tests.get(code).cloned())
    }

    /// The UCUM unit that people gave to a spelling.
    pub(super) fn unit(&self, line: &str, code: &str, sent: &str) -> Option<String> {
        let key = || (code.to_owned(), sent.to_owned());
        self.of(line, |own| own.units.get(&key()).cloned())
    }

    /// The codes of a line that people gave to tests, with these.
    pub(super) fn tests(&self, line: &str) -> Vec<(String, String)> {
        let pairs = |own: &OfLine| Some(own.tests.clone().into_iter().collect());
        self.of(line, pairs).unwrap_or_default()
    }

    fn of<T>(&self, line: &str, look: impl FnOnce(&OfLine) -> Option<T>) -> Option<T> {
        // Most sites never say anything here, and every result asks.
        if self.version() == 0 {
            return None;
        }
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        lines.get(line).and_then(look)
    }
}
