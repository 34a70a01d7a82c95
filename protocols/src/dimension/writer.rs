//! Writes messages that are valid by construction.
//!
//! What is longer than its field is refused, never cut: a cut id is another patient's. What is
//! written is what [`super::Link`] takes: from the letter to the last FS.

use bytes::Bytes;
use thiserror::Error;

use super::{
    dialect::Layout,
    field::FS,
    message::{Action, Verdict},
};

/// `N`: the host has no request.
pub const NO_REQUEST: &[u8] = b"N\x1c";
/// `M`: the report was accepted.
pub const ACCEPT: &[u8] = b"M\x1cA\x1c\x1c";

/// An order, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderText<'t> {
    /// Add or delete.
    pub action: Action,
    /// The patient's name, padded as the site wants it.
    pub patient: &'t [u8],
    /// Sample id.
    pub sample_id: &'t [u8],
    /// Sample type: `1` serum, `2` plasma, …
    pub sample_type: &'t [u8],
    /// Location, may be empty.
    pub location: &'t [u8],
    /// Priority: `0` routine, …
    pub priority: &'t [u8],
    /// Dilution factor: `1` for none.
    pub dilution: &'t [u8],
    /// Test codes.
    pub tests: &'t [&'t [u8]],
}

/// Results, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultsText<'t> {
    /// `*` or `0`.
    pub carrier: &'t [u8],
    /// The patient's name.
    pub patient: &'t [u8],
    /// Sample id.
    pub sample_id: &'t [u8],
    /// Sample type.
    pub sample_type: &'t [u8],
    /// Location.
    pub location: &'t [u8],
    /// Priority.
    pub priority: &'t [u8],
    /// `SSMMHHDDMMYY`.
    pub completed_at: &'t [u8],
    /// Dilution factor.
    pub dilution: &'t [u8],
    /// The results.
    pub tests: &'t [TestText<'t>],
}

/// One result, to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestText<'t> {
    /// Test code.
    pub test: &'t [u8],
    /// The value; empty only beside an error code.
    pub value: &'t [u8],
    /// Unit.
    pub units: &'t [u8],
    /// Error code.
    pub error: &'t [u8],
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Longer than its field.
    #[error("write `{field}`: {length} characters, {max} fit")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What fits.
        max: usize,
        /// What was given.
        length: usize,
    },
    /// A control character, FS among them.
    #[error("write `{field}`: control character")]
    Control {
        /// The field.
        field: &'static str,
    },
    /// A field that a message cannot do without.
    #[error("write `{field}`: nothing given")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A number with something else than digits.
    #[error("write `{field}`: digits only")]
    NotDigits {
        /// The field.
        field: &'static str,
    },
    /// More tests than an order takes.
    #[error("write an order: {tests} tests, {max} fit")]
    TooManyTests {
        /// What was given.
        tests: usize,
        /// What fits.
        max: usize,
    },
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "DIM-0401",
            Self::Control { .. } => "DIM-0402",
            Self::Missing { .. } => "DIM-0403",
            Self::NotDigits { .. } => "DIM-0404",
            Self::TooManyTests { .. } => "DIM-0405",
        }
    }
}

/// Longest number, code or unit in a field that has no limit of its own.
const SHORT_MAX: usize = 16;
/// Digits of `SSMMHHDDMMYY`.
const TIME_DIGITS: usize = 12;

/// Writes messages for one site.
///
/// ```
/// use labwire_protocols::dimension::{
///     Layout, Writer, link::checksum, message::Action, writer::OrderText,
/// };
///
/// let order = Writer::new(&Layout::default()).order(&OrderText {
///     action: Action::Add,
///     patient: b"TEST PATIENT             ",
///     sample_id: b"00112028",
///     sample_type: b"2",
///     location: b"",
///     priority: b"0",
///     dilution: b"1",
///     tests: &[b"GLUC"],
/// })?;
/// assert_eq!(checksum(&order), *b"84");
/// # Ok::<(), labwire_protocols::dimension::WriteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    layout: Layout,
}

impl Writer {
    /// A writer with the limits of `layout`.
    pub const fn new(layout: &Layout) -> Self {
        Self { layout: *layout }
    }

    /// `N`.
    pub const fn no_request(&self) -> Bytes {
        Bytes::from_static(NO_REQUEST)
    }

    /// `M` of a host: a report was accepted, or rejected for `reason`.
    ///
    /// # Errors
    /// A reason that is no number.
    pub fn verdict(&self, verdict: Verdict, reason: &[u8]) -> Result<Bytes, WriteError> {
        self.acceptance(verdict, reason, &[])
    }

    /// `M`, with what an analyzer says besides.
    ///
    /// # Errors
    /// A rejection without a reason, and what does not fit.
    pub fn acceptance(
        &self,
        verdict: Verdict,
        reason: &[u8],
        rest: &[&[u8]],
    ) -> Result<Bytes, WriteError> {
        let mut row = Row::begin(b'M');
        match verdict {
            Verdict::Accepted => row.push(b"A"),
            Verdict::Rejected => row.push(b"R"),
        }
        if verdict == Verdict::Rejected || !reason.is_empty() {
            row.number("reason", reason)?;
        } else {
            row.push(b"");
        }
        for field in rest {
            row.text("rest", field, SHORT_MAX)?;
        }
        Ok(row.finish())
    }

    /// `P`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn poll(
        &self,
        instrument: &[u8],
        is_first: bool,
        takes_orders: bool,
    ) -> Result<Bytes, WriteError> {
        let flag = |is_set| if is_set { b"1" } else { b"0" };
        let mut row = Row::begin(b'P');
        row.needed("instrument", instrument, SHORT_MAX)?;
        row.push(flag(is_first));
        row.push(flag(takes_orders));
        row.push(b"0");
        Ok(row.finish())
    }

    /// `I`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn query(&self, sample_id: &[u8]) -> Result<Bytes, WriteError> {
        let mut row = Row::begin(b'I');
        row.needed("sample_id", sample_id, self.layout.sample_id_max)?;
        Ok(row.finish())
    }

    /// `D`.
    ///
    /// # Errors
    /// What does not fit, and an order without id or tests.
    pub fn order(&self, order: &OrderText<'_>) -> Result<Bytes, WriteError> {
        let layout = &self.layout;
        let mut row = Row::begin(b'D');
        row.push(b"0");
        row.push(b"0");
        row.push(match order.action {
            Action::Add => b"A",
            Action::Delete => b"D",
        });
        row.text("patient", order.patient, layout.patient_max)?;
        row.needed("sample_id", order.sample_id, layout.sample_id_max)?;
        row.number("sample_type", order.sample_type)?;
        row.text("location", order.location, layout.location_max)?;
        row.number("priority", order.priority)?;
        row.push(b"1");
        row.push(&layout.cup_position);
        row.number("dilution", order.dilution)?;
        let tests = order.tests.len();
        if tests == 0 {
            return Err(WriteError::Missing { field: "tests" });
        }
        if tests > layout.tests_max {
            let max = layout.tests_max;
            return Err(WriteError::TooManyTests { tests, max });
        }
        row.push(tests.to_string().as_bytes());
        for test in order.tests {
            row.needed("test", test, layout.test_max)?;
        }
        Ok(row.finish())
    }

    /// `R`.
    ///
    /// # Errors
    /// What does not fit, and a test with neither value nor error.
    pub fn results(&self, results: &ResultsText<'_>) -> Result<Bytes, WriteError> {
        let layout = &self.layout;
        let mut row = Row::begin(b'R');
        row.text("carrier", results.carrier, SHORT_MAX)?;
        row.text("patient", results.patient, layout.patient_max)?;
        row.text("sample_id", results.sample_id, layout.sample_id_max)?;
        row.number("sample_type", results.sample_type)?;
        row.text("location", results.location, layout.location_max)?;
        row.number("priority", results.priority)?;
        row.number("completed_at", results.completed_at)?;
        if results.completed_at.len() != TIME_DIGITS {
            return Err(WriteError::TooLong {
                field: "completed_at",
                max: TIME_DIGITS,
                length: results.completed_at.len(),
            });
        }
        row.push(b"1");
        row.number("dilution", results.dilution)?;
        if results.tests.is_empty() {
            return Err(WriteError::Missing { field: "tests" });
        }
        row.push(results.tests.len().to_string().as_bytes());
        for test in results.tests {
            row.needed("test", test.test, layout.test_max)?;
            if test.value.is_empty() && test.error.is_empty() {
                return Err(WriteError::Missing { field: "value" });
            }
            row.text("value", test.value, SHORT_MAX)?;
            row.text("units", test.units, SHORT_MAX)?;
            row.text("error", test.error, SHORT_MAX)?;
        }
        Ok(row.finish())
    }
}

/// Fields under way, each ended by FS.
#[derive(Debug)]
struct Row {
    bytes: Vec<u8>,
}

impl Row {
    fn begin(letter: u8) -> Self {
        Self {
            bytes: vec![letter, FS],
        }
    }

    fn push(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.bytes.push(FS);
    }

    fn text(&mut self, field: &'static str, text: &[u8], max: usize) -> Result<(), WriteError> {
        let length = text.len();
        if length > max {
            return Err(WriteError::TooLong { field, max, length });
        }
        if text.iter().any(|byte| *byte < b' ' || *byte == 0x7F) {
            return Err(WriteError::Control { field });
        }
        self.push(text);
        Ok(())
    }

    fn needed(&mut self, field: &'static str, text: &[u8], max: usize) -> Result<(), WriteError> {
        if text.iter().all(|byte| *byte == b' ') {
            return Err(WriteError::Missing { field });
        }
        self.text(field, text, max)
    }

    fn number(&mut self, field: &'static str, digits: &[u8]) -> Result<(), WriteError> {
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(WriteError::NotDigits { field });
        }
        self.needed(field, digits, SHORT_MAX)
    }

    fn finish(self) -> Bytes {
        self.bytes.into()
    }
}
