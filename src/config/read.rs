//! Reads a TOML file key by key, so that one mistake does not hide the next.
//!
//! A derived deserialiser stops at its first error; a site that mends five mistakes wants to hear
//! of five. So the text becomes a tree whose every key and value knows its bytes, and each reader
//! asks its table for the keys it knows. A key nobody asked for is a mistake too.

use std::{
    cell::{Cell, RefCell},
    fmt,
    ops::{Deref, Range, RangeInclusive},
    sync::Arc,
};

use miette::NamedSource;
use rust_decimal::Decimal;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    choice::Choice,
    problem::{Problem, Problems},
    secret,
    suggest::{did_you_mean, one_of},
};

/// A value and the bytes of its file where it stands; equal when the values are.
#[derive(Clone, Debug, Default)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands; empty for a default.
    pub span: Range<usize>,
}

impl<T> At<T> {
    /// A value at its place.
    pub const fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }

    /// A value that the file does not write.
    pub const fn unwritten(value: T) -> Self {
        Self { value, span: 0..0 }
    }

    /// Whether the file writes it.
    pub fn is_written(&self) -> bool {
        !self.span.is_empty()
    }

    /// Another value at the same place.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: with(self.value),
            span: self.span,
        }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Display> fmt::Display for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// One file while it is read.
#[derive(Debug)]
pub struct File {
    source: Arc<NamedSource<String>>,
    problems: RefCell<Problems>,
    /// The text is not whole TOML; what seems missing may only be unreadable.
    is_broken: Cell<bool>,
}

impl File {
    /// Reads `source` with `body` and adds what is wrong with it to `problems`.
    pub fn read<T>(
        source: &Arc<NamedSource<String>>,
        problems: &mut Problems,
        body: impl FnOnce(&Table<'_>) -> T,
    ) -> T {
        let file = Self::new(source);
        let (tree, faults) = DeTable::parse_recoverable(source.inner());
        for fault in &faults {
            file.is_broken.set(true);
            file.error(
                "CONF-0101",
                fault.span().unwrap_or(0..0),
                format!("this is not TOML: {}", fault.message().trim()),
                "here",
                remedy(fault.message()),
            );
        }
        let read = body(&Table::new(
            &file,
            tree.get_ref(),
            0..0,
            "the file".to_owned(),
        ));
        problems.extend(file.into_problems());
        read
    }

    /// A file whose text is already read, for checks between files.
    pub fn new(source: &Arc<NamedSource<String>>) -> Self {
        Self {
            source: Arc::clone(source),
            problems: RefCell::default(),
            is_broken: Cell::new(false),
        }
    }

    /// What is wrong with it.
    pub fn into_problems(self) -> Problems {
        self.problems.into_inner()
    }

    /// Tells of something that must be mended.
    pub fn error(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(
            code,
            span,
            (message.into(), label.into(), help.into()),
            false,
        );
    }

    /// Tells of something that need not be mended.
    pub fn warning(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(
            code,
            span,
            (message.into(), label.into(), help.into()),
            true,
        );
    }

    fn push(
        &self,
        code: &'static str,
        span: Range<usize>,
        (message, label, help): (String, String, String),
        is_warning: bool,
    ) {
        self.problems.borrow_mut().push(Problem {
            code,
            // It goes to the log, too.
            message: secret::masked(&message),
            label,
            help,
            source: Some(Arc::clone(&self.source)),
            span: Some(span),
            is_warning,
        });
    }
}

/// One table while it is read. When it is dropped, every key that nobody asked for is a problem:
/// a check that a reader could forget to call would let a misspelt safety switch through.
#[derive(Debug)]
pub struct Table<'f> {
    file: &'f File,
    table: &'f DeTable<'f>,
    span: Range<usize>,
    name: String,
    asked: RefCell<Vec<&'static str>>,
    takes_any: Cell<bool>,
}

impl<'f> Table<'f> {
    const fn new(file: &'f File, table: &'f DeTable<'f>, span: Range<usize>, name: String) -> Self {
        Self {
            file,
            table,
            span,
            name,
            asked: RefCell::new(Vec::new()),
            takes_any: Cell::new(false),
        }
    }

    /// The file it stands in.
    pub const fn file(&self) -> &'f File {
        self.file
    }

    /// Its header, or the whole inline table.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The raw value of a key.
    pub fn value(&self, key: &'static str) -> Option<&'f Spanned<DeValue<'f>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// A text.
    pub fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.value(key)?;
        self.as_text(key, value)
    }

    /// A text, or what stands for it when the file is silent.
    pub fn text_or(&self, key: &'static str, default: &str) -> At<String> {
        self.text(key)
            .unwrap_or_else(|| At::unwritten(default.to_owned()))
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&self, key: &'static str, example: &str) -> Option<At<String>> {
        if self.value(key).is_none() {
            self.missing(key, example);
            return None;
        }
        let text = self.text(key)?;
        if text.is_empty() {
            self.file.error(
                "CONF-0104",
                text.span.clone(),
                format!("`{key}` is empty in {}", self.name),
                "nothing in it",
                format!("write {key} = \"{example}\""),
            );
            return None;
        }
        Some(text)
    }

    /// Tells that a key is missing; silent where the text is broken anyhow.
    pub fn missing(&self, key: &'static str, example: &str) {
        if self.file.is_broken.get() {
            return;
        }
        self.file.error(
            "CONF-0103",
            self.span(),
            format!("`{key}` is missing in {}", self.name),
            "in this table",
            format!("add {key} = \"{example}\""),
        );
    }

    /// One of a few words.
    pub fn choice<E: Choice>(&self, key: &'static str) -> At<E> {
        let Some(text) = self.text(key) else {
            return At::unwritten(E::default());
        };
        if let Some(value) = E::from_word(&text) {
            return At::new(value, text.span);
        }
        let words: Vec<&str> = E::ALL.iter().map(|value| value.word()).collect();
        let help = match did_you_mean(&text, &words) {
            Some(word) => format!("did you mean `{word}`? `{key}` is {}", one_of(&words)),
            None => format!("`{key}` is {}", one_of(&words)),
        };
        let message = format!("`{}` is no value of `{key}` in {}", *text, self.name);
        self.file.error(
            "CONF-0105",
            text.span,
            message,
            "not one of the values",
            help,
        );
        At::unwritten(E::default())
    }

    /// `true` or `false`; without it `false`.
    pub fn yes(&self, key: &'static str) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        let yes = value.get_ref().as_bool();
        if yes.is_none() {
            self.wrong_type(key, value, "true or false", "true");
        }
        yes.unwrap_or_default()
    }

    /// A whole number within limits.
    pub fn whole(&self, key: &'static str, default: u32, limits: RangeInclusive<u32>) -> At<u32> {
        let Some(value) = self.value(key) else {
            return At::unwritten(default);
        };
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number", &default.to_string());
            return At::unwritten(default);
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        if let Some(number) = number.filter(|number| limits.contains(number)) {
            return At::new(number, value.span());
        }
        self.file.error(
            "CONF-0106",
            value.span(),
            format!(
                "{} is out of range for `{key}` in {}",
                integer.as_str(),
                self.name
            ),
            "out of range",
            format!("`{key}` is from {} to {}", limits.start(), limits.end()),
        );
        At::unwritten(default)
    }

    /// An exact number, written as one or as a text; its scale is kept.
    pub fn decimal(&self, key: &'static str) -> Option<At<Decimal>> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            DeValue::String(text) => text,
            DeValue::Integer(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => "",
        };
        let number = text.trim_start_matches('+').parse::<Decimal>().ok();
        if number.is_none() {
            self.wrong_type(key, value, "a number", "4.00");
        }
        number.map(|number| At::new(number, value.span()))
    }

    /// A list of texts or whole numbers; a single one may stand without brackets.
    pub fn texts(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.value(key)?;
        Some(self.as_texts(key, value))
    }

    /// The value as a list of texts or whole numbers.
    pub fn as_texts(&self, key: &str, value: &'f Spanned<DeValue<'f>>) -> Vec<At<String>> {
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => vec![value],
        };
        items
            .into_iter()
            .filter_map(|item| self.as_text(key, item))
            .collect()
    }

    fn as_text(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(At::new(text.to_string(), value.span()));
        }
        self.wrong_type(key, value, "a text", &format!("\"{}\"", self.raw(value)));
        None
    }

    /// Text to text, in the order written.
    pub fn pairs(&self, key: &'static str) -> Vec<(At<String>, At<String>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table", "{ \"as sent\" = \"meaning\" }");
            return Vec::new();
        };
        let mut pairs: Vec<_> = table
            .iter()
            .filter_map(|(name, value)| {
                let name_at = At::new(name.get_ref().to_string(), name.span());
                Some((name_at, self.as_text(name.get_ref(), value)?))
            })
            .collect();
        pairs.sort_by_key(|(name, _)| name.span.start);
        pairs
    }

    /// The entries of this table whose keys the site chooses, in the order written.
    pub fn entries(&self) -> Vec<(At<String>, &'f Spanned<DeValue<'f>>)> {
        self.takes_any.set(true);
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(name, value)| (At::new(name.get_ref().to_string(), name.span()), value))
            .collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    /// A table.
    pub fn table(&self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table", "{ … }");
            return None;
        };
        Some(Self::new(
            self.file,
            table,
            value.span(),
            format!("[{key}]"),
        ))
    }

    /// A list of tables, such as `[[host]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let items: Vec<&'f Spanned<DeValue<'f>>> = match value.get_ref().as_array() {
            Some(items) => items.iter().collect(),
            None => {
                self.file.error(
                    "CONF-0102",
                    value.span(),
                    format!("`{key}` is not a list of tables"),
                    "one table, or no table",
                    format!("write [[{key}]] with two brackets on each side"),
                );
                return Vec::new();
            }
        };
        items
            .into_iter()
            .filter_map(|item| self.item(key, item))
            .collect()
    }

    fn item(&self, key: &'static str, item: &'f Spanned<DeValue<'f>>) -> Option<Self> {
        let Some(table) = item.get_ref().as_table() else {
            self.wrong_type(key, item, "a table", "{ … }");
            return None;
        };
        let id = table
            .get("id")
            .and_then(|id| id.get_ref().as_str())
            .unwrap_or_default();
        let name = format!("[[{key}]] {id}").trim_end().to_owned();
        Some(Self::new(self.file, table, item.span(), name))
    }

    /// Tells that a value is of another type than its key wants.
    pub fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, example: &str) {
        self.file.error(
            "CONF-0102",
            value.span(),
            format!(
                "`{key}` in {} is {wanted}, not {}",
                self.name,
                kind(value.get_ref())
            ),
            format!("not {wanted}"),
            format!("write {key} = {example}"),
        );
    }

    fn raw(&self, value: &Spanned<DeValue<'_>>) -> &str {
        self.file
            .source
            .inner()
            .get(value.span())
            .unwrap_or("…")
            .trim_matches('"')
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.takes_any.get() {
            return;
        }
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let mut known = asked.clone();
            known.sort_unstable();
            known.dedup();
            let help = match did_you_mean(name, &known) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("the keys here are {}", one_of(&known)),
            };
            let message = format!("unknown key `{name}` in {}", self.name);
            self.file
                .error("CONF-0107", key.span(), message, "no such key", help);
        }
    }
}

/// What to do about text that is not TOML.
fn remedy(fault: &str) -> &'static str {
    if fault.contains("duplicate key") {
        "take one of the two out"
    } else {
        "a value is a \"text\" in quotes, a number, true, false, [a, list] or { a = \"table\" }"
    }
}

/// The words of a value's type.
const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
