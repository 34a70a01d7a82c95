//! Writes messages, cut into records as a site's device wants them.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    dialect::{FIELDS_MAX, RS, Records},
    field::END,
};

/// One field to be written: its code and its value.
pub type FieldText<'t> = (&'t [u8; 2], &'t [u8]);

/// Why a message is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A `|` or a control character, which would end the field or the message.
    #[error("write field {field}: character {at} of it cannot stand in a message")]
    Character {
        /// Which field, from 1.
        field: usize,
        /// Which byte of its code and value.
        at: usize,
    },
    /// No field, or more than a message has.
    #[error("write a message: {fields} fields, 1 to {FIELDS_MAX} are possible")]
    Count {
        /// How many.
        fields: usize,
    },
    /// The first field is not `mt`.
    #[error("write a message: it does not begin with its kind")]
    Kindless,
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Character { .. } => "BCI-0401",
            Self::Count { .. } => "BCI-0402",
            Self::Kindless => "BCI-0403",
        }
    }
}

/// A message of these fields, the first being `mt` (`rsl` results, `mpr` an order).
///
/// # Errors
/// What cannot be read as it was meant.
pub fn write(records: Records, fields: &[FieldText<'_>]) -> Result<Bytes, WriteError> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        let fields = fields.len();
        return Err(WriteError::Count { fields });
    }
    if fields.first().is_none_or(|(code, _)| *code != b"mt") {
        return Err(WriteError::Kindless);
    }
    let mut out = BytesMut::new();
    let mut column = 0_usize;
    for (number, (code, value)) in fields.iter().enumerate() {
        let text = [code.as_slice(), value].concat();
        if let Some(at) = text.iter().position(|byte| is_forbidden(*byte)) {
            let field = number.saturating_add(1);
            return Err(WriteError::Character { field, at });
        }
        if records == Records::PerField {
            out.put_u8(RS);
        }
        for byte in text.iter().chain(&[END]) {
            if let Records::Width(width) = records {
                if column.is_multiple_of(width.max(1)) {
                    out.put_u8(RS);
                }
                column = column.saturating_add(1);
            }
            out.put_u8(*byte);
        }
    }
    Ok(out.freeze())
}

const fn is_forbidden(byte: u8) -> bool {
    byte < b' ' || byte == END || byte == DEL
}

pub(super) const DEL: u8 = 0x7F;

/// An order of one test (VIDAS PC manual): patient, sample, test, dilution. Fields without a value
/// that a device expects stand empty.
///
/// # Errors
/// What cannot be read as it was meant.
pub fn order(records: Records, order: &OrderText<'_>) -> Result<Bytes, WriteError> {
    let fields: [FieldText<'_>; 9] = [
        (b"mt", b"mpr"),
        (b"pi", order.patient_id),
        (b"pn", order.patient_name),
        (b"pb", order.birth_date),
        (b"ps", order.sex),
        (b"si", b""),
        (b"ci", order.sample_id),
        (b"rt", order.test),
        (b"qd", order.dilution),
    ];
    write(records, &fields)
}

/// An order, to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderText<'t> {
    /// Patient id.
    pub patient_id: &'t [u8],
    /// Patient's name.
    pub patient_name: &'t [u8],
    /// Date of birth, as the site has it.
    pub birth_date: &'t [u8],
    /// Sex.
    pub sex: &'t [u8],
    /// Sample id.
    pub sample_id: &'t [u8],
    /// Code of the test.
    pub test: &'t [u8],
    /// Dilution, `1` for none.
    pub dilution: &'t [u8],
}
