//! A unit of work on its way to a thread of the store, and its answer on the way back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    db::Db,
    error::StoreError,
    journal::{self, JournalEntry, Journalled},
};

/// Where the answer goes. Whoever asked may have gone; then nobody is told.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Work that runs once inside a transaction and is told how that transaction ended.
pub(super) trait Job: Send {
    /// Does the work. Called once.
    fn run(&mut self, db: &mut dyn Db) -> Result<(), StoreError>;

    /// Tells whoever asked. `outcome` is that of the work and of the commit.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// What waits in a lane.
pub(super) struct Ticket {
    /// What to do.
    pub(super) work: Work,
    /// Its place in the lane, free again when the ticket is taken up.
    pub(super) _slot: OwnedSemaphorePermit,
}

/// What a thread of the store can do.
pub(super) enum Work {
    /// Anything.
    Job(Box<dyn Job>),
    /// An entry of the journal, written together with its neighbours.
    Entry(EntryTask),
}

/// A closure and its answer.
pub(super) struct Task<T, F> {
    work: Option<F>,
    output: Option<T>,
    reply: Reply<T>,
}

impl<T, F> Task<T, F> {
    pub(super) const fn new(work: F, reply: Reply<T>) -> Self {
        Self {
            work: Some(work),
            output: None,
            reply,
        }
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Err(StoreError::value("work that ran already"));
        };
        // What the closure leaves half done is rolled back with its work; nothing else is shared.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(db)));
        self.output = Some(outcome.map_err(|_| StoreError::Panicked)??);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { output, reply, .. } = *self;
        drop(reply.send(outcome.and_then(|()| output.ok_or(StoreError::Closed))));
    }
}

/// An entry of the journal and its answer.
pub(super) struct EntryTask {
    pub(super) entry: JournalEntry,
    pub(super) output: Option<Journalled>,
    pub(super) reply: Reply<Journalled>,
}

impl EntryTask {
    pub(super) const fn new(entry: JournalEntry, reply: Reply<Journalled>) -> Self {
        Self {
            entry,
            output: None,
            reply,
        }
    }
}

impl Job for EntryTask {
    fn run(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        self.output = journal::append(db, &[&self.entry])?.pop();
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { output, reply, .. } = *self;
        drop(reply.send(outcome.and_then(|()| output.ok_or(StoreError::Closed))));
    }
}
