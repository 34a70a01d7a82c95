//! The messages of the chapter as they are written, to the byte and back.

use proptest::prelude::*;

use super::{
    AutomationMessage, Body, Event, Version, WriteError,
    message_tests::transcript,
    segments::{
        ClearRangeDraft, CommandDraft, EquipmentDraft, InteractionDraft, LogEntryDraft,
        NotificationDraft, ResponseDraft, RoleDraft, TestSettingDraft,
    },
    write::{
        CommandContent, ContainerContent, Content, Envelope, Measured, NotificationContent,
        ResponseContent, TestContent, build,
    },
};
use crate::hl7::{
    Message,
    build::BuildError,
    material::{ContainerDraft, SpecimenDraft, SubstanceDraft},
    tables::{
        AlertLevel, CommandResponse, ContainerStatus, ControlState, EquipmentState, LogEvent,
        ProcessingType, RemoteControl, SpecimenRole, SubstanceStatus, SubstanceType,
    },
};

fn from<'a>(who: &'a str, to: &'a str, time: &'a str, control_id: &'a str) -> Envelope<'a> {
    Envelope {
        sending_application: who,
        sending_facility: "LAB",
        receiving_application: to,
        receiving_facility: "LAB",
        time,
        control_id,
        ..Envelope::default()
    }
}

fn equipment(id: &[&str], time: &str) -> EquipmentDraft {
    EquipmentDraft::new().id(id).time(time)
}

fn barcode(id: &str) -> ContainerContent<'static> {
    ContainerContent {
        container: ContainerDraft::new().id(&[id]),
        ..ContainerContent::default()
    }
}

fn in_puck(id: &str) -> ContainerDraft {
    ContainerDraft::new()
        .id(&[id])
        .carrier_id(&["PUCK0231"])
        .carrier_position(&["1"])
}

fn serum() -> SpecimenDraft {
    SpecimenDraft::new()
        .set_id("1")
        .id(&["25011500021", "BRIDGE"], &[])
        .kind(&["SER", "Serum", "HL70487"])
        .role(SpecimenRole::Patient)
}

fn operator() -> RoleDraft {
    RoleDraft::new()
        .action("AD")
        .role(&["OP", "Operator", "HL70443"])
        .person(&["BS020", "PHẠM", "HOA"])
}

#[test]
fn the_arrival_of_the_chapter_is_written_to_the_byte() {
    let time = "20250115095500+0700";
    let equipment = equipment(&["BL1", "TRACK"], time)
        .state(EquipmentState::NormalOperation)
        .control(ControlState::Remote)
        .alert(AlertLevel::Normal);
    let specimens = [serum()];
    let container = ContainerContent {
        container: in_puck("25011500021")
            .status(ContainerStatus::Identified)
            .location(&["BL1"]),
        specimens: &specimens,
        ..ContainerContent::default()
    };
    let envelope = from("TRACK", "BRIDGE", time, "TR000100");
    let content = [container];
    let content = Content::SpecimenStatus(&content);
    assert_eq!(
        build(&envelope, &equipment, &content, None).unwrap(),
        transcript("TR000100")
    );
}

#[test]
fn the_routing_of_the_chapter_is_written_to_the_byte() {
    let time = "20250115095501+0700";
    let command = CommandContent {
        command: CommandDraft::new()
            .number("1001")
            .control(RemoteControl::TransportTo)
            .response_required("Y")
            .parameters(&["DXI1"]),
        complete_by: "",
        container: Some(ContainerContent {
            container: in_puck("25011500021"),
            ..ContainerContent::default()
        }),
        clear: None,
    };
    let envelope = from("BRIDGE", "TRACK", time, "BR000710");
    let content = [command];
    let content = Content::Commands(&content);
    let track = equipment(&["TRACK", "BRIDGE"], time);
    assert_eq!(
        build(&envelope, &track, &content, None).unwrap(),
        transcript("BR000710")
    );
    let time = "20250115095502+0700";
    let response = ResponseContent {
        command: CommandDraft::new()
            .number("1001")
            .control(RemoteControl::TransportTo),
        container: Some(barcode("25011500021")),
        response: ResponseDraft::new()
            .outcome(CommandResponse::Ok)
            .completed(time),
    };
    let envelope = from("TRACK", "BRIDGE", time, "TR000101");
    let content = [response];
    let content = Content::Responses(&content);
    let track = equipment(&["TRACK", "BRIDGE"], time);
    assert_eq!(
        build(&envelope, &track, &content, None).unwrap(),
        transcript("TR000101")
    );
}

#[test]
fn the_notification_and_the_inventory_of_the_chapter_are_written_to_the_byte() {
    let time = "20250115100500+0700";
    let notification = NotificationContent {
        notification: NotificationDraft::new()
            .number("55")
            .time(time)
            .severity(AlertLevel::Serious)
            .code(&["CEN0007", "Imbalance", "99TRK"]),
        comment: "Rotor imbalance, 2 tubes in buffer",
    };
    let content = [notification];
    let paused = equipment(&["CENT1", "TRACK"], time).state(EquipmentState::Paused);
    let envelope = from("TRACK", "BRIDGE", time, "TR000120");
    assert_eq!(
        build(&envelope, &paused, &Content::Notifications(&content), None).unwrap(),
        transcript("TR000120")
    );
    let time = "20250115060000+0700";
    let reagent = SubstanceDraft::new()
        .id(&["R-TSH", "TSH reagent", "99LAB"])
        .status(SubstanceStatus::Ok)
        .kind(SubstanceType::SingleTestReagent)
        .container_id(&["BOT0091"])
        .carrier_position(&["3"])
        .initial_quantity("200")
        .current_quantity("140")
        .available_quantity("140")
        .units(&["{tests}"])
        .expires("20250630")
        .lot("LOT123");
    let content = [reagent];
    let running = equipment(&["AN1", "LAB"], time).state(EquipmentState::NormalOperation);
    let envelope = from("AN1", "BRIDGE", time, "A000020");
    let written = build(&envelope, &running, &Content::Inventory(&content), None).unwrap();
    // The chapter leaves out the texts of the tables, which may always be left out.
    let spare = written
        .replace("OP^Normal Operation^HL70365", "OP")
        .replace("OK^OK Status^", "OK^^")
        .replace("SR^Single Test Reagent^", "SR^^");
    assert_eq!(spare, transcript("A000020"));
}

/// A message that says `content` is `expected`, to the byte.
#[track_caller]
fn check(
    envelope: Envelope<'_>,
    module: &[&str],
    content: &Content<'_>,
    role: Option<&RoleDraft>,
    expected: &str,
) {
    let equipment = equipment(module, envelope.time);
    assert_eq!(
        build(&envelope, &equipment, content, role).unwrap(),
        expected
    );
}

#[test]
fn a_state_with_its_interactions_is_written_to_the_byte() {
    let time = "20250115100000+0700";
    let interactions = [
        InteractionDraft::new()
            .number("4711")
            .kind(RemoteControl::Load)
            .state(CommandResponse::Ok),
        InteractionDraft::new()
            .number("4712")
            .kind(RemoteControl::Setup)
            .state(CommandResponse::Other("ER")),
    ];
    let running = equipment(&["CENT1", "TRACK"], time)
        .state(EquipmentState::NormalOperation)
        .control(ControlState::Remote)
        .alert(AlertLevel::Normal);
    let envelope = from("CENT", "BRIDGE", time, "E0001");
    let content = Content::EquipmentStatus(&interactions);
    assert_eq!(
        build(&envelope, &running, &content, Some(&operator())).unwrap(),
        transcript("E0001").replace("SFT|Vendor|3.1|Track Control\r", "")
    );
    check(
        from("BRIDGE", "CENT", "20250115100010+0700", "E0002"),
        &["CENT1", "TRACK"],
        &Content::EquipmentStatusRequest,
        None,
        &transcript("E0002"),
    );
}

#[test]
fn commands_with_all_they_can_have_are_written_to_the_byte() {
    let clear = CommandContent {
        command: CommandDraft::new()
            .number("1002")
            .control(RemoteControl::ClearNotification)
            .response_required("N"),
        complete_by: "",
        container: None,
        clear: Some(
            ClearRangeDraft::new()
                .first_number("55")
                .last_number("55")
                .first_time("20250115100500+0700")
                .last_time("20250115100500+0700")
                .first_code(&["CEN0007", "Imbalance", "99TRK"]),
        ),
    };
    let specimens = [serum()];
    let spin = CommandContent {
        command: CommandDraft::new()
            .number("1003")
            .control(RemoteControl::Execute)
            .response_required("Y")
            .parameters(&["SPIN"])
            .parameters(&["1500", "g"]),
        complete_by: "20250115103000+0700",
        container: Some(ContainerContent {
            container: in_puck("25011500021"),
            specimens: &specimens,
            ..ContainerContent::default()
        }),
        clear: None,
    };
    check(
        from("BRIDGE", "TRACK", "20250115100600+0700", "E0007"),
        &["CENT1", "TRACK"],
        &Content::Commands(&[clear, spin]),
        Some(&operator()),
        &transcript("E0007"),
    );
}

#[test]
fn responses_good_and_bad_are_written_to_the_byte() {
    let said = |number: &str, control| CommandDraft::new().number(number).control(control);
    let done = ResponseContent {
        command: said("1002", RemoteControl::ClearNotification),
        container: None,
        response: ResponseDraft::new()
            .outcome(CommandResponse::Ok)
            .completed("20250115100601+0700"),
    };
    let not_done = ResponseContent {
        command: said("1003", RemoteControl::Execute),
        container: Some(ContainerContent {
            container: in_puck("25011500021"),
            ..ContainerContent::default()
        }),
        response: ResponseDraft::new()
            .outcome(CommandResponse::WrongState)
            .completed("20250115100602+0700")
            .parameters(&["paused"]),
    };
    check(
        from("TRACK", "BRIDGE", "20250115100700+0700", "E0008"),
        &["CENT1", "TRACK"],
        &Content::Responses(&[done, not_done]),
        None,
        &transcript("E0008"),
    );
}

#[test]
fn requests_for_containers_and_reagents_are_written_to_the_byte() {
    check(
        from("BRIDGE", "TRACK", "20250115100020+0700", "E0004"),
        &["TRACK", "BRIDGE"],
        &Content::SpecimenStatusRequest(&[barcode("25011500021"), barcode("25011500022")]),
        None,
        &transcript("E0004"),
    );
    let reagent = [SubstanceDraft::new()
        .id(&["R-TSH", "TSH reagent", "99LAB"])
        .status(SubstanceStatus::Ok)];
    check(
        from("BRIDGE", "AN1", "20250115100030+0700", "E0006"),
        &["AN1", "LAB"],
        &Content::InventoryRequest(&reagent),
        None,
        &transcript("E0006"),
    );
    let envelope = Envelope {
        version: Version::V26,
        ..from("BRIDGE", "AN1", "20250115100040+0700", "E0014")
    };
    check(
        envelope,
        &["AN1", "LAB"],
        &Content::InventoryRequestItems(&reagent),
        None,
        &transcript("E0014").replace("UAC|KERB^Kerberos^HL70615|x\r", ""),
    );
}

#[test]
fn settings_and_the_request_for_them_are_written_to_the_byte() {
    let of = |kind: &[&str], set_id: &str| Some(SpecimenDraft::new().set_id(set_id).kind(kind));
    let test = |service: &[&str], application: &[&str]| {
        TestSettingDraft::new()
            .service(service)
            .application(application)
    };
    let tsh = ["TSH", "TSH", "99LAB"];
    let serum_tests = [
        test(&tsh, &["TSH-3", "AN1"])
            .auto_dilution(&["", "1", ":", "5"])
            .rerun_dilution(&["", "1", ":", "10"])
            .warning_level("20")
            .rerun_allowed("Y")
            .repeat_allowed("Y")
            .reflex_allowed("N")
            .dynamic_range(&["", "0.01", "-", "100"])
            .units(&["mIU/L", "", "UCUM"])
            .processing(ProcessingType::Production),
        test(&["FT4", "FT4", "99LAB"], &["FT4-2", "AN1"]),
    ];
    let plasma_tests = [test(&tsh, &["TSH-3P", "AN1"])];
    let group = |specimen, tests| TestContent { specimen, tests };
    let settings = [
        group(of(&["SER", "Serum", "HL70487"], "1"), &serum_tests),
        group(of(&["PLAS", "Plasma", "HL70487"], "2"), &plasma_tests),
    ];
    check(
        from("AN1", "BRIDGE", "20250115060000+0700", "E0010"),
        &["AN1", "LAB"],
        &Content::TestSettings(&settings),
        None,
        &transcript("E0010"),
    );
    let asked = [test(&tsh, &["TSH-3", "AN1"])];
    let envelope = Envelope {
        version: Version::V24,
        ..from("BRIDGE", "AN1", "20250115055900+0700", "E0011")
    };
    check(
        envelope,
        &["AN1", "LAB"],
        &Content::TestSettingsRequest(&[group(None, &asked)]),
        None,
        &transcript("E0011"),
    );
}

#[test]
fn log_entries_and_the_request_for_them_are_written_to_the_byte() {
    let entries = [
        LogEntryDraft::new()
            .kind(LogEvent::Log)
            .file("an1-0115.log")
            .start("20250115000000+0700")
            .end("20250115225959+0700")
            .data("412 tests, 3 reruns"),
        LogEntryDraft::new()
            .kind(LogEvent::Service)
            .start("20250115120000+0700")
            .data("probe washed"),
    ];
    check(
        from("AN1", "BRIDGE", "20250115230000+0700", "E0012"),
        &["AN1", "LAB"],
        &Content::Log(&entries),
        None,
        &transcript("E0012"),
    );
    let asked = [LogEntryDraft::new()
        .kind(LogEvent::Log)
        .start("20250115000000+0700")
        .data("all")];
    check(
        from("BRIDGE", "AN1", "20250115230100+0700", "E0013"),
        &["AN1", "LAB"],
        &Content::LogRequest(&asked),
        None,
        &transcript("E0013"),
    );
}

/// What a message of `version` about module M1 is refused for.
#[track_caller]
fn check_refused(version: Version, content: &Content<'_>, error: WriteError) {
    let envelope = Envelope {
        version,
        ..Envelope::default()
    };
    let written = build(&envelope, &equipment(&["M1"], "1"), content, None);
    assert_eq!(written, Err(error));
}

#[test]
fn a_message_that_says_nothing_is_not_written() {
    for content in [
        Content::SpecimenStatus(&[]),
        Content::SpecimenStatusRequest(&[]),
        Content::Inventory(&[]),
        Content::InventoryRequest(&[]),
        Content::Commands(&[]),
        Content::Responses(&[]),
        Content::Notifications(&[]),
        Content::TestSettings(&[]),
        Content::TestSettingsRequest(&[]),
        Content::Log(&[]),
        Content::LogRequest(&[]),
        Content::TestSettings(&[TestContent {
            specimen: None,
            tests: &[],
        }]),
    ] {
        check_refused(Version::V251, &content, WriteError::NothingToSay);
    }
    let full = equipment(&["M1"], "1");
    let state = Content::EquipmentStatus(&[]);
    assert!(build(&Envelope::default(), &full, &state, None).is_ok());
}

#[test]
fn a_segment_without_its_required_fields_is_not_written() {
    let missing = WriteError::FieldMissing;
    let request = Content::EquipmentStatusRequest;
    let envelope = Envelope::default();
    for (equipment, field) in [
        (EquipmentDraft::new(), 1),
        (EquipmentDraft::new().id(&["M1"]), 2),
    ] {
        let written = build(&envelope, &equipment, &request, None);
        assert_eq!(written, Err(missing("EQU", field)));
    }
    let role = RoleDraft::new().action("AD");
    let written = build(&envelope, &equipment(&["M1"], "1"), &request, Some(&role));
    assert_eq!(written, Err(missing("ROL", 3)));
    let reagent = [SubstanceDraft::new().id(&["R"])];
    let content = Content::Inventory(&reagent);
    check_refused(Version::V251, &content, missing("INV", 2));
    let unsaid = [CommandContent {
        command: CommandDraft::new().number("1"),
        complete_by: "",
        container: None,
        clear: None,
    }];
    let content = Content::Commands(&unsaid);
    check_refused(Version::V251, &content, missing("ECD", 2));
    for id in [["", ""], ["", "NAMESPACE"]] {
        let nameless = [ContainerContent {
            container: ContainerDraft::new().id(&id),
            ..ContainerContent::default()
        }];
        let content = Content::SpecimenStatus(&nameless);
        check_refused(Version::V251, &content, WriteError::NoContainer);
    }
    let many = ["x"; 300];
    let written = build(&envelope, &equipment(&many, "1"), &request, None);
    assert_eq!(written, Err(BuildError::TooManyComponents.into()));
}

#[test]
fn what_a_version_does_not_have_is_not_left_out_silently() {
    let reagent = [SubstanceDraft::new().id(&["R"]).status(SubstanceStatus::Ok)];
    let content = Content::InventoryRequestItems(&reagent);
    check_refused(Version::V251, &content, WriteError::NotInVersion("U14"));
    let specimens = [serum()];
    let with_specimen = [ContainerContent {
        specimens: &specimens,
        ..barcode("T1")
    }];
    let content = Content::SpecimenStatus(&with_specimen);
    check_refused(Version::V24, &content, WriteError::NotInVersion("SPM"));
    let full = equipment(&["M1"], "1");
    assert!(build(&Envelope::default(), &full, &content, None).is_ok());
    let tests = [TestSettingDraft::new().service(&["T"]).application(&["A"])];
    let settings = [TestContent {
        specimen: Some(serum()),
        tests: &tests,
    }];
    let content = Content::TestSettings(&settings);
    check_refused(Version::V24, &content, WriteError::NotInVersion("SPM"));
    let timed = [CommandContent {
        command: CommandDraft::new().number("1").control(RemoteControl::Load),
        complete_by: "20250115103000",
        container: None,
        clear: None,
    }];
    let content = Content::Commands(&timed);
    check_refused(Version::V24, &content, WriteError::NotInVersion("TQ1"));
}

#[test]
fn what_was_measured_on_a_container_stands_below_it() {
    let measured = [Measured {
        value_type: "NM",
        code: &["HIL-H"],
        value: &["12"],
        unit: &["1"],
    }];
    let containers = [ContainerContent {
        measured: &measured,
        container: ContainerDraft::new()
            .id(&["T1"])
            .status(ContainerStatus::Completed),
        ..ContainerContent::default()
    }];
    let content = Content::SpecimenStatus(&containers);
    let written = build(
        &Envelope::default(),
        &equipment(&["M1"], "1"),
        &content,
        None,
    )
    .unwrap();
    assert!(
        written.ends_with("\rOBX|1|NM|HIL-H||12|1|||||F\r"),
        "{written}"
    );
    let message = Message::parse(&written).unwrap().0;
    let (read, notes) = AutomationMessage::read(&message).unwrap();
    assert_eq!(notes, []);
    assert_eq!(read.groups()[0].observations().count(), 1);
}

proptest! {
    #[test]
    fn events_of_any_text_read_as_they_were_written(
        texts in proptest::collection::vec(".+", 6), status in 0..8_usize, version in 0..4_usize,
    ) {
        let [module, container, parent, carrier, place, code] = texts.as_slice() else { unreachable!() };
        let version = Version::ALL[version];
        let envelope = Envelope { version, ..Envelope::default() };
        let status = ContainerStatus::ALL[status];
        let containers = [ContainerContent {
            container: ContainerDraft::new()
                .id(&[container])
                .primary_id(&[parent])
                .carrier_id(&[carrier])
                .location(&[place])
                .location(&[module])
                .status(status),
            ..ContainerContent::default()
        }];
        let content = Content::SpecimenStatus(&containers);
        let written = build(&envelope, &equipment(&[module], "1"), &content, None).unwrap();
        let message = Message::parse(&written).unwrap().0;
        let (read, notes) = AutomationMessage::read(&message).unwrap();
        prop_assert_eq!(notes, []);
        prop_assert_eq!(read.event, Event::SpecimenStatus);
        let Body::Containers(items) = &read.body else { panic!("containers") };
        let event = super::lifecycle::ContainerEvent::read(&items[0]);
        prop_assert_eq!(event.module.id, module.as_str());
        prop_assert_eq!(event.container, container.as_str());
        prop_assert_eq!(event.parent, parent.as_str());
        prop_assert_eq!(event.carrier, carrier.as_str());
        prop_assert_eq!(event.location, [place.as_str(), module.as_str()]);
        prop_assert_eq!(event.status, Some(status));

        let notifications = [NotificationContent {
            notification: NotificationDraft::new()
                .number("1").time("1").severity(AlertLevel::Critical).code(&[code]),
            comment: place,
        }];
        let content = Content::Notifications(&notifications);
        let written = build(&envelope, &equipment(&[module], "1"), &content, None).unwrap();
        let message = Message::parse(&written).unwrap().0;
        let (read, notes) = AutomationMessage::read(&message).unwrap();
        prop_assert_eq!(notes, []);
        let Body::Notifications(items) = &read.body else { panic!("notifications") };
        prop_assert_eq!(items[0].of.code().component(1).text(), code.as_str());
        prop_assert_eq!(items[0].group.comments().next().unwrap().field(3).text(), place.as_str());
    }

    #[test]
    fn a_command_and_its_response_meet_by_any_number(number in ".+", parameter in ".+") {
        let envelope = Envelope::default();
        let commands = [CommandContent {
            command: CommandDraft::new()
                .number(&number).control(RemoteControl::Execute).response_required("Y")
                .parameters(&[&parameter]),
            complete_by: "",
            container: None,
            clear: None,
        }];
        let sent = build(&envelope, &equipment(&["M1"], "1"), &Content::Commands(&commands), None)
            .unwrap();
        let message = Message::parse(&sent).unwrap().0;
        let (read, _) = AutomationMessage::read(&message).unwrap();
        let command = read.commands_of(&number).next().unwrap();
        prop_assert_eq!(command.of.parameters().component(1).text(), parameter.as_str());
        prop_assert!(super::reply::wants_response(command.of));

        let responses = [ResponseContent {
            command: super::reply::repeat_command(command.of),
            container: None,
            response: ResponseDraft::new().outcome(CommandResponse::Ok).completed("1"),
        }];
        let content = Content::Responses(&responses);
        let sent = build(&envelope, &equipment(&["M1"], "1"), &content, None).unwrap();
        let message = Message::parse(&sent).unwrap().0;
        let (read, notes) = AutomationMessage::read(&message).unwrap();
        prop_assert_eq!(notes, []);
        let response = read.commands_of(&number).next().unwrap();
        prop_assert_eq!(response.group.response().unwrap().outcome(), Some(CommandResponse::Ok));
    }
}
