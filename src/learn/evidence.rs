//! What stood at every place of what was heard.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    rows::{Place, Sheet},
    shape::{is_id, is_time},
};

/// Different values of one place that are kept; thousands more prove nothing else.
const VALUES_MAX: usize = 4_096;
/// Characters of a value that are kept.
const VALUE_MAX: usize = 80;
/// Components of a field that are told apart.
const COMPONENTS_MAX: usize = 12;

/// What stood at one place.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// Rows in which it was filled.
    pub(super) filled: usize,
    /// Messages in which it was filled.
    pub(super) messages: BTreeSet<usize>,
    /// Values with how often.
    pub(super) values: BTreeMap<String, usize>,
    /// Sum over messages of the share of different values among the filled rows.
    spread: f64,
}

impl Seen {
    pub(super) fn share(&self, is: impl Fn(&str) -> bool) -> f64 {
        let fitting: usize = self
            .values
            .iter()
            .filter(|(value, _)| is(value))
            .map(|(_, times)| times)
            .sum();
        ratio(fitting, self.values.values().sum())
    }

    /// How different the values of one message are from one another: 1 where none comes twice.
    pub(super) fn spread(&self) -> f64 {
        if self.messages.is_empty() {
            0.0
        } else {
            self.spread / real(self.messages.len())
        }
    }

    pub(super) fn looks_like_id(&self) -> f64 {
        self.share(is_id)
    }

    pub(super) fn looks_like_time(&self) -> f64 {
        self.share(is_time)
    }
}

/// All places of the messages of one kind.
#[derive(Clone, Default)]
pub(super) struct Evidence {
    /// Messages looked at.
    pub(super) messages: usize,
    /// Rows by name.
    pub(super) rows: BTreeMap<String, usize>,
    pub(super) places: BTreeMap<Place, Seen>,
}

impl Evidence {
    pub(super) fn of(sheets: &[&Sheet]) -> Self {
        let mut evidence = Self::default();
        for sheet in sheets {
            evidence.look(sheet);
        }
        evidence
    }

    pub(super) fn seen(&self, place: &Place) -> Option<&Seen> {
        self.places.get(place)
    }

    pub(super) fn at(&self, record: &str, field: usize, component: usize) -> Option<&Seen> {
        self.seen(&Place::new(record, field, component))
    }

    /// The places of a record, in order.
    pub(super) fn of_record<'e>(
        &'e self,
        record: &'e str,
    ) -> impl Iterator<Item = (&'e Place, &'e Seen)> {
        self.places
            .iter()
            .filter(move |(place, _)| place.record == record)
    }

    /// How many rows of its record fill a place.
    pub(super) fn cover(&self, place: &Place) -> f64 {
        let rows = self.rows.get(&place.record).copied().unwrap_or(0);
        ratio(self.seen(place).map_or(0, |seen| seen.filled), rows)
    }

    fn look(&mut self, sheet: &Sheet) {
        let message = self.messages;
        self.messages += 1;
        let mut here: BTreeMap<Place, BTreeMap<String, usize>> = BTreeMap::new();
        for row in &sheet.rows {
            if !is_name(&row.name) {
                continue;
            }
            *self.rows.entry(row.name.clone()).or_default() += 1;
            for index in 1..row.pieces.len() {
                let number = row.number(index);
                let field = row.field(number);
                note(&mut here, Place::new(&row.name, number, 0), field);
                // Repeats of what is asked about are further tubes; elsewhere the first one stands
                // for all.
                let repeats = if is_question(&row.name) {
                    usize::MAX
                } else {
                    1
                };
                for repeat in field.split(sheet.marks.repeat).take(repeats) {
                    let parts = repeat.split(sheet.marks.component).take(COMPONENTS_MAX);
                    for (component, part) in (1..).zip(parts) {
                        note(&mut here, Place::new(&row.name, number, component), part);
                    }
                }
            }
        }
        for (place, values) in here {
            self.add(message, place, &values);
        }
    }

    fn add(&mut self, message: usize, place: Place, values: &BTreeMap<String, usize>) {
        let seen = self.places.entry(place).or_default();
        let filled: usize = values.values().sum();
        seen.filled += filled;
        seen.messages.insert(message);
        seen.spread += ratio(values.len(), filled);
        for (value, times) in values {
            if seen.values.len() < VALUES_MAX || seen.values.contains_key(value) {
                *seen.values.entry(value.clone()).or_default() += times;
            }
        }
    }
}

fn note(here: &mut BTreeMap<Place, BTreeMap<String, usize>>, place: Place, value: &str) {
    if !value.trim().is_empty() {
        let value: String = value.chars().take(VALUE_MAX).collect();
        *here.entry(place).or_default().entry(value).or_default() += 1;
    }
}

/// A record letter or the name of a segment: what else stands there is no row of the protocol.
fn is_name(name: &str) -> bool {
    matches!(name.len(), 1 | 3)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

pub(super) fn is_question(name: &str) -> bool {
    matches!(name, "Q" | "QRD" | "QPD")
}

pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        real(part) / real(whole)
    }
}

fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
