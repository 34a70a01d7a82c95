//! What every database under the store has to do alike. A backend calls
//! [`conformance_tests`](crate::conformance_tests) with its [`Ground`] and must pass unchanged.

mod frames;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all};
use labwire_protocols::wire::{Commit, Mono, Received};

use super::{
    Backup, Clock, Fault, FaultPoint, Faults, JournalEntry, Store, StoreError, StoreOptions, Turn,
    journal::{self, MessageState},
    start::wait_for,
};

pub use self::frames::*;

/// An empty database of some backend, for one test.
pub trait Ground {
    /// Opens it, for the first time or again.
    fn open(&self, options: StoreOptions) -> Store {
        self.open_with(options, Arc::new(StillClock))
    }

    /// The same, with a clock of the test's.
    fn open_with(&self, options: StoreOptions, clock: Arc<dyn Clock>) -> Store;

    /// Opens a backup that was written to `path`, where backups are files.
    fn open_copy(&self, path: &Path) -> Store;

    /// A folder for the test's files.
    fn folder(&self) -> &Path;
}

/// Makes one test of each promise. `$ground` is `None` where the database cannot be had; whoever
/// makes it says so then.
#[macro_export]
macro_rules! conformance_tests {
    ($ground:expr, $($promise:ident),+ $(,)?) => {
        $(#[test]
        fn $promise() {
            if let Some(ground) = $ground {
                $crate::store::conformance::$promise(&ground);
            }
        })+
    };
    ($ground:expr) => {
        $crate::conformance_tests!(
            $ground,
            committed_work_is_read_and_survives_reopening,
            every_kind_of_value_comes_back_as_it_went_in,
            failed_work_is_undone_alone,
            panicking_work_is_undone_alone,
            work_that_swallows_an_error_is_undone,
            a_missing_parameter_is_an_error_and_not_null,
            a_failed_commit_fails_its_whole_group_and_no_other,
            an_error_of_the_disk_fails_its_whole_group_and_no_other,
            a_fault_at_begin_is_told_to_whoever_asked,
            peers_that_wait_are_served_before_results,
            a_peer_waits_for_a_short_turn_of_results_at_most,
            work_of_one_turn_runs_in_the_order_asked,
            a_reader_sees_one_moment,
            a_reader_cannot_write,
            more_work_than_places_is_all_done,
            a_panic_outside_the_work_does_not_end_the_store,
            a_dropped_call_is_still_committed,
            a_closed_store_refuses_and_finishes,
            frames_become_the_message_that_they_make,
            a_frame_sent_again_is_the_same_row,
            a_frame_whose_commit_was_reported_as_failed_is_the_same_row,
            a_frame_with_other_bytes_is_refused_alone,
            the_begin_of_the_next_message_outlives_its_frame,
            a_whole_message_takes_its_frames_along,
            frames_of_a_dead_process_become_an_incomplete_message,
            ids_follow_the_order_of_arrival,
            unparsed_messages_wait_in_order_and_attempts_count,
            the_opening_of_a_session_is_its_first_message,
            a_message_of_ten_megabytes_is_kept,
            large_messages_that_wait_are_read_few_at_a_time,
        );
    };
}

/// A clock that stands still: no promise of the store depends on time.
#[derive(Debug)]
pub struct StillClock;

impl Clock for StillClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }

    fn utc_micros(&self) -> i64 {
        1_700_000_000_000_000
    }
}

/// Has one fault, the first time that its point is reached.
#[derive(Debug)]
struct FailOnce {
    point: FaultPoint,
    fault: Fault,
    left: AtomicUsize,
}

impl FailOnce {
    fn options(point: FaultPoint, fault: Fault) -> StoreOptions {
        let faults: Arc<dyn Faults> = Arc::new(Self {
            point,
            fault,
            left: AtomicUsize::new(1),
        });
        StoreOptions {
            faults: Some(faults),
            ..StoreOptions::default()
        }
    }
}

impl Faults for FailOnce {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        if point != self.point {
            return None;
        }
        let take = |left: usize| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken.is_ok().then_some(self.fault)
    }
}

fn set(store: &Store, key: &str, value: &str) -> Result<(), StoreError> {
    wait_for(set_later(store, Turn::Reply, key, value))
}

async fn set_later(store: &Store, turn: Turn, key: &str, value: &str) -> Result<(), StoreError> {
    let (key, value) = (key.to_owned(), value.to_owned());
    store
        .transact(turn, move |db| journal::set_meta(db, &key, &value))
        .await
}

fn value(store: &Store, key: &str) -> Option<String> {
    let key = key.to_owned();
    wait_for(store.read(move |db| journal::meta(db, &key))).unwrap()
}

/// Runs all `calls` behind one piece of work that keeps the writer busy until every call stands in
/// its queue, so that they are taken up together.
fn together<'a, T>(store: &'a Store, gate_turn: Turn, calls: Vec<LocalBoxFuture<'a, T>>) -> Vec<T> {
    let (open, gate) = mpsc::channel::<()>();
    let first = store.transact(gate_turn, move |_| {
        gate.recv().map_err(|_| StoreError::Closed)
    });
    let all = async {
        let mut opened = Some(open);
        let gate = async {
            first.await.unwrap();
            None
        };
        let last = async {
            opened.take().unwrap().send(()).unwrap();
            None
        };
        let calls = calls.into_iter().map(|call| call.map(Some).boxed_local());
        let mut futures = vec![gate.boxed_local()];
        futures.extend(calls);
        futures.push(last.boxed_local());
        join_each(futures).await
    };
    wait_for(all).into_iter().flatten().collect()
}

/// Polls in order, so that the calls stand in their queues in order.
async fn join_each<T>(futures: Vec<LocalBoxFuture<'_, T>>) -> Vec<T> {
    // Above 30 futures `join_all` polls in any order; eager first polls keep ours.
    let mut started = Vec::new();
    for mut future in futures {
        match (&mut future).now_or_never() {
            Some(done) => started.push(std::future::ready(done).boxed_local()),
            None => started.push(future),
        }
    }
    join_all(started).await
}

fn entry(line: &str, commit: Commit) -> JournalEntry {
    JournalEntry {
        line: line.to_owned(),
        connection: 5,
        at: 77,
        commit,
    }
}

fn received(text: &str) -> Received {
    Received {
        session: 1,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        is_complete: true,
    }
}

fn frame(index: u32, text: &str, messages: &[&str]) -> Commit {
    Commit::Frame {
        session: 1,
        index,
        text: Bytes::copy_from_slice(text.as_bytes()),
        messages: messages.iter().copied().map(received).collect(),
    }
}

fn write(store: &Store, line: &str, commit: Commit) -> Result<Vec<i64>, StoreError> {
    wait_for(store.journal(entry(line, commit))).map(|done| done.messages)
}

fn raws(store: &Store, line: &str) -> Vec<String> {
    let line = line.to_owned();
    let messages =
        wait_for(store.read(move |db| journal::unparsed(db, &line, (0, i64::MAX), 1_000))).unwrap();
    messages
        .iter()
        .map(|message| String::from_utf8(message.raw.to_vec()).unwrap())
        .collect()
}

fn adopt_orphans(store: &Store) -> Vec<i64> {
    wait_for(store.transact(Turn::Reply, journal::orphans)).unwrap()
}

/// Sessions of other lines, connections and numbers have openings of their own.
pub fn the_opening_of_a_session_is_its_first_message(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let keep = |line: &str, connection: u64, session: u64, text: &str| {
        let received = Received {
            session,
            ..received(text)
        };
        let entry = JournalEntry {
            connection,
            ..entry(line, Commit::Message(received))
        };
        wait_for(store.journal(entry)).unwrap().messages[0]
    };
    let check = |id: i64, expected: Option<&str>| {
        let found = wait_for(store.read(move |db| journal::opening(db, id))).unwrap();
        assert_eq!(
            found.as_deref(),
            expected.map(str::as_bytes),
            "message {id}"
        );
    };
    let hello = keep("poc", 5, 1, "hello");
    let others = [
        keep("other", 5, 1, "of another line"),
        keep("poc", 6, 1, "of another connection"),
        keep("poc", 5, 2, "of another session"),
    ];
    let (second, third) = (keep("poc", 5, 1, "second"), keep("poc", 5, 1, "third"));
    check(hello, None);
    others.into_iter().for_each(|id| check(id, None));
    check(second, Some("hello"));
    check(third, Some("hello"));
    // What is remembered needs no search, and is of one session alone.
    wait_for(store.transact(Turn::Reply, move |db| journal::remember_opening(db, second))).unwrap();
    check(second, None);
    check(third, Some("second"));
    others.into_iter().for_each(|id| check(id, None));
    wait_for(store.close());
}

/// Atomic, visible, durable.
pub fn committed_work_is_read_and_survives_reopening(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    set(&store, "a", "1").unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    wait_for(store.close());
    let store = ground.open(StoreOptions::default());
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    wait_for(store.close());
}

/// Empty bytes are not NULL, text is UTF-8, NUL bytes stay.
pub fn every_kind_of_value_comes_back_as_it_went_in(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    for raw in ["", "\0a\0", "Trần Thị Bình\r"] {
        let id = write(&store, "xn", Commit::Message(received(raw))).unwrap()[0];
        let found = wait_for(store.read(move |db| journal::message(db, id)))
            .unwrap()
            .unwrap();
        assert_eq!(found.raw, raw.as_bytes());
        assert_eq!(
            (found.connection, found.session, found.received_at),
            (5, 1, 77)
        );
        assert!(found.is_complete);
        assert_eq!(found.state, MessageState::Unparsed);
    }
    for text in ["", "\0", "Trần"] {
        set(&store, "k", text).unwrap();
        assert_eq!(value(&store, "k").as_deref(), Some(text));
    }
    wait_for(store.close());
}

/// One unit among many of its group.
pub fn failed_work_is_undone_alone(ground: &dyn Ground) {
    check_one_bad_among_good(ground, "TEST-1", |_| {
        Err(StoreError::refused("TEST-1", "no"))
    });
}

/// As a failure.
pub fn panicking_work_is_undone_alone(ground: &dyn Ground) {
    check_one_bad_among_good(ground, "STORE-0404", |_| panic!("on purpose, for a test"));
}

/// An ignored error would leave half of the work.
pub fn work_that_swallows_an_error_is_undone(ground: &dyn Ground) {
    check_one_bad_among_good(ground, "STORE-0402", |db| {
        drop(db.exec(
            &super::Sql::same("INSERT INTO no_such_table VALUES (1)"),
            &[],
        ));
        Ok(())
    });
}

/// Drivers would bind NULL.
pub fn a_missing_parameter_is_an_error_and_not_null(ground: &dyn Ground) {
    check_one_bad_among_good(ground, "STORE-0403", |db| {
        db.exec(
            &super::Sql::same("UPDATE meta SET value = 'x' WHERE key <> $1"),
            &[],
        )
        .map(|_| ())
    });
}

fn check_one_bad_among_good(
    ground: &dyn Ground,
    code: &str,
    bad: fn(&mut dyn super::Db) -> Result<(), StoreError>,
) {
    let store = ground.open(StoreOptions::default());
    let bad_call = store.transact(Turn::Reply, move |db| {
        journal::set_meta(db, "bad", "half")?;
        bad(db)
    });
    let calls = vec![
        set_later(&store, Turn::Reply, "before", "1").boxed_local(),
        bad_call.boxed_local(),
        set_later(&store, Turn::Reply, "after", "1").boxed_local(),
        set_later(&store, Turn::Canonical, "later", "1").boxed_local(),
    ];
    let outcomes = together(&store, Turn::Journal, calls);
    let codes: Vec<_> = outcomes
        .iter()
        .map(|o| o.as_ref().err().map(StoreError::code))
        .collect();
    assert_eq!(codes, [None, Some(code), None, None]);
    assert_eq!(value(&store, "bad"), None);
    for good in ["before", "after", "later"] {
        assert_eq!(value(&store, good).as_deref(), Some("1"), "{good}");
    }
    assert_eq!(store.health().commits, 1, "all in one group");
    wait_for(store.close());
}

/// Nobody is told that something is safe which is not.
pub fn a_failed_commit_fails_its_whole_group_and_no_other(ground: &dyn Ground) {
    check_failed_commit(&ground.open(FailOnce::options(FaultPoint::Commit, Fault::DiskFull)));
}

/// The connection is opened again.
pub fn an_error_of_the_disk_fails_its_whole_group_and_no_other(ground: &dyn Ground) {
    check_failed_commit(&ground.open(FailOnce::options(FaultPoint::Commit, Fault::DiskFailed)));
}

fn check_failed_commit(store: &Store) {
    let (open, gate) = mpsc::channel::<()>();
    let first = store.transact(Turn::Journal, move |_| {
        gate.recv().map_err(|_| StoreError::Closed)
    });
    let all = async {
        let calls = vec![
            first.boxed_local(),
            set_later(store, Turn::Reply, "a", "1").boxed_local(),
            set_later(store, Turn::Canonical, "b", "1").boxed_local(),
            async { open.send(()).map_err(|_| StoreError::Closed) }.boxed_local(),
        ];
        join_each(calls).await
    };
    let outcomes = wait_for(all);
    let codes: Vec<_> = outcomes
        .iter()
        .map(|o| o.as_ref().err().map(StoreError::code))
        .collect();
    assert!(
        matches!(codes[..], [Some(first), Some(second), Some(third), None]
        if first.starts_with("STORE-000") && first == second && second == third),
        "{codes:?}"
    );
    assert!(store.health().failing.is_some());
    assert_eq!((value(store, "a"), value(store, "b")), (None, None));
    set(store, "a", "2").unwrap();
    assert_eq!(value(store, "a").as_deref(), Some("2"));
    assert!(store.health().failing.is_none());
    wait_for(store.clone().close());
}

/// The first to ask is told as well.
pub fn a_fault_at_begin_is_told_to_whoever_asked(ground: &dyn Ground) {
    let store = ground.open(FailOnce::options(FaultPoint::Begin, Fault::DiskFull));
    let error = write(&store, "xn", Commit::Message(received("m"))).unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    write(&store, "xn", Commit::Message(received("m"))).unwrap();
    assert_eq!(raws(&store, "xn"), ["m"]);
    wait_for(store.close());
}

/// Journal, replies, results, housekeeping.
pub fn peers_that_wait_are_served_before_results(ground: &dyn Ground) {
    let turns = [
        Turn::Background,
        Turn::Canonical,
        Turn::Reply,
        Turn::Journal,
    ];
    check_order(ground, &turns, &[3, 2, 1, 0]);
}

/// First come, first served.
pub fn work_of_one_turn_runs_in_the_order_asked(ground: &dyn Ground) {
    check_order(ground, &[Turn::Canonical; 6], &[0, 1, 2, 3, 4, 5]);
}

fn check_order(ground: &dyn Ground, turns: &[Turn], expected: &[usize]) {
    assert_eq!(order_behind(ground, Turn::Background, turns), expected);
}

/// In which order work of these turns ran that was asked for while the writer was busy.
fn order_behind(ground: &dyn Ground, gate_turn: Turn, turns: &[Turn]) -> Vec<usize> {
    let store = ground.open(StoreOptions::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let calls = turns.iter().enumerate().map(|(position, turn)| {
        let seen = Arc::clone(&seen);
        let note = move |_: &mut dyn super::Db| {
            seen.lock().unwrap().push(position);
            Ok(())
        };
        store.transact(*turn, note).boxed_local()
    });
    for outcome in together(&store, gate_turn, calls.collect()) {
        outcome.unwrap();
    }
    wait_for(store.close());
    std::mem::take(&mut *seen.lock().unwrap())
}

/// A backlog of results must not keep a device waiting for its acknowledgement.
pub fn a_peer_waits_for_a_short_turn_of_results_at_most(ground: &dyn Ground) {
    let mut turns = [Turn::Canonical; 201];
    turns[200] = Turn::Journal;
    let order = order_behind(ground, Turn::Canonical, &turns);
    let place = order.iter().position(|position| *position == 200).unwrap();
    assert!(place < 40, "served after {place} units of results");
    assert_eq!(order.len(), turns.len());
}

/// The drop of an answer that nobody waits for is the last place where work can go wrong.
pub fn a_panic_outside_the_work_does_not_end_the_store(ground: &dyn Ground) {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose, for a test");
        }
    }
    let store = ground.open(StoreOptions::default());
    let mut call = store.transact(Turn::Reply, |_| Ok(Bomb)).boxed_local();
    let (open, gate) = mpsc::channel::<()>();
    let busy = store.transact(Turn::Reply, move |_| {
        gate.recv().map_err(|_| StoreError::Closed)
    });
    let mut busy = busy.boxed_local();
    assert!((&mut busy).now_or_never().is_none());
    assert!((&mut call).now_or_never().is_none());
    drop(call);
    open.send(()).unwrap();
    drop(wait_for(busy));
    set(&store, "a", "1").unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    wait_for(store.close());
}

/// Committed only, and the same from the first statement of a read to its last.
pub fn a_reader_sees_one_moment(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    set(&store, "a", "old").unwrap();
    let (looked, has_looked) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let slow = store.read(move |db| {
        let before = journal::meta(db, "a")?;
        looked.send(()).map_err(|_| StoreError::Closed)?;
        may_go.recv().map_err(|_| StoreError::Closed)?;
        Ok((before, journal::meta(db, "a")?))
    });
    let change = async {
        has_looked.recv().unwrap();
        set_later(&store, Turn::Reply, "a", "new").await.unwrap();
        go.send(()).unwrap();
    };
    let (seen, ()) = wait_for(futures_util::future::join(slow, change));
    let old = Some("old".to_owned());
    assert_eq!(seen.unwrap(), (old.clone(), old));
    assert_eq!(value(&store, "a").as_deref(), Some("new"));
    wait_for(store.close());
}

/// And is none the worse for having tried.
pub fn a_reader_cannot_write(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let error = wait_for(store.read(|db| journal::set_meta(db, "a", "1"))).unwrap_err();
    assert_eq!(error.code(), "STORE-0402");
    assert_eq!(value(&store, "a"), None);
    wait_for(store.close());
}

/// A full queue makes callers wait.
pub fn more_work_than_places_is_all_done(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let keys: Vec<String> = (0..600).map(|number| format!("k{number}")).collect();
    let calls = keys
        .iter()
        .map(|key| set_later(&store, Turn::Canonical, key, "1").boxed_local());
    for outcome in together(&store, Turn::Background, calls.collect()) {
        outcome.unwrap();
    }
    let count = super::Sql::same("SELECT count(*) FROM meta WHERE key LIKE 'k%'");
    let found = wait_for(store.read(move |db| db.row(&count, &[])?.int(0))).unwrap();
    assert_eq!(found, 600);
    assert_eq!(store.health().waiting, [0; 4]);
    wait_for(store.close());
}

/// A line that breaks off does not take its data back.
pub fn a_dropped_call_is_still_committed(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let mut call = set_later(&store, Turn::Canonical, "a", "1").boxed_local();
    let _ = (&mut call).now_or_never();
    drop(call);
    set(&store, "b", "1").unwrap();
    wait_for(store.close());
    let store = ground.open(StoreOptions::default());
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    wait_for(store.close());
}

/// What was asked before is done; what is asked after is refused.
pub fn a_closed_store_refuses_and_finishes(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    let other = store.clone();
    let keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
    let mut calls: Vec<LocalBoxFuture<'_, Result<(), StoreError>>> = keys
        .iter()
        .map(|key| set_later(&other, Turn::Canonical, key, "1").boxed_local())
        .collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none_or(|outcome| outcome.is_ok()));
    }
    drop(calls);
    wait_for(store.close());
    assert_eq!(set(&other, "late", "1").unwrap_err().code(), "STORE-0006");
    assert_eq!(
        wait_for(other.read(|_| Ok(()))).unwrap_err().code(),
        "STORE-0006"
    );
    let store = ground.open(StoreOptions::default());
    assert_eq!(value(&store, "k49").as_deref(), Some("1"));
    assert_eq!(value(&store, "late"), None);
    wait_for(store.close());
}

/// One moment of it, and never over another file.
pub fn a_backup_taken_while_running_opens_and_is_equal(ground: &dyn Ground) {
    let store = ground.open(StoreOptions::default());
    for number in 0..100 {
        write(
            &store,
            "xn",
            Commit::Message(received(&format!("message {number}"))),
        )
        .unwrap();
    }
    let before = raws(&store, "xn");
    let path = ground.folder().join("copy.db");
    let meanwhile = async {
        for _ in 0..20 {
            store
                .journal(entry("later", Commit::Message(received("x"))))
                .await
                .unwrap();
        }
    };
    let asked = Backup::plain(&path, 0);
    let copying = store.backup(asked.clone());
    let (copied, ()) = wait_for(futures_util::future::join(copying, meanwhile));
    copied.unwrap();
    assert_eq!(
        wait_for(store.backup(asked)).unwrap_err().code(),
        "STORE-0106"
    );
    let copy = ground.open_copy(&path);
    assert_eq!(raws(&copy, "xn"), before);
    assert!(raws(&copy, "later").len() <= 20);
    wait_for(copy.close());
    wait_for(store.close());
}
