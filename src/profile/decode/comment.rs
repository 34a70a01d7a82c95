//! What a profile says of a result besides its value, in words for a person: the donor of a
//! crossmatch, the reaction of a well.

use super::{Decoder, Parent};
use crate::{
    model::Item,
    profile::{
        CommentRule,
        rows::{Row, shorten},
    },
};

impl Decoder<'_> {
    /// A manufacturer's record: a comment on the result before it where the profile says how to
    /// read it, else an event.
    pub(super) fn manufacturer(&mut self, index: usize, row: &Row<'_>) {
        self.context.enter(index);
        let profile = &self.line.profile;
        let rule = profile.comments.iter().find(|rule| row.is(rule.record()));
        let parent = match self.parent {
            Parent::Entry(at) => self.entries.get(at).map(|entry| (at, &entry.item)),
            Parent::None | Parent::Order => None,
        };
        let (Some(rule), Some((at, Item::Observation(_)))) = (rule, parent) else {
            self.event(row, "manufacturer", row.shown());
            return;
        };
        let said = self.said(rule);
        let is_tainted = self.context.any(&rule.holds_when);
        let is_edited = self.context.any(&rule.edited_when);
        if let Some(entry) = self.entries.get_mut(at) {
            if let Item::Observation(observation) = &mut entry.item {
                observation.comments.extend(said.clone());
            }
            if is_edited {
                entry.edits = said.clone().or(entry.edits.take());
            }
            if is_tainted {
                entry.taints = said.or(entry.taints.take());
            }
        }
    }

    /// What fields of the result row in force say of it.
    pub(super) fn own_comments(&self, row: &Row<'_>) -> Vec<String> {
        let own = self.own_rules(row);
        own.filter_map(|rule| self.said(rule)).collect()
    }

    /// What of it makes the results of its order suspect.
    pub(super) fn own_taint(&self, row: &Row<'_>) -> Option<String> {
        let mut own = self.own_rules(row);
        let rule = own.find(|rule| self.context.any(&rule.holds_when))?;
        self.said(rule)
    }

    /// What of it says that somebody changed a reading.
    pub(super) fn own_edit(&self, row: &Row<'_>) -> Option<String> {
        let mut own = self.own_rules(row);
        let rule = own.find(|rule| self.context.any(&rule.edited_when))?;
        self.said(rule)
    }

    fn own_rules<'s>(&'s self, row: &'s Row<'_>) -> impl Iterator<Item = &'s CommentRule> {
        let rules = self.line.profile.comments.iter();
        rules.filter(|rule| row.is(rule.record()))
    }

    /// `label: texts`, and `None` where there are none. A text that the rule knows is told with what
    /// it means, `3+ (30)`.
    fn said(&self, rule: &CommentRule) -> Option<String> {
        let texts = rule
            .text
            .iter()
            .map(|path| self.context.text(std::slice::from_ref(path), " "));
        let told: Vec<String> = texts
            .filter(|text| !text.is_empty())
            .map(|text| match rule.coded.get(&*text) {
                Some(meaning) => format!("{meaning} ({text})"),
                None => text.into_owned(),
            })
            .collect();
        let told = told.join(" ");
        let label = rule.label.as_str();
        match (told.is_empty(), label.is_empty()) {
            (true, _) => None,
            (false, true) => Some(shorten(&told)),
            (false, false) => Some(shorten(&format!("{label}: {told}"))),
        }
    }
}
