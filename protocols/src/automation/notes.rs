//! What these readers tolerate, each with its code and its position in the message.

use crate::{
    hl7::{Segment, views::Fault},
    wire::Note,
};

/// MSH-12.
pub const VERSION: Note = Note::new("AUT-0101", "MSH-12 is not 2.4, 2.5, 2.5.1 or 2.6");
/// MSH-9.3.
pub const STRUCTURE: Note = Note::new(
    "AUT-0102",
    "MSH-9.3 is missing or names another message structure",
);
/// MSH-11.
pub const PROCESSING: Note = Note::new("AUT-0103", "MSH-11 is not P: no message of production");
/// An event that the version of the message does not have.
pub const TOO_NEW: Note = Note::new("AUT-0104", "event that the version in MSH-12 does not have");

/// A segment that the chapter does not know.
pub const UNKNOWN_SEGMENT: Note = Note::new(
    "AUT-0201",
    "segment that the chapter does not know; kept where it stood",
);
/// A segment in the wrong place.
pub const MISPLACED: Note = Note::new(
    "AUT-0202",
    "segment where the message has no place for it; kept where it stood",
);
/// A segment without a name.
pub const BAD_NAME: Note = Note::new(
    "AUT-0203",
    "segment whose name cannot be read; kept where it stood, and something may be missing",
);
/// Another equipment.
pub const SECOND_EQUIPMENT: Note = Note::new(
    "AUT-0204",
    "second EQU in one message; what follows is of that equipment",
);
/// A field that no version has.
pub const BEYOND: Note = Note::new(
    "AUT-0205",
    "field beyond those of the segment; kept in the segment",
);
/// A required field that is empty.
pub const FIELD_MISSING: Note = Note::new("AUT-0206", "required field of a segment is empty");
/// A code that the table of the field does not have.
pub const UNKNOWN_CODE: Note = Note::new("AUT-0207", "code that its table does not have; kept");

/// A message that is about nothing.
pub const NOTHING_SAID: Note = Note::new("AUT-0301", "message without what it is about");
/// EAR without ECR.
pub const NO_RESPONSE: Note = Note::new(
    "AUT-0302",
    "command response that does not say what became of the command",
);
/// SAC-3.
pub const NO_CONTAINER: Note = Note::new("AUT-0303", "container without an id");
/// SAC-8.
pub const NO_STATUS: Note = Note::new("AUT-0304", "specimen status without a container status");
/// SPM without TCC.
pub const NO_SETTING: Note = Note::new("AUT-0305", "test code settings without a test code");
/// ECD-1 twice.
pub const SAME_NUMBER: Note = Note::new(
    "AUT-0306",
    "command or response with the number of an earlier one; both are kept",
);

/// A note at field `n`.
pub(super) fn at_field(note: Note, segment: Segment<'_>, n: usize) -> Note {
    note.at(u64::try_from(segment.field(n).span().start).unwrap_or(u64::MAX))
}

/// A note at a segment.
pub(super) fn at_segment(note: Note, segment: Segment<'_>) -> Note {
    note.at(u64::try_from(segment.span().start).unwrap_or(u64::MAX))
}

/// The fault of a field as a note.
pub(super) fn of_fault(segment: Segment<'_>, field: usize, fault: Fault) -> Note {
    let note = match fault {
        Fault::Missing => FIELD_MISSING,
        Fault::UnknownCode => UNKNOWN_CODE,
        Fault::Beyond => BEYOND,
    };
    at_field(note, segment, field)
}
