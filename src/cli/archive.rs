//! `labwire archive`: what left the store by its age.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{Verdict, failure::Failure, out::Out, site::SiteArgs};
use crate::{
    retention::{self, Archive},
    store::seal::{self, Keys},
    trace::instant,
};

/// What was archived by `[retention]`, and what is in it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire archive list                                    every file, and what left the store for it
  labwire archive verify --identity /mnt/usb/labwire.key  is every file what was written?
  labwire archive show 2501150042 --identity KEYFILE      everything about a tube

A file is gzip of lines of JSON, encrypted with age where the site has recipients: age -d and zcat open
it without Labwire. The key is needed for what is inside; without it `verify` compares the bytes of each
file with what the store wrote down.")]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every archive, oldest first
    #[command(after_help = "Example:\n  labwire archive list")]
    List(Common),
    /// Prove every archive; exit code 1 where one is missing or not what was written
    #[command(after_help = "Example:\n  labwire archive verify --identity /mnt/usb/labwire.key")]
    Verify(Common),
    /// Everything that archives have of a tube, as JSON
    #[command(
        after_help = "Example:\n  labwire archive show 2501150042 --identity /mnt/usb/labwire.key"
    )]
    Show {
        /// The barcode
        barcode: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The file with the secret key, where archives are encrypted
    #[arg(long, value_name = "KEYFILE")]
    identity: Option<PathBuf>,
    /// The folder of archives, instead of that of `[retention]`
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn run(args: &ArchiveArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::List(common) => list(common, out),
        What::Verify(common) => verify(common, out),
        What::Show { barcode, common } => show(barcode, common, out),
    }
}

impl Common {
    fn archives(&self) -> Result<Vec<Archive>, Failure> {
        let mut store = self.site.read()?.reader()?;
        Ok(store.read(retention::archives)?)
    }

    fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let site = self.site.read()?;
        let folder = site
            .loaded
            .map(|loaded| loaded.path(&loaded.lab.retention.folder));
        folder.ok_or_else(|| {
            Failure::Usage("no folder of archives: name one with --folder".to_owned())
        })
    }

    fn keys(&self) -> Result<Option<Keys>, Failure> {
        Ok(self.identity.as_deref().map(Keys::read).transpose()?)
    }
}

fn list(common: &Common, out: &mut Out) -> Result<Verdict, Failure> {
    let zone = common.site.read()?.zone;
    let all = common.archives()?;
    if all.is_empty() {
        out.line("Nothing was archived.")?;
    }
    for one in all {
        let counts = one.counts;
        let what = if one.kind == "audit" {
            format!("{} rows of the audit", counts.events)
        } else {
            format!(
                "{} messages, {} results, {} deliveries",
                counts.messages, counts.results, counts.deliveries
            )
        };
        out.line(format_args!(
            "{}  {what}, older than {}",
            one.file,
            instant(one.before, &zone)
        ))?;
    }
    Ok(Verdict::Clean)
}

fn verify(common: &Common, out: &mut Out) -> Result<Verdict, Failure> {
    let (folder, keys) = (common.folder()?, common.keys()?);
    let mut found = false;
    for one in common.archives()? {
        let path = folder.join(&one.file);
        let said = match prove(&path, &one.sha256, keys.as_ref()) {
            Ok(said) => said,
            Err(error) => {
                found = true;
                error
            }
        };
        out.line(format_args!("{}  {said}", one.file))?;
    }
    Ok(Verdict::found_if(found))
}

fn prove(path: &Path, sha256: &str, keys: Option<&Keys>) -> Result<String, String> {
    let bytes = seal::sha256(path).map_err(|error| error.to_string())?;
    if bytes != sha256 {
        return Err("its bytes are not those that were written".to_owned());
    }
    let is_encrypted = path.extension().is_some_and(|end| end == "age");
    if is_encrypted && keys.is_none() {
        return Ok("its bytes are those that were written".to_owned());
    }
    match retention::verify(path, keys) {
        Ok(units) => Ok(format!("whole, {units} units")),
        Err(error) => Err(error.to_string()),
    }
}

fn show(barcode: &str, common: &Common, out: &mut Out) -> Result<Verdict, Failure> {
    let (folder, keys) = (common.folder()?, common.keys()?);
    let mut store = common.site.read()?.reader()?;
    let files = store.read(|db| retention::of_tube(db, barcode))?;
    // After a crash a unit can be in two files; the later one is what left the store.
    let mut shown = BTreeSet::new();
    for file in files.iter().rev() {
        for found in retention::search(&folder.join(file), keys.as_ref(), barcode)? {
            let text = serde_json::to_string_pretty(&found.unit)
                .map_err(|_| Failure::Usage(format!("{file} cannot be shown")))?;
            if shown.insert(text.clone()) {
                out.line(format_args!("{file}\n{text}"))?;
            }
        }
    }
    Ok(Verdict::found_if(shown.is_empty()))
}
