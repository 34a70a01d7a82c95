//! What somebody sets for themselves: language, light or dark, the password.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};

use crate::{
    people::{self, Digest, Settings, is_long_enough},
    text::Language,
};

use super::{
    App,
    fault::Fault,
    gate::{Posted, SESSION, Who, set_cookie},
    login::hashed,
    page::{self, Page, Place, token},
    words::Words,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/me", get(show).post(change))
        .route("/password", get(show_password).post(change_password))
}

/// `GET /me`
async fn show(State(app): State<Arc<App>>, who: Who) -> Response {
    let words = who.words();
    let settings = who.person.settings;
    let language = settings.language.map_or("", Language::code);
    let theme = match settings.is_dark {
        Some(true) => "dark",
        Some(false) => "light",
        None => "",
    };
    let content = html! {
        p { strong { (who.person.name) } " · " (who.person.login) " · "
            (words.t(&format!("role.{}", who.person.role.code()))) }
        form.stack method="post" action="/me" {
            (token(&who))
            fieldset {
                legend { (words.t("me.language")) }
                @for (value, name) in [("", words.t("me.lab")), ("vi", "Tiếng Việt".to_owned()), ("en", "English".to_owned())] {
                    label { input type="radio" name="language" value=(value) checked[value == language]; " " (name) }
                }
            }
            fieldset {
                legend { (words.t("me.theme")) }
                @for (value, key) in [("", "me.screen"), ("light", "me.light"), ("dark", "me.dark")] {
                    label { input type="radio" name="theme" value=(value) checked[value == theme]; " " (words.t(key)) }
                }
            }
            button.primary type="submit" { (words.t("me.save")) }
        }
        p { a.button href="/password" { (words.t("password.change")) } }
    };
    Page::new(&app, &who, Place::None, words.t("me.title")).show(&content)
}

/// `POST /me`
async fn change(State(app): State<Arc<App>>, who: Who, posted: Posted) -> Result<Response, Fault> {
    let chosen = posted.field("language");
    let settings = Settings {
        language: Language::ALL
            .iter()
            .copied()
            .find(|one| one.code() == chosen),
        is_dark: match posted.field("theme") {
            "dark" => Some(true),
            "light" => Some(false),
            _ => None,
        },
    };
    let id = who.person.id;
    app.write(move |db| people::set_settings(db, id, settings))
        .await?;
    Ok(Redirect::to("/me").into_response())
}

/// `GET /password`: alone on its page, for somebody may have to change it before anything else.
async fn show_password(State(app): State<Arc<App>>, who: Who) -> Response {
    let words = who.words();
    page::bare(&app, words, &words.t("password.change"), &form(&who, None))
}

fn form(who: &Who, wrong: Option<&str>) -> Markup {
    let words: Words = who.words();
    html! {
        @if who.person.must_change { p { (words.t("password.must")) } }
        @if let Some(wrong) = wrong {
            p.wrong role="alert" { span.symbol aria-hidden="true" { "▲" } " " (words.t(wrong)) }
        }
        form method="post" action="/password" {
            (token(who))
            label for="old" { (words.t("password.old")) }
            input id="old" name="old" type="password" autocomplete="current-password" required maxlength="256" autofocus;
            label for="new" { (words.t("password.new")) }
            input id="new" name="new" type="password" autocomplete="new-password" required minlength="10" maxlength="256";
            label for="again" { (words.t("password.again")) }
            input id="again" name="again" type="password" autocomplete="new-password" required minlength="10" maxlength="256";
            button.primary type="submit" { (words.t("password.do")) }
        }
        p.hint { (words.t("password.rule")) }
    }
}

/// `POST /password`: every session of the person ends, this one too.
async fn change_password(
    State(app): State<Arc<App>>,
    who: Who,
    posted: Posted,
) -> Result<Response, Fault> {
    let now = app.now();
    let login = who.person.login.clone();
    app.lockout
        .begin(&login, "", now)
        .map_err(|locked| Fault::LOCKED.wait(locked.wait_s))?;
    let (old, new) = (
        posted.secret("old").to_owned(),
        posted.secret("new").to_owned(),
    );
    let digest = who.person.password.clone();
    let known = old.clone();
    let wrong = if !hashed(&app, move || digest.is_of(&known)).await? {
        Some("password.wrong")
    } else if new != posted.secret("again") {
        Some("password.differs")
    } else if !is_long_enough(&new) || new == old {
        Some("password.rule")
    } else {
        None
    };
    if wrong != Some("password.wrong") {
        app.lockout.succeeded(&login, "");
    }
    if let Some(wrong) = wrong {
        let words = who.words();
        let form = form(&who, Some(wrong));
        return Ok(page::bare(&app, words, &words.t("password.change"), &form));
    }
    let digest = hashed(&app, move || Digest::of(&new)).await??;
    let person = who.person;
    app.write(move |db| people::set_password(db, &person, (&digest, false), &person.login, now))
        .await?;
    Ok(([set_cookie(SESSION, "")], Redirect::to("/login")).into_response())
}
