//! Several nodes on one database: who is fenced writes nothing, whatever it does.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use labwire_drivers::SystemClock;
use labwire_protocols::wire::{Commit, Received};

use crate::store::{
    JournalEntry, NodeRun, Seat, Store, StoreError, StoreOptions, Turn,
    ground::{Cluster, Server},
    journal,
    migrate::{self, SCHEMA, Schema},
    nodes::{self, Look},
    start::wait_for,
};

/// Unique in the cluster that all tests share: sessions of a run are found by it.
fn run_of(server: &Server, short: &str) -> String {
    let schema = server.url().rsplit('=').next().unwrap();
    format!("{short}{schema}")
}

fn try_open(server: &Server, short: &str) -> Result<Store, StoreError> {
    let (name, _) = short.split_at(1);
    let options = StoreOptions {
        node: Some(NodeRun {
            name: name.into(),
            run: run_of(server, short),
        }),
        ..StoreOptions::default()
    };
    let clock = Arc::new(SystemClock::default());
    wait_for(Store::open(server.url(), options, clock))
}

fn open(server: &Server, run: &str) -> (Store, Seat) {
    let store = try_open(server, run).unwrap();
    let seat = store.seat().unwrap();
    (store, seat)
}

fn set(store: &Store, value: &'static str) -> Result<(), StoreError> {
    store.transact_blocking(Turn::Reply, move |db| journal::set_meta(db, "a", value))
}

fn get(store: &Store) -> Option<String> {
    store.read_blocking(|db| journal::meta(db, "a")).unwrap()
}

fn units(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a seat says, on a new connection if the old one was ended.
fn said(seat: &mut Seat) -> Option<Look> {
    let first = seat.beat();
    first.or_else(|_| seat.beat()).unwrap()
}

fn beat(seat: &mut Seat) -> Look {
    said(seat).expect("it is not fenced")
}

/// The holder of each unit, and its token.
fn holders(look: &Look) -> Vec<String> {
    let lease = |lease: &nodes::Lease| {
        let run = lease
            .run
            .as_deref()
            .map_or("nobody", |run| run.get(..2).unwrap_or(run));
        format!("{} {run} {}", lease.unit, lease.token)
    };
    look.leases.iter().map(lease).collect()
}

/// Makes a run look as if it had been silent for a minute.
fn age(server: &Server, short: &str) {
    let run = run_of(server, short);
    let schema = server.url().rsplit('=').next().unwrap();
    Cluster::shared().unwrap().run(&format!(
        "UPDATE {schema}.node SET seen_at = seen_at - 60000000 WHERE run = '{run}'"
    ));
}

/// Beats and arranges until this node may judge, and has.
fn settle(seat: &mut Seat, units: &BTreeSet<String>) -> Look {
    let mut look = beat(seat);
    for _ in 0..30 {
        seat.arrange(&look, units).unwrap();
        std::thread::park_timeout(Duration::from_millis(100));
        look = beat(seat);
    }
    look
}

#[test]
fn what_a_silent_node_served_is_served_by_another_and_the_silent_one_writes_nothing_ever_again() {
    let Some(server) = Server::new() else { return };
    let all = units(&["line:x", "line:y"]);
    let (a, mut seat_a) = open(&server, "a1");
    let look = beat(&mut seat_a);
    seat_a.arrange(&look, &all).unwrap();
    assert_eq!(holders(&beat(&mut seat_a)), ["line:x a1 1", "line:y a1 1"]);
    set(&a, "first").unwrap();
    let (b, mut seat_b) = open(&server, "b1");
    beat(&mut seat_b);
    age(&server, "a1");
    let look = settle(&mut seat_b, &all);
    assert_eq!(holders(&look), ["line:x b1 2", "line:y b1 2"]);
    let error = set(&a, "too late").unwrap_err();
    assert_eq!(error.code(), "STORE-0012", "{error:?}");
    assert!(error.is_unavailable());
    // Nor by the short way of a single entry.
    let entry = JournalEntry {
        line: "x".into(),
        connection: 1,
        at: 1,
        commit: Commit::Message(Received {
            session: 1,
            bytes: b"H|".as_slice().into(),
            is_complete: true,
        }),
    };
    let error = wait_for(a.journal(entry)).unwrap_err();
    assert_eq!(error.code(), "STORE-0012", "{error:?}");
    assert_eq!(said(&mut seat_a), None, "it is told so");
    assert_eq!(get(&b).as_deref(), Some("first"));
    assert_eq!(b.read_blocking(journal::last).unwrap(), 0);
    set(&b, "second").unwrap();
    drop((seat_a, seat_b));
    wait_for(a.close());
    wait_for(b.close());
}

/// A fence waits for what is being written, or ends it: nothing of it comes later.
#[test]
fn a_transaction_under_way_ends_before_its_run_is_fenced() {
    let Some(server) = Server::new() else { return };
    let all = units(&["line:x"]);
    let (a, mut seat_a) = open(&server, "a1");
    let look = beat(&mut seat_a);
    seat_a.arrange(&look, &all).unwrap();
    let (b, mut seat_b) = open(&server, "b1");
    beat(&mut seat_b);
    age(&server, "a1");
    let work = move |db: &mut dyn crate::store::Db| {
        journal::set_meta(db, "a", "in the middle")?;
        let look = settle(&mut seat_b, &all);
        assert_eq!(holders(&look), ["line:x b1 2"]);
        Ok(())
    };
    let error = a.transact_blocking(Turn::Reply, work).unwrap_err();
    assert_eq!(error.code(), "STORE-0009", "{error:?}");
    assert_eq!(get(&b), None);
    drop(seat_a);
    wait_for(a.close());
    wait_for(b.close());
}

#[test]
fn nodes_share_a_store_that_a_single_owner_has_for_itself() {
    let Some(server) = Server::new() else { return };
    let alone = || {
        let clock = Arc::new(SystemClock::default());
        wait_for(Store::open(server.url(), StoreOptions::default(), clock))
    };
    let (a, mut seat_a) = open(&server, "a1");
    beat(&mut seat_a);
    let (b, _seat_b) = open(&server, "b1");
    set(&a, "a").unwrap();
    set(&b, "b").unwrap();
    assert_eq!(get(&a).as_deref(), Some("b"));
    assert_eq!(alone().unwrap_err().code(), "STORE-0007");
    let again = try_open(&server, "a2").unwrap_err();
    assert_eq!(again.code(), "STORE-0007", "the same node: {again:?}");
    assert!(again.to_string().contains("node a"), "{again}");
    drop(seat_a);
    wait_for(a.close());
    // It started anew: nothing shows that its former run lives.
    let (a, seat_a) = open(&server, "a2");
    drop(seat_a);
    wait_for(a.close());
    wait_for(b.close());
    let owner = alone().unwrap();
    assert_eq!(try_open(&server, "b2").unwrap_err().code(), "STORE-0007");
    let listed = owner.read_blocking(nodes::listed).unwrap();
    assert_eq!(listed, [], "whoever is alone fences all");
    wait_for(owner.close());
}

#[test]
fn a_unit_is_handed_over_to_who_asked_and_free_when_its_node_takes_leave() {
    let Some(server) = Server::new() else { return };
    let all = units(&["host:h", "line:x"]);
    let (a, mut seat_a) = open(&server, "a1");
    let look = beat(&mut seat_a);
    seat_a.arrange(&look, &all).unwrap();
    let (b, mut seat_b) = open(&server, "b1");
    let look = beat(&mut seat_b);
    seat_b.arrange(&look, &all).unwrap();
    let look = beat(&mut seat_a);
    let asked = |lease: &&nodes::Lease| lease.asked_by.is_some();
    assert_eq!(look.leases.iter().filter(asked).count(), 1);
    assert_eq!(holders(&look), ["host:h a1 1", "line:x a1 1"]);
    seat_a.hand_over("line:x").unwrap();
    assert_eq!(holders(&beat(&mut seat_b)), ["host:h a1 1", "line:x b1 2"]);
    let holds = |unit: &'static str| {
        let run = run_of(&server, "b1");
        let read = move |db: &mut dyn crate::store::Db| nodes::holds(db, unit, &run);
        b.read_blocking(read).unwrap()
    };
    assert!(holds("line:x") && !holds("host:h"));
    seat_a.leave().unwrap();
    let look = beat(&mut seat_b);
    assert_eq!(holders(&look), ["host:h nobody 1", "line:x b1 2"]);
    seat_b.arrange(&look, &all).unwrap();
    assert!(holds("host:h"));
    assert_eq!(set(&a, "a").unwrap_err().code(), "STORE-0012");
    drop((seat_a, seat_b));
    wait_for(a.close());
    wait_for(b.close());
}

#[test]
fn a_node_hears_what_another_tells_and_not_itself() {
    let Some(server) = Server::new() else { return };
    let (a, mut seat_a) = open(&server, "a1");
    let (b, mut seat_b) = open(&server, "b1");
    let mut ears = a.ears().unwrap();
    let own = run_of(&server, "a1");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut hear = || {
        let heard = async { tokio::time::timeout(Duration::from_secs(60), ears.hear(&own)).await };
        runtime.block_on(heard).unwrap()
    };
    assert_eq!(
        hear(),
        None,
        "before it listened something may have been told"
    );
    seat_a.tell("by itself").unwrap();
    seat_b.tell("results").unwrap();
    assert_eq!(hear().as_deref(), Some("results"));
    // What was told while it was not heard is lost, and it knows.
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
         WHERE application_name LIKE 'labwire/% {own}'"
    );
    Cluster::shared().unwrap().run(&cut);
    assert_eq!(hear(), None);
    seat_b.tell("downloads").unwrap();
    assert_eq!(hear().as_deref(), Some("downloads"));
    let entered = runtime.enter();
    drop((seat_a, seat_b, ears));
    drop(entered);
    wait_for(a.close());
    wait_for(b.close());
}

/// The program of today is the one before that of tomorrow.
#[test]
fn a_node_goes_on_with_what_a_newer_one_added_and_refuses_what_it_cannot_work_with() {
    const TOMORROW: i64 = 999;
    let Some(server) = Server::new() else { return };
    let schema = server.url().rsplit('=').next().unwrap();
    let (a, mut seat_a) = open(&server, "a1");
    beat(&mut seat_a);
    let change = |number, text, additive: &[i64]| {
        let mut migrations = migrate::MIGRATIONS.to_vec();
        migrations.push(migrate::of_the_future(
            TOMORROW,
            "ALTER TABLE node ADD COLUMN mood text",
        ));
        if number > TOMORROW {
            migrations.push(migrate::of_the_future(number, text));
        }
        let newer = Schema {
            migrations: &migrations,
            additive,
        };
        super::beside(server.url(), |session| {
            migrate::migrate(session, newer, &"the test".into(), 0)
        })
    };
    let refused = change(TOMORROW, "", SCHEMA.additive).unwrap_err();
    assert_eq!(refused.code(), "STORE-0115", "{refused:?}");
    change(TOMORROW, "", &[TOMORROW]).unwrap();
    set(&a, "with what is new").unwrap();
    // Also on a connection that is made anew, and in a process that starts.
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
         WHERE application_name LIKE 'labwire/% {}'",
        run_of(&server, "a1")
    );
    Cluster::shared().unwrap().run(&cut);
    set(&a, "again").unwrap();
    let (b, mut seat_b) = open(&server, "b1");
    beat(&mut seat_b);
    set(&b, "b").unwrap();
    let additive = [TOMORROW];
    let ends = "ALTER TABLE meta ADD COLUMN must text NOT NULL DEFAULT ''";
    let refused = change(TOMORROW + 1, ends, &additive).unwrap_err();
    assert_eq!(refused.code(), "STORE-0115", "while nodes are at work");
    beat(&mut seat_a);
    seat_a.leave().unwrap();
    seat_b.leave().unwrap();
    change(TOMORROW + 1, ends, &additive).unwrap();
    let too_old = try_open(&server, "c1").unwrap_err();
    assert_eq!(too_old.code(), "STORE-0103", "{schema}: {too_old:?}");
    Cluster::shared().unwrap().run(&cut);
    let error = set(&a, "too old").unwrap_err();
    assert_eq!(
        error.code(),
        "STORE-0103",
        "a new connection too: {error:?}"
    );
    drop((seat_a, seat_b));
    wait_for(a.close());
    wait_for(b.close());
}
