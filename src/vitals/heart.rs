//! The heart: a thread of its own, outside the runtime that it watches, which looks at the vital signs,
//! tells systemd, and tells the log what is stuck.

use std::{
    collections::BTreeSet,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use labwire_protocols::wire::Mono;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::Clock;

use super::{Organ, PROBE_EVERY, Vitals, notify::Manager};

/// How often the vital signs are looked at, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the runtime beats.
const BEAT_EVERY: Duration = Duration::from_millis(250);

/// A line that is not open by then does not hold up the others: one port that is taken, one cable that
/// is out, and the laboratory would stand still. Its name is in the status, in `/health/ready` and on
/// the console.
pub const LINES_OPEN_WITHIN: Duration = Duration::from_secs(15);

/// A heart that beats; it stops when it is told to, or dropped.
#[derive(Debug)]
pub struct Heart {
    stop: Sender<()>,
    tasks: DropGuard,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// Begins to look at `vitals`, and to tell `manager`. Called on the runtime that is watched.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(vitals: Arc<Vitals>, manager: Manager, clock: Arc<dyn Clock>) -> io::Result<Self> {
        if let Some(watchdog) = manager.watchdog() {
            vitals.set_stuck_after(watchdog / 2);
        }
        // It has work in hand from here on: one that stands still before its first beat is found too.
        vitals.runtime.step();
        let tasks = CancellationToken::new();
        tokio::spawn(beat(Arc::clone(&vitals), tasks.clone()));
        tokio::spawn(keep_probing(Arc::clone(&vitals), tasks.clone()));
        let (stop, stopped) = bounded(1);
        let look = Look {
            began: clock.mono(),
            vitals,
            manager,
            clock,
            told: String::new(),
            known: BTreeSet::new(),
            is_ready: false,
            alive_at: None,
        };
        let thread = thread::Builder::new()
            .name("heart".to_owned())
            .spawn(move || look.run(&stopped))?;
        Ok(Self {
            stop,
            tasks: tasks.drop_guard(),
            thread: Some(thread),
        })
    }

    /// Stops it: what follows is the end, which systemd times by itself.
    pub fn stop(mut self) {
        drop(self.tasks);
        drop(self.stop);
        if let Some(thread) = self.thread.take() {
            // It panicked: there was a word about it, and nothing is left to be done.
            drop(thread.join());
        }
    }
}

/// Shows that tasks are run.
async fn beat(vitals: Arc<Vitals>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => vitals.runtime.step(),
            () = stop.cancelled() => break,
        }
    }
    vitals.runtime.rest();
}

/// Shows that the store writes, and gives the writer something to do that it can be stuck in.
async fn keep_probing(vitals: Arc<Vitals>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        // The writer tells the log of an error.
        drop(vitals.probe().await);
    }
}

/// The thread's work.
struct Look {
    vitals: Arc<Vitals>,
    manager: Manager,
    clock: Arc<dyn Clock>,
    began: Mono,
    /// The status that was told last.
    told: String,
    /// What is known to be stuck.
    known: BTreeSet<Organ>,
    is_ready: bool,
    /// When the last sign of life was given.
    alive_at: Option<Mono>,
}

impl Look {
    fn run(mut self, stopped: &Receiver<()>) {
        let watchdog = self.manager.watchdog();
        let rest = watchdog.map_or(LOOK_EVERY, |limit| LOOK_EVERY.min(limit / 8));
        loop {
            self.look();
            // Nothing is ever sent: the other end goes when the heart is to stop.
            if !matches!(stopped.recv_timeout(rest), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }

    fn look(&mut self) {
        let stuck: BTreeSet<Organ> = self.vitals.stuck().into_iter().collect();
        for organ in stuck.difference(&self.known) {
            tracing::error!(
                "{organ} makes no progress; unless it goes on, labwire has to be started again, \
                 which systemd does where it watches"
            );
        }
        for organ in self.known.difference(&stuck) {
            tracing::info!("{organ} goes on");
        }
        self.known = stuck;
        self.tell_status();
        if self.known.is_empty() {
            self.give_sign();
        }
    }

    fn tell_status(&mut self) {
        let mut status = self.vitals.told();
        for organ in &self.known {
            status.push_str(&format!("; {organ} makes no progress"));
        }
        if !self.is_ready && self.may_begin() {
            self.is_ready = true;
            self.manager.ready(&status);
        } else if status != self.told {
            self.manager.status(&status);
        }
        self.told = status;
    }

    /// The store writes, and the lines are open or have had their time.
    fn may_begin(&self) -> bool {
        let waited = self.clock.mono().since(self.began);
        self.vitals.lack_of_store().is_none()
            && (waited >= LINES_OPEN_WITHIN || self.vitals.lacks().is_empty())
    }

    /// Twice in the time after which systemd takes a process for dead.
    fn give_sign(&mut self) {
        let Some(watchdog) = self.manager.watchdog() else {
            return;
        };
        let now = self.clock.mono();
        let is_due = self
            .alive_at
            .is_none_or(|at| now.since(at) >= watchdog * 3 / 8);
        if is_due {
            self.manager.alive();
            self.alive_at = Some(now);
        }
    }
}
