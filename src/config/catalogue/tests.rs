use jiff::civil::date;

use super::*;
use crate::{config::problem, model::Sex};

fn read(text: &str) -> (Catalogue, Vec<&'static str>) {
    let mut problems = Problems::default();
    let catalogue = Catalogue::read(&problem::source("catalogue.toml", text), &mut problems);
    let codes = problems
        .sorted()
        .iter()
        .map(|problem| problem.code)
        .collect();
    (catalogue, codes)
}

const SMALL: &str = r#"
[[test]]
id = "WBC"
name = { vi = "Bạch cầu", en = "White cells" }
section = "haematology"
unit = "10*9/L"
decimals = 2
loinc = "6690-2"
his = { his = "X1", lis = ["Y1", "Y2"] }
ma_chi_so = "H17"
ranges = [
  { below = "28d", low = 9.0, high = 30.00 },
  { sex = "M", from = "18y", low = 4.0, high = 10.0 },
  { sex = "F", from = "18y", text = "see note" },
]
critical = { low = 2.0, high = 30 }
delta = { percent = 50 }

[[test]]
id = "HGB"
unit = "g/L"
his = "X2"

[[test]]
id = "ABO"
class = "transfusion"
coded = { "A" = "A", "Nhóm A" = "A" }

[[panel]]
id = "DIFF"
his = "P1"
tests = ["WBC"]

[[panel]]
id = "CBC"
his = ["P2"]
tests = ["HGB", "DIFF", "WBC"]
"#;

#[test]
fn a_code_orders_a_test_or_every_test_of_a_panel() {
    let (catalogue, problems) = read(SMALL);
    assert_eq!(problems, [""; 0]);
    let check = |host: &str, code: &str, expected: &[&str]| {
        let found: Vec<&str> = catalogue
            .expand(host, code)
            .iter()
            .map(|t| t.id.as_str())
            .collect();
        assert_eq!(found, expected, "{host} {code}");
    };
    check("his", "X1", &["WBC"]);
    check("lis", "Y2", &["WBC"]);
    check("lis", "X1", &[]);
    check("his", "X2", &["HGB"]);
    check("his", "P1", &["WBC"]);
    check("his", "P2", &["HGB", "WBC"]);
    check("his", "CBC", &["HGB", "WBC"]);
    check("his", "ABO", &["ABO"]);
    check("his", "wbc", &[]);
    assert_eq!(
        catalogue
            .ordered_panel("his", "P2")
            .map(|panel| panel.id.as_str()),
        Some("CBC")
    );
    assert!(catalogue.ordered_panel("his", "X1").is_none());
}

#[test]
fn a_test_knows_its_panels_and_its_codes() {
    let (catalogue, _) = read(SMALL);
    let panels: Vec<&str> = catalogue
        .panels_of("WBC")
        .map(|panel| panel.id.as_str())
        .collect();
    assert_eq!(panels, ["DIFF", "CBC"]);
    assert_eq!(catalogue.panels_of("none").count(), 0);
    let wbc = catalogue.test("WBC").expect("in the catalogue");
    assert_eq!(wbc.his_code("his"), "X1");
    assert_eq!(wbc.his_code("lis"), "Y1");
    assert_eq!(wbc.his_code("third"), "WBC");
    assert_eq!(wbc.name.in_language(Language::Vi), "Bạch cầu");
    let abo = catalogue.test("ABO").expect("in the catalogue");
    assert_eq!(
        (abo.class, abo.coded("Nhóm A"), abo.coded("a")),
        (Class::Transfusion, Some("A"), None)
    );
    assert_eq!(catalogue.sections(), ["haematology"]);
}

#[test]
fn numbers_keep_their_scale() {
    let (catalogue, _) = read(SMALL);
    let wbc = catalogue.test("WBC").expect("in the catalogue");
    assert_eq!(wbc.ranges[0].to_string(), "9.0-30.00");
    assert_eq!(
        wbc.critical[0].limits.high.map(|high| high.to_string()),
        Some("30".to_owned())
    );
}

#[test]
fn a_range_applies_only_to_whom_it_surely_fits() {
    let (catalogue, _) = read(SMALL);
    let wbc = catalogue.test("WBC").expect("in the catalogue");
    let on = date(2026, 3, 10);
    let check = |sex, birth, expected: Option<&str>| {
        let found = wbc.range(sex, birth, on).map(ToString::to_string);
        assert_eq!(found.as_deref(), expected, "{sex:?} {birth:?}");
    };
    check(Some(Sex::M), Some(date(2008, 3, 10)), Some("4.0-10.0"));
    check(Some(Sex::M), Some(date(2008, 3, 11)), None);
    check(Some(Sex::F), Some(date(1980, 1, 1)), Some("see note"));
    check(None, Some(date(1980, 1, 1)), None);
    check(Some(Sex::M), None, None);
    check(None, Some(date(2026, 3, 1)), Some("9.0-30.00"));
    check(None, Some(date(2026, 2, 10)), None);
}

#[test]
fn each_mistake_of_a_catalogue_is_told() {
    let check = |text: &str, expected: &[&str]| assert_eq!(read(text).1, expected, "{text}");
    let test = |more: &str| format!("[[test]]\nid = \"A\"\n{more}\n");
    check(&test(""), &[]);
    check(&(test("") + &test("")), &["CONF-0301"]);
    check(
        &(test("") + "[[panel]]\nid = \"A\"\ntests = [\"A\"]"),
        &["CONF-0301"],
    );
    check(
        &(test("his = \"1\"") + "[[test]]\nid = \"B\"\nhis = [\"2\", \"1\"]"),
        &["CONF-0302"],
    );
    check(
        &(test("") + "[[panel]]\nid = \"P\"\ntests = [\"A\", \"Q\"]"),
        &["CONF-0303"],
    );
    check("[[panel]]\nid = \"P\"\ntests = [\"P\"]", &["CONF-0304"]);
    check(
        "[[panel]]\nid = \"P\"\ntests = [\"Q\"]\n[[panel]]\nid = \"Q\"\ntests = [\"P\"]",
        &["CONF-0304", "CONF-0304"],
    );
    check(&test("unit = \"G/L\""), &["CONF-0305"]);
    check(&test("loinc = \"6690-3\""), &["CONF-0306"]);
    check(
        &test("ranges = [{ low = 1, high = 2 }, { sex = \"F\", low = 1 }]"),
        &["CONF-0307"],
    );
    check(
        &test("ranges = [{ below = \"1y\" }, { from = \"11m\" }]"),
        &["CONF-0307"],
    );
    check(&test("critical = { low = 5, high = 4.9 }"), &["CONF-0308"]);
    check(&test("ranges = [{ from = \"18\" }]"), &["CONF-0108"]);
    check(&test("ranges = [{ sex = \"male\" }]"), &["CONF-0105"]);
    check(&test("class = \"urgent\""), &["CONF-0105"]);
    check(&test("decimals = 9"), &["CONF-0106"]);
    check(&test("delta = { hours = 5 }"), &["CONF-0103"]);
    check(&test("ma_dich_vy = \"1\""), &["CONF-0107"]);
    check("[[panel]]\nid = \"P\"", &["CONF-0103"]);
    check("[[test]]\nname = \"x\"", &["CONF-0103"]);
    check("[test]\nid = \"A\"", &["CONF-0102"]);
}

#[test]
fn what_a_test_of_transfusion_says_must_be_words_that_rules_compare() {
    let check = |more: &str, expected: &[&str]| {
        let text = format!("[[test]]\nid = \"T\"\nclass = \"transfusion\"\n{more}\n");
        assert_eq!(read(&text).1, expected, "{text}");
    };
    check(
        "transfusion = \"abo\"\ncoded = { \"0\" = \"O\", \"?\" = \"INDETERMINATE\" }",
        &[],
    );
    check(
        "transfusion = \"abo\"\ncoded = { \"0\" = \"0\" }",
        &["CONF-0312"],
    );
    check(
        "transfusion = \"rhd\"\ncoded = { \"w\" = \"WEAK\", \"+\" = \"+\" }",
        &["CONF-0312"],
    );
    check(
        "transfusion = \"abo-rhd\"\ncoded = { \"AP\" = \"A POS\" }",
        &[],
    );
    check(
        "transfusion = \"abo-rhd\"\ncoded = { \"A\" = \"A\" }",
        &["CONF-0312"],
    );
    check("transfusion = \"forward\"\ncoded = { \"A\" = \"A\" }", &[]);
    let well = "transfusion = \"forward\"\nreagent = \"anti-A\"\n";
    check(
        &format!("{well}coded = {{ \"40\" = \"4+\", \"M\" = \"mf\" }}"),
        &[],
    );
    check(
        &format!("{well}coded = {{ \"A\" = \"A\" }}"),
        &["CONF-0312"],
    );
    check(
        &format!("{well}means = {{ \"260405006\" = \"5+\" }}"),
        &["CONF-0312"],
    );
    let abo = "transfusion = \"abo\"\ncoded = { \"A\" = \"112144000\" }\n";
    check(abo, &["CONF-0312"]);
    check(&format!("{abo}means = {{ \"112144000\" = \"A\" }}"), &[]);
    check(
        &format!("{abo}means = {{ \"112144000\" = \"a\" }}"),
        &["CONF-0312"],
    );
    check("transfusion = \"ABO\"", &["CONF-0105"]);
    check(
        "transfusion = \"forward\"\nreagent = \"anti-C\"",
        &["CONF-0105"],
    );
    check(
        "transfusion = \"abo\"\nreagent = \"anti-A\"",
        &["CONF-0310"],
    );
    check("transfusion = \"dat\"\ntechnique = \"iat\"", &["CONF-0310"]);
    check("transfusion = \"crossmatch\"\ntechnique = \"iat\"", &[]);
    check("means = { \"1\" = \"A\" }", &["CONF-0310"]);
    let (_, codes) = read("[[test]]\nid = \"T\"\ntransfusion = \"abo\"");
    assert_eq!(codes, ["CONF-0311"]);
}

#[test]
fn a_tube_fits_a_test_or_does_not_where_the_catalogue_knows_its_type() {
    let (catalogue, _) = read(
        "[[test]]\nid = \"WBC\"\nspecimen = [\"EDTA\"]\n\
         [[test]]\nid = \"GLU\"\nspecimen = [\"SERUM\", \"FLUORIDE\"]\n[[test]]\nid = \"X\"",
    );
    let check = |test: &str, types: &[&str], expected| {
        assert_eq!(
            catalogue.fits_tube(test, types),
            expected,
            "{test} {types:?}"
        );
    };
    check("WBC", &["EDTA"], Some(true));
    check("WBC", &["edta"], Some(true));
    check("WBC", &["SERUM"], Some(false));
    check("GLU", &["FLUORIDE"], Some(true));
    check("GLU", &["WB", "EDTA"], Some(false));
    check("WBC", &["WB", "EDTA"], Some(true));
    check("WBC", &["WB"], None);
    check("WBC", &[], None);
    check("X", &["SERUM"], None);
    check("NONE", &["SERUM"], None);
}

#[test]
fn a_circle_of_panels_still_ends() {
    let (catalogue, _) = read(
        "[[test]]\nid = \"A\"\n[[panel]]\nid = \"P\"\ntests = [\"A\", \"Q\"]\n\
         [[panel]]\nid = \"Q\"\ntests = [\"P\"]",
    );
    assert_eq!(catalogue.expand("his", "P").len(), 1);
}
