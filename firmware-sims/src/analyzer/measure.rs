//! What comes out of a tube: values from a seed, and now and then what is not usual.

use labwire_protocols::wire::Mono;

use super::{Mark, Setup, Tube};
use crate::{
    chance::Chance,
    persona::{Analyte, Scale, Shape},
};

/// How often what is unusual happens, per mille.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// A value that the instrument doubts (of results).
    pub suspect: u16,
    /// A result that could not be had: no value, status X (of results).
    pub absent: u16,
    /// An analysis that failed: `----` or its like in the place of the value (of results).
    pub error: u16,
    /// A tube that is measured again: a preliminary run, then a final one (of tubes).
    pub rerun: u16,
}

impl Rates {
    /// An ordinary day.
    pub const fn usual() -> Self {
        Self {
            suspect: 12,
            absent: 3,
            error: 4,
            rerun: 10,
        }
    }
}

/// What kind of result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nature {
    /// A final value that nothing speaks against, high and low ones included.
    Ordinary,
    /// A value that the instrument doubts.
    Suspect,
    /// Could not be had.
    Absent,
    /// The analysis failed.
    Error,
    /// A first run that will be repeated.
    Preliminary,
    /// The repetition, final.
    Rerun,
    /// Control material.
    Control,
}

/// How final a result is, in the standard's sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// F.
    Final,
    /// P, or what the persona says instead.
    Preliminary,
    /// X.
    CannotBeDone,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What was measured.
    pub analyte: &'static Analyte,
    /// The value as it will be sent.
    pub text: String,
    /// The flag as it will be sent.
    pub flag: &'static str,
    /// How final it is.
    pub status: Status,
    /// What kind of result it is.
    pub nature: Nature,
    /// Who had a hand in it.
    pub mark: Mark,
    /// The donor unit that it is about; empty for none.
    pub donor: String,
}

/// One run of one tube: what goes into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The values, in the order of the codes.
    pub results: Vec<Measured>,
    /// Wall time of the start.
    pub started: String,
    /// Wall time of the end.
    pub completed: String,
}

impl Run {
    /// A run for each value, for families whose messages hold one.
    pub(super) fn each(self) -> Vec<Self> {
        let results = self.results.into_iter();
        let alone = results.map(|result| Self {
            results: vec![result],
            started: self.started.clone(),
            completed: self.completed.clone(),
        });
        alone.collect()
    }
}

/// Measures these codes; a code that the model does not know is left out, as a real one would.
pub(super) fn measure(
    setup: &Setup,
    tube: &Tube,
    codes: &[String],
    chance: &mut Chance,
    times: (Mono, Mono),
) -> Vec<Run> {
    let analytes: Vec<_> = codes
        .iter()
        .filter_map(|code| setup.persona.analyte(code))
        .collect();
    if analytes.is_empty() {
        return Vec::new();
    }
    let (started, completed) = times;
    let run = |results| Run {
        results,
        started: setup.clock.stamp_at(started),
        completed: setup.clock.stamp_at(completed),
    };
    let one = |nature: Option<Nature>, chance: &mut Chance| {
        let results = analytes
            .iter()
            .map(|analyte| result(setup, tube, (analyte, nature), chance));
        run(results.collect())
    };
    if tube.is_control {
        return vec![one(Some(Nature::Control), chance)];
    }
    if chance.happens(setup.rates.rerun) {
        return vec![
            one(Some(Nature::Preliminary), chance),
            one(Some(Nature::Rerun), chance),
        ];
    }
    vec![one(None, chance)]
}

fn result(
    setup: &Setup,
    tube: &Tube,
    (analyte, nature): (&'static Analyte, Option<Nature>),
    chance: &mut Chance,
) -> Measured {
    let (text, flag) = value(analyte, chance);
    let own = tube.readings.iter().rfind(|own| own.code == analyte.code);
    let told = own.and_then(|own| own.text.clone());
    let told = told.or_else(|| tube.blood?.says(analyte.test));
    let text = told.unwrap_or(text);
    let nature = nature.unwrap_or_else(|| draw_nature(setup.rates, chance));
    let words = Unusual::of(setup.persona.shape);
    let (text, flag, status) = match nature {
        Nature::Ordinary | Nature::Rerun | Nature::Control => (text, flag, Status::Final),
        Nature::Suspect => (text, words.suspect_flag, Status::Final),
        Nature::Absent => (words.absent.to_owned(), "", Status::CannotBeDone),
        Nature::Error => (words.error.to_owned(), words.suspect_flag, Status::Final),
        Nature::Preliminary => (text, flag, Status::Preliminary),
    };
    Measured {
        analyte,
        text,
        flag,
        status,
        nature,
        mark: own.map_or(Mark::AsRead, |own| own.mark),
        donor: own.map_or_else(String::new, |own| own.donor.clone()),
    }
}

fn draw_nature(rates: Rates, chance: &mut Chance) -> Nature {
    // Always three draws, so that one rate does not shift the values of another.
    let drawn = [
        (chance.happens(rates.error), Nature::Error),
        (chance.happens(rates.absent), Nature::Absent),
        (chance.happens(rates.suspect), Nature::Suspect),
    ];
    let found = drawn.into_iter().find(|(happens, _)| *happens);
    found.map_or(Nature::Ordinary, |(_, nature)| nature)
}

/// How a persona writes what is unusual.
struct Unusual {
    suspect_flag: &'static str,
    absent: &'static str,
    error: &'static str,
}

impl Unusual {
    fn of(shape: Shape) -> Self {
        match shape {
            Shape::Astm(shape) => Self {
                suspect_flag: shape.suspect_flag,
                absent: shape.absent_value,
                error: shape.error_value,
            },
            Shape::Hl7(shape) => Self {
                suspect_flag: shape.suspect_flag,
                absent: "",
                error: shape.error_value,
            },
            Shape::Own(shape) => Self {
                suspect_flag: shape.suspect_flag,
                absent: shape.absent_value,
                error: shape.error_value,
            },
        }
    }
}

/// A value in or near the reference range, and its flag.
fn value(analyte: &Analyte, chance: &mut Chance) -> (String, &'static str) {
    match analyte.scale {
        Scale::Number {
            low,
            high,
            decimals,
        } => {
            let margin = high.saturating_sub(low) / 6;
            let drawn = chance.between(
                low.saturating_sub(margin).max(0),
                high.saturating_add(margin),
            );
            let flag = if drawn < low {
                "L"
            } else if drawn > high {
                "H"
            } else {
                "N"
            };
            (decimal(drawn, decimals), flag)
        }
        Scale::Choice(choices) => {
            // Nine times in ten the usual one.
            let is_usual = chance.happens(900);
            let drawn = if is_usual {
                choices.first()
            } else {
                chance.pick(choices)
            };
            (drawn.copied().unwrap_or_default().to_owned(), "")
        }
    }
}

/// A number given in units of its last decimal.
pub(super) fn decimal(value: i64, decimals: u32) -> String {
    let scale = 10_i64.saturating_pow(decimals);
    if decimals == 0 {
        return value.to_string();
    }
    let width = usize::try_from(decimals).unwrap_or(0);
    format!("{}.{:0width$}", value / scale, value % scale)
}

/// The reference range of an analyte with this between its ends; empty for one without.
pub(super) fn range(analyte: &Analyte, between: &str) -> String {
    match analyte.scale {
        Scale::Number {
            low,
            high,
            decimals,
        } => format!(
            "{}{between}{}",
            decimal(low, decimals),
            decimal(high, decimals)
        ),
        Scale::Choice(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_keeps_its_zeros() {
        assert_eq!(decimal(540, 2), "5.40");
        assert_eq!(decimal(7, 2), "0.07");
        assert_eq!(decimal(131, 0), "131");
    }
}
