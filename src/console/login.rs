//! Logging in and out, and the first administrator.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    audit,
    people::{self, Digest, NewPerson, Person, Role, Ticket, is_login, is_long_enough},
    text::Language,
};

use super::{
    App,
    fault::Fault,
    gate::{self, BEFORE, LANGUAGE, Posted, SESSION, Visitor, Who, set_cookie},
    page,
    words::Words,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(show).post(log_in))
        .route("/logout", post(log_out))
        .route("/setup", get(show_setup).post(set_up))
        .route("/language", get(language))
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    to: String,
}

/// The cookie that a form before a session is bound to; a new one where there is none.
fn before(headers: &HeaderMap) -> Result<Ticket, Fault> {
    let known = gate::cookie(headers, BEFORE).and_then(|text| Ticket::read(&text));
    match known {
        Some(ticket) => Ok(ticket),
        None => Ok(Ticket::new()?),
    }
}

fn bare(app: &App, words: Words, (title, before): (&str, &Ticket), content: &Markup) -> Response {
    let page = page::bare(app, words, &words.t(title), content);
    ([set_cookie(BEFORE, before.as_str())], page).into_response()
}

async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if visitor.person.is_some() {
        return Ok(Redirect::to("/").into_response());
    }
    let before = before(&headers)?;
    let form = form(visitor.words(), &before, &asked.next, None);
    Ok(bare(&app, visitor.words(), ("login.title", &before), &form))
}

fn form(words: Words, before: &Ticket, next: &str, wrong: Option<String>) -> Markup {
    html! {
        @if let Some(wrong) = &wrong {
            p.wrong role="alert" { span.symbol aria-hidden="true" { "▲" } " " (wrong) }
        }
        form method="post" action="/login" {
            input type="hidden" name="form" value=(before.form_token());
            input type="hidden" name="next" value=(next);
            label for="login" { (words.t("login.name")) }
            input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false"
                required maxlength="40" autofocus;
            label for="password" { (words.t("login.password")) }
            input id="password" name="password" type="password" autocomplete="current-password" required
                maxlength="256";
            button.primary type="submit" { (words.t("login.do")) }
        }
        p.hint { (words.t("login.hint")) }
    }
}

/// A place of this console, and of no other.
fn home(next: &str) -> &str {
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\n', '\r'])
        && next.is_ascii();
    if is_ours { next } else { "/" }
}

async fn log_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Fault> {
    let now = app.now();
    let login = posted.field("login").to_lowercase();
    let is_last = app
        .lockout
        .begin(&login, &visitor.address, now)
        .map_err(|locked| Fault::LOCKED.wait(locked.wait_s))?;
    let Some(person) = prove(&app, &login, posted.secret("password")).await? else {
        note_failure(&app, &login, is_last, now).await?;
        let before = before(&headers)?;
        let words = visitor.words();
        let wrong = Some(words.t("login.wrong"));
        let form = form(words, &before, posted.field("next"), wrong);
        let mut response = bare(&app, words, ("login.title", &before), &form);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.extensions_mut().insert(gate::Told);
        return Ok(response);
    };
    app.lockout.succeeded(&login, &visitor.address);
    let ticket = Ticket::new()?;
    let (kept, address) = (ticket.clone(), visitor.address);
    app.write(move |db| {
        people::sweep(db, now)?;
        people::begin(db, &kept, person.id, &address, now)?;
        let subject = format!("person:{}", person.login);
        audit::write(db, now, &person.login, "login", &subject, &address)
    })
    .await?;
    Ok(begun(&ticket, home(posted.field("next"))))
}

/// Begins the session of a browser: its ticket is new, the one before is of no use any more.
fn begun(ticket: &Ticket, to: &str) -> Response {
    let [(name, session), (_, none)] =
        [set_cookie(SESSION, ticket.as_str()), set_cookie(BEFORE, "")];
    let mut response = Redirect::to(to).into_response();
    for value in [session, none] {
        if let Ok(value) = value.parse() {
            response.headers_mut().append(name.clone(), value);
        }
    }
    response
}

/// Whoever has that name and password; as slow for names that do not exist.
async fn prove(app: &App, login: &str, password: &str) -> Result<Option<Person>, Fault> {
    let name = login.to_owned();
    let found = app.read(move |db| people::by_login(db, &name)).await?;
    let found = found.filter(|person| !person.is_disabled);
    let digest = found
        .as_ref()
        .map_or_else(Digest::of_nobody, |person| person.password.clone());
    let password = password.to_owned();
    let is_it = hashed(app, move || digest.is_of(&password)).await?;
    Ok(found.filter(|_| is_it))
}

/// Runs something that hashes away from the threads that serve; few at once.
pub(super) async fn hashed<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let permit = app.hashing.acquire().await.map_err(|_| Fault::BUSY)?;
    let done = tokio::task::spawn_blocking(work).await;
    drop(permit);
    done.map_err(|_| Fault::OUR_BUG)
}

/// A failure is told of; names that nobody has are not written down, for anybody can send those.
async fn note_failure(app: &App, login: &str, is_locked: bool, now: i64) -> Result<(), Fault> {
    tracing::warn!(is_locked, "somebody could not log in");
    if !is_login(login) {
        return Ok(());
    }
    let login = login.to_owned();
    app.write(move |db| {
        if people::by_login(db, &login)?.is_none() {
            return Ok(());
        }
        let action = if is_locked {
            "login-locked"
        } else {
            "login-failed"
        };
        audit::write(db, now, "console", action, &format!("person:{login}"), "")
    })
    .await?;
    Ok(())
}

async fn log_out(State(app): State<Arc<App>>, who: Who, _: Posted) -> Result<Response, Fault> {
    let now = app.now();
    app.write(move |db| {
        people::end(db, &who.ticket)?;
        let login = &who.person.login;
        audit::write(db, now, login, "logout", &format!("person:{login}"), "")
    })
    .await?;
    Ok(([set_cookie(SESSION, "")], Redirect::to("/login")).into_response())
}

async fn language(Query(asked): Query<Asked>) -> Response {
    let known = Language::ALL.iter().find(|one| one.code() == asked.to);
    let code = known.map_or("vi", |one| one.code());
    ([set_cookie(LANGUAGE, code)], Redirect::to("/login")).into_response()
}

async fn show_setup(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if !app.is_setup(&asked.token) {
        return Err(Fault::NOT_FOUND);
    }
    let before = before(&headers)?;
    let form = setup_form(visitor.words(), &before, &asked.token, None);
    Ok(bare(&app, visitor.words(), ("setup.title", &before), &form))
}

fn setup_form(words: Words, before: &Ticket, token: &str, wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong {
            p.wrong role="alert" { span.symbol aria-hidden="true" { "▲" } " " (words.t(wrong)) }
        }
        p { (words.t("setup.what")) }
        form method="post" action="/setup" {
            input type="hidden" name="form" value=(before.form_token());
            input type="hidden" name="token" value=(token);
            label for="name" { (words.t("users.name")) }
            input id="name" name="name" autocomplete="name" required maxlength="80" autofocus;
            label for="login" { (words.t("login.name")) }
            input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false"
                required maxlength="40";
            label for="password" { (words.t("password.new")) }
            input id="password" name="password" type="password" autocomplete="new-password" required
                minlength="10" maxlength="256";
            button.primary type="submit" { (words.t("setup.do")) }
        }
        p.hint { (words.t("password.rule")) }
    }
}

async fn set_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Fault> {
    if !app.is_setup(posted.field("token")) {
        return Err(Fault::NOT_FOUND);
    }
    let login = posted.field("login").to_lowercase();
    let password = posted.secret("password").to_owned();
    let wrong = if !is_login(&login) {
        Some("users.login-rule")
    } else if !is_long_enough(&password) {
        Some("password.rule")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        let before = before(&headers)?;
        let form = setup_form(visitor.words(), &before, posted.field("token"), Some(wrong));
        return Ok(bare(&app, visitor.words(), ("setup.title", &before), &form));
    }
    let digest = hashed(&app, move || Digest::of(&password)).await??;
    let name = match posted.field("name") {
        "" => login.clone(),
        name => name.chars().take(80).collect(),
    };
    let person = NewPerson {
        login,
        name,
        role: Role::Administrator,
        password: digest,
        must_change: false,
    };
    let (now, ticket, address) = (app.now(), Ticket::new()?, visitor.address);
    let kept = ticket.clone();
    let is_first = app
        .write(move |db| {
            // Two who have the link: the store decides who was first.
            if people::count(db)? != 0 {
                return Ok(false);
            }
            if let Ok(id) = people::add(db, &person, "console", now)? {
                people::begin(db, &kept, id, &address, now)?;
            }
            Ok(true)
        })
        .await?;
    app.end_setup();
    if is_first {
        Ok(begun(&ticket, "/"))
    } else {
        Err(Fault::NOT_FOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn a_login_leads_to_a_page_of_this_console_alone() {
        for (next, to) in [
            ("/queue?state=waiting", "/queue?state=waiting"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
        ] {
            assert_eq!(home(next), to, "{next:?}");
        }
    }
}
