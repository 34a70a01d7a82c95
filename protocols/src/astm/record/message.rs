//! A message and its records: views of the bytes as received.

use std::ops::Range;

use super::{
    delimiters::Delimiters,
    field::Field,
    hierarchy::{PackedPlace, Place},
    limits::Limits,
    parser,
};
use crate::wire::Note;

/// The type of a record, by its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// `H`, message header.
    Header,
    /// `P`, patient.
    Patient,
    /// `O`, test order.
    Order,
    /// `R`, result.
    Result,
    /// `C`, comment.
    Comment,
    /// `Q`, request for information.
    Request,
    /// `L`, message terminator.
    Terminator,
    /// `S`, scientific.
    Scientific,
    /// `M`, manufacturer information.
    Manufacturer,
    /// A record of no known type: its first byte.
    Unknown(u8),
}

impl RecordKind {
    /// The type of a record with this letter; lower case counts as upper case (LIS02-A2 5.2).
    pub const fn from_letter(letter: u8) -> Self {
        match letter.to_ascii_uppercase() {
            b'H' => Self::Header,
            b'P' => Self::Patient,
            b'O' => Self::Order,
            b'R' => Self::Result,
            b'C' => Self::Comment,
            b'Q' => Self::Request,
            b'L' => Self::Terminator,
            b'S' => Self::Scientific,
            b'M' => Self::Manufacturer,
            _ => Self::Unknown(letter),
        }
    }

    /// The letter, in upper case; of an unknown record its first byte.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Header => b'H',
            Self::Patient => b'P',
            Self::Order => b'O',
            Self::Result => b'R',
            Self::Comment => b'C',
            Self::Request => b'Q',
            Self::Terminator => b'L',
            Self::Scientific => b'S',
            Self::Manufacturer => b'M',
            Self::Unknown(letter) => letter,
        }
    }
}

/// One record, without its end.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start: usize,
    pub(super) kind: RecordKind,
    pub(super) delimiters: Delimiters,
    pub(super) place: PackedPlace,
}

impl<'a> Record<'a> {
    /// The bytes from the record letter to the last before the CR.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the bytes lie in the message.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.bytes.len())
    }

    /// The type of the record.
    pub const fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The delimiters that its header named.
    pub const fn delimiters(&self) -> Delimiters {
        self.delimiters
    }

    /// Its level and the records it belongs to.
    pub fn place(&self) -> Place {
        self.place.into()
    }

    /// Field `n`, counted from 1, which is the record letter; field 2 of a header is its
    /// delimiters. Null beyond the last, as trailing fields may be left out.
    pub fn field(&self, n: usize) -> Field<'a> {
        let delimiter = self.delimiters.field();
        let end = self.bytes.len();
        let mut start = 0;
        for _ in 1..n {
            let rest = self.bytes.get(start..).unwrap_or_default();
            match rest.iter().position(|byte| *byte == delimiter) {
                Some(length) => start = start.saturating_add(length).saturating_add(1),
                None => return self.field_at(n, end..end),
            }
        }
        let rest = self.bytes.get(start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == delimiter)
            .unwrap_or(rest.len());
        // There is no field 0; nothing stands there.
        let stop = if n == 0 {
            start
        } else {
            start.saturating_add(length)
        };
        self.field_at(n, start..stop)
    }

    /// The fields in order, from the record letter.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let record = *self;
        let delimiter = self.delimiters.field();
        let mut start = 0;
        self.bytes
            .split(move |byte| *byte == delimiter)
            .enumerate()
            .map(move |(i, raw)| {
                let end = start + raw.len();
                let field = record.field_at(i + 1, start..end);
                start = end + 1;
                field
            })
    }

    /// The field `n` that lies at `range` of the record.
    pub(super) fn field_at(&self, n: usize, range: Range<usize>) -> Field<'a> {
        let is_opaque = n == 2 && self.kind == RecordKind::Header;
        let delimiters = if is_opaque {
            Delimiters::NONE
        } else {
            self.delimiters
        };
        let start = self.start.saturating_add(range.start);
        Field::new(self.bytes.get(range).unwrap_or_default(), start, delimiters)
    }
}

/// The records of a message, or of what was received of one.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) records: Vec<Record<'a>>,
    pub(super) is_complete: bool,
    pub(super) refused: Option<Note>,
    pub(super) split_to: usize,
}

impl<'a> Message<'a> {
    /// Splits a message into records (LIS02-A2 5 and 6). It never fails: what deviates is noted,
    /// and what cannot be interpreted is [`Message::refused`].
    pub fn parse(bytes: &'a [u8]) -> (Self, Vec<Note>) {
        parser::parse(bytes, Limits::default())
    }

    /// The same within other limits.
    pub fn parse_within(bytes: &'a [u8], limits: Limits) -> (Self, Vec<Note>) {
        parser::parse(bytes, limits)
    }

    /// The bytes it was read from.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records in the order received.
    pub fn records(&self) -> &[Record<'a>] {
        &self.records
    }

    /// Whether every header has its terminator and nothing stands outside of them. A message that
    /// is not complete may lack results.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Why nothing of it may be interpreted: a limit, or unusable delimiters. Its records are then
    /// one field each.
    pub const fn refused(&self) -> Option<Note> {
        self.refused
    }

    /// The bytes behind the point where a limit stopped the splitting; empty otherwise.
    pub fn unparsed(&self) -> &'a [u8] {
        self.bytes.get(self.split_to..).unwrap_or_default()
    }

    /// The records with their indices; [`Record::place`] says what each belongs to.
    pub fn walk(&self) -> impl Iterator<Item = (usize, &Record<'a>)> {
        self.records.iter().enumerate()
    }

    /// The records attached to record `index`: the orders of a patient, the results of an order,
    /// the comments and manufacturer records of any.
    pub fn children(&self, index: usize) -> impl Iterator<Item = (usize, &Record<'a>)> {
        let level = self
            .records
            .get(index)
            .map_or(usize::MAX, |record| record.place().level);
        self.walk()
            .skip(index.saturating_add(1))
            .take_while(move |(_, record)| record.place().level > level)
            .filter(move |(_, record)| record.place().parent == Some(index))
    }
}
