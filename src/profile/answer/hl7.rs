//! Orders as the HL7 2.3.1 messages of Mindray analyzers (host interface manuals of the BC and BS
//! series): ORR^O02 for haematology, QCK^Q02 with DSR^Q03 for chemistry.

use labwire_protocols::hl7::{Separators, escape};

use super::{AnswerError, OrderForDevice, Slots, Stamp, tubes};
use crate::{
    model::{Priority, Query, Sex},
    profile::{AnswerForm, AnswerRules, LineProfile},
};

/// Writes the segments of one message.
struct Writer<'a> {
    line: &'a LineProfile,
    rules: &'a AnswerRules,
    stamp: Stamp,
    query: &'a Query,
    bytes: Vec<u8>,
}

pub(super) fn answer(
    line: &LineProfile,
    rules: &AnswerRules,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let tubes = tubes(query, orders);
    let is_asked = |order: &&OrderForDevice| {
        !order.tests.is_empty() && tubes.iter().any(|(_, id)| *id == order.specimen)
    };
    let found: Vec<&OrderForDevice> = orders.iter().filter(is_asked).collect();
    let writer = |control_id: String| {
        let stamp = Stamp {
            now: stamp.now.clone(),
            control_id,
        };
        Writer {
            line,
            rules,
            stamp,
            query,
            bytes: Vec::new(),
        }
    };
    if rules.form == AnswerForm::OrrO02 {
        let mut writer = writer(stamp.control_id.clone());
        writer.orr(found.first().copied())?;
        return Ok(vec![writer.bytes]);
    }
    let mut receipt = writer(stamp.control_id.clone());
    receipt.qck(!found.is_empty())?;
    let mut messages = vec![receipt.bytes];
    for (index, order) in found.into_iter().enumerate() {
        let mut writer = writer(format!("{}.{}", stamp.control_id, index + 2));
        writer.dsr(order)?;
        messages.push(writer.bytes);
    }
    Ok(messages)
}

impl Writer<'_> {
    /// ORR^O02: what to do with one tube, or AR when there is nothing.
    fn orr(&mut self, order: Option<&OrderForDevice>) -> Result<(), AnswerError> {
        self.header("ORR^O02")?;
        let control = self.echo("control");
        let code = if order.is_some() { "AA" } else { "AR" };
        self.segment("MSA", &[code, &control])?;
        let Some(order) = order else { return Ok(()) };
        let sex = order.sex.map_or("", |sex| match sex {
            Sex::M => "Male",
            Sex::F => "Female",
            Sex::O => "",
        });
        let patient = format!("{}^^^^MR", escaped(order.patient_id.expose()));
        let name = self.name(order)?;
        let birth = escaped(order.birth.expose());
        self.segment("PID", &["1", "", &patient, "", &name, "", &birth, sex])?;
        self.segment("PV1", &["1"])?;
        let specimen = escaped(&order.specimen);
        self.segment("ORC", &["AF", &specimen])?;
        let collected = escaped(&order.collected);
        let count = "00001^Automated Count^99MRC";
        self.segment("OBR", &["1", &specimen, "", count, "", &collected])?;
        let settings = [
            ("08001^Take Mode^99MRC", "A".to_owned()),
            ("08002^Blood Mode^99MRC", self.rules.blood_mode.clone()),
            ("08003^Test Mode^99MRC", self.mode(order)),
        ];
        for (index, (code, value)) in settings.iter().enumerate() {
            let number = (index + 1).to_string();
            let value = escaped(value);
            self.segment(
                "OBX",
                &[&number, "IS", code, "", &value, "", "", "", "", "", "F"],
            )?;
        }
        Ok(())
    }

    /// One mode measures all: the last in the profile's list that a test asks for.
    fn mode(&self, order: &OrderForDevice) -> String {
        let rank = |code: &&String| self.rules.modes.iter().position(|mode| mode == *code);
        order
            .tests
            .iter()
            .max_by_key(rank)
            .cloned()
            .unwrap_or_default()
    }

    /// QCK^Q02: found or not.
    fn qck(&mut self, is_found: bool) -> Result<(), AnswerError> {
        self.header("QCK^Q02")?;
        self.receipt(is_found)
    }

    fn receipt(&mut self, is_found: bool) -> Result<(), AnswerError> {
        let control = self.echo("control");
        self.segment("MSA", &["AA", &control, "Message accepted", "", "", "0"])?;
        self.segment("ERR", &["0"])?;
        self.segment("QAK", &["SR", if is_found { "OK" } else { "NF" }])
    }

    /// DSR^Q03: one tube's order as display lines.
    fn dsr(&mut self, order: &OrderForDevice) -> Result<(), AnswerError> {
        self.header("DSR^Q03")?;
        self.receipt(true)?;
        for name in ["qrd", "qrf"] {
            let sent = self.echo(name);
            if !sent.is_empty() {
                self.line_of(&sent, "query")?;
            }
        }
        let kind = self.rules.specimen_types.get(&order.specimen_type);
        let kind = kind.unwrap_or(&order.specimen_type);
        let sex = order.sex.map_or("", |sex| match sex {
            Sex::M => "M",
            Sex::F => "F",
            Sex::O => "O",
        });
        let name = self.name(order)?;
        let is_stat = if order.priority == Priority::Stat {
            "Y"
        } else {
            "N"
        };
        let filled = [
            (DSP_ADMISSION, escaped(order.patient_id.expose())),
            (DSP_NAME, name),
            (DSP_BIRTH, escaped(order.birth.expose())),
            (DSP_SEX, sex.to_owned()),
            (DSP_BARCODE, escaped(&order.specimen)),
            (DSP_COLLECTED, escaped(&order.collected)),
            (DSP_STAT, is_stat.to_owned()),
            (DSP_TYPE, escaped(kind)),
        ];
        for number in 1..DSP_TESTS {
            let found = filled.iter().find(|(line, _)| *line == number);
            let text = found.map_or("", |(_, text)| text.as_str());
            self.segment("DSP", &[&number.to_string(), "", text])?;
        }
        for (index, code) in order.tests.iter().enumerate() {
            let number = (DSP_TESTS + index).to_string();
            self.segment("DSP", &[&number, "", &format!("{}^^^", escaped(code))])?;
        }
        self.segment("DSC", &[""])
    }

    fn header(&mut self, kind: &str) -> Result<(), AnswerError> {
        let now = escaped(&self.stamp.now);
        let control = escaped(&self.stamp.control_id);
        let mut fields: Vec<(usize, Vec<u8>)> = [(7, now.as_str()), (9, kind), (10, &control)]
            .map(|(number, text)| (number, text.as_bytes().to_vec()))
            .to_vec();
        let slots = Slots {
            line: self.line,
            rules: self.rules,
            stamp: &self.stamp,
            specimen: "",
            order: None,
            index: 0,
            echo: &self.query.echo,
            tests: Vec::new(),
            delimiters: None,
        };
        for (number, template) in &self.rules.msh {
            fields.push((*number, slots.render(template)?));
        }
        self.bytes.extend_from_slice(b"MSH|^~\\&");
        let last = fields.iter().map(|(number, _)| *number).max().unwrap_or(2);
        for number in 3..=last {
            self.bytes.push(b'|');
            let found = fields.iter().find(|(own, _)| *own == number);
            self.bytes
                .extend_from_slice(found.map_or(&[], |(_, bytes)| bytes));
        }
        self.bytes.push(b'\r');
        Ok(())
    }

    fn segment(&mut self, name: &str, fields: &[&str]) -> Result<(), AnswerError> {
        let line = fields
            .iter()
            .fold(name.to_owned(), |line, field| line + "|" + field);
        self.line_of(&line, name)
    }

    fn line_of(&mut self, text: &str, what: &str) -> Result<(), AnswerError> {
        let charset = self.line.text().charset;
        let bytes = charset.encode(text).map_err(|_| AnswerError::Unencodable {
            what: what.to_owned(),
            charset: charset.label(),
        })?;
        self.bytes.extend(bytes);
        self.bytes.push(b'\r');
        Ok(())
    }

    /// Family and given name, in letters that the device has.
    fn name(&self, order: &OrderForDevice) -> Result<String, AnswerError> {
        let charset = self.line.text().charset;
        let name = format!(
            "{}^{}",
            escaped(order.family.expose()),
            escaped(order.given.expose())
        );
        if !self.line.profile.text.transliterate {
            return Ok(name);
        }
        let (bytes, _) = charset.encode_or_transliterate(&name);
        let decoded = charset.decode(&bytes).map(std::borrow::Cow::into_owned);
        decoded.map_err(|_| AnswerError::Unencodable {
            what: "patient.family".to_owned(),
            charset: charset.label(),
        })
    }

    fn echo(&self, name: &str) -> String {
        let found = self.query.echo.iter().find(|(own, _)| own == name);
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

fn escaped(text: &str) -> String {
    escape::encode(text, Separators::STANDARD).into_owned()
}

/// Lines of a DSR (Mindray BS series host interface manual).
const DSP_ADMISSION: usize = 1;
const DSP_NAME: usize = 3;
const DSP_BIRTH: usize = 4;
const DSP_SEX: usize = 5;
const DSP_BARCODE: usize = 21;
const DSP_COLLECTED: usize = 23;
const DSP_STAT: usize = 24;
const DSP_TYPE: usize = 26;
/// The first line of a test.
const DSP_TESTS: usize = 29;
