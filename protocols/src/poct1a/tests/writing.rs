//! Messages as they are written.

use proptest::prelude::*;

use super::{TIME, message};
use crate::poct1a::{
    AckName, Body, Control, Value, WriteError, Writer,
    observation::Subject,
    read,
    writer::{
        DeviceText, Head, ObservationText, ServiceText, SubjectText, acknowledgement, directive,
        end, end_of_topic, escape_message, event, hello, keep_alive, observations, patient_request,
        request, set_time, status,
    },
};

fn head(control_id: &str) -> Head<'_> {
    Head {
        control_id,
        created: Some(TIME),
    }
}

#[test]
fn every_message_is_written_as_it_is_by_hand() {
    let device = DeviceText {
        id: "00:06:66:00:22:A1",
        serial: Some("00010387"),
        ..DeviceText::default()
    };
    for (written, by_hand) in [
        (hello(head("1"), &device), "hel 1"),
        (status(head("2"), TIME, 3, 4), "dst 2 3 4"),
        (request(head("3"), "ROBS"), "req 3 ROBS"),
        (patient_request(head("4"), "7"), "rpat 4"),
        (directive(head("5"), "LOCK"), "dtv 5 LOCK"),
        (end_of_topic(head("6"), "OBS"), "eot 6 OBS"),
        (end(head("7"), "NRM"), "end 7"),
        (escape_message(head("8"), "3"), "esc 8 3"),
        (keep_alive(head("9")), "kpa 9"),
        (
            acknowledgement(head("10"), AckName::AckControlId, "9", (true, None)),
            "ack 10 9",
        ),
        (
            acknowledgement(head("11"), AckName::AckControlId, "9", (false, None)),
            "nack 11 9",
        ),
    ] {
        let written = written.expect("it is written");
        assert_eq!(written, message(by_hand).as_bytes(), "{by_hand}");
    }
    let clock = set_time(head("1"), TIME).expect("it is written");
    let clock = String::from_utf8(clock.to_vec()).expect("UTF-8");
    let expected = format!(
        "<DTV><DTV.command_cd V=\"SET_TIME\"/></DTV><TM><TM.dttm V=\"{TIME}\"/></TM></DTV.R02>"
    );
    assert!(clock.ends_with(&expected), "{clock}");
}

#[test]
fn observations_of_a_patient_are_written_as_by_hand() {
    let service = ServiceText {
        role: "OBS",
        time: "2026-02-22T14:01:29-00:00",
        reason: None,
        subject: SubjectText::Patient {
            id: "P-17",
            location: None,
        },
        observations: vec![ObservationText {
            id: "2341-6",
            name: Some("Glu"),
            system: Some("LN"),
            value: "8.0",
            unit: Some("mmol/L"),
            ..ObservationText::default()
        }],
        operator: Some("OP 7"),
    };
    let written = observations(head("5"), std::slice::from_ref(&service)).expect("written");
    assert_eq!(written, message("obs 5").as_bytes());
}

#[test]
fn what_cannot_stand_in_a_message_is_refused() {
    let service = |subject| ServiceText {
        role: "OBS",
        time: TIME,
        reason: None,
        subject,
        observations: Vec::new(),
        operator: None,
    };
    let patient = service(SubjectText::Patient {
        id: "1",
        location: None,
    });
    let control = service(SubjectText::Control {
        name: "c",
        lot: "l",
        level: None,
        expires: None,
    });
    let mixed = observations(head("1"), &[patient.clone(), control]);
    assert_eq!(mixed.expect_err("refused").code(), "POC-0403");
    assert_eq!(
        observations(head("1"), &[]).expect_err("refused").code(),
        "POC-0403"
    );
    let nameless = ServiceText {
        observations: vec![ObservationText::default()],
        ..patient
    };
    let nameless = observations(head("1"), &[nameless]).expect_err("refused");
    assert_eq!(nameless.code(), "POC-0402");
    assert_eq!(
        keep_alive(head("")).expect_err("refused").code(),
        "POC-0402"
    );
    let bell = event(head("1"), "a\u{7}b", TIME, "W").expect_err("refused");
    assert_eq!(bell.code(), "POC-0401");
    let element = "EVT.description";
    assert_eq!(bell, WriteError::Character { element, at: 1 });
}

#[test]
fn a_writer_ends_what_it_began() {
    let mut writer = Writer::begin("OPL.R01", head("4")).expect("begun");
    writer.open("OPR");
    writer.value("OPR.operator_id", "50&47").expect("text");
    writer.open("ACC");
    writer.value("ACC.method_cd", "ALL").expect("text");
    let written = writer.finish();
    assert!(written.ends_with(
        b"<OPR><OPR.operator_id V=\"50&amp;47\"/><ACC><ACC.method_cd V=\"ALL\"/></ACC></OPR></OPL.R01>"
    ));
    assert!(read(&written).is_ok());
}

#[derive(Clone, Debug)]
struct Found {
    id: String,
    value: String,
    unit: Option<String>,
    is_qualitative: bool,
    note: Option<String>,
}

/// Whatever XML can hold, and much that it must escape.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => any::<char>().prop_filter("XML has it", |c| {
            (*c >= ' ' || matches!(c, '\t' | '\n' | '\r')) && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
        }),
        2 => prop::sample::select(vec!['<', '>', '&', '"', '\'', ';', '#', ']', ' ', '\n', 'ạ']),
    ];
    prop::collection::vec(character, 0..12).prop_map(String::from_iter)
}

fn found() -> impl Strategy<Value = Found> {
    let id = text().prop_filter("named", |id| {
        !id.trim_ascii().is_empty() && !id.trim().is_empty()
    });
    let note = prop::option::of(text());
    (id, text(), prop::option::of(text()), any::<bool>(), note).prop_map(
        |(id, value, unit, is_qualitative, note)| Found {
            id,
            value,
            unit,
            is_qualitative,
            note,
        },
    )
}

fn said(value: Option<Value<'_>>) -> Option<String> {
    value.map(|value| String::from_utf8(value.unescaped().into_owned()).expect("UTF-8"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_is_read_as_it_was_meant(
        found in prop::collection::vec(found(), 0..5),
        texts in (text(), text(), text()),
        is_patient in any::<bool>(),
    ) {
        let (id, operator, place) = &texts;
        let subject = if is_patient {
            SubjectText::Patient { id, location: Some(place) }
        } else {
            SubjectText::Control { name: id, lot: place, level: Some("1"), expires: None }
        };
        let service = ServiceText {
            role: if is_patient { "OBS" } else { "LQC" },
            time: TIME,
            reason: Some("NEW"),
            subject,
            observations: found.iter().map(|found| ObservationText {
                id: &found.id,
                value: &found.value,
                unit: found.unit.as_deref(),
                is_qualitative: found.is_qualitative,
                note: found.note.as_deref(),
                ..ObservationText::default()
            }).collect(),
            operator: Some(operator),
        };
        let written = observations(head("17"), &[service]).expect("it is written");
        let (message, notes) = read(&written).expect("it is read");
        prop_assert_eq!(notes, []);
        prop_assert_eq!(said(message.header.control_id), Some("17".to_owned()));
        let Body::Observations(services) = &message.body else { panic!("{message:?}") };
        let service = &services[0];
        let control = if is_patient { Control::No } else { Control::Yes };
        prop_assert_eq!(service.control(), control);
        let operator_read = said(service.operator);
        prop_assert_eq!(operator_read.as_ref(), Some(operator));
        let (id_read, place_read) = match service.groups[0].subject {
            Subject::Patient(patient) => (said(patient.id), said(patient.location)),
            Subject::Control(control) => (said(control.name), said(control.lot)),
            Subject::None => panic!("{service:?}"),
        };
        prop_assert_eq!(id_read.as_ref(), Some(id));
        prop_assert_eq!(place_read.as_ref(), Some(place));
        let observations = &service.groups[0].observations;
        prop_assert_eq!(observations.len(), found.len());
        for (observation, found) in observations.iter().zip(&found) {
            prop_assert_eq!(said(Some(observation.id.value)), Some(found.id.clone()));
            let (value, unit) = match (observation.value, observation.qualitative) {
                (Some(value), None) => (value.value, said(value.unit)),
                (None, Some(words)) => (words.value, found.unit.clone()),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(said(Some(value)), Some(found.value.clone()));
            prop_assert_eq!(unit, found.unit.clone());
            prop_assert_eq!(said(observation.notes.first().copied()), found.note.clone());
        }
    }
}
