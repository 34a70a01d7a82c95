//! Order messages: each ordered item applied, each answered.

use labwire_protocols::hl7::{
    Message,
    ack::{Ack, AckCode, AckMode, Outcome as AckOutcome},
    order::{OrderGroup, OrderMessage, SpecimenBlock},
    order_reply::{self, OrderOutcome},
};

use crate::{
    book::{self, Action, Applied, OrderEntry, Outcome, PatientEntry},
    config::choice::Reply,
    model::{OrderStatus, Priority},
    store::{Db, StoreError},
};

use super::{
    convert,
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
        if let Some(verdict) = self.unusable(request) {
            return self.acknowledge(message, &verdict);
        }
        let patient = request.patient.as_ref().map(convert::patient);
        let shared = shared_specimen(request);
        let mut answers = Vec::with_capacity(request.orders.len());
        let mut barcodes = Vec::new();
        for order in &request.orders {
            let own = order.specimens.first().or(shared);
            let (answer, barcode) = self.apply_order(db, patient.as_ref(), order, own)?;
            barcodes.extend(barcode);
            answers.push(answer);
        }
        barcodes.sort_unstable();
        barcodes.dedup();
        let refused = answers
            .iter()
            .filter(|answer| is_negative(answer.control))
            .count();
        let summary = format!("{} orders, {refused} refused", answers.len());
        self.audit(db, &summary)?;
        let replies = self.answer_orders(message, request, &answers)?;
        Ok(Heard {
            replies,
            barcodes,
            summary,
        })
    }

    /// Faults that make the whole message meaningless.
    fn unusable(&self, request: &OrderMessage<'_>) -> Option<Verdict> {
        if let Some(problem) = request
            .problems
            .iter()
            .find(|problem| problem.order.is_none())
        {
            let error = problem.error.clone();
            let summary = format!("refused: {}", problem.code);
            return Some(Verdict {
                outcome: AckOutcome::Error,
                errors: vec![error],
                summary,
            });
        }
        let needs_tube = |order: &&OrderGroup<'_>| {
            action(order.control) == Some(Action::New) && order.specimens.is_empty()
        };
        let is_by_spm = self.site.barcode.segment == "SPM";
        if is_by_spm && request.orders.iter().any(|order| needs_tube(&order)) {
            let mut ids: Vec<&str> = all_specimens(request).map(|block| block.raw_id).collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() > 1 {
                let what = "an order names no specimen and the message has several";
                return Some(Verdict::refused(AckOutcome::Error, 101, ("SPM", 2), what));
            }
        }
        None
    }

    fn apply_order(
        &self,
        db: &mut dyn Db,
        patient: Option<&PatientEntry>,
        order: &OrderGroup<'_>,
        own: Option<&SpecimenBlock<'_>>,
    ) -> Result<(Answered, Option<String>), StoreError> {
        let Some(action) = action(order.control) else {
            return Ok((
                refuse(order.control, "NOTSUPP", "control code not supported"),
                None,
            ));
        };
        let entry = self.entry(action, order, own);
        if entry.placer.is_empty() {
            return Ok((
                refuse(order.control, "NONUMBER", "no placer order number"),
                None,
            ));
        }
        let applied = book::apply(db, &self.context, patient, &entry)?;
        let barcode = Some(applied.barcode.clone())
            .filter(|barcode| !barcode.is_empty() && applied.outcome == Outcome::Accepted);
        Ok((answered(order.control, &applied), barcode))
    }

    fn entry(
        &self,
        action: Action,
        order: &OrderGroup<'_>,
        own: Option<&SpecimenBlock<'_>>,
    ) -> OrderEntry {
        let service = if order.service.id.is_empty() {
            order.service.alternate_id.to_string()
        } else {
            order.service.id.to_string()
        };
        let zone = &self.site.laboratory.zone;
        OrderEntry {
            action,
            placer: order.placer.id.to_string(),
            tests: self.site.laboratory.tests_of(&self.site.id, &service),
            service,
            specimen: convert::specimen(order, own, &self.site.barcode, zone),
            priority: Priority::from_code(order.priority),
            orc: order.orc.map(convert::fields).unwrap_or_default(),
            obr: order.obr.map(convert::fields).unwrap_or_default(),
        }
    }

    fn answer_orders(
        &self,
        message: &Message<'_>,
        request: &OrderMessage<'_>,
        answers: &[Answered],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mode = AckMode::of(&message.header());
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
        // A plain ACK has no place for single refusals, so there it must be an error as a whole.
        let is_plain = self.site.reply == Reply::Ack;
        let any_refused = answers.iter().any(|answer| is_negative(answer.control));
        let outcome = if is_plain && any_refused {
            AckOutcome::Error
        } else {
            AckOutcome::Accepted
        };
        if is_plain {
            let verdict = plain_verdict(outcome, answers);
            return Ok(self.acknowledge(message, &verdict)?.replies);
        }
        let mut replies = Vec::new();
        for code in reply::codes(mode, outcome) {
            let ack = Ack {
                code,
                text: "",
                errors: &[],
            };
            let text = if matches!(code, AckCode::CA | AckCode::CE | AckCode::CR) {
                labwire_protocols::hl7::ack::build_ack(Some(message.header()), &ack, &self.own())
            } else {
                order_reply::build_reply(request, &ack, &outcomes, false, &self.own())
            };
            replies.push(self.encode(text)?);
        }
        Ok(replies)
    }
}

/// The error of a plain ACK: 205 for a number used twice, 204 for an unknown one, else 103.
fn plain_verdict(outcome: AckOutcome, answers: &[Answered]) -> Verdict {
    if outcome == AckOutcome::Accepted {
        return Verdict::accepted(format!("{} orders", answers.len()));
    }
    let reason = answers
        .iter()
        .find(|answer| is_negative(answer.control))
        .map(|a| a.reason);
    let [code, text, _] = reason.unwrap_or_default();
    let error = match code {
        "DUPLICATE" => 205,
        "NOTFOUND" => 204,
        "NOSPECIMEN" | "NOPATIENT" | "NONUMBER" => 101,
        _ => 103,
    };
    Verdict::refused(AckOutcome::Error, error, ("ORC", 2), text)
}

fn all_specimens<'r, 'a>(
    request: &'r OrderMessage<'a>,
) -> impl Iterator<Item = &'r SpecimenBlock<'a>> {
    request.orders.iter().flat_map(|order| &order.specimens)
}

/// The message's only specimen, for orders that name none of their own.
fn shared_specimen<'r, 'a>(request: &'r OrderMessage<'a>) -> Option<&'r SpecimenBlock<'a>> {
    let mut all = all_specimens(request);
    let first = all.next()?;
    all.all(|block| block.raw_id == first.raw_id)
        .then_some(first)
}

fn action(control: &str) -> Option<Action> {
    match control {
        "NW" | "" => Some(Action::New),
        "CA" | "DC" => Some(Action::Cancel),
        "XO" => Some(Action::Change),
        _ => None,
    }
}

fn is_negative(control: &str) -> bool {
    matches!(control, "UA" | "UC" | "UD" | "UX" | "UH" | "UR" | "UM")
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
    let no = |code, text| Answered {
        control: negative,
        filler: filler.clone(),
        status,
        reason: [code, text, "L"],
    };
    match applied.outcome {
        Outcome::Accepted => Answered {
            control: positive,
            filler,
            status,
            reason: ["", "", ""],
        },
        Outcome::DiffersFromFirst => no("DUPLICATE", "this number was ordered with other content"),
        Outcome::NotFound => no("NOTFOUND", "no order with this number"),
        Outcome::InProcess => no("INPROC", "results are released already"),
        Outcome::AlreadyCancelled => no("CANCELLED", "this order was cancelled"),
        Outcome::NoSpecimen => no("NOSPECIMEN", "the order names no specimen"),
        Outcome::NoPatient => no("NOPATIENT", "the message names no patient"),
        Outcome::NotOffered => no("NOTAVAIL", "the laboratory does not offer this"),
    }
}
