//! Two machines over a channel that cuts, doubles, damages and loses what they write, with stores
//! that are slow and fail.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::wire::{
    Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, Output, Received, SendOutcome,
};

/// What a journal would key a commit by: a frame that comes again is the same row.
type Row = Result<(u64, u32), CommitId>;

/// Two ends, what travels between them, and what their stores hold.
pub(crate) struct World<M> {
    now: Mono,
    pub(crate) ends: [M; 2],
    /// What travels: when it arrives, where, what.
    travelling: VecDeque<(Mono, usize, Bytes)>,
    /// What each end's store was asked, and when it answers.
    stores: VecDeque<(Mono, usize, CommitId)>,
    asked: [BTreeMap<CommitId, Commit>; 2],
    /// The messages that are durable, by row.
    pub(crate) durable: [BTreeMap<Row, Vec<Received>>; 2],
    /// Messages that became durable and were not looked at.
    pub(crate) news: VecDeque<(usize, Received)>,
    pub(crate) finished: [Vec<(OutId, SendOutcome)>; 2],
    chance: VecDeque<u8>,
    /// How often something goes wrong: of 256.
    trouble: u8,
}

const LATENCY_US: u64 = 5_000;

impl<M: Machine> World<M> {
    pub(crate) fn new(ends: [M; 2], chance: Vec<u8>, trouble: u8) -> Self {
        let mut world = Self {
            now: Mono::from_millis(1_000),
            ends,
            travelling: VecDeque::new(),
            stores: VecDeque::new(),
            asked: Default::default(),
            durable: Default::default(),
            news: VecDeque::new(),
            finished: Default::default(),
            chance: chance.into(),
            trouble,
        };
        world.handle(0, Input::Opened);
        world.handle(1, Input::Opened);
        world
    }

    fn roll(&mut self) -> u8 {
        self.chance.pop_front().unwrap_or(255)
    }

    pub(crate) fn send(&mut self, end: usize, id: u64, outgoing: Outgoing) {
        self.handle(end, Input::Send(OutId(id), outgoing));
    }

    fn handle(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        while let Some(output) = self.ends[end].poll() {
            match output {
                Output::Transmit(bytes) => self.travel(1 - end, bytes),
                Output::Commit(id, commit) => {
                    self.asked[end].insert(id, commit);
                    let after = match self.roll() {
                        roll if roll < self.trouble / 2 => 4_000_000,
                        roll => u64::from(roll) * 100,
                    };
                    let at = Mono::from_micros(self.now.as_micros() + after);
                    self.stores.push_back((at, end, id));
                }
                Output::Finished(id, outcome) => self.finished[end].push((id, outcome)),
                Output::Note(_) => {}
                Output::Close(reason) => panic!("closes: {reason:?}"),
            }
        }
    }

    fn travel(&mut self, to: usize, bytes: Bytes) {
        let at = Mono::from_micros(self.now.as_micros() + LATENCY_US);
        let mut go = |bytes: Bytes| self.travelling.push_back((at, to, bytes));
        let (trouble, roll) = (self.trouble, self.chance.pop_front().unwrap_or(255));
        let spot = usize::from(roll) * 7 % bytes.len();
        match roll {
            roll if roll >= trouble => go(bytes),
            // Lost.
            roll if roll % 4 == 0 => {}
            // One bit damaged, in a way that makes no control code of a letter.
            roll if roll % 4 == 1 => {
                let mut damaged = bytes.to_vec();
                damaged[spot] ^= 0x80;
                go(damaged.into());
            }
            // Doubled at once.
            roll if roll % 4 == 2 => {
                go(bytes.clone());
                go(bytes);
            }
            // Cut in two.
            _ => {
                go(bytes.slice(..spot));
                go(bytes.slice(spot..));
            }
        }
    }

    /// The next thing that happens, in order of time; false when nothing will.
    pub(crate) fn step(&mut self) -> bool {
        let arrival = self.travelling.iter().map(|(at, ..)| *at).min();
        let stored = self.stores.iter().map(|(at, ..)| *at).min();
        let timers = [0, 1].map(|end| self.ends[end].deadline().map(|(at, _)| at));
        let all = [arrival, stored, timers[0], timers[1]];
        let Some(next) = all.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let at = self.travelling.iter().position(|(at, ..)| *at == next);
            let (_, to, bytes) = self
                .travelling
                .remove(at.expect("it is there"))
                .expect("is");
            if !bytes.is_empty() {
                self.handle(to, Input::Bytes(&bytes));
            }
        } else if stored == Some(next) {
            let at = self.stores.iter().position(|(at, ..)| *at == next);
            let (_, end, id) = self.stores.remove(at.expect("it is there")).expect("is");
            self.answer(end, id);
        } else {
            let end = usize::from(timers[0] != Some(next));
            self.handle(end, Input::Deadline);
        }
        true
    }

    fn answer(&mut self, end: usize, id: CommitId) {
        let commit = self.asked[end].remove(&id).expect("it was asked");
        if self.roll() < self.trouble / 2 {
            return self.handle(end, Input::CommitFailed(id, None));
        }
        let (row, messages) = match commit {
            Commit::Frame {
                session,
                index,
                messages,
                ..
            } => (Ok((session, index)), messages),
            Commit::Message(received) => (Err(id), vec![received]),
        };
        if self.durable[end].insert(row, messages.clone()).is_none() {
            self.news
                .extend(messages.into_iter().map(|message| (end, message)));
        }
        self.handle(end, Input::Committed(id, None));
    }

    /// The messages that an end's store holds.
    pub(crate) fn stored(&self, end: usize) -> Vec<Received> {
        self.durable[end].values().flatten().cloned().collect()
    }
}
