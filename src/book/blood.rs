//! What results of blood transfusion said of each patient: groups and antibodies, over all tubes.
//!
//! A row keeps the patient of its time. Who was merged into whom is followed when a history is
//! read, so that groups of two people who were said to be one can still be told apart.

use std::collections::BTreeSet;

use crate::{
    model::{
        Hold, HoldReason, ResultState,
        blood::{Abo, Finding, Group, RhD},
    },
    queue,
    store::{Db, Insert, Param, Row, Sql, StoreError},
};

use super::change::{json, unjson};

/// Those of a patient and of everyone who was merged into it: read by patient, never by result,
/// for which SQLite needs to be told to begin with the patient (`CROSS JOIN`).
const HISTORY: Sql = Sql::same(
    "WITH RECURSIVE one(id) AS (SELECT id FROM patient WHERE id = $1 \
     UNION SELECT p.id FROM one JOIN patient p ON p.merged_into = one.id) \
     SELECT b.result, b.patient, b.abo, b.rhd, b.antibody, r.specimen, r.state, r.holds, \
     s.collected_at FROM one CROSS JOIN blood_group b \
     JOIN result r ON r.id = b.result LEFT JOIN specimen s ON s.id = r.specimen \
     WHERE b.patient = one.id ORDER BY b.result",
);
const LEARN: Insert = Insert {
    into: "INSERT INTO blood_group (result, patient, abo, rhd, antibody)",
    columns: 5,
    tail: "ON CONFLICT (result) DO NOTHING",
    types: &[],
};
const HOLDS: Sql = Sql::same("SELECT holds FROM result WHERE id = $1");
const SET_HOLDS: Sql = Sql::same("UPDATE result SET holds = $2 WHERE id = $1");
const HOLD_AGAIN: Sql =
    Sql::same("UPDATE result SET state = 'held', decided_at = NULL WHERE id = $1");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[&HISTORY, &HOLDS, &SET_HOLDS, &HOLD_AGAIN];

/// What one result said of its patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determination {
    /// The result.
    pub result: i64,
    /// Its patient when it came.
    pub patient: i64,
    /// The group, as far as it says one.
    pub group: Group,
    /// What it says of antibodies.
    pub antibody: Option<Finding>,
    /// Its tube.
    pub specimen: Option<i64>,
    /// When the tube was drawn, microseconds UTC, where the order said so.
    pub collected_at: Option<i64>,
    /// The state of the result.
    pub state: ResultState,
    /// Why it is held.
    pub holds: Vec<Hold>,
}

/// What may hold a result that says a group as well as one that is released.
const PLAIN: &[HoldReason] = &[
    HoldReason::Transfusion,
    HoldReason::Review,
    HoldReason::GroupUnconfirmed,
];

/// What says that the value, the tube or the patient is not sure: such a result speaks for nothing
/// and against nothing.
const UNSURE: &[HoldReason] = &[
    HoldReason::AmbiguousSpecimen,
    HoldReason::NoSpecimen,
    HoldReason::PatientMismatch,
    HoldReason::UnknownTest,
    HoldReason::Undecodable,
    HoldReason::StatusX,
    HoldReason::StatusNotFinal,
    HoldReason::AbsentValue,
    HoldReason::SuspectFlag,
    HoldReason::Replicate,
    HoldReason::Incomplete,
    HoldReason::AmbiguousSender,
    HoldReason::GroupDiscrepant,
    HoldReason::RackCount,
    HoldReason::RackIsSpecimen,
    HoldReason::PositionReused,
    HoldReason::ParserFault,
];

impl Determination {
    /// Whether another result may be held against it. One that a person gave up, or that a later
    /// version replaced, says nothing any more; one that nobody ordered says what it says.
    pub fn counts(&self) -> bool {
        match self.state {
            ResultState::Released | ResultState::Confirmed => true,
            ResultState::Held | ResultState::Kept => {
                !self.holds.iter().any(|hold| UNSURE.contains(&hold.reason))
            }
            ResultState::Waiting
            | ResultState::Repeat
            | ResultState::Replaced
            | ResultState::SetAside
            | ResultState::Control => false,
        }
    }

    /// Whether it can be the second opinion: nothing speaks against it but that it waits.
    fn can_confirm(&self) -> bool {
        match self.state {
            ResultState::Released | ResultState::Confirmed => true,
            ResultState::Held => self.holds.iter().all(|hold| PLAIN.contains(&hold.reason)),
            ResultState::Kept
            | ResultState::Waiting
            | ResultState::Repeat
            | ResultState::Replaced
            | ResultState::SetAside
            | ResultState::Control => false,
        }
    }

    /// Whether its tube is known to be another draw: another tube, and not one that was drawn in
    /// the same moment, which one mistake at the bedside labels as wrongly as the first.
    fn is_other_draw(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (self.specimen, other.specimen) else {
            return false;
        };
        let is_same_moment = self.collected_at.is_some() && self.collected_at == other.collected_at;
        one != two && !is_same_moment
    }

    /// Whether each part of its group was said by another draw of the patient as well: until then
    /// it is `group-unconfirmed` (AABB 5.14, 5.16: two determinations; BCSH: a second sample,
    /// drawn anew).
    pub fn is_confirmed(&self, history: &[Self]) -> bool {
        let by = |is_same: &dyn Fn(Group) -> bool| {
            history.iter().any(|other| {
                other.can_confirm() && other.is_other_draw(self) && is_same(other.group)
            })
        };
        let abo = self.group.abo.is_none() || by(&|other| other.abo == self.group.abo);
        let rhd = self.group.rhd.is_none() || by(&|other| other.rhd == self.group.rhd);
        !self.group.is_empty() && abo && rhd
    }
}

/// `group-conflict`: the first result that says another group than one of another patient who was
/// merged with this one. Such groups were never one history, whatever HL7 v2.5.1 3.3.40 makes of
/// the identity.
pub fn conflict(history: &[Determination]) -> Option<i64> {
    let counting = || history.iter().filter(|one| one.counts());
    counting()
        .find(|one| {
            counting().any(|other| other.patient != one.patient && other.group.differs(one.group))
        })
        .map(|one| one.result)
}

/// What was said of a patient, and of those merged into it, oldest first.
///
/// # Errors
/// The store's.
pub fn blood_history(db: &mut dyn Db, patient: i64) -> Result<Vec<Determination>, StoreError> {
    db.rows(&HISTORY, &[patient.into()])?
        .iter()
        .map(read)
        .collect()
}

fn read(row: &Row) -> Result<Determination, StoreError> {
    let state = ResultState::from_code(row.text(6)?)
        .ok_or_else(|| StoreError::value("unknown result state in a row"))?;
    Ok(Determination {
        result: row.int(0)?,
        patient: row.int(1)?,
        group: Group {
            abo: Abo::from_word(row.text(2)?),
            rhd: RhD::from_word(row.text(3)?),
        },
        antibody: Finding::from_word(row.text(4)?),
        specimen: row.opt_int(5)?,
        collected_at: row.opt_int(8)?,
        state,
        holds: unjson(row.text(7)?)?,
    })
}

/// Remembers what stored results said; one that is remembered keeps its patient.
///
/// # Errors
/// The store's.
pub fn learn_blood(db: &mut dyn Db, said: &[Determination]) -> Result<(), StoreError> {
    if said.is_empty() {
        return Ok(());
    }
    let rows = said.iter().map(|one| {
        let rhd = one.group.rhd.map_or("", RhD::word);
        vec![
            one.result.into(),
            one.patient.into(),
            one.group.abo.map_or("", Abo::word).into(),
            rhd.into(),
            one.antibody.map_or("", Finding::word).into(),
        ]
    });
    db.insert_rows(&LEARN, rows.collect()).map(|_| ())
}

/// Adds a reason to a stored result, and takes one away. Its state stays: a hold more or less
/// releases nothing.
///
/// # Errors
/// The store's.
pub fn amend_holds(
    db: &mut dyn Db,
    result: i64,
    add: Option<&Hold>,
    gone: Option<HoldReason>,
) -> Result<(), StoreError> {
    let Some(row) = db.row_opt(&HOLDS, &[result.into()])? else {
        return Ok(());
    };
    let mut holds: Vec<Hold> = unjson(row.text(0)?)?;
    amend(&mut holds, add, gone);
    let params: [Param; 2] = [result.into(), json(&holds)?.into()];
    db.exec(&SET_HOLDS, &params)?;
    Ok(())
}

/// The same to holds in hand.
pub fn amend(holds: &mut Vec<Hold>, add: Option<&Hold>, gone: Option<HoldReason>) {
    holds.retain(|hold| Some(hold.reason) != gone);
    if let Some(add) = add
        && holds.iter().all(|hold| hold.reason != add.reason)
    {
        holds.push(add.clone());
    }
}

/// Two patients are about to be one: what was said of the blood of either, if their groups differ.
///
/// # Errors
/// The store's.
pub(super) fn conflicting(
    db: &mut dyn Db,
    kept: i64,
    gone: i64,
) -> Result<Vec<Determination>, StoreError> {
    let mut both = blood_history(db, kept)?;
    let own: BTreeSet<i64> = both.iter().map(|one| one.result).collect();
    let theirs = blood_history(db, gone)?;
    both.extend(theirs.into_iter().filter(|one| !own.contains(&one.result)));
    Ok(conflict(&both).map_or_else(Vec::new, |_| both))
}

/// Holds every group of two merged patients whose groups differ. What their hosts were never told
/// is not told; what they were told is not told again under the other's name.
///
/// # Errors
/// The store's.
pub(super) fn part(db: &mut dyn Db, groups: &[Determination], now: i64) -> Result<(), StoreError> {
    let hold = Hold::new(HoldReason::GroupConflict, "");
    for one in groups {
        match (one.state, one.specimen) {
            (ResultState::Released, Some(specimen)) => {
                queue::withdraw_result(db, specimen, one.result, now)?;
                if queue::was_tried(db, one.result)? {
                    continue;
                }
                db.exec(&HOLD_AGAIN, &[one.result.into()])?;
            }
            (ResultState::Held, _) => {}
            _ => continue,
        }
        amend_holds(db, one.result, Some(&hold), None)?;
    }
    Ok(())
}
