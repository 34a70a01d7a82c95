//! Messages as they are read, and what is not.

use super::{TIME, message};
use crate::poct1a::{
    Body, Control, Document, Message, ReadError, Service, Value, observation::Subject, read,
};

fn text(value: Option<Value<'_>>) -> String {
    let value = value.expect("there is a value");
    String::from_utf8(value.unescaped().into_owned()).expect("UTF-8")
}

fn read_with(body: &str, name: &str) -> (String, Result<Vec<&'static str>, ReadError>) {
    let bytes = format!("<{name}><HDR><HDR.control_id V=\"1\"/></HDR>{body}</{name}>");
    let read = read(bytes.as_bytes());
    let codes = read.map(|(_, notes)| notes.iter().map(|note| note.code).collect());
    (bytes, codes)
}

fn services<'m>(message: &'m Message<'m>) -> &'m [Service<'m>] {
    let Body::Observations(services) = &message.body else {
        panic!("{message:?}");
    };
    services
}

#[test]
fn a_hello_says_which_device_it_is() {
    // In the shape that StatStrip sends: empty values with text, what is not known beside it.
    let bytes = "<HEL.R01><HDR><HDR.message_type V=\"HEL.R01\"/><HDR.control_id V=\"7135\"/></HDR>\
        <DEV><DEV.device_id V=\"\">MGH^ICU</DEV.device_id><DEV.serial_id V=\"0600100736\"/>\
        <DEV.sw_version V=\"3.10\">3.10_it</DEV.sw_version><DEV.colour V=\"red\"/>\
        <DCP><DCP.application_timeout V=\"120\"/></DCP>\
        <DSC><DSC.connection_profile_cd V=\"SA\"/><DSC.topics_supported_cd V=\"D_EV\"/>\
        <DSC.topics_supported_cd V=\"DTV\"/><DSC.max_message_sz V=\"32768\"/></DSC></DEV></HEL.R01>";
    let (message, notes) = read(bytes.as_bytes()).expect("it is read");
    let Body::Hello(device) = &message.body else {
        panic!("{message:?}");
    };
    assert_eq!(text(device.id), "MGH^ICU");
    assert_eq!(text(device.serial), "0600100736");
    assert_eq!(text(device.software), "3.10");
    assert_eq!(text(device.patience_s), "120");
    assert_eq!(text(device.profile), "SA");
    assert_eq!(device.topics.len(), 2);
    assert_eq!(device.message_max.and_then(|max| max.count()), Some(32_768));
    // What is not known is found again by its place.
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].code, "POC-0204");
    let [unknown] = device.unknown.as_slice() else {
        panic!("{:?}", device.unknown);
    };
    assert_eq!(
        bytes.get(unknown.span.clone()),
        Some("<DEV.colour V=\"red\"/>")
    );
}

#[test]
fn an_observation_has_everything_that_was_said_of_it() {
    let (bytes, _) = read_with(
        "<SVC><SVC.role_cd V=\"OBS\"/><SVC.observation_dttm V=\"2026-01-02T03:04:05+07:00\"/>\
        <SVC.status_cd V=\"NRM\"/><SVC.reason_cd V=\"RES\"/>\
        <PT><PT.patient_id V=\"0 17\"/><PT.location V=\"ICU&amp;4\"/>\
        <OBS><OBS.observation_id V=\"2341-6\" DN=\"Glu\" SN=\"LN\"/><OBS.value V=\"&lt;0.6\" U=\"mmol/L\"/>\
        <OBS.method_cd V=\"M\"/><OBS.status_cd V=\"A\"/><OBS.interpretation_cd V=\"LL\"/>\
        <OBS.normal_lo-hi_limit V=\"[4;6]\"/><OBS.critical_lo-hi_limit V=\"[2;20]\"/>\
        <NTE><NTE.text V=\"*\"/></NTE></OBS>\
        <OBS><OBS.observation_id V=\"Flu A\" SN=\"QUIDEL\"/><OBS.qualitative_value V=\"negative\"/></OBS></PT>\
        <OPR><OPR.operator_id V=\"OP 7\"/></OPR>\
        <ORD><ORD.universal_service_id V=\"Sofia Flu\"/><ORD.order_id V=\"1232\"/></ORD>\
        <RGT><RGT.name V=\"Cassette\"/><RGT.lot_number V=\"140403\"/></RGT></SVC>",
        "OBS.R01",
    );
    let (message, notes) = read(bytes.as_bytes()).expect("it is read");
    assert_eq!(notes, []);
    let [service] = services(&message) else {
        panic!("{message:?}");
    };
    assert_eq!(service.control(), Control::No);
    assert_eq!(text(service.time), "2026-01-02T03:04:05+07:00");
    assert_eq!(text(service.reason), "RES");
    assert_eq!(text(service.operator), "OP 7");
    assert_eq!(text(service.order.and_then(|order| order.id)), "1232");
    assert_eq!(
        text(service.reagent.and_then(|reagent| reagent.lot)),
        "140403"
    );
    let [group] = service.groups.as_slice() else {
        panic!("{service:?}");
    };
    let Subject::Patient(patient) = group.subject else {
        panic!("{group:?}");
    };
    assert_eq!(text(patient.id), "0 17");
    assert_eq!(text(patient.location), "ICU&4");
    let [glucose, flu] = group.observations.as_slice() else {
        panic!("{group:?}");
    };
    assert_eq!(glucose.id.value.raw(), b"2341-6");
    assert_eq!(text(glucose.id.name), "Glu");
    assert_eq!(text(glucose.id.system), "LN");
    let value = glucose.value.expect("a value");
    assert_eq!(value.value.raw(), b"&lt;0.6");
    assert_eq!(text(Some(value.value)), "<0.6");
    assert_eq!(text(value.unit), "mmol/L");
    assert_eq!(text(glucose.method), "M");
    assert_eq!(text(glucose.status), "A");
    assert_eq!(text(glucose.interpretation), "LL");
    assert_eq!(text(glucose.normal), "[4;6]");
    assert_eq!(text(glucose.critical), "[2;20]");
    assert_eq!(text(glucose.notes.first().copied()), "*");
    let whole = bytes
        .get(glucose.span.clone())
        .expect("it lies in the message");
    assert!(whole.starts_with("<OBS><OBS.observation_id V=\"2341-6\""));
    assert_eq!(text(flu.qualitative.map(|words| words.value)), "negative");
    assert_eq!(flu.value, None);
}

#[test]
fn a_control_has_its_lot_and_level() {
    let bytes = message("qc 3");
    let (message, notes) = read(bytes.as_bytes()).expect("it is read");
    assert_eq!(notes, []);
    let service = &services(&message)[0];
    assert_eq!(service.control(), Control::Yes);
    let Subject::Control(control) = service.groups[0].subject else {
        panic!("{service:?}");
    };
    assert_eq!(text(control.name), "High");
    assert_eq!(text(control.lot), "103533");
    assert_eq!(text(control.level.map(|level| level.value)), "3");
}

#[test]
fn a_control_is_told_by_message_role_and_subject_and_doubted_by_one_of_them() {
    let obs = "<OBS><OBS.observation_id V=\"1\"/><OBS.value V=\"2\"/></OBS>";
    for (name, role, subject, control, is_noted) in [
        ("OBS.R01", "OBS", "PT", Control::No, false),
        ("OBS.R01", "LQC", "PT", Control::Doubtful, true),
        ("OBS.R01", "OBS", "CTC", Control::Doubtful, true),
        ("OBS.R01", "LQC", "CTC", Control::Doubtful, true),
        ("OBS.R02", "LQC", "CTC", Control::Yes, false),
        // Sofia.
        ("OBS.R02", "OBS", "CTC", Control::Yes, true),
        ("OBS.R02", "CAL", "CTC", Control::Yes, false),
        ("OBS.R02", "LQC", "PT", Control::Doubtful, true),
    ] {
        let body = format!("<SVC><SVC.role_cd V=\"{role}\"/><{subject}>{obs}</{subject}></SVC>");
        let (bytes, codes) = read_with(&body, name);
        let (message, _) = read(bytes.as_bytes()).expect("it is read");
        assert_eq!(services(&message)[0].control(), control, "{bytes}");
        let expected: &[&str] = if is_noted { &["POC-0202"] } else { &[] };
        assert_eq!(codes.expect("it is read"), expected, "{bytes}");
    }
    // An observation of nobody.
    let (bytes, _) = read_with(&format!("<SVC>{obs}</SVC>"), "OBS.R01");
    let (message, _) = read(bytes.as_bytes()).expect("it is read");
    assert_eq!(services(&message)[0].control(), Control::Doubtful);
}

#[test]
fn events_status_and_the_rest_are_read() {
    let bytes = message("evs 3");
    let (read_message, _) = read(bytes.as_bytes()).expect("it is read");
    let Body::Events(events) = &read_message.body else {
        panic!("{read_message:?}");
    };
    assert_eq!(text(events[0].description), "Low battery");
    assert_eq!(text(events[0].severity), "W");
    assert_eq!(text(events[0].operator), "OP 7");
    let bytes = message("dst 4 12 3");
    let (read_message, _) = read(bytes.as_bytes()).expect("it is read");
    let Body::Status(status) = &read_message.body else {
        panic!("{read_message:?}");
    };
    assert_eq!(
        status.new_observations.and_then(|count| count.count()),
        Some(12)
    );
    assert_eq!(status.new_events.and_then(|count| count.count()), Some(3));
    assert_eq!(text(read_message.header.created), TIME);
    let bytes = message("rpat 5");
    let (read_message, _) = read(bytes.as_bytes()).expect("it is read");
    let Body::Request(request) = &read_message.body else {
        panic!("{read_message:?}");
    };
    assert_eq!(text(request.code), "RPAT");
    assert_eq!(text(request.patient_id), "7");
    // As Sofia's specification writes it.
    let (bytes, _) = read_with(
        "<ACK><ACK.type_id V=\"AA\"/><ACK.control_id V=\"9\"/></ACK>",
        "ACK.R01",
    );
    let (read_message, _) = read(bytes.as_bytes()).expect("it is read");
    let Body::Acknowledgement(ack) = &read_message.body else {
        panic!("{read_message:?}");
    };
    assert!(ack.is_accepted());
    assert_eq!(text(ack.control_id), "9");
    for (word, expected) in [
        ("eot 1 OBS", "OBS"),
        ("end 1", "NRM"),
        ("dtv 1 LOCK", "LOCK"),
    ] {
        let bytes = message(word);
        let (read_message, _) = read(bytes.as_bytes()).expect("it is read");
        let (Body::EndOfTopic(value) | Body::End(value) | Body::Directive(value)) =
            read_message.body
        else {
            panic!("{read_message:?}");
        };
        assert_eq!(text(value), expected);
    }
}

#[test]
fn what_cannot_be_read_safely_is_not_read() {
    let code = |body: &str, name: &str| read_with(body, name).1.expect_err("not read").code();
    let obs = |inside: &str| format!("<SVC><PT><OBS>{inside}</OBS></PT></SVC>");
    let id = "<OBS.observation_id V=\"1\"/>";
    assert_eq!(code(&obs("<OBS.value V=\"2\"/>"), "OBS.R01"), "POC-0305");
    let blank = "<OBS.observation_id V=\" \"/><OBS.value V=\"2\"/>";
    assert_eq!(code(&obs(blank), "OBS.R01"), "POC-0305");
    let twice = format!("{id}<OBS.value V=\"2\"/><OBS.value V=\"3\"/>");
    assert_eq!(code(&obs(&twice), "OBS.R01"), "POC-0304");
    let two_ids = format!("{id}{id}<OBS.value V=\"2\"/>");
    assert_eq!(code(&obs(&two_ids), "OBS.R01"), "POC-0304");
    assert_eq!(code("<HDR/>", "KPA.R01"), "POC-0304");
    assert_eq!(code("<A></B>", "KPA.R01"), "POC-0301");
    assert_eq!(code("<A V=1/>", "KPA.R01"), "POC-0301");
    assert_eq!(code("<!ENTITY a \"b\">", "KPA.R01"), "POC-0302");
    assert_eq!(code(&"<A>".repeat(40), "KPA.R01"), "POC-0303");
    let attributes: String = (0..17).map(|n| format!(" A{n}=\"\"")).collect();
    assert_eq!(code(&format!("<A{attributes}/>"), "KPA.R01"), "POC-0303");
    assert_eq!(code(&"<A/>".repeat(20_000), "KPA.R01"), "POC-0303");
    for odd in [
        "",
        "x",
        "<A/><B/>",
        "<A/>x",
        "<A",
        "<A>",
        "<!-- -->",
        "<A><![CDATA[</A>",
    ] {
        assert_eq!(
            read(odd.as_bytes()).expect_err("not read").code(),
            "POC-0301",
            "{odd}"
        );
    }
}

#[test]
fn what_is_odd_is_read_with_a_note() {
    let codes = |body: &str, name: &str| read_with(body, name).1.expect("read");
    let no_value = "<SVC><PT><OBS><OBS.observation_id V=\"1\"/></OBS></PT></SVC>";
    assert_eq!(codes(no_value, "OBS.R01"), ["POC-0203"]);
    assert_eq!(
        codes("<A V=\"a &b; c\"/>", "KPA.R01"),
        ["POC-0201", "POC-0204"]
    );
    assert_eq!(codes("<OPR/>", "KPA.R01"), ["POC-0204"]);
    // A note without text is not lost.
    let note = "<EVT><NTE/></EVT>";
    assert_eq!(codes(note, "EVS.R01"), ["POC-0204"]);
}

#[test]
fn references_are_replaced_once_and_only_the_known_ones() {
    let value = |written: &str| {
        let bytes = format!("<A V=\"{written}\"/>");
        let document = Document::read(bytes.as_bytes()).expect("it is read");
        let value = document.root().and_then(|root| root.value());
        text(value)
    };
    assert_eq!(value("&amp;lt; &#60; &#x3C; &quot;&apos;"), "&lt; < < \"'");
    assert_eq!(value("&#272;&#x1EA1;i"), "Đại");
    for kept in [
        "&nbsp;",
        "&",
        "a&b",
        "&#;",
        "&#x;",
        "&#0;",
        "&#x110000;",
        "&#-1;",
        "&amp",
    ] {
        assert_eq!(value(kept), kept);
    }
}

#[test]
fn text_and_cdata_are_values_where_v_is_empty() {
    let value = |bytes: &str| {
        let document = Document::read(bytes.as_bytes()).expect("it is read");
        let value = document.root().and_then(|root| root.value());
        value.map(|value| text(Some(value)))
    };
    assert_eq!(value("<A V=''> x </A>").as_deref(), Some(" x "));
    assert_eq!(
        value("<A><![CDATA[a&lt;b]]></A>").as_deref(),
        Some("a&lt;b")
    );
    assert_eq!(value("<A>\n<B/>y</A>").as_deref(), Some("y"));
    assert_eq!(value("<A V=''/>").as_deref(), Some(""));
    assert_eq!(value("<A/>"), None);
}
