//! How long a line is used to be silent, by the hour of the day.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// What lines are used to, learned from the times of their own messages.
///
/// The rule: the time between two messages of a line is a silence, and belongs to every hour of the
/// laboratory's clock in which it lasted. Of each day and hour the longest silence counts. A line's
/// habit at an hour is the *second longest* of these over the days that were looked at, so that one
/// outage teaches nothing and two Sundays do. With fewer than three days an hour has no habit,
/// and nothing is said of the line then. A line is quiet when it has been silent for `quiet_factor`
/// times its habit at this hour, and for no less than `quiet_least_min`.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    lines: BTreeMap<String, Line>,
}

#[derive(Clone, Debug, Default)]
struct Line {
    last_at: i64,
    /// Longest silences by hour of the day and day, microseconds.
    silences: BTreeMap<(i8, Date), i64>,
}

/// Days on which an hour was seen before it is a habit.
const DAYS_MIN: usize = 3;

/// So many days are looked at: two weeks, so that a weekend is seen twice.
pub(super) const DAYS_MAX: i64 = 14;

/// The newest messages of all lines that are looked at; of a busy laboratory some days, and read
/// within a second.
pub(super) const MESSAGES_MAX: i64 = 50_000;

const HOUR: i64 = 3_600_000_000;

impl Habits {
    /// Learns from lines and times of messages (UTC microseconds), in order of arrival.
    pub fn learn(messages: &[(String, i64)], zone: &TimeZone) -> Self {
        let mut habits = Self::default();
        for (line, at) in messages {
            habits.hear(line, *at, zone);
        }
        habits
    }

    fn hear(&mut self, line: &str, at: i64, zone: &TimeZone) {
        let Some(line) = self.lines.get_mut(line) else {
            let first = Line {
                last_at: at,
                ..Line::default()
            };
            self.lines.insert(line.to_owned(), first);
            return;
        };
        let silence = at.saturating_sub(line.last_at);
        // A clock that was set back says nothing of silences, nor does what lasts for weeks.
        if (0..=DAYS_MAX * 24 * HOUR).contains(&silence) {
            let mut then = line.last_at;
            loop {
                if let Some(key) = hour_of(then.min(at), zone) {
                    let longest = line.silences.entry(key).or_default();
                    *longest = silence.max(*longest);
                }
                if then >= at {
                    break;
                }
                then = then.saturating_add(HOUR);
            }
        }
        line.last_at = line.last_at.max(at);
    }

    /// The longest silence that a line is used to at this hour, microseconds; `None` where that is not
    /// known yet.
    pub fn of(&self, line: &str, now: i64, zone: &TimeZone) -> Option<i64> {
        let (hour, _) = hour_of(now, zone)?;
        let known = self.lines.get(line)?;
        let days = known.silences.iter().filter(|((at, _), _)| *at == hour);
        let mut silences: Vec<i64> = days.map(|(_, silence)| *silence).collect();
        if silences.len() < DAYS_MIN {
            return None;
        }
        silences.sort_unstable();
        silences.iter().rev().nth(1).copied()
    }

    /// When a line's last message came, of those that were looked at.
    pub fn last_at(&self, line: &str) -> Option<i64> {
        self.lines.get(line).map(|line| line.last_at)
    }
}

/// The hour of the day and the day, by the laboratory's clock.
fn hour_of(at: i64, zone: &TimeZone) -> Option<(i8, Date)> {
    let at = Timestamp::from_microsecond(at).ok()?.to_zoned(zone.clone());
    Some((at.hour(), at.date()))
}
