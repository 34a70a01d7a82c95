//! Transcripts: one step a line, and every byte that the link sends must be foreseen.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    astm::link::{Dialect, Link},
    wire::{Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output},
};

/// A link, its time, and what it said.
pub(super) struct Bench {
    pub(super) link: Link,
    pub(super) now: Mono,
    pub(super) outputs: VecDeque<Output>,
    pub(super) notes: Vec<&'static str>,
    pub(super) commits: Vec<(CommitId, Commit)>,
    /// Commits are durable at once.
    pub(super) is_prompt: bool,
}

impl Bench {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            link: Link::new(dialect),
            now: Mono::from_millis(1_000),
            outputs: VecDeque::new(),
            notes: Vec::new(),
            commits: Vec::new(),
            is_prompt: false,
        }
    }

    pub(super) fn open(dialect: Dialect) -> Self {
        let mut bench = Self::new(dialect);
        bench.handle(Input::Opened);
        bench
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.link.handle(self.now, input);
        let mut ids = Vec::new();
        while let Some(output) = self.link.poll() {
            match output {
                Output::Note(note) => self.notes.push(note.code),
                Output::Commit(id, ref commit) => {
                    ids.push(id);
                    self.commits.push((id, commit.clone()));
                    if !self.is_prompt {
                        self.outputs.push_back(output);
                    }
                }
                Output::Transmit(_) | Output::Finished(..) | Output::Close(_) => {
                    self.outputs.push_back(output);
                }
            }
        }
        if self.is_prompt {
            for id in ids {
                self.handle(Input::Committed(id, None));
            }
        }
    }

    /// Time passes; every deadline on the way is served.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut served = 0;
        while let Some((at, _)) = self.link.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Deadline);
            served += 1;
            assert!(
                served < 1_000,
                "a deadline that is not served: {:?}",
                self.link.deadline()
            );
        }
        self.now = end;
    }

    pub(super) fn transmitted(&mut self) -> String {
        let mut bytes = Vec::new();
        while let Some(Output::Transmit(sent)) = self.outputs.front() {
            bytes.extend_from_slice(sent);
            self.outputs.pop_front();
        }
        shown(&bytes)
    }

    fn last_commit(&self) -> CommitId {
        self.commits.last().expect("a commit was asked for").0
    }

    fn step(&mut self, verb: &str, rest: &str) {
        let expects = [
            "out", "commit", "message", "finished", "state", "note", "deadline", "row",
        ];
        if !expects.contains(&verb) {
            assert!(self.outputs.is_empty(), "not foreseen: {:?}", self.outputs);
        }
        match verb {
            "open" => self.handle(Input::Opened),
            "close" => self.handle(Input::Closed),
            "in" => {
                // A reply never comes in the instant of sending.
                self.now = self.now.after(Duration::from_micros(1));
                self.handle(Input::Bytes(&wire(rest)));
            }
            "wait" => self.wait(seconds(rest)),
            "prompt" => self.is_prompt = true,
            "durable" => self.handle(Input::Committed(self.commit_id(rest), None)),
            "fails" => self.handle(Input::CommitFailed(self.commit_id(rest), None)),
            "answer" | "download" | "brief" => self.send(verb, rest),
            "withdraw" => self.handle(Input::Withdraw(OutId(rest.parse().expect("an id")))),
            _ => self.expect(verb, rest),
        }
    }

    fn commit_id(&self, rest: &str) -> CommitId {
        if rest.is_empty() {
            self.last_commit()
        } else {
            CommitId(rest.parse().expect("an id"))
        }
    }

    fn send(&mut self, verb: &str, rest: &str) {
        let (id, payload) = rest.split_once(' ').expect("id and payload");
        let kind = if verb == "answer" {
            OutgoingKind::Answer
        } else {
            OutgoingKind::Download
        };
        let payload = Bytes::from(wire(payload));
        let expires_after = (verb == "brief").then_some(Duration::from_secs(5));
        let outgoing = Outgoing {
            payload,
            kind,
            expires_after,
        };
        self.handle(Input::Send(OutId(id.parse().expect("an id")), outgoing));
    }

    fn expect(&mut self, verb: &str, rest: &str) {
        let seen = match verb {
            "out" => self.transmitted(),
            "state" => self.link.state().to_owned(),
            "deadline" => match self.link.deadline() {
                Some((at, timer)) => format!("{timer:?} {}s", at.since(self.now).as_secs_f64()),
                None => "none".to_owned(),
            },
            "note" => match self.notes.iter().position(|code| code.ends_with(rest)) {
                Some(at) => self
                    .notes
                    .drain(..=at)
                    .next_back()
                    .map_or("", |_| rest)
                    .to_owned(),
                None => format!("{:?}", self.notes),
            },
            "commit" | "message" | "row" | "finished" => described(self.outputs.pop_front()),
            _ => panic!("no such step: {verb}"),
        };
        let foreseen = if verb == "out" {
            shown(&wire(rest))
        } else {
            rest.to_owned()
        };
        assert_eq!(seen, foreseen, "{verb}");
    }
}

/// Runs a transcript. Steps: `open`, `close`, `in BYTES`, `wait SECONDS`, `prompt` (commits are
/// durable at once), `durable [ID]`, `fails [ID]`, `answer|download|brief ID RECORDS`,
/// `withdraw ID`; and what must be seen: `out BYTES`, `row …`, `message …`, `finished …`,
/// `state …`, `deadline …`, `note CODE`.
pub(super) fn check(dialect: Dialect, transcript: &str) -> Bench {
    let mut bench = Bench::open(dialect);
    for (number, line) in transcript.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let step = std::panic::AssertUnwindSafe(|| bench.step(verb, rest.trim()));
        if let Err(panic) = std::panic::catch_unwind(step) {
            eprintln!("at step {}: {line}", number + 1);
            std::panic::resume_unwind(panic);
        }
    }
    assert!(
        bench.outputs.is_empty(),
        "not foreseen at the end: {:?}",
        bench.outputs
    );
    bench
}

/// One output in words; message content is shown, as these are made-up patients.
pub(super) fn described(output: Option<Output>) -> String {
    match output {
        None => "nothing".to_owned(),
        Some(Output::Transmit(bytes)) => format!("sends {}", shown(&bytes)),
        Some(Output::Commit(
            id,
            Commit::Frame {
                session,
                index,
                text,
                messages,
            },
        )) => {
            let messages: String = messages
                .iter()
                .map(|m| format!(" [{} {}]", shown(&m.bytes), whole(m)))
                .collect();
            format!("#{} {session}.{index} {}{messages}", id.0, shown(&text))
        }
        Some(Output::Commit(id, Commit::Message(received))) => {
            let session = received.session;
            format!(
                "#{} {session} {} {}",
                id.0,
                shown(&received.bytes),
                whole(&received)
            )
        }
        Some(Output::Finished(id, outcome)) => format!("{} {outcome:?}", id.0),
        Some(Output::Note(note)) => note.code.to_owned(),
        Some(Output::Close(reason)) => format!("closes {reason:?}"),
    }
}

fn whole(received: &crate::wire::Received) -> &'static str {
    if received.is_complete {
        "complete"
    } else {
        "incomplete"
    }
}

const NAMES: &[(&str, u8)] = &[
    ("SOH", 1),
    ("STX", 2),
    ("ETX", 3),
    ("EOT", 4),
    ("ENQ", 5),
    ("ACK", 6),
    ("LF", 10),
    ("CR", 13),
    ("NAK", 21),
    ("SYN", 22),
    ("ETB", 23),
    ("FF", 255),
    ("NUL", 0),
];

/// Bytes written with `<STX>` and the like; `{N:text}` is a whole ETX frame with number N, and
/// `{N+text}` one that ends with ETB.
pub(super) fn wire(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let name = NAMES.iter().find(|(name, _)| {
            rest.strip_prefix('<')
                .and_then(|r| r.strip_prefix(name))
                .is_some_and(|r| r.starts_with('>'))
        });
        if let Some((name, byte)) = name {
            out.push(*byte);
            rest = rest.split_at(name.len() + 2).1;
        } else if let Some((number, is_last, inner, after)) = framed(rest) {
            out.extend_from_slice(&super::super::frame(number, &wire(inner), is_last));
            rest = after;
        } else {
            out.extend(first.to_string().bytes());
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    out
}

fn framed(text: &str) -> Option<(u8, bool, &str, &str)> {
    let (head, after) = text.strip_prefix('{')?.split_once('}')?;
    let mut chars = head.chars();
    let number = u8::try_from(chars.next()?.to_digit(10)?).ok()?;
    let is_last = chars.next()? == ':';
    Some((number, is_last, chars.as_str(), after))
}

/// Bytes as [`wire`] reads them.
pub(super) fn shown(bytes: &[u8]) -> String {
    let one = |byte: &u8| match NAMES.iter().find(|(_, named)| named == byte) {
        Some((name, _)) => format!("<{name}>"),
        None if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte).to_string(),
        None => format!("<{byte:02X}>"),
    };
    bytes.iter().map(one).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().expect("seconds"))
}

impl Bench {
    pub(super) fn link_accepts(&self) -> usize {
        self.link.accepts()
    }
}
