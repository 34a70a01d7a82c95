//! Where a message begins and ends in a stream: at the `<` of its declaration or root element, and
//! at the `>` that ends the root element. A read is never taken for a message.
//!
//! Whether it is well-formed is seen later, by [`Document`](super::super::xml::Document); here only
//! so much is understood that no quote, comment or CDATA section can end a message.

use bytes::BytesMut;

use super::super::{
    dialect::{DEPTH_MAX, NAME_BYTES_MAX},
    notes,
    xml::{is_name_byte, is_name_start},
};
use crate::wire::Note;

/// What one more byte did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// It belongs to a message, or to nothing worth a word.
    More,
    /// It stands outside a message.
    Ignored,
    /// It is the last one of a message.
    Ended,
    /// Another message began inside one that began at this offset, and takes its place.
    Restarted(u64),
    /// The message that began at this offset is given up.
    Refused(Note),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    Outside,
    /// Between tags.
    Text,
    /// After `<`.
    Open,
    /// After `<!`.
    Bang,
    Name {
        is_end: bool,
    },
    Tag {
        quote: Option<u8>,
        is_slash: bool,
        is_end: bool,
    },
    Instruction,
    Comment,
    Cdata,
}

/// Collects one message, byte by byte.
#[derive(Debug)]
pub(super) struct Splitter {
    lex: Lex,
    bytes: BytesMut,
    /// Offset in the stream of the message's first byte.
    start: u64,
    /// Elements that are open.
    depth: usize,
    /// Where in the message the last `<` stands.
    tag: usize,
    /// A message was given up: everything is passed over up to the next root element.
    is_skipping: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            lex: Lex::Outside,
            bytes: BytesMut::new(),
            start: 0,
            depth: 0,
            tag: 0,
            is_skipping: false,
        }
    }
}

const COMMENT: &[u8] = b"<!--";
const CDATA: &[u8] = b"<![CDATA[";
/// `HEL.R01`.
const ROOT_BYTES: usize = 7;

/// Whether an element of this name begins a message wherever it stands: `OBS.R01` and the like never
/// stand inside another.
fn is_root(name: &[u8]) -> bool {
    let is_code = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    match name {
        [code @ .., b'.', b'R', tens, ones] => {
            code.len() == 3
                && code.iter().all(is_code)
                && tens.is_ascii_digit()
                && ones.is_ascii_digit()
        }
        _ => false,
    }
}

impl Splitter {
    /// Whether something was begun that silence would cut.
    pub(super) fn is_inside(&self) -> bool {
        self.lex != Lex::Outside || self.is_skipping
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message that ended, and the offset where it began.
    pub(super) fn take(&mut self) -> (u64, BytesMut) {
        let start = self.start;
        let bytes = self.bytes.split();
        self.reset();
        (start, bytes)
    }

    /// Nothing came for too long; where the message that is cut began, if there was one.
    pub(super) fn cut(&mut self) -> Option<u64> {
        let was_inside = self.lex != Lex::Outside && !self.is_skipping;
        let start = self.start;
        self.reset();
        self.is_skipping = false;
        was_inside.then_some(start)
    }

    fn reset(&mut self) {
        self.lex = Lex::Outside;
        self.bytes.clear();
        self.depth = 0;
        self.tag = 0;
    }

    /// One more byte, at this offset of the stream; messages have at most `max` bytes.
    pub(super) fn push(&mut self, byte: u8, offset: u64, max: usize) -> Split {
        if self.is_skipping {
            return self.skip(byte, offset);
        }
        if self.lex == Lex::Outside {
            return self.outside(byte, offset);
        }
        if self.bytes.len() >= max {
            return self.refuse(notes::TOO_LONG, byte, offset);
        }
        self.bytes.extend_from_slice(&[byte]);
        match self.step(byte) {
            Err(note) => self.refuse(note, byte, offset),
            Ok(split) => split,
        }
    }

    /// Line ends, and what vendors put around messages, mean nothing.
    fn outside(&mut self, byte: u8, offset: u64) -> Split {
        match byte {
            b'<' => {
                self.begin(offset);
                Split::More
            }
            0..=b' ' => Split::More,
            _ => Split::Ignored,
        }
    }

    fn begin(&mut self, offset: u64) {
        self.reset();
        self.bytes.extend_from_slice(b"<");
        self.start = offset;
        self.lex = Lex::Open;
    }

    /// Gives the message up. The byte may begin the next one.
    fn refuse(&mut self, note: Note, byte: u8, offset: u64) -> Split {
        let note = note.at(self.start);
        self.reset();
        self.is_skipping = true;
        self.skip(byte, offset);
        Split::Refused(note)
    }

    /// Looks for the root element of the next message.
    fn skip(&mut self, byte: u8, offset: u64) -> Split {
        if byte == b'<' {
            self.begin(offset);
            return Split::More;
        }
        let name = self.bytes.get(1..).unwrap_or_default();
        let ends_name = matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace();
        if is_root(name) && ends_name {
            self.is_skipping = false;
            self.lex = Lex::Name { is_end: false };
            self.bytes.extend_from_slice(&[byte]);
            return self.step(byte).unwrap_or(Split::More);
        }
        if self.bytes.is_empty() || name.len() >= ROOT_BYTES || !is_name_byte(byte) {
            self.reset();
        } else {
            self.bytes.extend_from_slice(&[byte]);
        }
        Split::More
    }

    fn step(&mut self, byte: u8) -> Result<Split, Note> {
        match self.lex {
            Lex::Outside | Lex::Text => self.text(byte)?,
            Lex::Open => self.lex = self.after_open(byte)?,
            Lex::Bang => self.bang()?,
            Lex::Name { is_end } => return self.name(byte, is_end),
            Lex::Tag {
                quote,
                is_slash,
                is_end,
            } => match (quote, byte) {
                (_, b'<') => return Err(notes::MALFORMED),
                (Some(quote), byte) => {
                    let quote = (byte != quote).then_some(quote);
                    self.lex = Lex::Tag {
                        quote,
                        is_slash: false,
                        is_end,
                    };
                }
                (None, b'>') => return self.tag_ended(is_end, is_slash),
                (None, byte) => {
                    self.lex = Lex::Tag {
                        quote: matches!(byte, b'"' | b'\'').then_some(byte),
                        is_slash: byte == b'/',
                        is_end,
                    };
                }
            },
            Lex::Instruction => self.until(b"?>", 2),
            Lex::Comment => self.until(b"-->", COMMENT.len()),
            Lex::Cdata => self.until(b"]]>", CDATA.len()),
        }
        Ok(Split::More)
    }

    fn text(&mut self, byte: u8) -> Result<(), Note> {
        if byte == b'<' {
            self.tag = self.bytes.len().saturating_sub(1);
            self.lex = Lex::Open;
        } else if self.depth == 0 && !byte.is_ascii_whitespace() {
            return Err(notes::MALFORMED);
        }
        Ok(())
    }

    fn after_open(&self, byte: u8) -> Result<Lex, Note> {
        match byte {
            b'/' if self.depth > 0 => Ok(Lex::Name { is_end: true }),
            b'!' => Ok(Lex::Bang),
            b'?' if self.depth == 0 => Ok(Lex::Instruction),
            b'?' => Err(notes::FORBIDDEN),
            byte if is_name_start(byte) => Ok(Lex::Name { is_end: false }),
            _ => Err(notes::MALFORMED),
        }
    }

    fn bang(&mut self) -> Result<(), Note> {
        let so_far = self.bytes.get(self.tag..).unwrap_or_default();
        if so_far == COMMENT {
            self.lex = Lex::Comment;
        } else if so_far == CDATA && self.depth > 0 {
            self.lex = Lex::Cdata;
        } else if !COMMENT.starts_with(so_far) && !CDATA.starts_with(so_far) || so_far == CDATA {
            return Err(notes::FORBIDDEN);
        }
        Ok(())
    }

    fn name(&mut self, byte: u8, is_end: bool) -> Result<Split, Note> {
        let name_from = self.tag.saturating_add(if is_end { 2 } else { 1 });
        let name = self.bytes.get(name_from..).unwrap_or_default();
        if is_name_byte(byte) {
            let is_long = name.len() > NAME_BYTES_MAX;
            return match is_long {
                true => Err(notes::TOO_DEEP),
                false => Ok(Split::More),
            };
        }
        let name = name.get(..name.len().saturating_sub(1)).unwrap_or_default();
        let restarted = (!is_end && self.depth > 0 && is_root(name)).then(|| self.restart());
        self.lex = Lex::Tag {
            quote: None,
            is_slash: false,
            is_end,
        };
        // A byte that ends a name never ends a whole message.
        let split = self.step(byte)?;
        Ok(restarted.unwrap_or(split))
    }

    /// The tag under way is the root of another message.
    fn restart(&mut self) -> Split {
        let cut = self.start;
        self.start = cut.saturating_add(super::count(self.tag));
        self.bytes = self.bytes.split_off(self.tag);
        self.tag = 0;
        self.depth = 0;
        Split::Restarted(cut)
    }

    fn tag_ended(&mut self, is_end: bool, is_empty: bool) -> Result<Split, Note> {
        self.lex = Lex::Text;
        self.depth = match (is_end, is_empty) {
            (true, _) => self.depth.saturating_sub(1),
            (false, true) => self.depth,
            (false, false) => self.depth.saturating_add(1),
        };
        if self.depth > DEPTH_MAX {
            return Err(notes::TOO_DEEP);
        }
        Ok(if self.depth == 0 {
            Split::Ended
        } else {
            Split::More
        })
    }

    /// To the mark that ends it, which does not overlap the `opening` bytes that began it.
    fn until(&mut self, mark: &[u8], opening: usize) {
        let inside = self.tag.saturating_add(opening);
        let inside = self.bytes.get(inside..).unwrap_or_default();
        if inside.ends_with(mark) {
            self.lex = Lex::Text;
        }
    }
}
