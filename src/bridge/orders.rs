//! What a device is told: open orders of a tube, in its own codes.

use jiff::Timestamp;
use labwire_protocols::hl7::{Separators, escape};

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen},
    model::{Priority, Private, Query, QuerySubject, SpecimenRead},
    profile::{OrderAction, OrderForDevice},
    queue::{Pending, Render, Rendered},
    store::{Db, StoreError},
};

use super::site::LineSite;

/// A device that asks for everything gets at most so many tubes; the oldest wait for the next time.
const TUBES_MAX: i64 = 500;

/// The orders that answer a query, and the items they come from.
pub(super) fn for_query(
    db: &mut dyn Db,
    line: &LineSite,
    query: &Query,
    since: i64,
) -> Result<(Vec<OrderForDevice>, Vec<i64>), StoreError> {
    let asked: Vec<SpecimenRead> = match &query.subject {
        QuerySubject::Specimens(specimens) => specimens.clone(),
        QuerySubject::All => barcodes(db, since)?.into_iter().map(read).collect(),
        QuerySubject::Range(first, last) => barcodes(db, since)?
            .into_iter()
            .filter(|id| {
                let is_alike = id.len() == first.len() && id.len() == last.len();
                is_alike && id >= first && id <= last
            })
            .map(read)
            .collect(),
    };
    let mut orders = Vec::new();
    let mut items = Vec::new();
    for tube in asked {
        let measures = |test: &str| !line.profile.codes_of(test).is_empty();
        let found = book::waiting_for_device(db, &tube.id, since, &measures)?;
        let Some((specimen, open)) = found else {
            continue;
        };
        let patient = book::patient_of(db, specimen.patient)?;
        let mut order = order(line, &specimen, &patient, &open, OrderAction::New);
        order.rack = tube.rack;
        order.position = tube.position;
        if !query.codes.is_empty() {
            order.tests.retain(|code| query.codes.contains(code));
        }
        items.extend(open.iter().map(|item| item.id));
        orders.push(order);
    }
    Ok((orders, items))
}

fn barcodes(db: &mut dyn Db, since: i64) -> Result<Vec<String>, StoreError> {
    book::open_barcodes(db, since, TUBES_MAX)
}

fn read(id: String) -> SpecimenRead {
    SpecimenRead {
        sent: id.clone(),
        id,
        rack: String::new(),
        position: String::new(),
    }
}

fn order(
    line: &LineSite,
    specimen: &BookSpecimen,
    patient: &BookPatient,
    items: &[BookItem],
    action: OrderAction,
) -> OrderForDevice {
    let mut tests: Vec<String> = Vec::new();
    for test in items.iter().flat_map(|item| &item.tests) {
        if let Some(code) = line.profile.codes_of(test).into_iter().next()
            && !tests.contains(&code)
        {
            tests.push(code);
        }
    }
    let pid = patient.fields.expose();
    let field = |n: u16, component: usize| {
        let raw = pid.get(&n).map_or("", String::as_str);
        let first = raw.split('~').next().unwrap_or_default();
        let part = first.split('^').nth(component).unwrap_or_default();
        escape::decode(part, Separators::STANDARD).0.into_owned()
    };
    let given = format!("{} {}", field(5, 1), field(5, 2)).trim().to_owned();
    let kind = specimen
        .fields
        .get(&4)
        .and_then(|kind| kind.split('^').next());
    OrderForDevice {
        specimen: specimen.barcode.clone(),
        tests,
        patient_id: Private::new(field(3, 0)),
        family: Private::new(field(5, 0)),
        given: Private::new(given),
        birth: patient.birth.clone(),
        sex: patient.sex,
        priority: items
            .iter()
            .map(|item| item.priority)
            .min()
            .unwrap_or(Priority::Routine),
        collected: specimen
            .collected_at
            .map(|at| wall(line, at))
            .unwrap_or_default(),
        specimen_type: kind.unwrap_or_default().to_owned(),
        placer: items
            .first()
            .map(|item| item.placer.clone())
            .unwrap_or_default(),
        rack: String::new(),
        position: String::new(),
        action,
    }
}

/// `YYYYMMDDHHMMSS` in the line's zone.
pub(super) fn wall(line: &LineSite, micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(at) => at
            .to_zoned(line.zone.clone())
            .strftime("%Y%m%d%H%M%S")
            .to_string(),
        Err(_) => String::new(),
    }
}

/// Renders queued orders and cancels for one device.
#[derive(Debug)]
pub(super) struct DownloadRenderer<'a> {
    pub(super) line: &'a LineSite,
    pub(super) run: &'a str,
    pub(super) now: i64,
}

impl Render for DownloadRenderer<'_> {
    fn render(
        &mut self,
        db: &mut dyn Db,
        pending: &[Pending],
    ) -> Result<Vec<Rendered>, StoreError> {
        pending.iter().map(|row| self.rendered(db, row)).collect()
    }
}

impl DownloadRenderer<'_> {
    fn rendered(&self, db: &mut dyn Db, pending: &Pending) -> Result<Rendered, StoreError> {
        let is_cancel = pending.kind == crate::queue::DownloadKind::Cancel.code();
        let specimen = book::specimen_by_id(db, pending.specimen)?;
        let patient = book::patient_of(db, specimen.patient)?;
        let mut items = book::open_items(db, specimen.id)?;
        items.retain(|item| pending.items.contains(&item.id));
        if !is_cancel {
            items.retain(|item| item.status != crate::model::OrderStatus::Cancelled);
        }
        let action = if is_cancel {
            OrderAction::Cancel
        } else {
            OrderAction::New
        };
        let order = order(self.line, &specimen, &patient, &items, action);
        if order.tests.is_empty() {
            return Ok(Rendered::Nothing);
        }
        let control_id = format!("{}-{}", self.run, pending.id);
        let stamp = crate::profile::Stamp {
            now: wall(self.line, self.now),
            control_id: control_id.clone(),
        };
        let written = if is_cancel {
            crate::profile::cancel(&self.line.profile, &[order], &stamp)
        } else {
            crate::profile::download(&self.line.profile, &[order], &stamp)
        };
        match written {
            Ok(payloads) if payloads.is_empty() => Ok(Rendered::Nothing),
            Ok(payloads) => {
                if !is_cancel {
                    book::note_told(db, &pending.items, &self.line.id, self.now)?;
                }
                Ok(Rendered::Message {
                    control_id,
                    body: payloads.concat(),
                })
            }
            Err(error) => Ok(Rendered::Impossible(format!(
                "{error}: tell the device by hand, then discard this"
            ))),
        }
    }
}
