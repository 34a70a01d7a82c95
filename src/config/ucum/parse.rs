//! The grammar of UCUM expressions.
//!
//! ```text
//! unit      := ['/'] component {('.' | '/') component}
//! component := simple [annotation] | annotation | '(' unit ')'
//! simple    := digits | (("10*" | "10^" | [prefix] atom) [exponent])
//! exponent  := ['+' | '-'] digits
//! ```

use super::{
    Unit,
    atoms::{ATOMS, Atom, PREFIXES},
    factor::Factor,
};

/// Deeper than any unit that means something; a hostile file cannot exhaust the stack.
const DEPTH_MAX: usize = 8;
/// Longer than any unit that means something: the common UCUM codes stay under 50 bytes.
const BYTES_MAX: usize = 120;

/// Reads a whole expression.
pub(super) fn unit(text: &str) -> Option<Unit> {
    if text.is_empty() || text.len() > BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let (unit, rest) = term(text, 0)?;
    rest.is_empty().then_some(unit)
}

/// Operators bind from left to right, and `/` takes the next component only: `a/b.c` is (a/b).c.
fn term(text: &str, depth: usize) -> Option<(Unit, &str)> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (mut power, mut rest) = match text.strip_prefix('/') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut product = Unit::one();
    loop {
        let (unit, after) = component(rest, depth)?;
        product = product.times(&unit, power)?;
        (power, rest) = if let Some(after) = after.strip_prefix('.') {
            (1, after)
        } else if let Some(after) = after.strip_prefix('/') {
            (-1, after)
        } else {
            return Some((product, after));
        };
    }
}

fn component(text: &str, depth: usize) -> Option<(Unit, &str)> {
    if let Some(inner) = text.strip_prefix('(') {
        let (unit, rest) = term(inner, depth + 1)?;
        return Some((unit, rest.strip_prefix(')')?));
    }
    if let Some(rest) = annotation(text) {
        return Some((Unit::one(), rest?));
    }
    let (unit, rest) = simple(text)?;
    match annotation(rest) {
        Some(after) => Some((unit, after?)),
        None => Some((unit, rest)),
    }
}

/// The text after an annotation: `None` where there is none, `Some(None)` where it never ends.
fn annotation(text: &str) -> Option<Option<&str>> {
    let inner = text.strip_prefix('{')?;
    Some(
        inner
            .split_once('}')
            .filter(|(name, _)| !name.contains('{'))
            .map(|(_, rest)| rest),
    )
}

fn simple(text: &str) -> Option<(Unit, &str)> {
    if let Some(rest) = text
        .strip_prefix("10*")
        .or_else(|| text.strip_prefix("10^"))
    {
        let (power, rest) = exponent(rest)?;
        return Some((
            Unit {
                factor: Factor::ten(power),
                ..Unit::one()
            },
            rest,
        ));
    }
    let (digits, rest) = split_while(text, |c| c.is_ascii_digit())?;
    if !digits.is_empty() {
        let factor = Factor::new(digits.parse().ok()?, 1)?;
        return Some((
            Unit {
                factor,
                ..Unit::one()
            },
            rest,
        ));
    }
    let (code, rest) = code(text)?;
    let (power, rest) = exponent(rest)?;
    Some((Unit::one().times(&prefixed(code)?, power)?, rest))
}

/// Splits off the code of an atom: everything up to an operator, an annotation or an exponent;
/// inside brackets anything goes.
fn code(text: &str) -> Option<(&str, &str)> {
    let mut in_brackets = false;
    split_while(text, |c| {
        in_brackets = (in_brackets && c != ']') || c == '[';
        in_brackets || !(c.is_ascii_digit() || "./(){}+-".contains(c))
    })
}

fn split_while(text: &str, keeps: impl FnMut(char) -> bool) -> Option<(&str, &str)> {
    let mut keeps = keeps;
    text.split_at_checked(text.find(|c| !keeps(c)).unwrap_or(text.len()))
}

/// A power, 1 where none is written.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let (negative, digits_on) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, rest) = split_while(digits_on, |c| c.is_ascii_digit())?;
    if digits.is_empty() {
        return (digits_on.len() == text.len()).then_some((1, text));
    }
    // Two digits cover every power in use and keep all sums far from the limits of i32.
    let power = digits
        .parse::<i32>()
        .ok()
        .filter(|power| (1..100).contains(power))?;
    Some((if negative { -power } else { power }, rest))
}

/// An atom, or a prefix and a metric atom; the whole code first, so that `min` is a minute, not a
/// milli-inch.
fn prefixed(code: &str) -> Option<Unit> {
    if let Some(atom) = ATOMS.iter().find(|atom| atom.code == code) {
        return of_atom(atom, 0);
    }
    PREFIXES.iter().find_map(|(prefix, power)| {
        let rest = code.strip_prefix(prefix)?;
        let atom = ATOMS
            .iter()
            .find(|atom| atom.is_metric && atom.code == rest)?;
        of_atom(atom, *power)
    })
}

fn of_atom(atom: &Atom, prefix: i32) -> Option<Unit> {
    let (numerator, denominator) = atom.fraction;
    let factor = Factor::new(numerator, denominator)?.times(&Factor::ten(atom.ten + prefix))?;
    Some(Unit {
        factor,
        dimensions: atom.dimensions.iter().copied().collect(),
    })
}
