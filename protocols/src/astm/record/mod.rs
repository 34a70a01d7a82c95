//! Records of LIS02-A2 (E1394): what an analyzer and a host say to each other.
//!
//! [`Message::parse`] splits the bytes of a message into records and never fails; fields, repeats
//! and components are views of those bytes, located when asked for. Typed views
//! ([`ResultRecord`] and its like) name the fields as the standard does, a [`Path`] addresses one
//! field as an instrument profile does, and a [`MessageWriter`] writes messages that are valid by
//! construction.

pub mod limits;
pub mod notes;

mod codes;
mod delimiters;
mod escape;
mod field;
mod hierarchy;
mod message;
mod parser;
mod path;
mod restart;
mod timestamp;
mod views;
mod writer;

#[cfg(test)]
mod tests;

pub use self::{
    codes::{
        AbnormalFlag, ActionCode, CommentSource, CommentType, Priority, ProcessingId, ReportType,
        RequestStatus, ResultStatus, TerminationCode,
    },
    delimiters::{DelimiterError, Delimiters},
    escape::{escape_into, unescape, unescape_bytes},
    field::{Component, Field, Repeat},
    hierarchy::Place,
    limits::Limits,
    message::{Message, Record, RecordKind},
    path::{Path, PathError},
    restart::{Continuation, continuation},
    timestamp::{Precision, Timestamp},
    views::{
        CommentRecord, HeaderRecord, ManufacturerRecord, OrderRecord, PatientRecord, RequestRecord,
        ResultRecord, ScientificRecord, TerminatorRecord, View,
    },
    writer::{FieldValue, MessageWriter, Transliterated, WriteError, Written},
};
