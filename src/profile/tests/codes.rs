//! Codes: cut out of a longer text, told apart by their aspect, mapped by a site.

use std::{collections::BTreeMap, sync::Arc};

use super::{decode_text, observations};
use crate::{
    config::problem::render,
    profile::{LineProfile, LineSettings, load, run_examples},
};

/// The tables that every profile here needs.
const BASE: &str = "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n\
                    [result]\ncode = \"R.3.4\"\nvalue = \"R.4\"\nunit = \"R.5\"\n";

/// [`BASE`] with more, on a line that maps `tests`.
fn line(more: &str, tests: &[(&str, &str)]) -> LineProfile {
    let (profile, problems) = load("test/profile", &format!("{BASE}{more}"));
    let profile = profile.unwrap_or_else(|| panic!("{}", render(&problems, false)));
    let tests = tests
        .iter()
        .map(|(code, test)| ((*code).to_owned(), (*test).to_owned()));
    Arc::new(profile).for_line(LineSettings {
        tests: tests.collect::<BTreeMap<_, _>>(),
        ..LineSettings::default()
    })
}

/// Code, test, unit and holds of a result whose fields from the third on are `result`.
#[track_caller]
fn check(line: &LineProfile, result: &str, expected: &str) {
    let decoded = decode_text(line, &format!("H|\\^&\rP|1\rO|1|25\rR|1|{result}\rL|1|N\r"));
    let [found] = observations(&decoded)[..] else {
        panic!("{result}: {decoded:?}")
    };
    let holds: Vec<_> = found.holds.iter().map(|hold| hold.reason.code()).collect();
    let shown = format!(
        "{} {} {} {}",
        found.code,
        found.test.as_deref().unwrap_or("-"),
        found.ucum.as_deref().unwrap_or("-"),
        holds.join(" ")
    );
    assert_eq!(shown.trim_end(), expected, "{result}");
}

#[test]
fn a_code_is_cut_out_of_its_field_and_other_pieces_are_dilutions() {
    let pieces =
        "cut_at = \"+\"\ncode_piece = 2\ndilution_pieces = [1, 3]\nno_dilution = [\"1.0000\"]\n";
    let line = line(pieces, &[("002", "GLU")]);
    check(&line, "^^^1.0000+002+1.0|5|u", "002 GLU -");
    check(&line, "^^^1.0000+002+2.0|5|u", "002 GLU - dilution");
    check(&line, "^^^5.0000+002+1.0|5|u", "002 GLU - dilution");
    check(&line, "^^^1.0000+002|5|u", "002 GLU -");
    check(&line, "^^^002|5|u", "002 GLU -");
    check(&line, "^^^1.0000++1.0|5|u", " - - unknown-test");
    check(&line, "|5|u", " - - unknown-test");
}

#[test]
fn an_aspect_that_is_not_plain_makes_another_code() {
    let aspects = "aspect = \"R.3.8\"\nplain_aspects = [\"DOSE\"]\n";
    let line = line(aspects, &[("TSH", "TSH"), ("HBS^INTR", "HBSAG")]);
    check(&line, "^^^TSH^^^^DOSE|5|u", "TSH TSH -");
    check(&line, "^^^TSH|5|u", "TSH TSH -");
    check(&line, "^^^TSH^^^^RLU|5|u", "TSH^RLU - - unknown-test");
    check(&line, "^^^HBS^^^^INTR|5|u", "HBS^INTR HBSAG -");
    check(&line, "^^^HBS^^^^DOSE|5|u", "HBS - - unknown-test");
    let message = "H|\\^&\rP|1\rO|1|25\rR|1|^^^TSH^^^^DOSE|5|u\rR|2|^^^TSH^^^^RLU|9|u\rL|1|N\r";
    let decoded = decode_text(&line, message);
    let found = observations(&decoded);
    assert!(
        found[0].holds.is_empty(),
        "its signal is no replicate of it"
    );
}

#[test]
fn a_test_that_is_read_from_an_aspect_is_ordered_by_the_bare_code() {
    let aspects = "aspect = \"R.3.8\"\n[[test]]\ncode = \"HCV^INTR\"\ntest = \"HCVAB\"\n\
                   [[test]]\ncode = \"HIV^INTR\"\ntest = \"HIV\"\norder = \"HIV^2\"\n";
    let line = line(aspects, &[("HBS^INTR", "HBSAG"), ("HBS", "HBSAG")]);
    assert_eq!(line.codes_of("HBSAG"), ["HBS"]);
    assert_eq!(line.codes_of("HCVAB"), ["HCV"]);
    assert_eq!(line.codes_of("HIV"), ["HIV^2"]);
}

#[test]
fn spellings_of_units_serve_codes_that_only_a_site_maps() {
    let units = "[units]\n\"uIU/ml\" = \"u[iU]/mL\"\n\"mg/dl\" = \"mg/dL\"\n[[test]]\ncode = \"GLU\"\n\
                 test = \"GLU\"\nunits = { \"mmol/L\" = \"mmol/L\" }\n";
    let line = line(units, &[("TSH", "TSH")]);
    check(&line, "^^^TSH|5|uIU/ml", "TSH TSH u[iU]/mL");
    check(&line, "^^^TSH|5|odd", "TSH TSH -");
    check(&line, "^^^GLU|5|mmol/L", "GLU GLU mmol/L");
    check(&line, "^^^GLU|5|mg/dl", "GLU GLU mg/dL");
    check(&line, "^^^NEW|5|uIU/ml", "NEW - - unknown-test");
}

#[test]
fn mistakes_in_pieces_aspects_and_units_are_told_with_their_remedy() {
    let told = |more: &str| {
        let (profile, problems) = load("test/profile", &format!("{BASE}{more}"));
        assert!(profile.is_none(), "{more}");
        render(&problems, false)
    };
    let text = told("code_piece = 2\n");
    assert!(
        text.contains("there is no piece 2") && text.contains("`cut_at`"),
        "{text}"
    );
    let text = told("cut_at = \"+\"\ndilution_pieces = [0]\n");
    assert!(
        text.contains("there is no piece 0") && text.contains("counted from 1"),
        "{text}"
    );
    let text = told("plain_aspects = [\"F\"]\n");
    assert!(text.contains("`plain_aspects` without `aspect`"), "{text}");
    let text = told("[units]\n\"mg/dl\" = \"g/L\"\n");
    assert!(text.contains("PROF-0209"), "{text}");
}

#[test]
fn an_example_maps_codes_as_the_line_of_a_site_would() {
    let example = |test: &str| {
        let text = format!(
            "{BASE}[query]\nid = \"Q.3.2\"\n[answer]\nform = \"records\"\no = {{ 5 = \"{{tests}}\" }}\n\
             test = \"{{code}}\"\n[[example]]\nname = \"mapped\"\ntests = {{ \"7\" = \"{test}\" }}\n\
             wire = 'H|\\^&<CR>Q|1|^25<CR>L|1|N<CR>'\nexpect = [{{ kind = \"query\" }}]\n\
             answer = 'H|\\^&<CR>P|1<CR>O|1|||7<CR>L|1|F<CR>'\n[[example.orders]]\nspecimen = \"25\"\n\
             tests = [\"TSH\"]\n"
        );
        let (profile, problems) = load("test/profile", &text);
        let profile = profile.unwrap_or_else(|| panic!("{}", render(&problems, false)));
        render(&run_examples(&Arc::new(profile)), false)
    };
    assert_eq!(example("TSH"), "");
    assert!(example("FT4").contains("the answer differs"));
}
