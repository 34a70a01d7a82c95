//! Settings: the configuration as it runs, and where each value comes from.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use serde::Serialize;

use crate::config::{Loaded, read::At};

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

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn at<T: ToString>(&self, key: &str, at: &At<T>) -> Setting {
        let is_written = !at.span.is_empty();
        let before = self.text.get(..at.span.start).filter(|_| is_written);
        Setting {
            key: key.to_owned(),
            value: at.value.to_string(),
            line: before.map(|before| before.matches('\n').count() + 1),
        }
    }

    fn plain(key: &str, value: impl ToString) -> Setting {
        Setting {
            key: key.to_owned(),
            value: value.to_string(),
            line: None,
        }
    }
}

/// The configuration, table by table.
pub(super) fn sections(loaded: &Loaded) -> Vec<Section> {
    let lab = &loaded.lab;
    let reader = Reader {
        text: lab.source.inner(),
    };
    let mut settings = vec![
        Reader::plain("name", &lab.lab.name),
        reader.at("timezone", &lab.lab.timezone),
        Reader::plain("language", lab.lab.language.code()),
        Reader::plain("specimen_days", lab.lab.specimen_days),
    ];
    settings.extend(
        lab.lab
            .catalogue
            .iter()
            .map(|at| reader.at("catalogue", at)),
    );
    settings.extend(lab.lab.profiles.iter().map(|at| reader.at("profiles", at)));
    let mut sections = vec![
        section("[lab]".to_owned(), settings),
        section("[store]".to_owned(), vec![reader.at("url", &lab.store.url)]),
        section(
            "[console]".to_owned(),
            vec![reader.at("listen", &lab.console.listen)],
        ),
    ];
    for host in &lab.hosts {
        let mut settings = Vec::new();
        settings.extend(host.orders.iter().map(|at| reader.at("orders", at)));
        settings.extend(host.results.iter().map(|at| reader.at("results", at)));
        settings.push(Reader::plain("connections", host.connections));
        settings.push(Reader::plain("reply_timeout_s", host.reply_timeout_s));
        sections.push(section(format!("[[host]] {}", *host.id), settings));
    }
    for one in &lab.instruments {
        let mut settings = vec![
            reader.at("profile", &one.profile),
            reader.at("port", &one.port),
            reader.at("section", &one.section),
        ];
        settings.extend(one.charset.iter().map(|at| reader.at("charset", at)));
        settings.extend(one.timezone.iter().map(|at| reader.at("timezone", at)));
        settings.extend(one.tests.iter().map(|(code, test)| {
            let key = format!("tests.{}", code.value);
            reader.at(&key, test)
        }));
        sections.push(section(format!("[[instrument]] {}", *one.id), settings));
    }
    sections
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
        @for section in sections(loaded) { (table(words, &section)) }
    };
    Ok(Page::new(&app, &who, Place::Settings, words.t("place.settings")).show(&content))
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
                        None => span.hint { "—" },
                    } }
                } } }
            } }
        }
    }
}
