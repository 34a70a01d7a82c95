//! A copy fits either database, and nothing of it can change unseen.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    audit,
    store::{
        Backup, Db, Insert, Restore, Sql, Store, StoreError, StoreOptions, Turn,
        address::Address,
        check_backup,
        conformance::StillClock,
        ground::Server,
        journal, migrate,
        portable::write::Origin,
        restore,
        seal::{Keys, Lines, Recipients, Writer, new_key},
        session::{Access, Session},
        start::wait_for,
    },
};

/// A place for a database, and the folder of its test.
struct Base {
    url: String,
    folder: TempDir,
    _server: Option<Server>,
}

impl Base {
    fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite:{}", folder.path().join("labwire.db").display()),
            folder,
            _server: None,
        }
    }

    fn server() -> Option<Self> {
        let server = Server::new()?;
        Some(Self {
            url: server.url().to_owned(),
            folder: tempfile::tempdir().unwrap(),
            _server: Some(server),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Store {
        let opened = Store::open(&self.url, StoreOptions::default(), Arc::new(StillClock));
        wait_for(opened).unwrap()
    }

    fn session(&self, access: Access) -> Box<dyn Session> {
        let address = Address::read(&self.url).unwrap();
        address
            .backend(&StoreOptions::default(), Arc::new(StillClock))
            .beside(access)
            .unwrap()
    }

    fn restore(&self, from: &Path, keys: Option<&Keys>) -> Result<(), StoreError> {
        let asked = Restore {
            from,
            keys,
            actor: "lan",
            now: 7,
            replace: false,
            aside: "aside",
        };
        restore(&self.url, &asked).map(|_| ())
    }
}

const PATIENT: Sql = Sql::same(
    "INSERT INTO patient (id, merged_into, fields, birth, sex, updated_at) \
     VALUES (1, NULL, $1, '19800101', 'F', 5), (3, NULL, 'x', '', '', 6), (2, 3, 'y', '', '', 6)",
);
const TUBES: Sql = Sql::same(
    "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
     VALUES (1, 'his', '2501150042', 1, 1, '', 9), (2, 'his', '2501150042', 2, 3, '', 10)",
);
const QUEUE: Sql = Sql::same(
    "INSERT INTO queue (id, destination, kind, specimen, priority, state, attempts, due_at, control_id, \
     body, reason, created_at, closed_by, answer, behind) VALUES (4, 'host:his', 'result', 1, 1, \
     'waiting', 0, 5, NULL, NULL, '', 5, '', '', 5), (5, 'host:his', 'result', 1, 1, 'set-aside', 1, 5, \
     'LW1', $1, 'AE', 5, '', 'AE', NULL)",
);
const RESULT: Sql = Sql::same(
    "INSERT INTO result (id, message, line, kind, barcode, specimen, test, state, version, supersedes, \
     holds, detail, queue, received_at) VALUES (1, 1, 'xn', 'patient', '2501150042', 1, 'WBC', \
     'replaced', 1, NULL, '[]', $1, 5, 5), (2, 1, 'xn', 'patient', '2501150042', 1, 'WBC', 'released', \
     2, 1, '[]', '{}', 4, 6)",
);
const MESSAGE: Insert = Insert {
    into: "INSERT INTO message (line, connection, session, received_at, is_complete, raw, state)",
    columns: 7,
    tail: "",
    types: &[],
};

/// Rows of every awkward kind: bytes that are no text, a NUL in a text, rows that point at later ones,
/// more rows than a page.
fn fill(db: &mut dyn Db) -> Result<(), StoreError> {
    let rows = (0..300_i64).map(|number| {
        let raw = match number % 3 {
            0 => vec![0, 0xff, 0xfe, b'\n', b'"'],
            1 => format!("H|\\^&|Trần {number}\r\n").into_bytes(),
            _ => Vec::new(),
        };
        let mut row: Vec<Param> = vec!["xn".into(), number.into(), 1.into()];
        row.extend([number.into(), true.into(), raw.into(), "parsed".into()]);
        row
    });
    db.insert_rows(&MESSAGE, rows.collect())?;
    db.exec(&PATIENT, &["Nguyễn\0Văn \u{FDD0}0 A".into()])?;
    db.exec(&TUBES, &[])?;
    db.exec(&QUEUE, &[vec![0x0b_u8, 0, 0xff].into()])?;
    db.exec(&RESULT, &["{\"value\":\"5.40\\u0000\"}".into()])?;
    for number in 0..70 {
        audit::write(db, number, "lan", "look", &format!("specimen:{number}"), "")?;
    }
    journal::set_meta(db, "a", "ộ")
}

fn filled(base: &Base) {
    let store = base.open();
    store.transact_blocking(Turn::Reply, fill).unwrap();
    wait_for(store.close());
}

/// A row by its columns.
type Seen = BTreeMap<String, String>;

/// Every row of every table; without what a restore and an owner write down of themselves.
fn all_of(base: &Base) -> BTreeMap<String, Vec<Seen>> {
    let mut session = base.session(Access::Read);
    let mut text = Vec::new();
    let mut add = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        Ok(())
    };
    write(session.as_mut(), Origin { now: 0 }, &mut add).unwrap();
    let mut all: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    let mut head: Option<(String, Vec<String>)> = None;
    for line in String::from_utf8(text).unwrap().lines().skip(1) {
        match (serde_json::from_str(line).unwrap(), &head) {
            (Value::Array(values), Some((table, columns))) => {
                let values = values.iter().map(Value::to_string);
                let row: Seen = columns.iter().cloned().zip(values).collect();
                let is_own = ["owner", "restored_at"]
                    .iter()
                    .any(|own| row.get("key") == Some(&format!("\"{own}\"")))
                    || row
                        .get("action")
                        .is_some_and(|action| action == "\"restore\"");
                if !is_own && table != "schema_change" {
                    all.entry(table.clone()).or_default().push(row);
                }
            }
            (value, _) => {
                head = serde_json::from_value::<TableHead>(value)
                    .ok()
                    .map(|head| (head.table, head.columns));
                if let Some((table, _)) = &head {
                    all.entry(table.clone()).or_default();
                }
            }
        }
    }
    all
}

fn keys(base: &Base) -> (Recipients, Keys) {
    let path = base.at("key");
    let public = new_key(&path).unwrap();
    (
        Recipients::read(&[public.as_str()]).unwrap(),
        Keys::read(&path).unwrap(),
    )
}

fn check_round_trip(from: &Base, to: &Base, is_encrypted: bool) {
    filled(from);
    let before = all_of(from);
    let (recipients, keys) = keys(from);
    let asked = Backup {
        to: from.at("backup"),
        recipients: if is_encrypted {
            recipients
        } else {
            Recipients::default()
        },
        now: 3,
    };
    let store = from.open();
    let seal = wait_for(store.backup(asked.clone())).unwrap();
    wait_for(store.close());
    assert_eq!(seal.is_encrypted, is_encrypted);
    check_backup(&asked.to, Some(&keys)).unwrap();
    to.restore(&asked.to, Some(&keys)).unwrap();
    assert_eq!(all_of(to), before);
    assert_eq!(before["message"].len(), 300);
    let store = to.open();
    let next = store.transact_blocking(Turn::Reply, |db| {
        let mut walk = audit::Walk::new(None);
        let whole = loop {
            if let Some(whole) = walk.next_page(db)? {
                break whole;
            }
        };
        assert_eq!(whole, Ok(()));
        let row = vec!["xn".into(), 1.into(), 2.into(), 0.into(), true.into()];
        let rest: [Param; 2] = [vec![1_u8].into(), "parsed".into()];
        db.insert_rows(&MESSAGE, vec![[row, rest.into()].concat()])?;
        db.row(&Sql::same("SELECT max(id) FROM message"), &[])?
            .int(0)
    });
    assert_eq!(next.unwrap(), 301);
    wait_for(store.close());
}

#[test]
fn every_row_of_either_database_comes_back_in_either() {
    check_round_trip(&Base::file(), &Base::file(), true);
    let pair = || Some((Base::server()?, Base::file()));
    let Some((server, file)) = pair() else { return };
    check_round_trip(&file, &server, true);
    let Some((server, file)) = pair() else { return };
    check_round_trip(&server, &file, false);
    let (Some(from), Some(to)) = (Base::server(), Base::server()) else {
        return;
    };
    check_round_trip(&from, &to, true);
}

#[test]
fn a_file_of_sqlite_is_restored_into_postgresql() {
    let Some(server) = Base::server() else { return };
    check_round_trip(&Base::file(), &server, false);
}

#[test]
fn a_server_that_holds_a_store_is_never_overwritten() {
    let Some(server) = Base::server() else { return };
    filled(&server);
    let before = all_of(&server);
    let file = Base::file();
    wait_for(file.open().close());
    let store = server.open();
    let asked = Backup::plain(file.at("backup"), 1);
    wait_for(store.backup(asked.clone())).unwrap();
    assert_eq!(
        server.restore(&asked.to, None).unwrap_err().code(),
        "STORE-0007"
    );
    wait_for(store.close());
    assert_eq!(
        server.restore(&asked.to, None).unwrap_err().code(),
        "STORE-0110"
    );
    assert_eq!(all_of(&server), before);
}

/// The copy of a small store, as lines that a test may change.
fn lines_of(base: &Base) -> Vec<String> {
    let mut session = base.session(Access::Read);
    let mut text = Vec::new();
    let mut add = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        Ok(())
    };
    write(session.as_mut(), Origin { now: 0 }, &mut add).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn write_lines(path: &Path, lines: &[String]) {
    let mut writer = Writer::create(path, &Recipients::default()).unwrap();
    for line in lines {
        writer.add(format!("{line}\n").as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_copy_that_lacks_doubles_or_changes_a_line_is_refused_and_nothing_is_touched() {
    let from = Base::file();
    filled(&from);
    let lines = lines_of(&from);
    let file = from.at("backup");
    let to = Base::file();
    for base in [Some(to), Base::server()].into_iter().flatten() {
        for place in (0..lines.len()).step_by(lines.len() / 12 + 1) {
            let mut without = lines.clone();
            without.remove(place);
            let mut doubled = lines.clone();
            doubled.insert(place, lines[place].clone());
            let mut changed = lines.clone();
            changed[place] = lines[place].replacen('1', "2", 1) + " ";
            for broken in [without, doubled, changed] {
                write_lines(&file, &broken);
                base.restore(&file, None).unwrap_err();
                assert!(!base.at("labwire.db").exists());
            }
        }
        fs::write(&file, "").unwrap();
        base.restore(&file, None).unwrap_err();
        // What was refused left nothing behind, so the sound one still finds an empty place.
        write_lines(&file, &lines);
        base.restore(&file, None).unwrap();
    }
}

#[test]
fn a_copy_of_a_newer_labwire_is_refused_in_words() {
    let from = Base::file();
    wait_for(from.open().close());
    let mut lines = lines_of(&from);
    let newest = migrate::newest();
    let name = migrate::name_of(newest).unwrap();
    let known = format!("[{newest},\"{name}\"]");
    let change = |with: &str| lines[0].replace(&known, with);
    let newer = change(&format!("{known},[{},\"later\"]", newest + 1));
    let other = change(&format!("[{newest},\"another\"]"));
    for (head, code) in [(newer, "STORE-0103"), (other, "STORE-0104")] {
        lines[0] = head;
        write_lines(&from.at("backup"), &lines);
        let to = Base::file();
        let error = to.restore(&from.at("backup"), None).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!to.at("labwire.db").exists());
    }
}

/// Rows as they were under the first schema, the journal alone.
const OLD: Sql = Sql::same(
    "INSERT INTO message (line, connection, session, received_at, is_complete, raw, state) \
     VALUES ('xn', 1, 1, 5, 1, $1, 'parsed'), ('xn', 1, 1, 6, 1, $1, 'unparsed')",
);

/// A store as a labwire of that schema left it.
fn old(base: &Base, schema: i64) {
    let address = Address::read(&base.url).unwrap();
    let path = address.shown();
    let backend = address.backend(&StoreOptions::default(), Arc::new(StillClock));
    let _lock = backend.own().unwrap();
    let mut session = backend.connect(Access::Write).unwrap();
    session.begin().unwrap();
    migrate::make(session.as_mut(), schema, &path, 1).unwrap();
    session.exec(&OLD, &["H|\\^&".as_bytes().into()]).unwrap();
    session.commit().unwrap();
}

fn is_upgraded(base: &Base) {
    let store = base.open();
    let (schema, raws) = store
        .read_blocking(|db| {
            let number = Sql::same("SELECT max(number) FROM schema_change");
            let raws = Sql::same("SELECT raw FROM message ORDER BY id");
            let raws = db.rows(&raws, &[])?;
            let raws: Result<Vec<Vec<u8>>, _> =
                raws.iter().map(|row| Ok(row.blob(0)?.to_vec())).collect();
            Ok((db.row(&number, &[])?.int(0)?, raws?))
        })
        .unwrap();
    assert_eq!(schema, migrate::newest());
    assert_eq!(raws, [b"H|\\^&".to_vec(), b"H|\\^&".to_vec()]);
    // The audit is chained from here on.
    let wrote = store.transact_blocking(Turn::Reply, |db| {
        audit::write(db, 9, "lan", "look", "x:1", "")
    });
    wrote.unwrap();
    wait_for(store.close());
}

#[test]
fn a_store_of_every_earlier_schema_is_brought_up_to_date_where_it_is_and_from_its_copy() {
    for schema in 1..migrate::newest() {
        let bases = [Some(Base::file()), Base::server()];
        for base in bases.into_iter().flatten() {
            old(&base, schema);
            let lines = lines_of(&base);
            is_upgraded(&base);
            let copy = base.at("copy");
            write_lines(&copy, &lines);
            for to in [Some(Base::file()), Base::server()].into_iter().flatten() {
                to.restore(&copy, None).unwrap();
                is_upgraded(&to);
            }
        }
        // And a plain file of that time.
        let base = Base::file();
        old(&base, schema);
        let to = Base::file();
        to.restore(&base.at("labwire.db"), None).unwrap();
        is_upgraded(&to);
    }
}

#[test]
fn a_change_of_the_schema_that_does_not_end_leaves_the_store_as_it_was() {
    for base in [Some(Base::file()), Base::server()].into_iter().flatten() {
        old(&base, 3);
        let before = lines_of(&base);
        {
            let address = Address::read(&base.url).unwrap();
            let path = address.shown();
            let backend = address.backend(&StoreOptions::default(), Arc::new(StillClock));
            let _lock = backend.own().unwrap();
            let mut session = backend.connect(Access::Write).unwrap();
            session.begin().unwrap();
            migrate::make(session.as_mut(), migrate::newest(), &path, 2).unwrap();
            // The process ends here: nothing was committed.
        }
        assert_eq!(lines_of(&base), before);
        is_upgraded(&base);
    }
}

#[test]
fn both_databases_have_the_same_tables_columns_and_keys() {
    let tables = |base: &Base| {
        wait_for(base.open().close());
        let mut session = base.session(Access::Read);
        session.begin().unwrap();
        let shapes = shape::tables(session.as_mut()).unwrap();
        let shapes = shapes.into_iter().map(|mut shape| {
            shape.columns.sort();
            (shape.name, shape.columns, shape.key)
        });
        shapes.collect::<Vec<_>>()
    };
    let of_file = tables(&Base::file());
    assert!(of_file.len() > 30);
    if let Some(server) = Base::server() {
        assert_eq!(tables(&server), of_file);
    }
}

#[test]
fn what_a_killed_process_left_of_a_copy_is_no_backup() {
    let base = Base::file();
    filled(&base);
    let (recipients, keys) = keys(&base);
    let store = base.open();
    let asked = Backup {
        to: base.at("backup"),
        recipients,
        now: 3,
    };
    fs::write(base.at("backup.part"), "half of one").unwrap();
    wait_for(store.backup(asked.clone())).unwrap();
    assert!(!base.at("backup.part").exists());
    let whole = fs::read(&asked.to).unwrap();
    fs::write(base.at("cut"), &whole[..whole.len() - 20]).unwrap();
    let cut = check_backup(&base.at("cut"), Some(&keys)).unwrap_err();
    assert_eq!(cut.code(), "STORE-0203");
    let lines = Lines::open(&asked.to, Some(&keys)).unwrap();
    verify(lines).unwrap();
    wait_for(store.close());
}
