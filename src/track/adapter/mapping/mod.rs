//! A mapping file: which record of a line means which event, and where tube, module, lane, position
//! and time stand in it. A vendor's specification becomes a file, with its worked examples.
//!
//! Places and rules are those of profiles: `R.4.1`, `OBX-3.1`, `R.3.4 = PRIMARY_T`. A vendor's own
//! records are lines of fields; their fields are `REC-1`, `REC-2` and so on. A place means the last
//! record of its name up to the one that is read.
//!
//! `config/example/line-mapping.toml` shows every key for ASTM, `line-records.toml` beside it for
//! records of a vendor.

mod file;
mod record;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::{civil, tz::TimeZone};
use labwire_protocols::charset::Charset;

pub use self::file::{Example, run_examples};
use self::record::Records;
use super::{Read, Unplaced, at, instant};
use crate::{
    config::choice::{Choice as _, choices},
    profile::{self, FieldPath},
    track::{
        Time, TubeId,
        model::{Condition, Line},
        state::{Event, What},
    },
};

choices! {
    "How the records are written (`records`)."
    Form {
        Astm = "astm", "Records of LIS02-A2.";
        Hl7 = "hl7", "Segments of HL7.";
        Fields = "fields", "Lines of fields between delimiters.";
    } default Astm

    "What a record means (`kind`)."
    Meaning {
        Seen = "seen", "A barcode was read before a module.";
        Started = "started", "A module began with a tube.";
        Finished = "finished", "A module is done with a tube.";
        Left = "left", "A tube left a module.";
        Kept = "kept", "A tube stands in a rack.";
        Lost = "lost", "A tube is missing or cannot be used.";
        Unread = "unread", "A barcode could not be read.";
        Up = "up", "A module works.";
        Jam = "jam", "A module stands still.";
        Full = "full", "A module takes no more tubes.";
        Down = "down", "A module is off.";
        Nothing = "nothing", "The record is known and means nothing here.";
    } default Seen
}

/// A mapping file.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Where it is known from.
    pub source: String,
    /// How the records are written.
    pub form: Form,
    /// The character set of the line.
    pub charset: Charset,
    /// Between the fields of [`Form::Fields`].
    pub delimiter: char,
    /// How times are written, in the words of strftime; `None` is as HL7 and ASTM do.
    pub time_format: Option<String>,
    /// Modules as sent = as in the line's file.
    pub modules: BTreeMap<String, String>,
    /// Lanes as sent = as in the line's file.
    pub lanes: BTreeMap<String, String>,
    /// What means what; of a record the first that fits.
    pub rules: Vec<Rule>,
    /// Worked examples.
    pub examples: Vec<Example>,
}

/// One `[[event]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The record that it is about.
    pub on: String,
    /// Rules of which one must hold; none is always.
    pub when: Vec<profile::Condition>,
    /// What it means.
    pub kind: Meaning,
    /// Where the tube's barcode stands.
    pub tube: Option<FieldPath>,
    /// Where the module is named.
    pub module: Option<FieldPath>,
    /// The module, where the record does not name it.
    pub module_is: String,
    /// Where the lane is named.
    pub lane: Option<FieldPath>,
    /// Where the next module is named.
    pub to: Option<FieldPath>,
    /// Where rack and position stand.
    pub position: Vec<FieldPath>,
    /// Where the time stands; the time of receipt counts where it is missing.
    pub time: Option<FieldPath>,
}

/// What one record says, by the names of the line's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// What it means.
    pub kind: Meaning,
    /// The barcode; empty where there is none.
    pub tube: String,
    /// The module.
    pub module: String,
    /// The lane, or empty.
    pub lane: String,
    /// The next module, or empty.
    pub to: String,
    /// Rack and position with a slash between them, or empty.
    pub position: String,
    /// The time as sent, or empty.
    pub time: String,
}

impl Mapping {
    /// What a message says, record by record; `None` when it cannot be read.
    pub fn mapped(&self, message: &[u8]) -> Option<Vec<Mapped>> {
        let found = self.placed(message)?;
        Some(found.into_iter().map(|(_, mapped)| mapped).collect())
    }

    /// The same, each with the record's number, from 0.
    fn placed(&self, message: &[u8]) -> Option<Vec<(usize, Mapped)>> {
        let mut records = Records::read(message, self)?;
        let mut found = Vec::new();
        let mut number = 0;
        while let Some(name) = records.advance() {
            let rules = self.rules.iter().filter(|rule| rule.on == name);
            let mut fitting = rules.filter(|rule| rule.holds(&records));
            if let Some(rule) = fitting.next().filter(|rule| rule.kind != Meaning::Nothing) {
                found.push((number, self.map(rule, &records)));
            }
            number += 1;
        }
        Some(found)
    }

    fn map(&self, rule: &Rule, records: &Records<'_>) -> Mapped {
        let text = |path: &Option<FieldPath>| {
            path.as_ref()
                .map(|path| records.text(path).into_owned())
                .unwrap_or_default()
        };
        let named = |names: &BTreeMap<String, String>, sent: String| {
            names.get(&sent).cloned().unwrap_or(sent)
        };
        let position: Vec<String> = rule
            .position
            .iter()
            .map(|path| records.text(path).into_owned())
            .filter(|text| !text.is_empty())
            .collect();
        let module = if rule.module_is.is_empty() {
            named(&self.modules, text(&rule.module))
        } else {
            rule.module_is.clone()
        };
        Mapped {
            kind: rule.kind,
            tube: text(&rule.tube),
            module,
            lane: named(&self.lanes, text(&rule.lane)),
            to: named(&self.modules, text(&rule.to)),
            position: position.join("/"),
            time: text(&rule.time),
        }
    }

    /// The events of a message. A time without a zone is of `zone`; one that cannot be read is the
    /// time of receipt.
    pub fn read(&self, message: &[u8], line: &Line, zone: &TimeZone, received: Time) -> Read {
        let mut read = Read::default();
        let Some(mapped) = self.placed(message) else {
            read.unplaced.push(Unplaced::Message);
            return read;
        };
        let rows = record::spans(message);
        for (number, mapped) in mapped {
            let at = self.instant(&mapped.time, zone).unwrap_or(received);
            let span = rows.get(number).cloned().unwrap_or(0..message.len());
            match event(&mapped, line, at) {
                Ok(event) => read.push(event, span),
                Err(unplaced) => read.unplaced.push(unplaced),
            }
        }
        read
    }

    fn instant(&self, time: &str, zone: &TimeZone) -> Option<Time> {
        match &self.time_format {
            None => instant(time, zone),
            Some(format) => at(civil::DateTime::strptime(format, time).ok()?, zone),
        }
    }
}

impl Rule {
    fn holds(&self, records: &Records<'_>) -> bool {
        let mut rules = self.when.iter();
        self.when.is_empty() || rules.any(|rule| rule.holds(|path| records.text(path)))
    }
}

fn event(mapped: &Mapped, line: &Line, at: Time) -> Result<Event, Unplaced> {
    let module = line
        .module_named(&mapped.module)
        .ok_or_else(|| Unplaced::module(&mapped.module))?;
    let lane = line.lane_named(&mapped.lane);
    let what = match mapped.kind {
        Meaning::Seen => What::Seen { lane },
        Meaning::Started => What::Started,
        Meaning::Finished => What::Finished,
        Meaning::Left => What::Left {
            to: line.module_named(&mapped.to),
            lane,
        },
        Meaning::Kept => What::kept(&mapped.position),
        Meaning::Lost => What::Lost,
        Meaning::Unread => return Ok(Event::Unread { module, at }),
        // Told apart before; a record without meaning moves nothing.
        Meaning::Nothing => return Err(Unplaced::Tube),
        Meaning::Up | Meaning::Jam | Meaning::Full | Meaning::Down => {
            let condition = Condition::from_word(mapped.kind.word()).unwrap_or_default();
            return Ok(Event::Module {
                module,
                condition,
                at,
            });
        }
    };
    if mapped.tube.is_empty() {
        // A barcode that was read has letters; a tube without is one that could not be read.
        return if mapped.kind == Meaning::Seen {
            Ok(Event::Unread { module, at })
        } else {
            Err(Unplaced::Tube)
        };
    }
    Ok(Event::Tube {
        tube: TubeId::read(&mapped.tube).ok_or(Unplaced::Tube)?,
        module,
        what,
        at,
    })
}
