//! Numbered changes of the schema, each applied once, in order, all of a start in one transaction.

use std::sync::Arc;

use labwire_drivers::crash;
use sha2::{Digest as _, Sha256};

use super::{
    db::Sql,
    error::StoreError,
    journal, nodes,
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
        name: "queue_order",
        sqlite: include_str!("migrations/0010_queue_order.sql"),
        postgres: include_str!("migrations/postgres/0010_queue_order.sql"),
    },
    Migration {
        number: 11,
        name: "node",
        sqlite: include_str!("migrations/0011_node.sql"),
        postgres: include_str!("migrations/postgres/0011_node.sql"),
    },
    Migration {
        number: 12,
        name: "archive",
        sqlite: include_str!("migrations/0012_archive.sql"),
        postgres: include_str!("migrations/postgres/0012_archive.sql"),
    },
    Migration {
        number: 13,
        name: "archive_line",
        sqlite: include_str!("migrations/0013_archive_line.sql"),
        postgres: include_str!("migrations/postgres/0013_archive_line.sql"),
    },
];

/// Those of [`MIGRATIONS`] that add what an older program need not know of (tables, columns that may be
/// left out, indexes): it goes on beside a newer one, so that nodes are renewed one after the other.
pub(super) const ADDITIVE: &[i64] = &[13];

/// What a program knows of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema<'a> {
    /// In order.
    pub(super) migrations: &'a [Migration],
    /// The numbers of those that are additive.
    pub(super) additive: &'a [i64],
}

/// What this program knows.
pub(super) const SCHEMA: Schema<'_> = Schema {
    migrations: MIGRATIONS,
    additive: ADDITIVE,
};

/// The key of `meta` that says which schema a program must know at least, and of which newest one that
/// is said.
const LEAST_KEY: &str = "schema_least";

/// Since when the tables of nodes are there.
const NODES_SINCE: i64 = 11;

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

/// Brings the database of `session` to the newest of `schema`. `now` is UTC microseconds.
pub(super) fn migrate(
    session: &mut dyn Session,
    schema: Schema<'_>,
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    session.begin()?;
    let outcome = apply(session, schema, path, now).and_then(|()| {
        crash::point("migrated");
        session.commit()
    });
    if outcome.is_err() {
        // The first error is the one to report; a connection that cannot roll back is dropped.
        drop(session.rollback());
    }
    outcome
}

fn apply(
    session: &mut dyn Session,
    schema: Schema<'_>,
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    match change(session, schema, path, now)? {
        Some(least) => journal::set_meta(session, LEAST_KEY, &least),
        None => Ok(()),
    }
}

/// Makes the changes; what [`LEAST_KEY`] is to say from now on, where there were any.
fn change(
    session: &mut dyn Session,
    schema: Schema<'_>,
    path: &Arc<str>,
    now: i64,
) -> Result<Option<String>, StoreError> {
    let dialect = session.dialect();
    session.script(CREATE.text(dialect))?;
    let applied = check(session, schema, path)?;
    let pending = schema.migrations.iter();
    let pending = pending.filter(|migration| migration.number > applied);
    let mut least = least(session, applied)?;
    let mut newest = applied;
    for migration in pending {
        if !schema.additive.contains(&migration.number) {
            check_alone(session, applied, path)?;
            least = migration.number;
        }
        newest = migration.number;
        let text = migration.text(dialect);
        session.script(text)?;
        crash::point("migrating");
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
    Ok((newest > applied).then(|| format!("{least} {newest}")))
}

/// Nodes of older programs that are at work could not go on.
fn check_alone(session: &mut dyn Session, applied: i64, path: &Arc<str>) -> Result<(), StoreError> {
    if applied < NODES_SINCE {
        return Ok(());
    }
    let now = nodes::server_now(session)?;
    let alive = nodes::alive(session, now)?;
    if alive.is_empty() {
        return Ok(());
    }
    Err(StoreError::NodesAtWork {
        path: Arc::clone(path),
        nodes: alive.join(", "),
    })
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
/// that is empty. No row is in it: what a backup says of its schema comes with its rows.
pub(super) fn make(
    session: &mut dyn Session,
    last: i64,
    path: &Arc<str>,
    now: i64,
) -> Result<(), StoreError> {
    let until = MIGRATIONS
        .iter()
        .filter(|migration| migration.number <= last);
    let migrations = MIGRATIONS.get(..until.count()).unwrap_or(MIGRATIONS);
    let schema = Schema {
        migrations,
        additive: ADDITIVE,
    };
    change(session, schema, path, now).map(drop)
}

/// Whether this program can work with the database of `session` as it is: it has all that the program
/// needs, and nothing that the program would break.
pub(super) fn is_current(session: &mut dyn Session, path: &Arc<str>) -> Result<(), StoreError> {
    let found = is_known(session, path)?;
    let known = SCHEMA.known();
    if found >= known {
        return Ok(());
    }
    Err(StoreError::OlderSchema {
        path: Arc::clone(path),
        found,
        known,
    })
}

/// Whether this program can work with every change that the database of `session` has; the last of
/// them.
pub(super) fn is_known(session: &mut dyn Session, path: &Arc<str>) -> Result<i64, StoreError> {
    check(session, SCHEMA, path)
}

/// The number of the last change that was applied, if all of them are as `schema` has them, or can be
/// worked with.
fn check(
    session: &mut dyn Session,
    schema: Schema<'_>,
    path: &Arc<str>,
) -> Result<i64, StoreError> {
    let (known, dialect) = (schema.known(), session.dialect());
    let mut last = 0;
    for row in session.rows(&APPLIED, &[])? {
        let (number, found) = (row.int(0)?, row.text(1)?);
        let own = schema.migrations.iter().find(|one| one.number == number);
        if own.is_some_and(|one| hash(one.text(dialect)) != found) {
            return Err(StoreError::OtherSchema {
                path: Arc::clone(path),
                number,
            });
        }
        last = number;
    }
    if last > known && least(session, last)? > known {
        return Err(StoreError::NewerSchema {
            path: Arc::clone(path),
            found: last,
            known,
        });
    }
    Ok(last)
}

/// The schema that a program must know at least. Where nothing is said of this newest one, that one.
fn least(session: &mut dyn Session, newest: i64) -> Result<i64, StoreError> {
    if newest == 0 {
        return Ok(0);
    }
    let said = journal::meta(session, LEAST_KEY)?.unwrap_or_default();
    let (least, of) = said.split_once(' ').unwrap_or_default();
    match (least.parse(), of.parse::<i64>()) {
        (Ok(least), Ok(of)) if of == newest => Ok(least),
        _ => Ok(newest),
    }
}

impl Schema<'_> {
    /// The newest change.
    fn known(self) -> i64 {
        self.migrations.last().map_or(0, |one| one.number)
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A change of the future, for tests of programs that do not know it.
#[cfg(test)]
pub(super) const fn of_the_future(number: i64, text: &'static str) -> Migration {
    Migration {
        number,
        name: "future",
        sqlite: text,
        postgres: text,
    }
}
