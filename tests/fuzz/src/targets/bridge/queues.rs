//! The queue as operations on a store.

use std::collections::{BTreeMap, BTreeSet};

use labwire::{
    model::{Priority, QueueState},
    queue::{
        self, Backoff, Download, DownloadKind, LeaseTerms, News, Pending, QueueRow, Render,
        Rendered, Verdict,
    },
    store::{Db, StoreError},
};

use super::laboratory::{MINUTE, MORNING, TUBES, undone};
use crate::targets::feed::Feed;

const OPERATIONS_MAX: usize = 60;
const DESTINATIONS: [&str; 3] = ["host:his", "host:his2", "line:xn-1"];
const OWNERS: [&str; 2] = ["one", "two"];

/// Bytes that are new with every rendering, so that a second rendering of a row shows.
#[derive(Default)]
struct Renderer {
    count: u64,
    how: u8,
}

impl Render for Renderer {
    fn render(&mut self, _: &mut dyn Db, pending: &[Pending]) -> Result<Vec<Rendered>, StoreError> {
        let rendered = pending.iter().map(|_| {
            self.count += 1;
            match self.how {
                0 => Rendered::Nothing,
                1 => Rendered::Impossible("no place for it".to_owned()),
                _ => Rendered::Message {
                    control_id: format!("C{}", self.count),
                    body: format!("body {}", self.count).into_bytes(),
                },
            }
        });
        Ok(rendered.collect())
    }
}

#[derive(Default)]
struct Bench {
    now: i64,
    renderer: Renderer,
    rows: BTreeMap<i64, QueueRow>,
    /// Who holds a row that is on its way.
    holders: BTreeMap<i64, &'static str>,
}

pub(crate) fn operations(data: &[u8]) {
    let data = data.to_vec();
    undone(move |db| {
        let mut feed = Feed(&data);
        let mut bench = Bench {
            now: MORNING,
            ..Bench::default()
        };
        for _ in 0..OPERATIONS_MAX {
            if feed.is_empty() {
                break;
            }
            bench.step(db, &mut feed)?;
            bench.check(db)?;
        }
        Ok(())
    });
}

impl Bench {
    fn step(&mut self, db: &mut dyn Db, feed: &mut Feed<'_>) -> Result<(), StoreError> {
        let now = self.now;
        match feed.byte() % 12 {
            0 | 1 => {
                let news = News {
                    host: (*feed.pick(&["his", "his2"])).to_owned(),
                    specimen: tube(feed),
                    priority: priority(feed),
                    behind: self.aside(feed),
                };
                let ids = if feed.byte().is_multiple_of(4) {
                    queue::enqueue_apart(db, &[news], now, now + MINUTE)?
                } else {
                    queue::enqueue_results(db, &[news], now)?
                };
                self.know(db, &ids)?;
            }
            2 => {
                let download = Download {
                    line: "xn-1".to_owned(),
                    kind: *feed.pick(&[DownloadKind::Order, DownloadKind::Cancel]),
                    specimen: tube(feed),
                    priority: priority(feed),
                    items: BTreeMap::new(),
                };
                let id = queue::enqueue_download(db, &download, now)?;
                self.know(db, &[id])?;
            }
            3..=5 => self.lease(db, feed)?,
            6 | 7 => self.settle(db, feed)?,
            8 => {
                let destination = *feed.pick(&DESTINATIONS);
                let kept: Vec<i64> = self.held(destination).skip(feed.below(3)).collect();
                queue::reclaim(db, destination, &kept, now)?;
                let gone: Vec<i64> = self
                    .held(destination)
                    .filter(|id| !kept.contains(id))
                    .collect();
                for id in gone {
                    self.holders.remove(&id);
                }
            }
            9 => {
                let id = self.any(feed);
                if feed.byte().is_multiple_of(2) {
                    queue::retry(db, id, "a person", now)?;
                } else {
                    queue::discard(db, id, "a person", "why", now)?;
                }
            }
            10 => self.now += MINUTE / 120 * i64::from(feed.byte()),
            _ => self.others(db, feed)?,
        }
        Ok(())
    }

    /// What is done to many rows at once.
    fn others(&mut self, db: &mut dyn Db, feed: &mut Feed<'_>) -> Result<(), StoreError> {
        let now = self.now;
        match feed.byte() % 4 {
            0 => {
                queue::void_all_leases(db)?;
                self.holders.clear();
            }
            1 => queue::raise(db, tube(feed), priority(feed))?,
            2 => {
                let owner = *feed.pick(&OWNERS);
                let all: Vec<i64> = self.rows.keys().copied().collect();
                let renewed = queue::renew(db, owner, &all, now + MINUTE)?;
                let held = self
                    .holders
                    .values()
                    .filter(|holder| **holder == owner)
                    .count();
                assert_eq!(
                    usize::try_from(renewed),
                    Ok(held),
                    "a lease is prolonged for its owner alone"
                );
            }
            _ => {
                queue::due(db, feed.pick::<&str>(DESTINATIONS.as_slice()))?;
                queue::follow_tried(db, tube(feed), "corrected", now)?;
            }
        }
        Ok(())
    }

    fn lease(&mut self, db: &mut dyn Db, feed: &mut Feed<'_>) -> Result<(), StoreError> {
        let owner = *feed.pick(&OWNERS);
        let terms = LeaseTerms {
            destination: feed.pick::<&str>(DESTINATIONS.as_slice()),
            owner,
            now: self.now,
            until: self.now + MINUTE,
            count_max: i64::from(feed.byte() % 4),
            more_urgent_than: if feed.byte().is_multiple_of(4) {
                1
            } else {
                LeaseTerms::ANY_PRIORITY
            },
        };
        self.renderer.how = feed.byte() % 8;
        let leased = queue::lease(db, &terms, &mut self.renderer)?;
        let mut tubes = BTreeSet::new();
        for row in leased {
            let before = self.rows.get(&row.id).expect("a row that was queued");
            assert_eq!(
                before.state,
                QueueState::Waiting,
                "row {} is on its way already",
                row.id
            );
            assert_eq!(before.destination, terms.destination);
            assert!(before.due_at <= self.now, "row {} is not due", row.id);
            assert_eq!(row.attempt, before.attempts + 1);
            assert!(
                tubes.insert(row.specimen),
                "one message of a tube at a time"
            );
            if let Some(body) = &before.body {
                assert_eq!(&row.body, body, "the bytes of every try are the same");
            }
            assert!(
                self.holders.insert(row.id, owner).is_none(),
                "one worker holds row {}",
                row.id
            );
        }
        Ok(())
    }

    fn settle(&mut self, db: &mut dyn Db, feed: &mut Feed<'_>) -> Result<(), StoreError> {
        let owner = *feed.pick(&OWNERS);
        let (reason, answer) = ("why".to_owned(), "AE".to_owned());
        let verdict = match feed.byte() % 3 {
            0 => Verdict::Accepted { answer },
            1 => Verdict::Deferred { reason, answer },
            _ => Verdict::Refused { reason, answer },
        };
        let held: Vec<i64> = self.holders.keys().copied().collect();
        let id = if held.is_empty() || feed.byte().is_multiple_of(8) {
            self.any(feed)
        } else {
            *feed.pick(&held)
        };
        let is_held = self.holders.get(&id) == Some(&owner);
        let twice = [(id, verdict.clone()), (id, verdict)];
        let done = queue::settle_attempts(db, &twice, owner, Backoff::default(), self.now)?;
        assert_eq!(done, usize::from(is_held), "a verdict is its lease's, once");
        if is_held {
            self.holders.remove(&id);
        }
        Ok(())
    }

    fn held(&self, destination: &'static str) -> impl Iterator<Item = i64> {
        self.holders.keys().copied().filter(move |id| {
            self.rows
                .get(id)
                .is_some_and(|row| row.destination == destination)
        })
    }

    fn any(&self, feed: &mut Feed<'_>) -> i64 {
        let ids: Vec<i64> = self.rows.keys().copied().collect();
        if ids.is_empty() { 0 } else { *feed.pick(&ids) }
    }

    /// A row that is set aside, for news that has to wait for it.
    fn aside(&self, feed: &mut Feed<'_>) -> Option<i64> {
        let aside = self
            .rows
            .values()
            .filter(|row| row.state == QueueState::SetAside);
        let ids: Vec<i64> = aside.map(|row| row.id).collect();
        (!ids.is_empty() && feed.byte().is_multiple_of(2)).then(|| *feed.pick(&ids))
    }

    fn know(&mut self, db: &mut dyn Db, ids: &[i64]) -> Result<(), StoreError> {
        for id in ids {
            let row = queue::find(db, *id)?.expect("what was queued is there");
            self.rows.entry(*id).or_insert(row);
        }
        Ok(())
    }

    /// Every row as it is now, against how it was.
    fn check(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let mut control_ids = BTreeSet::new();
        let known: Vec<i64> = self.rows.keys().copied().collect();
        for id in known {
            let row = queue::find(db, id)?.expect("nothing that was queued vanishes");
            let before = self.rows.insert(id, row.clone()).expect("it is known");
            let is_closed = |state| {
                matches!(
                    state,
                    QueueState::Delivered | QueueState::Discarded | QueueState::Superseded
                )
            };
            if is_closed(before.state) {
                assert_eq!(row.state, before.state, "what is closed stays closed");
            }
            assert_eq!(
                is_closed(row.state),
                row.closed_at.is_some() && row.state != QueueState::SetAside
            );
            assert!(
                before.body.is_none() || row.body == before.body,
                "bytes never change"
            );
            assert!(before.control_id.is_none() || row.control_id == before.control_id);
            assert_eq!(
                row.body.is_some(),
                row.control_id.is_some(),
                "one control id, one body"
            );
            if let Some(own) = &row.control_id {
                assert!(control_ids.insert(own.clone()), "a control id is one row's");
            }
            let is_leased = row.state == QueueState::Leased;
            assert_eq!(
                is_leased,
                self.holders.contains_key(&id),
                "row {id} is {:?}",
                row.state
            );
            assert!(row.attempts >= before.attempts);
        }
        Ok(())
    }
}

fn tube(feed: &mut Feed<'_>) -> i64 {
    i64::from(feed.byte()) % TUBES + 1
}

fn priority(feed: &mut Feed<'_>) -> Priority {
    *feed.pick(&[Priority::Stat, Priority::Asap, Priority::Routine])
}
