//! The block: start code, text, end code, and the block check character where the site has one.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::dialect::{Bcc, Dialect};

/// The exclusive or of `bytes`: the block check of a block from its code to its end code.
pub fn bcc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// A block for the wire around `block`, which ends with its end code.
pub fn frame(block: &[u8], dialect: &Dialect) -> Bytes {
    let mut out = BytesMut::with_capacity(block.len().saturating_add(2));
    out.put_u8(dialect.start);
    out.put_slice(block);
    if dialect.bcc != Bcc::Off {
        out.put_u8(bcc(block) ^ covered_start(dialect));
    }
    out.freeze()
}

const fn covered_start(dialect: &Dialect) -> u8 {
    if dialect.bcc_covers_start {
        dialect.start
    } else {
        0
    }
}

/// A block as read, not yet judged.
#[derive(Clone, Debug)]
pub(super) struct RawBlock {
    /// Byte offset of its start code.
    pub(super) start: u64,
    /// From the code to the end code; to the last byte that came, where it was cut.
    pub(super) text: Bytes,
    /// The block check as sent.
    pub(super) declared: Option<u8>,
    pub(super) computed: u8,
    /// A control character stood in the text.
    pub(super) has_control: bool,
}

impl RawBlock {
    pub(super) fn bcc_fits(&self) -> bool {
        self.declared == Some(self.computed)
    }
}

/// What one more byte did to a block under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It belongs to the block.
    More,
    /// A start code: the block begins here.
    Restarted,
    /// The block is past its limit.
    TooLong,
    /// It is the last byte of the block.
    Ended,
}

/// Collects one block, byte by byte.
#[derive(Debug)]
pub(super) struct BlockReader {
    start: u64,
    text: BytesMut,
    sum: u8,
    is_ended: bool,
    declared: Option<u8>,
    has_control: bool,
}

impl BlockReader {
    /// A block whose start code stood at byte `start`.
    pub(super) fn new(start: u64, dialect: &Dialect) -> Self {
        Self {
            start,
            text: BytesMut::new(),
            sum: covered_start(dialect),
            is_ended: false,
            declared: None,
            has_control: false,
        }
    }

    /// Takes a byte. The block check can be any byte, so nothing is looked for in it. After
    /// [`Read::Restarted`] the caller makes a new reader.
    pub(super) fn push(&mut self, byte: u8, dialect: &Dialect) -> Read {
        if self.is_ended {
            self.declared = Some(byte);
            return Read::Ended;
        }
        if byte == dialect.start {
            return Read::Restarted;
        }
        self.sum ^= byte;
        if self.text.len() >= dialect.limits.block {
            return Read::TooLong;
        }
        self.text.put_u8(byte);
        if dialect.is_end(byte) {
            self.is_ended = true;
            return if dialect.bcc == Bcc::Off {
                Read::Ended
            } else {
                Read::More
            };
        }
        self.has_control |= byte < b' ' || byte == DEL;
        Read::More
    }

    /// The block as it stands.
    pub(super) fn finish(self) -> RawBlock {
        RawBlock {
            start: self.start,
            text: self.text.freeze(),
            declared: self.declared,
            computed: self.sum,
            has_control: self.has_control,
        }
    }
}

pub(super) const DEL: u8 = 0x7F;
