use proptest::prelude::*;

use super::*;
use crate::astm::record::{Message, Record};

fn text(value: &str) -> FieldValue<'_> {
    FieldValue::Text(value)
}

fn begin() -> MessageWriter {
    MessageWriter::header(Delimiters::STANDARD, Charset::Latin1, &[]).unwrap()
}

fn shown(written: &Written) -> String {
    Charset::Latin1
        .decode(&written.bytes)
        .unwrap()
        .replace('\r', "\n")
}

#[test]
fn an_answer_to_a_query_is_written_as_the_standard_has_it() {
    let mut writer = MessageWriter::header(
        Delimiters::STANDARD,
        Charset::Latin1,
        &[
            (14, text("20250115101501")),
            (5, text("BRIDGE")),
            (10, text("ANALYZER1")),
            (12, text("P")),
            (13, text("LIS2-A2")),
        ],
    )
    .unwrap();
    let name = FieldValue::Name(vec!["TRAN", "THI B"]);
    let patient = [
        (3, text("PID0098")),
        (6, name),
        (8, text("19911105")),
        (9, text("F")),
    ];
    let tests = FieldValue::Repeats(vec![vec!["", "", "", "TSH"], vec!["", "", "", "FT4"]]);
    let order = [
        (3, text("25011500021")),
        (5, tests),
        (6, text("R")),
        (8, text("20250115094000")),
        (12, text("N")),
        (16, text("Serum")),
        (26, text("Q")),
    ];
    writer.patient(&patient).unwrap().order(&order).unwrap();
    let written = writer.terminator(TerminationCode::Processed).unwrap();
    assert_eq!(
        shown(&written),
        "H|\\^&|||BRIDGE|||||ANALYZER1||P|LIS2-A2|20250115101501\n\
         P|1|PID0098|||TRAN^THI B||19911105|F\n\
         O|1|25011500021||^^^TSH\\^^^FT4|R||20250115094000||||N||||Serum||||||||||Q\n\
         L|1|F\n"
    );
    assert_eq!(written.transliterated, []);
}

#[test]
fn no_orders_is_a_header_and_a_terminator() {
    let written = begin().terminator(TerminationCode::NoInformation).unwrap();
    assert_eq!(shown(&written), "H|\\^&\nL|1|I\n");
}

#[test]
fn sequence_numbers_are_kept_by_the_writer() {
    let mut w = begin();
    w.comment(&[])
        .unwrap()
        .patient(&[])
        .unwrap()
        .order(&[])
        .unwrap()
        .result(&[])
        .unwrap();
    w.comment(&[])
        .unwrap()
        .comment(&[])
        .unwrap()
        .result(&[])
        .unwrap()
        .comment(&[])
        .unwrap();
    w.order(&[])
        .unwrap()
        .result(&[])
        .unwrap()
        .manufacturer(&[])
        .unwrap();
    w.patient(&[])
        .unwrap()
        .order(&[])
        .unwrap()
        .query(&[])
        .unwrap()
        .query(&[])
        .unwrap();
    w.scientific(&[]).unwrap();
    let written = w.terminator(TerminationCode::Normal).unwrap();
    let expected = "H|\\^& C|1 P|1 O|1 R|1 C|1 C|2 R|2 C|1 O|2 R|1 M|1 P|2 O|1 Q|1 Q|2 S|1 L|1|N ";
    assert_eq!(shown(&written).replace('\n', " "), expected);
    assert_eq!(Message::parse(&written.bytes).1, []);
}

#[test]
fn records_out_of_place_are_refused_and_the_message_goes_on() {
    let mut w = begin();
    let order = WriteError::OutOfPlace {
        kind: RecordKind::Order,
    };
    let result = WriteError::OutOfPlace {
        kind: RecordKind::Result,
    };
    assert_eq!(w.order(&[]).unwrap_err(), order);
    assert_eq!(w.result(&[]).unwrap_err(), result);
    w.patient(&[]).unwrap();
    assert_eq!(w.result(&[]).unwrap_err(), result);
    w.order(&[])
        .unwrap()
        .result(&[])
        .unwrap()
        .patient(&[])
        .unwrap();
    assert_eq!(w.result(&[]).unwrap_err(), result);
    w.query(&[]).unwrap();
    assert_eq!(w.order(&[]).unwrap_err(), order);
    let written = w.terminator(TerminationCode::Normal).unwrap();
    assert_eq!(shown(&written), "H|\\^&\nP|1\nO|1\nR|1\nP|2\nQ|1\nL|1|N\n");
}

#[test]
fn a_field_that_cannot_be_written_leaves_no_trace() {
    let mut w = begin();
    let kind = RecordKind::Patient;
    let path = Path::parse("P.3").unwrap();
    let source = EncodeError {
        charset: Charset::Latin1,
        at: 1,
        ch: 'ẩ',
    };
    let many = vec![""; COMPONENTS_MAX + 1];
    let long = "x".repeat(RECORD_BYTES_MAX);
    for (fields, error) in [
        (
            vec![(2, text("7"))],
            WriteError::FieldReserved { kind, field: 2 },
        ),
        (
            vec![(0, text("7"))],
            WriteError::FieldReserved { kind, field: 0 },
        ),
        (
            vec![(1025, text("7"))],
            WriteError::FieldReserved { kind, field: 1025 },
        ),
        (
            vec![(3, text("a")), (3, text("b"))],
            WriteError::FieldTwice { path },
        ),
        (
            vec![(6, FieldValue::Name(vec!["ẩ"])), (3, text("aẩ"))],
            WriteError::Unencodable { path, source },
        ),
        (
            vec![(3, FieldValue::Components(many))],
            WriteError::TooManyParts { path },
        ),
        (vec![(3, text(&long))], WriteError::TooLong { kind }),
    ] {
        let found = w.patient(&fields).unwrap_err();
        assert_eq!(found, error);
        assert!(found.code().starts_with("ASTM-025"));
        assert!(!format!("{found}").contains('ẩ'));
    }
    w.patient(&[(3, text("ok"))]).unwrap();
    let written = w.terminator(TerminationCode::Normal).unwrap();
    assert_eq!(shown(&written), "H|\\^&\nP|1|ok\nL|1|N\n");
    assert_eq!(written.transliterated, []);
}

#[test]
fn delimiters_and_control_characters_are_escaped() {
    let mut w = begin();
    w.comment(&[(3, text("L")), (4, text("a|b^c\\d&e\r\n\u{2}f\u{7f}µ"))])
        .unwrap();
    let written = w.terminator(TerminationCode::Normal).unwrap();
    assert_eq!(
        shown(&written),
        "H|\\^&\nC|1|L|a&F&b&S&c&R&d&E&e&X0D0A02&f&X7F&µ\nL|1|N\n"
    );
}

#[test]
fn only_delete_says_delete() {
    let mut w = begin();
    w.patient(&[
        (3, FieldValue::Delete),
        (4, text("\"\"")),
        (5, text("\"\"\"")),
    ])
    .unwrap();
    let written = w.terminator(TerminationCode::Normal).unwrap();
    assert_eq!(shown(&written), "H|\\^&\nP|1|\"\"|&X2222&|\"\"\"\nL|1|N\n");
    let (message, _) = Message::parse(&written.bytes);
    let field = |n| message.records()[1].field(n);
    assert!(field(3).is_delete() && !field(4).is_delete() && !field(5).is_delete());
    assert_eq!(field(4).text(Charset::Latin1).unwrap().0, "\"\"");
}

#[test]
fn names_that_lose_marks_are_reported_once_a_field() {
    let mut w = begin();
    w.patient(&[
        (6, FieldValue::Name(vec!["Nguyễn", "Thị Bé"])),
        (3, text("Bé")),
    ])
    .unwrap();
    w.patient(&[
        (6, FieldValue::Name(vec!["Bé"])),
        (14, FieldValue::Name(vec!["Đỗ"])),
    ])
    .unwrap();
    let written = w.terminator(TerminationCode::Normal).unwrap();
    assert_eq!(
        shown(&written),
        "H|\\^&\nP|1|Bé|||Nguyen^Thi Bé\nP|2||||Bé||||||||Do\nL|1|N\n"
    );
    let path = |text| Path::parse(text).unwrap();
    assert_eq!(
        written.transliterated,
        [
            Transliterated {
                record: 1,
                path: path("P.6")
            },
            Transliterated {
                record: 2,
                path: path("P.14")
            },
        ]
    );
}

#[test]
fn received_fields_go_back_as_they_came() {
    let received = b"H|\\^&|a&Z1&b|pw\rQ|1|^^25^40^0\\x&F&y||ALL\n\r";
    let (message, _) = Message::parse(received);
    let header = message.records()[0].field(3);
    let query = message.records()[1].field(3);
    let line_feed = message.records()[1].field(5);
    let fields = [
        (3, FieldValue::Echo(query)),
        (4, FieldValue::Echo(line_feed)),
    ];
    for (delimiters, expected) in [
        (
            Delimiters::STANDARD,
            "H|\\^&|a&Z1&b\nQ|1|^^25^40^0\\x&F&y|ALL&X0A&\nL|1|N\n",
        ),
        (
            Delimiters::new(b'|', b'!', b'~', b'#').unwrap(),
            "H|!~#|a&Z1&b\nQ|1|~~25~40~0!x#F#y|ALL#X0A#\nL|1|N\n",
        ),
    ] {
        let echo = [(3, FieldValue::Echo(header))];
        let mut w = MessageWriter::header(delimiters, Charset::Latin1, &echo).unwrap();
        w.query(&fields).unwrap();
        assert_eq!(
            shown(&w.terminator(TerminationCode::Normal).unwrap()),
            expected
        );
    }
}

/// Repeats of components.
type Value = Vec<Vec<String>>;

fn value() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        "[|\\\\^&!~@#\"XF0-9a-zà-ỹ \r\n\u{0}-\u{1f}\u{7f}]{0,12}",
        any::<String>().prop_filter("a byte order mark is no text", |t| !t
            .starts_with('\u{feff}')),
    ];
    proptest::collection::vec(proptest::collection::vec(part, 0..4), 0..4)
}

fn record() -> impl Strategy<Value = (u8, Vec<(usize, Value)>)> {
    let letter = proptest::sample::select(b"POORRRCMQS".as_slice());
    (
        letter,
        proptest::collection::btree_map(3..40_usize, value(), 0..5),
    )
        .prop_map(|(letter, fields)| (letter, fields.into_iter().collect()))
}

/// What a reader finds: no repeat and one empty component are the same nothing.
fn as_read(value: &Value) -> Value {
    let of_repeat = |parts: &Vec<String>| {
        if parts.is_empty() {
            vec![String::new()]
        } else {
            parts.clone()
        }
    };
    if value.is_empty() {
        vec![vec![String::new()]]
    } else {
        value.iter().map(of_repeat).collect()
    }
}

fn read(record: &Record<'_>, field: usize) -> Value {
    let of_component = |part: crate::astm::record::Component<'_>| {
        let (text, notes) = part.text(Charset::Utf8).unwrap();
        assert_eq!(notes, []);
        text.into_owned()
    };
    let field = record.field(field);
    field
        .repeats()
        .map(|repeat| repeat.components().map(of_component).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_reads_back(
        records in proptest::collection::vec(record(), 0..12),
        delimiters in proptest::sample::select(vec![*b"|\\^&", *b"|\\!~", *b"|@^\\", *b"|`^&"]),
    ) {
        let [field, repeat, component, escape] = delimiters;
        let delimiters = Delimiters::new(field, repeat, component, escape).unwrap();
        let mut writer = MessageWriter::header(delimiters, Charset::Utf8, &[]).unwrap();
        let mut kept = vec![];
        for (letter, fields) in &records {
            let values: Vec<(usize, FieldValue<'_>)> = fields
                .iter()
                .map(|(n, value)| {
                    let borrowed = value.iter().map(|r| r.iter().map(String::as_str).collect());
                    (*n, FieldValue::Repeats(borrowed.collect()))
                })
                .collect();
            if writer.record(RecordKind::from_letter(*letter), &values).is_ok() {
                kept.push((*letter, fields));
            }
        }
        let written = writer.terminator(TerminationCode::Normal).unwrap();
        let (message, notes) = Message::parse(&written.bytes);
        prop_assert_eq!(notes, vec![]);
        prop_assert!(message.is_complete());
        prop_assert_eq!(message.records().len(), kept.len() + 2);
        for ((letter, fields), record) in kept.iter().zip(&message.records()[1..]) {
            prop_assert_eq!(record.kind().letter(), *letter);
            let last = fields.last().map_or(2, |(n, _)| *n);
            prop_assert_eq!(record.fields().count(), last);
            for (n, value) in *fields {
                prop_assert_eq!(read(record, *n), as_read(value));
                prop_assert!(!record.field(*n).is_delete());
            }
        }
    }
}
