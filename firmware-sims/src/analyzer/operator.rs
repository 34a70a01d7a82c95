//! Who stands in front of an instrument: tubes go in, the log is read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Blood, Nature};
use crate::{
    chance::Chance,
    persona::{Persona, Shape},
};

/// A tube put into the instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tube {
    /// The barcode, or the id of a control.
    pub specimen: String,
    /// Exactly these codes; without them the host is asked, or the default panel measured.
    pub tests: Option<Vec<String>>,
    /// Whether it holds control material.
    pub is_control: bool,
    /// Where it stands; without it the tubes of an instrument fill one rack after another.
    pub place: Option<Place>,
    /// What people do with it here.
    pub handling: Handling,
    /// Whose blood is in it; without it the wells of a blood bank react by chance.
    pub blood: Option<Blood>,
    /// What comes out of it otherwise than by chance or blood.
    pub readings: Vec<Reading>,
}

/// Where a tube stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id on the rack's label.
    pub rack: String,
    /// The position in it.
    pub position: String,
}

impl Place {
    /// Position `number` of a rack, two digits wide.
    pub fn new(rack: &str, number: usize) -> Self {
        Self {
            rack: rack.to_owned(),
            position: format!("{number:02}"),
        }
    }
}

/// What people do with a tube.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// It is read, asked about and measured.
    #[default]
    Usual,
    /// It is read and asked about, and not measured yet.
    ReadAlone,
    /// It is measured without being read: its barcode was read before, or typed in.
    Unread,
}

/// What one code reports of a tube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The instrument's code.
    pub code: String,
    /// What it reads instead; without it what it would read anyway.
    pub text: Option<String>,
    /// Who had a hand in it.
    pub mark: Mark,
    /// The donor unit that it is about; empty for none.
    pub donor: String,
}

impl Reading {
    /// This code reads this.
    pub fn of(code: &str, text: &str) -> Self {
        Self {
            code: code.to_owned(),
            text: Some(text.to_owned()),
            mark: Mark::AsRead,
            donor: String::new(),
        }
    }

    /// This code reads what it would read anyway.
    pub fn as_it_is(code: &str) -> Self {
        Self::of_donor(code, "")
    }

    /// The same with a mark.
    #[must_use]
    pub fn marked(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    /// What a crossmatch with this unit reads.
    pub fn of_donor(code: &str, donor: &str) -> Self {
        Self {
            code: code.to_owned(),
            text: None,
            mark: Mark::AsRead,
            donor: donor.to_owned(),
        }
    }
}

/// Who had a hand in a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// The instrument alone.
    #[default]
    AsRead,
    /// Somebody changed it on the screen, and the instrument says so.
    Edited,
    /// The instrument corrects what it sent before.
    Corrected,
}

/// What goes wrong with the tubes of a rack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The first two tubes change places after they were read.
    Swapped,
    /// The second tube is put where the first one stood, and not read there.
    Replaced,
    /// The label of the rack is read as the barcode of the first tube.
    RackRead,
}

impl Mistake {
    /// A mistake in `per_mille` of a thousand racks, each kind as likely.
    pub fn drawn(chance: &mut Chance, per_mille: u16) -> Option<Self> {
        // Always two draws, so that a rate does not shift what is drawn after it.
        let drawn = chance.pick(&[Self::Swapped, Self::Replaced, Self::RackRead]);
        let drawn = drawn.copied();
        chance.happens(per_mille).then_some(drawn).flatten()
    }
}

/// The tubes of a rack as an instrument meets them, one after another, with what goes wrong. A
/// mistake that needs two tubes does not happen to one.
pub fn rack(id: &str, barcodes: &[&str], mistake: Option<Mistake>) -> Vec<Tube> {
    let tube = |barcode: &str, number: usize, handling: Handling| Tube {
        place: Some(Place::new(id, number)),
        handling,
        ..Tube::patient(barcode)
    };
    let usual = |from: usize| {
        let rest = barcodes.iter().zip(1..).skip(from);
        rest.map(|(barcode, number)| tube(barcode, number, Handling::Usual))
    };
    match (mistake, barcodes) {
        (Some(Mistake::Swapped), [first, second, ..]) => [
            tube(first, 1, Handling::ReadAlone),
            tube(second, 2, Handling::ReadAlone),
            tube(second, 1, Handling::Unread),
            tube(first, 2, Handling::Unread),
        ]
        .into_iter()
        .chain(usual(2))
        .collect(),
        (Some(Mistake::Replaced), [first, second, ..]) => [
            tube(first, 1, Handling::Usual),
            tube(second, 1, Handling::Unread),
        ]
        .into_iter()
        .chain(usual(2))
        .collect(),
        (Some(Mistake::RackRead), [_, ..]) => [tube(id, 1, Handling::Usual)]
            .into_iter()
            .chain(usual(1))
            .collect(),
        _ => usual(0).collect(),
    }
}

impl Tube {
    /// A patient's tube, of which the instrument knows the barcode alone.
    pub fn patient(specimen: impl Into<String>) -> Self {
        Self {
            specimen: specimen.into(),
            tests: None,
            is_control: false,
            place: None,
            handling: Handling::Usual,
            blood: None,
            readings: Vec::new(),
        }
    }

    /// The same with somebody's blood in it.
    #[must_use]
    pub fn filled(self, blood: Blood) -> Self {
        Self {
            blood: Some(blood),
            ..self
        }
    }

    /// The same with what one code reads of it.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Self {
        self.readings.push(reading);
        self
    }

    /// Control material under the id that the persona's controls have.
    pub fn control(persona: &Persona) -> Self {
        let id = match persona.shape {
            Shape::Astm(shape) => shape.control.id,
            Shape::Hl7(shape) => shape.control_id,
            Shape::Own(shape) => shape.control_id,
        };
        Self {
            is_control: true,
            ..Self::patient(id)
        }
    }
}

/// One order as the instrument understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The barcode.
    pub specimen: String,
    /// The codes, in the order received.
    pub tests: Vec<String>,
    /// What to do.
    pub action: OrderAction,
}

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// Measure these.
    Measure,
    /// Do not measure these any more.
    Cancel,
    /// The host has no order for this specimen.
    Unknown,
}

/// One result as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Counts the messages of this instrument from 1; a message sent again keeps its number.
    pub message: u64,
    /// The barcode, or the id of a control.
    pub specimen: String,
    /// The instrument's code.
    pub code: String,
    /// The laboratory's test.
    pub test: String,
    /// The value as sent.
    pub text: String,
    /// The unit as sent.
    pub unit: String,
    /// What kind of result it is.
    pub nature: Nature,
    /// Whether the host had ordered this code on this specimen when it was measured.
    pub is_ordered: bool,
}

/// What the instrument writes down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Every result that began to travel, once a message.
    pub sent: Vec<Sent>,
    /// Of those, what the host acknowledged: its promise.
    pub acknowledged: Vec<Sent>,
    /// What the host ordered, in the order received.
    pub orders: Vec<Ordered>,
    /// Queries sent.
    pub queries: u64,
    /// Queries that nobody answered in time.
    pub unanswered: u64,
    /// Messages of results begun, not counting repetitions.
    pub messages: u64,
    /// Messages sent again because they were not acknowledged.
    pub repeated: u64,
    /// Messages that the host refused in its protocol.
    pub refused: u64,
    /// Tubes let pass because the host had no order.
    pub skipped: u64,
    /// Connections.
    pub connections: u64,
    /// What the protocol machine noticed, by code.
    pub notes: BTreeMap<&'static str, u64>,
}

/// Loads tubes into a running instrument and reads its log.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    shared: Arc<Mutex<Shared>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shared {
    tubes: VecDeque<Tube>,
    is_busy: bool,
    log: Log,
}

impl Operator {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next tube, and marks the instrument busy under the same lock, so that nobody sees
    /// the tube gone and the bench idle.
    pub(super) fn take(&self) -> Option<Tube> {
        let mut shared = self.lock();
        let tube = shared.tubes.pop_front();
        shared.is_busy = tube.is_some();
        tube
    }

    pub(super) fn set_busy(&self, is_busy: bool) {
        self.lock().is_busy = is_busy;
    }

    pub(super) fn write(&self, write: impl FnOnce(&mut Log)) {
        write(&mut self.lock().log);
    }

    /// Puts a tube in; it is measured when its turn comes.
    pub fn load(&self, tube: Tube) {
        self.lock().tubes.push_back(tube);
        self.wake.notify_one();
    }

    /// A copy of the log.
    pub fn log(&self) -> Log {
        self.lock().log.clone()
    }

    /// Looks at the log without copying it.
    pub fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.lock().log)
    }

    /// Whether every tube is measured, and every result acknowledged.
    pub fn is_idle(&self) -> bool {
        let shared = self.lock();
        shared.tubes.is_empty() && !shared.is_busy
    }

    /// What wakes the instrument; the runner waits for it.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `barcode rack-position handling` of each.
    fn shown(tubes: &[Tube]) -> Vec<String> {
        let shown = tubes.iter().map(|tube| {
            let place = tube.place.as_ref().expect("a place");
            let handling = match tube.handling {
                Handling::Usual => "",
                Handling::ReadAlone => " read",
                Handling::Unread => " unread",
            };
            format!(
                "{} {}-{}{handling}",
                tube.specimen, place.rack, place.position
            )
        });
        shown.collect()
    }

    #[test]
    fn what_goes_wrong_with_a_rack_is_as_named() {
        let check = |mistake, expected: &[&str]| {
            assert_eq!(
                shown(&rack("000042", &["T1", "T2", "T3"], mistake)),
                expected
            );
        };
        check(None, &["T1 000042-01", "T2 000042-02", "T3 000042-03"]);
        check(
            Some(Mistake::Swapped),
            &[
                "T1 000042-01 read",
                "T2 000042-02 read",
                "T2 000042-01 unread",
                "T1 000042-02 unread",
                "T3 000042-03",
            ],
        );
        check(
            Some(Mistake::Replaced),
            &["T1 000042-01", "T2 000042-01 unread", "T3 000042-03"],
        );
        check(
            Some(Mistake::RackRead),
            &["000042 000042-01", "T2 000042-02", "T3 000042-03"],
        );
        let alone = rack("R", &["T1"], Some(Mistake::Swapped));
        assert_eq!(shown(&alone), ["T1 R-01"]);
    }

    #[test]
    fn mistakes_come_from_the_seed_and_as_often_as_said() {
        let drawn = |seed: u64, per_mille: u16| -> Vec<Option<Mistake>> {
            let mut chance = Chance::new(seed);
            let draws = (0..1_000).map(|_| Mistake::drawn(&mut chance, per_mille));
            draws.collect()
        };
        assert_eq!(drawn(7, 50), drawn(7, 50));
        assert_ne!(drawn(7, 50), drawn(8, 50));
        let some = drawn(7, 50);
        assert!((20..100).contains(&some.iter().flatten().count()));
        for mistake in [Mistake::Swapped, Mistake::Replaced, Mistake::RackRead] {
            assert!(some.contains(&Some(mistake)), "{mistake:?}");
        }
        assert!(drawn(7, 0).iter().all(Option::is_none));
    }
}
