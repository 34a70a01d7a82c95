//! Replies to orders: ORL^O22 to OML^O21, ORL^O34 to OML^O33, ORR^O02 to ORM^O01 (HL7 v2.5.1 4.4.7,
//! 4.4.9, 4.4.2). Every order of the request is answered with its own numbers as sent.

use super::{
    Field, Message, ParseError, Separators,
    ack::{Ack, Own, begin_reply},
    build::{BuildError, MessageBuilder, Name, SegmentWriter},
    order::{OrderGroup, OrderKind, OrderMessage},
    types::{Coded, EntityId},
};

/// What became of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderOutcome<'a> {
    /// The order it answers, as an index into [`OrderMessage::orders`].
    pub order: usize,
    /// ORC-1 of the reply (table 0119): `OK` or `UA` to `NW`, `CR` or `UC` to `CA`, and so on.
    pub control: &'a str,
    /// ORC-3: our number and its namespace; what was sent is echoed if empty.
    pub filler: [&'a str; 2],
    /// ORC-5 (table 0038): `SC`, `IP`, `CM`, `CA` and so on; left out if empty.
    pub status: &'a str,
    /// ORC-16: code, text and system of the reason for a refusal; left out if empty.
    pub reason: [&'a str; 3],
}

/// What a peer says of one order of ours, in ORL or ORR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReply<'a> {
    /// ORC-1 as sent: `OK`, `UA`, `CR`, `UC`, `NA` and so on.
    pub control: &'a str,
    /// ORC-2.
    pub placer: EntityId<'a>,
    /// ORC-3.
    pub filler: EntityId<'a>,
    /// ORC-5 as sent.
    pub status: &'a str,
    /// ORC-16.
    pub reason: Coded<'a>,
}

/// Reads what ORL (of any event) or ORR says of each order, in the order sent; empty where the
/// peer answers for the message as a whole.
///
/// # Errors
/// [`ParseError::WrongType`] when MSH-9.1 is neither ORL nor ORR.
pub fn read_replies<'a>(message: &Message<'a>) -> Result<Vec<OrderReply<'a>>, ParseError> {
    if !matches!(message.header().message_type(), "ORL" | "ORR") {
        return Err(ParseError::WrongType);
    }
    let read = |orc: super::Segment<'a>| OrderReply {
        control: orc.field(1).raw(),
        placer: EntityId::read(orc.field(2)),
        filler: EntityId::read(orc.field(3)),
        status: orc.field(5).raw(),
        reason: Coded::read(orc.field(16).repeat(1)),
    };
    Ok(message.all("ORC").map(read).collect())
}

/// The positive and the negative reply to an ORC-1 of a placer (table 0119); `None` for a code
/// that has none.
pub fn reply_codes(control: &str) -> Option<(&'static str, &'static str)> {
    match control {
        "NW" => Some(("OK", "UA")),
        "CA" => Some(("CR", "UC")),
        "DC" => Some(("DR", "UD")),
        "XO" => Some(("XR", "UX")),
        "HD" => Some(("HR", "UH")),
        "RL" => Some(("OR", "UR")),
        "RP" | "RO" => Some(("RQ", "UM")),
        "SS" => Some(("SR", "UA")),
        "SN" => Some(("NA", "UA")),
        _ => None,
    }
}

/// Writes the reply that belongs to the kind of request. With `with_specimens` an ORL repeats OBR
/// and SPM of each order; ORR always has OBR, as its grammar demands.
///
/// # Errors
/// See [`BuildError`].
pub fn build_reply(
    request: &OrderMessage<'_>,
    ack: &Ack<'_>,
    outcomes: &[OrderOutcome<'_>],
    with_specimens: bool,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    match request.kind {
        OrderKind::OmlO21 => build_orl_o22(request, ack, outcomes, with_specimens, own),
        OrderKind::OmlO33 => build_orl_o34(request, ack, outcomes, own),
        OrderKind::OrmO01 => build_orr_o02(request, ack, outcomes, own),
    }
}

/// Writes ORL^O22.
///
/// # Errors
/// See [`BuildError`].
pub fn build_orl_o22(
    request: &OrderMessage<'_>,
    ack: &Ack<'_>,
    outcomes: &[OrderOutcome<'_>],
    with_specimens: bool,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut reply = begin_reply(Some(request.header), ["ORL", "O22", "ORL_O22"], ack, own);
    push_patient(&mut reply, request, outcomes);
    for (outcome, order) in pairs(request, outcomes) {
        reply.push(orc(outcome, order));
        if with_specimens {
            push_obr(&mut reply, outcome, order);
            for specimen in &order.specimens {
                reply.push(spm(specimen.segment));
            }
        }
    }
    reply.finish()
}

/// Writes ORL^O34: the orders under their specimens.
///
/// # Errors
/// See [`BuildError`].
pub fn build_orl_o34(
    request: &OrderMessage<'_>,
    ack: &Ack<'_>,
    outcomes: &[OrderOutcome<'_>],
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut reply = begin_reply(Some(request.header), ["ORL", "O34", "ORL_O34"], ack, own);
    push_patient(&mut reply, request, outcomes);
    let mut under = None;
    for (outcome, order) in pairs(request, outcomes) {
        let specimen = order.specimens.first().map(|specimen| specimen.segment);
        if let Some(segment) = specimen.filter(|segment| under != Some(segment.index())) {
            under = Some(segment.index());
            reply.push(spm(segment));
            for container in order
                .specimens
                .iter()
                .flat_map(|specimen| &specimen.containers)
            {
                reply.copy(*container);
            }
        }
        reply.push(orc(outcome, order));
    }
    reply.finish()
}

/// Writes ORR^O02.
///
/// # Errors
/// See [`BuildError`].
pub fn build_orr_o02(
    request: &OrderMessage<'_>,
    ack: &Ack<'_>,
    outcomes: &[OrderOutcome<'_>],
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let mut reply = begin_reply(Some(request.header), ["ORR", "O02", "ORR_O02"], ack, own);
    push_patient(&mut reply, request, outcomes);
    for (outcome, order) in pairs(request, outcomes) {
        reply.push(orc(outcome, order));
        push_obr(&mut reply, outcome, order);
    }
    reply.finish()
}

fn pairs<'r, 'a, 'o>(
    request: &'r OrderMessage<'a>,
    outcomes: &'o [OrderOutcome<'o>],
) -> impl Iterator<Item = (&'o OrderOutcome<'o>, &'r OrderGroup<'a>)> {
    outcomes
        .iter()
        .filter_map(|outcome| Some((outcome, request.orders.get(outcome.order)?)))
}

/// The little of PID by which the placer knows the patient: number, first identifier, name.
fn push_patient(
    reply: &mut MessageBuilder,
    request: &OrderMessage<'_>,
    outcomes: &[OrderOutcome<'_>],
) {
    let Some(patient) = request.patient.as_ref().filter(|_| !outcomes.is_empty()) else {
        return;
    };
    let pid = SegmentWriter::new(Name::PID);
    let ids = pid.echo(3, patient.segment.field(3)).value(3).to_owned();
    let repetition = char::from(Separators::STANDARD.repetition());
    reply.push(
        SegmentWriter::new(Name::PID)
            .text(1, "1")
            .encoded(3, ids.split(repetition).next().unwrap_or_default())
            .echo(5, patient.segment.field(5)),
    );
}

fn orc(outcome: &OrderOutcome<'_>, order: &OrderGroup<'_>) -> SegmentWriter {
    let segment = SegmentWriter::new(Name::ORC).text(1, outcome.control);
    let segment = echo(segment, 2, number(order, 2));
    let segment = with_filler(segment, outcome, order);
    let segment = echo(segment, 4, order.orc.map(|orc| orc.field(4)));
    segment
        .text(5, outcome.status)
        .components(16, &outcome.reason)
}

fn with_filler(
    segment: SegmentWriter,
    outcome: &OrderOutcome<'_>,
    order: &OrderGroup<'_>,
) -> SegmentWriter {
    let [id, _] = outcome.filler;
    if id.is_empty() {
        echo(segment, 3, number(order, 3))
    } else {
        segment.components(3, &outcome.filler)
    }
}

fn push_obr(reply: &mut MessageBuilder, outcome: &OrderOutcome<'_>, order: &OrderGroup<'_>) {
    let of = |n| order.obr.map(|obr| obr.field(n));
    let segment = echo(SegmentWriter::new(Name::OBR), 1, of(1));
    let segment = echo(segment, 2, number(order, 2));
    let segment = with_filler(segment, outcome, order);
    reply.push(echo(segment, 4, of(4)));
}

fn spm(segment: super::Segment<'_>) -> SegmentWriter {
    let writer = SegmentWriter::new(Name::SPM);
    [1, 2, 4]
        .into_iter()
        .fold(writer, |writer, n| writer.echo(n, segment.field(n)))
}

/// A number of the order: from ORC, or OBR where that has none.
fn number<'a>(order: &OrderGroup<'a>, n: usize) -> Option<Field<'a>> {
    let both = [order.orc, order.obr]
        .into_iter()
        .flatten()
        .map(|segment| segment.field(n));
    both.into_iter()
        .find(|field| !field.component(1).is_empty())
}

fn echo(segment: SegmentWriter, n: usize, field: Option<Field<'_>>) -> SegmentWriter {
    match field {
        Some(field) => segment.echo(n, field),
        None => segment,
    }
}
