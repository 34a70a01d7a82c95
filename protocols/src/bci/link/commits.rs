//! What the store has not answered yet, and what happens when it does.

use bytes::Bytes;

use super::{
    super::{dialect::NAK, notes},
    Link, Phase,
};
use crate::wire::{Commit, CommitId, Mono, Received, Timer};

/// A message whose commit is open, or failed and not sent again yet. A reply to it is owed in
/// [`Phase::WaitDisk`] alone.
#[derive(Debug)]
pub(super) struct Unresolved {
    message: Bytes,
    number: u64,
    id: CommitId,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Durable,
    Failed,
}

impl Unresolved {
    /// Whether the store may still answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.fate == Fate::Waiting
    }

    /// One message is one frame, so that the same message again is the same row.
    fn commit(&self) -> Commit {
        Commit::Frame {
            session: self.number,
            index: 0,
            text: self.message.clone(),
            messages: vec![Received {
                session: self.number,
                bytes: self.message.clone(),
                is_complete: true,
            }],
        }
    }
}

/// Something to make durable that no reply depends on; asked for again when the store fails.
#[derive(Debug)]
pub(super) struct Detached {
    message: Unresolved,
    /// When to ask again; `None` while the store has not answered.
    retry_at: Option<Mono>,
}

impl Link {
    pub(super) fn await_store(&mut self, message: Bytes) {
        let mut unresolved = Unresolved {
            message,
            number: self.receiver.messages,
            id: CommitId(0),
            fate: Fate::Waiting,
        };
        unresolved.id = self.commit(unresolved.commit());
        self.unresolved = Some(unresolved);
        self.enter_wait_disk();
    }

    fn enter_wait_disk(&mut self) {
        self.enter(Phase::WaitDisk, Timer::Commit, self.dialect.timers.commit);
    }

    /// The message we did not acknowledge came again: it joins its own commit.
    pub(super) fn rejoins(&mut self, message: &Bytes) -> bool {
        let Some(mut known) = self.unresolved.take_if(|known| known.message == *message) else {
            return false;
        };
        self.note(notes::COMMIT_REUSED.at(known.number));
        match known.fate {
            Fate::Durable => {
                self.accept(known.message);
                return true;
            }
            Fate::Failed => {
                known.id = self.commit(known.commit());
                known.fate = Fate::Waiting;
            }
            Fate::Waiting => {}
        }
        self.unresolved = Some(known);
        self.enter_wait_disk();
        true
    }

    /// The peer has gone on without our acknowledgement, and may not send the message again.
    pub(super) fn supersede(&mut self) {
        let Some(known) = self.unresolved.take() else {
            return;
        };
        let retry_at = match known.fate {
            Fate::Waiting => None,
            Fate::Failed => Some(self.now.after(self.dialect.timers.retry)),
            Fate::Durable => return,
        };
        let message = known;
        self.detached.push(Detached { message, retry_at });
    }

    pub(super) fn on_committed(&mut self, id: CommitId) {
        match self.unresolved.take_if(|known| known.id == id) {
            Some(known) if self.phase == Phase::WaitDisk => self.accept(known.message),
            Some(known) => {
                let fate = Fate::Durable;
                self.unresolved = Some(Unresolved { fate, ..known });
            }
            None => self.detached.retain(|detached| detached.message.id != id),
        }
    }

    pub(super) fn on_commit_failed(&mut self, id: CommitId) {
        if let Some(known) = &mut self.unresolved
            && known.id == id
        {
            known.fate = Fate::Failed;
            let number = known.number;
            if self.phase == Phase::WaitDisk {
                self.note(notes::COMMIT_FAILED.at(number));
                self.refuse_for_store();
            }
            return;
        }
        self.postpone(id);
    }

    fn postpone(&mut self, id: CommitId) {
        let at = self.now.after(self.dialect.timers.retry);
        let mut failed = None;
        for detached in &mut self.detached {
            if detached.message.id == id && detached.retry_at.is_none() {
                detached.retry_at = Some(at);
                failed = Some(super::count(detached.message.message.len()));
            }
        }
        if let Some(bytes) = failed {
            self.note(notes::DETACHED_FAILED.at(bytes));
        }
    }

    pub(super) fn on_commit_timeout(&mut self) {
        if let Some(known) = &self.unresolved {
            self.note(notes::COMMIT_LATE.at(known.number));
            self.refuse_for_store();
        }
    }

    fn refuse_for_store(&mut self) {
        self.reply(&[NAK]);
        self.listen();
    }

    pub(super) fn next_retry(&self) -> Option<Mono> {
        self.detached
            .iter()
            .filter_map(|detached| detached.retry_at)
            .min()
    }

    pub(super) fn retry_detached(&mut self) {
        let mut all = std::mem::take(&mut self.detached);
        for detached in &mut all {
            if detached.retry_at.is_some_and(|at| at <= self.now) {
                detached.message.id = self.commit(detached.message.commit());
                detached.retry_at = None;
            }
        }
        self.detached = all;
    }
}
