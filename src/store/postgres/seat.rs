//! A node's seat among the others: a connection beside the writer's, on which it says that it is there
//! and looks at who else is.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Patience, PostgresBackend, PostgresSession, ears::TELL};
use crate::store::{
    db::Db as _,
    error::StoreError,
    nodes::{self, Look, NodeRun},
    session::{Access, Session as _},
};

/// Shorter than the time after which a node without word closes its lines.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(2),
    close: Duration::from_millis(500),
};

/// A word that is lost with the server's disk costs nothing; a lease or a fence is on disk first
/// ([`Seat::arrange`]).
const SETTINGS: &str = "SET synchronous_commit = off; SET lock_timeout = '1s'; \
    SET idle_in_transaction_session_timeout = '4s'; SET tcp_user_timeout = 5000";

/// The seat of one run. Blocks its thread, and must not be used inside a task.
#[derive(Debug)]
pub struct Seat {
    backend: Arc<PostgresBackend>,
    node: NodeRun,
    session: Option<PostgresSession>,
    /// Since when it is back, by the server's clock.
    back_since: Option<i64>,
}

impl Seat {
    pub(super) const fn new(backend: Arc<PostgresBackend>, node: NodeRun) -> Self {
        Self {
            backend,
            node,
            session: None,
            back_since: None,
        }
    }

    /// Says that this run is there; what else there is. `None` once the run is fenced.
    ///
    /// # Errors
    /// The server does not answer; the next call connects anew.
    pub fn beat(&mut self) -> Result<Option<Look>, StoreError> {
        let run = self.node.run.clone();
        let outcome = self.with(|session| {
            session.failure = None;
            let Some(now) = nodes::beat(session, &run)? else {
                return Ok(None);
            };
            nodes::look(session, now).map(Some)
        });
        if let Ok(Some(look)) = &outcome {
            self.back_since.get_or_insert(look.now);
        }
        outcome
    }

    /// Fences who is dead, takes what is free, asks for what would make the shares equal. True when
    /// there was something to do.
    ///
    /// # Errors
    /// As [`Seat::beat`]; also when another node is at it.
    pub fn arrange(&mut self, look: &Look, units: &BTreeSet<String>) -> Result<bool, StoreError> {
        let back = nodes::micros(nodes::BACK);
        let may_judge = self.back_since.is_some_and(|at| look.now - at >= back);
        let run = self.node.run.clone();
        let has_all = units
            .iter()
            .all(|unit| look.leases.iter().any(|lease| lease.unit == *unit));
        if has_all && nodes::plan(look, &run, units, may_judge).is_empty() {
            return Ok(false);
        }
        self.transact(|session| nodes::arrange(session, &run, units, may_judge))?;
        Ok(true)
    }

    /// Gives a unit, which is not served any more, to the run that asked for it.
    ///
    /// # Errors
    /// As [`Seat::arrange`].
    pub fn hand_over(&mut self, unit: &str) -> Result<(), StoreError> {
        let run = self.node.run.clone();
        self.transact(|session| nodes::hand_over(session, unit, &run))
    }

    /// Tells the other nodes a word.
    ///
    /// # Errors
    /// As [`Seat::beat`]; the word is lost then.
    pub fn tell(&mut self, topic: &str) -> Result<(), StoreError> {
        let word = format!("{} {topic}", self.node.run);
        self.with(|session| {
            session.failure = None;
            session.rows(&TELL, &[word.into()]).map(|_| ())
        })
    }

    /// That this run is fenced, as an error.
    pub fn fenced(&self) -> StoreError {
        StoreError::Fenced {
            path: Arc::clone(&self.backend.server.shown),
        }
    }

    /// Takes leave: everything is free at once for others.
    ///
    /// # Errors
    /// As [`Seat::arrange`].
    pub fn leave(&mut self) -> Result<(), StoreError> {
        let run = self.node.run.clone();
        self.transact(|session| nodes::leave(session, &run))
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut PostgresSession) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|session| {
            session.begin()?;
            session.control("SET LOCAL synchronous_commit = on")?;
            let outcome = work(session).and_then(|value| session.commit().map(|()| value));
            if outcome.is_err() {
                // The first error is the one to report.
                drop(session.rollback());
            }
            outcome
        })
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut PostgresSession) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.session.is_none() {
            self.back_since = None;
            self.session = Some(self.connect()?);
        }
        let Some(session) = self.session.as_mut() else {
            return Err(StoreError::Closed);
        };
        let outcome = work(session);
        if session.connection.is_none() || matches!(outcome, Err(StoreError::ServerLost { .. })) {
            self.session = None;
        }
        outcome
    }

    fn connect(&self) -> Result<PostgresSession, StoreError> {
        let server = self.backend.server_as(Some(&self.node));
        let mut session = PostgresSession::open(&server, Access::Write, PATIENCE)?;
        session.control(SETTINGS)?;
        session.begin = session.keys.leases();
        // Not given only while the server has not yet seen the end of our own last connection.
        let _is_shown = nodes::be_present(&mut session, &self.node.run)?;
        Ok(session)
    }
}
