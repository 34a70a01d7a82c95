//! Messages as views of their bytes: fields by their codes, each with its span in the message.
//!
//! Nothing is trimmed, converted or filled in; decimal commas and words of the device's language stay
//! as they are. Where one thing is said twice of a test the message is not read.

use std::ops::Range;

use thiserror::Error;

use super::{
    dialect::FIELDS_MAX,
    field::{Field, fields},
    notes,
};
use crate::wire::Note;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mtrsl`: results.
    Results,
    /// `mtmpr`: an order.
    Order,
    /// Anything else.
    Other,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// What it is.
    pub kind: Kind,
    /// Every field, in order.
    pub fields: Vec<Field<'m>>,
    /// `pi`: patient id.
    pub patient_id: Option<Field<'m>>,
    /// `pn`: patient's name.
    pub patient_name: Option<Field<'m>>,
    /// `pb`: date of birth.
    pub birth_date: Option<Field<'m>>,
    /// `ps`: sex.
    pub sex: Option<Field<'m>>,
    /// `si`: specimen.
    pub specimen_id: Option<Field<'m>>,
    /// `ci`: the sample id, which results are matched by.
    pub sample_id: Option<Field<'m>>,
    /// Tests, with their results where these are results.
    pub tests: Vec<Test<'m>>,
}

/// One test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test<'m> {
    /// `rt`: its code.
    pub code: Option<Field<'m>>,
    /// `rn`: its name.
    pub name: Option<Field<'m>>,
    /// `tt`: time.
    pub time: Option<Field<'m>>,
    /// `td`: date, in the order that the site chose.
    pub date: Option<Field<'m>>,
    /// `ql`: the result in words, in the device's language.
    pub qualitative: Option<Field<'m>>,
    /// `qn`: the result as a number, with its unit; see [`split_quantity`].
    pub quantitative: Option<Field<'m>>,
    /// `y3`: the unit, where it is given apart.
    pub unit: Option<Field<'m>>,
    /// `qd`: dilution.
    pub dilution: Option<Field<'m>>,
    /// `nc`: state of calibration and controls, `valid` or why not.
    pub calibration: Option<Field<'m>>,
    /// `o1`: code of the organism (VITEK).
    pub organism: Option<Field<'m>>,
    /// `o2`: name of the organism (VITEK).
    pub organism_name: Option<Field<'m>>,
    /// Antibiotics (VITEK), each begun by `ra`.
    pub drugs: Vec<Drug<'m>>,
    /// Every other field of the test.
    pub rest: Vec<Field<'m>>,
}

/// One antibiotic of an antibiogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drug<'m> {
    /// `a1`: its code.
    pub code: Option<Field<'m>>,
    /// `a2`: its name.
    pub name: Option<Field<'m>>,
    /// `a3`: inhibitory concentration, as `<=0.25`.
    pub mic: Option<Field<'m>>,
    /// `a4`: category: S, I, R.
    pub category: Option<Field<'m>>,
    /// `an`: category after the expert rules.
    pub final_category: Option<Field<'m>>,
    /// Every other field.
    pub rest: Vec<Field<'m>>,
}

/// Why a message is not read. Its bytes are in the journal all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// One character alone between two `|`.
    #[error("read a message: no field at {at}")]
    Field {
        /// The offset.
        at: usize,
    },
    /// More fields than any message has.
    #[error("read a message: more than {FIELDS_MAX} fields")]
    TooMany,
    /// The first field is not `mt`.
    #[error("read a message: it does not begin with its kind")]
    Kindless,
    /// A field that can be once is there twice.
    #[error("read the field at {at}: it was said already")]
    Twice {
        /// The offset of the second one.
        at: usize,
    },
}

impl ReadError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Field { .. } => "BCI-0301",
            Self::TooMany => "BCI-0302",
            Self::Kindless => "BCI-0303",
            Self::Twice { .. } => "BCI-0304",
        }
    }
}

/// Reads one message of the link.
///
/// # Errors
/// What of it cannot be read safely. A message that is read for a part is not read.
pub fn read(message: &[u8]) -> Result<(Message<'_>, Vec<Note>), ReadError> {
    let all = fields(message).map_err(|at| ReadError::Field { at })?;
    if all.len() > FIELDS_MAX {
        return Err(ReadError::TooMany);
    }
    let mut rest = all.iter().copied();
    let kind = rest.next().filter(|field| field.code() == *b"mt");
    let kind = kind.ok_or(ReadError::Kindless)?;
    let mut read = Message {
        kind: match kind.text().as_ref() {
            b"rsl" => Kind::Results,
            b"mpr" => Kind::Order,
            _ => Kind::Other,
        },
        fields: all.clone(),
        patient_id: None,
        patient_name: None,
        birth_date: None,
        sex: None,
        specimen_id: None,
        sample_id: None,
        tests: Vec::new(),
    };
    let mut notes = Vec::new();
    if read.kind == Kind::Other {
        notes.push(notes::UNKNOWN_KIND.at(offset(kind)));
        return Ok((read, notes));
    }
    for field in rest {
        read.take(field, &mut notes)?;
    }
    Ok((read, notes))
}

fn offset(field: Field<'_>) -> u64 {
    u64::try_from(field.span().start).unwrap_or(u64::MAX)
}

/// Puts a field where it belongs.
fn put<'m>(place: &mut Option<Field<'m>>, field: Field<'m>) -> Result<(), ReadError> {
    if place.is_some() {
        let at = field.span().start;
        return Err(ReadError::Twice { at });
    }
    *place = Some(field);
    Ok(())
}

impl<'m> Message<'m> {
    fn take(&mut self, field: Field<'m>, notes: &mut Vec<Note>) -> Result<(), ReadError> {
        match &field.code() {
            b"pi" => put(&mut self.patient_id, field),
            b"pn" => put(&mut self.patient_name, field),
            b"pb" => put(&mut self.birth_date, field),
            b"ps" => put(&mut self.sex, field),
            b"si" => put(&mut self.specimen_id, field),
            b"ci" => put(&mut self.sample_id, field),
            b"ta" => {
                self.tests.push(Test::default());
                Ok(())
            }
            b"rt" => self.take_code(field),
            code => {
                if let Some(test) = self.tests.last_mut() {
                    return test.take(field);
                }
                // Known of a test alone: without one it would be nobody's result.
                if matches!(code, b"ql" | b"qn" | b"a3" | b"a4" | b"o1") {
                    notes.push(notes::NO_TEST.at(offset(field)));
                }
                Ok(())
            }
        }
    }

    /// A test begins with `ta`, or with its code.
    fn take_code(&mut self, field: Field<'m>) -> Result<(), ReadError> {
        let is_begun = self.tests.last().is_some_and(|test| test.code.is_none());
        if !is_begun {
            self.tests.push(Test::default());
        }
        match self.tests.last_mut() {
            Some(test) => put(&mut test.code, field),
            None => Ok(()),
        }
    }
}

impl<'m> Test<'m> {
    fn take(&mut self, field: Field<'m>) -> Result<(), ReadError> {
        if field.code() == *b"ra" {
            self.drugs.push(Drug::default());
            return Ok(());
        }
        if let Some(drug) = self.drugs.last_mut() {
            return drug.take(field);
        }
        match &field.code() {
            b"rn" => put(&mut self.name, field),
            b"tt" => put(&mut self.time, field),
            b"td" => put(&mut self.date, field),
            b"ql" => put(&mut self.qualitative, field),
            b"qn" => put(&mut self.quantitative, field),
            b"y3" => put(&mut self.unit, field),
            b"qd" => put(&mut self.dilution, field),
            b"nc" => put(&mut self.calibration, field),
            b"o1" => put(&mut self.organism, field),
            b"o2" => put(&mut self.organism_name, field),
            _ => {
                self.rest.push(field);
                Ok(())
            }
        }
    }
}

impl<'m> Drug<'m> {
    fn take(&mut self, field: Field<'m>) -> Result<(), ReadError> {
        match &field.code() {
            b"a1" => put(&mut self.code, field),
            b"a2" => put(&mut self.name, field),
            b"a3" => put(&mut self.mic, field),
            b"a4" => put(&mut self.category, field),
            b"an" => put(&mut self.final_category, field),
            _ => {
                self.rest.push(field);
                Ok(())
            }
        }
    }
}

/// Where the number (with `<`, `>` or `=` before it, point or comma as sent) and the unit of a
/// quantitative result lie in its text: `28,94mUI/ml` is `28,94` and `mUI/ml`. Text that begins with
/// no number is all number, so that nothing of it is lost.
pub fn split_quantity(text: &[u8]) -> (Range<usize>, Range<usize>) {
    let is_number =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'<' | b'>' | b'=');
    let is_sign = |byte: &u8| matches!(byte, b' ' | b'+' | b'-');
    let begin = text.iter().position(|byte| !is_sign(byte));
    let begin = begin.unwrap_or(text.len());
    let rest = text.get(begin..).unwrap_or_default();
    let length = rest.iter().position(|byte| !is_number(byte));
    let length = length.unwrap_or(rest.len());
    let number = rest.get(..length).unwrap_or_default();
    if !number.iter().any(u8::is_ascii_digit) {
        return (0..text.len(), text.len()..text.len());
    }
    let end = begin.saturating_add(length);
    let after = text.get(end..).unwrap_or_default();
    let space = after.iter().position(|byte| *byte != b' ');
    let unit = end.saturating_add(space.unwrap_or(after.len()));
    (0..end, unit..text.len())
}
