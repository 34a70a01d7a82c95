//! The automation lines of a site: `[[track]]` with the files that it names.

use std::{collections::BTreeMap, fs, ops::Range, sync::Arc};

use jiff::tz::TimeZone;
use labwire_protocols::{
    charset::Charset,
    hl7::{self, Message},
};
use miette::NamedSource;

use crate::{
    config::{
        Loaded, Problems, Track,
        endpoint::ReadEndpoint,
        problem,
        read::{At, File},
    },
    track::{
        Time,
        adapter::{
            Read, Unplaced,
            hl7::read as read_chapter_13,
            mapping::{Form, Mapping},
        },
        model::{Commands, Line, ModuleNo},
    },
};

/// One automation line with what its files say.
#[derive(Clone, Debug)]
pub struct TrackSite {
    /// Its id.
    pub id: String,
    /// Modules, lanes, ways.
    pub line: Arc<Line>,
    /// What its records mean; `None` is HL7 chapter 13.
    pub mapping: Option<Arc<Mapping>>,
    /// The zone of its clock.
    pub zone: TimeZone,
    /// Its modules that are instruments of the site, by the instrument's id.
    pub instruments: BTreeMap<String, ModuleNo>,
}

impl TrackSite {
    /// What a message of the line says.
    pub fn read(&self, raw: &[u8], received: Time) -> Read {
        match &self.mapping {
            Some(mapping) => mapping.read(raw, &self.line, &self.zone, received),
            None => self.read_hl7(raw, received),
        }
    }

    fn read_hl7(&self, raw: &[u8], received: Time) -> Read {
        let unreadable = || Read {
            unplaced: vec![Unplaced::Message],
            ..Read::default()
        };
        let Some(text) = decode(raw) else {
            return unreadable();
        };
        let Ok((message, _)) = Message::parse(&text) else {
            return unreadable();
        };
        let read = labwire_protocols::automation::AutomationMessage::read(&message);
        let Ok((message, _)) = read else {
            return unreadable();
        };
        let mut read = read_chapter_13(&message, &self.line, &self.zone, received);
        if text.as_bytes() != raw {
            // Positions are those of the decoded text; the message as a whole is true of any.
            read.spans.fill(0..raw.len());
        }
        read
    }
}

/// The text of a message, in the character set that it names, or in UTF-8.
pub fn decode(raw: &[u8]) -> Option<String> {
    let named = hl7::charset::names(raw);
    let charset = named.first().and_then(|name| Charset::from_label(name));
    let text = charset.unwrap_or(Charset::Utf8).decode(raw).ok()?;
    Some(text.into_owned())
}

/// Reads every line that `lab.toml` names, and checks it against the rest of the site. A line whose
/// files are wrong is left out, and told.
pub fn load(
    loaded: &Loaded,
    endpoint: ReadEndpoint,
    problems: &mut Problems,
) -> Vec<Arc<TrackSite>> {
    let file = File::new(&loaded.lab.source);
    let mut sites = Vec::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for track in &loaded.lab.tracks {
        let Some(source) = open(loaded, &track.file, &file) else {
            continue;
        };
        let mapping = match &track.mapping {
            None => None,
            Some(name) => {
                let Some(own) = open(loaded, name, &file) else {
                    continue;
                };
                let Some(mapping) = Mapping::load(&own, problems) else {
                    continue;
                };
                Some(Arc::new(mapping))
            }
        };
        let Some(line) = Line::read(&source, problems) else {
            continue;
        };
        check_framing(track, mapping.as_deref(), endpoint, &file);
        if mapping.is_some() && line.limits.commands != Commands::None {
            file.error(
                "CONF-0316",
                track
                    .mapping
                    .as_ref()
                    .map(|at| at.span.clone())
                    .unwrap_or_default(),
                format!(
                    "`{}` takes commands, and a mapping file has none",
                    *track.id
                ),
                "records of its own",
                "write commands = \"none\" in the line's file; advice is shown to people",
            );
        }
        let own = File::new(&source);
        let instruments = instruments(loaded, &line, &track.id, (&own, &source, &mut owners));
        check_tests(loaded, &line, (&own, &source));
        problems.extend(own.into_problems());
        sites.push(Arc::new(TrackSite {
            id: track.id.to_string(),
            line: Arc::new(line),
            mapping,
            zone: loaded.lab.zone_named(track.timezone.as_deref()),
            instruments,
        }));
    }
    problems.extend(file.into_problems());
    sites
}

fn open(loaded: &Loaded, name: &At<String>, file: &File) -> Option<Arc<NamedSource<String>>> {
    if name.is_empty() {
        return None;
    }
    let path = loaded.path(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(problem::source(path.display().to_string(), text)),
        Err(error) => {
            file.error(
                "CONF-0001",
                name.span.clone(),
                format!("cannot read the line's file {}: {error}", path.display()),
                "this file",
                "the path is relative to lab.toml; begin with a copy of config/example/line.toml",
            );
            None
        }
    }
}

fn check_framing(track: &Track, mapping: Option<&Mapping>, endpoint: ReadEndpoint, file: &File) {
    let Ok(port) = endpoint(&track.port) else {
        return;
    };
    let (speaks, instead) = match mapping.map(|mapping| mapping.form) {
        None if !port.is_mllp => ("HL7 chapter 13", "mllp-listen:// or mllp://"),
        Some(Form::Hl7) if !port.is_mllp => ("HL7", "mllp-listen:// or mllp://"),
        Some(Form::Astm) if port.is_mllp => ("ASTM", "tcp-listen://, tcp:// or serial://"),
        None | Some(Form::Hl7 | Form::Astm | Form::Fields) => return,
    };
    file.error(
        "CONF-0315",
        track.port.span.clone(),
        format!(
            "the line `{}` speaks {speaks}, the port does not",
            *track.id
        ),
        "another kind of port",
        format!("write {instead}"),
    );
}

/// Which module is which `[[instrument]]`.
fn instruments(
    loaded: &Loaded,
    line: &Line,
    id: &str,
    (file, source, owners): (&File, &NamedSource<String>, &mut BTreeMap<String, String>),
) -> BTreeMap<String, ModuleNo> {
    let mut found = BTreeMap::new();
    for (no, module) in line
        .all()
        .filter(|(_, module)| !module.instrument.is_empty())
    {
        let name = &module.instrument;
        if loaded.lab.instrument(name).is_none() {
            let known: Vec<&str> = loaded
                .lab
                .instruments
                .iter()
                .map(|one| one.id.as_str())
                .collect();
            let help = match crate::config::did_you_mean(name, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write the id of an [[instrument]] of lab.toml".to_owned(),
            };
            file.error(
                "CONF-0313",
                place_of(source, name),
                format!(
                    "`{}` is the instrument `{name}`, which is not there",
                    module.id
                ),
                "in this file",
                help,
            );
            continue;
        }
        let place = format!("{} of {id}", module.id);
        if let Some(other) = owners.insert(name.clone(), place) {
            file.error(
                "CONF-0314",
                place_of(source, name),
                format!("`{}` and {other} are the instrument `{name}`", module.id),
                "in this file",
                "an instrument stands in one place: give each module its own",
            );
            continue;
        }
        found.insert(name.clone(), no);
    }
    found
}

/// A test that the catalogue does not have is never pending on any tube.
fn check_tests(loaded: &Loaded, line: &Line, (file, source): (&File, &NamedSource<String>)) {
    if loaded.catalogue.is_empty() {
        return;
    }
    for module in &line.modules {
        for test in module
            .tests
            .iter()
            .filter(|test| loaded.catalogue.test(test).is_none())
        {
            file.warning(
                "CONF-0317",
                place_of(source, test),
                format!(
                    "`{}` runs `{test}`, which is no test of the catalogue",
                    module.id
                ),
                "in this file",
                "no tube is ever routed here for it: write the catalogue's id",
            );
        }
    }
}

/// Where a file of a line first says a word.
fn place_of(source: &NamedSource<String>, word: &str) -> Range<usize> {
    let quoted = format!("\"{word}\"");
    let start = source.inner().find(&quoted).unwrap_or_default();
    start..start + quoted.len()
}
