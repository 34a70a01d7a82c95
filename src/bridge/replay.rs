//! What the last run left unparsed, read at a start or when a line is taken over.

use std::sync::Arc;

use labwire_drivers::crash;

use crate::store::{Db, Store, StoreError, Turn, journal};

use super::{
    parser::{BATCH_MAX, FAULT, Work, replayed, settle_works},
    reading::read,
    site::{LineSite, Site},
};

/// A row that was begun so often and never ended is held: it takes the process with it. A start
/// that is cut for another reason counts too, so it is one more than the two that prove little.
const ATTEMPTS_MAX: u64 = 3;

/// Reads what the last run left unparsed, before any line opens: in batches at first; a row that
/// was begun before is read alone, and one that was begun too often is held, so that a message that
/// breaks the parser cannot loop the start.
///
/// With `only`, what one line left is read.
///
/// No start takes long for it: of a large backlog only the oldest are read, and the lines whose
/// other messages stay in the journal are returned, for [`Parser::resume`](super::parser::Parser::resume).
///
/// # Errors
/// The store's.
pub(super) async fn replay(
    store: &Store,
    site: &Arc<Site>,
    clock: &Arc<dyn labwire_drivers::Clock>,
    run: &str,
    only: Option<&str>,
) -> Result<Replayed, StoreError> {
    let mut lines = store.read(journal::unparsed_lines).await?;
    lines.retain(|(line, _)| only.is_none_or(|only| only == line));
    let until = store.read(journal::last).await?;
    let mut replayed = Replayed::default();
    for (line, _) in lines {
        let Some(line_site) = site.lines.get(&line).cloned() else {
            continue;
        };
        let mut after = 0;
        loop {
            let name = line.clone();
            let limit = u32::try_from(BATCH_MAX).unwrap_or(32);
            let mut rows = store
                .read(move |db| journal::unparsed(db, &name, (after, i64::MAX), limit))
                .await?;
            if replayed.count >= REPLAY_MAX {
                // Those that were begun before are read with care in any case.
                rows.retain(|row| row.attempts > 0);
                if rows.is_empty() {
                    let span = (after, until);
                    replayed.left.push((Arc::clone(&line_site), span));
                    break;
                }
            }
            let Some(last) = rows.last() else { break };
            after = last.id;
            for batch in batches(rows) {
                replayed.count += batch.len();
                replay_batch(store, site, clock, run, &line_site, batch).await?;
            }
        }
    }
    Ok(replayed)
}

/// What a start did with the messages that the last run left.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Read.
    pub(super) count: usize,
    /// Lines that have more: behind the first message, up to the second.
    pub(super) left: Vec<(Arc<LineSite>, (i64, i64))>,
}

/// Messages that a start reads before any line opens: well under a second of work.
const REPLAY_MAX: usize = 512;

/// Fresh rows together, rows begun before each alone, order kept.
fn batches(rows: Vec<journal::Message>) -> Vec<Vec<journal::Message>> {
    let mut batches: Vec<Vec<journal::Message>> = Vec::new();
    for row in rows {
        match batches.last_mut() {
            Some(batch) if row.attempts == 0 && batch.iter().all(|other| other.attempts == 0) => {
                batch.push(row);
            }
            _ => batches.push(vec![row]),
        }
    }
    batches
}

async fn replay_batch(
    store: &Store,
    site: &Arc<Site>,
    clock: &Arc<dyn labwire_drivers::Clock>,
    run: &str,
    line: &Arc<LineSite>,
    rows: Vec<journal::Message>,
) -> Result<(), StoreError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let poisoned = rows.iter().any(|row| row.attempts >= ATTEMPTS_MAX);
    store
        .transact(Turn::Canonical, move |db| {
            for id in ids {
                if poisoned {
                    journal::mark(db, id, journal::MessageState::Held, Some(FAULT))?;
                } else {
                    journal::begin_attempts(db, &[id])?;
                }
            }
            Ok(())
        })
        .await?;
    if poisoned {
        tracing::error!(
            line = line.id,
            "a message broke the parser twice and is held"
        );
        return Ok(());
    }
    let works: Vec<Work> = rows
        .into_iter()
        .map(|row| read(site, &replayed(line, row)))
        .collect();
    let replay = Replay {
        store,
        site,
        works: Arc::new(works),
        now: clock.utc_micros(),
        run,
    };
    crash::point("replaying");
    replay.settle_all().await
}

/// Messages of the last run on their way.
struct Replay<'a> {
    store: &'a Store,
    site: &'a Arc<Site>,
    works: Arc<Vec<Work>>,
    now: i64,
    run: &'a str,
}

impl Replay<'_> {
    /// Together; if that fails for a reason of their own, each alone, and the one that fails is held.
    async fn settle_all(&self) -> Result<(), StoreError> {
        match self.settle(0..self.works.len()).await {
            Err(error) if !error.is_unavailable() => {}
            outcome => return outcome,
        }
        for index in 0..self.works.len() {
            match self.settle(index..index + 1).await {
                Err(error) if !error.is_unavailable() => {
                    tracing::error!(%error, "a message could not be settled and is held");
                    self.hold(index).await?;
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn settle(&self, range: std::ops::Range<usize>) -> Result<(), StoreError> {
        let (works, site) = (Arc::clone(&self.works), Arc::clone(self.site));
        let (now, run) = (self.now, self.run.to_owned());
        let work = move |db: &mut dyn Db| {
            let own = works.get(range).unwrap_or_default();
            settle_works(db, &site, own, now, &run).map(drop)
        };
        self.store.transact(Turn::Canonical, work).await
    }

    async fn hold(&self, index: usize) -> Result<(), StoreError> {
        let Some(message) = self.works.get(index).map(|work| work.message) else {
            return Ok(());
        };
        let held = move |db: &mut dyn Db| {
            journal::mark(db, message, journal::MessageState::Held, Some(FAULT))
        };
        self.store.transact(Turn::Canonical, held).await
    }
}
