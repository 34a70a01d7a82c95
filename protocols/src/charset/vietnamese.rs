//! Vietnamese letters: what each one is made of, so that NFC, NFD and windows-1258 text mean the
//! same, and so that a name can be written where only ASCII fits.

/// Combining grave, acute, hook above, tilde, dot below: the order of the columns in [`TONED`].
const TONES: [char; 5] = ['\u{300}', '\u{301}', '\u{309}', '\u{303}', '\u{323}'];

const DOT_BELOW: char = '\u{323}';
const HORN: char = '\u{31b}';

/// Each vowel with its five tones. 24 vowels, 120 letters.
const TONED: [(char, [char; 5]); 24] = [
    ('a', ['à', 'á', 'ả', 'ã', 'ạ']),
    ('ă', ['ằ', 'ắ', 'ẳ', 'ẵ', 'ặ']),
    ('â', ['ầ', 'ấ', 'ẩ', 'ẫ', 'ậ']),
    ('e', ['è', 'é', 'ẻ', 'ẽ', 'ẹ']),
    ('ê', ['ề', 'ế', 'ể', 'ễ', 'ệ']),
    ('i', ['ì', 'í', 'ỉ', 'ĩ', 'ị']),
    ('o', ['ò', 'ó', 'ỏ', 'õ', 'ọ']),
    ('ô', ['ồ', 'ố', 'ổ', 'ỗ', 'ộ']),
    ('ơ', ['ờ', 'ớ', 'ở', 'ỡ', 'ợ']),
    ('u', ['ù', 'ú', 'ủ', 'ũ', 'ụ']),
    ('ư', ['ừ', 'ứ', 'ử', 'ữ', 'ự']),
    ('y', ['ỳ', 'ý', 'ỷ', 'ỹ', 'ỵ']),
    ('A', ['À', 'Á', 'Ả', 'Ã', 'Ạ']),
    ('Ă', ['Ằ', 'Ắ', 'Ẳ', 'Ẵ', 'Ặ']),
    ('Â', ['Ầ', 'Ấ', 'Ẩ', 'Ẫ', 'Ậ']),
    ('E', ['È', 'É', 'Ẻ', 'Ẽ', 'Ẹ']),
    ('Ê', ['Ề', 'Ế', 'Ể', 'Ễ', 'Ệ']),
    ('I', ['Ì', 'Í', 'Ỉ', 'Ĩ', 'Ị']),
    ('O', ['Ò', 'Ó', 'Ỏ', 'Õ', 'Ọ']),
    ('Ô', ['Ồ', 'Ố', 'Ổ', 'Ỗ', 'Ộ']),
    ('Ơ', ['Ờ', 'Ớ', 'Ở', 'Ỡ', 'Ợ']),
    ('U', ['Ù', 'Ú', 'Ủ', 'Ũ', 'Ụ']),
    ('Ư', ['Ừ', 'Ứ', 'Ử', 'Ữ', 'Ự']),
    ('Y', ['Ỳ', 'Ý', 'Ỷ', 'Ỹ', 'Ỵ']),
];

/// Vowels made by a circumflex, a breve or a horn: base, combining mark, letter.
const SHAPED: [(char, char, char); 12] = [
    ('a', '\u{306}', 'ă'),
    ('a', '\u{302}', 'â'),
    ('e', '\u{302}', 'ê'),
    ('o', '\u{302}', 'ô'),
    ('o', HORN, 'ơ'),
    ('u', HORN, 'ư'),
    ('A', '\u{306}', 'Ă'),
    ('A', '\u{302}', 'Â'),
    ('E', '\u{302}', 'Ê'),
    ('O', '\u{302}', 'Ô'),
    ('O', HORN, 'Ơ'),
    ('U', HORN, 'Ư'),
];

/// The vowel and the combining tone of a toned letter: ế is ê and U+0301.
pub(super) fn tone_of(letter: char) -> Option<(char, char)> {
    TONED.iter().find_map(|(vowel, toned)| {
        let (_, tone) = toned.iter().zip(TONES).find(|(t, _)| **t == letter)?;
        Some((*vowel, tone))
    })
}

/// The letter made of `vowel` and a combining tone.
fn with_tone(vowel: char, tone: char) -> Option<char> {
    let (_, toned) = TONED.iter().find(|(v, _)| *v == vowel)?;
    // Not one after the other in one loop: LLVM 22.1 makes another program of that now and then, and a
    // release is compared byte by byte (`config/debian/reproducible.sh`).
    let which = TONES.iter().position(|t| *t == tone)?;
    toned.get(which).copied()
}

/// The canonical composition of a letter and a following mark, if it is a Vietnamese letter.
fn compose_pair(letter: char, mark: char) -> Option<char> {
    if let Some(toned) = with_tone(letter, mark) {
        return Some(toned);
    }
    let (base, tone) = match tone_of(letter) {
        Some((base, tone)) => (base, Some(tone)),
        None => (letter, None),
    };
    let (_, _, shaped) = *SHAPED.iter().find(|(b, m, _)| *b == base && *m == mark)?;
    match tone {
        None => Some(shaped),
        // Canonical order puts horn, then dot below, before all marks above the letter. A
        // circumflex after an acute is another text than an acute after a circumflex.
        Some(tone) if tone == DOT_BELOW || mark == HORN => with_tone(shaped, tone),
        Some(_) => None,
    }
}

/// Vietnamese letters written with combining marks become single letters (their NFC form); all
/// other text stays as it is.
pub(super) fn compose(text: &str) -> String {
    let mut composed = String::with_capacity(text.len());
    let mut last: Option<char> = None;
    for ch in text.chars() {
        last = match last {
            Some(letter) => match compose_pair(letter, ch) {
                Some(joined) => Some(joined),
                None => {
                    composed.push(letter);
                    Some(ch)
                }
            },
            None => Some(ch),
        };
    }
    composed.extend(last);
    composed
}

/// Whether the character is a combining mark (U+0300 to U+036F).
pub(super) fn is_mark(ch: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&ch)
}

/// The ASCII letter beneath a Vietnamese letter; every other character is itself.
pub(super) fn plain(letter: char) -> char {
    let vowel = tone_of(letter).map_or(letter, |(vowel, _)| vowel);
    match vowel {
        'đ' => 'd',
        'Đ' => 'D',
        // Eth looks like Đ and is typed for it, above all where text once was Latin-1.
        'ð' => 'd',
        'Ð' => 'D',
        _ => SHAPED
            .iter()
            .find(|(_, _, s)| *s == vowel)
            .map_or(vowel, |(base, _, _)| *base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every Vietnamese letter that is not ASCII, with its full decomposition.
    fn letters() -> Vec<(char, String)> {
        let mut all = vec![];
        for (base, mark, shaped) in SHAPED {
            all.push((shaped, format!("{base}{mark}")));
        }
        for (vowel, toned) in TONED {
            let spelled = SHAPED
                .iter()
                .find(|(_, _, s)| *s == vowel)
                .map_or(vowel.to_string(), |(base, mark, _)| format!("{base}{mark}"));
            for (letter, tone) in toned.into_iter().zip(TONES) {
                all.push((letter, format!("{spelled}{tone}")));
            }
        }
        all
    }

    #[test]
    fn the_table_holds_132_different_letters() {
        let mut seen: Vec<char> = letters().into_iter().map(|(letter, _)| letter).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 132);
        assert!(seen.iter().all(|c| !c.is_ascii() && c.is_alphabetic()));
    }

    #[test]
    fn every_letter_is_composed_from_its_parts() {
        for (letter, parts) in letters() {
            assert_eq!(compose(&parts), letter.to_string(), "{parts:?}");
            assert_eq!(compose(&letter.to_string()), letter.to_string());
        }
    }

    #[test]
    fn canonical_order_with_the_dot_first_is_composed() {
        assert_eq!(compose("a\u{323}\u{302}"), "ậ");
        assert_eq!(compose("a\u{323}\u{306}"), "ặ");
        assert_eq!(compose("o\u{31b}\u{323}"), "ợ");
        assert_eq!(compose("o\u{301}\u{31b}"), "ớ");
        assert_eq!(compose("a\u{301}\u{302}"), "á\u{302}");
        assert_eq!(compose("x\u{301}"), "x\u{301}");
    }

    #[test]
    fn every_letter_has_a_plain_letter_of_its_case() {
        for (letter, parts) in letters() {
            let base = parts.chars().next().unwrap();
            assert_eq!(plain(letter), base, "{letter}");
            assert_eq!(letter.is_uppercase(), base.is_ascii_uppercase(), "{letter}");
        }
    }
}
