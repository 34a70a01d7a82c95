//! `labwire profile`: what concerns profiles themselves.

use clap::{Args, Subcommand};

use super::{Verdict, failure::Failure, learn, out::Out};

/// Make a profile for a device that has none
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  labwire profile learn tcp-listen://0.0.0.0:5001    see labwire profile learn --help")]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Learn(learn::LearnArgs),
}

pub(crate) fn run(args: &ProfileArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.command {
        Command::Learn(args) => learn::run(args, out),
    }
}
