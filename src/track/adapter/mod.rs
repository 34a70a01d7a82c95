//! What a message of the line means.
//!
//! [`hl7`] reads HL7 chapter 13; [`mapping`] reads what a mapping file describes: ASTM records, HL7
//! segments of another chapter, or a vendor's own records of fields. A tube is never guessed: what
//! names no module of the line, or no tube, is told as [`Unplaced`].

pub mod hl7;
pub mod mapping;

use std::ops::Range;

use jiff::{civil, tz::TimeZone};
use labwire_protocols::hl7::time::Timestamp;

use super::{Time, TubeId, state::Event};

/// The events of a message, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// What the books are told.
    pub events: Vec<Event>,
    /// Secondary tubes that a message names, each with the tube that it was made from.
    pub aliquots: Vec<(TubeId, TubeId)>,
    /// Where each event stands in the text that was read, in bytes.
    pub spans: Vec<Range<usize>>,
    /// What could not be placed.
    pub unplaced: Vec<Unplaced>,
}

impl Read {
    fn push(&mut self, event: Event, span: Range<usize>) {
        self.events.push(event);
        self.spans.push(span);
    }
}

/// Why a part of a message became no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The line's file has no module of that name.
    Module(String),
    /// A container without a status that is known.
    Status,
    /// It is about a tube and names none, or what it names is longer than any barcode.
    Tube,
    /// The message cannot be read at all.
    Message,
}

/// Characters of a name that are shown.
const NAME_CHARS_MAX: usize = 40;

impl Unplaced {
    /// [`Unplaced::Module`], its name cut to what is shown.
    fn module(name: &str) -> Self {
        Self::Module(name.chars().take(NAME_CHARS_MAX).collect())
    }

    /// Its word, which never changes its meaning.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Module(_) => "unknown-module",
            Self::Status => "no-status",
            Self::Tube => "no-tube",
            Self::Message => "unreadable-message",
        }
    }
}

/// The instant of an HL7 or ASTM time to the second (`20250115095500+0700`); one without a zone is
/// of `zone`. `None` where it is less exact, for a day is no time of an event.
pub fn instant(text: &str, zone: &TimeZone) -> Option<Time> {
    let time = Timestamp::parse(text).ok()?;
    let year = i16::try_from(time.year).ok()?;
    let part = |part: Option<u8>| part.and_then(|part| i8::try_from(part).ok());
    let date = civil::DateTime::new(
        year,
        part(time.month)?,
        part(time.day)?,
        part(time.hour)?,
        part(time.minute)?,
        part(time.second)?,
        0,
    )
    .ok()?;
    let offset = time
        .offset_minutes
        .map(|minutes| jiff::tz::Offset::from_seconds(i32::from(minutes) * 60));
    let zone = match offset {
        Some(offset) => TimeZone::fixed(offset.ok()?),
        None => zone.clone(),
    };
    at(date, &zone)
}

fn at(date: civil::DateTime, zone: &TimeZone) -> Option<Time> {
    let instant = date.to_zoned(zone.clone()).ok()?.timestamp();
    let ms = u64::try_from(instant.as_millisecond()).ok()?;
    Some(Time::from_ms(ms))
}
