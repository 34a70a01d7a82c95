//! What devices are told, on a real store: answers to queries that name no tube, orders and cancels
//! that nobody asked for.

use std::sync::Arc;

use labwire_drivers::SystemClock;
use labwire_protocols::wire::{Commit, Received};

use super::{Answered, Asked, DownloadRenderer, TUBES_MAX, answer_queries};
use crate::{
    audit,
    book::{self, Action, BookContext, Identifier, OrderEntry, PatientEntry, SpecimenEntry},
    bridge::{host_line, site::Site},
    config::{self, Seams},
    model::{Priority, Private, Query, QueryAction, QuerySubject, SpecimenRead},
    profile::Library,
    queue::{self, Backoff, LeaseTerms, Verdict},
    store::{
        Db, JournalEntry, Sql, Store, StoreError, Turn,
        ground::{Ground, new_store},
    },
};

/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const DAY: i64 = 24 * 3_600 * 1_000_000;

const LAB: &str = r#"
[lab]
timezone = "Asia/Ho_Chi_Minh"

[[instrument]]
id = "asks"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
tests = { WBC = "WBC", HGB = "HGB", PLT = "PLT" }

[[instrument]]
id = "told"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
orders = "download"
tests = { NA = "NA", K = "K", CL = "CL" }

[[instrument]]
id = "hl7"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"

[[instrument]]
id = "access"
profile = "beckman/access2"
port = "tcp-listen://127.0.0.1:0"
tests = { TSH = "TSH" }
"#;

struct Bench {
    store: Store,
    site: Arc<Site>,
    now: i64,
    message: i64,
    _ground: Box<dyn Ground>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("lab.toml");
        std::fs::write(&path, LAB).expect("the folder is writable");
        let (loaded, _) = config::load(&path, &Seams::default());
        let loaded = loaded.expect("a configuration without problems");
        let (library, _) = Library::load(None);
        let site = Site::new(&loaded.lab, Arc::new(loaded.catalogue), &library);
        let (store, ground) = new_store(Arc::new(SystemClock::default()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let entry = JournalEntry {
            line: "asks".to_owned(),
            connection: 1,
            at: MORNING,
            commit: Commit::Message(Received {
                session: 1,
                bytes: b"query".to_vec().into(),
                is_complete: true,
            }),
        };
        let journalled = runtime.block_on(store.journal(entry));
        Self {
            store,
            site: Arc::new(site),
            now: MORNING,
            message: journalled.expect("the journal takes it").messages[0],
            _ground: ground,
        }
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .transact_blocking(Turn::Canonical, work)
            .expect("the store works")
    }

    /// Applies these items, as one message of the HIS.
    fn hear(&self, entries: Vec<OrderEntry>) {
        let (site, message, now) = (Arc::clone(&self.site), self.message, self.now);
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message,
                now,
                specimen_age_max: 14 * DAY,
            };
            for entry in &entries {
                let applied = book::apply(db, &context, Some(&patient()), entry)?;
                assert_eq!(applied.outcome, book::Outcome::Accepted, "{entry:?}");
                let heard = crate::host::Heard {
                    barcodes: vec![applied.barcode],
                    ..Default::default()
                };
                host_line::follow_up(db, &site, &heard, now)?;
            }
            Ok(())
        });
    }

    /// The answer to a query of a line: its whole text, messages one after another.
    fn ask(&self, line: &str, subject: QuerySubject) -> String {
        let payloads = self.answered(line, subject).into_payloads();
        String::from_utf8(payloads.expect("a query").concat()).expect("ASCII")
    }

    fn answered(&self, line: &str, subject: QuerySubject) -> Answered {
        self.answered_to(None, line, subject)
    }

    /// The same, asked by the line's own device or by a stranger of that name.
    fn answered_to(
        &self,
        stranger: Option<&'static str>,
        line: &str,
        subject: QuerySubject,
    ) -> Answered {
        let (site, line, message, now) = (
            Arc::clone(&self.site),
            line.to_owned(),
            self.message,
            self.now,
        );
        let query = Query {
            subject,
            action: QueryAction::Ask,
            echo: Vec::new(),
            codes: Vec::new(),
        };
        self.work(move |db| {
            let asked = Asked {
                line: &site.lines[&line],
                message,
                since: now - 14 * DAY,
                now,
                run: "RUN",
                stranger,
            };
            answer_queries(db, &asked, &[query])
        })
    }

    /// What a line is told until nothing waits, all of it taken: action, tube and tests.
    fn told(&self, line: &str) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let (site, line, now) = (Arc::clone(&self.site), line.to_owned(), self.now);
            let bodies = self.work(move |db| {
                let terms = LeaseTerms {
                    destination: &format!("line:{line}"),
                    owner: "courier",
                    now,
                    until: now + DAY,
                    count_max: 10,
                    more_urgent_than: LeaseTerms::ANY_PRIORITY,
                };
                let mut renderer = DownloadRenderer {
                    line: &site.lines[&line],
                    run: "RUN",
                    now,
                };
                let leased = queue::lease(db, &terms, &mut renderer)?;
                let taken = Verdict::Accepted {
                    answer: String::new(),
                };
                let ended: Vec<_> = leased.iter().map(|row| (row.id, taken.clone())).collect();
                let backoff = Backoff {
                    first: 1,
                    longest: 1,
                };
                queue::settle_attempts(db, &ended, "courier", backoff, now)?;
                Ok(leased.into_iter().map(|row| row.body).collect::<Vec<_>>())
            });
            let waiting = self.work(move |db| {
                const WAITING: Sql =
                    Sql::same("SELECT count(*) FROM queue WHERE state = 'waiting'");
                db.row(&WAITING, &[])?.int(0)
            });
            for body in &bodies {
                told.extend(orders_of(std::str::from_utf8(body).expect("ASCII")));
            }
            if waiting == 0 && bodies.is_empty() {
                return told;
            }
        }
    }

    /// What was audited of queries, as `action: detail`.
    fn audited(&self) -> Vec<String> {
        let subject = format!("message:{}", self.message);
        let rows = self.work(move |db| audit::of_subject(db, &subject));
        rows.into_iter()
            .map(|(_, _, action, detail)| format!("{action}: {detail}"))
            .collect()
    }
}

fn patient() -> PatientEntry {
    PatientEntry {
        identifiers: vec![Identifier {
            id: Private::new("PID0098".to_owned()),
            ..Identifier::default()
        }],
        ..PatientEntry::default()
    }
}

fn item(action: Action, service: &str, barcode: &str, tests: &[&str]) -> OrderEntry {
    OrderEntry {
        action,
        placer: format!("P{barcode}"),
        service: service.to_owned(),
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        specimen: Some(SpecimenEntry {
            barcode: barcode.to_owned(),
            ..SpecimenEntry::default()
        }),
        priority: Priority::Routine,
        orc: Default::default(),
        obr: Default::default(),
    }
}

fn tube(id: &str) -> SpecimenRead {
    SpecimenRead {
        sent: id.to_owned(),
        id: id.to_owned(),
        rack: String::new(),
        position: String::new(),
    }
}

/// The tubes that an ASTM answer orders on, with their tests.
fn ordered(answer: &str) -> Vec<String> {
    let fields = answer
        .split('\r')
        .filter(|record| record.starts_with("O|"))
        .map(|record| record.split('|').collect::<Vec<_>>());
    fields
        .map(|fields| format!("{} {}", fields[2], fields[4].replace('^', "")))
        .collect()
}

/// The orders of an ASTM message: action, tube and tests.
fn orders_of(message: &str) -> Vec<String> {
    let fields = message
        .split('\r')
        .filter(|record| record.starts_with("O|"))
        .map(|record| record.split('|').collect::<Vec<_>>());
    fields
        .map(|fields| {
            format!(
                "{} {} {}",
                fields[11],
                fields[2],
                fields[4].replace('^', "")
            )
        })
        .collect()
}

/// 600 tubes of a test that only another device does, in front of every other barcode.
fn crowd(test: &str) -> Vec<OrderEntry> {
    (0..600)
        .map(|n| item(Action::New, test, &format!("1{n:05}"), &[test]))
        .collect()
}

#[test]
fn a_device_that_asks_for_everything_gets_its_own_tubes_behind_any_number_of_others() {
    let bench = Bench::new();
    bench.hear(crowd("TSH"));
    let own = ["900001", "900002", "900003"];
    bench.hear(
        own.map(|id| item(Action::New, "WBC", id, &["WBC"]))
            .to_vec(),
    );
    let answer = bench.ask("asks", QuerySubject::All);
    assert_eq!(
        ordered(&answer),
        ["900001 WBC", "900002 WBC", "900003 WBC"],
        "{answer}"
    );
    assert_eq!(bench.audited(), [""; 0]);
}

#[test]
fn another_device_on_the_line_is_told_of_no_order() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "WBC", "900001", &["WBC"])]);
    for subject in [
        QuerySubject::All,
        QuerySubject::Specimens(vec![tube("900001")]),
    ] {
        let answered = bench.answered_to(Some("ACME^test"), "asks", subject);
        let payloads = answered.into_payloads().expect("a query").concat();
        let answer = String::from_utf8(payloads).expect("ASCII");
        assert!(
            !answer.contains("WBC") && !answer.contains("PID0098"),
            "{answer}"
        );
    }
    let noted = "not-answered: another device asked: ACME^test";
    assert_eq!(bench.audited(), [noted, noted]);
    let answer = bench.ask("asks", QuerySubject::All);
    assert_eq!(ordered(&answer), ["900001 WBC"], "its own device is told");
}

#[test]
fn a_range_finds_its_tubes_behind_any_number_of_others() {
    let bench = Bench::new();
    bench.hear(crowd("WBC"));
    let ids = ["900001", "900002", "900003", "900004", "9000025"];
    bench.hear(
        ids.map(|id| item(Action::New, "WBC", id, &["WBC"]))
            .to_vec(),
    );
    let range = |first: &str, last: &str| QuerySubject::Range(first.to_owned(), last.to_owned());
    let answer = bench.ask("asks", range("900002", "900003"));
    assert_eq!(ordered(&answer), ["900002 WBC", "900003 WBC"], "{answer}");
    let answer = bench.ask("asks", range("900002", "9000030"));
    assert_eq!(ordered(&answer), [""; 0], "lengths differ");
}

#[test]
fn an_answer_that_is_cut_is_noted_and_the_next_one_goes_on() {
    let bench = Bench::new();
    bench.hear(crowd("WBC"));
    let first = ordered(&bench.ask("asks", QuerySubject::All));
    assert_eq!(first.len(), TUBES_MAX);
    assert_eq!(
        bench.audited(),
        ["answer-cut: 500 tubes are told, more wait for the next query"]
    );
    let second = ordered(&bench.ask("asks", QuerySubject::All));
    let is_new = |tube: &&String| !first.contains(tube);
    assert_eq!(second.iter().filter(is_new).count(), 100);
}

#[test]
fn one_id_that_is_too_long_does_not_cost_the_device_its_other_orders() {
    let bench = Bench::new();
    let ids = ["2503100001", "2503100002345678", "2503100003"];
    bench.hear(
        ids.map(|id| item(Action::New, "TSH", id, &["TSH"]))
            .to_vec(),
    );
    let too_long = "not-told: PROF-0302 write an order: the specimen id has 16 characters, the \
                    device takes 15";
    let many = QuerySubject::Specimens(ids.map(tube).to_vec());
    let answer = bench.ask("access", many);
    assert!(answer.contains("2503100001"), "{answer}");
    assert!(answer.contains("2503100003"), "{answer}");
    assert_eq!(bench.audited(), [too_long]);
    let told = bench.work(|db| {
        let tube = book::specimens_with_barcode(db, "2503100002345678", 0)?.remove(0);
        let items = book::open_items(db, tube.id)?;
        book::told_tests(db, "access", &items)
    });
    assert!(told.is_empty(), "nobody was told of it");
    let alone = QuerySubject::Specimens(vec![tube(ids[1])]);
    assert_eq!(bench.answered("access", alone), Answered::Failed);
}

#[test]
fn a_cancel_leaves_what_another_order_of_the_tube_wants() {
    let bench = Bench::new();
    bench.hear(vec![
        item(Action::New, "PANEL", "T1", &["NA", "K"]),
        item(Action::New, "NA", "T1", &["NA"]),
    ]);
    assert_eq!(bench.told("told"), ["N T1 NA\\K", "A T1 NA"]);
    bench.hear(vec![item(Action::Cancel, "PANEL", "T1", &[])]);
    assert_eq!(bench.told("told"), ["C T1 K"]);
    bench.hear(vec![item(Action::Cancel, "NA", "T1", &[])]);
    assert_eq!(bench.told("told"), ["C T1 NA"], "the last one to want it");
}

#[test]
fn a_cancel_after_a_query_leaves_what_another_order_wants() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "CBC", "T1", &["WBC", "HGB"])]);
    bench.ask("asks", QuerySubject::Specimens(vec![tube("T1")]));
    // Ordered since: the device has the test, though not for this order.
    bench.hear(vec![item(Action::New, "WBC", "T1", &["WBC"])]);
    bench.hear(vec![item(Action::Cancel, "CBC", "T1", &[])]);
    assert_eq!(bench.told("asks"), ["C T1 HGB"]);
    bench.hear(vec![item(Action::Cancel, "WBC", "T1", &[])]);
    assert_eq!(bench.told("asks"), ["C T1 WBC"]);
}

#[test]
fn an_order_cancelled_before_it_was_told_is_never_spoken_of() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "NA", "T1", &["NA"])]);
    bench.hear(vec![item(Action::Cancel, "NA", "T1", &[])]);
    assert_eq!(bench.told("told"), [""; 0]);
}

#[test]
fn an_addition_to_a_tube_that_the_device_has_says_so() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "NA", "T1", &["NA"])]);
    bench.hear(vec![item(Action::New, "K", "T1", &["K"])]);
    bench.hear(vec![item(Action::New, "K", "T2", &["K"])]);
    // Both wait; the device knows the tube when the second is said.
    let mut told = bench.told("told");
    told.sort();
    assert_eq!(told, ["A T1 K", "N T1 NA", "N T2 K"]);
    bench.hear(vec![item(Action::New, "CL", "T1", &["CL"])]);
    assert_eq!(bench.told("told"), ["A T1 CL"]);
}

#[test]
fn a_change_takes_back_what_is_gone_and_adds_what_is_new() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "PANEL", "T1", &["NA", "K"])]);
    assert_eq!(bench.told("told"), ["N T1 NA\\K"]);
    bench.hear(vec![item(Action::Change, "PANEL", "T1", &["NA", "CL"])]);
    assert_eq!(bench.told("told"), ["C T1 K", "A T1 CL"]);
    bench.hear(vec![item(Action::Change, "PANEL", "T1", &["NA", "CL"])]);
    assert_eq!(
        bench.told("told"),
        [""; 0],
        "the same again changes nothing"
    );
    // Gone and back before the device heard of it.
    bench.hear(vec![item(Action::Change, "PANEL", "T1", &["CL"])]);
    bench.hear(vec![item(Action::Change, "PANEL", "T1", &["NA", "CL"])]);
    assert_eq!(bench.told("told"), [""; 0]);
    bench.hear(vec![item(Action::Cancel, "PANEL", "T1", &[])]);
    assert_eq!(bench.told("told"), ["C T1 CL\\NA"]);
}

#[test]
fn a_change_before_the_order_was_told_is_told_at_once() {
    let bench = Bench::new();
    bench.hear(vec![item(Action::New, "PANEL", "T1", &["NA", "K"])]);
    bench.hear(vec![item(Action::Change, "PANEL", "T1", &["NA"])]);
    assert_eq!(bench.told("told"), ["N T1 NA"]);
}

#[test]
fn an_order_moved_to_another_tube_is_taken_back_from_the_first() {
    let bench = Bench::new();
    let order = |action, barcode: &str| OrderEntry {
        placer: "P1".to_owned(),
        ..item(action, "PANEL", barcode, &["NA", "K"])
    };
    bench.hear(vec![order(Action::New, "T1")]);
    assert_eq!(bench.told("told"), ["N T1 NA\\K"]);
    bench.hear(vec![order(Action::Change, "T2")]);
    assert_eq!(bench.told("told"), ["C T1 NA\\K", "N T2 NA\\K"]);
}

#[test]
fn a_profile_without_a_form_for_answers_supports_no_query() {
    let bench = Bench::new();
    let alone = QuerySubject::Specimens(vec![tube("T1")]);
    assert_eq!(bench.answered("hl7", alone), Answered::Unsupported);
}

crate::on_postgres_too! {
    a_device_that_asks_for_everything_gets_its_own_tubes_behind_any_number_of_others
    another_device_on_the_line_is_told_of_no_order
    a_range_finds_its_tubes_behind_any_number_of_others
    an_answer_that_is_cut_is_noted_and_the_next_one_goes_on
    one_id_that_is_too_long_does_not_cost_the_device_its_other_orders
    a_cancel_leaves_what_another_order_of_the_tube_wants
    a_cancel_after_a_query_leaves_what_another_order_wants
    an_order_cancelled_before_it_was_told_is_never_spoken_of
    an_addition_to_a_tube_that_the_device_has_says_so
    a_change_takes_back_what_is_gone_and_adds_what_is_new
    a_change_before_the_order_was_told_is_told_at_once
    an_order_moved_to_another_tube_is_taken_back_from_the_first
    a_profile_without_a_form_for_answers_supports_no_query
}
