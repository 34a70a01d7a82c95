//! Rules of a profile: `O.4.3 starts-with QC-`, `H.12 = Q`, and texts with wildcards.

use super::{FieldPath, Protocol};

/// One rule; its parts, joined in the file by ` and `, must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    parts: Vec<(FieldPath, Test)>,
}

/// What is asked of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `= text`
    Equals(String),
    /// `!= text`
    Differs(String),
    /// `starts-with text`
    StartsWith(String),
    /// `ends-with text`
    EndsWith(String),
    /// `contains text`
    Contains(String),
    /// `matches pattern`
    Matches(Pattern),
    /// `is-empty`
    IsEmpty,
    /// `is-present`
    IsPresent,
}

/// A text in which `*` stands for any run of characters and `#` for one digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

const OPERATORS: &str = "write a field and one of `= text`, `!= text`, `starts-with text`, `ends-with text`, \
     `contains text`, `matches pattern`, `is-empty`, `is-present`: `O.4.3 starts-with QC-`";

impl Condition {
    /// Reads a rule; the error says what to write.
    ///
    /// # Errors
    /// A text for a person who edits a profile.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, String> {
        let part = |part: &str| {
            let (path, test) = part.trim().split_once(' ').ok_or(OPERATORS)?;
            Ok::<_, String>((FieldPath::parse(path, protocol)?, Test::parse(test)?))
        };
        let parts = text.split(" and ").map(part).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Whether every part holds, `lookup` giving the decoded and unpadded text of a field.
    pub fn holds<'t>(&self, lookup: impl Fn(&FieldPath) -> std::borrow::Cow<'t, str>) -> bool {
        self.parts
            .iter()
            .all(|(path, test)| test.holds(&lookup(path)))
    }

    /// The fields it looks at.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.parts.iter().map(|(path, _)| path)
    }
}

impl Test {
    /// Reads operator and operand.
    ///
    /// # Errors
    /// A text for a person who edits a profile.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (operator, operand) = text.split_once(' ').unwrap_or((text, ""));
        let operand = operand.trim().to_owned();
        let test = match operator {
            "is-empty" if operand.is_empty() => return Ok(Self::IsEmpty),
            "is-present" if operand.is_empty() => return Ok(Self::IsPresent),
            "=" => Self::Equals(operand),
            "!=" => Self::Differs(operand),
            "starts-with" => Self::StartsWith(operand),
            "ends-with" => Self::EndsWith(operand),
            "contains" => Self::Contains(operand),
            "matches" => Self::Matches(Pattern::new(&operand)),
            _ => return Err(OPERATORS.to_owned()),
        };
        // A rule without its text would hold everywhere, or nowhere.
        if text.split_once(' ').is_none() {
            Err(OPERATORS.to_owned())
        } else {
            Ok(test)
        }
    }

    /// Whether `text` is such a text.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Equals(wanted) => text == wanted,
            Self::Differs(wanted) => text != wanted,
            Self::StartsWith(wanted) => text.starts_with(wanted.as_str()),
            Self::EndsWith(wanted) => text.ends_with(wanted.as_str()),
            Self::Contains(wanted) => text.contains(wanted.as_str()),
            Self::Matches(pattern) => pattern.is_match(text),
            Self::IsEmpty => text.is_empty(),
            Self::IsPresent => !text.is_empty(),
        }
    }
}

impl Pattern {
    /// A pattern; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole of `text` fits.
    pub fn is_match(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| strip_piece(text, first)) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        let Some(_) = pieces.peek() else {
            return rest.is_empty();
        };
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return ends_with_piece(rest, piece);
            }
            // The leftmost fit leaves most to the pieces after it, so no other need be tried.
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            let found = starts
                .filter_map(|at| rest.get(at..))
                .find_map(|r| strip_piece(r, piece));
            let Some(after) = found else { return false };
            rest = after;
        }
        true
    }

    /// As written in the profile.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What follows `piece` at the start of `text`.
fn strip_piece<'t>(text: &'t str, piece: &str) -> Option<&'t str> {
    let mut rest = text.chars();
    for wanted in piece.chars() {
        let found = rest.next()?;
        let fits = if wanted == '#' {
            found.is_ascii_digit()
        } else {
            found == wanted
        };
        if !fits {
            return None;
        }
    }
    Some(rest.as_str())
}

fn ends_with_piece(text: &str, piece: &str) -> bool {
    let Some(skip) = text.chars().count().checked_sub(piece.chars().count()) else {
        return false;
    };
    let at = text
        .char_indices()
        .nth(skip)
        .map_or(text.len(), |(at, _)| at);
    text.get(at..).and_then(|tail| strip_piece(tail, piece)) == Some("")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[track_caller]
    fn check(rule: &str, value: &str, expected: bool) {
        let condition = Condition::parse(rule, Protocol::Astm).expect(rule);
        assert_eq!(
            condition.holds(|_| Cow::Borrowed(value)),
            expected,
            "{rule} on `{value}`"
        );
    }

    #[test]
    fn rules_hold_where_they_say() {
        check("O.4.3 starts-with QC-", "QC-82151403", true);
        check("O.4.3 starts-with QC-", "25QC-1", false);
        check("H.12 = Q", "Q", true);
        check("H.12 = Q", "q", false);
        check("H.12 != P", "", true);
        check("O.3 ends-with CTRL", "1CTRL", true);
        check("O.3 contains CTRL", "1CTRL2", true);
        check("O.3 is-empty", "", true);
        check("O.3 is-present", "", false);
        check("O.3 matches QC*-##", "QC-anything-07", true);
        check("O.3 matches QC*-##", "QC-anything-7", false);
        check("O.3 starts-with Q and O.3 ends-with 9", "QC9", true);
        check("O.3 starts-with Q and O.3 ends-with 9", "QC8", false);
    }

    #[test]
    fn rules_without_an_operand_are_refused() {
        for bad in [
            "",
            "H.12",
            "H.12 =",
            "H.12 like Q",
            "H.12 starts-with",
            "H-12 = Q",
            "= Q",
        ] {
            assert!(Condition::parse(bad, Protocol::Astm).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_fit_whole_texts() {
        for (pattern, text, expected) in [
            ("SCAT_*", "SCAT_WDF", true),
            ("SCAT_*", "XSCAT_WDF", false),
            ("*?", "Left_Shift?", true),
            ("*?", "WBC", false),
            ("*", "", true),
            ("WBC", "WBC", true),
            ("WBC", "WBC1", false),
            ("15###", "15008", true),
            ("15###", "1500A", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("Độ*#", "Độ cao 5", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).is_match(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }
}
