//! Devices: every line by evidence, and one line with its live wire.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use labwire_drivers::{LineStatus, Phase, status::Problem};
use maud::{Markup, html};

use crate::{
    audit,
    model::{Item, QuerySubject},
    people::Role,
    profile::decode,
    settle::StoredResult,
    store::{StoreError, journal},
    text,
    trace::visible,
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    live::Moment,
    look,
    page::{Page, Place, Tone, age, empty, encoded, of_tube, since, state, when},
    wire,
    words::Words,
    work::{note_reading, test_name},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/devices", get(show))
        .route("/devices/{line}", get(one))
        .route("/devices/{line}/capture", get(capture))
}

/// A device that spoke within this time is at work.
const FRESH_MICROS: i64 = 5 * 60 * 1_000_000;

/// What the evidence says: colour and the key of its word.
pub(super) fn evidence(status: &LineStatus, now: i64) -> (Tone, &'static str) {
    match status.phase {
        Phase::Stopped => (Tone::Plain, "stopped"),
        Phase::Opening => (Tone::Calm, "opening"),
        Phase::Retrying => (Tone::Look, "unreachable"),
        Phase::Listening if status.counters.losses > 0 => (Tone::Look, "gone"),
        Phase::Listening => (Tone::Plain, "never"),
        Phase::Connected => match status.last_byte_utc_micros {
            None => (Tone::Calm, "mute"),
            Some(at) if now.saturating_sub(at) <= FRESH_MICROS => (Tone::Good, "speaking"),
            Some(_) => (Tone::Calm, "quiet"),
        },
    }
}

/// Frames that were refused, and whatever else the machine had to note.
pub(super) fn errors(status: &LineStatus) -> u64 {
    let counters = &status.counters;
    let notes: u64 = status.notes.values().sum();
    notes + counters.commit_failures + counters.incomplete_messages
}

/// Connections lost and messages that have to be sent again.
pub(super) fn retries(status: &LineStatus) -> u64 {
    status.counters.losses + status.counters.send_failures + status.counters.open_failures
}

/// How many lines somebody should look at.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let lines = moment.lines.iter();
    let look = lines.filter(|line| matches!(evidence(line, moment.now).0, Tone::Look | Tone::Act));
    let count = look.count();
    html! {
        @if count > 0 {
            span.badge.look { (count) span.unseen { " " (words.t("devices.to-look-at")) } }
        }
    }
}

/// The board, live.
pub(super) fn board(words: Words, app: &App, moment: &Moment) -> Markup {
    html! {
        @if moment.lines.is_empty() { (empty(&words.t("devices.none"))) }
        ul.board.rows {
            @for line in &moment.lines {
                li.card { (line_card(words, app, moment, line)) }
            }
        }
        @if !moment.nodes.is_empty() { (nodes(words, app, moment)) }
    }
}

/// Who serves what, where several nodes share the laboratory: a line that is not above is at another.
fn nodes(words: Words, app: &App, moment: &Moment) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let here = app.parts.loaded.lab.node.as_ref().map(|node| &*node.id);
    html! {
        h2 { (words.t("devices.nodes")) }
        ul.board.rows {
            @for one in &moment.nodes {
                li.card {
                    h3.code {
                        (one.node.name)
                        @if here == Some(&one.node.name) { " · " (words.t("devices.node-here")) }
                    }
                    dl.facts {
                        dt { (words.t("devices.node-seen")) }
                        dd { (age(one.node.seen_at, zone, moment.now)) }
                        dt { (words.t("devices.node-version")) }
                        dd { (one.node.version) }
                        dt { (words.t("devices.node-serves")) }
                        dd {
                            @if one.units.is_empty() { "—" }
                            @for (unit, _) in &one.units { span.code { (unit) } " " }
                        }
                    }
                }
            }
        }
    }
}

fn line_card(words: Words, app: &App, moment: &Moment, line: &LineStatus) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let (tone, word) = evidence(line, moment.now);
    let waits = moment.counts.open(&format!("line:{}", line.id), "waiting");
    let times = [
        ("last-byte", line.last_byte_utc_micros),
        ("last-message", line.last_message_utc_micros),
        ("last-ack", line.last_acknowledgement_utc_micros),
    ];
    html! {
        h2 { a id={ "line-" (line.id) } href={ "/devices/" (encoded(&line.id)) } { (line.id) } }
        p { (state(tone, &words.t(&format!("evidence.{word}")))) }
        p.hint { (kind(app, words, &line.id)) }
        dl.facts {
            @for (key, at) in times {
                dt { (words.t(&format!("devices.{key}"))) }
                dd { @if let Some(at) = at { (age(at, zone, moment.now)) } @else { "—" } }
            }
            dt { (words.t("devices.messages")) }
            dd { (words.count(line.counters.messages)) }
            dt { (words.t("devices.errors")) }
            dd { (words.count(errors(line))) " / " (words.count(retries(line))) }
            @if waits > 0 {
                dt { (words.t("devices.queue")) }
                dd { (words.count(waits)) }
            }
        }
        (app.pulse.chart(words, &line.id, moment.now))
        (app.pulse.skew(words, &line.id))
        @if let Some(problem) = line.last_problem.as_ref().filter(|_| matches!(tone, Tone::Look | Tone::Act)) {
            div.problem { (explained(words, problem.code, detail(problem))) }
        }
    }
}

/// What is at the other end: a device of a section, or a hospital system.
fn kind(app: &App, words: Words, line: &str) -> Markup {
    let instrument = app.parts.loaded.lab.instrument(line);
    html! {
        @match instrument {
            Some(instrument) => {
                span.code { (*instrument.profile) }
                @if !instrument.section.is_empty() { " · " (*instrument.section) }
            }
            None if line.contains(":results-") => (words.t("devices.host-results")),
            None => (words.t("devices.host-orders")),
        }
    }
}

/// `GET /devices`
async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let moment = super::live::moment(&app).await?;
    let content = html! { div sse-swap="devices" { (board(words, &app, &moment)) } };
    let mut page = Page::new(&app, &who, Place::Devices, words.t("place.devices"));
    page.live = "on=devices";
    Ok(page.show(&content))
}

/// Messages of a line shown decoded.
const MESSAGES_SHOWN: i64 = 5;

/// A message as its profile reads it.
struct Message {
    id: i64,
    received_at: i64,
    results: Vec<StoredResult>,
    items: Vec<Item>,
    raw: String,
}

/// `GET /devices/{line}`
async fn one(
    State(app): State<Arc<App>>,
    who: Who,
    Path(line): Path<String>,
) -> Result<Response, Fault> {
    let words = who.words();
    let now = app.now();
    let handle = app.parts.open.line(&line).ok_or(Fault::NOT_FOUND)?;
    let status = handle.status();
    let messages = messages(&app, &line).await?;
    note_reading(&app, &who, &format!("line:{line}")).await?;
    let content = html! {
        (facts(&app, words, &status, now))
        section aria-labelledby="wire-title" {
            h2 id="wire-title" { (words.t("wire.title")) }
            (wire::controls(words, &line))
            (wire::list(words, &app, &handle))
        }
        section aria-labelledby="messages-title" {
            h2 id="messages-title" { (words.t("devices.decoded")) }
            @if messages.is_empty() { (empty(&words.t("devices.no-messages"))) }
            @for message in &messages { (decoded(&app, words, message, now)) }
        }
    };
    let mut page = Page::new(&app, &who, Place::Devices, line.clone());
    let live = format!("line={}", encoded(&line));
    page.live = &live;
    Ok(page.show(&content))
}

fn facts(app: &App, words: Words, status: &LineStatus, now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let (tone, word) = evidence(status, now);
    let counters = status.counters;
    let counts = [
        ("messages", counters.messages),
        ("incomplete", counters.incomplete_messages),
        ("sent", counters.sent),
        ("send-failures", counters.send_failures),
        ("connections", counters.connections),
        ("losses", counters.losses),
        ("refusals", counters.refusals),
        ("commit-failures", counters.commit_failures),
        ("bytes-in", counters.bytes_in),
        ("bytes-out", counters.bytes_out),
    ];
    html! {
        p { (state(tone, &words.t(&format!("evidence.{word}")))) " " span.code { (status.endpoint) } " "
            (kind(app, words, &status.id)) }
        dl.facts.broad {
            @for (key, at) in [
                ("last-byte", status.last_byte_utc_micros),
                ("last-message", status.last_message_utc_micros),
                ("last-ack", status.last_acknowledgement_utc_micros),
            ] {
                div { dt { (words.t(&format!("devices.{key}"))) }
                    dd { @if let Some(at) = at { (since(at, zone, now)) } @else { "—" } } }
            }
            @for (key, count) in counts {
                div { dt { (words.t(&format!("devices.{key}"))) } dd { (words.count(count)) } }
            }
        }
        (app.pulse.chart(words, &status.id, now))
        (app.pulse.skew(words, &status.id))
        @if let Some(problem) = &status.last_problem {
            div.problem {
                p { (words.t("devices.last-problem")) " " (when(problem.utc_micros, zone, now)) }
                (explained(words, problem.code, detail(problem)))
            }
        }
        @if !status.notes.is_empty() {
            section aria-labelledby="notes-title" {
                h2 id="notes-title" { (words.t("devices.notes")) }
                ul.plain.noted { @for (code, count) in &status.notes {
                    li { strong { (words.count(*count)) " ×" } (explained(words, code, "")) }
                } }
            }
        }
    }
}

/// What a problem says beyond its code. An end of a connection is said by its code, but for what the
/// system called it (`DRV-0202`).
fn detail(problem: &Problem) -> &str {
    let is_an_end = problem.code.starts_with("DRV-02") && problem.code != "DRV-0202";
    if is_an_end { "" } else { &problem.text }
}

/// What happened and what to do about it. `detail` has what only this case has, an address or the
/// system's own reason, in English.
fn explained(words: Words, code: &str, detail: &str) -> Markup {
    html! {
        @match text::code(words.0, code) {
            Some(text) => {
                p { span.code { (code) } " " (text.what) }
                p.hint { (text.todo) }
                @if !detail.is_empty() { p.hint lang="en" { (detail) } }
            }
            None => p { span.code { (code) } " " (detail) }
        }
    }
}

async fn messages(app: &App, line: &str) -> Result<Vec<Message>, StoreError> {
    let site = Arc::clone(&app.parts.site);
    let line = line.to_owned();
    app.read(move |db| {
        let mut messages = Vec::new();
        for (id, results) in look::last_messages(db, &line, MESSAGES_SHOWN)? {
            let Some(message) = journal::message(db, id)? else {
                continue;
            };
            let catalogue = site.laboratory.catalogue.as_deref();
            let items = site.lines.get(&line).map(|line| {
                let catalogue = catalogue.map(|known| known as &dyn crate::profile::Catalogue);
                decode(&line.profile, catalogue, &message.raw, message.is_complete).items
            });
            messages.push(Message {
                id,
                received_at: message.received_at,
                results,
                items: items.unwrap_or_default(),
                raw: visible(&message.raw),
            });
        }
        Ok(messages)
    })
    .await
}

fn decoded(app: &App, words: Words, message: &Message, now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let id = message.id.to_string();
    html! {
        article.beside {
            h3 { (words.f("devices.message", &[("id", &id)])) " " (when(message.received_at, zone, now)) }
            pre.bytes tabindex="0" aria-label=(words.t("wire.bytes")) { (lines_of(&message.raw)) }
            div.meaning {
                @if message.results.is_empty() { (items(words, &message.items)) }
                @else { ul.plain { @for result in &message.results {
                    li {
                        a.code href=(of_tube(&result.barcode)) { (result.barcode) } " "
                        (test_name(app, words, result)) " "
                        strong.value { (look::shown(result)) } " " span.unit { (result.observation.unit) } " "
                        (super::work::flags(&result.observation.flags))
                        span.hint { (words.t(&format!("result-state.{}", result.state.code()))) }
                    }
                } } }
            }
        }
    }
}

/// Records and segments on lines of their own.
fn lines_of(visible: &str) -> String {
    visible
        .replace("<CR><LF>", "<CR>")
        .replace("<CR>", "<CR>\n")
}

fn items(words: Words, items: &[Item]) -> Markup {
    html! {
        ul.plain {
            @for item in items {
                li { @match item {
                    Item::Observation(one) => { span.code { (one.code) } " " strong.value { (one.text) } " " (one.unit) }
                    Item::Query(query) => { (words.t("wire.asks")) " "
                        @if let QuerySubject::Specimens(tubes) = &query.subject {
                            @for tube in tubes { a.code href=(of_tube(&tube.id)) { (tube.id) } " " }
                        } }
                    Item::Image(image) => { span.code { (image.code) } " " (words.t("images.one")) }
                    Item::Device(event) => { span.code { (event.code) } " " (event.text) }
                    Item::Incomplete(part) => { (state(Tone::Look, &part.why)) }
                } }
            }
        }
    }
}

/// `GET /devices/{line}/capture`: the bytes as they came, one file. They hold patients' names: for
/// those who work with them, and written down.
async fn capture(
    State(app): State<Arc<App>>,
    who: Who,
    Path(line): Path<String>,
) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let handle = app.parts.open.line(&line).ok_or(Fault::NOT_FOUND)?;
    let bytes: Vec<u8> = handle
        .capture()
        .iter()
        .filter(|entry| entry.direction == labwire_drivers::Direction::In)
        .flat_map(|entry| entry.bytes.to_vec())
        .collect();
    let (now, login, subject) = (app.now(), who.person.login, format!("line:{line}"));
    let size = format!("{} bytes", bytes.len());
    app.write(move |db| audit::write(db, now, &login, "capture-download", &subject, &size))
        .await?;
    // Ids of lines are letters, digits, `-`, `_` and `.`; a host's has a colon.
    let name = line.replace(':', "-");
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.raw\""),
        ),
    ];
    Ok((headers, bytes).into_response())
}
