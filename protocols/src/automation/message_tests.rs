//! The messages of the chapter as they are read.

use super::{
    AutomationMessage, Body, Event, Group,
    reply::{build_ack, repeat_command, wants_response},
    segments::Command,
};
use crate::hl7::{
    Message, ParseError,
    ack::{ErrSegment, Outcome, Own},
    message::tests::samples,
    tables::{
        AlertLevel, CommandResponse, ContainerStatus, ControlState, EquipmentState, LogEvent,
        ProcessingType, RemoteControl, SubstanceStatus, SubstanceType,
    },
};

/// Messages of our own, besides those of the chapter.
const OWN_SAMPLES: &str = include_str!("samples.hl7");

/// All messages of the chapter and of our own, segments ended with CR.
pub(super) fn transcripts() -> Vec<String> {
    let own = OWN_SAMPLES.split("\n\n");
    let own = own.map(|sample| sample.trim_end().replace('\n', "\r") + "\r");
    let chapter = samples().into_iter();
    chapter
        .filter(|text| text.contains("\rEQU|"))
        .chain(own)
        .collect()
}

/// The message with this MSH-10.
#[track_caller]
pub(super) fn transcript(control_id: &str) -> String {
    let field = format!("|{control_id}|P|");
    let mut found = transcripts()
        .into_iter()
        .filter(|text| text.contains(&field));
    found.next().expect("a message of this control id")
}

/// The codes of the notes of a message.
#[track_caller]
fn noted(text: &str) -> Vec<&'static str> {
    let message = Message::parse(text).unwrap().0;
    let (_, notes) = AutomationMessage::read(&message).unwrap();
    notes.iter().map(|note| note.code).collect()
}

#[test]
fn every_message_of_the_chapter_is_read_without_a_note() {
    let mut events = Vec::new();
    for text in transcripts() {
        let message = Message::parse(&text).unwrap().0;
        let (read, notes) = AutomationMessage::read(&message).unwrap();
        assert_eq!(notes, [], "{text}");
        events.push(read.event);
    }
    for event in Event::ALL {
        assert!(events.contains(&event), "{event:?} has no message here");
    }
}

#[test]
fn events_are_read_as_they_are_written_and_requests_have_their_answers() {
    for event in Event::ALL {
        let [message_type, trigger, structure] = event.kind();
        assert_eq!(Event::read(message_type, trigger), Some(event));
        assert_eq!(structure.len(), 7);
        let is_request = message_type.ends_with('R') && message_type != "EAR";
        assert_eq!(
            event.answer().is_some(),
            is_request || event == Event::Command
        );
    }
    assert_eq!(Event::read("ESU", "U02"), None);
    assert_eq!(
        Event::InventoryRequestItems.answer(),
        Some(Event::Inventory)
    );
}

#[test]
fn the_state_of_an_equipment_and_its_interactions() {
    let text = transcript("E0001");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let equipment = read.equipment;
    assert_eq!(equipment.id().raw(), "CENT1^TRACK");
    assert_eq!(equipment.time().raw(), "20250115100000+0700");
    assert_eq!(equipment.state(), Some(EquipmentState::NormalOperation));
    assert_eq!(equipment.control(), Some(ControlState::Remote));
    assert_eq!(equipment.alert(), Some(AlertLevel::Normal));
    let Body::Interactions(interactions) = &read.body else {
        panic!("interactions")
    };
    let shown: Vec<_> = interactions
        .iter()
        .map(|item| (item.of.number().raw(), item.of.kind(), item.of.state()))
        .collect();
    assert_eq!(
        shown,
        [
            ("4711", Some(RemoteControl::Load), Some(CommandResponse::Ok)),
            (
                "4712",
                Some(RemoteControl::Setup),
                Some(CommandResponse::Error)
            ),
        ]
    );
    let role = read.roles().next().unwrap();
    assert_eq!(role.role().component(1).raw(), "OP");
    assert_eq!(role.person().component(2).raw(), "PHẠM");
    assert_eq!(read.preface.len(), 1);
}

#[test]
fn a_container_that_arrives_is_read_with_its_specimen() {
    let text = transcript("TR000100");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Body::Containers(containers) = &read.body else {
        panic!("containers")
    };
    let [item] = containers.as_slice() else {
        panic!("one container")
    };
    assert_eq!(item.of.id().raw(), "25011500021");
    assert_eq!(item.of.status(), Some(ContainerStatus::Identified));
    assert_eq!(item.of.carrier_id().raw(), "PUCK0231");
    assert_eq!(item.of.location().raw(), "BL1");
    assert_eq!(item.group.equipment.id().component(1).raw(), "BL1");
    let specimen = item.group.specimens().next().unwrap();
    assert_eq!(specimen.id().subcomponent(1, 1).raw(), "25011500021");
}

#[test]
fn reagents_on_board_are_read_to_the_lot() {
    let text = transcript("A000020");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Body::Substances(substances) = &read.body else {
        panic!("substances")
    };
    let reagent = substances[0].of;
    assert_eq!(reagent.id().component(2).raw(), "TSH reagent");
    assert_eq!(reagent.status().collect::<Vec<_>>(), [SubstanceStatus::Ok]);
    assert_eq!(reagent.kind(), Some(SubstanceType::SingleTestReagent));
    let quantities = [
        reagent.initial_quantity(),
        reagent.current_quantity(),
        reagent.available_quantity(),
    ];
    assert_eq!(quantities.map(|field| field.raw()), ["200", "140", "140"]);
    assert_eq!(reagent.units().raw(), "{tests}");
    assert_eq!(
        (reagent.expires().raw(), reagent.lot().raw()),
        ("20250630", "LOT123")
    );
}

#[test]
fn a_command_has_its_container_its_time_and_what_it_clears() {
    let text = transcript("E0007");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Body::Commands(commands) = &read.body else {
        panic!("commands")
    };
    let [clear, spin] = commands.as_slice() else {
        panic!("two commands")
    };
    assert_eq!(clear.of.control(), Some(RemoteControl::ClearNotification));
    assert!(!wants_response(clear.of) && wants_response(spin.of));
    let range = clear.group.clear_range().unwrap();
    assert_eq!(
        (range.first_number().raw(), range.last_number().raw()),
        ("55", "55")
    );
    assert_eq!(range.first_code().component(1).raw(), "CEN0007");
    assert_eq!(spin.of.control(), Some(RemoteControl::Execute));
    let parameters: Vec<_> = spin.of.parameters().repeats().map(|r| r.raw()).collect();
    assert_eq!(parameters, ["SPIN", "1500^g"]);
    assert_eq!(
        spin.group.containers().next().unwrap().id().raw(),
        "25011500021"
    );
    assert_eq!(spin.group.timings().count(), 1);
    assert_eq!(spin.group.specimens().count(), 1);
}

#[test]
fn a_response_is_matched_by_the_number_of_the_command() {
    let text = transcript("E0008");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let outcome = |number: &str| {
        let found: Vec<_> = read
            .commands_of(number)
            .map(|item| item.group.response().unwrap().outcome())
            .collect();
        found
    };
    assert_eq!(outcome("1002"), [Some(CommandResponse::Ok)]);
    assert_eq!(outcome("1003"), [Some(CommandResponse::WrongState)]);
    assert_eq!(outcome("100"), []);
    let route = transcript("TR000101");
    let message = Message::parse(&route).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    assert_eq!(read.commands_of("1001").count(), 1);
}

#[test]
fn a_notification_has_its_severity_and_comment() {
    let text = transcript("TR000120");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    assert_eq!(read.equipment.state(), Some(EquipmentState::Paused));
    let Body::Notifications(notifications) = &read.body else {
        panic!("notifications")
    };
    let item = &notifications[0];
    assert_eq!(item.of.severity(), Some(AlertLevel::Serious));
    assert_eq!(item.of.code().component(2).raw(), "Imbalance");
    let comment = item.group.comments().next().unwrap();
    assert_eq!(comment.field(3).raw(), "Rotor imbalance, 2 tubes in buffer");
}

#[test]
fn test_settings_stay_with_their_specimen() {
    let text = transcript("E0010");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Body::Tests(groups) = &read.body else {
        panic!("tests")
    };
    let shown: Vec<_> = groups
        .iter()
        .map(|group| {
            let specimen = group.specimens().next().unwrap();
            let tests: Vec<_> = group
                .tests()
                .map(|test| test.application().component(1).raw())
                .collect();
            (specimen.kind().component(1).raw(), tests)
        })
        .collect();
    assert_eq!(
        shown,
        [("SER", vec!["TSH-3", "FT4-2"]), ("PLAS", vec!["TSH-3P"])]
    );
    let first = groups[0].tests().next().unwrap();
    assert_eq!(first.processing(), Some(ProcessingType::Production));
    assert_eq!(first.dynamic_range().raw(), "^0.01^-^100");
    assert_eq!(
        (first.warning_level().raw(), first.rerun_allowed().raw()),
        ("20", "Y")
    );
}

#[test]
fn log_entries_are_read_with_their_data() {
    let text = transcript("E0012");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Body::Logs(logs) = &read.body else {
        panic!("logs")
    };
    let kinds: Vec<_> = logs.iter().map(|item| item.of.kind()).collect();
    assert_eq!(kinds, [Some(LogEvent::Log), Some(LogEvent::Service)]);
    assert_eq!(logs[0].of.data().raw(), "412 tests, 3 reruns");
}

#[test]
fn what_is_said_after_another_equipment_is_of_that_one() {
    let text = concat!(
        "MSH|^~\\&|TRACK|LAB|||1||SSU^U03^SSU_U03|1|P|2.5.1\rEQU|M1|1\rSAC|||T1|||||I\rSAC|||T2|||||I\r",
        "EQU|M2|1\rSAC|||T3|||||I\rROL||AD|OP|X\rSAC|||T4|||||I\r",
    );
    let message = Message::parse(text).unwrap().0;
    let (read, notes) = AutomationMessage::read(&message).unwrap();
    let codes: Vec<_> = notes.iter().map(|note| note.code).collect();
    assert_eq!(codes, ["AUT-0204"]);
    let Body::Containers(containers) = &read.body else {
        panic!("containers")
    };
    let shown: Vec<_> = containers
        .iter()
        .map(|item| (item.of.id().raw(), item.group.equipment.id().raw()))
        .collect();
    assert_eq!(
        shown,
        [("T1", "M1"), ("T2", "M1"), ("T3", "M2"), ("T4", "M2")]
    );
    assert_eq!(read.heads.len(), 2);
    assert_eq!(read.equipment.id().raw(), "M1");
}

#[test]
fn a_test_code_without_a_specimen_is_a_group_of_its_own() {
    let text = concat!(
        "MSH|^~\\&|A|B|||1||TCU^U10^TCU_U10|1|P|2.4\rEQU|M1|1\r",
        "TCC|A|1\rTCC|B|2\rROL||AD|OP|X\rTCC|C|3\r",
    );
    let message = Message::parse(text).unwrap().0;
    let (read, notes) = AutomationMessage::read(&message).unwrap();
    assert_eq!(notes, []);
    let groups: Vec<_> = read
        .groups()
        .iter()
        .map(|group| group.tests().count())
        .collect();
    assert_eq!(groups, [2, 1]);
}

#[test]
fn what_is_amiss_is_noted_and_kept() {
    for (from, to, codes) in [
        ("|2.5.1|", "|2.3.1|", ["AUT-0101"].as_slice()),
        ("|2.5.1|", "|2.4|", &[]),
        ("|2.5.1|", "|2.6|", &[]),
        ("SSU_U03|", "|", &["AUT-0102"]),
        ("TR000100|P", "TR000100|T", &["AUT-0103"]),
        ("\rSAC|", "\rZAC|1\rSAC|", &["AUT-0201"]),
        ("\rSAC|", "\rECD|1|LO\rSAC|", &["AUT-0202"]),
        ("\rSAC|", "\rINV||OK\rSAC|", &["AUT-0202", "AUT-0206"]),
        ("\rSAC|", "\rxx|1\rSAC|", &["AUT-0203"]),
        ("N^Normal^HL70367", "N^Normal^HL70367|more", &["AUT-0205"]),
        ("BL1^TRACK", "", &["AUT-0206"]),
        ("|R^Remote", "|Q^Remote", &["AUT-0207"]),
        ("|I^Identified", "|Z^Identified", &["AUT-0207"]),
        ("|I^Identified^HL70370|", "||", &["AUT-0304"]),
        ("|||25011500021|||||I", "||||||||I", &["AUT-0303"]),
        ("|||25011500021|||||I", "|||^X|||||I", &["AUT-0303"]),
    ] {
        let text = transcript("TR000100").replace(from, to);
        assert_eq!(noted(&text), codes, "{to}");
    }
}

#[test]
fn a_message_that_does_not_say_what_it_is_about_is_noted() {
    let body =
        |kind: &str, body: &str| format!("MSH|^~\\&|A|B|||1||{kind}|1|P|2.5.1\rEQU|M1|1\r{body}");
    assert_eq!(noted(&body("ESU^U01^ESU_U01", "")), [""; 0]);
    assert_eq!(noted(&body("ESR^U02^ESR_U02", "")), [""; 0]);
    assert_eq!(noted(&body("INU^U05^INU_U05", "")), ["AUT-0301"]);
    assert_eq!(noted(&body("INR^U14^INR_U14", "INV|R|OK\r")), ["AUT-0104"]);
    assert_eq!(
        noted(&body("EAR^U08^EAR_U08", "ECD|1|LO\rECD|1|LO\rECR|OK|1\r")),
        ["AUT-0302", "AUT-0306"]
    );
    assert_eq!(
        noted(&body("EAC^U07^EAC_U07", "ECD|7|LO\rECD|7|UN\r")),
        ["AUT-0306"]
    );
    assert_eq!(noted(&body("TCU^U10^TCU_U10", "SPM|1\r")), ["AUT-0305"]);
}

#[test]
fn a_message_of_another_chapter_or_of_no_equipment_is_refused() {
    for (text, error) in [
        (
            "MSH|^~\\&|||||||ORU^R01|1\rEQU|1|1\r",
            ParseError::WrongType,
        ),
        (
            "MSH|^~\\&|||||||ESU^U02|1\rEQU|1|1\r",
            ParseError::WrongType,
        ),
        (
            "MSH|^~\\&|||||||SSU^U03|1\rSAC|||T1\r",
            ParseError::SegmentMissing("EQU"),
        ),
    ] {
        let message = Message::parse(text).unwrap().0;
        assert_eq!(AutomationMessage::read(&message).unwrap_err(), error);
    }
}

const OWN: Own<'_> = Own {
    application: "BRIDGE",
    facility: "LAB",
    time: "20250115095501+0700",
    control_id: "BR1",
    charset: "UNICODE UTF-8",
    version: "2.5.1",
};

#[test]
fn a_message_is_acknowledged_as_it_asks() {
    let ack = |acks: &str, outcome, errors: &[ErrSegment]| {
        let text = transcript("TR000100").replace("|AL|NE|", acks);
        let message = Message::parse(&text).unwrap().0;
        let (read, _) = AutomationMessage::read(&message).unwrap();
        build_ack(read.header, outcome, errors, &OWN).unwrap()
    };
    assert_eq!(
        ack("|AL|NE|", Outcome::Accepted, &[]).unwrap(),
        concat!(
            "MSH|^~\\&|BRIDGE|LAB|TRACK|LAB|20250115095501+0700||ACK^U03^ACK|BR1|P|2.5.1",
            "||||||UNICODE UTF-8\rMSA|CA|TR000100\r",
        )
    );
    let error = ErrSegment {
        code: 103,
        ..ErrSegment::default()
    };
    let refused = ack("|||", Outcome::Error, &[error]).unwrap();
    assert!(
        refused.ends_with("MSA|AE|TR000100\rERR|||103^Table value not found^HL70357|E\r"),
        "{refused}"
    );
    let not_stored = ack("|AL|NE|", Outcome::NotStored, &[]).unwrap();
    assert!(
        not_stored.ends_with("MSA|CE|TR000100\rERR|||207^Application internal error^HL70357|E\r"),
        "{not_stored}"
    );
    assert_eq!(ack("|NE|NE|", Outcome::Accepted, &[]), None);
}

#[test]
fn a_response_repeats_the_command_as_it_was_sent() {
    let text = "MSH$%*!/$A$B$$$1$$EAC%U07%EAC_U07$1$P$2.5.1\rEQU$M1$1\rECD$10^1$TT%Go|there\r";
    let message = Message::parse(text).unwrap().0;
    let command = Command::new(message.first("ECD").unwrap());
    let repeated = repeat_command(command);
    let mut builder = crate::hl7::build::MessageBuilder::new(&crate::hl7::build::Header::default());
    builder.push(crate::hl7::views::Draft::writer(&repeated).clone());
    let written = builder.finish().unwrap();
    assert!(
        written.ends_with("ECD|10\\S\\1|TT^Go\\F\\there\r"),
        "{written}"
    );
}

/// Groups are slices: nothing is copied, however long a message is.
#[test]
fn a_group_is_a_view_of_the_message() {
    let text = transcript("E0010");
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = AutomationMessage::read(&message).unwrap();
    let Group { segments, .. } = read.groups()[0];
    assert!(std::ptr::eq(
        segments.as_ptr(),
        message.segments().get(2..).unwrap().as_ptr()
    ));
}
