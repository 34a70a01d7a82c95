//! The whole bridge from a seed: protocol machines, sessions, parser, journal, queue and couriers, as
//! they are, on one thread and in a time of their own.
//!
//! What is around them is made here: the wires ([`network`]), the disk and the death of the process
//! ([`fate`]), the hospital ([`hospital`], devices and HIS of `labwire-sims`), a second process that
//! leases and is slow ([`colleague`]). Whoever checks reads along on the wires and looks into the
//! store at every step ([`tap`], [`checks`]); at the end everything is at rest and accounted for
//! ([`account`]). A seed says everything: the same seed is the same run, to the microsecond.
//!
//! The store takes its steps by hand (`store::by_hand`), the parser's workers are tasks; both are the
//! code of every day otherwise. A process dies at a step of its disk or at an instant: from there on
//! nothing of it reaches a wire or the disk, and another begins over what is committed.

mod account;
mod checks;
mod clock;
mod colleague;
mod conveyor;
mod fate;
mod hospital;
mod network;
mod run;
mod scribe;
mod tap;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use self::{run::run, scribe::Told};

/// Seeds of an ordinary run of the tests,
const SEEDS: u64 = 60;
/// and of one that `.ci/run` makes.
const SEEDS_OF_CI: u64 = 300;
/// What has to have happened often in as many seeds: a simulation of nothing breaks no promise.
const TRIED: [&str; 14] = [
    "ACK",
    "reply",
    "HIS",
    "HIS says",
    "disk",
    "process",
    "wire",
    "merge",
    "cancel",
    "again",
    "colleague",
    "on the line",
    "line",
    "command",
];
/// Failures that are told in full.
const TOLD_MAX: usize = 3;

/// What one seed came to, for a person who has to find out why.
fn shown(seed: u64, told: &Told) -> String {
    let mut text = format!("seed {seed} (LABWIRE_SEED={seed} repeats it):\n");
    for finding in &told.findings {
        text.push_str(&format!("  {finding}\n"));
    }
    text.push_str("what had happened when the first was found:\n");
    for line in &told.before {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Counts of everything that happened, for a person who wonders what was tried.
type Sums = BTreeMap<&'static str, u64>;

fn of_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_a_promise() {
    let is_ci = std::env::var_os("CI").is_some();
    let seeds = if is_ci { SEEDS_OF_CI } else { SEEDS };
    let (first, count) = match of_environment("LABWIRE_SEED") {
        Some(seed) => (seed, 1),
        None => (
            of_environment("LABWIRE_FIRST_SEED").unwrap_or(1),
            of_environment("LABWIRE_SEEDS").unwrap_or(seeds),
        ),
    };
    // Whoever looks for one rule is not content with others, and with one finding of it.
    let wanted = std::env::var("LABWIRE_RULE").unwrap_or_default();
    let told_max = if wanted.is_empty() { TOLD_MAX } else { 1 };
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<String>> = Mutex::default();
    let sums: Mutex<Sums> = Mutex::default();
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = {
                        let failed = failed.lock().expect("no panic");
                        failed.iter().filter(|told| told.contains(&wanted)).count() >= told_max
                    };
                    if seed >= first + count || is_enough {
                        return;
                    }
                    let told = run(seed);
                    if !told.findings.is_empty() {
                        let told = shown(seed, &told);
                        eprintln!("{told}");
                        failed.lock().expect("no panic").push(told);
                    }
                    let mut sums = sums.lock().expect("no panic");
                    for (kind, count) in told.counts {
                        *sums.entry(kind).or_default() += count;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(
        failed.is_empty(),
        "{} seeds failed: {}",
        failed.len(),
        failed.join("\n")
    );
    let sums = sums.into_inner().expect("no panic");
    // Shown by the test runner where it is asked to show what passes.
    eprintln!("{count} seeds: {sums:?}");
    if count >= SEEDS {
        for kind in TRIED {
            let count = sums.get(kind).copied().unwrap_or(0);
            assert!(
                count > 10,
                "hardly tried: {kind}, {count} times in {sums:?}"
            );
        }
    }
}

#[test]
fn a_seed_repeats_itself_to_the_microsecond() {
    for seed in [3, 4, 5] {
        let (one, other) = (run(seed), run(seed));
        let first = one
            .last
            .iter()
            .zip(&other.last)
            .find(|(one, other)| one != other);
        assert_eq!(one.hash, other.hash, "seed {seed}: {first:?}");
        assert_eq!(one, other, "seed {seed}");
    }
}
