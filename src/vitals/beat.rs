//! The beat of a thread: it steps when it gets on, and says when it rests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Counts how a thread or a task gets on with its work. Of no order with other memory: whoever looks,
/// looks again.
#[derive(Debug, Default)]
pub struct Beat {
    steps: AtomicU64,
    is_busy: AtomicBool,
    is_gone: AtomicBool,
}

impl Beat {
    /// It has work in hand, and is a step further.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.is_busy.store(true, Ordering::Relaxed);
    }

    /// It waits for work.
    pub fn rest(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether it has work in hand.
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Notes, when what it returns is dropped, also by a panic, that the thread has ended.
    pub fn while_alive(self: &Arc<Self>) -> impl Drop + use<> {
        Alive(Arc::clone(self))
    }
}

struct Alive(Arc<Beat>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Ordering::Relaxed);
    }
}
