//! Messages of the standard's shape and of real analyzers, as data.

use proptest::prelude::*;

use super::*;
use crate::{charset::Charset, wire::Note};

/// Index, letter and level of each record.
fn levels(message: &Message<'_>) -> String {
    let shown = message.records().iter().map(|record| {
        format!(
            "{}{}",
            char::from(record.kind().letter()),
            record.place().level
        )
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn codes(notes: &[Note]) -> String {
    notes
        .iter()
        .map(|note| format!("{}@{}", note.code, note.at))
        .collect::<Vec<_>>()
        .join(" ")
}

fn joined(records: &[&str]) -> String {
    records.iter().map(|record| format!("{record}\r")).collect()
}

/// Parses a message that deviates in nothing.
fn clean(message: &str) -> Message<'_> {
    let (parsed, notes) = Message::parse(message.as_bytes());
    assert_eq!(codes(&notes), "", "{message}");
    assert!(parsed.is_complete());
    check_no_byte_is_lost(&parsed);
    parsed
}

/// Record spans, the ends and spaces between them, and the unparsed rest are the input.
fn check_no_byte_is_lost(message: &Message<'_>) {
    let bytes = message.bytes();
    let mut next = if bytes.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    for record in message.records() {
        let span = record.span();
        assert!(bytes[next..span.start].iter().all(|b| b"\r\n ".contains(b)));
        assert_eq!(record.bytes(), &bytes[span.clone()]);
        assert!(!record.bytes().is_empty());
        next = span.end;
    }
    let rest = bytes.len() - message.unparsed().len();
    if message
        .refused()
        .is_none_or(|note| note.code == notes::DELIMITERS.code)
    {
        assert_eq!(rest, bytes.len());
        assert!(bytes[next.min(rest)..].iter().all(|b| b"\r\n ".contains(b)));
    } else {
        assert!(
            bytes[next.min(rest)..rest]
                .iter()
                .all(|b| b"\r\n ".contains(b))
        );
    }
}

/// Fields of a record by address, `field=value`, as sent.
fn check_fields(record: &Record<'_>, expected: &[(&str, &str)]) {
    for (path, value) in expected {
        let found = Path::parse(path).unwrap().get(record).unwrap_or_default();
        assert_eq!(found, value.as_bytes(), "{path}");
    }
}

/// A whole reading of one record text: its header stands before it.
fn check_record(header: &str, text: &str, expected: &[(&str, &str)]) {
    let message = format!("{header}\r{text}\rL|1|N\r");
    let (parsed, _) = Message::parse(message.as_bytes());
    assert_eq!(parsed.refused(), None);
    check_no_byte_is_lost(&parsed);
    check_fields(&parsed.records()[1], expected);
}

const HEADER: &str = r"H|\^&|||ANALYZER1|||||BRIDGE||P|LIS2-A2|20250115101500";
const DXH: &str = r"H|\!~|(0:0-100#200, 1)||DxH|||||LIS||P|LIS2-A|20250115100000";

/// The example of LIS02-A2 for saving and restarting: records A to Q.
const LEVELS: [&str; 17] = [
    HEADER, "P|1", "O|1", "R|1", "O|2", "O|3", "P|2", "O|1", "C|1", "R|1", "C|1", "R|2", "O|2",
    "P|3", "O|1", "R|1", "L|1|N",
];

#[test]
fn levels_are_those_of_the_standards_example() {
    let text = joined(&LEVELS);
    let message = clean(&text);
    assert_eq!(
        levels(&message),
        "H0 P1 O2 R3 O2 O2 P1 O2 C3 R3 C4 R3 O2 P1 O2 R3 L0"
    );
    // What must be saved: at every step down in level, everything before it.
    let all: Vec<usize> = message.records().iter().map(|r| r.place().level).collect();
    let saves: String = (1..all.len())
        .filter(|i| all[*i] < all[*i - 1])
        .map(|i| char::from(b'A' + u8::try_from(i).unwrap()))
        .collect();
    // K to L steps down too: a comment's level counts.
    assert_eq!(saves, "EGLMNQ");
}

#[test]
fn every_record_knows_what_it_belongs_to() {
    let text = joined(&LEVELS);
    let message = clean(&text);
    let place = |i: usize| message.records()[i].place();
    let expected = |level, parent, patient, order, result| Place {
        level,
        parent,
        header: Some(0),
        patient,
        order,
        result,
    };
    assert_eq!(place(3), expected(3, Some(2), Some(1), Some(2), Some(3)));
    assert_eq!(place(5), expected(2, Some(1), Some(1), Some(5), None));
    assert_eq!(place(8), expected(3, Some(7), Some(6), Some(7), None));
    assert_eq!(place(10), expected(4, Some(9), Some(6), Some(7), Some(9)));
    assert_eq!(place(16), expected(0, Some(0), None, None, None));
    let children = |i| message.children(i).map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(children(0), [1, 6, 13]);
    assert_eq!(children(1), [2, 4, 5]);
    assert_eq!(children(7), [8, 9, 11]);
    assert_eq!(children(9), [10]);
    assert!(children(16).is_empty() && children(99).is_empty());
}

#[test]
fn comments_and_manufacturer_records_hang_below_what_they_follow() {
    let text = joined(&[
        HEADER,
        "C|1|I|hello",
        "P|1",
        "C|1|I|p",
        "O|1",
        "R|1",
        "C|1|I|a",
        "C|2|I|b",
        "M|1|x",
        "M|2|y",
        "C|3|I|c",
        "R|2",
        "M|1|x",
        "M|2|y",
        "C|1|I|c",
        "L|1|N",
    ]);
    let message = clean(&text);
    assert_eq!(
        levels(&message),
        "H0 C1 P1 C2 O2 R3 C4 C4 M5 M5 C6 R3 M4 M4 C5 L0"
    );
    let parents: Vec<_> = message
        .walk()
        .map(|(_, r)| r.place().parent.unwrap_or(99))
        .collect();
    assert_eq!(
        parents,
        [99, 0, 0, 2, 2, 4, 5, 5, 7, 7, 9, 4, 11, 11, 13, 0]
    );
}

#[test]
fn the_query_dialogue_reads_by_names() {
    let query = joined(&[HEADER, "Q|1|^25011500021||ALL||||||||O", "L|1|N"]);
    let message = clean(&query);
    let View::Header(header) = message.records()[0].view() else {
        panic!("no header")
    };
    assert_eq!(header.sender().raw(), b"ANALYZER1");
    assert_eq!(header.receiver().raw(), b"BRIDGE");
    assert_eq!(header.delimiters().raw(), br"\^&");
    assert_eq!(header.delimiters().repeats().count(), 1);
    assert_eq!(header.processing_id(), Some(ProcessingId::Production));
    assert_eq!(header.version().raw(), b"LIS2-A2");
    let (sent_at, note) = header.sent_at().timestamp();
    assert_eq!((sent_at.unwrap().minute, note), (15, None));
    let View::Request(request) = message.records()[1].view() else {
        panic!("no request")
    };
    assert_eq!(request.starting_range().component(2).raw(), b"25011500021");
    assert_eq!(request.request_status(), Some(RequestStatus::Orders));
    assert!(!request.is_for_all());

    let answer = joined(&[
        r"H|\^&|||BRIDGE|||||ANALYZER1||P|LIS2-A2|20250115101501",
        "P|1|PID0098|||TRAN^THI B||19911105|F",
        r"O|1|25011500021||^^^TSH\^^^FT4|R||20250115094000||||N||||Serum||||||||||Q",
        "L|1|F",
    ]);
    let message = clean(&answer);
    let View::Patient(patient) = message.records()[1].view() else {
        panic!("no patient")
    };
    assert_eq!(patient.practice_id().raw(), b"PID0098");
    assert_eq!(patient.name().component(2).raw(), b"THI B");
    assert_eq!(patient.sex().raw(), b"F");
    let View::Order(order) = message.records()[2].view() else {
        panic!("no order")
    };
    assert_eq!(order.specimen_id().raw(), b"25011500021");
    let tests: Vec<_> = order
        .test_id()
        .repeats()
        .map(|test| test.component(4).raw())
        .collect();
    assert_eq!(tests, [&b"TSH"[..], b"FT4"]);
    assert_eq!(order.first_priority(), Some(Priority::Routine));
    assert_eq!(order.action_code(), Some(ActionCode::New));
    assert_eq!(order.specimen_descriptor().raw(), b"Serum");
    assert_eq!(order.report(), Some(ReportType::Response));
    let View::Terminator(end) = message.records()[3].view() else {
        panic!("no terminator")
    };
    assert_eq!(end.termination_code(), Some(TerminationCode::Processed));
}

#[test]
fn queries_and_cancels_of_the_standard_read_by_address() {
    for (text, expected) in [
        (
            "Q|1|^25011500021|^25011500023|ALL||||||||O",
            &[
                ("Q.3.2", "25011500021"),
                ("Q.4.2", "25011500023"),
                ("Q.13", "O"),
            ][..],
        ),
        (
            "Q|1|^25011500021||ALL||||||||A",
            &[("Q.5", "ALL"), ("Q.13", "A")],
        ),
        (
            "O|1|25011500021||^^^FT4|R||||||C||||||||||||||O",
            &[("O.12", "C"), ("O.26", "O")],
        ),
        (
            "O|1|25011500021||^^^FT4|R||||||||||||||||||||X",
            &[("O.12", ""), ("O.26", "X"), ("O.5.4", "FT4")],
        ),
        ("L|1|I", &[("L.3", "I")]),
        (
            r"Q|1|^1007149\`1007152\`|||S|||||||O",
            &[("Q.3[2]", "`1007152"), ("Q.6", "S")],
        ),
        (
            "Q|1|^^0000000387^587^0^2^^S1^SC||ALL||||||||A",
            &[("Q.3.3", "0000000387"), ("Q.3.9", "SC")],
        ),
    ] {
        check_record(HEADER, text, expected);
    }
}

#[test]
fn a_split_order_of_forty_tests_reads_whole() {
    let tests: Vec<String> = (1..=40).map(|n| format!("^^^{n:03}")).collect();
    let text = format!(
        "O|1|25011500018||{}|R||||||A||||Serum||||||||||O",
        tests.join("\\")
    );
    assert_eq!(text.len(), 325);
    check_record(
        HEADER,
        &text,
        &[("O.5[1].4", "001"), ("O.5[40].4", "040"), ("O.16", "Serum")],
    );
}

#[test]
fn dialects_read_with_their_own_delimiters_and_places() {
    check_record(
        DXH,
        "Q|1|!25011500017||ALL||||||||O",
        &[("Q.3.2", "25011500017")],
    );
    check_record(
        DXH,
        "P|1||PID0098||||19911105!33!Y|F",
        &[("P.8.1", "19911105"), ("P.9", "F")],
    );
    let wbc = "R|1|!!!WBC!33256-9|7.4|10^9/L||3.8 to 11.8|||F||SYSTEM||20250115100230|AZ1000";
    check_record(
        DXH,
        wbc,
        &[
            ("R.3.4", "WBC"),
            ("R.3.5", "33256-9"),
            ("R.5", "10^9/L"),
            ("R.5.1", "10^9/L"),
            ("R.7", "3.8 to 11.8"),
            ("R.10", "F"),
            ("R.12", "SYSTEM"),
            ("R.14", "20250115100230"),
            ("R.15", "AZ1000"),
        ],
    );
    let hgb = "R|2|!!!HGB!718-7|146!  H |g/L||109 to 143|A||F||SYSTEM||20250115100230|AZ1000";
    check_record(
        DXH,
        hgb,
        &[("R.4", "146!  H "), ("R.4.1", "146"), ("R.4.2", "  H ")],
    );
}

#[test]
fn vendor_qualifiers_and_padding_are_kept_as_sent() {
    check_record(
        HEADER,
        "O|1|25011500021|^1001^2|^^^TSH^1|||||||||||Serum||||||||||F",
        &[
            ("O.4.2", "1001"),
            ("O.4.3", "2"),
            ("O.5.5", "1"),
            ("O.16", "Serum"),
            ("O.26", "F"),
        ],
    );
    check_record(
        HEADER,
        "R|1|^^^580^Anti-HBcII^UNDILUTED^P^12345LI00^00789^^F|0.12|S/CO||||F||ADMIN^ADMIN||20250115103500|i2SR01234",
        &[
            ("R.3.11", "F"),
            ("R.3.6", "UNDILUTED"),
            ("R.9", "F"),
            ("R.11.2", "ADMIN"),
        ],
    );
    check_record(
        HEADER,
        r"Q|1|000002^01^    25011500030^B||^^^040^PT-INN-cal\^^^050^APTT-FS|0|20250115100000",
        &[
            ("Q.3.3", "    25011500030"),
            ("Q.5[2].5", "APTT-FS"),
            ("Q.7", "20250115100000"),
        ],
    );
    check_record(
        HEADER,
        "R|1|^^^041^PT INN~sec^100.00^A^^^|  10.6|sec||N||||||20250115101500",
        &[
            ("R.3.5", "PT INN~sec"),
            ("R.4", "  10.6"),
            ("R.13", "20250115101500"),
        ],
    );
}

#[test]
fn crossmatches_controls_and_lots_read_by_address() {
    check_record(
        HEADER,
        "O|1|25011500040||XM_IgG^2^D0001^Packed Cells^D0002^Packed Cells|R|20250115090000|||||N||||Centrifuged",
        &[
            ("O.5.3", "D0001"),
            ("O.5.5", "D0002"),
            ("O.12", "N"),
            ("O.16", "Centrifuged"),
        ],
    );
    check_record(
        HEADER,
        "M|1|D0001|AHG^1^0123456789^LOT1^20251231000000|LISS^LOT2^20251130000000|0^^0^",
        &[("M.3", "D0001"), ("M.4.3", "0123456789"), ("M.6", "0^^0^")],
    );
    check_record(
        HEADER,
        "O|1|PX440N||^^^DIF|R|20250115070900|||||||||CTRL^^CTRL MEDIUM||||||||||F",
        &[("O.16.3", "CTRL MEDIUM"), ("O.16.2", "")],
    );
    check_record(
        HEADER,
        "C|1|I|0|I",
        &[("C.3", "I"), ("C.4", "0"), ("C.5", "I")],
    );
}

#[test]
fn whole_messages_of_roche_analyzers_read_clean() {
    for records in [
        &[
            r"H|\^&|||cobas-e411^1|||||host|TSREQ^REAL|P|1",
            "Q|1|^^25011500021^40^0^5^^S1^SC||ALL||||||||O",
            "L|1|N",
        ][..],
        &[
            r"H|\^&|||host|||||cobas-e411^1|TSDWN^REPLY|P|1",
            "P|1",
            r"O|1|25011500021|40^0^5^^S1^SC|^^^10^\^^^30^2|R||||||A||||1||||||||||O",
            "L|1|N",
        ],
        &[
            r"H|\^&|||host|||||cobas-e411^1|TSDWN^REPLY|P|1",
            "P|1",
            "O|1|25011500021|40^0^5^^S1^SC||R||||||A||||1||||||||||O",
            "L|1|N",
        ],
        &[
            r"H|\^&|||cobas-e411^1|||||host|RSUPL^REAL|P|1",
            "P|1",
            "O|1|25011500021|40^0^5^^S1^SC|^^^10^|R||||||N||||1|||||||20250115103000|||F",
            "R|1|^^^10/|2.31|uIU/mL||N||F||op|20250115101800|20250115103000|E1",
            "C|1|I|0|I",
            "L|1|N",
        ],
    ] {
        clean(&joined(records));
    }
}

#[test]
fn a_result_without_an_order_is_kept_below_its_patient() {
    let text = joined(&[
        r"H|\^&|||UNIT^Roche^c111^4.2.2.1730^1^13147|||||host|RSUPL^REAL|P|1|20250115101717",
        "P|1||",
        "R|1|^^^413|40.13|g/L||N||F||$SYS$||20250115101700",
        "L|1|N",
    ]);
    let (message, notes) = Message::parse(text.as_bytes());
    assert_eq!(codes(&notes), "ASTM-0212@88");
    assert!(message.is_complete());
    assert_eq!(levels(&message), "H0 P1 R3 L0");
    assert_eq!(message.records()[2].place().parent, Some(1));
    assert_eq!(message.records()[2].place().order, None);
}

#[test]
fn captured_records_read_as_their_analyzers_meant() {
    check_fields(
        &Message::parse(br"H|\^&|||STA_Satlellite_Max^CL78090115^1|||||||P|1|20191129115622")
            .0
            .records()[0],
        &[
            ("H.5.2", "CL78090115"),
            ("H.12", "P"),
            ("H.13", "1"),
            ("H.14", "20191129115622"),
        ],
    );
    let sta = r"H|\^&|||STA_Satlellite_Max^CL78090115^1|||||||P|1|20191129115622";
    check_record(
        sta,
        "O|1|000004782|226||R||||||||||||||||||||F",
        &[("O.3", "000004782"), ("O.4", "226"), ("O.26", "F")],
    );
    check_record(
        sta,
        "R|1|^^^SPT^F^64|14.02|S||||F||pathof||20190622150404",
        &[
            ("R.3.4", "SPT"),
            ("R.4", "14.02"),
            ("R.9", "F"),
            ("R.13", "20190622150404"),
        ],
    );
    check_record(
        sta,
        "C|1||36^Test Co 24 controls are invalid.|I",
        &[
            ("C.3", ""),
            ("C.4.2", "Test Co 24 controls are invalid."),
            ("C.5", "I"),
        ],
    );
    check_record(
        sta,
        "M|1|SPT||||||STA-NEO CI PLUS 5^254169",
        &[("M.3", "SPT"), ("M.9.2", "254169")],
    );
    check_record(
        sta,
        "P|1||||^^|||U|||||^||||||||||||^^^",
        &[("P.6", "^^"), ("P.9", "U"), ("P.14", "^"), ("P.26", "^^^")],
    );
    check_record(sta, "C|1||", &[("C.3", ""), ("C.4", "")]);
    for header in [
        r"H|\!~|||DxH|||||LIS||P|LIS2-A|20240703125902",
        r"H|\^&|||3600796||||||||LIS2-A|20201111224031",
        r"H|\^&|||ABX|||||||P|E1394-97|20220727121551",
        r"H|\^&|||H500^910YOXH00000^2.2.2.2b|||||||Q|LIS2-A2|20250115071000",
        r"H|\^&|||ACCESS^500001|||||LIS||P|1|20250115100000",
    ] {
        let text = joined(&[header, "L|1|N"]);
        let message = clean(&text);
        let View::Header(view) = message.records()[0].view() else {
            panic!("no header")
        };
        assert!(view.sent_at().timestamp().0.is_some(), "{header}");
    }
}

/// Parses a deviating message: its records' levels, its notes, whether it is complete.
fn check_deviation(text: &str, expected_levels: &str, expected_notes: &str, is_complete: bool) {
    let (message, notes) = Message::parse(text.as_bytes());
    assert_eq!(levels(&message), expected_levels, "{text:?}");
    assert_eq!(codes(&notes), expected_notes, "{text:?}");
    assert_eq!(message.is_complete(), is_complete, "{text:?}");
    check_no_byte_is_lost(&message);
}

#[test]
fn record_ends_other_than_cr_are_tolerated_with_one_note() {
    check_deviation("H|\\^&\r\nP|1\r\nL|1\r\n", "H0 P1 L0", "ASTM-0203@6", true);
    check_deviation("H|\\^&\nP|1\nL|1\n", "H0 P1 L0", "ASTM-0204@5", true);
    check_deviation(
        "H|\\^&\rP|1\nO|1\nL|1\r",
        "H0 P1 O2 L0",
        "ASTM-0204@9",
        true,
    );
    check_deviation("H|\\^&\rP|1\r\rL|1\r", "H0 P1 L0", "ASTM-0216@10", true);
    check_deviation("H|\\^&\rP|1\rL|1", "H0 P1 L0", "ASTM-0214@13", true);
}

#[test]
fn a_line_feed_inside_text_does_not_cut_the_record() {
    let text = "H|\\^&\rP|1\rC|1|I|one\ntwo|G\rL|1\r";
    check_deviation(text, "H0 P1 C2 L0", "ASTM-0206@19", true);
    let (message, _) = Message::parse(text.as_bytes());
    assert_eq!(message.records()[2].field(4).raw(), b"one\ntwo");
}

#[test]
fn indented_records_and_byte_order_marks_are_read() {
    check_deviation(
        "H|\\^&\r  P|1\r O|1\rL|1\r ",
        "H0 P1 O2 L0",
        "ASTM-0205@7 ASTM-0205@12",
        true,
    );
    check_deviation("\u{feff}H|\\^&\rL|1\r", "H0 L0", "ASTM-0215@0", true);
}

#[test]
fn lower_case_letters_are_records() {
    check_deviation("h|\\^&\rp|1\ro|1\rr|1\rl|1\r", "H0 P1 O2 R3 L0", "", true);
}

#[test]
fn unknown_records_are_kept_and_disturb_nothing() {
    let text = "H|\\^&\rP|1\rX|1|odd\rO|1\rRES|1\rR|1\rL|1\r";
    check_deviation(
        text,
        "H0 P1 X2 O2 R3 R3 L0",
        "ASTM-0207@10 ASTM-0207@22",
        true,
    );
    let (message, _) = Message::parse(text.as_bytes());
    assert_eq!(message.records()[2].kind(), RecordKind::Unknown(b'X'));
    assert_eq!(message.records()[4].kind(), RecordKind::Unknown(b'R'));
    assert_eq!(message.records()[5].place().order, Some(3));
    assert!(matches!(message.records()[4].view(), View::Unknown(_)));
}

#[test]
fn a_message_cut_short_is_not_complete() {
    check_deviation("H|\\^&\rP|1\r", "H0 P1", "ASTM-0208@10", false);
    check_deviation("", "", "", false);
    check_deviation("\r\n  ", "", "ASTM-0216@0 ASTM-0203@1", false);
    check_deviation("H|\\^&\rH|\\^&\rL|1\r", "H0 H0 L0", "ASTM-0209@6", false);
}

#[test]
fn records_outside_of_a_message_are_noted() {
    check_deviation(
        "H|\\^&\rL|1\rC|1|I|late\r",
        "H0 L0 C1",
        "ASTM-0210@10",
        false,
    );
    check_deviation("H|\\^&\rL|1\rL|1|F\r", "H0 L0 L0", "ASTM-0210@10", true);
    check_deviation(
        "R|1|^^^A|5\rL|1\r",
        "R3 L0",
        "ASTM-0201@0 ASTM-0212@0",
        false,
    );
    check_deviation("H|\\^&\rO|1\rL|1\r", "H0 O2 L0", "ASTM-0211@6", true);
}

#[test]
fn several_messages_in_one_buffer_keep_their_own_delimiters() {
    let text = "H|\\^&\rP|1|a^b\rL|1\rH!@$%\rP!1!a$b\rL!1\r";
    let message = clean(text);
    assert_eq!(message.records()[1].field(3).component(2).raw(), b"b");
    assert_eq!(message.records()[4].field(3).component(2).raw(), b"b");
    assert_eq!(message.records()[4].place().header, Some(3));
}

#[test]
fn wrong_sequence_numbers_are_only_noted() {
    check_deviation(
        "H|\\^&\rP|16\rO|2\rR|73\rR|2\rC||I\rL|16|N\r",
        "H0 P1 O2 R3 R3 C4 L0",
        "ASTM-0213@8 ASTM-0213@13 ASTM-0213@17 ASTM-0213@26 ASTM-0213@31",
        true,
    );
}

#[test]
fn unusable_delimiters_leave_the_message_uninterpreted() {
    for header in ["H|\\\\^&", "H|\\^", "H|a^&|x", "H|\\^&#|x", "H"] {
        let text = format!("{header}\rP|1\rR|1|a|5\rL|1\r");
        let (message, notes) = Message::parse(text.as_bytes());
        assert_eq!(message.refused(), Some(notes::DELIMITERS), "{header}");
        assert!(notes.contains(&notes::DELIMITERS));
        assert!(!message.is_complete());
        assert_eq!(message.records().len(), 4);
        let record = &message.records()[2];
        assert_eq!(record.field(1).raw(), b"R|1|a|5");
        assert!(record.field(2).is_null() && record.field(4).is_null());
        check_no_byte_is_lost(&message);
    }
}

#[test]
fn a_message_over_a_limit_is_refused_whole() {
    let limits = Limits {
        message_bytes: 200,
        record_bytes: 60,
        records: 5,
        fields: 12,
        repeats: 6,
        components: 8,
    };
    let end = "P|1\rL|1\r";
    for (text, note) in [
        (
            format!("H|\\^&\r{}", "P|1\r".repeat(60)),
            notes::MESSAGE_TOO_LONG,
        ),
        (
            format!("H|\\^&\rC|1|I|{}\r{end}", "x".repeat(60)),
            notes::RECORD_TOO_LONG,
        ),
        (
            format!("H|\\^&\r{}{end}", "P|1\r".repeat(8)),
            notes::TOO_MANY_RECORDS,
        ),
        (
            format!("H|\\^&\rO{}\r{end}", "|".repeat(12)),
            notes::TOO_MANY_FIELDS,
        ),
        (
            format!("H|\\^&\rO|1|{}\r{end}", "a\\".repeat(6)),
            notes::TOO_MANY_REPEATS,
        ),
        (
            format!("H|\\^&\rO|1|{}\r{end}", "a^".repeat(8)),
            notes::TOO_MANY_COMPONENTS,
        ),
    ] {
        let (message, notes) = Message::parse_within(text.as_bytes(), limits);
        let refused = message.refused().unwrap();
        assert_eq!(refused.code, note.code, "{text:?}");
        assert!(notes.contains(&refused) && !message.is_complete());
        assert!(!message.unparsed().is_empty());
        check_no_byte_is_lost(&message);
    }
    let fits = format!("H|\\^&\rP{}\rL|1\r", "|".repeat(11));
    assert!(
        Message::parse_within(fits.as_bytes(), limits)
            .0
            .refused()
            .is_none()
    );
}

#[test]
fn notes_are_bounded() {
    let text = format!("H|\\^&\r{}", "X|1\r".repeat(10_000));
    let (message, notes) = Message::parse(text.as_bytes());
    assert_eq!(message.records().len(), 10_001);
    assert_eq!(notes.len(), limits::NOTES_MAX + 1);
    assert_eq!(notes.last().unwrap().code, notes::MORE_NOTES.code);
    let headers = "H\r".repeat(10_000);
    assert!(Message::parse(headers.as_bytes()).1.len() <= limits::NOTES_MAX + 2);
}

#[test]
fn null_and_delete_are_different() {
    check_record(HEADER, "P|1|\"\"||", &[("P.3", "\"\"")]);
    let (message, _) = Message::parse(b"H|\\^&\rP|1|\"\"|\r");
    let patient = &message.records()[1];
    assert!(patient.field(3).is_delete() && !patient.field(3).is_null());
    assert!(patient.field(4).is_null() && patient.field(5).is_null() && patient.field(0).is_null());
    assert!(!patient.field(4).is_delete());
}

#[test]
fn text_is_split_then_unescaped_then_decoded() {
    let (message, _) = Message::parse(b"H|\\^&\rC|1|I|5 &XB5&l&F&\xB5^R&E&D|G\r");
    let comment = message.records()[1].field(4);
    let text = |n| {
        comment
            .component(n)
            .text(Charset::Latin1)
            .unwrap()
            .0
            .into_owned()
    };
    assert_eq!((text(1).as_str(), text(2).as_str()), ("5 µl|µ", "R&D"));
    assert_eq!(comment.component(1).text(Charset::Utf8).unwrap_err().at, 2);
}

#[test]
fn spans_point_at_the_bytes_as_sent() {
    let text = b"H|\\^&\rP|1\rO|1|a\\b^c\rL|1\r";
    let (message, _) = Message::parse(text);
    let field = message.records()[2].field(3);
    assert_eq!(&text[field.span()], b"a\\b^c");
    assert_eq!(&text[field.repeat(2).span()], b"b^c");
    assert_eq!(&text[field.repeat(2).component(2).span()], b"c");
    let spans: Vec<_> = field
        .repeats()
        .flat_map(|r| r.components())
        .map(|c| c.span())
        .collect();
    assert_eq!(
        spans.iter().map(|s| &text[s.clone()]).collect::<Vec<_>>(),
        [b"a", b"b", b"c"]
    );
    assert!(field.repeat(3).is_null() && field.repeat(0).is_null());
}

/// The typed view and the lazy field must agree on every record, whatever its bytes.
fn check_views_agree(record: &Record<'_>) {
    let fields: Vec<_> = record.fields().collect();
    for (i, field) in fields.iter().enumerate() {
        assert_eq!(record.field(i + 1), *field);
    }
    assert!(record.field(fields.len() + 1).is_null());
    if let View::Patient(view) = record.view() {
        assert_eq!(view.dosage_category(), record.field(35));
        assert_eq!(view.sequence(), record.field(2));
    }
    if let View::Result(view) = record.view() {
        assert_eq!(view.value(), record.field(4));
        assert_eq!(view.instrument(), record.field(14));
    }
    if let View::Header(view) = record.view() {
        assert_eq!(view.sender(), record.field(5));
        assert_eq!(view.delimiters(), record.field(2));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_lose_nothing(bytes: Vec<u8>) {
        let (message, _) = Message::parse(&bytes);
        check_no_byte_is_lost(&message);
        message.records().iter().for_each(check_views_agree);
    }

    #[test]
    fn messages_of_hostile_shape_never_panic_and_lose_nothing(
        text in "(H[|!][\\\\@][^$][&%])?([|!]?[ \r\n\u{0}]{0,3}[HPORCQLSMx]?[|!]?[0-3]?([|!^\\\\&]{0,5}[aX41\"]{0,3}){0,9}){0,12}",
    ) {
        let (message, _) = Message::parse(text.as_bytes());
        check_no_byte_is_lost(&message);
        message.records().iter().for_each(check_views_agree);
        for (index, record) in message.walk() {
            prop_assert!(message.children(index).all(|(_, c)| c.place().parent == Some(index)));
            for field in record.fields() {
                let joined = field.repeats().map(|r| {
                    r.components().map(|c| c.raw().to_vec()).collect::<Vec<_>>()
                });
                let d = record.delimiters();
                let joined: Vec<_> = joined.map(|r| r.join(&d.component())).collect();
                prop_assert_eq!(joined.join(&d.repeat()), field.raw());
                prop_assert!(field.text(Charset::Latin1).is_ok());
            }
        }
    }
}

#[test]
fn every_prefix_of_a_message_reads_without_loss() {
    let text = joined(&LEVELS).replace('\r', "\r\n") + &joined(&[DXH, "Q|1|!1!&X41&", "L|1|N"]);
    for end in 0..=text.len() {
        let (message, _) = Message::parse(&text.as_bytes()[..end]);
        check_no_byte_is_lost(&message);
        message.records().iter().for_each(check_views_agree);
    }
}
