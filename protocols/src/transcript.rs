//! Transcripts for tests of machines: one step a line; every byte that a machine sends, everything
//! it asks of the store and every note must be foreseen.

pub(crate) mod channel;
pub(crate) mod list;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::wire::{
    Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, Received,
};

/// A machine, its time, and what it said.
pub(crate) struct Bench<M> {
    pub(crate) machine: M,
    pub(crate) now: Mono,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) notes: VecDeque<&'static str>,
    pub(crate) commits: Vec<(CommitId, Commit)>,
    /// Commits are durable at once.
    pub(crate) is_prompt: bool,
    framer: Framer,
}

/// Bytes of what stands between `{` and `}`.
pub(crate) type Framer = fn(&str) -> Vec<u8>;

impl<M: Machine> Bench<M> {
    pub(crate) fn new(machine: M, framer: Framer) -> Self {
        Self {
            machine,
            now: Mono::from_millis(1_000),
            outputs: VecDeque::new(),
            notes: VecDeque::new(),
            commits: Vec::new(),
            is_prompt: false,
            framer,
        }
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
        let mut ids = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Note(note) => self.notes.push_back(note.code),
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
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut served = 0;
        while let Some((at, _)) = self.machine.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Deadline);
            served += 1;
            let deadline = self.machine.deadline();
            assert!(served < 1_000, "not served: {deadline:?}");
        }
        self.now = end;
    }

    pub(crate) fn wire(&self, text: &str) -> Vec<u8> {
        wire(text, self.framer)
    }

    fn transmitted(&mut self) -> String {
        let mut bytes = Vec::new();
        while let Some(Output::Transmit(sent)) = self.outputs.front() {
            bytes.extend_from_slice(sent);
            self.outputs.pop_front();
        }
        shown(&bytes)
    }

    pub(crate) fn commit_id(&self, rest: &str) -> CommitId {
        if rest.is_empty() {
            self.commits.last().expect("a commit was asked for").0
        } else {
            CommitId(rest.parse().expect("an id"))
        }
    }

    /// Does something: `open`, `close`, `in BYTES`, `wait SECONDS`, `prompt`, `durable [ID]`,
    /// `fails [ID]`, `answer|download|brief ID PAYLOAD`, `withdraw ID`. False for another verb.
    pub(crate) fn act(&mut self, verb: &str, rest: &str) -> bool {
        match verb {
            "open" => self.handle(Input::Opened),
            "close" => self.handle(Input::Closed),
            "in" => self.handle(Input::Bytes(&self.wire(rest))),
            "wait" => self.wait(Duration::from_secs_f64(rest.parse().expect("seconds"))),
            "prompt" => self.is_prompt = true,
            "durable" => self.handle(Input::Committed(self.commit_id(rest), None)),
            "fails" => self.handle(Input::CommitFailed(self.commit_id(rest), None)),
            "answer" | "download" | "brief" => self.send(verb, rest),
            "withdraw" => self.handle(Input::Withdraw(OutId(rest.parse().expect("an id")))),
            _ => return false,
        }
        true
    }

    fn send(&mut self, verb: &str, rest: &str) {
        let (id, payload) = rest.split_once(' ').expect("id and payload");
        let kind = match verb {
            "download" => OutgoingKind::Download,
            _ => OutgoingKind::Answer,
        };
        let outgoing = Outgoing {
            payload: Bytes::from(self.wire(payload)),
            kind,
            expires_after: (verb == "brief").then_some(Duration::from_millis(100)),
        };
        self.handle(Input::Send(OutId(id.parse().expect("an id")), outgoing));
    }

    fn step(&mut self, verb: &str, rest: &str) {
        let expects = [
            "out", "commit", "finished", "closes", "state", "note", "deadline",
        ];
        if !expects.contains(&verb) {
            self.assert_all_foreseen();
            assert!(self.act(verb, rest), "no such step: {verb}");
            return;
        }
        let seen = match verb {
            "out" => self.transmitted(),
            "state" => self.machine.state().to_owned(),
            "note" => self.notes.pop_front().unwrap_or("nothing").to_owned(),
            "deadline" => self.deadline(),
            _ => described(self.outputs.pop_front()),
        };
        let foreseen = if verb == "out" {
            shown(&self.wire(rest))
        } else {
            rest.to_owned()
        };
        assert_eq!(seen, foreseen, "{verb}");
    }

    pub(crate) fn deadline(&self) -> String {
        match self.machine.deadline() {
            Some((at, timer)) => format!("{timer:?} {}s", at.since(self.now).as_secs_f64()),
            None => "none".to_owned(),
        }
    }

    fn assert_all_foreseen(&self) {
        assert!(self.outputs.is_empty(), "not foreseen: {:?}", self.outputs);
        assert!(self.notes.is_empty(), "not foreseen: {:?}", self.notes);
    }

    /// Runs a transcript on an open line. Besides what [`Bench::act`] does, a line may say what
    /// must be seen: `out BYTES`, `commit …`, `finished …`, `closes …`, `state …`, `deadline …`,
    /// `note CODE`.
    pub(crate) fn check(mut self, transcript: &str) -> Self {
        for (number, line) in transcript.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let step = std::panic::AssertUnwindSafe(|| self.step(verb, rest));
            if let Err(panic) = std::panic::catch_unwind(step) {
                eprintln!("at step {}: {line}", number + 1);
                std::panic::resume_unwind(panic);
            }
        }
        self.assert_all_foreseen();
        self
    }

    /// One cell of a state table: what `event` brings in the state that `path` leads to.
    pub(crate) fn cell(mut self, path: &[(&str, &str)], (verb, rest): (&str, &str)) -> String {
        for (verb, rest) in path {
            self.table_act(verb, rest);
        }
        self.outputs.clear();
        self.notes.clear();
        let before = self.now;
        self.table_act(verb, rest);
        let mut said: Vec<String> = Vec::new();
        while let Some(output) = self.outputs.pop_front() {
            said.push(described(Some(output)));
        }
        said.extend(self.notes.iter().map(|code| (*code).to_owned()));
        if said.is_empty() {
            said.push("nothing".to_owned());
        }
        let waited = match self.now.since(before).as_secs_f64() {
            0.0.. if self.now == before => String::new(),
            seconds => format!("after {seconds}s "),
        };
        let (said, state) = (said.join(", "), self.machine.state());
        format!("{waited}{said} -> {state} [{}]", self.deadline())
    }

    /// As [`Bench::act`], but that a commit which was never asked for gets an id of its own, and
    /// `timeout` serves the next deadline.
    fn table_act(&mut self, verb: &str, rest: &str) {
        let id = self.commits.last().map_or(CommitId(99), |(id, _)| *id);
        match verb {
            "durable" => self.handle(Input::Committed(id, None)),
            "fails" => self.handle(Input::CommitFailed(id, None)),
            "timeout" => {
                if let Some((at, _)) = self.machine.deadline() {
                    self.now = self.now.max(at);
                }
                self.handle(Input::Deadline);
            }
            _ => assert!(self.act(verb, rest), "no such event: {verb}"),
        }
    }
}

/// One output in words; message content is shown, as these are made-up patients.
pub(crate) fn described(output: Option<Output>) -> String {
    match output {
        None => "nothing".to_owned(),
        Some(Output::Transmit(bytes)) => format!("sends {}", shown(&bytes)),
        Some(Output::Commit(id, commit)) => format!("#{} {}", id.0, committed(&commit)),
        Some(Output::Finished(id, crate::wire::SendOutcome::Answered(bytes))) => {
            format!("{} Answered {}", id.0, shown(&bytes))
        }
        Some(Output::Finished(id, outcome)) => format!("{} {outcome:?}", id.0),
        Some(Output::Note(note)) => note.code.to_owned(),
        Some(Output::Close(reason)) => format!("{reason:?}"),
    }
}

fn committed(commit: &Commit) -> String {
    let whole = |received: &Received| {
        let how = if received.is_complete {
            ""
        } else {
            " incomplete"
        };
        format!("[{}]{how}", shown(&received.bytes))
    };
    match commit {
        Commit::Frame {
            session,
            index,
            text,
            messages,
        } => {
            let messages: String = messages.iter().map(|m| format!(" {}", whole(m))).collect();
            format!("{session}.{index} {}{messages}", shown(text))
        }
        Commit::Message(received) => format!("{} {}", received.session, whole(received)),
    }
}

const NAMES: &[(&str, u8)] = &[
    ("STX", 2),
    ("ETX", 3),
    ("EOT", 4),
    ("ENQ", 5),
    ("ACK", 6),
    ("LF", 10),
    ("CR", 13),
    ("NAK", 21),
    ("ETB", 23),
    ("FS", 28),
    ("FF", 255),
];

/// Bytes written with `<STX>` and the like, `<12>` for one in hexadecimal, `{…}` as the framer
/// has it.
pub(crate) fn wire(text: &str, framer: Framer) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|tail| {
            let (name, after) = tail.split_once('>')?;
            Some((named(name)?, after))
        });
        if let Some((byte, after)) = named {
            out.push(byte);
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|t| t.split_once('}'))
        {
            out.extend_from_slice(&framer(inner));
            rest = after;
        } else {
            out.extend(first.to_string().bytes());
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    out
}

fn named(name: &str) -> Option<u8> {
    let listed = NAMES.iter().find(|(listed, _)| *listed == name);
    let hex = || {
        u8::from_str_radix(name, 16)
            .ok()
            .filter(|_| name.len() == 2)
    };
    listed.map(|(_, byte)| *byte).or_else(hex)
}

/// Bytes as [`wire`] reads them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let one = |byte: &u8| match NAMES.iter().find(|(_, named)| named == byte) {
        Some((name, _)) => format!("<{name}>"),
        None if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte).to_string(),
        None => format!("<{byte:02X}>"),
    };
    bytes.iter().map(one).collect()
}
