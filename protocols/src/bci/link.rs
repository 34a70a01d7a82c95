//! The link: both sides in one machine.
//!
//! ```text
//!        ENQ: ACK out          STX            ETX                durable: ACK out
//! Idle ──────────────▶ Listening ───▶ InFrame ───▶ WaitDisk ─────────────▶ Listening
//!  ▲                       │ EOT
//!  └───────────────────────┘
//!        ENQ out        ACK          20 ms: message out           ACK: EOT out
//! Idle ─────────▶ Asking ───▶ Granted ──────────────────▶ WaitReply ────────────▶ Idle
//! ```
//!
//! What decides:
//! - A message is acknowledged when [`Input::Committed`] says that it is durable. A reply names
//!   nothing: it is given only to the message that asked, and whatever the peer says before it
//!   cancels it. The commit itself goes on; the same message again joins it.
//! - What an owner sends may be several messages, as an order has one for each test. Each goes in a
//!   session of its own; the last one's ACK ends all of it, and the first failure too: then its owner
//!   sends all of it again.
//! - Before a message of ours 20 ms pass, in which a doubled ACK of our ENQ goes by.
//! - One session brings one message of ours; then the peer has a chance to speak.
//! - When both ask for the line the host gives way, and its message keeps its place.

mod commits;
mod frame;
mod receiver;
mod sender;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

pub use self::frame::{checksum, frame};
use self::{
    commits::{Detached, Unresolved},
    receiver::Receiver,
    sender::Sender,
};
use super::{
    dialect::{Dialect, OUTPUTS_MAX, STX},
    notes,
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
    /// The message whose commit is open, or failed and not sent again yet.
    unresolved: Option<Unresolved>,
    detached: Vec<Detached>,
    commits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Idle,
    /// The peer has the line.
    Listening,
    InFrame,
    WaitDisk,
    /// We asked for the line.
    Asking,
    /// We have it.
    Granted,
    WaitReply,
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
        }
    }

    /// The dialect it was made with.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Whether something that was taken is not durable yet. Until this is false the machine must
    /// be kept and its deadlines served, even when its port is gone.
    pub fn awaits_store(&self) -> bool {
        let is_waiting = self.unresolved.as_ref().is_some_and(Unresolved::is_waiting);
        is_waiting || !self.detached.is_empty()
    }

    /// Bytes not looked at, outputs not taken, things the store has not answered.
    #[cfg(test)]
    pub(super) fn held(&self) -> [usize; 3] {
        [self.inbox.len(), self.outputs.len(), self.detached.len()]
    }

    fn on_opened(&mut self) {
        self.on_closed();
        self.inbox = Inbox::default();
        self.phase = Phase::Idle;
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

    /// Looks at bytes until the outputs must be taken.
    fn read_inbox(&mut self) {
        while self.outputs.len() < OUTPUTS_MAX
            && let Some(byte) = self.inbox.peek()
        {
            self.on_byte(byte);
            self.inbox.advance();
        }
        self.inbox.tidy();
    }

    fn on_byte(&mut self, byte: u8) {
        match self.phase {
            Phase::Disconnected => {}
            Phase::InFrame => self.on_frame_byte(byte),
            _ if byte == STX => self.begin_frame(),
            Phase::Asking => self.on_reply_to_enq(byte),
            Phase::Granted => self.on_byte_before_message(byte),
            Phase::WaitReply => self.on_reply(byte),
            Phase::Idle | Phase::Listening | Phase::WaitDisk => self.on_other_byte(byte),
        }
    }

    fn on_deadline(&mut self) {
        if let Some((at, timer)) = self.timer
            && at <= self.now
        {
            self.on_timer(timer);
        }
        self.retry_detached();
        self.expire();
        self.try_send();
    }

    fn on_timer(&mut self, timer: Timer) {
        self.timer = None;
        match timer {
            Timer::InterByte => self.on_inter_byte_timeout(),
            Timer::Commit => self.on_commit_timeout(),
            Timer::Receive => self.on_receive_timeout(),
            Timer::Establishment => self.on_enq_timeout(),
            Timer::Reply => self.on_reply_timeout(),
            Timer::LinkHold => self.on_turn(),
            Timer::Expiry => {}
        }
    }

    fn enter(&mut self, phase: Phase, timer: Timer, after: Duration) {
        self.phase = phase;
        self.timer = Some((self.now.after(after), timer));
    }

    fn rest(&mut self) {
        self.phase = Phase::Idle;
        self.timer = None;
    }

    fn transmit(&mut self, bytes: Bytes) {
        self.outputs.push_back(Output::Transmit(bytes));
    }

    fn reply(&mut self, reply: &'static [u8]) {
        self.transmit(Bytes::from_static(reply));
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
        let turn = self.ask_at().map(|at| (at, Timer::LinkHold));
        let expiry = self.next_expiry().map(|at| (at, Timer::Expiry));
        let retry = self.next_retry().map(|at| (at, Timer::Commit));
        [self.timer, turn, expiry, retry]
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
            Phase::Idle => "Idle",
            Phase::Listening => "Listening",
            Phase::InFrame => "InFrame",
            Phase::WaitDisk => "WaitDisk",
            Phase::Asking => "Asking",
            Phase::Granted => "Granted",
            Phase::WaitReply => "WaitReply",
        }
    }
}

/// A length as a note carries it.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
