//! Field addresses as instrument profiles write them: `R.3.5`, `O.4.3`, `H.12`, `O.5[2].4`.

use std::{fmt, str::FromStr};

use nom::{
    IResult, Parser as _,
    character::complete::{char, satisfy, u16},
    combinator::{all_consuming, opt, verify},
    sequence::{delimited, preceded},
};
use thiserror::Error;

use super::{
    limits::FIELDS_MAX,
    message::{Record, RecordKind},
};

/// A field, a repeat of it, or a component: `R.3`, `R.3[2]`, `R.3.5`, `R.3[2].5`. All counts are
/// from 1, and the record letter is field 1. A component without a repeat is that of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    letter: u8,
    field: u16,
    repeat: Option<u16>,
    component: Option<u16>,
}

/// Text that is not a field address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("read a field address: write it as R.3, R.3.5 or R.3[2].5, counted from 1")]
pub struct PathError;

impl Path {
    /// The address of a whole field of a record type; `None` for field 0 or one beyond the limit.
    pub fn field_of(kind: RecordKind, field: usize) -> Option<Self> {
        let field = u16::try_from(field).ok().filter(|n| is_field(*n))?;
        Some(Self {
            letter: kind.letter(),
            field,
            repeat: None,
            component: None,
        })
    }

    /// Reads an address.
    ///
    /// # Errors
    /// If it is not one; nothing may follow it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        all_consuming(path)
            .parse(text)
            .map(|(_, path)| path)
            .map_err(|_| PathError)
    }

    /// The record type it belongs to.
    pub const fn kind(&self) -> RecordKind {
        RecordKind::from_letter(self.letter)
    }

    /// The field, from 1.
    pub fn field(&self) -> usize {
        usize::from(self.field)
    }

    /// What stands there, as sent; `None` if the record is of another type, or nothing was sent:
    /// an empty field and one left out at the end are the same null.
    pub fn get<'a>(&self, record: &Record<'a>) -> Option<&'a [u8]> {
        if record.kind() != self.kind() {
            return None;
        }
        let field = record.field(usize::from(self.field));
        let raw = match (self.repeat, self.component) {
            (None, None) => field.raw(),
            (Some(repeat), None) => field.repeat(usize::from(repeat)).raw(),
            (repeat, Some(component)) => {
                let repeat = field.repeat(usize::from(repeat.unwrap_or(1)));
                repeat.component(usize::from(component)).raw()
            }
        };
        (!raw.is_empty()).then_some(raw)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", char::from(self.letter), self.field)?;
        if let Some(repeat) = self.repeat {
            write!(f, "[{repeat}]")?;
        }
        if let Some(component) = self.component {
            write!(f, ".{component}")?;
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

fn path(input: &str) -> IResult<&str, Path> {
    let letter = satisfy(|c| c.is_ascii_uppercase());
    let field = preceded(char('.'), verify(u16, |n| is_field(*n)));
    let repeat = opt(delimited(char('['), verify(u16, |n| *n > 0), char(']')));
    let component = opt(preceded(char('.'), verify(u16, |n| *n > 0)));
    let (rest, (letter, field, repeat, component)) =
        (letter, field, repeat, component).parse(input)?;
    // An ASCII letter is one byte; the fallback is no record type.
    let letter = u8::try_from(letter).unwrap_or(b'?');
    Ok((
        rest,
        Path {
            letter,
            field,
            repeat,
            component,
        },
    ))
}

fn is_field(n: u16) -> bool {
    n > 0 && usize::from(n) <= FIELDS_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::astm::record::Message;

    #[test]
    fn addresses_find_what_was_sent() {
        let (message, _) =
            Message::parse(b"H|\\^&|||XN^1.0|||||||Q\rO|1|a\\b^c^d||^^^TSH\\^^^FT4|\r");
        let get = |path: &str, n: usize| {
            let found = Path::parse(path).unwrap().get(&message.records()[n]);
            found.map(|raw| String::from_utf8(raw.to_vec()).unwrap())
        };
        for (path, n, found) in [
            ("H.1", 0, Some("H")),
            ("H.2", 0, Some("\\^&")),
            ("H.2.1", 0, Some("\\^&")),
            ("H.5", 0, Some("XN^1.0")),
            ("H.5.2", 0, Some("1.0")),
            ("H.12", 0, Some("Q")),
            ("H.13", 0, None),
            ("O.3", 1, Some("a\\b^c^d")),
            ("O.3.1", 1, Some("a")),
            ("O.3[2]", 1, Some("b^c^d")),
            ("O.3[2].3", 1, Some("d")),
            ("O.3[2].4", 1, None),
            ("O.3[3]", 1, None),
            ("O.5.4", 1, Some("TSH")),
            ("O.5[2].4", 1, Some("FT4")),
            ("O.6", 1, None),
            ("O.31", 1, None),
            ("R.3", 1, None),
        ] {
            assert_eq!(get(path, n).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "", "R", "R.", "R.0", "R.3.0", "R.3[0]", "r.3", "R.3[2", "R.3.2.1", "R.3 ", "R3",
            "R.1025", "R.99999", "OO.1", "Đ.1", "R.-1",
        ] {
            assert_eq!(Path::parse(text), Err(PathError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_print_as_they_were_written(
            text in "[A-Z]\\.[1-9][0-9]{0,2}(\\[[1-9][0-9]{0,3}\\])?(\\.[1-9][0-9]{0,3})?",
        ) {
            prop_assert_eq!(Path::parse(&text).unwrap().to_string(), text);
        }
    }
}
