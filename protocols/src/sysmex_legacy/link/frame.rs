//! The frame: `<STX> text <ETX>`, without a check.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::dialect::{ETX, STX};

/// A text for the wire.
pub fn frame(text: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len().saturating_add(2));
    out.put_u8(STX);
    out.put_slice(text);
    out.put_u8(ETX);
    out.freeze()
}

/// What one more byte did to a text under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It belongs to the text.
    More,
    /// STX: a text begins here.
    Restarted,
    /// The text is past its limit.
    TooLong,
    /// It is the last byte of the text.
    Ended,
}

/// Collects one text, byte by byte.
#[derive(Debug)]
pub(super) struct FrameReader {
    /// Byte offset of the STX.
    pub(super) start: u64,
    bytes: BytesMut,
}

impl FrameReader {
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            bytes: BytesMut::new(),
        }
    }

    pub(super) fn push(&mut self, byte: u8, max: usize) -> Read {
        match byte {
            STX => Read::Restarted,
            ETX => Read::Ended,
            _ if self.bytes.len() >= max => Read::TooLong,
            _ => {
                self.bytes.put_u8(byte);
                Read::More
            }
        }
    }

    pub(super) fn finish(self) -> (u64, Bytes) {
        (self.start, self.bytes.freeze())
    }
}
