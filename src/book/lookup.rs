//! Reading the book: tubes by barcode, open items, what a device may be asked to measure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{OrderStatus, Priority, Private, Sex},
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{
    change::{json, unjson},
    entry::{Content, Fields},
    patient,
};

const BY_BARCODES: Sql = Sql {
    sqlite: "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
             WHERE barcode IN (SELECT value FROM json_each($1)) AND ordered_at >= $2 \
             ORDER BY barcode, generation",
    postgres: "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
               WHERE barcode IN (SELECT value FROM json_array_elements_text($1::json) AS t(value)) \
               AND ordered_at >= $2 ORDER BY barcode, generation",
};
const BY_ID: Sql = Sql::same(
    "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
     WHERE id = $1",
);
const BY_IDS: Sql = Sql {
    sqlite: "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
             WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
               WHERE id IN (SELECT value::bigint FROM json_array_elements_text($1::json) \
               AS t(value))",
};
const ITEMS: Sql = Sql {
    sqlite: "SELECT id, host, placer, service, filler, status, priority, content, specimen, \
             created_at FROM order_item \
             WHERE specimen IN (SELECT value FROM json_each($1)) ORDER BY id",
    postgres: "SELECT id, host, placer, service, filler, status, priority, content, specimen, \
               created_at FROM order_item WHERE specimen IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               ORDER BY id",
};
const ITEM: Sql = Sql::same(
    "SELECT id, host, placer, service, filler, status, priority, content, specimen, created_at \
     FROM order_item WHERE id = $1",
);
const TESTS: Sql =
    Sql::same("SELECT test FROM order_test WHERE order_item = $1 ORDER BY position, test");
const PATIENTS: Sql = Sql {
    sqlite: "SELECT id, fields, birth, sex FROM patient \
             WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT id, fields, birth, sex FROM patient WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};
/// Those of each patient, of those merged into it, of those merged into these, and so on.
const IDENTIFIERS: Sql = Sql {
    sqlite: "WITH RECURSIVE one(root, id) AS (SELECT value, value FROM json_each($1) \
             UNION SELECT one.root, p.id FROM one JOIN patient p ON p.merged_into = one.id) \
             SELECT DISTINCT one.root, i.identifier FROM one \
             JOIN patient_identifier i ON i.patient = one.id ORDER BY one.root, i.identifier",
    postgres: "WITH RECURSIVE one(root, id) AS (SELECT value::bigint, value::bigint \
               FROM json_array_elements_text($1::json) AS t(value) \
               UNION SELECT one.root, p.id FROM one JOIN patient p ON p.merged_into = one.id) \
               SELECT DISTINCT one.root, i.identifier FROM one \
               JOIN patient_identifier i ON i.patient = one.id ORDER BY one.root, i.identifier",
};
const RELEASED_TESTS: Sql = Sql::same(
    "SELECT DISTINCT test FROM result \
     WHERE barcode = (SELECT barcode FROM specimen WHERE id = $1) AND specimen = $1 \
     AND state = 'released' AND test IS NOT NULL",
);
/// Tubes with a test in `$4` (or any, by `$5`) that is ordered and has no released result: what this
/// line was not told of goes first, then what is urgent, then what is old. `$8` is the length of the
/// ids of a range from `$6` to `$7`, 0 without one.
const OPEN_SPECIMENS: Sql = Sql {
    sqlite: "SELECT s.barcode FROM order_item i JOIN specimen s ON s.id = i.specimen \
             WHERE i.status IN ('SC', 'A') AND i.created_at >= $1 \
             AND ($8 = 0 OR (length(s.barcode) = $8 AND s.barcode BETWEEN $6 AND $7)) \
             AND EXISTS (SELECT 1 FROM order_test t WHERE t.order_item = i.id \
               AND ($5 OR t.test IN (SELECT value FROM json_each($4))) \
               AND NOT EXISTS (SELECT 1 FROM result r WHERE r.barcode = s.barcode \
                 AND r.specimen = s.id AND r.test = t.test AND r.state = 'released')) \
             GROUP BY s.barcode \
             ORDER BY min(EXISTS (SELECT 1 FROM order_told o \
               WHERE o.order_item = i.id AND o.line = $3)), \
             min(i.priority), min(i.created_at), s.barcode LIMIT $2",
    postgres: "SELECT s.barcode FROM order_item i JOIN specimen s ON s.id = i.specimen \
               LEFT JOIN order_told o ON o.order_item = i.id AND o.line = $3 \
               WHERE i.status IN ('SC', 'A') AND i.created_at >= $1 \
               AND ($8::bigint = 0 OR (length(s.barcode) = $8 \
                 AND s.barcode BETWEEN $6 AND $7)) \
               AND EXISTS (SELECT 1 FROM order_test t WHERE t.order_item = i.id \
                 AND ($5::bigint <> 0 OR t.test IN (SELECT value \
                   FROM json_array_elements_text($4::json) AS t(value))) \
                 AND NOT EXISTS (SELECT 1 FROM result r WHERE r.barcode = s.barcode \
                   AND r.specimen = s.id AND r.test = t.test AND r.state = 'released')) \
               GROUP BY s.barcode ORDER BY min(CASE WHEN o.line IS NULL THEN 0 ELSE 1 END), \
               min(i.priority), min(i.created_at), s.barcode LIMIT $2",
};
/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &BY_BARCODES,
    &BY_IDS,
    &BY_ID,
    &ITEMS,
    &TESTS,
    &PATIENTS,
    &IDENTIFIERS,
    &RELEASED_TESTS,
    &OPEN_SPECIMENS,
    &ITEM,
];

/// A tube in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSpecimen {
    /// Row id.
    pub id: i64,
    /// The host that ordered on it.
    pub host: String,
    /// Exactly as ordered.
    pub barcode: String,
    /// The surviving patient.
    pub patient: i64,
    /// SPM fields as ordered.
    pub fields: Fields,
    /// Microseconds UTC, where the order said so.
    pub collected_at: Option<i64>,
    /// Its newest order, microseconds UTC.
    pub ordered_at: i64,
}

/// One ordered item in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookItem {
    /// Row id.
    pub id: i64,
    /// The host that ordered it.
    pub host: String,
    /// Placer number.
    pub placer: String,
    /// Service code as ordered.
    pub service: String,
    /// Filler number.
    pub filler: String,
    /// Its status.
    pub status: OrderStatus,
    /// How urgent.
    pub priority: Priority,
    /// Catalogue tests, in the catalogue's order.
    pub tests: Vec<String>,
    /// ORC fields as ordered.
    pub orc: Fields,
    /// OBR fields as ordered.
    pub obr: Fields,
    /// When it was ordered, microseconds UTC.
    pub created_at: i64,
}

/// A patient in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookPatient {
    /// PID fields as ordered.
    pub fields: Private<Fields>,
    /// `YYYYMMDD` or empty.
    pub birth: Private<String>,
    /// Sex where known.
    pub sex: Option<Sex>,
    /// Every PID-3.1 of the patient and of those merged into it.
    pub identifiers: Vec<Private<String>>,
}

/// The tubes with this barcode that have an order since `since` (microseconds UTC).
///
/// # Errors
/// The store's.
pub fn specimens_with_barcode(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
) -> Result<Vec<BookSpecimen>, StoreError> {
    specimens_with_barcodes(db, &[barcode], since)
}

/// The same for many barcodes, by one statement; those of a barcode by generation.
///
/// # Errors
/// The store's.
pub fn specimens_with_barcodes(
    db: &mut dyn Db,
    barcodes: &[&str],
    since: i64,
) -> Result<Vec<BookSpecimen>, StoreError> {
    let rows = db.rows(&BY_BARCODES, &[json(&barcodes)?.into(), since.into()])?;
    let mut specimens = rows
        .iter()
        .map(specimen_unresolved)
        .collect::<Result<Vec<_>, _>>()?;
    resolve_owners(db, &mut specimens)?;
    Ok(specimens)
}

/// One tube.
///
/// # Errors
/// The store's; `OurBug` when there is none with that id.
pub fn specimen_by_id(db: &mut dyn Db, id: i64) -> Result<BookSpecimen, StoreError> {
    match db.row_opt(&BY_ID, &[id.into()])? {
        Some(row) => specimen(db, &row),
        None => Err(StoreError::value(
            "a row names a specimen that is not there",
        )),
    }
}

/// Tubes by id, by few statements.
///
/// # Errors
/// The store's.
pub fn specimens_by_ids(
    db: &mut dyn Db,
    ids: &[i64],
) -> Result<BTreeMap<i64, BookSpecimen>, StoreError> {
    let rows = db.rows(&BY_IDS, &[json(&ids)?.into()])?;
    let mut specimens = rows
        .iter()
        .map(specimen_unresolved)
        .collect::<Result<Vec<_>, _>>()?;
    resolve_owners(db, &mut specimens)?;
    Ok(specimens.into_iter().map(|tube| (tube.id, tube)).collect())
}

fn resolve_owners(db: &mut dyn Db, specimens: &mut [BookSpecimen]) -> Result<(), StoreError> {
    let owners: BTreeSet<i64> = specimens.iter().map(|tube| tube.patient).collect();
    let survivors = patient::resolve_all(db, &owners)?;
    for tube in specimens {
        tube.patient = survivors
            .get(&tube.patient)
            .copied()
            .unwrap_or(tube.patient);
    }
    Ok(())
}

fn specimen(db: &mut dyn Db, row: &Row) -> Result<BookSpecimen, StoreError> {
    let unresolved = specimen_unresolved(row)?;
    Ok(BookSpecimen {
        patient: patient::resolve(db, unresolved.patient)?,
        ..unresolved
    })
}

/// Its patient may have been merged into another.
fn specimen_unresolved(row: &Row) -> Result<BookSpecimen, StoreError> {
    Ok(BookSpecimen {
        id: row.int(0)?,
        host: row.text(1)?.to_owned(),
        barcode: row.text(2)?.to_owned(),
        patient: row.int(3)?,
        fields: unjson(row.text(4)?)?,
        collected_at: row.opt_int(5)?,
        ordered_at: row.int(6)?,
    })
}

/// Every item ordered on a tube, cancelled ones too, oldest first.
///
/// # Errors
/// The store's.
pub fn open_items(db: &mut dyn Db, specimen: i64) -> Result<Vec<BookItem>, StoreError> {
    let mut items = items_of(db, &[specimen])?;
    Ok(items.remove(&specimen).unwrap_or_default())
}

/// The same for many tubes, by one statement.
///
/// # Errors
/// The store's.
pub fn items_of(
    db: &mut dyn Db,
    specimens: &[i64],
) -> Result<BTreeMap<i64, Vec<BookItem>>, StoreError> {
    let mut items: BTreeMap<i64, Vec<BookItem>> = BTreeMap::new();
    for row in db.rows(&ITEMS, &[json(&specimens)?.into()])? {
        items.entry(row.int(8)?).or_default().push(item(&row)?);
    }
    Ok(items)
}

/// One item, wherever it is ordered now.
///
/// # Errors
/// The store's; `OurBug` when there is none with that id.
pub fn item_by_id(db: &mut dyn Db, id: i64) -> Result<BookItem, StoreError> {
    match db.row_opt(&ITEM, &[id.into()])? {
        Some(row) => item(&row),
        None => Err(StoreError::value("a row names an item that is not there")),
    }
}

fn item(row: &Row) -> Result<BookItem, StoreError> {
    let id = row.int(0)?;
    let content: Content = unjson(row.text(7)?)?;
    Ok(BookItem {
        id,
        host: row.text(1)?.to_owned(),
        placer: row.text(2)?.to_owned(),
        service: row.text(3)?.to_owned(),
        filler: row.text(4)?.to_owned(),
        status: status(row.text(5)?)?,
        priority: Priority::from_rank(row.int(6)?),
        tests: content.tests,
        orc: content.orc,
        obr: content.obr,
        created_at: row.int(9)?,
    })
}

/// The catalogue tests of an item, in the catalogue's order.
///
/// # Errors
/// The store's.
pub fn tests_of(db: &mut dyn Db, item: i64) -> Result<Vec<String>, StoreError> {
    db.rows(&TESTS, &[item.into()])?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// The patient with that row id, as it stands now.
///
/// # Errors
/// The store's; `OurBug` when there is none with that id.
pub fn patient_of(db: &mut dyn Db, id: i64) -> Result<BookPatient, StoreError> {
    patients_of(db, &BTreeSet::from([id]))?
        .remove(&id)
        .ok_or_else(|| StoreError::value("a row names a patient that is not there"))
}

/// The same for many, by two statements; one that is not there is left out.
///
/// # Errors
/// The store's.
pub fn patients_of(
    db: &mut dyn Db,
    ids: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, BookPatient>, StoreError> {
    let list = json(&ids)?;
    let mut identifiers: BTreeMap<i64, Vec<Private<String>>> = BTreeMap::new();
    for row in db.rows(&IDENTIFIERS, &[list.as_str().into()])? {
        let known = identifiers.entry(row.int(0)?).or_default();
        known.push(Private::new(row.text(1)?.to_owned()));
    }
    let mut patients = BTreeMap::new();
    for row in db.rows(&PATIENTS, &[list.into()])? {
        let id = row.int(0)?;
        let patient = BookPatient {
            fields: Private::new(unjson(row.text(1)?)?),
            birth: Private::new(row.text(2)?.to_owned()),
            sex: Sex::from_code(row.text(3)?),
            identifiers: identifiers.remove(&id).unwrap_or_default(),
        };
        patients.insert(id, patient);
    }
    Ok(patients)
}

/// What any device may be told about a barcode: tubes, the oldest first, and per item that is not
/// cancelled the tests that have no released result yet. Read once for all devices of a laboratory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting(Vec<(BookSpecimen, Vec<BookItem>)>);

impl Waiting {
    /// What a device that can measure `measures` should be told.
    pub fn for_device(
        &self,
        measures: &dyn Fn(&str) -> bool,
    ) -> Option<(BookSpecimen, Vec<BookItem>)> {
        self.0.iter().rev().find_map(|(tube, items)| {
            let measured = items.iter().filter_map(|item| {
                let tests = item.tests.iter().filter(|test| measures(test));
                let tests: Vec<String> = tests.cloned().collect();
                (!tests.is_empty()).then(|| BookItem {
                    tests,
                    ..item.clone()
                })
            });
            let measured: Vec<BookItem> = measured.collect();
            (!measured.is_empty()).then(|| (tube.clone(), measured))
        })
    }
}

/// What waits on a barcode. Empty when nothing is ordered, when all is done, or when the barcode is
/// active for two patients (nobody guesses; the device gets its negative answer).
///
/// # Errors
/// The store's.
pub fn waiting(db: &mut dyn Db, barcode: &str, since: i64) -> Result<Waiting, StoreError> {
    let mut active = Vec::new();
    for tube in specimens_with_barcode(db, barcode, since)? {
        let done: Vec<String> = db
            .rows(&RELEASED_TESTS, &[tube.id.into()])?
            .iter()
            .map(|row| row.text(0).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        let mut items = open_items(db, tube.id)?;
        items.retain(|item| item.status != OrderStatus::Cancelled);
        if items.is_empty() {
            continue;
        }
        for item in &mut items {
            item.tests.retain(|test| !done.contains(test));
        }
        active.push((tube, items));
    }
    let first_patient = active.first().map(|(tube, _)| tube.patient);
    let is_of_one = |(tube, _): &(BookSpecimen, _)| Some(tube.patient) == first_patient;
    if !active.iter().all(is_of_one) {
        return Ok(Waiting::default());
    }
    Ok(Waiting(active))
}

/// [`waiting`] for one device.
///
/// # Errors
/// The store's.
pub fn waiting_for_device(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
    measures: &dyn Fn(&str) -> bool,
) -> Result<Option<(BookSpecimen, Vec<BookItem>)>, StoreError> {
    Ok(waiting(db, barcode, since)?.for_device(measures))
}

/// Whether a test of a tube has a released result.
///
/// # Errors
/// The store's.
pub fn has_released(db: &mut dyn Db, specimen: i64, test: &str) -> Result<bool, StoreError> {
    for row in db.rows(&RELEASED_TESTS, &[specimen.into()])? {
        if row.text(0)? == test {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which open tubes a device asks for that names none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenTubes<'a> {
    /// Its line.
    pub(crate) line: &'a str,
    /// Ordered since, microseconds UTC.
    pub(crate) since: i64,
    /// The catalogue tests it measures; none given: any.
    pub(crate) tests: Option<&'a BTreeSet<String>>,
    /// The first and the last id of a range; only ids as long as both are in it.
    pub(crate) range: Option<(&'a str, &'a str)>,
    /// At most so many.
    pub(crate) count_max: i64,
}

/// Barcodes with a test that the device measures, ordered and not released: those that it was not
/// told of first, so that whoever asks again gets further; of these what is urgent, then the oldest.
///
/// # Errors
/// The store's.
pub(crate) fn open_barcodes(
    db: &mut dyn Db,
    wanted: &OpenTubes<'_>,
) -> Result<Vec<String>, StoreError> {
    let (first, last) = wanted.range.unwrap_or_default();
    let length = first.chars().count();
    if length != last.chars().count() || (wanted.range.is_some() && length == 0) {
        return Ok(Vec::new());
    }
    let params: [Param; 8] = [
        wanted.since.into(),
        wanted.count_max.into(),
        wanted.line.into(),
        json(&wanted.tests)?.into(),
        i64::from(wanted.tests.is_none()).into(),
        first.into(),
        last.into(),
        i64::try_from(length).unwrap_or(i64::MAX).into(),
    ];
    db.rows(&OPEN_SPECIMENS, &params)?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

pub(super) fn status(code: &str) -> Result<OrderStatus, StoreError> {
    OrderStatus::from_code(code).ok_or_else(|| StoreError::value("unknown order status in a row"))
}
