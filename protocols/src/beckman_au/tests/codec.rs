//! Texts as views: every field where the layout has it, as sent.

use proptest::prelude::*;

use super::prompt;
use crate::beckman_au::{
    Code, Columns, Content, Dialect, Kind, Layout, Model, ReadError, Run, Text, read,
    text::{Control, Order, Results, Sample, Specimen, Urgency},
};

fn text(message: &str) -> Text<'_> {
    let (text, notes) = read(message.as_bytes(), dialect()).expect("it is a text");
    assert!(notes.is_empty(), "{notes:?}");
    text
}

fn dialect() -> &'static Dialect {
    static DIALECT: std::sync::LazyLock<Dialect> = std::sync::LazyLock::new(prompt);
    &DIALECT
}

fn at(columns: Columns<'_>) -> (std::ops::Range<usize>, &str) {
    let text = std::str::from_utf8(columns.raw()).expect("ASCII");
    (columns.span(), text)
}

fn sample<'m>(text: &Text<'m>) -> Sample<'m> {
    match &text.content {
        Content::Request(sample) | Content::NoOrder(Some(sample)) => *sample,
        Content::Order(Order { sample, .. })
        | Content::Result(Results { sample, .. })
        | Content::Control(Control { sample, .. }) => *sample,
        Content::Mark | Content::NoOrder(None) | Content::Unread(_) => panic!("no sample"),
    }
}

#[test]
fn a_request_names_its_sample() {
    let request = text("R 00000301 00010009063962    \x03");
    assert_eq!(request.code.kind(), Some(Kind::Request));
    assert_eq!(at(request.unit_no), (2..4, "00"));
    let sample = sample(&request);
    assert_eq!(at(sample.rack_no), (4..8, "0003"));
    assert_eq!(at(sample.cup), (8..10, "01"));
    assert_eq!(at(sample.sample_type), (10..11, " "));
    assert_eq!(at(sample.sample_no), (11..15, "0001"));
    assert_eq!(at(sample.sample_id), (15..25, "0009063962"));
    assert!(request.is_whole);
}

#[test]
fn padding_is_kept_and_leading_zeros_belong_to_an_id() {
    let request = text("R 00000301UE001  0042    \x03");
    assert_eq!(request.unit_no.raw(), b"00");
    let sample = sample(&request);
    assert_eq!(sample.sample_id.raw(), b"  0042    ");
    assert_eq!(sample.sample_id.unpadded(), b"0042");
    assert_eq!(sample.specimen(), Some(Specimen::Urine));
    assert_eq!(sample.urgency(), Some(Urgency::Emergency));
    assert!(!sample.sample_id.is_blank());
}

#[test]
fn spaces_at_the_end_of_a_request_may_be_missing() {
    let request = text("R 00000301 0001\x03");
    let sample = sample(&request);
    assert_eq!(sample.urgency(), Some(Urgency::Routine));
    assert_eq!(at(sample.sample_id), (15..15, ""));
    assert!(sample.sample_id.is_blank());
}

#[test]
fn specimens_and_urgencies_are_those_of_the_manual() {
    let sample_of = |columns: &str| format!("R 00000301{columns}0009063962    \x03");
    for (columns, specimen, urgency) in [
        (" 0001", Some(Specimen::Serum), Some(Urgency::Routine)),
        ("XP001", Some(Specimen::Other), Some(Urgency::Stat)),
        ("?Q001", None, None),
    ] {
        let message = sample_of(columns);
        let sample = sample(&text(&message));
        assert_eq!((sample.specimen(), sample.urgency()), (specimen, urgency));
    }
}

#[test]
fn an_order_lists_its_tests_without_a_unit_number() {
    let order = text("S 000301 00010009063962    E01600200\x03");
    assert_eq!(at(order.unit_no), (2..2, ""));
    let Content::Order(order) = order.content else {
        panic!("an order")
    };
    let tests: Vec<_> = order
        .tests
        .iter()
        .map(|test| (at(test.test_no), at(test.dilution)))
        .collect();
    assert_eq!(
        tests,
        [
            ((28..31, "016"), (31..32, "0")),
            ((32..35, "020"), (35..36, "0")),
        ]
    );
    assert_eq!(at(order.sample.rack_no), (2..6, "0003"));
    assert_eq!(at(order.sample.dummy), (23..27, "    "));
}

#[test]
fn no_order_comes_with_its_sample_or_alone() {
    assert_eq!(text("SE\x03").content, Content::NoOrder(None));
    let told = text("SE000301 00010009063962\x03");
    assert_eq!(sample(&told).sample_id.raw(), b"0009063962");
}

#[test]
fn a_result_has_its_value_and_flags_as_sent() {
    let result = text("D 00000301 00010009063962    E0016    161.3H       \x03");
    assert_eq!(result.code.run(), Some(Run::First));
    assert!(!result.code.is_stat());
    let Content::Result(results) = &result.content else {
        panic!("results")
    };
    let [group] = &results.groups[..] else {
        panic!("one group")
    };
    assert_eq!(at(group.unit), (30..31, "0"));
    assert_eq!(at(group.test_no), (31..34, "016"));
    assert_eq!(at(group.value), (34..43, "    161.3"));
    let marks: Vec<_> = group.marks.iter().map(|mark| at(*mark)).collect();
    assert_eq!(
        marks,
        [
            (43..45, "H "),
            (45..47, "  "),
            (47..49, "  "),
            (49..51, "  ")
        ]
    );
}

#[test]
fn blocks_are_read_as_one_text() {
    let message = "D 00000301 00010009063962    00016    161.3        \x17\
                   D 00000301 00010009063962    E0020      4.2        \x03";
    let result = text(message);
    let Content::Result(results) = &result.content else {
        panic!("results")
    };
    let tests: Vec<_> = results
        .groups
        .iter()
        .map(|group| at(group.test_no))
        .collect();
    assert_eq!(tests, [(31..34, "016"), (83..86, "020")]);
    assert!(result.is_whole);
}

#[test]
fn a_text_with_a_block_missing_says_so_and_is_read_all_the_same() {
    for message in [
        "D 00000301 00010009063962    00016    161.3        \x17",
        "D 00000301 00010009063962    10016    161.3        \x17D 00000301 00010009063962    E0020      4.2        \x03",
        "D 00000301 00010009063962    E0016    161.3        ",
    ] {
        let (text, notes) = read(message.as_bytes(), dialect()).expect("it is a text");
        assert!(!text.is_whole, "{message}");
        assert_eq!(notes.last().map(|note| note.code), Some("BAU-0202"));
        let Content::Result(results) = text.content else {
            panic!("results")
        };
        assert!(!results.groups.is_empty());
    }
}

#[test]
fn a_control_is_never_taken_for_a_patient() {
    let control =
        text("DQ00000301 0001           Q01E00016    161.3        020      4.2H       \x03");
    assert_eq!(control.code.kind(), Some(Kind::Control));
    let Content::Control(control) = &control.content else {
        panic!("a control")
    };
    assert_eq!(at(control.control_no), (26..29, "Q01"));
    assert_eq!(at(control.unit), (30..32, "00"));
    let groups: Vec<_> = control
        .groups
        .iter()
        .map(|group| (at(group.test_no), at(group.value)))
        .collect();
    assert_eq!(
        groups,
        [
            ((32..35, "016"), (35..44, "    161.3")),
            ((52..55, "020"), (55..64, "      4.2")),
        ]
    );
}

#[test]
fn calibrations_and_reagent_blanks_are_kept_unread() {
    for code in ["DA", "DR", "dA", "dR"] {
        let message = format!("{code}00 whatever\x17{code}00 else\x03");
        let Content::Unread(blocks) = text(&message).content else {
            panic!("unread")
        };
        let raw: Vec<_> = blocks.iter().map(|block| at(*block).1.to_owned()).collect();
        assert_eq!(
            raw,
            [format!("{code}00 whatever"), format!("{code}00 else")]
        );
    }
}

#[test]
fn stat_results_and_repeat_runs_are_told_by_their_codes() {
    for (letters, kind, is_stat, run) in [
        (b"d ", Kind::Result, true, Some(Run::First)),
        (b"dH", Kind::Result, true, Some(Run::Repeat)),
        (b"DH", Kind::Result, false, Some(Run::Repeat)),
        (b"Rh", Kind::Request, false, Some(Run::AutomaticRepeat)),
        (b"dQ", Kind::Control, true, None),
        (b"RB", Kind::RequestStart, false, None),
        (b"DE", Kind::ResultEnd, false, None),
    ] {
        let code = Code::new(*letters);
        assert_eq!(
            (code.kind(), code.is_stat(), code.run()),
            (Some(kind), is_stat, run)
        );
    }
    assert_eq!(Code::new(*b"XX").kind(), None);
    assert_eq!(Code::of(b"D"), None);
}

#[test]
fn field_set_b_has_its_id_right_and_its_groups_at_64() {
    let dialect = Dialect::host(Model::Au480);
    assert_eq!(dialect.layout, Layout::SET_B);
    let header = format!("D 000801 0004{:>19}    E{:27}", "9063962", "");
    assert_eq!(header.len(), 64);
    let message = format!("{header}016 161.3H 020   4.2  \x03");
    let (text, notes) = read(message.as_bytes(), &dialect).expect("it is a text");
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(sample(&text).sample_id.unpadded(), b"9063962");
    let Content::Result(results) = &text.content else {
        panic!("results")
    };
    let groups: Vec<_> = results
        .groups
        .iter()
        .map(|group| (at(group.test_no).1, at(group.value).1, at(group.marks[0]).1))
        .collect();
    assert_eq!(groups, [("016", " 161.3", "H "), ("020", "   4.2", "  ")]);
}

#[test]
fn flags_that_were_cut_off_are_noted_and_a_value_that_was_is_refused() {
    let short = "D 00000301 00010009063962    E0016    161.3H";
    let (_, notes) = read(format!("{short}\x03").as_bytes(), dialect()).expect("a text");
    assert_eq!(notes[0].code, "BAU-0201");
    for cut in 2..=13 {
        let message = format!("{}\x03", short.split_at(short.len() - cut).0);
        let error = read(message.as_bytes(), dialect()).expect_err("no value");
        assert_eq!(error, ReadError::GroupShort { at: 30 }, "{message}");
    }
}

#[test]
fn a_mark_whose_space_was_cut_off_is_not_lost() {
    let message = b"D 00000301 00010009063962    E0016   9999.0F\x03";
    let (text, notes) = read(message, dialect()).expect("a result");
    let Content::Result(results) = text.content else {
        panic!("a result")
    };
    let marks: Vec<_> = results.groups[0].marks.iter().map(Columns::raw).collect();
    assert_eq!(marks, [b"F"]);
    assert_eq!(notes[0].code, "BAU-0201");
}

#[test]
fn a_layout_that_is_not_the_sites_is_found_out() {
    let set_b = Dialect::host(Model::Au480);
    let message = b"D 00000301 00010009063962    E0016    161.3H       0020      4.2        \x03";
    let error = read(message, &set_b).expect_err("another layout");
    assert!(matches!(
        error,
        ReadError::TestNo { .. } | ReadError::GroupShort { .. }
    ));
    let letters = b"D 00000301 00010009063962    E00A6    161.3H       \x03";
    assert_eq!(
        read(letters, dialect()).expect_err("letters"),
        ReadError::TestNo { at: 31 }
    );
}

#[test]
fn what_cannot_be_read_safely_is_refused_whole() {
    for (message, error) in [
        ("", ReadError::Empty),
        ("D\x03", ReadError::Empty),
        ("XX00\x03", ReadError::UnknownCode),
        ("D 000003\x03", ReadError::HeaderShort { at: 0 }),
        (
            "D 00000301 00010009063962    \x03",
            ReadError::HeaderShort { at: 0 },
        ),
        ("R 000003\x03", ReadError::HeaderShort { at: 0 }),
        // An id of 20 columns, read by a layout that has 10: the rest is not left away.
        (
            "R 00000301 000100090639621122334455    \x03",
            ReadError::SampleLong { at: 29 },
        ),
        (
            "SE000301 000100090639621122334\x03",
            ReadError::SampleLong { at: 27 },
        ),
        (
            "D 00000301 00010009063962    00016    161.3        \x17D 00000301 00010009063963    E0020      4.2        \x03",
            ReadError::HeaderDiffers { at: 52 },
        ),
    ] {
        assert_eq!(
            read(message.as_bytes(), dialect()).expect_err("refused"),
            error,
            "{message}"
        );
    }
    let many = "RB00\x17".repeat(12);
    let error = read(many.as_bytes(), dialect()).expect_err("refused");
    assert_eq!(error, ReadError::TooManyBlocks { at: 55 });
}

/// Spans point at the bytes they claim, whatever the message.
fn spans_fit(message: &[u8], text: &Text<'_>) -> bool {
    let fits = |columns: Columns<'_>| message.get(columns.span()) == Some(columns.raw());
    let sample_fits = |sample: &Sample<'_>| {
        fits(sample.rack_no)
            && fits(sample.cup)
            && fits(sample.sample_type)
            && fits(sample.sample_no)
            && fits(sample.sample_id)
    };
    fits(text.unit_no)
        && match &text.content {
            Content::Mark | Content::NoOrder(None) => true,
            Content::Request(sample) | Content::NoOrder(Some(sample)) => sample_fits(sample),
            Content::Order(order) => {
                sample_fits(&order.sample)
                    && order
                        .tests
                        .iter()
                        .all(|t| fits(t.test_no) && fits(t.dilution))
            }
            Content::Result(Results { sample, groups, .. })
            | Content::Control(Control { sample, groups, .. }) => {
                sample_fits(sample)
                    && groups.iter().all(|group| {
                        fits(group.test_no)
                            && fits(group.value)
                            && fits(group.unit)
                            && group.marks.iter().all(|mark| fits(*mark))
                    })
            }
            Content::Unread(blocks) => blocks.iter().all(|block| fits(*block)),
        }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_spans_point_at_what_was_sent(
        code in prop::sample::select(vec!["D ", "DH", "d ", "DQ", "DA", "R ", "S ", "SE", "RB", "ZZ", ""]),
        body in prop::collection::vec(prop_oneof![
            4 => b' '..=b'~', 2 => Just(b'0'), 1 => Just(3), 1 => Just(0x17), 1 => any::<u8>(),
        ], 0..200),
        is_set_b in any::<bool>(),
    ) {
        let model = if is_set_b { Model::Au480 } else { Model::Au5800 };
        let message = [code.as_bytes(), &body].concat();
        if let Ok((text, _)) = read(&message, &Dialect::host(model)) {
            prop_assert!(spans_fit(&message, &text));
        }
    }
}
