//! The clock that the store is told the time by.

use std::fmt;

use labwire_protocols::wire::Mono;

/// Tells the time, so that tests and simulations can tell another.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The monotonic time, from an origin that never changes during one run.
    fn mono(&self) -> Mono;

    /// Microseconds since 1970-01-01T00:00:00Z, from the wall clock: for people, never for intervals.
    fn utc_micros(&self) -> i64;
}
