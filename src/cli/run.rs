//! `labwire run`: the bridge, until it is told to stop.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::{Files, Verdict, check::check_profiles, failure::Failure, out, site};
use crate::{
    bridge::{self, Ended, Setup, StartError},
    config::render,
    store::StoreOptions,
    vitals::notify::Manager,
};

/// Run the bridge: open every line, take orders, deliver results
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  labwire run -c lab.toml
  labwire run -c /etc/labwire/lab.toml --log-format json

SIGTERM stops it in order: what is on its way is finished, nothing is lost. That takes 45 seconds at
the most, 5 where the store is away; a second SIGTERM ends it at once. The exit code is 1 where
something was left for the next start. SIGHUP reads the files of certificates again.
The log goes to standard error, for the system to keep; how much of it, RUST_LOG says. systemd is
told of readiness and life where it asks (NOTIFY_SOCKET, WATCHDOG_USEC).")]
pub struct RunArgs {
    /// The site's file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "lab.toml"
    )]
    pub config: PathBuf,
    /// How the log is written
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

pub(super) fn run(args: &RunArgs) -> Result<Verdict, Failure> {
    let mut files = Files::read(&args.config);
    let Some(loaded) = files.loaded.take() else {
        return Err(site::unreadable(&files.problems));
    };
    check_profiles(&loaded, &mut files);
    if files.problems.has_errors() {
        out::complain(&render(&files.problems, false));
        let config = args.config.display();
        return Err(Failure::Usage(format!(
            "nothing was started: mend what is listed above; labwire check -c {config} lists it too"
        )));
    }
    log(args.log_format);
    take_all_files_allowed();
    for problem in files.problems.iter() {
        tracing::warn!(code = problem.code, "{}", problem.message);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::CannotStart)?;
    let setup = Setup {
        loaded,
        library: files.library,
        store: StoreOptions::default(),
        ports: None,
    };
    let ended = runtime.block_on(bridge::run(setup, Manager::of_process()));
    // After an end that was cut short, or by another node, threads may still wait for a store or a peer
    // that is away.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => Ok(Verdict::found_if(ended == Ended::CutShort)),
        // It did start: what ended it is what is to be told.
        Err(StartError::ShutOut(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

/// A line that listens and is connected has two files open, and what starts programs allows 1,024
/// unless told otherwise: too few for five hundred lines. The system's own limit is the hard one.
#[cfg(unix)]
fn take_all_files_allowed() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With fewer than it wants it works as well, up to so many lines.
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, all)
    {
        tracing::warn!(%error, allowed = limit.current, "no more open files are allowed");
    }
}

#[cfg(not(unix))]
const fn take_all_files_allowed() {}

/// The log goes to standard error; a second subscriber, such as that of a test, is left alone.
fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(out::is_colour_welcome(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let begun = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    drop(begun);
}
