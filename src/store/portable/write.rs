//! Writing a copy.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    End, FORMAT, Header, TableEnd, TableHead, line,
    shape::{self, Shape},
    to_json,
};
use crate::{
    people::hex,
    store::{
        db::{Param, Sql},
        error::StoreError,
        session::{Dialect, Session},
    },
};

/// Rows read at once: a page of messages is a few hundred kilobytes, one of pictures some tens of
/// megabytes at the worst.
const PAGE: usize = 64;

const CHANGES: Sql = Sql::same("SELECT number, name FROM schema_change ORDER BY number");

/// Where the copy goes.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), StoreError>;

/// What the copy is of.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Origin {
    /// Now, UTC microseconds.
    pub(in crate::store) now: i64,
}

struct Hashed<'a> {
    to: Sink<'a>,
    hash: Sha256,
}

impl Hashed<'_> {
    fn add(&mut self, line: &[u8]) -> Result<(), StoreError> {
        self.hash.update(line);
        (self.to)(line)
    }
}

/// Writes all that `session` sees at one moment; returns the number of rows.
pub(in crate::store) fn write(
    session: &mut dyn Session,
    origin: Origin,
    to: Sink<'_>,
) -> Result<u64, StoreError> {
    session.begin()?;
    let written = within(session, origin, to);
    // Nothing was changed; the first error is the one to report.
    let ended = session.rollback();
    let written = written?;
    ended.map(|()| written)
}

fn within(session: &mut dyn Session, origin: Origin, to: Sink<'_>) -> Result<u64, StoreError> {
    let mut out = Hashed {
        to,
        hash: Sha256::new(),
    };
    out.add(&line(&header(session, origin)?)?)?;
    let shapes = shape::tables(session)?;
    let mut total = 0;
    for shape in &shapes {
        total += table(session, shape, &mut out)?;
    }
    let sha256 = hex(&out.hash.clone().finalize());
    let tables = u64::try_from(shapes.len()).unwrap_or(0);
    let end = End {
        tables,
        total,
        sha256,
    };
    out.add(&line(&end)?)?;
    Ok(total)
}

fn header(session: &mut dyn Session, origin: Origin) -> Result<Header, StoreError> {
    let rows = session.rows(&CHANGES, &[])?;
    let schema = rows
        .iter()
        .map(|row| Ok((row.int(0)?, row.text(1)?.to_owned())))
        .collect::<Result<_, StoreError>>()?;
    let made = Timestamp::from_microsecond(origin.now).unwrap_or_default();
    Ok(Header {
        labwire: "backup".to_owned(),
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made: made.to_string(),
        made_at: origin.now,
        from: match session.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        }
        .to_owned(),
        schema,
    })
}

fn table(
    session: &mut dyn Session,
    shape: &Shape,
    out: &mut Hashed<'_>,
) -> Result<u64, StoreError> {
    let head = TableHead {
        table: shape.name.clone(),
        columns: shape.columns.clone(),
        last_id: shape::last_id(session, shape)?,
    };
    out.add(&line(&head)?)?;
    let mut after: Option<Vec<Param>> = None;
    let mut count = 0;
    loop {
        let text = page(shape, after.is_some());
        let rows = session.made(text, after.as_deref().unwrap_or_default())?;
        for row in &rows {
            let values: Vec<Value> = row
                .values()
                .iter()
                .take(shape.columns.len())
                .map(to_json)
                .collect();
            out.add(&line(&values)?)?;
            count += 1;
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => {
                after = Some(
                    last.values()
                        .iter()
                        .skip(shape.columns.len())
                        .cloned()
                        .collect(),
                );
            }
            _ => break,
        }
    }
    out.add(&line(&TableEnd { rows: count })?)?;
    Ok(count)
}

/// The next rows by key; the columns of the key stand once more at the end.
fn page(shape: &Shape, has_begun: bool) -> String {
    let key = shape.key.join(", ");
    let after = if has_begun {
        let places: Vec<String> = (1..=shape.key.len()).map(|n| format!("${n}")).collect();
        format!("WHERE ({key}) > ({})", places.join(", "))
    } else {
        String::new()
    };
    format!(
        "SELECT {}, {key} FROM {} {after} ORDER BY {key} LIMIT {PAGE}",
        shape.columns.join(", "),
        shape.name
    )
}
