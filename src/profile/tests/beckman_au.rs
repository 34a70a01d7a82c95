//! Beckman AU: what a profile must say of columns, and what a text makes of them.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{observations, profile};
use crate::{
    config::problem::render,
    model::{Item, ObservationKind, Query},
    profile::{
        BUILT_IN, Catalogue, Decoded, LineProfile, LineSettings, OrderForDevice, Stamp, answer,
        decode, decode_capture, load,
    },
};

fn text(name: &str) -> &'static str {
    let found = BUILT_IN.iter().find(|(own, _)| *own == name);
    found.expect("a built-in name").1
}

/// The built-in profile on a line that maps 016 and says its unit.
fn line_with(unit: &str) -> LineProfile {
    let pair = |text: &str| BTreeMap::from([("016".to_owned(), text.to_owned())]);
    profile("beckman/au").for_line(LineSettings {
        line: "au-1".to_owned(),
        tests: pair("ALT"),
        units: pair(unit),
        ..LineSettings::default()
    })
}

/// A laboratory that has ALT, in U/L.
struct Laboratory;

impl Catalogue for Laboratory {
    fn has(&self, test: &str) -> bool {
        test == "ALT"
    }

    fn unit(&self, test: &str) -> Option<&str> {
        self.has(test).then_some("U/L")
    }

    fn coded(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

fn holds(decoded: &Decoded) -> Vec<&'static str> {
    let found = observations(decoded);
    let holds = found.iter().flat_map(|one| &one.holds);
    holds.map(|hold| hold.reason.code()).collect()
}

/// What is told of the built-in profile with `from` replaced.
fn told(from: &str, to: &str) -> String {
    let text = text("beckman/au");
    assert!(text.contains(from), "{from}");
    let (profile, problems) = load("acme/au", &text.replacen(from, to, 1));
    let told = render(&problems, false);
    assert!(profile.is_none(), "{told}");
    told
}

const RESULT: &[u8] = b"D 00000301 00010009063962    E0016    161.3H       \x03";

#[test]
fn a_result_without_a_unit_has_the_declared_one_and_is_held_without_it() {
    let check = |unit: &str, expected: &[&str], ucum: Option<&str>| {
        let line = line_with(unit);
        let decoded = decode(&line, Some(&Laboratory), RESULT, true);
        assert_eq!(holds(&decoded), expected, "{unit}");
        assert_eq!(observations(&decoded)[0].ucum.as_deref(), ucum);
        assert_eq!(observations(&decoded)[0].unit, "", "nothing was sent");
    };
    check("U/L", &[], Some("U/L"));
    check("", &["unit-missing"], None);
    check("ukat/L", &["unit-differs"], Some("ukat/L"));
}

#[test]
fn a_unit_that_nobody_says_is_missed_before_results_come() {
    assert!(line_with("").lacks_unit("016", &Laboratory));
    assert!(!line_with("U/L").lacks_unit("016", &Laboratory));
    assert!(
        !line_with("").lacks_unit("020", &Laboratory),
        "it means no test"
    );
    // Another wire has a place for the unit, so it may yet come.
    let xn = profile("sysmex/xn").for_line(LineSettings {
        tests: BTreeMap::from([("WBC".to_owned(), "ALT".to_owned())]),
        ..LineSettings::default()
    });
    assert!(!xn.lacks_unit("WBC", &Laboratory));
}

#[test]
fn a_unit_that_a_profile_declares_must_be_the_catalogues() {
    let with = |unit: &str| {
        let test =
            format!("[[test]]\ncode = \"016\"\ntest = \"ALT\"\nunit = \"{unit}\"\n\n[[example]]");
        let text = text("beckman/au").replacen("[[example]]", &test, 1);
        let (profile, problems) = load("acme/au", &text);
        (profile, render(&problems, false))
    };
    for (unit, is_right) in [("U/L", true), ("mmol/L", false)] {
        let (profile, told) = with(unit);
        let line = Arc::new(profile.expect(&told)).for_line(LineSettings::default());
        let told = render(&line.check_units(&Laboratory), false);
        assert_eq!(told.is_empty(), is_right, "{told}");
        let decoded = decode(&line, Some(&Laboratory), RESULT, true);
        assert_eq!(holds(&decoded).is_empty(), is_right, "{unit}");
    }
    let (profile, told) = with("furlong");
    assert!(profile.is_none() && told.contains("PROF-0209"), "{told}");
}

#[test]
fn a_control_is_one_whatever_the_profile_says() {
    // It stands in a patient's rack, under a patient's id.
    let raw = b"DQ00000301 00010009063962 012E00016     41.0        \x03";
    let decoded = decode(&line_with("U/L"), None, raw, true);
    let [control] = observations(&decoded)[..] else {
        panic!("{decoded:?}")
    };
    assert_eq!(control.kind, ObservationKind::Control);
    assert_eq!(control.control.as_deref(), Some("012"));
}

#[test]
fn a_layout_must_be_whole_and_able_to_work() {
    let missing = told("rack_no = 4\n", "");
    assert!(
        missing.contains("PROF-0203") && missing.contains("`rack_no`"),
        "{missing}"
    );
    let narrow = told("block_text_max = 256", "block_text_max = 40");
    assert!(
        narrow.contains("PROF-0213") && narrow.contains("BAU-0505"),
        "{narrow}"
    );
    let code = told("start = 0x02", "start = 0x06");
    assert!(
        code.contains("PROF-0213") && code.contains("BAU-0501"),
        "{code}"
    );
    let side = told("\"left\"", "\"middle\"");
    assert!(side.contains("PROF-0206"), "{side}");
    let unknown = told("cup = 2", "cups = 2");
    assert!(
        unknown.contains("PROF-0202") && unknown.contains("`cup`"),
        "{unknown}"
    );
}

#[test]
fn keys_of_another_wire_are_refused_where_they_stand() {
    for (key, written) in [
        ("[link]\n", "[link]\nframe_numbers = \"strict\"\n"),
        ("[device]\n", "[device]\nsender = \"AU\"\n"),
        (
            "form = \"beckman-au\"\n",
            "form = \"beckman-au\"\nterminator = \"F\"\n",
        ),
        ("[answer]\n", "[download]\nbroadcast = true\n\n[answer]\n"),
    ] {
        let told = told(key, written);
        assert!(
            told.contains("PROF-0212") && told.contains("acme/au.toml:"),
            "{told}"
        );
    }
    for more in ["[link]\nclass = \"B\"\n", "[layout]\ncup = 2\n"] {
        let text = format!(
            "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n\
             [result]\ncode = \"R.3\"\nvalue = \"R.4\"\n{more}"
        );
        let (profile, problems) = load("acme/one", &text);
        let told = render(&problems, false);
        assert!(profile.is_none() && told.contains("PROF-0212"), "{told}");
    }
    let told = told("value = \"value\"", "value = \"R.4\"");
    assert!(
        told.contains("PROF-0204") && told.contains("`sample_id`"),
        "{told}"
    );
}

fn query(line: &LineProfile, raw: &[u8]) -> Query {
    let decoded = decode(line, None, raw, true);
    match &decoded.items[..] {
        [Item::Query(query)] => query.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_fit_its_columns_is_refused_never_cut() {
    let line = line_with("U/L");
    let asked = query(&line, b"R 00000301 00010009063962    \x03");
    let order = |specimen: &str, test: &str| OrderForDevice {
        specimen: specimen.to_owned(),
        tests: vec![test.to_owned()],
        ..OrderForDevice::default()
    };
    let written = |order: OrderForDevice| answer(&line, &asked, &[order], &Stamp::default());
    let fits = written(order("0009063962", "016"));
    assert_eq!(
        fits.as_deref(),
        Ok(&[b"S 000301 00010009063962    E0160\x03".to_vec()][..])
    );
    // An order of another tube is not this one's.
    let other = written(order("0009063963", "016"));
    assert_eq!(
        other.as_deref(),
        Ok(&[b"SE000301 00010009063962\x03".to_vec()][..])
    );
    for (specimen, test, code) in [
        ("00090639620", "016", "PROF-0302"),
        ("0009063962", "1016", "PROF-0309"),
        ("0009063962", "16", "PROF-0309"),
        ("0009063962", "ALT", "PROF-0309"),
    ] {
        let why = written(order(specimen, test)).expect_err(code).to_string();
        assert!(why.starts_with(code) && !why.contains("639"), "{why}");
    }
}

#[test]
fn a_layout_that_is_not_the_sites_makes_no_result() {
    let line = profile("beckman/au480").for_line(LineSettings::default());
    let decoded = decode(&line, None, RESULT, true);
    let [Item::Incomplete(refused)] = &decoded.items[..] else {
        panic!("{decoded:?}")
    };
    assert!(refused.why.contains("finds none"), "{}", refused.why);
    assert_eq!(refused.span, 0..RESULT.len());
    // Nor do columns that are too narrow.
    let raw = b"D 000801 0004         2503100001    E                           016  41.3  \x03";
    let decoded = decode(&line_with("U/L"), None, raw, true);
    let [Item::Incomplete(refused)] = &decoded.items[..] else {
        panic!("{decoded:?}")
    };
    assert!(refused.why.starts_with("BAU-03"), "{}", refused.why);
}

/// Bytes of [`RESULT`] in a block.
const FRAME: usize = RESULT.len() + 2;

/// Three blocks, six results.
fn long_text() -> Vec<u8> {
    let header = b"D 00000301 00010009063962    ";
    let mut raw = Vec::new();
    for (id, first, end) in [(b'0', 16, 0x17), (b'1', 18, 0x17), (b'E', 20, 0x03)] {
        raw.extend_from_slice(header);
        raw.push(id);
        for test in [first, first + 1] {
            raw.extend_from_slice(
                format!("0{test:03}{:>9}{:8}", format!("{test}.5"), "H").as_bytes(),
            );
        }
        raw.push(end);
    }
    raw
}

/// Where the results of [`long_text`] lie.
fn groups() -> impl Iterator<Item = std::ops::Range<usize>> {
    let starts = [30, 51, 103, 124, 176, 197];
    starts.into_iter().map(|start| start..start + 21)
}

fn spans(decoded: &Decoded) -> Vec<std::ops::Range<usize>> {
    let items = decoded.items.iter();
    items
        .filter_map(|item| match item {
            Item::Observation(one) => Some(one.span.clone()),
            Item::Image(one) => Some(one.span.clone()),
            Item::Device(one) => Some(one.span.clone()),
            Item::Incomplete(one) => Some(one.span.clone()),
            Item::Query(_) => None,
        })
        .collect()
}

#[test]
fn each_result_of_a_text_of_blocks_is_where_it_stands() {
    let raw = long_text();
    let decoded = decode(&line_with("U/L"), None, &raw, true);
    assert_eq!(spans(&decoded), groups().collect::<Vec<_>>());
    let values: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| one.text.trim())
        .collect();
    assert_eq!(values, ["16.5", "17.5", "18.5", "19.5", "20.5", "21.5"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_text_cut_anywhere_loses_no_result_and_releases_none(cut in 0..218usize) {
        let raw = long_text();
        let raw = &raw[..cut.min(raw.len() - 1)];
        let decoded = decode(&line_with("U/L"), None, raw, false);
        for group in groups().filter(|group| group.end <= raw.len()) {
            let spans = spans(&decoded);
            let holders = spans.iter().filter(|span| span.start <= group.start && group.end <= span.end);
            prop_assert_eq!(holders.count(), 1, "{:?} in {:?}", group, decoded);
        }
        for one in observations(&decoded) {
            prop_assert!(one.holds.iter().any(|hold| hold.reason.code() == "incomplete"));
        }
    }

    #[test]
    fn a_text_with_changed_bytes_loses_no_result(
        changes in proptest::collection::vec((0..218usize, any::<u8>()), 1..8),
    ) {
        let mut raw = long_text();
        for (at, byte) in changes {
            let length = raw.len();
            raw[at % length] = byte;
        }
        let decoded = decode(&line_with("U/L"), None, &raw, true);
        let spans = spans(&decoded);
        let asks = decoded.items.iter().any(|item| matches!(item, Item::Query(_)));
        for at in groups().map(|group| group.start + 4) {
            let is_held = spans.iter().any(|span| span.contains(&at));
            // A text that became a mark or a request carries no results any more.
            let is_other = asks || !matches!(raw[0], b'D' | b'd') || matches!(raw[1], b'B' | b'E');
            prop_assert!(is_held || is_other, "{} in {:?}", at, decoded);
        }
    }

    #[test]
    fn a_capture_cut_or_damaged_is_read_to_its_end(
        cut in 0..240usize, at in 0..240usize, byte: u8,
    ) {
        let line = line_with("U/L");
        let mut capture = vec![0x02];
        capture.extend_from_slice(RESULT);
        capture.push(RESULT.iter().fold(0, |sum, byte| sum ^ byte));
        let whole = capture.repeat(4);
        let mut capture = whole[..cut.min(whole.len())].to_vec();
        if let Some(own) = capture.get_mut(at) {
            *own = byte;
        }
        let decoded = decode_capture(&line, None, &capture);
        let intact = |found: &&Decoded| holds(found).is_empty() && !observations(found).is_empty();
        let is_whole = |number: &usize| {
            let own = number * FRAME..(number + 1) * FRAME;
            whole.get(own.clone()) == capture.get(own)
        };
        // A block without its end may take the next one of its sample with it, which is then held.
        let count = (0..4).filter(is_whole).count();
        prop_assert!(decoded.iter().filter(intact).count() + 1 >= count, "{:?}", decoded);
        prop_assert!(count == 0 || !decoded.is_empty());
    }
}
