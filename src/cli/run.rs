//! The arguments of `labwire run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Run the bridge: open every line, take orders, deliver results
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  labwire run -c lab.toml
  labwire run -c /etc/labwire/lab.toml --log-format json

SIGTERM stops it in order: what is on its way is finished, nothing is lost.
The log goes to standard error; how much of it, RUST_LOG says.")]
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
