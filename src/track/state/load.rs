//! What a module and a lane carry: kept in step with the tubes, so that a question costs nothing.

use std::collections::{BTreeSet, VecDeque};

use super::{Place, Tube};
use crate::track::{
    Priority, Time, TubeId,
    model::{Condition, Line, Module, ModuleNo},
};

/// What is known of one module.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// How it is.
    pub condition: Condition,
    /// Since when.
    pub since: Time,
    /// Tubes that wait before it.
    pub waiting: BTreeSet<TubeId>,
    /// Urgent ones among them.
    pub waiting_stat: u32,
    /// Tubes in it, or at it and done.
    pub inside: u32,
    /// Tubes on their way to it, by when they are expected.
    pub coming: BTreeSet<(Time, TubeId)>,
    /// Urgent ones among them.
    pub coming_stat: u32,
    /// Tubes that it keeps, and kept before it was emptied.
    pub kept: u32,
    /// Of these, tubes that were there when it was emptied.
    pub emptied: u32,
    /// Tubes seen here whose barcode could not be read.
    pub unread: u64,
    /// When it last began with a tube.
    pub last_start: Option<Time>,
    /// Since when tubes wait without a break.
    pub busy_since: Option<Time>,
    /// When tubes came, in the last [`WINDOW_MS`].
    pub(in crate::track) arrivals: VecDeque<Time>,
    /// When tubes were begun with, in the last [`WINDOW_MS`].
    pub(in crate::track) starts: VecDeque<Time>,
}

/// Rates are those of so many milliseconds: long enough for a batch, short against a morning's peak.
pub const WINDOW_MS: u64 = 10 * 60 * 1_000;
/// More arrivals than any module has in [`WINDOW_MS`]; a peer that floods costs no more.
const WINDOW_EVENTS_MAX: usize = 2_048;

impl Load {
    /// Tubes waiting; saturating.
    pub fn queue(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Adds or takes away a tube at its place in this module.
    pub(super) fn count(&mut self, id: &TubeId, tube: &Tube, is_added: bool, now: Time) {
        let is_stat = u32::from(tube.priority == Priority::Stat);
        match &tube.place {
            Place::Waiting { .. } => {
                if is_added {
                    self.waiting.insert(id.clone());
                    self.busy_since = self.busy_since.or(Some(now));
                } else {
                    self.waiting.remove(id);
                    if self.waiting.is_empty() {
                        self.busy_since = None;
                    }
                }
                change(&mut self.waiting_stat, is_stat, is_added);
            }
            Place::Working { .. } | Place::Done { .. } => change(&mut self.inside, 1, is_added),
            Place::Between { expected, .. } => {
                if is_added {
                    self.coming.insert((*expected, id.clone()));
                } else {
                    self.coming.remove(&(*expected, id.clone()));
                }
                change(&mut self.coming_stat, is_stat, is_added);
            }
            Place::Kept { .. } => change(&mut self.kept, 1, is_added),
            Place::Lost { .. } => {}
        }
    }

    pub(super) fn on_arrival(&mut self, at: Time) {
        remember(&mut self.arrivals, at);
    }

    pub(super) fn on_start(&mut self, at: Time) {
        remember(&mut self.starts, at);
        self.last_start = self.last_start.max(Some(at));
    }

    /// Whether it takes no more tubes for good.
    pub fn is_full(&self, module: &Module) -> bool {
        self.condition == Condition::Full
            || module
                .capacity
                .is_some_and(|capacity| self.kept.saturating_sub(self.emptied) >= capacity)
    }
}

fn change(count: &mut u32, by: u32, is_added: bool) {
    *count = if is_added {
        count.saturating_add(by)
    } else {
        count.saturating_sub(by)
    };
}

fn remember(times: &mut VecDeque<Time>, at: Time) {
    let newest = times.back().copied().unwrap_or_default().max(at);
    // A late message counts as now: rates need no order.
    times.push_back(newest);
    while times
        .front()
        .is_some_and(|first| newest.since(*first) > WINDOW_MS)
        || times.len() > WINDOW_EVENTS_MAX
    {
        times.pop_front();
    }
}

/// The module whose load a tube at this place counts in.
pub(super) const fn counted_at(place: &Place) -> Option<ModuleNo> {
    match place {
        Place::Between { to, .. } => *to,
        Place::Waiting { module, .. }
        | Place::Working { module }
        | Place::Done { module }
        | Place::Kept { module, .. } => Some(*module),
        Place::Lost { .. } => None,
    }
}

/// Milliseconds within which a tube that came to a module now would be begun with: what is inside,
/// the urgent or all tubes before it, and for a batch the time until it is full.
///
/// `travel_ms` is how long the tube needs to get there; `without` takes tubes out of the count that
/// are the one asked about.
pub(in crate::track) fn wait_ms(line: &Line, load: &Load, no: ModuleNo, ask: &WaitQuestion) -> u64 {
    let module = line.module(no);
    let is_stat = ask.priority == Priority::Stat;
    let all = if is_stat {
        load.waiting_stat.saturating_add(load.coming_stat)
    } else {
        let coming = u32::try_from(load.coming.len()).unwrap_or(u32::MAX);
        load.queue().saturating_add(coming)
    };
    let ahead = u64::from(all.saturating_sub(u32::from(ask.is_counted)));
    let batch = u64::from(module.batch.max(1));
    // A batch occupies its module until it is done; single tubes follow each other at its rate.
    let cycle = if batch > 1 {
        module.dwell_ms.max(module.interval_ms())
    } else {
        module.interval_ms()
    };
    let busy = load
        .last_start
        .map_or(0, |start| start.after(cycle).since(ask.now));
    let queued = busy.saturating_add(ahead / batch * cycle);
    let missing = batch - 1 - ahead % batch;
    let patience = if is_stat {
        module.stat_wait_ms
    } else {
        module.batch_wait_ms
    };
    let gap = WINDOW_MS / u64::try_from(load.arrivals.len().max(1)).unwrap_or(1);
    let filled = if missing == 0 {
        0
    } else {
        ask.travel_ms
            .saturating_add(patience.min(missing.saturating_mul(gap)))
    };
    queued.max(filled).saturating_sub(ask.travel_ms)
}

/// What [`wait_ms`] is asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::track) struct WaitQuestion {
    pub(in crate::track) now: Time,
    pub(in crate::track) priority: Priority,
    pub(in crate::track) travel_ms: u64,
    /// The tube is already counted there.
    pub(in crate::track) is_counted: bool,
}
