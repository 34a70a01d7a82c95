//! Fields of outgoing records: literals with slots, such as `{specimen:>22}^B`.

/// A field to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Slot { name: String, width: Width },
}

/// To which width a slot is filled with spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    AsIs,
    Left(usize),
    Right(usize),
}

/// What a slot may name, besides `echo.NAME`.
const SLOTS: &[&str] = &[
    "specimen",
    "tests",
    "priority",
    "collected",
    "now",
    "action",
    "type",
    "control",
    "rack",
    "position",
    "placer",
    "patient.id",
    "patient.family",
    "patient.given",
    "patient.birth",
    "patient.sex",
    "sender",
];

/// Widest padded slot; no field of any device is wider.
const WIDTH_MAX: usize = 99;

impl Template {
    /// Reads a template; the error says what to write.
    ///
    /// # Errors
    /// A text for a person who edits a profile.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            pieces.push(Piece::Literal(literal.to_owned()));
            let (slot, after) = after.split_once('}').ok_or("`{` without `}`")?;
            pieces.push(parse_slot(slot)?);
            rest = after;
        }
        if rest.contains('}') {
            return Err("`}` without `{`".to_owned());
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Literal(String::new()));
        Ok(Self { pieces })
    }

    /// Writes the field, `fill` giving what stands in a slot.
    ///
    /// # Errors
    /// Whatever `fill` refuses.
    pub fn render<E>(
        &self,
        mut fill: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Slot { name, width } => out.extend(width.pad(fill(name)?)),
            }
        }
        Ok(out)
    }

    /// The slots it names.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot { name, .. } => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }
}

fn parse_slot(text: &str) -> Result<Piece, String> {
    let (name, width) = match text.split_once(':') {
        Some((name, width)) => (name, parse_width(width)?),
        None => (text, Width::AsIs),
    };
    let is_echo = name
        .strip_prefix("echo.")
        .is_some_and(|echo| !echo.is_empty());
    if !is_echo && !SLOTS.contains(&name) {
        let known = SLOTS.join("}, {");
        return Err(format!(
            "`{{{name}}}` is no slot; there are {{{known}}} and {{echo.NAME}}"
        ));
    }
    Ok(Piece::Slot {
        name: name.to_owned(),
        width,
    })
}

fn parse_width(text: &str) -> Result<Width, String> {
    let number = |digits: &str| match digits.parse() {
        Ok(width @ 1..=WIDTH_MAX) => Ok(width),
        _ => Err(format!(
            "write a width from 1 to {WIDTH_MAX}: `{{specimen:>22}}`"
        )),
    };
    if let Some(digits) = text.strip_prefix('>') {
        return number(digits).map(Width::Right);
    }
    number(text.strip_prefix('<').unwrap_or(text)).map(Width::Left)
}

impl Width {
    fn pad(self, mut bytes: Vec<u8>) -> Vec<u8> {
        let missing = |width: usize| vec![b' '; width.saturating_sub(bytes.len())];
        match self {
            Self::AsIs => bytes,
            Self::Left(width) => {
                let spaces = missing(width);
                bytes.extend(spaces);
                bytes
            }
            Self::Right(width) => {
                let mut padded = missing(width);
                padded.extend(bytes);
                padded
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: Option<&str>) {
        let rendered = Template::parse(template).ok().map(|template| {
            let fill = |name: &str| Ok::<_, ()>(name.to_uppercase().into_bytes());
            String::from_utf8(template.render(fill).expect("fill never refuses")).expect("ASCII")
        });
        assert_eq!(rendered.as_deref(), expected, "{template}");
    }

    #[test]
    fn slots_are_filled_and_padded() {
        check("", Some(""));
        check("^^{specimen}^B", Some("^^SPECIMEN^B"));
        check("{rack:<6}|{rack:>6}|{rack:2}", Some("RACK  |  RACK|RACK"));
        check("{echo.place}{tests}", Some("ECHO.PLACETESTS"));
    }

    #[test]
    fn broken_templates_are_refused() {
        for bad in [
            "{",
            "{specimen",
            "}",
            "{nothing}",
            "{echo.}",
            "{rack:>0}",
            "{rack:x}",
        ] {
            check(bad, None);
        }
    }
}
