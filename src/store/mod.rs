//! The store: where everything is before anything is promised.
//!
//! [`Store`] is a cheap handle. Work is a closure over [`Db`], run on the store's own threads: one
//! writer that commits in groups, a few readers that see what is committed. A call resolves only
//! after its commit is on disk. Behind [`Db`] stands SQLite or PostgreSQL, under the same conformance
//! suite.
//!
//! Absent on purpose: a cache, a second writer, a way to hold a transaction open across an await.

mod address;
mod backup;
mod beside;
mod clock;
#[cfg(test)]
pub mod conformance;
mod db;
mod error;
mod fault;
mod file;
#[cfg(test)]
pub(crate) mod ground;
mod health;
mod job;
pub mod journal;
mod keeper;
mod lane;
mod lock;
mod migrate;
mod portable;
mod postgres;
mod reader;
mod restore;
pub mod seal;
mod session;
mod sqlite;
mod start;
#[cfg(test)]
mod tests;
mod writer;

use std::{fmt, path::Path, sync::Arc};

use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, oneshot};

pub use self::{
    backup::Backup,
    beside::{Beside, is_in_use},
    clock::Clock,
    db::{Db, Insert, Param, Row, Sql},
    error::{Cause, StoreError},
    fault::{Fault, FaultPoint, Faults},
    health::Health,
    journal::{JournalEntry, Journalled},
    lane::Turn,
    restore::{RESTORED_AT, Restore, check_backup, restore},
};
pub(crate) use self::{file::publish, portable::to_json};
use self::{
    health::Board,
    job::{EntryTask, Task, Work},
    lane::Lane,
    seal::Seal,
    session::Backend,
};

/// What a site or a test may set.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The database may grow to this many pages of 8 kB, then it is full; `None`: as the disk
    /// allows.
    pub pages_max: Option<u32>,
    /// Faults that a test asks for.
    pub faults: Option<Arc<dyn Faults>>,
}

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// In the order of [`Turn::ALL`].
    lanes: [Lane; 4],
    reads: Lane,
    backend: Arc<dyn Backend>,
    board: Arc<Board>,
    /// Ends the threads when it is dropped, and, for [`Store::close`], by one message a thread.
    stop: Sender<()>,
    /// Each thread adds one permit when it has ended.
    ended: Arc<Semaphore>,
}

impl Store {
    /// Opens the store at `url` (`sqlite:` and a path, or `postgres://user@host/database`), creates
    /// or updates its schema, and starts its threads.
    ///
    /// # Errors
    /// Everything that a person must mend first: see the groups of [`StoreError`].
    pub async fn open(
        url: &str,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        start::open(url, options, clock).await
    }

    /// Puts the backup at `from` in the place of the store at `url`, which must not exist: whoever
    /// restores moves the old file and its `-wal` aside first, and keeps them. Takes as long as the
    /// disk needs; nothing is there under the store's name before the copy has passed its check.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a labwire runs, [`StoreError::BackupExists`] when the place is
    /// taken, and whatever is wrong with the backup.
    pub fn restore(url: &str, from: &Path) -> Result<(), StoreError> {
        start::restore(url, from)
    }

    /// Runs `work` in a transaction, with other work of its group. Resolves when the group is on
    /// disk. If `work` fails or panics, it alone is rolled back; if the commit fails, every unit
    /// of the group is told so. Dropping the future does not take the work back.
    ///
    /// # Errors
    /// That of `work`, or of the group.
    pub async fn transact<T, F>(&self, turn: Turn, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let lane = self.lane(turn);
        lane.send(Work::Job(Box::new(Task::new(work, reply))))
            .await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// [`Store::transact`] for threads that are not tasks, such as parser workers. A task that
    /// calls it stops its whole runtime thread.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub fn transact_blocking<T, F>(&self, turn: Turn, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    {
        start::wait_for(self.transact(turn, work))
    }

    /// Writes an entry of the journal, together with those of other lines. When it resolves, the
    /// peer may be told that its data is safe.
    ///
    /// # Errors
    /// As [`journal::append`], or of the group.
    pub async fn journal(&self, entry: JournalEntry) -> Result<Journalled, StoreError> {
        let (reply, answer) = oneshot::channel();
        let lane = self.lane(Turn::Journal);
        lane.send(Work::Entry(EntryTask::new(entry, reply))).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `work` on a reader: it sees one moment, everything committed before it began.
    ///
    /// # Errors
    /// That of `work`; writing is one.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.inner
            .reads
            .send(Work::Job(Box::new(Task::new(work, reply))))
            .await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// [`Store::read`] for threads that are not tasks.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    {
        start::wait_for(self.read(work))
    }

    /// Writes a copy of the store while it goes on, checks the copy, and only then gives it its name.
    ///
    /// # Errors
    /// [`StoreError::BackupExists`], [`StoreError::BackupUnsound`], and what the disk says.
    pub async fn backup(&self, backup: Backup) -> Result<Seal, StoreError> {
        let (reply, answer) = oneshot::channel();
        let backend = Arc::clone(&self.inner.backend);
        start::spawn("store-backup", move || {
            drop(reply.send(backend.backup(&backup)))
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// How the store is doing.
    pub fn health(&self) -> Health {
        let mut health = self.inner.board.read();
        health.waiting = Turn::ALL.map(|turn| self.lane(turn).waiting());
        health.reads_waiting = self.inner.reads.waiting();
        health
    }

    /// Finishes what was asked, refuses what comes after, and releases the file. Every clone of
    /// this handle is closed with it. A handle that is only dropped does the same, some time later.
    pub async fn close(self) {
        self.inner
            .lanes
            .iter()
            .chain([&self.inner.reads])
            .for_each(Lane::close);
        for _ in 0..start::THREADS {
            // The channel holds one message a thread; if it is full, somebody closed before.
            self.inner.stop.try_send(()).ok();
        }
        let threads = u32::try_from(start::THREADS).unwrap_or(u32::MAX);
        drop(self.inner.ended.acquire_many(threads).await);
    }

    fn lane(&self, turn: Turn) -> &Lane {
        let [journal, reply, canonical, background] = &self.inner.lanes;
        match turn {
            Turn::Journal => journal,
            Turn::Reply => reply,
            Turn::Canonical => canonical,
            Turn::Background => background,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.inner.backend)
            .finish_non_exhaustive()
    }
}

/// Every constant statement of the store, for the test that prepares them all.
pub fn statements() -> impl Iterator<Item = &'static Sql> {
    [journal::ALL].into_iter().flatten().copied()
}
