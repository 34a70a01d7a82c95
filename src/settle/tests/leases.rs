//! Leases that end, are prolonged and are taken back.

use super::*;
use crate::store::Sql;

/// Leases of the host's queue: row and end.
fn leases(lab: &Lab) -> Vec<(i64, i64)> {
    const LEASES: Sql =
        Sql::same("SELECT id, lease_until FROM queue WHERE state = 'leased' ORDER BY id");
    lab.work(|db| {
        let rows = db.rows(&LEASES, &[])?;
        rows.iter()
            .map(|row| Ok((row.int(0)?, row.int(1)?)))
            .collect()
    })
}

/// Two tubes with a result on its way each.
fn two_on_their_way() -> Lab {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        barcode: "T2",
        ..CBC
    });
    lab.result(wbc("6.4"));
    let mut other = wbc("3.3");
    other.specimen.as_mut().expect("set above").id = "T2".to_owned();
    lab.result(other);
    assert_eq!(lab.lease().len(), 2);
    lab
}

#[test]
fn what_nobody_has_in_hand_is_taken_back_and_sent_again_as_it_was() {
    let lab = two_on_their_way();
    let now = lab.now;
    let taken_back = lab.work(move |db| queue::reclaim(db, "host:his", &[1], now));
    assert_eq!(taken_back, 1);
    assert_eq!(lab.lease(), [(2, "MRN1 T2: 3.3".to_owned())]);
}

#[test]
fn a_lease_is_prolonged_for_its_owner_alone() {
    let lab = two_on_their_way();
    let end = lab.now + DAY;
    let renewed = |owner: &'static str, rows: &'static [i64]| {
        lab.work(move |db| queue::renew(db, owner, rows, end))
    };
    let before = leases(&lab);
    assert_eq!(renewed("somebody else", &[1, 2]), 0);
    assert_eq!(renewed("worker", &[]), 0);
    assert_eq!(leases(&lab), before);
    assert_eq!(renewed("worker", &[2]), 1);
    assert_eq!(leases(&lab), [before[0], (2, end)]);
}

#[test]
fn an_order_that_becomes_urgent_takes_what_waits_along() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let second = Order {
        placer: "P2",
        barcode: "T2",
        ..CBC
    };
    lab.order(&second);
    lab.result(wbc("6.4"));
    let mut other = wbc("3.3");
    other.specimen.as_mut().expect("set above").id = "T2".to_owned();
    lab.result(other);
    lab.order(&Order {
        action: Action::Change,
        priority: Priority::Stat,
        ..second
    });
    let sent: Vec<String> = lab.lease().into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["MRN1 T2: 3.3", "MRN1 T1: 6.4"]);
}

#[test]
fn stat_goes_first_and_a_tubes_messages_keep_their_order() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        barcode: "T2",
        priority: Priority::Stat,
        ..CBC
    });
    lab.result(wbc("6.4"));
    let mut other = wbc("3.3");
    other.specimen.as_mut().expect("set above").id = "T2".to_owned();
    lab.result(other);
    let sent = lab.lease();
    assert_eq!(sent[0].1, "MRN1 T2: 3.3");
    assert_eq!(sent[1].1, "MRN1 T1: 6.4");
    lab.result(observation("HGB", "131"));
    assert!(lab.lease().is_empty(), "T1 has a message on its way");
}

#[test]
fn a_late_verdict_of_a_lost_lease_changes_nothing() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    let now = lab.now;
    let changed = lab.work(move |db| {
        let verdict = queue::Verdict::Accepted {
            answer: "AA".to_owned(),
        };
        queue::settle_attempt(db, 1, "another", &verdict, queue::Backoff::default(), now)
    });
    assert!(!changed);
    let row = lab.work(|db| queue::find(db, 1)).expect("the row is there");
    assert_eq!(row.state, QueueState::Leased);
}

#[test]
fn a_deferred_message_waits_longer_each_time_and_never_over_30_s() {
    let backoff = queue::Backoff::default();
    let waits: Vec<i64> = (1..=9)
        .map(|attempt| backoff.after(attempt) / 100_000)
        .collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(backoff.after(i64::MAX), 30_000_000);
}

/// The host refuses a message for good.
fn refuse(lab: &Lab, row: i64) {
    let now = lab.now;
    lab.work(move |db| {
        let verdict = queue::Verdict::Refused {
            reason: "no".into(),
            answer: "AR".into(),
        };
        queue::settle_attempt(db, row, "worker", &verdict, queue::Backoff::default(), now)
    });
}

fn corrected(text: &str) -> Observation {
    Observation {
        status: ResultStatus::Correction,
        ..wbc(text)
    }
}

#[test]
fn a_refused_message_holds_back_later_versions_of_its_own_results_and_no_others() {
    let mut lab = Lab::new();
    lab.order(&Order {
        tests: &["WBC", "HGB"],
        ..CBC
    });
    lab.result(wbc("6.4"));
    lab.lease();
    refuse(&lab, 1);
    lab.result(corrected("7.1"));
    // What comes with it or after it goes on; a third version waits like the second.
    lab.result(observation("HGB", "140"));
    lab.result(corrected("7.3"));
    assert_eq!(lab.lease(), [(3, "MRN1 T1: 140".to_owned())]);
    let listed = lab.work(|db| queue::list(db, QueueState::Waiting, 0, 10));
    let reasons: Vec<&str> = listed
        .iter()
        .filter(|row| row.id > 3)
        .map(|row| row.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        ["an earlier version was set aside: decide about message 1 first"]
    );
    let now = lab.now;
    lab.work(move |db| queue::discard(db, 1, "Lan", "phoned", now));
    lab.work(move |db| {
        let verdict = queue::Verdict::Accepted {
            answer: "AA".into(),
        };
        queue::settle_attempt(db, 3, "worker", &verdict, queue::Backoff::default(), now)
    });
    assert_eq!(lab.lease(), [(4, "MRN1 T1: 7.3".to_owned())]);
}

#[test]
fn a_version_that_waited_when_the_one_before_it_was_refused_is_held_back_too() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    lab.result(corrected("7.1"));
    refuse(&lab, 1);
    assert!(
        lab.lease().is_empty(),
        "the version before it was set aside"
    );
    let now = lab.now;
    lab.work(move |db| queue::discard(db, 1, "Lan", "phoned", now));
    assert_eq!(lab.lease(), [(2, "MRN1 T1: 7.1".to_owned())]);
}

#[test]
fn what_was_put_off_before_the_clock_was_set_back_is_due_at_once() {
    let mut lab = two_on_their_way();
    let now = lab.now;
    let deferred = queue::Verdict::Deferred {
        reason: "busy".into(),
        answer: String::new(),
    };
    let defer = move |db: &mut dyn Db| {
        let backoff = queue::Backoff::default();
        queue::settle_attempt(db, 1, "worker", &deferred, backoff, now)
    };
    assert!(lab.work(defer));
    let due = |now: i64| {
        let due = queue::due;
        move |db: &mut dyn Db| Ok(due(db, "host:his")?.is_some_and(|due| due.is_out_of_time(now)))
    };
    assert!(!lab.work(due(now)));
    lab.now -= 60 * MINUTE;
    let now = lab.now;
    assert!(lab.lease().is_empty());
    assert!(lab.work(due(now)));
    let brought = lab.work(move |db| queue::bring_forward(db, "host:his", now));
    assert_eq!(brought, 1);
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

crate::on_postgres_too! {
    what_was_put_off_before_the_clock_was_set_back_is_due_at_once
    what_nobody_has_in_hand_is_taken_back_and_sent_again_as_it_was
    a_lease_is_prolonged_for_its_owner_alone
    an_order_that_becomes_urgent_takes_what_waits_along
    stat_goes_first_and_a_tubes_messages_keep_their_order
    a_late_verdict_of_a_lost_lease_changes_nothing
    a_deferred_message_waits_longer_each_time_and_never_over_30_s
    a_refused_message_holds_back_later_versions_of_its_own_results_and_no_others
    a_version_that_waited_when_the_one_before_it_was_refused_is_held_back_too
}
