//! The link: both sides in one machine.
//!
//! ```text
//!         STX          P: ACK out          20 ms: N, D or M out         ACK
//! Idle ───────▶ InFrame ───────▶ WaitTurn ─────────────────────▶ WaitReply ───▶ Idle, or
//!                 │ R, C          ▲ durable: ACK out               ▲     WaitAcceptance (an
//!                 ├────▶ WaitDisk ┘                                │     order: M ends it)
//!                 │ I             durable: ACK out                 │ D or N out
//!                 └────▶ WaitDisk ───────────────▶ WaitAnswer ─────┘
//! ```
//!
//! What decides:
//! - A result, a calibration, a query and anything unknown is acknowledged when
//!   [`Input::Committed`] says that it is durable, and only then accepted (`M`). A reply is given
//!   only to the message that asked: an STX that comes before it cancels it. The commit itself
//!   goes on; the same message again joins it. Polls promise nothing and are answered at once.
//! - A host speaks when it was polled (one order waiting as
//!   [`Download`](crate::wire::OutgoingKind::Download), or `N`) or asked (the owner's
//!   [`Answer`](crate::wire::OutgoingKind::Answer), for the sample id of the query).
//! - An order ends with the analyzer's own word about it ([`SendOutcome::Answered`] with its `M`):
//!   accepted or refused, and why. An order that was not acknowledged is not sent again by itself.
//! - The owner's reply to a report, if it gives one with [`Input::Committed`], is the `M` that is
//!   sent; without one the report is accepted.

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
    writer::NO_REQUEST,
};
#[cfg(doc)]
use crate::wire::SendOutcome;
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
    InFrame,
    WaitDisk,
    WaitAnswer,
    WaitTurn(Turn),
    WaitReply,
}

/// What a host says after its ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// An order, if one waits, or `N`.
    Poll,
    /// `N`, whatever waits.
    NoRequest,
    /// The `M` of the report accepted last.
    Acceptance,
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
            Phase::WaitReply => self.on_reply(byte),
            Phase::Idle | Phase::WaitDisk | Phase::WaitAnswer | Phase::WaitTurn(_) => {
                self.on_other_byte(byte);
            }
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
            Timer::Reply => self.on_reply_timeout(),
            Timer::Expiry => self.on_answer_timeout(),
            Timer::LinkHold => self.on_turn(),
            Timer::Establishment | Timer::Receive => {}
        }
    }

    fn enter(&mut self, phase: Phase, timer: Timer, after: Duration) {
        self.phase = phase;
        self.timer = Some((self.now.after(after), timer));
    }

    /// Says it when the turnaround is over; at once where there is none.
    fn say_in_turn(&mut self, turn: Turn) {
        let after = self.dialect.timers.turnaround;
        self.enter(Phase::WaitTurn(turn), Timer::LinkHold, after);
        if after.is_zero() {
            self.on_turn();
        }
    }

    fn on_turn(&mut self) {
        let Phase::WaitTurn(turn) = self.phase else {
            return;
        };
        match turn {
            Turn::Poll => self.answer_poll(),
            Turn::NoRequest => self.send_own(Bytes::from_static(NO_REQUEST)),
            Turn::Acceptance => {
                let reply = self.receiver.acceptance();
                self.send_own(reply);
            }
        }
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
            Input::Committed(id, reply) => self.on_committed(id, reply),
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
        let turn = self.may_send().then_some((self.now, Timer::LinkHold));
        let expiry = self.next_expiry().map(|at| (at, Timer::Expiry));
        let acceptance = self.acceptance_until().map(|at| (at, Timer::Reply));
        let retry = self.next_retry().map(|at| (at, Timer::Commit));
        [self.timer, turn, expiry, acceptance, retry]
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
            Phase::Idle if self.acceptance_until().is_some() => "WaitAcceptance",
            Phase::Idle => "Idle",
            Phase::InFrame => "InFrame",
            Phase::WaitDisk => "WaitDisk",
            Phase::WaitAnswer => "WaitAnswer",
            Phase::WaitTurn(_) => "WaitTurn",
            Phase::WaitReply => "WaitReply",
        }
    }
}

/// A length as a note carries it.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
