//! The rules of blood transfusion. None of them releases anything: the class alone holds every
//! result (`transfusion`), and what is found here says why a person must look twice.
//!
//! Each rule looks at all that is known when it is asked, and mends what was decided before: a
//! later result may confirm an earlier one, or speak against it, and both must say so.
//!
//! Sources: AABB, Standards for Blood Banks and Transfusion Services, 5.14 and 5.16; BCSH,
//! Guidelines for pre-transfusion compatibility procedures in blood transfusion laboratories
//! (2012); HL7 v2.5.1.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    book::{self, Determination},
    model::{
        Hold, HoldReason, Observation, ResultState, ResultStatus, Value,
        blood::{BloodKind, BloodTest, Finding, Group, Meaning, Technique},
    },
    store::{Db, StoreError},
};

use super::{
    SiteRules,
    decide::{Decision, is_correction},
    matching::{Current, Tube},
    panel,
};

/// What one session knows of the blood of patients.
#[derive(Debug, Default)]
pub(super) struct Blood {
    /// By surviving patient, oldest first; stored ones and those of this session.
    histories: BTreeMap<i64, Vec<Determination>>,
    /// Of this session, to be stored after their results.
    learned: Vec<Determination>,
}

/// A reason that a result of before gets, or loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amendment {
    pub(super) result: i64,
    pub(super) add: Option<Hold>,
    pub(super) gone: Option<HoldReason>,
}

impl Amendment {
    fn add(result: i64, hold: Hold) -> Self {
        Self {
            result,
            add: Some(hold),
            gone: None,
        }
    }
}

/// A result that is being decided about.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) id: i64,
    pub(super) tube: &'a Tube,
    pub(super) observation: &'a Observation,
    pub(super) site: &'a dyn SiteRules,
}

impl<'a> Asked<'a> {
    fn blood(&self) -> Option<&'a BloodTest> {
        let test = self.site.blood(self.observation.test.as_deref()?)?;
        is_of_patient(test, self.observation.about.as_deref()).then_some(test)
    }

    /// What the wells and groups of its tube say, it among them.
    fn readings(&self) -> Vec<panel::Reading<'a>> {
        let own = self
            .blood()
            .map(|test| (test, meaning(test, &self.observation.value)));
        // A value that it takes the place of is no second opinion.
        let is_named = is_correction(self.observation);
        let own_test = self.observation.test.as_deref();
        let stored = latest(&self.tube.current).filter(|row| {
            let is_replaced = is_named && Some(row.test.as_str()) == own_test;
            row.id != self.id && !is_replaced
        });
        let stored = stored.filter_map(|row| {
            let test = self.site.blood(&row.test)?;
            is_of_patient(test, row.about.as_deref()).then(|| (test, meaning(test, &row.value)))
        });
        let typing = stored.chain(own).filter(|(test, _)| test.is_typing());
        typing.collect()
    }
}

/// A group of a donor unit is not the patient's.
const fn is_of_patient(test: &BloodTest, about: Option<&str>) -> bool {
    about.is_none() || !test.is_typing()
}

/// The value as the catalogue has it: a text that nothing maps has no meaning but its words.
fn meaning(test: &BloodTest, value: &Value) -> Meaning {
    match (value, test.kind) {
        (Value::Coded { code }, _) => test.meaning(Some(code)),
        (Value::Text { text }, BloodKind::Antibody | BloodKind::Phenotype) => {
            test.meaning(Some(text))
        }
        _ => Meaning::Unreadable,
    }
}

/// Versions that count of each test of a tube: a preliminary value gives way to what came after
/// it, and everything to what corrects it.
fn latest(current: &[Current]) -> impl Iterator<Item = &Current> {
    current.iter().enumerate().filter_map(move |(at, row)| {
        let mut later = current
            .iter()
            .skip(at + 1)
            .filter(|other| other.test == row.test && other.about == row.about);
        let gives_way =
            later.any(|other| other.is_correction || (row.is_preliminary && !other.is_preliminary));
        (!gives_way).then_some(row)
    })
}

impl Blood {
    /// What speaks against a result, besides that it is of transfusion.
    pub(super) fn against(
        &mut self,
        db: &mut dyn Db,
        asked: &Asked<'_>,
    ) -> Result<Vec<Hold>, StoreError> {
        let Some(test) = asked.blood() else {
            return Ok(Vec::new());
        };
        let said = determination(asked, test);
        let history = self.history(db, asked.tube.specimen.patient)?;
        let others: Vec<Determination> = history
            .iter()
            .filter(|other| other.result != asked.id)
            .cloned()
            .collect();
        let mut holds = Vec::new();
        if let Some(result) = differing(&said, &others) {
            holds.push(Hold::new(HoldReason::GroupDiffers, of_result(result)));
        }
        if let Some(result) = book::conflict(&others) {
            holds.push(Hold::new(HoldReason::GroupConflict, of_result(result)));
        }
        if let Some(what) = discrepant(asked, test) {
            holds.push(Hold::new(HoldReason::GroupDiscrepant, what));
        }
        if !said.group.is_empty() && !said.is_confirmed(&others) {
            holds.push(Hold::new(HoldReason::GroupUnconfirmed, ""));
        }
        if let Some(result) = corrected(asked, test) {
            holds.push(Hold::new(HoldReason::GroupCorrected, of_result(result)));
        }
        if let Some(result) = antibodies(asked, test, &others) {
            holds.push(Hold::new(HoldReason::AntibodyHistory, of_result(result)));
        }
        Ok(holds)
    }

    /// Remembers what a result said, now that it is decided about; returns what that changes for
    /// results of before.
    pub(super) fn learn(
        &mut self,
        db: &mut dyn Db,
        asked: &Asked<'_>,
        decision: &Decision,
    ) -> Result<Vec<Amendment>, StoreError> {
        let Some(test) = asked.blood() else {
            return Ok(Vec::new());
        };
        let patient = asked.tube.specimen.patient;
        let said = Determination {
            state: decision.state,
            holds: decision.holds.clone(),
            ..determination(asked, test)
        };
        let history = self.history(db, patient)?;
        history.retain(|other| other.result != said.result);
        if !said.group.is_empty() || said.antibody.is_some() {
            history.push(said.clone());
            self.learned.push(said.clone());
        }
        let mut amended = of_tube(asked, &said);
        amended.extend(self.differing_before(patient, &said));
        for one in &amended {
            self.amend(patient, one);
        }
        // Only now is it known which of them can be a second opinion.
        let confirmed = self.confirmed_before(patient, said.result);
        for one in &confirmed {
            self.amend(patient, one);
        }
        amended.extend(confirmed);
        Ok(amended)
    }

    /// Held results from which a sure group differs: both sides say so.
    fn differing_before(&self, patient: i64, said: &Determination) -> Vec<Amendment> {
        let known = self.histories.get(&patient).into_iter().flatten();
        let against = known.filter(|other| {
            other.result != said.result
                && other.state == ResultState::Held
                && other.counts()
                && said.counts()
                && other.group.differs(said.group)
        });
        let hold = || Hold::new(HoldReason::GroupDiffers, of_result(said.result));
        against
            .map(|other| Amendment::add(other.result, hold()))
            .collect()
    }

    /// Held groups that have a second opinion now, or have it no more.
    fn confirmed_before(&self, patient: i64, said: i64) -> Vec<Amendment> {
        let Some(history) = self.histories.get(&patient) else {
            return Vec::new();
        };
        let unconfirmed = HoldReason::GroupUnconfirmed;
        let groups = history.iter().filter(|other| {
            other.result != said && other.state == ResultState::Held && !other.group.is_empty()
        });
        let changed = groups.filter_map(|other| {
            let waits = other.holds.iter().any(|hold| hold.reason == unconfirmed);
            let is_confirmed = other.is_confirmed(history);
            (waits == is_confirmed).then(|| Amendment {
                result: other.result,
                add: (!is_confirmed).then(|| Hold::new(unconfirmed, "")),
                gone: is_confirmed.then_some(unconfirmed),
            })
        });
        changed.collect()
    }

    fn amend(&mut self, patient: i64, one: &Amendment) {
        let known = self.histories.get_mut(&patient).into_iter().flatten();
        for other in known.filter(|other| other.result == one.result) {
            book::amend(&mut other.holds, one.add.as_ref(), one.gone);
        }
    }

    fn history(
        &mut self,
        db: &mut dyn Db,
        patient: i64,
    ) -> Result<&mut Vec<Determination>, StoreError> {
        Ok(match self.histories.entry(patient) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(book::blood_history(db, patient)?),
        })
    }

    /// What is to be stored, once the results are.
    pub(super) fn into_learned(self) -> Vec<Determination> {
        self.learned
    }
}

/// Where to look: a row id, and no value.
fn of_result(id: i64) -> String {
    format!("result {id}")
}

fn determination(asked: &Asked<'_>, test: &BloodTest) -> Determination {
    let specimen = &asked.tube.specimen;
    let meaning = meaning(test, &asked.observation.value);
    let group = if let Meaning::Group(group) = meaning
        && test.is_group()
    {
        group
    } else {
        Group::default()
    };
    Determination {
        result: asked.id,
        patient: specimen.patient,
        group,
        antibody: antibody(test, meaning, asked.observation),
        specimen: Some(specimen.id),
        collected_at: specimen.collected_at,
        state: ResultState::Held,
        holds: Vec::new(),
    }
}

/// What a screen or an identification says of antibodies, where it does not say that there are
/// none.
fn antibody(test: &BloodTest, meaning: Meaning, observation: &Observation) -> Option<Finding> {
    if observation.status != ResultStatus::Final && !is_correction(observation) {
        return None;
    }
    match (test.kind, meaning) {
        (BloodKind::Antibody, Meaning::Words) => Some(Finding::Positive),
        (BloodKind::Screen | BloodKind::Antibody, meaning) => match meaning.is_positive() {
            Some(true) => Some(Finding::Positive),
            Some(false) => None,
            None => Some(Finding::Indeterminate),
        },
        _ => None,
    }
}

/// `group-differs`: another group than an earlier one of the patient, of any tube, in ABO or in D.
/// The patient's record is compared before anything is issued (AABB 5.14, BCSH: historical
/// records); blood of somebody else in the tube shows in nothing else.
fn differing(said: &Determination, others: &[Determination]) -> Option<i64> {
    let mut against = others
        .iter()
        .filter(|other| other.counts() && other.group.differs(said.group));
    against.next_back().map(|other| other.result)
}

/// `group-discrepant`: what cannot be read as a group, or does not agree with the rest of its tube
/// (AABB 5.14; BCSH: anomalous groups are no groups until they are resolved).
fn discrepant(asked: &Asked<'_>, test: &BloodTest) -> Option<&'static str> {
    if !test.is_typing() {
        return None;
    }
    panel::discrepancy(&asked.readings())
}

/// `group-corrected`: the host has a group that the device now corrects. It goes out as a
/// correction (C in HL7 tables 0085 and 0123), after somebody has called the ward.
fn corrected(asked: &Asked<'_>, test: &BloodTest) -> Option<i64> {
    let observation = asked.observation;
    if !test.is_group() || !is_correction(observation) {
        return None;
    }
    let mut released = asked.tube.current.iter().filter(|row| {
        row.state == ResultState::Released
            && Some(row.test.as_str()) == observation.test.as_deref()
            && row.about == observation.about
    });
    released.next_back().map(|row| row.id)
}

/// `antibody-history`: antibodies, found at any time or not ruled out on this tube, allow no
/// crossmatch but the full one (AABB 5.16; BCSH: electronic issue). What technique a
/// test is, its catalogue entry says; unsaid, it is not taken for full.
fn antibodies(asked: &Asked<'_>, test: &BloodTest, others: &[Determination]) -> Option<i64> {
    if test.kind != BloodKind::Crossmatch || test.technique == Some(Technique::Iat) {
        return None;
    }
    let tube = Some(asked.tube.specimen.id);
    let mut found = others.iter().filter(|other| is_against(other, tube));
    found.next_back().map(|other| other.result)
}

/// Whether it speaks against a crossmatch without antiglobulin on this tube.
fn is_against(other: &Determination, tube: Option<i64>) -> bool {
    let is_of_patient = other
        .holds
        .iter()
        .all(|hold| hold.reason != HoldReason::PatientMismatch);
    let is_there = matches!(
        other.state,
        ResultState::Released | ResultState::Confirmed | ResultState::Held | ResultState::Kept
    );
    is_of_patient
        && is_there
        && match other.antibody {
            Some(Finding::Positive) => true,
            Some(Finding::Indeterminate) => other.specimen == tube,
            Some(Finding::Negative) | None => false,
        }
}

/// What a result changes for those of its own tube that were decided about before it.
fn of_tube(asked: &Asked<'_>, said: &Determination) -> Vec<Amendment> {
    let Some(test) = asked.blood() else {
        return Vec::new();
    };
    let held = || {
        let current = asked.tube.current.iter();
        current.filter(|row| row.state == ResultState::Held && row.id != asked.id)
    };
    let mut amended = Vec::new();
    if let Some(what) = discrepant(asked, test) {
        let is_typing = |row: &&Current| {
            asked
                .site
                .blood(&row.test)
                .is_some_and(BloodTest::is_typing)
        };
        let all = held().filter(is_typing);
        amended.extend(
            all.map(|row| Amendment::add(row.id, Hold::new(HoldReason::GroupDiscrepant, what))),
        );
    }
    if is_against(said, said.specimen) {
        let is_short = |row: &&Current| {
            let test = asked.site.blood(&row.test);
            test.is_some_and(|test| {
                test.kind == BloodKind::Crossmatch && test.technique != Some(Technique::Iat)
            })
        };
        let hold = || Hold::new(HoldReason::AntibodyHistory, of_result(said.result));
        amended.extend(
            held()
                .filter(is_short)
                .map(|row| Amendment::add(row.id, hold())),
        );
    }
    amended
}
