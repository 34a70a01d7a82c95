//! The delimiters of one message (HL7 v2.5.1 2.5.4): read from its MSH-1 and MSH-2, never assumed.

use super::ParseError;

/// The delimiters of one message; all distinct ASCII punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Separators {
    field: u8,
    component: u8,
    repetition: u8,
    escape: u8,
    subcomponent: Option<u8>,
    truncation: Option<u8>,
}

/// Distance of MSH-2 from the start of the segment: `MSH` and MSH-1.
const MSH_2_AT: usize = 4;
/// Fewest characters in MSH-2: component, repetition, escape.
const MSH_2_MIN: usize = 3;
/// Characters in MSH-2 up to 2.6.
const MSH_2_USUAL: usize = 4;
/// Most characters in MSH-2: the fifth is the truncation character (v2.7).
const MSH_2_MAX: usize = 5;

impl Separators {
    /// `|^~\&`, what the standard suggests and everybody uses.
    pub const STANDARD: Self = Self {
        field: b'|',
        component: b'^',
        repetition: b'~',
        escape: b'\\',
        subcomponent: Some(b'&'),
        truncation: None,
    };

    /// Reads them from the start of a header segment (`MSH`, `FHS` or `BHS`).
    ///
    /// # Errors
    /// [`ParseError::BadSeparators`] when MSH-2 has fewer than three or more than five characters,
    /// or when two delimiters are the same, or one is no ASCII punctuation.
    pub fn read(segment: &[u8]) -> Result<Self, ParseError> {
        let bad = ParseError::BadSeparators;
        let field = *segment.get(MSH_2_AT - 1).ok_or(bad)?;
        let rest = segment.get(MSH_2_AT..).ok_or(bad)?;
        let end = rest
            .iter()
            .position(|&byte| byte == field || byte == b'\r' || byte == b'\n');
        let encoding = rest.get(..end.unwrap_or(rest.len())).ok_or(bad)?;
        if !(MSH_2_MIN..=MSH_2_MAX).contains(&encoding.len()) {
            return Err(bad);
        }
        let mut seen = [field].to_vec();
        for &byte in encoding {
            if seen.contains(&byte) {
                return Err(bad);
            }
            seen.push(byte);
        }
        if !seen.iter().all(u8::is_ascii_punctuation) {
            return Err(bad);
        }
        let mut encoding = encoding.iter().copied();
        Ok(Self {
            field,
            component: encoding.next().ok_or(bad)?,
            repetition: encoding.next().ok_or(bad)?,
            escape: encoding.next().ok_or(bad)?,
            subcomponent: encoding.next(),
            truncation: encoding.next(),
        })
    }

    /// MSH-1.
    pub const fn field(self) -> u8 {
        self.field
    }

    /// First character of MSH-2.
    pub const fn component(self) -> u8 {
        self.component
    }

    /// Second character of MSH-2.
    pub const fn repetition(self) -> u8 {
        self.repetition
    }

    /// Third character of MSH-2.
    pub const fn escape(self) -> u8 {
        self.escape
    }

    /// Fourth character of MSH-2; none where the sender leaves it out.
    pub const fn subcomponent(self) -> Option<u8> {
        self.subcomponent
    }

    /// Fifth character of MSH-2 (v2.7).
    pub const fn truncation(self) -> Option<u8> {
        self.truncation
    }

    /// MSH-2 written out.
    pub fn encoding_characters(self) -> String {
        [
            Some(self.component),
            Some(self.repetition),
            Some(self.escape),
        ]
        .into_iter()
        .chain([self.subcomponent, self.truncation])
        .flatten()
        .map(char::from)
        .collect()
    }

    /// Whether MSH-2 has the length that the standard gives (four, or five from v2.7).
    pub const fn is_usual(self) -> bool {
        self.subcomponent.is_some()
    }
}

const _: () = assert!(MSH_2_MIN < MSH_2_USUAL && MSH_2_USUAL < MSH_2_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Separators, ParseError> {
        Separators::read(text.as_bytes())
    }

    #[test]
    fn four_encoding_characters_are_read_in_the_order_of_the_standard() {
        assert_eq!(read(r"MSH|^~\&|A"), Ok(Separators::STANDARD));
        assert_eq!(read(r"MSH|^~\&"), Ok(Separators::STANDARD));
    }

    #[test]
    fn a_truncation_character_does_not_shift_anything() {
        let separators = read(r"MSH|^~\&#|A").unwrap();
        assert_eq!(separators.truncation(), Some(b'#'));
        assert_eq!(separators.encoding_characters(), r"^~\&#");
    }

    #[test]
    fn three_characters_leave_the_subcomponent_separator_out() {
        let separators = read(r"MSH|^~\|A").unwrap();
        assert_eq!(separators.subcomponent(), None);
        assert!(!separators.is_usual());
    }

    #[test]
    fn unusual_delimiters_are_taken_as_declared() {
        let separators = read(r"MSH$%*!/$A").unwrap();
        assert_eq!(
            (
                separators.field(),
                separators.component(),
                separators.escape()
            ),
            (b'$', b'%', b'!')
        );
    }

    #[test]
    fn what_does_not_name_distinct_delimiters_is_refused() {
        for text in [
            "MSH",
            "MSH|",
            "MSH|^",
            "MSH|^~",
            "MSH|^~|A",
            "MSH|^^\\&|A",
            "MSH|^~\\&#+|A",
            "MSH|^~\\|",
            "MSHA^~\\&|",
            "MSH|ab\\&|A",
            "MSH|^~\u{e9}&|",
            "MSH|^~\r\\&|",
        ] {
            let expected = text == "MSH|^~\\|";
            assert_eq!(read(text).is_ok(), expected, "{text:?}");
        }
    }
}
