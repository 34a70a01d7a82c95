//! The SQLite backend: one file, a write-ahead log, every commit on disk before it is reported.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, Row as _,
    SqlSafeStr as _, Sqlite, TypeInfo as _, ValueRef as _,
    query::Query,
    sqlite::{
        SqliteArguments, SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection,
        SqliteJournalMode, SqliteRow, SqliteSynchronous,
    },
};
use tokio::runtime::Runtime;

use super::{
    backup::{self, Backup},
    db,
    db::{Db, Insert, Param, Row, Sql},
    error::{Cause, StoreError},
    file::{self, create_private, identity},
    lock::Lock,
    migrate,
    postgres::{Ears, Seat},
    seal::Seal,
    session::{Access, Backend, Dialect, Session, Upkeep},
};

/// `LWDB` in ASCII: the file says whose it is.
pub(super) const APPLICATION_ID: i64 = 0x4C57_4442;

/// How long to wait for another program that has locked the file. Longer than a backup tool needs
/// to read the header, shorter than the 10 s after which a device is told NAK.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Two typical messages of 3 kB share a page; with 4 kB pages each would waste a quarter of one.
const PAGE_BYTES: u32 = 8_192;

/// Pages in the write-ahead log before the writer itself copies it into the file: 64 MB. Upkeep has
/// done so long before, unless the writer never rests; a start after a crash reads as much at most.
const CHECKPOINT_PAGES: u32 = 8_192;

/// The log file is cut back to this after a long reader let it grow.
const LOG_BYTES_MAX: u32 = 64 * 1_024 * 1_024;

/// Page cache of the writer, KiB; it holds the upper levels of every index.
const WRITER_CACHE_KIB: i32 = 16_384;

/// Page cache of one reader, KiB.
const READER_CACHE_KIB: i32 = 2_048;

/// Prepared statements kept per connection; more than Labwire has.
const STATEMENTS_MAX: usize = 512;

/// A database file.
#[derive(Debug)]
pub(super) struct SqliteBackend {
    path: PathBuf,
    shown: Arc<str>,
    pages_max: Option<u32>,
    /// The file that was first opened for writing: no other takes its place while this runs.
    file: FirstFile,
}

/// Which file was first opened for writing, once one was.
type FirstFile = Arc<OnceLock<(u64, u64)>>;

impl SqliteBackend {
    /// The database at `path`, which connecting for writing creates if it is missing.
    pub(super) fn new(path: PathBuf, pages_max: Option<u32>) -> Self {
        let shown = path.display().to_string().into();
        Self {
            path,
            shown,
            pages_max,
            file: Arc::default(),
        }
    }

    /// Refuses a file that is damaged or belongs to another program, before anything is written
    /// to it. Reads the first pages only, so that a start does not take longer as the file grows.
    fn probe_file(&self) -> Result<(), StoreError> {
        let plain = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut session = SqliteSession::open(&plain, Access::Write, Arc::clone(&self.shown))?;
        let id = session
            .row(&Sql::same("PRAGMA application_id"), &[])?
            .int(0)?;
        let tables = session
            .row(&Sql::same("SELECT count(*) FROM sqlite_schema"), &[])?
            .int(0)?;
        if id == APPLICATION_ID || (id == 0 && tables == 0) {
            Ok(())
        } else {
            Err(StoreError::NotLabwire {
                path: Arc::clone(&self.shown),
            })
        }
    }

    /// Copies the sound database `from` to the place of this one, which must be empty.
    pub(super) fn restore(&self, from: &Path) -> Result<(), StoreError> {
        let shown: Arc<str> = from.display().to_string().into();
        let source = Self::new(from.to_owned(), None);
        source.probe_file()?;
        backup::copy(&source.options(Access::Read), &shown, &self.path)
    }

    /// Looks at every page of the file, and whether this program knows its schema.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.probe_file()?;
        backup::check(&self.path, &self.shown)?;
        let mut session = self.beside(Access::Read)?;
        self.probe(session.as_mut())?;
        migrate::is_known(session.as_mut(), &self.shown).map(|_| ())
    }

    fn options(&self, access: Access) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS_MAX)
            .foreign_keys(true)
            .disable_statement_logging();
        match access {
            Access::Read => options
                .read_only(true)
                .pragma("cache_size", (-READER_CACHE_KIB).to_string()),
            Access::Write => options
                .page_size(PAGE_BYTES)
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
                .pragma("journal_size_limit", LOG_BYTES_MAX.to_string())
                .pragma("cache_size", (-WRITER_CACHE_KIB).to_string())
                // The journal of a savepoint is needed only while the process lives; as a file it
                // costs an open and an unlink for every unit of work.
                .pragma("temp_store", "MEMORY"),
        }
    }
}

impl Backend for SqliteBackend {
    fn own(&self) -> Result<Option<Lock>, StoreError> {
        file::check_folder(&self.path)?;
        let lock = Lock::take(&self.path)?;
        // An empty store in place of the one that was put aside would be taken for the right one.
        if !self.path.exists() && file::is_restore_cut_off(&self.path) {
            let path = Arc::clone(&self.shown);
            return Err(StoreError::RestoreCutOff { path });
        }
        Ok(Some(lock))
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Session>, StoreError> {
        if access == Access::Write {
            same_file(&self.path, &self.file, &self.shown)?;
            create_private(&self.path)?;
            self.probe_file()?;
        }
        let mut session =
            SqliteSession::open(&self.options(access), access, Arc::clone(&self.shown))?;
        if let (Access::Write, Some(own)) = (access, identity(&self.path)) {
            self.file.get_or_init(|| own);
            session.file = Some((self.path.clone(), Arc::clone(&self.file)));
        }
        if let (Access::Write, Some(pages)) = (access, self.pages_max) {
            session.run_text(format!("PRAGMA max_page_count = {pages}"))?;
        }
        Ok(Box::new(session))
    }

    fn claim(&self, _: &mut dyn Session) -> Result<(), StoreError> {
        // The lock file says it.
        Ok(())
    }

    fn beside(&self, access: Access) -> Result<Box<dyn Session>, StoreError> {
        if !self.path.is_file() {
            return Err(StoreError::Missing {
                path: Arc::clone(&self.shown),
            });
        }
        self.connect(access)
    }

    fn probe(&self, session: &mut dyn Session) -> Result<(), StoreError> {
        let id = session
            .row(&Sql::same("PRAGMA application_id"), &[])?
            .int(0)?;
        let is_ours = id == APPLICATION_ID
            && session
                .row_opt(
                    &Sql::same("SELECT 1 FROM sqlite_schema WHERE name = 'schema_change'"),
                    &[],
                )?
                .is_some();
        if is_ours {
            return Ok(());
        }
        Err(StoreError::NotLabwire {
            path: Arc::clone(&self.shown),
        })
    }

    fn is_in_use(&self) -> Result<bool, StoreError> {
        Ok(Lock::is_held(&self.path))
    }

    fn upkeep(&self) -> Result<Option<Box<dyn Upkeep>>, StoreError> {
        let options = self.options(Access::Write);
        let session = SqliteSession::open(&options, Access::Write, Arc::clone(&self.shown))?;
        Ok(Some(Box::new(Checkpoints(session))))
    }

    fn seat(self: Arc<Self>) -> Option<Seat> {
        None
    }

    fn ears(self: Arc<Self>) -> Option<Ears> {
        None
    }

    fn backup(&self, asked: &Backup) -> Result<Seal, StoreError> {
        if !asked.recipients.is_empty() {
            return backup::portable(self, asked);
        }
        backup::copy(&self.options(Access::Read), &self.shown, &asked.to)?;
        backup::seal_of(&asked.to)
    }
}

/// Refuses a file that is not the one first opened: SQLite would go on writing into a file that has
/// no name any more, and all of it would be gone with the process.
fn same_file(path: &Path, file: &OnceLock<(u64, u64)>, shown: &Arc<str>) -> Result<(), StoreError> {
    match file.get() {
        Some(own) if identity(path) != Some(*own) => Err(StoreError::FileGone {
            path: Arc::clone(shown),
        }),
        _ => Ok(()),
    }
}

/// Copies the write-ahead log into the file from a connection of its own, so that no commit waits
/// for it: a passive checkpoint copies what it can and stands in nobody's way.
struct Checkpoints(SqliteSession);

impl Upkeep for Checkpoints {
    fn run(&mut self) -> Result<(), StoreError> {
        self.0.control("PRAGMA wal_checkpoint(PASSIVE)")
    }
}

/// One connection to a database file, and the runtime that drives it on this thread.
#[derive(Debug)]
pub(super) struct SqliteSession {
    runtime: Runtime,
    /// Absent only while it is dropped.
    connection: Option<SqliteConnection>,
    access: Access,
    path: Arc<str>,
    failure: Option<StoreError>,
    /// The present unit of work has a savepoint; the first of a transaction needs none, and saves
    /// the copies of pages that a savepoint costs.
    has_savepoint: bool,
    /// Where the writer's file must be, and which it is.
    file: Option<(PathBuf, FirstFile)>,
}

impl SqliteSession {
    pub(super) fn open(
        options: &SqliteConnectOptions,
        access: Access,
        path: Arc<str>,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|source| StoreError::Thread {
                source: Arc::new(source),
            })?;
        let connection = runtime
            .block_on(options.connect())
            .map_err(|error| blame(error, access, &path))?;
        Ok(Self {
            runtime,
            connection: Some(connection),
            access,
            path,
            failure: None,
            has_savepoint: false,
            file: None,
        })
    }

    /// Runs one statement whose text was made here, outside any unit of work.
    pub(super) fn run_text(&mut self, text: String) -> Result<(), StoreError> {
        self.drive(async |connection| {
            connection
                .execute(sqlx::raw_sql(AssertSqlSafe(text)))
                .await
                .map(|_| ())
        })
    }

    fn check_file(&mut self) -> Result<(), StoreError> {
        let Some((path, file)) = &self.file else {
            return Ok(());
        };
        same_file(path, file, &self.path).map_err(|error| self.fail(error))
    }

    fn control(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.failure = None;
        self.drive(async |connection| connection.execute(sqlx::query(text)).await.map(|_| ()))
    }

    fn drive<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let outcome = self.runtime.block_on(ask(connection));
        outcome.map_err(|error| self.fail(blame(error, self.access, &self.path)))
    }

    fn fail(&mut self, error: StoreError) -> StoreError {
        self.failure = Some(error.clone());
        error
    }

    fn check_params(&mut self, sql: &Sql, params: &[Param]) -> Result<(), StoreError> {
        let named = db::params_named(sql.sqlite);
        if named == params.len() {
            return Ok(());
        }
        let what = format!(
            "{} parameters, for a statement that names {named}",
            params.len()
        );
        Err(self.fail(StoreError::value(what)))
    }
}

/// Closes the file now: sqlx alone would do it on a thread of its own, some time later, while the
/// lock is free already.
impl Drop for SqliteSession {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Whatever closing reports, nothing was left to be written: every commit is on disk.
            drop(self.runtime.block_on(connection.close()));
        }
    }
}

impl Db for SqliteSession {
    fn exec(&mut self, sql: &Sql, params: &[Param]) -> Result<u64, StoreError> {
        self.check_params(sql, params)?;
        let query = bind(sqlx::query(sql.sqlite), params.iter().cloned());
        let done = self.drive(async |connection| connection.execute(query).await)?;
        Ok(done.rows_affected())
    }

    fn rows(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        self.check_params(sql, params)?;
        let query = bind(sqlx::query(sql.sqlite), params.iter().cloned());
        let rows = self.drive(async |connection| connection.fetch_all(query).await)?;
        rows.iter()
            .map(read_row)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    fn insert_rows(
        &mut self,
        insert: &Insert,
        rows: Vec<Vec<Param>>,
    ) -> Result<(u64, Vec<Row>), StoreError> {
        if rows.iter().any(|row| row.len() != insert.columns) {
            return Err(self.fail(StoreError::value("a row with another number of columns")));
        }
        let mut changed = 0_u64;
        let mut returned = Vec::new();
        let mut rows = rows;
        while !rows.is_empty() {
            let rest = rows.split_off(Insert::portion(rows.len()));
            let text = insert.text(rows.len());
            let query = bind(sqlx::query(AssertSqlSafe(text)), rows.into_iter().flatten());
            let answers = self.drive(async |connection| all_answers(connection, query).await)?;
            for answer in answers {
                match answer {
                    Either::Left(count) => changed += count,
                    Either::Right(row) => {
                        returned.push(read_row(&row).map_err(|error| self.fail(error))?);
                    }
                }
            }
            rows = rest;
        }
        Ok((changed, returned))
    }

    fn prepare(&mut self, sql: &Sql) -> Result<(), StoreError> {
        self.drive(async |connection| {
            connection
                .prepare(sql.sqlite.into_sql_str())
                .await
                .map(|_| ())
        })
    }
}

impl Session for SqliteSession {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.has_savepoint = false;
        // A transaction that only later turns into a write gets "database is locked" at once.
        self.control(match self.access {
            Access::Write => "BEGIN IMMEDIATE",
            Access::Read => "BEGIN DEFERRED",
        })
    }

    fn next_work(&mut self) -> Result<(), StoreError> {
        let text = if self.has_savepoint {
            "RELEASE work; SAVEPOINT work"
        } else {
            "SAVEPOINT work"
        };
        self.has_savepoint = true;
        self.control(text)
    }

    fn undo_work(&mut self) -> Result<(), StoreError> {
        // The first work is the whole transaction so far.
        self.control(if self.has_savepoint {
            "ROLLBACK TO work"
        } else {
            "ROLLBACK; BEGIN IMMEDIATE"
        })
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.check_file()?;
        self.control("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        self.control("ROLLBACK")
    }

    fn guard(&mut self, _: &str) {}

    fn writes_alone(&self) -> bool {
        true
    }

    fn alone(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        self.failure = None;
        self.has_savepoint = false;
        self.check_file()?;
        self.rows(sql, params)
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure.clone()
    }

    fn script(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.drive(async |connection| connection.execute(sqlx::raw_sql(text)).await.map(|_| ()))
    }

    fn made(&mut self, text: String, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        let query = bind(sqlx::query(AssertSqlSafe(text)), params.iter().cloned());
        let rows = self.drive(async |connection| connection.fetch_all(query).await)?;
        rows.iter()
            .map(read_row)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    fn made_slowly(&mut self, text: String) -> Result<(), StoreError> {
        self.made(text, &[]).map(|_| ())
    }
}

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: SqliteQuery<'q>, params: impl Iterator<Item = Param>) -> SqliteQuery<'q> {
    params.fold(query, |query, param| match param {
        Param::Null => query.bind(None::<i64>),
        Param::Int(value) => query.bind(value),
        Param::Text(value) => query.bind(value),
        Param::Blob(value) => query.bind(value),
    })
}

async fn all_answers(
    connection: &mut SqliteConnection,
    query: SqliteQuery<'_>,
) -> Result<Vec<Either<u64, SqliteRow>>, sqlx::Error> {
    use futures_util::TryStreamExt as _;
    connection
        .fetch_many(query)
        .map_ok(|answer| answer.map_left(|done| done.rows_affected()))
        .try_collect()
        .await
}

fn read_row(row: &SqliteRow) -> Result<Row, StoreError> {
    (0..row.len())
        .map(|column| read_value(row, column))
        .collect::<Result<_, _>>()
        .map(Row::new)
}

fn read_value(row: &SqliteRow, column: usize) -> Result<Param, StoreError> {
    let misread = |_| StoreError::value(format!("column {column} does not decode"));
    let raw = row.try_get_raw(column).map_err(misread)?;
    if raw.is_null() {
        return Ok(Param::Null);
    }
    let info = raw.type_info().into_owned();
    match info.name() {
        "INTEGER" => row
            .try_get_unchecked(column)
            .map(Param::Int)
            .map_err(misread),
        "TEXT" => row
            .try_get_unchecked(column)
            .map(Param::Text)
            .map_err(misread),
        "BLOB" => row
            .try_get_unchecked(column)
            .map(Param::Blob)
            .map_err(misread),
        other => Err(StoreError::value(format!("column {column} holds {other}"))),
    }
}

/// Turns what SQLite reports into who can mend it.
pub(super) fn blame(error: sqlx::Error, access: Access, path: &Arc<str>) -> StoreError {
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<i32>().ok());
    let is_gone = matches!(error, sqlx::Error::WorkerCrashed | sqlx::Error::Io(_));
    let source: Cause = Arc::new(error);
    let path = Arc::clone(path);
    // The low byte of the extended code is the primary one: https://www.sqlite.org/rescode.html
    match code.map(|code| code & 0xFF) {
        Some(13) => StoreError::DiskFull {
            path,
            source: Some(source),
        },
        Some(10) => StoreError::DiskFailed {
            path,
            source: Some(source),
        },
        Some(8) if access == Access::Write => StoreError::ReadOnly { path, source },
        Some(5 | 6) => StoreError::Busy { path, source },
        Some(11 | 26) => StoreError::Damaged { path, source },
        Some(14) => StoreError::CannotOpen { path, source },
        Some(19) => StoreError::RuleBroken { source },
        None if is_gone => StoreError::DiskFailed {
            path,
            source: Some(source),
        },
        _ => StoreError::Statement { source },
    }
}
