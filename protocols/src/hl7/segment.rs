//! Segments, fields, repeats, components and subcomponents as views into the text (HL7 v2.5.1 2.5).
//!
//! Nothing is split before it is asked for, and nothing is copied: a view is a `&str` and the
//! delimiters. An element that was not sent reads as an empty one, as the standard says (2.5.3.2).

use std::{borrow::Cow, ops::Range};

use super::{Separators, escape, path::Path};

/// One segment, without its terminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    raw: &'a str,
    name: &'a str,
    start: usize,
    index: usize,
    is_bad: bool,
    separators: Separators,
}

/// Whether a field says nothing, says "delete", or says something (HL7 v2.5.1 2.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldState {
    /// Not sent, or sent empty: no statement, leave what is known.
    Empty,
    /// `""`: delete what is known.
    Null,
    /// A value.
    Value,
}

/// One field: everything between two field separators, repeats included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a str,
    start: usize,
    is_literal: bool,
    separators: Separators,
}

/// One repeat of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat<'a> {
    raw: &'a str,
    is_literal: bool,
    separators: Separators,
}

/// One component of a repeat, or one subcomponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component<'a> {
    raw: &'a str,
    is_literal: bool,
    separators: Separators,
}

/// The segments whose first field is the field separator itself.
pub(super) const HEADERS: [&str; 3] = ["MSH", "FHS", "BHS"];
/// Length of a segment name.
pub(super) const NAME_LEN: usize = 3;

impl<'a> Segment<'a> {
    /// A view of `raw`, which starts at byte `start` of its message.
    pub(super) fn new(raw: &'a str, start: usize, index: usize, separators: Separators) -> Self {
        let usual = raw.get(..NAME_LEN).filter(|name| is_name(name));
        let ends = raw
            .as_bytes()
            .get(NAME_LEN)
            .is_none_or(|&byte| byte == separators.field());
        let name = match usual {
            Some(name) if ends => Some(name),
            _ => raw.split(char::from(separators.field())).next(),
        };
        let name = name.unwrap_or(raw);
        Self {
            raw,
            name,
            start,
            index,
            is_bad: !is_name(name),
            separators,
        }
    }

    /// The text as sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// The name; of a bad segment everything before its first field separator.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Position among the segments of the message, from 0.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Byte positions in the text that was parsed.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// Whether its name is none of the standard's form (2.5.2): kept, noted, never interpreted.
    pub const fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// The delimiters it is written with.
    pub const fn separators(&self) -> Separators {
        self.separators
    }

    /// Number of the last field sent; 0 for a bare name.
    pub fn n(&self) -> usize {
        let separator = self.separators.field();
        let sent = self.raw.bytes().filter(|&byte| byte == separator).count();
        if self.is_header() && sent > 0 {
            sent.saturating_add(1)
        } else {
            sent
        }
    }

    /// Whether it is a header segment, whose field 1 is the field separator.
    pub fn is_header(&self) -> bool {
        HEADERS.contains(&self.name)
    }

    /// Its fields in order, from field 1. The cheap way to read many of them.
    pub fn fields(&self) -> Fields<'a> {
        let body = self.name.len().saturating_add(1);
        let start = self.start.saturating_add(body);
        let rest = self.raw.get(body..);
        let head = if self.is_header() {
            self.raw.get(self.name.len()..body)
        } else {
            None
        };
        Fields {
            head,
            rest,
            start,
            separators: self.separators,
            in_header: self.is_header(),
        }
    }

    /// Field `n`, counted as the standard counts (MSH-1 is the separator); empty if not sent.
    pub fn field(&self, n: usize) -> Field<'a> {
        let found = n.checked_sub(1).and_then(|skip| self.fields().nth(skip));
        found.unwrap_or(Field {
            raw: "",
            start: self.span().end,
            is_literal: false,
            separators: self.separators,
        })
    }

    /// What `path` addresses in this segment, raw; its segment name and occurrence do not matter.
    pub fn get(&self, path: &Path) -> &'a str {
        let field = self.field(path.field());
        if path.repeat().is_none() && path.component().is_none() {
            return field.raw();
        }
        let repeat = field.repeat(path.repeat().unwrap_or(1));
        match (path.component(), path.subcomponent()) {
            (None, _) => repeat.raw(),
            (Some(component), None) => repeat.component(component).raw(),
            (Some(component), Some(sub)) => repeat.component(component).subcomponent(sub).raw(),
        }
    }
}

/// Three characters, a capital first, then capitals and digits (HL7 v2.5.1 2.5.2).
fn is_name(name: &str) -> bool {
    name.len() == NAME_LEN
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_uppercase())
}

/// The fields of a segment, from field 1.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    head: Option<&'a str>,
    rest: Option<&'a str>,
    start: usize,
    separators: Separators,
    in_header: bool,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if let Some(raw) = self.head.take() {
            let start = self.start.saturating_sub(1);
            return Some(Field {
                raw,
                start,
                is_literal: true,
                separators: self.separators,
            });
        }
        let rest = self.rest?;
        // Fields are short: a plain loop over bytes beats a search that sets itself up for long ones.
        let end = rest
            .bytes()
            .position(|byte| byte == self.separators.field());
        let raw = rest.get(..end.unwrap_or(rest.len()))?;
        self.rest = end.and_then(|end| rest.get(end.saturating_add(1)..));
        let start = self.start;
        self.start = start.saturating_add(raw.len()).saturating_add(1);
        // Only the first field after the separator of a header holds delimiters that mean themselves.
        let is_literal = std::mem::take(&mut self.in_header);
        Some(Field {
            raw,
            start,
            is_literal,
            separators: self.separators,
        })
    }
}

impl<'a> Field<'a> {
    /// The text as sent, repeats included.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Byte positions in the text that was parsed.
    pub const fn span(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.raw.len())
    }

    /// The delimiters it is written with.
    pub const fn separators(&self) -> Separators {
        self.separators
    }

    /// Empty, `""`, or a value.
    pub fn state(&self) -> FieldState {
        match self.raw {
            "" => FieldState::Empty,
            "\"\"" => FieldState::Null,
            _ => FieldState::Value,
        }
    }

    /// Whether nothing was sent.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Its repeats; one empty repeat when the field is empty.
    pub fn repeats(&self) -> impl Iterator<Item = Repeat<'a>> + use<'a> {
        let Self {
            raw,
            is_literal,
            separators,
            ..
        } = *self;
        let separator = char::from(separators.repetition());
        raw.split(move |c| c == separator && !is_literal)
            .map(move |raw| Repeat {
                raw,
                is_literal,
                separators,
            })
    }

    /// Repeat `n`, from 1; empty if not sent.
    pub fn repeat(&self, n: usize) -> Repeat<'a> {
        let found = n.checked_sub(1).and_then(|skip| self.repeats().nth(skip));
        found.unwrap_or(Repeat {
            raw: "",
            is_literal: false,
            separators: self.separators,
        })
    }

    /// Component `n` of the first repeat.
    pub fn component(&self, n: usize) -> Component<'a> {
        self.repeat(1).component(n)
    }

    /// Subcomponent `sub` of component `n` of the first repeat.
    pub fn subcomponent(&self, n: usize, sub: usize) -> Component<'a> {
        self.component(n).subcomponent(sub)
    }

    /// The whole field unescaped, for fields of one plain text; empty for `""`.
    pub fn text(&self) -> Cow<'a, str> {
        unescaped(self.raw, self.is_literal, self.separators)
    }
}

impl<'a> Repeat<'a> {
    /// The text as sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether nothing was sent.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Its components, from component 1.
    pub fn components(&self) -> impl Iterator<Item = Component<'a>> + use<'a> {
        let Self {
            raw,
            is_literal,
            separators,
        } = *self;
        let separator = char::from(separators.component());
        raw.split(move |c| c == separator && !is_literal)
            .map(move |raw| Component {
                raw,
                is_literal,
                separators,
            })
    }

    /// Component `n`, from 1; empty if not sent.
    pub fn component(&self, n: usize) -> Component<'a> {
        let found = n
            .checked_sub(1)
            .and_then(|skip| self.components().nth(skip));
        found.unwrap_or(Component {
            raw: "",
            is_literal: false,
            separators: self.separators,
        })
    }
}

impl<'a> Component<'a> {
    /// The text as sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether nothing was sent.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Its subcomponents, from 1; itself where the message declares no subcomponent separator.
    pub fn subcomponents(&self) -> impl Iterator<Item = Self> + use<'a> {
        let Self {
            raw,
            is_literal,
            separators,
        } = *self;
        let separator = separators.subcomponent().map(char::from);
        raw.split(move |c| Some(c) == separator && !is_literal)
            .map(move |raw| Self {
                raw,
                is_literal,
                separators,
            })
    }

    /// Subcomponent `n`, from 1; empty if not sent.
    pub fn subcomponent(&self, n: usize) -> Self {
        let found = n
            .checked_sub(1)
            .and_then(|skip| self.subcomponents().nth(skip));
        found.unwrap_or(Self { raw: "", ..*self })
    }

    /// The text unescaped; empty for `""`.
    pub fn text(&self) -> Cow<'a, str> {
        unescaped(self.raw, self.is_literal, self.separators)
    }
}

fn unescaped(raw: &str, is_literal: bool, separators: Separators) -> Cow<'_, str> {
    if is_literal {
        return Cow::Borrowed(raw);
    }
    if raw == "\"\"" {
        return Cow::Borrowed("");
    }
    escape::decode(raw, separators).0
}
