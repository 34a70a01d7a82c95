//! Where the fields of a row lie, found in one pass over its bytes, and how parts are cut out.

use labwire_protocols::places::places;

/// The name of a record or segment, for comparing: up to three letters, the case of which does not
/// matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowName([u8; 4]);

impl RowName {
    /// What a text without a name has; no path names it.
    const NONE: Self = Self([0; 4]);

    /// The name as read, or as a path writes it.
    #[inline]
    pub(super) const fn of(name: &str) -> Self {
        // The length tells `O` from `O` and a NUL.
        match name.as_bytes() {
            [a] => Self([1, a.to_ascii_uppercase(), 0, 0]),
            [a, b] => Self([2, a.to_ascii_uppercase(), b.to_ascii_uppercase(), 0]),
            [a, b, c] => Self([
                3,
                a.to_ascii_uppercase(),
                b.to_ascii_uppercase(),
                c.to_ascii_uppercase(),
            ]),
            _ => Self::NONE,
        }
    }

    /// The name of a row of places with names, which no record or segment has.
    pub(super) const fn of_places(name: &str) -> Self {
        match name.as_bytes() {
            [first, .., before, last] => Self([0xFF, *first, *before, *last]),
            _ => Self::NONE,
        }
    }

    /// Whether it is of this name. A row without a name is of none, not even of another such row's.
    #[inline]
    pub(super) fn is(self, name: Self) -> bool {
        self == name && self != Self::NONE
    }
}

/// Where the first field delimiters of a row stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldMarks {
    at: [u16; MARKS_MAX],
    count: usize,
    /// There are no others.
    is_all: bool,
}

/// Delimiters remembered of a row: an order record has 30, a result segment some 18. What stands
/// behind them is searched for.
const MARKS_MAX: usize = 32;

impl FieldMarks {
    /// Of a row without delimiters.
    pub(super) const NONE: Self = Self {
        at: [0; MARKS_MAX],
        count: 0,
        is_all: true,
    };

    /// Finds `mark`, which is ASCII, in a row's text.
    pub(super) fn find(text: &str, mark: u8) -> Self {
        let mut marks = Self {
            at: [0; MARKS_MAX],
            count: 0,
            is_all: true,
        };
        for at in places(text.as_bytes(), mark) {
            marks.push(at);
        }
        marks
    }

    fn push(&mut self, at: usize) {
        match (self.at.get_mut(self.count), u16::try_from(at)) {
            (Some(place), Ok(at)) => {
                *place = at;
                self.count += 1;
            }
            _ => self.is_all = false,
        }
    }

    /// Field `n`, from 0, of the text in which the marks were found; empty if there is none.
    #[inline]
    pub(super) fn field<'t>(&self, text: &'t str, mark: u8, n: usize) -> &'t str {
        if n > self.count || n == self.count && !self.is_all {
            return if self.is_all {
                ""
            } else {
                text.split(char::from(mark)).nth(n).unwrap_or_default()
            };
        }
        let at = |n: usize| self.at.get(n).map_or(text.len(), |at| usize::from(*at));
        let start = n.checked_sub(1).map_or(0, |before| at(before) + 1);
        let end = if n < self.count { at(n) } else { text.len() };
        text.get(start..end).unwrap_or_default()
    }
}

/// The pieces of a text cut at each `mark`, which is ASCII: as `split` gives them, without its cost
/// for a text of a few letters.
pub(super) fn pieces(text: &str, mark: u8) -> impl Iterator<Item = &str> + use<'_> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.bytes().position(|byte| byte == mark) {
            Some(at) => {
                rest = text.get(at + 1..);
                text.get(..at)
            }
            None => rest.take(),
        }
    })
}

/// Piece `n`, from 0, of a text cut at each `mark`, which is ASCII.
#[inline]
pub(super) fn piece(text: &str, mark: u8, n: usize) -> Option<&str> {
    pieces(text, mark).nth(n)
}

/// Takes declared padding off both ends.
#[inline]
pub(super) fn trim<'t>(text: &'t str, padding: &str) -> &'t str {
    match padding {
        "" => text,
        // Nearly every text has none.
        " " if !matches!(text.as_bytes(), [b' ', ..] | [.., b' ']) => text,
        " " => text.trim_matches(' '),
        _ => text.trim_matches(|ch| padding.contains(ch)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_those_of_a_plain_split(
            text in r"[a-zà-ỹ|\x00}\u{17c}]{0,120}",
            n in 0_usize..130,
        ) {
            let marks = FieldMarks::find(&text, b'|');
            let expected = text.split('|').nth(n);
            prop_assert_eq!(marks.field(&text, b'|', n), expected.unwrap_or_default());
            prop_assert_eq!(piece(&text, b'|', n), expected);
            prop_assert!(pieces(&text, b'|').eq(text.split('|')));
        }
    }

    #[test]
    fn fields_behind_what_is_remembered_are_found() {
        let wide = "x|".repeat(MARKS_MAX + 5);
        let long = format!("{}|b|c", "a".repeat(usize::from(u16::MAX)));
        for (text, n, expected) in [
            (wide.as_str(), MARKS_MAX - 1, "x"),
            (&wide, MARKS_MAX, "x"),
            (&wide, MARKS_MAX + 4, "x"),
            (&wide, MARKS_MAX + 5, ""),
            (&wide, MARKS_MAX + 9, ""),
            (&long, 1, "b"),
            (&long, 2, "c"),
            (&long, 3, ""),
        ] {
            assert_eq!(
                FieldMarks::find(text, b'|').field(text, b'|', n),
                expected,
                "{n}"
            );
        }
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!(RowName::of("obx").is(RowName::of("OBX")));
        assert!(RowName::of("R").is(RowName::of("r")));
        for (a, b) in [
            ("O", "OBX"),
            ("O", "O\0"),
            ("", ""),
            ("LONG", "LONG"),
            ("OBR", "OBX"),
        ] {
            assert!(!RowName::of(a).is(RowName::of(b)), "{a} {b}");
        }
    }
}
