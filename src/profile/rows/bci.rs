//! The rows of a BCI message: what it says of its sample, then one row for each test and each drug.

use std::{borrow::Cow, ops::Range};

use labwire_protocols::{
    bci::{
        Field, Kind, Message, Test,
        message::{Drug, read, split_quantity},
        notes::NO_TEST,
    },
    charset::Charset,
};

use super::{Places, Role, Row, Rows, date};
use crate::profile::{
    DateOrder,
    places::{BCI_MESSAGE, BCI_TEST},
};

/// Reads one message. What cannot be read safely is refused as a whole.
pub(super) fn read_rows<'a>(raw: &'a [u8], dates: Option<DateOrder>, charset: Charset) -> Rows<'a> {
    let (message, notes) = match read(raw) {
        Ok(read) => read,
        Err(error) => return Rows::refused(format!("{} {error}", error.code()), Vec::new(), raw),
    };
    let is_stray = notes.iter().any(|note| note.code == NO_TEST.code);
    let mut rows = vec![Row::of_places(Role::Header, "", 0..0, &[], charset)];
    match message.kind {
        Kind::Results => rows.extend(of_results(raw, &message, dates, charset)),
        // What a host says, and what nobody knows; the rest of the fields may name people.
        Kind::Order | Kind::Other => {
            let kind = one(message.fields.first().copied()).concat();
            let text = [b"mt", &*kind].concat();
            let whole: &[&[u8]] = &[&text];
            let span = 0..raw.len();
            rows.push(Row::of_places(
                Role::Manufacturer,
                "",
                span,
                &[whole],
                charset,
            ));
        }
    }
    Rows {
        rows,
        notes,
        is_whole: true,
        refused: is_stray.then(|| (NO_TEST.text.to_owned(), 0..raw.len())),
    }
}

fn one(field: Option<Field<'_>>) -> Vec<Cow<'_, [u8]>> {
    field.into_iter().map(|field| field.text()).collect()
}

/// The first that says something.
fn said<'m>(fields: &[Option<Field<'m>>]) -> Option<Field<'m>> {
    let mut said = fields.iter().copied().flatten();
    said.find(|field| !field.is_blank())
}

fn of_results<'a>(
    raw: &'a [u8],
    message: &Message<'a>,
    dates: Option<DateOrder>,
    charset: Charset,
) -> Vec<Row<'a>> {
    let places = vec![
        one(message.patient_id),
        one(message.patient_name),
        birth(message.birth_date, dates),
        one(message.sex),
        one(message.specimen_id),
        one(message.sample_id),
    ];
    let mut rows = Vec::new();
    let mut from = 0;
    for test in &message.tests {
        rows.extend(of_test(test, from, dates, charset));
        from = rows.last().map_or(from, |row: &Row<'_>| row.span.end);
    }
    let end = rows.first().map_or(raw.len(), |row| row.span.start);
    let order = Row::of_owned(Role::Order, &BCI_MESSAGE, 0..end, &places, charset);
    rows.insert(0, order);
    rows
}

/// A test, then its drugs. `from` is where what came before it ends.
fn of_test<'a>(
    test: &Test<'a>,
    from: usize,
    dates: Option<DateOrder>,
    charset: Charset,
) -> Vec<Row<'a>> {
    let number = said(&[test.quantitative]).map(|field| field.text());
    let (number, unit) = number.map_or((None, None), |text| {
        let (number, unit) = split_quantity(&text);
        let part = |range: Range<usize>| {
            let part = text.get(range).unwrap_or_default();
            Cow::<'a, [u8]>::Owned(part.to_vec())
        };
        (Some(part(number)), Some(part(unit)))
    });
    let words = said(&[test.qualitative]);
    // Words in place of a number are the value; beside one they are a remark.
    let (value, beside) = match number {
        Some(number) => (vec![number], one(words)),
        None => (one(words.or(test.organism_name)), Vec::new()),
    };
    let places = vec![
        one(test.code),
        one(test.name),
        completed(test.date, test.time, dates),
        value,
        match said(&[test.unit]) {
            Some(apart) => one(Some(apart)),
            None => unit.into_iter().collect(),
        },
        beside,
        one(test.dilution),
        one(test.calibration),
        one(test.organism),
        one(test.organism_name),
    ];
    let fields = [
        test.code,
        test.name,
        test.time,
        test.date,
        test.qualitative,
        test.quantitative,
        test.unit,
        test.dilution,
        test.calibration,
        test.organism,
        test.organism_name,
    ];
    let span = span_of(&fields, from);
    let own = Row::of_owned(Role::Result, &BCI_TEST, span, &places, charset);
    let drugs = test.drugs.iter();
    let drugs = drugs.map(|drug| of_drug(test, drug, from, dates, charset));
    std::iter::once(own).chain(drugs).collect()
}

/// A drug of an antibiogram: its concentration, or its category where there is none.
fn of_drug<'a>(
    test: &Test<'a>,
    drug: &Drug<'a>,
    from: usize,
    dates: Option<DateOrder>,
    charset: Charset,
) -> Row<'a> {
    let category = said(&[drug.final_category, drug.category]);
    let (value, beside) = match said(&[drug.mic]) {
        Some(mic) => (Some(mic), category),
        None => (category, None),
    };
    let places: Places<'a> = vec![
        one(drug.code),
        one(drug.name),
        completed(test.date, test.time, dates),
        one(value),
        Vec::new(),
        one(beside),
        Vec::new(),
        Vec::new(),
        one(test.organism),
        one(test.organism_name),
    ];
    let fields = [
        drug.code,
        drug.name,
        drug.mic,
        drug.category,
        drug.final_category,
    ];
    let span = span_of(&fields, from);
    Row::of_owned(Role::Result, &BCI_TEST, span, &places, charset)
}

/// From the letters of the first field to the end of the last; of none, the place.
fn span_of(fields: &[Option<Field<'_>>], from: usize) -> Range<usize> {
    let spans = || fields.iter().flatten().map(Field::span);
    let start = spans().map(|span| span.start).min();
    let end = spans().map(|span| span.end).max();
    let start = start.map_or(from, |start| start.saturating_sub(2));
    start..end.unwrap_or(start)
}

fn text_of(field: Option<Field<'_>>) -> String {
    let text = one(field).concat();
    let printable = text.iter().filter(|byte| byte.is_ascii_graphic());
    printable.copied().map(char::from).collect()
}

fn completed<'m>(
    day: Option<Field<'m>>,
    time: Option<Field<'m>>,
    dates: Option<DateOrder>,
) -> Vec<Cow<'m, [u8]>> {
    let (day, time) = (text_of(day), text_of(time));
    let written = date::written(&day, &time, dates);
    let sent = || format!("{day} {time}").trim().to_owned();
    vec![Cow::Owned(written.unwrap_or_else(sent).into_bytes())]
}

fn birth(field: Option<Field<'_>>, dates: Option<DateOrder>) -> Vec<Cow<'_, [u8]>> {
    match date::written(&text_of(field), "", dates) {
        Some(written) => vec![Cow::Owned(written.into_bytes())],
        None => one(field),
    }
}
