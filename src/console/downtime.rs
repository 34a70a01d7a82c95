//! When the HIS is down: orders keyed in under a temporary number, and what became of them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::{
    book::{self, BookPatient, KeyedItem},
    downtime::{self, Keyed, Refused},
    model::{OrderStatus, Priority, Private, Sex},
    people::Role,
    store::{Db, StoreError},
};

use super::{
    App,
    fault::Fault,
    gate::{Posted, Who},
    page::{Page, Place, Tone, empty, encoded, of_tube, since, state, token},
    patient,
    words::Words,
    work::note_reading,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/downtime", get(show).post(key))
        .route("/downtime/withdraw", post(withdraw))
}

/// Keyed orders that are listed, newest first.
const ORDERS_MAX: i64 = 60;

/// What the address says.
#[derive(Clone, Debug, Default, Deserialize)]
struct Asked {
    /// An order that was just keyed in.
    #[serde(default)]
    number: String,
}

/// A keyed order with its tube.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    item: KeyedItem,
    barcode: String,
    patient: BookPatient,
    tests: Vec<String>,
    stand: Stand,
}

/// What became of a keyed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stand {
    /// The host has not ordered it yet.
    Open,
    /// The host ordered some of it.
    Partly,
    /// The host ordered all of it.
    TakenOver,
    /// The host's order on the barcode is another patient's.
    Differs,
    /// A person took it back.
    Withdrawn,
}

impl Stand {
    const fn key(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Partly => "partly",
            Self::TakenOver => "taken-over",
            Self::Differs => "differs",
            Self::Withdrawn => "withdrawn",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Open => Tone::Calm,
            Self::Partly => Tone::Look,
            Self::TakenOver => Tone::Good,
            Self::Differs => Tone::Act,
            Self::Withdrawn => Tone::Plain,
        }
    }

    const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Partly | Self::Differs)
    }
}

/// Keyed orders with what became of them, newest first.
pub(super) fn listed(db: &mut dyn Db, since: i64) -> Result<Vec<Listed>, StoreError> {
    let mut all = Vec::new();
    for item in book::keyed_items(db, since, ORDERS_MAX)? {
        let tube = book::specimen_by_id(db, item.specimen)?;
        let is_taken = !book::is_keyed(&tube.host);
        let is_over = item.status == OrderStatus::Cancelled;
        let stand = match (is_over, is_taken) {
            (true, true) => Stand::TakenOver,
            (true, false) => Stand::Withdrawn,
            (false, true) => Stand::Partly,
            (false, false) if is_shared(db, &tube, since)? => Stand::Differs,
            (false, false) => Stand::Open,
        };
        all.push(Listed {
            tests: book::item_by_id(db, item.id)?.tests,
            patient: book::patient_of(db, tube.patient)?,
            barcode: tube.barcode,
            item,
            stand,
        });
    }
    Ok(all)
}

/// Whether the barcode is in use for another patient as well.
fn is_shared(db: &mut dyn Db, tube: &book::BookSpecimen, since: i64) -> Result<bool, StoreError> {
    for other in book::specimens_with_barcode(db, &tube.barcode, since)? {
        if other.patient == tube.patient {
            continue;
        }
        let items = book::open_items(db, other.id)?;
        if items
            .iter()
            .any(|item| item.status != OrderStatus::Cancelled)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Listed {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "number": self.item.placer,
            "host": self.item.host,
            "barcode": self.barcode,
            "tests": self.tests,
            "state": self.stand,
            "created_at": super::words::rfc3339(self.item.created_at),
        })
    }
}

/// `GET /downtime`
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let number: String = asked.number.chars().take(20).collect();
    let done = (!number.is_empty()).then_some(number);
    page(&app, &who, done.as_deref(), None).await
}

/// A form that was refused, and why.
struct Wrong {
    why: String,
    form: Posted,
}

async fn page(
    app: &App,
    who: &Who,
    done: Option<&str>,
    wrong: Option<Wrong>,
) -> Result<Response, Fault> {
    let words = who.words();
    note_reading(app, who, "downtime:list").await?;
    let from = app.now() - app.parts.site.laboratory.specimen_age_max;
    let orders = app.read(move |db| listed(db, from)).await?;
    let content = html! {
        p.hint { (words.t("downtime.hint")) }
        @if let Some(number) = done {
            p.made role="status" { (words.f("downtime.done", &[("number", number)])) }
        }
        @if let Some(wrong) = &wrong { p.wrong role="alert" { (state(Tone::Look, &wrong.why)) } }
        nav.tabs aria-label=(words.t("downtime.pages")) {
            a href="/downtime/worklist" { (words.t("downtime.worklist")) }
            a href="/queue" { (words.t("place.queue")) }
        }
        @if who.may(Role::Technician) { (form(app, who, words, wrong.as_ref())) }
        (list(app, who, words, &orders))
    };
    Ok(Page::new(app, who, Place::Downtime, words.t("place.downtime")).show(&content))
}

fn form(app: &App, who: &Who, words: Words, wrong: Option<&Wrong>) -> Markup {
    let said = |name: &str| wrong.map_or("", |wrong| wrong.form.field(name)).to_owned();
    let text = |id: &str, hint: &str, is_needed: bool| {
        html! {
            label for=(id) { (words.t(&format!("downtime.{id}"))) }
            input id=(id) name=(id) value=(said(id)) autocomplete="off" spellcheck="false" maxlength="80" required[is_needed] placeholder=(hint);
        }
    };
    let hosts: Vec<&String> = app.parts.site.hosts.keys().collect();
    let chosen = said("sex");
    html! {
        section aria-labelledby="key-title" {
            h2 id="key-title" { (words.t("downtime.key")) }
            form.keyed method="post" action="/downtime" {
                (token(who))
                @if let [only] = hosts.as_slice() { input type="hidden" name="host" value=(only); }
                @else { div.field {
                    label for="host" { (words.t("downtime.host")) }
                    select id="host" name="host" { @for host in &hosts { option value=(host) selected[**host == said("host")] { (host) } } }
                } }
                div.field { (text("barcode", "", true)) }
                div.field { (text("number", "", false)) }
                div.field { (text("name", "", false)) }
                div.field { (text("birth", &words.t("downtime.birth-hint"), false)) }
                div.field {
                    label for="sex" { (words.t("downtime.sex")) }
                    select id="sex" name="sex" {
                        @for (code, key) in [("", "sex.unknown"), ("F", "sex.f"), ("M", "sex.m"), ("O", "sex.o")] {
                            option value=(code) selected[chosen == code] { (words.t(key)) }
                        }
                    }
                }
                div.field { (text("ward", "", false)) }
                div.field { (text("codes", &words.t("downtime.codes-hint"), false)) }
                (choices(app, words, &said))
                p.acts {
                    label.check { input type="checkbox" name="stat" value="on" checked[said("stat") == "on"]; " " (crate::text::priority(words.0, Priority::Stat)) }
                    button.primary type="submit" { (words.t("downtime.do")) }
                }
                p.hint { (words.t("downtime.rule")) }
            }
        }
    }
}

/// Tests that a device of the site measures, to be ticked.
fn choices(app: &App, words: Words, said: &dyn Fn(&str) -> String) -> Markup {
    let tests = offered(app);
    html! {
        @if !tests.is_empty() {
            details.choices open[tests.len() <= 40] {
                summary { (words.t("downtime.tests")) }
                div.ticks { @for test in &tests {
                    @let name = format!("test-{test}");
                    label.check { input type="checkbox" name=(name) value="on" checked[said(&name) == "on"]; " "
                        span.code { (test) } " " span.name { (test_name(app, words, test)) } }
                } }
            }
        }
    }
}

/// Tests of the catalogue, or of the site's own mapping, that some device measures.
fn offered(app: &App) -> Vec<String> {
    let site = &app.parts.site;
    let mut measured: Vec<String> = Vec::new();
    for line in site.lines.values() {
        measured.extend(line.profile.measured_tests().unwrap_or_default());
    }
    let known: Vec<String> = app
        .parts
        .loaded
        .catalogue
        .tests()
        .map(|test| test.id.to_string())
        .filter(|test| measured.contains(test))
        .collect();
    if !known.is_empty() {
        return known;
    }
    let is_offered = |test: &String| !site.laboratory.tests_of("", test).is_empty();
    measured.retain(is_offered);
    measured.sort_unstable();
    measured.dedup();
    measured
}

/// The name of a test in the language of whoever looks; empty where it has none but its id.
pub(super) fn test_name(app: &App, words: Words, test: &str) -> String {
    let known = app.parts.loaded.catalogue.test(test);
    let name = known.map_or("", |known| known.name.in_language(words.0));
    if name == test {
        String::new()
    } else {
        name.to_owned()
    }
}

fn list(app: &App, who: &Who, words: Words, orders: &[Listed]) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section aria-labelledby="keyed-title" {
            h2 id="keyed-title" { (words.t("downtime.orders")) }
            @if orders.is_empty() { (empty(&words.t("downtime.none"))) }
            ol.cards.rows { @for one in orders {
                li.card.act[one.stand == Stand::Differs] tabindex="0" {
                    div.head {
                        strong.code { (one.item.placer) }
                        a.code.tube href=(of_tube(&one.barcode)) { (one.barcode) }
                        (patient::line(&one.patient, words))
                        (state(one.stand.tone(), &words.t(&format!("downtime.stand.{}", one.stand.key()))))
                        span.since { (since(one.item.created_at, zone, now)) }
                    }
                    p { (words.t("column.tests")) ": " (one.tests.join(", ")) }
                    @if one.stand == Stand::Differs { p.why { (words.t("downtime.differs")) } }
                    div.acts {
                        a.button href={ "/downtime/paper?q=" (encoded(&one.barcode)) } { (words.t("downtime.paper")) }
                        @if one.stand.is_open() && who.may(Role::Technician) {
                            form.inline method="post" action="/downtime/withdraw" {
                                (token(who))
                                input type="hidden" name="number" value=(one.item.placer);
                                @let id = format!("why-{}", one.item.placer);
                                label.unseen for=(id) { (words.t("queue.reason")) " " (one.item.placer) }
                                input id=(id) name="reason" required maxlength="200" placeholder=(words.t("queue.reason"));
                                button.danger type="submit" { (words.t("downtime.withdraw")) }
                            }
                        }
                    }
                }
            } }
        }
    }
}

/// `12/11/1991`, `1991-11-12` and `19911112` as `YYYYMMDD`; other texts as they are, to be refused.
fn birth(text: &str) -> String {
    let parts: Vec<&str> = text.split(['/', '-', '.', ' ']).collect();
    let parts = match parts.as_slice() {
        [day, month, year] if year.len() == 4 => [*year, *month, *day],
        [year, month, day] if year.len() == 4 => [*year, *month, *day],
        _ => return text.to_owned(),
    };
    format!("{}{:0>2}{:0>2}", parts[0], parts[1], parts[2])
}

fn keyed(app: &App, posted: &Posted) -> Keyed {
    let private = |name: &str| Private::new(posted.field(name).to_owned());
    let codes = posted.field("codes").split([' ', ',', ';']);
    let mut services: Vec<String> = codes
        .filter(|code| !code.is_empty())
        .map(str::to_owned)
        .collect();
    let ticked = offered(app).into_iter();
    services.extend(ticked.filter(|test| posted.field(&format!("test-{test}")) == "on"));
    Keyed {
        host: posted.field("host").to_owned(),
        barcode: posted.field("barcode").to_owned(),
        number: private("number"),
        name: private("name"),
        birth: Private::new(birth(posted.field("birth"))),
        sex: Sex::from_code(posted.field("sex")),
        ward: posted.field("ward").to_owned(),
        priority: if posted.field("stat") == "on" {
            Priority::Stat
        } else {
            Priority::Routine
        },
        services,
    }
}

/// Why a form was refused, in the language of whoever sent it.
fn told(words: Words, refused: &Refused) -> String {
    let key = format!("downtime.refused.{}", refused.code());
    match refused {
        Refused::NotOffered(code) => words.f(&key, &[("code", code)]),
        Refused::OtherPatient(what) => {
            let what = words.t(&format!("downtime.what.{}", what.replace(' ', "-")));
            words.f(&key, &[("what", &what)])
        }
        Refused::NoHost
        | Refused::Barcode
        | Refused::NoPatient
        | Refused::Birth
        | Refused::NoTests
        | Refused::HasOrder
        | Refused::OtherTube
        | Refused::NoReason
        | Refused::NotFound => words.t(&key),
    }
}

/// `POST /downtime`
async fn key(State(app): State<Arc<App>>, who: Who, posted: Posted) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let order = keyed(&app, &posted);
    let (site, login, now) = (
        Arc::clone(&app.parts.site),
        who.person.login.clone(),
        app.now(),
    );
    let done = app
        .write(move |db| downtime::key_in(db, &site, &login, &order, now))
        .await?;
    match done {
        Ok(placed) => {
            let to = format!("/downtime?number={}", encoded(&placed.number));
            Ok(Redirect::to(&to).into_response())
        }
        Err(refused) => {
            let why = told(who.words(), &refused);
            let wrong = Wrong { why, form: posted };
            page(&app, &who, None, Some(wrong)).await
        }
    }
}

/// `POST /downtime/withdraw`
async fn withdraw(
    State(app): State<Arc<App>>,
    who: Who,
    posted: Posted,
) -> Result<Response, Fault> {
    who.needs(Role::Technician)?;
    let site = Arc::clone(&app.parts.site);
    let (login, now) = (who.person.login.clone(), app.now());
    let (number, reason) = (
        posted.field("number").to_owned(),
        posted.field("reason").to_owned(),
    );
    let done = app
        .write(move |db| downtime::withdraw(db, &site, (&login, &reason), &number, now))
        .await?;
    match done {
        Ok(()) => Ok(Redirect::to("/downtime").into_response()),
        Err(Refused::NoReason) => Err(Fault::NOT_UNDERSTOOD),
        Err(Refused::NotFound) => Err(Fault::NOT_FOUND),
        Err(_) => Err(Fault::CONFLICT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Language, has};

    #[test]
    fn a_birth_date_is_read_as_people_write_it() {
        for text in [
            "5/11/1991",
            "05/11/1991",
            "1991-11-05",
            "05.11.1991",
            "19911105",
        ] {
            assert_eq!(birth(text), "19911105", "{text}");
        }
        assert_eq!(birth("1991"), "1991");
        assert_eq!(birth("<b>/x/1991"), "1991x<b>".replace('x', "0x"));
    }

    #[test]
    fn every_refusal_and_state_has_its_words_in_both_languages() {
        let refusals = [
            Refused::NoHost,
            Refused::Barcode,
            Refused::NoPatient,
            Refused::Birth,
            Refused::NoTests,
            Refused::NotOffered(String::new()),
            Refused::HasOrder,
            Refused::OtherPatient(""),
            Refused::OtherTube,
            Refused::NoReason,
            Refused::NotFound,
        ];
        let stands = [
            Stand::Open,
            Stand::Partly,
            Stand::TakenOver,
            Stand::Differs,
            Stand::Withdrawn,
        ];
        let refusals = refusals.iter().map(|one| format!("refused.{}", one.code()));
        let stands = stands.iter().map(|one| format!("stand.{}", one.key()));
        let what = ["patient-id", "birth-date", "sex", "name"].map(|one| format!("what.{one}"));
        let fields = [
            "host", "barcode", "number", "name", "birth", "sex", "ward", "codes",
        ];
        let fields = fields.map(str::to_owned);
        for key in refusals.chain(stands).chain(what).chain(fields) {
            for language in Language::ALL {
                let key = format!("console.downtime.{key}");
                assert!(has(*language, &key), "{language:?} lacks {key}");
            }
        }
    }
}
