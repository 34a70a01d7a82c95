//! A message that was cut and went on in the next one, as the device meant it: one.
//!
//! Only devices that say `restart = "record"` do this (LIS02-A2 5.5). The parts stay in the journal
//! as they came; what is read from them names the part and the place in it.

use std::ops::Range;

use labwire_protocols::astm::record::continuation;

use super::decode::Decoded;
use crate::model::Item;

/// Most bytes of the parts before the last: what a message may have itself.
const CUT_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The records of several parts behind each other, each record once.
#[derive(Debug)]
pub struct Joined {
    raw: Vec<u8>,
    parts: Vec<Part>,
    /// Parts before these that belong to something else.
    left_out: usize,
}

/// Where the records of a part begin, in the joined bytes and in its own.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    own: usize,
}

impl Joined {
    /// Joins `last` with the parts before it, oldest first, as far back as each goes on with the one
    /// before. `None` when it goes on with none of them.
    pub fn of(cut: &[&[u8]], last: &[u8]) -> Option<Self> {
        let mut joined: Option<Self> = None;
        for (index, part) in cut.iter().chain([&last]).enumerate() {
            joined = Some(match joined.take() {
                None => Self::new(part, index),
                Some(before) => before.with(part).unwrap_or_else(|| Self::new(part, index)),
            });
        }
        joined.filter(|joined| joined.parts.len() > 1)
    }

    fn new(part: &[u8], left_out: usize) -> Self {
        Self {
            raw: part.to_vec(),
            parts: vec![Part { start: 0, own: 0 }],
            left_out,
        }
    }

    fn with(mut self, next: &[u8]) -> Option<Self> {
        if self.raw.len() > CUT_BYTES_MAX {
            return None;
        }
        let found = continuation(&self.raw, next)?;
        self.raw.truncate(found.kept);
        self.parts.push(Part {
            start: found.kept,
            own: found.from,
        });
        self.raw
            .extend_from_slice(next.get(found.from..).unwrap_or_default());
        Some(self)
    }

    /// The message as one.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// How many of the parts before the last do not belong to it.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// What was decoded from [`raw`](Self::raw), by the parts that belong to the message, with spans
    /// in each part's own bytes. A query has no span; it stands with the last part.
    pub fn split(&self, decoded: Decoded) -> Vec<Vec<Item>> {
        let mut split: Vec<Vec<Item>> = self.parts.iter().map(|_| Vec::new()).collect();
        for mut item in decoded.items {
            let at = match &mut item {
                Item::Observation(observation) => self.place(&mut observation.span),
                Item::Image(image) => self.place(&mut image.span),
                Item::Device(event) => self.place(&mut event.span),
                Item::Incomplete(part) => self.place(&mut part.span),
                Item::Query(_) => self.parts.len() - 1,
            };
            if let Some(part) = split.get_mut(at) {
                part.push(item);
            }
        }
        split
    }

    /// The part that a span begins in; the span becomes that part's.
    fn place(&self, span: &mut Range<usize>) -> usize {
        let after = self.parts.partition_point(|part| part.start <= span.start);
        let index = after.saturating_sub(1);
        if let Some(part) = self.parts.get(index) {
            let shift = |at: usize| at.saturating_sub(part.start).saturating_add(part.own);
            *span = shift(span.start)..shift(span.end);
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_as_far_as_they_go_on() {
        let other: &[u8] = b"H|\\^&\rP|1\rO|1|X\r";
        let one: &[u8] = b"H|\\^&\rP|1\rO|1|T\rR|1|^^^A|1\rR|2|^^^";
        let two: &[u8] = b"H|\\^&\rP|1\rO|1|T\rR|2|^^^B|2\r";
        let three: &[u8] = b"R|3|^^^C|3\rL|1\r";
        let joined = Joined::of(&[other, one, two], three).expect("one message");
        assert_eq!(joined.left_out(), 1);
        let whole = b"H|\\^&\rP|1\rO|1|T\rR|1|^^^A|1\rR|2|^^^B|2\rR|3|^^^C|3\rL|1\r";
        assert_eq!(joined.raw(), whole);
        for (text, part, bytes) in [("R|1", 0, one), ("R|2", 1, two), ("R|3", 2, three)] {
            let start = whole
                .windows(3)
                .position(|window| window == text.as_bytes())
                .expect("it is there");
            let mut span = start..start + 10;
            assert_eq!(joined.place(&mut span), part);
            assert!(bytes[span].starts_with(text.as_bytes()), "{text}");
        }
        assert!(Joined::of(&[one, other], three).is_none());
        assert!(Joined::of(&[], three).is_none());
    }
}
