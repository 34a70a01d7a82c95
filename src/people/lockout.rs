//! Who guesses passwords has to wait: by name, and by address.
//!
//! What is remembered is bounded, lives in memory, and is gone with the process: a restart is no way
//! in for somebody who cannot restart it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

const MINUTE: i64 = 60 * 1_000_000;

/// Failures of one name until it has to wait.
const OF_NAME_MAX: u32 = 5;
/// Failures from one address: several benches may share one, so it may fail more often.
const OF_ADDRESS_MAX: u32 = 50;
/// How long a failure counts, and how long somebody waits.
const WINDOW: i64 = 5 * MINUTE;
/// Names and addresses remembered, some 100 bytes each.
const REMEMBERED_MAX: usize = 4_096;

/// Too many failures; the wait in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Seconds until the next try.
    pub wait_s: i64,
}

/// Failures that count.
#[derive(Debug, Default)]
pub struct Lockout {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: i64,
}

impl Lockout {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        // Plain numbers: nothing can be half written.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody of that name and address may try now, microseconds UTC. The try counts as a
    /// failure until [`Lockout::succeeded`]: tries at once are no more than tries one by one. True for
    /// the last one before the name has to wait.
    ///
    /// # Errors
    /// They have to wait.
    pub fn begin(&self, login: &str, address: &str, now: i64) -> Result<bool, Locked> {
        let mut failures = self.lock();
        for key in [of_name(login), of_address(address)] {
            if let Some(known) = failures.get_mut(&key) {
                // The clock was set back: nobody waits until it has come there again.
                known.last = known.last.min(now);
            }
        }
        let wait = |key: String, max: u32| {
            let known = failures.get(&key)?;
            let left = known.last.saturating_add(WINDOW).saturating_sub(now);
            (known.count >= max && left > 0).then_some(left)
        };
        let waits = [
            wait(of_name(login), OF_NAME_MAX),
            wait(of_address(address), OF_ADDRESS_MAX),
        ];
        if let Some(left) = waits.into_iter().flatten().max() {
            return Err(Locked {
                wait_s: left / 1_000_000 + 1,
            });
        }
        note(&mut failures, of_address(address), now);
        Ok(note(&mut failures, of_name(login), now) == OF_NAME_MAX)
    }

    /// The try was none: what counted against the name is forgotten, and this try against the address.
    pub fn succeeded(&self, login: &str, address: &str) {
        let mut failures = self.lock();
        failures.remove(&of_name(login));
        if let Some(known) = failures.get_mut(&of_address(address)) {
            known.count = known.count.saturating_sub(1);
        }
    }

    /// How many names and addresses are remembered.
    pub fn remembered(&self) -> usize {
        self.lock().len()
    }
}

fn note(failures: &mut HashMap<String, Failures>, key: String, now: i64) -> u32 {
    if !failures.contains_key(&key) && failures.len() >= REMEMBERED_MAX {
        failures.retain(|_, known| now.saturating_sub(known.last) <= WINDOW);
        if failures.len() >= REMEMBERED_MAX {
            forget_least(failures);
        }
    }
    let known = failures.entry(key).or_insert(Failures {
        count: 0,
        last: now,
    });
    if now.saturating_sub(known.last) > WINDOW {
        known.count = 0;
    }
    known.count = known.count.saturating_add(1);
    known.last = now;
    known.count
}

/// Makes room where an attacker tries many names: those with one failure go first, so that nobody
/// who waits is forgotten for them.
fn forget_least(failures: &mut HashMap<String, Failures>) {
    let least = failures
        .iter()
        .min_by_key(|(_, known)| (known.count, known.last))
        .map(|(key, _)| key.clone());
    if let Some(key) = least {
        failures.remove(&key);
    }
}

fn of_name(login: &str) -> String {
    // Longer names do not exist; a long one must not cost memory.
    let short: String = login.chars().take(40).collect();
    format!("name {short}")
}

fn of_address(address: &str) -> String {
    format!("address {address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_after_five_failures_and_may_try_again_after_five_minutes() {
        let lockout = Lockout::default();
        for n in 0..4 {
            assert_eq!(lockout.begin("lan", "10.0.0.1", n), Ok(false));
        }
        assert_eq!(lockout.begin("lan", "10.0.0.2", 10), Ok(true));
        assert_eq!(
            lockout.begin("lan", "10.0.0.3", 10),
            Err(Locked { wait_s: 301 })
        );
        assert_eq!(lockout.begin("minh", "10.0.0.1", 10), Ok(false));
        assert_eq!(lockout.begin("lan", "10.0.0.2", 11 + WINDOW), Ok(false));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let lockout = Lockout::default();
        let hour = 60 * MINUTE;
        for _ in 0..OF_NAME_MAX {
            assert!(lockout.begin("lan", "10.0.0.1", hour).is_ok());
        }
        let refused = lockout.begin("lan", "10.0.0.1", 0);
        assert_eq!(refused, Err(Locked { wait_s: 301 }));
        assert_eq!(lockout.begin("lan", "10.0.0.1", WINDOW + 1), Ok(false));
    }

    #[test]
    fn an_address_waits_after_fifty_failures_of_any_name() {
        let lockout = Lockout::default();
        for n in 0..50 {
            assert!(lockout.begin(&format!("name{n}"), "10.0.0.1", 5).is_ok());
        }
        assert!(lockout.begin("lan", "10.0.0.1", 6).is_err());
        assert_eq!(lockout.begin("lan", "10.0.0.2", 6), Ok(false));
    }

    #[test]
    fn who_logs_in_was_no_failure() {
        let lockout = Lockout::default();
        for n in 0..200 {
            assert_eq!(lockout.begin("lan", "10.0.0.1", n), Ok(false));
            lockout.succeeded("lan", "10.0.0.1");
        }
    }

    #[test]
    fn ten_thousand_names_cost_bounded_memory_and_free_nobody_who_waits() {
        let lockout = Lockout::default();
        for _ in 0..OF_NAME_MAX {
            assert!(lockout.begin("lan", "10.0.0.9", 1).is_ok());
        }
        for n in 0..10_000 {
            let address = format!("10.1.{}.{}", n / 250, n % 250);
            assert!(lockout.begin(&format!("name{n}"), &address, 2).is_ok());
        }
        assert!(lockout.remembered() <= REMEMBERED_MAX);
        assert!(lockout.begin("lan", "10.0.0.3", 3).is_err());
    }
}
