//! What takes the place of an earlier value.

use super::*;

#[test]
fn a_correction_replaces_the_released_value_as_a_new_version() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..wbc("7.1")
    });
    assert_eq!(lab.shown("T1"), "6.4 replaced v1\n7.1 released v2\n");
    assert!(
        lab.lease().is_empty(),
        "the first message is still on its way"
    );
}

#[test]
fn a_value_corrected_before_it_was_ever_tried_is_never_sent() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..wbc("7.1")
    });
    assert_eq!(lab.lease(), [(2, "MRN1 T1: 7.1".to_owned())]);
}

#[test]
fn a_preliminary_value_gives_way_to_the_final_one() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(held(wbc("6.4"), HoldReason::StatusNotFinal));
    lab.result(held(wbc("----"), HoldReason::AbsentValue));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 replaced v1 status-not-final\n---- replaced v1 absent-value\n7.1 released v1\n"
    );
}

#[test]
fn a_clean_value_after_a_suspect_one_is_shown_beside_it() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(held(wbc("6.4"), HoldReason::SuspectFlag));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 held v1 suspect-flag\n7.1 held v1 second-result\n"
    );
}

#[test]
fn a_cut_message_resolves_itself_when_the_same_value_arrives_whole() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result_message("m", vec![held(wbc("6.4"), HoldReason::Incomplete)]);
    lab.result_message("m", vec![wbc("6.4")]);
    assert_eq!(
        lab.shown("T1"),
        "6.4 replaced v1 incomplete\n6.4 released v1\n"
    );
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result_message("m", vec![held(wbc("6.4"), HoldReason::Incomplete)]);
    lab.result_message("n", vec![wbc("9.9")]);
    assert_eq!(
        lab.shown("T1"),
        "6.4 held v1 incomplete\n9.9 held v1 second-result\n"
    );
}

crate::on_postgres_too! {
    a_correction_replaces_the_released_value_as_a_new_version
    a_value_corrected_before_it_was_ever_tried_is_never_sent
    a_preliminary_value_gives_way_to_the_final_one
    a_clean_value_after_a_suspect_one_is_shown_beside_it
    a_cut_message_resolves_itself_when_the_same_value_arrives_whole
}
