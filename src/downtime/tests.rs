//! A night without the host: what is keyed in is measured and read, and becomes the host's when it orders.

use std::{path::Path, sync::Arc};

use labwire_protocols::wire::{Commit, Mono, Received};

use crate::{
    book::{
        self, Action, BookContext, Fields, Identifier, OrderEntry, PatientEntry, SpecimenEntry,
    },
    bridge::{Site, follow_up_by_hand},
    config::{self, Seams},
    model::{Priority, Private, Sex},
    profile::{self, Library},
    queue,
    settle::{self, SettleContext},
    store::{
        Clock, Db, JournalEntry, Store, StoreError, Turn,
        ground::{Ground, new_store},
        journal::{self, MessageState},
    },
    worklist::{Acting, Done, Leave, Person, Refused as NotDone, Role},
};

use super::*;

/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

const LAB: &str = r#"
[[host]]
id = "his"
results = "mllp://127.0.0.1:2576"

[[instrument]]
id = "xn-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:5001"
tests = { "WBC" = "WBC", "HGB" = "HGB" }

[[instrument]]
id = "au-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:5002"
orders = "download"
tests = { "GLU" = "GLU" }
"#;

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

fn site() -> Site {
    let seams = Seams {
        read: &|_| Ok(LAB.to_owned()),
        ..Seams::default()
    };
    let (loaded, problems) = config::load(Path::new("lab.toml"), &seams);
    assert!(
        !problems.has_errors(),
        "{}",
        config::render(&problems, false)
    );
    let loaded = loaded.expect("a site without problems");
    let (library, _) = Library::load(None);
    Site::new(&loaded.lab, Arc::new(loaded.catalogue), &library)
}

struct Lab {
    store: Store,
    site: Arc<Site>,
    now: i64,
    sessions: u64,
    _ground: Box<dyn Ground>,
}

impl Lab {
    fn new() -> Self {
        let (store, ground) = new_store(Arc::new(StoppedClock));
        Self {
            store,
            site: Arc::new(site()),
            now: MORNING,
            sessions: 0,
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

    fn journal(&mut self, line: &str, raw: &str) -> i64 {
        self.sessions += 1;
        let received = Received {
            session: self.sessions,
            bytes: raw.to_owned().into(),
            is_complete: true,
        };
        let entry = JournalEntry {
            line: line.to_owned(),
            connection: 1,
            at: self.now,
            commit: Commit::Message(received),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let done = runtime.block_on(self.store.journal(entry));
        done.expect("the journal takes it").messages[0]
    }

    /// A device measures one test of a tube.
    fn measure(&mut self, line: &'static str, tube: &str, code: &str, value: &str, flag: &str) {
        let raw = format!(
            "H|\\^&|||XN||||||||E1394-97\rP|1\rO|1|{tube}||^^^{code}|R\r\
             R|1|^^^{code}|{value}|g/L||{flag}||F\rL|1|N\r"
        );
        let message = self.journal(line, &raw);
        let (site, now) = (Arc::clone(&self.site), self.now);
        self.work(move |db| {
            let profile = &site.lines[line].profile;
            let decoded = profile::decode(profile, None, raw.as_bytes(), true);
            let digest = profile::digest_input(raw.as_bytes(), profile.profile().device.protocol);
            let context = SettleContext {
                message,
                line,
                received_at: now,
                now,
                specimen_age_max: 14 * DAY,
                digest_input: &digest,
                site: site.as_ref(),
            };
            settle::settle(db, &context, &decoded.items)?;
            journal::mark(db, message, MessageState::Parsed, Some("{}"))
        });
        self.now += SECOND;
    }

    fn key(&mut self, keyed: &Keyed) -> Result<Placed, Refused> {
        self.now += SECOND;
        let (site, now, keyed) = (Arc::clone(&self.site), self.now, keyed.clone());
        self.work(move |db| key_in(db, &site, "lan", &keyed, now))
    }

    fn withdraw(&mut self, number: &str) -> Result<(), Refused> {
        self.now += SECOND;
        let (site, now, number) = (Arc::clone(&self.site), self.now, number.to_owned());
        self.work(move |db| withdraw(db, &site, ("lan", "typed wrong"), &number, now))
    }

    /// The host orders.
    fn order(&mut self, placer: &str, tube: &str, patient: &PatientEntry, tests: &[&str]) {
        self.now += SECOND;
        let message = self.journal("host:his", placer);
        let entry = OrderEntry {
            action: Action::New,
            placer: placer.to_owned(),
            service: tests.join("+"),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            specimen: Some(SpecimenEntry {
                barcode: tube.to_owned(),
                ..SpecimenEntry::default()
            }),
            priority: Priority::Routine,
            orc: Fields::new(),
            obr: Fields::from([(4, tests.join("+"))]),
        };
        let (site, now, patient) = (Arc::clone(&self.site), self.now, patient.clone());
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message,
                now,
                specimen_age_max: 14 * DAY,
            };
            let applied = book::apply(db, &context, Some(&patient), &entry)?;
            assert_eq!(applied.outcome, book::Outcome::Accepted);
            follow_up_by_hand(db, &site, &applied.barcode, now)?;
            journal::mark(db, message, MessageState::Parsed, Some("{}"))
        });
    }

    fn release(&self, id: i64) -> Result<Done, NotDone> {
        let (site, now) = (Arc::clone(&self.site), self.now);
        self.work(move |db| {
            let person = Person {
                name: "lan".to_owned(),
                role: Role::Technician,
            };
            let acting = Acting {
                site: &site,
                person: &person,
                reason: "for the ward",
                now,
            };
            acting.release(db, id, Leave::Later)
        })
    }

    /// Every result of a barcode, as `WBC 6.4 held provisional-order`.
    fn results(&self, tube: &'static str) -> Vec<String> {
        let rows = self.work(move |db| settle::of_barcode(db, tube));
        let shown = rows.iter().map(|row| {
            let holds: Vec<&str> = row.holds.iter().map(|hold| hold.reason.code()).collect();
            let of = &row.observation;
            let holds = if row.state.is_open() {
                holds.join(" ")
            } else {
                String::new()
            };
            format!("{} {} {} {holds}", of.code, of.text, row.state.code())
        });
        shown.map(|text| text.trim_end().to_owned()).collect()
    }

    /// What a device that measures everything is told on a query.
    fn asked(&self, tube: &'static str) -> Vec<String> {
        let found = self.work(move |db| book::waiting_for_device(db, tube, 0, &|_| true));
        let items = found.map(|(_, items)| items).unwrap_or_default();
        items.into_iter().flat_map(|item| item.tests).collect()
    }

    /// Destination and count of messages that wait.
    fn queued(&self) -> Vec<(String, i64)> {
        let rows = self.work(queue::summary);
        rows.into_iter()
            .map(|(to, _, count, _)| (to, count))
            .collect()
    }

    fn sheet(&self, tube: &'static str) -> Sheet {
        let mut sheets = self.work(move |db| sheets(db, tube, 0));
        assert_eq!(sheets.len(), 1);
        sheets.remove(0)
    }

    /// Actions on a tube, in their order.
    fn audit(&self, tube: &str) -> Vec<String> {
        let subject = format!("specimen:{tube}");
        let rows = self.work(move |db| crate::audit::of_subject(db, &subject));
        rows.into_iter()
            .map(|(_, who, what, _)| format!("{who} {what}"))
            .collect()
    }
}

fn keyed(tube: &str, tests: &[&str]) -> Keyed {
    Keyed {
        host: "his".to_owned(),
        barcode: tube.to_owned(),
        number: Private::new("MRN1".to_owned()),
        name: Private::new("Trần Thị Bình".to_owned()),
        birth: Private::new("19911105".to_owned()),
        sex: Some(Sex::F),
        ward: "KKB".to_owned(),
        priority: Priority::Stat,
        services: tests.iter().map(|test| (*test).to_owned()).collect(),
    }
}

fn patient(number: &str, birth: &str, sex: &str) -> PatientEntry {
    PatientEntry {
        identifiers: vec![Identifier {
            id: Private::new(number.to_owned()),
            ..Identifier::default()
        }],
        fields: Private::new(Fields::from([
            (3, number.to_owned()),
            (5, "TRẦN^BÌNH^THỊ".to_owned()),
        ])),
        birth: Private::new(birth.to_owned()),
        sex: sex.to_owned(),
    }
}

fn binh() -> PatientEntry {
    patient("MRN1", "19911105", "F")
}

#[test]
fn a_keyed_order_is_measured_and_becomes_the_hosts_when_it_orders() {
    let mut lab = Lab::new();
    let placed = lab
        .key(&keyed("T1", &["WBC", "HGB"]))
        .expect("it is keyed in");
    assert_eq!(placed.tests, ["WBC", "HGB"]);
    assert_eq!(lab.asked("T1"), ["WBC", "HGB"], "a query finds it");
    lab.measure("xn-1", "T1", "WBC", "6.4", "N");
    assert_eq!(lab.results("T1"), ["WBC 6.4 held provisional-order"]);
    assert!(lab.queued().is_empty(), "the host knows no such order");
    lab.order("P1", "T1", &binh(), &["WBC", "HGB"]);
    assert_eq!(lab.results("T1"), ["WBC 6.4 released"]);
    assert_eq!(lab.queued(), [("host:his".to_owned(), 1)]);
    assert_eq!(lab.asked("T1"), ["HGB"], "and once, not under both numbers");
    lab.measure("xn-1", "T1", "HGB", "131", "N");
    assert_eq!(lab.results("T1"), ["WBC 6.4 released", "HGB 131 released"]);
    let done = ["lan order-keyed", "host:his keyed-order-taken-over"];
    assert_eq!(lab.audit("T1"), done);
}

#[test]
fn what_the_host_did_not_order_stays_with_the_keyed_order() {
    let mut lab = Lab::new();
    lab.key(&keyed("T1", &["WBC", "HGB"]))
        .expect("it is keyed in");
    lab.measure("xn-1", "T1", "WBC", "6.4", "N");
    lab.measure("xn-1", "T1", "HGB", "131", "N");
    lab.order("P1", "T1", &binh(), &["WBC"]);
    let half = ["WBC 6.4 released", "HGB 131 held provisional-order"];
    assert_eq!(lab.results("T1"), half);
    lab.order("P2", "T1", &binh(), &["HGB"]);
    assert_eq!(lab.results("T1"), ["WBC 6.4 released", "HGB 131 released"]);
}

#[test]
fn another_patient_on_the_barcode_takes_nothing_over() {
    for (name, other) in [
        ("number", patient("MRN2", "19911105", "F")),
        ("birth date", patient("MRN1", "19911106", "F")),
        ("sex", patient("MRN1", "19911105", "M")),
    ] {
        let mut lab = Lab::new();
        let placed = lab.key(&keyed("T1", &["WBC"])).expect("it is keyed in");
        lab.measure("xn-1", "T1", "WBC", "6.4", "N");
        lab.release(1).expect("it is kept for the ward");
        lab.order("P1", "T1", &other, &["WBC"]);
        let held = ["WBC 6.4 held provisional-order ambiguous-specimen"];
        assert_eq!(lab.results("T1"), held, "{name}");
        assert!(lab.queued().is_empty(), "{name}");
        assert!(lab.asked("T1").is_empty(), "{name}: nobody guesses");
        let said = lab.audit("T1");
        assert!(
            said.contains(&"host:his keyed-order-differs".to_owned()),
            "{said:?}"
        );
        // Whoever sees that it was typed wrong takes it back: the host's order is alone then.
        lab.withdraw(&placed.number).expect("it is open");
        assert_eq!(lab.results("T1"), ["WBC 6.4 released"], "{name}");
    }
}

#[test]
fn a_patient_without_a_number_is_the_same_only_by_name_and_birth_date() {
    let unknown = |birth: &str| Keyed {
        number: Private::default(),
        birth: Private::new(birth.to_owned()),
        ..keyed("T1", &["WBC"])
    };
    for (birth, end) in [
        ("19911105", "WBC 6.4 released"),
        (
            "19911106",
            "WBC 6.4 held provisional-order ambiguous-specimen",
        ),
    ] {
        let mut lab = Lab::new();
        lab.key(&unknown(birth)).expect("it is keyed in");
        lab.measure("xn-1", "T1", "WBC", "6.4", "N");
        lab.order("P1", "T1", &binh(), &["WBC"]);
        assert_eq!(lab.results("T1"), [end], "{birth}");
    }
    let mut lab = Lab::new();
    assert_eq!(lab.key(&unknown("")), Err(Refused::NoPatient));
}

#[test]
fn what_a_person_kept_for_the_ward_is_on_paper_and_reaches_the_host_once() {
    let mut lab = Lab::new();
    lab.key(&keyed("T1", &["WBC", "HGB"]))
        .expect("it is keyed in");
    lab.measure("xn-1", "T1", "WBC", "6.4", "*");
    lab.measure("xn-1", "T1", "HGB", "131", "N");
    let sheet = lab.sheet("T1");
    assert!(sheet.lines.is_empty(), "nobody has looked at them");
    assert_eq!((sheet.undecided, sheet.missing.len()), (2, 0));
    let done = lab.release(1).expect("a person may keep it");
    assert_eq!(done.state.map(|state| state.code()), Some("kept"));
    assert!(lab.queued().is_empty(), "it is told to nobody");
    let sheet = lab.sheet("T1");
    assert_eq!((sheet.lines.len(), sheet.undecided), (1, 1));
    assert!(sheet.lines[0].is_provisional && sheet.lines[0].before.is_none());
    // Measured again: the ward is told that it is another value.
    lab.measure("xn-1", "T1", "WBC", "7.1", "N");
    lab.release(3).expect("a person may keep it");
    let sheet = lab.sheet("T1");
    assert_eq!(sheet.lines.len(), 1);
    let line = &sheet.lines[0];
    let before = line
        .before
        .as_ref()
        .map(|one| one.observation.text.as_str());
    assert_eq!(
        (line.result.observation.text.as_str(), before),
        ("7.1", Some("6.4"))
    );
    lab.order("P1", "T1", &binh(), &["WBC", "HGB"]);
    assert_eq!(
        lab.results("T1"),
        ["WBC 6.4 replaced", "HGB 131 released", "WBC 7.1 released"]
    );
    assert!(!lab.sheet("T1").lines.iter().any(|line| line.is_provisional));
}

#[test]
fn a_result_that_no_look_can_mend_is_not_kept_for_the_ward() {
    let mut lab = Lab::new();
    lab.key(&keyed("T1", &["WBC"])).expect("it is keyed in");
    lab.measure("xn-1", "T1", "XYZ", "1", "N");
    assert_eq!(lab.results("T1"), ["XYZ 1 held unknown-test"]);
    assert!(matches!(lab.release(1), Err(NotDone::NotFor { .. })));
    assert!(lab.sheet("T1").lines.is_empty());
}

#[test]
fn a_device_that_was_told_of_a_keyed_order_is_not_told_again_by_the_hosts() {
    let mut lab = Lab::new();
    lab.key(&keyed("T1", &["GLU"])).expect("it is keyed in");
    assert_eq!(lab.queued(), [("line:au-1".to_owned(), 1)]);
    // Before it was said, it is said of the host's order instead.
    lab.order("P1", "T1", &binh(), &["GLU"]);
    assert_eq!(lab.queued(), [("line:au-1".to_owned(), 2)]);
    let mut lab = Lab::new();
    lab.key(&keyed("T1", &["GLU"])).expect("it is keyed in");
    let now = lab.now;
    lab.work(move |db| {
        let terms = queue::LeaseTerms {
            destination: "line:au-1",
            owner: "worker",
            now,
            until: now + DAY,
            count_max: 10,
            more_urgent_than: queue::LeaseTerms::ANY_PRIORITY,
        };
        let told = queue::lease(db, &terms, &mut Bodies)?;
        assert_eq!(told.len(), 1);
        let answer = "AA".to_owned();
        let verdict = queue::Verdict::Accepted { answer };
        queue::settle_attempt(
            db,
            told[0].id,
            "worker",
            &verdict,
            queue::Backoff::default(),
            now,
        )
    });
    lab.order("P1", "T1", &binh(), &["GLU"]);
    assert!(lab.queued().is_empty(), "{:?}", lab.queued());
}

struct Bodies;

impl queue::Render for Bodies {
    fn render(
        &mut self,
        _: &mut dyn Db,
        pending: &[queue::Pending],
    ) -> Result<Vec<queue::Rendered>, StoreError> {
        let rendered = pending.iter().map(|row| queue::Rendered::Message {
            control_id: format!("LW-{}", row.id),
            body: b"order".to_vec(),
        });
        Ok(rendered.collect())
    }
}

#[test]
fn what_cannot_be_an_order_is_refused_and_changes_nothing() {
    let mut lab = Lab::new();
    lab.order("P1", "T9", &binh(), &["WBC"]);
    let form = |change: &dyn Fn(&mut Keyed)| {
        let mut keyed = keyed("T1", &["WBC"]);
        change(&mut keyed);
        keyed
    };
    let set = |text: &str| Private::new(text.to_owned());
    for (keyed, refused) in [
        (form(&|one| one.host = "lis".to_owned()), Refused::NoHost),
        (form(&|one| one.barcode = String::new()), Refused::Barcode),
        (
            form(&|one| one.barcode = "T 1".to_owned()),
            Refused::Barcode,
        ),
        (
            form(&|one| one.barcode = "T\r1".to_owned()),
            Refused::Barcode,
        ),
        (form(&|one| one.barcode = "9".repeat(41)), Refused::Barcode),
        (form(&|one| one.birth = set("19911340")), Refused::Birth),
        (form(&|one| one.birth = set("20991231")), Refused::Birth),
        (form(&|one| one.name = set("a\nb")), Refused::NoPatient),
        (form(&|one| one.services.clear()), Refused::NoTests),
        (
            form(&|one| one.services.push("XYZ".to_owned())),
            Refused::NotOffered("XYZ".to_owned()),
        ),
        (
            form(&|one| one.barcode = "T9".to_owned()),
            Refused::HasOrder,
        ),
        (
            form(&|one| one.birth = set("19911106")),
            Refused::OtherPatient("birth date"),
        ),
        (
            form(&|one| one.sex = Some(Sex::M)),
            Refused::OtherPatient("sex"),
        ),
    ] {
        assert_eq!(lab.key(&keyed), Err(refused));
    }
    assert!(lab.asked("T1").is_empty());
    lab.key(&keyed("T1", &["WBC"])).expect("it is keyed in");
    let other = form(&|one| one.number = set("MRN7"));
    assert_eq!(lab.key(&other), Err(Refused::OtherTube));
    lab.key(&keyed("T1", &["HGB"])).expect("an addition");
    assert_eq!(lab.asked("T1"), ["WBC", "HGB"]);
    let (site, now) = (Arc::clone(&lab.site), lab.now);
    let without = lab.work(move |db| withdraw(db, &site, ("lan", " "), "T00001", now));
    assert_eq!(without, Err(Refused::NoReason));
    assert_eq!(lab.withdraw("T99999"), Err(Refused::NotFound));
}

#[test]
fn a_form_does_not_change_what_the_host_said_of_a_patient() {
    let mut lab = Lab::new();
    lab.order("P1", "T9", &binh(), &["WBC"]);
    let typed = Keyed {
        name: Private::new("Bình".to_owned()),
        birth: Private::default(),
        ..keyed("T1", &["WBC"])
    };
    lab.key(&typed).expect("it is keyed in");
    let sheet = lab.sheet("T1");
    let name = sheet.patient.fields.expose().get(&5).cloned();
    assert_eq!(name.as_deref(), Some("TRẦN^BÌNH^THỊ"));
    assert_eq!(sheet.patient.birth.expose(), "19911105");
}

#[test]
fn a_bench_lists_what_is_ordered_and_not_measured() {
    let mut lab = Lab::new();
    lab.order("P1", "T1", &binh(), &["WBC", "HGB", "GLU"]);
    lab.key(&keyed("T2", &["WBC"])).expect("it is keyed in");
    lab.measure("xn-1", "T1", "WBC", "6.4", "N");
    let site = Arc::clone(&lab.site);
    let listed = lab.work(move |db| benches(db, &site, 0));
    let shown: Vec<String> = listed
        .iter()
        .flat_map(|bench| {
            let tubes = bench.open.iter();
            tubes.map(|tube| format!("{} {} {}", bench.line, tube.barcode, tube.tests.join(" ")))
        })
        .collect();
    // What was keyed in as urgent goes first.
    assert_eq!(shown, ["au-1 T1 GLU", "xn-1 T2 WBC", "xn-1 T1 HGB"]);
    assert!(listed[1].open[0].is_keyed && !listed[1].open[1].is_keyed);
}

crate::on_postgres_too! {
    a_keyed_order_is_measured_and_becomes_the_hosts_when_it_orders
    what_the_host_did_not_order_stays_with_the_keyed_order
    another_patient_on_the_barcode_takes_nothing_over
    a_patient_without_a_number_is_the_same_only_by_name_and_birth_date
    what_a_person_kept_for_the_ward_is_on_paper_and_reaches_the_host_once
    a_result_that_no_look_can_mend_is_not_kept_for_the_ward
    a_device_that_was_told_of_a_keyed_order_is_not_told_again_by_the_hosts
    what_cannot_be_an_order_is_refused_and_changes_nothing
    a_form_does_not_change_what_the_host_said_of_a_patient
    a_bench_lists_what_is_ordered_and_not_measured
}
