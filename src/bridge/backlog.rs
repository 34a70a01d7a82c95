//! The way to one parser worker: a bounded hand-off, and behind it the journal.
//!
//! What finds no room is left in the journal, and its line with it, until the worker has caught up:
//! later messages of the line do not overtake, and a burst costs the disk and not memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{orders::Answered, parser::Job, site::LineSite};

/// Where the answer to one message goes.
pub(super) type Reply = oneshot::Sender<Answered>;

/// The way to one worker.
#[derive(Debug)]
pub(super) struct Hand {
    jobs: Sender<Job>,
    /// A line has fallen behind.
    wake: Sender<()>,
    backlogs: Mutex<BTreeMap<String, Backlog>>,
    /// Rung when there is work, for a worker that is no thread.
    #[cfg(test)]
    pub(super) bell: tokio::sync::Notify,
}

/// What a worker has to do for one line.
#[derive(Debug)]
struct Backlog {
    line: Arc<LineSite>,
    /// Jobs handed over and not settled.
    handed: usize,
    /// Messages since the line fell behind: the worker finds them in the journal, after `after`.
    left: u64,
    after: i64,
    /// The newest of them: what is in the journal behind it was not left, and is handed over.
    until: i64,
    /// Where answers go to queries among them.
    replies: BTreeMap<i64, Reply>,
}

/// Where a line that has fallen behind goes on.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    pub(super) line: Arc<LineSite>,
    /// The messages after this one.
    pub(super) after: i64,
    /// And no later than this one.
    pub(super) until: i64,
    left: u64,
}

/// What a worker waits for.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) jobs: Receiver<Job>,
    /// A line has fallen behind.
    pub(super) woken: Receiver<()>,
}

impl Backlog {
    const fn new(line: Arc<LineSite>) -> Self {
        Self {
            line,
            handed: 0,
            left: 0,
            after: 0,
            until: 0,
            replies: BTreeMap::new(),
        }
    }

    /// A message stays in the journal. Its line is behind from now on, so that no later one
    /// overtakes it.
    fn leave(&mut self, job: Job) {
        let before = job.message.saturating_sub(1);
        if self.left == 0 {
            (self.after, self.until) = (before, job.message);
        }
        self.after = self.after.min(before);
        self.until = self.until.max(job.message);
        self.left += 1;
        if let Some(reply) = job.reply {
            self.replies.insert(job.message, reply);
        }
    }
}

impl Hand {
    /// A way for so many jobs at once.
    pub(super) fn new(room: usize) -> (Self, Ways) {
        let (jobs, receiver) = bounded(room);
        let (wake, woken) = bounded(1);
        let hand = Self {
            jobs,
            wake,
            backlogs: Mutex::default(),
            #[cfg(test)]
            bell: tokio::sync::Notify::new(),
        };
        let ways = Ways {
            jobs: receiver,
            woken,
        };
        (hand, ways)
    }

    fn backlogs(&self) -> MutexGuard<'_, BTreeMap<String, Backlog>> {
        // A panic while the map was held cannot leave it half changed.
        self.backlogs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over, or leaves it in the journal where there is no room, or where earlier
    /// ones of its line were left.
    pub(super) fn submit(&self, mut job: Job, permit: Option<OwnedSemaphorePermit>) {
        let mut backlogs = self.backlogs();
        let id = job.line.id.clone();
        let line = Arc::clone(&job.line);
        let backlog = backlogs.entry(id).or_insert_with(|| Backlog::new(line));
        let Some(permit) = permit.filter(|_| backlog.left == 0) else {
            backlog.leave(job);
            drop(backlogs);
            self.wake();
            return;
        };
        job.permit = Some(permit);
        backlog.handed += 1;
        // There is room for every permit in every channel; a worker that has ended leaves the row
        // unparsed in the journal, where the next start finds it.
        if self.jobs.try_send(job).is_err() {
            backlog.handed -= 1;
            tracing::warn!("a message stays unparsed until the next start: the parser has stopped");
        }
        #[cfg(test)]
        self.bell.notify_one();
    }

    fn wake(&self) {
        // A wake-up that is there already is enough.
        let _is_first = self.wake.try_send(()).is_ok();
        #[cfg(test)]
        self.bell.notify_one();
    }

    /// The last run left messages of a line behind `after` and up to `until`; the line is not open
    /// yet, and what comes then is left behind them.
    pub(super) fn resume(&self, line: &Arc<LineSite>, (after, until): (i64, i64)) {
        let mut backlogs = self.backlogs();
        let backlog = backlogs
            .entry(line.id.clone())
            .or_insert_with(|| Backlog::new(Arc::clone(line)));
        backlog.after = after;
        backlog.until = until;
        backlog.left = 1;
        drop(backlogs);
        self.wake();
    }

    /// Jobs of these lines were settled.
    pub(super) fn settled(&self, lines: &[Arc<LineSite>]) {
        let mut backlogs = self.backlogs();
        for line in lines {
            if let Some(backlog) = backlogs.get_mut(&line.id) {
                backlog.handed = backlog.handed.saturating_sub(1);
            }
        }
    }

    /// The line that has been behind for longest, of those with nothing before what they left.
    pub(super) fn behind(&self) -> Option<Behind> {
        let backlogs = self.backlogs();
        let behind = backlogs
            .values()
            .filter(|one| one.left > 0 && one.handed == 0);
        // Ids are in the order of arrival.
        let longest = behind.min_by_key(|one| one.after)?;
        Some(Behind {
            line: Arc::clone(&longest.line),
            after: longest.after,
            until: longest.until,
            left: longest.left,
        })
    }

    /// Whether nothing of a line was handed over or left that is not settled.
    pub(super) fn is_idle(&self, line: &str) -> bool {
        let backlogs = self.backlogs();
        let backlog = backlogs.get(line);
        backlog.is_none_or(|one| one.handed == 0 && one.left == 0)
    }

    /// Where the answers to a message go that was left.
    pub(super) fn reply_to(&self, line: &str, message: i64) -> Option<Reply> {
        self.backlogs().get_mut(line)?.replies.remove(&message)
    }

    /// What a line left is settled up to this message.
    pub(super) fn has_read(&self, line: &str, last: i64) {
        if let Some(backlog) = self.backlogs().get_mut(line) {
            backlog.after = backlog.after.max(last);
        }
    }

    /// The journal held nothing more of a line; it has caught up unless something was left since.
    pub(super) fn has_caught_up(&self, behind: &Behind) {
        if let Some(backlog) = self.backlogs().get_mut(&behind.line.id)
            && backlog.left == behind.left
        {
            backlog.left = 0;
            backlog.replies.clear();
        }
    }
}
