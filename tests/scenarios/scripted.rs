//! A device that says what a test gives it, one message after another, each again and again until
//! it is acknowledged.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use labwire_protocols::{
    astm::link::{Dialect, Durability, Link},
    bci, beckman_au, dimension,
    mllp::{self, Endpoint},
    poct1a, sysmex_legacy,
    wire::{Commit, CommitId, Machine, Mono, OutId, Outgoing, OutgoingKind, SendOutcome},
};
use labwire_sims::{
    port::{Port, keep},
    runner::{Actions, Device, Verdict, Wire},
};
use tokio::sync::Notify;

/// The wait before a message is sent again, in the time of the device.
const AGAIN: Duration = Duration::from_millis(400);

/// What a device is to say, and what became of it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Script {
    shared: Arc<Mutex<Shared>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: VecDeque<Bytes>,
    acknowledged: usize,
    refusals: Vec<String>,
    heard: Vec<Bytes>,
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says this after everything that waits.
    pub fn say(&self, message: impl Into<Bytes>) {
        self.lock().waiting.push_back(message.into());
        self.wake.notify_one();
    }

    /// How many messages were acknowledged: the first so many, for they go in order.
    pub fn acknowledged(&self) -> usize {
        self.lock().acknowledged
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// The replies that took nothing.
    pub fn refusals(&self) -> Vec<String> {
        self.lock().refusals.clone()
    }

    /// What the host sent by itself.
    pub fn heard(&self) -> Vec<Bytes> {
        self.lock().heard.clone()
    }

    /// Plugs it in as an ASTM instrument; runs until the wire is cancelled.
    pub fn plug_astm(&self, port: Port, mut wire: Wire) {
        wire.wake = Arc::clone(&self.wake);
        let mut speaker = Speaker::new(self.clone());
        tokio::spawn(async move {
            let mut link = Link::new(Dialect {
                durability: Durability::Message,
                ..Dialect::instrument()
            });
            keep(port, &mut link, &mut speaker, &mut wire).await
        });
    }

    /// Plugs it in as a Beckman AU analyzer by the columns of the AU5800; runs until the wire is
    /// cancelled.
    pub fn plug_beckman_au(&self, port: Port, mut wire: Wire) {
        wire.wake = Arc::clone(&self.wake);
        let mut speaker = Speaker::new(self.clone());
        tokio::spawn(async move {
            let mut link = beckman_au::Link::new(beckman_au::Dialect {
                durability: Durability::Message,
                ..beckman_au::Dialect::instrument(beckman_au::Model::Au5800)
            });
            keep(port, &mut link, &mut speaker, &mut wire).await
        });
    }

    /// Plugs it in as a Dimension; runs until the wire is cancelled.
    pub fn plug_dimension(&self, port: Port, mut wire: Wire) {
        wire.wake = Arc::clone(&self.wake);
        let mut speaker = Speaker::new(self.clone());
        tokio::spawn(async move {
            let mut link = dimension::Link::new(dimension::Dialect::instrument());
            keep(port, &mut link, &mut speaker, &mut wire).await
        });
    }

    /// Plugs it in as a POCT1-A device; runs until the wire is cancelled.
    pub fn plug_poct1a(&self, port: Port, wire: Wire) {
        self.plug(port, wire, poct1a::Link::new(poct1a::Dialect::device()));
    }

    /// Plugs it in as a VIDAS; runs until the wire is cancelled.
    pub fn plug_bci(&self, port: Port, wire: Wire) {
        self.plug(port, wire, bci::Link::new(bci::Dialect::instrument()));
    }

    /// Plugs it in as an older Sysmex of class B; runs until the wire is cancelled.
    pub fn plug_sysmex_legacy(&self, port: Port, wire: Wire) {
        let dialect = sysmex_legacy::Dialect::instrument();
        self.plug(port, wire, sysmex_legacy::Link::new(dialect));
    }

    fn plug<M: Machine + 'static>(&self, port: Port, mut wire: Wire, mut machine: M) {
        wire.wake = Arc::clone(&self.wake);
        let mut speaker = Speaker::new(self.clone());
        tokio::spawn(async move { keep(port, &mut machine, &mut speaker, &mut wire).await });
    }

    /// Plugs it in as an HL7 device, or as a host that orders; runs until the wire is cancelled.
    pub fn plug_mllp(&self, port: Port, mut wire: Wire) {
        wire.wake = Arc::clone(&self.wake);
        let mut speaker = Speaker::new(self.clone());
        tokio::spawn(async move {
            let mut endpoint = Endpoint::new(mllp::Config::default());
            keep(port, &mut endpoint, &mut speaker, &mut wire).await
        });
    }
}

/// The device that reads from a script.
#[derive(Debug)]
struct Speaker {
    script: Script,
    is_open: bool,
    under_way: Option<OutId>,
    not_before: Mono,
    outgoing: u64,
}

impl Speaker {
    fn new(script: Script) -> Self {
        Self {
            script,
            is_open: false,
            under_way: None,
            not_before: Mono::default(),
            outgoing: 0,
        }
    }

    fn advance(&mut self, now: Mono, out: &mut Actions) {
        if !self.is_open || self.under_way.is_some() || self.not_before > now {
            return;
        }
        let Some(payload) = self.script.lock().waiting.front().cloned() else {
            return;
        };
        self.outgoing += 1;
        let id = OutId(self.outgoing);
        self.under_way = Some(id);
        let outgoing = Outgoing {
            payload,
            kind: OutgoingKind::Download,
            expires_after: None,
        };
        out.send(id, outgoing);
    }
}

impl Device for Speaker {
    fn on_open(&mut self, now: Mono, out: &mut Actions) {
        self.is_open = true;
        self.advance(now, out);
    }

    fn on_commit(&mut self, _now: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let messages = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        let whole = messages.into_iter().filter(|message| message.is_complete);
        let heard = whole.map(|message| message.bytes);
        self.script.lock().heard.extend(heard);
        out.answer(id, Verdict::Kept(None));
    }

    fn on_finished(&mut self, now: Mono, id: OutId, outcome: SendOutcome, out: &mut Actions) {
        if self.under_way != Some(id) {
            return;
        }
        self.under_way = None;
        let refusal = match outcome {
            SendOutcome::Sent => None,
            SendOutcome::Answered(reply) => refusal(&reply),
            SendOutcome::Failed(_) => Some(String::new()),
        };
        {
            let mut shared = self.script.lock();
            match refusal {
                None => {
                    shared.waiting.pop_front();
                    shared.acknowledged += 1;
                }
                Some(said) => {
                    self.not_before = now.after(AGAIN);
                    if !said.is_empty() {
                        shared.refusals.push(said);
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
        let is_waiting = self.is_open && self.under_way.is_none() && !self.script.is_idle();
        is_waiting.then_some(self.not_before)
    }
}

/// A reply that is no promise.
fn refusal(reply: &[u8]) -> Option<String> {
    let text = String::from_utf8(reply.to_vec()).unwrap_or_default();
    let is_taken = ["\rMSA|AA", "\rMSA|CA"]
        .iter()
        .any(|code| text.contains(code));
    let is_taken = is_taken || text.starts_with("M\u{1c}A\u{1c}");
    let is_taken = is_taken || text.contains("<ACK.type_cd V=\"AA\"/>");
    (!is_taken).then_some(text)
}
