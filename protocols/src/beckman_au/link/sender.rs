//! The sender: a host answers requests, an instrument asks and reports.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        code::{Code, Kind},
        dialect::{ACK, Class, Dialect, NAK, Role},
        notes,
    },
    Link, Phase, Turn,
    assembler::Assembler,
    block::{DEL, frame},
    receiver::{Inquiry, kind},
};
use crate::wire::{
    Mono, Note, OutId, Outgoing, OutgoingKind, Output, SendFailure, SendOutcome, Timer,
};

/// What waits to be sent, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Sender {
    queue: VecDeque<Job>,
    active: Option<Job>,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    /// The blocks not acknowledged yet.
    blocks: VecDeque<Bytes>,
    expires_at: Option<Mono>,
    /// How often the first block was sent.
    sends: u32,
}

/// Why a message is not taken.
type Refusal = (Note, SendFailure);

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        match self.check(&outgoing) {
            Err((note, why)) => self.fail(id, note, why),
            Ok(blocks) => {
                self.sender.queue.push_back(Job {
                    id,
                    blocks,
                    expires_at: outgoing.expires_after.map(|after| self.now.after(after)),
                    sends: 0,
                });
                self.try_send();
            }
        }
    }

    fn check(&self, outgoing: &Outgoing) -> Result<VecDeque<Bytes>, Refusal> {
        if self.phase == Phase::Disconnected {
            return Err((notes::LINE_LOST.at(1), SendFailure::LineLost));
        }
        let blocks = blocks(&outgoing.payload, &self.dialect).map_err(|at| {
            (
                notes::UNSENDABLE.at(super::count(at)),
                SendFailure::Unsendable,
            )
        })?;
        let waiting = self.sender.queue.len();
        let max = match self.dialect.role {
            // One request, one order.
            Role::Host => 1_usize.saturating_sub(usize::from(self.sender.active.is_some())),
            Role::Instrument => self.dialect.limits.outgoing,
        };
        if self.dialect.role == Role::Host {
            self.check_answer(outgoing.kind, blocks.front())?;
        }
        if waiting >= max {
            let note = notes::QUEUE_FULL.at(super::count(waiting));
            return Err((note, SendFailure::Busy));
        }
        Ok(blocks)
    }

    /// An order for another sample makes the analyzer stop with an alarm ("rack no. mismatch"),
    /// or worse, measure the wrong tests.
    fn check_answer(&self, kind: OutgoingKind, block: Option<&Bytes>) -> Result<(), Refusal> {
        if kind == OutgoingKind::Download {
            return Err((notes::NOT_ASKED, SendFailure::Unsendable));
        }
        let is_open = |inquiry: &&Inquiry| inquiry.until.is_none_or(|until| until > self.now);
        let Some(inquiry) = self.receiver.inquiry.as_ref().filter(is_open) else {
            return Err((notes::NOT_ASKED, SendFailure::Expired));
        };
        if block.is_some_and(|block| answers(&inquiry.block, block, &self.dialect)) {
            return Ok(());
        }
        Err((notes::OTHER_SAMPLE, SendFailure::Unsendable))
    }

    /// Whether there is something to send and nothing else under way.
    pub(super) fn may_send(&self) -> bool {
        let is_free =
            self.phase == Phase::Idle && self.inbox.len() == 0 && !self.receiver.has_open_text();
        let is_asked = match self.dialect.role {
            Role::Host => self.answer_until().is_some(),
            Role::Instrument => true,
        };
        is_free && is_asked && !self.sender.queue.is_empty()
    }

    fn answer_until(&self) -> Option<Mono> {
        self.receiver.inquiry.as_ref()?.until
    }

    pub(super) fn try_send(&mut self) {
        if self.may_send() && self.quiet_until <= self.now {
            self.sender.active = self.sender.queue.pop_front();
            self.send_block();
        }
    }

    pub(super) fn send_block(&mut self) {
        let Some(job) = &mut self.sender.active else {
            return self.rest();
        };
        let Some(block) = job.blocks.front() else {
            return self.finish_active(SendOutcome::Sent);
        };
        job.sends = job.sends.saturating_add(1);
        let framed = frame(block, &self.dialect);
        self.transmit(framed);
        match self.dialect.class {
            Class::A => self.on_block_sent(),
            Class::B => self.enter(Phase::WaitReply, Timer::Reply, self.dialect.timers.reply),
        }
    }

    /// The block is with the peer, as far as anyone can know.
    fn on_block_sent(&mut self) {
        self.be_quiet();
        let Some(job) = &mut self.sender.active else {
            return self.rest();
        };
        job.blocks.pop_front();
        job.sends = 0;
        if job.blocks.is_empty() {
            return self.finish_active(SendOutcome::Sent);
        }
        self.say_in_turn(Turn::Block);
    }

    pub(super) fn on_reply(&mut self, byte: u8) {
        match byte {
            ACK => self.on_block_sent(),
            NAK => self.on_nak(),
            _ => self.ignore_byte(byte),
        }
    }

    fn sends(&self) -> u32 {
        self.sender.active.as_ref().map_or(0, |job| job.sends)
    }

    fn on_nak(&mut self) {
        let sends = self.sends();
        self.note(notes::BLOCK_NAKED.at(sends.into()));
        if sends < self.dialect.sends_max {
            self.be_quiet();
            return self.say_in_turn(Turn::Block);
        }
        self.give_up(
            notes::SENDS_EXHAUSTED.at(sends.into()),
            SendFailure::Refused,
        );
    }

    pub(super) fn on_reply_timeout(&mut self) {
        let sends = self.sends();
        self.note(notes::REPLY_TIMEOUT.at(sends.into()));
        if sends < self.dialect.sends_max {
            return self.send_block();
        }
        self.give_up(
            notes::SENDS_UNANSWERED.at(sends.into()),
            SendFailure::TimedOut,
        );
    }

    fn give_up(&mut self, note: Note, why: SendFailure) {
        self.be_quiet();
        self.note(note);
        self.finish_active(SendOutcome::Failed(why));
    }

    /// The peer began a text while ours was under way.
    pub(super) fn break_off(&mut self) {
        if let Some(job) = self.sender.active.take() {
            let note = notes::INTERRUPTED.at(self.inbox.offset);
            self.fail(job.id, note, SendFailure::TimedOut);
            self.receiver.inquiry = None;
        }
    }

    /// Whatever became of an order, its request has had it.
    fn finish_active(&mut self, outcome: SendOutcome) {
        if let Some(job) = self.sender.active.take() {
            self.outputs.push_back(Output::Finished(job.id, outcome));
        }
        self.receiver.inquiry = None;
        self.rest();
    }

    /// What has not begun to travel is forgotten; what is under way is finished.
    pub(super) fn on_withdraw(&mut self, id: OutId) {
        for job in self.take_where(|job| job.id == id) {
            let outcome = SendOutcome::Failed(SendFailure::Withdrawn);
            self.outputs.push_back(Output::Finished(job.id, outcome));
        }
    }

    fn take_where(&mut self, is_wanted: impl Fn(&Job) -> bool) -> VecDeque<Job> {
        let queue = std::mem::take(&mut self.sender.queue);
        let (taken, kept) = queue.into_iter().partition(is_wanted);
        self.sender.queue = kept;
        taken
    }

    pub(super) fn next_expiry(&self) -> Option<Mono> {
        let queue = self.sender.queue.iter();
        queue
            .filter_map(|job| job.expires_at)
            .chain(self.answer_until().filter(|_| self.sender.active.is_none()))
            .min()
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        let is_outdated = self.answer_until().is_some_and(|until| until <= now);
        if is_outdated && self.sender.active.is_none() {
            self.close_inquiry();
        }
        let late = self.take_where(|job| job.expires_at.is_some_and(|at| at <= now));
        self.drop_jobs(late, notes::EXPIRED);
    }

    /// The analyzer has gone on: no order will be taken for the request.
    pub(super) fn close_inquiry(&mut self) {
        if self.receiver.inquiry.take().is_some() {
            let late = self.take_where(|_| true);
            self.drop_jobs(late, notes::ANSWER_OUTDATED);
        }
    }

    fn drop_jobs(&mut self, jobs: VecDeque<Job>, note: Note) {
        if !jobs.is_empty() {
            self.note(note.at(super::count(jobs.len())));
        }
        for job in jobs {
            let outcome = SendOutcome::Failed(SendFailure::Expired);
            self.outputs.push_back(Output::Finished(job.id, outcome));
        }
    }

    /// The line is gone: an answer belongs to the session that asked; a download is tried again
    /// by its owner.
    pub(super) fn close_sender(&mut self) {
        let waiting = self.take_where(|_| true);
        let lost: Vec<_> = self
            .sender
            .active
            .take()
            .into_iter()
            .chain(waiting)
            .collect();
        if !lost.is_empty() {
            self.note(notes::LINE_LOST.at(super::count(lost.len())));
        }
        for job in lost {
            let outcome = SendOutcome::Failed(SendFailure::LineLost);
            self.outputs.push_back(Output::Finished(job.id, outcome));
        }
    }

    fn fail(&mut self, id: OutId, note: Note, why: SendFailure) {
        self.note(note);
        let outcome = SendOutcome::Failed(why);
        self.outputs.push_back(Output::Finished(id, outcome));
    }
}

/// The blocks of a message, or the offset where it is none: what a peer of ours would not take
/// for one complete text is not sent.
fn blocks(payload: &Bytes, dialect: &Dialect) -> Result<VecDeque<Bytes>, usize> {
    let mut assembler = Assembler::default();
    let mut blocks = VecDeque::new();
    let mut start = 0;
    for (at, byte) in payload.iter().enumerate() {
        if !dialect.is_end(*byte) {
            if *byte < b' ' || *byte == DEL {
                return Err(at);
            }
            continue;
        }
        let end = at.saturating_add(1);
        let block = payload.slice(start..end);
        let added = assembler.add(&block, false, dialect);
        let is_last = end == payload.len();
        let is_text = added.message.as_ref().is_some_and(|text| text.is_complete);
        if is_text != is_last || added.left_over.is_some() || block.len() > dialect.limits.block {
            return Err(start);
        }
        blocks.push_back(block);
        start = end;
    }
    let is_whole = start == payload.len() && payload.len() <= dialect.limits.text;
    if blocks.is_empty() || !is_whole || Code::of(payload).is_none() {
        return Err(start);
    }
    Ok(blocks)
}

/// Whether `order` is the host's word about the sample that `request` names.
fn answers(request: &[u8], order: &[u8], dialect: &Dialect) -> bool {
    let asked = dialect.layout.sample(request);
    let named = dialect.layout.sample(order);
    match kind(order) {
        Some(Kind::Order) => {
            let expected = Code::of(request).and_then(Code::answer);
            Code::of(order) == expected
                && asked
                    .zip(named)
                    .is_some_and(|(asked, named)| same_sample(&asked, &named, dialect))
        }
        // `SE` may stand alone.
        Some(Kind::NoOrder) => match (asked, named) {
            (Some(asked), Some(named)) => same_sample(&asked, &named, dialect),
            _ => order.len() <= 3,
        },
        _ => false,
    }
}

/// Rack, cup, type, number and id are the same; an id that the request left blank may be told.
fn same_sample(asked: &[u8], named: &[u8], dialect: &Dialect) -> bool {
    let place = asked.len().saturating_sub(dialect.layout.sample_id);
    let (asked_place, asked_id) = asked.split_at(place);
    let Some((named_place, named_id)) = named.split_at_checked(place) else {
        return false;
    };
    let is_blank = asked_id.iter().all(|byte| *byte == b' ');
    asked_place == named_place && (is_blank || asked_id == named_id)
}
