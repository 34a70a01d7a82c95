//! Order messages: each ordered item applied, each answered.

use labwire_protocols::hl7::{
    Message,
    ack::{Ack, AckMode, ErrLocation, ErrSegment, Outcome as AckOutcome, build_ack, is_since},
    order::{NO_SERVICE, NUMBERS_DISAGREE, OrderGroup, OrderMessage, SpecimenBlock},
    order_reply::{self, OrderOutcome},
};

use crate::{
    book::{self, Action, Applied, OrderEntry, Outcome, PatientEntry, SpecimenEntry},
    config::choice::Reply,
    model::{OrderStatus, Priority},
    store::{Db, StoreError},
    tubes::receipt,
};

use super::{
    convert::{self, TubePlace},
    inbound::{Heard, Hearing, Verdict},
    reply,
};

/// What one order of a message came to, in the words of the reply.
struct Answered {
    control: &'static str,
    filler: String,
    status: &'static str,
    reason: [&'static str; 3],
}

impl Hearing<'_> {
    pub(super) fn on_orders(
        &self,
        db: &mut dyn Db,
        message: &Message<'_>,
        request: &OrderMessage<'_>,
    ) -> Result<Heard, StoreError> {
        let place = TubePlace {
            written: self.site.barcode_is_written.then_some(&self.site.barcode),
            is_before_spm: !is_since(request.header.version(), 2, 5),
        };
        if let Some(verdict) = unusable(request, place) {
            self.audit(db, &verdict.summary)?;
            return self.refuse_orders(message, request, &verdict);
        }
        let patient = request.patient.as_ref().map(convert::patient);
        let shared = shared_specimen(request, place);
        let mut answers = Vec::with_capacity(request.orders.len());
        let mut barcodes = Vec::new();
        for (index, order) in request.orders.iter().enumerate() {
            let own = order.specimens.first().or(shared);
            let tube = convert::specimen(order, own, place, &self.site.laboratory.zone);
            let (answer, barcode) = match self.faulty(request, index, place) {
                Some(answer) => (answer, None),
                None => self.apply_order(db, patient.as_ref(), order, tube)?,
            };
            if let Some(barcode) = &barcode {
                let station = convert::station(message, (order, own), self.site.station.as_ref());
                let since = self.context.now - self.context.specimen_age_max;
                receipt::set_station(db, (barcode, &self.site.id), &station, since)?;
            }
            barcodes.extend(barcode);
            answers.push(answer);
        }
        barcodes.sort_unstable();
        barcodes.dedup();
        let refused = answers.iter().filter(|answer| answer.is_refusal()).count();
        let summary = format!("{} orders, {refused} refused", answers.len());
        self.audit(db, &summary)?;
        let replies = self.answer_orders(message, request, &answers)?;
        Ok(Heard {
            replies,
            barcodes,
            merged: Vec::new(),
            summary,
        })
    }

    /// What keeps one order of a message from being carried out as sent.
    fn faulty(
        &self,
        request: &OrderMessage<'_>,
        index: usize,
        place: TubePlace<'_>,
    ) -> Option<Answered> {
        let order = request.orders.get(index)?;
        // A tube's number in OBR-3 is no filler number that could disagree with ORC-3.
        let is_tube = |field: usize| {
            let path = place.written;
            let is_written = path.is_some_and(|path| usize::from(path.field) == field);
            field == 3 && (is_written || place.is_before_spm)
        };
        let problem = request.problems.iter().find(|problem| {
            problem.order == Some(index)
                && !(problem.code == NUMBERS_DISAGREE && is_tube(problem.error.location.field))
        });
        let is_new = matches!(action(order.control), Some(Action::New | Action::Change));
        let problem = problem.map(|problem| problem.code);
        let (code, text) = match problem {
            Some(NUMBERS_DISAGREE) => ("NUMBERS", "ORC and OBR name different orders"),
            Some(NO_SERVICE) if order.service.alternate_id.is_empty() && is_new => {
                ("NOSERVICE", "the order names no service")
            }
            _ if is_new && tubes_of(order, place).len() > 1 => {
                ("SPECIMENS", "the order names several specimens")
            }
            _ => return None,
        };
        Some(refuse(order.control, code, text))
    }

    fn apply_order(
        &self,
        db: &mut dyn Db,
        patient: Option<&PatientEntry>,
        order: &OrderGroup<'_>,
        tube: Option<SpecimenEntry>,
    ) -> Result<(Answered, Option<String>), StoreError> {
        let Some(action) = action(order.control) else {
            let text = "control code not supported";
            return Ok((refuse(order.control, "NOTSUPP", text), None));
        };
        if order.placer.id.is_empty() {
            let text = "no placer order number";
            return Ok((refuse(order.control, "NONUMBER", text), None));
        }
        let entry = self.entry(action, order, tube);
        let applied = book::apply(db, &self.context, patient, &entry)?;
        let barcode = Some(applied.barcode.clone())
            .filter(|barcode| !barcode.is_empty() && applied.outcome == Outcome::Accepted);
        Ok((answered(order.control, &applied), barcode))
    }

    fn entry(
        &self,
        action: Action,
        order: &OrderGroup<'_>,
        specimen: Option<SpecimenEntry>,
    ) -> OrderEntry {
        let service = if order.service.id.is_empty() {
            order.service.alternate_id.to_string()
        } else {
            order.service.id.to_string()
        };
        OrderEntry {
            action,
            placer: order.placer.id.to_string(),
            tests: self.site.laboratory.tests_of(&self.site.id, &service),
            service,
            specimen,
            priority: Priority::from_code(order.priority),
            orc: order.orc.map(convert::fields).unwrap_or_default(),
            obr: order.obr.map(convert::fields).unwrap_or_default(),
        }
    }

    /// The whole message refused, in the kind of reply that its sender waits for.
    fn refuse_orders(
        &self,
        message: &Message<'_>,
        request: &OrderMessage<'_>,
        verdict: &Verdict,
    ) -> Result<Heard, StoreError> {
        if self.site.reply == Reply::Ack {
            return self.acknowledge(message, verdict);
        }
        Ok(Heard {
            replies: self.reply_in_kind(message, request, verdict, &[])?,
            barcodes: Vec::new(),
            merged: Vec::new(),
            summary: verdict.summary.clone(),
        })
    }

    fn answer_orders(
        &self,
        message: &Message<'_>,
        request: &OrderMessage<'_>,
        answers: &[Answered],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if self.site.reply == Reply::Ack {
            return Ok(self.acknowledge(message, &plain_verdict(answers))?.replies);
        }
        let [namespace, ..] = &self.site.parties;
        let outcomes: Vec<OrderOutcome<'_>> = answers
            .iter()
            .enumerate()
            .map(|(order, answer)| OrderOutcome {
                order,
                control: answer.control,
                filler: [
                    &answer.filler,
                    if answer.filler.is_empty() {
                        ""
                    } else {
                        namespace
                    },
                ],
                status: answer.status,
                reason: answer.reason,
            })
            .collect();
        self.reply_in_kind(message, request, &Verdict::accepted(""), &outcomes)
    }

    /// ORL or ORR, and before it the commit acknowledgement where one is wanted.
    fn reply_in_kind(
        &self,
        message: &Message<'_>,
        request: &OrderMessage<'_>,
        verdict: &Verdict,
        outcomes: &[OrderOutcome<'_>],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mode = AckMode::of(&message.header());
        let own = self.own();
        reply::codes(mode, verdict.outcome)
            .into_iter()
            .map(|code| {
                let ack = Ack {
                    code,
                    text: "",
                    errors: &verdict.errors,
                };
                self.encode(if code.is_commit() {
                    build_ack(Some(message.header()), &ack, &own)
                } else {
                    order_reply::build_reply(request, &ack, outcomes, false, &own)
                })
            })
            .collect()
    }
}

/// Faults that make the whole message meaningless.
fn unusable(request: &OrderMessage<'_>, place: TubePlace<'_>) -> Option<Verdict> {
    if let Some(problem) = request
        .problems
        .iter()
        .find(|problem| problem.order.is_none())
    {
        return Some(Verdict {
            outcome: AckOutcome::Error,
            errors: vec![problem.error.clone()],
            summary: format!("refused: {}", problem.code),
        });
    }
    let lacks_tube = |order: &OrderGroup<'_>| {
        action(order.control) == Some(Action::New) && order.specimens.is_empty()
    };
    let is_vague = place.is_shared()
        && request.orders.iter().any(lacks_tube)
        && all_tubes(request, place).len() > 1;
    is_vague.then(|| {
        let what = "an order names no specimen and the message has several";
        Verdict::refused(AckOutcome::Error, 101, ("SPM", 2), what)
    })
}

/// What a plain ACK says: it has no place for single orders, so ERR names each that was refused,
/// and the others stand. 205 is a number used twice, 204 an unknown one, 101 something left out.
fn plain_verdict(answers: &[Answered]) -> Verdict {
    let errors: Vec<ErrSegment> = answers
        .iter()
        .enumerate()
        .filter(|(_, answer)| answer.is_refusal())
        .map(|(index, answer)| answer.error(index + 1))
        .collect();
    if errors.is_empty() {
        return Verdict::accepted(format!("{} orders", answers.len()));
    }
    Verdict {
        outcome: AckOutcome::Error,
        summary: format!("{} orders, {} refused", answers.len(), errors.len()),
        errors,
    }
}

impl Answered {
    fn is_refusal(&self) -> bool {
        matches!(self.control, "UA" | "UC" | "UD" | "UX" | "UH" | "UR" | "UM")
    }

    fn error(&self, occurrence: usize) -> ErrSegment {
        let [reason, text, _] = self.reason;
        let (code, segment, field) = match reason {
            "DUPLICATE" => (205, "ORC", 2),
            "NOTFOUND" => (204, "ORC", 2),
            "NOTAVAIL" => (103, "OBR", 4),
            "NOSPECIMEN" => (101, "SPM", 2),
            "NOPATIENT" => (101, "PID", 3),
            "NONUMBER" => (101, "ORC", 2),
            "NOSERVICE" => (101, "OBR", 4),
            "NUMBERS" => (102, "ORC", 2),
            "NOTSUPP" => (103, "ORC", 1),
            "SPECIMENS" => (102, "SPM", 2),
            _ => (103, "ORC", 1),
        };
        ErrSegment {
            location: ErrLocation {
                segment,
                occurrence,
                field,
                component: 0,
            },
            code,
            text: text.into(),
            ..ErrSegment::default()
        }
    }
}

/// The tubes that an order's own specimens name, each once.
fn tubes_of(order: &OrderGroup<'_>, place: TubePlace<'_>) -> Vec<String> {
    if !place.is_shared() {
        return Vec::new();
    }
    let mut tubes: Vec<String> = order
        .specimens
        .iter()
        .map(|block| place.barcode(order, Some(block)))
        .filter(|barcode| !barcode.is_empty())
        .collect();
    tubes.sort_unstable();
    tubes.dedup();
    tubes
}

fn all_tubes(request: &OrderMessage<'_>, place: TubePlace<'_>) -> Vec<String> {
    let mut all: Vec<String> = request
        .orders
        .iter()
        .flat_map(|order| tubes_of(order, place))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The message's only specimen, for orders that name none of their own.
fn shared_specimen<'r, 'a>(
    request: &'r OrderMessage<'a>,
    place: TubePlace<'_>,
) -> Option<&'r SpecimenBlock<'a>> {
    let first = request
        .orders
        .iter()
        .find_map(|order| order.specimens.first());
    first.filter(|_| place.is_shared() && all_tubes(request, place).len() == 1)
}

fn action(control: &str) -> Option<Action> {
    match control {
        "NW" | "" => Some(Action::New),
        "CA" | "DC" => Some(Action::Cancel),
        "XO" => Some(Action::Change),
        _ => None,
    }
}

fn codes_of(control: &str) -> (&'static str, &'static str) {
    order_reply::reply_codes(if control.is_empty() { "NW" } else { control })
        .unwrap_or(("OK", "UA"))
}

fn refuse(control: &str, code: &'static str, text: &'static str) -> Answered {
    let (_, negative) = codes_of(control);
    Answered {
        control: negative,
        filler: String::new(),
        status: "",
        reason: [code, text, "L"],
    }
}

fn answered(control: &str, applied: &Applied) -> Answered {
    let (positive, negative) = codes_of(control);
    let status = applied.status.map_or("", OrderStatus::code);
    let filler = applied.filler.clone();
    let reason = reason(applied.outcome);
    Answered {
        control: if reason.is_none() { positive } else { negative },
        filler,
        status,
        reason: reason.unwrap_or_default(),
    }
}

/// Why the book refused: code, text and system of ORC-16; `None` when it accepted.
pub(super) fn reason(outcome: Outcome) -> Option<[&'static str; 3]> {
    let (code, text) = match outcome {
        Outcome::Accepted => return None,
        Outcome::DiffersFromFirst => ("DUPLICATE", "this number was ordered with other content"),
        Outcome::NotFound => ("NOTFOUND", "no order with this number"),
        Outcome::InProcess => ("INPROC", "results are released already"),
        Outcome::AlreadyCancelled => ("CANCELLED", "this order was cancelled"),
        Outcome::NoSpecimen => ("NOSPECIMEN", "the order names no specimen"),
        Outcome::NoPatient => ("NOPATIENT", "the message names no patient"),
        Outcome::NotOffered => ("NOTAVAIL", "the laboratory does not offer this"),
    };
    Some([code, text, "L"])
}
