//! The book of the simulated HIS: every message received, every value in it, and what is wrong
//! with them.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use crate::text::{component, field, segments, unescape};

/// Everything the HIS received and took.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    messages: BTreeMap<String, Message>,
    observations: Vec<Observation>,
    conflicts: Vec<String>,
    unreadable: u64,
    placers: BTreeMap<String, Placed>,
}

/// One message, by its control id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first body.
    pub bytes: Bytes,
    /// How often it came.
    pub times: u32,
    /// Whether its results count.
    pub is_taken: bool,
}

/// What the HIS knows of an item it ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    patient: String,
    barcode: String,
}

/// One OBX that the HIS took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// MSH-10.
    pub control_id: String,
    /// PID-3.1.
    pub patient: String,
    /// SPM-2.1, or the tube that belongs to the placer number where there is no SPM.
    pub barcode: String,
    /// OBR-2.1.
    pub placer: String,
    /// OBR-3.1.
    pub filler: String,
    /// OBR-25.
    pub report: String,
    /// OBX-3.1.
    pub code: String,
    /// OBX-3.4.
    pub alternate: String,
    /// OBX-5, unescaped; of a coded value the text that was sent, which stands beside the code.
    pub text: String,
    /// OBX-6.1.
    pub unit: String,
    /// OBX-8.
    pub flags: String,
    /// OBX-11.
    pub status: String,
}

/// A result that the HIS may or must have received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The patient it must be filed under.
    pub patient: String,
    /// The tube.
    pub barcode: String,
    /// The HIS's code.
    pub code: String,
    /// The value.
    pub text: String,
    /// Whether it has to be there; otherwise it only may.
    pub is_required: bool,
}

/// What the book says against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discrepancy {
    /// A required result never came.
    Missing(Expected),
    /// Values came for this tube and code, but not this one.
    OtherValue(Expected, Observation),
    /// It was filed under another patient.
    OtherPatient(Expected, Observation),
    /// One final value came in two messages.
    Twice(Observation, Observation),
    /// A value that nobody expected.
    Unexpected(Observation),
    /// One control id with two bodies.
    TwoBodies(String),
    /// Something that is no message.
    Unreadable(u64),
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(e) => write!(f, "missing: {} {} = {}", e.barcode, e.code, e.text),
            Self::OtherValue(e, o) => write!(
                f,
                "other value: {} {} is {} in {}, not {}",
                e.barcode, e.code, o.text, o.control_id, e.text
            ),
            Self::OtherPatient(e, o) => write!(
                f,
                "other patient: {} {} was filed under {} in {}, not {}",
                e.barcode, e.code, o.patient, o.control_id, e.patient
            ),
            Self::Twice(a, b) => write!(
                f,
                "twice: {} {} = {} in {} and {}",
                a.barcode, a.code, a.text, a.control_id, b.control_id
            ),
            Self::Unexpected(o) => write!(
                f,
                "unexpected: {} {} = {} in {}",
                o.barcode, o.code, o.text, o.control_id
            ),
            Self::TwoBodies(control) => write!(f, "two bodies under the control id {control}"),
            Self::Unreadable(count) => write!(f, "{count} messages could not be read"),
        }
    }
}

impl Ledger {
    /// Notes which patient and tube an ordered item belongs to.
    pub fn place(&mut self, placer: &str, patient: &str, barcode: &str) {
        let placed = Placed {
            patient: patient.to_owned(),
            barcode: barcode.to_owned(),
        };
        self.placers.insert(placer.to_owned(), placed);
    }

    /// Notes that a message arrived; says for the how-many-th time.
    pub fn receive(&mut self, control: &str, bytes: &Bytes) -> u32 {
        let message = self
            .messages
            .entry(control.to_owned())
            .or_insert_with(|| Message {
                bytes: bytes.clone(),
                times: 0,
                is_taken: false,
            });
        message.times = message.times.saturating_add(1);
        let times = message.times;
        if message.bytes != *bytes {
            self.conflicts.push(control.to_owned());
        }
        times
    }

    /// Notes that something arrived that is no message.
    pub fn receive_unreadable(&mut self) {
        self.unreadable = self.unreadable.saturating_add(1);
    }

    /// Takes a body that is not HL7: kept as it is, nothing in it is read.
    pub fn keep(&mut self, control: &str) {
        if let Some(message) = self.messages.get_mut(control) {
            message.is_taken = true;
        }
    }

    /// Takes the results of a message that was received; a second time changes nothing.
    pub fn take(&mut self, control: &str) {
        let Some(message) = self
            .messages
            .get_mut(control)
            .filter(|message| !message.is_taken)
        else {
            return;
        };
        message.is_taken = true;
        match std::str::from_utf8(&message.bytes) {
            Ok(text) => {
                let read = read(text, control, &self.placers);
                self.observations.extend(read);
            }
            Err(_) => self.receive_unreadable(),
        }
    }

    /// The messages by control id.
    pub fn messages(&self) -> &BTreeMap<String, Message> {
        &self.messages
    }

    /// What was taken, in the order taken.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// The control ids that came with two bodies.
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }

    /// Compares the book with what was to come.
    pub fn verify(&self, expected: &[Expected]) -> Vec<Discrepancy> {
        let mut found: Vec<_> = self
            .conflicts
            .iter()
            .cloned()
            .map(Discrepancy::TwoBodies)
            .collect();
        if self.unreadable > 0 {
            found.push(Discrepancy::Unreadable(self.unreadable));
        }
        let mut by_key: BTreeMap<(&str, &str), Vec<&Observation>> = BTreeMap::new();
        for observation in &self.observations {
            let barcode = observation.barcode.as_str();
            by_key
                .entry((barcode, &observation.code))
                .or_default()
                .push(observation);
            if !observation.alternate.is_empty() && observation.alternate != observation.code {
                by_key
                    .entry((barcode, &observation.alternate))
                    .or_default()
                    .push(observation);
            }
        }
        for one in expected {
            let key = (one.barcode.as_str(), one.code.as_str());
            let came = by_key.get(&key).map_or(&[][..], Vec::as_slice);
            found.extend(judge(one, came));
        }
        found.extend(self.unexpected(expected));
        found.extend(self.twice());
        found
    }

    fn unexpected(&self, expected: &[Expected]) -> Vec<Discrepancy> {
        let known: std::collections::BTreeSet<_> = expected
            .iter()
            .map(|one| (one.barcode.as_str(), one.code.as_str(), one.text.as_str()))
            .collect();
        let is_known = |observation: &Observation| {
            let (barcode, text) = (observation.barcode.as_str(), observation.text.as_str());
            known.contains(&(barcode, &observation.code, text))
                || known.contains(&(barcode, &observation.alternate, text))
        };
        let unknown = self
            .observations
            .iter()
            .filter(|observation| !is_known(observation));
        unknown.cloned().map(Discrepancy::Unexpected).collect()
    }

    fn twice(&self) -> Vec<Discrepancy> {
        let mut seen: BTreeMap<(&str, &str, &str, &str), &Observation> = BTreeMap::new();
        let mut found = Vec::new();
        for observation in self.observations.iter().filter(|o| o.status == "F") {
            let key = (
                observation.placer.as_str(),
                observation.barcode.as_str(),
                observation.code.as_str(),
                observation.text.as_str(),
            );
            if let Some(first) = seen.get(&key) {
                found.push(Discrepancy::Twice((*first).clone(), observation.clone()));
            } else {
                seen.insert(key, observation);
            }
        }
        found
    }
}

fn judge(expected: &Expected, came: &[&Observation]) -> Option<Discrepancy> {
    let same = came
        .iter()
        .find(|observation| observation.text == expected.text);
    match (same, came.last()) {
        (Some(observation), _) if observation.patient != expected.patient => Some(
            Discrepancy::OtherPatient(expected.clone(), (*observation).clone()),
        ),
        (Some(_), _) => None,
        (None, _) if !expected.is_required => None,
        (None, Some(other)) => Some(Discrepancy::OtherValue(expected.clone(), (*other).clone())),
        (None, None) => Some(Discrepancy::Missing(expected.clone())),
    }
}

/// The observations of an ORU^R01, in the order sent.
fn read(text: &str, control: &str, placers: &BTreeMap<String, Placed>) -> Vec<Observation> {
    let mut all: Vec<Observation> = Vec::new();
    let mut patient = String::new();
    let mut obr = "";
    // The first observation of the present order group: its SPM comes after them.
    let mut group = 0;
    for segment in segments(text) {
        match segment.split('|').next().unwrap_or("") {
            "PID" => patient = unescape(component(field(segment, 3), 1)),
            "OBR" => {
                obr = segment;
                group = all.len();
            }
            "OBX" => {
                let mut one = observation(segment, obr, control);
                one.patient.clone_from(&patient);
                if let Some(placed) = placers.get(&one.placer) {
                    one.barcode.clone_from(&placed.barcode);
                }
                all.push(one);
            }
            "SPM" => {
                let id = field(segment, 2).split(['^', '&']).next().unwrap_or("");
                for one in all.iter_mut().skip(group) {
                    one.barcode = unescape(id);
                }
            }
            _ => {}
        }
    }
    all
}

fn observation(obx: &str, obr: &str, control: &str) -> Observation {
    let part = |segment: &str, n| unescape(component(field(segment, n), 1));
    Observation {
        control_id: control.to_owned(),
        patient: String::new(),
        barcode: String::new(),
        placer: part(obr, 2),
        filler: part(obr, 3),
        report: field(obr, 25).to_owned(),
        code: part(obx, 3),
        alternate: unescape(component(field(obx, 3), 4)),
        text: observed(obx),
        unit: part(obx, 6),
        flags: field(obx, 8).to_owned(),
        status: field(obx, 11).to_owned(),
    }
}

/// A coded value (CE, CWE) carries the text behind it in its second component; what ends in empty
/// components at the instrument does so here.
fn observed(obx: &str) -> String {
    match field(obx, 2) {
        "CE" | "CWE" => unescape(component(field(obx, 5), 2))
            .trim_end_matches('^')
            .to_owned(),
        _ => unescape(field(obx, 5)),
    }
}
