//! A simulated hospital morning in one process: the bridge, its analyzers and a HIS, over real
//! loopback ports, with a real store.
//!
//! What is told about Labwire is read from its store, what is told about devices and the HIS from
//! the simulators: the two are compared at the end, result by result.

mod account;
mod hospital;
mod live;
mod report;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use labwire_drivers::SystemClock;
use labwire_sims::{
    his::{Answering, Policy},
    morning::{Addresses, Morning, Report as Ended, Settings},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::{Running, Setup, StartError, start},
    config::render,
    store::{StoreError, StoreOptions},
};

pub use self::{
    account::{Account, Stored},
    live::{Counts, Live},
    report::{Report, Verdict},
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [live::ALL, account::ALL].concat()
}

/// How often whoever watches is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// [`Options::settle`] for whoever looks on.
pub const SETTLE: Duration = Duration::from_secs(4);
/// How long what was acknowledged may take to be read, once the devices are silent: a bound for a
/// broken bridge, not a wait.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed plays the same morning.
    pub seed: u64,
    /// Tubes of patients.
    pub specimens: usize,
    /// How many times as fast as life.
    pub speed: f64,
    /// The end of the morning if it does not come by itself before, in real time.
    pub length: Option<Duration>,
    /// How long nothing may change, after the last tube, before the morning is over although
    /// something is not at the HIS: what is held never gets there, and nobody is there to decide.
    pub settle: Duration,
    /// An empty folder for `lab.toml` and the store.
    pub folder: PathBuf,
}

/// Why the morning could not be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder.
    #[error("cannot write the site of the demo in {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A port on this machine.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] io::Error),
    /// The site of the demo is wrong; that is a mistake in Labwire.
    #[error("the site of the demo is wrong:\n{list}")]
    Site {
        /// As [`render`] wrote it.
        list: String,
    },
    /// The bridge.
    #[error("the bridge did not start")]
    Start(#[from] StartError),
    /// The store.
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// The simulators.
    #[error("the simulated hospital broke down: {why}")]
    Simulation {
        /// What they said.
        why: String,
    },
}

/// Plays a morning to its end, or until `stop`; tells `watch` once a second how it goes.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(
    options: &Options,
    stop: CancellationToken,
    watch: &mut dyn FnMut(&Live),
) -> Result<Report, DemoError> {
    let results = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(DemoError::Port)?;
    let address = results.local_addr().map_err(DemoError::Port)?;
    let lab = hospital::write(&options.folder, address).map_err(|source| DemoError::Folder {
        path: options.folder.clone(),
        source,
    })?;
    let running = start(setup(&lab)?, Arc::new(SystemClock::default())).await?;
    let unplugged = CancellationToken::new();
    let line = hospital::plug_line(&running, options.speed, unplugged.clone()).await?;
    // Whatever ends the morning ends the simulated line.
    let _unplugs = unplugged.drop_guard();
    let morning = Arc::new(Morning::with_settings(
        options.seed,
        options.specimens,
        options.speed,
        Settings {
            line: Some(line),
            ..settings(options)
        },
    ));
    let addresses = hospital::plug(&running, results).await?;
    let playing = play(&morning, addresses, stop.clone());
    let ended = look(options, &running, &morning, playing, &stop, watch).await?;
    let report = report::make(options, &running, &morning, ended).await?;
    running.stop().await;
    Ok(report)
}

/// A HIS of flesh and blood: now and then it is busy, or answers twice.
fn settings(options: &Options) -> Settings {
    Settings {
        answering: Answering::by_chance([(5, Policy::Busy), (3, Policy::Twice)], options.seed),
        settle: options.settle,
        ..Settings::default()
    }
}

fn setup(lab: &Path) -> Result<Setup, DemoError> {
    let (library, of_profiles) = crate::profile::Library::load(None);
    let (loaded, mut problems) = crate::config::load(lab, &crate::config::Seams::default());
    problems.extend(of_profiles);
    match loaded {
        Some(loaded) if !problems.has_errors() => Ok(Setup {
            loaded,
            library,
            store: StoreOptions::default(),
        }),
        _ => Err(DemoError::Site {
            list: render(&problems, false),
        }),
    }
}

/// The end of a morning, whatever it was.
type Playing = JoinHandle<Result<Ended, String>>;

fn play(morning: &Arc<Morning>, addresses: Addresses, stop: CancellationToken) -> Playing {
    let morning = Arc::clone(morning);
    tokio::spawn(async move {
        let ended = morning.run(addresses, stop).await;
        ended.map_err(|error| format!("{error:#}"))
    })
}

async fn look(
    options: &Options,
    running: &Running,
    morning: &Morning,
    mut playing: Playing,
    stop: &CancellationToken,
    watch: &mut dyn FnMut(&Live),
) -> Result<Ended, DemoError> {
    let began = tokio::time::Instant::now();
    let end = options.length.map(|length| began + length);
    let mut ticks = tokio::time::interval_at(began + LOOK_EVERY, LOOK_EVERY);
    loop {
        tokio::select! {
            ended = &mut playing => {
                let told = ended.map_err(|error| error.to_string()).and_then(|ended| ended);
                return told.map_err(|why| DemoError::Simulation { why });
            }
            _ = ticks.tick() => {}
        }
        if end.is_some_and(|end| tokio::time::Instant::now() >= end) {
            stop.cancel();
        }
        let played = began.elapsed().mul_f64(options.speed);
        watch(&Live {
            played,
            devices: morning.counters(),
            measured: morning.measured(),
            bridge: live::counts(&running.store).await?,
        });
    }
}

#[cfg(test)]
mod tests;
