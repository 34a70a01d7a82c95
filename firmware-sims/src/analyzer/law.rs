//! An analyzer by IHE LAW: it asks (LAB-27), is told its work step by step (LAB-28), and says what
//! became of each step (LAB-29).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use labwire_protocols::wire::SendOutcome;

use super::{
    Language, Meaning, Nature, OrderAction, Ordered, Run, Setup, Status, Words,
    hl7::{control_prefix, message},
    measure::{Measured, range},
};
use crate::{
    persona::{LawShape, Persona, Scale},
    text::{component, escape, field, fill, is_named, segment, segments},
};

/// IHE LAW as an analyzer speaks it.
#[derive(Debug)]
pub(super) struct LawLanguage {
    shape: LawShape,
    persona: &'static Persona,
    prefix: String,
    /// The zone of its clock, as HL7 writes it.
    zone: String,
    steps: Steps,
}

/// The work order steps that it was told.
#[derive(Debug, Default)]
struct Steps {
    /// The number of each test of each tube.
    numbers: BTreeMap<(String, String), String>,
    /// Those that were measured: too late to cancel.
    measured: BTreeSet<String>,
}

/// One step of an OML^O33.
struct Step<'m> {
    specimen: &'m str,
    control: &'m str,
    /// OBR-2, as sent.
    number: &'m str,
    code: &'m str,
}

impl LawLanguage {
    pub(super) fn new(shape: LawShape, setup: &Setup) -> Self {
        Self {
            shape,
            persona: setup.persona,
            prefix: control_prefix(setup),
            zone: setup.clock.zone().replace(':', ""),
            steps: Steps::default(),
        }
    }

    fn header(&self, words: &Words<'_>, kind: &str, transaction: &str, is_reply: bool) -> String {
        let control = format!("{}{}", self.prefix, words.message);
        // NE and AL stand in what begins an exchange and in no reply (LAW, MSH-15 and MSH-16).
        let acks = if is_reply { "|" } else { "NE|AL" };
        fill(
            r"MSH|^~\&|{application}|{facility}|LABWIRE||{time}{zone}||{kind}|{control}|P|2.5.1|||{acks}||UNICODE UTF-8|||{transaction}^IHE",
            &[
                ("application", self.shape.application),
                ("facility", self.shape.facility),
                ("time", words.time),
                ("zone", &self.zone),
                ("kind", kind),
                ("control", &control),
                ("acks", acks),
                ("transaction", transaction),
            ],
        )
    }

    fn specimen(&self, words: &Words<'_>) -> Vec<String> {
        let id = escape(words.specimen);
        let role = if words.is_control {
            "Q^Control specimen"
        } else {
            "P^Patient"
        };
        let mut segments = vec![
            format!("SPM|1|{id}||SER^Serum^HL70487|||||||{role}^HL70369"),
            format!("SAC|||{id}|||||||{}", place(words)),
        ];
        if words.is_control {
            let coding = self.shape.coding;
            segments.push(format!(
                "INV|{id}^^{coding}|OK^^HL70383|CO^^HL70384|||||||||20271231||||LOT77"
            ));
        }
        segments
    }

    /// OBR, ORC, OBX and what stands behind it, of one test.
    fn step(&mut self, words: &Words<'_>, run: &Run, measured: &Measured) -> Vec<String> {
        let key = (words.specimen.to_owned(), measured.analyte.code.to_owned());
        let number = self.steps.numbers.get(&key).cloned();
        if let Some(number) = &number {
            self.steps.measured.insert(number.clone());
        }
        // A step that the analyzer made itself has the null value for a number.
        let number = number.map_or_else(|| "\"\"".to_owned(), |number| escape(&number));
        let status = if measured.nature == Nature::Preliminary {
            "IP"
        } else {
            "CM"
        };
        let code = measured.analyte.code;
        let service = format!("{code}^{code}^{}", self.shape.coding);
        vec![
            format!("OBR||{number}||{service}"),
            format!("ORC|SC|{number}|||{status}"),
            self.observation(&service, run, measured),
            format!("TCD|{service}"),
            format!(
                "INV|R-{code}^^{}|OK^^HL70383|SR^^HL70384|||||||||20271231||||LOT123",
                self.shape.coding
            ),
        ]
    }

    fn observation(&self, service: &str, run: &Run, measured: &Measured) -> String {
        let kind = match measured.analyte.scale {
            Scale::Number { .. } if measured.text.parse::<f64>().is_ok() => "NM",
            Scale::Number { .. } | Scale::Choice(_) => "ST",
        };
        let status = match measured.status {
            Status::Final => "F",
            // R: of a run that is not the one to be reported.
            Status::Preliminary => "R",
            Status::CannotBeDone => "X",
        };
        let number = if measured.nature == Nature::Rerun {
            "2"
        } else {
            "1"
        };
        let flag = match measured.flag {
            "" => String::new(),
            flag => format!("{flag}^^HL70078"),
        };
        fill(
            "OBX|1|{kind}|{service}|{run}|{value}|{unit}^^UCUM|{range}|{flag}|||{status}|||||OP1||{model}^SIM~SN0042^SIM|{completed}",
            &[
                ("kind", kind),
                ("service", service),
                ("run", number),
                ("value", &escape(&measured.text)),
                ("unit", measured.analyte.unit),
                ("range", &range(measured.analyte, "-")),
                ("flag", &flag),
                ("status", status),
                ("model", self.shape.application),
                ("completed", &run.completed),
            ],
        )
    }

    fn can_measure(&self, code: &str) -> bool {
        self.persona.analyte(code).is_some()
    }

    /// What is said of a step: ORC-1 and ORC-5 of ORL^O34.
    fn word_of(&self, step: &Step<'_>) -> [&'static str; 2] {
        let number = plain(step.number);
        match step.control {
            "NW" if self.can_measure(step.code) => ["OK", "SC"],
            "CA" if self.steps.measured.contains(&number) => ["UC", "CM"],
            "CA" => ["CR", "CA"],
            _ => ["UA", "CA"],
        }
    }

    fn take(&mut self, step: &Step<'_>) -> Option<Ordered> {
        let (specimen, code) = (step.specimen.to_owned(), step.code.to_owned());
        let key = (specimen.clone(), code.clone());
        let number = plain(step.number);
        let action = match self.word_of(step)[0] {
            "OK" => {
                self.steps.numbers.insert(key, number);
                OrderAction::Measure
            }
            "CR" => {
                self.steps.numbers.retain(|_, known| *known != number);
                OrderAction::Cancel
            }
            _ => return None,
        };
        Some(Ordered {
            specimen,
            tests: vec![code],
            action,
        })
    }
}

/// Carrier and position: five places a rack.
fn place(words: &Words<'_>) -> String {
    let (rack, position) = (1 + words.sequence / 5, 1 + words.sequence % 5);
    format!("S{rack}|{position}")
}

/// A number of the manager without its escapes.
fn plain(number: &str) -> String {
    crate::text::unescape(component(number, 1))
}

/// SPM-2.1.1, or the container where there is no specimen.
fn specimen_of<'m>(spm: &'m str, sac: Option<&'m str>) -> &'m str {
    let id = field(spm, 2).split(['&', '^']).next().unwrap_or("");
    match sac {
        Some(sac) if id.is_empty() => component(field(sac, 3), 1),
        _ => id,
    }
}

/// The steps of an OML^O33, and the tubes of which it says that there is no work.
fn steps(text: &str) -> (Vec<Step<'_>>, Vec<&str>) {
    let (mut steps, mut idle) = (Vec::new(), Vec::new());
    let (mut spm, mut sac, mut control) = ("", None, "");
    for segment in segments(text) {
        if is_named(segment, "SPM") {
            (spm, sac) = (segment, None);
        } else if is_named(segment, "SAC") {
            sac = Some(segment);
        } else if is_named(segment, "ORC") {
            control = field(segment, 1);
            if control == "DC" {
                idle.push(specimen_of(spm, sac));
            }
        } else if is_named(segment, "OBR") {
            steps.push(Step {
                specimen: specimen_of(spm, sac),
                control,
                number: field(segment, 2),
                code: component(field(segment, 4), 1),
            });
        }
    }
    (steps, idle)
}

fn kind(text: &str) -> &str {
    segment(text, "MSH").map_or("", |msh| component(field(msh, 9), 1))
}

impl Language for LawLanguage {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        message(&[
            self.header(words, "QBP^Q11^QBP_Q11", "LAB-27", false),
            format!(
                "QPD|WOS^Work Order Step^IHELAW|T{}|{}|{}",
                words.message,
                escape(words.specimen),
                place(words)
            ),
            "RCP|I||R^Real Time^HL70394".to_owned(),
        ])
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let mut all = vec![self.header(words, "OUL^R22^OUL_R22", "LAB-29", false)];
        all.extend(self.specimen(words));
        for measured in &run.results {
            all.extend(self.step(words, run, measured));
        }
        message(&all)
    }

    fn orders(&mut self, received: &[u8]) -> Option<Vec<Ordered>> {
        let text = std::str::from_utf8(received).ok()?;
        if kind(text) != "OML" {
            return None;
        }
        let (steps, idle) = steps(text);
        let nothing = |specimen: &str| Ordered {
            specimen: specimen.to_owned(),
            tests: Vec::new(),
            action: OrderAction::Unknown,
        };
        let mut orders: Vec<Ordered> = idle.into_iter().map(nothing).collect();
        for step in &steps {
            // A tube of which every step is refused is answered all the same.
            let order = self.take(step).unwrap_or_else(|| nothing(step.specimen));
            match orders.last_mut() {
                Some(last) if last.specimen == order.specimen && last.action == order.action => {
                    last.tests.extend(order.tests);
                }
                _ => orders.push(order),
            }
        }
        Some(orders)
    }

    fn reply(&mut self, words: &Words<'_>, received: &[u8]) -> Option<Bytes> {
        let text = std::str::from_utf8(received).ok()?;
        if kind(text) != "OML" {
            return None;
        }
        let asked = field(segment(text, "MSH")?, 10);
        let mut all = vec![
            self.header(words, "ORL^O34^ORL_O42", "LAB-28", true),
            format!("MSA|AA|{asked}"),
        ];
        let (steps, _) = steps(text);
        let mut answers = steps.iter();
        let has_work = segments(text).any(|segment| is_named(segment, "OBR"));
        for part in segments(text).filter(|_| has_work) {
            if is_named(part, "SPM") || is_named(part, "SAC") {
                all.push(part.to_owned());
            } else if is_named(part, "OBR")
                && let Some(step) = answers.next()
            {
                let [control, status] = self.word_of(step);
                all.push(format!("ORC|{control}|{}|||{status}", step.number));
            }
        }
        Some(message(&all))
    }

    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        let reply = match outcome {
            SendOutcome::Answered(reply) => reply,
            SendOutcome::Sent => return Meaning::Acknowledged,
            SendOutcome::Failed(_) => return Meaning::Failed,
        };
        let text = std::str::from_utf8(reply).unwrap_or("");
        match segment(text, "MSA").map_or("", |msa| field(msa, 1)) {
            "AA" => Meaning::Acknowledged,
            "" => Meaning::Failed,
            _ => Meaning::Refused,
        }
    }
}
