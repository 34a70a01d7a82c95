//! Instants as people on the command line read and write them.

use jiff::{Timestamp, civil, tz::TimeZone};

/// An instant in a zone, to the second, with the zone's offset: `2026-03-10 15:00:00+07`.
pub fn instant(micros: i64, zone: &TimeZone) -> String {
    Timestamp::from_microsecond(micros).map_or_else(
        |_| format!("{micros} µs"),
        |at| {
            at.to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S%:::z")
                .to_string()
        },
    )
}

/// Reads an instant as UTC microseconds: `2026-03-10`, `2026-03-10T08:00`, with or without an
/// offset, or how long ago: `90m`, `24h`, `7d`. Without an offset it is in `zone`.
pub fn read_since(text: &str, zone: &TimeZone, now: i64) -> Option<i64> {
    ago(text, now)
        .or_else(|| {
            text.parse::<Timestamp>()
                .ok()
                .map(Timestamp::as_microsecond)
        })
        .or_else(|| {
            let civil = text
                .parse::<civil::DateTime>()
                .or_else(|_| text.parse::<civil::Date>().map(|day| day.at(0, 0, 0, 0)))
                .ok()?;
            let zoned = civil.to_zoned(zone.clone()).ok()?;
            Some(zoned.timestamp().as_microsecond())
        })
}

fn ago(text: &str, now: i64) -> Option<i64> {
    let units = [("m", 60), ("h", 3_600), ("d", 86_400)];
    let (number, seconds) = units
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let number: u32 = number.parse().ok()?;
    now.checked_sub(i64::from(number).checked_mul(seconds * 1_000_000)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORNING: i64 = 1_773_129_600_000_000;

    #[test]
    fn an_instant_reads_back() {
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let shown = instant(MORNING, &zone);
        assert_eq!(shown, "2026-03-10 15:00:00+07");
        assert_eq!(read_since(&shown, &zone, 0), Some(MORNING));
    }

    #[test]
    fn since_is_read_in_the_zone_of_the_laboratory() {
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(read_since(text, &zone, MORNING), expected, "{text}");
        };
        check("2026-03-10T15:00", Some(MORNING));
        check("2026-03-10", Some(MORNING - 15 * 3_600_000_000));
        check("2026-03-10T08:00:00Z", Some(MORNING));
        check("90m", Some(MORNING - 5_400_000_000));
        check("7d", Some(MORNING - 7 * 86_400_000_000));
        for wrong in ["yesterday", "h", "-1h", "10.03.2026", ""] {
            check(wrong, None);
        }
    }
}
