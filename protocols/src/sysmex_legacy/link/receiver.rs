//! The receiver: texts in, and what is owed for them.

use bytes::Bytes;

use super::{
    super::{
        dialect::{ACK, CR, Class, DETACHED_MAX, LF, NAK, is_control},
        notes,
    },
    Link, Phase,
    frame::{FrameReader, Read},
};
use crate::wire::{Mono, Note, Timer};

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    reader: Option<FrameReader>,
    /// Texts that were given to the store.
    pub(super) texts: u64,
    /// The text acknowledged last.
    last: Option<Known>,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
}

#[derive(Debug)]
struct Known {
    text: Bytes,
    at: Mono,
}

impl Link {
    pub(super) fn is_store_behind(&self) -> bool {
        self.detached.len() >= DETACHED_MAX
    }

    /// A byte that neither begins a text nor answers one of ours.
    pub(super) fn on_other_byte(&mut self, byte: u8) {
        match byte {
            ACK | NAK => self.note(notes::REPLY_UNASKED.at(self.inbox.offset)),
            _ => self.ignore_byte(byte),
        }
    }

    pub(super) fn ignore_byte(&mut self, byte: u8) {
        if !self.receiver.is_ignoring && !matches!(byte, CR | LF) {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// STX. What we owed or sent is answered by it for good.
    pub(super) fn begin_frame(&mut self) {
        match self.phase {
            Phase::WaitDisk => self.note(notes::REPLY_DROPPED.at(self.inbox.offset)),
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
        let max = self.dialect.limits.text;
        let Some(reader) = &mut self.receiver.reader else {
            return self.rest();
        };
        match reader.push(byte, max) {
            Read::More => self.await_byte(),
            Read::Ended => self.on_frame(),
            Read::TooLong => self.on_damage(notes::TOO_LONG, true),
            Read::Restarted => {
                self.on_damage(notes::RESTARTED, false);
                self.begin_frame();
            }
        }
    }

    pub(super) fn on_inter_byte_timeout(&mut self) {
        self.on_damage(notes::CUT, true);
    }

    /// The text under way did not come whole. Class B has it sent again.
    fn on_damage(&mut self, note: Note, is_answered: bool) {
        let Some((start, text)) = self.receiver.reader.take().map(FrameReader::finish) else {
            return self.rest();
        };
        self.note(note.at(start));
        self.rest();
        match self.dialect.class {
            Class::A if !text.is_empty() => {
                self.note(notes::DAMAGED_KEPT.at(start));
                self.keep(text, false);
            }
            Class::B if is_answered => self.reply(&[NAK]),
            Class::A | Class::B => {}
        }
    }

    /// A whole text is there.
    fn on_frame(&mut self) {
        let Some((start, text)) = self.receiver.reader.take().map(FrameReader::finish) else {
            return self.rest();
        };
        if text.iter().any(|byte| is_control(*byte)) {
            self.note(notes::CONTROL_TOLERATED.at(start));
        }
        match self.dialect.class {
            Class::A => {
                self.rest();
                self.keep(text, true);
            }
            Class::B => self.promise(start, text),
        }
    }

    /// What must be durable before it is acknowledged.
    fn promise(&mut self, start: u64, text: Bytes) {
        if self.is_repeat(&text) {
            self.note(notes::REPEAT.at(start));
            self.reply(&[ACK]);
            return self.rest();
        }
        if self.rejoins(&text) {
            return;
        }
        self.supersede();
        if self.is_store_behind() {
            self.note(notes::STORE_BEHIND.at(start));
            self.reply(&[NAK]);
            return self.rest();
        }
        self.receiver.texts = self.receiver.texts.saturating_add(1);
        self.await_store(text);
    }

    /// A query in the same words wants an answer again.
    fn is_repeat(&self, text: &Bytes) -> bool {
        let within = self.dialect.timers.repeat;
        text.first() != Some(&b'R')
            && self
                .receiver
                .last
                .as_ref()
                .is_some_and(|last| last.text == text && self.now.since(last.at) <= within)
    }

    /// The text is durable.
    pub(super) fn accept(&mut self, text: Bytes) {
        self.reply(&[ACK]);
        let at = self.now;
        self.receiver.last = Some(Known { text, at });
        self.rest();
    }

    pub(super) fn close_receiver(&mut self) {
        if self.phase == Phase::WaitDisk {
            self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
        }
        if self.phase == Phase::InFrame {
            self.on_damage(notes::CUT, false);
        }
        self.supersede();
        let texts = self.receiver.texts;
        self.receiver = Receiver {
            texts,
            ..Receiver::default()
        };
    }
}
