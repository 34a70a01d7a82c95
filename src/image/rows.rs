//! Pictures as rows.

use crate::{
    model::{ImageBytes, ImageFault, ImageSeen},
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{TakenFile, kind_code};

const CONTENT_OF: Sql = Sql::same("SELECT id FROM image_content WHERE sha256 = $1");
const INSERT_CONTENT: Sql = Sql::same(
    "INSERT INTO image_content (sha256, media_type, size, bytes, at) \
     VALUES ($1, $2, $3, $4, $5) RETURNING id",
);
const INSERT: Sql = Sql::same(
    "INSERT INTO image (message, span_start, span_end, line, kind, barcode, code, declared, file, \
     content, fault, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
);
const UNLINKED: Sql = Sql::same(
    "SELECT content FROM image_file WHERE line = $1 AND name = $2 AND taken_at >= $3 \
     AND is_linked = 0 ORDER BY content",
);
const LINKED_BEFORE: Sql = Sql::same(
    "SELECT content FROM image WHERE barcode = $1 AND received_at >= $2 AND line = $3 \
     AND file = $4 AND content IS NOT NULL ORDER BY id DESC LIMIT 1",
);
const AWAITING: Sql = Sql::same(
    "SELECT id, message, barcode FROM image WHERE received_at >= $3 AND content IS NULL \
     AND file <> '' AND line = $1 AND file = $2 ORDER BY received_at, id",
);
const LINK: Sql = Sql::same("UPDATE image SET content = $2, fault = '' WHERE id = $1");
const SET_FAULT: Sql = Sql::same("UPDATE image SET fault = $2 WHERE id = $1");
const SPEND: Sql =
    Sql::same("UPDATE image_file SET is_linked = 1 WHERE line = $1 AND name = $2 AND content = $3");
const TOUCH_FILE: Sql = Sql::same(
    "UPDATE image_file SET size = $4, modified_at = $5, taken_at = $6 \
     WHERE line = $1 AND name = $2 AND content = $3",
);
const INSERT_FILE: Sql = Sql::same(
    "INSERT INTO image_file (line, name, content, size, modified_at, taken_at, is_linked) \
     VALUES ($1, $2, $3, $4, $5, $6, 0)",
);
const KNOWN_FILES: Sql =
    Sql::same("SELECT name, size, modified_at FROM image_file WHERE line = $1 AND taken_at >= $2");
const OF_BARCODE: Sql = Sql::same(
    "SELECT i.id, i.message, i.line, i.kind, i.code, i.file, i.fault, i.received_at, c.media_type, \
     c.size FROM image i LEFT JOIN image_content c ON c.id = i.content WHERE i.barcode = $1 \
     ORDER BY i.received_at DESC, i.id DESC LIMIT $2",
);
const BYTES: Sql = Sql::same(
    "SELECT i.barcode, c.media_type, c.bytes FROM image i \
     JOIN image_content c ON c.id = i.content WHERE i.id = $1",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &CONTENT_OF,
    &INSERT_CONTENT,
    &INSERT,
    &UNLINKED,
    &LINKED_BEFORE,
    &AWAITING,
    &LINK,
    &SET_FAULT,
    &SPEND,
    &TOUCH_FILE,
    &INSERT_FILE,
    &KNOWN_FILES,
    &OF_BARCODE,
    &BYTES,
];

/// A picture about to be stored.
pub(super) struct NewImage<'a> {
    pub(super) message: i64,
    pub(super) line: &'a str,
    pub(super) received_at: i64,
    pub(super) barcode: &'a str,
    pub(super) file: &'a str,
    pub(super) content: Option<i64>,
    pub(super) fault: Option<ImageFault>,
    pub(super) seen: &'a ImageSeen,
}

pub(super) fn insert(db: &mut dyn Db, new: &NewImage<'_>) -> Result<(), StoreError> {
    let at = |at: usize| Param::count(u64::try_from(at).unwrap_or(u64::MAX));
    let params: [Param; 12] = [
        new.message.into(),
        at(new.seen.span.start)?,
        at(new.seen.span.end)?,
        new.line.into(),
        kind_code(new.seen.kind).into(),
        new.barcode.into(),
        new.seen.code.as_str().into(),
        new.seen.declared.as_str().into(),
        new.file.into(),
        new.content.into(),
        new.fault.map_or("", ImageFault::code).into(),
        new.received_at.into(),
    ];
    db.exec(&INSERT, &params)?;
    Ok(())
}

pub(super) fn content_of(db: &mut dyn Db, sha256: &str) -> Result<Option<i64>, StoreError> {
    let row = db.row_opt(&CONTENT_OF, &[sha256.into()])?;
    row.map(|row| row.int(0)).transpose()
}

pub(super) fn insert_content(
    db: &mut dyn Db,
    sha256: &str,
    image: &ImageBytes,
    now: i64,
) -> Result<i64, StoreError> {
    let params: [Param; 5] = [
        sha256.into(),
        image.media_type().into(),
        size(image)?,
        image.bytes.as_slice().into(),
        now.into(),
    ];
    db.insert(&INSERT_CONTENT, &params)
}

fn size(image: &ImageBytes) -> Result<Param, StoreError> {
    Param::count(u64::try_from(image.bytes.len()).unwrap_or(u64::MAX))
}

/// Files of that name that no result has yet.
pub(super) fn unlinked(
    db: &mut dyn Db,
    line: &str,
    name: &str,
    since: i64,
) -> Result<Vec<i64>, StoreError> {
    let rows = db.rows(&UNLINKED, &[line.into(), name.into(), since.into()])?;
    rows.iter().map(|row| row.int(0)).collect()
}

/// The file that an earlier message of the same tube named.
pub(super) fn linked_before(
    db: &mut dyn Db,
    line: &str,
    name: &str,
    tube: &str,
    since: i64,
) -> Result<Option<i64>, StoreError> {
    let params: [Param; 4] = [tube.into(), since.into(), line.into(), name.into()];
    let row = db.row_opt(&LINKED_BEFORE, &params)?;
    row.map(|row| row.int(0)).transpose()
}

/// A picture whose file has not come.
#[derive(Clone, Debug)]
pub(super) struct Awaiting {
    pub(super) id: i64,
    pub(super) message: i64,
    pub(super) barcode: String,
}

pub(super) fn awaiting(
    db: &mut dyn Db,
    line: &str,
    name: &str,
    since: i64,
) -> Result<Vec<Awaiting>, StoreError> {
    let rows = db.rows(&AWAITING, &[line.into(), name.into(), since.into()])?;
    let read = |row: &Row| {
        Ok(Awaiting {
            id: row.int(0)?,
            message: row.int(1)?,
            barcode: row.text(2)?.to_owned(),
        })
    };
    rows.iter().map(read).collect()
}

pub(super) fn link(db: &mut dyn Db, image: i64, content: i64) -> Result<(), StoreError> {
    db.exec(&LINK, &[image.into(), content.into()])?;
    Ok(())
}

pub(super) fn set_fault(db: &mut dyn Db, image: i64, fault: ImageFault) -> Result<(), StoreError> {
    db.exec(&SET_FAULT, &[image.into(), fault.code().into()])?;
    Ok(())
}

/// A file belongs to a tube now.
pub(super) fn spend(
    db: &mut dyn Db,
    line: &str,
    name: &str,
    content: i64,
) -> Result<(), StoreError> {
    db.exec(&SPEND, &[line.into(), name.into(), content.into()])?;
    Ok(())
}

/// Remembers a file; true where it is new, by its name and what is in it.
pub(super) fn insert_file(
    db: &mut dyn Db,
    file: &TakenFile,
    content: i64,
    now: i64,
) -> Result<bool, StoreError> {
    let params: [Param; 6] = [
        file.line.as_str().into(),
        file.name.as_str().into(),
        content.into(),
        size(&file.image)?,
        file.modified_at.into(),
        now.into(),
    ];
    if db.exec(&TOUCH_FILE, &params)? > 0 {
        return Ok(false);
    }
    db.exec(&INSERT_FILE, &params)?;
    Ok(true)
}

/// A file that was taken, as its file system had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Microseconds UTC.
    pub modified_at: i64,
}

/// What was taken from the folder of a line since then, microseconds UTC.
///
/// # Errors
/// The store's.
pub fn known_files(db: &mut dyn Db, line: &str, since: i64) -> Result<Vec<Known>, StoreError> {
    let rows = db.rows(&KNOWN_FILES, &[line.into(), since.into()])?;
    let read = |row: &Row| {
        Ok(Known {
            name: row.text(0)?.to_owned(),
            size: row.count(1)?,
            modified_at: row.int(2)?,
        })
    };
    rows.iter().map(read).collect()
}

/// A picture as a page shows it, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: i64,
    /// The journal row that told of it.
    pub message: i64,
    /// The line.
    pub line: String,
    /// Whether it is a patient's.
    pub is_patient: bool,
    /// What the device calls it.
    pub code: String,
    /// The file that was named; empty where it came in the message.
    pub file: String,
    /// Why there is none.
    pub fault: Option<ImageFault>,
    /// Microseconds UTC.
    pub received_at: i64,
    /// Media type by its bytes, and their number; `None` where there are none.
    pub content: Option<(String, u64)>,
}

/// The newest `limit` pictures of a barcode.
///
/// # Errors
/// The store's.
pub fn of_barcode(db: &mut dyn Db, barcode: &str, limit: i64) -> Result<Vec<Shown>, StoreError> {
    let rows = db.rows(&OF_BARCODE, &[barcode.into(), limit.into()])?;
    let read = |row: &Row| {
        let content = match row.opt_text(8)? {
            Some(media_type) => Some((media_type.to_owned(), row.count(9)?)),
            None => None,
        };
        Ok(Shown {
            id: row.int(0)?,
            message: row.int(1)?,
            line: row.text(2)?.to_owned(),
            is_patient: row.text(3)? == "patient",
            code: row.text(4)?.to_owned(),
            file: row.text(5)?.to_owned(),
            fault: ImageFault::from_code(row.text(6)?),
            received_at: row.int(7)?,
            content,
        })
    };
    rows.iter().map(read).collect()
}

/// Barcode, media type and bytes of a picture that is there.
///
/// # Errors
/// The store's.
pub fn bytes(db: &mut dyn Db, image: i64) -> Result<Option<(String, String, Vec<u8>)>, StoreError> {
    let Some(row) = db.row_opt(&BYTES, &[image.into()])? else {
        return Ok(None);
    };
    let (barcode, media_type) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
    Ok(Some((barcode, media_type, row.blob(2)?.to_vec())))
}
