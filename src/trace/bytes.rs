//! Bytes of a wire as a person can read them.

use std::ops::Range;

/// Names of control characters, as profiles write them in their examples.
const NAMES: &[(u8, &str)] = &[
    (0x02, "<STX>"),
    (0x03, "<ETX>"),
    (0x04, "<EOT>"),
    (0x05, "<ENQ>"),
    (0x06, "<ACK>"),
    (b'\n', "<LF>"),
    (0x0B, "<VT>"),
    (b'\r', "<CR>"),
    (0x15, "<NAK>"),
    (0x17, "<ETB>"),
    (0x1C, "<FS>"),
];

/// Bytes as text: control characters by name, text where it is UTF-8, any other byte as `<xB5>`.
/// Nothing comes out that a terminal would obey.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut text, c));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| text.push_str(&format!("<x{byte:02X}>")));
    }
    text
}

fn push_char(text: &mut String, c: char) {
    let name = NAMES.iter().find(|(byte, _)| char::from(*byte) == c);
    match name {
        Some((_, name)) => text.push_str(name),
        None if c.is_ascii_control() => text.push_str(&format!("<x{:02X}>", u32::from(c))),
        None if c.is_control() || is_format(c) => {
            text.push_str(&format!("<U+{:04X}>", u32::from(c)));
        }
        None => text.push(c),
    }
}

/// Characters that turn the direction of what follows, or show as nothing at all.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// Where the records or segments of a message lie, each with its end.
pub(super) fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let ends = match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            lines.push(start..at + 1);
            start = at + 1;
        }
    }
    if start < bytes.len() {
        lines.push(start..bytes.len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown_as_it_is() {
        assert_eq!(visible(b"H|\\^&\r\n\x02"), "H|\\^&<CR><LF><STX>");
        assert_eq!(visible(b"\x1B[2J\x00\x7F\t"), "<x1B>[2J<x00><x7F><x09>");
        assert_eq!(visible("TRẦN 6µ".as_bytes()), "TRẦN 6µ");
        assert_eq!(visible(b"6\xB5L"), "6<xB5>L");
        assert_eq!(
            visible("a\u{9B}b\u{202E}c".as_bytes()),
            "a<U+009B>b<U+202E>c"
        );
    }

    #[test]
    fn lines_keep_every_byte() {
        assert_eq!(lines(b"H\rL\r\nX"), [0..2, 2..5, 5..6]);
        assert_eq!(lines(b""), [] as [Range<usize>; 0]);
        assert_eq!(lines(b"\r\r"), [0..1, 1..2]);
    }
}
