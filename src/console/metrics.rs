//! Whether Labwire is well, for programs: `/healthz`, `/readyz`, and counters as Prometheus reads
//! them. No patient stands in them; they are given to this machine alone.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use labwire_drivers::{LineStatus, Phase, TlsStatus};

use crate::{backups, store::Health};

use super::{App, fault::Fault, live::Moment, serve::Peer};

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the store takes what comes.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let reads = app.read(crate::people::count).await.is_ok();
    if reads && app.parts.store.health().failing.is_none() {
        return "ok\n".into_response();
    }
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, "the store fails\n").into_response();
    response.extensions_mut().insert(super::gate::Told);
    response
}

/// `GET /metrics`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Fault> {
    if !peer.0.ip().is_loopback() {
        return Err(Fault::NOT_ALLOWED);
    }
    let moment = super::live::moment(&app).await?;
    let mut text = written(&moment, &app.parts.store.health());
    of_certificates(
        &mut Family { text: &mut text },
        &app.parts.certificates.list(),
    );
    of_backups(
        &mut Family { text: &mut text },
        app.read(backups::last).await?,
    );
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// One family of metrics: `# HELP`, `# TYPE`, and a sample for each label.
struct Family<'a> {
    text: &'a mut String,
}

impl Family<'_> {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.text.push_str(&head);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        self.text.push_str(&format!("{name}{labels} {value}\n"));
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Reads one number of a line.
type Read = fn(&LineStatus) -> u64;

/// Counters of a line: name, help, where it stands.
const OF_LINES: [(&str, &str, Read); 11] = [
    ("bytes_in_total", "Bytes read.", |line| {
        line.counters.bytes_in
    }),
    ("bytes_out_total", "Bytes written.", |line| {
        line.counters.bytes_out
    }),
    ("messages_total", "Whole messages made durable.", |line| {
        line.counters.messages
    }),
    (
        "incomplete_messages_total",
        "Messages without their end made durable.",
        |line| line.counters.incomplete_messages,
    ),
    ("sent_total", "Messages sent and answered.", |line| {
        line.counters.sent
    }),
    ("send_failures_total", "Messages not delivered.", |line| {
        line.counters.send_failures
    }),
    ("connections_total", "Connections opened.", |line| {
        line.counters.connections
    }),
    ("losses_total", "Connections lost.", |line| {
        line.counters.losses
    }),
    (
        "refusals_total",
        "Connections refused, by address or by certificate.",
        |line| line.counters.refusals,
    ),
    ("commit_failures_total", "Commits that failed.", |line| {
        line.counters.commit_failures
    }),
    (
        "notes_total",
        "Deviations noted, refused frames among them.",
        |line| line.notes.values().sum(),
    ),
];

fn written(moment: &Moment, health: &Health) -> String {
    let mut text = String::new();
    let mut family = Family { text: &mut text };
    for (name, help, read) in OF_LINES {
        let name = format!("labwire_line_{name}");
        family.begin(&name, "counter", help);
        for line in &moment.lines {
            family.sample(&name, &[("line", &line.id)], read(line));
        }
    }
    let name = "labwire_line_connected";
    family.begin(name, "gauge", "Whether a connection is open.");
    for line in &moment.lines {
        let is_open = u8::from(line.phase == Phase::Connected);
        family.sample(name, &[("line", &line.id)], is_open);
    }
    let name = "labwire_line_last_byte_seconds";
    family.begin(
        name,
        "gauge",
        "When the last byte came, seconds since 1970.",
    );
    for line in &moment.lines {
        if let Some(at) = line.last_byte_utc_micros {
            family.sample(name, &[("line", &line.id)], at / 1_000_000);
        }
    }
    of_queue(&mut family, moment);
    of_store(&mut family, health);
    text
}

fn of_queue(family: &mut Family<'_>, moment: &Moment) {
    let name = "labwire_queue_open";
    family.begin(name, "gauge", "Messages on the queue.");
    for open in &moment.counts.queue {
        let labels = [
            ("destination", open.destination.as_str()),
            ("state", open.state.as_str()),
        ];
        family.sample(name, &labels, open.count);
    }
    let name = "labwire_queue_oldest_seconds";
    family.begin(name, "gauge", "Age of the oldest message on the queue.");
    for open in &moment.counts.queue {
        let labels = [
            ("destination", open.destination.as_str()),
            ("state", open.state.as_str()),
        ];
        let age = moment.now.saturating_sub(open.oldest_at).max(0) / 1_000_000;
        family.sample(name, &labels, age);
    }
    let name = "labwire_results_undecided";
    family.begin(name, "gauge", "Results that a person or an order ends.");
    family.sample(name, &[("state", "held")], moment.counts.held.count);
    family.sample(name, &[("state", "waiting")], moment.counts.waiting.count);
}

fn of_certificates(family: &mut Family<'_>, all: &[TlsStatus]) {
    let name = "labwire_certificate_expires_seconds";
    family.begin(
        name,
        "gauge",
        "When a certificate ends, seconds since 1970.",
    );
    for one in all {
        if let Some(certificate) = &one.certificate {
            let ends = certificate.not_after_utc_micros / 1_000_000;
            family.sample(name, &[("owner", &one.owner)], ends);
        }
    }
    let name = "labwire_certificate_unusable";
    family.begin(
        name,
        "gauge",
        "Whether the files, as they are now, cannot be used.",
    );
    for one in all {
        let is_unusable = u8::from(one.problem.is_some());
        family.sample(name, &[("owner", &one.owner)], is_unusable);
    }
}

fn of_backups(family: &mut Family<'_>, last: Option<backups::Last>) {
    let name = "labwire_backup_last_seconds";
    let help = "When the last backup that passed its check was made, seconds since 1970.";
    family.begin(name, "gauge", help);
    if let Some(last) = &last {
        family.sample(name, &[], last.at / 1_000_000);
    }
    let name = "labwire_backup_last_bytes";
    family.begin(name, "gauge", "Bytes of that backup.");
    if let Some(last) = &last {
        family.sample(name, &[], last.bytes);
    }
}

fn of_store(family: &mut Family<'_>, health: &Health) {
    family.begin(
        "labwire_store_commits_total",
        "counter",
        "Groups committed.",
    );
    family.sample("labwire_store_commits_total", &[], health.commits);
    family.begin(
        "labwire_store_failures_total",
        "counter",
        "Groups that failed.",
    );
    family.sample("labwire_store_failures_total", &[], health.failures);
    family.begin(
        "labwire_store_failing",
        "gauge",
        "Whether the last group failed.",
    );
    family.sample(
        "labwire_store_failing",
        &[],
        u8::from(health.failing.is_some()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_as_prometheus_reads_them() {
        let line = LineStatus {
            id: "xn\"1".to_owned(),
            phase: Phase::Connected,
            ..LineStatus::default()
        };
        let moment = Moment {
            lines: vec![line],
            ..Moment::default()
        };
        let text = written(&moment, &Health::default());
        assert!(
            text.contains("# TYPE labwire_line_messages_total counter\n"),
            "{text}"
        );
        assert!(
            text.contains("labwire_line_connected{line=\"xn\\\"1\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("labwire_store_failing 0\n"), "{text}");
    }
}
