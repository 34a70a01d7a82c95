//! Reasons to hold that the message alone gives, once all of it was read.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, HOLD_ORDER};
use crate::{
    model::{Hold, HoldReason, Item, Observation, ObservationKind, ResultStatus, Value},
    profile::{LineProfile, defaults::NORMAL_FLAGS, line::Catalogue},
};

pub(super) fn undecodable() -> Hold {
    Hold::new(HoldReason::Undecodable, "bytes that the line's character set does not have")
}

/// Gives every observation its holds, in [`HOLD_ORDER`].
pub(super) fn finish(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    entries: Vec<Entry>,
    is_whole: bool,
) -> Vec<Item> {
    let replicates = replicates(&entries);
    let taints: BTreeMap<usize, String> = entries
        .iter()
        .filter_map(|entry| Some((entry.group, entry.taints.clone()?)))
        .collect();
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let mut item = entry.item;
            if let Item::Observation(observation) = &mut item {
                let mut holds = std::mem::take(&mut observation.holds);
                if !is_whole {
                    holds.push(Hold::new(HoldReason::Incomplete, "no end record or segment"));
                }
                if observation.kind == ObservationKind::Patient {
                    holds.extend(of_value(line, observation));
                    holds.extend(of_unit(line, catalogue, observation));
                    holds.extend(of_test(catalogue, observation));
                    let tainted = taints.get(&entry.group);
                    holds.extend(tainted.map(|code| Hold::new(HoldReason::SuspectFlag, code.as_str())));
                    if replicates.contains(&index) {
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

/// Everything about the value itself and the tube.
fn of_value(line: &LineProfile, observation: &Observation) -> Vec<Hold> {
    let mut holds = Vec::new();
    let mut hold = |reason, detail: &str| holds.push(Hold::new(reason, detail));
    if observation.specimen.as_ref().is_none_or(|specimen| specimen.id.is_empty()) {
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
    let is_normal =
        |flag: &&String| NORMAL_FLAGS.contains(&flag.as_str()) || normal.contains(flag.as_str());
    if let Some(flag) = observation.flags.iter().find(|flag| !is_normal(flag)) {
        hold(HoldReason::SuspectFlag, flag);
    }
    if let Some(dilution) = &observation.dilution
        && !line.profile.result.is_multiplied
    {
        hold(HoldReason::Dilution, dilution);
    }
    holds
}

/// A mapped test that has a unit must come with a spelling of it.
fn of_unit(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    observation: &Observation,
) -> Option<Hold> {
    let test = observation.test.as_deref()?;
    let rule = line.rule(&observation.code, &observation.qualifiers);
    let own = catalogue.and_then(|catalogue| catalogue.unit(test)).unwrap_or_default();
    let spellings = rule.map_or(0, |rule| rule.units.len());
    let has_unit = spellings > 0 || !own.is_empty();
    match (observation.unit.as_str(), &observation.ucum) {
        _ if !has_unit => None,
        ("", _) => Some(Hold::new(HoldReason::UnitMissing, own)),
        (_, Some(ucum)) if own.is_empty() || ucum == own || !is_listed(catalogue, test) => None,
        (sent, Some(ucum)) => Some(differs(sent, ucum, own, line, observation)),
        (sent, None) => Some(Hold::new(HoldReason::UnitDiffers, format!("{sent} is not {own}"))),
    }
}
