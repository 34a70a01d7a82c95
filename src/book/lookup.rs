//! Reading the book: tubes by barcode, open items, what a device may be asked to measure.

use crate::{
    model::{OrderStatus, Priority, Private, Sex},
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{
    change::unjson,
    entry::{Content, Fields},
    patient,
};

const BY_BARCODE: Sql = Sql::same(
    "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
     WHERE barcode = $1 AND ordered_at >= $2 ORDER BY generation",
);
const BY_ID: Sql = Sql::same(
    "SELECT id, host, barcode, patient, fields, collected_at, ordered_at FROM specimen \
     WHERE id = $1",
);
const ITEMS: Sql = Sql::same(
    "SELECT id, host, placer, service, filler, status, priority, content FROM order_item \
     WHERE specimen = $1 ORDER BY id",
);
const TESTS: Sql =
    Sql::same("SELECT test FROM order_test WHERE order_item = $1 ORDER BY position, test");
const PATIENT: Sql = Sql::same("SELECT fields, birth, sex FROM patient WHERE id = $1");
const IDENTIFIERS: Sql = Sql::same(
    "SELECT DISTINCT identifier FROM patient_identifier WHERE patient = $1 \
     OR patient IN (SELECT id FROM patient WHERE merged_into = $1)",
);
const RELEASED_TESTS: Sql = Sql::same(
    "SELECT DISTINCT test FROM result WHERE specimen = $1 AND state = 'released' \
     AND test IS NOT NULL",
);
const OPEN_SPECIMENS: Sql = Sql::same(
    "SELECT DISTINCT s.barcode FROM order_item i JOIN specimen s ON s.id = i.specimen \
     WHERE i.status IN ('SC', 'A') AND i.created_at >= $1 ORDER BY s.barcode LIMIT $2",
);
const TOLD: Sql = Sql::same(
    "INSERT INTO order_told (order_item, line, at) VALUES ($1, $2, $3) \
     ON CONFLICT (order_item, line) DO UPDATE SET at = excluded.at",
);
const IS_TOLD: Sql = Sql::same("SELECT 1 FROM order_told WHERE order_item = $1 AND line = $2");

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &BY_BARCODE,
    &BY_ID,
    &ITEMS,
    &TESTS,
    &PATIENT,
    &IDENTIFIERS,
    &RELEASED_TESTS,
    &OPEN_SPECIMENS,
    &TOLD,
    &IS_TOLD,
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
    let rows = db.rows(&BY_BARCODE, &[barcode.into(), since.into()])?;
    rows.iter().map(|row| specimen(db, row)).collect()
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

fn specimen(db: &mut dyn Db, row: &Row) -> Result<BookSpecimen, StoreError> {
    Ok(BookSpecimen {
        id: row.int(0)?,
        host: row.text(1)?.to_owned(),
        barcode: row.text(2)?.to_owned(),
        patient: patient::resolve(db, row.int(3)?)?,
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
    let rows = db.rows(&ITEMS, &[specimen.into()])?;
    rows.iter().map(item).collect()
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
    let row = db
        .row_opt(&PATIENT, &[id.into()])?
        .ok_or_else(|| StoreError::value("a row names a patient that is not there"))?;
    let identifiers = db.rows(&IDENTIFIERS, &[id.into()])?;
    Ok(BookPatient {
        fields: Private::new(unjson(row.text(0)?)?),
        birth: Private::new(row.text(1)?.to_owned()),
        sex: Sex::from_code(row.text(2)?),
        identifiers: identifiers
            .iter()
            .map(|row| row.text(0).map(|id| Private::new(id.to_owned())))
            .collect::<Result<_, _>>()?,
    })
}

/// What a device that can measure `measures` should be told about a barcode: the tube and, per
/// item that is not cancelled, the tests that have no released result yet.
///
/// Empty when nothing is ordered, when all is done, or when the barcode is active for two
/// patients (nobody guesses; the device gets its negative answer).
///
/// # Errors
/// The store's.
pub fn waiting_for_device(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
    measures: &dyn Fn(&str) -> bool,
) -> Result<Option<(BookSpecimen, Vec<BookItem>)>, StoreError> {
    let mut candidates = Vec::new();
    for tube in specimens_with_barcode(db, barcode, since)? {
        let done: Vec<String> = db
            .rows(&RELEASED_TESTS, &[tube.id.into()])?
            .iter()
            .map(|row| row.text(0).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        let mut items = open_items(db, tube.id)?;
        items.retain(|item| item.status != OrderStatus::Cancelled);
        let is_active = !items.is_empty();
        for item in &mut items {
            item.tests
                .retain(|test| measures(test) && !done.contains(test));
        }
        items.retain(|item| !item.tests.is_empty());
        if is_active {
            candidates.push((tube, items));
        }
    }
    let first_patient = candidates.first().map(|(tube, _)| tube.patient);
    if candidates
        .iter()
        .any(|(tube, _)| Some(tube.patient) != first_patient)
    {
        return Ok(None);
    }
    Ok(candidates
        .into_iter()
        .rev()
        .find(|(_, items)| !items.is_empty()))
}

/// Barcodes that have an open item since `since`, for a device that asks for everything.
///
/// # Errors
/// The store's.
pub(crate) fn open_barcodes(
    db: &mut dyn Db,
    since: i64,
    count_max: i64,
) -> Result<Vec<String>, StoreError> {
    db.rows(&OPEN_SPECIMENS, &[since.into(), count_max.into()])?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// Remembers that a device was given an item, so that a cancel can follow it.
///
/// # Errors
/// The store's.
pub fn note_told(db: &mut dyn Db, items: &[i64], line: &str, now: i64) -> Result<(), StoreError> {
    for item in items {
        let params: [Param; 3] = [(*item).into(), line.into(), now.into()];
        db.exec(&TOLD, &params)?;
    }
    Ok(())
}

/// Of these items, the ones that a device was given.
///
/// # Errors
/// The store's.
pub fn told_items(db: &mut dyn Db, line: &str, items: &[BookItem]) -> Result<Vec<i64>, StoreError> {
    let mut told = Vec::new();
    for item in items {
        if db
            .row_opt(&IS_TOLD, &[item.id.into(), line.into()])?
            .is_some()
        {
            told.push(item.id);
        }
    }
    Ok(told)
}

pub(super) fn status(code: &str) -> Result<OrderStatus, StoreError> {
    OrderStatus::from_code(code).ok_or_else(|| StoreError::value("unknown order status in a row"))
}
