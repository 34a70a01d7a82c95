//! The rows of an older Sysmex text: what each line says of its sample, then one row for each number.

use std::{borrow::Cow, ops::Range};

use labwire_protocols::{
    charset::Charset,
    sysmex_legacy::{
        Cell, Kind, Line,
        layout::{TextLayout, Use},
        read,
    },
};

use super::{Places, Role, Row, Rows, date};
use crate::profile::{
    DateOrder, SysmexWire,
    places::{SYSMEX_CELL, SYSMEX_LINE},
};

/// Reads one text. What cannot be read safely is refused as a whole.
pub(super) fn read_rows<'a>(raw: &'a [u8], wire: &SysmexWire, charset: Charset) -> Rows<'a> {
    let (lines, notes) = match read(raw, &wire.layout) {
        Ok(read) => read,
        Err(error) => return Rows::refused(format!("{} {error}", error.code()), Vec::new(), raw),
    };
    let mut rows = vec![Row::of_places(Role::Header, "", 0..0, &[], charset)];
    for line in &lines {
        match line.layout {
            Some(layout) => rows.extend(of_line(line, layout, wire.dates, charset)),
            None => rows.push(told(line, charset)),
        }
    }
    Rows {
        rows,
        notes,
        is_whole: true,
        refused: None,
    }
}

/// A line without results by the begin of its code: the rest may name people.
fn told<'a>(line: &Line<'_, 'a>, charset: Charset) -> Row<'a> {
    let code = line.layout.map_or(SHOWN, |layout| layout.code.len());
    let shown = line.raw().get(..code).unwrap_or(line.raw());
    let whole: &[&[u8]] = &[shown];
    Row::of_places(Role::Manufacturer, "", line.span(), &[whole], charset)
}

/// Characters of a code that nobody knows: `D1U`.
const SHOWN: usize = 3;

fn of_line<'a>(
    line: &Line<'_, 'a>,
    layout: &TextLayout,
    dates: Option<DateOrder>,
    charset: Charset,
) -> Vec<Row<'a>> {
    let (kind, role) = match layout.used_for {
        Use::Patient => ("result", Role::Order),
        Use::Control => ("control", Role::Order),
        Use::Query => ("query", Role::Query),
        Use::Other => return vec![told(line, charset)],
    };
    let numbers = line.cells.iter().filter(|cell| is_number(cell));
    let numbers: Vec<_> = numbers.map(|cell| of_number(cell, charset)).collect();
    let end = match numbers.first() {
        Some(first) if role == Role::Order => first.span.start,
        _ => line.span().end,
    };
    let span = line.span().start..end;
    let own = of_sample(line, layout, kind, dates);
    let own = Row::of_owned(role, &SYSMEX_LINE, span, &own, charset);
    if role == Role::Query {
        return vec![own];
    }
    std::iter::once(own).chain(numbers).collect()
}

const fn is_number(cell: &Cell<'_, '_>) -> bool {
    matches!(cell.column.kind, Kind::Number { .. })
}

fn of_sample<'a>(
    line: &Line<'_, 'a>,
    layout: &TextLayout,
    kind: &'static str,
    dates: Option<DateOrder>,
) -> Places<'a> {
    let cell = |name: &str| line.cell(name).map(|cell| Cow::Borrowed(cell.raw()));
    let one = |name: &str| cell(name).into_iter().collect();
    vec![
        vec![Cow::Borrowed(kind.as_bytes())],
        vec![Cow::Owned(layout.code.clone().into_bytes())],
        one("sample_id"),
        one("rack"),
        one("position"),
        one("patient_id"),
        one("operator"),
        one("analysis"),
        vec![completed(line, dates)],
    ]
}

fn completed<'a>(line: &Line<'_, 'a>, dates: Option<DateOrder>) -> Cow<'a, [u8]> {
    let text = |name: &str| {
        let value = line.cell(name).map_or(&b""[..], |cell| cell.value());
        let printable = value.iter().filter(|byte| byte.is_ascii_graphic());
        printable.copied().map(char::from).collect::<String>()
    };
    let (day, time) = (text("date"), text("time"));
    let written = date::written(&day, &time, dates);
    let sent = || format!("{day} {time}").trim().to_owned();
    Cow::Owned(written.unwrap_or_else(sent).into_bytes())
}

/// Digits whose point nobody knows are no value: they would be ten times it.
fn of_number<'a>(cell: &Cell<'_, 'a>, charset: Charset) -> Row<'a> {
    let sent = cell.value();
    let is_all_digits = !sent.is_empty() && sent.iter().all(u8::is_ascii_digit);
    let (value, digits): (Cow<'a, [u8]>, &[u8]) = match cell.scaled() {
        Some(scaled) => (Cow::Owned(scaled.into_bytes()), b""),
        None if is_all_digits => (Cow::Borrowed(b""), sent),
        None => (Cow::Borrowed(sent), b""),
    };
    let flag: Vec<u8> = cell.flag().into_iter().collect();
    let places = vec![
        vec![Cow::Owned(cell.column.name.clone().into_bytes())],
        vec![value],
        vec![Cow::Owned(flag)],
        vec![Cow::Borrowed(digits)],
    ];
    let span: Range<usize> = cell.span();
    Row::of_owned(Role::Result, &SYSMEX_CELL, span, &places, charset)
}
