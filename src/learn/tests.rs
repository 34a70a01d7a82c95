//! What is learned from messages, and what of them is never told.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Draft, Learner};
use crate::{
    config::{Catalogue, Problems, problem::source},
    profile::{load, run_examples},
};

fn catalogue() -> Catalogue {
    let text = include_str!("../../config/catalogue.toml");
    Catalogue::read(&source("catalogue.toml", text), &mut Problems::default())
}

struct Told {
    lines: String,
    draft: Option<Draft>,
}

fn learn(bytes: &[u8]) -> Told {
    let mut learner = Learner::default();
    let mut lines = learner.take(0, bytes);
    lines.extend(learner.finish());
    let draft = learner.draft("acme/one", &catalogue(), "tcp-listen://127.0.0.1:5001");
    lines.extend(learner.fits().iter().map(|fit| format!("{fit:?}")));
    lines.push(format!("{learner:?}"));
    Told {
        lines: lines.join("\n"),
        draft,
    }
}

/// The draft, proven as `labwire check` does.
#[track_caller]
fn proven(told: &Told) -> &str {
    let draft = told.draft.as_ref().expect("a draft");
    let (profile, mut problems) = load(&draft.name, &draft.text);
    let profile = Arc::new(profile.expect("a profile"));
    problems.extend(run_examples(&profile));
    let all: Vec<String> = problems
        .iter()
        .map(|one| format!("{one}: {}", one.help))
        .collect();
    assert!(all.is_empty(), "{all:?}\n{}", draft.text);
    assert!(!profile.examples.is_empty(), "{}", draft.text);
    assert!(
        !profile
            .examples
            .iter()
            .any(|example| example.expect.is_empty())
    );
    &draft.text
}

/// Frames of one record each.
fn framed(records: &[String]) -> Vec<u8> {
    let mut wire = vec![5];
    for (number, record) in (1_u8..).zip(records) {
        let mut text = vec![b'0' + number % 8];
        text.extend_from_slice(record.as_bytes());
        text.extend_from_slice(b"\r\x03");
        let sum = text.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        wire.push(2);
        wire.extend_from_slice(&text);
        wire.extend_from_slice(format!("{sum:02X}\r\n").as_bytes());
    }
    wire.push(4);
    wire
}

/// Everything in the messages below that is a patient's.
const PRIVATE: [&str; 15] = [
    "NGUYỄN",
    "VĂN HÙNG",
    "HÙNG",
    "TRẦN",
    "Lan",
    "19630527",
    "19910908",
    "BN7788123",
    "BN7788456",
    "0903123456",
    "BS. Quang",
    "Quang",
    "tan máu nhẹ",
    "sống",
    "2511280042",
];

fn astm_of_patients() -> Vec<u8> {
    let message = |name: &str, birth: &str, id: &str, tube: &str, value: &str| {
        let records = [
            "H|\\^&|||ACME^1.2|||||LIS||P|LIS2-A2|20251128093000".to_owned(),
            format!("P|1||{id}||{name}||{birth}|M||||0903123456|BS. Quang"),
            format!("O|1|{tube}||^^^GLU\\^^^CREA|R||||||N||||||BS. Quang||||||||||F"),
            format!("R|1|^^^GLU|{value}|mmol/L|3.9 to 6.1|H||F||Quang||20251128093500|ACME"),
            "C|1|I|tan máu nhẹ|G".to_owned(),
            "R|2|^^^CREA|88|umol/L|62 to 106|N||F||Quang||20251128093500|ACME".to_owned(),
            "R|3|^^^XYZ|bệnh nhân NGUYỄN còn sống|||||F".to_owned(),
            "L|1|N".to_owned(),
        ];
        framed(&records)
    };
    let mut wire = message(
        "NGUYỄN^VĂN HÙNG",
        "19630527",
        "BN7788123",
        "2511280042",
        "7.4",
    );
    wire.extend(message(
        "TRẦN^Lan",
        "19910908",
        "BN7788456",
        "2511280043",
        "6.6",
    ));
    wire
}

fn hl7_of_patients() -> Vec<u8> {
    let message = |name: &str, birth: &str, id: &str, tube: &str, control: &str| {
        format!(
            "\x0BMSH|^~\\&|ACME|LAB|||20251128093000||ORU^R01|{control}|P|2.3.1||||||UNICODE\r\
             PID|1||{id}^^^BV||{name}||{birth}|F|||Đường Láng||0903123456\r\
             OBR|1||{tube}|CHEM|||20251128093000||||||||||BS. Quang\r\
             OBX|1|NM|GLU||7.4|mmol/L|3.9-6.1|H|||F|||20251128093500||Quang\r\
             OBX|2|NM|CREA||88|umol/L|62-106|N|||F|||20251128093500||Quang\r\
             NTE|1||tan máu nhẹ \\T\\ sống\r\x1C\r"
        )
    };
    let mut wire = message(
        "NGUYỄN^VĂN HÙNG",
        "19630527",
        "BN7788123",
        "2511280042",
        "A1",
    );
    wire.push_str(&message(
        "TRẦN^Lan",
        "19910908",
        "BN7788456",
        "2511280043",
        "A2",
    ));
    wire.into_bytes()
}

#[test]
fn no_text_of_a_patient_stands_in_the_draft_or_in_what_is_told() {
    for wire in [astm_of_patients(), hl7_of_patients()] {
        let told = learn(&wire);
        let text = proven(&told);
        for private in PRIVATE {
            assert!(!text.contains(private), "{private} in\n{text}");
            assert!(
                !told.lines.contains(private),
                "{private} in\n{}",
                told.lines
            );
        }
        for kept in ["7.4", "mmol/L", "charset = \"utf-8\""] {
            assert!(text.contains(kept), "no {kept} in\n{text}");
        }
    }
}

#[test]
fn places_are_found_by_their_evidence() {
    let told = learn(&astm_of_patients());
    let text = proven(&told);
    for line in [
        "id = \"O.3.1\"                         # seen in 2 of 2 messages with results, 2 different",
        "ids = \"P.4.1\"",
        "code = \"R.3.4\"",
        "checksum = \"strict\"                  # right in 16 of 16 frames, wrong in 0",
        "completed = \"R.13\"",
        "[[test]]\ncode = \"GLU\"\ntest = \"GLU\"\nunits = { \"mmol/L\" = \"mmol/L\" }",
        "# test = \"?\"",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    let text_of_hl7 = learn(&hl7_of_patients());
    let text = proven(&text_of_hl7);
    for line in [
        "id = \"OBR-3.1\"",
        "ids = \"PID-3.1\"",
        "code = \"OBX-3.1\"",
        "completed = \"OBX-14\"",
        "from_message = true",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[test]
fn a_tube_named_at_an_odd_place_is_found_because_the_queries_name_it() {
    let mut wire = Vec::new();
    for tube in ["7700100001", "7700100002", "7700100003"] {
        wire.extend(framed(&[
            "H|\\^&|||ODD".to_owned(),
            format!("Q|1|^{tube}||ALL"),
            "L|1|N".to_owned(),
        ]));
        wire.extend(framed(&[
            "H|\\^&|||ODD".to_owned(),
            "P|1".to_owned(),
            format!("O|1|SAMPLE-00001||^^^K|R|||||||||||||{tube}"),
            "R|1|^^^K|4.1|mmol/L||N||F".to_owned(),
            "L|1|N".to_owned(),
        ]));
    }
    let told = learn(&wire);
    let text = proven(&told);
    assert!(text.contains("id = \"O.19.1\""), "{text}");
    assert!(text.contains("3 come again in queries"), "{text}");
    assert!(text.contains("id = \"Q.3.2\""), "{text}");
}

#[test]
fn habits_of_the_link_are_told_and_drafted() {
    let absent = b"\x021H|\\^&|||A\r\x03\r\n\x022O|1|12345678||^^^K\r\x03\r\n\x023R|1|^^^K|4.1|mmol/L\r\x03\r\n\
                   \x024L|1|N\r\x03\r\n\x04";
    let told = learn(absent);
    assert!(told.lines.contains("checksums absent"), "{}", told.lines);
    let text = proven(&told);
    assert!(
        text.contains("checksum = \"off\"") && text.contains("accepts_frames_without_enq = true")
    );
    let bare = b"H|\\^&|||A\rO|1|12345678||^^^K\rR|1|^^^K|4.1|mmol/L\rL|1|N\r";
    let told = learn(bare);
    assert!(proven(&told).contains("accepts_unframed = true"));
    let wrong =
        b"\x05\x021H|\\^&|||A\r\x03FF\r\n\x022R|1|^^^K|4.1\r\x03FF\r\n\x023L|1|N\r\x03FF\r\n\x04";
    let told = learn(wrong);
    assert!(proven(&told).contains("checksum = \"warn\""));
}

#[test]
fn what_no_profile_can_say_is_told_and_not_drafted() {
    let columns = b"\x02R 000101 0001 2511280042    E\x03\x02R 000102 0002 2511280043    E\x03";
    let told = learn(columns);
    assert!(told.draft.is_none());
    assert!(
        told.lines.contains("fixed columns") && told.lines.contains("begin with R"),
        "{}",
        told.lines
    );
    assert!(!told.lines.contains("2511280042"));
    let told = learn(b"\x05\x05\x05");
    assert!(told.draft.is_none() && told.lines.contains("ENQ and no more"));
}

#[test]
fn a_built_in_profile_of_the_devices_own_kind_is_ranked_first() {
    let tube = "25011500061";
    let records = [
        "H|\\^&|||XP-300^00-13^^^^A1001^BS123456||||||||E1394-97".to_owned(),
        "P|1".to_owned(),
        format!("O|1||^^    {tube}^B|^^^^WBC\\^^^^HGB|||||||N||||||||||||||F"),
        "R|1|^^^^WBC^1|  7.4|10*3/uL||N||||KTV01          ||20250115095500".to_owned(),
        "R|2|^^^^HGB^1|  131|g/L||N||||KTV01          ||20250115095500".to_owned(),
        "L|1|N".to_owned(),
    ];
    let mut learner = Learner::default();
    learner.take(0, &framed(&records));
    learner.finish();
    let fits = learner.fits();
    assert_eq!(fits[0].profile, "sysmex/xp");
    assert!(fits[0].is_named && fits[0].mapped == 2 && fits[0].with_specimen == 2);
    assert_eq!(learner.name(), "unknown/xp-300");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_bytes_break_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(0..600_usize, 0..4),
    ) {
        let mut learner = Learner::default();
        let mut rest = bytes.as_slice();
        for (stream, cut) in (0..).zip(cuts) {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            learner.take(stream, head);
            rest = tail;
        }
        learner.take(9, rest);
        learner.finish();
        learner.draft("acme/one", &Catalogue::default(), "");
    }

    #[test]
    fn changed_messages_give_a_draft_that_is_right_or_none(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        is_hl7 in any::<bool>(),
    ) {
        let mut wire = if is_hl7 { hl7_of_patients() } else { astm_of_patients() };
        for (at, byte) in changes {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let mut learner = Learner::default();
        learner.take(0, &wire);
        learner.finish();
        if let Some(draft) = learner.draft("acme/one", &catalogue(), "") {
            let (profile, problems) = load(&draft.name, &draft.text);
            prop_assert!(profile.is_some() && !problems.has_errors(), "{}", draft.text);
        }
    }
}
