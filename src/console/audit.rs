//! The audit: who did what, when, to what.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    response::Response,
};
use maud::html;
use serde::Deserialize;

use crate::people::Role;

use super::{
    App,
    fault::Fault,
    gate::Who,
    look,
    page::{Page, Place, empty, encoded, when},
};

/// Rows of a page.
pub(super) const ROWS_MAX: i64 = 200;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) before: Option<i64>,
    #[serde(default)]
    pub(super) subject: String,
}

impl Asked {
    pub(super) async fn rows(&self, app: &App) -> Result<Vec<look::AuditRow>, Fault> {
        let (before, subject) = (self.before.unwrap_or(i64::MAX), self.subject.clone());
        let rows = app
            .read(move |db| look::audit(db, before, subject.trim(), ROWS_MAX))
            .await?;
        Ok(rows)
    }
}

/// `GET /audit`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    // What colleagues read and did is for those who answer for them.
    who.needs(Role::Verifier)?;
    let words = who.words();
    let rows = asked.rows(&app).await?;
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    let next = rows
        .last()
        .filter(|_| rows.len() >= usize::try_from(ROWS_MAX).unwrap_or(0));
    let content = html! {
        form.find action="/audit" {
            label for="subject" { (words.t("audit.subject")) }
            input id="subject" name="subject" type="search" value=(asked.subject) maxlength="120" placeholder="result:12";
            button type="submit" { (words.t("specimens.find")) }
        }
        @if rows.is_empty() { (empty(&words.t("audit.none"))) }
        @else { div.wide { table {
            thead { tr { @for key in ["time", "actor", "action", "subject", "detail"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for row in &rows { tr {
                td { (when(row.at, zone, now)) }
                th scope="row" { (row.actor) }
                td.code { (row.action) }
                td { a.code href={ "/audit?subject=" (encoded(&row.subject)) } { (row.subject) } }
                td { (row.detail) }
            } } }
        } } }
        @if let Some(last) = next {
            p { a.button href={ "/audit?before=" (last.id) "&subject=" (encoded(&asked.subject)) } { (words.t("queue.next")) } }
        }
    };
    Ok(Page::new(&app, &who, Place::Audit, words.t("place.audit")).show(&content))
}
