//! Numbers from a seed: the same on every machine and for ever, which no library promises.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The bias of a remainder is 2^-50 for the ranges used here.
        self.next().checked_rem(end).unwrap_or_default()
    }

    /// A number from `from` up to `to`.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Whether something of so many per thousand happens.
    pub(super) fn per_mille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// One of a list.
    pub(super) fn of<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
        list.get(usize::try_from(self.below(count)).unwrap_or_default())
    }

    /// One of a list by weight.
    pub(super) fn weighted<'l, T>(&mut self, list: &'l [(u64, T)]) -> Option<&'l T> {
        let mut at = self.below(list.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in list {
            if at < *weight {
                return Some(one);
            }
            at -= weight;
        }
        None
    }
}
