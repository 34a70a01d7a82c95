//! Enough of UCUM to prove that two spellings denote one unit.
//!
//! Source: The Unified Code for Units of Measure, version 2.1, case sensitive codes. Factors are
//! exact fractions; nothing here rounds. In two places this is stricter than UCUM, so that a proof
//! never rests on an assumption about the substance: `mol`, `osm` and `eq` are dimensions of their
//! own (UCUM makes all three one number), and so are the fields of a microscope.

mod atoms;
mod factor;
mod parse;

pub use self::factor::Factor;

use std::collections::BTreeMap;

/// What a unit measures, as powers of base and arbitrary units.
type Dimensions = BTreeMap<&'static str, i32>;

/// A unit taken apart: a factor times powers of base units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    factor: Factor,
    dimensions: Dimensions,
}

/// How two units relate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// One unit in two spellings.
    Equal,
    /// The same quantity; one of the first is this many of the second.
    FactorDiffers(Factor),
    /// Different quantities, or arbitrary units that nothing converts.
    NotComparable,
    /// This text is no UCUM expression.
    NotUcum {
        /// The text.
        which: String,
    },
}

impl Unit {
    /// Reads a UCUM expression; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        parse::unit(text)
    }

    /// The number one, which is also the unit of what only an annotation names.
    pub const fn one() -> Self {
        Self {
            factor: Factor::ONE,
            dimensions: Dimensions::new(),
        }
    }

    /// How this unit relates to another.
    pub fn relation(&self, other: &Self) -> Relation {
        if self.dimensions != other.dimensions {
            return Relation::NotComparable;
        }
        match self.factor.over(&other.factor) {
            Some(Factor::ONE) => Relation::Equal,
            Some(factor) => Relation::FactorDiffers(factor),
            // Past what a fraction holds: certainly not one.
            None => Relation::NotComparable,
        }
    }

    /// Equivalents counted as moles, which is true of monovalent ions only.
    pub fn equivalents_as_moles(&self) -> Self {
        let mut dimensions = self.dimensions.clone();
        for power in ["eq", "osm"]
            .into_iter()
            .filter_map(|name| dimensions.remove(name))
            .collect::<Vec<_>>()
        {
            add_power(&mut dimensions, "mol", power);
        }
        Self {
            factor: self.factor,
            dimensions,
        }
    }

    fn times(&self, other: &Self, power: i32) -> Option<Self> {
        let factor = self.factor.times(&other.factor.to_the(power)?)?;
        let mut dimensions = self.dimensions.clone();
        for (name, exponent) in &other.dimensions {
            add_power(&mut dimensions, name, exponent.checked_mul(power)?);
        }
        Some(Self { factor, dimensions })
    }
}

fn add_power(dimensions: &mut Dimensions, name: &'static str, power: i32) {
    let sum = dimensions
        .get(name)
        .copied()
        .unwrap_or_default()
        .saturating_add(power);
    if sum == 0 {
        dimensions.remove(name);
    } else {
        dimensions.insert(name, sum);
    }
}

/// How two UCUM expressions relate.
pub fn same(a: &str, b: &str) -> Relation {
    let not_ucum = |which: &str| Relation::NotUcum {
        which: which.to_owned(),
    };
    match (Unit::parse(a), Unit::parse(b)) {
        (None, _) => not_ucum(a),
        (_, None) => not_ucum(b),
        (Some(a), Some(b)) => a.relation(&b),
    }
}

#[cfg(test)]
mod tests;
