//! Upkeep: a thread that does now and then what the database wants done beside the writer.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, select};

use super::session::{Backend, Upkeep};

/// Between two rounds at least: the disk belongs to the peers that wait for it.
const REST: Duration = Duration::from_millis(100);

/// The thread, as a value.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) backend: Arc<dyn Backend>,
    /// The writer has written enough to be worth a round.
    pub(super) due: Receiver<()>,
    /// Its sender ends when the store does.
    pub(super) stop: Receiver<()>,
}

impl Keeper {
    /// Serves until the store ends.
    pub(super) fn run(self) {
        let mut upkeep = None;
        while self.is_due() {
            self.round(&mut upkeep);
            if !matches!(self.stop.recv_timeout(REST), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }

    fn is_due(&self) -> bool {
        select! {
            recv(self.due) -> due => due.is_ok(),
            recv(self.stop) -> _ => false,
        }
    }

    fn round(&self, slot: &mut Option<Box<dyn Upkeep>>) {
        let outcome = match slot {
            Some(upkeep) => upkeep.run(),
            None => self.backend.upkeep().and_then(|upkeep| {
                *slot = upkeep;
                slot.as_mut().map_or(Ok(()), |upkeep| upkeep.run())
            }),
        };
        if let Err(error) = outcome {
            // The writer does it by itself when it must, and tells of a disk that is full.
            tracing::debug!(%error, "upkeep of the store is tried again later");
            *slot = None;
        }
    }
}
