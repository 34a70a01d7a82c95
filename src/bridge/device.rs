//! A device's line: what its machine accepted is journalled, then read; its queries are answered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{CommitFailure, CommitResult, Connection, LineEvent, LineHandle, Upstream};
use labwire_protocols::{
    hl7::{self, ack::Outcome},
    mllp,
    wire::{Commit, CommitId, OutId, Outgoing, OutgoingKind, Received, SendFailure, SendOutcome},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    host,
    profile::{Protocol, refusal_of},
    store::{Db, JournalEntry, Journalled, Store},
};

use super::{
    backlog::Reply,
    courier::{Finished, why},
    doubt::{Doubt, Doubts},
    law,
    orders::Answered,
    parser::{Job, Parser},
    site::{LineSite, Site},
};

/// The owner of one device line.
#[derive(Clone)]
pub(super) struct DeviceLine {
    pub(super) line: Arc<LineSite>,
    pub(super) site: Arc<Site>,
    pub(super) store: Store,
    pub(super) parser: Parser,
    pub(super) doubts: Arc<Doubts>,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    /// Last words about downloads go to the line's courier.
    pub(super) finished: mpsc::UnboundedSender<Finished>,
    pub(super) answers: Arc<Answers>,
    /// The line has orders alone; another one has the rest.
    pub(super) is_of_orders: bool,
}

/// Numbers that are used once: connections in the journal, replies, things to send.
#[derive(Debug)]
pub(super) struct Ids {
    run: String,
    epoch: u64,
    next: AtomicU64,
    /// Where the connections of a line are counted from that was opened later than the run began.
    lines: Mutex<BTreeMap<String, u64>>,
}

impl Ids {
    /// `started_at` is the start of this run, microseconds UTC; it tells runs apart.
    pub(super) fn new(started_at: i64) -> Self {
        let epoch = u64::try_from(started_at).unwrap_or(0);
        Self {
            run: base36(epoch / 1_000),
            epoch,
            next: AtomicU64::new(1),
            lines: Mutex::default(),
        }
    }

    /// Names this run in control ids: `LW` and its start in base 36.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// A control id for a reply.
    pub(super) fn reply(&self) -> String {
        format!("{}R{}", self.run, self.next())
    }

    pub(super) fn out(&self) -> OutId {
        OutId(self.next())
    }

    /// From now on the connections of a line are counted from `epoch`: it was served by another run,
    /// and may have been by this one.
    pub(super) fn begin_line(&self, line: &str, epoch: i64) {
        let epoch = u64::try_from(epoch).unwrap_or(0);
        lock(&self.lines).insert(line.to_owned(), epoch);
    }

    /// The journal's number of a connection of a line: never the same in two runs.
    pub(super) fn connection(&self, line: &str, number: u64) -> u64 {
        let epoch = lock(&self.lines).get(line).copied();
        epoch.unwrap_or(self.epoch).wrapping_add(number)
    }

    /// The same of a device's second line, which counts its connections by itself.
    fn orders_connection(&self, line: &str, number: u64) -> u64 {
        self.connection(line, number)
            .wrapping_add(ORDERS_CONNECTIONS)
    }

    /// A number that this run gives once, and no other run gave.
    pub(super) fn once(&self) -> u64 {
        self.epoch.wrapping_add(self.next())
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Far above the microseconds since 1970 that connections are counted from, for a thousand years.
const ORDERS_CONNECTIONS: u64 = 1 << 55;

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut text = Vec::new();
    while number > 0 {
        let digit = usize::try_from(number % 36).unwrap_or(0);
        text.push(char::from(*DIGITS.get(digit).unwrap_or(&b'0')));
        number /= 36;
    }
    text.push('W');
    text.push('L');
    text.into_iter().rev().collect()
}

/// Answers under way, so that a newer query takes an older answer back.
#[derive(Debug, Default)]
pub(super) struct Answers {
    handles: Mutex<BTreeMap<String, LineHandle>>,
    /// Of devices that take orders on a connection of their own.
    orders: Mutex<BTreeMap<String, LineHandle>>,
    pending: Mutex<BTreeMap<String, Vec<Sending>>>,
}

/// A message of an answer under way.
#[derive(Clone, Debug)]
struct Sending {
    id: OutId,
    payload: Bytes,
    /// How often it was sent.
    sends: u32,
}

impl Answers {
    pub(super) fn add_line(&self, id: &str, handle: LineHandle) {
        lock(&self.handles).insert(id.to_owned(), handle);
    }

    pub(super) fn add_orders_line(&self, id: &str, handle: LineHandle) {
        lock(&self.orders).insert(id.to_owned(), handle);
    }

    /// A line is closed. Its owner holds these answers, and they its handle: none would ever be freed.
    pub(super) fn forget_line(&self, id: &str) {
        lock(&self.handles).remove(id);
        lock(&self.orders).remove(id);
        lock(&self.pending).remove(id);
    }

    /// Where orders go.
    fn orders_of(&self, line: &str) -> Option<LineHandle> {
        let own = lock(&self.orders).get(line).cloned();
        own.or_else(|| lock(&self.handles).get(line).cloned())
    }

    /// Whether a line is connected, or was heard of since `since`, UTC microseconds.
    pub(super) fn is_alive(&self, line: &str, since: i64) -> bool {
        let Some(handle) = lock(&self.handles).get(line).cloned() else {
            return false;
        };
        let status = handle.status();
        !status.connections.is_empty() || status.last_byte_utc_micros.is_some_and(|at| at >= since)
    }

    /// Sends the answer to a query in the session that asked; an older one is taken back.
    pub(super) fn send(&self, line: &LineSite, connection: u64, payloads: Vec<Vec<u8>>, ids: &Ids) {
        let Some(handle) = lock(&self.handles).get(&line.id).cloned() else {
            return;
        };
        let is_there = handle
            .status()
            .connections
            .iter()
            .any(|open| ids.connection(&line.id, open.connection.number) == connection);
        if !is_there {
            tracing::info!(
                line = line.id,
                "the device that asked is gone; its answer is dropped"
            );
            return;
        }
        let is_law = line.profile.profile().device.is_law;
        let of_orders = self.orders_of(&line.id).filter(|_| is_law);
        let handle = of_orders.unwrap_or(handle);
        let mut pending = lock(&self.pending);
        let own = pending.entry(line.id.clone()).or_default();
        // An analyzer of LAW has several queries under way, one for each tube.
        let old = if is_law {
            Vec::new()
        } else {
            std::mem::take(own)
        };
        for payload in payloads {
            let sending = Sending {
                id: ids.out(),
                payload: payload.into(),
                sends: 1,
            };
            if sending.is_sent(&handle, line) {
                own.push(sending);
            }
        }
        drop(pending);
        if old.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for sending in old {
                if handle.withdraw(sending.id).await.is_err() {
                    // The line was stopped: there is nothing left to take back.
                    return;
                }
            }
        });
    }

    /// The message of an answer that has this number; it is under way no more.
    fn take(&self, line: &str, id: OutId) -> Option<Sending> {
        let mut pending = lock(&self.pending);
        let own = pending.get_mut(line)?;
        let at = own.iter().position(|sending| sending.id == id)?;
        Some(own.remove(at))
    }

    /// Sends the same bytes once more, where the profile says so. False: that was the last time.
    fn send_again(&self, line: &LineSite, old: &Sending, ids: &Ids) -> bool {
        let sends_max = line.profile.profile().link.sends_max.unwrap_or(1);
        let Some(handle) = self.orders_of(&line.id) else {
            return false;
        };
        let sending = Sending {
            id: ids.out(),
            sends: old.sends + 1,
            ..old.clone()
        };
        if old.sends >= sends_max {
            return false;
        }
        let mut pending = lock(&self.pending);
        let is_sent = sending.is_sent(&handle, line);
        if is_sent {
            pending.entry(line.id.clone()).or_default().push(sending);
        }
        is_sent
    }
}

impl Sending {
    fn is_sent(&self, handle: &LineHandle, line: &LineSite) -> bool {
        let outgoing = Outgoing {
            payload: self.payload.clone(),
            kind: OutgoingKind::Answer,
            expires_after: line.profile.profile().link.answer_within(),
        };
        let sent = handle.try_send(self.id, outgoing);
        if let Err(error) = &sent {
            tracing::warn!(line = line.id, %error, "an answer was not sent");
        }
        sent.is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while a map was held cannot leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream for DeviceLine {
    fn commit(
        &self,
        connection: &Connection,
        _id: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        let connection = if self.is_of_orders {
            self.ids.orders_connection(&self.line.id, connection.number)
        } else {
            self.ids.connection(&self.line.id, connection.number)
        };
        let entry = JournalEntry {
            line: self.line.id.clone(),
            connection,
            at: self.clock.utc_micros(),
            commit: commit.clone(),
        };
        let received = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        let work = Work {
            line: Arc::clone(&self.line),
            site: Arc::clone(&self.site),
            parser: self.parser.clone(),
            ids: Arc::clone(&self.ids),
            answers: Arc::clone(&self.answers),
            received,
            received_at: entry.at,
            connection,
        };
        let doubt = Doubt::of(&entry);
        let (store, doubts) = (self.store.clone(), Arc::clone(&self.doubts));
        async move {
            match store.journal(entry).await {
                Ok(done) => work.on_durable(done).await,
                Err(error) => {
                    tracing::error!(line = work.line.id, %error, "not stored, so not acknowledged");
                    if error.is_unavailable() {
                        doubts.add(doubt);
                    }
                    Err(CommitFailure {
                        reply: work.not_stored(),
                    })
                }
            }
        }
        .boxed()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a courier needs no other news"
    )]
    fn on_event(&self, event: LineEvent) {
        let news = match event {
            LineEvent::Finished(id, outcome) => match self.answers.take(&self.line.id, id) {
                Some(sending) => return self.on_answered(&sending, outcome),
                None => Finished::Sent(id, outcome),
            },
            LineEvent::Connected(_) => Finished::Connected,
            _ => return,
        };
        // The courier ends after its lines; then nothing is left to be told.
        drop(self.finished.send(news));
    }
}

impl DeviceLine {
    /// The last word about the answer to a query. An analyzer of LAW says of each step whether it
    /// will do it; others only that they have heard.
    fn on_answered(&self, sending: &Sending, outcome: SendOutcome) {
        if !self.line.profile.profile().device.is_law {
            self.on_refused(&outcome);
            return;
        }
        let failure = match outcome {
            SendOutcome::Answered(answer) => match law::said(&sending.payload, &answer) {
                Some(said) => {
                    let note = move |db: &mut dyn Db, line: &LineSite, now| {
                        law::note_answer(db, line, said, now)
                    };
                    return law::write(&self.store, &self.line, self.clock.utc_micros(), note);
                }
                None => "its answer cannot be read",
            },
            SendOutcome::Sent | SendOutcome::Failed(SendFailure::Withdrawn) => return,
            SendOutcome::Failed(SendFailure::TimedOut)
                if self.answers.send_again(&self.line, sending, &self.ids) =>
            {
                return;
            }
            SendOutcome::Failed(failure) => why(failure),
        };
        tracing::warn!(
            line = self.line.id,
            failure,
            "the device did not take what it asked for"
        );
        let note = move |db: &mut dyn Db, line: &LineSite, now| {
            law::note_unanswered(db, line, failure, now)
        };
        law::write(&self.store, &self.line, self.clock.utc_micros(), note);
    }

    /// An answer dies with its session, so nobody but the log tells that a device refused it.
    fn on_refused(&self, outcome: &SendOutcome) {
        if let SendOutcome::Answered(reply) = outcome
            && let Some(reason) = refusal_of(&self.line.profile, reply)
        {
            tracing::warn!(
                line = self.line.id,
                reason,
                "the answer to a query was refused"
            );
        }
    }
}

/// One commit of a device line.
struct Work {
    line: Arc<LineSite>,
    site: Arc<Site>,
    parser: Parser,
    ids: Arc<Ids>,
    answers: Arc<Answers>,
    received: Vec<Received>,
    received_at: i64,
    connection: u64,
}

impl Work {
    async fn on_durable(self, done: Journalled) -> CommitResult {
        let is_hl7 = self.line.profile.profile().device.protocol == Protocol::Hl7;
        let mut reply = None;
        for (message, received) in done.messages.iter().zip(&self.received) {
            if is_hl7 && received.is_complete && asks(&received.bytes) {
                reply = self.answer(*message, received).await;
            } else {
                self.submit(*message, received, None);
                if is_hl7 {
                    reply = self.acknowledge(&received.bytes, Outcome::Accepted);
                }
            }
        }
        Ok(reply)
    }

    fn submit(&self, message: i64, received: &Received, reply: Option<Reply>) {
        let job = Job {
            line: Arc::clone(&self.line),
            message,
            raw: received.bytes.clone(),
            is_complete: received.is_complete,
            received_at: self.received_at,
            connection: Some(self.connection),
            reply,
            permit: None,
        };
        self.parser.submit(job);
    }

    /// The answer to an HL7 query is the reply to it; what else there is to say follows. A query
    /// that nobody can answer is refused: its device would wait for an answer after an AA.
    async fn answer(&self, message: i64, received: &Received) -> Option<Bytes> {
        let (sender, receiver) = oneshot::channel();
        self.submit(message, received, Some(sender));
        // The parser has stopped: the message is read at the next start, when nobody waits.
        let answered = receiver.await.unwrap_or(Answered::Unread);
        let outcome = match &answered {
            Answered::With(_) => Outcome::Accepted,
            // An ORM may tell of an order, as a result tells of a measurement.
            Answered::Nothing if !is_query(&received.bytes) => Outcome::Accepted,
            Answered::Nothing | Answered::Unsupported => Outcome::Rejected,
            Answered::Failed | Answered::Unread => Outcome::Error,
        };
        let mut first = None;
        if let Some(payloads) = answered.into_payloads() {
            let mut payloads = payloads.into_iter();
            first = payloads.next().map(Bytes::from);
            let rest = payloads.collect();
            self.answers
                .send(&self.line, self.connection, rest, &self.ids);
        }
        let Some(first) = first else {
            return self.acknowledge(&received.bytes, outcome);
        };
        let (id, time) = (self.ids.reply(), self.time());
        let is_law = self.line.profile.profile().device.is_law;
        let commit = is_law
            .then(|| law::commit(&received.bytes, &id, &time))
            .flatten();
        match commit {
            Some(commit) => Some(mllp::join_replies(&[commit, first.to_vec()])),
            None => Some(first),
        }
    }

    fn acknowledge(&self, raw: &[u8], outcome: Outcome) -> Option<Bytes> {
        let (id, time) = (self.ids.reply(), self.time());
        let is_law = self.line.profile.profile().device.is_law;
        let own = is_law
            .then(|| law::acknowledge(raw, outcome, &id, &time))
            .flatten();
        let replies = own.unwrap_or_else(|| host::device_ack(raw, outcome, &id, &time));
        (!replies.is_empty()).then(|| mllp::join_replies(&replies))
    }

    fn time(&self) -> String {
        self.site.laboratory.hl7_time(self.received_at)
    }

    fn not_stored(&self) -> Option<Bytes> {
        let is_hl7 = self.line.profile.profile().device.protocol == Protocol::Hl7;
        let raw = self.received.first().filter(|_| is_hl7)?;
        self.acknowledge(&raw.bytes, Outcome::NotStored)
    }
}

/// Whether a message may want an answer in place of an acknowledgement.
fn asks(raw: &[u8]) -> bool {
    is_query(raw) || hl7::header::peek(raw).is_some_and(|peek| peek.message_type == b"ORM")
}

/// Whether it wants one for certain, whatever its profile makes of it.
fn is_query(raw: &[u8]) -> bool {
    hl7::header::peek(raw).is_some_and(|peek| matches!(peek.message_type, b"QRY" | b"QBP"))
}
