//! The messages in what was heard, and what is told by the way they were carried.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::Protocol;
use super::lexer::{Frame, Lexer, Piece, Sum};

/// Bytes listened to: some five thousand results. More say nothing new, and memory has an end.
pub const HEARD_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Messages kept.
pub const MESSAGES_MAX: usize = 2_000;
/// Connections whose bytes are read apart; of a device that connects for each message the oldest
/// are long over.
const STREAMS_MAX: usize = 64;
/// Lengths and first letters of foreign texts that are told.
const SAMPLES_MAX: usize = 32;

/// One message, without frames.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is written in.
    pub protocol: Protocol,
    /// Records or segments.
    pub raw: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("protocol", &self.protocol)
            .field("bytes", &self.raw.len())
            .finish()
    }
}

/// What was counted on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes.
    pub bytes: usize,
    /// ENQ.
    pub bids: usize,
    /// EOT.
    pub ends: usize,
    /// ACK and NAK among the bytes.
    pub replies: usize,
    /// ASTM frames by their checksum.
    pub sums_right: usize,
    /// Two digits that are not the sum.
    pub sums_wrong: usize,
    /// No digits.
    pub sums_absent: usize,
    /// Something else than two digits.
    pub sums_foreign: usize,
    /// Frames that end with ETB.
    pub etb: usize,
    /// The same frame again.
    pub repeated: usize,
    /// Frame numbers that stand still or skip.
    pub numbers_odd: usize,
    /// Text bytes of the longest ASTM frame.
    pub frame_text_max: usize,
    /// Frames that hold more than one record.
    pub frames_of_many: usize,
    /// MLLP blocks.
    pub blocks: usize,
    /// Frames and blocks that did not end.
    pub cut: usize,
    /// Messages without frames or blocks.
    pub bare: usize,
    /// STX to ETX that are no ASTM frames.
    pub foreign: usize,
    /// Their first letters, if letters.
    pub foreign_letters: BTreeSet<char>,
    /// Their lengths.
    pub foreign_lengths: BTreeSet<usize>,
    /// Lines that are no record and no segment.
    pub other_lines: usize,
    /// Their lengths.
    pub other_lengths: BTreeSet<usize>,
    /// Of those, lines with bytes that no text has.
    pub binary_lines: usize,
}

impl Counts {
    /// ASTM frames.
    pub const fn frames(&self) -> usize {
        self.sums_right + self.sums_wrong + self.sums_absent + self.sums_foreign
    }
}

/// Everything that was heard so far.
#[derive(Default)]
pub struct Heard {
    streams: BTreeMap<u64, Stream>,
    book: Book,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("messages", &self.book.messages.len())
            .field("counts", &self.book.counts)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Book {
    counts: Counts,
    messages: Vec<Message>,
}

impl Heard {
    /// Takes bytes of connection `stream`; those beyond [`HEARD_BYTES_MAX`] are left out.
    pub fn take(&mut self, stream: u64, bytes: &[u8]) {
        let room = HEARD_BYTES_MAX.saturating_sub(self.book.counts.bytes);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.book.counts.bytes += bytes.len();
        let mut found = Vec::new();
        let reader = self.streams.entry(stream).or_default();
        reader.lexer.push(bytes, &mut found);
        for piece in found {
            reader.take(piece, &mut self.book);
        }
        while self.streams.len() > STREAMS_MAX {
            if let Some((_, mut oldest)) = self.streams.pop_first() {
                oldest.finish(&mut self.book);
            }
        }
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        for (_, mut stream) in std::mem::take(&mut self.streams) {
            stream.finish(&mut self.book);
        }
    }

    /// Whether enough was heard.
    pub fn is_full(&self) -> bool {
        self.book.counts.bytes >= HEARD_BYTES_MAX || self.book.messages.len() >= MESSAGES_MAX
    }

    /// The messages that have ended, in their order.
    pub fn messages(&self) -> &[Message] {
        &self.book.messages
    }

    /// What was counted.
    pub const fn counts(&self) -> &Counts {
        &self.book.counts
    }
}

/// One connection.
#[derive(Default)]
struct Stream {
    lexer: Lexer,
    /// Text of ASTM frames, or bare records, that no message has yet.
    text: Vec<u8>,
    /// The last frame that counted: number and text.
    last: Option<(u8, Vec<u8>)>,
    /// A frame with a wrong checksum: it counts if the device goes on behind it, and not if it
    /// sends it again.
    doubtful: Option<Frame>,
    /// Bare HL7 segments.
    segments: Vec<u8>,
    is_bare: bool,
}

impl Stream {
    fn take(&mut self, piece: Piece, book: &mut Book) {
        match piece {
            Piece::Enq => {
                book.counts.bids += 1;
                self.end(book);
            }
            Piece::Eot => {
                book.counts.ends += 1;
                self.end(book);
            }
            Piece::Reply => book.counts.replies += 1,
            Piece::Cut => book.counts.cut += 1,
            Piece::Frame(frame) => self.frame(frame, book),
            Piece::Block(raw) => {
                book.counts.blocks += 1;
                book.push(&raw);
            }
            Piece::Line(line) => self.line(&line, book),
        }
    }

    fn finish(&mut self, book: &mut Book) {
        let mut found = Vec::new();
        self.lexer.finish(&mut found);
        for piece in found {
            self.take(piece, book);
        }
        self.end(book);
        self.end_segments(book);
    }

    fn frame(&mut self, frame: Frame, book: &mut Book) {
        let Some((number, text)) = frame.numbered() else {
            book.foreign(&frame);
            return;
        };
        let counts = &mut book.counts;
        counts.frame_text_max = counts.frame_text_max.max(text.len());
        counts.etb += usize::from(!frame.is_last);
        counts.frames_of_many += usize::from(is_of_many(text));
        let is_doubtful = match frame.sum() {
            Sum::Right => {
                counts.sums_right += 1;
                false
            }
            Sum::Absent => {
                counts.sums_absent += 1;
                false
            }
            Sum::Wrong => {
                counts.sums_wrong += 1;
                true
            }
            Sum::Foreign => {
                counts.sums_foreign += 1;
                true
            }
        };
        let before = self.doubtful.take();
        if let Some(before) = before
            && before.numbered().map(|(number, _)| number) != Some(number)
        {
            self.count(&before, book);
        }
        if is_doubtful {
            self.doubtful = Some(frame);
        } else {
            self.count(&frame, book);
        }
    }

    /// The frame is part of its message.
    fn count(&mut self, frame: &Frame, book: &mut Book) {
        let Some((number, text)) = frame.numbered() else {
            return;
        };
        if let Some((last, same)) = &self.last {
            if *last == number && same == text {
                book.counts.repeated += 1;
                return;
            }
            book.counts.numbers_odd += usize::from((*last + 1) % 8 != number);
        }
        self.last = Some((number, text.to_vec()));
        if self.text.len() < HEARD_BYTES_MAX {
            self.text.extend_from_slice(text);
        }
        if frame.is_last && ends_message(&self.text) {
            self.end_message(book);
        }
    }

    fn line(&mut self, line: &[u8], book: &mut Book) {
        if line.starts_with(b"MSH") {
            self.end_segments(book);
            self.segments = line.to_vec();
            self.segments.push(b'\r');
        } else if !self.segments.is_empty() && is_segment(line, &self.segments) {
            self.segments.extend_from_slice(line);
            self.segments.push(b'\r');
        } else if begins_message(line) || !self.text.is_empty() && is_record(line) {
            self.is_bare = true;
            self.text.extend_from_slice(line);
            self.text.push(b'\r');
            if ends_message(&self.text) {
                self.end_message(book);
            }
        } else {
            book.other_line(line);
        }
    }

    /// The session is over.
    fn end(&mut self, book: &mut Book) {
        if let Some(frame) = self.doubtful.take() {
            self.count(&frame, book);
        }
        self.last = None;
        self.end_message(book);
    }

    fn end_message(&mut self, book: &mut Book) {
        let text = std::mem::take(&mut self.text);
        for message in messages(&text) {
            book.counts.bare += usize::from(self.is_bare);
            book.push(message);
        }
        self.is_bare = false;
    }

    fn end_segments(&mut self, book: &mut Book) {
        let segments = std::mem::take(&mut self.segments);
        if !segments.is_empty() {
            book.counts.bare += 1;
            book.push(&segments);
        }
    }
}

impl Book {
    fn push(&mut self, raw: &[u8]) {
        let is_hl7 = raw.starts_with(b"MSH");
        if (is_hl7 || begins_message(raw)) && self.messages.len() < MESSAGES_MAX {
            self.messages.push(Message {
                protocol: if is_hl7 {
                    Protocol::Hl7
                } else {
                    Protocol::Astm
                },
                raw: raw.to_vec(),
            });
        }
    }

    fn foreign(&mut self, frame: &Frame) {
        self.counts.foreign += 1;
        if let Some(letter) = frame.text.first().filter(|byte| byte.is_ascii_alphabetic()) {
            self.counts.foreign_letters.insert(char::from(*letter));
        }
        sample(&mut self.counts.foreign_lengths, frame.text.len());
    }

    fn other_line(&mut self, line: &[u8]) {
        self.counts.other_lines += 1;
        let is_binary = line.iter().any(|byte| *byte < b' ' && *byte != b'\t');
        self.counts.binary_lines += usize::from(is_binary);
        sample(&mut self.counts.other_lengths, line.len());
    }
}

fn sample(lengths: &mut BTreeSet<usize>, length: usize) {
    if lengths.len() < SAMPLES_MAX {
        lengths.insert(length);
    }
}

/// `H` and the delimiters that it declares.
fn begins_message(record: &[u8]) -> bool {
    matches!(record, [b'H', a, b, ..] if is_delimiter(*a) && is_delimiter(*b))
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_punctuation()
}

fn is_record(line: &[u8]) -> bool {
    matches!(line, [letter, mark, ..] if letter.is_ascii_uppercase() && is_delimiter(*mark))
}

fn is_segment(line: &[u8], header: &[u8]) -> bool {
    let mark = header.get(3);
    line.get(..3)
        .is_some_and(|name| name.iter().all(u8::is_ascii_alphanumeric))
        && line.get(3) == mark
}

fn is_of_many(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'\r').count() > 1
}

/// Whether the last record is a terminator.
fn ends_message(text: &[u8]) -> bool {
    let last = records(text).last();
    matches!(last, Some([b'L'])) || matches!(last, Some([b'L', mark, ..]) if is_delimiter(*mark))
}

fn records(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\r' | b'\n'))
        .filter(|record| !record.is_empty())
}

/// The messages of a session: each from its header on.
fn messages(text: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    for record in text.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
        if begins_message(record) {
            starts.push(at);
        }
        at += record.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let cut = |(start, end): (&usize, usize)| text.get(*start..end);
    starts.iter().zip(ends).filter_map(cut).collect()
}
