//! Ten seconds.

use super::*;

#[test]
fn a_release_is_undone_within_ten_seconds_and_by_the_same_person() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let before = lab.shown();
    let done = lab.release("lan", 1).expect("it may be released");
    assert_eq!(lab.undo("minh", done.act), Err(Refused::NotYours));
    lab.now += UNDO - 1;
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(lab.shown(), before);
    assert_eq!(lab.undo("lan", done.act), Err(Refused::UndoneAlready));
    lab.now += UNDO;
    assert_eq!(lab.deliver(), Vec::<String>::new());
    assert_eq!(lab.findings(), Vec::<String>::new());
    let again = lab.release("lan", 1).expect("it is held again");
    lab.now += UNDO;
    assert_eq!(lab.undo("lan", again.act), Err(Refused::TooLate));
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    assert_eq!(lab.undo("lan", 99), Err(Refused::NotFound));
}

#[test]
fn what_has_left_is_not_undone() {
    let mut lab = Lab::new();
    lab.order_at("P1", "T1", "MRN1", &["WBC"], Priority::Stat);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let done = lab
        .act("lan", |acting, db| acting.release(db, 1, Leave::Now))
        .expect("STAT");
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    assert_eq!(lab.undo("lan", done.act), Err(Refused::HasLeft));
}

#[test]
fn a_correction_that_is_undone_gives_the_version_before_it_its_message_back() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    lab.measure("T1", ("WBC", "9.9", "10*9/L", "N"));
    let before = lab.shown();
    let done = lab.release("lan", 2).expect("a correction");
    // Another result of the tube joins the message that waits.
    lab.measure("T1", ("HGB", "131", "g/L", "N"));
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(lab.shown(), format!("{before}r3 T1 131 released v1\n"));
    lab.now += UNDO;
    let mut sent = lab.deliver();
    sent.extend(lab.deliver());
    assert_eq!(sent.concat().matches("6.4 v1").count(), 1, "{sent:?}");
    assert_eq!(sent.concat().matches("131 v1").count(), 1, "{sent:?}");
    assert!(!sent.concat().contains("9.9"), "{sent:?}");
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn what_came_since_forbids_to_undo() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let done = lab.release("lan", 1).expect("it may be released");
    lab.measure("T1", ("WBC", "9.9", "10*9/L", "N"));
    assert_eq!(lab.undo("lan", done.act), Err(Refused::ChangedSince));
}

#[test]
fn setting_aside_linking_rerunning_and_a_message_are_undone_too() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T9", ("WBC", "6.4", "10*9/L", "N"));
    let before = lab.shown();
    let done = lab.set_aside("lan", 1).expect("it waits");
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(lab.shown(), before);
    let done = lab.link("lan", 1, "T1").expect("the tube is ordered on");
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(lab.shown(), before);
    let (done, _) = lab
        .act("lan", |acting, db| acting.rerun(db, 1))
        .expect("it waits");
    let last = lab.work(|db| last_act(db, "lan"));
    assert_eq!(last, Some(done.act));
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(lab.shown(), before);
    let message = lab.journal("xn-1", "garbage");
    lab.work(move |db| journal::mark(db, message, MessageState::Held, Some("{}")));
    let done = lab
        .act("lan", move |acting, db| {
            acting.set_aside_message(db, message)
        })
        .expect("it is held");
    lab.undo("lan", done.act).expect("in time");
    let state = lab
        .work(move |db| journal::message(db, message))
        .map(|one| one.state);
    assert_eq!(state, Some(MessageState::Held));
    assert_eq!(lab.findings(), Vec::<String>::new());
}

crate::on_postgres_too! {
    a_release_is_undone_within_ten_seconds_and_by_the_same_person
    what_has_left_is_not_undone
    a_correction_that_is_undone_gives_the_version_before_it_its_message_back
    what_came_since_forbids_to_undo
    setting_aside_linking_rerunning_and_a_message_are_undone_too
}
