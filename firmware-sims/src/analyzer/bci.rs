//! A bioMérieux VIDAS on BCI: it takes orders, a message for each test, and reports the same way.

use bytes::Bytes;

use super::{Language, Nature, OrderAction, Ordered, Run, Words};
use crate::persona::BciShape;

/// What stands before a record; this device has a field in each.
const RS: char = '\x1e';
/// Longest sample id.
const ID_MAX: usize = 12;

/// The messages of a VIDAS.
#[derive(Clone, Copy, Debug)]
pub(super) struct BciLanguage {
    shape: BciShape,
}

impl BciLanguage {
    pub(super) const fn new(shape: BciShape) -> Self {
        Self { shape }
    }
}

/// Fields, a record each.
fn message(fields: &[(&str, &str)]) -> Bytes {
    let mut out = String::new();
    for (code, value) in fields {
        out.push(RS);
        out.push_str(code);
        out.push_str(value);
        out.push('|');
    }
    // The units are written in ISO 8859-1, of which ASCII is a part.
    Bytes::from(out)
}

/// The value of the first field with this code.
fn value<'m>(message: &'m str, code: &str) -> Option<&'m str> {
    let mut fields = message.split('|');
    fields.find_map(|field| field.strip_prefix(code))
}

impl Language for BciLanguage {
    /// It asks nothing.
    fn query(&mut self, _words: &Words<'_>) -> Bytes {
        Bytes::new()
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let part = |from: usize, to: usize| run.completed.get(from..to).unwrap_or("00");
        let time = format!("{}:{}", part(8, 10), part(10, 12));
        let date = format!("{}/{}/{}", part(4, 6), part(6, 8), part(2, 4));
        let mut fields = vec![("mt", "rsl"), ("pi", ""), ("pn", ""), ("si", "")];
        fields.push(("ci", words.specimen));
        let quantities = run.results.iter().map(|measured| {
            if measured.text.is_empty() {
                return String::new();
            }
            format!("{} {}", measured.text, measured.analyte.unit)
        });
        let quantities: Vec<String> = quantities.collect();
        for (measured, quantity) in run.results.iter().zip(&quantities) {
            let is_doubted = measured.nature == Nature::Suspect;
            fields.extend([
                ("rt", measured.analyte.code),
                ("rn", measured.analyte.test),
                ("tt", time.as_str()),
                ("td", date.as_str()),
                ("qn", quantity.as_str()),
                ("nc", if is_doubted { measured.flag } else { "valid" }),
            ]);
        }
        message(&fields)
    }

    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        let text = message.iter().map(|byte| char::from(*byte));
        let text: String = text.filter(|sign| *sign != RS).collect();
        if value(&text, "mt") != Some("mpr") {
            return None;
        }
        Some(vec![Ordered {
            specimen: value(&text, "ci")?.trim().to_owned(),
            tests: vec![value(&text, "rt")?.trim().to_owned()],
            action: OrderAction::Measure,
        }])
    }

    fn can_name(&self, specimen: &str) -> bool {
        specimen.is_ascii() && specimen.len() <= ID_MAX
    }

    fn is_one_a_message(&self) -> bool {
        true
    }

    fn written(&self, value: &str) -> String {
        if self.shape.has_comma {
            value.replace('.', ",")
        } else {
            value.to_owned()
        }
    }
}
