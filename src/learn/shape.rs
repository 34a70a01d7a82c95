//! What values look like.

/// Whether a text looks like the id of a tube or patient: some letters and digits in one word.
pub(super) fn is_id(text: &str) -> bool {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (4..=30).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && digits * 2 >= text.len()
        && !is_number_with_point(text)
}

fn is_number_with_point(text: &str) -> bool {
    text.contains('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// How ids of control material begin where a site names them by hand.
pub(super) const CONTROL_PREFIXES: &[&str] = &["QC", "CTRL", "CONTROL", "CTL", "LEVEL"];

/// Whether a text is the id of control material, which is nobody's.
pub(super) fn is_control(text: &str) -> bool {
    let text = text.trim().to_uppercase();
    let is_word = text.len() <= 30 && !text.contains(' ');
    is_word
        && CONTROL_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix))
}

/// Whether a text is a day, or an instant to the minute or second.
pub(super) fn is_time(text: &str) -> bool {
    let digits = text.split(['+', '-', '.']).next().unwrap_or_default();
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u32>().ok();
    let is_in = |value: Option<u32>, low: u32, high: u32| {
        value.is_some_and(|value| (low..=high).contains(&value))
    };
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && [8, 12, 14].contains(&digits.len())
        && is_in(number(0, 4), 1900, 2100)
        && is_in(number(4, 6), 1, 12)
        && is_in(number(6, 8), 1, 31)
        && (digits.len() < 12 || is_in(number(8, 10), 0, 23) && is_in(number(10, 12), 0, 59))
        && (digits.len() < 14 || is_in(number(12, 14), 0, 59))
}

/// Whether a text is a number, or a limit that ends in one.
pub(super) fn is_number(text: &str) -> bool {
    let text = text.trim();
    let text = text.trim_start_matches(['<', '>', '=', '+', '-', ' ']);
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
        && text.matches(['.', ',']).count() <= 1
}

/// Whether a text looks like a unit.
pub(super) fn is_unit(text: &str) -> bool {
    const WHOLE: &[&str] = &[
        "%", "fL", "fl", "pg", "s", "sec", "ratio", "INR", "COI", "Index", "mm/h", "IU", "U", "AU",
        "RLU", "S/CO", "mmHg",
    ];
    let text = text.trim();
    let after_slash = text.rsplit_once('/').map(|(_, below)| below);
    let is_concentration = after_slash.is_some_and(|below| {
        matches!(
            below,
            "L" | "l" | "dL" | "dl" | "mL" | "ml" | "uL" | "ul" | "h" | "min" | "mol" | "g"
        )
    });
    text.len() <= 16 && (WHOLE.contains(&text) || is_concentration)
}

/// Whether a text looks like a reference range.
pub(super) fn is_range(text: &str) -> bool {
    let ends = text
        .split_once(" to ")
        .or_else(|| text.trim().get(1..).and_then(|_| text.split_once('-')));
    ends.is_some_and(|(low, high)| is_number(high) && (low.trim().is_empty() || is_number(low)))
}

/// Whether a text is a code of LOINC.
pub(super) fn is_loinc(text: &str) -> bool {
    text.split_once('-').is_some_and(|(number, check)| {
        (1..=6).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && check.len() == 1
            && check.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Digits as `9`, letters as `A`: `99.9`. What it is a shape of cannot be read from it.
pub(super) fn shape(text: &str) -> String {
    let letter = |letter: char| match letter {
        '0'..='9' => '9',
        letter if letter.is_alphabetic() => 'A',
        letter => letter,
    };
    text.trim().chars().take(24).map(letter).collect()
}

/// Words of results that every laboratory knows; any other text may be a sentence about a patient.
pub(super) fn is_common_word(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "NEG",
        "POS",
        "NEGATIVE",
        "POSITIVE",
        "NON",
        "NOT",
        "DETECTED",
        "REACTIVE",
        "NONREACTIVE",
        "INVALID",
        "ERROR",
        "NO",
        "RESULT",
        "LOW",
        "HIGH",
        "VERY",
        "MEDIUM",
        "TRACE",
        "NORMAL",
        "EQUIVOCAL",
        "BORDERLINE",
        "INDETERMINATE",
        "NR",
        "R",
        "MTB",
        "A",
        "B",
        "AB",
        "O",
        "RH",
    ];
    let text = text.trim();
    !text.is_empty()
        && text
            .split([' ', '-', '/', '(', ')', '+'])
            .filter(|word| !word.is_empty())
            .all(|word| WORDS.contains(&word.to_uppercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_by_their_looks() {
        for id in ["25011500017", " 2501150042 ", "QC-12345678", "A1234-1"] {
            assert!(is_id(id), "{id}");
        }
        for other in ["5.40", "NGUYEN", "12", "A", "", "12.5678"] {
            assert!(!is_id(other), "{other}");
        }
        for time in [
            "20250115",
            "202501150930",
            "20250115093000",
            "20250115093000+0700",
        ] {
            assert!(is_time(time), "{time}");
        }
        for other in ["25011500017", "20251315", "2025", "20250115993000"] {
            assert!(!is_time(other), "{other}");
        }
        assert!(is_number("<0.30") && is_number(" 7,4") && !is_number("1:128"));
        assert!(is_unit("10*9/L") && is_unit("%") && is_unit("mmol/L") && !is_unit("OPER1"));
        assert!(is_range("3.9-6.1") && is_range("62 to 106") && !is_range("2345-A"));
        assert!(is_loinc("6690-2") && !is_loinc("WBC"));
        assert!(is_common_word("NOT DETECTED") && !is_common_word("Nguyen"));
        assert_eq!(shape("12.5 (H)"), "99.9 (A)");
    }
}
