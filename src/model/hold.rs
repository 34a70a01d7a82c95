//! Why a result waits for a person (or for its order).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One reason, with what a person needs to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The stable reason code.
    pub reason: HoldReason,
    /// Particulars without patient data: the unit that came, the unit that was expected, the flag.
    pub detail: String,
}

impl Hold {
    /// A hold with its particulars.
    pub fn new(reason: HoldReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

macro_rules! hold_reasons {
    ($($variant:ident = $code:literal, $doc:literal;)*) => {
        /// Reason codes: stable, shown to technicians in their language, counted in reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum HoldReason {
            $(#[doc = $doc] #[serde(rename = $code)] $variant,)*
        }

        impl HoldReason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Reads a stable code.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

hold_reasons! {
    UnknownSpecimen = "unknown-specimen", "No open order on this barcode; goes on by itself when one arrives in time.";
    AmbiguousSpecimen = "ambiguous-specimen", "The barcode is active for two patients.";
    NoSpecimen = "no-specimen", "The device sent no specimen id.";
    PatientMismatch = "patient-mismatch", "The device names another patient than the order.";
    OrderCancelled = "order-cancelled", "The order was cancelled before the result came.";
    UnknownTest = "unknown-test", "The profile and the site map this code to no test.";
    UnitDiffers = "unit-differs", "The unit is none of those that mean the catalogue's unit.";
    UnitMissing = "unit-missing", "A test with a unit came without one.";
    Undecodable = "undecodable", "Bytes do not decode in the line's character set.";
    StatusX = "status-x", "The device says the test cannot be done.";
    StatusNotFinal = "status-not-final", "Preliminary, partial, pending or doubtful by the device's own word.";
    AbsentValue = "absent-value", "The device sent its mark for no value, or nothing.";
    SuspectFlag = "suspect-flag", "The device flagged the value as suspect.";
    Replicate = "replicate", "The same test more than once in one message.";
    SecondResult = "second-result", "A second, different final result for one ordered test.";
    Incomplete = "incomplete", "The message ended before its end record.";
    Dilution = "dilution", "Diluted, and the profile does not say whether the value is already multiplied.";
    ClockYear = "clock-year", "The device's clock is in another year.";
    Transfusion = "transfusion", "Blood transfusion is never released by itself.";
    GroupDiffers = "group-differs", "The blood group is another than an earlier one of this patient.";
    GroupDiscrepant = "group-discrepant", "Cells and plasma, wells and group do not agree, or a well cannot be read.";
    GroupUnconfirmed = "group-unconfirmed", "No second specimen of this patient has said the same blood group yet.";
    GroupConflict = "group-conflict", "Two patients with different blood groups were merged.";
    GroupCorrected = "group-corrected", "The device corrects a blood group that its host already has.";
    AntibodyHistory = "antibody-history", "The patient has or had antibodies: only a full crossmatch counts.";
    ManualEdit = "manual-edit", "Somebody changed the reading by hand: a second person looks.";
    TubeType = "tube-type", "The tube that was ordered on is of a type that does not fit the test.";
    RackCount = "rack-count", "Tubes and positions of a rack do not count up.";
    RackIsSpecimen = "rack-is-specimen", "The specimen id is the id of a rack.";
    PositionReused = "position-reused", "The position was another tube's, and no tube was read there since.";
    Review = "review", "The site reviews every result of this host.";
    AmbiguousSender = "ambiguous-sender", "The message names another device than this line's.";
    TubeInTwoPlaces = "tube-in-two-places", "The automation line read the barcode at two places at once: there are two tubes.";
    TubeNotAtAnalyzer = "tube-not-at-analyzer", "The line knows the tube and never saw it at this analyzer; goes on by itself when the line tells that it was there.";
    ProvisionalOrder = "provisional-order", "People keyed the order in while the host was away; goes on by itself when the host orders it.";
    ParserFault = "parser-fault", "Reading this message failed twice; the bytes are kept.";
}

impl HoldReason {
    /// Whether the device's message alone gives this reason; the others come from orders, patients,
    /// the site and its people, and may be gone when these change.
    pub const fn is_of_message(self) -> bool {
        match self {
            Self::UnknownTest
            | Self::UnitDiffers
            | Self::UnitMissing
            | Self::Undecodable
            | Self::StatusX
            | Self::StatusNotFinal
            | Self::AbsentValue
            | Self::SuspectFlag
            | Self::Replicate
            | Self::Incomplete
            | Self::Dilution
            | Self::ManualEdit
            | Self::AmbiguousSender => true,
            Self::UnknownSpecimen
            | Self::AmbiguousSpecimen
            | Self::NoSpecimen
            | Self::PatientMismatch
            | Self::OrderCancelled
            | Self::SecondResult
            | Self::ClockYear
            | Self::Transfusion
            | Self::GroupDiffers
            | Self::GroupDiscrepant
            | Self::GroupUnconfirmed
            | Self::GroupConflict
            | Self::GroupCorrected
            | Self::AntibodyHistory
            | Self::TubeType
            | Self::RackCount
            | Self::RackIsSpecimen
            | Self::PositionReused
            | Self::Review
            | Self::TubeInTwoPlaces
            | Self::TubeNotAtAnalyzer
            | Self::ProvisionalOrder
            | Self::ParserFault => false,
        }
    }

    /// Whether it was known, when the result came, of the place where its tube stood: no order and
    /// no patient changes that later.
    pub const fn is_of_place(self) -> bool {
        matches!(
            self,
            Self::RackCount | Self::RackIsSpecimen | Self::PositionReused | Self::TubeInTwoPlaces
        )
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_code_reads_back() {
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::from_code(reason.code()), Some(*reason));
        }
    }
}
