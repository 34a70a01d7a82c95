//! `[[layout.line]]`: the columns of an older Sysmex.

use std::sync::Arc;

use labwire_protocols::sysmex_legacy::{
    Layout,
    layout::{Align, Column, Kind, TextLayout, Use},
};
use toml::Spanned;

use super::{
    super::{LinkRules, SysmexWire, Wire, schema},
    Loader, Words,
};

impl Loader {
    pub(super) fn sysmex_legacy(
        &mut self,
        raw: &Spanned<schema::Layout>,
        link: &LinkRules,
    ) -> Option<Wire> {
        let lines = raw.get_ref().line.iter();
        let lines: Vec<_> = lines.map(|line| self.line_layout(line)).collect();
        let texts: Vec<TextLayout> = lines.into_iter().collect::<Option<_>>()?;
        let has_results = texts.iter().any(|text| text.used_for == Use::Patient);
        if !has_results {
            self.lacks(raw.span(), "a `[[layout.line]]` with `use = \"patient\"`");
            return None;
        }
        let wire = SysmexWire {
            dialect: link.sysmex_legacy(),
            layout: Layout { texts },
            dates: self.date_order(raw.get_ref()),
        };
        if let Err(error) = wire.layout.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        if let Err(error) = wire.dialect.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        Some(Wire::SysmexLegacy(Arc::new(wire)))
    }

    fn lacks(&mut self, span: std::ops::Range<usize>, what: &str) {
        self.problem(
            "PROF-0203",
            Some(span).filter(|span| !span.is_empty()),
            Words {
                message: &format!("`[layout]` lacks {what}"),
                label: "not all of it",
                help: "write every column of the line as the model's format sheet has it, in order",
            },
        );
    }

    fn line_layout(&mut self, raw: &Spanned<schema::LineLayout>) -> Option<TextLayout> {
        let uses = [
            ("patient", Use::Patient),
            ("control", Use::Control),
            ("query", Use::Query),
            ("other", Use::Other),
        ];
        let own = raw.get_ref();
        let used_for = own.used_for.as_ref();
        let used_for = used_for.and_then(|word| self.word(word, &uses));
        let (Some(code), Some(used_for)) = (&own.code, used_for) else {
            self.lacks(raw.span(), "`code` and `use` of a line");
            return None;
        };
        let columns = own.columns.iter().map(|column| self.column(column, raw));
        let columns: Vec<Option<Column>> = columns.collect();
        Some(TextLayout {
            code: code.get_ref().clone(),
            used_for,
            columns: columns.into_iter().collect::<Option<_>>()?,
        })
    }

    fn column(
        &mut self,
        raw: &schema::Column,
        line: &Spanned<schema::LineLayout>,
    ) -> Option<Column> {
        let sides = [("left", Align::Left), ("right", Align::Right)];
        let align = raw.align.as_ref();
        let align = align.and_then(|word| self.word(word, &sides));
        let fill = raw.fill.as_ref().map(|fill| fill.get_ref().as_bytes());
        let (width, kind) = match (raw.digits, fill, raw.width) {
            (Some(digits), None, None) => {
                let kind = Kind::Number {
                    decimals: raw.decimals,
                    has_flag: raw.flag,
                };
                (digits.saturating_add(usize::from(raw.flag)), kind)
            }
            (None, Some([fill]), Some(width)) => (width, Kind::Reserved(*fill)),
            (None, None, Some(width)) => (width, Kind::Text(align.unwrap_or(Align::Left))),
            _ => {
                let what = format!(
                    "the kind of column `{}`: `digits` of a number, `width` of a text, `width` and \
                     one character as `fill` of nothing",
                    raw.name
                );
                self.lacks(line.span(), &what);
                return None;
            }
        };
        Some(Column {
            name: raw.name.clone(),
            width,
            kind,
        })
    }
}
