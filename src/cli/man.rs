//! `labwire man`: the manual's pages, for a package.

use std::path::PathBuf;

use clap::Args;

use super::{Verdict, failure::Failure};

/// Write a page of the manual for every command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  labwire man /usr/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder for them
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs, command: clap::Command) -> Result<Verdict, Failure> {
    let failed = |source| Failure::CannotKeep {
        path: args.folder.clone(),
        source,
    };
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(command, &args.folder).map_err(failed)?;
    Ok(Verdict::Clean)
}
