//! Which act ends which reason, as one table.

use crate::model::{Hold, HoldReason, ResultState};

use super::Role;

/// What a person can do about a held result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Send it to the host as it is.
    Release,
    /// Give it up.
    SetAside,
    /// Say which tube it is of.
    Link,
    /// Say which test its code is.
    Map,
    /// Say that its unit is the test's in another spelling.
    AcceptUnit,
    /// Give it up and measure again.
    Rerun,
}

impl Act {
    /// Every act.
    pub const ALL: &'static [Self] = &[
        Self::Release,
        Self::SetAside,
        Self::Link,
        Self::Map,
        Self::AcceptUnit,
        Self::Rerun,
    ];

    /// As stored and written.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::SetAside => "set-aside",
            Self::Link => "link",
            Self::Map => "map",
            Self::AcceptUnit => "accept-unit",
            Self::Rerun => "rerun",
        }
    }
}

/// Whether a reason lets an act be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Anyone may.
    Yes,
    /// A verifier may.
    Verifier,
    /// Nobody may, as long as the reason stands.
    No,
}

/// The cell of the table.
pub const fn permits(reason: HoldReason, act: Act) -> Permission {
    match act {
        Act::Release => releases(reason),
        Act::Link => when(links(reason)),
        Act::Map => when(matches!(reason, HoldReason::UnknownTest)),
        Act::AcceptUnit => when(matches!(reason, HoldReason::UnitDiffers)),
        // A message that cannot be read has no results: it is set aside as a message.
        Act::SetAside | Act::Rerun => when(!matches!(reason, HoldReason::ParserFault)),
    }
}

const fn when(may: bool) -> Permission {
    if may { Permission::Yes } else { Permission::No }
}

/// Where a person's look is what is missing, the look ends it. Where the tube, the patient, the test,
/// the unit or a whole value is missing, no look brings it.
const fn releases(reason: HoldReason) -> Permission {
    match reason {
        HoldReason::SuspectFlag
        | HoldReason::StatusX
        | HoldReason::StatusNotFinal
        | HoldReason::Replicate
        | HoldReason::SecondResult
        | HoldReason::Dilution
        | HoldReason::ClockYear
        | HoldReason::AmbiguousSender
        | HoldReason::ProvisionalOrder
        | HoldReason::Review => Permission::Yes,
        // A second pair of eyes: on the group, on the hand that changed it, on the rack itself.
        HoldReason::Transfusion
        | HoldReason::GroupUnconfirmed
        | HoldReason::GroupCorrected
        | HoldReason::AntibodyHistory
        | HoldReason::ManualEdit
        | HoldReason::RackCount
        | HoldReason::PositionReused => Permission::Verifier,
        HoldReason::UnknownSpecimen
        | HoldReason::AmbiguousSpecimen
        | HoldReason::NoSpecimen
        | HoldReason::PatientMismatch
        | HoldReason::OrderCancelled
        | HoldReason::UnknownTest
        | HoldReason::UnitDiffers
        | HoldReason::UnitMissing
        | HoldReason::Undecodable
        | HoldReason::AbsentValue
        | HoldReason::Incomplete
        | HoldReason::GroupDiffers
        | HoldReason::GroupDiscrepant
        | HoldReason::GroupConflict
        | HoldReason::TubeType
        | HoldReason::RackIsSpecimen
        | HoldReason::TubeInTwoPlaces
        | HoldReason::TubeNotAtAnalyzer
        | HoldReason::ParserFault => Permission::No,
    }
}

/// Reasons that another tube, or another order on it, ends.
const fn links(reason: HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::UnknownSpecimen
            | HoldReason::AmbiguousSpecimen
            | HoldReason::NoSpecimen
            | HoldReason::PatientMismatch
            | HoldReason::OrderCancelled
            | HoldReason::RackIsSpecimen
            | HoldReason::PositionReused
    )
}

/// The first reason that forbids a release, or what the others ask of the person.
pub(super) fn may_release(holds: &[Hold]) -> Result<Permission, HoldReason> {
    let cannot_be_done = holds.iter().any(|hold| hold.reason == HoldReason::StatusX);
    let mut needs = Permission::Yes;
    for hold in holds {
        // "Cannot be measured" is told without a value, so none is missing.
        if hold.reason == HoldReason::AbsentValue && cannot_be_done {
            continue;
        }
        match permits(hold.reason, Act::Release) {
            Permission::No => return Err(hold.reason),
            permission @ (Permission::Yes | Permission::Verifier) => needs = needs.max(permission),
        }
    }
    Ok(needs)
}

/// Whether an act may be done about a result in this state, held like this, by this role.
pub fn allowed(state: ResultState, holds: &[Hold], act: Act, role: Role) -> bool {
    if !state.is_open() || role < Role::Technician {
        return false;
    }
    let is_for = || {
        holds
            .iter()
            .any(|hold| permits(hold.reason, act) == Permission::Yes)
    };
    match act {
        Act::SetAside | Act::Rerun => true,
        Act::Release if state == ResultState::Held => match may_release(holds) {
            Ok(Permission::Yes) => true,
            Ok(Permission::Verifier) => role >= Role::Verifier,
            Ok(Permission::No) | Err(_) => false,
        },
        Act::Release => false,
        Act::Link | Act::Map | Act::AcceptUnit => is_for(),
    }
}
