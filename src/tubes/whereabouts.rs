//! What a line knows of a tube that a result is about.

use crate::store::{Db, Sql, StoreError};

const KNOWN: Sql = Sql::same(
    "SELECT coalesce(max(CASE WHEN module = $3 AND kind IN ('seen', 'started', 'finished') \
     THEN 1 ELSE 0 END), 0), count(*) \
     FROM track_event WHERE barcode = $1 AND barcode <> '' AND line = $2 \
     AND received_at >= $4 AND received_at <= $5 \
     AND kind IN ('seen', 'started', 'finished', 'left', 'kept', 'lost')",
);
const DOUBLED: Sql = Sql::same(
    "SELECT kind FROM track_event WHERE barcode = $1 AND barcode <> '' AND received_at >= $2 \
     AND kind IN ('tube-in-two-places', 'double-cleared') ORDER BY received_at DESC, id DESC LIMIT 1",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&KNOWN, &DOUBLED];

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

/// What the rows between `since` and `until` (UTC microseconds of receipt) say of a tube whose result
/// an analyzer sent; `analyzer` is its place on a line, `None` where it has none or people feed it, too.
/// A tube of which the line never told is no tube of the line.
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
    if let Some(OnLine { line, module }) = analyzer {
        let params = [
            barcode.into(),
            line.into(),
            module.into(),
            since.into(),
            until.into(),
        ];
        let row = db.row(&KNOWN, &params)?;
        let (was_here, steps) = (row.int(0)? != 0, row.int(1)?);
        found.is_elsewhere = steps > 0 && !was_here;
    }
    Ok(found)
}
