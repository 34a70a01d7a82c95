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
    /// `all` for what lines and hosts did, too.
    #[serde(default)]
    pub(super) who: String,
}

impl Asked {
    pub(super) async fn rows(&self, app: &App) -> Result<Vec<look::AuditRow>, Fault> {
        let before = self.before.unwrap_or(i64::MAX);
        let which = match (self.subject.trim(), self.who.as_str()) {
            ("", "all") => look::Rows::All,
            ("", _) => look::Rows::People,
            (subject, _) => look::Rows::Of(subject.to_owned()),
        };
        let rows = app
            .read(move |db| look::audit(db, &which, before, ROWS_MAX))
            .await?;
        Ok(rows)
    }

    /// The same rows of the page after this one.
    fn next(&self, before: i64) -> String {
        let (who, subject) = (encoded(&self.who), encoded(&self.subject));
        format!("/audit?before={before}&who={who}&subject={subject}")
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
        nav.tabs aria-label=(words.t("place.audit")) {
            a href="/audit" aria-current=[(asked.who.is_empty() && asked.subject.is_empty()).then_some("true")] { (words.t("audit.people")) }
            a href="/audit?who=all" aria-current=[(asked.who == "all").then_some("true")] { (words.t("audit.all")) }
        }
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
                td { (row.action) }
                td { a.code href={ "/audit?subject=" (encoded(&row.subject)) } { (row.subject) } }
                td.machine { (row.detail) }
            } } }
        } } }
        @if let Some(last) = next {
            p { a.button href=(asked.next(last.id)) { (words.t("queue.next")) } }
        }
    };
    Ok(Page::new(&app, &who, Place::Audit, words.t("place.audit")).show(&content))
}
