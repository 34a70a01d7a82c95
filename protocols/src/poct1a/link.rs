//! The link: the conversation, both sides in one machine.
//!
//! ```text
//!            HEL: ACK       DST: ACK          REQ ROBS          EOT: ACK
//! WaitHello ────────▶ Introduced ───▶ Ready ──────────▶ Observations ───┐
//!                                      ▲ │ REQ RDEV                     │
//!                                      │ ├──────────▶ Events ── EOT ────┤
//!                                      │ │                              │
//!                                      └─┼──────────────────────────────┘
//!          START_CONTINUOUS, ACK AA      │ END, its ACK
//! Continuous ◀───────────────────────────┼────────────────▶ Ended
//! ```
//!
//! What decides:
//! - A hello, observations, events, a request and anything unknown is acknowledged when
//!   [`Input::Committed`] says that it is durable; until then nothing more is read. Status,
//!   keep-alive, the end of a topic and of a conversation promise nothing and are answered at once.
//! - An acknowledgement names the control id of what it is for, and so may come late. When the store
//!   failed it is `AE`, and the device keeps what it has.
//! - What is said comes in any order: an observation without hello or request is taken as well.
//! - Messages of the owner ([`Download`](crate::wire::OutgoingKind::Download)) go one at a time, when
//!   the device has nothing more to say; each ends with the peer's `ACK` ([`SendOutcome::Answered`]).
//!   The link gives them their control ids.
//! - A device's conversation ends with the host's `END`: what it has to say after that needs a hello,
//!   which begins the next one, over the same connection or another.
//! - A device's own request (`REQ`) is answered by its owner's
//!   [`Answer`](crate::wire::OutgoingKind::Answer), which stands for the acknowledgement.
//! - Everything of one conversation has one number ([`Received::session`]), hello included, which
//!   alone says what device it was.
//! - `HDR.creation_dttm` of what the link itself says is the peer's own last, as there is no clock
//!   here; a device's clock is set by the owner (`SET_TIME`).

mod receiver;
mod sender;
mod splitter;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use self::{
    receiver::Receiver,
    sender::Sender,
    splitter::{Split, Splitter},
};
use super::{
    dialect::{Dialect, OUTPUTS_MAX, Role, Wrap},
    notes,
};
#[cfg(doc)]
use crate::wire::SendOutcome;
use crate::wire::{Commit, CommitId, Input, Machine, Mono, Note, Output, Received, Timer};

/// One line's link: feed it bytes and the time, take from it bytes and messages.
#[derive(Debug)]
pub struct Link {
    dialect: Dialect,
    stage: Stage,
    now: Mono,
    outputs: VecDeque<Output>,
    inbox: Inbox,
    splitter: Splitter,
    /// When the last byte of a message under way was looked at.
    last_byte: Mono,
    receiver: Receiver,
    sender: Sender,
    commits: u64,
}

/// How far the conversation is. A device knows `Disconnected`, `Ready` and `Ended` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Disconnected,
    /// The device speaks first.
    WaitHello,
    /// It said who it is, not yet how it is.
    Introduced,
    /// It has nothing to say unasked.
    Ready,
    /// It was asked for observations.
    Observations,
    /// It was asked for events.
    Events,
    /// It says what it has when it has it.
    Continuous,
    /// Nothing more is said up to the next hello.
    Ended,
}

/// Bytes read and not yet looked at.
#[derive(Debug, Default)]
struct Inbox {
    bytes: BytesMut,
    /// Offset in the stream of the next byte to be taken.
    offset: u64,
}

impl Link {
    /// A link that waits for its port.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            stage: Stage::Disconnected,
            now: Mono::default(),
            outputs: VecDeque::new(),
            inbox: Inbox::default(),
            splitter: Splitter::default(),
            last_byte: Mono::default(),
            receiver: Receiver::default(),
            sender: Sender::default(),
            commits: 0,
        }
    }

    /// The dialect it was made with.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Bytes not looked at, bytes of the message under way, outputs not taken.
    #[cfg(test)]
    pub(super) fn held(&self) -> [usize; 3] {
        [
            self.inbox.bytes.len(),
            self.splitter.len(),
            self.outputs.len(),
        ]
    }

    fn on_opened(&mut self) {
        self.on_closed();
        self.inbox = Inbox::default();
        self.splitter = Splitter::default();
        self.begin_conversation();
        self.stage = match self.dialect.role {
            Role::Host => Stage::WaitHello,
            Role::Device => Stage::Ready,
        };
    }

    fn on_closed(&mut self) {
        if self.stage == Stage::Disconnected {
            return;
        }
        self.close_receiver();
        self.close_sender();
        if let Some(start) = self.splitter.cut() {
            self.note(notes::CUT.at(start));
        }
        self.inbox = Inbox::default();
        self.stage = Stage::Disconnected;
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Disconnected {
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

    /// Looks at bytes until the outputs must be taken or the store must answer.
    fn read_inbox(&mut self) {
        if self.receiver.pending.is_some() {
            return;
        }
        let mut taken = 0;
        let bytes = self.inbox.bytes.split().freeze();
        for byte in &bytes {
            if self.outputs.len() >= OUTPUTS_MAX || self.receiver.pending.is_some() {
                break;
            }
            self.on_byte(*byte);
            taken += 1;
            self.inbox.offset = self.inbox.offset.saturating_add(1);
        }
        let rest = bytes.get(taken..).unwrap_or_default();
        self.inbox.bytes.extend_from_slice(rest);
    }

    fn on_byte(&mut self, byte: u8) {
        let (offset, max) = (self.inbox.offset, self.dialect.limits.message);
        self.last_byte = self.now;
        match self.splitter.push(byte, offset, max) {
            Split::More => {}
            Split::Ignored => self.ignore_byte(),
            Split::Refused(note) => self.note(note),
            Split::Restarted(cut) => self.note(notes::RESTARTED.at(cut)),
            Split::Ended => {
                let (start, message) = self.splitter.take();
                self.on_message(start, message.freeze());
                self.advance();
            }
        }
    }

    fn on_deadline(&mut self) {
        let due = |at: Option<(Mono, Timer)>| at.is_some_and(|(at, _)| at <= self.now);
        let (cut, reply) = (due(self.cut_at()), due(self.sender.reply_at()));
        let (topic, answer) = (due(self.topic_at()), due(self.answer_at()));
        if cut && let Some(start) = self.splitter.cut() {
            self.note(notes::CUT.at(start));
        }
        if reply {
            self.on_reply_timeout();
        }
        if topic {
            self.note(notes::TOPIC_UNENDED);
            self.stage = Stage::Ready;
        }
        if answer {
            self.on_answer_timeout();
        }
        self.expire();
    }

    /// When a message under way is cut by silence.
    fn cut_at(&self) -> Option<(Mono, Timer)> {
        let at = self.last_byte.after(self.dialect.timers.inter_byte);
        let is_under_way = self.splitter.is_inside() && self.receiver.pending.is_none();
        is_under_way.then_some((at, Timer::InterByte))
    }

    /// When a topic has been silent for too long.
    fn topic_at(&self) -> Option<(Mono, Timer)> {
        let is_open = matches!(self.stage, Stage::Observations | Stage::Events);
        let is_ours = self.sender.is_free() && self.receiver.pending.is_none();
        let at = self.receiver.last_word.after(self.dialect.timers.topic);
        (is_open && is_ours).then_some((at, Timer::Receive))
    }

    fn answer_at(&self) -> Option<(Mono, Timer)> {
        let query = self.receiver.query.as_ref();
        query.map(|query| (query.until, Timer::Expiry))
    }

    fn transmit(&mut self, message: &[u8]) {
        let (before, after): (&[u8], &[u8]) = match self.dialect.wrap {
            Wrap::Plain => (b"", b""),
            Wrap::Line => (b"", b"\n"),
            Wrap::Mllp => (b"\x0B", b"\x1C\r"),
        };
        let bytes = [before, message, after].concat();
        self.outputs.push_back(Output::Transmit(bytes.into()));
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn commit(&mut self, bytes: Bytes) -> CommitId {
        self.commits = self.commits.saturating_add(1);
        let id = CommitId(self.commits);
        let message = Received {
            session: self.receiver.conversations,
            bytes,
            is_complete: true,
        };
        self.outputs
            .push_back(Output::Commit(id, Commit::Message(message)));
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
            Input::CommitFailed(id, reply) => self.on_commit_failed(id, reply),
            Input::Send(id, outgoing) => self.on_send(id, outgoing),
            Input::Withdraw(id) => self.on_withdraw(id),
            Input::Closed => self.on_closed(),
        }
        self.advance();
        self.read_inbox();
    }

    fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.read_inbox();
        }
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<(Mono, Timer)> {
        [
            self.cut_at(),
            self.topic_at(),
            self.answer_at(),
            self.sender.reply_at(),
            self.sender.expiry_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn accepts(&self) -> usize {
        if self.stage == Stage::Disconnected {
            return 0;
        }
        let limit = self.dialect.limits.inbox;
        limit.saturating_sub(self.inbox.bytes.len())
    }

    fn state(&self) -> &'static str {
        match self.stage {
            Stage::Disconnected => "Disconnected",
            _ if self.receiver.pending.is_some() => "WaitDisk",
            _ if self.splitter.is_inside() => "InMessage",
            _ if self.receiver.query.is_some() => "WaitAnswer",
            _ if !self.sender.is_free() => "WaitReply",
            Stage::WaitHello => "WaitHello",
            Stage::Introduced => "Introduced",
            Stage::Ready => "Ready",
            Stage::Observations => "Observations",
            Stage::Events => "Events",
            Stage::Continuous => "Continuous",
            Stage::Ended => "Ended",
        }
    }
}

/// A length as a note carries it.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
