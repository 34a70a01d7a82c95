//! Saying what a code or a unit of a line means: once, and everything that waited for it moves.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    bridge::Site,
    config::units::{UnitProof, prove_spelling},
    model::{Hold, HoldReason, Observation, ResultState},
    profile::LineProfile,
    settle::{self, ByHand, StoredResult},
    store::{Db, Sql, StoreError},
};

use super::{
    Act, Acting, Done, Outcome, Refused, granted,
    learned::{self, Mapping},
    record::Before,
    reread,
};

const HELD_FOR: Sql = Sql::same(
    "SELECT id FROM result WHERE state = 'held' AND line = $1 AND holds LIKE $2 \
     UNION ALL SELECT id FROM result WHERE state = 'waiting' \
     AND line = $1 AND holds LIKE $2",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&HELD_FOR];

/// What a mapping moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The act.
    pub done: Done,
    /// Results that were read anew, and where each stands now.
    pub results: Vec<(i64, ResultState)>,
}

impl Acting<'_> {
    /// Maps a code of a line to a test of the catalogue, from now on and for everything that waits
    /// for it. Refused where the files map the code: they are where such a mapping is changed.
    ///
    /// # Errors
    /// The store's.
    pub fn map_code(&self, db: &mut dyn Db, line: &str, code: &str, test: &str) -> Outcome<Moved> {
        granted!(self.check());
        let Some(known) = self.site.lines.get(line) else {
            return Ok(Err(Refused::UnknownLine));
        };
        let has = |test: &str| is_test(self.site, test);
        if !has(test) {
            return Ok(Err(Refused::UnknownTest));
        }
        let earlier = learned::mappings(db)?
            .into_iter()
            .find(|one| one.sent.is_none() && one.line == line && one.code == code);
        let by_files = known.profile.test_by_files(code).filter(|test| has(test));
        if let Some(test) = by_files.or(earlier.map(|one| one.means)) {
            return Ok(Err(Refused::MappedAlready { test }));
        }
        let waiting = waiting_for(db, line, code, HoldReason::UnknownTest)?;
        if waiting.is_empty() {
            return Ok(Err(Refused::NothingWaits));
        }
        let mapping = Mapping {
            line: line.to_owned(),
            code: code.to_owned(),
            sent: None,
            means: test.to_owned(),
            by: self.person.name.trim().to_owned(),
            at: self.now,
        };
        self.map(db, Act::Map, mapping, &known.profile, &waiting)
    }

    /// Says of the unit that a held result came in, that it is the test's unit in another spelling.
    /// Believed only where UCUM proves that one is exactly one of the other.
    ///
    /// # Errors
    /// The store's.
    pub fn accept_unit(&self, db: &mut dyn Db, id: i64) -> Outcome<Moved> {
        let result = granted!(self.open_result(db, id)?);
        let act = Act::AcceptUnit;
        let is_held = |hold: &Hold| hold.reason == HoldReason::UnitDiffers;
        if !result.holds.iter().any(is_held) {
            return Ok(Err(Refused::NotNeeded { act }));
        }
        let Some(known) = self.site.lines.get(&result.line) else {
            return Ok(Err(Refused::UnknownLine));
        };
        let (code, sent) = (&result.observation.code, &result.observation.unit);
        let test = result.observation.test.as_deref().unwrap_or_default();
        let own = unit_of(self.site, test);
        let Some(wanted) = known.profile.unit_wanted(code, own.as_deref()) else {
            return Ok(Err(Refused::NotNeeded { act }));
        };
        granted!(proven(sent, &wanted));
        let mut waiting = waiting_for(db, &result.line, code, HoldReason::UnitDiffers)?;
        waiting.retain(|one| one.observation.unit == *sent);
        let mapping = Mapping {
            line: result.line.clone(),
            code: code.clone(),
            sent: Some(sent.clone()),
            means: wanted,
            by: self.person.name.trim().to_owned(),
            at: self.now,
        };
        self.map(db, act, mapping, &known.profile, &waiting)
    }

    fn map(
        &self,
        db: &mut dyn Db,
        act: Act,
        mapping: Mapping,
        line: &LineProfile,
        waiting: &[StoredResult],
    ) -> Outcome<Moved> {
        let barcodes: BTreeSet<String> = waiting.iter().map(|one| one.barcode.clone()).collect();
        let ids: BTreeSet<i64> = waiting.iter().map(|one| one.id).collect();
        let before = Before::look(db, barcodes, ids)?;
        learned::add(db, &mapping)?;
        // A copy of its own: what others share must not know what is not committed.
        let learned = learned::read(db)?.into();
        let line = line.clone().with_learned(&learned);
        let results = self.read_anew(db, &line, waiting)?;
        let mut changes = before.changes(db)?;
        let subject = format!("line:{}", mapping.line);
        changes.mapping = Some((mapping.line, mapping.code, mapping.sent));
        let done = self.keep(db, act.code(), &subject, &changes)?;
        Ok(Ok(Moved { done, results }))
    }

    /// Reads results anew from the bytes that they came in, and lets the rules decide.
    fn read_anew(
        &self,
        db: &mut dyn Db,
        line: &LineProfile,
        waiting: &[StoredResult],
    ) -> Result<Vec<(i64, ResultState)>, StoreError> {
        let mut said: BTreeMap<i64, Vec<Observation>> = BTreeMap::new();
        let mut readings = Vec::new();
        for result in waiting {
            let message = result.message;
            if let std::collections::btree_map::Entry::Vacant(free) = said.entry(message) {
                free.insert(reread::observations(db, self.site, line, message)?);
            }
            let own = said.get_mut(&message);
            let place = own
                .as_ref()
                .and_then(|own| own.iter().position(|one| is_same(one, result)));
            // One that is not found any more stays as it is: its device's profile was changed.
            if let (Some(own), Some(place)) = (own, place) {
                readings.push((result, kept(own.remove(place), result)));
            }
        }
        let ones: Vec<ByHand<'_>> = readings
            .iter()
            .map(|(result, (observation, holds))| ByHand {
                result,
                observation,
                holds,
                tube: None,
                is_released: false,
                due_at: self.due_at(),
            })
            .collect();
        let states = settle::decide_by_hand(db, &self.context(), &ones)?;
        Ok(ones.iter().map(|one| one.result.id).zip(states).collect())
    }
}

/// Open results of a line and a code that are held for this reason, oldest first.
fn waiting_for(
    db: &mut dyn Db,
    line: &str,
    code: &str,
    reason: HoldReason,
) -> Result<Vec<StoredResult>, StoreError> {
    let like = format!("%\"{}\"%", reason.code());
    let rows = db.rows(&HELD_FOR, &[line.into(), like.into()])?;
    let ids: Result<Vec<i64>, StoreError> = rows.iter().map(|row| row.int(0)).collect();
    let results = settle::results_by_ids(db, &ids?)?.into_values();
    Ok(results.filter(|one| one.observation.code == code).collect())
}

/// How many open results of a line wait until somebody says which test this code is.
///
/// # Errors
/// The store's.
pub fn waiting_for_code(db: &mut dyn Db, line: &str, code: &str) -> Result<usize, StoreError> {
    Ok(waiting_for(db, line, code, HoldReason::UnknownTest)?.len())
}

/// Whether an observation is the stored one, whatever it means by now.
fn is_same(one: &Observation, result: &StoredResult) -> bool {
    let stored = &result.observation;
    one.span == stored.span
        && one.code == stored.code
        && one.qualifiers == stored.qualifiers
        && one.text == stored.text
        && one.unit == stored.unit
        && one.about == stored.about
}

/// What was read anew, with the tube that a person chose and the reasons of the message.
fn kept(mut observation: Observation, result: &StoredResult) -> (Observation, Vec<Hold>) {
    let mut holds = std::mem::take(&mut observation.holds);
    let had_tube = |one: &Observation| {
        one.specimen
            .as_ref()
            .is_some_and(|tube| !tube.id.is_empty())
    };
    if had_tube(&result.observation) {
        observation
            .specimen
            .clone_from(&result.observation.specimen);
    }
    for note in &result.observation.notes {
        if !observation.notes.contains(note) {
            observation.notes.push(note.clone());
        }
    }
    // Without a tube the message's own word that there is none is all that holds it.
    let is_kept = |hold: &Hold| {
        let lacks_tube = hold.reason == HoldReason::NoSpecimen && !had_tube(&observation);
        hold.reason.is_of_message() || lacks_tube
    };
    holds.retain(is_kept);
    (observation, holds)
}

/// Whether the laboratory does a test: the catalogue has it, or without one, some line is mapped to it.
fn is_test(site: &Site, test: &str) -> bool {
    match (&site.laboratory.catalogue, &site.laboratory.measured) {
        (Some(catalogue), _) => catalogue.test(test).is_some(),
        (None, Some(measured)) => measured.iter().any(|own| own == test),
        (None, None) => !test.is_empty(),
    }
}

fn unit_of(site: &Site, test: &str) -> Option<String> {
    let test = site.laboratory.catalogue.as_ref()?.test(test)?;
    test.unit.as_ref().map(|unit| unit.value.clone())
}

/// Refused in the words of the proof.
fn proven(sent: &str, wanted: &str) -> Result<(), Refused> {
    let why = match prove_spelling(sent, wanted) {
        UnitProof::Proven => return Ok(()),
        UnitProof::CannotBeProven { why } => why,
        UnitProof::FactorDiffers(factor) => format!("one {sent} is {factor} {wanted}"),
        UnitProof::NotComparable => {
            format!("{sent} and {wanted} are units of different quantities")
        }
        UnitProof::NotUcum { which } => format!("{which} is not UCUM"),
    };
    Err(Refused::OtherUnit { why })
}
