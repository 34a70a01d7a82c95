//! POCT1-A: what devices at the point of care say.

use proptest::prelude::*;

use super::{line, line_of, observations};
use crate::{
    config::problem::render,
    model::{Item, ObservationKind},
    profile::{
        BUILT_IN, LineProfile, Wire, decode, decode_after, decode_capture, definition::Protocol,
        digest_input, load,
    },
};

fn istat() -> LineProfile {
    line("abbott/i-stat")
}

fn message(root: &str, body: &str) -> String {
    format!("<{root}><HDR><HDR.control_id V=\"7\"/></HDR>{body}</{root}>")
}

fn hello(serial: &str) -> String {
    let device = format!("<DEV><DEV.device_id V=\"D1\"/><DEV.serial_id V=\"{serial}\"/></DEV>");
    message("HEL.R01", &device)
}

fn finding(code: &str, value: &str) -> String {
    format!("<OBS><OBS.observation_id V=\"{code}\"/><OBS.value V=\"{value}\" U=\"mmol/L\"/></OBS>")
}

/// Two findings of one patient.
fn report() -> String {
    let findings = [finding("6298-4", "3.9"), finding("2947-0", "141")].concat();
    let service = format!(
        "<SVC><SVC.role_cd V=\"OBS\"/><PT><PT.patient_id V=\"PN1\"/>{findings}</PT>\
         <ORD><ORD.order_id V=\"2603100001\"/></ORD></SVC>"
    );
    message("OBS.R01", &service)
}

#[test]
fn each_finding_is_where_it_stands() {
    let raw = report();
    let decoded = decode(&istat(), None, raw.as_bytes(), true);
    let found = observations(&decoded);
    let texts: Vec<_> = found
        .iter()
        .filter_map(|one| raw.get(one.span.clone()))
        .collect();
    assert_eq!(texts, [finding("6298-4", "3.9"), finding("2947-0", "141")]);
    let ids: Vec<_> = found[0]
        .patient
        .ids
        .iter()
        .map(|id| id.expose().as_str())
        .collect();
    assert_eq!(ids, ["PN1"]);
}

#[test]
fn a_finding_is_of_the_device_that_said_hello_in_its_conversation() {
    let check = |opening: Option<&str>, expected: &str| {
        let raw = report();
        let opening = opening.map(str::as_bytes);
        let decoded = decode_after(&istat(), None, opening, raw.as_bytes(), true);
        assert_eq!(observations(&decoded)[0].instrument, expected);
    };
    check(Some(&hello("358712")), "358712");
    check(None, "line-1");
    // What opened the conversation was something else, or is damaged.
    check(Some(&report()), "line-1");
    check(Some("<HEL.R01>"), "line-1");
    let capture = [
        hello("1"),
        report(),
        hello("2"),
        report().replace("3.9", "4.0"),
    ]
    .concat();
    let decoded = decode_capture(&istat(), None, capture.as_bytes());
    let devices = decoded.iter().flat_map(observations);
    let devices: Vec<_> = devices.map(|one| one.instrument.as_str()).collect();
    assert_eq!(devices, ["1", "1", "2", "2"]);
}

#[test]
fn results_of_a_device_that_is_not_the_lines_own_are_held() {
    let text = "[device]\nprotocol = \"poct1a\"\nsender = \"D1\"\n[specimen]\nid = \"order_id\"\n\
                [result]\ncode = \"code\"\nvalue = \"value\"\nunit = \"unit\"";
    let line = line_of(text);
    let check = |opening: Option<&str>, is_stranger: bool| {
        let raw = report();
        let decoded = decode_after(
            &line,
            None,
            opening.map(str::as_bytes),
            raw.as_bytes(),
            true,
        );
        let holds = &observations(&decoded)[0].holds;
        let found = holds
            .iter()
            .any(|hold| hold.reason.code() == "ambiguous-sender");
        assert_eq!(found, is_stranger, "{holds:?}");
    };
    check(Some(&hello("1")), false);
    check(Some(&hello("1").replace("D1", "D2")), true);
    check(None, true);
}

#[test]
fn a_control_is_one_by_message_and_subject_and_a_contradiction_holds() {
    let check = |root: &str, role: &str, subject: &str, expected: (ObservationKind, bool)| {
        let service = format!(
            "<SVC><SVC.role_cd V=\"{role}\"/><{subject}>{}</{subject}>\
             <ORD><ORD.order_id V=\"1\"/></ORD></SVC>",
            finding("6298-4", "3.9")
        );
        let decoded = decode(&istat(), None, message(root, &service).as_bytes(), true);
        let [found] = observations(&decoded)[..] else {
            panic!("{decoded:?}")
        };
        let is_held = found
            .holds
            .iter()
            .any(|hold| hold.reason.code() == "suspect-flag");
        assert_eq!((found.kind, is_held), expected, "{root} {role} {subject}");
    };
    let (patient, control) = (ObservationKind::Patient, ObservationKind::Control);
    check("OBS.R01", "OBS", "PT", (patient, false));
    check("OBS.R02", "LQC", "CTC", (control, false));
    check("OBS.R02", "OBS", "CTC", (control, false));
    check(
        "OBS.R02",
        "CAL",
        "CTC",
        (ObservationKind::Calibration, false),
    );
    check("OBS.R01", "LQC", "PT", (patient, true));
    check("OBS.R01", "OBS", "CTC", (patient, true));
    check("OBS.R02", "LQC", "PT", (patient, true));
}

#[test]
fn words_are_the_value_where_there_is_no_number() {
    let words = "<OBS><OBS.observation_id V=\"Flu A\"/><OBS.value V=\"\"/>\
                 <OBS.qualitative_value V=\"negative\"/></OBS>";
    let raw = report().replace(&finding("6298-4", "3.9"), words);
    let decoded = decode(&istat(), None, raw.as_bytes(), true);
    let found = observations(&decoded)[0];
    assert_eq!(
        (found.code.as_str(), found.text.as_str()),
        ("Flu A", "negative")
    );
    assert!(found.comments.is_empty(), "{:?}", found.comments);
}

#[test]
fn an_observation_where_none_is_known_does_not_disappear() {
    for (from, to) in [
        ("<PT>", "<SPC><OBS/></SPC><PT>"),
        ("</OBS></PT>", "<OBS/></OBS></PT>"),
        (
            "<SVC>",
            "<SVX><SVC><OBS><OBS.observation_id V=\"1\"/></OBS></SVC></SVX><SVC>",
        ),
    ] {
        let raw = report().replace(from, to);
        let decoded = decode(&istat(), None, raw.as_bytes(), true);
        assert_eq!(observations(&decoded).len(), 2, "{decoded:?}");
        let Some(Item::Incomplete(hidden)) = decoded.items.last() else {
            panic!("{decoded:?}")
        };
        assert_eq!(hidden.span, 0..raw.len());
    }
}

#[test]
fn a_message_that_cannot_be_read_safely_makes_no_result() {
    for (from, to, code) in [
        ("V=\"3.9\"", "V=\"3.9\" V=\"4.0\"", "POC-0301"),
        ("<PT>", "<!ENTITY x \"y\"><PT>", "POC-0302"),
        ("<ORD>", "<ORD/><ORD>", "POC-0304"),
        ("<OBS.observation_id V=\"6298-4\"/>", "", "POC-0305"),
    ] {
        let raw = report().replacen(from, to, 1);
        let decoded = decode(&istat(), None, raw.as_bytes(), true);
        let [Item::Incomplete(refused)] = &decoded.items[..] else {
            panic!("{to}: {decoded:?}")
        };
        assert!(refused.why.starts_with(code), "{}", refused.why);
        assert_eq!(refused.span, 0..raw.len());
    }
}

#[test]
fn the_settings_of_the_conversation_are_the_profiles() {
    let found = BUILT_IN.iter().find(|(name, _)| *name == "abbott/i-stat");
    let text = found.expect("built in").1;
    let open = text.replace("is_continuous = false", "is_continuous = true");
    let open = open.replace("wrap = \"none\"", "wrap = \"mllp\"");
    let Wire::Poct1a(dialect) = &load("acme/poct", &open).0.expect("it is valid").wire else {
        panic!("another wire")
    };
    assert_eq!(dialect.mode, labwire_protocols::poct1a::Mode::Continuous);
    assert_eq!(dialect.wrap, labwire_protocols::poct1a::Wrap::Mllp);
    for (from, to, code) in [
        ("wrap = \"none\"", "wrap = \"crlf\"", "PROF-0206"),
        ("asks_events = true", "message_bytes_max = 7", "POC-0502"),
        ("asks_events = true", "checksum = \"off\"", "PROF-0212"),
        ("asks_events = true", "answers_enq = true", "PROF-0212"),
        ("[patient]", "[layout]\ncup = 2\n[patient]", "PROF-0212"),
        (
            "[patient]",
            "[query]\nid = \"order_id\"\n[patient]",
            "PROF-0212",
        ),
        (
            "[patient]",
            "[answer]\nform = \"records\"\n[patient]",
            "PROF-0212",
        ),
        ("id = \"order_id\"", "id = \"sample_id\"", "PROF-0204"),
    ] {
        assert!(text.contains(from), "{from}");
        let (profile, problems) = load("acme/poct", &text.replacen(from, to, 1));
        let told = render(&problems, false);
        assert!(profile.is_none() && told.contains(code), "{to}: {told}");
    }
}

#[test]
fn a_report_sent_again_in_a_new_conversation_is_the_same_message() {
    let again = report().replace("control_id V=\"7\"", "control_id V=\"31\"");
    let digest = |raw: &str| digest_input(raw.as_bytes(), Protocol::Poct1a);
    assert_eq!(digest(&report()), digest(&again));
    assert_ne!(digest(&report()), digest(&report().replace("3.9", "4.9")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_report_loses_no_result(
        changes in proptest::collection::vec((0..700usize, any::<u8>()), 0..6), cut in 0..700usize,
    ) {
        let mut raw = report().into_bytes();
        let length = raw.len();
        for (at, byte) in changes {
            raw[at % length] = byte;
        }
        raw.truncate(cut.max(1));
        let decoded = decode(&istat(), None, &raw, raw.len() == length);
        let root = raw.starts_with(b"<OBS.R01>");
        prop_assert!(!root || !decoded.items.is_empty(), "{:?}", decoded);
        if raw.len() < length {
            prop_assert!(observations(&decoded).is_empty(), "{:?}", decoded);
        }
    }

    #[test]
    fn a_damaged_capture_is_read_to_its_end(at in 0..3_000usize, byte: u8) {
        let reports = ["1", "2", "3", "4"].map(|n| report().replace("2603100001", n));
        let mut capture = reports.concat().into_bytes();
        let at = at % capture.len();
        capture[at] = byte;
        let decoded = decode_capture(&istat(), None, &capture);
        let intact = decoded.iter().filter(|one| observations(one).len() == 2).count();
        prop_assert!(intact >= 2, "{:?}", decoded);
    }
}
