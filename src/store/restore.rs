//! A backup takes the place of the store; what stood there before is kept beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use labwire_drivers::crash;

use super::{
    address::Address,
    error::StoreError,
    file::{beside, cannot_open, publish, remove_if_there, restore_part},
    journal,
    lock::Lock,
    migrate,
    session::{Access, Backend as _},
    sqlite::SqliteBackend,
};
use crate::audit;

/// The key of `meta` that says when the store was last put back from a backup, UTC microseconds.
/// Control ids made after that must not be ones that a host has seen between backup and restore, so
/// whoever makes them has to take this value into account.
pub const RESTORED_AT: &str = "restored_at";

/// What a person decides about a restore.
#[derive(Clone, Debug)]
pub struct Restore<'a> {
    /// The backup.
    pub from: &'a Path,
    /// Who does it.
    pub actor: &'a str,
    /// Now, UTC microseconds.
    pub now: i64,
    /// Put aside what is there; without it, a store that exists is never touched.
    pub replace: bool,
    /// The end of the name that the former store gets, such as `before-restore-20260310T080000Z`.
    pub aside: &'a str,
}

/// Puts a backup in the place of the store at `url`. Returns where the former store is kept, if
/// there was one. No process may have the store open.
///
/// # Errors
/// [`StoreError::NotAFile`] for a server, [`StoreError::BackupUnsound`] when the backup fails its check, [`StoreError::StoreExists`],
/// [`StoreError::InUse`], and what the disk says. The former store is then still in its place.
pub fn restore(url: &str, restore: &Restore<'_>) -> Result<Option<PathBuf>, StoreError> {
    let target = Address::read(url)?.file()?;
    let shown: Arc<str> = restore.from.display().to_string().into();
    if !restore.from.is_file() {
        return Err(StoreError::Missing { path: shown });
    }
    let _lock = Lock::take(&target)?;
    if target.exists() && !restore.replace {
        let path = target.display().to_string().into();
        return Err(StoreError::StoreExists { path });
    }
    let part = restore_part(&target);
    clear(&part)?;
    let outcome = prepare(restore, &part).and_then(|()| {
        crash::point("restore-copied");
        let aside = put_aside(&target, restore.aside)?;
        crash::point("restore-aside");
        publish(&part, &target)?;
        Ok(aside)
    });
    if outcome.is_err() {
        // The first error is the one to report; a part that stays is overwritten next time.
        drop(clear(&part));
    }
    outcome
}

fn clear(part: &Path) -> Result<(), StoreError> {
    ["", "-wal", "-shm", ".part"]
        .into_iter()
        .try_for_each(|ending| remove_if_there(&beside(part, ending)))
}

/// Copies the backup beside its place, checks the copy and marks it as restored.
fn prepare(restore: &Restore<'_>, part: &Path) -> Result<(), StoreError> {
    let backend = SqliteBackend::new(part.to_owned(), None);
    backend.restore(restore.from)?;
    let mut session = backend.connect(Access::Write)?;
    let shown: Arc<str> = restore.from.display().to_string().into();
    backend.probe(session.as_mut())?;
    migrate::is_known(session.as_mut(), &shown)?;
    session.begin()?;
    let now = restore.now;
    journal::set_meta(session.as_mut(), RESTORED_AT, &now.to_string())?;
    audit::write(
        session.as_mut(),
        now,
        restore.actor,
        "restore",
        "store:0",
        &shown,
    )?;
    session.commit()
}

/// Moves the former store, with what its write-ahead log still holds: a log that stayed would be
/// taken for that of the restored file.
fn put_aside(target: &Path, ending: &str) -> Result<Option<PathBuf>, StoreError> {
    let failed = |error| cannot_open(target, error);
    let aside = beside(target, &format!(".{ending}"));
    if aside.exists() {
        let path = aside.display().to_string().into();
        return Err(StoreError::BackupExists { path });
    }
    let had_store = target.exists();
    if had_store {
        // Opening and closing moves the log into the file. A file that is too damaged for that is
        // kept as it is, log and all.
        drop(SqliteBackend::new(target.to_path_buf(), None).connect(Access::Write));
        fs::rename(target, &aside).map_err(failed)?;
    }
    let log = beside(target, "-wal");
    if log.exists() {
        fs::rename(&log, beside(&aside, "-wal")).map_err(failed)?;
    }
    remove_if_there(&beside(target, "-shm"))?;
    Ok(had_store.then_some(aside))
}
