//! What goes wrong with a line in a morning, and when somebody mends it, from a seed.

use std::time::Duration;

use tokio::time::Instant;

use super::{Attendant, Fault, Kind, Layout};
use crate::chance::Chance;

/// Something that happens to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It breaks.
    Breaks(Fault),
    /// A module works again.
    Mends(String),
}

/// Something that happens, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since the start of the morning, at the normal speed.
    pub at: Duration,
    /// What.
    pub turn: Turn,
}

/// Jams of a morning.
const JAMS: u32 = 2;
/// Tubes whose barcode is not read at once.
const UNREAD: u32 = 4;
/// Gates that let a tube through to the wrong place.
const GATES: u32 = 3;

/// The troubles of a morning that lasts so long, in order of time: jams, barcodes that are not read,
/// gates that err, an outlet that is full, an analyzer that is switched off, and a restart.
/// Whatever stands is mended before the morning is over.
pub fn troubles(seed: u64, span: Duration, layout: &Layout) -> Vec<Trouble> {
    let mut maker = Maker {
        chance: Chance::fork(seed, "troubles of the line"),
        span,
        all: Vec::new(),
    };
    let of = |is: fn(Kind) -> bool| {
        let modules = layout.modules.iter().filter(|module| is(module.kind));
        modules.map(|module| module.id).collect::<Vec<_>>()
    };
    let works = of(|kind| matches!(kind, Kind::Prepares | Kind::Analyzer));
    for _ in 0..JAMS {
        maker.stands(&works, Fault::Jam, 30);
    }
    maker.stands(&of(|kind| kind == Kind::Analyzer), Fault::Off, 15);
    maker.stands(&of(|kind| kind == Kind::Outlet), Fault::Full, 15);
    for _ in 0..UNREAD {
        maker.breaks(Fault::Unread);
    }
    for _ in 0..GATES {
        maker.breaks(Fault::Gate);
    }
    maker.breaks(Fault::Restart);
    maker.all.sort_by_key(|trouble| trouble.at);
    maker.all
}

struct Maker {
    chance: Chance,
    span: Duration,
    all: Vec<Trouble>,
}

impl Maker {
    /// An instant in the middle of the morning, when tubes are on the line.
    fn when(&mut self) -> Duration {
        let percent = u32::try_from(self.chance.between(15, 75)).unwrap_or(50);
        self.span * percent / 100
    }

    fn breaks(&mut self, fault: Fault) {
        let at = self.when();
        self.all.push(Trouble {
            at,
            turn: Turn::Breaks(fault),
        });
    }

    /// One of these modules stands for a part of the morning.
    fn stands(&mut self, modules: &[&str], fault: fn(String) -> Fault, part: u32) {
        let at = self.when();
        if let Some(module) = self.chance.pick(modules) {
            let module = (*module).to_owned();
            let breaks = Turn::Breaks(fault(module.clone()));
            self.all.push(Trouble { at, turn: breaks });
            self.all.push(Trouble {
                at: at + self.span / part,
                turn: Turn::Mends(module),
            });
        }
    }
}

/// Lets troubles come over a line, `speed` times as fast as life.
pub async fn befall(attendant: Attendant, troubles: Vec<Trouble>, speed: f64) {
    let began = Instant::now();
    for trouble in troubles {
        tokio::time::sleep_until(began + trouble.at.div_f64(speed)).await;
        match trouble.turn {
            Turn::Breaks(fault) => attendant.break_down(fault),
            Turn::Mends(module) => attendant.mend(&module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::POWER_EXPRESS;

    #[test]
    fn everything_goes_wrong_once_at_least_and_what_stands_is_mended_in_time() {
        let span = Duration::from_secs(7_200);
        let of = |seed| troubles(seed, span, &POWER_EXPRESS);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        for seed in 0..50 {
            let all = of(seed);
            assert!(all.is_sorted_by_key(|trouble| trouble.at));
            assert!(all.iter().all(|trouble| trouble.at < span * 9 / 10));
            let mut standing = Vec::new();
            let mut names = Vec::new();
            for trouble in &all {
                match &trouble.turn {
                    Turn::Breaks(fault) => {
                        names.push(fault.name());
                        if let Fault::Jam(module) | Fault::Full(module) | Fault::Off(module) = fault
                        {
                            standing.push(module.clone());
                        }
                    }
                    Turn::Mends(module) => standing.retain(|one| one != module),
                }
            }
            assert!(standing.is_empty(), "{standing:?}");
            for name in ["jam", "full", "off", "unread", "gate", "restart"] {
                assert!(names.contains(&name), "{name}");
            }
        }
    }
}
