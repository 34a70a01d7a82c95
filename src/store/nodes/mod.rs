//! Several nodes on one store: their rows, the leases of what they serve, and the fence.
//!
//! A run of a node is *fenced* before anything it served is given to another: from then on its
//! transactions fail at their beginning, so that a node that was paused, or cut off, and comes back
//! cannot write what another has taken over. All times are the server's, never a node's.

mod plan;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use super::{
    db::{Db, Param, Sql},
    error::StoreError,
};

pub use self::plan::{Act, plan};

/// How often a node says that it is there.
pub const BEAT: Duration = Duration::from_millis(500);

/// A node that could not say so for this long, by its own clock, closes its lines and sends nothing
/// more, before another may take its place.
pub const OWN: Duration = Duration::from_secs(3);

/// A node whose connection is gone, and that was not seen for this long, is taken for dead: it is
/// fenced, and others serve what it served. Longer than [`OWN`] by the time that closing takes.
pub const GONE: Duration = Duration::from_secs(4);

/// The same for one whose connection is there, or not known to be gone: a machine or a network that
/// fell silent.
pub const SILENT: Duration = Duration::from_secs(6);

/// Who was away judges nobody until it has been back for so long: when the server was away, all
/// nodes were, and the first to come back must not take the others for dead.
pub const BACK: Duration = Duration::from_secs(2);

/// What nobody took for so long is taken by whoever knows it, beyond its share.
pub const FREE: Duration = Duration::from_secs(2);

/// Every constant statement of this module.
pub const ALL: &[&Sql] = &[
    &NOW,
    &BEAT_SQL,
    &NODES,
    &LEASES,
    &SAME_NAME,
    &JOIN,
    &IS_OPEN,
    &TERMINATE,
    &LOCK,
    &FENCE,
    &FREE_ALL,
    &UNASK,
    &KNOW,
    &TAKE,
    &ASK,
    &HAND_OVER,
    &FREE_EVERY,
    &FENCE_EVERY,
    &HOLDS,
    &PRESENCE,
    &LISTED,
];

const NOW: Sql = Sql {
    sqlite: "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    postgres: "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
};

const BEAT_SQL: Sql = Sql {
    sqlite: "UPDATE node SET seen_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) \
             WHERE run = $1 AND fenced_at IS NULL RETURNING seen_at",
    postgres: "UPDATE node SET seen_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
               WHERE run = $1 AND fenced_at IS NULL RETURNING seen_at",
};

/// The lock that a run's seat holds for as long as its connection lives.
const PRESENCE: Sql = Sql {
    sqlite: "SELECT $1 IS NOT NULL",
    postgres: "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' ' || $1, 0))",
};

/// Runs that are not fenced, and whether their seat's connection is there.
const NODES: Sql = Sql {
    sqlite: "SELECT run, name, version, started_at, seen_at, 0 FROM node WHERE fenced_at IS NULL \
             ORDER BY started_at, run",
    postgres: "SELECT n.run, n.name, n.version, n.started_at, n.seen_at, EXISTS (SELECT 1 \
               FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND (l.classid::bigint << 32) | l.objid::bigint \
                 = hashtextextended(current_schema() || ' ' || n.run, 0)) \
               FROM node n WHERE n.fenced_at IS NULL ORDER BY n.started_at, n.run",
};

const LEASES: Sql = Sql::same("SELECT unit, run, token, since, asked_by FROM lease ORDER BY unit");

const SAME_NAME: Sql = Sql::same("SELECT run FROM node WHERE name = $1 AND fenced_at IS NULL");

const JOIN: Sql = Sql::same(
    "INSERT INTO node (run, name, version, started_at, seen_at, why) VALUES ($1, $2, $3, $4, $4, '') \
     ON CONFLICT (run) DO NOTHING",
);

const IS_OPEN: Sql = Sql {
    sqlite: "SELECT 1 FROM node WHERE run = $1 AND fenced_at IS NULL",
    postgres: "SELECT 1 FROM node WHERE run = $1 AND fenced_at IS NULL FOR KEY SHARE",
};

/// Ends what connections a dead run may still have, so that nobody waits for its transaction.
const TERMINATE: Sql = Sql {
    sqlite: "SELECT $1 IS NULL",
    postgres: "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE usename = current_user AND datname = current_database() \
               AND application_name LIKE 'labwire/% ' || $1",
};

/// Waits for a transaction of that run which is under way: it holds the row for its time.
const LOCK: Sql = Sql {
    sqlite: "SELECT 1 FROM node WHERE run = $1 AND fenced_at IS NULL",
    postgres: "SELECT 1 FROM node WHERE run = $1 AND fenced_at IS NULL FOR UPDATE",
};

const FENCE: Sql =
    Sql::same("UPDATE node SET fenced_at = $2, why = $3 WHERE run = $1 AND fenced_at IS NULL");

const FREE_ALL: Sql =
    Sql::same("UPDATE lease SET run = NULL, asked_by = NULL, since = $2 WHERE run = $1");

const UNASK: Sql = Sql::same("UPDATE lease SET asked_by = NULL WHERE asked_by = $1");

const KNOW: Sql = Sql::same(
    "INSERT INTO lease (unit, token, since) VALUES ($1, 0, $2) ON CONFLICT (unit) DO NOTHING",
);

const TAKE: Sql = Sql::same(
    "UPDATE lease SET run = $2, token = token + 1, since = $3, asked_by = NULL \
     WHERE unit = $1 AND run IS NULL",
);

const ASK: Sql =
    Sql::same("UPDATE lease SET asked_by = $2 WHERE unit = $1 AND run <> $2 AND asked_by IS NULL");

/// To the run that asked, if it still is one; to nobody otherwise.
const HAND_OVER: Sql = Sql::same(
    "UPDATE lease SET run = (SELECT n.run FROM node n \
     WHERE n.run = lease.asked_by AND n.fenced_at IS NULL), \
     token = token + 1, since = $3, asked_by = NULL WHERE unit = $1 AND run = $2",
);

const FENCE_EVERY: Sql =
    Sql::same("UPDATE node SET fenced_at = $1, why = $2 WHERE fenced_at IS NULL");

const FREE_EVERY: Sql =
    Sql::same("UPDATE lease SET run = NULL, asked_by = NULL, since = $1 WHERE run IS NOT NULL");

const HOLDS: Sql = Sql::same("SELECT 1 FROM lease WHERE unit = $1 AND run = $2");

/// For people: runs that are there, and what each serves.
const LISTED: Sql = Sql::same(
    "SELECT n.run, n.name, n.version, n.started_at, n.seen_at, l.unit, l.token FROM node n \
     LEFT JOIN lease l ON l.run = n.run WHERE n.fenced_at IS NULL ORDER BY n.name, n.run, l.unit",
);

/// Who opens a store as one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRun {
    /// `[node] id`: the same after a restart.
    pub name: String,
    /// This run of it, unique for all time in the store: letters and digits.
    pub run: String,
}

/// A run that is not fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The run.
    pub run: String,
    /// Of which node.
    pub name: String,
    /// Of which version of Labwire.
    pub version: String,
    /// When it joined, UTC microseconds of the server.
    pub started_at: i64,
    /// When it was last heard of.
    pub seen_at: i64,
    /// Its connection is there.
    pub is_present: bool,
}

/// Who serves a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `line:<id>`, `host:<id>`, `track:<id>` or `site`.
    pub unit: String,
    /// The run that serves it, if one does.
    pub run: Option<String>,
    /// One more with every holder.
    pub token: i64,
    /// Since when, UTC microseconds of the server.
    pub since: i64,
    /// The run that is to have it next.
    pub asked_by: Option<String>,
}

/// Nodes and leases at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// UTC microseconds of the server.
    pub now: i64,
    /// Runs that are not fenced, the oldest first.
    pub nodes: Vec<NodeRow>,
    /// All leases, in the order of their units.
    pub leases: Vec<Lease>,
}

/// What people see of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, run and version.
    pub node: NodeRow,
    /// What it serves, each with its token.
    pub units: Vec<(String, i64)>,
}

/// Nodes that are there, by name, and what each serves.
///
/// # Errors
/// What the database says.
pub fn listed(db: &mut dyn Db) -> Result<Vec<Listed>, StoreError> {
    let mut nodes: Vec<Listed> = Vec::new();
    for row in db.rows(&LISTED, &[])? {
        let run = row.text(0)?;
        if nodes.last().is_none_or(|last| last.node.run != run) {
            let node = NodeRow {
                run: run.to_owned(),
                name: row.text(1)?.to_owned(),
                version: row.text(2)?.to_owned(),
                started_at: row.int(3)?,
                seen_at: row.int(4)?,
                is_present: true,
            };
            let units = Vec::new();
            nodes.push(Listed { node, units });
        }
        if let (Some(unit), Some(node)) = (row.opt_text(5)?, nodes.last_mut()) {
            node.units.push((unit.to_owned(), row.int(6)?));
        }
    }
    Ok(nodes)
}

/// The server's time, UTC microseconds.
///
/// # Errors
/// What the database says.
pub fn server_now(db: &mut dyn Db) -> Result<i64, StoreError> {
    db.row(&NOW, &[])?.int(0)
}

/// Whether a node has not said for too long that it is there.
pub fn is_silent(node: &NodeRow, now: i64) -> bool {
    now.saturating_sub(node.seen_at) >= micros(OWN)
}

/// Whether a unit is served by this run.
///
/// # Errors
/// What the database says.
pub fn holds(db: &mut dyn Db, unit: &str, run: &str) -> Result<bool, StoreError> {
    let row = db.row_opt(&HOLDS, &[unit.into(), run.into()])?;
    Ok(row.is_some())
}

/// Says that a run is there; the server's time, or nothing if it is fenced.
pub(super) fn beat(db: &mut dyn Db, run: &str) -> Result<Option<i64>, StoreError> {
    let row = db.row_opt(&BEAT_SQL, &[run.into()])?;
    row.map(|row| row.int(0)).transpose()
}

/// The names of runs that were heard of lately.
pub(super) fn alive(db: &mut dyn Db, now: i64) -> Result<Vec<String>, StoreError> {
    let nodes = look(db, now)?.nodes.into_iter();
    let nodes = nodes.filter(|node| now.saturating_sub(node.seen_at) < micros(SILENT));
    Ok(nodes.map(|node| node.name).collect())
}

/// Takes the lock that shows that a run's connection is there.
pub(super) fn be_present(db: &mut dyn Db, run: &str) -> Result<bool, StoreError> {
    db.row(&PRESENCE, &[run.into()])?.bool(0)
}

/// Nodes and leases as they are.
pub(super) fn look(db: &mut dyn Db, now: i64) -> Result<Look, StoreError> {
    let mut look = Look {
        now,
        ..Look::default()
    };
    for row in db.rows(&NODES, &[])? {
        look.nodes.push(NodeRow {
            run: row.text(0)?.to_owned(),
            name: row.text(1)?.to_owned(),
            version: row.text(2)?.to_owned(),
            started_at: row.int(3)?,
            seen_at: row.int(4)?,
            is_present: row.bool(5)?,
        });
    }
    for row in db.rows(&LEASES, &[])? {
        look.leases.push(Lease {
            unit: row.text(0)?.to_owned(),
            run: row.opt_text(1)?.map(str::to_owned),
            token: row.int(2)?,
            since: row.int(3)?,
            asked_by: row.opt_text(4)?.map(str::to_owned),
        });
    }
    Ok(look)
}

/// Lets a run join. An earlier run of the same node is fenced, if nothing shows that it is alive.
/// False when another run has the same number, or the node is at work already.
pub(super) fn join(db: &mut dyn Db, node: &NodeRun, version: &str) -> Result<bool, StoreError> {
    let now = server_now(db)?;
    let others = look(db, now)?.nodes;
    for other in others.iter().filter(|other| other.name == node.name) {
        if other.is_present && now - other.seen_at < micros(SILENT) {
            return Ok(false);
        }
        fence(db, &other.run, now, "started anew")?;
    }
    let params: [Param; 4] = [
        node.run.as_str().into(),
        node.name.as_str().into(),
        version.into(),
        now.into(),
    ];
    Ok(db.exec(&JOIN, &params)? == 1)
}

/// Shuts a run out for ever, once what it is writing has ended, and frees what it served.
pub(super) fn fence(db: &mut dyn Db, run: &str, now: i64, why: &str) -> Result<(), StoreError> {
    db.rows(&TERMINATE, &[run.into()])?;
    db.rows(&LOCK, &[run.into()])?;
    db.exec(&FENCE, &[run.into(), now.into(), why.into()])?;
    db.exec(&FREE_ALL, &[run.into(), now.into()])?;
    db.exec(&UNASK, &[run.into()]).map(|_| ())
}

/// Shuts all runs out: a program that needs the store for itself has it.
pub(super) fn fence_every(db: &mut dyn Db) -> Result<(), StoreError> {
    let now = server_now(db)?;
    db.exec(
        &FENCE_EVERY,
        &[now.into(), "one owner has the store".into()],
    )?;
    db.exec(&FREE_EVERY, &[now.into()]).map(|_| ())
}

/// Takes leave: what is served is free, and the run is fenced. To be called when it serves nothing.
pub(super) fn leave(db: &mut dyn Db, run: &str) -> Result<(), StoreError> {
    let now = server_now(db)?;
    db.exec(&FENCE, &[run.into(), now.into(), "stopped".into()])?;
    db.exec(&FREE_ALL, &[run.into(), now.into()])?;
    db.exec(&UNASK, &[run.into()]).map(|_| ())
}

/// Gives a unit to the run that asked for it.
pub(super) fn hand_over(db: &mut dyn Db, unit: &str, run: &str) -> Result<(), StoreError> {
    let now = server_now(db)?;
    db.exec(&HAND_OVER, &[unit.into(), run.into(), now.into()])
        .map(|_| ())
}

/// Does what there is to do for `run`, which knows of `units`, in one transaction under the lock of
/// the leases; nothing if it is fenced.
pub(super) fn arrange(
    db: &mut dyn Db,
    run: &str,
    units: &BTreeSet<String>,
    may_judge: bool,
) -> Result<(), StoreError> {
    if db.row_opt(&IS_OPEN, &[run.into()])?.is_none() {
        return Ok(());
    }
    let now = server_now(db)?;
    for unit in units {
        db.exec(&KNOW, &[unit.as_str().into(), now.into()])?;
    }
    // What is fenced is free in the second round.
    for _ in 0..2 {
        let seen = look(db, now)?;
        for act in plan(&seen, run, units, may_judge) {
            match act {
                Act::Fence(dead, why) => fence(db, &dead, now, why)?,
                Act::Take(unit) => {
                    db.exec(&TAKE, &[unit.into(), run.into(), now.into()])?;
                }
                Act::Ask(unit) => {
                    db.exec(&ASK, &[unit.into(), run.into()])?;
                }
            }
        }
    }
    Ok(())
}

/// A time in whole microseconds.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
