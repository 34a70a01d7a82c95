//! `labwire-sim`: simulated analyzers and a simulated HIS for people and for tests.

use std::{io::Write, process::ExitCode};

use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let cancel = CancellationToken::new();
    let interrupted = cancel.clone();
    tokio::spawn(async move {
        // Without a signal handler there is nothing to wait for, and interrupting ends us anyway.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let mut out = std::io::stdout();
    match labwire_sims::cli::run(std::env::args_os(), &mut out, cancel).await {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Help and usage errors print themselves, in colour where the terminal has it.
fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        let code = u8::try_from(usage.exit_code()).unwrap_or(2);
        return match usage.print() {
            Ok(()) => ExitCode::from(code),
            Err(_) => ExitCode::FAILURE,
        };
    }
    // Whoever reads may stop reading: `labwire-sim list | head -1`.
    let cause = error.downcast_ref::<std::io::Error>();
    if cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    match writeln!(std::io::stderr(), "error: {error:#}") {
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}
