//! The SQLite backend under the conformance suite, and what only a file can do.

use std::{fs, path::Path, sync::Arc};

use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::{
    Backup, Clock, Sql, Store, StoreError, StoreOptions, Turn,
    conformance::{Ground, StillClock},
    journal,
    session::Access,
    sqlite::SqliteSession,
    start::wait_for,
};

/// A database file of its own.
pub(crate) struct File(TempDir);

impl File {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> std::path::PathBuf {
        self.0.path().join("labwire.db")
    }

    fn try_open(&self) -> Result<Store, StoreError> {
        try_open(&self.database(), StoreOptions::default())
    }
}

impl Ground for File {
    fn open_with(&self, options: StoreOptions, clock: Arc<dyn Clock>) -> Store {
        let url = format!("sqlite:{}", self.database().display());
        wait_for(Store::open(&url, options, clock)).unwrap()
    }

    fn open_copy(&self, path: &Path) -> Store {
        try_open(path, StoreOptions::default()).unwrap()
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }
}

fn try_open(path: &Path, options: StoreOptions) -> Result<Store, StoreError> {
    let url = format!("sqlite:{}", path.display());
    wait_for(Store::open(&url, options, Arc::new(StillClock)))
}

crate::conformance_tests!(Some(File::new()));
crate::conformance_tests!(
    Some(File::new()),
    a_backup_taken_while_running_opens_and_is_equal
);

fn check_refused(file: &File, code: &str, words: &str) {
    let error = file.try_open().unwrap_err();
    assert_eq!(error.code(), code, "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

/// Changes the closed database by SQL.
fn tamper(file: &File, sql: &'static str) {
    let store = file.try_open().unwrap();
    let change = move |db: &mut dyn super::Db| db.exec(&Sql::same(sql), &[]);
    store.transact_blocking(Turn::Reply, change).unwrap();
    wait_for(store.close());
}

#[test]
fn every_statement_fits_the_schema() {
    let file = File::new();
    let store = file.try_open().unwrap();
    for sql in super::ground::every_statement() {
        let outcome = store.transact_blocking(Turn::Reply, move |db| db.prepare(sql));
        assert!(outcome.is_ok(), "{}\n{outcome:?}", sql.sqlite);
    }
}

#[test]
fn a_commit_is_on_disk_before_it_is_reported() {
    let file = File::new();
    let store = file.try_open().unwrap();
    let pragmas = [
        ("PRAGMA synchronous", "2"),
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA foreign_keys", "1"),
        ("PRAGMA busy_timeout", "5000"),
        ("PRAGMA auto_vacuum", "2"),
        ("PRAGMA page_size", "8192"),
        ("PRAGMA application_id", "1280787522"),
    ];
    for (pragma, expected) in pragmas {
        let ask = move |db: &mut dyn super::Db| {
            let row = db.row(&Sql::same(pragma), &[])?;
            Ok(row
                .int(0)
                .map_or_else(|_| row.text(0).unwrap_or("?").to_owned(), |n| n.to_string()))
        };
        assert_eq!(
            store.transact_blocking(Turn::Reply, ask).unwrap(),
            expected,
            "{pragma}"
        );
    }
}

#[test]
fn a_second_process_is_refused_until_the_first_has_closed() {
    let file = File::new();
    let store = file.try_open().unwrap();
    check_refused(&file, "STORE-0007", &std::process::id().to_string());
    wait_for(store.close());
    wait_for(file.try_open().unwrap().close());
}

#[test]
fn a_full_disk_is_reported_and_work_goes_on_when_there_is_room() {
    let file = File::new();
    let options = StoreOptions {
        pages_max: Some(128),
        ..StoreOptions::default()
    };
    let store = try_open(&file.database(), options).unwrap();
    let big = "x".repeat(500_000);
    let write = |text: String| {
        store.transact_blocking(Turn::Reply, move |db| journal::set_meta(db, "a", &text))
    };
    for _ in 0..2 {
        let error = write(big.clone()).unwrap_err();
        assert_eq!(error.code(), "STORE-0001", "{error:?}");
        assert!(error.is_unavailable());
        write("small".to_owned()).unwrap();
    }
    assert_eq!(store.health().failures, 2);
}

#[test]
fn a_missing_folder_is_named() {
    let file = File(tempfile::tempdir().unwrap());
    let path = file.0.path().join("nowhere").join("labwire.db");
    let error = try_open(&path, StoreOptions::default()).unwrap_err();
    assert_eq!(error.code(), "STORE-0102");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn an_address_of_another_kind_is_refused_without_its_password() {
    for url in [
        "mysql://lab:secret@db/lab",
        "labwire.db",
        "sqlite:",
        "sqlite::memory:",
    ] {
        let opened = Store::open(url, StoreOptions::default(), Arc::new(StillClock));
        let error = wait_for(opened).unwrap_err();
        assert_eq!(error.code(), "STORE-0101", "{url}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let file = File::new();
    let text = "this is a letter\n".repeat(1_000);
    fs::write(file.database(), &text).unwrap();
    check_refused(&file, "STORE-0201", "restore");
    assert_eq!(fs::read_to_string(file.database()).unwrap(), text);
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let file = File::new();
    tamper(&file, "PRAGMA application_id = 7");
    let before = fs::read(file.database()).unwrap();
    check_refused(&file, "STORE-0105", "another program");
    assert_eq!(fs::read(file.database()).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let file = File::new();
    tamper(
        &file,
        "INSERT INTO schema_change VALUES (99, 'future', 'x', 0)",
    );
    check_refused(&file, "STORE-0103", "newer labwire");
}

#[test]
fn a_changed_migration_is_refused() {
    let file = File::new();
    tamper(
        &file,
        "UPDATE schema_change SET sha256 = 'x' WHERE number = 1",
    );
    check_refused(&file, "STORE-0104", "schema 1");
}

#[test]
fn nothing_is_promised_once_the_file_was_moved_or_deleted() {
    let file = File::new();
    let store = file.try_open().unwrap();
    let away = file.folder().join("away.db");
    let write = |value: &'static str| {
        store.transact_blocking(Turn::Reply, move |db| journal::set_meta(db, "a", value))
    };
    write("before").unwrap();
    fs::rename(file.database(), &away).unwrap();
    for _ in 0..2 {
        assert_eq!(write("lost").unwrap_err().code(), "STORE-0008");
    }
    // Another file in its place is not it either.
    fs::copy(&away, file.database()).unwrap();
    assert_eq!(write("lost").unwrap_err().code(), "STORE-0008");
    fs::remove_file(file.database()).unwrap();
    assert!(!file.database().exists(), "none is made in its place");
    assert_eq!(write("lost").unwrap_err().code(), "STORE-0008");
    fs::rename(&away, file.database()).unwrap();
    write("after").unwrap();
    wait_for(store.close());
    let store = file.try_open().unwrap();
    let value = store.read_blocking(|db| journal::meta(db, "a")).unwrap();
    assert_eq!(value.as_deref(), Some("after"));
    wait_for(store.close());
}

#[test]
fn a_damaged_file_is_reported_with_what_to_do() {
    let file = File::new();
    wait_for(file.try_open().unwrap().close());
    let mut bytes = fs::read(file.database()).unwrap();
    bytes[100..8_192].fill(0xA5);
    fs::write(file.database(), bytes).unwrap();
    check_refused(&file, "STORE-0201", "restore");
}

#[test]
fn a_backup_is_restored_to_an_empty_place_alone() {
    let file = File::new();
    let url = format!("sqlite:{}", file.database().display());
    let copy = file.folder().join("copy.db");
    let store = file.try_open().unwrap();
    let write = |db: &mut dyn super::Db| journal::set_meta(db, "a", "1");
    store.transact_blocking(Turn::Reply, write).unwrap();
    wait_for(store.backup(Backup::plain(&copy, 0))).unwrap();
    assert_eq!(
        Store::restore(&url, &copy).unwrap_err().code(),
        "STORE-0007"
    );
    wait_for(store.close());
    assert_eq!(
        Store::restore(&url, &copy).unwrap_err().code(),
        "STORE-0106"
    );
    fs::remove_file(file.database()).unwrap();
    let log = file.folder().join("labwire.db-wal");
    fs::write(&log, "left over").unwrap();
    assert_eq!(
        Store::restore(&url, &copy).unwrap_err().code(),
        "STORE-0106"
    );
    fs::remove_file(log).unwrap();
    assert_eq!(
        Store::restore(&url, Path::new("no such"))
            .unwrap_err()
            .code(),
        "STORE-0004"
    );
    Store::restore(&url, &copy).unwrap();
    let store = file.try_open().unwrap();
    let read = store.read_blocking(|db| journal::meta(db, "a"));
    assert_eq!(read.unwrap().as_deref(), Some("1"));
}

#[cfg(unix)]
#[test]
fn nobody_else_on_the_machine_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new();
    let store = file.try_open().unwrap();
    wait_for(store.backup(Backup::plain(file.folder().join("copy.db"), 0))).unwrap();
    for name in ["labwire.db", "labwire.db-wal", "copy.db"] {
        let mode = fs::metadata(file.folder().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[test]
fn a_write_to_a_read_only_file_says_so() {
    let file = File::new();
    wait_for(file.try_open().unwrap().close());
    let options = SqliteConnectOptions::new()
        .filename(file.database())
        .read_only(true);
    let mut session = SqliteSession::open(&options, Access::Write, "labwire.db".into()).unwrap();
    let error = journal::set_meta(&mut session, "a", "1").unwrap_err();
    assert_eq!(error.code(), "STORE-0003", "{error:?}");
}

fn every_error() -> Vec<StoreError> {
    let path = || Arc::<str>::from("labwire.db");
    let source = || -> super::Cause { Arc::new(std::io::Error::other("cause")) };
    vec![
        StoreError::DiskFull {
            path: path(),
            source: None,
        },
        StoreError::DiskFailed {
            path: path(),
            source: None,
        },
        StoreError::ReadOnly {
            path: path(),
            source: source(),
        },
        StoreError::CannotOpen {
            path: path(),
            source: source(),
        },
        StoreError::Busy {
            path: path(),
            source: source(),
        },
        StoreError::Closed,
        StoreError::FileGone { path: path() },
        StoreError::InUse {
            path: path(),
            pid: None,
        },
        StoreError::InUse {
            path: path(),
            pid: Some("42".into()),
        },
        StoreError::UrlUnknown {
            scheme: "mysql".into(),
        },
        StoreError::FolderMissing {
            path: "data".into(),
        },
        StoreError::NewerSchema {
            path: path(),
            found: 9,
            known: 2,
        },
        StoreError::OtherSchema {
            path: path(),
            number: 1,
        },
        StoreError::NotLabwire { path: path() },
        StoreError::BackupExists { path: path() },
        StoreError::Damaged {
            path: path(),
            source: source(),
        },
        StoreError::BackupUnsound {
            path: path(),
            finding: "page 3".into(),
        },
        StoreError::FrameConflict {
            line: "xn-1".into(),
            session: 2,
            index: 3,
        },
        StoreError::RuleBroken { source: source() },
        StoreError::Statement { source: source() },
        StoreError::value("column 2: text was expected, found bytes"),
        StoreError::Panicked,
        StoreError::Thread { source: source() },
    ]
}

fn errors_of_a_copy() -> Vec<StoreError> {
    let path = || Arc::<str>::from("labwire.jsonl.gz.age");
    vec![
        StoreError::CopyDamaged {
            path: path(),
            what: "its end is missing".into(),
        },
        StoreError::KeyNeeded { path: path() },
        StoreError::KeyWrong { path: path() },
        StoreError::KeyUnreadable { path: path() },
    ]
}

fn errors_of_a_server() -> Vec<StoreError> {
    let path = || Arc::<str>::from("postgres://lab@db:5432/lab");
    let source = || -> super::Cause { Arc::new(std::io::Error::other("cause")) };
    vec![
        StoreError::ServerLost {
            path: path(),
            source: source(),
        },
        StoreError::ServerRefused {
            path: path(),
            source: source(),
        },
        StoreError::OwnerLost { path: path() },
        StoreError::Fenced { path: path() },
        StoreError::OneOwner { path: path() },
        StoreError::NodesAtWork {
            path: path(),
            nodes: "a, b".into(),
        },
        StoreError::UrlWrong,
        StoreError::RestoreCutOff {
            path: "labwire.db".into(),
        },
        StoreError::ServerUnfit {
            path: path(),
            lacks: "its character set is not UTF8",
        },
        StoreError::NotAFile { path: path() },
    ]
}

#[test]
fn every_error_has_a_code_of_its_own_and_words_for_the_night() {
    let mut errors = every_error();
    errors.extend(errors_of_a_server());
    errors.extend(errors_of_a_copy());
    let lines = errors
        .iter()
        .map(|error| format!("{} {error}\n", error.code()));
    insta::assert_snapshot!(lines.collect::<String>());
    let mut codes: Vec<_> = errors.iter().map(StoreError::code).collect();
    codes.dedup();
    assert_eq!(codes.len(), errors.len() - 1, "only InUse is here twice");
}
