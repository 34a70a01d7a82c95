//! Where a courier leases its rows and writes down what became of them.

use std::{sync::Arc, time::Duration};

use labwire_drivers::crash;

use crate::{
    host::{HostSite, JsonRenderer, ResultRenderer},
    queue::{self, Backoff, LeaseTerms, Leased, Render, Verdict},
    store::{Db, Store, StoreError, Turn, nodes},
    worklist,
};

use super::{device::Ids, orders::DownloadRenderer, site::LineSite, tenure::Tenure};

/// A lease outlives the longest wait for an answer; only an owner that is gone loses one.
const LEASE: i64 = 15 * 60 * 1_000_000;
/// How often a courier renews the leases of what it has in hand, and takes back those that nobody
/// has in hand: three times in the life of a lease.
pub(super) const RENEW: Duration = Duration::from_mins(5);
/// How long a courier rests at most before it looks for due rows, so that a row put on the queue
/// by another process is found too.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The same for a device, whose courier is woken when something is due ([`super::lookout`]).
const LOOK_AGAIN_DEVICE: Duration = Duration::from_mins(1);
/// The rest after the store refused to take down what ended.
pub(super) const WRITE_AGAIN: Duration = Duration::from_millis(200);

/// Where a courier goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// Results to a host, as HL7.
    Host(Arc<HostSite>),
    /// Results to a host, as JSON.
    Http(Arc<HostSite>),
    /// Orders and cancels to a device.
    Device(Arc<LineSite>),
}

/// How much a courier can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    /// Only rows with a lower priority rank.
    pub(super) more_urgent_than: i64,
}

impl Room {
    /// For so many rows of any priority.
    pub(super) const fn of(rows: usize) -> Self {
        Self {
            rows,
            more_urgent_than: LeaseTerms::ANY_PRIORITY,
        }
    }
}

/// One destination's desk.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) destination: Destination,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    pub(super) backoff: Backoff,
    /// Rows are leased and sent by whoever serves the destination.
    pub(super) tenure: Tenure,
}

impl Desk {
    pub(super) fn name(&self) -> String {
        match &self.destination {
            Destination::Host(host) | Destination::Http(host) => format!("host:{}", host.id),
            Destination::Device(line) => format!("line:{}", line.id),
        }
    }

    /// How long until a row is due, zero if one is; or until the queue is looked at again, as rows of
    /// another process come without a word.
    pub(super) async fn until_due(&self) -> Duration {
        let name = self.name();
        let now = self.clock.utc_micros();
        let longest = match &self.destination {
            Destination::Device(_) => LOOK_AGAIN_DEVICE,
            Destination::Host(_) | Destination::Http(_) => LOOK_AGAIN,
        };
        match self.store.read(move |db| queue::due(db, &name)).await {
            Ok(Some(due)) if due.is_out_of_time(now) => self.bring_forward(now).await,
            Ok(Some(due)) => {
                let wait = u64::try_from(due.earliest.saturating_sub(now)).unwrap_or(0);
                Duration::from_micros(wait).min(longest)
            }
            Ok(None) => longest,
            Err(error) => {
                // The writer may still see it: delivery does not hang on a reader.
                tracing::error!(queue = self.name(), %error, "the queue cannot be read");
                Duration::ZERO
            }
        }
    }

    /// After the clock of the machine was set back: what was put off for seconds does not wait for
    /// the hour to come again.
    async fn bring_forward(&self, now: i64) -> Duration {
        let name = self.name();
        let work = move |db: &mut dyn Db| queue::bring_forward(db, &name, now);
        match self.store.transact(Turn::Canonical, work).await {
            Ok(rows) => {
                tracing::warn!(
                    queue = self.name(),
                    rows,
                    "the clock was set back: what waited for a later time is due now"
                );
                Duration::ZERO
            }
            Err(error) => {
                tracing::error!(queue = self.name(), %error, "the queue cannot be written");
                LOOK_AGAIN
            }
        }
    }

    /// One transaction: what ended is written down, what is due is leased.
    pub(super) async fn turn(
        &self,
        ended: &[(i64, Verdict)],
        room: Room,
        under_way: Option<Vec<i64>>,
    ) -> Result<Vec<Leased>, StoreError> {
        let name = self.name();
        let ended = ended.to_vec();
        let (clock, backoff) = (Arc::clone(&self.clock), self.backoff);
        let destination = self.destination.clone();
        let run = self.ids.run().to_owned();
        let is_of_node = self.tenure.is_of_node();
        let count_max = i64::try_from(room.rows).unwrap_or(0);
        let work = move |db: &mut dyn Db| {
            // What was committed while this waited for the writer is in what it sends: it is tried after it.
            let now = clock.utc_micros();
            queue::settle_attempts(db, &ended, &run, backoff, now)?;
            if !ended.is_empty() {
                crash::point_at("verdict", &name);
            }
            // The unit of a destination has its name. What is leased there is another node's, if that has it.
            if is_of_node && !nodes::holds(db, &name, &run)? {
                return Ok(Vec::new());
            }
            if let Some(under_way) = &under_way {
                queue::reclaim(db, &name, under_way, now)?;
                queue::renew(db, &run, under_way, now + LEASE)?;
            }
            if count_max == 0 {
                return Ok(Vec::new());
            }
            let terms = LeaseTerms {
                destination: &name,
                owner: &run,
                now,
                until: now + LEASE,
                count_max,
                more_urgent_than: room.more_urgent_than,
            };
            if let Destination::Device(line) = &destination {
                worklist::learn(db, line.profile.learned())?;
            }
            let mut renderer: Box<dyn Render> = match &destination {
                Destination::Host(site) => Box::new(ResultRenderer {
                    site,
                    run: &run,
                    now,
                }),
                Destination::Http(site) => Box::new(JsonRenderer {
                    site,
                    run: &run,
                    now,
                }),
                Destination::Device(line) => Box::new(DownloadRenderer {
                    line,
                    run: &run,
                    now,
                }),
            };
            let leased = queue::lease(db, &terms, renderer.as_mut())?;
            if !leased.is_empty() {
                crash::point_at("leased", &name);
            }
            Ok(leased)
        };
        self.store.transact(Turn::Canonical, work).await
    }
}
