//! Who stands in front of an instrument: tubes go in, the log is read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Nature;
use crate::persona::{Persona, Shape};

/// A tube put into the instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tube {
    /// The barcode, or the id of a control.
    pub specimen: String,
    /// Exactly these codes; without them the host is asked, or the default panel measured.
    pub tests: Option<Vec<String>>,
    /// Whether it holds control material.
    pub is_control: bool,
}

impl Tube {
    /// A patient's tube, of which the instrument knows the barcode alone.
    pub fn patient(specimen: impl Into<String>) -> Self {
        Self {
            specimen: specimen.into(),
            tests: None,
            is_control: false,
        }
    }

    /// Control material under the id that the persona's controls have.
    pub fn control(persona: &Persona) -> Self {
        let id = match persona.shape {
            Shape::Astm(shape) => shape.control.id,
            Shape::Hl7(shape) => shape.control_id,
            Shape::Own(shape) => shape.control_id,
        };
        Self {
            specimen: id.to_owned(),
            tests: None,
            is_control: true,
        }
    }
}

/// One order as the instrument understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The barcode.
    pub specimen: String,
    /// The codes, in the order received.
    pub tests: Vec<String>,
    /// What to do.
    pub action: OrderAction,
}

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// Measure these.
    Measure,
    /// Do not measure these any more.
    Cancel,
    /// The host has no order for this specimen.
    Unknown,
}

/// One result as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Counts the messages of this instrument from 1; a message sent again keeps its number.
    pub message: u64,
    /// The barcode, or the id of a control.
    pub specimen: String,
    /// The instrument's code.
    pub code: String,
    /// The laboratory's test.
    pub test: String,
    /// The value as sent.
    pub text: String,
    /// The unit as sent.
    pub unit: String,
    /// What kind of result it is.
    pub nature: Nature,
    /// Whether the host had ordered this code on this specimen when it was measured.
    pub is_ordered: bool,
}

/// What the instrument writes down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Every result that began to travel, once a message.
    pub sent: Vec<Sent>,
    /// Of those, what the host acknowledged: its promise.
    pub acknowledged: Vec<Sent>,
    /// What the host ordered, in the order received.
    pub orders: Vec<Ordered>,
    /// Queries sent.
    pub queries: u64,
    /// Queries that nobody answered in time.
    pub unanswered: u64,
    /// Messages of results begun, not counting repetitions.
    pub messages: u64,
    /// Messages sent again because they were not acknowledged.
    pub repeated: u64,
    /// Messages that the host refused in its protocol.
    pub refused: u64,
    /// Tubes let pass because the host had no order.
    pub skipped: u64,
    /// Connections.
    pub connections: u64,
    /// What the protocol machine noticed, by code.
    pub notes: BTreeMap<&'static str, u64>,
}

/// Loads tubes into a running instrument and reads its log.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    shared: Arc<Mutex<Shared>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shared {
    tubes: VecDeque<Tube>,
    is_busy: bool,
    log: Log,
}

impl Operator {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next tube, and marks the instrument busy under the same lock, so that nobody sees
    /// the tube gone and the bench idle.
    pub(super) fn take(&self) -> Option<Tube> {
        let mut shared = self.lock();
        let tube = shared.tubes.pop_front();
        shared.is_busy = tube.is_some();
        tube
    }

    pub(super) fn set_busy(&self, is_busy: bool) {
        self.lock().is_busy = is_busy;
    }

    pub(super) fn write(&self, write: impl FnOnce(&mut Log)) {
        write(&mut self.lock().log);
    }

    /// Puts a tube in; it is measured when its turn comes.
    pub fn load(&self, tube: Tube) {
        self.lock().tubes.push_back(tube);
        self.wake.notify_one();
    }

    /// A copy of the log.
    pub fn log(&self) -> Log {
        self.lock().log.clone()
    }

    /// Looks at the log without copying it.
    pub fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.lock().log)
    }

    /// Whether every tube is measured, and every result acknowledged.
    pub fn is_idle(&self) -> bool {
        let shared = self.lock();
        shared.tubes.is_empty() && !shared.is_busy
    }

    /// What wakes the instrument; the runner waits for it.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}
