//! What holds for every device of a protocol unless its profile says otherwise.

use std::collections::BTreeMap;

use super::Protocol;
use crate::model::ResultStatus;

/// Flags that hold nothing: outside the reference or critical limits is a finding, not a fault.
pub(super) const NORMAL_FLAGS: &[&str] = &["N", "L", "H", "LL", "HH", "<", ">", "A"];

/// Longest specimen id for a device whose profile does not say (HL7 SPM-2, ASTM leave it open).
pub(super) const ID_LENGTH_MAX: usize = 50;

/// LIS02-A2 table of result status, and HL7 table 0085. A code that is not here is not final.
pub(super) fn statuses(protocol: Protocol) -> BTreeMap<String, ResultStatus> {
    use ResultStatus as S;
    let table: &[(&str, S)] = match protocol {
        Protocol::Astm => &[
            ("", S::Final),
            ("F", S::Final),
            ("V", S::Final),
            ("C", S::Correction),
            ("R", S::Retransmission),
            ("Q", S::Retransmission),
            ("X", S::CannotBeDone),
        ],
        // No place says a status: what comes is final, its marks tell the rest.
        Protocol::BeckmanAu | Protocol::Dimension | Protocol::Bci | Protocol::SysmexLegacy => {
            &[("", S::Final)]
        }
        // `OBS.status_cd`: accepted; discarded and rejected ones wait. `SVC.reason_cd`: new, sent again,
        // edited.
        Protocol::Poct1a => &[
            ("", S::Final),
            ("A", S::Final),
            ("NEW", S::Final),
            ("RES", S::Retransmission),
            ("EDT", S::Correction),
        ],
        Protocol::Hl7 => &[
            ("F", S::Final),
            ("C", S::Correction),
            ("X", S::CannotBeDone),
        ],
    };
    table
        .iter()
        .map(|(code, status)| ((*code).to_owned(), *status))
        .collect()
}

/// What the wire itself tells of controls: rules, places of their name, and of flags that say that
/// it is in doubt. No profile can make a patient's result of a control.
pub(super) const fn controls(protocol: Protocol) -> [&'static [&'static str]; 3] {
    match protocol {
        // Nothing in a BCI message tells a control: its profile does, by the sample id.
        Protocol::Astm | Protocol::Hl7 | Protocol::Bci => [&[], &[], &[]],
        Protocol::SysmexLegacy => [&["kind = control"], &["sample_id"], &[]],
        Protocol::BeckmanAu => [&["kind = control"], &["control_no"], &[]],
        Protocol::Dimension => [&["kind = control"], &["sample_id"], &["doubt"]],
        Protocol::Poct1a => [
            &["kind = control"],
            &["control_lot", "control_name"],
            &["doubt"],
        ],
    }
}

/// Where the wire has lot and level of a control: places of each.
pub(super) const fn material(protocol: Protocol) -> [&'static [&'static str]; 2] {
    match protocol {
        Protocol::Poct1a => [&["control_lot"], &["control_level"]],
        // A Beckman AU numbers its controls; lots are entered at the analyzer and not sent.
        Protocol::Astm
        | Protocol::Hl7
        | Protocol::BeckmanAu
        | Protocol::Dimension
        | Protocol::Bci
        | Protocol::SysmexLegacy => [&[], &[]],
    }
}

/// What the wire itself tells of calibrations: rules, and places of their name.
pub(super) const fn calibrations(protocol: Protocol) -> [&'static [&'static str]; 2] {
    match protocol {
        Protocol::Astm
        | Protocol::Hl7
        | Protocol::BeckmanAu
        | Protocol::Dimension
        | Protocol::Bci
        | Protocol::SysmexLegacy => [&[], &[]],
        Protocol::Poct1a => [&["kind = calibration"], &["control_lot", "control_name"]],
    }
}

/// O.26 and OBR-25 where they make every result of the order less than final.
pub(super) fn report_status(code: &str) -> Option<ResultStatus> {
    match code {
        "P" | "I" | "S" => Some(ResultStatus::NotFinal),
        "X" => Some(ResultStatus::CannotBeDone),
        "C" => Some(ResultStatus::Correction),
        _ => None,
    }
}
