//! A profile with the settings of one line laid over it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::tz::TimeZone;
use labwire_protocols::charset::Charset;

use super::{Learned, Pattern, Profile, TestRule, TextRules};
use crate::config::{
    Instrument, catalogue,
    choice::Unmapped,
    problem::{Problem, Problems},
    read::At,
    units::{UnitProof, prove_catalogue},
};
use crate::model::blood::Meaning;

/// What `lab.toml` says of one line, beyond naming its profile.
#[derive(Clone, Debug, Default)]
pub struct LineSettings {
    /// The line's id; it stands for the instrument where the device names none.
    pub line: String,
    /// Overrides the profile's character set, and MSH-18 too.
    pub charset: Option<Charset>,
    /// What happens to a code that neither the profile nor the site maps.
    pub unmapped: Unmapped,
    /// Instrument code = catalogue test; goes before the profile's own table.
    pub tests: BTreeMap<String, String>,
    /// Instrument code = UCUM of what comes without a unit; goes before the profile's own.
    pub units: BTreeMap<String, String>,
    /// The site has no catalogue, so that no mapping of the profile is active: what a code means
    /// there, the site has said in `tests`, or the code passes as it is.
    pub has_own_tests_alone: bool,
    /// What the device of this line writes in H.5 or MSH-3, whole field; goes before the profile's.
    pub sender: Vec<Pattern>,
    /// The zone of the device's clock; without one, its times stay texts.
    pub zone: Option<TimeZone>,
}

/// What [`decode`](super::decode()) and [`answer`](super::answer::answer) work with.
#[derive(Clone, Debug)]
pub struct LineProfile {
    pub(super) profile: Arc<Profile>,
    pub(super) settings: LineSettings,
    /// The profile's entries in the order of their codes: every result looks for its own.
    by_code: Arc<[usize]>,
    /// What people mapped beside the files.
    learned: Arc<Learned>,
}

/// What the laboratory knows of its tests.
pub trait Catalogue {
    /// Whether the test is one of its own.
    fn has(&self, test: &str) -> bool;
    /// The unit of its results, in UCUM; `None` for tests without one.
    fn unit(&self, test: &str) -> Option<&str>;
    /// The code that a result text stands for.
    fn coded(&self, test: &str, text: &str) -> Option<String>;
    /// Whether a code says something that the test can mean, where that is laid down.
    fn says(&self, _test: &str, _code: &str) -> bool {
        true
    }
}

impl LineSettings {
    /// What `lab.toml` says of an instrument whose clock runs in `zone`, at a site with these tests.
    pub fn of(instrument: &Instrument, zone: TimeZone, tests: &crate::config::Catalogue) -> Self {
        let pair =
            |(code, test): &(At<String>, At<String>)| (code.value.clone(), test.value.clone());
        Self {
            line: instrument.id.value.clone(),
            charset: instrument
                .charset
                .as_ref()
                .and_then(|label| Charset::from_label(label)),
            unmapped: instrument.unmapped.value,
            tests: instrument.tests.iter().map(pair).collect(),
            units: instrument.units.iter().map(pair).collect(),
            has_own_tests_alone: tests.is_empty(),
            sender: instrument
                .sender
                .iter()
                .map(|pattern| Pattern::new(pattern))
                .collect(),
            zone: Some(zone),
        }
    }
}

impl Catalogue for catalogue::Catalogue {
    fn has(&self, test: &str) -> bool {
        self.test(test).is_some()
    }

    fn unit(&self, test: &str) -> Option<&str> {
        self.test(test)?.unit.as_ref().map(|unit| unit.as_str())
    }

    fn coded(&self, test: &str, text: &str) -> Option<String> {
        self.test(test)?.coded(text).map(str::to_owned)
    }

    fn says(&self, test: &str, code: &str) -> bool {
        let blood = self.test(test).and_then(|test| test.blood.as_ref());
        blood.is_none_or(|blood| blood.meaning(Some(code)) != Meaning::Unreadable)
    }
}

impl Profile {
    /// The profile as one line uses it.
    pub fn for_line(self: &Arc<Self>, settings: LineSettings) -> LineProfile {
        let code_of = |index: &usize| self.tests.get(*index).map(|rule| rule.code.as_str());
        let mut by_code: Vec<usize> = (0..self.tests.len()).collect();
        // Stable: entries of one code stay in the order of the file.
        by_code.sort_by(|a, b| code_of(a).cmp(&code_of(b)));
        LineProfile {
            profile: Arc::clone(self),
            settings,
            by_code: by_code.into(),
            learned: Arc::default(),
        }
    }
}

impl LineProfile {
    /// The profile beneath.
    pub const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The same line with what people mapped beside the files.
    #[must_use]
    pub fn with_learned(mut self, learned: &Arc<Learned>) -> Self {
        self.learned = Arc::clone(learned);
        self
    }

    /// What people mapped beside the files.
    pub const fn learned(&self) -> &Arc<Learned> {
        &self.learned
    }

    /// The catalogue's test for an instrument code by the files alone; `None` where they have none.
    pub fn test_by_files(&self, code: &str) -> Option<String> {
        let by_site = self.settings.tests.get(code).cloned();
        let by_profile = || self.of_profile(self.rule(code, &[])?);
        by_site.or_else(by_profile)
    }

    /// The UCUM unit that results of a code must be in: the catalogue's, else the profile's.
    pub fn unit_wanted(&self, code: &str, catalogue: Option<&str>) -> Option<String> {
        let by_rule = || self.rule(code, &[])?.units.values().next().cloned();
        catalogue.map(str::to_owned).or_else(by_rule)
    }

    /// The UCUM unit that people gave to a spelling of this line.
    pub(super) fn learned_unit(&self, code: &str, sent: &str) -> Option<String> {
        self.learned.unit(&self.settings.line, code, sent)
    }

    /// The line's own settings.
    pub const fn settings(&self) -> &LineSettings {
        &self.settings
    }

    pub(super) fn text(&self) -> TextRules {
        let rules = &self.profile.text;
        match self.settings.charset {
            Some(charset) => TextRules {
                charset,
                from_message: false,
                ..rules.clone()
            },
            None => rules.clone(),
        }
    }

    /// The catalogue's test for an instrument code; `None` where nobody mapped it.
    pub(super) fn test(&self, code: &str, rule: Option<&TestRule>) -> Option<String> {
        let by_site = self.settings.tests.get(code).cloned();
        let pass = || {
            (self.settings.unmapped == Unmapped::Pass && !code.is_empty()).then(|| code.to_owned())
        };
        by_site
            .or_else(|| self.learned.test(&self.settings.line, code))
            .or_else(|| self.of_profile(rule?))
            .or_else(pass)
    }

    /// What the profile maps the code to, where its mappings are active.
    fn of_profile(&self, rule: &TestRule) -> Option<String> {
        (!self.settings.has_own_tests_alone).then(|| rule.test.clone())
    }

    /// The profile's entry for a code; one with qualifiers goes before one without.
    pub(super) fn rule(&self, code: &str, qualifiers: &[String]) -> Option<&TestRule> {
        let entry = |index: &usize| self.profile.tests.get(*index);
        let is_before = |index: &usize| entry(index).is_some_and(|rule| rule.code.as_str() < code);
        let start = self.by_code.partition_point(is_before);
        let behind = self.by_code.iter().skip(start).map_while(entry);
        let mut usual = None;
        for rule in behind.take_while(|rule| rule.code == code) {
            match &rule.qualifiers {
                Some(own) if own == qualifiers => return Some(rule),
                Some(_) => {}
                None => usual = usual.or(Some(rule)),
            }
        }
        usual
    }

    /// The unit, in UCUM, of results that come without one, where the site or the profile says it.
    pub(super) fn declared_unit<'l>(
        &'l self,
        code: &str,
        rule: Option<&'l TestRule>,
    ) -> Option<&'l str> {
        let by_site = self.settings.units.get(code).map(String::as_str);
        let by_profile = rule.map(|rule| rule.unit.as_str());
        by_site.or(by_profile).filter(|unit| !unit.is_empty())
    }

    /// Whether results of a code never have the unit that the catalogue wants: the profile has no
    /// place for one, and nobody says it.
    pub fn lacks_unit(&self, code: &str, catalogue: &dyn Catalogue) -> bool {
        let rule = self.rule(code, &[]);
        let test = self.test(code, rule);
        let has_unit = test.is_some_and(|test| catalogue.unit(&test).is_some());
        let is_declared = self.declared_unit(code, rule).is_some();
        has_unit && self.profile.result.unit.is_empty() && !is_declared
    }

    /// The instrument codes that measure a catalogue test, in the order of the files: what to write
    /// into an order. Empty: this device does not do the test.
    pub fn codes_of(&self, test: &str) -> Vec<String> {
        let site = &self.settings.tests;
        let by_site = site
            .iter()
            .filter(|(_, own)| *own == test)
            .map(|(code, _)| self.ordered(code, self.rule(code, &[])));
        let learned = self.learned.tests(&self.settings.line);
        let is_learned = |code: &str| learned.iter().any(|(own, _)| own == code);
        let by_people = learned
            .iter()
            .filter(|(code, own)| own == test && !site.contains_key(code))
            .map(|(code, _)| self.ordered(code, self.rule(code, &[])));
        let by_profile = self.profile.tests.iter().filter(|rule| {
            let is_own = self.of_profile(rule).as_deref() == Some(test);
            is_own && !site.contains_key(&rule.code) && !is_learned(&rule.code)
        });
        let by_profile = by_profile.map(|rule| self.ordered(&rule.code, Some(rule)));
        let mut codes: Vec<String> = Vec::new();
        for code in by_site.chain(by_people).chain(by_profile) {
            if !code.is_empty() && !codes.contains(&code) {
                codes.push(code);
            }
        }
        if codes.is_empty() && self.settings.unmapped == Unmapped::Pass {
            codes.push(test.to_owned());
        }
        codes
    }

    /// The catalogue tests that this device does; `None`: whatever is ordered, because its line
    /// passes every code.
    pub fn measured_tests(&self) -> Option<BTreeSet<String>> {
        if self.settings.unmapped == Unmapped::Pass {
            return None;
        }
        let by_profile = self.profile.tests.iter().map(|rule| &rule.test);
        let learned = self.learned.tests(&self.settings.line);
        let by_people = learned.iter().map(|(_, test)| test);
        let tests = self
            .settings
            .tests
            .values()
            .chain(by_people)
            .chain(by_profile);
        let done = tests.filter(|test| !self.codes_of(test).is_empty());
        Some(done.cloned().collect())
    }

    /// What an order says to get results of a code, whoever mapped it.
    fn ordered(&self, code: &str, rule: Option<&TestRule>) -> String {
        let usual = || self.profile.result.ordered(code).to_owned();
        rule.and_then(|rule| rule.order.clone())
            .unwrap_or_else(usual)
    }

    /// Whether the catalogue's units can be met: a mapped test that has a unit there, and whose
    /// every unit here is another one, would have all its results held.
    pub fn check_units(&self, catalogue: &dyn Catalogue) -> Problems {
        let mut problems = Problems::default();
        let has_unit = |rule: &&TestRule| !rule.units.is_empty() || !rule.unit.is_empty();
        for rule in self.profile.tests.iter().filter(has_unit) {
            let test = self.test(&rule.code, Some(rule)).unwrap_or_default();
            let Some(own) = catalogue.unit(&test) else {
                continue;
            };
            let is_same = |ucum: &String| prove_catalogue(ucum, own) == UnitProof::Proven;
            let declared = Some(&rule.unit).filter(|unit| !unit.is_empty());
            if rule.units.values().any(is_same) || declared.is_some_and(is_same) {
                continue;
            }
            let here: BTreeSet<_> = rule
                .units
                .values()
                .chain(declared)
                .map(|ucum| format!("`{ucum}`"))
                .collect();
            let here: Vec<_> = here.into_iter().collect();
            problems.push(Problem {
                code: "PROF-0211",
                message: format!(
                    "{}: `{}` comes in {}, the catalogue has {test} in `{own}`",
                    self.profile.name,
                    rule.code,
                    here.join(" or ")
                ),
                label: "mapped here".to_owned(),
                help: "set the device to the catalogue's unit, or the catalogue to the device's; \
                       Labwire converts no value"
                    .to_owned(),
                source: Some(Arc::clone(&self.profile.file)),
                span: Some(rule.span.clone()),
                is_warning: false,
            });
        }
        problems
    }

    /// Whether the codes that the profile makes of a device's texts are words of their tests: a
    /// blood group in other words would be held as one that nobody can read.
    pub fn check_codes(&self, catalogue: &dyn Catalogue) -> Problems {
        let mut problems = Problems::default();
        for rule in &self.profile.tests {
            let test = self.test(&rule.code, Some(rule)).unwrap_or_default();
            let mut codes = rule.coded.values();
            let Some(code) = codes.find(|code| !catalogue.says(&test, code)) else {
                continue;
            };
            problems.push(Problem {
                code: "PROF-0215",
                message: format!(
                    "{}: `{}` is told as `{code}`, which says nothing that {test} could mean",
                    self.profile.name, rule.code
                ),
                label: "mapped here".to_owned(),
                help: "write the catalogue's word, or explain the code there in `means`".to_owned(),
                source: Some(Arc::clone(&self.profile.file)),
                span: Some(rule.span.clone()),
                is_warning: false,
            });
        }
        problems
    }
}
