//! The delimiters, which every header names for itself (LIS02-A2 6.4.2).

use thiserror::Error;

/// The four delimiters of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delimiters {
    field: u8,
    repeat: u8,
    component: u8,
    escape: u8,
}

/// Why a header's delimiters cannot be used. Positions count from the header's letter, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DelimiterError {
    /// The record does not begin with `H`.
    #[error("read delimiters: no header letter")]
    NotHeader,
    /// The record ends before its fifth byte.
    #[error("read delimiters: header ends too soon")]
    TooShort,
    /// A letter, a digit, a control character, a space, `.`, `,` or a byte over 0x7E.
    #[error("read delimiters: forbidden character at byte {at}")]
    Forbidden {
        /// Offset of the byte.
        at: usize,
    },
    /// Two delimiters are the same character.
    #[error("read delimiters: byte {at} repeats another delimiter")]
    Duplicate {
        /// Offset of the second one.
        at: usize,
    },
    /// The sixth byte is not the field delimiter.
    #[error("read delimiters: field 2 is longer than three characters")]
    TooLong,
}

impl Delimiters {
    /// `|\^&`, which nearly every analyzer uses.
    pub const STANDARD: Self = Self {
        field: b'|',
        repeat: b'\\',
        component: b'^',
        escape: b'&',
    };

    /// Delimiters that occur in no record: CR ends it. A record read with them is one field.
    pub(super) const NONE: Self = Self {
        field: b'\r',
        repeat: b'\r',
        component: b'\r',
        escape: b'\r',
    };

    /// Delimiters of our own choice, by the same rules as those of a peer.
    ///
    /// # Errors
    /// A forbidden or repeated character; positions are those in a header.
    pub fn new(field: u8, repeat: u8, component: u8, escape: u8) -> Result<Self, DelimiterError> {
        let all = [field, repeat, component, escape];
        for (i, byte) in all.iter().enumerate() {
            if !is_allowed(*byte) {
                return Err(DelimiterError::Forbidden { at: i + 1 });
            }
            if all.iter().take(i).any(|other| other == byte) {
                return Err(DelimiterError::Duplicate { at: i + 1 });
            }
        }
        Ok(Self {
            field,
            repeat,
            component,
            escape,
        })
    }

    /// The delimiters of a header record: bytes 2 to 5, and byte 6 is the field delimiter again
    /// unless the record ends.
    ///
    /// # Errors
    /// Says what is wrong with them; a caller must then leave the message uninterpreted.
    pub fn from_header(record: &[u8]) -> Result<Self, DelimiterError> {
        let Some((b'H' | b'h', rest)) = record.split_first() else {
            return Err(DelimiterError::NotHeader);
        };
        let [field, repeat, component, escape, rest @ ..] = rest else {
            return Err(DelimiterError::TooShort);
        };
        let delimiters = Self::new(*field, *repeat, *component, *escape)?;
        match rest.first() {
            None | Some(b'\r' | b'\n') => Ok(delimiters),
            Some(byte) if byte == field => Ok(delimiters),
            Some(_) => Err(DelimiterError::TooLong),
        }
    }

    /// Between fields.
    pub const fn field(self) -> u8 {
        self.field
    }

    /// Between the repeats of a field.
    pub const fn repeat(self) -> u8 {
        self.repeat
    }

    /// Between the components of a repeat.
    pub const fn component(self) -> u8 {
        self.component
    }

    /// On both sides of an escape sequence.
    pub const fn escape(self) -> u8 {
        self.escape
    }

    /// Field 2 of a header.
    pub(super) const fn header_field(self) -> [u8; 3] {
        [self.repeat, self.component, self.escape]
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && byte != b'.' && byte != b','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_seen_in_the_field_are_read() {
        for header in [
            &br"H|\^&|||X"[..],
            br"H|\!~|||DxH|||||LIS||P|LIS2-A|20240703125902",
            br"H|@^\|GX||x",
            b"H|`^&",
            b"h|\\^&\r",
        ] {
            let read = Delimiters::from_header(header).unwrap();
            assert_eq!([read.field], header[1..2]);
            assert_eq!(read.header_field(), header[2..5]);
        }
    }

    #[test]
    fn unusable_delimiters_are_refused() {
        for (header, error) in [
            (&b"P|1"[..], DelimiterError::NotHeader),
            (b"", DelimiterError::NotHeader),
            (b"H|\\^", DelimiterError::TooShort),
            (b"H|\\^|X", DelimiterError::Duplicate { at: 4 }),
            (b"H|\\\\^&|X", DelimiterError::Duplicate { at: 3 }),
            (b"H|a^&|", DelimiterError::Forbidden { at: 2 }),
            (b"H|\\\r&|", DelimiterError::Forbidden { at: 3 }),
            (b"H|\\^.|", DelimiterError::Forbidden { at: 4 }),
            (b"H,\\^&,", DelimiterError::Forbidden { at: 1 }),
            (b"H5\\^&5", DelimiterError::Forbidden { at: 1 }),
            (b"H|\\^\xE9|", DelimiterError::Forbidden { at: 4 }),
            (b"H|\\^&#|", DelimiterError::TooLong),
        ] {
            assert_eq!(Delimiters::from_header(header), Err(error), "{header:?}");
        }
    }
}
