//! Pictures in messages to hosts: each once to each host, with the results it stands beside, or
//! after them where its file came later.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::json,
    model::{Priority, QueueState},
    queue::{self, News},
    store::{Db, Insert, Row, Sql, StoreError},
};

use super::rows::Awaiting;

/// Bytes of pictures in one message to a host, before they are encoded: some 8 MB of Base64, what
/// engines of hospitals still take. What is beyond goes in a further message of its own.
pub const PER_MESSAGE_BYTES_MAX: u64 = 6 * 1024 * 1024;

/// Pictures that queue rows were given by name.
const NAMED: Sql = Sql {
    sqlite: "SELECT t.queue, i.id, i.message, i.line, i.code, c.media_type, c.size, i.barcode \
             FROM queue_image t JOIN image i ON i.id = t.image \
             JOIN image_content c ON c.id = i.content \
             WHERE t.queue IN (SELECT value FROM json_each($1)) ORDER BY i.id",
    postgres: "SELECT t.queue, i.id, i.message, i.line, i.code, c.media_type, c.size, i.barcode \
               FROM queue_image t JOIN image i ON i.id = t.image \
               JOIN image_content c ON c.id = i.content WHERE t.queue IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               ORDER BY i.id",
};
/// Pictures of messages that no message to this host carries yet.
const UNTOLD: Sql = Sql {
    sqlite: "SELECT 0, i.id, i.message, i.line, i.code, c.media_type, c.size, i.barcode \
             FROM image i JOIN image_content c ON c.id = i.content \
             WHERE i.message IN (SELECT value FROM json_each($1)) AND i.kind = 'patient' \
             AND NOT EXISTS (SELECT 1 FROM queue_image t JOIN queue q ON q.id = t.queue \
             WHERE t.image = i.id AND q.destination = $2 AND q.state <> 'superseded') ORDER BY i.id",
    postgres: "SELECT 0::bigint, i.id, i.message, i.line, i.code, c.media_type, c.size, i.barcode \
               FROM image i JOIN image_content c ON c.id = i.content WHERE i.message IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               AND i.kind = 'patient' \
               AND NOT EXISTS (SELECT 1 FROM queue_image t JOIN queue q ON q.id = t.queue \
               WHERE t.image = i.id AND q.destination = $2 AND q.state <> 'superseded') \
               ORDER BY i.id",
};
const CONTENT: Sql = Sql::same(
    "SELECT c.bytes FROM image i JOIN image_content c ON c.id = i.content WHERE i.id = $1",
);
/// Messages to hosts that tell released results of one message and tube.
const TELLING: Sql = Sql::same(
    "SELECT q.id, q.destination, q.specimen, q.priority, q.state, \
     CASE WHEN q.body IS NULL THEN 0 ELSE 1 END FROM queue q WHERE q.id IN (\
     SELECT r.queue FROM result r WHERE r.message = $1 AND r.barcode = $2 \
     AND r.kind = 'patient' AND r.state = 'released' \
     UNION SELECT f.queue FROM result r JOIN queue_result f ON f.result = r.id \
     WHERE r.message = $1 AND r.barcode = $2 AND r.kind = 'patient' AND r.state = 'released') \
     AND q.state <> 'superseded' ORDER BY q.id",
);
const CARRY: Insert = Insert {
    into: "INSERT INTO queue_image (queue, image)",
    columns: 2,
    tail: "ON CONFLICT (queue, image) DO NOTHING",
    types: &[],
};
const DROP: Sql = Sql::same("DELETE FROM queue_image WHERE queue = $1 AND image = $2");
const OF_ROW: Sql = Sql::same("SELECT image FROM queue_image WHERE queue = $1 ORDER BY image");
const TUBE: Sql = Sql::same("SELECT specimen, destination, priority FROM queue WHERE id = $1");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&NAMED, &UNTOLD, &CONTENT, &TELLING, &DROP, &OF_ROW, &TUBE];

/// A picture for a message to a host.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its id.
    pub id: i64,
    /// The journal row that told of it, as its results'.
    pub message: i64,
    /// The tube id, as its results'.
    pub barcode: String,
    /// The line that it came on.
    pub line: String,
    /// What the device calls it.
    pub code: String,
    /// By its bytes.
    pub media_type: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A picture without its bytes.
struct Found {
    picture: Picture,
    size: u64,
}

fn found(row: &Row) -> Result<(i64, Found), StoreError> {
    let picture = Picture {
        id: row.int(1)?,
        message: row.int(2)?,
        line: row.text(3)?.to_owned(),
        code: row.text(4)?.to_owned(),
        media_type: row.text(5)?.to_owned(),
        barcode: row.text(7)?.to_owned(),
        bytes: Vec::new(),
    };
    let size = row.count(6)?;
    Ok((row.int(0)?, Found { picture, size }))
}

/// A queue row about to be rendered, and what it tells: message and tube of each result.
pub(crate) type Telling = (i64, BTreeSet<(i64, String)>);

/// The pictures that queue rows of `destination` carry, by row: those they were given, and those of
/// their results that the host does not have. What is too much for one message gets a message of
/// its own behind it. For the transaction that renders them.
///
/// # Errors
/// The store's.
pub(crate) fn of_rows(
    db: &mut dyn Db,
    destination: &str,
    rows: &[Telling],
    now: i64,
) -> Result<BTreeMap<i64, Vec<Picture>>, StoreError> {
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let mut carried: BTreeMap<i64, Vec<Found>> = BTreeMap::new();
    for row in db.rows(&NAMED, &[json(&ids)?.into()])? {
        let (queue, one) = found(&row)?;
        carried.entry(queue).or_default().push(one);
    }
    for (id, told) in rows {
        let own = carried.entry(*id).or_default();
        let messages: BTreeSet<i64> = told.iter().map(|(message, _)| *message).collect();
        if messages.is_empty() {
            continue;
        }
        let untold = db.rows(&UNTOLD, &[json(&messages)?.into(), destination.into()])?;
        for row in untold {
            let (_, one) = found(&row)?;
            let is_own = told.contains(&(one.picture.message, one.picture.barcode.clone()));
            if is_own && own.iter().all(|known| known.picture.id != one.picture.id) {
                own.push(one);
            }
        }
    }
    let mut pictures = BTreeMap::new();
    for (queue, found) in carried {
        pictures.insert(queue, packed(db, queue, found, now)?);
    }
    Ok(pictures)
}

/// As many as one message takes, with their bytes; the others go in one behind it.
fn packed(
    db: &mut dyn Db,
    queue: i64,
    found: Vec<Found>,
    now: i64,
) -> Result<Vec<Picture>, StoreError> {
    let mut taken = Vec::new();
    let mut rest = Vec::new();
    let mut size: u64 = 0;
    for one in found {
        let after = size.saturating_add(one.size);
        if !taken.is_empty() && after > PER_MESSAGE_BYTES_MAX {
            rest.push(one.picture.id);
            continue;
        }
        size = after;
        let row = db.row(&CONTENT, &[one.picture.id.into()])?;
        taken.push(Picture {
            bytes: row.blob(0)?.to_vec(),
            ..one.picture
        });
    }
    let ids: Vec<i64> = taken.iter().map(|picture| picture.id).collect();
    carry(db, queue, &ids)?;
    for image in &rest {
        db.exec(&DROP, &[queue.into(), (*image).into()])?;
    }
    if !rest.is_empty() {
        let row = db.row(&TUBE, &[queue.into()])?;
        let news = News {
            host: host_of(row.text(1)?),
            specimen: row.int(0)?,
            priority: Priority::from_rank(row.int(2)?),
            behind: None,
        };
        for behind in queue::enqueue_apart(db, &[news], now, now)? {
            carry(db, behind, &rest)?;
        }
    }
    Ok(taken)
}

fn host_of(destination: &str) -> String {
    let host = destination.strip_prefix("host:");
    host.unwrap_or(destination).to_owned()
}

/// Says that a queue row carries pictures.
fn carry(db: &mut dyn Db, queue: i64, images: &[i64]) -> Result<(), StoreError> {
    let rows = images
        .iter()
        .map(|image| vec![queue.into(), (*image).into()]);
    db.insert_rows(&CARRY, rows.collect())?;
    Ok(())
}

/// A picture that came after its results: where a host that wants pictures was told of them
/// already, it goes in a message of its own. Returns whether it does.
pub(super) fn tell_late(
    db: &mut dyn Db,
    image: &Awaiting,
    hosts: &[String],
    now: i64,
) -> Result<bool, StoreError> {
    let params = [image.message.into(), image.barcode.as_str().into()];
    let mut telling: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in db.rows(&TELLING, &params)? {
        let host = host_of(row.text(1)?);
        telling.entry(host).or_default().push(row);
    }
    let mut is_queued = false;
    for (host, rows) in telling.into_iter().filter(|(host, _)| hosts.contains(host)) {
        let mut states = Vec::with_capacity(rows.len());
        for row in &rows {
            states.push((
                QueueState::from_code(row.text(4)?),
                row.bool(5)?,
                row.int(0)?,
            ));
        }
        // One that was not rendered yet takes the picture with it; what a person discarded is not
        // told by its picture.
        let takes_it = states.iter().any(|(_, has_body, _)| !has_body);
        let is_told = states
            .iter()
            .any(|(state, _, _)| *state != Some(QueueState::Discarded));
        let Some(row) = rows.last().filter(|_| is_told && !takes_it) else {
            continue;
        };
        let aside = states
            .iter()
            .rev()
            .find(|(state, _, _)| *state == Some(QueueState::SetAside));
        let news = News {
            host,
            specimen: row.int(2)?,
            priority: Priority::from_rank(row.int(3)?),
            behind: aside.map(|(_, _, id)| *id),
        };
        for queue in queue::enqueue_results(db, &[news], now)? {
            carry(db, queue, &[image.id])?;
            is_queued = true;
        }
    }
    Ok(is_queued)
}

/// The message `to` follows `from`, whose bytes may not change any more: it carries the same
/// pictures.
///
/// # Errors
/// The store's.
pub fn follow(db: &mut dyn Db, from: i64, to: i64) -> Result<(), StoreError> {
    let images = of_row(db, from)?;
    carry(db, to, &images)
}

/// The pictures that a queue row carries.
///
/// # Errors
/// The store's.
pub fn of_row(db: &mut dyn Db, queue: i64) -> Result<Vec<i64>, StoreError> {
    let rows = db.rows(&OF_ROW, &[queue.into()])?;
    rows.iter().map(|row| row.int(0)).collect()
}
