//! What a line tells.

use crate::track::{
    Time, TubeId,
    model::{Condition, LaneNo, ModuleNo},
};

/// One thing that happened on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something about a tube whose barcode was read.
    Tube {
        /// Which.
        tube: TubeId,
        /// Where.
        module: ModuleNo,
        /// What.
        what: What,
        /// When, by the clock of the line brought to ours.
        at: Time,
    },
    /// A tube came whose barcode cannot be read.
    Unread {
        /// Where.
        module: ModuleNo,
        /// When.
        at: Time,
    },
    /// Whether a module has a reagent for a test.
    Reagent {
        /// Which.
        module: ModuleNo,
        /// The test, by its name in the line's file.
        test: String,
        /// Whether it has one that can be used.
        is_usable: bool,
        /// When.
        at: Time,
    },
    /// The condition of a module.
    Module {
        /// Which.
        module: ModuleNo,
        /// How it is.
        condition: Condition,
        /// When.
        at: Time,
    },
}

/// What happened to a tube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Its barcode was read; it waits before the module.
    Seen {
        /// On this lane, where the line says it.
        lane: Option<LaneNo>,
    },
    /// The module began with it.
    Started,
    /// The module is done with it.
    Finished,
    /// It left.
    Left {
        /// For this module, where the line says it.
        to: Option<ModuleNo>,
        /// On this lane, where the line says it.
        lane: Option<LaneNo>,
    },
    /// It stands in a rack of a storage or an outlet.
    Kept {
        /// Rack and position, as the line writes them; may be empty. [`What::kept`] keeps it short.
        position: String,
    },
    /// It is not where it should be, or cannot be used: removed by hand, broken, unclear.
    Lost,
}

/// Characters of a rack and position that are kept: the books are in memory, and a peer that writes a
/// megabyte here must not fill it.
const POSITION_CHARS_MAX: usize = 120;

impl What {
    /// [`What::Kept`], at the place that the line names.
    pub fn kept(position: &str) -> Self {
        Self::Kept {
            position: position.chars().take(POSITION_CHARS_MAX).collect(),
        }
    }

    /// The word of a mapping file.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Seen { .. } => "seen",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Left { .. } => "left",
            Self::Kept { .. } => "kept",
            Self::Lost => "lost",
        }
    }
}
