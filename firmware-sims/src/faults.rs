//! Faults on the wire, from a seed: what leaves a simulator may be split, cut, flipped, doubled or
//! held up on its way.

use std::{collections::VecDeque, str::FromStr, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::chance::Chance;

/// Which faults, and how often (per mille of the pieces written).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Longest piece that is written at once; 0 leaves what is written whole.
    pub piece_bytes_max: usize,
    /// One bit of a piece is wrong. ASTM finds that by its checksum; MLLP cannot.
    pub flip: u16,
    /// A piece is written twice. A doubled ASTM frame is acknowledged twice, which the standard's
    /// sender cannot tell from an answer to its next frame: for tests of a host, not of loss.
    pub duplicate: u16,
    /// A piece waits before it is written.
    pub delay: u16,
    /// Longest wait of a delayed piece.
    pub delay_max: Duration,
    /// The connection is cut before a piece.
    pub cut: u16,
    /// The connection is cut after exactly this many bytes, counted over all connections; the
    /// first number is used up first.
    pub cut_at: Vec<u64>,
}

impl FaultPlan {
    /// Whether it does nothing.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for FaultPlan {
    type Err = String;

    /// Reads `split=7,flip=20,duplicate=5,delay=50,delay-ms=200,cut=3,cut-at=120`: rates per
    /// mille of the pieces, sizes in bytes. `cut-at` may be repeated.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self {
            delay_max: Duration::from_millis(100),
            ..Self::default()
        };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('=').unwrap_or((part, "10"));
            plan.set(name.trim(), number.trim())?;
        }
        Ok(plan)
    }
}

impl FaultPlan {
    fn set(&mut self, name: &str, number: &str) -> Result<(), String> {
        let value: u64 = number
            .parse()
            .map_err(|_| format!("`{number}` of the fault `{name}` is not a number"))?;
        let rate = || {
            u16::try_from(value)
                .ok()
                .filter(|rate| *rate <= 1_000)
                .ok_or_else(|| format!("the rate of `{name}` is per mille: 0 to 1000"))
        };
        match name {
            "split" => self.piece_bytes_max = usize::try_from(value).unwrap_or(usize::MAX),
            "flip" => self.flip = rate()?,
            "duplicate" => self.duplicate = rate()?,
            "delay" => self.delay = rate()?,
            "delay-ms" => self.delay_max = Duration::from_millis(value),
            "cut" => self.cut = rate()?,
            "cut-at" => self.cut_at.push(value),
            _ => {
                return Err(format!(
                    "`{name}` is no fault; there are split, flip, duplicate, delay, delay-ms, cut, cut-at"
                ));
            }
        }
        Ok(())
    }
}

/// One thing to do with the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Write(Bytes),
    /// Write nothing for this long.
    Wait(Duration),
    /// Close the connection without a word.
    Cut,
}

/// Applies a plan to what one simulator writes, over all its connections.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: FaultPlan,
    chance: Chance,
    written: u64,
    cuts: VecDeque<u64>,
}

impl Faults {
    /// A wire with these faults.
    pub fn new(plan: FaultPlan, seed: u64) -> Self {
        let cuts = plan.cut_at.iter().copied().collect();
        Self {
            plan,
            chance: Chance::fork(seed, "faults"),
            written: 0,
            cuts,
        }
    }

    /// A wire without faults.
    pub fn none() -> Self {
        Self::new(FaultPlan::default(), 0)
    }

    /// What happens to `bytes` on their way.
    pub fn pass(&mut self, bytes: Bytes) -> Vec<Step> {
        if self.plan.is_clean() {
            return vec![Step::Write(bytes)];
        }
        let mut steps = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(self.piece_length(rest.len()));
            if self.chance.happens(self.plan.cut) {
                steps.push(Step::Cut);
                return steps;
            }
            if self.chance.happens(self.plan.delay) {
                steps.push(Step::Wait(self.wait()));
            }
            let piece = self.damage(piece);
            let times = if self.chance.happens(self.plan.duplicate) {
                2
            } else {
                1
            };
            for _ in 0..times {
                if self.write(piece.clone(), &mut steps) {
                    return steps;
                }
            }
        }
        steps
    }

    fn piece_length(&mut self, length: usize) -> usize {
        match self.plan.piece_bytes_max {
            0 => length,
            max => (1 + self.chance.index(max)).min(length),
        }
    }

    fn wait(&mut self) -> Duration {
        let max = u64::try_from(self.plan.delay_max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance.below(max.saturating_add(1)))
    }

    fn damage(&mut self, piece: Bytes) -> Bytes {
        if !self.chance.happens(self.plan.flip) {
            return piece;
        }
        let mut damaged = BytesMut::from(piece.as_ref());
        let at = self.chance.index(damaged.len());
        let bit = self.chance.index(8);
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= 1 << bit;
        }
        damaged.freeze()
    }

    /// Adds the writing of `piece`, up to the next cut; says whether it was cut.
    fn write(&mut self, mut piece: Bytes, steps: &mut Vec<Step>) -> bool {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let end = self.written.saturating_add(length);
        if let Some(cut) = self.cuts.front().copied()
            && cut < end
        {
            let kept = usize::try_from(cut.saturating_sub(self.written)).unwrap_or(0);
            self.cuts.pop_front();
            self.written = self.written.max(cut);
            steps.push(Step::Write(piece.split_to(kept.min(piece.len()))));
            steps.push(Step::Cut);
            return true;
        }
        self.written = end;
        steps.push(Step::Write(piece));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(plan: &str, seed: u64, bytes: &'static [u8]) -> Vec<Step> {
        let plan = plan.parse().expect("a plan");
        Faults::new(plan, seed).pass(Bytes::from_static(bytes))
    }

    fn written(steps: &[Step]) -> Vec<u8> {
        let pieces = steps.iter().map(|step| match step {
            Step::Write(bytes) => bytes.to_vec(),
            Step::Wait(_) | Step::Cut => Vec::new(),
        });
        pieces.flatten().collect()
    }

    #[test]
    fn a_split_message_arrives_whole_and_in_order() {
        let steps = pass("split=3", 5, b"a message of some length");
        assert!(steps.len() > 7, "{steps:?}");
        assert_eq!(written(&steps), b"a message of some length");
    }

    #[test]
    fn a_cut_comes_after_exactly_so_many_bytes() {
        let steps = pass("cut-at=9", 5, b"a message of some length");
        assert_eq!(written(&steps), b"a message");
        assert_eq!(steps.last(), Some(&Step::Cut));
    }

    #[test]
    fn a_flip_changes_one_bit() {
        let steps = written(&pass("flip=1000", 5, b"abcdef"));
        let differing: u32 = steps
            .iter()
            .zip(b"abcdef")
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(differing, 1);
    }

    #[test]
    fn a_duplicate_is_written_twice_and_a_delay_waits() {
        assert_eq!(written(&pass("duplicate=1000", 5, b"ab")), b"abab");
        let steps = pass("delay=1000,delay-ms=40", 5, b"ab");
        assert!(matches!(steps[0], Step::Wait(time) if time <= Duration::from_millis(40)));
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let plan = "split=4,flip=200,duplicate=100,delay=100,cut=20";
        let message = b"a message long enough to be hurt in several places";
        assert_eq!(pass(plan, 5, message), pass(plan, 5, message));
        assert_ne!(pass(plan, 5, message), pass(plan, 6, message));
    }

    #[test]
    fn a_plan_that_cannot_be_read_says_what_is_wrong() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<FaultPlan>().expect_err(text);
            assert!(error.contains(part), "{error}");
        };
        check("melt=3", "is no fault");
        check("flip=x", "is not a number");
        check("flip=1001", "per mille");
    }
}
