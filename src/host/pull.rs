//! Orders fetched as JSON, for hosts of `kind = "http"`. `GET <orders>?after=<cursor>` gives a page:
//!
//! ```json
//! { "cursor": "18", "answer": true, "orders": [
//!   { "id": "17", "action": "new", "placer": "REQ1-1",
//!     "service": { "code": "TSH", "text": "TSH", "system": "L" }, "priority": "R",
//!     "patient": { "ids": [{ "id": "…", "authority": "…", "type": "PI" }],
//!                  "name": { "family": "…", "given": "…", "middle": "…" },
//!                  "birth": "19911105", "sex": "F" },
//!     "specimen": { "barcode": "…", "type": { "code": "EDTA" },
//!                   "collected_at": "20260310143000+0700" } },
//!   { "id": "18", "action": "cancel", "placer": "REQ1-2", "service": { "code": "FT4" } } ] }
//! ```
//!
//! `action` is `new`, `cancel`, `change`, `patient` (new demographics) or `merge` (with `merged`,
//! the identifiers that disappear). The cursor is the host's own word for "up to here": it is kept
//! in the transaction that applies the page, and asking for what comes after it acknowledges the
//! page. A page that comes again is applied again to the same effect.
//!
//! What became of each order is posted to the same address, under a control id of its own, and
//! posted again until it is taken, while further pages are fetched; `"answer": false` in a page asks for silence:
//!
//! ```json
//! { "control_id": "…", "cursor": "18", "answers": [
//!   { "id": "17", "accepted": true, "placer": "REQ1-1", "service": "TSH", "filler": "LW4",
//!     "status": "SC", "reason": null } ] }
//! ```

use labwire_protocols::{
    hl7::build::{Name, SegmentWriter},
    wire::Commit,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::{
    audit,
    book::{
        self, Action, Applied, BookContext, Fields, Identifier, OrderEntry, Outcome, PatientEntry,
        SpecimenEntry,
    },
    model::{OrderStatus, Priority, Private},
    store::{
        Db, StoreError,
        journal::{self, MessageState},
    },
};

use super::{
    HostSite, convert,
    inbound::{self, Heard, Inbound},
};

/// Where the fetching of a host's orders stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullState {
    /// The cursor of the last page applied; empty before the first.
    pub after: String,
    /// What has still to be posted, oldest first: control id and body.
    pub answers: Vec<(String, String)>,
}

/// Most answers that wait for a host. Orders matter more than what is said of them: beyond this the
/// oldest is given up, with a row in the audit; what it said stands in the order book.
pub(super) const ANSWERS_MAX: usize = 64;

/// Reads where the fetching stands.
///
/// # Errors
/// The store's.
pub fn pull_state(db: &mut dyn Db, host: &str) -> Result<PullState, StoreError> {
    let after = journal::meta(db, &key(host, "after"))?.unwrap_or_default();
    let answers = match journal::meta(db, &key(host, "answers"))? {
        Some(kept) => book::unjson(&kept)?,
        None => Vec::new(),
    };
    Ok(PullState { after, answers })
}

/// The host took the answer of that control id, or will never.
///
/// # Errors
/// The store's.
pub fn answer_taken(db: &mut dyn Db, host: &str, control_id: &str) -> Result<(), StoreError> {
    let mut answers = pull_state(db, host)?.answers;
    answers.retain(|(id, _)| id != control_id);
    keep_answers(db, host, &answers)
}

fn keep_answers(
    db: &mut dyn Db,
    host: &str,
    answers: &[(String, String)],
) -> Result<(), StoreError> {
    journal::set_meta(db, &key(host, "answers"), &book::json(&answers)?)
}

/// Puts an answer behind those that wait.
fn add_answer(
    db: &mut dyn Db,
    host: &str,
    answer: (String, String),
    now: i64,
) -> Result<(), StoreError> {
    let mut answers = pull_state(db, host)?.answers;
    if answers.len() >= ANSWERS_MAX {
        let (given_up, _) = answers.remove(0);
        let (actor, subject) = (format!("host:{host}"), format!("answer:{given_up}"));
        let why =
            "the host took none of the answers since; what became of the orders is in the book";
        audit::write(db, now, &actor, "answer-given-up", &subject, why)?;
    }
    answers.push(answer);
    keep_answers(db, host, &answers)
}

fn key(host: &str, what: &str) -> String {
    format!("http:{host}:{what}")
}

#[derive(Deserialize)]
struct Page {
    cursor: String,
    #[serde(default = "yes")]
    answer: bool,
    orders: Vec<Json>,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Pulled {
    action: PulledAction,
    #[serde(default)]
    placer: String,
    #[serde(default)]
    service: Coded,
    #[serde(default)]
    priority: String,
    patient: Option<Patient>,
    specimen: Option<Specimen>,
    #[serde(default)]
    merged: Vec<Id>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PulledAction {
    New,
    Cancel,
    Change,
    Patient,
    Merge,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coded {
    code: String,
    text: String,
    system: String,
}

#[derive(Deserialize)]
struct Patient {
    ids: Vec<Id>,
    #[serde(default)]
    name: PersonName,
    #[serde(default)]
    birth: String,
    #[serde(default)]
    sex: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PersonName {
    family: String,
    given: String,
    middle: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Id {
    id: String,
    authority: String,
    r#type: String,
}

#[derive(Deserialize)]
struct Specimen {
    barcode: String,
    #[serde(default)]
    r#type: Coded,
    #[serde(default)]
    collected_at: String,
}

#[derive(Serialize)]
struct Answers<'a> {
    control_id: &'a str,
    cursor: &'a str,
    answers: Vec<Answer>,
}

#[derive(Serialize)]
struct Answer {
    id: Json,
    accepted: bool,
    placer: String,
    service: String,
    filler: String,
    status: &'static str,
    reason: Option<&'static str>,
}

/// Journals and applies a fetched page, keeps its cursor and what is to be answered. A page that
/// says nothing new is not journalled again; one that cannot be read is, once, and its cursor is
/// not passed.
///
/// # Errors
/// The store's; then nothing is applied and the page is asked for again.
pub fn hear_page(db: &mut dyn Db, site: &HostSite, inbound: &Inbound) -> Result<Heard, StoreError> {
    let Commit::Message(received) = &inbound.entry.commit else {
        return Err(StoreError::value("a page of orders came as a frame"));
    };
    let page: Option<Page> = serde_json::from_slice(&received.bytes).ok();
    if page.as_ref().is_some_and(|page| page.orders.is_empty()) {
        return Ok(heard("no new orders"));
    }
    let digest = inbound::hex(&Sha256::digest(&received.bytes));
    let last = key(&site.id, "page");
    if journal::meta(db, &last)?.as_ref() == Some(&digest) {
        return Ok(heard("the same page again"));
    }
    journal::set_meta(db, &last, &digest)?;
    let message = inbound::journalled(db, &inbound.entry)?;
    let Some(page) = page else {
        let what = heard("the page of orders is no JSON of the documented shape");
        return inbound::done(db, message, MessageState::Held, what);
    };
    let context = BookContext {
        host: &site.id,
        message,
        now: inbound.entry.at,
        specimen_age_max: site.laboratory.specimen_age_max,
    };
    let (mut barcodes, mut merged) = (Vec::new(), Vec::new());
    let mut answers = Vec::with_capacity(page.orders.len());
    for order in page.orders {
        let id = order.get("id").cloned().unwrap_or_default();
        let (answer, touched) = match serde_json::from_value(order) {
            Ok(pulled) => apply(db, site, &context, id, &pulled)?,
            Err(_) => {
                let refused = Answer::refused(id, "not of the documented shape");
                (refused, Touched::Nothing)
            }
        };
        answers.push(answer);
        match touched {
            Touched::Nothing => {}
            Touched::Ordered(barcode) => barcodes.push(barcode),
            Touched::Merged(of_patient) => merged.extend(of_patient),
        }
    }
    barcodes.sort_unstable();
    barcodes.dedup();
    journal::set_meta(db, &key(&site.id, "after"), &page.cursor)?;
    let refused = answers.iter().filter(|answer| !answer.accepted).count();
    let summary = format!("{} orders, {refused} refused", answers.len());
    let actor = format!("host:{}", site.id);
    let subject = format!("message:{message}");
    audit::write(db, context.now, &actor, "heard", &subject, &summary)?;
    let answer = Answers {
        control_id: &inbound.reply_id,
        cursor: &page.cursor,
        answers,
    };
    let mut replies = Vec::new();
    if page.answer {
        let body = book::json(&answer)?;
        let answer = (inbound.reply_id.clone(), body.clone());
        add_answer(db, &site.id, answer, context.now)?;
        replies.push(body.into_bytes());
    }
    let heard = Heard {
        replies,
        barcodes,
        merged,
        summary,
    };
    inbound::done(db, message, MessageState::Parsed, heard)
}

/// What an entry of a page changed for results.
enum Touched {
    Nothing,
    /// Something on this barcode was ordered or changed.
    Ordered(String),
    /// Patients who were two are one; the barcodes in use.
    Merged(Vec<String>),
}

fn heard(summary: &str) -> Heard {
    Heard {
        summary: summary.to_owned(),
        ..Heard::default()
    }
}

fn apply(
    db: &mut dyn Db,
    site: &HostSite,
    context: &BookContext<'_>,
    id: Json,
    pulled: &Pulled,
) -> Result<(Answer, Touched), StoreError> {
    let patient = pulled.patient.as_ref().map(Patient::entry);
    let named = patient
        .as_ref()
        .filter(|patient| !patient.identifiers.is_empty());
    let action = match (pulled.action, named) {
        (PulledAction::New, _) => Action::New,
        (PulledAction::Cancel, _) => Action::Cancel,
        (PulledAction::Change, _) => Action::Change,
        (PulledAction::Patient | PulledAction::Merge, None) => {
            return Ok((Answer::refused(id, "no patient is named"), Touched::Nothing));
        }
        (PulledAction::Patient, Some(patient)) => {
            book::update_patient(db, context, patient)?;
            return Ok((Answer::done(id), Touched::Nothing));
        }
        (PulledAction::Merge, Some(patient)) => {
            let gone: Vec<Identifier> = pulled.merged.iter().filter_map(Id::entry).collect();
            if gone.is_empty() {
                let refused = Answer::refused(id, "no patient to merge is named");
                return Ok((refused, Touched::Nothing));
            }
            let done = book::merge(db, context, patient, &gone)?;
            let (actor, subject) = (
                format!("host:{}", site.id),
                format!("message:{}", context.message),
            );
            let what = inbound::merge_words(&done);
            audit::write(db, context.now, &actor, "heard", &subject, what)?;
            return Ok((Answer::done(id), Touched::Merged(done.barcodes)));
        }
    };
    if pulled.placer.is_empty() {
        let refused = Answer::refused(id, "no placer order number");
        return Ok((refused, Touched::Nothing));
    }
    let entry = pulled.entry(site, action);
    let applied = book::apply(db, context, patient.as_ref(), &entry)?;
    let is_accepted = applied.outcome == Outcome::Accepted;
    let touched = if is_accepted && !applied.barcode.is_empty() {
        Touched::Ordered(applied.barcode.clone())
    } else {
        Touched::Nothing
    };
    Ok((Answer::of(id, &entry, applied), touched))
}

impl Answer {
    fn done(id: Json) -> Self {
        Self {
            id,
            accepted: true,
            placer: String::new(),
            service: String::new(),
            filler: String::new(),
            status: "",
            reason: None,
        }
    }

    fn refused(id: Json, reason: &'static str) -> Self {
        Self {
            accepted: false,
            reason: Some(reason),
            ..Self::done(id)
        }
    }

    fn of(id: Json, entry: &OrderEntry, applied: Applied) -> Self {
        let reason = super::orders::reason(applied.outcome).map(|[_, text, _]| text);
        Self {
            id,
            accepted: reason.is_none(),
            placer: entry.placer.clone(),
            service: entry.service.clone(),
            filler: applied.filler,
            status: applied.status.map_or("", OrderStatus::code),
            reason,
        }
    }
}

impl Pulled {
    fn entry(&self, site: &HostSite, action: Action) -> OrderEntry {
        let Coded { code, text, system } = &self.service;
        let service = [code.as_str(), text, system];
        let zone = &site.laboratory.zone;
        OrderEntry {
            action,
            placer: self.placer.clone(),
            service: code.clone(),
            tests: site.laboratory.tests_of(&site.id, code),
            specimen: self.specimen.as_ref().map(|tube| SpecimenEntry {
                barcode: tube.barcode.clone(),
                fields: fields(Name::SPM, &[(4, &tube.r#type.parts())]),
                collected_at: convert::instant(&tube.collected_at, zone),
            }),
            priority: Priority::from_code(&self.priority),
            orc: fields(Name::ORC, &[(2, &[&self.placer])]),
            obr: fields(Name::OBR, &[(2, &[&self.placer]), (4, &service)]),
        }
    }
}

impl Coded {
    fn parts(&self) -> [&str; 3] {
        [&self.code, &self.text, &self.system]
    }
}

impl Id {
    fn entry(&self) -> Option<Identifier> {
        (!self.id.is_empty()).then(|| Identifier {
            id: Private::new(self.id.clone()),
            authority: self.authority.clone(),
            kind: self.r#type.clone(),
        })
    }
}

impl Patient {
    fn entry(&self) -> PatientEntry {
        let PersonName {
            family,
            given,
            middle,
        } = &self.name;
        let known = [
            (5, &[family.as_str(), given, middle][..]),
            (7, &[self.birth.as_str()]),
            (8, &[self.sex.as_str()]),
        ];
        let mut fields = fields(Name::PID, &known);
        let ids = self.ids.iter().filter(|id| !id.id.is_empty());
        let pid = ids.clone().fold(SegmentWriter::new(Name::PID), |pid, id| {
            pid.repeat(3, &[&id.id, "", "", &id.authority, &id.r#type])
        });
        if !pid.value(3).is_empty() {
            fields.insert(3, pid.value(3).to_owned());
        }
        let is_date = self.birth.len() == 8 && self.birth.bytes().all(|b| b.is_ascii_digit());
        PatientEntry {
            identifiers: ids.filter_map(Id::entry).collect(),
            fields: Private::new(fields),
            birth: Private::new(if is_date {
                self.birth.clone()
            } else {
                String::new()
            }),
            sex: self.sex.clone(),
        }
    }
}

/// Fields as a segment would have them; empty ones are left out.
fn fields(name: Name, parts: &[(u16, &[&str])]) -> Fields {
    parts
        .iter()
        .map(|(n, parts)| {
            let segment = SegmentWriter::new(name).components(usize::from(*n), parts);
            (*n, segment.value(usize::from(*n)).to_owned())
        })
        .filter(|(_, text)| !text.is_empty())
        .collect()
}
