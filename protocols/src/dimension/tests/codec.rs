//! Messages as views: every field where it belongs, as sent.

use std::ops::Range;

use proptest::prelude::*;

use super::{RESULT, message};
use crate::{
    dimension::{
        Field, Layout, Message, ReadError,
        message::{Action, Completed, Control, Verdict},
        read,
    },
    wire::Note,
};

/// Reads a message and gives what `look` sees in it.
fn seen<T>(text: &str, look: impl FnOnce(&Message<'_>) -> T) -> T {
    let bytes = message(text);
    let (message, notes) = read(&bytes, &Layout::default()).expect("it is a message");
    assert_eq!(notes, [], "{text}");
    look(&message)
}

fn refused(text: &str) -> ReadError {
    read(&message(text), &Layout::default()).expect_err("refused")
}

fn at(field: Field<'_>) -> (Range<usize>, String) {
    let text = String::from_utf8(field.raw().to_vec()).expect("ASCII");
    (field.span(), text)
}

fn texts(fields: &[Field<'_>]) -> Vec<String> {
    fields.iter().map(|field| at(*field).1).collect()
}

#[test]
fn a_poll_names_its_instrument_and_says_what_it_takes() {
    seen("P|DIM1|1|0|0", |message| {
        let Message::Poll(poll) = message else {
            panic!("a poll")
        };
        assert_eq!(at(poll.instrument), (2..6, "DIM1".to_owned()));
        assert_eq!(at(poll.first), (7..8, "1".to_owned()));
        assert_eq!(at(poll.takes_orders), (9..10, "0".to_owned()));
        assert_eq!(at(poll.last), (11..12, "0".to_owned()));
    });
    assert!(seen("N", |message| *message == Message::NoRequest));
}

#[test]
fn a_query_names_its_sample() {
    seen("I|  0042 ", |message| {
        let Message::Query(query) = message else {
            panic!("a query")
        };
        assert_eq!(query.sample_id.raw(), b"  0042 ");
        assert_eq!(query.sample_id.unpadded(), b"0042");
    });
}

#[test]
fn an_order_lists_its_tests() {
    let text = "D|0|0|A|TEST PATIENT             |00112028|2||0|1|**|1|2|GLUC|NA";
    seen(text, |message| {
        let Message::Order(order) = message else {
            panic!("an order")
        };
        assert_eq!(order.action, Action::Add);
        assert_eq!(order.patient.raw(), b"TEST PATIENT             ");
        assert_eq!(at(order.sample_id), (34..42, "00112028".to_owned()));
        assert_eq!(order.sample_type.raw(), b"2");
        assert!(order.location.is_blank());
        assert_eq!(order.cup_position.raw(), b"**");
        assert_eq!(texts(&order.tests), ["GLUC", "NA"]);
    });
}

#[test]
fn a_result_has_its_value_and_error_as_sent() {
    seen(RESULT, |message| {
        let Message::Results(results) = message else {
            panic!("results")
        };
        assert_eq!(results.patient.raw(), b"TEST PATIENT             ");
        assert_eq!(results.sample_id.raw(), b"00112028");
        let completed = Completed {
            year: 18,
            month: 7,
            day: 27,
            hour: 10,
            minute: 39,
            second: 43,
        };
        assert_eq!(results.completed(), Some(completed));
        assert_eq!(results.control(), Control::No);
        let [test] = results.tests[..] else {
            panic!("one test")
        };
        assert_eq!(at(test.test), (63..67, "GLUC".to_owned()));
        assert_eq!(at(test.value), (68..70, "93".to_owned()));
        assert_eq!(test.units.raw(), b"mg/dL");
        assert!(test.error.is_blank());
    });
}

/// An empty value with an error means that there is none; an error beside a value is a flag.
#[test]
fn errors_stand_beside_values_or_in_their_place() {
    let text = "R|*|A||1||0|303220170718|1|1|3|NA||mmol/L|9|K|4.2|mmol/L|2|CL|101|mmol/L|";
    seen(text, |message| {
        let Message::Results(results) = message else {
            panic!("results")
        };
        assert!(results.sample_id.is_blank());
        let tests: Vec<_> = results
            .tests
            .iter()
            .map(|test| (at(test.value).1, at(test.error).1))
            .collect();
        let expected = [("", "9"), ("4.2", "2"), ("101", "")];
        assert_eq!(
            tests,
            expected.map(|(value, error)| (value.to_owned(), error.to_owned()))
        );
    });
}

#[test]
fn a_control_is_told_by_type_and_priority_and_doubted_by_one_of_them() {
    let result = |kind: &str, priority: &str| {
        format!("R|*|A|7|{kind}||{priority}|433910270718|1|1|1|NA|139|mmol/L|")
    };
    for (kind, priority, expected) in [
        ("1", "0", Control::No),
        ("4", "1", Control::No),
        ("6", "3", Control::Yes),
        ("5", "3", Control::Yes),
        ("5", "0", Control::Doubtful),
        ("1", "3", Control::Doubtful),
        ("", "", Control::No),
    ] {
        seen(&result(kind, priority), |message| {
            let Message::Results(results) = message else {
                panic!("results")
            };
            assert_eq!(results.control(), expected, "{kind} {priority}");
        });
    }
}

#[test]
fn an_acceptance_says_why_not_and_what_else() {
    for (text, verdict, reason, rest) in [
        ("M|A|", Verdict::Accepted, "", vec![]),
        ("M|R|5", Verdict::Rejected, "5", vec![]),
        ("M|A||||42", Verdict::Accepted, "", vec!["", "", "42"]),
    ] {
        seen(text, |message| {
            let Message::Acceptance(acceptance) = message else {
                panic!("an acceptance")
            };
            assert_eq!(acceptance.verdict, verdict);
            assert_eq!(at(acceptance.reason).1, reason);
            assert_eq!(texts(&acceptance.rest), rest);
        });
    }
}

#[test]
fn a_calibration_has_its_levels() {
    let text =
        "C|GLUC|mg/dL|LOT1|CHEM I|LOT2|OP|433910270718|1|0|2|0.5|1.5|2|100|2|99|101|200|1|199";
    seen(text, |message| {
        let Message::Calibration(calibration) = message else {
            panic!("a calibration")
        };
        assert_eq!(calibration.product.raw(), b"CHEM I");
        assert_eq!(texts(&calibration.coefficients), ["0.5", "1.5"]);
        let levels: Vec<_> = calibration
            .levels
            .iter()
            .map(|level| (at(level.bottle).1, texts(&level.values)))
            .collect();
        let expected = [("100", vec!["99", "101"]), ("200", vec!["199"])];
        assert_eq!(
            levels,
            expected.map(|(bottle, values)| (
                bottle.to_owned(),
                values.into_iter().map(str::to_owned).collect()
            ))
        );
    });
}

#[test]
fn levels_that_do_not_fit_their_counts_are_kept_unread() {
    for tail in ["", "|2|100|2|99|101|200|2|199", "|1|100|1|99|7", "|x"] {
        let text = format!("C|GLUC|mg/dL|LOT1|CHEM|LOT2|OP|433910270718|1|0|1|0.5{tail}");
        let bytes = message(&text);
        let (read, notes) = read(&bytes, &Layout::default()).expect("it is a message");
        let Message::Calibration(calibration) = read else {
            panic!("a calibration")
        };
        assert!(calibration.levels.is_empty(), "{tail}");
        assert_eq!(calibration.rest.len(), tail.matches('|').count());
        let codes: Vec<_> = notes.iter().map(|note: &Note| note.code).collect();
        assert_eq!(codes, ["DIM-0201"], "{tail}");
    }
}

#[test]
fn what_is_no_time_is_none_with_a_note() {
    for time in [
        "",
        "603910270718",
        "433924270718",
        "433910320718",
        "433910271318",
        "4339102707",
    ] {
        let text = format!("R|*|A|7|1||0|{time}|1|1|1|NA|139|mmol/L|");
        let bytes = message(&text);
        let (read, notes) = read(&bytes, &Layout::default()).expect("it is a message");
        let Message::Results(results) = read else {
            panic!("results")
        };
        assert_eq!(results.completed(), None, "{time}");
        assert_eq!(notes[0].code, "DIM-0202");
        assert_eq!(results.completed_at.raw(), time.as_bytes());
    }
}

#[test]
fn other_letters_keep_their_fields() {
    seen("X|1||2", |message| {
        let Message::Other(fields) = message else {
            panic!("another")
        };
        assert_eq!(texts(fields), ["X", "1", "", "2"]);
    });
}

/// A count that is not true leaves no telling which field is which.
#[test]
fn what_cannot_be_read_safely_is_refused_whole() {
    let head = "R|*|A|7|1||0|433910270718|1|1|";
    for (text, error) in [
        (
            format!("{head}2|NA|139|mmol/L|"),
            ReadError::TestsDiffer { announced: 2 },
        ),
        // More than was announced: the second result is not left away.
        (
            format!("{head}1|NA|139|mmol/L||K|4.2|mmol/L|"),
            ReadError::TestsDiffer { announced: 1 },
        ),
        (
            format!("{head}1|NA|139|mmol/L"),
            ReadError::TestsDiffer { announced: 1 },
        ),
        (
            format!("{head}x|NA|139|mmol/L|"),
            ReadError::Count { field: 11, at: 30 },
        ),
        (format!("{head}|NA"), ReadError::Count { field: 11, at: 30 }),
        (
            "R|*|A".to_owned(),
            ReadError::TooFew {
                fields: 3,
                needed: 11,
            },
        ),
        (
            "I".to_owned(),
            ReadError::TooFew {
                fields: 1,
                needed: 2,
            },
        ),
        (
            "D|0|0|A|A|7|1||0|2|**|**|1|1|NA".to_owned(),
            ReadError::Count { field: 10, at: 17 },
        ),
        (
            "D|0|0|A|A|7|1||0|1|**|1|2|NA".to_owned(),
            ReadError::TestsDiffer { announced: 2 },
        ),
        (
            "D|0|0|B|A|7|1||0|1|**|1|1|NA".to_owned(),
            ReadError::Letter { field: 4, at: 6 },
        ),
        ("M|X|1".to_owned(), ReadError::Letter { field: 2, at: 2 }),
    ] {
        assert_eq!(refused(&text), error, "{text}");
    }
    assert_eq!(read(b"", &Layout::default()), Err(ReadError::Unended));
    assert_eq!(read(b"N", &Layout::default()), Err(ReadError::Unended));
    let many = format!("X{}", "|".repeat(5_000));
    assert_eq!(refused(&many), ReadError::TooMany);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_spans_point_at_what_was_sent(
        letter in prop::sample::select(vec!["P", "N", "I", "D", "M", "R", "C", "X", ""]),
        fields in prop::collection::vec(prop_oneof![
            Just(b"1".to_vec()), Just(b"A".to_vec()), Just(Vec::new()),
            prop::collection::vec(any::<u8>(), 0..6),
        ], 0..40),
        is_ended in any::<bool>(),
    ) {
        let mut message = letter.as_bytes().to_vec();
        for field in &fields {
            message.push(0x1C);
            message.extend_from_slice(field);
        }
        if is_ended {
            message.push(0x1C);
        }
        let fits = |field: &Field<'_>| message.get(field.span()) == Some(field.raw());
        if let Ok((read, _)) = read(&message, &Layout::default()) {
            let all_fit = match &read {
                Message::NoRequest => true,
                Message::Poll(poll) => fits(&poll.instrument) && fits(&poll.last),
                Message::Query(query) => fits(&query.sample_id),
                Message::Order(order) => fits(&order.sample_id) && order.tests.iter().all(fits),
                Message::Acceptance(word) => fits(&word.reason) && word.rest.iter().all(fits),
                Message::Results(results) => fits(&results.sample_id)
                    && results.tests.iter().all(|test| fits(&test.test) && fits(&test.value)
                        && fits(&test.units) && fits(&test.error)),
                Message::Calibration(calibration) => calibration.rest.iter().all(fits)
                    && calibration.coefficients.iter().all(fits),
                Message::Other(fields) => fields.iter().all(fits),
            };
            prop_assert!(all_fit);
        }
    }
}
