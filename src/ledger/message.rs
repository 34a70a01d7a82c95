//! Messages and their results, a page at a time.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    audit,
    book::unjson,
    model::{Hold, QueueState, ResultState},
    settle::Settled,
    store::{Db, Param, Row, Sql, StoreError, journal::MessageState},
};

use super::{
    PAGE, Page, Span,
    entry::{End, Entry, Finding, counted},
};

const MESSAGES: Sql = Sql::same(
    "SELECT id, line, received_at, is_complete, state, attempts, outcome, length(raw) \
     FROM message WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3",
);
const RESULTS: Sql = Sql::same(
    "SELECT id, message, state, holds FROM result WHERE message BETWEEN $1 AND $2 \
     ORDER BY message, id",
);
const QUEUED: Sql = Sql::same(
    "SELECT r.id, q.state, q.closed_by FROM result r JOIN queue q ON q.id = r.queue \
     WHERE r.message BETWEEN $1 AND $2 \
     UNION ALL SELECT r.id, q.state, q.closed_by FROM result r \
     JOIN queue_result l ON l.result = r.id JOIN queue q ON q.id = l.queue \
     WHERE r.message BETWEEN $1 AND $2",
);
const EVENTS: Sql = Sql::same(
    "SELECT message, count(*) FROM device_event WHERE message BETWEEN $1 AND $2 GROUP BY message",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&MESSAGES, &RESULTS, &QUEUED, &EVENTS];

/// A message that the parser began with so often is held at the next start; more is a mistake.
const ATTEMPTS_MAX: u64 = 3;

/// What the transaction that settled a message wrote about it.
#[derive(Debug, Default, Deserialize)]
struct Outcome {
    settled: Option<Settled>,
    heard: Option<String>,
}

/// Where the results of a page stand on the queue: the best of their rows, and who closed it.
type Standing = BTreeMap<i64, (QueueState, String)>;

pub(super) fn page(
    db: &mut dyn Db,
    span: &mut Span,
    since: Option<i64>,
) -> Result<Option<Page>, StoreError> {
    let rows = db.rows(
        &MESSAGES,
        &[span.after.into(), span.last.into(), PAGE.into()],
    )?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        span.after = span.last;
        return Ok(None);
    };
    let range: [Param; 2] = [first.int(0)?.into(), last.int(0)?.into()];
    span.after = last.int(0)?;
    let standing = standing(db, &range)?;
    let mut results = BTreeMap::<i64, Vec<Row>>::new();
    for row in db.rows(&RESULTS, &range)? {
        results.entry(row.int(1)?).or_default().push(row);
    }
    let mut events = BTreeMap::new();
    for row in db.rows(&EVENTS, &range)? {
        events.insert(row.int(0)?, row.count(1)?);
    }
    let audit_since = audit::archived(db)?.map_or(i64::MIN, |last| last.at);
    let mut page = Page::default();
    for row in rows {
        let id = row.int(0)?;
        if since.is_some_and(|since| row.int(2).is_ok_and(|at| at < since)) {
            continue;
        }
        let mut reading = Reading {
            db: &mut *db,
            page: &mut page,
            standing: &standing,
            audit_since,
        };
        let results = results.remove(&id).unwrap_or_default();
        reading.message(&row, &results, events.get(&id).copied().unwrap_or(0))?;
    }
    Ok(Some(page))
}

fn standing(db: &mut dyn Db, range: &[Param]) -> Result<Standing, StoreError> {
    let mut standing = Standing::new();
    for row in db.rows(&QUEUED, range)? {
        let Some(state) = QueueState::from_code(row.text(1)?) else {
            continue;
        };
        let by = row.text(2)?.to_owned();
        let best = standing
            .entry(row.int(0)?)
            .or_insert((QueueState::Superseded, String::new()));
        if rank(state) > rank(best.0) {
            *best = (state, by);
        }
    }
    Ok(standing)
}

/// Of a result on several rows the one that got furthest says where it ended.
const fn rank(state: QueueState) -> u8 {
    match state {
        QueueState::Delivered => 5,
        QueueState::Leased => 4,
        QueueState::Waiting => 3,
        QueueState::SetAside => 2,
        QueueState::Discarded => 1,
        QueueState::Superseded => 0,
    }
}

/// The reading of one page.
struct Reading<'a> {
    db: &'a mut dyn Db,
    page: &'a mut Page,
    standing: &'a Standing,
    /// Older rows of the audit are in archives, and say nothing here any more.
    audit_since: i64,
}

impl Reading<'_> {
    fn message(&mut self, row: &Row, results: &[Row], events: u64) -> Result<(), StoreError> {
        let id = row.int(0)?;
        let mut entry = Entry {
            message: id,
            line: row.text(1)?.to_owned(),
            received_at: row.int(2)?,
            is_complete: row.bool(3)?,
            state: row.text(4)?.to_owned(),
            bytes: row.count(7)?,
            events,
            ..Entry::default()
        };
        for result in results {
            self.result(&mut entry, result)?;
        }
        let found = u64::try_from(results.len()).unwrap_or(u64::MAX);
        match MessageState::from_code(&entry.state) {
            Some(MessageState::Parsed) => self.parsed(&mut entry, row.opt_text(6)?, found),
            Some(MessageState::Unparsed) => self.unparsed(&entry, row.count(5)?, found),
            Some(MessageState::SetAside) => self.set_aside_by_somebody(id, entry.received_at)?,
            Some(MessageState::Held | MessageState::Retransmission) => {}
            None => {
                let what = format!("it stands in the unknown state `{}`", entry.state);
                self.finding("LEDG-0107", id, what);
            }
        }
        self.page.entries.push(entry);
        Ok(())
    }

    fn finding(&mut self, code: &'static str, message: i64, what: impl Into<String>) {
        let finding = Finding::new(code, format!("message {message}"), what);
        self.page.findings.push(finding);
    }

    fn result_finding(&mut self, code: &'static str, result: i64, what: impl Into<String>) {
        let finding = Finding::new(code, format!("result {result}"), what);
        self.page.findings.push(finding);
    }

    fn parsed(&mut self, entry: &mut Entry, outcome: Option<&str>, found: u64) {
        let outcome: Option<Outcome> = outcome.and_then(|text| serde_json::from_str(text).ok());
        let outcome = outcome.unwrap_or_default();
        entry.heard = outcome.heard;
        let Some(settled) = outcome.settled else {
            if entry.heard.is_none() {
                let what = "it was read, and nothing says what came of it";
                self.finding("LEDG-0101", entry.message, what);
            }
            return;
        };
        entry.queries = settled.queries.into();
        let said = [
            settled.released,
            settled.held,
            settled.waiting,
            settled.kept,
            settled.repeats,
            settled.confirmed,
            settled.controls,
        ];
        let said: u64 = said.into_iter().map(u64::from).sum();
        if said != found {
            let what = format!(
                "{} came of it, {found} are stored",
                counted(said, "result", "results")
            );
            self.finding("LEDG-0102", entry.message, what);
        }
        let said = u64::from(settled.events);
        if said != entry.events {
            let what = format!(
                "{} came of it, {} are stored",
                counted(said, "event", "events"),
                entry.events
            );
            self.finding("LEDG-0103", entry.message, what);
        }
    }

    fn unparsed(&mut self, entry: &Entry, attempts: u64, found: u64) {
        if attempts >= ATTEMPTS_MAX {
            let what = format!("reading it was begun {attempts} times and it is not held");
            self.finding("LEDG-0104", entry.message, what);
        }
        if found > 0 {
            let what = format!("it counts as not read, and has {found} results");
            self.finding("LEDG-0106", entry.message, what);
        }
    }

    fn set_aside_by_somebody(&mut self, id: i64, received_at: i64) -> Result<(), StoreError> {
        if received_at > self.audit_since
            && audit::of_subject(self.db, &format!("message:{id}"))?.is_empty()
        {
            self.finding(
                "LEDG-0105",
                id,
                "it was set aside and nobody's name is on it",
            );
        }
        Ok(())
    }

    fn result(&mut self, entry: &mut Entry, row: &Row) -> Result<(), StoreError> {
        let id = row.int(0)?;
        let Some(state) = ResultState::from_code(row.text(2)?) else {
            let what = format!("it stands in the unknown state `{}`", row.text(2)?);
            self.result_finding("LEDG-0207", id, what);
            return Ok(());
        };
        let end = match End::of_state(state) {
            Some(end) => end,
            None => self.released(entry, id),
        };
        *entry.ends.entry(end).or_default() += 1;
        if end == End::Held {
            self.holds(entry, id, row.text(3)?)?;
        }
        if matches!(end, End::Held | End::WaitingForOrder | End::Control)
            && self.standing.contains_key(&id)
        {
            let what = format!("it is {} and on the queue all the same", end.code());
            self.result_finding("LEDG-0203", id, what);
        }
        if end == End::SetAside
            && entry.received_at > self.audit_since
            && audit::of_subject(self.db, &format!("result:{id}"))?.is_empty()
        {
            let what = "it was set aside and nobody's name is on it";
            self.result_finding("LEDG-0204", id, what);
        }
        Ok(())
    }

    fn released(&mut self, entry: &mut Entry, id: i64) -> End {
        match self.standing.get(&id) {
            Some((QueueState::Delivered, _)) => End::Delivered,
            Some((QueueState::Leased, _)) => End::Sending,
            Some((QueueState::Waiting, _)) => End::Queued,
            Some((QueueState::SetAside, _)) => End::Refused,
            Some((QueueState::Discarded, by)) => {
                entry.discarded_by.insert(by.clone());
                End::Discarded
            }
            Some((QueueState::Superseded, _)) => {
                let what = "it is released, and every message with it was superseded";
                self.result_finding("LEDG-0206", id, what);
                End::Lost
            }
            None => {
                let what = "it is released, and no message on the queue has it";
                self.result_finding("LEDG-0201", id, what);
                End::Lost
            }
        }
    }

    fn holds(&mut self, entry: &mut Entry, id: i64, holds: &str) -> Result<(), StoreError> {
        let holds: Vec<Hold> = unjson(holds)?;
        if holds.is_empty() {
            self.result_finding("LEDG-0202", id, "it is held, and nothing says why");
        }
        for hold in holds {
            *entry.holds.entry(hold.reason.code()).or_default() += 1;
        }
        Ok(())
    }
}
