//! Writes lines and texts, for simulators and tests, and orders where a site knows their columns.
//!
//! What is longer than its column is refused, never cut: a cut id is another patient's.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    dialect::LINES_MAX,
    layout::{Align, Column, Kind, TextLayout},
};

/// Why a line or a text is not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A value longer than its column, or a number that does not fill it.
    #[error("write column `{column}`: it has {width} characters, the value another number")]
    Width {
        /// Its name.
        column: String,
        /// Its width.
        width: usize,
    },
    /// A control character, or a character of more than one byte.
    #[error("write column `{column}`: a character cannot stand in a text")]
    Character {
        /// Its name.
        column: String,
    },
    /// A value for a column that is not there, or two for one.
    #[error("write column `{column}`: there is none, or it has a value already")]
    Column {
        /// Its name.
        column: String,
    },
    /// No line, or more than a text has.
    #[error("write a text: no line, or more than {LINES_MAX}")]
    Lines,
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Width { .. } => "SYX-0401",
            Self::Character { .. } => "SYX-0402",
            Self::Column { .. } => "SYX-0403",
            Self::Lines => "SYX-0404",
        }
    }
}

/// A line with these values, by the names of their columns. A column without a value stands empty.
/// A number comes with its leading zeros and its flag.
///
/// # Errors
/// What cannot be read as it was meant.
pub fn write(layout: &TextLayout, values: &[(&str, &[u8])]) -> Result<Bytes, WriteError> {
    for (at, (name, _)) in values.iter().enumerate() {
        let is_column = layout.columns.iter().any(|column| column.name == *name);
        let is_said = values.iter().take(at).any(|(before, _)| before == name);
        if name.is_empty() || !is_column || is_said {
            let column = (*name).to_owned();
            return Err(WriteError::Column { column });
        }
    }
    let mut out = BytesMut::with_capacity(layout.width());
    out.put_slice(layout.code.as_bytes());
    for column in &layout.columns {
        let value = values.iter().find(|(name, _)| column.name == *name);
        put(&mut out, column, value.map(|(_, value)| *value))?;
    }
    Ok(out.freeze())
}

fn put(out: &mut BytesMut, column: &Column, value: Option<&[u8]>) -> Result<(), WriteError> {
    let Some(value) = value else {
        let fill = match column.kind {
            Kind::Reserved(fill) => fill,
            Kind::Text(_) | Kind::Number { .. } => b' ',
        };
        out.put_bytes(fill, column.width);
        return Ok(());
    };
    let name = || column.name.clone();
    if value.iter().any(|byte| *byte < b' ' || *byte == 0x7F) {
        return Err(WriteError::Character { column: name() });
    }
    let rest = column.width.checked_sub(value.len());
    let is_text = matches!(column.kind, Kind::Text(_));
    let rest = rest.filter(|rest| is_text || *rest == 0);
    let rest = rest.ok_or_else(|| WriteError::Width {
        column: name(),
        width: column.width,
    })?;
    let before = match column.kind {
        Kind::Text(Align::Right) => rest,
        Kind::Text(Align::Left) | Kind::Number { .. } | Kind::Reserved(_) => 0,
    };
    out.put_bytes(b' ', before);
    out.put_slice(value);
    out.put_bytes(b' ', rest.saturating_sub(before));
    Ok(())
}

/// A text of several lines.
///
/// # Errors
/// No line, or more than a text has.
pub fn join(lines: &[Bytes]) -> Result<Bytes, WriteError> {
    if lines.is_empty() || lines.len() > LINES_MAX {
        return Err(WriteError::Lines);
    }
    Ok(lines.join(&b"\r\n"[..]).into())
}
