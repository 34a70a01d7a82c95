//! Pictures beside results, histograms and scattergrams: kept once, linked to the file that a
//! message names whichever comes first, told to a host with the results they stand beside.
//!
//! A picture belongs to the tube and the message that told of it. It is no result: it has no state,
//! waits for nobody and holds nothing. What must not happen here: a picture shown with another
//! patient's tube. So a file is linked to one tube, and where two tubes name one file, or two files
//! came under one name, none is linked and the reason stands with both.

mod rows;
mod told;

use sha2::{Digest as _, Sha256};

use crate::{
    model::{ImageBytes, ImageFault, ImageSeen, ImageSource, ObservationKind},
    settle::SettleContext,
    store::{Db, StoreError},
};

pub(crate) use self::told::{Telling, of_rows};
pub use self::{
    rows::{Known, Shown, bytes, known_files, of_barcode},
    told::{PER_MESSAGE_BYTES_MAX, Picture, follow, of_row},
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [rows::ALL, told::ALL].concat()
}

/// How far apart a file and the result that names it may come, microseconds: a weekend on which the
/// analyzer's computer, the share or the bridge was off.
pub const LINK_WINDOW: i64 = 7 * 24 * 3_600 * 1_000_000;

/// After so long a file that has not come is shown as one that does not come, microseconds.
/// Analyzers write it within a minute of the result.
pub const FILE_LATE: i64 = 3_600 * 1_000_000;

/// A file that was read from the folder of a line, whole.
#[derive(Clone, Debug)]
pub struct TakenFile {
    /// The line.
    pub line: String,
    /// Its name, without a folder.
    pub name: String,
    /// What is in it.
    pub image: ImageBytes,
    /// When it was written last, by the clock of its file system, microseconds UTC.
    pub modified_at: i64,
}

/// Keeps a picture that a message brings or tells of.
///
/// # Errors
/// The store's.
pub fn keep(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    seen: &ImageSeen,
) -> Result<(), StoreError> {
    let tube = seen.specimen.as_ref().map_or("", |tube| tube.id.as_str());
    let mut new = rows::NewImage {
        message: context.message,
        line: context.line,
        received_at: context.received_at,
        barcode: tube,
        file: "",
        content: None,
        fault: None,
        seen,
    };
    match &seen.source {
        ImageSource::Bytes(image) => new.content = Some(content(db, image, context.now)?),
        ImageSource::Unreadable(fault) => new.fault = Some(*fault),
        ImageSource::File(name) => {
            new.file = name;
            (new.content, new.fault) = waiting_file(db, context, name, tube)?;
        }
    }
    rows::insert(db, &new)
}

/// The file that already came for a result, or why none of them is taken.
fn waiting_file(
    db: &mut dyn Db,
    context: &SettleContext<'_>,
    name: &str,
    tube: &str,
) -> Result<(Option<i64>, Option<ImageFault>), StoreError> {
    let since = context.received_at.saturating_sub(LINK_WINDOW);
    let files = rows::unlinked(db, context.line, name, since)?;
    match files.as_slice() {
        // The result was sent again, and its file was linked the first time.
        [] => Ok((
            rows::linked_before(db, context.line, name, tube, since)?,
            None,
        )),
        [only] => {
            let others = rows::awaiting(db, context.line, name, since)?;
            if others.iter().any(|other| other.barcode != tube) {
                return Ok((None, Some(ImageFault::SeveralTubes)));
            }
            rows::spend(db, context.line, name, *only)?;
            Ok((Some(*only), None))
        }
        [_, _, ..] => Ok((None, Some(ImageFault::SeveralFiles))),
    }
}

/// Keeps a file of a line's folder and links it to the results that wait for it. `hosts` are those
/// that want pictures. Returns whether something is on the queue now.
///
/// # Errors
/// The store's; then the file is not kept and is to be taken again.
pub fn take(
    db: &mut dyn Db,
    file: &TakenFile,
    hosts: &[String],
    now: i64,
) -> Result<bool, StoreError> {
    let content = content(db, &file.image, now)?;
    if !rows::insert_file(db, file, content, now)? {
        return Ok(false);
    }
    let since = now.saturating_sub(LINK_WINDOW);
    let awaiting = rows::awaiting(db, &file.line, &file.name, since)?;
    let Some(first) = awaiting.first() else {
        return Ok(false);
    };
    if awaiting.iter().any(|one| one.barcode != first.barcode) {
        for one in &awaiting {
            rows::set_fault(db, one.id, ImageFault::SeveralTubes)?;
        }
        return Ok(false);
    }
    rows::spend(db, &file.line, &file.name, content)?;
    let mut is_queued = false;
    for one in &awaiting {
        rows::link(db, one.id, content)?;
        is_queued |= told::tell_late(db, one, hosts, now)?;
    }
    Ok(is_queued)
}

/// The row of these bytes; they are kept if they are not there yet.
fn content(db: &mut dyn Db, image: &ImageBytes, now: i64) -> Result<i64, StoreError> {
    let sha256: String = Sha256::digest(&image.bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match rows::content_of(db, &sha256)? {
        Some(known) => Ok(known),
        None => rows::insert_content(db, &sha256, image, now),
    }
}

const fn kind_code(kind: ObservationKind) -> &'static str {
    match kind {
        ObservationKind::Patient => "patient",
        ObservationKind::Control => "control",
        ObservationKind::Calibration => "calibration",
    }
}
