//! The rows that are in force while a message is read: the header, patient, order and result that
//! a path such as `O.3` means at this point.

use std::borrow::Cow;

use crate::profile::{
    Condition, FieldPath,
    rows::{Role, Row, show},
};

/// Indices of the rows in force, oldest first.
#[derive(Debug)]
pub(super) struct Context<'r> {
    rows: &'r [Row<'r>],
    current: Vec<usize>,
}

impl<'r> Context<'r> {
    pub(super) const fn new(rows: &'r [Row<'r>]) -> Self {
        Self {
            rows,
            current: Vec::new(),
        }
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
        self.current
            .retain(|old| rows.get(*old).is_some_and(|old| !ends(old, row)));
        self.current.push(index);
    }

    /// Takes one row out of force; what it ended stays ended.
    pub(super) fn forget(&mut self, index: usize) {
        self.current.retain(|own| *own != index);
    }

    /// Takes the rows of one name out of force.
    pub(super) fn leave(&mut self, name: &str) {
        let rows = self.rows;
        self.current
            .retain(|old| rows.get(*old).is_some_and(|old| !old.is(name)));
    }

    /// Which row of that letter or name is in force.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        let is_own = |index: &&usize| self.rows.get(**index).is_some_and(|row| row.is(name));
        self.current.iter().rev().find(is_own).copied()
    }

    /// The row in force of that letter or name.
    pub(super) fn row(&self, name: &str) -> Option<&'r Row<'r>> {
        self.current
            .iter()
            .rev()
            .filter_map(|index| self.rows.get(*index))
            .find(|row| row.is(name))
    }

    /// What a path names, as sent; empty when it is not there, or when a row above a result has
    /// more there than [`SHARED_TEXT_MAX`].
    pub(super) fn raw(&self, path: &FieldPath) -> &'r str {
        let Some(row) = self.row(&path.record) else {
            return "";
        };
        let raw = row.get(path);
        if row.role != Role::Result && raw.len() > SHARED_TEXT_MAX {
            return "";
        }
        raw
    }

    /// The first of the paths that names something: its text without escapes and padding.
    pub(super) fn text(&self, paths: &[FieldPath], padding: &str) -> String {
        let texts = paths.iter().map(|path| self.plain(path, padding));
        texts
            .filter(|text| !text.is_empty())
            .map(|text| show(&text))
            .next()
            .unwrap_or_default()
    }

    /// All that the paths name, every repeat, without what is empty or `""` (no statement).
    pub(super) fn all(&self, paths: &[FieldPath], padding: &str) -> Vec<String> {
        let rows = paths
            .iter()
            .filter_map(|path| Some((self.row(&path.record)?, path)));
        rows.flat_map(|(row, path)| row.each(path).take(REPEATS_MAX).map(move |raw| (row, raw)))
            .filter(|(row, raw)| row.role == Role::Result || raw.len() <= SHARED_TEXT_MAX)
            .map(|(row, raw)| show(trim(&row.plain(raw, &mut Vec::new()), padding)))
            .filter(|text| !text.is_empty() && text != "\"\"")
            .collect()
    }

    /// One path's text without escapes and padding; marks of undecodable bytes stay.
    pub(super) fn plain(&self, path: &FieldPath, padding: &str) -> Cow<'r, str> {
        let Some(row) = self.row(&path.record) else {
            return Cow::Borrowed("");
        };
        match row.plain(self.raw(path), &mut Vec::new()) {
            Cow::Borrowed(text) => Cow::Borrowed(trim(text, padding)),
            Cow::Owned(text) => Cow::Owned(trim(&text, padding).to_owned()),
        }
    }

    /// Whether any of the rules holds here.
    pub(super) fn any(&self, rules: &[Condition]) -> bool {
        rules
            .iter()
            .any(|rule| rule.holds(|path| self.plain(path, " ")))
    }
}

/// Longest text taken from a row that many results share. Each result has its own copy, so a field
/// of a megabyte over forty thousand results would be forty gigabytes. No tube id, name or time is
/// longer; one that is counts as not sent, so its results are held.
const SHARED_TEXT_MAX: usize = 512;
/// Most repeats of a list: identifiers, flags, tests asked for.
const REPEATS_MAX: usize = 500;

/// Takes declared padding off both ends.
pub(super) fn trim<'t>(text: &'t str, padding: &str) -> &'t str {
    text.trim_matches(|ch| padding.contains(ch))
}
