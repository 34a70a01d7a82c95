//! The life of a queue row, as one table of transitions.

use serde::{Deserialize, Serialize};

/// Where a queued message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueState {
    /// Not yet tried, or to be tried again at its time.
    Waiting,
    /// A worker holds its lease and may have sent it.
    Leased,
    /// The receiver acknowledged it.
    Delivered,
    /// The receiver refused it for good; a person decides.
    SetAside,
    /// A named person gave it up, with a reason.
    Discarded,
    /// Not worth sending any more, before it was ever tried: a later message says everything.
    Superseded,
}

/// What happens to a queued message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueEvent {
    /// A worker takes it.
    Lease,
    /// The lease ran out or its owner is dead.
    LeaseLost,
    /// Acknowledged.
    Accepted,
    /// Not now: no answer, a cut line, a temporary refusal.
    Deferred,
    /// Refused for good.
    Refused,
    /// A person asks to try again.
    Retry,
    /// A person gives it up.
    Discard,
    /// Replaced before the first try.
    Supersede,
}

impl QueueState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Waiting,
        Self::Leased,
        Self::Delivered,
        Self::SetAside,
        Self::Discarded,
        Self::Superseded,
    ];

    /// The state after `event`, or `None` where that event may not happen.
    pub const fn on(self, event: QueueEvent) -> Option<Self> {
        use QueueEvent as E;
        match (self, event) {
            (Self::Waiting, E::Lease) => Some(Self::Leased),
            (Self::Waiting, E::Supersede) => Some(Self::Superseded),
            (Self::Waiting | Self::SetAside, E::Discard) => Some(Self::Discarded),
            (Self::Leased, E::LeaseLost | E::Deferred) => Some(Self::Waiting),
            (Self::Leased, E::Accepted) => Some(Self::Delivered),
            (Self::Leased, E::Refused) => Some(Self::SetAside),
            (Self::Waiting | Self::SetAside, E::Retry) => Some(Self::Waiting),
            _ => None,
        }
    }

    /// The name stored and shown.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Delivered => "delivered",
            Self::SetAside => "set-aside",
            Self::Discarded => "discarded",
            Self::Superseded => "superseded",
        }
    }

    /// The inverse of [`QueueState::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.code() == code)
    }
}

impl QueueEvent {
    /// Every event.
    pub const ALL: &'static [Self] = &[
        Self::Lease,
        Self::LeaseLost,
        Self::Accepted,
        Self::Deferred,
        Self::Refused,
        Self::Retry,
        Self::Discard,
        Self::Supersede,
    ];
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_cell_of_the_queue_table_is_frozen() {
        let mut table = String::new();
        for state in QueueState::ALL {
            for event in QueueEvent::ALL {
                let next = state.on(*event).map_or("-", QueueState::code);
                writeln!(table, "{:<11} {event:<10?} {next}", state.code()).expect("to a string");
            }
        }
        insta::assert_snapshot!(table);
    }
}
