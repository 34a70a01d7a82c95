//! The sender of LIS01-A2 6.2 and 6.3: bids for the line, cuts frames, repeats, gives way.

use std::{collections::VecDeque, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Dialect, Link, Phase, Role, count,
    frame::{ACK, CR, ENQ, EOT, LF, NAK, frame, is_restricted},
    notes,
    receiver::begins_message,
};
use crate::wire::{
    Mono, Note, OutId, Outgoing, OutgoingKind, Output, SendFailure, SendOutcome, Timer,
};

/// What waits to be sent, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Answers to queries go before downloads: the instrument waits for them.
    answers: VecDeque<Job>,
    downloads: VecDeque<Job>,
    active: Option<Active>,
    bytes: usize,
    held_until: Mono,
    bid_at: Mono,
    /// Bids in a row that led to nothing.
    bids_failed: u32,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    payload: Bytes,
    kind: OutgoingKind,
    expires_at: Option<Mono>,
    interrupts: u32,
}

#[derive(Debug)]
struct Active {
    job: Job,
    /// Bytes of the payload acknowledged.
    acknowledged: usize,
    /// Text bytes of the frame under way.
    text: usize,
    number: u8,
    frame: Bytes,
    sends: u32,
    sent_at: Mono,
    is_withdrawn: bool,
    /// Something stale came since the frame was sent.
    has_stale: bool,
}

impl Sender {
    pub(super) fn hold_until(&mut self, at: Mono) {
        self.held_until = at;
    }

    pub(super) fn held_until(&self) -> Mono {
        self.held_until
    }

    /// The peer took the line: it is alive, and its EOT ends every hold.
    pub(super) fn on_peer_session(&mut self, now: Mono) {
        self.held_until = now;
        self.bids_failed = 0;
    }

    pub(super) fn next_expiry(&self) -> Option<Mono> {
        self.waiting().filter_map(|job| job.expires_at).min()
    }

    fn waiting(&self) -> impl Iterator<Item = &Job> {
        self.answers.iter().chain(&self.downloads)
    }

    fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.downloads.is_empty()
    }

    fn len(&self) -> usize {
        self.answers.len().saturating_add(self.downloads.len())
    }

    fn push(&mut self, job: Job) {
        self.bytes = self.bytes.saturating_add(job.payload.len());
        self.queue(job.kind).push_back(job);
    }

    fn push_again(&mut self, job: Job) {
        self.bytes = self.bytes.saturating_add(job.payload.len());
        self.queue(job.kind).push_front(job);
    }

    fn queue(&mut self, kind: OutgoingKind) -> &mut VecDeque<Job> {
        match kind {
            OutgoingKind::Answer => &mut self.answers,
            OutgoingKind::Download => &mut self.downloads,
        }
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self
            .answers
            .pop_front()
            .or_else(|| self.downloads.pop_front())?;
        self.bytes = self.bytes.saturating_sub(job.payload.len());
        Some(job)
    }

    /// Takes out what `is_wanted` picks, in order.
    fn take_where(&mut self, is_wanted: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut taken = Vec::new();
        for queue in [&mut self.answers, &mut self.downloads] {
            let (out, kept): (VecDeque<_>, VecDeque<_>) = queue.drain(..).partition(&is_wanted);
            *queue = kept;
            taken.extend(out);
        }
        let bytes: usize = taken.iter().map(|job| job.payload.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }
}

impl Active {
    fn new(job: Job) -> Self {
        Self {
            job,
            acknowledged: 0,
            text: 0,
            number: 0,
            frame: Bytes::new(),
            sends: 0,
            sent_at: Mono::default(),
            is_withdrawn: false,
            has_stale: false,
        }
    }

    /// Cuts the next frame (LIS01-A2 6.3.1); false when nothing is left.
    fn cut(&mut self, dialect: &Dialect) -> bool {
        let rest = self.job.payload.slice(self.acknowledged..);
        if rest.is_empty() {
            return false;
        }
        let record = rest
            .iter()
            .position(|byte| *byte == CR)
            .map_or(rest.len(), |at| at + 1);
        let end = if dialect.one_record_per_frame {
            record
        } else {
            rest.len()
        };
        self.text = end.min(dialect.sent_text_max());
        self.number = (self.number + 1) % 8;
        self.sends = 0;
        let text = rest.get(..self.text).unwrap_or_default();
        self.frame = frame(self.number, text, self.text == end);
        true
    }

    fn on_acknowledged(&mut self) {
        self.acknowledged = self.acknowledged.saturating_add(self.text);
    }

    fn is_finished(&self) -> bool {
        self.acknowledged >= self.job.payload.len()
    }
}

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        if self.phase == Phase::Disconnected {
            return self.fail(id, notes::LINE_LOST.at(1), SendFailure::LineLost);
        }
        let payload = match sendable(&outgoing.payload, self.dialect.limits.message) {
            Ok(payload) => payload,
            Err(note) => return self.fail(id, note, SendFailure::Unsendable),
        };
        let limits = &self.dialect.limits;
        let bytes = self.sender.bytes.saturating_add(payload.len());
        if self.sender.len() >= limits.outgoing || bytes > limits.outgoing_bytes {
            let note = notes::QUEUE_FULL.at(count(self.sender.len()));
            return self.fail(id, note, SendFailure::Busy);
        }
        let expires_at = outgoing.expires_after.map(|after| self.now.after(after));
        self.sender.push(Job {
            id,
            payload,
            kind: outgoing.kind,
            expires_at,
            interrupts: 0,
        });
        self.try_bid();
    }

    /// What has not begun to travel is forgotten. What is under way is finished, and its outcome
    /// told; only if it would have to begin again is it given up.
    pub(super) fn on_withdraw(&mut self, id: OutId) {
        for job in self.sender.take_where(|job| job.id == id) {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Withdrawn));
        }
        if let Some(active) = &mut self.sender.active {
            active.is_withdrawn |= active.job.id == id;
        }
        self.give_line_back();
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        if self.sender.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        let expired = self
            .sender
            .take_where(|job| job.expires_at.is_some_and(|at| at <= now));
        self.note(notes::EXPIRED.at(count(expired.len())));
        for job in expired {
            self.finish(job.id, SendOutcome::Failed(SendFailure::Expired));
        }
        self.give_line_back();
    }

    /// A bid whose reason is gone ends as one that was not answered.
    fn give_line_back(&mut self) {
        if self.phase == Phase::LineBid && self.sender.is_idle() {
            self.release(self.dialect.timers.after_timeout);
        }
    }

    pub(super) fn may_bid(&self) -> bool {
        self.phase == Phase::Neutral && self.inbox.len() == 0 && !self.sender.is_idle()
    }

    /// LIS01-A2 6.2.
    pub(super) fn try_bid(&mut self) {
        if self.may_bid() && self.sender.held_until <= self.now {
            self.transmit(&[ENQ]);
            self.enter(
                Phase::LineBid,
                Timer::Establishment,
                self.dialect.timers.establishment,
            );
        }
    }

    /// LIS01-A2 6.2: what is neither ACK, NAK nor ENQ is ignored.
    pub(super) fn on_bid_answer(&mut self, byte: u8) {
        let is_stale = self.now.since(self.sender.bid_at) < self.dialect.stale_reply;
        match byte {
            ACK | NAK if is_stale => self.note(notes::REPLY_STALE),
            ACK => self.begin_transfer(),
            NAK => self.on_bid_failed(notes::ENQ_REFUSED, self.dialect.timers.busy),
            ENQ => {
                let timers = &self.dialect.timers;
                let hold = match self.dialect.role {
                    Role::Host => timers.contention_host,
                    Role::Instrument => timers.contention_instrument,
                };
                self.on_bid_failed(notes::CONTENTION, hold);
            }
            _ => {}
        }
    }

    pub(super) fn on_bid_timeout(&mut self) {
        self.transmit(&[EOT]);
        self.on_bid_failed(notes::ENQ_UNANSWERED, self.dialect.timers.after_timeout);
    }

    fn on_bid_failed(&mut self, note: Note, hold: Duration) {
        self.sender.bids_failed = self.sender.bids_failed.saturating_add(1);
        let failed = u64::from(self.sender.bids_failed);
        self.note(note.at(failed));
        self.sender.hold_until(self.now.after(hold));
        self.become_neutral();
        if self.sender.bids_failed >= self.dialect.enq_attempts_max {
            self.sender.bids_failed = 0;
            if let Some(job) = self.sender.pop() {
                self.fail(job.id, notes::ENQ_EXHAUSTED.at(failed), SendFailure::Busy);
            }
        }
    }

    fn begin_transfer(&mut self) {
        self.sender.bids_failed = 0;
        self.sender.active = self.sender.pop().map(Active::new);
        self.send_next();
    }

    fn send_next(&mut self) {
        let Some(active) = &mut self.sender.active else {
            return self.release(self.dialect.timers.between_sessions);
        };
        if active.cut(&self.dialect) {
            return self.send_frame();
        }
        let id = active.job.id;
        self.sender.active = None;
        self.release(self.dialect.timers.between_sessions);
        self.finish(id, SendOutcome::Sent);
    }

    fn send_frame(&mut self) {
        if let Some(active) = &mut self.sender.active {
            active.sends = active.sends.saturating_add(1);
            active.sent_at = self.now;
            active.has_stale = false;
            self.outputs
                .push_back(Output::Transmit(active.frame.clone()));
        }
        self.enter(Phase::WaitReply, Timer::Reply, self.dialect.timers.reply);
    }

    /// EOT: the line is neutral, and our next ENQ waits for `hold`.
    fn release(&mut self, hold: Duration) {
        self.transmit(&[EOT]);
        self.sender.hold_until(self.now.after(hold));
        self.become_neutral();
    }

    /// LIS01-A2 6.3.4 and 6.3.5: ACK, EOT (ACK and a wish for the line), all else is NAK.
    pub(super) fn on_reply(&mut self, byte: u8) {
        let Some(active) = &mut self.sender.active else {
            return self.release(self.dialect.timers.after_timeout);
        };
        let sends = u64::from(active.sends);
        let is_stale = self.now.since(active.sent_at) < self.dialect.stale_reply;
        // What comes in the instant of sending was in the buffer before (LIS01-A2 leaves that open;
        // without this rule six bytes of line noise in one read would spend all six sends).
        let is_noise = self.now == active.sent_at && !matches!(byte, ACK | NAK | EOT);
        if is_stale || is_noise {
            return self.drop_stale();
        }
        match byte {
            ACK => {
                active.on_acknowledged();
                self.send_next();
            }
            EOT => {
                active.on_acknowledged();
                self.on_interrupted();
            }
            CR | LF | 0 | 0xFF if self.dialect.ignores_idle_bytes => {}
            NAK => self.on_refused(notes::FRAME_NAKED.at(sends)),
            _ => self.on_refused(notes::REPLY_UNKNOWN.at(sends)),
        }
    }

    /// One note a frame, however long the burst.
    fn drop_stale(&mut self) {
        if let Some(active) = &mut self.sender.active
            && !active.has_stale
        {
            active.has_stale = true;
            let sends = u64::from(active.sends);
            self.note(notes::REPLY_STALE.at(sends));
        }
    }

    fn on_refused(&mut self, note: Note) {
        self.note(note);
        let sends = self.sender.active.as_ref().map_or(0, |active| active.sends);
        if sends < self.dialect.sends_max {
            return self.send_frame();
        }
        let note = notes::SENDS_EXHAUSTED.at(u64::from(sends));
        self.break_off(
            self.dialect.timers.between_sessions,
            note,
            SendFailure::Refused,
        );
    }

    pub(super) fn on_reply_timeout(&mut self) {
        let acknowledged = self
            .sender
            .active
            .as_ref()
            .map_or(0, |active| active.acknowledged);
        let note = notes::REPLY_TIMEOUT.at(count(acknowledged));
        self.break_off(
            self.dialect.timers.after_timeout,
            note,
            SendFailure::TimedOut,
        );
    }

    fn break_off(&mut self, hold: Duration, note: Note, why: SendFailure) {
        self.release(hold);
        if let Some(active) = self.sender.active.take() {
            self.fail(active.job.id, note, why);
        }
    }

    /// The receiver wants the line: it gets it now, and the message is sent again whole, because
    /// a part of a message helps nobody and LIS02-A2 lets a message begin again.
    fn on_interrupted(&mut self) {
        self.release(self.dialect.timers.interrupt);
        let Some(mut active) = self.sender.active.take() else {
            return;
        };
        let id = active.job.id;
        if active.is_finished() {
            return self.finish(id, SendOutcome::Sent);
        }
        self.note(notes::INTERRUPTED.at(count(active.acknowledged)));
        active.job.interrupts = active.job.interrupts.saturating_add(1);
        if active.is_withdrawn {
            return self.finish(id, SendOutcome::Failed(SendFailure::Withdrawn));
        }
        if active.job.interrupts >= self.dialect.interrupts_max {
            let note = notes::INTERRUPTS_EXHAUSTED.at(active.job.interrupts.into());
            return self.fail(id, note, SendFailure::Refused);
        }
        self.sender.push_again(active.job);
    }

    /// The line is gone: nothing that waits survives here. An answer belongs to the session that
    /// asked; a download is tried again by its owner.
    pub(super) fn close_sender(&mut self) {
        let active = self.sender.active.take().map(|active| active.job);
        let waiting = self.sender.take_where(|_| true);
        let lost: Vec<_> = active.into_iter().chain(waiting).collect();
        if !lost.is_empty() {
            self.note(notes::LINE_LOST.at(count(lost.len())));
        }
        for job in lost {
            self.finish(job.id, SendOutcome::Failed(SendFailure::LineLost));
        }
        self.sender.bids_failed = 0;
    }

    fn fail(&mut self, id: OutId, note: Note, why: SendFailure) {
        self.note(note);
        self.finish(id, SendOutcome::Failed(why));
    }

    fn finish(&mut self, id: OutId, outcome: SendOutcome) {
        self.outputs.push_back(Output::Finished(id, outcome));
    }
}

/// The payload as it will travel: H first, L last, every record ended by CR.
fn sendable(payload: &Bytes, max: usize) -> Result<Bytes, Note> {
    if payload.len() >= max {
        return Err(notes::UNSENDABLE.at(count(max)));
    }
    if let Some(at) = payload.iter().position(|byte| is_restricted(*byte)) {
        return Err(notes::UNSENDABLE.at(count(at)));
    }
    let records = payload.strip_suffix(&[CR]).unwrap_or(payload);
    let start = records
        .iter()
        .rposition(|byte| *byte == CR)
        .map_or(0, |at| at + 1);
    let last = records.get(start..).unwrap_or_default();
    let is_ended = match last {
        [b'L' | b'l', second, ..] => payload.get(1) == Some(second),
        [b'L' | b'l'] => true,
        _ => false,
    };
    if !begins_message(payload) || !is_ended {
        return Err(notes::UNSENDABLE);
    }
    if payload.ends_with(&[CR]) {
        return Ok(payload.clone());
    }
    let mut whole = BytesMut::with_capacity(payload.len() + 1);
    whole.put_slice(payload);
    whole.put_u8(CR);
    Ok(whole.freeze())
}
