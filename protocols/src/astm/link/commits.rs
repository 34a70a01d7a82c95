//! What the store has not answered yet, and what happens when it does.

use bytes::Bytes;

use super::{
    Link, Phase,
    assembler::{Assembler, Staged},
    count,
    dialect::{DETACHED_MAX, Durability},
    frame::{ACK, NAK, RawFrame},
    notes,
};
use crate::wire::{Commit, CommitId, Mono, Note, Received, Timer};

/// A frame whose commit is open, or failed and not sent again yet. A reply to it is owed in
/// [`Phase::WaitDisk`] alone.
#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) frame: KnownFrame,
    index: u32,
    staged: Staged,
    parts: Vec<Part>,
}

/// Enough of a frame to recognise it when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownFrame {
    pub(super) number: u8,
    pub(super) text: Bytes,
    pub(super) is_last: bool,
}

impl KnownFrame {
    pub(super) fn new(number: u8, raw: &RawFrame) -> Self {
        Self {
            number,
            text: raw.text.clone(),
            is_last: raw.is_last,
        }
    }
}

/// One thing that must be durable before the frame is.
#[derive(Debug)]
struct Part {
    id: CommitId,
    commit: Commit,
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
        self.parts.iter().any(|part| part.fate == Fate::Waiting)
    }

    fn is_durable(&self) -> bool {
        self.parts.iter().all(|part| part.fate == Fate::Durable)
    }

    /// Whether the store holds anything of it.
    pub(super) fn is_partly_durable(&self) -> bool {
        self.parts.iter().any(|part| part.fate == Fate::Durable)
    }

    fn settle(&mut self, id: CommitId, fate: Fate) -> bool {
        let part = self.parts.iter_mut().find(|part| part.id == id);
        part.map(|part| part.fate = fate).is_some()
    }

    /// Whether the message that was open before this frame is durable with it.
    fn has_ended_open_message(&self) -> bool {
        let is_first_durable = self
            .parts
            .first()
            .is_some_and(|part| part.fate == Fate::Durable);
        is_first_durable && self.staged.ends_open_message()
    }
}

/// Something to make durable that no reply depends on.
#[derive(Debug)]
pub(super) enum Detached {
    /// A message, asked for again when the store fails.
    Message {
        id: CommitId,
        received: Received,
        retry_at: Option<Mono>,
    },
    /// A session that ended while the commit of its last frame was open: only when that is
    /// answered is it known what is left over.
    Closing {
        unresolved: Unresolved,
        assembler: Assembler,
        why: Note,
    },
}

impl Link {
    /// Whether a new session would make more promises than the store keeps up with.
    pub(super) fn is_store_behind(&self) -> bool {
        self.detached.len() >= DETACHED_MAX
    }

    /// Asks for what the new frame needs; acknowledges it at once if it needs nothing.
    pub(super) fn promise(&mut self, frame: KnownFrame, staged: Staged) {
        let index = self.receiver.frames;
        let commits = self.commits_for(&frame, &staged);
        let parts = commits.into_iter().map(|commit| Part {
            id: self.commit(commit.clone()),
            commit,
            fate: Fate::Waiting,
        });
        let parts: Vec<_> = parts.collect();
        let unresolved = Unresolved {
            frame,
            index,
            staged,
            parts,
        };
        if unresolved.is_durable() {
            return self.acknowledge(unresolved);
        }
        self.unresolved = Some(unresolved);
        self.enter(Phase::WaitDisk, Timer::Commit, self.dialect.timers.commit);
    }

    fn commits_for(&self, frame: &KnownFrame, staged: &Staged) -> Vec<Commit> {
        match self.dialect.durability {
            Durability::Frame => vec![Commit::Frame {
                session: self.receiver.session,
                index: self.receiver.frames,
                text: frame.text.clone(),
                messages: staged.messages.clone(),
            }],
            Durability::Message => staged
                .messages
                .iter()
                .cloned()
                .map(Commit::Message)
                .collect(),
        }
    }

    /// The frame we refused for want of the store came again: it joins its own commit.
    pub(super) fn rejoin(&mut self, mut unresolved: Unresolved) {
        self.note(notes::COMMIT_REUSED.at(unresolved.index.into()));
        for part in &mut unresolved.parts {
            if part.fate == Fate::Failed {
                part.id = self.commit(part.commit.clone());
                part.fate = Fate::Waiting;
            }
        }
        if unresolved.is_durable() {
            return self.acknowledge(unresolved);
        }
        self.unresolved = Some(unresolved);
        self.enter(Phase::WaitDisk, Timer::Commit, self.dialect.timers.commit);
    }

    /// LIS01-A2 6.3 and 6.3.4: ACK, because everything that it promises is durable.
    fn acknowledge(&mut self, unresolved: Unresolved) {
        let Unresolved {
            frame,
            index,
            staged,
            ..
        } = unresolved;
        self.outputs
            .extend(staged.notes.iter().copied().map(crate::wire::Output::Note));
        self.receiver.accept(frame, index, staged);
        self.transmit(&[ACK]);
        self.await_frame();
    }

    pub(super) fn on_committed(&mut self, id: CommitId) {
        if let Some(mut unresolved) = self.unresolved.take() {
            let is_mine = unresolved.settle(id, Fate::Durable);
            if is_mine && self.phase == Phase::WaitDisk && unresolved.is_durable() {
                return self.acknowledge(unresolved);
            }
            self.unresolved = Some(unresolved);
            if is_mine {
                return;
            }
        }
        self.settle_detached(id, Fate::Durable);
    }

    pub(super) fn on_commit_failed(&mut self, id: CommitId) {
        if let Some(unresolved) = &mut self.unresolved
            && unresolved.settle(id, Fate::Failed)
        {
            let index = unresolved.index;
            if self.phase == Phase::WaitDisk {
                self.note(notes::COMMIT_FAILED.at(index.into()));
                self.refuse_for_store();
            }
            return;
        }
        self.settle_detached(id, Fate::Failed);
    }

    pub(super) fn on_commit_timeout(&mut self) {
        if let Some(unresolved) = &self.unresolved {
            self.note(notes::COMMIT_LATE.at(unresolved.index.into()));
            self.refuse_for_store();
        }
    }

    fn refuse_for_store(&mut self) {
        self.transmit(&[NAK]);
        self.await_frame();
    }

    /// ENQ, EOT or a lost line came before our reply: it is never given.
    pub(super) fn drop_reply(&mut self) {
        if self.phase == Phase::WaitDisk
            && let Some(unresolved) = &self.unresolved
        {
            self.note(notes::REPLY_DROPPED.at(unresolved.index.into()));
        }
    }

    /// Ends the session: what it leaves without an L record becomes an incomplete message.
    pub(super) fn end_session(&mut self, why: Note) {
        let Some(assembler) = self.receiver.close_session() else {
            return;
        };
        match self.unresolved.take() {
            Some(unresolved) if unresolved.is_waiting() => {
                self.detached.push(Detached::Closing {
                    unresolved,
                    assembler,
                    why,
                });
            }
            unresolved => self.leave_over(unresolved, assembler, why),
        }
    }

    fn leave_over(&mut self, unresolved: Option<Unresolved>, mut assembler: Assembler, why: Note) {
        if let Some(unresolved) = unresolved {
            if unresolved.is_durable() {
                assembler.apply(unresolved.staged);
            } else if unresolved.has_ended_open_message() {
                return;
            }
        }
        if let Some(received) = assembler.finish() {
            self.note(why.at(count(received.bytes.len())));
            self.detach(received);
        }
    }

    /// Asks the store for a message that no reply depends on.
    pub(super) fn detach(&mut self, received: Received) {
        let id = self.commit(Commit::Message(received.clone()));
        self.detached.push(Detached::Message {
            id,
            received,
            retry_at: None,
        });
    }

    fn settle_detached(&mut self, id: CommitId, fate: Fate) {
        let retry_at = self.now.after(self.dialect.timers.commit);
        let mut failed = None;
        let settled = self
            .detached
            .iter_mut()
            .position(|detached| match detached {
                Detached::Message {
                    id: own,
                    received,
                    retry_at: at,
                } if *own == id => {
                    if fate == Fate::Failed {
                        *at = Some(retry_at);
                        failed = Some(count(received.bytes.len()));
                    }
                    fate == Fate::Durable
                }
                Detached::Closing { unresolved, .. } => {
                    unresolved.settle(id, fate) && !unresolved.is_waiting()
                }
                Detached::Message { .. } => false,
            });
        if let Some(bytes) = failed {
            self.note(notes::DETACHED_FAILED.at(bytes));
        }
        if let Some(at) = settled
            && let Detached::Closing {
                unresolved,
                assembler,
                why,
            } = self.detached.remove(at)
        {
            self.leave_over(Some(unresolved), assembler, why);
        }
    }

    pub(super) fn next_retry(&self) -> Option<Mono> {
        let times = self.detached.iter().filter_map(|detached| match detached {
            Detached::Message { retry_at, .. } => *retry_at,
            Detached::Closing { .. } => None,
        });
        times.min()
    }

    pub(super) fn retry_detached(&mut self) {
        let mut detached = std::mem::take(&mut self.detached);
        for waiting in &mut detached {
            if let Detached::Message {
                id,
                received,
                retry_at,
            } = waiting
                && retry_at.is_some_and(|at| at <= self.now)
            {
                *id = self.commit(Commit::Message(received.clone()));
                *retry_at = None;
            }
        }
        self.detached = detached;
    }
}
