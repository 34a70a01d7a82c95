//! Couriers: one per destination, taking queue rows to a host or a device and writing down what
//! became of them. A courier leases only while somebody is connected, so an outage costs nothing
//! and counts no tries.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{CommitResult, Connection};
use labwire_drivers::{LineEvent, LineHandle, Upstream, crash};
use labwire_protocols::{
    hl7::{Message, ack::Answer},
    wire::{Commit, CommitId, OutId, Outgoing, OutgoingKind, SendFailure, SendOutcome},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{HostAnswer, HostSite},
    profile::refusal_of,
    queue::{Leased, Verdict},
    store::StoreError,
};

use super::{
    desk::{Desk, Destination, LOOK_AGAIN, RENEW, Room, WRITE_AGAIN},
    host_line::HostLine,
    law,
    news::News,
    site::LineSite,
};

/// What a courier hears from its lines.
#[derive(Debug)]
pub(super) enum Finished {
    /// The last word about a message.
    Sent(OutId, SendOutcome),
    /// Somebody is there.
    Connected,
}

/// One courier.
pub(super) struct Courier {
    pub(super) desk: Desk,
    pub(super) lines: Vec<LineHandle>,
    pub(super) finished: mpsc::UnboundedReceiver<Finished>,
    pub(super) queue_changed: Arc<News>,
    pub(super) refusals_shown: i64,
    /// Rows leased beyond those that the lines carry, so that no line waits for the disk. A line
    /// carries one message at a time all the same: what is urgent goes before what was leased.
    pub(super) ahead_max: usize,
}

/// A row on its way.
struct Trip {
    row: i64,
    attempt: i64,
    line: usize,
    body: Bytes,
}

/// What a courier has in hand.
#[derive(Default)]
struct Load {
    trips: BTreeMap<OutId, Trip>,
    /// Leased and not sent yet: by priority, then by age.
    ahead: BTreeMap<(i64, i64), Leased>,
    /// To be written down.
    ended: Vec<(i64, Verdict)>,
    /// After an error nobody knows what was written; leases are then compared with what is in hand.
    is_unsure: bool,
}

impl Load {
    fn rows(&self) -> Vec<i64> {
        let trips = self.trips.values().map(|trip| trip.row);
        let ahead = self.ahead.values().map(|leased| leased.id);
        trips.chain(ahead).collect()
    }

    fn is_empty(&self) -> bool {
        self.trips.is_empty() && self.ahead.is_empty() && self.ended.is_empty()
    }
}

/// How a turn at the desk ended.
struct Turned {
    /// What was to be written down.
    ended: Vec<(i64, Verdict)>,
    /// What was leased, and how long until there may be more.
    outcome: Result<(Vec<Leased>, Duration), StoreError>,
}

impl Courier {
    /// Runs until stopped; then waits for the answers that are due, as long as the lines do.
    ///
    /// A turn at the desk (one transaction) goes on beside the sending, one at a time: what ends
    /// meanwhile is written down by the next.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut load = Load::default();
        loop {
            let work = AssertUnwindSafe(self.work(&mut load, &stop)).catch_unwind();
            if work.await.is_ok() {
                return;
            }
            // What it had in hand is found again by its row, and sent under the same control id.
            tracing::error!(
                queue = self.desk.name(),
                "a courier failed inside; it begins again with what its rows say"
            );
            load = Load {
                is_unsure: true,
                ..Load::default()
            };
            tokio::time::sleep(WRITE_AGAIN).await;
        }
    }

    async fn work(&mut self, load: &mut Load, stop: &CancellationToken) {
        let news = Arc::clone(&self.queue_changed);
        let mut changed = Box::pin(news.notified());
        // From here on no wake-up is missed.
        changed.as_mut().enable();
        let mut turn: Option<BoxFuture<'static, Turned>> = None;
        let mut look_at = Instant::now();
        let mut write_at = look_at;
        let mut renew_at = look_at + RENEW;
        let mut has_changed = false;
        loop {
            let room = self.go_on(load, has_changed, stop).await;
            let now = Instant::now();
            if now >= renew_at {
                load.is_unsure = true;
                renew_at = now + RENEW;
            }
            let is_to_write = load.is_unsure || !load.ended.is_empty();
            let has_ended = is_to_write && now >= write_at;
            let is_due = room.rows > 0 && now >= look_at;
            if turn.is_none() && (has_ended || is_due) {
                has_changed = false;
                turn = Some(self.turn(load, room));
            }
            if stop.is_cancelled() && turn.is_none() && load.is_empty() {
                return;
            }
            let rest = match (is_to_write, room.rows) {
                (true, _) => write_at,
                (false, 0) => now + LOOK_AGAIN,
                (false, _) => look_at,
            };
            let rest = rest.clamp(now + SHORTEST_REST, now + LOOK_AGAIN);
            tokio::select! {
                // In an order of its own, so that a run can be repeated. None of them is ready for
                // ever: a turn goes on for as long as its transaction, a line carries one message.
                biased;
                turned = poll(&mut turn) => {
                    turn = None;
                    let now = Instant::now();
                    match self.on_turned(turned, load) {
                        Some(rest) if !has_changed => look_at = now + rest,
                        Some(_) => look_at = now,
                        None => return,
                    }
                    if load.is_unsure {
                        write_at = now + WRITE_AGAIN;
                        look_at = write_at;
                    }
                }
                news = self.finished.recv() => match news {
                    Some(news) => self.on_news(news, load),
                    None => return,
                },
                () = &mut changed => {
                    changed.set(news.notified());
                    changed.as_mut().enable();
                    has_changed = true;
                    look_at = Instant::now();
                }
                () = tokio::time::sleep_until(rest), if turn.is_none() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Takes in what ended and sends what can be sent; returns what may be leased now.
    async fn go_on(&mut self, load: &mut Load, has_news: bool, stop: &CancellationToken) -> Room {
        while let Ok(news) = self.finished.try_recv() {
            self.on_news(news, load);
        }
        if stop.is_cancelled() {
            give_back(load);
            return Room::of(0);
        }
        self.send(load).await;
        self.room(load, has_news)
    }

    /// Begins a turn: what ended is written down, what there is room for is leased.
    fn turn(&self, load: &mut Load, room: Room) -> BoxFuture<'static, Turned> {
        let desk = self.desk.clone();
        let ended = std::mem::take(&mut load.ended);
        let under_way = load.is_unsure.then(|| load.rows());
        async move {
            // With nothing to write down, a look costs less than a transaction.
            if ended.is_empty() && under_way.is_none() {
                let rest = desk.until_due().await;
                if !rest.is_zero() {
                    let outcome = Ok((Vec::new(), rest));
                    return Turned { ended, outcome };
                }
            }
            let outcome = match desk.turn(&ended, room, under_way).await {
                Ok(leased) if leased.len() < room.rows => {
                    // What is due and was not leased waits for another message of its tube.
                    let rest = match desk.until_due().await {
                        Duration::ZERO => LOOK_AGAIN,
                        rest => rest,
                    };
                    Ok((leased, rest))
                }
                Ok(leased) => Ok((leased, Duration::ZERO)),
                Err(error) => Err(error),
            };
            Turned { ended, outcome }
        }
        .boxed()
    }

    /// How long to rest until the queue is to be looked at; `None` when the store is closed.
    fn on_turned(&self, turned: Turned, load: &mut Load) -> Option<Duration> {
        match turned.outcome {
            Ok((leased, rest)) => {
                if !leased.is_empty() {
                    crash::point_at("in-hand", &self.desk.name());
                }
                load.is_unsure = false;
                for row in leased {
                    load.ahead.insert((row.priority, row.id), row);
                }
                Some(rest)
            }
            Err(StoreError::Closed) => None,
            Err(error) => {
                load.is_unsure = true;
                load.ended.splice(0..0, turned.ended);
                tracing::error!(queue = self.desk.name(), %error, "the queue cannot be written");
                Some(WRITE_AGAIN)
            }
        }
    }

    /// What may be leased. With every place taken, only what is more urgent than what is in hand,
    /// and only when there is news.
    fn room(&self, load: &Load, has_news: bool) -> Room {
        let connected = self.connected().count();
        if connected == 0 {
            return Room::of(0);
        }
        let all = connected + self.ahead_max;
        let taken = load.trips.len() + load.ahead.len();
        if taken < all {
            return Room::of(all - taken);
        }
        match load.ahead.last_key_value() {
            Some(((priority, _), _)) if has_news && taken < all + self.ahead_max => Room {
                rows: connected,
                more_urgent_than: *priority,
            },
            _ => Room::of(0),
        }
    }

    fn connected(&self) -> impl Iterator<Item = (usize, &LineHandle)> {
        let lines = self.lines.iter().enumerate();
        lines.filter(|(_, line)| !line.status().connections.is_empty())
    }

    /// Gives every line that is connected and carries nothing the most urgent row in hand.
    async fn send(&self, load: &mut Load) {
        // Who cannot know that it still serves the destination sends nothing to it.
        if load.ahead.is_empty() || !self.desk.tenure.holds() {
            return;
        }
        let is_idle = |index: usize| load.trips.values().all(|trip| trip.line != index);
        let free: Vec<usize> = self
            .connected()
            .map(|(index, _)| index)
            .filter(|index| is_idle(*index))
            .collect();
        for index in free {
            let Some(line) = self.lines.get(index) else {
                continue;
            };
            let Some((_, row)) = load.ahead.pop_first() else {
                return;
            };
            let id = self.desk.ids.out();
            let body = Bytes::from(row.body);
            let outgoing = Outgoing {
                payload: body.clone(),
                kind: OutgoingKind::Download,
                expires_after: None,
            };
            if line.send(id, outgoing).await.is_ok() {
                let trip = Trip {
                    row: row.id,
                    attempt: row.attempt,
                    line: index,
                    body,
                };
                load.trips.insert(id, trip);
            } else {
                let verdict = deferred("the line was stopped", "");
                load.ended.push((row.id, verdict));
            }
        }
    }

    fn on_news(&self, news: Finished, load: &mut Load) {
        let Finished::Sent(id, outcome) = news else {
            return;
        };
        let Some(trip) = load.trips.remove(&id) else {
            return;
        };
        let verdict = self.verdict(outcome, &trip);
        if !matches!(verdict, Verdict::Accepted { .. }) {
            // The reason may hold the peer's own words, so it is stored and shown, not logged.
            tracing::warn!(
                queue = self.desk.name(),
                row = trip.row,
                attempt = trip.attempt,
                "not taken"
            );
        }
        load.ended.push((trip.row, verdict));
    }

    fn verdict(&self, outcome: SendOutcome, trip: &Trip) -> Verdict {
        match outcome {
            SendOutcome::Sent => Verdict::Accepted {
                answer: "every frame acknowledged".into(),
            },
            SendOutcome::Answered(bytes) => self.answered(&bytes, trip),
            SendOutcome::Failed(SendFailure::Unsendable) => Verdict::Refused {
                reason: "the message breaks a limit of the line".into(),
                answer: String::new(),
            },
            SendOutcome::Failed(failure) => deferred(why(failure), ""),
        }
    }

    fn answered(&self, bytes: &[u8], trip: &Trip) -> Verdict {
        let site = match &self.desk.destination {
            Destination::Host(site) => site,
            Destination::Device(line) => return self.told(line, bytes, trip),
            Destination::Http(_) => return taken(),
        };
        let Some(answer) = read_answer(site, bytes) else {
            return deferred("the answer cannot be read", "");
        };
        let verdict = site.permanence.verdict(&answer);
        shown_after(verdict, trip.attempt, self.refusals_shown)
    }

    /// What a device says of orders. An analyzer of LAW says it of each work order step.
    fn told(&self, line: &Arc<LineSite>, answer: &[u8], trip: &Trip) -> Verdict {
        if !line.profile.profile().device.is_law {
            return told(line, answer);
        }
        let Some(said) = law::said(&trip.body, answer) else {
            return deferred("the answer cannot be read", "");
        };
        let verdict = said.verdict();
        let now = self.desk.clock.utc_micros();
        law::write(&self.desk.store, line, now, move |db, line, now| {
            law::note_steps(db, line, &said, now)
        });
        verdict
    }
}

fn taken() -> Verdict {
    Verdict::Accepted {
        answer: "answered".into(),
    }
}

/// Says of what a host refuses again and again that it needs a human; it is tried all the same.
pub(super) fn shown_after(mut verdict: Verdict, attempt: i64, refusals_shown: i64) -> Verdict {
    if let Verdict::Deferred { reason, answer } = &mut verdict
        && !answer.is_empty()
        && attempt >= refusals_shown
    {
        reason.push_str(&format!("; refused {attempt} times: a person must look"));
    }
    verdict
}

/// An order that the device itself refused is not sent again by itself: the same order would be
/// refused again, and a person has to know.
fn told(line: &LineSite, reply: &[u8]) -> Verdict {
    match refusal_of(&line.profile, reply) {
        None => Verdict::Accepted {
            answer: "accepted by the device".into(),
        },
        Some(reason) => Verdict::Refused {
            reason,
            answer: String::new(),
        },
    }
}

/// A loop that has nothing to do yet rests so long at least.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// The end of the turn, if one has begun.
async fn poll(turn: &mut Option<BoxFuture<'static, Turned>>) -> Turned {
    match turn {
        Some(turn) => turn.await,
        None => std::future::pending().await,
    }
}

/// What was leased and will not be sent any more goes back to the queue.
fn give_back(load: &mut Load) {
    let ahead = std::mem::take(&mut load.ahead).into_values();
    let why = || deferred("the program stopped before it was sent", "");
    load.ended.extend(ahead.map(|row| (row.id, why())));
}

pub(super) fn deferred(reason: &str, answer: &str) -> Verdict {
    Verdict::Deferred {
        reason: reason.to_owned(),
        answer: answer.to_owned(),
    }
}

pub(super) const fn why(failure: SendFailure) -> &'static str {
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

/// The owner of a line on which results go out. Some hosts order on the same connection: what they
/// send is heard as on their line of orders.
pub(super) struct ResultLine {
    pub(super) orders: HostLine,
    pub(super) finished: mpsc::UnboundedSender<Finished>,
}

impl Upstream for ResultLine {
    fn commit(
        &self,
        connection: &Connection,
        id: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        self.orders.commit(connection, id, commit)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a courier needs no other news"
    )]
    fn on_event(&self, event: LineEvent) {
        let news = match event {
            LineEvent::Finished(id, outcome) => Finished::Sent(id, outcome),
            LineEvent::Connected(_) => Finished::Connected,
            _ => return,
        };
        // The courier ends after its lines; then nothing is left to be told.
        drop(self.finished.send(news));
    }
}
