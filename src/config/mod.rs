//! The files a site writes, read and checked before anything starts.
//!
//! Every mistake of every file is told at once ([`problem`]); nothing here stops at the first. The
//! file system, port strings, profile names and character sets come through [`Seams`].

pub mod alerts;
pub mod catalogue;
pub mod choice;
mod cross;
pub mod endpoint;
mod guard;
mod host;
mod instrument;
pub mod keeping;
pub mod lab;
pub mod problem;
pub mod read;
pub mod secret;
mod suggest;
mod track;
pub mod ucum;
pub mod units;

pub use self::{
    catalogue::Catalogue,
    cross::{check_profile_tests, is_transfusion_section},
    guard::Guard,
    host::{FieldPath, Host},
    instrument::Instrument,
    lab::LabConfig,
    problem::{Problem, Problems, render},
    suggest::{did_you_mean, one_of},
    track::Track,
};

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use self::{
    endpoint::ReadEndpoint,
    read::{At, File},
};

/// What reading a configuration needs from elsewhere.
pub struct Seams<'a> {
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Reads a port string.
    pub endpoint: ReadEndpoint,
    /// Whether a character set is known.
    pub charset: fn(&str) -> bool,
    /// The profiles that there are, as `vendor/model`; `None` leaves profile names unchecked.
    pub profiles: Option<Vec<String>>,
}

impl fmt::Debug for Seams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams")
            .field("profiles", &self.profiles)
            .finish_non_exhaustive()
    }
}

impl Default for Seams<'_> {
    /// The real file system; profile names unchecked.
    fn default() -> Self {
        Self {
            read: &|path| fs::read_to_string(path),
            endpoint: endpoint::read,
            charset: is_charset,
            profiles: None,
        }
    }
}

/// Character sets that devices in the field use.
fn is_charset(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "utf-8",
        "utf8",
        "ascii",
        "us-ascii",
        "iso-8859-1",
        "latin1",
        "iso-8859-2",
        "iso-8859-15",
        "windows-1250",
        "windows-1251",
        "windows-1252",
        "windows-1258",
        "cp437",
        "cp850",
        "gbk",
        "gb2312",
        "gb18030",
        "big5",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "tis-620",
    ];
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Everything that a site's files say.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// `lab.toml`.
    pub lab: LabConfig,
    /// The catalogue; empty where none is given.
    pub catalogue: Catalogue,
    /// The directory of `lab.toml`, against which its paths are read.
    pub base: PathBuf,
}

impl Loaded {
    /// A path of `lab.toml`, from where the process stands.
    pub fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }

    /// The directory of the site's own profiles, if there is one.
    pub fn profiles(&self) -> Option<PathBuf> {
        self.lab
            .lab
            .profiles
            .as_ref()
            .map(|written| self.path(written))
    }
}

/// Reads `lab.toml` and the catalogue that it names, and checks both. `None` only where `lab.toml`
/// itself cannot be read; whether the rest may be used, [`Problems::has_errors`] says.
pub fn load(path: &Path, seams: &Seams<'_>) -> (Option<Loaded>, Problems) {
    let mut problems = Problems::default();
    let text = match (seams.read)(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return (None, problems);
        }
    };
    let source = problem::source(path.display().to_string(), text);
    let lab = LabConfig::read(&source, seams, &mut problems);
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let file = File::new(&source);
    let catalogue = lab
        .lab
        .catalogue
        .as_ref()
        .map(|name| read_catalogue(&base, name, seams, &file, &mut problems))
        .unwrap_or_default();
    cross::check_catalogue(&lab, &catalogue, &file);
    problems.extend(file.into_problems());
    if let Some(source) = catalogue.source() {
        let file = File::new(source);
        cross::check_hosts(&lab, &catalogue, &file);
        problems.extend(file.into_problems());
    }
    (
        Some(Loaded {
            lab,
            catalogue,
            base,
        }),
        problems,
    )
}

fn read_catalogue(
    base: &Path,
    name: &At<String>,
    seams: &Seams<'_>,
    file: &File,
    problems: &mut Problems,
) -> Catalogue {
    let path = base.join(&name.value);
    match (seams.read)(&path) {
        Ok(text) => {
            let source = problem::source(path.display().to_string(), text);
            Catalogue::read(&source, problems)
        }
        Err(error) => {
            file.error(
                "CONF-0001",
                name.span.clone(),
                format!("cannot read the catalogue {}: {error}", path.display()),
                "this file",
                "the path is relative to lab.toml; leave `catalogue` out to run without one",
            );
            Catalogue::default()
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        code: "CONF-0001",
        message: format!("cannot read {}: {error}", path.display()),
        label: String::new(),
        help: "name the file with -c, such as -c lab.toml".to_owned(),
        source: None,
        span: None,
        is_warning: false,
    }
}

#[cfg(test)]
mod tests;
