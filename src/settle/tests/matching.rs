//! Which tube and which patient a result belongs to, and what cannot be matched.

use super::*;

#[test]
fn a_result_with_an_order_is_released_and_queued_for_its_patient() {
    let mut lab = Lab::new();
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    let settled = lab.result_message("m", vec![wbc("6.4"), observation("HGB", "131")]);
    assert_eq!((settled.released, settled.held), (2, 0));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4 131".to_owned())]);
}

#[test]
fn a_result_before_its_order_waits_and_goes_on_by_itself() {
    let mut lab = Lab::new();
    assert_eq!(lab.result(wbc("6.4")).waiting, 1);
    assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
    lab.now += HOUR;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_waiting_result_with_another_hold_stays_held_when_its_order_comes() {
    let mut lab = Lab::new();
    lab.result(held(wbc("6.4"), HoldReason::SuspectFlag));
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 held v1 suspect-flag\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn a_result_that_waits_over_new_year_is_judged_by_the_day_it_came() {
    let mut lab = Lab::new();
    // 2026-12-31 20:00 UTC, and an order three days later.
    lab.now = 1_798_747_200_000_000;
    let completed = Some(WallTime {
        sent: "x".to_owned(),
        utc: Some(lab.now - HOUR),
    });
    lab.result(Observation {
        completed,
        ..wbc("6.4")
    });
    lab.now += 3 * DAY;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
}

#[test]
fn a_result_too_old_for_a_new_order_stays_waiting() {
    let mut lab = Lab::new();
    lab.result(wbc("6.4"));
    lab.now += 15 * DAY;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
}

#[test]
fn a_barcode_active_for_two_patients_holds_every_result() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        ..CBC
    });
    lab.result(wbc("6.4"));
    assert_eq!(lab.shown("T1"), "6.4 held v1 ambiguous-specimen\n");
}

#[test]
fn a_barcode_that_comes_back_after_its_time_belongs_to_the_new_patient() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.now += 15 * DAY;
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        ..CBC
    });
    lab.result(wbc("6.4"));
    assert_eq!(lab.lease(), [(1, "MRN2 T1: 6.4".to_owned())]);
}

#[test]
fn another_patient_id_birth_date_or_sex_is_held_and_a_missing_one_is_not() {
    let seen = |id: &str, birth: &str, sex: &str| PatientSeen {
        ids: vec![Private::new(id.to_owned())],
        birth: Private::new(birth.to_owned()),
        sex: crate::model::Sex::from_code(sex),
        ..Default::default()
    };
    for (patient, expected) in [
        (seen("MRN1", "19800312", "F"), "6.4 released v1\n"),
        (seen("", "", "U"), "6.4 released v1\n"),
        (seen("", "198003", ""), "6.4 released v1\n"),
        (seen("MRN9", "", ""), "6.4 held v1 patient-mismatch\n"),
        (seen("", "19800313", ""), "6.4 held v1 patient-mismatch\n"),
        (seen("", "", "M"), "6.4 held v1 patient-mismatch\n"),
    ] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(Observation {
            patient,
            ..wbc("6.4")
        });
        assert_eq!(lab.shown("T1"), expected);
    }
}

#[test]
fn another_name_is_noted_and_holds_nothing() {
    for (name, noted) in [("TRAN^BINH THI", false), ("", false), ("LE^BINH^THI", true)] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(Observation {
            patient: PatientSeen {
                ids: vec![Private::new("MRN1".to_owned())],
                name: Private::new(name.to_owned()),
                ..Default::default()
            },
            ..wbc("6.4")
        });
        assert_eq!(lab.shown("T1"), "6.4 released v1\n", "{name}");
        let rows = lab.work(|db| of_barcode(db, "T1"));
        let notes: Vec<&str> = rows[0]
            .observation
            .notes
            .iter()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = if noted { &["name-differs"] } else { &[] };
        assert_eq!(notes, expected, "{name}");
    }
}

#[test]
fn a_device_clock_in_another_year_is_held_and_a_skewed_one_noted() {
    let at = |utc: i64| {
        Some(WallTime {
            sent: "x".to_owned(),
            utc: Some(utc),
        })
    };
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(Observation {
        completed: at(MORNING - 400 * DAY),
        ..wbc("6.4")
    });
    lab.result(Observation {
        completed: at(MORNING + HOUR),
        ..observation("HGB", "131")
    });
    assert_eq!(lab.shown("T1"), "6.4 held v1 clock-year\n131 released v1\n");
    let rows = lab.work(|db| of_barcode(db, "T1"));
    assert!(rows.iter().all(|row| row.observation.notes == ["clock"]));
}

#[test]
fn controls_are_stored_and_never_matched_even_on_a_patients_barcode() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let settled = lab.result(Observation {
        kind: ObservationKind::Control,
        ..wbc("6.4")
    });
    assert_eq!(settled.controls, 1);
    assert_eq!(lab.shown("T1"), "6.4 control v1\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn a_result_without_a_tube_or_a_mapping_is_held() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(Observation {
        specimen: None,
        ..wbc("6.4")
    });
    lab.result(held(
        Observation {
            test: None,
            ..wbc("6.4")
        },
        HoldReason::UnknownTest,
    ));
    assert_eq!(lab.shown(""), "6.4 held v1 no-specimen\n");
    assert_eq!(lab.shown("T1"), "6.4 held v1 unknown-test\n");
}

crate::on_postgres_too! {
    a_result_with_an_order_is_released_and_queued_for_its_patient
    a_result_before_its_order_waits_and_goes_on_by_itself
    a_waiting_result_with_another_hold_stays_held_when_its_order_comes
    a_result_that_waits_over_new_year_is_judged_by_the_day_it_came
    a_result_too_old_for_a_new_order_stays_waiting
    a_barcode_active_for_two_patients_holds_every_result
    a_barcode_that_comes_back_after_its_time_belongs_to_the_new_patient
    another_patient_id_birth_date_or_sex_is_held_and_a_missing_one_is_not
    another_name_is_noted_and_holds_nothing
    a_device_clock_in_another_year_is_held_and_a_skewed_one_noted
    controls_are_stored_and_never_matched_even_on_a_patients_barcode
    a_result_without_a_tube_or_a_mapping_is_held
}
