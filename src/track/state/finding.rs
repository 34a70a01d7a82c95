//! What a person has to know.

use crate::track::{Time, TubeId, model::ModuleNo};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A barcode was read at two places, and no tube is that fast: there are two tubes.
    TwoPlaces {
        /// The barcode.
        tube: TubeId,
        /// The earlier place and time.
        here: (ModuleNo, Time),
        /// The later place and time.
        there: (ModuleNo, Time),
        /// Milliseconds that a tube needs at least between them.
        least_ms: u64,
    },
    /// A tube whose barcode cannot be read.
    Unread {
        /// Where.
        module: ModuleNo,
        /// When.
        at: Time,
    },
    /// A tube did not come to its next module in time.
    OverdueOnWay {
        /// Which.
        tube: TubeId,
        /// The module it left.
        from: ModuleNo,
        /// The module it is for, if the line said it.
        to: Option<ModuleNo>,
        /// When it was expected.
        expected: Time,
    },
    /// A tube is in a module for too long.
    OverdueInModule {
        /// Which.
        tube: TubeId,
        /// Where.
        module: ModuleNo,
        /// When it should have been done.
        expected: Time,
    },
    /// Something was told after something later: a message was late.
    OutOfOrder {
        /// Of which tube.
        tube: TubeId,
        /// Where it was.
        module: ModuleNo,
        /// When it was.
        at: Time,
    },
    /// A tube was forgotten while it was under way: not seen for too long, or too many tubes.
    Forgotten {
        /// Which.
        tube: TubeId,
        /// Where it was last.
        module: ModuleNo,
        /// When it was there.
        last: Time,
        /// Whether there were too many.
        is_limit: bool,
    },
}

impl Finding {
    /// Its word, which never changes its meaning.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TwoPlaces { .. } => "tube-in-two-places",
            Self::Unread { .. } => "tube-unread",
            Self::OverdueOnWay { .. } => "tube-overdue-on-way",
            Self::OverdueInModule { .. } => "tube-overdue-in-module",
            Self::OutOfOrder { .. } => "tube-event-out-of-order",
            Self::Forgotten { .. } => "tube-forgotten",
        }
    }
}
