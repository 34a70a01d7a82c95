//! Orders as IHE LAW: RSP^K11 says at once that the query was understood, an OML^O33 for each tube
//! says what is to be done, or that there is nothing (LAB-27, LAB-28).

use labwire_protocols::{
    charset::Charset,
    hl7::{
        Message, Separators,
        ack::{Outcome, Own},
        escape,
        law::{
            Envelope, Query as Asked, WriteError,
            order::{Control, PatientWork, SpecimenWork, StepWork, build, build_no_work},
            query::{QueryName, build_reply},
        },
        material::ContainerDraft,
        tables::{Priority, SpecimenRole},
    },
};

use super::{AnswerError, OrderAction, OrderForDevice, Slots, Stamp, hl7::letters, tubes};
use crate::{
    model::{Query, QueryAction, Sex},
    profile::{AnswerRules, LineProfile, QueryKind, Template, decode::QUERY_MESSAGE},
};

/// What every message needs.
struct Writer<'a> {
    line: &'a LineProfile,
    rules: &'a AnswerRules,
    stamp: &'a Stamp,
    echo: &'a [(String, String)],
    /// MSH-3 to MSH-6, MSH-18, MSH-21.
    own: [String; 6],
    /// MSH-15 and MSH-16, where the profile names them.
    acks: Option<[String; 2]>,
    /// MSH-7.
    now: String,
}

/// MSH-3 where the profile names nobody.
const APPLICATION: &str = "LABWIRE";
/// Coding system of SPM-4 in the words of the hospital, HL7 table 0487.
const SPECIMEN_TYPES: &str = "HL70487";

/// RSP^K11, then the work. A query that is not understood has its RSP^K11 alone.
pub(super) fn answer(
    line: &LineProfile,
    rules: &AnswerRules,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let sent = query.echo.iter().find(|(name, _)| name == QUERY_MESSAGE);
    let sent = sent.map_or("", |(_, text)| text.as_str());
    let (message, _) = Message::parse(sent).map_err(|_| AnswerError::NoQuery)?;
    let (asked, _) = Asked::read(&message).map_err(|_| AnswerError::NoQuery)?;
    let asked = with_meaning(line, asked);
    let mut writer = Writer::new(line, rules, &query.echo, stamp)?;
    writer.answers(&message);
    let own = Own {
        application: &writer.own[0],
        facility: &writer.own[1],
        time: &writer.now,
        control_id: &stamp.control_id,
        charset: &writer.own[4],
        version: "",
    };
    let (outcome, errors) = match asked.asked() {
        Ok(_) => (Outcome::Accepted, Vec::new()),
        Err(problem) => (problem.outcome, vec![problem.error]),
    };
    let reply = build_reply(&asked, outcome, &errors, &own);
    let mut messages = vec![writer.bytes(reply.map_err(WriteError::from))?];
    if outcome != Outcome::Accepted {
        return Ok(messages);
    }
    let tubes = tubes(query, orders);
    let is_asked = |order: &&OrderForDevice| {
        !order.tests.is_empty() && tubes.iter().any(|(_, id)| *id == order.specimen)
    };
    let is_more = query.action == QueryAction::AskMore;
    for (index, order) in orders.iter().filter(is_asked).enumerate() {
        let control_id = format!("{}.{}", stamp.control_id, index + 2);
        messages.push(writer.order(order, Some((&asked, is_more)), &control_id)?);
    }
    if messages.len() == 1 {
        let control_id = format!("{}.2", stamp.control_id);
        match build_no_work(&writer.envelope(&control_id), &asked, &stamp.now) {
            // Who asks for everything names no tube that nothing is to be done with.
            Err(WriteError::NotAnswerable) => {}
            written => messages.push(writer.bytes(written)?),
        }
    }
    Ok(messages)
}

/// OML^O33 that nobody asked for: new work, or work to be left.
pub(super) fn download(
    line: &LineProfile,
    rules: &AnswerRules,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let writer = Writer::new(line, rules, &[], stamp)?;
    let mut messages = Vec::new();
    for (index, order) in orders.iter().enumerate() {
        if order.tests.is_empty() {
            return Err(AnswerError::NoTest);
        }
        let control_id = match index {
            0 => stamp.control_id.clone(),
            _ => format!("{}.{}", stamp.control_id, index + 1),
        };
        messages.push(writer.order(order, None, &control_id)?);
    }
    Ok(messages)
}

/// The query under the name of the profile, where its own is a vendor's.
fn with_meaning<'q>(line: &LineProfile, asked: Asked<'q>) -> Asked<'q> {
    let QueryName::Other(name) = asked.name() else {
        return asked;
    };
    match line.profile.query.kind(name) {
        Some(QueryKind::Additional) => asked.meaning(QueryName::Additional),
        Some(QueryKind::All) => asked.meaning(QueryName::All),
        Some(QueryKind::Place) if asked.qpd.field(6).is_empty() => asked.meaning(QueryName::Rack),
        Some(QueryKind::Place) => asked.meaning(QueryName::Tray),
        Some(QueryKind::Isolate) => asked.meaning(QueryName::Isolate),
        // A number in the place of a barcode is echoed like one, and has no work.
        Some(QueryKind::Container | QueryKind::Sequence) => asked.meaning(QueryName::Container),
        None => asked,
    }
}

impl<'a> Writer<'a> {
    fn new(
        line: &'a LineProfile,
        rules: &'a AnswerRules,
        echo: &'a [(String, String)],
        stamp: &'a Stamp,
    ) -> Result<Self, AnswerError> {
        let mut writer = Self {
            line,
            rules,
            stamp,
            echo,
            own: Default::default(),
            acks: None,
            now: format!("{}{}", stamp.now, stamp.offset),
        };
        let mut own: [String; 6] = Default::default();
        for (place, number) in own.iter_mut().zip([3, 4, 5, 6, 18, 21]) {
            *place = writer.msh(number)?;
        }
        if !rules.msh.contains_key(&3) {
            own[0] = APPLICATION.to_owned();
        }
        if !rules.msh.contains_key(&18) {
            own[4] = charset_name(writer.charset()).to_owned();
        }
        writer.own = own;
        if rules.msh.contains_key(&15) || rules.msh.contains_key(&16) {
            writer.acks = Some([writer.msh(15)?, writer.msh(16)?]);
        }
        Ok(writer)
    }

    /// Work goes to whoever asked, unless the profile names somebody.
    fn answers(&mut self, query: &Message<'_>) {
        let sender = query.header().segment();
        for (place, (own, theirs)) in [(2, (5, 3)), (3, (6, 4))] {
            if !self.rules.msh.contains_key(&own) {
                self.own[place] = sender.field(theirs).raw().to_owned();
            }
        }
    }

    fn envelope<'e>(&'e self, control_id: &'e str) -> Envelope<'e> {
        let [
            application,
            facility,
            receiver,
            receivers_facility,
            charset,
            profile,
        ] = &self.own;
        let acks = self.acks.as_ref();
        Envelope {
            sending_application: application,
            sending_facility: facility,
            receiving_application: receiver,
            receiving_facility: receivers_facility,
            time: &self.now,
            control_id,
            profile,
            acks: acks.map(|[accept, application]| [accept.as_str(), application.as_str()]),
            charset,
        }
    }

    /// One tube: what is to be done, or to be left.
    fn order(
        &self,
        order: &OrderForDevice,
        asked: Option<(&Asked<'_>, bool)>,
        control_id: &str,
    ) -> Result<Vec<u8>, AnswerError> {
        let fields = |templates: &std::collections::BTreeMap<usize, Template>| {
            let rendered = templates
                .iter()
                .map(|(number, template)| Ok((*number, self.render(template, Some(order))?)));
            rendered.collect::<Result<Vec<(usize, String)>, AnswerError>>()
        };
        let (spm, sac) = (fields(&self.rules.spm)?, fields(&self.rules.sac)?);
        let texts = self.texts(order, control_id)?;
        let is_more = asked.is_some_and(|(_, is_more)| is_more);
        let steps: Vec<StepWork<'_>> = texts
            .iter()
            .map(|text| self.step(order, text, is_more))
            .collect();
        let kind = self.rules.specimen_types.get(&order.specimen_type);
        let system = match kind {
            None if !order.specimen_type.is_empty() => SPECIMEN_TYPES,
            Some(_) | None => "",
        };
        let specimen = SpecimenWork {
            id: [&order.specimen, ""],
            kind: [kind.unwrap_or(&order.specimen_type), "", system],
            role: SpecimenRole::Patient,
            collected: &order.collected,
            container: container(order, asked.map(|(asked, _)| asked)),
            spm: &borrowed(&spm),
            sac: &borrowed(&sac),
            steps: &steps,
        };
        let names = [
            letters(self.line, order.family.expose()),
            letters(self.line, order.given.expose()),
        ];
        let ids = [[order.patient_id.expose().as_str(), "", "", "", ""]];
        let patient = PatientWork {
            ids: if order.patient_id.expose().is_empty() {
                &[]
            } else {
                &ids
            },
            name: &[&names[0], &names[1]],
            birth: order.birth.expose(),
            sex: match order.sex {
                Some(Sex::M) => "M",
                Some(Sex::F) => "F",
                Some(Sex::O) => "O",
                None => "U",
            },
        };
        self.bytes(build(
            &self.envelope(control_id),
            Some(&patient),
            &[specimen],
        ))
    }

    fn step<'s>(
        &'s self,
        order: &'s OrderForDevice,
        (number, service): &'s (String, [String; 3]),
        is_reflex: bool,
    ) -> StepWork<'s> {
        let code = order.priority.code();
        let priority = self.rules.priorities.get(code).map_or(code, String::as_str);
        let is_cancel = order.action == OrderAction::Cancel;
        StepWork {
            control: if is_cancel {
                Control::Cancel
            } else {
                Control::New
            },
            number: [number, ""],
            transaction_time: &self.stamp.now,
            service: service.each_ref().map(String::as_str),
            priority: Some(Priority::read(priority)).filter(|_| !is_cancel),
            is_reflex,
            ..StepWork::default()
        }
    }

    /// Number and service of each step. What was never told cannot be taken back.
    fn texts(
        &self,
        order: &OrderForDevice,
        control_id: &str,
    ) -> Result<Vec<(String, [String; 3])>, AnswerError> {
        let mut texts = Vec::with_capacity(order.tests.len());
        for (index, code) in order.tests.iter().enumerate() {
            let number = match order.numbers.get(index).filter(|own| !own.is_empty()) {
                Some(number) => number.clone(),
                None if order.action == OrderAction::Cancel => return Err(AnswerError::NoNumber),
                None => format!("{control_id}-{}", index + 1),
            };
            let mut slots = self.slots(Some(order));
            slots.tests = self.encoded(&escape::encode(code, Separators::STANDARD))?;
            let service = if self.rules.test == Template::default() {
                String::from_utf8(slots.tests).unwrap_or_default()
            } else {
                self.decoded(&slots.render(&self.rules.test)?)?
            };
            let mut parts = service
                .split('^')
                .map(|part| escape::decode(part, Separators::STANDARD).0.into_owned());
            let mut part = || parts.next().unwrap_or_default();
            texts.push((number, [part(), part(), part()]));
        }
        Ok(texts)
    }

    /// A field of MSH by the profile's template; empty without one.
    fn msh(&self, number: usize) -> Result<String, AnswerError> {
        match self.rules.msh.get(&number) {
            Some(template) => self.render(template, None),
            None => Ok(String::new()),
        }
    }

    fn slots<'s>(&'s self, order: Option<&'s OrderForDevice>) -> Slots<'s> {
        Slots {
            line: self.line,
            rules: self.rules,
            stamp: self.stamp,
            specimen: order.map_or("", |order| &order.specimen),
            order,
            index: 0,
            echo: self.echo,
            tests: Vec::new(),
            delimiters: None,
        }
    }

    fn render(
        &self,
        template: &Template,
        order: Option<&OrderForDevice>,
    ) -> Result<String, AnswerError> {
        self.decoded(&self.slots(order).render(template)?)
    }

    fn decoded(&self, bytes: &[u8]) -> Result<String, AnswerError> {
        let text = self.charset().decode(bytes);
        let text = text.map(std::borrow::Cow::into_owned);
        text.map_err(|_| self.unencodable())
    }

    fn encoded(&self, text: &str) -> Result<Vec<u8>, AnswerError> {
        self.charset().encode(text).map_err(|_| self.unencodable())
    }

    fn bytes(&self, written: Result<String, WriteError>) -> Result<Vec<u8>, AnswerError> {
        self.encoded(&written.map_err(|_| AnswerError::Unwritable)?)
    }

    fn charset(&self) -> Charset {
        self.line.text().charset
    }

    fn unencodable(&self) -> AnswerError {
        AnswerError::Unencodable {
            what: "order".to_owned(),
            charset: self.charset().label(),
        }
    }
}

/// MSH-18 of what the device is sent; the profile's own if empty.
fn charset_name(charset: Charset) -> &'static str {
    let names = [
        (Charset::Utf8, ""),
        (Charset::Latin1, "8859/1"),
        (Charset::Ascii, "ASCII"),
    ];
    let known = names.into_iter().find(|(own, _)| *own == charset);
    known.map_or_else(|| charset.label(), |(_, name)| name)
}

fn borrowed(fields: &[(usize, String)]) -> Vec<(usize, &str)> {
    let fields = fields.iter();
    fields
        .map(|(number, text)| (*number, text.as_str()))
        .collect()
}

/// SAC: as the query named container and place, else by the barcode.
fn container(order: &OrderForDevice, asked: Option<&Asked<'_>>) -> ContainerDraft {
    match asked {
        Some(asked) if !asked.qpd.field(3).is_empty() => asked.container(),
        Some(asked) => asked.container().id(&[&order.specimen]),
        None => ContainerDraft::new().id(&[&order.specimen]),
    }
}
