//! Events of HL7 chapter 13: containers (SSU^U03), states (ESU^U01), notifications (EAN^U09), and what
//! is on board (INU^U05): a reagent for the tests that INV-15 names.
//!
//! | SAC-8 | means |
//! |---|---|
//! | `I`, `P` | seen |
//! | `O` | started |
//! | `R` | finished; with tray, position and location kept |
//! | `L` | left, for the module and on the lane that SAC-15 names; with tray and position kept |
//! | `M`, `X`, `U` | lost |
//!
//! An advice goes back as a command ([`transport`], EAC^U07).
//!
//! A container without an id (SAC-3) is a tube whose barcode could not be read.

use std::{collections::BTreeMap, ops::Range};

use jiff::tz::TimeZone;
use labwire_protocols::{
    automation::{
        AutomationMessage, Body, Event as Kind, Item, WriteError,
        lifecycle::{ContainerEvent, Sight},
        segments::{CommandDraft, Equipment, EquipmentDraft},
        write::{CommandContent, ContainerContent, Content, Envelope, build},
    },
    hl7::Segment,
    hl7::{
        material::{ContainerDraft, Substance},
        tables::{EquipmentState, RemoteControl, SubstanceStatus, SubstanceType},
    },
};

use super::{Read, Unplaced, instant};
use crate::track::{
    Time, TubeId,
    model::{Condition, Line, ModuleNo},
    route::Go,
    state::{Event, What},
};

/// The events of a message. A time that cannot be read, or has no zone and none in `zone`, is the
/// one at which the message was received.
pub fn read(
    message: &AutomationMessage<'_, '_>,
    line: &Line,
    zone: &TimeZone,
    received: Time,
) -> Read {
    let mut reader = Reader {
        line,
        zone,
        received,
        span: message.heads.first().map_or(0..0, |head| span(head)),
        read: Read::default(),
    };
    match &message.body {
        Body::Containers(items) if message.event == Kind::SpecimenStatus => {
            for item in items {
                reader.span = span(item.group.segments);
                reader.on_container(&ContainerEvent::read(item));
            }
        }
        Body::Notifications(items) if message.event == Kind::Notification => {
            for item in items {
                let code = item.of.code().component(1).text();
                let equipment = item.group.equipment;
                let condition = line.notify.get(&*code).copied();
                let condition = condition.or_else(|| state_of(equipment));
                reader.span = span(item.group.segments);
                reader.on_condition(equipment, condition);
            }
        }
        Body::Substances(items) if message.event == Kind::Inventory => {
            reader.on_inventory(items);
        }
        Body::Interactions(_) if message.event == Kind::EquipmentStatus => {
            reader.on_condition(message.equipment, state_of(message.equipment));
        }
        Body::Interactions(_)
        | Body::Containers(_)
        | Body::Notifications(_)
        | Body::Substances(_)
        | Body::Commands(_)
        | Body::Tests(_)
        | Body::Logs(_) => {}
    }
    reader.read
}

/// The command (EAC^U07, `TT`) that an advice is for a line: take this container to that module. `None`
/// for an advice to stay. The equipment it is for is the receiver of `envelope`; `number` (ECD-1)
/// comes back in the response.
///
/// # Errors
/// See [`WriteError`]; nothing is written in part.
pub fn transport(
    line: &Line,
    (tube, go): (&TubeId, &Go),
    number: &str,
    envelope: &Envelope<'_>,
) -> Result<Option<String>, WriteError> {
    let (Go::To { module, .. } | Go::Outlet { module, .. }) = go else {
        return Ok(None);
    };
    let command = CommandContent {
        command: CommandDraft::new()
            .number(number)
            .control(RemoteControl::TransportTo)
            .response_required("Y")
            .parameters(&[&line.module(*module).id]),
        complete_by: "",
        container: Some(ContainerContent {
            container: ContainerDraft::new().id(&[tube.as_str()]),
            ..ContainerContent::default()
        }),
        clear: None,
    };
    let equipment = EquipmentDraft::new()
        .id(&[envelope.receiving_application, envelope.sending_application])
        .time(envelope.time);
    let commands = [command];
    build(envelope, &equipment, &Content::Commands(&commands), None).map(Some)
}

/// From the first byte of a group to its last.
fn span(segments: &[Segment<'_>]) -> Range<usize> {
    let first = segments.first().map_or(0, |segment| segment.span().start);
    let last = segments.last().map_or(0, |segment| segment.span().end);
    first..last
}

struct Reader<'l> {
    line: &'l Line,
    zone: &'l TimeZone,
    received: Time,
    /// Of what is being read.
    span: Range<usize>,
    read: Read,
}

impl Reader<'_> {
    fn module(&mut self, name: &str) -> Option<ModuleNo> {
        let module = self.line.module_named(name);
        if module.is_none() {
            self.read.unplaced.push(Unplaced::module(name));
        }
        module
    }

    fn at(&self, time: &str) -> Time {
        instant(time, self.zone).unwrap_or(self.received)
    }

    fn on_container(&mut self, container: &ContainerEvent<'_>) {
        let Some(module) = self.module(&container.module.id) else {
            return;
        };
        let at = self.at(container.time);
        let id = container.container.trim();
        if id.is_empty() {
            let span = self.span.clone();
            self.read.push(Event::Unread { module, at }, span);
            return;
        }
        let Some(tube) = TubeId::read(id) else {
            self.read.unplaced.push(Unplaced::Tube);
            return;
        };
        let Some(what) = container.sight.map(|sight| self.what(container, sight)) else {
            self.read.unplaced.push(Unplaced::Status);
            return;
        };
        let parent = TubeId::read(container.parent.trim());
        if let Some(parent) = parent.filter(|_| container.is_aliquot()) {
            self.read.aliquots.push((tube.clone(), parent));
        }
        let event = Event::Tube {
            tube,
            module,
            what,
            at,
        };
        self.read.push(event, self.span.clone());
    }

    fn what(&self, container: &ContainerEvent<'_>, sight: Sight) -> What {
        let places = &container.location;
        let lane = || places.iter().find_map(|name| self.line.lane_named(name));
        match sight {
            Sight::Identified | Sight::InPosition => What::Seen { lane: lane() },
            Sight::InProcess => What::Started,
            Sight::Completed => What::Finished,
            Sight::Left => What::Left {
                to: places.iter().find_map(|name| self.line.module_named(name)),
                lane: lane(),
            },
            Sight::Stored => {
                let rack = [&*container.tray, container.tray_position];
                let place = places.iter().map(|place| &**place).chain(rack);
                What::kept(&place.collect::<Vec<_>>().join("/"))
            }
            Sight::Missing | Sight::Unavailable | Sight::Unknown => What::Lost,
        }
    }

    /// A module has a reagent for a test where one of those that it names can be used: of several
    /// packs one may be empty.
    fn on_inventory(&mut self, items: &[Item<'_, '_, Substance<'_>>]) {
        let mut told: BTreeMap<(ModuleNo, String), (bool, Time, Range<usize>)> = BTreeMap::new();
        for item in items.iter().filter(|item| is_reagent(&item.of)) {
            let equipment = item.group.equipment;
            let id = equipment.id().component(1).text().into_owned();
            self.span = span(item.group.segments);
            let Some(module) = self.module(&id) else {
                continue;
            };
            let at = self.at(equipment.time().raw());
            let is_usable = is_usable(&item.of);
            for test in item.of.test_ids().repeats() {
                let test = test.component(1).text().into_owned();
                let entry = told.entry((module, test));
                let known = entry.or_insert((false, at, self.span.clone()));
                known.0 |= is_usable;
            }
        }
        for ((module, test), (is_usable, at, span)) in told {
            let event = Event::Reagent {
                module,
                test,
                is_usable,
                at,
            };
            self.read.push(event, span);
        }
    }

    fn on_condition(&mut self, equipment: Equipment<'_>, condition: Option<Condition>) {
        let id = equipment.id().component(1).text().into_owned();
        let Some(module) = self.module(&id) else {
            return;
        };
        let at = self.at(equipment.time().raw());
        if let Some(condition) = condition {
            let event = Event::Module {
                module,
                condition,
                at,
            };
            self.read.push(event, self.span.clone());
        }
    }
}

/// INV-3: what a test is measured with; unsaid, it is taken for a reagent.
fn is_reagent(substance: &Substance<'_>) -> bool {
    matches!(
        substance.kind(),
        None | Some(SubstanceType::SingleTestReagent | SubstanceType::MultiTestReagent)
    )
}

/// INV-2 and INV-8: no error stands against it (HL7 table 0383), and something is left.
fn is_usable(substance: &Substance<'_>) -> bool {
    let is_error = |status| {
        matches!(
            status,
            SubstanceStatus::CalibrationError
                | SubstanceStatus::ExpiredError
                | SubstanceStatus::NotAvailableError
                | SubstanceStatus::OtherError
                | SubstanceStatus::ControlError
        )
    };
    let left = substance.current_quantity();
    let is_empty = left.raw().trim().parse::<u32>() == Ok(0);
    !is_empty && !substance.status().any(is_error)
}

/// What EQU-3 says of a module. A pause ends by itself or by a person on the spot; a module that is
/// starting, stopped or being cleared takes no tube.
fn state_of(equipment: Equipment<'_>) -> Option<Condition> {
    match equipment.state()? {
        EquipmentState::NormalOperation | EquipmentState::Idle => Some(Condition::Up),
        EquipmentState::Pausing | EquipmentState::Paused => Some(Condition::Jam),
        EquipmentState::Clearing
        | EquipmentState::Configuring
        | EquipmentState::EmergencyStopped
        | EquipmentState::Initializing
        | EquipmentState::PoweredUp => Some(Condition::Down),
        EquipmentState::Other(_) => None,
    }
}
