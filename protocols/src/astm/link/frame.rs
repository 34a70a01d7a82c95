//! The frame of LIS01-A2 6.3.1: `<STX> FN text <ETB or ETX> C1 C2 <CR> <LF>`.

use bytes::{BufMut, Bytes, BytesMut};

use super::dialect::ChecksumRule;

pub(super) const SOH: u8 = 0x01;
pub(super) const STX: u8 = 0x02;
pub(super) const ETX: u8 = 0x03;
pub(super) const EOT: u8 = 0x04;
pub(super) const ENQ: u8 = 0x05;
pub(super) const ACK: u8 = 0x06;
pub(super) const LF: u8 = 0x0A;
pub(super) const CR: u8 = 0x0D;
pub(super) const DLE: u8 = 0x10;
pub(super) const NAK: u8 = 0x15;
pub(super) const ETB: u8 = 0x17;

/// STX, number, ETX, two digits, CR and LF: everything of a frame but its text.
const OVERHEAD: usize = 7;

/// The two digits of LIS01-A2 6.3.3: the sum modulo 256 in upper-case hexadecimal.
///
/// `bytes` run from the frame number to the ETX or ETB, both included.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    digits(
        bytes
            .iter()
            .fold(0, |sum: u8, byte| sum.wrapping_add(*byte)),
    )
}

/// One frame around `text`, ended by ETX where `is_last`, else by ETB. `number` counts modulo 8.
pub fn frame(number: u8, text: &[u8], is_last: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len().saturating_add(OVERHEAD));
    out.put_u8(STX);
    out.put_u8(b'0' + number % 8);
    out.put_slice(text);
    out.put_u8(if is_last { ETX } else { ETB });
    let sum = checksum(out.get(1..).unwrap_or_default());
    out.put_slice(&sum);
    out.put_slice(&[CR, LF]);
    out.freeze()
}

/// Whether LIS01-A2 6.6 forbids `byte` in the text of a frame.
pub(super) fn is_restricted(byte: u8) -> bool {
    matches!(byte, SOH..=ACK | LF | DLE..=ETB)
}

fn digits(sum: u8) -> [u8; 2] {
    [digit(sum >> 4), digit(sum & 0x0F)]
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
    /// The byte in the place of the number.
    pub(super) number: Option<u8>,
    pub(super) text: Bytes,
    /// Ended by ETX.
    pub(super) is_last: bool,
    /// The two digits as sent; `None` where they were missing.
    pub(super) declared: Option<[u8; 2]>,
    pub(super) computed: [u8; 2],
    /// The last ENQ or EOT inside the text.
    pub(super) control: Option<u8>,
    /// Another restricted character (but LF) stood in the text.
    pub(super) has_restricted: bool,
}

impl RawFrame {
    /// Lower case is accepted (LIS01-A2 asks for upper case).
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
    /// STX: what came before was noise, the frame begins here.
    Restarted,
    /// The text is past its limit.
    TooLong,
    /// It is the last byte of the frame.
    Ended,
    /// The frame ended before it.
    EndedBefore,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Number,
    Text,
    FirstDigit,
    SecondDigit(u8),
}

/// Collects one frame, byte by byte.
#[derive(Debug)]
pub(super) struct FrameReader {
    place: Place,
    sum: u8,
    frame: Collected,
}

#[derive(Debug, Default)]
struct Collected {
    start: u64,
    number: Option<u8>,
    text: BytesMut,
    is_last: bool,
    declared: Option<[u8; 2]>,
    control: Option<u8>,
    has_restricted: bool,
}

impl FrameReader {
    /// A frame whose STX stood at byte `start`.
    pub(super) fn new(start: u64) -> Self {
        Self {
            place: Place::Number,
            sum: 0,
            frame: Collected {
                start,
                ..Collected::default()
            },
        }
    }

    /// Byte offset of its STX.
    pub(super) const fn start(&self) -> u64 {
        self.frame.start
    }

    /// The last ENQ or EOT seen inside the frame.
    pub(super) fn control(&self) -> Option<u8> {
        self.frame.control
    }

    /// Whether only the checksum is missing.
    pub(super) fn waits_for_checksum(&self) -> bool {
        matches!(self.place, Place::FirstDigit | Place::SecondDigit(_))
    }

    /// Takes the byte at stream offset `at`.
    pub(super) fn push(&mut self, at: u64, byte: u8, max: usize, rule: ChecksumRule) -> Read {
        match self.place {
            Place::Number | Place::Text if byte == STX => {
                *self = Self::new(at);
                Read::Restarted
            }
            Place::Number => self.on_number(byte),
            Place::Text => self.on_text(byte, max),
            Place::FirstDigit => self.on_digit(at, byte, None, rule),
            Place::SecondDigit(first) => self.on_digit(at, byte, Some(first), rule),
        }
    }

    /// The frame as it stands, and its text where it was not ended.
    pub(super) fn finish(self) -> RawFrame {
        let frame = self.frame;
        RawFrame {
            start: frame.start,
            number: frame.number,
            text: frame.text.freeze(),
            is_last: frame.is_last,
            declared: frame.declared,
            computed: digits(self.sum),
            control: frame.control,
            has_restricted: frame.has_restricted,
        }
    }

    fn on_number(&mut self, byte: u8) -> Read {
        self.place = Place::Text;
        if matches!(byte, ETX | ETB) {
            return self.on_text(byte, usize::MAX);
        }
        self.sum = self.sum.wrapping_add(byte);
        self.frame.number = Some(byte);
        self.note_control(byte);
        Read::More
    }

    fn on_text(&mut self, byte: u8, max: usize) -> Read {
        self.sum = self.sum.wrapping_add(byte);
        if matches!(byte, ETX | ETB) {
            self.frame.is_last = byte == ETX;
            self.place = Place::FirstDigit;
            return Read::More;
        }
        self.note_control(byte);
        self.frame.text.put_u8(byte);
        if self.frame.text.len() > max {
            Read::TooLong
        } else {
            Read::More
        }
    }

    fn note_control(&mut self, byte: u8) {
        if matches!(byte, ENQ | EOT) {
            self.frame.control = Some(byte);
        } else if byte != LF && is_restricted(byte) {
            self.frame.has_restricted = true;
        }
    }

    fn on_digit(&mut self, at: u64, byte: u8, first: Option<u8>, rule: ChecksumRule) -> Read {
        let is_off = rule == ChecksumRule::Off;
        match (byte, first) {
            (CR | LF, _) => Read::EndedBefore,
            (STX | ENQ | EOT, _) if is_off => Read::EndedBefore,
            (STX, _) => {
                *self = Self::new(at);
                Read::Restarted
            }
            (_, None) if is_off && !byte.is_ascii_hexdigit() => Read::EndedBefore,
            (_, None) => {
                // A damaged digit may look like ENQ or EOT. Acting on it would put our ACK, meant
                // for ENQ, where the sender reads it as one for this frame.
                self.note_control(byte);
                self.place = Place::SecondDigit(byte);
                Read::More
            }
            (_, Some(first)) => {
                self.note_control(byte);
                self.frame.declared = Some([first, byte]);
                Read::Ended
            }
        }
    }
}
