//! The ledger in a sentence: every message accounted for, or which are not.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Serialize;

use crate::{
    ledger::{End, Ledger},
    store::StoreError,
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    page::{Tone, state, when},
    words::Words,
};

/// So far back the sentence reaches; `labwire ledger` tells of all.
const SINCE_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// A walk serves everyone for so long.
const FRESH_MICROS: i64 = 20 * 1_000_000;
/// Findings shown.
const FINDINGS_MAX: usize = 50;

/// What a walk through the last day found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) at: i64,
    pub(super) messages: u64,
    pub(super) results: u64,
    pub(super) ends: BTreeMap<&'static str, u64>,
    pub(super) unaccounted: u64,
    pub(super) findings: Vec<String>,
}

/// The last walk. One at a time: who comes meanwhile waits for it.
#[derive(Debug, Default)]
pub(super) struct Cached {
    last: std::sync::Mutex<Option<Arc<Account>>>,
    walking: tokio::sync::Mutex<()>,
}

impl Cached {
    fn fresh(&self, now: i64) -> Option<Arc<Account>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |account: &Arc<Account>| now.saturating_sub(account.at) < FRESH_MICROS;
        last.clone().filter(is_fresh)
    }
}

/// The account of the last day, at most some seconds old.
pub(super) async fn account(app: &App) -> Result<Arc<Account>, StoreError> {
    let _one = app.ledger.walking.lock().await;
    if let Some(account) = app.ledger.fresh(app.now()) {
        return Ok(account);
    }
    let account = Arc::new(walk(app).await?);
    *app.ledger
        .last
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&account));
    Ok(account)
}

/// Page by page, so that no reader is held for long.
async fn walk(app: &App) -> Result<Account, StoreError> {
    let now = app.now();
    let mut account = Account {
        at: now,
        ..Account::default()
    };
    let mut ledger = Ledger::new(Some(now.saturating_sub(SINCE_MICROS)), now);
    loop {
        let (back, page) = app
            .read(move |db| {
                let page = ledger.next_page(db)?;
                Ok((ledger, page))
            })
            .await?;
        ledger = back;
        let Some(page) = page else {
            return Ok(account);
        };
        for entry in &page.entries {
            account.messages += 1;
            for (end, count) in &entry.ends {
                account.results += count;
                *account.ends.entry(end.code()).or_default() += count;
                if *end == End::Lost {
                    account.unaccounted += count;
                }
            }
        }
        account.unaccounted += u64::try_from(page.findings.len()).unwrap_or(u64::MAX);
        let room = FINDINGS_MAX.saturating_sub(account.findings.len());
        let told = page.findings.iter().take(room);
        account
            .findings
            .extend(told.map(|finding| finding.what.clone()));
    }
}

/// `GET /queue/ledger`: a part of the page.
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let account = account(&app).await?;
    Ok(Html(sentence(&app, who.words(), &account).into_string()).into_response())
}

fn sentence(app: &App, words: Words, account: &Account) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let messages = words.count(account.messages);
    let results = words.count(account.results);
    let lost = words.count(account.unaccounted);
    let args = [
        ("messages", messages.as_str()),
        ("results", &results),
        ("lost", &lost),
    ];
    html! {
        p.sentence {
            @if account.unaccounted == 0 { (state(Tone::Good, &words.f("ledger.all", &args))) }
            @else { (state(Tone::Act, &words.f("ledger.not-all", &args))) }
            " " span.hint { (words.t("ledger.at")) " " (when(account.at, zone, account.at)) }
        }
        @if !account.ends.is_empty() {
            dl.facts.broad { @for end in End::ALL {
                @if let Some(count) = account.ends.get(end.code()) {
                    div { dt { (words.t(&format!("end.{}", key(*end)))) } dd { (words.count(*count)) } }
                }
            } }
        }
        @if !account.findings.is_empty() { ul { @for finding in &account.findings { li { (finding) } } } }
    }
}

/// An end as a key: its code has blanks.
pub(super) fn key(end: End) -> String {
    end.code().replace(' ', "-")
}
