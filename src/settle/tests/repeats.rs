//! What is a repeat of a result and what is another result.

use super::*;

#[test]
fn the_same_message_again_is_a_retransmission_within_72_hours() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).released, 1);
    lab.now += 71 * HOUR;
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    lab.now += 2 * HOUR;
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).confirmed, 1);
    assert_eq!(lab.lease().len(), 1);
}

#[test]
fn a_result_resent_while_it_waits_and_after_its_order_is_stored_once() {
    let mut lab = Lab::new();
    lab.result_message("m", vec![wbc("6.4")]);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    lab.order(&CBC);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_result_with_a_completed_time_is_recognised_in_another_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let completed = Some(WallTime {
        sent: "20260310075500".to_owned(),
        utc: None,
    });
    let observation = Observation {
        completed,
        ..wbc("6.4")
    };
    assert_eq!(
        lab.result_message("one", vec![observation.clone()])
            .released,
        1
    );
    assert_eq!(lab.result_message("two", vec![observation]).repeats, 1);
}

#[test]
fn nothing_is_recognised_as_a_repeat_inside_one_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let twice = vec![
        held(wbc("6.4"), HoldReason::Replicate),
        held(wbc("6.4"), HoldReason::Replicate),
    ];
    assert_eq!(lab.result_message("m", twice.clone()).held, 2);
    assert_eq!(lab.result_message("m", twice).repeats, 2);
}

#[test]
fn a_second_different_final_is_held_and_the_same_value_confirms() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.result(wbc("6.4"));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n6.4 confirmed v1\n7.1 held v2 second-result\n"
    );
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_report_that_becomes_final_with_all_else_as_before_is_no_repeat() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let measured = |status| Observation {
        status,
        completed: Some(WallTime {
            sent: "20260310145500".to_owned(),
            utc: None,
        }),
        ..wbc("6.4")
    };
    let partial = held(measured(ResultStatus::NotFinal), HoldReason::StatusNotFinal);
    lab.result(partial.clone());
    lab.result(partial);
    lab.result(measured(ResultStatus::Final));
    let shown = lab.shown("T1");
    assert!(shown.contains("6.4 released"), "{shown}");
    assert_eq!(shown.matches("repeat").count(), 1, "{shown}");
}

#[test]
fn results_about_different_donor_units_are_no_versions_of_one_another() {
    let about = |unit: &str, text: &str| Observation {
        about: Some(unit.to_owned()),
        ..wbc(text)
    };
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(about("D1", "6.4"));
    lab.result(about("D2", "6.4"));
    lab.result(about("D2", "7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n6.4 released v1\n7.1 held v2 second-result\n"
    );
}

#[test]
fn the_same_value_for_another_patient_or_with_a_flag_confirms_nothing() {
    for (second, expected) in [
        (
            Observation {
                patient: seen("MRN9", "6.4").patient,
                ..wbc("6.4")
            },
            "6.4 released v1\n6.4 held v2 patient-mismatch\n",
        ),
        (
            held(wbc("6.4"), HoldReason::SuspectFlag),
            "6.4 released v1\n6.4 held v2 suspect-flag\n",
        ),
    ] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(wbc("6.4"));
        lab.result(second);
        assert_eq!(lab.shown("T1"), expected);
    }
}

crate::on_postgres_too! {
    the_same_message_again_is_a_retransmission_within_72_hours
    a_result_resent_while_it_waits_and_after_its_order_is_stored_once
    a_result_with_a_completed_time_is_recognised_in_another_message
    nothing_is_recognised_as_a_repeat_inside_one_message
    a_second_different_final_is_held_and_the_same_value_confirms
    a_report_that_becomes_final_with_all_else_as_before_is_no_repeat
    results_about_different_donor_units_are_no_versions_of_one_another
    the_same_value_for_another_patient_or_with_a_flag_confirms_nothing
}
