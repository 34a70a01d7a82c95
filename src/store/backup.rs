//! A copy of a database, checked before it gets its name.

use std::{path::Path, sync::Arc};

use labwire_drivers::crash;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{
    db::{Db as _, Sql},
    error::StoreError,
    file::{beside, create_private, publish, remove_if_there},
    session::Access,
    sqlite::SqliteSession,
};

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
    let part = beside(target, ".part");
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
