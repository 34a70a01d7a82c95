//! The reconciliation ledger: every journalled message and where it ended.
//!
//! It reads the store page by page, each page one consistent moment, so that neither the memory it
//! needs nor the time it holds a reader depends on how many years are stored. Whatever does not add
//! up is a [`Finding`]; a store without findings has lost nothing.

mod entry;
mod frames;
mod message;
mod queued;
mod results;

pub use self::entry::{End, Entry, Finding};

use crate::store::{Db, Param, Sql, StoreError};

/// What one step through the store found.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Messages, oldest first.
    pub entries: Vec<Entry>,
    /// What does not add up.
    pub findings: Vec<Finding>,
}

/// A walk through the store. Each call of [`Ledger::next_page`] may see a later moment.
#[derive(Clone, Debug)]
pub struct Ledger {
    since: Option<i64>,
    now: i64,
    stage: Stage,
    messages: Span,
    queue: Span,
    results: Span,
}

/// Row ids still to be read, and those that were there at first.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    /// Read up to and with this id.
    after: i64,
    last: i64,
    begin: i64,
}

impl Span {
    const fn new(begin: i64, last: i64) -> Self {
        Self {
            after: begin,
            last,
            begin,
        }
    }

    const fn total(self) -> i64 {
        self.last.saturating_sub(self.begin)
    }

    const fn done(self) -> i64 {
        self.after.saturating_sub(self.begin)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Messages,
    Queue,
    Results,
    Frames,
    End,
}

/// Where a table begins, for a ledger since some instant: ids rise with time.
struct Table {
    last: Sql,
    at: Sql,
}

const MESSAGES: Table = Table {
    last: Sql::same("SELECT coalesce(max(id), 0) FROM message"),
    at: Sql::same("SELECT id, received_at FROM message WHERE id >= $1 ORDER BY id LIMIT 1"),
};
const QUEUE: Table = Table {
    last: Sql::same("SELECT coalesce(max(id), 0) FROM queue"),
    at: Sql::same("SELECT id, created_at FROM queue WHERE id >= $1 ORDER BY id LIMIT 1"),
};
const RESULTS: Table = Table {
    last: Sql::same("SELECT coalesce(max(id), 0) FROM result"),
    at: Sql::same("SELECT id, received_at FROM result WHERE id >= $1 ORDER BY id LIMIT 1"),
};

/// Rows a page, so that it stays in memory and a reader is free again within milliseconds.
const PAGE: i64 = 250;

/// Rows are written by several lines and a clock may be set back a little: so much earlier than
/// asked the walk begins.
const MARGIN: i64 = 10 * 60 * 1_000_000;

impl Ledger {
    /// A ledger of everything, or of what came since an instant. Both in UTC microseconds.
    pub fn new(since: Option<i64>, now: i64) -> Self {
        Self {
            since,
            now,
            stage: Stage::Start,
            messages: Span::default(),
            queue: Span::default(),
            results: Span::default(),
        }
    }

    /// Reads on; `None` when all is read.
    ///
    /// # Errors
    /// The store's.
    pub fn next_page(&mut self, db: &mut dyn Db) -> Result<Option<Page>, StoreError> {
        let page = match self.stage {
            Stage::Start => self.begin(db)?,
            Stage::Messages => message::page(db, &mut self.messages, self.since)?,
            Stage::Queue => queued::page(db, &mut self.queue)?,
            Stage::Results => results::page(db, &mut self.results)?,
            Stage::Frames => Some(frames::page(db, self.now)?),
            Stage::End => return Ok(None),
        };
        if page.is_none() || matches!(self.stage, Stage::Start | Stage::Frames) {
            self.stage = self.stage.next();
        }
        Ok(Some(page.unwrap_or_default()))
    }

    /// Rows read, and rows to read.
    pub fn progress(&self) -> (u64, u64) {
        let spans = [self.messages, self.queue, self.results];
        let count = |of: fn(Span) -> i64| {
            let sum: i64 = spans.into_iter().map(of).sum();
            u64::try_from(sum).unwrap_or(0)
        };
        (count(Span::done), count(Span::total))
    }

    fn begin(&mut self, db: &mut dyn Db) -> Result<Option<Page>, StoreError> {
        self.messages = span(db, &MESSAGES, self.since)?;
        self.queue = span(db, &QUEUE, self.since)?;
        self.results = span(db, &RESULTS, self.since)?;
        Ok(None)
    }
}

impl Stage {
    const fn next(self) -> Self {
        match self {
            Self::Start => Self::Messages,
            Self::Messages => Self::Queue,
            Self::Queue => Self::Results,
            Self::Results => Self::Frames,
            Self::Frames | Self::End => Self::End,
        }
    }
}

/// The ids of a table since an instant, found by halving: there is no index on time.
fn span(db: &mut dyn Db, table: &Table, since: Option<i64>) -> Result<Span, StoreError> {
    let last = db.row(&table.last, &[])?.int(0)?;
    let Some(since) = since else {
        return Ok(Span::new(0, last));
    };
    let since = since.saturating_sub(MARGIN);
    let (mut low, mut high) = (1, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match db.row_opt(&table.at, &[Param::Int(middle)])? {
            Some(row) if row.int(1)? < since => low = row.int(0)? + 1,
            _ => high = middle,
        }
    }
    Ok(Span::new((low - 1).min(last), last))
}

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static Sql> {
    let own = [&MESSAGES, &QUEUE, &RESULTS].map(|table| [&table.last, &table.at]);
    [
        own.concat().as_slice(),
        message::ALL,
        queued::ALL,
        results::ALL,
        frames::ALL,
    ]
    .concat()
}
