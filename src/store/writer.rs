//! The one writer: a thread that takes work from four queues and commits it in groups.
//!
//! A group is one transaction and one wait for the disk. Journal entries go first and together;
//! then answers somebody waits for; then parsed results, in a turn that ends soon when a peer
//! waits; then housekeeping. Nobody is told anything before the group is on disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, select};
use labwire_drivers::crash;
use labwire_protocols::wire::Mono;

use super::{
    clock::Clock,
    error::StoreError,
    fault::{Fault, FaultPoint, Faults},
    health::Board,
    job::{EntryTask, Job, Ticket, Work},
    journal::{self, Journalled},
    lane::Turn,
    lock::Lock,
    session::{Access, Backend, Session},
};

/// Most units of work that one group takes from the journal queue: about 6 ms of inserting typical
/// messages, a few times the wait for a good disk.
const JOURNAL_GROUP_MAX: usize = 256;

/// A group takes no further entry once it holds this much: half of what the log holds before it
/// is copied into the file, and some 50 ms of a slow disk.
const JOURNAL_GROUP_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// Most answers in one group; each is a handful of statements.
const REPLY_GROUP_MAX: usize = 64;

/// A turn of parsed results while a peer waits: ends after this many units …
const CANONICAL_SHORT_MAX: usize = 32;
/// … or after this long, whichever comes first.
const CANONICAL_SHORT: Duration = Duration::from_millis(4);

/// A turn of parsed results while nobody waits: ends after this many units …
const CANONICAL_LONG_MAX: usize = 256;
/// … or after this long; somebody who comes in the meantime makes it a short one.
const CANONICAL_LONG: Duration = Duration::from_millis(20);

/// Peers wait their share: after a turn of parsed results that kept peers waiting, they have the
/// writer to themselves for as long as that turn took, this at most …
const REST_MAX: Duration = Duration::from_millis(20);
/// … unless none of them comes for so long: a peer on a good network answers sooner.
const REST_IDLE: Duration = Duration::from_millis(1);

/// Peers are busy while one was served so shortly before a turn of results.
const PEERS_BUSY: Duration = Duration::from_millis(5);

/// Groups between two rounds of upkeep: at the least some 4 MB of log, at the most what the log
/// may hold before the writer has to see to it.
const UPKEEP_COMMITS: u32 = 100;

/// When parsed results may have their next turn. Without it a burst goes in small groups, each
/// peer's next message behind a turn of results; with it messages pile up and share a turn.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rest_until: Option<Mono>,
    /// When the last group began that a peer waited for.
    peers_at: Option<Mono>,
    /// Since upkeep was last woken.
    commits: u32,
}

impl Pace {
    /// What is left of the rest.
    fn rest(&self, now: Mono) -> Option<Duration> {
        let left = self.rest_until?.since(now);
        (left > Duration::ZERO).then_some(left)
    }

    /// After a group of so many peers, whose results took so long.
    fn on_group(&mut self, [began, ended]: [Mono; 2], peers: usize, results: Duration) {
        if peers > 0 {
            self.peers_at = Some(began);
        }
        if results == Duration::ZERO {
            return;
        }
        let since_peers = self.peers_at.map(|at| ended.since(at));
        let are_busy = since_peers.is_some_and(|since| since <= results + PEERS_BUSY);
        self.rest_until = are_busy.then(|| ended.after(results.min(REST_MAX)));
    }
}

/// The receiving ends of the writer's queues.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) journal: Receiver<Ticket>,
    pub(super) reply: Receiver<Ticket>,
    pub(super) canonical: Receiver<Ticket>,
    pub(super) background: Receiver<Ticket>,
    /// A message here, or the end of its sender, ends the writer once the queues are empty.
    pub(super) stop: Receiver<()>,
}

impl Queues {
    const fn of(&self, turn: Turn) -> &Receiver<Ticket> {
        match turn {
            Turn::Journal => &self.journal,
            Turn::Reply => &self.reply,
            Turn::Canonical => &self.canonical,
            Turn::Background => &self.background,
        }
    }

    fn take(&self, turn: Turn) -> Option<Work> {
        self.of(turn).try_recv().ok().map(|ticket| ticket.work)
    }

    fn take_first(&self) -> Option<(Turn, Work)> {
        Turn::ALL
            .into_iter()
            .find_map(|turn| Some((turn, self.take(turn)?)))
    }

    /// Waits for work of peers, as long as results rest.
    fn wait_for_peers(&self, rest: Duration) -> Option<(Turn, Work)> {
        let (turn, ticket) = select! {
            recv(self.journal) -> ticket => (Turn::Journal, ticket.ok()),
            recv(self.reply) -> ticket => (Turn::Reply, ticket.ok()),
            default(rest.min(REST_IDLE)) => return None,
        };
        Some((turn, ticket?.work))
    }

    /// Waits for work; `None` when the store is to end, once what is queued has been served.
    fn wait(&self) -> Option<(Turn, Work)> {
        if let Some(found) = self.take_first() {
            return Some(found);
        }
        let (turn, ticket) = select! {
            recv(self.journal) -> ticket => (Turn::Journal, ticket.ok()),
            recv(self.reply) -> ticket => (Turn::Reply, ticket.ok()),
            recv(self.canonical) -> ticket => (Turn::Canonical, ticket.ok()),
            recv(self.background) -> ticket => (Turn::Background, ticket.ok()),
            recv(self.stop) -> _ => (Turn::Background, None),
        };
        Some((turn, ticket?.work))
    }

    fn are_empty(&self) -> bool {
        Turn::ALL.into_iter().all(|turn| self.of(turn).is_empty())
    }

    fn somebody_waits(&self) -> bool {
        !self.journal.is_empty() || !self.reply.is_empty()
    }
}

/// The writer's thread, as a value.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) faults: Option<Arc<dyn Faults>>,
    pub(super) board: Arc<Board>,
    pub(super) path: Arc<str>,
    pub(super) queues: Queues,
    /// Wakes upkeep.
    pub(super) upkeep: Sender<()>,
    /// Released when the writer ends, so that no second one can begin before.
    pub(super) lock: Option<Lock>,
}

impl Writer {
    /// Serves until the store ends. `session` is absent after an error of the disk, until the next
    /// unit of work opens it again.
    pub(super) fn run(self, session: Box<dyn Session>) {
        let mut session = Some(session);
        let mut pace = Pace::default();
        while let Some(first) = self.next(&mut pace) {
            self.serve_unless_panicking(first, &mut session, &mut pace);
        }
        while let Some(first) = self.queues.take_first() {
            self.serve_unless_panicking(first, &mut session, &mut pace);
        }
        drop(session);
        drop(self.lock);
    }

    /// One round of [`Writer::run`], if there is work.
    #[cfg(test)]
    pub(super) fn step(&self, session: &mut Option<Box<dyn Session>>, pace: &mut Pace) -> bool {
        let first = self.queues.take_first();
        let has_work = first.is_some();
        if let Some(first) = first {
            self.serve_unless_panicking(first, session, pace);
        }
        has_work
    }

    fn next(&self, pace: &mut Pace) -> Option<(Turn, Work)> {
        if let Some(rest) = pace.rest(self.clock.mono()) {
            let found = self.queues.wait_for_peers(rest);
            if found.is_some() {
                return found;
            }
            pace.rest_until = None;
        }
        self.queues.wait()
    }

    /// A panic outside the work itself (in the drop of an answer, in a driver) costs its group:
    /// nothing is promised, whoever asked is told that the store is closed, the next group goes on.
    fn serve_unless_panicking(
        &self,
        first: (Turn, Work),
        slot: &mut Option<Box<dyn Session>>,
        pace: &mut Pace,
    ) {
        // The connection is the only thing shared with the next group, and it is given up.
        if catch_unwind(AssertUnwindSafe(|| self.serve(first, slot, pace))).is_err() {
            self.board.failed(&StoreError::Panicked);
            *slot = None;
        }
    }

    fn serve(&self, first: (Turn, Work), slot: &mut Option<Box<dyn Session>>, pace: &mut Pace) {
        self.board.begun();
        let started = self.clock.mono();
        let mut group = Group {
            results_rest: pace.rest(started).is_some(),
            ..Group::default()
        };
        let outcome = self.transaction(first, slot, &mut group, started);
        let ended = self.clock.mono();
        match &outcome {
            Ok(()) => {
                self.board.committed(group.jobs.len(), ended.since(started));
                pace.on_group([started, ended], group.peers, group.results_took);
                pace.commits += 1;
                if pace.commits >= UPKEEP_COMMITS {
                    pace.commits = 0;
                    // A wake-up that is there already is enough.
                    let _is_first = self.upkeep.try_send(()).is_ok();
                }
            }
            Err(error) => {
                self.board.failed(error);
                give_up(slot, error);
            }
        }
        group.settle(&outcome);
    }

    fn transaction(
        &self,
        first: (Turn, Work),
        slot: &mut Option<Box<dyn Session>>,
        group: &mut Group,
        started: Mono,
    ) -> Result<(), StoreError> {
        let first = match first {
            (Turn::Journal, Work::Entry(task)) if self.queues.are_empty() => {
                match self.alone(task, slot, group) {
                    Alone::Ended(outcome) => return outcome,
                    Alone::Again(task) => (Turn::Journal, Work::Entry(task)),
                }
            }
            first => first,
        };
        let session = match self.begin(slot) {
            Ok(session) => session,
            Err(error) => {
                group.take_undone(first.1);
                return Err(error);
            }
        };
        self.fill(first, session, group, started)?;
        self.fault(FaultPoint::Commit)?;
        crash::point_at("commit", group.for_whom());
        session.commit()?;
        crash::point_at("committed", group.for_whom());
        self.fault(FaultPoint::Committed)
    }

    /// Writes the only entry that waits; gives it back when it has to go the usual way.
    fn alone(
        &self,
        mut task: EntryTask,
        slot: &mut Option<Box<dyn Session>>,
        group: &mut Group,
    ) -> Alone {
        let outcome = match self.append_alone(&task, slot) {
            Ok(None) => return Alone::Again(task),
            Ok(Some(written)) => {
                task.output = Some(written);
                self.fault(FaultPoint::Committed)
            }
            Err(error) => Err(error),
        };
        group.peers = 1;
        group.jobs.push((Box::new(task), Ok(())));
        Alone::Ended(outcome)
    }

    fn append_alone(
        &self,
        task: &EntryTask,
        slot: &mut Option<Box<dyn Session>>,
    ) -> Result<Option<Journalled>, StoreError> {
        self.fault(FaultPoint::Begin)?;
        let session = match slot {
            Some(session) => session,
            None => slot.insert(self.backend.connect(Access::Write)?),
        };
        self.fault(FaultPoint::Commit)?;
        crash::point_at("commit", "peers");
        let written = journal::append_alone(session.as_mut(), &task.entry);
        crash::point_at("committed", "peers");
        written
    }

    fn begin<'s>(
        &self,
        slot: &'s mut Option<Box<dyn Session>>,
    ) -> Result<&'s mut dyn Session, StoreError> {
        self.fault(FaultPoint::Begin)?;
        let session = match slot {
            Some(session) => session,
            None => slot.insert(self.backend.connect(Access::Write)?),
        };
        match session.begin() {
            // The connection broke while nothing was asked, so that nothing can be half done.
            Err(StoreError::ServerLost { .. }) => {
                *session = self.backend.connect(Access::Write)?;
                session.begin()?;
            }
            outcome => outcome?,
        }
        Ok(session.as_mut())
    }

    /// Takes work in the order of the turns until the group is full.
    fn fill(
        &self,
        (turn, work): (Turn, Work),
        session: &mut dyn Session,
        group: &mut Group,
        started: Mono,
    ) -> Result<(), StoreError> {
        let mut first = Some(work);
        let mut next = |asked: Turn| {
            let own = if asked == turn { first.take() } else { None };
            own.or_else(|| self.queues.take(asked))
        };
        group.fill_journal(|| next(Turn::Journal), session)?;
        for _ in 0..REPLY_GROUP_MAX {
            let Some(work) = next(Turn::Reply) else { break };
            group.run(session, work.into_job())?;
        }
        group.peers = group.jobs.len();
        if !group.results_rest {
            self.fill_results(|| next(Turn::Canonical), session, group)?;
        }
        // One piece of housekeeping at most, and only in a group that has been quick so far.
        let is_quick = self.clock.mono().since(started) < CANONICAL_SHORT;
        let has_time = turn == Turn::Background || (is_quick && !self.queues.somebody_waits());
        if has_time && let Some(work) = next(Turn::Background) {
            group.run(session, work.into_job())?;
        }
        Ok(())
    }

    fn fill_results(
        &self,
        mut next: impl FnMut() -> Option<Work>,
        session: &mut dyn Session,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        let began = self.clock.mono();
        for count in 1.. {
            let Some(work) = next() else { break };
            group.run(session, work.into_job())?;
            group.results_took = self.clock.mono().since(began);
            if self.turn_is_over(count, group.results_took) {
                break;
            }
        }
        Ok(())
    }

    fn turn_is_over(&self, count: usize, spent: Duration) -> bool {
        let (most, longest) = if self.queues.somebody_waits() {
            (CANONICAL_SHORT_MAX, CANONICAL_SHORT)
        } else {
            (CANONICAL_LONG_MAX, CANONICAL_LONG)
        };
        count >= most || spent >= longest
    }

    fn fault(&self, point: FaultPoint) -> Result<(), StoreError> {
        let path = Arc::clone(&self.path);
        match self.faults.as_ref().and_then(|faults| faults.at(point)) {
            None => Ok(()),
            Some(Fault::DiskFull) => Err(StoreError::DiskFull { path, source: None }),
            Some(Fault::DiskFailed) => Err(StoreError::DiskFailed { path, source: None }),
        }
    }
}

/// What became of an entry that was to be written alone.
enum Alone {
    Ended(Result<(), StoreError>),
    /// It takes more than one statement, and nothing was written.
    Again(EntryTask),
}

/// Leaves the failed transaction. The connection is kept where it is known to be sound: a full
/// disk and a foreign lock do it no harm.
fn give_up(slot: &mut Option<Box<dyn Session>>, error: &StoreError) {
    let is_sound = matches!(error, StoreError::DiskFull { .. } | StoreError::Busy { .. });
    let is_out = slot
        .as_mut()
        .is_some_and(|session| session.rollback().is_ok());
    if !(is_sound && is_out) {
        *slot = None;
    }
}

/// What one transaction holds.
#[derive(Default)]
struct Group {
    jobs: Vec<(Box<dyn Job>, Result<(), StoreError>)>,
    works: usize,
    /// Parsed results have no turn in it.
    results_rest: bool,
    /// How many of the jobs a peer waits for.
    peers: usize,
    /// How long the turn of parsed results took.
    results_took: Duration,
}

impl Group {
    /// Whether a peer waits for it, for [`crash`].
    const fn for_whom(&self) -> &'static str {
        if self.peers > 0 { "peers" } else { "results" }
    }

    fn take_undone(&mut self, work: Work) {
        self.jobs.push((work.into_job(), Ok(())));
    }

    /// Takes journal entries, the neighbours among them together.
    fn fill_journal(
        &mut self,
        mut next: impl FnMut() -> Option<Work>,
        session: &mut dyn Session,
    ) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        for _ in 0..JOURNAL_GROUP_MAX {
            match next() {
                Some(Work::Entry(task)) => {
                    bytes = bytes.saturating_add(task.entry.bytes());
                    batch.push(task);
                }
                Some(Work::Job(job)) => {
                    if let Err(error) = self.append(session, std::mem::take(&mut batch)) {
                        self.take_undone(Work::Job(job));
                        return Err(error);
                    }
                    self.run(session, job)?;
                }
                None => break,
            }
            if bytes >= JOURNAL_GROUP_BYTES_MAX {
                break;
            }
        }
        self.append(session, batch)
    }

    /// Runs one unit of work; what fails by itself is undone and the group goes on.
    ///
    /// # Errors
    /// When the group as a whole has failed.
    fn run(&mut self, session: &mut dyn Session, mut job: Box<dyn Job>) -> Result<(), StoreError> {
        if let Err(error) = self.next_work(session) {
            self.jobs.push((job, Ok(())));
            return Err(error);
        }
        let outcome = job.run(session);
        let outcome = session.failure().map_or(outcome, Err);
        self.jobs.push((job, outcome.clone()));
        if outcome.is_ok() {
            Ok(())
        } else {
            undo(session)
        }
    }

    /// Writes journal entries as one unit of work; if that fails, each as its own, so that one
    /// wrong entry does not take its neighbours with it.
    fn append(
        &mut self,
        session: &mut dyn Session,
        mut batch: Vec<EntryTask>,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let begun = self.next_work(session);
        let entries: Vec<_> = batch.iter().map(|task| &task.entry).collect();
        let written = begun.and_then(|()| match journal::append(session, &entries) {
            Ok(written) => session.failure().map_or(Ok(Some(written)), Err),
            Err(_) => undo(session).map(|()| None),
        });
        match written {
            Ok(Some(written)) => {
                for (task, output) in batch.iter_mut().zip(written) {
                    task.output = Some(output);
                }
                self.jobs.extend(
                    batch
                        .into_iter()
                        .map(|task| (Box::new(task) as Box<dyn Job>, Ok(()))),
                );
                Ok(())
            }
            Ok(None) => self.append_singly(session, batch),
            Err(error) => {
                self.jobs.extend(
                    batch
                        .into_iter()
                        .map(|task| (Box::new(task) as Box<dyn Job>, Ok(()))),
                );
                Err(error)
            }
        }
    }

    fn append_singly(
        &mut self,
        session: &mut dyn Session,
        batch: Vec<EntryTask>,
    ) -> Result<(), StoreError> {
        let mut batch = batch.into_iter();
        let outcome = batch
            .by_ref()
            .try_for_each(|task| self.run(session, Box::new(task)));
        self.jobs
            .extend(batch.map(|task| (Box::new(task) as Box<dyn Job>, Ok(()))));
        outcome
    }

    fn next_work(&mut self, session: &mut dyn Session) -> Result<(), StoreError> {
        self.works += 1;
        if self.works == 1 {
            Ok(())
        } else {
            session.next_work()
        }
    }

    /// Tells everybody: first the failure of the unit, else that of the group.
    fn settle(self, committed: &Result<(), StoreError>) {
        for (job, outcome) in self.jobs {
            job.settle(outcome.and_then(|()| committed.clone()));
        }
    }
}

/// Undoes the present unit of work, unless the database as a whole has failed.
fn undo(session: &mut dyn Session) -> Result<(), StoreError> {
    match session.failure() {
        Some(error) if error.is_unavailable() => Err(error),
        _ => session.undo_work(),
    }
}

impl Work {
    fn into_job(self) -> Box<dyn Job> {
        match self {
            Self::Job(job) => job,
            Self::Entry(entry) => Box::new(entry),
        }
    }
}
