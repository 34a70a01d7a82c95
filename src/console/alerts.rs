//! Alerts: what somebody should look at before it harms a patient, and who has.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    alerts::{self, Alert, Cause, Waiting, say},
    people::Role,
};

use super::{
    App,
    fault::Fault,
    gate::{Posted, Who},
    live::Moment,
    page::{Page, Place, Tone, empty, since, state, token, when},
    queue::destination,
    words::{Words, rfc3339},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/alerts", get(show))
        .route("/alerts/{id}/acknowledge", post(acknowledge))
}

/// The same below `/api/v1`.
pub(super) fn api_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/alerts", get(listed))
        .route("/alerts/{id}/acknowledge", post(acknowledged))
}

/// Alerts of one page that are over.
const CLEARED_MAX: i64 = 50;

/// How many alerts are open, for the header of every page: a symbol, a number and a word.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let (open, unseen) = moment.counts.alerts;
    let tone = match (open, unseen) {
        (0, _) => Tone::Good,
        (_, 0) => Tone::Calm,
        _ => Tone::Act,
    };
    let word = if open == 0 {
        words.t("alerts.no-alert")
    } else if open == 1 {
        words.t("alerts.one")
    } else {
        words.f("alerts.count", &[("count", &words.count(open))])
    };
    state(tone, &word)
}

/// `GET /alerts`
async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let now = app.now();
    let (mut open, cleared, waiting) = read(&app).await?;
    // What nobody has seen first, then the oldest.
    open.sort_by_key(|one| {
        (
            one.acknowledged_at.is_some(),
            !one.cause.is_urgent(),
            one.raised_at,
        )
    });
    let content = html! {
        section aria-labelledby="open-title" {
            h2 id="open-title" { (words.t("alerts.open")) }
            @if open.is_empty() { (empty(&words.t("alerts.none"))) }
            @else { ol.cards.rows { @for one in &open { (card(&app, &who, one, now)) } } }
        }
        (channels(&app, words, &waiting, now))
        section aria-labelledby="cleared-title" {
            h2 id="cleared-title" { (words.t("alerts.cleared")) }
            @if cleared.is_empty() { p.hint { (words.t("alerts.none-cleared")) } }
            @else { (history(&app, words, &cleared, now)) }
        }
    };
    let page = Page::new(&app, &who, Place::Alerts, words.t("place.alerts"));
    Ok(page.show(&content))
}

async fn read(app: &App) -> Result<(Vec<Alert>, Vec<Alert>, Vec<Waiting>), Fault> {
    let all = app
        .read(|db| {
            let open = alerts::open(db)?;
            let cleared = alerts::cleared(db, CLEARED_MAX)?;
            Ok((open, cleared, alerts::waiting(db)?))
        })
        .await?;
    Ok(all)
}

const fn tone(cause: Cause) -> Tone {
    if cause.is_urgent() {
        Tone::Act
    } else {
        Tone::Look
    }
}

/// What an alert says: destinations and channels by their names.
fn sentence(words: Words, alert: &Alert) -> String {
    let subject = match alert.cause {
        Cause::QueueDepth | Cause::QueueAge => destination(words, &alert.subject),
        Cause::Delivery => words.t(&format!("alerts.channel.{}", alert.subject)),
        Cause::Calls
        | Cause::Quiet
        | Cause::Errors
        | Cause::Disk
        | Cause::Backup
        | Cause::QcDue
        | Cause::Certificate
        | Cause::Turnaround => alert.subject.clone(),
    };
    say(words.0, alert.cause, &subject, (alert.level, alert.edge))
}

/// Where one looks further.
fn place(alert: &Alert) -> Option<String> {
    match alert.cause {
        Cause::Calls => Some("/calls".to_owned()),
        Cause::Quiet | Cause::Errors => Some(format!("/devices/{}", alert.subject)),
        Cause::QueueDepth | Cause::QueueAge => Some("/queue?state=waiting".to_owned()),
        Cause::QcDue => Some("/qc".to_owned()),
        Cause::Turnaround => Some("/".to_owned()),
        Cause::Certificate => Some("/settings".to_owned()),
        Cause::Disk | Cause::Backup | Cause::Delivery => None,
    }
}

fn card(app: &App, who: &Who, alert: &Alert, now: i64) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    let code = alert.cause.code();
    let is_new = alert.acknowledged_at.is_none();
    html! {
        li.card.act[is_new && alert.cause.is_urgent()] id={ "alert-" (alert.id) } tabindex="0" {
            div.head {
                (state(tone(alert.cause), &words.t(&format!("alerts.cause.{code}"))))
                span.since { (since(alert.raised_at, zone, now)) }
            }
            p.sentence { (sentence(words, alert)) }
            p.todo { (words.t(&format!("alerts.todo.{code}")))
                @if let Some(path) = place(alert) { " " a href=(path) { (words.t("alerts.look")) } } }
            @if let Some(at) = alert.acknowledged_at {
                p.hint { (state(Tone::Good, &words.f("alerts.acknowledged", &[("person", &alert.acknowledged_by)]))) " " (when(at, zone, now)) }
            } @else if who.may(Role::Technician) {
                form.acts method="post" action={ "/alerts/" (alert.id) "/acknowledge" } {
                    (token(who))
                    button.primary type="submit" { (words.t("alerts.acknowledge")) }
                }
            }
        }
    }
}

/// Which ways alerts leave by, and what waits to.
fn channels(app: &App, words: Words, waiting: &[Waiting], now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let limits = &app.parts.loaded.lab.alerts;
    let email = limits.email.as_ref().map(|email| {
        let to: Vec<&str> = email.to.iter().map(|to| to.as_str()).collect();
        ("email", to.join(", "))
    });
    let webhook = limits.webhook.as_ref();
    let webhook = webhook.map(|address| ("webhook", address.to_string()));
    let all: Vec<_> = email.into_iter().chain(webhook).collect();
    html! {
        section aria-labelledby="channels-title" {
            h2 id="channels-title" { (words.t("alerts.channels")) }
            @if all.is_empty() { p.hint { (words.t("alerts.no-channel")) } }
            ul.plain { @for (channel, to) in &all {
                @let stuck = waiting.iter().find(|one| one.channel == *channel && one.attempts > 0);
                li {
                    strong { (words.t(&format!("alerts.channel.{channel}"))) } " " span.code { (to) } " "
                    @match stuck {
                        None => (state(Tone::Good, &words.t("alerts.leaves"))),
                        Some(one) => {
                            (state(Tone::Look, &words.f("alerts.stuck", &[("count", &words.count(one.count))])))
                            " " (since(one.oldest_at, zone, now)) " " span.hint { (one.reason) }
                        },
                    }
                }
            } }
        }
    }
}

fn history(app: &App, words: Words, cleared: &[Alert], now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    html! {
        div.wide tabindex="0" role="group" aria-label=(words.t("alerts.cleared")) { table {
            thead { tr { @for key in ["raised", "cleared", "alert", "acknowledged"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for one in cleared { tr {
                td { (when(one.raised_at, zone, now)) }
                td { @if let Some(at) = one.cleared_at { (when(at, zone, now)) } }
                th scope="row" { (sentence(words, one)) }
                td { (one.acknowledged_by) }
            } } }
        } }
    }
}

/// `POST /alerts/{id}/acknowledge`
async fn acknowledge(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    _: Posted,
) -> Result<Response, Fault> {
    seen(&app, &who, id).await?;
    Ok(Redirect::to("/alerts").into_response())
}

/// Somebody takes an alert upon themselves.
async fn seen(app: &App, who: &Who, id: i64) -> Result<(), Fault> {
    who.needs(Role::Technician)?;
    let (now, login) = (app.now(), who.person.login.clone());
    let outcome = app
        .write(move |db| alerts::acknowledge(db, id, &login, now))
        .await?;
    match outcome {
        Some(true) => Ok(()),
        Some(false) => Err(Fault::CONFLICT),
        None => Err(Fault::NOT_FOUND),
    }
}

async fn listed(State(app): State<Arc<App>>, who: Who) -> Result<Json<Value>, Fault> {
    let words = who.words();
    let (open, cleared, waiting) = read(&app).await?;
    let of = |one: &Alert| as_json(words, one);
    Ok(Json(json!({
        "open": open.iter().map(of).collect::<Vec<_>>(),
        "cleared": cleared.iter().map(of).collect::<Vec<_>>(),
        "waiting": waiting,
    })))
}

fn as_json(words: Words, alert: &Alert) -> Value {
    json!({
        "id": alert.id,
        "cause": alert.cause,
        "subject": alert.subject,
        "level": alert.level,
        "limit": alert.edge,
        "is_urgent": alert.cause.is_urgent(),
        "text": sentence(words, alert),
        "raised_at": rfc3339(alert.raised_at),
        "cleared_at": alert.cleared_at.map(rfc3339),
        "acknowledged_at": alert.acknowledged_at.map(rfc3339),
        "acknowledged_by": alert.acknowledged_by,
    })
}

async fn acknowledged(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    _: Posted,
) -> Result<Json<Value>, Fault> {
    seen(&app, &who, id).await?;
    Ok(Json(
        json!({ "id": id, "acknowledged_by": who.person.login }),
    ))
}
