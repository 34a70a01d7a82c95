//! The seam between the store's threads and a database: what a backend has to bring.

use std::{fmt, sync::Arc};

use super::{
    backup::Backup,
    db::{Db, Param, Row, Sql},
    error::StoreError,
    lock::Lock,
    postgres::{Ears, Seat},
    seal::Seal,
};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The one writer.
    Write,
    /// A reader: sees what was committed when its work began, changes nothing.
    Read,
}

/// Which language a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// That of SQLite.
    Sqlite,
    /// That of PostgreSQL.
    Postgres,
}

/// A database that connections can be made to: a file of SQLite, or PostgreSQL, under the same
/// conformance suite.
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// Takes the store for this process, before the first connection; `None` where the writer's
    /// connection does so.
    fn own(&self) -> Result<Option<Lock>, StoreError>;

    /// Opens a connection of the owner. Called on the thread that will use it.
    fn connect(&self, access: Access) -> Result<Box<dyn Session>, StoreError>;

    /// Writes down that this process is the owner, once the schema is there.
    fn claim(&self, session: &mut dyn Session) -> Result<(), StoreError>;

    /// Opens a connection to a store that another process may own.
    fn beside(&self, access: Access) -> Result<Box<dyn Session>, StoreError>;

    /// Refuses a database that is not a store of ours.
    fn probe(&self, session: &mut dyn Session) -> Result<(), StoreError>;

    /// Whether a process owns the store.
    fn is_in_use(&self) -> Result<bool, StoreError>;

    /// What keeps it in shape, if anything has to. Called on the thread that will use it.
    fn upkeep(&self) -> Result<Option<Box<dyn Upkeep>>, StoreError>;

    /// The seat of a node among others, where the store is one that nodes share.
    fn seat(self: Arc<Self>) -> Option<Seat>;

    /// What hears other nodes, where there may be others.
    fn ears(self: Arc<Self>) -> Option<Ears>;

    /// Writes a checked copy of the database while it is in use.
    fn backup(&self, backup: &Backup) -> Result<Seal, StoreError>;
}

/// What a database wants done now and then, beside the writer and without holding it up.
pub(super) trait Upkeep {
    /// Does it once. A failure costs nothing but space, and is tried again.
    fn run(&mut self) -> Result<(), StoreError>;
}

/// One connection and its transaction.
pub(super) trait Session: Db {
    /// What it speaks.
    fn dialect(&self) -> Dialect;

    /// Begins a transaction and, in it, the first unit of work.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Keeps the unit of work that just ended and begins the next one of the same transaction.
    fn next_work(&mut self) -> Result<(), StoreError>;

    /// Undoes the present unit of work alone and begins the next one.
    fn undo_work(&mut self) -> Result<(), StoreError>;

    /// Commits the transaction; when this returns, it is on disk.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Gives the transaction up, if there is one.
    fn rollback(&mut self) -> Result<(), StoreError>;

    /// From now on every transaction fails at its beginning if this run is fenced.
    fn guard(&mut self, run: &str);

    /// Whether [`Session::alone`] may be used.
    fn writes_alone(&self) -> bool;

    /// Runs one statement as a transaction of its own; when this returns, it is on disk.
    fn alone(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError>;

    /// The first error of the present unit of work.
    fn failure(&self) -> Option<StoreError>;

    /// Runs a script of several statements.
    fn script(&mut self, text: &'static str) -> Result<(), StoreError>;

    /// Runs a statement whose text was made of the names that the database itself gives its tables:
    /// for copies, which know no table by name.
    fn made(&mut self, text: String, params: &[Param]) -> Result<Vec<Row>, StoreError>;

    /// The same, however long it takes, for a statement that looks at every row.
    fn made_slowly(&mut self, text: String) -> Result<(), StoreError>;
}
