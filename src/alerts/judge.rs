//! Raised at the limit, cleared well below it.

use super::Cause;

/// Something measured against its limit, in the unit of its cause: a count, minutes, hours, per cent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was measured.
    pub cause: Cause,
    /// What it is about: a line, a destination, a channel; empty for the whole laboratory.
    pub subject: String,
    /// What was measured.
    pub level: i64,
    /// An alert is raised from here on.
    pub edge: i64,
    /// And cleared below this.
    pub clear_below: i64,
}

impl Reading {
    /// A reading whose alert is cleared below four fifths of its limit.
    pub fn new(cause: Cause, subject: &str, level: i64, edge: i64) -> Self {
        Self {
            cause,
            subject: subject.to_owned(),
            level,
            edge,
            // At least one below the limit, or nothing would ever clear a limit of one.
            clear_below: edge.saturating_mul(4).saturating_div(5).max(1),
        }
    }
}

/// What is open, as far as judging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its row.
    pub id: i64,
    /// Its cause.
    pub cause: Cause,
    /// What it is about.
    pub subject: String,
    /// As last measured.
    pub level: i64,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new alert.
    Raise(Reading),
    /// An alert is over.
    Clear(i64),
    /// It stands, at another level.
    Level(i64, i64),
}

/// Compares what is measured with what is open. What is measured no longer, such as a destination
/// without a message, is over.
pub fn judge(open: &[Known], readings: &[Reading]) -> Vec<Change> {
    let of = |known: &Known| {
        let mut all = readings.iter();
        all.find(|one| one.cause == known.cause && one.subject == known.subject)
    };
    let mut changes: Vec<Change> = open
        .iter()
        .filter_map(|known| match of(known) {
            Some(reading) if reading.level >= reading.clear_below => {
                (reading.level != known.level).then_some(Change::Level(known.id, reading.level))
            }
            Some(_) | None => Some(Change::Clear(known.id)),
        })
        .collect();
    let is_open = |one: &&Reading| {
        open.iter()
            .any(|known| known.cause == one.cause && known.subject == one.subject)
    };
    let raised = readings
        .iter()
        .filter(|one| one.level >= one.edge && !is_open(one));
    changes.extend(raised.cloned().map(Change::Raise));
    changes
}
