//! What is told of what was heard: places, codes and counts, never a value.

use std::collections::BTreeMap;

use super::{
    codes::Code,
    draft::framing,
    findings::{Findings, Guess},
    heard::Counts,
};

/// Codes that are told one by one.
const CODES_MAX: usize = 40;

/// One thing that was found: what it is about, and what.
pub(super) type Fact = (&'static str, String);

/// What the wire alone tells.
pub(super) fn of_wire(counts: &Counts) -> Vec<Fact> {
    let mut facts = Vec::new();
    if counts.frames() > 0 {
        let sums = match (counts.sums_right, counts.sums_wrong + counts.sums_foreign) {
            (0, 0) => "checksums absent",
            (0, _) => "checksums wrong: it counts in another way",
            (_, 0) if counts.sums_absent == 0 => "checksums right",
            (_, 0) => "checksums right, some absent",
            (_, _) => "checksums right, some wrong: look at the cable",
        };
        let numbers = match counts.numbers_odd {
            0 => "frame numbers in order",
            _ => "frame numbers that stand still or skip",
        };
        let whole = if counts.frames_of_many > 0 {
            "several records in one frame"
        } else {
            "one record a frame"
        };
        facts.push((
            "framing",
            format!("ASTM frames, {sums}, {numbers}, {whole}"),
        ));
    }
    if counts.blocks > 0 {
        facts.push(("blocks", "MLLP blocks".to_owned()));
    }
    if counts.bare > 0 {
        facts.push(("bare", "messages without frames or blocks".to_owned()));
    }
    if counts.foreign > 0 {
        let letters: Vec<String> = counts.foreign_letters.iter().map(char::to_string).collect();
        let columns = fixed(counts.foreign_lengths.len());
        facts.push((
            "foreign",
            format!(
                "STX and ETX of another kind than ASTM{columns}; they begin with {}",
                if letters.is_empty() {
                    "no letter".to_owned()
                } else {
                    letters.join(" ")
                }
            ),
        ));
    }
    if counts.other_lines > 0 {
        let what = match counts.binary_lines * 2 > counts.other_lines {
            true => "bytes that are no text: is the baud rate right?".to_owned(),
            false => format!(
                "lines of text of no known protocol{}",
                fixed(counts.other_lengths.len())
            ),
        };
        facts.push(("lines", what));
    }
    if counts.replies > 0 {
        facts.push((
            "replies",
            "ACK or NAK among the bytes: somebody answers, or both sides are heard".to_owned(),
        ));
    }
    // One may still be on its way to its frames.
    if counts.bids > 1 && counts.frames() == 0 {
        facts.push((
            "waiting",
            "ENQ and no more: it waits for an acknowledgement (--journal FILE gives it one)"
                .to_owned(),
        ));
    }
    facts
}

/// Texts of one length, or few, are columns.
fn fixed(lengths: usize) -> &'static str {
    match lengths {
        1 => ", all of one length: fixed columns",
        2 | 3 => ", of few lengths: fixed columns perhaps",
        _ => "",
    }
}

/// What the messages tell; without counts, so that it is told again only where it changes.
pub(super) fn of_messages(findings: &Findings) -> Vec<Fact> {
    let mut facts = of_dialect(findings);
    facts.extend([
        ("specimen id", places(findings.specimen.as_ref())),
        ("specimen id asked for", places(findings.query.as_ref())),
        ("patient id", places(findings.patient.as_ref())),
        ("test code", places(findings.codes.place.as_ref())),
        ("value", places(findings.value.as_ref())),
        ("unit", places(findings.unit.as_ref())),
        ("range", places(findings.range.as_ref())),
        (
            "flags",
            codes_of(findings.flags.as_ref(), &findings.flags_seen),
        ),
        (
            "status",
            codes_of(findings.status.as_ref(), &findings.statuses),
        ),
        ("measured at", places(findings.completed.as_ref())),
    ]);
    let controls = findings
        .controls
        .iter()
        .map(|control| control.rule.as_str());
    facts.push(("controls", controls.collect::<Vec<_>>().join(", ")));
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

fn of_dialect(findings: &Findings) -> Vec<Fact> {
    let marks = findings.marks.iter().map(|(marks, _)| {
        format!(
            "field {} repeat {} component {} escape {}",
            marks.field, marks.repeat, marks.component, marks.escape
        )
    });
    let sets: Vec<&str> = findings.charsets.iter().map(|set| set.label()).collect();
    let sets = match sets.as_slice() {
        [] => "none decodes every byte".to_owned(),
        sets => sets.join(", "),
    };
    let kinds: Vec<&str> = findings.kinds.keys().map(String::as_str).collect();
    let senders = findings.senders.iter().map(|(name, _)| name.trim());
    let role = match (findings.queries, findings.results) {
        (0, 0) => "",
        (0, _) => "it tells results and asks nothing",
        (_, 0) => "it asks for orders",
        (_, _) => "it asks for orders and tells results",
    };
    vec![
        ("delimiters", marks.collect::<Vec<_>>().join("; ")),
        ("character set", sets),
        ("kinds", kinds.join(", ")),
        ("sender", senders.take(3).collect::<Vec<_>>().join("; ")),
        ("role", role.to_owned()),
    ]
}

fn places(guess: Option<&Guess>) -> String {
    let places = guess.into_iter().flat_map(|guess| &guess.places);
    places
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn codes_of(guess: Option<&Guess>, seen: &BTreeMap<String, usize>) -> String {
    let Some(place) = guess.and_then(Guess::first) else {
        return String::new();
    };
    let codes: Vec<&str> = seen.keys().map(|code| code.trim()).take(12).collect();
    format!("{place}: {}", codes.join(" "))
}

/// Everything, with its evidence, at the end.
pub(super) fn summary(counts: &Counts, findings: Option<&Findings>) -> Vec<String> {
    let mut lines = vec![format!("{} bytes: {}", counts.bytes, framing(counts))];
    let Some(findings) = findings else {
        lines.push("no message of ASTM records or HL7 segments was heard".to_owned());
        return lines;
    };
    lines.push(format!(
        "{} messages: {} with results, {} queries",
        findings.messages, findings.results, findings.queries
    ));
    let guesses = [
        ("specimen id", &findings.specimen),
        ("specimen id asked for", &findings.query),
        ("patient id", &findings.patient),
        ("test code", &findings.codes.place),
        ("aspect", &findings.codes.aspect),
        ("measured at", &findings.completed),
    ];
    for (name, guess) in guesses {
        if let Some(guess) = guess {
            let places: Vec<String> = guess.places.iter().map(ToString::to_string).collect();
            lines.push(format!("{name}: {} ({})", places.join(", "), guess.why));
        }
    }
    for (code, seen) in findings.codes.seen.iter().take(CODES_MAX) {
        lines.push(of_code(code, seen));
    }
    let more = findings.codes.seen.len().saturating_sub(CODES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more codes"));
    }
    lines
}

fn of_code(code: &str, seen: &Code) -> String {
    let join = |all: &mut dyn Iterator<Item = &String>| {
        all.filter(|one| !one.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut line = format!("  {code:<16} {:>5} times", seen.rows);
    let parts = [
        ("in", join(&mut seen.units.keys())),
        ("range", join(&mut seen.ranges.iter())),
        ("flags", join(&mut seen.flags.keys())),
        ("like", join(&mut seen.shapes.iter().chain(&seen.words))),
    ];
    for (word, text) in parts {
        if !text.is_empty() {
            line.push_str(&format!("  {word} {text}"));
        }
    }
    line
}
