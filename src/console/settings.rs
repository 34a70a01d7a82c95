//! Settings: the configuration as it runs, and where each value comes from.

use std::{ops::Range, sync::Arc};

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use serde::Serialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use labwire_drivers::TlsStatus;

use crate::{
    certificates::Standing,
    config::{Guard, Loaded, alerts::Alerts, read::At, secret},
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    page::{Page, Place},
    words::Words,
};

/// A value that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    /// The line of `lab.toml`; `None` for what is so by itself.
    pub(super) line: Option<usize>,
}

/// A table of `lab.toml` as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) settings: Vec<Setting>,
}

/// Where values stand in `lab.toml`.
struct Reader<'a> {
    text: &'a str,
    table: Option<DeTable<'a>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let table = DeTable::parse(text).ok().map(Spanned::into_inner);
        Self { text, table }
    }

    fn line(&self, span: &Range<usize>) -> Option<usize> {
        let before = self.text.get(..span.start)?;
        Some(before.matches('\n').count() + 1)
    }

    /// A value of a table of `lab.toml`; of the one with that index where there are several.
    fn at(&self, (table, index): (&str, usize), key: &str, value: impl ToString) -> Setting {
        let written = self.table.as_ref().and_then(|root| root.get(table));
        let mut written = written.and_then(|found| match found.get_ref().as_array() {
            Some(tables) => tables.get(index).map(Spanned::get_ref),
            None => Some(found.get_ref()),
        });
        let mut span = None;
        for part in key.splitn(2, '.') {
            let found = written
                .and_then(DeValue::as_table)
                .and_then(|table| table.get(part));
            span = found.map(Spanned::span);
            written = found.map(Spanned::get_ref);
        }
        Setting {
            key: key.to_owned(),
            // Everybody who may look at settings would read a password in an address.
            value: secret::masked(&value.to_string()),
            line: span.and_then(|span| self.line(&span)),
        }
    }
}

fn alerts(reader: &Reader<'_>, alerts: &Alerts) -> Vec<Setting> {
    let own = |key: &str, value: String| reader.at(("alerts", 0), key, value);
    let numbers = [
        ("quiet_factor", &alerts.quiet_factor),
        ("quiet_least_min", &alerts.quiet_least_min),
        ("queue_depth", &alerts.queue_depth),
        ("queue_age_min", &alerts.queue_age_min),
        ("errors_percent", &alerts.errors_percent),
        ("disk_percent", &alerts.disk_percent),
        ("late_ahead_min", &alerts.late_ahead_min),
    ];
    let mut settings: Vec<Setting> = numbers
        .iter()
        .map(|(key, number)| own(key, number.to_string()))
        .collect();
    if let Some(email) = &alerts.email {
        let to: Vec<&str> = email.to.iter().map(|to| to.as_str()).collect();
        settings.push(own("email_server", email.server.to_string()));
        settings.push(own("email_to", to.join(", ")));
    }
    settings.extend(
        alerts
            .webhook
            .iter()
            .map(|at| own("webhook", at.to_string())),
    );
    settings
}

/// The configuration, table by table.
pub(super) fn sections(loaded: &Loaded) -> Vec<Section> {
    let lab = &loaded.lab;
    let reader = Reader::new(lab.source.inner());
    let own = |key: &str, value: &dyn ToString| reader.at(("lab", 0), key, value.to_string());
    let mut settings = vec![
        own("name", &lab.lab.name),
        own("timezone", &lab.lab.timezone.value),
        own("language", &lab.lab.language.code()),
        own("specimen_days", &lab.lab.specimen_days),
    ];
    let files = [
        ("catalogue", &lab.lab.catalogue),
        ("profiles", &lab.lab.profiles),
    ];
    for (key, file) in files {
        settings.extend(file.iter().map(|file| own(key, &file.value)));
    }
    let url = reader.at(("store", 0), "url", &lab.store.url.value);
    let of_console = |key: &str, value: &At<String>| reader.at(("console", 0), key, &value.value);
    let mut console = vec![of_console("listen", &lab.console.listen)];
    let files = [
        ("certificate", &lab.console.certificate),
        ("key", &lab.console.key),
    ];
    for (key, file) in files {
        console.extend(file.iter().map(|file| of_console(key, file)));
    }
    let within = lab.console.call_within_min.to_string();
    console.push(reader.at(("console", 0), "call_within_min", &within));
    let mut sections = vec![
        section("[lab]".to_owned(), settings),
        section("[store]".to_owned(), vec![url]),
        section("[console]".to_owned(), console),
    ];
    sections.push(section("[alerts]".to_owned(), alerts(&reader, &lab.alerts)));
    for (index, host) in lab.hosts.iter().enumerate() {
        let own = |key: &str, value: String| reader.at(("host", index), key, value);
        let mut settings = Vec::new();
        settings.extend(host.orders.iter().map(|at| own("orders", at.to_string())));
        settings.extend(host.results.iter().map(|at| own("results", at.to_string())));
        settings.push(own("connections", host.connections.to_string()));
        settings.push(own("reply_timeout_s", host.reply_timeout_s.to_string()));
        settings.push(own("retry_first_s", host.retry_first_s.to_string()));
        settings.push(own("retry_longest_s", host.retry_longest_s.to_string()));
        settings.extend(guarded(&host.guard).map(|(key, value)| own(key, value)));
        sections.push(section(format!("[[host]] {}", *host.id), settings));
    }
    for (index, one) in lab.instruments.iter().enumerate() {
        let own = |key: &str, value: String| reader.at(("instrument", index), key, value);
        let mut settings = vec![
            own("profile", one.profile.to_string()),
            own("port", one.port.to_string()),
            own("section", one.section.to_string()),
        ];
        settings.extend(one.charset.iter().map(|at| own("charset", at.to_string())));
        settings.extend(
            one.timezone
                .iter()
                .map(|at| own("timezone", at.to_string())),
        );
        settings.extend(guarded(&one.guard).map(|(key, value)| own(key, value)));
        let sender: Vec<String> = one.sender.iter().map(ToString::to_string).collect();
        settings.extend((!sender.is_empty()).then(|| own("sender", sender.join(", "))));
        settings.extend(one.tests.iter().map(|(code, test)| {
            let key = format!("tests.{}", code.value);
            own(&key, test.to_string())
        }));
        sections.push(section(format!("[[instrument]] {}", *one.id), settings));
    }
    sections
}

/// What guards a port, as far as it is written.
fn guarded(guard: &Guard) -> impl Iterator<Item = (&'static str, String)> {
    let texts = [
        ("certificate", &guard.certificate),
        ("key", &guard.key),
        ("ca", &guard.ca),
        ("client_ca", &guard.client_ca),
        ("server_name", &guard.server_name),
    ];
    let allow: Vec<String> = guard.allow.iter().map(ToString::to_string).collect();
    let allow = (!allow.is_empty()).then(|| ("allow", allow.join(", ")));
    let texts = texts.map(|(key, text)| Some((key, text.as_ref()?.value.clone())));
    texts.into_iter().flatten().chain(allow)
}

fn section(name: String, settings: Vec<Setting>) -> Section {
    Section { name, settings }
}

/// `GET /settings`
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let loaded = &app.parts.loaded;
    let file = loaded.lab.source.name();
    let content = html! {
        p.hint { (words.t("settings.hint")) " " span.code { (file) } }
        dl.facts.broad {
            div { dt { (words.t("settings.version")) } dd { (env!("CARGO_PKG_VERSION")) } }
            div { dt { (words.t("settings.tests")) } dd { (words.count(u64::try_from(loaded.catalogue.tests().count()).unwrap_or(0))) } }
        }
        p { a.button href="/settings/profiles" { (words.t("profiles.title")) } }
        (certificates(words, &app.parts.certificates.list(), app.now()))
        @for section in sections(loaded) { (table(words, &section)) }
    };
    Ok(Page::new(&app, &who, Place::Settings, words.t("place.settings")).show(&content))
}

/// The certificates of all ports: until when, and how each is compared.
fn certificates(words: Words, all: &[TlsStatus], now: i64) -> Markup {
    if all.is_empty() {
        return html! {};
    }
    let zone = jiff::tz::TimeZone::UTC;
    let date = |micros: i64| {
        jiff::Timestamp::from_microsecond(micros)
            .map(|at| {
                at.to_zoned(zone.clone())
                    .strftime("%Y-%m-%d %H:%M UTC")
                    .to_string()
            })
            .unwrap_or_default()
    };
    html! {
        section {
            h2 { (words.t("settings.certificates")) }
            div.wide { table {
                thead { tr {
                    th scope="col" { (words.t("settings.certificate.owner")) }
                    th scope="col" { (words.t("settings.certificate.ends")) }
                    th scope="col" { (words.t("settings.certificate.standing")) }
                    th scope="col" { (words.t("settings.certificate.fingerprint")) }
                } }
                tbody { @for one in all { tr {
                    th.code scope="row" { (one.owner) }
                    td { @if let Some(certificate) = &one.certificate {
                        (date(certificate.not_after_utc_micros))
                    } }
                    td { (standing(words, &Standing::of(one, now))) }
                    td.code { @if let Some(certificate) = &one.certificate {
                        (certificate.fingerprint)
                    } }
                } } }
            } }
        }
    }
}

fn standing(words: Words, standing: &Standing) -> Markup {
    html! { @match standing {
        Standing::Good => { "✓ " (words.t("settings.certificate.good")) }
        Standing::EndsIn(days) => strong {
            "! " (words.f("settings.certificate.ends-in", &[("days", &days.to_string())]))
        }
        Standing::Ended => strong { "✗ " (words.t("settings.certificate.ended")) }
        Standing::Unusable { code, why } => strong {
            "✗ " (words.t("settings.certificate.unusable")) " " (code) ": " (why)
        }
    } }
}

fn table(words: Words, section: &Section) -> Markup {
    html! {
        section {
            h2.code { (section.name) }
            div.wide { table {
                thead { tr { @for key in ["setting", "value", "origin"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for one in &section.settings { tr {
                    th.code scope="row" { (one.key) }
                    td.code { (one.value) }
                    td { @match one.line {
                        Some(line) => (words.f("settings.line", &[("line", &line.to_string())])),
                        None => span.hint { (words.t("settings.default")) },
                    } }
                } } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_with_the_line_it_stands_on() {
        let text = "[lab]\nname = \"A\"\n\n[[host]]\nid = \"one\"\n\n[[host]]\nid = \"two\"\n\
                    connections = 2\ntests = { X = \"Y\" }\n";
        let reader = Reader::new(text);
        let line = |table, key| reader.at(table, key, "").line;
        assert_eq!(line(("lab", 0), "name"), Some(2));
        assert_eq!(line(("lab", 0), "language"), None);
        assert_eq!(line(("host", 1), "connections"), Some(9));
        assert_eq!(line(("host", 0), "connections"), None);
        assert_eq!(line(("host", 1), "tests.X"), Some(10));
    }
}
