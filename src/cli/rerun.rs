//! `labwire replay --since`: the journal, decoded again, beside what is stored of it.

use std::sync::Arc;

use bytes::Bytes;
use labwire_drivers::{Clock as _, SystemClock};
use labwire_protocols::wire::Note;

use super::{
    Verdict,
    failure::Failure,
    ledger,
    out::Out,
    progress::Progress,
    site::{self, Files, SiteArgs},
};
use crate::{
    config::LabConfig,
    model::{HoldReason, Item, ResultState},
    profile::{self, Catalogue, Decoded, Joined, Learned, LineProfile, json_lines},
    settle::{self, StoredResult},
    store::{
        Beside, Db, Sql, StoreError,
        journal::{self, MessageState},
    },
    trace::instant,
    worklist,
};

const LAST: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM message");
const NEXT: Sql = Sql::same(
    "SELECT id FROM message WHERE id > $1 AND id <= $2 AND state = 'parsed' AND received_at >= $3 \
     ORDER BY id LIMIT 100",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&LAST, &NEXT];

pub(super) fn run(args: &SiteArgs, since: &str, out: &mut Out) -> Result<Verdict, Failure> {
    let files = Files::read(&args.config);
    let Some(loaded) = &files.loaded else {
        return Err(site::unreadable(&files.problems));
    };
    let zone = loaded.lab.lab.zone();
    let since = ledger::since(since, &zone, SystemClock::default().utc_micros())?;
    let url = args
        .store
        .clone()
        .unwrap_or_else(|| site::store_url(loaded));
    let mut store = Beside::reader(&url)?;
    let last = store.read(|db| db.row(&LAST, &[])?.int(0))?;
    let learned = Arc::new(Learned::default());
    store.read(|db| worklist::learn(db, &learned))?;
    let mut progress = Progress::new(out);
    let (mut after, mut read, mut differing, mut unknown) = (0, 0_u64, 0_u64, 0_u64);
    loop {
        let ids = store.read(|db| next(db, after, last, since))?;
        let Some(end) = ids.last() else { break };
        after = *end;
        for id in ids {
            let Some(kept) = store.read(|db| stored(db, id))? else {
                continue;
            };
            let instrument = loaded.lab.instrument(&kept.0.line);
            let line = instrument.and_then(|one| site::line_profile(loaded, one, &files.library));
            let Some(line) = line.map(|line| line.with_learned(&learned)) else {
                unknown += u64::from(!is_without_results(&kept.0.line, &loaded.lab));
                continue;
            };
            read += 1;
            let restarts = line.profile().specimen.restarts_at_record;
            let has_hello = line.profile().wire.has_hello();
            let Some(kept) = store.read(|db| Whole::of(db, kept, (restarts, has_hello)))? else {
                continue;
            };
            let catalogue = &loaded.catalogue;
            let catalogue = (!catalogue.is_empty()).then_some(catalogue as &dyn Catalogue);
            let lines = compare(&line, catalogue, &kept);
            if !lines.is_empty() {
                differing += 1;
                let at = instant(kept.received_at, &zone);
                out.line(format_args!("@@ message {id} on {}, {at} @@", kept.line))?;
                for line in lines {
                    out.line(line)?;
                }
            }
        }
        progress.at(
            u64::try_from(after).unwrap_or(0),
            u64::try_from(last).unwrap_or(0),
        );
    }
    drop(progress);
    let left = if unknown > 0 {
        format!("; {unknown} are of lines that have no profile now")
    } else {
        String::new()
    };
    out.line(format_args!(
        "{read} messages read again, {differing} would differ{left}"
    ))?;
    Ok(Verdict::found_if(differing > 0))
}

/// Lines of hosts and automation lines tell no results. The order line of a host is called `host:` and
/// its id.
fn is_without_results(line: &str, lab: &LabConfig) -> bool {
    let host = lab.host(line.strip_prefix("host:").unwrap_or(line));
    host.is_some() || lab.tracks.iter().any(|track| *track.id == line)
}

fn next(db: &mut dyn Db, after: i64, last: i64, since: i64) -> Result<Vec<i64>, StoreError> {
    db.rows(&NEXT, &[after.into(), last.into(), since.into()])?
        .iter()
        .map(|row| row.int(0))
        .collect()
}

type Kept = (journal::Message, Vec<StoredResult>);

fn stored(db: &mut dyn Db, id: i64) -> Result<Option<Kept>, StoreError> {
    let message = journal::message(db, id)?.filter(|one| one.state == MessageState::Parsed);
    let Some(message) = message else {
        return Ok(None);
    };
    let results = settle::of_message(db, id)?;
    Ok(Some((message, results)))
}

/// A message as it was settled: with the parts that it ended, where its device goes on in the middle.
struct Whole {
    line: String,
    received_at: i64,
    is_complete: bool,
    raw: Vec<u8>,
    /// What opened its conversation, where that names the device.
    opening: Option<Bytes>,
    stored: Vec<StoredResult>,
}

impl Whole {
    /// `None` for a part that another message ended: it is read with that one.
    fn of(
        db: &mut dyn Db,
        (message, mut stored): Kept,
        (restarts, has_hello): (bool, bool),
    ) -> Result<Option<Self>, StoreError> {
        let mut raw = message.raw.to_vec();
        if restarts && !message.is_complete {
            let outcome = journal::outcome(db, message.id)?.unwrap_or_default();
            if outcome.contains("\"ended_by\":") && !outcome.contains("\"ended_by\":null") {
                return Ok(None);
            }
        }
        if restarts {
            let cut = journal::cut_before(db, &message.line, message.id)?;
            let raws: Vec<&[u8]> = cut.iter().map(|part| part.raw.as_ref()).collect();
            if let Some(joined) = Joined::of(&raws, &message.raw) {
                raw = joined.raw().to_vec();
                let mut all = Vec::new();
                for part in cut.iter().skip(joined.left_out()) {
                    let of_part = settle::of_message(db, part.id)?;
                    // Those that were held until the end came have given way to the others.
                    let counts = |one: &StoredResult| one.state != ResultState::Replaced;
                    all.extend(of_part.into_iter().filter(counts));
                }
                all.append(&mut stored);
                stored = all;
            }
        }
        let opening = match has_hello {
            true => journal::opening(db, message.id)?,
            false => None,
        };
        Ok(Some(Self {
            line: message.line,
            received_at: message.received_at,
            is_complete: message.is_complete,
            raw,
            opening,
            stored,
        }))
    }
}

/// What is stored and would not be read any more, and what would be read instead. Where both are
/// the same there is nothing.
fn compare(line: &LineProfile, catalogue: Option<&dyn Catalogue>, kept: &Whole) -> Vec<String> {
    let opening = kept.opening.as_deref();
    let decoded = profile::decode_after(line, catalogue, opening, &kept.raw, kept.is_complete);
    // Which tube a person chose stands in no message.
    let mut chosen = kept.stored.iter().map(|one| {
        let tube = one.observation.specimen.clone();
        tube.filter(|_| worklist::is_linked(&one.observation))
    });
    let today = decoded.items.into_iter().filter_map(|item| match item {
        Item::Observation(mut observation) => {
            if let Some(tube) = chosen.next().flatten() {
                observation.specimen = Some(tube);
            }
            let holds = observation.holds.iter().map(|hold| hold.reason).collect();
            Some(Reading::new(item_of(&observation), holds))
        }
        Item::Image(_) | Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
    });
    let then = kept.stored.iter().map(|one| {
        let holds = one.holds.iter().map(|hold| hold.reason);
        let holds = holds.filter(|reason| reason.is_of_message()).collect();
        let mut reading = Reading::new(item_of(&one.observation), holds);
        reading.is_open = one.state == ResultState::Held || one.state == ResultState::Waiting;
        reading
    });
    difference(&then.collect::<Vec<_>>(), &today.collect::<Vec<_>>())
}

fn item_of(observation: &crate::model::Observation) -> Item {
    let mut plain = observation.clone();
    plain.holds.clear();
    plain.notes.clear();
    Item::Observation(Box::new(plain))
}

/// A result as its line shows it.
#[derive(Debug)]
struct Reading {
    line: String,
    holds: Vec<HoldReason>,
    /// Its holds still stand; of a decided result they may be gone.
    is_open: bool,
}

impl Reading {
    fn new(item: Item, mut holds: Vec<HoldReason>) -> Self {
        let decoded = Decoded {
            items: vec![item],
            notes: Vec::<Note>::new(),
            sender: String::new(),
            stranger: None,
        };
        holds.sort();
        holds.dedup();
        Self {
            line: json_lines(&decoded).concat(),
            holds,
            is_open: true,
        }
    }

    /// Whether today's reading is this one. Of a result that was decided, only new reasons to hold
    /// it count.
    fn is(&self, today: &Self) -> bool {
        let same_holds = if self.is_open {
            self.holds == today.holds
        } else {
            today.holds.is_empty()
        };
        self.line == today.line && same_holds
    }

    fn shown(&self) -> String {
        let codes: Vec<&str> = self.holds.iter().map(|reason| reason.code()).collect();
        if codes.is_empty() {
            self.line.clone()
        } else {
            format!("{} held: {}", self.line, codes.join(", "))
        }
    }
}

/// Readings come in the order of the message, so the n-th is compared with the n-th; what one side
/// has more stands at its end.
fn difference(then: &[Reading], today: &[Reading]) -> Vec<String> {
    let mut lines = Vec::new();
    for at in 0..then.len().max(today.len()) {
        match (then.get(at), today.get(at)) {
            (Some(then), Some(today)) if then.is(today) => {}
            (then, today) => {
                lines.extend(then.map(|one| format!("- {}", one.shown())));
                lines.extend(today.map(|one| format!("+ {}", one.shown())));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(line: &str, holds: &[HoldReason], is_open: bool) -> Reading {
        Reading {
            line: line.to_owned(),
            holds: holds.to_vec(),
            is_open,
        }
    }

    #[test]
    fn only_what_differs_is_shown() {
        let then = [
            reading("a", &[], true),
            reading("b", &[HoldReason::UnknownTest], true),
            reading("c", &[], false),
            reading("d", &[], false),
        ];
        let today = [
            reading("a", &[], true),
            reading("b", &[], true),
            reading("c", &[HoldReason::SuspectFlag], true),
        ];
        assert_eq!(
            difference(&then, &today),
            [
                "- b held: unknown-test",
                "+ b",
                "- c",
                "+ c held: suspect-flag",
                "- d"
            ]
        );
        assert!(difference(&today, &today).is_empty());
    }
}
