//! The rows that are in force while a message is read: the header, patient, order and result that
//! a path such as `O.3` means at this point.

use std::borrow::Cow;

use crate::profile::{
    Condition, FieldPath,
    fields::{RowName, trim},
    rows::{Role, Row, shown},
};

/// Indices of the rows in force, oldest first.
#[derive(Debug)]
pub(super) struct Context<'r> {
    rows: &'r [Row<'r>],
    current: Vec<usize>,
    /// Rows that something is remembered of.
    watched: Vec<RowName>,
    /// One of them came into force or went out since [`Context::take_change`] was asked.
    is_changed: bool,
}

impl<'r> Context<'r> {
    pub(super) const fn new(rows: &'r [Row<'r>], watched: Vec<RowName>) -> Self {
        Self {
            rows,
            current: Vec::new(),
            watched,
            is_changed: true,
        }
    }

    /// Whether a watched row came into force or went out since this was asked last.
    pub(super) const fn take_change(&mut self) -> bool {
        std::mem::replace(&mut self.is_changed, false)
    }

    /// Keeps the rows that `stays` says.
    fn retain(&mut self, stays: impl Fn(usize, &Row<'_>) -> bool) {
        let Self {
            rows,
            current,
            watched,
            is_changed,
        } = self;
        current.retain(|index| {
            let Some(row) = rows.get(*index) else {
                return false;
            };
            let stays = stays(*index, row);
            *is_changed |= !stays && watched.contains(&row.name);
            stays
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
        self.retain(|_, old| !ends(old, row));
        self.current.push(index);
        self.is_changed |= self.watched.contains(&row.name);
    }

    /// Takes one row out of force; what it ended stays ended.
    pub(super) fn forget(&mut self, index: usize) {
        self.retain(|own, _| own != index);
    }

    /// Takes the rows of one name out of force.
    pub(super) fn leave(&mut self, name: &str) {
        self.retain(|_, old| !old.is(name));
    }

    /// The row in force of that letter or name.
    pub(super) fn row(&self, name: &str) -> Option<&'r Row<'r>> {
        let name = RowName::of(name);
        let rows = self.current.iter().rev();
        rows.filter_map(|index| self.rows.get(*index))
            .find(|row| row.name.is(name))
    }

    /// The row that a path speaks of, and what the path names there as sent; not what is longer
    /// than [`SHARED_TEXT_MAX`] in a row above a result.
    fn sent(&self, path: &FieldPath) -> Option<(&'r Row<'r>, &'r str)> {
        let row = self.row(&path.record)?;
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
        let texts = paths.iter().map(|path| self.plain(path, padding));
        let mut texts = texts.filter(|text| !text.is_empty());
        texts.next().map(shown).unwrap_or_default()
    }

    /// All that the paths name, every repeat, without what is empty or `""` (no statement).
    pub(super) fn all(
        &self,
        paths: &[FieldPath],
        padding: &str,
    ) -> impl Iterator<Item = Cow<'r, str>> {
        let rows = paths
            .iter()
            .filter_map(|path| Some((self.row(&path.record)?, path)));
        rows.flat_map(|(row, path)| row.each(path).take(REPEATS_MAX).map(move |raw| (row, raw)))
            .filter(|(row, raw)| is_short_enough(row, raw))
            .map(move |(row, raw)| shown(plain(row, raw, padding)))
            .filter(|text| !text.is_empty() && text != "\"\"")
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
fn plain<'r>(row: &Row<'_>, raw: &'r str, padding: &str) -> Cow<'r, str> {
    match row.plain(raw, &mut Vec::new()) {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text, padding)),
        Cow::Owned(text) => Cow::Owned(trim(&text, padding).to_owned()),
    }
}

/// Whether a text may be copied into each result that stands under its row.
fn is_short_enough(row: &Row<'_>, raw: &str) -> bool {
    row.role == Role::Result || raw.len() <= SHARED_TEXT_MAX
}

/// Longest text taken from a row that many results share. Each result has its own copy, so a field
/// of a megabyte over forty thousand results would be forty gigabytes. No tube id, name or time is
/// longer; one that is counts as not sent, so its results are held.
const SHARED_TEXT_MAX: usize = 512;
/// Most repeats of a list: identifiers, flags, tests asked for.
const REPEATS_MAX: usize = 500;
