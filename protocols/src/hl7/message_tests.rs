use proptest::prelude::*;

use super::*;
use crate::hl7::FieldState;

/// The D.5, E and F messages of the laboratory profiles, one file each, segments ended with LF.
pub(crate) const SAMPLES: &str = include_str!("samples.hl7");

/// All samples, segments ended with CR as on the wire.
pub(crate) fn samples() -> Vec<String> {
    SAMPLES
        .split("\n\n")
        .map(|sample| sample.trim_end().replace('\n', "\r") + "\r")
        .collect()
}

#[track_caller]
fn parse(text: &str) -> (Message<'_>, Vec<&'static str>) {
    let (message, notes) = Message::parse(text).unwrap();
    (message, notes.iter().map(|note| note.code).collect())
}

#[track_caller]
fn check(text: &str, names: &[&str], codes: &[&str]) {
    let (message, notes) = parse(text);
    assert_eq!(
        message
            .segments()
            .iter()
            .map(Segment::name)
            .collect::<Vec<_>>(),
        names,
        "{text:?}"
    );
    assert_eq!(notes, codes, "{text:?}");
}

#[track_caller]
fn at(text: &str, span: Range<usize>) -> &str {
    text.get(span).unwrap()
}

const MSH: &str = r"MSH|^~\&|A";

#[test]
fn segments_after_a_blank_line_are_kept() {
    check(
        &format!("{MSH}\rPID|1\r\rOBR|1\r\r\rOBX|1\r"),
        &["MSH", "PID", "OBR", "OBX"],
        &["HL7-0102"],
    );
}

#[test]
fn segments_after_a_bare_segment_are_kept() {
    check(
        &format!("{MSH}\rDSC\rOBR\rOBX|1\r"),
        &["MSH", "DSC", "OBR", "OBX"],
        &[],
    );
}

#[test]
fn segments_after_one_with_a_bad_name_are_kept_and_so_is_it() {
    check(
        &format!("{MSH}\r OBR|1\rOB|2\rOBXX|3\robx|4\rOBX|5\r"),
        &["MSH", " OBR", "OB", "OBXX", "obx", "OBX"],
        &["HL7-0103", "HL7-0103", "HL7-0103", "HL7-0103"],
    );
    let text = format!("{MSH}\r OBX|1\rOBX|2\r");
    let (message, _) = parse(&text);
    assert_eq!(
        message.bad_segments().map(|s| s.raw()).collect::<Vec<_>>(),
        [" OBX|1"]
    );
    assert_eq!(message.all("OBX").count(), 1);
}

#[test]
fn a_segment_without_a_name_is_kept() {
    check(
        &format!("{MSH}\r|&^|x\r|||\rOBX|1\r"),
        &["MSH", "", "", "OBX"],
        &["HL7-0103"; 2],
    );
}

#[test]
fn line_feeds_end_segments_where_no_carriage_return_does() {
    check(
        &format!("{MSH}\nPID|1\nOBX|1\n"),
        &["MSH", "PID", "OBX"],
        &["HL7-0101"],
    );
    check(
        &format!("{MSH}\r\nPID|1\r\nOBX|1\r\n"),
        &["MSH", "PID", "OBX"],
        &["HL7-0101"],
    );
    check(
        &format!("{MSH}\rPID|1\nOBX|1\r"),
        &["MSH", "PID", "OBX"],
        &["HL7-0101"],
    );
}

#[test]
fn a_line_feed_inside_a_field_cuts_nothing() {
    let text = format!("{MSH}\rNTE|1|L|two\nlines\nhere\rOBX|1\r");
    check(&text, &["MSH", "NTE", "OBX"], &["HL7-0106"]);
    assert_eq!(parse(&text).0.query("NTE-3"), Some("two\nlines\nhere"));
}

#[test]
fn a_missing_last_terminator_and_a_byte_order_mark_are_noted() {
    check(&format!("{MSH}\rPID|1"), &["MSH", "PID"], &["HL7-0107"]);
    check(
        &format!("\u{feff}{MSH}\rPID|1\r"),
        &["MSH", "PID"],
        &["HL7-0105"],
    );
    check(&format!("\r\n{MSH}\r"), &["MSH"], &["HL7-0101", "HL7-0102"]);
    check(&format!("{MSH}\r{MSH}\r"), &["MSH", "MSH"], &["HL7-0108"]);
}

#[test]
fn a_truncation_character_shifts_no_field() {
    let (message, codes) = parse("MSH|^~\\&#|APP|FAC\r");
    assert_eq!(codes, [""; 0]);
    assert_eq!(message.query("MSH-1"), Some("|"));
    assert_eq!(message.query("MSH-2"), Some("^~\\&#"));
    assert_eq!(message.query("MSH-3"), Some("APP"));
    assert_eq!(message.segments()[0].n(), 4);
}

#[test]
fn a_short_msh_2_does_not_turn_the_field_separator_into_a_subcomponent_separator() {
    let (message, codes) = parse("MSH|^~\\|APP|FAC\rPID|1||a&b^c\r");
    assert_eq!(codes, ["HL7-0104"]);
    assert_eq!(message.query("MSH-3"), Some("APP"));
    assert_eq!(message.query("PID-3.1.1"), Some("a&b"));
    assert_eq!(message.locate(26).unwrap().component, Some(1));
}

#[test]
fn a_repeat_gives_its_text_as_sent() {
    let (message, _) = parse("MSH|^~\\&|A\rPID|1||123^^^H~456^^^&x&y\r");
    let field = message.first("PID").unwrap().field(3);
    assert_eq!(
        field.repeats().map(|r| r.raw()).collect::<Vec<_>>(),
        ["123^^^H", "456^^^&x&y"]
    );
    assert_eq!(field.raw(), "123^^^H~456^^^&x&y");
    assert_eq!(message.query("PID-3[2].4.3"), Some("y"));
    assert_eq!(message.query("PID-3[2]"), Some("456^^^&x&y"));
    assert_eq!(message.query("PID-3.1"), Some("123"));
    assert_eq!(message.query("PID-3[3].1"), Some(""));
    assert_eq!(message.query("PID-99"), Some(""));
    assert_eq!(message.query("PV1-2"), None);
}

#[test]
fn encoding_characters_are_no_repeats_and_no_components() {
    let (message, _) = parse(MSH);
    let field = message.segments()[0].field(2);
    assert_eq!(field.repeats().count(), 1);
    assert_eq!(field.component(1).raw(), "^~\\&");
    assert_eq!(field.component(1).subcomponents().count(), 1);
    assert_eq!(field.text(), "^~\\&");
    assert_eq!(message.query("MSH-2.1"), Some("^~\\&"));
}

#[test]
fn empty_null_and_value_are_three_things() {
    let (message, _) = parse("MSH|^~\\&|A\rPID||\"\"|x|a\\T\\b^c\r");
    let pid = message.first("PID").unwrap();
    let states: Vec<_> = (1..=5).map(|n| pid.field(n).state()).collect();
    use FieldState::{Empty, Null, Value};
    assert_eq!(states, [Empty, Null, Value, Value, Empty]);
    assert_eq!(pid.field(2).text(), "");
    assert_eq!(pid.field(4).component(1).text(), "a&b");
    assert_eq!(pid.n(), 4);
}

#[test]
fn other_delimiters_are_obeyed() {
    let (message, _) = parse("MSH$%*!/$APP\rOBX$1$NM$GLU%Glucose$$5|5^5\r");
    assert_eq!(message.query("OBX-3.2"), Some("Glucose"));
    assert_eq!(message.query("OBX-5"), Some("5|5^5"));
}

#[test]
fn spans_point_into_the_text() {
    let text = "MSH|^~\\&|TRẦN\rOBX|1|NM|Ậ\r";
    let (message, _) = parse(text);
    for segment in message.segments() {
        assert_eq!(at(text, segment.span()), segment.raw());
        for field in segment.fields() {
            assert_eq!(at(text, field.span()), field.raw());
        }
    }
}

#[test]
fn a_byte_is_located_down_to_its_subcomponent() {
    let text = "MSH|^~\\&|A\rPID|1||x~12^^^H&u\rPID|2\r OBX|1\r";
    let (message, _) = parse(text);
    let under = |needle: &str| message.locate(text.find(needle).unwrap()).unwrap();
    let u = under("u\r");
    assert_eq!((u.segment, u.field, u.repeat), ("PID", Some(3), Some(2)));
    assert_eq!(
        (u.component, u.subcomponent, at(text, u.span)),
        (Some(4), Some(2), "u")
    );
    assert_eq!(under("2\r").occurrence, 2);
    assert_eq!((under("MSH").field, under("|^").field), (None, Some(1)));
    assert_eq!(
        (under("^~").field, under("&|").component, under("A\r").field),
        (Some(2), None, Some(3))
    );
    assert_eq!(
        (under("12^").component, under("x~").repeat),
        (Some(1), Some(1))
    );
    assert_eq!(
        (under(" OBX").segment_index, under(" OBX").field),
        (3, None)
    );
    assert_eq!(
        message.locate(10),
        None,
        "the terminator belongs to no element"
    );
    assert_eq!(message.locate(usize::MAX), None);
}

#[test]
fn limits_are_refused_by_name() {
    let text = |tail: &str| format!("{MSH}\r{tail}");
    let error = |tail: &str| Message::parse(&text(tail)).unwrap_err();
    assert_eq!(
        error(&"OBX|\r".repeat(SEGMENTS_MAX)),
        ParseError::TooManySegments
    );
    assert_eq!(
        error(&"|".repeat(FIELDS_MAX + 1)),
        ParseError::TooManyFields
    );
    assert_eq!(error(&"x".repeat(MESSAGE_BYTES_MAX)), ParseError::TooLong);
    assert_eq!(Message::parse("").unwrap_err(), ParseError::NoHeader);
    assert_eq!(
        Message::parse("PID|1\rMSH|^~\\&|").unwrap_err(),
        ParseError::NoHeader
    );
    assert_eq!(
        Message::parse("MSH|^~|A").unwrap_err(),
        ParseError::BadSeparators
    );
    assert_eq!(
        Message::parse("MSH").unwrap_err(),
        ParseError::BadSeparators
    );
}

#[test]
fn a_text_of_line_feeds_costs_one_note_a_kind() {
    let text = format!("{MSH}\r{}", "\n".repeat(1_000_000));
    check(&text, &["MSH"], &["HL7-0101", "HL7-0102"]);
    let text = format!("{MSH}\r{}", "x\n".repeat(500_000));
    assert_eq!(parse(&text).1, ["HL7-0106", "HL7-0101", "HL7-0103"]);
}

#[test]
fn every_sample_parses_without_a_note() {
    for text in samples() {
        let (message, notes) = parse(&text);
        assert_eq!(notes, [""; 0], "{text}");
        assert_eq!(message.segments().len(), text.matches('\r').count());
    }
    assert!(samples().len() >= 17);
}

/// Every byte is in a segment, or a terminator, or the byte order mark.
fn nothing_is_lost(text: &str) {
    let Ok((message, _)) = Message::parse(text) else {
        return;
    };
    let mut end = 0;
    for segment in message.segments() {
        let gap = at(text, end..segment.span().start);
        assert!(
            gap.trim_start_matches('\u{feff}')
                .chars()
                .all(|c| c == '\r' || c == '\n'),
            "{gap:?}"
        );
        assert_eq!(at(text, segment.span()), segment.raw());
        let fields: usize = segment.fields().map(|f| f.raw().len()).sum();
        let separators = if segment.is_header() {
            segment.n() - 2
        } else {
            segment.n()
        };
        assert_eq!(
            segment.name().len() + separators + fields,
            segment.raw().len()
        );
        end = segment.span().end;
    }
    assert!(
        at(text, end..text.len())
            .chars()
            .all(|c| c == '\r' || c == '\n')
    );
    for offset in 0..=text.len() {
        let inside = message
            .segments()
            .iter()
            .any(|s| s.span().contains(&offset));
        assert_eq!(message.locate(offset).is_some(), inside, "{offset}");
    }
}

#[test]
fn no_prefix_of_a_sample_loses_a_byte() {
    for text in samples() {
        for (end, _) in text.char_indices() {
            if let Ok((message, _)) = Message::parse(at(&text, 0..end)) {
                let held: usize = message.segments().iter().map(|s| s.raw().len() + 1).sum();
                assert!(held == end || held == end + 1, "{:?}", at(&text, 0..end));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_loses_a_byte(tail in r"([A-Z0-9 ]{0,4}[|^~&\\a\r\n]{0,4}é?){0,20}") {
        nothing_is_lost(&format!("{MSH}{tail}"));
    }

    #[test]
    fn no_text_breaks_the_parser(text in any::<String>(), header in any::<bool>()) {
        let text = if header { format!("{MSH}\r{text}") } else { text };
        nothing_is_lost(&text);
    }
}
