//! Orders for a Dimension: the answer to its query, or what it gets when it polls.

use labwire_protocols::dimension::{
    Dialect, Writer,
    message::Action,
    writer::{NO_REQUEST, OrderText, WriteError},
};

use super::{AnswerError, OrderAction, OrderForDevice, Slots, Stamp, tubes};
use crate::{
    model::Query,
    profile::{AnswerRules, LineProfile, NegativeStyle},
};

/// The fields of an order that a profile writes, the letter being 1: patient, sample type, location,
/// priority, dilution.
pub(in crate::profile) const FIELDS: [usize; 5] = [5, 7, 8, 9, 12];

pub(super) fn answer(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    // A query is about one sample.
    let [(_, id)] = tubes(query, orders)[..] else {
        return Err(AnswerError::NoQuery);
    };
    let order = orders
        .iter()
        .find(|order| order.specimen == id && !order.tests.is_empty());
    match order {
        None if rules.negative.style == NegativeStyle::Silent => Ok(Vec::new()),
        None => Ok(vec![NO_REQUEST.to_vec()]),
        Some(order) => {
            // The id goes back as it came: the link gives no other one to the query.
            let sent = query.echo.iter().find(|(name, _)| name == "sample_id");
            let sent = sent.map_or(id, |(_, text)| text.as_str());
            Ok(vec![written(line, rules, dialect, order, sent, stamp)?])
        }
    }
}

pub(super) fn download(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    orders
        .iter()
        .map(|order| match order.tests.is_empty() {
            true => Err(AnswerError::NoTest),
            false => written(line, rules, dialect, order, &order.specimen, stamp),
        })
        .collect()
}

fn written(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    order: &OrderForDevice,
    sample_id: &str,
    stamp: &Stamp,
) -> Result<Vec<u8>, AnswerError> {
    let slots = |code: &str| Slots {
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
    let field = |number: usize| match rules.order.get(&number) {
        Some(template) => slots("").render(template),
        None => Ok(Vec::new()),
    };
    let sample_id = slots("").encode("specimen", sample_id, false)?;
    let [patient, sample_type, location, priority, dilution] = FIELDS.map(field);
    let tests: Vec<Vec<u8>> = order
        .tests
        .iter()
        .map(|code| slots(code).render(&rules.test))
        .collect::<Result<_, _>>()?;
    let tests: Vec<&[u8]> = tests.iter().map(Vec::as_slice).collect();
    let mut patient = patient?;
    // A name is for people to read and decides nothing: it alone may be cut.
    let charset = line.text().charset;
    while patient.len() > dialect.layout.patient_max || charset.decode(&patient).is_err() {
        patient.pop();
    }
    let text = OrderText {
        action: match order.action {
            OrderAction::New | OrderAction::Add => Action::Add,
            OrderAction::Cancel => Action::Delete,
        },
        patient: &patient,
        sample_id: &sample_id,
        sample_type: &sample_type?,
        location: &location?,
        priority: &priority?,
        dilution: &dilution?,
        tests: &tests,
    };
    let bytes = Writer::new(&dialect.layout).order(&text);
    bytes
        .map(|bytes| bytes.to_vec())
        .map_err(|error| unwritable(&error))
}

fn unwritable(error: &WriteError) -> AnswerError {
    AnswerError::DoesNotFit {
        why: format!("{} {error}", error.code()),
    }
}
