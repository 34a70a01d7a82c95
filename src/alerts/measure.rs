//! What is measured: of the store by a few statements, of lines by what their drivers counted.

use std::collections::{BTreeMap, VecDeque};

use jiff::tz::TimeZone;
use labwire_drivers::LineStatus;

use crate::{
    backups, calls,
    config::alerts::Alerts,
    queue,
    store::{Db, Param, Sql, StoreError},
    worklist::Targets,
};

use super::{Cause, Habits, Reading, rows};

const MESSAGES: Sql = Sql::same(
    "SELECT line, received_at FROM message WHERE id > \
     (SELECT coalesce(max(id), 0) FROM message) - $1 AND received_at >= $2 ORDER BY id",
);
const LAST_CONTROL: Sql = Sql::same(
    "SELECT coalesce(max(received_at), 0) FROM result WHERE line = $1 AND kind = 'control'",
);
/// Ordered items without all their results whose time is at hand; `$2` to `$4`: taken before this they
/// are due, by priority; `$5`: so long before that they are no longer about to be late, but late.
const AT_HAND: Sql = Sql::same(
    "SELECT count(*) FROM order_item i JOIN specimen s ON s.id = i.specimen \
     WHERE i.status IN ('SC', 'A') AND i.created_at >= $1 AND coalesce(s.collected_at, i.created_at) \
     <= CASE i.priority WHEN 0 THEN CAST($2 AS bigint) WHEN 1 THEN CAST($3 AS bigint) \
       ELSE CAST($4 AS bigint) END \
     AND coalesce(s.collected_at, i.created_at) > CASE i.priority WHEN 0 THEN CAST($2 AS bigint) \
       WHEN 1 THEN CAST($3 AS bigint) ELSE CAST($4 AS bigint) END - CAST($5 AS bigint)",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&MESSAGES, &LAST_CONTROL, &AT_HAND];

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What has been late for so long is on the work list and no news.
const LATE_FOR: i64 = HOUR;

/// A channel that fails for so many minutes is an outage: two tries and their wait.
const OUTAGE_MIN: i64 = 5;

/// What the store is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) limits: Alerts,
    /// How long a call about a critical value may be open, microseconds.
    pub(super) call_within: i64,
    /// A backup may be so many hours old, where the site wants any.
    pub(super) backup_age_h: Option<i64>,
    /// Lines on which a control is due every so many hours.
    pub(super) controls: Vec<(String, i64)>,
    pub(super) now: i64,
}

/// Lines and times of the newest messages, in order of arrival.
pub(super) fn messages(
    db: &mut dyn Db,
    count_max: i64,
    since: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = db.rows(&MESSAGES, &[count_max.into(), since.into()])?;
    let all = rows
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?)));
    all.collect()
}

/// Everything that the store knows.
pub(super) fn of_store(db: &mut dyn Db, asked: &Asked) -> Result<Vec<Reading>, StoreError> {
    let now = asked.now;
    let escalated = calls::counts(db, now, asked.call_within)?.escalated;
    let mut readings = vec![
        Reading::new(Cause::Calls, "", escalated, 1),
        Reading::new(Cause::Turnaround, "", at_hand(db, asked)?, 1),
    ];
    readings.extend(of_queue(db, asked)?);
    for (line, every_h) in &asked.controls {
        let last = db.row(&LAST_CONTROL, &[line.into()])?.int(0)?;
        // One that was never measured is due; since when, nobody knows.
        let hours = match last {
            0 => *every_h,
            last => now.saturating_sub(last).saturating_div(HOUR),
        };
        readings.push(Reading::new(Cause::QcDue, line, hours, *every_h));
    }
    if let Some(edge) = asked.backup_age_h {
        let hours = backups::hours_without(db, now)?.unwrap_or(0);
        readings.push(Reading::new(Cause::Backup, "", hours, edge));
    }
    for one in rows::waiting(db)?.iter().filter(|one| one.attempts > 0) {
        let minutes = now.saturating_sub(one.oldest_at).saturating_div(MINUTE);
        readings.push(Reading::new(
            Cause::Delivery,
            &one.channel,
            minutes,
            OUTAGE_MIN,
        ));
    }
    Ok(readings)
}

fn at_hand(db: &mut dyn Db, asked: &Asked) -> Result<i64, StoreError> {
    let targets = Targets::default();
    let ahead = i64::from(*asked.limits.late_ahead_min) * MINUTE;
    let taken = |target: i64| asked.now.saturating_add(ahead).saturating_sub(target);
    let params: [Param; 5] = [
        asked.now.saturating_sub(DAY).into(),
        taken(targets.stat).into(),
        taken(targets.asap).into(),
        taken(targets.routine).into(),
        ahead.saturating_add(LATE_FOR).into(),
    ];
    db.row(&AT_HAND, &params)?.int(0)
}

fn of_queue(db: &mut dyn Db, asked: &Asked) -> Result<Vec<Reading>, StoreError> {
    let mut by: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    // What was set aside waits for a person and not for its destination.
    let open = queue::summary(db)?.into_iter();
    for (destination, _, count, oldest_at) in open.filter(|open| open.1 != "set-aside") {
        let known = by.entry(destination).or_insert((0, i64::MAX));
        *known = (known.0 + count, known.1.min(oldest_at));
    }
    let limits = &asked.limits;
    let (depth, age) = (
        i64::from(*limits.queue_depth),
        i64::from(*limits.queue_age_min),
    );
    let readings = by.iter().flat_map(|(destination, (count, oldest_at))| {
        let minutes = asked.now.saturating_sub(*oldest_at).saturating_div(MINUTE);
        [
            Reading::new(Cause::QueueDepth, destination, *count, depth),
            Reading::new(Cause::QueueAge, destination, minutes, age),
        ]
    });
    Ok(readings.collect())
}

/// How long lines have been silent, against what they are used to at this hour.
pub(super) fn quiet(
    lines: &[LineStatus],
    habits: &Habits,
    limits: &Alerts,
    (zone, now): (&TimeZone, i64),
) -> Vec<Reading> {
    let of = |line: &LineStatus| {
        let habit = habits.of(&line.id, now, zone)?;
        let last_at = line.last_message_utc_micros.max(habits.last_at(&line.id))?;
        let minutes = now.saturating_sub(last_at).saturating_div(MINUTE);
        let factor = i64::from(*limits.quiet_factor);
        let edge = habit.saturating_mul(factor).saturating_div(MINUTE);
        let edge = edge.max(i64::from(*limits.quiet_least_min));
        Some(Reading::new(Cause::Quiet, &line.id, minutes, edge))
    };
    lines.iter().filter_map(of).collect()
}

/// What a line had said at a moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: i64,
    good: u64,
    wrong: u64,
}

/// What lines said within a quarter of an hour.
#[derive(Debug, Default)]
pub(super) struct Errors {
    lines: BTreeMap<String, VecDeque<Seen>>,
}

/// So long a time is judged: the worse of a shift, not one bad cable contact.
const ERRORS_WITHIN: i64 = 15 * MINUTE;

/// Fewer errors than these say nothing of a rate.
const ERRORS_MIN: u64 = 5;

impl Errors {
    /// The share of what each line said that was wrong, in per cent.
    pub(super) fn look(&mut self, lines: &[LineStatus], limit: u32, now: i64) -> Vec<Reading> {
        self.lines
            .retain(|id, _| lines.iter().any(|line| line.id == *id));
        let mut readings = Vec::new();
        for line in lines {
            let seen = self.lines.entry(line.id.clone()).or_default();
            let newest = Seen {
                at: now,
                good: line.counters.messages,
                wrong: wrong(line),
            };
            seen.push_back(newest);
            while seen.len() > 1 && seen.front().is_some_and(|one| now - one.at > ERRORS_WITHIN) {
                seen.pop_front();
            }
            let first = seen.front().copied().unwrap_or(newest);
            let good = newest.good.saturating_sub(first.good);
            let bad = newest.wrong.saturating_sub(first.wrong);
            let percent = bad.saturating_mul(100).checked_div(good + bad).unwrap_or(0);
            let percent = if bad < ERRORS_MIN { 0 } else { percent };
            let percent = i64::try_from(percent).unwrap_or(100);
            let limit = i64::from(limit);
            readings.push(Reading::new(Cause::Errors, &line.id, percent, limit));
        }
        readings
    }
}

/// Frames that were refused, messages without an end, and what was not stored.
fn wrong(line: &LineStatus) -> u64 {
    let notes: u64 = line.notes.values().sum();
    notes + line.counters.commit_failures + line.counters.incomplete_messages
}

/// How full a disk is; a few per cent below the limit it is well again, because it fills slowly.
pub(super) fn disk(percent: i64, limit: u32) -> Reading {
    let edge = i64::from(limit);
    Reading {
        clear_below: edge.saturating_sub(2).max(1),
        ..Reading::new(Cause::Disk, "", percent, edge)
    }
}
