//! Specimens: scan or type anything, and everything about a tube from order to acknowledgement.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    book::{self, BookPatient, name_words},
    image,
    model::{OrderStatus, QueueState, ResultState},
    settle,
    store::{Db, StoreError},
    text,
    trace::{self, Subject, Trace, TracedResult},
    tubes::rows::{TrackRow, kinds},
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    images,
    look::{self, FOUND_MAX, Found},
    page::{Page, Place, Tone, empty, of_tube, state, when},
    patient,
    queue::destination,
    words::Words,
    work::{flags, note_reading, test_name},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/specimens", get(show))
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) q: String,
}

/// A barcode that was scanned has at most so many characters; a name too.
const ASKED_CHARS_MAX: usize = 80;

/// Results of one barcode shown; a control's material may have thousands.
const RESULTS_MAX: usize = 300;

/// Everything about one barcode.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) barcode: String,
    pub(super) patients: Vec<BookPatient>,
    pub(super) trace: Trace,
    pub(super) images: Vec<image::Shown>,
}

/// What a search found.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Tube(Box<Sheet>),
    List {
        barcodes: Vec<String>,
        patients: Vec<Found>,
    },
}

/// `GET /specimens?q=`
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let words = who.words();
    let asked: String = asked.q.trim().chars().take(ASKED_CHARS_MAX).collect();
    let page = |title: String| Page::new(&app, &who, Place::Specimens, title);
    if asked.is_empty() {
        let content = html! { (search(words, "")) p.hint { (words.t("specimens.hint")) } };
        return Ok(page(words.t("place.specimens")).show(&content));
    }
    let answer = find(&app, &asked).await?;
    Ok(match answer {
        Answer::Tube(sheet) => {
            note_reading(&app, &who, &format!("specimen:{}", sheet.barcode)).await?;
            page(sheet.barcode.clone()).show(&tube(&app, words, &sheet))
        }
        Answer::List { barcodes, patients } => {
            if let ([only], []) = (barcodes.as_slice(), patients.as_slice()) {
                return Ok(Redirect::to(&of_tube(only)).into_response());
            }
            note_reading(&app, &who, "specimens:search").await?;
            let content =
                html! { (search(words, &asked)) (list(&app, words, &barcodes, &patients)) };
            page(words.t("place.specimens")).show(&content)
        }
        Answer::Nothing => {
            let content = html! {
                (search(words, &asked))
                p.empty { (state(Tone::Plain, &words.f("specimens.nothing", &[("asked", &asked)]))) }
                p.hint { (words.t("specimens.hint")) }
            };
            page(words.t("place.specimens")).show(&content)
        }
    })
}

fn search(words: Words, asked: &str) -> Markup {
    html! {
        form.find action="/specimens" role="search" aria-label=(words.t("specimens.find")) {
            label for="q" { (words.t("specimens.search")) }
            input id="q" name="q" type="search" value=(asked) autocomplete="off" spellcheck="false" maxlength="80";
            button.primary type="submit" { (words.t("specimens.find")) }
        }
    }
}

/// Looks for what was scanned or typed: a barcode to the last zero, a control id or a result as
/// `labwire trace` knows them, the beginning of a barcode, a patient's number or name.
pub(super) async fn find(app: &App, asked: &str) -> Result<Answer, Fault> {
    let asked = asked.to_owned();
    let hosts = &app.parts.loaded.lab.hosts;
    let hosts: Vec<String> = hosts.iter().map(|host| host.id.to_string()).collect();
    let answer = app.read(move |db| answer(db, &asked, &hosts)).await?;
    Ok(answer)
}

fn answer(db: &mut dyn Db, asked: &str, hosts: &[String]) -> Result<Answer, StoreError> {
    let subjects = trace::resolve(db, asked)?;
    if let Some(barcode) = barcode_of(db, subjects.first())? {
        return Ok(Answer::Tube(Box::new(sheet(db, barcode)?)));
    }
    let barcodes = look::barcodes(db, asked)?;
    let patients = look::patients(db, &name_words(asked), hosts, asked)?;
    if barcodes.is_empty() && patients.is_empty() {
        return Ok(Answer::Nothing);
    }
    Ok(Answer::List { barcodes, patients })
}

fn barcode_of(db: &mut dyn Db, subject: Option<&Subject>) -> Result<Option<String>, StoreError> {
    let barcode = match subject {
        None => None,
        Some(Subject::Specimen(barcode)) => Some(barcode.clone()),
        Some(Subject::Result(id)) => settle::result_by_id(db, *id)?.map(|result| result.barcode),
        Some(Subject::Queue(id)) => crate::queue::find(db, *id)?.map(|row| row.barcode),
    };
    Ok(barcode.filter(|barcode| !barcode.is_empty()))
}

fn sheet(db: &mut dyn Db, barcode: String) -> Result<Sheet, StoreError> {
    let mut patients = Vec::new();
    for tube in book::specimens_with_barcode(db, &barcode, 0)? {
        patients.push(book::patient_of(db, tube.patient)?);
    }
    let mut trace = trace::gather(db, &Subject::Specimen(barcode.clone()))?;
    let beyond = trace.results.len().saturating_sub(RESULTS_MAX);
    trace.results.drain(..beyond);
    let images = image::of_barcode(db, &barcode, images::SHOWN_MAX)?;
    Ok(Sheet {
        barcode,
        images,
        patients,
        trace,
    })
}

fn list(app: &App, words: Words, barcodes: &[String], patients: &[Found]) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        @if !barcodes.is_empty() {
            h2 { (words.t("specimens.barcodes")) }
            ul.chips { @for barcode in barcodes { li { a.code.tube href=(of_tube(barcode)) { (barcode) } } } }
        }
        @if !patients.is_empty() {
            h2 { (words.t("specimens.patients")) }
            ul.cards.rows { @for found in patients {
                li.card tabindex="0" {
                    (patient::line(&found.patient, words))
                    ul.chips { @for (barcode, at) in &found.tubes {
                        li { a.code.tube href=(of_tube(barcode)) { (barcode) } " " (when(*at, zone, now)) }
                    } }
                }
            } }
            @if patients.len() >= FOUND_MAX { p.hint { (words.t("specimens.more")) } }
        }
    }
}

fn tube(app: &App, words: Words, sheet: &Sheet) -> Markup {
    html! {
        @for (at, patient) in sheet.patients.iter().enumerate() {
            p.who { @if sheet.patients.len() > 1 { (words.t("specimens.use")) " " (at + 1) ": " } (patient::line(patient, words)) }
        }
        @if sheet.patients.len() > 1 { p.wrong { (state(Tone::Look, &words.t("specimens.several"))) } }
        @if sheet.patients.is_empty() { p.wrong { (state(Tone::Look, &words.t("specimens.no-order"))) } }
        (orders(app, words, sheet))
        (results(app, words, sheet))
        (images::section(app, words, &sheet.images))
        (timeline(app, words, sheet))
    }
}

fn orders(app: &App, words: Words, sheet: &Sheet) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section aria-labelledby="orders-title" {
            h2 id="orders-title" { (words.t("specimens.orders")) }
            @if sheet.trace.tubes.iter().all(|tube| tube.items.is_empty()) { (empty(&words.t("specimens.none"))) }
            @else { div.wide { table {
                thead { tr { @for key in ["order", "service", "tests", "state", "told", "received"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for tube in &sheet.trace.tubes { @for item in &tube.items { tr {
                    th.code scope="row" { (item.placer) }
                    td { (item.service) }
                    td { (item.tests.join(", ")) }
                    td { @if let Some(known) = OrderStatus::from_code(&item.status) {
                        (state(order_tone(known), &text::order_status(words.0, known)))
                    } }
                    td { @for (line, at) in &item.told { (line) " " (when(*at, zone, now)) " " } }
                    td { (when(item.created_at, zone, now)) }
                } } } }
            } } }
        }
    }
}

const fn order_tone(status: OrderStatus) -> Tone {
    match status {
        OrderStatus::Scheduled | OrderStatus::Partial => Tone::Calm,
        OrderStatus::Complete => Tone::Good,
        OrderStatus::Cancelled => Tone::Plain,
    }
}

pub(super) const fn result_tone(state: ResultState) -> Tone {
    match state {
        ResultState::Held => Tone::Look,
        ResultState::Waiting => Tone::Calm,
        ResultState::Released | ResultState::Confirmed => Tone::Good,
        ResultState::Kept
        | ResultState::Repeat
        | ResultState::Replaced
        | ResultState::SetAside
        | ResultState::Control => Tone::Plain,
    }
}

fn results(app: &App, words: Words, sheet: &Sheet) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section aria-labelledby="results-title" {
            h2 id="results-title" { (words.t("specimens.results")) }
            @if sheet.trace.results.is_empty() { (empty(&words.t("specimens.none"))) }
            @else { div.wide { table {
                thead { tr { @for key in ["test", "value", "flags", "state", "reason", "host", "device", "received"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for one in &sheet.trace.results {
                    @let result = &one.stored;
                    tr {
                        th scope="row" { (test_name(app, words, result)) }
                        td.value { (look::shown(result)) " " span.unit { (result.observation.unit) } }
                        td { (flags(&result.observation.flags)) }
                        td { (state(result_tone(result.state), &words.t(&format!("result-state.{}", result.state.code())))) }
                        td { @for hold in &result.holds { (text::hold(words.0, hold.reason).title) " " } }
                        td { (on_its_way(words, &sheet.trace, one)) }
                        td { a href={ "/devices/" (result.line) } { (result.line) } }
                        td { (when(result.received_at, zone, now)) }
                    }
                } }
            } } }
        }
    }
}

fn on_its_way(words: Words, trace: &Trace, one: &TracedResult) -> Markup {
    html! { @for row in one.rows.iter().filter_map(|id| trace.queue.get(id)) {
        (state(queue_tone(row.state), &text::queue_state(words.0, row.state))) " "
        @if !row.answer.is_empty() { span.code { (row.answer) } " " }
    } }
}

const fn queue_tone(state: QueueState) -> Tone {
    match state {
        QueueState::Delivered => Tone::Good,
        QueueState::SetAside => Tone::Act,
        QueueState::Waiting | QueueState::Leased => Tone::Calm,
        QueueState::Discarded | QueueState::Superseded => Tone::Plain,
    }
}

/// Something that happened to a tube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) at: i64,
    pub(super) key: &'static str,
    pub(super) detail: String,
}

/// What happened to a tube, oldest first.
pub(super) fn happened(words: Words, trace: &Trace) -> Vec<Happened> {
    let mut all = Vec::new();
    let mut add = |at: i64, key: &'static str, detail: String| {
        let one = Happened { at, key, detail };
        if !all.contains(&one) {
            all.push(one);
        }
    };
    for tube in &trace.tubes {
        if let Some(at) = tube.collected_at {
            add(at, "collected", String::new());
        }
        for item in &tube.items {
            add(
                item.created_at,
                "ordered",
                format!("{} {}", item.placer, item.service),
            );
            for (line, at) in &item.told {
                add(*at, "told", line.clone());
            }
        }
    }
    for message in trace.messages.values() {
        let tests: Vec<&str> = trace
            .results
            .iter()
            .filter(|one| one.stored.message == message.id)
            .map(|one| one.stored.observation.code.as_str())
            .collect();
        if !tests.is_empty() {
            let detail = format!("{}: {}", message.line, few(&tests));
            add(message.received_at, "measured", detail);
        }
    }
    for row in &trace.track {
        if let Some(key) = of_line(&row.kind) {
            add(row.at, key, place(row));
        }
    }
    for row in trace.queue.values() {
        let to = destination(words, &row.destination);
        add(row.created_at, "queued", to.clone());
        let key = match row.state {
            QueueState::Delivered => "delivered",
            QueueState::Discarded => "discarded",
            QueueState::SetAside => "refused",
            QueueState::Waiting | QueueState::Leased | QueueState::Superseded => continue,
        };
        if let Some(at) = row.closed_at {
            let answer = [to.as_str(), &row.answer, &row.closed_by, &row.reason];
            let answer: Vec<&str> = answer.into_iter().filter(|part| !part.is_empty()).collect();
            add(at, key, answer.join(" · "));
        }
    }
    // What lines and hosts wrote down is told above, in words.
    let is_person = |actor: &str| !actor.starts_with("line:") && !actor.starts_with("host:");
    for row in trace.audit.iter().filter(|row| is_person(&row.actor)) {
        add(
            row.at,
            "audit",
            format!("{}: {} {}", row.actor, row.action, row.detail),
        );
    }
    all.sort_by_key(|one| one.at);
    all
}

/// Of many codes the first ones.
fn few(codes: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = codes.iter().copied().take(SHOWN).collect();
    let more = if codes.len() > SHOWN { " …" } else { "" };
    format!("{}{more}", shown.join(" "))
}

/// What of a line's rows people are told: its advice and its commands are `labwire trace`'s.
fn of_line(kind: &str) -> Option<&'static str> {
    Some(match kind {
        kinds::RECEIVED => "line-received",
        "seen" => "line-seen",
        "started" => "line-started",
        "finished" => "line-finished",
        "left" => "line-left",
        "kept" => "line-kept",
        "lost" => "line-lost",
        kinds::TWO_PLACES => "line-doubled",
        kinds::CLEARED => "line-cleared",
        _ => return None,
    })
}

/// Module and line, with where it goes or stands.
fn place(row: &TrackRow) -> String {
    let to = if row.detail.to.is_empty() {
        ""
    } else {
        " → "
    };
    let position = if row.detail.position.is_empty() {
        ""
    } else {
        ", "
    };
    format!(
        "{}{to}{}{position}{} ({})",
        row.module, row.detail.to, row.detail.position, row.line
    )
}

/// Where a tube of an automation line is, by the last thing told of it.
fn whereabouts(app: &App, words: Words, trace: &Trace) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let is_place = |row: &&TrackRow| {
        matches!(
            &*row.kind,
            "seen" | "started" | "finished" | "left" | "kept" | "lost"
        )
    };
    let last = trace.track.iter().filter(is_place).max_by_key(|row| row.at);
    let told = last.and_then(|row| Some((row, of_line(&row.kind)?)));
    html! {
        @if let Some((row, key)) = told {
            p.where { (words.t("specimens.where")) " " strong { (words.t(&format!("happened.{key}"))) } " "
                (place(row)) " " (when(row.at, zone, app.now())) }
        }
    }
}

fn timeline(app: &App, words: Words, sheet: &Sheet) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section aria-labelledby="timeline-title" {
            h2 id="timeline-title" { (words.t("specimens.timeline")) }
            (whereabouts(app, words, &sheet.trace))
            ol.timeline { @for one in happened(words, &sheet.trace) {
                li { (when(one.at, zone, now)) " " strong { (words.t(&format!("happened.{}", one.key))) } " " (one.detail) }
            } }
            p.hint { (words.t("specimens.trace")) " " code { "labwire trace " (sheet.barcode) } }
        }
    }
}
