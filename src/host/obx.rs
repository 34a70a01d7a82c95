//! One result as OBX, with its notes.

use std::str::FromStr as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use labwire_protocols::hl7::build::{MessageBuilder, Name, SegmentWriter};
use rust_decimal::Decimal;

use crate::{
    config::choice::Version,
    image::Picture,
    model::{ImageFormat, Observation, Value},
    settle,
};

use super::{
    HostSite,
    report::{Status, Told},
};

/// What a test is called to the host.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// Id, text and coding system: as ordered, else the host's code for the test.
    own: [String; 3],
    /// LOINC with its text, where the catalogue has it.
    loinc: Option<[String; 2]>,
}

impl Code {
    pub(super) fn of(site: &HostSite, told: &Told, ordered: Option<[String; 3]>) -> Self {
        let observation = &told.stored.observation;
        let id = observation.test.as_ref().unwrap_or(&observation.code);
        let catalogue = site.laboratory.catalogue.as_ref();
        let test = catalogue.and_then(|catalogue| catalogue.test(id));
        let name = test.map_or(id.as_str(), |test| &test.name.en);
        let local = || {
            let code = test.map_or(id.as_str(), |test| test.his_code(&site.id));
            [code, name, "L"].map(str::to_owned)
        };
        let loinc = test.and_then(|test| test.loinc.as_ref());
        Self {
            own: ordered.unwrap_or_else(local),
            loinc: loinc.map(|code| [code.value.clone(), name.to_owned()]),
        }
    }

    /// Id, text, coding system.
    pub(super) fn own(&self) -> [&str; 3] {
        let [id, text, system] = &self.own;
        [id, text, system]
    }

    /// The LOINC code, where the catalogue has it.
    pub(super) fn loinc(&self) -> Option<&str> {
        self.loinc.as_ref().map(|[code, _]| code.as_str())
    }

    fn all(&self) -> [&str; 6] {
        let [id, text, system] = self.own();
        match &self.loinc {
            Some([code, name]) => [id, text, system, code, name, "LN"],
            None => [id, text, system, "", "", ""],
        }
    }
}

/// Longest ST by HL7 v2.5.1 2.A.74; what is longer is TX.
const ST_CHARS_MAX: usize = 199;

/// Longest NM by HL7 v2.5.1 2.A.46.
const NM_CHARS_MAX: usize = 16;

/// OBX-2 and OBX-5.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) kind: &'static str,
    pub(super) components: Vec<String>,
    /// The analyzer's own text, where OBX-5 cannot be exactly it.
    pub(super) note: Option<String>,
}

/// Appends OBX and its NTE segments.
pub(super) fn push(
    message: &mut MessageBuilder,
    site: &HostSite,
    set: usize,
    told: &Told,
    code: &Code,
) {
    let observation = &told.stored.observation;
    let typed = typed(observation, site.version);
    let (flags, other_flags) = flags(observation, site.version);
    let mut obx = SegmentWriter::new(Name::OBX)
        .text(1, &set.to_string())
        .components(3, &code.all());
    let mut notes = Vec::new();
    if told.status == Status::Impossible {
        // No value was obtained, so none stands there; what the device sent instead is a note.
        notes.extend(Some(observation.text.trim().to_owned()));
        obx = obx.text(2, "ST");
    } else {
        let parts: Vec<&str> = typed.components.iter().map(String::as_str).collect();
        obx = obx.text(2, typed.kind).components(5, &parts);
        notes.extend(typed.note);
    }
    let sub_id = match (&observation.about, site.version) {
        (Some(about), _) => about.as_str(),
        (None, Version::V231) => "1",
        (None, _) => "",
    };
    obx = obx.text(4, sub_id);
    obx = match (&observation.ucum, observation.unit.as_str()) {
        (Some(ucum), _) => obx.components(6, &[ucum, "", "UCUM"]),
        (None, "") => obx,
        (None, unit) => obx.components(6, &[unit]),
    };
    obx = obx.text(7, &observation.range);
    for flag in flags {
        obx = obx.repeat(8, &[flag]);
    }
    obx = obx.text(11, told.status.code());
    obx = times(obx, site, told);
    if !observation.operator.is_empty() {
        let operator = observation.operator.split('^').next();
        obx = obx.components(16, &[operator.unwrap_or_default()]);
    }
    message.push(instrument(obx, site, told));
    if !other_flags.is_empty() {
        notes.push(format!("Flags: {}", other_flags.join(" ")));
    }
    notes.extend(observation.comments.iter().cloned());
    let notes = notes.iter().filter(|text| !text.is_empty());
    for (index, text) in notes.enumerate() {
        message.push(
            SegmentWriter::new(Name::NTE)
                .text(1, &(index + 1).to_string())
                .text(2, "L")
                .text(3, text),
        );
    }
}

/// Appends a picture as encapsulated data (HL7 v2.5.1 2.A.24): source application, type of data
/// (table 0191), subtype (table 0291, by its name in IANA's list where that has none), encoding
/// (table 0299), data. OBX-4 counts the pictures of one order.
pub(super) fn push_picture(
    message: &mut MessageBuilder,
    site: &HostSite,
    set: usize,
    (number, picture): (usize, &Picture),
) {
    let format = ImageFormat::from_media_type(&picture.media_type);
    let (kind, subtype) = match format {
        Some(ImageFormat::Png) => ("IM", "PNG"),
        Some(ImageFormat::Jpeg) => ("IM", "JPEG"),
        Some(ImageFormat::Gif) => ("IM", "GIF"),
        Some(ImageFormat::Bmp) => ("IM", "BMP"),
        None => ("AP", "Octet-stream"),
    };
    let data = BASE64_STANDARD.encode(&picture.bytes);
    let obx = SegmentWriter::new(Name::OBX)
        .text(1, &set.to_string())
        .text(2, "ED")
        .components(3, &[&picture.code, &picture.code, "L"])
        .text(4, &number.to_string())
        .components(5, &[&picture.line, kind, subtype, "Base64", &data])
        .text(11, Status::Final.code());
    message.push(match site.version {
        Version::V231 => obx,
        Version::V24 | Version::V251 | Version::V26 => obx.components(18, &[&picture.line]),
    });
}

/// Table 0078.
const FLAGS: [&str; 18] = [
    "L", "H", "LL", "HH", "<", ">", "N", "A", "AA", "U", "D", "B", "W", "S", "R", "I", "MS", "VS",
];

/// Flags that OBX-8 may hold, and the device's own, which are told in a note.
fn flags(observation: &Observation, version: Version) -> (Vec<&str>, Vec<&str>) {
    let all = observation.flags.iter().map(String::as_str);
    let (mut known, mut other): (Vec<&str>, Vec<&str>) = all
        .filter(|flag| !flag.is_empty())
        .partition(|flag| FLAGS.contains(flag));
    // Version 2.4 alone has no repeats here.
    if version == Version::V24 && known.len() > 1 {
        other.extend(known.drain(1..));
    }
    (known, other)
}

/// OBX-18: the instrument by its name in the site's file, then the module as it calls itself.
fn instrument(obx: SegmentWriter, site: &HostSite, told: &Told) -> SegmentWriter {
    if site.version == Version::V231 {
        return obx;
    }
    let line = told.stored.line.as_str();
    let module = told.stored.observation.instrument.as_str();
    let obx = obx.components(18, &[line]);
    if module.is_empty() || module == line {
        obx
    } else {
        obx.repeat(18, &[module])
    }
}

/// OBX-14 with its zone; an unusable time is left out and the receipt goes to OBX-19.
fn times(obx: SegmentWriter, site: &HostSite, told: &Told) -> SegmentWriter {
    let received = told.stored.received_at;
    match completed(told) {
        Some(micros) => obx.encoded(14, &site.laboratory.hl7_time(micros)),
        // OBX ends with 17 in 2.3.1.
        None if site.version == Version::V231 => obx,
        None => obx.encoded(19, &site.laboratory.hl7_time(received)),
    }
}

/// When the measurement was completed, where that can be told.
pub(super) fn completed(told: &Told) -> Option<i64> {
    let completed = told.stored.observation.completed.as_ref();
    let is_usable = settle::is_time_usable(completed, told.stored.received_at);
    completed.and_then(|time| time.utc).filter(|_| is_usable)
}

/// The type and the components of a value. Whatever cannot be said exactly in its own type is said
/// as text, exactly.
pub(super) fn typed(observation: &Observation, version: Version) -> Typed {
    let sent = observation.text.as_str();
    match &observation.value {
        Value::Quantity { comparator, number } => {
            let sign = comparator.map_or("", crate::model::Comparator::as_str);
            quantity(sent, sign, *number).unwrap_or_else(|| text(sent))
        }
        Value::Titre { denominator } => {
            ratio(sent, Decimal::ONE, *denominator).unwrap_or_else(|| text(sent))
        }
        Value::Ratio {
            numerator,
            denominator,
        } => ratio(sent, *numerator, *denominator).unwrap_or_else(|| text(sent)),
        Value::Coded { code } => {
            let is_new = version == Version::V251 || version == Version::V26;
            Typed {
                kind: if is_new { "CWE" } else { "CE" },
                components: vec![code.clone(), sent.to_owned(), "L".into()],
                note: None,
            }
        }
        Value::Text { text: plain } => text(plain),
        Value::Image { .. } => picture(sent),
        Value::Absent { .. } => text(sent),
    }
}

fn text(text: &str) -> Typed {
    // What escaping makes of it counts: receivers measure before they unescape.
    let written = SegmentWriter::new(Name::OBX).text(5, text);
    let is_long = written.value(5).chars().count() > ST_CHARS_MAX;
    Typed {
        kind: if is_long { "TX" } else { "ST" },
        components: vec![text.to_owned()],
        note: None,
    }
}

/// `None` when the text is not exactly this comparator and this number.
fn quantity(sent: &str, sign: &str, expected: Decimal) -> Option<Typed> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ',');
    // Around the number stand the comparator, the carets of SN, and padding that was declared.
    let number = sent.trim_matches(|c: char| !is_part(c));
    let (written, note) = plain_number(number, expected)?;
    if sign.is_empty() {
        return Some(Typed {
            kind: "NM",
            components: vec![written],
            note,
        });
    }
    Some(Typed {
        kind: "SN",
        components: vec![sign.to_owned(), written],
        note: note.map(|_| sent.trim().to_owned()),
    })
}

/// A number as NM allows it: the analyzer's own characters, but for a decimal comma, which becomes
/// a point; then the own characters are given too.
fn plain_number(number: &str, expected: Decimal) -> Option<(String, Option<String>)> {
    let written = number.replacen(',', ".", 1);
    let digits = written.strip_prefix(['+', '-']).unwrap_or(&written);
    let is_plain = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.matches('.').count() <= 1;
    let value = Decimal::from_str(written.trim_start_matches('+')).ok();
    if !is_plain || value != Some(expected) || written.len() > NM_CHARS_MAX {
        return None;
    }
    let note = (written != number).then(|| number.to_owned());
    Some((written, note))
}

fn ratio(sent: &str, first: Decimal, second: Decimal) -> Option<Typed> {
    let (left, right) = sent.split_once(':')?;
    let bare = |side: &str, expected| {
        let side = side.trim_matches(|c: char| c == '^' || c.is_whitespace());
        plain_number(side, expected).filter(|(_, note)| note.is_none())
    };
    let ((left, _), (right, _)) = (bare(left, first)?, bare(right, second)?);
    Some(Typed {
        kind: "SN",
        components: vec![String::new(), left, ":".into(), right],
        note: None,
    })
}

/// A picture as it came: source, type, subtype, encoding, data.
fn picture(sent: &str) -> Typed {
    let parts: Vec<String> = sent.split('^').map(str::to_owned).collect();
    if parts.len() == ED_COMPONENTS {
        Typed {
            kind: "ED",
            components: parts,
            note: None,
        }
    } else {
        text("a picture that Labwire keeps: see the journal of the instrument")
    }
}

/// Components of ED.
const ED_COMPONENTS: usize = 5;
