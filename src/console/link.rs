//! Saying which tube a result is of: found by barcode, number or name, and looked at side by side
//! with what the device said before anything is linked.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen, name_words},
    model::{OrderStatus, Priority, Private},
    people::Role,
    settle::StoredResult,
    store::{Db, StoreError},
    text,
    worklist::{self, Act, ResultEntry},
};

use super::{
    App, acts,
    fault::Fault,
    gate::Who,
    held::{self, Held},
    look,
    page::{Page, Place, Tone, state, token, when},
    patient,
    words::Words,
    work::{Asked, named},
};

/// Tubes shown for one search.
const TUBES_MAX: usize = 20;

/// What is looked for, or looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Sought {
    #[serde(default)]
    q: String,
    /// A tube that was chosen.
    #[serde(default)]
    tube: Option<i64>,
}

/// A tube with an open order, as a person has to see it.
struct Found {
    tube: BookSpecimen,
    patient: BookPatient,
    items: Vec<BookItem>,
}

/// `GET /held/{id}/link`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    Query(sought): Query<Sought>,
) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let words = who.words();
    let held = held::read(&app, &who, id).await?;
    let content = match sought.tube {
        Some(tube) => chosen(&app, &who, &held, tube, &asked).await?,
        None => search(&app, &who, &held, &sought.q, &asked).await?,
    };
    let content = html! { (held::back(words, &asked)) (content) };
    let title = text::act(words.0, Act::Link);
    Ok(Page::new(&app, &who, Place::Work, title).show(&content))
}

async fn search(
    app: &Arc<App>,
    who: &Who,
    held: &Held,
    q: &str,
    asked: &Asked,
) -> Result<Markup, Fault> {
    let words = who.words();
    let one = held.result()?;
    let age_max = app.parts.site.laboratory.specimen_age_max;
    let since = held.entry.since.saturating_sub(age_max);
    let q: String = q.trim().chars().take(80).collect();
    let hosts = &app.parts.loaded.lab.hosts;
    let hosts: Vec<String> = hosts.iter().map(|host| host.id.to_string()).collect();
    let sought = q.clone();
    let found = app.read(move |db| find(db, &sought, &hosts, since)).await?;
    Ok(html! {
        (said(app, words, held)?)
        form.find action={ "/held/" (one.id) "/link" } role="search" aria-label=(words.t("link.search")) {
            @for (name, value) in [("part", &asked.part), ("after", &asked.after), ("at", &asked.at)] {
                input type="hidden" name=(name) value=(value);
            }
            label for="q" { (words.t("link.search")) }
            input id="q" name="q" type="search" value=(q) autocomplete="off" spellcheck="false"
                maxlength="80" autofocus[found.is_empty()];
            button.primary type="submit" { (words.t("specimens.find")) }
        }
        p.hint { (words.t("link.hint")) }
        @if found.is_empty() && !q.is_empty() {
            p.wrong role="status" { (state(Tone::Look, &words.f("link.none", &[("asked", &q)]))) }
        }
        @if !found.is_empty() {
            ol.cards.rows { @for (at, tube) in found.iter().enumerate() {
                @let path = format!("/held/{}/link{}&tube={}", one.id, asked.behind(&asked.at), tube.tube.id);
                li.card tabindex="0" autofocus[at == 0] {
                    div.head {
                        a.code.tube data-open href=(path) { (tube.tube.barcode) }
                        (patient::line(&tube.patient, words))
                        @if priority(tube) != Priority::Routine { span.stat { (text::priority(words.0, priority(tube))) } }
                    }
                    p { (tests(tube)) }
                }
            } }
        }
    })
}

/// The result as its device sent it, in a line.
fn said(app: &App, words: Words, held: &Held) -> Result<Markup, Fault> {
    let one = held.result()?;
    let observation = one.observation.expose();
    let seen = held::seen(words, &observation.patient);
    Ok(html! {
        p.measured {
            span { (named(app, words, observation)) }
            span.value { (look::value(observation)) " " span.unit { (observation.unit) } }
            span { (one.line) }
            @if !seen.is_empty() { span { (words.t("held.patient")) ": " (seen) } }
        }
    })
}

/// Tubes with an open order: of this barcode, of one that begins so, of a patient of that name or
/// number.
fn find(db: &mut dyn Db, q: &str, hosts: &[String], since: i64) -> Result<Vec<Found>, StoreError> {
    if q.is_empty() {
        return Ok(Vec::new());
    }
    let mut barcodes = vec![q.to_owned()];
    barcodes.extend(look::barcodes(db, q)?);
    for found in look::patients(db, &name_words(q), hosts, q)? {
        barcodes.extend(found.tubes.into_iter().map(|(barcode, _)| barcode));
    }
    let mut tubes = BTreeMap::new();
    for barcode in barcodes {
        for tube in worklist::tubes(db, &barcode, since)? {
            if tubes.len() < TUBES_MAX && !tubes.contains_key(&tube.id) {
                tubes.insert(tube.id, of_tube(db, tube.id)?);
            }
        }
    }
    Ok(tubes.into_values().flatten().collect())
}

fn of_tube(db: &mut dyn Db, id: i64) -> Result<Option<Found>, StoreError> {
    let Some(tube) = book::specimens_by_ids(db, &[id])?.remove(&id) else {
        return Ok(None);
    };
    let mut items = book::open_items(db, id)?;
    items.retain(|item| item.status != OrderStatus::Cancelled);
    Ok(Some(Found {
        patient: book::patient_of(db, tube.patient)?,
        items,
        tube,
    }))
}

fn priority(found: &Found) -> Priority {
    let items = found.items.iter().map(|item| item.priority);
    items.min().unwrap_or_default()
}

fn tests(found: &Found) -> String {
    let tests = found.items.iter().flat_map(|item| &item.tests);
    let tests: Vec<&str> = tests.map(String::as_str).collect();
    tests.join(" ")
}

/// The result and the tube side by side, and the button that says they belong together.
async fn chosen(
    app: &Arc<App>,
    who: &Who,
    held: &Held,
    tube: i64,
    asked: &Asked,
) -> Result<Markup, Fault> {
    let words = who.words();
    let id = held.result()?.id;
    let read = app.read(move |db| Ok((of_tube(db, tube)?, acts::others(db, id)?)));
    let (found, others) = read.await?;
    let Some(found) = found.filter(|found| !found.items.is_empty()) else {
        return Ok(html! { p.wrong role="status" { (state(Tone::Look, &words.t("link.gone"))) } });
    };
    let path = format!("/held/{id}/link{}", asked.behind(&asked.at));
    let again = format!("/held/{id}/link{}", asked.behind(&asked.at));
    Ok(html! {
        p.sentence { (words.t("link.compare")) }
        (pair(app, words, held, &found)?)
        form.decide method="post" action=(path) {
            (token(who))
            input type="hidden" name="from" value="entry";
            input type="hidden" name="tube" value=(tube);
            @if !others.is_empty() { (with_others(words, &others)) }
            div.inline {
                label for="reason" { (words.t("acts.reason")) }
                input id="reason" name="reason" required maxlength="300" autofocus autocomplete="off";
                button.primary type="submit" { (words.t("link.do")) }
                a.button href=(again) { (words.t("link.other")) }
            }
        }
    })
}

/// The choice to say the same of the other results of this tube, which are named.
fn with_others(words: Words, others: &[StoredResult]) -> Markup {
    let count = words.count(others.len());
    let named = others.iter().map(|one| {
        let said = &one.observation;
        let name = said.test.as_ref().unwrap_or(&said.code);
        format!("{name} {}", look::value(said))
    });
    let named: Vec<String> = named.collect();
    html! {
        p {
            label.check {
                input type="checkbox" name="others" value="yes";
                span { (words.f("link.others", &[("count", &count)])) }
            }
        }
        p.hint { (named.join(" · ")) }
    }
}

/// What names tube and patient: as the device sent it, and as it was ordered.
fn names(words: Words, one: &ResultEntry, found: &Found) -> [(&'static str, String, String); 6] {
    let observation = one.observation.expose();
    let seen = &observation.patient;
    let read = observation.specimen.as_ref();
    let sent = read.map_or(one.barcode.as_str(), |read| read.sent.as_str());
    let place = read.map_or(String::new(), |read| {
        format!("{} {}", read.rack, read.position)
    });
    let joined = |ids: &[Private<String>]| {
        let ids: Vec<&str> = ids.iter().map(|id| id.expose().as_str()).collect();
        ids.join(" ")
    };
    let patient = &found.patient;
    [
        ("barcode", sent.to_owned(), found.tube.barcode.clone()),
        (
            "name",
            seen.name.expose().replace('^', " "),
            patient::name(patient),
        ),
        (
            "birth",
            patient::day(seen.birth.expose()),
            patient::birth(patient),
        ),
        (
            "sex",
            patient::sex(seen.sex, words),
            patient::sex(patient.sex, words),
        ),
        ("number", joined(&seen.ids), joined(&patient.identifiers)),
        ("place", place.trim().to_owned(), String::new()),
    ]
}

fn pair(app: &App, words: Words, held: &Held, found: &Found) -> Result<Markup, Fault> {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    let one = held.result()?;
    let observation = one.observation.expose();
    let is_ordered = observation.test.as_ref().map(|test| {
        let mut items = found.items.iter();
        items.any(|item| item.tests.contains(test))
    });
    Ok(html! {
        div.wide tabindex="0" role="group" aria-label=(words.t("link.compare")) { table.pair {
            thead { tr {
                th scope="col" { span.unseen { (words.t("link.what")) } }
                th scope="col" { (words.f("link.device", &[("line", &one.line)])) }
                th scope="col" { (words.t("link.tube")) }
            } }
            tbody {
                @for (key, device, tube) in &names(words, one, found) {
                    @if !device.is_empty() || !tube.is_empty() {
                        tr {
                            th scope="row" { (words.t(&format!("link.{key}"))) }
                            td { (or_dash(device)) }
                            td { (or_dash(tube)) }
                        }
                    }
                }
                tr {
                    th scope="row" { (words.t("link.test")) }
                    td { (named(app, words, observation)) " " span.value { (look::value(observation)) " " span.unit { (observation.unit) } } }
                    td {
                        (tests(found)) " "
                        @match is_ordered {
                            Some(true) => (state(Tone::Good, &words.t("link.is-ordered"))),
                            Some(false) => (state(Tone::Look, &words.t("link.not-ordered"))),
                            None => {}
                        }
                    }
                }
                tr {
                    th scope="row" { (words.t("link.time")) }
                    td { (words.t("column.received")) " " (when(held.entry.since, zone, now)) }
                    td {
                        (words.t("happened.ordered")) " " (when(found.tube.ordered_at, zone, now))
                        @if let Some(at) = found.tube.collected_at {
                            " · " (words.t("happened.collected")) " " (when(at, zone, now))
                        }
                    }
                }
            }
        } }
    })
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}
