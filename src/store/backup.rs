//! A copy of a database in use, checked before it gets its name.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{
    db::{Db as _, Sql},
    error::StoreError,
    session::Access,
    sqlite::SqliteSession,
};

/// Copies the database that `options` open to `target`, which must not exist. The copy is one
/// consistent moment; writers go on meanwhile.
pub(super) fn copy(
    options: &SqliteConnectOptions,
    shown: &Arc<str>,
    target: &Path,
) -> Result<(), StoreError> {
    let name: Arc<str> = target.display().to_string().into();
    if target.exists() {
        return Err(StoreError::BackupExists { path: name });
    }
    let part = part_path(target);
    remove_if_there(&part)?;
    let outcome = write(options, shown, &part)
        .and_then(|()| check(&part, &name))
        .and_then(|()| publish(&part, target));
    if outcome.is_err() {
        // The first error is the one to report; a part that stays is overwritten next time.
        drop(fs::remove_file(&part));
    }
    outcome
}

fn write(options: &SqliteConnectOptions, shown: &Arc<str>, part: &Path) -> Result<(), StoreError> {
    let text = part
        .to_str()
        .ok_or_else(|| StoreError::value("a backup path that is not UTF-8"))?;
    let mut session = SqliteSession::open(options, Access::Read, Arc::clone(shown))?;
    session
        .exec(&Sql::same("VACUUM INTO $1"), &[text.into()])
        .map(|_| ())
}

fn check(part: &Path, name: &Arc<str>) -> Result<(), StoreError> {
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

/// On disk first, then under its name, then the name on disk.
pub(super) fn publish(part: &Path, target: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::CannotOpen {
        path: target.display().to_string().into(),
        source: Arc::new(source),
    };
    File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(part, target).map_err(failed)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A folder cannot be opened for this on every system; where it can, a failure counts.
    match File::open(folder) {
        Ok(folder) => folder.sync_all().map_err(failed),
        Err(_) => Ok(()),
    }
}

fn part_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::CannotOpen {
            path: path.display().to_string().into(),
            source: Arc::new(error),
        }),
        _ => Ok(()),
    }
}
