//! Queue rows that contradict themselves.

use labwire_protocols::hl7::header::peek;

use crate::{
    model::QueueState,
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{PAGE, Page, Span, entry::Finding};

const ROWS: Sql = Sql::same(
    "SELECT q.id, q.destination, q.kind, q.state, q.control_id, \
     CASE WHEN q.body IS NULL THEN 0 ELSE 1 END, substr(q.body, 1, 2048), q.answer, q.closed_by, \
     q.reason, (SELECT count(*) FROM result l WHERE l.queue = q.id) \
     + (SELECT count(*) FROM queue_result l WHERE l.queue = q.id) \
     + (SELECT count(*) FROM queue_image l WHERE l.queue = q.id) \
     FROM queue q WHERE q.id > $1 AND q.id <= $2 ORDER BY q.id LIMIT $3",
);
const TWICE: Sql = Sql::same(
    "SELECT a.id, b.id FROM queue a JOIN queue b ON b.control_id = a.control_id AND b.id < a.id \
     WHERE a.id > $1 AND a.id <= $2 ORDER BY a.id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&ROWS, &TWICE];

pub(super) fn page(db: &mut dyn Db, span: &mut Span) -> Result<Option<Page>, StoreError> {
    let rows = db.rows(&ROWS, &[span.after.into(), span.last.into(), PAGE.into()])?;
    let Some(last) = rows.last() else {
        span.after = span.last;
        return Ok(None);
    };
    let range: [Param; 2] = [span.after.into(), last.int(0)?.into()];
    span.after = last.int(0)?;
    let mut page = Page::default();
    for row in &rows {
        check(row, &mut page.findings)?;
    }
    for row in db.rows(&TWICE, &range)? {
        let what = format!("queue {} has the same control id", row.int(1)?);
        page.findings
            .push(Finding::new("LEDG-0303", subject(row.int(0)?), what));
    }
    Ok(Some(page))
}

fn subject(id: i64) -> String {
    format!("queue {id}")
}

fn check(row: &Row, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let id = row.int(0)?;
    let mut say = |code, what: &str| findings.push(Finding::new(code, subject(id), what));
    let to_host = row.text(1)?.starts_with("host:");
    let has_body = row.bool(5)?;
    match QueueState::from_code(row.text(3)?) {
        None => say("LEDG-0308", "it stands in an unknown state"),
        Some(QueueState::Delivered) => {
            if to_host && row.text(7)?.is_empty() {
                say(
                    "LEDG-0301",
                    "it is delivered, and the host's answer is not kept",
                );
            }
            if !has_body {
                say(
                    "LEDG-0302",
                    "it is delivered, and what was sent is not kept",
                );
            }
        }
        Some(QueueState::Discarded) if row.text(8)?.is_empty() || row.text(9)?.is_empty() => {
            say(
                "LEDG-0305",
                "it was discarded without a name or without a reason",
            );
        }
        Some(QueueState::SetAside) if row.text(9)?.is_empty() => {
            say("LEDG-0306", "it is set aside, and nothing says why");
        }
        Some(_) => {}
    }
    if has_body != row.opt_text(4)?.is_some() {
        say(
            "LEDG-0309",
            "it has a control id without a message, or a message without one",
        );
    }
    let is_superseded = row.text(3)? == QueueState::Superseded.code();
    if row.text(2)? == "result" && row.int(10)? == 0 && !is_superseded {
        say("LEDG-0307", "it is to carry results, and has none");
    }
    let sent = row
        .opt_blob(6)?
        .and_then(peek)
        .map(|header| header.control_id);
    if let (true, Some(sent), Some(kept)) = (to_host, sent, row.opt_text(4)?)
        && sent != kept.as_bytes()
    {
        say(
            "LEDG-0304",
            "the message that was sent bears another control id",
        );
    }
    Ok(())
}
