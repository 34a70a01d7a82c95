//! Where something stands in a message: `R.3.5` in ASTM records, `OBX-3.1` in HL7 segments, a name
//! on wires that have neither.

use std::fmt;

use super::{Protocol, fields::RowName, places};

/// Record or segment, field, and optionally component and subcomponent, all counted from 1. ASTM
/// counts the record letter as field 1, as analyzer manuals do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// `R`, `OBX`; on a wire of places with names, the part that the place belongs to.
    pub record: String,
    /// Field number.
    pub field: usize,
    /// Component; `None` is the whole field with its repeats.
    pub component: Option<usize>,
    /// HL7 only.
    pub subcomponent: Option<usize>,
    /// `Q.3.4+`: this component and all after it, delimiters included.
    pub is_open: bool,
    /// `record`, ready for comparing: every result is asked for some twenty paths.
    pub(super) name: RowName,
}

/// Most fields, components or subcomponents a path may count to; no record is that wide.
const INDEX_MAX: usize = 999;

impl FieldPath {
    /// Reads a path in the notation of `protocol`; the error says what to write.
    ///
    /// # Errors
    /// A text for a person who edits a profile.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, String> {
        let (record, rest) = match protocol {
            Protocol::Astm => split_record(text, '.', is_astm_record)
                .ok_or("write record letter, field and component with points: `R.3.5`")?,
            Protocol::Hl7 => split_record(text, '-', is_hl7_segment)
                .ok_or("write segment, dash, field, point, component: `OBX-3.1`")?,
            Protocol::BeckmanAu
            | Protocol::Dimension
            | Protocol::Poct1a
            | Protocol::Bci
            | Protocol::SysmexLegacy => {
                return places::parse(text, protocol);
            }
        };
        let (rest, is_open) = rest
            .strip_suffix('+')
            .map_or((rest, false), |rest| (rest, true));
        let numbers: Vec<usize> = rest.split('.').map(index).collect::<Result<_, _>>()?;
        let (field, component, subcomponent) = match (numbers.as_slice(), protocol) {
            ([field], _) if !is_open => (*field, None, None),
            ([field, component], _) => (*field, Some(*component), None),
            ([field, component, sub], Protocol::Hl7) if !is_open => {
                (*field, Some(*component), Some(*sub))
            }
            _ => return Err("too many or too few parts".to_owned()),
        };
        Ok(Self {
            record: record.to_owned(),
            name: RowName::of(record),
            field,
            component,
            subcomponent,
            is_open,
        })
    }
}

fn split_record(text: &str, mark: char, is_name: fn(&str) -> bool) -> Option<(&str, &str)> {
    text.split_once(mark).filter(|(name, _)| is_name(name))
}

fn is_astm_record(name: &str) -> bool {
    matches!(name.as_bytes(), [b'A'..=b'Z'])
}

fn is_hl7_segment(name: &str) -> bool {
    let [first, rest @ ..] = name.as_bytes() else {
        return false;
    };
    first.is_ascii_uppercase()
        && rest.len() == 2
        && rest
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn index(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=INDEX_MAX) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(format!("`{text}` is no number from 1 to {INDEX_MAX}")),
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = places::name(self) {
            return f.write_str(name);
        }
        let mark = if self.record.len() == 1 { '.' } else { '-' };
        write!(f, "{}{mark}{}", self.record, self.field)?;
        for part in self.component.iter().chain(&self.subcomponent) {
            write!(f, ".{part}")?;
        }
        f.write_str(if self.is_open { "+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: Protocol, text: &str, is_path: bool) {
        match FieldPath::parse(text, protocol) {
            Ok(path) => assert!(is_path && path.to_string() == text, "{text} gave {path}"),
            Err(why) => assert!(!is_path, "{text}: {why}"),
        }
    }

    #[test]
    fn paths_are_read_in_the_notation_of_their_protocol() {
        for good in ["R.3", "R.3.5", "Q.3.4+", "H.12"] {
            check(Protocol::Astm, good, true);
            check(Protocol::Hl7, good, false);
        }
        for good in ["OBX-3", "OBX-3.1", "SPM-2.1.1", "QRD-8.1+", "ZM1-4"] {
            check(Protocol::Hl7, good, true);
            check(Protocol::Astm, good, false);
        }
        for bad in [
            "", "R", "R.0", "R.3.", "r.3", "R.3.5.1", "R.+3", "R.1000", "R.3+", "OBX.3",
        ] {
            check(Protocol::Astm, bad, false);
        }
        for name in ["sample_id", "value", "marks", "kind"] {
            check(Protocol::BeckmanAu, name, true);
            check(Protocol::Astm, name, false);
        }
        for name in ["sample_id", "value", "error", "completed"] {
            check(Protocol::Dimension, name, true);
            check(Protocol::Hl7, name, false);
        }
        for bad in ["", "sample", "R.3", "value.1", "Value", "error"] {
            check(Protocol::BeckmanAu, bad, false);
        }
        for bad in [
            "OBX",
            "OBX-",
            "OBX-0",
            "obx-3",
            "OBX-3.1.1.1",
            "OB-3",
            "OBX-3.1.1+",
            "1BX-1",
        ] {
            check(Protocol::Hl7, bad, false);
        }
    }
}
