//! Messages as they are read and written.

use proptest::prelude::*;

use super::{RESULT, message};
use crate::{
    bci::{
        Dialect, Field, Kind, Records, WriteError,
        link::checksum,
        message::split_quantity,
        read, write,
        writer::{FieldText, OrderText, order},
    },
    transcript::{shown, wire},
};

fn text(field: Option<Field<'_>>) -> String {
    String::from_utf8(field.expect("it is there").text().into_owned()).expect("ASCII")
}

fn none(_: &str) -> Vec<u8> {
    Vec::new()
}

#[test]
fn a_result_has_its_sample_test_and_value_as_sent() {
    let bytes = message(RESULT);
    let (message, notes) = read(&bytes).expect("it is read");
    assert_eq!(notes, []);
    assert_eq!(message.kind, Kind::Results);
    assert_eq!(text(message.sample_id), "Z1G021SCR");
    assert!(message.patient_id.expect("it is there").is_blank());
    let [test] = message.tests.as_slice() else {
        panic!("{message:?}");
    };
    assert_eq!(text(test.code), "HBCT");
    assert_eq!(text(test.name), "Anti-HBc Total II");
    assert_eq!(text(test.time), "18:35");
    assert_eq!(text(test.date), "10/25/24");
    assert_eq!(text(test.qualitative), "Positif");
    assert_eq!(text(test.quantitative), "0.05");
    let span = test.quantitative.expect("it is there").span();
    assert_eq!(bytes.get(span), Some(&b"0.05"[..]));
}

/// VIDAS PC and VITEK cut a message into lines; a cut inside a field is none.
#[test]
fn records_mean_nothing_inside_a_field() {
    let bytes = wire(
        "<1E>mtrsl|pi990519001|pnPAT<1E>IENT|ci990519001<1E>|rtHCG|rnHCG|<CR><LF><1E>tt15:09|q\
         <1E>n28,94mUI/ml|y3mUI/ml|qd1:1|ncvalid|",
        none,
    );
    let (message, _) = read(&bytes).expect("it is read");
    assert_eq!(text(message.patient_name), "PATIENT");
    assert_eq!(text(message.sample_id), "990519001");
    let test = &message.tests[0];
    assert_eq!(text(test.quantitative), "28,94mUI/ml");
    assert_eq!(text(test.unit), "mUI/ml");
    assert_eq!(text(test.dilution), "1:1");
    assert_eq!(text(test.calibration), "valid");
    let raw = message.patient_name.expect("it is there");
    assert_eq!(raw.raw(), b"PAT\x1eIENT");
}

#[test]
fn an_antibiogram_has_its_organism_and_drugs() {
    let bytes = message(
        "mtrsl|iiV2|pi7|si|ci102|ta|rtAST-GN93|rr85805|t11|o1citfre|o2Citrobacter freundii|\
         afQUINOLONES|apWILD|ra|a1am|a2Ampicillin|a3>=32|a4R|anR|ra|a1cz|a2Cefazolin|a3<=4|a4S|zz|",
    );
    let (message, notes) = read(&bytes).expect("it is read");
    assert_eq!(notes, []);
    let [test] = message.tests.as_slice() else {
        panic!("{message:?}");
    };
    assert_eq!(text(test.code), "AST-GN93");
    assert_eq!(text(test.organism), "citfre");
    assert_eq!(text(test.organism_name), "Citrobacter freundii");
    let codes: Vec<_> = test.rest.iter().map(|field| shown(&field.code())).collect();
    assert_eq!(codes, ["rr", "t1", "af", "ap"]);
    let [ampicillin, cefazolin] = test.drugs.as_slice() else {
        panic!("{test:?}");
    };
    assert_eq!(text(ampicillin.mic), ">=32");
    assert_eq!(text(ampicillin.category), "R");
    assert_eq!(text(ampicillin.final_category), "R");
    assert_eq!(text(cefazolin.name), "Cefazolin");
    assert_eq!(cefazolin.final_category, None);
    // Whatever is not known is still there.
    assert_eq!(message.fields.len(), 25);
}

#[test]
fn every_test_of_a_message_keeps_its_own_fields() {
    let bytes = message("mtrsl|ci7|rtTSH|qn1.0|rtFT4|qn2.0|ta|rtHCG|qn3.0|");
    let (message, _) = read(&bytes).expect("it is read");
    let found: Vec<_> = message
        .tests
        .iter()
        .map(|test| (text(test.code), text(test.quantitative)))
        .collect();
    let expected = [("TSH", "1.0"), ("FT4", "2.0"), ("HCG", "3.0")];
    assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn what_cannot_be_read_safely_is_refused_whole() {
    let code = |inner: &str| read(&message(inner)).expect_err("refused").code();
    assert_eq!(code("mtrsl|x|"), "BCI-0301");
    assert_eq!(code(&"aa|".repeat(1_025)), "BCI-0302");
    assert_eq!(code("ci7|mtrsl|"), "BCI-0303");
    assert_eq!(code(""), "BCI-0303");
    assert_eq!(code("mtrsl|ci7|ci8|"), "BCI-0304");
    assert_eq!(code("mtrsl|rtTSH|qn1|qn2|"), "BCI-0304");
    assert_eq!(code("mtrsl|rtTSH|ra|a31|a32|"), "BCI-0304");
}

#[test]
fn what_is_odd_is_read_with_a_note() {
    let codes = |inner: &str| -> Vec<_> {
        let bytes = message(inner);
        let (_, notes) = read(&bytes).expect("it is read");
        notes.iter().map(|note| note.code).collect()
    };
    assert_eq!(codes("mtxyz|ci7|"), ["BCI-0201"]);
    assert_eq!(codes("mtrsl|ci7|qn5|"), ["BCI-0202"]);
    assert_eq!(codes("mtrsl|ci7||rtTSH|qn5"), [""; 0]);
}

#[test]
fn a_quantity_is_cut_where_its_number_ends() {
    for (whole, number, unit) in [
        ("28,94mUI/ml", "28,94", "mUI/ml"),
        (" 16830.25 ng/ml", " 16830.25", "ng/ml"),
        ("274.0 IU/ml", "274.0", "IU/ml"),
        (">500,00mUI/ml", ">500,00", "mUI/ml"),
        ("<=0.25", "<=0.25", ""),
        ("-0.1 x", "-0.1", "x"),
        ("", "", ""),
        ("Positif", "Positif", ""),
        ("<", "<", ""),
    ] {
        let (a, b) = split_quantity(whole.as_bytes());
        assert_eq!(whole.get(a), Some(number), "{whole}");
        assert_eq!(whole.get(b), Some(unit), "{whole}");
    }
}

#[test]
fn an_order_is_written_in_records_of_both_kinds() {
    let text = OrderText {
        patient_id: b"990519001",
        patient_name: b"PATIENT",
        birth_date: b"12/01/1963",
        sex: b"F",
        sample_id: b"4711",
        test: b"HCG",
        dilution: b"1",
    };
    let written = order(Records::PerField, &text).expect("written");
    let expected = "mtmpr|pi990519001|pnPATIENT|pb12/01/1963|psF|si|ci4711|rtHCG|qd1|";
    assert_eq!(shown(&written), shown(&message(expected)));
    let written = order(Records::Width(20), &text).expect("written");
    assert_eq!(
        shown(&written),
        "<1E>mtmpr|pi990519001|pn<1E>PATIENT|pb12/01/1963<1E>|psF|si|ci4711|rtHCG<1E>|qd1|"
    );
    let (read_back, _) = read(&written).expect("it is read");
    assert_eq!(read_back.kind, Kind::Order);
}

#[test]
fn what_cannot_stand_in_a_message_is_refused() {
    let refused = |fields: &[FieldText<'_>]| write(Records::PerField, fields).expect_err("refused");
    let field = 2;
    assert_eq!(
        refused(&[(b"mt", b"mpr"), (b"ci", b"47|11")]),
        WriteError::Character { field, at: 4 }
    );
    assert_eq!(
        refused(&[(b"mt", b"mpr"), (b"ci", b"\x1e")]).code(),
        "BCI-0401"
    );
    assert_eq!(refused(&[]).code(), "BCI-0402");
    assert_eq!(refused(&[(b"ci", b"7")]).code(), "BCI-0403");
}

#[test]
fn dialects_that_cannot_work_are_refused() {
    assert_eq!(Dialect::default().check(), Ok(()));
    let dialect = Dialect {
        records: Records::Width(0),
        ..Dialect::default()
    };
    assert_eq!(dialect.check().expect_err("refused").code(), "BCI-0501");
}

/// The frame of the reference, and one of a mini VIDAS in the same shape, worked out by hand.
#[test]
fn the_printed_frame_has_its_checksum() {
    assert_eq!(&checksum(&message(RESULT), true), b"b0");
    // 1E + 'm' 't' 'r' 's' 'l' '|' + GS = 1E+6D+74+72+73+6C+7C+1D, modulo 100h.
    assert_eq!(&checksum(b"\x1emtrsl|", true), b"e9");
    assert_eq!(&checksum(b"\x1emtrsl|\r\n", false), b"e9");
    assert_eq!(&checksum(b"\x1emtrsl|\r\n", true), b"00");
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("it can stand there", |byte| {
        *byte >= b' ' && *byte != b'|' && *byte != 0x7F
    });
    prop::collection::vec(byte, 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_meant(
        values in prop::collection::vec((any::<bool>(), value()), 0..20),
        width in prop::option::of(1..100_usize),
    ) {
        let mut fields: Vec<FieldText<'_>> = vec![(b"mt", b"rsl")];
        for (is_first, value) in &values {
            fields.push((if *is_first { b"zx" } else { b"zy" }, value));
        }
        let records = width.map_or(Records::PerField, Records::Width);
        let written = write(records, &fields).expect("it is written");
        let (read_back, _) = read(&written).expect("it is read");
        prop_assert_eq!(read_back.fields.len(), fields.len());
        for (field, (code, value)) in read_back.fields.iter().zip(&fields) {
            prop_assert_eq!(&field.code(), *code);
            prop_assert_eq!(field.text().into_owned(), value.to_vec());
            prop_assert_eq!(written.get(field.span()), Some(field.raw()));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((message, _)) = read(&bytes) {
            for field in message.fields {
                prop_assert_eq!(bytes.get(field.span()), Some(field.raw()));
            }
        }
        let (number, unit) = split_quantity(&bytes);
        prop_assert!(number.end <= unit.start && unit.end == bytes.len());
    }
}
