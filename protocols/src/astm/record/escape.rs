//! Escape sequences of text (LIS02-A2 6.5), shown here with `&`.
//!
//! Fields are split first, then unescaped, then decoded: the hex digits of `&Xhh&` are bytes of the
//! message's character set.

use std::borrow::Cow;

use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::{tag, take_while1},
    character::complete::{char, hex_digit1},
    combinator::{all_consuming, map, verify},
    sequence::preceded,
};

use super::{delimiters::Delimiters, notes};
use crate::{
    charset::{Charset, DecodeError},
    wire::Note,
};

/// The text of a field, repeat or component: escapes resolved, then decoded.
///
/// # Errors
/// The offset in `raw` of the first byte that is no character.
pub fn unescape(
    raw: &[u8],
    delimiters: Delimiters,
    charset: Charset,
) -> Result<(Cow<'_, str>, Vec<Note>), DecodeError> {
    let escape = delimiters.escape();
    // Nearly every field is short, plain ASCII: one look at its bytes is enough.
    let is_plain = raw.iter().fold(true, |plain, byte| {
        plain & byte.is_ascii() & (*byte != escape)
    });
    if is_plain && let Ok(text) = std::str::from_utf8(raw) {
        return Ok((Cow::Borrowed(text), Vec::new()));
    }
    if !raw.contains(&escape) {
        return Ok((charset.decode(raw)?, Vec::new()));
    }
    let (bytes, notes) = unescape_bytes(raw, delimiters);
    let text = charset.decode(&bytes).map_err(|error| DecodeError {
        at: offset_before_unescaping(raw, delimiters, error.at),
        ..error
    })?;
    Ok((Cow::Owned(text.into_owned()), notes))
}

/// The bytes of a field, repeat or component with escapes resolved, not yet decoded. Borrowed where
/// nothing changes.
pub fn unescape_bytes(raw: &[u8], delimiters: Delimiters) -> (Cow<'_, [u8]>, Vec<Note>) {
    if !raw.contains(&delimiters.escape()) {
        return (Cow::Borrowed(raw), Vec::new());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut found = Vec::new();
    for piece in pieces(raw, delimiters) {
        piece.push_to(&mut bytes);
        if let Some(note) = piece.note
            && !found.iter().any(|n: &Note| n.code == note.code)
        {
            found.push(note.at(u64::try_from(piece.start).unwrap_or(u64::MAX)));
        }
    }
    (Cow::Owned(bytes), found)
}

/// Writes `bytes` so that [`unescape_bytes`] gives them back, with no delimiter and no control
/// character among what is written.
pub fn escape_into(bytes: &[u8], delimiters: Delimiters, out: &mut Vec<u8>) {
    let escape = delimiters.escape();
    for run in bytes.chunk_by(|a, b| is_restricted(*a) == is_restricted(*b)) {
        if run.first().copied().is_some_and(is_restricted) {
            out.extend_from_slice(&[escape, b'X']);
            run.iter()
                .for_each(|byte| out.extend_from_slice(&hex(*byte)));
            out.push(escape);
            continue;
        }
        for byte in run {
            match letter_of(*byte, delimiters) {
                Some(letter) => out.extend_from_slice(&[escape, letter, escape]),
                None => out.push(*byte),
            }
        }
    }
}

/// Bytes that LIS02-A2 5.1 keeps out of records: controls, DEL and 0xFF.
pub(super) fn is_restricted(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7F || byte == 0xFF
}

fn letter_of(byte: u8, delimiters: Delimiters) -> Option<u8> {
    match byte {
        b if b == delimiters.field() => Some(b'F'),
        b if b == delimiters.component() => Some(b'S'),
        b if b == delimiters.repeat() => Some(b'R'),
        b if b == delimiters.escape() => Some(b'E'),
        _ => None,
    }
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [byte >> 4, byte & 0xF].map(|n| DIGITS.get(usize::from(n)).copied().unwrap_or(b'0'))
}

/// What one stretch of raw text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning<'a> {
    /// These bytes themselves.
    Literal(&'a [u8]),
    /// One delimiter.
    Byte(u8),
    /// Pairs of hex digits.
    Hex(&'a [u8]),
    /// Start or end of highlighting: no text.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    start: usize,
    meaning: Meaning<'a>,
    note: Option<Note>,
}

impl Piece<'_> {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        match self.meaning {
            Meaning::Literal(literal) => bytes.extend_from_slice(literal),
            Meaning::Byte(byte) => bytes.push(byte),
            Meaning::Hex(digits) => bytes.extend(digits.chunks_exact(2).map(hex_value)),
            Meaning::Nothing => {}
        }
    }
}

fn hex_value(pair: &[u8]) -> u8 {
    pair.iter().fold(0, |value, digit| {
        let nibble = char::from(*digit)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok());
        (value << 4) | nibble.unwrap_or(0)
    })
}

/// Cuts `raw` into literal runs and escape sequences; together they cover it without gaps.
fn pieces(raw: &[u8], delimiters: Delimiters) -> impl Iterator<Item = Piece<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = raw.get(start..).filter(|rest| !rest.is_empty())?;
        let (length, meaning, note) = next_piece(rest, delimiters);
        let piece = Piece {
            start,
            meaning,
            note,
        };
        start += length;
        Some(piece)
    })
}

fn next_piece(rest: &[u8], delimiters: Delimiters) -> (usize, Meaning<'_>, Option<Note>) {
    let escape = delimiters.escape();
    let position = |bytes: &[u8]| bytes.iter().position(|b| *b == escape);
    let literal = |length| Meaning::Literal(rest.get(..length).unwrap_or(rest));
    match position(rest) {
        None => return (rest.len(), literal(rest.len()), None),
        Some(0) => {}
        Some(before) => return (before, literal(before), None),
    }
    let inside = rest.get(1..).unwrap_or_default();
    let Some(length) = position(inside) else {
        return (rest.len(), literal(rest.len()), Some(notes::ESCAPE_OPEN));
    };
    let whole = length + 2;
    match sequence(inside.get(..length).unwrap_or_default(), delimiters) {
        Ok((_, Some(meaning))) => (whole, meaning, None),
        // `&Zcccc&` means something to its vendor: kept as sent.
        Ok((_, None)) => (whole, literal(whole), None),
        Err(_) => (whole, literal(whole), Some(notes::ESCAPE_UNKNOWN)),
    }
}

/// The inside of an escape sequence; `None` for a vendor's own.
fn sequence(inside: &[u8], d: Delimiters) -> IResult<&[u8], Option<Meaning<'_>>> {
    let digits = verify(hex_digit1, |digits: &[u8]| digits.len().is_multiple_of(2));
    all_consuming(alt((
        map(tag("F"), move |_: &[u8]| Some(Meaning::Byte(d.field()))),
        map(tag("S"), move |_| Some(Meaning::Byte(d.component()))),
        map(tag("R"), move |_| Some(Meaning::Byte(d.repeat()))),
        map(tag("E"), move |_| Some(Meaning::Byte(d.escape()))),
        map(alt((tag("H"), tag("N"))), |_| Some(Meaning::Nothing)),
        map(preceded(char('X'), digits), |digits| {
            Some(Meaning::Hex(digits))
        }),
        map(preceded(char('Z'), take_while1(|_| true)), |_| None),
    )))
    .parse(inside)
}

/// Where in `raw` the byte at `at` of its unescaped form comes from.
fn offset_before_unescaping(raw: &[u8], delimiters: Delimiters, at: usize) -> usize {
    let mut bytes = Vec::with_capacity(raw.len());
    for piece in pieces(raw, delimiters) {
        let before = bytes.len();
        piece.push_to(&mut bytes);
        if at < bytes.len() {
            let inside = if matches!(piece.meaning, Meaning::Literal(_)) {
                at - before
            } else {
                0
            };
            return piece.start + inside;
        }
    }
    raw.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(raw: &str, text: &str, notes: &[(Note, u64)]) {
        let (read, found) =
            unescape(raw.as_bytes(), Delimiters::STANDARD, Charset::Latin1).unwrap();
        assert_eq!(read, text, "{raw}");
        let expected: Vec<Note> = notes.iter().map(|(note, at)| note.at(*at)).collect();
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn every_escape_of_the_standard_is_resolved() {
        check("smear &F& count", "smear | count", &[]);
        check("a&S&b&R&c&E&d", r"a^b\c&d", &[]);
        check("R&E&D", "R&D", &[]);
        check("PNG&R&20240628&R&1", r"PNG\20240628\1", &[]);
        check("&X41&&X6263b5&", "Abc\u{b5}", &[]);
        check("&H&high&N& low", "high low", &[]);
        check("a&Zpos1&b", "a&Zpos1&b", &[]);
        check("", "", &[]);
    }

    #[test]
    fn sequences_outside_the_standard_stay_as_text_with_a_note() {
        check("R&D", "R&D", &[(notes::ESCAPE_OPEN, 1)]);
        check("&", "&", &[(notes::ESCAPE_OPEN, 0)]);
        check("a&Q&b", "a&Q&b", &[(notes::ESCAPE_UNKNOWN, 1)]);
        check("&&", "&&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        check("&X4&", "&X4&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        check("&X&", "&X&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        check("&Xzz&", "&Xzz&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        check("&f&", "&f&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        check("&Z&", "&Z&", &[(notes::ESCAPE_UNKNOWN, 0)]);
        let twice = [(notes::ESCAPE_UNKNOWN, 0), (notes::ESCAPE_OPEN, 8)];
        check(
            "&Q&&Q&x&",
            "&Q&&Q&x&",
            &[(notes::ESCAPE_UNKNOWN, 0), (notes::ESCAPE_OPEN, 7)],
        );
        check("&Q&&F&xy&", "&Q&|xy&", &twice);
    }

    #[test]
    fn hex_digits_are_bytes_of_the_character_set() {
        let text = |raw: &[u8], set| {
            unescape(raw, Delimiters::STANDARD, set)
                .unwrap()
                .0
                .into_owned()
        };
        assert_eq!(text(b"&XC3AA&", Charset::Utf8), "ê");
        assert_eq!(text(b"\xC3&XAA&", Charset::Utf8), "ê");
        assert_eq!(text(b"&XB5&", Charset::Latin1), "µ");
        assert_eq!(text(b"&XE6&", Charset::Cp850), "µ");
    }

    #[test]
    fn a_byte_that_does_not_decode_is_named_by_its_place_in_the_raw_text() {
        for (raw, at) in [
            (&b"ab\xFF"[..], 2),
            (b"&F&ab\xFFc", 5),
            (b"a&X41FF&b", 1),
            (b"&F&\xC3", 3),
        ] {
            let error = unescape(raw, Delimiters::STANDARD, Charset::Utf8).unwrap_err();
            assert_eq!(
                error,
                DecodeError {
                    charset: Charset::Utf8,
                    at
                },
                "{raw:?}"
            );
        }
    }

    #[test]
    fn other_delimiters_change_what_is_escaped() {
        let genexpert = Delimiters::from_header(br"H|@^\|").unwrap();
        let (text, notes) = unescape(br"a\R\b\E\&F&", genexpert, Charset::Ascii).unwrap();
        assert_eq!((&*text, notes.len()), (r"a@b\&F&", 0));
        let mut out = vec![];
        escape_into(br"@\^|&", genexpert, &mut out);
        assert_eq!(out, br"\R\\E\\S\\F\&");
    }

    proptest! {
        #[test]
        fn escaped_bytes_come_back_and_hold_no_delimiter(bytes: Vec<u8>) {
            let mut out = vec![];
            escape_into(&bytes, Delimiters::STANDARD, &mut out);
            prop_assert!(!out.iter().any(|b| is_restricted(*b) || b"|\\^".contains(b)));
            let (back, notes) = unescape_bytes(&out, Delimiters::STANDARD);
            prop_assert_eq!((back.as_ref(), notes), (bytes.as_slice(), vec![]));
        }

        #[test]
        fn pieces_cover_any_text_without_gaps(raw in "[&XZFa4]{0,40}") {
            let mut next = 0;
            for piece in pieces(raw.as_bytes(), Delimiters::STANDARD) {
                prop_assert_eq!(piece.start, next);
                next += next_piece(&raw.as_bytes()[next..], Delimiters::STANDARD).0;
            }
            prop_assert_eq!(next, raw.len());
        }
    }
}
