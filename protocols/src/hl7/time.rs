//! Times as HL7 writes them (TS and DTM, HL7 v2.5.1 2.A.22): partial ones stay partial.

use thiserror::Error;

/// A time of up to second precision with its fraction and zone, as far as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// As sent, the first component whole.
    pub text: &'a str,
    /// Year, 1 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: Option<u8>,
    /// Day of the month.
    pub day: Option<u8>,
    /// Hour, 0 to 23.
    pub hour: Option<u8>,
    /// Minute.
    pub minute: Option<u8>,
    /// Second, 0 to 59.
    pub second: Option<u8>,
    /// Digits after the point of the seconds, as sent; empty if none.
    pub fraction: &'a str,
    /// Minutes east of UTC, if a zone was sent.
    pub offset_minutes: Option<i16>,
}

/// How much of a time was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// `YYYY`.
    Year,
    /// `YYYYMM`.
    Month,
    /// `YYYYMMDD`.
    Day,
    /// `YYYYMMDDHH`.
    Hour,
    /// `YYYYMMDDHHMM`.
    Minute,
    /// `YYYYMMDDHHMMSS`.
    Second,
    /// With a fraction of the second.
    Fraction,
}

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Empty, or `""`.
    #[error("HL7-0301 read a time: nothing was sent")]
    Empty,
    /// Not digits in the standard's order.
    #[error("HL7-0302 read a time: it is not YYYY[MM[DD[HH[MM[SS[.S]]]]]][+/-ZZZZ]")]
    Malformed,
    /// A part that no calendar or clock has.
    #[error("HL7-0303 read a time: a part is out of range")]
    OutOfRange,
}

/// Most digits after the point (2.A.22 has four; microscopes of detail are kept a little further).
const FRACTION_MAX: usize = 9;
/// The farthest zones lie 14 hours from UTC.
const OFFSET_MINUTES_MAX: i16 = 14 * 60;

impl<'a> Timestamp<'a> {
    /// Reads the first component of a TS or a whole DTM. Blanks around it are not part of it.
    ///
    /// # Errors
    /// See [`TimeError`]; the text itself is the caller's to keep.
    pub fn parse(text: &'a str) -> Result<Self, TimeError> {
        let text = text.split('^').next().unwrap_or(text).trim();
        if text.is_empty() || text == "\"\"" {
            return Err(TimeError::Empty);
        }
        let zone_at = text.find(['+', '-']).unwrap_or(text.len());
        let (body, zone) = text.split_at_checked(zone_at).ok_or(TimeError::Malformed)?;
        let offset_minutes = if zone.is_empty() {
            None
        } else {
            Some(offset(zone)?)
        };
        let (digits, fraction) = match body.split_once('.') {
            Some((digits, fraction)) => (digits, fraction_of(digits, fraction)?),
            None => (body, ""),
        };
        if !matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14) {
            return Err(TimeError::Malformed);
        }
        let year: u16 = number(digits, 0, 4)?.ok_or(TimeError::Malformed)?;
        let part = |at: usize| -> Result<Option<u8>, TimeError> {
            let value = number(digits, at, 2)?;
            value
                .map(u8::try_from)
                .transpose()
                .map_err(|_| TimeError::OutOfRange)
        };
        let time = Self {
            text,
            year,
            month: part(4)?,
            day: part(6)?,
            hour: part(8)?,
            minute: part(10)?,
            second: part(12)?,
            fraction,
            offset_minutes,
        };
        if time.is_possible() {
            Ok(time)
        } else {
            Err(TimeError::OutOfRange)
        }
    }

    /// How much was sent.
    pub const fn precision(&self) -> Precision {
        match (self.month, self.day, self.hour, self.minute, self.second) {
            (None, ..) => Precision::Year,
            (_, None, ..) => Precision::Month,
            (_, _, None, ..) => Precision::Day,
            (_, _, _, None, _) => Precision::Hour,
            (_, _, _, _, None) => Precision::Minute,
            _ if self.fraction.is_empty() => Precision::Second,
            _ => Precision::Fraction,
        }
    }

    fn is_possible(&self) -> bool {
        let month = self.month.unwrap_or(1);
        self.year > 0
            && (1..=12).contains(&month)
            && (1..=days_in(self.year, month)).contains(&self.day.unwrap_or(1))
            && self.hour.unwrap_or(0) < 24
            && self.minute.unwrap_or(0) < 60
            && self.second.unwrap_or(0) < 60
    }
}

const fn days_in(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// `len` digits at `at`; `None` past the end.
fn number(digits: &str, at: usize, len: usize) -> Result<Option<u16>, TimeError> {
    let Some(part) = digits.get(at..at.saturating_add(len)) else {
        return if digits.len() <= at {
            Ok(None)
        } else {
            Err(TimeError::Malformed)
        };
    };
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeError::Malformed);
    }
    part.parse().map(Some).map_err(|_| TimeError::Malformed)
}

fn fraction_of<'a>(digits: &str, fraction: &'a str) -> Result<&'a str, TimeError> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && fraction.len() <= FRACTION_MAX && digits.len() == 14 {
        Ok(fraction)
    } else {
        Err(TimeError::Malformed)
    }
}

fn offset(zone: &str) -> Result<i16, TimeError> {
    let (sign, digits) = match zone.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, zone.strip_prefix('+').ok_or(TimeError::Malformed)?),
    };
    if digits.len() != 4 {
        return Err(TimeError::Malformed);
    }
    let hours = number(digits, 0, 2)?.ok_or(TimeError::Malformed)?;
    let minutes = number(digits, 2, 2)?.ok_or(TimeError::Malformed)?;
    let total = i16::try_from(hours.saturating_mul(60).saturating_add(minutes))
        .map_err(|_| TimeError::OutOfRange)?;
    if minutes < 60 && total <= OFFSET_MINUTES_MAX {
        Ok(total.saturating_mul(sign))
    } else {
        Err(TimeError::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_precision_is_read_as_far_as_it_goes() {
        for (text, precision) in [
            ("2025", Precision::Year),
            ("202501", Precision::Month),
            ("20250115", Precision::Day),
            ("2025011510", Precision::Hour),
            ("202501151030", Precision::Minute),
            ("20250115103059", Precision::Second),
            ("20250115103059.25", Precision::Fraction),
            ("20240229", Precision::Day),
        ] {
            let time = Timestamp::parse(text).unwrap();
            assert_eq!(
                (time.precision(), time.text, time.offset_minutes),
                (precision, text, None)
            );
        }
    }

    #[test]
    fn the_zone_counts_minutes_east_of_utc() {
        for (text, minutes) in [
            ("20250115103000+0700", 420),
            ("202501151030-0330", -210),
            ("20250115103000.123+0000", 0),
            ("20250115+1400^S", 840),
        ] {
            assert_eq!(
                Timestamp::parse(text).unwrap().offset_minutes,
                Some(minutes),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_clock_shows_is_refused_for_its_reason() {
        use TimeError::{Empty, Malformed, OutOfRange};
        for (text, error) in [
            ("", Empty),
            ("\"\"", Empty),
            ("20251301", OutOfRange),
            ("20250229", OutOfRange),
            ("00000000", OutOfRange),
            ("2025011524", OutOfRange),
            ("20250115103060", OutOfRange),
            ("20250115+1500", OutOfRange),
            ("2025-01-15", Malformed),
            ("20240831 16:35.16", Malformed),
            ("30-08-2024,12:07", Malformed),
            ("202", Malformed),
            ("20250", Malformed),
            ("2025011510305", Malformed),
            ("202501151030.5", Malformed),
            ("20250115103059.", Malformed),
            ("２０２５", Malformed),
            ("20250115+07", Malformed),
        ] {
            assert_eq!(Timestamp::parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in any::<String>()) {
            if let Ok(time) = Timestamp::parse(&text) {
                prop_assert!(text.contains(time.text));
            }
        }
    }
}
