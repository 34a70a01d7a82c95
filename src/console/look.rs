//! What the console reads that nothing else does.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    alerts,
    book::{self, BookPatient},
    calls,
    model::{Observation, Value},
    queue,
    settle::{self, StoredResult},
    store::{Db, Param, Sql, StoreError},
    worklist,
};

const CONTROLS: Sql = Sql::same(
    "SELECT id FROM result WHERE kind <> 'patient' ORDER BY received_at DESC, id DESC LIMIT $1",
);
const AUDIT: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail FROM audit WHERE id < $1 ORDER BY id DESC \
     LIMIT $2",
);
/// In the words of the index `audit_people`.
const AUDIT_PEOPLE: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail FROM audit \
     WHERE substr(actor, 1, 5) NOT IN ('line:', 'host:') AND id < $1 ORDER BY id DESC LIMIT $2",
);
const AUDIT_OF: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail FROM audit WHERE subject = $3 AND id < $1 \
     ORDER BY id DESC LIMIT $2",
);
const BY_BARCODE: Sql = Sql::same(
    "SELECT DISTINCT barcode FROM specimen WHERE barcode >= $1 AND barcode < $2 \
     ORDER BY barcode LIMIT $3",
);
const BY_WORDS: Sql = Sql::same(
    "SELECT DISTINCT a.patient FROM patient_word a WHERE a.word >= $1 AND a.word < $2 \
     AND EXISTS (SELECT 1 FROM patient_word b WHERE b.patient = a.patient \
       AND b.word >= $3 AND b.word < $4) \
     AND EXISTS (SELECT 1 FROM patient_word c WHERE c.patient = a.patient \
       AND c.word >= $5 AND c.word < $6) LIMIT $7",
);
const BY_NUMBER: Sql = Sql::same(
    "SELECT patient FROM patient_identifier WHERE host = $1 AND identifier = $2 LIMIT 20",
);
const TUBES_OF: Sql = Sql::same(
    "SELECT barcode, ordered_at FROM specimen WHERE patient = $1 ORDER BY ordered_at DESC LIMIT 5",
);
const LAST_MESSAGES: Sql = Sql::same(
    "SELECT DISTINCT message FROM result WHERE line = $1 AND id > $2 ORDER BY message DESC LIMIT $3",
);
const LAST_RESULT: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM result");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &CONTROLS,
    &AUDIT,
    &AUDIT_PEOPLE,
    &AUDIT_OF,
    &BY_BARCODE,
    &BY_WORDS,
    &BY_NUMBER,
    &TUBES_OF,
    &LAST_MESSAGES,
    &LAST_RESULT,
];

/// How many there are, and since when the oldest (UTC microseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    pub(super) count: u64,
    pub(super) oldest_at: Option<i64>,
}

impl Count {
    fn of(count: i64, oldest_at: Option<i64>) -> Self {
        Self {
            count: u64::try_from(count).unwrap_or(0),
            oldest_at,
        }
    }
}

/// What the menu counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// As the work list counts.
    pub(super) work: worklist::Counts,
    pub(super) held: Count,
    pub(super) waiting: Count,
    /// Critical values that somebody has to be told.
    pub(super) calls: calls::Counts,
    /// Open alerts, and those of them that nobody has acknowledged.
    pub(super) alerts: (i64, i64),
    /// Open queue rows: destination, state, count, oldest.
    pub(super) queue: Vec<Open>,
}

/// Open queue rows of one destination and state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Open {
    pub(super) destination: String,
    pub(super) state: String,
    pub(super) count: i64,
    pub(super) oldest_at: i64,
}

impl Counts {
    pub(super) fn open(&self, destination: &str, state: &str) -> i64 {
        self.queue
            .iter()
            .filter(|open| open.destination == destination && open.state == state)
            .map(|open| open.count)
            .sum()
    }

    /// Messages that a person has to decide about.
    pub(super) fn set_aside(&self) -> i64 {
        let aside = self.queue.iter().filter(|open| open.state == "set-aside");
        aside.map(|open| open.count).sum()
    }
}

/// Counts what is open, at one moment; `within` is how long a call may be open, microseconds.
pub(super) fn counts(db: &mut dyn Db, now: i64, within: i64) -> Result<Counts, StoreError> {
    let queue = queue::summary(db)?;
    let work = worklist::counts(db)?;
    Ok(Counts {
        work,
        held: Count::of(work.held, work.held_since),
        waiting: Count::of(work.waiting, work.waiting_since),
        calls: calls::counts(db, now, within)?,
        alerts: alerts::count(db)?,
        queue: queue
            .into_iter()
            .map(|(destination, state, count, oldest_at)| Open {
                destination,
                state,
                count,
                oldest_at,
            })
            .collect(),
    })
}

fn ids(db: &mut dyn Db, sql: &Sql, params: &[Param]) -> Result<Vec<i64>, StoreError> {
    db.rows(sql, params)?.iter().map(|row| row.int(0)).collect()
}

/// Results of a list of ids, in its order.
fn results(db: &mut dyn Db, ids: &[i64]) -> Result<Vec<StoredResult>, StoreError> {
    let mut found = settle::results_by_ids(db, ids)?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// The newest results of controls and calibrators, newest first.
pub(super) fn controls(db: &mut dyn Db, count_max: i64) -> Result<Vec<StoredResult>, StoreError> {
    let ids = ids(db, &CONTROLS, &[count_max.into()])?;
    results(db, &ids)
}

/// A row of the audit.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AuditRow {
    pub(super) id: i64,
    pub(super) at: i64,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) detail: String,
}

/// Whose rows of the audit.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    /// What people did.
    People,
    /// What lines and hosts did, too.
    All,
    /// What was done to one subject.
    Of(String),
}

/// Rows of the audit before a row, newest first.
pub(super) fn audit(
    db: &mut dyn Db,
    which: &Rows,
    before: i64,
    count_max: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    let mut params = vec![before.into(), count_max.into()];
    let sql = match which {
        Rows::People => &AUDIT_PEOPLE,
        Rows::All => &AUDIT,
        Rows::Of(subject) => {
            params.push(subject.into());
            &AUDIT_OF
        }
    };
    db.rows(sql, &params)?
        .iter()
        .map(|row| {
            Ok(AuditRow {
                id: row.int(0)?,
                at: row.int(1)?,
                actor: row.text(2)?.to_owned(),
                action: row.text(3)?.to_owned(),
                subject: row.text(4)?.to_owned(),
                detail: row.text(5)?.to_owned(),
            })
        })
        .collect()
}

/// A patient found, with the newest tubes.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) patient: BookPatient,
    pub(super) tubes: Vec<(String, i64)>,
}

/// Patients shown for one search; more say so.
pub(super) const FOUND_MAX: usize = 30;

/// The end of the words that begin so.
fn beyond(word: &str) -> String {
    format!("{word}\u{10FFFF}")
}

/// Barcodes that begin so.
pub(super) fn barcodes(db: &mut dyn Db, begin: &str) -> Result<Vec<String>, StoreError> {
    let params = [begin.into(), beyond(begin).into(), 20.into()];
    db.rows(&BY_BARCODE, &params)?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// Patients whose name has words that begin with these, or whose number this is.
pub(super) fn patients(
    db: &mut dyn Db,
    words: &[String],
    hosts: &[String],
    number: &str,
) -> Result<Vec<Found>, StoreError> {
    let mut found = BTreeSet::new();
    for host in hosts {
        found.extend(ids(db, &BY_NUMBER, &[host.into(), number.into()])?);
    }
    // A single letter finds half the hospital.
    let mut words: Vec<&String> = words.iter().filter(|word| !word.is_empty()).collect();
    let is_worth_it = words.iter().any(|word| word.chars().count() >= 2);
    if is_worth_it {
        // The given name comes last and tells most; the family name tells least.
        words.reverse();
        words.truncate(3);
        let mut params: Vec<Param> = Vec::new();
        for at in 0..3 {
            let word = words.get(at).map_or("", |word| word.as_str());
            params.extend([word.into(), beyond(word).into()]);
        }
        params.push(Param::count(u64::try_from(FOUND_MAX + 1).unwrap_or(1))?);
        found.extend(ids(db, &BY_WORDS, &params)?);
    }
    let mut patients = Vec::new();
    for id in found.into_iter().take(FOUND_MAX) {
        let survivor = book::resolve(db, id)?;
        let rows = db.rows(&TUBES_OF, &[id.into()])?;
        let tubes = rows
            .iter()
            .map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        patients.push(Found {
            patient: book::patient_of(db, survivor)?,
            tubes,
        });
    }
    Ok(patients)
}

/// Of the newest results of all lines, the messages of one line, newest first.
pub(super) fn last_messages(
    db: &mut dyn Db,
    line: &str,
    count_max: i64,
) -> Result<Vec<(i64, Vec<StoredResult>)>, StoreError> {
    /// So far back is looked: there is no index by line.
    const RESULTS_LOOKED_AT: i64 = 5_000;
    let last = db.row(&LAST_RESULT, &[])?.int(0)?;
    let params = [
        line.into(),
        last.saturating_sub(RESULTS_LOOKED_AT).into(),
        count_max.into(),
    ];
    let messages = ids(db, &LAST_MESSAGES, &params)?;
    messages
        .into_iter()
        .map(|id| Ok((id, settle::of_message(db, id)?)))
        .collect()
}

/// A value as a technician knows it: as sent, with the device's own marks.
pub(super) fn shown(result: &StoredResult) -> String {
    value(&result.observation)
}

/// The same of what a device said.
pub(super) fn value(observation: &Observation) -> String {
    match &observation.value {
        Value::Image { media_type, .. } => format!("[{media_type}]"),
        Value::Quantity { .. }
        | Value::Coded { .. }
        | Value::Text { .. }
        | Value::Titre { .. }
        | Value::Ratio { .. }
        | Value::Absent { .. } => {
            let text = observation.text.trim();
            text.chars().take(VALUE_SHOWN).collect()
        }
    }
}

/// Of a long text so many characters are shown in a table.
const VALUE_SHOWN: usize = 200;
