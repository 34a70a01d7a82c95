//! Users: who may log in, and as what. For administrators.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use crate::people::{self, Digest, NewPerson, Person, Role, is_login, one_time};

use super::{
    App,
    fault::Fault,
    gate::{Posted, Who},
    login::hashed,
    page::{Page, Place, Tone, state, token, when},
    words::Words,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/users", get(show).post(add))
        .route("/users/{login}/role", post(role))
        .route("/users/{login}/reset", post(reset))
        .route("/users/{login}/disable", post(disable))
}

/// A password that was just made: shown once, to whoever made it.
struct Made<'a> {
    login: &'a str,
    password: &'a str,
}

/// `GET /users`
async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    who.needs(Role::Administrator)?;
    page(&app, &who, None, None).await
}

async fn page(
    app: &App,
    who: &Who,
    made: Option<Made<'_>>,
    wrong: Option<&str>,
) -> Result<Response, Fault> {
    let words = who.words();
    let people = app.read(people::list).await?;
    let now = app.now();
    let content = html! {
        @if let Some(made) = &made {
            div.made role="status" {
                p { (words.f("users.made", &[("login", made.login)])) }
                p.secret { code { (made.password) } }
                p.hint { (words.t("users.made-hint")) }
            }
        }
        @if let Some(wrong) = wrong { p.wrong role="alert" { (state(Tone::Look, &words.t(wrong))) } }
        (table(app, who, &people, now))
        (form(who, words))
    };
    let page = Page::new(app, who, Place::Users, words.t("place.users"));
    Ok(page.show(&content))
}

fn table(app: &App, who: &Who, people: &[Person], now: i64) -> Markup {
    let words = who.words();
    let zone = &app.parts.site.laboratory.zone;
    html! {
        div.wide { table {
            thead { tr { @for key in ["name", "login", "role", "state", "since"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } th scope="col" { span.unseen { (words.t("column.acts")) } } } }
            tbody { @for person in people { tr {
                th scope="row" { (person.name) }
                td.code { (person.login) }
                td {
                    form.inline method="post" action={ "/users/" (person.login) "/role" } {
                        (token(who))
                        @let id = format!("role-{}", person.login);
                        label.unseen for=(id) { (words.t("column.role")) " " (person.login) }
                        select id=(id) name="role" { (options(words, Some(person.role))) }
                        button type="submit" { (words.t("users.set-role")) }
                    }
                }
                td { @if person.is_disabled { (state(Tone::Plain, &words.t("users.disabled"))) }
                    @else if person.must_change { (state(Tone::Calm, &words.t("users.must-change"))) }
                    @else { (state(Tone::Good, &words.t("users.active"))) } }
                td { (when(person.created_at, zone, now)) }
                td.acts {
                    form method="post" action={ "/users/" (person.login) "/reset" } {
                        (token(who))
                        button type="submit" { (words.t("users.reset")) }
                    }
                    @if !person.is_disabled && person.id != who.person.id {
                        form method="post" action={ "/users/" (person.login) "/disable" } {
                            (token(who))
                            button.danger type="submit" { (words.t("users.disable")) }
                        }
                    }
                }
            } } }
        } }
    }
}

fn options(words: Words, chosen: Option<Role>) -> Markup {
    html! { @for role in Role::ALL {
        option value=(role.code()) selected[Some(*role) == chosen] { (words.t(&format!("role.{}", role.code()))) }
    } }
}

fn form(who: &Who, words: Words) -> Markup {
    html! {
        section aria-labelledby="add-title" {
            h2 id="add-title" { (words.t("users.add")) }
            form.stack method="post" action="/users" {
                (token(who))
                label for="name" { (words.t("users.name")) }
                input id="name" name="name" autocomplete="off" required maxlength="80";
                label for="login" { (words.t("login.name")) }
                input id="login" name="login" autocomplete="off" autocapitalize="none" spellcheck="false" required maxlength="40";
                p.hint { (words.t("users.login-rule")) }
                label for="role" { (words.t("column.role")) }
                select id="role" name="role" { (options(words, Some(Role::Technician))) }
                button.primary type="submit" { (words.t("users.add-do")) }
            }
        }
    }
}

/// A password to be given once, and what is kept of it.
async fn fresh(app: &App) -> Result<(String, Digest), Fault> {
    let password = one_time()?;
    let hashing = password.clone();
    let digest = hashed(app, move || Digest::of(&hashing)).await??;
    Ok((password, digest))
}

/// `POST /users`
async fn add(State(app): State<Arc<App>>, who: Who, posted: Posted) -> Result<Response, Fault> {
    who.needs(Role::Administrator)?;
    let login = posted.field("login").to_lowercase();
    let role = Role::from_code(posted.field("role")).ok_or(Fault::NOT_UNDERSTOOD)?;
    if !is_login(&login) {
        return page(&app, &who, None, Some("users.login-rule")).await;
    }
    let name: String = match posted.field("name") {
        "" => login.clone(),
        name => name.chars().take(80).collect(),
    };
    let (password, digest) = fresh(&app).await?;
    let person = NewPerson {
        login: login.clone(),
        name,
        role,
        password: digest,
        must_change: true,
    };
    let (now, actor) = (app.now(), who.person.login.clone());
    let added = app
        .write(move |db| people::add(db, &person, &actor, now))
        .await?;
    if added.is_err() {
        return page(&app, &who, None, Some("users.exists")).await;
    }
    let made = Made {
        login: &login,
        password: &password,
    };
    page(&app, &who, Some(made), None).await
}

async fn person(app: &App, login: String) -> Result<Person, Fault> {
    let found = app.read(move |db| people::by_login(db, &login)).await?;
    found.ok_or(Fault::NOT_FOUND)
}

/// `POST /users/{login}/role`
async fn role(
    State(app): State<Arc<App>>,
    who: Who,
    Path(login): Path<String>,
    posted: Posted,
) -> Result<Response, Fault> {
    who.needs(Role::Administrator)?;
    let role = Role::from_code(posted.field("role")).ok_or(Fault::NOT_UNDERSTOOD)?;
    let person = person(&app, login).await?;
    // Nobody takes the last administrator away by taking it from themselves.
    if person.id == who.person.id {
        return Err(Fault::CONFLICT);
    }
    let (now, actor) = (app.now(), who.person.login);
    app.write(move |db| people::set_role(db, &person, role, &actor, now))
        .await?;
    Ok(Redirect::to("/users").into_response())
}

/// `POST /users/{login}/reset`
async fn reset(
    State(app): State<Arc<App>>,
    who: Who,
    Path(login): Path<String>,
    _: Posted,
) -> Result<Response, Fault> {
    who.needs(Role::Administrator)?;
    let person = person(&app, login).await?;
    if person.id == who.person.id {
        return Ok(Redirect::to("/password").into_response());
    }
    let (password, digest) = fresh(&app).await?;
    let (now, actor, login) = (app.now(), who.person.login.clone(), person.login.clone());
    app.write(move |db| people::set_password(db, &person, (&digest, true), &actor, now))
        .await?;
    let made = Made {
        login: &login,
        password: &password,
    };
    page(&app, &who, Some(made), None).await
}

/// `POST /users/{login}/disable`
async fn disable(
    State(app): State<Arc<App>>,
    who: Who,
    Path(login): Path<String>,
    _: Posted,
) -> Result<Response, Fault> {
    who.needs(Role::Administrator)?;
    let person = person(&app, login).await?;
    if person.id == who.person.id {
        return Err(Fault::CONFLICT);
    }
    let (now, actor) = (app.now(), who.person.login);
    app.write(move |db| people::disable(db, &person, &actor, now))
        .await?;
    Ok(Redirect::to("/users").into_response())
}
