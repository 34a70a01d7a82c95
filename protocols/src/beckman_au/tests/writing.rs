//! Texts out: what is written is read back the same, and what does not fit is not written.

use proptest::prelude::*;

use super::prompt;
use crate::{
    beckman_au::{
        Code, Content, Dialect, DialectError, Layout, Model, NoOrder, Side, WriteError, Writer,
        read,
        text::Sample,
        writer::{GroupText, SampleText, TestText},
    },
    transcript::shown,
};

pub(super) const SAMPLE: SampleText<'_> = SampleText {
    rack_no: b"0003",
    cup: b"01",
    sample_type: b"",
    sample_no: b"0001",
    sample_id: b"0009063962",
    dummy: b"",
};

/// On a repeat run some sites have the original sample number there.
#[test]
fn what_stands_behind_the_id_of_a_request_is_given_back() {
    let dialect = prompt();
    let request = b"RH00000301 00010009063962 007\x03";
    let (request, _) = read(request, &dialect).expect("it is a text");
    let Content::Request(sample) = &request.content else {
        panic!("a request")
    };
    let tests = [test(b"016")];
    let code = request.code.answer().expect("a request has an answer");
    let order = Writer::new(&dialect)
        .order(code, &SampleText::from(sample), &tests)
        .expect("it fits");
    assert_eq!(shown(&order), "SH000301 00010009063962 007E0160<ETX>");
}

fn test(test_no: &[u8]) -> TestText<'_> {
    let dilution = b"0";
    TestText { test_no, dilution }
}

fn group<'t>(test_no: &'t [u8], value: &'t [u8], marks: &'t [&'t [u8]]) -> GroupText<'t> {
    GroupText {
        unit: b"0",
        test_no,
        value,
        marks,
    }
}

#[test]
fn the_printed_examples_are_written() {
    let dialect = prompt();
    let writer = Writer::new(&dialect);
    let tests = [test(b"016"), test(b"020")];
    let order = writer.order(Code::ORDER, &SAMPLE, &tests).expect("it fits");
    assert_eq!(shown(&order), "S 000301 00010009063962    E01600200<ETX>");
    let no_order = writer.no_order(Code::REQUEST, &SAMPLE).expect("it fits");
    assert_eq!(shown(&no_order), "SE000301 00010009063962<ETX>");
    let request = writer.request(Code::REQUEST, &SAMPLE).expect("it fits");
    assert_eq!(shown(&request), "R 00000301 00010009063962    <ETX>");
    let groups = [group(b"016", b"161.3", &[b"H"])];
    let result = writer
        .results(Code::RESULT, &SAMPLE, &groups)
        .expect("it fits");
    assert_eq!(
        shown(&result),
        "D 00000301 00010009063962    E0016    161.3H       <ETX>"
    );
    let mark = writer.mark(Code::REQUEST_START).expect("it fits");
    assert_eq!(shown(&mark), "RB00<ETX>");
}

#[test]
fn a_control_is_written_with_its_number() {
    let dialect = prompt();
    let groups = [GroupText {
        unit: b"",
        ..group(b"016", b"161.3", &[])
    }];
    let text = Writer::new(&dialect)
        .control(Code::CONTROL, &SampleText::default(), b"Q01", &groups)
        .expect("it fits");
    assert_eq!(
        shown(&text),
        "DQ00                      Q01E  016    161.3        <ETX>"
    );
}

#[test]
fn an_id_stands_on_the_side_that_the_layout_says() {
    let mut dialect = prompt();
    let short = SampleText {
        sample_id: b"42",
        ..SAMPLE
    };
    for (side, expected) in [(Side::Left, "42        "), (Side::Right, "        42")] {
        dialect.layout.sample_id_side = side;
        let text = Writer::new(&dialect)
            .request(Code::REQUEST, &short)
            .expect("it fits");
        assert_eq!(&text[15..25], expected.as_bytes());
    }
}

#[test]
fn what_does_not_fit_is_refused_and_never_cut() {
    let dialect = prompt();
    let writer = Writer::new(&dialect);
    let too_long = |field, columns, length| WriteError::TooLong {
        field,
        columns,
        length,
    };
    let not_filled = |field, columns, length| WriteError::NotFilled {
        field,
        columns,
        length,
    };
    let ask = |sample: SampleText<'_>| writer.request(Code::REQUEST, &sample).expect_err("refused");
    let id = ask(SampleText {
        sample_id: b"00090639621",
        ..SAMPLE
    });
    assert_eq!(id, too_long("sample_id", 10, 11));
    let rack = ask(SampleText {
        rack_no: b"3",
        ..SAMPLE
    });
    assert_eq!(rack, not_filled("rack_no", 4, 1));
    let control = ask(SampleText {
        sample_id: b"0009\x0363962",
        ..SAMPLE
    });
    assert_eq!(control, WriteError::Control { field: "sample_id" });
    let report = |group: GroupText<'_>| {
        writer
            .results(Code::RESULT, &SAMPLE, &[group])
            .expect_err("refused")
    };
    assert_eq!(
        report(group(b"016", b"1234567.89", &[])),
        too_long("value", 9, 10)
    );
    assert_eq!(
        report(group(b"016", b"", &[])),
        WriteError::Missing { field: "value" }
    );
    assert_eq!(report(group(b"16", b"1", &[])), not_filled("test_no", 3, 2));
    assert_eq!(
        report(group(b"0A6", b"1", &[])),
        WriteError::NotDigits { field: "test_no" }
    );
    assert_eq!(
        report(group(b"016", b"1", &[&b""[..]; 5])),
        too_long("marks", 4, 5)
    );
    assert_eq!(
        report(group(b"016", b"1", &[b"HHH"])),
        too_long("mark", 2, 3)
    );
    let empty = writer
        .order(Code::ORDER, &SAMPLE, &[])
        .expect_err("refused");
    assert_eq!(empty, WriteError::Missing { field: "tests" });
    let none = writer
        .results(Code::RESULT, &SAMPLE, &[])
        .expect_err("refused");
    assert_eq!(none, WriteError::Missing { field: "groups" });
}

#[test]
fn a_code_for_another_kind_of_text_is_refused() {
    let dialect = prompt();
    let writer = Writer::new(&dialect);
    let tests = [test(b"016")];
    let refused = [
        writer.order(Code::RESULT, &SAMPLE, &tests),
        writer.request(Code::ORDER, &SAMPLE),
        writer.mark(Code::RESULT),
        writer.no_order(Code::ORDER, &SAMPLE),
    ];
    for result in refused {
        assert_eq!(result, Err(WriteError::WrongCode));
    }
}

#[test]
fn many_tests_go_into_blocks_and_more_than_eleven_blocks_are_refused() {
    let mut dialect = prompt();
    dialect.layout.block_text_max = 40;
    let numbers: Vec<String> = (0..34).map(|number| format!("{number:03}")).collect();
    let tests: Vec<_> = numbers
        .iter()
        .map(|number| test(number.as_bytes()))
        .collect();
    let writer = Writer::new(&dialect);
    let text = writer
        .order(Code::ORDER, &SAMPLE, &tests[..7])
        .expect("it fits");
    assert_eq!(
        shown(&text),
        "S 000301 00010009063962    0000000100020<ETB>\
         S 000301 00010009063962    1003000400050<ETB>\
         S 000301 00010009063962    E0060<ETX>"
    );
    assert!(writer.order(Code::ORDER, &SAMPLE, &tests[..33]).is_ok());
    let error = writer
        .order(Code::ORDER, &SAMPLE, &tests)
        .expect_err("refused");
    assert_eq!(error, WriteError::TooMany { groups: 34 });
    dialect.layout.block_text_max = 28;
    let error = Writer::new(&dialect)
        .order(Code::ORDER, &SAMPLE, &tests)
        .expect_err("refused");
    assert_eq!(error, WriteError::NoRoom);
}

#[test]
fn dialects_that_cannot_work_are_refused() {
    for model in [
        Model::Au480,
        Model::Au680,
        Model::Au5800,
        Model::Dxc700Au,
        Model::Au2700,
        Model::Au5400,
    ] {
        assert_eq!(Dialect::host(model).check(), Ok(()));
        assert_eq!(Dialect::instrument(model).check(), Ok(()));
    }
    type Change = fn(&mut Dialect);
    let changes: [(Change, DialectError); 8] = [
        (
            |d| d.start = 6,
            DialectError::ControlCode {
                name: "start",
                code: 6,
            },
        ),
        (
            |d| d.text_end = b'E',
            DialectError::ControlCode {
                name: "text_end",
                code: b'E',
            },
        ),
        (|d| d.block_end = 2, DialectError::SameCodes),
        (
            |d| d.layout.sample_id = 65,
            DialectError::TooWide {
                name: "sample_id",
                columns: 65,
            },
        ),
        (
            |d| d.layout.group.marks = 17,
            DialectError::TooWide {
                name: "group.marks",
                columns: 17,
            },
        ),
        (
            |d| d.layout.sample_id = 0,
            DialectError::Zero { name: "sample_id" },
        ),
        (
            |d| d.layout.block_text_max = 51,
            DialectError::BlockTooShort { needed: 52 },
        ),
        (|d| d.limits.block = 256, DialectError::Limits),
    ];
    for (change, error) in changes {
        let mut dialect = Dialect::host(Model::Au5800);
        change(&mut dialect);
        assert_eq!(dialect.check(), Err(error));
    }
}

/// Any layout that a site could set.
pub(super) fn layout() -> impl Strategy<Value = Layout> {
    (
        (
            prop::sample::select(vec![0_usize, 2]),
            any::<bool>(),
            0..5_usize,
            0..3_usize,
        ),
        (0..2_usize, 0..5_usize, 1..27_usize, any::<bool>()),
        (0..5_usize, 0..30_usize, 0..5_usize),
        (0..2_usize, 1..4_usize, 1..10_usize, 0..3_usize, 0..5_usize),
        (
            0..2_usize,
            0..3_usize,
            prop::sample::select(vec![160_usize, 256, 512]),
        ),
    )
        .prop_map(|(place, sample, rest, group, last)| {
            let mut layout = Layout::SET_A;
            (
                layout.unit_no,
                layout.has_unit_no_in_orders,
                layout.rack_no,
                layout.cup,
            ) = place;
            let is_left;
            (
                layout.sample_type,
                layout.sample_no,
                layout.sample_id,
                is_left,
            ) = sample;
            layout.sample_id_side = if is_left { Side::Left } else { Side::Right };
            (layout.dummy, layout.patient, layout.order_patient) = rest;
            let columns = &mut layout.group;
            (
                columns.unit,
                columns.test_no,
                columns.value,
                columns.mark,
                columns.marks,
            ) = group;
            layout.order.test_no = layout.group.test_no;
            layout.order.dilution = last.0;
            layout.no_order = [NoOrder::EndWithSample, NoOrder::End, NoOrder::EmptyOrder][last.1];
            layout.block_text_max = last.2;
            layout
        })
}

fn padded(text: &str, columns: usize) -> String {
    text.chars().cycle().take(columns).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_the_same(
        layout in layout(),
        id in "[0-9A-Z]{1,26}",
        values in prop::collection::vec("[0-9.<*]{1,9}", 1..40),
    ) {
        let dialect = Dialect { layout, ..prompt() };
        prop_assume!(dialect.check().is_ok());
        let id = padded(&id, id.len().min(layout.sample_id));
        let (rack_no, cup) = (padded("0123", layout.rack_no), padded("01", layout.cup));
        let (kind, number) = (padded("U", layout.sample_type), padded("E001", layout.sample_no));
        let sample = SampleText {
            rack_no: rack_no.as_bytes(),
            cup: cup.as_bytes(),
            sample_type: kind.as_bytes(),
            sample_no: number.as_bytes(),
            sample_id: id.as_bytes(),
            dummy: b"",
        };
        let is_same = |read: &Sample<'_>| {
            read.rack_no.raw() == sample.rack_no
                && read.cup.raw() == sample.cup
                && read.sample_type.raw() == sample.sample_type
                && read.sample_no.raw() == sample.sample_no
                && read.sample_id.unpadded() == sample.sample_id
        };
        let writer = Writer::new(&dialect);
        let numbers: Vec<String> = (0..values.len())
            .map(|number| padded(&format!("{number:03}"), layout.group.test_no))
            .collect();
        let values: Vec<String> = values
            .iter()
            .map(|value| padded(value, value.len().min(layout.group.value)))
            .collect();

        let request = writer.request(Code::REQUEST, &sample).expect("it fits");
        let (text, notes) = read(&request, &dialect).expect("it is a text");
        prop_assert!(notes.is_empty());
        prop_assert!(matches!(&text.content, Content::Request(read) if is_same(read)));

        let dilution = padded("0", layout.order.dilution);
        let tests: Vec<_> = numbers
            .iter()
            .map(|number| TestText { test_no: number.as_bytes(), dilution: dilution.as_bytes() })
            .collect();
        let order = writer.order(Code::ORDER, &sample, &tests).expect("it fits");
        let (text, notes) = read(&order, &dialect).expect("it is a text");
        prop_assert!(notes.is_empty() && text.is_whole);
        let Content::Order(order) = &text.content else { panic!("an order") };
        prop_assert!(is_same(&order.sample));
        let read_back: Vec<_> = order.tests.iter().map(|test| test.test_no.raw()).collect();
        prop_assert_eq!(read_back, numbers.iter().map(String::as_bytes).collect::<Vec<_>>());

        let unit = padded("1", layout.group.unit);
        let groups: Vec<_> = numbers
            .iter()
            .zip(&values)
            .map(|(number, value)| GroupText {
                unit: unit.as_bytes(),
                test_no: number.as_bytes(),
                value: value.as_bytes(),
                marks: &[],
            })
            .collect();
        match writer.results(Code::RESULT, &sample, &groups) {
            Err(error) => prop_assert_eq!(error, WriteError::TooMany { groups: groups.len() }),
            Ok(results) => {
                let (text, notes) = read(&results, &dialect).expect("it is a text");
                prop_assert!(notes.is_empty() && text.is_whole);
                let Content::Result(results) = &text.content else { panic!("results") };
                prop_assert!(is_same(&results.sample));
                let read_back: Vec<_> =
                    results.groups.iter().map(|group| group.value.unpadded()).collect();
                prop_assert_eq!(read_back, values.iter().map(String::as_bytes).collect::<Vec<_>>());
            }
        }
    }
}
