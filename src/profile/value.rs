//! What a value field means: number, limit, titre, code, text, or no value.

use std::{borrow::Cow, collections::BTreeMap};

use rust_decimal::Decimal;

use crate::model::{Absent, Comparator, Value};

/// How texts of one device are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) decimal_comma: bool,
    pub(super) absent: &'a [String],
    pub(super) over_range: &'a [String],
    /// No text is a number.
    pub(super) is_text: bool,
}

/// Note: a decimal comma was read as a point.
pub const NOTE_DECIMAL_COMMA: &str = "PROF-0101";
/// Note: a number with more digits than we calculate with stays a text.
pub const NOTE_NUMBER_TOO_LONG: &str = "PROF-0102";

impl Reading<'_> {
    /// Types a text that was unescaped and freed of declared padding. `code_of` is the catalogue's
    /// word for it; it goes first, since a laboratory may mean `++++` as a grade.
    pub(super) fn value(
        self,
        text: &str,
        code_of: impl Fn(&str) -> Option<String>,
        notes: &mut Vec<String>,
    ) -> Value {
        if text.is_empty() {
            return Value::Absent { why: Absent::Empty };
        }
        if let Some(code) = code_of(text) {
            return Value::Coded { code };
        }
        if self.over_range.iter().any(|mark| mark == text) {
            return Value::Absent {
                why: Absent::OverRange,
            };
        }
        if is_mark(text) || self.absent.iter().any(|mark| mark == text) {
            return Value::Absent { why: Absent::Mark };
        }
        let number = (!self.is_text).then(|| self.quantity(text, notes).or_else(|| ratio(text)));
        number.flatten().unwrap_or_else(|| Value::Text {
            text: text.to_owned(),
        })
    }

    fn quantity(self, text: &str, notes: &mut Vec<String>) -> Option<Value> {
        let (comparator, number) = split_comparator(text);
        let number = number.trim_start_matches(' ');
        let pointed = self.with_point(number);
        if !is_number(&pointed) {
            return None;
        }
        let Some(decimal) = decimal(&pointed) else {
            notes.push(NOTE_NUMBER_TOO_LONG.to_owned());
            return None;
        };
        if matches!(pointed, Cow::Owned(_)) {
            notes.push(NOTE_DECIMAL_COMMA.to_owned());
        }
        Some(Value::Quantity {
            comparator,
            number: decimal,
        })
    }

    /// `7,41` as `7.41` where the profile says so; `1,234.5` stays what it is, which is no number.
    fn with_point<'t>(self, number: &'t str) -> Cow<'t, str> {
        if self.decimal_comma && number.matches(',').count() == 1 && !number.contains('.') {
            Cow::Owned(number.replace(',', "."))
        } else {
            Cow::Borrowed(number)
        }
    }
}

/// Rows of dashes or asterisks, which every analyzer that sends them means as "no value".
fn is_mark(text: &str) -> bool {
    let is_dashes = text.len() >= 3 && text.bytes().all(|byte| byte == b'-');
    let is_stars = text.contains('*') && text.bytes().all(|byte| matches!(byte, b'*' | b'.'));
    is_dashes || is_stars
}

/// A `<`, `<=`, `>` or `>=` in front.
fn split_comparator(text: &str) -> (Option<Comparator>, &str) {
    if !text.starts_with(['<', '>']) {
        return (None, text);
    }
    let all = [
        Comparator::LessOrEqual,
        Comparator::GreaterOrEqual,
        Comparator::Less,
        Comparator::Greater,
    ];
    let found = all
        .into_iter()
        .find_map(|c| text.strip_prefix(c.as_str()).map(|rest| (c, rest)));
    found.map_or((None, text), |(comparator, rest)| (Some(comparator), rest))
}

/// `[+-]?digits[.digits]`: HL7 NM without exponents (2.A.47), the strictest that both sides share.
fn is_number(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match body.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(body),
    }
}

/// The number with its scale, or `None` beyond what a decimal holds exactly.
fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text.strip_prefix('+').unwrap_or(text)).ok()
}

/// `1:128` and `3:4`.
fn ratio(text: &str) -> Option<Value> {
    let (numerator, denominator) = text.split_once(':')?;
    let is_plain = |part: &str| is_number(part) && !part.starts_with(['+', '-']);
    if !is_plain(numerator) || !is_plain(denominator) {
        return None;
    }
    let denominator = decimal(denominator)?;
    if numerator == "1" {
        return Some(Value::Titre { denominator });
    }
    Some(Value::Ratio {
        numerator: decimal(numerator)?,
        denominator,
    })
}

/// An HL7 SN value (2.A.70), `comparator^number^separator^number`; `None` if it is not one.
pub(super) fn structured(components: &[&str]) -> Option<Value> {
    let part = |n: usize| components.get(n).copied().unwrap_or_default().trim();
    let (comparator, rest) = split_comparator(part(0));
    if !rest.is_empty() || components.len() > 4 || !is_number(part(1)) {
        return None;
    }
    let first = decimal(part(1))?;
    match (part(2), part(3)) {
        ("", "") => Some(Value::Quantity {
            comparator,
            number: first,
        }),
        (":", second) if comparator.is_none() => ratio(&format!("{}:{second}", part(1))),
        _ => None,
    }
}

/// The catalogue's code for a text in a table of a profile.
pub(super) fn coded(table: &BTreeMap<String, String>, text: &str) -> Option<String> {
    table.get(text).cloned()
}
