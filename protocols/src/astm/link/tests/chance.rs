//! The link against chance: hostile bytes, cuts of the stream, and a channel that loses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::harness::{Bench, wire};
use crate::{
    astm::link::{
        ChecksumRule, Dialect, Durability, FrameNumberRule, Limits, Link, deframe, frame,
    },
    wire::{
        Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output, Received,
        SendOutcome,
    },
};

/// Pieces that lead somewhere, so that chance reaches more than the first state.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let control = prop::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 10, 13, 21, 23, 255]);
    prop_oneof![
        4 => control.prop_map(|byte| vec![byte]),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        4 => (0..8_u8, any::<bool>(), 0..6_usize).prop_map(|(number, is_last, text)| {
            let text: &[u8] = [
                &b"H|\\^&\r"[..], b"P|1\r", b"L|1\r", b"H|\\^&\rL|1\r", b"L", b"|1\rH",
            ][text];
            frame(number, text, is_last).to_vec()
        }),
        2 => Just(wire(r"<ENQ>{1:H|\^&<CR>}{2:L|1<CR>}<EOT>")),
        1 => Just(wire(r"H|\^&<CR>P|1<CR>L|1<CR>")),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<[bool; 6]>(), 0..3_usize).prop_map(|(switch, rule)| Dialect {
        checksum: [ChecksumRule::Strict, ChecksumRule::Warn, ChecksumRule::Off][rule],
        frame_numbers: if switch[0] {
            FrameNumberRule::Lenient
        } else {
            FrameNumberRule::Strict
        },
        durability: if switch[1] {
            Durability::Message
        } else {
            Durability::Frame
        },
        accepts_unframed: switch[2],
        accepts_frames_without_enq: switch[3],
        serves_enq_in_transfer: switch[4],
        ignores_idle_bytes: switch[5],
        limits: Limits {
            frame_text: 64,
            record: 48,
            message: 96,
            session: 400,
            inbox: 512,
            ..Limits::default()
        },
        ..Dialect::default()
    })
}

#[derive(Clone, Debug)]
enum Event {
    Bytes(Vec<u8>),
    Wait(u64),
    Durable(u64),
    Fails(u64),
    Send,
    Withdraw,
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => piece().prop_map(Event::Bytes),
        2 => (0..40_000_u64).prop_map(Event::Wait),
        4 => (0..4_u64).prop_map(Event::Durable),
        1 => (0..4_u64).prop_map(Event::Fails),
        2 => Just(Event::Send),
        1 => Just(Event::Withdraw),
        1 => Just(Event::Close),
    ]
}

fn order(id: u64) -> Outgoing {
    let payload = Bytes::from(format!("H|\\^&|{id}\rL|1\r"));
    Outgoing {
        payload,
        kind: OutgoingKind::Download,
        expires_after: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cut_of_the_stream_gives_the_same_outputs(
        stream in stream(),
        dialect in dialect(),
        cuts in prop::collection::vec(1..9_usize, 1..20),
        sends in any::<bool>(),
    ) {
        // Whoever gives more than is asked for is told so once for each piece.
        let mut stream = stream;
        stream.truncate(dialect.limits.inbox);
        let outputs = |dialect: &Dialect, pieces: &[&[u8]]| outputs(dialect, pieces, sends);
        let whole = outputs(&dialect, &[&stream]);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = later;
        }
        prop_assert_eq!(&outputs(&dialect, &pieces), &whole);
        let single: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&outputs(&dialect, &single), &whole);
    }

    #[test]
    fn nothing_a_peer_or_a_store_does_panics_or_grows_without_end(
        dialect in dialect(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut bench = Bench::open(dialect);
        let mut asked = 0;
        for event in events {
            match event {
                Event::Bytes(bytes) => bench.handle(Input::Bytes(&bytes)),
                Event::Wait(millis) => bench.wait(std::time::Duration::from_millis(millis)),
                Event::Durable(back) => {
                    let id = bench.commits.last().map_or(0, |(id, _)| id.0);
                    bench.handle(Input::Committed(CommitId(id.saturating_sub(back)), None));
                }
                Event::Fails(back) => {
                    let id = bench.commits.last().map_or(0, |(id, _)| id.0);
                    bench.handle(Input::CommitFailed(CommitId(id.saturating_sub(back)), None));
                }
                Event::Send => {
                    asked += 1;
                    bench.handle(Input::Send(OutId(asked), order(asked)));
                }
                Event::Withdraw => bench.handle(Input::Withdraw(OutId(asked))),
                Event::Close => {
                    bench.handle(Input::Closed);
                    bench.handle(Input::Opened);
                }
            }
            prop_assert!(bench.link.accepts() <= 512);
            prop_assert!(bench.link.inbox.len() <= 512);
            prop_assert!(bench.link.detached.len() <= super::super::DETACHED_MAX + 4);
        }
        // Every message that was taken gets exactly one last word.
        bench.handle(Input::Closed);
        let mut finished: Vec<_> = bench.outputs.iter().filter_map(|output| match output {
            Output::Finished(id, _) => Some(id.0),
            Output::Transmit(_) | Output::Commit(..) | Output::Note(_) | Output::Close(_) => None,
        }).collect();
        finished.sort_unstable();
        prop_assert_eq!(finished, (1..=asked).collect::<Vec<_>>());
    }

    #[test]
    fn a_commit_open_makes_the_port_wait_when_the_inbox_is_full(
        extra in prop::collection::vec(any::<u8>(), 600..1_200),
    ) {
        let dialect = Dialect {
            limits: Limits { inbox: 512, ..Limits::default() },
            ..Dialect::default()
        };
        let mut bench = Bench::open(dialect);
        bench.handle(Input::Bytes(&wire(r"<ENQ>{1:H|\^&<CR>}<STX>")));
        bench.handle(Input::Bytes(&extra));
        prop_assert_eq!(bench.link.accepts(), 0);
        bench.handle(Input::Committed(CommitId(1), None));
        prop_assert!(bench.link.accepts() > 0);
    }

    #[test]
    fn any_file_can_be_deframed(stream in stream()) {
        deframe(&stream);
    }
}

#[test]
fn a_storm_of_enq_is_answered_in_bounded_portions() {
    let mut link = Link::new(Dialect::default());
    link.handle(Mono::default(), Input::Opened);
    link.handle(Mono::default(), Input::Bytes(&[5; 60_000]));
    let (mut acks, mut most) = (0, 0);
    while let Some(output) = link.poll() {
        acks += usize::from(matches!(output, Output::Transmit(_)));
        most = most.max(link.outputs.len());
    }
    assert_eq!(acks, 60_000);
    assert!(most <= super::super::OUTPUTS_MAX + 2, "{most}");
}

/// Everything the link says to a stream, deadlines not served, commits durable after each input
/// is drained.
fn outputs(dialect: &Dialect, pieces: &[&[u8]], sends: bool) -> Vec<Output> {
    let mut link = Link::new(dialect.clone());
    let now = Mono::default();
    let mut said = Vec::new();
    link.handle(now, Input::Opened);
    if sends {
        link.handle(now, Input::Send(OutId(1), order(1)));
        link.handle(now, Input::Send(OutId(2), order(2)));
        said.extend(std::iter::from_fn(|| link.poll()));
    }
    for piece in pieces {
        link.handle(Mono::from_millis(1), Input::Bytes(piece));
        said.extend(std::iter::from_fn(|| link.poll()));
    }
    // The store answers after the whole stream: what waits for it waited in every cut alike.
    let mut answered = 0;
    loop {
        let id = said
            .iter()
            .filter_map(|output| match output {
                Output::Commit(id, _) if id.0 > answered => Some(*id),
                Output::Commit(..)
                | Output::Transmit(_)
                | Output::Note(_)
                | Output::Finished(..)
                | Output::Close(_) => None,
            })
            .min();
        let Some(id) = id else { return said };
        answered = id.0;
        link.handle(now, Input::Committed(id, None));
        said.extend(std::iter::from_fn(|| link.poll()));
    }
}

/// Two links over a channel that cuts, doubles and loses what they write.
struct World {
    now: Mono,
    ends: [Link; 2],
    /// What travels: when it arrives, where, what.
    travelling: VecDeque<(Mono, usize, Bytes)>,
    /// What each end's store was asked, and when it answers.
    stores: VecDeque<(Mono, usize, CommitId)>,
    durable: [BTreeSet<CommitId>; 2],
    rows: [BTreeMap<(u64, u32), CommitId>; 2],
    complete: [Vec<Bytes>; 2],
    commits: [BTreeMap<CommitId, Vec<Received>>; 2],
    finished: Vec<(OutId, SendOutcome)>,
    /// Payloads other than [`order`]'s.
    sent: BTreeMap<OutId, Bytes>,
    chance: VecDeque<u8>,
    /// Whether the channel doubles frames too. Each copy is answered, and an ACK has no number
    /// (CLSI LIS01-A2 6.5): a sender reads the second as the answer to its next frame, and nothing
    /// it could do would tell. What is stored once stays stored once.
    doubles_frames: bool,
}

const LATENCY_US: u64 = 5_000;

impl World {
    fn new(dialects: [Dialect; 2], chance: Vec<u8>) -> Self {
        let ends = dialects.map(Link::new);
        Self {
            now: Mono::default(),
            ends,
            travelling: VecDeque::new(),
            stores: VecDeque::new(),
            durable: Default::default(),
            rows: Default::default(),
            complete: Default::default(),
            commits: Default::default(),
            finished: Vec::new(),
            sent: BTreeMap::new(),
            chance: chance.into(),
            doubles_frames: false,
        }
    }

    fn roll(&mut self) -> u8 {
        self.chance.pop_front().unwrap_or(0)
    }

    fn handle(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        while let Some(output) = self.ends[end].poll() {
            match output {
                Output::Transmit(bytes) => self.travel(1 - end, bytes),
                Output::Commit(id, commit) => self.store(end, id, commit),
                Output::Finished(id, outcome) => self.finish(1 - end, id, outcome),
                Output::Note(_) => {}
                Output::Close(reason) => panic!("closes: {reason:?}"),
            }
        }
    }

    /// The last ACK came, so the other store must have the message by now.
    fn finish(&mut self, to: usize, id: OutId, outcome: SendOutcome) {
        if outcome == SendOutcome::Sent && !self.doubles_frames {
            let payload = self
                .sent
                .get(&id)
                .cloned()
                .unwrap_or_else(|| order(id.0).payload);
            assert!(
                self.complete[to].contains(&payload),
                "{id:?} was acknowledged, not committed"
            );
        }
        self.finished.push((id, outcome));
    }

    fn travel(&mut self, to: usize, bytes: Bytes) {
        let at = Mono::from_micros(self.now.as_micros() + LATENCY_US);
        match self.roll() {
            // Lost.
            1..=8 => {}
            // Damaged.
            9..=16 => {
                let mut damaged = bytes.to_vec();
                let spot = usize::from(self.roll()) % damaged.len();
                damaged[spot] ^= 1 << (self.roll() % 8);
                // One flipped bit makes an ACK of an EOT, and no check byte goes with either: no
                // end could tell it from a true one, so none is asked to.
                if matches!(damaged[..], [4 | 5 | 6 | 21]) {
                    damaged[0] |= 0x80;
                }
                self.travelling.push_back((at, to, damaged.into()));
            }
            // Doubled at once.
            17..=24 if bytes.len() == 1 || self.doubles_frames => {
                self.travelling.push_back((at, to, bytes.clone()));
                self.travelling.push_back((at, to, bytes));
            }
            // Cut in two.
            25..=60 if bytes.len() > 1 => {
                let spot = usize::from(self.roll()) % bytes.len();
                self.travelling.push_back((at, to, bytes.slice(..spot)));
                self.travelling.push_back((at, to, bytes.slice(spot..)));
            }
            _ => self.travelling.push_back((at, to, bytes)),
        }
    }

    fn store(&mut self, end: usize, id: CommitId, commit: Commit) {
        let after = match self.roll() {
            250..=255 => 11_000_000,
            roll => u64::from(roll) * 100,
        };
        let at = Mono::from_micros(self.now.as_micros() + after);
        self.stores.push_back((at, end, id));
        let messages = match commit {
            Commit::Frame {
                session,
                index,
                messages,
                ..
            } => {
                self.rows[end].insert((session, index), id);
                messages
            }
            Commit::Message(received) => vec![received],
        };
        self.commits[end].insert(id, messages);
    }

    /// The next thing that happens, in order of time.
    fn step(&mut self) -> bool {
        let arrival = self.travelling.iter().map(|(at, ..)| *at).min();
        let stored = self.stores.iter().map(|(at, ..)| *at).min();
        let timers = [0, 1].map(|end| self.ends[end].deadline().map(|(at, _)| at));
        let all = [arrival, stored, timers[0], timers[1]];
        let Some(next) = all.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let spot = self
                .travelling
                .iter()
                .position(|(at, ..)| *at == next)
                .expect("it arrives");
            let (_, to, bytes) = self.travelling.remove(spot).expect("it is there");
            self.handle(to, Input::Bytes(&bytes));
        } else if stored == Some(next) {
            let spot = self
                .stores
                .iter()
                .position(|(at, ..)| *at == next)
                .expect("it is stored");
            let (_, end, id) = self.stores.remove(spot).expect("it is there");
            self.answer(end, id);
        } else {
            let end = usize::from(timers[0] != Some(next));
            self.handle(end, Input::Deadline);
        }
        true
    }

    fn answer(&mut self, end: usize, id: CommitId) {
        if self.roll() % 16 == 15 {
            return self.handle(end, Input::CommitFailed(id, None));
        }
        if self.durable[end].insert(id) {
            let messages = self.commits[end].remove(&id).unwrap_or_default();
            let whole = messages
                .into_iter()
                .filter(|m| m.is_complete)
                .map(|m| m.bytes);
            self.complete[end].extend(whole);
        }
        self.handle(end, Input::Committed(id, None));
    }
}

fn peers(durability: Durability) -> [Dialect; 2] {
    let base = Dialect {
        durability,
        // Doubled replies arrive together; a true reply takes two latencies.
        stale_reply: std::time::Duration::from_millis(5),
        ..Dialect::default()
    };
    let instrument = Dialect {
        one_record_per_frame: false,
        frame_text_max: 9,
        ..base.clone()
    };
    [
        base,
        Dialect {
            role: super::super::Role::Instrument,
            ..instrument
        },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_was_sent_was_committed_once_and_whole(
        chance in prop::collection::vec(any::<u8>(), 0..600),
        is_by_message in any::<bool>(),
        doubles_frames in any::<bool>(),
    ) {
        let durability = if is_by_message { Durability::Message } else { Durability::Frame };
        let mut world = World::new(peers(durability), chance);
        world.doubles_frames = doubles_frames;
        world.handle(0, Input::Opened);
        world.handle(1, Input::Opened);
        for id in 0..6_u64 {
            world.handle(usize::from(id % 2 == 1), Input::Send(OutId(id), order(id)));
        }
        let mut steps = 0;
        while world.step() {
            steps += 1;
            prop_assert!(steps < 20_000, "it never ends: {:?}", world.ends);
        }
        prop_assert_eq!(world.finished.len(), 6, "every message has its last word");
        for (id, outcome) in &world.finished {
            if *outcome == SendOutcome::Sent {
                let to = usize::from(id.0 % 2 == 0);
                let payload = order(id.0).payload;
                let times = world.complete[to].iter().filter(|bytes| **bytes == payload).count();
                prop_assert!(times < 2, "{:?} doubled in {:?}", id, world.complete[to]);
                let is_there = times == 1 || doubles_frames;
                prop_assert!(is_there, "{:?} not in {:?}", id, world.complete[to]);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_message_arrives_as_it_was_given_however_it_is_cut(
        records in prop::collection::vec("[PORCM][|][ -~]{0,40}", 0..12),
        one_record_per_frame in any::<bool>(),
        frame_text_max in 1..70_usize,
        is_by_message in any::<bool>(),
    ) {
        let records: String = records.iter().map(|record| format!("{record}\r")).collect();
        let payload = Bytes::from(format!("H|\\^&|1\r{records}L|1|N\r"));
        let durability = if is_by_message { Durability::Message } else { Durability::Frame };
        let sender = Dialect { one_record_per_frame, frame_text_max, ..Dialect::instrument() };
        let receiver = Dialect { durability, ..Dialect::default() };
        let mut world = World::new([receiver, sender], Vec::new());
        world.handle(0, Input::Opened);
        world.handle(1, Input::Opened);
        let kind = OutgoingKind::Download;
        let outgoing = Outgoing { payload: payload.clone(), kind, expires_after: None };
        world.sent.insert(OutId(1), payload.clone());
        world.handle(1, Input::Send(OutId(1), outgoing));
        while world.step() {}
        prop_assert_eq!(&world.finished[..], &[(OutId(1), SendOutcome::Sent)][..]);
        prop_assert_eq!(&world.complete[0][..], &[payload][..]);
    }
}

#[test]
fn over_a_good_channel_everything_is_sent() {
    for durability in [Durability::Frame, Durability::Message] {
        let mut world = World::new(peers(durability), Vec::new());
        world.handle(0, Input::Opened);
        world.handle(1, Input::Opened);
        for id in 0..6_u64 {
            world.handle(usize::from(id % 2 == 1), Input::Send(OutId(id), order(id)));
        }
        while world.step() {}
        assert!(
            world
                .finished
                .iter()
                .all(|(_, outcome)| *outcome == SendOutcome::Sent)
        );
        assert_eq!(world.complete.each_ref().map(Vec::len), [3, 3]);
    }
}
