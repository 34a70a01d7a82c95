//! A host speaks: orders, cancels, changes, patient news. Each message is journalled, applied and
//! answered in one transaction; the same message again gets the same answer.

use labwire_protocols::{
    charset::Charset,
    hl7::{
        self, Message,
        ack::{Ack, AckCode, AckMode, ErrLocation, ErrSegment, Outcome as AckOutcome, Own},
        adt::{AdtEvent, AdtMessage},
        batch,
        header::Peek,
        order::OrderMessage,
    },
    wire::Commit,
};
use sha2::{Digest, Sha256};

use crate::{
    audit,
    book::{self, BookContext},
    config::choice::Choice as _,
    store::{
        Db, JournalEntry, StoreError,
        journal::{self, MessageState},
    },
};

use super::{HostSite, convert, reply};

/// A message of a host, as the line gave it.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The journal entry: line, connection, time, bytes.
    pub entry: JournalEntry,
    /// Unique for all time in this store; the control id of our reply.
    pub reply_id: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The replies due, in order; usually one. Whole HL7 messages, unframed.
    pub replies: Vec<Vec<u8>>,
    /// Barcodes on which something was ordered or changed: devices may be told, results go on.
    pub barcodes: Vec<String>,
    /// Barcodes of patients who were two: what was held for that may go on.
    pub merged: Vec<String>,
    /// A line for the log, without patient data.
    pub summary: String,
}

/// Everything about one message while it is answered.
pub(super) struct Hearing<'a> {
    pub(super) site: &'a HostSite,
    pub(super) context: BookContext<'a>,
    pub(super) reply_id: &'a str,
    pub(super) time: String,
    /// Of the message, and so of its replies: what they echo can then be written.
    charset: Charset,
    charset_name: String,
}

/// Journals, applies and answers one message of a host.
///
/// # Errors
/// The store's; then nothing is applied and the host must be told to keep its message.
pub fn hear(db: &mut dyn Db, site: &HostSite, inbound: &Inbound) -> Result<Heard, StoreError> {
    let Commit::Message(received) = &inbound.entry.commit else {
        return Err(StoreError::value("a host's line gave a frame"));
    };
    let raw = &received.bytes;
    let message = journalled(db, &inbound.entry)?;
    if !received.is_complete {
        // Its end never came, so orders may be missing; its sender gets no reply and sends again.
        return done(db, message, MessageState::Parsed, Heard::cut());
    }
    if let Some(messages) = messages_of_batch(raw) {
        return hear_batch(db, site, inbound, message, &messages);
    }
    let hearing = Hearing::new(site, message, inbound, raw);
    let (state, heard) = hearing.hear(db, raw)?;
    done(db, message, state, heard)
}

/// The messages of a batch, FHS or BHS; `None` for one message.
fn messages_of_batch(raw: &[u8]) -> Option<Vec<Vec<u8>>> {
    if !raw.starts_with(b"FHS") && !raw.starts_with(b"BHS") {
        return None;
    }
    // Latin-1 maps every byte to itself and back, whatever the messages' character sets.
    let text = Charset::Latin1.decode(raw).ok()?;
    let batch = batch::split(&text).ok()?;
    let messages = batch.messages.iter();
    let bytes: Result<Vec<_>, _> = messages.map(|one| Charset::Latin1.encode(one)).collect();
    bytes.ok().filter(|messages| !messages.is_empty())
}

/// Every message of a batch stands for itself and is answered by itself (HL7 v2.5.1 2.10.3.1).
fn hear_batch(
    db: &mut dyn Db,
    site: &HostSite,
    inbound: &Inbound,
    message: i64,
    messages: &[Vec<u8>],
) -> Result<Heard, StoreError> {
    let mut all = Heard::default();
    let mut summaries = Vec::new();
    for (number, raw) in (1..).zip(messages) {
        let own = Inbound {
            reply_id: format!("{}.{number}", inbound.reply_id),
            ..inbound.clone()
        };
        let (_, heard) = Hearing::new(site, message, &own, raw).hear(db, raw)?;
        all.replies.extend(heard.replies);
        all.barcodes.extend(heard.barcodes);
        all.merged.extend(heard.merged);
        summaries.push(heard.summary);
    }
    all.summary = format!("batch of {}: {}", messages.len(), summaries.join("; "));
    done(db, message, MessageState::Parsed, all)
}

pub(super) fn journalled(db: &mut dyn Db, entry: &JournalEntry) -> Result<i64, StoreError> {
    journal::append(db, &[entry])?
        .first()
        .and_then(|done| done.messages.first())
        .copied()
        .ok_or_else(|| StoreError::value("the journal gave no id"))
}

pub(super) fn done(
    db: &mut dyn Db,
    message: i64,
    state: MessageState,
    heard: Heard,
) -> Result<Heard, StoreError> {
    let outcome = serde_json::json!({ "heard": heard.summary }).to_string();
    journal::mark(db, message, state, Some(&outcome))?;
    Ok(heard)
}

impl Heard {
    fn cut() -> Self {
        Self {
            summary: "cut before its end: not applied, not answered".to_owned(),
            ..Self::default()
        }
    }
}

/// What is known of a control id of this sender.
enum Before {
    Never,
    /// This very message, with what was answered.
    Same(Heard),
    /// Another message: the id does not name it.
    Other,
}

/// Between stored replies; cannot occur inside one.
const REPLY_END: u8 = 0x1C;

#[derive(Default)]
struct Identity {
    sender: String,
    control_id: String,
}

/// MSH-3, MSH-4 and MSH-10 decide whether a message is the same one again.
fn identity(peek: &Peek<'_>) -> Identity {
    let text = |bytes: &[u8]| {
        Charset::Latin1
            .decode(bytes)
            .map_or_else(|_| String::new(), Into::into)
    };
    Identity {
        sender: format!(
            "{}|{}",
            text(peek.sending_application),
            text(peek.sending_facility)
        ),
        control_id: text(peek.control_id),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a message came to, before it is put into the reply that its sender wants.
pub(super) struct Verdict {
    pub(super) outcome: AckOutcome,
    pub(super) errors: Vec<ErrSegment>,
    pub(super) summary: String,
}

impl Verdict {
    pub(super) fn accepted(summary: impl Into<String>) -> Self {
        Self {
            outcome: AckOutcome::Accepted,
            errors: Vec::new(),
            summary: summary.into(),
        }
    }

    pub(super) fn refused(
        outcome: AckOutcome,
        code: u16,
        at: (&'static str, usize),
        text: &'static str,
    ) -> Self {
        let (segment, field) = at;
        let location = ErrLocation {
            segment,
            occurrence: 1,
            field,
            component: 0,
        };
        let error = ErrSegment {
            location,
            code,
            text: text.into(),
            ..ErrSegment::default()
        };
        Self {
            outcome,
            errors: vec![error],
            summary: format!("refused with {code}: {text}"),
        }
    }
}

impl<'a> Hearing<'a> {
    fn new(site: &'a HostSite, message: i64, inbound: &'a Inbound, raw: &[u8]) -> Self {
        let named = hl7::charset::names(raw).first().and_then(|name| {
            let charset = Charset::from_label(name)?;
            Some((charset, (*name).to_owned()))
        });
        let (charset, charset_name) =
            named.unwrap_or_else(|| (site.charset, site.charset_name().to_owned()));
        let now = inbound.entry.at;
        Self {
            site,
            context: BookContext {
                host: &site.id,
                message,
                now,
                specimen_age_max: site.laboratory.specimen_age_max,
            },
            reply_id: &inbound.reply_id,
            time: site.laboratory.hl7_time(now),
            charset,
            charset_name,
        }
    }

    /// Answers one message, which is in the journal; where it came before, as it was answered then.
    fn hear(&self, db: &mut dyn Db, raw: &[u8]) -> Result<(MessageState, Heard), StoreError> {
        let digest = hex(&Sha256::digest(raw));
        let peek = hl7::header::peek(raw);
        let ids = peek.as_ref().map(identity).unwrap_or_default();
        match self.answered_before(db, &ids, &digest)? {
            Before::Same(heard) => return Ok((MessageState::Retransmission, heard)),
            Before::Other => self.audit(db, "this control id came before with another message")?,
            Before::Never => {}
        }
        let heard = self.decode_and_apply(db, peek.as_ref(), raw)?;
        if !ids.control_id.is_empty() {
            let keep = [
                ids.sender.as_str(),
                ids.control_id.as_str(),
                digest.as_str(),
            ];
            let joined = heard.replies.join(&[REPLY_END][..]);
            book::keep_answer(db, &self.context, keep, Some(&joined))?;
        }
        Ok((MessageState::Parsed, heard))
    }

    fn answered_before(
        &self,
        db: &mut dyn Db,
        ids: &Identity,
        digest: &str,
    ) -> Result<Before, StoreError> {
        if ids.control_id.is_empty() {
            return Ok(Before::Never);
        }
        let known = book::find_answered(db, &self.site.id, &ids.sender, &ids.control_id)?;
        if known.is_empty() {
            return Ok(Before::Never);
        }
        let same = known.into_iter().find(|(content, _)| content == digest);
        let Some((_, stored)) = same else {
            return Ok(Before::Other);
        };
        let stored = stored.filter(|bytes| !bytes.is_empty());
        let replies = stored.map_or_else(Vec::new, |bytes| {
            bytes
                .split(|byte| *byte == REPLY_END)
                .map(<[u8]>::to_vec)
                .collect()
        });
        Ok(Before::Same(Heard {
            replies,
            summary: "the same message again".to_owned(),
            ..Heard::default()
        }))
    }

    fn decode_and_apply(
        &self,
        db: &mut dyn Db,
        peek: Option<&Peek<'_>>,
        raw: &[u8],
    ) -> Result<Heard, StoreError> {
        let Ok(text) = self.charset.decode(raw) else {
            let what = "the bytes do not decode in the message's character set";
            let verdict = Verdict::refused(AckOutcome::Error, 102, ("MSH", 18), what);
            return self.refuse_unread(db, peek, &verdict);
        };
        let Ok((message, notes)) = Message::parse(&text) else {
            let what = "this is no HL7 message";
            let verdict = Verdict::refused(AckOutcome::Rejected, 100, ("MSH", 1), what);
            return self.refuse_unread(db, peek, &verdict);
        };
        let mut heard = self.apply(db, &message)?;
        if !notes.is_empty() {
            let codes: Vec<&str> = notes.iter().map(|note| note.code).collect();
            heard.summary = format!("{}; notes {}", heard.summary, codes.join(" "));
        }
        Ok(heard)
    }

    fn apply(&self, db: &mut dyn Db, message: &Message<'_>) -> Result<Heard, StoreError> {
        let header = message.header();
        if let Some(verdict) = self.unwelcome(message) {
            return self.acknowledge(message, &verdict);
        }
        match header.message_type() {
            "OML" | "ORM" => match OrderMessage::read(message) {
                Ok(orders) => self.on_orders(db, message, &orders),
                Err(_) => {
                    let what = "this order event is not supported";
                    let verdict = Verdict::refused(AckOutcome::Rejected, 201, ("MSH", 9), what);
                    self.acknowledge(message, &verdict)
                }
            },
            "ADT" => self.on_adt(db, message),
            _ => {
                let what = "this message type is not supported";
                let verdict = Verdict::refused(AckOutcome::Rejected, 200, ("MSH", 9), what);
                self.acknowledge(message, &verdict)
            }
        }
    }

    /// Messages that are not for a laboratory at work.
    fn unwelcome(&self, message: &Message<'_>) -> Option<Verdict> {
        let header = message.header();
        if matches!(header.processing_id(), "T" | "D") {
            let what = "training and debugging messages are not processed";
            return Some(Verdict::refused(
                AckOutcome::Rejected,
                202,
                ("MSH", 11),
                what,
            ));
        }
        let version = header.version();
        if !version.is_empty() && !version.starts_with("2.") {
            let what = "only HL7 version 2 is supported";
            return Some(Verdict::refused(
                AckOutcome::Rejected,
                203,
                ("MSH", 12),
                what,
            ));
        }
        None
    }

    fn on_adt(&self, db: &mut dyn Db, message: &Message<'_>) -> Result<Heard, StoreError> {
        let adt = match AdtMessage::read(message) {
            Ok(adt) => adt,
            Err(error) if concerns_us(message) => {
                let lacks_prior = error == hl7::ParseError::SegmentMissing("MRG");
                let missing = if lacks_prior { NO_PRIOR } else { NO_PATIENT };
                return self.acknowledge(message, &missing.verdict());
            }
            Err(_) => return self.acknowledge(message, &Verdict::accepted("ADT of no concern")),
        };
        let kind = adt.kind();
        // All is looked at before anything is applied: a refused message changes nothing.
        if let Some(missing) = incomplete(&adt) {
            return self.acknowledge(message, &missing.verdict());
        }
        let mut merged = Vec::new();
        for one in &adt.patients {
            let entry = convert::patient(&one.patient);
            match (kind, &one.merge) {
                (AdtEvent::Merge | AdtEvent::ChangeIdentifier, Some(merge)) => {
                    let gone: Vec<_> = merge.ids.iter().map(convert::identifier).collect();
                    let done = book::merge(db, &self.context, &entry, &gone)?;
                    self.audit(db, merge_words(&done))?;
                    merged.extend(done.barcodes);
                }
                (AdtEvent::Demographics, _) => {
                    book::update_patient(db, &self.context, &entry)?;
                }
                _ => {}
            }
        }
        let summary = format!("ADT^{} for {} patients", adt.event, adt.patients.len());
        let heard = self.acknowledge(message, &Verdict::accepted(summary))?;
        Ok(Heard { merged, ..heard })
    }

    pub(super) fn audit(&self, db: &mut dyn Db, what: &str) -> Result<(), StoreError> {
        let subject = format!("message:{}", self.context.message);
        let actor = format!("host:{}", self.site.id);
        audit::write(db, self.context.now, &actor, "heard", &subject, what)
    }

    pub(super) fn own(&self) -> Own<'_> {
        let [application, facility, ..] = &self.site.parties;
        Own {
            application,
            facility,
            time: &self.time,
            control_id: self.reply_id,
            charset: &self.charset_name,
            version: self.site.version.word(),
        }
    }

    /// The plain acknowledgement that the sender's MSH-15 and MSH-16 ask for.
    pub(super) fn acknowledge(
        &self,
        message: &Message<'_>,
        verdict: &Verdict,
    ) -> Result<Heard, StoreError> {
        let mode = AckMode::of(&message.header());
        let codes = reply::codes(mode, verdict.outcome);
        let mut replies = Vec::new();
        for code in codes {
            let ack = Ack {
                code,
                text: "",
                errors: &verdict.errors,
            };
            let text = hl7::ack::build_ack(Some(message.header()), &ack, &self.own());
            replies.push(self.encode(text)?);
        }
        Ok(Heard {
            replies,
            barcodes: Vec::new(),
            merged: Vec::new(),
            summary: verdict.summary.clone(),
        })
    }

    /// A message whose MSH alone, or not even that, can be read.
    fn refuse_unread(
        &self,
        db: &mut dyn Db,
        peek: Option<&Peek<'_>>,
        verdict: &Verdict,
    ) -> Result<Heard, StoreError> {
        self.audit(db, &verdict.summary)?;
        let msh = peek.and_then(reply::bare_header);
        let parsed = msh.as_deref().and_then(|text| Message::parse(text).ok());
        if let Some((message, _)) = parsed {
            return self.acknowledge(&message, verdict);
        }
        let ack = Ack {
            code: AckCode::AR,
            text: "",
            errors: &verdict.errors,
        };
        let text = hl7::ack::build_ack(None, &ack, &self.own());
        Ok(Heard {
            replies: vec![self.encode(text)?],
            barcodes: Vec::new(),
            merged: Vec::new(),
            summary: verdict.summary.clone(),
        })
    }

    pub(super) fn encode(
        &self,
        text: Result<String, hl7::build::BuildError>,
    ) -> Result<Vec<u8>, StoreError> {
        let text = text.map_err(|error| StoreError::value(error.to_string()))?;
        let (bytes, _) = self.charset.encode_or_transliterate(&text);
        Ok(bytes)
    }
}

/// What the audit says of a merge.
pub(super) fn merge_words(merged: &book::Merged) -> &'static str {
    if merged.has_conflict {
        tracing::warn!("patients with different blood groups were merged: their groups are held");
        "patients merged, whose blood groups differ and are held"
    } else {
        "patients merged"
    }
}

/// A required field that an ADT lacks.
struct Missing {
    at: (&'static str, usize),
    what: &'static str,
}

const NO_PATIENT: Missing = Missing {
    at: ("PID", 3),
    what: "a patient has no identifier",
};
const NO_PRIOR: Missing = Missing {
    at: ("MRG", 1),
    what: "a merge names no patient to merge",
};

impl Missing {
    fn verdict(&self) -> Verdict {
        Verdict::refused(AckOutcome::Error, 101, self.at, self.what)
    }
}

/// Whether the event is one that a laboratory follows, even if the message cannot be read.
fn concerns_us(message: &Message<'_>) -> bool {
    let header = message.header();
    let empty = AdtMessage {
        header,
        event: header.trigger(),
        recorded: "",
        patients: Vec::new(),
    };
    empty.kind() != AdtEvent::Other
}

fn incomplete(adt: &AdtMessage<'_>) -> Option<Missing> {
    let kind = adt.kind();
    if kind == AdtEvent::Other {
        return None;
    }
    let is_named = |entry: book::PatientEntry| !entry.identifiers.is_empty();
    if !adt
        .patients
        .iter()
        .all(|one| is_named(convert::patient(&one.patient)))
    {
        return Some(NO_PATIENT);
    }
    let has_prior = |one: &hl7::adt::AdtPatient<'_>| {
        let ids = one.merge.as_ref().map(|merge| &merge.ids);
        ids.is_some_and(|ids| ids.iter().any(|id| !id.id.is_empty()))
    };
    let is_complete = kind == AdtEvent::Demographics || adt.patients.iter().all(has_prior);
    (!is_complete).then_some(NO_PRIOR)
}
