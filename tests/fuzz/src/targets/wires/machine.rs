//! Any machine of `wire`, driven by operations in any order, and what has to hold all the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use labwire_protocols::wire::{
    Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output,
};

use crate::targets::feed::{self, Feed};

/// Makes a frame around a text.
pub(crate) type Frame = dyn Fn(&[u8]) -> Vec<u8>;

/// One wire as this file has to know it.
pub(crate) struct Wire {
    /// A new machine.
    pub(crate) make: Box<dyn Fn() -> Box<dyn Machine>>,
    /// What it may hold unread.
    pub(crate) inbox: usize,
    /// A well-formed frame around a text.
    pub(crate) frame: Box<Frame>,
    /// Texts and marks that lead somewhere.
    pub(crate) pieces: &'static [&'static [u8]],
    /// Messages to send.
    pub(crate) payloads: &'static [&'static [u8]],
    /// What a positive reply begins with, where it answers exactly one commit.
    pub(crate) promise: Option<Promise>,
    /// Whether a message that waits on an open line always has a time at which something is done.
    pub(crate) waits_with_deadline: bool,
    /// What a split of the stream must leave alone.
    pub(crate) split: Split,
}

/// How a promise to the peer is known.
pub(crate) enum Promise {
    /// The first thing sent after this commit is one of these bytes only if it became durable.
    Bytes(&'static [u8], fn(&Commit) -> bool),
    /// The owner's reply, which names the commit, is all that promises.
    Reply,
}

/// What has to be the same however the stream is cut.
pub(crate) enum Split {
    /// Every output in its order.
    All,
    /// What is committed: replies fall where the store happened to answer.
    Commits,
}

/// Outputs to one input; beyond it the machine goes round in circles.
const OUTPUTS_MAX: usize = 4_096;
/// Operations of one input; the rest is left.
const OPERATIONS_MAX: usize = 400;

/// A reply that is never given, because the peer did not wait for it.
const DROPPED: [&str; 5] = ["ASTM-0134", "BAU-0120", "BCI-0115", "DIM-0115", "SYX-0112"];

/// What happened so far.
struct Bench<'w> {
    wire: &'w Wire,
    machine: Box<dyn Machine>,
    now: Mono,
    is_open: bool,
    is_again: bool,
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    /// The commit that the next promise would answer.
    open: Option<u64>,
    sent: u64,
    finished: BTreeMap<u64, u32>,
    stream: Vec<u8>,
}

/// Reads the rest of `feed` as operations on a new machine of `wire`.
pub(crate) fn drive(wire: &Wire, feed: &mut Feed<'_>) {
    let mut bench = Bench {
        wire,
        machine: (wire.make)(),
        now: Mono::from_millis(1),
        is_open: false,
        is_again: false,
        asked: BTreeSet::new(),
        answered: BTreeSet::new(),
        open: None,
        sent: 0,
        finished: BTreeMap::new(),
        stream: Vec::new(),
    };
    bench.handle(Input::Opened);
    for _ in 0..OPERATIONS_MAX {
        if feed.is_empty() {
            break;
        }
        bench.step(feed);
        bench.check();
    }
    bench.handle(Input::Closed);
    for id in 1..=bench.sent {
        let words = bench.finished.get(&id).copied().unwrap_or_default();
        assert_eq!(words, 1, "message {id} has one last word");
    }
    split(wire, &bench.stream);
}

impl Bench<'_> {
    fn step(&mut self, feed: &mut Feed<'_>) {
        match feed.byte() % 16 {
            0 | 1 => self.receive(feed.bytes()),
            2..=4 => {
                let text = *feed.pick(self.wire.pieces);
                let framed = (self.wire.frame)(text);
                self.receive(&framed);
            }
            5 => {
                let framed = (self.wire.frame)(feed.bytes());
                self.receive(&framed);
            }
            6 => {
                let mark = [feed.byte()];
                self.receive(&mark);
            }
            7 => self.wait(Duration::from_millis(feed.word())),
            8 => {
                if let Some((at, _)) = self.machine.deadline() {
                    self.now = self.now.max(at);
                    self.handle(Input::Deadline);
                }
            }
            9 | 10 => self.answer(feed.byte(), true),
            11 => self.answer(feed.byte(), false),
            12 => self.send(feed),
            13 => {
                let id = self.sent.saturating_sub(u64::from(feed.byte() % 4));
                self.handle(Input::Withdraw(OutId(id)));
            }
            14 => {
                self.handle(Input::Closed);
                self.handle(Input::Opened);
            }
            // Told without its time having come: a driver may be late, and early by its clock.
            _ => self.handle(Input::Deadline),
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.machine.accepts());
        let bytes = bytes.get(..taken).unwrap_or_default();
        let room = self.wire.inbox.saturating_sub(self.stream.len());
        self.stream.extend(bytes.iter().take(room));
        self.handle(Input::Bytes(bytes));
    }

    fn send(&mut self, feed: &mut Feed<'_>) {
        let how = feed.byte();
        let payload = *feed.pick(self.wire.payloads);
        self.sent += 1;
        let outgoing = Outgoing {
            payload: Bytes::from_static(payload),
            kind: if how & 1 == 0 {
                OutgoingKind::Download
            } else {
                OutgoingKind::Answer
            },
            expires_after: (how & 2 == 2).then(|| Duration::from_millis(u64::from(how) * 100)),
        };
        let id = OutId(self.sent);
        self.handle(Input::Send(id, outgoing));
    }

    /// The store answers one of the last commits, or one that was never asked.
    fn answer(&mut self, back: u8, is_durable: bool) {
        let last = self.asked.last().copied().unwrap_or_default();
        let id = last.saturating_sub(u64::from(back % 4));
        let is_first = self.asked.contains(&id) && self.answered.insert(id);
        let reply = Bytes::from(format!("MSH|^~\\&|\rMSA|AA|{id}\r"));
        if is_durable {
            if is_first && self.open == Some(id) {
                self.open = None;
            }
            self.handle(Input::Committed(CommitId(id), Some(reply)));
        } else {
            self.handle(Input::CommitFailed(CommitId(id), None));
        }
    }

    /// Time passes; every deadline on the way is served at its time.
    fn wait(&mut self, by: Duration) {
        let end = self.now.after(by);
        let mut served_at_once = 0;
        while let Some((at, _)) = self.machine.deadline().filter(|(at, _)| *at <= end) {
            served_at_once = if at > self.now { 0 } else { served_at_once + 1 };
            assert!(served_at_once < 64, "a deadline that is served has passed");
            self.now = self.now.max(at);
            self.handle(Input::Deadline);
        }
        self.now = end;
    }

    fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::Opened => self.is_open = true,
            Input::Closed => {
                self.is_open = false;
                self.open = None;
            }
            _ => {}
        }
        // What is asked for by the clock is tried again, and no reply hangs on it.
        self.is_again = matches!(input, Input::Deadline);
        self.machine.handle(self.now, input);
        let mut count = 0;
        let mut is_closing = false;
        while let Some(output) = self.machine.poll() {
            count += 1;
            assert!(count < OUTPUTS_MAX, "an input is answered within bounds");
            is_closing |= matches!(output, Output::Close(_));
            self.take(output);
        }
        // As a driver does.
        if is_closing && self.is_open {
            self.handle(Input::Closed);
            self.handle(Input::Opened);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Transmit(bytes) => self.promised(&bytes),
            Output::Commit(id, commit) => {
                assert!(
                    self.asked.last().is_none_or(|last| *last < id.0),
                    "commits count up"
                );
                self.asked.insert(id.0);
                if let Some(Promise::Bytes(_, answers)) = &self.wire.promise
                    && !self.is_again
                    && answers(&commit)
                {
                    self.open = Some(id.0);
                }
            }
            Output::Finished(id, _) => {
                assert!(
                    id.0 >= 1 && id.0 <= self.sent,
                    "a word about a message that was sent"
                );
                *self.finished.entry(id.0).or_default() += 1;
                assert_eq!(self.finished.get(&id.0), Some(&1), "one last word");
            }
            Output::Note(note) => {
                assert!(!note.code.is_empty());
                // The peer did not wait for its reply: what comes next answers something newer.
                if DROPPED.contains(&note.code) {
                    self.open = None;
                }
            }
            Output::Close(_) => {}
        }
    }

    /// Nothing is acknowledged that was not committed.
    fn promised(&mut self, bytes: &[u8]) {
        match &self.wire.promise {
            Some(Promise::Bytes(positive, _)) => {
                let is_promise = bytes.len() == 1 && positive.contains(&bytes[0]);
                assert!(
                    !is_promise || self.open.is_none(),
                    "commit {:?} was acknowledged before it was durable",
                    self.open
                );
                self.open = None;
            }
            Some(Promise::Reply) => {
                let text = feed::text(bytes);
                if let Some((_, rest)) = text.split_once("MSA|AA|") {
                    let id = rest.split('\r').next().and_then(|id| id.parse().ok());
                    assert!(
                        id.is_some_and(|id: u64| self.answered.contains(&id)),
                        "a reply follows its commit: {text:?}"
                    );
                }
            }
            None => {}
        }
    }

    fn check(&self) {
        assert!(
            self.machine.accepts() <= self.wire.inbox,
            "the inbox is bounded"
        );
        assert!(!self.machine.state().is_empty());
        let waiting = self.sent - u64::try_from(self.finished.len()).unwrap_or(u64::MAX);
        if self.is_open && self.wire.waits_with_deadline && waiting > 0 {
            assert!(
                self.machine.deadline().is_some(),
                "{waiting} messages wait in {} without a deadline",
                self.machine.state()
            );
        }
    }
}

/// The same stream in one piece, byte by byte, and in threes.
fn split(wire: &Wire, stream: &[u8]) {
    let whole = said(wire, stream, stream.len().max(1));
    for size in [1, 3] {
        assert_eq!(said(wire, stream, size), whole, "in pieces of {size}");
    }
}

/// What is said to a stream at one instant; the store answers when all of it was given.
fn said(wire: &Wire, stream: &[u8], size: usize) -> Vec<Output> {
    let mut machine = (wire.make)();
    let now = Mono::from_millis(1);
    let mut said = Vec::new();
    machine.handle(now, Input::Opened);
    said.extend(std::iter::from_fn(|| machine.poll()));
    let mut answered = 0;
    for piece in stream.chunks(size) {
        machine.handle(now, Input::Bytes(piece));
        said.extend(std::iter::from_fn(|| machine.poll()));
    }
    loop {
        let next = said.iter().filter_map(|output| match output {
            Output::Commit(id, _) if id.0 > answered => Some(*id),
            _ => None,
        });
        let Some(id) = next.min() else { break };
        answered = id.0;
        machine.handle(now, Input::Committed(id, None));
        said.extend(std::iter::from_fn(|| machine.poll()));
    }
    if matches!(wire.split, Split::Commits) {
        said.retain(|output| matches!(output, Output::Commit(..)));
    }
    said
}
