//! A copy of a database, checked before it gets its name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use labwire_drivers::crash;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{
    db::{Db as _, Sql},
    error::StoreError,
    file::{beside, create_private, publish, remove_if_there},
    portable,
    seal::{self, Lines, Recipients, Seal, Writer, shown},
    session::{Access, Backend},
    sqlite::SqliteSession,
};

/// A copy that is asked for.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The file, which must not exist.
    pub to: PathBuf,
    /// Whom it is encrypted for. Nobody: it is plain, of a file of SQLite a file of SQLite.
    pub recipients: Recipients,
    /// Now, UTC microseconds.
    pub now: i64,
}

impl Backup {
    /// A plain one.
    pub fn plain(to: impl Into<PathBuf>, now: i64) -> Self {
        Self {
            to: to.into(),
            recipients: Recipients::default(),
            now,
        }
    }
}

/// Copies what `backend` holds into lines that fit either database, one consistent moment, encrypted as
/// they are written; reads all of the file again before it gets its name.
pub(super) fn portable(backend: &dyn Backend, asked: &Backup) -> Result<Seal, StoreError> {
    let target = &asked.to;
    if target.exists() {
        return Err(StoreError::BackupExists {
            path: shown(target),
        });
    }
    let part = beside(target, PART);
    let outcome = write_portable(backend, asked, &part);
    let outcome = outcome.and_then(|seal| publish(&part, target).map(|()| seal));
    if outcome.is_err() {
        // The first error is the one to report; a part that stays is overwritten next time.
        drop(remove_if_there(&part));
    }
    outcome
}

/// The end of the name of a copy that is not finished.
pub(super) const PART: &str = ".part";

fn write_portable(backend: &dyn Backend, asked: &Backup, part: &Path) -> Result<Seal, StoreError> {
    let mut session = backend.beside(Access::Read)?;
    let mut writer = Writer::create(part, &asked.recipients)?;
    let origin = portable::Origin { now: asked.now };
    let rows = portable::write(session.as_mut(), origin, &mut |bytes| writer.add(bytes))?;
    let (written, witness) = writer.finish()?;
    drop(session);
    let unsound = |finding: &str| StoreError::BackupUnsound {
        path: shown(&asked.to),
        finding: finding.to_owned(),
    };
    if seal::sha256(part)? != written.sha256 {
        return Err(unsound("the disk holds other bytes than were written"));
    }
    let read = Lines::open(part, Some(&witness)).and_then(portable::verify)?;
    if read != rows {
        return Err(unsound("it has not as many rows as the store"));
    }
    Ok(written)
}

/// What stands in a plain file.
pub(super) fn seal_of(path: &Path) -> Result<Seal, StoreError> {
    let bytes = std::fs::metadata(path)
        .map_err(|error| super::file::cannot_open(path, error))?
        .len();
    Ok(Seal {
        bytes,
        sha256: seal::sha256(path)?,
        is_encrypted: false,
    })
}

/// Copies the database that `options` open to `target`, which must not exist. The copy is one
/// consistent moment; writers go on meanwhile. `shown` names the database in errors.
pub(super) fn copy(
    options: &SqliteConnectOptions,
    shown: &Arc<str>,
    target: &Path,
) -> Result<(), StoreError> {
    let name: Arc<str> = target.display().to_string().into();
    // A log without its database would be read into the copy as if it belonged to it.
    for path in [target.to_owned(), beside(target, "-wal")] {
        if path.exists() {
            return Err(StoreError::BackupExists {
                path: path.display().to_string().into(),
            });
        }
    }
    let part = beside(target, PART);
    remove_if_there(&part)?;
    let outcome = write(options, shown, &part)
        .inspect(|()| crash::point("backup-copied"))
        .and_then(|()| check(&part, &name))
        .inspect(|()| crash::point("backup-checked"))
        .and_then(|()| publish(&part, target));
    if outcome.is_err() {
        // The first error is the one to report; a part that stays is overwritten next time.
        drop(remove_if_there(&part));
    }
    outcome
}

fn write(options: &SqliteConnectOptions, shown: &Arc<str>, part: &Path) -> Result<(), StoreError> {
    let text = part
        .to_str()
        .ok_or_else(|| StoreError::value("a backup path that is not UTF-8"))?;
    create_private(part)?;
    let mut session = SqliteSession::open(options, Access::Read, Arc::clone(shown))?;
    session
        .exec(&Sql::same("VACUUM INTO $1"), &[text.into()])
        .map(|_| ())
}

pub(super) fn check(part: &Path, name: &Arc<str>) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(part)
        .read_only(true)
        .disable_statement_logging();
    let mut session = SqliteSession::open(&options, Access::Read, Arc::clone(name))?;
    let row = session.row(&Sql::same("PRAGMA integrity_check(1)"), &[])?;
    match row.text(0)? {
        "ok" => Ok(()),
        finding => {
            let finding = finding.to_owned();
            Err(StoreError::BackupUnsound {
                path: Arc::clone(name),
                finding,
            })
        }
    }
}
