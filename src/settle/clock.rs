//! What a device's clock says, judged; it never decides an order of events.

use jiff::Timestamp;

use crate::model::WallTime;

/// More than this ahead of the receipt is noted.
const AHEAD_MAX: i64 = 10 * 60 * 1_000_000;
/// Older than this at receipt is noted; with another year it is held.
const BEHIND_MAX: i64 = 48 * 3_600 * 1_000_000;

/// What is odd about a completion time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// Nothing.
    None,
    /// Worth a note.
    Skewed,
    /// In another year, and not because midnight of New Year just passed.
    WrongYear,
}

pub(super) fn judge(
    completed: Option<&WallTime>,
    received_at: i64,
    collected_at: Option<i64>,
) -> Oddity {
    let Some(at) = completed.and_then(|time| time.utc) else {
        return Oddity::None;
    };
    let distance = at.abs_diff(received_at);
    if distance > BEHIND_MAX.unsigned_abs() && year(at) != year(received_at) {
        return Oddity::WrongYear;
    }
    let is_ahead = at > received_at.saturating_add(AHEAD_MAX);
    let is_old = at < received_at.saturating_sub(BEHIND_MAX);
    let is_before_collection = collected_at.is_some_and(|collected| at < collected);
    if is_ahead || is_old || is_before_collection {
        Oddity::Skewed
    } else {
        Oddity::None
    }
}

fn year(micros: i64) -> Option<i16> {
    let instant = Timestamp::from_microsecond(micros).ok()?;
    Some(instant.to_zoned(jiff::tz::TimeZone::UTC).year())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600 * 1_000_000;
    /// 2026-01-01 00:01 UTC.
    const NEW_YEAR: i64 = 1_767_225_660_000_000;

    fn check(offset: i64, collected: Option<i64>, expected: Oddity) {
        let time = WallTime {
            sent: "x".to_owned(),
            utc: Some(NEW_YEAR + offset),
        };
        assert_eq!(
            judge(Some(&time), NEW_YEAR, collected),
            expected,
            "offset {offset}"
        );
    }

    #[test]
    fn clocks_are_judged_by_distance_and_year() {
        check(0, None, Oddity::None);
        check(-2 * 60 * 1_000_000, None, Oddity::None);
        check(AHEAD_MAX, None, Oddity::None);
        check(AHEAD_MAX + 1, None, Oddity::Skewed);
        check(-DAY, None, Oddity::None);
        check(-3 * DAY, None, Oddity::WrongYear);
        check(3 * DAY, None, Oddity::Skewed);
        check(366 * DAY, None, Oddity::WrongYear);
        check(-60_000_000, Some(NEW_YEAR), Oddity::Skewed);
    }
}
