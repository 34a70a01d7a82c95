//! A bar on standard error for what takes longer than a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_protocols::wire::Mono;

use super::out::Out;

/// A command that takes less shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a command is, once it has taken longer than people wait. Where the answer itself
/// runs over the terminal, that is progress enough.
#[derive(Debug)]
pub(crate) struct Progress {
    clock: SystemClock,
    begin: Mono,
    bar: Option<ProgressBar>,
    is_wanted: bool,
}

impl Progress {
    pub(crate) fn new(out: &Out) -> Self {
        let clock = SystemClock::default();
        Self {
            begin: clock.mono(),
            clock,
            bar: None,
            is_wanted: !out.is_terminal(),
        }
    }

    /// So much of so much is done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        if !self.is_wanted {
            return;
        }
        if self.bar.is_none() && self.clock.mono() >= self.begin.after(PATIENCE) {
            // It draws to standard error, and nothing at all where that is no terminal.
            let style = ProgressStyle::with_template("{bar:40} {percent}% {eta} left");
            let bar = ProgressBar::new(total);
            self.bar = Some(match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            });
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

/// A sign of life while one long step runs; it goes away by itself.
#[derive(Debug)]
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn start(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        // The first tick comes after this time, so that a short step shows nothing.
        bar.enable_steady_tick(PATIENCE);
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
