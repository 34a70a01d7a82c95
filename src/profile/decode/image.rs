//! Pictures: in the message, as HL7 ED or as text in base64, or in a file that the message names.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Decoder, Entry};
use crate::{
    config::choice::Unmapped,
    model::{
        DeviceEvent, IMAGE_BYTES_MAX, ImageBytes, ImageFault, ImageSeen, ImageSource, Item,
        file_name,
    },
    profile::{
        FieldPath, ImageRule,
        definition::ImagePlace,
        fields::trim,
        rows::{Row, is_undecodable, show},
    },
};

/// Pictures of one message; a blood count has some 60 with all its scattergrams.
const IMAGES_MAX: usize = 256;

impl<'a> Decoder<'a> {
    /// The result row in force, if it is a picture: by the profile, or because OBX-2 says so and
    /// nobody maps its code to a test.
    pub(super) fn image(&mut self, code: &str, row: &Row<'_>) -> Option<Entry<'a>> {
        let line = self.line;
        let mut rules = line.profile.images.iter();
        let rule = rules.find(|rule| self.is_image(rule, code));
        let (declared, source) = match rule {
            Some(rule) => (rule.media_type.clone(), self.placed(rule, row)),
            None if self.is_document(code, row) => encapsulated(row),
            None => return None,
        };
        self.images += 1;
        if self.images > IMAGES_MAX {
            let text = format!("{code}: more than {IMAGES_MAX} pictures in one message");
            return Some(self.entry_of(Item::Device(DeviceEvent {
                code: "image".to_owned(),
                text,
                specimen: self.specimen_id(),
                span: row.span.clone(),
            })));
        }
        Some(
            self.entry_of(Item::Image(Box::new(ImageSeen {
                kind: self.shared.kind,
                specimen: self.shared.specimen.clone(),
                code: code.to_owned(),
                text: show(
                    line.profile
                        .result
                        .text
                        .as_ref()
                        .map_or("", |path| row.get(path)),
                ),
                declared,
                source,
                span: row.span.clone(),
            }))),
        )
    }

    fn entry_of(&self, item: Item) -> Entry<'a> {
        Entry {
            item,
            group: self.group.number,
            taints: None,
            edits: None,
            rule: None,
            unit: None,
        }
    }

    fn is_image(&self, rule: &ImageRule, code: &str) -> bool {
        let by_code = rule.code.as_ref();
        by_code.is_none_or(|pattern| pattern.is_match(code))
            && (rule.when.is_empty() || self.context.any(&rule.when))
    }

    /// Encapsulated data (HL7 v2.5.1 2.A.24) that no site made a test of: a report as a document
    /// may be one, and is told as it came.
    fn is_document(&self, code: &str, row: &Row<'_>) -> bool {
        if !row.is("OBX") || row.field(2) != "ED" {
            return false;
        }
        let line = self.line;
        let is_mapped = line.test(code, line.rule(code, &[])).is_some();
        let is_passed =
            line.settings().unmapped == Unmapped::Pass && !line.settings().tests.contains_key(code);
        !is_mapped || is_passed
    }

    /// What a rule of the profile finds.
    fn placed(&self, rule: &ImageRule, row: &Row<'_>) -> ImageSource {
        let text = |path: &FieldPath| plain(row, row.get(path));
        match &rule.place {
            ImagePlace::File(path) => {
                let sent = text(path);
                match file_name(&sent) {
                    Some(name) => ImageSource::File(name.to_owned()),
                    None if trim(&sent, " ").is_empty() => {
                        ImageSource::Unreadable(ImageFault::NoName)
                    }
                    None => ImageSource::Unreadable(ImageFault::BadName),
                }
            }
            ImagePlace::Data(path) => decoded("Base64", &text(path)),
        }
    }
}

/// OBX-5 of type ED: type, subtype, encoding, data.
fn encapsulated(row: &Row<'_>) -> (String, ImageSource) {
    let component = |n: usize| plain(row, row.component(5, n));
    let (kind, subtype) = (component(2), component(3));
    let declared = match (kind.is_empty(), subtype.is_empty()) {
        (_, true) => show(&kind).to_lowercase(),
        (true, false) => show(&subtype).to_lowercase(),
        (false, false) => show(&format!("{kind}/{subtype}")).to_lowercase(),
    };
    (short(declared), decoded(&component(4), &component(5)))
}

/// Longest media type that is kept; it is told and compared with nothing.
const DECLARED_CHARS_MAX: usize = 80;

fn short(text: String) -> String {
    if text.chars().count() <= DECLARED_CHARS_MAX {
        return text;
    }
    text.chars().take(DECLARED_CHARS_MAX).collect()
}

fn plain<'t>(row: &Row<'_>, raw: &'t str) -> Cow<'t, str> {
    row.plain(raw, &mut Vec::new())
}

/// The bytes of a text, by its encoding (HL7 table 0299).
fn decoded(encoding: &str, text: &str) -> ImageSource {
    // Some senders break the lines of their base64; nothing else is forgiven.
    let is_digit = |byte: &u8| !byte.is_ascii_whitespace();
    let count = text.bytes().filter(is_digit).count();
    let encoding = encoding.trim().to_ascii_lowercase();
    let (is_hex, bytes_max) = match encoding.as_str() {
        "base64" => (false, count.saturating_mul(3) / 4),
        "hex" => (true, count / 2),
        "" => return ImageSource::Unreadable(ImageFault::NoEncoding),
        _ => return ImageSource::Unreadable(ImageFault::OtherEncoding),
    };
    if count == 0 {
        return ImageSource::Unreadable(ImageFault::NoData);
    }
    if bytes_max > IMAGE_BYTES_MAX {
        return ImageSource::Unreadable(ImageFault::TooLarge);
    }
    let packed: Vec<u8> = text.bytes().filter(is_digit).collect();
    let bytes = if is_undecodable(text) {
        None
    } else if is_hex {
        hex(&packed)
    } else {
        BASE64.decode(&packed).ok()
    };
    match bytes {
        Some(bytes) => ImageSource::Bytes(ImageBytes::new(bytes)),
        None => ImageSource::Unreadable(ImageFault::Damaged),
    }
}

/// RFC 4648 section 4; some senders leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(value(*high)? * 16 + value(*low)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}
