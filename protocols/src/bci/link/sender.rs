//! The sender: asks for the line, sends one message, gives the line back.

use std::{collections::VecDeque, ops::Range, time::Duration};

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, ENQ, EOT, NAK, is_cut},
        field::END,
        message::read,
        notes,
        writer::DEL,
    },
    Link, Phase,
    frame::frame,
};
use crate::wire::{
    Mono, Note, OutId, Outgoing, OutgoingKind, Output, SendFailure, SendOutcome, Timer,
};

/// What waits to be sent, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Sender {
    queue: VecDeque<Job>,
    active: Option<Job>,
    /// Nothing is asked for before then.
    hold_until: Mono,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    /// What is not acknowledged yet: an order has a message for each test.
    messages: VecDeque<Bytes>,
    expires_at: Option<Mono>,
    /// How often ENQ was refused or not answered.
    asks: u32,
    /// How often the message was sent in this session.
    sends: u32,
}

/// Why a message is not taken.
type Refusal = (Note, SendFailure);

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        let messages = match self.check(&outgoing) {
            Err((note, why)) => return self.fail(id, note, why),
            Ok(messages) => messages,
        };
        let job = Job {
            id,
            messages,
            expires_at: outgoing.expires_after.map(|after| self.now.after(after)),
            asks: 0,
            sends: 0,
        };
        match outgoing.kind {
            OutgoingKind::Answer => self.sender.queue.push_front(job),
            OutgoingKind::Download => self.sender.queue.push_back(job),
        }
        self.try_send();
    }

    fn check(&self, outgoing: &Outgoing) -> Result<VecDeque<Bytes>, Refusal> {
        if self.phase == Phase::Disconnected {
            return Err((notes::LINE_LOST.at(1), SendFailure::LineLost));
        }
        let waiting = self.sender.queue.len();
        if waiting >= self.dialect.limits.outgoing {
            let note = notes::QUEUE_FULL.at(super::count(waiting));
            return Err((note, SendFailure::Busy));
        }
        self.sendable(&outgoing.payload).map_err(|at| {
            let note = notes::UNSENDABLE.at(super::count(at));
            (note, SendFailure::Unsendable)
        })
    }

    /// The messages of a payload, or the offset where it is none.
    fn sendable(&self, payload: &Bytes) -> Result<VecDeque<Bytes>, usize> {
        let is_odd = |byte: &u8| (*byte < b' ' && !is_cut(*byte)) || *byte == DEL;
        if let Some(at) = payload.iter().position(is_odd) {
            return Err(at);
        }
        let mut messages = VecDeque::new();
        for range in ranges(payload) {
            let (start, message) = (range.start, payload.slice(range));
            if message.len() > self.dialect.limits.message {
                return Err(start.saturating_add(self.dialect.limits.message));
            }
            if messages.len() >= self.dialect.limits.outgoing {
                return Err(start);
            }
            read(&message).map_err(|_| start)?;
            messages.push_back(message);
        }
        Ok(messages)
    }

    /// When the line may be asked for; `None` if there is nothing to ask for, or it is not free.
    pub(super) fn ask_at(&self) -> Option<Mono> {
        let is_free = self.phase == Phase::Idle && self.inbox.len() == 0;
        let is_waiting = is_free && !self.sender.queue.is_empty();
        is_waiting.then(|| self.sender.hold_until.max(self.now))
    }

    pub(super) fn try_send(&mut self) {
        if self.ask_at().is_some_and(|at| at <= self.now)
            && let Some(job) = self.sender.queue.pop_front()
        {
            self.sender.active = Some(job);
            self.reply(&[ENQ]);
            let after = self.dialect.timers.establishment;
            self.enter(Phase::Asking, Timer::Establishment, after);
        }
    }

    pub(super) fn on_reply_to_enq(&mut self, byte: u8) {
        match byte {
            ACK => {
                let after = self.dialect.timers.turnaround;
                self.enter(Phase::Granted, Timer::LinkHold, after);
                if after.is_zero() {
                    self.on_turn();
                }
            }
            NAK | EOT => self.ask_later(notes::ENQ_REFUSED),
            ENQ => self.on_enq(),
            _ => self.ignore_byte(byte),
        }
    }

    /// A second ACK of our ENQ would be read as one of our message.
    pub(super) fn on_byte_before_message(&mut self, byte: u8) {
        match byte {
            EOT => self.ask_later(notes::ENQ_REFUSED),
            _ => self.on_other_byte(byte),
        }
    }

    pub(super) fn on_turn(&mut self) {
        if self.phase == Phase::Granted {
            self.send_active();
        }
    }

    pub(super) fn on_enq_timeout(&mut self) {
        self.ask_later(notes::ENQ_TIMEOUT);
    }

    /// The peer has no session for us now.
    fn ask_later(&mut self, note: Note) {
        let Some(mut job) = self.sender.active.take() else {
            return self.rest();
        };
        job.asks = job.asks.saturating_add(1);
        self.note(note.at(job.asks.into()));
        self.rest();
        if note == notes::ENQ_TIMEOUT {
            // A peer that answers late must not wait for our message.
            self.reply(&[EOT]);
        }
        self.hold(self.dialect.timers.busy);
        if job.asks < self.dialect.sends_max {
            return self.sender.queue.push_front(job);
        }
        let note = notes::SENDS_EXHAUSTED.at(job.asks.into());
        self.fail(job.id, note, SendFailure::Busy);
    }

    fn hold(&mut self, after: Duration) {
        self.sender.hold_until = self.now.after(after);
    }

    /// Both asked for the line, or the peer took it. The message keeps its place.
    pub(super) fn give_way(&mut self) {
        self.note(notes::CONTENTION.at(self.inbox.offset));
        if let Some(job) = self.sender.active.take() {
            self.sender.queue.push_front(job);
        }
        self.hold(self.dialect.timers.contention);
    }

    fn send_active(&mut self) {
        let Some(job) = &mut self.sender.active else {
            return self.rest();
        };
        job.sends = job.sends.saturating_add(1);
        let message = job.messages.front().cloned().unwrap_or_default();
        let framed = frame(&message, self.dialect.sums_line_ends);
        self.transmit(framed);
        self.enter(Phase::WaitReply, Timer::Reply, self.dialect.timers.reply);
    }

    pub(super) fn on_reply(&mut self, byte: u8) {
        match byte {
            ACK => self.end_session(None),
            NAK => self.on_nak(),
            ENQ => self.on_enq(),
            EOT => {
                self.break_off();
                self.rest();
            }
            _ => self.ignore_byte(byte),
        }
    }

    fn sends(&self) -> u32 {
        self.sender.active.as_ref().map_or(0, |job| job.sends)
    }

    fn on_nak(&mut self) {
        let sends = self.sends();
        self.note(notes::MESSAGE_NAKED.at(sends.into()));
        if sends < self.dialect.sends_max {
            return self.send_active();
        }
        let note = notes::SENDS_EXHAUSTED.at(sends.into());
        self.end_session(Some((note, SendFailure::Refused)));
    }

    /// It may have been taken: its owner decides whether it is sent again.
    pub(super) fn on_reply_timeout(&mut self) {
        let note = notes::REPLY_TIMEOUT.at(self.sends().into());
        self.end_session(Some((note, SendFailure::TimedOut)));
    }

    fn end_session(&mut self, failure: Option<Refusal>) {
        self.reply(&[EOT]);
        self.rest();
        self.hold(self.dialect.timers.pause);
        let Some(mut job) = self.sender.active.take() else {
            return;
        };
        if let Some((note, why)) = failure {
            return self.fail(job.id, note, why);
        }
        job.messages.pop_front();
        if job.messages.is_empty() {
            return self.finish(job.id, SendOutcome::Sent);
        }
        // Each message has a session of its own, and the peer a chance to speak between them.
        (job.asks, job.sends) = (0, 0);
        self.sender.queue.push_front(job);
    }

    /// The peer spoke while our message waited for its reply.
    pub(super) fn break_off(&mut self) {
        let note = notes::INTERRUPTED.at(self.inbox.offset);
        if let Some(job) = self.sender.active.take() {
            self.fail(job.id, note, SendFailure::TimedOut);
        }
        self.hold(self.dialect.timers.pause);
    }

    /// What has not begun to travel is forgotten; what is under way is finished.
    pub(super) fn on_withdraw(&mut self, id: OutId) {
        for job in self.take_where(|job| job.id == id) {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Withdrawn));
        }
    }

    fn take_where(&mut self, is_wanted: impl Fn(&Job) -> bool) -> VecDeque<Job> {
        let queue = std::mem::take(&mut self.sender.queue);
        let (taken, kept): (VecDeque<_>, _) = queue.into_iter().partition(&is_wanted);
        self.sender.queue = kept;
        taken
    }

    pub(super) fn next_expiry(&self) -> Option<Mono> {
        let jobs = self.sender.queue.iter();
        jobs.filter_map(|job| job.expires_at).min()
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        let late = self.take_where(|job| job.expires_at.is_some_and(|at| at <= now));
        if !late.is_empty() {
            self.note(notes::EXPIRED.at(super::count(late.len())));
        }
        for job in late {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Expired));
        }
    }

    pub(super) fn close_sender(&mut self) {
        let mut lost = self.take_where(|_| true);
        lost.extend(self.sender.active.take());
        self.sender.hold_until = Mono::default();
        if !lost.is_empty() {
            self.note(notes::LINE_LOST.at(super::count(lost.len())));
        }
        for job in lost {
            self.finish(job.id, SendOutcome::Failed(SendFailure::LineLost));
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

/// Where the messages of a payload lie: each begins with its kind, `mt`. What stands before the first is
/// a part of it, and makes it none.
fn ranges(payload: &[u8]) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0_usize;
    for field in payload.split_inclusive(|byte| *byte == END) {
        let mut code = field.iter().filter(|byte| !is_cut(**byte)).take(2);
        if at > 0 && code.by_ref().eq(b"mt") {
            starts.push(at);
        }
        at = at.saturating_add(field.len());
    }
    let ends = starts.iter().skip(1).copied().chain([payload.len()]);
    let ranges = starts.iter().copied().zip(ends);
    ranges.map(|(start, end)| start..end).collect()
}
