//! `labwire ledger` finds what was put into a store against its rules.

use labwire::{ledger::Ledger, store::Beside};

use crate::{
    check,
    lab::{Closed, Lab, MORNING},
};

fn findings(lab: &Closed) -> Vec<&'static str> {
    let mut store = Beside::reader(&lab.url()).expect("the store opens");
    let mut ledger = Ledger::new(None, MORNING + 3_600_000_000);
    let mut codes = Vec::new();
    while let Some(page) = store.read(|db| ledger.next_page(db)).expect("a page") {
        codes.extend(page.findings.iter().map(|finding| finding.code));
    }
    let (done, total) = ledger.progress();
    assert_eq!(done, total);
    codes
}

#[track_caller]
fn check_planted(statements: &[&'static str], expected: &[&str]) {
    let lab = Lab::after_a_morning().close();
    assert_eq!(findings(&lab), [""; 0]);
    lab.plant(statements);
    assert_eq!(findings(&lab), expected, "{statements:?}");
}

#[test]
fn a_changed_audit_is_told_with_its_row() {
    let lab = Lab::after_a_morning().close();
    for login in ["lan", "minh", "hoa"] {
        check(&lab.labwire(&["user", "add", login, "--role", "viewer"]), 0);
    }
    let told = check(&lab.labwire(&["audit", "verify"]), 0);
    assert!(
        told.starts_with("3 rows, each follows from the one before it."),
        "{told}"
    );
    let noted = told.split_whitespace().last().expect("a row and its hash");
    check(&lab.labwire(&["audit", "verify", "--noted", noted]), 0);
    check(&lab.labwire(&["audit", "verify", "--noted", "7"]), 2);
    lab.plant(&[
        "DROP TRIGGER audit_change",
        "UPDATE audit SET actor = 'nobody' WHERE id = 2",
    ]);
    let told = check(&lab.labwire(&["audit", "verify"]), 1);
    assert!(
        told.starts_with("Row 2 of ") && told.contains("row 1 is before it"),
        "{told}"
    );
}

#[test]
fn every_planted_inconsistency_of_messages_is_found() {
    check_planted(
        &["UPDATE message SET outcome = NULL WHERE id = 2"],
        &["LEDG-0101"],
    );
    check_planted(
        &["UPDATE message SET outcome = 'x' WHERE id = 1"],
        &["LEDG-0101"],
    );
    check_planted(&["DELETE FROM result WHERE id = 4"], &["LEDG-0102"]);
    check_planted(
        &[
            "INSERT INTO device_event (message, line, code, text, specimen, at) \
           VALUES (2, 'xn-1', 'a', '', '', 1)",
        ],
        &["LEDG-0103"],
    );
    check_planted(
        &["UPDATE message SET state = 'unparsed', attempts = 3, outcome = NULL WHERE id = 1"],
        &["LEDG-0104"],
    );
    check_planted(
        &["UPDATE message SET state = 'unparsed' WHERE id = 2"],
        &["LEDG-0106"],
    );
    check_planted(
        &["UPDATE message SET state = 'set-aside' WHERE id = 4"],
        &["LEDG-0105"],
    );
    check_planted(
        &["UPDATE message SET state = 'lost' WHERE id = 4"],
        &["LEDG-0107"],
    );
}

#[test]
fn every_planted_inconsistency_of_results_is_found() {
    check_planted(
        &["UPDATE result SET queue = NULL WHERE id = 2"],
        &["LEDG-0201"],
    );
    check_planted(
        &["UPDATE result SET queue = NULL"],
        &["LEDG-0201", "LEDG-0201", "LEDG-0307"],
    );
    check_planted(
        &["UPDATE result SET holds = '[]' WHERE id = 3"],
        &["LEDG-0202"],
    );
    check_planted(&["INSERT INTO queue_result VALUES (1, 3)"], &["LEDG-0203"]);
    check_planted(
        &["UPDATE result SET state = 'set-aside' WHERE id = 3"],
        &["LEDG-0204"],
    );
    check_planted(&["DELETE FROM message WHERE id = 4"], &["LEDG-0205"]);
    check_planted(
        &["UPDATE queue SET state = 'superseded'"],
        &["LEDG-0206", "LEDG-0206"],
    );
    check_planted(
        &["UPDATE result SET state = 'gone' WHERE id = 4"],
        &["LEDG-0207"],
    );
}

#[test]
fn every_planted_inconsistency_of_the_queue_and_of_frames_is_found() {
    check_planted(&["UPDATE queue SET answer = ''"], &["LEDG-0301"]);
    check_planted(
        &["UPDATE queue SET body = NULL"],
        &["LEDG-0302", "LEDG-0309"],
    );
    check_planted(&["UPDATE queue SET control_id = 'LW-7'"], &["LEDG-0304"]);
    check_planted(&["UPDATE queue SET state = 'discarded'"], &["LEDG-0305"]);
    check_planted(&["UPDATE queue SET state = 'set-aside'"], &["LEDG-0306"]);
    check_planted(
        &["INSERT INTO frame VALUES ('xn-1', 1, 99, 0, 1, x'480D')"],
        &["LEDG-0401"],
    );
}

#[test]
fn a_control_id_that_was_used_twice_is_found() {
    let lab = Lab::after_a_morning().close();
    // The schema forbids it, so a table without its rules takes the place of the real one.
    lab.plant(&[
        "ALTER TABLE queue RENAME TO sound",
        "CREATE TABLE queue AS SELECT * FROM sound",
        "INSERT INTO queue SELECT 2, destination, 'order', specimen, priority, state, attempts, \
         due_at, lease_owner, lease_until, control_id, body, reason, created_at, tried_at, \
         closed_at, closed_by, answer, behind FROM sound",
    ]);
    assert_eq!(findings(&lab), ["LEDG-0303"]);
    let out = check(&lab.labwire(&["ledger", "--findings"]), 1);
    assert!(
        out.contains("LEDG-0303  queue 2: queue 1 has the same control id"),
        "{out}"
    );
}

#[test]
fn a_ledger_of_many_pages_misses_nothing_and_begins_where_it_is_asked() {
    let lab = Lab::after_a_morning().close();
    lab.plant(&[
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
         INSERT INTO message (line, connection, session, received_at, is_complete, raw, state) \
         SELECT 'xn-1', 2, i, 1773129660000000 + i * 1000000, 1, x'480D', 'retransmission' FROM n",
    ]);
    let lines = |args: &[&str]| check(&lab.labwire(args), 0).lines().count();
    assert_eq!(lines(&["ledger"]), 1_000 + 4 + 1);
    // 08:01:00 plus the seconds from 901 to 1000.
    let since = ["ledger", "--since", "2026-03-10T08:16:01Z"];
    assert_eq!(lines(&since), 100 + 1);
}

on_postgres_too! {
    every_planted_inconsistency_of_messages_is_found
    every_planted_inconsistency_of_results_is_found
    every_planted_inconsistency_of_the_queue_and_of_frames_is_found
    a_control_id_that_was_used_twice_is_found
    a_ledger_of_many_pages_misses_nothing_and_begins_where_it_is_asked
}
