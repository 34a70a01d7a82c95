//! The rows that are in force while a message is read: the header, patient, order and result that
//! a path such as `O.3` means at this point.

use std::borrow::Cow;

use crate::profile::{
    Condition, FieldPath,
    fields::{RowName, trim},
    rows::{Role, Row, shown},
};

/// The rows in force.
#[derive(Debug)]
pub(super) struct Context<'r> {
    rows: &'r [Row<'r>],
    /// Oldest first.
    current: Vec<InForce<'r>>,
    /// Rows that something is remembered of.
    watched: Vec<RowName>,
    /// One of them came into force or went out since [`Context::take_change`] was asked.
    is_changed: bool,
}

/// A row in force, its index, and its name beside it, which every path is compared with.
#[derive(Clone, Copy, Debug)]
struct InForce<'r> {
    name: RowName,
    index: usize,
    row: &'r Row<'r>,
}

impl<'r> Context<'r> {
    pub(super) fn new(rows: &'r [Row<'r>], watched: Vec<RowName>) -> Self {
        Self {
            rows,
            current: Vec::with_capacity(ROWS_USUAL),
            watched,
            is_changed: true,
        }
    }

    /// Whether a watched row came into force or went out since this was asked last.
    pub(super) const fn take_change(&mut self) -> bool {
        std::mem::replace(&mut self.is_changed, false)
    }

    /// Takes the rows out of force of which `goes` says so.
    fn end(&mut self, goes: impl Fn(&InForce<'r>) -> bool) {
        let watched = &self.watched;
        let is_changed = &mut self.is_changed;
        self.current.retain(|own| {
            let goes = goes(own);
            *is_changed |= goes && watched.contains(&own.name);
            !goes
        });
    }

    /// Row `index` comes into force, and what it ends goes out.
    pub(super) fn enter(&mut self, index: usize) {
        let rows = self.rows;
        let Some(row) = rows.get(index) else { return };
        let ends: fn(&Row<'_>, &Row<'_>) -> bool = match row.role {
            Role::Header => |_, _| true,
            Role::Patient => |old, _| old.role != Role::Header,
            Role::Order => |old, _| matches!(old.role, Role::Order | Role::Result | Role::Comment),
            Role::Query => |old, _| !matches!(old.role, Role::Header | Role::Patient),
            Role::Structure => {
                |old, new| old.name() == new.name() || new.is("SPM") && old.is("SAC")
            }
            Role::Result => |old, _| matches!(old.role, Role::Result | Role::Comment),
            Role::Comment | Role::Terminator | Role::Manufacturer | Role::Bad => {
                |old, new| old.role == new.role
            }
        };
        self.end(|old| ends(old.row, row));
        self.current.push(InForce {
            name: row.name,
            index,
            row,
        });
        self.is_changed |= self.watched.contains(&row.name);
    }

    /// Takes one row out of force; what it ended stays ended.
    pub(super) fn forget(&mut self, index: usize) {
        self.end(|own| own.index == index);
    }

    /// Takes the rows of one name out of force.
    pub(super) fn leave(&mut self, name: &str) {
        let name = RowName::of(name);
        self.end(|old| old.name.is(name));
    }

    /// Which row of that letter or name is in force.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        let name = RowName::of(name);
        let mut newest = self.current.iter().rev();
        newest.find(|own| own.name.is(name)).map(|own| own.index)
    }

    /// The row in force of that letter or name.
    #[inline]
    pub(super) fn row(&self, name: RowName) -> Option<&'r Row<'r>> {
        let mut newest = self.current.iter().rev();
        newest.find(|own| own.name.is(name)).map(|own| own.row)
    }

    /// The row that a path speaks of, and what the path names there as sent; not what is longer
    /// than [`SHARED_TEXT_MAX`] in a row above a result.
    #[inline]
    fn sent(&self, path: &FieldPath) -> Option<(&'r Row<'r>, &'r str)> {
        let row = self.row(path.name)?;
        let raw = row.get(path);
        is_short_enough(row, raw).then_some((row, raw))
    }

    /// What a path names, as sent; empty when it is not there, or when a row above a result has
    /// more there than [`SHARED_TEXT_MAX`].
    pub(super) fn raw(&self, path: &FieldPath) -> &'r str {
        self.sent(path).map_or("", |(_, raw)| raw)
    }

    /// The first of the paths that names something: its text without escapes and padding.
    pub(super) fn text(&self, paths: &[FieldPath], padding: &str) -> Cow<'r, str> {
        for path in paths {
            let Some((row, raw)) = self.sent(path) else {
                continue;
            };
            let text = plain(row, raw, padding);
            if !text.is_empty() {
                return if row.is_plain() { text } else { shown(text) };
            }
        }
        Cow::Borrowed("")
    }

    /// Gives all that the paths name, every repeat, without what is empty or `""` (no statement).
    pub(super) fn each(
        &self,
        paths: &[FieldPath],
        padding: &str,
        mut take: impl FnMut(Cow<'r, str>),
    ) {
        for path in paths {
            let Some(row) = self.row(path.name) else {
                continue;
            };
            for raw in row.each(path).take(REPEATS_MAX) {
                if raw.is_empty() || !is_short_enough(row, raw) {
                    continue;
                }
                let text = shown(plain(row, raw, padding));
                if !text.is_empty() && text != "\"\"" {
                    take(text);
                }
            }
        }
    }

    /// [`Context::each`], for keeping.
    pub(super) fn all(&self, paths: &[FieldPath], padding: &str) -> Vec<String> {
        let mut texts = Vec::new();
        self.each(paths, padding, |text| texts.push(text.into_owned()));
        texts
    }

    /// [`Context::text`], for keeping.
    pub(super) fn own(&self, paths: &[FieldPath], padding: &str) -> String {
        self.text(paths, padding).into_owned()
    }

    /// One path's text without escapes and padding; marks of undecodable bytes stay.
    pub(super) fn plain(&self, path: &FieldPath, padding: &str) -> Cow<'r, str> {
        let sent = self.sent(path);
        sent.map_or(Cow::Borrowed(""), |(row, raw)| plain(row, raw, padding))
    }

    /// Whether any of the rules holds here.
    pub(super) fn any(&self, rules: &[Condition]) -> bool {
        rules
            .iter()
            .any(|rule| rule.holds(|path| self.plain(path, " ")))
    }
}

/// A part of a row without escapes and padding.
#[inline]
fn plain<'r>(row: &Row<'_>, raw: &'r str, padding: &str) -> Cow<'r, str> {
    if row.is_plain() {
        return Cow::Borrowed(trim(raw, padding));
    }
    match row.plain(raw, &mut Vec::new()) {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text, padding)),
        Cow::Owned(text) => Cow::Owned(trim(&text, padding).to_owned()),
    }
}

/// Whether a text may be copied into each result that stands under its row.
fn is_short_enough(row: &Row<'_>, raw: &str) -> bool {
    row.role == Role::Result || raw.len() <= SHARED_TEXT_MAX
}

/// Rows that are usually in force at once: MSH, PID, PV1, ORC, OBR, SPM, OBX, NTE.
const ROWS_USUAL: usize = 8;
/// Longest text taken from a row that many results share. Each result has its own copy, so a field
/// of a megabyte over forty thousand results would be forty gigabytes. No tube id, name or time is
/// longer; one that is counts as not sent, so its results are held.
const SHARED_TEXT_MAX: usize = 512;
/// Most repeats of a list: identifiers, flags, tests asked for.
const REPEATS_MAX: usize = 500;
