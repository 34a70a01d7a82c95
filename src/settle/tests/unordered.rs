//! Results that nobody ordered, or not yet.

use super::*;

#[test]
fn an_extra_is_kept_or_posted_as_the_site_says() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(observation("PLT", "250"));
    assert_eq!(lab.shown("T1"), "250 kept v1\n");
    assert!(lab.lease().is_empty());
    lab.site.extras = true;
    lab.result(observation("MPV", "9.1"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 9.1".to_owned())]);
}

#[test]
fn a_kept_result_goes_on_when_its_test_is_ordered_on_the_same_tube() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(observation("PLT", "250"));
    lab.result(observation("MPV", "9.1"));
    lab.order(&Order {
        placer: "P2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 released v1\n9.1 kept v1\n");
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 250".to_owned())]);
}

#[test]
fn a_kept_result_with_a_hold_of_its_own_stays_held_when_its_test_is_ordered() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let other = PatientSeen {
        ids: vec![Private::new("MRN9".to_owned())],
        ..Default::default()
    };
    lab.result(Observation {
        patient: other,
        ..observation("PLT", "250")
    });
    assert_eq!(lab.shown("T1"), "250 kept v1 patient-mismatch\n");
    lab.order(&Order {
        placer: "P2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 held v1 patient-mismatch\n");
}

#[test]
fn a_kept_result_never_goes_to_the_next_patient_of_its_barcode() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.now += 13 * DAY;
    lab.result(observation("PLT", "250"));
    lab.now += 2 * DAY;
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 kept v1\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn transfusion_and_reviewed_hosts_are_never_released_by_themselves() {
    for (site, reason) in [
        (
            Site {
                unordered: false,
                told: false,
                auto: true,
                extras: true,
                transfusion: true,
            },
            "transfusion",
        ),
        (
            Site {
                unordered: false,
                told: false,
                auto: false,
                extras: false,
                transfusion: false,
            },
            "review",
        ),
    ] {
        let mut lab = Lab::new();
        lab.site = site;
        lab.order(&CBC);
        lab.result(wbc("6.4"));
        assert_eq!(lab.shown("T1"), format!("6.4 held v1 {reason}\n"));
    }
}

#[test]
fn a_waiting_result_of_transfusion_is_held_when_its_order_comes_from_another_line() {
    let mut lab = Lab::new();
    lab.site.transfusion = true;
    lab.result(wbc("6.4"));
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 held v1 transfusion\n");
}

#[test]
fn an_unordered_result_is_posted_only_where_the_site_says_so_and_the_patient_is_named() {
    for (unordered, one, expected) in [
        (true, seen("D7", "6.4"), "6.4 released v1\n"),
        (
            false,
            seen("D7", "6.4"),
            "6.4 waiting v1 unknown-specimen\n",
        ),
        (true, wbc("6.4"), "6.4 waiting v1 unknown-specimen\n"),
        (
            true,
            held(seen("D7", "6.4"), HoldReason::SuspectFlag),
            "6.4 waiting v1 suspect-flag+unknown-specimen\n",
        ),
        (
            true,
            Observation {
                test: None,
                ..seen("D7", "6.4")
            },
            "6.4 waiting v1 unknown-specimen\n",
        ),
    ] {
        let mut lab = Lab::new();
        lab.site.unordered = unordered;
        lab.result(one);
        assert_eq!(lab.shown("T1"), expected);
    }
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result(seen("D7", "6.4"));
    assert_eq!(lab.lease(), [(1, "D7 T1: 6.4".to_owned())]);
}

#[test]
fn an_unordered_result_of_transfusion_or_of_a_reviewed_host_waits() {
    for (auto, transfusion) in [(false, false), (true, true)] {
        let mut lab = Lab::new();
        lab.site = Site {
            unordered: true,
            told: false,
            auto,
            extras: false,
            transfusion,
        };
        lab.result(seen("D7", "6.4"));
        assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
    }
}

#[test]
fn unordered_results_of_two_patients_on_one_barcode_never_share_a_message() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result_message("m", vec![seen("D7", "6.4"), seen("D8", "7.1")]);
    lab.result(seen("D7", "6.5"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n7.1 released v1\n6.5 held v2 second-result\n"
    );
    let mut sent = lab.lease();
    sent.sort();
    let texts: Vec<&str> = sent.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["D7 T1: 6.4", "D8 T1: 7.1"]);
}

#[test]
fn an_order_never_meets_the_patient_of_an_unordered_result() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result(seen("MRN1", "6.4"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    // The order's own patient has the same number and a tube of its own.
    lab.order(&CBC);
    lab.result(observation("HGB", "131"));
    lab.result(seen("MRN9", "7.0"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n131 released v1\n7.0 held v1 patient-mismatch\n"
    );
    let tubes = lab.work(|db| book::specimens_with_barcode(db, "T1", 0));
    assert_eq!(tubes.len(), 2);
    assert_ne!(tubes[0].patient, tubes[1].patient);
}

#[test]
fn an_unordered_result_sent_again_is_a_repeat() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result_message("m", vec![seen("D7", "6.4")]);
    lab.result_message("m", vec![seen("D7", "6.4")]);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n6.4 repeat v1\n");
}

crate::on_postgres_too! {
    an_extra_is_kept_or_posted_as_the_site_says
    a_kept_result_goes_on_when_its_test_is_ordered_on_the_same_tube
    a_kept_result_with_a_hold_of_its_own_stays_held_when_its_test_is_ordered
    a_kept_result_never_goes_to_the_next_patient_of_its_barcode
    transfusion_and_reviewed_hosts_are_never_released_by_themselves
    a_waiting_result_of_transfusion_is_held_when_its_order_comes_from_another_line
    an_unordered_result_is_posted_only_where_the_site_says_so_and_the_patient_is_named
    an_unordered_result_of_transfusion_or_of_a_reviewed_host_waits
    unordered_results_of_two_patients_on_one_barcode_never_share_a_message
    an_order_never_meets_the_patient_of_an_unordered_result
    an_unordered_result_sent_again_is_a_repeat
}
