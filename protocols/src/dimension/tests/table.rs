//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::framer;
use crate::{
    dimension::{Dialect, Link, notes},
    transcript::Bench,
    wire::Machine,
};

type Step = (&'static str, &'static str);

const OPEN: Step = ("open", "");
const POLL: Step = ("in", "{P|DIM1|0|1|0}");
const QUERY: Step = ("in", "{I|7}");
const RESULT: Step = ("in", "{R|0|A|7|1||0|433910270718|1|1|1|NA|139|mmol/L|}");
const ORDER: Step = (
    "download",
    "1 D<FS>0<FS>0<FS>A<FS>A<FS>7<FS>1<FS><FS>0<FS>1<FS>**<FS>1<FS>1<FS>NA<FS>",
);
const ANSWER: Step = (
    "answer",
    "2 D<FS>0<FS>0<FS>A<FS>A<FS>7<FS>1<FS><FS>0<FS>1<FS>**<FS>1<FS>1<FS>NA<FS>",
);
const DURABLE: Step = ("durable", "");
const TURN: Step = ("wait", "0.02");
const ACK: Step = ("in", "<ACK>");

/// How to reach each state; commits are left open.
fn states() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("Disconnected", vec![]),
        ("Idle", vec![OPEN]),
        ("Idle, an order waits", vec![OPEN, ORDER]),
        ("InFrame", vec![OPEN, ("in", "<STX>R<FS>0")]),
        ("WaitDisk, a result", vec![OPEN, RESULT]),
        ("WaitDisk, a query", vec![OPEN, QUERY]),
        (
            "Idle, the store was late",
            vec![OPEN, RESULT, ("wait", "5")],
        ),
        ("WaitAnswer", vec![OPEN, QUERY, DURABLE]),
        ("WaitTurn, for N", vec![OPEN, POLL]),
        ("WaitTurn, for M", vec![OPEN, RESULT, DURABLE]),
        ("WaitReply, after N", vec![OPEN, POLL, TURN]),
        ("WaitReply, after an order", vec![OPEN, ORDER, POLL, TURN]),
        ("WaitReply, after M", vec![OPEN, RESULT, DURABLE, TURN]),
        ("WaitAcceptance", vec![OPEN, ORDER, POLL, TURN, ACK]),
    ]
}

const EVENTS: &[Step] = &[
    OPEN,
    ("close", ""),
    ("in", "<STX>"),
    ("in", "<ETX>"),
    ACK,
    ("in", "<NAK>"),
    ("in", "<ENQ>"),
    ("in", "<EOT>"),
    ("in", "?"),
    POLL,
    QUERY,
    RESULT,
    ("in", "{M|A|}"),
    ("in", "{N}"),
    ("in", "{X|1}"),
    ("in", "<STX>N<FS>00<ETX>"),
    ("timeout", ""),
    DURABLE,
    ("fails", ""),
    ORDER,
    ANSWER,
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
    insta::assert_snapshot!("dimension_host", table);
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
