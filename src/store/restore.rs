//! A backup takes the place of the store; what stood there before is kept beside it.

use std::{
    fs,
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use labwire_drivers::{SystemClock, crash};

use super::{
    StoreOptions,
    address::Address,
    error::StoreError,
    file::{beside, cannot_open, publish, remove_if_there, restore_part},
    journal,
    lock::Lock,
    migrate,
    portable::{self, Origin, Place},
    seal::{self, Keys, Kind, Lines, shown},
    session::{Access, Backend as _, Session},
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
    /// What opens it, where it is encrypted.
    pub keys: Option<&'a Keys>,
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
/// there was one. No process may have the store open. A backup of an older schema is brought up to date.
///
/// # Errors
/// [`StoreError::BackupUnsound`] and [`StoreError::CopyDamaged`] when the backup fails its check,
/// [`StoreError::StoreExists`], [`StoreError::NotAFile`] where a server holds a store already,
/// [`StoreError::InUse`], what is wrong with a key, and what the disk says. The former store is then
/// still in its place.
pub fn restore(url: &str, restore: &Restore<'_>) -> Result<Option<PathBuf>, StoreError> {
    let from = Source::of(restore.from, restore.keys)?;
    match Address::read(url)? {
        Address::File(target) => into_file(&target, restore, &from),
        server @ Address::Server(_) => into_server(server, restore, &from).map(|()| None),
    }
}

/// Reads all of a backup and proves that it can be restored; nothing is changed.
///
/// # Errors
/// What is wrong with it, or with the key.
pub fn check_backup(path: &Path, keys: Option<&Keys>) -> Result<(), StoreError> {
    match Source::of(path, keys)? {
        // All of it was read to know what it is.
        Source::Lines => Ok(()),
        Source::Copy => {
            let copy = SqliteBackend::new(path.to_owned(), None);
            copy.check()
        }
    }
}

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Lines that fit either database, perhaps encrypted.
    Lines,
    /// A file of SQLite.
    Copy,
}

impl Source {
    /// Looks at the backup, all of it where it is lines: nothing is touched before it is known to be
    /// whole.
    fn of(from: &Path, keys: Option<&Keys>) -> Result<Self, StoreError> {
        if !from.is_file() {
            let path = shown(from);
            return Err(StoreError::Missing { path });
        }
        if seal::kind(from)? == Kind::Other {
            return Ok(Self::Copy);
        }
        Lines::open(from, keys).and_then(portable::verify)?;
        Ok(Self::Lines)
    }
}

fn into_file(
    target: &Path,
    restore: &Restore<'_>,
    from: &Source,
) -> Result<Option<PathBuf>, StoreError> {
    let _lock = Lock::take(target)?;
    if target.exists() && !restore.replace {
        let path = shown(target);
        return Err(StoreError::StoreExists { path });
    }
    let part = restore_part(target);
    clear(&part)?;
    let outcome = prepare(restore, &part, from).and_then(|()| {
        crash::point("restore-copied");
        let aside = put_aside(target, restore.aside)?;
        crash::point("restore-aside");
        publish(&part, target)?;
        Ok(aside)
    });
    if outcome.is_err() {
        // The first error is the one to report; a part that stays is overwritten next time.
        drop(clear(&part));
    }
    outcome
}

/// All of it, or nothing, in one transaction of the owner of an empty database.
fn into_server(server: Address, restore: &Restore<'_>, from: &Source) -> Result<(), StoreError> {
    let path = server.shown();
    let backend = server.backend(&StoreOptions::default(), Arc::new(SystemClock::default()));
    let mut session = backend.connect(Access::Write)?;
    match backend.probe(session.as_mut()) {
        Err(StoreError::Missing { .. }) => {}
        Ok(()) => return Err(StoreError::NotAFile { path }),
        Err(other) => return Err(other),
    }
    session.begin()?;
    let outcome = fill_server(session.as_mut(), restore, from);
    let outcome = session.failure().map_or(outcome, Err);
    if outcome.is_err() {
        // The first error is the one to report; a connection that is lost rolls back by itself.
        drop(session.rollback());
        return outcome;
    }
    session.commit()?;
    migrate::migrate(session.as_mut(), migrate::SCHEMA, &path, restore.now)?;
    mark(session.as_mut(), restore)
}

fn fill_server(
    session: &mut dyn Session,
    restore: &Restore<'_>,
    from: &Source,
) -> Result<(), StoreError> {
    let now = restore.now;
    match from {
        Source::Lines => {
            let lines = Lines::open(restore.from, restore.keys)?;
            portable::load(session, lines, Place::Seen, now).map(|_| ())
        }
        Source::Copy => {
            // The file is read as lines by a thread of its own, through a pipe: no second copy.
            let source = SqliteBackend::new(restore.from.to_owned(), None);
            let shown = shown(restore.from);
            let failed = |error| cannot_open(restore.from, error);
            let (reader, mut pipe) = std::io::pipe().map_err(failed)?;
            std::thread::scope(|scope| {
                let named = Arc::clone(&shown);
                let writing = scope.spawn(move || -> Result<(), StoreError> {
                    let mut session = source.beside(Access::Read)?;
                    source.probe(session.as_mut())?;
                    migrate::is_known(session.as_mut(), &named)?;
                    let mut add = |bytes: &[u8]| {
                        pipe.write_all(bytes)
                            .map_err(|error| cannot_open(Path::new("a pipe"), error))
                    };
                    portable::write(session.as_mut(), Origin { now }, &mut add).map(|_| ())
                });
                let lines = Lines::of(Box::new(BufReader::new(reader)), Arc::clone(&shown));
                let loaded = portable::load(session, lines, Place::Seen, now).map(|_| ());
                // Why it could not be read says more than that its end is missing.
                writing
                    .join()
                    .unwrap_or(Err(StoreError::Panicked))
                    .and(loaded)
            })
        }
    }
}

fn clear(part: &Path) -> Result<(), StoreError> {
    ["", "-wal", "-shm", ".part"]
        .into_iter()
        .try_for_each(|ending| remove_if_there(&beside(part, ending)))
}

/// Copies the backup beside its place, checks the copy, brings it up to date and marks it as restored.
fn prepare(restore: &Restore<'_>, part: &Path, from: &Source) -> Result<(), StoreError> {
    let backend = SqliteBackend::new(part.to_owned(), None);
    let shown: Arc<str> = shown(restore.from);
    if *from == Source::Copy {
        backend.restore(restore.from)?;
    }
    let mut session = backend.connect(Access::Write)?;
    if *from == Source::Lines {
        let lines = Lines::open(restore.from, restore.keys)?;
        session.begin()?;
        portable::load(session.as_mut(), lines, Place::Unnamed, restore.now)?;
        session.commit()?;
    }
    backend.probe(session.as_mut())?;
    migrate::is_known(session.as_mut(), &shown)?;
    migrate::migrate(session.as_mut(), migrate::SCHEMA, &shown, restore.now)?;
    mark(session.as_mut(), restore)
}

/// Writes down that the store was put back.
fn mark(session: &mut dyn Session, restore: &Restore<'_>) -> Result<(), StoreError> {
    let (now, shown) = (restore.now, shown(restore.from));
    session.begin()?;
    journal::set_meta(session, RESTORED_AT, &now.to_string())?;
    audit::write(session, now, restore.actor, "restore", "store:0", &shown)?;
    session.commit()
}

/// Moves the former store, with what its write-ahead log still holds: a log that stayed would be
/// taken for that of the restored file.
fn put_aside(target: &Path, ending: &str) -> Result<Option<PathBuf>, StoreError> {
    let failed = |error| cannot_open(target, error);
    let aside = beside(target, &format!(".{ending}"));
    let log = beside(target, "-wal");
    let had_store = target.exists();
    if !had_store && !log.exists() {
        // A restore that was cut off has put it aside, perhaps within this very second.
        remove_if_there(&beside(target, "-shm"))?;
        return Ok(None);
    }
    if aside.exists() {
        let path = aside.display().to_string().into();
        return Err(StoreError::BackupExists { path });
    }
    if had_store {
        // Opening and closing moves the log into the file. A file that is too damaged for that is
        // kept as it is, log and all.
        drop(SqliteBackend::new(target.to_path_buf(), None).connect(Access::Write));
        fs::rename(target, &aside).map_err(failed)?;
    }
    if log.exists() {
        fs::rename(&log, beside(&aside, "-wal")).map_err(failed)?;
    }
    remove_if_there(&beside(target, "-shm"))?;
    Ok(had_store.then_some(aside))
}
