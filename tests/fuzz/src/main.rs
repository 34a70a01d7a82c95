//! The targets under libFuzzer: `LABWIRE_FUZZ` names one, or several apart by commas; then the first
//! byte of an input chooses.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[cfg(feature = "bridge")]
#[path = "targets/bridge/mod.rs"]
mod bridge;
mod targets;

/// A function of bytes that panics where something does not hold.
type Function = fn(&[u8]);

static CHOSEN: OnceLock<Vec<Function>> = OnceLock::new();

fn known() -> impl Iterator<Item = &'static targets::Target> {
    let all = targets::wires::TARGETS.iter();
    #[cfg(feature = "bridge")]
    let all = all.chain(bridge::TARGETS);
    all
}

fn chosen() -> Vec<Function> {
    let names = std::env::var("LABWIRE_FUZZ").unwrap_or_default();
    let find = |name: &str| {
        known()
            .find(|(known, ..)| *known == name)
            .map(|(_, run, _)| *run)
    };
    let found: Vec<_> = names.split(',').filter_map(find).collect();
    if found.is_empty() || found.len() != names.split(',').count() {
        for (name, _, invariant) in known() {
            eprintln!("{name}: {invariant}");
        }
        eprintln!("LABWIRE_FUZZ={names} names none of them, or more");
        std::process::exit(2);
    }
    found
}

fuzz_target!(init: { CHOSEN.get_or_init(chosen); }, |data: &[u8]| {
    let chosen = CHOSEN.get_or_init(chosen);
    match (chosen.as_slice(), data.split_first()) {
        ([one], _) => one(data),
        (many, Some((first, rest))) => many[usize::from(*first) % many.len()](rest),
        (_, None) => {}
    }
});
