//! Release, set aside, link, rerun.

use super::*;
use crate::model::{Hold, HoldReason};

#[test]
fn which_act_ends_which_reason_is_frozen() {
    let mut table = String::new();
    for reason in HoldReason::ALL {
        write!(table, "{:<20}", reason.code()).expect("to a string");
        for act in Act::ALL {
            let cell = match permits(*reason, *act) {
                Permission::Yes => act.code(),
                Permission::Verifier => "verifier",
                Permission::No => "-",
            };
            write!(table, " {cell:<12}").expect("to a string");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    insta::assert_snapshot!("which_act_ends_which_reason_is_frozen", table);
}

#[test]
fn a_result_that_cannot_be_measured_may_be_told_without_a_value_and_no_other_may() {
    let hold = |reason| Hold::new(reason, "");
    let both = [hold(HoldReason::StatusX), hold(HoldReason::AbsentValue)];
    let release = |holds: &[Hold]| allowed(ResultState::Held, holds, Act::Release, Role::Verifier);
    assert!(release(&both));
    assert!(!release(&both[1..]));
}

#[test]
fn a_suspect_result_is_released_and_leaves_when_it_cannot_be_undone_any_more() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    assert_eq!(lab.shown(), "r1 T1 6.4 held v1 suspect-flag\n");
    let done = lab.release("lan", 1).expect("it may be released");
    assert_eq!(done.state, Some(ResultState::Released));
    assert_eq!(lab.deliver(), Vec::<String>::new(), "within ten seconds");
    lab.now = done.until;
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    assert_eq!(lab.findings(), Vec::<String>::new());
    let audit = lab.audit("result:1");
    let [(who, what, how)] = audit.as_slice() else {
        panic!("{audit:?}");
    };
    assert_eq!((who.as_str(), what.as_str()), ("lan", "release"));
    assert!(
        how.contains("suspect-flag") && how.contains("released"),
        "{how}"
    );
    assert!(!how.contains("6.4") && !how.contains("MRN1"), "{how}");
    assert_eq!(
        lab.release("lan", 1),
        Err(Refused::NotOpen {
            state: ResultState::Released
        })
    );
}

#[test]
fn nobody_acts_without_a_name_or_a_reason() {
    let mut lab = Lab::new();
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    assert_eq!(lab.set_aside(" ", 1), Err(Refused::NoName));
    let site = Arc::clone(&lab.site);
    let refused = lab.work(move |db| {
        let person = Person {
            name: "lan".to_owned(),
            role: Role::Verifier,
        };
        let acting = Acting {
            site: &site,
            person: &person,
            reason: " ",
            now: MORNING,
        };
        acting.set_aside(db, 1)
    });
    assert_eq!(refused, Err(Refused::NoReason));
    assert_eq!(lab.shown(), "r1 T1 6.4 waiting v1 unknown-specimen\n");
}

#[test]
fn a_second_result_is_released_as_a_correction_or_set_aside() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    lab.measure("T1", ("WBC", "9.9", "10*9/L", "N"));
    lab.measure("T1", ("WBC", "8.8", "10*9/L", "N"));
    lab.release("lan", 2).expect("a correction");
    lab.set_aside("lan", 3).expect("the other one");
    assert_eq!(
        lab.shown(),
        "r1 T1 6.4 replaced v1\nr2 T1 9.9 released v2\nr3 T1 8.8 set-aside v1\n"
            .replace("8.8 set-aside v1", "8.8 set-aside v2")
    );
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: 9.9 v2"]);
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_version_that_never_left_is_taken_out_by_the_correction_that_a_person_releases() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    lab.measure("T1", ("WBC", "9.9", "10*9/L", "N"));
    lab.release("lan", 2).expect("a correction");
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: 9.9 v2"]);
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn what_no_look_can_mend_is_not_released() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.order("P2", "T2", "MRN2", &["WBC"]);
    lab.order("P3", "T2", "MRN3", &["WBC"]);
    let not = |reason| {
        Err(Refused::NotFor {
            reason,
            act: Act::Release,
        })
    };
    lab.measure("", ("WBC", "1", "10*9/L", "N"));
    lab.measure("T9", ("WBC", "2", "10*9/L", "N"));
    lab.measure("T2", ("WBC", "3", "10*9/L", "N"));
    lab.measure("T1", ("XYZ", "4", "10*9/L", "N"));
    lab.measure("T1", ("WBC", "5", "g/dL", "N"));
    lab.measure("T1", ("WBC", "6", "", "N"));
    lab.hear(&records("T1", "MRN7", &[("WBC", "7", "10*9/L", "N")]));
    lab.measure("T1", ("WBC", "", "10*9/L", "N"));
    for (id, reason) in [
        (1, HoldReason::NoSpecimen),
        (2, HoldReason::UnknownSpecimen),
        (3, HoldReason::AmbiguousSpecimen),
        (4, HoldReason::UnknownTest),
        (5, HoldReason::UnitDiffers),
        (6, HoldReason::UnitMissing),
        (7, HoldReason::PatientMismatch),
        (8, HoldReason::AbsentValue),
    ] {
        assert_eq!(
            lab.release("dr hoa", id),
            not(reason),
            "r{id} {}",
            lab.shown()
        );
    }
    assert_eq!(lab.release("dr hoa", 99), Err(Refused::NotFound));
}

#[test]
fn what_nobody_ordered_is_kept_and_can_only_be_set_aside() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("HGB", "131", "g/L", "N"));
    assert_eq!(lab.release("lan", 1), Err(Refused::NotOrdered));
    lab.set_aside("lan", 1).expect("it may be given up");
    assert_eq!(lab.shown(), "r1 T1 131 set-aside v1\n");
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn an_order_that_was_cancelled_since_forbids_the_release() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let now = lab.now;
    lab.work(move |db| {
        let tube = book::specimens_with_barcode(db, "T1", 0)?[0].id;
        let item = book::open_items(db, tube)?[0].id;
        book::set_statuses(db, &[(item, crate::model::OrderStatus::Cancelled)], now)
    });
    assert_eq!(
        lab.release("lan", 1),
        Err(Refused::NotFor {
            reason: HoldReason::OrderCancelled,
            act: Act::Release
        })
    );
}

#[test]
fn transfusion_is_released_by_a_verifier_alone() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["ABO"]);
    lab.measure("T1", ("ABO", "O", "", "N"));
    assert_eq!(lab.shown(), "r1 T1 O held v1 transfusion\n");
    assert_eq!(lab.release("lan", 1), Err(Refused::NeedsVerifier));
    lab.release("dr hoa", 1).expect("a verifier may");
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: O v1"]);
}

#[test]
fn where_two_verifiers_release_the_second_is_another_person() {
    let mut lab = Lab::with("transfusion_release = \"two\"");
    lab.order("P1", "T1", "MRN1", &["ABO"]);
    lab.measure("T1", ("ABO", "O", "", "N"));
    let first = lab.release("dr hoa", 1).expect("the first look is kept");
    assert_eq!(first.state, Some(ResultState::Held));
    assert_eq!(lab.release("dr hoa", 1), Err(Refused::SamePerson));
    lab.now += UNDO;
    assert_eq!(lab.deliver(), Vec::<String>::new());
    let second = lab.release("dr minh", 1).expect("another verifier");
    assert_eq!(second.state, Some(ResultState::Released));
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: O v1"]);
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn only_what_is_critical_or_stat_leaves_at_once() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.order_at("P2", "T2", "MRN2", &["WBC"], Priority::Stat);
    lab.order("P3", "T3", "MRN3", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    lab.measure("T2", ("WBC", "6.5", "10*9/L", "!"));
    lab.measure("T3", ("WBC", "1.9", "10*9/L", "!"));
    let now = |id| lab.act("lan", move |acting, db| acting.release(db, id, Leave::Now));
    assert_eq!(now(1), Err(Refused::NotUrgent));
    now(2).expect("STAT");
    now(3).expect("critical");
    assert_eq!(lab.deliver(), ["MRN2 T2: 6.5 v1", "MRN3 T3: 1.9 v1"]);
}

#[test]
fn a_result_without_a_tube_goes_on_when_it_is_linked_and_keeps_what_was_sent() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("", ("WBC", "6.4", "10*9/L", "N"));
    assert_eq!(lab.shown(), "r1 - 6.4 held v1 no-specimen\n");
    let done = lab.link("lan", 1, "T1").expect("the tube is ordered on");
    assert_eq!(done.state, Some(ResultState::Released));
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    let result = lab
        .work(|db| settle::result_by_id(db, 1))
        .expect("it is there");
    let read = result.observation.specimen.expect("it has a tube now");
    assert_eq!((read.sent.as_str(), read.id.as_str()), ("", "T1"));
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_misread_barcode_is_linked_to_the_right_tube_and_what_else_holds_it_stays() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T7", ("WBC", "6.4", "10*9/L", "!"));
    assert_eq!(lab.link("lan", 1, "T8"), Err(Refused::NoOrder));
    lab.link("lan", 1, "T1").expect("the right one");
    assert_eq!(lab.shown(), "r1 T1 6.4 held v1 suspect-flag\n");
    assert_eq!(
        lab.link("lan", 1, "T1"),
        Err(Refused::NotNeeded { act: Act::Link })
    );
}

#[test]
fn a_result_of_another_patient_is_linked_to_no_tube_of_this_one() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.order("P2", "T2", "MRN2", &["WBC"]);
    lab.hear(&records("T1", "MRN2", &[("WBC", "6.4", "10*9/L", "N")]));
    assert_eq!(lab.shown(), "r1 T1 6.4 held v1 patient-mismatch\n");
    assert_eq!(
        lab.link("lan", 1, "T1"),
        Err(Refused::OtherPatient { what: "patient id" })
    );
    lab.link("lan", 1, "T2").expect("the tube of that patient");
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN2 T2: 6.4 v1"]);
}

#[test]
fn a_barcode_of_two_patients_is_decided_by_the_order_that_a_person_chooses() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.order("P2", "T1", "MRN2", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "N"));
    lab.act("lan", |acting, db| {
        let found = tubes(db, "T1", 0)?;
        assert_eq!(found[0].placers, ["P1"]);
        acting.link(db, 1, found[0].id)
    })
    .expect("it is certain now");
    lab.now += UNDO;
    assert_eq!(lab.deliver(), ["MRN1 T1: 6.4 v1"]);
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_rerun_sets_the_result_aside_and_tells_a_device_that_can_not_be_told_by_hand() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let (done, told) = lab
        .act("lan", |acting, db| acting.rerun(db, 1))
        .expect("it may be measured again");
    assert_eq!(done.state, Some(ResultState::SetAside));
    assert_eq!(told, Told::WhenItAsks);
    lab.measure("T1", ("WBC", "6.6", "10*9/L", "N"));
    assert_eq!(
        lab.shown(),
        "r1 T1 6.4 set-aside v1\nr2 T1 6.6 released v1\n"
    );
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_rerun_tells_a_device_that_is_told_once_more_and_not_if_it_is_undone() {
    let mut lab = Lab::with("orders = \"download\"");
    let told = |lab: &Lab| {
        let rows = lab.work(|db| queue::list(db, crate::model::QueueState::Waiting, 0, 10));
        let rows = rows.into_iter();
        rows.map(|row| (row.destination, row.kind, row.due_at))
            .collect::<Vec<_>>()
    };
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let rerun = |lab: &Lab| lab.act("lan", |acting, db| acting.rerun(db, 1));
    let (done, how) = rerun(&lab).expect("it may be measured again");
    assert_eq!(how, Told::Again);
    let line = || ("line:xn-1".to_owned(), "order".to_owned(), done.until);
    assert_eq!(told(&lab), [line()]);
    lab.undo("lan", done.act).expect("in time");
    assert_eq!(told(&lab), []);
    assert_eq!(lab.shown(), "r1 T1 6.4 held v1 suspect-flag\n");
    assert_eq!(lab.findings(), Vec::<String>::new());
}

#[test]
fn a_message_that_could_not_be_read_is_set_aside_by_name() {
    let mut lab = Lab::new();
    let message = lab.journal("xn-1", "garbage");
    lab.work(move |db| journal::mark(db, message, MessageState::Held, Some("{}")));
    let set_aside = |lab: &Lab| {
        lab.act("lan", move |acting, db| {
            acting.set_aside_message(db, message)
        })
    };
    set_aside(&lab).expect("it is held");
    assert_eq!(lab.findings(), Vec::<String>::new());
    assert_eq!(set_aside(&lab), Err(Refused::NotFound));
}

#[test]
fn whoever_only_looks_on_decides_nothing() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC"]);
    lab.measure("T1", ("WBC", "6.4", "10*9/L", "!"));
    let site = Arc::clone(&lab.site);
    let refused = lab.work(move |db| {
        let person = Person {
            name: "lan".to_owned(),
            role: Role::Viewer,
        };
        let acting = Acting {
            site: &site,
            person: &person,
            reason: "looked at it",
            now: MORNING,
        };
        let all = [
            acting.release(db, 1, Leave::Later)?.map(|_| ()),
            acting.set_aside(db, 1)?.map(|_| ()),
            acting.rerun(db, 1)?.map(|_| ()),
            acting.link(db, 1, 1)?.map(|_| ()),
            acting.map_code(db, "xn-1", "WBC", "WBC")?.map(|_| ()),
            acting.accept_unit(db, 1)?.map(|_| ()),
            acting.undo(db, 1)?.map(|_| ()),
        ];
        Ok(all)
    });
    assert!(
        refused.iter().all(|one| *one == Err(Refused::NotAllowed)),
        "{refused:?}"
    );
    let hold = [Hold::new(HoldReason::SuspectFlag, "")];
    for act in Act::ALL {
        assert!(!allowed(ResultState::Held, &hold, *act, Role::Viewer));
    }
}

#[test]
fn results_of_one_tube_are_linked_together_or_not_at_all_and_undone_together() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", "MRN1", &["WBC", "HGB"]);
    lab.measure("", ("WBC", "6.4", "10*9/L", "N"));
    lab.measure("", ("HGB", "140", "g/L", "N"));
    lab.measure("T1", ("WBC", "6.6", "10*9/L", "!"));
    let before = lab.shown();
    let tube = lab.work(|db| tubes(db, "T1", 0))[0].id;
    let refused = lab.act("lan", move |acting, db| acting.link_all(db, &[1, 3], tube));
    assert_eq!(refused, Err(Refused::NotNeeded { act: Act::Link }));
    assert_eq!(lab.shown(), before, "not the first alone");
    let done = lab.act("lan", move |acting, db| acting.link_all(db, &[1, 2], tube));
    let done = done.expect("both are of that tube");
    assert_ne!(lab.shown(), before);
    let now = lab.now;
    let last = lab
        .work(move |db| recent(db, "lan", now))
        .expect("it can be undone");
    assert_eq!((last.act, last.kind.as_str()), (done.act, "link"));
    assert!(last.moved.len() >= 2, "{last:?}");
    lab.act("lan", move |acting, db| acting.undo(db, done.act))
        .expect("within ten seconds");
    assert_eq!(lab.shown(), before);
    lab.now += UNDO;
    let now = lab.now;
    assert_eq!(lab.work(move |db| recent(db, "lan", now)), None);
}

crate::on_postgres_too! {
    which_act_ends_which_reason_is_frozen
    a_result_that_cannot_be_measured_may_be_told_without_a_value_and_no_other_may
    a_suspect_result_is_released_and_leaves_when_it_cannot_be_undone_any_more
    nobody_acts_without_a_name_or_a_reason
    a_second_result_is_released_as_a_correction_or_set_aside
    a_version_that_never_left_is_taken_out_by_the_correction_that_a_person_releases
    what_no_look_can_mend_is_not_released
    what_nobody_ordered_is_kept_and_can_only_be_set_aside
    an_order_that_was_cancelled_since_forbids_the_release
    transfusion_is_released_by_a_verifier_alone
    where_two_verifiers_release_the_second_is_another_person
    only_what_is_critical_or_stat_leaves_at_once
    a_result_without_a_tube_goes_on_when_it_is_linked_and_keeps_what_was_sent
    a_misread_barcode_is_linked_to_the_right_tube_and_what_else_holds_it_stays
    a_result_of_another_patient_is_linked_to_no_tube_of_this_one
    a_barcode_of_two_patients_is_decided_by_the_order_that_a_person_chooses
    a_rerun_sets_the_result_aside_and_tells_a_device_that_can_not_be_told_by_hand
    a_rerun_tells_a_device_that_is_told_once_more_and_not_if_it_is_undone
    a_message_that_could_not_be_read_is_set_aside_by_name
    whoever_only_looks_on_decides_nothing
    results_of_one_tube_are_linked_together_or_not_at_all_and_undone_together
}
