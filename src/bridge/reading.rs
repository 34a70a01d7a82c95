//! Reading a journalled message, before it is settled and once more where something has changed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    model::{Item, Query},
    profile::{self, Decoded},
    store::{Db, StoreError, journal},
    worklist,
};

use super::{
    parser::{Job, Work},
    site::Site,
};

pub(super) fn read(site: &Site, job: &Job) -> Work {
    let learned = site.learned.version();
    let catalogue = site.laboratory.catalogue.as_deref();
    let catalogue = catalogue.map(|catalogue| catalogue as &dyn profile::Catalogue);
    let protocol = job.line.profile.profile().device.protocol;
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let decoded = profile::decode(&job.line.profile, catalogue, &job.raw, job.is_complete);
        (decoded, profile::digest_input(&job.raw, protocol))
    }));
    let (decoded, digest_input) = match decoded {
        Ok((decoded, digest_input)) => (Ok(decoded), digest_input),
        Err(_) => (Err(()), Vec::new()),
    };
    let queries = decoded.as_ref().map(queries_of).unwrap_or_default();
    Work {
        line: Arc::clone(&job.line),
        message: job.message,
        raw: job.raw.clone(),
        is_complete: job.is_complete,
        received_at: job.received_at,
        decoded,
        digest_input,
        queries,
        parts: Vec::new(),
        learned,
    }
}

/// The messages read again, where people mapped something since; `None` where nobody did. Whoever
/// mapped moved what waited then, so nothing may be settled as it was read before.
pub(super) fn read_anew(
    db: &mut dyn Db,
    site: &Site,
    works: &[Work],
) -> Result<Option<Vec<Work>>, StoreError> {
    let version = worklist::learn(db, &site.learned)?;
    if works.iter().all(|work| work.learned == version) {
        return Ok(None);
    }
    let again = |work: &Work| {
        let job = Job {
            line: Arc::clone(&work.line),
            message: work.message,
            raw: work.raw.clone(),
            is_complete: work.is_complete,
            received_at: work.received_at,
            connection: None,
            reply: None,
            permit: None,
        };
        read(site, &job)
    };
    Ok(Some(works.iter().map(again).collect()))
}

/// Reads a message again with the one that opened its conversation, if that is another.
pub(super) fn read_after_opening(
    db: &mut dyn Db,
    site: &Site,
    work: &Work,
) -> Result<Option<Decoded>, StoreError> {
    let Some(opening) = journal::opening(db, work.message)? else {
        journal::remember_opening(db, work.message)?;
        return Ok(None);
    };
    let catalogue = site.laboratory.catalogue.as_deref();
    let catalogue = catalogue.map(|catalogue| catalogue as &dyn profile::Catalogue);
    let (line, raw, is_complete) = (&work.line.profile, &work.raw, work.is_complete);
    let read = || profile::decode_after(line, catalogue, Some(&opening), raw, is_complete);
    Ok(catch_unwind(AssertUnwindSafe(read)).ok())
}

pub(super) fn queries_of(decoded: &Decoded) -> Vec<Query> {
    let query = |item: &Item| match item {
        Item::Query(query) => Some(query.clone()),
        Item::Observation(_) | Item::Image(_) | Item::Device(_) | Item::Incomplete(_) => None,
    };
    decoded.items.iter().filter_map(query).collect()
}
