//! What one message to a host tells, whatever its form: the order's patient, the tube, each ordered
//! item that has news, the result versions.

use std::collections::BTreeMap;

use labwire_protocols::hl7::Message;

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen, Fields},
    image::{self, Picture, Telling},
    model::{OrderStatus, ResultState, ResultStatus},
    queue::Pending,
    settle::{self, StoredResult},
    store::{Db, StoreError},
};

use super::HostSite;

/// Everything that one message tells.
pub(super) struct Report<'a> {
    pub(super) site: &'a HostSite,
    /// Now, as HL7 writes it with the laboratory's offset.
    pub(super) time: String,
    pub(super) tube: BookSpecimen,
    pub(super) patient: BookPatient,
    items: Vec<BookItem>,
    results: Vec<Told>,
    pictures: Vec<Picture>,
    /// Tests of the tube that have a released result, told now or before.
    done: Vec<String>,
}

/// A result version to tell.
pub(super) struct Told {
    pub(super) stored: StoredResult,
    pub(super) status: Status,
    /// The first version of this result: its name where there is no order to name it.
    pub(super) first: i64,
    /// The host has it: it says under which order number a picture of its message goes, and is not
    /// told again.
    pub(super) is_known: bool,
}

impl Told {
    fn read(db: &mut dyn Db, stored: StoredResult, is_known: bool) -> Result<Self, StoreError> {
        let before = settle::told_before(db, &stored)?;
        let first = settle::versions_before(db, &stored)?;
        Ok(Self {
            status: Status::of(&stored, before.as_ref()),
            first: first.last().map_or(stored.id, |first| first.id),
            stored,
            is_known,
        })
    }

    /// Whether a picture came in the message of this result, of the same tube.
    fn is_beside(&self, picture: &Picture) -> bool {
        self.stored.message == picture.message && self.stored.barcode == picture.barcode
    }
}

/// The results of a picture's message that stand, where none of them is told with it.
fn beside(db: &mut dyn Db, picture: &Picture, specimen: i64) -> Result<Vec<Told>, StoreError> {
    let mut known = Vec::new();
    for stored in settle::of_message(db, picture.message)? {
        let told = Told::read(db, stored, true)?;
        let stands = told.stored.state == ResultState::Released;
        if stands && told.is_beside(picture) && told.stored.specimen == Some(specimen) {
            known.push(told);
        }
    }
    Ok(known)
}

impl Read {
    /// Message and tube of what a queue row tells.
    fn telling(&self, row: &Pending) -> Telling {
        let own = row.results.iter().filter_map(|id| self.results.get(id));
        let stands = own.filter(|stored| stored.state == ResultState::Released);
        let told = stands.map(|stored| (stored.message, stored.barcode.clone()));
        (row.id, told.collect())
    }
}

/// OBX-11 (table 0085).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// `P`: a person released what the device called preliminary.
    Preliminary,
    /// `F`.
    Final,
    /// `C`: the host has, or may have, another final version.
    Corrected,
    /// `X`: cannot be obtained.
    Impossible,
}

impl Status {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Preliminary => "P",
            Self::Final => "F",
            Self::Corrected => "C",
            Self::Impossible => "X",
        }
    }

    fn of(result: &StoredResult, before: Option<&StoredResult>) -> Self {
        let is_final = |status| !matches!(status, ResultStatus::NotFinal);
        let had_final = before.is_some_and(|told| is_final(told.observation.status));
        match result.observation.status {
            ResultStatus::CannotBeDone => Self::Impossible,
            _ if had_final => Self::Corrected,
            ResultStatus::NotFinal => Self::Preliminary,
            ResultStatus::Final | ResultStatus::Correction | ResultStatus::Retransmission => {
                Self::Final
            }
        }
    }
}

/// What is told under one order number, or of one test that nobody ordered.
pub(super) struct Part<'r> {
    /// None for a test that nobody ordered.
    pub(super) item: Option<&'r BookItem>,
    pub(super) results: Vec<&'r Told>,
    /// Pictures of the messages of these results.
    pub(super) pictures: Vec<&'r Picture>,
    /// Every test of the item has a result.
    pub(super) is_complete: bool,
}

impl Part<'_> {
    /// OBR-25 (table 0123): A until all is there, then F, or C for a correction.
    pub(super) fn status(&self) -> &'static str {
        let any = |status| self.results.iter().any(|told| told.status == status);
        let all = |status| self.results.iter().all(|told| told.status == status);
        match self.is_complete {
            _ if any(Status::Corrected) => "C",
            false => "A",
            true if any(Status::Preliminary) => "P",
            true if all(Status::Impossible) && self.item.is_none_or(|i| i.tests.len() == 1) => "X",
            true => "F",
        }
    }
}

/// What several messages tell, each thing read once.
struct Read {
    results: BTreeMap<i64, StoredResult>,
    tubes: BTreeMap<i64, BookSpecimen>,
    items: BTreeMap<i64, Vec<BookItem>>,
    done: BTreeMap<i64, Vec<String>>,
    patients: BTreeMap<i64, BookPatient>,
    pictures: BTreeMap<i64, Vec<Picture>>,
}

/// What became of reading one queue row.
pub(super) enum Reading<'a> {
    Report(Box<Report<'a>>),
    /// All of it was replaced meanwhile.
    Nothing,
    /// Something that it names is not there, or not as this program writes it.
    Broken,
}

/// Why such a row is set aside.
pub(super) const BROKEN: &str = "a stored result, tube or patient of this message cannot be read: \
    run `labwire ledger`, tell the ward by hand, then discard this";

impl<'a> Report<'a> {
    /// Reads what queue rows tell, by the same few statements however many they are.
    pub(super) fn read_all(
        db: &mut dyn Db,
        site: &'a HostSite,
        pending: &[Pending],
        now: i64,
    ) -> Result<Vec<Reading<'a>>, StoreError> {
        let ids: Vec<i64> = pending
            .iter()
            .flat_map(|row| &row.results)
            .copied()
            .collect();
        let tubes: Vec<i64> = pending.iter().map(|row| row.specimen).collect();
        let mut read = Read {
            results: settle::results_by_ids(db, &ids)?,
            tubes: book::specimens_by_ids(db, &tubes)?,
            items: book::items_of(db, &tubes)?,
            done: settle::released_tests_of(db, &tubes)?,
            patients: BTreeMap::new(),
            pictures: BTreeMap::new(),
        };
        if site.gets_images {
            let telling: Vec<Telling> = pending.iter().map(|row| read.telling(row)).collect();
            let destination = format!("host:{}", site.id);
            read.pictures = image::of_rows(db, &destination, &telling, now)?;
        }
        let owners = read.tubes.values().map(|tube| tube.patient).collect();
        read.patients = book::patients_of(db, &owners)?;
        pending
            .iter()
            .map(|row| Self::of(db, site, row, now, &read))
            .collect()
    }

    fn of(
        db: &mut dyn Db,
        site: &'a HostSite,
        pending: &Pending,
        now: i64,
        read: &Read,
    ) -> Result<Reading<'a>, StoreError> {
        let mut results = Vec::new();
        for id in &pending.results {
            let Some(stored) = read.results.get(id) else {
                return Ok(Reading::Broken);
            };
            if stored.state == ResultState::Released {
                results.push(Told::read(db, stored.clone(), false)?);
            }
        }
        let pictures = read.pictures.get(&pending.id).cloned().unwrap_or_default();
        for picture in &pictures {
            if !results.iter().any(|told| told.is_beside(picture)) {
                results.extend(beside(db, picture, pending.specimen)?);
            }
        }
        if results.is_empty() {
            return Ok(Reading::Nothing);
        }
        let tube = read.tubes.get(&pending.specimen);
        let patient = tube.and_then(|tube| read.patients.get(&tube.patient));
        let (Some(tube), Some(patient)) = (tube, patient) else {
            return Ok(Reading::Broken);
        };
        Ok(Reading::Report(Box::new(Self {
            site,
            time: site.laboratory.hl7_time(now),
            patient: patient.clone(),
            items: read.items.get(&tube.id).cloned().unwrap_or_default(),
            done: read.done.get(&tube.id).cloned().unwrap_or_default(),
            tube: tube.clone(),
            results,
            pictures,
        })))
    }

    /// The ordered items that have news, in the order of ordering; then what nobody ordered. A
    /// test that two items ask for is told under both.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut told = vec![false; self.results.len()];
        let open = |item: &&BookItem| item.status != OrderStatus::Cancelled;
        for item in self.items.iter().filter(open) {
            let mut own: Vec<(usize, &Told)> = Vec::new();
            for (result, told) in self.results.iter().zip(&mut told) {
                let test = result.stored.observation.test.as_deref();
                let place = item
                    .tests
                    .iter()
                    .position(|asked| Some(asked.as_str()) == test);
                if let Some(place) = place {
                    *told = true;
                    own.push((place, result));
                }
            }
            // As the catalogue lists the panel, not as the analyzer happened to send it.
            own.sort_by_key(|(place, _)| *place);
            if !own.is_empty() {
                parts.push(Part {
                    item: Some(item),
                    results: own.into_iter().map(|(_, told)| told).collect(),
                    pictures: Vec::new(),
                    is_complete: item.tests.iter().all(|test| self.done.contains(test)),
                });
            }
        }
        let unordered = self.results.iter().zip(&told).filter(|(_, told)| !**told);
        parts.extend(unordered.map(|(result, _)| Part {
            item: None,
            results: vec![result],
            pictures: Vec::new(),
            is_complete: true,
        }));
        for picture in &self.pictures {
            let is_own =
                |part: &&mut Part<'_>| part.results.iter().any(|told| told.is_beside(picture));
            if let Some(part) = parts.iter_mut().find(is_own) {
                part.pictures.push(picture);
            }
        }
        let has_news = |part: &Part<'_>| part.results.iter().any(|told| !told.is_known);
        parts.retain(|part| has_news(part) || !part.pictures.is_empty());
        parts
    }

    /// OBR-3 and ORC-3: our number of the item, or of the result that nobody ordered.
    pub(super) fn filler(part: &Part<'_>) -> String {
        match (part.item, part.results.first()) {
            (Some(item), _) => item.filler.clone(),
            (None, Some(told)) => format!("LWR{}", told.first),
            (None, None) => String::new(),
        }
    }

    /// The code as ordered, taken apart: id, text, system. Only where the item is this one test;
    /// the tests of a panel have codes of their own.
    pub(super) fn ordered_code(&self, item: Option<&BookItem>) -> Option<[String; 3]> {
        let item = item.filter(|item| item.tests.len() == 1)?;
        let is_panel = self
            .site
            .laboratory
            .catalogue
            .as_ref()
            .is_some_and(|catalogue| {
                catalogue
                    .ordered_panel(&self.site.id, &item.service)
                    .is_some()
            });
        let parts = components(&item.obr, 4);
        let [id, text, system] = [0, 1, 2].map(|n| parts.get(n).cloned().unwrap_or_default());
        (!is_panel && !id.is_empty()).then_some([id, text, system])
    }
}

/// The components of the first repeat of a stored field, decoded.
pub(super) fn components(fields: &Fields, n: u16) -> Vec<String> {
    repeats(fields, n).into_iter().next().unwrap_or_default()
}

/// Every repeat of a stored field, its components decoded.
pub(super) fn repeats(fields: &Fields, n: u16) -> Vec<Vec<String>> {
    let Some(text) = fields.get(&n).filter(|text| *text != NULL) else {
        return Vec::new();
    };
    // Stored fields are in the usual delimiters, so a segment of one field reads them.
    let line = format!("MSH|^~\\&\rZZZ|{text}\r");
    let Ok((message, _)) = Message::parse(&line) else {
        return Vec::new();
    };
    let Some(segment) = message.first("ZZZ") else {
        return Vec::new();
    };
    segment
        .field(1)
        .repeats()
        .map(|repeat| {
            repeat
                .components()
                .map(|component| component.subcomponent(1).text().to_string())
                .collect()
        })
        .collect()
}

/// "Delete what is known" (HL7 v2.5.1 2.5.3): nothing to tell.
pub(super) const NULL: &str = "\"\"";
