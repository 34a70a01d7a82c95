//! Work, the start page: what needs a human, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{Query, State},
    response::Response,
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    audit,
    book::{self, BookPatient},
    model::{Observation, Priority},
    settle::StoredResult,
    store::{Db, StoreError},
    text,
    worklist::{
        self, Entry, Late, Part, Queued, Reason, Recent, Refused, ResultEntry, Subject, Targets,
        Urgency, Waiting,
    },
};

use super::{
    App, acts,
    fault::Fault,
    gate::Who,
    live::Moment,
    look,
    page::{Page, Place, Tone, empty, encoded, of_tube, since, state, token, when},
    patient,
    queue::destination,
    words::{Words, moment},
};

/// Entries of one page: as many as keep it well below 100 kB; the next ones are a key away.
const ENTRIES_MAX: usize = 20;
/// Earlier values beside a result; its own page has all that are known.
const PREVIOUS_SHOWN: usize = 3;

/// Where somebody stands in the list.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// Which part of the list; empty for what waits for a person.
    #[serde(default)]
    pub(super) part: String,
    /// The key behind which the page begins.
    #[serde(default)]
    pub(super) after: String,
    /// The key of the entry that was acted on: the one behind it comes next.
    #[serde(default)]
    pub(super) at: String,
    /// The key of an entry to stand on.
    #[serde(default)]
    pub(super) on: String,
    /// What the device hears of a rerun.
    #[serde(default)]
    pub(super) told: String,
    /// The act whose form one came for.
    #[serde(default)]
    pub(super) want: String,
}

impl Asked {
    /// As part of an address, behind the entry of that key.
    pub(super) fn behind(&self, at: &str) -> String {
        let mut query = format!("?at={}", encoded(at));
        for (name, value) in [("part", &self.part), ("after", &self.after)] {
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        query
    }

    /// The page to go back to, on the entry that follows.
    pub(super) fn back(&self) -> String {
        format!("/{}", self.behind(&self.at))
    }

    fn part(&self) -> Part {
        match self.part.as_str() {
            "unordered" => Part::Unordered,
            "late" => Part::Late,
            _ => Part::Decide,
        }
    }

    /// The entry to stand on.
    fn focus(&self, entries: &[Entry]) -> Option<usize> {
        let found = if !self.on.is_empty() {
            entries.iter().position(|entry| entry.key >= self.on)
        } else if !self.at.is_empty() {
            entries.iter().position(|entry| entry.key > self.at)
        } else {
            return None;
        };
        found.or(entries.len().checked_sub(1))
    }
}

/// What a page shows.
struct Shown {
    list: worklist::Page,
    late: i64,
    /// By tube.
    patients: BTreeMap<i64, BookPatient>,
    recent: Option<Recent>,
}

/// The list as this person may see it.
pub(super) fn waiting<'a>(app: &'a App, who: &Who, after: &'a str, part: Part) -> Waiting<'a> {
    Waiting {
        site: &app.parts.site,
        now: app.now(),
        targets: Targets::default(),
        language: who.language,
        role: who.person.role,
        after: Some(after).filter(|after| !after.is_empty()),
        count_max: ENTRIES_MAX,
        with_kept: false,
        part,
    }
}

/// The patients of tubes, by tube.
pub(super) fn patients(
    db: &mut dyn Db,
    tubes: &[i64],
) -> Result<BTreeMap<i64, BookPatient>, StoreError> {
    let tubes = book::specimens_by_ids(db, tubes)?;
    let owners: BTreeSet<i64> = tubes.values().map(|tube| tube.patient).collect();
    let known = book::patients_of(db, &owners)?;
    let of = |(id, tube): (&i64, &book::BookSpecimen)| {
        let patient = known.get(&tube.patient)?;
        Some((*id, patient.clone()))
    };
    Ok(tubes.iter().filter_map(of).collect())
}

async fn read(app: &Arc<App>, who: &Who, asked: &Asked) -> Result<Shown, Fault> {
    let (app, who, asked) = (Arc::clone(app), who.clone(), asked.clone());
    let own = Arc::clone(&app);
    let shown = app.read(move |db| {
        let part = asked.part();
        let mut list = worklist::waiting(db, &waiting(&own, &who, &asked.after, part))?;
        if list.entries.is_empty() && !asked.after.is_empty() {
            // The last page was cleared: what is left is before it.
            list = worklist::waiting(db, &waiting(&own, &who, "", part))?;
        }
        let none = Waiting {
            count_max: 0,
            ..waiting(&own, &who, "", Part::Late)
        };
        let tubes: Vec<i64> = list
            .entries
            .iter()
            .filter_map(|entry| match &entry.subject {
                Subject::Result(one) => one.specimen,
                Subject::Message { .. } | Subject::Queue(_) | Subject::Late(_) => None,
            })
            .collect();
        Ok(Shown {
            late: worklist::waiting(db, &none)?.total,
            patients: patients(db, &tubes)?,
            recent: worklist::recent(db, &who.person.login, own.now())?,
            list,
        })
    });
    Ok(shown.await?)
}

/// The number beside the menu's entry.
pub(super) fn badge(words: Words, moment: &Moment) -> Markup {
    let open = moment.counts.work.to_decide();
    html! {
        @if open > 0 {
            span.badge.look { (words.count(open)) span.unseen { " " (words.t("work.decide")) } }
        }
    }
}

/// The counts on top, live.
pub(super) fn summary(words: Words, app: &App, moment: &Moment) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let counts = &moment.counts;
    let work = &counts.work;
    let open = work.to_decide();
    let tone = if open > 0 { Tone::Look } else { Tone::Good };
    html! {
        @if !moment.is_readable {
            p.wrong role="alert" { (state(Tone::Act, &words.t("store-silent"))) }
        }
        ul.numbers data-stand=(stand(moment)) {
            li {
                a href="/" {
                    span.number { (words.count(open)) }
                    (state(tone, &words.t("work.decide")))
                    span.since {
                        (words.f("work.of-them", &[
                            ("held", &words.count(work.held)),
                            ("messages", &words.count(work.messages)),
                            ("refused", &words.count(work.refused)),
                        ]))
                    }
                    @if let Some(oldest) = counts.held.oldest_at {
                        span.since { (words.t("oldest")) " " (since(oldest, zone, moment.now)) }
                    }
                }
            }
            li {
                a href="/?part=unordered" {
                    span.number { (words.count(counts.waiting.count)) }
                    (state(Tone::Calm, &words.t("work.waiting")))
                    @if let Some(oldest) = counts.waiting.oldest_at {
                        span.since { (words.t("oldest")) " " (since(oldest, zone, moment.now)) }
                    }
                }
            }
        }
    }
}

/// What the list stands for: where it is another than the page's, the page is old.
fn stand(moment: &Moment) -> String {
    let work = &moment.counts.work;
    format!(
        "{}-{}-{}-{}-{}-{}",
        work.held,
        work.messages,
        work.refused,
        work.waiting,
        work.held_since.unwrap_or_default(),
        work.waiting_since.unwrap_or_default(),
    )
}

/// `GET /`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    page(&app, &who, &asked, None).await
}

/// The page; with the words of a refusal where an act was not done.
pub(super) async fn page(
    app: &Arc<App>,
    who: &Who,
    asked: &Asked,
    refused: Option<&Refused>,
) -> Result<Response, Fault> {
    let words = who.words();
    let now = super::live::moment(app).await?;
    let shown = read(app, who, asked).await?;
    note_reading(app, who, "work:list").await?;
    let part = asked.part();
    let content = html! {
        @if let Some(refused) = refused { (acts::refusal(who, refused)) }
        @if let Some(recent) = &shown.recent { (acts::bar(app, who, recent, asked)) }
        div sse-swap="work" { (summary(words, app, &now)) }
        nav.tabs aria-label=(words.t("work.parts")) {
            @for (own, path, key, count) in [
                (Part::Decide, "/", "work.decide", now.counts.work.to_decide()),
                (Part::Late, "/?part=late", "work.late-orders", shown.late),
                (Part::Unordered, "/?part=unordered", "work.waiting", now.counts.work.waiting),
            ] {
                a href=(path) aria-current=[(own == part).then_some("true")] {
                    (words.t(key)) " (" (words.count(count)) ")"
                }
            }
        }
        p.more id="more" hidden { a.button href=(format!("/{}", asked.behind(""))) { (words.t("work.more")) } }
        (entries(app, who, asked, &shown))
    };
    let mut page = Page::new(app, who, Place::Work, words.t("place.work"));
    page.live = "on=work";
    Ok(page.show(&content))
}

fn entries(app: &App, who: &Who, asked: &Asked, shown: &Shown) -> Markup {
    let words = who.words();
    let list = &shown.list;
    let focus = asked.focus(&list.entries);
    let list_count = words.count(i64::try_from(list.entries.len()).unwrap_or(0));
    let hint = match asked.part() {
        Part::Unordered => Some("work.waiting-hint"),
        Part::Late => Some("work.late-hint"),
        Part::All | Part::Decide => None,
    };
    html! {
        @if list.entries.is_empty() {
            (empty(&words.t(if asked.part() == Part::Decide { "work.done" } else { "work.none" })))
        } @else {
            form id="acts" method="post" { (token(who)) }
            @if let Some(hint) = hint { p.hint { (words.t(hint)) } }
            p.hint {
                (words.f("work.shown", &[("shown", &list_count), ("count", &words.count(list.total))]))
            }
            ol.cards.rows { @for (at, entry) in list.entries.iter().enumerate() {
                @let before = at.checked_sub(1).and_then(|at| list.entries.get(at));
                @let is_same = before.is_some_and(|before| before.reasons == entry.reasons);
                (card(app, who, asked, shown, (entry, focus == Some(at), is_same)))
            } }
            @if let Some(next) = &list.next {
                @let further = Asked { after: next.clone(), ..asked.clone() };
                p { a.button href=(format!("/{}", further.behind(""))) { (words.t("work.next")) } }
            }
        }
    }
}

/// Writes down that somebody saw patients.
pub(super) async fn note_reading(app: &App, who: &Who, what: &str) -> Result<(), Fault> {
    let (now, login, what) = (app.now(), who.person.login.clone(), what.to_owned());
    app.write(move |db| audit::write(db, now, &login, "read", &what, ""))
        .await?;
    Ok(())
}

fn card(
    app: &App,
    who: &Who,
    asked: &Asked,
    shown: &Shown,
    (entry, is_next, is_same): (&Entry, bool, bool),
) -> Markup {
    let words = who.words();
    let now = app.now();
    let zone = &app.parts.site.laboratory.zone;
    let behind = asked.behind(&entry.key);
    let patient = match &entry.subject {
        Subject::Result(one) => one.specimen.and_then(|id| shown.patients.get(&id)),
        Subject::Message { .. } | Subject::Queue(_) | Subject::Late(_) => None,
    };
    html! {
        li.card.act[entry.urgency.critical.is_some()] tabindex="0" autofocus[is_next] {
            div.head {
                (marks(app, words, &entry.urgency, now))
                @match &entry.subject {
                    Subject::Result(one) => { (tube(words, &one.barcode)) }
                    Subject::Queue(one) => { (tube(words, &one.barcode)) }
                    Subject::Late(one) => { (tube(words, &one.barcode)) }
                    Subject::Message { .. } => {}
                }
                @if let Some(patient) = patient { (patient::line(patient, words)) }
                span.since { (since(entry.since, zone, now)) }
            }
            @match &entry.subject {
                Subject::Result(one) => { (measured(app, words, one, &behind)) }
                Subject::Message { id, line, bytes } => { (message(words, *id, line, *bytes, &behind)) }
                Subject::Queue(one) => { (queued(words, one, &behind)) }
                Subject::Late(one) => { (late(words, one)) }
            }
            // What to do stands at the first of several that are held alike.
            @for reason in &entry.reasons { (why(reason, !is_same)) }
            (acts::of_entry(who, entry, &behind))
        }
    }
}

/// Critical, STAT, late: what makes an entry come first.
pub(super) fn marks(app: &App, words: Words, urgency: &Urgency, now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let due = urgency.due_at.filter(|_| urgency.is_late);
    html! {
        @if let Some(side) = urgency.critical {
            (state(Tone::Act, &format!("{} {}", words.t("work.critical"), if side == "low" { "↓" } else { "↑" })))
        }
        @if urgency.priority != Priority::Routine {
            span.stat { (text::priority(words.0, urgency.priority)) }
        }
        @if let Some(due) = due {
            @let key = if due < now { "work.late" } else { "work.soon-late" };
            (state(Tone::Look, &words.f(key, &[("time", &moment(due, zone, now))])))
        }
    }
}

fn tube(words: Words, barcode: &str) -> Markup {
    html! {
        @if barcode.is_empty() { span.code { (words.t("no-barcode")) } }
        @else { a.code.tube href=(of_tube(barcode)) { (barcode) } }
    }
}

/// Why it waits, in a sentence, and what to do.
pub(super) fn why(reason: &Reason, has_todo: bool) -> Markup {
    html! {
        p.why {
            (state(Tone::Look, &reason.title)) " " (reason.what)
            @if !reason.detail.is_empty() { " " span.code { (reason.detail) } }
            @if has_todo { " " span.todo { (reason.todo) } }
        }
    }
}

fn measured(app: &App, words: Words, one: &ResultEntry, behind: &str) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    let observation = one.observation.expose();
    html! {
        p.measured {
            a data-open href={ "/held/" (one.id) (behind) } { (named(app, words, observation)) }
            span.value { (look::value(observation)) " " span.unit { (observation.unit) } }
            (flags(&observation.flags))
            @if !one.previous.is_empty() {
                span.before {
                    (words.t("column.previous")) ": "
                    @for (at, before) in one.previous.iter().take(PREVIOUS_SHOWN).enumerate() {
                        @if at > 0 { " · " }
                        span.value { (before.text.expose()) } " " (when(before.at, zone, now))
                    }
                }
            }
            a href={ "/devices/" (one.line) } { (one.line) }
        }
    }
}

fn message(words: Words, id: i64, line: &str, bytes: i64, behind: &str) -> Markup {
    html! {
        p.measured {
            a data-open href={ "/messages/" (id) (behind) } {
                (words.f("work.message", &[("id", &id.to_string())]))
            }
            span { (words.f("work.bytes", &[("count", &words.count(bytes))])) }
            a href={ "/devices/" (line) } { (line) }
        }
    }
}

fn queued(words: Words, one: &Queued, behind: &str) -> Markup {
    html! {
        p.measured {
            a data-open href={ "/queue/" (one.id) (behind) } { (destination(words, &one.destination)) }
        }
    }
}

fn late(words: Words, one: &Late) -> Markup {
    html! {
        p.measured {
            a data-open href=(of_tube(&one.barcode)) { (words.t("column.order")) " " (one.placer) }
            span { @for test in &one.tests { span.code { (test) } " " } }
        }
    }
}

/// The device's own marks, as technicians know them.
pub(super) fn flags(flags: &[String]) -> Markup {
    html! { @for flag in flags { span.flag { (flag) } " " } }
}

/// The name of a test in the language of whoever looks, with its id; or the device's code.
pub(super) fn test_name(app: &App, words: Words, result: &StoredResult) -> Markup {
    named(app, words, &result.observation)
}

/// The same of what a device said.
pub(super) fn named(app: &App, words: Words, observation: &Observation) -> Markup {
    let Some(test) = &observation.test else {
        return html! { span.code { (observation.code) } };
    };
    let known = app.parts.loaded.catalogue.test(test);
    let name = known.map_or("", |known| known.name.in_language(words.0));
    html! {
        span.code { (test) }
        @if !name.is_empty() && name != test { " " span.name { (name) } }
    }
}
