//! Results for the ward on paper: what was released, or kept for it by a person; never what is held.

use crate::{
    book::{self, BookItem, BookPatient},
    model::{HoldReason, OrderStatus, ResultState},
    settle::{self, StoredResult},
    store::{Db, StoreError},
};

/// One tube of one patient.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Its barcode.
    pub barcode: String,
    /// Whose it is.
    pub patient: BookPatient,
    /// Its orders that are not cancelled.
    pub items: Vec<BookItem>,
    /// Values, by test.
    pub lines: Vec<Line>,
    /// Results that nobody has decided about yet, and that are not here for that.
    pub undecided: usize,
    /// Ordered tests without any result.
    pub missing: Vec<String>,
}

/// A value that may be told.
#[derive(Clone, Debug)]
pub struct Line {
    /// The result.
    pub result: StoredResult,
    /// A person kept it for the ward, and no host has ordered it yet.
    pub is_provisional: bool,
    /// The value that it takes the place of, where the ward may have seen another.
    pub before: Option<StoredResult>,
}

/// The tubes of a barcode that have an order since an instant (microseconds UTC); more than one where
/// two patients have it.
///
/// # Errors
/// The store's.
pub fn sheets(db: &mut dyn Db, barcode: &str, since: i64) -> Result<Vec<Sheet>, StoreError> {
    let results = settle::of_barcode(db, barcode)?;
    let mut sheets = Vec::new();
    for tube in book::specimens_with_barcode(db, barcode, since)? {
        let mut items = book::open_items(db, tube.id)?;
        items.retain(|item| item.status != OrderStatus::Cancelled);
        if items.is_empty() {
            continue;
        }
        let own: Vec<&StoredResult> = results
            .iter()
            .filter(|one| one.specimen == Some(tube.id))
            .collect();
        let lines = own.iter().filter_map(|one| line(one, &own)).collect();
        let undecided = own
            .iter()
            .filter(|one| matches!(one.state, ResultState::Held | ResultState::Waiting));
        let has = |test: &String| {
            let mut found = own
                .iter()
                .filter(|one| one.observation.test.as_ref() == Some(test));
            found.any(|one| is_told(one) || one.state.is_open())
        };
        let mut missing: Vec<String> = Vec::new();
        for test in items.iter().flat_map(|item| &item.tests) {
            if !has(test) && !missing.contains(test) {
                missing.push(test.clone());
            }
        }
        sheets.push(Sheet {
            barcode: tube.barcode.clone(),
            patient: book::patient_of(db, tube.patient)?,
            lines,
            undecided: undecided.count(),
            missing,
            items,
        });
    }
    Ok(sheets)
}

/// Whether people keyed the order in, and a person kept the result for the ward.
fn is_provisional(result: &StoredResult) -> bool {
    let mut reasons = result.holds.iter().map(|hold| hold.reason);
    result.state == ResultState::Kept && reasons.any(|one| one == HoldReason::ProvisionalOrder)
}

fn is_told(result: &StoredResult) -> bool {
    result.state == ResultState::Released || is_provisional(result)
}

fn line(result: &StoredResult, own: &[&StoredResult]) -> Option<Line> {
    if !is_told(result) || result.observation.test.is_none() {
        return None;
    }
    let before = result
        .supersedes
        .and_then(|id| own.iter().find(|one| one.id == id));
    let is_other = |one: &&&StoredResult| {
        one.state == ResultState::Replaced && one.observation.text != result.observation.text
    };
    Some(Line {
        is_provisional: is_provisional(result),
        before: before.filter(is_other).map(|one| (**one).clone()),
        result: result.clone(),
    })
}
