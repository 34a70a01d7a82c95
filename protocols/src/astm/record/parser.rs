//! Splits a message into records: one pass over the bytes, nothing copied.

use super::{
    delimiters::Delimiters,
    hierarchy::Hierarchy,
    limits::{Limits, NOTES_MAX},
    message::{Message, Record, RecordKind},
    notes,
};
use crate::wire::Note;

pub(super) fn parse(bytes: &[u8], limits: Limits) -> (Message<'_>, Vec<Note>) {
    let mut parser = Parser {
        bytes,
        limits,
        has_cr: bytes.contains(&b'\r'),
        delimiters: Delimiters::NONE,
        hierarchy: Hierarchy::default(),
        records: Vec::with_capacity((bytes.len() / RECORD_BYTES_USUAL).min(RECORDS_RESERVED_MAX)),
        notes: Vec::new(),
        noted_once: Vec::new(),
        position: 0,
        is_open: false,
        is_whole: true,
        refused: None,
    };
    if bytes.len() > limits.message_bytes {
        parser.refuse(notes::MESSAGE_TOO_LONG, limits.message_bytes);
    } else {
        parser.run();
    }
    parser.finish()
}

/// Results are some 60 bytes; a guess too low costs one move of the list.
const RECORD_BYTES_USUAL: usize = 40;

/// What is reserved on the word of a message's length alone.
const RECORDS_RESERVED_MAX: usize = 1_024;

struct Parser<'a> {
    bytes: &'a [u8],
    limits: Limits,
    has_cr: bool,
    delimiters: Delimiters,
    hierarchy: Hierarchy,
    records: Vec<Record<'a>>,
    notes: Vec<Note>,
    noted_once: Vec<&'static str>,
    position: usize,
    /// A header waits for its terminator.
    is_open: bool,
    /// No record stood outside of header and terminator so far.
    is_whole: bool,
    refused: Option<Note>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        if self.bytes.starts_with(b"\xEF\xBB\xBF") {
            self.note(notes::BYTE_ORDER_MARK, 0);
            self.position = 3;
        }
        while self.skip_to_record() {
            let start = self.position;
            let end = self.end_of_record(start);
            let before = self.records.len();
            self.take(start, end);
            if self.records.len() == before {
                // A limit refused it; what follows is not even split.
                return;
            }
            self.position = end;
        }
    }

    /// Moves over record ends and spaces; `false` at the end of the message.
    fn skip_to_record(&mut self) -> bool {
        let mut line_start = self.position == 0;
        loop {
            let at = self.position;
            match self.bytes.get(at) {
                None => return false,
                Some(b' ') if self.is_indented(at) => self.note(notes::INDENTED, at),
                Some(b' ') => {}
                Some(b'\n')
                    if at.checked_sub(1).and_then(|i| self.bytes.get(i)) == Some(&b'\r') =>
                {
                    self.note_once(notes::CR_LF, at);
                }
                Some(b'\r' | b'\n') if line_start => self.note_once(notes::EMPTY_RECORD, at),
                Some(b'\r') => line_start = true,
                Some(b'\n') => {
                    line_start = true;
                    self.note_once(notes::LF, at);
                }
                Some(_) => return true,
            }
            self.position = at.saturating_add(1);
        }
    }

    /// Whether the space at `at` is the last before a record.
    fn is_indented(&self, at: usize) -> bool {
        let next = self.bytes.get(at.saturating_add(1));
        next.is_some_and(|byte| !matches!(byte, b' ' | b'\r' | b'\n'))
    }

    fn end_of_record(&mut self, start: usize) -> usize {
        let mut from = start;
        loop {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let Some(length) = first_control(rest) else {
                return self.bytes.len();
            };
            let at = from.saturating_add(length);
            match self.bytes.get(at) {
                Some(b'\r') => return at,
                Some(b'\n') if !self.has_cr || self.starts_record(at.saturating_add(1)) => {
                    return at;
                }
                _ => self.note_once(notes::CONTROL, at),
            }
            from = at.saturating_add(1);
        }
    }

    /// Whether a record plainly starts at `at`, so that the LF before it ended one although other
    /// records end in CR. Joining the two would hide a result; any other LF is text.
    fn starts_record(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let record = rest.get(spaces..).unwrap_or_default();
        let [letter, after @ ..] = record else {
            return false;
        };
        let kind = RecordKind::from_letter(*letter);
        if kind == RecordKind::Header {
            return Delimiters::from_header(until_end(record)).is_ok();
        }
        let is_known = !matches!(kind, RecordKind::Unknown(_));
        is_known && after.first() == Some(&self.delimiters.field())
    }

    /// Takes up one record, or refuses the message.
    fn take(&mut self, start: usize, end: usize) {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        let index = self.records.len();
        if index >= self.limits.records {
            return self.refuse(notes::TOO_MANY_RECORDS, start);
        }
        if bytes.len() > self.limits.record_bytes {
            return self.refuse(notes::RECORD_TOO_LONG, start);
        }
        let kind = self.kind_of(bytes, start);
        if let Some(note) = self.over_limit(bytes) {
            return self.refuse(note, start);
        }
        self.check_order(kind, start);
        let (place, sequence) = self.hierarchy.place(kind, index);
        let record = Record {
            bytes,
            start,
            kind,
            delimiters: self.delimiters,
            place: place.into(),
        };
        self.check_sequence(&record, sequence);
        self.records.push(record);
    }

    /// The type of a record; a header changes the delimiters.
    fn kind_of(&mut self, bytes: &[u8], start: usize) -> RecordKind {
        let letter = bytes.first().copied().unwrap_or(0);
        let second = bytes.get(1).copied();
        let has_delimiters = self.delimiters != Delimiters::NONE;
        let is_alone = match second {
            None => true,
            Some(byte) if has_delimiters => byte == self.delimiters.field(),
            Some(byte) => !byte.is_ascii_alphanumeric(),
        };
        let kind = RecordKind::from_letter(letter);
        if kind == RecordKind::Header {
            match Delimiters::from_header(bytes) {
                Ok(delimiters) => {
                    self.delimiters = delimiters;
                    return kind;
                }
                Err(_) if is_alone => {
                    self.delimiters = Delimiters::NONE;
                    self.refuse(notes::DELIMITERS, start);
                    return kind;
                }
                Err(_) => {}
            }
        }
        if is_alone && !matches!(kind, RecordKind::Unknown(_)) {
            return kind;
        }
        self.note(notes::UNKNOWN_RECORD, start);
        RecordKind::Unknown(letter)
    }

    /// The limit on parts that a record breaks. A record shorter than every limit breaks none.
    fn over_limit(&self, bytes: &[u8]) -> Option<Note> {
        let Limits {
            fields,
            repeats,
            components,
            ..
        } = self.limits;
        if bytes.len() < fields.min(repeats).min(components) || self.delimiters == Delimiters::NONE
        {
            return None;
        }
        let (mut field, mut repeat, mut component) = (1_usize, 1_usize, 1_usize);
        // Field 2 of a header is the delimiters, not repeats and components.
        let is_header = matches!(bytes.first(), Some(b'H' | b'h'));
        if is_header {
            field = 2;
        }
        for byte in bytes.iter().skip(if is_header { 5 } else { 0 }) {
            if *byte == self.delimiters.field() {
                (field, repeat, component) = (field.saturating_add(1), 1, 1);
            } else if *byte == self.delimiters.repeat() {
                (repeat, component) = (repeat.saturating_add(1), 1);
            } else if *byte == self.delimiters.component() {
                component = component.saturating_add(1);
            }
            if field > fields {
                return Some(notes::TOO_MANY_FIELDS);
            }
            if repeat > repeats {
                return Some(notes::TOO_MANY_REPEATS);
            }
            if component > components {
                return Some(notes::TOO_MANY_COMPONENTS);
            }
        }
        None
    }

    /// Notes a record that stands where LIS02-A2 5.4 does not have it.
    fn check_order(&mut self, kind: RecordKind, start: usize) {
        if kind == RecordKind::Header {
            if self.is_open {
                self.is_whole = false;
                self.note(notes::HEADER_INSIDE, start);
            }
            self.is_open = true;
            return;
        }
        if !self.is_open {
            // A second terminator changes nothing that was sent before.
            self.is_whole &= kind == RecordKind::Terminator && !self.records.is_empty();
            if self.hierarchy.has_header() {
                self.note(notes::AFTER_TERMINATOR, start);
            } else if self.records.is_empty() {
                self.note(notes::NO_HEADER, start);
            }
        }
        if kind == RecordKind::Terminator {
            self.is_open = false;
        } else if kind == RecordKind::Order && !self.hierarchy.has_patient() {
            self.note(notes::ORDER_WITHOUT_PATIENT, start);
        } else if kind == RecordKind::Result && !self.hierarchy.has_order() {
            self.note(notes::RESULT_WITHOUT_ORDER, start);
        }
    }

    fn check_sequence(&mut self, record: &Record<'_>, expected: Option<usize>) {
        let Some(expected) = expected else { return };
        if record.delimiters == Delimiters::NONE {
            return;
        }
        let field = record.field(2);
        if number(field.raw()) != Some(expected) {
            self.note(notes::SEQUENCE, field.span().start);
        }
    }

    fn refuse(&mut self, note: Note, at: usize) {
        let note = note.at(u64::try_from(at).unwrap_or(u64::MAX));
        // The first reason counts and is always told; so is the limit that ends the splitting.
        if self.refused.is_none() || note.code != notes::DELIMITERS.code {
            self.notes.push(note);
        }
        self.refused.get_or_insert(note);
    }

    fn note(&mut self, note: Note, at: usize) {
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        match self.notes.len() {
            n if n < NOTES_MAX => self.notes.push(note.at(at)),
            NOTES_MAX => self.notes.push(notes::MORE_NOTES.at(at)),
            _ => {}
        }
    }

    fn note_once(&mut self, note: Note, at: usize) {
        // A list of its own: it stays short, however many notes a hostile message earns.
        if !self.noted_once.contains(&note.code) {
            self.noted_once.push(note.code);
            self.note(note, at);
        }
    }

    fn finish(mut self) -> (Message<'a>, Vec<Note>) {
        if self.is_open {
            self.note(notes::NO_TERMINATOR, self.bytes.len());
        }
        let last_end = self.records.last().map(|record| record.span().end);
        if last_end == Some(self.bytes.len()) {
            self.note(notes::NO_CR, self.bytes.len());
        }
        if self.refused.is_some() {
            // Nothing of a refused message may be read by field, whoever forgets to ask.
            for record in &mut self.records {
                record.delimiters = Delimiters::NONE;
            }
        }
        let is_complete =
            self.is_whole && !self.is_open && self.refused.is_none() && !self.records.is_empty();
        let message = Message {
            bytes: self.bytes,
            records: self.records,
            is_complete,
            refused: self.refused,
            split_to: self.position,
        };
        (message, self.notes)
    }
}

fn until_end(bytes: &[u8]) -> &[u8] {
    bytes
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default()
}

/// The first control character. Sixteen bytes are looked at together, which the compiler turns into
/// one vector comparison; this loop sees every byte of every message.
fn first_control(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<16>();
    let has_control = |chunk: &[u8; 16]| chunk.iter().fold(false, |any, b| any | (*b < b' '));
    let clean = chunks
        .iter()
        .take_while(|chunk| !has_control(chunk))
        .count()
        * 16;
    let rest = bytes.get(clean..).unwrap_or_default();
    rest.iter()
        .position(|byte| *byte < b' ')
        .map(|at| clean + at)
}

/// A decimal number of at most nine digits, spaces around it tolerated.
fn number(field: &[u8]) -> Option<usize> {
    let digits = field.trim_ascii();
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0_usize, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + usize::from(digit - b'0'))
    })
}
