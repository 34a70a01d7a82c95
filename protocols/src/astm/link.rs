//! The link of LIS01-A2 (ASTM E1381): both roles in one machine.
//!
//! ```text
//!            ENQ out            ACK in                 nothing left: EOT out
//! Neutral ───────────▶ LineBid ────────▶ WaitReply ───────────────────────▶ Neutral
//!    │                    (NAK, ENQ in, 15 s: back, with ENQ held back)
//!    │ ENQ in: ACK out      STX             C1 C2              durable: ACK out
//!    └───────────▶ WaitFrame ───▶ InFrame ────────▶ WaitDisk ──────────────▶ WaitFrame
//!                      │ EOT in, 30 s                (not durable, 10 s: NAK out)
//!                      └──────────────▶ Neutral
//! ```
//!
//! What decides:
//! - A frame is acknowledged when [`Input::Committed`] says that it is durable, and never sooner;
//!   one such reply is open at a time, and what the peer sends meanwhile waits.
//! - A reply is given only to the frame that asked: ENQ, EOT, a lost line or the commit deadline
//!   cancel it for good. The commit itself goes on: if the same frame comes again after our NAK
//!   it joins the commit that is already under way, or, when that one has succeeded meanwhile, is
//!   acknowledged at once; either way it is one journal row.
//! - Text that was acknowledged always comes out: in a complete message, or in one marked
//!   incomplete, which is asked for again until the store has it.
//! - Bids are made by [`Input::Send`] and by [`Input::Deadline`], never in the middle of reading,
//!   so that `EOT ENQ` means the same in one read and in two (LIS01-A2 6.2: a bid needs an
//!   empty receive buffer).

mod assembler;
mod commits;
mod deframe;
mod dialect;
mod frame;
pub mod notes;
mod receiver;
mod sender;

use std::collections::VecDeque;

use bytes::Bytes;

use self::{
    commits::{Detached, Unresolved},
    receiver::Receiver,
    sender::Sender,
};
pub use self::{
    deframe::{Deframed, Refusal, RefusedFrame, deframe},
    dialect::{
        ChecksumRule, DETACHED_MAX, Dialect, Durability, FRAME_TEXT_LARGEST, FRAME_TEXT_MAX,
        FRAME_TEXT_STANDARD, FrameNumberRule, INBOX_BYTES_MAX, Limits, MESSAGE_BYTES_MAX,
        OUTGOING_BYTES_MAX, OUTGOING_MAX, OUTPUTS_MAX, RECORD_BYTES_MAX, Role, SESSION_BYTES_MAX,
        Timers,
    },
    frame::{checksum, frame},
};
use crate::wire::{Commit, CommitId, Input, Machine, Mono, Note, Output, Timer};

/// One line's link: feed it bytes and the time, take from it bytes and messages.
#[derive(Debug)]
pub struct Link {
    dialect: Dialect,
    phase: Phase,
    /// The timer of the present phase.
    timer: Option<(Mono, Timer)>,
    now: Mono,
    outputs: VecDeque<Output>,
    inbox: Inbox,
    receiver: Receiver,
    sender: Sender,
    /// The frame whose commit is open, or failed and not sent again yet.
    unresolved: Option<Unresolved>,
    detached: Vec<Detached>,
    commits: u64,
    /// Frames refused, kept for [`deframe`] alone.
    refused: Option<Vec<RefusedFrame>>,
}

/// The states of LIS01-A2, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Neutral,
    LineBid,
    WaitReply,
    WaitFrame,
    InFrame,
    WaitDisk,
    Unframed,
}

/// Bytes read and not yet looked at.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
    /// Offset in the stream of the next byte to be taken.
    offset: u64,
}

impl Inbox {
    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.taken).copied()
    }

    fn advance(&mut self) {
        self.taken = self.taken.saturating_add(1);
        self.offset = self.offset.saturating_add(1);
    }

    /// Forgets what was taken; cheap, because it happens once a read.
    fn tidy(&mut self) {
        let taken = self.taken.min(self.bytes.len());
        self.bytes.drain(..taken);
        self.taken = 0;
    }
}

impl Link {
    /// A link that waits for its port.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            phase: Phase::Disconnected,
            timer: None,
            now: Mono::default(),
            outputs: VecDeque::new(),
            inbox: Inbox::default(),
            receiver: Receiver::default(),
            sender: Sender::default(),
            unresolved: None,
            detached: Vec::new(),
            commits: 0,
            refused: None,
        }
    }

    /// The dialect it was made with.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Whether something acknowledged, or a message left over, is not durable yet. Until this is
    /// false the machine must be kept and its deadlines served, even when its port is gone.
    pub fn awaits_store(&self) -> bool {
        let has_open_commit = self.unresolved.as_ref().is_some_and(Unresolved::is_waiting);
        has_open_commit || !self.detached.is_empty()
    }

    fn on_opened(&mut self) {
        self.on_closed();
        self.inbox = Inbox::default();
        self.receiver.on_opened();
        self.sender.hold_until(self.now);
        self.become_neutral();
    }

    fn on_closed(&mut self) {
        if self.phase == Phase::Disconnected {
            return;
        }
        self.close_receiver();
        self.close_sender();
        self.inbox = Inbox::default();
        self.phase = Phase::Disconnected;
        self.timer = None;
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Disconnected {
            return;
        }
        // What fits now is looked at before the rest is judged against the limit.
        let mut rest = bytes;
        while !rest.is_empty() {
            let (fits, later) = rest.split_at(rest.len().min(self.accepts()));
            self.inbox.bytes.extend_from_slice(fits);
            self.read_inbox();
            rest = later;
            if self.accepts() == 0 && !rest.is_empty() {
                self.note(notes::INBOX_OVERFLOW.at(count(rest.len())));
                return;
            }
        }
    }

    /// Looks at bytes until one must wait.
    fn read_inbox(&mut self) {
        while self.outputs.len() < OUTPUTS_MAX
            && let Some(byte) = self.inbox.peek()
            && self.takes(byte)
        {
            if self.on_byte(byte) == Taken::Yes {
                self.inbox.advance();
            }
        }
        self.inbox.tidy();
    }

    fn on_byte(&mut self, byte: u8) -> Taken {
        match self.phase {
            Phase::Disconnected => {}
            Phase::Neutral => self.on_neutral_byte(byte),
            Phase::LineBid => self.on_bid_answer(byte),
            Phase::WaitReply => self.on_reply(byte),
            Phase::WaitFrame | Phase::WaitDisk => self.on_transfer_byte(byte),
            Phase::InFrame => return self.on_frame_byte(byte),
            Phase::Unframed => return self.on_unframed_byte(byte),
        }
        Taken::Yes
    }

    fn on_deadline(&mut self) {
        if let Some((at, timer)) = self.timer
            && at <= self.now
        {
            self.on_timer(timer);
        }
        self.retry_detached();
        self.expire();
        self.try_bid();
    }

    fn on_timer(&mut self, timer: Timer) {
        self.timer = None;
        match timer {
            Timer::Establishment => self.on_bid_timeout(),
            Timer::Reply => self.on_reply_timeout(),
            Timer::Receive => self.on_receive_timeout(),
            Timer::InterByte => self.on_inter_byte_timeout(),
            Timer::Commit => self.on_commit_timeout(),
            Timer::LinkHold | Timer::Expiry => {}
        }
    }

    fn enter(&mut self, phase: Phase, timer: Timer, after: std::time::Duration) {
        self.phase = phase;
        self.timer = Some((self.now.after(after), timer));
    }

    fn become_neutral(&mut self) {
        self.phase = Phase::Neutral;
        self.timer = None;
        self.receiver.on_neutral();
    }

    fn transmit(&mut self, byte: &'static [u8]) {
        self.outputs
            .push_back(Output::Transmit(Bytes::from_static(byte)));
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn commit(&mut self, commit: Commit) -> CommitId {
        self.commits = self.commits.saturating_add(1);
        let id = CommitId(self.commits);
        self.outputs.push_back(Output::Commit(id, commit));
        id
    }
}

impl Machine for Link {
    fn handle(&mut self, now: Mono, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Opened => self.on_opened(),
            Input::Bytes(bytes) => self.on_bytes(bytes),
            Input::Deadline => self.on_deadline(),
            Input::Committed(id, _) => self.on_committed(id),
            Input::CommitFailed(id, _) => self.on_commit_failed(id),
            Input::Send(id, outgoing) => self.on_send(id, outgoing),
            Input::Withdraw(id) => self.on_withdraw(id),
            Input::Closed => self.on_closed(),
        }
        self.read_inbox();
    }

    fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.read_inbox();
        }
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<(Mono, Timer)> {
        let hold = self
            .may_bid()
            .then(|| (self.sender.held_until(), Timer::LinkHold));
        let expiry = self.sender.next_expiry().map(|at| (at, Timer::Expiry));
        let retry = self.next_retry().map(|at| (at, Timer::Commit));
        [self.timer, hold, expiry, retry]
            .into_iter()
            .flatten()
            .min()
    }

    fn accepts(&self) -> usize {
        if self.phase == Phase::Disconnected {
            return 0;
        }
        self.dialect.limits.inbox.saturating_sub(self.inbox.len())
    }

    fn state(&self) -> &'static str {
        match self.phase {
            Phase::Disconnected => "Disconnected",
            Phase::Neutral => "Neutral",
            Phase::LineBid => "LineBid",
            Phase::WaitReply => "WaitReply",
            Phase::WaitFrame => "WaitFrame",
            Phase::InFrame => "InFrame",
            Phase::WaitDisk => "WaitDisk",
            Phase::Unframed => "Unframed",
        }
    }
}

/// Whether a byte was used up, or must be looked at again in the state it led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    Again,
}

/// A length as a note carries it.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
