//! What a stream of unknown bytes is made of: bids, frames, blocks, lines.
//!
//! Nothing is refused here. A frame whose checksum is wrong is a frame with a wrong checksum, and
//! says something about its device.

use labwire_protocols::{
    astm::link::checksum,
    mllp::{FS, VT},
};

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
const ETB: u8 = 0x17;

/// Bytes of one frame, block or line; the largest message that the protocols take has 4 MiB.
const PIECE_BYTES_MAX: usize = 4_194_304;
/// Bytes behind ETX: two digits and CR LF, or the check bytes of other protocols.
const TAIL_BYTES_MAX: usize = 4;

/// One part of the stream.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Enq,
    Eot,
    /// ACK or NAK: the capture has both sides, or the device answers something.
    Reply,
    Frame(Frame),
    /// What stands between VT and FS.
    Block(Vec<u8>),
    /// A frame or block that began and did not end, or was longer than any may be.
    Cut,
    /// Text outside frames and blocks, up to CR or LF.
    Line(Vec<u8>),
}

/// STX to ETX or ETB, and what follows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Everything between STX and its end, the number included.
    pub(super) text: Vec<u8>,
    /// Ended by ETX, not by ETB.
    pub(super) is_last: bool,
    /// What followed, without CR LF.
    tail: Vec<u8>,
}

/// What a frame's checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Right,
    Wrong,
    Absent,
    /// Something that is not two hexadecimal digits.
    Foreign,
}

impl Frame {
    pub(super) fn sum(&self) -> Sum {
        let [high, low] = self.tail.as_slice() else {
            return if self.tail.is_empty() {
                Sum::Absent
            } else {
                Sum::Foreign
            };
        };
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            return Sum::Foreign;
        }
        let mut summed = self.text.clone();
        summed.push(if self.is_last { ETX } else { ETB });
        if checksum(&summed) == [high.to_ascii_uppercase(), low.to_ascii_uppercase()] {
            Sum::Right
        } else {
            Sum::Wrong
        }
    }

    /// Its number and its text, if it begins as an ASTM frame does.
    pub(super) fn numbered(&self) -> Option<(u8, &[u8])> {
        match self.text.as_slice() {
            [number @ b'0'..=b'7', text @ ..] => Some((*number - b'0', text)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Frame,
    Tail {
        is_last: bool,
    },
    Block,
}

/// Takes a stream apart, in any portions.
#[derive(Default)]
pub(super) struct Lexer {
    state: State,
    bytes: Vec<u8>,
    tail: Vec<u8>,
}

impl Lexer {
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Piece>) {
        for byte in bytes {
            self.byte(*byte, found);
        }
    }

    /// Whether a frame has ended but for what may follow its ETX.
    pub(super) const fn awaits_tail(&self) -> bool {
        matches!(self.state, State::Tail { .. })
    }

    /// Nothing more followed the ETX.
    pub(super) fn settle(&mut self, found: &mut Vec<Piece>) {
        if let State::Tail { is_last } = self.state {
            while self.tail.last() == Some(&b'\r') {
                self.tail.pop();
            }
            found.push(Piece::Frame(Frame {
                text: std::mem::take(&mut self.bytes),
                is_last,
                tail: std::mem::take(&mut self.tail),
            }));
            self.state = State::Outside;
        }
    }

    /// The stream is over.
    pub(super) fn finish(&mut self, found: &mut Vec<Piece>) {
        match self.state {
            State::Tail { .. } => self.settle(found),
            State::Outside => self.end_line(found),
            State::Frame | State::Block => self.cut(found),
        }
    }

    fn byte(&mut self, byte: u8, found: &mut Vec<Piece>) {
        match self.state {
            State::Outside => self.outside(byte, found),
            State::Frame => self.in_frame(byte, found),
            State::Tail { .. } => self.in_tail(byte, found),
            State::Block => self.in_block(byte, found),
        }
        if self.bytes.len() > PIECE_BYTES_MAX {
            self.cut(found);
        }
    }

    fn outside(&mut self, byte: u8, found: &mut Vec<Piece>) {
        match byte {
            b'\r' | b'\n' => self.end_line(found),
            ENQ | EOT | ACK | NAK | STX | VT | FS | ETX | ETB => {
                self.end_line(found);
                match byte {
                    ENQ => found.push(Piece::Enq),
                    EOT => found.push(Piece::Eot),
                    ACK | NAK => found.push(Piece::Reply),
                    STX => self.state = State::Frame,
                    VT => self.state = State::Block,
                    _ => {}
                }
            }
            _ => self.bytes.push(byte),
        }
    }

    fn in_frame(&mut self, byte: u8, found: &mut Vec<Piece>) {
        match byte {
            ETX | ETB => {
                self.state = State::Tail {
                    is_last: byte == ETX,
                };
            }
            STX | ENQ | EOT => {
                self.cut(found);
                self.outside(byte, found);
            }
            _ => self.bytes.push(byte),
        }
    }

    fn in_tail(&mut self, byte: u8, found: &mut Vec<Piece>) {
        match byte {
            b'\n' => self.settle(found),
            b'\r' if self.tail.last() != Some(&b'\r') => self.tail.push(byte),
            STX | ENQ | EOT | VT | b'\r' => {
                self.settle(found);
                self.outside(byte, found);
            }
            _ if self.tail.last() == Some(&b'\r') || self.tail.len() >= TAIL_BYTES_MAX => {
                self.settle(found);
                self.outside(byte, found);
            }
            _ => self.tail.push(byte),
        }
    }

    fn in_block(&mut self, byte: u8, found: &mut Vec<Piece>) {
        match byte {
            FS => {
                found.push(Piece::Block(std::mem::take(&mut self.bytes)));
                self.state = State::Outside;
            }
            VT => {
                self.cut(found);
                self.state = State::Block;
            }
            _ => self.bytes.push(byte),
        }
    }

    fn end_line(&mut self, found: &mut Vec<Piece>) {
        if !self.bytes.is_empty() {
            found.push(Piece::Line(std::mem::take(&mut self.bytes)));
        }
    }

    fn cut(&mut self, found: &mut Vec<Piece>) {
        self.bytes = Vec::new();
        self.tail = Vec::new();
        self.state = State::Outside;
        found.push(Piece::Cut);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<Piece> {
        let mut lexer = Lexer::default();
        let mut found = Vec::new();
        lexer.push(bytes, &mut found);
        lexer.finish(&mut found);
        found
    }

    fn sums(bytes: &[u8]) -> Vec<Sum> {
        let frames = pieces(bytes).into_iter().filter_map(|piece| match piece {
            Piece::Frame(frame) => Some(frame.sum()),
            Piece::Enq
            | Piece::Eot
            | Piece::Reply
            | Piece::Block(_)
            | Piece::Cut
            | Piece::Line(_) => None,
        });
        frames.collect()
    }

    #[test]
    fn a_checksum_is_right_wrong_absent_or_of_another_kind() {
        assert_eq!(sums(b"\x021L|1|N\r\x0304\r\n\x04"), [Sum::Right]);
        assert_eq!(sums(b"\x021L|1|N\r\x0305\r\n\x04"), [Sum::Wrong]);
        assert_eq!(
            sums(b"\x021L|1|N\r\x03\r\n\x021L|1|N\r\x03"),
            [Sum::Absent; 2]
        );
        assert_eq!(sums(b"\x02R 01\x03\x5E"), [Sum::Foreign]);
    }

    #[test]
    fn a_frame_that_does_not_end_is_cut_and_the_next_is_read() {
        let found = pieces(b"\x021H|\x021L|1|N\r\x0304\r\n\x0BMSH|\x0BMSH|1\r\x1C\rrest");
        let is_cut = |piece: &&Piece| **piece == Piece::Cut;
        assert_eq!(found.iter().filter(is_cut).count(), 2);
        assert!(found.contains(&Piece::Block(b"MSH|1\r".to_vec())));
        assert!(found.contains(&Piece::Line(b"rest".to_vec())));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_pieces(
            bytes in proptest::collection::vec(
                prop_oneof![2..7_u8, Just(0x0B), Just(0x1C), Just(0x17), Just(13), Just(10), 32..80_u8],
                0..200,
            ),
            at in 0..200_usize,
        ) {
            let mut lexer = Lexer::default();
            let mut found = Vec::new();
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            lexer.push(head, &mut found);
            lexer.push(tail, &mut found);
            lexer.finish(&mut found);
            prop_assert!(found == pieces(&bytes));
        }
    }
}
