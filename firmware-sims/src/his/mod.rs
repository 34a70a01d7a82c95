//! A simulated hospital information system.
//!
//! It sends orders over MLLP until they are acknowledged ([`Orders`]), takes results and answers
//! them by [`policy`], and keeps a [`Ledger`] that can say whether everything came, once, to the
//! right patient. [`http`] is the same with HTTP in the place of MLLP.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use labwire_protocols::mllp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    port::{Port, keep},
    runner::{Wire, session},
};

pub mod http;

mod ledger;
mod order;
mod placer;
mod policy;
mod receiver;

pub use self::{
    ledger::{Discrepancy, Expected, Ledger, Message, Observation},
    order::{Control, Item, Patient, Request, Version, Writer, Written},
    placer::{Answer, Orders, Placer},
    policy::{Answering, Policy, Refusal},
    receiver::Receiver,
};

/// What all connections of one HIS share: the ledger, the policy, the time.
#[derive(Clone, Debug)]
pub struct Book {
    shared: Arc<Mutex<Shared>>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    answering: Answering,
    acks: u64,
}

impl Book {
    /// An empty book.
    pub fn new(answering: Answering, clock: Clock) -> Self {
        let shared = Shared {
            ledger: Ledger::default(),
            answering,
            acks: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks into the ledger, or writes into it.
    pub fn with_ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.lock().ledger)
    }

    /// From now on it answers in this way.
    pub fn set_answering(&self, answering: Answering) {
        self.lock().answering = answering;
    }

    /// Compares the ledger with what was to come.
    pub fn verify(&self, expected: &[Expected]) -> Vec<Discrepancy> {
        self.lock().ledger.verify(expected)
    }

    fn policy(&self, control: &str, text: &str, times: u32) -> Policy {
        self.lock().answering.policy(control, text, times)
    }

    fn is_enhanced(&self) -> bool {
        self.lock().answering.is_enhanced
    }

    fn next_ack(&self) -> u64 {
        let mut shared = self.lock();
        shared.acks = shared.acks.saturating_add(1);
        shared.acks
    }

    /// The wall clock of the HIS, `YYYYMMDDHHMMSS`.
    pub fn stamp(&self) -> String {
        self.clock.stamp()
    }
}

/// Takes results on `listener`, any number of connections at a time, until cancelled.
///
/// # Errors
/// If accepting fails.
pub async fn serve_results(
    listener: TcpListener,
    book: Book,
    cancel: CancellationToken,
) -> io::Result<()> {
    loop {
        let (stream, _) = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(book.clock);
        wire.cancel = cancel.clone();
        let mut receiver = Receiver::new(book.clone());
        tokio::spawn(async move {
            let mut machine = mllp::Endpoint::new(mllp::Config::default());
            session(stream, &mut machine, &mut receiver, &mut wire).await;
        });
    }
}

/// Sends orders over `port` until cancelled, or until all are answered where it stops when idle.
///
/// # Errors
/// If the port fails for good.
pub async fn place_orders(
    port: Port,
    orders: &Orders,
    stops_when_idle: bool,
    wire: &mut Wire,
) -> io::Result<()> {
    wire.wake = orders.wake();
    let mut placer = Placer::new(orders.clone(), stops_when_idle);
    let mut machine = mllp::Endpoint::new(mllp::Config::default());
    keep(port, &mut machine, &mut placer, wire).await
}

#[cfg(test)]
mod tests;
