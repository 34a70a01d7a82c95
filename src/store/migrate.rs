//! Numbered changes of the schema, each applied once, in order, all of a start in one transaction.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{
    db::Sql,
    error::StoreError,
    session::{Dialect, Session},
};

/// One change of the schema. Once released, its text never changes: a database remembers its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl Migration {
    const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// All changes. To add one, add its files and one entry here.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "journal",
        sqlite: include_str!("migrations/0001_journal.sql"),
        postgres: include_str!("migrations/postgres/0001_journal.sql"),
    },
    Migration {
        number: 2,
        name: "domain",
        sqlite: include_str!("migrations/0002_domain.sql"),
        postgres: include_str!("migrations/postgres/0002_domain.sql"),
    },
    Migration {
        number: 3,
        name: "work_step",
        sqlite: include_str!("migrations/0003_work_step.sql"),
        postgres: include_str!("migrations/postgres/0003_work_step.sql"),
    },
    Migration {
        number: 4,
        name: "console",
        sqlite: include_str!("migrations/0004_console.sql"),
        postgres: include_str!("migrations/postgres/0004_console.sql"),
    },
    Migration {
        number: 5,
        name: "keyed",
        sqlite: include_str!("migrations/0005_keyed.sql"),
        postgres: include_str!("migrations/postgres/0005_keyed.sql"),
    },
    Migration {
        number: 6,
        name: "image",
        sqlite: include_str!("migrations/0006_image.sql"),
        postgres: include_str!("migrations/postgres/0006_image.sql"),
    },
    Migration {
        number: 7,
        name: "calls",
        sqlite: include_str!("migrations/0007_calls.sql"),
        postgres: include_str!("migrations/postgres/0007_calls.sql"),
    },
    Migration {
        number: 8,
        name: "audit_chain",
        sqlite: include_str!("migrations/0008_audit_chain.sql"),
        postgres: include_str!("migrations/postgres/0008_audit_chain.sql"),
    },
    Migration {
        number: 9,
        name: "alerts",
        sqlite: include_str!("migrations/0009_alerts.sql"),
        postgres: include_str!("migrations/postgres/0009_alerts.sql"),
    },
    Migration {
        number: 10,
        name: "archive",
        sqlite: include_str!("migrations/0010_archive.sql"),
        postgres: include_str!("migrations/postgres/0010_archive.sql"),
    },
];

const CREATE: Migration = Migration {
    number: 0,
    name: "schema_change",
    sqlite: "CREATE TABLE IF NOT EXISTS schema_change (
    number     INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    sha256     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
); PRAGMA application_id = 0x4C574442",
    postgres: "CREATE TABLE IF NOT EXISTS schema_change (
    number     bigint NOT NULL PRIMARY KEY,
    name       text   NOT NULL,
    sha256     text   NOT NULL,
    applied_at bigint NOT NULL
)",
};

const APPLIED: Sql = Sql::same("SELECT number, sha256 FROM schema_change ORDER BY number");

const RECORD: Sql = Sql::same(
    "INSERT INTO schema_change (number, name, sha256, applied_at) VALUES ($1, $2, $3, $4)",
);

/// Brings the database of `session` to the newest of `migrations`. `now` is UTC microseconds.
pub(super) fn migrate(
    session: &mut dyn Session,
    migrations: &[Migration],
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    session.begin()?;
    let outcome = apply(session, migrations, path, now).and_then(|()| session.commit());
    if outcome.is_err() {
        // The first error is the one to report; a connection that cannot roll back is dropped.
        drop(session.rollback());
    }
    outcome
}

fn apply(
    session: &mut dyn Session,
    migrations: &[Migration],
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    let dialect = session.dialect();
    session.script(CREATE.text(dialect))?;
    let mut applied = 0;
    for row in session.rows(&APPLIED, &[])? {
        let (number, hash) = (row.int(0)?, row.text(1)?.to_owned());
        check((migrations, dialect), number, &hash, path)?;
        applied = number;
    }
    for migration in migrations
        .iter()
        .filter(|migration| migration.number > applied)
    {
        let text = migration.text(dialect);
        session.script(text)?;
        let hash = hash(text);
        session.exec(
            &RECORD,
            &[
                migration.number.into(),
                migration.name.into(),
                hash.into(),
                now.into(),
            ],
        )?;
    }
    Ok(())
}

/// The newest change that this program knows.
pub(super) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.number)
}

/// The name of a change, if this program knows it.
pub(super) fn name_of(number: i64) -> Option<&'static str> {
    let mut all = MIGRATIONS.iter();
    all.find(|migration| migration.number == number)
        .map(|migration| migration.name)
}

/// Makes the schema as it was after the change `last`, in the transaction of the caller, in a database
/// that is empty.
pub(super) fn make(
    session: &mut dyn Session,
    last: i64,
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    let until = MIGRATIONS
        .iter()
        .filter(|migration| migration.number <= last);
    let known = MIGRATIONS.get(..until.count()).unwrap_or(MIGRATIONS);
    apply(session, known, path, now)
}

/// Whether the database of `session` has exactly the schema of this program.
pub(super) fn is_current(session: &mut dyn Session, path: &Arc<str>) -> Result<(), StoreError> {
    let found = is_known(session, path)?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.number);
    if found == known {
        return Ok(());
    }
    Err(StoreError::OlderSchema {
        path: Arc::clone(path),
        found,
        known,
    })
}

/// Whether this program knows every change that the database of `session` has; the last of them.
pub(super) fn is_known(session: &mut dyn Session, path: &Arc<str>) -> Result<i64, StoreError> {
    let mut last = 0;
    for row in session.rows(&APPLIED, &[])? {
        last = row.int(0)?;
        check((MIGRATIONS, session.dialect()), last, row.text(1)?, path)?;
    }
    Ok(last)
}

fn check(
    (migrations, dialect): (&[Migration], Dialect),
    number: i64,
    found: &str,
    path: &Arc<str>,
) -> Result<(), StoreError> {
    let known = migrations.last().map_or(0, |migration| migration.number);
    match migrations
        .iter()
        .find(|migration| migration.number == number)
    {
        None => Err(StoreError::NewerSchema {
            path: Arc::clone(path),
            found: number,
            known,
        }),
        Some(migration) if hash(migration.text(dialect)) != found => Err(StoreError::OtherSchema {
            path: Arc::clone(path),
            number,
        }),
        Some(_) => Ok(()),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
