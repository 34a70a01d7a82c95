//! Results as rows.

use std::collections::{BTreeMap, HashMap};

use crate::{
    book::{self, json, unjson},
    model::{Hold, HoldReason, Observation, ObservationKind, ResultState},
    queue,
    store::{Db, Insert, Param, Row, Sql, StoreError},
};

use super::{SettleContext, decide::Decision, matching::Current};

const NEXT_ID: Sql = Sql::same("SELECT coalesce(max(id), 0) + 1 FROM result");
const INSERT: Insert = Insert {
    into: "INSERT INTO result (id, message, line, kind, barcode, specimen, test, state, version, \
           supersedes, holds, detail, same_key, queue, received_at, decided_at)",
    columns: 16,
    tail: "",
    types: &[],
};
const OF_BARCODES: Sql = Sql {
    sqlite: "SELECT id, specimen, test, state, version, holds, detail, same_key, received_at \
             FROM result WHERE barcode IN (SELECT value FROM json_each($1)) \
             AND received_at >= $2 ORDER BY id",
    postgres: "SELECT id, specimen, test, state, version, holds, detail, same_key, received_at \
               FROM result WHERE barcode IN \
               (SELECT value FROM json_array_elements_text($1::json) AS t(value)) \
               AND received_at >= $2 ORDER BY id",
};
const CURRENT: Sql = Sql::same(
    "SELECT id, specimen, test, state, version, holds, detail FROM result \
     WHERE barcode = (SELECT barcode FROM specimen WHERE id = $1) AND specimen = $1 \
     AND test IS NOT NULL AND state IN ('released', 'held', 'kept') ORDER BY id",
);
const WAITING: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE barcode = $1 AND (state IN ('waiting', 'kept') \
     OR state = 'held' AND holds LIKE '%\"provisional-order\"%') AND received_at >= $2 ORDER BY id",
);
/// What a person kept for the ward of a test whose order was keyed in.
const KEPT_FOR_WARD: Sql = Sql::same(
    "SELECT id, specimen, test, state, version, holds, detail FROM result \
     WHERE barcode = (SELECT barcode FROM specimen WHERE id = $1) AND specimen = $1 \
     AND test = $2 AND state = 'kept' AND holds LIKE '%\"provisional-order\"%' ORDER BY id",
);
const HELD_FOR_PATIENT: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE barcode = $1 AND state = 'held' AND received_at >= $2 \
     AND (holds LIKE '%\"ambiguous-specimen\"%' OR holds LIKE '%\"patient-mismatch\"%') ORDER BY id",
);
/// Those that two tubes of one barcode hold as well stay with a person.
const HELD_FOR_TRACK: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE barcode = $1 AND state = 'held' AND received_at >= $2 \
     AND holds LIKE '%\"tube-not-at-analyzer\"%' ORDER BY id",
);
const BY_ID: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE id = $1",
);
/// All in one value: a row that crosses from the database costs more than what it holds.
const BY_IDS: Sql = Sql {
    sqlite: "SELECT json_group_array(json_array(id, message, line, barcode, specimen, state, \
             version, supersedes, holds, detail, received_at)) FROM result \
             WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT coalesce(json_agg(json_build_array(id, message, line, barcode, specimen, \
               state, version, supersedes, holds, detail, received_at)), '[]') FROM result \
               WHERE id IN (SELECT value::bigint FROM json_array_elements_text($1::json) \
               AS t(value))",
};
const BY_MESSAGE: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE message = $1 ORDER BY id",
);
const BY_BARCODE: Sql = Sql::same(
    "SELECT id, message, line, barcode, specimen, state, version, supersedes, holds, detail, \
     received_at, kind FROM result WHERE barcode = $1 ORDER BY id",
);
const SET_STATE: Sql = Sql::same("UPDATE result SET state = $2, decided_at = $3 WHERE id = $1");
const UPDATE: Sql = Sql::same(
    "UPDATE result SET specimen = $2, state = $3, version = $4, supersedes = $5, holds = $6, \
     decided_at = $7 WHERE id = $1",
);
const UPDATE_WHOLE: Sql = Sql::same(
    "UPDATE result SET specimen = $2, state = $3, version = $4, supersedes = $5, holds = $6, \
     decided_at = $7, barcode = $8, test = $9, detail = $10 WHERE id = $1",
);
const TELL_BY: Sql = Sql {
    sqlite: "UPDATE result SET queue = j.value ->> 1 FROM json_each($1) j \
             WHERE result.id = j.value ->> 0",
    postgres: "UPDATE result SET queue = (j.value ->> 1)::bigint \
               FROM json_array_elements($1::json) j WHERE result.id = (j.value ->> 0)::bigint",
};
const INSERT_EVENT: Sql = Sql::same(
    "INSERT INTO device_event (message, line, code, text, specimen, at) \
     VALUES ($1, $2, $3, $4, $5, $6)",
);
const RELEASED_TESTS: Sql = Sql {
    sqlite: "SELECT s.id, json_group_array(DISTINCT r.test) FROM specimen s \
             JOIN result r ON r.barcode = s.barcode AND r.specimen = s.id \
             WHERE s.id IN (SELECT value FROM json_each($1)) \
             AND r.test IS NOT NULL AND r.state = 'released' GROUP BY s.id",
    postgres: "SELECT s.id, json_agg(DISTINCT r.test) FROM specimen s \
               JOIN result r ON r.barcode = s.barcode AND r.specimen = s.id WHERE s.id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND r.test IS NOT NULL AND r.state = 'released' GROUP BY s.id",
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &NEXT_ID,
    &OF_BARCODES,
    &CURRENT,
    &WAITING,
    &KEPT_FOR_WARD,
    &HELD_FOR_PATIENT,
    &HELD_FOR_TRACK,
    &BY_ID,
    &BY_IDS,
    &BY_MESSAGE,
    &BY_BARCODE,
    &SET_STATE,
    &UPDATE,
    &UPDATE_WHOLE,
    &TELL_BY,
    &INSERT_EVENT,
    &RELEASED_TESTS,
];

/// Retransmissions are recognised within 72 h.
pub(super) const REPEAT_WINDOW: i64 = 72 * 3_600 * 1_000_000;

/// A result about to be stored.
#[derive(Debug)]
pub(super) struct NewResult {
    pub(super) id: i64,
    state: ResultState,
    holds: Vec<Hold>,
    params: Vec<Param>,
}

/// Where the state stands among the parameters of [`INSERT`].
const STATE_COLUMN: usize = 7;
/// Where the holds stand among them.
const HOLDS_COLUMN: usize = 10;
/// Where the queue row stands among them.
const QUEUE_COLUMN: usize = 13;

impl NewResult {
    pub(super) fn new(
        context: &SettleContext<'_>,
        id: i64,
        observation: &Observation,
        specimen: Option<i64>,
        decision: Decision,
        same_key: Option<String>,
    ) -> Result<Self, StoreError> {
        let kind = match observation.kind {
            ObservationKind::Patient => "patient",
            ObservationKind::Control => "control",
            ObservationKind::Calibration => "calibration",
        };
        let detail = if decision.notes.is_empty() {
            json(observation)?
        } else {
            let mut noted = observation.clone();
            let notes = decision.notes.iter().map(|note| (*note).to_owned());
            noted.notes.extend(notes);
            json(&noted)?
        };
        let is_decided = !matches!(decision.state, ResultState::Held | ResultState::Waiting);
        let params = vec![
            id.into(),
            context.message.into(),
            context.line.into(),
            kind.into(),
            observation
                .specimen
                .as_ref()
                .map_or("", |tube| tube.id.as_str())
                .into(),
            specimen.into(),
            observation.test.as_deref().into(),
            decision.state.code().into(),
            decision.version.into(),
            decision.supersedes.into(),
            json(&decision.holds)?.into(),
            detail.into(),
            same_key.into(),
            Param::Null,
            context.received_at.into(),
            is_decided.then_some(context.now).into(),
        ];
        Ok(Self {
            id,
            state: decision.state,
            holds: decision.holds,
            params,
        })
    }

    /// The queue row that tells it.
    pub(super) fn tell_by(&mut self, queue: i64) {
        if let Some(column) = self.params.get_mut(QUEUE_COLUMN) {
            *column = queue.into();
        }
    }

    /// A later result gives it a reason more, or one less, before it was stored.
    pub(super) fn amend(
        &mut self,
        add: Option<&Hold>,
        gone: Option<HoldReason>,
    ) -> Result<(), StoreError> {
        book::amend(&mut self.holds, add, gone);
        if let Some(holds) = self.params.get_mut(HOLDS_COLUMN) {
            *holds = json(&self.holds)?.into();
        }
        Ok(())
    }

    /// A later result took its place before it was stored.
    pub(super) fn replace(&mut self) {
        self.state = ResultState::Replaced;
        if let Some(state) = self.params.get_mut(STATE_COLUMN) {
            *state = self.state.code().into();
        }
    }
}

/// A stored result version.
#[derive(Clone, Debug)]
pub struct StoredResult {
    /// Row id.
    pub id: i64,
    /// The journal row it came in.
    pub message: i64,
    /// The line it came on.
    pub line: String,
    /// The tube id as trimmed by the profile.
    pub barcode: String,
    /// The tube in the order book.
    pub specimen: Option<i64>,
    /// Its state.
    pub state: ResultState,
    /// 1 for the first.
    pub version: i64,
    /// The version before it, or the result it repeats.
    pub supersedes: Option<i64>,
    /// Why it is held.
    pub holds: Vec<Hold>,
    /// As decoded, without holds: those that count are in `holds`.
    pub observation: Observation,
    /// Microseconds UTC.
    pub received_at: i64,
}

fn read(row: &Row) -> Result<StoredResult, StoreError> {
    let mut observation: Observation = unjson(row.text(9)?)?;
    observation.holds.clear();
    Ok(StoredResult {
        id: row.int(0)?,
        message: row.int(1)?,
        line: row.text(2)?.to_owned(),
        barcode: row.text(3)?.to_owned(),
        specimen: row.opt_int(4)?,
        state: state(row.text(5)?)?,
        version: row.int(6)?,
        supersedes: row.opt_int(7)?,
        holds: unjson(row.text(8)?)?,
        observation,
        received_at: row.int(10)?,
    })
}

fn state(code: &str) -> Result<ResultState, StoreError> {
    ResultState::from_code(code).ok_or_else(|| StoreError::value("unknown result state in a row"))
}

/// One result version.
///
/// # Errors
/// The store's.
pub fn result_by_id(db: &mut dyn Db, id: i64) -> Result<Option<StoredResult>, StoreError> {
    db.row_opt(&BY_ID, &[id.into()])?
        .as_ref()
        .map(read)
        .transpose()
}

/// Result versions by id, by one statement; one that is not there, or that cannot be read, is left
/// out, so that it does not stand in the way of the others.
///
/// # Errors
/// The store's.
pub fn results_by_ids(
    db: &mut dyn Db,
    ids: &[i64],
) -> Result<BTreeMap<i64, StoredResult>, StoreError> {
    type Columns = (
        i64,
        i64,
        String,
        String,
        Option<i64>,
        String,
        i64,
        Option<i64>,
        String,
        String,
        i64,
    );
    let row = db.row(&BY_IDS, &[json(&ids)?.into()])?;
    let found: Vec<Columns> = unjson(row.text(0)?)?;
    let mut results = BTreeMap::new();
    for (id, message, line, barcode, specimen, code, version, supersedes, holds, detail, at) in
        found
    {
        let read = (unjson::<Observation>(&detail), unjson(&holds), state(&code));
        let (Ok(mut observation), Ok(holds), Ok(state)) = read else {
            continue;
        };
        observation.holds.clear();
        let result = StoredResult {
            id,
            message,
            line,
            barcode,
            specimen,
            state,
            version,
            supersedes,
            holds,
            observation,
            received_at: at,
        };
        results.insert(id, result);
    }
    Ok(results)
}

/// Every result of a journalled message, in the message's order.
///
/// # Errors
/// The store's.
pub fn of_message(db: &mut dyn Db, message: i64) -> Result<Vec<StoredResult>, StoreError> {
    db.rows(&BY_MESSAGE, &[message.into()])?
        .iter()
        .map(read)
        .collect()
}

/// Every result that names this barcode, oldest first.
///
/// # Errors
/// The store's.
pub fn of_barcode(db: &mut dyn Db, barcode: &str) -> Result<Vec<StoredResult>, StoreError> {
    db.rows(&BY_BARCODE, &[barcode.into()])?
        .iter()
        .map(read)
        .collect()
}

/// The newest version before this one that the host has, or may have: that was tried.
///
/// # Errors
/// The store's.
pub fn told_before(
    db: &mut dyn Db,
    result: &StoredResult,
) -> Result<Option<StoredResult>, StoreError> {
    for earlier in versions_before(db, result)? {
        if queue::was_tried(db, earlier.id)? {
            return Ok(Some(earlier));
        }
    }
    Ok(None)
}

/// The versions that a result followed, newest first.
///
/// # Errors
/// The store's.
pub fn versions_before(
    db: &mut dyn Db,
    result: &StoredResult,
) -> Result<Vec<StoredResult>, StoreError> {
    let mut versions = Vec::new();
    let mut before = result.supersedes;
    // A version follows a lower one, so the chain has an end.
    while let Some(id) = before
        && i64::try_from(versions.len()).is_ok_and(|count| count < result.version.max(1))
        && let Some(earlier) = result_by_id(db, id)?
    {
        before = earlier.supersedes;
        versions.push(earlier);
    }
    Ok(versions)
}

/// The tests of each of these tubes that have a released result, by one statement.
///
/// # Errors
/// The store's.
pub fn released_tests_of(
    db: &mut dyn Db,
    specimens: &[i64],
) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    db.rows(&RELEASED_TESTS, &[json(&specimens)?.into()])?
        .iter()
        .map(|row| Ok((row.int(0)?, unjson(row.text(1)?)?)))
        .collect()
}

/// What an order on this barcode may let go on: results that came before any order on the tube,
/// and those that nobody had ordered.
pub(super) fn waiting(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
) -> Result<Vec<StoredResult>, StoreError> {
    db.rows(&WAITING, &[barcode.into(), since.into()])?
        .iter()
        .map(read)
        .collect()
}

/// What is held because of who the patient was.
pub(super) fn held_for_patient(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
) -> Result<Vec<StoredResult>, StoreError> {
    db.rows(&HELD_FOR_PATIENT, &[barcode.into(), since.into()])?
        .iter()
        .map(read)
        .collect()
}

/// Those that wait for the line to see their tube at the analyzer.
pub(super) fn held_for_track(
    db: &mut dyn Db,
    barcode: &str,
    since: i64,
) -> Result<Vec<StoredResult>, StoreError> {
    db.rows(&HELD_FOR_TRACK, &[barcode.into(), since.into()])?
        .iter()
        .map(read)
        .collect()
}

/// Versions of a tube that count, and of what is kept the tests that `is_read` knows: a person who
/// releases a group has to see the wells that nobody ordered, as the rules did when it came.
pub(super) fn current_of(
    db: &mut dyn Db,
    specimen: i64,
    is_read: &dyn Fn(&str) -> bool,
) -> Result<Vec<Current>, StoreError> {
    let rows = db.rows(&CURRENT, &[specimen.into()])?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        if state(row.text(3)?)? != ResultState::Kept || is_read(row.text(2)?) {
            all.push(current(row)?);
        }
    }
    Ok(all)
}

/// What a person kept for the ward of a test of a tube, the oldest first.
pub(super) fn kept_for_ward(
    db: &mut dyn Db,
    specimen: i64,
    test: &str,
) -> Result<Vec<Current>, StoreError> {
    let rows = db.rows(&KEPT_FOR_WARD, &[specimen.into(), test.into()])?;
    rows.iter().map(current).collect()
}

/// From the columns id, specimen, test, state, version, holds, detail.
fn current(row: &Row) -> Result<Current, StoreError> {
    let holds: Vec<Hold> = unjson(row.text(5)?)?;
    let observation: Observation = unjson(row.text(6)?)?;
    let test = row.text(2)?.to_owned();
    let row = (row.int(0)?, test, state(row.text(3)?)?, row.int(4)?);
    Ok(Current::new(row, &observation, &holds))
}

/// What is stored under some barcodes.
#[derive(Debug, Default)]
pub(super) struct OnBarcodes {
    /// Versions that count, by tube.
    pub(super) current: BTreeMap<i64, Vec<Current>>,
    /// What results are recognised by when they come again.
    pub(super) known: Known,
}

/// What came under these barcodes since `since`, by one statement. Of what is kept only tests that
/// `is_read` knows are read.
pub(super) fn of_barcodes(
    db: &mut dyn Db,
    barcodes: &[&str],
    since: i64,
    is_read: &dyn Fn(&str) -> bool,
) -> Result<OnBarcodes, StoreError> {
    let mut found = OnBarcodes::default();
    for row in db.rows(&OF_BARCODES, &[json(&barcodes)?.into(), since.into()])? {
        let (id, specimen) = (row.int(0)?, row.opt_int(1)?);
        if let Some(key) = row.opt_text(7)? {
            let at = row.int(8)?;
            let sighting = Sighting { id, specimen, at };
            found.known.add(key.to_owned(), sighting);
        }
        let state = state(row.text(3)?)?;
        let counts = matches!(state, ResultState::Released | ResultState::Held);
        if let Some(specimen) = specimen
            && let Some(test) = row.opt_text(2)?
            && (counts || (state == ResultState::Kept && is_read(test)))
        {
            let of_tube = found.current.entry(specimen).or_default();
            of_tube.push(current(&row)?);
        }
    }
    Ok(found)
}

/// The next free id. Ids are given here and not by the database, so that a message's results go
/// in with one statement and still name each other; the store has one writer.
pub(super) fn next_id(db: &mut dyn Db) -> Result<i64, StoreError> {
    db.row(&NEXT_ID, &[])?.int(0)
}

pub(super) fn insert(db: &mut dyn Db, results: Vec<NewResult>) -> Result<(), StoreError> {
    if !results.is_empty() {
        db.insert_rows(
            &INSERT,
            results.into_iter().map(|result| result.params).collect(),
        )?;
    }
    Ok(())
}

/// A result that is known by a key: the tube it went to, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) id: i64,
    pub(super) specimen: Option<i64>,
    pub(super) at: i64,
}

/// Results by what they are recognised by.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<String, Vec<Sighting>>);

impl Known {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, key: String, sighting: Sighting) {
        self.0.entry(key).or_default().push(sighting);
    }

    /// The earliest that came at `since` or later.
    pub(super) fn earliest(&self, key: &str, since: i64) -> Option<Sighting> {
        let sightings = self.0.get(key)?.iter();
        let in_time = sightings.filter(|sighting| sighting.at >= since);
        in_time.min_by_key(|sighting| sighting.at).copied()
    }
}

/// Says of stored results, by which queue row each is told: pairs of result and row.
pub(super) fn tell_by(db: &mut dyn Db, told: &[(i64, i64)]) -> Result<(), StoreError> {
    if !told.is_empty() {
        db.exec(&TELL_BY, &[json(&told)?.into()])?;
    }
    Ok(())
}

pub(super) fn set_state(
    db: &mut dyn Db,
    id: i64,
    state: ResultState,
    now: i64,
) -> Result<(), StoreError> {
    db.exec(&SET_STATE, &[id.into(), state.code().into(), now.into()])?;
    Ok(())
}

pub(super) fn update_decision(
    db: &mut dyn Db,
    id: i64,
    specimen: Option<i64>,
    decision: &Decision,
    now: i64,
) -> Result<(), StoreError> {
    let params: [Param; 7] = [
        id.into(),
        specimen.into(),
        decision.state.code().into(),
        decision.version.into(),
        decision.supersedes.into(),
        json(&decision.holds)?.into(),
        now.into(),
    ];
    db.exec(&UPDATE, &params)?;
    Ok(())
}

/// As [`update_decision`], with what the result says and the barcode that it is of.
pub(super) fn update_whole(
    db: &mut dyn Db,
    id: i64,
    (barcode, specimen): (&str, Option<i64>),
    observation: &Observation,
    decision: &Decision,
    now: i64,
) -> Result<(), StoreError> {
    let mut noted = observation.clone();
    for note in &decision.notes {
        if noted.notes.iter().all(|known| known != note) {
            noted.notes.push((*note).to_owned());
        }
    }
    let params: [Param; 10] = [
        id.into(),
        specimen.into(),
        decision.state.code().into(),
        decision.version.into(),
        decision.supersedes.into(),
        json(&decision.holds)?.into(),
        now.into(),
        barcode.into(),
        observation.test.as_deref().into(),
        json(&noted)?.into(),
    ];
    db.exec(&UPDATE_WHOLE, &params)?;
    Ok(())
}

pub(super) fn insert_event(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    code: &str,
    text: &str,
    specimen: Option<&str>,
) -> Result<(), StoreError> {
    let params: [Param; 6] = [
        context.message.into(),
        context.line.into(),
        code.into(),
        text.into(),
        specimen.unwrap_or("").into(),
        context.received_at.into(),
    ];
    db.exec(&INSERT_EVENT, &params)?;
    Ok(())
}
