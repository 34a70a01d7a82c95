//! Critical values: whom to call now, what was tried, and what was told when.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    calls::{self, Attempt, Call, Kind, Made, Outcome, Refused, State as CallState},
    people::Role,
};

use super::{
    App,
    fault::Fault,
    gate::{Posted, Who},
    live::Moment,
    page::{Page, Place, Tone, empty, of_tube, since, state, token, when},
    patient,
    words::{Words, rfc3339},
    work::note_reading,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/calls", get(show))
        .route("/calls/{id}/attempt", post(attempt))
}

/// The same below `/api/v1`.
pub(super) fn api_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/calls", get(listed))
        .route("/calls/{id}/attempt", post(attempted))
}

/// Open calls of one page: more than any laboratory leaves open.
const OPEN_MAX: i64 = 200;
/// Closed calls of one page.
const CLOSED_MAX: i64 = 50;

#[derive(Clone, Debug, Default, Deserialize)]
struct Asked {
    /// Closed calls about this barcode alone.
    #[serde(default)]
    barcode: String,
    /// Closed calls before this instant, UTC microseconds.
    #[serde(default)]
    before: Option<i64>,
}

/// What somebody has to be told now.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let calls = moment.counts.calls;
    let (class, word) = if calls.escalated > 0 {
        ("badge act", "calls.escalated")
    } else {
        ("badge look", "calls.open")
    };
    html! {
        @if calls.open > 0 {
            span class=(class) { (words.count(calls.open)) span.unseen { " " (words.t(word)) } }
        }
    }
}

/// The counts on top, live.
pub(super) fn summary(words: Words, app: &App, moment: &Moment) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let calls = moment.counts.calls;
    let within = app.parts.loaded.lab.console.call_within_min.to_string();
    html! {
        ul.numbers {
            li { a href="/calls" {
                span.number { (words.count(calls.open)) }
                (state(if calls.open > 0 { Tone::Look } else { Tone::Good }, &words.t("calls.open")))
                @if let Some(oldest) = calls.oldest_at {
                    span.since { (words.t("oldest")) " " (since(oldest, zone, moment.now)) }
                }
            } }
            li { a href="/calls" {
                span.number { (words.count(calls.escalated)) }
                (state(if calls.escalated > 0 { Tone::Act } else { Tone::Good }, &words.t("calls.overdue")))
                span.since { (words.f("calls.within", &[("minutes", &within)])) }
            } }
        }
    }
}

/// `GET /calls`
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let words = who.words();
    let moment = super::live::moment(&app).await?;
    let (open, closed) = read(&app, &asked).await?;
    note_reading(&app, &who, "calls:list").await?;
    let content = html! {
        div sse-swap="calls" { (summary(words, &app, &moment)) }
        section aria-labelledby="open-title" {
            h2 id="open-title" { (words.t("calls.open")) }
            @if open.is_empty() { (empty(&words.t("calls.none"))) }
            @else { ol.cards.rows { @for call in &open { (card(&app, &who, call, moment.now)) } } }
        }
        section aria-labelledby="closed-title" {
            h2 id="closed-title" { (words.t("calls.closed")) }
            (search(words, &asked.barcode))
            @if closed.is_empty() { p.hint { (words.t("calls.none-closed")) } }
            @else { (history(&app, words, &closed, moment.now)) }
            @if let Some(last) = next(&asked, &closed) {
                p { a.button href={ "/calls?before=" (last) } { (words.t("calls.earlier")) } }
            }
        }
    };
    let mut page = Page::new(&app, &who, Place::Calls, words.t("place.calls"));
    page.live = "on=calls";
    Ok(page.show(&content))
}

async fn read(app: &App, asked: &Asked) -> Result<(Vec<Call>, Vec<Call>), Fault> {
    let barcode: String = asked.barcode.trim().chars().take(80).collect();
    let before = asked.before.unwrap_or(i64::MAX);
    let both = app
        .read(move |db| {
            let closed = if barcode.is_empty() {
                calls::closed(db, before, CLOSED_MAX)?
            } else {
                calls::of_barcode(db, &barcode, CLOSED_MAX)?
            };
            Ok((calls::open(db, OPEN_MAX)?, closed))
        })
        .await?;
    Ok(both)
}

/// Where the next page of closed calls begins.
fn next(asked: &Asked, closed: &[Call]) -> Option<i64> {
    let is_full = i64::try_from(closed.len()).is_ok_and(|count| count >= CLOSED_MAX);
    let last = closed
        .last()
        .filter(|_| is_full && asked.barcode.is_empty())?;
    last.closed_at
}

fn search(words: Words, barcode: &str) -> Markup {
    html! {
        form.find action="/calls" role="search" aria-label=(words.t("calls.closed")) {
            label for="barcode" { (words.t("calls.barcode")) }
            input id="barcode" name="barcode" type="search" value=(barcode) autocomplete="off"
                spellcheck="false" maxlength="80";
            button type="submit" { (words.t("specimens.find")) }
        }
    }
}

fn test_name(app: &App, words: Words, call: &Call) -> Markup {
    let known = app.parts.loaded.catalogue.test(&call.test);
    let name = known.map_or("", |known| known.name.in_language(words.0));
    html! {
        span.code { (call.test) }
        @if !name.is_empty() && name != call.test { " " span.name { (name) } }
    }
}

fn tube(words: Words, call: &Call) -> Markup {
    html! {
        @if call.barcode.is_empty() { span.code { (words.t("no-barcode")) } }
        @else { a.code.tube href=(of_tube(&call.barcode)) { (call.barcode) } }
    }
}

fn whose(words: Words, call: &Call) -> Markup {
    html! {
        @if let Some(patient) = &call.patient { (patient::line(patient, words)) }
        @else { (state(Tone::Look, &words.t("calls.no-patient"))) }
    }
}

fn value(words: Words, call: &Call) -> Markup {
    html! {
        strong.value { (call.value.expose()) " " (call.unit) } " "
        @match call.kind {
            Kind::Critical => span.limit { (words.t(&format!("calls.side.{}", call.side))) " (" (call.beyond) ")" },
            Kind::Corrected => span.limit { (words.t("calls.corrected")) },
        }
        @if !call.before.expose().is_empty() && call.before.expose() != call.value.expose() {
            " " span.hint { (words.f("calls.before", &[("value", call.before.expose())])) }
        }
    }
}

fn card(app: &App, who: &Who, call: &Call, now: i64) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    let is_escalated = call.is_escalated(now, app.parts.loaded.lab.console.call_within());
    let (tone, word) = if is_escalated {
        (Tone::Act, "calls.escalated")
    } else {
        (Tone::Look, "calls.to-call")
    };
    html! {
        li.card.act[is_escalated] id={ "call-" (call.id) } tabindex="0" {
            div.head {
                (state(tone, &words.t(word)))
                (tube(words, call))
                (whose(words, call))
                span.since { (since(call.opened_at, zone, now)) }
            }
            p.sentence { (test_name(app, words, call)) ": " (value(words, call)) }
            p { (place(words, call)) }
            @if let Some(stands) = call.result_state {
                p.hint { (words.t("calls.result")) ": " (words.t(&format!("result-state.{}", stands.code())))
                    " · " a href={ "/devices/" (call.line) } { (call.line) } }
            }
            @if !call.attempts.is_empty() {
                h3 { (words.t("calls.attempts")) }
                ol.plain { @for one in &call.attempts { li { (made(app, words, one, now)) } } }
            }
            @if who.may(Role::Technician) { (form(who, call)) }
        }
    }
}

/// Where to call: what the order says of it.
fn place(words: Words, call: &Call) -> Markup {
    let facts = [
        ("calls.ward", &call.ward),
        ("calls.phone", &call.phone),
        ("calls.ordered-by", call.ordered_by.expose()),
    ];
    let known: Vec<_> = facts.iter().filter(|(_, text)| !text.is_empty()).collect();
    html! {
        @if known.is_empty() { span.hint { (words.t("calls.no-ward")) } }
        @for (at, (key, text)) in known.iter().enumerate() {
            @if at > 0 { " · " }
            (words.t(key)) ": " strong { (text) }
        }
    }
}

fn made(app: &App, words: Words, one: &Made, now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let tone = match (one.outcome, one.is_read_back) {
        (Outcome::Told, true) => Tone::Good,
        (Outcome::Told, false) => Tone::Look,
        (Outcome::NoAnswer | Outcome::Busy, _) => Tone::Plain,
    };
    html! {
        (when(one.at, zone, now)) " "
        (state(tone, &words.t(&format!("calls.outcome.{}", one.outcome.code())))) " "
        @if one.outcome == Outcome::Told {
            span { (words.t(if one.is_read_back { "calls.read-back" } else { "calls.not-read-back" })) " " }
        }
        strong { (one.told_to) } " " @if !one.contact.is_empty() { "(" (one.contact) ") " }
        span.hint { (words.f("calls.by", &[("person", &one.actor)])) }
    }
}

fn form(who: &Who, call: &Call) -> Markup {
    let words = who.words();
    let id = |field: &str| format!("{field}-{}", call.id);
    html! {
        form.call method="post" action={ "/calls/" (call.id) "/attempt" } {
            (token(who))
            div {
                label for=(id("told-to")) { (words.t("calls.told-to")) }
                input id=(id("told-to")) name="told_to" required maxlength="120" autocomplete="off";
            }
            div {
                label for=(id("contact")) { (words.t("calls.contact")) }
                input id=(id("contact")) name="contact" maxlength="120" autocomplete="off" value=(call.phone);
            }
            div {
                label for=(id("outcome")) { (words.t("calls.came")) }
                select id=(id("outcome")) name="outcome" {
                    @for outcome in [Outcome::Told, Outcome::NoAnswer, Outcome::Busy] {
                        option value=(outcome.code()) { (words.t(&format!("calls.outcome.{}", outcome.code()))) }
                    }
                }
            }
            label.tick for=(id("read-back")) {
                input id=(id("read-back")) name="read_back" type="checkbox" value="yes";
                (words.t("calls.read-back"))
            }
            button.primary type="submit" { (words.t("calls.save")) }
        }
    }
}

fn history(app: &App, words: Words, closed: &[Call], now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    html! {
        div.wide tabindex="0" role="group" aria-label=(words.t("calls.closed")) { table {
            thead { tr { @for key in ["closed", "specimen", "patient", "test", "value", "told-to", "end", "attempts"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for call in closed { tr {
                td { @if let Some(at) = call.closed_at { (when(at, zone, now)) } }
                td { (tube(words, call)) }
                td { (whose(words, call)) }
                th scope="row" { (test_name(app, words, call)) }
                td { (value(words, call)) }
                td { @if let Some(told) = call.told() { (told.told_to) @if !told.contact.is_empty() { " (" (told.contact) ")" } } }
                td { (end(words, call)) }
                td { details { summary { (words.count(call.attempts.len() as u64)) }
                    ol.plain { @for one in &call.attempts { li { (made(app, words, one, now)) } } } } }
            } } }
        } }
    }
}

fn end(words: Words, call: &Call) -> Markup {
    let tone = match call.state {
        CallState::Told => Tone::Good,
        CallState::Open => Tone::Look,
        CallState::Replaced | CallState::Ended => Tone::Plain,
    };
    html! {
        (state(tone, &words.t(&format!("calls.state.{}", call.state.code()))))
        @if !call.closed_by.is_empty() { " " span.hint { (words.f("calls.by", &[("person", &call.closed_by)])) } }
    }
}

/// `POST /calls/{id}/attempt`
async fn attempt(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    tried(&app, &who, id, &posted).await?;
    Ok(Redirect::to("/calls").into_response())
}

/// Writes a try down.
async fn tried(app: &App, who: &Who, id: i64, posted: &Posted) -> Result<CallState, Fault> {
    who.needs(Role::Technician)?;
    let attempt = Attempt {
        actor: who.person.login.clone(),
        outcome: Outcome::from_code(posted.field("outcome")).ok_or(Fault::NOT_UNDERSTOOD)?,
        told_to: posted.field("told_to").to_owned(),
        contact: posted.field("contact").to_owned(),
        is_read_back: posted.field("read_back") == "yes",
    };
    let now = app.now();
    let outcome = app
        .write(move |db| calls::attempt(db, id, &attempt, now))
        .await?;
    outcome.map_err(|refused| match refused {
        Refused::NotFound => Fault::NOT_FOUND,
        Refused::Closed => Fault::CONFLICT,
        Refused::NoName | Refused::NotTold => Fault::NOT_UNDERSTOOD,
    })
}

async fn listed(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Fault> {
    note_reading(&app, &who, "calls:list").await?;
    let (open, closed) = read(&app, &asked).await?;
    let (now, within) = (app.now(), app.parts.loaded.lab.console.call_within());
    let of = |call: &Call| as_json(call, now, within);
    Ok(Json(json!({
        "call_within_min": *app.parts.loaded.lab.console.call_within_min,
        "open": open.iter().map(of).collect::<Vec<_>>(),
        "closed": closed.iter().map(of).collect::<Vec<_>>(),
        "before": next(&asked, &closed),
    })))
}

fn as_json(call: &Call, now: i64, within: i64) -> Value {
    let attempts: Vec<Value> = call
        .attempts
        .iter()
        .map(|one| {
            json!({
                "at": rfc3339(one.at),
                "actor": one.actor,
                "outcome": one.outcome,
                "told_to": one.told_to,
                "contact": one.contact,
                "is_read_back": one.is_read_back,
            })
        })
        .collect();
    json!({
        "id": call.id,
        "kind": call.kind,
        "state": call.state,
        "is_escalated": call.is_escalated(now, within),
        "result": call.result,
        "result_state": call.result_state.map(|state| state.code()),
        "barcode": call.barcode,
        "patient": call.patient.as_ref().map(|one| json!({
            "name": patient::name(one),
            "birth": one.birth.expose(),
        })),
        "test": call.test,
        "value": call.value.expose(),
        "unit": call.unit,
        "side": call.side,
        "limit": call.beyond,
        "before": call.before.expose(),
        "ward": call.ward,
        "phone": call.phone,
        "opened_at": rfc3339(call.opened_at),
        "closed_at": call.closed_at.map(rfc3339),
        "closed_by": call.closed_by,
        "attempts": attempts,
    })
}

/// `POST /api/v1/calls/{id}/attempt`: `told_to`, `contact`, `outcome` and `read_back` (`yes`).
async fn attempted(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Json<Value>, Fault> {
    let state = tried(&app, &who, id, &posted).await?;
    Ok(Json(json!({ "id": id, "state": state })))
}
