//! The records of an ASTM message or the segments of an HL7 message, in one form.
//!
//! A row is cut out of the message by the protocol's own parser, decoded, and only then split into
//! fields: in GB 18030 or Big5 a delimiter may be half of a letter. Bytes that the character set
//! does not have become marks (private code points, one for each byte), so that they survive the
//! splitting and are shown as `\xNN` at the end.

mod bci;
mod beckman_au;
mod date;
mod dimension;
mod poct1a;
mod sysmex_legacy;

use std::{borrow::Cow, ops::Range};

use labwire_protocols::{
    astm::record::{self, Delimiters, RecordKind},
    charset::Charset,
    hl7::{self, Separators, escape},
    wire::Note,
};

use super::{
    FieldPath, TextRules, Wire,
    fields::{FieldMarks, RowName, piece, pieces},
    places::{self, Part},
};

/// What a row is for, in both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// H, MSH.
    Header,
    /// P, PID.
    Patient,
    /// O, OBR.
    Order,
    /// R, OBX.
    Result,
    /// C, NTE.
    Comment,
    /// Q.
    Query,
    /// L.
    Terminator,
    /// M, S, Z segments and whatever is not known.
    Manufacturer,
    /// A segment that only gives context to others.
    Structure,
    /// No row at all: text without a name.
    Bad,
}

/// One record or segment.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) role: Role,
    pub(super) text: Cow<'a, str>,
    /// Where it lies in the message, without its end.
    pub(super) span: Range<usize>,
    /// For comparing; the text of a row that is no record or segment may have any.
    pub(super) name: RowName,
    fields: FieldMarks,
    /// It holds bytes that are no characters.
    is_undecodable: bool,
    /// Nothing in it is escaped and every byte is a character: its parts mean what they say.
    is_plain: bool,
    marks: Marks,
    /// Where the places with names stand in the text.
    places: Vec<Range<usize>>,
    charset: Charset,
}

/// The delimiters that the row was written with.
#[derive(Clone, Copy, Debug)]
enum Marks {
    Astm(Delimiters),
    Hl7(Separators),
    /// None; the fields are places with names, the row is called so.
    Places(&'static str),
    /// None are known; the row is one field.
    None,
}

/// What stands in the places of a row in their order, each with its repeats.
type Places<'m> = Vec<Vec<Cow<'m, [u8]>>>;

/// All rows of a message.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    pub(super) notes: Vec<Note>,
    /// Every header has its terminator, as far as the protocol has one.
    pub(super) is_whole: bool,
    /// Why the message, or its part from this byte on, could not be split.
    pub(super) refused: Option<(String, Range<usize>)>,
}

impl<'a> Rows<'a> {
    /// Splits `raw`. What opened its conversation, where its wire has such a thing, says which device it is from.
    pub(super) fn read(
        raw: &'a [u8],
        opening: Option<&[u8]>,
        wire: &Wire,
        text: &TextRules,
    ) -> Self {
        match wire {
            Wire::Astm => Self::astm(raw, text.charset),
            Wire::Hl7 => Self::hl7(raw, text),
            Wire::BeckmanAu(dialect) => beckman_au::read_rows(raw, dialect, text.charset),
            Wire::Dimension(dialect) => dimension::read_rows(raw, &dialect.layout, text.charset),
            Wire::Poct1a(_) => poct1a::read_rows(raw, opening, text.charset),
            Wire::Bci(wire) => bci::read_rows(raw, wire.dates, text.charset),
            Wire::SysmexLegacy(wire) => sysmex_legacy::read_rows(raw, wire, text.charset),
        }
    }

    /// Of a message that cannot be read safely.
    fn refused(why: String, notes: Vec<Note>, raw: &[u8]) -> Self {
        Self {
            rows: Vec::new(),
            notes,
            is_whole: false,
            refused: Some((why, 0..raw.len())),
        }
    }

    fn astm(raw: &'a [u8], charset: Charset) -> Self {
        let (message, notes) = record::Message::parse(raw);
        let is_refused = message.refused().is_some();
        let row = |record: &record::Record<'a>| {
            let bytes = record.bytes();
            let delimiters = record.delimiters();
            // A letter without a delimiter after it is a word that happens to begin with it.
            let is_row = bytes.get(1).is_none_or(|byte| *byte == delimiters.field());
            let role = if is_row && !is_refused {
                astm_role(record.kind())
            } else {
                Role::Bad
            };
            let marks = if is_refused {
                Marks::None
            } else {
                Marks::Astm(delimiters)
            };
            Row::new(role, bytes, record.span(), marks, charset)
        };
        let rest = message.unparsed();
        let cut = raw.len().saturating_sub(rest.len());
        let why = message
            .refused()
            .map_or("left over behind a limit", |note| note.text);
        Self {
            rows: message.records().iter().map(row).collect(),
            notes,
            is_whole: message.is_complete(),
            refused: (is_refused || !rest.is_empty()).then(|| (why.to_owned(), cut..raw.len())),
        }
    }

    fn hl7(raw: &'a [u8], rules: &TextRules) -> Self {
        let charset = if rules.from_message {
            named_charset(raw)
        } else {
            None
        };
        let charset = charset.unwrap_or(rules.charset);
        let skeleton = skeleton(raw);
        let (message, notes) = match hl7::Message::parse(&skeleton) {
            Ok(read) => read,
            Err(why) => {
                return Self {
                    rows: Vec::new(),
                    notes: Vec::new(),
                    is_whole: false,
                    refused: Some((why.to_string(), 0..raw.len())),
                };
            }
        };
        let marks = Marks::Hl7(message.separators());
        let row = |segment: &hl7::Segment<'_>| {
            let role = if segment.is_bad() {
                Role::Bad
            } else {
                hl7_role(segment.name())
            };
            let bytes = raw.get(segment.span()).unwrap_or_default();
            Row::new(role, bytes, segment.span(), marks, charset)
        };
        let rows: Vec<_> = message.segments().iter().map(row).collect();
        // A segment that is none may be the torn-off end of the one before it.
        let is_whole = rows.iter().all(|row| row.role != Role::Bad);
        Self {
            rows,
            notes,
            is_whole,
            refused: None,
        }
    }
}

impl Marks {
    #[inline]
    const fn field(self) -> Option<u8> {
        match self {
            Self::Astm(delimiters) => Some(delimiters.field()),
            Self::Hl7(separators) => Some(separators.field()),
            Self::Places(_) | Self::None => None,
        }
    }

    const fn escape(self) -> Option<u8> {
        match self {
            Self::Astm(delimiters) => Some(delimiters.escape()),
            Self::Hl7(separators) => Some(separators.escape()),
            Self::Places(_) | Self::None => None,
        }
    }

    #[inline]
    const fn repeat(self) -> u8 {
        match self {
            Self::Astm(delimiters) => delimiters.repeat(),
            Self::Hl7(separators) => separators.repetition(),
            Self::Places(_) | Self::None => REPEAT_OF_PLACES,
        }
    }

    #[inline]
    const fn component(self) -> u8 {
        match self {
            Self::Astm(delimiters) => delimiters.component(),
            Self::Hl7(separators) => separators.component(),
            Self::Places(_) | Self::None => REPEAT_OF_PLACES,
        }
    }
}

impl<'a> Row<'a> {
    fn new(
        role: Role,
        bytes: &'a [u8],
        span: Range<usize>,
        marks: Marks,
        charset: Charset,
    ) -> Self {
        let text = decode(bytes, charset);
        // Without delimiters the row is one field, and its text is the name.
        let fields = FieldMarks::find(&text, marks.field().unwrap_or(b'\r'));
        let is_undecodable = is_undecodable(&text);
        let escape = marks.escape();
        let has_escape = escape.is_some_and(|escape| text.as_bytes().contains(&escape));
        Self {
            role,
            name: match marks.field() {
                Some(mark) => RowName::of(fields.field(&text, mark, 0)),
                None => RowName::of(&text),
            },
            is_plain: !is_undecodable && !has_escape,
            is_undecodable,
            text,
            span,
            fields,
            marks,
            places: Vec::new(),
            charset,
        }
    }
}

impl Row<'_> {
    /// A row of places with names: each field by its repeats, as sent.
    fn of_places(
        role: Role,
        name: &'static str,
        span: Range<usize>,
        fields: &[&[&[u8]]],
        charset: Charset,
    ) -> Self {
        let mut text = String::new();
        let mut places = Vec::with_capacity(fields.len());
        for field in fields {
            let start = text.len();
            for (number, repeat) in field.iter().enumerate() {
                if number > 0 {
                    text.push(char::from(REPEAT_OF_PLACES));
                }
                text.push_str(&decode(repeat, charset));
            }
            places.push(start..text.len());
        }
        let is_undecodable = is_undecodable(&text);
        Self {
            role,
            name: RowName::of_places(name),
            fields: FieldMarks::NONE,
            is_plain: !is_undecodable,
            is_undecodable,
            text: Cow::Owned(text),
            span,
            marks: Marks::Places(name),
            places,
            charset,
        }
    }

    /// [`Row::of_places`], of texts that are not all parts of the message.
    fn of_owned(
        role: Role,
        part: &Part,
        span: Range<usize>,
        places: &Places<'_>,
        charset: Charset,
    ) -> Self {
        let fields: Vec<Vec<&[u8]>> = places
            .iter()
            .map(|place| place.iter().map(AsRef::as_ref).collect())
            .collect();
        let fields: Vec<&[&[u8]]> = fields.iter().map(Vec::as_slice).collect();
        Self::of_places(role, part.row, span, &fields, charset)
    }

    /// Whether it is a record of that letter, or a segment of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        match self.marks {
            Marks::Places(own) => own == name,
            Marks::Astm(_) | Marks::Hl7(_) | Marks::None => self.name.is(RowName::of(name)),
        }
    }

    /// The name: letter, or three letters.
    pub(super) fn name(&self) -> &str {
        match self.marks {
            Marks::Places(name) => name,
            Marks::Astm(_) | Marks::Hl7(_) | Marks::None => match self.marks.field() {
                Some(mark) => self.fields.field(&self.text, mark, 0),
                None => &self.text,
            },
        }
    }

    /// Whether nothing in it is escaped and every byte is a character.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether it holds bytes that are no characters.
    pub(super) const fn is_undecodable(&self) -> bool {
        self.is_undecodable
    }

    /// Field `n`, as sent, repeats and components included; empty if it was not sent.
    #[inline]
    pub(super) fn field(&self, n: usize) -> &str {
        if let Some(place) = n.checked_sub(1).and_then(|at| self.places.get(at)) {
            return self.text.get(place.clone()).unwrap_or_default();
        }
        let Some(mark) = self.marks.field() else {
            return "";
        };
        // HL7 counts from 0, the segment name; MSH-1 is the delimiter itself, so MSH counts from 1.
        let skip = match self.marks {
            Marks::Hl7(_) if self.role != Role::Header => n,
            Marks::Hl7(_) if n == 1 => return self.text.get(3..4).unwrap_or_default(),
            Marks::Hl7(_) | Marks::Astm(_) | Marks::Places(_) | Marks::None => n.saturating_sub(1),
        };
        self.fields.field(&self.text, mark, skip)
    }

    /// The places with names, by their names.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = match self.marks {
            Marks::Places(row) => places::names(row),
            Marks::Astm(_) | Marks::Hl7(_) | Marks::None => &[],
        };
        let texts = self
            .places
            .iter()
            .filter_map(|place| self.text.get(place.clone()));
        names.iter().copied().zip(texts)
    }

    /// What a path names in this row, as sent. Of a field with repeats, a component is the first
    /// repeat's.
    #[inline]
    pub(super) fn get(&self, path: &FieldPath) -> &str {
        let field = self.field(path.field);
        if path.component.is_none() || field.is_empty() {
            return field;
        }
        let first = pieces(field, self.marks.repeat()).next();
        self.part(first.unwrap_or_default(), path)
    }

    /// Component `n` of the first repeat of a field.
    pub(super) fn component(&self, field: usize, n: usize) -> &str {
        let first = self.repeats(self.field(field)).next().unwrap_or_default();
        piece(first, self.marks.component(), n.saturating_sub(1)).unwrap_or_default()
    }

    /// What a path names in each repeat of its field.
    pub(super) fn each(&self, path: &FieldPath) -> impl Iterator<Item = &str> {
        self.repeats(self.field(path.field))
            .map(|repeat| self.part(repeat, path))
    }

    /// The repeats of a field's text.
    pub(super) fn repeats<'t>(&self, field: &'t str) -> impl Iterator<Item = &'t str> + use<'t> {
        pieces(field, self.marks.repeat())
    }

    /// Whether a text is a single component.
    pub(super) fn is_bare(&self, repeat: &str) -> bool {
        !repeat.contains(char::from(self.marks.component()))
    }

    fn part<'t>(&self, repeat: &'t str, path: &FieldPath) -> &'t str {
        let Some(number) = path.component else {
            return repeat;
        };
        let mark = self.marks.component();
        if path.is_open {
            return repeat
                .splitn(number, char::from(mark))
                .nth(number.saturating_sub(1))
                .unwrap_or_default();
        }
        let component = piece(repeat, mark, number.saturating_sub(1)).unwrap_or_default();
        match (path.subcomponent, self.marks) {
            (Some(number), Marks::Hl7(separators)) => match separators.subcomponent() {
                Some(mark) => piece(component, mark, number.saturating_sub(1)).unwrap_or_default(),
                None if number == 1 => component,
                None => "",
            },
            _ => component,
        }
    }

    /// A text without its escapes. Marks of undecodable bytes stay.
    pub(super) fn plain<'t>(&self, raw: &'t str, notes: &mut Vec<Note>) -> Cow<'t, str> {
        let escape = self.marks.escape();
        if self.is_plain || escape.is_none_or(|escape| !raw.as_bytes().contains(&escape)) {
            return Cow::Borrowed(raw);
        }
        let (text, found) = match self.marks {
            Marks::Astm(delimiters) => self.plain_astm(raw, delimiters),
            Marks::Hl7(separators) => escape::decode_with(raw, separators, |bytes| {
                self.charset
                    .decode(bytes)
                    .ok()
                    .map(|text| Cow::Owned(text.into_owned()))
            }),
            Marks::Places(_) | Marks::None => (Cow::Borrowed(raw), Vec::new()),
        };
        notes.extend(found);
        text
    }

    fn plain_astm<'t>(&self, raw: &'t str, delimiters: Delimiters) -> (Cow<'t, str>, Vec<Note>) {
        // The digits of a hexadecimal escape are bytes of the message's character set, so the text
        // goes back to bytes. Marks have none; such a text keeps its escapes, and is held anyway.
        let Ok(bytes) = self.charset.encode(raw) else {
            return (Cow::Borrowed(raw), vec![record::notes::ESCAPE_UNKNOWN]);
        };
        let (bytes, notes) = record::unescape_bytes(&bytes, delimiters);
        (Cow::Owned(decode(&bytes, self.charset).into_owned()), notes)
    }

    /// Where a piece of this row's text lies in the message. `piece` must be a slice of `text`.
    pub(super) fn span_of(&self, piece: &str) -> Range<usize> {
        let at = piece
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr());
        let bytes_of = |text: &str| self.charset.encode(text).map_or(text.len(), |b| b.len());
        let before = self.text.get(..at).map_or(0, bytes_of);
        let start = self.span.start.saturating_add(before);
        start..start.saturating_add(bytes_of(piece))
    }

    /// Whether a row that results are read under is so long that reading it again for each of them
    /// would hold up the line.
    pub(super) const fn is_too_long_to_share(&self) -> bool {
        let is_shared = matches!(
            self.role,
            Role::Header | Role::Patient | Role::Order | Role::Structure
        );
        is_shared && self.text_len() > SHARED_ROW_MAX
    }

    const fn text_len(&self) -> usize {
        self.span.end.saturating_sub(self.span.start)
    }

    /// The text of the row for a person, shortened to what a console shows.
    pub(super) fn shown(&self) -> String {
        shorten(&show(&self.text))
    }
}

/// Stands between repeats of a place with a name: no message has it inside a field.
const REPEAT_OF_PLACES: u8 = b'\r';

/// Longest row that may stand above results: an order of two hundred tests has some 6 kB.
const SHARED_ROW_MAX: usize = 16 * 1024;

/// Most characters of a device's own records that an event repeats; the bytes stay in the journal.
const SHOWN_MAX: usize = 400;

/// Cuts a text for showing.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn astm_role(kind: RecordKind) -> Role {
    match kind {
        RecordKind::Header => Role::Header,
        RecordKind::Patient => Role::Patient,
        RecordKind::Order => Role::Order,
        RecordKind::Result => Role::Result,
        RecordKind::Comment => Role::Comment,
        RecordKind::Request => Role::Query,
        RecordKind::Terminator => Role::Terminator,
        RecordKind::Scientific | RecordKind::Manufacturer => Role::Manufacturer,
        RecordKind::Unknown(letter) if letter.is_ascii_alphabetic() => Role::Manufacturer,
        RecordKind::Unknown(_) => Role::Bad,
    }
}

/// Segments that are read through paths and say nothing by themselves.
const STRUCTURE: &[&str] = &[
    "MSA", "ERR", "SFT", "UAC", "PD1", "PV1", "PV2", "NK1", "ORC", "TQ1", "TQ2", "SPM", "SAC",
    "INV", "SID", "TCD", "CTD", "CTI", "FT1", "DG1", "AL1", "IN1", "QRD", "QRF", "QPD", "RCP",
    "QAK", "QID", "DSP", "DSC", "EVN", "ROL", "PRT", "EQU", "ARV",
];

fn hl7_role(name: &str) -> Role {
    match name {
        "MSH" => Role::Header,
        "PID" => Role::Patient,
        "OBR" => Role::Order,
        "OBX" => Role::Result,
        "NTE" => Role::Comment,
        _ if STRUCTURE.contains(&name) => Role::Structure,
        _ => Role::Manufacturer,
    }
}

/// The first character set of MSH-18 that we know.
fn named_charset(raw: &[u8]) -> Option<Charset> {
    hl7::charset::names(raw)
        .into_iter()
        .find_map(Charset::from_label)
}

/// `raw` with a placeholder for every byte outside ASCII, so that positions in it are positions in
/// `raw` whatever the character set. No character set has CR or LF as half of a letter.
fn skeleton(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => raw
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '?'
                }
            })
            .collect(),
    }
}

/// First of the 256 code points that stand for undecodable bytes; the end of private plane 16.
const MARK_BASE: u32 = 0x0010_FE00;

fn mark(byte: u8) -> char {
    char::from_u32(MARK_BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn unmark(ch: char) -> Option<u8> {
    u32::from(ch)
        .checked_sub(MARK_BASE)
        .and_then(|byte| u8::try_from(byte).ok())
}

/// Decodes, with a mark for every byte that is no character.
fn decode(bytes: &[u8], charset: Charset) -> Cow<'_, str> {
    let first = match charset.decode(bytes) {
        Ok(text) => return text,
        Err(error) => error.at,
    };
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut bad = Some(first);
    while let Some((good, [byte, after @ ..])) = bad.and_then(|at| rest.split_at_checked(at)) {
        text.push_str(&charset.decode(good).unwrap_or_default());
        text.push(mark(*byte));
        rest = after;
        bad = match charset.decode(rest) {
            Ok(tail) => {
                text.push_str(&tail);
                None
            }
            Err(error) => Some(error.at),
        };
    }
    Cow::Owned(text)
}

/// Whether a text holds bytes that are no characters.
pub(super) fn is_undecodable(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(|ch| unmark(ch).is_some())
}

/// The text with `\xNN` for every byte that is no character.
pub(super) fn show(text: &str) -> String {
    shown(Cow::Borrowed(text)).into_owned()
}

/// [`show`], copying only what changes.
pub(super) fn shown(text: Cow<'_, str>) -> Cow<'_, str> {
    if !is_undecodable(&text) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for ch in text.chars() {
        match unmark(ch) {
            Some(byte) => shown.push_str(&format!("\\x{byte:02X}")),
            None => shown.push(ch),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_bytes_survive_splitting_and_are_shown() {
        let raw = b"H|\\^&\rR|1|^^^NA\xFFME|a\xFE\\b&F&\r";
        let rules = TextRules {
            charset: Charset::Utf8,
            from_message: false,
            transliterate: false,
        };
        let rows = Rows::read(raw, None, &Wire::Astm, &rules);
        let row = rows.rows.get(1).expect("two records");
        assert_eq!(show(row.field(3)), "^^^NA\\xFFME");
        assert_eq!(show(row.field(4)), "a\\xFE\\b&F&");
        assert!(is_undecodable(row.field(4)));
        let first = row.repeats(row.field(4)).next().map(show);
        assert_eq!(first.as_deref(), Some("a\\xFE"));
    }

    #[test]
    fn a_delimiter_inside_a_chinese_letter_splits_nothing() {
        // 0x8D5C and 0xB17C: letters whose second byte is `\` or `|`.
        let raw = b"H|\\^&\rR|1|^^^X|\x8D\x5C\xB1\x7C|u\r";
        let rules = TextRules {
            charset: Charset::Gb18030,
            from_message: false,
            transliterate: false,
        };
        let rows = Rows::read(raw, None, &Wire::Astm, &rules);
        let row = rows.rows.get(1).expect("two records");
        assert_eq!(row.field(4).chars().count(), 2);
        assert_eq!(row.field(5), "u");
    }
}
