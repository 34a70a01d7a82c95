//! What a host's message asks of the order book, whatever its wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Priority, Private};

/// Fields of a segment by number, as sent, in the standard delimiters `^~\&`.
pub type Fields = BTreeMap<u16, String>;

/// A patient as a host names one (PID).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientEntry {
    /// PID-3 repeats; the first decides who it is.
    pub identifiers: Vec<Identifier>,
    /// The PID fields as sent, for posting them again exactly.
    pub fields: Private<Fields>,
    /// `YYYYMMDD`, or empty.
    pub birth: Private<String>,
    /// `M`, `F`, `O` or empty.
    pub sex: String,
}

/// One repeat of PID-3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    /// PID-3.1.
    pub id: Private<String>,
    /// PID-3.4 as sent.
    pub authority: String,
    /// PID-3.5.
    pub kind: String,
}

/// One tube as a host names it (SPM, or the field that the site says).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecimenEntry {
    /// The barcode, exactly.
    pub barcode: String,
    /// The SPM fields as sent, for posting them again.
    pub fields: Fields,
    /// Collection time in microseconds UTC, if sent whole.
    pub collected_at: Option<i64>,
}

/// What is asked of one ordered item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// `NW`: a new item, also an addition to a known tube.
    New,
    /// `CA`, `DC`: not wanted any more.
    Cancel,
    /// `XO`: other content under the same number.
    Change,
}

/// One ordered item (ORC with its OBR).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEntry {
    /// What is asked.
    pub action: Action,
    /// Placer order number, first component.
    pub placer: String,
    /// Service code as ordered (OBR-4.1, or its alternate where the first is empty).
    pub service: String,
    /// The catalogue tests that this service means, in the catalogue's order.
    pub tests: Vec<String>,
    /// The tube. A cancel may name none.
    pub specimen: Option<SpecimenEntry>,
    /// How urgent.
    pub priority: Priority,
    /// ORC fields as sent, for replies and results.
    pub orc: Fields,
    /// OBR fields as sent, for replies and results.
    pub obr: Fields,
}

impl OrderEntry {
    /// What makes a repeated NW the same order: everything but the ways of saying it.
    pub(super) fn content(&self) -> Content {
        Content {
            service_field: self.obr.get(&4).cloned().unwrap_or_default(),
            barcode: self
                .specimen
                .as_ref()
                .map(|tube| tube.barcode.clone())
                .unwrap_or_default(),
            tests: self.tests.clone(),
            priority: self.priority,
            orc: self.orc.clone(),
            obr: self.obr.clone(),
        }
    }
}

/// An item's content as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) service_field: String,
    pub(super) barcode: String,
    pub(super) tests: Vec<String>,
    pub(super) priority: Priority,
    pub(super) orc: Fields,
    pub(super) obr: Fields,
}

impl Content {
    /// Whether a second NW says the same: service, tube, tests and urgency. Times of the request
    /// may differ between two tries of one order.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.service_field == other.service_field
            && self.barcode == other.barcode
            && self.tests == other.tests
            && self.priority == other.priority
    }
}
