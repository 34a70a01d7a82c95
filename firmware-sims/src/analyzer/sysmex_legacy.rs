//! An older Sysmex: one line of fixed columns for each tube, and no questions.

use bytes::Bytes;

use super::{Language, Nature, Ordered, Run, Words, measure::Measured};
use crate::persona::{Persona, SysmexColumn};

/// Columns of the sample id, which stands at their right end.
const ID: usize = 12;
/// Digits of a number.
const DIGITS: usize = 4;

/// The line of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct SysmexLanguage {
    columns: &'static [SysmexColumn],
    persona: &'static Persona,
}

impl SysmexLanguage {
    pub(super) const fn new(columns: &'static [SysmexColumn], persona: &'static Persona) -> Self {
        Self { columns, persona }
    }

    /// Four digits and a flag, without the point.
    fn cell(column: &SysmexColumn, run: &Run) -> String {
        let found = run
            .results
            .iter()
            .find(|one| one.analyte.code == column.code);
        match found {
            Some(measured) => format!("{}{}", digits(measured), flag(measured)),
            None if column.digits.is_empty() => "    0".to_owned(),
            None => format!("{}0", column.digits),
        }
    }
}

fn digits(measured: &Measured) -> String {
    let digits = measured.text.replace('.', "");
    format!("{digits:0>DIGITS$}")
}

/// 0: nothing; 1: doubted; 3: no number.
fn flag(measured: &Measured) -> char {
    match measured.nature {
        Nature::Suspect => '1',
        Nature::Absent | Nature::Error => '3',
        Nature::Ordinary | Nature::Preliminary | Nature::Rerun | Nature::Control => '0',
    }
}

impl Language for SysmexLanguage {
    /// It asks nothing.
    fn query(&mut self, _words: &Words<'_>) -> Bytes {
        Bytes::new()
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let code = if words.is_control { "D1C" } else { "D1U" };
        let day = run.completed.get(2..8).unwrap_or("000000");
        // Analysis 1, the patient's distribution flags, and RDW as a CV.
        let mut line = format!("{code}{day}1{:>ID$}000000C", words.specimen);
        let cells = self.columns.iter().map(|column| Self::cell(column, run));
        line.extend(cells);
        Bytes::from(line)
    }

    /// It takes no orders.
    fn orders(&mut self, _message: &[u8]) -> Option<Vec<Ordered>> {
        None
    }

    fn can_name(&self, specimen: &str) -> bool {
        specimen.is_ascii() && specimen.len() <= ID
    }

    /// It counts everything, whatever was asked for.
    fn measured(&self, _codes: Vec<String>) -> Vec<String> {
        self.persona.default_codes().map(str::to_owned).collect()
    }
}
