//! Saying which tube a result is of.

use std::collections::BTreeSet;

use crate::{
    book::{self, BookSpecimen},
    model::{Hold, HoldReason, Observation, OrderStatus, Priority, Private, SpecimenRead},
    settle::{self, ByHand, StoredResult},
    store::{Db, StoreError},
};

use super::{
    Act, Acting, Done, Outcome, Refused, Role, granted, record::Before, release::of_message, rules,
};

/// A tube that a result can be linked to.
#[derive(Clone, Debug)]
pub struct Tube {
    /// Its row, which [`Acting::link`] takes.
    pub id: i64,
    /// Its barcode.
    pub barcode: String,
    /// Placer numbers of its open orders.
    pub placers: Vec<String>,
    /// Of its most urgent order.
    pub priority: Priority,
    /// The patient's PID-3, for the person who chooses.
    pub patient: Private<String>,
    /// The newest order on it, microseconds UTC.
    pub ordered_at: i64,
}

/// The tubes of a barcode that have an open order since `since`, for a person to choose.
///
/// # Errors
/// The store's.
pub fn tubes(db: &mut dyn Db, barcode: &str, since: i64) -> Result<Vec<Tube>, StoreError> {
    let mut found = Vec::new();
    for specimen in book::specimens_with_barcode(db, barcode, since)? {
        let items = book::open_items(db, specimen.id)?;
        let open = items
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled);
        let placers: Vec<String> = open.clone().map(|item| item.placer.clone()).collect();
        if placers.is_empty() {
            continue;
        }
        let patient = book::patient_of(db, specimen.patient)?;
        let id = patient.fields.expose().get(&PID_3).cloned();
        found.push(Tube {
            id: specimen.id,
            barcode: specimen.barcode,
            priority: open.map(|item| item.priority).min().unwrap_or_default(),
            placers,
            patient: Private::new(id.unwrap_or_default()),
            ordered_at: specimen.ordered_at,
        });
    }
    Ok(found)
}

const PID_3: u16 = 3;

impl Acting<'_> {
    /// Links a result without a tube, or held because of its tube, to a tube that has an open order;
    /// then the rules decide. What the device sent as the tube's id stays beside it.
    ///
    /// # Errors
    /// The store's.
    pub fn link(&self, db: &mut dyn Db, id: i64, tube: i64) -> Outcome<Done> {
        self.link_all(db, &[id], tube)
    }

    /// The same for results of one tube ([`of_the_same_tube`]), as one act: all of them or none.
    ///
    /// # Errors
    /// The store's.
    pub fn link_all(&self, db: &mut dyn Db, ids: &[i64], tube: i64) -> Outcome<Done> {
        let mut results = Vec::new();
        for id in ids {
            let result = granted!(self.open_result(db, *id)?);
            if !rules::allowed(result.state, &result.holds, Act::Link, self.person.role) {
                return Ok(Err(Refused::NotNeeded { act: Act::Link }));
            }
            results.push(result);
        }
        let Some(first) = ids.first() else {
            return Ok(Err(Refused::NotFound));
        };
        let Some(specimen) = book::specimens_by_ids(db, &[tube])?.remove(&tube) else {
            return Ok(Err(Refused::NoOrder));
        };
        let mut readings = Vec::new();
        for result in &results {
            granted!(self.fits(db, &specimen, result.received_at)?);
            readings.push((result, linked(result, &specimen), of_message(result)));
        }
        let ones: Vec<ByHand<'_>> = readings
            .iter()
            .map(|(result, observation, holds)| ByHand {
                result,
                observation,
                holds,
                tube: Some(tube),
                is_released: false,
                due_at: self.due_at(),
            })
            .collect();
        for one in &ones {
            let (_, holds) = settle::judge(db, &self.context(), one)?;
            let is_other = |hold: &&Hold| hold.reason == HoldReason::PatientMismatch;
            if let Some(hold) = holds.iter().find(is_other) {
                let what = differing(&hold.detail);
                return Ok(Err(Refused::OtherPatient { what }));
            }
        }
        let mut barcodes: BTreeSet<String> =
            results.iter().map(|one| one.barcode.clone()).collect();
        barcodes.insert(specimen.barcode.clone());
        let before = Before::look(db, barcodes, ids.iter().copied().collect())?;
        let states = settle::decide_by_hand(db, &self.context(), &ones)?;
        let changes = before.changes(db)?;
        let subject = format!("result:{first}");
        let mut done = self.keep(db, Act::Link.code(), &subject, &changes)?;
        done.state = states.first().copied();
        Ok(Ok(done))
    }

    /// Whether the tube can have given a result at that time: one that is ordered on, in time, and
    /// was filled before. The receipt counts, never an analyzer's clock.
    fn fits(&self, db: &mut dyn Db, tube: &BookSpecimen, received_at: i64) -> Outcome<()> {
        let items = book::open_items(db, tube.id)?;
        let is_open = items
            .iter()
            .any(|item| item.status != OrderStatus::Cancelled);
        let age_max = self.site.laboratory.specimen_age_max.unsigned_abs();
        if !is_open || tube.ordered_at.abs_diff(received_at) > age_max {
            return Ok(Err(Refused::NoOrder));
        }
        if tube.collected_at.is_some_and(|at| at > received_at) {
            return Ok(Err(Refused::BeforeCollection));
        }
        Ok(Ok(()))
    }
}

/// What a result says, once a person has said which tube it is of.
fn linked(result: &StoredResult, specimen: &BookSpecimen) -> Observation {
    let mut observation = result.observation.clone();
    let sent = observation.specimen.take();
    observation.specimen = Some(SpecimenRead {
        id: specimen.barcode.clone(),
        sent: sent
            .as_ref()
            .map(|read| read.sent.clone())
            .unwrap_or_default(),
        rack: sent
            .as_ref()
            .map(|read| read.rack.clone())
            .unwrap_or_default(),
        position: sent.map(|read| read.position).unwrap_or_default(),
    });
    if !is_linked(&observation) {
        observation.notes.push(LINKED.to_owned());
    }
    observation
}

/// The other results of a message that are of the same tube as this one and wait for the same word: a
/// person who says which tube it is may say it of all of them. Nothing where a code comes twice: then
/// they may be of two tubes.
///
/// # Errors
/// The store's.
pub fn of_the_same_tube(
    db: &mut dyn Db,
    result: &StoredResult,
) -> Result<Vec<StoredResult>, StoreError> {
    let mut others = settle::of_message(db, result.message)?;
    let own = &result.observation;
    others.retain(|one| {
        let other = &one.observation;
        other.specimen == own.specimen
            && other.patient == own.patient
            && one.barcode == result.barcode
            && rules::allowed(one.state, &one.holds, Act::Link, Role::Technician)
    });
    let named = others.iter().map(|one| {
        let said = &one.observation;
        (&said.code, &said.qualifiers, &said.about)
    });
    let codes: BTreeSet<_> = named.collect();
    if codes.len() < others.len() {
        return Ok(Vec::new());
    }
    others.retain(|one| one.id != result.id);
    Ok(others)
}

/// The note of a result whose tube a person chose.
const LINKED: &str = "linked";

/// Whether a person chose the tube of a result.
pub fn is_linked(observation: &Observation) -> bool {
    observation.notes.iter().any(|note| note == LINKED)
}

/// The field as a word of ours, whatever stands in the detail.
fn differing(detail: &str) -> &'static str {
    ["patient id", "birth date", "sex"]
        .into_iter()
        .find(|known| *known == detail)
        .unwrap_or("patient")
}
