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
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use labwire_drivers::{Clock, SystemClock};
use labwire_sims::{
    his::{Answering, Policy},
    morning::{Addresses, Morning, Report as Ended, Settings},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    alerts,
    bridge::{Running, Setup, StartError, start},
    config::render,
    console::{Console, ConsoleError, Limits, Parts},
    people::{self, Digest, NewPerson, Role},
    store::{StoreError, StoreOptions, Turn},
};

pub use self::{
    account::{Account, Share, Stored},
    hospital::Department,
    live::{Counts, Live, OnLine},
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
pub const SETTLE: Duration = Duration::from_secs(6);
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
    /// Where the web console listens; `None` for a morning that nobody watches.
    pub console: Option<SocketAddr>,
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
    /// The console.
    #[error(
        "the console cannot be opened: another program may have the port; name one with --listen"
    )]
    Console(#[from] ConsoleError),
    /// The simulators.
    #[error("the simulated hospital broke down: {why}")]
    Simulation {
        /// What they said.
        why: String,
    },
}

/// A hospital that is open: its bridge at work, nobody measuring yet.
pub struct Demo {
    options: Options,
    running: Running,
    console: Option<(Console, Login)>,
    /// Ends the watch over alerts when it is dropped.
    _watched: DropGuard,
    results: Option<TcpListener>,
}

/// Who looks on.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name to log in with.
    pub name: &'static str,
    /// A password that this demo alone has.
    pub password: String,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo")
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
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
    let mut demo = Demo::open(options).await?;
    let report = demo.play(stop, watch).await?;
    demo.close().await;
    Ok(report)
}

impl Demo {
    /// Writes the site, starts its bridge and opens its console.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub async fn open(options: &Options) -> Result<Self, DemoError> {
        let results = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(DemoError::Port)?;
        let address = results.local_addr().map_err(DemoError::Port)?;
        let lab =
            hospital::write(&options.folder, address).map_err(|source| DemoError::Folder {
                path: options.folder.clone(),
                source,
            })?;
        let setup = setup(&lab)?;
        let loaded = Arc::new(setup.loaded.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let running = start(setup, Arc::clone(&clock)).await?;
        let console = match options.console {
            Some(listen) => {
                let parts = Parts::of(&running, Arc::clone(&loaded), Arc::clone(&clock));
                Some(open_console(parts, listen).await?)
            }
            None => None,
        };
        let (stop, watched) = (
            CancellationToken::new(),
            alerts::Parts::of(&running, loaded, clock),
        );
        tokio::spawn(alerts::run(watched, alerts::LOOK_EVERY, stop.clone()));
        Ok(Self {
            options: options.clone(),
            running,
            console,
            _watched: stop.drop_guard(),
            results: Some(results),
        })
    }

    /// Where the console is, and who may log in there.
    pub fn console(&self) -> Option<(String, &Login)> {
        let (console, login) = self.console.as_ref()?;
        Some((console.url(), login))
    }

    /// Plays the morning, once.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub async fn play(
        &mut self,
        stop: CancellationToken,
        watch: &mut dyn FnMut(&Live),
    ) -> Result<Report, DemoError> {
        let options = &self.options;
        let results = self.results.take().ok_or_else(|| DemoError::Simulation {
            why: "the morning was played already".to_owned(),
        })?;
        let unplugged = CancellationToken::new();
        let span = Morning::new(options.seed, options.specimens, options.speed).span();
        let line = hospital::plug_line(
            &self.running,
            options.speed,
            (options.seed, span),
            unplugged.clone(),
        )
        .await?;
        let attendant = line.attendant.clone();
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
        let addresses = hospital::plug(&self.running, results).await?;
        let playing = play(&morning, addresses, stop.clone());
        let ended = look(options, &self.running, &morning, playing, &stop, watch).await?;
        let line = OnLine {
            faults: attendant.with_log(|log| log.faults.clone()),
            ..live::on_line(&self.running.store, hospital::TEMPUS).await?
        };
        Ok(report::make(options, &self.running, &morning, (ended, line)).await?)
    }

    /// Closes the console, then the bridge.
    pub async fn close(self) {
        if let Some((console, _)) = self.console {
            console.stop().await;
        }
        self.running.stop().await;
    }
}

/// Opens the console of the demo to one administrator.
async fn open_console(parts: Parts, listen: SocketAddr) -> Result<(Console, Login), DemoError> {
    let login = Login {
        name: "demo",
        password: people::one_time().map_err(ConsoleError::from)?,
    };
    let person = NewPerson {
        login: login.name.to_owned(),
        name: "Demo".to_owned(),
        role: Role::Administrator,
        password: Digest::of(&login.password).map_err(ConsoleError::from)?,
        must_change: false,
    };
    let now = parts.clock.utc_micros();
    parts
        .store
        .transact(Turn::Background, move |db| {
            people::add(db, &person, "demo", now).map(drop)
        })
        .await?;
    let console = Console::start(parts, &listen.to_string(), Limits::default()).await?;
    Ok((console, login))
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
            ports: None,
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
