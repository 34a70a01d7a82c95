//! Orders for devices.

use std::collections::BTreeMap;

use super::{line, line_of, profile};
use crate::{
    model::{Priority, Private, Query, QueryAction, QuerySubject, Sex, SpecimenRead},
    profile::{
        LineProfile, LineSettings,
        answer::{AnswerError, OrderAction, OrderForDevice, Stamp, answer, cancel, download},
    },
};

fn stamp() -> Stamp {
    Stamp {
        now: "20250115101501".to_owned(),
        offset: "+0700".to_owned(),
        control_id: "LW1".to_owned(),
    }
}

fn order(specimen: &str, tests: &[&str]) -> OrderForDevice {
    OrderForDevice {
        specimen: specimen.to_owned(),
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        patient_id: Private::new("0012345".to_owned()),
        family: Private::new("NGUYỄN".to_owned()),
        given: Private::new("VĂN A".to_owned()),
        birth: Private::new("19800312".to_owned()),
        sex: Some(Sex::M),
        priority: Priority::Stat,
        collected: "20250115094000".to_owned(),
        specimen_type: "SER".to_owned(),
        ..OrderForDevice::default()
    }
}

fn query(ids: &[&str]) -> Query {
    let tube = |id: &&str| SpecimenRead {
        sent: (*id).to_owned(),
        id: (*id).to_owned(),
        rack: String::new(),
        position: String::new(),
    };
    Query {
        subject: QuerySubject::Specimens(ids.iter().map(tube).collect()),
        action: QueryAction::Ask,
        echo: vec![("sender".to_owned(), "DEV^1".to_owned())],
        codes: Vec::new(),
    }
}

#[track_caller]
fn check(written: Result<Vec<Vec<u8>>, AnswerError>, expected: &[&str]) {
    let written: Vec<String> = written
        .expect("written")
        .into_iter()
        .map(|message| message.iter().map(|byte| char::from(*byte)).collect())
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn each_tube_of_a_query_gets_its_own_patient_and_order() {
    let orders = [
        order("26", &["A", "B"]),
        order("25", &["A"]),
        order("99", &["A"]),
    ];
    check(
        answer(
            &line("generic/astm"),
            &query(&["25", "24", "26"]),
            &orders,
            &stamp(),
        ),
        &["H|\\^&|||Labwire|||||DEV^1||P|LIS2-A2|20250115101501\r\
         P|1|0012345|||NGUYEN^VAN A||19800312|M\r\
         O|1|25||^^^A|S|20250115094000|||||N||||SER||||||||||Q\r\
         P|2|0012345|||NGUYEN^VAN A||19800312|M\r\
         O|1|26||^^^A\\^^^B|S|20250115094000|||||N||||SER||||||||||Q\r\
         L|1|F\r"],
    );
}

#[test]
fn everything_open_is_answered_with_all_orders() {
    let all = Query {
        subject: QuerySubject::All,
        ..query(&[])
    };
    let written = answer(
        &line("generic/astm"),
        &all,
        &[order("25", &["A"]), order("26", &["B"])],
        &stamp(),
    );
    let text = String::from_utf8(written.expect("written").concat()).expect("ASCII");
    assert!(
        text.contains("O|1|25||^^^A") && text.contains("O|1|26||^^^B"),
        "{text}"
    );
}

#[test]
fn no_order_is_said_in_the_way_of_the_device() {
    let empty = order("25", &[]);
    check(
        answer(&line("generic/astm"), &query(&["25"]), &[empty], &stamp()),
        &["H|\\^&|||Labwire|||||DEV^1||P|LIS2-A2|20250115101501\rL|1|I\r"],
    );
    let silent = "[device]\nprotocol = \"astm\"\n[specimen]\nid = \"O.3\"\n[result]\ncode = \"R.3\"\n\
                  value = \"R.4\"\n[answer]\nform = \"records\"\n[answer.negative]\nstyle = \"silent\"\n";
    check(
        answer(&line_of(silent), &query(&["25"]), &[], &stamp()),
        &[],
    );
}

#[test]
fn a_withdrawn_query_is_not_answered() {
    let withdrawn = Query {
        action: QueryAction::Cancel,
        ..query(&["25"])
    };
    check(
        answer(
            &line("generic/astm"),
            &withdrawn,
            &[order("25", &["A"])],
            &stamp(),
        ),
        &[],
    );
}

#[test]
fn an_id_that_is_too_long_is_refused_never_cut() {
    let long = "1234567890123456";
    let refused = answer(
        &line("beckman/access2"),
        &query(&[long]),
        &[order(long, &["TSH"])],
        &stamp(),
    );
    assert_eq!(
        refused,
        Err(AnswerError::IdTooLong {
            length: 16,
            max: 15
        })
    );
    let refused = download(&line("beckman/access2"), &[order(long, &["TSH"])], &stamp());
    assert_eq!(
        refused,
        Err(AnswerError::IdTooLong {
            length: 16,
            max: 15
        })
    );
}

#[test]
fn delimiters_and_controls_in_an_order_are_escaped() {
    let odd = OrderForDevice {
        specimen_type: "a|b\\c\rL|1".to_owned(),
        ..order("2^5", &["A"])
    };
    let written = download(&line("generic/astm"), &[odd], &stamp())
        .expect("written")
        .concat();
    let text = String::from_utf8(written).expect("ASCII");
    assert!(
        text.contains("|2&S&5|") && text.contains("|a&F&b&R&c&X0D&L&F&1|"),
        "{text}"
    );
    assert_eq!(text.matches('\r').count(), 4);
}

#[test]
fn an_id_outside_the_character_set_is_refused_and_a_name_loses_its_marks() {
    let odd = order("25ộ", &["A"]);
    let refused = answer(&line("generic/astm"), &query(&["25ộ"]), &[odd], &stamp());
    assert!(matches!(&refused, Err(AnswerError::Unencodable { what, .. }) if what == "specimen"));
    assert!(
        !format!("{refused:?}").contains("25ộ"),
        "an id stays out of errors"
    );
    let refused = answer(&line("horiba/yumizen-h500"), &query(&["25"]), &[], &stamp());
    assert!(matches!(refused, Err(AnswerError::NoForm { .. })));
}

#[test]
fn downloads_and_cancels_use_their_own_codes() {
    check(
        download(&line("roche/cobas-e411"), &[order("25", &["10"])], &stamp()),
        &["H|\\^&|||host||||||TSDWN^BATCH|P|1\rP|1|||||||M\r\
         O|1|25||^^^10^|S||||||A||||1||||||||||O\rL|1|N\r"],
    );
    check(
        cancel(&line("beckman/access2"), &[order("25", &["TSH"])], &stamp()),
        &["H|\\^&|||LIS|||||||P|1|20250115101501\rP|1|0012345\r\
         O|1|25||^^^TSH|S||||||C||||Serum\rL|1|N\r"],
    );
    let add = OrderForDevice {
        action: OrderAction::Add,
        ..order("25", &["A"])
    };
    let written = download(&line("generic/astm"), &[add], &stamp())
        .expect("written")
        .concat();
    assert!(
        String::from_utf8(written)
            .expect("ASCII")
            .contains("|||||A||||SER||||||||||O\r")
    );
    let none = cancel(&line("roche/cobas-e411"), &[order("25", &["10"])], &stamp());
    assert!(matches!(none, Err(AnswerError::NoCancel { .. })));
    let none = download(&line("generic/astm"), &[order("25", &[])], &stamp());
    assert_eq!(none, Err(AnswerError::NoTest));
    let none = download(&line("sysmex/xn"), &[order("25", &["WBC"])], &stamp());
    assert!(matches!(none, Err(AnswerError::NoForm { .. })));
}

#[test]
fn a_test_is_ordered_by_the_codes_of_site_and_profile() {
    let mapped = |tests: &[(&str, &str)]| -> LineProfile {
        let tests = tests
            .iter()
            .map(|(code, test)| ((*code).to_owned(), (*test).to_owned()));
        profile("sysmex/xn").for_line(LineSettings {
            tests: tests.collect::<BTreeMap<_, _>>(),
            ..LineSettings::default()
        })
    };
    assert_eq!(mapped(&[]).codes_of("WBC"), ["WBC"]);
    assert_eq!(mapped(&[("W2", "WBC")]).codes_of("WBC"), ["W2", "WBC"]);
    assert_eq!(mapped(&[("WBC", "OTHER")]).codes_of("WBC"), [""; 0]);
    assert_eq!(mapped(&[]).codes_of("TSH"), [""; 0]);
    assert_eq!(line("mindray/bc-5000").codes_of("NEUT"), ["CBC+DIFF"]);
    assert_eq!(line("cepheid/genexpert").codes_of("RIF"), [""; 0]);
}

#[test]
fn a_chemistry_query_is_answered_by_a_receipt_and_display_lines() {
    let text = "[device]\nprotocol = \"hl7\"\n[specimen]\nid = \"OBR-2\"\n[result]\ncode = \"OBX-3\"\n\
                value = \"OBX-5\"\n[answer]\nform = \"qck-dsr\"\nmsh = { 12 = \"2.3.1\" }\n";
    let sent = "MSH|^~\\&|BS-480|LAB|||20250115101459||QRY^Q02|8|P|2.3.1\r\
                QRD|20250115|R|D|1|||RD|25|OTH|||T\r";
    let echo = vec![("message".to_owned(), sent.to_owned())];
    let asked = Query {
        echo,
        ..query(&["25"])
    };
    check(
        answer(&line_of(text), &asked, &[], &stamp()),
        &[
            "MSH|^~\\&|||BS-480|LAB|20250115101501||QCK^Q02|LW1|P|2.3.1\r\
         MSA|AA|8\rQAK|SR|NF\r",
        ],
    );
    let written = answer(
        &line_of(text),
        &asked,
        &[order("25", &["1", "2"])],
        &stamp(),
    );
    let written = written.expect("written");
    let shown: Vec<String> = written
        .iter()
        .map(|bytes| String::from_utf8(bytes.clone()).expect("UTF-8"))
        .collect();
    insta::assert_snapshot!(shown.join("\n").replace('\r', "\n"));
}

/// The answer to a query for one tube, as text.
pub(super) fn answered(line: &LineProfile, specimen: &str, tests: &[&str]) -> String {
    let written = answer(
        line,
        &query(&[specimen]),
        &[order(specimen, tests)],
        &stamp(),
    );
    let bytes = written.expect("written").concat();
    String::from_utf8(bytes).expect("ASCII tests and ids")
}

#[test]
fn law_takes_orders_and_cancels_under_the_numbers_of_its_steps() {
    let line = profile("generic/law").for_line(LineSettings {
        line: "line-1".to_owned(),
        ..LineSettings::default()
    });
    let tube = OrderForDevice {
        numbers: vec!["N1".to_owned()],
        ..order("25", &["A&B", "C"])
    };
    let msh = "MSH|^~\\&|LABWIRE||||20250115101501+0700||OML^O33^OML_O33|LW1|P|2.5.1|||NE|AL\
               ||UNICODE UTF-8|||LAB-28^IHE\r";
    let head = "PID|1||0012345||NGUY\u{1ec4}N^V\u{102}N A||19800312|M\r\
                SPM|1|25||SER^^HL70487|||||||P^Patient^HL70369||||||20250115094000\rSAC|||25\r";
    let new = |number: &str, code: &str| {
        format!(
            "ORC|NW||||||||20250115101501\rTQ1|1||||||||S^Stat^HL70485\r\
             OBR||{number}||{code}^^99LAB\rTCD|{code}^^99LAB\r"
        )
    };
    let written = |messages: Result<Vec<Vec<u8>>, AnswerError>| {
        let messages = messages.expect("written").into_iter();
        let text = |message| String::from_utf8(message).expect("UTF-8");
        messages.map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        written(download(&line, std::slice::from_ref(&tube), &stamp())),
        [format!(
            "{msh}{head}{}{}",
            new("N1", "A\\T\\B"),
            new("LW1-2", "C")
        )]
    );
    // What was never told has no number to be taken back by.
    let cancelled = cancel(&line, std::slice::from_ref(&tube), &stamp());
    assert_eq!(cancelled, Err(AnswerError::NoNumber));
    let one = OrderForDevice {
        tests: vec!["C".to_owned()],
        ..tube
    };
    assert_eq!(
        written(cancel(&line, &[one], &stamp())),
        [format!(
            "{msh}{head}ORC|CA||||||||20250115101501\rOBR||N1||C^^99LAB\rTCD|C^^99LAB\r"
        )]
    );
    let nothing = download(&line, &[order("25", &[])], &stamp());
    assert_eq!(nothing, Err(AnswerError::NoTest));
    let unasked = answer(&line, &query(&["25"]), &[], &stamp());
    assert_eq!(unasked, Err(AnswerError::NoQuery));
}

#[test]
fn law_is_answered_with_the_modes_and_names_that_the_profile_says() {
    let text = profile("generic/law").file.inner().replace(
        "form = \"law\"",
        "form = \"law\"\nmsh = { 3 = \"HOST\", 5 = \"AM^1\", 15 = \"AL\", 16 = \"AL\", 21 = \"LAB-28R^X\" }",
    );
    let line = line_of(&text);
    let written = download(&line, &[order("25", &["A"])], &stamp()).expect("written");
    let text = String::from_utf8(written.concat()).expect("UTF-8");
    let (msh, _) = text.split_once('\r').expect("segments");
    assert_eq!(
        msh,
        "MSH|^~\\&|HOST||AM^1||20250115101501+0700||OML^O33^OML_O33|LW1|P|2.5.1|||AL|AL\
         ||UNICODE UTF-8|||LAB-28R^X"
    );
}

#[test]
fn a_code_that_the_site_maps_is_ordered_as_its_profile_says() {
    let line = profile("mindray/bc-5000").for_line(LineSettings {
        has_own_tests_alone: true,
        tests: BTreeMap::from([("WBC".to_owned(), "BC".to_owned())]),
        ..LineSettings::default()
    });
    assert_eq!(line.codes_of("BC"), ["CBC"]);
}
