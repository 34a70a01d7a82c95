//! The sender: what the host asks, what owners send, and whose word ends it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        dialect::{Mode, Role},
        notes,
        writer::{Head, WriteError, directive, end, request},
        xml::Document,
    },
    Link, Stage,
};
use crate::wire::{
    Mono, Note, OutId, Outgoing, OutgoingKind, Output, SendFailure, SendOutcome, Timer,
};

/// What waits to be sent, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Sender {
    queue: VecDeque<Job>,
    /// The owner's answer to the device's request.
    answer: Option<Job>,
    active: Option<Active>,
    /// The control id given last.
    control: u32,
    /// The device does not do it in this conversation.
    pub(super) is_continuous_refused: bool,
}

#[derive(Debug)]
struct Job {
    id: OutId,
    message: Bytes,
    expires_at: Option<Mono>,
}

#[derive(Debug)]
struct Active {
    what: Said,
    message: Bytes,
    control_id: String,
    sends: u32,
    until: Mono,
}

/// What was said, and is to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Request,
    StartContinuous,
    End,
    Owners(OutId),
}

/// Why a message is not taken.
type Refusal = (Note, SendFailure);

impl Sender {
    /// Nothing waits for an acknowledgement.
    pub(super) const fn is_free(&self) -> bool {
        self.active.is_none()
    }

    pub(super) fn reply_at(&self) -> Option<(Mono, Timer)> {
        let active = self.active.as_ref();
        active.map(|active| (active.until, Timer::Reply))
    }

    pub(super) fn expiry_at(&self) -> Option<(Mono, Timer)> {
        let jobs = self.queue.iter().chain(&self.answer);
        let first = jobs.filter_map(|job| job.expires_at).min();
        first.map(|at| (at, Timer::Expiry))
    }

    fn is_asking(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| active.what == Said::Request)
    }
}

impl Link {
    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing) {
        if self.dialect.role == Role::Device
            && self.stage == Stage::Ended
            && is_hello(&outgoing.payload)
        {
            self.begin_conversation();
            self.stage = Stage::Ready;
        }
        if let Err((note, why)) = self.check(&outgoing) {
            return self.fail(id, note, why);
        }
        let job = Job {
            id,
            message: outgoing.payload,
            expires_at: outgoing.expires_after.map(|after| self.now.after(after)),
        };
        match outgoing.kind {
            OutgoingKind::Answer if self.dialect.role == Role::Host => {
                self.receiver.query = None;
                self.sender.answer = Some(job);
            }
            OutgoingKind::Answer => self.sender.queue.push_front(job),
            OutgoingKind::Download => self.sender.queue.push_back(job),
        }
    }

    fn check(&self, outgoing: &Outgoing) -> Result<(), Refusal> {
        if self.stage == Stage::Disconnected {
            return Err((notes::LINE_LOST.at(1), SendFailure::LineLost));
        }
        if self.dialect.role == Role::Device && self.stage == Stage::Ended {
            return Err((notes::NOT_REACHED.at(1), SendFailure::TimedOut));
        }
        if let Err(at) = self.sendable(&outgoing.payload) {
            let note = notes::UNSENDABLE.at(super::count(at));
            return Err((note, SendFailure::Unsendable));
        }
        let is_answer = outgoing.kind == OutgoingKind::Answer && self.dialect.role == Role::Host;
        if is_answer && self.receiver.query.is_none() {
            return Err((notes::NOT_ASKED, SendFailure::Expired));
        }
        let waiting = self.sender.queue.len();
        if !is_answer && waiting >= self.dialect.limits.outgoing {
            let note = notes::QUEUE_FULL.at(super::count(waiting));
            return Err((note, SendFailure::Busy));
        }
        Ok(())
    }

    /// Where a message of the owner is none.
    fn sendable(&self, payload: &[u8]) -> Result<(), usize> {
        if payload.len() > self.dialect.limits.message {
            return Err(self.dialect.limits.message);
        }
        Document::read(payload).map_err(|error| error.at)?;
        control_id_span(payload).map(|_| ()).ok_or(0)
    }

    /// Says the next thing, if it is our turn and there is one.
    pub(super) fn advance(&mut self) {
        let is_ours = self.sender.is_free()
            && self.receiver.pending.is_none()
            && self.receiver.query.is_none();
        if !is_ours || self.stage == Stage::Disconnected {
            return;
        }
        if let Some(job) = self.sender.answer.take() {
            return self.send_job(job);
        }
        match self.stage {
            Stage::Ready => self.advance_ready(),
            Stage::Continuous => {
                self.send_next();
            }
            Stage::Disconnected
            | Stage::WaitHello
            | Stage::Introduced
            | Stage::Observations
            | Stage::Events
            | Stage::Ended => {}
        }
    }

    fn advance_ready(&mut self) {
        if self.dialect.role == Role::Device {
            self.send_next();
        } else if std::mem::take(&mut self.receiver.wants.observations) {
            self.ask(Stage::Observations, "ROBS");
        } else if std::mem::take(&mut self.receiver.wants.events) {
            self.ask(Stage::Events, "RDEV");
        } else if self.send_next() {
        } else if self.dialect.mode == Mode::Continuous && !self.sender.is_continuous_refused {
            let written = self.compose(|head| directive(head, "START_CONTINUOUS"));
            self.begin_own(Said::StartContinuous, written);
        } else {
            let written = self.compose(|head| end(head, "NRM"));
            self.begin_own(Said::End, written);
        }
    }

    fn ask(&mut self, stage: Stage, code: &str) {
        self.stage = stage;
        self.receiver.last_word = self.now;
        let written = self.compose(|head| request(head, code));
        self.begin_own(Said::Request, written);
    }

    fn send_next(&mut self) -> bool {
        let job = self.sender.queue.pop_front();
        let is_any = job.is_some();
        if let Some(job) = job {
            self.send_job(job);
        }
        is_any
    }

    fn send_job(&mut self, job: Job) {
        match self.renumbered(&job.message) {
            Some((control_id, message)) => {
                self.begin(Said::Owners(job.id), control_id, message.into());
            }
            None => self.fail(job.id, notes::UNSENDABLE, SendFailure::Unsendable),
        }
    }

    /// A message of ours with the next control id.
    pub(super) fn compose(
        &mut self,
        write: impl FnOnce(Head<'_>) -> Result<Bytes, WriteError>,
    ) -> Option<(String, Bytes)> {
        let control_id = self.next_control_id();
        let head = Head {
            control_id: &control_id,
            created: self.receiver.created.as_deref(),
        };
        // Nothing that we say by ourselves holds text that was not looked at.
        let message = write(head).ok()?;
        Some((control_id, message))
    }

    /// An owner's message under a control id of ours, so that no two are the same.
    pub(super) fn renumbered(&mut self, message: &[u8]) -> Option<(String, Vec<u8>)> {
        let span = control_id_span(message)?;
        let control_id = self.next_control_id();
        let before = message.get(..span.start)?;
        let after = message.get(span.end..)?;
        let bytes = [before, control_id.as_bytes(), after].concat();
        Some((control_id, bytes))
    }

    fn next_control_id(&mut self) -> String {
        self.sender.control = self.sender.control.checked_add(1).unwrap_or(1);
        self.sender.control.to_string()
    }

    /// Says something that waits for no acknowledgement.
    pub(super) fn say(&mut self, written: Option<(String, Bytes)>) {
        if let Some((_, message)) = written {
            self.transmit(&message);
        }
    }

    fn begin_own(&mut self, what: Said, written: Option<(String, Bytes)>) {
        if let Some((control_id, message)) = written {
            self.begin(what, control_id, message);
        }
    }

    fn begin(&mut self, what: Said, control_id: String, message: Bytes) {
        self.transmit(&message);
        self.sender.active = Some(Active {
            what,
            message,
            control_id,
            sends: 1,
            until: self.now.after(self.dialect.timers.reply),
        });
    }

    fn take_active(&mut self, of: Option<&str>) -> Option<Active> {
        let is_it = |active: &mut Active| of == Some(active.control_id.as_str());
        self.sender.active.take_if(is_it)
    }

    pub(super) fn on_acknowledgement(
        &mut self,
        start: u64,
        message: Bytes,
        of: Option<&str>,
        is_accepted: bool,
    ) {
        let Some(active) = self.take_active(of) else {
            return self.note(notes::ACK_UNASKED.at(start));
        };
        if let Said::Owners(id) = active.what {
            return self.finish(id, SendOutcome::Answered(message));
        }
        self.on_word(active.what, is_accepted);
    }

    /// The peer's word about something that the link said by itself.
    fn on_word(&mut self, what: Said, is_accepted: bool) {
        self.receiver.last_word = self.now;
        match (what, is_accepted) {
            (Said::Owners(_) | Said::Request, true) => {}
            (Said::StartContinuous, true) => self.stage = Stage::Continuous,
            (Said::StartContinuous, false) => {
                self.note(notes::NOT_CONTINUOUS);
                self.sender.is_continuous_refused = true;
            }
            (Said::End, _) => self.end_conversation(),
            (Said::Owners(_) | Said::Request, false) => {
                self.note(notes::REFUSED);
                self.leave_topic();
            }
        }
    }

    fn leave_topic(&mut self) {
        if matches!(self.stage, Stage::Observations | Stage::Events) {
            self.stage = Stage::Ready;
        }
    }

    pub(super) fn on_escape(&mut self, start: u64, of: Option<&str>) {
        self.note(notes::ESCAPED.at(start));
        let Some(active) = self.take_active(of) else {
            return;
        };
        if let Said::Owners(id) = active.what {
            return self.fail(id, notes::REFUSED, SendFailure::Refused);
        }
        self.on_word(active.what, false);
    }

    /// Observations, or the end of the topic, are as good as an acknowledgement of the request.
    pub(super) fn request_is_heard(&mut self) {
        if self.sender.is_asking() {
            self.sender.active = None;
        }
    }

    pub(super) fn on_reply_timeout(&mut self) {
        let (sends_max, reply) = (self.dialect.sends_max, self.dialect.timers.reply);
        let Some(active) = &mut self.sender.active else {
            return;
        };
        let sends = active.sends;
        if sends < sends_max {
            active.sends = sends.saturating_add(1);
            active.until = self.now.after(reply);
            let message = active.message.clone();
            self.note(notes::REPLY_TIMEOUT.at(sends.into()));
            return self.transmit(&message);
        }
        let what = active.what;
        self.sender.active = None;
        self.note(notes::SENDS_EXHAUSTED.at(sends.into()));
        match what {
            Said::Owners(id) => self.finish(id, SendOutcome::Failed(SendFailure::TimedOut)),
            // It may come all the same; but we go on.
            Said::Request => self.leave_topic(),
            Said::StartContinuous => self.sender.is_continuous_refused = true,
            Said::End => self.end_conversation(),
        }
    }

    pub(super) fn end_conversation(&mut self) {
        self.break_off();
        self.receiver.query = None;
        let waiting = self.sender.queue.len();
        if waiting > 0 {
            self.note(notes::NOT_REACHED.at(super::count(waiting)));
        }
        self.stage = Stage::Ended;
        // A host's messages wait for the next hello; a device's belong to the conversation that ended.
        if self.dialect.role == Role::Device {
            for job in self.take_where(|_| true) {
                self.finish(job.id, SendOutcome::Failed(SendFailure::TimedOut));
            }
        }
    }

    /// What was under way gets no acknowledgement any more, and no answer is wanted.
    pub(super) fn break_off(&mut self) {
        let active = self.sender.active.take();
        if let Some(Said::Owners(id)) = active.map(|active| active.what) {
            let failure = SendFailure::TimedOut;
            self.fail(id, notes::SENDS_EXHAUSTED.at(1), failure);
        }
        self.drop_answer();
    }

    /// An answer that has not begun to travel is for nobody any more.
    pub(super) fn drop_answer(&mut self) {
        if let Some(job) = self.sender.answer.take() {
            self.fail(job.id, notes::NOT_ASKED, SendFailure::Expired);
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
        let mut lost: Vec<OutId> = self.take_where(|_| true).iter().map(|job| job.id).collect();
        let active = self.sender.active.take();
        if let Some(Said::Owners(id)) = active.map(|active| active.what) {
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

/// Whether a device introduces itself: it begins anew.
fn is_hello(message: &[u8]) -> bool {
    let document = Document::read(message);
    document.is_ok_and(|document| {
        document
            .root()
            .is_some_and(|root| root.name() == b"HEL.R01")
    })
}

/// Where the only control id of a message stands, as an attribute.
fn control_id_span(message: &[u8]) -> Option<std::ops::Range<usize>> {
    let document = Document::read(message).ok()?;
    let headers = document.root()?.children();
    let fields = headers
        .filter(|child| child.name() == b"HDR")
        .flat_map(|header| header.children());
    let mut ids = fields.filter(|field| field.name() == b"HDR.control_id");
    let span = ids.next()?.attribute(b"V")?.span();
    ids.next().is_none().then_some(span)
}
