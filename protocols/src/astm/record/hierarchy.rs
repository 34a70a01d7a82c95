//! Where a record stands: its level and the records it belongs to (LIS02-A2 5.3, figure 1).

use super::message::RecordKind;

/// The place of a record: its level, and the indices of the records above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// 0 for H and L, 1 for P, Q and S, 2 for O, 3 for R; one below their parent for C and M.
    pub level: usize,
    /// The record it is attached to.
    pub parent: Option<usize>,
    /// The header of its message.
    pub header: Option<usize>,
    /// The patient it belongs to, or itself.
    pub patient: Option<usize>,
    /// The order it belongs to, or itself.
    pub order: Option<usize>,
    /// The result it belongs to, or itself.
    pub result: Option<usize>,
}

/// A [`Place`] in little room, as every record carries one: the level, then the indices in the order
/// of the struct, [`NOWHERE`] for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedPlace([u32; 6]);

const NOWHERE: u32 = u32::MAX;

impl From<Place> for PackedPlace {
    fn from(place: Place) -> Self {
        let Place {
            level,
            parent,
            header,
            patient,
            order,
            result,
        } = place;
        let pack = |n: usize| u32::try_from(n).unwrap_or(NOWHERE);
        let link = |n: Option<usize>| n.map_or(NOWHERE, pack);
        Self([
            pack(level),
            link(parent),
            link(header),
            link(patient),
            link(order),
            link(result),
        ])
    }
}

impl From<PackedPlace> for Place {
    fn from(PackedPlace(packed): PackedPlace) -> Self {
        let unpack = |n: u32| {
            if n == NOWHERE {
                None
            } else {
                usize::try_from(n).ok()
            }
        };
        let [level, parent, header, patient, order, result] = packed.map(unpack);
        Self {
            level: level.unwrap_or(usize::MAX),
            parent,
            header,
            patient,
            order,
            result,
        }
    }
}

/// Follows the records of a message, in the parser and in the writer alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hierarchy {
    header: Option<usize>,
    patient: Option<usize>,
    order: Option<usize>,
    result: Option<usize>,
    /// The closest record that is no comment: what a C belongs to. With its level.
    commented: Option<(usize, usize)>,
    /// The closest record that is no manufacturer record: what an M belongs to. With its level.
    described: Option<(usize, usize)>,
    counts: Counts,
}

/// How many records of a type came since the last record of higher significance.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    patient: usize,
    request: usize,
    scientific: usize,
    order: usize,
    result: usize,
    comment: usize,
    manufacturer: usize,
}

impl Hierarchy {
    /// Whether there was a header.
    pub(super) const fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// Whether a patient record is open, so that an order has somewhere to go.
    pub(super) const fn has_patient(&self) -> bool {
        self.patient.is_some()
    }

    /// Whether an order record is open, so that a result has somewhere to go.
    pub(super) const fn has_order(&self) -> bool {
        self.order.is_some()
    }

    /// Takes up record `index`; gives its place and the sequence number it should carry.
    pub(super) fn place(&mut self, kind: RecordKind, index: usize) -> (Place, Option<usize>) {
        let sequence = self.count(kind);
        let (level, parent) = self.descend(kind, index);
        match kind {
            RecordKind::Comment => self.described = Some((index, level)),
            RecordKind::Manufacturer => self.commented = Some((index, level)),
            RecordKind::Terminator => (self.commented, self.described) = (None, None),
            RecordKind::Unknown(_) => {}
            RecordKind::Header
            | RecordKind::Patient
            | RecordKind::Order
            | RecordKind::Result
            | RecordKind::Request
            | RecordKind::Scientific => {
                (self.commented, self.described) = (Some((index, level)), Some((index, level)));
            }
        }
        let Self {
            header,
            patient,
            order,
            result,
            ..
        } = *self;
        (
            Place {
                level,
                parent,
                header,
                patient,
                order,
                result,
            },
            sequence,
        )
    }

    /// Opens and closes groups; gives the record's level and parent.
    fn descend(&mut self, kind: RecordKind, index: usize) -> (usize, Option<usize>) {
        let below = |above: Option<(usize, usize)>| match above {
            Some((parent, level)) => (level.saturating_add(1), Some(parent)),
            None => (1, None),
        };
        match kind {
            RecordKind::Header => {
                (self.header, self.patient, self.order, self.result) =
                    (Some(index), None, None, None);
                (0, None)
            }
            RecordKind::Terminator => {
                (self.patient, self.order, self.result) = (None, None, None);
                (0, self.header)
            }
            RecordKind::Patient => {
                (self.patient, self.order, self.result) = (Some(index), None, None);
                (1, self.header)
            }
            RecordKind::Request | RecordKind::Scientific => {
                (self.patient, self.order, self.result) = (None, None, None);
                (1, self.header)
            }
            RecordKind::Order => {
                (self.order, self.result) = (Some(index), None);
                (2, self.patient.or(self.header))
            }
            RecordKind::Result => {
                self.result = Some(index);
                (3, self.order.or(self.patient).or(self.header))
            }
            RecordKind::Comment => below(self.commented),
            RecordKind::Manufacturer | RecordKind::Unknown(_) => below(self.described),
        }
    }

    /// Counts the record; records of lower significance start again from 1.
    fn count(&mut self, kind: RecordKind) -> Option<usize> {
        let counts = &mut self.counts;
        if let Some(level) = fixed_level(kind) {
            (counts.comment, counts.manufacturer) = (0, 0);
            counts.result = if level <= 2 { 0 } else { counts.result };
            counts.order = if level <= 1 { 0 } else { counts.order };
            if level == 0 {
                *counts = Counts::default();
            }
        }
        let count = match kind {
            RecordKind::Header | RecordKind::Unknown(_) => return None,
            RecordKind::Terminator => return Some(1),
            RecordKind::Patient => &mut counts.patient,
            RecordKind::Request => &mut counts.request,
            RecordKind::Scientific => &mut counts.scientific,
            RecordKind::Order => &mut counts.order,
            RecordKind::Result => &mut counts.result,
            RecordKind::Comment => &mut counts.comment,
            RecordKind::Manufacturer => &mut counts.manufacturer,
        };
        *count = count.saturating_add(1);
        Some(*count)
    }
}

/// The level of a record type; comments and manufacturer records take theirs from their parent.
fn fixed_level(kind: RecordKind) -> Option<usize> {
    match kind {
        RecordKind::Header | RecordKind::Terminator => Some(0),
        RecordKind::Patient | RecordKind::Request | RecordKind::Scientific => Some(1),
        RecordKind::Order => Some(2),
        RecordKind::Result => Some(3),
        RecordKind::Comment | RecordKind::Manufacturer | RecordKind::Unknown(_) => None,
    }
}
