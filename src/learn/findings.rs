//! What the messages say about their device, each with its evidence.

use std::collections::BTreeMap;

use labwire_protocols::charset::Charset;

use super::Protocol;
use super::{
    codes::{self, Codes},
    evidence::{Evidence, is_question, ratio},
    heard::Message,
    rows::{Marks, Place, Sheet, charsets},
    shape::{CONTROL_PREFIXES, is_id, is_range, is_time, is_unit},
    specimen,
};

/// Places with the reason why they are taken.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) places: Vec<Place>,
    /// `seen in 12 of 12 messages`.
    pub(super) why: String,
}

impl Guess {
    pub(super) fn first(&self) -> Option<&Place> {
        self.places.first()
    }
}

/// A rule that tells controls apart.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// As a profile writes it.
    pub(super) rule: String,
    pub(super) seen: usize,
    /// False where it is told by an id alone, which a person has to confirm.
    pub(super) is_standard: bool,
}

/// Everything that was found in the messages of one protocol.
pub(super) struct Findings {
    pub(super) protocol: Protocol,
    pub(super) charsets: Vec<Charset>,
    /// Delimiters, the most frequent first.
    pub(super) marks: Vec<(Marks, usize)>,
    pub(super) messages: usize,
    pub(super) results: usize,
    pub(super) queries: usize,
    /// MSH-9 by how often; empty for ASTM.
    pub(super) kinds: BTreeMap<String, usize>,
    /// MSH-9 of queries.
    pub(super) query_kinds: Vec<String>,
    /// MSH-18 was filled so often.
    pub(super) names_charset: usize,
    /// H.5 or MSH-3, the most frequent first.
    pub(super) senders: Vec<(String, usize)>,
    pub(super) specimen: Option<Guess>,
    pub(super) is_padded: bool,
    pub(super) query: Option<Guess>,
    pub(super) patient: Option<Guess>,
    pub(super) codes: Codes,
    pub(super) value: Option<Guess>,
    pub(super) unit: Option<Guess>,
    pub(super) range: Option<Guess>,
    pub(super) flags: Option<Guess>,
    pub(super) status: Option<Guess>,
    pub(super) statuses: BTreeMap<String, usize>,
    pub(super) flags_seen: BTreeMap<String, usize>,
    pub(super) completed: Option<Guess>,
    pub(super) operator: Option<Guess>,
    pub(super) instrument: Option<Guess>,
    pub(super) controls: Vec<Control>,
    pub(super) sheets: Vec<Sheet>,
    /// The messages of `sheets`.
    pub(super) own: Vec<Message>,
}

/// The names of the records that carry results and questions.
pub(super) const fn result_record(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Astm => "R",
        Protocol::Hl7 => "OBX",
    }
}

pub(super) fn is_query(sheet: &Sheet) -> bool {
    let asks = sheet.rows.iter().any(|row| is_question(&row.name));
    asks || sheet.has(&["ORC"])
        && !sheet.has(&["OBX"])
        && sheet.first(&Place::new("MSH", 9, 0)).starts_with("ORM")
}

fn is_result(sheet: &Sheet) -> bool {
    sheet.has(&["R", "OBX"])
}

impl Findings {
    /// Reads the messages of the protocol that most of them are in; `None` without any.
    pub(super) fn of(messages: &[Message]) -> Option<Self> {
        let protocol = protocol_of(messages);
        let own: Vec<&Message> = messages
            .iter()
            .filter(|message| message.protocol == protocol)
            .collect();
        let charsets = charsets(&own);
        let charset = charsets.first().copied().unwrap_or(Charset::Latin1);
        let (own, sheets): (Vec<Message>, Vec<Sheet>) = own
            .into_iter()
            .filter_map(|message| Some((message.clone(), Sheet::read(message, charset)?)))
            .unzip();
        if sheets.is_empty() {
            return None;
        }
        let every: Vec<&Sheet> = sheets.iter().collect();
        let telling: Vec<&Sheet> = sheets.iter().filter(|sheet| is_result(sheet)).collect();
        let asking: Vec<&Sheet> = sheets.iter().filter(|sheet| is_query(sheet)).collect();
        let results = Evidence::of(&telling);
        let queries = Evidence::of(&asking);
        let all = Evidence::of(&every);
        let codes = codes::find(protocol, &results, &sheets);
        let specimen = specimen::of_results(protocol, &results, &queries);
        let query = specimen::of_queries(protocol, &results, &queries, specimen.as_ref());
        let is_padded = is_padded(&all, &[&specimen, &query]);
        let look = Look {
            protocol,
            evidence: &results,
        };
        let status = look.standard(9, 11);
        let flags = look.standard(7, 8);
        Some(Self {
            statuses: values(&results, status.as_ref()),
            flags_seen: values(&results, flags.as_ref()),
            value: look.value(),
            unit: look.shaped(5, 6, is_unit, "look like units"),
            range: look.shaped(6, 7, is_range, "look like ranges"),
            completed: look.completed(),
            operator: look.standard(11, 16),
            instrument: look.standard(14, 18),
            patient: look.patient(),
            controls: controls(protocol, &results, specimen.as_ref()),
            marks: counted(sheets.iter().map(|sheet| sheet.marks)),
            messages: sheets.len(),
            results: results.messages,
            queries: queries.messages,
            kinds: kinds(protocol, &every),
            query_kinds: kinds(protocol, &asking).into_keys().collect(),
            names_charset: all.at("MSH", 18, 0).map_or(0, |seen| seen.filled),
            senders: senders(protocol, &sheets),
            protocol,
            charsets,
            specimen,
            is_padded,
            query,
            codes,
            status,
            flags,
            sheets,
            own,
        })
    }

    /// The device's own name without version and serial number.
    pub(super) fn name(&self) -> &str {
        let (sender, _) = self
            .senders
            .first()
            .map_or(("", 0), |(s, n)| (s.as_str(), *n));
        let component = self.marks.first().map_or('^', |(marks, _)| marks.component);
        let part = sender.split(component).find(|part| !part.trim().is_empty());
        part.unwrap_or_default().trim()
    }
}

/// The protocol that most messages are in.
fn protocol_of(messages: &[Message]) -> Protocol {
    let is_hl7 = |message: &&Message| message.protocol == Protocol::Hl7;
    if messages.iter().filter(is_hl7).count() * 2 > messages.len() {
        Protocol::Hl7
    } else {
        Protocol::Astm
    }
}

/// Whether blanks stand around ids.
fn is_padded(all: &Evidence, guesses: &[&Option<Guess>]) -> bool {
    guesses
        .iter()
        .filter_map(|guess| guess.as_ref())
        .flat_map(|guess| &guess.places)
        .filter_map(|place| all.seen(place))
        .any(|seen| seen.values.keys().any(|value| value.trim() != value))
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let mut counts: Vec<(T, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn kinds(protocol: Protocol, sheets: &[&Sheet]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    if protocol == Protocol::Hl7 {
        for sheet in sheets {
            let kind = sheet.first(&Place::new("MSH", 9, 0));
            // The trigger counts, not the structure behind it.
            let short: Vec<&str> = kind.split(sheet.marks.component).take(2).collect();
            *kinds.entry(short.join("^")).or_default() += 1;
        }
    }
    kinds
}

fn senders(protocol: Protocol, sheets: &[Sheet]) -> Vec<(String, usize)> {
    let place = match protocol {
        Protocol::Astm => Place::new("H", 5, 0),
        Protocol::Hl7 => Place::new("MSH", 3, 0),
    };
    let names = sheets.iter().map(|sheet| sheet.first(&place).to_owned());
    counted(names.filter(|name| !name.trim().is_empty()))
}

/// Values of a coded field: short, or they are no codes.
fn values(evidence: &Evidence, guess: Option<&Guess>) -> BTreeMap<String, usize> {
    const CODE_MAX: usize = 12;
    let seen = guess
        .and_then(Guess::first)
        .and_then(|place| evidence.seen(place));
    let values = seen.map(|seen| seen.values.clone()).unwrap_or_default();
    values
        .into_iter()
        .filter(|(value, _)| value.chars().count() <= CODE_MAX)
        .collect()
}

/// Looks for the parts of a result.
struct Look<'e> {
    protocol: Protocol,
    evidence: &'e Evidence,
}

impl Look<'_> {
    fn record(&self) -> &'static str {
        result_record(self.protocol)
    }

    fn rows(&self) -> usize {
        self.evidence.rows.get(self.record()).copied().unwrap_or(0)
    }

    fn field(&self, astm: usize, hl7: usize) -> usize {
        match self.protocol {
            Protocol::Astm => astm,
            Protocol::Hl7 => hl7,
        }
    }

    fn told(&self, place: Place, more: &str) -> Guess {
        let filled = self.evidence.seen(&place).map_or(0, |seen| seen.filled);
        let rows = self.evidence.rows.get(&place.record).copied().unwrap_or(0);
        let what = match place.record.as_str() {
            "R" | "OBX" => "results".to_owned(),
            other => format!("{other} rows"),
        };
        Guess {
            why: format!("filled in {filled} of {rows} {what}{more}"),
            places: vec![place],
        }
    }

    /// The place of the standard, if anything stands there.
    fn standard(&self, astm: usize, hl7: usize) -> Option<Guess> {
        let place = Place::new(self.record(), self.field(astm, hl7), 0);
        self.evidence.seen(&place)?;
        Some(self.told(place, ""))
    }

    fn value(&self) -> Option<Guess> {
        let field = self.field(4, 5);
        if self.rows() == 0 {
            return None;
        }
        let whole = Place::new(self.record(), field, 0);
        let parted = |seen: &usize| *seen * 2 > self.rows();
        let component = |component: usize| self.evidence.at(self.record(), field, component);
        let has_parts = (2..=3).any(|part| component(part).is_some_and(|seen| seen.filled > 0));
        // HL7 says by OBX-2 how the components of a value are to be read.
        let is_parted = self.protocol == Protocol::Astm && has_parts && {
            let filled: usize = (1..=3)
                .filter_map(|part| component(part).map(|seen| seen.filled))
                .sum();
            parted(&filled) && component(1).is_none_or(|seen| seen.filled < self.rows())
        };
        if !is_parted {
            return Some(self.told(whole, ""));
        }
        let places = (1..=3)
            .filter(|part| component(*part).is_some())
            .map(|part| Place::new(self.record(), field, part));
        Some(Guess {
            places: places.collect(),
            why: "one of these is filled".to_owned(),
        })
    }

    /// The standard's place, or the one that looks most like it.
    fn shaped(
        &self,
        astm: usize,
        hl7: usize,
        is: impl Fn(&str) -> bool,
        words: &str,
    ) -> Option<Guess> {
        let field = self.field(astm, hl7);
        let component = usize::from(self.protocol == Protocol::Hl7);
        let usual = Place::new(self.record(), field, component);
        if self.evidence.seen(&usual).is_some() {
            return Some(self.told(usual, ""));
        }
        let fitting = self
            .evidence
            .of_record(self.record())
            .filter(|(place, seen)| {
                place.field > 3 && seen.filled * 4 >= self.rows() && seen.share(&is) > 0.8
            });
        let best = fitting.max_by_key(|(place, seen)| (seen.filled, place.component));
        best.map(|(place, _)| self.told(place.clone(), &format!(", its values {words}")))
    }

    /// When it was measured: the latest of the times that a result carries, or else its order.
    fn completed(&self) -> Option<Guess> {
        let usual: &[(&str, usize)] = match self.protocol {
            Protocol::Astm => &[("R", 13), ("R", 12), ("O", 23), ("O", 8)],
            Protocol::Hl7 => &[
                ("OBX", 19),
                ("OBX", 14),
                ("OBR", 22),
                ("OBR", 8),
                ("OBR", 7),
            ],
        };
        let is_time_there = |record: &str, field: usize| {
            let seen = self.evidence.at(record, field, 0);
            seen.is_some_and(|seen| seen.looks_like_time() > 0.8)
        };
        let found = usual
            .iter()
            .find(|(record, field)| is_time_there(record, *field));
        if let Some((record, field)) = found {
            return Some(self.told(
                Place::new(record, *field, 0),
                ", its values look like times",
            ));
        }
        let timed = self
            .evidence
            .of_record(self.record())
            .filter(|(place, seen)| place.component == 0 && seen.looks_like_time() > 0.8);
        let latest = timed.max_by_key(|(_, seen)| seen.values.keys().next_back().cloned());
        latest.map(|(place, _)| self.told(place.clone(), ", its values look like times"))
    }

    fn patient(&self) -> Option<Guess> {
        let places: &[(&str, usize)] = match self.protocol {
            Protocol::Astm => &[("P", 4), ("P", 3), ("P", 5)],
            Protocol::Hl7 => &[("PID", 3), ("PID", 2), ("PID", 4)],
        };
        let found = places.iter().find(|(record, field)| {
            let seen = self.evidence.at(record, *field, 1);
            seen.is_some_and(|seen| seen.looks_like_id() > 0.5 && seen.looks_like_time() < 0.9)
        });
        let (record, field) = found?;
        Some(self.told(Place::new(record, *field, 1), ", its values look like ids"))
    }
}

/// What marks a sample of control material: the standard's codes, and ids that say so.
fn controls(protocol: Protocol, results: &Evidence, specimen: Option<&Guess>) -> Vec<Control> {
    let standard: &[(&str, usize, usize)] = match protocol {
        Protocol::Astm => &[("O", 12, 0), ("H", 12, 0)],
        Protocol::Hl7 => &[("MSH", 11, 1), ("SPM", 11, 1), ("OBR", 15, 7)],
    };
    let mut found: Vec<Control> = standard
        .iter()
        .filter_map(|(record, field, component)| {
            let place = Place::new(record, *field, *component);
            let seen = results.seen(&place)?.values.get("Q").copied()?;
            Some(Control {
                rule: format!("{place} = Q"),
                seen,
                is_standard: true,
            })
        })
        .collect();
    let by_id = specimen.and_then(Guess::first).and_then(|place| {
        let values = &results.seen(place)?.values;
        let named = |prefix: &&str| {
            let has = |id: &&String| id.trim().to_uppercase().starts_with(*prefix);
            values.keys().filter(has).count()
        };
        let prefix = CONTROL_PREFIXES
            .iter()
            .copied()
            .find(|prefix| named(prefix) > 0)?;
        let spelled = values.keys().find_map(|id| {
            let id = id.trim();
            let begin = id.get(..prefix.len())?;
            (begin.to_uppercase() == prefix).then(|| begin.to_owned())
        })?;
        Some(Control {
            rule: format!("{place} starts-with {spelled}"),
            seen: named(&prefix),
            is_standard: false,
        })
    });
    found.extend(by_id);
    found
}

/// How many of the ids at one place come again at another.
pub(super) fn shared(of: &Evidence, place: &Place, among: &[String]) -> f64 {
    let Some(seen) = of.seen(place) else {
        return 0.0;
    };
    let ids: Vec<&str> = seen.values.keys().map(|value| value.trim()).collect();
    let hits = among.iter().filter(|id| ids.contains(&id.as_str())).count();
    ratio(hits, among.len())
}

/// The ids at a place, without padding.
pub(super) fn ids(of: &Evidence, place: &Place) -> Vec<String> {
    let values = of.seen(place).map(|seen| seen.values.keys());
    let ids = values.into_iter().flatten().map(|value| value.trim());
    ids.filter(|id| is_id(id) && !is_time(id))
        .map(str::to_owned)
        .collect()
}
