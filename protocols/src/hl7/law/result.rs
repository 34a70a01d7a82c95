//! LAB-29: what became of work order steps (OUL^R22) and its acknowledgement (ACK^R22).
//!
//! A result may come in several messages, come again after a lost acknowledgement, or be that of a
//! rerun: the manager refuses none of them (IHE LAW assertions LAW-006 and LAW-008), and tells them
//! apart by step, code and sub-id.

use std::collections::HashSet;

use super::{
    Transaction,
    envelope::{self, Part},
    notes,
    observation::{Class, Observation},
    tree::{Opener, Purpose, SpecimenGroup, Step, StepNumber, Tree},
};
use crate::{
    hl7::{
        Message, ParseError,
        ack::{AckCode, AckMode, ErrSegment, Outcome, Own},
        build::BuildError,
        header::Header,
        tables::{OrderStatus, ResultStatus},
    },
    wire::Note,
};

/// OUL^R22: statuses and results.
#[derive(Clone, Debug)]
pub struct StatusChange<'m, 'a> {
    /// MSH.
    pub header: Header<'a>,
    /// Specimens, steps and observations.
    pub tree: Tree<'m, 'a>,
}

/// ORC-1 of a status change.
pub const STATUS_CHANGED: &str = "SC";

impl<'m, 'a> StatusChange<'m, 'a> {
    /// Reads an OUL^R22. Nothing in it keeps it from being read.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] when MSH-9 names another message.
    pub fn read(message: &'m Message<'a>) -> Result<(Self, Vec<Note>), ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("OUL", "R22") {
            return Err(ParseError::WrongType);
        }
        let transaction = Transaction::StatusChange;
        let mut notes = envelope::check(header, transaction, Part::Request, &["OUL_R22"]);
        let tree = Tree::read(message, Opener::Obr, &mut notes);
        note_results(&tree, &mut notes);
        notes.sort_by_key(|note| note.at);
        Ok((Self { header, tree }, notes))
    }

    /// All observations of steps with their specimens and steps, in the order sent.
    pub fn results(
        &self,
    ) -> impl Iterator<Item = (&SpecimenGroup<'m, 'a>, &Step<'m, 'a>, Observation<'m, 'a>)> {
        self.tree.steps().flat_map(|(group, step)| {
            step.observations()
                .map(move |observation| (group, step, observation))
        })
    }
}

fn note_results(tree: &Tree<'_, '_>, notes: &mut Vec<Note>) {
    let mut keys = HashSet::new();
    for (at, group) in tree.specimens.iter().enumerate() {
        note_specimen(group, notes);
        for (nth, step) in group.steps.iter().enumerate() {
            note_step(step, notes);
            // A step that the analyzer made is known by its specimen and place alone.
            let number = match step.number() {
                StepNumber::Given(number) => (number.raw, 0, 0),
                StepNumber::Null | StepNumber::Missing | StepNumber::Conflict { .. } => {
                    ("", at, nth)
                }
            };
            for observation in step.observations() {
                let obx = &observation.obx;
                if !keys.insert((number, obx.code().raw(), obx.sub_id())) {
                    notes.push(notes::at_segment(notes::SAME_KEY, obx.segment));
                }
                note_observation(&observation, notes);
            }
        }
    }
}

fn note_specimen(group: &SpecimenGroup<'_, '_>, notes: &mut Vec<Note>) {
    let first = group.head.first().copied();
    let first = first.or(group
        .steps
        .first()
        .and_then(|step| step.segments.first().copied()));
    let Some(segment) = first else { return };
    let mut note = |note| notes.push(notes::at_segment(note, segment));
    if group.specimen_id().is_empty() && group.container_id().is_empty() {
        note(notes::NO_SPECIMEN);
    }
    if group.purpose() == Purpose::Control {
        if group.patient.is_some() {
            note(notes::CONTROL_WITH_PATIENT);
        }
        if group.control().is_none() {
            note(notes::CONTROL_UNNAMED);
        }
    }
}

fn note_step(step: &Step<'_, '_>, notes: &mut Vec<Note>) {
    let Some(segment) = step.obr.or(step.orc) else {
        return;
    };
    let number = match step.number() {
        StepNumber::Given(_) | StepNumber::Null => None,
        StepNumber::Missing => Some(notes::NO_NUMBER),
        StepNumber::Conflict { .. } => Some(notes::NUMBERS_DISAGREE),
    };
    let control = step.control();
    let change = (!matches!(control, "" | STATUS_CHANGED)).then_some(notes::NOT_A_CHANGE);
    let mut observations = step.observations();
    let status = match step.status() {
        Some(OrderStatus::Cancelled) => observations
            .any(|observation| observation.status() != Some(ResultStatus::Unobtainable))
            .then_some(notes::CANCELLED_WITH_RESULT),
        Some(OrderStatus::Completed) => observations
            .next()
            .is_none()
            .then_some(notes::COMPLETE_WITHOUT_RESULT),
        _ => None,
    };
    let found = [number, change, status].into_iter().flatten();
    notes.extend(found.map(|note| notes::at_segment(note, segment)));
}

fn note_observation(observation: &Observation<'_, '_>, notes: &mut Vec<Note>) {
    let segment = observation.obx.segment;
    let run = observation.run();
    if run.number.is_none() && !run.raw.is_empty() {
        notes.push(notes::at_field(notes::NO_RUN, segment, 4));
    }
    if matches!(observation.class(), Class::Other(_)) {
        notes.push(notes::at_field(notes::UNKNOWN_CLASS, segment, 3));
    }
    if observation.status().is_none() {
        notes.push(notes::at_field(notes::NO_STATUS, segment, 11));
    }
    if observation.obx.code_part(1).is_empty() {
        notes.push(notes::at_field(notes::NO_CODE, segment, 3));
    }
    let is_unobtainable = observation.status() == Some(ResultStatus::Unobtainable);
    if observation.obx.value().is_empty() && !is_unobtainable {
        notes.push(notes::at_field(notes::NO_VALUE, segment, 5));
    }
}

/// MSA-1 of the answer that a message asks for at once; `None` when it asks for none. The profile
/// asks for one application reply (MSH-15 `NE`, MSH-16 `AL`); another wish is followed, and where
/// it is for a commit acknowledgement first, [`AckMode::deferred`] says what comes after it.
pub fn due_code(header: &Header<'_>, outcome: Outcome) -> Option<AckCode> {
    AckMode::of(header).immediate(outcome)
}

/// Writes ACK^R22 with the code of [`due_code`]: what could not be stored has AR, never AE, so that
/// the analyzer sends it again. A refusal without `errors` has code 207; an AA has no ERR.
///
/// # Errors
/// See [`BuildError`].
pub fn build_ack(
    change: &StatusChange<'_, '_>,
    code: AckCode,
    errors: &[ErrSegment],
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let kind = ["ACK", "R22", "ACK"];
    let said = (code, errors);
    envelope::begin_reply(change.header, Transaction::StatusChange, kind, said, own).finish()
}
