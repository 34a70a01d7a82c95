//! Messages out: what is written is read back the same, and what does not fit is not written.

use proptest::prelude::*;

use super::{RESULT, message};
use crate::{
    dimension::{
        Dialect, DialectError, Layout, Message, WriteError, Writer,
        message::{Action, Verdict},
        read,
        writer::{ACCEPT, NO_REQUEST, OrderText, ResultsText, TestText},
    },
    transcript::shown,
};

const ORDER: OrderText<'_> = OrderText {
    action: Action::Add,
    patient: b"TEST PATIENT             ",
    sample_id: b"00112028",
    sample_type: b"2",
    location: b"",
    priority: b"0",
    dilution: b"1",
    tests: &[b"GLUC"],
};

const RESULTS: ResultsText<'_> = ResultsText {
    carrier: b"0",
    patient: b"TEST PATIENT             ",
    sample_id: b"00112028",
    sample_type: b"2",
    location: b"",
    priority: b"0",
    completed_at: b"433910270718",
    dilution: b"1",
    tests: &[TestText {
        test: b"GLUC",
        value: b"93",
        units: b"mg/dL",
        error: b"",
    }],
};

fn writer() -> Writer {
    Writer::new(&Layout::default())
}

#[test]
fn the_printed_messages_are_written() {
    let order = writer().order(&ORDER).expect("it fits");
    let printed = "D|0|0|A|TEST PATIENT             |00112028|2||0|1|**|1|1|GLUC";
    assert_eq!(shown(&order), shown(&message(printed)));
    let results = writer().results(&RESULTS).expect("it fits");
    assert_eq!(shown(&results), shown(&message(RESULT)));
    let poll = writer().poll(b"DIM1", true, true).expect("it fits");
    assert_eq!(shown(&poll), shown(&message("P|DIM1|1|1|0")));
    let query = writer().query(b"00112028").expect("it fits");
    assert_eq!(shown(&query), shown(&message("I|00112028")));
    let accept = writer().verdict(Verdict::Accepted, b"").expect("it fits");
    assert_eq!(accept, ACCEPT);
    assert_eq!(shown(&accept), shown(&message("M|A|")));
    let reject = writer().verdict(Verdict::Rejected, b"5").expect("it fits");
    assert_eq!(shown(&reject), shown(&message("M|R|5")));
    assert_eq!(writer().no_request(), NO_REQUEST);
    let placed = writer()
        .acceptance(Verdict::Accepted, b"", &[b"", b"", b"42"])
        .expect("it fits");
    assert_eq!(shown(&placed), shown(&message("M|A||||42")));
}

#[test]
fn what_does_not_fit_is_refused_and_never_cut() {
    let too_long = |field, max, length| WriteError::TooLong { field, max, length };
    let order = |order: OrderText<'_>| writer().order(&order).expect_err("refused");
    for (wrong, error) in [
        (
            OrderText {
                sample_id: b"0011202800112",
                ..ORDER
            },
            too_long("sample_id", 12, 13),
        ),
        (
            OrderText {
                sample_id: b"  ",
                ..ORDER
            },
            WriteError::Missing { field: "sample_id" },
        ),
        (
            OrderText {
                patient: &[b'A'; 28],
                ..ORDER
            },
            too_long("patient", 27, 28),
        ),
        (
            OrderText {
                patient: b"A\x1cB",
                ..ORDER
            },
            WriteError::Control { field: "patient" },
        ),
        (
            OrderText {
                sample_type: b"S",
                ..ORDER
            },
            WriteError::NotDigits {
                field: "sample_type",
            },
        ),
        (
            OrderText {
                tests: &[],
                ..ORDER
            },
            WriteError::Missing { field: "tests" },
        ),
        (
            OrderText {
                tests: &[b""],
                ..ORDER
            },
            WriteError::Missing { field: "test" },
        ),
        (
            OrderText {
                tests: &[&b"NA"[..]; 65],
                ..ORDER
            },
            WriteError::TooManyTests { tests: 65, max: 64 },
        ),
    ] {
        assert_eq!(order(wrong), error);
    }
}

#[test]
fn results_without_a_value_or_a_time_and_words_without_a_reason_are_refused() {
    let results = |results: ResultsText<'_>| writer().results(&results).expect_err("refused");
    let nothing = [TestText {
        test: b"NA",
        ..TestText::default()
    }];
    assert_eq!(
        results(ResultsText {
            tests: &nothing,
            ..RESULTS
        }),
        WriteError::Missing { field: "value" }
    );
    assert_eq!(
        results(ResultsText {
            completed_at: b"4339102707",
            ..RESULTS
        }),
        WriteError::TooLong {
            field: "completed_at",
            max: 12,
            length: 10,
        }
    );
    let reasonless = writer()
        .verdict(Verdict::Rejected, b"")
        .expect_err("refused");
    assert_eq!(reasonless, WriteError::Missing { field: "reason" });
    let nameless = writer().query(b"").expect_err("refused");
    assert_eq!(nameless, WriteError::Missing { field: "sample_id" });
}

#[test]
fn dialects_that_cannot_work_are_refused() {
    assert_eq!(Dialect::default().check(), Ok(()));
    assert_eq!(Dialect::instrument().check(), Ok(()));
    type Change = fn(&mut Dialect);
    let changes: [(Change, DialectError); 4] = [
        (
            |d| d.sends_max = 0,
            DialectError::Zero { name: "sends_max" },
        ),
        (
            |d| d.layout.sample_id_max = 0,
            DialectError::Zero {
                name: "layout.sample_id_max",
            },
        ),
        (
            |d| d.limits.message = 600,
            DialectError::Limits { needed: 661 },
        ),
        (
            |d| d.layout.cup_position = *b"*\x1c",
            DialectError::CupPosition,
        ),
    ];
    for (change, error) in changes {
        let mut dialect = Dialect::default();
        change(&mut dialect);
        assert_eq!(dialect.check(), Err(error));
    }
}

fn text(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => b'!'..=b'~', 1 => 0xA0..=0xFF_u8];
    prop::collection::vec(byte, 1..=max)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_the_same(
        patient in text(27),
        sample_id in text(12),
        location in text(6),
        number in "[0-9]{1,4}",
        tests in prop::collection::vec((text(8), text(16), text(16), "[0-9]{0,2}"), 1..64),
        is_delete in any::<bool>(),
    ) {
        let layout = Layout::default();
        let number = number.as_bytes();
        let codes: Vec<&[u8]> = tests.iter().map(|(code, ..)| &code[..]).collect();
        let action = if is_delete { Action::Delete } else { Action::Add };
        let written = writer().order(&OrderText {
            action,
            patient: &patient,
            sample_id: &sample_id,
            sample_type: number,
            location: &location,
            priority: number,
            dilution: number,
            tests: &codes,
        }).expect("it fits");
        let (message, notes) = read(&written, &layout).expect("it is a message");
        prop_assert!(notes.is_empty());
        let Message::Order(order) = message else { panic!("an order") };
        prop_assert_eq!(order.action, action);
        prop_assert_eq!(order.patient.raw(), &patient[..]);
        prop_assert_eq!(order.sample_id.raw(), &sample_id[..]);
        prop_assert_eq!(order.location.raw(), &location[..]);
        prop_assert_eq!(order.dilution.raw(), number);
        let read_back: Vec<&[u8]> = order.tests.iter().map(|test| test.raw()).collect();
        prop_assert_eq!(read_back, codes);

        let texts: Vec<_> = tests.iter().map(|(test, value, units, error)| TestText {
            test,
            value,
            units,
            error: error.as_bytes(),
        }).collect();
        let written = writer().results(&ResultsText {
            patient: &patient,
            sample_id: &sample_id,
            location: &location,
            tests: &texts,
            ..RESULTS
        }).expect("it fits");
        let (message, notes) = read(&written, &layout).expect("it is a message");
        prop_assert!(notes.is_empty());
        let Message::Results(results) = message else { panic!("results") };
        prop_assert_eq!(results.sample_id.raw(), &sample_id[..]);
        let read_back: Vec<_> = results.tests.iter().map(|test| TestText {
            test: test.test.raw(),
            value: test.value.raw(),
            units: test.units.raw(),
            error: test.error.raw(),
        }).collect();
        prop_assert_eq!(read_back, texts);
    }
}
