//! That something on the queue changed: told to the couriers of this process, and to other nodes.

use tokio::sync::{Notify, futures::Notified};

/// News of one kind. What is lost is found again by looking, within two seconds.
#[derive(Debug, Default)]
pub(super) struct News {
    here: Notify,
    elsewhere: Notify,
}

impl News {
    /// Something changed here: whoever waits is woken, and other nodes are told.
    pub(super) fn notify_waiters(&self) {
        self.here.notify_waiters();
        self.elsewhere.notify_one();
    }

    /// Another node told of a change.
    pub(super) fn wake(&self) {
        self.here.notify_waiters();
    }

    /// The next change, here or elsewhere.
    pub(super) fn notified(&self) -> Notified<'_> {
        self.here.notified()
    }

    /// The next change that other nodes have to be told of; several may be one.
    pub(super) async fn to_be_told(&self) {
        self.elsewhere.notified().await;
    }
}
