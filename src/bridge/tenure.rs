//! How long a node may act on its leases, by its own clock.
//!
//! That it writes nothing after that, the store sees to. This is about what needs no store: sending to
//! hosts and devices. A node that was paused, or is cut off from the database, stops before another may
//! begin.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use labwire_drivers::Clock;
use labwire_protocols::wire::Mono;

use crate::store::nodes::OWN;

/// One for all units of a process.
#[derive(Clone, Debug)]
pub(super) struct Tenure {
    clock: Arc<dyn Clock>,
    /// Microseconds of the clock; absent where one owner has the store for itself.
    until: Option<Arc<AtomicU64>>,
}

impl Tenure {
    /// Of a node among others, which may do nothing yet, or of an owner, which may for ever.
    pub(super) fn of(is_node: bool, clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            until: is_node.then(Arc::default),
        }
    }

    /// The database answered what was asked at `asked`.
    pub(super) fn extend(&self, asked: Mono) {
        if let Some(until) = &self.until {
            until.fetch_max(asked.after(OWN).as_micros(), Ordering::AcqRel);
        }
    }

    /// Whether anything may be sent now.
    pub(super) fn holds(&self) -> bool {
        let until = self.until.as_ref();
        until.is_none_or(|until| self.clock.mono().as_micros() < until.load(Ordering::Acquire))
    }

    /// Whether leases are to be asked for at all.
    pub(super) const fn is_of_node(&self) -> bool {
        self.until.is_some()
    }
}
