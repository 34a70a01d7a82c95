//! Rows of `track_event`: what a line told, word for word in the names of its file, and back.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    config::choice::Choice as _,
    store::{Db, Insert, Row, Sql, StoreError},
    track::{
        Time, TubeId,
        model::{Condition, Line},
        state::{Event, Finding, Track, What},
    },
};

const INSERT: Insert = Insert {
    into: "INSERT INTO track_event (message, span_start, span_end, line, module, barcode, kind, \
           detail, at, received_at)",
    columns: 10,
    tail: "",
    types: &[],
};
const OF_BARCODE: Sql = Sql::same(
    "SELECT message, span_start, span_end, line, module, barcode, kind, detail, at, received_at \
     FROM track_event WHERE barcode = $1 AND barcode <> '' ORDER BY received_at, id",
);
/// The newest, so that the books of a line that tells more than they hold are of its last tubes.
const RECENT: Sql = Sql::same(
    "SELECT message, span_start, span_end, line, module, barcode, kind, detail, at, received_at \
     FROM track_event WHERE line = $1 AND received_at >= $2 ORDER BY received_at DESC, id DESC \
     LIMIT $3",
);

const CLEARED: Sql = Sql::same(
    "SELECT barcode FROM track_event WHERE line = $1 AND received_at >= $2 \
     AND kind = 'double-cleared' ORDER BY received_at, id",
);

/// In the words of the index `track_event_found`.
const FOUND: Sql = Sql::same(
    "SELECT message, span_start, span_end, line, module, barcode, kind, detail, at, received_at \
     FROM track_event WHERE line = $1 AND received_at >= $2 AND kind IN \
     ('tube-in-two-places', 'tube-unread', 'tube-overdue-on-way', 'tube-overdue-in-module', \
     'tube-event-out-of-order', 'tube-forgotten') ORDER BY received_at DESC LIMIT $3",
);

/// Kinds of rows that are findings: [`Finding::code`].
pub const FINDINGS: &[&str] = &[
    "tube-in-two-places",
    "tube-unread",
    "tube-overdue-on-way",
    "tube-overdue-in-module",
    "tube-event-out-of-order",
    "tube-forgotten",
];

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OF_BARCODE, &RECENT, &CLEARED, &FOUND];

/// Kinds of rows that Labwire writes by itself; the others are words of the line's own events.
pub mod kinds {
    /// The first reading of a barcode.
    pub const RECEIVED: &str = "received";
    /// Where a tube is to go, and why.
    pub const ROUTED: &str = "routed";
    /// It is to wait where it is.
    pub const WAITS: &str = "waits";
    /// What the line answered to a command.
    pub const ANSWERED: &str = "answered";
    /// A person says that the second tube of a barcode is found.
    pub const CLEARED: &str = "double-cleared";
    /// A module has no reagent for a test.
    pub const NO_REAGENT: &str = "no-reagent";
    /// A module has a reagent for a test again.
    pub const REAGENT: &str = "reagent";
    /// Two tubes seem to have one barcode: [`Finding::TwoPlaces`](crate::track::state::Finding).
    pub const TWO_PLACES: &str = "tube-in-two-places";
}

/// Particulars of a row; what does not belong to its kind is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The lane.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lane: String,
    /// The module that it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Rack and position.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
    /// The test that a reagent is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub test: String,
    /// Why, or what was found, in words for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The command that tells the line of it; empty where it was only shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRow {
    /// The journal row that told it, or made Labwire say it.
    pub message: i64,
    /// Bytes of that message; empty where it is no part of it.
    pub span: Range<usize>,
    /// The line.
    pub line: String,
    /// The module, by its name in the line's file.
    pub module: String,
    /// The tube; empty where it is about a module.
    pub barcode: String,
    /// What.
    pub kind: String,
    /// Particulars.
    pub detail: Detail,
    /// When, by the clock of the line, UTC microseconds.
    pub at: i64,
    /// When it came, UTC microseconds.
    pub received_at: i64,
}

/// UTC microseconds of an instant of the books.
pub fn micros(time: Time) -> i64 {
    i64::try_from(time.as_ms().saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// The instant of the books at UTC microseconds.
pub fn time(micros: i64) -> Time {
    Time::from_ms(u64::try_from(micros / 1_000).unwrap_or_default())
}

impl TrackRow {
    /// What a line told, by the names of its file.
    pub fn of_event(line: &Line, line_id: &str, event: &Event) -> Self {
        let name = |no| line.module(no).id.clone();
        let (module, barcode, kind, detail, at) = match event {
            Event::Tube {
                tube,
                module,
                what,
                at,
            } => (
                name(*module),
                tube.as_str().to_owned(),
                what.word(),
                detail(line, what),
                *at,
            ),
            Event::Unread { module, at } => (
                name(*module),
                String::new(),
                "unread",
                Detail::default(),
                *at,
            ),
            Event::Reagent {
                module,
                test,
                is_usable,
                at,
            } => (
                name(*module),
                String::new(),
                if *is_usable {
                    kinds::REAGENT
                } else {
                    kinds::NO_REAGENT
                },
                Detail {
                    test: test.clone(),
                    ..Detail::default()
                },
                *at,
            ),
            Event::Module {
                module,
                condition,
                at,
            } => (
                name(*module),
                String::new(),
                condition.word(),
                Detail::default(),
                *at,
            ),
        };
        Self {
            message: 0,
            span: 0..0,
            line: line_id.to_owned(),
            module,
            barcode,
            kind: kind.to_owned(),
            detail,
            at: micros(at),
            received_at: 0,
        }
    }

    /// The event that it was made from; `None` for what Labwire wrote by itself, and where the
    /// line's file has no such module any more.
    pub fn event(&self, line: &Line) -> Option<Event> {
        let module = line.module_named(&self.module)?;
        let at = time(self.at);
        if self.barcode.is_empty() {
            return match self.kind.as_str() {
                "unread" => Some(Event::Unread { module, at }),
                kinds::REAGENT | kinds::NO_REAGENT => Some(Event::Reagent {
                    module,
                    test: self.detail.test.clone(),
                    is_usable: self.kind == kinds::REAGENT,
                    at,
                }),
                word => Some(Event::Module {
                    module,
                    condition: Condition::from_word(word)?,
                    at,
                }),
            };
        }
        let lane = line.lane_named(&self.detail.lane);
        let what = match self.kind.as_str() {
            "seen" => What::Seen { lane },
            "started" => What::Started,
            "finished" => What::Finished,
            "left" => What::Left {
                to: line.module_named(&self.detail.to),
                lane,
            },
            "kept" => What::kept(&self.detail.position),
            "lost" => What::Lost,
            _ => return None,
        };
        Some(Event::Tube {
            tube: TubeId::read(&self.barcode)?,
            module,
            what,
            at,
        })
    }

    /// What the books found.
    pub fn of_finding(line: &Line, line_id: &str, finding: &Finding, now: Time) -> Self {
        let name = |no| line.module(no).id.clone();
        let (module, tube, why) = match finding {
            Finding::TwoPlaces {
                tube,
                here,
                there,
                least_ms,
            } => {
                let apart_s = there.1.since(here.1) / 1_000;
                let why = format!(
                    "seen at {} and {apart_s} s later at {}; no tube is there in less than {} s",
                    name(here.0),
                    name(there.0),
                    least_ms.div_ceil(1_000)
                );
                (there.0, Some(tube), why)
            }
            Finding::Unread { module, .. } => (*module, None, String::new()),
            Finding::OverdueOnWay { tube, from, to, .. } => {
                let to = to.map(name).unwrap_or_default();
                let why = format!("left {} and did not come to {to}", name(*from));
                (*from, Some(tube), why.trim_end_matches(" to ").to_owned())
            }
            Finding::OverdueInModule { tube, module, .. } => (
                *module,
                Some(tube),
                "is in the module for too long".to_owned(),
            ),
            Finding::OutOfOrder { tube, module, .. } => (
                *module,
                Some(tube),
                "was told after something later".to_owned(),
            ),
            Finding::Forgotten { tube, module, .. } => (
                *module,
                Some(tube),
                "was not seen any more and is forgotten".to_owned(),
            ),
        };
        Self {
            message: 0,
            span: 0..0,
            line: line_id.to_owned(),
            module: name(module),
            barcode: tube
                .map(|tube| tube.as_str().to_owned())
                .unwrap_or_default(),
            kind: finding.code().to_owned(),
            detail: Detail {
                why,
                ..Detail::default()
            },
            at: micros(now),
            received_at: 0,
        }
    }
}

fn detail(line: &Line, what: &What) -> Detail {
    let lane = |lane: &Option<_>| lane.map(|no| line.lane(no).id.clone()).unwrap_or_default();
    match what {
        What::Seen { lane: on } => Detail {
            lane: lane(on),
            ..Detail::default()
        },
        What::Left { to, lane: on } => Detail {
            lane: lane(on),
            to: to.map(|no| line.module(no).id.clone()).unwrap_or_default(),
            ..Detail::default()
        },
        What::Kept { position } => Detail {
            position: position.clone(),
            ..Detail::default()
        },
        What::Started | What::Finished | What::Lost => Detail::default(),
    }
}

/// Writes rows, in their order.
///
/// # Errors
/// The store's.
pub fn insert(db: &mut dyn Db, rows: &[TrackRow]) -> Result<(), StoreError> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        let detail = serde_json::to_string(&row.detail)
            .map_err(|_| StoreError::value("particulars of a track event cannot be written"))?;
        values.push(vec![
            row.message.into(),
            place(row.span.start).into(),
            place(row.span.end).into(),
            row.line.as_str().into(),
            row.module.as_str().into(),
            row.barcode.as_str().into(),
            row.kind.as_str().into(),
            detail.into(),
            row.at.into(),
            row.received_at.into(),
        ]);
    }
    db.insert_rows(&INSERT, values).map(|_| ())
}

fn read(row: &Row) -> Result<TrackRow, StoreError> {
    let place = |column| row.int(column).map(|at| usize::try_from(at).unwrap_or(0));
    Ok(TrackRow {
        message: row.int(0)?,
        span: place(1)?..place(2)?,
        line: row.text(3)?.to_owned(),
        module: row.text(4)?.to_owned(),
        barcode: row.text(5)?.to_owned(),
        kind: row.text(6)?.to_owned(),
        detail: serde_json::from_str(row.text(7)?)
            .map_err(|_| StoreError::value("particulars of a track event cannot be read"))?,
        at: row.int(8)?,
        received_at: row.int(9)?,
    })
}

/// Everything about a tube, in the order in which it came.
///
/// # Errors
/// The store's.
pub fn of_barcode(db: &mut dyn Db, barcode: &str) -> Result<Vec<TrackRow>, StoreError> {
    let rows = db.rows(&OF_BARCODE, &[barcode.into()])?;
    rows.iter().map(read).collect()
}

/// Rows of a line since an instant (UTC microseconds), the newest `limit` of them, oldest first.
///
/// # Errors
/// The store's.
pub fn recent(
    db: &mut dyn Db,
    line: &str,
    since: i64,
    limit: i64,
) -> Result<Vec<TrackRow>, StoreError> {
    let rows = db.rows(&RECENT, &[line.into(), since.into(), limit.into()])?;
    rows.iter().rev().map(read).collect()
}

/// What was found of the tubes of a line since an instant (UTC microseconds), the newest `limit` of it,
/// newest first.
///
/// # Errors
/// The store's.
pub fn found(
    db: &mut dyn Db,
    line: &str,
    since: i64,
    limit: i64,
) -> Result<Vec<TrackRow>, StoreError> {
    let rows = db.rows(&FOUND, &[line.into(), since.into(), limit.into()])?;
    rows.iter().map(read).collect()
}

/// The books of a line as its rows, oldest first, make them: what a person sees beside the running
/// bridge, which keeps its own.
pub fn books(line: &Arc<Line>, stored: &[TrackRow]) -> Track {
    let mut track = Track::new(Arc::clone(line));
    for row in stored {
        take(&mut track, row);
        // What was found then stands in rows of its own.
        while track.poll().is_some() {}
    }
    track
}

/// One row into the books.
pub fn take(track: &mut Track, row: &TrackRow) {
    if let Some(event) = row.event(&Arc::clone(track.line())) {
        track.on_event(time(row.received_at), event);
        return;
    }
    let Some(tube) = TubeId::read(&row.barcode) else {
        return;
    };
    match row.kind.as_str() {
        kinds::ROUTED => {
            let to = track.line().module_named(&row.detail.to);
            track.set_advised(&tube, to);
        }
        kinds::CLEARED => track.settle_double(&tube),
        _ => {}
    }
}

/// Tubes of a line whose second one people found since an instant (UTC microseconds).
///
/// # Errors
/// The store's.
pub fn cleared(db: &mut dyn Db, line: &str, since: i64) -> Result<Vec<TubeId>, StoreError> {
    let rows = db.rows(&CLEARED, &[line.into(), since.into()])?;
    let mut tubes = Vec::new();
    for row in rows {
        tubes.extend(TubeId::read(row.text(0)?));
    }
    Ok(tubes)
}
