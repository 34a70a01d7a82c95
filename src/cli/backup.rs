//! `labwire backup` and `labwire restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use labwire_drivers::{Clock as _, SystemClock};

use super::{
    Verdict,
    failure::Failure,
    out::{Out, complain},
    progress::Spinner,
    queue::actor,
    site::{Site, SiteArgs},
};
use crate::{
    backups::{self, Plan},
    config::{self, Seams},
    store::{
        self, Backup, Beside,
        seal::{self, Keys, Recipients, Seal},
    },
};

/// Write a checked copy of the store, while the bridge runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire backup --new-key /mnt/usb/labwire.key     a key; write what it prints into lab.toml:
                                                    [backup] recipients = [\"age1…\"]
  labwire backup                                    into the folder of [backup]
  labwire backup /mnt/backup/before-upgrade.age     into this file

With recipients the copy is encrypted (age) as it is written, and no plain one is ever on the disk. It
fits either database. Without, it is a plain file: of SQLite a file of SQLite. It is one moment of the
store, and gets its name only after all of it was read again; a file that exists is never overwritten.
The key that opens it belongs neither on this machine nor beside the backups: without it nobody can
restore them, so keep two copies of it. Try it: labwire restore FILE --identity KEYFILE --check")]
pub(crate) struct BackupArgs {
    /// The file to write; without it, one in the folder of `[backup]`
    file: Option<PathBuf>,
    /// Make a key that opens backups, and print the recipient that belongs to it
    #[arg(long, value_name = "KEYFILE", conflicts_with = "file")]
    new_key: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn back_up(args: &BackupArgs, out: &mut Out) -> Result<Verdict, Failure> {
    if let Some(path) = &args.new_key {
        let public = seal::new_key(path)?;
        out.line(format_args!("{public}"))?;
        return Ok(Verdict::Clean);
    }
    let site = args.site.read()?;
    let now = SystemClock::default().utc_micros();
    let plan = plan(&args.site, &site)?;
    let backup = match (&args.file, &plan.folder) {
        (Some(file), _) => Backup {
            to: file.clone(),
            recipients: plan.recipients,
            now,
        },
        (None, Some(folder)) => {
            backups::make_folder(&folder.folder)?;
            folder.backup(now)
        }
        (None, None) => {
            let why = "no file to write: name one, or write [backup] folder in lab.toml";
            return Err(Failure::Usage(why.to_owned()));
        }
    };
    let beside = site.reader()?;
    let spinner = Spinner::start("copying and checking the store");
    let seal = beside.backup(&backup)?;
    drop(spinner);
    let kind = if seal.is_encrypted {
        "encrypted"
    } else {
        "plain"
    };
    out.line(format_args!(
        "{} is a checked copy of the store ({kind}, {} bytes, SHA-256 {})",
        backup.to.display(),
        seal.bytes,
        seal.sha256
    ))?;
    note(&site, &backup, &seal);
    if let (None, Some(folder)) = (&args.file, &plan.folder) {
        folder.rotate().map_err(|source| Failure::CannotKeep {
            path: folder.folder.clone(),
            source,
        })?;
    }
    Ok(Verdict::Clean)
}

/// What the site says of backups.
struct Wanted {
    recipients: Recipients,
    folder: Option<Plan>,
}

/// With `--store` the site's file still says whom backups are for, if it is there.
fn plan(args: &SiteArgs, site: &Site) -> Result<Wanted, Failure> {
    let again;
    let loaded = match &site.loaded {
        None if args.config.is_file() => {
            again = config::load(&args.config, &Seams::default()).0;
            again.as_ref()
        }
        loaded => loaded.as_ref(),
    };
    let Some(loaded) = loaded else {
        return Ok(Wanted {
            recipients: Recipients::default(),
            folder: None,
        });
    };
    let recipients = loaded.lab.backup.keys().map_err(|_| {
        let why = "[backup] recipients holds something that is no public key: see `labwire check`";
        Failure::Usage(why.to_owned())
    })?;
    Ok(Wanted {
        recipients,
        folder: Plan::of(loaded),
    })
}

/// The copy is there; that it cannot be written down is worth a word and no failure.
fn note(site: &Site, backup: &Backup, seal: &Seal) {
    let by = actor(None).unwrap_or_else(|_| "command line".to_owned());
    let noted = Beside::writer(&site.url)
        .and_then(|mut store| store.transact(|db| backups::note(db, backup, seal, &by)));
    if let Err(error) = noted {
        complain(&format!(
            "labwire: the store does not know of this backup: {error} [{}]\n",
            error.code()
        ));
    }
}

/// Put a backup in the place of the store; the bridge must be stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire restore labwire-20260310T023000Z.jsonl.gz.age --identity /mnt/usb/labwire.key --check
  labwire restore labwire-20260310T023000Z.jsonl.gz.age --identity /mnt/usb/labwire.key
  labwire restore /mnt/backup/labwire-2026-03-10.db --replace --as lan

All of the backup is read before anything is touched. With --replace the present store is kept beside the
restored one, under a name that ends in the time; a database of PostgreSQL has to be empty. Any backup
fits either database, and one of an older labwire is brought up to date. What came in after the backup is
not in it: ask devices to send it again, and look at `labwire queue list` before the bridge starts.")]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// The file with the secret key, where the backup is encrypted
    #[arg(long, value_name = "KEYFILE")]
    identity: Option<PathBuf>,
    /// Only prove that it can be restored
    #[arg(long, conflicts_with = "replace")]
    check: bool,
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
    let keys = args.identity.as_deref().map(Keys::read).transpose()?;
    if args.check {
        return check(&args.file, keys.as_ref(), out);
    }
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
            keys: keys.as_ref(),
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

fn check(file: &Path, keys: Option<&Keys>, out: &mut Out) -> Result<Verdict, Failure> {
    let spinner = Spinner::start("reading the backup");
    store::check_backup(file, keys)?;
    drop(spinner);
    out.line(format_args!("{} can be restored", file.display()))?;
    Ok(Verdict::Clean)
}
