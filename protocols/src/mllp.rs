//! The minimal lower layer protocol, release 1: HL7 messages in blocks, replies in blocks.
//!
//! [`Endpoint`] plays both roles on one connection. A block from the peer is either the reply to a
//! message of ours, recognised by MSA-2 alone (HL7 v2.5.1 2.9.2: MSA-2 names the message answered),
//! or a message, which is to be made durable before its reply is sent. Replies leave in the order
//! in which the messages came. Only a reply that names our control id finishes what we sent.
//!
//! What the machine does not know is whether the peer reads: written bytes are the driver's, which
//! cuts off a peer that does not read. Here only our own queue is bounded; while as many messages
//! as allowed wait for the store, no more bytes are taken from the port.
//!
//! There is no commit timer: a peer of MLLP waits for its reply and sends again when none comes, so
//! a slow store costs a late reply, and a store that is down answers by [`Input::CommitFailed`].

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use self::block::{Event, Limits, Place, Reader};
use crate::{
    hl7::header::{Peek, peek},
    wire::{
        CloseReason, Commit, CommitId, Input, Machine, Mono, Note, OutId, Outgoing, Output,
        Received, SendFailure, SendOutcome, Timer,
    },
};

mod block;
mod sender;

pub use self::{
    block::{
        FS, NOTE_CUT, NOTE_EMPTY, NOTE_FS_ALONE, NOTE_FS_INSIDE, NOTE_FS_LF, NOTE_NO_FS,
        NOTE_OUTSIDE, NOTE_RESTART, Tolerance, VT,
    },
    sender::Closes,
};
use self::{
    block::{frame, is_framable},
    sender::Sender,
};

/// Longest block: the longest message.
pub const BLOCK_BYTES_MAX: usize = crate::hl7::MESSAGE_BYTES_MAX;
/// Messages that may wait for the store at once. Roche x800 pipelines five; a store that groups
/// commits gains little from more than this on one line.
pub const PENDING_COMMITS_MAX: usize = 8;
/// Messages that may wait in our own queue for the peer's turn to answer.
pub const QUEUE_MAX: usize = 64;
/// Bytes wanted in one read.
pub const READ_BYTES: usize = 64 * 1024;
/// How long a reply may take: analyzers and hospital systems are set to 10 to 90 s.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A reply to nothing that we wait for: late, or a stranger's.
pub const NOTE_UNMATCHED: Note =
    Note::new("MLLP-0201", "reply names no message that waits for one");
/// A commit acknowledgement came, the application's is still due.
pub const NOTE_ACCEPTED: Note = Note::new(
    "MLLP-0202",
    "commit acknowledged; the application's reply is still due",
);
/// MLLP release 2 control block.
pub const NOTE_RELEASE_2: Note = Note::new("MLLP-0203", "release 2 commit block ignored");
/// A commit notice for nothing.
pub const NOTE_STRAY_COMMIT: Note =
    Note::new("MLLP-0204", "commit of a block of an earlier session");
/// A reply that cannot be framed.
pub const NOTE_BAD_REPLY: Note = Note::new("MLLP-0205", "reply holds VT or FS and was not sent");
/// A reply to a block that was cut is withheld.
pub const NOTE_WITHHELD: Note = Note::new("MLLP-0206", "reply to a cut block withheld");
/// The own queue is full.
pub const NOTE_QUEUE_FULL: Note = Note::new("MLLP-0207", "own queue is full");
/// A block longer than the limit.
pub const NOTE_TOO_LONG: Note = Note::new("MLLP-0208", "block is longer than the limit");

/// What people should see: replies not sent, limits passed.
pub(crate) const ALARMS: &[Note] = &[NOTE_BAD_REPLY, NOTE_QUEUE_FULL, NOTE_TOO_LONG];

/// Between the replies of one commit: what would stand between two blocks.
const BETWEEN: [u8; 3] = [0x1C, 0x0D, 0x0B];

/// Several replies to one message (enhanced mode wants CA and then AA) as one reply for
/// [`Input::Committed`]; each is sent as a block of its own, in this order.
pub fn join_replies(replies: &[Vec<u8>]) -> Bytes {
    replies.join(&BETWEEN[..]).into()
}

fn split_replies(replies: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = replies;
    while let Some(at) = rest
        .windows(BETWEEN.len())
        .position(|window| window == BETWEEN)
    {
        let (part, tail) = rest.split_at(at);
        parts.push(part);
        rest = tail.get(BETWEEN.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// What a site may set for one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest block taken from the peer or given by the owner.
    pub block_bytes_max: usize,
    /// Messages waiting for the store before the port is no longer read; at least 1.
    pub pending_commits_max: usize,
    /// Messages sent and not yet answered; at least 1. LAW in parallel mode allows 5.
    pub in_flight_max: usize,
    /// Messages waiting to be sent.
    pub queue_max: usize,
    /// How long a reply may take.
    pub reply_timeout: Duration,
    /// Which reply is the last word.
    pub closes: Closes,
    /// Deviations from the frame that this peer is allowed.
    pub tolerance: Tolerance,
    /// Whether a block cut by VT or the end of the connection is made durable, marked incomplete
    /// and never answered (the peer will send it again). Without, it is only noted.
    pub keeps_cut_blocks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block_bytes_max: BLOCK_BYTES_MAX,
            pending_commits_max: PENDING_COMMITS_MAX,
            in_flight_max: 1,
            queue_max: QUEUE_MAX,
            reply_timeout: REPLY_TIMEOUT,
            closes: Closes::AsAsked,
            tolerance: Tolerance::default(),
            keeps_cut_blocks: true,
        }
    }
}

/// One end of one MLLP connection.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    line: Line,
    reader: Reader,
    /// Bytes read but not yet looked at, because the store is behind.
    unread: BytesMut,
    pending: VecDeque<Pending>,
    next_commit: u64,
    blocks: u64,
    sender: Sender,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Closed,
    Open,
    /// We asked for the end; nothing more is read or written.
    Closing,
}

/// A message that waits for the store, or for the replies before its own.
#[derive(Debug)]
struct Pending {
    id: CommitId,
    is_answered: bool,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Waiting,
    Reply(Option<Bytes>),
    Fail(Option<Bytes>),
}

/// Messages that bring something of their own even where they carry an MSA segment (D.2: DSR may):
/// as an answer to nothing of ours they are messages, not late replies.
const INITIATING: [&[u8]; 13] = [
    b"ORU", b"OUL", b"OML", b"ORM", b"ADT", b"DSR", b"QRY", b"QBP", b"SSU", b"EAC", b"EAN", b"INU",
    b"ESU",
];

impl Endpoint {
    /// A machine in its initial state: closed.
    pub fn new(config: Config) -> Self {
        let sender = Sender::new(&config);
        Self {
            config,
            line: Line::Closed,
            reader: Reader::new(),
            unread: BytesMut::new(),
            pending: VecDeque::new(),
            next_commit: 0,
            blocks: 0,
            sender,
            out: VecDeque::new(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            tolerance: self.config.tolerance,
            block_bytes_max: self.config.block_bytes_max,
        }
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= self.config.pending_commits_max.max(1)
    }

    fn note(&mut self, note: Note) {
        self.out.push_back(Output::Note(note));
    }

    fn close(&mut self, reason: CloseReason) {
        self.line = Line::Closing;
        self.unread = BytesMut::new();
        self.out.push_back(Output::Close(reason));
    }

    fn on_opened(&mut self) {
        if self.line != Line::Closed {
            self.on_closed();
        }
        self.line = Line::Open;
    }

    fn on_closed(&mut self) {
        if self.line == Line::Open {
            // What was read is looked at although the store is behind: it will never be read again.
            self.read_all(Mono::default());
        }
        if self.line == Line::Open {
            let mut events = Vec::new();
            self.reader.on_closed(&self.limits(), &mut events);
            self.on_events(events, false);
        }
        self.line = Line::Closed;
        self.reader = Reader::new();
        self.unread = BytesMut::new();
        self.pending.clear();
        self.sender.on_line_lost(&mut self.out);
    }

    fn on_bytes(&mut self, now: Mono, bytes: &[u8]) {
        if self.line != Line::Open {
            return;
        }
        if self.unread.is_empty() {
            let taken = self.read(now, bytes);
            let rest = bytes.get(taken..).unwrap_or_default();
            if self.line == Line::Open {
                self.unread.extend_from_slice(rest);
            }
        } else {
            self.unread.extend_from_slice(bytes);
        }
        // A driver gives what was wanted; one that gives more is bounded by this.
        if self.unread.len() > READ_BYTES.saturating_add(self.config.block_bytes_max) {
            self.close(CloseReason::ReceiveOverflow);
        }
    }

    /// Looks at `bytes` until the store is behind; says how many were used up.
    fn read(&mut self, now: Mono, bytes: &[u8]) -> usize {
        let mut taken = 0_usize;
        while self.line == Line::Open && !self.is_full() {
            let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let mut events = Vec::new();
            let used = self.reader.take(now, rest, &self.limits(), &mut events);
            taken = taken.saturating_add(used);
            self.on_events(events, true);
        }
        taken
    }

    /// Goes on with what was left when the store was behind.
    fn read_unread(&mut self, now: Mono) {
        if self.unread.is_empty() || self.is_full() {
            return;
        }
        let unread = std::mem::take(&mut self.unread);
        let taken = self.read(now, &unread);
        if self.line == Line::Open {
            self.unread = BytesMut::from(unread.get(taken..).unwrap_or_default());
        }
    }

    fn read_all(&mut self, now: Mono) {
        let unread = std::mem::take(&mut self.unread);
        let mut rest: &[u8] = &unread;
        while !rest.is_empty() && self.line == Line::Open {
            let mut events = Vec::new();
            let used = self.reader.take(now, rest, &self.limits(), &mut events);
            rest = rest.get(used..).unwrap_or_default();
            self.on_events(events, false);
        }
    }

    fn on_events(&mut self, events: Vec<Event>, may_answer: bool) {
        for event in events {
            match event {
                Event::Note(note) => self.note(note),
                Event::Block {
                    content,
                    is_complete,
                } => {
                    self.on_block(content, is_complete, may_answer);
                }
                Event::TooLong => {
                    let at = u64::try_from(self.config.block_bytes_max).unwrap_or(u64::MAX);
                    self.note(NOTE_TOO_LONG.at(at));
                    self.close(CloseReason::ReceiveOverflow);
                }
            }
        }
    }

    fn on_block(&mut self, content: Bytes, is_complete: bool, may_answer: bool) {
        if !is_complete && !self.config.keeps_cut_blocks {
            return;
        }
        if matches!(content.as_ref(), [ACK] | [NAK]) {
            return self.note(NOTE_RELEASE_2);
        }
        self.blocks = self.blocks.saturating_add(1);
        if self.is_reply(&content, is_complete) {
            return;
        }
        self.next_commit = self.next_commit.saturating_add(1);
        let id = CommitId(self.next_commit);
        let is_answered = is_complete && may_answer;
        self.pending.push_back(Pending {
            id,
            is_answered,
            verdict: Verdict::Waiting,
        });
        let received = Received {
            session: self.blocks,
            bytes: content,
            is_complete,
        };
        self.out
            .push_back(Output::Commit(id, Commit::Message(received)));
    }

    /// Whether the block was a reply; if it was, it has been dealt with. A cut one finishes nothing.
    fn is_reply(&mut self, content: &Bytes, is_complete: bool) -> bool {
        let Some(peeked) = peek(content) else {
            return false;
        };
        let Some((code, control_id)) = peeked.msa else {
            return false;
        };
        if is_complete
            && self
                .sender
                .on_reply(code, control_id, content, &mut self.out)
        {
            return true;
        }
        let is_message = INITIATING.contains(&peeked.message_type);
        if !is_message {
            self.note(NOTE_UNMATCHED);
        }
        !is_message
    }

    fn on_verdict(&mut self, id: CommitId, verdict: Verdict) {
        let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) else {
            return self.note(NOTE_STRAY_COMMIT);
        };
        pending.verdict = verdict;
        while self.line == Line::Open {
            match self.pending.front() {
                Some(Pending {
                    verdict: Verdict::Reply(_) | Verdict::Fail(_),
                    ..
                }) => {}
                _ => break,
            }
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            self.answer(pending);
        }
    }

    fn answer(&mut self, pending: Pending) {
        match pending.verdict {
            // The peer never ended it and will send it again; any reply would be read as one to that.
            Verdict::Reply(Some(_)) | Verdict::Fail(_) if !pending.is_answered => {
                self.note(NOTE_WITHHELD);
            }
            Verdict::Reply(Some(reply)) | Verdict::Fail(Some(reply)) => self.transmit(&reply),
            Verdict::Fail(None) => self.close(CloseReason::NotDurable),
            Verdict::Reply(None) | Verdict::Waiting => {}
        }
    }

    fn transmit(&mut self, replies: &[u8]) {
        for reply in split_replies(replies) {
            if is_framable(reply) {
                self.out.push_back(Output::Transmit(frame(reply)));
            } else {
                self.note(NOTE_BAD_REPLY);
            }
        }
    }

    fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        if self.line == Line::Open {
            self.sender.on_send(id, outgoing, &mut self.out);
        } else {
            let outcome = SendOutcome::Failed(SendFailure::LineLost);
            self.out.push_back(Output::Finished(id, outcome));
        }
    }

    /// When silence of the peer will end a block. While the store is behind, silence is ours.
    fn silence(&self) -> Option<Mono> {
        let is_reading = self.unread.is_empty() && !self.is_full();
        self.reader
            .deadline(self.config.tolerance)
            .filter(|_| is_reading)
    }

    fn on_deadline(&mut self, now: Mono) {
        if self.line != Line::Open {
            return;
        }
        if self.silence().is_some_and(|at| at <= now) {
            let mut events = Vec::new();
            self.reader.on_silence(&mut events);
            self.on_events(events, true);
        }
        self.sender.on_deadline(&mut self.out);
    }
}

const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

impl Machine for Endpoint {
    fn handle(&mut self, now: Mono, input: Input<'_>) {
        let was_full = self.is_full();
        self.sender.set_time(now);
        match input {
            Input::Opened => self.on_opened(),
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::Deadline => self.on_deadline(now),
            Input::Committed(id, reply) => self.on_verdict(id, Verdict::Reply(reply)),
            Input::CommitFailed(id, reply) => self.on_verdict(id, Verdict::Fail(reply)),
            Input::Send(id, outgoing) => self.on_send(id, outgoing),
            Input::Withdraw(id) => self.sender.on_withdraw(id, &mut self.out),
            Input::Closed => self.on_closed(),
        }
        if self.line != Line::Open {
            return;
        }
        if was_full && !self.is_full() {
            // The port was not read meanwhile, so the silence was ours.
            self.reader.touch(now);
        }
        self.read_unread(now);
        if self.line == Line::Open {
            self.sender.advance(&mut self.out);
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<(Mono, Timer)> {
        if self.line != Line::Open {
            return None;
        }
        let silence = self.silence().map(|at| (at, Timer::InterByte));
        silence.into_iter().chain(self.sender.deadline()).min()
    }

    fn accepts(&self) -> usize {
        if self.line != Line::Open || self.is_full() || !self.unread.is_empty() {
            return 0;
        }
        READ_BYTES
    }

    fn state(&self) -> &'static str {
        match (self.line, self.reader.place()) {
            (Line::Closed, _) => "Closed",
            (Line::Closing, _) => "Closing",
            (Line::Open, _) if self.is_full() => "Waiting for the store",
            (Line::Open, Place::Inside) => "In block",
            (Line::Open, Place::AfterFs) => "After FS",
            (Line::Open, Place::Outside) if self.sender.is_waiting() => "Waiting for reply",
            (Line::Open, Place::Outside) => "Between blocks",
        }
    }
}

/// Whether a message of ours waits for a reply at all (HL7 v2.5.1 2.9.2, 2.9.3).
fn asks_for_reply(peeked: &Peek<'_>) -> bool {
    let never = |condition: &[u8]| condition.is_empty() || condition == b"NE";
    let is_original = peeked.accept_ack.is_empty() && peeked.application_ack.is_empty();
    let is_asked = !never(peeked.accept_ack) || !never(peeked.application_ack);
    let is_answer = peeked.msa.is_some() && !INITIATING.contains(&peeked.message_type);
    is_asked || (is_original && !is_answer)
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
