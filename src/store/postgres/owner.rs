//! Who owns the store: one process, proven by the server.
//!
//! The lock is an advisory one of the owner's session; the server frees it when that session is over,
//! so that to get it proves that the former owner is dead. A process that lost its session and gets
//! the lock again may still have been away while another owned the store and wrote: the token in
//! `meta`, written by each owner when it begins, tells.

use std::{sync::Arc, time::Duration};

use crate::store::{
    db::{Db as _, Sql},
    error::StoreError,
    journal,
    nodes::{self, NodeRun},
    session::Session,
};

use super::PostgresSession;

/// `LWDB` in ASCII: which lock of the server is the owner's …
const OWNER: i64 = 0x4C57_4442;
/// … and `LWDT` that of the transaction that writes.
const TURN: i64 = 0x4C57_4454;
/// `LWDL`: that of whoever arranges leases.
const LEASES: i64 = 0x4C57_444C;

/// The key of `meta` that names the present owner.
const OWNER_KEY: &str = "owner";

/// Frees the owner's lock, also where an error left a transaction open.
pub(super) const RELEASE: &str = "ROLLBACK; SELECT pg_advisory_unlock_all()";

/// How often, and how long apart, a start asks for a lock that is held: the server needs a moment to
/// see that a process that was killed is gone.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// A store is a schema of a database; its number tells it from others of the same database.
const SCHEMA: Sql =
    Sql::same("SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema()");

/// Nodes have it together, and no single owner beside them.
const TRY_SHARED: Sql = Sql::same("SELECT pg_try_advisory_lock_shared($1)");

/// In the turn of a transaction that others may not arrange leases in.
const LOCK_LEASES: Sql = Sql::same("SELECT pg_advisory_xact_lock($1) IS NULL");

const TRY: Sql = Sql::same("SELECT pg_try_advisory_lock($1)");

/// A lock of a whole number is listed by its halves.
const HOLDER: Sql = Sql::same(
    "SELECT coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'this machine') \
     FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND l.classid::bigint = $1::bigint >> 32 AND l.objid::bigint = $1::bigint & 4294967295",
);

const NEW_TOKEN: Sql = Sql::same("SELECT gen_random_uuid()::text");

/// The locks of one store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    owner: i64,
    turn: i64,
    leases: i64,
}

impl Keys {
    /// Those of the schema that `session` is in.
    pub(super) fn read(session: &mut PostgresSession) -> Result<Self, StoreError> {
        let Some(row) = session.row_opt(&SCHEMA, &[])? else {
            return Err(StoreError::ServerUnfit {
                path: Arc::clone(&session.path),
                lacks: "it has no schema that tables are made in: see its search_path",
            });
        };
        let schema = row.int(0)?;
        Ok(Self {
            owner: (OWNER << 32) | schema,
            turn: (TURN << 32) | schema,
            leases: (LEASES << 32) | schema,
        })
    }

    /// Waits for this transaction's turn to write, until its end.
    pub(super) fn turn(self) -> String {
        format!("SELECT pg_advisory_xact_lock({})", self.turn)
    }

    /// Begins a transaction that arranges leases, which waits for no writer.
    pub(super) fn leases(self) -> String {
        format!("BEGIN; SELECT pg_advisory_xact_lock({})", self.leases)
    }
}

/// Makes this session the owner's. `token` is what this process wrote when it became the owner, if it
/// did.
pub(super) fn take(session: &mut PostgresSession, token: Option<&str>) -> Result<(), StoreError> {
    let path = Arc::clone(&session.path);
    let tries = if token.is_some() { 1 } else { TRIES };
    if !is_taken(session, &TRY, tries)? {
        return Err(match token {
            // Perhaps the server has not yet seen the end of our own session; perhaps there is another
            // owner. Both mean that nothing may be written now.
            Some(_) => StoreError::OwnerLost { path },
            None => StoreError::InUse {
                path,
                pid: of(session)?,
            },
        });
    }
    match token {
        Some(token) if journal::meta(session, OWNER_KEY)?.as_deref() != Some(token) => {
            Err(StoreError::OwnerLost { path })
        }
        _ => Ok(()),
    }
}

/// Makes this session one of several nodes'.
pub(super) fn share(session: &mut PostgresSession) -> Result<(), StoreError> {
    if is_taken(session, &TRY_SHARED, TRIES)? {
        return Ok(());
    }
    Err(StoreError::InUse {
        path: Arc::clone(&session.path),
        pid: of(session)?,
    })
}

/// What fails in a transaction of a run that is fenced, and keeps others from fencing it until the
/// transaction has ended. `run` is letters and digits.
pub(super) fn fence(run: &str) -> String {
    format!(
        "DO $fence$ BEGIN PERFORM 1 FROM node WHERE run = '{run}' AND fenced_at IS NULL \
         FOR KEY SHARE; IF NOT FOUND THEN RAISE EXCEPTION 'run {run} is fenced' \
         USING ERRCODE = '{FENCED}'; END IF; END $fence$"
    )
}

/// What the server reports of a run that is fenced; no class of its own begins so.
pub(super) const FENCED: &str = "LW001";

fn is_taken(session: &mut PostgresSession, sql: &Sql, tries: u32) -> Result<bool, StoreError> {
    for left in (0..tries).rev() {
        if session.row(sql, &[session.keys.owner.into()])?.bool(0)? {
            return Ok(true);
        }
        if left > 0 {
            session
                .runtime
                .block_on(async { tokio::time::sleep(BETWEEN).await });
        }
    }
    Ok(false)
}

/// Writes a new token, once the schema is there.
pub(super) fn claim(session: &mut dyn Session) -> Result<String, StoreError> {
    session.begin()?;
    let token = session.row(&NEW_TOKEN, &[])?.text(0)?.to_owned();
    journal::set_meta(session, OWNER_KEY, &token)?;
    nodes::fence_every(session)?;
    session.commit()?;
    Ok(token)
}

/// Writes down that a node is at work, once the schema is there.
pub(super) fn join(
    session: &mut dyn Session,
    node: &NodeRun,
    path: &Arc<str>,
) -> Result<(), StoreError> {
    session.begin()?;
    let schema = session.row(&SCHEMA, &[])?.int(0)?;
    session.rows(&LOCK_LEASES, &[((LEASES << 32) | schema).into()])?;
    if !nodes::join(session, node, env!("CARGO_PKG_VERSION"))? {
        session.rollback()?;
        return Err(StoreError::InUse {
            path: Arc::clone(path),
            pid: Some(format!("node {}", node.name)),
        });
    }
    // A single owner that lost its connection meanwhile must not go on.
    journal::set_meta(session, OWNER_KEY, &node.run)?;
    session.commit()
}

/// Who owns the store: program, process and machine.
pub(super) fn of(session: &mut PostgresSession) -> Result<Option<String>, StoreError> {
    let row = session.row_opt(&HOLDER, &[session.keys.owner.into()])?;
    row.map(|row| {
        let name = row.text(0)?;
        let pid = name.strip_prefix("labwire/").unwrap_or(name);
        Ok(format!("{pid} on {}", row.text(1)?))
    })
    .transpose()
}
