//! Listening to an unknown device: what it speaks, and a draft of its profile.
//!
//! Nothing here decides about a result. What is found is told with its evidence, and written as a
//! draft that a person has to compare with the manual. What a patient's could be is invented before
//! it is written ([`Learner::draft`]), and never told.

mod codes;
mod draft;
mod evidence;
mod examples;
mod findings;
mod heard;
mod invent;
mod lexer;
mod listener;
mod rank;
mod rows;
mod shape;
mod specimen;
mod told;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

pub use self::{
    draft::Draft,
    heard::{Counts, HEARD_BYTES_MAX, Heard, MESSAGES_MAX, Message},
    listener::{Listener, WallClock},
    rank::Fit,
};
use self::{draft::Drafting, findings::Findings};
use crate::{config::Catalogue, profile};

/// The protocols that are told apart and drafted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// LIS01-A2 and LIS02-A2.
    Astm,
    /// HL7 v2.
    Hl7,
}

impl Protocol {
    /// As profiles have it.
    const fn of_profile(self) -> profile::Protocol {
        match self {
            Self::Astm => profile::Protocol::Astm,
            Self::Hl7 => profile::Protocol::Hl7,
        }
    }
}

/// Listens, and remembers what it has told.
#[derive(Default)]
pub struct Learner {
    heard: Heard,
    told: BTreeMap<&'static str, String>,
    /// Messages at which the evidence is looked at next; it grows, so that the whole costs no more
    /// than a few looks.
    look_at: usize,
}

impl fmt::Debug for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learner")
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl Learner {
    /// Takes bytes of connection `stream`; returns what is new, a line each.
    pub fn take(&mut self, stream: u64, bytes: &[u8]) -> Vec<String> {
        self.heard.take(stream, bytes);
        self.news(false)
    }

    /// Nothing more comes; returns everything that was found, with its evidence.
    pub fn finish(&mut self) -> Vec<String> {
        self.heard.finish();
        let mut lines = self.news(true);
        let findings = Findings::of(self.heard.messages());
        lines.push(String::new());
        lines.extend(told::summary(self.heard.counts(), findings.as_ref()));
        lines.into_iter().map(|line| printable(&line)).collect()
    }

    /// Messages that have ended.
    pub fn messages(&self) -> usize {
        self.heard.messages().len()
    }

    /// What was counted on the wire.
    pub const fn counts(&self) -> &Counts {
        self.heard.counts()
    }

    /// Whether enough was heard.
    pub fn is_full(&self) -> bool {
        self.heard.is_full()
    }

    /// Every built-in profile of the protocol that was heard, the best first.
    pub fn fits(&self) -> Vec<Fit> {
        Findings::of(self.heard.messages())
            .map(|findings| rank::rank(&findings))
            .unwrap_or_default()
    }

    /// `VENDOR/MODEL` by how the device calls itself; the vendor it does not say.
    pub fn name(&self) -> String {
        let findings = Findings::of(self.heard.messages());
        let name = findings.as_ref().map_or("", Findings::name);
        let slug: String = name
            .chars()
            .map(|letter| match letter {
                letter if letter.is_ascii_alphanumeric() => letter.to_ascii_lowercase(),
                _ => '-',
            })
            .take(NAME_MAX)
            .collect();
        match slug.trim_matches('-') {
            "" => "unknown/device".to_owned(),
            slug => format!("unknown/{slug}"),
        }
    }

    /// A draft of a profile `VENDOR/MODEL`, with the tests of a catalogue; `None` where no message of
    /// a protocol that profiles know was heard.
    pub fn draft(&self, name: &str, catalogue: &Catalogue, port: &str) -> Option<Draft> {
        let findings = Findings::of(self.heard.messages())?;
        let drafting = Drafting {
            findings: &findings,
            counts: self.heard.counts(),
            catalogue,
            name,
            port,
        };
        Some(drafting.draft())
    }

    fn news(&mut self, is_end: bool) -> Vec<String> {
        let mut facts = told::of_wire(self.heard.counts());
        if self.messages() >= self.look_at.max(1) || is_end {
            self.look_at = self.messages() + self.messages() / 2 + 1;
            let findings = Findings::of(self.heard.messages());
            facts.extend(findings.iter().flat_map(told::of_messages));
        }
        let mut lines = Vec::new();
        for (about, what) in facts {
            if self.told.get(about) != Some(&what) {
                lines.push(printable(&format!("{about}: {what}")));
                self.told.insert(about, what);
            }
        }
        lines
    }
}

/// Letters of a file's name.
const NAME_MAX: usize = 40;

/// What a device sends may move the cursor of a terminal.
fn printable(line: &str) -> String {
    line.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}
