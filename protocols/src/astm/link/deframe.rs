//! One side of a wire, as captured: the messages in it, and the frames that could not be taken.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Dialect, Durability, FrameNumberRule, Link,
    assembler::is_delimiter,
    frame::{ENQ, EOT, STX},
    notes,
};
use crate::wire::{Commit, Input, Machine, Mono, Note, Output, Received};

/// What a capture holds, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deframed {
    /// A message, whole or not.
    Message(Received),
    /// A frame that was refused. Its message, if one was open, comes out incomplete.
    Refused(RefusedFrame),
    /// Something that was tolerated or ignored.
    Note(Note),
}

/// A frame that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFrame {
    /// Byte offset of its STX in the capture.
    pub offset: u64,
    /// The byte in the place of its number, if one came.
    pub number: Option<u8>,
    /// Its text as far as it was read.
    pub text: Bytes,
    /// Why.
    pub reason: Refusal,
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its checksum is not the one over its bytes.
    Checksum {
        /// The digits over the bytes as they came.
        expected: [u8; 2],
        /// The digits it carries; `None` where there are none.
        actual: Option<[u8; 2]>,
    },
    /// Its number is neither the expected one nor the last one.
    Number {
        /// The number that was expected; `None` where any digit from 0 to 7 was.
        expected: Option<u8>,
    },
    /// It has the number of the frame before it, and other bytes.
    WrongRepeat,
    /// ENQ or EOT stands in its text.
    Control,
    /// Its text is longer than the limit.
    TooLong,
    /// A record, a message or a session would pass its limit.
    Limit,
    /// It ends before its checksum.
    Cut,
    /// An earlier version of it is still being made durable.
    Unresolved,
}

/// Reads a capture of what one side sent: a session with ENQ, frames without ENQ, or records
/// without frames, ended by CR, LF or both.
///
/// The frames are judged by a [`Link`], so that a capture and a line cannot differ: the checksum
/// must fit, numbers may stand still or begin again. After a gap the next H record is taken up,
/// because a capture cannot be asked to repeat a frame.
pub fn deframe(capture: &[u8]) -> Vec<Deframed> {
    let mut link = Link::new(Dialect {
        frame_numbers: FrameNumberRule::Lenient,
        durability: Durability::Message,
        accepts_unframed: true,
        accepts_frames_without_enq: true,
        ..Dialect::default()
    });
    link.refused = Some(Vec::new());
    let prepared = prepared(capture);
    let mut reader = Reader {
        link,
        found: Vec::new(),
    };
    reader.handle(Input::Opened);
    // Offsets count from the first byte of the file, byte order mark included.
    reader.link.inbox.offset =
        super::count(capture.len().saturating_sub(without_mark(capture).len()));
    let mut rest = prepared.as_ref();
    while !rest.is_empty() {
        let (bytes, later) = rest.split_at(rest.len().min(reader.link.accepts().max(1)));
        reader.handle(Input::Bytes(bytes));
        rest = later;
    }
    reader.handle(Input::Closed);
    reader.found
}

struct Reader {
    link: Link,
    found: Vec<Deframed>,
}

impl Reader {
    /// Everything is durable at once; nothing here is a promise to anybody.
    fn handle(&mut self, input: Input<'_>) {
        self.link.handle(Mono::default(), input);
        loop {
            let mut durable = Vec::new();
            while let Some(output) = self.link.poll() {
                self.take_refused();
                match output {
                    Output::Commit(id, commit) => {
                        durable.push(id);
                        self.take_commit(commit);
                    }
                    Output::Note(note) if speaks_of_replies(note) => {}
                    Output::Note(note) => self.found.push(Deframed::Note(note)),
                    Output::Transmit(_) | Output::Finished(..) | Output::Close(_) => {}
                }
            }
            self.take_refused();
            if durable.is_empty() {
                return;
            }
            for id in durable {
                self.link
                    .handle(Mono::default(), Input::Committed(id, None));
            }
        }
    }

    fn take_commit(&mut self, commit: Commit) {
        match commit {
            Commit::Message(received) => self.found.push(Deframed::Message(received)),
            Commit::Frame { messages, .. } => {
                self.found
                    .extend(messages.into_iter().map(Deframed::Message));
            }
        }
    }

    fn take_refused(&mut self) {
        let refused = self
            .link
            .refused
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default();
        self.found
            .extend(refused.into_iter().map(Deframed::Refused));
    }
}

/// A capture holds one side of the wire: what it says to replies that nobody gave means nothing.
fn speaks_of_replies(note: Note) -> bool {
    [notes::REPLY_DROPPED, notes::REPLY_UNASKED]
        .iter()
        .any(|known| known.code == note.code)
}

/// Files that people keep: without the byte order mark; with control characters where they were
/// written as `^B` and the like; and without the frame numbers that stay in front of records when
/// somebody strips the control characters.
fn prepared(capture: &[u8]) -> Cow<'_, [u8]> {
    let capture = without_mark(capture);
    let is_framed = capture.iter().any(|byte| matches!(*byte, STX | ENQ | EOT));
    if !is_framed && capture.split(|byte| *byte == b'\n').any(is_caret_frame) {
        return Cow::Owned(uncareted(capture));
    }
    let mut lines = capture.split(|byte| matches!(*byte, b'\r' | b'\n'));
    let is_numbered = lines.any(
        |line| matches!(line, [b'0'..=b'7', rest @ ..] if super::receiver::begins_message(rest)),
    );
    if is_framed || !is_numbered {
        return Cow::Borrowed(capture);
    }
    let mut records = Vec::with_capacity(capture.len());
    for line in capture.split_inclusive(|byte| matches!(*byte, b'\r' | b'\n')) {
        records.extend_from_slice(unnumbered(line));
    }
    Cow::Owned(records)
}

fn is_caret_frame(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"^E").unwrap_or(line);
    matches!(line, [b'^', b'B', b'0'..=b'7', b'H' | b'h', ..])
}

/// Printed with `cat -v`, which writes CR LF as `^M` LF, or with an editor that made LF of CR.
fn uncareted(capture: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(capture.len());
    for line in capture.split_inclusive(|byte| *byte == b'\n') {
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        while let [
            b'^',
            letter @ (b'B' | b'C' | b'D' | b'E' | b'F' | b'W'),
            later @ ..,
        ] = rest
        {
            out.push(*letter - b'@');
            rest = later;
        }
        out.extend_from_slice(rest.strip_suffix(b"^M").unwrap_or(rest));
        out.push(b'\r');
    }
    out
}

fn unnumbered(line: &[u8]) -> &[u8] {
    match line {
        [b'0'..=b'7', rest @ ..]
            if matches!(rest, [letter, delimiter, ..]
            if letter.is_ascii_alphabetic() && is_delimiter(*delimiter)) =>
        {
            rest
        }
        _ => line,
    }
}

fn without_mark(capture: &[u8]) -> &[u8] {
    capture.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(capture)
}
