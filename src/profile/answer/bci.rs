//! Orders for a BCI device: a message for each test, unasked.

use labwire_protocols::bci::{
    Dialect,
    writer::{OrderText, order as write},
};

use super::{AnswerError, OrderForDevice, Slots, Stamp};
use crate::profile::{AnswerRules, LineProfile};

pub(super) fn download(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    let mut messages = Vec::new();
    for order in orders {
        if order.tests.is_empty() {
            return Err(AnswerError::NoTest);
        }
        for code in &order.tests {
            messages.push(written(line, rules, dialect, (order, code), stamp)?);
        }
    }
    Ok(messages)
}

fn written(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    (order, code): (&OrderForDevice, &str),
    stamp: &Stamp,
) -> Result<Vec<u8>, AnswerError> {
    let slots = Slots {
        line,
        rules,
        stamp,
        specimen: &order.specimen,
        order: Some(order),
        index: 0,
        echo: &[],
        tests: code.as_bytes().to_vec(),
        delimiters: None,
    };
    let name = format!("{} {}", order.family.expose(), order.given.expose());
    let sex = slots.text("patient.sex");
    let text = OrderText {
        patient_id: &slots.encode("patient.id", order.patient_id.expose(), false)?,
        patient_name: &slots.encode("patient.family", name.trim(), true)?,
        // How the site writes dates is not known of every device; a birth date is not needed.
        birth_date: b"",
        sex: sex.as_bytes(),
        sample_id: &slots.encode("specimen", &order.specimen, false)?,
        test: &slots.render(&rules.test)?,
        dilution: b"1",
    };
    let bytes = write(dialect.records, &text);
    bytes
        .map(|bytes| bytes.to_vec())
        .map_err(|error| AnswerError::DoesNotFit {
            why: format!("{} {error}", error.code()),
        })
}
