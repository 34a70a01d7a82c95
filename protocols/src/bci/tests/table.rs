//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::framer;
use crate::{
    bci::{Dialect, Link, notes},
    transcript::Bench,
    wire::Machine,
};

type Step = (&'static str, &'static str);

const OPEN: Step = ("open", "");
const ENQ: Step = ("in", "<ENQ>");
const ACK: Step = ("in", "<ACK>");
const RESULT: Step = ("in", "{mtrsl|ci7|}");
const ORDER: Step = ("download", "1 <1E>mtmpr|<1E>ci7|");
const DURABLE: Step = ("durable", "");

/// How to reach each state; commits are left open.
fn states() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("Disconnected", vec![]),
        ("Idle", vec![OPEN]),
        ("Idle, held", vec![OPEN, ORDER, ("in", "<NAK>")]),
        ("Listening", vec![OPEN, ENQ]),
        ("Listening, an order waits", vec![OPEN, ENQ, ORDER]),
        ("InFrame", vec![OPEN, ENQ, ("in", "<STX><1E>mt")]),
        ("WaitDisk", vec![OPEN, ENQ, RESULT]),
        (
            "Listening, the store was late",
            vec![OPEN, ENQ, RESULT, ("wait", "10")],
        ),
        ("Asking", vec![OPEN, ORDER]),
        ("Granted", vec![OPEN, ORDER, ACK]),
        ("WaitReply", vec![OPEN, ORDER, ACK, ("wait", "0.02")]),
    ]
}

const EVENTS: &[Step] = &[
    OPEN,
    ("close", ""),
    ENQ,
    ACK,
    ("in", "<NAK>"),
    ("in", "<EOT>"),
    ("in", "<STX>"),
    ("in", "<ETX>"),
    ("in", "<CR>"),
    ("in", "?"),
    RESULT,
    ("in", "{mtrsl|ci8|}"),
    ("in", "<STX><1E>mtrsl|<1D>00<ETX>"),
    ("timeout", ""),
    DURABLE,
    ("fails", ""),
    ("download", "2 <1E>mtmpr|<1E>ci8|"),
    ("answer", "3 <1E>mtmpr|<1E>ci9|"),
    ("withdraw", "1"),
];

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for (state, path) in states() {
        writeln!(table, "{state}").expect("a string takes it");
        for event in EVENTS {
            let bench = Bench::new(Link::new(Dialect::default()), framer);
            let cell = bench.cell(&path, *event);
            let event = format!("{} {}", event.0, event.1);
            writeln!(table, "  {event}\n      {cell}").expect("a string takes it");
        }
    }
    insta::assert_snapshot!("bci_host", table);
}

#[test]
fn the_paths_of_the_table_lead_to_the_states_they_name() {
    for (state, path) in states() {
        let mut bench = Bench::new(Link::new(Dialect::default()), framer);
        for (verb, rest) in path {
            assert!(bench.act(verb, rest), "{verb}");
        }
        let reached = bench.machine.state();
        assert!(state.starts_with(reached), "{state}: {reached}");
    }
}

#[test]
fn every_note_has_a_code_of_its_own() {
    let codes: std::collections::BTreeSet<_> = notes::ALL.iter().map(|note| note.code).collect();
    assert_eq!(codes.len(), notes::ALL.len());
}
