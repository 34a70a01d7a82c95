//! What these readers tolerate, each with its code and its position in the message.

use crate::{
    hl7::{Segment, views::Fault},
    wire::Note,
};

/// MSH-21.
pub const PROFILE: Note = Note::new(
    "LAW-0101",
    "MSH-21 does not name the profile of this transaction",
);
/// MSH-12.
pub const VERSION: Note = Note::new("LAW-0102", "MSH-12 is not 2.5.1");
/// MSH-15 and MSH-16.
pub const ACKNOWLEDGEMENT: Note = Note::new(
    "LAW-0103",
    "MSH-15 and MSH-16 are not as the profile wants them; they are obeyed as sent",
);
/// MSH-9.3.
pub const STRUCTURE: Note = Note::new(
    "LAW-0104",
    "MSH-9.3 is missing or names another message structure",
);
/// MSH-11.
pub const PROCESSING: Note = Note::new("LAW-0105", "MSH-11 is not P: no message of production");
/// MSH-18.
pub const CHARSET: Note = Note::new("LAW-0106", "MSH-18 is not UNICODE UTF-8");

/// A segment that the profile does not know.
pub const UNKNOWN_SEGMENT: Note = Note::new(
    "LAW-0201",
    "segment that the profile does not know; kept where it stood",
);
/// A segment in the wrong place.
pub const MISPLACED: Note = Note::new(
    "LAW-0202",
    "segment where the profile has no place for it; kept where it stood",
);
/// A segment without a name.
pub const BAD_NAME: Note = Note::new(
    "LAW-0203",
    "segment whose name cannot be read; kept where it stood, and something may be missing",
);
/// Another patient.
pub const SECOND_PATIENT: Note = Note::new(
    "LAW-0204",
    "second patient in one message; what follows is not the first one's",
);
/// A field that no version has.
pub const BEYOND: Note = Note::new(
    "LAW-0205",
    "field beyond those of the segment; kept in the segment",
);
/// A required field that is empty.
pub const FIELD_MISSING: Note = Note::new("LAW-0206", "required field of a segment is empty");
/// A code that the table of the field does not have.
pub const UNKNOWN_CODE: Note = Note::new("LAW-0207", "code that its table does not have; kept");
/// DSC with a pointer.
pub const CONTINUED: Note = Note::new(
    "LAW-0208",
    "message is continued in another one; it is not whole",
);
/// A container after a work order step.
pub const LATE_CONTAINER: Note = Note::new(
    "LAW-0209",
    "container after a work order step; what follows belongs to it",
);

/// A query name of another coding system.
pub const QUERY_SYSTEM: Note = Note::new(
    "LAW-0301",
    "query name in a coding system that is none of the profile",
);
/// A field that the query does not use.
pub const QUERY_FIELD: Note = Note::new(
    "LAW-0302",
    "field that this kind of query does not use; not looked at",
);
/// RCP.
pub const QUERY_RESPONSE: Note = Note::new(
    "LAW-0303",
    "RCP is missing or asks for another answer than one at once",
);

/// OBR-2 and ORC-2.
pub const NUMBERS_DISAGREE: Note = Note::new(
    "LAW-0501",
    "OBR-2 and ORC-2 name different work order steps",
);
/// Neither.
pub const NO_NUMBER: Note = Note::new(
    "LAW-0502",
    "work order step without a number, and without the mark for none",
);
/// SPM-2 and SAC-3.
pub const NO_SPECIMEN: Note = Note::new("LAW-0503", "results without specimen and container id");
/// OBX alone.
pub const NO_STEP: Note = Note::new("LAW-0504", "observation outside of any work order step");
/// OBX-4.
pub const NO_RUN: Note = Note::new("LAW-0505", "OBX-4 does not begin with the number of a run");
/// The same observation twice.
pub const SAME_KEY: Note = Note::new(
    "LAW-0506",
    "observation with the step, code and sub-id of an earlier one; both are kept",
);
/// A control of a patient.
pub const CONTROL_WITH_PATIENT: Note =
    Note::new("LAW-0507", "control or calibrator below a patient");
/// A control that is not described.
pub const CONTROL_UNNAMED: Note = Note::new(
    "LAW-0508",
    "control or calibrator without INV that says which material it is",
);
/// ORC-5 `CA` with results.
pub const CANCELLED_WITH_RESULT: Note = Note::new(
    "LAW-0509",
    "work order step that was cancelled and has a result",
);
/// ORC-5 `CM` without results.
pub const COMPLETE_WITHOUT_RESULT: Note = Note::new(
    "LAW-0510",
    "work order step that is completed and has no result",
);
/// OBX-3.4.
pub const UNKNOWN_CLASS: Note = Note::new(
    "LAW-0511",
    "observation of a class that the profile does not have; kept",
);
/// ORC-1.
pub const NOT_A_CHANGE: Note = Note::new("LAW-0512", "ORC-1 of a status change is not SC");
/// OBX-5.
pub const NO_VALUE: Note = Note::new(
    "LAW-0513",
    "observation without a value whose status is not X",
);
/// OBX-11.
pub const NO_STATUS: Note = Note::new("LAW-0514", "observation without a status");
/// OBX-3.
pub const NO_CODE: Note = Note::new("LAW-0515", "observation without a code");

/// Byte position of field `n`.
pub(super) fn at_field(note: Note, segment: Segment<'_>, n: usize) -> Note {
    note.at(u64::try_from(segment.field(n).span().start).unwrap_or(u64::MAX))
}

/// Byte position of a segment.
pub(super) fn at_segment(note: Note, segment: Segment<'_>) -> Note {
    note.at(u64::try_from(segment.span().start).unwrap_or(u64::MAX))
}

/// The faults of a typed segment as notes.
pub(super) fn push_faults(
    segment: Segment<'_>,
    faults: Vec<(usize, Fault)>,
    notes: &mut Vec<Note>,
) {
    for (field, fault) in faults {
        let note = match fault {
            Fault::Missing => FIELD_MISSING,
            Fault::UnknownCode => UNKNOWN_CODE,
            Fault::Beyond => BEYOND,
        };
        notes.push(at_field(note, segment, field));
    }
}
