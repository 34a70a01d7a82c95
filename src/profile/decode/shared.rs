//! What the results under the same rows have in common: the tube, the patient, whose value it is.

use labwire_protocols::hl7::time::Timestamp;

use super::Decoder;
use crate::{
    model::{ObservationKind, PatientSeen, Private, Sex, SpecimenRead},
    profile::{
        FieldPath, KindRule, Profile,
        fields::RowName,
        rows::{show, shown},
    },
};

/// Read once, and again when one of the rows that [`watched`] names comes or goes.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) specimen: Option<SpecimenRead>,
    pub(super) patient: PatientSeen,
    pub(super) kind: ObservationKind,
    /// The control or calibrator.
    pub(super) control: Option<String>,
    /// The lot of its material.
    pub(super) lot: Option<String>,
    /// Its level.
    pub(super) level: Option<String>,
}

/// The records or segments that [`Shared`] is read from.
pub(super) fn watched(profile: &Profile) -> Vec<RowName> {
    let (specimen, patient) = (&profile.specimen, &profile.patient);
    let lists = [
        &specimen.id,
        &specimen.rack,
        &specimen.position,
        &patient.ids,
        &patient.name,
        &patient.birth,
        &patient.sex,
        &profile.qc.control,
        &profile.calibration.control,
        &profile.qc.lot,
        &profile.calibration.lot,
        &profile.qc.level,
        &profile.calibration.level,
    ];
    let rules = profile.qc.when.iter().chain(&profile.calibration.when);
    let rules = rules.chain(&specimen.unread_when);
    let paths = lists.into_iter().flatten();
    let mut names: Vec<RowName> = Vec::with_capacity(NAMES_USUAL);
    for path in paths.chain(rules.flat_map(|rule| rule.paths())) {
        let name = path.name;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Names that a profile usually reads: SPM, SAC, PID, OBR, INV, MSH.
const NAMES_USUAL: usize = 8;

impl Decoder<'_> {
    /// Brings [`Shared`] up to date with the rows in force.
    pub(super) fn share(&mut self) {
        if self.context.take_change() {
            let kind = self.kind();
            self.shared = Shared {
                specimen: self.specimen(),
                patient: self.patient(),
                control: self.control(kind),
                lot: self.lot(kind),
                level: self.level(kind),
                kind,
            };
        }
    }

    fn kind(&self) -> ObservationKind {
        let profile = &self.line.profile;
        if self.context.any(&profile.qc.when) {
            ObservationKind::Control
        } else if self.context.any(&profile.calibration.when) {
            ObservationKind::Calibration
        } else {
            ObservationKind::Patient
        }
    }

    fn control(&self, kind: ObservationKind) -> Option<String> {
        self.some_of(&self.kind_rule(kind)?.control)
    }

    fn lot(&self, kind: ObservationKind) -> Option<String> {
        let rule = self.kind_rule(kind)?;
        rule.lot_of(&self.some_of(&rule.lot)?)
    }

    fn level(&self, kind: ObservationKind) -> Option<String> {
        let rule = self.kind_rule(kind)?;
        rule.level_of(&self.some_of(&rule.level)?)
    }

    /// The rules of what the rows in force are, where they are no patient's.
    pub(super) fn kind_rule(&self, kind: ObservationKind) -> Option<&KindRule> {
        match kind {
            ObservationKind::Patient => None,
            ObservationKind::Control => Some(&self.line.profile.qc),
            ObservationKind::Calibration => Some(&self.line.profile.calibration),
        }
    }

    fn some_of(&self, paths: &[FieldPath]) -> Option<String> {
        let text = self.context.text(paths, " ");
        (!text.is_empty()).then(|| text.into_owned())
    }

    /// The tube in force, as far as the device named it.
    fn specimen(&self) -> Option<SpecimenRead> {
        let rules = &self.line.profile.specimen;
        let rack = self.context.text(&rules.rack, " ").into_owned();
        let position = self.context.text(&rules.position, " ").into_owned();
        let paths = rules.id.iter();
        let mut sent = paths.map(|path| (path, self.context.plain(path, &rules.padding)));
        let is_read = !self.context.any(&rules.unread_when);
        let found = sent.find(|(_, id)| {
            is_read && !id.is_empty() && !rules.unread.iter().any(|made_up| made_up.holds(id))
        });
        match found {
            Some((path, id)) => Some(SpecimenRead {
                sent: show(self.context.raw(path)),
                id: shown(id).into_owned(),
                rack,
                position,
            }),
            None if rack.is_empty() && position.is_empty() => None,
            None => Some(SpecimenRead {
                sent: String::new(),
                id: String::new(),
                rack,
                position,
            }),
        }
    }

    fn patient(&self) -> PatientSeen {
        let rules = &self.line.profile.patient;
        let text = |paths: &[FieldPath]| self.context.text(paths, " ");
        PatientSeen {
            ids: self
                .context
                .all(&rules.ids, " ")
                .into_iter()
                .map(Private::new)
                .collect(),
            name: Private::new(text(&rules.name).into_owned()),
            birth: Private::new(whole_date(&text(&rules.birth))),
            sex: Sex::from_code(&text(&rules.sex)),
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            specimen: None,
            patient: PatientSeen::default(),
            kind: ObservationKind::Patient,
            control: None,
            lot: None,
            level: None,
        }
    }
}

/// `YYYYMMDD` of a date that is whole and not the zero date of Delphi programs.
fn whole_date(text: &str) -> String {
    let digits = text
        .get(..8)
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let is_real = Timestamp::parse(text).is_ok_and(|time| time.day.is_some());
    digits
        .filter(|date| is_real && *date != "18991230")
        .unwrap_or_default()
        .to_owned()
}
