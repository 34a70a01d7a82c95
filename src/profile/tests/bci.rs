//! bioMérieux BCI: what a VIDAS says, and what it is told.

use proptest::prelude::*;

use super::{line, line_of, observations};
use crate::{
    config::problem::render,
    model::{Item, ObservationKind, Private},
    profile::{
        BUILT_IN, LineProfile, OrderForDevice, Stamp, Wire, decode, decode_capture, download, load,
    },
};

fn vidas() -> LineProfile {
    line("biomerieux/vidas")
}

/// A message of these fields, a record each.
fn message(fields: &str) -> Vec<u8> {
    let fields = fields.split_inclusive('|');
    fields
        .flat_map(|field| [b"\x1e", field.as_bytes()].concat())
        .collect()
}

const RESULT: &str = "mtrsl|pi17|ci2603100001|rtTSH|qn2,31 uUI/ml|rtHCG|qn28,94mUI/ml|";

#[test]
fn each_test_is_where_it_stands() {
    let raw = message(RESULT);
    let decoded = decode(&vidas(), None, &raw, true);
    let found = observations(&decoded);
    let texts: Vec<&[u8]> = found.iter().map(|one| &raw[one.span.clone()]).collect();
    let expected: [&[u8]; 2] = [b"rtTSH|\x1eqn2,31 uUI/ml", b"rtHCG|\x1eqn28,94mUI/ml"];
    assert_eq!(texts, expected);
}

#[test]
fn a_field_cut_into_records_is_one_value() {
    let raw = b"\x1emtrsl|ci26031\r\n\x1e00001|rtTSH|qn2,\r\n\x1e31 uUI/ml|";
    let decoded = decode(&vidas(), None, raw, true);
    let found = observations(&decoded)[0];
    assert_eq!(
        (found.text.as_str(), found.unit.as_str()),
        ("2,31", "uUI/ml")
    );
    let specimen = found.specimen.as_ref().map(|own| own.id.as_str());
    assert_eq!(specimen, Some("2603100001"));
}

#[test]
fn an_antibiogram_is_a_result_for_its_organism_and_each_drug() {
    let text = "[device]\nprotocol = \"bci\"\n[specimen]\nid = \"sample_id\"\n[result]\n\
                code = \"code\"\nvalue = \"value\"\nabout = \"organism\"\n\
                [[comment]]\ntext = \"words\"";
    let raw = message(
        "mtrsl|ci7|rtAST|o1esc|o2Escherichia coli|ra|a1am|a2Ampicillin|a3>=32|a4R|anR|ra|a1gm|a4S|",
    );
    let decoded = decode(&line_of(text), None, &raw, true);
    let told: Vec<_> = observations(&decoded)
        .iter()
        .map(|one| (one.code.clone(), one.text.clone(), one.comments.concat()))
        .collect();
    let expected = [
        ("AST", "Escherichia coli", ""),
        ("am", ">=32", "R"),
        ("gm", "S", ""),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(told, expected);
    let about = observations(&decoded)[1].about.clone();
    assert_eq!(about.as_deref(), Some("esc"));
}

#[test]
fn a_control_is_told_by_the_ids_of_the_laboratory() {
    let check = |id: &str, kind: ObservationKind| {
        let raw = message(&RESULT.replace("2603100001", id));
        let decoded = decode(&vidas(), None, &raw, true);
        assert!(
            observations(&decoded).iter().all(|one| one.kind == kind),
            "{id}"
        );
    };
    check("QC1", ObservationKind::Control);
    check("C-HIGH", ObservationKind::Control);
    check("2603100001", ObservationKind::Patient);
}

#[test]
fn a_message_that_cannot_be_read_safely_makes_no_result() {
    for (from, to, code) in [
        ("rtTSH|", "rtTSH|x|", "BCI-0301"),
        ("mtrsl|", "", "BCI-0303"),
        ("qn2,31 uUI/ml|", "qn2,31 uUI/ml|qn3|", "BCI-0304"),
    ] {
        let raw = message(&RESULT.replacen(from, to, 1));
        let decoded = decode(&vidas(), None, &raw, true);
        let [Item::Incomplete(refused)] = &decoded.items[..] else {
            panic!("{to}: {decoded:?}")
        };
        assert!(refused.why.starts_with(code), "{}", refused.why);
        assert_eq!(refused.span, 0..raw.len());
    }
}

#[test]
fn an_order_is_a_message_for_each_test_and_an_id_is_never_cut() {
    let order = |specimen: &str, family: &str| OrderForDevice {
        specimen: specimen.to_owned(),
        tests: ["TSH", "HCG"].map(str::to_owned).to_vec(),
        patient_id: Private::new("PN17".to_owned()),
        family: Private::new(family.to_owned()),
        given: Private::new("ANH".to_owned()),
        ..OrderForDevice::default()
    };
    let (line, stamp) = (vidas(), Stamp::default());
    let written = download(&line, &[order("2603100001", "TRẦN")], &stamp);
    let expected = ["TSH", "HCG"].map(|code| {
        let fields = "mtmpr|piPN17|pnTRAN ANH|pb|psU|si|ci2603100001|rt";
        message(&format!("{fields}{code}|qd1|"))
    });
    assert_eq!(written.as_deref(), Ok(&expected[..]));
    for (specimen, family, code) in [
        ("2603100001234", "TRAN", "PROF-0302"),
        ("2603100001", "TR|AN", "PROF-0309"),
    ] {
        let why = download(&line, &[order(specimen, family)], &stamp).expect_err(code);
        assert!(why.to_string().starts_with(code), "{why}");
        assert!(!why.to_string().contains("AN"), "{why}");
    }
}

#[test]
fn the_settings_of_the_line_are_the_profiles() {
    let found = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "biomerieux/vidas");
    let text = found.expect("built in").1;
    let vitek = text.replace("sends_max = 3 ", "record_width = 78\nsends_max = 3 ");
    let Wire::Bci(wire) = &load("acme/vitek", &vitek).0.expect("it is valid").wire else {
        panic!("another wire")
    };
    assert_eq!(
        wire.dialect.records,
        labwire_protocols::bci::Records::Width(78)
    );
    for (from, to, code) in [
        ("sends_max = 3 ", "record_width = 0 ", "BCI-0501"),
        ("sends_max = 3 ", "class = \"B\" ", "PROF-0212"),
        ("\"mdy\"", "\"ydm\"", "PROF-0206"),
        ("date_order = ", "cup = 2\ndate_order = ", "PROF-0212"),
        ("form = \"bci\"", "form = \"dimension\"", "PROF-0206"),
        ("[qc]", "[query]\nid = \"sample_id\"\n[qc]", "PROF-0212"),
        ("id = \"sample_id\"", "id = \"ci\"", "PROF-0204"),
    ] {
        assert!(text.contains(from), "{from}");
        let (profile, problems) = load("acme/vidas", &text.replacen(from, to, 1));
        let told = render(&problems, false);
        assert!(profile.is_none() && told.contains(code), "{to}: {told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_message_loses_no_result(
        changes in proptest::collection::vec((0..90usize, any::<u8>()), 0..6), cut in 0..90usize,
    ) {
        let mut raw = message(RESULT);
        let length = raw.len();
        for (at, byte) in changes {
            raw[at % length] = byte;
        }
        raw.truncate(cut.max(1));
        let is_complete = raw.len() == length;
        let decoded = decode(&vidas(), None, &raw, is_complete);
        prop_assert!(!decoded.items.is_empty(), "{:?}", decoded);
        if !is_complete {
            prop_assert!(observations(&decoded).iter().all(|one| !one.holds.is_empty()));
        }
    }

    #[test]
    fn a_damaged_capture_is_read_to_its_end(at in 0..500usize, byte: u8) {
        let framed = |id: &str| {
            let raw = message(&RESULT.replace("2603100001", id));
            let frame = labwire_protocols::bci::link::frame(&raw, true);
            [b"\x05", &*frame, b"\x04"].concat()
        };
        let mut capture = ["1", "2", "3", "4"].map(framed).concat();
        let at = at % capture.len();
        capture[at] = byte;
        let decoded = decode_capture(&vidas(), None, &capture);
        let intact = decoded.iter().filter(|one| observations(one).len() == 2).count();
        prop_assert!(intact >= 2, "{:?}", decoded);
    }
}
