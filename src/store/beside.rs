//! A second look at a store that another process may have open, without its lock.
//!
//! Reading sees what is committed. Writing waits its turn behind the owner's writer: SQLite lets
//! one transaction write at a time, and every one begins as a write, so that none is upgraded. The
//! owner looks at the queue again within its next poll and finds what was changed.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    db::Db,
    error::StoreError,
    file, migrate,
    session::{Access, Backend as _, Session},
    sqlite::SqliteBackend,
    start::database_path,
};

/// One connection beside the owner's, for the command line. Blocks its thread, and must not be
/// used inside a task.
pub struct Beside {
    session: Box<dyn Session>,
    backend: SqliteBackend,
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
        let path = database_path(url)?;
        let shown: Arc<str> = path.display().to_string().into();
        if !path.is_file() {
            return Err(StoreError::Missing { path: shown });
        }
        let backend = SqliteBackend::new(path, None);
        let mut session = backend.connect(access)?;
        session.begin()?;
        let known = backend
            .probe_tables(session.as_mut())
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

    /// Writes a checked copy of the store to `path`, which must not exist.
    ///
    /// # Errors
    /// As [`Store::backup`](super::Store::backup).
    pub fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.backend.backup(path)
    }
}

/// Whether a process has the store at `url` open.
///
/// # Errors
/// [`StoreError::UrlUnknown`].
pub fn is_in_use(url: &str) -> Result<bool, StoreError> {
    let path: PathBuf = file::beside(&database_path(url)?, ".lock");
    let Ok(file) = File::open(path) else {
        return Ok(false);
    };
    Ok(matches!(
        file.try_lock_shared(),
        Err(TryLockError::WouldBlock)
    ))
}
