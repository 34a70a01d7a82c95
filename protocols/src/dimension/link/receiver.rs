//! The receiver: messages in, judged, and what is owed for them.

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, CR, ChecksumRule, DETACHED_MAX, ENQ, EOT, LF, NAK, Role, Unanswered},
        field::{fields, letter},
        notes,
        writer::{ACCEPT, NO_REQUEST},
    },
    Link, Phase, Turn,
    frame::{FrameReader, RawFrame, Read},
};
use crate::wire::{Mono, Note, Timer};

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    reader: Option<FrameReader>,
    /// Messages that were given to the store.
    pub(super) messages: u64,
    /// The report accepted last.
    last: Option<Known>,
    /// The sample id of the query that waits for its answer.
    pub(super) query: Option<Bytes>,
    was_first_poll: bool,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
}

#[derive(Debug)]
struct Known {
    message: Bytes,
    /// The acceptance it got.
    reply: Bytes,
    at: Mono,
}

impl Receiver {
    /// What the report accepted last was answered.
    pub(super) fn acceptance(&self) -> Bytes {
        let reply = self.last.as_ref().map(|last| last.reply.clone());
        reply.unwrap_or(Bytes::from_static(ACCEPT))
    }
}

impl Link {
    pub(super) fn is_store_behind(&self) -> bool {
        self.detached.len() >= DETACHED_MAX
    }

    /// A byte that neither begins a message nor answers one of ours.
    pub(super) fn on_other_byte(&mut self, byte: u8) {
        let is_idle = self.phase == Phase::Idle;
        match byte {
            // An ACK for ENQ could be read as one for the message whose reply is owed.
            ENQ if self.dialect.answers_enq && is_idle => {
                self.receiver.is_ignoring = false;
                self.reply(&[ACK]);
            }
            ENQ => self.note(notes::ENQ_IGNORED.at(self.inbox.offset)),
            ACK | NAK => self.note(notes::REPLY_UNASKED.at(self.inbox.offset)),
            EOT => {}
            _ => self.ignore_byte(byte),
        }
    }

    /// The analyzer prints on the same line what it measures, between its messages.
    pub(super) fn ignore_byte(&mut self, byte: u8) {
        if !self.receiver.is_ignoring && !matches!(byte, CR | LF) {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// STX. What we owed or sent is answered by it for good.
    pub(super) fn begin_frame(&mut self) {
        match self.phase {
            Phase::WaitDisk | Phase::WaitTurn(_) => {
                self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
            }
            Phase::WaitAnswer => self.close_query(),
            Phase::WaitReply => self.break_off(),
            Phase::Disconnected | Phase::Idle | Phase::InFrame => {}
        }
        self.receiver.is_ignoring = false;
        self.receiver.reader = Some(FrameReader::new(self.inbox.offset));
        self.await_byte();
    }

    fn await_byte(&mut self) {
        let after = self.dialect.timers.inter_byte;
        self.enter(Phase::InFrame, Timer::InterByte, after);
    }

    pub(super) fn on_frame_byte(&mut self, byte: u8) {
        let max = self.dialect.limits.message;
        let Some(reader) = &mut self.receiver.reader else {
            return self.rest();
        };
        match reader.push(byte, max) {
            Read::More => self.await_byte(),
            Read::Ended => self.on_frame(),
            Read::TooLong => self.refuse_unended(notes::TOO_LONG),
            Read::Restarted => {
                self.note(notes::RESTARTED.at(self.inbox.offset));
                self.begin_frame();
            }
        }
    }

    pub(super) fn on_inter_byte_timeout(&mut self) {
        self.refuse_unended(notes::CUT);
    }

    fn refuse_unended(&mut self, note: Note) {
        if let Some(reader) = self.receiver.reader.take() {
            self.refuse(note.at(reader.start));
        }
    }

    fn refuse(&mut self, note: Note) {
        self.note(note);
        self.reply(&[NAK]);
        self.rest();
    }

    /// A whole frame is there.
    fn on_frame(&mut self) {
        let Some(raw) = self.receiver.reader.take().map(FrameReader::finish) else {
            return self.rest();
        };
        let (start, has_control) = (raw.start, raw.has_control);
        match judge(raw, self.dialect.checksum) {
            Err(note) => self.refuse(note.at(start)),
            Ok((message, tolerated)) => {
                let control = has_control.then_some(notes::CONTROL_TOLERATED);
                for note in tolerated.into_iter().chain(control) {
                    self.note(note.at(start));
                }
                self.on_message(start, message);
            }
        }
    }

    fn on_message(&mut self, start: u64, message: Bytes) {
        match (self.dialect.role, letter(&message)) {
            (_, Some(b'M')) => self.on_acceptance(start, message),
            (Role::Host, Some(b'P')) => self.on_poll(&message),
            _ => self.promise(start, message),
        }
    }

    /// A poll promises nothing and asks for one thing.
    fn on_poll(&mut self, poll: &Bytes) {
        self.close_query();
        self.reply(&[ACK]);
        let fields = fields(poll).unwrap_or_default();
        let flag = |at: usize| fields.get(at).map(super::super::field::Field::unpadded);
        let is_first = flag(2) == Some(b"1");
        if is_first && !self.receiver.was_first_poll {
            self.note(notes::FIRST_POLL);
        }
        self.receiver.was_first_poll = is_first;
        self.give_up_awaited();
        // What went without a reply may still get one, and it would be read as the next order's;
        // N can bear that.
        let takes_nothing = self.is_in_doubt() || flag(3) == Some(b"0");
        self.say_in_turn(match takes_nothing {
            true => Turn::NoRequest,
            false => Turn::Poll,
        });
    }

    /// What must be durable before it is acknowledged.
    fn promise(&mut self, start: u64, message: Bytes) {
        if self.is_repeat(&message) {
            self.note(notes::REPEAT.at(start));
            self.reply(&[ACK]);
            self.close_query();
            return self.say_in_turn(Turn::Acceptance);
        }
        if self.rejoins(&message) {
            return;
        }
        self.close_query();
        self.supersede();
        if self.is_store_behind() {
            return self.refuse(notes::STORE_BEHIND.at(start));
        }
        if self.dialect.role == Role::Host {
            self.receiver.query = sample_of_query(&message);
        }
        self.receiver.messages = self.receiver.messages.saturating_add(1);
        self.await_store(message);
    }

    /// A report that was accepted already. A query in the same words wants an answer.
    fn is_repeat(&self, message: &Bytes) -> bool {
        let within = self.dialect.timers.repeat;
        self.receiver
            .last
            .as_ref()
            .is_some_and(|last| last.message == message && self.now.since(last.at) <= within)
    }

    /// The message is durable: ACK, and what follows it.
    pub(super) fn accept(&mut self, message: Bytes, reply: Option<Bytes>) {
        self.reply(&[ACK]);
        self.rest();
        match (self.dialect.role, letter(&message)) {
            (Role::Host, Some(b'R' | b'C')) => self.accept_report(message, reply),
            (Role::Host, Some(b'I')) => self.await_answer(),
            (Role::Instrument, Some(word @ (b'N' | b'D'))) => self.on_word(word == b'D'),
            _ => {}
        }
    }

    fn accept_report(&mut self, message: Bytes, reply: Option<Bytes>) {
        let chosen = reply.and_then(|reply| {
            let is_acceptance = self.is_acceptance(&reply);
            if !is_acceptance {
                self.note(notes::BAD_REPLY);
            }
            is_acceptance.then_some(reply)
        });
        let reply = chosen.unwrap_or(Bytes::from_static(ACCEPT));
        let at = self.now;
        self.receiver.last = Some(Known { message, reply, at });
        self.say_in_turn(Turn::Acceptance);
    }

    fn await_answer(&mut self) {
        if self.send_answer() {
            return;
        }
        if self.receiver.query.is_some() {
            self.enter(Phase::WaitAnswer, Timer::Expiry, self.dialect.timers.answer);
        }
    }

    pub(super) fn on_answer_timeout(&mut self) {
        self.receiver.query = None;
        self.note(notes::QUERY_UNANSWERED);
        match self.dialect.unanswered {
            Unanswered::NoRequest => self.send_own(Bytes::from_static(NO_REQUEST)),
            Unanswered::Silence => self.rest(),
        }
    }

    pub(super) fn close_receiver(&mut self) {
        if matches!(self.phase, Phase::WaitDisk | Phase::WaitTurn(_)) {
            self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
        }
        self.supersede();
        let messages = self.receiver.messages;
        self.receiver = Receiver {
            messages,
            ..Receiver::default()
        };
    }
}

/// The message and the note it is taken with, or why it is not taken.
fn judge(raw: RawFrame, rule: ChecksumRule) -> Result<(Bytes, Option<Note>), Note> {
    let fits = raw.checksum_fits();
    let message = raw.message.ok_or(notes::FORM_REFUSED)?;
    match rule {
        ChecksumRule::Strict if !fits => Err(notes::CHECKSUM_REFUSED),
        ChecksumRule::Warn if !fits => Ok((message, Some(notes::CHECKSUM_TOLERATED))),
        ChecksumRule::Strict | ChecksumRule::Warn | ChecksumRule::Off => Ok((message, None)),
    }
}

/// The sample id that a query names.
fn sample_of_query(message: &Bytes) -> Option<Bytes> {
    let fields = fields(message)?;
    let is_query = fields.first().is_some_and(|letter| letter.raw() == b"I");
    let id = fields.get(1).filter(|_| is_query)?;
    Some(message.slice_ref(id.raw()))
}
