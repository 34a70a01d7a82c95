//! The console's words, in the language of whoever looks.

use jiff::{Timestamp, tz::TimeZone};

use crate::text::{self, Language};

/// Speaks a language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words(pub(super) Language);

impl Words {
    /// The text of a key below `console`.
    pub(super) fn t(self, key: &str) -> String {
        self.f(key, &[])
    }

    /// The same with its arguments.
    pub(super) fn f(self, key: &str, args: &[(&str, &str)]) -> String {
        text::text(self.0, &format!("console.{key}"), args)
    }

    /// A count with its dots or commas: `12.345` in Vietnamese, `12,345` in English.
    pub(super) fn count(self, count: impl TryInto<u64>) -> String {
        let count: u64 = count.try_into().unwrap_or(0);
        let digits = count.to_string();
        let mark = match self.0 {
            Language::Vi => '.',
            Language::En => ',',
        };
        let mut told = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                told.push(mark);
            }
            told.push(digit);
        }
        told
    }
}

/// The time of day where it is today, with the day where it is not.
pub(super) fn moment(micros: i64, zone: &TimeZone, now: i64) -> String {
    let read = |micros| Timestamp::from_microsecond(micros).map(|at| at.to_zoned(zone.clone()));
    let (Ok(at), Ok(now)) = (read(micros), read(now)) else {
        return String::new();
    };
    let format = if at.date() == now.date() {
        "%H:%M:%S"
    } else if at.year() == now.year() {
        "%d/%m %H:%M"
    } else {
        "%d/%m/%Y %H:%M"
    };
    at.strftime(format).to_string()
}

/// An instant for programs, RFC 3339.
pub(super) fn rfc3339(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_the_language_writes_them() {
        assert_eq!(Words(Language::Vi).count(1_234_567_u64), "1.234.567");
        assert_eq!(Words(Language::En).count(12_345_i64), "12,345");
        assert_eq!(Words(Language::En).count(0_i64), "0");
    }

    #[test]
    fn what_is_today_is_told_by_the_hour() {
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").expect("a zone");
        let now = 1_773_129_600_000_000;
        assert_eq!(moment(now, &zone, now), "15:00:00");
        assert_eq!(moment(now - 86_400_000_000, &zone, now), "09/03 15:00");
        assert_eq!(
            moment(now - 366 * 86_400_000_000, &zone, now),
            "09/03/2025 15:00"
        );
    }
}
