//! A laboratory on disk: files, a store and a morning's work in it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use labwire::{
    book::{
        self, Action, BookContext, Fields, Identifier, OrderEntry, PatientEntry, SpecimenEntry,
    },
    model::{Item, Priority, Private},
    profile::{Library, LineSettings, decode},
    queue::{self, Backoff, LeaseTerms, Pending, Render, Rendered, Verdict},
    settle::{SettleContext, SiteRules, resume, settle},
    store::{
        Beside, Clock, Db, JournalEntry, Sql, Store, StoreError, StoreOptions, Turn,
        journal::{self, MessageState},
    },
};
use labwire_protocols::wire::{Commit, Mono, Received};

use crate::cluster::Cluster;

/// 2026-03-10 08:00 UTC.
pub(crate) const MORNING: i64 = 1_773_129_600_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

const LAB: &str = r#"
[lab]
name = "Test"
timezone = "Asia/Ho_Chi_Minh"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "mllp://127.0.0.1:2576"

[[instrument]]
id = "xn-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
tests = { "WBC" = "WBC", "HGB" = "HGB", "GLU" = "GLU" }
"#;

/// What a blood counter sends, without frames.
pub(crate) fn records(tube: &str, results: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut text = format!("H|\\^&|||XN||||||||E1394-97\rP|1\rO|1|{tube}||^^^CBC|R\r");
    for (number, (code, value, unit)) in results.iter().enumerate() {
        let number = number + 1;
        text.push_str(&format!("R|{number}|^^^{code}|{value}|{unit}||N||F\r"));
    }
    text.push_str("L|1|N\r");
    text.into_bytes()
}

thread_local! {
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test whose laboratories have their stores on PostgreSQL; says so where it cannot.
pub(crate) fn on_postgres(test: impl FnOnce()) {
    /// With one thread for all tests, the next one is on it too.
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            IS_SERVER.set(false);
        }
    }
    if Cluster::shared().is_some() {
        IS_SERVER.set(true);
        let _back = Back;
        test();
    }
}

/// The laboratory.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    url: String,
    store: Store,
    now: i64,
    sessions: u64,
}

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        MORNING
    }
}

struct Rules;

impl SiteRules for Rules {
    fn releases_automatically(&self, _: &str) -> bool {
        true
    }
    fn posts_extras(&self, _: &str) -> bool {
        false
    }
    fn is_transfusion(&self, _: &str, _: &str) -> bool {
        false
    }
}

/// Renders what a host could read, under a control id of its own.
struct Oru;

impl Render for Oru {
    fn render(&mut self, _: &mut dyn Db, pending: &[Pending]) -> Result<Vec<Rendered>, StoreError> {
        let rendered = |row: &Pending| {
            let control_id = format!("LW-{}", row.id);
            let body = format!(
                "MSH|^~\\&|LABWIRE||HIS||20260310080000||ORU^R01^ORU_R01|{control_id}|P|2.5.1\r"
            );
            Rendered::Message {
                control_id,
                body: body.into_bytes(),
            }
        };
        Ok(pending.iter().map(rendered).collect())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

impl Lab {
    /// Files and an empty store.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (url, rest) = match Cluster::shared().filter(|_| IS_SERVER.get()) {
            Some(cluster) => {
                let url = cluster.new_schema();
                let rest = format!("\n[store]\nurl = \"{url}\"\n");
                (url, rest)
            }
            None => {
                let file = folder.path().join("labwire.db");
                (format!("sqlite:{}", file.display()), String::new())
            }
        };
        fs::write(folder.path().join("lab.toml"), format!("{LAB}{rest}"))
            .expect("lab.toml is written");
        let open = Store::open(&url, StoreOptions::default(), Arc::new(StoppedClock));
        let store = runtime().block_on(open).expect("a new store opens");
        Self {
            folder,
            url,
            store,
            now: MORNING,
            sessions: 0,
        }
    }

    /// Two tubes: one whose results are delivered but for a second one that is held; one without
    /// an order.
    pub(crate) fn after_a_morning() -> Self {
        let mut lab = Self::new();
        lab.order("P1", "T1", &["WBC", "HGB"]);
        lab.measure(&records(
            "T1",
            &[("WBC", "6.45", "10*9/L"), ("HGB", "132", "g/L")],
        ));
        lab.deliver("AA");
        lab.measure(&records("T1", &[("WBC", "9.99", "10*9/L")]));
        lab.measure(&records("T9", &[("GLU", "5.40", "mmol/L")]));
        lab
    }

    /// The store's address.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Where the files are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As when the bridge is stopped.
    pub(crate) fn close(self) -> Closed {
        runtime().block_on(self.store.close());
        Closed {
            folder: self.folder,
            url: self.url,
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

    /// Journals a message as it came from a line.
    pub(crate) fn journal(&mut self, line: &str, raw: &[u8]) -> i64 {
        self.sessions += 1;
        self.now += SECOND;
        let received = Received {
            session: self.sessions,
            bytes: raw.to_vec().into(),
            is_complete: true,
        };
        let entry = JournalEntry {
            line: line.to_owned(),
            connection: 1,
            at: self.now,
            commit: Commit::Message(received),
        };
        let done = runtime()
            .block_on(self.store.journal(entry))
            .expect("the journal takes it");
        done.messages[0]
    }

    /// A host orders tests on a tube.
    pub(crate) fn order(&mut self, placer: &str, tube: &str, tests: &[&str]) {
        let raw = format!("MSH|^~\\&|HIS|||||||OML^O21|{placer}\rORC|NW|{placer}\r");
        let message = self.journal("host:his", raw.as_bytes());
        let now = self.now;
        let patient = PatientEntry {
            identifiers: vec![Identifier {
                id: Private::new("MRN1".to_owned()),
                ..Default::default()
            }],
            fields: Private::new(Fields::from([(3, "MRN1".to_owned())])),
            birth: Private::new("19800312".to_owned()),
            sex: "F".to_owned(),
        };
        let entry = OrderEntry {
            action: Action::New,
            placer: placer.to_owned(),
            service: "CBC".to_owned(),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            specimen: Some(SpecimenEntry {
                barcode: tube.to_owned(),
                ..Default::default()
            }),
            priority: Priority::Routine,
            orc: Fields::new(),
            obr: Fields::from([(4, "CBC".to_owned())]),
        };
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message,
                now,
                specimen_age_max: 14 * DAY,
            };
            let applied = book::apply(db, &context, Some(&patient), &entry)?;
            resume(db, &context_of(message, now, b""), &applied.barcode)?;
            let heard = r#"{"heard":"1 order accepted"}"#;
            journal::mark(db, message, MessageState::Parsed, Some(heard))
        });
    }

    /// A device sends records; they are read and settled as the bridge does it.
    pub(crate) fn measure(&mut self, raw: &[u8]) -> i64 {
        let message = self.journal("xn-1", raw);
        let (library, _) = Library::load(None);
        let profile = library.get("generic/astm").expect("it is built in");
        let tests = ["WBC", "HGB", "GLU"].map(|test| (test.to_owned(), test.to_owned()));
        let line = profile.for_line(LineSettings {
            line: "xn-1".to_owned(),
            tests: BTreeMap::from(tests),
            ..LineSettings::default()
        });
        let items: Vec<Item> = decode(&line, None, raw, true).items;
        let (now, raw) = (self.now, raw.to_vec());
        self.work(move |db| {
            let settled = settle(db, &context_of(message, now, &raw), &items)?;
            let outcome = serde_json::json!({ "settled": settled, "notes": [] }).to_string();
            journal::mark(db, message, MessageState::Parsed, Some(&outcome))
        });
        message
    }

    /// A worker sends what is due and hears this.
    pub(crate) fn deliver(&mut self, answer: &str) {
        self.now += SECOND;
        let (now, answer) = (self.now, answer.to_owned());
        self.work(move |db| {
            let terms = LeaseTerms {
                destination: "host:his",
                owner: "worker",
                now,
                until: now + SECOND,
                count_max: 10,
                more_urgent_than: LeaseTerms::ANY_PRIORITY,
            };
            for row in queue::lease(db, &terms, &mut Oru)? {
                let verdict = match answer.as_str() {
                    "AA" => Verdict::Accepted {
                        answer: answer.clone(),
                    },
                    _ => Verdict::Refused {
                        reason: "the host does not take it".to_owned(),
                        answer: answer.clone(),
                    },
                };
                queue::settle_attempt(db, row.id, "worker", &verdict, Backoff::default(), now)?;
            }
            Ok(())
        });
    }

    /// Runs the built program on this laboratory.
    pub(crate) fn labwire(&self, args: &[&str]) -> Told {
        labwire_in(self.folder.path(), args)
    }
}

fn context_of(message: i64, now: i64, digest_input: &[u8]) -> SettleContext<'_> {
    SettleContext {
        message,
        line: "xn-1",
        received_at: now,
        now,
        specimen_age_max: 14 * DAY,
        digest_input,
        site: &Rules,
    }
}

/// A laboratory whose bridge is stopped.
pub(crate) struct Closed {
    folder: tempfile::TempDir,
    url: String,
}

impl Closed {
    /// Where the files are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store's address.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Changes the store behind everybody's back.
    pub(crate) fn plant(&self, statements: &[&'static str]) {
        let mut store = Beside::writer(&self.url()).expect("the store opens");
        store
            .transact(|db| {
                for statement in statements {
                    // Bytes are written in another way there; a test may leak a word.
                    let postgres = statement.replace("x'480D'", "'\\x480D'");
                    let sql = Sql {
                        sqlite: statement,
                        postgres: postgres.leak(),
                    };
                    db.exec(&sql, &[])?;
                }
                Ok(())
            })
            .expect("the change is made");
    }

    /// Runs the built program on this laboratory.
    pub(crate) fn labwire(&self, args: &[&str]) -> Told {
        labwire_in(self.folder.path(), args)
    }
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Told {
    /// Exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs the built program in a folder.
pub(crate) fn labwire_in(folder: &Path, args: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labwire"));
    command.args(args).current_dir(folder).env("USER", "lan");
    command.env_remove("SUDO_USER").env_remove("RUST_LOG");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program runs");
    Told {
        code: status.code(),
        out: String::from_utf8(stdout).expect("UTF-8"),
        err: String::from_utf8(stderr).expect("UTF-8"),
    }
}

/// Makes each of these tests one on PostgreSQL too.
macro_rules! on_postgres_too {
    ($($test:ident)+) => {
        mod on_postgres {
            $(#[test]
            fn $test() {
                crate::lab::on_postgres(super::$test);
            })+
        }
    };
}
