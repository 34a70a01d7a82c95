//! Reading a journalled message once more, as its line is mapped now.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;

use crate::{
    bridge::Site,
    model::{Item, Observation},
    profile::{self, Decoded, Joined, LineProfile},
    store::{
        Db, StoreError,
        journal::{self, Message},
    },
};

/// What a message says of results now; nothing where it cannot be read. A message that its device
/// cut is read as the whole that it is a part of.
pub(super) fn observations(
    db: &mut dyn Db,
    site: &Site,
    line: &LineProfile,
    message: i64,
) -> Result<Vec<Observation>, StoreError> {
    let Some(own) = journal::message(db, message)? else {
        return Ok(Vec::new());
    };
    let read = |raw: &[u8], is_complete| {
        let catalogue = site.laboratory.catalogue.as_deref();
        let catalogue = catalogue.map(|own| own as &dyn profile::Catalogue);
        // What panics here was held as a message, and has no results.
        catch_unwind(AssertUnwindSafe(|| {
            profile::decode(line, catalogue, raw, is_complete)
        }))
        .ok()
    };
    let last = match ended_by(db, &own)? {
        Some(last) => journal::message(db, last)?,
        None => None,
    };
    let last = last.as_ref().unwrap_or(&own);
    if line.profile().specimen.restarts_at_record {
        let cut = journal::cut_before(db, &last.line, last.id)?;
        let raws: Vec<&[u8]> = cut.iter().map(|part| part.raw.as_ref()).collect();
        if let Some(joined) = Joined::of(&raws, &last.raw) {
            let ids = cut.iter().skip(joined.left_out()).map(|part| part.id);
            let place = ids.chain([last.id]).position(|id| id == own.id);
            let decoded = read(joined.raw(), last.is_complete);
            let items = decoded.and_then(|decoded| joined.split(decoded).into_iter().nth(place?));
            return Ok(observed(items.unwrap_or_default()));
        }
    }
    let decoded = read(&own.raw, own.is_complete);
    Ok(observed(decoded.map(items).unwrap_or_default()))
}

fn items(decoded: Decoded) -> Vec<Item> {
    decoded.items
}

fn observed(items: Vec<Item>) -> Vec<Observation> {
    let observation = |item| match item {
        Item::Observation(observation) => Some(*observation),
        Item::Image(_) | Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
    };
    items.into_iter().filter_map(observation).collect()
}

/// The message that brought the end of a part.
fn ended_by(db: &mut dyn Db, part: &Message) -> Result<Option<i64>, StoreError> {
    #[derive(Default, Deserialize)]
    struct Outcome {
        #[serde(default)]
        ended_by: Option<i64>,
    }
    if part.is_complete {
        return Ok(None);
    }
    let outcome = journal::outcome(db, part.id)?;
    let outcome = outcome.and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
    Ok(outcome.unwrap_or_default().ended_by)
}
