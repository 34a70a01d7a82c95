//! Every state met by every event, frozen: a changed cell shows in review.

use std::fmt::Write as _;

use super::harness::{Bench, described, shown, wire};
use crate::{
    astm::link::Dialect,
    wire::{Commit, CommitId, Input, Machine, OutId, Outgoing, OutgoingKind},
};

const ORDER: &str = r"H|\^&<CR>L|1<CR>";

/// How to reach each state; `!` sends an order, the rest are bytes. Commits are left open.
const STATES: &[(&str, &str)] = &[
    ("Disconnected", ""),
    ("Neutral", "open"),
    ("LineBid", "open !"),
    ("WaitReply, a frame follows", "open ! <ACK>"),
    ("WaitReply, the last frame", "open ! <ACK> <ACK>"),
    ("WaitFrame, no frame yet", "open <ENQ>"),
    (
        "WaitFrame, a message open",
        r"open <ENQ> {1:H|\^&<CR>} durable",
    ),
    (
        "WaitFrame, after L",
        r"open <ENQ> {1:H|\^&<CR>L|1<CR>} durable",
    ),
    (
        "WaitFrame, commit refused in time",
        r"open <ENQ> {1:H|\^&<CR>} timeout",
    ),
    ("InFrame", r"open <ENQ> <STX>1H|\^&"),
    (
        "InFrame, checksum missing",
        r"open <ENQ> <STX>1H|\^&<CR><ETX>",
    ),
    ("WaitDisk", r"open <ENQ> {1:H|\^&<CR>}"),
    (
        "WaitDisk, a frame waits",
        r"open <ENQ> {1:H|\^&<CR>}{2:L|1<CR>}",
    ),
];

const EVENTS: &[&str] = &[
    "open",
    "close",
    "<ENQ>",
    "<ACK>",
    "<NAK>",
    "<EOT>",
    "<STX>",
    "<ETX>",
    "?",
    "<FF>",
    "<CR>",
    "<LF>",
    r"{1:H|\^&<CR>}",
    r"{1:X|<CR>}",
    "{2:P|1<CR>}",
    "{3:P|1<CR>}",
    r"<STX>1H|\^&<CR><ETX>00",
    "<EOT><ENQ>",
    "<ACK><ENQ>",
    "timeout",
    "durable",
    "fails",
    "!",
    "withdraw",
];

fn apply(bench: &mut Bench, event: &str) {
    let id = bench.commits.last().map_or(CommitId(99), |(id, _)| *id);
    match event {
        "open" => bench.handle(Input::Opened),
        "close" => bench.handle(Input::Closed),
        "durable" => bench.handle(Input::Committed(id, None)),
        "fails" => bench.handle(Input::CommitFailed(id, None)),
        "withdraw" => bench.handle(Input::Withdraw(OutId(1))),
        "timeout" => {
            if let Some((at, _)) = bench.link.deadline() {
                bench.now = bench.now.max(at);
            }
            bench.handle(Input::Deadline);
        }
        "!" => {
            let payload = wire(ORDER).into();
            let id = OutId(u64::from(bench.link.deadline().is_some()) + 1);
            let kind = OutgoingKind::Download;
            let outgoing = Outgoing {
                payload,
                kind,
                expires_after: None,
            };
            bench.handle(Input::Send(id, outgoing));
        }
        bytes => {
            bench.now = bench.now.after(std::time::Duration::from_micros(1));
            bench.handle(Input::Bytes(&wire(bytes)));
        }
    }
}

fn cell(path: &str, event: &str) -> String {
    let mut bench = Bench::new(Dialect::default());
    path.split_whitespace()
        .for_each(|step| apply(&mut bench, step));
    bench.outputs.clear();
    bench.notes.clear();
    let before = bench.now;
    apply(&mut bench, event);
    let mut said: Vec<String> = Vec::new();
    while let Some(output) = bench.outputs.pop_front() {
        said.push(described(Some(output)));
    }
    said.extend(bench.notes.iter().map(|code| (*code).to_owned()));
    let timer = match bench.link.deadline() {
        Some((at, timer)) => format!("{timer:?} {}s", at.since(bench.now).as_secs_f64().round()),
        None => "-".to_owned(),
    };
    let waited = bench.now.since(before).as_secs_f64().round();
    let waited = if waited > 0.0 {
        format!("after {waited}s ")
    } else {
        String::new()
    };
    let said = if said.is_empty() {
        "nothing".to_owned()
    } else {
        said.join(", ")
    };
    format!("{waited}{said} -> {} [{timer}]", bench.link.state())
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let mut table = String::new();
    for (state, path) in STATES {
        writeln!(table, "{state}").expect("a string takes it");
        for event in EVENTS {
            let event_shown = if *event == "!" { "send" } else { event };
            writeln!(table, "  {event_shown:24} {}", cell(path, event)).expect("a string takes it");
        }
    }
    insta::assert_snapshot!("state_table", table);
}

#[test]
fn the_paths_of_the_table_lead_to_the_states_they_name() {
    for (state, path) in STATES {
        let mut bench = Bench::new(Dialect::default());
        path.split_whitespace()
            .for_each(|step| apply(&mut bench, step));
        assert!(
            state.starts_with(bench.link.state()),
            "{state}: {}",
            bench.link.state()
        );
    }
}

#[test]
fn a_frame_row_carries_the_text_as_sent() {
    let mut bench = Bench::open(Dialect::default());
    apply(&mut bench, "<ENQ>");
    apply(&mut bench, r"{1:H|\^&}");
    let Some((_, Commit::Frame { text, .. })) = bench.commits.last() else {
        panic!("a frame")
    };
    assert_eq!(shown(text), r"H|\^&");
}

#[test]
fn every_note_is_explained() {
    let clauses = include_str!("../../../../CLAUSES.md");
    let mut codes = std::collections::BTreeSet::new();
    for note in crate::astm::link::notes::ALL {
        assert!(codes.insert(note.code), "{} is given twice", note.code);
        let row = format!("| {} | {} | ", note.code, note.text);
        assert!(clauses.contains(&row), "missing: {row}");
    }
    let rows = clauses
        .lines()
        .filter(|line| line.starts_with("| ASTM-01"))
        .count();
    assert_eq!(rows, codes.len(), "a row without a note");
}

#[test]
fn what_is_refused_or_given_up_is_an_alarm_and_a_habit_is_none() {
    use crate::astm::link::notes;
    let is_wrong = |text: &str| {
        ["refused", "given up", "the store", "dropped: its time"]
            .iter()
            .any(|words| text.contains(words))
    };
    for note in notes::ALL.iter().filter(|note| is_wrong(note.text)) {
        assert!(note.at(7).is_alarm(), "{}: {}", note.code, note.text);
    }
    for note in [
        notes::REPEAT,
        notes::KEEPALIVE,
        notes::LF_SEPARATED,
        notes::CONTENTION,
        notes::NUMBER_TOLERATED,
        crate::mllp::NOTE_ACCEPTED,
    ] {
        assert!(!note.is_alarm(), "{}: {}", note.code, note.text);
    }
    assert!(crate::mllp::NOTE_TOO_LONG.is_alarm());
}
