//! Messages out of the text of frames.
//!
//! The text of ETB and ETX frames is joined; CR ends a record, and so does ETX. A message begins
//! with an H record and ends with its L record. Nothing else of a record is looked at here. A
//! frame is first staged and only applied when it may be acknowledged, so that a frame that the
//! store refused leaves no trace.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    dialect::Limits,
    frame::{CR, LF},
    notes,
};
use crate::wire::{Note, Received};

/// The open message of a session.
#[derive(Debug)]
pub(super) struct Assembler {
    session: u64,
    partial: BytesMut,
    cursor: Cursor,
}

/// What a frame would do to the open message.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// The messages it ends, oldest first.
    pub(super) messages: Vec<Received>,
    /// What was tolerated.
    pub(super) notes: Vec<Note>,
    tail: Tail,
    cursor: Cursor,
}

impl Staged {
    /// Whether the message that was open before this frame is among its messages.
    pub(super) fn ends_open_message(&self) -> bool {
        matches!(self.tail, Tail::Replace(_))
    }
}

#[derive(Clone, Debug)]
enum Tail {
    Append(Bytes),
    Replace(Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The next byte begins a record.
    Start,
    /// One byte of the record is known.
    First(u8),
    /// Inside a record that ends no message.
    Inside,
    /// Inside an L record.
    InLast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    Unknown,
    Cr,
    Lf,
}

/// Where we are in the open message; offsets count from its first byte.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    place: Place,
    record: usize,
    is_in_message: bool,
    delimiter: u8,
    separator: Separator,
    has_crlf: bool,
}

impl Cursor {
    const NEW: Self = Self {
        place: Place::Start,
        record: 0,
        is_in_message: false,
        delimiter: b'|',
        separator: Separator::Unknown,
        has_crlf: false,
    };
}

impl Assembler {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session,
            partial: BytesMut::new(),
            cursor: Cursor::NEW,
        }
    }

    /// Whether no message is open.
    pub(super) fn is_between_messages(&self) -> bool {
        self.partial.is_empty()
    }

    /// What `text` would do; `ends_record` where its frame ended with ETX.
    pub(super) fn stage(
        &self,
        text: &Bytes,
        ends_record: bool,
        limits: &Limits,
    ) -> Result<Staged, Note> {
        let mut scan = Scan {
            cursor: self.cursor,
            start: 0,
            cuts: Vec::new(),
            limits,
        };
        let base = self.partial.len();
        for (at, byte) in (base..).zip(text.iter()) {
            scan.on_byte(at, *byte)?;
        }
        let end = base.saturating_add(text.len());
        let adds_cr = ends_record && scan.cursor.place != Place::Start;
        if adds_cr {
            if scan.cursor.separator == Separator::Unknown {
                scan.cursor.separator = Separator::Cr;
            }
            scan.on_record_end(end)?;
        }
        scan.check_message(end)?;
        Ok(self.staged(&scan, text, adds_cr))
    }

    /// Takes over what was staged on this very state.
    pub(super) fn apply(&mut self, staged: Staged) {
        self.cursor = staged.cursor;
        match staged.tail {
            Tail::Append(text) => self.partial.extend_from_slice(&text),
            Tail::Replace(text) => self.partial = BytesMut::from(text.as_ref()),
        }
    }

    /// What is left without its L record, if anything; the assembler is empty afterwards.
    pub(super) fn finish(&mut self) -> Option<Received> {
        let bytes = self.partial.split().freeze();
        let cut = Cut::new(0, bytes.len(), false, &self.cursor);
        self.cursor = Cursor::NEW;
        let is_blank = bytes.iter().all(|byte| matches!(*byte, CR | LF | b' ' | 0));
        (!is_blank).then(|| Received {
            session: self.session,
            bytes: cut.normalised(bytes),
            is_complete: false,
        })
    }

    fn staged(&self, scan: &Scan<'_>, text: &Bytes, adds_cr: bool) -> Staged {
        let mut joined = Joined {
            partial: &self.partial,
            text,
            adds_cr,
        };
        let mut notes: Vec<_> = adds_cr.then_some(notes::CR_ADDED).into_iter().collect();
        let messages = scan.cuts.iter().map(|cut| {
            notes.extend(cut.notes());
            Received {
                session: self.session,
                bytes: cut.normalised(joined.bytes(cut.from, cut.to)),
                is_complete: cut.is_complete,
            }
        });
        let messages = messages.collect();
        let mut cursor = scan.cursor;
        cursor.record = cursor.record.saturating_sub(scan.start);
        joined.adds_cr = adds_cr && scan.start < joined.len();
        let tail = if scan.start == 0 {
            Tail::Append(joined.bytes(self.partial.len(), joined.len()))
        } else {
            Tail::Replace(joined.bytes(scan.start, joined.len()))
        };
        Staged {
            messages,
            notes,
            tail,
            cursor,
        }
    }
}

impl Cursor {
    /// Whether `second` parts a one-letter record type from its fields.
    fn ends_letter(&self, second: u8) -> bool {
        if self.is_in_message {
            second == self.delimiter
        } else {
            is_delimiter(second)
        }
    }
}

/// The open message and the text of a frame, as one run of bytes.
struct Joined<'a> {
    partial: &'a BytesMut,
    text: &'a Bytes,
    adds_cr: bool,
}

impl Joined<'_> {
    fn len(&self) -> usize {
        self.partial.len().saturating_add(self.text.len())
    }

    /// The bytes from one offset to another; the added CR follows the very last one.
    fn bytes(&self, from: usize, to: usize) -> Bytes {
        let base = self.partial.len();
        let adds_cr = self.adds_cr && to == self.len();
        let text_from = from.saturating_sub(base).min(self.text.len());
        let text_to = to.saturating_sub(base).clamp(text_from, self.text.len());
        if from >= base && !adds_cr {
            return self.text.slice(text_from..text_to);
        }
        let head = self.partial.get(from..to.min(base)).unwrap_or_default();
        let text = self.text.get(text_from..text_to).unwrap_or_default();
        let mut out = BytesMut::with_capacity(head.len() + text.len() + 1);
        out.put_slice(head);
        out.put_slice(text);
        if adds_cr {
            out.put_u8(CR);
        }
        out.freeze()
    }
}

/// One message found.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: usize,
    to: usize,
    is_complete: bool,
    has_header: bool,
    separator: Separator,
    has_crlf: bool,
}

impl Cut {
    fn new(from: usize, to: usize, is_complete: bool, cursor: &Cursor) -> Self {
        let Cursor {
            is_in_message: has_header,
            separator,
            has_crlf,
            ..
        } = *cursor;
        Self {
            from,
            to,
            is_complete,
            has_header,
            separator,
            has_crlf,
        }
    }

    /// Records end with CR alone, whatever the peer wrote: LF between records is framing too.
    fn normalised(&self, bytes: Bytes) -> Bytes {
        if self.separator == Separator::Lf {
            return bytes
                .iter()
                .map(|byte| if *byte == LF { CR } else { *byte })
                .collect();
        }
        if !self.has_crlf {
            return bytes;
        }
        let mut previous = 0;
        let keeps = |byte: &u8| {
            let is_dropped = *byte == LF && previous == CR;
            if !is_dropped {
                previous = *byte;
            }
            !is_dropped
        };
        bytes.iter().copied().filter(keeps).collect()
    }

    fn notes(&self) -> impl Iterator<Item = Note> {
        let bytes = u64::try_from(self.to.saturating_sub(self.from)).unwrap_or(u64::MAX);
        let unended = (!self.is_complete).then_some(if self.has_header {
            notes::INCOMPLETE_AT_HEADER.at(bytes)
        } else {
            notes::HEADER_MISSING.at(bytes)
        });
        let by_lf = (self.separator == Separator::Lf).then_some(notes::LF_SEPARATED.at(bytes));
        unended.into_iter().chain(by_lf)
    }
}

/// One pass over the text of a frame.
struct Scan<'a> {
    cursor: Cursor,
    /// Where the open message begins.
    start: usize,
    cuts: Vec<Cut>,
    limits: &'a Limits,
}

impl Scan<'_> {
    fn on_byte(&mut self, at: usize, byte: u8) -> Result<(), Note> {
        if byte == CR || (byte == LF && self.lf_ends_record()) {
            return self.on_separator(at, byte);
        }
        match self.cursor.place {
            Place::Start if byte == LF => self.cursor.has_crlf = true,
            Place::Start => {
                self.cursor.record = at;
                self.cursor.place = Place::First(byte);
            }
            Place::First(first) => self.on_second(first, byte)?,
            Place::Inside | Place::InLast => {}
        }
        Ok(())
    }

    /// LF separates records where the H record (or the first one) ended with it.
    fn lf_ends_record(&self) -> bool {
        self.cursor.separator != Separator::Cr
    }

    fn on_separator(&mut self, at: usize, byte: u8) -> Result<(), Note> {
        let end = at.saturating_add(1);
        if self.cursor.place == Place::Start {
            // An empty record: outside a message it is not data.
            if self.start == at {
                self.start = end;
            }
            return Ok(());
        }
        if self.cursor.separator == Separator::Unknown {
            self.cursor.separator = if byte == CR {
                Separator::Cr
            } else {
                Separator::Lf
            };
        }
        self.on_record_end(end)
    }

    fn on_record_end(&mut self, end: usize) -> Result<(), Note> {
        if end.saturating_sub(self.cursor.record) > self.limits.record {
            return Err(notes::RECORD_TOO_LONG);
        }
        let is_last = match self.cursor.place {
            Place::InLast | Place::First(b'L' | b'l') => true,
            Place::Start | Place::First(_) | Place::Inside => false,
        };
        if is_last {
            self.check_message(end)?;
            self.cuts.push(Cut::new(
                self.start,
                end,
                self.cursor.is_in_message,
                &self.cursor,
            ));
            self.start = end;
            self.cursor = Cursor::NEW;
        }
        self.cursor.place = Place::Start;
        Ok(())
    }

    /// The second byte of a record tells whether the first one is its letter.
    fn on_second(&mut self, first: u8, second: u8) -> Result<(), Note> {
        let cursor = &mut self.cursor;
        cursor.place = match first {
            b'L' | b'l' if cursor.ends_letter(second) => Place::InLast,
            _ => Place::Inside,
        };
        if matches!(first, b'H' | b'h') && is_delimiter(second) {
            self.on_header(second)?;
        }
        Ok(())
    }

    fn on_header(&mut self, delimiter: u8) -> Result<(), Note> {
        let at = self.cursor.record;
        self.check_message(at)?;
        if self.start < at {
            self.cuts
                .push(Cut::new(self.start, at, false, &self.cursor));
        }
        self.start = at;
        self.cursor = Cursor {
            place: Place::Inside,
            record: at,
            is_in_message: true,
            delimiter,
            ..Cursor::NEW
        };
        Ok(())
    }

    fn check_message(&self, end: usize) -> Result<(), Note> {
        if end.saturating_sub(self.start) > self.limits.message {
            return Err(notes::MESSAGE_TOO_LONG);
        }
        let is_open = self.cursor.place != Place::Start;
        if is_open && end.saturating_sub(self.cursor.record) > self.limits.record {
            return Err(notes::RECORD_TOO_LONG);
        }
        Ok(())
    }
}

/// Whether `byte` can be the field delimiter that an H record declares (LIS02-A2 5.4.3).
pub(super) fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_punctuation()
}
