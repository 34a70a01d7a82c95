//! Dates and times as analyzers send them (LIS02-A2 6.6.2): `YYYYMMDD[HH[MM[SS]]][+HHMM]`.

use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::take_while_m_n,
    character::complete::char,
    combinator::{all_consuming, map_opt, opt, value},
};

use super::notes;
use crate::wire::Note;

/// How much of the time of day was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// 8 digits.
    Day,
    /// 10 digits.
    Hour,
    /// 12 digits.
    Minute,
    /// 14 digits.
    Second,
}

/// A date, perhaps with a time of day and a zone, never completed by guessing: what was not sent is
/// 0 and [`Timestamp::precision`] says so. Without a zone it is the analyzer's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// The bytes it was read from.
    pub as_sent: &'a [u8],
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the last day of that month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Minutes east of UTC, -720 to 840.
    pub zone_minutes: Option<i16>,
    /// What was sent.
    pub precision: Precision,
}

impl<'a> Timestamp<'a> {
    /// Reads a field's bytes. Nothing is neither a timestamp nor a deviation; everything else that is
    /// not a real date is `None` with a note.
    pub fn parse(raw: &'a [u8]) -> (Option<Self>, Option<Note>) {
        if raw.is_empty() {
            return (None, None);
        }
        if stands_for_none(raw) {
            return (None, Some(notes::TIMESTAMP_ZERO));
        }
        // Nearly every time is digits alone, and needs no grammar.
        let read = if raw.iter().all(u8::is_ascii_digit) {
            Some(raw)
                .filter(|raw| (8..=14).contains(&raw.len()))
                .and_then(from_digits)
        } else {
            let with_zone = all_consuming(timestamp).parse(raw);
            with_zone.ok().map(|(_, read)| read)
        };
        match read {
            Some(read) => (
                Some(Timestamp {
                    as_sent: raw,
                    ..read
                }),
                None,
            ),
            None => (None, Some(notes::TIMESTAMP)),
        }
    }
}

/// All zeros, or the zero of Delphi and OLE dates.
fn stands_for_none(raw: &[u8]) -> bool {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|b| *b == b'0');
    match raw.strip_prefix(b"18991230") {
        Some(time) => is_zero(time),
        None => raw.len() >= 8 && is_zero(raw),
    }
}

fn timestamp(input: &[u8]) -> IResult<&[u8], Timestamp<'_>> {
    let digits = take_while_m_n(8, 14, |byte: u8| byte.is_ascii_digit());
    let (rest, read) = map_opt(digits, from_digits).parse(input)?;
    if read.precision == Precision::Day {
        return Ok((rest, read));
    }
    let (rest, zone_minutes) = opt(zone).parse(rest)?;
    Ok((
        rest,
        Timestamp {
            zone_minutes,
            ..read
        },
    ))
}

/// The date and time of 8, 10, 12 or 14 digits.
fn from_digits(digits: &[u8]) -> Option<Timestamp<'_>> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let mut pairs = pairs.iter().map(two_digits);
    let year = u16::from(pairs.next()?) * 100 + u16::from(pairs.next()?);
    let (month, day) = (pairs.next()?, pairs.next()?);
    let (hour, minute, second) = (pairs.next(), pairs.next(), pairs.next());
    let precision = match (hour, minute, second) {
        (None, ..) => Precision::Day,
        (_, None, _) => Precision::Hour,
        (.., None) => Precision::Minute,
        (.., Some(_)) => Precision::Second,
    };
    let (hour, minute, second) = (hour.unwrap_or(0), minute.unwrap_or(0), second.unwrap_or(0));
    let exists = year > 0
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    exists.then_some(Timestamp {
        as_sent: digits,
        year,
        month,
        day,
        hour,
        minute,
        second,
        zone_minutes: None,
        precision,
    })
}

/// The value of two ASCII digits.
fn two_digits([tens, ones]: &[u8; 2]) -> u8 {
    let value = |digit: &u8| digit.saturating_sub(b'0').min(9);
    value(tens) * 10 + value(ones)
}

/// Exactly two digits, at most `max`.
fn two(input: &[u8], max: u8) -> IResult<&[u8], u8> {
    map_opt(
        take_while_m_n(2, 2, |byte: u8| byte.is_ascii_digit()),
        |digits: &[u8]| digits.first_chunk().map(two_digits).filter(|n| *n <= max),
    )
    .parse(input)
}

/// `+HHMM` or `-HHMM`: UTC-12 to UTC+14 exist.
fn zone(input: &[u8]) -> IResult<&[u8], i16> {
    let sign = alt((value(1_i16, char('+')), value(-1_i16, char('-'))));
    map_opt(
        (sign, |i| two(i, 14), |i| two(i, 59)),
        |(sign, hours, minutes)| {
            let zone = sign * (i16::from(hours) * 60 + i16::from(minutes));
            (-720..=840).contains(&zone).then_some(zone)
        },
    )
    .parse(input)
}

fn days_in(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(raw: &str) -> String {
        match Timestamp::parse(raw.as_bytes()) {
            (Some(t), None) => format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {:?} {:?}",
                t.year, t.month, t.day, t.hour, t.minute, t.second, t.precision, t.zone_minutes
            ),
            (None, Some(note)) => note.code.to_owned(),
            (None, None) => "none".to_owned(),
            (Some(_), Some(_)) => "both".to_owned(),
        }
    }

    #[test]
    fn timestamps_keep_the_precision_they_were_sent_with() {
        for (raw, read) in [
            ("19911105", "1991-11-05 00:00:00 Day None"),
            ("2025011510", "2025-01-15 10:00:00 Hour None"),
            ("202501151015", "2025-01-15 10:15:00 Minute None"),
            ("202205270000", "2022-05-27 00:00:00 Minute None"),
            ("20250115101500", "2025-01-15 10:15:00 Second None"),
            (
                "20250115101500+0700",
                "2025-01-15 10:15:00 Second Some(420)",
            ),
            ("2025011510-0330", "2025-01-15 10:00:00 Hour Some(-210)"),
            ("20240229", "2024-02-29 00:00:00 Day None"),
            ("", "none"),
        ] {
            assert_eq!(shown(raw), read, "{raw}");
        }
    }

    #[test]
    fn what_is_no_date_is_none_with_a_note() {
        for raw in [
            "20240831 16:35.16",
            "30-08-2024,12:07",
            "20230229",
            "21000229",
            "20250132",
            "20251301",
            "20250100",
            "00000101",
            "2025011524",
            "20250115106000",
            "202501151",
            "20250115101500123",
            "20250115+0700",
            "20250115101500+1500",
            "20250115101500-1230",
            "20250115101500Z",
            "2025",
            "19911105!33!Y",
            " 19911105",
        ] {
            assert_eq!(shown(raw), "ASTM-0240", "{raw}");
        }
        for raw in ["00000000", "00000000000000", "18991230", "18991230000000"] {
            assert_eq!(shown(raw), "ASTM-0241", "{raw}");
        }
        assert_eq!(shown("18991230101500"), "1899-12-30 10:15:00 Second None");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_timestamp_or_noted(raw: Vec<u8>) {
            let (read, note) = Timestamp::parse(&raw);
            prop_assert_eq!(read.is_some() || note.is_some(), !raw.is_empty());
        }

        #[test]
        fn digits_read_are_digits_sent(raw in "[0-2][0-9]{3}[01][0-9][0-3][0-9]([0-2][0-9][0-5][0-9]){0,1}") {
            if let (Some(t), _) = Timestamp::parse(raw.as_bytes()) {
                let all = format!("{:04}{:02}{:02}{:02}{:02}", t.year, t.month, t.day, t.hour, t.minute);
                prop_assert!(all.starts_with(&raw));
            }
        }
    }
}
