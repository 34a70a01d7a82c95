//! One tube: where it is, and where it was.

use std::collections::VecDeque;

use super::What;
use crate::track::{
    Priority, Time,
    model::{LaneNo, ModuleNo},
};

/// Where a tube is. It follows from the last thing that was told of it and from nothing else, so
/// that events in any order end in the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before a module.
    Waiting {
        /// Which.
        module: ModuleNo,
        /// On this lane.
        lane: Option<LaneNo>,
    },
    /// In a module.
    Working {
        /// Which.
        module: ModuleNo,
    },
    /// At a module that is done with it.
    Done {
        /// Which.
        module: ModuleNo,
    },
    /// On a lane.
    Between {
        /// The module that it left.
        from: ModuleNo,
        /// The module that it is for.
        to: Option<ModuleNo>,
        /// Where.
        lane: Option<LaneNo>,
        /// When it should be there.
        expected: Time,
    },
    /// In an outlet or a storage.
    Kept {
        /// Which.
        module: ModuleNo,
        /// Rack and position, as the line writes them.
        position: String,
    },
    /// Last seen here; where it is, nobody says.
    Lost {
        /// Where it was missed.
        module: ModuleNo,
    },
}

impl Place {
    /// The module at which it is, or which it left last.
    pub const fn module(&self) -> ModuleNo {
        match self {
            Self::Waiting { module, .. }
            | Self::Working { module }
            | Self::Done { module }
            | Self::Kept { module, .. }
            | Self::Lost { module } => *module,
            Self::Between { from, .. } => *from,
        }
    }

    /// The lane it is on.
    pub const fn lane(&self) -> Option<LaneNo> {
        match self {
            Self::Waiting { lane, .. } | Self::Between { lane, .. } => *lane,
            Self::Working { .. } | Self::Done { .. } | Self::Kept { .. } | Self::Lost { .. } => {
                None
            }
        }
    }

    /// Whether nothing more is expected of it.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Kept { .. } | Self::Lost { .. })
    }
}

/// One step of a tube's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// Where.
    pub module: ModuleNo,
    /// What.
    pub what: What,
}

/// A tube on the line.
#[derive(Clone, Debug)]
pub struct Tube {
    /// Where it is.
    pub place: Place,
    /// How urgent it is.
    pub priority: Priority,
    /// Another tube seems to have the same barcode.
    pub is_doubled: bool,
    /// What was last advised.
    pub advised: Option<ModuleNo>,
    /// Where and when it came onto the line, as far as was told: its receipt in the laboratory. A
    /// pneumatic tube tells nothing when it is sent, so this is the first that is known of it.
    pub receipt: (ModuleNo, Time),
    pub(super) steps: VecDeque<Step>,
    pub(super) dropped: u32,
    pub(super) is_told_overdue: bool,
}

/// Steps that are remembered of one tube: thirty modules with two steps each. Older ones go.
pub const STEPS_MAX: usize = 64;

impl Tube {
    /// Its steps, the oldest first.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> + ExactSizeIterator {
        self.steps.iter()
    }

    /// Whether it was told to be overdue, and has not come since.
    pub const fn is_overdue(&self) -> bool {
        self.is_told_overdue
    }

    /// Steps that were older than the [`STEPS_MAX`] remembered.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// When it was last heard of.
    pub fn last(&self) -> Time {
        self.steps.back().map(|step| step.at).unwrap_or_default()
    }

    /// How long each step lasted in milliseconds, the present one up to `now`.
    pub fn spans(&self, now: Time) -> impl Iterator<Item = (&Step, u64)> {
        let ends = self.steps.iter().skip(1).map(|step| step.at).chain([now]);
        self.steps
            .iter()
            .zip(ends)
            .map(|(step, end)| (step, end.since(step.at)))
    }

    /// Puts a step where its time belongs; behind those of the same time.
    pub(super) fn insert(&mut self, step: Step) -> usize {
        if step.at < self.receipt.1 {
            self.receipt = (step.module, step.at);
        }
        let at = self.steps.partition_point(|known| known.at <= step.at);
        self.steps.insert(at, step);
        if self.steps.len() > STEPS_MAX {
            self.steps.pop_front();
            self.dropped = self.dropped.saturating_add(1);
            return at.saturating_sub(1);
        }
        at
    }
}
