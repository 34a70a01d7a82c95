//! LOINC codes and their check digit.

/// Whether a text is a LOINC code: up to seven digits, a hyphen and the mod 10 check digit
/// (LOINC Users' Guide, appendix on check digits).
pub fn is_loinc(text: &str) -> bool {
    let Some((number, check)) = text.split_once('-') else {
        return false;
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if number.is_empty() || number.len() > 7 || check.len() != 1 || !is_digits(number) {
        return false;
    }
    check.parse() == Ok(check_digit(number))
}

/// From the right, every other digit is doubled and its digits are added up.
fn check_digit(number: &str) -> u32 {
    let digits = number.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, double) => double / 10 + double % 10,
            _ => digit,
        })
        .sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_known_codes_hold_and_typing_errors_do_not() {
        for code in [
            "6690-2", "789-8", "718-7", "4544-3", "777-3", "2345-7", "32623-1", "883-9",
        ] {
            assert!(is_loinc(code), "{code}");
        }
        // The first wrong one is real: an analyzer sends it.
        for code in [
            "789-9", "6960-2", "6690", "6690-", "-2", "6690-22", "x690-2", "é-2",
        ] {
            assert!(!is_loinc(code), "{code}");
        }
    }
}
