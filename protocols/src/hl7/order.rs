//! Orders from a hospital: OML^O21 (order by order), OML^O33 (specimen by specimen) and ORM^O01,
//! of 2.3.1 to 2.6 (HL7 v2.5.1 4.4.1, 4.4.6, 4.4.8).
//!
//! Segments are taken by position, so that what a sender leaves out or adds does no harm. OML^O21
//! is ambiguous: after a specimen, ORC could open a prior result or the next order. Here a prior
//! result begins with PID or AL1, or has ORC-1 `PR`; any other ORC opens an order.
//!
//! What makes an order unusable is a [`Problem`] with its place and its code of table 0357, so
//! that the answer can say it; an order is never left out silently.

use std::{borrow::Cow, ops::Range};

use super::{
    Message, ParseError, Segment,
    ack::{ErrLocation, ErrSegment},
    header::Header,
    types::{Coded, EntityId, PatientBlock, VisitBlock},
};

/// Which of the order messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderKind {
    /// OML^O21.
    OmlO21,
    /// OML^O33.
    OmlO33,
    /// ORM^O01.
    OrmO01,
}

/// An order message as read.
#[derive(Clone, Debug)]
pub struct OrderMessage<'a> {
    /// MSH.
    pub header: Header<'a>,
    /// Its type.
    pub kind: OrderKind,
    /// The first PID, before any order.
    pub patient: Option<PatientBlock<'a>>,
    /// The first PV1, before any order.
    pub visit: Option<VisitBlock<'a>>,
    /// The orders, in the order sent.
    pub orders: Vec<OrderGroup<'a>>,
    /// What is wrong with it; empty when it can be carried out as it stands.
    pub problems: Vec<Problem>,
}

/// Something that keeps an order from being carried out as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, listed in `CLAUSES-hl7.md`.
    pub code: &'static str,
    /// The order it belongs to, as an index into [`OrderMessage::orders`]; none for the message.
    pub order: Option<usize>,
    /// The same for the answer.
    pub error: ErrSegment,
}

/// One order: ORC, OBR and what hangs on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderGroup<'a> {
    /// ORC; absent where a sender leaves it out.
    pub orc: Option<Segment<'a>>,
    /// OBR; absent in a cancel by number alone.
    pub obr: Option<Segment<'a>>,
    /// ORC-1 as sent: `NW`, `CA`, `DC`, `XO`, `SC` and so on; empty without ORC.
    pub control: &'a str,
    /// ORC-2, or OBR-2 where that is empty.
    pub placer: EntityId<'a>,
    /// ORC-3, or OBR-3 where that is empty.
    pub filler: EntityId<'a>,
    /// ORC-4: the request form.
    pub group: EntityId<'a>,
    /// ORC-5 as sent.
    pub status: &'a str,
    /// ORC-9 as sent.
    pub transaction_time: &'a str,
    /// TQ1-9.1, else ORC-7.6, OBR-27.6 or OBR-5, as sent.
    pub priority: &'a str,
    /// OBR-4.
    pub service: Coded<'a>,
    /// OBR-6 as sent.
    pub requested_time: &'a str,
    /// OBR-7 as sent: collection, before 2.5.
    pub collection_time: &'a str,
    /// OBR-11 as sent.
    pub specimen_action: &'a str,
    /// OBR-15 as sent: specimen source, before 2.5.
    pub specimen_source: &'a str,
    /// OBR-3 as sent, where some senders put the barcode.
    pub obr_filler: &'a str,
    /// OBR-18 as sent, where some senders put the barcode.
    pub placer_field_1: &'a str,
    /// OBR-20 as sent, where some senders put the barcode.
    pub filler_field_1: &'a str,
    /// ORC-12, or OBR-16 where that is empty, as sent.
    pub ordering_provider: &'a str,
    /// Its specimens: SPM after OBR (O21), or the one it stands under (O33).
    pub specimens: Vec<SpecimenBlock<'a>>,
    /// The positions of its segments in the message: OBX (answers at order entry), NTE, DG1 and
    /// all others are there.
    pub segments: Range<usize>,
    /// Prior results sent with it, as positions of their segments; never orders.
    pub prior_results: Vec<Range<usize>>,
}

/// SPM and its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecimenBlock<'a> {
    /// The segment.
    pub segment: Segment<'a>,
    /// SPM-2 as sent.
    pub raw_id: &'a str,
    /// SPM-2.1.1: the number the placer gave, usually the barcode.
    pub placer_id: Cow<'a, str>,
    /// SPM-2.2.1: the number the filler gave.
    pub filler_id: Cow<'a, str>,
    /// SPM-4.
    pub kind: Coded<'a>,
    /// SPM-11.1 as sent: `P`, `Q`, `U` and so on.
    pub role: &'a str,
    /// SPM-17.1 as sent.
    pub collected: &'a str,
    /// SPM-18 as sent.
    pub received: &'a str,
    /// SPM-21 as sent.
    pub reject_reason: &'a str,
    /// SAC segments under it.
    pub containers: Vec<Segment<'a>>,
}

impl<'a> SpecimenBlock<'a> {
    /// Reads an SPM segment.
    pub fn read(segment: Segment<'a>) -> Self {
        let id = segment.field(2);
        Self {
            segment,
            raw_id: id.raw(),
            placer_id: id.subcomponent(1, 1).text(),
            filler_id: id.subcomponent(2, 1).text(),
            kind: Coded::read(segment.field(4).repeat(1)),
            role: segment.field(11).component(1).raw(),
            collected: segment.field(17).component(1).raw(),
            received: segment.field(18).raw(),
            reject_reason: segment.field(21).raw(),
            containers: Vec::new(),
        }
    }

    /// SAC-3.1 of its first container.
    pub fn container_id(&self) -> Cow<'a, str> {
        let first = self.containers.first();
        first
            .map(|sac| sac.field(3).component(1).text())
            .unwrap_or_default()
    }
}

/// ORC and OBR name different orders.
pub const NUMBERS_DISAGREE: &str = "HL7-0401";
/// An order that asks for something stands in a prior result.
pub const ORDER_IN_PRIOR_RESULT: &str = "HL7-0402";
/// An order has neither a placer nor a filler number.
pub const NO_NUMBER: &str = "HL7-0403";
/// A new order has no service code.
pub const NO_SERVICE: &str = "HL7-0404";
/// The message has no order.
pub const NO_ORDER: &str = "HL7-0405";
/// The message has a segment that cannot be read.
pub const BAD_SEGMENT: &str = "HL7-0406";
/// A second patient in one order message.
pub const SECOND_PATIENT: &str = "HL7-0407";

/// ORC-1 codes that ask for a change; in front of a prior result they make no sense.
const REQUESTS: [&str; 9] = ["NW", "CA", "DC", "XO", "HD", "RL", "RP", "RO", "SN"];

impl<'a> OrderMessage<'a> {
    /// Reads an order message.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] when MSH-9 names none of the three.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let header = message.header();
        let kind = match (header.message_type(), header.trigger()) {
            ("OML", "O21") => OrderKind::OmlO21,
            ("OML", "O33") => OrderKind::OmlO33,
            ("ORM", "O01" | "") => OrderKind::OrmO01,
            _ => return Err(ParseError::WrongType),
        };
        let mut reader = Reader::new(kind);
        for segment in message.segments().iter().skip(1) {
            reader.on_segment(*segment);
        }
        reader.end_order(message.segments().len());
        let Reader {
            patient,
            visit,
            orders,
            mut problems,
            ..
        } = reader;
        for (index, order) in orders.iter().enumerate() {
            check_order(index, order, &mut problems);
        }
        if orders.is_empty() {
            problems.push(problem(NO_ORDER, None, ("ORC", 1, 0), 100));
        }
        Ok(Self {
            header,
            kind,
            patient,
            visit,
            orders,
            problems,
        })
    }
}

fn problem(
    code: &'static str,
    order: Option<usize>,
    at: (&'static str, usize, usize),
    condition: u16,
) -> Problem {
    let (segment, occurrence, field) = at;
    let location = ErrLocation {
        segment,
        occurrence,
        field,
        component: 0,
    };
    Problem {
        code,
        order,
        error: ErrSegment {
            location,
            code: condition,
            ..ErrSegment::default()
        },
    }
}

fn check_order(index: usize, order: &OrderGroup<'_>, problems: &mut Vec<Problem>) {
    let place = |field| ("ORC", index.saturating_add(1), field);
    if let (Some(orc), Some(obr)) = (order.orc, order.obr) {
        for field in [2, 3] {
            let numbers = [orc, obr].map(|segment| EntityId::read(segment.field(field)));
            let [a, b] = &numbers;
            if !a.is_empty() && !b.is_empty() && a.id != b.id {
                problems.push(problem(NUMBERS_DISAGREE, Some(index), place(field), 102));
            }
        }
    }
    if order.placer.is_empty() && order.filler.is_empty() {
        problems.push(problem(NO_NUMBER, Some(index), place(2), 101));
    }
    if matches!(order.control, "NW" | "XO" | "") && order.service.id.is_empty() {
        let at = ("OBR", index.saturating_add(1), 4);
        problems.push(problem(NO_SERVICE, Some(index), at, 101));
    }
}

/// Where in the message the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Before the first order: PID, PV1, insurance and so on.
    Patient,
    /// In an order.
    Order,
    /// In a prior result whose ORC or OBR has not come yet.
    PriorHead,
    /// In a prior result.
    Prior,
}

#[derive(Debug)]
struct Reader<'a> {
    kind: OrderKind,
    scope: Scope,
    patient: Option<PatientBlock<'a>>,
    visit: Option<VisitBlock<'a>>,
    /// The order being read, with the position of its first segment.
    open: Option<Open<'a>>,
    /// The specimen that orders stand under (O33).
    specimen: Option<SpecimenBlock<'a>>,
    orders: Vec<OrderGroup<'a>>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Open<'a> {
    start: usize,
    orc: Option<Segment<'a>>,
    obr: Option<Segment<'a>>,
    tq1: Option<Segment<'a>>,
    specimens: Vec<SpecimenBlock<'a>>,
    prior: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn new(kind: OrderKind) -> Self {
        Self {
            kind,
            scope: Scope::Patient,
            patient: None,
            visit: None,
            open: None,
            specimen: None,
            orders: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn on_segment(&mut self, segment: Segment<'a>) {
        match segment.name() {
            "PID" => self.on_pid(segment),
            "PV1" if self.scope == Scope::Patient && self.visit.is_none() => {
                self.visit = Some(VisitBlock::read(segment));
            }
            "AL1" if self.scope == Scope::Order => self.begin_prior(segment, Scope::PriorHead),
            "ORC" => self.on_orc(segment),
            "OBR" => self.on_obr(segment),
            "SPM" => self.on_spm(segment),
            "SAC" => self.on_sac(segment),
            "TQ1" if self.scope == Scope::Order => {
                if let Some(open) = &mut self.open {
                    open.tq1 = open.tq1.or(Some(segment));
                }
            }
            _ if segment.is_bad() => {
                self.problems
                    .push(problem(BAD_SEGMENT, None, ("", 0, 0), 100));
            }
            _ => {}
        }
        if matches!(self.scope, Scope::Prior | Scope::PriorHead)
            && let Some(prior) = self.open.as_mut().and_then(|open| open.prior.last_mut())
        {
            prior.end = segment.index().saturating_add(1);
        }
    }

    fn on_pid(&mut self, segment: Segment<'a>) {
        if self.scope == Scope::Patient && self.patient.is_none() {
            self.patient = Some(PatientBlock::read(segment));
        } else if self.open.is_none() || self.kind == OrderKind::OrmO01 {
            // Where no prior result can be (ORM has none), this is another patient, and the orders
            // after it are not the first one's.
            self.problems
                .push(problem(SECOND_PATIENT, None, ("PID", 2, 0), 100));
        } else {
            self.begin_prior(segment, Scope::PriorHead);
        }
    }

    fn begin_prior(&mut self, segment: Segment<'a>, scope: Scope) {
        if let Some(open) = &mut self.open {
            open.prior
                .push(segment.index()..segment.index().saturating_add(1));
            self.scope = scope;
        }
    }

    fn on_orc(&mut self, segment: Segment<'a>) {
        let control = segment.field(1).raw();
        if self.scope == Scope::PriorHead {
            if REQUESTS.contains(&control) {
                self.problems
                    .push(problem(ORDER_IN_PRIOR_RESULT, None, ("ORC", 0, 1), 100));
            }
            self.scope = Scope::Prior;
        } else if control == "PR" && self.open.is_some() {
            self.begin_prior(segment, Scope::Prior);
        } else {
            self.begin_order(segment);
            if let Some(open) = &mut self.open {
                open.orc = Some(segment);
            }
        }
    }

    fn on_obr(&mut self, segment: Segment<'a>) {
        match self.scope {
            Scope::PriorHead => self.scope = Scope::Prior,
            Scope::Prior => {}
            Scope::Patient | Scope::Order => {
                // A second OBR under one ORC is an order of its own under the same ORC.
                let shared = self.open.as_ref().filter(|open| open.obr.is_some());
                let orc = shared.and_then(|open| open.orc);
                if self.open.is_none() || shared.is_some() {
                    self.begin_order(segment);
                }
                if let Some(open) = &mut self.open {
                    open.orc = open.orc.or(orc);
                    open.obr = Some(segment);
                }
            }
        }
    }

    fn on_spm(&mut self, segment: Segment<'a>) {
        let specimen = SpecimenBlock::read(segment);
        if self.kind == OrderKind::OmlO33 {
            self.end_order(segment.index());
            self.specimen = Some(specimen);
            self.scope = Scope::Order;
        } else if let Some(open) = self.open.as_mut().filter(|_| self.scope == Scope::Order) {
            open.specimens.push(specimen);
        }
    }

    fn on_sac(&mut self, segment: Segment<'a>) {
        let in_order = self
            .open
            .as_mut()
            .and_then(|open| open.specimens.last_mut());
        let in_order = if self.kind == OrderKind::OmlO33 {
            None
        } else {
            in_order
        };
        if let Some(specimen) = in_order.or(self.specimen.as_mut()) {
            specimen.containers.push(segment);
        }
    }

    fn begin_order(&mut self, segment: Segment<'a>) {
        self.end_order(segment.index());
        self.scope = Scope::Order;
        self.open = Some(Open {
            start: segment.index(),
            orc: None,
            obr: None,
            tq1: None,
            specimens: self.specimen.clone().into_iter().collect(),
            prior: Vec::new(),
        });
    }

    fn end_order(&mut self, end: usize) {
        if let Some(open) = self.open.take() {
            self.orders.push(open.finish(end));
        }
    }
}

impl<'a> Open<'a> {
    fn finish(self, end: usize) -> OrderGroup<'a> {
        let orc = |n| self.orc.map(|segment| segment.field(n));
        let obr = |n| self.obr.map(|segment| segment.field(n));
        let raw = |field: Option<super::Field<'a>>| field.map_or("", |field| field.raw());
        let part =
            |field: Option<super::Field<'a>>, n| field.map_or("", |field| field.component(n).raw());
        let first = |texts: &[&'a str]| {
            texts
                .iter()
                .copied()
                .find(|text| !text.is_empty())
                .unwrap_or_default()
        };
        let number = |n| {
            let both = [orc(n), obr(n)].into_iter().flatten();
            let all: Vec<_> = both.map(EntityId::read).collect();
            let found = all
                .iter()
                .find(|number| !number.is_empty())
                .or(all.first())
                .cloned();
            found.unwrap_or_else(|| EntityId {
                raw: "",
                id: "".into(),
                namespace: "".into(),
            })
        };
        let empty = || Coded {
            raw: "",
            id: "".into(),
            text: "".into(),
            system: "".into(),
            alternate_id: "".into(),
            alternate_text: "".into(),
            alternate_system: "".into(),
        };
        let priority = self.tq1.map(|segment| segment.field(9));
        OrderGroup {
            control: raw(orc(1)),
            placer: number(2),
            filler: number(3),
            group: orc(4).map_or_else(|| number(0), EntityId::read),
            status: raw(orc(5)),
            transaction_time: raw(orc(9)),
            priority: first(&[
                part(priority, 1),
                part(orc(7), 6),
                part(obr(27), 6),
                part(obr(5), 1),
            ]),
            service: obr(4).map_or_else(empty, |field| Coded::read(field.repeat(1))),
            requested_time: raw(obr(6)),
            collection_time: raw(obr(7)),
            specimen_action: raw(obr(11)),
            specimen_source: raw(obr(15)),
            obr_filler: raw(obr(3)),
            placer_field_1: raw(obr(18)),
            filler_field_1: raw(obr(20)),
            ordering_provider: first(&[raw(orc(12)), raw(obr(16))]),
            specimens: self.specimens,
            segments: self.start..end,
            prior_results: self.prior,
            orc: self.orc,
            obr: self.obr,
        }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
