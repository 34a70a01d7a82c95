//! What every page has around it.

use axum::response::{Html, IntoResponse, Response};
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{people::Role, text::Language};

use super::{
    App, assets,
    fault::Fault,
    gate::{Visitor, Who},
    words::{Words, moment},
};

/// A place of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Work,
    Calls,
    Devices,
    Specimens,
    Queue,
    Qc,
    Alerts,
    Audit,
    Settings,
    Users,
    Track,
    Downtime,
    Numbers,
    /// A page that no entry of the menu leads to.
    None,
}

impl Place {
    const MENU: [(Self, &'static str, &'static str, &'static str); 13] = [
        (Self::Work, "/", "work", "1"),
        (Self::Calls, "/calls", "calls", "9"),
        (Self::Devices, "/devices", "devices", "2"),
        (Self::Track, "/track", "track", "L"),
        (Self::Specimens, "/specimens", "specimens", "3"),
        (Self::Queue, "/queue", "queue", "4"),
        (Self::Qc, "/qc", "qc", "5"),
        (Self::Alerts, "/alerts", "alerts", "0"),
        (Self::Downtime, "/downtime", "downtime", "D"),
        (Self::Numbers, "/numbers", "numbers", "N"),
        (Self::Audit, "/audit", "audit", "6"),
        (Self::Settings, "/settings", "settings", "7"),
        (Self::Users, "/users", "users", "8"),
    ];

    /// Whether somebody sees it in the menu.
    fn is_for(self, role: Role) -> bool {
        self != Self::Users || role == Role::Administrator
    }
}

/// One colour meaning everywhere, always with a symbol and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// On its way, nothing to do.
    Calm,
    /// Somebody should look at it.
    Look,
    /// Act now.
    Act,
    /// Neither.
    Plain,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Calm => "calm",
            Self::Look => "look",
            Self::Act => "act",
            Self::Plain => "plain",
        }
    }

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Calm => "◷",
            Self::Look => "▲",
            Self::Act => "■",
            Self::Plain => "○",
        }
    }
}

/// A state: colour, symbol, word.
pub(super) fn state(tone: Tone, word: &str) -> Markup {
    html! {
        span class={ "state " (tone.class()) } {
            span.symbol aria-hidden="true" { (tone.symbol()) } " " (word)
        }
    }
}

/// An instant; the browser tells its age where one points at it.
pub(super) fn when(micros: i64, zone: &TimeZone, now: i64) -> Markup {
    html! {
        time datetime=(super::words::rfc3339(micros)) { (moment(micros, zone, now)) }
    }
}

/// An instant with its age beside it, which the browser keeps.
pub(super) fn since(micros: i64, zone: &TimeZone, now: i64) -> Markup {
    html! {
        time.both datetime=(super::words::rfc3339(micros)) { (moment(micros, zone, now)) }
    }
}

/// The age of an instant, which the browser keeps.
pub(super) fn age(micros: i64, zone: &TimeZone, now: i64) -> Markup {
    html! {
        time.age datetime=(super::words::rfc3339(micros)) { (moment(micros, zone, now)) }
    }
}

/// A page about to be made.
pub(super) struct Page<'a> {
    pub(super) app: &'a App,
    pub(super) who: &'a Who,
    pub(super) place: Place,
    /// In the page's language.
    pub(super) title: String,
    /// What the page wants to hear of, beside the counts of the menu: `devices`, `line=xn-1`.
    pub(super) live: &'a str,
    /// Whether it draws charts.
    pub(super) has_charts: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(app: &'a App, who: &'a Who, place: Place, title: String) -> Self {
        Self {
            app,
            who,
            place,
            title,
            live: "",
            has_charts: false,
        }
    }

    /// The whole page around its content.
    pub(super) fn show(&self, content: &Markup) -> Response {
        let words = self.who.words();
        let person = &self.who.person;
        let connect = format!("/live?{}", self.live);
        let body = html! {
            body hx-ext="sse" sse-connect=(connect) {
                (skip(words))
                (self.header(words))
                nav.menu aria-label=(words.t("menu")) {
                    ul {
                        @for (place, path, key, digit) in Place::MENU.iter().filter(|entry| entry.0.is_for(person.role)) {
                            li {
                                a href=(path) data-key=(digit) aria-current=[(*place == self.place).then_some("page")] {
                                    span.icon aria-hidden="true" { (icon(*place)) }
                                    span.word { (words.t(&format!("place.{key}"))) }
                                    @if let Place::Work | Place::Calls | Place::Devices | Place::Queue = place {
                                        span.count sse-swap={ "count-" (key) } {}
                                    }
                                }
                            }
                        }
                    }
                }
                (banner(words))
                main id="main" tabindex="-1" {
                    h1 { (self.title) }
                    (content)
                }
                (help(words))
            }
        };
        let dark = person.settings.is_dark;
        document(self.app, words, &self.title, dark, self.has_charts, &body)
    }

    fn header(&self, words: Words) -> Markup {
        let person = &self.who.person;
        let lab = &self.app.parts.loaded.lab.lab.name;
        html! {
            header.top {
                a.brand href="/" {
                    img src=(assets::MARK.path()) alt="" width="28" height="28";
                    span { "Labwire" }
                    @if !lab.is_empty() { span.lab { (lab) } }
                }
                form.scan action="/specimens" role="search" {
                    label.unseen for="scan" { (words.t("scan.label")) }
                    input id="scan" name="q" type="search" autocomplete="off" spellcheck="false"
                        placeholder=(words.t("scan.hint")) maxlength="80";
                }
                a.alerts href="/alerts" {
                    span.unseen { (words.t("place.alerts")) ": " }
                    span sse-swap="count-alerts" { (state(Tone::Plain, &words.t("place.alerts"))) }
                }
                a.person href="/me" {
                    span.name { (person.name) }
                    span.role { (words.t(&format!("role.{}", person.role.code()))) }
                }
                form action="/logout" method="post" {
                    (token(self.who))
                    button.quiet type="submit" { (words.t("logout")) }
                }
            }
        }
    }
}

fn skip(words: Words) -> Markup {
    html! { a.skip href="#main" { (words.t("skip")) } }
}

/// Shown by the script when the stream of events breaks off.
fn banner(words: Words) -> Markup {
    html! {
        div.banner id="lost" role="alert" hidden {
            span.symbol aria-hidden="true" { "■" }
            " " (words.t("lost"))
        }
        div.banner.back id="back" role="status" hidden {
            span.symbol aria-hidden="true" { "✓" }
            " " (words.t("back"))
        }
    }
}

fn help(words: Words) -> Markup {
    let keys = [
        "/",
        "0–9 L D N",
        "j k ↑ ↓",
        "Enter",
        "r l m a n s t",
        "u",
        "p",
        "f",
        "Esc",
        "?",
    ];
    html! {
        dialog id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { (words.t("keys.title")) }
            dl.keys {
                @for (at, key) in keys.iter().enumerate() {
                    dt { kbd { (key) } }
                    dd { (words.t(&format!("keys.k{}", at + 1))) }
                }
            }
            form method="dialog" { button type="submit" { (words.t("keys.close")) } }
        }
        footer { button.quiet type="button" id="show-keys" { kbd { "?" } " " (words.t("keys.title")) } }
    }
}

/// The hidden field that every form carries.
pub(super) fn token(who: &Who) -> Markup {
    html! { input type="hidden" name="form" value=(who.ticket.form_token()); }
}

fn icon(place: Place) -> &'static str {
    match place {
        Place::Work => "☰",
        Place::Calls => "☎",
        Place::Devices => "⇄",
        Place::Specimens => "⌕",
        Place::Queue => "↗",
        Place::Qc => "∿",
        Place::Alerts => "⚠",
        Place::Audit => "✎",
        Place::Settings => "⚙",
        Place::Users => "☺",
        Place::Track => "⇉",
        Place::Downtime => "✍",
        Place::Numbers => "Σ",
        Place::None => "",
    }
}

/// A page with nothing around it, for somebody who is not logged in.
pub(super) fn bare(app: &App, words: Words, title: &str, content: &Markup) -> Response {
    let other = match words.0 {
        Language::Vi => (Language::En, "English"),
        Language::En => (Language::Vi, "Tiếng Việt"),
    };
    let lab = &app.parts.loaded.lab.lab.name;
    let body = html! {
        body.bare {
            main id="main" {
                p.brand {
                    img src=(assets::MARK.path()) alt="" width="40" height="40";
                    span { "Labwire" }
                }
                @if !lab.is_empty() { p.lab { (lab) } }
                h1 { (title) }
                (content)
                p.other { a href={ "/language?to=" (other.0.code()) } lang=(other.0.code()) { (other.1) } }
            }
        }
    };
    document(app, words, title, None, false, &body)
}

fn document(
    app: &App,
    words: Words,
    title: &str,
    is_dark: Option<bool>,
    has_charts: bool,
    body: &Markup,
) -> Response {
    let theme = is_dark.map(|is_dark| if is_dark { "dark" } else { "light" });
    let lab = &app.parts.loaded.lab.lab.name;
    let page = html! {
        (DOCTYPE)
        html lang=(words.0.code()) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · " @if lab.is_empty() { "Labwire" } @else { (lab) } }
                link rel="icon" href=(assets::MARK.path()) type="image/svg+xml";
                @if has_charts { link rel="stylesheet" href=(assets::UPLOT_CSS.path()); }
                link rel="stylesheet" href=(assets::CONSOLE_CSS.path());
                script src=(assets::HTMX_JS.path()) defer {}
                script src=(assets::SSE_JS.path()) defer {}
                script src=(assets::CONSOLE_JS.path()) defer {}
                @if has_charts {
                    script src=(assets::UPLOT_JS.path()) defer {}
                    script src=(assets::CHART_JS.path()) defer {}
                }
            }
            (body)
        }
    };
    Html(page.into_string()).into_response()
}

/// htmx adds no style of its own and runs no text as a script.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;

/// The page of a failure.
pub(super) fn fault(app: &App, visitor: &Visitor, fault: Fault) -> Response {
    let words = visitor.words();
    let title = words.t(&format!("fault.{}.title", fault.code));
    let wait = fault.wait_s.map(|wait| wait.to_string());
    let content = html! {
        p { (words.t(&format!("fault.{}.todo", fault.code))) }
        @if let Some(wait) = wait { p { (words.f("fault.wait", &[("seconds", &wait)])) } }
        p { a.button href="/" { (words.t("fault.home")) } }
    };
    bare(app, words, &title, &content)
}

/// A text as part of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The address of a tube.
pub(super) fn of_tube(barcode: &str) -> String {
    format!("/specimens?q={}", encoded(barcode))
}

/// Nothing is there, in words.
pub(super) fn empty(text: &str) -> Markup {
    html! { p.empty { span.symbol aria-hidden="true" { "✓" } " " (text) } }
}

/// Markup joined.
pub(super) fn joined(parts: &[Markup]) -> Markup {
    PreEscaped(parts.iter().map(|part| part.0.as_str()).collect())
}
