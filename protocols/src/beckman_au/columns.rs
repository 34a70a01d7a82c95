//! A field: columns of a text, exactly as sent.

use std::ops::Range;

/// Columns of a message: their bytes, padding and all, and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns<'m> {
    raw: &'m [u8],
    start: usize,
}

impl<'m> Columns<'m> {
    pub(super) const fn new(raw: &'m [u8], start: usize) -> Self {
        Self { raw, start }
    }

    /// The bytes exactly as sent, padding included.
    pub const fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where they lie in the message.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// Nothing but spaces, or no columns at all.
    pub fn is_blank(&self) -> bool {
        self.raw.iter().all(|byte| *byte == b' ')
    }

    /// The bytes without the spaces around them. Zeros stay: they belong to an id.
    pub const fn unpadded(&self) -> &'m [u8] {
        // Not `trim_ascii`, which would take tabs and line ends with it.
        let mut rest = self.raw;
        while let [b' ', tail @ ..] = rest {
            rest = tail;
        }
        while let [head @ .., b' '] = rest {
            rest = head;
        }
        rest
    }
}
