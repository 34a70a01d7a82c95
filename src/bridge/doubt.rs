//! Entries that were not acknowledged and may stand in the journal all the same.
//!
//! A commit can succeed and be reported as failed: the server is lost between the two, or the disk
//! says an error after it has written. The device was told no, and may never send again; what stands
//! in the journal is then read as if it had been told yes. A copy that does come is recognised, as
//! any message that comes twice.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_protocols::wire::Commit;

use crate::store::{Db, JournalEntry, Store, StoreError, Turn, journal};

use super::{
    parser::{Job, Parser, replayed},
    site::LineSite,
};

/// Entries of one line that wait to be looked for; those beyond are found at the next start.
const WAITING_MAX: usize = 1_024;
/// The first pause when the store is away, doubled up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The doubtful entries of one device line.
#[derive(Debug)]
pub(super) struct Doubts {
    line: Arc<LineSite>,
    store: Store,
    parser: Parser,
    /// The first is looked for; while there is one, there is a task that looks.
    waiting: Mutex<VecDeque<Doubt>>,
}

/// How an entry is found again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    connection: u64,
    at: i64,
    /// The link sends its frame again in the same session, which still waits for an answer.
    is_frame: bool,
}

impl Doubt {
    pub(super) const fn of(entry: &JournalEntry) -> Self {
        Self {
            connection: entry.connection,
            at: entry.at,
            is_frame: matches!(entry.commit, Commit::Frame { .. }),
        }
    }
}

impl Doubts {
    pub(super) fn new(line: &Arc<LineSite>, store: &Store, parser: &Parser) -> Arc<Self> {
        Arc::new(Self {
            line: Arc::clone(line),
            store: store.clone(),
            parser: parser.clone(),
            waiting: Mutex::default(),
        })
    }

    /// The commit of an entry failed with an error of the store as a whole. To be called in a task.
    pub(super) fn add(self: &Arc<Self>, doubt: Doubt) {
        let mut waiting = self.waiting();
        if waiting.len() == WAITING_MAX {
            tracing::warn!(
                line = self.line.id,
                "too many entries may be stored unseen: what was stored is read at the next start"
            );
            return;
        }
        let is_first = waiting.is_empty();
        waiting.push_back(doubt);
        drop(waiting);
        if is_first {
            tokio::spawn(Arc::clone(self).look());
        }
    }

    async fn look(self: Arc<Self>) {
        let mut pause = PAUSE_FIRST;
        let mut next = self.first();
        while let Some(doubt) = next {
            match self.look_for(doubt).await {
                Ok(()) => {
                    pause = PAUSE_FIRST;
                    next = self.after_first();
                }
                Err(error) if error.is_unavailable() && !matches!(error, StoreError::Closed) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => {
                    tracing::warn!(
                        line = self.line.id,
                        %error,
                        "what may be stored unseen is read at the next start"
                    );
                    self.waiting().clear();
                    return;
                }
            }
        }
    }

    /// Looks through the writer: what it does is behind every commit whose end is not known, and a
    /// server that lost its connection has let the old one go before.
    async fn look_for(&self, doubt: Doubt) -> Result<(), StoreError> {
        let id = self.line.id.clone();
        let read = move |db: &mut dyn Db| journal::unparsed_at(db, &id, doubt.connection, doubt.at);
        for row in self.store.transact(Turn::Canonical, read).await? {
            tracing::info!(
                line = self.line.id,
                message = row.id,
                "stored after all, though its device was told that it was not; it is read"
            );
            self.parser.submit(Job {
                connection: doubt.is_frame.then_some(doubt.connection),
                ..replayed(&self.line, row)
            });
        }
        Ok(())
    }

    fn first(&self) -> Option<Doubt> {
        self.waiting().front().copied()
    }

    fn after_first(&self) -> Option<Doubt> {
        let mut waiting = self.waiting();
        waiting.pop_front();
        waiting.front().copied()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Doubt>> {
        // A panic while the list was held cannot leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
