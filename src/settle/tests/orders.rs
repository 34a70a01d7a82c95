//! Orders, cancels, and what results make of an order.

use super::*;

#[test]
fn a_result_for_a_cancelled_order_is_held() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    assert_eq!(
        lab.order(&Order {
            action: Action::Cancel,
            ..CBC
        }),
        Outcome::Accepted
    );
    lab.result(wbc("6.4"));
    assert_eq!(lab.shown("T1"), "6.4 held v1 order-cancelled\n");
}

#[test]
fn a_test_of_a_cancelled_item_is_held_while_the_tube_is_active() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        tests: &["RETP"],
        ..CBC
    });
    lab.order(&Order {
        placer: "P2",
        tests: &["RETP"],
        action: Action::Cancel,
        ..CBC
    });
    lab.result(observation("RETP", "1.2"));
    assert_eq!(lab.shown("T1"), "1.2 held v1 order-cancelled\n");
}

#[test]
fn an_order_with_a_released_result_can_not_be_cancelled() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    assert_eq!(
        lab.order(&Order {
            action: Action::Cancel,
            ..CBC
        }),
        Outcome::InProcess
    );
}

#[test]
fn the_same_order_again_is_accepted_once_and_other_content_is_refused() {
    let mut lab = Lab::new();
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    assert_eq!(
        lab.order(&Order {
            tests: &["WBC"],
            ..CBC
        }),
        Outcome::DiffersFromFirst
    );
    let items = lab.work(|db| {
        let tubes = book::specimens_with_barcode(db, "T1", 0)?;
        book::open_items(db, tubes[0].id)
    });
    assert_eq!(items.len(), 1);
}

#[test]
fn a_number_used_for_another_patient_is_refused_whatever_is_asked() {
    for action in [Action::New, Action::Cancel, Action::Change] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        let other = Order {
            action,
            patient: "MRN2",
            ..CBC
        };
        assert_eq!(lab.order(&other), Outcome::DiffersFromFirst, "{action:?}");
        lab.result(wbc("6.4"));
        assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    }
}

#[test]
fn order_status_follows_its_results() {
    let mut lab = Lab::new();
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let look = |lab: &Lab| {
        let statuses = Arc::clone(&statuses);
        lab.work(move |db| {
            let tubes = book::specimens_with_barcode(db, "T1", 0)?;
            let items = book::open_items(db, tubes[0].id)?;
            statuses
                .lock()
                .expect("one thread")
                .push(items[0].status.code());
            Ok(())
        });
    };
    lab.order(&CBC);
    look(&lab);
    lab.result(wbc("6.4"));
    look(&lab);
    lab.result(observation("HGB", "131"));
    look(&lab);
    assert_eq!(*statuses.lock().expect("one thread"), ["SC", "A", "CM"]);
    assert_eq!(
        ResultState::from_code("released"),
        Some(ResultState::Released)
    );
}

crate::on_postgres_too! {
    a_result_for_a_cancelled_order_is_held
    a_test_of_a_cancelled_item_is_held_while_the_tube_is_active
    an_order_with_a_released_result_can_not_be_cancelled
    the_same_order_again_is_accepted_once_and_other_content_is_refused
    a_number_used_for_another_patient_is_refused_whatever_is_asked
    order_status_follows_its_results
}
