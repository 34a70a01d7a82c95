//! `labwire run`: check, start, wait for the end, stop in order.

use std::sync::Arc;

use labwire_drivers::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

use super::start::{Setup, StartError, start};

/// Runs the bridge until SIGTERM or SIGINT.
///
/// # Errors
/// See [`StartError`].
pub async fn run(setup: Setup) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = start(setup, Arc::new(SystemClock::default())).await?;
    tracing::info!("labwire is at work");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping in order");
    running.stop().await;
    Ok(())
}
