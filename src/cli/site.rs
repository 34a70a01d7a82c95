//! Which site a command is about: its files, its store, its zone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use jiff::tz::TimeZone;
use labwire_drivers::endpoint::{self, Endpoint, Framing};
use labwire_protocols::charset::Charset;

use super::failure::Failure;
use crate::{
    config::{
        self, Instrument, Loaded, Problems, Seams,
        endpoint::{Endpoint as Understood, EndpointKind},
    },
    profile::{Library, LineProfile, LineSettings},
    store::{Beside, StoreError},
    tubes::{self, site::TrackSite},
};

/// The site, as every command names it.
#[derive(Clone, Debug, Args)]
pub(crate) struct SiteArgs {
    /// The site's file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "lab.toml"
    )]
    pub(crate) config: PathBuf,
    /// The store, instead of the one that the site's file names, such as sqlite:labwire.db
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

/// A site whose store is to be read or changed; that other things in its files are wrong does not
/// matter then.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The store's address, relative to where the process stands.
    pub(crate) url: String,
    /// The zone of people.
    pub(crate) zone: TimeZone,
    /// The site's files, where they were read.
    pub(crate) loaded: Option<Loaded>,
}

impl SiteArgs {
    /// Reads the site's file, as far as it can be read.
    pub(crate) fn read(&self) -> Result<Site, Failure> {
        if let Some(url) = &self.store {
            return Ok(Site {
                url: url.clone(),
                zone: TimeZone::system(),
                loaded: None,
            });
        }
        let (loaded, problems) = config::load(&self.config, &Seams::default());
        let Some(loaded) = loaded else {
            return Err(unreadable(&problems));
        };
        Ok(Site {
            url: store_url(&loaded),
            zone: loaded.lab.lab.zone(),
            loaded: Some(loaded),
        })
    }
}

impl Site {
    /// The store, for reading, beside a bridge that may be running.
    pub(crate) fn reader(&self) -> Result<Beside, StoreError> {
        Beside::reader(&self.url)
    }
}

pub(crate) fn unreadable(problems: &Problems) -> Failure {
    let list = problems.iter().map(|problem| {
        let help = if problem.help.is_empty() {
            String::new()
        } else {
            format!(": {}", problem.help)
        };
        format!("{}{help}", problem.message)
    });
    Failure::Files {
        list: list.collect::<Vec<_>>().join("; "),
    }
}

/// The store's address; a relative path lies beside `lab.toml`.
pub fn store_url(loaded: &Loaded) -> String {
    match loaded.lab.store.url.strip_prefix("sqlite:") {
        Some(path) if !path.starts_with('/') && !path.starts_with(':') => {
            format!("sqlite:{}", loaded.path(path).display())
        }
        _ => loaded.lab.store.url.to_string(),
    }
}

/// Everything that a site's files say, read with everything that this program knows.
#[derive(Debug)]
pub struct Files {
    /// `lab.toml` and the catalogue; `None` when `lab.toml` cannot be read.
    pub loaded: Option<Loaded>,
    /// Built-in profiles and the site's own.
    pub library: Library,
    /// The automation lines that can be used.
    pub tracks: Vec<Arc<TrackSite>>,
    /// What is wrong with any of them.
    pub problems: Problems,
}

impl Files {
    /// Reads `lab.toml`, the catalogue and the profiles.
    pub fn read(path: &Path) -> Self {
        // Where the site's profiles are stands in the file whose profile names are to be checked.
        let (first, _) = config::load(path, &Seams::default());
        let folder = first.as_ref().and_then(Loaded::profiles);
        let (library, of_profiles) = Library::load(folder.as_deref());
        let mut names = library.names();
        // A profile that is there and wrong is told about where it is wrong, and is not unknown.
        let broken = of_profiles.iter().filter_map(|problem| {
            let name = problem.source.as_ref()?.name().strip_suffix(".toml")?;
            Some(name.to_owned())
        });
        names.extend(broken);
        names.sort();
        names.dedup();
        let seams = Seams {
            endpoint: read_endpoint,
            charset: |name| Charset::from_label(name).is_some(),
            profiles: Some(names),
            ..Seams::default()
        };
        let (loaded, mut problems) = config::load(path, &seams);
        problems.extend(of_profiles);
        let tracks = match &loaded {
            Some(loaded) => tubes::site::load(loaded, read_endpoint, &mut problems),
            None => Vec::new(),
        };
        Self {
            tracks,
            loaded,
            library,
            problems,
        }
    }
}

/// Reads a port string with the words of the module that will open it.
fn read_endpoint(text: &str) -> Result<Understood, String> {
    let (framing, endpoint) = endpoint::parse(text).map_err(|error| error.to_string())?;
    let is_tls = endpoint.tls_side().is_some();
    let (kind, address) = match endpoint {
        Endpoint::TcpListen(at) | Endpoint::TlsListen(at) => (EndpointKind::Listen, at),
        Endpoint::TcpConnect(to) | Endpoint::TlsConnect(to) => (EndpointKind::Connect, to),
        Endpoint::Serial(settings) => (EndpointKind::Serial, settings.path.display().to_string()),
    };
    Ok(Understood {
        kind,
        is_mllp: framing == Framing::Mllp,
        is_tls,
        address,
    })
}

/// What a line's device says, read with the settings of its site; `None` without its profile.
pub fn line_profile(
    loaded: &Loaded,
    instrument: &Instrument,
    library: &Library,
) -> Option<LineProfile> {
    let zone = loaded.lab.timezone_of(instrument);
    let settings = LineSettings::of(instrument, zone, &loaded.catalogue);
    Some(library.get(&instrument.profile)?.for_line(settings))
}
