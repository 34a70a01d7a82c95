//! What a device asks: ASTM Q records, and HL7 messages that the profile lists as queries.

use super::{Decoder, Parent, QUERY_MESSAGE};
use crate::{
    model::{Item, Query, QueryAction, QuerySubject, SpecimenRead},
    profile::{
        FieldPath, Protocol,
        fields::trim,
        rows::{Role, Row, show},
    },
};

/// Most tubes in one query: the racks of the largest loading area hold some 300.
const QUERY_TUBES_MAX: usize = 500;

impl Decoder<'_> {
    /// The Q record in force.
    pub(super) fn query(&mut self, row: &Row<'_>) {
        let query = self.read_query(row);
        self.push(Item::Query(query));
        let path = self.line.profile.query.id.first();
        let field = path.map_or("", |path| row.field(path.field));
        if row.repeats(field).nth(QUERY_TUBES_MAX).is_some() {
            self.incomplete(row, "more tubes in one query than are answered at once");
        }
    }

    /// Whether this HL7 message is a query; if so, its item is made.
    pub(super) fn query_message(&mut self) -> bool {
        let profile = &self.line.profile;
        let rows = self.rows;
        let Some(header) = rows.first().filter(|row| row.role == Role::Header) else {
            return false;
        };
        let mut parts = header
            .repeats(header.field(9))
            .next()
            .unwrap_or_default()
            .split('^');
        let kind = format!(
            "{}^{}",
            parts.next().unwrap_or(""),
            parts.next().unwrap_or("")
        );
        let rules = &profile.query;
        if !rules.messages.contains(&kind) || rows.iter().any(|row| row.role == Role::Result) {
            return false;
        }
        for (index, row) in rows.iter().enumerate() {
            self.context.enter(index);
            if row.is_too_long_to_share() {
                self.context.forget(index);
                self.incomplete(row, "longer than a segment of a query may be");
            }
        }
        self.query(header);
        for row in rows {
            match row.role {
                Role::Bad => self.incomplete(row, "no record or segment that is known"),
                Role::Manufacturer => self.event(row, "manufacturer", row.shown()),
                Role::Comment => {
                    let text = show(row.field(3));
                    self.event(row, "comment", text);
                }
                Role::Header
                | Role::Patient
                | Role::Order
                | Role::Result
                | Role::Query
                | Role::Terminator
                | Role::Structure => {}
            }
        }
        self.parent = Parent::None;
        true
    }

    fn read_query(&self, row: &Row<'_>) -> Query {
        let rules = &self.line.profile.query;
        let is_cancel = self.context.any(&rules.cancel);
        let codes = self.context.all(&rules.codes, " ");
        let is_all = |text: &String| rules.all.contains(text);
        let (action, subject) = self
            .law_subject(&self.tubes())
            .unwrap_or_else(|| (QueryAction::Ask, self.subject()));
        Query {
            subject,
            action: if is_cancel {
                QueryAction::Cancel
            } else {
                action
            },
            echo: self.echo(row),
            codes: if codes.iter().any(is_all) {
                Vec::new()
            } else {
                codes
            },
        }
    }

    fn subject(&self) -> QuerySubject {
        let rules = &self.line.profile.query;
        let tubes = self.tubes();
        if let [only] = tubes.as_slice()
            && rules.all.contains(&only.id)
        {
            return QuerySubject::All;
        }
        let last = self
            .context
            .text(&rules.range_end, &self.line.profile.specimen.padding)
            .into_owned();
        match tubes.as_slice() {
            [first] if !last.is_empty() && last != first.id => {
                QuerySubject::Range(first.id.clone(), last)
            }
            _ => QuerySubject::Specimens(tubes),
        }
    }

    /// Each repeat of the id field is a tube.
    fn tubes(&self) -> Vec<SpecimenRead> {
        let rules = &self.line.profile.query;
        let filled = |path: &&FieldPath| !self.context.plain(path, " ").is_empty();
        let path = rules.id.iter().find(filled).or_else(|| rules.id.first());
        let Some((path, row)) = path.and_then(|path| Some((path, self.context.row(path.name)?)))
        else {
            return Vec::new();
        };
        let repeats = row
            .repeats(row.field(path.field))
            .zip(row.each(path))
            .take(QUERY_TUBES_MAX)
            .enumerate();
        let tubes = repeats.map(|(index, (repeat, named))| {
            let is_bare = rules.has_bare_repeats && index > 0 && row.is_bare(repeat);
            let is_all = index == 0 && rules.all.iter().any(|all| all == repeat);
            let sent = if is_bare || is_all { repeat } else { named };
            let padding = &self.line.profile.specimen.padding;
            let text = row.plain(sent, &mut Vec::new());
            SpecimenRead {
                sent: show(sent),
                id: show(trim(&text, padding)),
                rack: self.nth(&rules.rack, index),
                position: self.nth(&rules.position, index),
            }
        });
        tubes.collect()
    }

    /// The path's text in repeat `index` of its field.
    fn nth(&self, paths: &[FieldPath], index: usize) -> String {
        let Some(path) = paths.first() else {
            return String::new();
        };
        let Some(row) = self.context.row(path.name) else {
            return String::new();
        };
        let raw = row.each(path).nth(index).unwrap_or_default();
        show(trim(&row.plain(raw, &mut Vec::new()), " "))
    }

    /// What the answer repeats, as sent. The fields of further tubes carry their index.
    fn echo(&self, query: &Row<'_>) -> Vec<(String, String)> {
        let mut echo = Vec::new();
        if self.line.profile.device.protocol == Protocol::Hl7 {
            let own = self.rows.iter().filter(|row| row.role != Role::Patient);
            let texts: Vec<String> = own.map(|row| show(&row.text)).collect();
            echo.push((QUERY_MESSAGE.to_owned(), texts.join("\r")));
        }
        echo.extend(
            query
                .named()
                .map(|(name, text)| (name.to_owned(), show(text))),
        );
        for (name, path) in &self.line.profile.query.echo {
            let Some(row) = self.context.row(path.name) else {
                continue;
            };
            let is_of_tube = row.span == query.span && path.component.is_some();
            if !is_of_tube {
                echo.push((name.clone(), show(row.get(path))));
                continue;
            }
            for (index, raw) in row.each(path).take(QUERY_TUBES_MAX).enumerate() {
                let name = if index == 0 {
                    name.clone()
                } else {
                    format!("{name}[{}]", index + 1)
                };
                echo.push((name, show(raw)));
            }
        }
        echo
    }
}
