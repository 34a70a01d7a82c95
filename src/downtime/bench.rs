//! What is ordered and not measured, by device: the list that one works by.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::{self, BookPatient, json},
    bridge::Site,
    model::{OrderStatus, Priority},
    store::{Db, Sql, StoreError},
};

/// In the words of the index `order_item_open`.
const OPEN: Sql = Sql::same(
    "SELECT specimen FROM order_item WHERE status IN ('SC', 'A') AND created_at >= $1 \
     ORDER BY created_at LIMIT $2",
);
/// Whatever came of a test and was not given up: it need not be measured for this list.
const MEASURED: Sql = Sql {
    sqlite: "SELECT DISTINCT specimen, test FROM result \
             WHERE barcode IN (SELECT value FROM json_each($1)) AND specimen IS NOT NULL \
             AND test IS NOT NULL AND state IN ('released', 'held', 'kept', 'waiting')",
    postgres: "SELECT DISTINCT specimen, test FROM result WHERE barcode IN \
               (SELECT value FROM json_array_elements_text($1::json) AS t(value)) \
               AND specimen IS NOT NULL AND test IS NOT NULL \
               AND state IN ('released', 'held', 'kept', 'waiting')",
};

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OPEN, &MEASURED];

/// Tubes looked at: what a laboratory has open at once.
const TUBES_MAX: i64 = 3_000;

/// One device with what it has to do.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Its line.
    pub line: String,
    /// Tubes, the urgent first, then the oldest.
    pub open: Vec<Open>,
}

/// A tube with tests that are to be measured.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its barcode.
    pub barcode: String,
    /// Whose it is.
    pub patient: BookPatient,
    /// Of its most urgent order.
    pub priority: Priority,
    /// Since when, microseconds UTC.
    pub since: i64,
    /// Catalogue tests.
    pub tests: Vec<String>,
    /// It has an order that was keyed in.
    pub is_keyed: bool,
}

/// What is ordered since an instant (microseconds UTC) and not measured, by every device that measures
/// it.
///
/// # Errors
/// The store's.
pub fn benches(db: &mut dyn Db, site: &Site, since: i64) -> Result<Vec<Bench>, StoreError> {
    let open = todo(db, since)?;
    let mut benches = Vec::new();
    for line in site.lines.values() {
        let measures = |test: &String| !line.profile.codes_of(test).is_empty();
        let own = open.iter().filter_map(|tube| {
            let tests: Vec<String> = tube
                .tests
                .iter()
                .filter(|test| measures(test))
                .cloned()
                .collect();
            (!tests.is_empty()).then(|| Open {
                tests,
                ..tube.clone()
            })
        });
        benches.push(Bench {
            line: line.id.clone(),
            open: own.collect(),
        });
    }
    Ok(benches)
}

fn todo(db: &mut dyn Db, since: i64) -> Result<Vec<Open>, StoreError> {
    let rows = db.rows(&OPEN, &[since.into(), TUBES_MAX.into()])?;
    let ids: BTreeSet<i64> = rows
        .iter()
        .map(|row| row.int(0))
        .collect::<Result<_, _>>()?;
    let ids: Vec<i64> = ids.into_iter().collect();
    let tubes = book::specimens_by_ids(db, &ids)?;
    let items = book::items_of(db, &ids)?;
    let owners: BTreeSet<i64> = tubes.values().map(|tube| tube.patient).collect();
    let patients = book::patients_of(db, &owners)?;
    let barcodes: Vec<&String> = tubes.values().map(|tube| &tube.barcode).collect();
    let mut measured: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in db.rows(&MEASURED, &[json(&barcodes)?.into()])? {
        let tests = measured.entry(row.int(0)?).or_default();
        tests.push(row.text(1)?.to_owned());
    }
    let mut open = Vec::new();
    for (id, tube) in tubes {
        let items = items.get(&id).map_or(&[][..], Vec::as_slice);
        let wanted = items
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled);
        let done = measured.get(&id).map_or(&[][..], Vec::as_slice);
        let mut tests: Vec<String> = Vec::new();
        for test in wanted.clone().flat_map(|item| &item.tests) {
            if !done.contains(test) && !tests.contains(test) {
                tests.push(test.clone());
            }
        }
        let Some(patient) = patients.get(&tube.patient).filter(|_| !tests.is_empty()) else {
            continue;
        };
        open.push(Open {
            barcode: tube.barcode,
            patient: patient.clone(),
            priority: wanted
                .clone()
                .map(|item| item.priority)
                .min()
                .unwrap_or_default(),
            since: wanted
                .clone()
                .map(|item| item.created_at)
                .min()
                .unwrap_or_default(),
            tests,
            is_keyed: wanted.clone().any(|item| book::is_keyed(&item.host)),
        });
    }
    open.sort_by_key(|tube| (tube.priority, tube.since));
    Ok(open)
}
