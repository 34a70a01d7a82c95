//! When a tube was received, and where it was sent from.
//!
//! A pneumatic tube tells nothing when it is sent and nothing when it arrives: the first reading of its
//! barcode on the line is its receipt in the laboratory. A tube that is read before its order comes is
//! received all the same, and the order finds it so.

use crate::{
    audit,
    store::{Db, Sql, StoreError},
};

use super::rows::{self, TrackRow, kinds};

const RECEIVED: Sql = Sql::same(
    "SELECT line, module, at FROM track_event WHERE barcode = $1 AND barcode <> '' \
     AND received_at >= $2 AND kind = 'received' ORDER BY received_at, id LIMIT 1",
);
const SET_RECEIVED: Sql = Sql::same(
    "UPDATE specimen SET received_at = $2, received_on = $3 \
     WHERE barcode = $1 AND ordered_at >= $4 AND received_at IS NULL",
);
const SET_STATION: Sql = Sql::same(
    "UPDATE specimen SET station = $3 WHERE barcode = $1 AND host = $2 AND ordered_at >= $4 \
     AND station = ''",
);
const OF_SPECIMEN: Sql =
    Sql::same("SELECT station, received_at, received_on FROM specimen WHERE id = $1");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&RECEIVED, &SET_RECEIVED, &SET_STATION, &OF_SPECIMEN];

/// Receipt and sender of one tube of the order book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The station that sent it, as the order says; empty where it does not.
    pub station: String,
    /// First reading, UTC microseconds by the clock of the line.
    pub received_at: Option<i64>,
    /// `line:module` that read it first; empty where none did.
    pub received_on: String,
}

/// Takes a reading: the first of its barcode since `since` (UTC microseconds) is the receipt, written
/// into the order book and the audit. Returns whether it was.
///
/// # Errors
/// The store's.
pub fn on_reading(db: &mut dyn Db, reading: &TrackRow, since: i64) -> Result<bool, StoreError> {
    let barcode = reading.barcode.as_str();
    let known = db.row_opt(&RECEIVED, &[barcode.into(), since.into()])?;
    if known.is_some() {
        return Ok(false);
    }
    let receipt = TrackRow {
        kind: kinds::RECEIVED.to_owned(),
        detail: rows::Detail::default(),
        ..reading.clone()
    };
    rows::insert(db, &[receipt])?;
    set(db, reading, since)?;
    audit::write(
        db,
        reading.received_at,
        &format!("line:{}", reading.line),
        kinds::RECEIVED,
        &format!("specimen:{barcode}"),
        &format!("at {}", reading.module),
    )?;
    Ok(true)
}

fn set(db: &mut dyn Db, reading: &TrackRow, since: i64) -> Result<(), StoreError> {
    let on = format!("{}:{}", reading.line, reading.module);
    db.exec(
        &SET_RECEIVED,
        &[
            reading.barcode.as_str().into(),
            reading.at.into(),
            on.into(),
            since.into(),
        ],
    )?;
    Ok(())
}

/// After an order on a tube: it may have been read before.
///
/// # Errors
/// The store's.
pub fn on_order(db: &mut dyn Db, barcode: &str, since: i64) -> Result<(), StoreError> {
    if let Some(row) = db.row_opt(&RECEIVED, &[barcode.into(), since.into()])? {
        let on = format!("{}:{}", row.text(0)?, row.text(1)?);
        let at = row.int(2)?;
        let params = [barcode.into(), at.into(), on.into(), since.into()];
        db.exec(&SET_RECEIVED, &params)?;
    }
    Ok(())
}

/// Writes down where a tube was sent from; what an earlier order said stays.
///
/// # Errors
/// The store's.
pub fn set_station(
    db: &mut dyn Db,
    (barcode, host): (&str, &str),
    station: &str,
    since: i64,
) -> Result<(), StoreError> {
    if !station.is_empty() {
        let params = [barcode.into(), host.into(), station.into(), since.into()];
        db.exec(&SET_STATION, &params)?;
    }
    Ok(())
}

/// What is known of a tube of the order book, by its row.
///
/// # Errors
/// The store's.
pub fn of_specimen(db: &mut dyn Db, specimen: i64) -> Result<Receipt, StoreError> {
    let row = db.row(&OF_SPECIMEN, &[specimen.into()])?;
    Ok(Receipt {
        station: row.text(0)?.to_owned(),
        received_at: row.opt_int(1)?,
        received_on: row.text(2)?.to_owned(),
    })
}
