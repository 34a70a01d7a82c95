//! Orders: what the HIS asked for.

use serde::{Deserialize, Serialize};

/// How urgent an order is; the first variant goes first everywhere.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// `S`: now.
    Stat,
    /// `A`: as soon as possible; also callback and pre-operative.
    Asap,
    /// `R` and everything else.
    #[default]
    Routine,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Stat, Self::Asap, Self::Routine];

    /// Reads HL7 TQ1-9 / ORC-7.6 / OBR-5 and ASTM O.6 codes.
    pub fn from_code(code: &str) -> Self {
        match code.trim() {
            "S" | "s" | "STAT" | "T" => Self::Stat,
            "A" | "a" | "C" | "P" => Self::Asap,
            _ => Self::Routine,
        }
    }

    /// `S`, `A` or `R`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stat => "S",
            Self::Asap => "A",
            Self::Routine => "R",
        }
    }

    /// 0 for STAT, larger for later; as stored.
    pub const fn rank(self) -> i64 {
        match self {
            Self::Stat => 0,
            Self::Asap => 1,
            Self::Routine => 2,
        }
    }

    /// The inverse of [`Priority::rank`]; anything unknown is routine.
    pub const fn from_rank(rank: i64) -> Self {
        match rank {
            0 => Self::Stat,
            1 => Self::Asap,
            _ => Self::Routine,
        }
    }
}

/// The life of one ordered item (HL7 table 0038, the subset that Labwire decides).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderStatus {
    /// Accepted, nothing measured (`SC`).
    Scheduled,
    /// Some results are there (`A`).
    Partial,
    /// Every ordered test has a posted or released result (`CM`).
    Complete,
    /// Cancelled by the HIS (`CA`).
    Cancelled,
}

impl OrderStatus {
    /// HL7 ORC-5.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scheduled => "SC",
            Self::Partial => "A",
            Self::Complete => "CM",
            Self::Cancelled => "CA",
        }
    }

    /// The inverse of [`OrderStatus::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "SC" => Some(Self::Scheduled),
            "A" => Some(Self::Partial),
            "CM" => Some(Self::Complete),
            "CA" => Some(Self::Cancelled),
            _ => None,
        }
    }
}
