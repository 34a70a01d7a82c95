//! How it goes, while it goes.

use std::{collections::BTreeMap, fmt, time::Duration};

use labwire_sims::morning::Snapshot;

use crate::{
    book::unjson,
    model::Hold,
    store::{Db, Sql, Store, StoreError},
};

const TUBES: Sql = Sql::same("SELECT count(*) FROM specimen");
const STATES: Sql = Sql::same("SELECT kind, state, count(*) FROM result GROUP BY kind, state");
const HOLDS: Sql =
    Sql::same("SELECT holds, count(*) FROM result WHERE state = 'held' GROUP BY holds");
const QUEUE: Sql = Sql::same(
    "SELECT count(*), coalesce(min(created_at), 0) FROM queue \
     WHERE kind = 'result' AND state IN ('waiting', 'leased')",
);
const DELIVERED: Sql = Sql::same(
    "SELECT count(*) FROM (SELECT r.id FROM queue q JOIN result r ON r.queue = q.id \
     WHERE q.state = 'delivered' UNION SELECT l.result FROM queue q \
     JOIN queue_result l ON l.queue = q.id WHERE q.state = 'delivered') AS told",
);
const MESSAGES: Sql = Sql::same(
    "SELECT count(*), coalesce(sum(CASE WHEN state = 'unparsed' THEN 1 ELSE 0 END), 0) FROM message",
);

const ON_LINE: Sql = Sql::same(
    "SELECT coalesce(sum(CASE WHEN kind = 'received' THEN 1 ELSE 0 END), 0), \
     coalesce(sum(CASE WHEN kind = 'kept' THEN 1 ELSE 0 END), 0) FROM track_event",
);

/// Where every tube was received, and how long its way was to where it is kept, microseconds.
const WAYS: Sql = Sql::same(
    "SELECT r.module, coalesce((SELECT min(k.received_at) FROM track_event k \
     WHERE k.barcode = r.barcode AND k.barcode <> '' AND k.kind = 'kept'), 0) - r.received_at \
     FROM track_event r WHERE r.kind = 'received' AND r.barcode <> ''",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &TUBES, &STATES, &HOLDS, &QUEUE, &DELIVERED, &MESSAGES, &ON_LINE, &WAYS,
];

/// The morning at an instant.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Simulated time since its beginning.
    pub played: Duration,
    /// What devices and HIS count.
    pub devices: Snapshot,
    /// Tubes of patients that were measured.
    pub measured: usize,
    /// What Labwire's store says.
    pub bridge: Counts,
}

/// What Labwire's store says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tubes in the order book.
    pub tubes: u64,
    /// Tubes that the automation line received.
    pub on_line: u64,
    /// Tubes that it stored.
    pub stored: u64,
    /// Messages in the journal.
    pub messages: u64,
    /// Of those, not read yet.
    pub unread: u64,
    /// Patients' results by state.
    pub results: BTreeMap<String, u64>,
    /// Results of control material.
    pub controls: u64,
    /// Held results by reason; one with two reasons counts under both.
    pub holds: BTreeMap<&'static str, u64>,
    /// Results that the HIS acknowledged.
    pub delivered: u64,
    /// Messages to the HIS that wait or are on their way.
    pub queued: u64,
    /// When the oldest of them was made, microseconds UTC.
    pub oldest: Option<i64>,
    /// The instant of these counts, microseconds UTC.
    pub now: i64,
}

impl Counts {
    /// Patients' results in a state.
    pub fn state(&self, state: &str) -> u64 {
        self.results.get(state).copied().unwrap_or(0)
    }

    /// The most frequent reasons to hold, as told to people.
    pub fn reasons(&self, at_most: usize) -> String {
        let mut all: Vec<_> = self.holds.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let told = all
            .iter()
            .take(at_most)
            .map(|(reason, count)| format!("{reason} {count}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Six in the morning, when blood is drawn.
const BEGIN_MINUTES: u64 = 6 * 60;

/// The wall time of the simulated morning.
pub(super) fn wall(played: Duration) -> String {
    let minutes = BEGIN_MINUTES + played.as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            devices, bridge, ..
        } = self;
        write!(
            f,
            "{}  ordered {}  measured {}  results: sent {}  acknowledged {}  at HIS {}  held {}",
            wall(self.played),
            bridge.tubes,
            self.measured,
            devices.results_sent,
            devices.results_acknowledged,
            devices.posted,
            bridge.state("held"),
        )?;
        if !bridge.holds.is_empty() {
            write!(f, " ({})", bridge.reasons(3))?;
        }
        write!(
            f,
            "  waiting {}  line {} in, {} stored  queue {}",
            bridge.state("waiting"),
            bridge.on_line,
            bridge.stored,
            bridge.queued
        )?;
        if let Some(oldest) = bridge.oldest {
            let tenths = bridge.now.saturating_sub(oldest).max(0) / 100_000;
            write!(f, ", oldest {}.{} s", tenths / 10, tenths % 10)?;
        }
        Ok(())
    }
}

/// What the automation line did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnLine {
    /// Tubes whose first reading was at the end of a pneumatic tube.
    pub by_air: u64,
    /// Tubes that were put on by hand.
    pub by_hand: u64,
    /// How long each way was that has ended, in real time, shortest first.
    pub ways: Vec<Duration>,
    /// How often each fault came over it.
    pub faults: BTreeMap<&'static str, u64>,
}

/// A way that takes so many times the usual one is overdue, as in the line's file.
const OVERDUE: u32 = 3;

impl OnLine {
    /// The mean of the ways that have ended.
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.ways.len())
            .ok()
            .filter(|count| *count > 0)?;
        Some(self.ways.iter().sum::<Duration>() / count)
    }

    /// How many ways took three times as long as the one in the middle.
    pub fn overdue(&self) -> usize {
        let usual = self.ways.get(self.ways.len() / 2).copied();
        let limit = usual.unwrap_or_default() * OVERDUE;
        self.ways.iter().filter(|way| **way > limit).count()
    }
}

/// Reads what the line told.
pub(super) async fn on_line(store: &Store, tempus: &'static str) -> Result<OnLine, StoreError> {
    let rows = store.read(|db| db.rows(&WAYS, &[])).await?;
    let mut line = OnLine::default();
    for row in rows {
        if row.text(0)? == tempus {
            line.by_air += 1;
        } else {
            line.by_hand += 1;
        }
        // One that has no end yet is as far below zero as its beginning is above.
        if let Ok(micros) = u64::try_from(row.int(1)?) {
            line.ways.push(Duration::from_micros(micros));
        }
    }
    line.ways.sort_unstable();
    Ok(line)
}

/// Reads the counts, all of one moment.
pub(super) async fn counts(store: &Store) -> Result<Counts, StoreError> {
    let now = jiff::Timestamp::now().as_microsecond();
    store.read(move |db| read(db, now)).await
}

fn read(db: &mut dyn Db, now: i64) -> Result<Counts, StoreError> {
    let mut counts = Counts {
        tubes: db.row(&TUBES, &[])?.count(0)?,
        delivered: db.row(&DELIVERED, &[])?.count(0)?,
        now,
        ..Counts::default()
    };
    let messages = db.row(&MESSAGES, &[])?;
    counts.messages = messages.count(0)?;
    counts.unread = messages.count(1)?;
    let line = db.row(&ON_LINE, &[])?;
    counts.on_line = line.count(0)?;
    counts.stored = line.count(1)?;
    let queue = db.row(&QUEUE, &[])?;
    counts.queued = queue.count(0)?;
    counts.oldest = (counts.queued > 0).then_some(queue.int(1)?);
    for row in db.rows(&STATES, &[])? {
        let count = row.count(2)?;
        if row.text(0)? == "patient" {
            counts.results.insert(row.text(1)?.to_owned(), count);
        } else {
            counts.controls += count;
        }
    }
    for row in db.rows(&HOLDS, &[])? {
        let holds: Vec<Hold> = unjson(row.text(0)?)?;
        let count = row.count(1)?;
        for hold in holds {
            *counts.holds.entry(hold.reason.code()).or_default() += count;
        }
    }
    Ok(counts)
}
