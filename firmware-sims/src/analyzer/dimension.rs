//! A Siemens Dimension: it polls, asks for the order of a sample, and says whether it takes an order.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use labwire_protocols::wire::SendOutcome;

use super::{Language, Meaning, OrderAction, Ordered, Run, Words};
use crate::persona::{DimensionShape, Persona};

const FS: char = '\x1c';
/// Longest sample id.
const ID_MAX: usize = 12;
/// Where the tests of an order begin.
const TESTS: usize = 13;
/// Sample type and priority of a control.
const CONTROL: [&str; 2] = ["5", "3"];
/// The reason why an order is refused: a test that the analyzer does not have.
const UNKNOWN_TEST: &str = "5";

/// The messages of a Dimension.
#[derive(Debug)]
pub(super) struct DimensionLanguage {
    shape: DimensionShape,
    persona: &'static Persona,
    /// What orders said of samples: name, type, location and priority come back with results.
    samples: BTreeMap<String, Sample>,
    has_polled: bool,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    kind: String,
    location: String,
    priority: String,
}

impl DimensionLanguage {
    pub(super) const fn new(shape: DimensionShape, persona: &'static Persona) -> Self {
        Self {
            shape,
            persona,
            samples: BTreeMap::new(),
            has_polled: false,
        }
    }

    fn sample(&self, words: &Words<'_>) -> Sample {
        let known = self.samples.get(words.specimen).cloned();
        let [kind, priority] = if words.is_control {
            CONTROL
        } else {
            ["1", "0"]
        };
        known.filter(|_| !words.is_control).unwrap_or(Sample {
            name: String::new(),
            kind: kind.to_owned(),
            location: String::new(),
            priority: priority.to_owned(),
        })
    }

    /// Whether every test of an order can be measured.
    fn takes(&self, order: &[&str]) -> bool {
        let tests = order.get(TESTS..).unwrap_or_default();
        tests
            .iter()
            .all(|test| self.persona.analyte(test).is_some())
    }
}

/// Fields, each ended by FS.
fn fields(fields: &[&str]) -> Bytes {
    let mut out = String::new();
    for field in fields {
        out.push_str(field);
        out.push(FS);
    }
    Bytes::from(out)
}

fn split(message: &str) -> Vec<&str> {
    let fields = message.strip_suffix(FS).unwrap_or(message);
    fields.split(FS).collect()
}

fn text(message: &[u8]) -> String {
    message.iter().map(|byte| char::from(*byte)).collect()
}

/// `YYYYMMDDHHMMSS` as a Dimension has it: `SSMMHHDDMMYY`.
fn turned(time: &str) -> String {
    let part = |from: usize| time.get(from..from + 2).unwrap_or("00");
    [12, 10, 8, 6, 4, 2].map(part).concat()
}

impl Language for DimensionLanguage {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        fields(&["I", words.specimen])
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let sample = self.sample(words);
        let completed = turned(&run.completed);
        let count = run.results.len().to_string();
        let carrier = if words.is_control { "0" } else { "*" };
        let mut all = vec![
            "R",
            carrier,
            &sample.name,
            words.specimen,
            &sample.kind,
            &sample.location,
            &sample.priority,
            &completed,
            "1",
            "1",
            &count,
        ];
        for measured in &run.results {
            // An error beside a value doubts it; without one it says why there is none.
            let error = match (measured.text.is_empty(), measured.flag) {
                (true, _) => "10",
                (false, "N" | "L" | "H") => "",
                (false, flag) => flag,
            };
            all.extend([
                measured.analyte.code,
                &measured.text,
                measured.analyte.unit,
                error,
            ]);
        }
        fields(&all)
    }

    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        let message = text(message);
        let order = split(&message);
        let field = |at: usize| order.get(at).copied().unwrap_or("").trim();
        match field(0) {
            "N" => return Some(Vec::new()),
            "D" => {}
            _ => return None,
        }
        if !self.takes(&order) {
            return Some(Vec::new());
        }
        let specimen = field(5).to_owned();
        let sample = Sample {
            name: field(4).to_owned(),
            kind: field(6).to_owned(),
            location: field(7).to_owned(),
            priority: field(8).to_owned(),
        };
        self.samples.insert(specimen.clone(), sample);
        let tests = order.get(TESTS..).unwrap_or_default();
        Some(vec![Ordered {
            specimen,
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            action: match field(3) {
                "D" => OrderAction::Cancel,
                _ => OrderAction::Measure,
            },
        }])
    }

    fn word(&mut self, message: &[u8]) -> Option<Bytes> {
        let message = text(message);
        let order = split(&message);
        let is_order = order.first() == Some(&"D");
        let word: &[&str] = if self.takes(&order) {
            &["M", "A", "", "1", "4"]
        } else {
            &["M", "R", UNKNOWN_TEST]
        };
        is_order.then(|| fields(word))
    }

    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        match outcome {
            SendOutcome::Sent => Meaning::Acknowledged,
            SendOutcome::Answered(word) if text(word).starts_with("M\x1cA\x1c") => {
                Meaning::Acknowledged
            }
            SendOutcome::Answered(_) => Meaning::Refused,
            SendOutcome::Failed(_) => Meaning::Failed,
        }
    }

    fn on_open(&mut self) {
        self.has_polled = false;
    }

    fn polls_every(&self) -> Option<Duration> {
        Some(self.shape.polls_every)
    }

    fn poll(&mut self) -> Option<Bytes> {
        let first = if std::mem::replace(&mut self.has_polled, true) {
            "0"
        } else {
            "1"
        };
        Some(fields(&["P", self.shape.name, first, "1", "0"]))
    }

    fn can_name(&self, specimen: &str) -> bool {
        specimen.is_ascii() && specimen.len() <= ID_MAX
    }
}
