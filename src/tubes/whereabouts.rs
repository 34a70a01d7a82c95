//! What a line knows of a tube that a result is about.

use crate::store::{Db, Sql, StoreError};

const KNOWN: Sql = Sql::same(
    "SELECT coalesce(max(CASE WHEN module = $3 AND kind IN ('seen', 'started', 'finished') \
     THEN 1 ELSE 0 END), 0), count(*) \
     FROM track_event WHERE barcode = $1 AND barcode <> '' AND line = $2 \
     AND received_at >= $4 AND received_at <= $5 \
     AND kind IN ('seen', 'started', 'finished', 'left', 'kept', 'lost')",
);
/// The first of what came later, by the line's own clock.
const TOLD_LATE: Sql = Sql::same(
    "SELECT min(at) FROM track_event WHERE barcode = $1 AND barcode <> '' AND line = $2 \
     AND module = $3 AND kind IN ('seen', 'started', 'finished') AND received_at > $4",
);
/// How far the clock of a line is behind ours, with the least that its word took to come: what was held
/// up on its way says nothing of that, and what has no time of its own (`at` is when it came) either. Of its
/// last words alone, so that a transaction reads no more however much there is.
const BEHIND: Sql = Sql::same(
    "SELECT min(received_at - at) FROM (SELECT received_at, at FROM track_event \
     WHERE line = $1 AND received_at >= $2 AND received_at <= $3 AND barcode <> '' \
     AND kind IN ('seen', 'started', 'finished', 'left', 'kept', 'lost') \
     ORDER BY received_at DESC, id DESC LIMIT 500) AS told WHERE at <> received_at / 1000 * 1000",
);
const DOUBLED: Sql = Sql::same(
    "SELECT kind FROM track_event WHERE barcode = $1 AND barcode <> '' AND received_at >= $2 \
     AND kind IN ('tube-in-two-places', 'double-cleared') ORDER BY received_at DESC, id DESC LIMIT 1",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&KNOWN, &TOLD_LATE, &BEHIND, &DOUBLED];

/// An analyzer on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnLine<'a> {
    /// The line.
    pub line: &'a str,
    /// Its module, by its name in the line's file.
    pub module: &'a str,
}

/// What speaks against a result of a tube.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Two tubes seem to have the barcode, and nobody has found the second.
    pub is_doubled: bool,
    /// The line knows the tube and never saw it at the analyzer.
    pub is_elsewhere: bool,
}

/// What a line says of a tube whose result an analyzer sent before `until`: rows that came between `since`
/// and `until` (UTC microseconds), and what came later, when the line had been cut off, of a time before
/// `until`. `analyzer` is its place on a line, `None` where it has none or people feed it, too. A tube of
/// which the line never told is no tube of the line.
///
/// # Errors
/// The store's.
pub fn of_tube(
    db: &mut dyn Db,
    barcode: &str,
    analyzer: Option<OnLine<'_>>,
    (since, until): (i64, i64),
) -> Result<Whereabouts, StoreError> {
    let mut found = Whereabouts::default();
    if let Some(row) = db.row_opt(&DOUBLED, &[barcode.into(), since.into()])? {
        found.is_doubled = row.text(0)? == super::rows::kinds::TWO_PLACES;
    }
    if let Some(on) = analyzer {
        let params = [
            barcode.into(),
            on.line.into(),
            on.module.into(),
            since.into(),
            until.into(),
        ];
        let row = db.row(&KNOWN, &params)?;
        let (was_here, steps) = (row.int(0)? != 0, row.int(1)?);
        found.is_elsewhere = steps > 0 && !was_here && !told_late(db, barcode, on, (since, until))?;
    }
    Ok(found)
}

fn told_late(
    db: &mut dyn Db,
    barcode: &str,
    on: OnLine<'_>,
    (since, until): (i64, i64),
) -> Result<bool, StoreError> {
    let params = [
        barcode.into(),
        on.line.into(),
        on.module.into(),
        until.into(),
    ];
    let Some(at) = db.row(&TOLD_LATE, &params)?.opt_int(0)? else {
        return Ok(false);
    };
    let row = db.row(&BEHIND, &[on.line.into(), since.into(), until.into()])?;
    let behind = row.opt_int(0)?;
    Ok(behind.is_some_and(|behind| at.saturating_add(behind) <= until))
}
