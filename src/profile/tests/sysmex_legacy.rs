//! Older Sysmex texts: lines of fixed columns.

use proptest::prelude::*;

use super::{line, line_of, observations};
use crate::{
    config::problem::render,
    model::{Item, ObservationKind, QuerySubject, Value},
    profile::{BUILT_IN, LineProfile, decode, decode_capture, load},
};

fn kx21() -> LineProfile {
    line("sysmex/kx-21")
}

/// A text of a KX-21 with this white count.
fn text(wbc: &str) -> String {
    let rest =
        "0462001420042000909003070033800250003020008000618000210000600044001330011500098002230";
    format!("D1U2603101  2603100001000000C{wbc}{rest}")
}

#[test]
fn each_number_is_where_it_stands() {
    let raw = text("00710");
    let decoded = decode(&kx21(), None, raw.as_bytes(), true);
    let found = observations(&decoded);
    assert_eq!(found.len(), 18);
    let texts: Vec<_> = found
        .iter()
        .take(2)
        .filter_map(|one| raw.get(one.span.clone()))
        .collect();
    assert_eq!(texts, ["00710", "04620"]);
    let last = found.last().map(|one| one.span.end);
    assert_eq!(last, Some(raw.len()));
}

#[test]
fn digits_have_a_value_only_where_their_point_is_known() {
    let check = |column: &str, sent: &str, value: &str, comment: &str| {
        let profile = format!(
            "[device]\nprotocol = \"sysmex-legacy\"\n[specimen]\nid = \"sample_id\"\n[result]\n\
             code = \"code\"\nvalue = \"value\"\n[[comment]]\ntext = \"digits\"\n\
             [[layout.line]]\ncode = \"D1U\"\nuse = \"patient\"\n\
             columns = [{{ name = \"sample_id\", width = 4 }}, {{ name = \"X\", {column} }}]"
        );
        let raw = format!("D1U0007{sent}");
        let decoded = decode(&line_of(&profile), None, raw.as_bytes(), true);
        let [found] = observations(&decoded)[..] else {
            panic!("{decoded:?}")
        };
        let is_absent = matches!(found.value, Value::Absent { .. });
        assert_eq!(
            is_absent,
            value.is_empty() || value == "****",
            "{column} {sent}"
        );
        assert_eq!(
            (found.text.as_str(), found.comments.concat().as_str()),
            (value, comment)
        );
    };
    check("digits = 4, decimals = 1", "0071", "7.1", "");
    check("digits = 4, decimals = 0", "0071", "71", "");
    check("digits = 4", "0071", "", "0071");
    check("digits = 4, decimals = 1", "****", "****", "");
    check("digits = 4, decimals = 1", "    ", "", "");
    // A lost digit would move the point.
    check("digits = 4, decimals = 1", " 071", "", "071");
}

#[test]
fn lines_of_controls_and_queries_are_what_the_layout_says() {
    let profile = "[device]\nprotocol = \"sysmex-legacy\"\n[specimen]\nid = \"sample_id\"\n\
        padding = \" \"\n[result]\ncode = \"code\"\nvalue = \"value\"\n[query]\nid = \"sample_id\"\n\
        rack = \"rack\"\nposition = \"position\"\n\
        [[layout.line]]\ncode = \"D1U\"\nuse = \"patient\"\n\
        columns = [{ name = \"sample_id\", width = 4 }, { name = \"X\", digits = 2, decimals = 1 }]\n\
        [[layout.line]]\ncode = \"D1C\"\nuse = \"control\"\n\
        columns = [{ name = \"sample_id\", width = 4 }, { name = \"X\", digits = 2, decimals = 1 }]\n\
        [[layout.line]]\ncode = \"R1\"\nuse = \"query\"\ncolumns = [{ width = 2, fill = \"0\" }, \
        { name = \"sample_id\", width = 6, align = \"right\" }, { name = \"rack\", width = 2 }, \
        { name = \"position\", width = 1 }]\n\
        [[layout.line]]\ncode = \"DI\"\nuse = \"other\"\ncolumns = [{ name = \"all\", width = 3 }]";
    let raw = "D1U  1171\r\nD1CQC  82\r\nR100  2603071\r\nDI017";
    let decoded = decode(&line_of(profile), None, raw.as_bytes(), true);
    let kinds: Vec<_> = observations(&decoded).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [ObservationKind::Patient, ObservationKind::Control]);
    assert_eq!(observations(&decoded)[1].control.as_deref(), Some("QC"));
    let [_, _, Item::Query(query), Item::Device(other)] = &decoded.items[..] else {
        panic!("{decoded:?}")
    };
    let QuerySubject::Specimens(tubes) = &query.subject else {
        panic!("{query:?}")
    };
    let tube = (&*tubes[0].id, &*tubes[0].rack, &*tubes[0].position);
    assert_eq!(tube, ("2603", "07", "1"));
    assert_eq!(other.text, "DI");
}

#[test]
fn a_text_that_cannot_be_read_safely_makes_no_result() {
    let whole = text("00710");
    for (raw, code) in [
        (
            whole.strip_suffix('0').unwrap_or_default().to_owned(),
            "SYX-0302",
        ),
        (format!("{whole}0"), "SYX-0302"),
        (format!("{whole}\r{whole}"), "SYX-0303"),
        (String::new(), "SYX-0301"),
    ] {
        let decoded = decode(&kx21(), None, raw.as_bytes(), true);
        let [Item::Incomplete(refused)] = &decoded.items[..] else {
            panic!("{decoded:?}")
        };
        assert!(refused.why.starts_with(code), "{}", refused.why);
        assert_eq!(refused.span, 0..raw.len());
    }
}

#[test]
fn what_was_damaged_on_the_way_is_held() {
    let raw = text("00710");
    let decoded = decode(&kx21(), None, raw.as_bytes(), false);
    let found = observations(&decoded);
    let is_held = |reason: &str| {
        let has = |hold: &crate::model::Hold| hold.reason.code() == reason;
        found.iter().all(|one| one.holds.iter().any(has))
    };
    assert!(found.len() == 17 && is_held("incomplete"), "{decoded:?}");
}

#[test]
fn layouts_that_cannot_work_are_refused() {
    let found = BUILT_IN.iter().find(|(name, _)| *name == "sysmex/kx-21");
    let text = found.expect("built in").1;
    let white = "{ name = \"WBC\", digits = 4, decimals = 1, flag = true }";
    for (from, to, code) in [
        (white, "{ name = \"WBC\" }", "PROF-0203"),
        (
            white,
            "{ name = \"WBC\", digits = 4, width = 4 }",
            "PROF-0203",
        ),
        (white, "{ width = 4, fill = \"00\" }", "PROF-0203"),
        (white, "{ name = \"RBC\", digits = 4 }", "SYX-0504"),
        (
            white,
            "{ name = \"WBC\", digits = 4, decimals = 4 }",
            "SYX-0505",
        ),
        (white, "{ name = \"WBC\", digits = 13 }", "SYX-0505"),
        (white, "{ width = 5 }", "SYX-0504"),
        ("code = \"D1U\"", "code = \"\"", "SYX-0502"),
        ("use = \"patient\"", "use = \"control\"", "PROF-0203"),
        ("use = \"patient\"", "use = \"people\"", "PROF-0206"),
        ("date_order = ", "unit_no = 2\ndate_order = ", "PROF-0212"),
        ("sends_max = 3", "checksum = \"off\"", "PROF-0212"),
        ("sends_max = 3", "sends_max = 0", "SYX-0501"),
        (
            "[flags]",
            "[answer]\nform = \"records\"\n[flags]",
            "PROF-0212",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let (profile, problems) = load("acme/kx", &text.replacen(from, to, 1));
        let told = render(&problems, false);
        assert!(profile.is_none() && told.contains(code), "{to}: {told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_text_loses_no_result(
        changes in proptest::collection::vec((0..119usize, any::<u8>()), 0..6), cut in 0..119usize,
    ) {
        let mut raw = text("00710").into_bytes();
        let length = raw.len();
        for (at, byte) in changes {
            raw[at % length] = byte;
        }
        raw.truncate(cut.max(1));
        let is_complete = raw.len() == length;
        let decoded = decode(&kx21(), None, &raw, is_complete);
        prop_assert!(!decoded.items.is_empty(), "{:?}", decoded);
        if raw.len() < length && raw.starts_with(b"D1U") {
            prop_assert!(observations(&decoded).is_empty(), "{:?}", decoded);
        }
    }

    #[test]
    fn a_damaged_capture_is_read_to_its_end(at in 0..1_000usize, byte: u8) {
        let texts = ["00710", "00720", "00730", "00740"].map(text);
        let mut capture: Vec<u8> = texts
            .iter()
            .flat_map(|text| labwire_protocols::sysmex_legacy::link::frame(text.as_bytes()).to_vec())
            .collect();
        let at = at % capture.len();
        capture[at] = byte;
        let decoded = decode_capture(&kx21(), None, &capture);
        let intact = decoded.iter().filter(|one| observations(one).len() == 18).count();
        prop_assert!(intact >= 2, "{:?}", decoded);
    }
}
