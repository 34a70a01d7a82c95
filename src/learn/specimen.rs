//! Where the tube is named, by evidence: the place whose values look like ids, differ between
//! messages, and come again in what the device asks.

use super::Protocol;
use super::{
    evidence::{Evidence, Seen, ratio},
    findings::{Guess, ids, shared},
    rows::Place,
    shape::{is_control, is_id, is_time},
};

/// Where the standards and most devices name a tube, with how much that is worth against evidence.
fn usual(protocol: Protocol) -> &'static [(&'static str, usize, f64)] {
    match protocol {
        Protocol::Astm => &[("O", 3, 1.0), ("O", 4, 0.8), ("O", 5, 0.0), ("P", 3, 0.2)],
        Protocol::Hl7 => &[
            ("SPM", 2, 1.0),
            ("SAC", 3, 0.95),
            ("OBR", 3, 0.9),
            ("OBR", 2, 0.8),
            ("ORC", 3, 0.5),
            ("ORC", 2, 0.4),
            ("PID", 3, 0.1),
        ],
    }
}

fn asked(protocol: Protocol) -> &'static [(&'static str, usize, f64)] {
    match protocol {
        Protocol::Astm => &[("Q", 3, 0.5)],
        Protocol::Hl7 => &[
            ("QPD", 3, 0.5),
            ("QRD", 8, 0.5),
            ("SPM", 2, 0.4),
            ("SAC", 3, 0.4),
            ("ORC", 3, 0.3),
            ("ORC", 2, 0.2),
            ("OBR", 3, 0.2),
            ("OBR", 2, 0.2),
        ],
    }
}

/// A place with what speaks for it.
struct Candidate {
    place: Place,
    score: f64,
    repeats: usize,
    different: usize,
}

/// The ids that the device asks about, wherever they stand in its questions.
fn asked_ids(protocol: Protocol, queries: &Evidence) -> Vec<String> {
    let mut all: Vec<String> = asked(protocol)
        .iter()
        .flat_map(|(record, field, _)| {
            (1..=6).flat_map(move |part| ids(queries, &Place::new(record, *field, part)))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Where results name their tube.
pub(super) fn of_results(
    protocol: Protocol,
    results: &Evidence,
    queries: &Evidence,
) -> Option<Guess> {
    let known = asked_ids(protocol, queries);
    let mut found = candidates(protocol, results, &known);
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = found.first()?;
    let mut places = vec![best.place.clone()];
    // Where the best place is empty in some messages, the next one may be filled.
    if let (Some(second), Some(seen)) = (found.get(1), results.seen(&best.place))
        && seen.messages.len() < results.messages
        && second.place.record != best.place.record
    {
        places.push(second.place.clone());
    }
    let filled = results
        .seen(&best.place)
        .map_or(0, |seen| seen.messages.len());
    let mut why = format!(
        "seen in {filled} of {} messages with results, {} different",
        results.messages, best.different
    );
    if !known.is_empty() {
        why.push_str(&format!("; {} come again in queries", best.repeats));
    }
    if let Some(second) = found.get(1) {
        why.push_str(&format!("; next best {}", second.place));
    }
    Some(Guess { places, why })
}

fn candidates(protocol: Protocol, results: &Evidence, known: &[String]) -> Vec<Candidate> {
    let records = match protocol {
        Protocol::Astm => &["O", "P"][..],
        Protocol::Hl7 => &["SPM", "SAC", "OBR", "ORC", "PID"],
    };
    let mut found = Vec::new();
    for record in records {
        for (place, seen) in results.of_record(record) {
            let is_usual = usual(protocol)
                .iter()
                .find(|(record, field, _)| place.record == *record && place.field == *field);
            let prior = is_usual.map_or(0.0, |(_, _, worth)| *worth);
            // A time never stands where tubes are named; elsewhere its digits look like an id.
            let looks = seen.share(|value| {
                is_control(value) || is_id(value) && (prior > 0.5 || !is_time(value))
            });
            // A place that nobody names tubes at has to prove itself.
            let is_proven = prior > 0.0 || seen.messages.len() >= PROOF_MIN;
            if place.component == 0 || !is_proven || looks < 0.5 && !is_first(place, prior) {
                continue;
            }
            let different = seen.values.len();
            let repeats = seen
                .values
                .keys()
                .filter(|value| known.iter().any(|id| id == value.trim()))
                .count();
            let spread = ratio(different, seen.filled);
            let is_one = different == 1 && seen.messages.len() > 1;
            let apart = if is_one { 0.0 } else { spread };
            found.push(Candidate {
                score: 3.0 * ratio(repeats, different)
                    + 2.0 * apart * looks
                    + results.cover(place) * looks
                    + 0.02 * length(seen)
                    + prior,
                place: place.clone(),
                repeats,
                different,
            });
        }
    }
    found
}

/// Messages in which a place has to be filled before it is believed against all custom.
const PROOF_MIN: usize = 3;

/// The usual length of a place's values: of two numbers the longer one is the barcode, the shorter one
/// its rack.
fn length(seen: &Seen) -> f64 {
    let letters: usize = seen
        .values
        .keys()
        .map(|value| value.trim().len().min(20))
        .sum();
    ratio(letters, seen.values.len())
}

/// The standard's own place stays a candidate whatever its ids look like: a site may number tubes
/// from 1.
fn is_first(place: &Place, prior: f64) -> bool {
    prior > 0.85 && place.component == 1
}

/// Where queries name it.
pub(super) fn of_queries(
    protocol: Protocol,
    results: &Evidence,
    queries: &Evidence,
    specimen: Option<&Guess>,
) -> Option<Guess> {
    let measured = specimen
        .and_then(Guess::first)
        .map(|place| ids(results, place))
        .unwrap_or_default();
    let mut best: Option<(f64, Place)> = None;
    for (record, field, prior) in asked(protocol) {
        for component in 1..=8 {
            let place = Place::new(record, *field, component);
            let Some(seen) = queries.seen(&place) else {
                continue;
            };
            let looks = seen.looks_like_id();
            if looks < 0.5 {
                continue;
            }
            let score = 3.0 * shared(queries, &place, &measured)
                + looks * ratio(seen.values.len(), seen.filled)
                + prior;
            if best.as_ref().is_none_or(|(own, _)| score > *own) {
                best = Some((score, place));
            }
        }
    }
    let (_, place) = best?;
    let seen = queries.seen(&place)?;
    let again = ids(queries, &place)
        .iter()
        .filter(|id| measured.contains(id))
        .count();
    Some(Guess {
        why: format!(
            "seen in {} of {} queries; {again} of its ids came with results",
            seen.messages.len(),
            queries.messages
        ),
        places: vec![place],
    })
}
