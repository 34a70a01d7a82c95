//! Which results open a call, and what later versions do to it.

use super::{merges::merge, *};
use crate::calls::{self, Attempt, Call, Kind, Outcome as Came, Refused, State};

/// Potassium; beyond 6.2 and below 2.8 somebody has to be called.
fn potassium(text: &str) -> Observation {
    Observation {
        value: Value::Quantity {
            comparator: None,
            number: text.parse().expect("a number"),
        },
        unit: "mmol/L".to_owned(),
        ..observation("K", text)
    }
}

const WITH_K: Order = Order {
    tests: &["K", "WBC"],
    ..CBC
};

fn corrected(text: &str) -> Observation {
    Observation {
        status: ResultStatus::Correction,
        ..potassium(text)
    }
}

/// Every call, as `value kind state`, the oldest first.
fn shown(lab: &Lab) -> Vec<String> {
    let all = lab.work(|db| {
        let mut all = calls::open(db, 100)?;
        all.extend(calls::closed(db, i64::MAX, 100)?);
        Ok(all)
    });
    let mut all: Vec<&Call> = all.iter().collect();
    all.sort_by_key(|call| call.id);
    all.iter()
        .map(|call| {
            let (kind, state) = (call.kind.code(), call.state.code());
            format!("{} {kind} {state}", call.value.expose())
        })
        .collect()
}

fn tried(lab: &Lab, call: i64, outcome: Came, is_read_back: bool) -> Result<State, Refused> {
    let attempt = Attempt {
        actor: "lan".to_owned(),
        outcome,
        told_to: "Hoa".to_owned(),
        contact: "điều dưỡng".to_owned(),
        is_read_back,
    };
    let now = lab.now;
    lab.work(move |db| calls::attempt(db, call, &attempt, now))
}

#[test]
fn a_critical_value_opens_a_call_whether_it_is_released_held_or_waits() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(potassium("6.9"));
    lab.result(potassium("4.2"));
    assert_eq!(shown(&lab), ["6.9 critical open"]);
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(held(potassium("2.1"), HoldReason::SuspectFlag));
    assert_eq!(shown(&lab), ["2.1 critical open"]);
    let mut lab = Lab::new();
    lab.result(potassium("6.9"));
    assert_eq!(lab.shown("T1"), "6.9 waiting v1 unknown-specimen\n");
    assert_eq!(shown(&lab), ["6.9 critical open"]);
    lab.order(&WITH_K);
    assert_eq!(lab.shown("T1"), "6.9 released v1\n");
    assert_eq!(
        shown(&lab),
        ["6.9 critical open"],
        "the order opens no second one"
    );
    let nowhere = Observation {
        specimen: None,
        ..potassium("6.9")
    };
    lab.result(nowhere);
    assert_eq!(shown(&lab).len(), 2, "nor does a missing tube hide one");
}

#[test]
fn what_is_sent_again_or_measured_again_with_the_same_value_opens_no_second_call() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result_message("m", vec![potassium("6.9")]);
    lab.result_message("m", vec![potassium("6.9")]);
    lab.result(potassium("6.9"));
    assert_eq!(
        lab.shown("T1"),
        "6.9 released v1\n6.9 repeat v1\n6.9 confirmed v1\n"
    );
    assert_eq!(shown(&lab), ["6.9 critical open"]);
}

#[test]
fn a_control_is_never_called() {
    let mut lab = Lab::new();
    lab.result(Observation {
        kind: ObservationKind::Control,
        ..potassium("6.9")
    });
    assert!(shown(&lab).is_empty());
}

#[test]
fn a_later_version_takes_the_call_over_replaces_it_or_ends_it() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(potassium("6.9"));
    lab.result(corrected("6.9"));
    assert_eq!(shown(&lab), ["6.9 critical open"]);
    let call = lab.work(|db| calls::open(db, 9)).remove(0);
    assert_eq!(call.result, 2, "it is about the newest version");
    lab.result(corrected("7.4"));
    assert_eq!(shown(&lab), ["6.9 critical replaced", "7.4 critical open"]);
    let open = lab.work(|db| calls::open(db, 9)).remove(0);
    assert_eq!(open.before.expose(), "6.9");
    lab.result(corrected("4.2"));
    assert_eq!(
        shown(&lab),
        ["6.9 critical replaced", "7.4 critical ended"],
        "nobody was told, so nobody need hear of it"
    );
    lab.result(corrected("6.6"));
    assert_eq!(
        shown(&lab).last().map(String::as_str),
        Some("6.6 critical open")
    );
}

#[test]
fn whoever_was_told_a_value_that_is_critical_no_longer_hears_of_it() {
    for is_read_back in [true, false] {
        let mut lab = Lab::new();
        lab.order(&WITH_K);
        lab.result(potassium("6.9"));
        tried(&lab, 1, Came::Told, is_read_back).expect("it is open");
        // Another value that nobody has accepted changes nothing.
        lab.result(potassium("4.4"));
        assert_eq!(shown(&lab).len(), 1);
        lab.result(corrected("4.2"));
        let first = if is_read_back { "told" } else { "ended" };
        assert_eq!(
            shown(&lab),
            [
                format!("6.9 critical {first}"),
                "4.2 corrected open".to_owned()
            ]
        );
        let open = lab.work(|db| calls::open(db, 9)).remove(0);
        assert_eq!(
            (open.kind, open.before.expose().as_str()),
            (Kind::Corrected, "6.9")
        );
        // And once more critical: that is what is told now.
        lab.result(corrected("6.8"));
        assert_eq!(
            shown(&lab).split_off(1),
            ["4.2 corrected replaced", "6.8 critical open"]
        );
    }
}

#[test]
fn a_call_is_closed_by_a_read_back_alone_and_once() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(potassium("6.9"));
    assert_eq!(tried(&lab, 1, Came::NoAnswer, false), Ok(State::Open));
    assert_eq!(tried(&lab, 1, Came::Busy, true), Err(Refused::NotTold));
    assert_eq!(tried(&lab, 1, Came::Told, false), Ok(State::Open));
    assert_eq!(shown(&lab), ["6.9 critical open"]);
    let nameless = Attempt {
        actor: "lan".to_owned(),
        outcome: Came::Told,
        told_to: " ".to_owned(),
        contact: String::new(),
        is_read_back: true,
    };
    let now = lab.now;
    let refused = lab.work(move |db| calls::attempt(db, 1, &nameless, now));
    assert_eq!(refused, Err(Refused::NoName));
    lab.now += MINUTE;
    assert_eq!(tried(&lab, 1, Came::Told, true), Ok(State::Told));
    assert_eq!(tried(&lab, 1, Came::Told, true), Err(Refused::Closed));
    assert_eq!(tried(&lab, 7, Came::Told, true), Err(Refused::NotFound));
    let closed = lab.work(|db| calls::of_barcode(db, "T1", 9));
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (closed[0].closed_at, closed[0].closed_by.as_str()),
        (Some(lab.now), "lan")
    );
    let outcomes: Vec<_> = closed[0]
        .attempts
        .iter()
        .map(|one| one.outcome.code())
        .collect();
    assert_eq!(outcomes, ["no-answer", "told", "told"]);
    assert_eq!(closed[0].told().map(|one| one.is_read_back), Some(true));
    let audit = lab.work(|db| crate::audit::of_subject(db, "call:1"));
    let audit: Vec<String> = audit
        .iter()
        .map(|(_, actor, action, detail)| format!("{actor} {action} {detail}"))
        .collect();
    assert_eq!(
        audit,
        [
            "line:xn-1 call-open result:1 critical high",
            "lan call-attempt no-answer: Hoa điều dưỡng",
            "lan call-attempt told, not read back: Hoa điều dưỡng",
            "lan call-attempt told, read back: Hoa điều dưỡng",
        ],
        "no value and no patient"
    );
}

#[test]
fn a_call_is_escalated_by_the_clock_and_stands_first() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(potassium("6.9"));
    let opened_at = lab.now;
    let counts = |lab: &Lab| {
        let now = lab.now;
        let counts = lab.work(move |db| calls::counts(db, now, 30 * MINUTE));
        (counts.open, counts.escalated, counts.oldest_at)
    };
    lab.now += 30 * MINUTE - 1;
    assert_eq!(counts(&lab), (1, 0, Some(opened_at)));
    lab.now += 1;
    assert_eq!(counts(&lab), (1, 1, Some(opened_at)));
    lab.result(Observation {
        specimen: None,
        ..potassium("7.7")
    });
    assert_eq!(counts(&lab), (2, 1, Some(opened_at)));
    let open = lab.work(|db| calls::open(db, 9));
    let now = lab.now;
    let escalated: Vec<bool> = open
        .iter()
        .map(|call| call.is_escalated(now, 30 * MINUTE))
        .collect();
    assert_eq!(escalated, [true, false]);
    tried(&lab, 1, Came::Told, true).expect("it is open");
    assert_eq!(counts(&lab).1, 0);
}

#[test]
fn a_call_follows_its_patient_through_a_merge_and_knows_whom_to_call() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(potassium("6.9"));
    let number = |lab: &Lab| {
        let call = lab.work(|db| calls::open(db, 9)).remove(0);
        let patient = call.patient.expect("the tube has a patient");
        patient.fields.expose().get(&3).cloned()
    };
    assert_eq!(number(&lab).as_deref(), Some("MRN1"));
    merge(&lab);
    assert_eq!(number(&lab).as_deref(), Some("MRN2"));
}

#[test]
fn a_result_that_a_person_gives_up_ends_its_call_or_is_told_about() {
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(held(potassium("6.9"), HoldReason::SuspectFlag));
    let now = lab.now;
    lab.work(move |db| super::super::set_aside(db, 1, now));
    assert_eq!(shown(&lab), ["6.9 critical ended"]);
    let mut lab = Lab::new();
    lab.order(&WITH_K);
    lab.result(held(potassium("6.9"), HoldReason::SuspectFlag));
    tried(&lab, 1, Came::Told, true).expect("it is open");
    lab.work(move |db| super::super::set_aside(db, 1, now));
    assert_eq!(shown(&lab), ["6.9 critical told", "6.9 corrected open"]);
}

crate::on_postgres_too! {
    a_critical_value_opens_a_call_whether_it_is_released_held_or_waits
    what_is_sent_again_or_measured_again_with_the_same_value_opens_no_second_call
    a_control_is_never_called
    a_later_version_takes_the_call_over_replaces_it_or_ends_it
    whoever_was_told_a_value_that_is_critical_no_longer_hears_of_it
    a_call_is_closed_by_a_read_back_alone_and_once
    a_call_is_escalated_by_the_clock_and_stands_first
    a_call_follows_its_patient_through_a_merge_and_knows_whom_to_call
    a_result_that_a_person_gives_up_ends_its_call_or_is_told_about
}
