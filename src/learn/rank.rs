//! Which built-in profile fits best.

use labwire_protocols::charset::Charset;

use super::{evidence::ratio, findings::Findings, rows::Place};
use crate::{
    model::{HoldReason, Item, QuerySubject},
    profile::{Library, LineProfile, LineSettings, decode},
};

/// Messages that are read with every profile; fifty profiles cost a second or two.
const MESSAGES_MAX: usize = 40;

/// How a profile reads what was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// `vendor/model`.
    pub profile: String,
    /// Results found.
    pub results: usize,
    /// Of those, with the tube that the evidence names.
    pub with_specimen: usize,
    /// Of those, with a code that the profile maps.
    pub mapped: usize,
    /// Of those, held because the message could not be understood well.
    pub doubtful: usize,
    /// Queries whose tube was found.
    pub queries: usize,
    /// Notes on messages and results.
    pub notes: usize,
    /// The device calls itself by a name of the profile.
    pub is_named: bool,
    score: f64,
}

/// Every built-in profile of the protocol, the best first.
pub(super) fn rank(findings: &Findings) -> Vec<Fit> {
    let (library, _) = Library::load(None);
    let mut fits: Vec<Fit> = library
        .iter()
        .filter(|profile| profile.device.protocol == findings.protocol.of_profile())
        .map(|profile| {
            let line = profile.for_line(LineSettings {
                line: "learn".to_owned(),
                charset: charset(findings),
                ..LineSettings::default()
            });
            fit(findings, &line)
        })
        .collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score));
    fits
}

/// A character set that holds what was heard: ranking is about places, not about letters.
fn charset(findings: &Findings) -> Option<Charset> {
    findings
        .charsets
        .first()
        .copied()
        .filter(|charset| *charset != Charset::Ascii)
}

fn fit(findings: &Findings, line: &LineProfile) -> Fit {
    let profile = line.profile();
    let mut fit = Fit {
        profile: profile.name.clone(),
        results: 0,
        with_specimen: 0,
        mapped: 0,
        doubtful: 0,
        queries: 0,
        notes: 0,
        is_named: is_named(findings, profile),
        score: 0.0,
    };
    let both = findings.own.iter().zip(&findings.sheets);
    for (message, sheet) in both.take(MESSAGES_MAX) {
        let ids = ids(findings, sheet);
        let decoded = decode(line, None, &message.raw, true);
        fit.notes += decoded.notes.len();
        for item in &decoded.items {
            count(&mut fit, item, &ids);
        }
    }
    let share = |part: usize| ratio(part, fit.results);
    let named = if fit.is_named { 1.0 } else { 0.0 };
    // A profile that knows nothing of the device better than chance is worse than one that claims
    // nothing.
    let plain = if fit.profile.starts_with("generic/") {
        0.5
    } else {
        0.0
    };
    fit.score = 2.0 * share(fit.with_specimen) + 2.0 * share(fit.mapped) - share(fit.doubtful)
        + ratio(fit.queries, findings.queries.min(MESSAGES_MAX))
        + named
        + plain
        - 0.2
            * ratio(
                fit.notes,
                fit.results.max(findings.messages.min(MESSAGES_MAX)),
            );
    fit
}

/// The tubes of a message by the evidence.
fn ids<'s>(findings: &Findings, sheet: &'s super::rows::Sheet) -> Vec<&'s str> {
    let guesses = [&findings.specimen, &findings.query];
    let places: Vec<&Place> = guesses
        .into_iter()
        .flatten()
        .flat_map(|guess| &guess.places)
        .collect();
    let rows = sheet.rows.iter();
    let parts = rows.flat_map(|row| {
        places
            .iter()
            .filter(|place| place.record == row.name)
            .map(|place| row.part(place.field, place.component, sheet.marks).trim())
    });
    parts.filter(|id| !id.is_empty()).collect()
}

fn count(fit: &mut Fit, item: &Item, ids: &[&str]) {
    match item {
        Item::Observation(observation) => {
            fit.results += 1;
            let tube = observation.specimen.as_ref();
            let has_tube = tube.is_some_and(|tube| ids.contains(&tube.id.trim()));
            fit.with_specimen += usize::from(has_tube);
            fit.mapped += usize::from(observation.test.is_some());
            fit.notes += observation.notes.len();
            let is_doubtful = observation.holds.iter().any(|hold| {
                matches!(
                    hold.reason,
                    HoldReason::NoSpecimen
                        | HoldReason::AmbiguousSender
                        | HoldReason::Undecodable
                        | HoldReason::UnitDiffers
                        | HoldReason::UnitMissing
                        | HoldReason::Dilution
                        | HoldReason::StatusNotFinal
                )
            });
            fit.doubtful += usize::from(is_doubtful);
        }
        Item::Query(query) => {
            if let QuerySubject::Specimens(tubes) = &query.subject {
                let is_known = tubes.iter().any(|tube| ids.contains(&tube.id.trim()));
                fit.queries += usize::from(is_known);
            }
        }
        Item::Image(_) | Item::Device(_) => {}
        Item::Incomplete(_) => fit.notes += 1,
    }
}

/// Whether the device's own name holds a name of the profile's models, or the other way round.
fn is_named(findings: &Findings, profile: &crate::profile::Profile) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase())
            .collect()
    };
    let own = findings.senders.first().map(|(sender, _)| plain(sender));
    let own = own.unwrap_or_default();
    let first = findings.senders.first();
    let own_words: Vec<String> = first
        .map(|(sender, _)| words(sender).collect())
        .unwrap_or_default();
    let patterns = profile.device.sender.iter();
    let by_pattern = findings
        .senders
        .first()
        .is_some_and(|(sender, _)| patterns.into_iter().any(|one| one.is_match(sender)));
    by_pattern
        || profile.device.models.iter().any(|model| {
            let whole = plain(model);
            let is_whole = whole.len() >= 4 && own.contains(&whole);
            is_whole || words(model).any(|word| own_words.contains(&word))
        })
}

/// The words of a name that are long enough to mean something.
fn words(text: &str) -> impl Iterator<Item = String> + use<'_> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .map(str::to_ascii_lowercase)
}
