//! Fields, their repeats and components: views of the bytes as sent, located by counting.

use std::{borrow::Cow, ops::Range};

use super::{delimiters::Delimiters, escape, timestamp::Timestamp};
use crate::{
    charset::{Charset, DecodeError},
    wire::Note,
};

/// The methods that a field, a repeat and a component share.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            raw: &'a [u8],
            start: usize,
            delimiters: Delimiters,
        }

        impl<'a> $name<'a> {
            pub(super) const fn new(raw: &'a [u8], start: usize, delimiters: Delimiters) -> Self {
                Self { raw, start, delimiters }
            }

            /// The bytes exactly as sent.
            pub const fn raw(&self) -> &'a [u8] {
                self.raw
            }

            /// Where the bytes lie in the message.
            pub const fn span(&self) -> Range<usize> {
                self.start..self.start.saturating_add(self.raw.len())
            }

            /// Null: unknown, irrelevant or unchanged. It must not overwrite anything stored.
            pub const fn is_null(&self) -> bool {
                self.raw.is_empty()
            }

            /// Two double quotes alone: the stored value is to be deleted.
            pub fn is_delete(&self) -> bool {
                self.raw == b"\"\""
            }

            /// The text, escapes resolved, then decoded. The notes say which escapes were kept.
            ///
            /// # Errors
            /// The offset in [`Self::raw`] of the first byte that is no character.
            pub fn text(&self, charset: Charset) -> Result<(Cow<'a, str>, Vec<Note>), DecodeError> {
                escape::unescape(self.raw, self.delimiters, charset)
            }

            /// The bytes with escapes resolved, in the peer's character set.
            pub fn unescaped(&self) -> (Cow<'a, [u8]>, Vec<Note>) {
                escape::unescape_bytes(self.raw, self.delimiters)
            }

            /// The date and time; `None` with a note if there is something else, `None` without
            /// one if there is nothing.
            pub fn timestamp(&self) -> (Option<Timestamp<'a>>, Option<Note>) {
                let (read, note) = Timestamp::parse(self.raw);
                (read, note.map(|n| n.at(u64::try_from(self.start).unwrap_or(u64::MAX))))
            }
        }
    };
}

part! {
    /// A field of a record, with all its repeats.
    Field
}

part! {
    /// One repeat of a field.
    Repeat
}

part! {
    /// One component of a repeat; there is nothing smaller (LIS02-A2 6.4).
    Component
}

impl<'a> Field<'a> {
    /// The delimiters it was written with.
    pub(super) const fn delimiters(&self) -> Delimiters {
        self.delimiters
    }

    /// The repeats; a field without a repeat delimiter has one.
    pub fn repeats(&self) -> impl Iterator<Item = Repeat<'a>> + Clone + use<'a> {
        let delimiters = self.delimiters;
        split(self.raw, self.start, delimiters.repeat())
            .map(move |(raw, start)| Repeat::new(raw, start, delimiters))
    }

    /// Repeat `n`, counted from 1; null beyond the last.
    pub fn repeat(&self, n: usize) -> Repeat<'a> {
        let (raw, start) = part(self.raw, self.start, self.delimiters.repeat(), n);
        Repeat::new(raw, start, self.delimiters)
    }

    /// Component `n` of the first repeat, counted from 1; null beyond the last.
    pub fn component(&self, n: usize) -> Component<'a> {
        self.repeat(1).component(n)
    }
}

impl<'a> Repeat<'a> {
    /// The components; a repeat without a component delimiter has one.
    pub fn components(&self) -> impl Iterator<Item = Component<'a>> + Clone + use<'a> {
        let delimiters = self.delimiters;
        split(self.raw, self.start, delimiters.component())
            .map(move |(raw, start)| Component::new(raw, start, delimiters))
    }

    /// Component `n`, counted from 1; null beyond the last.
    pub fn component(&self, n: usize) -> Component<'a> {
        let (raw, start) = part(self.raw, self.start, self.delimiters.component(), n);
        Component::new(raw, start, self.delimiters)
    }
}

/// The parts of `raw` between `delimiter`, with their places in the message.
fn split(
    raw: &[u8],
    mut start: usize,
    delimiter: u8,
) -> impl Iterator<Item = (&[u8], usize)> + Clone + use<'_> {
    raw.split(move |byte| *byte == delimiter).map(move |part| {
        let place = (part, start);
        start = start.saturating_add(part.len()).saturating_add(1);
        place
    })
}

/// Part `n`, counted from 1, or nothing at the end.
fn part(raw: &[u8], start: usize, delimiter: u8, n: usize) -> (&[u8], usize) {
    let end = (&[][..], start.saturating_add(raw.len()));
    let mut before = n;
    let mut from = 0_usize;
    for (at, byte) in raw.iter().chain([&delimiter]).enumerate() {
        if *byte != delimiter {
            continue;
        }
        before = before.saturating_sub(1);
        if before == 0 && n > 0 {
            return (
                raw.get(from..at).unwrap_or_default(),
                start.saturating_add(from),
            );
        }
        from = at.saturating_add(1);
    }
    end
}
