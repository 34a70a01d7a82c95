//! The life of a container as its statuses tell it (SAC-8, table 0370): a table without memory of
//! its own.
//!
//! What an equipment reports is where the container is, whatever was thought before: no report is
//! refused. But a report that skips something, or comes after the container was lost, says that a
//! message is missing, and whoever keeps the books is told. Two tubes with one barcode look like one
//! tube in two places here; telling them apart needs the places, which the books have.

use std::borrow::Cow;

use super::message::{Group, Item};
use crate::hl7::{Component, Field, material::Container, tables::ContainerStatus, types::EntityId};

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Life {
    /// No equipment has seen it.
    #[default]
    Expected,
    /// Its barcode was read.
    Identified,
    /// It stands before a module.
    InPosition,
    /// Something is being done to it.
    InProcess,
    /// That is done.
    Completed,
    /// It left the equipment.
    Left,
    /// It is in a rack of a store.
    Stored,
    /// It is not where it should be.
    Missing,
    /// It is there and cannot be used.
    Unavailable,
    /// The equipment does not know.
    Unclear,
}

/// What an equipment reports of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// `I`.
    Identified,
    /// `P`.
    InPosition,
    /// `O`.
    InProcess,
    /// `R`.
    Completed,
    /// `L`.
    Left,
    /// `R` or `L` with tray, position in it and location.
    Stored,
    /// `M`.
    Missing,
    /// `X`.
    Unavailable,
    /// `U`.
    Unknown,
}

/// What a report is a reason for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Nothing: the alarm was given before.
    Nothing,
    /// Look up its orders and send them, or say that there are none; route it.
    LookUp,
    /// Its place is known.
    Locate,
    /// It is being worked on.
    SetActivity,
    /// Take volume, indices and so on, and send what comes next.
    Advance,
    /// It is on its way to another equipment.
    HandOver,
    /// Write down where it is kept.
    Archive,
    /// Alarm; its orders stay open.
    Alarm,
    /// Ask for its status.
    Ask,
}

/// What a report tells besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surprise {
    /// It was never identified: the message that said so is missing.
    NeverIdentified,
    /// A step between was not reported.
    Skipped,
    /// It had been missing or unavailable.
    Found,
}

/// What a report changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Where the container now is.
    pub next: Life,
    /// What is to be done about it.
    pub reaction: Reaction,
    /// What was not to be expected.
    pub surprise: Option<Surprise>,
}

impl Life {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Expected,
        Self::Identified,
        Self::InPosition,
        Self::InProcess,
        Self::Completed,
        Self::Left,
        Self::Stored,
        Self::Missing,
        Self::Unavailable,
        Self::Unclear,
    ];

    /// What a report changes.
    pub fn on(self, sight: Sight) -> Transition {
        let (next, reaction) = sight.means();
        // Any other report may come from another module and then asks for the same again.
        let is_again = self == next && reaction == Reaction::Alarm;
        Transition {
            next,
            reaction: if is_again {
                Reaction::Nothing
            } else {
                reaction
            },
            surprise: self.surprise(sight),
        }
    }

    fn surprise(self, sight: Sight) -> Option<Surprise> {
        use Sight::{Completed, Identified, InProcess, Missing, Unavailable, Unknown};
        if self == Self::Expected && !matches!(sight, Identified | Unknown) {
            return Some(Surprise::NeverIdentified);
        }
        let was_lost = matches!(self, Self::Missing | Self::Unavailable);
        if was_lost && !matches!(sight, Missing | Unavailable | Unknown) {
            return Some(Surprise::Found);
        }
        // It cannot be done with what it was not seen to begin, nor be worked on where it was not
        // seen to arrive.
        let waits = matches!(self, Self::Identified | Self::InPosition);
        let is_away = matches!(self, Self::Left | Self::Stored);
        let is_skipped =
            (waits && sight == Completed) || (is_away && matches!(sight, InProcess | Completed));
        is_skipped.then_some(Surprise::Skipped)
    }
}

impl Sight {
    /// Every report.
    pub const ALL: [Self; 9] = [
        Self::Identified,
        Self::InPosition,
        Self::InProcess,
        Self::Completed,
        Self::Left,
        Self::Stored,
        Self::Missing,
        Self::Unavailable,
        Self::Unknown,
    ];

    /// Reads SAC-8, and whether SAC-13 to SAC-15 say that it was put away. `None` where nothing is
    /// reported, or a code that the table does not have: nothing is made of it.
    pub fn of(container: Container<'_>) -> Option<Self> {
        let kept = [
            container.tray_id(),
            container.tray_position(),
            container.location(),
        ];
        let is_stored = kept.iter().all(|field| !field.text().is_empty());
        match container.status()? {
            ContainerStatus::Completed | ContainerStatus::Left if is_stored => Some(Self::Stored),
            ContainerStatus::Identified => Some(Self::Identified),
            ContainerStatus::InPosition => Some(Self::InPosition),
            ContainerStatus::InProcess => Some(Self::InProcess),
            ContainerStatus::Completed => Some(Self::Completed),
            ContainerStatus::Left => Some(Self::Left),
            ContainerStatus::Missing => Some(Self::Missing),
            ContainerStatus::Unavailable => Some(Self::Unavailable),
            ContainerStatus::Unknown => Some(Self::Unknown),
            ContainerStatus::Other(_) => None,
        }
    }

    /// Where the container then is, and what that is a reason for.
    const fn means(self) -> (Life, Reaction) {
        match self {
            Self::Identified => (Life::Identified, Reaction::LookUp),
            Self::InPosition => (Life::InPosition, Reaction::Locate),
            Self::InProcess => (Life::InProcess, Reaction::SetActivity),
            Self::Completed => (Life::Completed, Reaction::Advance),
            Self::Left => (Life::Left, Reaction::HandOver),
            Self::Stored => (Life::Stored, Reaction::Archive),
            Self::Missing => (Life::Missing, Reaction::Alarm),
            Self::Unavailable => (Life::Unavailable, Reaction::Alarm),
            Self::Unknown => (Life::Unclear, Reaction::Ask),
        }
    }
}

/// A container as one SSU^U03 tells of it: the form in which events of any track are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent<'a> {
    /// EQU-1: the module.
    pub module: EntityId<'a>,
    /// EQU-2 as sent.
    pub time: &'a str,
    /// SAC-3.1: the barcode.
    pub container: Cow<'a, str>,
    /// SAC-4.1: the container that it was taken from; empty for a primary one.
    pub parent: Cow<'a, str>,
    /// SAC-8; `None` when it is empty.
    pub status: Option<ContainerStatus<'a>>,
    /// What that means for its life.
    pub sight: Option<Sight>,
    /// SAC-10.1.
    pub carrier: Cow<'a, str>,
    /// SAC-11 as sent, `n` or `x^y`.
    pub carrier_position: &'a str,
    /// SAC-13.1.
    pub tray: Cow<'a, str>,
    /// SAC-14 as sent, `n` or `x^y`.
    pub tray_position: &'a str,
    /// SAC-15.1 of every repeat, the lowest level first.
    pub location: Vec<Cow<'a, str>>,
    /// SAC-22 as sent, and SAC-24.1.
    pub volume: (&'a str, Cow<'a, str>),
    /// SAC-32, SAC-34 and SAC-36 as sent: haemolysis, lipaemia, icterus.
    pub indices: [&'a str; 3],
}

impl<'a> ContainerEvent<'a> {
    /// Takes it from a group of SSU^U03.
    pub fn read(item: &Item<'_, 'a, Container<'a>>) -> Self {
        let Item { of: sac, group } = item;
        let Group { equipment, .. } = group;
        let first = |field: Field<'a>| field.component(1).text();
        let locations = sac.location();
        let locations = locations.repeats().filter(|repeat| !repeat.is_empty());
        Self {
            module: EntityId::read(equipment.id()),
            time: equipment.time().raw(),
            container: first(sac.id()),
            parent: first(sac.primary_id()),
            status: sac.status(),
            sight: Sight::of(*sac),
            carrier: first(sac.carrier_id()),
            carrier_position: sac.carrier_position().raw(),
            tray: first(sac.tray_id()),
            tray_position: sac.tray_position().raw(),
            location: locations
                .map(|repeat| Component::text(&repeat.component(1)))
                .collect(),
            volume: (sac.available_volume().raw(), first(sac.volume_units())),
            indices: [
                sac.hemolysis_index().raw(),
                sac.lipemia_index().raw(),
                sac.icterus_index().raw(),
            ],
        }
    }

    /// Whether it is a part of another container, taken off into its own.
    pub fn is_aliquot(&self) -> bool {
        !self.parent.is_empty() && self.parent != self.container
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::{
        automation::{AutomationMessage, Body},
        hl7::Message,
    };

    /// Rows are states, columns reports; a cell is the next state, what is to be done, and what was
    /// not to be expected.
    #[test]
    fn every_cell_of_the_life_of_a_container_is_frozen() {
        let mut table = String::new();
        for life in Life::ALL {
            writeln!(table, "{life:?}").unwrap();
            for sight in Sight::ALL {
                let Transition {
                    next,
                    reaction,
                    surprise,
                } = life.on(sight);
                let sight = format!("{sight:?}");
                let reaction = format!("{reaction:?}");
                let next = format!("{next:?}");
                let surprise = surprise.map_or(String::new(), |surprise| format!("{surprise:?}"));
                let line = format!("  {sight:12} -> {next:12} {reaction:12} {surprise}");
                writeln!(table, "{}", line.trim_end()).unwrap();
            }
        }
        insta::assert_snapshot!("container_life", table);
    }

    #[test]
    fn what_is_reported_is_where_it_is() {
        for life in Life::ALL {
            for sight in Sight::ALL {
                let (next, _) = sight.means();
                assert_eq!(life.on(sight).next, next);
                // A loss is an alarm, once.
                let is_loss = matches!(sight, Sight::Missing | Sight::Unavailable);
                let is_alarm = life.on(sight).reaction == Reaction::Alarm;
                assert_eq!(is_alarm, is_loss && life != next);
            }
        }
    }

    /// The reports of a container, one SSU each, and what became of it.
    #[track_caller]
    fn check(reports: &[(&str, Life, Reaction, Option<Surprise>)]) {
        let mut life = Life::default();
        for (sac, next, reaction, surprise) in reports {
            let text = format!(
                "MSH|^~\\&|TRACK|LAB|||1||SSU^U03^SSU_U03|1|P|2.5.1\rEQU|M1^T|20250115095500\r{sac}\r"
            );
            let message = Message::parse(&text).unwrap().0;
            let (read, _) = AutomationMessage::read(&message).unwrap();
            let Body::Containers(containers) = &read.body else {
                panic!("containers")
            };
            let event = ContainerEvent::read(&containers[0]);
            let transition = life.on(event.sight.unwrap());
            assert_eq!(
                transition,
                Transition {
                    next: *next,
                    reaction: *reaction,
                    surprise: *surprise
                },
                "{sac}"
            );
            life = transition.next;
        }
    }

    #[test]
    fn a_tube_goes_through_the_track_into_the_store() {
        check(&[
            (
                "SAC|||T1|||||I^Identified",
                Life::Identified,
                Reaction::LookUp,
                None,
            ),
            ("SAC|||T1|||||I", Life::Identified, Reaction::LookUp, None),
            (
                "SAC|||T1|||||P||PUCK1|1",
                Life::InPosition,
                Reaction::Locate,
                None,
            ),
            (
                "SAC|||T1|||||O",
                Life::InProcess,
                Reaction::SetActivity,
                None,
            ),
            ("SAC|||T1|||||R", Life::Completed, Reaction::Advance, None),
            (
                "SAC|||T1|||||L|||||||AN1",
                Life::Left,
                Reaction::HandOver,
                None,
            ),
            ("SAC|||T1|||||P", Life::InPosition, Reaction::Locate, None),
            (
                "SAC|||T1|||||R",
                Life::Completed,
                Reaction::Advance,
                Some(Surprise::Skipped),
            ),
            (
                "SAC|||T1|||||L|||||RACK7|12|SHELF 3~FRIDGE 1",
                Life::Stored,
                Reaction::Archive,
                None,
            ),
            ("SAC|||T1|||||M", Life::Missing, Reaction::Alarm, None),
            (
                "SAC|||T1|||||P",
                Life::InPosition,
                Reaction::Locate,
                Some(Surprise::Found),
            ),
            ("SAC|||T1|||||U", Life::Unclear, Reaction::Ask, None),
        ]);
        check(&[(
            "SAC|||T2|||||P",
            Life::InPosition,
            Reaction::Locate,
            Some(Surprise::NeverIdentified),
        )]);
    }

    #[test]
    fn nothing_is_made_of_a_status_that_no_table_has() {
        for sac in ["SAC|||T1", "SAC|||T1|||||\"\"", "SAC|||T1|||||Z"] {
            let text = format!("MSH|^~\\&|||||||SSU^U03|1\rEQU|M1|1\r{sac}\r");
            let message = Message::parse(&text).unwrap().0;
            let container = Container::new(message.first("SAC").unwrap());
            assert_eq!(Sight::of(container), None, "{sac}");
        }
    }

    #[test]
    fn an_event_has_what_the_message_says_of_the_container() {
        let text = concat!(
            "MSH|^~\\&|TRACK|LAB|||1||SSU^U03^SSU_U03|1|P|2.5.1\rEQU|ALQ1^TRACK|20250115095500+0700\r",
            "SAC|||25011500021-A1|25011500021||||R^Process Completed^HL70370||PUCK2|1^2||T5|7|",
            "SHELF 3~FRIDGE 1|||||||250||uL||||||||12||3||1\r",
        );
        let message = Message::parse(text).unwrap().0;
        let (read, _) = AutomationMessage::read(&message).unwrap();
        let Body::Containers(containers) = &read.body else {
            panic!("containers")
        };
        let event = ContainerEvent::read(&containers[0]);
        assert_eq!(
            (event.module.id.as_ref(), event.time),
            ("ALQ1", "20250115095500+0700")
        );
        assert_eq!(event.container, "25011500021-A1");
        assert!(event.is_aliquot());
        assert_eq!(event.parent, "25011500021");
        assert_eq!(event.status, Some(ContainerStatus::Completed));
        assert_eq!(event.sight, Some(Sight::Stored));
        assert_eq!(
            (event.carrier.as_ref(), event.carrier_position),
            ("PUCK2", "1^2")
        );
        assert_eq!((event.tray.as_ref(), event.tray_position), ("T5", "7"));
        assert_eq!(event.location, ["SHELF 3", "FRIDGE 1"]);
        assert_eq!((event.volume.0, event.volume.1.as_ref()), ("250", "uL"));
        assert_eq!(event.indices, ["12", "3", "1"]);
    }
}
