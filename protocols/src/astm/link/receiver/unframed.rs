//! Records without frames: nothing is acknowledged, and nothing can be refused.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    super::{
        Link, Phase, Taken,
        assembler::Assembler,
        frame::{CR, ENQ, EOT, LF, STX},
        notes,
    },
    begins_message,
};
use crate::wire::{Note, Output, Received, Timer};

impl Link {
    pub(super) fn begin_unframed(&mut self) {
        self.receiver.line_start = self.inbox.offset;
        self.receiver.line.clear();
        self.receiver.open_session(None);
        // The byte itself is looked at as the first of its record.
        let byte = self.inbox.peek().unwrap_or(b'H');
        self.receiver.line.put_u8(byte);
        self.await_line();
    }

    pub(super) fn await_line(&mut self) {
        self.enter(
            Phase::Unframed,
            Timer::Receive,
            self.dialect.timers.unframed_idle,
        );
    }

    pub(in super::super) fn on_unframed_byte(&mut self, byte: u8) -> Taken {
        self.await_line();
        match byte {
            ENQ | STX | EOT => {
                self.finish_unframed(notes::INCOMPLETE_AT_ENQ);
                return Taken::Again;
            }
            CR | LF => self.end_line(CR),
            _ => {
                self.receiver.line.put_u8(byte);
                if self.receiver.line.len() >= self.dialect.limits.record {
                    self.spill();
                }
            }
        }
        Taken::Yes
    }

    fn end_line(&mut self, end: u8) {
        if self.receiver.line.is_empty() {
            return;
        }
        if self.receiver.is_between_messages() && !begins_message(&self.receiver.line) {
            return self.abandon_line();
        }
        self.receiver.line.put_u8(end);
        let line = self.receiver.line.split().freeze();
        self.take_line(&line);
        if self.receiver.is_between_messages() {
            self.end_session(notes::INCOMPLETE_AT_CLOSE);
            self.become_neutral();
        }
    }

    /// It began with H, and was no header: nothing of a message.
    fn abandon_line(&mut self) {
        self.receiver.line.clear();
        self.end_session(notes::INCOMPLETE_AT_CLOSE);
        self.become_neutral();
        self.note(notes::BYTES_IGNORED.at(self.receiver.line_start));
    }

    fn take_line(&mut self, line: &Bytes) {
        if self.receiver.is_between_messages() {
            self.note(notes::UNFRAMED.at(self.receiver.line_start));
        }
        let Some(assembler) = &mut self.receiver.assembler else {
            return;
        };
        match assembler.stage(line, true, &self.dialect.limits) {
            Ok(mut staged) => {
                let messages = std::mem::take(&mut staged.messages);
                self.outputs
                    .extend(staged.notes.iter().copied().map(Output::Note));
                assembler.apply(staged);
                messages
                    .into_iter()
                    .for_each(|received| self.detach(received));
            }
            Err(note) => {
                self.note(note.at(self.receiver.line_start));
                self.receiver.line = BytesMut::from(line.as_ref());
                self.spill();
            }
        }
    }

    /// Past a limit what there is comes out as incomplete; what follows it up to the next H record
    /// is ignored, as there is nobody to refuse it to.
    fn spill(&mut self) {
        let session = self.receiver.session;
        let line = self.receiver.line.split().freeze();
        let partial = self.receiver.assembler.as_mut().and_then(Assembler::finish);
        for received in partial.into_iter().chain(unended(session, line)) {
            self.note(notes::MESSAGE_TOO_LONG.at(self.receiver.line_start));
            self.detach(received);
        }
        self.receiver.open_session(None);
    }

    pub(super) fn finish_unframed(&mut self, why: Note) {
        let is_header = begins_message(&self.receiver.line);
        if self.receiver.is_between_messages() && !is_header {
            return self.abandon_line();
        }
        let line = self.receiver.line.split().freeze();
        if !line.is_empty() {
            self.take_line(&line);
        }
        self.end_session(why);
        self.become_neutral();
    }
}

fn unended(session: u64, bytes: Bytes) -> Option<Received> {
    let is_empty = bytes.is_empty();
    (!is_empty).then_some(Received {
        session,
        bytes,
        is_complete: false,
    })
}
