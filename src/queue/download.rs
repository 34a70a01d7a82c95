//! Orders and cancels on their way to a device.

use crate::{
    model::Priority,
    store::{Db, Param, Sql, StoreError},
};

const INSERT: Sql = Sql::same(
    "INSERT INTO queue (destination, kind, specimen, priority, state, attempts, due_at, reason, \
     created_at, closed_by, answer) \
     VALUES ($1, $2, $3, $4, 'waiting', 0, $5, '', $5, '', '') RETURNING id",
);
const ADD_ORDER: Sql = Sql::same(
    "INSERT INTO queue_order (queue, order_item) VALUES ($1, $2) \
     ON CONFLICT (queue, order_item) DO NOTHING",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&INSERT, &ADD_ORDER];

/// Something a device must be told without having asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The device's line.
    pub line: String,
    /// What it is told.
    pub kind: DownloadKind,
    /// The tube it is about.
    pub specimen: i64,
    /// How urgent.
    pub priority: Priority,
    /// The items.
    pub items: Vec<i64>,
}

/// What a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadKind {
    /// Measure these.
    Order,
    /// Do not measure these any more.
    Cancel,
}

impl DownloadKind {
    /// As stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Cancel => "cancel",
        }
    }
}

/// Queues a download; order is kept per tube.
///
/// # Errors
/// The store's.
pub fn enqueue_download(db: &mut dyn Db, download: &Download, now: i64) -> Result<i64, StoreError> {
    let params: [Param; 5] = [
        format!("line:{}", download.line).into(),
        download.kind.code().into(),
        download.specimen.into(),
        download.priority.rank().into(),
        now.into(),
    ];
    let id = db.insert(&INSERT, &params)?;
    for item in &download.items {
        db.exec(&ADD_ORDER, &[id.into(), (*item).into()])?;
    }
    Ok(id)
}
