//! The PostgreSQL backend: one database of a server, every commit on the server's disk before it is
//! reported.
//!
//! The writer's connection holds an advisory lock of the server for as long as it lives ([`owner`]).
//! What it writes goes through that connection, so that nothing is written by a process that has lost
//! the lock: with the connection goes the transaction. Connections beside it (the command line) take
//! turns with the writer by a second lock, held for one transaction, as one file lets one write.

mod blame;
mod ears;
#[cfg(test)]
mod node_tests;
mod owner;
mod pause;
mod seat;
#[cfg(test)]
mod tests;
mod value;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, PgConnection,
    Postgres, SqlSafeStr as _, Statement as _,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::runtime::Runtime;

use self::{
    blame::blame,
    owner::Keys,
    pause::Pause,
    value::{Untyped, outgoing, outgoing_one, read_row},
};
pub use self::{ears::Ears, seat::Seat};
use super::{
    address::Server,
    backup::{self, Backup},
    clock::Clock,
    db::{self, Db, Insert, Param, Row, Sql},
    error::StoreError,
    lock::Lock,
    migrate,
    nodes::NodeRun,
    seal::Seal,
    session::{Access, Backend, Dialect, Session, Upkeep},
};

/// How long the server is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// While a connection is made.
    connect: Duration,
    /// For one statement. A peer waits 10 to 15 s for its acknowledgement and then sends again; a
    /// server that takes longer than this is taken for gone.
    answer: Duration,
    /// While a connection is closed.
    close: Duration,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(30),
    close: Duration::from_secs(1),
};

/// Prepared statements kept per connection; more than Labwire has.
const STATEMENTS_MAX: usize = 512;

/// What every connection sets. A commit is on disk whatever the server's default says; a transaction
/// waits for its turn as long as one of SQLite does; a machine that is gone without a word is noticed
/// after half a minute, so that another can take over. What is asked for lies in memory or on a disk without
/// arms: at the server's default for arms, a look by an index into a table of some ten thousand rows is
/// taken for dearer than reading all of it. A statement is planned once a connection, perhaps while its table
/// is all but empty, where reading all of it costs nothing: it would go on doing so until the server has
/// counted again. Every statement has its index, so none reads a whole table that has one to offer; a plan
/// that has to is no reason to compile it, either.
const SETTINGS: &str = "SET synchronous_commit = on; SET random_page_cost = 1.1; SET enable_seqscan = off; \
    SET jit = off; SET lock_timeout = '5s'; \
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0";

/// What a node's writer sets besides: a node that is paused or cut off in the middle of a transaction
/// must not keep the others from writing.
const SETTINGS_OF_NODE: &str = "SET idle_in_transaction_session_timeout = '4s'; \
    SET tcp_user_timeout = 5000";

/// What the server must be: durable, and of a character set that holds every other.
const SERVER: Sql =
    Sql::same("SELECT current_setting('fsync') = 'on', current_setting('server_encoding')");

/// Whether the schema has tables of ours, and whether it has any.
const TABLES: Sql = Sql::same(
    "SELECT count(*) FILTER (WHERE c.relname = 'schema_change') > 0, count(*) > 0 FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm')",
);

/// A database of a server.
#[derive(Debug)]
pub(super) struct PostgresBackend {
    server: Server,
    patience: Patience,
    /// One of several that share the store; `None` has it alone.
    node: Option<NodeRun>,
    /// Set once this process owns the store: what the store says as long as nobody else has owned it
    /// since. Of a node, its run.
    token: OnceLock<String>,
    /// Of the writer, who may lack the lock while readers still see what there is …
    writing: Pause,
    /// … and of the readers.
    reading: Pause,
}

impl PostgresBackend {
    /// The database that `server` names. The clock tells how long ago connecting failed.
    pub(super) fn new(server: Server, clock: Arc<dyn Clock>, node: Option<NodeRun>) -> Self {
        Self {
            server,
            patience: PATIENCE,
            node,
            token: OnceLock::new(),
            writing: Pause::new(Arc::clone(&clock)),
            reading: Pause::new(clock),
        }
    }

    /// The server, told who connects.
    fn server_as(&self, node: Option<&NodeRun>) -> Server {
        let mut name = format!("labwire/{}", std::process::id());
        if let Some(node) = node {
            name.push_str(&format!(" {}", node.run));
        }
        Server {
            options: self.server.options.clone().application_name(&name),
            shown: Arc::clone(&self.server.shown),
        }
    }

    fn open(&self, access: Access) -> Result<PostgresSession, StoreError> {
        let server = self.server_as(self.node.as_ref());
        let mut session = PostgresSession::open(&server, access, self.patience)?;
        session.check_server()?;
        Ok(session)
    }

    fn open_owner(&self) -> Result<PostgresSession, StoreError> {
        let mut session = self.open(Access::Write)?;
        let token = self.token.get().map(String::as_str);
        if let Some(node) = &self.node {
            session.control(SETTINGS_OF_NODE)?;
            owner::share(&mut session)?;
            if token.is_some() {
                session.guard(&node.run);
            }
        } else {
            owner::take(&mut session, token)?;
        }
        match self.probe(&mut session) {
            // The schema is made in an empty one.
            Err(StoreError::Missing { .. }) if token.is_none() => return Ok(session),
            outcome => outcome?,
        }
        if token.is_some() {
            // A newer program may have changed the schema meanwhile.
            migrate::is_known(&mut session, &self.server.shown)?;
        }
        Ok(session)
    }
}

impl Backend for PostgresBackend {
    fn own(&self) -> Result<Option<Lock>, StoreError> {
        // The writer's connection holds the lock.
        Ok(None)
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Session>, StoreError> {
        let pause = match access {
            Access::Write => &self.writing,
            Access::Read => &self.reading,
        };
        pause.check()?;
        let opened = match access {
            Access::Write => self.open_owner(),
            Access::Read => self.open(access),
        };
        pause.note(opened.as_ref().err());
        Ok(Box::new(opened?))
    }

    fn claim(&self, session: &mut dyn Session) -> Result<(), StoreError> {
        let token = match &self.node {
            None => owner::claim(session)?,
            Some(node) => {
                owner::join(session, node, &self.server.shown)?;
                session.guard(&node.run);
                node.run.clone()
            }
        };
        self.token.get_or_init(|| token);
        Ok(())
    }

    fn beside(&self, access: Access) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(self.open(access)?))
    }

    fn probe(&self, session: &mut dyn Session) -> Result<(), StoreError> {
        let row = session.row(&TABLES, &[])?;
        let path = || Arc::clone(&self.server.shown);
        match (row.bool(0)?, row.bool(1)?) {
            (true, _) => Ok(()),
            (false, true) => Err(StoreError::NotLabwire { path: path() }),
            (false, false) => Err(StoreError::Missing { path: path() }),
        }
    }

    fn is_in_use(&self) -> Result<bool, StoreError> {
        let mut session = self.open(Access::Read)?;
        owner::of(&mut session).map(|owner| owner.is_some())
    }

    fn upkeep(&self) -> Result<Option<Box<dyn Upkeep>>, StoreError> {
        // The server has a process for it.
        Ok(None)
    }

    fn seat(self: Arc<Self>) -> Option<Seat> {
        let node = self.node.clone()?;
        Some(Seat::new(self, node))
    }

    fn ears(self: Arc<Self>) -> Option<Ears> {
        self.node.is_some().then(|| Ears::new(self))
    }

    fn backup(&self, asked: &Backup) -> Result<Seal, StoreError> {
        backup::portable(self, asked)
    }
}

/// One connection to the server, and the runtime that drives it on this thread.
#[derive(Debug)]
pub(super) struct PostgresSession {
    runtime: Runtime,
    patience: Patience,
    /// Absent once the server did not answer, and while it is dropped.
    connection: Option<PgConnection>,
    access: Access,
    path: Arc<str>,
    failure: Option<StoreError>,
    /// The present unit of work has a savepoint; the first of a transaction needs none.
    has_savepoint: bool,
    /// What begins a transaction.
    begin: String,
    /// Every transaction begins by looking whether its run is fenced.
    is_guarded: bool,
    keys: Keys,
}

impl PostgresSession {
    fn open(server: &Server, access: Access, patience: Patience) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoreError::Thread {
                source: Arc::new(source),
            })?;
        let options = server
            .options
            .clone()
            .statement_cache_capacity(STATEMENTS_MAX);
        let path = Arc::clone(&server.shown);
        let opened = runtime.block_on(async {
            tokio::time::timeout(patience.connect, options.connect())
                .await
                .unwrap_or_else(|_| Err(silence()))
        });
        let connection = opened.map_err(|error| blame(error, access, &path))?;
        let mut session = Self {
            runtime,
            patience,
            connection: Some(connection),
            access,
            path,
            failure: None,
            has_savepoint: false,
            begin: String::new(),
            is_guarded: false,
            keys: Keys::default(),
        };
        session.control(SETTINGS)?;
        session.keys = Keys::read(&mut session)?;
        session.begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
            Access::Write => format!("BEGIN; {}", session.keys.turn()),
        };
        Ok(session)
    }

    fn check_server(&mut self) -> Result<(), StoreError> {
        let row = self.row(&SERVER, &[])?;
        let lacks = match (row.bool(0)?, row.text(1)?) {
            (true, "UTF8") => return Ok(()),
            (true, _) => "its character set is not UTF8",
            (false, _) => "it runs with fsync = off, so that a commit is not on disk",
        };
        Err(StoreError::ServerUnfit {
            path: Arc::clone(&self.path),
            lacks,
        })
    }

    fn control(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.failure = None;
        self.drive(async |connection| connection.execute(sqlx::raw_sql(text)).await.map(|_| ()))
    }

    fn begin_with(&mut self, before: &'static str) -> Result<(), StoreError> {
        self.failure = None;
        self.has_savepoint = false;
        let text = format!("{before}{}", self.begin);
        self.run_text(text)
    }

    /// Runs statements whose text was made here.
    fn run_text(&mut self, text: String) -> Result<(), StoreError> {
        self.drive(async |connection| {
            connection
                .execute(sqlx::raw_sql(AssertSqlSafe(text)))
                .await
                .map(|_| ())
        })
    }

    fn drive<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.drive_within(Some(self.patience.answer), ask)
    }

    fn drive_within<T>(
        &mut self,
        limit: Option<Duration>,
        ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Some(connection) = self.connection.as_mut() else {
            let error = blame(silence(), self.access, &self.path);
            return Err(self.fail(error));
        };
        let outcome = self.runtime.block_on(async {
            let Some(limit) = limit else {
                return ask(connection).await;
            };
            let answer = tokio::time::timeout(limit, ask(connection)).await;
            answer.unwrap_or_else(|_| Err(silence()))
        });
        outcome.map_err(|error| {
            let error = blame(error, self.access, &self.path);
            if matches!(error, StoreError::ServerLost { .. }) {
                // What it may still answer would be taken for the answer to something else.
                self.connection = None;
            }
            self.fail(error)
        })
    }

    fn fail(&mut self, error: StoreError) -> StoreError {
        self.failure = Some(error.clone());
        error
    }

    fn check_params(&mut self, sql: &Sql, params: &[Param]) -> Result<(), StoreError> {
        let named = db::params_named(sql.postgres);
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

/// The server did not answer in time.
fn silence() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// Says goodbye, so that the lock is free when the store is closed and not some time later.
impl Drop for PostgresSession {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let close = async {
                // An open transaction is given up with the connection; a failure here is that of a
                // connection that is lost anyway, and the server frees its locks itself.
                drop(connection.execute(sqlx::raw_sql(owner::RELEASE)).await);
                drop(connection.close().await);
            };
            drop(
                self.runtime
                    .block_on(async { tokio::time::timeout(self.patience.close, close).await }),
            );
        }
    }
}

impl Db for PostgresSession {
    fn exec(&mut self, sql: &Sql, params: &[Param]) -> Result<u64, StoreError> {
        self.check_params(sql, params)?;
        let query = bind(sqlx::query(sql.postgres), outgoing(sql.postgres, params));
        let done = self.drive(async |connection| connection.execute(query).await)?;
        Ok(done.rows_affected())
    }

    fn rows(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        self.check_params(sql, params)?;
        let query = bind(sqlx::query(sql.postgres), outgoing(sql.postgres, params));
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
            let text = insert.postgres_text(rows.len());
            let values = rows.into_iter().flatten().map(outgoing_one);
            let query = bind(sqlx::query(AssertSqlSafe(text)), values);
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
        let unexpected = self.drive(async |connection| {
            let statement = connection.prepare(sql.postgres.into_sql_str()).await?;
            let Some(Either::Left(parameters)) = statement.parameters() else {
                return Ok(None);
            };
            Ok(parameters
                .iter()
                .position(|parameter| !value::is_expected(parameter))
                .map(|index| {
                    format!(
                        "parameter {} is inferred as {}",
                        index + 1,
                        parameters[index]
                    )
                }))
        })?;
        match unexpected {
            None => Ok(()),
            Some(what) => Err(self.fail(StoreError::value(what))),
        }
    }
}

impl Session for PostgresSession {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.begin_with("")
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
        if self.has_savepoint {
            self.control("ROLLBACK TO work")
        } else {
            self.begin_with("ROLLBACK; ")
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        // A transaction in which a statement has failed would be rolled back by COMMIT, without an
        // error; the SELECT makes one of it.
        self.control("SELECT 1; COMMIT")
    }

    fn rollback(&mut self) -> Result<(), StoreError> {
        self.control("ROLLBACK")
    }

    fn guard(&mut self, run: &str) {
        self.begin = format!("BEGIN; {}; {}", self.keys.turn(), owner::fence(run));
        self.is_guarded = true;
    }

    fn writes_alone(&self) -> bool {
        // A statement by itself would pass the fence.
        !self.is_guarded
    }

    fn alone(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        self.failure = None;
        self.has_savepoint = false;
        self.rows(sql, params)
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure.clone()
    }

    fn script(&mut self, text: &'static str) -> Result<(), StoreError> {
        // A change of the schema takes as long as there are rows.
        self.drive_within(None, async |connection| {
            connection.execute(sqlx::raw_sql(text)).await.map(|_| ())
        })
    }

    fn made(&mut self, text: String, params: &[Param]) -> Result<Vec<Row>, StoreError> {
        let values: Vec<Param> = params.iter().cloned().map(outgoing_one).collect();
        let query = bind(sqlx::query(AssertSqlSafe(text)), values);
        let rows = self.drive(async |connection| connection.fetch_all(query).await)?;
        rows.iter()
            .map(read_row)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    fn made_slowly(&mut self, text: String) -> Result<(), StoreError> {
        self.drive_within(None, async |connection| {
            connection
                .execute(sqlx::raw_sql(AssertSqlSafe(text)))
                .await
                .map(|_| ())
        })
    }
}

/// A connection of a program that is none of the nodes, for tests.
#[cfg(test)]
fn beside<T>(
    url: &str,
    work: impl FnOnce(&mut dyn Session) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let crate::store::address::Address::Server(server) = crate::store::address::Address::read(url)?
    else {
        return Err(StoreError::UrlWrong);
    };
    work(&mut PostgresSession::open(
        &server,
        Access::Write,
        PATIENCE,
    )?)
}

type PostgresQuery<'q> = Query<'q, Postgres, PgArguments>;

fn bind(query: PostgresQuery<'_>, params: impl IntoIterator<Item = Param>) -> PostgresQuery<'_> {
    params
        .into_iter()
        .fold(query, |query, param| query.bind(Untyped(param)))
}

async fn all_answers(
    connection: &mut PgConnection,
    query: PostgresQuery<'_>,
) -> Result<Vec<Either<u64, PgRow>>, sqlx::Error> {
    connection
        .fetch_many(query)
        .map_ok(|answer| answer.map_left(|done| done.rows_affected()))
        .try_collect()
        .await
}
