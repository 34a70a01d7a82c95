//! The crash table, fourth part: power loss is not process loss.
//!
//! A trace of the system calls of the real program shows, between the read of every frame and
//! message and its acknowledgement, its page in the log and the sync of the log. And a disk that is
//! made from the same trace, and loses whatever was not synced, still holds at every single
//! acknowledgement everything that was acknowledged.

use std::{path::Path, process::Command};

use labwire_sims::chance::Chance;

use crate::{
    account,
    cluster::Cluster,
    crash::Labwire,
    crash_bench::{ACK, Bench, message, reads_everything, tell},
    crash_tools::{left_out, runs},
    crash_trace::{
        Call, Disk, Log, Promise, is_whole, promises, read, read_timed, strace_all, strace_log,
        strace_timed,
    },
    hospital::{PATIENCE, Site, comes},
};

const SEED: u64 = 20_260_315;
/// Messages of five frames, and as many of HL7: enough for the log to be copied into the file.
const MESSAGES: usize = 14;
/// Cuts at each acknowledgement besides the one that leaves nothing unsynced.
const TORN: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ack_leaves_after_the_sync_of_its_page_and_outlives_a_power_cut() {
    if !runs("strace", &["true"]) {
        return left_out("the trace of system calls", "strace does not run here");
    }
    let bench = Bench::new(SEED, None);
    let site = &bench.site;
    let trace = site.lab().with_file_name("trace");
    let (text, tokens) = traced(&bench, strace_all(&trace), &trace).await;
    let calls = read(&text);
    let promised = promises(&calls, &tokens, Log::Sqlite);
    let broken: Vec<&Promise> = promised.iter().filter(|one| !one.is_kept).collect();
    assert!(
        broken.is_empty(),
        "acknowledged before the sync: {broken:?}"
    );
    let (cuts, lost) = cut_at_every_ack(site, &calls, &promised, Disk::default());
    assert!(lost.is_empty(), "{} of {cuts} cuts: {lost:#?}", lost.len());
    assert_eq!(cuts, tokens.len() * (1 + TORN));
    // The same cuts on a disk that is told of no sync: without them nothing would be left.
    let (_, lost) = cut_at_every_ack(site, &calls, &promised[..3], Disk::deaf());
    assert!(!lost.is_empty(), "the simulated disk loses nothing");
    goes_on(site, &calls, promised.last().expect("some")).await;
}

/// The log of PostgreSQL is synced by its server: both run under `strace`, whose times are those of one
/// clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ack_leaves_after_postgresql_has_synced_its_page() {
    if !runs("strace", &["true"]) {
        return left_out(
            "the trace of the server's calls",
            "strace does not run here",
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let of_server = folder.path().join("server");
    let Some(cluster) = Cluster::start_by(&strace_log(&of_server)) else {
        return;
    };
    let bench = Bench::new(SEED, Some(&cluster.new_schema()));
    let trace = bench.site.lab().with_file_name("trace");
    let (program, tokens) = traced(&bench, strace_timed(&trace), &trace).await;
    cluster.stop();
    let text = || std::fs::read_to_string(&of_server).unwrap_or_default();
    // The first process is the last to go.
    let ends = comes(PATIENCE, || {
        let text = text();
        let first = text.lines().next().and_then(|line| line.split(' ').next());
        first.is_some_and(|pid| is_whole(&of_server, pid.parse().unwrap_or(0)))
    });
    assert!(ends.await, "the trace of the server does not end");
    let mut calls = read_timed(&[program, text()]);
    let promised = promises(&calls, &tokens, Log::Postgres);
    assert_eq!(promised.len(), MESSAGES * 6);
    let broken: Vec<&Promise> = promised.iter().filter(|one| !one.is_kept).collect();
    assert!(
        broken.is_empty(),
        "acknowledged before the sync: {broken:?}"
    );
    // The same traces, had the server synced nothing, keep none.
    calls.retain(|call| !call.is_sync());
    let promised = promises(&calls, &tokens, Log::Postgres);
    assert!(promised.iter().all(|one| !one.is_kept));
}

/// Runs the program under `strace` from its very first start until it is killed: its trace, and what it
/// acknowledged.
async fn traced(bench: &Bench, mut begin: Command, trace: &Path) -> (String, Vec<String>) {
    begin.arg(env!("CARGO_BIN_EXE_labwire"));
    let mut labwire = bench.start_by(begin).await;
    let (mut astm, mut hl7) = bench.dial().await;
    let mut tokens = Vec::new();
    for n in 0..MESSAGES {
        let token = format!("TUBE{n:04}");
        assert_eq!(tell(&mut astm, &token).await, [ACK; 6], "{}", labwire.log());
        tokens.extend((1..=5).map(|part| format!("{token}-{part}")));
        let token = format!("MESSAGE{n:04}");
        let reply = hl7.say(&message(&token)).await;
        assert!(reply.contains("\rMSA|AA|"), "{reply}");
        tokens.push(token);
    }
    // So that the call that sent the last reply has returned.
    hl7.say(&message("LAST")).await;
    let pid = labwire.pid();
    labwire.kill();
    let ends = comes(PATIENCE, || is_whole(trace, pid));
    assert!(ends.await, "the trace does not end");
    let text = std::fs::read_to_string(trace).expect("the trace");
    (text, tokens)
}

/// Cuts the power at every acknowledgement that is given; how often, and what a store lacked then that
/// had been acknowledged.
fn cut_at_every_ack(
    site: &Site,
    calls: &[Call],
    promised: &[Promise],
    mut disk: Disk,
) -> (usize, Vec<String>) {
    let mut chance = Chance::fork(SEED, "torn");
    let store = site.lab().with_file_name("labwire.db");
    let store = store.to_str().expect("a path of text");
    let (mut cuts, mut lost) = (0, Vec::new());
    let mut calls = calls.iter().peekable();
    for (count, promise) in (1..).zip(promised) {
        while let Some(call) = calls.next_if(|call| call.ended < promise.at) {
            disk.take(call, store);
        }
        for torn in 0..=TORN {
            let folder = tempfile::tempdir().expect("a folder");
            disk.cut(folder.path(), (torn > 0).then_some(&mut chance));
            let url = format!("sqlite:{}", folder.path().join("labwire.db").display());
            let tokens: Vec<String> = promised[..count]
                .iter()
                .map(|one| one.token.clone())
                .collect();
            match account::lacks(&url, tokens) {
                Ok(lacking) if lacking.is_empty() => {}
                lacking => lost.push(format!("ACK {count}, cut {torn}: {lacking:?}")),
            }
            cuts += 1;
        }
    }
    (cuts, lost)
}

/// The program itself starts on what the last cut left, reads it, and finds nothing wrong.
async fn goes_on(site: &Site, calls: &[Call], last: &Promise) {
    let store = site.lab().with_file_name("labwire.db");
    let mut disk = Disk::default();
    for call in calls.iter().filter(|call| call.ended < last.at) {
        disk.take(call, store.to_str().expect("a path of text"));
    }
    for ending in ["", "-wal", "-shm"] {
        let file = store.with_file_name(format!("labwire.db{ending}"));
        if file.exists() {
            std::fs::remove_file(file).expect("the folder is writable");
        }
    }
    disk.cut(store.parent().expect("a folder"), None);
    let mut labwire = Labwire::start(&site.lab());
    reads_everything(&mut labwire, site).await;
    let url = site.store();
    for n in 0..MESSAGES {
        let found = account::states(&url, &format!("TUBE{n:04}-3"));
        assert_eq!(found.len(), 1, "TUBE{n:04}: {found:?}");
    }
}
