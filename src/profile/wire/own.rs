//! Captures of a vendor's own wire: its link reads them as it reads the line.

use labwire_protocols::{
    bci,
    beckman_au::{Class, Dialect, Link, notes::REPLY_UNASKED},
    dimension::{dialect::ChecksumRule, link::checksum},
    mllp::FS,
    poct1a, sysmex_legacy,
    wire::{Commit, Input, Machine, Mono, Note, Output, Received},
};

use super::super::{Catalogue, Decoded, LineProfile, decode, decode_after};
use crate::model::{Incomplete, Item};

/// Reads a capture of a Beckman AU line. A damaged block is kept, as on a line of class A: nobody is
/// there who could send it again, and its text comes out incomplete.
pub(super) fn beckman_au(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    dialect: &Dialect,
    capture: &[u8],
) -> Vec<Decoded> {
    if !capture.contains(&dialect.start) {
        let texts = capture.split_inclusive(|byte| *byte == dialect.text_end);
        let texts = texts.map(|text| text.trim_ascii_start());
        return texts
            .filter(|text| !text.is_empty())
            .map(|text| decode(line, catalogue, text, text.ends_with(&[dialect.text_end])))
            .collect();
    }
    let mut link = Link::new(Dialect {
        class: Class::A,
        ..dialect.clone()
    });
    let parts = parts(&mut link, capture);
    // Replies of the other side say nothing about what the device sent.
    let is_news =
        |part: &Part| !matches!(part, Part::Note(note) if note.code == REPLY_UNASKED.code);
    decoded(line, catalogue, parts.into_iter().filter(is_news))
}

/// Reads a capture of a Dimension line, both sides of it or one. A frame whose checksum differs is an
/// incomplete item, unless the profile takes such frames.
pub(super) fn dimension(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    rule: ChecksumRule,
    capture: &[u8],
) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find(capture, at, STX) {
        let rest = capture.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| [STX, ETX].contains(byte));
        let end = end.map_or(capture.len(), |end| start + end);
        at = end;
        let frame = capture.get(start..end).unwrap_or_default();
        let is_ended = capture.get(end) == Some(&ETX);
        let message = match is_ended {
            true => message_of(frame, rule),
            false => Err("it ends before its ETX".to_owned()),
        };
        found.push(match message {
            Ok(message) => decode(line, catalogue, message, true),
            Err(why) => Decoded {
                items: vec![Item::Incomplete(Incomplete {
                    why: format!("message refused: {why}"),
                    span: start..end,
                })],
                notes: Vec::new(),
                sender: String::new(),
                stranger: None,
            },
        });
    }
    if found.is_empty() && !capture.is_empty() {
        return vec![decode(line, catalogue, capture, capture.ends_with(&[FS]))];
    }
    found
}

const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// The first byte after the next STX.
fn find(capture: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let rest = capture.get(from..)?;
    let at = rest.iter().position(|byte| *byte == wanted)?;
    Some(from + at + 1)
}

/// What stands before the two digits, if they fit.
fn message_of(frame: &[u8], rule: ChecksumRule) -> Result<&[u8], String> {
    let end = frame.iter().rposition(|byte| *byte == FS);
    let parts = end.and_then(|end| frame.split_at_checked(end + 1));
    let Some((message, sum)) = parts else {
        return Err("no FS stands before its checksum".to_owned());
    };
    let own = checksum(message);
    if rule == ChecksumRule::Strict && !sum.eq_ignore_ascii_case(&own) {
        let own = own.map(char::from);
        return Err(format!(
            "its checksum differs, its bytes give {}{}",
            own[0], own[1]
        ));
    }
    Ok(message)
}

/// Reads a capture of a POCT1-A line, both sides of it or one. What the link refuses is an incomplete
/// item.
pub(super) fn poct1a(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    dialect: &poct1a::Dialect,
    capture: &[u8],
) -> Vec<Decoded> {
    let mut link = poct1a::Link::new(dialect.clone());
    let parts = parts(&mut link, capture).into_iter();
    // What the data manager said in the same capture acknowledges nothing of ours.
    let is_news = |part: &Part| !part.is_one_of(&[poct1a::notes::ACK_UNASKED]);
    let refusals = [
        poct1a::notes::MALFORMED,
        poct1a::notes::FORBIDDEN,
        poct1a::notes::TOO_LONG,
        poct1a::notes::TOO_DEEP,
        poct1a::notes::CUT,
        poct1a::notes::RESTARTED,
    ];
    let parts = parts.filter(is_news);
    decoded(line, catalogue, parts.map(|part| part.refused(&refusals)))
}

/// Reads a capture of a BCI line. What the link refuses is an incomplete item.
pub(super) fn bci(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    dialect: &bci::Dialect,
    capture: &[u8],
) -> Vec<Decoded> {
    if !capture.contains(&STX) && !capture.is_empty() {
        return vec![decode(line, catalogue, capture, true)];
    }
    let mut link = bci::Link::new(dialect.clone());
    let parts = parts(&mut link, capture).into_iter();
    // A capture has one side, and may begin in the middle of a session.
    let passed = [bci::notes::REPLY_UNASKED, bci::notes::NO_ENQ];
    let refusals = [
        bci::notes::CHECKSUM_REFUSED,
        bci::notes::FORM_REFUSED,
        bci::notes::TOO_LONG,
        bci::notes::CUT,
        bci::notes::RESTARTED,
    ];
    let parts = parts.filter(|part| !part.is_one_of(&passed));
    decoded(line, catalogue, parts.map(|part| part.refused(&refusals)))
}

/// Reads a capture of a line to an older Sysmex. Damaged texts are kept, as on a line of class A.
pub(super) fn sysmex_legacy(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    dialect: &sysmex_legacy::Dialect,
    capture: &[u8],
) -> Vec<Decoded> {
    if !capture.contains(&STX) && !capture.is_empty() {
        return vec![decode(line, catalogue, capture, true)];
    }
    let mut link = sysmex_legacy::Link::new(sysmex_legacy::Dialect {
        class: sysmex_legacy::Class::A,
        ..dialect.clone()
    });
    let parts = parts(&mut link, capture).into_iter();
    let passed = [sysmex_legacy::notes::REPLY_UNASKED];
    decoded(
        line,
        catalogue,
        parts.filter(|part| !part.is_one_of(&passed)),
    )
}

enum Part {
    /// A message that the link refused, which began at the note's place.
    Refused(Note),
    Message(Received),
    Note(Note),
}

impl Part {
    fn is_one_of(&self, notes: &[Note]) -> bool {
        matches!(self, Self::Note(note) if notes.iter().any(|one| one.code == note.code))
    }

    /// A note of one of these is a message that the link refused.
    fn refused(self, refusals: &[Note]) -> Self {
        let is_refusal = self.is_one_of(refusals);
        match self {
            Self::Note(note) if is_refusal => Self::Refused(note),
            Self::Note(_) | Self::Refused(_) | Self::Message(_) => self,
        }
    }
}

/// What a machine makes of a capture when its store never fails.
fn parts(machine: &mut dyn Machine, capture: &[u8]) -> Vec<Part> {
    let now = Mono::default();
    let mut parts = Vec::new();
    let mut rest = capture;
    machine.handle(now, Input::Opened);
    drain(machine, &mut parts);
    // A machine that takes nothing more after all was drained would take nothing for ever.
    while !rest.is_empty() && machine.accepts() > 0 {
        let (piece, later) = rest.split_at(rest.len().min(machine.accepts()).min(PIECE));
        rest = later;
        machine.handle(now, Input::Bytes(piece));
        drain(machine, &mut parts);
    }
    machine.handle(now, Input::Closed);
    drain(machine, &mut parts);
    parts
}

/// Bytes given to the machine at once, fewer than it notes about.
const PIECE: usize = 256;

fn drain(machine: &mut dyn Machine, parts: &mut Vec<Part>) {
    while let Some(output) = machine.poll() {
        match output {
            Output::Commit(id, commit) => {
                parts.extend(
                    match commit {
                        Commit::Frame { messages, .. } => messages,
                        Commit::Message(message) => vec![message],
                    }
                    .into_iter()
                    .map(Part::Message),
                );
                machine.handle(Mono::default(), Input::Committed(id, None));
            }
            Output::Note(note) => parts.push(Part::Note(note)),
            Output::Transmit(_) | Output::Finished(..) | Output::Close(_) => {}
        }
    }
}

/// Notes stand on the message after them; those after the last, on the last.
fn decoded(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    parts: impl Iterator<Item = Part>,
) -> Vec<Decoded> {
    let mut found: Vec<Decoded> = Vec::new();
    let mut notes = Vec::new();
    let mut opening: Option<Received> = None;
    for part in parts {
        match part {
            Part::Note(note) => notes.push(note),
            Part::Refused(note) => {
                let start = usize::try_from(note.at).unwrap_or(usize::MAX);
                found.push(Decoded {
                    items: vec![Item::Incomplete(Incomplete {
                        why: note.text.to_owned(),
                        span: start..start,
                    })],
                    notes: notes.drain(..).chain([note]).collect(),
                    sender: String::new(),
                    stranger: None,
                });
            }
            Part::Message(message) => {
                let is_of = |opening: &&Received| opening.session == message.session;
                let before = opening.as_ref().filter(is_of);
                let before = before.map(|opening| opening.bytes.as_ref());
                let (raw, is_complete) = (&message.bytes, message.is_complete);
                let mut one = decode_after(line, catalogue, before, raw, is_complete);
                one.notes.splice(0..0, notes.drain(..));
                found.push(one);
                if before.is_none() {
                    opening = Some(message);
                }
            }
        }
    }
    match found.last_mut() {
        Some(last) => last.notes.append(&mut notes),
        None if notes.is_empty() => {}
        None => found.push(Decoded {
            items: Vec::new(),
            notes,
            sender: String::new(),
            stranger: None,
        }),
    }
    found
}
