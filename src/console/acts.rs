//! What people do about what waits: the buttons, what they carry out, and the way back.
//!
//! The acts are [`crate::worklist`]'s, the same as the command line's. A page names who acts and why;
//! what is refused changes nothing, and the page says why it was refused.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use crate::{
    model::ResultState,
    people::Role,
    settle,
    store::{Db, StoreError},
    text,
    worklist::{
        Act, Acting, Done, Entry, Leave, Outcome, Person, Recent, Refused, Subject, Told,
        of_the_same_tube,
    },
};

use super::{
    App,
    fault::Fault,
    gate::{self, Posted, Who},
    held, link, map,
    page::{Tone, state, token},
    words::Words,
    work::{self, Asked},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/held/{id}", get(held::show))
        .route("/held/{id}/release", post(release))
        .route("/held/{id}/set-aside", post(set_aside))
        .route("/held/{id}/rerun", post(rerun))
        .route("/held/{id}/accept-unit", post(accept_unit))
        .route("/held/{id}/link", get(link::show).post(link_to))
        .route("/held/{id}/map", get(map::show).post(map_to))
        .route("/messages/{id}", get(held::message))
        .route("/messages/{id}/set-aside", post(set_message_aside))
        .route("/acts/{id}/undo", post(undo))
}

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Release(Leave),
    SetAside,
    Rerun,
    AcceptUnit,
    /// To this tube; `with_others` says it of every result of the same tube.
    Link {
        tube: i64,
        with_others: bool,
    },
    /// To this test of the catalogue.
    Map {
        test: String,
    },
    SetMessageAside,
    Undo,
}

/// A wish that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) done: Done,
    /// What the device hears of a rerun.
    pub(super) told: Option<Told>,
    /// Results that a mapping moved, and where each stands.
    pub(super) moved: Vec<(i64, ResultState)>,
}

impl From<Done> for Carried {
    fn from(done: Done) -> Self {
        Self {
            done,
            told: None,
            moved: Vec::new(),
        }
    }
}

impl Wish {
    /// The words that stand for a reason which nobody wrote. Whoever gives a result up, says whose it
    /// is or what a code means, writes why.
    const fn stock(&self) -> Option<&'static str> {
        match self {
            Self::Release(_) => Some("acts.stock.release"),
            Self::Rerun => Some("acts.stock.rerun"),
            Self::AcceptUnit => Some("acts.stock.accept-unit"),
            Self::Undo => Some("acts.stock.undo"),
            Self::SetAside | Self::Link { .. } | Self::Map { .. } | Self::SetMessageAside => None,
        }
    }

    fn on(&self, acting: &Acting<'_>, db: &mut dyn Db, id: i64) -> Outcome<Carried> {
        let moved = |moved: crate::worklist::Moved| Carried {
            moved: moved.results,
            ..moved.done.into()
        };
        let plain = |done: Result<Done, Refused>| done.map(Carried::from);
        Ok(match self {
            Self::Release(leave) => plain(acting.release(db, id, *leave)?),
            Self::SetAside => plain(acting.set_aside(db, id)?),
            Self::SetMessageAside => plain(acting.set_aside_message(db, id)?),
            Self::Undo => plain(acting.undo(db, id)?),
            Self::AcceptUnit => acting.accept_unit(db, id)?.map(moved),
            Self::Rerun => acting.rerun(db, id)?.map(|(done, told)| Carried {
                told: Some(told),
                ..done.into()
            }),
            Self::Link { tube, with_others } => {
                let mut ids = vec![id];
                if *with_others && let Some(result) = settle::result_by_id(db, id)? {
                    ids.extend(of_the_same_tube(db, &result)?.iter().map(|one| one.id));
                }
                plain(acting.link_all(db, &ids, *tube)?)
            }
            Self::Map { test } => match settle::result_by_id(db, id)? {
                Some(result) => {
                    let code = &result.observation.code;
                    acting.map_code(db, &result.line, code, test)?.map(moved)
                }
                None => Err(Refused::NotFound),
            },
        })
    }
}

/// Carries a wish out as the person who is logged in, or says why not.
///
/// # Errors
/// Their role only looks on; the store's.
pub(super) async fn carry_out(
    app: &App,
    who: &Who,
    (id, wish): (i64, Wish),
    reason: &str,
) -> Result<Result<Carried, Refused>, Fault> {
    who.needs(Role::Technician)?;
    let person = Person {
        name: who.person.login.clone(),
        role: who.person.role,
    };
    let own = Words(app.parts.loaded.lab.lab.language);
    let reason: String = match (reason.trim(), wish.stock()) {
        ("", Some(stock)) => own.t(stock),
        (written, _) => written.chars().take(REASON_CHARS_MAX).collect(),
    };
    let (site, now) = (Arc::clone(&app.parts.site), app.now());
    let done = app
        .write(move |db| {
            let acting = Acting {
                site: &site,
                person: &person,
                reason: &reason,
                now,
            };
            wish.on(&acting, db, id)
        })
        .await?;
    if done.is_ok() {
        super::live::look_now(app).await;
    }
    Ok(done)
}

/// A reason is a sentence, not a letter.
const REASON_CHARS_MAX: usize = 300;

/// How a refusal is told to programs, and to browsers beside its words.
pub(super) const fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::NotFound => StatusCode::NOT_FOUND,
        Refused::NotAllowed | Refused::NeedsVerifier | Refused::SamePerson | Refused::NotYours => {
            StatusCode::FORBIDDEN
        }
        Refused::NoName | Refused::NoReason => StatusCode::BAD_REQUEST,
        Refused::NotOpen { .. }
        | Refused::NotFor { .. }
        | Refused::NotNeeded { .. }
        | Refused::NotOrdered
        | Refused::NotUrgent
        | Refused::NoOrder
        | Refused::OtherPatient { .. }
        | Refused::BeforeCollection
        | Refused::UnknownLine
        | Refused::UnknownTest
        | Refused::MappedAlready { .. }
        | Refused::NothingWaits
        | Refused::OtherUnit { .. }
        | Refused::TooLate
        | Refused::UndoneAlready
        | Refused::HasLeft
        | Refused::ChangedSince => StatusCode::CONFLICT,
    }
}

/// What a device hears of a rerun, as part of an address and of a key of the texts.
pub(super) const fn told_code(told: Told) -> &'static str {
    match told {
        Told::Again => "again",
        Told::WhenItAsks => "when-it-asks",
        Told::ByHand => "by-hand",
    }
}

/// Goes back to the list, to the entry that follows; or stays, with the words of the refusal.
async fn answer(
    app: &Arc<App>,
    who: &Who,
    wish: (i64, Wish),
    asked: &Asked,
    posted: &Posted,
) -> Result<Response, Fault> {
    let (id, is_of_message) = (wish.0, wish.1 == Wish::SetMessageAside);
    let refused = match carry_out(app, who, wish, posted.field("reason")).await? {
        Ok(carried) => {
            let told = carried
                .told
                .map_or(String::new(), |told| format!("&told={}", told_code(told)));
            return Ok(Redirect::to(&format!("{}{told}", asked.back())).into_response());
        }
        Err(refused) => refused,
    };
    let page = match posted.field("from") {
        "entry" if is_of_message => held::message_page(app, who, id, asked, Some(&refused)).await,
        "entry" => held::page(app, who, id, asked, Some(&refused)).await,
        _ => work::page(app, who, asked, Some(&refused)).await,
    };
    let mut response = match page {
        Err(Fault::NOT_FOUND) => work::page(app, who, asked, Some(&refused)).await?,
        page => page?,
    };
    *response.status_mut() = status(&refused);
    response.extensions_mut().insert(gate::Told);
    Ok(response)
}

/// `POST /held/{id}/release`
async fn release(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    let wish = Wish::Release(leave(&posted));
    answer(&app, &who, (id, wish), &asked, &posted).await
}

/// When a release leaves, as asked for.
pub(super) fn leave(posted: &Posted) -> Leave {
    if posted.field("leave") == "now" {
        Leave::Now
    } else {
        Leave::Later
    }
}

/// `POST /held/{id}/set-aside`
async fn set_aside(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    answer(&app, &who, (id, Wish::SetAside), &asked, &posted).await
}

/// `POST /held/{id}/rerun`
async fn rerun(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    answer(&app, &who, (id, Wish::Rerun), &asked, &posted).await
}

/// `POST /held/{id}/accept-unit`
async fn accept_unit(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    answer(&app, &who, (id, Wish::AcceptUnit), &asked, &posted).await
}

/// `POST /held/{id}/link`
async fn link_to(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    let wish = link_wish(&posted)?;
    answer(&app, &who, (id, wish), &asked, &posted).await
}

/// The tube that a form names.
pub(super) fn link_wish(posted: &Posted) -> Result<Wish, Fault> {
    let tube = posted.field("tube").parse();
    Ok(Wish::Link {
        tube: tube.map_err(|_| Fault::NOT_UNDERSTOOD)?,
        with_others: posted.field("others") == "yes",
    })
}

/// `POST /held/{id}/map`
async fn map_to(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    let test = posted.field("test").to_owned();
    answer(&app, &who, (id, Wish::Map { test }), &asked, &posted).await
}

/// `POST /messages/{id}/set-aside`
async fn set_message_aside(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    answer(&app, &who, (id, Wish::SetMessageAside), &asked, &posted).await
}

/// `POST /acts/{id}/undo`
async fn undo(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Result<Response, Fault> {
    // What was acted on is there again: one stands on it, not behind it.
    let asked = Asked {
        on: asked.at.clone(),
        ..asked
    };
    let wish = (id, Wish::Undo);
    match carry_out(&app, &who, wish.clone(), posted.field("reason")).await? {
        Ok(_) => {
            let on = super::page::encoded(&asked.on);
            let back = format!("/{}&on={on}", asked.behind(""));
            Ok(Redirect::to(&back).into_response())
        }
        Err(refused) => {
            let mut response = work::page(&app, &who, &asked, Some(&refused)).await?;
            *response.status_mut() = status(&refused);
            response.extensions_mut().insert(gate::Told);
            Ok(response)
        }
    }
}

/// The words of a refusal, where they are heard at once.
pub(super) fn refusal(who: &Who, refused: &Refused) -> Markup {
    let words = who.words();
    html! {
        p.wrong role="alert" {
            (state(Tone::Look, &words.t("acts.refused"))) " " (refused.told(words.0))
        }
    }
}

/// What somebody did last, with the way back while there is one.
pub(super) fn bar(app: &App, who: &Who, recent: &Recent, asked: &Asked) -> Markup {
    let words = who.words();
    let left = recent.until.saturating_sub(app.now()).max(0) / 1_000;
    let seconds = (left / 1_000).to_string();
    let is_told = ["again", "when-it-asks", "by-hand"].contains(&asked.told.as_str());
    let count_of = |wanted: ResultState| {
        let own = recent.moved.iter().filter(|(_, state)| *state == wanted);
        own.count()
    };
    html! {
        div.undo id="undo" role="status" data-left=(left) {
            div {
                (state(Tone::Good, &words.t(&format!("done.{}", recent.kind))))
                @if recent.moved.len() > 1 {
                    @for state in ResultState::ALL {
                        @let count = count_of(*state);
                        @if count > 0 {
                            " " span.count { (words.t(&format!("result-state.{}", state.code()))) ": " (words.count(count)) }
                        }
                    }
                }
                @if is_told { " " (words.t(&format!("told.{}", asked.told))) }
            }
            form method="post" action={ "/acts/" (recent.act) "/undo" (asked.behind(&asked.at)) } {
                (token(who))
                button type="submit" data-act="u" aria-keyshortcuts="u" {
                    span { (text::text(words.0, "act.undo", &[])) " (" span data-seconds { (seconds) } " s)" }
                    kbd { "u" }
                }
            }
        }
    }
}

/// The key that does an act.
pub(super) const fn key(act: Act) -> &'static str {
    match act {
        Act::Release => "r",
        Act::SetAside => "s",
        Act::Link => "l",
        Act::Map => "m",
        Act::AcceptUnit => "a",
        Act::Rerun => "n",
    }
}

/// Whether an act needs no more than a press: the others ask something first.
const fn is_at_once(act: Act) -> bool {
    matches!(act, Act::Release | Act::AcceptUnit | Act::Rerun)
}

/// Acts in the order of their buttons: what ends a reason first, giving up last.
pub(super) const IN_ORDER: [Act; 6] = [
    Act::Map,
    Act::Link,
    Act::AcceptUnit,
    Act::Release,
    Act::Rerun,
    Act::SetAside,
];

/// Whether an act ends what holds a result, and so is the one to be seen first.
pub(super) const fn is_main(act: Act) -> bool {
    !matches!(act, Act::Rerun | Act::SetAside)
}

/// An act that stands in the audit, in words.
pub(super) fn told_act(words: Words, code: &str) -> String {
    match (Act::ALL.iter().find(|act| act.code() == code), code) {
        (Some(act), _) => text::act(words.0, *act),
        (None, "undo") => text::text(words.0, "act.undo", &[]),
        (None, "verify") => words.t("held.verify"),
        (None, _) => code.to_owned(),
    }
}

/// The buttons of an entry of the list.
pub(super) fn of_entry(who: &Who, entry: &Entry, behind: &str) -> Markup {
    let words = who.words();
    if !who.may(Role::Technician) {
        return html! {};
    }
    html! {
        @match &entry.subject {
            Subject::Result(one) => {
                div.acts {
                    @for act in IN_ORDER.iter().filter(|act| one.acts.contains(&act.code())) {
                        (button(words, *act, one.id, behind))
                    }
                    @if needs_verifier(entry) && !one.acts.contains(&Act::Release.code()) {
                        span.hint { (Refused::NeedsVerifier.told(words.0)) }
                    }
                }
            }
            Subject::Message { id, .. } => {
                div.acts {
                    a.button data-act="s" aria-keyshortcuts="s" href={ "/messages/" (id) (behind) } {
                        (text::act(words.0, Act::SetAside)) " " kbd { "s" }
                    }
                }
            }
            Subject::Queue(one) => {
                div.acts {
                    button.primary type="submit" form="acts" formaction={ "/queue/" (one.id) "/retry" (behind) }
                        data-act="t" aria-keyshortcuts="t" { (words.t("queue.retry")) " " kbd { "t" } }
                    a.button data-act="s" aria-keyshortcuts="s" href={ "/queue/" (one.id) (behind) } {
                        (words.t("queue.discard")) " " kbd { "s" }
                    }
                }
            }
            Subject::Late(_) => {}
        }
    }
}

/// Whether a second pair of eyes is all that a release lacks.
fn needs_verifier(entry: &Entry) -> bool {
    use crate::{
        model::HoldReason,
        worklist::{Permission, permits},
    };
    let reasons = entry.reasons.iter();
    let known = reasons.filter_map(|reason| HoldReason::from_code(reason.code));
    let needed: Vec<Permission> = known.map(|reason| permits(reason, Act::Release)).collect();
    !needed.contains(&Permission::No) && needed.contains(&Permission::Verifier)
}

fn button(words: Words, act: Act, id: i64, behind: &str) -> Markup {
    let path = format!("/held/{id}/{}{behind}", act.code());
    let main = is_main(act).then_some("primary");
    html! {
        @if is_at_once(act) {
            button type="submit" form="acts" formaction=(path) class=[main]
                data-act=(key(act)) aria-keyshortcuts=(key(act)) {
                (text::act(words.0, act)) " " kbd { (key(act)) }
            }
        } @else {
            @let path = if act == Act::SetAside { format!("/held/{id}{behind}&want=set-aside") } else { path };
            a class=(if main.is_some() { "button primary" } else { "button" }) href=(path) data-act=(key(act)) aria-keyshortcuts=(key(act)) {
                (text::act(words.0, act)) " " kbd { (key(act)) }
            }
        }
    }
}

/// The results that a person may speak of together with one, read with it.
pub(super) fn others(db: &mut dyn Db, id: i64) -> Result<Vec<settle::StoredResult>, StoreError> {
    match settle::result_by_id(db, id)? {
        Some(result) => of_the_same_tube(db, &result),
        None => Ok(Vec::new()),
    }
}
