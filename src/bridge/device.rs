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
    wire::{Commit, CommitId, OutId, Outgoing, OutgoingKind, Received, SendOutcome},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    host,
    profile::{Protocol, refusal_of},
    store::{JournalEntry, Journalled, Store},
};

use super::{
    backlog::Reply,
    courier::Finished,
    orders::Answered,
    parser::{Job, Parser},
    site::{LineSite, Site},
};

/// The owner of one device line.
pub(super) struct DeviceLine {
    pub(super) line: Arc<LineSite>,
    pub(super) site: Arc<Site>,
    pub(super) store: Store,
    pub(super) parser: Parser,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    /// Last words about downloads go to the line's courier.
    pub(super) finished: mpsc::UnboundedSender<Finished>,
    pub(super) answers: Arc<Answers>,
}

/// Numbers that are used once: connections in the journal, replies, things to send.
#[derive(Debug)]
pub(super) struct Ids {
    run: String,
    epoch: u64,
    next: AtomicU64,
}

impl Ids {
    /// `started_at` is the start of this run, microseconds UTC; it tells runs apart.
    pub(super) fn new(started_at: i64) -> Self {
        let epoch = u64::try_from(started_at).unwrap_or(0);
        Self {
            run: base36(epoch / 1_000),
            epoch,
            next: AtomicU64::new(1),
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

    /// The journal's number of a connection: never the same in two runs.
    pub(super) const fn connection(&self, number: u64) -> u64 {
        self.epoch.wrapping_add(number)
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

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
    pending: Mutex<BTreeMap<String, Vec<OutId>>>,
}

impl Answers {
    pub(super) fn add_line(&self, id: &str, handle: LineHandle) {
        lock(&self.handles).insert(id.to_owned(), handle);
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
            .any(|open| ids.connection(open.connection.number) == connection);
        if !is_there {
            tracing::info!(
                line = line.id,
                "the device that asked is gone; its answer is dropped"
            );
            return;
        }
        let mut pending = lock(&self.pending);
        let own = pending.entry(line.id.clone()).or_default();
        let old = std::mem::take(own);
        for payload in payloads {
            let id = ids.out();
            let outgoing = Outgoing {
                payload: payload.into(),
                kind: OutgoingKind::Answer,
                expires_after: line.profile.profile().link.answer_within(),
            };
            match handle.try_send(id, outgoing) {
                Ok(()) => own.push(id),
                Err(error) => tracing::warn!(line = line.id, %error, "an answer was not sent"),
            }
        }
        drop(pending);
        if old.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for id in old {
                if handle.withdraw(id).await.is_err() {
                    // The line was stopped: there is nothing left to take back.
                    return;
                }
            }
        });
    }

    fn forget(&self, line: &str, id: OutId) -> bool {
        let mut pending = lock(&self.pending);
        let Some(own) = pending.get_mut(line) else {
            return false;
        };
        let before = own.len();
        own.retain(|one| *one != id);
        own.len() < before
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
        let connection = self.ids.connection(connection.number);
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
        let store = self.store.clone();
        async move {
            match store.journal(entry).await {
                Ok(done) => work.on_durable(done).await,
                Err(error) => {
                    tracing::error!(line = work.line.id, %error, "not stored, so not acknowledged");
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
            LineEvent::Finished(id, outcome) if self.answers.forget(&self.line.id, id) => {
                self.on_answered(&outcome);
                return;
            }
            LineEvent::Finished(id, outcome) => Finished::Sent(id, outcome),
            LineEvent::Connected(_) => Finished::Connected,
            _ => return,
        };
        // The courier ends after its lines; then nothing is left to be told.
        drop(self.finished.send(news));
    }
}

impl DeviceLine {
    /// An answer dies with its session, so nobody but the log tells that a device refused it.
    fn on_answered(&self, outcome: &SendOutcome) {
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
        first.or_else(|| self.acknowledge(&received.bytes, outcome))
    }

    fn acknowledge(&self, raw: &[u8], outcome: Outcome) -> Option<Bytes> {
        let time = self.site.laboratory.hl7_time(self.received_at);
        let replies = host::device_ack(raw, outcome, &self.ids.reply(), &time);
        (!replies.is_empty()).then(|| mllp::join_replies(&replies))
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
