//! Hosts that speak HTTP: results posted as JSON, orders fetched page by page.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use labwire_drivers::{Clock, Tls};
use labwire_protocols::wire::{Commit, Received};
use reqwest::Client;
use tokio::{
    task::{self, JoinError, JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Host,
    host::{self, HostSite, Inbound, http},
    queue::Verdict,
    store::{Db, JournalEntry, Store, StoreError, Turn},
};

use super::{
    courier::{deferred, shown_after},
    desk::{Desk, Destination, LOOK_AGAIN, RENEW, Room, WRITE_AGAIN},
    device::Ids,
    host_line,
    news::News,
    site::Site,
    tenure::Tenure,
};

/// What the tasks of one host need.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) host: Host,
    /// How a server of `https://` is judged, where there is one.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) site: Arc<HostSite>,
    pub(super) lab: Arc<Site>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<Ids>,
    /// Results and downloads: orders let results go on, and devices may have to be told.
    pub(super) changed: [Arc<News>; 2],
    pub(super) stop: CancellationToken,
    pub(super) tenure: Tenure,
}

/// The client, made again when the files of TLS change.
#[derive(Debug)]
struct Way {
    within: Duration,
    tls: Option<Arc<Tls>>,
    made: Mutex<Option<(u64, Client)>>,
}

impl Way {
    fn new(parts: &Parts) -> Self {
        Self {
            within: Duration::from_secs(parts.host.reply_timeout_s.into()),
            tls: parts.tls.clone(),
            made: Mutex::default(),
        }
    }

    /// `None` while the files of TLS cannot be used.
    fn client(&self) -> Option<Client> {
        let tls = self.tls.as_ref();
        // Counted first: what is made of newer files is then made once more, and never kept too long.
        let generation = tls.map_or(0, |tls| tls.generation());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*made
            && *of == generation
        {
            return Some(client.clone());
        }
        let config = tls.map(|tls| tls.client()).transpose().ok()?;
        let client = http::client(self.within, config.as_deref()).ok()?;
        *made = Some((generation, client.clone()));
        Some(client)
    }
}

/// Starts what the host wants of us: the posting of results, the fetching of orders.
///
/// # Errors
/// When the HTTP client cannot be built.
pub(super) fn start(parts: &Parts) -> Result<Vec<JoinHandle<()>>, reqwest::Error> {
    // What the library cannot build at all is told at once.
    http::client(Duration::ZERO, None)?;
    let way = Arc::new(Way::new(parts));
    let mut tasks = Vec::new();
    if let Some(url) = &parts.host.results {
        tasks.push(tokio::spawn(post(
            parts.clone(),
            Arc::clone(&way),
            url.to_string(),
        )));
    }
    if let Some(url) = &parts.host.orders {
        tasks.push(tokio::spawn(fetch(parts.clone(), way, url.to_string())));
    }
    Ok(tasks)
}

/// Posts what is due until stopped, and then waits for the answers under way.
async fn post(parts: Parts, way: Arc<Way>, url: String) {
    let desk = Desk {
        destination: Destination::Http(Arc::clone(&parts.site)),
        store: parts.store.clone(),
        clock: Arc::clone(&parts.clock),
        ids: Arc::clone(&parts.ids),
        backoff: super::start::backoff_of(&parts.host),
        tenure: parts.tenure.clone(),
    };
    let room = usize::try_from(parts.host.connections).unwrap_or(1);
    let refusals_shown = i64::from(parts.host.refusals_shown);
    let mut posting = Posting::new(way, url, refusals_shown);
    let mut renew_at = Instant::now() + RENEW;
    loop {
        if Instant::now() >= renew_at {
            posting.is_unsure = true;
            renew_at = Instant::now() + RENEW;
        }
        let changed = parts.changed[0].notified();
        tokio::pin!(changed);
        // From here on no wake-up is missed while the queue is being read.
        changed.as_mut().enable();
        posting.drain();
        let is_stopped = parts.stop.is_cancelled();
        let free = if is_stopped || !parts.tenure.holds() {
            0
        } else {
            room.saturating_sub(posting.trips.len())
        };
        let rest = if free == 0 {
            LOOK_AGAIN
        } else {
            desk.until_due().await
        };
        let is_due = free > 0 && rest.is_zero();
        if is_due || posting.is_unsure || !posting.ended.is_empty() {
            match posting.turn(&desk, if is_due { free } else { 0 }).await {
                Ok(has_sent) if has_sent || !is_due => continue,
                Ok(_) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    posting.is_unsure = true;
                    tracing::error!(queue = desk.name(), %error, "the queue cannot be written");
                }
            }
        }
        if parts.stop.is_cancelled() && posting.trips.is_empty() && posting.ended.is_empty() {
            return;
        }
        let rest = if is_due { LOOK_AGAIN } else { rest };
        let rest = if posting.ended.is_empty() {
            rest
        } else {
            WRITE_AGAIN
        };
        tokio::select! {
            Some(done) = posting.trips.join_next_with_id() => posting.take(done),
            () = changed => {}
            () = tokio::time::sleep(rest) => {}
            () = parts.stop.cancelled(), if !parts.stop.is_cancelled() => {}
        }
    }
}

/// What is under way to one host.
struct Posting {
    way: Arc<Way>,
    url: String,
    trips: JoinSet<(i64, Verdict)>,
    /// What each task carries: row and try.
    rows: HashMap<task::Id, (i64, i64)>,
    ended: Vec<(i64, Verdict)>,
    refusals_shown: i64,
    /// After an error nobody knows what was written; leases are then compared with rows.
    is_unsure: bool,
}

impl Posting {
    fn new(way: Arc<Way>, url: String, refusals_shown: i64) -> Self {
        Self {
            way,
            url,
            trips: JoinSet::new(),
            rows: HashMap::new(),
            ended: Vec::new(),
            refusals_shown,
            is_unsure: false,
        }
    }

    fn drain(&mut self) {
        while let Some(done) = self.trips.try_join_next_with_id() {
            self.take(done);
        }
    }

    fn take(&mut self, done: Result<(task::Id, (i64, Verdict)), JoinError>) {
        let (id, verdict) = match done {
            Ok((id, (_, verdict))) => (id, verdict),
            // Nobody knows whether it arrived; the same control id makes a second post harmless.
            Err(panicked) => (panicked.id(), deferred("posting it failed inside", "")),
        };
        let Some((row, attempt)) = self.rows.remove(&id) else {
            return;
        };
        let verdict = shown_after(verdict, attempt, self.refusals_shown);
        if !matches!(verdict, Verdict::Accepted { .. }) {
            // The reason may hold the peer's own words, so it is stored and shown, not logged.
            tracing::warn!(row, "not taken by the host");
        }
        self.ended.push((row, verdict));
    }

    /// Writes down what ended, and posts what is leased. True when something was.
    async fn turn(&mut self, desk: &Desk, room: usize) -> Result<bool, StoreError> {
        let under_way = self
            .is_unsure
            .then(|| self.rows.values().map(|(row, _)| *row).collect());
        let leased = desk.turn(&self.ended, Room::of(room), under_way).await?;
        self.is_unsure = false;
        self.ended.clear();
        let has_sent = !leased.is_empty();
        for row in leased {
            let carried = (row.id, row.attempt);
            let (client, url) = (self.way.client(), self.url.clone());
            let trip = self.trips.spawn(async move {
                let verdict = match client {
                    Some(client) => {
                        http::post_result(&client, &url, &row.control_id, row.body).await
                    }
                    None => deferred(NO_TLS, ""),
                };
                (row.id, verdict)
            });
            self.rows.insert(trip.id(), carried);
        }
        Ok(has_sent)
    }
}

/// Why nothing goes to a host whose authorities or certificate are not there.
const NO_TLS: &str = "the files of TLS for this host cannot be used: labwire check says why";

/// Fetches orders and posts what became of them until stopped. Neither waits for the other: a host
/// that takes no answers still has its orders carried out.
async fn fetch(parts: Parts, way: Arc<Way>, url: String) {
    let pause = Duration::from_secs(parts.host.poll_s.into());
    let mut is_deaf = false;
    while !parts.stop.is_cancelled() {
        let Some(client) = way.client() else {
            tracing::warn!(host = parts.site.id, "{NO_TLS}");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = parts.stop.cancelled() => {}
            }
            continue;
        };
        if !parts.tenure.holds() {
            // This node cannot know that it still serves the host.
            tokio::time::sleep(WRITE_AGAIN).await;
            continue;
        }
        match post_answers(&parts, &client, &url).await {
            Ok(all_taken) => {
                if !all_taken && !is_deaf {
                    tracing::warn!(
                        host = parts.site.id,
                        "the host does not take what is answered to its orders; they are fetched \
                         all the same. Mend its address for answers, or let its pages say \
                         \"answer\": false"
                    );
                }
                is_deaf = !all_taken;
            }
            Err(error) => {
                tracing::warn!(host = parts.site.id, %error, "answers were not posted");
            }
        }
        let has_more = match fetch_page(&parts, &client, &url).await {
            Ok(has_more) => has_more,
            Err(error) => {
                tracing::warn!(host = parts.site.id, %error, "orders were not fetched");
                false
            }
        };
        if !has_more {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = parts.stop.cancelled() => {}
            }
        }
    }
}

/// Why a page of orders was not fetched and answered.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the store is away")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pull(#[from] http::PullError),
}

/// Posts the answers that are due, oldest first, up to one that is not taken. True when none is left.
async fn post_answers(parts: &Parts, client: &Client, url: &str) -> Result<bool, StoreError> {
    let host = parts.site.id.clone();
    let state = parts
        .store
        .read(move |db| host::pull_state(db, &host))
        .await?;
    for (control_id, body) in state.answers {
        match http::post_result(client, url, &control_id, body.into_bytes()).await {
            Verdict::Accepted { .. } | Verdict::Refused { .. } => {
                let host = parts.site.id.clone();
                let taken = move |db: &mut dyn Db| host::answer_taken(db, &host, &control_id);
                parts.store.transact(Turn::Reply, taken).await?;
            }
            Verdict::Deferred { .. } => return Ok(false),
        }
    }
    Ok(true)
}

/// Asks for the next page and applies it. True when there may be another page at once.
async fn fetch_page(parts: &Parts, client: &Client, url: &str) -> Result<bool, FetchError> {
    let host = parts.site.id.clone();
    let state = parts
        .store
        .read(move |db| host::pull_state(db, &host))
        .await?;
    let Some(page) = http::pull_orders(client, url, &state.after).await? else {
        return Ok(false);
    };
    let inbound = Inbound {
        entry: JournalEntry {
            line: format!("host:{}", parts.site.id),
            connection: parts.ids.connection("", 0),
            at: parts.clock.utc_micros(),
            commit: Commit::Message(Received {
                session: parts.ids.out().0,
                bytes: page.into(),
                is_complete: true,
            }),
        },
        reply_id: parts.ids.reply(),
    };
    let (site, lab) = (Arc::clone(&parts.site), Arc::clone(&parts.lab));
    let work = move |db: &mut dyn Db| {
        let heard = host::hear_page(db, &site, &inbound)?;
        host_line::follow_up(db, &lab, &heard, inbound.entry.at)?;
        Ok(heard)
    };
    let heard = parts.store.transact(Turn::Reply, work).await?;
    tracing::info!(
        host = parts.site.id,
        summary = heard.summary,
        "orders fetched"
    );
    parts.changed.iter().for_each(|news| news.notify_waiters());
    Ok(!heard.barcodes.is_empty())
}
