//! One look at the queue for all devices.
//!
//! Every order may be for every device, and nearly none is: couriers that each looked at the queue with
//! each order would keep the readers of the store busy with nothing. So one task looks, and wakes the
//! couriers of those devices that something is due for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use labwire_drivers::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    queue,
    store::{Store, StoreError},
};

use super::{desk::LOOK_AGAIN, news::News};

/// The rest after a look, in which further news become one.
const SHORTEST_REST: Duration = Duration::from_millis(5);

/// Whom to wake, by destination.
#[derive(Debug, Default)]
pub(super) struct Lookout(Mutex<BTreeMap<String, Arc<News>>>);

impl Lookout {
    /// What the courier of a destination waits for.
    pub(super) fn news_of(&self, destination: &str) -> Arc<News> {
        let mut couriers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(couriers.entry(destination.to_owned()).or_default())
    }

    fn wake(&self, destinations: &[String]) {
        let couriers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for destination in destinations {
            if let Some(news) = couriers.get(destination) {
                news.wake();
            }
        }
    }

    fn is_alone(&self) -> bool {
        let couriers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        couriers.is_empty()
    }

    /// Looks whenever something changed, and every two seconds, until stopped.
    pub(super) async fn run(
        self: Arc<Self>,
        store: Store,
        clock: Arc<dyn Clock>,
        changed: Arc<News>,
        stop: CancellationToken,
    ) {
        let mut is_away = false;
        while !stop.is_cancelled() {
            let news = changed.notified();
            tokio::pin!(news);
            // From here on no wake-up is missed while the queue is being read.
            news.as_mut().enable();
            if !self.is_alone() {
                let now = clock.utc_micros();
                match store.read(move |db| queue::devices_due(db, now)).await {
                    Ok(due) => {
                        is_away = false;
                        self.wake(&due);
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) if !is_away => {
                        is_away = true;
                        tracing::error!(%error, "the queue cannot be read: devices are told later");
                    }
                    Err(_) => {}
                }
            }
            tokio::select! {
                () = tokio::time::sleep(SHORTEST_REST) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_courier_is_woken_for_its_device_alone() {
        let lookout = Lookout::default();
        let (one, other) = (lookout.news_of("line:one"), lookout.news_of("line:other"));
        let (mut one, mut other) = (Box::pin(one.notified()), Box::pin(other.notified()));
        one.as_mut().enable();
        other.as_mut().enable();
        lookout.wake(&["line:one".to_owned(), "line:nobody".to_owned()]);
        assert_eq!(futures_util::poll!(one), Poll::Ready(()));
        assert_eq!(futures_util::poll!(other), Poll::Pending);
    }
}
