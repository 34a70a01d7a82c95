//! What a device message means, before it meets an order.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Hold, ImageSeen, PatientSeen, Value};

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Item {
    /// A measured value: patient, control or calibration.
    Observation(Box<Observation>),
    /// A picture beside the results of its tube.
    Image(Box<ImageSeen>),
    /// The device asks what to measure.
    Query(Query),
    /// A device's own news: an alarm, a reagent, an answer to an order of ours.
    Device(DeviceEvent),
    /// A part of the message that could not be read as anything; kept and shown.
    Incomplete(Incomplete),
}

/// One measured value as its device sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Told apart before anything is matched.
    pub kind: ObservationKind,
    /// The tube, where the device named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specimen: Option<SpecimenRead>,
    /// The patient as the device knows it.
    #[serde(default, skip_serializing_if = "PatientSeen::is_empty")]
    pub patient: PatientSeen,
    /// Test code as the profile finds it.
    pub code: String,
    /// What distinguishes results of one code (aspect, dilution, channel), in the device's words;
    /// part of the result's identity. HL7: OBX-4 first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qualifiers: Vec<String>,
    /// What the result is about besides its tube, such as the donor unit of a crossmatch: results of
    /// one test about different things are no versions of one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The catalogue's test id; `None` is held as `unknown-test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The whole value field exactly as sent, before unescaping. Bytes that the character set does
    /// not have stand as `\xNN`, and the observation carries an `undecodable` hold.
    pub text: String,
    /// The typed value.
    pub value: Value,
    /// Unit as sent (unescaped, trimmed of declared padding).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The unit in UCUM where the profile maps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ucum: Option<String>,
    /// Reference range as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub range: String,
    /// Flags as sent, one each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// What the status means.
    pub status: ResultStatus,
    /// The status as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_sent: String,
    /// Run or repeat number, where the device has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Dilution as sent, if other than none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dilution: Option<String>,
    /// Operator as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Instrument or module as sent; the line's id if it says nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instrument: String,
    /// When the measurement was completed, as the device's wall clock had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<WallTime>,
    /// Comments that belong to this result, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
    /// The control material or calibrator, where [`ObservationKind`] is not `Patient`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// The lot of that material, as far as the device says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// Its level (low, normal, high; 1, 2, 3), as far as the device says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// True when the profile says that this run supersedes an earlier one of the same test.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supersedes: bool,
    /// Where the result record or segment lies in the journalled message, in bytes.
    pub span: Range<usize>,
    /// Reasons to hold that the message alone gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Codes of tolerated deviations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whose value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservationKind {
    /// A patient's.
    Patient,
    /// Quality control.
    Control,
    /// Calibration or blank.
    Calibration,
}

/// The tube as the device read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecimenRead {
    /// The field as sent.
    pub sent: String,
    /// Trimmed of the padding that the profile declares, of nothing else.
    pub id: String,
    /// Rack or carrier, where sent.
    pub rack: String,
    /// Position in it, where sent.
    pub position: String,
}

/// What a result status means to Labwire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultStatus {
    /// Final by the device's word.
    Final,
    /// Preliminary, partial, pending, or of doubtful validity.
    NotFinal,
    /// Corrects an earlier result.
    Correction,
    /// Sent before, sent again.
    Retransmission,
    /// Cannot be done.
    CannotBeDone,
}

/// A device's wall time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallTime {
    /// As sent.
    pub sent: String,
    /// Microseconds since 1970 UTC, by the line's zone, if the text is a whole instant.
    pub utc: Option<i64>,
}

/// A host query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// What is asked about.
    pub subject: QuerySubject,
    /// Asking, or taking back.
    pub action: QueryAction,
    /// Fields that the answer must repeat, by the profile's names for them (control id, rack, …).
    pub echo: Vec<(String, String)>,
    /// Test codes asked for; empty means all.
    pub codes: Vec<String>,
}

/// What a query asks about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuerySubject {
    /// These tubes, in the order asked.
    Specimens(Vec<SpecimenRead>),
    /// A range of tube ids, inclusive, compared as the device wrote them.
    Range(String, String),
    /// Everything open.
    All,
}

/// Asking or taking back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryAction {
    /// Send orders.
    Ask,
    /// Send what was ordered since the device was told.
    AskMore,
    /// The last question is withdrawn.
    Cancel,
}

/// A device's own news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEvent {
    /// What kind: `comment`, `manufacturer`, `order-refused`, `acknowledgement`, …
    pub code: String,
    /// In the device's words.
    pub text: String,
    /// The tube it speaks of, if any.
    pub specimen: Option<String>,
    /// Where it lies in the journalled message.
    pub span: Range<usize>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incomplete {
    /// Why, in English.
    pub why: String,
    /// Where it lies in the journalled message.
    pub span: Range<usize>,
}
