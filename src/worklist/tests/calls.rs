//! Calls about critical values follow what people do, and the age of the patient.

use super::*;
use crate::calls::{self, Attempt, Outcome as Came};

/// Every call, as `value kind state`, the oldest first.
fn calls_of(lab: &Lab) -> Vec<String> {
    let mut all = lab.work(|db| {
        let mut all = calls::open(db, 100)?;
        all.extend(calls::closed(db, i64::MAX, 100)?);
        Ok(all)
    });
    all.sort_by_key(|call| call.id);
    let shown = all.iter().map(|call| {
        let (kind, state) = (call.kind.code(), call.state.code());
        format!("{} {} {kind} {state}", call.value.expose(), call.beyond)
    });
    shown.collect()
}

#[test]
fn a_call_ends_with_its_result_and_is_open_again_when_that_is_undone() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "31", "10*9/L", "!"));
    assert_eq!(calls_of(&lab), ["31 > 30.0 critical open"]);
    let done = lab.set_aside("lan", 1).expect("it is held");
    assert_eq!(calls_of(&lab), ["31 > 30.0 critical ended"]);
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(calls_of(&lab), ["31 > 30.0 critical open"]);
    lab.release("lan", 1).expect("a look is enough");
    assert_eq!(calls_of(&lab), ["31 > 30.0 critical open"]);
}

#[test]
fn a_correction_that_a_person_releases_is_told_to_whoever_was_told() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "31", "10*9/L", "N"));
    let told = Attempt {
        actor: "lan".to_owned(),
        outcome: Came::Told,
        told_to: "Hoa".to_owned(),
        contact: "1234".to_owned(),
        is_read_back: true,
    };
    let now = lab.now;
    lab.work(move |db| calls::attempt(db, 1, &told, now))
        .expect("it is open");
    lab.measure("T1", ("WBC", "9.0", "10*9/L", "N"));
    assert_eq!(calls_of(&lab), ["31 > 30.0 critical told"]);
    let done = lab.release("lan", 2).expect("a second result is released");
    let both = ["31 > 30.0 critical told", "9.0 > 30.0 corrected open"];
    assert_eq!(calls_of(&lab), both);
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(
        calls_of(&lab).last().map(String::as_str),
        Some("9.0 > 30.0 corrected replaced"),
        "the first value stands again, and the ward has it"
    );
}

#[test]
fn the_limit_is_the_one_of_the_patients_age_once_that_is_known() {
    let mut lab = Lab::new();
    // Below 70 for everyone, below 100 for infants; who it is shows the order.
    lab.measure("T1", ("HGB", "90", "g/L", "N"));
    assert_eq!(calls_of(&lab), Vec::<String>::new());
    lab.measure("T2", ("HGB", "60", "g/L", "N"));
    assert_eq!(calls_of(&lab), ["60 < 70 critical open"]);
    lab.order("P2", "T2", "MRN2", &["HGB"]);
    assert_eq!(calls_of(&lab), ["60 < 70 critical open"]);
    let infant = |lab: &mut Lab| lab.order("P1", "T1", "INFANT", &["HGB"]);
    infant(&mut lab);
    assert_eq!(calls_of(&lab)[1..], ["90 < 100 critical open"]);
}

crate::on_postgres_too! {
    a_call_ends_with_its_result_and_is_open_again_when_that_is_undone
    a_correction_that_a_person_releases_is_told_to_whoever_was_told
    the_limit_is_the_one_of_the_patients_age_once_that_is_known
}
