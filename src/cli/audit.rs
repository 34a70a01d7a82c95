//! `labwire audit`: whether the audit is what was written.

use clap::{Args, Subcommand};

use super::{Verdict, failure::Failure, out::Out, progress::Progress, site::SiteArgs};
use crate::{
    audit::{Break, Head, Walk},
    trace::instant,
};

/// Prove that nobody changed the audit
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire audit verify                          every row follows from the one before it
  labwire audit verify --noted 5120:9f3c…       and what was noted down is still in it

Each row holds a hash of itself and of the row before it. Whoever can write to the database could
make all of them anew: note the newest one down elsewhere, as the log does at each start and stop.")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Walk the whole chain; exit code 1 where it does not hold
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire audit verify -c /etc/labwire/lab.toml
  labwire audit verify --noted 5120:9f3c…

Works while the bridge runs.")]
struct VerifyArgs {
    /// A row and its hash, as an earlier run or the log told it: it has to be in the chain
    #[arg(long, value_name = "ROW:HASH")]
    noted: Option<Head>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn run(args: &AuditArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::Verify(args) => verify(args, out),
    }
}

fn verify(args: &VerifyArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let mut store = site.reader()?;
    let mut walk = Walk::new(args.noted.clone());
    let mut progress = Progress::new(out);
    let end = loop {
        if let Some(end) = store.read(|db| walk.next_page(db))? {
            break end;
        }
        progress.at(walk.rows, walk.rows);
    };
    if let Some(last) = &walk.archived {
        out.line(format_args!(
            "Rows up to {} are in archives (`labwire archive list`); the chain goes on from the last of \
             them.",
            last.id
        ))?;
    }
    if walk.unchained > 0 && end.is_ok() {
        out.line(format_args!(
            "{} rows are older than the chain and prove nothing.",
            walk.unchained
        ))?;
    }
    let Err(found) = end else {
        out.line(format_args!(
            "{} rows, each follows from the one before it.",
            walk.rows
        ))?;
        if let Some(head) = walk.head() {
            out.line(format_args!("The newest, to be noted down: {head}"))?;
        }
        return Ok(Verdict::Clean);
    };
    match found {
        Break::NotFollowing { id, at, before } => {
            let at = instant(at, &site.zone);
            let before = before.map_or_else(
                || "it is the first".to_owned(),
                |before| format!("row {before} is before it"),
            );
            out.line(format_args!(
                "Row {id} of {at} does not follow from what stands before it ({before}): one of them \
                 was changed, or rows between them were taken out or put in."
            ))?;
        }
        Break::Unchained { id, at } => out.line(format_args!(
            "Row {id} of {} has no hash, though rows before it have: it was put in by somebody else.",
            instant(at, &site.zone)
        ))?,
        Break::NotArchived(head) => out.line(format_args!(
            "Rows up to {} are gone, and no row says that they were archived.",
            head.id
        ))?,
        Break::NotAsNoted(head) => out.line(format_args!(
            "Row {} is not there with the hash that was noted: the audit was made anew since.",
            head.id
        ))?,
    }
    out.line(format_args!(
        "{} rows before it hold. Compare with a backup, and ask who can write to the database.",
        walk.rows
    ))?;
    Ok(Verdict::Found)
}
