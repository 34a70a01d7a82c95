//! Results that belong to no message.

use crate::store::{Db, Param, Sql, StoreError};

use super::{Page, Span, entry::Finding};

const ORPHANS: Sql = Sql::same(
    "SELECT r.id, r.message FROM result r WHERE r.id > $1 AND r.id <= $2 \
     AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = r.message) ORDER BY r.id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&ORPHANS];

/// Ids looked at in one step: only those that are wrong come back.
const STEP: i64 = 10_000;

pub(super) fn page(db: &mut dyn Db, span: &mut Span) -> Result<Option<Page>, StoreError> {
    if span.after >= span.last {
        return Ok(None);
    }
    let until = span.after.saturating_add(STEP).min(span.last);
    let range: [Param; 2] = [span.after.into(), until.into()];
    span.after = until;
    let mut page = Page::default();
    for row in db.rows(&ORPHANS, &range)? {
        let what = format!("message {}, which it came in, is not there", row.int(1)?);
        let subject = format!("result {}", row.int(0)?);
        page.findings.push(Finding::new("LEDG-0205", subject, what));
    }
    Ok(Some(page))
}
