//! The laboratory automation line: where every tube is, which queue will run over, where a tube
//! goes next.
//!
//! Events and times go in, state, findings and advice come out: no socket, store or clock, so that a
//! morning can be played in a second ([`simulate`]) by the very code that serves the line.
//!
//! | module | decides |
//! |---|---|
//! | [`model`] | what the line consists of: a file |
//! | [`state`] | where every tube is, what is overdue, what cannot be |
//! | [`forecast`] | when a queue will exceed its limit, before it does |
//! | [`route`] | the next module of a tube, and why |
//! | [`adapter`] | what a message of the line means: HL7 chapter 13, or a mapping file |
//! | [`simulate`] | a morning from a seed, with and without the advice |
//!
//! Findings, verdicts and reasons are data with a stable word ([`state::Finding::code`],
//! [`route::Closed::word`], [`model::Reason`]); whoever shows them has the sentences.

use std::{fmt, sync::Arc};

pub mod adapter;
pub mod forecast;
pub mod model;
pub mod route;
pub mod simulate;
pub mod state;

#[cfg(test)]
mod tests;

/// An instant in milliseconds, of one clock that the caller keeps to: since 1970 in UTC on a site,
/// since midnight in a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The instant `ms` milliseconds after the origin.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The instant `s` seconds after the origin.
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1_000))
    }

    /// Milliseconds since the origin.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// This instant, `ms` milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this; none when it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The barcode of a tube, as read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TubeId(Arc<str>);

/// Bytes of a barcode; no symbology on a tube has more. What is longer is no barcode.
pub const TUBE_ID_BYTES_MAX: usize = 80;

impl TubeId {
    /// The tube that a peer names; `None` where that is no barcode: empty, or too long.
    pub fn read(barcode: &str) -> Option<Self> {
        let is_barcode = (1..=TUBE_ID_BYTES_MAX).contains(&barcode.len());
        is_barcode.then(|| Self::new(barcode))
    }

    /// The tube of that barcode.
    pub fn new(barcode: &str) -> Self {
        Self(Arc::from(barcode))
    }

    /// The barcode.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TubeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for TubeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How urgent a tube is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    Stat,
    /// In its turn.
    #[default]
    Routine,
}
