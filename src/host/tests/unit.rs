//! OBX-5: every character that the analyzer sent, in the type that fits.

use labwire_protocols::hl7::{
    Message,
    build::{Header, MessageBuilder, Name, SegmentWriter},
};
use proptest::prelude::*;

use super::*;
use crate::{config::choice::Version, host::obx::typed};

/// OBX-2, OBX-5 as it reads on the wire, and the note.
fn written(one: &Observation, version: Version) -> (String, String, String) {
    let typed = typed(one, version);
    let parts: Vec<&str> = typed.components.iter().map(String::as_str).collect();
    let obx = SegmentWriter::new(Name::OBX).components(5, &parts);
    (
        typed.kind.to_owned(),
        obx.value(5).to_owned(),
        typed.note.unwrap_or_default(),
    )
}

/// An observation, OBX-2, OBX-5, and what the note says.
type Case = (Observation, &'static str, String, &'static str);

#[track_caller]
fn check(cases: Vec<Case>) {
    for (one, kind, value, note) in cases {
        let found = written(&one, Version::V251);
        let expected = (kind.to_owned(), value, note.to_owned());
        assert_eq!(found, expected, "{}", one.text);
    }
}

#[test]
fn a_number_is_nm_or_sn_and_whatever_is_not_exactly_it_is_text() {
    use Comparator::{GreaterOrEqual, Less};
    let number = |text: &str, number: &str, kind, value: &str, note| -> Case {
        let (comparator, number) = (None, number.parse().expect("a number"));
        let one = observation("X", text, Value::Quantity { comparator, number });
        (one, kind, value.to_owned(), note)
    };
    let beyond = |text: &str, sign, number: &str, value: &str, note| -> Case {
        let (comparator, number) = (Some(sign), number.parse().expect("a number"));
        let one = observation("X", text, Value::Quantity { comparator, number });
        (one, "SN", value.to_owned(), note)
    };
    let long = "00000000000000005";
    check(vec![
        number("5.40", "5.40", "NM", "5.40", ""),
        number("  5.40 ", "5.40", "NM", "5.40", ""),
        number("-0.5", "-0.5", "NM", "-0.5", ""),
        number("+3", "3", "NM", "+3", ""),
        number("5,40", "5.40", "NM", "5.40", "5,40"),
        number("^5.40", "5.40", "NM", "5.40", ""),
        number("5.4e1", "54", "ST", "5.4e1", ""),
        number("1,234.5", "1234.5", "ST", "1,234.5", ""),
        number(long, "5", "ST", long, ""),
        beyond("<0.30", Less, "0.30", "<^0.30", ""),
        beyond("< 0,30", Less, "0.30", "<^0.30", "< 0,30"),
        beyond(">=100", GreaterOrEqual, "100", ">=^100", ""),
        beyond("<^0.30", Less, "0.30", "<^0.30", ""),
    ]);
}

#[test]
fn a_titre_and_a_ratio_are_sn_where_they_are_written_so() {
    let titre = |text: &str, kind, value: &str| -> Case {
        let denominator = Decimal::from(128);
        let one = observation("X", text, Value::Titre { denominator });
        (one, kind, value.to_owned(), "")
    };
    let (numerator, denominator) = (Decimal::from(3), Decimal::from(4));
    let ratio = Value::Ratio {
        numerator,
        denominator,
    };
    check(vec![
        titre("1:128", "SN", "^1^:^128"),
        titre("^1^:^128", "SN", "^1^:^128"),
        titre("1/128", "ST", "1/128"),
        (
            observation("X", "3 : 4", ratio),
            "SN",
            "^3^:^4".to_owned(),
            "",
        ),
    ]);
}

#[test]
fn words_codes_pictures_and_marks_have_their_types() {
    let text = |text: &str, kind, value: String| -> Case { (words("X", text), kind, value, "") };
    let picture = |text: &str, kind, value: &str| -> Case {
        let media_type = "image/bmp".to_owned();
        let at = (0, 4);
        let one = observation("X", text, Value::Image { media_type, at });
        (one, kind, value.to_owned(), "")
    };
    let coded = || {
        let code = "POS".to_owned();
        observation("X", "Dương tính", Value::Coded { code })
    };
    let why = crate::model::Absent::Mark;
    let absent = observation("X", "----", Value::Absent { why });
    let (long, over) = ("x".repeat(199), "x".repeat(200));
    let kept = "a picture that Labwire keeps: see the journal of the instrument";
    check(vec![
        text("a^b|c", "ST", r"a\S\b\F\c".to_owned()),
        text("+++", "ST", "+++".to_owned()),
        text(&long, "ST", long.clone()),
        text(&over, "TX", over.clone()),
        text(&"|".repeat(67), "TX", r"\F\".repeat(67)),
        (coded(), "CWE", "POS^Dương tính^L".to_owned(), ""),
        picture("^Image^BMP^Base64^Qk0=", "ED", "^Image^BMP^Base64^Qk0="),
        picture("Qk0=", "ST", kept),
        (absent, "ST", "----".to_owned(), ""),
    ]);
    assert_eq!(written(&coded(), Version::V24).0, "CE");
}

proptest! {
    /// What a receiver decodes is what the analyzer sent, whatever delimiters are in it.
    #[test]
    fn a_text_survives_to_the_character(text in r"\PC{1,300}", tail in r"[|^~\\&#\\XF.0-9 ]{0,20}") {
        let text = format!("{text}{tail}");
        let typed = typed(&words("X", &text), Version::V251);
        let parts: Vec<&str> = typed.components.iter().map(String::as_str).collect();
        let mut message = MessageBuilder::new(&Header::default());
        message.push(SegmentWriter::new(Name::OBX).text(2, typed.kind).components(5, &parts));
        let written = message.finish().expect("a message");
        let (message, notes) = Message::parse(&written).expect("a message");
        prop_assert!(notes.is_empty());
        let obx = message.first("OBX").expect("an OBX");
        let found = obx.field(5).component(1).text();
        prop_assert_eq!(found.as_ref(), text.as_str());
        prop_assert_eq!(obx.n(), 5);
    }

    /// A number goes out in the analyzer's own digits.
    #[test]
    fn a_number_keeps_its_digits(number in r"-?[0-9]{1,7}(\.[0-9]{1,5})?", sign in r"(|<|>|<=|>=)") {
        let comparator = match sign.as_str() {
            "<" => Some(Comparator::Less),
            ">" => Some(Comparator::Greater),
            "<=" => Some(Comparator::LessOrEqual),
            ">=" => Some(Comparator::GreaterOrEqual),
            _ => None,
        };
        let value = Value::Quantity { comparator, number: number.parse().expect("a number") };
        let typed = typed(&observation("X", &format!("{sign}{number}"), value), Version::V251);
        let expected = if comparator.is_some() { vec![sign, number] } else { vec![number] };
        prop_assert_eq!(typed.components, expected);
    }
}
