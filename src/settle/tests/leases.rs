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
}
