//! The crash table: the program dies at each named point under load, and nothing acknowledged is
//! lost, doubled or changed.
//!
//! A row is a point of [`labwire_drivers::crash`] and how often it is passed before the process dies
//! there: early and late. Analyzers and HIS of the load live on and do what they do when nobody
//! answers them. In the end everything drains, and the store and the book of the HIS are compared
//! with what was promised.

use std::os::unix::process::ExitStatusExt as _;

use labwire_sims::{chance::Chance, his::Answering};

use crate::{
    account,
    cluster::Cluster,
    crash::{Labwire, command, first_start},
    hospital::{His, PATIENCE, Site, comes},
    load::Load,
};

const SEED: u64 = 20_260_312;

/// SIGABRT: the process ended itself at its point.
const ABORTED: i32 = 6;

/// Plans of deaths, one after the other; see [`labwire_drivers::crash`].
type Plans = &'static [&'static str];

/// Bytes of a frame are read, and the link has not seen them.
const READ_FRAME: Plans = &["read@xn-1#1", "read@xn-1#4", "read@astm-1#3"];
/// Bytes of an HL7 message are read.
const READ_MESSAGE: Plans = &["read@bc-1#1", "read@hl7-1#2"];
/// Frames, messages or orders are written and not committed.
const COMMIT: Plans = &["commit@peers#1", "commit@peers#6", "commit@peers#15"];
/// They are committed, and who waits has not been told.
const COMMITTED: Plans = &[
    "committed@peers#1",
    "committed@peers#6",
    "committed@peers#15",
];
/// The session knows of the commit, and the ACK is not made.
const BEFORE_ACK: Plans = &["kept@xn-1#1", "kept@xn-1#5", "kept@astm-1#2"];
/// The same on MLLP.
const BEFORE_AA: Plans = &["kept@bc-1#1", "kept@hl7-1#2"];
/// The ACK has left.
const AFTER_ACK: Plans = &["written@xn-1#2", "written@xn-1#6", "written@astm-1#4"];
/// The AA has left.
const AFTER_AA: Plans = &["written@bc-1#1", "written@hl7-1#2"];
/// An order has its effect inside its transaction.
const HEARD: Plans = &["heard#1", "heard#5"];
/// The order is committed, and the HIS is not answered.
const ORDER_KEPT: Plans = &["kept@host:his#1", "kept@host:his#4"];
/// The answer to the order has left.
const ORDER_ANSWERED: Plans = &["written@host:his#1", "written@host:his#4"];
/// Results are settled inside their transaction.
const SETTLED: Plans = &["settled#1", "settled#3"];
/// A transaction that no peer waits for is committed.
const RESULTS: Plans = &["committed@results#4", "committed@results#9"];
/// A message for the HIS is leased and rendered inside its transaction.
const LEASED: Plans = &["leased@host:his#1", "leased@host:his#3"];
/// The lease is committed, and the message has not left.
const IN_HAND: Plans = &["in-hand@host:his#1", "in-hand@host:his#3"];
/// The message has left, and no answer was read.
const LEFT: Plans = &[
    "written@host:his:results-1#1",
    "written@host:his:results-1#3",
];
/// The answer of the HIS is read, and not written down.
const ANSWERED: Plans = &["read@host:his:results-1#1", "read@host:his:results-1#3"];
/// The answer is written down inside its transaction.
const VERDICT: Plans = &["verdict@host:his#1", "verdict@host:his#3"];
/// A start reads what the last run left; the third death is inside its transaction.
const REPLAY: Plans = &["settled#2", "replaying#1", "settled#1"];

/// Every row.
const ALL: [Plans; 19] = [
    READ_FRAME,
    READ_MESSAGE,
    COMMIT,
    COMMITTED,
    BEFORE_ACK,
    BEFORE_AA,
    AFTER_ACK,
    AFTER_AA,
    HEARD,
    ORDER_KEPT,
    ORDER_ANSWERED,
    SETTLED,
    RESULTS,
    LEASED,
    IN_HAND,
    LEFT,
    ANSWERED,
    VERDICT,
    REPLAY,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_read_of_a_frame_before_its_commit() {
    dies_at(READ_FRAME, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_read_of_an_hl7_message_before_its_commit() {
    dies_at(READ_MESSAGE, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_commit_that_a_peer_waits_for() {
    dies_at(COMMIT, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_commit_before_anybody_is_told() {
    dies_at(COMMITTED, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_ack_of_a_frame() {
    dies_at(BEFORE_ACK, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_aa_of_an_hl7_message() {
    dies_at(BEFORE_AA, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_ack_of_a_frame() {
    dies_at(AFTER_ACK, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_aa_of_an_hl7_message() {
    dies_at(AFTER_AA, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_an_order_is_applied_before_its_commit() {
    dies_at(HEARD, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_an_order_is_committed_before_its_answer() {
    dies_at(ORDER_KEPT, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_answer_to_an_order() {
    dies_at(ORDER_ANSWERED, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_results_are_settled_before_their_commit() {
    dies_at(SETTLED, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_commit_of_settled_results() {
    dies_at(RESULTS, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_a_message_is_leased_before_its_commit() {
    dies_at(LEASED, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_a_message_is_leased_before_it_leaves() {
    dies_at(IN_HAND, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_a_message_has_left_before_the_answer_of_the_his() {
    dies_at(LEFT, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_answer_of_the_his_is_read_before_its_commit() {
    dies_at(ANSWERED, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_answer_of_the_his_is_written_before_its_commit() {
    dies_at(VERDICT, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_start_reads_what_the_last_run_left() {
    dies_at(REPLAY, None).await;
}

/// The same deaths over PostgreSQL, one after the other under one load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_the_table_on_postgresql() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let plans = ALL.map(|plans| plans[0]);
    dies_at(&plans, Some(&url)).await;
}

/// The whole of a row, its store at `store` or in a folder of its own.
async fn dies_at(plans: &[&str], store: Option<&str>) {
    if cfg!(not(debug_assertions)) {
        // A release build has no such points.
        return;
    }
    let mut chance = Chance::fork(SEED, plans[0]);
    let his = His::open(Answering::good()).await;
    let (site, lines, mut labwire) = first_start(&his, &mut chance, store).await;
    let mut load = Load::plug(SEED, &lines, &his);
    labwire.kill();
    for plan in plans {
        let dying = Labwire::start_to_die(&site.lab(), plan);
        ends_at_its_point(dying, &mut load, plan).await;
    }
    drains(Labwire::start(&site.lab()), &site, load, &his).await;
}

/// Lets it work until it dies, which it does by itself and at its point.
async fn ends_at_its_point(mut dying: Labwire, load: &mut Load, plan: &str) {
    let mut status = None;
    let dies = comes(PATIENCE, || {
        load.watch();
        status = dying.ended();
        if load.is_idle() {
            load.add(4);
        }
        status.is_some()
    });
    assert!(dies.await, "{plan} is never passed: {}", dying.log());
    let signal = status.and_then(|status| status.signal());
    assert_eq!(signal, Some(ABORTED), "{plan}: {status:?}, {}", dying.log());
}

/// Lets everything come to its end, and compares.
pub async fn drains(mut labwire: Labwire, site: &Site, mut load: Load, his: &His) {
    load.add(8);
    let url = site.store();
    let drained = comes(PATIENCE, || {
        load.watch();
        load.is_idle() && account::open_work(&url).is_empty()
    });
    assert!(
        drained.await,
        "not drained: {}; {:#?}; {}",
        load.state(),
        account::open_work(&url),
        labwire.log()
    );
    labwire.stop();
    let (figures, wrong) = account::check(&load, &his.book, &url);
    assert!(wrong.is_empty(), "{figures}: {wrong:#?}");
    let (said, is_clean) = command(site, &["ledger", "--findings"]);
    assert!(is_clean, "{said}");
    load.unplug();
}
