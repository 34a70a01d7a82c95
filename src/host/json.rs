//! Results as JSON, for hosts of `kind = "http"`. One document a tube, posted with its control id
//! as `Idempotency-Key`:
//!
//! ```json
//! { "control_id": "…", "sent_at": "2026-03-10T15:00:00+07:00",
//!   "sender": { "application": "LABWIRE", "facility": "XN" },
//!   "patient": { "ids": [{ "id": "…", "authority": "…", "type": "PI" }],
//!                "name": { "family": "…", "given": "…", "middle": "…" },
//!                "birth": "19911105", "sex": "F" },
//!   "specimen": { "barcode": "…", "type": { "code": "…", "text": "…", "system": "…" },
//!                 "collected_at": "…" },
//!   "orders": [{ "placer": "…", "filler": "…",
//!                "service": { "code": "…", "text": "…", "system": "…" },
//!                "status": "F", "results": [{
//!     "code": { "code": "…", "text": "…", "system": "…" }, "test": "…", "loinc": "…",
//!     "text": "exactly as the analyzer sent it", "type": "SN", "value": ["<", "0.30"],
//!     "unit": "as sent", "ucum": "…", "range": "…", "flags": ["H"], "status": "F",
//!     "completed_at": "…", "received_at": "…", "instrument": "xn-1", "module": "…",
//!     "operator": "…", "comments": ["…"], "about": "…" }] }] }
//! ```
//!
//! What is not known is `null`, or an empty list. `about` is OBX-4, such as the donor unit of a
//! crossmatch, and stands only where results of one test are told apart by it. `status` of an order is OBR-25, of a result
//! OBX-11; `type` and `value` are OBX-2 and the components of OBX-5. An order without `placer` is
//! a result that nobody ordered.

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{
    book::Fields,
    config::choice::Version,
    queue::{Pending, Render, Rendered},
    store::{Db, StoreError},
};

use super::{
    HostSite, obx,
    render::number,
    report::{BROKEN, Part, Reading, Report, Status, Told, components, repeats},
};

/// Renders result documents for one host that takes JSON.
#[derive(Debug)]
pub struct JsonRenderer<'a> {
    /// The host.
    pub site: &'a HostSite,
    /// Makes control ids unique: the same for one run of the program, never used by another.
    pub run: &'a str,
    /// Now, microseconds UTC.
    pub now: i64,
}

impl Render for JsonRenderer<'_> {
    fn render(
        &mut self,
        db: &mut dyn Db,
        pending: &[Pending],
    ) -> Result<Vec<Rendered>, StoreError> {
        let reports = Report::read_all(db, self.site, pending, self.now)?;
        let rows = pending.iter().zip(reports);
        rows.map(|(row, report)| match report {
            Reading::Report(report) => self.rendered(row, &report),
            Reading::Nothing => Ok(Rendered::Nothing),
            Reading::Broken => Ok(Rendered::Impossible(BROKEN.to_owned())),
        })
        .collect()
    }
}

impl JsonRenderer<'_> {
    fn rendered(&self, row: &Pending, report: &Report<'_>) -> Result<Rendered, StoreError> {
        let control_id = format!("{}-{}", self.run, row.id);
        let document = document(report, &control_id, self.now);
        let body =
            serde_json::to_vec(&document).map_err(|error| StoreError::value(error.to_string()))?;
        Ok(Rendered::Message { control_id, body })
    }
}

#[derive(Serialize)]
struct Document {
    control_id: String,
    sent_at: Option<String>,
    sender: Sender,
    patient: Patient,
    specimen: Specimen,
    orders: Vec<Order>,
}

#[derive(Serialize)]
struct Sender {
    application: String,
    facility: String,
}

#[derive(Serialize)]
struct Patient {
    ids: Vec<Id>,
    name: Option<Name>,
    birth: Option<String>,
    sex: Option<String>,
}

#[derive(Serialize)]
struct Id {
    id: Option<String>,
    authority: Option<String>,
    r#type: Option<String>,
}

#[derive(Serialize)]
struct Name {
    family: Option<String>,
    given: Option<String>,
    middle: Option<String>,
}

#[derive(Serialize)]
struct Specimen {
    barcode: String,
    r#type: Option<Coded>,
    collected_at: Option<String>,
}

#[derive(Serialize)]
struct Coded {
    code: Option<String>,
    text: Option<String>,
    system: Option<String>,
}

#[derive(Serialize)]
struct Order {
    placer: Option<String>,
    filler: String,
    service: Option<Coded>,
    status: &'static str,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    code: Coded,
    test: Option<String>,
    loinc: Option<String>,
    text: String,
    r#type: &'static str,
    value: Vec<String>,
    unit: Option<String>,
    ucum: Option<String>,
    range: Option<String>,
    flags: Vec<String>,
    status: &'static str,
    completed_at: Option<String>,
    received_at: Option<String>,
    instrument: String,
    module: Option<String>,
    operator: Option<String>,
    comments: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
}

fn document(report: &Report<'_>, control_id: &str, now: i64) -> Document {
    let zone = &report.site.laboratory.zone;
    let [application, facility, ..] = report.site.parties.clone();
    let fields = report.patient.fields.expose();
    let name = components(fields, 5);
    Document {
        control_id: control_id.to_owned(),
        sent_at: iso(now, zone),
        sender: Sender {
            application,
            facility,
        },
        patient: Patient {
            ids: ids(fields),
            name: (!name.is_empty()).then(|| Name {
                family: at(&name, 0),
                given: at(&name, 1),
                middle: at(&name, 2),
            }),
            birth: at(&components(fields, 7), 0),
            sex: at(&components(fields, 8), 0),
        },
        specimen: Specimen {
            barcode: report.tube.barcode.clone(),
            r#type: coded(&components(&report.tube.fields, 4)),
            collected_at: report.tube.collected_at.and_then(|time| iso(time, zone)),
        },
        orders: report
            .parts()
            .iter()
            .map(|part| order(report, part))
            .collect(),
    }
}

/// PID-3, or PID-2 where old senders put the number.
fn ids(fields: &Fields) -> Vec<Id> {
    [3, 2]
        .into_iter()
        .map(|n| repeats(fields, n))
        .find(|ids| !ids.is_empty())
        .unwrap_or_default()
        .iter()
        .map(|parts| Id {
            id: at(parts, 0),
            authority: at(parts, 3),
            r#type: at(parts, 4),
        })
        .collect()
}

fn order(report: &Report<'_>, part: &Part<'_>) -> Order {
    let placer = part.item.map(|item| {
        let fields = Fields::from([(2, number(item, 2))]);
        components(&fields, 2)
    });
    let ordered = report.ordered_code(part.item);
    Order {
        placer: placer.and_then(|parts| at(&parts, 0)),
        filler: Report::filler(part),
        service: part.item.and_then(|item| coded(&components(&item.obr, 4))),
        status: part.status(),
        results: part
            .results
            .iter()
            .map(|told| outcome(report, told, ordered.clone()))
            .collect(),
    }
}

fn outcome(report: &Report<'_>, told: &Told, ordered: Option<[String; 3]>) -> Outcome {
    let site = report.site;
    let zone = &site.laboratory.zone;
    let observation = &told.stored.observation;
    let code = obx::Code::of(site, told, ordered);
    let typed = obx::typed(observation, Version::V251);
    let is_there = told.status != Status::Impossible;
    Outcome {
        test: observation.test.clone(),
        loinc: code.loinc().map(str::to_owned),
        text: observation.text.clone(),
        r#type: typed.kind,
        value: if is_there {
            typed.components
        } else {
            Vec::new()
        },
        unit: filled(&observation.unit),
        ucum: observation.ucum.clone(),
        range: filled(&observation.range),
        flags: observation.flags.clone(),
        status: told.status.code(),
        completed_at: obx::completed(told).and_then(|time| iso(time, zone)),
        received_at: iso(told.stored.received_at, zone),
        instrument: told.stored.line.clone(),
        module: filled(&observation.instrument),
        operator: filled(&observation.operator),
        comments: observation.comments.clone(),
        about: observation.about.clone(),
        code: {
            let [code, text, system] = code.own().map(filled);
            Coded { code, text, system }
        },
    }
}

fn coded(parts: &[String]) -> Option<Coded> {
    (!parts.is_empty()).then(|| Coded {
        code: at(parts, 0),
        text: at(parts, 1),
        system: at(parts, 2),
    })
}

fn at(parts: &[String], index: usize) -> Option<String> {
    parts.get(index).and_then(|part| filled(part))
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// ISO 8601 with the laboratory's offset.
fn iso(micros: i64, zone: &TimeZone) -> Option<String> {
    let instant = Timestamp::from_microsecond(micros).ok()?;
    let local = instant.to_zoned(zone.clone());
    Some(local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}
