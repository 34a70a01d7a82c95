//! The time of a simulation: it passes only while everybody waits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, ThreadId},
};

use labwire_drivers::Clock;
use labwire_protocols::wire::Mono;
use tokio::time::Instant;

/// 2026-03-10T09:00:00+07:00, microseconds UTC.
const MORNING: i64 = 1_773_108_000_000_000;

/// The clock of the bridge. The thread of the store sees the instant at which it was asked.
#[derive(Debug)]
pub(super) struct SimClock {
    start: Instant,
    thread: ThreadId,
    micros: AtomicU64,
}

impl SimClock {
    /// A clock that starts now, on the thread of the simulation.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            thread: thread::current().id(),
            micros: AtomicU64::new(0),
        }
    }

    /// Microseconds since the start.
    pub(super) fn micros(&self) -> u64 {
        if thread::current().id() == self.thread {
            let passed = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.micros.store(passed, Ordering::Relaxed);
        }
        self.micros.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn mono(&self) -> Mono {
        Mono::from_micros(self.micros())
    }

    fn utc_micros(&self) -> i64 {
        MORNING + i64::try_from(self.micros()).unwrap_or(0)
    }
}
