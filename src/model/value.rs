//! What an analyzer measured, typed, with the text it sent always kept beside it elsewhere.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A result's value after the profile has looked at its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Value {
    /// A number, or a number beyond a limit (`<0.30`). The scale is kept: 5.40 stays 5.40.
    Quantity {
        /// Present for values off the scale.
        comparator: Option<Comparator>,
        /// The number, exact decimal.
        number: Decimal,
    },
    /// A text that the catalogue maps to a code.
    Coded {
        /// The catalogue's code.
        code: String,
    },
    /// Any other text.
    Text {
        /// Decoded and unescaped.
        text: String,
    },
    /// One part in so many, `1:128`.
    Titre {
        /// The denominator.
        denominator: Decimal,
    },
    /// Two numbers that belong together, `3:4`.
    Ratio {
        /// Before the colon.
        numerator: Decimal,
        /// After the colon.
        denominator: Decimal,
    },
    /// A picture or a curve.
    Image {
        /// IANA media type.
        media_type: String,
        /// Where the bytes lie: offset and length in the journalled message.
        at: (usize, usize),
    },
    /// The device said that it has no value.
    Absent {
        /// Why, as far as the device told.
        why: Absent,
    },
}

/// How a quantity relates to the number beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparator {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

impl Comparator {
    /// As HL7 SN.1 and analyzers write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The field was empty.
    Empty,
    /// The device's mark for a failed analysis: `----`, `***.**`.
    Mark,
    /// The device's mark for a value over its range without a number: `++++`.
    OverRange,
}
