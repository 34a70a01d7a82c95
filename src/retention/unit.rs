//! What belongs together: found from one row by every reference between messages, results, deliveries,
//! pictures and calls. What a device or an automation line told besides, and what a host was answered, goes
//! with its message.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::store::{Db, Param, Row, Sql, StoreError, to_json};

/// A table whose rows are archived.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    /// Its rows by the id of what they belong to.
    pub(super) select: Sql,
    /// Removes those.
    pub(super) delete: Sql,
}

macro_rules! tables {
    ($($index:ident = $name:literal by $by:literal: $first:literal $($column:literal)*;)*) => {
        /// Every table of a unit.
        pub(super) static TABLES: &[Table] = &[$(Table {
            name: $name,
            columns: &[$first $(, $column)*],
            select: Sql::same(concat!(
                "SELECT ", $first $(, ", ", $column)*, " FROM ", $name, " WHERE ", $by, " = $1 ORDER BY 1"
            )),
            delete: Sql::same(concat!("DELETE FROM ", $name, " WHERE ", $by, " = $1")),
        }),*];

        /// Where a table stands in [`TABLES`].
        #[derive(Clone, Copy)]
        enum At { $($index),* }

        impl At {
            fn table(self) -> &'static Table {
                #[expect(clippy::as_conversions, reason = "the place of a variant of this list")]
                let place = self as usize;
                &TABLES[place]
            }
        }
    };
}

tables! {
    Message = "message" by "id": "id" "line" "connection" "session" "frame_index" "part" "received_at"
        "is_complete" "raw" "state" "attempts" "outcome";
    Event = "device_event" by "message": "id" "message" "line" "code" "text" "specimen" "at";
    Track = "track_event" by "message": "id" "message" "span_start" "span_end" "line" "module" "barcode"
        "kind" "detail" "at" "received_at";
    Answered = "answered" by "message": "control_id" "host" "sender" "digest" "message" "reply" "at";
    Result = "result" by "id": "id" "message" "line" "kind" "barcode" "specimen" "test" "state" "version"
        "supersedes" "holds" "detail" "same_key" "queue" "received_at" "decided_at";
    Queue = "queue" by "id": "id" "destination" "kind" "specimen" "priority" "state" "attempts" "due_at"
        "lease_owner" "lease_until" "control_id" "body" "reason" "created_at" "tried_at" "closed_at"
        "closed_by" "answer" "behind";
    QueueResult = "queue_result" by "queue": "queue" "result";
    QueueImage = "queue_image" by "queue": "queue" "image";
    QueueOrder = "queue_order" by "queue": "queue" "order_item" "tests";
    Image = "image" by "id": "id" "message" "span_start" "span_end" "line" "kind" "barcode" "code"
        "declared" "file" "content" "fault" "received_at";
    Content = "image_content" by "id": "id" "sha256" "media_type" "size" "bytes" "at";
    Call = "critical_call" by "result": "id" "result" "kind" "state" "test" "value" "unit" "side" "beyond"
        "follows" "opened_at" "closed_at" "closed_by";
    Attempt = "call_attempt" by "call": "id" "call" "at" "actor" "outcome" "told_to" "contact" "read_back";
    Specimen = "specimen" by "id": "id" "host" "barcode" "generation" "patient" "fields" "collected_at"
        "ordered_at" "station" "received_at" "received_on";
    Patient = "patient" by "id": "id" "merged_into" "fields" "birth" "sex" "updated_at";
    Order = "order_item" by "specimen": "id" "host" "placer" "service" "specimen" "filler" "status"
        "priority" "content" "message" "created_at" "updated_at";
}

const RESULTS_OF_MESSAGE: Sql = Sql::same("SELECT id FROM result WHERE message = $1");
const IMAGES_OF_MESSAGE: Sql = Sql::same("SELECT id FROM image WHERE message = $1");
const LATER_VERSIONS: Sql = Sql::same("SELECT id FROM result WHERE supersedes = $1");
const FOLLOW_UPS: Sql = Sql::same("SELECT queue FROM queue_result WHERE result = $1");
const RESULTS_OF_QUEUE: Sql = Sql::same("SELECT id FROM result WHERE queue = $1");
const CARRIED: Sql = Sql::same("SELECT result FROM queue_result WHERE queue = $1");
const PICTURES: Sql = Sql::same("SELECT image FROM queue_image WHERE queue = $1");
const TOLD_WITH: Sql = Sql::same("SELECT queue FROM queue_image WHERE image = $1");
const BEHIND: Sql = Sql::same("SELECT id FROM queue WHERE behind = $1");
const CALLS_BEFORE: Sql = Sql::same(
    "SELECT b.result FROM critical_call c JOIN critical_call b ON b.id = c.follows \
     WHERE c.result = $1",
);
const CALLS_AFTER: Sql = Sql::same(
    "SELECT a.result FROM critical_call c JOIN critical_call a ON a.follows = c.id \
     WHERE c.result = $1",
);
const PART_RESULT: Sql =
    Sql::same("UPDATE result SET supersedes = NULL, queue = NULL WHERE id = $1");
const PART_QUEUE: Sql = Sql::same("UPDATE queue SET behind = NULL WHERE id = $1");
const PART_CALL: Sql = Sql::same("UPDATE critical_call SET follows = NULL WHERE result = $1");
const FORGET_CONTENT: Sql = Sql::same(
    "DELETE FROM image_content WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM image i WHERE i.content = image_content.id) \
     AND NOT EXISTS (SELECT 1 FROM image_file f WHERE f.content = image_content.id)",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &RESULTS_OF_MESSAGE,
    &IMAGES_OF_MESSAGE,
    &LATER_VERSIONS,
    &FOLLOW_UPS,
    &RESULTS_OF_QUEUE,
    &CARRIED,
    &PICTURES,
    &TOLD_WITH,
    &BEHIND,
    &CALLS_BEFORE,
    &CALLS_AFTER,
    &PART_RESULT,
    &PART_QUEUE,
    &PART_CALL,
    &FORGET_CONTENT,
];

/// A unit of more rows than this stays in the store: it could not be removed in a moment.
const MEMBERS_MAX: usize = 2_000;

/// A row that others refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Message(i64),
    Result(i64),
    Queue(i64),
    Image(i64),
}

/// A row by its columns, as it is archived.
pub(super) type Record = Map<String, Value>;

/// What belongs together, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unit {
    pub(super) members: BTreeSet<Member>,
    /// Rows that leave the store, by table.
    pub(super) rows: BTreeMap<&'static str, Vec<Record>>,
    /// Rows that stay there and are in the file to be read with it.
    pub(super) about: BTreeMap<&'static str, Vec<Record>>,
}

impl Unit {
    /// Everything that belongs to `seed`; `None` where it is too much.
    pub(super) fn gather(db: &mut dyn Db, seed: Member) -> Result<Option<Self>, StoreError> {
        let mut members = BTreeSet::from([seed]);
        let mut todo = vec![seed];
        while let Some(member) = todo.pop() {
            for other in neighbours(db, member)? {
                if members.insert(other) {
                    todo.push(other);
                }
            }
            if members.len() > MEMBERS_MAX {
                return Ok(None);
            }
        }
        let mut unit = Self {
            members,
            ..Self::default()
        };
        for member in unit.members.clone() {
            unit.read(db, member)?;
        }
        unit.read_about(db)?;
        Ok(Some(unit))
    }

    fn add(&mut self, db: &mut dyn Db, at: At, id: i64) -> Result<(), StoreError> {
        let table = at.table();
        let rows = records(table, &db.rows(&table.select, &[id.into()])?);
        if !rows.is_empty() {
            self.rows.entry(table.name).or_default().extend(rows);
        }
        Ok(())
    }

    fn read(&mut self, db: &mut dyn Db, member: Member) -> Result<(), StoreError> {
        match member {
            Member::Message(id) => {
                self.add(db, At::Message, id)?;
                self.add(db, At::Event, id)?;
                self.add(db, At::Track, id)?;
                self.add(db, At::Answered, id)
            }
            Member::Result(id) => {
                self.add(db, At::Result, id)?;
                self.add(db, At::Call, id)?;
                let calls = db.rows(&At::Call.table().select, &[id.into()])?;
                for call in &calls {
                    self.add(db, At::Attempt, call.int(0)?)?;
                }
                Ok(())
            }
            Member::Queue(id) => {
                self.add(db, At::Queue, id)?;
                self.add(db, At::QueueResult, id)?;
                self.add(db, At::QueueImage, id)?;
                self.add(db, At::QueueOrder, id)
            }
            Member::Image(id) => self.add(db, At::Image, id),
        }
    }

    /// Tubes, patients, orders and pictures' bytes.
    fn read_about(&mut self, db: &mut dyn Db) -> Result<(), StoreError> {
        let tubes: BTreeSet<i64> = self
            .numbers("result", "specimen")
            .chain(self.numbers("queue", "specimen"))
            .collect();
        for tube in tubes {
            let row = db.row_opt(&At::Specimen.table().select, &[tube.into()])?;
            if let Some(patient) = row.map(|row| row.int(4)).transpose()? {
                self.about(db, At::Patient, patient)?;
            }
            self.about(db, At::Specimen, tube)?;
            self.about(db, At::Order, tube)?;
        }
        let contents: BTreeSet<i64> = self.numbers("image", "content").collect();
        for content in contents {
            self.about(db, At::Content, content)?;
        }
        Ok(())
    }

    fn about(&mut self, db: &mut dyn Db, at: At, id: i64) -> Result<(), StoreError> {
        let table = at.table();
        let rows = records(table, &db.rows(&table.select, &[id.into()])?);
        let known = self.about.entry(table.name).or_default();
        for row in rows {
            if !known.contains(&row) {
                known.push(row);
            }
        }
        Ok(())
    }

    /// The whole numbers of a column.
    pub(super) fn numbers(&self, table: &str, column: &str) -> impl Iterator<Item = i64> {
        let rows = self.rows.get(table).into_iter().flatten();
        let numbers = rows.filter_map(|row| row.get(column)?.as_i64());
        numbers.collect::<Vec<_>>().into_iter()
    }

    /// The texts of a column.
    pub(super) fn texts(&self, table: &str, column: &str) -> impl Iterator<Item = &str> {
        let rows = self.rows.get(table).into_iter().flatten();
        let texts = rows.filter_map(|row| row.get(column)?.as_str());
        texts.collect::<Vec<_>>().into_iter()
    }

    /// The barcodes that it is about.
    pub(super) fn barcodes(&self) -> BTreeSet<String> {
        let own = self
            .texts("result", "barcode")
            .chain(self.texts("image", "barcode"))
            .chain(self.texts("track_event", "barcode"));
        let tubes = self.about.get("specimen").into_iter().flatten();
        let of_tubes = tubes.filter_map(|row| row.get("barcode")?.as_str());
        let all = own.chain(of_tubes).filter(|barcode| !barcode.is_empty());
        all.map(str::to_owned).collect()
    }

    /// Removes its rows; nothing else refers to them.
    pub(super) fn remove(&self, db: &mut dyn Db) -> Result<(), StoreError> {
        let each = |db: &mut dyn Db, sql: &Sql, ids: &[Param]| {
            ids.iter()
                .try_for_each(|id| db.exec(sql, std::slice::from_ref(id)).map(|_| ()))
        };
        let (mut messages, mut results) = (Vec::new(), Vec::new());
        let (mut queues, mut images) = (Vec::new(), Vec::new());
        for member in &self.members {
            match *member {
                Member::Message(id) => messages.push(Param::Int(id)),
                Member::Result(id) => results.push(Param::Int(id)),
                Member::Queue(id) => queues.push(Param::Int(id)),
                Member::Image(id) => images.push(Param::Int(id)),
            }
        }
        let calls: Vec<Param> = self
            .numbers("critical_call", "id")
            .map(Param::Int)
            .collect();
        let contents: Vec<Param> = self.numbers("image", "content").map(Param::Int).collect();
        // What refers goes before what is referred to; references within a table are taken away first.
        each(db, &At::Attempt.table().delete, &calls)?;
        each(db, &PART_CALL, &results)?;
        each(db, &At::Call.table().delete, &results)?;
        for table in [At::QueueResult, At::QueueImage, At::QueueOrder] {
            each(db, &table.table().delete, &queues)?;
        }
        each(db, &PART_RESULT, &results)?;
        each(db, &At::Result.table().delete, &results)?;
        each(db, &PART_QUEUE, &queues)?;
        each(db, &At::Queue.table().delete, &queues)?;
        each(db, &At::Image.table().delete, &images)?;
        each(db, &FORGET_CONTENT, &contents)?;
        for table in [At::Event, At::Track, At::Answered] {
            each(db, &table.table().delete, &messages)?;
        }
        each(db, &At::Message.table().delete, &messages)
    }
}

fn records(table: &Table, rows: &[Row]) -> Vec<Record> {
    let record = |row: &Row| {
        let columns = table.columns.iter().map(|column| (*column).to_owned());
        columns.zip(row.values().iter().map(to_json)).collect()
    };
    rows.iter().map(record).collect()
}

fn neighbours(db: &mut dyn Db, member: Member) -> Result<Vec<Member>, StoreError> {
    let mut found = Vec::new();
    let mut follow = |sql: &Sql, id: i64, to: fn(i64) -> Member| -> Result<(), StoreError> {
        for row in db.rows(sql, &[id.into()])? {
            found.extend(row.opt_int(0)?.map(to));
        }
        Ok(())
    };
    match member {
        Member::Message(id) => {
            follow(&RESULTS_OF_MESSAGE, id, Member::Result)?;
            follow(&IMAGES_OF_MESSAGE, id, Member::Image)?;
        }
        Member::Result(id) => {
            for sql in [&LATER_VERSIONS, &CALLS_BEFORE, &CALLS_AFTER] {
                follow(sql, id, Member::Result)?;
            }
            follow(&FOLLOW_UPS, id, Member::Queue)?;
            let row = db.row_opt(&At::Result.table().select, &[id.into()])?;
            if let Some(row) = row {
                found.push(Member::Message(row.int(1)?));
                found.extend(row.opt_int(9)?.map(Member::Result));
                found.extend(row.opt_int(13)?.map(Member::Queue));
            }
        }
        Member::Queue(id) => {
            for sql in [&RESULTS_OF_QUEUE, &CARRIED] {
                follow(sql, id, Member::Result)?;
            }
            follow(&PICTURES, id, Member::Image)?;
            follow(&BEHIND, id, Member::Queue)?;
            let row = db.row_opt(&At::Queue.table().select, &[id.into()])?;
            if let Some(row) = row {
                found.extend(row.opt_int(18)?.map(Member::Queue));
            }
        }
        Member::Image(id) => {
            follow(&TOLD_WITH, id, Member::Queue)?;
            let row = db.row_opt(&At::Image.table().select, &[id.into()])?;
            if let Some(row) = row {
                found.push(Member::Message(row.int(1)?));
            }
        }
    }
    Ok(found)
}
