//! What devices that speak IHE LAW are answered, and what their answers to orders mean: every work
//! order step is accepted, or a person sees why not.

use std::{borrow::Cow, sync::Arc};

use labwire_protocols::{
    charset::Charset,
    hl7::{
        Message,
        ack::{Ack, AckCode, AckMode, Answer, ErrLocation, ErrSegment, Outcome, Own, build_ack},
        law::{
            StatusChange, Step, StepNumber,
            analyzer::Broadcast,
            order::Control,
            order_reply::{self, Reply},
            query::{self, Query},
            result,
        },
    },
};

use crate::{
    audit,
    book::{self, StepState},
    host,
    model::{Item, Priority},
    profile::STEP_CANCELLED,
    queue::{self, Download, DownloadKind, Verdict},
    store::{Db, Store, StoreError, Turn},
};

use super::{orders, site::LineSite};

/// What a device said of an order message of ours.
#[derive(Clone, Debug)]
pub(super) struct Said {
    steps: Vec<StepSaid>,
    /// MSA-1, error codes and words.
    answer: String,
    /// The whole message was refused, and may be taken another time.
    is_passing: bool,
    is_refused: bool,
}

#[derive(Clone, Debug)]
struct StepSaid {
    number: String,
    code: String,
    control: Control,
    verdict: order_reply::Verdict,
    /// ORC-1, ORC-5 and ORC-16 of the answer.
    words: String,
}

/// HL7 table 0357: a record is locked, an internal error; both pass by themselves.
const PASSING: [u16; 2] = [206, 207];
/// Words of a device in a reason; it says them of each step.
const WORDS_MAX: usize = 120;

/// Reads what `answer` says of the steps of `order`; `None` when `order` gave or took back none.
pub(super) fn said(order: &[u8], answer: &[u8]) -> Option<Said> {
    let order = text(order);
    let (order, _) = Message::parse(&order).ok()?;
    let (order, _) = Broadcast::read(&order).ok()?;
    let asked: Vec<(String, String, Control)> = order
        .tree
        .steps()
        .filter_map(|(_, step)| asked(step))
        .collect();
    let answer = text(answer);
    let (message, _) = Message::parse(&answer).ok()?;
    let whole = Answer::read(&message).ok()?;
    let reply = Reply::read(&message).ok().map(|(reply, _)| reply);
    let codes: Vec<u16> = whole.error_codes().collect();
    let is_refused = !matches!(whole.code, Some(AckCode::AA | AckCode::CA));
    let steps = asked.into_iter().map(|(number, code, control)| {
        let (verdict, words) = match &reply {
            Some(reply) => (reply.verdict(&number, control), words(reply, &number)),
            // A plain ACK speaks of all steps at once.
            None if is_refused => (order_reply::Verdict::MessageRefused, String::new()),
            None => (whole_verdict(control), String::new()),
        };
        StepSaid {
            number,
            code,
            control,
            verdict,
            words,
        }
    });
    let steps = steps.collect();
    Some(Said {
        steps,
        answer: shorten(&format!("{} {codes:?} {}", whole.code_raw, whole.text)),
        is_passing: is_refused && codes.iter().any(|code| PASSING.contains(code)),
        is_refused,
    })
}

const fn whole_verdict(control: Control) -> order_reply::Verdict {
    match control {
        Control::New => order_reply::Verdict::Accepted,
        Control::Cancel => order_reply::Verdict::Cancelled,
    }
}

fn asked(step: &Step<'_, '_>) -> Option<(String, String, Control)> {
    let obr = step.obr?;
    let StepNumber::Given(number) = step.number() else {
        return None;
    };
    let control = if step.control() == Control::Cancel.as_str() {
        Control::Cancel
    } else {
        Control::New
    };
    let code = obr.field(4).component(1).text().into_owned();
    Some((number.id.to_string(), code, control))
}

/// What the device says of one step, codes first.
fn words(reply: &Reply<'_, '_>, number: &str) -> String {
    let mut steps = reply.tree.steps().map(|(_, step)| step);
    let own =
        steps.find(|step| matches!(step.number(), StepNumber::Given(given) if given.id == number));
    let Some(orc) = own.and_then(|step| step.orc) else {
        return String::new();
    };
    let reason = orc.field(16);
    let said = [
        orc.field(1).text(),
        orc.field(5).text(),
        reason.component(1).text(),
        reason.component(2).text(),
    ];
    let said: Vec<&str> = said
        .iter()
        .map(AsRef::as_ref)
        .filter(|word| !word.is_empty())
        .collect();
    shorten(&said.join(" "))
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(WORDS_MAX).collect()
}

/// Messages of the profile are UTF-8; in Latin-1 every byte is a letter.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Charset::Latin1.decode(bytes).unwrap_or_default(),
    }
}

impl StepSaid {
    /// The state it leaves the step in.
    const fn state(&self) -> StepState {
        match self.verdict {
            order_reply::Verdict::Accepted | order_reply::Verdict::NotCancelled => {
                StepState::Accepted
            }
            order_reply::Verdict::Refused | order_reply::Verdict::MessageRefused => {
                match self.control {
                    Control::New => StepState::Refused,
                    Control::Cancel => StepState::Accepted,
                }
            }
            order_reply::Verdict::Cancelled => StepState::Cancelled,
            order_reply::Verdict::Unanswered | order_reply::Verdict::Unclear => StepState::Told,
        }
    }

    const fn is_amiss(&self) -> bool {
        !matches!(
            self.verdict,
            order_reply::Verdict::Accepted | order_reply::Verdict::Cancelled
        )
    }

    fn complaint(&self) -> String {
        let what = match self.verdict {
            order_reply::Verdict::Refused => "refused",
            order_reply::Verdict::NotCancelled => "cannot be cancelled any more",
            order_reply::Verdict::MessageRefused => "refused with its message",
            order_reply::Verdict::Unanswered => "not answered",
            order_reply::Verdict::Accepted
            | order_reply::Verdict::Cancelled
            | order_reply::Verdict::Unclear => "answered unclearly",
        };
        if self.words.is_empty() {
            format!("{} {what}", self.code)
        } else {
            format!("{} {what} ({})", self.code, self.words)
        }
    }
}

impl Said {
    /// Of a row of the queue: everything accepted, to be tried again, or for a person.
    pub(super) fn verdict(&self) -> Verdict {
        let answer = self.answer.clone();
        if self.is_passing {
            let reason = format!("the device answered {answer}");
            return Verdict::Deferred { reason, answer };
        }
        let amiss = self.steps.iter().filter(|step| step.is_amiss());
        let complaints: Vec<String> = amiss.map(StepSaid::complaint).collect();
        if complaints.is_empty() && !self.is_refused {
            return Verdict::Accepted { answer };
        }
        let reason = format!("the device answered {answer}: {}", complaints.join(", "));
        Verdict::Refused { reason, answer }
    }
}

/// Writes down news of a line beside the work under way. What is lost with the process is asked for
/// again: a step whose answer nobody wrote down counts as told.
pub(super) fn write(
    store: &Store,
    line: &Arc<LineSite>,
    now: i64,
    note: impl FnOnce(&mut dyn Db, &LineSite, i64) -> Result<(), StoreError> + Send + 'static,
) {
    let (store, line) = (store.clone(), Arc::clone(line));
    tokio::spawn(async move {
        let name = line.id.clone();
        let work = move |db: &mut dyn Db| note(db, &line, now);
        if let Err(error) = store.transact(Turn::Canonical, work).await {
            tracing::error!(line = name, %error, "what a device said of its orders was not noted");
        }
    });
}

/// Notes how each step stands now. What a device refuses it does not have.
pub(super) fn note_steps(
    db: &mut dyn Db,
    line: &LineSite,
    said: &Said,
    now: i64,
) -> Result<(), StoreError> {
    if said.is_passing {
        return Ok(());
    }
    for step in &said.steps {
        let state = step.state();
        let own = (line.id.as_str(), step.number.as_str());
        book::note_step(db, own, state, &step.words, now)?;
        if matches!(state, StepState::Refused | StepState::Cancelled)
            && let Some(known) = book::step_of_number(db, &line.id, &step.number)?
        {
            let items = orders::items_of_code(db, line, &known)?;
            book::note_taken_back(db, &line.id, &items)?;
        }
    }
    Ok(())
}

/// Notes what a device said of the work that it had asked for. What it refuses of it is set aside in
/// the queue, for a person: no row told it.
pub(super) fn note_answer(
    db: &mut dyn Db,
    line: &LineSite,
    mut said: Said,
    now: i64,
) -> Result<(), StoreError> {
    for step in &mut said.steps {
        // A device that has a step already refuses to take it again.
        let known = book::step_of_number(db, &line.id, &step.number)?;
        if step.verdict == order_reply::Verdict::Refused
            && known.is_some_and(|known| known.state == StepState::Accepted)
        {
            step.verdict = order_reply::Verdict::Accepted;
        }
    }
    let mut refused: Option<Download> = None;
    for step in said.steps.iter().filter(|step| step.is_amiss()) {
        let Some(known) = book::step_of_number(db, &line.id, &step.number)? else {
            continue;
        };
        let items = orders::items_of_code(db, line, &known)?;
        let row = refused.get_or_insert_with(|| Download {
            line: line.id.clone(),
            kind: DownloadKind::Order,
            specimen: known.specimen,
            priority: Priority::Routine,
            items: book::ItemTests::new(),
        });
        for (item, tests) in items {
            row.items.entry(item).or_default().extend(tests);
        }
    }
    note_steps(db, line, &said, now)?;
    let (Verdict::Refused { reason, answer } | Verdict::Deferred { reason, answer }) =
        said.verdict()
    else {
        return Ok(());
    };
    tracing::warn!(
        line = line.id,
        "the device does not take all of what it asked for"
    );
    match refused.filter(|row| !row.items.is_empty()) {
        Some(row) => {
            queue::set_aside_download(db, &row, (&reason, &answer), now)?;
        }
        None => note_unanswered(db, line, &reason, now)?,
    }
    Ok(())
}

/// Writes down that a device did not take what it had asked for, or nobody knows whether it did.
pub(super) fn note_unanswered(
    db: &mut dyn Db,
    line: &LineSite,
    why: &str,
    now: i64,
) -> Result<(), StoreError> {
    let name = format!("line:{}", line.id);
    audit::write(db, now, &name, "order-not-taken", &name, why)
}

/// A step that the device gave up is ordered anew under another number, if it still is ordered.
pub(super) fn note_events(
    db: &mut dyn Db,
    line: &LineSite,
    items: &[Item],
    now: i64,
) -> Result<(), StoreError> {
    if !line.profile.profile().device.is_law {
        return Ok(());
    }
    for item in items {
        let Item::Device(event) = item else { continue };
        let number = event.text.split(' ').next_back().unwrap_or_default();
        if event.code == STEP_CANCELLED && !number.is_empty() {
            let own = (line.id.as_str(), number);
            book::note_step(
                db,
                own,
                StepState::Cancelled,
                "cancelled by the device",
                now,
            )?;
        }
    }
    Ok(())
}

/// RSP^K11 to a query that cannot be answered, ACK^R22 to a status change, as MSH-15 and MSH-16 ask;
/// `None` for any other message, and where none is asked for.
pub(super) fn acknowledge(
    raw: &[u8],
    outcome: Outcome,
    control_id: &str,
    time: &str,
) -> Option<Vec<Vec<u8>>> {
    let whole = text(raw);
    let (message, _) = Message::parse(&whole).ok()?;
    let own = Own {
        application: "LABWIRE",
        time,
        control_id,
        charset: message.header().charsets().next().unwrap_or_default(),
        ..Own::default()
    };
    // The device's own names go back in the bytes that they came in.
    let bytes = |reply: String| match std::str::from_utf8(raw) {
        Ok(_) => Some(reply.into_bytes()),
        Err(_) => Charset::Latin1.encode(&reply).ok(),
    };
    let errors: Vec<ErrSegment> = error(outcome).into_iter().collect();
    if let Ok((query, _)) = Query::read(&message) {
        let reply = query::build_reply(&query, outcome, &errors, &own).ok()?;
        return Some(bytes(reply).into_iter().collect());
    }
    let (change, _) = StatusChange::read(&message).ok()?;
    let codes = host::ack_codes(AckMode::of(&message.header()), outcome).into_iter();
    let replies = codes.filter_map(|code| result::build_ack(&change, code, &errors, &own).ok());
    Some(replies.filter_map(bytes).collect())
}

/// The commit acknowledgement that goes before the answer to a query, where MSH-15 asks for one.
pub(super) fn commit(raw: &[u8], control_id: &str, time: &str) -> Option<Vec<u8>> {
    let whole = text(raw);
    let (message, _) = Message::parse(&whole).ok()?;
    let codes = host::ack_codes(AckMode::of(&message.header()), Outcome::Accepted);
    let own = Own {
        application: "LABWIRE",
        time,
        control_id,
        version: "2.5.1",
        ..Own::default()
    };
    let ack = Ack {
        code: AckCode::CA,
        text: "",
        errors: &[],
    };
    let is_due = codes.contains(&AckCode::CA);
    let written = build_ack(Some(message.header()), &ack, &own).ok();
    written.filter(|_| is_due).map(String::into_bytes)
}

fn error(outcome: Outcome) -> Option<ErrSegment> {
    let (code, text) = match outcome {
        Outcome::Accepted => return None,
        Outcome::Error => (207, "kept, but no answer can be given"),
        Outcome::Rejected => (200, "no answer is known to such a message"),
        Outcome::NotStored => (207, "not stored, keep the message and send it again"),
    };
    let location = ErrLocation {
        segment: "MSH",
        occurrence: 1,
        field: 9,
        component: 0,
    };
    Some(ErrSegment {
        location,
        code,
        text: text.into(),
        ..ErrSegment::default()
    })
}

#[cfg(test)]
mod tests;
