//! From HL7 segments to what the order book keeps.

use jiff::{civil::DateTime, tz::TimeZone};
use labwire_protocols::hl7::{
    Message, Segment,
    build::{Name, SegmentWriter},
    order::{OrderGroup, SpecimenBlock},
    time::Timestamp,
    types::{Identifier as Hl7Identifier, PatientBlock},
};

use crate::{
    book::{Fields, Identifier, PatientEntry, SpecimenEntry},
    config::FieldPath,
    model::Private,
};

/// Fields of a segment in the standard delimiters, empty ones left out. Field 1 (the set id) is
/// ours to write.
pub(super) fn fields(segment: Segment<'_>) -> Fields {
    let Some(name) = Name::new(segment.name()) else {
        return Fields::new();
    };
    (2..=segment.n())
        .filter_map(|n| {
            let field = segment.field(n);
            let number = u16::try_from(n).ok()?;
            if field.raw().is_empty() {
                return None;
            }
            let writer = SegmentWriter::new(name).echo(n, field);
            Some((number, writer.value(n).to_owned()))
        })
        .collect()
}

pub(super) fn identifier(id: &Hl7Identifier<'_>) -> Identifier {
    Identifier {
        id: Private::new(id.id.to_string()),
        authority: id.authority.to_string(),
        kind: id.kind.to_string(),
    }
}

/// A patient; PID-2, where old senders put the id, counts only when PID-3 is empty.
pub(super) fn patient(block: &PatientBlock<'_>) -> PatientEntry {
    let mut identifiers: Vec<Identifier> = block
        .ids
        .iter()
        .map(identifier)
        .filter(|id| !id.id.expose().is_empty())
        .collect();
    if identifiers.is_empty() && !block.legacy_id.id.is_empty() {
        identifiers.push(identifier(&block.legacy_id));
    }
    let birth: String = block
        .birth
        .chars()
        .take_while(char::is_ascii_digit)
        .take(8)
        .collect();
    let birth = if birth.len() == 8 {
        birth
    } else {
        String::new()
    };
    PatientEntry {
        identifiers,
        fields: Private::new(fields(block.segment)),
        birth: Private::new(birth),
        sex: block.sex.to_owned(),
    }
}

/// Where the tubes of one message are named.
#[derive(Clone, Copy, Debug)]
pub(super) struct TubePlace<'a> {
    /// As the site wrote it; without, SPM where there is one.
    pub(super) written: Option<&'a FieldPath>,
    /// The message is older than 2.5, which brought SPM.
    pub(super) is_before_spm: bool,
}

impl TubePlace<'_> {
    /// Whether a tube is named in a segment that orders may share.
    pub(super) fn is_shared(self) -> bool {
        self.written
            .is_none_or(|path| matches!(path.segment.as_str(), "SPM" | "SAC"))
    }

    /// What is on the tube, exactly; empty when the order does not say.
    pub(super) fn barcode(self, order: &OrderGroup<'_>, own: Option<&SpecimenBlock<'_>>) -> String {
        match (self.written, own) {
            (Some(path), _) => at_path(path, order, own),
            (None, Some(own)) => id_of(own),
            // Where old senders put the number of the tube, for want of SPM.
            (None, None) if self.is_before_spm => order
                .obr
                .map(|obr| obr.field(3).component(1).text().to_string())
                .unwrap_or_default(),
            (None, None) => String::new(),
        }
    }
}

/// The placer's number first, then the filler's, then what is on the container.
fn id_of(own: &SpecimenBlock<'_>) -> String {
    [&own.placer_id, &own.filler_id, &own.container_id()]
        .into_iter()
        .find(|id| !id.is_empty())
        .map(|id| id.to_string())
        .unwrap_or_default()
}

/// The station that sends a tube: where the site says that it stands, else the patient's place (PV1-3)
/// or that of whoever ordered (ORC-13).
pub(super) fn station(
    message: &Message<'_>,
    (order, own): (&OrderGroup<'_>, Option<&SpecimenBlock<'_>>),
    written: Option<&FieldPath>,
) -> String {
    let at = |path: &FieldPath| {
        let found = at_path(path, order, own);
        if found.is_empty() {
            let segment = message.first(&path.segment);
            return segment
                .map(|segment| part(segment, path))
                .unwrap_or_default();
        }
        found
    };
    match written {
        Some(path) => at(path),
        None => ["PV1-3.1", "ORC-13.1"]
            .into_iter()
            .filter_map(|path| path.parse().ok())
            .map(|path| at(&path))
            .find(|station| !station.is_empty())
            .unwrap_or_default(),
    }
}

fn at_path(path: &FieldPath, order: &OrderGroup<'_>, own: Option<&SpecimenBlock<'_>>) -> String {
    let segment = match path.segment.as_str() {
        "SPM" => own.map(|block| block.segment),
        "SAC" => own.and_then(|block| block.containers.first().copied()),
        "OBR" => order.obr,
        "ORC" => order.orc,
        _ => None,
    };
    segment
        .map(|segment| part(segment, path))
        .unwrap_or_default()
}

/// The tube of an order.
pub(super) fn specimen(
    order: &OrderGroup<'_>,
    own: Option<&SpecimenBlock<'_>>,
    place: TubePlace<'_>,
    zone: &TimeZone,
) -> Option<SpecimenEntry> {
    let barcode = place.barcode(order, own);
    if barcode.is_empty() {
        return None;
    }
    let collected = [
        own.map_or("", |block| block.collected),
        order.collection_time,
    ];
    let collected = collected.into_iter().find(|time| !time.is_empty());
    Some(SpecimenEntry {
        barcode,
        fields: own.map(|block| fields(block.segment)).unwrap_or_default(),
        collected_at: collected.and_then(|time| instant(time, zone)),
    })
}

/// The text at a place; where the place names a whole field or component, its first part.
fn part(segment: Segment<'_>, place: &FieldPath) -> String {
    let component = place.component.map_or(1, usize::from);
    let subcomponent = place.subcomponent.map_or(1, usize::from);
    segment
        .field(place.field.into())
        .subcomponent(component, subcomponent)
        .text()
        .to_string()
}

/// An HL7 time as an instant: whole to the minute at least, in its own offset or else in `zone`.
pub fn instant(text: &str, zone: &TimeZone) -> Option<i64> {
    let time = Timestamp::parse(text).ok()?;
    let (month, day, hour, minute) = (time.month?, time.day?, time.hour?, time.minute?);
    let small = |value: u8| i8::try_from(value).ok();
    let civil = DateTime::new(
        i16::try_from(time.year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(time.second.unwrap_or(0))?,
        0,
    )
    .ok()?;
    let zone = match time.offset_minutes {
        Some(minutes) => {
            TimeZone::fixed(jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).ok()?)
        }
        None => zone.clone(),
    };
    Some(zone.to_timestamp(civil).ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_is_read_in_the_laboratorys_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(7));
        for (text, expected) in [
            ("20260310150000+0700", Some(1_773_129_600_000_000)),
            ("20260310150000", Some(1_773_129_600_000_000)),
            ("202603101500", Some(1_773_129_600_000_000)),
            ("20260310080000+0000", Some(1_773_129_600_000_000)),
            ("20260310", None),
            ("", None),
            ("yesterday", None),
        ] {
            assert_eq!(instant(text, &zone), expected, "{text}");
        }
    }
}
