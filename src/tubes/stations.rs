//! Haemolysis by the station that sent a tube: where tubes are drawn or sent badly, it shows here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::{
    config::Catalogue,
    model::{Comparator, Observation, Value},
    store::{Db, Sql, StoreError},
};

const TUBES: Sql = Sql::same(
    "SELECT station, count(*) FROM specimen WHERE received_at >= $1 AND received_at <= $2 \
     GROUP BY station ORDER BY station",
);
/// By tube, the newest last.
const INDICES: Sql = Sql {
    sqlite: "SELECT s.id, s.station, r.test, r.detail FROM specimen s \
             JOIN result r ON r.barcode = s.barcode AND r.specimen = s.id \
             WHERE s.received_at >= $1 AND s.received_at <= $2 AND r.kind = 'patient' \
             AND r.state IN ('released', 'held', 'kept', 'confirmed') \
             AND r.test IN (SELECT value FROM json_each($3)) ORDER BY r.received_at, r.id",
    postgres: "SELECT s.id, s.station, r.test, r.detail FROM specimen s \
               JOIN result r ON r.barcode = s.barcode AND r.specimen = s.id \
               WHERE s.received_at >= $1 AND s.received_at <= $2 AND r.kind = 'patient' \
               AND r.state IN ('released', 'held', 'kept', 'confirmed') AND r.test IN \
               (SELECT value FROM json_array_elements_text($3::json) AS t(value)) \
               ORDER BY r.received_at, r.id",
};

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&TUBES, &INDICES];

/// What is known of one sending station.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Station {
    /// The station, as orders name it; empty for tubes whose order names none.
    pub station: String,
    /// Tubes that a line received.
    pub tubes: u64,
    /// Tubes with a haemolysis index that is a number.
    pub measured: u64,
    /// Of these, above the limit of the index.
    pub over: u64,
    /// Tubes whose index is no number.
    pub unreadable: u64,
}

impl Station {
    /// Haemolysed tubes in per mille of those measured; `None` where none was.
    pub fn over_permille(&self) -> Option<u64> {
        (self.measured > 0).then(|| self.over * 1_000 / self.measured)
    }
}

/// Tests that are an index of haemolysis, each with the limit above which a tube is haemolysed.
pub fn indices(catalogue: &Catalogue) -> BTreeMap<String, Decimal> {
    let marked = catalogue.tests().filter_map(|test| {
        let limit = test.haemolysis_limit?;
        Some((test.id.value.clone(), limit))
    });
    marked.collect()
}

/// The stations whose tubes were received between two instants (UTC microseconds), by name. Of a tube
/// that was measured twice the last index counts.
///
/// # Errors
/// The store's.
pub fn stations(
    db: &mut dyn Db,
    indices: &BTreeMap<String, Decimal>,
    (since, until): (i64, i64),
) -> Result<Vec<Station>, StoreError> {
    let mut found: BTreeMap<String, Station> = BTreeMap::new();
    for row in db.rows(&TUBES, &[since.into(), until.into()])? {
        let station = row.text(0)?.to_owned();
        let tubes = u64::try_from(row.int(1)?).unwrap_or_default();
        let known = Station {
            station: station.clone(),
            tubes,
            ..Station::default()
        };
        found.insert(station, known);
    }
    let tests: Vec<&String> = indices.keys().collect();
    let list = serde_json::to_string(&tests)
        .map_err(|_| StoreError::value("a list of tests cannot be written"))?;
    let mut last: BTreeMap<i64, (String, Option<bool>)> = BTreeMap::new();
    for row in db.rows(&INDICES, &[since.into(), until.into(), list.into()])? {
        let observation: Observation = serde_json::from_str(row.text(3)?)
            .map_err(|_| StoreError::value("a result in a row cannot be read"))?;
        let limit = indices.get(row.text(2)?);
        let is_over = limit.and_then(|limit| is_over(&observation.value, *limit));
        last.insert(row.int(0)?, (row.text(1)?.to_owned(), is_over));
    }
    for (station, is_over) in last.into_values() {
        let known = found.entry(station).or_default();
        match is_over {
            Some(is_over) => {
                known.measured += 1;
                known.over += u64::from(is_over);
            }
            None => known.unreadable += 1,
        }
    }
    Ok(found.into_values().collect())
}

/// `None` where the value does not say: a text, or off the scale on the wrong side of the limit.
fn is_over(value: &Value, limit: Decimal) -> Option<bool> {
    let Value::Quantity { comparator, number } = value else {
        return None;
    };
    match comparator {
        None => Some(*number > limit),
        Some(Comparator::Less | Comparator::LessOrEqual) => (*number <= limit).then_some(false),
        Some(Comparator::Greater | Comparator::GreaterOrEqual) => {
            (*number >= limit).then_some(true)
        }
    }
}
