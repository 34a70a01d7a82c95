//! What Mindray analyzers ask in HL7 2.3.1: the sample query of the BS and CL series (QRY^Q02,
//! answered by QCK^Q02 and DSR^Q03) and the order query of the BC series (ORM^O01 with ORC-1 `RF`,
//! answered by ORR^O02).

use std::borrow::Cow;

use super::{
    Message, ParseError, Segment,
    ack::{Ack, Own, begin_reply},
    build::{BuildError, MessageBuilder, Name, SegmentWriter},
    header::Header,
};

/// QRY^Q02: what is ordered for this barcode?
#[derive(Clone, Copy, Debug)]
pub struct SampleQuery<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// QRD.
    pub qrd: Segment<'a>,
    /// QRF.
    pub qrf: Option<Segment<'a>>,
}

impl<'a> SampleQuery<'a> {
    /// Reads a QRY^Q02.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another type, [`ParseError::SegmentMissing`] without QRD.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("QRY", "Q02") {
            return Err(ParseError::WrongType);
        }
        let qrd = message
            .first("QRD")
            .ok_or(ParseError::SegmentMissing("QRD"))?;
        Ok(Self {
            header,
            qrd,
            qrf: message.first("QRF"),
        })
    }

    /// QRD-8.1: the barcode; empty when all orders are asked for.
    pub fn barcode(&self) -> Cow<'a, str> {
        self.qrd.field(8).component(1).text()
    }

    /// QRD-4 as sent.
    pub fn query_id(&self) -> &'a str {
        self.qrd.field(4).raw()
    }

    /// QRD-9 as sent.
    pub fn what(&self) -> &'a str {
        self.qrd.field(9).raw()
    }
}

/// QAK-2 of the answer to a query (table 0208).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryStatus {
    /// `OK`: found; DSR^Q03 follows.
    Found,
    /// `NF`: nothing ordered; nothing follows.
    NotFound,
    /// `AE`: the query is wrong.
    Error,
    /// `AR`: the query is refused.
    Rejected,
}

impl QueryStatus {
    /// As it stands in QAK-2.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "OK",
            Self::NotFound => "NF",
            Self::Error => "AE",
            Self::Rejected => "AR",
        }
    }
}

/// QAK-1 that these devices use for sample requests.
pub const SAMPLE_REQUEST: &str = "SR";

/// Writes QCK^Q02, the immediate answer to a sample query.
///
/// # Errors
/// See [`BuildError`].
pub fn build_qck(
    query: &SampleQuery<'_>,
    ack: &Ack<'_>,
    status: QueryStatus,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut reply = begin_reply(Some(query.header), ["QCK", "Q02", ""], ack, own);
    push_qak(&mut reply, status);
    reply.finish()
}

fn push_qak(reply: &mut MessageBuilder, status: QueryStatus) {
    let qak = SegmentWriter::new(Name::QAK)
        .text(1, SAMPLE_REQUEST)
        .text(2, status.as_str());
    reply.push(qak);
}

/// The order for one sample, as DSR^Q03 lists it line by line. All texts plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleOrder<'a> {
    /// Line 1.
    pub admission: &'a str,
    /// Line 3.
    pub name: &'a str,
    /// Line 4.
    pub birth: &'a str,
    /// Line 5.
    pub sex: &'a str,
    /// Line 21.
    pub barcode: &'a str,
    /// Line 22.
    pub sample_id: &'a str,
    /// Line 23.
    pub collected: &'a str,
    /// Line 24: `Y` or `N`.
    pub is_stat: bool,
    /// Line 26.
    pub specimen_type: &'a str,
    /// Lines from 29: number, name, unit, range of each test.
    pub tests: &'a [[&'a str; 4]],
}

/// The line of DSR^Q03 on which the first test stands.
const FIRST_TEST_LINE: usize = 29;

/// Writes DSR^Q03, the order for a sample that was found. The device acknowledges it.
///
/// # Errors
/// See [`BuildError`].
pub fn build_dsr(
    query: &SampleQuery<'_>,
    ack: &Ack<'_>,
    order: &SampleOrder<'_>,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut message = begin_reply(Some(query.header), ["DSR", "Q03", ""], ack, own);
    push_qak(&mut message, QueryStatus::Found);
    message.copy(query.qrd);
    if let Some(qrf) = query.qrf {
        message.copy(qrf);
    }
    for line in 1..FIRST_TEST_LINE {
        message.push(dsp(line).text(3, line_text(order, line)));
    }
    for (index, test) in order.tests.iter().enumerate() {
        message.push(dsp(FIRST_TEST_LINE.saturating_add(index)).components(3, test));
    }
    message.push(SegmentWriter::new(Name::DSC));
    message.finish()
}

fn dsp(line: usize) -> SegmentWriter {
    SegmentWriter::new(Name::DSP).text(1, &line.to_string())
}

const fn line_text<'a>(order: &SampleOrder<'a>, line: usize) -> &'a str {
    match line {
        1 => order.admission,
        3 => order.name,
        4 => order.birth,
        5 => order.sex,
        21 => order.barcode,
        22 => order.sample_id,
        23 => order.collected,
        24 if order.is_stat => "Y",
        24 => "N",
        26 => order.specimen_type,
        _ => "",
    }
}

/// ORM^O01 of a BC analyzer: what is ordered for this sample?
#[derive(Clone, Copy, Debug)]
pub struct OrderQuery<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// ORC.
    pub orc: Segment<'a>,
}

impl<'a> OrderQuery<'a> {
    /// Reads an order query; an ORM^O01 that orders something is none.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for anything but ORM^O01 with ORC-1 `RF`.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        let orc = message
            .first("ORC")
            .filter(|orc| orc.field(1).raw() == "RF");
        match ((header.message_type(), header.trigger()), orc) {
            (("ORM", "O01"), Some(orc)) => Ok(Self { header, orc }),
            _ => Err(ParseError::WrongType),
        }
    }

    /// ORC-2.1, or ORC-3.1 where that is empty.
    pub fn sample_id(&self) -> Cow<'a, str> {
        self.orc.field(self.id_field()).component(1).text()
    }

    fn id_field(&self) -> usize {
        if self.orc.field(2).is_empty() && !self.orc.field(3).is_empty() {
            3
        } else {
            2
        }
    }
}

/// What ORR^O02 tells a BC analyzer about a sample. All texts plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountOrder<'a> {
    /// PID-3: identifier, and its type in the fifth component.
    pub patient_id: [&'a str; 5],
    /// PID-5: family, given.
    pub name: [&'a str; 2],
    /// PID-7.
    pub birth: &'a str,
    /// PID-8.
    pub sex: &'a str,
    /// PV1-2.
    pub patient_class: &'a str,
    /// PV1-3.
    pub location: [&'a str; 3],
    /// OBR-4, such as `00001^Automated Count^99MRC`.
    pub service: [&'a str; 3],
    /// OBR-7.
    pub collected: &'a str,
    /// OBX: code, name, system and value of each mode, such as `08003^Test Mode^99MRC` = `CBC+DIFF`.
    pub modes: &'a [[&'a str; 4]],
}

/// Writes ORR^O02: the order, or with `None` the message that there is none (`ack` then says AR).
///
/// # Errors
/// See [`BuildError`].
pub fn build_count_order(
    query: &OrderQuery<'_>,
    ack: &Ack<'_>,
    order: Option<&CountOrder<'_>>,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut reply = begin_reply(Some(query.header), ["ORR", "O02", ""], ack, own);
    let Some(order) = order else {
        return reply.finish();
    };
    reply.push(
        SegmentWriter::new(Name::PID)
            .text(1, "1")
            .components(3, &order.patient_id)
            .components(5, &order.name)
            .text(7, order.birth)
            .text(8, order.sex),
    );
    reply.push(
        SegmentWriter::new(Name::PV1)
            .text(1, "1")
            .text(2, order.patient_class)
            .components(3, &order.location),
    );
    let at = query.id_field();
    let id = query.orc.field(at);
    reply.push(SegmentWriter::new(Name::ORC).text(1, "AF").echo(at, id));
    reply.push(
        SegmentWriter::new(Name::OBR)
            .text(1, "1")
            .echo(at, id)
            .components(4, &order.service)
            .text(7, order.collected),
    );
    for (index, [code, name, system, value]) in order.modes.iter().enumerate() {
        reply.push(
            SegmentWriter::new(Name::OBX)
                .text(1, &index.saturating_add(1).to_string())
                .text(2, "IS")
                .components(3, &[code, name, system])
                .text(5, value)
                .text(11, "F"),
        );
    }
    reply.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::ack::AckCode;

    const OWN: Own<'_> = Own {
        application: "LIS",
        facility: "LAB",
        time: "20250115101500",
        control_id: "B7",
        charset: "UNICODE",
        version: "2.3.1",
    };
    const ACCEPTED: Ack<'_> = Ack {
        code: AckCode::AA,
        text: "",
        errors: &[],
    };
    const QUERY: &str = concat!(
        "MSH|^~\\&|Mindray|BS-480|||20250115101459||QRY^Q02|17|P|2.3.1||||||ASCII\r",
        "QRD|20250115101459|R|D|1|||RD|25011500021|OTH|||T|\r",
        "QRF|BS-480|20250115|||RCT|COR|ALL||\r",
    );

    #[test]
    fn a_sample_query_names_its_barcode() {
        let message = Message::parse(QUERY).unwrap().0;
        let query = SampleQuery::read(&message).unwrap();
        assert_eq!(query.barcode(), "25011500021");
        assert_eq!((query.query_id(), query.what()), ("1", "OTH"));
        let other = Message::parse("MSH|^~\\&|||||||QRY^Q02|1\r").unwrap().0;
        assert_eq!(
            SampleQuery::read(&other).unwrap_err(),
            ParseError::SegmentMissing("QRD")
        );
        let other = Message::parse("MSH|^~\\&|||||||QRY^Q01|1\r").unwrap().0;
        assert_eq!(
            SampleQuery::read(&other).unwrap_err(),
            ParseError::WrongType
        );
    }

    #[test]
    fn a_sample_query_is_answered_found_or_not_found() {
        let message = Message::parse(QUERY).unwrap().0;
        let query = SampleQuery::read(&message).unwrap();
        for (status, code) in [(QueryStatus::Found, "OK"), (QueryStatus::NotFound, "NF")] {
            assert_eq!(
                build_qck(&query, &ACCEPTED, status, &OWN).unwrap(),
                format!(
                    "MSH|^~\\&|LIS|LAB|Mindray|BS-480|20250115101500||QCK^Q02|B7|P|2.3.1||||||UNICODE\r\
                     MSA|AA|17\rQAK|SR|{code}\r"
                )
            );
        }
    }

    #[test]
    fn the_order_of_a_sample_stands_on_its_lines() {
        let message = Message::parse(QUERY).unwrap().0;
        let query = SampleQuery::read(&message).unwrap();
        let order = SampleOrder {
            admission: "V240099",
            name: "TRẦN BÌNH",
            birth: "19911105",
            sex: "F",
            barcode: "25011500021",
            sample_id: "21",
            collected: "20250115094000",
            is_stat: true,
            specimen_type: "serum",
            tests: &[["1", "ALT", "U/L", ""], ["2", "A|B", "", "0^5"]],
        };
        let text = build_dsr(&query, &ACCEPTED, &order, &OWN).unwrap();
        insta::assert_snapshot!("mindray_dsr", text.replace('\r', "\n"));
    }

    #[test]
    fn an_order_query_is_answered_with_the_modes_of_the_count() {
        for (orc, obr) in [("ORC|RF|S21||||IP", "|S21|"), ("ORC|RF||S21|||IP", "||S21")] {
            let text =
                format!("MSH|^~\\&|BC-6800|Mindray|||1||ORM^O01|3|P|2.3.1||||||UNICODE\r{orc}\r");
            let message = Message::parse(&text).unwrap().0;
            let query = OrderQuery::read(&message).unwrap();
            assert_eq!(query.sample_id(), "S21");
            let order = CountOrder {
                patient_id: ["P1", "", "", "", "MR"],
                name: ["TRẦN", "BÌNH"],
                sex: "F",
                service: ["00001", "Automated Count", "99MRC"],
                modes: &[["08003", "Test Mode", "99MRC", "CBC+DIFF"]],
                ..CountOrder::default()
            };
            let reply = build_count_order(&query, &ACCEPTED, Some(&order), &OWN).unwrap();
            let (_, body) = reply.split_once("MSA").unwrap();
            let id = obr.trim_end_matches('|');
            assert_eq!(
                body,
                format!(
                    "|AA|3\rPID|1||P1^^^^MR||TRẦN^BÌNH|||F\rPV1|1\rORC|AF{id}\r\
                     OBR|1{obr}|00001^Automated Count^99MRC\r\
                     OBX|1|IS|08003^Test Mode^99MRC||CBC+DIFF||||||F\r"
                )
            );
            let refused = Ack {
                code: AckCode::AR,
                ..ACCEPTED
            };
            let reply = build_count_order(&query, &refused, None, &OWN).unwrap();
            assert!(reply.ends_with("MSA|AR|3\r"));
        }
        let new = Message::parse("MSH|^~\\&|||||||ORM^O01|1\rORC|NW|1\r")
            .unwrap()
            .0;
        assert_eq!(OrderQuery::read(&new).unwrap_err(), ParseError::WrongType);
    }
}
