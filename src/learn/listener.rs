//! A machine that listens to whatever speaks, and acknowledges only where it may.
//!
//! An acknowledgement is a promise: the device deletes what was acknowledged. So every portion of
//! bytes is first given to the owner ([`Output::Commit`]), and what is owed for it leaves only when
//! the owner has said that it is kept.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use labwire_protocols::{
    hl7::ack::Outcome,
    mllp::{FS, VT},
    wire::{
        CloseReason, Commit, CommitId, Input, Machine, Mono, OutId, Output, Received, SendFailure,
        SendOutcome, Timer,
    },
};

use super::lexer::{Frame, Lexer, Piece, Sum};
use crate::host::device_ack;

const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// Bytes taken at once; a portion is one write to the disk.
const PORTION_BYTES_MAX: usize = 65_536;
/// How long the digits behind an ETX may take: at 1200 bit/s four characters need 34 ms. A device
/// that sends none waits for its reply meanwhile.
const TAIL_WITHIN: Duration = Duration::from_millis(500);
/// A frame that came so often with the same bytes and the same wrong checksum was not hurt on its
/// way: the device counts in another way. The standard ends a message after six sends.
const SAME_REFUSALS_MAX: u32 = 3;

/// Says what MSH-7 of an acknowledgement is: `20250115103000`.
pub type WallClock = Arc<dyn Fn() -> String + Send + Sync>;

/// One connection that is listened to.
pub struct Listener {
    lexer: Lexer,
    /// The clock of acknowledgements; without one nothing is acknowledged.
    acknowledges: Option<WallClock>,
    outputs: VecDeque<Output>,
    /// What is owed for bytes that are not kept yet.
    owed: Vec<u8>,
    open: Option<CommitId>,
    commits: u64,
    replies: u64,
    refused: Option<(Frame, u32)>,
    deadline: Option<Mono>,
    is_open: bool,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// A listener that acknowledges by this clock, or not at all.
    pub fn new(acknowledges: Option<WallClock>) -> Self {
        Self {
            lexer: Lexer::default(),
            acknowledges,
            outputs: VecDeque::new(),
            owed: Vec::new(),
            open: None,
            commits: 0,
            replies: 0,
            refused: None,
            deadline: None,
            is_open: false,
        }
    }

    fn on_bytes(&mut self, now: Mono, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut found = Vec::new();
        self.lexer.push(bytes, &mut found);
        self.owe(found);
        self.deadline = self.lexer.awaits_tail().then(|| now.after(TAIL_WITHIN));
        self.commits += 1;
        let id = CommitId(self.commits);
        self.open = Some(id);
        let received = Received {
            session: self.commits,
            bytes: Bytes::copy_from_slice(bytes),
            is_complete: true,
        };
        self.outputs
            .push_back(Output::Commit(id, Commit::Message(received)));
    }

    fn owe(&mut self, found: Vec<Piece>) {
        let Some(clock) = self.acknowledges.clone() else {
            return;
        };
        for piece in found {
            match piece {
                Piece::Enq => self.owed.push(ACK),
                Piece::Frame(frame) => self.judge(frame),
                Piece::Block(raw) => self.answer(&raw, &clock()),
                Piece::Eot | Piece::Reply | Piece::Cut | Piece::Line(_) => {}
            }
        }
    }

    /// Only frames that are ASTM's: what another protocol expects is not known here.
    fn judge(&mut self, frame: Frame) {
        if frame.numbered().is_none() {
            return;
        }
        let is_taken = match frame.sum() {
            Sum::Right | Sum::Absent => true,
            Sum::Wrong | Sum::Foreign => {
                let before = match self.refused.take() {
                    Some((same, times)) if same == frame => times,
                    _ => 0,
                };
                self.refused = Some((frame, before + 1));
                before + 1 >= SAME_REFUSALS_MAX
            }
        };
        self.owed.push(if is_taken { ACK } else { NAK });
    }

    fn answer(&mut self, raw: &[u8], time: &str) {
        self.replies += 1;
        let control_id = format!("LWLEARN{}", self.replies);
        for reply in device_ack(raw, Outcome::Accepted, &control_id, time) {
            self.owed.push(VT);
            self.owed.extend_from_slice(&reply);
            self.owed.extend_from_slice(&[FS, b'\r']);
        }
    }

    fn pay(&mut self) {
        if self.open.is_none() && !self.owed.is_empty() {
            let owed = Bytes::from(std::mem::take(&mut self.owed));
            self.outputs.push_back(Output::Transmit(owed));
        }
    }

    fn refuse(&mut self, id: OutId) {
        let failed = SendOutcome::Failed(SendFailure::Unsendable);
        self.outputs.push_back(Output::Finished(id, failed));
    }
}

impl Machine for Listener {
    fn handle(&mut self, now: Mono, input: Input<'_>) {
        match input {
            Input::Opened => {
                *self = Self::new(self.acknowledges.take());
                self.is_open = true;
            }
            Input::Bytes(bytes) if self.is_open => self.on_bytes(now, bytes),
            Input::Deadline => {
                self.deadline = None;
                let mut found = Vec::new();
                self.lexer.settle(&mut found);
                self.owe(found);
                self.pay();
            }
            Input::Committed(id, _) if self.open == Some(id) => {
                self.open = None;
                self.pay();
            }
            Input::CommitFailed(id, _) if self.open == Some(id) => {
                // What cannot be kept is not acknowledged; the device sends it again.
                self.open = None;
                self.owed.clear();
                self.outputs
                    .push_back(Output::Close(CloseReason::NotDurable));
            }
            Input::Send(id, _) => self.refuse(id),
            Input::Closed => self.is_open = false,
            Input::Bytes(_)
            | Input::Committed(..)
            | Input::CommitFailed(..)
            | Input::Withdraw(_) => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<(Mono, Timer)> {
        self.deadline.map(|at| (at, Timer::InterByte))
    }

    fn accepts(&self) -> usize {
        if self.open.is_some() {
            0
        } else {
            PORTION_BYTES_MAX
        }
    }

    fn state(&self) -> &'static str {
        if self.is_open { "Listening" } else { "Closed" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wire {
        machine: Listener,
        now: u64,
    }

    impl Wire {
        fn new(acknowledges: bool) -> Self {
            let clock: WallClock = Arc::new(|| "20250115103000".to_owned());
            let mut machine = Listener::new(acknowledges.then_some(clock));
            machine.handle(Mono::default(), Input::Opened);
            Self { machine, now: 0 }
        }

        /// Everything that is transmitted, before and after the owner has kept the bytes.
        fn hears(&mut self, bytes: &[u8], is_kept: bool) -> (Vec<u8>, Vec<u8>) {
            self.machine
                .handle(Mono::from_millis(self.now), Input::Bytes(bytes));
            let (before, commits) = self.drain();
            for id in commits {
                assert_eq!(self.machine.accepts(), 0);
                let input = if is_kept {
                    Input::Committed(id, None)
                } else {
                    Input::CommitFailed(id, None)
                };
                self.machine.handle(Mono::from_millis(self.now), input);
            }
            let (after, _) = self.drain();
            (before, after)
        }

        fn drain(&mut self) -> (Vec<u8>, Vec<CommitId>) {
            let (mut sent, mut commits) = (Vec::new(), Vec::new());
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Transmit(bytes) => sent.extend_from_slice(&bytes),
                    Output::Commit(id, _) => commits.push(id),
                    Output::Close(_) => sent.extend_from_slice(b"closed"),
                    Output::Note(_) | Output::Finished(..) => {}
                }
            }
            (sent, commits)
        }
    }

    #[test]
    fn a_reply_leaves_only_after_its_bytes_are_kept() {
        let mut wire = Wire::new(true);
        assert_eq!(wire.hears(b"\x05", true), (vec![], vec![ACK]));
        let frame = b"\x021L|1|N\r\x0304\r\n";
        assert_eq!(wire.hears(frame, true), (vec![], vec![ACK]));
        assert_eq!(wire.hears(frame, false), (vec![], b"closed".to_vec()));
    }

    #[test]
    fn without_leave_nothing_is_sent() {
        let mut wire = Wire::new(false);
        let block = b"\x0BMSH|^~\\&|A||||20250115||ORU^R01|1|P|2.3.1\r\x1C\r";
        for bytes in [&b"\x05"[..], b"\x021L|1|N\r\x0304\r\n", block] {
            assert_eq!(wire.hears(bytes, true), (vec![], vec![]));
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_until_it_is_a_habit() {
        let mut wire = Wire::new(true);
        let frame = b"\x021L|1|N\r\x0305\r\n";
        let replies: Vec<_> = (0..3).map(|_| wire.hears(frame, true).1).collect();
        assert_eq!(replies, [vec![NAK], vec![NAK], vec![ACK]]);
    }

    #[test]
    fn a_frame_without_checksum_is_answered_when_nothing_more_comes() {
        let mut wire = Wire::new(true);
        assert_eq!(wire.hears(b"\x021L|1|N\r\x03", true), (vec![], vec![]));
        let (at, _) = wire.machine.deadline().expect("it waits for the digits");
        wire.machine.handle(at, Input::Deadline);
        assert_eq!(wire.drain().0, [ACK]);
    }

    #[test]
    fn a_block_is_answered_aa_under_its_own_id_and_another_frame_not_at_all() {
        let mut wire = Wire::new(true);
        let block = b"\x0BMSH|^~\\&|A||||20250115||ORU^R01|77|P|2.3.1\r\x1C\r";
        let reply = String::from_utf8(wire.hears(block, true).1).expect("text");
        assert!(reply.contains("\rMSA|AA|77"), "{reply}");
        assert_eq!(wire.hears(b"\x02R 0001\x03", true), (vec![], vec![]));
    }
}
