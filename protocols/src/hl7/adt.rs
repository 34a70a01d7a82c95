//! Patients: demographics and merges (HL7 v2.5.1 3.3). PID carries what holds from now on, MRG the
//! identifier that disappears.

use super::{
    Message, ParseError, Segment,
    header::Header,
    types::{Identifier, PatientBlock, PersonName, VisitBlock},
};

/// An ADT message of any event; what an event means is the owner's to decide.
#[derive(Clone, Debug)]
pub struct AdtMessage<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// MSH-9.2, or EVN-1 where old senders give it there only.
    pub event: &'a str,
    /// EVN-2 as sent.
    pub recorded: &'a str,
    /// Its patients: one, or several in A40.
    pub patients: Vec<AdtPatient<'a>>,
}

/// One patient of an ADT message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdtPatient<'a> {
    /// PID: the surviving one in a merge.
    pub patient: PatientBlock<'a>,
    /// PV1.
    pub visit: Option<VisitBlock<'a>>,
    /// MRG.
    pub merge: Option<MergeBlock<'a>>,
}

/// MRG: what disappears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeBlock<'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// MRG-1, all repeats.
    pub ids: Vec<Identifier<'a>>,
    /// MRG-3.
    pub account: Identifier<'a>,
    /// MRG-5.
    pub visit: Identifier<'a>,
    /// MRG-7.
    pub name: PersonName<'a>,
}

/// The kinds of event that concern a laboratory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdtEvent {
    /// A01, A04, A05, A08, A28, A31: what is said of the patient holds from now on.
    Demographics,
    /// A18, A34, A36, A39, A40: two records become one.
    Merge,
    /// A46, A47: the identifier changes.
    ChangeIdentifier,
    /// Any other: accepted, of no consequence here.
    Other,
}

impl<'a> AdtMessage<'a> {
    /// Reads an ADT message.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another type, [`ParseError::SegmentMissing`] without PID, or
    /// without MRG in an event that merges or changes an identifier.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        if header.message_type() != "ADT" {
            return Err(ParseError::WrongType);
        }
        let evn = message.first("EVN");
        let event = match header.trigger() {
            "" => evn.map_or("", |evn| evn.field(1).raw()),
            event => event,
        };
        let mut patients: Vec<AdtPatient<'a>> = Vec::new();
        for segment in message.segments() {
            match (segment.name(), patients.last_mut()) {
                ("PID", _) => patients.push(AdtPatient {
                    patient: PatientBlock::read(*segment),
                    visit: None,
                    merge: None,
                }),
                ("PV1", Some(last)) => last.visit = Some(VisitBlock::read(*segment)),
                ("MRG", Some(last)) => last.merge = Some(MergeBlock::read(*segment)),
                _ => {}
            }
        }
        let recorded = evn.map_or("", |evn| evn.field(2).raw());
        let read = Self {
            header,
            event,
            recorded,
            patients,
        };
        if read.patients.is_empty() {
            return Err(ParseError::SegmentMissing("PID"));
        }
        let merges = matches!(read.kind(), AdtEvent::Merge | AdtEvent::ChangeIdentifier);
        if merges && read.patients.iter().any(|patient| patient.merge.is_none()) {
            return Err(ParseError::SegmentMissing("MRG"));
        }
        Ok(read)
    }

    /// What the event means for a laboratory.
    pub fn kind(&self) -> AdtEvent {
        match self.event {
            "A01" | "A04" | "A05" | "A08" | "A28" | "A31" => AdtEvent::Demographics,
            "A18" | "A34" | "A36" | "A39" | "A40" => AdtEvent::Merge,
            "A46" | "A47" => AdtEvent::ChangeIdentifier,
            _ => AdtEvent::Other,
        }
    }
}

impl<'a> MergeBlock<'a> {
    /// Reads an MRG segment.
    pub fn read(segment: Segment<'a>) -> Self {
        Self {
            segment,
            ids: Identifier::all(segment.field(1)),
            account: Identifier::read(segment.field(3).repeat(1)),
            visit: Identifier::read(segment.field(5).repeat(1)),
            name: PersonName::read(segment.field(7).repeat(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &str, tail: &str) -> String {
        format!("MSH|^~\\&|HIS|BV01|B|L|1||ADT^{event}|1|P|2.5.1\rEVN||20250115110000\r{tail}")
    }

    #[test]
    fn a_merge_names_who_stays_and_who_goes() {
        let text = text(
            "A40^ADT_A39",
            concat!(
                "PID|1||PID0098^^^BV01^PI~79^^^VN^NI||TRẦN^BÌNH^THỊ||19911105|F\rMRG|PID0777^^^BV01^PI\r",
                "PID|2||P2\rMRG|P3~P4||ACC||V1||OLD^NAME\r",
            ),
        );
        let message = Message::parse(&text).unwrap().0;
        let adt = AdtMessage::read(&message).unwrap();
        assert_eq!(
            (adt.event, adt.kind(), adt.recorded),
            ("A40", AdtEvent::Merge, "20250115110000")
        );
        let ids = |ids: &[Identifier<'_>]| {
            ids.iter()
                .map(|id| format!("{}/{}/{}", id.id, id.authority, id.kind))
                .collect::<Vec<_>>()
        };
        let [first, second] = adt.patients.as_slice() else {
            panic!("two patients")
        };
        assert_eq!(ids(&first.patient.ids), ["PID0098/BV01/PI", "79/VN/NI"]);
        assert_eq!(first.patient.name.family, "TRẦN");
        assert_eq!((first.patient.birth, first.patient.sex), ("19911105", "F"));
        assert_eq!(ids(&first.merge.as_ref().unwrap().ids), ["PID0777/BV01/PI"]);
        let merge = second.merge.as_ref().unwrap();
        assert_eq!(ids(&merge.ids), ["P3//", "P4//"]);
        assert_eq!(
            (merge.account.id.as_ref(), merge.visit.id.as_ref()),
            ("ACC", "V1")
        );
        assert_eq!(merge.name.given, "NAME");
    }

    #[test]
    fn every_event_has_a_meaning_or_none() {
        for (event, tail, expected) in [
            (
                "A08",
                "PID|1||P1\rPV1|1|I|W^1\r",
                Ok(AdtEvent::Demographics),
            ),
            ("A01", "PID|1||P1\r", Ok(AdtEvent::Demographics)),
            ("A31", "PID|1||P1\r", Ok(AdtEvent::Demographics)),
            ("A47", "PID|1||P1\rMRG|P2\r", Ok(AdtEvent::ChangeIdentifier)),
            ("A34", "PID|1||P1\rMRG|P2\r", Ok(AdtEvent::Merge)),
            ("A36", "PID|1||P1\rMRG|P2\r", Ok(AdtEvent::Merge)),
            ("A02", "PID|1||P1\r", Ok(AdtEvent::Other)),
            ("A40", "PID|1||P1\r", Err(ParseError::SegmentMissing("MRG"))),
            ("A08", "", Err(ParseError::SegmentMissing("PID"))),
        ] {
            let text = text(event, tail);
            let message = Message::parse(&text).unwrap().0;
            let found = AdtMessage::read(&message).map(|adt| adt.kind());
            assert_eq!(found, expected, "{event}");
        }
        let other = Message::parse("MSH|^~\\&|||||||ORU^R01|1|P|2.5.1\r")
            .unwrap()
            .0;
        assert_eq!(AdtMessage::read(&other).unwrap_err(), ParseError::WrongType);
    }
}
