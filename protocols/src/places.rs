//! Where a byte stands in a text: eight bytes are looked at together, since a delimiter comes every
//! few letters and a search that begins anew behind each of them costs more than it saves.

/// Lowest bit of each byte of a word.
const LOWEST: u64 = u64::from_ne_bytes([0x01; 8]);
/// All bits but the highest of each byte.
const ALL_BUT_HIGHEST: u64 = u64::from_ne_bytes([0x7F; 8]);

/// The offsets of `byte` in `text`, in order.
#[inline]
pub fn places(text: &[u8], byte: u8) -> impl Iterator<Item = usize> + use<'_> {
    let (words, rest) = text.as_chunks::<8>();
    let wanted = LOWEST * u64::from(byte);
    let in_words = Places {
        words: words.iter(),
        found: 0,
        start: 0,
        wanted,
    };
    let behind = text.len() - rest.len();
    let rest = rest.iter().enumerate();
    in_words.chain(rest.filter_map(move |(at, own)| (*own == byte).then_some(behind + at)))
}

struct Places<'t> {
    words: std::slice::Iter<'t, [u8; 8]>,
    /// The highest bit of each byte of the word before `words` that is still to be told.
    found: u64,
    /// Where `words` goes on.
    start: usize,
    /// The byte, eight times.
    wanted: u64,
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            let difference = u64::from_le_bytes(*self.words.next()?) ^ self.wanted;
            // Only of a byte that is zero the highest bit stays clear when 0x7F is added to the
            // other seven bits; no sum carries into the next byte.
            let others = (difference & ALL_BUT_HIGHEST) + ALL_BUT_HIGHEST;
            self.found = !(others | difference | ALL_BUT_HIGHEST);
            self.start = self.start.saturating_add(8);
        }
        let bit = self.found.trailing_zeros();
        self.found &= self.found - 1;
        // `start` is already behind the word.
        let from_end = usize::try_from(8 - bit / 8).unwrap_or(0);
        Some(self.start.saturating_sub(from_end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_a_plain_search(
            text in proptest::collection::vec(prop_oneof![Just(b'|'), any::<u8>()], 0..100),
            byte in prop_oneof![Just(b'|'), any::<u8>()],
        ) {
            let plain = text.iter().enumerate().filter(|(_, own)| **own == byte);
            prop_assert!(places(&text, byte).eq(plain.map(|(at, _)| at)));
        }
    }
}
