//! Whatever happens, a row is in the store or in an archive that was read again, and nothing open leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use proptest::prelude::*;
use serde_json::Value;

use super::{
    file,
    keeper::{Keeper, Plan},
    rows,
    unit::TABLES,
};
use crate::{
    audit,
    ledger::Ledger,
    store::{
        Clock, Db, Param, Sql, Store, StoreError, Turn,
        conformance::Ground,
        ground::new_store,
        seal::{Keys, Recipients, new_key},
        to_json,
    },
};

const DAY: i64 = 24 * 3_600 * 1_000_000;
const NOW: i64 = 1_000 * DAY;
const KEPT_DAYS: u32 = 60;
const BEFORE: i64 = NOW - 60 * DAY;

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn mono(&self) -> labwire_protocols::wire::Mono {
        labwire_protocols::wire::Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        NOW
    }
}

/// A laboratory that archives.
struct Lab {
    store: Store,
    ground: Box<dyn Ground>,
    runtime: tokio::runtime::Runtime,
    recipients: Recipients,
    keys: Option<Keys>,
}

impl Lab {
    fn new() -> Self {
        let (store, ground) = new_store(Arc::new(Now));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            store,
            ground,
            runtime,
            recipients: Recipients::default(),
            keys: None,
        }
    }

    fn folder(&self) -> PathBuf {
        self.ground.folder().join("archive")
    }

    fn keeper(&self, audit_days: Option<u32>) -> Keeper {
        let plan = Plan {
            folder: self.folder(),
            recipients: self.recipients.clone(),
            tubes_days: Some(KEPT_DAYS),
            messages_days: Some(KEPT_DAYS),
            audit_days,
        };
        Keeper::new(plan, self.store.clone(), Arc::new(Now))
    }

    fn archive(&self, audit_days: Option<u32>) {
        let mut keeper = self.keeper(audit_days);
        while self.runtime.block_on(keeper.look()).unwrap() {}
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.transact_blocking(Turn::Reply, work).unwrap()
    }

    /// Every row of the tables that leave, by table and number, as the store has it.
    fn stored(&self) -> BTreeMap<(String, i64), Value> {
        self.work(|db| {
            let mut all = BTreeMap::new();
            for (name, sql) in IDS {
                let table = TABLES.iter().find(|table| table.name == *name).unwrap();
                let ids: BTreeSet<i64> = db
                    .rows(sql, &[])?
                    .iter()
                    .map(|row| row.int(0))
                    .collect::<Result<_, _>>()?;
                for id in ids {
                    let rows = db.rows(&table.select, &[id.into()])?;
                    let rows: Vec<Vec<Value>> = rows
                        .iter()
                        .map(|row| row.values().iter().map(to_json).collect())
                        .collect();
                    all.insert(((*name).to_owned(), id), Value::from(rows));
                }
            }
            Ok(all)
        })
    }

    /// The same of all archives, each proven whole.
    fn archived(&self) -> BTreeMap<(String, i64), Value> {
        let mut all: BTreeMap<(String, i64), Vec<Vec<Value>>> = BTreeMap::new();
        for name in file::list(&self.folder()).unwrap_or_default() {
            // What is in two files is the same in both, or the later one counts.
            let mut of_file: BTreeMap<(String, i64), Vec<Vec<Value>>> = BTreeMap::new();
            let mut each = |unit: Value| {
                let tables = unit["rows"].as_object().cloned().unwrap_or_default();
                for (table, rows) in tables {
                    let shape = TABLES.iter().find(|one| one.name == table).unwrap();
                    let by = by(&table);
                    for row in rows.as_array().unwrap() {
                        let values = shape.columns.iter().map(|column| row[column].clone());
                        let key = (table.clone(), row[by].as_i64().unwrap());
                        of_file.entry(key).or_default().push(values.collect());
                    }
                }
            };
            file::read(&self.folder().join(name), self.keys.as_ref(), &mut each).unwrap();
            all.extend(of_file);
        }
        all.into_iter()
            .map(|(key, rows)| (key, Value::from(rows)))
            .collect()
    }

    fn findings(&self) -> Vec<String> {
        self.work(|db| {
            let mut ledger = Ledger::new(None, NOW);
            let mut all = Vec::new();
            while let Some(page) = ledger.next_page(db)? {
                all.extend(
                    page.findings
                        .iter()
                        .map(|one| format!("{} {}", one.code, one.subject)),
                );
            }
            Ok(all)
        })
    }
}

const IDS: &[(&str, Sql)] = &[
    ("message", Sql::same("SELECT id FROM message")),
    ("result", Sql::same("SELECT id FROM result")),
    ("queue", Sql::same("SELECT id FROM queue")),
    ("queue_result", Sql::same("SELECT queue FROM queue_result")),
    (
        "critical_call",
        Sql::same("SELECT result FROM critical_call"),
    ),
    ("call_attempt", Sql::same("SELECT call FROM call_attempt")),
    (
        "device_event",
        Sql::same("SELECT message FROM device_event"),
    ),
    ("track_event", Sql::same("SELECT message FROM track_event")),
    ("answered", Sql::same("SELECT message FROM answered")),
    ("image", Sql::same("SELECT id FROM image")),
];

/// The column by which a table is read.
fn by(table: &str) -> &'static str {
    match table {
        "queue_result" | "queue_image" | "queue_order" => "queue",
        "critical_call" => "result",
        "call_attempt" => "call",
        "device_event" | "track_event" | "answered" => "message",
        _ => "id",
    }
}

const PATIENT: Sql = Sql::same(
    "INSERT INTO patient (id, fields, birth, sex, updated_at) VALUES ($1, 'x', '', '', 1) \
     ON CONFLICT DO NOTHING",
);
const TUBE: Sql = Sql::same(
    "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
     VALUES ($1, 'his', $2, 1, $3, '', 1)",
);
const ORDER: Sql = Sql::same(
    "INSERT INTO order_item (id, host, placer, service, specimen, filler, status, priority, content, \
     message, created_at, updated_at) VALUES ($1, 'his', $2, 'S', $1, '', $3, 1, '', $4, 1, 1)",
);
const MESSAGE: Sql = Sql::same(
    "INSERT INTO message (id, line, connection, session, received_at, is_complete, raw, state, outcome) \
     VALUES ($1, 'xn', 1, 1, $2, 1, $3, $4, '{\"heard\":\"test\"}')",
);
const TRACK: Sql = Sql::same(
    "INSERT INTO track_event (message, span_start, span_end, line, module, barcode, kind, detail, at, \
     received_at) VALUES ($1, 0, 1, 'line', 'sorter', $2, 'received', '{}', $3, $3)",
);
const ANSWERED: Sql = Sql::same(
    "INSERT INTO answered (host, sender, control_id, digest, message, reply, at) \
     VALUES ('his', 'x', $2, 'd', $1, $3, $4)",
);
const RESULT: Sql = Sql::same(
    "INSERT INTO result (id, message, line, kind, barcode, specimen, test, state, version, supersedes, \
     holds, detail, queue, received_at) VALUES ($1, $2, 'xn', 'patient', $3, $4, $5, $6, 1, $7, '[]', \
     '{}', $8, $9)",
);
const QUEUE: Sql = Sql::same(
    "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, control_id, \
     body, reason, created_at, closed_at, closed_by, answer) VALUES ($1, 'host:his', 'result', $2, 1, $3, \
     1, 5, $4, $5, 'r', $6, $7, 'lan', 'AA')",
);
const CARRIES: Sql = Sql::same("INSERT INTO queue_result (queue, result) VALUES ($1, $2)");
const BLOOD: Sql = Sql::same(
    "INSERT INTO blood_group (result, patient, abo, rhd, antibody) VALUES ($1, $2, '', '', 'POS')",
);
const CALL: Sql = Sql::same(
    "INSERT INTO critical_call (id, result, kind, state, test, value, unit, side, beyond, opened_at, \
     closed_at, closed_by) VALUES ($1, $1, 'critical', $2, 'K', '7.1', '', 'high', '6', $3, $4, '')",
);
const ATTEMPT: Sql = Sql::same(
    "INSERT INTO call_attempt (id, call, at, actor, outcome, told_to, contact, read_back) \
     VALUES ($1, $1, $2, 'lan', 'told', 'x', '', 1)",
);

/// What befell one result of a tube.
#[derive(Clone, Debug)]
struct Course {
    /// Of which patient, and how old.
    patient: i64,
    age_days: i64,
    test: bool,
    state: &'static str,
    delivery: &'static str,
    message: &'static str,
    order: &'static str,
    /// In the message, or on the delivery, of the one before; a later version of it.
    shares_message: bool,
    shares_delivery: bool,
    follows: bool,
    has_blood: bool,
    call: Option<&'static str>,
}

fn course() -> impl Strategy<Value = Course> {
    let states = prop_oneof![
        8 => Just("released"), 2 => Just("kept"), 1 => Just("held"), 1 => Just("waiting"),
        2 => Just("replaced"), 1 => Just("set-aside"), 1 => Just("control"),
    ];
    let deliveries = prop_oneof![
        8 => Just("delivered"), 1 => Just("waiting"), 1 => Just("leased"), 1 => Just("set-aside"),
        1 => Just("discarded"),
    ];
    let messages = prop_oneof![12 => Just("parsed"), 1 => Just("unparsed"), 1 => Just("held")];
    let orders = prop_oneof![6 => Just("CM"), 1 => Just("A"), 1 => Just("CA")];
    let call = prop_oneof![4 => Just(None), 1 => Just(Some("open")), 1 => Just(Some("told"))];
    let rare = || proptest::bool::weighted(0.2);
    let first = (
        1_i64..4,
        1_i64..200,
        any::<bool>(),
        states,
        deliveries,
        messages,
    );
    let second = (orders, rare(), rare(), rare(), rare(), call);
    (first, second).prop_map(|(first, second)| Course {
        patient: first.0,
        age_days: first.1,
        test: first.2,
        state: first.3,
        delivery: first.4,
        message: first.5,
        order: second.0,
        shares_message: second.1,
        shares_delivery: second.2,
        follows: second.3,
        has_blood: second.4,
        call: second.5,
    })
}

/// When an event of the line was noted that its message led to: Labwire finds some things later.
fn found_at(message: i64, at: i64) -> i64 {
    at + message % 3 * 20 * DAY
}

/// A message, with what the line told in it and what was answered.
fn write_message(
    db: &mut dyn Db,
    number: i64,
    at: i64,
    barcode: &str,
    state: &str,
) -> Result<(), StoreError> {
    let raw: Param = format!("H|{number}\r").into_bytes().into();
    db.exec(&MESSAGE, &[number.into(), at.into(), raw, state.into()])?;
    let found = found_at(number, at).into();
    db.exec(&TRACK, &[number.into(), barcode.into(), found])?;
    let (control, reply): (_, Param) = (format!("HIS{number}"), b"MSA|AA".to_vec().into());
    let answered = [number.into(), control.into(), reply, at.into()];
    db.exec(&ANSWERED, &answered).map(|_| ())
}

/// Writes a history, oldest first as time goes.
fn write(db: &mut dyn Db, courses: &[Course]) -> Result<(), StoreError> {
    let (mut message, mut delivery) = (0, 0);
    for (number, one) in (1_i64..).zip(courses) {
        let at = NOW - one.age_days * DAY;
        let barcode = format!("T{number}");
        db.exec(&PATIENT, &[one.patient.into()])?;
        db.exec(
            &TUBE,
            &[number.into(), barcode.as_str().into(), one.patient.into()],
        )?;
        if message == 0 || !one.shares_message {
            message = number;
            write_message(db, number, at, &barcode, one.message)?;
        }
        let order = [
            number.into(),
            barcode.as_str().into(),
            one.order.into(),
            message.into(),
        ];
        db.exec(&ORDER, &order)?;
        let is_told = one.state == "released";
        if is_told && (delivery == 0 || !one.shares_delivery) {
            delivery = number;
            let is_open = ["waiting", "leased", "set-aside"].contains(&one.delivery);
            let closed: Param = (!is_open).then_some(at).into();
            let control = format!("LW{number}");
            let body: Param = format!("MSH|^~\\&|L||H||1||ORU|{control}|P|2.5.1\r")
                .into_bytes()
                .into();
            let row = [
                number.into(),
                number.into(),
                one.delivery.into(),
                control.into(),
                body,
            ];
            db.exec(&QUEUE, &[&row[..], &[at.into(), closed]].concat())?;
        }
        let follows: Param = (one.follows && number > 1).then_some(number - 1).into();
        let test = if one.test { "K" } else { "NA" };
        let is_first = is_told && delivery == number;
        let row = [
            number.into(),
            message.into(),
            barcode.into(),
            number.into(),
            test.into(),
            one.state.into(),
            follows,
            is_first.then_some(delivery).into(),
            at.into(),
        ];
        db.exec(&RESULT, &row)?;
        if is_told && !is_first {
            db.exec(&CARRIES, &[delivery.into(), number.into()])?;
        }
        if one.has_blood {
            db.exec(&BLOOD, &[number.into(), one.patient.into()])?;
        }
        if let Some(state) = one.call {
            let closed: Param = (state != "open").then_some(at).into();
            db.exec(&CALL, &[number.into(), state.into(), at.into(), closed])?;
            db.exec(&ATTEMPT, &[number.into(), at.into()])?;
        }
    }
    Ok(())
}

/// What must be in the store, said of each row by itself.
fn must_stay(
    courses: &[Course],
    stored: &BTreeMap<(String, i64), Value>,
) -> BTreeSet<(String, i64)> {
    let mut must = BTreeSet::new();
    let key = |table: &str, id: i64| (table.to_owned(), id);
    let mut last: BTreeMap<(i64, bool), (i64, i64)> = BTreeMap::new();
    for (number, one) in (1_i64..).zip(courses) {
        let is_young = NOW - one.age_days * DAY >= BEFORE;
        let is_held = ["held", "waiting"].contains(&one.state);
        if is_young || is_held || one.has_blood || one.order == "A" {
            must.insert(key("result", number));
        }
        if one.call == Some("open") {
            must.insert(key("critical_call", number));
        }
        let is_open = ["waiting", "leased", "set-aside"].contains(&one.delivery);
        if is_open && stored.contains_key(&key("queue", number)) {
            must.insert(key("queue", number));
        }
        let found = found_at(number, NOW - one.age_days * DAY);
        if found >= BEFORE && stored.contains_key(&key("track_event", number)) {
            must.insert(key("track_event", number));
        }
        if one.message != "parsed" && stored.contains_key(&key("message", number)) {
            must.insert(key("message", number));
        }
        if ["released", "kept"].contains(&one.state) {
            let newest = last.entry((one.patient, one.test)).or_insert((i64::MIN, 0));
            *newest = (*newest).max((-one.age_days, number));
        }
    }
    must.extend(last.values().map(|(_, number)| key("result", *number)));
    must
}

/// How a run of the archiver ends.
#[derive(Clone, Copy, Debug)]
enum Run {
    Whole,
    DiesWithItsFile,
    DiesAfter(usize),
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let one = prop_oneof![
        Just(Run::Whole),
        Just(Run::DiesWithItsFile),
        (0_usize..4).prop_map(Run::DiesAfter),
    ];
    prop::collection::vec(one, 1..4)
}

fn check(lab: &Lab, courses: Vec<Course>, runs: &[Run]) {
    let history = courses.clone();
    lab.work(move |db| write(db, &history));
    let before = lab.stored();
    let must = must_stay(&courses, &before);
    for run in runs.iter().chain([&Run::Whole]) {
        match run {
            Run::Whole => lab.archive(None),
            Run::DiesWithItsFile => {
                lab.runtime
                    .block_on(lab.keeper(None).look_and_die(None))
                    .unwrap();
            }
            Run::DiesAfter(units) => {
                let mut keeper = lab.keeper(None);
                lab.runtime
                    .block_on(keeper.look_and_die(Some(*units)))
                    .unwrap();
            }
        }
        let (stored, archived) = (lab.stored(), lab.archived());
        for (key, row) in &before {
            let found = stored.get(key).or_else(|| archived.get(key));
            assert_eq!(found, Some(row), "{key:?} after {run:?}");
        }
        let gone: Vec<_> = must
            .iter()
            .filter(|key| !stored.contains_key(*key))
            .collect();
        assert!(gone.is_empty(), "{gone:?} left");
        for ((table, _), rows) in &stored {
            if table == "result" {
                let message = rows[0][1].as_i64().unwrap();
                assert!(stored.contains_key(&("message".to_owned(), message)));
            }
        }
    }
    let (stored, archived) = (lab.stored(), lab.archived());
    let twice: Vec<_> = stored
        .keys()
        .filter(|key| archived.contains_key(*key))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    let left = lab.work(rows::counts);
    let of = |table: &str| {
        let count = before.keys().filter(|(name, _)| name == table).count();
        let stay = stored.keys().filter(|(name, _)| name == table).count();
        i64::try_from(count - stay).unwrap()
    };
    assert_eq!((left.messages, left.results), (of("message"), of("result")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whenever_it_stops_every_row_is_in_the_store_or_in_an_archive_and_nothing_open_leaves(
        courses in prop::collection::vec(course(), 1..40), runs in runs()
    ) {
        check(&Lab::new(), courses, &runs);
    }
}

/// Closed, delivered, and each followed by a later value of its patient and test.
fn closed(count: i64) -> Vec<Course> {
    let one = |number: i64| Course {
        patient: 1,
        age_days: 400 - number,
        test: true,
        state: "released",
        delivery: "delivered",
        message: "parsed",
        order: "CM",
        shares_message: false,
        shares_delivery: false,
        follows: false,
        has_blood: false,
        call: None,
    };
    (0..count).map(one).collect()
}

#[test]
fn what_is_closed_and_old_leaves_encrypted_and_the_ledger_stays_clean() {
    let mut lab = Lab::new();
    let key = lab.ground.folder().join("key");
    let public = new_key(&key).unwrap();
    lab.recipients = Recipients::read(&[public.as_str()]).unwrap();
    lab.keys = Some(Keys::read(&key).unwrap());
    let courses = closed(50);
    lab.work(move |db| write(db, &courses));
    assert_eq!(lab.findings(), Vec::<String>::new());
    lab.archive(None);
    assert_eq!(lab.findings(), Vec::<String>::new());
    let counts = lab.work(rows::counts);
    assert_eq!(
        (counts.results, counts.messages, counts.deliveries),
        (49, 49, 49)
    );
    let files = lab.work(|db| rows::of_tube(db, "T7"));
    assert_eq!(files, lab.work(|db| rows::of_result(db, 7)));
    assert!(files[0].ends_with(".jsonl.gz.age"), "{files:?}");
    let path = lab.folder().join(&files[0]);
    let found = file::search(&path, lab.keys.as_ref(), "T7").unwrap();
    assert_eq!(found.len(), 1);
    let unit = &found[0].unit;
    assert_eq!(unit["rows"]["message"][0]["raw"]["utf8"], "H|7\r");
    assert_eq!(unit["rows"]["track_event"][0]["barcode"], "T7");
    assert_eq!(unit["rows"]["answered"][0]["control_id"], "HIS7");
    assert_eq!(unit["about"]["specimen"][0]["barcode"], "T7");
    assert_eq!(file::verify(&path, None).unwrap_err().code(), "STORE-0116");
    // Numbers go on; none is given twice.
    let next = lab.work(|db| {
        db.row(&Sql::same("SELECT max(id) FROM result"), &[])?
            .int(0)
    });
    assert_eq!(next, 50);
}

#[test]
fn an_archive_that_the_store_knows_nothing_of_is_kept_under_another_name() {
    let lab = Lab::new();
    let courses = closed(10);
    lab.work(move |db| write(db, &courses));
    // As after the restore of a backup that is older than the archive.
    lab.runtime
        .block_on(lab.keeper(None).look_and_die(None))
        .unwrap();
    let unknown = file::list(&lab.folder()).unwrap();
    let bytes = std::fs::read(lab.folder().join(&unknown[0])).unwrap();
    std::fs::write(lab.folder().join(format!("{}.part", unknown[0])), "half").unwrap();
    lab.archive(None);
    let aside = lab.folder().join(format!("{}.unlisted", unknown[0]));
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
    assert!(!file::list(&lab.folder()).unwrap().contains(&unknown[0]));
    let parts = std::fs::read_dir(lab.folder()).unwrap();
    let is_part = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".part");
    assert_eq!(
        parts
            .filter(|entry| is_part(&entry.as_ref().unwrap().file_name()))
            .count(),
        0
    );
}

#[test]
fn what_has_to_stay_does_not_hide_what_lies_behind_it() {
    let lab = Lab::new();
    let stays = i64::try_from(super::keeper::LOOKS_MAX).unwrap();
    let mut courses = closed(stays + 20);
    for (course, number) in courses.iter_mut().zip(0..) {
        course.age_days = 300;
        course.has_blood = number < stays;
    }
    lab.work(move |db| write(db, &courses));
    lab.archive(None);
    let stored = lab.stored();
    assert!(stored.contains_key(&("result".to_owned(), 1)), "a group");
    let behind = ("result".to_owned(), stays + 5);
    assert!(!stored.contains_key(&behind), "nothing left");
}

#[test]
fn what_changed_since_its_file_was_written_stays() {
    let lab = Lab::new();
    let courses = closed(10);
    lab.work(move |db| write(db, &courses));
    let mut keeper = lab.keeper(None);
    lab.runtime.block_on(keeper.look_and_die(None)).unwrap();
    lab.work(|db| {
        let again = Sql::same("UPDATE queue SET state = 'waiting', closed_at = NULL WHERE id = 3");
        db.exec(&again, &[])
    });
    lab.archive(None);
    assert!(lab.stored().contains_key(&("result".to_owned(), 3)));
    assert!(!lab.stored().contains_key(&("result".to_owned(), 4)));
}

#[test]
fn what_the_line_told_of_a_tube_stays_while_its_order_is_open() {
    let lab = Lab::new();
    let mut courses = closed(10);
    courses[8].order = "A";
    lab.work(move |db| {
        write(db, &courses)?;
        let at = Param::Int(NOW - 390 * DAY);
        db.exec(&TRACK, &[3.into(), "T9".into(), at])?;
        // Its number is not given again.
        db.exec(&TRACK, &[10.into(), "T10".into(), Param::Int(NOW)])
    });
    lab.archive(None);
    let stored = lab.stored();
    assert!(stored.contains_key(&("track_event".to_owned(), 3)));
    assert!(!stored.contains_key(&("track_event".to_owned(), 4)));
}

fn walk(lab: &Lab, noted: Option<audit::Head>) -> Result<(), audit::Break> {
    lab.work(move |db| {
        let mut walk = audit::Walk::new(noted);
        loop {
            if let Some(end) = walk.next_page(db)? {
                return Ok(end);
            }
        }
    })
}

#[test]
fn the_audit_goes_on_from_the_last_row_that_was_archived() {
    let lab = Lab::new();
    lab.work(|db| {
        (0..300).try_for_each(|number| {
            let at = NOW - (300 - number) * DAY;
            audit::write(db, at, "lan", "look", &format!("specimen:{number}"), "")
        })
    });
    let noted = lab.work(|db| audit::newest(db)).unwrap();
    lab.archive(Some(KEPT_DAYS));
    let last = lab.work(|db| audit::archived(db)).unwrap();
    assert!(last.at < BEFORE && last.id > 200);
    assert_eq!(walk(&lab, Some(noted)), Ok(()));
    assert_eq!(walk(&lab, Some(last.head())), Ok(()));
    assert_eq!(lab.work(rows::counts).events, last.id);
    // The chain in the file ends with what the store goes on from.
    let file = file::list(&lab.folder()).unwrap().pop().unwrap();
    let mut rows = Vec::new();
    file::read(&lab.folder().join(file), None, &mut |row| rows.push(row)).unwrap();
    assert_eq!(
        rows.last().unwrap()["hash"].as_str().unwrap(),
        last.hash.clone().unwrap()
    );
    // A later row cannot be removed, and whoever moves the mark is found.
    let remove = Sql::same("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)");
    let removed = lab
        .store
        .transact_blocking(Turn::Reply, move |db| db.exec(&remove, &[]));
    removed.unwrap_err();
    let moved = audit::Archived {
        id: last.id + 2,
        ..last
    };
    let head = moved.head();
    lab.work(move |db| {
        audit::set_archived(db, &moved)?;
        let remove = Sql::same("DELETE FROM audit WHERE id <= $1");
        db.exec(&remove, &[moved.id.into()])
    });
    assert_eq!(walk(&lab, None), Err(audit::Break::NotArchived(head)));
}

#[test]
fn no_column_of_what_leaves_is_forgotten() {
    let lab = Lab::new();
    lab.work(|db| {
        for table in TABLES {
            let sql = Sql {
                sqlite: "SELECT name FROM pragma_table_info($1) ORDER BY cid",
                postgres: "SELECT attname::text FROM pg_attribute WHERE attrelid = \
                           CAST($1 AS text)::regclass AND attnum > 0 AND NOT attisdropped \
                           ORDER BY attnum",
            };
            let rows = db.rows(&sql, &[table.name.into()])?;
            let mut names = rows
                .iter()
                .map(|row| row.text(0))
                .collect::<Result<Vec<_>, _>>()?;
            let mut ours = table.columns.to_vec();
            names.sort_unstable();
            ours.sort_unstable();
            assert_eq!(names, ours, "{}", table.name);
        }
        Ok(())
    });
}

crate::on_postgres_too! {
    whenever_it_stops_every_row_is_in_the_store_or_in_an_archive_and_nothing_open_leaves
    what_is_closed_and_old_leaves_encrypted_and_the_ledger_stays_clean
    what_changed_since_its_file_was_written_stays
    what_the_line_told_of_a_tube_stays_while_its_order_is_open
    the_audit_goes_on_from_the_last_row_that_was_archived
    no_column_of_what_leaves_is_forgotten
}
