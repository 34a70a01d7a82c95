//! What is said around questions and results: the marks that open and close a session.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use labwire_protocols::wire::{Mono, OutId};

use super::{RETRY_MAX, RETRY_MIN};

/// What waits to be said before anything else, in order, each until it is acknowledged.
#[derive(Debug)]
pub(super) struct Asides {
    queue: VecDeque<Bytes>,
    under_way: Option<OutId>,
    not_before: Mono,
    wait: Duration,
}

impl Default for Asides {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            under_way: None,
            not_before: Mono::default(),
            wait: RETRY_MIN,
        }
    }
}

impl Asides {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn extend(&mut self, messages: Vec<Bytes>) {
        self.queue.extend(messages);
    }

    /// The connection is gone, or a session is begun anew.
    pub(super) fn forget(&mut self) {
        self.queue.clear();
        self.under_way = None;
    }

    /// What may be said now.
    pub(super) fn next(&self, now: Mono) -> Option<Bytes> {
        let may_speak = self.under_way.is_none() && self.not_before <= now;
        self.queue.front().filter(|_| may_speak).cloned()
    }

    pub(super) fn is_under_way(&mut self, id: OutId) {
        self.under_way = Some(id);
    }

    pub(super) fn is(&self, id: OutId) -> bool {
        self.under_way == Some(id)
    }

    pub(super) fn acknowledged(&mut self) {
        self.under_way = None;
        self.wait = RETRY_MIN;
        self.queue.pop_front();
    }

    /// Nothing is said for a while.
    pub(super) fn rest(&mut self, now: Mono) {
        self.under_way = None;
        self.not_before = now.after(self.wait);
        self.wait = self.wait.saturating_mul(2).min(RETRY_MAX);
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let waits = self.under_way.is_none() && !self.queue.is_empty();
        waits.then_some(self.not_before)
    }
}
