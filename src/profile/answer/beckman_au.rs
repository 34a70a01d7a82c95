//! The answer to a Beckman AU request: an order for the sample it names, in its own columns.

use labwire_protocols::beckman_au::{
    Code, Dialect, OrderLayout, WriteError, Writer,
    writer::{SampleText, TestText},
};

use super::{AnswerError, OrderForDevice, Slots, Stamp, tubes};
use crate::{
    model::Query,
    profile::{AnswerRules, LineProfile, NegativeStyle},
};

pub(super) fn answer(
    line: &LineProfile,
    rules: &AnswerRules,
    dialect: &Dialect,
    query: &Query,
    orders: &[OrderForDevice],
    stamp: &Stamp,
) -> Result<Vec<Vec<u8>>, AnswerError> {
    // A request is about one sample.
    let [(index, id)] = tubes(query, orders)[..] else {
        return Err(AnswerError::NoQuery);
    };
    let order = orders
        .iter()
        .find(|order| order.specimen == id && !order.tests.is_empty());
    let slots = |code: Option<&str>| Slots {
        line,
        rules,
        stamp,
        specimen: id,
        order,
        index,
        echo: &query.echo,
        tests: code.unwrap_or_default().as_bytes().to_vec(),
        delimiters: None,
    };
    let named = slots(None);
    let echo = |name: &str| named.encode(name, named.echoed(name).unwrap_or_default(), false);
    let request = echo("code")?;
    let request = <[u8; 2]>::try_from(request).map_err(|_| AnswerError::NoQuery)?;
    let request = Code::new(request);
    let code = request.answer().ok_or(AnswerError::NoQuery)?;
    // As they were asked, padding and all: an order for another place is an alarm, or worse.
    let columns = [
        echo("rack_no")?,
        echo("cup")?,
        echo("sample_type")?,
        echo("sample_no")?,
        echo("sample_id")?,
        echo("dummy")?,
    ];
    let [rack_no, cup, sample_type, sample_no, sample_id, dummy] = columns.each_ref();
    let sample = SampleText {
        rack_no,
        cup,
        sample_type,
        sample_no,
        sample_id,
        dummy,
    };
    let writer = Writer::new(dialect);
    let text = match order {
        None if rules.negative.style == NegativeStyle::Silent => return Ok(Vec::new()),
        None => writer.no_order(request, &sample),
        Some(order) => {
            let written: Vec<Vec<u8>> = order
                .tests
                .iter()
                .map(|code| slots(Some(code)).render(&rules.test))
                .collect::<Result<_, _>>()?;
            let tests: Vec<TestText<'_>> = written
                .iter()
                .map(|test| of(test, dialect))
                .collect::<Result<_, _>>()?;
            writer.order(code, &sample, &tests)
        }
    };
    let text = text.map_err(|error| unwritable(&error))?;
    Ok(vec![text.to_vec()])
}

/// A test as the profile writes it: its number, then its dilution. Together they fill their columns:
/// of a number that lacks a digit the dilution would be taken for one.
fn of<'t>(test: &'t [u8], dialect: &Dialect) -> Result<TestText<'t>, AnswerError> {
    let OrderLayout { test_no, dilution } = dialect.layout.order;
    let length = test.len();
    let parts = test.split_at_checked(test_no);
    let (test_no, dilution) = parts
        .filter(|(_, rest)| rest.len() == dilution)
        .ok_or_else(|| AnswerError::DoesNotFit {
            why: format!(
                "a test takes {} columns, {length} are written",
                test_no + dilution
            ),
        })?;
    Ok(TestText { test_no, dilution })
}

fn unwritable(error: &WriteError) -> AnswerError {
    AnswerError::DoesNotFit {
        why: format!("{} {error}", error.code()),
    }
}
