//! Bytes of a wire as a person writes them, and the messages in them.

mod own;

use std::ops::Range;

use bytes::Bytes;
use labwire_protocols::{
    astm::link::{Deframed, Refusal, RefusedFrame, checksum, deframe, notes::REPLY_DROPPED},
    bci,
    beckman_au::{Bcc, link::frame as framed},
    charset::Charset,
    dimension::link as dimension,
    mllp::{FS, VT},
    wire::{Note, Received},
};

use super::{Catalogue, Decoded, Joined, LineProfile, Wire, decode};
use crate::model::{Incomplete, Item};

/// Names of control characters in `wire` and `answer` of an example.
const NAMES: &[(&str, u8)] = &[
    ("ENQ", 0x05),
    ("ACK", 0x06),
    ("NAK", 0x15),
    ("STX", 0x02),
    ("ETX", 0x03),
    ("ETB", 0x17),
    ("EOT", 0x04),
    ("CR", b'\r'),
    ("LF", b'\n'),
    ("VT", VT),
    ("FS", FS),
    ("GS", GS),
    ("RS", 0x1E),
];

/// Reads example notation: `<STX>` and the like, `<xB5>` for any byte, `<CS>` for the checksum of
/// the frame before it; line breaks are for the eye only, everything else stands for itself. XML is
/// written as it is.
///
/// # Errors
/// A text for a person who edits a profile.
pub(super) fn read(text: &str, charset: Charset, wire: &Wire) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(ch) = rest.chars().next() {
        // Of XML, `<ACK>` and `<EOT>` are elements.
        if !wire.is_xml()
            && let Some((token, after)) = token(rest)
        {
            match token {
                Token::Byte(byte) => bytes.push(byte),
                Token::Checksum => {
                    let sum = checksum_of(&bytes, wire)?;
                    bytes.extend_from_slice(&sum);
                }
            }
            rest = after;
            continue;
        }
        rest = rest.get(ch.len_utf8()..).unwrap_or_default();
        if matches!(ch, '\n' | '\r') {
            continue;
        }
        let encoded = charset.encode(ch.encode_utf8(&mut [0; 4]));
        bytes.extend(encoded.map_err(|_| format!("`{ch}` is not in {}", charset.label()))?);
    }
    Ok(bytes)
}

/// The checksum of the frame that `bytes` end with, as its wire writes it.
fn checksum_of(bytes: &[u8], wire: &Wire) -> Result<Vec<u8>, String> {
    let start = match wire {
        Wire::Astm
        | Wire::Hl7
        | Wire::Dimension(_)
        | Wire::Poct1a(_)
        | Wire::Bci(_)
        | Wire::SysmexLegacy(_) => 0x02,
        Wire::BeckmanAu(dialect) => dialect.start,
    };
    let at = bytes.iter().rposition(|byte| *byte == start);
    let frame = at
        .and_then(|at| bytes.get(at + 1..))
        .ok_or("<CS> without <STX>")?;
    match wire {
        Wire::Astm | Wire::Hl7 => Ok(checksum(frame).to_vec()),
        Wire::Poct1a(_) | Wire::SysmexLegacy(_) => {
            Err("<CS> where a message has no checksum".to_owned())
        }
        Wire::Bci(wire) => {
            let message = frame.strip_suffix(&[GS]).ok_or("<CS> without <GS>")?;
            Ok(bci::link::checksum(message, wire.dialect.sums_line_ends).to_vec())
        }
        Wire::Dimension(_) => Ok(dimension::checksum(frame).to_vec()),
        Wire::BeckmanAu(dialect) if dialect.bcc == Bcc::Off => {
            Err("<CS> where `[link] checksum` is off".to_owned())
        }
        Wire::BeckmanAu(dialect) => {
            Ok(framed(frame, dialect).last().copied().into_iter().collect())
        }
    }
}

/// Before the checksum of a BCI message.
const GS: u8 = 0x1D;

enum Token {
    Byte(u8),
    Checksum,
}

fn token(text: &str) -> Option<(Token, &str)> {
    let (name, after) = text.strip_prefix('<')?.split_once('>')?;
    if name == "CS" {
        return Some((Token::Checksum, after));
    }
    if let Some((_, byte)) = NAMES.iter().find(|(own, _)| *own == name) {
        return Some((Token::Byte(*byte), after));
    }
    let digits = name.strip_prefix('x').filter(|digits| digits.len() == 2)?;
    Some((Token::Byte(u8::from_str_radix(digits, 16).ok()?), after))
}

/// Writes bytes in example notation, a line break after each CR.
pub(super) fn write(bytes: &[u8], charset: Charset) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        if let Some((name, _)) = NAMES.iter().find(|(_, own)| own == byte) {
            text.push_str(&format!("<{name}>"));
            if *byte == b'\r' {
                text.push('\n');
            }
            rest = after;
            continue;
        }
        // Letters have up to four bytes; the shortest run that decodes is one.
        let letter = (1..=4).find_map(|len| {
            let (head, tail) = rest.split_at_checked(len)?;
            Some((charset.decode(head).ok()?.into_owned(), tail))
        });
        match letter {
            Some((letter, tail)) => {
                text.push_str(&letter);
                rest = tail;
            }
            None => {
                text.push_str(&format!("<x{byte:02X}>"));
                rest = after;
            }
        }
    }
    text
}

/// Reads a capture of what a device sent: framed or not, one message or many. Frames that were
/// refused become incomplete items, so that nothing in the file goes unmentioned.
pub fn decode_capture(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    capture: &[u8],
) -> Vec<Decoded> {
    match &line.profile.wire {
        Wire::Astm => astm(line, catalogue, capture),
        Wire::BeckmanAu(dialect) => own::beckman_au(line, catalogue, dialect, capture),
        Wire::Dimension(dialect) => own::dimension(line, catalogue, dialect.checksum, capture),
        Wire::Poct1a(dialect) => own::poct1a(line, catalogue, dialect, capture),
        Wire::Bci(wire) => own::bci(line, catalogue, &wire.dialect, capture),
        Wire::SysmexLegacy(wire) => own::sysmex_legacy(line, catalogue, &wire.dialect, capture),
        Wire::Hl7 => blocks(capture)
            .into_iter()
            .map(|(block, is_complete)| {
                decode(
                    line,
                    catalogue,
                    capture.get(block).unwrap_or_default(),
                    is_complete,
                )
            })
            .collect(),
    }
}

fn astm(line: &LineProfile, catalogue: Option<&dyn Catalogue>, capture: &[u8]) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut notes: Vec<Note> = Vec::new();
    let mut cut = Cut::default();
    for part in deframe(capture) {
        match part {
            Deframed::Message(message) => {
                let joined = cut.joined(line, &message, &mut found);
                let raw = joined.as_ref().map_or(&*message.bytes, Joined::raw);
                let mut decoded = decode(line, catalogue, raw, message.is_complete);
                decoded.notes.splice(0..0, notes.drain(..));
                cut.push(line, &message, found.len());
                found.push(decoded);
            }
            Deframed::Refused(frame) => found.push(refused(&frame)),
            // A capture has one side: that nobody waited for replies says nothing about it.
            Deframed::Note(note) if note.code == REPLY_DROPPED.code => {}
            Deframed::Note(note) => notes.push(note),
        }
    }
    if !notes.is_empty() {
        match found.last_mut() {
            Some(last) => last.notes.append(&mut notes),
            None => found.push(Decoded {
                items: Vec::new(),
                notes,
                sender: String::new(),
                stranger: None,
            }),
        }
    }
    found
}

/// The messages that a capture ended in the middle, of a device that goes on there.
#[derive(Default)]
struct Cut(Vec<(usize, Bytes)>);

impl Cut {
    /// The message that `last` ends, if it goes on with those before it; what was decoded of them
    /// stands in the whole, and not by itself.
    fn joined(
        &mut self,
        line: &LineProfile,
        last: &Received,
        found: &mut [Decoded],
    ) -> Option<Joined> {
        if !line.profile.specimen.restarts_at_record {
            return None;
        }
        let raws: Vec<&[u8]> = self.0.iter().map(|(_, raw)| raw.as_ref()).collect();
        let joined = Joined::of(&raws, &last.bytes)?;
        for (index, _) in self.0.iter().skip(joined.left_out()) {
            if let Some(part) = found.get_mut(*index) {
                part.items.clear();
            }
        }
        Some(joined)
    }

    fn push(&mut self, line: &LineProfile, message: &Received, index: usize) {
        if message.is_complete {
            self.0.clear();
        } else if line.profile.specimen.restarts_at_record {
            self.0.push((index, message.bytes.clone()));
        }
    }
}

fn refused(frame: &RefusedFrame) -> Decoded {
    let number = frame
        .number
        .map_or_else(String::new, |byte| format!(" {}", char::from(byte)));
    let start = usize::try_from(frame.offset).unwrap_or(usize::MAX);
    let item = Item::Incomplete(Incomplete {
        why: format!("frame{number} refused: {}", reason(frame.reason)),
        span: start..start.saturating_add(frame.text.len()),
    });
    Decoded {
        items: vec![item],
        notes: Vec::new(),
        sender: String::new(),
        stranger: None,
    }
}

/// In the words that a person who reads a capture needs.
fn reason(refusal: Refusal) -> String {
    let digits = |digits: [u8; 2]| digits.map(char::from).iter().collect::<String>();
    match refusal {
        Refusal::Checksum {
            expected,
            actual: Some(actual),
        } => {
            format!(
                "its checksum is {}, its bytes give {}",
                digits(actual),
                digits(expected)
            )
        }
        Refusal::Checksum {
            expected,
            actual: None,
        } => {
            format!("it has no checksum, its bytes give {}", digits(expected))
        }
        Refusal::Number {
            expected: Some(expected),
        } => {
            format!(
                "its number skips, {} was expected",
                char::from(b'0' + expected % 8)
            )
        }
        Refusal::Number { expected: None } => "it has no number".to_owned(),
        Refusal::WrongRepeat => "it has the number of the frame before, and other bytes".to_owned(),
        Refusal::Control => "ENQ or EOT stands in its text".to_owned(),
        Refusal::TooLong => "its text is longer than the limit".to_owned(),
        Refusal::Limit => "its message is longer than the limit".to_owned(),
        Refusal::Cut => "it ends before its checksum".to_owned(),
        Refusal::Unresolved => "an earlier version of it is not yet stored".to_owned(),
    }
}

/// Where the messages of a capture of MLLP blocks lie, and whether each was ended. A file without
/// any VT is read as messages that begin with MSH.
fn blocks(capture: &[u8]) -> Vec<(Range<usize>, bool)> {
    if !capture.contains(&VT) {
        return bare_messages(capture);
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find(capture, at, VT).map(|vt| vt + 1) {
        let restart = find(capture, start, VT).unwrap_or(capture.len());
        let end = find(capture, start, FS).filter(|end| *end < restart);
        found.push((start..end.unwrap_or(restart), end.is_some()));
        at = end.unwrap_or(restart);
    }
    found
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    bytes
        .get(from..)?
        .iter()
        .position(|byte| *byte == wanted)
        .map(|at| from + at)
}

fn bare_messages(capture: &[u8]) -> Vec<(Range<usize>, bool)> {
    let end = find(capture, 0, FS).unwrap_or(capture.len());
    let mut starts: Vec<usize> = vec![0];
    for at in 1..end {
        let is_line = capture
            .get(at - 1)
            .is_some_and(|byte| matches!(byte, b'\r' | b'\n'));
        if is_line
            && capture
                .get(at..)
                .is_some_and(|rest| rest.starts_with(b"MSH|"))
        {
            starts.push(at);
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([end]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| (start..end, true))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_is_read_and_written() {
        let bytes = read(
            "<ENQ><STX>1L|1|N<CR><ETX><CS><CR><LF><EOT>",
            Charset::Latin1,
            &Wire::Astm,
        );
        assert_eq!(bytes.as_deref(), Ok(&b"\x05\x021L|1|N\r\x0304\r\n\x04"[..]));
        let bytes = read("µ<15<xFF>\n<y>", Charset::Latin1, &Wire::Astm).expect("readable");
        assert_eq!(bytes, b"\xB5<15\xFF<y>");
        assert_eq!(write(&bytes, Charset::Latin1), "µ<15ÿ<y>");
        assert_eq!(write(b"A\r\xFF", Charset::Utf8), "A<CR>\n<xFF>");
        assert!(read("<CS>", Charset::Latin1, &Wire::Astm).is_err());
        assert!(read("Ạ", Charset::Latin1, &Wire::Astm).is_err());
    }

    #[test]
    fn blocks_are_found_with_and_without_their_marks() {
        assert_eq!(blocks(b"MSH|1\rMSH|2\r"), [(0..6, true), (6..12, true)]);
        assert_eq!(
            blocks(b"\x0BMSH|1\r\x1C\r\x0BMSH|2\r"),
            [(1..7, true), (10..16, false)]
        );
        assert_eq!(
            blocks(b"\x0BMSH|1\x0BMSH|2\x1C\r"),
            [(1..6, false), (7..12, true)]
        );
    }
}
