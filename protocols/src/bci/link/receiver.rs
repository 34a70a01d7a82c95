//! The receiver: sessions and messages in, judged, and what is owed for them.

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, CR, ChecksumRule, DETACHED_MAX, ENQ, EOT, LF, NAK, Role},
        notes,
    },
    Link, Phase,
    frame::{FrameReader, RawFrame, Read},
};
use crate::wire::{Mono, Note, Timer};

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    reader: Option<FrameReader>,
    /// Messages that were given to the store.
    pub(super) messages: u64,
    /// The message acknowledged last.
    last: Option<Known>,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
}

#[derive(Debug)]
struct Known {
    message: Bytes,
    at: Mono,
}

impl Link {
    pub(super) fn is_store_behind(&self) -> bool {
        self.detached.len() >= DETACHED_MAX
    }

    /// A byte that neither begins a message nor answers one of ours.
    pub(super) fn on_other_byte(&mut self, byte: u8) {
        match byte {
            ENQ => self.on_enq(),
            EOT => self.on_eot(),
            ACK | NAK => self.note(notes::REPLY_UNASKED.at(self.inbox.offset)),
            _ => self.ignore_byte(byte),
        }
    }

    /// Line ends may stand after everything.
    pub(super) fn ignore_byte(&mut self, byte: u8) {
        if !self.receiver.is_ignoring && !matches!(byte, CR | LF) {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// The peer asks for the line. What we owed or sent is answered by it for good.
    pub(super) fn on_enq(&mut self) {
        let offset = self.inbox.offset;
        match self.phase {
            Phase::WaitDisk => self.note(notes::REPLY_DROPPED.at(offset)),
            Phase::WaitReply => self.break_off(),
            Phase::Asking | Phase::Granted if self.dialect.role == Role::Host => self.give_way(),
            // The device has the line: its host will answer its ENQ.
            Phase::Asking | Phase::Granted => return self.note(notes::CONTENTION.at(offset)),
            Phase::Disconnected | Phase::Idle | Phase::Listening | Phase::InFrame => {}
        }
        self.receiver.is_ignoring = false;
        if self.is_store_behind() {
            self.note(notes::STORE_BEHIND.at(offset));
            self.reply(&[NAK]);
            return self.rest();
        }
        self.reply(&[ACK]);
        self.listen();
    }

    fn on_eot(&mut self) {
        if self.phase == Phase::WaitDisk {
            self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
        }
        self.receiver.is_ignoring = false;
        self.rest();
    }

    /// The next message of the session, or its end.
    pub(super) fn listen(&mut self) {
        let after = self.dialect.timers.receive;
        self.enter(Phase::Listening, Timer::Receive, after);
    }

    pub(super) fn on_receive_timeout(&mut self) {
        self.note(notes::SESSION_SILENT);
        self.rest();
    }

    /// STX. What we owed or sent is answered by it for good.
    pub(super) fn begin_frame(&mut self) {
        let offset = self.inbox.offset;
        match self.phase {
            Phase::WaitDisk => self.note(notes::REPLY_DROPPED.at(offset)),
            Phase::WaitReply => self.break_off(),
            Phase::Asking | Phase::Granted => {
                self.give_way();
                self.note(notes::NO_ENQ.at(offset));
            }
            Phase::Idle => self.note(notes::NO_ENQ.at(offset)),
            Phase::Disconnected | Phase::Listening | Phase::InFrame => {}
        }
        self.receiver.is_ignoring = false;
        self.receiver.reader = Some(FrameReader::new(offset));
        self.await_byte();
    }

    fn await_byte(&mut self) {
        let after = self.dialect.timers.inter_byte;
        self.enter(Phase::InFrame, Timer::InterByte, after);
    }

    pub(super) fn on_frame_byte(&mut self, byte: u8) {
        let max = self.dialect.limits.message;
        let Some(reader) = &mut self.receiver.reader else {
            return self.listen();
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
        self.listen();
    }

    /// A whole frame is there.
    fn on_frame(&mut self) {
        let Some(raw) = self.receiver.reader.take().map(FrameReader::finish) else {
            return self.listen();
        };
        let (start, has_control) = (raw.start, raw.has_control);
        match judge(raw, self.dialect.checksum, self.dialect.sums_line_ends) {
            Err(note) => self.refuse(note.at(start)),
            Ok((message, tolerated)) => {
                let control = has_control.then_some(notes::CONTROL_TOLERATED);
                for note in tolerated.into_iter().chain(control) {
                    self.note(note.at(start));
                }
                self.promise(start, message);
            }
        }
    }

    /// What must be durable before it is acknowledged.
    fn promise(&mut self, start: u64, message: Bytes) {
        if self.is_repeat(&message) {
            self.note(notes::REPEAT.at(start));
            self.reply(&[ACK]);
            return self.listen();
        }
        if self.rejoins(&message) {
            return;
        }
        self.supersede();
        if self.is_store_behind() {
            return self.refuse(notes::STORE_BEHIND.at(start));
        }
        self.receiver.messages = self.receiver.messages.saturating_add(1);
        self.await_store(message);
    }

    fn is_repeat(&self, message: &Bytes) -> bool {
        let within = self.dialect.timers.repeat;
        self.receiver
            .last
            .as_ref()
            .is_some_and(|last| last.message == message && self.now.since(last.at) <= within)
    }

    /// The message is durable.
    pub(super) fn accept(&mut self, message: Bytes) {
        self.reply(&[ACK]);
        let at = self.now;
        self.receiver.last = Some(Known { message, at });
        self.listen();
    }

    pub(super) fn close_receiver(&mut self) {
        if self.phase == Phase::WaitDisk {
            self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
        }
        if let Some(reader) = self.receiver.reader.take() {
            self.note(notes::CUT.at(reader.start));
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
fn judge(
    raw: RawFrame,
    rule: ChecksumRule,
    sums_line_ends: bool,
) -> Result<(Bytes, Option<Note>), Note> {
    let fits = raw.checksum_fits(sums_line_ends);
    let message = raw.message.ok_or(notes::FORM_REFUSED)?;
    match rule {
        ChecksumRule::Strict if !fits => Err(notes::CHECKSUM_REFUSED),
        ChecksumRule::Warn if !fits => Ok((message, Some(notes::CHECKSUM_TOLERATED))),
        ChecksumRule::Strict | ChecksumRule::Warn | ChecksumRule::Off => Ok((message, None)),
    }
}
