//! What every request passes: who is there, what may be asked of whom, how an answer is dressed.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http_body_util::{BodyExt as _, Limited};

use crate::{
    people::{Person, Role, Ticket, check},
    text::Language,
};

use super::{App, fault::Fault, page, serve::Peer, words::Words};

/// The cookie of a session.
pub(super) const SESSION: &str = "labwire_session";
/// The cookie that the forms before a session are bound to.
pub(super) const BEFORE: &str = "labwire_before";
/// The language of somebody who is not logged in.
pub(super) const LANGUAGE: &str = "labwire_language";

/// A form of the console is a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take to be made; live streams begin at once and go on.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Nothing but our own files: no inline script or style, no frame, no other host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) person: Option<Person>,
    pub(super) ticket: Option<Ticket>,
    pub(super) language: Language,
    pub(super) address: String,
}

impl Visitor {
    pub(super) const fn words(&self) -> Words {
        Words(self.language)
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) person: Person,
    pub(super) ticket: Ticket,
    pub(super) language: Language,
}

impl Who {
    pub(super) const fn words(&self) -> Words {
        Words(self.language)
    }

    pub(super) fn may(&self, role: Role) -> bool {
        self.person.role >= role
    }

    /// # Errors
    /// They may not.
    pub(super) fn needs(&self, role: Role) -> Result<(), Fault> {
        if self.may(role) {
            Ok(())
        } else {
            Err(Fault::NOT_ALLOWED)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(Fault::OUR_BUG)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let visitor = parts.extensions.get::<Visitor>().ok_or(Fault::OUR_BUG)?;
        match (&visitor.person, &visitor.ticket) {
            (Some(person), Some(ticket)) => Ok(Self {
                person: person.clone(),
                ticket: ticket.clone(),
                language: visitor.language,
            }),
            _ => Err(Fault::LOGIN_NEEDED),
        }
    }
}

/// What a form says, after its token was found to be that of the session, or, before there is one, of
/// the page that showed it. The only way to the body of a POST.
#[derive(Clone, Debug)]
pub(super) struct Posted(BTreeMap<String, String>);

impl Posted {
    /// A field without blanks around it; empty where it was not sent.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// A field as sent: passwords may begin with a blank.
    pub(super) fn secret(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let fields = fields(&parts.headers, body).await?;
        let visitor = parts.extensions.get::<Visitor>().ok_or(Fault::OUR_BUG)?;
        let ticket = match (&visitor.person, &visitor.ticket) {
            (Some(_), Some(ticket)) => Some(ticket.clone()),
            _ => cookie(&parts.headers, BEFORE).and_then(|text| Ticket::read(&text)),
        };
        let sent = parts
            .headers
            .get("x-labwire-form")
            .and_then(|value| value.to_str().ok())
            .or_else(|| fields.get("form").map(String::as_str))
            .unwrap_or_default();
        if ticket.is_some_and(|ticket| ticket.is_form_token(sent)) {
            Ok(Self(fields))
        } else {
            Err(Fault::FORGED)
        }
    }
}

async fn fields(headers: &HeaderMap, body: Body) -> Result<BTreeMap<String, String>, Fault> {
    let collected = Limited::new(body, BODY_BYTES_MAX).collect();
    let collected = tokio::time::timeout(BODY_WITHIN, collected)
        .await
        .map_err(|_| Fault::TOO_SLOW)?;
    let body = match collected {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Fault::TOO_LARGE);
        }
        Err(_) => return Err(Fault::NOT_UNDERSTOOD),
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/x-www-form-urlencoded" | "" => {
            let request = axum::http::Request::builder()
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(body))
                .map_err(|_| Fault::NOT_UNDERSTOOD)?;
            axum::Form::<BTreeMap<String, String>>::from_request(request, &())
                .await
                .map(|form| form.0)
                .map_err(|_| Fault::NOT_UNDERSTOOD)
        }
        "application/json" => serde_json::from_slice(&body).map_err(|_| Fault::NOT_UNDERSTOOD),
        _ => Err(Fault::NOT_UNDERSTOOD),
    }
}

/// A cookie of a request.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}

/// The header that sets a cookie until the browser is closed, or deletes it where it is empty.
pub(super) fn set_cookie(name: &str, value: &str) -> (header::HeaderName, String) {
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}");
    (header::SET_COOKIE, text)
}

/// Whether a path is open to everyone: the login, and what says no word of a patient.
fn is_open(path: &str) -> bool {
    matches!(
        path,
        "/login" | "/setup" | "/language" | "/health/live" | "/health/ready" | "/metrics"
    ) || path.starts_with("/assets/")
}

/// Whether a path may be used before a password given by somebody else was changed.
fn is_open_before_change(path: &str) -> bool {
    is_open(path) || matches!(path, "/password" | "/logout")
}

/// The middleware of every route.
pub(super) async fn pass(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let is_htmx = request.headers().contains_key("hx-request");
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let target = request.uri().path_and_query().map(ToString::to_string);
    let unknown = unknown(&app, &request);
    let visitor = match visitor(&app, request.headers(), &path, unknown.clone()).await {
        Ok(visitor) => visitor,
        Err(fault) => {
            return dress(&app, &path, &unknown, fault.into_response());
        }
    };
    let response = if !is_get && is_foreign(request.headers()) {
        Fault::FORGED.into_response()
    } else if visitor.person.is_none() && !is_open(&path) {
        let is_page = is_get && !path.starts_with("/api/") && path != "/live";
        turn_away(is_page, is_htmx, target.as_deref())
    } else if must_change(&visitor) && !is_open_before_change(&path) {
        Redirect::to("/password").into_response()
    } else {
        request.extensions_mut().insert(visitor.clone());
        answer(next.run(request)).await
    };
    dress(&app, &path, &visitor, response)
}

fn must_change(visitor: &Visitor) -> bool {
    visitor
        .person
        .as_ref()
        .is_some_and(|person| person.must_change)
}

async fn answer(making: impl Future<Output = Response>) -> Response {
    tokio::time::timeout(ANSWER_WITHIN, making)
        .await
        .unwrap_or_else(|_| Fault::BUSY.into_response())
}

/// Nobody is logged in: a page sends to the login and comes back, anything else says so.
fn turn_away(is_page: bool, is_htmx: bool, target: Option<&str>) -> Response {
    if is_htmx {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let login = HeaderValue::from_static("/login");
        response.headers_mut().insert("hx-redirect", login);
        return response;
    }
    if !is_page {
        return Fault::LOGIN_NEEDED.into_response();
    }
    let back = target
        .filter(|target| *target != "/")
        .map(|target| format!("?next={}", page::encoded(target)))
        .unwrap_or_default();
    Redirect::to(&format!("/login{back}")).into_response()
}

/// Whether a browser says that another site's page sends this.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return true;
    }
    let Some(origin) = text("origin") else {
        return false;
    };
    let host = text("host").unwrap_or_default();
    let origin = origin.split_once("://").map_or(origin, |(_, host)| host);
    origin != host
}

fn address(request: &Request) -> String {
    request
        .extensions()
        .get::<Peer>()
        .map(|peer| peer.0.ip().to_string())
        .unwrap_or_default()
}

/// Somebody of whom nothing is known.
fn unknown(app: &App, request: &Request) -> Visitor {
    let chosen = cookie(request.headers(), LANGUAGE);
    let chosen = Language::ALL
        .iter()
        .copied()
        .find(|one| Some(one.code()) == chosen.as_deref());
    Visitor {
        person: None,
        ticket: None,
        language: chosen.unwrap_or(app.parts.loaded.lab.lab.language),
        address: address(request),
    }
}

/// Who asks, where the cookie is that of a session; `unknown` otherwise.
async fn visitor(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    unknown: Visitor,
) -> Result<Visitor, Fault> {
    let sent = cookie(headers, SESSION).and_then(|text| Ticket::read(&text));
    let Some(ticket) = sent.filter(|_| !path.starts_with("/assets/")) else {
        return Ok(unknown);
    };
    let now = app.now();
    let asked = ticket.clone();
    let Some((person, is_due)) = app.read(move |db| check(db, &asked, now)).await? else {
        return Ok(unknown);
    };
    // A page that is merely open keeps nobody logged in.
    let is_act = path != "/live" && !headers.contains_key("hx-request");
    if is_due && is_act {
        let seen = ticket.clone();
        app.write(move |db| seen.seen(db, now)).await?;
    }
    let language = person.settings.language;
    Ok(Visitor {
        language: language.unwrap_or(app.parts.loaded.lab.lab.language),
        person: Some(person),
        ticket: Some(ticket),
        ..unknown
    })
}

/// Headers of every answer, and words for every failure.
fn dress(app: &App, path: &str, visitor: &Visitor, response: Response) -> Response {
    let status = response.status();
    let fault = response.extensions().get::<Fault>().copied();
    let is_failure = status.is_client_error() || status.is_server_error();
    let mut response = match fault {
        Some(fault) => told(app, path, visitor, fault),
        None if is_failure && response.extensions().get::<Told>().is_none() => {
            told(app, path, visitor, Fault::of_status(status))
        }
        None => response,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(secured) = &app.secured {
        secure(headers, secured.is_given);
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

/// Over TLS a cookie goes nowhere else. A browser is told to come by TLS alone where it takes the
/// certificate without a question; after that it would let nobody past a certificate made here.
fn secure(headers: &mut HeaderMap, is_given: bool) {
    if let header::Entry::Occupied(mut cookies) = headers.entry(header::SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            let text = cookie.to_str().map(|text| format!("{text}; Secure"));
            if let Some(marked) = text.ok().and_then(|text| text.parse().ok()) {
                *cookie = marked;
            }
        }
    }
    if is_given {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}

/// A failure that has its words already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told;

fn told(app: &App, path: &str, visitor: &Visitor, fault: Fault) -> Response {
    let mut response = if path.starts_with("/api/") {
        super::api::problem(visitor.words(), path, fault)
    } else {
        page::fault(app, visitor, fault)
    };
    *response.status_mut() = fault.status;
    if let Some(wait) = fault.wait_s {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}
