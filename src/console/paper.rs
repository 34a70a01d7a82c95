//! On paper: results for the ward while the HIS is away, and what the benches have to do.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    audit, book,
    downtime::{self, Bench, Line, Sheet},
    model::{HoldReason, Priority, ResultState},
    people::Role,
    settle::{self, StoredResult},
    store::{Db, StoreError},
    text,
    worklist::{Acting, Leave, Person},
};

use super::{
    App,
    downtime::test_name,
    fault::Fault,
    gate::{Posted, Who},
    look,
    page::{Page, Place, Tone, empty, encoded, state, token, when},
    patient,
    words::Words,
    work::{flags, note_reading, test_name as result_name},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/downtime/worklist", get(worklist))
        .route("/downtime/paper", get(show).post(print))
        .route("/downtime/release", post(release))
}

/// What the address says.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
}

/// As a scanner gives one.
const BARCODE_CHARS_MAX: usize = 80;
/// Orders of so long are listed to be measured, microseconds.
const WORK_SINCE: i64 = 3 * 24 * 3_600 * 1_000_000;

/// Who printed, and when.
struct Printed<'a> {
    by: &'a str,
    at: i64,
}

struct Tubes {
    sheets: Vec<Sheet>,
    /// Results that nobody has decided about.
    undecided: Vec<StoredResult>,
}

fn tubes(db: &mut dyn Db, barcode: &str, since: i64) -> Result<Tubes, StoreError> {
    let undecided = settle::of_barcode(db, barcode)?
        .into_iter()
        .filter(|one| matches!(one.state, ResultState::Held | ResultState::Waiting));
    Ok(Tubes {
        undecided: undecided.collect(),
        sheets: downtime::sheets(db, barcode, since)?,
    })
}

async fn read(app: &App, barcode: &str) -> Result<Tubes, Fault> {
    let since = app.now() - app.parts.site.laboratory.specimen_age_max;
    let barcode = barcode.to_owned();
    Ok(app.read(move |db| tubes(db, &barcode, since)).await?)
}

/// `GET /downtime/paper?q=`: what would be printed, and what is still to be looked at.
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let barcode: String = asked.q.trim().chars().take(BARCODE_CHARS_MAX).collect();
    preview(&app, &who, &barcode, None).await
}

async fn preview(
    app: &App,
    who: &Who,
    barcode: &str,
    wrong: Option<&str>,
) -> Result<Response, Fault> {
    let words = who.words();
    note_reading(app, who, &format!("specimen:{barcode}")).await?;
    let found = read(app, barcode).await?;
    let content = html! {
        p { a href="/downtime" { "← " (words.t("place.downtime")) } }
        @if let Some(wrong) = wrong { p.wrong role="alert" { (state(Tone::Look, wrong)) } }
        @if found.sheets.is_empty() { (empty(&words.f("specimens.nothing", &[("asked", barcode)]))) }
        @else {
            (undecided(app, who, words, barcode, &found.undecided))
            @if found.sheets.len() > 1 { p.wrong { (state(Tone::Act, &words.t("specimens.several"))) } }
            @else {
                form.acts method="post" action="/downtime/paper" {
                    (token(who))
                    input type="hidden" name="q" value=(barcode);
                    button.primary type="submit" { (words.t("paper.print")) }
                }
            }
            @for sheet in &found.sheets { (paper(app, words, sheet, None)) }
        }
    };
    let title = words.f("paper.title", &[("barcode", barcode)]);
    Ok(Page::new(app, who, Place::Downtime, title).show(&content))
}

/// Results that nobody has decided about: those of keyed orders can be kept for the ward here.
fn undecided(
    app: &App,
    who: &Who,
    words: Words,
    barcode: &str,
    results: &[StoredResult],
) -> Markup {
    let is_keyed = |one: &StoredResult| {
        let mut reasons = one.holds.iter().map(|hold| hold.reason);
        one.state == ResultState::Held && reasons.any(|one| one == HoldReason::ProvisionalOrder)
    };
    let may = who.may(Role::Technician) && results.iter().any(is_keyed);
    html! {
        @if !results.is_empty() {
            section aria-labelledby="undecided-title" {
                h2 id="undecided-title" { (words.t("paper.undecided")) }
                form method="post" action="/downtime/release" {
                    (token(who))
                    input type="hidden" name="q" value=(barcode);
                    div.wide tabindex="0" role="group" aria-label=(words.t("paper.undecided")) { table {
                        thead { tr { @for key in ["test", "value", "flags", "reason"] {
                            th scope="col" { (words.t(&format!("column.{key}"))) }
                        } } }
                        tbody { @for one in results { tr {
                            th scope="row" {
                                @if may && is_keyed(one) {
                                    label.check { input type="checkbox" name={ "result-" (one.id) } value="on"; " " (result_name(app, words, one)) }
                                } @else { (result_name(app, words, one)) }
                            }
                            td.value { (look::shown(one)) " " span.unit { (one.observation.unit) } }
                            td { (flags(&one.observation.flags)) }
                            td { @for hold in &one.holds { span.reason { (text::hold(words.0, hold.reason).title) } " " } }
                        } } }
                    } }
                    @if may { p.acts {
                        label.unseen for="reason" { (words.t("queue.reason")) }
                        input id="reason" name="reason" required maxlength="200" placeholder=(words.t("queue.reason"));
                        button type="submit" { (words.t("paper.release")) }
                    } }
                }
            }
        }
    }
}

/// `POST /downtime/release`: a person looked at results of keyed orders and keeps them for the ward.
async fn release(State(app): State<Arc<App>>, who: Who, posted: Posted) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let barcode = posted.field("q").to_owned();
    let found = read(&app, &barcode).await?;
    let chosen: Vec<i64> = found
        .undecided
        .iter()
        .map(|one| one.id)
        .filter(|id| posted.field(&format!("result-{id}")) == "on")
        .collect();
    let reason = posted.field("reason").to_owned();
    if chosen.is_empty() || reason.is_empty() {
        return Err(Fault::NOT_UNDERSTOOD);
    }
    let site = Arc::clone(&app.parts.site);
    let now = app.now();
    let person = Person {
        name: who.person.login.clone(),
        role: who.person.role,
    };
    let refused = app
        .write(move |db| {
            let acting = Acting {
                site: &site,
                person: &person,
                reason: &reason,
                now,
            };
            let mut refused = None;
            for id in chosen {
                refused = acting.release(db, id, Leave::Later)?.err().or(refused);
            }
            Ok(refused)
        })
        .await?;
    match refused {
        None => {
            let to = format!("/downtime/paper?q={}", encoded(&barcode));
            Ok(Redirect::to(&to).into_response())
        }
        Some(refused) => {
            let why = refused.told(who.language);
            preview(&app, &who, &barcode, Some(&why)).await
        }
    }
}

/// `POST /downtime/paper`: the sheet as it is printed; who printed what is written down.
async fn print(State(app): State<Arc<App>>, who: Who, posted: Posted) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let words = who.words();
    let barcode = posted.field("q").to_owned();
    let found = read(&app, &barcode).await?;
    // Of two patients with one barcode nobody knows whose the values are.
    let [sheet] = found.sheets.as_slice() else {
        return Err(Fault::CONFLICT);
    };
    let results: Vec<i64> = sheet.lines.iter().map(|line| line.result.id).collect();
    let detail = serde_json::json!({ "results": results, "undecided": sheet.undecided });
    let (now, login) = (app.now(), who.person.login.clone());
    let subject = format!("specimen:{barcode}");
    app.write(move |db| {
        let detail = detail.to_string();
        audit::write(db, now, &login, "printed-provisional", &subject, &detail)
    })
    .await?;
    let printed = Printed {
        by: &who.person.name,
        at: now,
    };
    let content = html! {
        p.screen { a href={ "/downtime/paper?q=" (encoded(&barcode)) } { "← " (words.t("paper.back")) } }
        div data-print="now" { (paper(&app, words, sheet, Some(&printed))) }
    };
    let title = words.f("paper.title", &[("barcode", &barcode)]);
    Ok(Page::new(&app, &who, Place::Downtime, title).show(&content))
}

/// Day and time whole: paper is read on another day.
fn whole(micros: i64, zone: &TimeZone) -> String {
    Timestamp::from_microsecond(micros).map_or_else(
        |_| String::new(),
        |at| {
            at.to_zoned(zone.clone())
                .strftime("%H:%M %d/%m/%Y")
                .to_string()
        },
    )
}

/// ORC-13, where a keyed order has the ward.
const WARD: u16 = 13;

fn paper(app: &App, words: Words, sheet: &Sheet, printed: Option<&Printed<'_>>) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let lab = &app.parts.loaded.lab.lab.name;
    let numbers: Vec<&str> = sheet
        .items
        .iter()
        .filter(|item| book::is_keyed(&item.host))
        .map(|item| item.placer.as_str())
        .collect();
    let ward = sheet.items.iter().find_map(|item| item.orc.get(&WARD));
    html! {
        article.paper {
            header {
                p { strong { (lab) } }
                p.provisional { (words.t("paper.provisional")) }
            }
            dl {
                dt { (words.t("paper.patient")) } dd { (patient::line(&sheet.patient, words)) }
                dt { (words.t("paper.barcode")) } dd.code { (sheet.barcode) }
                @if !numbers.is_empty() { dt { (words.t("paper.number")) } dd.code { (numbers.join(", ")) } }
                @if let Some(ward) = ward { dt { (words.t("downtime.ward")) } dd { (ward) } }
            }
            @if sheet.lines.is_empty() { p { (words.t("paper.none")) } }
            @else { div.wide tabindex="0" role="group" aria-label=(words.t("column.test")) { table {
                thead { tr { @for key in ["test", "value", "unit", "range", "flags", "received", "device"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for line in &sheet.lines { (row(app, words, line, zone)) } }
            } } }
            @if sheet.undecided > 0 {
                p { (words.f("paper.undecided-count", &[("count", &sheet.undecided.to_string())])) }
            }
            @if !sheet.missing.is_empty() { p { (words.t("paper.missing")) " " (sheet.missing.join(", ")) } }
            footer {
                p { (words.t("paper.replaced")) }
                @if let Some(printed) = printed {
                    p { (words.f("paper.printed", &[("name", printed.by), ("at", &whole(printed.at, zone))])) }
                    p.sign { (words.t("paper.sign")) }
                }
            }
        }
    }
}

fn row(app: &App, words: Words, line: &Line, zone: &TimeZone) -> Markup {
    let of = &line.result.observation;
    html! { tr {
        th scope="row" { (result_name(app, words, &line.result)) }
        td.value { (look::shown(&line.result))
            @if let Some(before) = &line.before {
                br; span.corrected { (words.f("paper.corrected", &[("before", &look::shown(before))])) }
            }
        }
        td { (of.unit) }
        td { (of.range) }
        td { (flags(&of.flags)) }
        td { (whole(line.result.received_at, zone)) }
        td { (line.result.line) @if line.is_provisional { " *" } }
    } }
}

/// `GET /downtime/worklist`: what is ordered and not measured, by device.
async fn worklist(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    note_reading(&app, &who, "downtime:worklist").await?;
    let (site, since) = (Arc::clone(&app.parts.site), app.now() - WORK_SINCE);
    let benches = app
        .read(move |db| downtime::benches(db, &site, since))
        .await?;
    let sections = &app.parts.loaded.lab.instruments;
    let section = |line: &str| {
        let own = sections.iter().find(|one| one.id.as_str() == line);
        own.map_or(String::new(), |one| one.section.to_string())
    };
    let zone = &app.parts.site.laboratory.zone;
    let content = html! {
        p.screen { a href="/downtime" { "← " (words.t("place.downtime")) } }
        p.screen { button type="button" data-print-button="" { (words.t("paper.print")) } }
        p { (words.f("paper.printed", &[("name", &who.person.name), ("at", &whole(app.now(), zone))])) }
        @if benches.iter().all(|bench| bench.open.is_empty()) { (empty(&words.t("worklist.nothing"))) }
        @for one in benches.iter().filter(|bench| !bench.open.is_empty()) {
            (bench(&app, words, one, &section(&one.line)))
        }
    };
    Ok(Page::new(&app, &who, Place::Downtime, words.t("downtime.worklist")).show(&content))
}

/// Tubes that are listed of a device; its list is worked from the top.
const TUBES_SHOWN: usize = 100;

fn bench(app: &App, words: Words, bench: &Bench, section: &str) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section.bench {
            h2 { (bench.line) @if !section.is_empty() { " · " (section) } " (" (bench.open.len()) ")" }
            div.wide tabindex="0" role="group" aria-label=(bench.line) { table {
                thead { tr { @for key in ["barcode", "patient", "tests", "since"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for tube in bench.open.iter().take(TUBES_SHOWN) { tr {
                    th scope="row" {
                        a.code href=(super::page::of_tube(&tube.barcode)) { (tube.barcode) }
                        @if tube.priority == Priority::Stat { " " span.stat { (text::priority(words.0, tube.priority)) } }
                        @if tube.is_keyed { " " span.flag { (words.t("worklist.keyed")) } }
                    }
                    td { (patient::line(&tube.patient, words)) }
                    td { @for (at, test) in tube.tests.iter().enumerate() {
                        @if at > 0 { ", " }
                        span.code { (test) } @let name = test_name(app, words, test); @if !name.is_empty() { " " (name) }
                    } }
                    td { (when(tube.since, zone, now)) }
                } } }
            } }
            @if bench.open.len() > TUBES_SHOWN { p.hint { (words.t("track.more")) } }
        }
    }
}
