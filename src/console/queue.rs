//! Hosts and queue: what waits, why, since when; and whether every message is accounted for.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    model::{QueueEvent, QueueState},
    people::Role,
    queue::{self, QueueRow},
    text,
};

use super::{
    App,
    fault::Fault,
    gate::{Posted, Who},
    held, ledger,
    live::Moment,
    page::{Page, Place, Tone, empty, of_tube, since, state, token, when},
    words::Words,
    work::{self, note_reading},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/queue", get(show))
        .route("/queue/ledger", get(ledger::show))
        .route("/queue/{id}", get(one))
        .route("/queue/{id}/retry", post(retry))
        .route("/queue/{id}/discard", post(discard))
}

/// States that somebody may want to look at, the most pressing first.
pub(super) const STATES: [QueueState; 3] = [
    QueueState::SetAside,
    QueueState::Waiting,
    QueueState::Leased,
];

/// Rows of a page.
pub(super) const ROWS_MAX: i64 = 100;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) after: i64,
}

/// Messages that a person has to decide about.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let aside = moment.counts.set_aside();
    html! {
        @if aside > 0 {
            span.badge.act { (words.count(aside)) span.unseen { " " (words.t("work.refused")) } }
        }
    }
}

/// Each destination with what is open, live.
pub(super) fn board(words: Words, app: &App, moment: &Moment) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    html! {
        @if moment.counts.queue.is_empty() { (empty(&words.t("queue.nothing"))) }
        @else {
            div.wide { table {
                thead { tr { @for key in ["destination", "state", "count", "since"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for open in &moment.counts.queue {
                    @let known = QueueState::from_code(&open.state);
                    tr {
                        th scope="row" { (destination(words, &open.destination)) }
                        td { @if let Some(known) = known {
                            (state(tone(known), &text::queue_state(words.0, known)))
                        } }
                        td { a href={ "/queue?state=" (open.state) } { (words.count(open.count)) } }
                        td { (since(open.oldest_at, zone, moment.now)) }
                    }
                } }
            } }
        }
    }
}

const fn tone(state: QueueState) -> Tone {
    match state {
        QueueState::SetAside => Tone::Act,
        QueueState::Waiting | QueueState::Leased => Tone::Calm,
        QueueState::Delivered => Tone::Good,
        QueueState::Discarded | QueueState::Superseded => Tone::Plain,
    }
}

/// A host or a device, in words.
pub(super) fn destination(words: Words, destination: &str) -> String {
    match destination.split_once(':') {
        Some(("host", id)) => words.f("queue.host", &[("id", id)]),
        Some((_, id)) => words.f("queue.line", &[("id", id)]),
        None => destination.to_owned(),
    }
}

/// `GET /queue`
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let words = who.words();
    let moment = super::live::moment(&app).await?;
    let chosen = QueueState::from_code(&asked.state).filter(|state| STATES.contains(state));
    let chosen = chosen.unwrap_or(QueueState::SetAside);
    let rows = app
        .read(move |db| queue::list(db, chosen, asked.after, ROWS_MAX))
        .await?;
    if !rows.is_empty() {
        note_reading(&app, &who, "queue:list").await?;
    }
    let next = rows
        .last()
        .filter(|_| rows.len() >= usize::try_from(ROWS_MAX).unwrap_or(0));
    let content = html! {
        section aria-labelledby="ledger-title" {
            h2 id="ledger-title" { (words.t("ledger.title")) }
            div hx-get="/queue/ledger" hx-trigger="load, every 60s" { p.hint { (words.t("ledger.counting")) } }
        }
        section aria-labelledby="open-title" {
            h2 id="open-title" { (words.t("queue.open")) }
            div sse-swap="queue" { (board(words, &app, &moment)) }
        }
        section aria-labelledby="rows-title" {
            h2 id="rows-title" { (words.t("queue.rows")) }
            nav.tabs aria-label=(words.t("queue.rows")) { @for one in STATES {
                a href={ "/queue?state=" (one.code()) } aria-current=[(one == chosen).then_some("true")] {
                    (text::queue_state(words.0, one))
                }
            } }
            @if rows.is_empty() { (empty(&words.t("queue.none-here"))) }
            @else { ol.cards.rows { @for row in &rows { (card(&app, &who, row, moment.now, "")) } } }
            @if let Some(last) = next {
                p { a.button href={ "/queue?state=" (chosen.code()) "&after=" (last.id) } { (words.t("queue.next")) } }
            }
        }
    };
    let mut page = Page::new(&app, &who, Place::Queue, words.t("place.queue"));
    page.live = "on=queue";
    Ok(page.show(&content))
}

/// `GET /queue/{id}`: one row, for whoever comes from the work list.
async fn one(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<work::Asked>,
) -> Result<Response, Fault> {
    let found = app.read(move |db| queue::find(db, id)).await?;
    let row = found.ok_or(Fault::NOT_FOUND)?;
    note_reading(&app, &who, &format!("queue:{id}")).await?;
    let behind = asked.behind(&asked.at);
    let content = html! {
        (held::back(who.words(), &asked))
        ol.cards { (card(&app, &who, &row, app.now(), &behind)) }
    };
    let title = destination(who.words(), &row.destination);
    Ok(Page::new(&app, &who, Place::Work, title).show(&content))
}

/// `behind` is where the work list goes on; empty where one did not come from there.
fn card(app: &App, who: &Who, row: &QueueRow, now: i64, behind: &str) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    let attempts = row.attempts.to_string();
    let may = who.may(Role::Technician);
    html! {
        li.card tabindex="0" {
            div.head {
                (state(tone(row.state), &text::queue_state(words.0, row.state)))
                strong { (destination(words, &row.destination)) }
                a.code.tube href=(of_tube(&row.barcode)) { (row.barcode) }
                span { (words.t(&format!("queue.kind.{}", row.kind))) }
                span.since { (words.t("since")) " " (since(row.created_at, zone, now)) }
            }
            @if !row.reason.is_empty() { p.why { (words.t("queue.why")) ": " (text::said(words.0, &row.reason)) } }
            @if !row.answer.is_empty() { p { (words.t("queue.answer")) ": " code { (row.answer) } } }
            p.hint {
                (words.f("queue.tried", &[("count", &attempts)]))
                @if row.state == QueueState::Waiting && row.due_at > now { ", " (words.t("queue.next-try")) " " (when(row.due_at, zone, now)) }
                @if let Some(id) = &row.control_id { " · " span.code { (id) } }
            }
            @if may && row.state.on(QueueEvent::Discard).is_some() { (buttons(who, row, behind)) }
        }
    }
}

fn buttons(who: &Who, row: &QueueRow, behind: &str) -> Markup {
    let words = who.words();
    let reason = format!("reason-{}", row.id);
    html! {
        div.acts {
            form method="post" action={ "/queue/" (row.id) "/retry" (behind) } {
                (token(who))
                button.primary type="submit" { (words.t("queue.retry")) }
            }
            form.inline method="post" action={ "/queue/" (row.id) "/discard" (behind) } {
                (token(who))
                label for=(reason) { (words.t("queue.reason")) }
                input id=(reason) name="reason" required maxlength="300";
                button.danger type="submit" { (words.t("queue.discard")) }
            }
        }
    }
}

/// `POST /queue/{id}/retry`
async fn retry(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<work::Asked>,
    _: Posted,
) -> Result<Response, Fault> {
    retried(&app, &who, id).await?;
    Ok(back(&asked))
}

/// To the list that one came from.
fn back(asked: &work::Asked) -> Response {
    let is_from_work = !asked.at.is_empty();
    let path = if is_from_work {
        asked.back()
    } else {
        "/queue".to_owned()
    };
    Redirect::to(&path).into_response()
}

/// Tries a row again.
pub(super) async fn retried(app: &App, who: &Who, id: i64) -> Result<(), Fault> {
    who.needs(Role::Technician)?;
    let (now, login) = (app.now(), who.person.login.clone());
    let outcome = app
        .write(move |db| match queue::find(db, id)? {
            Some(_) => Ok(Some(queue::retry(db, id, &login, now)?)),
            None => Ok(None),
        })
        .await?;
    done(outcome)
}

fn done(outcome: Option<bool>) -> Result<(), Fault> {
    match outcome {
        Some(true) => Ok(()),
        Some(false) => Err(Fault::CONFLICT),
        None => Err(Fault::NOT_FOUND),
    }
}

/// `POST /queue/{id}/discard`
async fn discard(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<work::Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    discarded(&app, &who, id, posted.field("reason")).await?;
    Ok(back(&asked))
}

/// Gives a row up, for a reason.
pub(super) async fn discarded(app: &App, who: &Who, id: i64, reason: &str) -> Result<(), Fault> {
    who.needs(Role::Technician)?;
    if reason.is_empty() {
        return Err(Fault::NOT_UNDERSTOOD);
    }
    let reason: String = reason.chars().take(300).collect();
    let (now, login) = (app.now(), who.person.login.clone());
    let outcome = app
        .write(move |db| match queue::find(db, id)? {
            Some(_) => Ok(Some(queue::discard(db, id, &login, &reason, now)?)),
            None => Ok(None),
        })
        .await?;
    done(outcome)
}
