//! The link: both classes and both sides in one machine.
//!
//! ```text
//!           start code          end code (BCC)        durable, 0.5 s: ACK out
//! Idle ───────────────▶ InBlock ─────────────▶ WaitDisk ─────────▶ WaitTurn ──▶ Idle / WaitBlock
//!  │                       │ wrong, 1 s             │ not durable, 1.5 s: NAK out     ▲
//!  │                       └────────────────────────┴──────────────▶ WaitTurn ────────┤
//!  │ answer or result to send, after 0.5 s                                            │
//!  └───────────────▶ WaitReply ── ACK: next block after 0.5 s, or done ───────────────┘
//!                    (NAK, 2 s: the same block again; start code: given up)
//! ```
//!
//! What decides:
//! - Class B: a block is acknowledged when [`Input::Committed`] says that it is durable, and never
//!   sooner. A reply is given only to the block that asked: a start code that comes before it
//!   cancels it. The commit itself goes on; the same block again joins it.
//! - Class A: nothing is acknowledged, so nothing is refused. What is damaged is kept, marked
//!   incomplete; a store that fails is asked again, and the port is not read when it is behind.
//! - Whatever was taken comes out: in a complete text, or in one marked incomplete.
//! - A host sends only the answer to a request ([`Input::Send`] with
//!   [`OutgoingKind::Answer`](crate::wire::OutgoingKind::Answer)), for the sample that the request
//!   named, and within the analyzer's time; it never sends on its own.
//! - Sending begins with [`Input::Send`] and [`Input::Deadline`], never in the middle of reading.

mod assembler;
mod block;
mod commits;
mod receiver;
mod sender;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

pub use self::block::{bcc, frame};
use self::{
    commits::{Detached, Unresolved},
    receiver::Receiver,
    sender::Sender,
};
use super::{
    dialect::{Dialect, OUTPUTS_MAX},
    notes,
};
use crate::wire::{Commit, CommitId, Input, Machine, Mono, Note, Output, Timer};

/// One line's link: feed it bytes and the time, take from it bytes and texts.
#[derive(Debug)]
pub struct Link {
    dialect: Dialect,
    phase: Phase,
    /// The timer of the present phase.
    timer: Option<(Mono, Timer)>,
    now: Mono,
    /// Before this we do not speak.
    quiet_until: Mono,
    outputs: VecDeque<Output>,
    inbox: Inbox,
    receiver: Receiver,
    sender: Sender,
    /// The block whose commit is open, or failed and not sent again yet.
    unresolved: Option<Unresolved>,
    detached: Vec<Detached>,
    commits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Idle,
    InBlock,
    WaitDisk,
    WaitTurn(Turn),
    WaitReply,
}

/// What is said when the turnaround is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Reply(u8),
    Block,
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

    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.taken).copied()?;
        self.taken = self.taken.saturating_add(1);
        Some(byte)
    }

    /// Forgets what was taken; cheap, because it happens once a read.
    fn tidy(&mut self) {
        let taken = self.taken.min(self.bytes.len());
        self.bytes.drain(..taken);
        self.taken = 0;
    }
}

impl Link {
    /// A link that waits for its port. The dialect must pass [`Dialect::check`]; one that does not
    /// makes a link that understands nothing, but none that breaks.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            phase: Phase::Disconnected,
            timer: None,
            now: Mono::default(),
            quiet_until: Mono::default(),
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
        self.phase = Phase::Idle;
        self.quiet_until = self.now;
    }

    fn on_closed(&mut self) {
        if self.phase == Phase::Disconnected {
            return;
        }
        // What was read is looked at although the store is behind: it will never be read again.
        while let Some(byte) = self.inbox.next() {
            self.on_byte(byte);
            self.inbox.offset = self.inbox.offset.saturating_add(1);
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

    /// Looks at bytes until they must wait.
    fn read_inbox(&mut self) {
        while self.outputs.len() < OUTPUTS_MAX
            && !self.must_stop_reading()
            && let Some(byte) = self.inbox.next()
        {
            self.on_byte(byte);
            self.inbox.offset = self.inbox.offset.saturating_add(1);
        }
        self.inbox.tidy();
    }

    fn on_byte(&mut self, byte: u8) {
        match self.phase {
            Phase::Disconnected => {}
            Phase::InBlock => self.on_block_byte(byte),
            _ if byte == self.dialect.start => self.begin_block(),
            Phase::WaitReply => self.on_reply(byte),
            Phase::Idle | Phase::WaitDisk | Phase::WaitTurn(_) => self.on_other_byte(byte),
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
            Timer::LinkHold => self.on_turn(),
            Timer::Reply => self.on_reply_timeout(),
            Timer::Receive => self.end_text(notes::TEXT_SILENT),
            Timer::Establishment | Timer::Expiry => {}
        }
    }

    fn enter(&mut self, phase: Phase, timer: Timer, after: Duration) {
        self.phase = phase;
        self.timer = Some((self.now.after(after), timer));
    }

    /// Nothing is under way; a text may wait for its next block.
    fn rest(&mut self) {
        self.phase = Phase::Idle;
        self.timer = None;
        if self.receiver.has_open_text() {
            let after = self.dialect.timers.between_blocks;
            self.enter(Phase::Idle, Timer::Receive, after);
        }
    }

    /// Says it when the turnaround is over; at once where there is none.
    fn say_in_turn(&mut self, turn: Turn) {
        self.phase = Phase::WaitTurn(turn);
        if self.quiet_until <= self.now {
            return self.on_turn();
        }
        self.timer = Some((self.quiet_until, Timer::LinkHold));
    }

    fn on_turn(&mut self) {
        let Phase::WaitTurn(turn) = self.phase else {
            return;
        };
        match turn {
            Turn::Reply(reply) => self.reply(reply),
            Turn::Block => self.send_block(),
        }
    }

    fn be_quiet(&mut self) {
        self.quiet_until = self.now.after(self.dialect.timers.turnaround);
    }

    fn transmit(&mut self, bytes: Bytes) {
        self.outputs.push_back(Output::Transmit(bytes));
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
            .may_send()
            .then_some((self.quiet_until, Timer::LinkHold));
        let expiry = self.next_expiry().map(|at| (at, Timer::Expiry));
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
            Phase::Idle if self.receiver.has_open_text() => "WaitBlock",
            Phase::Idle => "Idle",
            Phase::InBlock => "InBlock",
            Phase::WaitDisk => "WaitDisk",
            Phase::WaitTurn(_) => "WaitTurn",
            Phase::WaitReply => "WaitReply",
        }
    }
}

/// A length as a note carries it.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
