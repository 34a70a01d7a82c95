//! Saying which test of the catalogue a code of a device is: once, and everything that waits moves.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    book::{self, name_words},
    people::Role,
    settle,
    store::{Db, StoreError},
    text,
    worklist::{self, Act, ResultEntry},
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    held, look,
    page::{Page, Place, Tone, empty, state, token},
    words::Words,
    work::{Asked, flags},
};

/// Tests offered at once; more are found by their names.
const CHOICES_MAX: usize = 24;

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Sought {
    #[serde(default)]
    pub(super) q: String,
}

/// A test that a code may be.
struct Choice {
    id: String,
    name: String,
    unit: String,
    /// Ordered on the tube and not measured yet.
    is_ordered: bool,
}

/// `GET /held/{id}/map`
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
    let one = held.result()?;
    let observation = one.observation.expose();
    let (line, code, tube) = (one.line.clone(), observation.code.clone(), one.specimen);
    let (count, wanted) = app
        .read(move |db| {
            let count = worklist::waiting_for_code(db, &line, &code)?;
            Ok((count, wanted(db, tube)?))
        })
        .await?;
    let choices = choices(&app, words, sought.q.trim(), &wanted);
    let content = html! {
        (held::back(words, &asked))
        p.sentence {
            (words.f("map.waits", &[
                ("code", &observation.code), ("line", &one.line), ("count", &words.count(count)),
            ]))
        }
        p.measured {
            span.code { (observation.code) }
            span.value { (look::value(observation)) " " span.unit { (observation.unit) } }
            (flags(&observation.flags))
            @if !observation.range.is_empty() { span { (words.t("held.range")) ": " (observation.range) } }
        }
        form.find action={ "/held/" (id) "/map" } role="search" aria-label=(words.t("map.which")) {
            @for (name, value) in [("part", &asked.part), ("after", &asked.after), ("at", &asked.at)] {
                input type="hidden" name=(name) value=(value);
            }
            label for="q" { (words.t("map.search")) }
            input id="q" name="q" type="search" value=(sought.q) autocomplete="off" spellcheck="false"
                maxlength="80" autofocus[sought.q.is_empty()];
            button type="submit" { (words.t("specimens.find")) }
        }
        (list(&who, one, &asked, &choices, count))
    };
    let title = format!("{}: {}", text::act(words.0, Act::Map), observation.code);
    Ok(Page::new(&app, &who, Place::Work, title).show(&content))
}

/// Tests that are ordered on a tube and have no result yet: a code that nobody knows may be one.
fn wanted(db: &mut dyn Db, tube: Option<i64>) -> Result<Vec<String>, StoreError> {
    let Some(tube) = tube else {
        return Ok(Vec::new());
    };
    let done = settle::released_tests_of(db, &[tube])?;
    let done = done.get(&tube).cloned().unwrap_or_default();
    let items = book::open_items(db, tube)?;
    let tests = items.into_iter().flat_map(|item| item.tests);
    Ok(tests.filter(|test| !done.contains(test)).collect())
}

/// The tests that a search finds by words of their id or name, with or without marks: those ordered
/// on the tube first.
fn choices(app: &App, words: Words, asked: &str, wanted: &[String]) -> Vec<Choice> {
    let laboratory = &app.parts.site.laboratory;
    let choice = |id: &str| {
        let test = app.parts.loaded.catalogue.test(id);
        let name = test.map_or("", |test| test.name.in_language(words.0));
        let unit = test.and_then(|test| test.unit.as_ref());
        Choice {
            id: id.to_owned(),
            name: name.to_owned(),
            unit: unit.map_or(String::new(), |unit| unit.value.clone()),
            is_ordered: wanted.iter().any(|own| own == id),
        }
    };
    let mut all: Vec<Choice> = match (&laboratory.catalogue, &laboratory.measured) {
        (Some(catalogue), _) => catalogue
            .tests()
            .map(|test| choice(test.id.as_str()))
            .collect(),
        (None, Some(measured)) => measured.iter().map(|id| choice(id)).collect(),
        (None, None) => wanted.iter().map(|id| choice(id)).collect(),
    };
    let sought = name_words(asked);
    all.retain(|one| {
        // A name is found in either language, whatever the page speaks.
        let test = app.parts.loaded.catalogue.test(&one.id);
        let mut own = name_words(&one.id);
        for name in test.iter().flat_map(|test| [&test.name.vi, &test.name.en]) {
            own.extend(name_words(name));
        }
        let has = |word: &String| own.iter().any(|known| known.starts_with(word.as_str()));
        sought.iter().all(has)
    });
    all.sort_by(|a, b| (!a.is_ordered, &a.id).cmp(&(!b.is_ordered, &b.id)));
    all.truncate(CHOICES_MAX);
    all
}

fn list(who: &Who, one: &ResultEntry, asked: &Asked, choices: &[Choice], count: usize) -> Markup {
    let words = who.words();
    let path = format!("/held/{}/map{}", one.id, asked.behind(&asked.at));
    html! {
        @if count == 0 { (empty(&words.t("map.nothing"))) }
        @else if choices.is_empty() { p.wrong role="status" { (state(Tone::Look, &words.t("map.none"))) } }
        @else {
            form.decide method="post" action=(path) {
                (token(who))
                input type="hidden" name="from" value="entry";
                fieldset.choices {
                    legend { (words.t("map.which")) }
                    @for (at, choice) in choices.iter().enumerate() {
                        label {
                            input type="radio" name="test" value=(choice.id) required checked[choices.len() == 1 && at == 0];
                            span.code { (choice.id) } span { (choice.name) } span.unit { (choice.unit) }
                            @if choice.is_ordered { (state(Tone::Calm, &words.t("map.ordered"))) }
                        }
                    }
                    @if choices.len() >= CHOICES_MAX { p.hint { (words.t("map.more")) } }
                }
                div.inline {
                    label for="reason" { (words.t("acts.reason")) }
                    input id="reason" name="reason" required maxlength="300" autocomplete="off";
                    button.primary type="submit" {
                        (words.f("map.do", &[("count", &words.count(count))]))
                    }
                }
            }
        }
    }
}
