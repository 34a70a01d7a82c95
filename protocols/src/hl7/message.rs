//! A whole message, split into segments without losing a byte.
//!
//! The split is ours: the `hl7-parser` crate ends silently at the first segment it does not like.
//! It is used here, and only here, one segment at a time, for [`Message::locate`].

use std::ops::Range;

use hl7_parser::{message as deep, parser::parse_segment_with_separators};

use super::{
    FIELDS_MAX, MESSAGE_BYTES_MAX, ParseError, Path, SEGMENTS_MAX, Segment, Separators,
    header::{Header, looks_like_segment},
    segment::HEADERS,
};
use crate::wire::Note;

/// A line feed ends segments instead of a carriage return.
pub const NOTE_LF: Note = Note::new("HL7-0101", "segments end with LF or CR LF instead of CR");
/// An empty line between segments.
pub const NOTE_BLANK: Note = Note::new("HL7-0102", "blank line between segments");
/// A segment whose name has not the form of a name.
pub const NOTE_BAD_SEGMENT: Note = Note::new(
    "HL7-0103",
    "segment name is not three capitals or digits; kept, not interpreted",
);
/// MSH-2 without a subcomponent separator.
pub const NOTE_SHORT_MSH_2: Note = Note::new(
    "HL7-0104",
    "MSH-2 has three characters; no subcomponents are read",
);
/// A byte order mark in front.
pub const NOTE_BOM: Note = Note::new("HL7-0105", "byte order mark before MSH");
/// A line feed inside a field.
pub const NOTE_LF_INSIDE: Note = Note::new(
    "HL7-0106",
    "line feed inside a field of a message whose segments end with CR",
);
/// The last segment has no terminator.
pub const NOTE_UNENDED: Note = Note::new("HL7-0107", "last segment has no terminator");
/// A second MSH inside one message.
pub const NOTE_SECOND_MSH: Note = Note::new("HL7-0108", "a second MSH inside one message");

/// A parsed message: its text, its delimiters and where its segments lie.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    text: &'a str,
    separators: Separators,
    segments: Vec<Segment<'a>>,
}

/// What lies under one byte of a message, for a person who points at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The name of the segment, as [`Segment::name`].
    pub segment: &'a str,
    /// Its position in the message, from 0.
    pub segment_index: usize,
    /// Which of the segments of that name, from 1.
    pub occurrence: usize,
    /// The field; none on the name itself and in a bad segment.
    pub field: Option<usize>,
    /// The repeat, where the field has several.
    pub repeat: Option<usize>,
    /// The component, where the repeat has several.
    pub component: Option<usize>,
    /// The subcomponent, where the component has several.
    pub subcomponent: Option<usize>,
    /// The bytes of the smallest element named above.
    pub span: Range<usize>,
}

const BOM: &str = "\u{feff}";

impl<'a> Message<'a> {
    /// Splits `text` into segments. Every byte of it is in a segment, a terminator, or a leading
    /// byte order mark; what deviates from the standard is noted with its byte position.
    ///
    /// # Errors
    /// When it does not begin with MSH, names no usable delimiters, or passes a limit.
    pub fn parse(text: &'a str) -> Result<(Self, Vec<Note>), ParseError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(ParseError::TooLong);
        }
        let mut notes = Vec::new();
        let body = text.strip_prefix(BOM).unwrap_or(text);
        if body.len() != text.len() {
            notes.push(NOTE_BOM);
        }
        let first = body.trim_start_matches(['\r', '\n']);
        if !first.starts_with("MSH") {
            return Err(ParseError::NoHeader);
        }
        let separators = Separators::read(first.as_bytes())?;
        if !separators.is_usual() {
            notes.push(NOTE_SHORT_MSH_2);
        }
        let mut segments = Vec::with_capacity(SEGMENTS_USUAL);
        for line in Lines::new(text, text.len().saturating_sub(body.len()), &mut notes) {
            if segments.len() == SEGMENTS_MAX {
                return Err(ParseError::TooManySegments);
            }
            segments.push(Segment::new(
                line.raw,
                line.start,
                segments.len(),
                separators,
            ));
        }
        check_segments(&segments, &mut notes)?;
        Ok((
            Self {
                text,
                separators,
                segments,
            },
            notes,
        ))
    }

    /// The text that was parsed.
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The delimiters of this message.
    pub const fn separators(&self) -> Separators {
        self.separators
    }

    /// All segments in order, the bad ones too.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The segments of one name, in order.
    pub fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = Segment<'a>> + 'm {
        self.segments
            .iter()
            .copied()
            .filter(move |segment| segment.name() == name)
    }

    /// The first segment of a name.
    pub fn first(&self, name: &str) -> Option<Segment<'a>> {
        self.segments
            .iter()
            .copied()
            .find(|segment| segment.name() == name)
    }

    /// Segments whose names have not the form of a name. A message that has any was damaged or
    /// made by a device that indents; whoever reads results from it must not trust that it is whole.
    pub fn bad_segments(&self) -> impl Iterator<Item = Segment<'a>> + '_ {
        self.segments.iter().copied().filter(Segment::is_bad)
    }

    /// MSH as a typed view.
    pub fn header(&self) -> Header<'a> {
        Header::new(self.segments.first().copied(), self.separators)
    }

    /// What `path` addresses, raw; `None` when there is no such segment, `""` when the segment is
    /// there and the element was not sent.
    pub fn get(&self, path: &Path) -> Option<&'a str> {
        let nth = path.occurrence().checked_sub(1)?;
        let segment = self
            .segments
            .iter()
            .filter(|s| s.name() == path.segment())
            .nth(nth)?;
        Some(segment.get(path))
    }

    /// [`Self::get`] with the path as text; `None` for a text that is no path.
    pub fn query(&self, path: &str) -> Option<&'a str> {
        self.get(&Path::parse(path).ok()?)
    }

    /// Which element lies under byte `offset` of the text; `None` on terminators and beyond.
    pub fn locate(&self, offset: usize) -> Option<Location<'a>> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.span().contains(&offset))?;
        let same = |other: &&Segment<'a>| other.name() == segment.name();
        let occurrence = self
            .segments
            .iter()
            .take(segment.index() + 1)
            .filter(same)
            .count();
        let mut location = Location {
            segment: segment.name(),
            segment_index: segment.index(),
            occurrence,
            field: None,
            repeat: None,
            component: None,
            subcomponent: None,
            span: segment.span(),
        };
        let start = segment.span().start;
        deepen(&mut location, *segment, offset.checked_sub(start)?);
        Some(location)
    }
}

/// Segments that a usual message has, so that the list is allocated once.
const SEGMENTS_USUAL: usize = 32;

fn check_segments(segments: &[Segment<'_>], notes: &mut Vec<Note>) -> Result<(), ParseError> {
    for segment in segments {
        let at = u64::try_from(segment.span().start).unwrap_or(u64::MAX);
        // A segment of fewer bytes cannot have more fields.
        if segment.raw().len() > FIELDS_MAX && segment.n() > FIELDS_MAX {
            return Err(ParseError::TooManyFields);
        }
        if segment.is_bad() {
            notes.push(NOTE_BAD_SEGMENT.at(at));
        }
        if segment.index() > 0 && segment.name() == "MSH" {
            notes.push(NOTE_SECOND_MSH.at(at));
        }
    }
    Ok(())
}

/// The lines of a text with the byte each starts at, cut as segments are.
pub(super) fn lines<'a>(
    text: &'a str,
    notes: &mut Vec<Note>,
) -> impl Iterator<Item = (&'a str, usize)> {
    let at = text
        .len()
        .saturating_sub(text.strip_prefix(BOM).unwrap_or(text).len());
    Lines::new(text, at, notes).map(|line| (line.raw, line.start))
}

/// One line of a message.
struct Line<'a> {
    raw: &'a str,
    start: usize,
}

/// Cuts a text at its segment terminators, noting what is not CR; each kind of note once, so that
/// a hostile text cannot fill the memory with notes.
struct Lines<'a, 'n> {
    text: &'a str,
    at: usize,
    has_cr: bool,
    has_lf: bool,
    /// The next CR at or after `at`, remembered so that the text is searched once.
    next_cr: Option<usize>,
    notes: &'n mut Vec<Note>,
}

impl<'a, 'n> Lines<'a, 'n> {
    fn new(text: &'a str, at: usize, notes: &'n mut Vec<Note>) -> Self {
        let next_cr = text.find('\r');
        Self {
            text,
            at,
            has_cr: next_cr.is_some(),
            has_lf: text.contains('\n'),
            next_cr,
            notes,
        }
    }

    fn note(&mut self, note: Note, at: usize) {
        if !self.notes.iter().any(|known| known.code == note.code) {
            self.notes
                .push(note.at(u64::try_from(at).unwrap_or(u64::MAX)));
        }
    }

    /// Length of the line that starts at `self.at`, and of its terminator.
    fn measure(&mut self) -> Option<(usize, usize)> {
        let rest = self.text.get(self.at..)?;
        if self.next_cr.is_some_and(|cr| cr < self.at) {
            self.next_cr = rest.find('\r').map(|cr| self.at.saturating_add(cr));
        }
        let cr = self.next_cr.and_then(|cr| cr.checked_sub(self.at));
        let line = rest.get(..cr.unwrap_or(rest.len()))?;
        if let Some(lf) = self.ending_lf(line) {
            self.note(NOTE_LF, self.at.saturating_add(lf));
            return Some((lf, 1));
        }
        let Some(cr) = cr else {
            return Some((rest.len(), 0));
        };
        let is_crlf = rest.as_bytes().get(cr.saturating_add(1)) == Some(&b'\n');
        if is_crlf {
            self.note(NOTE_LF, self.at.saturating_add(cr));
        }
        Some((cr, if is_crlf { 2 } else { 1 }))
    }

    /// The line feed that ends the segment early, if one does. Where the message ends its segments
    /// with CR, a line feed is a terminator only in front of what looks like a segment; else it is
    /// text that a careless sender left inside a field, and cutting there would lose the field.
    fn ending_lf(&mut self, line: &str) -> Option<usize> {
        if !self.has_lf {
            return None;
        }
        if !self.has_cr {
            return line.find('\n');
        }
        let mut from = 0;
        while let Some(found) = line.get(from..).and_then(|rest| rest.find('\n')) {
            let lf = from.saturating_add(found);
            let next = line.get(lf.saturating_add(1)..).unwrap_or_default();
            if lf == 0 || next.is_empty() || looks_like_segment(next.as_bytes()) {
                return Some(lf);
            }
            self.note(NOTE_LF_INSIDE, self.at.saturating_add(lf));
            from = lf.saturating_add(1);
        }
        None
    }
}

impl<'a> Iterator for Lines<'a, '_> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while self.at < self.text.len() {
            let start = self.at;
            let (len, terminator) = self.measure()?;
            let end = start.saturating_add(len);
            self.at = end.saturating_add(terminator);
            if terminator == 0 {
                self.note(NOTE_UNENDED, end);
            }
            if len > 0 {
                let raw = self.text.get(start..end)?;
                return Some(Line { raw, start });
            }
            self.note(NOTE_BLANK, start);
        }
        None
    }
}

/// Fills in the field and its parts, with the deep parse of this one segment.
fn deepen(location: &mut Location<'_>, segment: Segment<'_>, at: usize) {
    let Ok(parsed) = parse_segment_with_separators(segment.raw(), deep_separators(segment)) else {
        return;
    };
    let start = segment.span().start;
    let absolute = |range: &Range<usize>| start + range.start..start + range.end;
    let holds = |range: &Range<usize>| range.start <= at && at <= range.end;
    let is_header = HEADERS.contains(&segment.name());
    if is_header && at == segment.name().len() {
        location.field = Some(1);
        location.span = start + at..start + at + 1;
        return;
    }
    let found = parsed
        .fields()
        .enumerate()
        .find(|(_, field)| holds(&field.range));
    let Some((index, field)) = found else { return };
    let number = index + if is_header { 2 } else { 1 };
    location.field = Some(number);
    location.span = absolute(&field.range);
    if is_header && number == 2 {
        return;
    }
    let Some((index, repeat)) = field.repeats().enumerate().find(|(_, r)| holds(&r.range)) else {
        return;
    };
    if field.has_repeats() {
        location.repeat = Some(index + 1);
        location.span = absolute(&repeat.range);
    }
    let found = repeat
        .components()
        .enumerate()
        .find(|(_, c)| holds(&c.range));
    let Some((index, component)) = found else {
        return;
    };
    if repeat.has_components() {
        location.component = Some(index + 1);
        location.span = absolute(&component.range);
    }
    let found = component
        .subcomponents()
        .enumerate()
        .find(|(_, s)| holds(&s.range));
    let Some((index, sub)) = found else { return };
    if component.has_subcomponents() {
        location.subcomponent = Some(index + 1);
        location.span = absolute(&sub.range);
    }
}

fn deep_separators(segment: Segment<'_>) -> deep::Separators {
    let own = segment.separators();
    deep::Separators {
        field: char::from(own.field()),
        component: char::from(own.component()),
        repetition: char::from(own.repetition()),
        escape: char::from(own.escape()),
        // No message holds a noncharacter, so nothing is split where none is declared.
        subcomponent: own.subcomponent().map_or('\u{ffff}', char::from),
        lenient_newlines: false,
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub(crate) mod tests;
