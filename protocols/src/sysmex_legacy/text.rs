//! Texts as views of their bytes: lines, and columns by name, each with its span in the text.
//!
//! A line must be as long as its layout says, to the character: of a line that is shorter or longer
//! there is no telling which column is which, and a value of one parameter would be another's.

use std::ops::Range;

use thiserror::Error;

use super::{
    dialect::{CR, LF, LINES_MAX},
    layout::{Column, Kind, Layout, TextLayout},
    notes,
};
use crate::wire::Note;

/// One line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'l, 'm> {
    /// What it is; `None` if the layout does not know its code.
    pub layout: Option<&'l TextLayout>,
    /// Its columns, in order; none if it is not known.
    pub cells: Vec<Cell<'l, 'm>>,
    raw: &'m [u8],
    start: usize,
}

impl<'l, 'm> Line<'l, 'm> {
    /// The bytes exactly as sent, without the line end.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the text.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// The column of that name.
    pub fn cell(&self, name: &str) -> Option<Cell<'l, 'm>> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.column.name == name).copied()
    }
}

/// One column of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'l, 'm> {
    /// What it is.
    pub column: &'l Column,
    raw: &'m [u8],
    start: usize,
}

impl<'m> Cell<'_, 'm> {
    /// The bytes exactly as sent, padding and flag included.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the text.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// The bytes without the flag and the spaces around them. Zeros stay: they belong to an id.
    pub fn value(&self) -> &'m [u8] {
        let value = match self.raw {
            [value @ .., _] if self.column.has_flag() => value,
            raw => raw,
        };
        let is_space = |byte: &u8| *byte == b' ';
        let start = value.iter().position(|byte| !is_space(byte));
        let end = value.iter().rposition(|byte| !is_space(byte));
        match (start, end) {
            (Some(start), Some(end)) => value.get(start..=end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The flag character exactly as sent; `None` where the column has none.
    pub fn flag(&self) -> Option<u8> {
        self.raw.last().copied().filter(|_| self.column.has_flag())
    }

    /// The value with its point, as `7.1` for `0071` with one decimal; `None` if it is not all digits
    /// (`****`, `----`, spaces), or if nobody said where the point stands.
    pub fn scaled(&self) -> Option<String> {
        let Kind::Number { decimals, .. } = self.column.kind else {
            return None;
        };
        let digits = self.value();
        let width = self
            .raw
            .len()
            .saturating_sub(usize::from(self.column.has_flag()));
        // Digits with spaces among them are none: a lost character would shift the point.
        if digits.len() != width || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (whole, fraction) = digits.split_at_checked(width.checked_sub(decimals?)?)?;
        let significant = whole.iter().position(|digit| *digit != b'0');
        let whole = significant.map_or(&b"0"[..], |at| whole.get(at..).unwrap_or_default());
        let mut text = String::from_utf8(whole.to_vec()).ok()?;
        if !fraction.is_empty() {
            text.push('.');
            text.extend(fraction.iter().copied().map(char::from));
        }
        Some(text)
    }
}

/// Why a text is not read. Its bytes are in the journal all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing, or more lines than a text has.
    #[error("read a text: no line, or more than {LINES_MAX}")]
    Lines,
    /// A line that is shorter or longer than its layout.
    #[error("read the line at {at}: {length} characters, its layout has {needed}")]
    Width {
        /// Its offset.
        at: usize,
        /// How long it is.
        length: usize,
        /// How long it should be.
        needed: usize,
    },
    /// The same code twice: two samples in one text, or a line sent twice.
    #[error("read the line at {at}: such a line was there already")]
    Twice {
        /// The offset of the second one.
        at: usize,
    },
}

impl ReadError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Lines => "SYX-0301",
            Self::Width { .. } => "SYX-0302",
            Self::Twice { .. } => "SYX-0303",
        }
    }
}

/// Reads one text of the link.
///
/// # Errors
/// What of it cannot be read safely. A text that is read for a part is not read.
pub fn read<'l, 'm>(
    text: &'m [u8],
    layout: &'l Layout,
) -> Result<(Vec<Line<'l, 'm>>, Vec<Note>), ReadError> {
    let mut lines: Vec<Line<'l, 'm>> = Vec::new();
    let mut notes = Vec::new();
    let mut start = 0_usize;
    for piece in text.split(|byte| matches!(*byte, CR | LF)) {
        let at = start;
        start = start.saturating_add(piece.len()).saturating_add(1);
        if piece.is_empty() {
            continue;
        }
        if lines.len() >= LINES_MAX {
            return Err(ReadError::Lines);
        }
        let line = read_line(piece, at, layout)?;
        let is_known =
            |before: &Line<'_, '_>| before.layout.is_some() && before.layout == line.layout;
        if lines.iter().any(is_known) {
            return Err(ReadError::Twice { at });
        }
        if line.layout.is_none() {
            notes.push(notes::UNKNOWN_LINE.at(u64::try_from(at).unwrap_or(u64::MAX)));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(ReadError::Lines);
    }
    Ok((lines, notes))
}

fn read_line<'l, 'm>(
    raw: &'m [u8],
    start: usize,
    layout: &'l Layout,
) -> Result<Line<'l, 'm>, ReadError> {
    let mut line = Line {
        layout: layout.of_line(raw),
        cells: Vec::new(),
        raw,
        start,
    };
    let Some(known) = line.layout else {
        return Ok(line);
    };
    let (length, needed) = (raw.len(), known.width());
    if length != needed {
        let at = start;
        return Err(ReadError::Width { at, length, needed });
    }
    let mut from = known.code.len();
    for column in &known.columns {
        let to = from.saturating_add(column.width);
        line.cells.push(Cell {
            column,
            raw: raw.get(from..to).unwrap_or_default(),
            start: start.saturating_add(from),
        });
        from = to;
    }
    Ok(line)
}
