//! The contract between a protocol machine and whatever drives it (a driver, a simulator, a test).
//!
//! A machine is a value: bytes, commit notices and the time go in through [`Machine::handle`]; bytes
//! to send, things to make durable, notes and the next deadline come out. The polling order is:
//!
//! 1. call [`Machine::handle`] once,
//! 2. call [`Machine::poll`] until it returns `None`, acting on each [`Output`] in order,
//! 3. read [`Machine::deadline`] and [`Machine::accepts`], then wait for the next input.
//!
//! No machine reads a clock, opens a socket or starts a thread.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{astm::link, bci, beckman_au, dimension, mllp, poct1a, sysmex_legacy};

/// A monotonic instant in microseconds since an origin the caller chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This instant moved later by `by`, held at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this instant lies; zero if it does not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Names one thing a machine asked to be made durable; unique within one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// Names one message that the owner asked a machine to send; chosen by the owner, unique per line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutId(pub u64);

/// What goes into a machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// The port is open; the machine starts from its initial state.
    Opened,
    /// Bytes read from the port, in any portions. At most [`Machine::accepts`] of them are wanted.
    Bytes(&'a [u8]),
    /// The time of [`Machine::deadline`] has come.
    Deadline,
    /// The commit is durable. ASTM answers ACK and ignores the reply; MLLP sends the reply
    /// (a whole HL7 message, unframed), or nothing when there is none to give.
    Committed(CommitId, Option<Bytes>),
    /// The commit failed; nothing may be promised to the peer. ASTM answers NAK; MLLP sends the
    /// negative reply if there is one, else closes the line.
    CommitFailed(CommitId, Option<Bytes>),
    /// Send this message when the protocol allows it.
    Send(OutId, Outgoing),
    /// Forget a message that has not begun to travel; one under way is finished or broken off at
    /// the next point where the protocol allows it.
    Withdraw(OutId),
    /// The port is gone.
    Closed,
}

/// A message for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// ASTM: records, each ended by CR. HL7: one message, segments ended by CR. Never framed.
    pub payload: Bytes,
    /// Whether it outlives the session that asked for it.
    pub kind: OutgoingKind,
    /// Not worth sending any more when this much time has passed since `Send`.
    pub expires_after: Option<Duration>,
}

/// Whether an outgoing message survives the loss of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingKind {
    /// The answer to a query: dropped when the line is lost.
    Answer,
    /// An order, a cancel, a result for the HIS: reported as not sent, and its owner tries again.
    Download,
}

/// What comes out of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes to the port.
    Transmit(Bytes),
    /// Make this durable, then answer with [`Input::Committed`] or [`Input::CommitFailed`].
    Commit(CommitId, Commit),
    /// Something worth counting and showing; never carries message content.
    Note(Note),
    /// The last word about a message given by [`Input::Send`].
    Finished(OutId, SendOutcome),
    /// Close the port: the peer broke a limit or the protocol cannot go on.
    Close(CloseReason),
}

/// What must be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// One accepted ASTM frame (LIS01-A2 6.3): its text, without STX, number, checksum. The store
    /// appends it to the open message of `session`. `messages` lists what this frame completed.
    Frame {
        /// Counts the transfer phases of this machine from 1.
        session: u64,
        /// Counts the accepted frames of the session from 0, so that a frame sent again after a
        /// failed commit is the same journal row.
        index: u32,
        /// The text of the frame.
        text: Bytes,
        /// The messages that this frame ended, oldest first; usually none or one.
        messages: Vec<Received>,
    },
    /// One whole message: an MLLP block, an ASTM message where the line promises whole messages
    /// only, or what was left of one when the session ended without its L record.
    Message(Received),
}

/// A message as received, without framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The session it came in (ASTM), a count of blocks from 1 (MLLP), or of conversations from 1
    /// (POCT1-A).
    pub session: u64,
    /// ASTM: the text of its frames joined, from H to the CR of L. HL7: the block between VT and FS CR.
    pub bytes: Bytes,
    /// False when it ended without its L record, or the block was cut.
    pub is_complete: bool,
}

/// How a [`Input::Send`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// ASTM: every frame was ACKed and EOT sent.
    Sent,
    /// MLLP: the peer's reply that names this message's control id in MSA-2.
    Answered(Bytes),
    /// Not delivered; the owner decides whether to try again.
    Failed(SendFailure),
}

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The peer answered NAK to ENQ, or nothing, as often as the dialect allows.
    Busy,
    /// One frame was refused as often as the standard allows (LIS01-A2 6.5.1.2: six sends).
    Refused,
    /// No reply in time.
    TimedOut,
    /// The line went away.
    LineLost,
    /// `expires_after` passed before it could be sent.
    Expired,
    /// [`Input::Withdraw`] came first.
    Withdrawn,
    /// The payload breaks the protocol or a limit; sending it again cannot help.
    Unsendable,
}

/// Why a machine wants its port closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer does not read, and the transmit buffer reached its limit.
    TransmitOverflow,
    /// The peer sent more than a limit allows and cannot be told so in its protocol.
    ReceiveOverflow,
    /// A commit failed and the protocol has no negative reply to give.
    NotDurable,
}

/// Something tolerated, refused or counted: a stable code, where, never the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Stable code such as `ASTM-0103`, listed with its explanation in `protocols/CLAUSES.md`.
    pub code: &'static str,
    /// What happened, in a few English words, fixed per code.
    pub text: &'static str,
    /// A position or count that belongs to it (byte offset, frame number, length); 0 if none does.
    pub at: u64,
}

impl Note {
    /// A note without a position.
    pub const fn new(code: &'static str, text: &'static str) -> Self {
        Self { code, text, at: 0 }
    }

    /// Whether people should see it: something was refused, a limit was passed, or the peer never
    /// took what it was to get. Everything else is a habit, or mends itself.
    pub fn is_alarm(&self) -> bool {
        let is_same = |alarm: &Self| alarm.code == self.code;
        let alarms = [
            link::notes::ALARMS,
            mllp::ALARMS,
            beckman_au::notes::ALARMS,
            dimension::notes::ALARMS,
            poct1a::notes::ALARMS,
            bci::notes::ALARMS,
            sysmex_legacy::notes::ALARMS,
        ];
        alarms.into_iter().flatten().any(is_same)
    }

    /// The same note at a position.
    #[must_use]
    pub const fn at(self, at: u64) -> Self {
        Self { at, ..self }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (at {})", self.code, self.text, self.at)
    }
}

/// The timers of all machines, as one enum; a machine may run several at once and reports the
/// earliest by [`Machine::deadline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Sender waits for the answer to ENQ (T-enq, 15 s).
    Establishment,
    /// Our own ENQ is held back (T-busy, T-cont, T-int, or 1 s after a timeout).
    LinkHold,
    /// Sender waits for the reply to a frame or to an HL7 message (T-reply, 15 s).
    Reply,
    /// Receiver waits for the next frame (T-rx, 30 s).
    Receive,
    /// Receiver waits for the next byte inside a frame or block.
    InterByte,
    /// A commit has not been answered (10 s, then NAK).
    Commit,
    /// An outgoing message is no longer worth sending.
    Expiry,
}

/// A protocol machine: one per line, both roles.
pub trait Machine: fmt::Debug + Send {
    /// Changes the machine once. `now` never goes backwards between calls.
    fn handle(&mut self, now: Mono, input: Input<'_>);

    /// The next thing to do, or `None` when the machine waits.
    fn poll(&mut self) -> Option<Output>;

    /// When to call `handle` with [`Input::Deadline`], and for which timer.
    fn deadline(&self) -> Option<(Mono, Timer)>;

    /// How many bytes the machine can take now; 0 means: do not read the port.
    fn accepts(&self) -> usize;

    /// The name of the present state, as the standard calls it, for people.
    fn state(&self) -> &'static str;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_vendors_wire_refuses_is_an_alarm_and_what_it_tolerates_is_none() {
        let alarms = [
            poct1a::notes::MALFORMED,
            poct1a::notes::TOO_LONG,
            poct1a::notes::COMMIT_FAILED,
            poct1a::notes::NOT_CONTINUOUS,
            bci::notes::CHECKSUM_REFUSED,
            bci::notes::COMMIT_FAILED,
            bci::notes::SENDS_EXHAUSTED,
            sysmex_legacy::notes::DAMAGED_KEPT,
            sysmex_legacy::notes::COMMIT_FAILED,
        ];
        for note in alarms {
            assert!(note.at(7).is_alarm(), "{note}");
        }
        let habits = [
            poct1a::notes::REPEAT,
            poct1a::notes::BYTES_IGNORED,
            poct1a::notes::UNKNOWN_KEPT,
            bci::notes::NO_ENQ,
            bci::notes::CHECKSUM_TOLERATED,
            sysmex_legacy::notes::REPEAT,
            sysmex_legacy::notes::UNKNOWN_LINE,
        ];
        for note in habits {
            assert!(!note.is_alarm(), "{note}");
        }
    }
}
