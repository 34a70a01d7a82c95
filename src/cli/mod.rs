//! The command line: what a person can ask of Labwire, in English.
//!
//! Exit codes: 0 all is well, 1 something was found that a person should look at, 2 the command
//! itself could not be carried out. Answers go to standard output and nothing else does; errors,
//! warnings and progress go to standard error.

mod archive;
mod audit;
mod backup;
mod certificates;
mod check;
mod completions;
mod failure;
mod held;
mod learn;
mod ledger;
mod line;
mod man;
mod nodes;
mod out;
mod profile;
mod progress;
mod queue;
mod replay;
mod rerun;
mod site;
mod trace;
mod user;

pub mod demo;
pub mod run;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::{failure::Failure, out::Out};

pub use self::site::{Files, line_profile, store_url};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "labwire",
    version,
    about = "Laboratory automation middleware: orders down to analyzers, results up to the hospital, nothing lost.",
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  labwire demo                                   a simulated hospital morning, to look at
  labwire run -c lab.toml                        the bridge, until SIGTERM
  labwire check -c lab.toml                      is everything that the site wrote right?
  labwire trace 2501150042                       everything about a tube
  labwire held list                              what waits for a person, most urgent first
  labwire queue list                             what waits to be sent, and what a host refused
  labwire ledger --since 24h                     where every message of the last day ended
  labwire replay xn.raw --profile sysmex/xn      what a captured device said
  labwire profile learn tcp-listen://0.0.0.0:5001  what an unknown device speaks, and a draft for it
  labwire user add lan --role technician         who may use the web console

Exit codes: 0 all is well, 1 something was found, 2 the command could not be carried out.
Colours are left out where NO_COLOR is set or the output is no terminal.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Trace(trace::TraceArgs),
    Held(held::HeldArgs),
    Queue(queue::QueueArgs),
    Line(line::LineArgs),
    Nodes(nodes::NodesArgs),
    Ledger(ledger::LedgerArgs),
    Replay(replay::ReplayArgs),
    Profile(profile::ProfileArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    User(user::UserArgs),
    Audit(audit::AuditArgs),
    Archive(archive::ArchiveArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// How a command that was carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that a person has to look at.
    Clean,
    /// Something was found; it has been told.
    Found,
}

impl Verdict {
    const fn found_if(found: bool) -> Self {
        if found { Self::Found } else { Self::Clean }
    }
}

/// Reads the command line, does what it says, and tells how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help goes to standard output, a refusal to standard error. If nobody reads it, there
            // is nobody to tell.
            drop(refusal.print());
            return u8::try_from(refusal.exit_code()).map_or(ExitCode::from(2), ExitCode::from);
        }
    };
    let mut out = Out::stdout();
    let outcome = cli.command.run(&mut out).and_then(|verdict| {
        out.flush()?;
        Ok(verdict)
    });
    match outcome {
        Ok(Verdict::Clean) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Ok(Verdict::Found) => ExitCode::from(1),
        Err(failure) => {
            // What was said before the failure belongs before it.
            drop(out.flush());
            out::complain(&failure.told());
            ExitCode::from(2)
        }
    }
}

impl Command {
    fn run(self, out: &mut Out) -> Result<Verdict, Failure> {
        match self {
            Self::Demo(args) => demo::run(&args, out),
            Self::Run(args) => run::run(&args),
            Self::Check(args) => check::run(&args, out),
            Self::Trace(args) => trace::run(&args, out),
            Self::Held(args) => held::run(&args, out),
            Self::Queue(args) => queue::run(&args, out),
            Self::Line(args) => line::run(&args, out),
            Self::Nodes(args) => nodes::run(&args, out),
            Self::Ledger(args) => ledger::run(&args, out),
            Self::Replay(args) => replay::run(&args, out),
            Self::Profile(args) => profile::run(&args, out),
            Self::Backup(args) => backup::back_up(&args, out),
            Self::Restore(args) => backup::restore(&args, out),
            Self::User(args) => user::run(&args, out),
            Self::Audit(args) => audit::run(&args, out),
            Self::Archive(args) => archive::run(&args, out),
            Self::Completions(args) => completions::run(&args, Cli::command(), out),
            Self::Man(args) => man::run(&args, Cli::command()),
        }
    }
}

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    rerun::ALL.to_vec()
}

#[cfg(test)]
mod tests;
