//! All profiles: the built-in ones, and a site's own, which win.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Profile, load};
use crate::config::problem::{Problem, Problems};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every profile that comes with Labwire.
        pub const BUILT_IN: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/profiles/", $name, ".toml")),
        )),*];
    };
}

built_in! {
    "abbott/afinion",
    "abbott/alinity",
    "abbott/alinity-law",
    "abbott/architect",
    "abbott/cell-dyn-ruby",
    "abbott/i-stat",
    "beckman/access2",
    "beckman/au",
    "beckman/au480",
    "beckman/dxh",
    "beckman/dxh-500",
    "beckman/dxi",
    "biomerieux/vidas",
    "biorad/d10",
    "biorad/ih-com",
    "cepheid/genexpert",
    "diasorin/liaison",
    "erba/em200",
    "erba/xl",
    "generic/astm",
    "generic/hl7",
    "generic/law",
    "grifols/erytra",
    "horiba/pentra",
    "horiba/yumizen-h500",
    "immucor/galileo",
    "mindray/bc-3600",
    "mindray/bc-5000",
    "mindray/bc-6800",
    "mindray/bs",
    "mindray/cl",
    "nihon-kohden/celltac",
    "nihon-kohden/celltac-g",
    "ortho/vision",
    "ortho/vitros",
    "radiometer/abl",
    "roche/cobas-6000",
    "roche/cobas-c111",
    "roche/cobas-c311",
    "roche/cobas-e411",
    "roche/cobas-pro",
    "roche/cobas-x800",
    "siemens/atellica",
    "siemens/atellica-law",
    "siemens/centaur",
    "siemens/dca-vantage",
    "siemens/dimension",
    "siemens/immulite",
    "snibe/maglumi",
    "stago/sta",
    "sysmex/ca",
    "sysmex/cs",
    "sysmex/kx-21",
    "sysmex/xn",
    "sysmex/xn-l",
    "sysmex/xp",
    "sysmex/xt",
    "tosoh/aia",
    "werfen/acl-top",
    "werfen/gem-premier",
}

/// Every profile by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    profiles: BTreeMap<String, Arc<Profile>>,
}

impl Library {
    /// Reads the built-in profiles and those of a site's folder (`VENDOR/MODEL.toml`), each with
    /// all that is wrong with it. Examples are not run here; see [`run_examples`](super::run_examples).
    pub fn load(site: Option<&Path>) -> (Self, Problems) {
        let mut library = Self::default();
        let mut problems = Problems::default();
        for (name, text) in BUILT_IN {
            library.add(name, text, &mut problems);
        }
        for (name, path) in site
            .map(|site| files(site, &mut problems))
            .unwrap_or_default()
        {
            match fs::read_to_string(&path) {
                Ok(text) => library.add(&name, &text, &mut problems),
                Err(error) => problems.push(unreadable(&path, &error)),
            }
        }
        (library, problems)
    }

    fn add(&mut self, name: &str, text: &str, problems: &mut Problems) {
        let (profile, found) = load(name, text);
        problems.extend(found);
        match profile {
            Some(profile) => self.profiles.insert(name.to_owned(), Arc::new(profile)),
            // A broken file of a site must not fall back to the built-in one of its name.
            None => self.profiles.remove(name),
        };
    }

    /// The profile of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        self.profiles.keys().cloned().collect()
    }
}

/// The profile files of a site, by name.
fn files(site: &Path, problems: &mut Problems) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for vendor in entries(site, problems)
        .into_iter()
        .filter(|path| path.is_dir())
    {
        for file in entries(&vendor, problems) {
            let is_profile = file.extension().is_some_and(|ending| ending == "toml");
            let names = (
                vendor.file_name().and_then(|n| n.to_str()),
                file.file_stem().and_then(|n| n.to_str()),
            );
            if let (true, (Some(vendor), Some(model))) = (is_profile, names) {
                found.push((format!("{vendor}/{model}"), file));
            }
        }
    }
    found
}

fn entries(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut paths: Vec<_> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            paths.sort();
            paths
        }
        Err(error) => {
            problems.push(unreadable(folder, &error));
            Vec::new()
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        code: "PROF-0200",
        message: format!("read {}: {error}", path.display()),
        label: String::new(),
        help: "check that the file is there and may be read".to_owned(),
        source: None,
        span: None,
        is_warning: false,
    }
}
