//! What a unit of work may do with a database: run constant statements, read rows.

use std::fmt;

use bytes::Bytes;

use super::error::StoreError;

/// A value that goes into or comes out of a statement. There is no floating-point kind on purpose:
/// results are exact decimals, kept as text; instants are whole microseconds.
#[derive(Clone, PartialEq, Eq)]
pub enum Param {
    /// SQL NULL.
    Null,
    /// A whole number; a Boolean is 0 or 1.
    Int(i64),
    /// Text in UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Param {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "a whole number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }

    /// A count as a whole number.
    ///
    /// # Errors
    /// [`StoreError::Value`] beyond 2⁶³ − 1.
    pub fn count(count: u64) -> Result<Self, StoreError> {
        i64::try_from(count)
            .map(Self::Int)
            .map_err(|_| StoreError::value("a count above 2^63 cannot be stored"))
    }
}

/// Shows the kind alone: values are patient data.
impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Param {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Param {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&[u8]> for Param {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Vec<u8>> for Param {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<&Bytes> for Param {
    fn from(value: &Bytes) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, its columns counted from 0.
#[derive(Clone, PartialEq, Eq)]
pub struct Row(Vec<Param>);

impl Row {
    /// A row of these values.
    pub const fn new(values: Vec<Param>) -> Self {
        Self(values)
    }

    /// All its values.
    pub(crate) fn values(&self) -> &[Param] {
        &self.0
    }

    fn wrong(&self, column: usize, wanted: &str) -> StoreError {
        let found = self.0.get(column).map_or("no such column", Param::kind);
        StoreError::value(format!(
            "column {column}: {wanted} was expected, found {found}"
        ))
    }

    /// A whole number.
    ///
    /// # Errors
    /// Like all getters: [`StoreError::Value`] when the column is absent or of another kind.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.opt_int(column)?
            .ok_or_else(|| self.wrong(column, "a whole number"))
    }

    /// A whole number, or `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(column) {
            Some(Param::Int(value)) => Ok(Some(*value)),
            Some(Param::Null) => Ok(None),
            _ => Err(self.wrong(column, "a whole number")),
        }
    }

    /// A whole number that counts something.
    ///
    /// # Errors
    /// As [`Row::int`], and when it is negative.
    pub fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| self.wrong(column, "no negative number"))
    }

    /// A Boolean, stored as 0 or 1.
    ///
    /// # Errors
    /// As [`Row::int`], and when it is another number.
    pub fn bool(&self, column: usize) -> Result<bool, StoreError> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong(column, "0 or 1")),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.opt_text(column)?
            .ok_or_else(|| self.wrong(column, "text"))
    }

    /// Text, or `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.0.get(column) {
            Some(Param::Text(value)) => Ok(Some(value)),
            Some(Param::Null) => Ok(None),
            _ => Err(self.wrong(column, "text")),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.opt_blob(column)?
            .ok_or_else(|| self.wrong(column, "bytes"))
    }

    /// Bytes, or `None` for NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_blob(&self, column: usize) -> Result<Option<&[u8]>, StoreError> {
        match self.0.get(column) {
            Some(Param::Blob(value)) => Ok(Some(value)),
            Some(Param::Null) => Ok(None),
            _ => Err(self.wrong(column, "bytes")),
        }
    }
}

/// Shows the kinds alone: values are patient data.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// One statement in both dialects, its parameters written `$1`, `$2`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// A statement that both dialects read alike.
    pub const fn same(text: &'static str) -> Self {
        Self {
            sqlite: text,
            postgres: text,
        }
    }
}

/// One statement over many rows: `into` and `tail` around the `VALUES` lists. An `INSERT`, or an
/// `UPDATE … FROM (VALUES …) AS v`, whose columns are `v.column1`, `v.column2`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    /// Up to and without `VALUES`, such as `INSERT INTO frame (line, text)`.
    pub into: &'static str,
    /// How many values a row has.
    pub columns: usize,
    /// What follows, such as `ON CONFLICT DO NOTHING` or `RETURNING id`; may be empty.
    pub tail: &'static str,
    /// The types of the columns for PostgreSQL, where no table says them: for an `UPDATE`.
    pub types: &'static [&'static str],
}

impl Insert {
    /// Rows go in portions of these sizes, so that few different statements are prepared.
    const PORTIONS: [usize; 5] = [256, 64, 16, 4, 1];

    /// The size of the next portion when `rows` are left.
    pub(super) fn portion(rows: usize) -> usize {
        Self::PORTIONS
            .into_iter()
            .find(|size| *size <= rows)
            .unwrap_or(1)
    }

    /// The statement for `rows` rows, for SQLite: parameters without names, because binding one by
    /// its name looks through all the names before it.
    pub(super) fn text(&self, rows: usize) -> String {
        let mut text = format!("{} VALUES ", self.into);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.columns {
                text.push_str(if column == 0 { "?" } else { ",?" });
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }

    /// The same for PostgreSQL.
    pub(super) fn postgres_text(&self, rows: usize) -> String {
        let mut text = format!("{} VALUES ", self.into);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.columns {
                let comma = if column == 0 { "" } else { "," };
                let number = row * self.columns + column + 1;
                text.push_str(&format!("{comma}${number}"));
                // The types of the first row are those of the others.
                if let (0, Some(kind)) = (row, self.types.get(column)) {
                    text.push_str(&format!("::{kind}"));
                }
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }
}

/// A database inside one transaction.
///
/// Once a statement has failed, every later one of the same work fails with the same error and the
/// work is rolled back, even if it swallows the error: PostgreSQL does so, and SQLite may have
/// rolled back already. Where two outcomes are both fine, say so in the statement (`ON CONFLICT`).
pub trait Db {
    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// As all methods: what the database said, as a [`StoreError`].
    fn exec(&mut self, sql: &Sql, params: &[Param]) -> Result<u64, StoreError>;

    /// Runs a statement; returns all its rows (also those of `RETURNING`).
    ///
    /// # Errors
    /// As [`Db::exec`].
    fn rows(&mut self, sql: &Sql, params: &[Param]) -> Result<Vec<Row>, StoreError>;

    /// Inserts many rows; returns how many went in and the rows of `RETURNING`, if it has one.
    ///
    /// # Errors
    /// As [`Db::exec`]; also when a row has not as many values as the statement columns.
    fn insert_rows(
        &mut self,
        insert: &Insert,
        rows: Vec<Vec<Param>>,
    ) -> Result<(u64, Vec<Row>), StoreError>;

    /// Compiles a statement without running it: the test that prepares every constant needs it.
    ///
    /// # Errors
    /// As [`Db::exec`].
    fn prepare(&mut self, sql: &Sql) -> Result<(), StoreError>;

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`Db::exec`].
    fn row_opt(&mut self, sql: &Sql, params: &[Param]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, params)?.into_iter().next())
    }

    /// The only row.
    ///
    /// # Errors
    /// As [`Db::exec`]; [`StoreError::Value`] when there is none.
    fn row(&mut self, sql: &Sql, params: &[Param]) -> Result<Row, StoreError> {
        self.row_opt(sql, params)?
            .ok_or_else(|| StoreError::value("a row that must exist"))
    }

    /// Runs an `INSERT … RETURNING id`; returns that id.
    ///
    /// # Errors
    /// As [`Db::row`].
    fn insert(&mut self, sql: &Sql, params: &[Param]) -> Result<i64, StoreError> {
        self.row(sql, params)?.int(0)
    }
}

/// The highest parameter that a statement names. Drivers bind NULL to a parameter that was
/// forgotten, which would lose a value in silence.
pub(super) fn params_named(text: &str) -> usize {
    text.split('$')
        .skip(1)
        .filter_map(|rest| {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest.get(..digits)?.parse::<usize>().ok()
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_kind_is_an_error_and_not_shown() {
        let row = Row::new(vec![
            "TRẦN".into(),
            Param::Null,
            7_i64.into(),
            vec![1_u8].into(),
        ]);
        assert_eq!(row.text(0).unwrap(), "TRẦN");
        assert_eq!(row.opt_text(1).unwrap(), None);
        assert_eq!(row.int(2).unwrap(), 7);
        assert_eq!(row.blob(3).unwrap(), [1]);
        for wrong in [
            row.int(0).map(|_| ()),
            row.text(1).map(|_| ()),
            row.bool(2).map(|_| ()),
            row.blob(0).map(|_| ()),
            row.opt_int(4).map(|_| ()),
        ] {
            let error = wrong.unwrap_err();
            assert_eq!(error.code(), "STORE-0403");
            assert!(!format!("{error:?}{error}{row:?}").contains("TRẦN"));
        }
    }

    #[test]
    fn the_highest_named_parameter_is_found() {
        assert_eq!(
            params_named("SELECT $2, $10, '$.a' FROM t WHERE a = $1"),
            10
        );
        assert_eq!(params_named("SELECT 1"), 0);
    }

    #[test]
    fn many_rows_become_few_different_statements() {
        let insert = Insert {
            into: "INSERT INTO t (a, b)",
            columns: 2,
            tail: "RETURNING id",
            types: &["bigint", "text"],
        };
        assert_eq!(
            insert.postgres_text(2),
            "INSERT INTO t (a, b) VALUES ($1::bigint,$2::text),($3,$4) RETURNING id"
        );
        assert_eq!(
            insert.text(2),
            "INSERT INTO t (a, b) VALUES (?,?),(?,?) RETURNING id"
        );
        let portions: Vec<usize> = [500, 200, 64, 63, 15, 3, 1].map(Insert::portion).into();
        assert_eq!(portions, [256, 64, 64, 16, 4, 1, 1]);
    }
}
