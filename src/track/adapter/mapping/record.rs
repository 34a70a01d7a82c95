//! The records of a message, whatever their form, one after the other.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use labwire_protocols::{
    astm::record::{Message as AstmMessage, Record},
    charset::Charset,
};

use super::{Form, Mapping};
use crate::profile::FieldPath;

/// The name of a record of [`Form::Fields`].
pub(super) const FIELDS: &str = "REC";

/// The records of a message and how far it is read.
pub(super) struct Records<'m> {
    rows: Vec<Row<'m>>,
    /// Records read so far.
    read: usize,
    /// The last record of each name among them.
    last: HashMap<String, usize>,
}

enum Row<'m> {
    Astm(Record<'m>, Charset),
    /// A segment, as its text and separators.
    Hl7(String, Marks),
    Fields(Vec<String>),
}

/// The separators that the MSH of a message declares.
#[derive(Clone, Copy)]
struct Marks {
    field: char,
    component: char,
    repetition: char,
    subcomponent: char,
}

impl<'m> Records<'m> {
    /// Cuts a message; `None` where it is not of that form.
    pub(super) fn read(message: &'m [u8], mapping: &Mapping) -> Option<Self> {
        let rows = match mapping.form {
            Form::Astm => {
                let (read, _) = AstmMessage::parse(message);
                if read.refused().is_some() {
                    return None;
                }
                let records = read.records().iter();
                records
                    .map(|record| Row::Astm(*record, mapping.charset))
                    .collect()
            }
            Form::Hl7 => {
                let text = mapping.charset.decode(message).ok()?;
                let marks = Marks::read(&text)?;
                let lines = lines(&text).map(|line| Row::Hl7(line.to_owned(), marks));
                lines.collect()
            }
            Form::Fields => {
                let text = mapping.charset.decode(message).ok()?;
                let fields = |line: &str| {
                    line.split(mapping.delimiter)
                        .map(|field| field.trim().to_owned())
                        .collect()
                };
                lines(&text).map(|line| Row::Fields(fields(line))).collect()
            }
        };
        Some(Self {
            rows,
            read: 0,
            last: HashMap::new(),
        })
    }

    /// Goes on to the next record and gives its name.
    pub(super) fn advance(&mut self) -> Option<String> {
        let name = self.rows.get(self.read)?.name();
        self.last.insert(name.clone(), self.read);
        self.read += 1;
        Some(name)
    }

    /// What stands at a place, of the last record of its name; empty where there is none.
    pub(super) fn text(&self, path: &FieldPath) -> Cow<'static, str> {
        let last = self.last.get(&path.record);
        let row = last.and_then(|last| self.rows.get(*last));
        Cow::Owned(row.map(|row| row.text(path)).unwrap_or_default())
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\r', '\n'])
        .filter(|line| !line.trim().is_empty())
}

/// Where the records of a message stand in its bytes, the empty ones left out. No character set of a
/// line has a CR or an LF inside another character.
pub(super) fn spans(message: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut found = Vec::new();
    for line in message.split(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = start + line.len();
        if !line.trim_ascii().is_empty() {
            found.push(start..end);
        }
        start = end + 1;
    }
    found
}

impl Row<'_> {
    fn name(&self) -> String {
        match self {
            Self::Astm(record, _) => {
                let letter = record.bytes().first().copied().map(char::from);
                letter.map(String::from).unwrap_or_default()
            }
            Self::Hl7(text, marks) => {
                let name = text.split(marks.field).next();
                name.unwrap_or_default().to_owned()
            }
            Self::Fields(_) => FIELDS.to_owned(),
        }
    }

    fn text(&self, path: &FieldPath) -> String {
        match self {
            Self::Astm(record, charset) => {
                let field = record.field(path.field);
                let read = match path.component {
                    Some(component) => field.component(component).text(*charset),
                    None => field.text(*charset),
                };
                let (text, _) = read.unwrap_or_default();
                text.trim().to_owned()
            }
            Self::Hl7(text, marks) => marks.text(text, path),
            Self::Fields(fields) => path
                .field
                .checked_sub(1)
                .and_then(|at| fields.get(at))
                .cloned()
                .unwrap_or_default(),
        }
    }
}

impl Marks {
    /// MSH-1 and MSH-2 (HL7 v2.5.1 2.5.4).
    fn read(message: &str) -> Option<Self> {
        let mut marks = message.trim_start().strip_prefix("MSH")?.chars();
        Some(Self {
            field: marks.next()?,
            component: marks.next()?,
            repetition: marks.next()?,
            subcomponent: marks.nth(1)?,
        })
    }

    /// A field, component or subcomponent of the first repeat. Escapes stay as they are: names and
    /// barcodes have none.
    fn text(self, segment: &str, path: &FieldPath) -> String {
        let nth = |text: &'_ str, mark: char, n: usize| {
            text.split(mark).nth(n).unwrap_or_default().to_owned()
        };
        // MSH-1 is the separator itself.
        let shift = usize::from(segment.starts_with("MSH"));
        let field = nth(segment, self.field, path.field.saturating_sub(shift));
        let first = nth(&field, self.repetition, 0);
        let Some(component) = path.component else {
            return first;
        };
        let component = nth(&first, self.component, component.saturating_sub(1));
        let Some(sub) = path.subcomponent else {
            return component;
        };
        nth(&component, self.subcomponent, sub.saturating_sub(1))
    }
}
