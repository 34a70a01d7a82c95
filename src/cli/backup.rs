//! `labwire backup` and `labwire restore`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use labwire_drivers::{Clock as _, SystemClock};

use super::{Verdict, failure::Failure, out::Out, progress::Spinner, queue::actor, site::SiteArgs};
use crate::store;

/// Write a checked copy of the store, while the bridge runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire backup /mnt/backup/labwire-2026-03-10.db
  labwire backup -c /etc/labwire/lab.toml /mnt/backup/labwire.db

The copy is one moment of the store. It gets its name only after its check; a file that exists is
never overwritten. It holds patient data: keep it where the store itself may be kept.")]
pub(crate) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn back_up(args: &BackupArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let store = site.reader()?;
    let spinner = Spinner::start("copying and checking the store");
    store.backup(&args.file)?;
    drop(spinner);
    out.line(format_args!(
        "{} is a checked copy of the store",
        args.file.display()
    ))?;
    Ok(Verdict::Clean)
}

/// Put a backup in the place of the store; the bridge must be stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire restore /mnt/backup/labwire-2026-03-10.db
  labwire restore /mnt/backup/labwire-2026-03-10.db --replace --as lan

The backup is checked before anything is touched. With --replace the present store is kept beside the
restored one, under a name that ends in the time. What came in after the backup is not in it: ask
devices to send it again, and look at `labwire queue list` before the bridge starts.")]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Put the present store aside
    #[arg(long)]
    replace: bool,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn restore(args: &RestoreArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let now = SystemClock::default().utc_micros();
    let stamp = Timestamp::from_microsecond(now).unwrap_or_default();
    let aside = stamp.strftime("before-restore-%Y%m%dT%H%M%SZ").to_string();
    let actor = actor(args.actor.as_deref())?;
    let spinner = Spinner::start("checking and copying the backup");
    let kept = store::restore(
        &site.url,
        &store::Restore {
            from: &args.file,
            actor: &actor,
            now,
            replace: args.replace,
            aside: &aside,
        },
    )?;
    drop(spinner);
    out.line(format_args!("{} is the store now", args.file.display()))?;
    if let Some(kept) = kept {
        out.line(format_args!(
            "the former store is kept as {}",
            kept.display()
        ))?;
    }
    Ok(Verdict::Clean)
}
