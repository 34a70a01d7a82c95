//! The frame: `<STX> message <GS> C1 C2 <ETX>`, with line ends here and there.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::{
    dialect::{CR, ETX, GS, LF, STX, is_cut},
    writer::DEL,
};

/// The two digits: the sum modulo 256 of everything after STX up to GS and with it, in lower-case
/// hexadecimal; `sums_line_ends` says whether CR and LF count.
pub fn checksum(message: &[u8], sums_line_ends: bool) -> [u8; 2] {
    let counts = |byte: &&u8| sums_line_ends || !matches!(**byte, CR | LF);
    let sum = message
        .iter()
        .filter(counts)
        .fold(GS, |sum, byte| sum.wrapping_add(*byte));
    [digit(sum >> 4), digit(sum & 0x0F)]
}

/// A message for the wire.
pub fn frame(message: &[u8], sums_line_ends: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len().saturating_add(5));
    out.put_u8(STX);
    out.put_slice(message);
    out.put_u8(GS);
    out.put_slice(&checksum(message, sums_line_ends));
    out.put_u8(ETX);
    out.freeze()
}

fn digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + (nibble - 10)
    }
}

/// A frame as read, not yet judged.
#[derive(Debug)]
pub(super) struct RawFrame {
    /// Byte offset of its STX.
    pub(super) start: u64,
    /// From the first byte to the one before GS; `None` where GS and two digits do not end it.
    pub(super) message: Option<Bytes>,
    /// The two digits as sent.
    declared: Option<[u8; 2]>,
    /// A control character that means nothing stood in the message.
    pub(super) has_control: bool,
}

impl RawFrame {
    /// Upper case is accepted.
    pub(super) fn checksum_fits(&self, sums_line_ends: bool) -> bool {
        let message = self.message.as_deref().unwrap_or_default();
        let computed = checksum(message, sums_line_ends);
        self.declared
            .is_some_and(|sum| sum.eq_ignore_ascii_case(&computed))
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
            // GS, two digits, CR LF.
            _ if self.bytes.len() >= max.saturating_add(5) => Read::TooLong,
            _ => {
                self.bytes.put_u8(byte);
                Read::More
            }
        }
    }

    pub(super) fn finish(self) -> RawFrame {
        let bytes = self.bytes.freeze();
        let length = bytes.iter().rposition(|byte| *byte == GS);
        let after = length.and_then(|length| bytes.get(length.saturating_add(1)..));
        let digits = after.map(<[u8]>::trim_ascii_end);
        let is_odd = |byte: &u8| (*byte < b' ' && !is_cut(*byte)) || *byte == DEL;
        let message = length.map(|length| bytes.slice(..length));
        RawFrame {
            start: self.start,
            declared: digits.and_then(|digits| digits.try_into().ok()),
            has_control: message
                .as_deref()
                .is_some_and(|body| body.iter().any(is_odd)),
            // Something else than a checksum after the last GS: part of a field, or noise.
            message: message.filter(|_| matches!(digits, Some([] | [_, _]))),
        }
    }
}
