//! What a person means by the word after `labwire trace`.

use std::fmt;

use crate::{
    settle,
    store::{Db, Sql, StoreError},
};

pub(super) const HAS_BARCODE: Sql = Sql::same("SELECT 1 FROM specimen WHERE barcode = $1 LIMIT 1");
pub(super) const HAS_RESULTS: Sql = Sql::same("SELECT 1 FROM result WHERE barcode = $1 LIMIT 1");
pub(super) const HAS_TRACK: Sql =
    Sql::same("SELECT 1 FROM track_event WHERE barcode = $1 AND barcode <> '' LIMIT 1");
pub(super) const BY_CONTROL_ID: Sql = Sql::same("SELECT id FROM queue WHERE control_id = $1");

/// Something that can be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tube, by its barcode.
    Specimen(String),
    /// A result version, by its id.
    Result(i64),
    /// A message that was sent, by its row on the queue.
    Queue(i64),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Specimen(barcode) => write!(f, "specimen {barcode}"),
            Self::Result(id) => write!(f, "result r{id}"),
            Self::Queue(id) => write!(f, "queue row {id}"),
        }
    }
}

/// Everything that a word can mean here, likeliest first: a barcode, the control id of a message
/// that was sent, a result's id with or without its `r`.
///
/// # Errors
/// The store's.
pub fn resolve(db: &mut dyn Db, word: &str) -> Result<Vec<Subject>, StoreError> {
    let mut subjects = Vec::new();
    let is_barcode = !word.is_empty()
        && (db.row_opt(&HAS_BARCODE, &[word.into()])?.is_some()
            || db.row_opt(&HAS_RESULTS, &[word.into()])?.is_some()
            || db.row_opt(&HAS_TRACK, &[word.into()])?.is_some());
    if is_barcode {
        subjects.push(Subject::Specimen(word.to_owned()));
    }
    if let Some(row) = db.row_opt(&BY_CONTROL_ID, &[word.into()])? {
        subjects.push(Subject::Queue(row.int(0)?));
    }
    let digits = word.strip_prefix(['r', 'R']).unwrap_or(word);
    if let Ok(id) = digits.parse::<i64>()
        && settle::result_by_id(db, id)?.is_some()
    {
        subjects.push(Subject::Result(id));
    }
    Ok(subjects)
}
