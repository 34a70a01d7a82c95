//! Instruments that speak HL7 over MLLP.

use bytes::Bytes;
use labwire_protocols::{mllp, wire::SendOutcome};

use super::{
    Instrument, Language, Meaning, OrderAction, Ordered, Run, Setup, Status, Words,
    measure::{Measured, range},
};
use crate::{
    persona::{Hl7Shape, Persona, Scale, Shape},
    text::{component, escape, field, fill, is_named, segment, segments},
};

/// A simulated HL7 instrument.
pub type Hl7 = Instrument<Hl7Language>;

impl Hl7 {
    /// An instrument of this persona; `None` if it does not speak HL7.
    pub fn new(setup: Setup) -> Option<Self> {
        match setup.persona.shape {
            Shape::Hl7(shape) => {
                let language = Hl7Language::new(shape, &setup);
                Some(Self::with_language(setup, language))
            }
            Shape::Astm(_) | Shape::Own(_) => None,
        }
    }
}

/// What its control ids begin with. Two instruments of one model share MSH-3 and MSH-4: the seed tells
/// them apart, and the time of the start one start from the next. MSH-10 has 20 characters.
pub(super) fn control_prefix(setup: &Setup) -> String {
    let time = setup.clock.stamp();
    let since: String = time.chars().skip(4).collect();
    format!("S{}{since}-", setup.seed % 1_000)
}

/// The endpoint as this persona uses it.
pub fn endpoint_config(persona: &Persona) -> mllp::Config {
    mllp::Config {
        reply_timeout: persona.answer_timeout,
        ..mllp::Config::default()
    }
}

/// HL7 as a persona speaks it.
#[derive(Clone, Debug)]
pub struct Hl7Language {
    shape: &'static Hl7Shape,
    persona: &'static Persona,
    prefix: String,
}

impl Hl7Language {
    pub(super) fn new(shape: &'static Hl7Shape, setup: &Setup) -> Self {
        Self {
            shape,
            persona: setup.persona,
            prefix: control_prefix(setup),
        }
    }

    fn header(&self, words: &Words<'_>, kind: &str) -> String {
        let processing = if words.is_control {
            self.shape.control_processing
        } else {
            "P"
        };
        let control = format!("{}{}", self.prefix, words.message);
        fill(
            self.shape.header,
            &[
                ("time", words.time),
                ("kind", kind),
                ("control", &control),
                ("processing", processing),
            ],
        )
    }

    fn result(&self, measured: &Measured, number: usize, completed: &str) -> String {
        let (kind, between) = match measured.analyte.scale {
            // A number type for what is no number would be refused, as a real device avoids.
            Scale::Number { .. } if measured.text.parse::<f64>().is_ok() => ("NM", "-"),
            Scale::Number { .. } | Scale::Choice(_) => ("ST", "-"),
        };
        let status = match measured.status {
            Status::Final => "F",
            Status::Preliminary => "P",
            Status::CannotBeDone => "X",
        };
        fill(
            self.shape.result,
            &[
                ("n", &number.to_string()),
                ("type", kind),
                ("code", measured.analyte.code),
                ("loinc", measured.analyte.loinc),
                ("value", &escape(&measured.text)),
                ("unit", measured.analyte.unit),
                ("range", &range(measured.analyte, between)),
                ("flag", measured.flag),
                ("status", status),
                ("completed", completed),
            ],
        )
    }

    /// The codes that an answer names; the default panel where it names none we know.
    fn codes(&self, message: &str) -> Vec<String> {
        let named = segments(message).filter(|segment| is_named(segment, "OBR"));
        let parts =
            named.flat_map(|obr| [component(field(obr, 4), 1), component(field(obr, 4), 2)]);
        let known = parts.filter(|code| self.persona.analyte(code).is_some());
        let codes: Vec<_> = known.map(str::to_owned).collect();
        if codes.is_empty() {
            self.persona.default_codes().map(str::to_owned).collect()
        } else {
            codes
        }
    }
}

impl Language for Hl7Language {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        let mut all = vec![self.header(words, self.shape.kind_query)];
        let places = [("id", words.specimen)];
        all.extend(
            self.shape
                .query
                .iter()
                .map(|segment| fill(segment, &places)),
        );
        message(&all)
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let (before, after) = if words.is_control {
            (self.shape.before_control, self.shape.after_control)
        } else {
            (self.shape.before, self.shape.after)
        };
        let is_preliminary = run
            .results
            .iter()
            .any(|one| one.status == Status::Preliminary);
        let places = [
            ("id", words.specimen),
            ("report", if is_preliminary { "P" } else { "F" }),
            ("started", run.started.as_str()),
            ("completed", run.completed.as_str()),
        ];
        let mut all = vec![self.header(words, self.shape.kind_result)];
        all.extend(before.iter().map(|segment| fill(segment, &places)));
        for (index, measured) in run.results.iter().enumerate() {
            let number = self.shape.first_set_id.saturating_add(index);
            all.push(self.result(measured, number, &run.completed));
        }
        all.extend(after.iter().map(|segment| fill(segment, &places)));
        message(&all)
    }

    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        let text = std::str::from_utf8(message).ok()?;
        let kind = component(field(segment(text, "MSH")?, 9), 1);
        if !matches!(kind, "ORR" | "OML" | "ORM") {
            return None;
        }
        if segment(text, "MSA").is_some_and(|msa| field(msa, 1) != "AA") {
            return Some(Vec::new());
        }
        let orc = segments(text).find(|segment| is_named(segment, "ORC"))?;
        let specimen = match segment(text, "SPM") {
            Some(spm) => field(spm, 2).split(['&', '^']).next().unwrap_or(""),
            None => component(field(orc, 2), 1),
        };
        let action = match field(orc, 1) {
            "CA" => OrderAction::Cancel,
            _ => OrderAction::Measure,
        };
        Some(vec![Ordered {
            specimen: specimen.to_owned(),
            tests: self.codes(text),
            action,
        }])
    }

    fn reply(&mut self, words: &Words<'_>, received: &[u8]) -> Option<Bytes> {
        let text = std::str::from_utf8(received).ok()?;
        let asked = field(segment(text, "MSH")?, 10);
        let header = self.header(words, self.shape.kind_ack);
        Some(message(&[header, format!("MSA|AA|{asked}")]))
    }

    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        let reply = match outcome {
            SendOutcome::Answered(reply) => reply,
            SendOutcome::Sent => return Meaning::Acknowledged,
            SendOutcome::Failed(_) => return Meaning::Failed,
        };
        let text = std::str::from_utf8(reply).unwrap_or("");
        let kind = segment(text, "MSH").map_or("", |msh| component(field(msh, 9), 1));
        match segment(text, "MSA").map_or("", |msa| field(msa, 1)) {
            "AA" | "CA" if kind == "ORR" => Meaning::Answered(reply.clone()),
            "AA" | "CA" => Meaning::Acknowledged,
            "" => Meaning::Failed,
            _ => Meaning::Refused,
        }
    }
}

/// Segments, each ended by CR.
pub(super) fn message(segments: &[String]) -> Bytes {
    let mut out = String::new();
    for segment in segments {
        out.push_str(segment);
        out.push('\r');
    }
    Bytes::from(out)
}
