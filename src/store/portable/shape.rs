//! Which tables a database has, with their columns and keys, as the database itself says it: so no table
//! can be forgotten, whatever its schema's age.

use crate::store::{
    db::{Param, Row},
    error::StoreError,
    session::{Dialect, Session},
};

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The columns of its primary key, in their order there.
    pub(super) key: Vec<String>,
    /// The database gives its ids, and remembers the highest.
    pub(super) counts_ids: bool,
}

const TABLES: [&str; 2] = [
    "SELECT name, coalesce(sql, '') LIKE '%AUTOINCREMENT%' FROM sqlite_schema WHERE type = 'table' \
     AND name NOT LIKE 'sqlite%' ORDER BY name",
    "SELECT c.relname::text, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid \
     AND a.attidentity <> '') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') \
     ORDER BY c.relname::text COLLATE \"C\"",
];

/// Name and place in the key, 0 where it is not of it.
const COLUMNS: [&str; 2] = [
    "SELECT name, pk FROM pragma_table_info($1) ORDER BY cid",
    "SELECT a.attname::text, coalesce((SELECT k.place FROM pg_index i, \
     unnest(i.indkey::int2[]) WITH ORDINALITY AS k(att, place) WHERE i.indrelid = a.attrelid \
     AND i.indisprimary AND k.att = a.attnum), 0)::bigint FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relname::text = $1 AND a.attnum > 0 \
     AND NOT a.attisdropped ORDER BY a.attnum",
];

fn of(dialect: Dialect, [sqlite, postgres]: [&str; 2]) -> String {
    match dialect {
        Dialect::Sqlite => sqlite.to_owned(),
        Dialect::Postgres => postgres.to_owned(),
    }
}

/// Every table, by name.
pub(super) fn tables(session: &mut dyn Session) -> Result<Vec<Shape>, StoreError> {
    let dialect = session.dialect();
    let rows = session.made(of(dialect, TABLES), &[])?;
    rows.iter()
        .map(|row| {
            let name = plain(row.text(0)?)?;
            let columns = session.made(of(dialect, COLUMNS), &[Param::Text(name.clone())])?;
            let key = key(&columns)?;
            let columns = columns.iter().map(|row| plain(row.text(0)?));
            Ok(Shape {
                name,
                columns: columns.collect::<Result<_, _>>()?,
                key,
                counts_ids: row.bool(1)?,
            })
        })
        .collect()
}

fn key(columns: &[Row]) -> Result<Vec<String>, StoreError> {
    let mut key = Vec::new();
    for row in columns {
        if row.int(1)? > 0 {
            key.push((row.int(1)?, plain(row.text(0)?)?));
        }
    }
    key.sort();
    if key.is_empty() {
        return Err(StoreError::value("a table without a key"));
    }
    Ok(key.into_iter().map(|(_, name)| name).collect())
}

/// A name that may stand in a statement as it is.
pub(super) fn plain(name: &str) -> Result<String, StoreError> {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain && !name.is_empty() {
        Ok(name.to_owned())
    } else {
        Err(StoreError::value(
            "a name of a table that Labwire does not give",
        ))
    }
}

/// The highest id that the database ever gave.
pub(super) fn last_id(session: &mut dyn Session, shape: &Shape) -> Result<Option<i64>, StoreError> {
    if !shape.counts_ids {
        return Ok(None);
    }
    let name = &shape.name;
    let text = match session.dialect() {
        Dialect::Sqlite => format!("SELECT seq FROM sqlite_sequence WHERE name = '{name}'"),
        Dialect::Postgres => {
            format!(
                "SELECT pg_sequence_last_value(pg_get_serial_sequence('{name}', 'id')::regclass)"
            )
        }
    };
    let rows = session.made(text, &[])?;
    rows.first().map_or(Ok(None), |row| row.opt_int(0))
}

/// No id up to and with `last` is given again.
pub(super) fn set_last_id(
    session: &mut dyn Session,
    shape: &Shape,
    last: i64,
) -> Result<(), StoreError> {
    let name = &shape.name;
    if !shape.counts_ids || last < 1 {
        return Ok(());
    }
    let texts = match session.dialect() {
        Dialect::Sqlite => vec![
            format!("DELETE FROM sqlite_sequence WHERE name = '{name}'"),
            format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', {last})"),
        ],
        Dialect::Postgres => vec![format!(
            "SELECT setval(pg_get_serial_sequence('{name}', 'id'), {last})"
        )],
    };
    texts
        .into_iter()
        .try_for_each(|text| session.made(text, &[]).map(|_| ()))
}
