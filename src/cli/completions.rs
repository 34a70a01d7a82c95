//! `labwire completions`: for the shell.

use clap::Args;
use clap_complete::Shell;

use super::{Verdict, failure::Failure, out::Out};

/// Write a script that lets a shell complete the command line
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire completions bash > /etc/bash_completion.d/labwire
  labwire completions fish > ~/.config/fish/completions/labwire.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(
    args: &CompletionsArgs,
    mut command: clap::Command,
    out: &mut Out,
) -> Result<Verdict, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "labwire", &mut script);
    out.bytes(&script)?;
    Ok(Verdict::Clean)
}
