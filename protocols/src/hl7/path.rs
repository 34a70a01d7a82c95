//! Addresses of elements as people write them: `OBX-5`, `OBX-3.1`, `PID-3[2].1`, `SPM-2.1.1`,
//! `OBX[3]-5`.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{FIELDS_MAX, segment::NAME_LEN};

/// The address of a field or a part of it; all numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    segment: String,
    occurrence: usize,
    field: usize,
    repeat: Option<usize>,
    component: Option<usize>,
    subcomponent: Option<usize>,
}

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("read an HL7 address: write it like OBX-5, OBX-3.1, PID-3[2].1 or SPM-2.1.1")]
pub struct PathError;

impl Path {
    /// Reads `SEG[occurrence]-field[repeat].component.subcomponent`.
    ///
    /// # Errors
    /// [`PathError`] when the text has another form, or a number is 0 or beyond [`FIELDS_MAX`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let (head, tail) = text.split_once('-').ok_or(PathError)?;
        let (segment, occurrence) = indexed(head)?;
        let is_name = segment.len() == NAME_LEN
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !is_name {
            return Err(PathError);
        }
        let mut parts = tail.split('.');
        let (field, repeat) = indexed(parts.next().ok_or(PathError)?)?;
        let component = parts.next().map(number).transpose()?;
        let subcomponent = parts.next().map(number).transpose()?;
        if parts.next().is_some() {
            return Err(PathError);
        }
        Ok(Self {
            segment: segment.to_owned(),
            occurrence: occurrence.unwrap_or(1),
            field: number(field)?,
            repeat,
            component,
            subcomponent,
        })
    }

    /// The segment name.
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// Which of the segments of that name; 1 where none was written.
    pub const fn occurrence(&self) -> usize {
        self.occurrence
    }

    /// The field.
    pub const fn field(&self) -> usize {
        self.field
    }

    /// The repeat, if one was written.
    pub const fn repeat(&self) -> Option<usize> {
        self.repeat
    }

    /// The component, if one was written.
    pub const fn component(&self) -> Option<usize> {
        self.component
    }

    /// The subcomponent, if one was written.
    pub const fn subcomponent(&self) -> Option<usize> {
        self.subcomponent
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segment)?;
        if self.occurrence != 1 {
            write!(f, "[{}]", self.occurrence)?;
        }
        write!(f, "-{}", self.field)?;
        if let Some(repeat) = self.repeat {
            write!(f, "[{repeat}]")?;
        }
        for part in [self.component, self.subcomponent].into_iter().flatten() {
            write!(f, ".{part}")?;
        }
        Ok(())
    }
}

/// `name` or `name[n]`.
fn indexed(text: &str) -> Result<(&str, Option<usize>), PathError> {
    let Some((name, index)) = text.split_once('[') else {
        return Ok((text, None));
    };
    let index = index.strip_suffix(']').ok_or(PathError)?;
    Ok((name, Some(number(index)?)))
}

fn number(text: &str) -> Result<usize, PathError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let value: usize = text.parse().map_err(|_| PathError)?;
    if plain && (1..=FIELDS_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(PathError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_address_reads_back_the_same() {
        for text in [
            "OBX-5",
            "OBX-3.1",
            "PID-3[2].1",
            "SPM-2.1.1",
            "OBX[3]-5",
            "ZX1[2]-1[4].2.3",
        ] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "OBX",
            "OBX5",
            "OBX-",
            "OBX-0",
            "OBX-+1",
            "obx-5",
            "OB-5",
            "OBX-5.",
            "OBX-5.1.2.3",
            "OBX-5[",
            "OBX-5[0]",
            "OBX-5[1",
            "OBX-5[1]x",
            "OBX[]-5",
            "OBX-99999999999999999999",
        ] {
            assert_eq!(Path::parse(text), Err(PathError), "{text:?}");
        }
    }
}
