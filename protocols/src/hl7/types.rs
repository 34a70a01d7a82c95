//! The data types that typed messages share (HL7 v2.5.1 2.A), each with its text as sent.

use std::borrow::Cow;

use super::{Field, REPEATS_MAX, Repeat, Segment};

/// CX: an identifier with who gave it and what kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier<'a> {
    /// The whole repeat as sent.
    pub raw: &'a str,
    /// CX.1.
    pub id: Cow<'a, str>,
    /// CX.4.1, the namespace of the assigning authority.
    pub authority: Cow<'a, str>,
    /// CX.5: `PI`, `MR`, `NI`, `HC`, `AN` and so on.
    pub kind: Cow<'a, str>,
}

/// EI: an order number with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityId<'a> {
    /// The whole field as sent.
    pub raw: &'a str,
    /// EI.1.
    pub id: Cow<'a, str>,
    /// EI.2.
    pub namespace: Cow<'a, str>,
}

/// CE, CWE: a code with its text and system, and another code for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded<'a> {
    /// The whole repeat as sent.
    pub raw: &'a str,
    /// CWE.1.
    pub id: Cow<'a, str>,
    /// CWE.2.
    pub text: Cow<'a, str>,
    /// CWE.3.
    pub system: Cow<'a, str>,
    /// CWE.4.
    pub alternate_id: Cow<'a, str>,
    /// CWE.5.
    pub alternate_text: Cow<'a, str>,
    /// CWE.6.
    pub alternate_system: Cow<'a, str>,
}

/// XPN: the name of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName<'a> {
    /// The whole repeat as sent.
    pub raw: &'a str,
    /// XPN.1.1.
    pub family: Cow<'a, str>,
    /// XPN.2.
    pub given: Cow<'a, str>,
    /// XPN.3.
    pub middle: Cow<'a, str>,
    /// XPN.4.
    pub suffix: Cow<'a, str>,
    /// XPN.5.
    pub prefix: Cow<'a, str>,
}

impl<'a> Identifier<'a> {
    /// Reads one repeat.
    pub fn read(repeat: Repeat<'a>) -> Self {
        Self {
            raw: repeat.raw(),
            id: repeat.component(1).text(),
            authority: repeat.component(4).subcomponent(1).text(),
            kind: repeat.component(5).text(),
        }
    }

    /// All repeats of a field that are not empty.
    pub fn all(field: Field<'a>) -> Vec<Self> {
        field
            .repeats()
            .filter(|repeat| !repeat.is_empty())
            .take(REPEATS_MAX)
            .map(Self::read)
            .collect()
    }
}

impl<'a> EntityId<'a> {
    /// Reads the first repeat of a field.
    pub fn read(field: Field<'a>) -> Self {
        let (id, namespace) = (field.component(1).text(), field.component(2).text());
        Self {
            raw: field.raw(),
            id,
            namespace,
        }
    }

    /// Whether no number was sent.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }
}

impl<'a> Coded<'a> {
    /// Reads one repeat.
    pub fn read(repeat: Repeat<'a>) -> Self {
        let part = |n| repeat.component(n).text();
        Self {
            raw: repeat.raw(),
            id: part(1),
            text: part(2),
            system: part(3),
            alternate_id: part(4),
            alternate_text: part(5),
            alternate_system: part(6),
        }
    }
}

impl<'a> PersonName<'a> {
    /// Reads one repeat.
    pub fn read(repeat: Repeat<'a>) -> Self {
        let part = |n| repeat.component(n).text();
        Self {
            raw: repeat.raw(),
            family: repeat.component(1).subcomponent(1).text(),
            given: part(2),
            middle: part(3),
            suffix: part(4),
            prefix: part(5),
        }
    }
}

/// What PID says of a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientBlock<'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// PID-3, all repeats.
    pub ids: Vec<Identifier<'a>>,
    /// PID-2, where old senders put the identifier.
    pub legacy_id: Identifier<'a>,
    /// PID-5, first repeat.
    pub name: PersonName<'a>,
    /// PID-7 as sent.
    pub birth: &'a str,
    /// PID-8 as sent.
    pub sex: &'a str,
    /// PID-11 as sent, all repeats.
    pub address: &'a str,
    /// PID-13 as sent, all repeats.
    pub phone: &'a str,
    /// PID-18.
    pub account: Identifier<'a>,
}

impl<'a> PatientBlock<'a> {
    /// Reads a PID segment.
    pub fn read(segment: Segment<'a>) -> Self {
        Self {
            segment,
            ids: Identifier::all(segment.field(3)),
            legacy_id: Identifier::read(segment.field(2).repeat(1)),
            name: PersonName::read(segment.field(5).repeat(1)),
            birth: segment.field(7).raw(),
            sex: segment.field(8).raw(),
            address: segment.field(11).raw(),
            phone: segment.field(13).raw(),
            account: Identifier::read(segment.field(18).repeat(1)),
        }
    }
}

/// What PV1 says of a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitBlock<'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// PV1-2 as sent.
    pub class: &'a str,
    /// PV1-3 as sent: point of care, room, bed, facility.
    pub location: &'a str,
    /// PV1-7 as sent.
    pub attending_doctor: &'a str,
    /// PV1-19.
    pub number: Identifier<'a>,
}

impl<'a> VisitBlock<'a> {
    /// Reads a PV1 segment.
    pub fn read(segment: Segment<'a>) -> Self {
        Self {
            segment,
            class: segment.field(2).raw(),
            location: segment.field(3).raw(),
            attending_doctor: segment.field(7).raw(),
            number: Identifier::read(segment.field(19).repeat(1)),
        }
    }
}
