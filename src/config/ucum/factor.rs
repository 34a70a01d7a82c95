//! Exact positive fractions.

use std::fmt;

/// A positive fraction times powers of two and five, which are kept apart so that no power of ten
/// that a laboratory uses can overflow. The fraction is in lowest terms and free of twos and
/// fives, so that equal factors are equal fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    numerator: u64,
    denominator: u64,
    twos: i32,
    fives: i32,
}

impl Factor {
    /// One.
    pub const ONE: Self = Self {
        numerator: 1,
        denominator: 1,
        twos: 0,
        fives: 0,
    };

    /// A fraction of two whole numbers, neither zero.
    pub(super) fn new(numerator: u64, denominator: u64) -> Option<Self> {
        Self::lowest(u128::from(numerator), u128::from(denominator), 0, 0)
    }

    /// Ten to a power.
    pub(super) const fn ten(power: i32) -> Self {
        Self {
            numerator: 1,
            denominator: 1,
            twos: power,
            fives: power,
        }
    }

    fn lowest(numerator: u128, denominator: u128, twos: i32, fives: i32) -> Option<Self> {
        if numerator == 0 || denominator == 0 {
            return None;
        }
        let (numerator, twos) = strip(numerator, 2, twos, 1)?;
        let (numerator, fives) = strip(numerator, 5, fives, 1)?;
        let (denominator, twos) = strip(denominator, 2, twos, -1)?;
        let (denominator, fives) = strip(denominator, 5, fives, -1)?;
        let common = common_divisor(numerator, denominator);
        Some(Self {
            numerator: u64::try_from(numerator / common).ok()?,
            denominator: u64::try_from(denominator / common).ok()?,
            twos,
            fives,
        })
    }

    /// The product; `None` past what a fraction of 64 bits holds.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        Self::lowest(
            u128::from(self.numerator) * u128::from(other.numerator),
            u128::from(self.denominator) * u128::from(other.denominator),
            self.twos.checked_add(other.twos)?,
            self.fives.checked_add(other.fives)?,
        )
    }

    /// The quotient; `None` past what a fraction of 64 bits holds.
    pub(super) fn over(&self, other: &Self) -> Option<Self> {
        self.times(&other.inverse()?)
    }

    fn inverse(&self) -> Option<Self> {
        Some(Self {
            numerator: self.denominator,
            denominator: self.numerator,
            twos: self.twos.checked_neg()?,
            fives: self.fives.checked_neg()?,
        })
    }

    /// A whole power, negative ones too.
    pub(super) fn to_the(self, power: i32) -> Option<Self> {
        let base = if power < 0 { self.inverse()? } else { self };
        let times = power.unsigned_abs();
        Some(Self {
            numerator: base.numerator.checked_pow(times)?,
            denominator: base.denominator.checked_pow(times)?,
            twos: base.twos.checked_mul(i32::try_from(times).ok()?)?,
            fives: base.fives.checked_mul(i32::try_from(times).ok()?)?,
        })
    }

    /// The power of ten that it is, if it is one.
    fn as_power_of_ten(&self) -> Option<i32> {
        let is_power = self.numerator == 1 && self.denominator == 1 && self.twos == self.fives;
        is_power.then_some(self.twos)
    }
}

/// Takes all `prime` out of `number` and adds `sign` to `power` for each.
fn strip(mut number: u128, prime: u128, mut power: i32, sign: i32) -> Option<(u128, i32)> {
    while number.is_multiple_of(prime) {
        number /= prime;
        power = power.checked_add(sign)?;
    }
    Some((number, power))
}

const fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl fmt::Display for Factor {
    /// `1000`, `0.001`, `10^-15` or `1/60`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(power) = self.as_power_of_ten() {
            return match (usize::try_from(power), usize::try_from(-power)) {
                (Ok(zeros), _) if zeros <= 9 => write!(f, "1{}", "0".repeat(zeros)),
                (_, Ok(places)) if places <= 6 => write!(f, "0.{}1", "0".repeat(places - 1)),
                _ => write!(f, "10^{power}"),
            };
        }
        let side = |number: u64, sign: i32| {
            let power = |prime: u128, times: i32| {
                let times = u32::try_from(times * sign).unwrap_or_default();
                prime.checked_pow(times)
            };
            let whole = power(2, self.twos)?.checked_mul(power(5, self.fives)?)?;
            whole.checked_mul(u128::from(number))
        };
        match (side(self.numerator, 1), side(self.denominator, -1)) {
            (Some(above), Some(1)) => write!(f, "{above}"),
            (Some(above), Some(below)) => write!(f, "{above}/{below}"),
            _ => write!(
                f,
                "{}/{}*2^{}*5^{}",
                self.numerator, self.denominator, self.twos, self.fives
            ),
        }
    }
}
