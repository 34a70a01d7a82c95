//! Couriers: one per destination, taking queue rows to a host or a device and writing down what
//! became of them. A courier leases only while somebody is connected, so an outage costs nothing
//! and counts no tries.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{CommitResult, Connection};
use labwire_drivers::{LineEvent, LineHandle, Upstream};
use labwire_protocols::{
    hl7::{Message, ack::Answer},
    wire::{Commit, CommitId, OutId, Outgoing, OutgoingKind, SendFailure, SendOutcome},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{HostAnswer, HostSite, ResultRenderer},
    queue::{self, Backoff, LeaseTerms, Leased, Render, Verdict},
    store::{Db, Store, StoreError, Turn},
};

use super::{device::Ids, orders::DownloadRenderer, site::LineSite};

/// A lease outlives the longest wait for an answer; only a dead owner loses one.
const LEASE: i64 = 15 * 60 * 1_000_000;
/// How long a courier rests at most before it looks for due rows, so that a row put on the queue
/// by another process is found too.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Messages that a host's line holds at once: one on its way and a few behind it, so that the line
/// is not idle while the queue is written. Few, because an urgent message cannot overtake them.
const HANDED_MAX: usize = 4;
/// The rest after the store refused to take down what ended.
const WRITE_AGAIN: Duration = Duration::from_millis(200);

/// What a courier hears from its lines.
#[derive(Debug)]
pub(super) enum Finished {
    /// The last word about a message.
    Sent(OutId, SendOutcome),
    /// Somebody is there.
    Connected,
}

/// Where a courier goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// Results to a host.
    Host(Arc<HostSite>),
    /// Orders and cancels to a device.
    Device(Arc<LineSite>),
}

/// One courier.
pub(super) struct Courier {
    pub(super) destination: Destination,
    pub(super) lines: Vec<LineHandle>,
    pub(super) finished: mpsc::UnboundedReceiver<Finished>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    pub(super) queue_changed: Arc<Notify>,
    pub(super) backoff: Backoff,
    pub(super) refusals_shown: i64,
}

/// A row on its way.
struct Trip {
    row: i64,
    attempt: i64,
    line: usize,
}

impl Courier {
    /// Runs until stopped; then waits for the answers that are due, as long as the lines do.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut trips: BTreeMap<OutId, Trip> = BTreeMap::new();
        let mut ended: Vec<(i64, Verdict)> = Vec::new();
        loop {
            let changed = Arc::clone(&self.queue_changed);
            let changed = changed.notified();
            tokio::pin!(changed);
            // From here on no wake-up is missed while the queue is being read.
            changed.as_mut().enable();
            self.drain(&mut trips, &mut ended);
            let free = if stop.is_cancelled() {
                Vec::new()
            } else {
                self.free_places(&trips)
            };
            let rest = if free.is_empty() {
                LOOK_AGAIN
            } else {
                self.until_due().await
            };
            let is_due = !free.is_empty() && rest.is_zero();
            if is_due || !ended.is_empty() {
                let room = if is_due { free.len() } else { 0 };
                match self.turn(&ended, room).await {
                    Ok(leased) => {
                        ended.clear();
                        let has_sent = !leased.is_empty();
                        self.send(leased, &free, &mut trips, &mut ended).await;
                        if has_sent || !is_due {
                            continue;
                        }
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::error!(queue = self.name(), %error, "the queue cannot be written");
                    }
                }
            }
            if stop.is_cancelled() && trips.is_empty() && ended.is_empty() {
                return;
            }
            // Rows that are due and were not leased wait for another message of their tube.
            let rest = if is_due { LOOK_AGAIN } else { rest };
            let rest = if ended.is_empty() { rest } else { WRITE_AGAIN };
            tokio::select! {
                news = self.finished.recv() => match news {
                    Some(news) => self.on_news(news, &mut trips, &mut ended),
                    None => return,
                },
                () = changed => {}
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    fn name(&self) -> String {
        match &self.destination {
            Destination::Host(host) => format!("host:{}", host.id),
            Destination::Device(line) => format!("line:{}", line.id),
        }
    }

    /// How long until a row is due, zero if one is; at most [`LOOK_AGAIN`].
    async fn until_due(&self) -> Duration {
        let name = self.name();
        let now = self.clock.utc_micros();
        match self
            .store
            .read(move |db| queue::earliest_due(db, &name))
            .await
        {
            Ok(Some(due)) => {
                let wait = u64::try_from(due.saturating_sub(now)).unwrap_or(0);
                Duration::from_micros(wait).min(LOOK_AGAIN)
            }
            Ok(None) => LOOK_AGAIN,
            Err(error) => {
                tracing::error!(queue = self.name(), %error, "the queue cannot be read");
                LOOK_AGAIN
            }
        }
    }

    /// Places on lines that are connected, a line once for each; the emptiest lines first.
    fn free_places(&self, trips: &BTreeMap<OutId, Trip>) -> Vec<usize> {
        let most = match &self.destination {
            Destination::Host(_) => HANDED_MAX,
            Destination::Device(_) => 1,
        };
        let mut carried = vec![0_usize; self.lines.len()];
        for trip in trips.values() {
            if let Some(count) = carried.get_mut(trip.line) {
                *count += 1;
            }
        }
        let is_connected = |handle: &LineHandle| !handle.status().connections.is_empty();
        let connected: Vec<bool> = self.lines.iter().map(is_connected).collect();
        let mut places = Vec::new();
        for level in 0..most {
            let lines = carried.iter().zip(&connected).enumerate();
            let free =
                lines.filter(|(_, (carried, is_connected))| **is_connected && **carried <= level);
            places.extend(free.map(|(index, _)| index));
        }
        places
    }

    /// One transaction: what ended is written down, what is due is leased.
    async fn turn(&self, ended: &[(i64, Verdict)], free: usize) -> Result<Vec<Leased>, StoreError> {
        let name = self.name();
        let ended = ended.to_vec();
        let (now, backoff) = (self.clock.utc_micros(), self.backoff);
        let destination = self.destination.clone();
        let run = self.ids.run().to_owned();
        let count_max = i64::try_from(free).unwrap_or(0);
        let work = move |db: &mut dyn Db| {
            for (row, verdict) in &ended {
                queue::settle_attempt(db, *row, &run, verdict, backoff, now)?;
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
            };
            let mut renderer: Box<dyn Render> = match &destination {
                Destination::Host(site) => Box::new(ResultRenderer {
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
            queue::lease(db, &terms, renderer.as_mut())
        };
        self.store.transact(Turn::Canonical, work).await
    }

    async fn send(
        &self,
        leased: Vec<Leased>,
        free: &[usize],
        trips: &mut BTreeMap<OutId, Trip>,
        ended: &mut Vec<(i64, Verdict)>,
    ) {
        for (row, line) in leased.into_iter().zip(free) {
            let id = self.ids.out();
            let outgoing = Outgoing {
                payload: row.body.into(),
                kind: OutgoingKind::Download,
                expires_after: None,
            };
            let Some(handle) = self.lines.get(*line) else {
                continue;
            };
            if handle.send(id, outgoing).await.is_ok() {
                trips.insert(
                    id,
                    Trip {
                        row: row.id,
                        attempt: row.attempt,
                        line: *line,
                    },
                );
            } else {
                ended.push((row.id, deferred("the line was stopped", "")));
            }
        }
    }

    fn drain(&mut self, trips: &mut BTreeMap<OutId, Trip>, ended: &mut Vec<(i64, Verdict)>) {
        while let Ok(news) = self.finished.try_recv() {
            self.on_news(news, trips, ended);
        }
    }

    fn on_news(
        &self,
        news: Finished,
        trips: &mut BTreeMap<OutId, Trip>,
        ended: &mut Vec<(i64, Verdict)>,
    ) {
        let Finished::Sent(id, outcome) = news else {
            return;
        };
        let Some(trip) = trips.remove(&id) else {
            return;
        };
        let verdict = self.verdict(outcome, trip.attempt);
        if !matches!(verdict, Verdict::Accepted { .. }) {
            // The reason may hold the peer's own words, so it is stored and shown, not logged.
            tracing::warn!(
                queue = self.name(),
                row = trip.row,
                attempt = trip.attempt,
                "not taken"
            );
        }
        ended.push((trip.row, verdict));
    }

    fn verdict(&self, outcome: SendOutcome, attempt: i64) -> Verdict {
        match outcome {
            SendOutcome::Sent => Verdict::Accepted {
                answer: "every frame acknowledged".into(),
            },
            SendOutcome::Answered(bytes) => self.answered(&bytes, attempt),
            SendOutcome::Failed(SendFailure::Unsendable) => Verdict::Refused {
                reason: "the message breaks a limit of the line".into(),
                answer: String::new(),
            },
            SendOutcome::Failed(failure) => deferred(why(failure), ""),
        }
    }

    fn answered(&self, bytes: &[u8], attempt: i64) -> Verdict {
        let Destination::Host(site) = &self.destination else {
            return Verdict::Accepted {
                answer: "answered".into(),
            };
        };
        let Some(answer) = read_answer(site, bytes) else {
            return deferred("the answer cannot be read", "");
        };
        let mut verdict = site.permanence.verdict(&answer);
        if let Verdict::Deferred { reason, .. } = &mut verdict
            && attempt >= self.refusals_shown
        {
            reason.push_str(&format!("; refused {attempt} times: a person must look"));
        }
        verdict
    }
}

fn deferred(reason: &str, answer: &str) -> Verdict {
    Verdict::Deferred {
        reason: reason.to_owned(),
        answer: answer.to_owned(),
    }
}

const fn why(failure: SendFailure) -> &'static str {
    match failure {
        SendFailure::Busy => "the receiver is busy",
        SendFailure::Refused => "a frame was refused six times",
        SendFailure::TimedOut => "no answer in time",
        SendFailure::LineLost => "the line was lost before the answer",
        SendFailure::Expired => "it expired before it could be sent",
        SendFailure::Withdrawn => "it was withdrawn",
        SendFailure::Unsendable => "it cannot be sent",
    }
}

/// The parts of a host's answer that decide.
pub(super) fn read_answer(site: &HostSite, bytes: &[u8]) -> Option<HostAnswer> {
    let text = site.charset.decode(bytes).ok()?;
    let (message, _) = Message::parse(&text).ok()?;
    let answer = Answer::read(&message).ok()?;
    Some(HostAnswer {
        code: answer.code_raw.to_owned(),
        errors: answer.error_codes().map(u32::from).collect(),
        text: answer.text.to_string(),
    })
}

/// The owner of a line on which results go out.
pub(super) struct ResultLine {
    pub(super) host: String,
    pub(super) finished: mpsc::UnboundedSender<Finished>,
}

impl Upstream for ResultLine {
    /// A host that sends a message on the line of results gets no promise: it has a line for that.
    fn commit(
        &self,
        _connection: &Connection,
        _id: CommitId,
        _commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        tracing::warn!(
            host = self.host,
            "the host sent a message on the line of results; ignored"
        );
        async { Ok(None) }.boxed()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a courier needs no other news"
    )]
    fn on_event(&self, event: LineEvent) {
        log_event(&self.host, &event);
        let news = match event {
            LineEvent::Finished(id, outcome) => Finished::Sent(id, outcome),
            LineEvent::Connected(_) => Finished::Connected,
            _ => return,
        };
        // The courier ends after its lines; then nothing is left to be told.
        drop(self.finished.send(news));
    }
}

/// Life-cycle steps of a line, for the log; never content.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what a person would look for is logged"
)]
pub(super) fn log_event(line: &str, event: &LineEvent) {
    match event {
        LineEvent::Listening(address) => tracing::info!(line, %address, "listening"),
        LineEvent::Connected(connection) => {
            tracing::info!(line, peer = %connection.peer, "connected");
        }
        LineEvent::Lost { why, .. } => tracing::info!(line, code = why.code(), "connection ended"),
        LineEvent::Unavailable(error) => tracing::warn!(line, %error, "the port cannot be opened"),
        LineEvent::Refused { peer, why } => {
            tracing::warn!(line, %peer, code = why.code(), "connection refused");
        }
        LineEvent::Replaced { .. } => tracing::info!(line, "a newer connection took over"),
        LineEvent::Note { note, .. } => {
            tracing::debug!(line, code = note.code, at = note.at, "{}", note.text);
        }
        _ => {}
    }
}
