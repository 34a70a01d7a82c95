//! The site as it runs: hosts, lines, catalogue and rules, resolved once and shared.

use std::{collections::BTreeMap, sync::Arc};

use jiff::tz::TimeZone;

use crate::{
    book::BookPatient,
    calls::Critical,
    config::{
        Catalogue, LabConfig,
        choice::{Orders, Unmapped, Verifiers},
        is_transfusion_section,
    },
    host::{HostSite, Laboratory},
    model::{Observation, blood::BloodTest},
    profile::{Learned, Library, LineProfile, LineSettings, Profile},
    settle::SiteRules,
    tubes::{site::TrackSite, whereabouts::OnLine},
    worklist,
};

/// One device line.
#[derive(Clone, Debug)]
pub struct LineSite {
    /// Its id.
    pub id: String,
    /// What the device is, with the site's own settings over it.
    pub profile: LineProfile,
    /// The zone of its clock.
    pub zone: TimeZone,
    /// Whether orders are sent to it without its asking.
    pub is_told: bool,
    is_transfusion: bool,
}

/// Everything of the configuration that work needs.
#[derive(Clone, Debug)]
pub struct Site {
    /// The laboratory.
    pub laboratory: Laboratory,
    /// Hosts by id.
    pub hosts: BTreeMap<String, Arc<HostSite>>,
    /// Device lines by id.
    pub lines: BTreeMap<String, Arc<LineSite>>,
    /// What people mapped beside the files; every line's profile reads it.
    pub learned: Arc<Learned>,
    /// Whether a result of blood transfusion is released by two verifiers.
    pub transfusion_by_two: bool,
    /// Automation lines by id.
    pub tracks: BTreeMap<String, Arc<TrackSite>>,
}

/// Microseconds in a day.
const DAY: i64 = 24 * 3_600 * 1_000_000;

impl Site {
    /// Resolves a checked configuration. Lines whose profile is missing are left out; the check
    /// has told of them.
    pub fn new(lab: &LabConfig, catalogue: Arc<Catalogue>, library: &Library) -> Self {
        let learned = Arc::new(Learned::default());
        let lines: BTreeMap<String, Arc<LineSite>> = lab
            .instruments
            .iter()
            .filter_map(|instrument| {
                let profile = library.get(&instrument.profile)?;
                let zone = lab.timezone_of(instrument);
                let settings = LineSettings::of(instrument, zone.clone(), &catalogue);
                let id = instrument.id.to_string();
                let line = LineSite {
                    is_told: is_told(profile, instrument.orders),
                    id: id.clone(),
                    profile: profile.for_line(settings).with_learned(&learned),
                    zone,
                    is_transfusion: is_transfusion_section(&instrument.section),
                };
                Some((id, Arc::new(line)))
            })
            .collect();
        let catalogue = Some(catalogue).filter(|catalogue| !catalogue.is_empty());
        let laboratory = Laboratory {
            measured: measured(lab, catalogue.is_some()),
            catalogue,
            zone: lab.lab.zone(),
            specimen_age_max: i64::from(lab.lab.specimen_days) * DAY,
        };
        let hosts = lab
            .hosts
            .iter()
            .map(|host| {
                (
                    host.id.to_string(),
                    Arc::new(HostSite::new(host, &laboratory)),
                )
            })
            .collect();
        Self {
            laboratory,
            hosts,
            lines,
            learned,
            transfusion_by_two: lab.lab.transfusion_release == Verifiers::Two,
            tracks: BTreeMap::new(),
        }
    }

    /// The same with its automation lines.
    #[must_use]
    pub fn with_tracks(self, tracks: Vec<Arc<TrackSite>>) -> Self {
        let named = tracks.into_iter().map(|track| (track.id.clone(), track));
        Self {
            tracks: named.collect(),
            ..self
        }
    }
}

/// A device that can ask is not told as well, unless the site wants it.
fn is_told(profile: &Profile, orders: Orders) -> bool {
    let can = profile
        .answer
        .as_ref()
        .is_some_and(|answer| answer.download.broadcast);
    match orders {
        Orders::Auto => can && profile.query.id.is_empty(),
        Orders::Query => false,
        Orders::Download | Orders::Both => can,
    }
}

/// Test ids that some line gives without the catalogue: with one, only its own tests count; `None`
/// when a line passes every code.
fn measured(lab: &LabConfig, has_catalogue: bool) -> Option<Vec<String>> {
    if lab
        .instruments
        .iter()
        .any(|instrument| *instrument.unmapped == Unmapped::Pass)
    {
        return None;
    }
    if has_catalogue {
        return Some(Vec::new());
    }
    let by_site = lab
        .instruments
        .iter()
        .flat_map(|instrument| &instrument.tests);
    Some(by_site.map(|(_, test)| test.value.clone()).collect())
}

impl SiteRules for Site {
    fn releases_automatically(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.releases)
    }

    fn posts_extras(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.posts_extras)
    }

    fn posts_unordered(&self, _line: &str) -> Option<String> {
        let mut posting = self.hosts.values().filter(|host| host.posts_unordered);
        // Two hosts that both want it: nobody says whose patient it is, so it waits.
        match (posting.next(), posting.next()) {
            (Some(only), None) => Some(only.id.clone()),
            _ => None,
        }
    }

    fn asks_about_every_tube(&self, line: &str) -> bool {
        self.lines.get(line).is_some_and(|line| !line.is_told)
    }

    fn blood(&self, test: &str) -> Option<&BloodTest> {
        let catalogue = self.laboratory.catalogue.as_ref()?;
        catalogue.test(test)?.blood.as_ref()
    }

    fn critical(
        &self,
        observation: &Observation,
        patient: Option<&BookPatient>,
        at: i64,
    ) -> Option<Critical> {
        worklist::beyond_limit(self, observation, patient, at)
    }

    fn fits_tube(&self, test: &str, types: &[&str]) -> Option<bool> {
        let catalogue = self.laboratory.catalogue.as_ref()?;
        catalogue.fits_tube(test, types)
    }

    fn is_transfusion(&self, line: &str, test: &str) -> bool {
        self.lines.get(line).is_some_and(|line| line.is_transfusion)
            || self
                .laboratory
                .catalogue
                .as_ref()
                .is_some_and(|catalogue| catalogue.is_transfusion(test))
    }

    fn has_tracks(&self) -> bool {
        !self.tracks.is_empty()
    }

    fn on_track(&self, line: &str) -> Option<OnLine<'_>> {
        self.tracks.values().find_map(|track| {
            let module = track.line.module(*track.instruments.get(line)?);
            (!module.fed_by_hand).then_some(OnLine {
                line: &track.id,
                module: &module.id,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Seams};

    /// The site of a `lab.toml` from memory.
    fn site(text: &str) -> Site {
        let seams = Seams {
            read: &|_| Ok(text.to_owned()),
            ..Seams::default()
        };
        let (loaded, problems) = config::load(Path::new("lab.toml"), &seams);
        assert!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let loaded = loaded.expect("a configuration without problems");
        let (library, _) = Library::load(None);
        Site::new(&loaded.lab, Arc::new(loaded.catalogue), &library)
    }

    #[test]
    fn without_a_catalogue_a_site_offers_and_orders_only_what_its_lines_map() {
        let instrument = "[[instrument]]\nid = \"xn\"\nprofile = \"sysmex/xn\"\n\
                          port = \"tcp-listen://127.0.0.1:5001\"\n";
        let bare = site(instrument);
        assert_eq!(bare.laboratory.measured, Some(Vec::new()));
        assert!(bare.lines["xn"].profile.codes_of("WBC").is_empty());
        let mapped = site(&format!("{instrument}tests = {{ \"WBC\" = \"BC\" }}\n"));
        assert_eq!(mapped.laboratory.measured, Some(vec!["BC".to_owned()]));
        assert_eq!(mapped.lines["xn"].profile.codes_of("BC"), ["WBC"]);
        assert!(mapped.lines["xn"].profile.codes_of("RBC").is_empty());
    }

    #[test]
    fn a_section_that_check_takes_for_transfusion_is_never_released_by_itself() {
        let check = |section: &str, expected: bool| {
            let instrument = format!(
                "[[instrument]]\nid = \"one\"\nprofile = \"generic/astm\"\n\
                 port = \"tcp-listen://127.0.0.1:5001\"\nsection = \"{section}\"\n\
                 tests = {{ \"ABO\" = \"ABO\" }}\n"
            );
            let is_transfusion = site(&instrument).is_transfusion("one", "ABO");
            assert_eq!(is_transfusion, expected, "{section}");
        };
        for section in [
            "transfusion",
            "Transfusion",
            "blood-transfusion",
            "blood transfusion",
            "blood-bank",
            "Blood_Bank",
            "immunohaematology",
        ] {
            check(section, true);
        }
        for section in ["", "haematology", "bloodcount", "immunology"] {
            check(section, false);
        }
    }
}
