//! How the store is doing, for the console.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::error::StoreError;

/// How the store is doing.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Groups committed since the start.
    pub commits: u64,
    /// Units of work committed since the start.
    pub works: u64,
    /// Groups that failed as a whole since the start.
    pub failures: u64,
    /// Whether the writer has a group in hand.
    pub is_serving: bool,
    /// From the first unit of work taken up to the commit, for the last group.
    pub last_commit: Duration,
    /// The error of the last group, if it failed; `None` again after the next commit.
    pub failing: Option<StoreError>,
    /// How many units wait in each turn, in the order of [`super::Turn::ALL`].
    pub waiting: [usize; 4],
    /// How many reads wait.
    pub reads_waiting: usize,
}

/// Where the writer notes what happened.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Health>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Health> {
        // Plain numbers: nothing can be half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted now.
    pub(super) fn read(&self) -> Health {
        self.lock().clone()
    }

    /// Notes that a group is in hand.
    pub(super) fn begun(&self) {
        self.lock().is_serving = true;
    }

    /// Notes a commit of `works` units; logs when the store had been failing.
    pub(super) fn committed(&self, works: usize, took: Duration) {
        let mut health = self.lock();
        health.is_serving = false;
        health.commits += 1;
        health.works += u64::try_from(works).unwrap_or(u64::MAX);
        health.last_commit = took;
        if health.failing.take().is_some() {
            tracing::info!(failures = health.failures, "the store writes again");
        }
    }

    /// Notes a failed group; logs the first of a row of equal failures.
    pub(super) fn failed(&self, error: &StoreError) {
        let mut health = self.lock();
        health.is_serving = false;
        health.failures += 1;
        let is_news = health
            .failing
            .as_ref()
            .is_none_or(|known| known.code() != error.code());
        health.failing = Some(error.clone());
        if is_news {
            tracing::error!(code = error.code(), cause = ?std::error::Error::source(error), "{error}");
        }
    }
}
