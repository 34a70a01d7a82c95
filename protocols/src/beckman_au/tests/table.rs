//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::framer;
use crate::{
    beckman_au::{Class, Dialect, Link, Model, notes},
    transcript::Bench,
    wire::Machine,
};

type Step = (&'static str, &'static str);

const BLOCK_0: &str = "{+D 00000301 00010009063962    00016    161.3        }";
const BLOCK_1: &str = "{+D 00000301 00010009063962    10017      1.0        }";
const BLOCK_E: &str = "{D 00000301 00010009063962    E0020      4.2        }";
const REQUEST: &str = "{R 00000301 00010009063962    }";
const ANSWER: &str = "1 S 000301 00010009063962    E0160<ETX>";

const OPEN: Step = ("open", "");
const ASKED: [Step; 4] = [OPEN, ("in", REQUEST), ("durable", ""), ("wait", "0.5")];

/// How to reach each state; commits are left open.
fn states() -> Vec<(&'static str, Vec<Step>)> {
    let asked = |more: &[Step]| [&ASKED[..], more].concat();
    vec![
        ("Disconnected", vec![]),
        ("Idle", vec![OPEN]),
        (
            "Idle, a request was acknowledged",
            asked(&[("wait", "0.6")]),
        ),
        (
            "Idle, an order waits for its turn",
            asked(&[("answer", ANSWER)]),
        ),
        ("InBlock", vec![OPEN, ("in", "<STX>D 0000")]),
        (
            "InBlock, its check missing",
            vec![OPEN, ("in", "<STX>DE00<ETX>")],
        ),
        ("WaitDisk", vec![OPEN, ("in", BLOCK_0)]),
        ("WaitDisk, a whole text", vec![OPEN, ("in", BLOCK_E)]),
        (
            "WaitTurn, for ACK",
            vec![OPEN, ("in", BLOCK_E), ("durable", "")],
        ),
        (
            "WaitTurn, for NAK",
            vec![OPEN, ("in", BLOCK_E), ("fails", "")],
        ),
        (
            "WaitBlock",
            vec![OPEN, ("in", BLOCK_0), ("durable", ""), ("wait", "0.5")],
        ),
        (
            "WaitBlock, the store was late",
            vec![OPEN, ("in", BLOCK_0), ("wait", "2")],
        ),
        ("WaitReply", asked(&[("answer", ANSWER), ("wait", "0.5")])),
        (
            "WaitTurn, to send again",
            asked(&[("answer", ANSWER), ("wait", "0.5"), ("in", "<NAK>")]),
        ),
    ]
}

const EVENTS: &[Step] = &[
    ("open", ""),
    ("close", ""),
    ("in", "<STX>"),
    ("in", "<ETX>"),
    ("in", "<ETB>"),
    ("in", "<ACK>"),
    ("in", "<NAK>"),
    ("in", "<ENQ>"),
    ("in", "<EOT>"),
    ("in", "?"),
    ("in", "<CR>"),
    ("in", BLOCK_0),
    ("in", BLOCK_1),
    ("in", BLOCK_E),
    ("in", REQUEST),
    (
        "in",
        "<STX>D 00000301 00010009063962    E0020      4.2        <ETX><00>",
    ),
    ("timeout", ""),
    ("durable", ""),
    ("fails", ""),
    ("answer", ANSWER),
    ("download", "2 RB00<ETX>"),
    ("withdraw", "1"),
];

fn table(dialect: &Dialect) -> String {
    let mut table = String::new();
    for (state, path) in states() {
        writeln!(table, "{state}").expect("a string takes it");
        for event in EVENTS {
            let bench = Bench::new(Link::new(dialect.clone()), framer);
            let cell = bench.cell(&path, *event);
            let event = format!("{} {}", event.0, event.1);
            writeln!(table, "  {event}\n      {cell}").expect("a string takes it");
        }
    }
    table
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    insta::assert_snapshot!("au_class_b", table(&Dialect::host(Model::Au5800)));
}

#[test]
fn every_state_of_class_a_answers_every_event_as_the_table_says() {
    let dialect = Dialect {
        class: Class::A,
        ..Dialect::host(Model::Au5800)
    };
    insta::assert_snapshot!("au_class_a", table(&dialect));
}

#[test]
fn the_paths_of_the_table_lead_to_the_states_they_name() {
    for (state, path) in states() {
        let mut bench = Bench::new(Link::new(Dialect::host(Model::Au5800)), framer);
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
