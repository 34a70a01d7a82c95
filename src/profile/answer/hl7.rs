//! Orders as the HL7 2.3.1 messages of Mindray analyzers: ORR^O02 for haematology, QCK^Q02 with
//! DSR^Q03 for chemistry.

use labwire_protocols::hl7::{
    Message,
    ack::{Ack, AckCode, Own},
    build::BuildError,
    mindray::{
        CountOrder, OrderQuery, QueryStatus, SampleOrder, SampleQuery, build_count_order,
        build_dsr, build_qck,
    },
};

use super::{AnswerError, OrderForDevice, Slots, Stamp, tubes};
use crate::{
    model::{Priority, Query, Sex},
    profile::{AnswerForm, AnswerRules, LineProfile, decode::QUERY_MESSAGE},
};

/// What every message of an answer needs.
struct Writer<'a> {
    line: &'a LineProfile,
    rules: &'a AnswerRules,
    query: &'a Query,
    /// Our fields of MSH: application, facility, version, character set.
    own: [String; 4],
    stamp: &'a Stamp,
}

/// QRD-9 and ORC-2 ask about one tube; nobody asks about several.
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
    let mut writer = Writer {
        line,
        rules,
        query,
        own: Default::default(),
        stamp,
    };
    writer.own = [
        writer.msh(3)?,
        writer.msh(4)?,
        writer.msh(12)?,
        writer.msh(18)?,
    ];
    let sent = query.echo.iter().find(|(name, _)| name == QUERY_MESSAGE);
    let sent = sent.map_or("", |(_, text)| text.as_str());
    let (message, _) = Message::parse(sent).map_err(|_| AnswerError::NoQuery)?;
    if rules.form == AnswerForm::OrrO02 {
        return Ok(vec![writer.orr(&message, found.first().copied())?]);
    }
    let asked = SampleQuery::read(&message).map_err(|_| AnswerError::NoQuery)?;
    let status = if found.is_empty() {
        QueryStatus::NotFound
    } else {
        QueryStatus::Found
    };
    let ack = accepted(AckCode::AA);
    let receipt = build_qck(&asked, &ack, status, &writer.own(&stamp.control_id));
    let mut messages = vec![writer.bytes(receipt)?];
    for (index, order) in found.into_iter().enumerate() {
        let control_id = format!("{}.{}", stamp.control_id, index + 2);
        messages.push(writer.dsr(&asked, order, &control_id)?);
    }
    Ok(messages)
}

const fn accepted(code: AckCode) -> Ack<'static> {
    Ack {
        code,
        text: "",
        errors: &[],
    }
}

impl Writer<'_> {
    /// ORR^O02: what to do with one tube, or AR when there is nothing.
    fn orr(
        &self,
        message: &Message<'_>,
        order: Option<&OrderForDevice>,
    ) -> Result<Vec<u8>, AnswerError> {
        let asked = OrderQuery::read(message).map_err(|_| AnswerError::NoQuery)?;
        let own = self.own(&self.stamp.control_id);
        let Some(order) = order else {
            let none = build_count_order(&asked, &accepted(AckCode::AR), None, &own);
            return self.bytes(none);
        };
        let (family, given) = self.name(order);
        let mode = self.mode(order);
        let modes = [
            ["08001", "Take Mode", "99MRC", "A"],
            [
                "08002",
                "Blood Mode",
                "99MRC",
                self.rules.blood_mode.as_str(),
            ],
            ["08003", "Test Mode", "99MRC", mode.as_str()],
        ];
        let count = CountOrder {
            patient_id: [order.patient_id.expose(), "", "", "", "MR"],
            name: [&family, &given],
            birth: order.birth.expose(),
            sex: sex(order, ["Male", "Female", ""]),
            patient_class: "",
            location: ["", "", ""],
            service: ["00001", "Automated Count", "99MRC"],
            collected: &order.collected,
            modes: &modes,
        };
        self.bytes(build_count_order(
            &asked,
            &accepted(AckCode::AA),
            Some(&count),
            &own,
        ))
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

    fn dsr(
        &self,
        asked: &SampleQuery<'_>,
        order: &OrderForDevice,
        control_id: &str,
    ) -> Result<Vec<u8>, AnswerError> {
        let (family, given) = self.name(order);
        let name = format!("{family} {given}");
        let kind = self.rules.specimen_types.get(&order.specimen_type);
        let tests: Vec<[&str; 4]> = order
            .tests
            .iter()
            .map(|code| [code.as_str(), "", "", ""])
            .collect();
        let sample = SampleOrder {
            admission: order.patient_id.expose(),
            name: name.trim(),
            birth: order.birth.expose(),
            sex: sex(order, ["M", "F", "O"]),
            barcode: &order.specimen,
            sample_id: "",
            collected: &order.collected,
            is_stat: order.priority == Priority::Stat,
            specimen_type: kind.unwrap_or(&order.specimen_type),
            tests: &tests,
        };
        let ack = accepted(AckCode::AA);
        self.bytes(build_dsr(asked, &ack, &sample, &self.own(control_id)))
    }

    fn own<'o>(&'o self, control_id: &'o str) -> Own<'o> {
        let [application, facility, version, charset] = &self.own;
        Own {
            application,
            facility,
            time: &self.stamp.now,
            control_id,
            charset,
            version,
        }
    }

    /// A field of MSH by the profile's template; empty without one.
    fn msh(&self, number: usize) -> Result<String, AnswerError> {
        let Some(template) = self.rules.msh.get(&number) else {
            return Ok(String::new());
        };
        let slots = Slots {
            line: self.line,
            rules: self.rules,
            stamp: self.stamp,
            specimen: "",
            order: None,
            index: 0,
            echo: &self.query.echo,
            tests: Vec::new(),
            delimiters: None,
        };
        let bytes = slots.render(template)?;
        let text = self
            .line
            .text()
            .charset
            .decode(&bytes)
            .map(std::borrow::Cow::into_owned);
        text.map_err(|_| self.unencodable("msh"))
    }

    fn bytes(&self, written: Result<String, BuildError>) -> Result<Vec<u8>, AnswerError> {
        let text = written.map_err(|_| AnswerError::Unwritable)?;
        self.line
            .text()
            .charset
            .encode(&text)
            .map_err(|_| self.unencodable("order"))
    }

    fn unencodable(&self, what: &str) -> AnswerError {
        let charset = self.line.text().charset.label();
        AnswerError::Unencodable {
            what: what.to_owned(),
            charset,
        }
    }

    fn name(&self, order: &OrderForDevice) -> (String, String) {
        (
            letters(self.line, order.family.expose()),
            letters(self.line, order.given.expose()),
        )
    }
}

/// A name in letters that the device has, where it may lose their marks.
pub(super) fn letters(line: &LineProfile, name: &str) -> String {
    let charset = line.text().charset;
    let (bytes, is_changed) = charset.encode_or_transliterate(name);
    let plain = charset.decode(&bytes).map(std::borrow::Cow::into_owned);
    match plain {
        Ok(plain) if is_changed && line.profile.text.transliterate => plain,
        _ => name.to_owned(),
    }
}

fn sex<'t>(order: &OrderForDevice, [male, female, other]: [&'t str; 3]) -> &'t str {
    match order.sex {
        Some(Sex::M) => male,
        Some(Sex::F) => female,
        Some(Sex::O) => other,
        None => "",
    }
}
