//! The clock of this machine, for the store.

use labwire_drivers::{Clock as _, SystemClock};
use labwire_protocols::wire::Mono;

use crate::store::Clock;

/// Tells the store and the command line the time of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineClock(SystemClock);

impl Clock for MachineClock {
    fn mono(&self) -> Mono {
        self.0.mono()
    }

    fn utc_micros(&self) -> i64 {
        self.0.utc_micros()
    }
}
