//! Messages as views of their bytes: fields by position, each with its span in the message.
//!
//! Counts in a message must be true: a result that announces four tests and brings three is not
//! read, for there is no telling which field is which. Nothing is trimmed, converted or filled in.

use thiserror::Error;

use super::{
    dialect::{FIELDS_MAX, Layout},
    field::{Field, fields},
    notes,
};
use crate::wire::Note;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// `P`: the analyzer asks whether there is something for it.
    Poll(Poll<'m>),
    /// `N`: the host has nothing.
    NoRequest,
    /// `I`: the analyzer asks for the order of a sample.
    Query(Query<'m>),
    /// `D`: an order, or its cancellation.
    Order(Order<'m>),
    /// `M`: whether an order or a report was accepted.
    Acceptance(Acceptance<'m>),
    /// `R`: results of a sample, a control's among them (see [`Results::control`]).
    Results(Results<'m>),
    /// `C`: a calibration; never a patient's.
    Calibration(Calibration<'m>),
    /// Another letter: the fields as they came.
    Other(Vec<Field<'m>>),
}

/// A poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll<'m> {
    /// The analyzer's name.
    pub instrument: Field<'m>,
    /// `1` on the first poll after a start.
    pub first: Field<'m>,
    /// `1` where it takes orders.
    pub takes_orders: Field<'m>,
    /// `0`.
    pub last: Field<'m>,
}

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'m> {
    /// The sample it is about.
    pub sample_id: Field<'m>,
}

/// What an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `A`.
    Add,
    /// `D`.
    Delete,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'m> {
    /// Sample carrier.
    pub carrier: Field<'m>,
    /// Load list.
    pub load_list: Field<'m>,
    /// Add or delete.
    pub action: Action,
    /// The patient's name.
    pub patient: Field<'m>,
    /// Sample id.
    pub sample_id: Field<'m>,
    /// Sample type.
    pub sample_type: Field<'m>,
    /// Location.
    pub location: Field<'m>,
    /// Priority.
    pub priority: Field<'m>,
    /// Cup position.
    pub cup_position: Field<'m>,
    /// Dilution factor.
    pub dilution: Field<'m>,
    /// Test codes.
    pub tests: Vec<Field<'m>>,
}

/// What was said about an order or a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `A`.
    Accepted,
    /// `R`; the reason says why.
    Rejected,
}

/// Whether an order or a report was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance<'m> {
    /// Accepted or not.
    pub verdict: Verdict,
    /// Why not: a number that the analyzer's manual explains.
    pub reason: Field<'m>,
    /// What follows: the analyzer says where it put the sample.
    pub rest: Vec<Field<'m>>,
}

/// Whether a result is a control's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Neither type nor priority is a control's.
    No,
    /// Both are.
    Yes,
    /// One is: a person must look.
    Doubtful,
}

/// Results of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results<'m> {
    /// `*` or `0`.
    pub carrier: Field<'m>,
    /// The patient's name.
    pub patient: Field<'m>,
    /// Sample id; empty where the sample was typed in by name.
    pub sample_id: Field<'m>,
    /// Sample type: 1 serum, 2 plasma, 3 urine, 4 liquor, from 5 on controls.
    pub sample_type: Field<'m>,
    /// Location.
    pub location: Field<'m>,
    /// Priority: 0 routine, 1 stat, 2 as soon as possible, 3 control.
    pub priority: Field<'m>,
    /// When it was complete, see [`Results::completed`].
    pub completed_at: Field<'m>,
    /// Number of cups.
    pub cups: Field<'m>,
    /// Dilution factor.
    pub dilution: Field<'m>,
    /// The results, in order.
    pub tests: Vec<TestResult<'m>>,
    control: Control,
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestResult<'m> {
    /// Test code.
    pub test: Field<'m>,
    /// The value as sent; empty where there is none, and the error says why.
    pub value: Field<'m>,
    /// Unit.
    pub units: Field<'m>,
    /// Error code; with a value it is a flag.
    pub error: Field<'m>,
}

/// A wall time without its century.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Two digits of the year.
    pub year: u8,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Results<'_> {
    /// Whether this is a control's result.
    pub const fn control(&self) -> Control {
        self.control
    }

    /// The completion time, sent as `SSMMHHDDMMYY`; `None` for what is no time.
    pub fn completed(&self) -> Option<Completed> {
        completed(self.completed_at.unpadded())
    }
}

/// One level of a calibration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level<'m> {
    /// Bottle value.
    pub bottle: Field<'m>,
    /// The values measured.
    pub values: Vec<Field<'m>>,
}

/// A calibration. Analyzers up to software 10.3 send it before it is calculated: slope,
/// intercept, coefficients and time are those of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calibration<'m> {
    /// Test code.
    pub test: Field<'m>,
    /// Unit.
    pub units: Field<'m>,
    /// Reagent lot.
    pub reagent_lot: Field<'m>,
    /// Calibrator product.
    pub product: Field<'m>,
    /// Calibrator lot.
    pub product_lot: Field<'m>,
    /// Operator.
    pub operator: Field<'m>,
    /// Time, as [`Results::completed_at`].
    pub time: Field<'m>,
    /// Slope.
    pub slope: Field<'m>,
    /// Intercept.
    pub intercept: Field<'m>,
    /// Coefficients.
    pub coefficients: Vec<Field<'m>>,
    /// Levels; none, with a note, where their counts do not fit.
    pub levels: Vec<Level<'m>>,
    /// Everything after the coefficients, as it came.
    pub rest: Vec<Field<'m>>,
}

/// Why a message is not read. Its bytes are in the journal all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing, or no FS at the end.
    #[error("read a message: no FS at its end")]
    Unended,
    /// Fewer fields than such a message has.
    #[error("read a message: {fields} fields, at least {needed} needed")]
    TooFew {
        /// How many there are.
        fields: usize,
        /// How many there must be.
        needed: usize,
    },
    /// More fields than any message has.
    #[error("read a message: more than {FIELDS_MAX} fields")]
    TooMany,
    /// A number of cups or tests that is no number, or more than one cup in an order.
    #[error("read field {field} at {at}: no number that can be used")]
    Count {
        /// Its position from 1, the letter being 1.
        field: usize,
        /// Its offset.
        at: usize,
    },
    /// A number of tests that is not the number of tests that follow.
    #[error("read a message: {announced} tests announced, fields for another number follow")]
    TestsDiffer {
        /// What the message says.
        announced: usize,
    },
    /// Neither A nor D in an order, neither A nor R in an acceptance.
    #[error("read field {field} at {at}: unknown letter")]
    Letter {
        /// Its position from 1, the letter of the message being 1.
        field: usize,
        /// Its offset.
        at: usize,
    },
}

impl ReadError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unended => "DIM-0301",
            Self::TooFew { .. } => "DIM-0302",
            Self::TooMany => "DIM-0303",
            Self::Count { .. } => "DIM-0304",
            Self::TestsDiffer { .. } => "DIM-0305",
            Self::Letter { .. } => "DIM-0306",
        }
    }
}

/// Fields that each kind of message has before anything that repeats, the letter included.
const POLL_FIELDS: usize = 5;
const ORDER_FIELDS: usize = 13;
const RESULT_FIELDS: usize = 11;
const CALIBRATION_FIELDS: usize = 11;
/// Test, value, units, error.
const TEST_FIELDS: usize = 4;

/// Reads one message of the link, from its letter to its last FS.
///
/// # Errors
/// What of it cannot be read safely. A message that is read for a part is not read.
pub fn read<'m>(message: &'m [u8], layout: &Layout) -> Result<(Message<'m>, Vec<Note>), ReadError> {
    let all = fields(message).ok_or(ReadError::Unended)?;
    if all.len() > FIELDS_MAX {
        return Err(ReadError::TooMany);
    }
    let fields = Fields(all);
    let mut notes = Vec::new();
    let message = match fields.at(0)?.raw() {
        b"P" => Message::Poll(fields.poll()?),
        b"N" => Message::NoRequest,
        b"I" => Message::Query(Query {
            sample_id: fields.at(1)?,
        }),
        b"D" => Message::Order(fields.order()?),
        b"M" => Message::Acceptance(fields.acceptance()?),
        b"R" => Message::Results(fields.results(layout, &mut notes)?),
        b"C" => Message::Calibration(fields.calibration(&mut notes)?),
        _ => Message::Other(fields.0),
    };
    Ok((message, notes))
}

struct Fields<'m>(Vec<Field<'m>>);

impl<'m> Fields<'m> {
    fn at(&self, index: usize) -> Result<Field<'m>, ReadError> {
        self.0.get(index).copied().ok_or(ReadError::TooFew {
            fields: self.0.len(),
            needed: index.saturating_add(1),
        })
    }

    fn need(&self, needed: usize) -> Result<(), ReadError> {
        self.at(needed.saturating_sub(1)).map(|_| ())
    }

    fn from(&self, index: usize) -> &[Field<'m>] {
        self.0.get(index..).unwrap_or_default()
    }

    fn count(&self, index: usize) -> Result<usize, ReadError> {
        let field = self.at(index)?;
        field.count().ok_or(ReadError::Count {
            field: index.saturating_add(1),
            at: field.span().start,
        })
    }

    fn poll(&self) -> Result<Poll<'m>, ReadError> {
        self.need(POLL_FIELDS)?;
        Ok(Poll {
            instrument: self.at(1)?,
            first: self.at(2)?,
            takes_orders: self.at(3)?,
            last: self.at(4)?,
        })
    }

    fn order(&self) -> Result<Order<'m>, ReadError> {
        self.need(ORDER_FIELDS)?;
        let action = match self.at(3)?.raw() {
            b"A" => Action::Add,
            b"D" => Action::Delete,
            _ => return Err(self.letter(3)?),
        };
        // Where more than one cup is, their positions and what follows cannot be told apart.
        if self.count(9)? != 1 {
            let at = self.at(9)?.span().start;
            return Err(ReadError::Count { field: 10, at });
        }
        let announced = self.count(12)?;
        let tests = self.from(ORDER_FIELDS).to_vec();
        if tests.len() != announced {
            return Err(ReadError::TestsDiffer { announced });
        }
        Ok(Order {
            carrier: self.at(1)?,
            load_list: self.at(2)?,
            action,
            patient: self.at(4)?,
            sample_id: self.at(5)?,
            sample_type: self.at(6)?,
            location: self.at(7)?,
            priority: self.at(8)?,
            cup_position: self.at(10)?,
            dilution: self.at(11)?,
            tests,
        })
    }

    fn letter(&self, index: usize) -> Result<ReadError, ReadError> {
        let at = self.at(index)?.span().start;
        let field = index.saturating_add(1);
        Ok(ReadError::Letter { field, at })
    }

    fn acceptance(&self) -> Result<Acceptance<'m>, ReadError> {
        let verdict = match self.at(1)?.raw() {
            b"A" => Verdict::Accepted,
            b"R" => Verdict::Rejected,
            _ => return Err(self.letter(1)?),
        };
        Ok(Acceptance {
            verdict,
            reason: self.at(2)?,
            rest: self.from(3).to_vec(),
        })
    }

    fn results(&self, layout: &Layout, notes: &mut Vec<Note>) -> Result<Results<'m>, ReadError> {
        self.need(RESULT_FIELDS)?;
        let announced = self.count(10)?;
        let fields = self.from(RESULT_FIELDS);
        if fields.len() != announced.saturating_mul(TEST_FIELDS) {
            return Err(ReadError::TestsDiffer { announced });
        }
        let test = |group: &[Field<'m>]| match group {
            [test, value, units, error] => Some(TestResult {
                test: *test,
                value: *value,
                units: *units,
                error: *error,
            }),
            _ => None,
        };
        let tests = fields.chunks(TEST_FIELDS).filter_map(test).collect();
        let completed_at = self.at(7)?;
        if completed(completed_at.unpadded()).is_none() {
            notes.push(notes::TIME_ODD.at(offset(completed_at)));
        }
        Ok(Results {
            carrier: self.at(1)?,
            patient: self.at(2)?,
            sample_id: self.at(3)?,
            sample_type: self.at(4)?,
            location: self.at(5)?,
            priority: self.at(6)?,
            completed_at,
            cups: self.at(8)?,
            dilution: self.at(9)?,
            tests,
            control: control(self.at(4)?, self.at(6)?, layout),
        })
    }

    fn calibration(&self, notes: &mut Vec<Note>) -> Result<Calibration<'m>, ReadError> {
        self.need(CALIBRATION_FIELDS)?;
        let coefficients = self.count(10)?;
        let after = CALIBRATION_FIELDS.saturating_add(coefficients);
        self.need(after)?;
        let rest = self.from(after).to_vec();
        let levels = levels(&rest).unwrap_or_else(|| {
            let at = rest.first().copied().map_or(0, offset);
            notes.push(notes::LEVELS_ODD.at(at));
            Vec::new()
        });
        let coefficients = self.from(CALIBRATION_FIELDS).iter().take(coefficients);
        Ok(Calibration {
            test: self.at(1)?,
            units: self.at(2)?,
            reagent_lot: self.at(3)?,
            product: self.at(4)?,
            product_lot: self.at(5)?,
            operator: self.at(6)?,
            time: self.at(7)?,
            slope: self.at(8)?,
            intercept: self.at(9)?,
            coefficients: coefficients.copied().collect(),
            levels,
            rest,
        })
    }
}

/// The number of levels, then for each its bottle value, how many values, and the values.
fn levels<'m>(fields: &[Field<'m>]) -> Option<Vec<Level<'m>>> {
    let (number, mut rest) = fields.split_first()?;
    let mut levels = Vec::new();
    for _ in 0..number.count()? {
        let [bottle, replicates, after @ ..] = rest else {
            return None;
        };
        let (values, after) = after.split_at_checked(replicates.count()?)?;
        levels.push(Level {
            bottle: *bottle,
            values: values.to_vec(),
        });
        rest = after;
    }
    rest.is_empty().then_some(levels)
}

fn control(sample_type: Field<'_>, priority: Field<'_>, layout: &Layout) -> Control {
    let is_type = sample_type
        .count()
        .is_some_and(|number| number >= layout.control_type_min);
    let is_priority = priority.count() == Some(layout.control_priority);
    match (is_type, is_priority) {
        (false, false) => Control::No,
        (true, true) => Control::Yes,
        (true, false) | (false, true) => Control::Doubtful,
    }
}

fn completed(digits: &[u8]) -> Option<Completed> {
    let digits: &[u8; 12] = digits.try_into().ok()?;
    let two = |at: usize| {
        let tens = digits.get(at)?.checked_sub(b'0').filter(|d| *d < 10)?;
        let ones = digits.get(at.saturating_add(1))?;
        let ones = ones.checked_sub(b'0').filter(|d| *d < 10)?;
        Some(tens.saturating_mul(10).saturating_add(ones))
    };
    Some(Completed {
        second: two(0).filter(|n| *n < 60)?,
        minute: two(2).filter(|n| *n < 60)?,
        hour: two(4).filter(|n| *n < 24)?,
        day: two(6).filter(|n| (1..=31).contains(n))?,
        month: two(8).filter(|n| (1..=12).contains(n))?,
        year: two(10)?,
    })
}

fn offset(field: Field<'_>) -> u64 {
    u64::try_from(field.span().start).unwrap_or(u64::MAX)
}
