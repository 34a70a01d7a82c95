//! Escape sequences (HL7 v2.5.1 2.7): the whole set, and nothing lost that is not understood.

use std::borrow::Cow;

use super::Separators;
use crate::wire::Note;

/// An escape that is not defined, or a lone escape character: kept as sent.
pub const NOTE_UNKNOWN: Note = Note::new("HL7-0201", "unknown escape sequence kept as sent");
/// A character set switch or a local escape: kept as sent.
pub const NOTE_KEPT: Note = Note::new(
    "HL7-0202",
    "character set or local escape sequence kept as sent",
);
/// Hexadecimal bytes that are no text in the character set of the message: kept as sent.
pub const NOTE_HEX: Note = Note::new("HL7-0203", "hexadecimal escape is no text; kept as sent");

/// Most lines or spaces that one `\.sp n\` or `\.sk n\` adds: a page.
const LAYOUT_MAX: usize = 66;

/// Decodes all escape sequences of one component (2.7.1): delimiters, hexadecimal bytes,
/// formatting (line breaks and spaces as text), highlighting (dropped). What is not understood
/// stays as sent and is noted at its byte offset. `\Xdd\` must be UTF-8; see [`decode_with`].
pub fn decode(raw: &str, separators: Separators) -> (Cow<'_, str>, Vec<Note>) {
    decode_with(raw, separators, |bytes| {
        std::str::from_utf8(bytes)
            .ok()
            .map(|text| Cow::Owned(text.to_owned()))
    })
}

/// [`decode`], with the bytes of `\Xdd\` decoded by `hex` (the line's character set).
pub fn decode_with(
    raw: &str,
    separators: Separators,
    hex: impl Fn(&[u8]) -> Option<Cow<'static, str>>,
) -> (Cow<'_, str>, Vec<Note>) {
    let escape = char::from(separators.escape());
    let Some(first) = raw.find(escape) else {
        return (Cow::Borrowed(raw), Vec::new());
    };
    let mut notes = Notes::default();
    let mut text = String::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at_checked(first).unwrap_or((raw, ""));
    text.push_str(plain);
    // Invariant: `rest` begins with the escape character, or is empty.
    while let Some(after) = rest.strip_prefix(escape) {
        let at = raw.len().saturating_sub(rest.len());
        let close = after.find(escape);
        let body = close.and_then(|close| after.get(..close));
        let read = body.map_or(Sequence::Unknown, |body| sequence(body, separators, &hex));
        rest = match (read, close) {
            (Sequence::Text(decoded), Some(close)) => {
                text.push_str(&decoded);
                after.get(close.saturating_add(1)..).unwrap_or_default()
            }
            (Sequence::Kept(note), Some(close)) => {
                notes.add(note, at);
                let end = close.saturating_add(2);
                text.push_str(rest.get(..end).unwrap_or_default());
                rest.get(end..).unwrap_or_default()
            }
            _ => {
                notes.add(NOTE_UNKNOWN, at);
                text.push(escape);
                after
            }
        };
        let (plain, next) = rest
            .split_at_checked(rest.find(escape).unwrap_or(rest.len()))
            .unwrap_or((rest, ""));
        text.push_str(plain);
        rest = next;
    }
    (Cow::Owned(text), notes.0)
}

/// What stands between two escape characters.
enum Sequence {
    Text(Cow<'static, str>),
    Kept(Note),
    Unknown,
}

/// One note of a kind and place is enough; a text of backslashes must not fill the memory.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    fn add(&mut self, note: Note, at: usize) {
        if !self.0.iter().any(|known| known.code == note.code) {
            self.0.push(note.at(u64::try_from(at).unwrap_or(u64::MAX)));
        }
    }
}

fn sequence(
    body: &str,
    separators: Separators,
    hex: impl Fn(&[u8]) -> Option<Cow<'static, str>>,
) -> Sequence {
    let one = |byte: u8| Sequence::Text(Cow::Owned(char::from(byte).to_string()));
    match body {
        "F" => one(separators.field()),
        "S" => one(separators.component()),
        "R" => one(separators.repetition()),
        "E" => one(separators.escape()),
        // Senders that declare fewer delimiters still write the escapes of the usual ones.
        "T" => one(separators.subcomponent().unwrap_or(b'&')),
        "P" => one(separators.truncation().unwrap_or(b'#')),
        "H" | "N" => Sequence::Text(Cow::Borrowed("")),
        _ => long_sequence(body, hex),
    }
}

fn long_sequence(body: &str, hex: impl Fn(&[u8]) -> Option<Cow<'static, str>>) -> Sequence {
    let mut chars = body.chars();
    let kind = chars.next();
    let argument = chars.as_str();
    let is_hex = !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_hexdigit());
    match kind {
        Some('X') if is_hex && argument.len().is_multiple_of(2) => {
            let decoded = hex_bytes(argument).and_then(|bytes| hex(&bytes));
            decoded.map_or(Sequence::Kept(NOTE_HEX), Sequence::Text)
        }
        Some('C' | 'M') if is_hex => Sequence::Kept(NOTE_KEPT),
        Some('Z') if argument.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Sequence::Kept(NOTE_KEPT)
        }
        Some('.') => formatting(argument),
        _ => Sequence::Unknown,
    }
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Formatting commands of FT (2.7.6), as far as plain text can follow them.
fn formatting(command: &str) -> Sequence {
    let (name, argument) = command.split_at_checked(2).unwrap_or((command, ""));
    let argument = argument.trim_start();
    let count: Option<usize> = if argument.is_empty() {
        Some(1)
    } else {
        argument.trim_start_matches('+').parse().ok()
    };
    let is_number = argument
        .strip_prefix(['+', '-'])
        .unwrap_or(argument)
        .parse::<u32>()
        .is_ok();
    match (name, count) {
        ("br" | "ce", _) if argument.is_empty() => Sequence::Text(Cow::Borrowed("\n")),
        ("sp", Some(count)) => Sequence::Text(Cow::Owned("\n".repeat(count.min(LAYOUT_MAX)))),
        ("sk", Some(count)) => Sequence::Text(Cow::Owned(" ".repeat(count.min(LAYOUT_MAX)))),
        ("fi" | "nf", _) if argument.is_empty() => Sequence::Text(Cow::Borrowed("")),
        ("in" | "ti", _) if is_number => Sequence::Text(Cow::Borrowed("")),
        _ => Sequence::Unknown,
    }
}

/// Encodes a text so that it can stand in any component (2.7.1): delimiters by their letters,
/// control characters as `\Xdd\`. [`decode`] gives the same text back.
pub fn encode(text: &str, separators: Separators) -> Cow<'_, str> {
    if !text.bytes().any(|byte| needs_escape(byte, separators)) {
        return Cow::Borrowed(text);
    }
    let escape = char::from(separators.escape());
    let mut out = String::with_capacity(text.len().saturating_add(8));
    for c in text.chars() {
        let Some(byte) = u8::try_from(c)
            .ok()
            .filter(|&byte| needs_escape(byte, separators))
        else {
            out.push(c);
            continue;
        };
        out.push(escape);
        match letter(byte, separators) {
            Some(letter) => out.push(letter),
            None => out.push_str(&format!("X{byte:02X}")),
        }
        out.push(escape);
    }
    Cow::Owned(out)
}

fn needs_escape(byte: u8, separators: Separators) -> bool {
    byte.is_ascii_control() || letter(byte, separators).is_some()
}

fn letter(byte: u8, separators: Separators) -> Option<char> {
    let letters = [
        (Some(separators.field()), 'F'),
        (Some(separators.component()), 'S'),
        (separators.subcomponent(), 'T'),
        (Some(separators.repetition()), 'R'),
        (Some(separators.escape()), 'E'),
        (separators.truncation(), 'P'),
    ];
    letters
        .into_iter()
        .find(|(delimiter, _)| *delimiter == Some(byte))
        .map(|(_, letter)| letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str, codes: &[&str]) {
        let (text, notes) = decode(raw, Separators::STANDARD);
        assert_eq!(text, expected, "{raw:?}");
        assert_eq!(
            notes.iter().map(|note| note.code).collect::<Vec<_>>(),
            codes,
            "{raw:?}"
        );
    }

    #[test]
    fn every_defined_sequence_decodes() {
        check(r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f", &[]);
        check(r"\P\", "#", &[]);
        check(r"\X0D0A\", "\r\n", &[]);
        check(r"\XC3A9\", "é", &[]);
        check(
            r"one\.br\two\.sp\three\.sp 2\four\.sp+3\five",
            "one\ntwo\nthree\n\nfour\n\n\nfive",
            &[],
        );
        check(
            r"a\.sk 3\b\.in+4\c\.ti-2\d\.fi\e\.nf\f\.ce\g",
            "a   bcdef\ng",
            &[],
        );
        check(r"\H\bold\N\", "bold", &[]);
    }

    #[test]
    fn what_is_not_understood_stays_as_sent() {
        check(r"\C2842\x", r"\C2842\x", &["HL7-0202"]);
        check(r"\M244242\x", r"\M244242\x", &["HL7-0202"]);
        check(r"\Z12\x", r"\Z12\x", &["HL7-0202"]);
        check(r"\XE9\x", r"\XE9\x", &["HL7-0203"]);
        check(r"\XE\x", r"\XE\x", &["HL7-0201"]);
        check(r"a\b", r"a\b", &["HL7-0201"]);
        check(r"a\b\F\c", r"a\b|c", &["HL7-0201"]);
        check(r"C:\temp\new", r"C:\temp\new", &["HL7-0201"]);
        check(r"\", r"\", &["HL7-0201"]);
        check(r"\\", r"\\", &["HL7-0201"]);
        check(r"\.zz\x", r"\.zz\x", &["HL7-0201"]);
        check(r"\.br", r"\.br", &["HL7-0201"]);
    }

    #[test]
    fn hexadecimal_bytes_go_through_the_character_set_of_the_line() {
        let latin = |bytes: &[u8]| {
            Some(Cow::Owned(
                bytes.iter().copied().map(char::from).collect::<String>(),
            ))
        };
        let (text, notes) = decode_with(r"caf\XE9\", Separators::STANDARD, latin);
        assert_eq!((text.as_ref(), notes.len()), ("café", 0));
    }

    #[test]
    fn a_layout_command_cannot_blow_up_the_text() {
        let (text, _) = decode(r"\.sk 999999999\", Separators::STANDARD);
        assert_eq!(text.len(), LAYOUT_MAX);
    }

    #[test]
    fn undeclared_delimiters_are_not_escaped_but_read() {
        let three = Separators::read(br"MSH|^~\|").unwrap();
        assert_eq!(encode("a&b", three), "a&b");
        assert_eq!(decode(r"a\T\b", three).0, "a&b");
    }

    proptest! {
        #[test]
        fn any_text_survives_encoding(text in any::<String>()) {
            for header in [r"MSH|^~\&|", r"MSH|^~\&#|", r"MSH$%*!/$"] {
                let separators = Separators::read(header.as_bytes()).unwrap();
                let encoded = encode(&text, separators);
                prop_assert!(!encoded.bytes().any(|b| b.is_ascii_control()));
                prop_assert!(!encoded.contains(char::from(separators.field())));
                prop_assert!(!encoded.contains(char::from(separators.component())));
                prop_assert!(!encoded.contains(char::from(separators.repetition())));
                let (decoded, notes) = decode(&encoded, separators);
                prop_assert_eq!(decoded.as_ref(), text.as_str());
                prop_assert!(notes.is_empty());
            }
        }

        #[test]
        fn decoding_survives_any_text(text in r"[\\XFSTRECMZ.br0-9a-f ]{0,60}") {
            let (decoded, _) = decode(&text, Separators::STANDARD);
            prop_assert!(decoded.len() <= text.len() + 66 * text.len());
        }
    }
}
