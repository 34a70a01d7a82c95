//! IHE LAW, the laboratory analytical workflow: what an analyzer and an analyzer manager say to
//! each other in HL7 2.5.1 with some elements of later versions.
//!
//! | transaction | from the analyzer | from the analyzer manager |
//! |---|---|---|
//! | LAB-27, a query for work | [`Query`] QBP^Q11 | [`query::build_reply`] RSP^K11 |
//! | LAB-28, work order steps | [`order_reply::Reply`] ORL^O34 | [`order::build`] OML^O33 |
//! | LAB-29, status and results | [`StatusChange`] OUL^R22 | [`result::build_ack`] ACK^R22 |
//!
//! A work order step (AWOS) is one OBR on one specimen for one analyzer; its number, OBR-2, is the
//! manager's and is used once. The answer to a query carries no work: that follows as LAB-28 of its
//! own, and when there is none, as [`order::build_no_work`].
//!
//! Readers take segments by position and give back every one of them: what the profile does not
//! know, and what stands where it has no place for it, is kept where it stood and noted. The side
//! of the analyzer is in [`analyzer`].

use thiserror::Error;

use super::{
    ack::{ErrLocation, ErrSegment, Outcome},
    build::{BuildError, SegmentWriter},
    views::Draft,
};

pub mod analyzer;
pub mod envelope;
pub mod notes;
pub mod observation;
pub mod order;
pub mod order_reply;
pub mod query;
pub mod result;
pub mod tree;

pub use envelope::Envelope;
pub use observation::{Class, Observation, Run};
pub use query::Query;
pub use result::StatusChange;
pub use tree::{PatientGroup, SpecimenGroup, Step, StepNumber, Tree};

/// The three transactions of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// LAB-27: the analyzer asks what is to be done.
    Query,
    /// LAB-28: the manager says it.
    Broadcast,
    /// LAB-29: the analyzer says what became of it.
    StatusChange,
}

impl Transaction {
    /// MSH-21 of its messages.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Query => "LAB-27^IHE",
            Self::Broadcast => "LAB-28^IHE",
            Self::StatusChange => "LAB-29^IHE",
        }
    }

    /// What MSH-21 of its messages begins with, vendors' own forms included (`LAB-27R^ROCHE`).
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Query => "LAB-27",
            Self::Broadcast => "LAB-28",
            Self::StatusChange => "LAB-29",
        }
    }
}

/// Something that keeps a message of the analyzer from being carried out, with the words of the
/// answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, listed in `CLAUSES-law.md`.
    pub code: &'static str,
    /// Whether the answer is AE or AR.
    pub outcome: Outcome,
    /// What its ERR says.
    pub error: ErrSegment,
}

impl Problem {
    fn new(
        code: &'static str,
        outcome: Outcome,
        condition: u16,
        at: (&'static str, usize, usize),
    ) -> Self {
        let (segment, field, component) = at;
        let location = ErrLocation {
            segment,
            occurrence: 1,
            field,
            component,
        };
        Self {
            code,
            outcome,
            error: ErrSegment {
                location,
                code: condition,
                ..ErrSegment::default()
            },
        }
    }
}

/// Why a message could not be written; always a fault of the caller. Nothing is written in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Neither a specimen id nor a container id: the analyzer could not find the tube.
    #[error("LAW-0901 write an order: a specimen has neither SPM-2 nor SAC-3")]
    NoSpecimen,
    /// A specimen without a work order step says nothing; the answer "no work" is a message of
    /// its own.
    #[error("LAW-0902 write an order: a specimen has no work order step")]
    NoStep,
    /// A step without a number could never be answered.
    #[error("LAW-0903 write an order: a work order step has no number")]
    NoNumber,
    /// A step without a service orders nothing.
    #[error("LAW-0904 write an order: a work order step has no service code")]
    NoService,
    /// A number stands for one step for ever; analyzers refuse it the second time.
    #[error("LAW-0905 write an order: two work order steps have one number")]
    SameNumber,
    /// A required field of a segment has no value.
    #[error("LAW-0906 write a message: {0}-{1} is required and has no value")]
    FieldMissing(&'static str, usize),
    /// The query does not say what it asks for.
    #[error("LAW-0907 write the answer to a query: the query cannot be answered with work")]
    NotAnswerable,
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl WriteError {
    /// The stable code, listed in `CLAUSES-law.md`, or of [`BuildError`] in `CLAUSES-hl7.md`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSpecimen => "LAW-0901",
            Self::NoStep => "LAW-0902",
            Self::NoNumber => "LAW-0903",
            Self::NoService => "LAW-0904",
            Self::SameNumber => "LAW-0905",
            Self::FieldMissing(..) => "LAW-0906",
            Self::NotAnswerable => "LAW-0907",
            Self::Build(BuildError::NoSuchField) => "HL7-0901",
            Self::Build(BuildError::TooManyComponents) => "HL7-0902",
            Self::Build(BuildError::TooLong) => "HL7-0903",
            Self::Build(BuildError::BadSegment) => "HL7-0904",
        }
    }
}

/// The segment of a draft that has all its required fields.
fn complete<D: Draft>(draft: &D) -> Result<SegmentWriter, WriteError> {
    match draft.missing() {
        Some(field) => Err(WriteError::FieldMissing(D::NAME, field)),
        None => Ok(draft.writer().clone()),
    }
}

#[cfg(test)]
mod clauses_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod result_tests;
#[cfg(test)]
mod transcripts;
