//! The other side: what an analyzer writes and reads. The bridge does not need it; its tests do, and
//! whoever wants to talk to an analyzer manager.

use super::{
    Transaction, WriteError, complete,
    envelope::{self, Envelope, Part},
    order::NO_WORK,
    query::{IMMEDIATE, QueryName},
    result::STATUS_CHANGED,
    tree::{Opener, REFLEX_ACTION, SpecimenGroup, Tree},
};
use crate::{
    hl7::{
        Message, ParseError, Segment,
        ack::{Answer, ErrSegment, Outcome, Own},
        build::{BuildError, MessageBuilder, Name, SegmentWriter},
        header::Header,
        material::{ContainerDraft, SpecimenDraft, SubstanceDraft, TestDetailDraft},
        tables::{OrderStatus, ResultStatus, SpecimenRole, SubstanceStatus},
        views::Draft,
    },
    wire::Note,
};

/// What a query says; all texts plain, empty ones are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryDraft<'a> {
    /// QPD-2.
    pub tag: &'a str,
    /// QPD-3.
    pub container: &'a str,
    /// QPD-4 and QPD-5.
    pub carrier: [&'a str; 2],
    /// QPD-6 and QPD-7.
    pub tray: [&'a str; 2],
    /// QPD-8.
    pub location: &'a str,
    /// QPD-9.
    pub primary: &'a str,
}

/// Writes QBP^Q11.
///
/// # Errors
/// See [`BuildError`].
pub fn build_query(
    envelope: &Envelope<'_>,
    name: QueryName<'_>,
    query: &QueryDraft<'_>,
) -> Result<String, BuildError> {
    let mut message = envelope::begin(envelope, Transaction::Query, ["QBP", "Q11", "QBP_Q11"]);
    let ([carrier, carrier_position], [tray, tray_position]) = (query.carrier, query.tray);
    message.push(
        SegmentWriter::new(Name::QPD)
            .components(1, &[name.code(), "Work Order Step", "IHELAW"])
            .text(2, query.tag)
            .text(3, query.container)
            .text(4, carrier)
            .text(5, carrier_position)
            .text(6, tray)
            .text(7, tray_position)
            .text(8, query.location)
            .text(9, query.primary),
    );
    message.push(
        SegmentWriter::new(Name::RCP)
            .text(1, IMMEDIATE)
            .components(3, &["R", "Real Time", "HL70394"]),
    );
    message.finish()
}

/// RSP^K11 as read.
#[derive(Clone, Debug)]
pub struct QueryReply<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// MSA and ERR.
    pub answer: Answer<'a>,
    /// QAK.
    pub qak: Option<Segment<'a>>,
    /// QPD, as it came back.
    pub qpd: Option<Segment<'a>>,
    /// All other segments.
    pub others: Vec<Segment<'a>>,
}

impl<'a> QueryReply<'a> {
    /// Reads a RSP^K11.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another message, [`ParseError::SegmentMissing`] without MSA.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("RSP", "K11") {
            return Err(ParseError::WrongType);
        }
        let (qak, qpd) = (message.first("QAK"), message.first("QPD"));
        let others = message.segments().iter().copied().skip(1);
        let is_other = |segment: &Segment<'_>| {
            !matches!(segment.name(), "MSA" | "ERR")
                && Some(*segment) != qak
                && Some(*segment) != qpd
        };
        Ok(Self {
            header,
            answer: Answer::read(message)?,
            qak,
            qpd,
            others: others.filter(is_other).collect(),
        })
    }

    /// QAK-1 as sent: the tag of the query.
    pub fn tag(&self) -> &'a str {
        self.qak.map_or("", |qak| qak.field(1).raw())
    }

    /// QAK-2 as sent: `OK`, `AE`, `AR`.
    pub fn status(&self) -> &'a str {
        self.qak.map_or("", |qak| qak.field(2).raw())
    }
}

/// OML^O33 as read.
#[derive(Clone, Debug)]
pub struct Broadcast<'m, 'a> {
    /// MSH.
    pub header: Header<'a>,
    /// Specimens and steps.
    pub tree: Tree<'m, 'a>,
}

impl<'m, 'a> Broadcast<'m, 'a> {
    /// Reads an OML^O33.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another message.
    pub fn read(message: &'m Message<'a>) -> Result<(Self, Vec<Note>), ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("OML", "O33") {
            return Err(ParseError::WrongType);
        }
        let transaction = Transaction::Broadcast;
        let mut notes = envelope::check(header, transaction, Part::Request, &["OML_O33"]);
        let tree = Tree::read(message, Opener::Orc, &mut notes);
        notes.sort_by_key(|note| note.at);
        Ok((Self { header, tree }, notes))
    }

    /// Whether it says of a specimen that there is no work: ORC-1 `DC`, and no OBR.
    pub fn has_no_work(specimen: &SpecimenGroup<'_, '_>) -> bool {
        let mut steps = specimen.steps.iter();
        let is_none = steps.all(|step| step.obr.is_none() && step.control() == NO_WORK);
        is_none && !specimen.steps.is_empty()
    }
}

/// What an analyzer says of a step that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepAnswer<'a> {
    /// ORC-1: `OK` or `UA` to `NW`, `CR` or `UC` to `CA`.
    pub control: &'a str,
    /// ORC-5.
    pub status: OrderStatus<'a>,
}

/// Writes ORL^O34. The answer to "no work", and a refusal of the whole message, have no specimens.
/// `answers` are those of all steps in their order; a step beyond them is not answered.
///
/// # Errors
/// See [`BuildError`].
pub fn build_order_reply(
    request: &Broadcast<'_, '_>,
    (outcome, errors): (Outcome, &[ErrSegment]),
    answers: &[StepAnswer<'_>],
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let kind = ["ORL", "O34", "ORL_O42"];
    let said = (envelope::application_code(outcome), errors);
    let mut reply = envelope::begin_reply(request.header, Transaction::Broadcast, kind, said, own);
    if outcome != Outcome::Accepted {
        return reply.finish();
    }
    let mut answers = answers.iter();
    let with_work = request.tree.specimens.iter();
    for specimen in with_work.filter(|specimen| !Broadcast::has_no_work(specimen)) {
        let named = |segment: &&Segment<'_>| matches!(segment.name(), "SPM" | "SAC");
        for segment in specimen.head.iter().filter(named) {
            reply.copy(*segment);
        }
        for (step, answer) in specimen.steps.iter().zip(answers.by_ref()) {
            let number = step.obr.map(|obr| obr.field(2));
            let orc = SegmentWriter::new(Name::ORC).text(1, answer.control);
            let orc = match number {
                Some(number) => orc.echo(2, number),
                None => orc,
            };
            reply.push(orc.text(5, answer.status.code()));
        }
    }
    reply.finish()
}

/// What an analyzer says of a specimen; all texts plain.
#[derive(Clone, Debug)]
pub struct SpecimenStatus<'a> {
    /// SPM-2.1: number and namespace.
    pub id: [&'a str; 2],
    /// SPM-4: code, text, system.
    pub kind: [&'a str; 3],
    /// SPM-11.
    pub role: SpecimenRole<'a>,
    /// SAC.
    pub container: ContainerDraft,
    /// INV below it: which control it is.
    pub materials: &'a [SubstanceDraft],
    /// Its steps.
    pub steps: &'a [StepStatus<'a>],
}

/// What an analyzer says of a step; all texts plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepStatus<'a> {
    /// OBR-2 and ORC-2; `None` for a step that the analyzer made.
    pub number: Option<&'a str>,
    /// OBR-4.
    pub service: [&'a str; 3],
    /// ORC-5.
    pub status: OrderStatus<'a>,
    /// ORC-8: the steps that it is a reflex of; OBR-11 is then `G`.
    pub parents: &'a [&'a str],
    /// Its observations.
    pub observations: &'a [ObservationDraft<'a>],
}

/// An observation; all texts plain, empty ones are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservationDraft<'a> {
    /// OBX-2.
    pub value_type: &'a str,
    /// OBX-3: up to six components.
    pub code: &'a [&'a str],
    /// OBX-4: run, group, sequence, identifier.
    pub run: &'a [&'a str],
    /// OBX-5: components.
    pub value: &'a [&'a str],
    /// OBX-6.
    pub unit: &'a [&'a str],
    /// OBX-8.1, a repeat each.
    pub flags: &'a [&'a str],
    /// OBX-11.
    pub status: ResultStatus<'a>,
    /// OBX-18, a repeat each: id and manufacturer.
    pub devices: &'a [[&'a str; 2]],
    /// OBX-19.
    pub analysed_at: &'a str,
    /// INV-1, INV-16: reagent and lot after it.
    pub reagents: &'a [[&'a str; 2]],
}

/// Writes OUL^R22.
///
/// # Errors
/// See [`WriteError`].
pub fn build_status_change(
    envelope: &Envelope<'_>,
    patient_id: Option<&str>,
    specimens: &[SpecimenStatus<'_>],
) -> Result<String, WriteError> {
    let kind = ["OUL", "R22", "OUL_R22"];
    let mut message = envelope::begin(envelope, Transaction::StatusChange, kind);
    if let Some(id) = patient_id {
        message.push(SegmentWriter::new(Name::PID).text(1, "1").text(3, id));
    }
    for (index, specimen) in specimens.iter().enumerate() {
        let spm = SpecimenDraft::new()
            .set_id(&index.saturating_add(1).to_string())
            .id(&specimen.id, &[])
            .kind(&specimen.kind)
            .role(specimen.role);
        message.push(complete(&spm)?);
        if !specimen.container.is_blank() {
            message.push(complete(&specimen.container)?);
        }
        for material in specimen.materials {
            message.push(complete(material)?);
        }
        for step in specimen.steps {
            push_step(&mut message, step)?;
        }
    }
    Ok(message.finish()?)
}

fn push_step(message: &mut MessageBuilder, step: &StepStatus<'_>) -> Result<(), WriteError> {
    let numbered = |segment: SegmentWriter| match step.number {
        Some(number) => segment.text(2, number),
        None => segment.null(2),
    };
    let obr = numbered(SegmentWriter::new(Name::OBR)).components(4, &step.service);
    message.push(if step.parents.is_empty() {
        obr
    } else {
        obr.text(11, REFLEX_ACTION)
    });
    let orc =
        numbered(SegmentWriter::new(Name::ORC).text(1, STATUS_CHANGED)).text(5, step.status.code());
    let parents = step.parents.iter();
    message.push(parents.fold(orc, |orc, parent| orc.repeat(8, &[parent])));
    for (index, observation) in step.observations.iter().enumerate() {
        message.push(obx(index, observation));
        message.push(complete(&TestDetailDraft::new().service(&step.service))?);
        for [reagent, lot] in observation.reagents {
            let reagent = SubstanceDraft::new()
                .id(&[reagent])
                .status(SubstanceStatus::Ok)
                .lot(lot);
            message.push(complete(&reagent)?);
        }
    }
    Ok(())
}

fn obx(index: usize, observation: &ObservationDraft<'_>) -> SegmentWriter {
    let obx = SegmentWriter::new(Name::OBX)
        .text(1, &index.saturating_add(1).to_string())
        .text(2, observation.value_type)
        .components(3, observation.code)
        .components(4, observation.run)
        .components(5, observation.value)
        .components(6, observation.unit)
        .text(11, observation.status.code());
    let flags = observation.flags.iter();
    let obx = flags.fold(obx, |obx, flag| obx.repeat(8, &[flag]));
    let devices = observation.devices.iter();
    devices
        .fold(obx, |obx, device| obx.repeat(18, device))
        .text(19, observation.analysed_at)
}
