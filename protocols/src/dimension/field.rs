//! A field: the bytes between two FS, exactly as sent.

use std::ops::Range;

/// Between fields, and after the last.
pub(super) const FS: u8 = 0x1C;

/// One field of a message and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'m> {
    raw: &'m [u8],
    start: usize,
}

impl<'m> Field<'m> {
    /// The bytes exactly as sent, padding included.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the message.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// Nothing but spaces, or nothing.
    pub fn is_blank(&self) -> bool {
        self.raw.iter().all(|byte| *byte == b' ')
    }

    /// The bytes without the spaces around them. Zeros stay: they belong to an id.
    pub const fn unpadded(&self) -> &'m [u8] {
        let mut rest = self.raw;
        while let [b' ', tail @ ..] = rest {
            rest = tail;
        }
        while let [head @ .., b' '] = rest {
            rest = head;
        }
        rest
    }

    /// A count; `None` if it is no number of at most four digits.
    pub(super) fn count(&self) -> Option<usize> {
        let digits = self.unpadded();
        let is_number = (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let value = |sum: usize, digit: &u8| {
            sum.saturating_mul(10)
                .saturating_add(usize::from(digit.saturating_sub(b'0')))
        };
        is_number.then(|| digits.iter().fold(0, value))
    }
}

/// The letter of a message, if its first field is one.
pub(super) fn letter(message: &[u8]) -> Option<u8> {
    match message {
        [letter, FS, ..] => Some(*letter),
        _ => None,
    }
}

/// The fields of a message, each ended by FS; `None` if the last one is not.
pub(super) fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let body = message.strip_suffix(&[FS])?;
    let mut start = 0_usize;
    let mut fields = Vec::new();
    for raw in body.split(|byte| *byte == FS) {
        fields.push(Field { raw, start });
        start = start.saturating_add(raw.len()).saturating_add(1);
    }
    Some(fields)
}
