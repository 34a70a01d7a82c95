//! The line on which a host sends orders: each message applied and answered in one transaction.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{CommitFailure, CommitResult, Connection, LineEvent, Upstream, crash};
use labwire_protocols::{
    hl7::ack::Outcome,
    mllp,
    wire::{Commit, CommitId},
};

use crate::{
    book,
    host::{self, HostSite, Inbound},
    queue::{self, Download, DownloadKind},
    settle::{self, SettleContext},
    store::{Db, JournalEntry, Store, StoreError, Turn},
    tubes::receipt,
};

use super::{device::Ids, news::News, site::Site};

/// The owner of a host's order line.
#[derive(Clone)]
pub(super) struct HostLine {
    pub(super) host: Arc<HostSite>,
    pub(super) site: Arc<Site>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn labwire_drivers::Clock>,
    pub(super) ids: Arc<Ids>,
    /// Results and downloads: orders let results go on, and devices may have to be told.
    pub(super) changed: [Arc<News>; 2],
}

impl Upstream for HostLine {
    fn commit(
        &self,
        connection: &Connection,
        _id: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        let line = format!("host:{}", self.host.id);
        let inbound = Inbound {
            entry: JournalEntry {
                connection: self.ids.connection(&line, connection.number),
                line,
                at: self.clock.utc_micros(),
                commit: commit.clone(),
            },
            reply_id: self.ids.reply(),
        };
        let (host, site) = (Arc::clone(&self.host), Arc::clone(&self.site));
        let (store, changed) = (self.store.clone(), self.changed.clone());
        async move {
            let reply_id = inbound.reply_id.clone();
            let at = inbound.entry.at;
            let id = host.id.clone();
            let work = {
                let host = Arc::clone(&host);
                let site = Arc::clone(&site);
                move |db: &mut dyn Db| {
                    let heard = hear(db, &host, &site, &inbound);
                    crash::point("heard");
                    heard
                }
            };
            match store.transact(Turn::Reply, work).await {
                Ok(heard) => {
                    tracing::info!(host = id, summary = heard.summary, "host message applied");
                    changed.iter().for_each(|news| news.notify_waiters());
                    let replies = &heard.replies;
                    Ok((!replies.is_empty()).then(|| mllp::join_replies(replies)))
                }
                Err(error) => {
                    tracing::error!(host = id, %error, "a host's message was not stored");
                    let Commit::Message(received) = &commit else {
                        return Err(CommitFailure::default());
                    };
                    let time = host.laboratory.hl7_time(at);
                    let raw = &received.bytes;
                    let replies = host::device_ack(raw, Outcome::NotStored, &reply_id, &time);
                    let reply = (!replies.is_empty()).then(|| mllp::join_replies(&replies));
                    Err(CommitFailure { reply })
                }
            }
        }
        .boxed()
    }

    /// The line has logged and counted it; a host that orders gets nothing by itself.
    fn on_event(&self, _event: LineEvent) {}
}

/// Applies a host's message, lets waiting results go on, and queues what devices must be told.
pub(super) fn hear(
    db: &mut dyn Db,
    host: &HostSite,
    site: &Site,
    inbound: &Inbound,
) -> Result<host::Heard, StoreError> {
    let heard = host::hear(db, host, inbound)?;
    follow_up(db, site, &heard, inbound.entry.at)?;
    Ok(heard)
}

/// After orders changed, or patients became one.
pub(super) fn follow_up(
    db: &mut dyn Db,
    site: &Site,
    heard: &host::Heard,
    now: i64,
) -> Result<(), StoreError> {
    let context = SettleContext {
        message: 0,
        line: "",
        received_at: now,
        now,
        specimen_age_max: site.laboratory.specimen_age_max,
        digest_input: b"",
        site,
    };
    for barcode in &heard.merged {
        settle::resume_merged(db, &context, barcode)?;
    }
    for barcode in &heard.barcodes {
        receipt::on_order(db, barcode, now - site.laboratory.specimen_age_max)?;
        settle::resume(db, &context, barcode)?;
        broadcast(db, site, barcode, now)?;
    }
    Ok(())
}

/// After people changed what is ordered on a barcode: what waits goes on, and devices are told.
///
/// # Errors
/// The store's.
pub fn follow_up_by_hand(
    db: &mut dyn Db,
    site: &Site,
    barcode: &str,
    now: i64,
) -> Result<(), StoreError> {
    let heard = host::Heard {
        merged: vec![barcode.to_owned()],
        barcodes: vec![barcode.to_owned()],
        ..host::Heard::default()
    };
    follow_up(db, site, &heard, now)
}

/// Orders for devices that are told instead of asking.
fn broadcast(db: &mut dyn Db, site: &Site, barcode: &str, now: i64) -> Result<(), StoreError> {
    let since = now - site.laboratory.specimen_age_max;
    let mut lines = site.lines.values().filter(|line| line.is_told).peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let waiting = book::waiting(db, barcode, since)?;
    for line in lines {
        let measures = |test: &str| !line.profile.codes_of(test).is_empty();
        let Some((specimen, items)) = waiting.for_device(&measures) else {
            continue;
        };
        let told = book::told_tests(db, &line.id, &items)?;
        let fresh = items.iter().filter_map(|item| {
            let known = told.get(&item.id).map_or(&[][..], Vec::as_slice);
            let tests: Vec<String> = item
                .tests
                .iter()
                .filter(|test| !known.contains(test))
                .cloned()
                .collect();
            (!tests.is_empty()).then_some((item, tests))
        });
        let fresh: Vec<_> = fresh.collect();
        if fresh.is_empty() {
            continue;
        }
        let download = Download {
            line: line.id.clone(),
            kind: DownloadKind::Order,
            specimen: specimen.id,
            priority: fresh
                .iter()
                .map(|(item, _)| item.priority)
                .min()
                .unwrap_or_default(),
            items: fresh
                .into_iter()
                .map(|(item, tests)| (item.id, tests))
                .collect(),
        };
        queue::enqueue_download(db, &download, now)?;
        book::note_told(db, &line.id, &download.items, now)?;
    }
    Ok(())
}
