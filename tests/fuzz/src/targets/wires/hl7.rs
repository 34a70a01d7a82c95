//! HL7 v2: the split, typed messages, IHE LAW, chapter 13.

use labwire_protocols::{
    automation::{
        self, AutomationMessage,
        reply::{build_ack as automation_ack, repeat_command},
    },
    hl7::{
        Message, Segment,
        ack::{Ack, AckCode, AckMode, Answer, ErrSegment, Outcome, Own, build_ack},
        adt::AdtMessage,
        batch,
        build::{Header, MessageBuilder},
        charset,
        header::peek,
        law::{
            Query, StatusChange,
            analyzer::{Broadcast, QueryReply},
            order::Control,
            order_reply::Reply,
            query::build_reply,
            result::{build_ack as law_ack, due_code},
        },
        mindray::{OrderQuery, SampleQuery},
        observation::Report,
        order::OrderMessage,
        order_reply::{OrderOutcome, build_reply as build_order_reply},
        time::Timestamp,
    },
    wire::Note,
};

use crate::targets::feed;

const OWN: Own<'_> = Own {
    application: "B",
    facility: "L",
    time: "2025",
    control_id: "1",
    charset: "",
    version: "2.5.1",
};

/// More notes than any segment can cause: SAC has some ten coded fields.
const NOTES_A_SEGMENT: usize = 16;

/// Messages of every kind, which chance alone would take long to begin.
fn text_of(data: &[u8], kinds: &[&str]) -> String {
    let text = feed::text(data);
    let Some((first, rest)) = text.split_at_checked(1) else {
        return text.into_owned();
    };
    let at = usize::from(first.as_bytes()[0]);
    match kinds.get(at.wrapping_sub(usize::from(b'a'))) {
        Some(kind) => format!("MSH|^~\\&|A|B|||2025||{kind}|7|P|2.5.1\r{rest}"),
        None => text.into_owned(),
    }
}

pub(crate) fn message(data: &[u8]) {
    let kinds = [
        "ORU^R01", "ORM^O01", "OML^O21", "ADT^A40", "ACK", "QRY^Q02", "ORL^O22", "OML^O33",
    ];
    let text = text_of(data, &kinds);
    let peeked = peek(text.as_bytes());
    let names = charset::names(text.as_bytes());
    assert!(names.is_empty() || peeked.is_some());
    if let Ok(cut) = batch::split(&text) {
        assert!(
            cut.messages
                .iter()
                .all(|message| message.starts_with("MSH"))
        );
        let length: usize = cut.messages.iter().map(|message| message.len()).sum();
        assert!(length <= text.len(), "a batch holds no more than was sent");
    }
    let Ok((message, notes)) = Message::parse(&text) else {
        return;
    };
    let length = u64::try_from(text.len()).expect("an input is short");
    assert!(notes.iter().all(|note| note.at <= length));
    assert_eq!(
        peeked.map(|peeked| peeked.control_id),
        Some(message.header().control_id().as_bytes())
    );
    nothing_is_lost(&message);
    let errors = [ErrSegment::default()];
    let ack = Ack {
        code: AckCode::AE,
        text: "",
        errors: &errors,
    };
    let reply = build_ack(Some(message.header()), &ack, &OWN).expect("an answer can be written");
    is_written(&reply);
    let mode = AckMode::of(&message.header());
    assert!(
        mode.immediate(Outcome::Accepted)
            .is_none_or(AckCode::is_positive)
    );
    if let Ok(answer) = Answer::read(&message) {
        assert!(answer.error_codes().count() <= answer.errors.len());
    }
    typed(&message, &ack);
    copied(&message);
}

/// Segments lie apart in their order, with nothing but line ends between; parts joined are the whole.
fn nothing_is_lost(message: &Message<'_>) {
    let text = message.text();
    let mut end = 0;
    for (index, segment) in message.segments().iter().enumerate() {
        assert_eq!(segment.index(), index);
        let span = segment.span();
        let between = text
            .get(end..span.start)
            .expect("segments lie apart, in order");
        let mark = if index == 0 { '\u{feff}' } else { '\r' };
        assert!(
            between
                .chars()
                .all(|c| c.is_whitespace() || c.is_control() || c == mark),
            "{between:?} is in no segment"
        );
        assert_eq!(text.get(span.clone()), Some(segment.raw()));
        end = span.end;
        parts(*segment);
    }
    let rest = text.get(end..).unwrap_or_default();
    assert!(
        rest.chars().all(|c| c.is_whitespace() || c.is_control()),
        "{rest:?} is in no segment"
    );
    for offset in [0, text.len() / 2, text.len()] {
        if let Some(place) = message.locate(offset) {
            assert!(place.span.end <= text.len());
        }
    }
}

fn parts(segment: Segment<'_>) {
    if segment.is_header() {
        return;
    }
    let separator = char::from(segment.separators().field()).to_string();
    let fields: Vec<_> = segment.fields().map(|field| field.raw()).collect();
    if segment.raw().contains(&separator) {
        let joined = format!("{}{separator}{}", segment.name(), fields.join(&separator));
        assert_eq!(joined, segment.raw());
    }
    let repetition = char::from(segment.separators().repetition()).to_string();
    let component = char::from(segment.separators().component()).to_string();
    for field in segment.fields() {
        let repeats: Vec<_> = field
            .repeats()
            .map(|repeat| {
                let parts: Vec<_> = repeat.components().map(|part| part.raw()).collect();
                parts.join(&component)
            })
            .collect();
        assert_eq!(repeats.join(&repetition), field.raw());
    }
}

fn is_written(text: &str) {
    let (_, notes) = Message::parse(text).expect("what is written can be read");
    assert!(notes.is_empty(), "{notes:?} in {text:?}");
}

fn typed(message: &Message<'_>, ack: &Ack<'_>) {
    if let Ok(order) = OrderMessage::read(message) {
        let outcome = OrderOutcome {
            order: 0,
            control: "UA",
            filler: [""; 2],
            status: "",
            reason: ["a|b", "\r", ""],
        };
        is_written(
            &build_order_reply(&order, ack, &[outcome], true, &OWN)
                .expect("an answer can be written"),
        );
    }
    if let Ok(adt) = AdtMessage::read(message) {
        assert!(!adt.patients.is_empty());
    }
    if let Ok(report) = Report::read(message) {
        assert_eq!(report.observations().count(), message.all("OBX").count());
        for (_, obx) in report.observations() {
            assert!(Timestamp::parse(obx.observed_at()).is_err() || !obx.observed_at().is_empty());
            assert!(obx.flags().all(|flag| !flag.is_empty()));
        }
    }
    if let Ok(query) = SampleQuery::read(message) {
        assert!(query.query_id().len() <= query.qrd.raw().len());
    }
    if let Ok(query) = OrderQuery::read(message) {
        assert_eq!(query.header.segment().index(), 0);
    }
}

fn copied(message: &Message<'_>) {
    let plain = message
        .segments()
        .iter()
        .filter(|s| !s.is_bad() && !s.is_header());
    for segment in plain {
        let mut builder = MessageBuilder::new(&Header::default());
        builder.copy(*segment);
        let text = builder
            .finish()
            .expect("a segment that was read can be copied");
        let (copy, _) = Message::parse(&text).expect("what is written can be read");
        let copy = copy.segments()[1];
        assert_eq!(copy.name(), segment.name());
        for n in 1..=segment.n() {
            let (was, is) = (segment.field(n).component(1), copy.field(n).component(1));
            assert_eq!(
                was.subcomponent(1).text(),
                is.subcomponent(1).text(),
                "{text:?}"
            );
        }
    }
}

/// Every segment but MSH is there once, in order; notes lie in the text and are bounded.
fn is_whole<'a>(message: &Message<'a>, held: impl Iterator<Item = Segment<'a>>, notes: &[Note]) {
    let held: Vec<_> = held.map(|segment| segment.index()).collect();
    let sent: Vec<_> = (1..message.segments().len()).collect();
    assert_eq!(held, sent, "{:?}", message.text());
    let length = u64::try_from(message.text().len()).expect("an input is short");
    assert!(notes.iter().all(|note| note.at <= length));
    assert!(notes.len() <= NOTES_A_SEGMENT * (message.segments().len() + 1));
}

pub(crate) fn law(data: &[u8]) {
    let text = text_of(
        data,
        &["OUL^R22", "OML^O33", "ORL^O34", "QBP^Q11", "RSP^K11"],
    );
    let Ok((message, _)) = Message::parse(&text) else {
        return;
    };
    if let Ok((query, notes)) = Query::read(&message) {
        is_whole(&message, query.segments(), &notes);
        is_written(
            &build_reply(&query, Outcome::Error, &[], &OWN).expect("an answer can be written"),
        );
        std::hint::black_box(query.asked().is_ok());
    }
    if let Ok(reply) = QueryReply::read(&message) {
        assert!(reply.tag().len() <= text.len() && reply.status().len() <= text.len());
    }
    if let Ok((broadcast, notes)) = Broadcast::read(&message) {
        is_whole(&message, broadcast.tree.segments(), &notes);
    }
    if let Ok((reply, notes)) = Reply::read(&message) {
        is_whole(&message, reply.tree.segments(), &notes);
        for asked in [Control::New, Control::Cancel] {
            std::hint::black_box(reply.verdict("AW4711-1", asked));
        }
    }
    if let Ok((change, notes)) = StatusChange::read(&message) {
        is_whole(&message, change.tree.segments(), &notes);
        let about: usize = change
            .tree
            .specimens
            .iter()
            .map(|group| group.observations().count())
            .sum();
        assert_eq!(
            change.results().count() + about,
            message.all("OBX").count(),
            "{text:?}"
        );
        for (_, step, observation) in change.results() {
            assert!(observation.run().raw.len() <= text.len());
            let parts = (observation.class(), observation.status(), step.number());
            assert!(!format!("{parts:?}").is_empty());
        }
        if let Some(code) = due_code(&change.header, Outcome::Accepted) {
            is_written(&law_ack(&change, code, &[], &OWN).expect("an answer can be written"));
        }
    }
}

pub(crate) fn automation(data: &[u8]) {
    let kinds = [
        "ESU^U01", "SSU^U03", "SSR^U04", "INU^U05", "INR^U06", "EAC^U07", "EAR^U08", "EAN^U09",
        "TCU^U10", "TCR^U11", "LSU^U12", "LSR^U13",
    ];
    let text = text_of(data, &kinds);
    let Ok((message, _)) = Message::parse(&text) else {
        return;
    };
    let Ok((read, notes)) = AutomationMessage::read(&message) else {
        return;
    };
    is_whole(&message, read.segments(), &notes);
    if let Some(ack) =
        automation_ack(read.header, Outcome::Error, &[], &OWN).expect("an answer can be written")
    {
        is_written(&ack);
    }
    for group in read.groups() {
        assert!(!group.segments.is_empty());
        let parts = group.containers().count() + group.specimens().count() + group.tests().count();
        assert!(parts <= group.segments.len());
    }
    match &read.body {
        automation::Body::Commands(items) => {
            for item in items {
                assert!(read.commands_of(&item.of.number().text()).count() > 0);
                assert!(!format!("{:?}", repeat_command(item.of)).is_empty());
            }
        }
        automation::Body::Containers(items) => {
            for item in items {
                std::hint::black_box(automation::lifecycle::ContainerEvent::read(item));
            }
        }
        _ => {}
    }
}
