//! Values on their way to and from PostgreSQL.
//!
//! A parameter goes without a type: the server infers it from the statement, the same for a value
//! and for NULL, so that a statement is prepared once whatever its first values were. Every
//! parameter of ours is a `bigint`, a `text`, a `bytea` or a `json`; [`is_expected`] says so to the
//! test that prepares them all.
//!
//! PostgreSQL keeps no NUL in a text. It stands there as [`ESCAPE`] and `0`, and [`ESCAPE`] itself as
//! [`ESCAPE`] and `1`: both ways here, so that the text of a sender comes back to the character.

use sqlx::{
    Column as _, Encode, Postgres, Row as _, Type, TypeInfo as _, ValueRef as _,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, types::Oid},
};

use crate::store::{
    db::{Param, Row},
    error::StoreError,
};

/// A code point that Unicode keeps out of interchange; what looks like it is still kept apart.
const ESCAPE: char = '\u{FDD0}';

/// A parameter whose type the server infers.
pub(super) struct Untyped(pub(super) Param);

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        // "A zero leaves the type unspecified": Parse, in the chapter on message formats.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.0 {
            Param::Null => return Ok(IsNull::Yes),
            Param::Int(value) => buffer.extend_from_slice(&value.to_be_bytes()),
            Param::Text(value) => buffer.extend_from_slice(value.as_bytes()),
            Param::Blob(value) => buffer.extend_from_slice(value),
        }
        Ok(IsNull::No)
    }
}

/// Whether a parameter of this type is sent as the server expects it.
pub(super) fn is_expected(parameter: &PgTypeInfo) -> bool {
    matches!(parameter.name(), "INT8" | "TEXT" | "BYTEA" | "JSON")
}

/// The parameters of a statement as they are sent.
pub(super) fn outgoing(text: &str, params: &[Param]) -> Vec<Param> {
    let is_json = |number: usize| text.contains(&format!("${number}::json"));
    (1_usize..)
        .zip(params)
        .map(|(number, param)| {
            if has_escapes(param) {
                outgoing_as(param.clone(), is_json(number))
            } else {
                param.clone()
            }
        })
        .collect()
}

/// A parameter of an insert, where none is JSON.
pub(super) fn outgoing_one(param: Param) -> Param {
    outgoing_as(param, false)
}

fn outgoing_as(param: Param, is_json: bool) -> Param {
    match param {
        Param::Text(value) => Param::Text(escaped(value, is_json)),
        Param::Null | Param::Int(_) | Param::Blob(_) => param,
    }
}

fn has_escapes(param: &Param) -> bool {
    matches!(param, Param::Text(text) if needs_escapes(text))
}

fn needs_escapes(text: &str) -> bool {
    text.contains(['\0', ESCAPE]) || text.contains("\\u0000")
}

/// `is_json`: a NUL that JSON writes as `\u0000` too, which PostgreSQL cannot take out of it.
fn escaped(text: String, is_json: bool) -> String {
    if !needs_escapes(&text) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let (taken, put) = match first {
            '\0' => (1, Some('0')),
            ESCAPE => (ESCAPE.len_utf8(), Some('1')),
            '\\' if is_json && rest.starts_with("\\u0000") => (6, Some('0')),
            // What a backslash escapes is no begin of an escape itself.
            '\\' if is_json => (1 + rest.chars().nth(1).map_or(0, char::len_utf8), None),
            other => (other.len_utf8(), None),
        };
        let (head, tail) = rest.split_at(taken);
        match put {
            Some(kind) => out.extend([ESCAPE, kind]),
            None => out.push_str(head),
        }
        rest = tail;
    }
    out
}

/// What was stored as `text`, or, `is_json`, what the server made of such texts.
fn unescaped(text: &str, is_json: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split(ESCAPE);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (put, rest) = match part.strip_prefix('0') {
            Some(rest) if is_json => ("\\u0000", rest),
            Some(rest) => ("\0", rest),
            None => ("\u{FDD0}", part.strip_prefix('1').unwrap_or(part)),
        };
        out.push_str(put);
        out.push_str(rest);
    }
    out
}

/// A row of an answer.
pub(super) fn read_row(row: &PgRow) -> Result<Row, StoreError> {
    row.columns()
        .iter()
        .map(|column| read_value(row, column.ordinal()))
        .collect::<Result<_, _>>()
        .map(Row::new)
}

fn read_value(row: &PgRow, column: usize) -> Result<Param, StoreError> {
    let misread = || StoreError::value(format!("column {column} does not decode"));
    let raw = row.try_get_raw(column).map_err(|_| misread())?;
    if raw.is_null() {
        return Ok(Param::Null);
    }
    let info = raw.type_info().into_owned();
    let text = || raw.as_str().map_err(|_| misread());
    match info.name() {
        "INT8" => row.try_get_unchecked(column).map(Param::Int).ok(),
        "INT4" => row
            .try_get_unchecked::<i32, _>(column)
            .map(Param::from)
            .ok(),
        "BOOL" => row
            .try_get_unchecked::<bool, _>(column)
            .map(Param::from)
            .ok(),
        "TEXT" | "NAME" => Some(Param::Text(unescaped(text()?, false))),
        "JSON" => Some(Param::Text(unescaped(text()?, true))),
        "BYTEA" => row.try_get_unchecked(column).map(Param::Blob).ok(),
        other => {
            return Err(StoreError::value(format!("column {column} holds {other}")));
        }
    }
    .ok_or_else(misread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_json: bool, stored: &str) {
        assert_eq!(escaped(text.to_owned(), is_json), stored);
        assert!(!stored.contains('\0'));
    }

    #[test]
    fn no_nul_is_stored_and_every_text_comes_back() {
        check("a\0b", false, "a\u{FDD0}0b");
        check("\u{FDD0}0", false, "\u{FDD0}10");
        for text in [
            "",
            "a\0",
            "\0\0",
            "\u{FDD0}",
            "\u{FDD0}0\0\u{FDD0}1",
            "Trần",
        ] {
            assert_eq!(unescaped(&escaped(text.to_owned(), false), false), text);
        }
    }

    #[test]
    fn json_keeps_its_nul_and_its_backslashes() {
        check(r#"["a\u0000b"]"#, true, "[\"a\u{FDD0}0b\"]");
        check(r#"["a\\u0000b"]"#, true, r#"["a\\u0000b"]"#);
        check(r#"["\\\u0000\n"]"#, true, "[\"\\\\\u{FDD0}0\\n\"]");
        for list in [vec!["a\0b", "\u{FDD0}"], vec!["\\u0000", "\\\0", "\"\n"]] {
            let json = serde_json::to_string(&list).unwrap();
            let back = unescaped(&escaped(json, true), true);
            assert_eq!(serde_json::from_str::<Vec<String>>(&back).unwrap(), list);
        }
    }
}
