//! Writes messages that are valid by construction (LIS02-A2 5 and 6).
//!
//! The writer keeps the sequence numbers, refuses a record where the standard does not have it,
//! escapes every delimiter and control character in what it is given, and refuses text that the
//! peer's character set cannot hold. Only a [`FieldValue::Name`] may lose its marks, and the
//! message says which did.

use thiserror::Error;

use super::{
    codes::TerminationCode,
    delimiters::Delimiters,
    escape::{escape_into, is_restricted},
    field::Field,
    hierarchy::Hierarchy,
    limits::{
        COMPONENTS_MAX, FIELDS_MAX, MESSAGE_BYTES_MAX, RECORD_BYTES_MAX, RECORDS_MAX, REPEATS_MAX,
    },
    message::RecordKind,
    path::Path,
};
use crate::charset::{Charset, EncodeError};

/// What to write into a field.
#[derive(Clone, Debug)]
pub enum FieldValue<'a> {
    /// One text; delimiters in it are escaped.
    Text(&'a str),
    /// The components of one repeat; empty ones keep their place.
    Components(Vec<&'a str>),
    /// Several repeats of components.
    Repeats(Vec<Vec<&'a str>>),
    /// The components of a person's name (or an address, a remark): what the character set cannot
    /// hold loses its marks, and [`Written::transliterated`] says so. Never for an id.
    Name(Vec<&'a str>),
    /// A field of a received message, given back as it was sent.
    Echo(Field<'a>),
    /// Two double quotes: the peer is to delete what it has.
    Delete,
}

/// A finished message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The records, each ended by CR.
    pub bytes: Vec<u8>,
    /// The fields whose text is not what was given.
    pub transliterated: Vec<Transliterated>,
}

/// A field that lost marks or characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transliterated {
    /// Which record of the message, from 0.
    pub record: usize,
    /// Which field.
    pub path: Path,
}

/// Why a record cannot be written. The message stays as it was before that record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// An order without a patient before it, or a result without an order.
    #[error("write record {}: no record above it", char::from(kind.letter()))]
    OutOfPlace {
        /// The record.
        kind: RecordKind,
    },
    /// Fields 1 and 2 are the writer's own, and there is a highest field.
    #[error("write record {}: field {field} is not the caller's", char::from(kind.letter()))]
    FieldReserved {
        /// The record.
        kind: RecordKind,
        /// The field.
        field: usize,
    },
    /// The same field was given twice.
    #[error("write {path}: given twice")]
    FieldTwice {
        /// The field.
        path: Path,
    },
    /// The peer's character set does not hold the text.
    #[error("write {path}")]
    Unencodable {
        /// The field.
        path: Path,
        /// Which character, and where.
        #[source]
        source: EncodeError,
    },
    /// More repeats or components than a reader of ours would take.
    #[error("write {path}: too many repeats or components")]
    TooManyParts {
        /// The field.
        path: Path,
    },
    /// The record or the message is over its limit.
    #[error("write record {}: record or message too long", char::from(kind.letter()))]
    TooLong {
        /// The record.
        kind: RecordKind,
    },
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OutOfPlace { .. } => "ASTM-0250",
            Self::FieldReserved { .. } => "ASTM-0251",
            Self::FieldTwice { .. } => "ASTM-0252",
            Self::Unencodable { .. } => "ASTM-0253",
            Self::TooManyParts { .. } => "ASTM-0254",
            Self::TooLong { .. } => "ASTM-0255",
        }
    }
}

/// Builds one message, from its header to its terminator.
///
/// ```
/// use labwire_protocols::{
///     astm::record::{Delimiters, FieldValue, MessageWriter, TerminationCode},
///     charset::Charset,
/// };
///
/// let mut message = MessageWriter::header(
///     Delimiters::STANDARD,
///     Charset::Ascii,
///     &[(5, FieldValue::Text("BRIDGE")), (12, FieldValue::Text("P"))],
/// )?;
/// message
///     .patient(&[(6, FieldValue::Name(vec!["TRẦN", "THỊ B"]))])?
///     .order(&[(3, FieldValue::Text("25011500021")), (5, FieldValue::Components(vec!["", "", "", "TSH"]))])?;
/// let written = message.terminator(TerminationCode::Processed)?;
/// assert_eq!(
///     written.bytes,
///     b"H|\\^&|||BRIDGE|||||||P\rP|1||||TRAN^THI B\rO|1|25011500021||^^^TSH\rL|1|F\r"
/// );
/// assert_eq!(written.transliterated[0].path.to_string(), "P.6");
/// # Ok::<(), labwire_protocols::astm::record::WriteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageWriter {
    delimiters: Delimiters,
    charset: Charset,
    bytes: Vec<u8>,
    hierarchy: Hierarchy,
    records: usize,
    transliterated: Vec<Transliterated>,
}

/// Fields by number, from 3.
type Fields<'f, 'a> = &'f [(usize, FieldValue<'a>)];

impl MessageWriter {
    /// Begins a message with its header.
    ///
    /// # Errors
    /// As every record: see [`WriteError`].
    pub fn header(
        delimiters: Delimiters,
        charset: Charset,
        fields: Fields<'_, '_>,
    ) -> Result<Self, WriteError> {
        let mut writer = Self {
            delimiters,
            charset,
            bytes: Vec::new(),
            hierarchy: Hierarchy::default(),
            records: 0,
            transliterated: Vec::new(),
        };
        writer.record(RecordKind::Header, fields)?;
        Ok(writer)
    }

    /// Adds a patient.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn patient(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Patient, fields)
    }

    /// Adds an order of the last patient.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn order(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Order, fields)
    }

    /// Adds a result of the last order.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn result(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Result, fields)
    }

    /// Adds a comment to the last record that is no comment.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn comment(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Comment, fields)
    }

    /// Adds a manufacturer record to the last record that is none.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn manufacturer(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Manufacturer, fields)
    }

    /// Adds a request for information.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn query(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Request, fields)
    }

    /// Adds a scientific record.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn scientific(&mut self, fields: Fields<'_, '_>) -> Result<&mut Self, WriteError> {
        self.record(RecordKind::Scientific, fields)
    }

    /// Ends the message.
    ///
    /// # Errors
    /// If it became too long.
    pub fn terminator(mut self, code: TerminationCode) -> Result<Written, WriteError> {
        self.record(
            RecordKind::Terminator,
            &[(3, FieldValue::Text(code.code()))],
        )?;
        Ok(Written {
            bytes: self.bytes,
            transliterated: self.transliterated,
        })
    }

    /// Writes a record, or leaves the message as it was.
    fn record(
        &mut self,
        kind: RecordKind,
        fields: Fields<'_, '_>,
    ) -> Result<&mut Self, WriteError> {
        let before = (self.bytes.len(), self.transliterated.len(), self.hierarchy);
        let written = self.try_record(kind, fields);
        if let Err(error) = written {
            self.bytes.truncate(before.0);
            self.transliterated.truncate(before.1);
            self.hierarchy = before.2;
            return Err(error);
        }
        self.records = self.records.saturating_add(1);
        Ok(self)
    }

    fn try_record(&mut self, kind: RecordKind, fields: Fields<'_, '_>) -> Result<(), WriteError> {
        let is_misplaced = kind == RecordKind::Order && !self.hierarchy.has_patient()
            || kind == RecordKind::Result && !self.hierarchy.has_order();
        if is_misplaced {
            return Err(WriteError::OutOfPlace { kind });
        }
        let start = self.bytes.len();
        let (_, sequence) = self.hierarchy.place(kind, self.records);
        let delimiter = self.delimiters.field();
        self.bytes.extend_from_slice(&[kind.letter(), delimiter]);
        match sequence {
            Some(sequence) => self
                .bytes
                .extend_from_slice(sequence.to_string().as_bytes()),
            None => self
                .bytes
                .extend_from_slice(&self.delimiters.header_field()),
        }
        let mut last = 2;
        for (path, value) in in_order(kind, fields)? {
            self.bytes.extend((last..path.field()).map(|_| delimiter));
            last = path.field();
            self.push_field(path, value)?;
        }
        let is_too_long = self.bytes.len().saturating_sub(start) > RECORD_BYTES_MAX
            || self.bytes.len() >= MESSAGE_BYTES_MAX
            || self.records >= RECORDS_MAX;
        if is_too_long {
            return Err(WriteError::TooLong { kind });
        }
        self.bytes.push(b'\r');
        Ok(())
    }

    fn push_field(&mut self, path: Path, value: &FieldValue<'_>) -> Result<(), WriteError> {
        let start = self.bytes.len();
        match value {
            FieldValue::Text(text) => self.push_repeat(path, &[text], false)?,
            FieldValue::Components(parts) => self.push_repeat(path, parts, false)?,
            FieldValue::Name(parts) => self.push_repeat(path, parts, true)?,
            FieldValue::Repeats(repeats) if repeats.len() > REPEATS_MAX => {
                return Err(WriteError::TooManyParts { path });
            }
            FieldValue::Repeats(repeats) => {
                for (i, parts) in repeats.iter().enumerate() {
                    self.push_between(i, self.delimiters.repeat());
                    self.push_repeat(path, parts, false)?;
                }
            }
            FieldValue::Echo(field) => return self.push_echo(path, field),
            FieldValue::Delete => {
                self.bytes.extend_from_slice(DELETE);
                return Ok(());
            }
        }
        // Text of two double quotes must not say "delete".
        if self.bytes.get(start..) == Some(DELETE) {
            let escape = self.delimiters.escape();
            self.bytes.truncate(start);
            self.bytes.push(escape);
            self.bytes.extend_from_slice(b"X2222");
            self.bytes.push(escape);
        }
        Ok(())
    }

    fn push_repeat(&mut self, path: Path, parts: &[&str], is_name: bool) -> Result<(), WriteError> {
        if parts.len() > COMPONENTS_MAX {
            return Err(WriteError::TooManyParts { path });
        }
        for (i, text) in parts.iter().enumerate() {
            self.push_between(i, self.delimiters.component());
            let encoded = if is_name {
                let (encoded, is_changed) = self.charset.encode_or_transliterate(text);
                self.report(path, is_changed);
                encoded
            } else {
                let encoded = self.charset.encode(text);
                encoded.map_err(|source| WriteError::Unencodable { path, source })?
            };
            escape_into(&encoded, self.delimiters, &mut self.bytes);
        }
        Ok(())
    }

    /// Notes once that a field is not what was given.
    fn report(&mut self, path: Path, is_changed: bool) {
        let this = Transliterated {
            record: self.records,
            path,
        };
        if is_changed && self.transliterated.last() != Some(&this) {
            self.transliterated.push(this);
        }
    }

    /// Gives a received field back: byte by byte where the delimiters are the same, else escaped
    /// anew.
    fn push_echo(&mut self, path: Path, field: &Field<'_>) -> Result<(), WriteError> {
        let is_same = field.delimiters() == self.delimiters;
        if is_same && !field.raw().iter().copied().any(is_restricted) || field.is_delete() {
            self.bytes.extend_from_slice(field.raw());
            return Ok(());
        }
        for (i, repeat) in field.repeats().enumerate() {
            self.push_between(i, self.delimiters.repeat());
            for (j, component) in repeat.components().enumerate() {
                if i >= REPEATS_MAX || j >= COMPONENTS_MAX {
                    return Err(WriteError::TooManyParts { path });
                }
                self.push_between(j, self.delimiters.component());
                escape_into(&component.unescaped().0, self.delimiters, &mut self.bytes);
            }
        }
        Ok(())
    }

    fn push_between(&mut self, index: usize, delimiter: u8) {
        if index > 0 {
            self.bytes.push(delimiter);
        }
    }
}

const DELETE: &[u8] = b"\"\"";

/// The fields by rising number, each one once, none of them the writer's own.
fn in_order<'f, 'a>(
    kind: RecordKind,
    fields: Fields<'f, 'a>,
) -> Result<Vec<(Path, &'f FieldValue<'a>)>, WriteError> {
    let mut ordered = Vec::with_capacity(fields.len());
    for (field, value) in fields {
        let path = Path::field_of(kind, *field).filter(|_| (3..=FIELDS_MAX).contains(field));
        ordered.push((
            path.ok_or(WriteError::FieldReserved {
                kind,
                field: *field,
            })?,
            value,
        ));
    }
    ordered.sort_by_key(|(path, _)| *path);
    for pair in ordered.windows(2) {
        if let [(one, _), (two, _)] = pair
            && one == two
        {
            return Err(WriteError::FieldTwice { path: *one });
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
