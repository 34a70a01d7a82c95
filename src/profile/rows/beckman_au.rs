//! The rows of a Beckman AU text: what it says of its sample, then one row for each result.

use std::ops::Range;

use labwire_protocols::{
    beckman_au::{Code, Columns, Content, Dialect, Kind, Run, Text, read, text},
    charset::Charset,
    wire::Note,
};

use super::{Role, Row, Rows};
use crate::profile::places::{AU_GROUP, AU_TEXT};

/// Reads the blocks of one text. What cannot be read safely is refused as a whole.
pub(super) fn read_rows<'a>(raw: &'a [u8], dialect: &Dialect, charset: Charset) -> Rows<'a> {
    let refused = |why: String, notes: Vec<Note>| Rows {
        rows: Vec::new(),
        notes,
        is_whole: false,
        refused: Some((why, 0..raw.len())),
    };
    let (text, notes) = match read(raw, dialect) {
        Ok(read) => read,
        Err(error) => return refused(format!("{} {error}", error.code()), Vec::new()),
    };
    if has_no_result(&text.content) {
        let why = "a text of results in which the layout finds none";
        return refused(why.to_owned(), notes);
    }
    let mut rows = vec![Row::of_places(Role::Header, "", 0..0, &[], charset)];
    rows.extend(rows_of(raw, &text, dialect, charset));
    Rows {
        rows,
        notes,
        is_whole: text.is_whole,
        refused: None,
    }
}

/// A layout that is wider than the site's takes every result for its header.
const fn has_no_result(content: &Content<'_>) -> bool {
    match content {
        Content::Result(results) => results.groups.is_empty(),
        Content::Control(control) => control.groups.is_empty(),
        Content::Mark
        | Content::Request(_)
        | Content::Order(_)
        | Content::NoOrder(_)
        | Content::Unread(_) => false,
    }
}

/// The marks that begin and end requests and results say nothing by themselves.
fn rows_of<'a>(
    raw: &'a [u8],
    text: &Text<'a>,
    dialect: &Dialect,
    charset: Charset,
) -> Vec<Row<'a>> {
    match &text.content {
        Content::Mark => Vec::new(),
        Content::Request(sample) => {
            let fields = Fields::of(text, sample);
            vec![fields.row(Role::Query, 0..raw.len(), charset)]
        }
        Content::Result(results) => {
            let mut fields = Fields::of(text, &results.sample);
            fields.patient = results.patient.raw();
            fields.with(raw, &results.groups, charset)
        }
        Content::Control(control) => {
            let mut fields = Fields::of(text, &control.sample);
            fields.control_no = control.control_no.raw();
            fields.control_unit = control.unit.raw();
            fields.with(raw, &control.groups, charset)
        }
        // Columns that nobody knows, and what only a host says.
        Content::Unread(_) | Content::Order(_) | Content::NoOrder(_) => {
            let shown = raw.trim_ascii_end();
            let shown = shown.strip_suffix(&[dialect.text_end]).unwrap_or(shown);
            let whole: &[&[u8]] = &[shown];
            let row = Row::of_places(Role::Manufacturer, "", 0..raw.len(), &[whole], charset);
            vec![row]
        }
    }
}

/// What stands in the places of [`AU_TEXT`].
#[derive(Clone, Copy)]
struct Fields<'a> {
    code: Code,
    unit_no: &'a [u8],
    sample: text::Sample<'a>,
    patient: &'a [u8],
    control_no: &'a [u8],
    control_unit: &'a [u8],
}

impl<'a> Fields<'a> {
    const fn of(text: &Text<'a>, sample: &text::Sample<'a>) -> Self {
        Self {
            code: text.code,
            unit_no: text.unit_no.raw(),
            sample: *sample,
            patient: b"",
            control_no: b"",
            control_unit: b"",
        }
    }

    fn with(&self, raw: &[u8], groups: &[text::Group<'a>], charset: Charset) -> Vec<Row<'a>> {
        // The header is what comes before the first result; the others repeat it.
        let end = groups
            .first()
            .map_or(raw.len(), |group| group_span(group).start);
        let text = self.row(Role::Order, 0..end, charset);
        let groups = groups.iter().map(|group| group_row(group, charset));
        std::iter::once(text).chain(groups).collect()
    }

    fn row(&self, role: Role, span: Range<usize>, charset: Charset) -> Row<'a> {
        let sample = &self.sample;
        let code = self.code.letters();
        let of_run = match self.code.run() {
            Some(Run::Repeat | Run::AutomaticRepeat) => code.get(1..).unwrap_or_default(),
            Some(Run::First) | None => b"",
        };
        let kind = kind(self.code);
        let fields: [&[u8]; 13] = [
            kind.as_bytes(),
            &code,
            of_run,
            self.unit_no,
            sample.rack_no.raw(),
            sample.cup.raw(),
            sample.sample_type.raw(),
            sample.sample_no.raw(),
            sample.sample_id.raw(),
            sample.dummy.raw(),
            self.patient,
            self.control_no,
            self.control_unit,
        ];
        let fields = fields.map(|field| [field]);
        let fields = fields.each_ref().map(|field| &field[..]);
        Row::of_places(role, AU_TEXT.row, span, &fields, charset)
    }
}

/// The kinds that rules of a profile may name.
const fn kind(code: Code) -> &'static str {
    match code.kind() {
        Some(Kind::Request) => "request",
        Some(Kind::Control) => "control",
        Some(Kind::Result) if code.is_stat() => "stat-result",
        _ => "result",
    }
}

fn group_row<'a>(group: &text::Group<'a>, charset: Charset) -> Row<'a> {
    let marks: Vec<&[u8]> = group.marks.iter().map(Columns::raw).collect();
    let (unit, test_no, value) = (
        [group.unit.raw()],
        [group.test_no.raw()],
        [group.value.raw()],
    );
    let fields: [&[&[u8]]; 4] = [&unit, &test_no, &value, &marks];
    Row::of_places(
        Role::Result,
        AU_GROUP.row,
        group_span(group),
        &fields,
        charset,
    )
}

fn group_span(group: &text::Group<'_>) -> Range<usize> {
    let last = group.marks.last().unwrap_or(&group.value);
    group.unit.span().start..last.span().end
}
