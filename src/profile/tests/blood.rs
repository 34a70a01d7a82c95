//! What blood typing needs: values that are no numbers, rows that say several results, and comments
//! that are made of fields.

use super::{decode_text, line_of, observations};
use crate::{
    config::{
        Catalogue,
        problem::{Problems, render, source},
    },
    model::{Item, Value},
    profile::{Decoded, load},
};

const RULES: &str = r#"
[device]
protocol = "astm"
[specimen]
id = "O.3"
[result]
code = "R.3.4"
aspect = "R.3.5"
plain_aspects = ["Sum"]
value = "R.4"
status = "R.9"
flags = "R.7"
about = "R.3.6"
is_text = true
coded = { "0" = "0", "30" = "3+" }
padding = " ^"
absent = ["-90"]
[flags]
suspect = ["N"]
[[part]]
when = ["R.3.5 = Sum"]
aspect = "ABO"
value = "R.4.1"
[[part]]
when = ["R.3.5 = Sum"]
aspect = "D"
value = "R.4.2"
[[comment]]
label = "donor unit"
text = "R.3.6"
[[comment]]
label = "well"
text = ["M.3", "M.4.1", "M.4.2"]
coded = { "30" = "3+", "-115" = "mixed field" }
holds_when = ["M.4.1 starts-with -"]
[[test]]
code = "GRP^ABO"
test = "ABO"
coded = { "0" = "O", "A" = "A" }
[[test]]
code = "GRP^D"
test = "RHD"
"#;

fn decoded(records: &str) -> Decoded {
    decode_text(
        &line_of(RULES),
        &format!("H|\\^&\rP|1\rO|1|25\r{records}L|1|N\r"),
    )
}

#[track_caller]
fn check_value(sent: &str, expected: &Value) {
    let decoded = decoded(&format!("R|1|^^^X|{sent}|||||F\r"));
    let [observation] = observations(&decoded)[..] else {
        panic!("{sent}: {decoded:?}")
    };
    assert_eq!(&observation.value, expected, "{sent}");
    assert_eq!(observation.text, sent, "the text is kept");
}

#[test]
fn a_reaction_is_never_a_number() {
    let text = |text: &str| Value::Text {
        text: text.to_owned(),
    };
    let coded = |code: &str| Value::Coded {
        code: code.to_owned(),
    };
    check_value("30^^", &coded("3+"));
    check_value("0", &coded("0"));
    check_value("45", &text("45"));
    check_value("<1", &text("<1"));
    check_value("1:2", &text("1:2"));
    check_value("30^20", &text("30^20"));
    let decoded = decoded("R|1|^^^X|-90|||||F\r");
    let held = observations(&decoded)[0].holds.iter();
    assert!(
        held.map(|hold| hold.reason.code())
            .any(|one| one == "absent-value")
    );
}

#[test]
fn a_row_that_says_several_results_is_told_as_a_whole_and_in_its_parts() {
    let decoded = decoded("R|1|^^^GRP^Sum|0^NEG^^|||||F\rC|1|I|x\rR|2|^^^GRP^AntiA|0|||||F\r");
    let found: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| {
            let code = if let Value::Coded { code } = &one.value {
                code.as_str()
            } else {
                ""
            };
            (
                one.code.as_str(),
                one.text.as_str(),
                code,
                one.test.as_deref(),
                one.comments.len(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("GRP", "0^NEG^^", "", None, 1),
            ("GRP^ABO", "0", "O", Some("ABO"), 0),
            ("GRP^D", "NEG", "", Some("RHD"), 0),
            ("GRP^AntiA", "0", "0", None, 0),
        ]
    );
    let line = line_of(RULES);
    assert_eq!(line.codes_of("ABO"), ["GRP"], "ordered as a whole");
}

#[test]
fn a_part_that_is_empty_was_not_measured() {
    let decoded = decoded("R|1|^^^GRP^Sum|A^^|||||F\r");
    let codes: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| one.code.clone())
        .collect();
    assert_eq!(codes, ["GRP", "GRP^ABO"]);
}

#[test]
fn fields_and_manufacturers_records_become_comments() {
    let decoded =
        decoded("R|1|^^^X^^D0001|30|||||F\rM|1|Anti-A|30^A\rM|2|Anti-B|-115^M\rR|2|^^^Y|0|||||F\r");
    let [first, second] = observations(&decoded)[..] else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        first.comments,
        [
            "donor unit: D0001",
            "well: Anti-A 3+ (30) A",
            "well: Anti-B mixed field (-115) M"
        ]
    );
    assert!(second.comments.is_empty());
    for one in [first, second] {
        let suspect = one
            .holds
            .iter()
            .find(|hold| hold.reason.code() == "suspect-flag");
        let detail = suspect.map(|hold| hold.detail.as_str());
        assert_eq!(
            detail,
            Some("well: Anti-B mixed field (-115) M"),
            "the whole order waits"
        );
    }
}

#[test]
fn results_of_one_code_about_different_units_are_no_replicates() {
    let decoded = decoded("R|1|^^^X^^D1|0|||||F\rR|2|^^^X^^D2|0|||||F\rR|3|^^^X^^D2|30|||||F\r");
    let found: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| {
            let is_twice = one
                .holds
                .iter()
                .any(|hold| hold.reason.code() == "replicate");
            (one.about.as_deref(), is_twice)
        })
        .collect();
    assert_eq!(
        found,
        [(Some("D1"), false), (Some("D2"), true), (Some("D2"), true)]
    );
}

#[test]
fn a_usual_flag_holds_where_a_device_means_something_else_by_it() {
    for (flag, is_held) in [("N", true), ("H", false), ("Z", true)] {
        let decoded = decoded(&format!("R|1|^^^X|0|||{flag}||F\r"));
        let mut holds = observations(&decoded)[0].holds.iter();
        assert_eq!(
            holds.any(|hold| hold.reason.code() == "suspect-flag"),
            is_held,
            "{flag}"
        );
    }
}

#[test]
fn a_manufacturers_record_without_a_result_stays_an_event() {
    let decoded = decoded("M|1|Anti-A|30^A\r");
    let events: Vec<_> = decoded
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Device(event) => Some(event.code.as_str()),
            Item::Observation(_) | Item::Image(_) | Item::Query(_) | Item::Incomplete(_) => None,
        })
        .collect();
    assert!(events.contains(&"manufacturer"), "{events:?}");
}

#[test]
fn a_rule_without_a_place_is_told() {
    for (wrong, told) in [
        (
            "[[comment]]\nlabel = \"x\"\n",
            "a `[[comment]]` without `text`",
        ),
        (
            "[[comment]]\ntext = [\"M.3\", \"R.4\"]\n",
            "a `[[comment]]` without `text`",
        ),
        ("[[part]]\naspect = \"ABO\"\n", "a `[[part]]` needs"),
    ] {
        let (profile, problems) = load("test/profile", &format!("{RULES}{wrong}"));
        let problems = render(&problems, false);
        assert!(
            profile.is_none() && problems.contains(told),
            "{wrong}: {problems}"
        );
    }
}

#[test]
fn a_code_that_the_catalogue_cannot_read_as_a_group_is_told() {
    let told = |more: &str| {
        let text = format!(
            "[[test]]\nid = \"ABO\"\nclass = \"transfusion\"\ntransfusion = \"abo\"\n{more}\n\
             [[test]]\nid = \"RHD\"\n"
        );
        let mut problems = Problems::default();
        let catalogue = Catalogue::read(&source("catalogue.toml", &text), &mut problems);
        assert!(problems.is_empty(), "{}", render(&problems, false));
        let rules = RULES.replace("\"A\" = \"A\"", "\"A\" = \"GRP-A\"");
        let problems = line_of(&rules).check_codes(&catalogue);
        let codes = problems.iter().map(|problem| problem.code);
        codes.collect::<Vec<_>>()
    };
    assert_eq!(told(""), ["PROF-0215"]);
    assert_eq!(told("means = { \"GRP-A\" = \"A\" }"), [""; 0]);
}

#[test]
fn a_reading_that_was_changed_by_hand_is_held_for_a_second_person_and_no_other_flag_is_taken_for_it()
 {
    let rules = RULES
        .replace("suspect = [\"N\"]", "suspect = [\"N\"]\nedited = [\"M\"]")
        .replace(
            "holds_when = [\"M.4.1 starts-with -\"]",
            "edited_when = [\"M.4.2 = M\"]",
        );
    let check = |records: &str, expected: &[&str]| {
        let text = format!("H|\\^&\rP|1\rO|1|25\r{records}L|1|N\r");
        let decoded = decode_text(&line_of(&rules), &text);
        let holds: Vec<&str> = observations(&decoded)
            .iter()
            .flat_map(|one| one.holds.iter().map(|hold| hold.reason.code()))
            .filter(|code| *code != "unknown-test")
            .collect();
        assert_eq!(holds, expected, "{records}");
    };
    check("R|1|^^^A|30|||M||F\r", &["manual-edit"]);
    check("R|1|^^^A|30|||N||F\r", &["suspect-flag"]);
    check("R|1|^^^A|30|||||F\rM|1|A|30^A\r", &[]);
    check("R|1|^^^A|30|||||F\rM|1|A|30^M\r", &["manual-edit"]);
}
