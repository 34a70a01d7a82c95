//! `labwire run`: check, start, open the console, wait for the end, stop in order.

use std::sync::Arc;

use labwire_drivers::SystemClock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts, audit,
    console::{self, Parts},
};

use super::start::{Running, Setup, StartError, start};

/// Runs the bridge until SIGTERM or SIGINT.
///
/// # Errors
/// See [`StartError`].
pub async fn run(setup: Setup) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let clock = Arc::new(SystemClock::default());
    let loaded = Arc::new(setup.loaded.clone());
    let mut running = start(setup, Arc::clone(&clock) as _).await?;
    tracing::info!("labwire is at work");
    note_audit(&running).await;
    let closing = CancellationToken::new();
    let listen = loaded.lab.console.listen.value.clone();
    let watched = alerts::Parts::of(&running, Arc::clone(&loaded), Arc::clone(&clock) as _);
    let watching = tokio::spawn(alerts::run(watched, alerts::LOOK_EVERY, closing.clone()));
    let parts = Parts::of(&running, loaded, clock);
    let console = tokio::spawn({
        let closing = closing.clone();
        async move {
            // The bridge works without a page to look at.
            if let Err(error) = console::run(parts, &listen, closing).await {
                tracing::error!("{error}");
            }
        }
    });
    let shut_out = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = running.shut_out() => Some(error),
    };
    if let Some(error) = shut_out {
        // Whoever manages this service starts it anew, as a new run.
        closing.cancel();
        running.cut().await;
        return Err(StartError::ShutOut(error));
    }
    tracing::info!("stopping in order");
    closing.cancel();
    // A console that panicked has been logged by the runtime.
    drop(console.await);
    note_audit(&running).await;
    drop(watching.await);
    running.stop().await;
    Ok(())
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
