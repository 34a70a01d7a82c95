//! The clock seam: the only place of this crate where a clock is read.

use std::{fmt, time::SystemTime};

use labwire_protocols::wire::Mono;
use tokio::time::Instant;

/// Tells the time, so that tests and simulations can tell another.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The monotonic time, from an origin that never changes during one run. It must run at the
    /// pace of tokio's timers, which wake the session loop.
    fn mono(&self) -> Mono;

    /// Microseconds since 1970-01-01T00:00:00Z, from the wall clock: for people, never for intervals.
    fn utc_micros(&self) -> i64;
}

/// The clock of this machine.
///
/// The monotonic half is tokio's clock, so that it stands still together with the timers when a
/// test pauses them.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn mono(&self) -> Mono {
        Mono::default().after(self.origin.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock seam itself")]
    fn utc_micros(&self) -> i64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_micros()).ok())
            .unwrap_or(0)
    }
}
