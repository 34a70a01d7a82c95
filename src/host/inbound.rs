//! A host speaks: orders, cancels, changes, patient news. Each message is journalled, applied and
//! answered in one transaction; the same message again gets the same answer.

use labwire_protocols::{
    charset::Charset,
    hl7::{
        self, Message,
        ack::{Ack, AckCode, AckMode, ErrLocation, ErrSegment, Outcome as AckOutcome, Own},
        adt::{AdtEvent, AdtMessage},
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
    store::{Db, JournalEntry, StoreError, journal},
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
    /// A line for the log, without patient data.
    pub summary: String,
}

/// Everything about one message while it is answered.
pub(super) struct Hearing<'a> {
    pub(super) site: &'a HostSite,
    pub(super) context: BookContext<'a>,
    pub(super) reply_id: &'a str,
    pub(super) time: String,
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
    let digest = hex(&Sha256::digest(raw));
    let peek = hl7::header::peek(raw);
    let ids = peek.as_ref().map(identity).unwrap_or_default();
    if let Some(heard) = repeat(db, site, &ids, &digest)? {
        return Ok(heard);
    }
    let now = inbound.entry.at;
    let journalled = journal::append(db, &[&inbound.entry])?;
    let message = journalled
        .first()
        .and_then(|done| done.messages.first())
        .copied()
        .ok_or_else(|| StoreError::value("the journal gave no id"))?;
    let hearing = Hearing {
        site,
        context: BookContext {
            host: &site.id,
            message,
            now,
            specimen_age_max: site.laboratory.specimen_age_max,
        },
        reply_id: &inbound.reply_id,
        time: site.laboratory.hl7_time(now),
    };
    let heard = hearing.decode_and_apply(db, peek.as_ref(), raw)?;
    let state = journal::MessageState::Parsed;
    let outcome = serde_json::json!({ "heard": heard.summary }).to_string();
    journal::mark(db, message, state, Some(&outcome))?;
    if !ids.control_id.is_empty() {
        let keep = [
            ids.sender.as_str(),
            ids.control_id.as_str(),
            digest.as_str(),
        ];
        let joined = join(&heard.replies);
        book::keep_answer(db, &hearing.context, keep, Some(&joined))?;
    }
    Ok(heard)
}

/// Between stored replies; cannot occur inside one.
const REPLY_END: u8 = 0x1C;

fn join(replies: &[Vec<u8>]) -> Vec<u8> {
    replies.join(&[REPLY_END][..])
}

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

/// The stored answer, if this very message was answered before.
fn repeat(
    db: &mut dyn Db,
    site: &HostSite,
    ids: &Identity,
    digest: &str,
) -> Result<Option<Heard>, StoreError> {
    if ids.control_id.is_empty() {
        return Ok(None);
    }
    let known = book::find_answered(db, &site.id, &ids.sender, &ids.control_id)?;
    let same = known.into_iter().find(|(content, _)| content == digest);
    let Some((_, stored)) = same else {
        return Ok(None);
    };
    let replies = match stored {
        Some(bytes) if !bytes.is_empty() => bytes
            .split(|byte| *byte == REPLY_END)
            .map(<[u8]>::to_vec)
            .collect(),
        _ => Vec::new(),
    };
    Ok(Some(Heard {
        replies,
        barcodes: Vec::new(),
        summary: "the same message again".to_owned(),
    }))
}

fn hex(bytes: &[u8]) -> String {
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

impl Hearing<'_> {
    fn decode_and_apply(
        &self,
        db: &mut dyn Db,
        peek: Option<&Peek<'_>>,
        raw: &[u8],
    ) -> Result<Heard, StoreError> {
        let Some(text) = self.decode(raw) else {
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

    fn decode<'t>(&self, raw: &'t [u8]) -> Option<std::borrow::Cow<'t, str>> {
        let named = hl7::charset::names(raw);
        let charset = named
            .first()
            .and_then(|name| Charset::from_label(name))
            .unwrap_or(self.site.charset);
        charset.decode(raw).ok()
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
        let Ok(adt) = AdtMessage::read(message) else {
            let what = "the patient is missing";
            let verdict = Verdict::refused(AckOutcome::Error, 101, ("PID", 3), what);
            return self.acknowledge(message, &verdict);
        };
        let mut count = 0_u32;
        for patient in &adt.patients {
            let entry = convert::patient(&patient.patient);
            if entry.identifiers.is_empty() {
                let what = "a patient has no identifier";
                let verdict = Verdict::refused(AckOutcome::Error, 101, ("PID", 3), what);
                return self.acknowledge(message, &verdict);
            }
            match (adt.kind(), &patient.merge) {
                (AdtEvent::Merge | AdtEvent::ChangeIdentifier, Some(merge)) => {
                    let gone: Vec<_> = merge.ids.iter().map(convert::identifier).collect();
                    book::merge(db, &self.context, &entry, &gone)?;
                    self.audit(db, "patients merged")?;
                }
                (AdtEvent::Merge | AdtEvent::ChangeIdentifier, None) => {
                    let what = "a merge names no patient to merge";
                    let verdict = Verdict::refused(AckOutcome::Error, 101, ("MRG", 1), what);
                    return self.acknowledge(message, &verdict);
                }
                (AdtEvent::Demographics, _) => {
                    book::update_patient(db, &self.context, &entry)?;
                }
                (AdtEvent::Other, _) => {}
            }
            count += 1;
        }
        let summary = format!("ADT^{} for {count} patients", adt.event);
        self.acknowledge(message, &Verdict::accepted(summary))
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
            charset: self.site.charset_name(),
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
        let code = if peek.is_some() {
            AckCode::AE
        } else {
            AckCode::AR
        };
        let msh = peek.and_then(|peek| reply::bare_header(peek));
        let parsed = msh.as_deref().and_then(|text| Message::parse(text).ok());
        let header = parsed.as_ref().map(|(message, _)| message.header());
        let ack = Ack {
            code,
            text: "",
            errors: &verdict.errors,
        };
        let text = hl7::ack::build_ack(header, &ack, &self.own());
        let replies = vec![self.encode(text)?];
        Ok(Heard {
            replies,
            barcodes: Vec::new(),
            summary: verdict.summary.clone(),
        })
    }

    pub(super) fn encode(
        &self,
        text: Result<String, hl7::build::BuildError>,
    ) -> Result<Vec<u8>, StoreError> {
        let text = text.map_err(|error| StoreError::value(error.to_string()))?;
        let (bytes, _) = self.site.charset.encode_or_transliterate(&text);
        Ok(bytes)
    }
}
