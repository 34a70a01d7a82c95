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

    /// Whether somebody of that name and address may try now, microseconds UTC.
    ///
    /// # Errors
    /// They have to wait.
    pub fn may_try(&self, login: &str, address: &str, now: i64) -> Result<(), Locked> {
        let failures = self.lock();
        let wait = |key: String, max: u32| {
            let known = failures.get(&key)?;
            let left = known.last.saturating_add(WINDOW).saturating_sub(now);
            (known.count >= max && left > 0).then_some(left)
        };
        let waits = [
            wait(of_name(login), OF_NAME_MAX),
            wait(of_address(address), OF_ADDRESS_MAX),
        ];
        match waits.into_iter().flatten().max() {
            Some(left) => Err(Locked {
                wait_s: left / 1_000_000 + 1,
            }),
            None => Ok(()),
        }
    }

    /// Notes a failure; true when it is the one that makes the name wait.
    pub fn failed(&self, login: &str, address: &str, now: i64) -> bool {
        let mut failures = self.lock();
        note(&mut failures, of_address(address), now);
        note(&mut failures, of_name(login), now) == OF_NAME_MAX
    }

    /// Somebody logged in: their failures are forgotten, those of the address are not.
    pub fn succeeded(&self, login: &str) {
        self.lock().remove(&of_name(login));
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
            assert!(!lockout.failed("lan", "10.0.0.1", n));
        }
        assert_eq!(lockout.may_try("lan", "10.0.0.2", 10), Ok(()));
        assert!(lockout.failed("lan", "10.0.0.1", 10));
        assert_eq!(
            lockout.may_try("lan", "10.0.0.2", 10),
            Err(Locked { wait_s: 301 })
        );
        assert_eq!(lockout.may_try("minh", "10.0.0.1", 10), Ok(()));
        assert_eq!(lockout.may_try("lan", "10.0.0.1", 10 + WINDOW), Ok(()));
    }

    #[test]
    fn an_address_waits_after_fifty_failures_of_any_name() {
        let lockout = Lockout::default();
        for n in 0..50 {
            lockout.failed(&format!("name{n}"), "10.0.0.1", 5);
        }
        assert!(lockout.may_try("lan", "10.0.0.1", 6).is_err());
        assert_eq!(lockout.may_try("lan", "10.0.0.2", 6), Ok(()));
    }

    #[test]
    fn ten_thousand_names_cost_bounded_memory_and_free_nobody_who_waits() {
        let lockout = Lockout::default();
        for _ in 0..OF_NAME_MAX {
            lockout.failed("lan", "10.0.0.9", 1);
        }
        for n in 0..10_000 {
            lockout.failed(
                &format!("name{n}"),
                &format!("10.1.{}.{}", n / 250, n % 250),
                2,
            );
        }
        assert!(lockout.remembered() <= REMEMBERED_MAX);
        assert!(lockout.may_try("lan", "10.0.0.3", 3).is_err());
    }
}
