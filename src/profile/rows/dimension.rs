//! The rows of a Dimension message: what it says of its sample, then one row for each result.

use std::ops::Range;

use labwire_protocols::{
    charset::Charset,
    dimension::{
        Layout,
        message::{Completed, Control, Message, Results, TestResult, read},
    },
};

use super::{Role, Row, Rows};
use crate::profile::places::{DIMENSION_MESSAGE, DIMENSION_TEST};

/// Reads one message. What cannot be read safely is refused as a whole.
pub(super) fn read_rows<'a>(raw: &'a [u8], layout: &Layout, charset: Charset) -> Rows<'a> {
    let (message, notes) = match read(raw, layout) {
        Ok(read) => read,
        Err(error) => {
            return Rows {
                rows: Vec::new(),
                notes: Vec::new(),
                is_whole: false,
                refused: Some((format!("{} {error}", error.code()), 0..raw.len())),
            };
        }
    };
    let mut rows = vec![Row::of_places(Role::Header, "", 0..0, &[], charset)];
    rows.extend(rows_of(raw, &message, charset));
    Rows {
        rows,
        notes,
        is_whole: true,
        refused: None,
    }
}

/// Polls and what a host says to them say nothing by themselves.
fn rows_of<'a>(raw: &'a [u8], message: &Message<'a>, charset: Charset) -> Vec<Row<'a>> {
    match message {
        Message::Poll(_) | Message::NoRequest => Vec::new(),
        Message::Query(query) => {
            let fields = [b"query", query.sample_id.raw()];
            vec![of_message(Role::Query, 0..raw.len(), &fields, charset)]
        }
        Message::Results(results) => of_results(raw, results, charset),
        Message::Calibration(_)
        | Message::Order(_)
        | Message::Acceptance(_)
        | Message::Other(_) => {
            let fields: Vec<&[u8]> = raw.split(|byte| *byte == FS).collect();
            let shown = fields.join(&b'|');
            let whole: &[&[u8]] = &[&shown];
            let row = Row::of_places(Role::Manufacturer, "", 0..raw.len(), &[whole], charset);
            vec![row]
        }
    }
}

/// Between fields; shown as a bar.
const FS: u8 = 0x1C;

fn of_results<'a>(raw: &[u8], results: &Results<'a>, charset: Charset) -> Vec<Row<'a>> {
    let (kind, doubt): (&[u8], &[u8]) = match results.control() {
        Control::No => (b"result", b""),
        Control::Yes => (b"control", b""),
        Control::Doubtful => (b"result", b"control?"),
    };
    let completed = results.completed().map(written);
    let completed_at = results.completed_at.raw();
    let fields = [
        kind,
        results.sample_id.raw(),
        results.carrier.raw(),
        results.patient.raw(),
        results.sample_type.raw(),
        results.location.raw(),
        results.priority.raw(),
        completed
            .as_ref()
            .map_or(completed_at, |time| time.as_bytes()),
        results.cups.raw(),
        results.dilution.raw(),
        doubt,
    ];
    let tests = results.tests.as_slice();
    let end = tests
        .first()
        .map_or(raw.len(), |test| test.test.span().start);
    let message = of_message(Role::Order, 0..end, &fields, charset);
    let tests = tests.iter().map(|test| of_test(test, charset));
    std::iter::once(message).chain(tests).collect()
}

fn of_message<'a>(role: Role, span: Range<usize>, fields: &[&[u8]], charset: Charset) -> Row<'a> {
    let fields: Vec<[&[u8]; 1]> = fields.iter().map(|field| [*field]).collect();
    let fields: Vec<&[&[u8]]> = fields.iter().map(|field| &field[..]).collect();
    Row::of_places(role, DIMENSION_MESSAGE.row, span, &fields, charset)
}

fn of_test<'a>(test: &TestResult<'_>, charset: Charset) -> Row<'a> {
    let fields = [test.test, test.value, test.units, test.error].map(|field| [field.raw()]);
    let fields = fields.each_ref().map(|field| &field[..]);
    let span = test.test.span().start..test.error.span().end;
    Row::of_places(Role::Result, DIMENSION_TEST.row, span, &fields, charset)
}

/// As other devices write a time. The year has no century; these analyzers are of this one.
fn written(time: Completed) -> String {
    format!(
        "20{:02}{:02}{:02}{:02}{:02}{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    )
}
