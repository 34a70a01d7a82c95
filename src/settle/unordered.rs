//! Results without an order that the site posts all the same (`unordered = "post"`): only where
//! the device named the patient and the tube, and only where nothing else speaks against it.

use labwire_protocols::hl7::build::{Name, SegmentWriter};

use crate::{
    book::{self, BookContext, Fields, Identifier, PatientEntry},
    model::{Hold, Observation, PatientSeen, Private, Sex},
    store::{Db, StoreError},
};

use super::{SettleContext, matching::Tube, rows};

/// What the device's word makes of an observation.
pub(super) struct Seen<'a> {
    host: String,
    patient: &'a PatientSeen,
    id: &'a str,
}

impl<'a> Seen<'a> {
    /// `None` where the result waits for its order: no such host, no patient, or a reason to hold.
    pub(super) fn of(
        context: &SettleContext<'_>,
        observation: &'a Observation,
        holds: &[Hold],
    ) -> Option<Self> {
        let host = context.site.posts_unordered(context.line)?;
        let test = observation.test.as_deref()?;
        let may_go = holds.is_empty()
            && context.site.releases_automatically(&host)
            && !context.site.is_transfusion(context.line, test);
        let patient = &observation.patient;
        let id = ids(patient).next().filter(|_| may_go)?;
        Some(Self { host, patient, id })
    }

    /// Two patients on one barcode are two tubes.
    pub(super) fn key(&self, barcode: &str) -> String {
        format!("{barcode}\u{1f}{}", self.id)
    }

    /// The tube row, made where there is none yet.
    pub(super) fn tube(
        &self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        barcode: &str,
    ) -> Result<Tube, StoreError> {
        let is_read = |test: &str| context.site.blood(test).is_some();
        let context = BookContext {
            host: &self.host,
            message: context.message,
            now: context.now,
            specimen_age_max: context.specimen_age_max,
        };
        let id = book::unordered_specimen(db, &context, &self.entry(), barcode)?;
        let specimen = book::specimen_by_id(db, id)?;
        Ok(Tube {
            patient: book::patient_of(db, specimen.patient)?,
            items: Vec::new(),
            current: rows::current_of(db, specimen.id, &is_read)?,
            is_unordered: true,
            specimen,
        })
    }

    fn entry(&self) -> PatientEntry {
        let sex = match self.patient.sex {
            Some(Sex::M) => "M",
            Some(Sex::F) => "F",
            Some(Sex::O) => "O",
            None => "",
        };
        let birth = self.patient.birth.expose().as_str();
        let name: Vec<&str> = self.patient.name.expose().split('^').collect();
        let mut pid = SegmentWriter::new(Name::PID)
            .components(NAME.into(), &name)
            .text(BIRTH.into(), birth)
            .text(SEX.into(), sex);
        for id in ids(self.patient) {
            pid = pid.repeat(IDS.into(), &[id]);
        }
        let fields: Fields = [IDS, NAME, BIRTH, SEX]
            .into_iter()
            .map(|n| (n, pid.value(n.into()).to_owned()))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        let identifiers = ids(self.patient).map(|id| Identifier {
            id: Private::new(id.to_owned()),
            ..Identifier::default()
        });
        PatientEntry {
            identifiers: identifiers.collect(),
            fields: Private::new(fields),
            birth: self.patient.birth.clone(),
            sex: sex.to_owned(),
        }
    }
}

/// PID-3, PID-5, PID-7, PID-8.
const IDS: u16 = 3;
const NAME: u16 = 5;
const BIRTH: u16 = 7;
const SEX: u16 = 8;

fn ids(patient: &PatientSeen) -> impl Iterator<Item = &str> {
    patient
        .ids
        .iter()
        .map(|id| id.expose().as_str())
        .filter(|id| !id.is_empty())
}
