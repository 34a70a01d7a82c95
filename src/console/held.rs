//! One entry of the work list by itself: all there is to decide by, and every act with its words.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use maud::{Markup, html};

use crate::{
    audit,
    book::BookPatient,
    model::{HoldReason, Observation, PatientSeen, Priority},
    people::Role,
    store::journal::{self, MessageState},
    text,
    worklist::{self, Act, Entry, Part, Refused, ResultEntry, Subject},
};

use super::{
    App, acts,
    fault::Fault,
    gate::Who,
    look,
    page::{Page, Place, Tone, of_tube, since, state, token, when},
    patient,
    words::Words,
    work::{self, Asked, flags, named, note_reading},
};

/// What is read of one result.
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) patient: Option<BookPatient>,
    audit: Vec<(i64, String, String, String)>,
}

impl Held {
    /// The result itself: an entry of one always is one.
    pub(super) fn result(&self) -> Result<&ResultEntry, Fault> {
        match &self.entry.subject {
            Subject::Result(one) => Ok(one),
            Subject::Message { .. } | Subject::Queue(_) | Subject::Late(_) => Err(Fault::NOT_FOUND),
        }
    }
}

/// Reads a result with its patient and what was done to it, and writes down who saw it.
pub(super) async fn read(app: &Arc<App>, who: &Who, id: i64) -> Result<Held, Fault> {
    let (own, whose) = (Arc::clone(app), who.clone());
    let held = app.read(move |db| {
        let asked = work::waiting(&own, &whose, "", Part::All);
        let Some(entry) = worklist::entry_of(db, &asked, id)? else {
            return Ok(None);
        };
        let specimen = match &entry.subject {
            Subject::Result(one) => one.specimen,
            Subject::Message { .. } | Subject::Queue(_) | Subject::Late(_) => None,
        };
        let tubes: Vec<i64> = specimen.into_iter().collect();
        Ok(Some(Held {
            patient: work::patients(db, &tubes)?.into_values().next(),
            audit: audit::of_subject(db, &format!("result:{id}"))?,
            entry,
        }))
    });
    let held = held.await?.ok_or(Fault::NOT_FOUND)?;
    note_reading(app, who, &format!("result:{id}")).await?;
    Ok(held)
}

/// `GET /held/{id}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    page(&app, &who, id, &asked, None).await
}

/// The page of a result; with the words of a refusal where an act was not done.
pub(super) async fn page(
    app: &Arc<App>,
    who: &Who,
    id: i64,
    asked: &Asked,
    refused: Option<&Refused>,
) -> Result<Response, Fault> {
    let words = who.words();
    let held = read(app, who, id).await?;
    let one = held.result()?;
    let observation = one.observation.expose();
    let test = observation.test.as_ref().unwrap_or(&observation.code);
    let content = html! {
        (back(words, asked))
        @if let Some(refused) = refused { (acts::refusal(who, refused)) }
        (sheet(app, words, &held, one))
        @for reason in &held.entry.reasons { (work::why(reason, true)) }
        @if who.may(Role::Technician) && one.state.is_open() { (forms(app, who, &held, one, asked)) }
        (history(app, words, &held))
    };
    let title = format!("{test} · {}", told_tube(words, one));
    Ok(Page::new(app, who, Place::Work, title).show(&content))
}

/// The way back to the list.
pub(super) fn back(words: Words, asked: &Asked) -> Markup {
    let on = super::page::encoded(&asked.at);
    html! {
        p { a href={ "/" (asked.behind("")) "&on=" (on) } data-act="Escape" { "← " (words.t("acts.back")) } }
    }
}

fn told_tube(words: Words, one: &ResultEntry) -> String {
    if one.barcode.is_empty() {
        words.t("no-barcode")
    } else {
        one.barcode.clone()
    }
}

/// All that the device said, with the patient and the earlier values.
fn sheet(app: &App, words: Words, held: &Held, one: &ResultEntry) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    let observation = one.observation.expose();
    let result_state = format!("result-state.{}", one.state.code());
    html! {
        div.card.act[held.entry.urgency.critical.is_some()] {
            div.head {
                (work::marks(app, words, &held.entry.urgency, now))
                span { (state(Tone::Plain, &words.t(&result_state))) }
                @if !one.barcode.is_empty() { a.code.tube href=(of_tube(&one.barcode)) { (one.barcode) } }
                @else { span.code { (words.t("no-barcode")) } }
                @if let Some(patient) = &held.patient { (patient::line(patient, words)) }
                span.since { (since(held.entry.since, zone, now)) }
            }
            p.measured.large {
                span { (named(app, words, observation)) }
                span.value { (look::value(observation)) " " span.unit { (observation.unit) } }
                (flags(&observation.flags))
            }
            dl.facts.broad {
                @for (key, value) in facts(words, one, observation) {
                    div { dt { (words.t(&format!("held.{key}"))) } dd { (value) } }
                }
            }
            @if !one.previous.is_empty() {
                p.before {
                    (words.t("column.previous")) ": "
                    @for (at, before) in one.previous.iter().enumerate() {
                        @if at > 0 { " · " }
                        span.value { (before.text.expose()) " " span.unit { (before.unit) } }
                        " " (when(before.at, zone, now)) " " (before.line)
                    }
                }
            }
        }
    }
}

/// What the device said beside the value, as far as it did.
fn facts(
    words: Words,
    one: &ResultEntry,
    observation: &Observation,
) -> Vec<(&'static str, String)> {
    let tube = observation.specimen.as_ref();
    let place = tube.map(|tube| {
        let parts = [tube.rack.as_str(), tube.position.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" / ")
    });
    let sent = tube.filter(|tube| tube.sent != one.barcode);
    let facts = [
        ("device", one.line.clone()),
        ("code", observation.code.clone()),
        ("range", observation.range.clone()),
        ("status", observation.status_sent.clone()),
        ("dilution", observation.dilution.clone().unwrap_or_default()),
        ("comments", observation.comments.join(" / ")),
        ("place", place.unwrap_or_default()),
        ("sent", sent.map_or(String::new(), |tube| tube.sent.clone())),
        ("patient", seen(words, &observation.patient)),
        ("message", one.message.to_string()),
    ];
    let is_said = |(_, value): &(&str, String)| !value.trim().is_empty();
    facts.into_iter().filter(is_said).collect()
}

/// The patient as the device has it, in a line.
pub(super) fn seen(words: Words, patient: &PatientSeen) -> String {
    let sex = patient::sex(patient.sex, words);
    let ids: Vec<&str> = patient.ids.iter().map(|id| id.expose().as_str()).collect();
    let parts = [
        patient.name.expose().replace('^', " "),
        patient::day(patient.birth.expose()),
        sex,
        ids.join(" "),
    ];
    let parts = parts.iter().map(|part| part.trim());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// Every act that ends what holds it, each with its reason.
fn forms(app: &App, who: &Who, held: &Held, one: &ResultEntry, asked: &Asked) -> Markup {
    let words = who.words();
    let behind = asked.behind(&asked.at);
    let urgency = &held.entry.urgency;
    let is_urgent = urgency.critical.is_some() || urgency.priority == Priority::Stat;
    let may = |act: Act| one.acts.contains(&act.code());
    let path = |act: Act| format!("/held/{}/{}{behind}", one.id, act.code());
    html! {
        section.decide aria-labelledby="decide-title" {
            h2 id="decide-title" { (words.t("held.decide")) }
            @for act in [Act::Link, Act::Map] {
                @if may(act) {
                    p { a.button.primary href=(path(act)) data-act=(acts::key(act)) aria-keyshortcuts=(acts::key(act)) {
                        (text::act(words.0, act)) " " kbd { (acts::key(act)) }
                    } }
                }
            }
            @if may(Act::AcceptUnit) { p.hint { (units(app, words, one)) } }
            @for act in [Act::AcceptUnit, Act::Release, Act::Rerun, Act::SetAside] {
                @if may(act) {
                    (form(who, act, &path(act), is_urgent, asked.want == act.code()))
                }
            }
        }
    }
}

/// The unit as sent beside the test's.
fn units(app: &App, words: Words, one: &ResultEntry) -> String {
    let observation = one.observation.expose();
    let test = observation.test.as_deref().unwrap_or_default();
    let test = app.parts.loaded.catalogue.test(test);
    let own = test.and_then(|test| test.unit.as_ref());
    let own = own.map_or("", |unit| unit.as_str());
    words.f("held.units", &[("sent", &observation.unit), ("own", own)])
}

fn form(who: &Who, act: Act, path: &str, is_urgent: bool, is_wanted: bool) -> Markup {
    let words = who.words();
    let field = format!("reason-{}", act.code());
    let is_needed = act == Act::SetAside;
    let class = if is_needed {
        Some("danger")
    } else {
        acts::is_main(act).then_some("primary")
    };
    html! {
        form.inline method="post" action=(path) {
            (token(who))
            input type="hidden" name="from" value="entry";
            label for=(field) {
                (words.t(if is_needed { "acts.reason" } else { "acts.reason-if" }))
            }
            input id=(field) name="reason" maxlength="300" required[is_needed] autofocus[is_wanted]
                data-act=[is_needed.then_some(acts::key(act))] autocomplete="off";
            button type="submit" class=[class] data-act=[(!is_needed).then_some(acts::key(act))] {
                (text::act(words.0, act)) " " kbd { (acts::key(act)) }
            }
            @if act == Act::Release && is_urgent {
                button type="submit" name="leave" value="now" { (words.t("held.leave-now")) }
            }
        }
    }
}

/// What was done to it, oldest first; that somebody looked is no news.
fn history(app: &App, words: Words, held: &Held) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    let rows = held.audit.iter();
    let rows: Vec<_> = rows.filter(|(_, _, action, _)| action != "read").collect();
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="history-title" {
                h2 id="history-title" { (words.t("held.history")) }
                ol.timeline { @for (at, actor, action, detail) in rows {
                    li { (when(*at, zone, now)) " " strong { (actor) } " " (acts::told_act(words, action)) " " span.hint { (reason_of(detail)) } }
                } }
            }
        }
    }
}

/// Why somebody did it, where the audit has it in a field of its own.
fn reason_of(detail: &str) -> String {
    let told: Option<serde_json::Value> = serde_json::from_str(detail).ok();
    let reason = told.as_ref().and_then(|told| told["reason"].as_str());
    reason.unwrap_or_default().to_owned()
}

/// `GET /messages/{id}`
pub(super) async fn message(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    message_page(&app, &who, id, &asked, None).await
}

/// Bytes of a message that are shown: the rest is `labwire trace`'s.
const BYTES_SHOWN: usize = 8_000;

/// The page of a message that could not be read.
pub(super) async fn message_page(
    app: &Arc<App>,
    who: &Who,
    id: i64,
    asked: &Asked,
    refused: Option<&Refused>,
) -> Result<Response, Fault> {
    let words = who.words();
    let found = app.read(move |db| journal::message(db, id)).await?;
    let message = found.ok_or(Fault::NOT_FOUND)?;
    note_reading(app, who, &format!("message:{id}")).await?;
    let zone = &app.parts.site.laboratory.zone;
    let shown = message.raw.get(..BYTES_SHOWN).unwrap_or(&message.raw);
    let why = text::hold(words.0, HoldReason::ParserFault);
    let path = format!("/messages/{id}/set-aside{}", asked.behind(&asked.at));
    let content = html! {
        (back(words, asked))
        @if let Some(refused) = refused { (acts::refusal(who, refused)) }
        p.why { (state(Tone::Look, &why.title)) " " (why.what) " " span.todo { (why.todo) } }
        p {
            a href={ "/devices/" (message.line) } { (message.line) } " "
            (since(message.received_at, zone, app.now()))
        }
        pre.bytes tabindex="0" role="group" aria-label=(words.t("wire.bytes")) { (crate::trace::visible(shown)) }
        @if message.state == MessageState::Held && who.may(Role::Technician) {
            section.decide aria-labelledby="decide-title" {
                h2 id="decide-title" { (words.t("held.decide")) }
                (form(who, Act::SetAside, &path, false, true))
            }
        }
    };
    let title = words.f("work.message", &[("id", &id.to_string())]);
    Ok(Page::new(app, who, Place::Work, title).show(&content))
}
