//! Parser workers: threads that decode journalled messages and settle what they say.
//!
//! A line belongs to one worker, so its messages are settled in the order of their arrival. A
//! worker takes what has come in meanwhile as one batch and one transaction; if the transaction
//! fails, it goes through the batch message by message.

use std::{sync::Arc, thread};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};
use labwire_drivers::crash;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    model::Query,
    profile::Decoded,
    settle::{self, SettleContext, Settled},
    store::{Db, Store, StoreError, Turn, journal},
    vitals::Beat,
};

use super::{
    backlog::{Hand, Reply, Ways},
    joined, law,
    orders::{self, Answered, Asked},
    reading::{queries_of, read, read_after_opening, read_anew},
    site::{LineSite, Site},
};

/// Messages handed to the workers and not yet settled, held in memory. What comes beyond stays in
/// the journal alone, and a worker reads it there: no burst costs more memory than this.
const HANDED_MAX: usize = 1_024;
/// Bytes of them: a message with pictures has megabytes. One larger than this is handed over alone.
const HANDED_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Messages that one transaction settles: enough to share its cost, few enough to stay short.
pub(super) const BATCH_MAX: usize = 64;
/// The first pause when the store is away.
const STORE_AWAY: std::time::Duration = std::time::Duration::from_millis(100);

/// A journalled message to be read.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) line: Arc<LineSite>,
    pub(super) message: i64,
    pub(super) raw: Bytes,
    pub(super) is_complete: bool,
    pub(super) received_at: i64,
    /// The connection that asks, if it still does.
    pub(super) connection: Option<u64>,
    /// Where the answer to a query goes that is given as a reply (HL7).
    pub(super) reply: Option<Reply>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Hears what the workers did.
pub(super) trait Heard: Send + Sync + 'static {
    /// Something may be on the queue now.
    fn queue_changed(&self);
    /// The answer to a device's query, to be sent in its session; replaces an earlier one, also
    /// where there is nothing to send.
    fn answer(&self, line: &LineSite, connection: u64, payloads: Vec<Vec<u8>>);
}

/// The workers, as those who hand over see them.
#[derive(Clone, Debug)]
pub(super) struct Parser {
    workers: Vec<Arc<Hand>>,
    /// Permits by [`weight`].
    room: Arc<Semaphore>,
    handed_max: usize,
}

/// The worker threads.
#[derive(Debug)]
pub(super) struct Workers {
    stop: Sender<()>,
    /// How each gets on.
    beats: Vec<Arc<Beat>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Workers {
    /// How each gets on.
    pub(super) fn beats(&self) -> Vec<Arc<Beat>> {
        self.beats.clone()
    }

    /// Lets the workers finish what was handed over, and waits for them.
    pub(super) fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a parser worker panicked; its messages wait for the next start");
            }
        }
    }
}

/// What the workers share.
struct Shared {
    store: Store,
    site: Arc<Site>,
    heard: Arc<dyn Heard>,
    clock: Arc<dyn labwire_drivers::Clock>,
    run: String,
}

/// How large a parser is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Threads.
    pub(super) workers: usize,
    /// [`HANDED_MAX`], or what a test wants.
    pub(super) handed_max: usize,
}

impl Size {
    pub(super) const fn of(workers: usize) -> Self {
        Self {
            workers,
            handed_max: HANDED_MAX,
        }
    }
}

impl Parser {
    /// Starts the workers.
    pub(super) fn start(
        size: Size,
        store: &Store,
        site: &Arc<Site>,
        heard: Arc<dyn Heard>,
        clock: Arc<dyn labwire_drivers::Clock>,
        run: &str,
    ) -> std::io::Result<(Self, Workers)> {
        let shared = Arc::new(Shared {
            store: store.clone(),
            site: Arc::clone(site),
            heard,
            clock,
            run: run.to_owned(),
        });
        let (stop, stopped) = bounded::<()>(0);
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        let mut beats = Vec::new();
        for number in 0..size.workers.max(1) {
            let (hand, ways) = Hand::new(size.handed_max);
            let hand = Arc::new(hand);
            workers.push(Arc::clone(&hand));
            let shared = Arc::clone(&shared);
            #[cfg(test)]
            if let Some(by_hand) = store.by_hand() {
                drop(tokio::spawn(shared.work_by_hand(ways, hand, by_hand)));
                continue;
            }
            let (name, stopped) = (format!("parser-{number}"), stopped.clone());
            let beat = Arc::<Beat>::default();
            beats.push(Arc::clone(&beat));
            let work = move || shared.work(&ways, &stopped, &hand, &beat);
            threads.push(thread::Builder::new().name(name).spawn(work)?);
        }
        let room = Arc::new(Semaphore::new(size.handed_max));
        Ok((
            Self {
                workers,
                room,
                handed_max: size.handed_max,
            },
            Workers {
                stop,
                beats,
                threads,
            },
        ))
    }

    /// Hands a message over, which is in the journal.
    pub(super) fn submit(&self, job: Job) {
        let weight = weight(job.raw.len(), self.handed_max);
        let room = Arc::clone(&self.room);
        let permit = room.try_acquire_many_owned(weight).ok();
        if let Some(worker) = self.worker_of(&job.line.id) {
            worker.submit(job, permit);
        }
    }

    /// Goes on with what a line left in the journal behind the first and up to the second message of
    /// `span`, before anything new of it. To be called before the line opens.
    pub(super) fn resume(&self, line: &Arc<LineSite>, span: (i64, i64)) {
        if let Some(worker) = self.worker_of(&line.id) {
            worker.resume(line, span);
        }
    }

    /// Whether nothing of a line waits to be read.
    pub(super) fn is_idle(&self, line: &str) -> bool {
        self.worker_of(line)
            .is_none_or(|worker| worker.is_idle(line))
    }

    fn worker_of(&self, line: &str) -> Option<&Hand> {
        let sum = line.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        let worker = self.workers.get(sum % self.workers.len().max(1));
        worker.map(Arc::as_ref)
    }
}

/// How many of so many permits a message of so many bytes takes: a message of the usual length one.
pub(super) fn weight(bytes: usize, handed_max: usize) -> u32 {
    let each = HANDED_BYTES_MAX / handed_max.max(1);
    let weight = (1 + bytes / each.max(1)).min(handed_max);
    u32::try_from(weight).unwrap_or(u32::MAX)
}

/// A decoded message, ready to be settled.
pub(super) struct Work {
    pub(super) line: Arc<LineSite>,
    pub(super) message: i64,
    pub(super) raw: Bytes,
    pub(super) is_complete: bool,
    pub(super) received_at: i64,
    pub(super) decoded: Result<Decoded, ()>,
    pub(super) digest_input: Vec<u8>,
    pub(super) queries: Vec<Query>,
    /// What it ends: decided anew with it.
    pub(super) parts: Vec<joined::Part>,
    /// The version of people's mappings that it was read with.
    pub(super) learned: i64,
}

/// What settling one message gave.
#[derive(Default)]
pub(super) struct Done {
    settled: Settled,
    answered: Answered,
}

impl Work {
    /// It was read, and asks nothing.
    const fn only_tells(&self) -> bool {
        self.decoded.is_ok() && self.queries.is_empty()
    }

    /// A message before it may say more of it: its device goes on in the middle after a cut, or names
    /// itself once in a conversation.
    fn may_go_on(&self) -> bool {
        let profile = self.line.profile.profile();
        profile.specimen.restarts_at_record || profile.wire.has_hello()
    }

    /// For settling: the parts that it ends, and itself; nothing if it could not be read.
    fn messages<'a>(&'a self, site: &'a Site, now: i64) -> Vec<settle::Message<'a>> {
        let Ok(decoded) = &self.decoded else {
            return Vec::new();
        };
        let of = |message, received_at, items| {
            let context = SettleContext {
                message,
                line: &self.line.id,
                received_at,
                now,
                specimen_age_max: site.laboratory.specimen_age_max,
                digest_input: &self.digest_input,
                site,
            };
            settle::Message { context, items }
        };
        let parts = self.parts.iter();
        parts
            .map(|part| of(part.message, part.received_at, part.items.as_slice()))
            .chain([of(self.message, self.received_at, &decoded.items)])
            .collect()
    }

    /// The same message, read as one with the parts that it goes on with, or by the hello of its
    /// device.
    fn joined(&self, db: &mut dyn Db, site: &Site, now: i64) -> Result<Option<Self>, StoreError> {
        if self.line.profile.profile().wire.has_hello() {
            let decoded = read_after_opening(db, site, self)?;
            return Ok(decoded.map(|decoded| Self {
                queries: queries_of(&decoded),
                decoded: Ok(decoded),
                digest_input: self.digest_input.clone(),
                parts: Vec::new(),
                ..self.bare()
            }));
        }
        let Some(whole) = joined::whole(db, site, self, now)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            decoded: Ok(whole.decoded),
            digest_input: whole.digest_input,
            queries: whole.queries,
            parts: whole.parts,
            ..self.bare()
        }))
    }

    /// The same message, not read yet.
    fn bare(&self) -> Self {
        Self {
            line: Arc::clone(&self.line),
            message: self.message,
            raw: self.raw.clone(),
            is_complete: self.is_complete,
            received_at: self.received_at,
            decoded: Err(()),
            digest_input: Vec::new(),
            queries: Vec::new(),
            parts: Vec::new(),
            learned: self.learned,
        }
    }
}

impl Done {
    /// Of a message that could not be read.
    fn faulty() -> Self {
        let settled = Settled {
            held: 1,
            ..Settled::default()
        };
        Self {
            settled,
            answered: Answered::Unread,
        }
    }
}

impl Shared {
    /// Works until stopped, and then what was handed over; what stayed in the journal is read at
    /// the next start.
    fn work(&self, ways: &Ways, stopped: &Receiver<()>, hand: &Hand, beat: &Arc<Beat>) {
        let _alive = beat.while_alive();
        loop {
            beat.step();
            let mut batch: Vec<Job> = ways.jobs.try_iter().take(BATCH_MAX).collect();
            if batch.is_empty() {
                // Nothing is ever sent: the sender goes when the workers are to stop.
                if matches!(stopped.try_recv(), Err(TryRecvError::Disconnected)) {
                    return;
                }
                if !self.catch_up(hand, beat) {
                    beat.rest();
                    select! {
                        recv(ways.jobs) -> job => batch.extend(job),
                        recv(ways.woken) -> _ => {}
                        recv(stopped) -> _ => {}
                    }
                    beat.step();
                }
            }
            if !batch.is_empty() {
                self.handed(batch, hand, beat);
            }
        }
    }

    /// [`Shared::work`] as a task that waits for nothing but its bell.
    #[cfg(test)]
    async fn work_by_hand(
        self: Arc<Self>,
        ways: Ways,
        hand: Arc<Hand>,
        by_hand: crate::store::by_hand::ByHand,
    ) {
        let beat = Beat::default();
        loop {
            hand.bell.notified().await;
            loop {
                tokio::time::sleep(by_hand.pause()).await;
                let batch: Vec<Job> = ways.jobs.try_iter().take(BATCH_MAX).collect();
                if !batch.is_empty() {
                    self.handed(batch, &hand, &beat);
                } else if !self.catch_up(&hand, &beat) {
                    break;
                }
            }
        }
    }

    /// Settles a batch of what was handed over.
    fn handed(&self, batch: Vec<Job>, hand: &Hand, beat: &Beat) {
        let lines: Vec<Arc<LineSite>> = batch.iter().map(|job| Arc::clone(&job.line)).collect();
        self.batch(batch, beat);
        hand.settled(&lines);
        // Lines that fell behind are not forgotten while others keep the worker busy.
        self.catch_up(hand, beat);
    }

    /// A parker that nobody wakes: a wait with a bound, on a thread of its own.
    fn rest(&self, pause: std::time::Duration) {
        #[cfg(test)]
        if self.store.by_hand().is_some() {
            return;
        }
        thread::park_timeout(pause);
    }

    /// Settles a batch of what one line left in the journal. False when no line is behind.
    fn catch_up(&self, hand: &Hand, beat: &Beat) -> bool {
        let Some(behind) = hand.behind() else {
            return false;
        };
        let line = Arc::clone(&behind.line);
        let (id, span) = (line.id.clone(), (behind.after, behind.until));
        let limit = u32::try_from(BATCH_MAX).unwrap_or(u32::MAX);
        let read = move |db: &mut dyn Db| journal::unparsed(db, &id, span, limit);
        let rows = match self.store.read_blocking(read) {
            Ok(rows) => rows,
            Err(StoreError::Closed) => return false,
            Err(error) => {
                tracing::warn!(line = line.id, %error, "reading the journal waits for the store");
                self.rest(STORE_AWAY);
                return true;
            }
        };
        let Some(last) = rows.last().map(|row| row.id) else {
            hand.has_caught_up(&behind);
            return true;
        };
        // As at a start: what takes the process with it is known by this when it comes again.
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let begun = move |db: &mut dyn Db| journal::begin_attempts(db, &ids);
        if let Err(error) = self.store.transact_blocking(Turn::Canonical, begun) {
            tracing::warn!(line = line.id, %error, "settling waits for the store");
            self.rest(STORE_AWAY);
            return true;
        }
        let jobs = rows.into_iter().map(|row| Job {
            connection: Some(row.connection),
            reply: hand.reply_to(&line.id, row.id),
            ..replayed(&line, row)
        });
        self.batch(jobs.collect(), beat);
        hand.has_read(&line.id, last);
        true
    }

    fn batch(&self, jobs: Vec<Job>, beat: &Beat) {
        let works: Arc<Vec<Work>> =
            Arc::new(jobs.iter().map(|job| read(&self.site, job)).collect());
        let done = match self.settle(&works, 0..works.len()) {
            Ok(done) => done,
            Err(_) => (0..works.len())
                .flat_map(|index| self.settle_alone(&works, index, beat))
                .collect(),
        };
        let has_news = done.iter().any(|done| done.settled.released > 0);
        for (job, done) in jobs.into_iter().zip(done) {
            log(&job, &done.settled);
            if let Some(reply) = job.reply {
                // The connection may be gone; then nobody waits for the answer.
                drop(reply.send(done.answered));
            } else if let (Some(connection), Some(payloads)) =
                (job.connection, done.answered.into_payloads())
            {
                // With none, an answer that still waits in the line is taken back all the same.
                self.heard.answer(&job.line, connection, payloads);
            }
        }
        if has_news {
            self.heard.queue_changed();
        }
    }

    fn settle(
        &self,
        works: &Arc<Vec<Work>>,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<Done>, StoreError> {
        let (works, site) = (Arc::clone(works), Arc::clone(&self.site));
        let now = self.clock.utc_micros();
        let run = self.run.clone();
        let own = works.get(range.clone()).unwrap_or_default();
        let asks = own.iter().any(|work| !work.queries.is_empty());
        let turn = if asks { Turn::Reply } else { Turn::Canonical };
        self.store.transact_blocking(turn, move |db| {
            let own = works.get(range).unwrap_or_default();
            settle_works(db, &site, own, now, &run)
        })
    }

    /// Settles one message, however long the store is away; a message that the store refuses for
    /// itself is held, so that it cannot stop those behind it.
    fn settle_alone(&self, works: &Arc<Vec<Work>>, index: usize, beat: &Beat) -> Vec<Done> {
        let mut pause = STORE_AWAY;
        loop {
            // Waiting for a store that is away is no standstill.
            beat.step();
            match self.settle(works, index..index + 1) {
                Ok(done) => return done,
                Err(StoreError::Closed) => break,
                Err(error) if !error.is_unavailable() => {
                    tracing::error!(%error, "a message could not be settled and is held");
                    self.hold(works, index);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "settling waits for the store");
                    self.rest(pause);
                    pause = (pause * 2).min(std::time::Duration::from_secs(5));
                }
            }
        }
        vec![Done::default()]
    }

    fn hold(&self, works: &Arc<Vec<Work>>, index: usize) {
        let Some(message) = works.get(index).map(|work| work.message) else {
            return;
        };
        let held = self.store.transact_blocking(Turn::Canonical, move |db| {
            journal::mark(db, message, journal::MessageState::Held, Some(FAULT))
        });
        if let Err(error) = held {
            tracing::error!(%error, "a message stays unparsed until the next start");
        }
    }
}

/// The outcome of a message that could not be read.
pub(super) const FAULT: &str = r#"{"held":"parser-fault"}"#;

fn log(job: &Job, settled: &Settled) {
    tracing::info!(
        line = job.line.id,
        message = job.message,
        released = settled.released,
        held = settled.held,
        waiting = settled.waiting,
        kept = settled.kept,
        repeats = settled.repeats,
        controls = settled.controls,
        queries = settled.queries,
        "message settled"
    );
}

/// Settles messages in their order: those that only tell together, one that asks by itself, because
/// its answer needs what came before it in the store. One that was settled already is passed over:
/// it may be handed over after it was found in the journal.
pub(super) fn settle_works(
    db: &mut dyn Db,
    site: &Site,
    works: &[Work],
    now: i64,
    run: &str,
) -> Result<Vec<Done>, StoreError> {
    let anew = read_anew(db, site, works)?;
    let works = anew.as_deref().unwrap_or(works);
    let ids: Vec<i64> = works.iter().map(|work| work.message).collect();
    let mut unparsed = journal::unparsed_of(db, &ids)?;
    // One that stands here twice is settled at its first place.
    let marked = works
        .iter()
        .map(|work| (work, unparsed.remove(&work.message)));
    let marked: Vec<(&Work, bool)> = marked.collect();
    let belong = |(one, is_fresh): &(&Work, bool), (next, next_is): &(&Work, bool)| {
        let both_tell = one.only_tells() && next.only_tells();
        let both_tell = both_tell && !one.may_go_on() && !next.may_go_on();
        is_fresh == next_is && (both_tell || !is_fresh)
    };
    let mut done = Vec::with_capacity(works.len());
    let mut rest = works;
    for marked in marked.chunk_by(belong) {
        let (group, behind) = rest.split_at(marked.len().min(rest.len()));
        rest = behind;
        if marked.first().is_some_and(|(_, is_fresh)| *is_fresh) {
            let joined = match group {
                [one] if one.may_go_on() => one.joined(db, site, now)?,
                _ => None,
            };
            let group = joined.as_ref().map_or(group, std::slice::from_ref);
            done.extend(settle_group(db, site, group, now, run)?);
        } else {
            // It was answered then.
            done.extend(group.iter().map(|_| Done {
                answered: Answered::Nothing,
                ..Done::default()
            }));
        }
    }
    crash::point("settled");
    Ok(done)
}

fn settle_group(
    db: &mut dyn Db,
    site: &Site,
    group: &[Work],
    now: i64,
    run: &str,
) -> Result<Vec<Done>, StoreError> {
    let messages: Vec<settle::Message<'_>> = group
        .iter()
        .flat_map(|work| work.messages(site, now))
        .collect();
    let mut settled = settle::settle_all(db, &messages)?.into_iter();
    let mut outcomes = Vec::with_capacity(messages.len());
    let mut all_done = Vec::with_capacity(group.len());
    for work in group {
        let Ok(decoded) = &work.decoded else {
            journal::mark(db, work.message, journal::MessageState::Held, Some(FAULT))?;
            all_done.push(Done::faulty());
            continue;
        };
        let mut of_parts = Settled::default();
        for part in &work.parts {
            let again = settled.next().unwrap_or_default();
            part.note(db, work.message, again)?;
            of_parts += again;
        }
        let own = settled.next().unwrap_or_default();
        let asked = Asked {
            line: &work.line,
            message: work.message,
            since: now - site.laboratory.specimen_age_max,
            now,
            run,
            stranger: decoded.stranger.as_deref(),
        };
        law::note_events(db, &work.line, &decoded.items, now)?;
        let answered = orders::answer_queries(db, &asked, &work.queries)?;
        let notes: Vec<&str> = decoded.notes.iter().map(|note| note.code).collect();
        let outcome = serde_json::json!({ "settled": own, "notes": notes });
        outcomes.push((work.message, outcome.to_string()));
        let settled = own + of_parts;
        all_done.push(Done { settled, answered });
    }
    journal::mark_parsed(db, &outcomes)?;
    audit_settled(db, group, &outcomes, now)?;
    Ok(all_done)
}

/// One row a message: which line's, and what became of how many results.
fn audit_settled(
    db: &mut dyn Db,
    group: &[Work],
    outcomes: &[(i64, String)],
    now: i64,
) -> Result<(), StoreError> {
    let read = group.iter().filter(|work| work.decoded.is_ok());
    let mut named: Vec<[String; 4]> = Vec::new();
    for (work, (message, outcome)) in read.zip(outcomes) {
        let actor = format!("line:{}", work.line.id);
        let subject = format!("message:{message}");
        // A trace of the tube shows that it was asked about.
        let asked = work.queries.iter().flat_map(orders::tubes_asked_for);
        named.extend(asked.map(|tube| {
            let tube = format!("specimen:{}", tube.id);
            [actor.clone(), "asked".to_owned(), tube, subject.clone()]
        }));
        named.push([actor, "settled".to_owned(), subject, outcome.clone()]);
    }
    let rows: Vec<[&str; 4]> = named
        .iter()
        .map(|row| row.each_ref().map(String::as_str))
        .collect();
    crate::audit::write_all(db, now, &rows)
}

/// The job of a row that is in the journal, with nobody who waits for an answer.
pub(super) fn replayed(line: &Arc<LineSite>, row: journal::Message) -> Job {
    Job {
        line: Arc::clone(line),
        message: row.id,
        raw: row.raw,
        is_complete: row.is_complete,
        received_at: row.received_at,
        connection: None,
        reply: None,
        permit: None,
    }
}
