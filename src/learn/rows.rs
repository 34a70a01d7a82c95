//! Messages as rows of fields, without any profile.

use std::fmt;

use labwire_protocols::charset::Charset;

use super::Protocol;
use super::heard::Message;

/// Rows of one message that are looked at; no analyzer sends more results of one tube.
const ROWS_MAX: usize = 5_000;
/// Fields of one row that are looked at; an order record has 31.
const FIELDS_MAX: usize = 60;

/// A message taken apart.
#[derive(Clone)]
pub(super) struct Sheet {
    pub(super) marks: Marks,
    pub(super) rows: Vec<Row>,
}

/// The delimiters of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marks {
    pub(super) field: char,
    pub(super) repeat: char,
    pub(super) component: char,
    pub(super) escape: char,
    /// HL7 alone has one.
    pub(super) sub: Option<char>,
}

/// One record or segment.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: String,
    /// Pieces between field delimiters, the name first; of MSH the delimiter is not among them.
    pub(super) pieces: Vec<String>,
    protocol: Protocol,
}

/// A place in a row, as profiles write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) record: String,
    pub(super) field: usize,
    /// 0 is the whole field.
    pub(super) component: usize,
}

impl Place {
    pub(super) fn new(record: &str, field: usize, component: usize) -> Self {
        Self {
            record: record.to_owned(),
            field,
            component,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.record.len() == 1 { '.' } else { '-' };
        write!(f, "{}{mark}{}", self.record, self.field)?;
        match self.component {
            0 => Ok(()),
            component => write!(f, ".{component}"),
        }
    }
}

impl Row {
    /// The number that profiles count piece `index` by: ASTM counts the letter as field 1, HL7 counts
    /// the delimiter behind MSH as MSH-1.
    pub(super) fn number(&self, index: usize) -> usize {
        match self.protocol {
            Protocol::Astm => index + 1,
            Protocol::Hl7 if self.name == "MSH" => index + 1,
            Protocol::Hl7 => index,
        }
    }

    fn index(&self, number: usize) -> Option<usize> {
        match self.protocol {
            Protocol::Hl7 if self.name != "MSH" => Some(number),
            Protocol::Astm | Protocol::Hl7 => number.checked_sub(1),
        }
    }

    /// A field; empty if there is none.
    pub(super) fn field(&self, number: usize) -> &str {
        let piece = self.index(number).and_then(|index| self.pieces.get(index));
        piece.map_or("", String::as_str)
    }

    /// A component of the first repeat of a field, or the whole field.
    pub(super) fn part(&self, field: usize, component: usize, marks: Marks) -> &str {
        let field = self.field(field);
        match component.checked_sub(1) {
            None => field,
            Some(index) => {
                let first = field.split(marks.repeat).next().unwrap_or_default();
                first.split(marks.component).nth(index).unwrap_or_default()
            }
        }
    }
}

impl Sheet {
    /// Takes a message apart; `None` where its header declares nothing.
    pub(super) fn read(message: &Message, charset: Charset) -> Option<Self> {
        let text = text(&message.raw, charset);
        let marks = Marks::of(&text, message.protocol)?;
        let rows = text
            .split(['\r', '\n'])
            .filter(|row| !row.trim().is_empty())
            .take(ROWS_MAX)
            .map(|row| Row::read(row, marks, message.protocol));
        Some(Self {
            marks,
            rows: rows.collect(),
        })
    }

    pub(super) fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Row> + 's {
        self.rows.iter().filter(move |row| row.name == name)
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.rows
            .iter()
            .any(|row| names.contains(&row.name.as_str()))
    }

    /// The first value at a place.
    pub(super) fn first(&self, place: &Place) -> &str {
        self.rows
            .iter()
            .find(|row| row.name == place.record)
            .map_or("", |row| row.part(place.field, place.component, self.marks))
    }
}

impl Row {
    fn read(text: &str, marks: Marks, protocol: Protocol) -> Self {
        let pieces: Vec<String> = text
            .split(marks.field)
            .take(FIELDS_MAX)
            .map(str::to_owned)
            .collect();
        let name = pieces.first().cloned().unwrap_or_default();
        Self {
            name,
            pieces,
            protocol,
        }
    }
}

impl Marks {
    fn of(text: &str, protocol: Protocol) -> Option<Self> {
        let skipped = match protocol {
            Protocol::Astm => 1,
            Protocol::Hl7 => 3,
        };
        let mut letters = text.chars().skip(skipped);
        let field = letters.next().filter(char::is_ascii_punctuation)?;
        let declared: Vec<char> = letters.take_while(|letter| *letter != field).collect();
        let mark = |index: usize, usual: char| declared.get(index).copied().unwrap_or(usual);
        Some(match protocol {
            Protocol::Astm => Self {
                field,
                repeat: mark(0, '\\'),
                component: mark(1, '^'),
                escape: mark(2, '&'),
                sub: None,
            },
            Protocol::Hl7 => Self {
                field,
                component: mark(0, '^'),
                repeat: mark(1, '~'),
                escape: mark(2, '\\'),
                sub: Some(mark(3, '&')),
            },
        })
    }

    pub(super) fn is_mark(self, letter: char) -> bool {
        [self.field, self.repeat, self.component, self.escape].contains(&letter)
            || self.sub == Some(letter)
    }
}

/// The text of a message; a byte that the character set does not have stands as the letter that
/// says so.
fn text(raw: &[u8], charset: Charset) -> String {
    let mut text = String::new();
    let rows = raw.split_inclusive(|byte| matches!(byte, b'\r' | b'\n'));
    for row in rows {
        match charset.decode(row) {
            Ok(row) => text.push_str(&row),
            Err(_) => text.extend(row.iter().map(|byte| match byte {
                0..=0x7F => char::from(*byte),
                _ => char::REPLACEMENT_CHARACTER,
            })),
        }
    }
    text
}

/// The character sets that decode every byte of every message, the likeliest first; none that is
/// not needed where all is ASCII.
pub(super) fn charsets(messages: &[&Message]) -> Vec<Charset> {
    if messages.iter().all(|message| message.raw.is_ascii()) {
        return vec![Charset::Ascii];
    }
    let fits = |charset: &Charset| {
        let reads = |message: &&Message| charset.decode(&message.raw).is_ok();
        *charset != Charset::Ascii && charset.is_ascii_superset() && messages.iter().all(reads)
    };
    let mut fitting: Vec<Charset> = Charset::all().filter(fits).collect();
    // Bytes that happen to be UTF-8 are UTF-8; ISO 8859-1 takes every byte and proves nothing.
    fitting.sort_by_key(|charset| (*charset != Charset::Utf8, *charset != Charset::Latin1));
    fitting
}
