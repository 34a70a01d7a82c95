//! The HIS's results port: it takes ORU^R01 and answers by policy.

use std::time::Duration;

use bytes::Bytes;
use labwire_protocols::wire::{Commit, CommitId, Mono, OutId, Outgoing, OutgoingKind, SendOutcome};

use super::{
    Book,
    policy::{Policy, Refusal},
};
use crate::{
    runner::{Actions, Device, Verdict},
    text::{component, field, segment},
};

/// One connection to the results port.
#[derive(Debug)]
pub struct Receiver {
    book: Book,
    /// Application acknowledgements of enhanced mode that are still to be sent.
    later: Vec<(Mono, Bytes)>,
    /// The control id answered before this one.
    previous: Option<String>,
    sent: u64,
}

/// One acknowledgement to give.
#[derive(Clone, Copy)]
struct Say {
    code: &'static str,
    error: Option<u16>,
    after: Duration,
}

impl Say {
    const GOOD: Self = Self::refusal("AA", None);

    const fn refusal(code: &'static str, error: Option<u16>) -> Self {
        Self {
            code,
            error,
            after: Duration::ZERO,
        }
    }
}

/// What an answer is made from.
struct Question {
    control: String,
    trigger: String,
    version: String,
    processing: String,
}

impl Receiver {
    /// A connection that writes into this book.
    pub fn new(book: Book) -> Self {
        Self {
            book,
            later: Vec::new(),
            previous: None,
            sent: 0,
        }
    }

    fn on_message(&mut self, now: Mono, id: CommitId, bytes: &Bytes, out: &mut Actions) {
        let text = std::str::from_utf8(bytes).unwrap_or("");
        let Some(question) = Question::of(text) else {
            self.book.with_ledger(super::Ledger::receive_unreadable);
            out.answer(id, Verdict::Lost(None));
            return;
        };
        let times = self
            .book
            .with_ledger(|ledger| ledger.receive(&question.control, bytes));
        let policy = self.book.policy(&question.control, text, times);
        if policy.takes() {
            self.book
                .with_ledger(|ledger| ledger.take(&question.control));
        }
        self.answer(now, id, &question, policy, out);
        self.previous = Some(question.control);
    }

    fn answer(
        &mut self,
        now: Mono,
        id: CommitId,
        question: &Question,
        policy: Policy,
        out: &mut Actions,
    ) {
        match policy {
            Policy::Good => self.say(now, id, question, Say::GOOD, out),
            Policy::Slow(after) => {
                let slow = Say { after, ..Say::GOOD };
                self.say(now, id, question, slow, out);
            }
            Policy::Refuse(Refusal { code, error }) => {
                self.say(now, id, question, Say::refusal(code, error), out);
            }
            Policy::Busy if self.book.is_enhanced() => {
                self.say(now, id, question, Say::refusal("CE", None), out);
            }
            Policy::Busy => self.say(now, id, question, Say::refusal("AE", Some(207)), out),
            Policy::Cut => out.close(),
            Policy::Silent => out.answer(id, Verdict::Kept(None)),
            Policy::Late => {
                let older = self
                    .previous
                    .clone()
                    .unwrap_or_else(|| "HIS-OLD-0".to_owned());
                let stale = Question {
                    control: older,
                    ..question.clone_without_control()
                };
                let payload = self.ack(&stale, "AA", None);
                self.send(payload, out);
                self.say(now, id, question, Say::GOOD, out);
            }
            Policy::Twice => {
                self.say(now, id, question, Say::GOOD, out);
                let again = self.ack(question, "AA", None);
                self.send(again, out);
            }
        }
    }

    /// Says it in the mode of this HIS: at once, or kept now and processed later.
    fn say(&mut self, now: Mono, id: CommitId, question: &Question, say: Say, out: &mut Actions) {
        let Say { code, error, after } = say;
        let reply = self.ack(question, code, error);
        if !self.book.is_enhanced() || code.starts_with('C') {
            out.answer_after(id, Verdict::Kept(Some(reply)), after);
            return;
        }
        let kept = self.ack(question, "CA", None);
        out.answer(id, Verdict::Kept(Some(kept)));
        if after.is_zero() {
            self.send(reply, out);
        } else {
            self.later.push((now.after(after), reply));
        }
    }

    fn send(&mut self, payload: Bytes, out: &mut Actions) {
        self.sent = self.sent.saturating_add(1);
        let outgoing = Outgoing {
            payload,
            kind: OutgoingKind::Answer,
            expires_after: None,
        };
        out.send(OutId(self.sent), outgoing);
    }

    /// ACK (HL7 v2.5.1 2.9.2): MSH, MSA, and ERR where there is an error.
    fn ack(&self, question: &Question, code: &str, error: Option<u16>) -> Bytes {
        let number = self.book.next_ack();
        let Question {
            control,
            trigger,
            version,
            processing,
        } = question;
        let time = self.book.stamp();
        let mut out = format!(
            "MSH|^~\\&|HIS|BV01|LABWIRE|LAB|{time}||ACK^{trigger}|HISACK{number}|{processing}|{version}\rMSA|{code}|{control}\r"
        );
        if let Some(error) = error {
            // Before 2.5 the place of ERR-3 did not exist; the code is the fourth part of ERR-1.
            if version.as_str() < "2.5" {
                out.push_str(&format!("ERR|^^^{error}\r"));
            } else {
                out.push_str(&format!("ERR|||{error}^^HL70357|E\r"));
            }
        }
        Bytes::from(out)
    }
}

impl Policy {
    /// Whether the results count.
    const fn takes(self) -> bool {
        match self {
            Self::Good | Self::Slow(_) | Self::Cut | Self::Silent | Self::Late | Self::Twice => {
                true
            }
            Self::Refuse(_) | Self::Busy => false,
        }
    }
}

impl Question {
    fn of(text: &str) -> Option<Self> {
        let header = segment(text, "MSH").filter(|header| text.starts_with(header))?;
        let control = field(header, 10);
        (!control.is_empty()).then(|| Self {
            control: control.to_owned(),
            trigger: component(field(header, 9), 2).to_owned(),
            version: component(field(header, 12), 1).to_owned(),
            processing: component(field(header, 11), 1).to_owned(),
        })
    }

    fn clone_without_control(&self) -> Self {
        Self {
            control: String::new(),
            trigger: self.trigger.clone(),
            version: self.version.clone(),
            processing: self.processing.clone(),
        }
    }
}

impl Device for Receiver {
    fn on_open(&mut self, _now: Mono, _out: &mut Actions) {}

    fn on_commit(&mut self, now: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        match commit {
            Commit::Message(received) if received.is_complete => {
                self.on_message(now, id, &received.bytes, out);
            }
            // A block that was cut is not a message; its sender will send it again.
            Commit::Message(_) | Commit::Frame { .. } => out.answer(id, Verdict::Kept(None)),
        }
    }

    fn on_finished(&mut self, _: Mono, _: OutId, _: SendOutcome, _: &mut Actions) {}

    fn on_wake(&mut self, now: Mono, out: &mut Actions) {
        let due = |(at, _): &(Mono, Bytes)| *at <= now;
        while let Some(index) = self.later.iter().position(due) {
            let (_, reply) = self.later.remove(index);
            self.send(reply, out);
        }
    }

    fn on_close(&mut self, _now: Mono) {
        self.later.clear();
    }

    fn deadline(&self) -> Option<Mono> {
        self.later.iter().map(|(at, _)| *at).min()
    }
}
