//! Reasons to hold that the message alone gives, once all of it was read.

use std::collections::BTreeMap;

use super::{Entry, HOLD_ORDER};
use crate::{
    config::{
        choice::Unmapped,
        units::{UnitProof, prove_catalogue},
    },
    model::{Hold, HoldReason, Item, Observation, ObservationKind, ResultStatus, Value},
    profile::{LineProfile, TestRule, defaults::NORMAL_FLAGS, line::Catalogue},
};

pub(super) fn undecodable() -> Hold {
    Hold::new(
        HoldReason::Undecodable,
        "bytes that the line's character set does not have",
    )
}

/// What is known of the message as a whole.
pub(super) struct Whole {
    /// Its end came.
    pub(super) is_complete: bool,
    /// It names another device than the line's: the name, as sent.
    pub(super) stranger: Option<String>,
    /// Orders whose results a comment makes suspect, and the comment.
    pub(super) commented: BTreeMap<usize, String>,
    /// Lot and level of orders of controls.
    pub(super) named: BTreeMap<usize, (Option<String>, Option<String>)>,
}

/// Gives every observation its holds, in [`HOLD_ORDER`].
pub(super) fn finish(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    entries: Vec<Entry<'_>>,
    whole: &Whole,
) -> Vec<Item> {
    let replicates = replicates(&entries);
    let taints: BTreeMap<usize, String> = entries
        .iter()
        .filter_map(|entry| Some((entry.group, entry.taints.clone()?)))
        .collect();
    let edits: BTreeMap<usize, String> = entries
        .iter()
        .filter_map(|entry| Some((entry.group, entry.edits.clone()?)))
        .collect();
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let mut item = entry.item;
            if let Item::Observation(observation) = &mut item {
                let mut holds = std::mem::take(&mut observation.holds);
                if !whole.is_complete {
                    holds.push(Hold::new(
                        HoldReason::Incomplete,
                        "no end record or segment",
                    ));
                }
                if observation.kind != ObservationKind::Patient {
                    name_material(observation, whole.named.get(&entry.group));
                } else {
                    let stranger = whole.stranger.as_deref();
                    let other = |name| Hold::new(HoldReason::AmbiguousSender, name);
                    holds.extend(stranger.map(other));
                    holds.extend(of_value(line, observation));
                    holds.extend(of_unit(line, entry.rule, entry.unit, observation));
                    holds.extend(of_test(line, catalogue, observation));
                    let commented = || whole.commented.get(&entry.group);
                    let tainted = taints.get(&entry.group).or_else(commented);
                    holds.extend(
                        tainted.map(|code| Hold::new(HoldReason::SuspectFlag, code.as_str())),
                    );
                    let edit = edits.get(&entry.group);
                    let edit = edit.filter(|_| !is_edited(&holds));
                    holds.extend(edit.map(|what| Hold::new(HoldReason::ManualEdit, what.as_str())));
                    if replicates.binary_search(&index).is_ok() {
                        holds.push(Hold::new(HoldReason::Replicate, observation.code.as_str()));
                    }
                }
                holds.sort_by_key(|hold| HOLD_ORDER.iter().position(|r| *r == hold.reason));
                observation.holds = holds;
            }
            item
        })
        .collect()
}

/// Lot and level of a control that rows of its order say; what its own place says goes before.
fn name_material(observation: &mut Observation, named: Option<&(Option<String>, Option<String>)>) {
    let Some((lot, level)) = named else { return };
    observation.lot = observation.lot.take().or_else(|| lot.clone());
    observation.level = observation.level.take().or_else(|| level.clone());
}

fn is_edited(holds: &[Hold]) -> bool {
    holds
        .iter()
        .any(|hold| hold.reason == HoldReason::ManualEdit)
}

/// Everything about the value itself and the tube.
fn of_value(line: &LineProfile, observation: &Observation) -> Vec<Hold> {
    let mut holds = Vec::new();
    let mut hold = |reason, detail: &str| holds.push(Hold::new(reason, detail));
    if observation
        .specimen
        .as_ref()
        .is_none_or(|specimen| specimen.id.is_empty())
    {
        hold(HoldReason::NoSpecimen, "");
    }
    match observation.status {
        ResultStatus::CannotBeDone => hold(HoldReason::StatusX, &observation.status_sent),
        ResultStatus::NotFinal => hold(HoldReason::StatusNotFinal, &observation.status_sent),
        ResultStatus::Final | ResultStatus::Correction | ResultStatus::Retransmission => {}
    }
    if matches!(observation.value, Value::Absent { .. }) {
        hold(HoldReason::AbsentValue, &observation.text);
    }
    let normal = &line.profile.normal_flags;
    let suspect = &line.profile.suspect_flags;
    let is_normal = |flag: &&String| {
        let is_usual = NORMAL_FLAGS.contains(&flag.as_str()) && !suspect.contains(flag.as_str());
        is_usual || normal.contains(flag.as_str())
    };
    let edited = &line.profile.edited_flags;
    let is_edit = |flag: &&String| edited.contains(flag.as_str());
    let mut flags = observation.flags.iter().filter(|flag| !is_edit(flag));
    if let Some(flag) = flags.find(|flag| !is_normal(flag)) {
        hold(HoldReason::SuspectFlag, flag);
    }
    if let Some(flag) = observation.flags.iter().find(is_edit) {
        hold(HoldReason::ManualEdit, flag);
    }
    if let Some(dilution) = &observation.dilution
        && !line.profile.result.is_multiplied
    {
        hold(HoldReason::Dilution, dilution);
    }
    holds
}

/// A mapped test that has a unit must come with a spelling of it. `own` is the catalogue's.
fn of_unit(
    line: &LineProfile,
    rule: Option<&TestRule>,
    own: Option<&str>,
    observation: &Observation,
) -> Option<Hold> {
    observation.test.as_ref()?;
    let spellings = rule
        .map(|rule| &rule.units)
        .filter(|units| !units.is_empty());
    let declared = line.declared_unit(&observation.code, rule);
    let wanted = own
        .or_else(|| spellings?.values().next().map(String::as_str))
        .or(declared)?;
    let sent = observation.unit.as_str();
    let ucum = observation.ucum.as_deref();
    // Only a profile that says what no unit stands for makes one of it.
    if sent.is_empty() && ucum.is_none() {
        return Some(Hold::new(HoldReason::UnitMissing, wanted));
    }
    let is_proven = |ucum: &str| {
        own.is_none_or(|own| own == ucum || prove_catalogue(ucum, own) == UnitProof::Proven)
    };
    if ucum.is_some_and(is_proven) {
        return None;
    }
    let came = match ucum {
        Some(declared) if sent.is_empty() => declared,
        _ => sent,
    };
    Some(Hold::new(
        HoldReason::UnitDiffers,
        format!("`{came}` came, `{wanted}` was expected"),
    ))
}

/// A code that means no test of this laboratory. Where the site passes codes on, the code itself is
/// the test, whether the catalogue has it or not.
fn of_test(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    observation: &Observation,
) -> Option<Hold> {
    let code = observation.code.as_str();
    let passes = line.settings().unmapped == Unmapped::Pass;
    match (&observation.test, catalogue) {
        (Some(test), _) if passes && test == code => None,
        (None, _) => Some(Hold::new(HoldReason::UnknownTest, code)),
        (Some(test), Some(catalogue)) if !catalogue.has(test) => {
            let detail = format!("{code} is {test}, which the catalogue does not have");
            Some(Hold::new(HoldReason::UnknownTest, detail))
        }
        _ => None,
    }
}

/// The entries that report one test of one tube more than once, in order. Which of them counts is
/// not ours to say, so all of them wait.
fn replicates(entries: &[Entry<'_>]) -> Vec<usize> {
    let results = entries.iter().enumerate().filter_map(Candidate::of);
    let mut results: Vec<Candidate<'_>> = results.collect();
    results.sort_unstable_by(|a, b| {
        let by_code = a.code_start.cmp(&b.code_start);
        by_code.then_with(|| a.identity().cmp(&b.identity()))
    });
    let same = |a: &Candidate<'_>, b: &Candidate<'_>| {
        a.code_start == b.code_start && a.identity() == b.identity()
    };
    let groups = results.chunk_by(same).filter(|group| group.len() > 1);
    let mut found: Vec<usize> = groups.flatten().map(|result| result.index).collect();
    found.sort_unstable();
    found
}

/// Code, qualifiers, what it is about, run, tube.
type Identity<'e> = (
    &'e str,
    &'e [String],
    Option<&'e str>,
    Option<&'e str>,
    Result<&'e str, usize>,
);

/// A patient's result that may be reported more than once.
struct Candidate<'e> {
    index: usize,
    group: usize,
    observation: &'e Observation,
    /// The first bytes of the code: most codes of a message differ there, and a number is compared
    /// faster than a text.
    code_start: u64,
}

impl<'e> Candidate<'e> {
    fn of((index, entry): (usize, &'e Entry<'_>)) -> Option<Self> {
        let Item::Observation(observation) = &entry.item else {
            return None;
        };
        let mut code_start = [0; 8];
        let code = observation.code.bytes();
        code_start
            .iter_mut()
            .zip(code)
            .for_each(|(to, from)| *to = from);
        (observation.kind == ObservationKind::Patient).then_some(Self {
            index,
            group: entry.group,
            observation,
            code_start: u64::from_be_bytes(code_start),
        })
    }

    /// What makes two results the same test of the same tube. Without an id, results of different
    /// orders have nothing to do with each other.
    fn identity(&self) -> Identity<'_> {
        let own = self.observation;
        let id = own.specimen.as_ref().map(|own| own.id.as_str());
        (
            &own.code,
            &own.qualifiers,
            own.about.as_deref(),
            own.run.as_deref(),
            id.filter(|id| !id.is_empty()).ok_or(self.group),
        )
    }
}
