//! `labwire run`: check, start, open the console, wait for the end, stop in order.

use std::{sync::Arc, time::Duration};

use labwire_drivers::SystemClock;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts, audit,
    certificates::Certificates,
    config::Loaded,
    console::{self, Parts},
    store::{Clock, StoreError},
    vitals::{Vitals, heart::Heart, notify::Manager},
};

use super::start::{Running, Setup, StartError, start};

/// How long stopping in order may take: lines give what was begun 15 s, first those that promise, then
/// those that deliver; the rest is for commits. `TimeoutStopSec` of the systemd unit is longer.
pub const STOP_WITHIN: Duration = Duration::from_secs(45);

/// How long a stop waits for a store that cannot be written: nothing more can be finished.
const STORE_AWAY_MAX: Duration = Duration::from_secs(5);

/// How often a stop asks whether the store writes.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How a run ended that was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was begun is finished.
    InOrder,
    /// Something was left; the next start takes it up.
    CutShort,
}

/// What the system may say.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for any; whether it was SIGHUP.
    async fn is_hangup(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => true,
        }
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs the bridge until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reads the files of
/// certificates again. `manager` hears of all of it.
///
/// # Errors
/// See [`StartError`].
pub async fn run(setup: Setup, manager: Manager) -> Result<Ended, StartError> {
    let mut signals = Signals::new()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let loaded = Arc::new(setup.loaded.clone());
    manager.status("opening the store and taking up what the last run left");
    let mut running = tokio::select! {
        running = start(setup, Arc::clone(&clock)) => running?,
        () = signals.end() => {
            tracing::info!("told to stop before it was at work: the next start takes everything up");
            return Ok(Ended::InOrder);
        }
    };
    tracing::info!("labwire is at work");
    note_audit(&running).await;
    let vitals = Arc::clone(&running.vitals);
    let heart = Heart::start(Arc::clone(&vitals), manager.clone(), Arc::clone(&clock))?;
    let around = Around::open(&running, loaded, clock);
    loop {
        let shut_out = tokio::select! {
            is_hangup = signals.is_hangup() => match is_hangup {
                true => None,
                false => break,
            },
            error = running.shut_out() => Some(error),
        };
        let Some(error) = shut_out else {
            reload(&running.certificates, &manager, &vitals).await;
            continue;
        };
        // Whoever manages this service starts it anew, as a new run.
        manager.stopping();
        heart.stop();
        around.closing.cancel();
        running.cut().await;
        return Err(StartError::ShutOut(error));
    }
    tracing::info!("stopping in order");
    manager.stopping();
    heart.stop();
    let in_order = async {
        around.close(&running).await;
        running.stop().await;
    };
    let why = tokio::select! {
        () = in_order => return Ok(Ended::InOrder),
        () = signals.end() => "told to stop a second time",
        () = tokio::time::sleep(STOP_WITHIN) => "stopping in order takes too long",
        () = stays_away(&vitals) => "the store cannot be written, so that nothing more can be finished",
    };
    tracing::warn!(
        "{why}: ending now; what was acknowledged is on disk, and the next start takes up what is left"
    );
    Ok(Ended::CutShort)
}

/// What stands around the bridge and needs it: alerts and console.
struct Around {
    closing: CancellationToken,
    watching: JoinHandle<()>,
    console: JoinHandle<()>,
}

impl Around {
    fn open(running: &Running, loaded: Arc<Loaded>, clock: Arc<dyn Clock>) -> Self {
        let closing = CancellationToken::new();
        let listen = loaded.lab.console.listen.value.clone();
        let watched = alerts::Parts::of(running, Arc::clone(&loaded), Arc::clone(&clock));
        let watching = alerts::run(watched, alerts::LOOK_EVERY, closing.clone());
        let parts = Parts::of(running, loaded, clock);
        let console = tokio::spawn({
            let closing = closing.clone();
            async move {
                // The bridge works without a page to look at.
                if let Err(error) = console::run(parts, &listen, closing).await {
                    tracing::error!("{error}");
                }
            }
        });
        Self {
            closing,
            watching: tokio::spawn(watching),
            console,
        }
    }

    async fn close(self, running: &Running) {
        self.closing.cancel();
        // A console that panicked has been logged by the runtime.
        drop(self.console.await);
        note_audit(running).await;
        drop(self.watching.await);
    }
}

/// Reads the files of certificates again, as is done every few seconds anyway.
async fn reload(certificates: &Arc<Certificates>, manager: &Manager, vitals: &Vitals) {
    manager.reloading();
    tracing::info!("SIGHUP: the files of certificates are read again; lab.toml only at a start");
    let certificates = Arc::clone(certificates);
    // Reading files may wait for a disk.
    if let Err(error) = tokio::task::spawn_blocking(move || certificates.look()).await {
        tracing::error!(%error, "the files of TLS could not be looked at");
    }
    manager.ready(&vitals.told());
}

/// Ends when the store could not be written for some time. One that was closed is no such one: closing
/// is the last step of stopping.
async fn stays_away(vitals: &Vitals) {
    let mut failed_since = None;
    loop {
        let now = tokio::time::Instant::now();
        let outcome = vitals.probe().await;
        let is_away = outcome.is_err_and(|error| error.is_unavailable() && !is_closed(&error));
        let since = *failed_since.get_or_insert(now);
        if !is_away {
            failed_since = None;
        } else if since.elapsed() >= STORE_AWAY_MAX {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

const fn is_closed(error: &StoreError) -> bool {
    matches!(error, StoreError::Closed)
}

/// Tells the newest row of the audit to the log, which is kept elsewhere: `labwire audit verify --noted`
/// proves later that everything up to it is as it was.
async fn note_audit(running: &Running) {
    match running.store.read(audit::newest).await {
        Ok(Some(head)) => tracing::info!(%head, "the newest row of the audit"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the audit cannot be read"),
    }
}
