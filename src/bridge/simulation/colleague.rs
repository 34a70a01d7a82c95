//! Another process that leases from the same queue and is slow: its lease is taken back, the row goes
//! to somebody else, and then its answer comes.

use std::{sync::Arc, time::Duration};

use labwire_drivers::Clock;
use labwire_sims::chance::Chance;

use crate::{
    host::HostSite,
    queue::{self, Backoff, Verdict},
    store::{Db, Sql, Store, StoreError, Turn},
};

use super::{
    super::{
        desk::{Desk, Destination, Room},
        device::Ids,
        tenure::Tenure,
    },
    clock::SimClock,
    scribe::Scribe,
};

const QUEUE: &str = "host:his";
const OTHERS: Sql = Sql::same(
    "SELECT id FROM queue WHERE state = 'leased' AND destination = $1 AND lease_owner <> $2",
);
const ROW: Sql = Sql::same(
    "SELECT coalesce(lease_owner, ''), state || ' ' || due_at || ' ' || reason || ' ' || answer \
     FROM queue WHERE id = $1",
);

/// The slow process.
pub(super) struct Colleague {
    pub(super) store: Store,
    pub(super) site: Arc<HostSite>,
    pub(super) clock: Arc<SimClock>,
    pub(super) scribe: Arc<Scribe>,
    pub(super) chance: Chance,
}

impl Colleague {
    /// Leases now and then, until its store is gone.
    pub(super) async fn run(mut self) {
        let ids = Arc::new(Ids::new(self.clock.utc_micros() + 500_000));
        let desk = Desk {
            destination: Destination::Host(Arc::clone(&self.site)),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock) as _,
            ids: Arc::clone(&ids),
            backoff: Backoff::default(),
            tenure: Tenure::of(false, &(Arc::clone(&self.clock) as Arc<dyn Clock>)),
        };
        for _ in 0..60 {
            self.rest(1_200).await;
            // What it could not lease it tries again later.
            let Ok(leased) = desk.turn(&[], Room::of(1), None).await else {
                continue;
            };
            for row in leased {
                self.scribe
                    .note("colleague", format_args!("leased row {}", row.id));
                self.rest(3_000).await;
                self.lose(ids.run()).await;
                self.rest(6_000).await;
                self.speak_late(row.id, ids.run()).await;
            }
        }
    }

    async fn rest(&mut self, millis_max: u64) {
        let millis = self.chance.below(millis_max);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Its leases are taken back, as nobody hears of it.
    async fn lose(&self, run: &str) {
        let (run, now) = (run.to_owned(), self.clock.utc_micros());
        let work = move |db: &mut dyn Db| {
            let mut others = Vec::new();
            for row in db.rows(&OTHERS, &[QUEUE.into(), run.as_str().into()])? {
                others.push(row.int(0)?);
            }
            queue::reclaim(db, QUEUE, &others, now)
        };
        // A lease that is not lost now is lost at the next start.
        drop(self.store.transact(Turn::Canonical, work).await);
    }

    /// Its answer comes, and changes nothing unless the row is still its own.
    async fn speak_late(&mut self, row: i64, run: &str) {
        let word = |text: &str| text.to_owned();
        let verdicts = [
            Verdict::Accepted {
                answer: word("late"),
            },
            Verdict::Deferred {
                reason: word("late"),
                answer: String::new(),
            },
            Verdict::Refused {
                reason: word("late"),
                answer: word("late"),
            },
        ];
        let Some(verdict) = self.chance.pick(&verdicts).cloned() else {
            return;
        };
        let (run, now) = (run.to_owned(), self.clock.utc_micros());
        let work = move |db: &mut dyn Db| {
            let before = look(db, row)?;
            if before.0 == run {
                // Nobody has taken it back: what it says then counts, and it has nothing true to say.
                queue::reclaim(db, QUEUE, &[], now)?;
                return Ok(None);
            }
            queue::settle_attempts(db, &[(row, verdict)], &run, Backoff::default(), now)?;
            let after = look(db, row)?;
            Ok((before != after).then_some((before, after)))
        };
        match self.store.transact(Turn::Canonical, work).await {
            Ok(Some((before, after))) => self.scribe.found(
                "a late answer never closes somebody else's try",
                format_args!("row {row}: {before:?} became {after:?}"),
            ),
            Ok(None) | Err(_) => self
                .scribe
                .note("colleague", format_args!("late for row {row}")),
        }
    }
}

fn look(db: &mut dyn Db, row: i64) -> Result<(String, String), StoreError> {
    let row = db.row(&ROW, &[row.into()])?;
    Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
}
