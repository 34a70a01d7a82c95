//! When the disk fails, and at which of its steps the process dies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use labwire_sims::chance::Chance;
use tokio::sync::Notify;

use crate::store::{Fault, FaultPoint, Faults, by_hand::ByHand};

use super::scribe::Scribe;

/// The fate of one process and its disk.
#[derive(Debug)]
pub(super) struct Fate {
    scribe: Arc<Scribe>,
    hand: ByHand,
    /// Rung at its death.
    pub(super) died: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: Chance,
    /// Of a thousand steps of the disk, so many fail.
    per_mille: u16,
    /// The disk is full for so many steps more.
    full_for: u64,
    /// It dies at its …th step from here.
    dies_after: Option<u64>,
}

impl Fate {
    pub(super) fn new(scribe: Arc<Scribe>, hand: ByHand, mut chance: Chance) -> Self {
        let per_mille = *chance.pick(&[0, 0, 10, 40]).unwrap_or(&0);
        Self {
            scribe,
            hand,
            died: Notify::new(),
            state: Mutex::new(State {
                chance,
                per_mille,
                full_for: 0,
                dies_after: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It dies at the …th step of its disk.
    pub(super) fn dies_after(&self, steps: u64) {
        self.state().dies_after = Some(steps);
    }

    /// It dies now.
    pub(super) fn dies(&self) {
        self.hand.die();
        self.died.notify_one();
    }

    /// From now on nothing fails.
    pub(super) fn calms_down(&self) {
        let mut state = self.state();
        state.per_mille = 0;
        state.full_for = 0;
        state.dies_after = None;
    }

    /// What happens at this step of the disk.
    fn next(&self) -> Option<Fault> {
        let mut state = self.state();
        match state.dies_after {
            Some(0) => {
                state.dies_after = None;
                drop(state);
                self.dies();
                return Some(Fault::DiskFailed);
            }
            Some(left) => state.dies_after = Some(left - 1),
            None => {}
        }
        if state.full_for > 0 {
            state.full_for -= 1;
            return Some(Fault::DiskFull);
        }
        let rate = state.per_mille;
        if !state.chance.happens(rate) {
            return None;
        }
        if state.chance.happens(300) {
            state.full_for = state.chance.below(12);
            return Some(Fault::DiskFull);
        }
        Some(Fault::DiskFailed)
    }
}

impl Faults for Fate {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        let fault = self.next();
        if let Some(fault) = fault {
            let end = if self.hand.is_dead() {
                ", the process dies"
            } else {
                ""
            };
            self.scribe
                .note("disk", format_args!("{fault:?} at {point:?}{end}"));
        }
        fault
    }
}
