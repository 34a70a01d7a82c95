//! Reference ranges by age and sex.

use std::{fmt, str::FromStr};

use jiff::{ToSpan, civil::Date};

use super::Limits;
use crate::{config::choice::Choice, model::Sex};

/// Whom a range is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeSex {
    /// Everyone.
    #[default]
    Any,
    /// Male.
    M,
    /// Female.
    F,
}

impl Choice for RangeSex {
    const ALL: &'static [Self] = &[Self::Any, Self::M, Self::F];

    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::M => "M",
            Self::F => "F",
        }
    }
}

/// One reference range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRange {
    /// Whom it is for.
    pub sex: RangeSex,
    /// From this age on.
    pub from: Option<Age>,
    /// Below this age.
    pub below: Option<Age>,
    /// The range itself.
    pub limits: Limits,
    /// What stands on the report in place of numbers, such as `Negative`.
    pub text: String,
}

impl ReferenceRange {
    pub(super) fn applies(&self, sex: Option<Sex>, birth: Option<Date>, on: Date) -> bool {
        let sex_fits = match self.sex {
            RangeSex::Any => true,
            RangeSex::M => sex == Some(Sex::M),
            RangeSex::F => sex == Some(Sex::F),
        };
        let is_reached = |age: Age| birth.map(|birth| age.reached(birth) <= on);
        sex_fits
            && self.from.is_none_or(|age| is_reached(age) == Some(true))
            && self.below.is_none_or(|age| is_reached(age) == Some(false))
    }

    /// Whether some patient could have both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let sexes_meet =
            self.sex == other.sex || self.sex == RangeSex::Any || other.sex == RangeSex::Any;
        let starts_before = |a: &Self, b: &Self| match (a.from, b.below) {
            (Some(from), Some(below)) => from.days() < below.days(),
            _ => true,
        };
        sexes_meet && starts_before(self, other) && starts_before(other, self)
    }
}

impl fmt::Display for ReferenceRange {
    /// As OBX-7 has it: `3.9-6.4`, `< 5`, `> 60`, or the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.limits.low, self.limits.high) {
            _ if !self.text.is_empty() => f.write_str(&self.text),
            (Some(low), Some(high)) => write!(f, "{low}-{high}"),
            (Some(low), None) => write!(f, "> {low}"),
            (None, Some(high)) => write!(f, "< {high}"),
            (None, None) => Ok(()),
        }
    }
}

/// The unit of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeUnit {
    /// Days.
    Day,
    /// Weeks.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

/// An age as the catalogue writes it: `28d`, `6w`, `3m`, `18y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// How many.
    pub number: u16,
    /// Of what.
    pub unit: AgeUnit,
}

impl Age {
    /// The day on which someone born on `birth` reaches it.
    fn reached(self, birth: Date) -> Date {
        let number = i64::from(self.number);
        birth.saturating_add(match self.unit {
            AgeUnit::Day => number.days(),
            AgeUnit::Week => number.weeks(),
            AgeUnit::Month => number.months(),
            AgeUnit::Year => number.years(),
        })
    }

    /// About how many days; good enough to see that two ranges overlap.
    fn days(self) -> u32 {
        let number = u32::from(self.number);
        match self.unit {
            AgeUnit::Day => number,
            AgeUnit::Week => number * 7,
            AgeUnit::Month => number * 3044 / 100,
            AgeUnit::Year => number * 36_525 / 100,
        }
    }
}

/// Nobody is older; it keeps date arithmetic far from its limits.
const AGE_NUMBER_MAX: u16 = 999;

impl FromStr for Age {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits) {
            Some("d") => AgeUnit::Day,
            Some("w") => AgeUnit::Week,
            Some("m") => AgeUnit::Month,
            Some("y") => AgeUnit::Year,
            _ => return Err(()),
        };
        let number = digits
            .parse()
            .ok()
            .filter(|number| *number <= AGE_NUMBER_MAX)
            .ok_or(())?;
        Ok(Self { number, unit })
    }
}
