//! The sender: what a host answers, what an instrument asks and reports, and whose word ends it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, NAK, Role},
        field::{FS, letter},
        message::{Message, read},
        notes,
        writer::NO_REQUEST,
    },
    Link, Phase,
    frame::{DEL, frame},
};
use crate::wire::{
    Mono, Note, OutId, Outgoing, OutgoingKind, Output, SendFailure, SendOutcome, Timer,
};

/// What waits to be sent, what is under way, and what waits for the peer's word.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Host: orders for the next polls. Instrument: everything.
    queue: VecDeque<Job>,
    /// Host: the answer to the query that is being stored.
    answer: Option<Job>,
    active: Option<Active>,
    awaited: Option<Awaited>,
    /// A message of ours went without a reply, or an order without its acceptance. Both may still
    /// come, and name nothing.
    is_in_doubt: bool,
    /// Instrument: until then it says nothing but whether it accepts the order that came.
    owes_word: Option<Mono>,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    message: Bytes,
    expires_at: Option<Mono>,
}

#[derive(Debug)]
struct Active {
    message: Bytes,
    /// `None`: it is our own, and nobody waits for its outcome.
    id: Option<OutId>,
    sends: u32,
}

/// What the peer is to say after it has acknowledged a message of ours.
#[derive(Debug)]
struct Awaited {
    what: Word,
    until: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// `M` for an order or a report.
    Acceptance(OutId),
    /// `N` or `D` for a poll or a query.
    Any,
}

/// Why a message is not taken.
type Refusal = (Note, SendFailure);

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        if let Err((note, why)) = self.check(&outgoing) {
            return self.fail(id, note, why);
        }
        let job = Job {
            id,
            message: outgoing.payload,
            expires_at: outgoing.expires_after.map(|after| self.now.after(after)),
        };
        match (self.dialect.role, outgoing.kind) {
            (Role::Host, OutgoingKind::Answer) => {
                self.sender.answer = Some(job);
                if self.phase == Phase::WaitAnswer {
                    self.send_answer();
                }
            }
            (Role::Instrument, OutgoingKind::Answer) => self.sender.queue.push_front(job),
            (_, OutgoingKind::Download) => self.sender.queue.push_back(job),
        }
        self.try_send();
    }

    fn check(&self, outgoing: &Outgoing) -> Result<(), Refusal> {
        if self.phase == Phase::Disconnected {
            return Err((notes::LINE_LOST.at(1), SendFailure::LineLost));
        }
        let message = self.sendable(&outgoing.payload).map_err(|at| {
            (
                notes::UNSENDABLE.at(super::count(at)),
                SendFailure::Unsendable,
            )
        })?;
        let waiting = self.sender.queue.len();
        let is_full = match (self.dialect.role, outgoing.kind) {
            (Role::Host, OutgoingKind::Answer) => {
                self.check_answer(&message)?;
                self.sender.answer.is_some()
            }
            _ => waiting >= self.dialect.limits.outgoing,
        };
        if is_full {
            return Err((
                notes::QUEUE_FULL.at(super::count(waiting)),
                SendFailure::Busy,
            ));
        }
        let is_allowed = match (self.dialect.role, outgoing.kind, &message) {
            (Role::Host, _, Message::Order(_))
            | (Role::Host, OutgoingKind::Answer, Message::NoRequest) => true,
            (Role::Instrument, _, message) => !matches!(
                message,
                Message::Order(_) | Message::NoRequest | Message::Other(_)
            ),
            (Role::Host, ..) => false,
        };
        if is_allowed {
            return Ok(());
        }
        Err((notes::UNSENDABLE, SendFailure::Unsendable))
    }

    /// The message as the peer would read it, or the offset where it is none.
    fn sendable<'m>(&self, payload: &'m [u8]) -> Result<Message<'m>, usize> {
        let is_odd = |byte: &u8| (*byte < b' ' && *byte != FS) || *byte == DEL;
        if let Some(at) = payload.iter().position(is_odd) {
            return Err(at);
        }
        if payload.len() > self.dialect.limits.message {
            return Err(self.dialect.limits.message);
        }
        let (message, _) = read(payload, &self.dialect.layout).map_err(|_| 0_usize)?;
        Ok(message)
    }

    /// Whether a reply that the owner gave is an acceptance.
    pub(super) fn is_acceptance(&self, reply: &Bytes) -> bool {
        matches!(self.sendable(reply), Ok(Message::Acceptance(_)))
    }

    /// An order for another sample than the one asked for would be measured on the wrong tube.
    fn check_answer(&self, message: &Message<'_>) -> Result<(), Refusal> {
        let Some(asked) = &self.receiver.query else {
            return Err((notes::NOT_ASKED, SendFailure::Expired));
        };
        if let Message::Order(order) = message
            && order.sample_id.raw() != asked.as_ref()
        {
            return Err((notes::OTHER_SAMPLE, SendFailure::Unsendable));
        }
        Ok(())
    }

    /// An instrument speaks when nothing is under way; a host never by itself.
    pub(super) fn may_send(&self) -> bool {
        let is_free = self.dialect.role == Role::Instrument
            && self.phase == Phase::Idle
            && self.inbox.len() == 0
            && self.sender.awaited.is_none();
        let next = self.sender.queue.front();
        let owes_word = self.sender.owes_word.is_some_and(|until| until > self.now);
        is_free && next.is_some_and(|job| !owes_word || letter(&job.message) == Some(b'M'))
    }

    pub(super) fn try_send(&mut self) {
        if self.may_send()
            && let Some(job) = self.sender.queue.pop_front()
        {
            self.sender.owes_word = None;
            self.begin(job.message, Some(job.id));
        }
    }

    /// The next order, or that there is none.
    pub(super) fn answer_poll(&mut self) {
        match self.sender.queue.pop_front() {
            Some(job) => self.begin(job.message, Some(job.id)),
            None => self.send_own(Bytes::from_static(NO_REQUEST)),
        }
    }

    /// Whether we are out of step, and nothing of ours has been acknowledged since.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.sender.is_in_doubt
    }

    /// Sends the answer that waits for its query to be acknowledged; false if there is none.
    pub(super) fn send_answer(&mut self) -> bool {
        let Some(job) = self.sender.answer.take() else {
            return false;
        };
        self.receiver.query = None;
        self.begin(job.message, Some(job.id));
        true
    }

    pub(super) fn send_own(&mut self, message: Bytes) {
        self.begin(message, None);
    }

    fn begin(&mut self, message: Bytes, id: Option<OutId>) {
        self.sender.active = Some(Active {
            message,
            id,
            sends: 0,
        });
        self.send_active();
    }

    fn send_active(&mut self) {
        let Some(active) = &mut self.sender.active else {
            return self.rest();
        };
        active.sends = active.sends.saturating_add(1);
        let framed = frame(&active.message);
        self.transmit(framed);
        self.enter(Phase::WaitReply, Timer::Reply, self.dialect.timers.reply);
    }

    pub(super) fn on_reply(&mut self, byte: u8) {
        match byte {
            ACK => self.on_acknowledged(),
            NAK => self.on_nak(),
            _ => self.ignore_byte(byte),
        }
    }

    fn on_acknowledged(&mut self) {
        self.rest();
        self.sender.is_in_doubt = false;
        let Some(Active { message, id, .. }) = self.sender.active.take() else {
            return;
        };
        let Some(id) = id else { return };
        match letter(&message) {
            Some(b'D' | b'R' | b'C') => self.await_acceptance(id),
            Some(b'P' | b'I') => {
                let until = self.now.after(self.dialect.timers.answer);
                let what = Word::Any;
                self.sender.awaited = Some(Awaited { what, until });
                self.finish(id, SendOutcome::Sent);
            }
            _ => self.finish(id, SendOutcome::Sent),
        }
    }

    fn await_acceptance(&mut self, id: OutId) {
        self.give_up_awaited();
        let what = Word::Acceptance(id);
        let until = self.now.after(self.dialect.timers.acceptance);
        self.sender.awaited = Some(Awaited { what, until });
    }

    fn sends(&self) -> u32 {
        self.sender.active.as_ref().map_or(0, |active| active.sends)
    }

    fn on_nak(&mut self) {
        let sends = self.sends();
        self.note(notes::MESSAGE_NAKED.at(sends.into()));
        if sends < self.dialect.sends_max {
            return self.send_active();
        }
        self.give_up(
            notes::SENDS_EXHAUSTED.at(sends.into()),
            SendFailure::Refused,
        );
    }

    /// An instrument sends again. A host does not: an order that was taken, and whose ACK was
    /// lost, would be there twice; its owner tries again at another poll.
    pub(super) fn on_reply_timeout(&mut self) {
        let sends = self.sends();
        let note = notes::REPLY_TIMEOUT.at(sends.into());
        if self.dialect.role == Role::Instrument && sends < self.dialect.sends_max {
            self.note(note);
            return self.send_active();
        }
        self.give_up(note, SendFailure::TimedOut);
    }

    fn give_up(&mut self, note: Note, why: SendFailure) {
        self.note(note);
        self.rest();
        self.sender.is_in_doubt |= why == SendFailure::TimedOut;
        if let Some(id) = self.sender.active.take().and_then(|active| active.id) {
            self.finish(id, SendOutcome::Failed(why));
        }
    }

    /// The peer began a message while ours was under way. Even an acceptance does not say that
    /// ours was taken: it names no order, and may be a late one of the order before.
    pub(super) fn break_off(&mut self) {
        let note = notes::INTERRUPTED.at(self.inbox.offset);
        self.give_up(note, SendFailure::TimedOut);
    }

    /// The peer's word about an order or a report.
    pub(super) fn on_acceptance(&mut self, start: u64, message: Bytes) {
        self.close_query();
        self.reply(&[ACK]);
        self.rest();
        match self.sender.awaited.take() {
            Some(Awaited {
                what: Word::Acceptance(id),
                ..
            }) => self.finish(id, SendOutcome::Answered(message)),
            awaited => {
                self.sender.awaited = awaited;
                self.note(notes::ACCEPTANCE_UNASKED.at(start));
            }
        }
    }

    /// `N` or `D` came.
    pub(super) fn on_word(&mut self, is_order: bool) {
        let until = self.now.after(self.dialect.timers.acceptance);
        self.sender.owes_word = is_order.then_some(until);
        self.sender
            .awaited
            .take_if(|awaited| awaited.what == Word::Any);
    }

    /// When a word of the peer is overdue.
    pub(super) fn acceptance_until(&self) -> Option<Mono> {
        self.sender.awaited.as_ref().map(|awaited| awaited.until)
    }

    pub(super) fn give_up_awaited(&mut self) {
        if let Some(awaited) = self.sender.awaited.take()
            && let Word::Acceptance(id) = awaited.what
        {
            self.sender.is_in_doubt = true;
            self.fail(id, notes::NOT_ACCEPTED, SendFailure::TimedOut);
        }
    }

    /// What has not begun to travel is forgotten; what is under way is finished.
    pub(super) fn on_withdraw(&mut self, id: OutId) {
        for job in self.take_where(|job| job.id == id) {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Withdrawn));
        }
    }

    fn take_where(&mut self, is_wanted: impl Fn(&Job) -> bool) -> Vec<Job> {
        let queue = std::mem::take(&mut self.sender.queue);
        let (taken, kept): (VecDeque<_>, _) = queue.into_iter().partition(&is_wanted);
        self.sender.queue = kept;
        let answer = self.sender.answer.take_if(|job| is_wanted(job));
        taken.into_iter().chain(answer).collect()
    }

    pub(super) fn next_expiry(&self) -> Option<Mono> {
        let jobs = self.sender.queue.iter().chain(&self.sender.answer);
        let owed = self.sender.owes_word.filter(|until| *until > self.now);
        jobs.filter_map(|job| job.expires_at).chain(owed).min()
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        if self.acceptance_until().is_some_and(|until| until <= now) {
            self.give_up_awaited();
        }
        let late = self.take_where(|job| job.expires_at.is_some_and(|at| at <= now));
        if !late.is_empty() {
            self.note(notes::EXPIRED.at(super::count(late.len())));
        }
        for job in late {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Expired));
        }
    }

    /// The instrument has gone on: its query wants no answer any more.
    pub(super) fn close_query(&mut self) {
        self.receiver.query = None;
        if let Some(job) = self.sender.answer.take() {
            self.fail(job.id, notes::ANSWER_OUTDATED, SendFailure::Expired);
        }
    }

    /// The line is gone: an answer belongs to the session that asked; a download is tried again
    /// by its owner.
    pub(super) fn close_sender(&mut self) {
        self.sender.owes_word = None;
        self.sender.is_in_doubt = false;
        let mut lost: Vec<OutId> = self.take_where(|_| true).iter().map(|job| job.id).collect();
        lost.extend(self.sender.active.take().and_then(|active| active.id));
        if let Some(Awaited {
            what: Word::Acceptance(id),
            ..
        }) = self.sender.awaited.take()
        {
            lost.push(id);
        }
        if !lost.is_empty() {
            self.note(notes::LINE_LOST.at(super::count(lost.len())));
        }
        for id in lost {
            self.finish(id, SendOutcome::Failed(SendFailure::LineLost));
        }
    }

    fn fail(&mut self, id: OutId, note: Note, why: SendFailure) {
        self.note(note);
        self.finish(id, SendOutcome::Failed(why));
    }

    fn finish(&mut self, id: OutId, outcome: SendOutcome) {
        self.outputs.push_back(Output::Finished(id, outcome));
    }
}
