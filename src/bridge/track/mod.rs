//! An automation line at work: what it tells is journalled before it is acknowledged, and read by the
//! line's [`keeper`], a task that keeps the line's books, writes rows, and tells the line where each
//! tube goes.
//!
//! A line has a keeper of its own and no parser worker: events move the books in the order of their
//! arrival, and the books are one value. What was told stands in the journal until its rows are stored,
//! in one transaction with what was found and advised because of it; after an error of the store, and
//! at a start, the books are built again from the rows.

mod books;
mod command;
mod keeper;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{CommitFailure, CommitResult, Connection, LineEvent, Upstream};
use labwire_protocols::{
    hl7::ack::Outcome,
    mllp,
    wire::{Commit, CommitId, OutId, SendOutcome},
};
use tokio::sync::{Notify, mpsc};

use crate::{
    host,
    store::{JournalEntry, Store},
    tubes::site::TrackSite,
};

use super::{device::Ids, site::Site};

pub use self::keeper::LineBooks;
pub(super) use self::keeper::{Keeper, Parts};

/// What a keeper hears from its line, besides messages, which stand in the journal.
#[derive(Debug)]
pub(super) enum News {
    /// The last word about a command.
    Sent(OutId, SendOutcome),
    /// The line is there.
    Connected,
}

/// The owner of an automation line's port.
pub(super) struct TrackLine {
    pub(super) track: Arc<TrackSite>,
    pub(super) site: Arc<Site>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    /// Something stands in the journal, or may.
    pub(super) journalled: Arc<Notify>,
    pub(super) news: mpsc::UnboundedSender<News>,
}

impl Upstream for TrackLine {
    fn commit(
        &self,
        connection: &Connection,
        _id: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        let at = self.clock.utc_micros();
        let entry = JournalEntry {
            line: self.track.id.clone(),
            connection: self.ids.connection(&self.track.id, connection.number),
            at,
            commit: commit.clone(),
        };
        let (store, journalled) = (self.store.clone(), Arc::clone(&self.journalled));
        let (line, reply_id) = (self.track.id.clone(), self.ids.reply());
        let time = self.site.laboratory.hl7_time(at);
        async move {
            // A frame of ASTM is acknowledged by the link, and needs no reply of ours.
            let raw = match &commit {
                Commit::Message(received) => received.bytes.as_ref(),
                Commit::Frame { .. } => b"",
            };
            let reply = |outcome| {
                let replies = host::device_ack(raw, outcome, &reply_id, &time);
                (!replies.is_empty()).then(|| mllp::join_replies(&replies))
            };
            match store.journal(entry).await {
                Ok(_) => {
                    journalled.notify_one();
                    Ok(reply(Outcome::Accepted))
                }
                Err(error) => {
                    tracing::error!(line, %error, "not stored, so not acknowledged");
                    // It may stand there all the same: the keeper looks.
                    journalled.notify_one();
                    Err(CommitFailure {
                        reply: reply(Outcome::NotStored),
                    })
                }
            }
        }
        .boxed()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a keeper needs no other news"
    )]
    fn on_event(&self, event: LineEvent) {
        let news = match event {
            LineEvent::Finished(id, outcome) => News::Sent(id, outcome),
            LineEvent::Connected(_) => News::Connected,
            _ => return,
        };
        // The keeper ends after its line; then nothing is left to be told.
        drop(self.news.send(news));
    }
}
