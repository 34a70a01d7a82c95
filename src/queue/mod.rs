//! The durable queue, both ways: results to hosts, orders and cancels to devices.
//!
//! A row's life is the table [`crate::model::QueueState::on`]. Its body is rendered in the same
//! transaction that leases it for the first time and never changes afterwards, and its control id
//! with it: a second try sends the same bytes under the same id.

mod download;
mod enqueue;
mod lease;
mod list;

pub use self::{
    download::{
        Download, DownloadKind, enqueue_download, set_aside_download, tests_of_row, untried_orders,
    },
    enqueue::{
        News, aside_before, enqueue_apart, enqueue_results, follow_tried, move_open, raise,
        was_tried, withdraw_result,
    },
    lease::{
        Backoff, Due, LeaseTerms, Leased, Pending, Render, Rendered, Verdict, bring_forward,
        devices_due, due, lease, reclaim, renew, settle_attempt, settle_attempts, void_all_leases,
        void_leases,
    },
    list::{QueueRow, discard, find, list, retry, summary},
};

#[cfg(test)]
use crate::store::Sql;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static Sql> {
    [download::ALL, enqueue::ALL, lease::ALL, list::ALL].concat()
}
