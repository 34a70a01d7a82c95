//! Whatever comes, no reader panics, and what is read twice reads the same.

use proptest::prelude::*;

use super::{
    Message,
    ack::{Ack, AckCode, AckMode, Answer, ErrSegment, Own, build_ack},
    adt::AdtMessage,
    batch,
    build::{Header, MessageBuilder},
    charset,
    header::peek,
    message::tests::samples,
    mindray::{OrderQuery, SampleQuery},
    observation::Report,
    order::OrderMessage,
    order_reply::{OrderOutcome, build_reply},
    time::Timestamp,
};

const OWN: Own<'_> = Own {
    application: "B",
    facility: "L",
    time: "2025",
    control_id: "1",
    charset: "",
    version: "2.5.1",
};

/// Puts a text through everything that reads; answers must be readable messages again.
fn read_all(text: &str) {
    let peeked = peek(text.as_bytes());
    let names = charset::names(text.as_bytes());
    assert!(names.is_empty() || peeked.is_some());
    if let Ok(cut) = batch::split(text) {
        assert!(
            cut.messages
                .iter()
                .all(|message| message.starts_with("MSH"))
        );
    }
    let Ok((message, _)) = Message::parse(text) else {
        return;
    };
    let peeked = peeked.unwrap();
    assert_eq!(peeked.control_id, message.header().control_id().as_bytes());
    assert_eq!(
        peeked.message_type,
        message.header().message_type().as_bytes()
    );
    let mode = AckMode::of(&message.header());
    assert!(
        mode.immediate(super::ack::Outcome::Accepted)
            .is_none_or(AckCode::is_positive)
    );
    if let Ok(answer) = Answer::read(&message) {
        assert!(answer.error_codes().count() <= answer.errors.len());
    }
    let errors = [ErrSegment::default()];
    let ack = Ack {
        code: AckCode::AE,
        text: "",
        errors: &errors,
    };
    let reply = build_ack(Some(message.header()), &ack, &OWN).unwrap();
    let (parsed, notes) = Message::parse(&reply).unwrap();
    assert!(
        notes.is_empty() && parsed.segments().len() == 3,
        "{reply:?}"
    );
    read_typed(&message, &ack);
    copy_all(&message);
}

fn read_typed(message: &Message<'_>, ack: &Ack<'_>) {
    if let Ok(order) = OrderMessage::read(message) {
        let outcome = OrderOutcome {
            order: 0,
            control: "UA",
            filler: [""; 2],
            status: "",
            reason: ["a|b", "\r", ""],
        };
        let reply = build_reply(&order, ack, &[outcome], true, &OWN).unwrap();
        assert!(Message::parse(&reply).unwrap().1.is_empty(), "{reply:?}");
    }
    if let Ok(adt) = AdtMessage::read(message) {
        assert!(!adt.patients.is_empty());
    }
    if let Ok(report) = Report::read(message) {
        assert_eq!(report.observations().count(), message.all("OBX").count());
        for (_, obx) in report.observations() {
            let at = Timestamp::parse(obx.observed_at());
            assert!(at.is_err() || !obx.observed_at().is_empty());
            assert!(obx.flags().all(|flag| !flag.is_empty()));
        }
    }
    if let Ok(query) = SampleQuery::read(message) {
        assert!(query.query_id().len() <= query.qrd.raw().len());
    }
    if let Ok(query) = OrderQuery::read(message) {
        assert!(query.header.segment().index() == 0);
    }
}

/// A copy of a segment means what the segment meant.
fn copy_all(message: &Message<'_>) {
    for segment in message
        .segments()
        .iter()
        .filter(|s| !s.is_bad() && !s.is_header())
    {
        let mut builder = MessageBuilder::new(&Header::default());
        builder.copy(*segment);
        let text = builder.finish().unwrap();
        let (copy, _) = Message::parse(&text).unwrap();
        let copied = copy.segments()[1];
        assert_eq!(copied.name(), segment.name());
        for n in 1..=segment.n() {
            let (a, b) = (segment.field(n).component(1), copied.field(n).component(1));
            assert_eq!(
                a.subcomponent(1).text(),
                b.subcomponent(1).text(),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_control_character_behind_a_lone_escape_character_is_copied_as_it_was() {
    read_all("MSH|^~\\&|A|B|C|D|2025||ADT^A08|1|P|2.5.1\rNTE|1||a\\E\nb\rNTE|2||\\\u{1}E\\\r");
}

#[test]
fn every_sample_goes_through_every_reader() {
    for text in samples() {
        read_all(&text);
    }
}

#[test]
fn no_prefix_of_a_sample_breaks_a_reader() {
    for text in samples() {
        for (end, _) in text.char_indices().step_by(3) {
            read_all(text.get(..end).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn no_damaged_sample_breaks_a_reader(
        sample in 0..19_usize,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), r"[\r\n|^~&\\A-Z0-9é]{0,4}"), 0..6),
    ) {
        let mut text: Vec<char> = samples()[sample].chars().collect();
        for (index, put) in cuts {
            let at = index.index(text.len());
            text.splice(at..(at + put.len() / 2).min(text.len()), put.chars());
        }
        read_all(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_random_text_breaks_a_reader(text in any::<String>(), kind in 0..6_usize) {
        let kinds = ["ORU^R01", "OUL^R22", "OML^O21", "ORM^O01", "ADT^A40", "QRY^Q02"];
        read_all(&text);
        read_all(&format!("MSH|^~\\&|||||||{}|1\r{text}", kinds[kind]));
    }

    #[test]
    fn no_bytes_break_the_peek(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let message = [b"MSH".as_slice(), bytes.as_slice()].concat();
        for text in [&bytes, &message] {
            prop_assert!(peek(text).is_none_or(|p| p.control_id.len() < text.len()));
        }
    }
}
