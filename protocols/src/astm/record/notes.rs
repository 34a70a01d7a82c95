//! What the record level tolerates or refuses: one stable code each.

use crate::wire::Note;

/// The first record is not a header, so nothing says what the delimiters are.
pub const NO_HEADER: Note = Note::new("ASTM-0201", "record before the first header");
/// The header names delimiters that cannot be used; no field of the message can be read.
pub const DELIMITERS: Note = Note::new("ASTM-0202", "header with unusable delimiters");
/// Records end in CR LF; noted once a message.
pub const CR_LF: Note = Note::new("ASTM-0203", "line feed after carriage return");
/// A record ends in LF alone; noted once a message.
pub const LF: Note = Note::new("ASTM-0204", "record ended by line feed");
/// Spaces stand before a record letter.
pub const INDENTED: Note = Note::new("ASTM-0205", "spaces before the record letter");
/// A control character stands in the text of a record; noted once a message.
pub const CONTROL: Note = Note::new("ASTM-0206", "control character in a record");
/// The record letter is none of H P O R C Q L S M; the record is kept.
pub const UNKNOWN_RECORD: Note = Note::new("ASTM-0207", "unknown record type");
/// A header has no terminator: the message was cut.
pub const NO_TERMINATOR: Note = Note::new("ASTM-0208", "no terminator record");
/// A header came before the terminator of the message before it.
pub const HEADER_INSIDE: Note = Note::new("ASTM-0209", "header before the last terminator");
/// A record follows the terminator.
pub const AFTER_TERMINATOR: Note = Note::new("ASTM-0210", "record after the terminator");
/// An order has no patient record before it.
pub const ORDER_WITHOUT_PATIENT: Note = Note::new("ASTM-0211", "order without a patient");
/// A result has no order record before it.
pub const RESULT_WITHOUT_ORDER: Note = Note::new("ASTM-0212", "result without an order");
/// Field 2 is not the count of records of its type; never a reason to refuse.
pub const SEQUENCE: Note = Note::new("ASTM-0213", "sequence number differs from the count");
/// The last record has no CR.
pub const NO_CR: Note = Note::new("ASTM-0214", "last record not ended");
/// A UTF-8 byte order mark stands before the first record.
pub const BYTE_ORDER_MARK: Note = Note::new("ASTM-0215", "byte order mark before the header");
/// Two record ends follow each other; noted once a message.
pub const EMPTY_RECORD: Note = Note::new("ASTM-0216", "empty record");
/// More notes than [`super::limits::NOTES_MAX`]; the rest is left out.
pub const MORE_NOTES: Note = Note::new("ASTM-0219", "further notes left out");

/// The message is longer than its limit.
pub const MESSAGE_TOO_LONG: Note = Note::new("ASTM-0220", "message longer than the limit");
/// A record is longer than its limit.
pub const RECORD_TOO_LONG: Note = Note::new("ASTM-0221", "record longer than the limit");
/// The message has more records than its limit.
pub const TOO_MANY_RECORDS: Note = Note::new("ASTM-0222", "more records than the limit");
/// A record has more fields than its limit.
pub const TOO_MANY_FIELDS: Note = Note::new("ASTM-0223", "more fields than the limit");
/// A field has more repeats than its limit.
pub const TOO_MANY_REPEATS: Note = Note::new("ASTM-0224", "more repeats than the limit");
/// A repeat has more components than its limit.
pub const TOO_MANY_COMPONENTS: Note = Note::new("ASTM-0225", "more components than the limit");

/// An escape sequence is none of the standard's; it stays as text. Noted once a field.
pub const ESCAPE_UNKNOWN: Note = Note::new("ASTM-0230", "unknown escape sequence kept as text");
/// An escape delimiter has no partner; it stays as text. Noted once a field.
pub const ESCAPE_OPEN: Note = Note::new("ASTM-0231", "unterminated escape kept as text");

/// A date or time is not of the standard's form, or no such day exists.
pub const TIMESTAMP: Note = Note::new("ASTM-0240", "unusable date or time");
/// A date that software writes for "none" (all zeros, 1899-12-30).
pub const TIMESTAMP_ZERO: Note = Note::new("ASTM-0241", "date that stands for no date");
