//! `catalogue.toml`: the laboratory's tests and panels.

mod check;
mod loinc;
mod range;
mod read;
mod transfusion;

pub use self::{
    loinc::is_loinc,
    range::{Age, AgeUnit, RangeSex, ReferenceRange},
};

use std::{collections::HashMap, sync::Arc};

use miette::NamedSource;
use rust_decimal::Decimal;

use super::{choice::Class, problem::Problems, read::At};
use crate::{model::blood::BloodTest, text::Language};

/// The tests and panels of a laboratory, with the ways to find them.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    tests: Vec<Test>,
    panels: Vec<Panel>,
    tests_by_id: HashMap<String, usize>,
    panels_by_id: HashMap<String, usize>,
    /// (host, code) to what it orders; the empty host is every host.
    services: HashMap<(String, String), Service>,
    source: Option<Arc<NamedSource<String>>>,
}

/// What an order code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Test(usize),
    Panel(usize),
}

/// A name in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Vietnamese.
    pub vi: String,
    /// English.
    pub en: String,
}

impl Name {
    /// The name in a language; the other one's where there is none.
    pub fn in_language(&self, language: Language) -> &str {
        let (first, second) = match language {
            Language::Vi => (&self.vi, &self.en),
            Language::En => (&self.en, &self.vi),
        };
        if first.is_empty() { second } else { first }
    }
}

/// A code of a test or panel at a HIS.
#[derive(Clone, Debug, PartialEq)]
pub struct HisCode {
    /// The host that uses it; `None` is every host.
    pub host: Option<At<String>>,
    /// The code in OBR-4 and OBX-3.
    pub code: At<String>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its id everywhere in Labwire.
    pub id: At<String>,
    /// Its name for people.
    pub name: Name,
    /// The section of the laboratory that answers for it.
    pub section: String,
    /// Whether it may be released by itself at all.
    pub class: Class,
    /// Specimen types (HL7 table 0487 where the HIS has it), any of which will do.
    pub specimen: Vec<String>,
    /// Unit as a UCUM code; `None` for tests without a unit.
    pub unit: Option<At<String>>,
    /// Digits after the point when it is shown.
    pub decimals: Option<u32>,
    /// LOINC code.
    pub loinc: Option<At<String>>,
    /// Codes at the HIS; none means that the id is the code.
    pub his: Vec<HisCode>,
    /// Service code of the health insurance (MA_DICH_VU).
    pub ma_dich_vu: String,
    /// Parameter code of the health insurance (MA_CHI_SO).
    pub ma_chi_so: String,
    /// Reference ranges by sex and age.
    pub ranges: Vec<ReferenceRange>,
    /// Limits beyond which someone must be called, by sex and age.
    pub critical: Vec<ReferenceRange>,
    /// How far from the last result of the patient a new one may be.
    pub delta: Option<Delta>,
    /// The test is an index of haemolysis (`index`), and a tube above this (`index_limit`) is
    /// haemolysed.
    pub haemolysis_limit: Option<Decimal>,
    /// Texts that a device sends and the code that each means.
    pub coded: Vec<(At<String>, At<String>)>,
    /// What it is to the transfusion service, and what its codes say there.
    pub blood: Option<BloodTest>,
}

/// A lower and an upper limit, each optional and inclusive of normal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Below this.
    pub low: Option<Decimal>,
    /// Above this.
    pub high: Option<Decimal>,
}

/// A delta check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Change in per cent of the earlier value.
    pub percent: Option<Decimal>,
    /// Change in the test's unit.
    pub absolute: Option<Decimal>,
    /// Only against results younger than this.
    pub hours: u32,
}

/// What is ordered as one and measured as many.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its id everywhere in Labwire.
    pub id: At<String>,
    /// Its name for people.
    pub name: Name,
    /// Codes at the HIS; none means that the id is the code.
    pub his: Vec<HisCode>,
    /// LOINC code.
    pub loinc: Option<At<String>>,
    /// Service code of the health insurance (MA_DICH_VU).
    pub ma_dich_vu: String,
    /// Tests and panels, in the order of the report.
    pub tests: Vec<At<String>>,
    /// Its tests, panels within it taken apart; indexes of the catalogue's tests.
    members: Vec<usize>,
}

impl Test {
    /// The code that a device's text means.
    pub fn coded(&self, text: &str) -> Option<&str> {
        let (_, code) = self.coded.iter().find(|(sent, _)| **sent == text)?;
        Some(code)
    }

    /// The code under which a host knows it.
    pub fn his_code(&self, host: &str) -> &str {
        his_code(&self.his, host).unwrap_or(&self.id)
    }

    /// The reference range of a patient: the first that surely applies. What is not known of the
    /// patient is not guessed, so an unknown sex or birth date finds only ranges without it.
    pub fn range(
        &self,
        sex: Option<crate::model::Sex>,
        birth: Option<jiff::civil::Date>,
        on: jiff::civil::Date,
    ) -> Option<&ReferenceRange> {
        self.ranges
            .iter()
            .find(|range| range.applies(sex, birth, on))
    }
}

impl Test {
    /// The critical limits of a patient: the first that surely apply, as with
    /// [`range`](Self::range); none where none do.
    pub fn critical_of(
        &self,
        sex: Option<crate::model::Sex>,
        birth: Option<jiff::civil::Date>,
        on: jiff::civil::Date,
    ) -> Limits {
        let mut all = self.critical.iter();
        let own = all.find(|range| range.applies(sex, birth, on));
        own.map(|range| range.limits).unwrap_or_default()
    }
}

impl Panel {
    /// The code under which a host knows it.
    pub fn his_code(&self, host: &str) -> &str {
        his_code(&self.his, host).unwrap_or(&self.id)
    }
}

fn his_code<'c>(codes: &'c [HisCode], host: &str) -> Option<&'c str> {
    let own = codes
        .iter()
        .find(|one| one.host.as_ref().is_some_and(|name| **name == host));
    let any = || codes.iter().find(|one| one.host.is_none());
    Some(own.or_else(any)?.code.as_str())
}

impl Catalogue {
    /// Reads and checks a catalogue; what cannot be used is left out and told of.
    pub fn read(source: &Arc<NamedSource<String>>, problems: &mut Problems) -> Self {
        read::catalogue(source, problems)
    }

    /// Whether it has no tests.
    pub const fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Every test, in the order written.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter()
    }

    /// Every panel, in the order written.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter()
    }

    /// The file, to underline what is wrong.
    pub const fn source(&self) -> Option<&Arc<NamedSource<String>>> {
        self.source.as_ref()
    }

    /// The test of that id.
    pub fn test(&self, id: &str) -> Option<&Test> {
        self.tests.get(*self.tests_by_id.get(id)?)
    }

    /// Whether an id is that of a test which is never released by itself.
    pub fn is_transfusion(&self, id: &str) -> bool {
        self.test(id)
            .is_some_and(|test| test.class == Class::Transfusion)
    }

    /// Whether a tube of one of these types (as ordered) will do for a test: `None` where the test
    /// names no type, and where no test of the catalogue knows any of the tube's.
    pub fn fits_tube(&self, test: &str, types: &[&str]) -> Option<bool> {
        let wanted = &self.test(test)?.specimen;
        let is_one = |known: &String| types.iter().any(|one| known.eq_ignore_ascii_case(one));
        if wanted.iter().any(is_one) {
            return Some(true);
        }
        let is_known = self
            .tests
            .iter()
            .flat_map(|test| &test.specimen)
            .any(is_one);
        (is_known && !wanted.is_empty()).then_some(false)
    }

    /// The panel of that id.
    pub fn panel(&self, id: &str) -> Option<&Panel> {
        self.panels.get(*self.panels_by_id.get(id)?)
    }

    /// Every section that a test names, once each.
    pub fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<&str> = self.tests.iter().map(|t| t.section.as_str()).collect();
        sections.sort_unstable();
        sections.dedup();
        sections.retain(|section| !section.is_empty());
        sections
    }

    /// The tests that a service code of a host orders: those of the panel, or the one test. A code
    /// of that host goes before a code of every host, and that before an id. Empty if nothing is
    /// known under the code.
    pub fn expand(&self, host: &str, code: &str) -> Vec<&Test> {
        match self.service(host, code) {
            Some(Service::Test(index)) => self.tests.get(index).into_iter().collect(),
            Some(Service::Panel(index)) => {
                let panel = self.panels.get(index);
                panel
                    .into_iter()
                    .flat_map(|panel| self.members(panel))
                    .collect()
            }
            None => Vec::new(),
        }
    }

    /// The panel that a service code of a host orders, if it orders one.
    pub fn ordered_panel(&self, host: &str, code: &str) -> Option<&Panel> {
        match self.service(host, code)? {
            Service::Panel(index) => self.panels.get(index),
            Service::Test(_) => None,
        }
    }

    /// The tests of a panel, those of panels within it included, each once.
    pub fn members<'c>(&'c self, panel: &'c Panel) -> impl Iterator<Item = &'c Test> {
        panel
            .members
            .iter()
            .filter_map(|index| self.tests.get(*index))
    }

    /// The panels that contain a test.
    pub fn panels_of(&self, test: &str) -> impl Iterator<Item = &Panel> {
        let index = self.tests_by_id.get(test).copied();
        self.panels
            .iter()
            .filter(move |panel| index.is_some_and(|index| panel.members.contains(&index)))
    }

    fn service(&self, host: &str, code: &str) -> Option<Service> {
        let of = |host: &str| {
            self.services
                .get(&(host.to_owned(), code.to_owned()))
                .copied()
        };
        of(host).or_else(|| of("")).or_else(|| {
            let test = self.tests_by_id.get(code).copied().map(Service::Test);
            test.or_else(|| self.panels_by_id.get(code).copied().map(Service::Panel))
        })
    }
}

#[cfg(test)]
mod tests;
