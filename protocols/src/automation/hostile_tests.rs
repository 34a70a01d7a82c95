//! Whatever comes, no reader panics and none loses a segment.

use proptest::prelude::*;

use super::{
    AutomationMessage, Body, Event,
    lifecycle::{ContainerEvent, Life},
    message_tests::transcripts,
    reply::{build_ack, repeat_command},
};
use crate::hl7::{
    Message,
    ack::{Outcome, Own},
};

/// More notes than any segment can cause: SAC has some ten coded fields.
const NOTES_A_SEGMENT: usize = 16;

fn read(text: &str) {
    let Ok((message, _)) = Message::parse(text) else {
        return;
    };
    let Ok((read, notes)) = AutomationMessage::read(&message) else {
        return;
    };
    let held: Vec<_> = read.segments().map(|segment| segment.index()).collect();
    let sent: Vec<_> = (1..message.segments().len()).collect();
    assert_eq!(held, sent, "{text:?}");
    let len = u64::try_from(text.len()).unwrap();
    assert!(notes.iter().all(|note| note.at <= len));
    // Memory is bounded by the segments, whatever stands in them.
    assert!(notes.len() <= NOTES_A_SEGMENT * (message.segments().len() + 1));
    let bad = notes.iter().filter(|note| note.code == "AUT-0203").count();
    assert_eq!(bad, message.bad_segments().count());
    let own = Own {
        version: "2.5.1",
        ..Own::default()
    };
    if let Some(ack) = build_ack(read.header, Outcome::Error, &[], &own).unwrap() {
        assert!(Message::parse(&ack).unwrap().1.is_empty(), "{ack:?}");
    }
    read_body(&read);
}

fn read_body(read: &AutomationMessage<'_, '_>) {
    for group in read.groups() {
        assert!(!group.segments.is_empty());
        let parts = group.containers().count() + group.specimens().count() + group.tests().count();
        assert!(parts <= group.segments.len());
    }
    match &read.body {
        Body::Containers(items) => {
            for item in items {
                let event = ContainerEvent::read(item);
                let next = event.sight.map(|sight| Life::Expected.on(sight).next);
                assert_eq!(next.is_some(), event.status.is_some_and(|s| s.is_known()));
            }
        }
        Body::Commands(items) => {
            for item in items {
                let number = item.of.number().text();
                assert!(read.commands_of(&number).count() > 0);
                assert!(!format!("{:?}", repeat_command(item.of)).is_empty());
            }
        }
        Body::Interactions(_)
        | Body::Substances(_)
        | Body::Notifications(_)
        | Body::Tests(_)
        | Body::Logs(_) => {}
    }
}

#[test]
fn every_message_of_the_chapter_keeps_all_its_segments() {
    for text in transcripts() {
        read(&text);
    }
}

#[test]
fn no_prefix_of_an_automation_message_breaks_the_reader() {
    for text in transcripts() {
        for (end, _) in text.char_indices().step_by(2) {
            read(text.get(..end).unwrap());
        }
    }
}

/// Some segments of the chapter, some of others, some of nobody.
const PIECES: [&str; 22] = [
    "EQU|M1|1|OP",
    "EQU|M2|1",
    "ISD|1|LO|OK",
    "SAC|||T1|||||I",
    "SAC|||T2|||||Q",
    "SPM|1",
    "OBX|1|NM|H||1",
    "INV|R|OK",
    "ECD|1|LO",
    "ECD|2|TT",
    "ECR|OK|1",
    "TQ1|1",
    "CNS|1|2",
    "NDS|1|1|S|X",
    "NTE|1||x",
    "TCC|A|1",
    "EQP|LOG||1||x",
    "ROL||AD|OP|X",
    "SFT|a",
    "ZZZ|1",
    "zz|1",
    "PID|1",
];

proptest! {
    #[test]
    fn no_damaged_automation_message_breaks_the_reader(
        sample in 0..40_usize,
        cuts in proptest::collection::vec(
            (any::<prop::sample::Index>(), r#"[\r\n|^~&\\"A-Z0-9é]{0,4}"#), 0..6,
        ),
    ) {
        let all = transcripts();
        let mut text: Vec<char> = all[sample % all.len()].chars().collect();
        for (index, put) in cuts {
            let at = index.index(text.len());
            text.splice(at..(at + put.len() / 2).min(text.len()), put.chars());
        }
        read(&text.into_iter().collect::<String>());
    }

    #[test]
    fn automation_segments_in_any_order_are_all_kept(
        pieces in proptest::collection::vec(0..PIECES.len(), 0..20), event in 0..14_usize,
    ) {
        let [message_type, trigger, _] = Event::ALL[event].kind();
        let body: String = pieces.iter().map(|at| format!("{}\r", PIECES[*at])).collect();
        read(&format!("MSH|^~\\&|||||||{message_type}^{trigger}|1\r{body}"));
        read(&format!("MSH|^~\\&|||||||{message_type}^{trigger}|1\rEQU|M0|1\r{body}"));
    }

    #[test]
    fn no_random_text_breaks_the_automation_reader(text in any::<String>(), event in 0..14_usize) {
        let [message_type, trigger, _] = Event::ALL[event].kind();
        read(&format!("MSH|^~\\&|||||||{message_type}^{trigger}|1\rEQU|M0|1\r{text}"));
    }
}
