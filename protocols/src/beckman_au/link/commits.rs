//! What the store has not answered yet, and what happens when it does.

use bytes::Bytes;

use super::{
    super::{
        dialect::{Durability, NAK},
        notes,
    },
    Link, Phase, Turn,
};
use crate::wire::{Commit, CommitId, Mono, Received, Timer};

/// A block of class B whose commit is open, or failed and not sent again yet. A reply to it is
/// owed in [`Phase::WaitDisk`] alone.
#[derive(Debug)]
pub(super) struct Unresolved {
    block: Bytes,
    index: u32,
    commit: Commit,
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
}

/// Something to make durable that no reply depends on; asked for again when the store fails.
#[derive(Debug)]
pub(super) struct Detached {
    id: CommitId,
    commit: Commit,
    /// When to ask again; `None` while the store has not answered.
    retry_at: Option<Mono>,
}

impl Link {
    /// Asks for what a new block needs; accepts it at once if it needs nothing.
    pub(super) fn await_store(
        &mut self,
        block: &Bytes,
        session: u64,
        index: u32,
        message: Option<Received>,
    ) {
        let commit = match (self.dialect.durability, message) {
            (Durability::Frame, message) => Commit::Frame {
                session,
                index,
                text: block.clone(),
                messages: message.into_iter().collect(),
            },
            (Durability::Message, Some(message)) => Commit::Message(message),
            (Durability::Message, None) => return self.accept(block.clone()),
        };
        let id = self.commit(commit.clone());
        self.unresolved = Some(Unresolved {
            block: block.clone(),
            index,
            commit,
            id,
            fate: Fate::Waiting,
        });
        self.enter_wait_disk();
    }

    fn enter_wait_disk(&mut self) {
        self.enter(Phase::WaitDisk, Timer::Commit, self.dialect.timers.commit);
    }

    /// The block we did not acknowledge came again: it joins its own commit.
    pub(super) fn rejoins(&mut self, block: &Bytes) -> bool {
        let Some(mut known) = self.unresolved.take_if(|known| known.block == *block) else {
            return false;
        };
        self.note(notes::COMMIT_REUSED.at(known.index.into()));
        self.stop_answer_time(block);
        match known.fate {
            Fate::Durable => {
                self.accept(known.block);
                return true;
            }
            Fate::Failed => {
                known.id = self.commit(known.commit.clone());
                known.fate = Fate::Waiting;
            }
            Fate::Waiting => {}
        }
        self.unresolved = Some(known);
        self.enter_wait_disk();
        true
    }

    /// The peer has gone on without our acknowledgement. A block in the middle of a text is in the
    /// text; a whole text must be kept although nobody asks for it any more: the peer may not
    /// send it again.
    pub(super) fn supersede(&mut self) {
        let Some(known) = self.unresolved.take() else {
            return;
        };
        let has_text = match &known.commit {
            Commit::Frame { messages, .. } => !messages.is_empty(),
            Commit::Message(_) => true,
        };
        let retry_at = match known.fate {
            Fate::Waiting => None,
            Fate::Failed => Some(self.now.after(self.dialect.timers.retry)),
            Fate::Durable => return,
        };
        if has_text {
            let Unresolved { id, commit, .. } = known;
            self.detached.push(Detached {
                id,
                commit,
                retry_at,
            });
        }
    }

    pub(super) fn detach(&mut self, received: Received) {
        let commit = Commit::Message(received);
        let id = self.commit(commit.clone());
        self.detached.push(Detached {
            id,
            commit,
            retry_at: None,
        });
    }

    pub(super) fn on_committed(&mut self, id: CommitId) {
        match self.unresolved.take_if(|known| known.id == id) {
            Some(known) if self.phase == Phase::WaitDisk => self.accept(known.block),
            Some(known) => {
                let fate = Fate::Durable;
                self.unresolved = Some(Unresolved { fate, ..known });
            }
            None => self.detached.retain(|detached| detached.id != id),
        }
    }

    pub(super) fn on_commit_failed(&mut self, id: CommitId) {
        if let Some(known) = &mut self.unresolved
            && known.id == id
        {
            known.fate = Fate::Failed;
            let index = known.index;
            if self.phase == Phase::WaitDisk {
                self.note(notes::COMMIT_FAILED.at(index.into()));
                self.say_in_turn(Turn::Reply(NAK));
            }
            return;
        }
        self.postpone(id);
    }

    fn postpone(&mut self, id: CommitId) {
        let at = self.now.after(self.dialect.timers.retry);
        let mut failed = None;
        for detached in &mut self.detached {
            if detached.id == id && detached.retry_at.is_none() {
                detached.retry_at = Some(at);
                failed = Some(super::count(bytes_of(&detached.commit)));
            }
        }
        if let Some(bytes) = failed {
            self.note(notes::DETACHED_FAILED.at(bytes));
        }
    }

    pub(super) fn on_commit_timeout(&mut self) {
        if let Some(known) = &self.unresolved {
            self.note(notes::COMMIT_LATE.at(known.index.into()));
            self.say_in_turn(Turn::Reply(NAK));
        }
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
                detached.id = self.commit(detached.commit.clone());
                detached.retry_at = None;
            }
        }
        self.detached = all;
    }
}

fn bytes_of(commit: &Commit) -> usize {
    match commit {
        Commit::Frame { messages, .. } => messages.iter().map(|m| m.bytes.len()).sum(),
        Commit::Message(received) => received.bytes.len(),
    }
}
