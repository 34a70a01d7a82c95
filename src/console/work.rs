//! Work, the start page: what needs a human, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use serde::Serialize;

use crate::{
    audit,
    book::{self, BookPatient},
    bridge::Site,
    model::{Hold, Priority, ResultState},
    settle::StoredResult,
    store::{Db, StoreError},
    text, worklist,
};

use super::{
    App, acts,
    fault::Fault,
    gate::Who,
    live::Moment,
    look,
    page::{Page, Place, Tone, empty, of_tube, since, state, when},
    patient,
    words::Words,
};

/// Results read for one page, oldest first: what is older than these is what matters.
const RESULTS_MAX: i64 = 400;
/// Tubes shown at once; the next ones come as these are done.
const TUBES_MAX: usize = 40;

/// A tube with results that somebody has to decide about.
#[derive(Clone, Debug)]
pub(super) struct Tube {
    pub(super) barcode: String,
    pub(super) patient: Option<BookPatient>,
    pub(super) priority: Priority,
    pub(super) is_critical: bool,
    pub(super) since: i64,
    pub(super) results: Vec<Undecided>,
}

/// A held or waiting result with what one compares it with.
#[derive(Clone, Debug)]
pub(super) struct Undecided {
    pub(super) result: StoredResult,
    pub(super) previous: Option<StoredResult>,
    pub(super) is_critical: bool,
}

/// What a program gets of a held or waiting result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    id: i64,
    barcode: String,
    line: String,
    state: &'static str,
    test: Option<String>,
    code: String,
    value: String,
    unit: String,
    flags: Vec<String>,
    holds: Vec<Hold>,
    priority: &'static str,
    is_critical: bool,
    received_at: String,
}

impl Tube {
    /// Its results for programs.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.results.iter().map(|one| {
            let result = &one.result;
            Row {
                id: result.id,
                barcode: result.barcode.clone(),
                line: result.line.clone(),
                state: result.state.code(),
                test: result.observation.test.clone(),
                code: result.observation.code.clone(),
                value: look::shown(result),
                unit: result.observation.unit.clone(),
                flags: result.observation.flags.clone(),
                holds: result.holds.clone(),
                priority: self.priority.code(),
                is_critical: one.is_critical,
                received_at: super::words::rfc3339(result.received_at),
            }
        })
    }
}

/// Tubes with results in a state: critical, then STAT, then the oldest first.
pub(super) fn tubes(
    db: &mut dyn Db,
    site: &Site,
    state: ResultState,
    now: i64,
) -> Result<Vec<Tube>, StoreError> {
    let mut by_tube: BTreeMap<(String, Option<i64>), Vec<StoredResult>> = BTreeMap::new();
    for result in look::undecided(db, state, RESULTS_MAX)? {
        let key = if result.barcode.is_empty() {
            (format!("\u{0}{}", result.id), None)
        } else {
            (result.barcode.clone(), result.specimen)
        };
        by_tube.entry(key).or_default().push(result);
    }
    let ids: Vec<i64> = by_tube
        .keys()
        .filter_map(|(_, specimen)| *specimen)
        .collect();
    let known = book::specimens_by_ids(db, &ids)?;
    let owners: BTreeSet<i64> = known.values().map(|tube| tube.patient).collect();
    let patients = book::patients_of(db, &owners)?;
    let mut tubes = Vec::new();
    for ((_, specimen), results) in by_tube {
        let priority = specimen
            .map(|id| look::priority(db, id))
            .transpose()?
            .unwrap_or_default();
        let owner = specimen
            .and_then(|id| known.get(&id))
            .map(|tube| tube.patient);
        let patient = owner.and_then(|owner| patients.get(&owner));
        let is_critical = |result: &StoredResult| {
            worklist::critical(site, &result.observation, patient, now).is_some()
        };
        tubes.push((owner, tube_of(priority, results, &is_critical)));
    }
    tubes.sort_by_key(|(_, tube)| (!tube.is_critical, tube.priority, tube.since));
    tubes.truncate(TUBES_MAX);
    tubes
        .into_iter()
        .map(|(owner, tube)| of_patient(db, owner, tube))
        .collect()
}

fn tube_of(
    priority: Priority,
    results: Vec<StoredResult>,
    is_critical: &dyn Fn(&StoredResult) -> bool,
) -> Tube {
    let results: Vec<Undecided> = results
        .into_iter()
        .map(|result| Undecided {
            is_critical: is_critical(&result),
            previous: None,
            result,
        })
        .collect();
    let first = results.first().map(|one| one.result.barcode.clone());
    let since = results.iter().map(|one| one.result.received_at).min();
    Tube {
        barcode: first.unwrap_or_default(),
        patient: None,
        priority,
        is_critical: results.iter().any(|one| one.is_critical),
        since: since.unwrap_or_default(),
        results,
    }
}

/// A tube with its patient, and what was released for that patient before.
fn of_patient(db: &mut dyn Db, owner: Option<i64>, mut tube: Tube) -> Result<Tube, StoreError> {
    let Some(owner) = owner else {
        return Ok(tube);
    };
    tube.patient = Some(book::patient_of(db, owner)?);
    for one in &mut tube.results {
        if let Some(test) = one.result.observation.test.clone() {
            one.previous = look::previous(db, owner, &test, one.result.id)?;
        }
    }
    Ok(tube)
}

/// The number beside the menu's entry.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let held = moment.counts.held.count;
    html! {
        @if held > 0 {
            span.badge.look { (words.count(held)) span.unseen { " " (words.t("work.held")) } }
        }
    }
}

/// The counts on top, live.
pub(super) fn summary(words: Words, app: &App, moment: &Moment) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let counts = &moment.counts;
    let aside = counts.set_aside();
    let is_done = counts.held.count == 0 && aside == 0;
    html! {
        @if !moment.is_readable {
            p.wrong role="alert" { (state(Tone::Act, &words.t("store-silent"))) }
        }
        ul.numbers {
            li {
                a href="#held" {
                    span.number { (words.count(counts.held.count)) }
                    (state(if counts.held.count > 0 { Tone::Look } else { Tone::Good }, &words.t("work.held")))
                    @if let Some(oldest) = counts.held.oldest_at {
                        span.since { (words.t("oldest")) " " (since(oldest, zone, moment.now)) }
                    }
                }
            }
            li {
                a href="/queue?state=set-aside" {
                    span.number { (words.count(aside)) }
                    (state(if aside > 0 { Tone::Act } else { Tone::Good }, &words.t("work.refused")))
                }
            }
            li {
                a href="#waiting" {
                    span.number { (words.count(counts.waiting.count)) }
                    (state(Tone::Calm, &words.t("work.waiting")))
                    @if let Some(oldest) = counts.waiting.oldest_at {
                        span.since { (words.t("oldest")) " " (since(oldest, zone, moment.now)) }
                    }
                }
            }
        }
        @if is_done { (empty(&words.t("work.done"))) }
    }
}

/// `GET /`
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let now = app.now();
    let moment = super::live::moment(&app).await?;
    let parts = app.parts.clone();
    let (held, waiting) = app
        .read(move |db| {
            let site = &parts.site;
            Ok((
                tubes(db, site, ResultState::Held, now)?,
                tubes(db, site, ResultState::Waiting, now)?,
            ))
        })
        .await?;
    note_reading(&app, &who, "work:list").await?;
    let content = html! {
        div sse-swap="work" { (summary(words, &app, &moment)) }
        @if !held.is_empty() {
            section id="held" aria-labelledby="held-title" {
                h2 id="held-title" { (words.t("work.held")) }
                p.more id="more" hidden { a.button href="/" { (words.t("work.more")) } }
                ol.cards.rows { @for tube in &held { (card(&app, &who, tube, now)) } }
            }
        }
        @if !waiting.is_empty() {
            section id="waiting" aria-labelledby="waiting-title" {
                h2 id="waiting-title" { (words.t("work.waiting")) }
                p.hint { (words.t("work.waiting-hint")) }
                ol.cards.rows { @for tube in &waiting { (card(&app, &who, tube, now)) } }
            }
        }
    };
    let mut page = Page::new(&app, &who, Place::Work, words.t("place.work"));
    page.live = "on=work";
    Ok(page.show(&content))
}

/// Writes down that somebody saw patients.
pub(super) async fn note_reading(app: &App, who: &Who, what: &str) -> Result<(), Fault> {
    let (now, login, what) = (app.now(), who.person.login.clone(), what.to_owned());
    app.write(move |db| audit::write(db, now, &login, "read", &what, ""))
        .await?;
    Ok(())
}

fn card(app: &App, who: &Who, tube: &Tube, now: i64) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    let mut reasons: Vec<_> = tube
        .results
        .iter()
        .flat_map(|one| one.result.holds.iter().map(|hold| hold.reason))
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    html! {
        li.card.act[tube.is_critical] tabindex="0" {
            div.head {
                @if tube.is_critical { (state(Tone::Act, &words.t("work.critical"))) }
                @if tube.priority == Priority::Stat { span.stat { (text::priority(words.0, tube.priority)) } }
                @if tube.barcode.is_empty() { span.code { (words.t("no-barcode")) } }
                @else { a.code.tube href=(of_tube(&tube.barcode)) { (tube.barcode) } }
                @if let Some(patient) = &tube.patient { (patient::line(patient, words)) }
                span.since { (since(tube.since, zone, now)) }
            }
            @for reason in &reasons {
                @let hold = text::hold(words.0, *reason);
                p.why { (state(Tone::Look, &hold.title)) " " (hold.what) " " span.todo { (hold.todo) } }
            }
            (table(app, who, &tube.results, now))
        }
    }
}

fn table(app: &App, who: &Who, results: &[Undecided], now: i64) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    html! {
        div.wide tabindex="0" role="group" aria-label=(words.t("work.results")) {
            table {
                thead { tr {
                    @for key in ["test", "value", "flags", "previous", "reason", "device", "received"] {
                        th scope="col" { (words.t(&format!("column.{key}"))) }
                    }
                    th scope="col" { span.unseen { (words.t("column.acts")) } }
                } }
                tbody {
                    @for one in results {
                        @let result = &one.result;
                        tr {
                            th scope="row" { (test_name(app, words, result)) }
                            td.value { (look::shown(result)) " " span.unit { (result.observation.unit) } }
                            td { (flags(&result.observation.flags)) }
                            td.value { @if let Some(before) = &one.previous {
                                (look::shown(before)) " " (when(before.received_at, zone, now))
                            } }
                            td { @for hold in &result.holds { (reason(words, hold)) } }
                            td { a href={ "/devices/" (result.line) } { (result.line) } }
                            td { (when(result.received_at, zone, now)) }
                            td { (acts::of_result(who, result)) }
                        }
                    }
                }
            }
        }
    }
}

fn reason(words: Words, hold: &Hold) -> Markup {
    let title = text::hold(words.0, hold.reason).title;
    html! { span.reason { (title) @if !hold.detail.is_empty() { " (" (text::said(words.0, &hold.detail)) ")" } } " " }
}

/// The device's own marks, as technicians know them.
pub(super) fn flags(flags: &[String]) -> Markup {
    html! { @for flag in flags { span.flag { (flag) } " " } }
}

/// The name of a test in the language of whoever looks, with its id; or the device's code.
pub(super) fn test_name(app: &App, words: Words, result: &StoredResult) -> Markup {
    let code = &result.observation.code;
    let Some(test) = &result.observation.test else {
        return html! { span.code { (code) } };
    };
    let known = app.parts.loaded.catalogue.test(test);
    let name = known.map_or("", |known| known.name.in_language(words.0));
    html! {
        span.code { (test) }
        @if !name.is_empty() && name != test { " " span.name { (name) } }
    }
}
