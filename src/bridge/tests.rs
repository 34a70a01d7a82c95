//! The parser's workers and what they leave in the journal.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use labwire_drivers::SystemClock;
use labwire_protocols::wire::{Commit, Received};
use tokio::sync::Semaphore;

use crate::{
    config::{self, Seams},
    model::{HoldReason, ResultState},
    profile::Library,
    settle,
    store::{
        JournalEntry, Sql, Store, StoreError, Turn,
        ground::{Ground, new_store},
    },
};

use super::{
    backlog::Hand,
    orders::Answered,
    parser::{Heard, Job, Parser, Size, Workers, weight},
    site::{LineSite, Site},
};

/// What was to be sent to devices that asked.
#[derive(Default)]
struct Ear(Mutex<Vec<Vec<Vec<u8>>>>);

impl Heard for Ear {
    fn queue_changed(&self) {}
    fn answer(&self, _: &LineSite, _: u64, payloads: Vec<Vec<u8>>) {
        self.0.lock().expect("no panic").push(payloads);
    }
}

/// Hears nothing.
struct Deaf;

impl Heard for Deaf {
    fn queue_changed(&self) {}
    fn answer(&self, _: &LineSite, _: u64, _: Vec<Vec<u8>>) {}
}

struct Bench {
    folder: tempfile::TempDir,
    _ground: Box<dyn Ground>,
    store: Store,
    site: Arc<Site>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let lab = r#"
[lab]
timezone = "Asia/Ho_Chi_Minh"

[[instrument]]
id = "one"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"

[[instrument]]
id = "two"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"

[[instrument]]
id = "three"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"

[[instrument]]
id = "resumes"
profile = "test/resumes"
port = "tcp-listen://127.0.0.1:0"
unmapped = "pass"
"#;
        let path = folder.path().join("lab.toml");
        std::fs::write(&path, lab).expect("the folder is writable");
        let profiles = folder.path().join("profiles");
        std::fs::create_dir_all(profiles.join("test")).expect("the folder is writable");
        let resumes = r#"
[device]
vendor = "Test"
models = ["Resumes"]
protocol = "astm"
source = "invented"
confidence = "assumed"

[specimen]
id = "O.3"
restart = "record"

[result]
code = "R.3.4"
value = "R.4"
unit = "R.5"
status = "R.9"
completed = "R.13"
"#;
        let path_of_profile = profiles.join("test/resumes.toml");
        std::fs::write(path_of_profile, resumes).expect("the folder is writable");
        let (loaded, _) = config::load(&path, &Seams::default());
        let loaded = loaded.expect("a configuration without problems");
        let (library, problems) = Library::load(Some(&profiles));
        assert!(problems.is_empty());
        let site = Site::new(&loaded.lab, Arc::new(loaded.catalogue), &library);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let (store, ground) = new_store(Arc::new(SystemClock::default()));
        Self {
            folder,
            _ground: ground,
            store,
            site: Arc::new(site),
            runtime,
        }
    }

    fn parser(&self, handed_max: usize) -> (Parser, Workers) {
        self.heard_by(handed_max, Arc::new(Deaf))
    }

    fn heard_by(&self, handed_max: usize, heard: Arc<dyn Heard>) -> (Parser, Workers) {
        let size = Size {
            workers: 2,
            handed_max,
        };
        let clock = Arc::new(SystemClock::default());
        Parser::start(size, &self.store, &self.site, heard, clock, "RUN").expect("threads")
    }

    /// The `n`-th message of a line, in the journal and ready to be handed over.
    fn job(&self, line: &str, n: u64) -> Job {
        self.job_of(
            line,
            n,
            format!(
                "MSH|^~\\&|A|B|||20260310090000||ORU^R01|{n}|P|2.5.1\rPID|1\rOBR|1||{line}|X\r\
             OBX|1|NM|WBC||{n}|10*9/L|||||F\r"
            ),
        )
    }

    fn job_of(&self, line: &str, n: u64, raw: String) -> Job {
        self.part(line, n, &raw, true)
    }

    fn part(&self, line: &str, n: u64, raw: &str, is_complete: bool) -> Job {
        let received = Received {
            session: n,
            bytes: raw.as_bytes().to_vec().into(),
            is_complete,
        };
        let entry = JournalEntry {
            line: line.to_owned(),
            connection: 1,
            at: 1_773_000_000_000_000,
            commit: Commit::Message(received.clone()),
        };
        let done = self.runtime.block_on(self.store.journal(entry));
        let message = done.expect("the journal takes it").messages[0];
        Job {
            line: Arc::clone(&self.site.lines[line]),
            message,
            raw: received.bytes,
            is_complete,
            received_at: 1_773_000_000_000_000,
            connection: Some(1),
            reply: None,
            permit: None,
        }
    }

    /// Waits until every message is parsed.
    fn until_parsed(&self) {
        const LEFT: Sql = Sql::same("SELECT count(*) FROM message WHERE state = 'unparsed'");
        let wait = async {
            let left = || self.store.read(|db| db.row(&LEFT, &[])?.int(0));
            while left().await.expect("the store works") > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let patience = Duration::from_secs(60);
        let ended = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, wait).await });
        assert!(ended.is_ok(), "messages stay unparsed");
    }

    /// The values stored for a line's tube, in the order in which they were settled.
    fn values(&self, line: &'static str) -> Vec<String> {
        let read = self.store.read(move |db| settle::of_barcode(db, line));
        let results = self.runtime.block_on(read).expect("the store works");
        results
            .into_iter()
            .map(|one| one.observation.text)
            .collect()
    }
}

#[test]
fn a_later_message_does_not_overtake_one_that_was_left() {
    let bench = Bench::new();
    let (hand, ways) = Hand::new(2);
    let room = Arc::new(Semaphore::new(2));
    let permit = || Arc::clone(&room).try_acquire_owned().ok();
    hand.submit(bench.job("one", 1), None);
    hand.submit(bench.job("one", 2), permit());
    hand.submit(bench.job("two", 1), permit());
    let handed: Vec<String> = ways
        .jobs
        .try_iter()
        .map(|job| job.line.id.clone())
        .collect();
    assert_eq!(handed, ["two"]);
    let behind = hand.behind().expect("a line is behind");
    assert_eq!(behind.line.id, "one");
    assert_eq!(behind.after, 0);
    // What comes while the journal is read keeps the line behind.
    hand.submit(bench.job("one", 3), permit());
    hand.has_caught_up(&behind);
    assert!(hand.behind().is_some());
    let behind = hand.behind().expect("it still is");
    hand.has_caught_up(&behind);
    assert!(hand.behind().is_none());
    hand.submit(bench.job("one", 4), permit());
    assert_eq!(ways.jobs.try_iter().count(), 1);
    bench.runtime.block_on(bench.store.close());
}

#[test]
fn a_message_that_is_handed_over_twice_is_settled_once() {
    let bench = Bench::new();
    let (parser, workers) = bench.parser(8);
    let job = bench.job("one", 1);
    let again = Job {
        line: Arc::clone(&job.line),
        raw: job.raw.clone(),
        reply: None,
        permit: None,
        ..job
    };
    parser.submit(job);
    bench.until_parsed();
    parser.submit(again);
    parser.submit(bench.job("one", 2));
    bench.until_parsed();
    assert_eq!(bench.values("one"), ["1", "2"]);
    drop(parser);
    workers.stop();
    bench.runtime.block_on(bench.store.close());
}

/// Its device was told no although it was stored, and sent it again before it was read; between the two
/// stands one that is settled by itself.
#[test]
fn a_message_that_is_handed_over_twice_at_once_is_settled_once() {
    let bench = Bench::new();
    let (parser, workers) = bench.parser(8);
    let alone = "H|\\^&\rP|1\rO|1|TUBE\rR|1|^^^A|1|g/L\rL|1|N\r";
    let (first, between) = (bench.job("one", 1), bench.part("resumes", 1, alone, true));
    let (go_on, held_up) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let store = bench.store.clone();
    let hold_up = std::thread::spawn(move || {
        store.transact_blocking(Turn::Journal, move |_| {
            begun.send(()).expect("somebody waits");
            held_up.recv().expect("it goes on");
            Ok(())
        })
    });
    has_begun.recv().expect("the store is held up");
    // The worker may take the first by itself, and waits for the store then.
    for job in [&first, &between, &first, &between, &first] {
        parser.submit(Job {
            line: Arc::clone(&job.line),
            raw: job.raw.clone(),
            reply: None,
            permit: None,
            ..*job
        });
    }
    go_on.send(()).expect("the store waits");
    hold_up.join().expect("no panic").expect("the store works");
    bench.until_parsed();
    drop(parser);
    workers.stop();
    assert_eq!(bench.values("one"), ["1"]);
    assert_eq!(bench.values("TUBE"), ["1"]);
    bench.runtime.block_on(bench.store.close());
}

/// Makes the tube of a line unreadable: whatever is settled on it fails for a reason of its own.
fn spoil(bench: &Bench, barcode: &'static str) {
    const PATIENT: Sql = Sql::same(
        "INSERT INTO patient (id, fields, birth, sex, updated_at) VALUES (1, 'no JSON', '', '', 0)",
    );
    const TUBE: Sql = Sql::same(
        "INSERT INTO specimen (host, barcode, generation, patient, fields, ordered_at) \
         VALUES ('his', $1, 1, 1, 'no JSON', 9000000000000000)",
    );
    let spoiled = bench.store.transact_blocking(Turn::Canonical, move |db| {
        db.exec(&PATIENT, &[])?;
        db.exec(&TUBE, &[barcode.into()])
    });
    spoiled.expect("the store works");
}

/// State and outcome of every message, in order.
fn states(bench: &Bench) -> Vec<(String, bool)> {
    const STATES: Sql = Sql::same("SELECT state, outcome FROM message ORDER BY id");
    let read = bench.store.read(|db| db.rows(&STATES, &[]));
    let rows = bench.runtime.block_on(read).expect("the store works");
    let state = |row: &crate::store::Row| {
        let fault = row
            .opt_text(1)
            .expect("text")
            .is_some_and(|text| text.contains("fault"));
        (row.text(0).expect("text").to_owned(), fault)
    };
    rows.iter().map(state).collect()
}

#[test]
fn a_message_that_cannot_be_settled_is_held_alone_and_the_others_go_on() {
    let held = || ("held".to_owned(), true);
    let parsed = || ("parsed".to_owned(), false);
    let bench = Bench::new();
    spoil(&bench, "one");
    // Live: handed over while the writer is busy, so that they share a batch.
    let (parser, workers) = bench.parser(8);
    let jobs = ["two", "one", "two"].map(|line| bench.job(line, 1));
    let (open, gate) = mpsc::channel::<()>();
    let store = bench.store.clone();
    let busy = std::thread::spawn(move || {
        store.transact_blocking(Turn::Reply, move |_| {
            gate.recv().map_err(|_| StoreError::Closed)
        })
    });
    jobs.into_iter().for_each(|job| parser.submit(job));
    open.send(()).expect("the writer waits");
    busy.join().expect("no panic").expect("committed");
    bench.until_parsed();
    assert_eq!(states(&bench), [parsed(), held(), parsed()]);
    drop(parser);
    workers.stop();
    // At a start: the next run reads what this one left.
    for line in ["one", "two", "one"] {
        drop(bench.job(line, 9));
    }
    let clock: Arc<dyn labwire_drivers::Clock> = Arc::new(SystemClock::default());
    let replay = super::replay::replay(&bench.store, &bench.site, &clock, "RUN", None);
    let replayed = bench.runtime.block_on(replay).expect("the start goes on");
    assert_eq!((replayed.count, replayed.left.len()), (3, 0));
    let expected = [parsed(), held(), parsed(), held(), parsed(), held()];
    assert_eq!(states(&bench), expected);
    bench.runtime.block_on(bench.store.close());
}

#[test]
fn a_start_reads_the_oldest_of_a_large_backlog_and_the_rest_goes_on_in_order() {
    let bench = Bench::new();
    for n in 0..700 {
        drop(bench.job("one", n));
    }
    let clock: Arc<dyn labwire_drivers::Clock> = Arc::new(SystemClock::default());
    let replay = super::replay::replay(&bench.store, &bench.site, &clock, "RUN", None);
    let replayed = bench.runtime.block_on(replay).expect("the start goes on");
    assert_eq!(replayed.count, 512);
    let (parser, workers) = bench.parser(8);
    for (line, span) in &replayed.left {
        parser.resume(line, *span);
    }
    // The line is open now.
    parser.submit(bench.job("one", 700));
    bench.until_parsed();
    let wanted: Vec<String> = (0..=700).map(|n: u64| n.to_string()).collect();
    assert_eq!(bench.values("one"), wanted);
    drop(parser);
    workers.stop();
    bench.runtime.block_on(bench.store.close());
}

#[test]
fn what_finds_no_room_is_read_from_the_journal_in_order_and_once() {
    let bench = Bench::new();
    let (parser, workers) = bench.parser(3);
    let mut jobs = Vec::new();
    for n in 0..150 {
        jobs.push(bench.job("one", n));
        jobs.push(bench.job("two", n));
    }
    // The writer is busy until half of them were handed over, so that there is a backlog; the
    // others come while it is read.
    let (open, gate) = mpsc::channel::<()>();
    let store = bench.store.clone();
    let busy = std::thread::spawn(move || {
        store.transact_blocking(Turn::Reply, move |_| {
            gate.recv().map_err(|_| StoreError::Closed)
        })
    });
    let mut last = jobs.pop().expect("jobs");
    let (reply, answered) = tokio::sync::oneshot::channel();
    last.reply = Some(reply);
    jobs.push(last);
    let late = jobs.split_off(150);
    jobs.into_iter().for_each(|job| parser.submit(job));
    open.send(()).expect("the writer waits");
    late.into_iter().for_each(|job| parser.submit(job));
    busy.join().expect("no panic").expect("committed");
    bench.until_parsed();
    assert_eq!(bench.runtime.block_on(answered), Ok(Answered::Nothing));
    let wanted: Vec<String> = (0..150).map(|n: u64| n.to_string()).collect();
    for line in ["one", "two"] {
        assert_eq!(bench.values(line), wanted, "{line}");
    }
    // With the backlog gone, messages are handed over again.
    parser.submit(bench.job("one", 150));
    bench.until_parsed();
    assert_eq!(bench.values("one").len(), 151);
    drop(parser);
    workers.stop();
    bench.runtime.block_on(bench.store.close());
    drop(bench.folder);
}

#[test]
fn what_is_handed_over_is_few_where_it_is_large() {
    let handed = |bytes: usize| {
        let room = Arc::new(Semaphore::new(1_024));
        let mut permits = Vec::new();
        while let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(weight(bytes, 1_024)) {
            permits.push(permit);
        }
        permits.len()
    };
    const MEGABYTE: usize = 1_024 * 1_024;
    assert_eq!(handed(3_000), 1_024);
    assert_eq!(handed(2 * MEGABYTE), 7);
    // What is as large as everything together, or larger, still goes alone.
    assert_eq!(handed(16 * MEGABYTE), 1);
    assert_eq!(handed(64 * MEGABYTE), 1);
}

#[test]
fn a_withdrawn_query_takes_back_the_answer_that_still_waits() {
    let bench = Bench::new();
    let ear = Arc::new(Ear::default());
    let (parser, workers) = bench.heard_by(3, ear.clone());
    let message = |record: &str| format!("H|\\^&|||ANALYZER1\r{record}\rL|1|N\r");
    let messages = [
        "Q|1|^25011500021||ALL||||||||O",
        "R|1|^^^GLU|5.4|mmol/L||||F",
        "Q|1|^25011500021||ALL||||||||A",
    ];
    for (n, record) in (1..).zip(messages) {
        parser.submit(bench.job_of("three", n, message(record)));
        bench.until_parsed();
    }
    drop(parser);
    workers.stop();
    let heard = ear.0.lock().expect("no panic").clone();
    let [answer, nothing] = heard.as_slice() else {
        panic!("a result is no reason to take an answer back: {heard:?}");
    };
    assert_eq!(answer.len(), 1, "there is no order, and it is said");
    assert!(nothing.is_empty(), "{nothing:?}");
    bench.runtime.block_on(bench.store.close());
}

/// What is stored of a tube: message, value, state, and whether it counts as incomplete.
fn of_tube(bench: &Bench, barcode: &'static str) -> Vec<(i64, String, ResultState, bool)> {
    let read = bench.store.read(move |db| settle::of_barcode(db, barcode));
    let stored = bench.runtime.block_on(read).expect("the store works");
    let rows = stored.into_iter().map(|one| {
        let mut reasons = one.holds.iter().map(|hold| hold.reason);
        let is_incomplete = reasons.any(|reason| reason == HoldReason::Incomplete);
        (one.message, one.observation.text, one.state, is_incomplete)
    });
    rows.collect()
}

#[test]
fn a_message_that_a_device_goes_on_with_in_the_middle_is_settled_as_one() {
    use ResultState::{Replaced, Waiting};
    let bench = Bench::new();
    let (parser, workers) = bench.parser(8);
    let one = "H|\\^&\rP|1\rO|1|TUBE\rR|1|^^^A|1|g/L\rR|2|^^^B|2";
    let two = "H|\\^&\rP|1\rO|1|TUBE\rR|2|^^^B|22|g/L\r";
    let three = "R|3|^^^C|3|g/L\rL|1|N\r";
    let jobs = [(one, false), (two, false), (three, true)];
    let mut ids = Vec::new();
    // Together in one batch, as after an outage.
    let mut made = Vec::new();
    for (n, (raw, is_complete)) in (1..).zip(jobs) {
        let job = bench.part("resumes", n, raw, is_complete);
        ids.push(job.message);
        made.push(job);
    }
    made.into_iter().for_each(|job| parser.submit(job));
    bench.until_parsed();
    let row = |part: usize, text: &str, state, is_incomplete| {
        (ids[part], text.to_owned(), state, is_incomplete)
    };
    let mut found = of_tube(&bench, "TUBE");
    found.sort_by_key(|(message, _, state, _)| (*message, *state == Waiting));
    assert_eq!(
        found,
        [
            row(0, "1", Replaced, true),
            row(0, "1", Waiting, false),
            row(1, "22", Replaced, true),
            row(1, "22", Waiting, false),
            row(2, "3", Waiting, false),
        ]
    );
    // The whole message comes once more: nothing of it is new.
    let again = "H|\\^&\rP|1\rO|1|TUBE\rR|1|^^^A|1|g/L\rR|2|^^^B|22|g/L\rR|3|^^^C|3|g/L\rL|1|N\r";
    parser.submit(bench.part("resumes", 4, again, true));
    bench.until_parsed();
    let repeats = of_tube(&bench, "TUBE")
        .into_iter()
        .filter(|(_, _, state, _)| *state == ResultState::Repeat);
    assert_eq!(repeats.count(), 3);
    workers.stop();
    let mut ledger = crate::ledger::Ledger::new(None, 1_773_000_100_000_000);
    let read = bench.store.read(move |db| {
        let page = ledger.next_page(db)?;
        Ok(page.map(|page| page.findings))
    });
    let findings = bench.runtime.block_on(read).expect("the store works");
    assert_eq!(
        findings.as_deref(),
        Some(&[][..]),
        "the ledger knows all of it"
    );
    bench.runtime.block_on(bench.store.close());
}

#[test]
fn the_next_tube_after_a_cut_does_not_end_the_one_before() {
    let bench = Bench::new();
    let (parser, workers) = bench.parser(8);
    let cut = "H|\\^&\rP|1\rO|1|TUBE\rR|1|^^^A|1|g/L\r";
    let next = "H|\\^&\rP|1\rO|1|OTHER\rR|1|^^^A|9|g/L\rL|1|N\r";
    parser.submit(bench.part("resumes", 1, cut, false));
    parser.submit(bench.part("resumes", 2, next, true));
    bench.until_parsed();
    workers.stop();
    let states = |tube| -> Vec<bool> {
        let rows = of_tube(&bench, tube).into_iter();
        rows.map(|(_, _, _, is_incomplete)| is_incomplete).collect()
    };
    assert_eq!(states("TUBE"), [true]);
    assert_eq!(states("OTHER"), [false]);
    bench.runtime.block_on(bench.store.close());
}

#[test]
fn a_code_that_a_person_maps_reaches_the_workers_without_a_start() {
    let bench = Bench::new();
    let (parser, workers) = bench.parser(8);
    let raw = |n: u32| {
        format!(
            "MSH|^~\\&|A|B|||20260310090000||ORU^R01|{n}|P|2.5.1\rPID|1\rOBR|1||one|X\r\
             OBX|1|NM|XYZ||{n}|10*9/L|||||F\r"
        )
    };
    let tests = |bench: &Bench| {
        let read = bench.store.read(|db| settle::of_barcode(db, "one"));
        let results = bench.runtime.block_on(read).expect("the store works");
        results
            .into_iter()
            .map(|one| one.observation.test)
            .collect::<Vec<_>>()
    };
    parser.submit(bench.job_of("one", 1, raw(1)));
    bench.until_parsed();
    assert_eq!(tests(&bench), [None]);
    // Another process maps it; this one has the site of its own start.
    let elsewhere = Bench::new().site;
    let mapped = bench.store.transact_blocking(Turn::Canonical, move |db| {
        let person = crate::worklist::Person {
            name: "lan".to_owned(),
            role: crate::worklist::Role::Technician,
        };
        let acting = crate::worklist::Acting {
            site: &elsewhere,
            person: &person,
            reason: "reagent sheet",
            now: 1_773_000_000_000_000,
        };
        acting.map_code(db, "one", "XYZ", "WBC")
    });
    let moved = mapped.expect("the store works").expect("nothing maps it");
    assert_eq!(moved.results, [(1, ResultState::Waiting)]);
    parser.submit(bench.job_of("one", 2, raw(2)));
    bench.until_parsed();
    let wbc = || Some("WBC".to_owned());
    assert_eq!(tests(&bench), [wbc(), wbc()]);
    drop(parser);
    workers.stop();
    bench.runtime.block_on(bench.store.close());
}

crate::on_postgres_too! {
    a_later_message_does_not_overtake_one_that_was_left
    a_message_that_is_handed_over_twice_at_once_is_settled_once
    a_message_that_is_handed_over_twice_is_settled_once
    a_message_that_cannot_be_settled_is_held_alone_and_the_others_go_on
    a_start_reads_the_oldest_of_a_large_backlog_and_the_rest_goes_on_in_order
    what_finds_no_room_is_read_from_the_journal_in_order_and_once
    what_is_handed_over_is_few_where_it_is_large
    a_withdrawn_query_takes_back_the_answer_that_still_waits
    a_message_that_a_device_goes_on_with_in_the_middle_is_settled_as_one
    the_next_tube_after_a_cut_does_not_end_the_one_before
    a_code_that_a_person_maps_reaches_the_workers_without_a_start
}
