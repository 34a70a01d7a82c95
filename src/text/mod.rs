//! Every text that technicians see, from one table per language.
//!
//! The command line and the logs are English and do not use this. Arguments stand in a text as
//! `{name}`. A test fails when a key is missing in a language.

mod said;

use std::{collections::BTreeMap, sync::LazyLock};

use toml::{Table, Value};

use crate::{
    model::{HoldReason, OrderStatus, Priority, QueueState},
    worklist::Act,
};

pub use self::said::said;

/// A language of the people in the laboratory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// Vietnamese.
    #[default]
    Vi,
    /// English.
    En,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::Vi, Self::En];

    /// Its ISO 639-1 code, as `lab.toml` and HTML write it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Vi => "vi",
            Self::En => "en",
        }
    }

    fn texts(self) -> &'static BTreeMap<String, String> {
        static VI: LazyLock<BTreeMap<String, String>> =
            LazyLock::new(|| flat(include_str!("vi.toml")));
        static EN: LazyLock<BTreeMap<String, String>> =
            LazyLock::new(|| flat(include_str!("en.toml")));
        match self {
            Self::Vi => &VI,
            Self::En => &EN,
        }
    }
}

/// The text of a key such as `hold.unit-differs.what`, with its arguments filled in. A key that
/// is missing shows itself: an odd word on a page is better than a page that does not come.
pub fn text(language: Language, key: &str, args: &[(&str, &str)]) -> String {
    let template = language.texts().get(key).map_or(key, String::as_str);
    fill(template, args)
}

/// Whether a language has a key.
pub fn has(language: Language, key: &str) -> bool {
    language.texts().contains_key(key)
}

/// What a technician reads about one hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldText {
    /// A few words, for lists.
    pub title: String,
    /// What happened.
    pub what: String,
    /// What to do now.
    pub todo: String,
}

/// The words for a hold reason.
pub fn hold(language: Language, reason: HoldReason) -> HoldText {
    let part = |part: &str| text(language, &format!("hold.{}.{part}", reason.code()), &[]);
    HoldText {
        title: part("title"),
        what: part("what"),
        todo: part("todo"),
    }
}

/// What a technician reads about a note or a problem of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeText {
    /// What happened.
    pub what: String,
    /// What to do now.
    pub todo: String,
}

/// The words for a code such as `ASTM-0101` that a line notes; `None` for one that no line notes.
pub fn code(language: Language, code: &str) -> Option<CodeText> {
    static KEYS: LazyLock<BTreeMap<String, String>> =
        LazyLock::new(|| by_code(include_str!("codes.toml")));
    let key = KEYS.get(code)?;
    let part = |part: &str| text(language, &format!("code.{key}.{part}"), &[]);
    Some(CodeText {
        what: part("what"),
        todo: part("todo"),
    })
}

/// The key of each code.
fn by_code(file: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for (key, codes) in file.parse::<Table>().unwrap_or_default() {
        for code in codes.as_array().into_iter().flatten() {
            if let Some(code) = code.as_str() {
                keys.insert(code.to_owned(), key.clone());
            }
        }
    }
    keys
}

/// The words for a queue state.
pub fn queue_state(language: Language, state: QueueState) -> String {
    text(language, &format!("queue.{}", state.code()), &[])
}

/// The words for what a person can do.
pub fn act(language: Language, act: Act) -> String {
    text(language, &format!("act.{}", act.code()), &[])
}

/// The words for an order's status.
pub fn order_status(language: Language, status: OrderStatus) -> String {
    text(language, &format!("order.{}", status.code()), &[])
}

/// The words for a priority.
pub fn priority(language: Language, priority: Priority) -> String {
    text(language, &format!("priority.{}", priority.code()), &[])
}

/// Replaces each `{name}` once, from left to right; what an argument brings in is not looked at
/// again, so that a value with braces in it stays as it is.
fn fill(template: &str, args: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let named = after.split_once('}');
        let value = named.and_then(|(name, _)| args.iter().find(|(known, _)| *known == name));
        if let (Some((_, tail)), Some((_, value))) = (named, value) {
            filled.push_str(value);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

/// The tables of a file as keys with dots. A file that is not TOML gives no keys, and a test says
/// so before anyone else can.
fn flat(file: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    flatten("", &file.parse::<Table>().unwrap_or_default(), &mut texts);
    texts
}

fn flatten(prefix: &str, table: &Table, texts: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        if let Value::Table(inner) = value {
            flatten(&key, inner, texts);
        } else if let Value::String(text) = value {
            texts.insert(key, text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_missing_in_either_language() {
        for (file, language) in [
            (include_str!("vi.toml"), Language::Vi),
            (include_str!("en.toml"), Language::En),
        ] {
            assert!(file.parse::<Table>().is_ok(), "{language:?} is not TOML");
        }
        let keys = |language: Language| language.texts().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(Language::Vi), keys(Language::En));
        for language in Language::ALL {
            for (key, text) in language.texts() {
                assert!(!text.trim().is_empty(), "{language:?} {key}");
            }
        }
    }

    #[test]
    fn every_reason_state_status_and_priority_has_its_words_in_both_languages() {
        let mut keys = Vec::new();
        for reason in HoldReason::ALL {
            keys.extend(["title", "what", "todo"].map(|p| format!("hold.{}.{p}", reason.code())));
        }
        keys.extend(
            QueueState::ALL
                .iter()
                .map(|state| format!("queue.{}", state.code())),
        );
        keys.extend(Act::ALL.iter().map(|act| format!("act.{}", act.code())));
        keys.extend(["SC", "A", "CM", "CA"].map(|status| format!("order.{status}")));
        keys.extend(["S", "A", "R"].map(|priority| format!("priority.{priority}")));
        for key in keys {
            for language in Language::ALL {
                assert!(has(*language, &key), "{language:?} lacks {key}");
            }
        }
    }

    /// The first column of every table in a list of codes.
    fn listed(list: &str) -> impl Iterator<Item = &str> {
        let rows = list.lines().filter_map(|line| line.strip_prefix("| "));
        let cells = rows.filter_map(|row| Some(row.split_once(" |")?.0.trim_matches('`')));
        cells.filter(|cell| cell.len() > 5 && cell.as_bytes()[cell.len() - 5] == b'-')
    }

    #[test]
    fn every_code_that_a_line_notes_says_what_to_do_in_both_languages() {
        let lists = [
            include_str!("../../protocols/CLAUSES.md"),
            include_str!("../../protocols/CLAUSES-hl7.md"),
            include_str!("../../protocols/CLAUSES-vendor.md"),
            include_str!("../../drivers/CODES.md"),
        ];
        // Links note codes of their first hundred, MLLP all of its own; ports have other hundreds.
        let is_noted = |code: &&str| match code.split_once('-') {
            Some(("ASTM" | "BAU" | "BCI" | "DIM" | "POC" | "SYX", number)) => {
                number.starts_with("01")
            }
            Some(("MLLP", _)) => true,
            Some(("DRV", number)) => !number.starts_with("00"),
            _ => false,
        };
        let noted: Vec<&str> = lists
            .into_iter()
            .flat_map(listed)
            .filter(is_noted)
            .collect();
        assert!(noted.len() > 200, "{}", noted.len());
        for name in &noted {
            for language in Language::ALL {
                let text = code(*language, name);
                assert!(text.is_some(), "{name} is not in codes.toml");
                let text = text.expect("looked at above");
                for part in [text.what, text.todo] {
                    assert!(!part.starts_with("code."), "{language:?} {part}");
                }
            }
        }
        let keys = by_code(include_str!("codes.toml"));
        for name in keys.keys() {
            assert!(noted.contains(&name.as_str()), "{name} is no code");
        }
        assert_eq!(code(Language::Vi, "ASTM-9999"), None);
    }

    #[test]
    fn both_languages_use_the_same_arguments() {
        let names = |text: &str| {
            let mut names: Vec<String> = text
                .split('{')
                .skip(1)
                .filter_map(|part| Some(part.split_once('}')?.0.to_owned()))
                .collect();
            names.sort();
            names
        };
        for (key, vi) in Language::Vi.texts() {
            assert_eq!(names(vi), names(&text(Language::En, key, &[])), "{key}");
        }
    }

    #[test]
    fn arguments_are_filled_in_once_and_braces_in_them_stay() {
        assert_eq!(
            fill("{a} and {b} {c}", &[("a", "{b}"), ("b", "2")]),
            "{b} and 2 {c}"
        );
        assert_eq!(fill("no end {a", &[("a", "1")]), "no end {a");
        assert_eq!(text(Language::En, "no.such.key", &[]), "no.such.key");
    }
}
