//! LAB-27: the query of an analyzer (QBP^Q11) and its answer (RSP^K11).
//!
//! The answer comes at once and says only whether the query was understood; the work, or that there
//! is none, follows as LAB-28 ([`super::order`]).

use std::borrow::Cow;

use super::{
    Problem, Transaction,
    envelope::{self, Part},
    notes,
};
use crate::{
    hl7::{
        Field, Message, ParseError, Segment,
        ack::{ErrSegment, Outcome, Own},
        build::{BuildError, Name, SegmentWriter},
        header::Header,
        material::ContainerDraft,
        views::beyond,
    },
    wire::Note,
};

/// QBP^Q11: what is to be done?
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// QPD.
    pub qpd: Segment<'a>,
    /// RCP.
    pub rcp: Option<Segment<'a>>,
    /// All other segments, in the order sent.
    pub others: Vec<Segment<'a>>,
    /// What QPD-1.1 means, where that is a vendor's own name.
    meaning: Option<QueryName<'a>>,
}

/// QPD-1.1: by what the analyzer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryName<'a> {
    /// `WOS`: by the container.
    Container,
    /// `WOS_ALL`: everything that waits.
    All,
    /// `WOS_BY_RACK`: by a place in a carrier.
    Rack,
    /// `WOS_BY_TRAY`: by a place in a tray.
    Tray,
    /// `WOS_BY_ISOLATE`: an isolate of a primary specimen.
    Isolate,
    /// `WOS_ROCHE`: by the container, with more fields.
    Roche,
    /// `WOS_ADDITIONAL`: by the container, for reflex tests.
    Additional,
    /// Another name, as sent.
    Other(&'a str),
}

/// What a query asks for, with the fields that say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The work for a container.
    Container {
        /// QPD-3.1: the barcode.
        id: Cow<'a, str>,
    },
    /// The reflex work for a container; its steps answer with TCD-8 `F`.
    Additional {
        /// QPD-3.1.
        id: Cow<'a, str>,
    },
    /// All work.
    All,
    /// The work for what stands in a place of a carrier.
    Rack {
        /// QPD-4.1.
        carrier: Cow<'a, str>,
        /// QPD-5 as sent, `n` or `x^y`.
        position: &'a str,
    },
    /// The work for what stands in a place of a tray.
    Tray {
        /// QPD-6.1.
        tray: Cow<'a, str>,
        /// QPD-7 as sent, `n` or `x^y`.
        position: &'a str,
    },
    /// The work for an isolate.
    Isolate {
        /// QPD-3.1.
        id: Cow<'a, str>,
        /// QPD-9.1: the container that it was grown from.
        primary: Cow<'a, str>,
    },
}

/// A query of a name that is not known.
pub const UNKNOWN_NAME: &str = "LAW-0401";
/// A query without a tag: its answer could not be matched.
pub const NO_TAG: &str = "LAW-0402";
/// A query without the field that says what it asks for.
pub const NO_KEY: &str = "LAW-0403";

/// Coding systems of QPD-1: of the profile, of its older texts, of the vendor with names of its own.
const SYSTEMS: [&str; 3] = ["IHELAW", "IHE_LABTF", "ROCHE"];
/// The last field of QPD that any text of the profile has.
const QPD_LAST: usize = 10;
/// What may stand in a query besides QPD and RCP.
const KNOWN: [&str; 3] = ["SFT", "UAC", "DSC"];

impl<'a> QueryName<'a> {
    /// Reads QPD-1.1.
    pub fn read(code: &'a str) -> Self {
        match code {
            "WOS" => Self::Container,
            "WOS_ALL" => Self::All,
            "WOS_BY_RACK" => Self::Rack,
            "WOS_BY_TRAY" => Self::Tray,
            "WOS_BY_ISOLATE" => Self::Isolate,
            "WOS_ROCHE" => Self::Roche,
            "WOS_ADDITIONAL" => Self::Additional,
            other => Self::Other(other),
        }
    }

    /// As it stands in QPD-1.1.
    pub const fn code(self) -> &'a str {
        match self {
            Self::Container => "WOS",
            Self::All => "WOS_ALL",
            Self::Rack => "WOS_BY_RACK",
            Self::Tray => "WOS_BY_TRAY",
            Self::Isolate => "WOS_BY_ISOLATE",
            Self::Roche => "WOS_ROCHE",
            Self::Additional => "WOS_ADDITIONAL",
            Self::Other(code) => code,
        }
    }

    /// The fields of QPD that say what is asked for, and those that may stand beside them.
    const fn fields(self) -> (&'static [usize], &'static [usize]) {
        match self {
            Self::Container | Self::Roche | Self::Additional => (&[3], &[4, 5, 6, 7, 8, 9, 10]),
            Self::All => (&[], &[]),
            Self::Rack => (&[4, 5], &[8]),
            Self::Tray => (&[6, 7], &[8]),
            Self::Isolate => (&[3, 9], &[4, 5, 6, 7, 8, 10]),
            Self::Other(_) => (&[], &[3, 4, 5, 6, 7, 8, 9, 10]),
        }
    }
}

/// Where a field of QPD stands in SAC.
const QPD_TO_SAC: [(usize, usize); 7] =
    [(3, 3), (4, 10), (5, 11), (6, 13), (7, 14), (8, 15), (9, 4)];

impl<'a> Query<'a> {
    /// Reads a QBP^Q11.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another message, [`ParseError::SegmentMissing`] without QPD.
    pub fn read(message: &Message<'a>) -> Result<(Self, Vec<Note>), ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("QBP", "Q11") {
            return Err(ParseError::WrongType);
        }
        let mut notes = envelope::check(header, Transaction::Query, Part::Request, &["QBP_Q11"]);
        let (mut qpd, mut rcp, mut others) = (None, None, Vec::new());
        for segment in message.segments().iter().copied().skip(1) {
            match segment.name() {
                "QPD" if qpd.is_none() => qpd = Some(segment),
                "RCP" if rcp.is_none() => rcp = Some(segment),
                _ => others.push(segment),
            }
        }
        for segment in &others {
            notes.extend(note_other(*segment));
        }
        let query = Self {
            header,
            qpd: qpd.ok_or(ParseError::SegmentMissing("QPD"))?,
            rcp,
            others,
            meaning: None,
        };
        query.note_fields(&mut notes);
        Ok((query, notes))
    }

    /// QPD-1.1, or what it was [said to mean](Self::meaning).
    pub fn name(&self) -> QueryName<'a> {
        let sent = || QueryName::read(self.qpd.field(1).component(1).raw());
        self.meaning.unwrap_or_else(sent)
    }

    /// The same query, whose name in QPD-1.1 is a vendor's own and means this.
    #[must_use]
    pub fn meaning(self, name: QueryName<'a>) -> Self {
        Self {
            meaning: Some(name),
            ..self
        }
    }

    /// QPD-2 as sent: what the answer is matched by.
    pub fn tag(&self) -> &'a str {
        self.qpd.field(2).raw()
    }

    /// What it asks for.
    ///
    /// # Errors
    /// The [`Problem`] that the answer tells; nothing is guessed from other fields.
    pub fn asked(&self) -> Result<Asked<'a>, Problem> {
        let name = self.name();
        let problem = |code, outcome, condition, field| {
            Problem::new(code, outcome, condition, ("QPD", field, 0))
        };
        if self.tag().is_empty() {
            return Err(problem(NO_TAG, Outcome::Error, FIELD_MISSING, 2));
        }
        let (keys, _) = name.fields();
        if let Some(field) = keys.iter().find(|n| self.text(**n).is_empty()) {
            return Err(problem(NO_KEY, Outcome::Error, FIELD_MISSING, *field));
        }
        let position = |n| self.qpd.field(n).raw();
        match name {
            QueryName::Container | QueryName::Roche => Ok(Asked::Container { id: self.text(3) }),
            QueryName::Additional => Ok(Asked::Additional { id: self.text(3) }),
            QueryName::All => Ok(Asked::All),
            QueryName::Rack => Ok(Asked::Rack {
                carrier: self.text(4),
                position: position(5),
            }),
            QueryName::Tray => Ok(Asked::Tray {
                tray: self.text(6),
                position: position(7),
            }),
            QueryName::Isolate => Ok(Asked::Isolate {
                id: self.text(3),
                primary: self.text(9),
            }),
            QueryName::Other(_) => Err(problem(UNKNOWN_NAME, Outcome::Rejected, TABLE_VALUE, 1)),
        }
    }

    /// SAC of the answer: container, carrier, tray, positions, location and primary container as
    /// the analyzer sent them, to the byte.
    pub fn container(&self) -> ContainerDraft {
        let mut container = ContainerDraft::new();
        for (from, to) in QPD_TO_SAC {
            let field: Field<'_> = self.qpd.field(from);
            if !field.is_empty() {
                container = container.echo(to, field);
            }
        }
        container
    }

    /// All segments but MSH, in the order of the message.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> {
        let mut all: Vec<_> = [Some(self.qpd), self.rcp]
            .into_iter()
            .flatten()
            .chain(self.others.iter().copied())
            .collect();
        all.sort_by_key(Segment::index);
        all.into_iter()
    }

    fn text(&self, n: usize) -> Cow<'a, str> {
        self.qpd.field(n).component(1).text()
    }

    fn note_fields(&self, notes: &mut Vec<Note>) {
        let system = self.qpd.field(1).component(3).raw();
        if !SYSTEMS.contains(&system) {
            notes.push(notes::at_field(notes::QUERY_SYSTEM, self.qpd, 1));
        }
        let (keys, others) = self.name().fields();
        let is_used = |n: &usize| keys.contains(n) || others.contains(n);
        let unused = (3..=QPD_LAST).filter(|n| !is_used(n) && !self.qpd.field(*n).is_empty());
        notes.extend(unused.map(|n| notes::at_field(notes::QUERY_FIELD, self.qpd, n)));
        let beyond = beyond(self.qpd, QPD_LAST);
        notes.extend(beyond.map(|n| notes::at_field(notes::BEYOND, self.qpd, n)));
        let priority = self.rcp.map_or("", |rcp| rcp.field(1).raw());
        if priority != IMMEDIATE {
            let rcp = self.rcp.unwrap_or(self.qpd);
            notes.push(notes::at_segment(notes::QUERY_RESPONSE, rcp));
        }
    }
}

/// RCP-1: answer at once.
pub const IMMEDIATE: &str = "I";
/// Table 0357.
const FIELD_MISSING: u16 = 101;
/// Table 0357.
const TABLE_VALUE: u16 = 103;

fn note_other(segment: Segment<'_>) -> Option<Note> {
    let note = if segment.is_bad() {
        notes::BAD_NAME
    } else if matches!(segment.name(), "QPD" | "RCP") {
        notes::MISPLACED
    } else if segment.name() == "DSC" && !segment.field(1).is_empty() {
        notes::CONTINUED
    } else if KNOWN.contains(&segment.name()) {
        return None;
    } else {
        notes::UNKNOWN_SEGMENT
    };
    Some(notes::at_segment(note, segment))
}

/// QAK-2 (table 0208) that goes with an outcome. Never "not found": that is said by LAB-28.
const fn query_status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "OK",
        Outcome::Error => "AE",
        Outcome::Rejected | Outcome::NotStored => "AR",
    }
}

/// Writes RSP^K11: MSA, ERR of a refusal, QAK, and QPD as the analyzer sent it. `errors` is what a
/// [`Problem`] says; a refusal without any is given code 207.
///
/// # Errors
/// See [`BuildError`].
pub fn build_reply(
    query: &Query<'_>,
    outcome: Outcome,
    errors: &[ErrSegment],
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let code = envelope::application_code(outcome);
    let kind = ["RSP", "K11", "RSP_K11"];
    let asked = (code, errors);
    let mut reply = envelope::begin_reply(query.header, Transaction::Query, kind, asked, own);
    reply.push(
        SegmentWriter::new(Name::QAK)
            .echo(1, query.qpd.field(2))
            .text(2, query_status(outcome))
            .echo(3, query.qpd.field(1)),
    );
    reply.copy(query.qpd);
    reply.finish()
}
