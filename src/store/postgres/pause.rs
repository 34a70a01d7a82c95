//! How often a server that does not answer is asked again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use labwire_protocols::wire::Mono;

use crate::store::{clock::Clock, error::StoreError};

/// After the first failure …
const FIRST: Duration = Duration::from_millis(100);
/// … doubled after each further one, up to this: a peer that sends again after 10 s finds a server
/// that is back.
const LONGEST: Duration = Duration::from_secs(5);

/// In a pause whoever asks is told the last error at once, so that a peer gets its NAK in time and
/// hundreds of them do not become hundreds of connections.
#[derive(Debug)]
pub(super) struct Pause {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<Failure>>,
}

#[derive(Clone, Debug)]
struct Failure {
    error: StoreError,
    until: Mono,
    pause: Duration,
}

impl Pause {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::default(),
        }
    }

    /// The last error, while it is too early to ask again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(last) if last.until > self.clock.mono() => Err(last.error.clone()),
            _ => Ok(()),
        }
    }

    /// How connecting ended.
    pub(super) fn note(&self, error: Option<&StoreError>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.as_ref().map(|failure| failure.pause);
        *last = error.map(|error| {
            let pause = before.map_or(FIRST, |pause| (pause * 2).min(LONGEST));
            Failure {
                error: error.clone(),
                until: self.clock.mono().after(pause),
                pause,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Hand(Mutex<Mono>);

    impl Clock for Hand {
        fn mono(&self) -> Mono {
            *self.0.lock().unwrap()
        }

        fn utc_micros(&self) -> i64 {
            0
        }
    }

    #[test]
    fn a_server_that_is_away_is_asked_ever_less_often_up_to_a_bound() {
        let clock = Arc::new(Hand(Mutex::default()));
        let pause = Pause::new(Arc::<Hand>::clone(&clock));
        let mut asked = Vec::new();
        for tick in 0..300_u64 {
            if pause.check().is_ok() {
                asked.push(tick);
                pause.note(Some(&StoreError::Closed));
            }
            let now = *clock.0.lock().unwrap();
            *clock.0.lock().unwrap() = now.after(Duration::from_millis(100));
        }
        assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 113, 163, 213, 263]);
        pause.note(None);
        assert!(pause.check().is_ok());
        pause.note(Some(&StoreError::Closed));
        assert!(pause.check().is_err(), "and begins again from the first");
    }
}
