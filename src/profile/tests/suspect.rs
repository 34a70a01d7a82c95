//! What makes a result suspect beside its own flag, and what stands for a unit that was not sent.

use super::{answers::answered, decode_text, line_of, observations};
use crate::{model::HoldReason, profile::load};

/// A device whose comments and flags hold, that leaves the unit of a ratio out, and whose orders name
/// a mode.
const RULES: &str = r#"
[device]
protocol = "astm"
[text]
charset = "utf-8"
[specimen]
id = "O.3"
[result]
code = "R.3.4"
value = "R.4"
unit = "R.5"
flags = "R.7"
status = "R.9"
[flags]
suspect = [">"]
[comments]
holds_when = ["C.5.1 = I"]
[query]
id = "Q.3.2"
[answer]
form = "records"
o = { 3 = "{specimen}", 5 = "{tests}" }
test = "^^^{code}"
modes = ["CBC", "DIF"]
[[test]]
code = "INR"
test = "INR"
units = { "" = "{INR}" }
[[test]]
code = "PT"
test = "PT"
units = { "s" = "s" }
[[test]]
code = "WBC"
test = "WBC"
order = "CBC"
units = { "G/L" = "10*9/L" }
[[test]]
code = "NEU"
test = "NEUT"
order = "DIF"
units = { "G/L" = "10*9/L" }
"#;

/// The reasons of every result, tests that nobody mapped left aside.
#[track_caller]
fn check_holds(records: &str, expected: &[&[&str]]) {
    let message = format!("H|\\^&\rP|1\r{records}\rL|1|N\r");
    let decoded = decode_text(&line_of(RULES), &message);
    let found: Vec<Vec<&str>> = observations(&decoded)
        .iter()
        .map(|observation| {
            let holds = observation.holds.iter().map(|hold| hold.reason);
            holds
                .filter(|reason| *reason != HoldReason::UnknownTest)
                .map(HoldReason::code)
                .collect()
        })
        .collect();
    assert_eq!(found, expected, "{records}");
}

#[test]
fn a_comment_that_the_profile_names_makes_all_results_of_its_order_suspect() {
    let two = "R|1|^^^PT|12.1|s||N||F\rR|2|^^^PT|12.2|s||N||F";
    // On the order, before its results.
    check_holds(
        &format!("O|1|25\rC|1|I|Suspect Diff|I^U\r{two}"),
        &[
            &["suspect-flag", "replicate"],
            &["suspect-flag", "replicate"],
        ],
    );
    // On a later result, for those before it as well; but not for the next order.
    check_holds(
        "O|1|25\rR|1|^^^PT|12.1|s||N||F\rR|2|^^^INR|1.1|||N||F\rC|1|I|Clumps|I\r\
         O|2|26\rR|1|^^^PT|12.1|s||N||F",
        &[&["suspect-flag"], &["suspect-flag"], &[]],
    );
    // Another type of comment says nothing.
    check_holds(
        "O|1|25\rC|1|I|For research|G\rR|1|^^^PT|12.1|s||N||F",
        &[&[]],
    );
}

#[test]
fn a_flag_that_is_normal_elsewhere_holds_where_the_profile_calls_it_suspect() {
    check_holds("O|1|25\rR|1|^^^PT|12.1|s||>||F", &[&["suspect-flag"]]);
    check_holds("O|1|25\rR|1|^^^PT|12.1|s||H||F", &[&[]]);
}

#[test]
fn no_unit_is_a_unit_only_where_the_profile_says_which() {
    check_holds(
        "O|1|25\rR|1|^^^INR|1.1|||N||F\rR|2|^^^PT|12.1|||N||F",
        &[&[], &["unit-missing"]],
    );
    let typo = RULES.replace("\"{INR}\"", "\"no unit\"");
    let (_, problems) = load("test/profile", &typo);
    assert_eq!(problems.iter().count(), 1);
}

#[test]
fn an_order_names_the_last_mode_that_its_tests_ask_for_and_what_is_no_mode() {
    let line = line_of(RULES);
    for (tests, expected) in [
        (&["CBC"][..], "^^^CBC"),
        (&["CBC", "DIF"], "^^^DIF"),
        (&["DIF", "CBC", "ESR"], "^^^DIF\\^^^ESR"),
    ] {
        let written = answered(&line, "25", tests);
        let wanted = format!("H|\\^&\rP|1\rO|1|25||{expected}\rL|1|F\r");
        assert_eq!(written, wanted);
    }
}
