//! The receiver: messages in, what they do to the conversation, and what is owed for them.

use bytes::Bytes;

use super::{
    super::{
        dialect::{CONTROL_ID_BYTES_MAX, Role},
        message::{Acknowledgement, Body, Header, Message, Status, read_root},
        notes,
        writer::{acknowledgement, escape_message},
        xml::{Document, Element, Fault, Value},
    },
    Link, Stage,
};
use crate::wire::{CommitId, Mono};

/// What the receiver remembers.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) pending: Option<Pending>,
    pub(super) query: Option<Query>,
    /// The message acknowledged last.
    last: Option<Known>,
    /// Counts conversations of this machine from 1.
    pub(super) conversations: u64,
    /// Nothing was taken in this conversation yet.
    is_fresh: bool,
    /// Messages that were given to the store.
    messages: u64,
    /// The time of the peer's last message, as it gave it.
    pub(super) created: Option<String>,
    /// When the peer said something of the topic under way.
    pub(super) last_word: Mono,
    /// What the device said is new and was not asked for yet.
    pub(super) wants: Wants,
    /// A run of ignored bytes is noted once.
    is_ignoring: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) observations: bool,
    pub(super) events: bool,
}

/// A message that waits for the store.
#[derive(Debug)]
pub(super) struct Pending {
    id: CommitId,
    number: u64,
    message: Bytes,
    control_id: Option<String>,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Hello,
    Query,
    Report,
    Other,
}

/// A request of the device that waits for the owner's answer.
#[derive(Debug)]
pub(super) struct Query {
    control_id: Option<String>,
    pub(super) until: Mono,
}

#[derive(Debug)]
struct Known {
    message: Bytes,
    at: Mono,
}

/// What the link needs to know of a message.
struct Seen {
    control_id: Option<String>,
    created: Option<String>,
    what: Meaning,
}

enum Meaning {
    Acknowledged {
        of: Option<String>,
        is_accepted: bool,
    },
    Escaped {
        of: Option<String>,
    },
    Status {
        wants: Wants,
    },
    KeepAlive,
    EndOfTopic {
        of: Option<String>,
    },
    End,
    Store(What),
}

impl Link {
    pub(super) fn ignore_byte(&mut self) {
        if !self.receiver.is_ignoring {
            self.receiver.is_ignoring = true;
            self.note(notes::BYTES_IGNORED.at(self.inbox.offset));
        }
    }

    /// What was taken from here on belongs together.
    pub(super) fn begin_conversation(&mut self) {
        self.receiver.conversations = self.receiver.conversations.saturating_add(1);
        self.receiver.is_fresh = true;
        self.receiver.last = None;
        self.receiver.created = None;
        self.forget_topics();
    }

    fn forget_topics(&mut self) {
        self.receiver.wants = Wants::default();
        self.receiver.query = None;
        self.sender.is_continuous_refused = false;
    }

    /// A whole message is there.
    pub(super) fn on_message(&mut self, start: u64, message: Bytes) {
        self.receiver.is_ignoring = false;
        let seen = match see(&message) {
            Ok(seen) => seen,
            Err(fault) => return self.refuse(start, &message, fault),
        };
        if seen.created.is_some() {
            self.receiver.created = seen.created;
        }
        let control_id = seen.control_id;
        if control_id.is_none() {
            self.note(notes::NO_CONTROL_ID.at(start));
        }
        match seen.what {
            Meaning::Acknowledged { of, is_accepted } => {
                self.on_acknowledgement(start, message, of.as_deref(), is_accepted);
            }
            Meaning::Escaped { of } => self.on_escape(start, of.as_deref()),
            Meaning::Status { wants } => self.on_status(start, control_id.as_deref(), wants),
            Meaning::KeepAlive => self.acknowledge(control_id.as_deref(), true),
            Meaning::EndOfTopic { of } => {
                self.on_end_of_topic(control_id.as_deref(), of.as_deref());
            }
            Meaning::End => self.on_end(control_id.as_deref()),
            Meaning::Store(what) => self.promise((start, message), control_id, what),
        }
    }

    /// Its device keeps what it has; nothing of a message that cannot be read is a promise.
    fn refuse(&mut self, start: u64, message: &[u8], fault: Fault) {
        let note = match fault {
            Fault::Forbidden => notes::FORBIDDEN,
            Fault::Limit => notes::TOO_DEEP,
            Fault::Unended | Fault::Tag | Fault::Mismatch | Fault::Twice | Fault::Outside => {
                notes::MALFORMED
            }
        };
        self.note(note.at(start));
        if let Some(control_id) = glimpse(message) {
            self.acknowledge(Some(&control_id), false);
        }
    }

    pub(super) fn acknowledge(&mut self, of: Option<&str>, is_accepted: bool) {
        let name = self.dialect.ack_name;
        let written = self.compose(|head| {
            acknowledgement(head, name, of.unwrap_or_default(), (is_accepted, None))
        });
        self.say(written);
    }

    /// Status is said at the start, and again and again in the continuous mode.
    fn on_status(&mut self, start: u64, control_id: Option<&str>, wants: Wants) {
        if matches!(self.stage, Stage::WaitHello | Stage::Ended) {
            self.note(notes::BEFORE_HELLO.at(start));
        }
        self.receiver.is_fresh = false;
        self.acknowledge(control_id, true);
        match self.stage {
            Stage::WaitHello | Stage::Introduced | Stage::Ready | Stage::Ended => {
                self.receiver.wants = Wants {
                    events: wants.events && self.dialect.asks_events,
                    ..wants
                };
                self.stage = Stage::Ready;
            }
            Stage::Disconnected | Stage::Observations | Stage::Events | Stage::Continuous => {}
        }
    }

    /// The end of the topic before, said again because our ACK was lost, ends nothing.
    fn on_end_of_topic(&mut self, control_id: Option<&str>, topic: Option<&str>) {
        self.acknowledge(control_id, true);
        let is_this = match self.stage {
            Stage::Observations => topic != Some("D_EV"),
            Stage::Events => topic != Some("OBS"),
            Stage::Disconnected
            | Stage::WaitHello
            | Stage::Introduced
            | Stage::Ready
            | Stage::Continuous
            | Stage::Ended => false,
        };
        if is_this {
            self.request_is_heard();
            self.stage = Stage::Ready;
        }
    }

    fn on_end(&mut self, control_id: Option<&str>) {
        self.acknowledge(control_id, true);
        self.end_conversation();
    }

    /// What must be durable before it is acknowledged.
    fn promise(&mut self, (start, message): (u64, Bytes), control_id: Option<String>, what: What) {
        if self.is_repeat(&message, what) {
            self.note(notes::REPEAT.at(start));
            self.receiver.last_word = self.now;
            return self.acknowledge(control_id.as_deref(), true);
        }
        match (self.dialect.role, what) {
            (Role::Host, What::Hello) => self.on_hello(),
            (Role::Host, _) if matches!(self.stage, Stage::WaitHello | Stage::Ended) => {
                self.note(notes::BEFORE_HELLO.at(start));
            }
            _ => {}
        }
        if what == What::Report {
            self.request_is_heard();
        }
        self.receiver.is_fresh = false;
        self.receiver.messages = self.receiver.messages.saturating_add(1);
        let number = self.receiver.messages;
        let id = self.commit(message.clone());
        self.receiver.pending = Some(Pending {
            id,
            number,
            message,
            control_id,
            what,
        });
    }

    /// A device that says hello again has begun anew: switched off, or another one on this line.
    fn on_hello(&mut self) {
        if !self.receiver.is_fresh {
            let created = self.receiver.created.take();
            self.break_off();
            self.begin_conversation();
            self.receiver.created = created;
        }
        self.stage = Stage::WaitHello;
    }

    /// A request in the same words wants an answer again, and a hello later on is another one.
    fn is_repeat(&self, message: &Bytes, what: What) -> bool {
        let within = self.dialect.timers.repeat;
        let can_repeat = match what {
            What::Hello => self.stage == Stage::Introduced,
            What::Query => false,
            What::Report | What::Other => true,
        };
        can_repeat
            && self
                .receiver
                .last
                .as_ref()
                .is_some_and(|last| last.message == message && self.now.since(last.at) <= within)
    }

    pub(super) fn on_committed(&mut self, id: CommitId, reply: Option<Bytes>) {
        let Some(known) = self.receiver.pending.take_if(|known| known.id == id) else {
            return self.note(notes::STRAY_COMMIT);
        };
        self.receiver.last_word = self.now;
        match (self.dialect.role, known.what) {
            (Role::Host, What::Query) => return self.on_query(known.control_id),
            (Role::Host, What::Hello) => self.stage = Stage::Introduced,
            (Role::Host, What::Report | What::Other) | (Role::Device, _) => {}
        }
        let (message, at) = (known.message, self.now);
        self.receiver.last = Some(Known { message, at });
        if !self.say_reply(known.control_id.as_deref(), reply) {
            self.acknowledge(known.control_id.as_deref(), true);
        }
    }

    /// A request in place of the answer's delivery: the answer was for the one before, and whoever
    /// waits for that one is told that nothing comes.
    fn on_query(&mut self, control_id: Option<String>) {
        self.drop_answer();
        self.on_answer_timeout();
        let until = self.now.after(self.dialect.timers.answer);
        self.receiver.query = Some(Query { control_id, until });
    }

    /// The owner's own acknowledgement, if it gave one that is for this message.
    fn say_reply(&mut self, control_id: Option<&str>, reply: Option<Bytes>) -> bool {
        let Some(reply) = reply else { return false };
        let is_fitting = matches!(
            see(&reply),
            Ok(Seen { what: Meaning::Acknowledged { of, .. }, .. }) if of.as_deref() == control_id
        );
        let numbered = self.renumbered(&reply).filter(|_| is_fitting);
        match &numbered {
            Some((_, message)) => self.transmit(message),
            None => self.note(notes::BAD_REPLY),
        }
        numbered.is_some()
    }

    pub(super) fn on_commit_failed(&mut self, id: CommitId, reply: Option<Bytes>) {
        let Some(known) = self.receiver.pending.take_if(|known| known.id == id) else {
            return self.note(notes::STRAY_COMMIT);
        };
        self.note(notes::COMMIT_FAILED.at(known.number));
        self.receiver.last_word = self.now;
        let negative = reply.filter(|reply| {
            let is_negative = |seen: &Seen| {
                matches!(
                    seen.what,
                    Meaning::Acknowledged {
                        is_accepted: false,
                        ..
                    }
                )
            };
            see(reply).as_ref().is_ok_and(is_negative)
        });
        if !self.say_reply(known.control_id.as_deref(), negative) {
            self.acknowledge(known.control_id.as_deref(), false);
        }
    }

    /// Its device waits no longer for the answer than the answer takes.
    pub(super) fn on_answer_timeout(&mut self) {
        let Some(query) = self.receiver.query.take() else {
            return;
        };
        self.note(notes::QUERY_UNANSWERED);
        if let Some(control_id) = &query.control_id {
            let written = self.compose(|head| escape_message(head, control_id));
            self.say(written);
        }
    }

    pub(super) fn close_receiver(&mut self) {
        self.receiver.pending = None;
        self.receiver.is_ignoring = false;
        self.forget_topics();
    }
}

fn see(message: &[u8]) -> Result<Seen, Fault> {
    let document = Document::read(message).map_err(|error| error.fault)?;
    let root = document.root().ok_or(Fault::Unended)?;
    // What cannot be read with certainty is stored for its owner to see; the header alone decides
    // what it is acknowledged with.
    let header = header_of(root);
    let what = read_root(root, &mut Vec::new()).map_or(Meaning::Store(What::Other), meaning);
    let what = match (root.name(), what) {
        (b"OBS.R01" | b"OBS.R02" | b"EVS.R01", _) => Meaning::Store(What::Report),
        (_, what) => what,
    };
    Ok(Seen {
        control_id: header.control_id.and_then(text),
        created: header.created.and_then(text),
        what,
    })
}

fn header_of<'m>(root: Element<'_, 'm>) -> Header<'m> {
    let mut header = Header::default();
    let fields = root.children().filter(|child| child.name() == b"HDR");
    for field in fields.flat_map(|header| header.children()) {
        match field.name() {
            b"HDR.control_id" => header.control_id = field.value(),
            b"HDR.creation_dttm" => header.created = field.value(),
            _ => {}
        }
    }
    header
}

fn meaning(message: Message<'_>) -> Meaning {
    match message.body {
        Body::Acknowledgement(ack) => acknowledged(&ack),
        Body::Escape(escape) => Meaning::Escaped {
            of: escape.control_id.and_then(text),
        },
        Body::Status(status) => Meaning::Status {
            wants: wants(&status),
        },
        Body::KeepAlive => Meaning::KeepAlive,
        Body::EndOfTopic(topic) => Meaning::EndOfTopic {
            of: topic.and_then(text),
        },
        Body::End(_) => Meaning::End,
        Body::Hello(_) => Meaning::Store(What::Hello),
        Body::Request(_) => Meaning::Store(What::Query),
        Body::Observations(_) | Body::Events(_) => Meaning::Store(What::Report),
        Body::Directive(_) | Body::Other => Meaning::Store(What::Other),
    }
}

fn acknowledged(ack: &Acknowledgement<'_>) -> Meaning {
    Meaning::Acknowledged {
        of: ack.control_id.and_then(text),
        is_accepted: ack.is_accepted(),
    }
}

/// A device that does not say how many observations are new is asked: it loses nothing by it.
fn wants(status: &Status<'_>) -> Wants {
    let is_any = |count: Value<'_>| count.count() != Some(0);
    Wants {
        observations: status.new_observations.is_none_or(is_any),
        events: status.new_events.is_some_and(is_any),
    }
}

/// Text of a header: echoed whole or not at all.
fn text(value: Value<'_>) -> Option<String> {
    let text = String::from_utf8(value.unescaped().into_owned()).ok()?;
    let is_sound = !text.is_empty()
        && text.len() <= CONTROL_ID_BYTES_MAX
        && !text.chars().any(|c| c.is_control() || c >= '\u{FFFE}');
    is_sound.then_some(text)
}

/// The control id of a message that cannot be read.
fn glimpse(message: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"<HDR.control_id V=\"";
    let at = message
        .windows(FIELD.len())
        .position(|window| window == FIELD)?;
    let value = message.get(at.saturating_add(FIELD.len())..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    let name = [FIELD, value.get(..end)?, b"\"/>"].concat();
    let document = Document::read(&name).ok()?;
    text(document.root()?.value()?)
}
