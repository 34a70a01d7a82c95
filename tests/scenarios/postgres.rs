//! The real program on PostgreSQL, whose server stops at any moment and comes back: nothing
//! acknowledged is lost, doubled or changed, in either direction.
//!
//! The load is that of the scenario of crashes. The server is stopped as a power cut stops it, while
//! messages are on their way, and once the program is killed besides: its lock is then the server's
//! to give to the next.

use std::time::Duration;

use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy},
};

use crate::{
    account,
    cluster::Cluster,
    crash::{Labwire, command, first_start},
    hospital::{His, PATIENCE, Site, comes},
    load::Load,
};

/// How often the server stops.
const STOPS: usize = 4;
const SEED: u64 = 20_260_311;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_stops_at_any_moment_loses_doubles_and_changes_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let mut chance = Chance::fork(SEED, "stops");
    let his = His::open(Answering::by_chance(
        [
            (30, Policy::Cut),
            (30, Policy::Busy),
            (50, Policy::Slow(Duration::from_millis(30))),
            (20, Policy::Late),
        ],
        SEED,
    ))
    .await;
    let (site, lines, mut labwire) = first_start(&his, &mut chance, Some(&url)).await;
    let mut load = Load::plug(SEED, &lines, &his);
    for stop in 0..STOPS {
        load.add(12);
        let aim = load.progress() + 1 + chance.below(30);
        let is_there = comes(PATIENCE, || {
            load.watch();
            load.progress() >= aim || load.is_idle()
        });
        assert!(is_there.await, "no progress: {}", labwire.log());
        let noticed = labwire.count("STORE-0009");
        cluster.stop();
        // Something is on its way while the server is not there, and is not promised.
        load.add(4);
        let is_noticed = comes(PATIENCE, || {
            load.watch();
            labwire.count("STORE-0009") > noticed
        });
        assert!(is_noticed.await, "it is not noticed: {}", labwire.log());
        cluster.resume();
        if stop == 1 {
            labwire.kill();
            labwire = Labwire::start(&site.lab());
        }
    }
    load.add(12);
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
    let barcode = load.sent().first().map(|sent| sent.barcode.clone());
    commands_work_beside(&site, &barcode.expect("something was measured"));
    labwire.stop();
    let (figures, wrong) = account::check(&load, &his.book, &url);
    assert!(wrong.is_empty(), "{figures}: {wrong:#?}");
    let (said, is_clean) = command(&site, &["ledger", "--findings"]);
    assert!(is_clean, "{said}");
    load.unplug();
}

/// While the program runs, and holds the lock.
fn commands_work_beside(site: &Site, barcode: &str) {
    let (said, is_well) = command(site, &["queue", "list"]);
    assert!(is_well, "{said}");
    let (said, is_well) = command(site, &["trace", barcode]);
    assert!(is_well && said.contains(barcode), "{said}");
    let copy = site.lab().with_file_name("copy.jsonl.gz");
    let (said, is_well) = command(site, &["backup", &copy.display().to_string()]);
    assert!(is_well && said.contains("SHA-256"), "{said}");
    let (said, is_well) = command(site, &["restore", "--check", &copy.display().to_string()]);
    assert!(is_well, "{said}");
    let (said, is_well) = command(site, &["run"]);
    assert!(!is_well && said.contains("STORE-0007"), "{said}");
}
