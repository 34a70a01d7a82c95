//! What can go wrong with the store, grouped by who can mend it.

use std::{error::Error, path::PathBuf, sync::Arc};

/// The cause of a [`StoreError`], shared because one failed commit is reported to a whole group.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why the store did not do what it was asked.
///
/// An error means that nothing is promised: after a failed commit the work may still be found on
/// disk later (a disk that reports an error may have written), so work that is tried again must
/// be recognised as the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    // The disk or the machine: devices keep their data and send it again.
    /// No room is left for the database or its write-ahead log.
    #[error("the disk with {path} is full: free some space; devices keep their results until then")]
    DiskFull {
        /// The database.
        path: Arc<str>,
        /// What the database said; absent when a test asked for the fault.
        #[source]
        source: Option<Cause>,
    },
    /// Reading or writing failed.
    #[error(
        "the disk with {path} reports an error: check the disk and the cables, then the system log"
    )]
    DiskFailed {
        /// The database.
        path: Arc<str>,
        /// What the database said; absent when a test asked for the fault.
        #[source]
        source: Option<Cause>,
    },
    /// The file may not be written.
    #[error(
        "{path} is read-only: give the user that runs labwire the right to write it and its folder"
    )]
    ReadOnly {
        /// The database.
        path: Arc<str>,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// The file may not be opened at all.
    #[error(
        "{path} cannot be opened: check that the folder exists and that labwire may write there"
    )]
    CannotOpen {
        /// The database, its lock or a backup.
        path: Arc<str>,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The file is not where it was: what goes into it now would be lost with the process.
    #[error(
        "{path} was moved or deleted while labwire runs, so nothing is acknowledged: put it back, \
         or stop labwire, look for the file, and start again"
    )]
    FileGone {
        /// The database.
        path: Arc<str>,
    },
    /// Another program keeps the database locked.
    #[error("another program keeps {path} locked: close any database browser that has it open")]
    Busy {
        /// The database.
        path: Arc<str>,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// The database server does not answer.
    #[error(
        "the database server of {path} does not answer: start it, or look at the network; devices keep their results until then"
    )]
    ServerLost {
        /// The database.
        path: Arc<str>,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// The database server does not let this program in.
    #[error(
        "the database server of {path} does not let labwire in: look at user, password, database and rights, and over TLS at sslmode and sslrootcert"
    )]
    ServerRefused {
        /// The database.
        path: Arc<str>,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The connection that proved this process the owner was lost, and the store is not its own now.
    #[error(
        "the connection to {path} was lost and another labwire has, or may have, taken the store over: nothing is written; if this lasts, stop this labwire and look which one is to run"
    )]
    OwnerLost {
        /// The database.
        path: Arc<str>,
    },
    /// Another node has taken over what this one served.
    #[error(
        "another node took this one for dead and serves its lines: this one writes nothing more in {path}; start it anew, and look why it was silent"
    )]
    Fenced {
        /// The database.
        path: Arc<str>,
    },
    /// The store was closed, or its writer ended, before the work was done.
    #[error("the store is closed; nothing more can be read or written")]
    Closed,
    /// Another process has this store open.
    #[error("{path} is in use by another labwire (process {}): stop that one first, or start this one with its own [store] url", pid.as_deref().unwrap_or("unknown"))]
    InUse {
        /// The database.
        path: Arc<str>,
        /// The owner's process number, as it wrote it into the lock file.
        pid: Option<String>,
    },

    // What the site wrote or did.
    /// An address of a server that cannot be read.
    #[error("the store address cannot be read: write postgres://user@host/database")]
    UrlWrong,
    /// A server that a store cannot be on.
    #[error("the database server of {path} cannot hold a store: {lacks}")]
    ServerUnfit {
        /// The database.
        path: Arc<str>,
        /// What it lacks.
        lacks: &'static str,
    },
    /// Nodes share a database of a server.
    #[error(
        "{path} is a file, which one labwire has for itself: for [node], write [store] url = \"postgres://user@host/database\""
    )]
    OneOwner {
        /// The database.
        path: Arc<str>,
    },
    /// What was there is put aside with files alone.
    #[error(
        "{path} holds a store already, and a database of PostgreSQL is never overwritten: make an empty database, name it in [store] url, and restore into that"
    )]
    NotAFile {
        /// The database.
        path: Arc<str>,
    },
    /// The address names no store that this program has.
    #[error(
        "the store address begins with `{scheme}`, which this labwire does not have: write sqlite:labwire.db or postgres://user@host/database"
    )]
    UrlUnknown {
        /// The part before the colon; the rest may hold a password.
        scheme: String,
    },
    /// The folder of the database does not exist.
    #[error("the folder {path} does not exist: create it, or correct [store] url in lab.toml")]
    FolderMissing {
        /// The folder.
        path: PathBuf,
    },
    /// A newer labwire has changed the database.
    #[error(
        "{path} was written by a newer labwire (schema {found}, this one knows {known}): install the newer labwire again; do not edit the file"
    )]
    NewerSchema {
        /// The database.
        path: Arc<str>,
        /// The schema found.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// A migration that was applied differs from the one in this program.
    #[error(
        "schema {number} of {path} is not the one this labwire was built with: use the labwire that wrote it"
    )]
    OtherSchema {
        /// The database.
        path: Arc<str>,
        /// The migration that differs.
        number: i64,
    },
    /// A database, but not one of Labwire's.
    #[error("{path} is the database of another program: correct [store] url in lab.toml")]
    NotLabwire {
        /// The database.
        path: Arc<str>,
    },
    /// The database was last opened by an older labwire, and only `run` brings it up to date.
    #[error(
        "{path} is from an older labwire (schema {found}, this one needs {known}): start `labwire run` once, it brings the file up to date"
    )]
    OlderSchema {
        /// The database.
        path: Arc<str>,
        /// The schema found.
        found: i64,
        /// The schema this program needs.
        known: i64,
    },
    /// Older nodes are at work, and could not go on with the schema of this program.
    #[error(
        "this labwire changes {path} in a way that the nodes at work cannot go on with ({nodes}): stop them, start this one, then start them with the same labwire"
    )]
    NodesAtWork {
        /// The database.
        path: Arc<str>,
        /// Their names.
        nodes: String,
    },
    /// There is no such file.
    #[error("there is no {path}: name the right file, or correct [store] url in lab.toml")]
    Missing {
        /// The database or backup.
        path: Arc<str>,
    },
    /// A restore overwrites only when told to.
    #[error(
        "{path} exists already: add --replace to put the backup in its place; the present file is then kept beside it"
    )]
    StoreExists {
        /// The database.
        path: Arc<str>,
    },
    /// The former store was put aside, and the backup has not taken its place yet.
    #[error(
        "a restore of {path} was cut off: run the same `labwire restore` once more before anything else; the former store is beside it, its name ends in before-restore and the time"
    )]
    RestoreCutOff {
        /// The database.
        path: Arc<str>,
    },
    /// A backup never overwrites.
    #[error(
        "{path} exists already and is never overwritten: choose another name, or move it aside and keep it"
    )]
    BackupExists {
        /// The file that is in the way.
        path: Arc<str>,
    },

    /// A backup or an archive is encrypted.
    #[error("{path} is encrypted: name the file with its secret key, --identity KEYFILE")]
    KeyNeeded {
        /// The file.
        path: Arc<str>,
    },
    /// None of the keys at hand opens it.
    #[error(
        "no key at hand opens {path}: look for the key file whose public key stood in [backup] recipients when it was written"
    )]
    KeyWrong {
        /// The file.
        path: Arc<str>,
    },
    /// A key file holds no key.
    #[error(
        "{path} is no key file: it has a line that begins with AGE-SECRET-KEY-1, as `labwire backup --new-key` or age-keygen writes it"
    )]
    KeyUnreadable {
        /// The file.
        path: Arc<str>,
    },

    // The content of the file.
    /// A backup or an archive is not what was written.
    #[error(
        "{path} is damaged ({what}), and nothing was changed: use another copy, and look at the disk that holds this one"
    )]
    CopyDamaged {
        /// The file.
        path: Arc<str>,
        /// What does not fit.
        what: String,
    },
    /// The file is not a sound database.
    #[error(
        "{path} is damaged: stop labwire, keep the file and its -wal aside, and use `labwire restore` with the last backup"
    )]
    Damaged {
        /// The database.
        path: Arc<str>,
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// A backup was written and then failed its check.
    #[error(
        "the backup {path} failed its check ({finding}) and was not kept: the database itself may be damaged"
    )]
    BackupUnsound {
        /// The backup.
        path: Arc<str>,
        /// The first finding of the integrity check.
        finding: String,
    },

    // Work that was given up on purpose.
    /// The work itself asked to be rolled back.
    #[error("{text}")]
    Refused {
        /// The stable code of the reason.
        code: &'static str,
        /// The reason, without patient data.
        text: String,
    },
    /// A frame came again with other bytes under the same session and number.
    #[error("frame {index} of session {session} on {line} is on disk already with other bytes")]
    FrameConflict {
        /// The line.
        line: String,
        /// The session.
        session: u64,
        /// The frame.
        index: u32,
    },

    // Mistakes of this program.
    /// A rule of the schema was broken.
    #[error("a rule of the database was broken by a statement of labwire; please report it")]
    RuleBroken {
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// A statement did not run.
    #[error("a statement of labwire does not fit its database; please report it")]
    Statement {
        /// What the database said.
        #[source]
        source: Cause,
    },
    /// A value was not what the program expected.
    #[error("a stored value is not what labwire expected ({what}); please report it")]
    Value {
        /// Which column or parameter, and what was expected; never the value.
        what: String,
    },
    /// The work panicked and was rolled back.
    #[error("labwire stumbled over its own mistake while writing, and undid it; please report it")]
    Panicked,
    /// A thread of the store could not be started.
    #[error("a thread of the store could not be started")]
    Thread {
        /// What the system said.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "STORE-0001",
            Self::DiskFailed { .. } => "STORE-0002",
            Self::ReadOnly { .. } => "STORE-0003",
            Self::CannotOpen { .. } => "STORE-0004",
            Self::Busy { .. } => "STORE-0005",
            Self::Closed => "STORE-0006",
            Self::InUse { .. } => "STORE-0007",
            Self::FileGone { .. } => "STORE-0008",
            Self::ServerLost { .. } => "STORE-0009",
            Self::ServerRefused { .. } => "STORE-0010",
            Self::OwnerLost { .. } => "STORE-0011",
            Self::Fenced { .. } => "STORE-0012",
            Self::UrlUnknown { .. } => "STORE-0101",
            Self::FolderMissing { .. } => "STORE-0102",
            Self::NewerSchema { .. } => "STORE-0103",
            Self::OtherSchema { .. } => "STORE-0104",
            Self::NotLabwire { .. } => "STORE-0105",
            Self::BackupExists { .. } => "STORE-0106",
            Self::OlderSchema { .. } => "STORE-0107",
            Self::Missing { .. } => "STORE-0108",
            Self::StoreExists { .. } => "STORE-0109",
            Self::NotAFile { .. } => "STORE-0110",
            Self::ServerUnfit { .. } => "STORE-0111",
            Self::UrlWrong => "STORE-0112",
            Self::RestoreCutOff { .. } => "STORE-0113",
            Self::OneOwner { .. } => "STORE-0114",
            Self::NodesAtWork { .. } => "STORE-0115",
            Self::Damaged { .. } => "STORE-0201",
            Self::BackupUnsound { .. } => "STORE-0202",
            Self::CopyDamaged { .. } => "STORE-0203",
            Self::KeyNeeded { .. } => "STORE-0116",
            Self::KeyWrong { .. } => "STORE-0117",
            Self::KeyUnreadable { .. } => "STORE-0118",
            Self::Refused { code, .. } => code,
            Self::FrameConflict { .. } => "STORE-0302",
            Self::RuleBroken { .. } => "STORE-0401",
            Self::Statement { .. } => "STORE-0402",
            Self::Value { .. } => "STORE-0403",
            Self::Panicked => "STORE-0404",
            Self::Thread { .. } => "STORE-0405",
        }
    }

    /// Whether the store as a whole cannot write now: the peer keeps its data and tries again, and
    /// trying the same work later can succeed.
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::DiskFailed { .. }
                | Self::ReadOnly { .. }
                | Self::CannotOpen { .. }
                | Self::Busy { .. }
                | Self::Closed
                | Self::FileGone { .. }
                | Self::Damaged { .. }
                | Self::ServerLost { .. }
                | Self::ServerRefused { .. }
                | Self::OwnerLost { .. }
                | Self::Fenced { .. }
        )
    }

    /// Rolls the work back for a reason that the caller will recognise by its code.
    pub fn refused(code: &'static str, text: impl Into<String>) -> Self {
        Self::Refused {
            code,
            text: text.into(),
        }
    }

    /// A value that this program should never have met. `what` must not hold the value itself.
    pub fn value(what: impl Into<String>) -> Self {
        Self::Value { what: what.into() }
    }
}
