//! How the controls of an analyzer stand: by its own control results, where they come with limits.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::{
    model::{Observation, Value},
    store::{Db, Sql, StoreError},
    track::route::Qc,
};

const CONTROLS: Sql = Sql::same(
    "SELECT test, detail FROM result WHERE line = $1 AND kind = 'control' AND received_at >= $2 \
     AND test IS NOT NULL ORDER BY received_at, id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&CONTROLS];

/// The control of every test of an instrument's line whose last control since `since` (UTC
/// microseconds) came with limits; of the others nothing is known, which is [`Qc::Due`].
///
/// # Errors
/// The store's.
pub fn of_line(
    db: &mut dyn Db,
    line: &str,
    since: i64,
) -> Result<BTreeMap<String, Qc>, StoreError> {
    // Several materials: one that failed last is not mended by another that passed.
    let mut last: BTreeMap<(String, String), Qc> = BTreeMap::new();
    for row in db.rows(&CONTROLS, &[line.into(), since.into()])? {
        let observation: Observation = serde_json::from_str(row.text(1)?)
            .map_err(|_| StoreError::value("a control in a row cannot be read"))?;
        if let Some(qc) = judge(&observation) {
            let material = observation.specimen.as_ref().map(|tube| tube.id.clone());
            let key = (row.text(0)?.to_owned(), material.unwrap_or_default());
            last.insert(key, qc);
        }
    }
    let mut found = BTreeMap::new();
    for ((test, _), qc) in last {
        let all = found.entry(test).or_insert(qc);
        if qc == Qc::Failed {
            *all = Qc::Failed;
        }
    }
    Ok(found)
}

/// `None` where the value is no number or no limits came with it.
fn judge(control: &Observation) -> Option<Qc> {
    let Value::Quantity {
        comparator: None,
        number,
    } = &control.value
    else {
        return None;
    };
    let (low, high) = limits(&control.range)?;
    let is_within = (low..=high).contains(number);
    Some(if is_within { Qc::Passed } else { Qc::Failed })
}

/// `3.9-6.4`, `3.9 - 6.4`, `3.9 to 6.4`, `3.9^6.4`.
fn limits(range: &str) -> Option<(Decimal, Decimal)> {
    let range = range.trim();
    let cut = ["^", " to ", " - "]
        .into_iter()
        .find_map(|between| range.split_once(between))
        .or_else(|| {
            // The first sign may be that of a negative limit.
            let at = range.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
            Some((range.get(..at)?, range.get(at + 1..)?))
        })?;
    let number = |text: &str| text.trim().parse::<Decimal>().ok();
    let (low, high) = (number(cut.0)?, number(cut.1)?);
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_devices_write_them_and_nothing_else_is() {
        let two = |low: &str, high: &str| Some((low.parse().unwrap(), high.parse().unwrap()));
        for text in ["3.9-6.4", "3.9 - 6.4", " 3.9 to 6.4 ", "3.9^6.4"] {
            assert_eq!(limits(text), two("3.9", "6.4"), "{text}");
        }
        assert_eq!(limits("-2-3"), two("-2", "3"));
        for text in ["", "< 5", "6.4-3.9", "a-b", "5"] {
            assert_eq!(limits(text), None, "{text}");
        }
    }
}
