//! Which tube, which order, which patient.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen},
    model::{
        Hold, Observation, OrderStatus, PatientSeen, Priority, ResultState, ResultStatus, Value,
    },
    store::{Db, StoreError},
};

use super::{
    SettleContext,
    decide::Decision,
    rows::{self, Known},
};

/// What a barcode means now.
#[derive(Debug)]
pub(super) enum TubeMatch {
    /// No order on it in time.
    Unknown,
    /// Active for two patients.
    Ambiguous,
    /// Every order on it was cancelled.
    Cancelled,
    /// One tube of one patient.
    One(Box<Tube>),
}

impl TubeMatch {
    pub(super) fn specimen(&self) -> Option<i64> {
        match self {
            Self::One(tube) => Some(tube.specimen.id),
            Self::Unknown | Self::Ambiguous | Self::Cancelled => None,
        }
    }
}

/// A tube with everything that decides about its results.
#[derive(Debug)]
pub(super) struct Tube {
    pub(super) specimen: BookSpecimen,
    pub(super) patient: BookPatient,
    pub(super) items: Vec<BookItem>,
    /// Result versions of this tube that count, released or held; and of transfusion what nobody
    /// ordered and is kept: the wells that a group is read from are seldom ordered.
    pub(super) current: Vec<Current>,
    /// Nobody ordered on it, and the site posts its results all the same.
    pub(super) is_unordered: bool,
}

/// A result version that counts.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) id: i64,
    pub(super) test: String,
    /// What it is about besides the tube.
    pub(super) about: Option<String>,
    pub(super) state: ResultState,
    pub(super) version: i64,
    pub(super) text: String,
    pub(super) unit: String,
    /// No value of its own that could be final: preliminary, absent, cannot be done.
    pub(super) is_weak: bool,
    pub(super) is_incomplete: bool,
    /// The typed value, for tests whose values are compared with those of others.
    pub(super) value: Value,
    /// Not final by the device's word.
    pub(super) is_preliminary: bool,
    /// It takes the place of what came before it.
    pub(super) is_correction: bool,
}

impl Current {
    /// From id, test, state and version of a row, and what it says.
    pub(super) fn new(
        (id, test, state, version): (i64, String, ResultState, i64),
        observation: &Observation,
        holds: &[Hold],
    ) -> Self {
        Self {
            id,
            test,
            about: observation.about.clone(),
            state,
            version,
            text: observation.text.clone(),
            unit: observation.unit.clone(),
            is_weak: super::decide::is_weak(holds),
            is_incomplete: super::decide::is_incomplete(holds),
            value: observation.value.clone(),
            is_preliminary: observation.status == ResultStatus::NotFinal,
            is_correction: super::decide::is_correction(observation),
        }
    }
}

/// What some barcodes mean, and what has been stored under them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tubes: BTreeMap<String, TubeMatch>,
    pub(super) known: Known,
}

/// Looks up many barcodes by a handful of statements, however many they are. Results as old as
/// `repeats_since` can be repeated.
pub(super) fn find(
    db: &mut dyn Db,
    barcodes: &BTreeSet<&str>,
    context: &SettleContext<'_>,
    repeats_since: i64,
) -> Result<Found, StoreError> {
    if barcodes.is_empty() {
        return Ok(Found::default());
    }
    let list: Vec<&str> = barcodes.iter().copied().collect();
    let age = context.specimen_age_max;
    let since = context.now.saturating_sub(age);
    let specimens = book::specimens_with_barcodes(db, &list, since)?;
    let mut items = if specimens.is_empty() {
        BTreeMap::new()
    } else {
        let ids: Vec<i64> = specimens.iter().map(|specimen| specimen.id).collect();
        book::items_of(db, &ids)?
    };
    // A result may have come before its order, and waited as long as an order is matched.
    let ordered = items.values().flatten().map(|item| item.created_at).min();
    let oldest = ordered.map_or(repeats_since, |at| at.saturating_sub(age));
    let is_read = |test: &str| context.site.blood(test).is_some();
    let stored = rows::of_barcodes(db, &list, repeats_since.min(oldest), &is_read)?;
    let mut of_barcode: BTreeMap<String, Vec<(BookSpecimen, Vec<BookItem>)>> = BTreeMap::new();
    for specimen in specimens {
        let own = items.remove(&specimen.id).unwrap_or_default();
        let tubes = of_barcode.entry(specimen.barcode.clone()).or_default();
        tubes.push((specimen, own));
    }
    let mut chosen: BTreeMap<&str, Choice> = BTreeMap::new();
    for barcode in &list {
        let tubes = of_barcode.remove(*barcode).unwrap_or_default();
        chosen.insert(barcode, choose(tubes));
    }
    let owners: BTreeSet<i64> = chosen.values().filter_map(Choice::patient).collect();
    let patients = if owners.is_empty() {
        BTreeMap::new()
    } else {
        book::patients_of(db, &owners)?
    };
    let mut current = stored.current;
    let mut tubes = BTreeMap::new();
    for (barcode, choice) in chosen {
        let tube = match choice {
            Choice::None(tube) => tube,
            Choice::One(specimen, items) => {
                let patient = patients
                    .get(&specimen.patient)
                    .cloned()
                    .ok_or_else(|| StoreError::value("a tube names a patient that is not there"))?;
                TubeMatch::One(Box::new(Tube {
                    current: current.remove(&specimen.id).unwrap_or_default(),
                    specimen,
                    patient,
                    items,
                    is_unordered: false,
                }))
            }
        };
        tubes.insert(barcode.to_owned(), tube);
    }
    Ok(Found {
        tubes,
        known: stored.known,
    })
}

/// What the tubes of one barcode come to.
enum Choice {
    None(TubeMatch),
    One(BookSpecimen, Vec<BookItem>),
}

impl Choice {
    fn patient(&self) -> Option<i64> {
        match self {
            Self::None(_) => None,
            Self::One(specimen, _) => Some(specimen.patient),
        }
    }
}

/// `tubes` by generation.
fn choose(tubes: Vec<(BookSpecimen, Vec<BookItem>)>) -> Choice {
    let mut active: Vec<(BookSpecimen, Vec<BookItem>)> = Vec::new();
    let mut has_cancelled = false;
    for (specimen, items) in tubes {
        if items
            .iter()
            .any(|item| item.status != OrderStatus::Cancelled)
        {
            active.push((specimen, items));
        } else {
            has_cancelled |= !items.is_empty();
        }
    }
    let Some((newest, items)) = active.pop() else {
        return Choice::None(if has_cancelled {
            TubeMatch::Cancelled
        } else {
            TubeMatch::Unknown
        });
    };
    if active
        .iter()
        .any(|(specimen, _)| specimen.patient != newest.patient)
    {
        return Choice::None(TubeMatch::Ambiguous);
    }
    Choice::One(newest, items)
}

impl Tube {
    /// Whether an item that is not cancelled asks for the test.
    pub(super) fn orders(&self, test: &str) -> bool {
        self.asks(test, |status| status != OrderStatus::Cancelled)
    }

    /// Whether a host asks for the test, and not only people who keyed an order in for it.
    pub(super) fn orders_at_host(&self, test: &str) -> bool {
        let mut items = self.items.iter().filter(|item| !book::is_keyed(&item.host));
        items.any(|item| {
            item.status != OrderStatus::Cancelled && item.tests.iter().any(|asked| asked == test)
        })
    }

    /// Whether the test is asked for by a keyed order alone.
    pub(super) fn is_provisional(&self, test: &str) -> bool {
        self.orders(test) && !self.orders_at_host(test)
    }

    /// Whether a cancelled item asked for the test.
    pub(super) fn cancelled(&self, test: &str) -> bool {
        self.asks(test, |status| status == OrderStatus::Cancelled)
    }

    fn asks(&self, test: &str, matches: impl Fn(OrderStatus) -> bool) -> bool {
        self.items
            .iter()
            .any(|item| matches(item.status) && item.tests.iter().any(|asked| asked == test))
    }

    /// The most urgent item's priority.
    pub(super) fn priority(&self) -> Priority {
        self.items
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled)
            .map(|item| item.priority)
            .min()
            .unwrap_or_default()
    }

    pub(super) fn has_released(&self, test: &str) -> bool {
        self.current
            .iter()
            .any(|row| row.test == test && row.state == ResultState::Released)
    }

    /// Keeps what was decided, for the next result of the same message.
    pub(super) fn remember(&mut self, id: i64, observation: &Observation, decision: &Decision) {
        self.current
            .retain(|row| row.id != id && !decision.replaces.contains(&row.id));
        let counts = matches!(decision.state, ResultState::Released | ResultState::Held);
        let is_kept = decision.state == ResultState::Kept;
        if !counts && !is_kept {
            return;
        }
        let Some(test) = observation.test.clone() else {
            return;
        };
        let (state, version) = (decision.state, decision.version);
        let row = Current::new((id, test, state, version), observation, &decision.holds);
        self.current.push(row);
    }

    /// What speaks against this being the order's patient: a detail without patient data.
    pub(super) fn mismatch(&self, seen: &PatientSeen) -> Option<&'static str> {
        let known = &self.patient.identifiers;
        let ids: Vec<&str> = seen
            .ids
            .iter()
            .map(|id| id.expose().as_str())
            .filter(|id| !id.is_empty())
            .collect();
        let is_other = !ids.is_empty()
            && !known.is_empty()
            && !ids
                .iter()
                .any(|id| known.iter().any(|other| other.expose() == id));
        if is_other {
            return Some("patient id");
        }
        let (birth, ordered) = (seen.birth.expose(), self.patient.birth.expose());
        if is_whole_date(birth) && is_whole_date(ordered) && birth.get(..8) != ordered.get(..8) {
            return Some("birth date");
        }
        match (seen.sex, self.patient.sex) {
            (Some(seen), Some(ordered)) if seen != ordered => Some("sex"),
            _ => None,
        }
    }
}

fn is_whole_date(text: &str) -> bool {
    text.len() >= 8 && text.bytes().take(8).all(|byte| byte.is_ascii_digit())
}
