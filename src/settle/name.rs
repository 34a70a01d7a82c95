//! A patient's name, compared: never a reason to hold, a note all the same.

use std::collections::BTreeSet;

use labwire_protocols::{
    charset::transliterate,
    hl7::{Separators, escape},
};

use crate::book::Fields;

/// PID-5.
const NAME: u16 = 5;

/// Family, given and middle name of PID-5; what follows is title, degree and kind.
const NAME_PARTS: usize = 3;

/// Whether a device names somebody else than the order does. Marks, case, order of words and what
/// joins them say nothing, since devices lose them; nor does a name that the other side has more
/// of, since a field may hold the family name alone.
pub(super) fn differs(seen: &str, ordered: &Fields) -> bool {
    let raw = ordered.get(&NAME).map_or("", String::as_str);
    let first = raw.split('~').next().unwrap_or_default();
    let parts: Vec<_> = first
        .split('^')
        .take(NAME_PARTS)
        .map(|part| escape::decode(part, Separators::STANDARD).0)
        .collect();
    let (seen, ordered) = (words(seen), words(&parts.join(" ")));
    !seen.is_subset(&ordered) && !ordered.is_subset(&seen)
}

/// The words of a name, plain.
fn words(name: &str) -> BTreeSet<String> {
    let plain = transliterate(name).to_lowercase();
    let words = plain.split(|ch: char| !ch.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_another_when_a_word_of_each_side_is_not_in_the_other() {
        let check = |seen: &str, ordered: &str, expected: bool| {
            let fields = Fields::from([(NAME, ordered.to_owned())]);
            assert_eq!(differs(seen, &fields), expected, "{seen} {ordered}");
        };
        let ordered = "TRẦN^BÌNH^THỊ^^Bà^^L~TRAN^SUSAN";
        for same in [
            "TRẦN^BÌNH^THỊ",
            "Tran Thi Binh",
            "TRAN^BINH THI",
            "trần, thị bình",
            "TRAN",
            "TRAN^BINH^THI^NGOC",
            "",
            "^",
        ] {
            check(same, ordered, false);
        }
        for other in ["TRAN^SUSAN", "LE^BINH^THI", "NGUYEN", "TRAN BINHTHI"] {
            check(other, ordered, true);
        }
        check("TRAN", "", false);
        check("O'BRIEN\u{301}", "O\\T\\BRIEN", false);
    }
}
