//! The simulators' time: a monotonic clock for the machines, a wall clock for what they print.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use labwire_protocols::wire::Mono;
use tokio::time::Instant;

/// A monotonic clock, possibly faster than the real one. Under tokio's paused time it stands still
/// with it. Clones agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Thousandths of a simulated second in a real millisecond.
    speed_milli: u32,
    wall: Wall,
}

impl Clock {
    /// A clock that starts now at the real speed and tells the real time of day.
    pub fn real(zone_minutes: i32) -> Self {
        Self::new(Wall::now(zone_minutes), 1_000)
    }

    /// A clock that starts now, shows `wall` at its start, and runs `speed_milli` / 1,000 times as
    /// fast as the real one (at least a thousandth of it).
    pub fn new(wall: Wall, speed_milli: u32) -> Self {
        Self {
            start: Instant::now(),
            speed_milli: speed_milli.max(1),
            wall,
        }
    }

    /// The present instant.
    pub fn now(&self) -> Mono {
        let micros = self.start.elapsed().as_micros();
        let scaled = micros.saturating_mul(u128::from(self.speed_milli)) / 1_000;
        Mono::from_micros(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// The real instant at which this clock will show `at`.
    pub fn real_instant(&self, at: Mono) -> Instant {
        let scaled = u128::from(at.as_micros()).saturating_mul(1_000);
        let micros = scaled.div_ceil(u128::from(self.speed_milli));
        // A century: beyond it tokio's timers refuse, and no simulation goes there.
        let micros = u64::try_from(micros)
            .unwrap_or(u64::MAX)
            .min(3_000_000_000_000_000);
        self.start + Duration::from_micros(micros)
    }

    /// The wall clock at the present instant, as `YYYYMMDDHHMMSS` of its zone.
    pub fn stamp(&self) -> String {
        self.stamp_at(self.now())
    }

    /// The wall clock at `at`, as `YYYYMMDDHHMMSS` of its zone.
    pub fn stamp_at(&self, at: Mono) -> String {
        let seconds = at.as_micros() / 1_000_000;
        self.wall.stamp(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

impl Clock {
    /// Its distance from UTC as `+07:00`.
    pub fn zone(&self) -> String {
        let minutes = self.wall.zone_minutes;
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// What the wall clock shows at the start of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    unix_seconds: i64,
    zone_minutes: i32,
}

impl Wall {
    /// A fixed time, for what must repeat.
    pub const fn fixed(unix_seconds: i64, zone_minutes: i32) -> Self {
        Self {
            unix_seconds,
            zone_minutes,
        }
    }

    /// The present time of the machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "a simulated analyzer has a wall clock of its own; this is the one place it is read"
    )]
    pub fn now(zone_minutes: i32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        Self::fixed(i64::try_from(seconds).unwrap_or(0), zone_minutes)
    }

    fn stamp(self, seconds_later: i64) -> String {
        let local = self
            .unix_seconds
            .saturating_add(seconds_later)
            .saturating_add(i64::from(self.zone_minutes).saturating_mul(60));
        let (year, month, day) = civil(local.div_euclid(86_400));
        let second = local.rem_euclid(86_400);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        format!(
            "{year:04}{month:02}{day:02}{hour:02}{minute:02}{:02}",
            second % 60
        )
    }
}

/// The Gregorian date of a day counted from 1970-01-01, by eras of 400 years that begin in March,
/// so that the leap day is the last of its year.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_shows_civil_time_in_its_zone() {
        let check = |unix, zone, expected| {
            assert_eq!(Wall::fixed(unix, zone).stamp(0), expected);
        };
        check(0, 0, "19700101000000");
        check(951_782_400, 0, "20000229000000");
        check(1_736_908_200, 420, "20250115093000");
        check(1_767_225_599, 0, "20251231235959");
        check(1_767_225_599, 1, "20260101000059");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_passes_a_minute_in_a_second() {
        let clock = Clock::new(Wall::fixed(0, 0), 60_000);
        let later = clock.real_instant(Mono::from_millis(60_000));
        tokio::time::sleep_until(later).await;
        assert_eq!(clock.now(), Mono::from_millis(60_000));
        assert_eq!(clock.stamp(), "19700101000100");
    }
}
