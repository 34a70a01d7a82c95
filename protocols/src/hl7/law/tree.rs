//! A message of this profile cut into patient, specimen and work order step, losing nothing.
//!
//! Strict grammars fail on what analyzers send, so segments are taken by position. The cut is into
//! slices of the message, one after the other without gaps, so that a segment that nobody expected
//! is still in one of them.
//!
//! An order message has ORC before OBR, a result message OBR before ORC; both orders are read, and
//! a segment that could belong to two steps belongs to the one whose turn it is.

use std::borrow::Cow;

use super::{
    notes,
    observation::{Observation, observations, repeats, runs},
};
use crate::{
    hl7::{
        Field, Message, Segment,
        material::{Container, Specimen, Substance, SubstanceUse, TestDetail},
        tables::{OrderStatus, Priority, ResultStatus, SpecimenRole, SubstanceType},
        types::{Coded, EntityId, PatientBlock},
        views::{beyond, codes, named},
    },
    wire::Note,
};

/// A message, cut. The slices of its parts, in their order, are the message without its MSH.
#[derive(Clone, Debug)]
pub struct Tree<'m, 'a> {
    /// What stands before the first patient or specimen: MSA, ERR, SFT, NTE.
    pub preface: &'m [Segment<'a>],
    /// Usually one patient, or none (controls).
    pub patients: Vec<PatientGroup<'m, 'a>>,
    /// The specimens, in the order sent.
    pub specimens: Vec<SpecimenGroup<'m, 'a>>,
}

/// PID and what follows it up to the first specimen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatientGroup<'m, 'a> {
    /// PID first, then PD1, PV1 and so on.
    pub segments: &'m [Segment<'a>],
}

/// A specimen with its containers and its work order steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecimenGroup<'m, 'a> {
    /// The patient it is of, as an index into [`Tree::patients`].
    pub patient: Option<usize>,
    /// Its SPM; also where a second container of it opens a group of its own.
    pub specimen: Option<Specimen<'a>>,
    /// SPM, SAC, INV and the observations about the specimen itself.
    pub head: &'m [Segment<'a>],
    /// The work order steps.
    pub steps: Vec<Step<'m, 'a>>,
}

/// A work order step: OBR, ORC and what belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'m, 'a> {
    /// OBR; absent in a reply, in "no work", and for observations that stand alone.
    pub obr: Option<Segment<'a>>,
    /// ORC.
    pub orc: Option<Segment<'a>>,
    /// All its segments.
    pub segments: &'m [Segment<'a>],
}

/// The number of a work order step, from OBR-2 and ORC-2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepNumber<'a> {
    /// The manager's number.
    Given(EntityId<'a>),
    /// `""`: the analyzer made the step itself; it is matched by specimen and code.
    Null,
    /// Nothing at all.
    Missing,
    /// OBR-2 and ORC-2 say different things: which step it is cannot be known.
    Conflict {
        /// OBR-2 as sent.
        obr: &'a str,
        /// ORC-2 as sent.
        orc: &'a str,
    },
}

/// Where a step came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The manager ordered it.
    Ordered,
    /// The analyzer made it: entered there by hand.
    Analyzer,
    /// The analyzer made it because of another result (OBR-11 `G`).
    Reflex,
}

/// Whose a specimen is (SPM-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A patient's: `P`, `G`, `L`, or not said, which the table takes for `P`.
    Patient,
    /// Nobody's: a control, a calibrator, a proficiency test, a replicate.
    Control,
    /// Another code. What is not known to be a patient's must not become a patient's result.
    Unclear,
}

/// Which of ORC and OBR opens a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    Orc,
    Obr,
}

/// OBR-11 of a reflex test (table 0065).
pub const REFLEX_ACTION: &str = "G";
/// "There is none" (HL7 v2.5.1 2.5.3).
const NULL: &str = "\"\"";

impl<'m, 'a> Tree<'m, 'a> {
    pub(super) fn read(message: &'m Message<'a>, opener: Opener, notes: &mut Vec<Note>) -> Self {
        let mut reader = Reader::new(message.segments(), opener);
        for (index, segment) in message.segments().iter().enumerate().skip(1) {
            reader.on_segment(index, *segment);
        }
        reader.close(message.segments().len());
        notes.append(&mut reader.notes);
        let tree = Self {
            preface: reader.preface,
            patients: reader.patients,
            specimens: reader.specimens,
        };
        tree.note_segments(notes);
        tree
    }

    /// All segments but MSH, in the order of the message.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> {
        let mut all: Vec<&'m [Segment<'a>]> = vec![self.preface];
        all.extend(self.patients.iter().map(|patient| patient.segments));
        for specimen in &self.specimens {
            all.push(specimen.head);
            all.extend(specimen.steps.iter().map(|step| step.segments));
        }
        all.sort_by_key(|slice| slice.first().map(Segment::index));
        all.into_iter().flatten().copied()
    }

    /// All steps with their specimens, in the order sent.
    pub fn steps(&self) -> impl Iterator<Item = (&SpecimenGroup<'m, 'a>, &Step<'m, 'a>)> {
        let groups = self.specimens.iter();
        groups.flat_map(|group| group.steps.iter().map(move |step| (group, step)))
    }

    fn note_segments(&self, notes: &mut Vec<Note>) {
        note_slice(self.preface, &PREFACE, notes);
        for patient in &self.patients {
            note_slice(patient.segments, &PATIENT, notes);
        }
        for specimen in &self.specimens {
            note_slice(specimen.head, &HEAD, notes);
            for step in &specimen.steps {
                note_slice(step.segments, &STEP, notes);
            }
        }
    }
}

impl<'a> PatientGroup<'_, 'a> {
    /// PID.
    pub fn patient(&self) -> Option<PatientBlock<'a>> {
        self.segments.first().copied().map(PatientBlock::read)
    }
}

impl<'m, 'a> SpecimenGroup<'m, 'a> {
    /// SPM-2.1.1: the number that the manager gave.
    pub fn specimen_id(&self) -> Cow<'a, str> {
        let id = self
            .specimen
            .map(|specimen| specimen.id().subcomponent(1, 1).text());
        id.unwrap_or_default()
    }

    /// SAC-3.1 of its first container: the barcode.
    pub fn container_id(&self) -> Cow<'a, str> {
        let id = self
            .containers()
            .next()
            .map(|container| container.id().component(1).text());
        id.unwrap_or_default()
    }

    /// SPM-11; `None` says patient, as the table does.
    pub fn role(&self) -> Option<SpecimenRole<'a>> {
        self.specimen.and_then(|specimen| specimen.role().next())
    }

    /// Whose it is, by its role.
    pub fn purpose(&self) -> Purpose {
        match self.role() {
            None | Some(SpecimenRole::Patient | SpecimenRole::Group | SpecimenRole::Pool) => {
                Purpose::Patient
            }
            Some(
                SpecimenRole::Control
                | SpecimenRole::Calibrator
                | SpecimenRole::VerifyingCalibrator
                | SpecimenRole::ElectronicControl
                | SpecimenRole::Blind
                | SpecimenRole::FillerProficiency
                | SpecimenRole::OperatorProficiency
                | SpecimenRole::Replicate,
            ) => Purpose::Control,
            Some(SpecimenRole::Unknown | SpecimenRole::Other(_)) => Purpose::Unclear,
        }
    }

    /// Its containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'m, 'a> {
        named(self.head, Container::NAME).map(Container::new)
    }

    /// INV below it: what a control is made of.
    pub fn materials(&self) -> impl Iterator<Item = Substance<'a>> + use<'m, 'a> {
        named(self.head, Substance::NAME).map(Substance::new)
    }

    /// The INV that says which control it is (INV-3 `CO`), with lot, expiry and target.
    pub fn control(&self) -> Option<Substance<'a>> {
        self.materials()
            .find(|material| material.kind() == Some(SubstanceType::Control))
    }

    /// Observations about the specimen, not of a step.
    pub fn observations(&self) -> impl Iterator<Item = Observation<'m, 'a>> + use<'m, 'a> {
        observations(self.head, true)
    }
}

impl<'m, 'a> Step<'m, 'a> {
    /// Its number.
    pub fn number(&self) -> StepNumber<'a> {
        let [obr, orc] = [self.obr, self.orc].map(|segment| segment.map(|found| found.field(2)));
        let raw = |field: Option<Field<'a>>| field.map_or("", |field| field.raw());
        let conflict = || StepNumber::Conflict {
            obr: raw(obr),
            orc: raw(orc),
        };
        match [raw(obr), raw(orc)] {
            ["", ""] => StepNumber::Missing,
            ["" | NULL, "" | NULL] => StepNumber::Null,
            [NULL, _] | [_, NULL] => conflict(),
            [_, ""] | ["", _] => {
                let field = obr.filter(|field| !field.is_empty()).or(orc);
                field.map_or(StepNumber::Missing, |field| given(EntityId::read(field)))
            }
            [..] => match [obr, orc].map(|field| field.map(EntityId::read)) {
                [Some(obr), Some(orc)] if are_same(&obr, &orc) => given(obr),
                _ => conflict(),
            },
        }
    }

    /// Where it came from.
    pub fn origin(&self) -> Origin {
        let action = self.obr.map_or("", |obr| obr.field(11).component(1).raw());
        match (self.number(), action) {
            (_, REFLEX_ACTION) => Origin::Reflex,
            (StepNumber::Null, _) => Origin::Analyzer,
            _ => Origin::Ordered,
        }
    }

    /// ORC-8, every repeat as sent: the steps that it follows from.
    pub fn parents(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.orc.into_iter().flat_map(|orc| repeats(orc, 8))
    }

    /// ORC-1 as sent: `NW`, `CA`, `DC`, `OK`, `UA`, `CR`, `UC`, `SC`.
    pub fn control(&self) -> &'a str {
        self.orc.map_or("", |orc| orc.field(1).raw())
    }

    /// ORC-5; `None` when it is empty.
    pub fn status(&self) -> Option<OrderStatus<'a>> {
        let code = self.orc.map_or("", |orc| orc.field(5).raw());
        (!code.is_empty()).then(|| OrderStatus::read(code))
    }

    /// ORC-9 as sent.
    pub fn transaction_time(&self) -> &'a str {
        self.orc.map_or("", |orc| orc.field(9).raw())
    }

    /// OBR-4.
    pub fn service(&self) -> Option<Coded<'a>> {
        self.obr.map(|obr| Coded::read(obr.field(4).repeat(1)))
    }

    /// TQ1-9 of its first TQ1.
    pub fn priority(&self) -> Option<Priority<'a>> {
        let timing = named(self.segments, "TQ1").next()?;
        codes(timing.field(9)).next().map(Priority::read)
    }

    /// TCD of the step itself, as an order has it.
    pub fn details(&self) -> impl Iterator<Item = TestDetail<'a>> + use<'m, 'a> {
        named(self.own(), TestDetail::NAME).map(TestDetail::new)
    }

    /// NTE of the step itself.
    pub fn comments(&self) -> impl Iterator<Item = Segment<'a>> + use<'m, 'a> {
        named(self.own(), "NTE")
    }

    /// INV of the step itself.
    pub fn substances(&self) -> impl Iterator<Item = Substance<'a>> + use<'m, 'a> {
        named(self.own(), Substance::NAME).map(Substance::new)
    }

    /// Its observations, in the order sent.
    pub fn observations(&self) -> impl Iterator<Item = Observation<'m, 'a>> + use<'m, 'a> {
        observations(self.segments, false)
    }

    /// The runs that its observations name, in order; more than one when it was rerun.
    pub fn runs(&self) -> impl Iterator<Item = u32> {
        runs(self.observations()).into_iter()
    }

    /// Its segments before the first observation.
    fn own(&self) -> &'m [Segment<'a>] {
        let first = self
            .segments
            .iter()
            .position(|segment| segment.name() == "OBX");
        let end = first.unwrap_or(self.segments.len());
        self.segments.get(..end).unwrap_or_default()
    }
}

/// A number that says something; one of separators alone says nothing.
fn given(number: EntityId<'_>) -> StepNumber<'_> {
    if number.is_empty() {
        StepNumber::Missing
    } else {
        StepNumber::Given(number)
    }
}

/// Two numbers are one when their ids are, and their namespaces where both have one.
fn are_same(a: &EntityId<'_>, b: &EntityId<'_>) -> bool {
    let both_named = !a.namespace.is_empty() && !b.namespace.is_empty();
    a.id == b.id && (!both_named || a.namespace == b.namespace)
}

/// The part of the message that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Preface,
    Patient,
    Head,
    Step,
}

#[derive(Debug)]
struct Reader<'m, 'a> {
    segments: &'m [Segment<'a>],
    opener: Opener,
    place: Place,
    /// Where the present part began.
    start: usize,
    preface: &'m [Segment<'a>],
    patients: Vec<PatientGroup<'m, 'a>>,
    specimens: Vec<SpecimenGroup<'m, 'a>>,
    /// Whether the last of `specimens` is of the last of `patients`.
    has_group: bool,
    obr: Option<Segment<'a>>,
    orc: Option<Segment<'a>>,
    has_obx: bool,
    notes: Vec<Note>,
}

impl<'m, 'a> Reader<'m, 'a> {
    fn new(segments: &'m [Segment<'a>], opener: Opener) -> Self {
        Self {
            segments,
            opener,
            place: Place::Preface,
            start: 1,
            preface: &[],
            patients: Vec::new(),
            specimens: Vec::new(),
            has_group: false,
            obr: None,
            orc: None,
            has_obx: false,
            notes: Vec::new(),
        }
    }

    fn on_segment(&mut self, index: usize, segment: Segment<'a>) {
        match (segment.name(), self.place) {
            ("PID", _) => {
                if !self.patients.is_empty() || self.place == Place::Patient {
                    let note = notes::at_segment(notes::SECOND_PATIENT, segment);
                    self.notes.push(note);
                }
                self.open(Place::Patient, index);
                self.has_group = false;
            }
            ("SPM", _) => {
                self.open(Place::Head, index);
                self.begin_group(Some(Specimen::new(segment)));
            }
            ("SAC", Place::Preface | Place::Patient) => {
                self.open(Place::Head, index);
                self.begin_group(None);
            }
            ("SAC", Place::Step) => self.on_late_container(index, segment),
            ("OBR", _) => self.on_obr(index, segment),
            ("ORC", _) => self.on_orc(index, segment),
            ("OBX", Place::Preface | Place::Patient) => {
                self.open_step(index);
                self.has_obx = true;
                let note = notes::at_segment(notes::NO_STEP, segment);
                self.notes.push(note);
            }
            ("OBX", Place::Step) => self.has_obx = true,
            _ => {}
        }
    }

    /// Another container after a step: its steps are of the same specimen and of that container.
    fn on_late_container(&mut self, index: usize, segment: Segment<'a>) {
        let specimen = self.specimens.last().and_then(|group| group.specimen);
        self.open(Place::Head, index);
        self.begin_group(specimen);
        let note = notes::at_segment(notes::LATE_CONTAINER, segment);
        self.notes.push(note);
    }

    fn on_obr(&mut self, index: usize, segment: Segment<'a>) {
        let is_expected =
            self.place == Place::Step && self.orc.is_some() && self.obr.is_none() && !self.has_obx;
        if !is_expected {
            // In an order message a second OBR below one ORC is a step of its own below the same.
            let shared = (self.opener == Opener::Orc && self.place == Place::Step)
                .then_some(self.orc)
                .flatten();
            self.open_step(index);
            self.orc = shared;
        }
        self.obr = Some(segment);
    }

    fn on_orc(&mut self, index: usize, segment: Segment<'a>) {
        let is_expected = self.opener == Opener::Obr
            && self.place == Place::Step
            && self.obr.is_some()
            && self.orc.is_none()
            && !self.has_obx;
        if !is_expected {
            self.open_step(index);
        }
        self.orc = Some(segment);
    }

    fn open_step(&mut self, index: usize) {
        self.open(Place::Step, index);
        if !self.has_group {
            self.begin_group(None);
        }
    }

    fn open(&mut self, place: Place, index: usize) {
        self.close(index);
        self.place = place;
        self.start = index;
    }

    fn begin_group(&mut self, specimen: Option<Specimen<'a>>) {
        self.has_group = true;
        self.specimens.push(SpecimenGroup {
            patient: self.patients.len().checked_sub(1),
            specimen,
            head: &[],
            steps: Vec::new(),
        });
    }

    /// Ends the present part before the segment at `end`.
    fn close(&mut self, end: usize) {
        let segments = self.segments.get(self.start..end).unwrap_or_default();
        let (obr, orc) = (self.obr.take(), self.orc.take());
        self.has_obx = false;
        match self.place {
            Place::Preface => self.preface = segments,
            Place::Patient => self.patients.push(PatientGroup { segments }),
            Place::Head => {
                if let Some(group) = self.specimens.last_mut() {
                    group.head = segments;
                }
            }
            Place::Step => {
                if let Some(group) = self.specimens.last_mut() {
                    group.steps.push(Step { obr, orc, segments });
                }
            }
        }
    }
}

/// What may stand before the first patient or specimen.
const PREFACE: [&str; 5] = ["SFT", "UAC", "NTE", "MSA", "ERR"];
/// What may stand below PID.
const PATIENT: [&str; 13] = [
    "PID", "PD1", "NTE", "NK1", "PV1", "PV2", "AL1", "ARV", "PRT", "IN1", "IN2", "IN3", "GT1",
];
/// What may stand below SPM.
const HEAD: [&str; 8] = ["SPM", "OBX", "SAC", "INV", "NTE", "SID", "PRT", "DSC"];
/// What may stand below OBR or ORC.
const STEP: [&str; 16] = [
    "OBR", "ORC", "NTE", "TQ1", "TQ2", "TCD", "OBX", "INV", "SID", "CTI", "DSC", "DG1", "CTD",
    "FT1", "BLG", "PRT",
];

/// The last field that any version up to 2.9 has, of segments without a view of their own.
const WIDTHS: [(&str, usize); 15] = [
    ("SFT", 6),
    ("UAC", 2),
    ("NTE", 9),
    ("MSA", 8),
    ("ERR", 12),
    ("PID", 40),
    ("PD1", 23),
    ("PV1", 54),
    ("PV2", 50),
    ("ORC", 38),
    ("OBR", 55),
    ("OBX", 33),
    ("TQ1", 14),
    ("TQ2", 10),
    ("DSC", 2),
];

fn note_slice(segments: &[Segment<'_>], allowed: &[&str], notes: &mut Vec<Note>) {
    for segment in segments {
        note_name(*segment, allowed, notes);
        note_fields(*segment, notes);
    }
}

fn note_name(segment: Segment<'_>, allowed: &[&str], notes: &mut Vec<Note>) {
    let name = segment.name();
    let known = [PREFACE.as_slice(), &PATIENT, &HEAD, &STEP];
    let note = if segment.is_bad() {
        notes::BAD_NAME
    } else if allowed.contains(&name) {
        return;
    } else if known.iter().any(|names| names.contains(&name)) {
        notes::MISPLACED
    } else {
        notes::UNKNOWN_SEGMENT
    };
    notes.push(notes::at_segment(note, segment));
}

fn note_fields(segment: Segment<'_>, notes: &mut Vec<Note>) {
    let faults = match segment.name() {
        Specimen::NAME => Specimen::new(segment).faults(),
        Container::NAME => Container::new(segment).faults(),
        Substance::NAME => Substance::new(segment).faults(),
        TestDetail::NAME => TestDetail::new(segment).faults(),
        SubstanceUse::NAME => SubstanceUse::new(segment).faults(),
        _ => Vec::new(),
    };
    notes::push_faults(segment, faults, notes);
    let width = WIDTHS.iter().find(|(name, _)| *name == segment.name());
    if let Some(field) = width.and_then(|(_, last)| beyond(segment, *last)) {
        notes.push(notes::at_field(notes::BEYOND, segment, field));
    }
    let has_unknown = |n: usize, is_known: fn(&str) -> bool| {
        let unknown = codes(segment.field(n)).any(|code| !is_known(code));
        unknown.then(|| notes::at_field(notes::UNKNOWN_CODE, segment, n))
    };
    let unknown = match segment.name() {
        "ORC" => has_unknown(5, |code| OrderStatus::read(code).is_known()),
        "OBX" => has_unknown(11, |code| ResultStatus::read(code).is_known()),
        "TQ1" => has_unknown(9, |code| Priority::read(code).is_known()),
        _ => None,
    };
    notes.extend(unknown);
    if segment.name() == "DSC" && !segment.field(1).is_empty() {
        notes.push(notes::at_segment(notes::CONTINUED, segment));
    }
}
