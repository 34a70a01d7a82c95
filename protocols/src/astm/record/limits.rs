//! Limits of one message. A message over a limit is refused whole, with a note.

/// Bytes of a message. The longest seen are some 50 kB (histograms as base64 text); a whole
/// night's upload of an analyzer that sends one message stays below 2 MB.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a record: one image or curve.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Records of a message: 200 specimens with 100 results, each with a comment.
pub const RECORDS_MAX: usize = 40_000;

/// Fields of a record. The standard's longest, P, has 35; manufacturer records with counts of a
/// plate have some hundreds.
pub const FIELDS_MAX: usize = 1_024;

/// Repeats of a field: tests of an order, or points of a curve.
pub const REPEATS_MAX: usize = 65_536;

/// Components of a repeat: points of a curve.
pub const COMPONENTS_MAX: usize = 65_536;

/// Notes of one message; a hostile one must not cost more memory than its own bytes.
pub const NOTES_MAX: usize = 256;

/// The limits that one parse obeys; [`Limits::default`] holds the constants of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the message.
    pub message_bytes: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
    /// Records of the message.
    pub records: usize,
    /// Fields of one record.
    pub fields: usize,
    /// Repeats of one field.
    pub repeats: usize,
    /// Components of one repeat.
    pub components: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: MESSAGE_BYTES_MAX,
            record_bytes: RECORD_BYTES_MAX,
            records: RECORDS_MAX,
            fields: FIELDS_MAX,
            repeats: REPEATS_MAX,
            components: COMPONENTS_MAX,
        }
    }
}
