//! A queue that has grown long: a lease costs what it takes, whatever waits.

use super::*;
use crate::{
    queue::{Backoff, Leased, Verdict},
    store::{Param, Sql},
};

/// As many as wait after an hour of a busy laboratory whose HIS is down.
const ROWS: i64 = 20_000;

const PATIENTS: Sql = Sql::same(
    "INSERT INTO patient (id, fields, birth, sex, updated_at) \
     WITH RECURSIVE c(i) AS (SELECT CAST(1 AS bigint) UNION ALL \
     SELECT i + 1 FROM c WHERE i < CAST($1 AS bigint)) \
     SELECT i, '{}', '', '', 0 FROM c",
);
const TUBES: Sql = Sql::same(
    "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
     WITH RECURSIVE c(i) AS (SELECT CAST(1 AS bigint) UNION ALL \
     SELECT i + 1 FROM c WHERE i < CAST($1 AS bigint)) \
     SELECT i, 'his', 'D' || i, 1, i, '{}', 0 FROM c",
);
/// Tube, priority, due at: `$2` + the row's number.
const WAITING: Sql = Sql::same(
    "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, \
     reason, created_at, closed_by, answer) \
     WITH RECURSIVE c(i) AS (SELECT CAST(1 AS bigint) UNION ALL \
     SELECT i + 1 FROM c WHERE i < CAST($1 AS bigint)) \
     SELECT i, 'host:his', 'result', i, 2, 'waiting', 0, CAST($2 AS bigint) + i, '', CAST($2 AS bigint) + i, '', '' FROM c",
);

/// One row of every tube waits, the oldest first.
fn deep() -> Lab {
    let lab = Lab::new();
    let since = lab.now - DAY;
    lab.work(move |db| {
        db.exec(&PATIENTS, &[ROWS.into()])?;
        db.exec(&TUBES, &[ROWS.into()])?;
        db.exec(&WAITING, &[ROWS.into(), since.into()])
    });
    lab
}

/// Says of each row which it is.
struct Rows;

impl Render for Rows {
    fn render(&mut self, _: &mut dyn Db, rows: &[Pending]) -> Result<Vec<Rendered>, StoreError> {
        let message = |row: &Pending| Rendered::Message {
            control_id: format!("LW-{}", row.id),
            body: row.id.to_string().into_bytes(),
        };
        Ok(rows.iter().map(message).collect())
    }
}

impl Lab {
    fn take(&self, count_max: i64) -> Vec<Leased> {
        let now = self.now;
        self.work(move |db| {
            let terms = LeaseTerms {
                destination: "host:his",
                owner: "worker",
                now,
                until: now + MINUTE,
                count_max,
                more_urgent_than: LeaseTerms::ANY_PRIORITY,
            };
            queue::lease(db, &terms, &mut Rows)
        })
    }

    /// Ends tries of these rows in the same way.
    fn end(&self, rows: &[Leased], verdict: &Verdict) {
        let ended: Vec<_> = rows.iter().map(|row| (row.id, verdict.clone())).collect();
        let now = self.now;
        let count = self
            .work(move |db| queue::settle_attempts(db, &ended, "worker", Backoff::default(), now));
        assert_eq!(count, rows.len());
    }

    fn first_due(&self) -> Option<i64> {
        let due = self.work(|db| queue::due(db, "host:his"));
        due.map(|due| due.earliest)
    }
}

fn ids(rows: &[Leased]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

fn refused() -> Verdict {
    Verdict::Deferred {
        reason: "refused".to_owned(),
        answer: "AE".to_owned(),
    }
}

fn taken() -> Verdict {
    Verdict::Accepted {
        answer: "AA".to_owned(),
    }
}

#[test]
fn a_long_queue_leaves_in_order_and_what_is_urgent_overtakes_it() {
    const URGENT: Sql = Sql::same("UPDATE queue SET priority = 0 WHERE id = $1");
    let lab = deep();
    assert_eq!(ids(&lab.take(3)), [1, 2, 3]);
    lab.work(|db| db.exec(&URGENT, &[ROWS.into()]));
    assert_eq!(ids(&lab.take(3)), [ROWS, 4, 5]);
    let counted = lab.work(queue::summary);
    let counted: Vec<_> = counted.iter().map(|row| (row.1.as_str(), row.2)).collect();
    assert_eq!(counted, [("leased", 6), ("waiting", ROWS - 6)]);
    let listed = lab.work(|db| queue::list(db, QueueState::Waiting, 10_000, 2));
    let listed: Vec<i64> = listed.iter().map(|row| row.id).collect();
    assert_eq!(listed, [10_001, 10_002]);
}

#[test]
fn what_is_refused_again_and_again_does_not_keep_a_long_queue_from_moving() {
    let mut lab = deep();
    // A host that takes nothing: every try is another message's.
    for turn in 0..20 {
        let taken = lab.take(16);
        assert_eq!(
            ids(&taken),
            (turn * 16 + 1..=turn * 16 + 16).collect::<Vec<_>>()
        );
        lab.end(&taken, &refused());
        lab.now += MINUTE;
    }
    // One that is asked for by a person goes before everything.
    lab.work(|db| {
        let noted = queue::discard(db, 321, "mai", "by mistake", MORNING)?;
        assert!(noted, "it waited");
        queue::retry(db, 7, "mai", MORNING)
    });
    assert_eq!(ids(&lab.take(2)), [7, 322]);
}

#[test]
fn what_waits_behind_a_deferred_message_of_its_tube_is_due_with_it() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    let first = lab.take(10);
    assert_eq!(ids(&first), [1]);
    // The second message of the tube comes while the first is on its way, the third after it came back.
    let hgb = |text: &str| Observation {
        code: "HGB".to_owned(),
        test: Some("HGB".to_owned()),
        ..wbc(text)
    };
    lab.result(hgb("131"));
    assert!(lab.take(10).is_empty(), "the first is not answered");
    lab.end(&first, &refused());
    let due = lab.first_due().expect("the first waits");
    assert!(due > lab.now, "nothing is due before the first is");
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..hgb("132")
    });
    assert_eq!(lab.first_due(), Some(due));
    assert!(lab.take(10).is_empty());
    lab.now = due;
    let again = lab.take(10);
    assert_eq!(ids(&again), [1], "in their order");
    lab.end(&again, &taken());
    // The second told what the third replaced, and had never left.
    assert_eq!(ids(&lab.take(10)), [3]);
}

/// How a database answers, line by line.
fn plan(lab: &Lab, sql: &Sql, params: Vec<Param>) -> Vec<String> {
    const ANALYZE: Sql = Sql::same("ANALYZE queue");
    // A statement is a constant; these are made for as long as the test runs.
    let leak = |begin: &str, text: &str| -> &'static str {
        Box::leak(format!("{begin} {text}").into_boxed_str())
    };
    let explained = Sql {
        sqlite: leak("EXPLAIN QUERY PLAN", sql.sqlite),
        postgres: leak("EXPLAIN", sql.postgres),
    };
    lab.work(move |db| {
        db.exec(&ANALYZE, &[])?;
        let rows = db.rows(&explained, &params)?;
        let lines = rows.iter().map(|row| row.text(3).or_else(|_| row.text(0)));
        lines.map(|line| Ok(line?.to_owned())).collect()
    })
}

/// Every line of the plan that touches the queue goes by one of these indexes, and nothing is sorted.
fn goes_by(plan: &[String], indexes: &[&str]) {
    let touches = |line: &&String| {
        let of_sqlite = ["SCAN q", "SEARCH q", "SCAN queue", "SEARCH queue"];
        let of_postgres = [" on queue"];
        let is_touched = of_sqlite.iter().chain(&of_postgres);
        is_touched.clone().any(|part| line.contains(part))
    };
    let by = |line: &&String| indexes.iter().any(|index| line.contains(index));
    let all: Vec<_> = plan.iter().filter(touches).collect();
    assert!(!all.is_empty() && all.iter().all(by), "{plan:#?}");
    let sorts = |line: &String| line.contains("TEMP B-TREE") || line.contains("Sort");
    assert!(!plan.iter().any(sorts), "{plan:#?}");
}

#[test]
fn the_identifiers_of_a_patient_are_found_among_many_by_their_index() {
    const IDENTIFIERS: Sql = Sql::same(
        "INSERT INTO patient_identifier (host, identifier, authority, is_key, patient) \
         SELECT 'his', 'P' || id, '', 1, id FROM patient",
    );
    const ANALYZE: Sql = Sql::same("ANALYZE patient_identifier");
    const ANALYZE_PATIENTS: Sql = Sql::same("ANALYZE patient");
    let lab = deep();
    lab.work(|db| {
        db.exec(&IDENTIFIERS, &[])?;
        db.exec(&ANALYZE, &[])?;
        db.exec(&ANALYZE_PATIENTS, &[])
    });
    let all = book::statements();
    let mut found = all
        .into_iter()
        .filter(|sql| sql.postgres.starts_with("WITH RECURSIVE one(root, id)"));
    let sql = found.next().expect("the book has this statement");
    let plan = plan(&lab, sql, vec!["[7, 8]".into()]);
    assert!(
        plan.iter()
            .any(|line| line.contains("patient_identifier_patient")),
        "{plan:#?}"
    );
    assert!(
        !plan.iter().any(|line| line.contains("Seq Scan")),
        "{plan:#?}"
    );
}

#[test]
fn devices_are_found_that_something_is_due_for_and_no_others() {
    const OF: Sql =
        Sql::same("UPDATE queue SET destination = $2, priority = $3, due_at = $4 WHERE id = $1");
    let lab = deep();
    let now = lab.now;
    let rows = [
        (1, "line:b", 2, now),
        (2, "line:a", 0, now - 1),
        (3, "line:a", 1, now - 2),
        (4, "line:later", 2, now + 1),
        // Put off by a clock that was set back since.
        (5, "line:out-of-time", 1, now + DAY),
        (6, "line:out-of-time", 1, now + 1),
        (7, "line:done", 2, now),
    ];
    lab.work(move |db| {
        for (id, to, priority, due) in rows {
            db.exec(&OF, &[id.into(), to.into(), priority.into(), due.into()])?;
        }
        const DONE: Sql = Sql::same("UPDATE queue SET state = 'delivered' WHERE id = $1");
        db.exec(&DONE, &[7.into()])
    });
    let due = lab.work(move |db| queue::devices_due(db, now));
    assert_eq!(due, ["line:a", "line:b", "line:out-of-time"]);
    // By a clock that was set back, all of it is.
    let earlier = lab.work(move |db| queue::devices_due(db, now - DAY / 2));
    assert_eq!(
        earlier,
        ["line:a", "line:b", "line:later", "line:out-of-time"]
    );
}

#[test]
fn what_couriers_ask_of_a_long_queue_goes_by_its_index_and_sorts_nothing() {
    let lab = deep();
    let (now, after): (Param, Param) = (lab.now.into(), 100.into());
    let (to, priority): (Param, Param) = ("host:his".into(), 2.into());
    let find = |part: &str| {
        let all = queue::statements();
        let found = all.into_iter().find(|sql| sql.sqlite.contains(part));
        found.expect("the queue has this statement")
    };
    let candidates = find("ORDER BY q.due_at, q.id");
    let params = vec![to.clone(), now, after.clone(), priority.clone()];
    let own = [
        "queue_open",
        "queue_specimen",
        "queue_aside",
        "PRIMARY KEY",
        "queue_pkey",
    ];
    goes_by(&plan(&lab, candidates, params), &own);
    goes_by(
        &plan(&lab, find("ORDER BY due_at LIMIT 1"), vec![to, priority]),
        &["queue_open"],
    );
    let devices = find("WITH RECURSIVE device");
    goes_by(
        &plan(&lab, devices, vec![after.clone(), after.clone()]),
        &["queue_open"],
    );
    let list = find("WHERE q.state = 'waiting' AND q.id > $1");
    goes_by(
        &plan(&lab, list, vec![after.clone(), after]),
        &["queue_waiting"],
    );
}

crate::on_postgres_too! {
    a_long_queue_leaves_in_order_and_what_is_urgent_overtakes_it
    what_is_refused_again_and_again_does_not_keep_a_long_queue_from_moving
    what_waits_behind_a_deferred_message_of_its_tube_is_due_with_it
    what_couriers_ask_of_a_long_queue_goes_by_its_index_and_sorts_nothing
    devices_are_found_that_something_is_due_for_and_no_others
    the_identifiers_of_a_patient_are_found_among_many_by_their_index
}
