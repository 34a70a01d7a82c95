//! Which tube, which order, which patient.

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen},
    model::{Observation, OrderStatus, PatientSeen, Priority, ResultState},
    store::{Db, StoreError},
};

use super::{decide::Decision, rows};

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
    /// Result versions of this tube that count: released or held.
    pub(super) current: Vec<Current>,
    /// Nobody ordered on it, and the site posts its results all the same.
    pub(super) is_unordered: bool,
}

/// A result version that counts.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) id: i64,
    pub(super) test: String,
    pub(super) state: ResultState,
    pub(super) version: i64,
    pub(super) text: String,
    pub(super) unit: String,
    /// No value of its own that could be final: preliminary, absent, cannot be done.
    pub(super) is_weak: bool,
    pub(super) is_incomplete: bool,
}

pub(super) fn find(db: &mut dyn Db, barcode: &str, since: i64) -> Result<TubeMatch, StoreError> {
    let mut active: Vec<(BookSpecimen, Vec<BookItem>)> = Vec::new();
    let mut has_cancelled = false;
    for specimen in book::specimens_with_barcode(db, barcode, since)? {
        let items = book::open_items(db, specimen.id)?;
        if items
            .iter()
            .any(|item| item.status != OrderStatus::Cancelled)
        {
            active.push((specimen, items));
        } else {
            has_cancelled |= !items.is_empty();
        }
    }
    let Some((newest, _)) = active.last() else {
        return Ok(if has_cancelled {
            TubeMatch::Cancelled
        } else {
            TubeMatch::Unknown
        });
    };
    let patient = newest.patient;
    if active
        .iter()
        .any(|(specimen, _)| specimen.patient != patient)
    {
        return Ok(TubeMatch::Ambiguous);
    }
    let Some((specimen, items)) = active.pop() else {
        return Ok(TubeMatch::Unknown);
    };
    let patient = book::patient_of(db, patient)?;
    let current = rows::current_of(db, specimen.id)?;
    Ok(TubeMatch::One(Box::new(Tube {
        specimen,
        patient,
        items,
        current,
        is_unordered: false,
    })))
}

impl Tube {
    /// Whether an item that is not cancelled asks for the test.
    pub(super) fn orders(&self, test: &str) -> bool {
        self.asks(test, |status| status != OrderStatus::Cancelled)
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
        if !matches!(decision.state, ResultState::Released | ResultState::Held) {
            return;
        }
        let Some(test) = observation.test.clone() else {
            return;
        };
        self.current.push(Current {
            id,
            test,
            state: decision.state,
            version: decision.version,
            text: observation.text.clone(),
            unit: observation.unit.clone(),
            is_weak: super::decide::is_weak(&decision.holds),
            is_incomplete: super::decide::is_incomplete(&decision.holds),
        });
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
