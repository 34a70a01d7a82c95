//! The HIS's order port: every message goes out until it is acknowledged, under the same id.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_protocols::wire::{Commit, CommitId, Mono, OutId, Outgoing, OutgoingKind, SendOutcome};
use tokio::sync::Notify;

use super::order::Written;
use crate::{
    runner::{Actions, Device, Verdict},
    text::{component, field, is_named, segment, segments},
};

/// First wait before an unacknowledged message is sent again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait before an unacknowledged message is sent again.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The orders of one HIS, waiting and answered.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    shared: Arc<Mutex<Shared>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: VecDeque<Waiting>,
    answers: BTreeMap<String, Answer>,
    sends: u64,
}

#[derive(Debug)]
struct Waiting {
    written: Written,
    not_before: Mono,
    wait: Duration,
    under_way: Option<OutId>,
}

/// What became of a message of the HIS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// MSA-1.
    pub code: String,
    /// ORC-1 of the reply, in order: `OK`, `UA`, `CR` and so on; empty for a plain ACK.
    pub controls: Vec<String>,
    /// The whole reply.
    pub text: String,
}

impl Answer {
    /// Whether the message was taken.
    pub fn is_accepted(&self) -> bool {
        matches!(self.code.as_str(), "AA" | "CA")
    }

    /// Whether sending it again may help: CE, and AE or AR with an internal error or a lock.
    fn is_passing(&self) -> bool {
        let errors = segments(&self.text).filter(|segment| is_named(segment, "ERR"));
        let mut codes =
            errors.flat_map(|err| [component(field(err, 3), 1), component(field(err, 1), 4)]);
        self.code == "CE" || codes.any(|code| matches!(code, "206" | "207"))
    }
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message at the end of the queue.
    pub fn push(&self, written: Written) {
        self.lock().waiting.push_back(Waiting {
            written,
            not_before: Mono::default(),
            wait: RETRY_MIN,
            under_way: None,
        });
        self.wake.notify_one();
    }

    /// How many are not answered yet.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What became of the message with this control id.
    pub fn answer(&self, control: &str) -> Option<Answer> {
        self.lock().answers.get(control).cloned()
    }

    /// How many were taken.
    pub fn accepted(&self) -> usize {
        self.lock()
            .answers
            .values()
            .filter(|answer| answer.is_accepted())
            .count()
    }

    /// The control ids that were refused for good.
    pub fn refused(&self) -> Vec<String> {
        let shared = self.lock();
        let refused = shared
            .answers
            .iter()
            .filter(|(_, answer)| !answer.is_accepted());
        refused.map(|(control, _)| control.clone()).collect()
    }

    /// How often a message was handed to the wire, repetitions included.
    pub fn sends(&self) -> u64 {
        self.lock().sends
    }

    /// What wakes the sender; the runner waits for it.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

/// The connection over which orders go.
#[derive(Debug)]
pub struct Placer {
    orders: Orders,
    is_open: bool,
    stops_when_idle: bool,
    outgoing: u64,
}

impl Placer {
    /// A sender of these orders. One that stops when idle ends once all are answered.
    pub fn new(orders: Orders, stops_when_idle: bool) -> Self {
        Self {
            orders,
            is_open: false,
            stops_when_idle,
            outgoing: 0,
        }
    }

    /// Hands the next message to the machine; one at a time, for the order among them matters.
    fn advance(&mut self, now: Mono, out: &mut Actions) {
        if !self.is_open {
            return;
        }
        let mut shared = self.orders.lock();
        let Some(next) = shared.waiting.front_mut() else {
            return;
        };
        if next.under_way.is_some() || next.not_before > now {
            return;
        }
        self.outgoing = self.outgoing.saturating_add(1);
        let id = OutId(self.outgoing);
        next.under_way = Some(id);
        let payload = next.written.bytes.clone();
        shared.sends = shared.sends.saturating_add(1);
        let outgoing = Outgoing {
            payload,
            kind: OutgoingKind::Download,
            expires_after: None,
        };
        out.send(id, outgoing);
    }
}

impl Device for Placer {
    fn on_open(&mut self, now: Mono, out: &mut Actions) {
        self.is_open = true;
        self.advance(now, out);
    }

    fn on_commit(&mut self, _: Mono, id: CommitId, _: Commit, out: &mut Actions) {
        // Nothing but replies is expected here.
        out.answer(id, Verdict::Kept(None));
    }

    fn on_finished(&mut self, now: Mono, id: OutId, outcome: SendOutcome, out: &mut Actions) {
        {
            let mut shared = self.orders.lock();
            let is_ours = shared
                .waiting
                .front()
                .is_some_and(|front| front.under_way == Some(id));
            if is_ours && let Some(mut front) = shared.waiting.pop_front() {
                match read_answer(&outcome).filter(|answer| !answer.is_passing()) {
                    Some(answer) => {
                        shared.answers.insert(front.written.control_id, answer);
                    }
                    None => {
                        front.under_way = None;
                        front.not_before = now.after(front.wait);
                        front.wait = front.wait.saturating_mul(2).min(RETRY_MAX);
                        shared.waiting.push_front(front);
                    }
                }
            }
        }
        self.advance(now, out);
    }

    fn on_wake(&mut self, now: Mono, out: &mut Actions) {
        self.advance(now, out);
    }

    fn on_close(&mut self, _now: Mono) {
        self.is_open = false;
    }

    fn deadline(&self) -> Option<Mono> {
        let shared = self.orders.lock();
        let front = shared.waiting.front()?;
        (self.is_open && front.under_way.is_none()).then_some(front.not_before)
    }

    fn is_done(&self) -> bool {
        self.stops_when_idle && self.orders.waiting() == 0
    }
}

/// The answer in a reply; `None` where there is none.
fn read_answer(outcome: &SendOutcome) -> Option<Answer> {
    let SendOutcome::Answered(reply) = outcome else {
        return None;
    };
    let text = std::str::from_utf8(reply).ok()?;
    let code = field(segment(text, "MSA")?, 1).to_owned();
    let orcs = segments(text).filter(|segment| is_named(segment, "ORC"));
    Some(Answer {
        code,
        controls: orcs.map(|orc| field(orc, 1).to_owned()).collect(),
        text: text.to_owned(),
    })
}
