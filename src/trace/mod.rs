//! From the acknowledgement of the host back to the bytes on the wire.
//!
//! [`gather`] collects everything that the store knows about a tube, a result or a message that was
//! sent; [`render`] writes it for a person, newest knowledge first: what the host answered, what was
//! decided and why, what the device sent, and what was ordered.

mod bytes;
mod course;
mod find;
mod render;
mod when;

pub use self::{
    bytes::visible,
    course::{Step, course},
    find::{Subject, resolve},
    render::render,
    when::{instant, read_since},
};

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    audit, book,
    queue::{self, QueueRow},
    settle::{self, StoredResult},
    store::{Db, Sql, StoreError, journal},
    tubes::{
        receipt::{self, Receipt},
        rows::{self, TrackRow},
    },
};

const TUBES: Sql = Sql::same(
    "SELECT id, host, generation, collected_at, ordered_at FROM specimen WHERE barcode = $1 \
     ORDER BY generation",
);
const ITEMS: Sql = Sql::same(
    "SELECT id, placer, service, filler, status, message, created_at FROM order_item \
     WHERE specimen = $1 ORDER BY id",
);
const TOLD: Sql = Sql::same("SELECT line, at FROM order_told WHERE order_item = $1 ORDER BY at");
const DECIDED: Sql = Sql::same("SELECT decided_at FROM result WHERE id = $1");
const ROWS_OF_RESULT: Sql = Sql::same(
    "SELECT queue FROM result WHERE id = $1 AND queue IS NOT NULL \
     UNION SELECT queue FROM queue_result WHERE result = $1 ORDER BY 1",
);
const ROWS_OF_TUBE: Sql = Sql::same(
    "SELECT DISTINCT queue FROM queue_order WHERE order_item IN \
     (SELECT id FROM order_item WHERE specimen = $1) ORDER BY queue",
);

/// One tube: a patient's use of a barcode.
#[derive(Clone, Debug)]
pub struct Tube {
    /// The host that ordered on it.
    pub host: String,
    /// 1 for the first patient with this barcode.
    pub generation: i64,
    /// UTC microseconds, where the order said so.
    pub collected_at: Option<i64>,
    /// Its newest order, UTC microseconds.
    pub ordered_at: i64,
    /// Who sent it, and when it was received.
    pub receipt: Receipt,
    /// What was ordered.
    pub items: Vec<OrderedItem>,
}

/// One ordered item.
#[derive(Clone, Debug)]
pub struct OrderedItem {
    /// Placer order number.
    pub placer: String,
    /// Service code as ordered.
    pub service: String,
    /// Filler order number.
    pub filler: String,
    /// Its status now, HL7 ORC-5.
    pub status: String,
    /// The journal row it came in.
    pub message: i64,
    /// UTC microseconds.
    pub created_at: i64,
    /// Catalogue tests.
    pub tests: Vec<String>,
    /// Devices that were told, and when.
    pub told: Vec<(String, i64)>,
}

/// One result version with its way to the host.
#[derive(Clone, Debug)]
pub struct TracedResult {
    /// As stored.
    pub stored: StoredResult,
    /// When it was decided, UTC microseconds; `None` while somebody has to.
    pub decided_at: Option<i64>,
    /// The queue rows that carry it.
    pub rows: Vec<i64>,
}

/// A row of the audit.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// UTC microseconds.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Particulars.
    pub detail: String,
}

/// Everything about one subject.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What was asked, as it was understood.
    pub title: String,
    /// The tubes with the barcode, oldest use first.
    pub tubes: Vec<Tube>,
    /// What automation lines told of it, and what Labwire found and advised, in the order told.
    pub track: Vec<TrackRow>,
    /// Result versions, oldest first.
    pub results: Vec<TracedResult>,
    /// Queue rows by id.
    pub queue: BTreeMap<i64, QueueRow>,
    /// Journalled messages by id.
    pub messages: BTreeMap<i64, journal::Message>,
    /// What people and hosts did, oldest first.
    pub audit: Vec<AuditRow>,
}

/// Collects everything about a subject. Of a result its other versions are collected too.
///
/// # Errors
/// The store's.
pub fn gather(db: &mut dyn Db, subject: &Subject) -> Result<Trace, StoreError> {
    let (barcode, results) = match subject {
        Subject::Specimen(barcode) => (barcode.clone(), settle::of_barcode(db, barcode)?),
        Subject::Result(id) => versions(db, *id)?,
        Subject::Queue(id) => sent(db, *id)?,
    };
    let mut trace = Trace {
        title: subject.to_string(),
        tubes: tubes(db, &barcode)?,
        track: rows::of_barcode(db, &barcode)?,
        results: Vec::new(),
        queue: BTreeMap::new(),
        messages: BTreeMap::new(),
        audit: Vec::new(),
    };
    if let Subject::Queue(id) = subject {
        trace
            .queue
            .extend(queue::find(db, *id)?.map(|row| (*id, row)));
    }
    for stored in results {
        trace.add_result(db, stored)?;
    }
    if !matches!(subject, Subject::Result(_)) {
        trace.add_downloads(db, &barcode)?;
    }
    trace.add_messages(db)?;
    trace.add_audit(db, &barcode)?;
    Ok(trace)
}

/// A result and the other versions of its test on its tube.
fn versions(db: &mut dyn Db, id: i64) -> Result<(String, Vec<StoredResult>), StoreError> {
    let Some(asked) = settle::result_by_id(db, id)? else {
        return Ok((String::new(), Vec::new()));
    };
    let test = asked.observation.test.clone();
    let barcode = asked.barcode.clone();
    if test.is_none() || barcode.is_empty() {
        return Ok((barcode, vec![asked]));
    }
    let mut all = settle::of_barcode(db, &barcode)?;
    all.retain(|one| one.observation.test == test && one.specimen == asked.specimen);
    Ok((barcode, all))
}

/// The results that a queue row carries.
fn sent(db: &mut dyn Db, row: i64) -> Result<(String, Vec<StoredResult>), StoreError> {
    const RESULTS: Sql = Sql::same(
        "SELECT id FROM result WHERE queue = $1 \
         UNION SELECT result FROM queue_result WHERE queue = $1 ORDER BY 1",
    );
    let mut results = Vec::new();
    for id in ids(db, &RESULTS, row)? {
        results.extend(settle::result_by_id(db, id)?);
    }
    let barcode = queue::find(db, row)?.map(|row| row.barcode);
    Ok((barcode.unwrap_or_default(), results))
}

fn ids(db: &mut dyn Db, sql: &Sql, of: i64) -> Result<Vec<i64>, StoreError> {
    db.rows(sql, &[of.into()])?
        .iter()
        .map(|row| row.int(0))
        .collect()
}

fn tubes(db: &mut dyn Db, barcode: &str) -> Result<Vec<Tube>, StoreError> {
    let mut tubes = Vec::new();
    for row in db.rows(&TUBES, &[barcode.into()])? {
        let mut items = Vec::new();
        for item in db.rows(&ITEMS, &[row.int(0)?.into()])? {
            let id = item.int(0)?;
            let told = db.rows(&TOLD, &[id.into()])?;
            let told = told
                .iter()
                .map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?)));
            items.push(OrderedItem {
                placer: item.text(1)?.to_owned(),
                service: item.text(2)?.to_owned(),
                filler: item.text(3)?.to_owned(),
                status: item.text(4)?.to_owned(),
                message: item.int(5)?,
                created_at: item.int(6)?,
                told: told.collect::<Result<_, StoreError>>()?,
                tests: book::tests_of(db, id)?,
            });
        }
        tubes.push(Tube {
            host: row.text(1)?.to_owned(),
            generation: row.int(2)?,
            collected_at: row.opt_int(3)?,
            ordered_at: row.int(4)?,
            receipt: receipt::of_specimen(db, row.int(0)?)?,
            items,
        });
    }
    Ok(tubes)
}

impl Trace {
    fn add_result(&mut self, db: &mut dyn Db, stored: StoredResult) -> Result<(), StoreError> {
        let rows = ids(db, &ROWS_OF_RESULT, stored.id)?;
        let decided_at = db.row(&DECIDED, &[stored.id.into()])?.opt_int(0)?;
        self.add_rows(db, &rows)?;
        self.results.push(TracedResult {
            stored,
            decided_at,
            rows,
        });
        Ok(())
    }

    fn add_rows(&mut self, db: &mut dyn Db, rows: &[i64]) -> Result<(), StoreError> {
        for id in rows {
            if !self.queue.contains_key(id) {
                self.queue
                    .extend(queue::find(db, *id)?.map(|row| (*id, row)));
            }
        }
        Ok(())
    }

    /// What devices were told about the tube without having asked.
    fn add_downloads(&mut self, db: &mut dyn Db, barcode: &str) -> Result<(), StoreError> {
        for tube in db.rows(&TUBES, &[barcode.into()])? {
            let rows = ids(db, &ROWS_OF_TUBE, tube.int(0)?)?;
            self.add_rows(db, &rows)?;
        }
        Ok(())
    }

    fn add_messages(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let of_results = self.results.iter().map(|result| result.stored.message);
        let items = self.tubes.iter().flat_map(|tube| &tube.items);
        let orders = items.map(|item| item.message);
        let of_lines = self.track.iter().map(|row| row.message);
        let wanted: BTreeSet<i64> = of_results.chain(orders).chain(of_lines).collect();
        for id in wanted {
            self.messages
                .extend(journal::message(db, id)?.map(|message| (id, message)));
        }
        Ok(())
    }

    fn add_audit(&mut self, db: &mut dyn Db, barcode: &str) -> Result<(), StoreError> {
        let results = self
            .results
            .iter()
            .map(|one| format!("result:{}", one.stored.id));
        let rows = self.queue.keys().map(|id| format!("queue:{id}"));
        let messages = self.messages.keys().map(|id| format!("message:{id}"));
        let tube = (!barcode.is_empty()).then(|| format!("specimen:{barcode}"));
        let all = results.chain(rows).chain(messages).chain(tube);
        let subjects: Vec<String> = all.collect();
        for subject in subjects {
            for (at, actor, action, detail) in audit::of_subject(db, &subject)? {
                self.audit.push(AuditRow {
                    at,
                    actor,
                    action,
                    subject: subject.clone(),
                    detail,
                });
            }
        }
        self.audit.sort_by_key(|row| row.at);
        Ok(())
    }
}

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &TUBES,
    &ITEMS,
    &TOLD,
    &DECIDED,
    &ROWS_OF_RESULT,
    &ROWS_OF_TUBE,
    &find::HAS_BARCODE,
    &find::HAS_TRACK,
    &find::HAS_RESULTS,
    &find::BY_CONTROL_ID,
];
