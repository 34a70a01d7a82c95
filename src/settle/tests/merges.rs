//! Two patients who turn out to be one.

use super::*;

/// An order on the tube of another patient.
fn order_of(lab: &mut Lab, placer: &'static str, barcode: &'static str, id: &'static str) {
    let order = Order {
        placer,
        barcode,
        patient: id,
        ..CBC
    };
    lab.order(&order);
}

/// MRN1 becomes MRN2.
pub(super) fn merge(lab: &Lab) -> Vec<String> {
    let now = lab.now;
    lab.work(move |db| {
        let context = BookContext {
            host: "his",
            message: 1,
            now,
            specimen_age_max: 14 * DAY,
        };
        let (mut survivor, _) = CBC.entries();
        survivor.identifiers = vec![identifier("MRN2")];
        survivor.fields = Private::new(Fields::from([(3, "MRN2".to_owned())]));
        Ok(book::merge(db, &context, &survivor, &[identifier("MRN1")])?.barcodes)
    })
}

pub(super) fn resume_all(lab: &Lab, barcodes: Vec<String>) -> Settled {
    let (site, now) = (lab.site, lab.now);
    lab.work(move |db| {
        let context = SettleContext {
            message: 0,
            line: "",
            received_at: now,
            now,
            specimen_age_max: 14 * DAY,
            digest_input: b"",
            site: &site,
        };
        let mut all = Settled::default();
        for barcode in &barcodes {
            all += super::super::resume_merged(db, &context, barcode)?;
        }
        Ok(all)
    })
}

#[test]
fn a_barcode_of_two_patients_who_become_one_is_one_tube_and_its_result_goes_on() {
    let mut lab = Lab::new();
    order_of(&mut lab, "P1", "T1", "MRN1");
    order_of(&mut lab, "P2", "T1", "MRN2");
    lab.result(wbc("6.4"));
    assert_eq!(lab.shown("T1"), "6.4 held v1 ambiguous-specimen\n");
    let barcodes = merge(&lab);
    assert_eq!(barcodes, ["T1"]);
    assert_eq!(resume_all(&lab, barcodes).released, 1);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
    assert_eq!(lab.lease(), [(1, "MRN2 T1: 6.4".to_owned())]);
    // Both orders are of the one tube, and both are answered by it.
    let tubes = lab.work(|db| book::specimens_with_barcode(db, "T1", 0));
    let newest = tubes.last().expect("two generations").id;
    let items = lab.work(move |db| book::items_of(db, &[newest]));
    assert_eq!(items[&newest].len(), 2);
}

#[test]
fn a_result_under_the_other_id_goes_on_and_what_else_holds_it_stays() {
    let mut lab = Lab::new();
    order_of(&mut lab, "P2", "T1", "MRN2");
    let seen = || PatientSeen {
        ids: vec![Private::new("MRN1".to_owned())],
        ..Default::default()
    };
    lab.result(Observation {
        patient: seen(),
        ..wbc("6.4")
    });
    lab.result(held(
        Observation {
            patient: seen(),
            ..observation("HGB", "131")
        },
        HoldReason::SuspectFlag,
    ));
    assert_eq!(
        lab.shown("T1"),
        "6.4 held v1 patient-mismatch\n131 held v1 suspect-flag+patient-mismatch\n"
    );
    let barcodes = merge(&lab);
    resume_all(&lab, barcodes);
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n131 held v1 suspect-flag\n"
    );
}

#[test]
fn what_was_refused_before_a_merge_is_followed_by_the_survivors_message_once_decided() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    let now = lab.now;
    let refused = queue::Verdict::Refused {
        reason: "unknown patient".to_owned(),
        answer: "AR".to_owned(),
    };
    lab.work(move |db| {
        queue::settle_attempt(db, 1, "worker", &refused, queue::Backoff::default(), now)
    });
    merge(&lab);
    assert!(lab.lease().is_empty(), "it waits for the decision");
    lab.work(move |db| queue::discard(db, 1, "an", "told under the new number", now));
    assert_eq!(lab.lease(), [(2, "MRN2 T1: 6.4".to_owned())]);
}

#[test]
fn a_merge_moves_the_tube_and_an_unsent_result_to_the_survivor() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    merge(&lab);
    assert_eq!(lab.lease(), [(1, "MRN2 T1: 6.4".to_owned())]);
    let seen = PatientSeen {
        ids: vec![Private::new("MRN1".to_owned())],
        ..Default::default()
    };
    let settled = lab.result(Observation {
        patient: seen,
        ..observation("HGB", "131")
    });
    assert_eq!(settled.released, 1, "the old id is an alias");
}

#[test]
fn a_message_tried_before_a_merge_keeps_its_bytes_and_a_new_one_follows() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    let first = lab.lease();
    assert_eq!(first, [(1, "MRN1 T1: 6.4".to_owned())]);
    let now = lab.now;
    lab.work(move |db| {
        let context = BookContext {
            host: "his",
            message: 1,
            now,
            specimen_age_max: 14 * DAY,
        };
        let (mut survivor, _) = CBC.entries();
        survivor.identifiers = vec![identifier("MRN2")];
        survivor.fields = Private::new(Fields::from([(3, "MRN2".to_owned())]));
        book::merge(db, &context, &survivor, &[identifier("MRN1")])?;
        queue::void_all_leases(db)
    });
    assert_eq!(lab.lease(), first, "the same row, the same bytes");
    let verdict = queue::Verdict::Accepted {
        answer: "AA".to_owned(),
    };
    lab.work(move |db| {
        queue::settle_attempt(db, 1, "worker", &verdict, queue::Backoff::default(), now)
    });
    assert_eq!(lab.lease(), [(2, "MRN2 T1: 6.4".to_owned())]);
}

#[test]
fn two_merges_while_a_message_is_on_its_way_are_followed_by_one_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    let now = lab.now;
    for (old, new) in [("MRN1", "MRN2"), ("MRN2", "MRN3")] {
        lab.work(move |db| {
            let context = BookContext {
                host: "his",
                message: 1,
                now,
                specimen_age_max: 14 * DAY,
            };
            let (mut survivor, _) = CBC.entries();
            survivor.identifiers = vec![identifier(new)];
            survivor.fields = Private::new(Fields::from([(3, new.to_owned())]));
            book::merge(db, &context, &survivor, &[identifier(old)])
        });
    }
    let accept = |row: i64| {
        lab.work(move |db| {
            let verdict = queue::Verdict::Accepted {
                answer: "AA".into(),
            };
            queue::settle_attempt(db, row, "worker", &verdict, queue::Backoff::default(), now)
        });
    };
    accept(1);
    assert_eq!(lab.lease(), [(2, "MRN3 T1: 6.4".to_owned())]);
    accept(2);
    assert!(lab.lease().is_empty(), "nothing is told twice");
}

crate::on_postgres_too! {
    a_barcode_of_two_patients_who_become_one_is_one_tube_and_its_result_goes_on
    a_result_under_the_other_id_goes_on_and_what_else_holds_it_stays
    what_was_refused_before_a_merge_is_followed_by_the_survivors_message_once_decided
    a_merge_moves_the_tube_and_an_unsent_result_to_the_survivor
    a_message_tried_before_a_merge_keeps_its_bytes_and_a_new_one_follows
    two_merges_while_a_message_is_on_its_way_are_followed_by_one_message
}
