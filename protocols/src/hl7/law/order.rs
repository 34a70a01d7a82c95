//! LAB-28: work order steps for an analyzer (OML^O33), cancels of them, and "there is no work".
//!
//! A change is a cancel and a step with a new number; a rerun that the manager wants is a step with
//! a new number, too: an analyzer refuses a number that it has seen (IHE LAW assertion LAB28-006).
//! The answer to a query for one specimen has that specimen only (LAB28-007): pass
//! [`Query::container`] as its container.

use std::collections::HashSet;

use super::{
    Query, Transaction, WriteError, complete,
    envelope::{self, Envelope},
};
use crate::hl7::{
    build::{MessageBuilder, Name, SegmentWriter},
    material::{ContainerDraft, SpecimenDraft, TestDetailDraft},
    tables::{Priority, RepeatStatus, SpecimenRole},
    views::Draft,
};

/// Whose specimens they are; all texts plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatientWork<'a> {
    /// PID-3: id, check digit, its scheme, authority, type; a repeat each.
    pub ids: &'a [[&'a str; 5]],
    /// PID-5: family, given, middle name and so on.
    pub name: &'a [&'a str],
    /// PID-7.
    pub birth: &'a str,
    /// PID-8.
    pub sex: &'a str,
}

/// A specimen with its work.
#[derive(Clone, Debug)]
pub struct SpecimenWork<'a> {
    /// SPM-2.1: number and namespace; empty where the container alone names it.
    pub id: [&'a str; 2],
    /// SPM-4: code, text, system.
    pub kind: [&'a str; 3],
    /// SPM-11.
    pub role: SpecimenRole<'a>,
    /// SPM-17.1; left out if empty.
    pub collected: &'a str,
    /// SAC: for the answer to a query [`Query::container`], else with the barcode.
    pub container: ContainerDraft,
    /// Fields of SPM that a vendor wants otherwise, over those above.
    pub spm: EncodedFields<'a>,
    /// The same of SAC.
    pub sac: EncodedFields<'a>,
    /// Its steps.
    pub steps: &'a [StepWork<'a>],
}

/// Fields by number, as they will stand on the wire in the usual delimiters.
pub type EncodedFields<'a> = &'a [(usize, &'a str)];

/// What an analyzer shall do with a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Control {
    /// `NW`: do it.
    #[default]
    New,
    /// `CA`: leave it.
    Cancel,
}

/// A work order step; all texts plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepWork<'a> {
    /// ORC-1.
    pub control: Control,
    /// OBR-2: number and namespace. Used once, for ever.
    pub number: [&'a str; 2],
    /// ORC-4; left out if empty.
    pub group: &'a str,
    /// ORC-9.
    pub transaction_time: &'a str,
    /// OBR-4 and TCD-1: code, text, system of the analyzer.
    pub service: [&'a str; 3],
    /// TQ1-9; no TQ1 without.
    pub priority: Option<Priority<'a>>,
    /// TCD-2 (SN), such as `["", "1", ":", "5"]`; empty if nothing is asked for.
    pub auto_dilution: [&'a str; 4],
    /// TCD-3 (SN); empty if nothing is asked for.
    pub rerun_dilution: [&'a str; 4],
    /// TCD-4 (SN); empty if nothing is asked for.
    pub pre_dilution: [&'a str; 4],
    /// TCD-8 `F`: it answers a query for reflex work.
    pub is_reflex: bool,
    /// TCD-9: quantity and unit (UCUM) to be taken; left out if empty.
    pub consumption: [&'a str; 2],
}

impl Control {
    /// As it stands in ORC-1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "NW",
            Self::Cancel => "CA",
        }
    }
}

/// ORC-1 of the answer that there is no work.
pub const NO_WORK: &str = "DC";

/// Writes OML^O33: steps to be done or left.
///
/// # Errors
/// See [`WriteError`]; nothing is left out silently.
pub fn build(
    envelope: &Envelope<'_>,
    patient: Option<&PatientWork<'_>>,
    specimens: &[SpecimenWork<'_>],
) -> Result<String, WriteError> {
    check(specimens)?;
    let mut message = begin(envelope);
    if let Some(patient) = patient {
        message.push(pid(patient));
    }
    for (index, specimen) in specimens.iter().enumerate() {
        message.push(over(complete(&spm(specimen, index))?, specimen.spm));
        if !specimen.container.is_blank() {
            message.push(over(complete(&specimen.container)?, specimen.sac));
        }
        for step in specimen.steps {
            push_step(&mut message, step)?;
        }
    }
    Ok(message.finish()?)
}

/// Writes the OML^O33 that tells an analyzer, after its query, that there is no work: MSH, SPM
/// with role `U`, SAC as queried, ORC `DC`, and nothing else (LAB28-001). `transaction_time` is ORC-9.
///
/// # Errors
/// [`WriteError::NotAnswerable`] when the query names no place or container: the analyzer could not
/// tell which of them is meant.
pub fn build_no_work(
    envelope: &Envelope<'_>,
    query: &Query<'_>,
    transaction_time: &str,
) -> Result<String, WriteError> {
    let container = query.container();
    let names_something = query.asked().is_ok() && (3..=9).any(|n| !query.qpd.field(n).is_empty());
    if !names_something {
        return Err(WriteError::NotAnswerable);
    }
    let mut message = begin(envelope);
    let specimen = SegmentWriter::new(Name::SPM)
        .text(1, "1")
        .components(11, &SpecimenRole::Unknown.parts());
    message.push(specimen);
    message.push(complete(&container)?);
    message.push(
        SegmentWriter::new(Name::ORC)
            .text(1, NO_WORK)
            .text(9, transaction_time),
    );
    Ok(message.finish()?)
}

fn over(segment: SegmentWriter, fields: EncodedFields<'_>) -> SegmentWriter {
    let fields = fields.iter();
    fields.fold(segment, |segment, (n, text)| segment.encoded(*n, text))
}

fn begin(envelope: &Envelope<'_>) -> MessageBuilder {
    envelope::begin(envelope, Transaction::Broadcast, ["OML", "O33", "OML_O33"])
}

fn check(specimens: &[SpecimenWork<'_>]) -> Result<(), WriteError> {
    if specimens.is_empty() {
        return Err(WriteError::NoSpecimen);
    }
    let mut numbers = HashSet::new();
    for specimen in specimens {
        let [id, _] = specimen.id;
        if id.is_empty() && !specimen.container.has_id(3) {
            return Err(WriteError::NoSpecimen);
        }
        if specimen.steps.is_empty() {
            return Err(WriteError::NoStep);
        }
        for step in specimen.steps {
            let ([number, _], [service, ..]) = (step.number, step.service);
            if number.is_empty() {
                return Err(WriteError::NoNumber);
            }
            if service.is_empty() {
                return Err(WriteError::NoService);
            }
            if !numbers.insert(number) {
                return Err(WriteError::SameNumber);
            }
        }
    }
    Ok(())
}

fn pid(patient: &PatientWork<'_>) -> SegmentWriter {
    let ids = patient.ids.iter();
    ids.fold(SegmentWriter::new(Name::PID).text(1, "1"), |pid, id| {
        pid.repeat(3, id)
    })
    .components(5, patient.name)
    .text(7, patient.birth)
    .text(8, patient.sex)
}

fn spm(specimen: &SpecimenWork<'_>, index: usize) -> SpecimenDraft {
    SpecimenDraft::new()
        .set_id(&index.saturating_add(1).to_string())
        .id(&specimen.id, &[])
        .kind(&specimen.kind)
        .role(specimen.role)
        .collected(&[specimen.collected])
}

fn push_step(message: &mut MessageBuilder, step: &StepWork<'_>) -> Result<(), WriteError> {
    message.push(
        SegmentWriter::new(Name::ORC)
            .text(1, step.control.as_str())
            .text(4, step.group)
            .text(9, step.transaction_time),
    );
    if let Some(priority) = step.priority {
        message.push(
            SegmentWriter::new(Name::TQ1)
                .text(1, "1")
                .components(9, &priority.parts()),
        );
    }
    message.push(
        SegmentWriter::new(Name::OBR)
            .components(2, &step.number)
            .components(4, &step.service),
    );
    let [quantity, unit] = step.consumption;
    let detail = TestDetailDraft::new()
        .service(&step.service)
        .auto_dilution(&step.auto_dilution)
        .rerun_dilution(&step.rerun_dilution)
        .pre_dilution(&step.pre_dilution);
    let detail = if step.is_reflex {
        detail.repeat_status(RepeatStatus::Reflex)
    } else {
        detail
    };
    // CQ.2 is a coded unit, whose parts are subcomponents.
    let detail = complete(&detail)?;
    let detail = if quantity.is_empty() {
        detail
    } else {
        detail
            .components(9, &[quantity])
            .subcomponents(9, 2, &[unit, "", "UCUM"])
    };
    message.push(detail);
    Ok(())
}
