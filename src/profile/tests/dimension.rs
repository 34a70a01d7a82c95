//! Siemens Dimension: what its messages say, and what it is told.

use proptest::prelude::*;

use super::{line, observations, profile};
use crate::{
    config::problem::render,
    model::{Item, ObservationKind, Private},
    profile::{
        BUILT_IN, LineProfile, OrderForDevice, Stamp, answer, cancel, decode, decode_capture,
        download, load, refusal_of,
    },
};

fn dimension() -> LineProfile {
    line("siemens/dimension")
}

/// A message of these fields.
fn message(fields: &str) -> Vec<u8> {
    let mut raw = fields.replace('|', "\x1c").into_bytes();
    raw.push(0x1C);
    raw
}

const RESULT: &str = "R|*|TRAN BINH|2503100001|1|KKB|0|433910100325|1|1|3\
                      |GLUC|5.2|mmol/L||AST|812|U/L|6|ALTI||U/L|10";

#[test]
fn each_result_is_where_it_stands() {
    let raw = message(RESULT);
    let decoded = decode(&dimension(), None, &raw, true);
    let spans = observations(&decoded)
        .into_iter()
        .map(|one| one.span.clone());
    let texts: Vec<_> = spans
        .map(|span| {
            raw[span]
                .iter()
                .copied()
                .map(char::from)
                .collect::<String>()
        })
        .collect();
    let expected = ["GLUC|5.2|mmol/L|", "AST|812|U/L|6", "ALTI||U/L|10"];
    assert_eq!(texts, expected.map(|text| text.replace('|', "\x1c")));
}

#[test]
fn a_control_needs_type_and_priority_and_one_of_them_alone_is_held() {
    let check = |kind: &str, priority: &str, expected: (ObservationKind, &[&str])| {
        let raw = format!("R|0||7|{kind}||{priority}|433910100325|1|1|1|GLUC|5.2|mmol/L|");
        let decoded = decode(&dimension(), None, &message(&raw), true);
        let [found] = observations(&decoded)[..] else {
            panic!("{decoded:?}")
        };
        let holds: Vec<_> = found.holds.iter().map(|hold| hold.reason.code()).collect();
        assert_eq!((found.kind, &holds[..]), expected, "{kind} {priority}");
    };
    check("1", "0", (ObservationKind::Patient, &[]));
    check("5", "3", (ObservationKind::Control, &[]));
    check("5", "0", (ObservationKind::Patient, &["suspect-flag"]));
    check("1", "3", (ObservationKind::Patient, &["suspect-flag"]));
}

#[test]
fn a_message_whose_number_of_tests_is_not_true_makes_no_result() {
    let raw = message(&RESULT.replace("|1|1|3|", "|1|1|4|"));
    let decoded = decode(&dimension(), None, &raw, true);
    let [Item::Incomplete(refused)] = &decoded.items[..] else {
        panic!("{decoded:?}")
    };
    assert!(refused.why.starts_with("DIM-0305"), "{}", refused.why);
    assert_eq!(refused.span, 0..raw.len());
}

fn order(specimen: &str, tests: &[&str]) -> OrderForDevice {
    OrderForDevice {
        specimen: specimen.to_owned(),
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        family: Private::new("NGUYỄN THỊ".to_owned()),
        given: Private::new("PHƯƠNG ANH MINH CHÂU".to_owned()),
        ..OrderForDevice::default()
    }
}

#[test]
fn orders_are_downloaded_and_cancelled_and_only_a_name_is_cut() {
    let (line, stamp) = (dimension(), Stamp::default());
    let written = download(&line, &[order("2503100001", &["GLUC"])], &stamp);
    let expected = message("D|0|0|A|NGUYEN THI PHUONG ANH MINH |2503100001|1||0|1|**|1|1|GLUC");
    assert_eq!(written.as_deref(), Ok(&[expected][..]));
    let written = cancel(&line, &[order("2503100001", &["GLUC"])], &stamp);
    let text = written.map(|messages| messages[0].starts_with(b"D\x1c0\x1c0\x1cD\x1c"));
    assert_eq!(text, Ok(true));
    for (specimen, test, code) in [
        ("2503100001234", "GLUC", "PROF-0302"),
        ("2503100001", "GLUCOSE-7", "PROF-0309"),
    ] {
        let why = download(&line, &[order(specimen, &[test])], &stamp).expect_err(code);
        assert!(why.to_string().starts_with(code), "{why}");
    }
}

#[test]
fn an_answer_carries_the_id_as_it_was_asked_and_no_other_order() {
    let line = dimension();
    let decoded = decode(&line, None, &message("I|  00112028"), true);
    let [Item::Query(query)] = &decoded.items[..] else {
        panic!("{decoded:?}")
    };
    let found = answer(
        &line,
        query,
        &[order("00112028", &["AST"])],
        &Stamp::default(),
    );
    let found = found.expect("it fits").concat();
    let fields: Vec<&[u8]> = found.split(|byte| *byte == 0x1C).collect();
    assert_eq!(fields[5], b"  00112028");
    let other = answer(
        &line,
        query,
        &[order("00112029", &["AST"])],
        &Stamp::default(),
    );
    assert_eq!(other.as_deref(), Ok(&[message("N")][..]));
}

#[test]
fn the_word_of_the_device_about_an_order_is_read() {
    let check = |reply: &str, expected: Option<&str>| {
        let found = refusal_of(&dimension(), &message(reply));
        assert_eq!(found.as_deref(), expected, "{reply}");
    };
    check("M|A|", None);
    check("M|A||1|4", None);
    check("M|R|5", Some("the device refused it, reason 5"));
    check("M|R|TRAN BINH", Some("the device refused it"));
    check(
        "N",
        Some("the device answered something that is no acceptance"),
    );
    assert_eq!(refusal_of(&line("generic/astm"), &message("M|R|5")), None);
}

#[test]
fn limits_and_fixed_fields_are_checked() {
    let found = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "siemens/dimension");
    let text = found.expect("built in").1;
    for (from, to, code) in [
        ("sample_id_max = 12 ", "sample_id_max = 0 ", "DIM-0501"),
        ("tests_max = 64 ", "tests_max = 6400 ", "DIM-0502"),
        ("control_priority = 3\n", "", "`control_priority`"),
        ("\"**\"", "\"***\"", "`cup_position`"),
        ("o = { 5", "o = { 6 = \"{specimen}\", 5", "field 6"),
        ("form = \"dimension\"", "form = \"records\"", "PROF-0206"),
        ("style = \"terminator\"", "style = \"sample\"", "PROF-0206"),
        ("sends_max = 3 ", "class = \"B\" ", "PROF-0212"),
        ("cup_position", "cup = 2\ncup_position", "PROF-0212"),
    ] {
        assert!(text.contains(from), "{from}");
        let (profile, problems) = load("acme/dim", &text.replacen(from, to, 1));
        let told = render(&problems, false);
        assert!(profile.is_none() && told.contains(code), "{to}: {told}");
    }
    assert!(profile("siemens/dimension").answer.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_message_loses_no_result(
        changes in proptest::collection::vec((0..140usize, any::<u8>()), 0..6), cut in 0..140usize,
    ) {
        let mut raw = message(RESULT);
        let length = raw.len();
        for (at, byte) in changes {
            raw[at % length] = byte;
        }
        raw.truncate(cut.max(1));
        let is_complete = raw.len() == length;
        let decoded = decode(&dimension(), None, &raw, is_complete);
        if raw.starts_with(b"R\x1c") {
            let is_refused = matches!(
                &decoded.items[..],
                [Item::Incomplete(one)] if one.span == (0..raw.len())
            );
            prop_assert!(is_refused || !observations(&decoded).is_empty(), "{:?}", decoded);
        }
        if !is_complete {
            prop_assert!(observations(&decoded).iter().all(|one| !one.holds.is_empty()));
        }
    }

    #[test]
    fn a_damaged_capture_is_read_to_its_end(at in 0..500usize, byte: u8) {
        let raw = message(RESULT);
        let frame = labwire_protocols::dimension::link::frame(&raw);
        let mut capture = frame.repeat(3);
        let at = at % capture.len();
        capture[at] = byte;
        let line = dimension();
        let decoded = decode_capture(&line, None, &capture);
        let intact = decoded.iter().filter(|one| observations(one).len() == 3).count();
        prop_assert!(intact >= 2, "{:?}", decoded);
    }
}
