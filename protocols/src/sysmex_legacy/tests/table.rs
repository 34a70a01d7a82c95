//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::framer;
use crate::{
    sysmex_legacy::{Class, Dialect, Link, notes},
    transcript::Bench,
    wire::Machine,
};

type Step = (&'static str, &'static str);

const OPEN: Step = ("open", "");
const ACK: Step = ("in", "<ACK>");
const RESULT: Step = ("in", "{D1U7}");
const ORDER: Step = ("download", "1 S1order");
const DURABLE: Step = ("durable", "");

/// How to reach each state; commits are left open.
fn states(class: Class) -> Vec<(&'static str, Vec<Step>)> {
    let mut states = vec![
        ("Disconnected", vec![]),
        ("Idle", vec![OPEN]),
        ("InFrame", vec![OPEN, ("in", "<STX>D1")]),
    ];
    match class {
        Class::A => states.push(("Idle, a text is not durable", vec![OPEN, RESULT])),
        Class::B => states.extend([
            ("WaitDisk", vec![OPEN, RESULT]),
            (
                "Idle, the store was late",
                vec![OPEN, RESULT, ("wait", "10")],
            ),
            ("WaitReply", vec![OPEN, ORDER]),
        ]),
    }
    states
}

const EVENTS: &[Step] = &[
    OPEN,
    ("close", ""),
    ("in", "<STX>"),
    ("in", "<ETX>"),
    ACK,
    ("in", "<NAK>"),
    ("in", "<CR>"),
    ("in", "?"),
    RESULT,
    ("in", "{D1U8}"),
    ("in", "{R1}"),
    ("timeout", ""),
    DURABLE,
    ("fails", ""),
    ("download", "2 S2order"),
    ("answer", "3 S3order"),
    ("withdraw", "1"),
];

fn dialect(class: Class) -> Dialect {
    Dialect {
        class,
        ..Dialect::default()
    }
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    for (class, name) in [(Class::A, "sysmex_class_a"), (Class::B, "sysmex_class_b")] {
        let mut table = String::new();
        for (state, path) in states(class) {
            writeln!(table, "{state}").expect("a string takes it");
            for event in EVENTS {
                let bench = Bench::new(Link::new(dialect(class)), framer);
                let cell = bench.cell(&path, *event);
                let event = format!("{} {}", event.0, event.1);
                writeln!(table, "  {event}\n      {cell}").expect("a string takes it");
            }
        }
        insta::assert_snapshot!(name, table);
    }
}

#[test]
fn the_paths_of_the_table_lead_to_the_states_they_name() {
    for class in [Class::A, Class::B] {
        for (state, path) in states(class) {
            let mut bench = Bench::new(Link::new(dialect(class)), framer);
            for (verb, rest) in path {
                assert!(bench.act(verb, rest), "{verb}");
            }
            let reached = bench.machine.state();
            assert!(state.starts_with(reached), "{state}: {reached}");
        }
    }
}

#[test]
fn every_note_has_a_code_of_its_own() {
    let codes: std::collections::BTreeSet<_> = notes::ALL.iter().map(|note| note.code).collect();
    assert_eq!(codes.len(), notes::ALL.len());
}
