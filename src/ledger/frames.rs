//! Frames whose message never came to its end.

use crate::store::{Db, Sql, StoreError};

use super::{Page, entry::Finding};

const LEFT: Sql = Sql::same(
    "SELECT line, count(*), max(received_at) FROM frame GROUP BY line, connection, session \
     HAVING max(received_at) < $1 ORDER BY line, max(received_at) LIMIT 1000",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&LEFT];

/// A device may rest this long between two frames of a message; LIS01-A2 gives it 30 s, and a slow
/// disk and a busy device are added.
const REST_MAX: i64 = 10 * 60 * 1_000_000;

pub(super) fn page(db: &mut dyn Db, now: i64) -> Result<Page, StoreError> {
    let mut page = Page::default();
    for row in db.rows(&LEFT, &[now.saturating_sub(REST_MAX).into()])? {
        let what = format!(
            "{} frames of a message that never ended are left over; the next start joins them",
            row.count(1)?
        );
        let subject = format!("line {}", row.text(0)?);
        page.findings.push(Finding::new("LEDG-0401", subject, what));
    }
    Ok(page)
}
