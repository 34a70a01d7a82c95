//! One result as OBX, with its notes.

use labwire_protocols::hl7::build::{MessageBuilder, Name, SegmentWriter};

use crate::{
    config::choice::Version,
    model::{Observation, Value},
};

use super::{HostSite, render::Told};

/// What a test is called to the host.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// The host's code for the test.
    pub(super) id: String,
    /// Its name.
    pub(super) text: String,
    /// The coding system: local.
    pub(super) system: String,
    /// The code exactly as ordered, already in HL7 form, where the item is this one test.
    pub(super) ordered: Option<[String; 3]>,
    /// LOINC, where the catalogue has it.
    loinc: Option<String>,
}

impl Code {
    pub(super) fn of(site: &HostSite, told: &Told) -> Self {
        let observation = &told.stored.observation;
        let id = observation
            .test
            .clone()
            .unwrap_or_else(|| observation.code.clone());
        let test = site.laboratory.catalogue.as_ref().and_then(|catalogue| {
            catalogue.test(&id).map(|test| {
                let loinc = test.loinc.as_ref().map(|code| code.value.clone());
                (
                    test.his_code(&site.id).to_owned(),
                    test.name.en.clone(),
                    loinc,
                )
            })
        });
        let (id, text, loinc) = test.unwrap_or_else(|| (id.clone(), id, None));
        Self {
            id,
            text,
            system: "L".to_owned(),
            ordered: None,
            loinc,
        }
    }
}

/// Longest ST by HL7 v2.5.1 2.A.74; what is longer is TX.
const ST_CHARS_MAX: usize = 199;

/// OBX-2 and OBX-5.
struct Typed {
    kind: &'static str,
    components: Vec<String>,
    /// The analyzer's own text, where OBX-5 cannot be exactly it.
    note: Option<String>,
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
    let parts: Vec<&str> = typed.components.iter().map(String::as_str).collect();
    let mut obx = SegmentWriter::new(Name::OBX)
        .text(1, &set.to_string())
        .text(2, typed.kind);
    obx = identify(obx, code);
    obx = obx.components(5, &parts);
    obx = match (&observation.ucum, observation.unit.as_str()) {
        (Some(ucum), _) => obx.components(6, &[ucum, "", "UCUM"]),
        (None, "") => obx,
        (None, unit) => obx.components(6, &[unit]),
    };
    obx = obx.text(7, &observation.range);
    for flag in observation.flags.iter().filter(|flag| !flag.is_empty()) {
        obx = obx.repeat(8, &[flag]);
    }
    obx = obx.text(11, if told.is_correction { "C" } else { "F" });
    obx = times(obx, site, told);
    if !observation.operator.is_empty() {
        obx = obx.components(
            16,
            &[observation.operator.split('^').next().unwrap_or_default()],
        );
    }
    if site.version != Version::V231 {
        let instrument = match observation.instrument.as_str() {
            "" => told.stored.line.as_str(),
            name => name,
        };
        obx = obx.components(18, &[instrument]);
    }
    message.push(obx);
    let notes = typed
        .note
        .iter()
        .chain(&observation.comments)
        .filter(|text| !text.is_empty());
    for (index, text) in notes.enumerate() {
        message.push(
            SegmentWriter::new(Name::NTE)
                .text(1, &(index + 1).to_string())
                .text(2, "L")
                .text(3, text),
        );
    }
}

fn identify(obx: SegmentWriter, code: &Code) -> SegmentWriter {
    let loinc = code.loinc.as_deref();
    let rest = |id: &str| {
        if loinc.is_some() {
            id.to_owned()
        } else {
            String::new()
        }
    };
    let system = if loinc.is_some() { "LN" } else { "" };
    match &code.ordered {
        // Encoded already, so it must not be escaped again.
        Some([id, text, kind]) => {
            let plain = SegmentWriter::new(Name::OBX)
                .components(3, &[loinc.unwrap_or_default(), &rest(&code.text), system]);
            let tail = plain.value(3);
            let head = format!("{id}^{text}^{kind}");
            let whole = if tail.is_empty() {
                head.trim_end_matches('^').to_owned()
            } else {
                format!("{head}^{tail}")
            };
            obx.encoded(3, &whole)
        }
        None => obx.components(
            3,
            &[
                &code.id,
                &code.text,
                &code.system,
                loinc.unwrap_or_default(),
                &rest(&code.text),
                system,
            ],
        ),
    }
}

/// OBX-14 with the line's zone; an unusable time is left out and the receipt goes to OBX-19.
fn times(obx: SegmentWriter, site: &HostSite, told: &Told) -> SegmentWriter {
    let completed = told
        .stored
        .observation
        .completed
        .as_ref()
        .and_then(|time| time.utc);
    match completed {
        Some(micros) => obx.encoded(14, &site.laboratory.hl7_time(micros)),
        None if site.version != Version::V231 => {
            obx.encoded(19, &site.laboratory.hl7_time(told.stored.received_at))
        }
        None => obx,
    }
}

fn typed(observation: &Observation, version: Version) -> Typed {
    let plain = |kind, text: &str| Typed {
        kind,
        components: vec![text.to_owned()],
        note: None,
    };
    let sent = observation.text.trim();
    match &observation.value {
        Value::Quantity {
            comparator: None, ..
        } => match sent.contains(',') {
            true => Typed {
                note: Some(sent.to_owned()),
                ..plain("NM", &sent.replace(',', "."))
            },
            false => plain("NM", sent),
        },
        Value::Quantity {
            comparator: Some(comparator),
            ..
        } => {
            let number = sent.trim_start_matches(['<', '>', '=']).trim();
            let note = number.contains(',').then(|| sent.to_owned());
            let components = vec![comparator.as_str().to_owned(), number.replace(',', ".")];
            Typed {
                kind: "SN",
                components,
                note,
            }
        }
        Value::Titre { denominator } => Typed {
            kind: "SN",
            components: vec![
                String::new(),
                "1".into(),
                ":".into(),
                denominator.to_string(),
            ],
            note: None,
        },
        Value::Ratio {
            numerator,
            denominator,
        } => Typed {
            kind: "SN",
            components: vec![
                String::new(),
                numerator.to_string(),
                ":".into(),
                denominator.to_string(),
            ],
            note: None,
        },
        Value::Coded { code } => {
            let is_new = matches!(version, Version::V251 | Version::V26);
            let kind = if is_new { "CWE" } else { "CE" };
            Typed {
                kind,
                components: vec![code.clone(), sent.to_owned(), "L".into()],
                note: None,
            }
        }
        Value::Text { text } if text.chars().count() > ST_CHARS_MAX => plain("TX", text),
        Value::Text { text } => plain("ST", text),
        // A picture's bytes stay in the journal; the host gets the field as it came.
        Value::Image { .. } => plain("ED", sent),
        Value::Absent { .. } => plain("ST", sent),
    }
}
