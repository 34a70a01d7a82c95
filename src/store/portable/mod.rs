//! A copy of a store that fits either database, and is read without Labwire: lines of JSON.
//!
//! The first line says what it is: format, when it was made, of which schema. Then each table: a line
//! with its name and columns, its rows as lists in the order of its key, a line with their number. The
//! last line has the number of all rows and the SHA-256 of every byte before it. A whole number is a
//! number, text a string, bytes are `{"utf8": "…"}` where they are text and `{"b64": "…"}` where not.
//!
//! All of it is one moment of the store: one transaction reads it, while the bridge goes on.

mod load;
mod shape;
mod write;

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use self::{
    load::{Place, load, verify},
    write::{Origin, write},
};
use super::{db::Param, error::StoreError};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// `backup`.
    labwire: String,
    format: u32,
    /// The version of the program.
    program: String,
    /// When it was made, in words and in UTC microseconds.
    made: String,
    made_at: i64,
    /// Which database it was.
    from: String,
    /// Number and name of each change of the schema.
    schema: Vec<(i64, String)>,
}

/// Before the rows of a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TableHead {
    table: String,
    columns: Vec<String>,
    /// The highest id that was ever given, where the database remembers it: no other gets it again.
    last_id: Option<i64>,
}

/// After the rows of a table.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct TableEnd {
    rows: u64,
}

/// The last line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    tables: u64,
    total: u64,
    sha256: String,
}

/// A value as JSON.
pub(crate) fn to_json(param: &Param) -> Value {
    let tagged = |kind: &str, text: String| {
        let mut map = Map::new();
        map.insert(kind.to_owned(), Value::String(text));
        Value::Object(map)
    };
    match param {
        Param::Null => Value::Null,
        Param::Int(value) => Value::from(*value),
        Param::Text(text) => Value::String(text.clone()),
        Param::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => tagged("utf8", text.to_owned()),
            Err(_) => tagged("b64", BASE64.encode(bytes)),
        },
    }
}

/// The inverse of [`to_json`].
fn from_json(value: Value) -> Option<Param> {
    match value {
        Value::Null => Some(Param::Null),
        Value::Number(number) => number.as_i64().map(Param::Int),
        Value::String(text) => Some(Param::Text(text)),
        Value::Object(map) => {
            let (kind, value) = map.into_iter().next()?;
            let Value::String(text) = value else {
                return None;
            };
            match kind.as_str() {
                "utf8" => Some(Param::Blob(text.into_bytes())),
                "b64" => BASE64.decode(text).ok().map(Param::Blob),
                _ => None,
            }
        }
        Value::Bool(_) | Value::Array(_) => None,
    }
}

/// One line of `value`.
fn line(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut line = serde_json::to_vec(value)
        .map_err(|_| StoreError::value("a line of a copy that cannot be written"))?;
    line.push(b'\n');
    Ok(line)
}
