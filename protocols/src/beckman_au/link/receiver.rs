//! The receiver: blocks in, judged, and what is owed for them.

use bytes::Bytes;

use super::{
    super::{
        code::{Code, Kind},
        dialect::{ACK, Bcc, CR, Class, DETACHED_MAX, ENQ, EOT, LF, NAK, Role},
        notes,
    },
    Link, Phase, Turn,
    assembler::Assembler,
    block::{BlockReader, RawBlock, Read},
};
use crate::wire::{Mono, Note, Received};

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) assembler: Assembler,
    reader: Option<BlockReader>,
    /// The block acknowledged last.
    last: Option<Known>,
    /// The request that an order may answer.
    pub(super) inquiry: Option<Inquiry>,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
}

#[derive(Debug)]
struct Known {
    block: Bytes,
    at: Mono,
}

/// A request for the order of one sample.
#[derive(Debug)]
pub(super) struct Inquiry {
    /// The block that asked.
    pub(super) block: Bytes,
    /// Until when an order may begin; `None` while our reply to the request is owed.
    pub(super) until: Option<Mono>,
}

impl Receiver {
    pub(super) fn has_open_text(&self) -> bool {
        self.assembler.is_open()
    }
}

impl Link {
    /// Class A cannot refuse, so it stops reading when the store is behind.
    pub(super) fn must_stop_reading(&self) -> bool {
        self.dialect.class == Class::A && self.is_store_behind()
    }

    pub(super) fn is_store_behind(&self) -> bool {
        self.detached.len() >= DETACHED_MAX
    }

    /// A byte that neither begins a block nor answers one of ours.
    pub(super) fn on_other_byte(&mut self, byte: u8) {
        let is_idle = self.phase == Phase::Idle;
        match byte {
            // An ACK for ENQ could be read as one for a block, so it waits for nothing and nobody.
            ENQ if self.dialect.answers_enq && is_idle => {
                self.receiver.is_ignoring = false;
                self.transmit(Bytes::from_static(&[ACK]));
            }
            EOT if self.dialect.answers_enq => {}
            ENQ | EOT => self.note(notes::ENQ_IGNORED.at(self.inbox.offset)),
            ACK | NAK => self.note(notes::REPLY_UNASKED.at(self.inbox.offset)),
            _ => self.ignore_byte(byte),
        }
    }

    /// Line ends after a block are a habit of converters and not worth a note.
    pub(super) fn ignore_byte(&mut self, byte: u8) {
        if !self.receiver.is_ignoring && !matches!(byte, CR | LF) {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// A start code. What we owed or sent is answered by it for good.
    pub(super) fn begin_block(&mut self) {
        self.drop_reply();
        self.break_off();
        self.receiver.is_ignoring = false;
        let reader = BlockReader::new(self.inbox.offset, &self.dialect);
        self.receiver.reader = Some(reader);
        self.await_byte();
    }

    /// The peer did not wait for our reply: it is never given.
    fn drop_reply(&mut self) {
        if matches!(
            self.phase,
            Phase::WaitDisk | Phase::WaitTurn(Turn::Reply(_))
        ) {
            self.note(notes::REPLY_DROPPED.at(self.inbox.offset));
            self.start_answer_time();
        }
    }

    fn await_byte(&mut self) {
        let after = self.dialect.timers.inter_byte;
        self.enter(Phase::InBlock, crate::wire::Timer::InterByte, after);
    }

    pub(super) fn on_block_byte(&mut self, byte: u8) {
        let Some(reader) = &mut self.receiver.reader else {
            return self.rest();
        };
        match reader.push(byte, &self.dialect) {
            Read::More => self.await_byte(),
            Read::Ended => self.on_block(),
            Read::TooLong => self.refuse_unended(notes::BLOCK_TOO_LONG),
            Read::Restarted => {
                self.note(notes::BLOCK_RESTARTED.at(self.inbox.offset));
                self.cut_block();
                self.begin_block();
            }
        }
    }

    pub(super) fn on_inter_byte_timeout(&mut self) {
        self.refuse_unended(notes::BLOCK_CUT);
    }

    /// A block of which no more comes, and nobody waits for a reply to it.
    fn cut_block(&mut self) {
        let Some(raw) = self.take_raw() else { return };
        match self.dialect.class {
            Class::A => self.keep_damaged(raw),
            Class::B => self.receiver.assembler.on_refused(&raw.text, &self.dialect),
        }
    }

    fn take_raw(&mut self) -> Option<RawBlock> {
        self.receiver.reader.take().map(BlockReader::finish)
    }

    fn refuse_unended(&mut self, note: Note) {
        if let Some(raw) = self.take_raw() {
            self.be_quiet();
            self.refuse(raw, note);
        }
    }

    /// A whole block is there.
    fn on_block(&mut self) {
        let Some(raw) = self.take_raw() else {
            return self.rest();
        };
        self.be_quiet();
        match judge(&raw, self.dialect.bcc) {
            Err(note) => self.refuse(raw, note),
            Ok(tolerated) => {
                if let Some(note) = tolerated {
                    self.note(note.at(raw.start));
                }
                self.take_block(raw);
            }
        }
    }

    fn take_block(&mut self, raw: RawBlock) {
        match self.dialect.class {
            Class::A => self.keep(&raw.text, false),
            Class::B => self.promise(raw),
        }
    }

    /// Class B: NAK, and the peer sends it again. Class A: it is kept as it is.
    fn refuse(&mut self, raw: RawBlock, note: Note) {
        self.note(note.at(raw.start));
        match self.dialect.class {
            Class::A => self.keep_damaged(raw),
            Class::B => {
                self.receiver.assembler.on_refused(&raw.text, &self.dialect);
                self.say_in_turn(Turn::Reply(NAK));
            }
        }
    }

    fn keep_damaged(&mut self, raw: RawBlock) {
        if raw.text.is_empty() {
            return self.rest();
        }
        self.note(notes::DAMAGED_KEPT.at(raw.start));
        self.keep(&raw.text, true);
    }

    /// Class A: the text is made durable, and nobody waits for that.
    fn keep(&mut self, block: &Bytes, is_damaged: bool) {
        if self.length_with(block) > self.dialect.limits.text {
            self.end_text(notes::TEXT_TOO_LONG);
        }
        let added = self
            .receiver
            .assembler
            .add(block, is_damaged, &self.dialect);
        self.note_added(added.note, added.left_over);
        if let Some(message) = added.message {
            if message.is_complete {
                self.on_text(block);
                self.start_answer_time();
            }
            self.detach(message);
        }
        self.rest();
    }

    /// Class B: the block is made durable, and acknowledged then.
    fn promise(&mut self, raw: RawBlock) {
        let block = &raw.text;
        if self.is_repeat(block) {
            self.note(notes::REPEAT.at(raw.start));
            return self.say_in_turn(Turn::Reply(ACK));
        }
        if self.rejoins(block) {
            return;
        }
        self.supersede();
        if self.is_store_behind() {
            return self.refuse(raw, notes::STORE_BEHIND);
        }
        if self.length_with(block) > self.dialect.limits.text {
            return self.refuse(raw, notes::TEXT_TOO_LONG);
        }
        let added = self.receiver.assembler.add(block, false, &self.dialect);
        self.note_added(added.note, added.left_over);
        if added.message.as_ref().is_some_and(|text| text.is_complete) {
            self.on_text(block);
        }
        self.await_store(block, added.session, added.index, added.message);
    }

    fn length_with(&self, block: &[u8]) -> usize {
        self.receiver.assembler.length_with(block, &self.dialect)
    }

    fn note_added(&mut self, note: Option<Note>, left_over: Option<Received>) {
        if let Some(received) = left_over {
            let at = super::count(received.bytes.len());
            self.note(notes::TEXT_BROKEN_OFF.at(at));
            self.detach(received);
        }
        if let Some(note) = note {
            self.note(note);
        }
    }

    /// A request can be asked twice in the same words, and both want an answer.
    fn is_repeat(&self, block: &[u8]) -> bool {
        let is_request = kind(block) == Some(Kind::Request);
        let within = self.dialect.timers.repeat;
        !is_request
            && self
                .receiver
                .last
                .as_ref()
                .is_some_and(|last| last.block == block && self.now.since(last.at) <= within)
    }

    /// The block is durable: ACK in turn.
    pub(super) fn accept(&mut self, block: Bytes) {
        let at = self.now;
        self.receiver.last = Some(Known { block, at });
        self.say_in_turn(Turn::Reply(ACK));
    }

    /// A text has ended: a request opens the time for an order, and ends that of the one before.
    fn on_text(&mut self, block: &Bytes) {
        if self.dialect.role == Role::Instrument {
            return;
        }
        match kind(block) {
            Some(Kind::Request) => {
                self.close_inquiry();
                let block = block.clone();
                self.receiver.inquiry = Some(Inquiry { block, until: None });
            }
            Some(Kind::RequestStart | Kind::RequestEnd) => self.close_inquiry(),
            _ => {}
        }
    }

    pub(super) fn reply(&mut self, reply: u8) {
        self.transmit(Bytes::copy_from_slice(&[reply]));
        self.be_quiet();
        self.start_answer_time();
        self.rest();
    }

    /// The analyzer counts from our reply; in class A from its own text.
    fn start_answer_time(&mut self) {
        let until = self.now.after(self.dialect.timers.answer);
        if let Some(inquiry) = &mut self.receiver.inquiry {
            inquiry.until = inquiry.until.or(Some(until));
        }
    }

    /// The request came again before our reply, and the analyzer's clock with it.
    pub(super) fn stop_answer_time(&mut self, block: &[u8]) {
        if let Some(inquiry) = &mut self.receiver.inquiry
            && inquiry.block == block
        {
            inquiry.until = None;
        }
    }

    /// What the open text lacks will not come.
    pub(super) fn end_text(&mut self, why: Note) {
        if let Some(received) = self.receiver.assembler.finish() {
            self.note(why.at(super::count(received.bytes.len())));
            self.detach(received);
        }
        if self.phase == Phase::Idle {
            self.rest();
        }
    }

    pub(super) fn close_receiver(&mut self) {
        self.drop_reply();
        if self.phase == Phase::InBlock {
            self.cut_block();
        }
        self.end_text(notes::TEXT_LINE_LOST);
        self.supersede();
        self.receiver = Receiver {
            assembler: std::mem::take(&mut self.receiver.assembler),
            ..Receiver::default()
        };
    }
}

/// The note of a block that is taken, or why it is not.
fn judge(raw: &RawBlock, rule: Bcc) -> Result<Option<Note>, Note> {
    match rule {
        Bcc::Off if raw.has_control => Err(notes::CONTROL_REFUSED),
        Bcc::Off => Ok(None),
        Bcc::Strict | Bcc::Warn if raw.bcc_fits() => {
            Ok(raw.has_control.then_some(notes::CONTROL_TOLERATED))
        }
        Bcc::Strict => Err(notes::BCC_REFUSED),
        Bcc::Warn if raw.has_control => Err(notes::CONTROL_REFUSED),
        Bcc::Warn => Ok(Some(notes::BCC_TOLERATED)),
    }
}

pub(super) fn kind(block: &[u8]) -> Option<Kind> {
    Code::of(block).and_then(Code::kind)
}
