//! HL7 v2 (2.3.1, 2.4, 2.5.1, 2.6) as the laboratory uses it: reading without copying, writing what
//! cannot be invalid, and the typed messages between a hospital, an analyzer and us.
//!
//! Reading starts at [`header::peek`] on bytes (which character set?), goes through the caller's
//! decoder to `&str`, and then [`Message::parse`]. Everything read borrows from that text; nothing
//! is decoded, unescaped or trimmed until asked, and every accessor has a `raw` form that gives the
//! bytes as sent.

use thiserror::Error;

pub mod ack;
pub mod adt;
pub mod batch;
pub mod build;
pub mod charset;
pub mod escape;
pub mod header;
pub mod law;
pub mod material;
pub mod message;
pub mod mindray;
pub mod observation;
pub mod order;
pub mod order_reply;
pub mod path;
pub mod segment;
pub mod separators;
pub mod tables;
pub mod time;
pub mod types;
pub mod views;

pub use message::Message;
pub use path::Path;
pub use segment::{Component, Field, FieldState, Repeat, Segment};
pub use separators::Separators;

/// Longest message read: histograms and scattergrams of haematology analyzers reach several MB.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most segments in a message: a flow cytometry ORU has some 2,000 OBX; ten times that is a fault.
pub const SEGMENTS_MAX: usize = 20_000;
/// Most fields in a segment: the widest standard one (PV1) has 54; Z segments get a wide margin.
pub const FIELDS_MAX: usize = 1_000;
/// Most repeats of one field that a typed reader collects (PID-3 has a handful).
pub const REPEATS_MAX: usize = 1_000;
/// Most components of one repeat that a typed reader or builder handles (XPN has 15).
pub const COMPONENTS_MAX: usize = 200;

/// Why a text is no HL7 message at all, or not one of the kind a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// It does not begin with `MSH`.
    #[error("HL7-0001 read a message: it does not begin with MSH")]
    NoHeader,
    /// MSH-1 or MSH-2 is missing, too short, too long, or names a character twice.
    #[error("HL7-0002 read MSH-1 and MSH-2: they do not name four distinct delimiters")]
    BadSeparators,
    /// More than [`MESSAGE_BYTES_MAX`].
    #[error("HL7-0003 read a message: longer than the limit")]
    TooLong,
    /// More than [`SEGMENTS_MAX`].
    #[error("HL7-0004 read a message: more segments than the limit")]
    TooManySegments,
    /// More than [`FIELDS_MAX`] in one segment.
    #[error("HL7-0005 read a segment: more fields than the limit")]
    TooManyFields,
    /// A typed reader was given another message type.
    #[error("HL7-0006 read a typed message: MSH-9 names another type")]
    WrongType,
    /// A segment without which the message means nothing is missing; its name.
    #[error("HL7-0007 read a typed message: segment {0} is missing")]
    SegmentMissing(&'static str),
}

impl ParseError {
    /// The stable code, listed in `CLAUSES-hl7.md`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoHeader => "HL7-0001",
            Self::BadSeparators => "HL7-0002",
            Self::TooLong => "HL7-0003",
            Self::TooManySegments => "HL7-0004",
            Self::TooManyFields => "HL7-0005",
            Self::WrongType => "HL7-0006",
            Self::SegmentMissing(_) => "HL7-0007",
        }
    }
}

#[cfg(test)]
mod clauses_tests;
#[cfg(test)]
mod hostile_tests;
