//! The readers: a few threads, each with its own connection, each read one consistent moment.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crossbeam_channel::Receiver;

use super::{
    error::StoreError,
    job::{Ticket, Work},
    session::{Access, Backend, Session},
};

/// A reader's thread, as a value.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) queue: Receiver<Ticket>,
    /// Its sender ends when the store does.
    pub(super) stop: Receiver<()>,
}

impl Reader {
    /// Serves until the store ends.
    pub(super) fn run(self) {
        let mut session = None;
        while let Some(ticket) = self.wait() {
            self.serve_unless_panicking(ticket.work, &mut session);
        }
        while let Ok(ticket) = self.queue.try_recv() {
            self.serve_unless_panicking(ticket.work, &mut session);
        }
    }

    /// One round of [`Reader::run`], if there is work.
    #[cfg(test)]
    pub(super) fn step(&self, session: &mut Option<Box<dyn Session>>) -> bool {
        let ticket = self.queue.try_recv();
        let has_work = ticket.is_ok();
        if let Ok(ticket) = ticket {
            self.serve_unless_panicking(ticket.work, session);
        }
        has_work
    }

    fn wait(&self) -> Option<Ticket> {
        crossbeam_channel::select! {
            recv(self.queue) -> ticket => ticket.ok(),
            recv(self.stop) -> _ => None,
        }
    }

    /// As in the writer: a panic outside the work itself costs this read alone.
    fn serve_unless_panicking(&self, work: Work, slot: &mut Option<Box<dyn Session>>) {
        if catch_unwind(AssertUnwindSafe(|| self.serve(work, slot))).is_err() {
            tracing::error!("a read panicked; its connection is opened again");
            *slot = None;
        }
    }

    fn serve(&self, work: Work, slot: &mut Option<Box<dyn Session>>) {
        let Work::Job(mut job) = work else { return };
        let outcome = self.begin(slot).and_then(|session| {
            let outcome = job.run(session);
            session.failure().map_or(outcome, Err)
        });
        let is_out = slot
            .as_mut()
            .is_some_and(|session| session.rollback().is_ok());
        if !is_out {
            *slot = None;
        }
        job.settle(outcome);
    }

    fn begin<'s>(
        &self,
        slot: &'s mut Option<Box<dyn Session>>,
    ) -> Result<&'s mut dyn Session, StoreError> {
        let session = match slot {
            Some(session) => session,
            None => slot.insert(self.backend.connect(Access::Read)?),
        };
        match session.begin() {
            // The connection broke while nothing was asked.
            Err(StoreError::ServerLost { .. }) => {
                *session = self.backend.connect(Access::Read)?;
                session.begin()?;
            }
            outcome => outcome?,
        }
        Ok(session.as_mut())
    }
}
