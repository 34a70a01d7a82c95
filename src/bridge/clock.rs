//! One clock for everything: the drivers' clock, told to the store.

use std::sync::Arc;

use labwire_protocols::wire::Mono;

/// The drivers' clock as the store wants it.
#[derive(Debug)]
pub(super) struct StoreClock(pub(super) Arc<dyn labwire_drivers::Clock>);

impl crate::store::Clock for StoreClock {
    fn mono(&self) -> Mono {
        self.0.mono()
    }

    fn utc_micros(&self) -> i64 {
        self.0.utc_micros()
    }
}
