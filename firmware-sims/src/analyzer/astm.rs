//! Instruments that speak ASTM.

use bytes::Bytes;
use labwire_protocols::astm::link::{Dialect, Durability, FRAME_TEXT_LARGEST};

use super::{
    Instrument, Language, Mark, OrderAction, Ordered, Run, Setup, Status, Words,
    measure::{Measured, range},
};
use crate::{
    persona::{AstmShape, Persona, Shape},
    text::{fill, part},
};

/// A simulated ASTM instrument.
pub type Astm = Instrument<AstmLanguage>;

impl Astm {
    /// An instrument of this persona; `None` if it does not speak ASTM.
    pub fn new(setup: Setup) -> Option<Self> {
        match setup.persona.shape {
            Shape::Astm(shape) => Some(Self::with_language(setup, AstmLanguage::new(shape))),
            Shape::Hl7(_) | Shape::Own(_) => None,
        }
    }
}

/// The link as this persona uses it.
pub fn link_dialect(persona: &Persona) -> Dialect {
    let mut dialect = Dialect {
        // The instrument looks at whole messages; nothing it receives is worth a disk.
        durability: Durability::Message,
        ..Dialect::instrument()
    };
    if let Shape::Astm(shape) = persona.shape
        && !shape.one_record_per_frame
    {
        dialect.one_record_per_frame = false;
        dialect.frame_text_max = FRAME_TEXT_LARGEST;
    }
    dialect
}

/// ASTM as a persona speaks it.
#[derive(Clone, Copy, Debug)]
pub struct AstmLanguage {
    shape: &'static AstmShape,
}

/// The places of a template that are the same in a whole message.
struct Places {
    texts: Vec<(&'static str, String)>,
}

impl Places {
    fn of(shape: &AstmShape, words: &Words<'_>, purpose: &str) -> Self {
        let (action, processing, descriptor) = if words.is_control {
            let control = shape.control;
            (control.action, control.processing, control.descriptor)
        } else {
            (shape.patient_action, "P", "")
        };
        // Ten positions a rack, where nobody said where a tube stands.
        let (rack, position) = match words.place {
            Some(place) => (place.rack.clone(), place.position.clone()),
            None => (
                format!("{:06}", 1 + words.sequence / 10),
                format!("{:02}", 1 + words.sequence % 10),
            ),
        };
        let texts = vec![
            ("id", words.specimen.to_owned()),
            ("id22", format!("{:>22}", words.specimen)),
            ("rack", rack),
            ("pos", position),
            ("seq", words.sequence.to_string()),
            ("message", words.message.to_string()),
            ("time", words.time.to_owned()),
            ("day", words.time.chars().take(8).collect()),
            ("purpose", purpose.to_owned()),
            (
                "attribute",
                if words.is_control { "A" } else { "B" }.to_owned(),
            ),
            ("action", action.to_owned()),
            ("processing", processing.to_owned()),
            ("descriptor", descriptor.to_owned()),
        ];
        Self { texts }
    }

    fn with_run(mut self, shape: &AstmShape, run: &Run) -> Self {
        let tests = run
            .results
            .iter()
            .map(|measured| fill(shape.test, &[("code", measured.analyte.code)]));
        let tests = tests.collect::<Vec<_>>().join(&shape.repeat.to_string());
        self.texts.push(("tests", tests));
        self.texts.push(("started", run.started.clone()));
        self.texts.push(("completed", run.completed.clone()));
        self
    }

    fn fill(&self, template: &str, more: &[(&str, &str)]) -> String {
        let own = self.texts.iter().map(|(name, text)| (*name, text.as_str()));
        let all: Vec<_> = own.chain(more.iter().copied()).collect();
        fill(template, &all)
    }
}

impl AstmLanguage {
    pub(super) const fn new(shape: &'static AstmShape) -> Self {
        Self { shape }
    }

    fn result_records(&self, places: &Places, run: &Run) -> Vec<String> {
        let shape = self.shape;
        let mut records = Vec::new();
        let mut number = 0_usize;
        for measured in &run.results {
            number += 1;
            records.push(self.result(places, measured, number));
            if !shape.comment.is_empty() {
                let alarm = if measured.flag == shape.suspect_flag {
                    "24"
                } else {
                    "0"
                };
                records.push(places.fill(shape.comment, &[("alarm", alarm)]));
            }
        }
        for extra in shape.extras {
            number += 1;
            records.push(places.fill(extra, &[("n", &number.to_string())]));
        }
        records
    }

    fn result(&self, places: &Places, measured: &Measured, number: usize) -> String {
        let status = match measured.status {
            Status::Final if measured.mark == Mark::Corrected => "C",
            Status::Final => "F",
            Status::Preliminary => self.shape.preliminary,
            Status::CannotBeDone => "X",
        };
        let hand = if measured.mark == Mark::Edited {
            "M"
        } else {
            ""
        };
        let donor = if measured.donor.is_empty() {
            String::new()
        } else {
            format!("^{}", measured.donor)
        };
        places.fill(
            self.shape.result,
            &[
                ("n", &number.to_string()),
                ("code", measured.analyte.code),
                ("loinc", measured.analyte.loinc),
                ("value", &measured.text),
                ("unit", measured.analyte.unit),
                ("range", &range(measured.analyte, " to ")),
                ("flag", measured.flag),
                ("status", status),
                ("reaction", if status == "C" { "C" } else { "R" }),
                ("hand", hand),
                ("donor", &donor),
            ],
        )
    }
}

impl Language for AstmLanguage {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        let places = Places::of(self.shape, words, self.shape.purpose_query);
        records(&[
            places.fill(self.shape.header, &[]),
            places.fill(self.shape.query, &[]),
            "L|1|N".to_owned(),
        ])
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let shape = self.shape;
        let places = Places::of(shape, words, shape.purpose_result).with_run(shape, run);
        let mut all = vec![
            places.fill(shape.header, &[]),
            places.fill(shape.patient, &[]),
            places.fill(shape.order, &[]),
        ];
        all.extend(self.result_records(&places, run));
        all.push("L|1|N".to_owned());
        records(&all)
    }

    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        // Only codes and ids are read, so that any 8-bit character set will do.
        let text: String = message.iter().map(|byte| char::from(*byte)).collect();
        let mut signs = text.chars().skip(2);
        let (repeat, component) = (signs.next()?, signs.next()?);
        let orders = text
            .split('\r')
            .filter(|record| record.starts_with(['O', 'o']));
        Some(
            orders
                .map(|record| self.order(record, repeat, component))
                .collect(),
        )
    }
}

impl AstmLanguage {
    /// The codes behind a code in an answer.
    fn measured_for(&self, test: &str) -> Vec<String> {
        let panel = self.shape.panels.iter().find(|(code, _)| *code == test);
        match panel {
            Some((_, codes)) => codes.iter().map(|code| (*code).to_owned()).collect(),
            None => vec![test.to_owned()],
        }
    }

    fn order(&self, record: &str, repeat: char, component: char) -> Ordered {
        let field = |n| part(record, '|', n);
        let tests = field(5)
            .split(repeat)
            .map(|test| part(test, component, self.shape.answer_code));
        let tests: Vec<_> = tests
            .filter(|test| !test.is_empty())
            .flat_map(|test| self.measured_for(test))
            .collect();
        let action = match (field(12), field(26)) {
            ("C", _) => OrderAction::Cancel,
            (_, "Y" | "Z" | "X") => OrderAction::Unknown,
            _ if tests.is_empty() => OrderAction::Unknown,
            _ => OrderAction::Measure,
        };
        Ordered {
            specimen: part(field(3), component, self.shape.answer_id)
                .trim()
                .to_owned(),
            tests,
            action,
        }
    }
}

/// Records, each ended by CR.
fn records(records: &[String]) -> Bytes {
    let mut out = String::new();
    for record in records {
        out.push_str(record);
        out.push('\r');
    }
    Bytes::from(out)
}
