//! Laboratory automation: what a track and its modules, the equipment beside it and whoever runs
//! them say to each other (HL7 v2.4 to 2.6, chapter 13).
//!
//! | event | message | says |
//! |---|---|---|
//! | U01, U02 | ESU, ESR | in which state an equipment is; tell me |
//! | U03, U04 | SSU, SSR | where a container is, and what was done to it; tell me |
//! | U05, U06, U14 | INU, INR | what is on board; tell me |
//! | U07, U08 | EAC, EAR | do this; what became of it |
//! | U09 | EAN | this happened |
//! | U10, U11 | TCU, TCR | how tests are set up; tell me |
//! | U12, U13 | LSU, LSR | log and service entries; tell me |
//!
//! Messages are symmetrical, and the chapter has no query for orders: they are pushed, or sent when
//! a container is seen. [`AutomationMessage::read`] reads all of them, [`mod@write`] writes them,
//! [`reply`] acknowledges them; [`lifecycle`] says what the status of a container means.
//!
//! Segments are taken by position and cut into slices without gaps, so that none is lost; what the
//! chapter does not know is kept where it stood and noted.

use thiserror::Error;

use crate::hl7::build::BuildError;

pub mod event;
pub mod lifecycle;
pub mod message;
pub mod notes;
pub mod reply;
pub mod segments;
pub mod write;

pub use event::{Event, Version};
pub use message::{AutomationMessage, Body, Group, Item};

/// Why a message could not be written; always a fault of the caller. Nothing is written in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A required field of a segment has no value.
    #[error("AUT-0901 write a message: {0}-{1} is required and has no value")]
    FieldMissing(&'static str, usize),
    /// The message wants at least one of what it is about.
    #[error("AUT-0902 write a message: it says nothing")]
    NothingToSay,
    /// The version has no such segment or event; leaving it out would say something else.
    #[error("AUT-0903 write a message: this version of HL7 has no {0}")]
    NotInVersion(&'static str),
    /// A container without an id, which nobody could find.
    #[error("AUT-0904 write a message: a container has no id")]
    NoContainer,
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl WriteError {
    /// The stable code, listed in `CLAUSES-law.md`, or of [`BuildError`] in `CLAUSES-hl7.md`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::FieldMissing(..) => "AUT-0901",
            Self::NothingToSay => "AUT-0902",
            Self::NotInVersion(_) => "AUT-0903",
            Self::NoContainer => "AUT-0904",
            Self::Build(BuildError::NoSuchField) => "HL7-0901",
            Self::Build(BuildError::TooManyComponents) => "HL7-0902",
            Self::Build(BuildError::TooLong) => "HL7-0903",
            Self::Build(BuildError::BadSegment) => "HL7-0904",
        }
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod write_tests;
