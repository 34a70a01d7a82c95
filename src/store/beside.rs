//! A second look at a store that another process may have open, without its lock.
//!
//! Reading sees what is committed. Writing waits its turn behind the owner's writer: SQLite lets
//! one transaction write at a time, and every one begins as a write, so that none is upgraded; with
//! PostgreSQL a lock of the transaction does the same. The owner looks at the queue again within its
//! next poll and finds what was changed.

use std::sync::Arc;

use labwire_drivers::SystemClock;

use super::{
    StoreOptions,
    address::Address,
    backup::Backup,
    db::Db,
    error::StoreError,
    migrate,
    seal::Seal,
    session::{Access, Backend, Session},
};

/// One connection beside the owner's, for the command line. Blocks its thread, and must not be
/// used inside a task.
pub struct Beside {
    session: Box<dyn Session>,
    backend: Arc<dyn Backend>,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl Beside {
    /// Opens the store at `url` for reading.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none, and what else a person must mend first.
    pub fn reader(url: &str) -> Result<Self, StoreError> {
        Self::open(url, Access::Read)
    }

    /// Opens the store at `url` for few and short changes.
    ///
    /// # Errors
    /// As [`Beside::reader`].
    pub fn writer(url: &str) -> Result<Self, StoreError> {
        Self::open(url, Access::Write)
    }

    fn open(url: &str, access: Access) -> Result<Self, StoreError> {
        let shown = Address::read(url)?.shown();
        let backend = backend(url)?;
        let mut session = backend.beside(access)?;
        session.begin()?;
        let known = backend
            .probe(session.as_mut())
            .and_then(|()| migrate::is_current(session.as_mut(), &shown));
        session.rollback()?;
        known?;
        Ok(Self { session, backend })
    }

    /// Runs `work`, which sees one moment of the store and leaves nothing behind.
    ///
    /// # Errors
    /// That of `work`.
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.session.begin()?;
        let outcome = work(self.session.as_mut());
        self.session.rollback()?;
        outcome
    }

    /// Runs `work` in a transaction of its own; when this returns, it is on disk.
    ///
    /// # Errors
    /// That of `work`, which is undone then, or of the commit.
    pub fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.session.begin()?;
        let outcome = work(self.session.as_mut());
        let outcome = self.session.failure().map_or(outcome, Err);
        match outcome {
            Ok(value) => self.session.commit().map(|()| value),
            Err(error) => {
                // The first error is the one to report.
                drop(self.session.rollback());
                Err(error)
            }
        }
    }

    /// Writes a checked copy of the store, to a file that must not exist.
    ///
    /// # Errors
    /// As [`Store::backup`](super::Store::backup).
    pub fn backup(&self, backup: &Backup) -> Result<Seal, StoreError> {
        self.backend.backup(backup)
    }
}

/// Whether a process has the store at `url` open.
///
/// # Errors
/// [`StoreError::UrlUnknown`], and that a server does not answer.
pub fn is_in_use(url: &str) -> Result<bool, StoreError> {
    backend(url)?.is_in_use()
}

fn backend(url: &str) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(Address::read(url)?.backend(&StoreOptions::default(), Arc::new(SystemClock::default())))
}
