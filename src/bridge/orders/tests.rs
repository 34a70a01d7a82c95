//! What devices are told, on a real store: answers to queries that name no tube, orders and cancels
//! that nobody asked for.

use std::sync::Arc;

use labwire_drivers::SystemClock;
use labwire_protocols::wire::{Commit, Received};

use super::{Asked, TUBES_MAX, answer_queries};
use crate::{
    audit,
    book::{self, Action, BookContext, Identifier, OrderEntry, PatientEntry, SpecimenEntry},
    bridge::site::Site,
    config::{self, Seams},
    model::{Priority, Private, Query, QueryAction, QuerySubject, SpecimenRead},
    profile::Library,
    store::{Db, JournalEntry, Store, StoreError, StoreOptions, Turn},
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
    _folder: tempfile::TempDir,
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
        let url = format!("sqlite:{}", folder.path().join("labwire.db").display());
        let clock = Arc::new(SystemClock::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let opening = Store::open(&url, StoreOptions::default(), clock);
        let store = runtime.block_on(opening).expect("a new store");
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
            _folder: folder,
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
        let (message, now) = (self.message, self.now);
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
            }
            Ok(())
        });
    }

    /// The answer to a query of a line: its whole text, messages one after another.
    fn ask(&self, line: &str, subject: QuerySubject) -> String {
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
        let answers = self.work(move |db| {
            let asked = Asked {
                line: &site.lines[&line],
                message,
                since: now - 14 * DAY,
                now,
                run: "RUN",
            };
            answer_queries(db, &asked, &[query])
        });
        String::from_utf8(answers.concat()).expect("ASCII")
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
        book::told_items(db, "access", &items)
    });
    assert_eq!(told, [0; 0], "nobody was told of it");
    let alone = QuerySubject::Specimens(vec![tube(ids[1])]);
    assert_eq!(bench.ask("access", alone), "");
}
