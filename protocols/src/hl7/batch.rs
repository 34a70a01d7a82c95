//! Batches: `[FHS] { [BHS] { MSH … } [BTS] } [FTS]` (HL7 v2.5.1 2.10.3), cut into their messages.

use super::{
    MESSAGE_BYTES_MAX, ParseError, SEGMENTS_MAX, Segment, Separators, message::lines,
    segment::HEADERS,
};
use crate::wire::Note;

/// BTS-1 or FTS-1 counts otherwise.
pub const NOTE_COUNT: Note = Note::new("HL7-0501", "batch trailer counts otherwise than was sent");
/// A segment outside of every message.
pub const NOTE_STRAY: Note = Note::new("HL7-0502", "segment outside of every message of a batch");
/// A header without its trailer.
pub const NOTE_NO_TRAILER: Note = Note::new("HL7-0503", "batch or file header without its trailer");

/// A batch as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The messages in order, each from its MSH to its last terminator.
    pub messages: Vec<&'a str>,
    /// FHS, BHS, BTS and FTS segments in order.
    pub envelope: Vec<Segment<'a>>,
    /// What does not fit together; positions are bytes.
    pub notes: Vec<Note>,
}

/// Cuts a file or block into its messages; one message without an envelope is a batch of one.
///
/// # Errors
/// When it begins with none of MSH, FHS and BHS, names no delimiters, or passes a limit.
pub fn split(text: &str) -> Result<Batch<'_>, ParseError> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(ParseError::TooLong);
    }
    let mut notes = Vec::new();
    let lines: Vec<_> = lines(text, &mut notes)
        .take(SEGMENTS_MAX.saturating_add(1))
        .collect();
    if lines.len() > SEGMENTS_MAX {
        return Err(ParseError::TooManySegments);
    }
    let (first, _) = *lines.first().ok_or(ParseError::NoHeader)?;
    if !HEADERS.iter().any(|header| first.starts_with(header)) {
        return Err(ParseError::NoHeader);
    }
    let separators = Separators::read(first.as_bytes())?;
    let mut cutter = Cutter {
        notes,
        ..Cutter::default()
    };
    for (index, (raw, start)) in lines.into_iter().enumerate() {
        cutter.on_segment(Segment::new(raw, start, index, separators));
    }
    Ok(cutter.finish(text))
}

#[derive(Default)]
struct Cutter<'a> {
    /// Where each message starts and, once known, ends.
    spans: Vec<(usize, Option<usize>)>,
    envelope: Vec<Segment<'a>>,
    notes: Vec<Note>,
    in_batch: usize,
    batches: usize,
    open_batch: bool,
    open_file: bool,
}

impl<'a> Cutter<'a> {
    fn on_segment(&mut self, segment: Segment<'a>) {
        let start = segment.span().start;
        // Read by the first three letters: an MSH may have delimiters of its own.
        match segment.raw().get(..3) {
            Some("MSH") => {
                self.end_message(start);
                self.in_batch = self.in_batch.saturating_add(1);
                self.spans.push((start, None));
            }
            Some(name @ ("FHS" | "BHS" | "BTS" | "FTS")) => {
                self.end_message(start);
                self.on_envelope(name, segment);
            }
            _ if self.spans.last().is_none_or(|(_, end)| end.is_some()) => {
                self.note(NOTE_STRAY, start);
            }
            _ => {}
        }
    }

    fn on_envelope(&mut self, name: &str, segment: Segment<'a>) {
        let start = segment.span().start;
        match name {
            "FHS" => self.open_file = true,
            "BHS" => {
                self.check_closed(start);
                (self.open_batch, self.in_batch) = (true, 0);
                self.batches = self.batches.saturating_add(1);
            }
            "BTS" => {
                self.check_count(segment, self.in_batch);
                (self.open_batch, self.in_batch) = (false, 0);
            }
            _ => {
                self.check_closed(start);
                self.check_count(segment, self.batches);
                self.open_file = false;
            }
        }
        self.envelope.push(segment);
    }

    fn check_closed(&mut self, at: usize) {
        if std::mem::take(&mut self.open_batch) {
            self.note(NOTE_NO_TRAILER, at);
        }
    }

    /// An empty count claims nothing.
    fn check_count(&mut self, trailer: Segment<'a>, counted: usize) {
        let claimed = trailer.field(1).raw();
        if !claimed.is_empty() && claimed.trim().parse() != Ok(counted) {
            self.note(NOTE_COUNT, trailer.span().start);
        }
    }

    fn end_message(&mut self, at: usize) {
        if let Some((_, end @ None)) = self.spans.last_mut() {
            *end = Some(at);
        }
    }

    fn note(&mut self, note: Note, at: usize) {
        self.notes
            .push(note.at(u64::try_from(at).unwrap_or(u64::MAX)));
    }

    fn finish(mut self, text: &'a str) -> Batch<'a> {
        self.end_message(text.len());
        self.check_closed(text.len());
        if self.open_file {
            self.note(NOTE_NO_TRAILER, text.len());
        }
        let cut = |(start, end): &(usize, Option<usize>)| text.get(*start..(*end)?);
        let messages = self.spans.iter().filter_map(cut).collect();
        Batch {
            messages,
            envelope: self.envelope,
            notes: self.notes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, messages: &[&str], codes: &[&str]) {
        let batch = split(text).unwrap();
        assert_eq!(batch.messages, messages, "{text:?}");
        assert_eq!(
            batch.notes.iter().map(|note| note.code).collect::<Vec<_>>(),
            codes,
            "{text:?}"
        );
    }

    const A: &str = "MSH|^~\\&|A\rPID|1\r";
    const B: &str = "MSH$%*!/$B\rOBX$1\r";

    #[test]
    fn a_batch_is_cut_into_its_messages() {
        check(A, &[A], &[]);
        check(&format!("{A}{B}"), &[A, B], &[]);
        check(
            &format!("FHS|^~\\&|F\rBHS|^~\\&|X\r{A}{B}BTS|2\rBHS|^~\\&|Y\r{A}BTS|1|c\rFTS|2\r"),
            &[A, B, A],
            &[],
        );
        check(&format!("BHS|^~\\&|X\r{A}BTS\r"), &[A], &[]);
        check("BHS|^~\\&|X\rBTS|0\r", &[], &[]);
    }

    #[test]
    fn what_does_not_fit_is_noted_and_nothing_is_dropped() {
        check(&format!("BHS|^~\\&|X\r{A}BTS|2\r"), &[A], &["HL7-0501"]);
        check(
            &format!("FHS|^~\\&|X\rBHS|^~\\&|X\r{A}BTS|1\rFTS|3\r"),
            &[A],
            &["HL7-0501"],
        );
        check(
            &format!("BHS|^~\\&|X\rPID|1\r{A}BTS|1\rOBX|1\r"),
            &[A],
            &["HL7-0502", "HL7-0502"],
        );
        check(
            &format!("FHS|^~\\&|X\rBHS|^~\\&|X\r{A}"),
            &[A],
            &["HL7-0503", "HL7-0503"],
        );
        check(
            &format!("BHS|^~\\&|X\r{A}BHS|^~\\&|X\r{A}BTS|1\r"),
            &[A, A],
            &["HL7-0503"],
        );
        let batch = format!("BHS|^~\\&|X\r{A}BTS|1\r");
        let names: Vec<_> = split(&batch)
            .unwrap()
            .envelope
            .iter()
            .map(|s| s.name())
            .collect();
        assert_eq!(names, ["BHS", "BTS"]);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        assert_eq!(split(""), Err(ParseError::NoHeader));
        assert_eq!(split("PID|1\r"), Err(ParseError::NoHeader));
        assert_eq!(split("BHS|\r"), Err(ParseError::BadSeparators));
        let long = format!("BHS|^~\\&|\r{}", "Z\r".repeat(SEGMENTS_MAX));
        assert_eq!(split(&long), Err(ParseError::TooManySegments));
    }
}
