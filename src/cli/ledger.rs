//! `labwire ledger`: every message and where it ended.

use std::collections::BTreeMap;

use clap::Args;
use labwire_drivers::{Clock as _, SystemClock};
use serde_json::json;

use super::{Verdict, failure::Failure, out::Out, progress::Progress, site::SiteArgs};
use crate::{
    ledger::{End, Entry, Finding, Ledger, Page},
    retention, trace,
};

/// Show every journalled message and where it ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire ledger                        everything since the store was made
  labwire ledger --since 24h            the last day
  labwire ledger --since 2026-03-10     since midnight in the laboratory's zone
  labwire ledger --findings             only what does not add up
  labwire ledger --json | jq 'select(.kind == \"finding\")'

Exit code 1 when a message or a result is unaccounted for. Works while the bridge runs.")]
pub(crate) struct LedgerArgs {
    /// Only what came since: a day, an instant, or how long ago (90m, 24h, 7d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// One JSON object a line: kind is message, finding or summary
    #[arg(long)]
    json: bool,
    /// Leave out the messages that add up
    #[arg(long)]
    findings: bool,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Default)]
struct Totals {
    messages: u64,
    findings: u64,
    ends: BTreeMap<End, u64>,
}

pub(crate) fn run(args: &LedgerArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let now = SystemClock::default().utc_micros();
    let since = match &args.since {
        Some(text) => Some(since(text, &site.zone, now)?),
        None => None,
    };
    let mut store = site.reader()?;
    let mut ledger = Ledger::new(since, now);
    let mut totals = Totals::default();
    let mut progress = Progress::new(out);
    while let Some(page) = store.read(|db| ledger.next_page(db))? {
        totals.add(&page);
        for entry in page.entries.iter().filter(|_| !args.findings) {
            out.line(shown(entry, args.json, &site.zone))?;
        }
        for finding in &page.findings {
            out.line(told(finding, args.json))?;
        }
        let (done, total) = ledger.progress();
        progress.at(done, total);
    }
    let archived = store.read(retention::counts)?;
    if archived.files > 0 && !args.json {
        out.line(format_args!(
            "archived before: {} messages, {} results, {} deliveries in {} files (labwire archive list)",
            archived.messages, archived.results, archived.deliveries, archived.files
        ))?;
    }
    out.line(totals.line(args.json))?;
    Ok(Verdict::found_if(totals.findings > 0))
}

/// Reads `--since`.
pub(crate) fn since(text: &str, zone: &jiff::tz::TimeZone, now: i64) -> Result<i64, Failure> {
    trace::read_since(text, zone, now).ok_or_else(|| {
        Failure::Usage(format!(
            "`{text}` is no time: write a day (2026-03-10), an instant (2026-03-10T08:00) or how \
             long ago (90m, 24h, 7d)"
        ))
    })
}

fn shown(entry: &Entry, as_json: bool, zone: &jiff::tz::TimeZone) -> String {
    if as_json {
        return tagged("message", serde_json::to_value(entry).unwrap_or_default());
    }
    let at = trace::instant(entry.received_at, zone);
    let end = if entry.is_complete {
        ""
    } else {
        ", without its end"
    };
    let (id, line, bytes) = (entry.message, &entry.line, entry.bytes);
    format!(
        "{at}  {line}  message {id}, {bytes} bytes{end}: {}",
        entry.story()
    )
}

fn told(finding: &Finding, as_json: bool) -> String {
    if as_json {
        return tagged("finding", serde_json::to_value(finding).unwrap_or_default());
    }
    let (code, subject, what) = (finding.code, &finding.subject, &finding.what);
    format!("{code}  {subject}: {what}")
}

/// An object with its `kind` first.
fn tagged(kind: &str, value: serde_json::Value) -> String {
    let text = value.to_string();
    match text.strip_prefix('{') {
        Some(rest) => format!("{{\"kind\":\"{kind}\",{rest}"),
        None => text,
    }
}

impl Totals {
    fn add(&mut self, page: &Page) {
        self.messages += u64::try_from(page.entries.len()).unwrap_or(0);
        self.findings += u64::try_from(page.findings.len()).unwrap_or(0);
        for (end, count) in page.entries.iter().flat_map(|entry| &entry.ends) {
            *self.ends.entry(*end).or_default() += count;
        }
    }

    fn line(&self, as_json: bool) -> String {
        let (messages, findings) = (self.messages, self.findings);
        if as_json {
            let ends: BTreeMap<&str, u64> = self
                .ends
                .iter()
                .map(|(end, count)| (end.code(), *count))
                .collect();
            let line = json!({ "messages": messages, "findings": findings, "results": ends });
            return tagged("summary", line);
        }
        let ends: Vec<String> = self
            .ends
            .iter()
            .map(|(end, count)| format!("{count} {}", end.code()))
            .collect();
        let ends = if ends.is_empty() {
            "no results".to_owned()
        } else {
            format!("results: {}", ends.join(", "))
        };
        let verdict = match findings {
            0 => "everything is accounted for".to_owned(),
            1 => "1 thing does not add up".to_owned(),
            more => format!("{more} things do not add up"),
        };
        format!("{messages} messages; {ends}; {verdict}")
    }
}
