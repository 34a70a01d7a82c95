//! The bounded ways into the store's threads.

use std::{fmt, sync::Arc};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::Semaphore;

use super::{
    error::StoreError,
    job::{Ticket, Work},
};

/// Which queue of the writer a unit of work stands in. Earlier ones are served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Turn {
    /// Frames and messages whose peer waits for the acknowledgement.
    Journal,
    /// Orders, cancels and queries whose peer waits for an answer.
    Reply,
    /// Parsed results, matching, queue rows: short turns, so that the others do not wait.
    Canonical,
    /// Deleting old rows and other housekeeping: when nothing else waits.
    Background,
}

impl Turn {
    /// All turns, first served first.
    pub const ALL: [Self; 4] = [
        Self::Journal,
        Self::Reply,
        Self::Canonical,
        Self::Background,
    ];

    /// How many units may wait in this turn before whoever asks has to wait too. One per line and
    /// a burst of pipelined messages for the journal; the others are fed by few workers.
    pub(super) const fn places(self) -> usize {
        match self {
            Self::Journal => 1_024,
            Self::Reply | Self::Canonical => 256,
            Self::Background => 16,
        }
    }
}

/// The sending end of one queue. Tasks wait for a place; the channel itself never blocks.
pub(super) struct Lane {
    places: Arc<Semaphore>,
    sender: Sender<Ticket>,
    size: usize,
    /// Rung for whoever lets the store take its steps.
    #[cfg(test)]
    pub(super) bell: Option<Arc<tokio::sync::Notify>>,
}

impl Lane {
    /// A queue of `size` places.
    pub(super) fn new(size: usize) -> (Self, Receiver<Ticket>) {
        let (sender, receiver) = crossbeam_channel::bounded(size);
        (
            Self {
                places: Arc::new(Semaphore::new(size)),
                sender,
                size,
                #[cfg(test)]
                bell: None,
            },
            receiver,
        )
    }

    /// Waits for a place and takes it.
    pub(super) async fn send(&self, work: Work) -> Result<(), StoreError> {
        let closed = |_| StoreError::Closed;
        let slot = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(closed)?;
        // There are as many places as the channel holds, so it is never full here.
        self.sender
            .try_send(Ticket { work, _slot: slot })
            .map_err(|_| StoreError::Closed)?;
        #[cfg(test)]
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
        Ok(())
    }

    /// Lets nobody in any more; what stands in the queue is still served.
    pub(super) fn close(&self) {
        self.places.close();
    }

    /// How many places are taken.
    pub(super) fn waiting(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
