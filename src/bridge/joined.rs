//! Messages of devices that go on in the middle after a cut: the parts are settled as one.
//!
//! The results of the earlier parts stand already, held as incomplete. Once the end has come, what
//! the whole message says of them takes their place, from the bytes that they came in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Item, Query},
    profile::{self, Decoded, Joined},
    settle::{self, Settled},
    store::{
        Db, StoreError,
        journal::{self, MessageState},
    },
};

use super::{parser::Work, site::Site};

/// An earlier part of a message whose end has come.
#[derive(Debug)]
pub(super) struct Part {
    /// Its journal row.
    pub(super) message: i64,
    /// When it came.
    pub(super) received_at: i64,
    /// What the whole message says of it: results that were held, and are decided again.
    pub(super) items: Vec<Item>,
}

impl Part {
    /// Adds to the outcome of this part what was decided again with the message that ended it.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn note(
        &self,
        db: &mut dyn Db,
        ended_by: i64,
        again: Settled,
    ) -> Result<(), StoreError> {
        let before = journal::outcome(db, self.message)?;
        let mut outcome: Outcome = before
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        outcome.settled += again;
        outcome.ended_by = Some(ended_by);
        let text = serde_json::to_string(&outcome)
            .map_err(|_| StoreError::value("an outcome that is not JSON"))?;
        journal::mark(db, self.message, MessageState::Parsed, Some(&text))
    }
}

/// The outcome of a message that was cut.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Outcome {
    settled: Settled,
    #[serde(default)]
    notes: Vec<String>,
    /// The message that brought its end.
    ended_by: Option<i64>,
}

/// A message read as one with the parts before it.
#[derive(Debug)]
pub(super) struct Whole {
    /// The parts before the last, oldest first; none while the end has not come.
    pub(super) parts: Vec<Part>,
    /// What the last part says.
    pub(super) decoded: Decoded,
    pub(super) digest_input: Vec<u8>,
    pub(super) queries: Vec<Query>,
}

/// Reads `work` with the parts that it goes on with, where its device does that; `None` where the
/// message stands for itself. Results of earlier parts that are in [`Whole::parts`] have given way.
///
/// # Errors
/// The store's.
pub(super) fn whole(
    db: &mut dyn Db,
    site: &Site,
    work: &Work,
    now: i64,
) -> Result<Option<Whole>, StoreError> {
    let cut = journal::cut_before(db, &work.line.id, work.message)?;
    let raws: Vec<&[u8]> = cut.iter().map(|message| message.raw.as_ref()).collect();
    let Some(joined) = Joined::of(&raws, &work.raw) else {
        return Ok(None);
    };
    let own = cut.get(joined.left_out()..).unwrap_or_default();
    let Some(Read {
        decoded,
        asked_before,
        digest_input,
    }) = read(site, work, &joined, own)
    else {
        return Ok(None);
    };
    let notes = decoded.notes.clone();
    let (sender, stranger) = (decoded.sender.clone(), decoded.stranger.clone());
    let mut split = joined.split(decoded);
    let items = split.pop().unwrap_or_default();
    let mut parts = Vec::new();
    if work.is_complete {
        for (message, items) in own.iter().zip(split) {
            parts.push(Part {
                message: message.id,
                received_at: message.received_at,
                items: settle::give_way(db, message.id, items, now)?,
            });
        }
    }
    let decoded = Decoded {
        items,
        notes,
        sender,
        stranger,
    };
    // What an earlier part asked was answered then.
    let queries = super::reading::queries_of(&decoded)
        .into_iter()
        .skip(asked_before)
        .collect();
    Ok(Some(Whole {
        parts,
        decoded,
        digest_input,
        queries,
    }))
}

struct Read {
    decoded: Decoded,
    asked_before: usize,
    digest_input: Vec<u8>,
}

/// `None` when the whole cannot be read; then its parts stand for themselves.
fn read(site: &Site, work: &Work, joined: &Joined, cut: &[journal::Message]) -> Option<Read> {
    let catalogue = site.laboratory.catalogue.as_deref();
    let catalogue = catalogue.map(|catalogue| catalogue as &dyn profile::Catalogue);
    let line = &work.line.profile;
    let protocol = line.profile().device.protocol;
    let queries = |decoded: &Decoded| super::reading::queries_of(decoded).len();
    catch_unwind(AssertUnwindSafe(|| {
        let asked = cut
            .iter()
            .map(|part| queries(&profile::decode(line, catalogue, &part.raw, false)));
        Read {
            asked_before: asked.sum(),
            decoded: profile::decode(line, catalogue, joined.raw(), work.is_complete),
            digest_input: profile::digest_input(joined.raw(), protocol),
        }
    }))
    .ok()
}
