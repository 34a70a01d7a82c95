//! `labwire profile learn`: listens to an unknown device, tells what it hears, drafts a profile.

mod ear;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    Verdict, demo,
    failure::Failure,
    out::Out,
    replay,
    site::{self, Files},
};
use crate::{
    config::{
        Catalogue, Problems,
        problem::{render, source},
    },
    learn::{Draft, Fit, Learner},
};

/// Listen to an unknown device, tell what it speaks, and draft a profile for it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire profile learn tcp-listen://0.0.0.0:5001                    only listen; Ctrl-C ends it
  labwire profile learn tcp-listen://0.0.0.0:5001 --journal new.raw  keep every byte, and acknowledge
  labwire profile learn serial:///dev/ttyUSB0?baud=9600 --for 5m
  labwire profile learn --from new.raw --name acme/one --out profiles

An acknowledgement is a promise: the device forgets what was acknowledged. So nothing is sent unless
--journal keeps every byte on disk first, or --acknowledge says that the results may be lost. What is
in the journal is nowhere else: labwire replay FILE reads it. A query is acknowledged, and not answered.

The draft is FOLDER/VENDOR/MODEL.toml, with the evidence beside every key. Names, ids, days of birth and
comments in its examples are invented; the journal has the real ones, keep it as you keep results.
Exit code 1 when no message was heard that a profile could be drafted from.")]
pub(crate) struct LearnArgs {
    /// Where the device is, as in lab.toml: tcp-listen://, tcp://, serial://, mllp-listen://, mllp://
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    port: Option<String>,
    /// Read a capture of raw bytes instead; - is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write every byte to this file before its acknowledgement, and acknowledge
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    journal: Option<PathBuf>,
    /// Acknowledge without keeping anything: what is acknowledged is lost
    #[arg(long, conflicts_with = "from")]
    acknowledge: bool,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000))]
    messages: Option<u32>,
    /// End after so long: 30s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = demo::length)]
    length: Option<Duration>,
    /// The folder of profiles in which the draft is written
    #[arg(long, value_name = "FOLDER", default_value = "profiles")]
    out: PathBuf,
    /// What the draft is called; without it, by the name that the device gives itself
    #[arg(long, value_name = "VENDOR/MODEL", value_parser = name)]
    name: Option<String>,
    /// Write over a profile of that name
    #[arg(long)]
    force: bool,
    /// The site's file, for its catalogue; without it the catalogue of the library
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The catalogue that comes with Labwire, where no site is named.
const CATALOGUE: &str = include_str!("../../config/catalogue.toml");
/// Profiles that are told of.
const FITS_TOLD: usize = 5;
/// Drafts of one name before a person has to choose one.
const NAMES_MAX: u32 = 99;

pub(crate) fn run(args: &LearnArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let catalogue = catalogue(args.config.as_deref())?;
    // What is refused is refused before anybody listens for an hour.
    if let Some(name) = &args.name {
        let path = path(&args.out, name);
        if path.exists() && !args.force {
            return Err(Failure::Usage(format!(
                "{} is there already: name another with --name, or write over it with --force",
                path.display()
            )));
        }
    }
    let mut learner = Learner::default();
    match (&args.from, &args.port) {
        (Some(file), _) => {
            for line in learner.take(0, &replay::read(file)?) {
                out.line(line)?;
            }
        }
        (None, Some(port)) => ear::listen(args, port, &mut learner, out)?,
        (None, None) => {
            return Err(Failure::Usage(
                "name a port, or a file with --from".to_owned(),
            ));
        }
    }
    for line in learner.finish() {
        out.line(line)?;
    }
    conclude(args, &learner, &catalogue, out)
}

fn catalogue(config: Option<&Path>) -> Result<Catalogue, Failure> {
    let Some(path) = config else {
        let file = source("catalogue.toml", CATALOGUE);
        return Ok(Catalogue::read(&file, &mut Problems::default()));
    };
    let files = Files::read(path);
    match files.loaded {
        Some(loaded) => Ok(loaded.catalogue),
        None => Err(site::unreadable(&files.problems)),
    }
}

fn conclude(
    args: &LearnArgs,
    learner: &Learner,
    catalogue: &Catalogue,
    out: &mut Out,
) -> Result<Verdict, Failure> {
    let port = args.port.as_deref().unwrap_or_default();
    let name = args.name.clone().unwrap_or_else(|| learner.name());
    let Some(draft) = learner.draft(&name, catalogue, port) else {
        out.line("no draft was written")?;
        return Ok(Verdict::Found);
    };
    let fits = learner.fits();
    tell_fits(&fits, out)?;
    if draft.problems.has_errors() {
        // What cannot be loaded is shown, and not written as if it could.
        out.text(render(&draft.problems, out.colour()))?;
        out.line("no draft was written")?;
        return Ok(Verdict::Found);
    }
    let (name, path) = write(args, &draft)?;
    out.line(format_args!("draft: {}", path.display()))?;
    if draft.left_out > 0 {
        out.line(format_args!(
            "{} examples were left out: they do not come back from the draft as they went in",
            draft.left_out
        ))?;
    }
    out.line("")?;
    tell_lines(args, &name, &fits, out)?;
    Ok(Verdict::Clean)
}

fn tell_fits(fits: &[Fit], out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    out.line("built-in profiles, the best first:")?;
    for fit in fits.iter().take(FITS_TOLD) {
        let named = if fit.is_named { ", by name" } else { "" };
        out.line(format_args!(
            "  {:<24} {} results, {} with their specimen, {} with a mapped code, {} doubtful, {} queries, \
             {} notes{named}",
            fit.profile,
            fit.results,
            fit.with_specimen,
            fit.mapped,
            fit.doubtful,
            fit.queries,
            fit.notes
        ))?;
    }
    out.line("")
}

/// What to write into `lab.toml`, with the draft and with what fits best.
fn tell_lines(args: &LearnArgs, name: &str, fits: &[Fit], out: &mut Out) -> Result<(), Failure> {
    let port = args.port.as_deref().unwrap_or("tcp-listen://0.0.0.0:5001");
    out.line("to try, in lab.toml:")?;
    if let Some(best) = fits.first() {
        out.line(format_args!(
            "  profile = \"{}\"    # built in\n  port = \"{port}\"",
            best.profile
        ))?;
    }
    out.line(format_args!(
        "or, with `profiles = \"{}\"` in [lab]:\n  profile = \"{name}\"    # the draft",
        args.out.display()
    ))
}

/// Writes the draft, over nothing that is there.
fn write(args: &LearnArgs, draft: &Draft) -> Result<(String, PathBuf), Failure> {
    for number in 1..=NAMES_MAX {
        let name = match number {
            1 => draft.name.clone(),
            _ => format!("{}-{number}", draft.name),
        };
        let path = path(&args.out, &name);
        match write_at(&path, draft.text.as_bytes(), args.force) {
            Ok(()) => return Ok((name, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Failure::CannotKeep { path, source }),
        }
    }
    Err(Failure::Usage(format!(
        "{NAMES_MAX} drafts of {} are there already: name another with --name",
        draft.name
    )))
}

fn write_at(path: &Path, text: &[u8], may_replace: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if may_replace {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

fn name(text: &str) -> Result<String, String> {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match text.split_once('/') {
        Some((vendor, model)) if is_word(vendor) && is_word(model) => Ok(text.to_owned()),
        _ => Err("write VENDOR/MODEL in letters, digits and -, such as acme/one".to_owned()),
    }
}
