//! The crash table, third part: the clock of the machine jumps an hour, as when a person or a time
//! server corrects it. Nothing is lost or doubled, and nothing waits for the hour to come again.
//!
//! The program has a clock of its own for this (`libfaketime`, whose offset is a file): its wall
//! clock jumps and its monotonic one does not, as on a real machine.

use std::{path::Path, process::Command};

use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy},
};

use crate::{
    crash::{Labwire, first_start},
    crash_points::drains,
    crash_tools::{faketime, left_out},
    hospital::{His, PATIENCE, comes},
    load::Load,
};

const SEED: u64 = 20_260_314;

/// When the clock jumps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Running,
    Stopped,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_set_back_an_hour_and_nothing_waits_for_it() {
    jumps("-3600", When::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_set_forward_an_hour_and_nothing_is_given_up() {
    jumps("+3600", When::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_was_set_back_while_the_program_was_dead() {
    jumps("-3600", When::Stopped).await;
}

async fn jumps(offset: &str, when: When) {
    let Some(library) = faketime() else {
        left_out("a clock that jumps", "libfaketime is not installed");
        return;
    };
    let mut chance = Chance::fork(SEED, offset);
    // Many tries end with a wait for a time.
    let answering = Answering::by_chance([(500, Policy::Busy)], SEED);
    let his = His::open(answering).await;
    let (site, lines, mut labwire) = first_start(&his, &mut chance, None).await;
    labwire.kill();
    let clock = site.lab().with_file_name("clock");
    set(&clock, "+0");
    let mut labwire = start(&site.lab(), &library, &clock);
    let mut load = Load::plug(SEED, &lines, &his).without_merges();
    for round in 0..3 {
        load.add(10);
        let aim = load.progress() + 12;
        let is_there = comes(PATIENCE, || {
            load.watch();
            load.progress() >= aim || load.is_idle()
        });
        assert!(is_there.await, "no progress: {}", labwire.log());
        // Something was refused, and waits for its time.
        let waits = comes(PATIENCE, || {
            load.watch();
            if load.is_idle() {
                load.add(4);
            }
            labwire.count("not taken") > 0
        });
        assert!(waits.await, "nothing was refused: {}", labwire.log());
        if round == 1 {
            if when == When::Stopped {
                labwire.kill();
            }
            set(&clock, offset);
            if when == When::Stopped {
                labwire = start(&site.lab(), &library, &clock);
            }
        }
    }
    drains(labwire, &site, load, &his).await;
}

/// How far the clock is from that of the machine.
fn set(clock: &Path, offset: &str) {
    // In one step: it is read at any time.
    let next = clock.with_extension("next");
    std::fs::write(&next, format!("{offset}\n")).expect("the folder is writable");
    std::fs::rename(&next, clock).expect("the folder is writable");
}

fn start(lab: &Path, library: &Path, clock: &Path) -> Labwire {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labwire"));
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    Labwire::start_by(command, lab)
}
