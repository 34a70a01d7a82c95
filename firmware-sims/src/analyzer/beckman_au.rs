//! A Beckman AU: texts of fixed columns. It asks for the order of each tube, and reports in blocks.

use bytes::Bytes;
use labwire_protocols::beckman_au::{Dialect, dialect::Durability};

use super::{Language, Nature, OrderAction, Ordered, Run, Talk, Words, measure::Measured};
use crate::persona::AuShape;

const ETX: char = '\x03';
const ETB: char = '\x17';
/// Columns of rack number, cup, sample type and sample number.
const PLACE: usize = 11;
/// Dummy columns behind the sample id.
const DUMMY: &str = "    ";
/// Columns of an ordered test: its number and its dilution.
const ORDERED: usize = 4;

/// The link as this analyzer uses it.
pub(super) fn dialect(shape: &AuShape) -> Dialect {
    Dialect {
        // The analyzer looks at whole texts; nothing it receives is worth a disk.
        durability: Durability::Message,
        ..Dialect::instrument(shape.model)
    }
}

/// The texts of an AU.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuLanguage {
    shape: AuShape,
}

impl AuLanguage {
    pub(super) const fn new(shape: AuShape) -> Self {
        Self { shape }
    }

    /// Code, unit number, and where the tube stands; ten cups a rack.
    fn place(&self, code: &str, words: &Words<'_>) -> String {
        let rack = 1 + words.sequence / 10 % 9_999;
        let (cup, number) = (1 + words.sequence % 10, words.sequence % 10_000);
        format!("{code}{}{rack:04}{cup:02} {number:04}", self.shape.unit_no)
    }

    fn id(&self, id: &str) -> String {
        let width = self.shape.sample_id;
        if self.shape.is_right {
            format!("{id:>width$}")
        } else {
            format!("{id:<width$}")
        }
    }

    /// What every block begins with, up to its block id.
    fn header(&self, words: &Words<'_>, run: &Run) -> String {
        if words.is_control {
            // The place, no id, a blank and the number of the control.
            let place = self.place("DQ", words);
            return format!("{place}{} {:>3}", self.id(""), words.specimen);
        }
        let is_rerun = run.results.iter().any(|one| one.nature == Nature::Rerun);
        let code = if is_rerun { "DH" } else { "D " };
        format!(
            "{}{}{DUMMY}",
            self.place(code, words),
            self.id(words.specimen)
        )
    }

    fn group(&self, measured: &Measured, is_control: bool) -> String {
        let unit = if is_control { "" } else { self.shape.unit };
        // Normal is no mark.
        let mark = if measured.flag == "N" {
            ""
        } else {
            measured.flag
        };
        let (value, mark) = match measured.text.as_str() {
            "?" | "" => ("", "?"),
            text => (text, mark),
        };
        let (width, marks) = (self.shape.value, self.shape.marks);
        format!(
            "{unit}{}{value:>width$}{mark:<marks$}",
            measured.analyte.code
        )
    }

    /// The groups of a text, cut where a block is full; each block repeats the header.
    fn blocks(&self, header: &str, behind: &str, groups: &[String]) -> String {
        let head = header.chars().count() + 1 + behind.chars().count();
        let columns = groups
            .first()
            .map_or(1, |group| group.chars().count().max(1));
        let room = (self.shape.block.saturating_sub(head) / columns).max(1);
        let mut out = String::new();
        let blocks: Vec<&[String]> = groups.chunks(room).collect();
        for (index, block) in blocks.iter().enumerate() {
            let is_last = index + 1 == blocks.len();
            out.push_str(header);
            let id = if is_last {
                "E".to_owned()
            } else {
                (index % 10).to_string()
            };
            // A text of one block has `E`.
            out.push_str(&id);
            out.push_str(behind);
            out.extend(block.iter().map(String::as_str));
            out.push(if is_last { ETX } else { ETB });
        }
        out
    }

    /// An order in one block: `S`, place, id, dummy, block id, and tests with their dilutions.
    fn order(&self, block: &str) -> Option<Ordered> {
        let code = block.get(..2)?;
        let rest = block.get(2 + PLACE..)?;
        let id = rest.get(..self.shape.sample_id).unwrap_or(rest);
        let specimen = id.trim().to_owned();
        if code == "SE" {
            return Some(Ordered {
                specimen,
                tests: Vec::new(),
                action: OrderAction::Unknown,
            });
        }
        let tests = rest.get(self.shape.sample_id + DUMMY.len() + 1..)?;
        let tests: Vec<char> = tests.chars().collect();
        let tests = tests
            .chunks(ORDERED)
            .map(|test| test.iter().take(3).collect());
        Some(Ordered {
            specimen,
            tests: tests.collect(),
            action: OrderAction::Measure,
        })
    }

    /// A text that says only what it is.
    fn mark(&self, code: &str) -> Vec<Bytes> {
        vec![Bytes::from(format!("{code}{}{ETX}", self.shape.unit_no))]
    }
}

impl Language for AuLanguage {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        let (place, id) = (self.place("R ", words), self.id(words.specimen));
        Bytes::from(format!("{place}{id}{DUMMY}{ETX}"))
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let is_control = words.is_control;
        let groups = run.results.iter();
        let groups: Vec<_> = groups.map(|one| self.group(one, is_control)).collect();
        let behind = if is_control {
            // The unit of a control stands once, before its groups.
            format!("{:<2}", self.shape.unit_no)
        } else {
            " ".repeat(self.shape.patient)
        };
        Bytes::from(self.blocks(&self.header(words, run), &behind, &groups))
    }

    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        let text: String = message.iter().map(|byte| char::from(*byte)).collect();
        if !text.starts_with('S') {
            return None;
        }
        let blocks = text.split([ETX, ETB]).filter(|block| !block.is_empty());
        Some(blocks.filter_map(|block| self.order(block)).collect())
    }

    fn opening(&mut self, talk: Talk, _time: &str) -> Vec<Bytes> {
        self.mark(if talk == Talk::Query { "RB" } else { "DB" })
    }

    fn closing(&mut self, talk: Talk, _time: &str) -> Vec<Bytes> {
        self.mark(if talk == Talk::Query { "RE" } else { "DE" })
    }

    fn can_name(&self, specimen: &str) -> bool {
        specimen.is_ascii() && specimen.len() <= self.shape.sample_id
    }
}
