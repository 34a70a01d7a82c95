//! Which component is the test code, and what was seen of each code.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use super::Protocol;
use super::{
    evidence::{Evidence, Seen},
    findings::{Guess, result_record},
    rows::{Place, Row, Sheet},
    shape::{is_common_word, is_loinc, is_number, is_range, shape},
};
use crate::profile::{BUILT_IN, load};

/// Codes that are told; a device with more sends something else in that place.
const CODES_MAX: usize = 500;
/// Ranges, texts and shapes that are told of a code.
const SAMPLES_MAX: usize = 4;
/// Characters of a code; what is longer is a sentence.
const CODE_MAX: usize = 40;

/// What was seen of the codes.
#[derive(Clone, Default)]
pub(super) struct Codes {
    pub(super) place: Option<Guess>,
    /// The letter at which codes are cut.
    pub(super) cut_at: Option<char>,
    /// Where rows of one code in one message are told apart.
    pub(super) aspect: Option<Guess>,
    pub(super) seen: BTreeMap<String, Code>,
}

/// What was seen of one code.
#[derive(Clone, Default)]
pub(super) struct Code {
    pub(super) rows: usize,
    /// Units with how often; the empty one too.
    pub(super) units: BTreeMap<String, usize>,
    pub(super) ranges: BTreeSet<String>,
    pub(super) flags: BTreeMap<String, usize>,
    pub(super) shapes: BTreeSet<String>,
    /// Words that every laboratory knows.
    pub(super) words: BTreeSet<String>,
    /// A LOINC code that stood beside it.
    pub(super) loinc: Option<String>,
    /// OBX-2.
    pub(super) types: BTreeSet<String>,
}

const fn code_field(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Astm | Protocol::Hl7 => 3,
    }
}

pub(super) fn find(protocol: Protocol, results: &Evidence, sheets: &[Sheet]) -> Codes {
    let Some(place) = place(protocol, results) else {
        return Codes::default();
    };
    let values: Vec<&str> = results
        .seen(&place)
        .map(|seen| seen.values.keys().map(|value| value.trim()).collect())
        .unwrap_or_default();
    let cut_at = ['/', '+', '!']
        .into_iter()
        .find(|mark| is_cut(&values, *mark));
    let filled = results.seen(&place).map_or(0, |seen| seen.filled);
    let rows = results.rows.get(&place.record).copied().unwrap_or(0);
    let different = values.len();
    let aspect = aspect(&place, results, sheets);
    let mut codes = Codes {
        place: Some(Guess {
            why: format!("filled in {filled} of {rows} results, {different} different"),
            places: vec![place.clone()],
        }),
        cut_at,
        aspect,
        seen: BTreeMap::new(),
    };
    for sheet in sheets {
        for row in sheet.named(&place.record) {
            codes.look(protocol, &place, row, sheet);
        }
    }
    codes
}

/// The component whose values tell the results of a message apart and come again in the next one.
fn place(protocol: Protocol, results: &Evidence) -> Option<Place> {
    let record = result_record(protocol);
    let known = mapped_elsewhere(protocol);
    let worth = |seen: &Seen, cover: f64| {
        let named = seen.share(|value| known.contains_key(value.trim()));
        let short = seen.share(|value| value.chars().count() <= CODE_MAX);
        let varies = if seen.values.len() > 1 { 0.3 } else { 0.0 };
        cover + 1.5 * seen.spread() + 0.8 * named + 0.2 * short + varies
            - 0.4 * seen.share(is_loinc)
            - 0.5 * seen.share(|value| value.contains(' '))
    };
    let field = code_field(protocol);
    let parts = (1..=12).filter_map(|component| {
        let place = Place::new(record, field, component);
        let worth = worth(results.seen(&place)?, results.cover(&place));
        Some((worth, place))
    });
    // Of equals the first: later components are names of what stands before them.
    let best = parts.fold(None, |best: Option<(f64, Place)>, one| match best {
        Some(best) if one.0 <= best.0 + 0.01 => Some(best),
        _ => Some(one),
    });
    best.map(|(_, place)| place)
}

/// A code, and the tests that built-in profiles map it to, each with how many do.
pub(super) type Mapped = BTreeMap<String, BTreeMap<String, usize>>;

/// The codes that built-in profiles of the protocol know. Reading all of them costs a second, and they
/// stay the same.
pub(super) fn mapped_elsewhere(protocol: Protocol) -> &'static Mapped {
    static ASTM: OnceLock<Mapped> = OnceLock::new();
    static HL7: OnceLock<Mapped> = OnceLock::new();
    let known = match protocol {
        Protocol::Astm => &ASTM,
        Protocol::Hl7 => &HL7,
    };
    known.get_or_init(|| {
        let mut known = Mapped::new();
        for rule in profiles(protocol).flat_map(|profile| profile.tests) {
            *known
                .entry(rule.code)
                .or_default()
                .entry(rule.test)
                .or_default() += 1;
        }
        known
    })
}

fn profiles(protocol: Protocol) -> impl Iterator<Item = crate::profile::Profile> {
    BUILT_IN
        .iter()
        .filter_map(|(name, text)| load(name, text).0)
        .filter(move |profile| profile.device.protocol == protocol.of_profile())
}

fn is_cut(values: &[&str], mark: char) -> bool {
    !values.is_empty()
        && values.iter().all(|value| {
            value.split_once(mark).is_some_and(|(code, rest)| {
                let rest = rest.trim_end_matches(mark);
                !code.is_empty() && (rest.is_empty() || is_number(rest))
            })
        })
}

/// Where a message has a code several times, the component that tells its rows apart by words.
fn aspect(code: &Place, results: &Evidence, sheets: &[Sheet]) -> Option<Guess> {
    let candidates = (1..=12).map(|part| Place::new(&code.record, code.field, part));
    for place in candidates.filter(|place| place.component != code.component) {
        let Some(seen) = results.seen(&place) else {
            continue;
        };
        if seen.share(|value| is_number(value) || is_loinc(value)) > 0.2 || seen.values.len() < 2 {
            continue;
        }
        let (mut several, mut apart) = (0, 0);
        for sheet in sheets {
            let (rows, pairs, codes) = repeats(sheet, code, &place);
            several += rows - codes;
            apart += pairs - codes;
        }
        if several > 0 && apart * 2 > several {
            return Some(Guess {
                why: format!("tells {apart} of {several} further results of one code apart"),
                places: vec![place],
            });
        }
    }
    None
}

/// Results of a message, different pairs of code and aspect, different codes.
fn repeats(sheet: &Sheet, code: &Place, aspect: &Place) -> (usize, usize, usize) {
    let (mut rows, mut pairs, mut codes) = (0, BTreeSet::new(), BTreeSet::new());
    for row in sheet.named(&code.record) {
        let own = row.part(code.field, code.component, sheet.marks);
        rows += 1;
        codes.insert(own);
        pairs.insert((own, row.part(aspect.field, aspect.component, sheet.marks)));
    }
    (rows, pairs.len(), codes.len())
}

impl Codes {
    fn look(&mut self, protocol: Protocol, place: &Place, row: &Row, sheet: &Sheet) {
        let marks = sheet.marks;
        let sent = row.part(place.field, place.component, marks).trim();
        let cut = self.cut_at.and_then(|mark| sent.split(mark).next());
        let mut code = cut.unwrap_or(sent).to_owned();
        let aspect = self.aspect.as_ref().and_then(Guess::first);
        let aspect = aspect.map_or("", |place| row.part(place.field, place.component, marks));
        if code.is_empty() || code.chars().count() > CODE_MAX {
            return;
        }
        if !aspect.is_empty() {
            code = format!("{code}^{aspect}");
        }
        if self.seen.len() >= CODES_MAX && !self.seen.contains_key(&code) {
            return;
        }
        let (value, unit, range, flags) = match protocol {
            Protocol::Astm => (row.field(4), row.field(5), row.field(6), row.field(7)),
            Protocol::Hl7 => (
                row.field(5),
                row.part(6, 1, marks),
                row.field(7),
                row.field(8),
            ),
        };
        let seen = self.seen.entry(code).or_default();
        seen.rows += 1;
        *seen.units.entry(unit.trim().to_owned()).or_default() += 1;
        if is_range(range) {
            add(&mut seen.ranges, range.trim());
        }
        if !flags.trim().is_empty() && flags.len() <= 12 {
            *seen.flags.entry(flags.trim().to_owned()).or_default() += 1;
        }
        let value = value.trim_matches(marks.component).trim();
        if is_common_word(value) {
            add(&mut seen.words, value);
        } else {
            add(&mut seen.shapes, &shape(value));
        }
        if protocol == Protocol::Hl7 {
            add(&mut seen.types, row.field(2));
        }
        let parts = (1..=8).map(|part| row.part(place.field, part, marks));
        seen.loinc = parts
            .into_iter()
            .find(|part| is_loinc(part))
            .map(str::to_owned)
            .or_else(|| seen.loinc.take());
    }
}

fn add(set: &mut BTreeSet<String>, value: &str) {
    if !value.is_empty() && set.len() < SAMPLES_MAX && value.chars().count() <= CODE_MAX {
        set.insert(value.to_owned());
    }
}
