//! Whatever comes, no reader panics and none loses a segment.

use proptest::prelude::*;

use super::{
    Query, StatusChange,
    analyzer::{Broadcast, QueryReply, StepAnswer, build_order_reply},
    order::{Control, build_no_work},
    order_reply::Reply,
    query::build_reply,
    result::{build_ack, due_code},
    transcripts::transcripts,
};
use crate::{
    hl7::{
        Message, Segment,
        ack::{Outcome, Own},
        tables::OrderStatus,
    },
    wire::Note,
};

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

/// Every segment but MSH is there once, in order; every note lies in the text.
#[track_caller]
fn check_whole<'a>(message: &Message<'a>, held: impl Iterator<Item = Segment<'a>>, notes: &[Note]) {
    let held: Vec<_> = held.map(|segment| segment.index()).collect();
    let sent: Vec<_> = (1..message.segments().len()).collect();
    assert_eq!(held, sent, "{:?}", message.text());
    let len = u64::try_from(message.text().len()).unwrap();
    assert!(notes.iter().all(|note| note.at <= len));
    // Memory is bounded by the segments, whatever stands in them.
    assert!(notes.len() <= NOTES_A_SEGMENT * (message.segments().len() + 1));
    // A segment whose name cannot be read is never passed over.
    let bad = notes.iter().filter(|note| note.code == "LAW-0203").count();
    assert_eq!(bad, message.bad_segments().count());
}

#[track_caller]
fn check_written(text: &str) {
    let (_, notes) = Message::parse(text).unwrap();
    assert!(notes.is_empty(), "{text:?}");
}

fn read_all(text: &str) {
    let Ok((message, _)) = Message::parse(text) else {
        return;
    };
    if let Ok((query, notes)) = Query::read(&message) {
        check_whole(&message, query.segments(), &notes);
        check_written(&build_reply(&query, Outcome::Error, &[], &OWN).unwrap());
        if let Ok(text) = build_no_work(&super::Envelope::default(), &query, "1") {
            check_written(&text);
        }
    }
    if let Ok(reply) = QueryReply::read(&message) {
        assert!(reply.tag().len() <= text.len() && reply.status().len() <= text.len());
    }
    if let Ok((broadcast, notes)) = Broadcast::read(&message) {
        check_whole(&message, broadcast.tree.segments(), &notes);
        let answer = StepAnswer {
            control: "OK",
            status: OrderStatus::Scheduled,
        };
        let answers = vec![answer; broadcast.tree.steps().count()];
        let said = (Outcome::Accepted, [].as_slice());
        check_written(&build_order_reply(&broadcast, said, &answers, &OWN).unwrap());
    }
    if let Ok((reply, notes)) = Reply::read(&message) {
        check_whole(&message, reply.tree.segments(), &notes);
        for asked in [Control::New, Control::Cancel] {
            reply.verdict("AW4711-1", asked);
        }
    }
    if let Ok((change, notes)) = StatusChange::read(&message) {
        check_whole(&message, change.tree.segments(), &notes);
        read_results(&message, &change);
        let code = due_code(&change.header, Outcome::Accepted);
        if let Some(code) = code {
            check_written(&build_ack(&change, code, &[], &OWN).unwrap());
        }
    }
}

/// Every OBX is a result or about a specimen.
fn read_results(message: &Message<'_>, change: &StatusChange<'_, '_>) {
    let about = change.tree.specimens.iter();
    let about: usize = about.map(|group| group.observations().count()).sum();
    assert_eq!(
        change.results().count() + about,
        message.all("OBX").count(),
        "{:?}",
        message.text()
    );
    for (group, step, observation) in change.results() {
        assert!(group.steps.contains(step));
        let tail = observation.obx.tail.len();
        assert!(observation.details().count() + observation.substances().count() <= tail);
        assert!(observation.run().raw.len() <= message.text().len());
        let parts = (observation.class(), observation.status(), step.number());
        assert!(!format!("{parts:?}").is_empty());
    }
    for group in &change.tree.specimens {
        assert!(
            group
                .patient
                .is_none_or(|at| change.tree.patients[at].patient().is_some())
        );
        assert!(group.control().is_none() || group.materials().count() > 0);
        assert!(group.steps.iter().all(|step| !step.segments.is_empty()));
    }
}

#[test]
fn every_message_of_the_chapter_is_read_without_losing_a_segment() {
    for text in transcripts() {
        read_all(&text);
    }
}

#[test]
fn no_prefix_of_a_message_breaks_a_reader() {
    for text in transcripts() {
        for (end, _) in text.char_indices().step_by(3) {
            read_all(text.get(..end).unwrap());
        }
    }
}

/// Some segments of the profile, some of others, some of nobody.
const PIECES: [&str; 24] = [
    "PID|1||P1",
    "PV1|1",
    "SPM|1|S1",
    "SPM|2|S2||||||||||Q",
    "SAC|||C1",
    "SAC|||C2",
    "INV|L|OK|CO",
    "OBR||A1||T",
    "OBR||\"\"||T",
    "OBR||A2||T|||||||G",
    "ORC|SC|A1|||CM",
    "ORC|NW",
    "ORC|DC",
    "ORC|OK|A1|||SC",
    "ORC|UA|A2|||CA",
    "TQ1|||||||||S",
    "TCD|T",
    "OBX|1|NM|T|1|5||||||F",
    "OBX|2|NM|T^^^S_RAW^^IHELAW|2|||||||X",
    "NTE|1||x",
    "ZZZ|1",
    "zz|1",
    "DSC|9",
    "MSA|AA|1",
];

proptest! {
    #[test]
    fn no_damaged_message_breaks_a_reader(
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
        read_all(&text.into_iter().collect::<String>());
    }

    #[test]
    fn segments_in_any_order_are_all_kept(
        pieces in proptest::collection::vec(0..PIECES.len(), 0..20), kind in 0..4_usize,
    ) {
        let kinds = ["OUL^R22", "OML^O33", "ORL^O34", "QBP^Q11"];
        let body: String = pieces.iter().map(|at| format!("{}\r", PIECES[*at])).collect();
        read_all(&format!("MSH|^~\\&|||||||{}|1\r{body}", kinds[kind]));
        read_all(&format!("MSH|^~\\&|||||||{}|1\rMSA|AA|1\rQPD|WOS|1|2\r{body}", kinds[kind]));
    }

    #[test]
    fn no_random_text_breaks_a_reader(text in any::<String>(), kind in 0..5_usize) {
        let kinds = ["OUL^R22", "OML^O33", "ORL^O34", "QBP^Q11", "RSP^K11"];
        read_all(&format!("MSH|^~\\&|||||||{}|1\r{text}", kinds[kind]));
    }
}
