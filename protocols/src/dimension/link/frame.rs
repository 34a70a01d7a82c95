//! The frame: `<STX> message C1 C2 <ETX>`, where the message ends with FS.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::{
    dialect::{ETX, STX},
    field::FS,
};

/// The two digits: the sum modulo 256 of a message from its letter to its last FS, in upper-case
/// hexadecimal.
pub fn checksum(message: &[u8]) -> [u8; 2] {
    let sum = message
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    [digit(sum >> 4), digit(sum & 0x0F)]
}

/// A message for the wire.
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len().saturating_add(4));
    out.put_u8(STX);
    out.put_slice(message);
    out.put_slice(&checksum(message));
    out.put_u8(ETX);
    out.freeze()
}

fn digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'A' + (nibble - 10)
    }
}

/// A frame as read, not yet judged.
#[derive(Debug)]
pub(super) struct RawFrame {
    /// Byte offset of its STX.
    pub(super) start: u64,
    /// From the letter to the last FS; `None` where no FS stands before the checksum.
    pub(super) message: Option<Bytes>,
    /// The two digits as sent; `None` where they are missing.
    declared: Option<[u8; 2]>,
    computed: [u8; 2],
    /// A control character other than FS stood in the message.
    pub(super) has_control: bool,
}

impl RawFrame {
    /// Lower case is accepted.
    pub(super) fn checksum_fits(&self) -> bool {
        self.declared
            .is_some_and(|sum| sum.eq_ignore_ascii_case(&self.computed))
    }
}

/// What one more byte did to a frame under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It belongs to the frame.
    More,
    /// STX: the frame begins here.
    Restarted,
    /// The frame is past its limit.
    TooLong,
    /// It is the last byte of the frame.
    Ended,
}

/// Collects one frame, byte by byte.
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
            // Two more for the checksum.
            _ if self.bytes.len() >= max.saturating_add(2) => Read::TooLong,
            _ => {
                self.bytes.put_u8(byte);
                Read::More
            }
        }
    }

    pub(super) fn finish(self) -> RawFrame {
        let bytes = self.bytes.freeze();
        let length = bytes.iter().rposition(|byte| *byte == FS);
        let length = length.map(|at| at.saturating_add(1));
        let message = length.map(|length| bytes.slice(..length));
        let rest = length.and_then(|length| bytes.get(length..));
        let is_odd = |byte: &u8| (*byte < b' ' && *byte != FS) || *byte == DEL;
        let body = message.as_deref().unwrap_or_default();
        RawFrame {
            start: self.start,
            declared: rest.and_then(|rest| rest.try_into().ok()),
            computed: checksum(body),
            has_control: body.iter().any(is_odd),
            // Something else than a checksum after the last FS: part of a field, or noise.
            message: message.filter(|_| matches!(rest, Some([] | [_, _]))),
        }
    }
}

pub(super) const DEL: u8 = 0x7F;
