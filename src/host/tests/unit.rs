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

#[test]
fn every_kind_of_value_has_its_type() {
    let number = |text: &str, number: &str| {
        let number = number.parse().expect("a number");
        let comparator = None;
        observation("X", text, Value::Quantity { comparator, number })
    };
    let beyond = |text: &str, sign, number: &str| {
        let number = number.parse().expect("a number");
        let comparator = Some(sign);
        observation("X", text, Value::Quantity { comparator, number })
    };
    let titre = |text: &str| {
        let denominator = Decimal::from(128);
        observation("X", text, Value::Titre { denominator })
    };
    let ratio = |text: &str| {
        let (numerator, denominator) = (Decimal::from(3), Decimal::from(4));
        observation(
            "X",
            text,
            Value::Ratio {
                numerator,
                denominator,
            },
        )
    };
    let picture = |text: &str| {
        let media_type = "image/bmp".to_owned();
        observation(
            "X",
            text,
            Value::Image {
                media_type,
                at: (0, 4),
            },
        )
    };
    let coded = |text: &str| {
        let code = "POS".to_owned();
        observation("X", text, Value::Coded { code })
    };
    let long = "x".repeat(199);
    let over = "x".repeat(200);
    let escaped = "|".repeat(67);
    for (one, kind, value, note) in [
        (number("5.40", "5.40"), "NM", "5.40", ""),
        (number("  5.40 ", "5.40"), "NM", "5.40", ""),
        (number("-0.5", "-0.5"), "NM", "-0.5", ""),
        (number("+3", "3"), "NM", "+3", ""),
        (number("5,40", "5.40"), "NM", "5.40", "5,40"),
        (number("^5.40", "5.40"), "NM", "5.40", ""),
        (number("5.4e1", "54"), "ST", "5.4e1", ""),
        (number("1,234.5", "1234.5"), "ST", "1,234.5", ""),
        (
            number("00000000000000005", "5"),
            "ST",
            "00000000000000005",
            "",
        ),
        (
            beyond("<0.30", Comparator::Less, "0.30"),
            "SN",
            "<^0.30",
            "",
        ),
        (
            beyond("< 0,30", Comparator::Less, "0.30"),
            "SN",
            "<^0.30",
            "< 0,30",
        ),
        (
            beyond(">=100", Comparator::GreaterOrEqual, "100"),
            "SN",
            ">=^100",
            "",
        ),
        (
            beyond("<^0.30", Comparator::Less, "0.30"),
            "SN",
            "<^0.30",
            "",
        ),
        (titre("1:128"), "SN", "^1^:^128", ""),
        (titre("^1^:^128"), "SN", "^1^:^128", ""),
        (titre("1/128"), "ST", "1/128", ""),
        (ratio("3 : 4"), "SN", "^3^:^4", ""),
        (coded("Dương tính"), "CWE", "POS^Dương tính^L", ""),
        (words("X", "a^b|c"), "ST", r"a\S\b\F\c", ""),
        (words("X", "+++"), "ST", "+++", ""),
        (words("X", &long), "ST", &long, ""),
        (words("X", &over), "TX", &over, ""),
        (words("X", &escaped), "TX", &r"\F\".repeat(67), ""),
        (
            picture("^Image^BMP^Base64^Qk0="),
            "ED",
            "^Image^BMP^Base64^Qk0=",
            "",
        ),
        (
            picture("Qk0="),
            "ST",
            "a picture that Labwire keeps: see the journal of the instrument",
            "",
        ),
        (
            observation(
                "X",
                "----",
                Value::Absent {
                    why: crate::model::Absent::Mark,
                },
            ),
            "ST",
            "----",
            "",
        ),
    ] {
        let found = written(&one, Version::V251);
        let expected = (kind.to_owned(), value.to_owned(), note.to_owned());
        assert_eq!(found, expected, "{}", one.text);
    }
    assert_eq!(written(&coded("+"), Version::V24).0, "CE");
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
