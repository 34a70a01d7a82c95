//! The targets of the fuzzer as tests: over the corpus that is committed, over captures where they
//! stand beside the project, and over operations and damage that proptest thinks of.
#![expect(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a panic is how a test fails, and what a target does not look at is many things"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

#[path = "src/targets/bridge/mod.rs"]
mod bridge;
#[path = "src/targets/mod.rs"]
mod targets;

use targets::Target;

/// Cases of proptest a target: what has to be quick is the test, what takes long is the fuzzer.
const CASES: u32 = 48;
/// The same for targets whose every case is a transaction or reads files.
const CASES_SLOW: u32 = 12;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn all() -> impl Iterator<Item = &'static Target> {
    targets::wires::TARGETS.iter().chain(bridge::TARGETS)
}

fn target(name: &str) -> fn(&[u8]) {
    let found = all().find(|(known, ..)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is no target")).1
}

/// The inputs of a target, a line of hexadecimal digits each; `#` begins a comment.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let path = folder().join(format!("corpus/{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| bytes_of(name, line)).collect()
}

fn bytes_of(name: &str, line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(digits, 16).ok()
    });
    let bytes: Option<Vec<u8>> = digits.collect();
    bytes.unwrap_or_else(|| panic!("{name}: no hexadecimal digits: {line}"))
}

#[test]
fn every_target_holds_over_its_corpus() {
    for (name, run, _) in all() {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has a corpus");
        run(&[]);
        for input in inputs {
            run(&input);
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    for entry in fs::read_dir(folder().join("corpus")).expect("the corpus is there") {
        let path = entry.expect("a folder of this project is readable").path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        assert!(
            all().any(|(known, ..)| *known == name),
            "{name} is no target"
        );
    }
}

#[test]
fn captures_beside_the_project_are_survived() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    let mut folders = vec![captures];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let part = bytes.get(..20_000).unwrap_or(&bytes);
                for name in ["astm_deframe", "astm_records", "hl7_message"] {
                    target(name)(part);
                }
                for name in ["astm_link", "mllp_endpoint"] {
                    target(name)(&operations(&[0; 4], part));
                }
            }
        }
    }
}

/// A stream as operations on a machine: pieces, and a store that answers.
fn operations(configuration: &[u8], stream: &[u8]) -> Vec<u8> {
    let mut out = configuration.to_vec();
    for piece in stream.chunks(120) {
        let length = u8::try_from(piece.len()).expect("a piece is short");
        out.extend([0, length]);
        out.extend(piece);
        out.extend([9, 0]);
    }
    out
}

const MACHINES: [&str; 7] = [
    "astm_link",
    "mllp_endpoint",
    "beckman_link",
    "dimension_link",
    "poct1a_link",
    "bci_link",
    "sysmex_link",
];

/// One operation as `wires/machine.rs` reads it, with the arguments that it has.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..24);
    let with_bytes = |tag: u8| {
        move |bytes: Vec<u8>| {
            let length = u8::try_from(bytes.len()).expect("it is short");
            [vec![tag, length], bytes].concat()
        }
    };
    prop_oneof![
        2 => bytes.clone().prop_map(with_bytes(0)),
        8 => any::<u8>().prop_map(|piece| vec![2, piece]),
        2 => bytes.prop_map(with_bytes(5)),
        2 => prop::sample::select(vec![2_u8, 3, 4, 5, 6, 13, 21, 23]).prop_map(|mark| vec![6, mark]),
        3 => (0..130_u8, any::<u8>()).prop_map(|(high, low)| vec![7, high, low]),
        2 => Just(vec![8]),
        5 => (0..3_u8).prop_map(|back| vec![9, back]),
        1 => (0..3_u8).prop_map(|back| vec![11, back]),
        3 => any::<[u8; 2]>().prop_map(|[how, payload]| vec![12, how, payload]),
        1 => (0..3_u8).prop_map(|back| vec![13, back]),
        1 => Just(vec![14]),
        1 => Just(vec![15]),
    ]
}

/// An operation on the queue, as `bridge/queues.rs` reads it.
fn step() -> impl Strategy<Value = Vec<u8>> {
    (0..12_u8, prop::collection::vec(any::<u8>(), 5..7))
        .prop_map(|(tag, rest)| [vec![tag], rest].concat())
}

fn quiet(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(quiet(CASES))]

    #[test]
    fn every_machine_holds_whatever_is_done_to_it(
        configuration in any::<[u8; 4]>(),
        steps in prop::collection::vec(operation(), 0..80),
    ) {
        for name in MACHINES {
            target(name)(&[configuration.to_vec(), steps.concat()].concat());
        }
    }
}

proptest! {
    #![proptest_config(quiet(CASES_SLOW))]

    #[test]
    fn the_queue_holds_whatever_is_done_to_it(steps in prop::collection::vec(step(), 0..40)) {
        target("queue")(&steps.concat());
    }

    #[test]
    fn every_reader_holds_over_damaged_inputs(
        at in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        for (name, run, _) in all().filter(|(name, ..)| !MACHINES.contains(name)) {
            let inputs = corpus(name);
            let mut input = inputs[at.index(inputs.len())].clone();
            for (place, byte) in &changes {
                if !input.is_empty() {
                    let place = place.index(input.len());
                    input[place] = *byte;
                }
            }
            run(&input);
            input.truncate(cut.index(input.len() + 1));
            run(&input);
        }
    }
}
