//! A field: a code of two characters, and everything up to the next `|`.

use std::{borrow::Cow, ops::Range};

use super::dialect::is_cut;

/// Between fields, and after the last.
pub(super) const END: u8 = b'|';

/// One field of a message and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'m> {
    code: [u8; 2],
    raw: &'m [u8],
    start: usize,
}

impl<'m> Field<'m> {
    /// The two characters that say what it is.
    pub const fn code(&self) -> [u8; 2] {
        self.code
    }

    /// The bytes of the value exactly as sent; a record may begin within it.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the message.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// The value, without what cuts it into records.
    pub fn text(&self) -> Cow<'m, [u8]> {
        joined(self.raw)
    }

    /// Nothing but spaces, or nothing.
    pub fn is_blank(&self) -> bool {
        self.raw.iter().all(|byte| *byte == b' ' || is_cut(*byte))
    }
}

/// Text without record marks and line ends.
fn joined(raw: &[u8]) -> Cow<'_, [u8]> {
    if raw.iter().any(|byte| is_cut(*byte)) {
        Cow::Owned(raw.iter().copied().filter(|byte| !is_cut(*byte)).collect())
    } else {
        Cow::Borrowed(raw)
    }
}

/// The fields of a message; the offset of the first thing that is none.
///
/// Text after the last `|` is a field, too, as some leave it out before a record (V: VIDAS PC manual).
pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, usize> {
    let mut all = Vec::new();
    let mut start = 0_usize;
    for piece in message.split(|byte| *byte == END) {
        let end = start.saturating_add(piece.len());
        all.extend(field(piece, start)?);
        start = end.saturating_add(1);
    }
    Ok(all)
}

/// Nothing between two `|` is nothing; one character alone is no field.
fn field(piece: &[u8], start: usize) -> Result<Option<Field<'_>>, usize> {
    let mut code = [0_u8; 2];
    let mut found = 0_usize;
    for (at, byte) in piece.iter().enumerate() {
        if is_cut(*byte) {
            continue;
        }
        if let Some(place) = code.get_mut(found) {
            *place = *byte;
        }
        found = found.saturating_add(1);
        if found == code.len() {
            let after = at.saturating_add(1);
            return Ok(Some(Field {
                code,
                raw: piece.get(after..).unwrap_or_default(),
                start: start.saturating_add(after),
            }));
        }
    }
    match found {
        0 => Ok(None),
        _ => Err(start),
    }
}
