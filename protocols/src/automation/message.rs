//! Reading any message of the chapter.

use std::collections::HashSet;

use super::{
    event::{Event, Version},
    notes,
    segments::{
        ClearRange, Command, Equipment, Interaction, LogEntry, Notification, Response, Role,
        TestSetting,
    },
};
use crate::{
    hl7::{
        Message, ParseError, Segment,
        header::Header,
        material::{Container, Specimen, Substance, SubstanceUse, TestDetail},
        observation::{Obx, observations},
        views::{Fault, named},
    },
    wire::Note,
};

/// A message of the chapter. The slices of its parts, in their order, are the message without its
/// MSH.
#[derive(Clone, Debug)]
pub struct AutomationMessage<'m, 'a> {
    /// MSH.
    pub header: Header<'a>,
    /// Its event.
    pub event: Event,
    /// The equipment that it is about, or that it is for.
    pub equipment: Equipment<'a>,
    /// What it says.
    pub body: Body<'m, 'a>,
    /// What stands before the first EQU: SFT, UAC.
    pub preface: &'m [Segment<'a>],
    /// Every EQU with what follows it up to the first group.
    pub heads: Vec<&'m [Segment<'a>]>,
    /// Every ROL with what follows it.
    pub tails: Vec<&'m [Segment<'a>]>,
}

/// What a message says, one entry a group, in the order sent.
#[derive(Clone, Debug)]
pub enum Body<'m, 'a> {
    /// U01, U02: the interactions going on.
    Interactions(Vec<Item<'m, 'a, Interaction<'a>>>),
    /// U03, U04: containers.
    Containers(Vec<Item<'m, 'a, Container<'a>>>),
    /// U05, U06, U14: what is on board.
    Substances(Vec<Item<'m, 'a, Substance<'a>>>),
    /// U07, U08: commands, with their responses in U08.
    Commands(Vec<Item<'m, 'a, Command<'a>>>),
    /// U09: notifications.
    Notifications(Vec<Item<'m, 'a, Notification<'a>>>),
    /// U10, U11: test code settings, by specimen.
    Tests(Vec<Group<'m, 'a>>),
    /// U12, U13: entries of logs.
    Logs(Vec<Item<'m, 'a, LogEntry<'a>>>),
}

/// The segment that a group is about, and the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'m, 'a, T> {
    /// Its first segment.
    pub of: T,
    /// The whole group.
    pub group: Group<'m, 'a>,
}

/// Segments that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'m, 'a> {
    /// The last EQU before it.
    pub equipment: Equipment<'a>,
    /// All its segments.
    pub segments: &'m [Segment<'a>],
}

impl<'m, 'a> Group<'m, 'a> {
    /// Its SAC segments: usually one; in a command the container that it is for.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'m, 'a> {
        named(self.segments, Container::NAME).map(Container::new)
    }

    /// Its SPM segments.
    pub fn specimens(&self) -> impl Iterator<Item = Specimen<'a>> + use<'m, 'a> {
        named(self.segments, Specimen::NAME).map(Specimen::new)
    }

    /// Its OBX segments, all about a specimen or container.
    pub fn observations(&self) -> impl Iterator<Item = Obx<'m, 'a>> + use<'m, 'a> {
        observations(self.segments, true)
    }

    /// Its first ECR: what became of the command.
    pub fn response(&self) -> Option<Response<'a>> {
        named(self.segments, Response::NAME)
            .next()
            .map(Response::new)
    }

    /// Its first CNS: the notifications that the command clears.
    pub fn clear_range(&self) -> Option<ClearRange<'a>> {
        named(self.segments, ClearRange::NAME)
            .next()
            .map(ClearRange::new)
    }

    /// Its TCC segments.
    pub fn tests(&self) -> impl Iterator<Item = TestSetting<'a>> + use<'m, 'a> {
        named(self.segments, TestSetting::NAME).map(TestSetting::new)
    }

    /// Its TQ1 segments.
    pub fn timings(&self) -> impl Iterator<Item = Segment<'a>> + use<'m, 'a> {
        named(self.segments, "TQ1")
    }

    /// Its NTE segments.
    pub fn comments(&self) -> impl Iterator<Item = Segment<'a>> + use<'m, 'a> {
        named(self.segments, "NTE")
    }
}

impl<'m, 'a> AutomationMessage<'m, 'a> {
    /// Reads a message of the chapter.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] when MSH-9 names none, [`ParseError::SegmentMissing`] without EQU:
    /// what is said of no equipment cannot be placed.
    pub fn read(message: &'m Message<'a>) -> Result<(Self, Vec<Note>), ParseError> {
        let header = message.header();
        let event = Event::read(header.message_type(), header.trigger());
        let event = event.ok_or(ParseError::WrongType)?;
        let mut notes = check_header(header, event);
        let segments = message.segments();
        let mut reader = Reader::new(segments, event);
        for (index, segment) in segments.iter().enumerate().skip(1) {
            reader.on_segment(index, *segment);
        }
        reader.close(segments.len());
        let equipment = segments
            .iter()
            .find(|segment| segment.name() == Equipment::NAME)
            .ok_or(ParseError::SegmentMissing("EQU"))?;
        notes.append(&mut reader.notes);
        let read = Self {
            header,
            event,
            equipment: Equipment::new(*equipment),
            body: body(event, reader.groups),
            preface: reader.preface,
            heads: reader.heads,
            tails: reader.tails,
        };
        read.note_all(&mut notes);
        notes.sort_by_key(|note| note.at);
        Ok((read, notes))
    }

    /// ROL: who did it.
    pub fn roles(&self) -> impl Iterator<Item = Role<'a>> {
        let tails = self.tails.iter().copied();
        tails.flat_map(|tail| named(tail, Role::NAME).map(Role::new))
    }

    /// The commands or responses with this number (ECD-1 as text). More than one contradict each
    /// other, and were noted.
    pub fn commands_of(&self, number: &str) -> impl Iterator<Item = &Item<'m, 'a, Command<'a>>> {
        let commands: &[_] = match &self.body {
            Body::Commands(commands) => commands,
            Body::Interactions(_)
            | Body::Containers(_)
            | Body::Substances(_)
            | Body::Notifications(_)
            | Body::Tests(_)
            | Body::Logs(_) => &[],
        };
        let all = commands.iter();
        all.filter(move |command| command.of.number().text() == number)
    }

    /// Its groups, whatever they are about, in the order sent.
    pub fn groups(&self) -> Vec<Group<'m, 'a>> {
        fn of<'m, 'a, T>(items: &[Item<'m, 'a, T>]) -> Vec<Group<'m, 'a>> {
            items.iter().map(|item| item.group).collect()
        }
        match &self.body {
            Body::Interactions(items) => of(items),
            Body::Containers(items) => of(items),
            Body::Substances(items) => of(items),
            Body::Commands(items) => of(items),
            Body::Notifications(items) => of(items),
            Body::Tests(groups) => groups.clone(),
            Body::Logs(items) => of(items),
        }
    }

    /// All segments but MSH, in the order of the message.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> {
        let groups = self.groups().into_iter().map(|group| group.segments);
        let heads = self.heads.iter().chain(&self.tails).copied();
        let mut all: Vec<_> = heads.chain([self.preface]).chain(groups).collect();
        all.sort_by_key(|slice| slice.first().map(Segment::index));
        all.into_iter().flatten().copied()
    }

    fn note_all(&self, notes: &mut Vec<Note>) {
        let (_, inside) = self.event.group();
        let groups = self.groups();
        note_slice(self.preface, &PREFACE, notes);
        for head in &self.heads {
            note_slice(head, &[Equipment::NAME], notes);
        }
        for group in &groups {
            note_slice(group.segments, inside, notes);
        }
        for tail in &self.tails {
            note_slice(tail, &[Role::NAME], notes);
        }
        if groups.is_empty() && self.event.wants_group() {
            let note = notes::at_segment(notes::NOTHING_SAID, self.equipment.segment);
            notes.push(note);
        }
        self.note_groups(&groups, notes);
    }

    fn note_groups(&self, groups: &[Group<'m, 'a>], notes: &mut Vec<Note>) {
        let mut numbers = HashSet::new();
        for group in groups {
            let Some(first) = group.segments.first() else {
                continue;
            };
            let has_number = matches!(self.event, Event::Command | Event::Response);
            let number = Command::new(*first).number().raw();
            if has_number && !number.is_empty() && !numbers.insert(number) {
                notes.push(notes::at_field(notes::SAME_NUMBER, *first, 1));
            }
            if self.event == Event::Response && group.response().is_none() {
                notes.push(notes::at_segment(notes::NO_RESPONSE, *first));
            }
            let is_settings =
                matches!(self.event, Event::TestSettings | Event::TestSettingsRequest);
            if is_settings && group.tests().next().is_none() {
                notes.push(notes::at_segment(notes::NO_SETTING, *first));
            }
            for container in group.containers() {
                self.note_container(container, notes);
            }
        }
    }

    fn note_container(&self, container: Container<'a>, notes: &mut Vec<Note>) {
        if container.id().component(1).text().is_empty() {
            notes.push(notes::at_field(notes::NO_CONTAINER, container.segment, 3));
        }
        if self.event == Event::SpecimenStatus && container.status().is_none() {
            notes.push(notes::at_field(notes::NO_STATUS, container.segment, 8));
        }
    }
}

fn check_header(header: Header<'_>, event: Event) -> Vec<Note> {
    let msh = header.segment();
    let [.., structure] = event.kind();
    let version = Version::read(header.version());
    let found = [
        (header.structure() == structure, 9, notes::STRUCTURE),
        (header.processing_id() == "P", 11, notes::PROCESSING),
        (version.is_some(), 12, notes::VERSION),
        (
            version.is_none_or(|version| version >= event.since()),
            12,
            notes::TOO_NEW,
        ),
    ];
    let wrong = found.into_iter().filter(|(is_right, ..)| !is_right);
    wrong
        .map(|(_, field, note)| notes::at_field(note, msh, field))
        .collect()
}

fn body<'m, 'a>(event: Event, groups: Vec<Group<'m, 'a>>) -> Body<'m, 'a> {
    fn items<'m, 'a, T>(
        groups: Vec<Group<'m, 'a>>,
        new: impl Fn(Segment<'a>) -> T,
    ) -> Vec<Item<'m, 'a, T>> {
        let all = groups.into_iter();
        all.filter_map(|group| {
            let of = new(*group.segments.first()?);
            Some(Item { of, group })
        })
        .collect()
    }
    match event {
        Event::EquipmentStatus | Event::EquipmentStatusRequest => {
            Body::Interactions(items(groups, Interaction::new))
        }
        Event::SpecimenStatus | Event::SpecimenStatusRequest => {
            Body::Containers(items(groups, Container::new))
        }
        Event::Inventory | Event::InventoryRequest | Event::InventoryRequestItems => {
            Body::Substances(items(groups, Substance::new))
        }
        Event::Command | Event::Response => Body::Commands(items(groups, Command::new)),
        Event::Notification => Body::Notifications(items(groups, Notification::new)),
        Event::TestSettings | Event::TestSettingsRequest => Body::Tests(groups),
        Event::Log | Event::LogRequest => Body::Logs(items(groups, LogEntry::new)),
    }
}

/// The part of the message that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Preface,
    Head,
    Group,
    Tail,
}

#[derive(Debug)]
struct Reader<'m, 'a> {
    segments: &'m [Segment<'a>],
    openers: &'static [&'static str],
    place: Place,
    /// Where the present part began.
    start: usize,
    equipment: Option<Equipment<'a>>,
    preface: &'m [Segment<'a>],
    heads: Vec<&'m [Segment<'a>]>,
    groups: Vec<Group<'m, 'a>>,
    tails: Vec<&'m [Segment<'a>]>,
    notes: Vec<Note>,
}

impl<'m, 'a> Reader<'m, 'a> {
    fn new(segments: &'m [Segment<'a>], event: Event) -> Self {
        let (openers, _) = event.group();
        Self {
            segments,
            openers,
            place: Place::Preface,
            start: 1,
            equipment: None,
            preface: &[],
            heads: Vec::new(),
            groups: Vec::new(),
            tails: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn on_segment(&mut self, index: usize, segment: Segment<'a>) {
        let name = segment.name();
        if name == Equipment::NAME {
            self.open(Place::Head, index);
            let equipment = Equipment::new(segment);
            if self.equipment.replace(equipment).is_some() {
                let note = notes::at_segment(notes::SECOND_EQUIPMENT, segment);
                self.notes.push(note);
            }
        } else if name == Role::NAME {
            self.open(Place::Tail, index);
        } else if self.openers.contains(&name) && self.equipment.is_some() {
            // A test code below a specimen, or after another, belongs to the same group.
            let joins = name == TestSetting::NAME && self.place == Place::Group;
            if !joins {
                self.open(Place::Group, index);
            }
        }
    }

    fn open(&mut self, place: Place, index: usize) {
        self.close(index);
        self.place = place;
        self.start = index;
    }

    /// Ends the present part before the segment at `end`.
    fn close(&mut self, end: usize) {
        let segments = self.segments.get(self.start..end).unwrap_or_default();
        match (self.place, self.equipment) {
            (Place::Preface, _) => self.preface = segments,
            (Place::Group, Some(equipment)) => self.groups.push(Group {
                equipment,
                segments,
            }),
            // No group is opened before the first EQU.
            (Place::Head | Place::Group, _) => self.heads.push(segments),
            (Place::Tail, _) => self.tails.push(segments),
        }
    }
}

/// What may stand before EQU.
const PREFACE: [&str; 2] = ["SFT", "UAC"];
/// All segments that the chapter has somewhere.
const KNOWN: [&str; 21] = [
    "SFT", "UAC", "EQU", "ISD", "SAC", "OBX", "SPM", "NTE", "INV", "ECD", "ECR", "TQ1", "CNS",
    "OBR", "DST", "NDS", "TCC", "TCD", "SID", "EQP", "ROL",
];

fn note_slice(segments: &[Segment<'_>], allowed: &[&str], notes: &mut Vec<Note>) {
    for segment in segments {
        let name = segment.name();
        let note = if segment.is_bad() {
            Some(notes::BAD_NAME)
        } else if allowed.contains(&name) {
            None
        } else if KNOWN.contains(&name) {
            Some(notes::MISPLACED)
        } else {
            Some(notes::UNKNOWN_SEGMENT)
        };
        notes.extend(note.map(|note| notes::at_segment(note, *segment)));
        let faults = faults(*segment).into_iter();
        notes.extend(faults.map(|(field, fault)| notes::of_fault(*segment, field, fault)));
    }
}

fn faults(segment: Segment<'_>) -> Vec<(usize, Fault)> {
    match segment.name() {
        Equipment::NAME => Equipment::new(segment).faults(),
        Interaction::NAME => Interaction::new(segment).faults(),
        Command::NAME => Command::new(segment).faults(),
        Response::NAME => Response::new(segment).faults(),
        Notification::NAME => Notification::new(segment).faults(),
        ClearRange::NAME => ClearRange::new(segment).faults(),
        TestSetting::NAME => TestSetting::new(segment).faults(),
        LogEntry::NAME => LogEntry::new(segment).faults(),
        Role::NAME => Role::new(segment).faults(),
        Specimen::NAME => Specimen::new(segment).faults(),
        Container::NAME => Container::new(segment).faults(),
        Substance::NAME => Substance::new(segment).faults(),
        TestDetail::NAME => TestDetail::new(segment).faults(),
        SubstanceUse::NAME => SubstanceUse::new(segment).faults(),
        _ => Vec::new(),
    }
}
