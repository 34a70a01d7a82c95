//! Patients, as orders name them and as analyzers repeat them.

use serde::{Deserialize, Serialize};

use super::Private;

/// What a device said about the patient; compared with the order, never posted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientSeen {
    /// Identifiers from the fields that the profile lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<Private<String>>,
    /// Name as decoded text, in the device's own form.
    pub name: Private<String>,
    /// Birth date, `YYYYMMDD` if the device sent a whole one.
    pub birth: Private<String>,
    /// Sex, where sent.
    pub sex: Option<Sex>,
}

impl PatientSeen {
    /// Whether the device said nothing about the patient.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Administrative sex (HL7 table 0001, as far as analyzers use it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// `M`
    M,
    /// `F`
    F,
    /// `O`, `A`, `N`
    O,
}

impl Sex {
    /// Reads a sex code; unknown, empty and `U` are `None`, which matches everything.
    pub fn from_code(code: &str) -> Option<Self> {
        match code.trim() {
            "M" | "m" => Some(Self::M),
            "F" | "f" => Some(Self::F),
            "O" | "A" | "N" => Some(Self::O),
            _ => None,
        }
    }
}
