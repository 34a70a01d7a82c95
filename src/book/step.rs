//! Work order steps of IHE LAW: which number stands for which test of a tube on a device. A number
//! is used once, for ever; what a device has already it is told under the same number.

use std::collections::BTreeMap;

use crate::store::{Db, Param, Sql, StoreError};

use super::{BookSpecimen, change::json};

const OF_TUBE: Sql = Sql::same(
    "SELECT code, number, state, told_at FROM work_step WHERE specimen = $1 AND line = $2 \
     ORDER BY id",
);
/// Whether a result of one of these tests came from the line since then.
const MEASURED: Sql = Sql {
    sqlite: "SELECT count(*) FROM result WHERE barcode = $1 AND received_at >= $2 AND line = $3 \
             AND test IN (SELECT value FROM json_each($4))",
    postgres: "SELECT count(*) FROM result WHERE barcode = $1 AND received_at >= $2 AND line = $3 \
               AND test IN (SELECT value FROM json_array_elements_text($4::json) AS t(value))",
};
const INSERT: Sql = Sql::same(
    "INSERT INTO work_step (line, specimen, code, number, state, reason, told_at) \
     VALUES ($1, $2, $3, $4, 'told', '', $5) RETURNING id",
);
const BY_NUMBER: Sql = Sql::same(
    "SELECT number, specimen, code, state FROM work_step WHERE number = $1 AND line = $2",
);
const NOTE: Sql = Sql::same(
    "UPDATE work_step SET state = $3, reason = $4, answered_at = $5 WHERE number = $1 AND line = $2",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OF_TUBE, &MEASURED, &INSERT, &BY_NUMBER, &NOTE];

/// How a work order step stands on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Sent; the device has not answered.
    Told,
    /// The device will do it.
    Accepted,
    /// It will not.
    Refused,
    /// Taken back, by us or by the device.
    Cancelled,
}

impl StepState {
    /// As stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(code: &str) -> Self {
        match code {
            "accepted" => Self::Accepted,
            "refused" => Self::Refused,
            "cancelled" => Self::Cancelled,
            _ => Self::Told,
        }
    }

    /// Whether the device may have it.
    const fn is_there(self) -> bool {
        matches!(self, Self::Told | Self::Accepted)
    }
}

/// A step that a device was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkStep {
    /// OBR-2.
    pub number: String,
    /// The tube's row.
    pub specimen: i64,
    /// The device's code.
    pub code: String,
    /// How it stands.
    pub state: StepState,
}

/// The steps of one tube on one device.
#[derive(Clone, Copy, Debug)]
pub struct TubeSteps<'a> {
    /// The device's line.
    pub line: &'a str,
    /// The tube.
    pub specimen: &'a BookSpecimen,
}

impl TubeSteps<'_> {
    /// Of each of these codes the step that the device may still have to do. A step whose result has
    /// come is done: what is ordered after that is another one. `tests` says what a code measures.
    ///
    /// # Errors
    /// The store's.
    pub fn open(
        &self,
        db: &mut dyn Db,
        tests: &BTreeMap<String, Vec<String>>,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let mut open = BTreeMap::new();
        for (code, (step, told_at)) in self.last(db)? {
            let Some(tests) = tests.get(&code).filter(|_| step.state.is_there()) else {
                continue;
            };
            let params: [Param; 4] = [
                self.specimen.barcode.as_str().into(),
                told_at.into(),
                self.line.into(),
                json(tests)?.into(),
            ];
            if db.row(&MEASURED, &params)?.int(0)? == 0 {
                open.insert(code, step.number);
            }
        }
        Ok(open)
    }

    /// Remembers that the device is told of these: code and number.
    ///
    /// # Errors
    /// The store's; a number that stands for another step already is one.
    pub fn note(
        &self,
        db: &mut dyn Db,
        steps: &[(String, String)],
        now: i64,
    ) -> Result<(), StoreError> {
        for (code, number) in steps {
            let params: [Param; 5] = [
                self.line.into(),
                self.specimen.id.into(),
                code.as_str().into(),
                number.as_str().into(),
                now.into(),
            ];
            db.insert(&INSERT, &params)?;
        }
        Ok(())
    }

    /// The last step of each code, and when the device was told of it.
    fn last(&self, db: &mut dyn Db) -> Result<BTreeMap<String, (WorkStep, i64)>, StoreError> {
        let params: [Param; 2] = [self.specimen.id.into(), self.line.into()];
        let mut last = BTreeMap::new();
        for row in db.rows(&OF_TUBE, &params)? {
            let step = WorkStep {
                number: row.text(1)?.to_owned(),
                specimen: self.specimen.id,
                code: row.text(0)?.to_owned(),
                state: StepState::read(row.text(2)?),
            };
            last.insert(step.code.clone(), (step, row.int(3)?));
        }
        Ok(last)
    }
}

/// The step of this number, if the line was given it.
///
/// # Errors
/// The store's.
pub fn step_of_number(
    db: &mut dyn Db,
    line: &str,
    number: &str,
) -> Result<Option<WorkStep>, StoreError> {
    let row = db.row_opt(&BY_NUMBER, &[number.into(), line.into()])?;
    row.map(|row| {
        Ok(WorkStep {
            number: row.text(0)?.to_owned(),
            specimen: row.int(1)?,
            code: row.text(2)?.to_owned(),
            state: StepState::read(row.text(3)?),
        })
    })
    .transpose()
}

/// What a device said of a step, in its own words.
///
/// # Errors
/// The store's.
pub fn note_step(
    db: &mut dyn Db,
    (line, number): (&str, &str),
    state: StepState,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    let params: [Param; 5] = [
        number.into(),
        line.into(),
        state.code().into(),
        reason.into(),
        now.into(),
    ];
    db.exec(&NOTE, &params)?;
    Ok(())
}
