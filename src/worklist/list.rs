//! The work list: everything that waits for a person, what is most urgent first.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen, unjson},
    bridge::Site,
    model::{Hold, HoldReason, Observation, Priority, Private, QueueState, ResultState},
    queue,
    settle::{self, StoredResult},
    store::{Db, Param, Sql, StoreError},
    text::{self, Language},
};

use super::{
    Act, Role, rules,
    urgency::{self, Known, Targets, Urgency},
};

const HELD: Sql =
    Sql::same("SELECT id FROM result WHERE state = 'held' ORDER BY received_at DESC LIMIT $1");
const OPEN: Sql =
    Sql::same("SELECT id FROM result WHERE state = 'waiting' ORDER BY received_at DESC LIMIT $1");
const KEPT: Sql = Sql::same(
    "SELECT id FROM result WHERE state IN ('waiting', 'kept') AND state = 'kept' \
     AND received_at >= $2 ORDER BY received_at DESC LIMIT $1",
);
const COUNTS: Sql = Sql::same(
    "SELECT (SELECT count(*) FROM result WHERE state = 'held'), \
     (SELECT count(*) FROM result WHERE state = 'waiting'), \
     (SELECT count(*) FROM message WHERE state = 'held'), \
     (SELECT count(*) FROM queue WHERE state = 'set-aside'), \
     (SELECT min(received_at) FROM result WHERE state = 'held'), \
     (SELECT min(received_at) FROM result WHERE state = 'waiting')",
);
const MESSAGES: Sql = Sql::same(
    "SELECT id, line, received_at, length(raw) FROM message WHERE state = 'held' \
     ORDER BY id DESC LIMIT $1",
);
const PREVIOUS: Sql = Sql::same(
    "SELECT r.detail, r.received_at, r.line FROM specimen s \
     JOIN result r ON r.barcode = s.barcode AND r.specimen = s.id \
     WHERE s.patient = $1 AND r.test = $2 AND r.state = 'released' AND r.id <> $3 \
     ORDER BY r.received_at DESC, r.id DESC LIMIT 5",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&HELD, &OPEN, &KEPT, &COUNTS, &MESSAGES, &PREVIOUS];

/// Entries of one kind that are looked at; of more, the newest. Far above what a laboratory leaves
/// waiting, far below what a page can show.
const LOOKED_AT_MAX: i64 = 2_000;

/// Orders of so long ago are no longer late but forgotten, microseconds.
const LATE_SINCE: i64 = 24 * 3_600 * 1_000_000;

/// A part of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    All,
    /// What goes nowhere without a person: held results, messages that could not be read or were
    /// refused. As many as [`Counts::to_decide`].
    Decide,
    /// Results whose order has not come.
    Unordered,
    /// Orders whose result has not come.
    Late,
}

impl Part {
    fn has(self, part: Self) -> bool {
        matches!(self, Self::All) || self == part
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The site's files.
    pub site: &'a Site,
    /// Now, microseconds UTC.
    pub now: i64,
    /// When results are to be there.
    pub targets: Targets,
    /// The language of reasons.
    pub language: Language,
    /// Of the person who looks: what may be done depends on it.
    pub role: Role,
    /// Behind this key of an entry; `None` from the first.
    pub after: Option<&'a str>,
    /// At most so many entries.
    pub count_max: usize,
    /// Whether what nobody ordered is listed too: it waits for nobody.
    pub with_kept: bool,
    /// Which part of it.
    pub part: Part,
}

/// A part of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// In order.
    pub entries: Vec<Entry>,
    /// The key to go on behind; `None` at the end.
    pub next: Option<String>,
    /// Entries that were not even looked at, because too many wait.
    pub left_off: i64,
    /// Entries of the whole list, those that were not looked at too.
    pub total: i64,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Results that a person decides about.
    pub held: i64,
    /// Results without an order.
    pub waiting: i64,
    /// Messages that could not be read.
    pub messages: i64,
    /// Messages that a host or a device refused.
    pub refused: i64,
    /// Since when the oldest held result waits, microseconds UTC.
    pub held_since: Option<i64>,
    /// Since when the oldest result without an order waits, microseconds UTC.
    pub waiting_since: Option<i64>,
}

impl Counts {
    /// What goes nowhere without a person: the number that should be 0.
    pub const fn to_decide(&self) -> i64 {
        self.held + self.messages + self.refused
    }
}

/// Something that waits.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its place in the list, for [`Waiting::after`].
    pub key: String,
    /// What it is.
    pub subject: Subject,
    /// How soon a person is wanted.
    pub urgency: Urgency,
    /// Since when it waits, microseconds UTC.
    pub since: i64,
    /// Why, in words.
    pub reasons: Vec<Reason>,
}

/// What waits.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// A result.
    Result(Box<ResultEntry>),
    /// A message that could not be read.
    Message {
        /// Its journal row.
        id: i64,
        /// The line it came on.
        line: String,
        /// Its length.
        bytes: i64,
    },
    /// A message that was refused.
    Queue(Queued),
    /// An order without its result.
    Late(Late),
}

/// A refused message.
#[derive(Clone, Debug, Serialize)]
pub struct Queued {
    /// Its queue row.
    pub id: i64,
    /// Where it was to go.
    pub destination: String,
    /// Its tube.
    pub barcode: String,
    /// Why it was refused.
    pub reason: String,
}

/// An order that is late.
#[derive(Clone, Debug, Serialize)]
pub struct Late {
    /// The ordered item.
    pub item: i64,
    /// Its tube.
    pub barcode: String,
    /// Placer number.
    pub placer: String,
    /// Tests without a released result.
    pub tests: Vec<String>,
}

/// A result that waits, with all that a person needs to decide.
#[derive(Clone, Debug, Serialize)]
pub struct ResultEntry {
    /// Its row.
    pub id: i64,
    /// Held, waiting or kept.
    pub state: ResultState,
    /// The line it came on.
    pub line: String,
    /// The journal row it came in.
    pub message: i64,
    /// The tube as trimmed; as sent it stands in the observation.
    pub barcode: String,
    /// The tube in the book.
    pub specimen: Option<i64>,
    /// Value, unit, flags, comments, all as sent.
    pub observation: Private<Observation>,
    /// The patient's other released values of this test, newest first.
    pub previous: Vec<Previous>,
    /// What this person may do.
    pub acts: Vec<&'static str>,
}

/// An earlier value.
#[derive(Clone, Debug, Serialize)]
pub struct Previous {
    /// As sent.
    pub text: Private<String>,
    /// As sent.
    pub unit: String,
    /// When it came, microseconds UTC.
    pub at: i64,
    /// The line it came on.
    pub line: String,
}

/// Why something waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The stable code.
    pub code: &'static str,
    /// A few words.
    pub title: String,
    /// What happened.
    pub what: String,
    /// What to do.
    pub todo: String,
    /// Particulars.
    pub detail: String,
}

impl Reason {
    fn of(language: Language, code: &'static str, detail: String) -> Self {
        let part = |part: &str| text::text(language, &format!("{code}.{part}"), &[]);
        Self {
            code,
            title: part("title"),
            what: part("what"),
            todo: part("todo"),
            detail: text::said(language, &detail),
        }
    }
}

/// How much waits.
///
/// # Errors
/// The store's.
pub fn counts(db: &mut dyn Db) -> Result<Counts, StoreError> {
    let row = db.row(&COUNTS, &[])?;
    Ok(Counts {
        held: row.int(0)?,
        waiting: row.int(1)?,
        messages: row.int(2)?,
        refused: row.int(3)?,
        held_since: row.opt_int(4)?,
        waiting_since: row.opt_int(5)?,
    })
}

/// The list: critical values first, then STAT, then what is or will be late, then the oldest.
///
/// # Errors
/// The store's.
pub fn waiting(db: &mut dyn Db, asked: &Waiting<'_>) -> Result<Page, StoreError> {
    let part = asked.part;
    let mut gathered = Gathered::results(db, asked)?;
    if part.has(Part::Decide) {
        gathered.messages(db, asked.language)?;
        gathered.refused(db, asked.language)?;
    }
    if part.has(Part::Late) {
        gathered.late(db, asked)?;
    }
    let total = counts(db)?;
    let of_part = |own, count| if part.has(own) { count } else { 0 };
    let open = of_part(Part::Decide, total.to_decide()) + of_part(Part::Unordered, total.waiting);
    let left_off = open.saturating_sub(gathered.open).max(0);
    let mut entries = gathered.entries;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    if let Some(after) = asked.after {
        entries.retain(|entry| entry.key.as_str() > after);
    }
    let has_more = entries.len() > asked.count_max;
    entries.truncate(asked.count_max);
    for entry in &mut entries {
        gathered.about.complete(db, entry)?;
    }
    let last = entries.last().map(|entry| entry.key.clone());
    Ok(Page {
        next: last.filter(|_| has_more),
        entries,
        left_off,
        total: count.saturating_add(left_off),
    })
}

/// One result as the list shows it, whatever its place; `None` where there is none.
///
/// # Errors
/// The store's.
pub fn entry_of(
    db: &mut dyn Db,
    asked: &Waiting<'_>,
    id: i64,
) -> Result<Option<Entry>, StoreError> {
    let results = settle::results_by_ids(db, &[id])?;
    let mut gathered = Gathered::of(db, asked, results)?;
    let Some(mut entry) = gathered.entries.pop() else {
        return Ok(None);
    };
    gathered.about.complete(db, &mut entry)?;
    Ok(Some(entry))
}

/// Tubes and patients of what waits.
#[derive(Default)]
struct About {
    tubes: BTreeMap<i64, BookSpecimen>,
    items: BTreeMap<i64, Vec<BookItem>>,
    patients: BTreeMap<i64, BookPatient>,
}

impl About {
    fn of(db: &mut dyn Db, tubes: &BTreeSet<i64>) -> Result<Self, StoreError> {
        let list: Vec<i64> = tubes.iter().copied().collect();
        let tubes = book::specimens_by_ids(db, &list)?;
        let owners = tubes.values().map(|tube| tube.patient).collect();
        Ok(Self {
            items: book::items_of(db, &list)?,
            patients: book::patients_of(db, &owners)?,
            tubes,
        })
    }

    fn known(&self, specimen: Option<i64>) -> Known<'_> {
        let tube = specimen.and_then(|id| self.tubes.get(&id));
        let items = specimen.and_then(|id| self.items.get(&id));
        Known {
            items: items.map_or(&[][..], Vec::as_slice),
            patient: tube.and_then(|tube| self.patients.get(&tube.patient)),
            collected_at: tube.and_then(|tube| tube.collected_at),
        }
    }

    /// Earlier values, for what is shown.
    fn complete(&self, db: &mut dyn Db, entry: &mut Entry) -> Result<(), StoreError> {
        let Subject::Result(result) = &mut entry.subject else {
            return Ok(());
        };
        let tube = result.specimen.and_then(|id| self.tubes.get(&id));
        let test = result.observation.expose().test.as_deref();
        if let (Some(tube), Some(test)) = (tube, test) {
            result.previous = previous(db, tube.patient, test, result.id)?;
        }
        Ok(())
    }
}

fn previous(
    db: &mut dyn Db,
    patient: i64,
    test: &str,
    own: i64,
) -> Result<Vec<Previous>, StoreError> {
    let params: [Param; 3] = [patient.into(), test.into(), own.into()];
    db.rows(&PREVIOUS, &params)?
        .iter()
        .map(|row| {
            let observation: Observation = unjson(row.text(0)?)?;
            Ok(Previous {
                text: Private::new(observation.text),
                unit: observation.unit,
                at: row.int(1)?,
                line: row.text(2)?.to_owned(),
            })
        })
        .collect()
}

#[derive(Default)]
struct Gathered {
    entries: Vec<Entry>,
    about: About,
    /// Of those that count as open.
    open: i64,
}

impl Gathered {
    fn results(db: &mut dyn Db, asked: &Waiting<'_>) -> Result<Self, StoreError> {
        let since = asked
            .now
            .saturating_sub(asked.site.laboratory.specimen_age_max);
        let limit = Param::from(LOOKED_AT_MAX);
        let mut rows = Vec::new();
        for (part, sql) in [(Part::Decide, &HELD), (Part::Unordered, &OPEN)] {
            if asked.part.has(part) {
                rows.extend(db.rows(sql, std::slice::from_ref(&limit))?);
            }
        }
        let open = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if asked.with_kept {
            rows.extend(db.rows(&KEPT, &[limit, since.into()])?);
        }
        let ids: Result<Vec<i64>, StoreError> = rows.iter().map(|row| row.int(0)).collect();
        let results = settle::results_by_ids(db, &ids?)?;
        let gathered = Self::of(db, asked, results)?;
        Ok(Self { open, ..gathered })
    }

    fn of(
        db: &mut dyn Db,
        asked: &Waiting<'_>,
        results: BTreeMap<i64, StoredResult>,
    ) -> Result<Self, StoreError> {
        let tubes = results.values().filter_map(|result| result.specimen);
        let about = About::of(db, &tubes.collect())?;
        let entry = |result: StoredResult| {
            let known = about.known(result.specimen);
            let (targets, now) = (asked.targets, asked.now);
            let urgency = Urgency::of(asked.site, &result.observation, known, targets, now);
            of_result(asked, result, urgency)
        };
        Ok(Self {
            entries: results.into_values().map(entry).collect(),
            about,
            open: 0,
        })
    }

    fn messages(&mut self, db: &mut dyn Db, language: Language) -> Result<(), StoreError> {
        for row in db.rows(&MESSAGES, &[LOOKED_AT_MAX.into()])? {
            let (id, since) = (row.int(0)?, row.int(2)?);
            let urgency = Urgency::default();
            self.open += 1;
            self.entries.push(Entry {
                key: key(&urgency, since, 'm', id),
                subject: Subject::Message {
                    id,
                    line: row.text(1)?.to_owned(),
                    bytes: row.int(3)?,
                },
                urgency,
                since,
                reasons: vec![Reason::of(language, "message", String::new())],
            });
        }
        Ok(())
    }

    fn refused(&mut self, db: &mut dyn Db, language: Language) -> Result<(), StoreError> {
        for row in queue::list(db, QueueState::SetAside, 0, LOOKED_AT_MAX)? {
            let urgency = Urgency {
                priority: Priority::from_rank(row.priority),
                ..Urgency::default()
            };
            let since = row.closed_at.unwrap_or(row.created_at);
            self.open += 1;
            self.entries.push(Entry {
                key: key(&urgency, since, 'q', row.id),
                urgency,
                since,
                reasons: vec![Reason::of(language, "queued", row.reason.clone())],
                subject: Subject::Queue(Queued {
                    id: row.id,
                    destination: row.destination,
                    barcode: row.barcode,
                    reason: row.reason,
                }),
            });
        }
        Ok(())
    }

    fn late(&mut self, db: &mut dyn Db, asked: &Waiting<'_>) -> Result<(), StoreError> {
        let before = |target: i64| Param::from(asked.now.saturating_sub(target));
        let targets = asked.targets;
        let params: [Param; 5] = [
            asked.now.saturating_sub(LATE_SINCE).into(),
            before(targets.stat),
            before(targets.asap),
            before(targets.routine),
            LOOKED_AT_MAX.into(),
        ];
        let rows = db.rows(&urgency::LATE, &params)?;
        let tubes: Result<BTreeSet<i64>, StoreError> = rows.iter().map(|row| row.int(1)).collect();
        let tubes: Vec<i64> = tubes?.into_iter().collect();
        let done = settle::released_tests_of(db, &tubes)?;
        for row in rows {
            let item = row.int(0)?;
            let done = done.get(&row.int(1)?).map_or(&[][..], Vec::as_slice);
            let mut tests = book::tests_of(db, item)?;
            tests.retain(|test| !done.contains(test));
            let priority = Priority::from_rank(row.int(4)?);
            let since = row.int(6)?;
            let urgency = Urgency {
                critical: None,
                priority,
                due_at: Some(since.saturating_add(targets.of(priority))),
                is_late: true,
            };
            self.entries.push(Entry {
                key: key(&urgency, since, 'o', item),
                urgency,
                since,
                reasons: vec![Reason::of(asked.language, "late", row.text(3)?.to_owned())],
                subject: Subject::Late(Late {
                    item,
                    barcode: row.text(5)?.to_owned(),
                    placer: row.text(2)?.to_owned(),
                    tests,
                }),
            });
        }
        Ok(())
    }
}

/// What stands behind a reason. A single word that is a device's own, such as a code or a flag, is no
/// sentence of ours and stays as it came.
fn particulars(language: Language, hold: &Hold) -> String {
    let is_ours = hold.reason == HoldReason::PatientMismatch || hold.detail.contains(' ');
    if is_ours {
        text::said(language, &hold.detail)
    } else {
        hold.detail.clone()
    }
}

fn of_result(asked: &Waiting<'_>, result: StoredResult, urgency: Urgency) -> Entry {
    let reasons = result.holds.iter().map(|hold| {
        let words = text::hold(asked.language, hold.reason);
        Reason {
            code: hold.reason.code(),
            title: words.title,
            what: words.what,
            todo: words.todo,
            detail: particulars(asked.language, hold),
        }
    });
    let may = |act: &&Act| rules::allowed(result.state, &result.holds, **act, asked.role);
    let acts = Act::ALL.iter().filter(may).map(|act| act.code()).collect();
    Entry {
        key: key(&urgency, result.received_at, 'r', result.id),
        since: result.received_at,
        reasons: reasons.collect(),
        urgency,
        subject: Subject::Result(Box::new(ResultEntry {
            id: result.id,
            state: result.state,
            line: result.line,
            message: result.message,
            barcode: result.barcode,
            specimen: result.specimen,
            observation: Private::new(result.observation),
            previous: Vec::new(),
            acts,
        })),
    }
}

/// Sorts as the list does, byte by byte.
fn key(urgency: &Urgency, since: i64, kind: char, id: i64) -> String {
    let critical = u8::from(urgency.critical.is_none());
    let priority = u8::from(urgency.priority != Priority::Stat);
    let late = u8::from(!urgency.is_late);
    format!(
        "{critical}{priority}{late}-{:020}-{kind}{id:020}",
        since.max(0)
    )
}
