//! What happens on a morning, from a seed: which tubes come when, and which modules fail.

use super::random::Random;
use crate::track::{
    Priority, Time, TubeId,
    model::{Kind, Line, ModuleNo},
    route::Need,
};

/// How a morning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Morning {
    /// Same seed, same morning.
    pub seed: u64,
    /// Tubes that come.
    pub tubes: u32,
    /// Urgent ones, per mille.
    pub stat_per_mille: u64,
    /// Tubes that come by pneumatic tube, per mille; urgent ones twice as often.
    pub tempus_per_mille: u64,
    /// Barcodes that cannot be read, per mille.
    pub unread_per_mille: u64,
    /// Tubes that a gate lets through to the wrong module, per mille of ways.
    pub gate_per_mille: u64,
    /// Whether modules fail.
    pub has_faults: bool,
}

impl Morning {
    /// 1,200 tubes with everything that goes wrong.
    pub const fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            tubes: 1_200,
            stat_per_mille: 100,
            tempus_per_mille: 300,
            unread_per_mille: 8,
            gate_per_mille: 3,
            has_faults: true,
        }
    }
}

/// A tube that comes.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) id: TubeId,
    pub(super) at: Time,
    pub(super) inlet: ModuleNo,
    pub(super) need: Need,
    pub(super) is_unread: bool,
}

/// Something that fails, and when it is mended.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) module: ModuleNo,
    pub(super) from: Time,
    pub(super) until: Time,
    pub(super) what: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It stands still.
    Jam,
    /// It is switched off and started again.
    Off,
    /// It takes no more tubes until it is emptied.
    Full,
    /// Its control failed.
    Qc,
}

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;
/// When the first tube may come.
const OPENS_S: u64 = 6 * HOUR_S;
/// When most tubes come: after the ward rounds of blood drawing.
const PEAK_S: u64 = 8 * HOUR_S;

/// A kind of tube: spun, opened, with a chance of an aliquot per mille, its tests.
struct Mix {
    is_spun: bool,
    is_opened: bool,
    aliquot_per_mille: u64,
    tests: &'static [&'static [&'static str]],
}

const CHEMISTRY: &[&str] = &["GLU", "UREA", "CREA", "AST", "ALT", "NA", "K", "CL"];
const LIPIDS: &[&str] = &["CHOL", "TRIG", "HDL", "LDL"];
const THYROID: &[&str] = &["TSH", "FT4"];
const MARKERS: &[&str] = &["TNTHS", "PROCT"];
const COUNT: &[&str] = &["WBC", "RBC", "HGB", "PLT"];
const CLOTTING: &[&str] = &["PT", "APTT", "FIB"];

/// Shares of tubes, by weight.
const MIXES: &[(u64, Mix)] = &[
    (26, serum(&[CHEMISTRY])),
    (8, serum(&[CHEMISTRY, LIPIDS])),
    (12, serum(&[CHEMISTRY, THYROID])),
    (6, serum(&[THYROID])),
    (4, serum(&[CHEMISTRY, MARKERS])),
    (
        30,
        Mix {
            is_spun: false,
            is_opened: false,
            aliquot_per_mille: 0,
            tests: &[COUNT],
        },
    ),
    (
        12,
        Mix {
            is_spun: true,
            is_opened: true,
            aliquot_per_mille: 0,
            tests: &[CLOTTING],
        },
    ),
    (
        2,
        Mix {
            is_spun: false,
            is_opened: false,
            aliquot_per_mille: 0,
            // Measured at a bench beside the line.
            tests: &[&["ESR"]],
        },
    ),
];

const fn serum(tests: &'static [&'static [&'static str]]) -> Mix {
    Mix {
        is_spun: true,
        is_opened: true,
        aliquot_per_mille: 40,
        tests,
    }
}

/// The tubes of a morning, in the order in which they come.
pub(super) fn arrivals(morning: &Morning, line: &Line) -> Vec<Arrival> {
    let mut random = Random::new(morning.seed);
    let mut found: Vec<Arrival> = (0..morning.tubes)
        .filter_map(|number| arrival(morning, line, &mut random, number))
        .collect();
    found.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    found
}

fn arrival(morning: &Morning, line: &Line, random: &mut Random, number: u32) -> Option<Arrival> {
    let is_stat = random.per_mille(morning.stat_per_mille);
    let tempus = morning.tempus_per_mille * if is_stat { 2 } else { 1 };
    let kinds = if random.per_mille(tempus) {
        [Kind::Tempus, Kind::Inlet]
    } else if is_stat {
        [Kind::StatInlet, Kind::Inlet]
    } else {
        [Kind::Inlet, Kind::Inlet]
    };
    let inlets: Vec<ModuleNo> = kinds
        .iter()
        .map(|kind| line.of_kind(*kind).collect::<Vec<_>>())
        .find(|inlets| !inlets.is_empty())?;
    let inlet = *random.of(&inlets)?;
    let mix = random.weighted(MIXES)?;
    let tests = mix.tests.iter().copied().flatten();
    Some(Arrival {
        id: TubeId::new(&format!("2501{:04}{number:05}", morning.seed % 10_000)),
        at: Time::from_s(when(random, is_stat)),
        inlet,
        need: Need {
            priority: if is_stat {
                Priority::Stat
            } else {
                Priority::Routine
            },
            centrifuge: mix.is_spun,
            decap: mix.is_opened,
            aliquot: random.per_mille(mix.aliquot_per_mille),
            tests: tests.map(|test| (*test).to_owned()).collect(),
            recap: mix.is_opened,
            waited_ms: 0,
        },
        is_unread: random.per_mille(morning.unread_per_mille),
    })
}

/// Seconds since midnight: nearly normal around the peak (Irwin and Hall), urgent tubes at any time.
fn when(random: &mut Random, is_stat: bool) -> u64 {
    if is_stat || random.per_mille(150) {
        return OPENS_S + random.below(5 * HOUR_S);
    }
    let sum: u64 = (0..12).map(|_| random.below(45 * MINUTE_S)).sum();
    (PEAK_S + sum)
        .saturating_sub(6 * 45 * MINUTE_S)
        .max(OPENS_S)
}

/// What fails on a morning.
pub(super) fn faults(morning: &Morning, line: &Line) -> Vec<Fault> {
    // Another stream of numbers, so that faults do not depend on how many tubes come.
    let mut random = Random::new(morning.seed ^ 0x5EED_FA17);
    let mut found = Vec::new();
    if !morning.has_faults {
        return found;
    }
    let mut add = |module: ModuleNo, random: &mut Random, what, from_m, to_m| {
        let from = OPENS_S + 30 * MINUTE_S + random.below(3 * HOUR_S);
        let lasts = random.between(from_m, to_m) * MINUTE_S;
        found.push(Fault {
            module,
            from: Time::from_s(from),
            until: Time::from_s(from + lasts),
            what,
        });
    };
    let of = |kinds: &[Kind]| -> Vec<ModuleNo> {
        kinds
            .iter()
            .flat_map(|kind| line.of_kind(*kind).collect::<Vec<_>>())
            .collect()
    };
    let analyzers = of(&[Kind::Analyzer]);
    let handling = of(&[Kind::Centrifuge, Kind::Decapper, Kind::Recapper]);
    for _ in 0..random.between(1, 3) {
        if let Some(module) = random.of(&handling).copied() {
            add(module, &mut random, Failure::Jam, 2, 7);
        }
    }
    for (what, from_m, to_m) in [
        (Failure::Jam, 3, 8),
        (Failure::Off, 20, 45),
        (Failure::Qc, 15, 40),
    ] {
        if let Some(module) = random.of(&analyzers).copied() {
            add(module, &mut random, what, from_m, to_m);
        }
    }
    if let Some(module) = random.of(&of(&[Kind::Centrifuge])).copied() {
        add(module, &mut random, Failure::Off, 10, 20);
    }
    if let Some(module) = random.of(&of(&[Kind::Outlet])).copied() {
        add(module, &mut random, Failure::Full, 10, 25);
    }
    found
}
