//! The sender: one text after another, when nothing else is under way.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, Class, NAK, Role, is_control},
        notes,
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
    /// A reply to a text that was given up may still come, and names nothing: before then nothing is
    /// sent that it could be taken for.
    quiet_until: Mono,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    text: Bytes,
    expires_at: Option<Mono>,
    sends: u32,
}

/// Why a text is not taken.
type Refusal = (Note, SendFailure);

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        if let Err((note, why)) = self.check(&outgoing) {
            return self.fail(id, note, why);
        }
        let job = Job {
            id,
            text: outgoing.payload,
            expires_at: outgoing.expires_after.map(|after| self.now.after(after)),
            sends: 0,
        };
        match outgoing.kind {
            OutgoingKind::Answer => self.sender.queue.push_front(job),
            OutgoingKind::Download => self.sender.queue.push_back(job),
        }
        self.try_send();
    }

    fn check(&self, outgoing: &Outgoing) -> Result<(), Refusal> {
        if self.phase == Phase::Disconnected {
            return Err((notes::LINE_LOST.at(1), SendFailure::LineLost));
        }
        let waiting = self.sender.queue.len();
        if waiting >= self.dialect.limits.outgoing {
            let note = notes::QUEUE_FULL.at(super::count(waiting));
            return Err((note, SendFailure::Busy));
        }
        let text = &outgoing.payload;
        let odd = text.iter().position(|byte| is_control(*byte));
        let is_long = text.len() > self.dialect.limits.text;
        if odd.is_some() || is_long || text.is_empty() {
            let note = notes::UNSENDABLE.at(super::count(odd.unwrap_or(0)));
            return Err((note, SendFailure::Unsendable));
        }
        Ok(())
    }

    /// When the next text may be sent; `None` if there is none, or the line is not free.
    pub(super) fn send_at(&self) -> Option<Mono> {
        let is_free = self.phase == Phase::Idle && self.inbox.len() == 0;
        let is_waiting = is_free && !self.sender.queue.is_empty();
        is_waiting.then(|| self.sender.quiet_until.max(self.now))
    }

    pub(super) fn try_send(&mut self) {
        while self.send_at().is_some_and(|at| at <= self.now)
            && let Some(job) = self.sender.queue.pop_front()
        {
            self.sender.active = Some(job);
            self.send_active();
        }
    }

    fn send_active(&mut self) {
        let Some(job) = &mut self.sender.active else {
            return self.rest();
        };
        job.sends = job.sends.saturating_add(1);
        let (id, framed) = (job.id, frame(&job.text));
        self.transmit(framed);
        match self.dialect.class {
            Class::A => {
                self.sender.active = None;
                self.rest();
                self.finish(id, SendOutcome::Sent);
            }
            Class::B => self.enter(Phase::WaitReply, Timer::Reply, self.dialect.timers.reply),
        }
    }

    pub(super) fn on_reply(&mut self, byte: u8) {
        match byte {
            ACK => self.end_text(None),
            NAK => self.on_nak(),
            _ => self.ignore_byte(byte),
        }
    }

    fn sends(&self) -> u32 {
        self.sender.active.as_ref().map_or(0, |job| job.sends)
    }

    fn on_nak(&mut self) {
        let sends = self.sends();
        self.note(notes::TEXT_NAKED.at(sends.into()));
        if sends < self.dialect.sends_max {
            return self.send_active();
        }
        let note = notes::SENDS_EXHAUSTED.at(sends.into());
        self.end_text(Some((note, SendFailure::Refused)));
    }

    /// An instrument sends again. A host does not: an order that was taken, and whose ACK was lost,
    /// would be there twice.
    pub(super) fn on_reply_timeout(&mut self) {
        let sends = self.sends();
        let note = notes::REPLY_TIMEOUT.at(sends.into());
        if self.dialect.role == Role::Instrument && sends < self.dialect.sends_max {
            self.note(note);
            return self.send_active();
        }
        self.end_text(Some((note, SendFailure::TimedOut)));
    }

    /// The peer began a text while ours waited for its reply.
    pub(super) fn break_off(&mut self) {
        let note = notes::INTERRUPTED.at(self.inbox.offset);
        self.end_text(Some((note, SendFailure::TimedOut)));
    }

    fn end_text(&mut self, failure: Option<Refusal>) {
        self.rest();
        let Some(job) = self.sender.active.take() else {
            return;
        };
        match failure {
            None => self.finish(job.id, SendOutcome::Sent),
            Some((note, why)) => {
                if why == SendFailure::TimedOut {
                    self.sender.quiet_until = self.now.after(self.dialect.timers.reply);
                }
                self.fail(job.id, note, why);
            }
        }
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
        self.sender.quiet_until = Mono::default();
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
