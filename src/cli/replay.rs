//! `labwire replay`: what a captured device said, read with a profile.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value as Json;

use super::{
    Verdict,
    failure::Failure,
    out,
    out::Out,
    rerun, site,
    site::{Files, SiteArgs},
};
use crate::{
    config::{Loaded, did_you_mean},
    profile::{Catalogue, Decoded, Library, LineSettings, decode_capture, json_lines},
    trace::visible,
};

/// Decode a capture with a profile, or the journal again with today's profiles
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire replay xn.raw --profile sysmex/xn          a table for people
  labwire replay xn.raw --profile sysmex/xn --json   one JSON object a line
  labwire replay - --profile generic/hl7 < oru.hl7   from standard input
  labwire replay --since 7d -c lab.toml              what today's profiles would read otherwise

FILE is the device's side of the wire as raw bytes: ASTM with its frames or bare records, HL7 with or
without MLLP, vendors' wires as they are. A frame that would be refused is a line of kind `incomplete`;
exit code 0 means that the file was read. With --since, exit code 1 means that something would differ.")]
pub(crate) struct ReplayArgs {
    /// The capture; - is standard input
    #[arg(
        required_unless_present = "since",
        conflicts_with = "since",
        requires = "profile"
    )]
    file: Option<PathBuf>,
    /// The profile, such as sysmex/xn
    #[arg(long, value_name = "VENDOR/MODEL")]
    profile: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Read the journal again since: a day, an instant, or how long ago (90m, 24h, 7d)
    #[arg(long, value_name = "TIME", conflicts_with = "profile")]
    since: Option<String>,
    /// The site's file: its own profiles, its catalogue, its store
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store, instead of the one that the site's file names
    #[arg(long, value_name = "URL", requires = "since")]
    store: Option<String>,
}

pub(crate) fn run(args: &ReplayArgs, out: &mut Out) -> Result<Verdict, Failure> {
    if let Some(since) = &args.since {
        let config = args.config.clone().unwrap_or_else(|| "lab.toml".into());
        let site = SiteArgs {
            config,
            store: args.store.clone(),
        };
        return rerun::run(&site, since, out);
    }
    let (Some(file), Some(name)) = (&args.file, &args.profile) else {
        return Err(Failure::Usage(
            "name a capture and its profile: labwire replay FILE --profile sysmex/xn".to_owned(),
        ));
    };
    let (library, loaded) = library(args.config.as_deref())?;
    let Some(found) = library.get(name) else {
        return Err(unknown(name, &library));
    };
    let capture = read(file)?;
    let line = found.for_line(LineSettings {
        line: name.clone(),
        ..LineSettings::default()
    });
    let catalogue = loaded.as_ref().map(|loaded| &loaded.catalogue);
    let catalogue = catalogue.map(|catalogue| catalogue as &dyn Catalogue);
    let decoded = decode_capture(&line, catalogue, &capture);
    if args.json {
        for text in decoded.iter().flat_map(json_lines) {
            out.line(text)?;
        }
    } else {
        out.text(table(&decoded))?;
        for (message, note) in notes(&decoded) {
            out.line(format_args!("note on message {message}: {note}"))?;
        }
    }
    Ok(Verdict::Clean)
}

/// The profiles: those of the site too, where one is named.
fn library(config: Option<&Path>) -> Result<(Library, Option<Loaded>), Failure> {
    let Some(path) = config else {
        return Ok((Library::load(None).0, None));
    };
    let files = Files::read(path);
    let Some(loaded) = files.loaded else {
        return Err(site::unreadable(&files.problems));
    };
    if files.problems.has_errors() {
        let path = path.display();
        let count = files.problems.count();
        out::complain(&format!(
            "labwire: {count} in the files of the site, see labwire check -c {path}\n"
        ));
    }
    Ok((files.library, Some(loaded)))
}

fn unknown(name: &str, library: &Library) -> Failure {
    let names = library.names();
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let help = match did_you_mean(name, &words) {
        Some(word) => format!("did you mean {word}?"),
        None => format!("there are {}", words.join(", ")),
    };
    Failure::Usage(format!("there is no profile `{name}`: {help}"))
}

/// A capture of a week on a busy line is smaller; more would not fit beside what is decoded of it.
const CAPTURE_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |source| Failure::CannotRead {
        path: path.to_owned(),
        source,
    };
    let mut capture = Vec::new();
    let limit = CAPTURE_BYTES_MAX + 1;
    let length = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut capture)
    } else {
        let file = File::open(path).map_err(cannot)?;
        file.take(limit).read_to_end(&mut capture)
    };
    let length = length.map_err(cannot)?;
    if u64::try_from(length).is_ok_and(|length| length > CAPTURE_BYTES_MAX) {
        return Err(Failure::TooLong {
            path: path.to_owned(),
            limit_mb: CAPTURE_BYTES_MAX / (1_024 * 1_024),
        });
    }
    Ok(capture)
}

const COLUMNS: [&str; 11] = [
    "kind",
    "specimen",
    "code",
    "test",
    "text",
    "unit",
    "flags",
    "status",
    "measured_at",
    "held",
    "notes",
];

/// Characters of a cell that are shown.
const CELL_MAX: usize = 40;

fn table(decoded: &[Decoded]) -> String {
    let rows: Vec<[String; 11]> = decoded
        .iter()
        .flat_map(json_lines)
        .filter_map(|line| serde_json::from_str::<Json>(&line).ok())
        .map(|line| COLUMNS.map(|column| cell(line.get(column))))
        .collect();
    if rows.is_empty() {
        return "nothing in the file can be read as a message\n".to_owned();
    }
    let header = COLUMNS.map(str::to_owned);
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let cells = rows
                .iter()
                .chain([&header])
                .filter_map(|row| row.get(column));
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: Option<&Json>) -> String {
    let text = match value {
        None | Some(Json::Null) => "-".to_owned(),
        Some(Json::String(text)) => visible(text.as_bytes()),
        Some(Json::Array(all)) => all
            .iter()
            .filter_map(Json::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= CELL_MAX {
        return text;
    }
    let begin: String = text.chars().take(CELL_MAX - 1).collect();
    format!("{begin}…")
}

/// Notes on messages that have nothing in them to stand beside.
fn notes(decoded: &[Decoded]) -> impl Iterator<Item = (usize, &'static str)> {
    let empty = decoded
        .iter()
        .enumerate()
        .filter(|(_, one)| one.items.is_empty());
    empty.flat_map(|(at, one)| one.notes.iter().map(move |note| (at + 1, note.text)))
}
