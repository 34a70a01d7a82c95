//! What raises and clears an alert, and how it leaves, on a real store with a clock that is moved.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::tz::TimeZone;
use labwire_drivers::{LineStatus, Tls, TlsFiles, TlsSide};
use labwire_protocols::wire::{Commit, Mono, Received};

use crate::{
    audit,
    bridge::Open,
    certificates::Certificates,
    config::{self, Seams},
    store::{
        Clock, Db, JournalEntry, Store, StoreError, Turn,
        ground::{Ground, new_store},
    },
};

use super::{judge::Known, *};

/// 2026-03-10 08:00 in Vietnam.
const MORNING: i64 = 1_773_104_400_000_000;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Debug)]
struct Moved(AtomicI64);

impl Clock for Moved {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

const LAB: &str = "[alerts]\nquiet_least_min = 15\nEMAIL\n\
    [[host]]\nid = \"his\"\nresults = \"mllp://127.0.0.1:2576\"\n\n\
    [[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\nqc_every_h = 8\n\
    port = \"tcp-listen://127.0.0.1:5001\"\n";

/// A laboratory with a store, a disk and a clock that the test moves.
struct Lab {
    store: Store,
    clock: Arc<Moved>,
    watch: Watch,
    parts: Parts,
    sessions: u64,
    _ground: Box<dyn Ground>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Lab {
    fn new(email: &str) -> Self {
        let clock = Arc::new(Moved(AtomicI64::new(MORNING)));
        let (store, ground) = new_store(Arc::clone(&clock) as Arc<dyn Clock>);
        let text = LAB.replace("EMAIL", email);
        let seams = Seams {
            read: &|_| Ok(text.clone()),
            ..Seams::default()
        };
        let (loaded, problems) = config::load(Path::new("lab.toml"), &seams);
        assert!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let parts = Parts {
            open: Open::default(),
            store: store.clone(),
            loaded: Arc::new(loaded.expect("a site")),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            certificates: Arc::new(Certificates::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            disk: |_| Some(40),
        };
        let watch = Watch::new(parts.clone(), &Channels::of(&parts.loaded));
        Self {
            store,
            clock,
            watch,
            parts,
            sessions: 0,
            _ground: ground,
        }
    }

    fn pass(&self, time: i64) {
        self.clock.0.fetch_add(time, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        self.clock.utc_micros()
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .transact_blocking(Turn::Canonical, work)
            .expect("the store works")
    }

    fn look(&mut self) {
        runtime().block_on(self.watch.look()).expect("it looks");
    }

    /// What is open, as `cause subject level`.
    fn open(&self) -> Vec<String> {
        let open = self.work(open);
        let shown = open
            .iter()
            .map(|one| format!("{} {} {}", one.cause.code(), one.subject, one.level));
        shown.collect()
    }

    /// A message of a line comes at an instant.
    fn hear(&mut self, line: &str, at: i64) -> i64 {
        self.sessions += 1;
        let received = Received {
            session: self.sessions,
            bytes: "x".to_owned().into(),
            is_complete: true,
        };
        let entry = JournalEntry {
            line: line.to_owned(),
            connection: 1,
            at,
            commit: Commit::Message(received),
        };
        let done = runtime().block_on(self.store.journal(entry));
        done.expect("the journal takes it").messages[0]
    }
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Ho_Chi_Minh").expect("a zone")
}

#[test]
fn an_alert_is_raised_at_its_limit_and_cleared_well_below_it() {
    let reading = |level| [Reading::new(Cause::QueueDepth, "host:his", level, 100)];
    assert_eq!(judge(&[], &reading(99)), []);
    assert_eq!(
        judge(&[], &reading(100)),
        [Change::Raise(reading(100)[0].clone())]
    );
    let known = |level| {
        [Known {
            id: 7,
            cause: Cause::QueueDepth,
            subject: "host:his".to_owned(),
            level,
        }]
    };
    assert_eq!(judge(&known(100), &reading(100)), []);
    assert_eq!(judge(&known(100), &reading(90)), [Change::Level(7, 90)]);
    assert_eq!(judge(&known(100), &reading(80)), [Change::Level(7, 80)]);
    assert_eq!(judge(&known(100), &reading(79)), [Change::Clear(7)]);
    assert_eq!(judge(&known(100), &[]), [Change::Clear(7)], "nothing waits");
    let other = [Reading::new(Cause::QueueDepth, "line:xn-1", 100, 100)];
    assert_eq!(
        judge(&known(100), &other),
        [Change::Clear(7), Change::Raise(other[0].clone())]
    );
    // A limit of one is cleared by none.
    let one = |level| [Reading::new(Cause::Calls, "", level, 1)];
    let known = [Known {
        id: 8,
        cause: Cause::Calls,
        subject: String::new(),
        level: 1,
    }];
    assert_eq!(judge(&known, &one(1)), []);
    assert_eq!(judge(&known, &one(0)), [Change::Clear(8)]);
}

/// Days on which a line speaks every ten minutes from seven to eighteen, up to `MORNING`'s day.
fn days(count: i64) -> Vec<(String, i64)> {
    let midnight = MORNING - 8 * HOUR;
    let mut messages = Vec::new();
    for day in (1..=count).rev() {
        for minute in (7 * 60..18 * 60).step_by(10) {
            messages.push(("xn-1".to_owned(), midnight - day * DAY + minute * MINUTE));
        }
    }
    messages
}

#[test]
fn a_habit_is_the_second_longest_silence_of_the_days_at_an_hour() {
    let habits = Habits::learn(&days(5), &zone());
    let at = |hour: i64| habits.of("xn-1", MORNING + (hour - 8) * HOUR, &zone());
    assert_eq!(at(10), Some(10 * MINUTE));
    let night = 13 * HOUR + 10 * MINUTE;
    assert_eq!(at(3), Some(night), "nights are silent");
    assert_eq!(at(7), Some(night), "and end within this hour");
    assert_eq!(habits.of("xn-2", MORNING, &zone()), None);
    // One outage teaches nothing, two do.
    let without = |outages: &[i64]| {
        let midnight = MORNING - 8 * HOUR;
        let mut messages = days(5);
        messages.retain(|(_, at)| {
            outages.iter().all(|day| {
                let begin = midnight - day * DAY + 9 * HOUR;
                !(begin + 10 * MINUTE..begin + 3 * HOUR).contains(at)
            })
        });
        let habits = Habits::learn(&messages, &zone());
        habits.of("xn-1", MORNING + 2 * HOUR, &zone())
    };
    assert_eq!(without(&[2]), Some(10 * MINUTE));
    assert_eq!(without(&[2, 4]), Some(3 * HOUR));
}

#[test]
fn a_line_without_three_days_has_no_habit() {
    let habits = Habits::learn(&days(2), &zone());
    assert_eq!(habits.of("xn-1", MORNING + 2 * HOUR, &zone()), None);
    // A clock that was set back says nothing.
    let mut messages = days(5);
    messages.push(("xn-1".to_owned(), MORNING - 3 * DAY));
    let habits = Habits::learn(&messages, &zone());
    assert_eq!(
        habits.of("xn-1", MORNING + 2 * HOUR, &zone()),
        Some(10 * MINUTE)
    );
}

#[test]
fn a_line_is_quiet_beyond_twice_its_habit_until_it_speaks() {
    let habits = Habits::learn(&days(5), &zone());
    let limits = config::alerts::Alerts::default();
    let line = |last| LineStatus {
        id: "xn-1".to_owned(),
        last_message_utc_micros: Some(last),
        ..LineStatus::default()
    };
    let ten = MORNING + 2 * HOUR;
    let read = |last| {
        let readings = measure::quiet(&[line(last)], &habits, &limits, (&zone(), ten));
        readings.into_iter().next().expect("it has a habit")
    };
    let quiet = read(ten - 21 * MINUTE);
    assert_eq!((quiet.level, quiet.edge), (21, 20));
    assert!(read(ten - 19 * MINUTE).level < 20);
    let spoken = read(ten);
    assert!(spoken.level < spoken.clear_below);
}

#[test]
fn many_errors_of_a_line_are_a_rate_and_few_are_none() {
    let mut errors = measure::Errors::default();
    let line = |messages, wrong| {
        let mut line = LineStatus {
            id: "xn-1".to_owned(),
            ..LineStatus::default()
        };
        line.counters.messages = messages;
        line.notes.insert("ASTM-0103", wrong);
        [line]
    };
    let mut at = |minutes: i64, messages, wrong| {
        let now = MORNING + minutes * MINUTE;
        let readings = errors.look(&line(messages, wrong), 10, now);
        readings[0].level
    };
    assert_eq!(at(0, 1_000, 50), 0, "what was before is not known");
    assert_eq!(at(1, 1_001, 54), 0, "four are no rate");
    assert_eq!(at(2, 1_010, 60), 50);
    assert_eq!(at(30, 1_100, 60), 0, "a quarter of an hour later");
}

#[test]
fn a_control_is_due_and_a_full_disk_is_told_and_both_end() {
    let mut lab = Lab::new("");
    let disk = |lab: &mut Lab, full: fn(&Path) -> Option<i64>| {
        lab.parts.disk = full;
        lab.watch = Watch::new(lab.parts.clone(), &Channels::of(&lab.parts.loaded));
        lab.look();
        let mut open = lab.open();
        open.sort();
        open
    };
    let due = "qc-due xn-1 8";
    assert_eq!(disk(&mut lab, |_| Some(89)), [due]);
    assert_eq!(disk(&mut lab, |_| Some(90)), ["disk  90", due]);
    assert_eq!(disk(&mut lab, |_| Some(88)).len(), 2, "88 is not below 88");
    assert_eq!(disk(&mut lab, |_| Some(87)), [due]);
    let now = lab.now();
    let message = lab.hear("xn-1", now);
    lab.work(move |db| {
        db.exec(&CONTROL, &[message.into(), now.into()])?;
        Ok(())
    });
    lab.look();
    assert_eq!(lab.open(), Vec::<String>::new());
    lab.pass(8 * HOUR);
    lab.look();
    assert_eq!(lab.open(), ["qc-due xn-1 8"]);
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_until_it_is_gone() {
    let mut lab = Lab::new("");
    let told = |lab: &mut Lab| {
        lab.look();
        let open = lab.open();
        open.iter().any(|one| one == "certificate xn-1 1")
    };
    assert!(!told(&mut lab));
    let missing = TlsFiles {
        certificate: Some("/nowhere/a.pem".into()),
        key: Some("/nowhere/a.key".into()),
        ..TlsFiles::default()
    };
    let clock = Arc::clone(&lab.clock) as Arc<dyn Clock>;
    let tls = Tls::new("xn-1", missing, TlsSide::Server, clock);
    lab.parts.certificates.add(Arc::new(tls));
    assert!(told(&mut lab));
    let clock = Arc::clone(&lab.clock) as Arc<dyn Clock>;
    lab.parts.certificates = Arc::new(Certificates::new(clock));
    lab.watch = Watch::new(lab.parts.clone(), &Channels::of(&lab.parts.loaded));
    assert!(!told(&mut lab));
}

const CONTROL: crate::store::Sql = crate::store::Sql::same(
    "INSERT INTO result (id, message, line, kind, barcode, state, version, holds, detail, \
     received_at) VALUES (1, $1, 'xn-1', 'control', 'QC', 'control', 1, '[]', '{}', $2)",
);

const PATIENT: crate::store::Sql = crate::store::Sql::same(
    "INSERT INTO patient (id, fields, birth, sex, updated_at) VALUES (1, '{}', '', '', 0)",
);
const TUBE: crate::store::Sql = crate::store::Sql::same(
    "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
     VALUES (1, 'his', 'T1', 1, 1, '{}', $1)",
);
const STAT: crate::store::Sql = crate::store::Sql::same(
    "INSERT INTO order_item (id, host, placer, service, specimen, filler, status, priority, \
     content, message, created_at, updated_at) \
     VALUES (1, 'his', 'P1', 'CBC', 1, 'F1', 'SC', 0, '{}', 1, $1, $1)",
);
const DONE: crate::store::Sql = crate::store::Sql::same("UPDATE order_item SET status = 'CM'");
const QUEUED: crate::store::Sql = crate::store::Sql::same(
    "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, \
     reason, created_at, closed_by, answer) \
     VALUES ($2, 'host:his', 'result', 1, 0, 'waiting', 0, $1, '', $1, '', '')",
);
const DELIVERED: crate::store::Sql =
    crate::store::Sql::same("UPDATE queue SET state = 'delivered'");

#[test]
fn what_waits_too_long_or_too_much_and_what_is_due_soon_is_told_and_ends() {
    let mut lab = Lab::new("queue_depth = 3");
    let now = lab.now();
    lab.work(move |db| {
        db.exec(&PATIENT, &[])?;
        db.exec(&TUBE, &[now.into()])?;
        db.exec(&STAT, &[now.into()])?;
        for id in 1_i64..=2 {
            db.exec(&QUEUED, &[now.into(), id.into()])?;
        }
        Ok(())
    });
    let open = |lab: &mut Lab| {
        lab.look();
        let mut open = lab.open();
        open.retain(|one| !one.starts_with("qc-due"));
        open
    };
    assert_eq!(open(&mut lab), Vec::<String>::new());
    lab.pass(15 * MINUTE);
    assert_eq!(open(&mut lab), ["queue-age host:his 15"]);
    lab.work(move |db| db.exec(&QUEUED, &[now.into(), 3_i64.into()]));
    lab.pass(34 * MINUTE);
    let both = ["queue-age host:his 49", "queue-depth host:his 3"];
    assert_eq!(open(&mut lab), both);
    // STAT is promised within the hour; ten minutes before, nobody can be late any more.
    lab.pass(MINUTE);
    assert_eq!(
        open(&mut lab).last().map(String::as_str),
        Some("turnaround  1")
    );
    lab.work(|db| db.exec(&DELIVERED, &[]));
    assert_eq!(open(&mut lab), ["turnaround  1"]);
    lab.work(|db| db.exec(&DONE, &[]));
    assert_eq!(open(&mut lab), Vec::<String>::new());
}

#[test]
fn one_row_is_open_for_a_cause_and_a_person_acknowledges_it_by_name_once() {
    let mut lab = Lab::new("");
    lab.look();
    lab.look();
    assert_eq!(lab.open(), ["qc-due xn-1 8"]);
    assert_eq!(lab.work(count), (1, 1));
    let now = lab.now();
    let acknowledge = |lab: &Lab, id| lab.work(move |db| acknowledge(db, id, "lan", now));
    assert_eq!(acknowledge(&lab, 1), Some(true));
    assert_eq!(acknowledge(&lab, 1), Some(false));
    assert_eq!(acknowledge(&lab, 9), None);
    assert_eq!(lab.work(count), (1, 0));
    let rows = lab.work(|db| audit::of_subject(db, "alert:1"));
    let row = rows.first().expect("it is written down");
    assert_eq!(
        (row.1.as_str(), row.2.as_str(), row.3.as_str()),
        ("lan", "alert-acknowledge", "qc-due xn-1")
    );
}

#[test]
fn a_channel_that_fails_is_tried_again_ever_more_seldom_and_is_an_alert_itself() {
    // A port that nothing listens on any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let mut lab = Lab::new(&format!("webhook = \"http://{address}/alerts\""));
    lab.look();
    let channels = Channels::of(&lab.parts.loaded);
    let deliver = |lab: &Lab| {
        let done = watch::deliver(&lab.parts, &channels, Channel::Webhook);
        runtime().block_on(done).expect("the store works");
        let waiting = lab.work(waiting);
        waiting.first().map_or(0, |one| one.attempts)
    };
    assert_eq!(deliver(&lab), 1);
    assert_eq!(deliver(&lab), 1, "its time has not come");
    lab.pass(MINUTE / 2);
    assert_eq!(deliver(&lab), 2);
    lab.pass(MINUTE / 2);
    assert_eq!(deliver(&lab), 2, "the second wait is longer");
    lab.pass(5 * MINUTE);
    assert_eq!(deliver(&lab), 3);
    lab.look();
    assert_eq!(lab.open(), ["qc-due xn-1 8", "delivery webhook 6"]);
    let waiting_now = lab.work(waiting);
    assert_eq!(waiting_now[0].count, 1, "its own outage is not told by it");
    lab.pass(DAY);
    deliver(&lab);
    assert_eq!(lab.work(waiting), [], "old news is given up");
    lab.look();
    assert_eq!(lab.open(), ["qc-due xn-1 8"]);
}

#[test]
fn every_cause_has_its_words_in_both_languages() {
    for cause in Cause::ALL {
        assert_eq!(Cause::from_code(cause.code()), Some(*cause));
        for language in Language::ALL {
            for part in ["say", "cause", "todo"] {
                let key = format!("console.alerts.{part}.{}", cause.code());
                assert!(text::has(*language, &key), "{key}");
            }
            let told = say(*language, *cause, "xn-1", (7, 5));
            // A certificate is as it is, and has no level.
            let is_measured = *cause != Cause::Certificate;
            assert_eq!(told.contains('7'), is_measured, "{told}");
            assert!(!told.contains('{'), "{told}");
        }
    }
}

crate::on_postgres_too! {
    an_alert_is_raised_at_its_limit_and_cleared_well_below_it
    a_habit_is_the_second_longest_silence_of_the_days_at_an_hour
    a_line_without_three_days_has_no_habit
    a_line_is_quiet_beyond_twice_its_habit_until_it_speaks
    many_errors_of_a_line_are_a_rate_and_few_are_none
    a_control_is_due_and_a_full_disk_is_told_and_both_end
    a_certificate_that_cannot_be_used_is_told_until_it_is_gone
    what_waits_too_long_or_too_much_and_what_is_due_soon_is_told_and_ends
    one_row_is_open_for_a_cause_and_a_person_acknowledges_it_by_name_once
    a_channel_that_fails_is_tried_again_ever_more_seldom_and_is_an_alert_itself
    every_cause_has_its_words_in_both_languages
}
