//! Reading a copy: proving that it is whole, and filling an empty database with it.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    End, FORMAT, Header, TableEnd, TableHead, from_json,
    shape::{self, Shape},
};
use crate::{
    people::hex,
    store::{
        db::{Param, Sql},
        error::StoreError,
        migrate,
        seal::{Lines, damaged},
        session::{Dialect, Session},
    },
};

/// Values that one statement inserts at most.
const VALUES_MAX: usize = 1_024;

/// Bytes that wait before they are inserted.
const WAITING_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Rows of one transaction, where the database is a file that nobody knows yet.
const ROWS_OF_A_COMMIT: u64 = 20_000;

/// The table that each database fills for itself.
const OWN: &str = "schema_change";

/// What is to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// A file that gets its name when all is there: commits on the way are fine.
    Unnamed,
    /// A database that others see: all of it in the transaction of the caller.
    Seen,
}

/// What a copy says, piece by piece, each proven to belong where it stands.
enum Piece {
    Header(Header),
    Table(TableHead),
    Row(Vec<Param>, usize),
    TableEnd,
    /// All was there.
    End(u64),
}

struct Reader {
    lines: Lines,
    hash: Sha256,
    has_header: bool,
    columns: Option<usize>,
    rows: u64,
    tables: u64,
    total: u64,
}

impl Reader {
    fn new(lines: Lines) -> Self {
        Self {
            lines,
            hash: Sha256::new(),
            has_header: false,
            columns: None,
            rows: 0,
            tables: 0,
            total: 0,
        }
    }

    fn wrong(&self, what: &str) -> StoreError {
        damaged(self.lines.path(), what)
    }

    fn next(&mut self) -> Result<Piece, StoreError> {
        let before = self.hash.clone();
        let path = Arc::clone(self.lines.path());
        let Some(line) = self.lines.next()? else {
            return Err(damaged(&path, "its end is missing"));
        };
        self.hash.update(line);
        let length = line.len();
        let value: Value =
            serde_json::from_slice(line).map_err(|_| damaged(&path, "a line is no JSON"))?;
        let unknown = |_| damaged(&path, "a line that this labwire does not know");
        if !self.has_header {
            self.has_header = true;
            let header: Header =
                serde_json::from_value(value).map_err(|_| StoreError::NotLabwire {
                    path: Arc::clone(&path),
                })?;
            return self.header(header);
        }
        match (value, self.columns) {
            (Value::Array(values), Some(columns)) if values.len() == columns => {
                self.rows += 1;
                let values: Option<Vec<Param>> = values.into_iter().map(from_json).collect();
                let values = values.ok_or_else(|| self.wrong("a value of no known kind"))?;
                Ok(Piece::Row(values, length))
            }
            (Value::Array(_), _) => Err(self.wrong("a row of another table")),
            (value, Some(_)) => {
                let end: TableEnd = serde_json::from_value(value).map_err(unknown)?;
                if end.rows != self.rows {
                    return Err(self.wrong("a table has not as many rows as it says"));
                }
                self.columns = None;
                self.total += std::mem::take(&mut self.rows);
                Ok(Piece::TableEnd)
            }
            (value, None) if value.get("table").is_some() => {
                let head: TableHead = serde_json::from_value(value).map_err(unknown)?;
                self.columns = Some(head.columns.len());
                self.tables += 1;
                Ok(Piece::Table(head))
            }
            (value, None) => {
                let end: End = serde_json::from_value(value).map_err(unknown)?;
                self.end(&end, &hex(&before.finalize()))
            }
        }
    }

    fn header(&self, header: Header) -> Result<Piece, StoreError> {
        if header.labwire != "backup" {
            return Err(StoreError::NotLabwire {
                path: Arc::clone(self.lines.path()),
            });
        }
        if header.format > FORMAT {
            return Err(self.newer(i64::from(header.format), i64::from(FORMAT)));
        }
        let known = migrate::newest();
        for (number, name) in &header.schema {
            match migrate::name_of(*number) {
                None => return Err(self.newer(*number, known)),
                Some(ours) if ours != name => {
                    return Err(StoreError::OtherSchema {
                        path: Arc::clone(self.lines.path()),
                        number: *number,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(Piece::Header(header))
    }

    fn newer(&self, found: i64, known: i64) -> StoreError {
        StoreError::NewerSchema {
            path: Arc::clone(self.lines.path()),
            found,
            known,
        }
    }

    fn end(&mut self, end: &End, sha256: &str) -> Result<Piece, StoreError> {
        if end.sha256 != sha256 || end.tables != self.tables || end.total != self.total {
            return Err(self.wrong("it is not what was written"));
        }
        if self.lines.next()?.is_some() {
            return Err(self.wrong("something follows its end"));
        }
        Ok(Piece::End(self.total))
    }
}

/// Reads all of a copy and proves that it is whole; returns the number of rows.
pub(in crate::store) fn verify(lines: Lines) -> Result<u64, StoreError> {
    let mut reader = Reader::new(lines);
    loop {
        if let Piece::End(total) = reader.next()? {
            return Ok(total);
        }
    }
}

/// Fills the empty database of `session`, in whose transaction this is called, and makes its schema that
/// of the copy. Returns the number of rows.
pub(in crate::store) fn load(
    session: &mut dyn Session,
    lines: Lines,
    place: Place,
    now: i64,
) -> Result<u64, StoreError> {
    let path = Arc::clone(lines.path());
    let mut reader = Reader::new(lines);
    let Piece::Header(header) = reader.next()? else {
        return Err(reader.wrong("it does not say what it is"));
    };
    let schema = header.schema.last().map_or(0, |(number, _)| *number);
    migrate::make(session, schema, &path, now)?;
    let rules = set_rules_aside(session)?;
    let mut filling = Filling {
        shapes: shape::tables(session)?,
        session,
        path,
        place,
        table: None,
        done: BTreeSet::new(),
        rows: Vec::new(),
        bytes: 0,
        since_commit: 0,
    };
    let total = filling.fill(&mut reader)?;
    filling.expect_all()?;
    let Filling { session, path, .. } = filling;
    restore_rules(session, rules, &path)?;
    Ok(total)
}

struct Filling<'a> {
    session: &'a mut dyn Session,
    shapes: Vec<Shape>,
    path: Arc<str>,
    place: Place,
    /// The table in hand, with its columns; `None` for rows that the database has its own of.
    table: Option<(Shape, TableHead)>,
    done: BTreeSet<String>,
    rows: Vec<Vec<Param>>,
    bytes: usize,
    since_commit: u64,
}

impl Filling<'_> {
    fn fill(&mut self, reader: &mut Reader) -> Result<u64, StoreError> {
        loop {
            match reader.next()? {
                Piece::Header(_) => return Err(reader.wrong("it begins twice")),
                Piece::Table(head) => self.begin(head)?,
                Piece::Row(values, bytes) => self.row(values, bytes)?,
                Piece::TableEnd => self.end()?,
                Piece::End(total) => return Ok(total),
            }
        }
    }

    fn begin(&mut self, head: TableHead) -> Result<(), StoreError> {
        let unlike = || damaged(&self.path, "a table is not that of its schema");
        if !self.done.insert(head.table.clone()) {
            return Err(unlike());
        }
        let mut shapes = self.shapes.iter();
        let shape = shapes.find(|shape| shape.name == head.table);
        let shape = shape.ok_or_else(unlike)?.clone();
        let ours: BTreeSet<&String> = shape.columns.iter().collect();
        if ours != head.columns.iter().collect() || ours.len() != head.columns.len() {
            return Err(unlike());
        }
        self.table = (head.table != OWN).then_some((shape, head));
        Ok(())
    }

    fn row(&mut self, values: Vec<Param>, bytes: usize) -> Result<(), StoreError> {
        let Some((_, head)) = &self.table else {
            return Ok(());
        };
        let is_full = (self.rows.len() + 1) * head.columns.len() > VALUES_MAX;
        if is_full || self.bytes > WAITING_BYTES_MAX {
            self.insert()?;
        }
        self.bytes += bytes;
        self.rows.push(values);
        Ok(())
    }

    fn insert(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let Some((shape, head)) = self.table.as_ref().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        let text = insertion(self.session.dialect(), shape, &head.columns, rows.len());
        self.since_commit += u64::try_from(rows.len()).unwrap_or(0);
        let values: Vec<Param> = rows.into_iter().flatten().collect();
        self.session.made(text, &values)?;
        if self.place == Place::Unnamed && self.since_commit >= ROWS_OF_A_COMMIT {
            self.since_commit = 0;
            self.session.commit()?;
            self.session.begin()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.insert()?;
        let Some((shape, head)) = self.table.take() else {
            return Ok(());
        };
        if !shape.counts_ids {
            return Ok(());
        }
        let text = format!("SELECT coalesce(max(id), 0) FROM {}", shape.name);
        let rows = self.session.made(text, &[])?;
        let highest = rows.first().map_or(Ok(0), |row| row.int(0))?;
        let last = head.last_id.unwrap_or(0).max(highest);
        shape::set_last_id(self.session, &shape, last)
    }

    fn expect_all(&self) -> Result<(), StoreError> {
        if self
            .shapes
            .iter()
            .all(|shape| self.done.contains(&shape.name))
        {
            return Ok(());
        }
        Err(damaged(&self.path, "a table of its schema is missing"))
    }
}

fn insertion(dialect: Dialect, shape: &Shape, columns: &[String], rows: usize) -> String {
    let mut text = format!(
        "INSERT INTO {} ({}) VALUES ",
        shape.name,
        columns.join(", ")
    );
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns.len() {
            let comma = if column == 0 { "" } else { "," };
            match dialect {
                // SQLite looks a numbered one up among all before it.
                Dialect::Sqlite => text.push_str(&format!("{comma}?")),
                Dialect::Postgres => {
                    let number = row * columns.len() + column + 1;
                    text.push_str(&format!("{comma}${number}"));
                }
            }
        }
        text.push(')');
    }
    text
}

const RULES: &str = "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) \
     FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace \
     ORDER BY conrelid, conname";

/// Rows come table by table and point at rows that are not there yet: the rules between tables are looked
/// at when all are there. Returns what puts them back.
fn set_rules_aside(session: &mut dyn Session) -> Result<Vec<String>, StoreError> {
    match session.dialect() {
        Dialect::Sqlite => {
            // SQLite ignores it within a transaction.
            session.commit()?;
            session.made("PRAGMA foreign_keys = OFF".to_owned(), &[])?;
            session.begin()?;
            Ok(Vec::new())
        }
        Dialect::Postgres => {
            let mut back = Vec::new();
            for row in session.made(RULES.to_owned(), &[])? {
                let (table, name, rule) = (row.text(0)?, row.text(1)?, row.text(2)?);
                let drop = format!("ALTER TABLE {table} DROP CONSTRAINT \"{name}\"");
                session.made(drop, &[])?;
                back.push(format!(
                    "ALTER TABLE {table} ADD CONSTRAINT \"{name}\" {rule}"
                ));
            }
            Ok(back)
        }
    }
}

/// Looks at the rules between tables, and puts them back.
fn restore_rules(
    session: &mut dyn Session,
    rules: Vec<String>,
    path: &Arc<str>,
) -> Result<(), StoreError> {
    if session.dialect() == Dialect::Sqlite {
        let broken = session.row_opt(
            &Sql::same("SELECT 1 FROM pragma_foreign_key_check LIMIT 1"),
            &[],
        )?;
        if broken.is_some() {
            return Err(damaged(path, "a row points at one that is not there"));
        }
        session.commit()?;
        session.made("PRAGMA foreign_keys = ON".to_owned(), &[])?;
        return session.begin();
    }
    rules
        .into_iter()
        .try_for_each(|rule| session.made_slowly(rule))
}
