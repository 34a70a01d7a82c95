//! Whether the tube that was measured is the tube that stood there: racks, positions and readings.
//!
//! What a line reads is told by its queries: a query that names rack or position is a tube read at
//! that place. `tube_read` keeps it, for whoever else knows of readings to write to as well
//! ([`note_readings`]). Where a line tells no place, or reads none, nothing is known and nothing
//! is held.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::json,
    model::{Hold, HoldReason, Item, QueryAction, QuerySubject, SpecimenRead},
    store::{Db, Insert, Param, Sql, StoreError},
};

use super::{Message, SettleContext};

const READ_AT: Sql = Sql {
    sqlite: "SELECT rack, position, at, barcode FROM tube_read WHERE line = $1 \
             AND rack IN (SELECT value FROM json_each($2)) AND at >= $3 ORDER BY at, barcode",
    postgres: "SELECT rack, position, at, barcode FROM tube_read WHERE line = $1 \
               AND rack IN (SELECT value FROM json_array_elements_text($2::json) AS t(value)) \
               AND at >= $3 ORDER BY at, barcode",
};
const NOTE: Insert = Insert {
    into: "INSERT INTO tube_read (line, rack, position, at, barcode)",
    columns: 5,
    tail: "ON CONFLICT (line, rack, position, at, barcode) DO NOTHING",
    types: &[],
};
const FORGET: Sql =
    Sql::same("DELETE FROM tube_read WHERE line = $1 AND rack = $2 AND position = $3 AND at < $4");
const MEASURED: Sql = Sql::same(
    "SELECT 1 FROM result WHERE barcode = $1 AND received_at >= $2 AND line = $3 LIMIT 1",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&READ_AT, &FORGET, &MEASURED];

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;

/// How long a position counts as taken by the tube that was read there. A rack that comes back
/// later comes back for other tubes.
const TAKEN: i64 = 2 * HOUR;
/// How long a tube's own reading speaks for it: the longest assays take some hours, and reruns
/// more.
const OWN: i64 = 24 * HOUR;
/// Readings are forgotten after this.
const KEPT: i64 = 7 * 24 * HOUR;
/// Results of one message that were measured further apart are of two loads of one rack: a device
/// may send a whole day at once.
const ONE_LOAD: i64 = 30 * MINUTE;

/// A tube read at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TubeRead {
    /// Rack or carrier; empty where the line has positions alone.
    pub rack: String,
    /// Position in it.
    pub position: String,
    /// The id that was read.
    pub barcode: String,
    /// When, microseconds UTC.
    pub at: i64,
}

/// What lines read, as far as a session asks.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// By line and rack, oldest first.
    of_line: BTreeMap<String, BTreeMap<String, Vec<TubeRead>>>,
    fresh: Vec<(String, TubeRead)>,
}

/// Notes that a line read tubes.
///
/// # Errors
/// The store's.
pub fn note_readings(db: &mut dyn Db, line: &str, read: &[TubeRead]) -> Result<(), StoreError> {
    if read.is_empty() {
        return Ok(());
    }
    for one in read {
        let params: [Param; 4] = [
            line.into(),
            one.rack.as_str().into(),
            one.position.as_str().into(),
            (one.at - KEPT).into(),
        ];
        db.exec(&FORGET, &params)?;
    }
    let rows = read.iter().map(|one| {
        vec![
            line.into(),
            one.rack.as_str().into(),
            one.position.as_str().into(),
            one.at.into(),
            one.barcode.as_str().into(),
        ]
    });
    db.insert_rows(&NOTE, rows.collect()).map(|_| ())
}

impl Readings {
    /// Reads at once what the messages will ask for: nothing where no result names a place.
    pub(super) fn look_up(
        &mut self,
        db: &mut dyn Db,
        messages: &[Message<'_>],
    ) -> Result<(), StoreError> {
        let mut racks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut oldest = i64::MAX;
        for message in messages {
            for tube in message.items.iter().filter_map(placed) {
                let of_line = racks.entry(message.context.line).or_default();
                of_line.extend([tube.rack.as_str(), tube.id.as_str()]);
                oldest = oldest.min(message.context.received_at);
            }
        }
        for (line, racks) in racks {
            let params: [Param; 3] = [
                line.into(),
                json(&racks)?.into(),
                oldest.saturating_sub(OWN).into(),
            ];
            let known = self.of_line.entry(line.to_owned()).or_default();
            for row in db.rows(&READ_AT, &params)? {
                let read = TubeRead {
                    rack: row.text(0)?.to_owned(),
                    position: row.text(1)?.to_owned(),
                    at: row.int(2)?,
                    barcode: row.text(3)?.to_owned(),
                };
                known.entry(read.rack.clone()).or_default().push(read);
            }
        }
        Ok(())
    }

    /// A query names the tubes that were read, and where.
    pub(super) fn note(&mut self, context: &SettleContext<'_>, item: &Item) {
        let Item::Query(query) = item else { return };
        let QuerySubject::Specimens(tubes) = &query.subject else {
            return;
        };
        if query.action == QueryAction::Cancel {
            return;
        }
        for tube in tubes.iter().filter(|tube| is_placed(tube)) {
            let read = TubeRead {
                rack: tube.rack.clone(),
                position: tube.position.clone(),
                barcode: tube.id.clone(),
                at: context.received_at,
            };
            let of_line = self.of_line.entry(context.line.to_owned()).or_default();
            of_line
                .entry(read.rack.clone())
                .or_default()
                .push(read.clone());
            self.fresh.push((context.line.to_owned(), read));
        }
    }

    /// What speaks against each item of a message being of the tube that it names.
    pub(super) fn against(
        &self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        items: &[Item],
    ) -> Result<Vec<Vec<Hold>>, StoreError> {
        let miscounted = miscounted(items);
        let racks: BTreeSet<&str> = items
            .iter()
            .filter_map(placed)
            .map(|tube| tube.rack.as_str())
            .collect();
        let read = self.of_line.get(context.line);
        let is_rack =
            |id: &str| racks.contains(id) || read.is_some_and(|of_line| of_line.contains_key(id));
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            let mut holds = Vec::new();
            if let Some(tube) = placed(item) {
                if miscounted.contains(&Stand::of(tube)) {
                    holds.push(Hold::new(HoldReason::RackCount, place(tube)));
                }
                if is_rack(&tube.id) {
                    holds.push(Hold::new(HoldReason::RackIsSpecimen, place(tube)));
                }
                if holds.is_empty() {
                    holds.extend(self.unread(db, context, tube)?);
                }
            }
            all.push(holds);
        }
        Ok(all)
    }

    /// Another tube was read at this place, and this one was not.
    fn unread(
        &self,
        db: &mut dyn Db,
        context: &SettleContext<'_>,
        tube: &SpecimenRead,
    ) -> Result<Option<Hold>, StoreError> {
        let of_line = self.of_line.get(context.line);
        let read = of_line.and_then(|of_line| of_line.get(&tube.rack));
        let read = read.into_iter().flatten();
        let here: Vec<&TubeRead> = read.filter(|one| one.position == tube.position).collect();
        let is_own = |one: &&TubeRead| one.barcode == tube.id;
        let is_known = context.site.asks_about_every_tube(context.line);
        if !is_known || here.iter().any(is_own) {
            return Ok(None);
        }
        let since = context.received_at.saturating_sub(TAKEN);
        let Some(other) = here.iter().rfind(|one| one.at >= since) else {
            return Ok(None);
        };
        let params: [Param; 3] = [
            other.barcode.as_str().into(),
            other.at.into(),
            context.line.into(),
        ];
        let reason = if db.row_opt(&MEASURED, &params)?.is_some() {
            HoldReason::PositionReused
        } else {
            HoldReason::RackCount
        };
        Ok(Some(Hold::new(reason, place(tube))))
    }

    /// Writes down what was read.
    pub(super) fn store(self, db: &mut dyn Db) -> Result<(), StoreError> {
        for (line, read) in self.fresh {
            note_readings(db, &line, &[read])?;
        }
        Ok(())
    }
}

/// A tube at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stand<'a> {
    rack: &'a str,
    position: &'a str,
    id: &'a str,
}

impl<'a> Stand<'a> {
    fn of(tube: &'a SpecimenRead) -> Self {
        Self {
            rack: &tube.rack,
            position: &tube.position,
            id: &tube.id,
        }
    }
}

/// By rack and position, or by rack and tube: what stood where, and when it was measured.
type Seen<'a> = BTreeMap<(&'a str, &'a str), Vec<(Option<i64>, Stand<'a>)>>;

/// In one message a position has one tube, and a tube one position of its rack; the tubes and
/// places where that is not so.
fn miscounted(items: &[Item]) -> BTreeSet<Stand<'_>> {
    let mut by_place: Seen<'_> = BTreeMap::new();
    let mut by_tube: Seen<'_> = BTreeMap::new();
    for item in items {
        let (Some(tube), Item::Observation(observation)) = (placed(item), item) else {
            continue;
        };
        let at = observation.completed.as_ref().and_then(|time| time.utc);
        let seen = (at, Stand::of(tube));
        let place = by_place.entry((&tube.rack, &tube.position)).or_default();
        place.push(seen);
        by_tube
            .entry((&tube.rack, &tube.id))
            .or_default()
            .push(seen);
    }
    let mut miscounted = BTreeSet::new();
    for mut seen in by_place.into_values().chain(by_tube.into_values()) {
        seen.sort_unstable();
        let is_timed = seen.iter().all(|(at, _)| at.is_some());
        for pair in seen.windows(2) {
            if let [(one_at, one), (other_at, other)] = pair
                && one != other
                && (!is_timed || is_one_load(*one_at, *other_at))
            {
                miscounted.extend([*one, *other]);
            }
        }
    }
    miscounted
}

/// Unless both say when they were measured, and that was long apart.
fn is_one_load(one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.abs_diff(other) <= ONE_LOAD.unsigned_abs(),
        _ => true,
    }
}

/// The tube of a result of a patient that names its place.
fn placed(item: &Item) -> Option<&SpecimenRead> {
    super::patient_barcode(item)?;
    match item {
        Item::Observation(observation) => observation.specimen.as_ref().filter(|t| is_placed(t)),
        Item::Image(_) | Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
    }
}

fn is_placed(tube: &SpecimenRead) -> bool {
    !tube.id.is_empty() && !tube.position.is_empty()
}

/// Where to look.
fn place(tube: &SpecimenRead) -> String {
    format!("rack {} position {}", tube.rack, tube.position)
}
