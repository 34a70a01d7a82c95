//! The PostgreSQL backend under the conformance suite, and what only a server can do.

use std::{sync::Arc, time::Duration};

use labwire_drivers::SystemClock;

use super::PostgresBackend;
use crate::store::{
    Beside, Db, Sql, Store, StoreError, StoreOptions, Turn,
    address::Address,
    conformance::StillClock,
    ground::{Cluster, Server, every_statement},
    is_in_use, journal,
    session::{Access, Backend as _},
    start::wait_for,
};

crate::conformance_tests!(Server::new());

fn try_open(server: &Server) -> Result<Store, StoreError> {
    let clock = Arc::new(SystemClock::default());
    wait_for(Store::open(server.url(), StoreOptions::default(), clock))
}

fn check_refused(server: &Server, code: &str, words: &str) {
    let error = try_open(server).unwrap_err();
    assert_eq!(error.code(), code, "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

fn set(store: &Store, value: &'static str) -> Result<(), StoreError> {
    store.transact_blocking(Turn::Reply, move |db| journal::set_meta(db, "a", value))
}

fn get(store: &Store) -> Option<String> {
    store.read_blocking(|db| journal::meta(db, "a")).unwrap()
}

/// Ends the connection of whoever owns the store at `url`, or is writing to it.
fn cut(url: &str) {
    let schema = url.rsplit('=').next().unwrap();
    let text = format!(
        "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l JOIN pg_namespace n \
         ON l.objid = n.oid AND n.nspname = '{schema}' WHERE l.locktype = 'advisory'"
    );
    Cluster::shared().unwrap().run(&text);
}

/// Changes the closed database by SQL.
fn tamper(server: &Server, sql: &'static str) {
    let store = try_open(server).unwrap();
    let change = move |db: &mut dyn Db| db.exec(&Sql::same(sql), &[]);
    store.transact_blocking(Turn::Reply, change).unwrap();
    wait_for(store.close());
}

#[test]
fn every_statement_fits_the_schema() {
    let Some(server) = Server::new() else { return };
    let store = try_open(&server).unwrap();
    for sql in every_statement() {
        let outcome = store.transact_blocking(Turn::Reply, move |db| db.prepare(sql));
        assert!(outcome.is_ok(), "{}\n{outcome:?}", sql.postgres);
    }
}

/// A statement is planned once a connection, perhaps while its tables are all but empty. What still reads
/// a whole table has no index to go by, which the snapshot shows to whoever adds one.
#[test]
fn what_reads_a_whole_table_does_so_for_want_of_an_index_and_not_because_it_was_empty() {
    let Some(server) = Server::new() else { return };
    wait_for(try_open(&server).unwrap().close());
    let Ok(Address::Server(address)) = Address::read(server.url()) else {
        panic!("the address of a server");
    };
    let backend = PostgresBackend::new(*address, Arc::new(SystemClock::default()), None);
    let mut session = backend.connect(Access::Write).unwrap();
    session
        .script(
            "ANALYZE audit, message, order_item, patient, queue, result, specimen; \
             SET plan_cache_mode = 'force_generic_plan'",
        )
        .unwrap();
    let mut found = Vec::new();
    for (number, sql) in every_statement().into_iter().enumerate() {
        // A script is a constant; this one is made for as long as the test runs.
        let prepare = format!("PREPARE s{number} AS {}", sql.postgres);
        session.script(Box::leak(prepare.into_boxed_str())).unwrap();
        let count = (1..40)
            .rev()
            .find(|n| sql.postgres.contains(&format!("${n}")));
        let given = count.map_or_else(String::new, |count| {
            format!("({})", vec!["NULL"; count].join(", "))
        });
        let plan = session.made(format!("EXPLAIN EXECUTE s{number}{given}"), &[]);
        for row in plan.unwrap() {
            let line = row.text(0).unwrap();
            if let Some((_, table)) = line.split_once("Seq Scan on ") {
                let table = table.split(' ').next().unwrap_or_default();
                found.push(format!("{table}: {}", sql.postgres));
            }
        }
    }
    found.sort();
    found.dedup();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn a_commit_is_on_disk_before_it_is_reported_whatever_the_servers_default_is() {
    let Some(server) = Server::new() else { return };
    let url = format!("{}&options[synchronous_commit]=off", server.url());
    let store = wait_for(Store::open(
        &url,
        StoreOptions::default(),
        Arc::new(StillClock),
    ));
    let ask = |db: &mut dyn Db| {
        let sql = Sql::same("SELECT current_setting('synchronous_commit')");
        Ok(db.row(&sql, &[])?.text(0)?.to_owned())
    };
    let store = store.unwrap();
    assert_eq!(store.transact_blocking(Turn::Reply, ask).unwrap(), "on");
}

#[test]
fn a_second_process_is_refused_until_the_first_has_closed() {
    let Some(server) = Server::new() else { return };
    assert!(!is_in_use(server.url()).unwrap());
    let store = try_open(&server).unwrap();
    check_refused(&server, "STORE-0007", &std::process::id().to_string());
    assert!(is_in_use(server.url()).unwrap());
    wait_for(store.close());
    assert!(!is_in_use(server.url()).unwrap());
    wait_for(try_open(&server).unwrap().close());
}

#[test]
fn a_connection_that_was_cut_is_made_again_and_nothing_in_hand_is_promised() {
    let Some(server) = Server::new() else { return };
    let store = try_open(&server).unwrap();
    set(&store, "1").unwrap();
    assert_eq!(get(&store).as_deref(), Some("1"));
    // At rest: the next work finds out before anything is done, and is done on a new connection.
    cut(server.url());
    set(&store, "2").unwrap();
    // In the middle of a transaction: what was written goes with the connection.
    let url = server.url().to_owned();
    let work = move |db: &mut dyn Db| {
        journal::set_meta(db, "a", "lost")?;
        cut(&url);
        Ok(())
    };
    let error = store.transact_blocking(Turn::Reply, work).unwrap_err();
    assert_eq!(error.code(), "STORE-0009", "{error:?}");
    assert!(error.is_unavailable());
    assert_eq!(get(&store).as_deref(), Some("2"));
    set(&store, "3").unwrap();
    assert_eq!(get(&store).as_deref(), Some("3"));
    wait_for(store.close());
}

#[test]
fn a_process_that_lost_the_store_to_another_writes_nothing_ever_again() {
    let Some(server) = Server::new() else { return };
    let first = try_open(&server).unwrap();
    set(&first, "first").unwrap();
    cut(server.url());
    let second = try_open(&server).unwrap();
    let refused = |store: &Store| {
        let error = set(store, "too late").unwrap_err();
        assert_eq!(error.code(), "STORE-0011", "{error:?}");
        assert!(error.is_unavailable());
    };
    refused(&first);
    set(&second, "second").unwrap();
    wait_for(second.close());
    // The lock is free, but the store is not what it was.
    std::thread::park_timeout(Duration::from_millis(300));
    refused(&first);
    assert_eq!(get(&first).as_deref(), Some("second"));
    wait_for(first.close());
}

#[test]
fn a_server_that_is_away_is_an_error_that_may_pass() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let clock = Arc::new(SystemClock::default());
    let store = wait_for(Store::open(&url, StoreOptions::default(), clock)).unwrap();
    set(&store, "before").unwrap();
    cluster.stop();
    for _ in 0..3 {
        let error = set(&store, "lost").unwrap_err();
        assert_eq!(error.code(), "STORE-0009", "{error:?}");
        assert!(error.is_unavailable());
    }
    assert!(store.health().failing.is_some());
    cluster.resume();
    let mut tries = 0;
    while set(&store, "after").is_err() {
        tries += 1;
        assert!(tries < 100, "it is not asked again");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(get(&store).as_deref(), Some("after"));
    assert!(store.health().failing.is_none());
    wait_for(store.close());
}

#[test]
fn a_server_that_answers_too_late_is_not_waited_for() {
    let Some(server) = Server::new() else { return };
    let Ok(Address::Server(address)) = Address::read(server.url()) else {
        panic!("the address of a server");
    };
    let mut backend = PostgresBackend::new(*address, Arc::new(SystemClock::default()), None);
    backend.patience.answer = Duration::from_millis(300);
    let mut session = backend.connect(Access::Write).unwrap();
    session.begin().unwrap();
    let slow = Sql::same("SELECT 1 FROM pg_sleep(1)");
    let error = session.rows(&slow, &[]).unwrap_err();
    assert_eq!(error.code(), "STORE-0009", "{error:?}");
    // Its answer would be taken for that of the next statement.
    assert!(session.begin().is_err());
    drop(session);
    // The server frees the lock when it has done what it was asked.
    backend.connect(Access::Write).unwrap().begin().unwrap();
}

#[test]
fn the_schema_of_another_program_is_refused_and_left_alone() {
    let Some(server) = Server::new() else { return };
    let schema = server.url().rsplit('=').next().unwrap();
    let cluster = Cluster::shared().unwrap();
    cluster.run(&format!("CREATE TABLE {schema}.patient (name text)"));
    check_refused(&server, "STORE-0105", "another program");
    cluster.run(&format!("DROP TABLE {schema}.patient"));
    wait_for(try_open(&server).unwrap().close());
}

#[test]
fn a_newer_schema_and_a_changed_migration_are_refused() {
    let Some(server) = Server::new() else { return };
    tamper(
        &server,
        "INSERT INTO schema_change VALUES (99, 'future', 'x', 0)",
    );
    check_refused(&server, "STORE-0103", "newer labwire");
    let Some(server) = Server::new() else { return };
    tamper(
        &server,
        "UPDATE schema_change SET sha256 = 'x' WHERE number = 1",
    );
    check_refused(&server, "STORE-0104", "schema 1");
}

#[test]
fn a_server_that_is_not_there_or_does_not_let_us_in_is_named_without_a_password() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let none = cluster.url(None).replace("/postgres?", "/nowhere?");
    for (url, code) in [
        (
            "postgres://lab:secret@localhost/lab?host=/nowhere",
            "STORE-0009",
        ),
        (
            none.replace("labwire@", "labwire:secret@").as_str(),
            "STORE-0010",
        ),
    ] {
        let opened = Store::open(url, StoreOptions::default(), Arc::new(StillClock));
        let error = wait_for(opened).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn commands_beside_the_bridge_read_and_write() {
    let Some(server) = Server::new() else { return };
    let url = server.url();
    assert_eq!(Beside::reader(url).unwrap_err().code(), "STORE-0108");
    let store = try_open(&server).unwrap();
    set(&store, "1").unwrap();
    let mut beside = Beside::writer(url).unwrap();
    beside
        .transact(|db| journal::set_meta(db, "a", "2"))
        .unwrap();
    assert_eq!(get(&store).as_deref(), Some("2"));
    let mut reader = Beside::reader(url).unwrap();
    assert_eq!(
        reader.read(|db| journal::meta(db, "a")).unwrap().as_deref(),
        Some("2")
    );
    assert!(
        reader
            .transact(|db| journal::set_meta(db, "a", "3"))
            .is_err()
    );

    drop((reader, beside));
    wait_for(store.close());
}

/// Its words quote values.
#[test]
fn what_the_server_says_of_a_value_is_not_told() {
    let Some(server) = Server::new() else { return };
    let store = try_open(&server).unwrap();
    let broken: [(&str, &'static str, bool); 2] = [
        (
            "STORE-0401",
            "INSERT INTO meta (key, value) VALUES ($1, ''), ($1, '')",
            true,
        ),
        ("STORE-0402", "SELECT $1::text::bigint", false),
    ];
    for (code, sql, is_rule) in broken {
        let work = move |db: &mut dyn Db| db.exec(&Sql::same(sql), &["TRẦN".into()]);
        let error = store.transact_blocking(Turn::Reply, work).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        let cause = std::error::Error::source(&error).unwrap();
        let told = format!("{error} {error:?} {cause} {cause:?}");
        assert!(!told.contains("TRẦN"), "{told}");
        assert_eq!(told.contains("meta_pkey"), is_rule, "{told}");
    }
    wait_for(store.close());
}

/// PostgreSQL keeps no NUL in a text and takes none out of JSON.
#[test]
fn a_nul_of_a_device_comes_back_through_a_list_too() {
    let Some(server) = Server::new() else { return };
    let store = try_open(&server).unwrap();
    let text = "a\0b \u{FDD0} \\u0000";
    let values = move |db: &mut dyn Db| {
        journal::set_meta(db, text, text)?;
        let list = serde_json::to_string(&[text]).expect("JSON");
        let sql = Sql::same(
            "SELECT value, json_build_array(value) FROM meta WHERE key IN \
             (SELECT value FROM json_array_elements_text($1::json) AS t(value))",
        );
        let row = db.row(&sql, &[list.into()])?;
        Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
    };
    let (plain, json) = store.transact_blocking(Turn::Reply, values).unwrap();
    assert_eq!(plain, text);
    assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    wait_for(store.close());
}
