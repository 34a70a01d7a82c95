//! Orders for a device: the answer to its query, an unasked download, a cancel.

mod astm;
mod bci;
mod beckman_au;
pub(super) mod dimension;
mod hl7;
mod law;

use std::collections::BTreeMap;

use labwire_protocols::{
    astm::record::{Delimiters, escape_into},
    charset::Charset,
    dimension::{
        Dialect,
        message::{Message, Verdict, read},
    },
    hl7::{Separators, escape},
};
use thiserror::Error;

use super::{AnswerForm, AnswerRules, LineProfile, Template, Wire};
use crate::model::{Priority, Private, Query, QueryAction, QuerySubject, Sex};

/// One tube's order, in the device's own test codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderForDevice {
    /// The id on the tube.
    pub specimen: String,
    /// Instrument codes, see [`LineProfile::codes_of`]; none is "no order".
    pub tests: Vec<String>,
    /// The id that the profile's comparison will get back.
    pub patient_id: Private<String>,
    /// Family name.
    pub family: Private<String>,
    /// Given and middle names.
    pub given: Private<String>,
    /// `YYYYMMDD`.
    pub birth: Private<String>,
    /// Sex.
    pub sex: Option<Sex>,
    /// How urgent.
    pub priority: Priority,
    /// When collected, `YYYYMMDDHHMMSS` in the line's zone.
    pub collected: String,
    /// HL7 table 0487 or the site's own code; the profile translates it.
    pub specimen_type: String,
    /// Placer order number.
    pub placer: String,
    /// Rack, where the host assigns one.
    pub rack: String,
    /// Position in it.
    pub position: String,
    /// What is wanted of these tests.
    pub action: OrderAction,
    /// IHE LAW: the number of each test's work order step, in the order of the tests; where there
    /// is none, a new one is made of the control id.
    pub numbers: Vec<String>,
}

/// What is wanted of the tests of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderAction {
    /// A new request.
    #[default]
    New,
    /// More tests on a tube that the device has.
    Add,
    /// Take them back.
    Cancel,
}

/// What only the moment knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `YYYYMMDDHHMMSS` in the line's zone.
    pub now: String,
    /// How far that zone is from UTC, `+0700`.
    pub offset: String,
    /// A message control id that was never used on this line.
    pub control_id: String,
}

/// Why nothing was written. No variant carries patient data or the id itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The profile says nothing about orders, or not about this kind.
    #[error("PROF-0301 write an order: profile {profile} has no form for it")]
    NoForm {
        /// The profile.
        profile: String,
    },
    /// A shortened id would be another tube's.
    #[error(
        "PROF-0302 write an order: the specimen id has {length} characters, the device takes {max}"
    )]
    IdTooLong {
        /// Its length.
        length: usize,
        /// What the device takes.
        max: usize,
    },
    /// The device's character set does not hold a text that must not be changed.
    #[error("PROF-0303 write {what}: a character is not in {charset}")]
    Unencodable {
        /// Which slot.
        what: String,
        /// The character set.
        charset: &'static str,
    },
    /// An order without tests that is no answer.
    #[error("PROF-0304 write an order: it names no test")]
    NoTest,
    /// A cancel or an add for a device that knows no such thing.
    #[error("PROF-0305 write an order: profile {profile} knows no cancel")]
    NoCancel {
        /// The profile.
        profile: String,
    },
    /// The answer repeats parts of the query's message, and that is not an HL7 query.
    #[error("PROF-0307 answer a query: its message is not one that the profile's form answers")]
    NoQuery,
    /// The message would not be valid.
    #[error("PROF-0308 write an order: the message would not be valid")]
    Unwritable,
    /// A field does not fit its columns.
    #[error("PROF-0309 write an order: {why}")]
    DoesNotFit {
        /// The wire's own code and words, with the field's name and lengths alone.
        why: String,
    },
    /// A step that the device was not told of has no number to take it back by.
    #[error("PROF-0310 write a cancel: the device was given no number for a test of it")]
    NoNumber,
    /// Our own delimiters cannot be used.
    #[error("PROF-0306 write an order: delimiters of profile {profile} are unusable")]
    Delimiters {
        /// The profile.
        profile: String,
    },
}

/// Answers a query: every tube that was asked for gets its order, or the profile's "no order". The
/// payloads are whole messages without frames, to be sent in this order. None at all: the profile
/// wants silence, or the query was withdrawn.
///
/// # Errors
/// See [`AnswerError`]; then nothing may be sent.
pub fn answer(
    line: &LineProfile,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let rules = rules(line)?;
    if query.action == QueryAction::Cancel {
        return Ok(Vec::new());
    }
    check_ids(rules, orders)?;
    match rules.form {
        AnswerForm::Records => astm::answer(line, rules, query, orders, stamp),
        AnswerForm::OrrO02 | AnswerForm::QckDsr => hl7::answer(line, rules, query, orders, stamp),
        AnswerForm::BeckmanAu => {
            let Wire::BeckmanAu(dialect) = &line.profile.wire else {
                return Err(no_form(line));
            };
            beckman_au::answer(line, rules, dialect, query, orders, stamp)
        }
        AnswerForm::Dimension => {
            let dialect = dimension_of(line)?;
            dimension::answer(line, rules, dialect, query, orders, stamp)
        }
        AnswerForm::Law => law::answer(line, rules, query, orders, stamp),
        // Such a device asks nothing.
        AnswerForm::Bci => Err(no_form(line)),
    }
}

/// Orders that the device did not ask for.
///
/// # Errors
/// See [`AnswerError`]; also when the device takes no such orders.
pub fn download(
    line: &LineProfile,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let rules = rules(line)?;
    if !rules.download.broadcast {
        return Err(no_form(line));
    }
    unasked(line, rules, orders, stamp)
}

fn unasked(
    line: &LineProfile,
    rules: &AnswerRules,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    check_ids(rules, orders)?;
    match rules.form {
        AnswerForm::Records => astm::download(line, rules, orders, stamp),
        AnswerForm::Dimension => {
            dimension::download(line, rules, dimension_of(line)?, orders, stamp)
        }
        AnswerForm::Law => law::download(line, rules, orders, stamp),
        AnswerForm::Bci => {
            let Wire::Bci(wire) = &line.profile.wire else {
                return Err(no_form(line));
            };
            bci::download(line, rules, &wire.dialect, orders, stamp)
        }
        AnswerForm::OrrO02 | AnswerForm::QckDsr | AnswerForm::BeckmanAu => Err(no_form(line)),
    }
}

fn dimension_of(line: &LineProfile) -> Result<&Dialect, AnswerError> {
    let Wire::Dimension(dialect) = &line.profile.wire else {
        return Err(no_form(line));
    };
    Ok(dialect)
}

/// Takes orders back.
///
/// # Errors
/// See [`AnswerError`]; also when the device cannot be told.
pub fn cancel(
    line: &LineProfile,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let rules = rules(line)?;
    if rules.download.cancel.is_none() {
        return Err(AnswerError::NoCancel {
            profile: line.profile.name.clone(),
        });
    }
    let cancels = orders.iter().cloned().map(|order| OrderForDevice {
        action: OrderAction::Cancel,
        ..order
    });
    unasked(line, rules, &cancels.collect::<Vec<_>>(), stamp)
}

/// What a device said of an order that it was sent, where its wire has such words: why it refused it.
pub fn refusal_of(line: &LineProfile, reply: &[u8]) -> Option<String> {
    let Wire::Dimension(dialect) = &line.profile.wire else {
        return None;
    };
    match read(reply, &dialect.layout) {
        Ok((Message::Acceptance(word), _)) if word.verdict == Verdict::Accepted => None,
        Ok((Message::Acceptance(word), _)) => {
            // A number; anything else may be anything, and this goes to the log.
            let reason = word.reason.unpadded();
            let digits = reason.iter().take(4).copied().map(char::from);
            Some(match reason.iter().all(u8::is_ascii_digit) {
                true => format!(
                    "the device refused it, reason {}",
                    digits.collect::<String>()
                ),
                false => "the device refused it".to_owned(),
            })
        }
        _ => Some("the device answered something that is no acceptance".to_owned()),
    }
}

fn rules(line: &LineProfile) -> Result<&AnswerRules, AnswerError> {
    line.profile.answer.as_ref().ok_or_else(|| no_form(line))
}

fn no_form(line: &LineProfile) -> AnswerError {
    AnswerError::NoForm {
        profile: line.profile.name.clone(),
    }
}

fn check_ids(rules: &AnswerRules, orders: &[OrderForDevice]) -> Result<(), AnswerError> {
    let max = rules.max_id_length;
    let lengths = orders.iter().map(|order| order.specimen.chars().count());
    match lengths.max() {
        Some(length) if length > max => Err(AnswerError::IdTooLong { length, max }),
        _ => Ok(()),
    }
}

/// The tubes of a query, and those that only its answer names (everything open, a range).
fn tubes<'q>(query: &'q Query, orders: &'q [OrderForDevice]) -> Vec<(usize, &'q str)> {
    match &query.subject {
        QuerySubject::Specimens(tubes) => tubes
            .iter()
            .map(|tube| tube.id.as_str())
            .enumerate()
            .collect(),
        QuerySubject::Range(..) | QuerySubject::All => {
            let mut ids: Vec<&str> = Vec::new();
            for order in orders {
                if !ids.contains(&order.specimen.as_str()) {
                    ids.push(&order.specimen);
                }
            }
            ids.into_iter().enumerate().collect()
        }
    }
}

/// What fills the slots of one record.
struct Slots<'a> {
    line: &'a LineProfile,
    rules: &'a AnswerRules,
    stamp: &'a Stamp,
    /// The tube and its order, if there is one.
    specimen: &'a str,
    order: Option<&'a OrderForDevice>,
    /// Which tube of the query it is.
    index: usize,
    echo: &'a [(String, String)],
    /// The field of tests, written out.
    tests: Vec<u8>,
    /// ASTM; none in HL7, whose builder escapes by itself.
    delimiters: Option<Delimiters>,
}

impl Slots<'_> {
    fn render(&self, template: &Template) -> Result<Vec<u8>, AnswerError> {
        template.render(|slot| self.fill(slot))
    }

    fn fill(&self, slot: &str) -> Result<Vec<u8>, AnswerError> {
        if slot == "tests" {
            return Ok(self.tests.clone());
        }
        // What the device sent is given back as it was, delimiters included.
        if let Some(name) = slot.strip_prefix("echo.") {
            return self.encode(slot, self.echoed(name).unwrap_or_default(), false);
        }
        let is_name = matches!(slot, "patient.family" | "patient.given");
        let text = self.text(slot);
        let Some(delimiters) = self.delimiters else {
            return self.encode(slot, &escape::encode(&text, Separators::STANDARD), is_name);
        };
        let encoded = self.encode(slot, &text, is_name)?;
        let mut escaped = Vec::with_capacity(encoded.len());
        escape_into(&encoded, delimiters, &mut escaped);
        Ok(escaped)
    }

    fn text(&self, slot: &str) -> String {
        let translate = |table: &BTreeMap<String, String>, code: &str| {
            table.get(code).cloned().unwrap_or_else(|| code.to_owned())
        };
        let of = |text: fn(&OrderForDevice) -> &str| self.order.map_or("", text).to_owned();
        match slot {
            "specimen" => self.specimen.to_owned(),
            "now" => self.stamp.now.clone(),
            "control" => self.stamp.control_id.clone(),
            "sender" => self.line.settings.line.clone(),
            "collected" => of(|order| &order.collected),
            "placer" => of(|order| &order.placer),
            "rack" => of(|order| &order.rack),
            "position" => of(|order| &order.position),
            "patient.id" => of(|order| order.patient_id.expose()),
            "patient.family" => of(|order| order.family.expose()),
            "patient.given" => of(|order| order.given.expose()),
            "patient.birth" => of(|order| order.birth.expose()),
            "patient.sex" => of(|order| match order.sex {
                Some(Sex::M) => "M",
                Some(Sex::F) => "F",
                Some(Sex::O) | None => "U",
            }),
            "type" => translate(
                &self.rules.specimen_types,
                &of(|order| &order.specimen_type),
            ),
            "priority" => {
                let priority = self.order.map(|order| order.priority).unwrap_or_default();
                translate(&self.rules.priorities, priority.code())
            }
            "action" => {
                let action = self.order.map(|order| order.action).unwrap_or_default();
                let (word, usual) = match action {
                    OrderAction::New => ("new", "N"),
                    OrderAction::Add => ("add", "A"),
                    OrderAction::Cancel => ("cancel", "C"),
                };
                self.rules
                    .actions
                    .get(word)
                    .cloned()
                    .unwrap_or_else(|| usual.to_owned())
            }
            _ => String::new(),
        }
    }

    /// The echo of this tube, or of the whole query.
    fn echoed(&self, name: &str) -> Option<&str> {
        let named = |wanted: &str| self.echo.iter().find(|(own, _)| own == wanted);
        let own = if self.index == 0 {
            None
        } else {
            named(&format!("{name}[{}]", self.index + 1))
        };
        own.or_else(|| named(name)).map(|(_, text)| text.as_str())
    }

    fn encode(&self, slot: &str, text: &str, is_name: bool) -> Result<Vec<u8>, AnswerError> {
        let charset = self.charset();
        if is_name && self.rules_transliterate() {
            return Ok(charset.encode_or_transliterate(text).0);
        }
        charset.encode(text).map_err(|_| AnswerError::Unencodable {
            what: slot.to_owned(),
            charset: charset.label(),
        })
    }

    fn charset(&self) -> Charset {
        self.line.text().charset
    }

    fn rules_transliterate(&self) -> bool {
        self.line.profile.text.transliterate
    }
}
