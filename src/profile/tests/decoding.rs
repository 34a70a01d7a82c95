//! Values, holds, kinds and places: one rule a row.

use std::collections::BTreeMap;

use labwire_protocols::charset::Charset;

use super::{decode_text, line, line_of, observations, profile};
use crate::{
    config::choice::Unmapped,
    model::{HoldReason, Item, Value},
    profile::{
        Catalogue, LineSettings, Pattern, Protocol, Wire, decode, decode_capture, json_lines, wire,
    },
};

/// A small profile whose every rule is set.
const RULES: &str = r#"
[device]
protocol = "astm"
[text]
charset = "utf-8"
[specimen]
id = "O.3"
padding = " "
unread = ["starts-with @"]
[result]
code = "R.3.4"
qualifiers = "R.3.5"
value = "R.4"
unit = "R.5"
flags = "R.7"
status = "R.9"
report_type = "O.26"
completed = "R.13"
run = "R.3.6"
dilution = "R.3.7"
no_dilution = ["NEAT"]
padding = " "
decimal_comma = true
absent = ["NA"]
[flags]
normal = ["U"]
ignore = ["0"]
[qc]
when = ["O.3 starts-with QC"]
[calibration]
when = ["O.3 starts-with CAL"]
[[test]]
code = "GLU"
test = "GLU"
units = { "mmol/L" = "mmol/L", "mmol/l" = "mmol/L" }
[[test]]
code = "HIV"
test = "HIV"
coded = { "Non-reactive" = "NEG" }
"#;

#[track_caller]
fn check_value(sent: &str, expected: &str) {
    let message = format!("H|\\^&\rP|1\rO|1|1\rR|1|^^^HIV|{sent}\rL|1|N\r");
    let decoded = decode_text(&line_of(RULES), &message);
    let [observation] = observations(&decoded)[..] else {
        panic!("{sent}: {decoded:?}")
    };
    let found = match &observation.value {
        Value::Quantity { comparator, number } => {
            format!(
                "number {}{number}",
                comparator.map_or("", |sign| sign.as_str())
            )
        }
        Value::Titre { denominator } => format!("titre {denominator}"),
        Value::Ratio {
            numerator,
            denominator,
        } => format!("ratio {numerator}:{denominator}"),
        Value::Coded { code } => format!("code {code}"),
        Value::Text { text } => format!("text {text}"),
        Value::Absent { why } => format!("absent {why:?}"),
        Value::Image { media_type, .. } => format!("image {media_type}"),
    };
    assert_eq!(found, expected, "{sent}");
    assert_eq!(observation.text, sent, "the text is kept");
}

#[test]
fn values_are_typed_by_their_text_alone() {
    check_value("5.40", "number 5.40");
    check_value("-1.00", "number -1.00");
    check_value("+5", "number 5");
    check_value("007", "number 7");
    check_value("  5.5", "number 5.5");
    check_value("504  ", "number 504");
    check_value("7,41", "number 7.41");
    check_value("1,234.5", "text 1,234.5");
    check_value("1,2,3", "text 1,2,3");
    check_value("<15", "number <15");
    check_value("< 839", "number <839");
    check_value(">8", "number >8");
    check_value("<=1.005", "number <=1.005");
    check_value(">=7,5", "number >=7.5");
    check_value("><5", "text ><5");
    check_value("<", "text <");
    check_value("5.", "text 5.");
    check_value(".5", "text .5");
    check_value("1e5", "text 1e5");
    check_value("5 mg", "text 5 mg");
    check_value("٥", "text ٥");
    check_value("1:128", "titre 128");
    check_value("3:4", "ratio 3:4");
    check_value("1:", "text 1:");
    check_value("-1:8", "text -1:8");
    check_value("12:30:15", "text 12:30:15");
    check_value("Non-reactive", "code NEG");
    check_value("non-reactive", "text non-reactive");
    check_value("3+", "text 3+");
    check_value("", "absent Empty");
    check_value("   ", "absent Empty");
    check_value("----", "absent Mark");
    check_value("***.**", "absent Mark");
    check_value("**.*", "absent Mark");
    check_value(".***", "absent Mark");
    check_value("NA", "absent Mark");
    check_value("++++", "absent OverRange");
    check_value("-", "text -");
    check_value("...", "text ...");
    check_value("a &F& b", "text a | b");
    check_value("-1^0.325", "text -1^0.325");
    check_value(
        "99999999999999999999999999999999",
        "text 99999999999999999999999999999999",
    );
    check_value(
        "0.00000000000000000000000000000001",
        "text 0.00000000000000000000000000000001",
    );
}

#[test]
fn a_comma_is_no_point_unless_the_profile_says_so() {
    let message = "H|\\^&\rP|1\rO|1|1\rR|1|^^^A|7,41\rL|1|N\r";
    let decoded = decode_text(&line("generic/astm"), message);
    let found = observations(&decoded)[0];
    assert_eq!(
        found.value,
        Value::Text {
            text: "7,41".to_owned()
        }
    );
}

/// The holds of the first result of a message, `R` being its last fields from the third on.
#[track_caller]
fn check_holds(specimen: &str, result: &str, expected: &[&str]) {
    let message = format!("H|\\^&\rP|1\rO|1|{specimen}\rR|1|{result}\rL|1|N\r");
    let decoded = decode_text(&line_of(RULES), &message);
    let found: Vec<_> = observations(&decoded)[0]
        .holds
        .iter()
        .map(|hold| hold.reason.code())
        .collect();
    assert_eq!(found, expected, "{result}");
}

#[test]
fn a_result_is_held_for_each_reason_that_its_message_gives() {
    check_holds("25", "^^^GLU|5.4|mmol/L||N||F", &[]);
    check_holds(
        "25",
        "^^^GLU|5.4|mmol/l||H\\HH\\<\\>\\LL\\L\\A\\U\\0||F",
        &[],
    );
    check_holds("25", "^^^GLU|5.4|mmol/L|||", &[]);
    check_holds("25", "^^^GLU|5.4|mmol/L||||V", &[]);
    check_holds("25", "^^^GLU|5.4|mmol/L||||R", &[]);
    check_holds("25", "^^^GLU|5.4|mmol/L||||C", &[]);
    check_holds("25", "^^^GLU|5.4|mmol/L||||F\\R", &[]);
    check_holds("25", "^^^GLU|5.4|mmol/L||||P\\R", &["status-not-final"]);
    for status in ["P", "S", "I", "W", "M", "Z", "f"] {
        check_holds(
            "25",
            &format!("^^^GLU|5.4|mmol/L||||{status}"),
            &["status-not-final"],
        );
    }
    check_holds("25", "^^^GLU|5.4|mmol/L||||X", &["status-x"]);
    check_holds("25", "^^^GLU||mmol/L||||X", &["status-x", "absent-value"]);
    check_holds("25", "^^^GLU|----|mmol/L||||F", &["absent-value"]);
    check_holds("25", "^^^GLU|5.4|mmol/L||N\\D||F", &["suspect-flag"]);
    check_holds("25", "^^^GLU|5.4|mmol/L||W||F", &["suspect-flag"]);
    check_holds("25", "^^^GLU|5.4|mg/dL||||F", &["unit-differs"]);
    check_holds("25", "^^^GLU|5.4|||||F", &["unit-missing"]);
    check_holds("25", "^^^HIV|5.4|||||F", &[]);
    check_holds("25", "^^^GLU^^^10|5.4|mmol/L||||F", &["dilution"]);
    check_holds("25", "^^^GLU^^^NEAT|5.4|mmol/L||||F", &[]);
    check_holds("25", "^^^GLU^^^1|5.4|mmol/L||||F", &[]);
    check_holds("25", "^^^NOPE|5.4|mmol/L||||F", &["unknown-test"]);
    check_holds("25", "|5.4|mmol/L||||F", &["unknown-test"]);
    check_holds("", "^^^GLU|5.4|mmol/L||||F", &["no-specimen"]);
    check_holds("@192", "^^^GLU|5.4|mmol/L||||F", &["no-specimen"]);
    check_holds("QC1", "^^^NOPE|----|mg||D||X", &[]);
    check_holds("CAL1", "^^^NOPE|----|mg||D||X", &[]);
}

#[test]
fn an_undecodable_byte_is_shown_and_held() {
    let raw = b"H|\\^&\rP|1\rO|1|25\rR|1|^^^GLU|5.\xB54|mmol/L||||F\rL|1|N\r";
    let decoded = decode(&line_of(RULES), None, raw, true);
    let found = observations(&decoded)[0];
    assert_eq!(found.text, "5.\\xB54");
    assert_eq!(
        found
            .holds
            .iter()
            .map(|h| h.reason.code())
            .collect::<Vec<_>>(),
        ["undecodable"]
    );
}

#[test]
fn replicates_are_all_held_and_runs_are_none() {
    let message = "H|\\^&\rP|1\rO|1|25\rR|1|^^^HIV|1\rR|2|^^^HIV|2\rR|3|^^^HIV^q|3\r\
                   R|4|^^^HIV^^2|4\rO|2|26\rR|1|^^^HIV|5\rL|1|N\r";
    let decoded = decode_text(&line_of(RULES), message);
    let held: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| one.holds.len())
        .collect();
    assert_eq!(held, [1, 1, 0, 0, 0]);
    assert_eq!(
        observations(&decoded)[0].holds[0].reason.code(),
        "replicate"
    );
}

#[test]
fn a_report_that_is_not_final_makes_none_of_its_results_final() {
    let order = |report| format!("O|1|25{}{report}", "|".repeat(23));
    for (report, expected) in [
        ("F", "F"),
        ("", "F"),
        ("P", "P"),
        ("I", "P"),
        ("X", "X"),
        ("C", "C"),
    ] {
        let message = format!(
            "H|\\^&\rP|1\r{}\rR|1|^^^HIV|1|||||F\rL|1|N\r",
            order(report)
        );
        let decoded = decode_text(&line_of(RULES), &message);
        let line = json_lines(&decoded).pop().expect("a result");
        assert!(
            line.contains(&format!("\"status\":\"{expected}\"")),
            "{report}: {line}"
        );
    }
}

#[test]
fn a_cut_message_holds_its_results_and_drops_the_torn_record() {
    let raw = b"H|\\^&\rP|1\rO|1|25\rR|1|^^^HIV|1\rR|2|^^^GLU|5.";
    let decoded = decode(&line_of(RULES), None, raw, false);
    let found = observations(&decoded);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].holds[0].reason.code(), "incomplete");
    assert!(
        matches!(decoded.items.last(), Some(Item::Incomplete(_))),
        "{decoded:?}"
    );
}

#[test]
fn a_span_is_the_bytes_of_its_record() {
    let raw = "H|\\^&\rP|1\rO|1|25\rR|1|^^^HIV|năm\rL|1|N\r";
    let decoded = decode_text(&line_of(RULES), raw);
    let span = observations(&decoded)[0].span.clone();
    assert_eq!(raw.get(span), Some("R|1|^^^HIV|năm"));
}

#[test]
fn comments_stay_with_what_they_speak_of() {
    let message = "H|\\^&\rC|1|I|on all|G\rP|1\rC|1|I|on the patient|G\rO|1|25\rC|1|I|on the order|I\r\
                   R|1|^^^HIV|1\rC|1|I|first|I\rC|2|I|second|I\rR|2|^^^GLU|5|mmol/L\rM|1|x\rC|1|I|third|I\rL|1|N\r";
    let decoded = decode_text(&line_of(RULES), message);
    let comments: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| one.comments.join("; "))
        .collect();
    assert_eq!(
        comments,
        ["on the order; first; second", "on the order; third"]
    );
    let events: Vec<_> = decoded
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Device(event) => Some((event.code.as_str(), event.text.as_str())),
            Item::Observation(_) | Item::Image(_) | Item::Query(_) | Item::Incomplete(_) => None,
        })
        .collect();
    assert_eq!(
        events,
        [
            ("comment", "on all"),
            ("comment", "on the patient"),
            ("manufacturer", "M|1|x")
        ]
    );
}

#[test]
fn comments_on_a_refused_order_are_not_lost() {
    let order = format!("O|1|25{}X", "|".repeat(23));
    let message = format!("H|\\^&\rP|1\r{order}\rC|1|I|no reagent|I\rL|1|N\r");
    let lines = json_lines(&decode_text(&line_of(RULES), &message)).join("\n");
    assert!(
        lines.contains("order-refused") && lines.contains("no reagent"),
        "{lines}"
    );
}

#[test]
fn what_nobody_expects_is_kept_as_an_item() {
    let message = "R|1|^^^HIV|1\rH|\\^&\rP|1||25\rO|1|25\rX|1|odd\rhello\rL|1|E\rR|1|^^^HIV|2\r";
    let decoded = decode_text(&line_of(RULES), message);
    let kinds: Vec<_> = json_lines(&decoded)
        .iter()
        .map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","))
        .collect();
    insta::assert_snapshot!(kinds.join("\n"));
}

#[test]
fn queries_name_their_tubes() {
    for (record, expected) in [
        ("Q|1|^25||ALL||||||||O", "Specimens [\"25\"] Ask"),
        ("Q|1|^25|^25|ALL||||||||O", "Specimens [\"25\"] Ask"),
        ("Q|1|^25||ALL||||||||A", "Specimens [\"25\"] Cancel"),
        (
            "Q|1|^25\\26\\27|||S|||||||O",
            "Specimens [\"25\", \"26\", \"27\"] Ask",
        ),
        (
            "Q|1|p^25\\q^26||^^^GLU||||||||O",
            "Specimens [\"25\", \"26\"] Ask GLU",
        ),
        ("Q|1|ALL||ALL||||||||O", "All Ask"),
        ("Q|1|^ALL||ALL||||||||O", "All Ask"),
        ("Q|1|^25|^29|ALL||||||||O", "Range 25 29 Ask"),
        ("Q|1", "Specimens [\"\"] Ask"),
    ] {
        use crate::model::QuerySubject as Subject;
        let decoded = decode_text(&line("generic/astm"), &format!("H|\\^&\r{record}\rL|1|N\r"));
        let [Item::Query(query)] = &decoded.items[..] else {
            panic!("{record}: {decoded:?}")
        };
        let subject = match &query.subject {
            Subject::Specimens(tubes) => {
                format!(
                    "Specimens {:?}",
                    tubes.iter().map(|tube| &tube.id).collect::<Vec<_>>()
                )
            }
            Subject::Range(first, last) => format!("Range {first} {last}"),
            Subject::All => "All".to_owned(),
        };
        let found = format!("{subject} {:?} {}", query.action, query.codes.join(" "));
        assert_eq!(found.trim_end(), expected, "{record}");
    }
}

#[test]
fn the_lines_of_replay_have_their_keys_in_order() {
    let message =
        "H|\\^&|||DEV\rP|1\rO|1|25\rR|1|^^^GLU|5.40|mmol/l||N||F||||20250115103000\rL|1|N\r";
    let lines = json_lines(&decode_text(&line_of(RULES), message));
    assert_eq!(
        lines,
        [
            r#"{"kind":"result","specimen":"25","code":"GLU","test":"GLU","text":"5.40","unit":"mmol/L","flags":["N"],"status":"F","measured_at":"20250115103000","held":null,"notes":[]}"#
        ]
    );
}

#[test]
fn a_device_time_becomes_an_instant_only_with_a_zone() {
    let zone = jiff::tz::TimeZone::get("Asia/Ho_Chi_Minh").expect("bundled");
    let profile = line_of(RULES).profile().clone();
    let with = profile.for_line(LineSettings {
        zone: Some(zone),
        ..LineSettings::default()
    });
    let without = profile.for_line(LineSettings::default());
    let utc = |line, sent: &str| {
        let message = format!("H|\\^&\rP|1\rO|1|25\rR|1|^^^HIV|1|||||F||||{sent}\rL|1|N\r");
        let decoded = decode_text(line, &message);
        observations(&decoded)[0]
            .completed
            .as_ref()
            .and_then(|time| time.utc)
    };
    assert_eq!(utc(&with, "20250115103000"), Some(1_736_911_800_000_000));
    assert_eq!(utc(&with, "202501151030"), Some(1_736_911_800_000_000));
    assert_eq!(
        utc(&with, "20250115103000+0000"),
        Some(1_736_937_000_000_000)
    );
    assert_eq!(
        utc(&without, "20250115103000+0700"),
        Some(1_736_911_800_000_000)
    );
    assert_eq!(utc(&without, "20250115103000"), None);
    for unusable in [
        "20250115",
        "18991230000000",
        "20250132103000",
        "gestern",
        "20250115 103000",
    ] {
        assert_eq!(utc(&with, unusable), None, "{unusable}");
    }
}

struct Tests(BTreeMap<&'static str, Option<&'static str>>);

impl Catalogue for Tests {
    fn has(&self, test: &str) -> bool {
        self.0.contains_key(test)
    }

    fn unit(&self, test: &str) -> Option<&str> {
        self.0.get(test).copied().flatten()
    }

    fn coded(&self, test: &str, text: &str) -> Option<String> {
        (self.has(test) && test == "HIV" && text == "++++").then(|| "POS4".to_owned())
    }
}

#[test]
fn the_catalogue_decides_which_tests_units_and_codes_there_are() {
    let message =
        "H|\\^&\rP|1\rO|1|25\rR|1|^^^GLU|5.4|mmol/l\rR|2|^^^HIV|++++\rR|3|^^^NA|140|mmol/L\rL|1\r";
    let profile = line_of(RULES).profile().clone();
    let check = |tests: &[(&'static str, Option<&'static str>)], settings, expected: [&str; 3]| {
        let catalogue = Tests(tests.iter().copied().collect());
        let line = profile.for_line(settings);
        let decoded = decode(&line, Some(&catalogue), message.as_bytes(), true);
        let held: Vec<_> = observations(&decoded)
            .iter()
            .map(|one| one.holds.first().map_or("", |hold| hold.reason.code()))
            .collect();
        assert_eq!(held, expected);
    };
    let site = || LineSettings {
        tests: BTreeMap::from([("NA".to_owned(), "SODIUM".to_owned())]),
        ..LineSettings::default()
    };
    let pass = || LineSettings {
        unmapped: Unmapped::Pass,
        ..LineSettings::default()
    };
    let none = LineSettings::default;
    check(
        &[],
        none(),
        ["unknown-test", "absent-value", "unknown-test"],
    );
    let tests = [
        ("GLU", Some("mmol/L")),
        ("HIV", None),
        ("SODIUM", Some("mmol/L")),
    ];
    check(&tests, none(), ["", "", "unknown-test"]);
    check(&tests, site(), ["", "", ""]);
    check(
        &[("GLU", Some("g/L")), ("HIV", None)],
        site(),
        ["unit-differs", "", "unknown-test"],
    );
    check(
        &[("GLU", None), ("HIV", None), ("NA", None)],
        pass(),
        ["", "", ""],
    );
}

#[test]
fn a_unit_that_can_never_be_the_catalogues_is_told() {
    let told = |unit: &'static str| {
        let catalogue = Tests(BTreeMap::from([("GLU", Some(unit)), ("HIV", None)]));
        let problems = line_of(RULES).check_units(&catalogue);
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("mmol/L"), [""; 0]);
    assert_eq!(
        told("umol/mL"),
        [""; 0],
        "the same unit in another spelling"
    );
    assert_eq!(
        told("mg/dL"),
        ["test/profile: `GLU` comes in `mmol/L`, the catalogue has GLU in `mg/dL`"]
    );
}

#[test]
fn results_in_hl7_are_held_by_the_same_rules() {
    let base = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.3.1\rPID|1\rOBR|1||25\r";
    for (segment, expected) in [
        ("OBX|1|NM|A||5|u||N|||F", "unknown-test"),
        ("OBX|1|NM|A||5|u||H~SAT|||F", "suspect-flag"),
        ("OBX|1|NM|A||5|u|||||P", "status-not-final"),
        ("OBX|1|NM|A||5|u", "status-not-final"),
        ("OBX|1||A||----|u|||||F", "absent-value"),
        ("OBX|1|NM|A||5|u|||||X", "status-x"),
    ] {
        let decoded = decode_text(&line("generic/hl7"), &format!("{base}{segment}\r"));
        assert_eq!(
            observations(&decoded)[0].holds[0].reason.code(),
            expected,
            "{segment}"
        );
    }
}

#[test]
fn a_torn_segment_makes_its_message_incomplete() {
    let raw = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.3.1\rOBR|1||25\rOBX|1|NM|A||12\r5|u|||||F\r";
    let decoded = decode_text(&line("generic/hl7"), raw);
    assert_eq!(
        observations(&decoded)[0].holds[0].reason.code(),
        "incomplete"
    );
    assert!(matches!(decoded.items.last(), Some(Item::Incomplete(_))));
}

#[test]
fn the_tube_is_found_before_or_after_the_results() {
    let oru = "MSH|^~\\&|D||||20250115||ORU^R32^ORU_R30|1|P|2.5\rPID|1\rOBR|1|||T\rOBX|1|ST|A||x||||||F\rSPM|1|first\r\
               OBR|2|||T\rOBX|1|ST|A||x||||||F\rSPM|2|second&ns^other\r";
    let decoded = decode_text(&line("generic/hl7"), oru);
    let ids: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| {
            one.specimen
                .as_ref()
                .map(|tube| tube.id.clone())
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(ids, ["first", "second"]);
}

#[test]
fn a_picture_is_found_in_the_bytes_of_its_message() {
    let raw = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.3.1||||||UNICODE\rOBR|1||25\r\
               OBX|1|ED|H^Biểu đồ||^Image^BMP^Base64^Qk0=||||||F\r";
    let tests = BTreeMap::from([("H".to_owned(), "REPORT".to_owned())]);
    let line = profile("generic/hl7").for_line(LineSettings {
        tests,
        ..LineSettings::default()
    });
    let decoded = decode_text(&line, raw);
    let Value::Image {
        media_type,
        at: (start, len),
    } = &observations(&decoded)[0].value
    else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        (media_type.as_str(), raw.get(*start..start + len)),
        ("image/bmp", Some("Qk0="))
    );
}

#[test]
fn messages_without_results_are_events() {
    for (raw, code, text) in [
        (
            "MSH|^~\\&|D||||1||ACK^R01|9|P|2.3.1\rMSA|AA|LW7\r",
            "acknowledgement",
            "AA LW7",
        ),
        (
            "MSH|^~\\&|D||||1||ESU^U01|9|P|2.3.1\rEQU|1\r",
            "message",
            "ESU^U01",
        ),
    ] {
        let decoded = decode_text(&line("generic/hl7"), raw);
        let [Item::Device(event)] = &decoded.items[..] else {
            panic!("{decoded:?}")
        };
        assert_eq!((event.code.as_str(), event.text.as_str()), (code, text));
    }
    let decoded = decode_text(&line("generic/hl7"), "no message");
    assert!(
        matches!(&decoded.items[..], [Item::Incomplete(_)]),
        "{decoded:?}"
    );
}

#[test]
fn an_instrument_of_lab_toml_becomes_the_settings_of_its_line() {
    let lab = "[lab]\nname = \"L\"\n[[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
               port = \"tcp-listen://127.0.0.1:5001\"\ncharset = \"windows-1251\"\nunmapped = \"pass\"\n\
               tests = { \"RET%\" = \"RETP\" }\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("lab.toml");
    std::fs::write(&path, lab).expect("written");
    let (loaded, _) = crate::config::load(&path, &crate::config::Seams::default());
    let loaded = loaded.expect("readable");
    let instrument = loaded.lab.instruments.first().expect("one instrument");
    let settings = LineSettings::of(instrument, jiff::tz::TimeZone::UTC, &loaded.catalogue);
    assert_eq!(
        (settings.line.as_str(), settings.unmapped),
        ("xn-1", Unmapped::Pass)
    );
    assert_eq!(settings.charset.map(Charset::label), Some("windows-1251"));
    assert_eq!(settings.tests.get("RET%").map(String::as_str), Some("RETP"));
}

#[test]
fn link_settings_reach_the_machines() {
    let profile = line_of(
        "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n[result]\ncode = \"R.3\"\nvalue = \"R.4\"\n\
         [link]\nchecksum = \"warn\"\nframe_numbers = \"lenient\"\nframe_text_max = 1000\nreply_timeout_ms = 7\n",
    );
    let dialect = profile.profile().link.dialect();
    assert_eq!(dialect.frame_text_max, 1000);
    assert_eq!(dialect.timers.reply.as_millis(), 7);
    assert_eq!(
        format!("{:?} {:?}", dialect.checksum, dialect.frame_numbers),
        "Warn Lenient"
    );
    assert_eq!(profile.profile().link.mllp().reply_timeout.as_millis(), 7);
    assert_eq!(profile.profile().device.protocol, Protocol::Astm);
}

#[test]
fn a_message_of_another_device_is_held_where_the_profile_names_its_own() {
    let holds_of = |line: &crate::profile::LineProfile, message: &str| -> Vec<String> {
        let decoded = decode_text(line, message);
        let holds = observations(&decoded)
            .into_iter()
            .flat_map(|one| &one.holds);
        holds
            .map(|hold| format!("{} {}", hold.reason.code(), hold.detail))
            .collect()
    };
    let own = "[device]\nsender = [\"ACME-#^*\", \"ACME\"]";
    let line = line_of(&RULES.replacen("[device]", own, 1));
    let check = |sender: &str, expected: &[&str]| {
        let message = format!(
            "H|\\^&|||{sender}\rP|1\rO|1|1\rR|1|^^^GLU|5.1|mmol/L\rL|1|N\r\
             H|\\^&|||ACME\rO|1|QC1\rR|1|^^^GLU|5.1|mmol/L\rL|1|N\r"
        );
        assert_eq!(holds_of(&line, &message), expected, "{sender}");
    };
    check("ACME-2^1.4^777", &[]);
    check("ACME", &[]);
    check("ACME-X^1.4", &["ambiguous-sender ACME-X^1.4"]);
    check("acme", &["ambiguous-sender acme"]);
    check("", &["ambiguous-sender "]);
    // What the site says of this one device goes before what the profile says of all.
    let of_site = LineSettings {
        sender: vec![Pattern::new("ACME-2^*^777")],
        ..LineSettings::default()
    };
    let one = line.profile.for_line(of_site);
    let message =
        |sender: &str| format!("H|\\^&|||{sender}\rP|1\rO|1|1\rR|1|^^^GLU|5.1|mmol/L\rL|1|N\r");
    let strangers = |sender: &str| {
        let holds = holds_of(&one, &message(sender));
        holds
            .into_iter()
            .filter(|hold| hold.starts_with("ambiguous-sender"))
            .count()
    };
    assert_eq!(strangers("ACME-2^1.4^777"), 0);
    assert_eq!(strangers("ACME-2^1.4^778"), 1, "the same model beside it");
    assert_eq!(
        decode_text(&one, &message("ACME-2^1.4^778"))
            .stranger
            .as_deref(),
        Some("ACME-2^1.4^778")
    );
    // Without the key nobody is asked who he is.
    let message = "H|\\^&|||OTHER\rP|1\rO|1|1\rR|1|^^^GLU|5.1|mmol/L\rL|1|N\r";
    assert_eq!(holds_of(&line_of(RULES), message), [""; 0]);

    let hl7 = line_of(
        "[device]\nprotocol = \"hl7\"\nsender = \"BC-5000\"\n[specimen]\nid = \"OBR-3.1\"\n\
         [result]\ncode = \"OBX-3.1\"\nvalue = \"OBX-5\"\n[[test]]\ncode = \"WBC\"\ntest = \"WBC\"\n",
    );
    for (sender, expected) in [("BC-5000", 0), ("BC-6800", 1)] {
        let message = format!(
            "MSH|^~\\&|{sender}|LAB|||20260310||ORU^R01|1|P|2.3.1\rOBR|1||7\r\
             OBX|1|NM|WBC||6.4||||||F\r"
        );
        let holds = holds_of(&hl7, &message);
        let count = holds
            .iter()
            .filter(|hold| hold.starts_with("ambiguous-sender"));
        assert_eq!(count.count(), expected, "{sender}: {holds:?}");
    }
}

#[test]
fn without_a_catalogue_only_codes_of_the_lines_tests_and_passed_ones_are_known() {
    use super::profile;
    let with = |tests: &[(&str, &str)], unmapped| {
        profile("sysmex/xn").for_line(LineSettings {
            unmapped,
            has_own_tests_alone: true,
            tests: tests
                .iter()
                .map(|(code, test)| ((*code).to_owned(), (*test).to_owned()))
                .collect(),
            ..LineSettings::default()
        })
    };
    let check = |line: &crate::profile::LineProfile, expected: [(Option<&str>, &str); 2]| {
        let message = "H|\\^&|||XN-550\rP|1\rO|1|||^^^^WBC|R|||||||||||||||||||F\r\
                       R|1|^^^^WBC|6.45|10*3/uL||N||F\rR|2|^^^^RBC|4.7|10*6/uL||N||F\rL|1|N\r";
        let decoded = decode_text(line, message);
        let seen: Vec<_> = observations(&decoded)
            .into_iter()
            .map(|one| {
                let unknown = one.holds.iter().map(|hold| hold.reason.code());
                let unknown = unknown.filter(|code| *code == "unknown-test").collect();
                (one.test.clone(), unknown)
            })
            .collect::<Vec<(_, String)>>();
        let expected = expected.map(|(test, hold)| (test.map(str::to_owned), hold.to_owned()));
        assert_eq!(seen, expected);
    };
    let none = with(&[], Unmapped::Hold);
    check(&none, [(None, "unknown-test"), (None, "unknown-test")]);
    assert!(none.codes_of("WBC").is_empty());
    let one = with(&[("WBC", "BC")], Unmapped::Hold);
    check(&one, [(Some("BC"), ""), (None, "unknown-test")]);
    assert_eq!(one.codes_of("BC"), ["WBC"]);
    // A mapping of the profile to the same test stays out.
    let other = with(&[("RBC", "WBC")], Unmapped::Hold);
    check(&other, [(None, "unknown-test"), (Some("WBC"), "")]);
    assert_eq!(other.codes_of("WBC"), ["RBC"]);
    let pass = with(&[], Unmapped::Pass);
    check(&pass, [(Some("WBC"), ""), (Some("RBC"), "")]);
}

#[test]
fn a_capture_of_a_device_that_goes_on_in_the_middle_is_read_as_one_message() {
    let text = r#"[device]
vendor = "Test"
models = ["Resumes"]
protocol = "astm"
source = "invented"
confidence = "assumed"
[specimen]
id = "O.3"
restart = "record"
[result]
code = "R.3.4"
value = "R.4"
status = "R.9"
"#;
    let capture = r"
        <ENQ><STX>1H|\^&<CR>P|1<CR>O|1|TUBE<CR>R|1|^^^A|1||||||F<CR>R|2|^^^B|2<ETB><CS><CR><LF><EOT>
        <ENQ><STX>1H|\^&<CR>P|1<CR>O|1|TUBE<CR>R|2|^^^B|22||||||F<CR>L|1|N<CR><ETX><CS><CR><LF><EOT>"
        .replace("        ", "");
    let capture = wire::read(&capture, Charset::Latin1, &Wire::Astm).expect("a wire");
    let read = |text: &str| -> Vec<(String, bool)> {
        let decoded = decode_capture(&line_of(text), None, &capture);
        let all = decoded.iter().flat_map(observations);
        all.map(|one| {
            let is_cut = one
                .holds
                .iter()
                .any(|hold| hold.reason == HoldReason::Incomplete);
            (one.text.clone(), is_cut)
        })
        .collect()
    };
    let own = |text: &str, is_cut| (text.to_owned(), is_cut);
    assert_eq!(read(text), [own("1", false), own("22", false)]);
    let whole_messages = text.replace("\"record\"", "\"message\"");
    assert_eq!(read(&whole_messages), [own("1", true), own("22", false)]);
}
