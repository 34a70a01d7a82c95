//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::{continuous, framer};
use crate::{
    poct1a::{Link, notes},
    transcript::Bench,
    wire::Machine,
};

type Step = (&'static str, &'static str);

const OPEN: Step = ("open", "");
const HELLO: Step = ("in", "{hel 1}");
const DURABLE: Step = ("durable", "");
const STATUS: Step = ("in", "{dst 2 0 0}");
const NEWS: Step = ("in", "{dst 2 1 1}");
const DOWNLOAD: Step = ("download", "1 {dtv own LOCK}");

/// How to reach each state; commits are left open.
fn states() -> Vec<(&'static str, Vec<Step>)> {
    let introduced = vec![OPEN, HELLO, DURABLE];
    let then = |more: &[Step]| [introduced.as_slice(), more].concat();
    let continuous = then(&[STATUS, ("in", "{ack 3 3}")]);
    vec![
        ("Disconnected", vec![]),
        ("WaitHello", vec![OPEN]),
        ("WaitHello, a message waits", vec![OPEN, DOWNLOAD]),
        ("InMessage", vec![OPEN, ("in", "<HEL.R01><HDR>")]),
        ("WaitDisk, a hello", vec![OPEN, HELLO]),
        ("Introduced", introduced.clone()),
        ("WaitReply, asked for observations", then(&[NEWS])),
        ("Observations", then(&[NEWS, ("in", "{ack 3 3}")])),
        (
            "WaitReply, asked for events",
            then(&[NEWS, ("in", "{ack 3 3}"), ("in", "{eot 4 OBS}")]),
        ),
        (
            "Events",
            then(&[NEWS, ("in", "{eot 4 OBS}"), ("in", "{ack 5 5}")]),
        ),
        ("WaitReply, asked to go on", then(&[STATUS])),
        (
            "WaitReply, asked to end",
            then(&[STATUS, ("in", "{nack 3 3}")]),
        ),
        ("Continuous", continuous.clone()),
        (
            "WaitDisk, an observation",
            [continuous.as_slice(), &[("in", "{obs 5}")]].concat(),
        ),
        (
            "WaitReply, a message of the owner",
            [continuous.as_slice(), &[DOWNLOAD]].concat(),
        ),
        (
            "WaitAnswer",
            [continuous.as_slice(), &[("in", "{rpat 5}"), DURABLE]].concat(),
        ),
        ("Ended", then(&[("in", "{end 2}")])),
    ]
}

const EVENTS: &[Step] = &[
    OPEN,
    ("close", ""),
    ("in", "<"),
    ("in", "?"),
    HELLO,
    NEWS,
    ("in", "{obs 5}"),
    ("in", "{evs 6}"),
    ("in", "{eot 7 OBS}"),
    ("in", "{rpat 8}"),
    ("in", "{kpa 9}"),
    ("in", "{end 10}"),
    ("in", "{ack 11 3}"),
    ("in", "{nack 12 3}"),
    ("in", "{esc 13 3}"),
    ("in", "{new 14}"),
    (
        "in",
        "<OBS.R01><HDR><HDR.control_id V=\"15\"/></HDR></A></OBS.R01>",
    ),
    ("timeout", ""),
    DURABLE,
    ("fails", ""),
    DOWNLOAD,
    ("answer", "2 {ptl own}"),
    ("withdraw", "1"),
];

/// Messages in few words: what is the same everywhere is left out.
fn short(cell: &str) -> String {
    let mut cell = cell
        .replace(super::DEVICE, "…")
        .replace(super::PATIENT, "…");
    cell = cell.replace(super::EVENT, "…");
    let version = format!(
        "<HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"{}\"/>",
        super::TIME
    );
    cell.replace(&version, "…")
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for (state, path) in states() {
        writeln!(table, "{state}").expect("a string takes it");
        for event in EVENTS {
            let bench = Bench::new(Link::new(continuous()), framer);
            let cell = short(&bench.cell(&path, *event));
            let event = format!("{} {}", event.0, event.1);
            writeln!(table, "  {event}\n      {cell}").expect("a string takes it");
        }
    }
    insta::assert_snapshot!("poct1a_host", table);
}

#[test]
fn the_paths_of_the_table_lead_to_the_states_they_name() {
    for (state, path) in states() {
        let mut bench = Bench::new(Link::new(continuous()), framer);
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
