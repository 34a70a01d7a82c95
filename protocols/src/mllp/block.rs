//! Cuts a byte stream into blocks (MLLP release 1): VT, content, FS CR.

use std::{mem, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::wire::{Mono, Note};

/// Start of a block.
pub const VT: u8 = 0x0B;
/// End of a block, followed by CR.
pub const FS: u8 = 0x1C;
const CR: u8 = 0x0D;
const LF: u8 = 0x0A;

/// Bytes outside a block.
pub const NOTE_OUTSIDE: Note = Note::new("MLLP-0101", "bytes outside a block ignored");
/// VT inside a block.
pub const NOTE_RESTART: Note = Note::new("MLLP-0102", "VT inside a block: the block starts again");
/// FS LF instead of FS CR.
pub const NOTE_FS_LF: Note = Note::new("MLLP-0103", "block ended with FS LF instead of FS CR");
/// FS without CR.
pub const NOTE_FS_ALONE: Note = Note::new("MLLP-0104", "block ended with FS and no CR");
/// FS inside a block.
pub const NOTE_FS_INSIDE: Note = Note::new("MLLP-0105", "FS inside a block kept as content");
/// No FS at all.
pub const NOTE_NO_FS: Note = Note::new("MLLP-0106", "block ended by silence, without FS");
/// A block without content.
pub const NOTE_EMPTY: Note = Note::new("MLLP-0107", "empty block ignored");
/// A block whose end never came.
pub const NOTE_CUT: Note = Note::new("MLLP-0108", "block cut before its end");

/// Which deviations from the frame are tolerated, and how long silence must last to mean an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// FS LF ends a block.
    pub fs_lf: bool,
    /// FS alone ends a block when VT follows, or nothing for this long. `None`: only FS CR ends it.
    pub fs_alone: Option<Duration>,
    /// A device that sends no FS: silence of this length, the next VT or the end of the connection
    /// ends its block.
    pub no_fs: Option<Duration>,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            fs_lf: true,
            fs_alone: Some(FS_ALONE),
            no_fs: None,
        }
    }
}

/// A CR that belongs to an FS comes in the same segment of TCP or the next; a second is generous.
const FS_ALONE: Duration = Duration::from_secs(1);

/// One thing the stream said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Block { content: Bytes, is_complete: bool },
    Note(Note),
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Outside,
    Inside,
    AfterFs,
}

/// The state of the reader.
#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    content: BytesMut,
    has_outside_bytes: bool,
    last_byte: Mono,
}

/// What the reader obeys.
pub(super) struct Limits {
    pub(super) tolerance: Tolerance,
    pub(super) block_bytes_max: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Outside,
            content: BytesMut::new(),
            has_outside_bytes: false,
            last_byte: Mono::default(),
        }
    }

    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// The port is read again after a while in which it was not.
    pub(super) fn touch(&mut self, now: Mono) {
        self.last_byte = now;
    }

    /// When silence will mean something.
    pub(super) fn deadline(&self, tolerance: Tolerance) -> Option<Mono> {
        let wait = match self.place {
            Place::Outside => None,
            Place::Inside => tolerance.no_fs,
            Place::AfterFs => tolerance.fs_alone,
        };
        wait.map(|wait| self.last_byte.after(wait))
    }

    /// The silence lasted until the deadline.
    pub(super) fn on_silence(&mut self, out: &mut Vec<Event>) {
        match self.place {
            Place::Outside => {}
            Place::Inside => self.end(Some(NOTE_NO_FS), out),
            Place::AfterFs => self.end(Some(NOTE_FS_ALONE), out),
        }
    }

    /// The connection ended.
    pub(super) fn on_closed(&mut self, limits: &Limits, out: &mut Vec<Event>) {
        match self.place {
            Place::Outside => {}
            Place::AfterFs if limits.tolerance.fs_alone.is_some() => {
                self.end(Some(NOTE_FS_ALONE), out);
            }
            Place::Inside if limits.tolerance.no_fs.is_some() => self.end(Some(NOTE_NO_FS), out),
            Place::Inside | Place::AfterFs => self.cut(NOTE_CUT, out),
        }
        *self = Self::new();
    }

    /// Consumes bytes up to and including the first one that makes an event that must be acted on;
    /// returns how many it took.
    pub(super) fn take(
        &mut self,
        now: Mono,
        bytes: &[u8],
        limits: &Limits,
        out: &mut Vec<Event>,
    ) -> usize {
        self.last_byte = now;
        let mut taken = 0_usize;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            taken = taken.saturating_add(match self.place {
                Place::Outside => self.outside(rest, out),
                Place::Inside => self.inside(rest, limits, out),
                Place::AfterFs => self.after_fs(rest, limits, out),
            });
            if out.iter().any(|event| !matches!(event, Event::Note(_))) {
                break;
            }
        }
        taken
    }

    fn outside(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> usize {
        let start = bytes.iter().position(|&byte| byte == VT);
        if start != Some(0) && !self.has_outside_bytes {
            self.has_outside_bytes = true;
            out.push(Event::Note(NOTE_OUTSIDE));
        }
        let Some(start) = start else {
            return bytes.len();
        };
        self.has_outside_bytes = false;
        self.place = Place::Inside;
        start.saturating_add(1)
    }

    fn inside(&mut self, bytes: &[u8], limits: &Limits, out: &mut Vec<Event>) -> usize {
        let mark = bytes.iter().position(|&byte| byte == VT || byte == FS);
        let plain = bytes.get(..mark.unwrap_or(bytes.len())).unwrap_or_default();
        if !self.append(plain, limits, out) {
            return bytes.len();
        }
        match mark.and_then(|mark| bytes.get(mark)) {
            Some(&FS) => self.place = Place::AfterFs,
            Some(_) => self.restart(limits, out),
            None => return plain.len(),
        }
        plain.len().saturating_add(1)
    }

    fn after_fs(&mut self, bytes: &[u8], limits: &Limits, out: &mut Vec<Event>) -> usize {
        let tolerance = limits.tolerance;
        match bytes.first() {
            Some(&CR) => self.end(None, out),
            Some(&LF) if tolerance.fs_lf => self.end(Some(NOTE_FS_LF), out),
            Some(&VT) if tolerance.fs_alone.is_some() => {
                self.end(Some(NOTE_FS_ALONE), out);
                self.place = Place::Inside;
            }
            // Not an end: the FS was content, and this byte is read again as what follows it.
            _ => {
                out.push(Event::Note(NOTE_FS_INSIDE));
                self.place = Place::Inside;
                self.append(&[FS], limits, out);
                return 0;
            }
        }
        1
    }

    fn append(&mut self, bytes: &[u8], limits: &Limits, out: &mut Vec<Event>) -> bool {
        if self.content.len().saturating_add(bytes.len()) > limits.block_bytes_max {
            self.content = BytesMut::new();
            self.place = Place::Outside;
            out.push(Event::TooLong);
            return false;
        }
        self.content.extend_from_slice(bytes);
        true
    }

    fn restart(&mut self, limits: &Limits, out: &mut Vec<Event>) {
        if limits.tolerance.no_fs.is_some() {
            self.end(Some(NOTE_NO_FS), out);
        } else {
            self.cut(NOTE_RESTART, out);
        }
        self.place = Place::Inside;
    }

    /// The block is whole; one that ended without FS CR only if its last segment is.
    fn end(&mut self, note: Option<Note>, out: &mut Vec<Event>) {
        let is_complete = match note.map(|note| note.code) {
            Some(code) if code == NOTE_NO_FS.code => self.content.ends_with(b"\r"),
            _ => true,
        };
        if let Some(note) = note {
            out.push(Event::Note(note.at(self.len())));
        }
        self.give(is_complete, out);
    }

    fn cut(&mut self, note: Note, out: &mut Vec<Event>) {
        out.push(Event::Note(note.at(self.len())));
        self.give(false, out);
    }

    fn give(&mut self, is_complete: bool, out: &mut Vec<Event>) {
        self.place = Place::Outside;
        // The whole allocation goes with the block, so that one long block leaves nothing behind.
        let content = mem::take(&mut self.content).freeze();
        if content.is_empty() {
            out.push(Event::Note(NOTE_EMPTY));
        } else {
            out.push(Event::Block {
                content,
                is_complete,
            });
        }
    }

    fn len(&self) -> u64 {
        u64::try_from(self.content.len()).unwrap_or(u64::MAX)
    }
}

/// `content` as a block.
pub(super) fn frame(content: &[u8]) -> Bytes {
    let mut block = BytesMut::with_capacity(content.len().saturating_add(3));
    block.extend_from_slice(&[VT]);
    block.extend_from_slice(content);
    block.extend_from_slice(&[FS, CR]);
    block.freeze()
}

/// Whether a content can travel in a block at all.
pub(super) fn is_framable(content: &[u8]) -> bool {
    !content.iter().any(|&byte| byte == VT || byte == FS)
}
