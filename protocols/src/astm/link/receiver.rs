//! The receiver of LIS01-A2 6.2 to 6.4: from ENQ to EOT, and lines that frame nothing.

mod unframed;

use std::time::Duration;

use bytes::BytesMut;

use super::{
    FrameNumberRule, Link, Phase, Taken,
    assembler::{Assembler, Staged, is_delimiter},
    commits::KnownFrame,
    deframe::{Refusal, RefusedFrame},
    dialect::ChecksumRule,
    frame::{ACK, CR, ENQ, EOT, FrameReader, LF, NAK, RawFrame, Read, STX},
    notes,
};
use crate::wire::{Mono, Note, Timer};

/// How soon after a checksum its CR must come, at 300 bit/s and with room to spare. One flipped
/// bit makes ENQ of that CR, and the ACK we would give to ENQ would be read as one for the frame.
const TAIL: Duration = Duration::from_millis(200);

/// What a byte takes at 300 bit/s: start, eight bits, parity, stop.
const SLOWEST_BYTE: Duration = Duration::from_millis(37);

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Counts the sessions of this machine from 1.
    pub(super) session: u64,
    /// Frames accepted in this session.
    pub(super) frames: u32,
    bytes: u64,
    /// `None`: any number may come first.
    expected: Option<u8>,
    /// Begun by a frame without ENQ.
    is_implicit: bool,
    last: Option<KnownFrame>,
    assembler: Option<Assembler>,
    reader: Option<FrameReader>,
    /// When the STX of the frame under way came.
    frame_since: Mono,
    /// Unframed: the record under way, and where the message began.
    line: BytesMut,
    line_start: u64,
    /// Until then the next byte can only be the CR of the last frame.
    tail_until: Mono,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
    is_line_start: bool,
}

/// What a frame's number makes of it (LIS01-A2 6.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbered {
    New,
    Tolerated,
    Repeat,
    WrongRepeat,
    Skips,
}

impl Receiver {
    pub(super) fn on_opened(&mut self) {
        self.is_line_start = true;
        self.is_ignoring = false;
    }

    pub(super) fn on_neutral(&mut self) {
        self.is_line_start = true;
        self.is_ignoring = false;
    }

    /// The frame is durable and will be acknowledged.
    pub(super) fn accept(&mut self, frame: KnownFrame, index: u32, staged: Staged) {
        self.expected = Some((frame.number + 1) % 8);
        self.frames = index.saturating_add(1);
        self.bytes = self.bytes.saturating_add(super::count(frame.text.len()));
        self.last = Some(frame);
        if let Some(assembler) = &mut self.assembler {
            assembler.apply(staged);
        }
    }

    /// Ends the session; its open message goes to the caller.
    pub(super) fn close_session(&mut self) -> Option<Assembler> {
        self.reader = None;
        self.last = None;
        self.assembler.take()
    }

    fn open_session(&mut self, expected: Option<u8>) {
        self.session = self.session.saturating_add(1);
        self.frames = 0;
        self.bytes = 0;
        self.expected = expected;
        self.is_implicit = expected.is_none();
        self.last = None;
        self.reader = None;
        self.is_ignoring = false;
        self.assembler = Some(Assembler::new(self.session));
    }

    fn is_between_messages(&self) -> bool {
        self.assembler
            .as_ref()
            .is_none_or(Assembler::is_between_messages)
    }
}

impl Link {
    /// Whether `byte` may be looked at now; if not, it waits and the port with it.
    pub(super) fn takes(&self, byte: u8) -> bool {
        match self.phase {
            Phase::WaitDisk => byte != STX,
            Phase::Unframed => !self.is_store_behind(),
            Phase::Disconnected
            | Phase::Neutral
            | Phase::LineBid
            | Phase::WaitReply
            | Phase::WaitFrame
            | Phase::InFrame => true,
        }
    }

    pub(super) fn on_neutral_byte(&mut self, byte: u8) {
        let is_line_start = self.receiver.is_line_start;
        self.receiver.is_line_start = byte < b' ';
        match byte {
            ENQ => self.on_enq(),
            STX => self.on_frame_without_enq(),
            ACK | NAK | EOT => self.note(notes::REPLY_UNASKED.at(self.inbox.offset)),
            b'H' | b'h' if self.dialect.accepts_unframed && is_line_start => self.begin_unframed(),
            CR | LF => {}
            _ => self.ignore_byte(),
        }
    }

    /// Between frames (LIS01-A2 6.3: what is neither STX nor EOT is ignored).
    pub(super) fn on_transfer_byte(&mut self, byte: u8) {
        let is_tail = self.now < self.receiver.tail_until;
        self.receiver.tail_until = Mono::default();
        match byte {
            ENQ if is_tail => self.note(notes::ENQ_IGNORED.at(self.receiver.frames.into())),
            STX => self.begin_frame(),
            EOT => self.on_eot(),
            ENQ => self.on_enq_in_transfer(),
            CR | LF => {}
            _ => self.ignore_byte(),
        }
    }

    fn ignore_byte(&mut self) {
        if !self.receiver.is_ignoring {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// LIS01-A2 6.2: ACK when ready, NAK when not.
    fn on_enq(&mut self) {
        self.receiver.is_ignoring = false;
        if self.is_store_behind() {
            self.note(notes::ENQ_BUSY.at(super::count(self.detached.len())));
            self.transmit(&[NAK]);
            return self.become_neutral();
        }
        self.sender.on_peer_session(self.now);
        self.receiver.open_session(Some(1));
        self.transmit(&[ACK]);
        self.await_frame();
    }

    fn on_enq_in_transfer(&mut self) {
        self.drop_reply();
        let frames = u64::from(self.receiver.frames);
        if frames == 0 && self.unresolved.is_none() {
            self.note(notes::ENQ_AGAIN);
            self.transmit(&[ACK]);
        } else if self.dialect.serves_enq_in_transfer {
            self.note(notes::ENQ_RESTART.at(frames));
            self.end_session(notes::INCOMPLETE_AT_ENQ);
            return self.on_enq();
        } else {
            self.note(notes::ENQ_IGNORED.at(frames));
        }
        self.await_frame();
    }

    /// LIS01-A2 6.4: the line is neutral again.
    fn on_eot(&mut self) {
        self.drop_reply();
        if self.receiver.frames == 0 && self.unresolved.is_none() {
            self.note(notes::KEEPALIVE);
        }
        self.end_session(notes::INCOMPLETE_AT_EOT);
        self.sender.hold_until(self.now);
        self.become_neutral();
    }

    fn on_frame_without_enq(&mut self) {
        let at = self.inbox.offset;
        if !self.dialect.accepts_frames_without_enq || self.is_store_behind() {
            self.receiver.is_ignoring = true;
            return self.note(notes::FRAME_WITHOUT_ENQ_IGNORED.at(at));
        }
        self.note(notes::FRAME_WITHOUT_ENQ.at(at));
        self.sender.on_peer_session(self.now);
        self.receiver.open_session(None);
        self.begin_frame();
    }

    fn begin_frame(&mut self) {
        self.receiver.is_ignoring = false;
        self.receiver.reader = Some(FrameReader::new(self.inbox.offset));
        self.receiver.frame_since = self.now;
        self.await_byte();
    }

    /// A frame has to go on, and it has to end: the ENQ and EOT of a peer that gave it up, and asks
    /// again and again, would prolong it for ever.
    fn await_byte(&mut self) {
        let timers = &self.dialect.timers;
        let after = timers.inter_byte.min(timers.receive);
        let start = self.receiver.reader.as_ref().map(FrameReader::start);
        let bytes = start.map_or(0, |start| self.inbox.offset.saturating_sub(start));
        let longest = SLOWEST_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        let end = self.receiver.frame_since.after(timers.receive + longest);
        let after = after.min(end.since(self.now));
        self.enter(Phase::InFrame, Timer::InterByte, after);
    }

    pub(super) fn await_frame(&mut self) {
        self.enter(
            Phase::WaitFrame,
            Timer::Receive,
            self.dialect.timers.receive,
        );
    }

    pub(super) fn on_frame_byte(&mut self, byte: u8) -> Taken {
        let (at, max) = (self.inbox.offset, self.dialect.limits.frame_text);
        let rule = self.dialect.checksum;
        let Some(reader) = &mut self.receiver.reader else {
            self.await_frame();
            return Taken::Again;
        };
        let read = reader.push(at, byte, max, rule);
        self.await_byte();
        match read {
            Read::More => {}
            Read::Restarted => {
                self.receiver.frame_since = self.now;
                self.note(notes::FRAME_RESTARTED.at(at));
            }
            Read::TooLong => self.refuse_unended(notes::FRAME_TOO_LONG, Refusal::TooLong),
            Read::Ended => {
                self.receiver.tail_until = self.now.after(TAIL);
                self.on_frame();
            }
            Read::EndedBefore => self.on_frame(),
        }
        if read == Read::EndedBefore {
            Taken::Again
        } else {
            Taken::Yes
        }
    }

    pub(super) fn on_inter_byte_timeout(&mut self) {
        let Some(reader) = &self.receiver.reader else {
            return self.await_frame();
        };
        let control = reader.control();
        if self.dialect.checksum == ChecksumRule::Off && reader.waits_for_checksum() {
            return self.on_frame();
        }
        match control {
            Some(EOT) => {
                self.cut_frame();
                self.on_eot();
            }
            Some(_) => {
                self.cut_frame();
                self.on_enq_in_transfer();
            }
            None => self.refuse_unended(notes::FRAME_CUT, Refusal::Cut),
        }
    }

    fn cut_frame(&mut self) {
        if let Some(raw) = self.receiver.reader.take().map(FrameReader::finish) {
            self.note(notes::FRAME_CUT.at(raw.start));
            self.keep_refused(&raw, Refusal::Cut);
        }
    }

    fn refuse_unended(&mut self, note: Note, refusal: Refusal) {
        if let Some(raw) = self.receiver.reader.take().map(FrameReader::finish) {
            self.refuse(&raw, note, refusal);
        }
    }

    /// LIS01-A2 6.3.4: NAK, and the same frame is expected again.
    fn refuse(&mut self, raw: &RawFrame, note: Note, refusal: Refusal) {
        self.note(note.at(raw.start));
        self.keep_refused(raw, refusal);
        self.transmit(&[NAK]);
        self.await_frame();
    }

    fn keep_refused(&mut self, raw: &RawFrame, reason: Refusal) {
        if let Some(refused) = &mut self.refused {
            let RawFrame {
                start: offset,
                number,
                text,
                ..
            } = raw;
            let (number, text) = (*number, text.clone());
            refused.push(RefusedFrame {
                offset: *offset,
                number,
                text,
                reason,
            });
        }
    }

    /// A whole frame is there: Bad, Good-repeat or Good-new.
    fn on_frame(&mut self) {
        let Some(raw) = self.receiver.reader.take().map(FrameReader::finish) else {
            return;
        };
        if raw.control.is_some() {
            return self.refuse(&raw, notes::CONTROL_REFUSED, Refusal::Control);
        }
        if !raw.checksum_fits() {
            let refusal = Refusal::Checksum {
                expected: raw.computed,
                actual: raw.declared,
            };
            match self.dialect.checksum {
                ChecksumRule::Strict => {
                    return self.refuse(&raw, notes::CHECKSUM_REFUSED, refusal);
                }
                ChecksumRule::Warn => self.note(notes::CHECKSUM_TOLERATED.at(raw.start)),
                ChecksumRule::Off => {}
            }
        }
        let Some(number) = raw.number.filter(|byte| (b'0'..=b'7').contains(byte)) else {
            let expected = self.receiver.expected;
            return self.refuse(&raw, notes::NUMBER_REFUSED, Refusal::Number { expected });
        };
        let frame = KnownFrame::new(number - b'0', &raw);
        self.on_good_frame(&raw, frame);
    }

    fn on_good_frame(&mut self, raw: &RawFrame, frame: KnownFrame) {
        match self.numbered(&frame) {
            Numbered::New => self.on_new_frame(raw, frame),
            Numbered::Tolerated => {
                self.note(notes::NUMBER_TOLERATED.at(raw.start));
                self.on_new_frame(raw, frame);
            }
            Numbered::Repeat => {
                self.note(notes::REPEAT.at(raw.start));
                self.transmit(&[ACK]);
                self.await_frame();
            }
            Numbered::WrongRepeat => {
                self.refuse(raw, notes::WRONG_REPEAT, Refusal::WrongRepeat);
            }
            Numbered::Skips => {
                let expected = self.receiver.expected;
                self.refuse(raw, notes::NUMBER_REFUSED, Refusal::Number { expected });
            }
        }
    }

    fn numbered(&self, frame: &KnownFrame) -> Numbered {
        let receiver = &self.receiver;
        let is_lenient = self.dialect.frame_numbers == FrameNumberRule::Lenient;
        if receiver.last.as_ref() == Some(frame) {
            return Numbered::Repeat;
        }
        if receiver
            .expected
            .is_none_or(|expected| expected == frame.number)
        {
            return Numbered::New;
        }
        // Without ENQ nobody says where numbers begin again: between messages they may.
        let may_begin = receiver.is_implicit && receiver.is_between_messages();
        // A capture cannot be asked to repeat: after a gap the next message begins anew.
        let resumes = self.refused.is_some() && begins_message(&frame.text);
        let restarts = is_lenient && frame.number <= 1;
        if may_begin || resumes || restarts {
            return Numbered::Tolerated;
        }
        match &receiver.last {
            Some(last) if last.number == frame.number && is_lenient => Numbered::Tolerated,
            Some(last) if last.number == frame.number => Numbered::WrongRepeat,
            _ => Numbered::Skips,
        }
    }

    fn on_new_frame(&mut self, raw: &RawFrame, frame: KnownFrame) {
        if let Some(unresolved) = self.unresolved.take() {
            if unresolved.frame == frame {
                return self.rejoin(unresolved);
            }
            if unresolved.is_waiting() {
                self.unresolved = Some(unresolved);
                return self.refuse(raw, notes::COMMIT_CONFLICT, Refusal::Unresolved);
            }
            if unresolved.is_partly_durable() {
                // The journal row of that index holds other bytes: this frame gets the next.
                self.note(notes::COMMIT_CONFLICT.at(self.receiver.frames.into()));
                self.receiver.frames = self.receiver.frames.saturating_add(1);
            }
        }
        match self.stage(&frame) {
            Ok(staged) => {
                if raw.has_restricted {
                    self.note(notes::CONTROL_TOLERATED.at(raw.start));
                }
                self.promise(frame, staged);
            }
            Err(note) => self.refuse(raw, note, Refusal::Limit),
        }
    }

    fn stage(&self, frame: &KnownFrame) -> Result<Staged, Note> {
        let bytes = self
            .receiver
            .bytes
            .saturating_add(super::count(frame.text.len()));
        let assembler = self
            .receiver
            .assembler
            .as_ref()
            .ok_or(notes::FRAME_WITHOUT_ENQ_IGNORED)?;
        if bytes > self.dialect.limits.session {
            return Err(notes::SESSION_TOO_LONG);
        }
        assembler.stage(&frame.text, frame.is_last, &self.dialect.limits)
    }

    /// LIS01-A2 6.5.2: thirty seconds without a frame; the line is neutral, nothing is sent.
    pub(super) fn on_receive_timeout(&mut self) {
        if self.phase == Phase::Unframed {
            if self.inbox.len() == 0 {
                self.finish_unframed(notes::INCOMPLETE_AT_TIMEOUT);
            } else {
                self.await_line();
            }
            return;
        }
        self.note(notes::RECEIVE_TIMEOUT.at(self.receiver.frames.into()));
        self.end_session(notes::INCOMPLETE_AT_TIMEOUT);
        self.sender.hold_until(self.now);
        self.become_neutral();
    }

    /// The line is gone: what is open ends here.
    pub(super) fn close_receiver(&mut self) {
        self.cut_frame();
        self.drop_reply();
        while matches!(self.phase, Phase::Unframed)
            && let Some(byte) = self.inbox.peek()
        {
            if self.on_unframed_byte(byte) == Taken::Yes {
                self.inbox.advance();
            }
        }
        if self.phase == Phase::Unframed {
            return self.finish_unframed(notes::INCOMPLETE_AT_CLOSE);
        }
        self.end_session(notes::INCOMPLETE_AT_CLOSE);
    }
}

/// Whether `text` begins with an H record.
pub(super) fn begins_message(text: &[u8]) -> bool {
    matches!(text, [b'H' | b'h', delimiter, ..] if is_delimiter(*delimiter))
}
