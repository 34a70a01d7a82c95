//! Counters as Prometheus reads them. No patient stands in them; they are given to this machine alone.
//!
//! Every metric is a line of [`ALL`], and one of `config/METRICS.md`, which says when to worry; a test
//! compares the two, and both with what is written.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use labwire_drivers::{LineStatus, Phase, TlsStatus};

use crate::{
    backups,
    store::{Health, Turn, nodes::Listed},
};

use super::{
    App,
    fault::Fault,
    live::{self, Moment},
    look::Open,
    serve::Peer,
};

/// `GET /metrics`: also while the store does not answer, for that is when somebody looks; what would
/// have to be read from it is left out then.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Fault> {
    if !peer.0.ip().is_loopback() {
        return Err(Fault::NOT_ALLOWED);
    }
    let moment = live::moment(&app).await.unwrap_or_else(|_| Moment {
        now: app.now(),
        lines: live::lines(&app),
        ..Moment::default()
    });
    let view = View {
        moment,
        health: app.parts.store.health(),
        backup: app.read(backups::last).await.ok().flatten(),
        certificates: app.parts.certificates.list(),
        is_live: app.parts.vitals.stuck().is_empty(),
        is_ready: app.parts.vitals.lacks().is_empty(),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], view.written()).into_response())
}

/// What metrics are read from.
struct View {
    moment: Moment,
    health: Health,
    /// The last one, where the store could be read and there was one.
    backup: Option<backups::Last>,
    certificates: Vec<TlsStatus>,
    is_live: bool,
    is_ready: bool,
}

/// A value with those of its labels, in the order of the metric's.
type Sample = (Vec<String>, String);

/// A metric: its name, type, labels and help, and how its samples are read.
struct Metric {
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&View) -> Vec<Sample>,
}

/// One for each line of the table.
macro_rules! metrics {
    ($($name:literal $kind:ident [$($label:literal),*] $help:literal = $read:expr;)*) => {
        /// Every metric, in the order in which they are written.
        const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: stringify!($kind),
            labels: &[$($label),*],
            help: $help,
            read: $read,
        }),*];
    };
}

metrics! {
    "labwire_build_info" gauge ["version"] "Always 1; the label is the version." =
        |_| vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], "1".to_owned())];
    "labwire_live" gauge [] "Whether everything with work in hand gets on with it." =
        |view| flag(view.is_live);
    "labwire_ready" gauge [] "Whether the store writes and every line is open." =
        |view| flag(view.is_ready);

    "labwire_line_connected" gauge ["line"] "Whether a connection is open." =
        |view| of_lines(view, |line| u64::from(line.phase == Phase::Connected));
    "labwire_line_last_byte_timestamp_seconds" gauge ["line"]
        "When the last byte came, seconds since 1970; absent before the first." =
        |view| since(view, |line| line.last_byte_utc_micros);
    "labwire_line_last_message_timestamp_seconds" gauge ["line"]
        "When the last whole message was on disk, seconds since 1970; absent before the first." =
        |view| since(view, |line| line.last_message_utc_micros);
    "labwire_line_received_bytes_total" counter ["line"] "Bytes read." =
        |view| of_lines(view, |line| line.counters.bytes_in);
    "labwire_line_sent_bytes_total" counter ["line"] "Bytes written." =
        |view| of_lines(view, |line| line.counters.bytes_out);
    "labwire_line_messages_total" counter ["line"] "Whole messages made durable." =
        |view| of_lines(view, |line| line.counters.messages);
    "labwire_line_incomplete_messages_total" counter ["line"]
        "Messages without their end made durable." =
        |view| of_lines(view, |line| line.counters.incomplete_messages);
    "labwire_line_sent_messages_total" counter ["line"] "Messages sent and answered." =
        |view| of_lines(view, |line| line.counters.sent);
    "labwire_line_send_failures_total" counter ["line"] "Messages not delivered." =
        |view| of_lines(view, |line| line.counters.send_failures);
    "labwire_line_connections_total" counter ["line"] "Connections opened." =
        |view| of_lines(view, |line| line.counters.connections);
    "labwire_line_losses_total" counter ["line"] "Connections lost." =
        |view| of_lines(view, |line| line.counters.losses);
    "labwire_line_open_failures_total" counter ["line"] "Times the port could not be opened." =
        |view| of_lines(view, |line| line.counters.open_failures);
    "labwire_line_refusals_total" counter ["line"]
        "Connections refused, by address or by certificate." =
        |view| of_lines(view, |line| line.counters.refusals);
    "labwire_line_commit_failures_total" counter ["line"] "Commits that failed." =
        |view| of_lines(view, |line| line.counters.commit_failures);
    "labwire_line_notes_total" counter ["line"] "Deviations noted, refused frames among them." =
        |view| of_lines(view, |line| line.notes.values().sum());

    "labwire_node_units" gauge ["node", "version"]
        "Units that a node serves; absent where there is one owner." =
        |view| of_nodes(view, |one| (vec![one.node.version.clone()], one.units.len().to_string()));
    "labwire_node_seen_timestamp_seconds" gauge ["node"]
        "When a node was last heard of, seconds since 1970 by the database." =
        |view| of_nodes(view, |one| (Vec::new(), (one.node.seen_at / MICROS).to_string()));

    "labwire_queue_open" gauge ["destination", "state"] "Messages on the queue." =
        |view| of_queue(view, |open| open.count);
    "labwire_queue_oldest_age_seconds" gauge ["destination", "state"]
        "Age of the oldest message on the queue." =
        |view| of_queue(view, |open| view.moment.now.saturating_sub(open.oldest_at).max(0) / MICROS);
    "labwire_results_undecided" gauge ["state"] "Results that a person or an order ends." = |view| {
        let counts = &view.moment.counts;
        let states = [("held", counts.held.count), ("waiting", counts.waiting.count)];
        let samples = states.map(|(state, count)| (vec![state.to_owned()], count.to_string()));
        if_readable(view, samples.to_vec())
    };
    "labwire_critical_calls_open" gauge [] "Critical values that nobody was told yet." =
        |view| if_readable(view, one(view.moment.counts.calls.open));
    "labwire_critical_calls_overdue" gauge [] "Of these, those open for too long." =
        |view| if_readable(view, one(view.moment.counts.calls.escalated));
    "labwire_alerts_open" gauge [] "Alerts that stand." =
        |view| if_readable(view, one(view.moment.counts.alerts.0));
    "labwire_alerts_unacknowledged" gauge [] "Of these, those that nobody has acknowledged." =
        |view| if_readable(view, one(view.moment.counts.alerts.1));

    "labwire_store_failing" gauge [] "Whether the last group could not be committed." =
        |view| flag(view.health.failing.is_some());
    "labwire_store_readable" gauge [] "Whether the store answered when this was read." =
        |view| flag(view.moment.is_readable);
    "labwire_store_commits_total" counter [] "Groups committed." =
        |view| one(view.health.commits);
    "labwire_store_works_total" counter [] "Units of work committed." =
        |view| one(view.health.works);
    "labwire_store_failures_total" counter [] "Groups that failed." =
        |view| one(view.health.failures);
    "labwire_store_last_commit_seconds" gauge []
        "How long the last group took, from its first unit to the disk." =
        |view| one(view.health.last_commit.as_secs_f64());
    "labwire_store_waiting" gauge ["turn"] "Units of work that wait for the writer." = |view| {
        let waiting = Turn::ALL.iter().zip(view.health.waiting);
        waiting.map(|(turn, count)| (vec![name_of(*turn).to_owned()], count.to_string())).collect()
    };
    "labwire_store_reads_waiting" gauge [] "Reads that wait." =
        |view| one(view.health.reads_waiting);

    "labwire_backup_last_timestamp_seconds" gauge []
        "When the last backup that passed its check was made, seconds since 1970." =
        |view| view.backup.iter().flat_map(|last| one(last.at / MICROS)).collect();
    "labwire_backup_last_bytes" gauge [] "Bytes of that backup." =
        |view| view.backup.iter().flat_map(|last| one(last.bytes)).collect();

    "labwire_certificate_expires_timestamp_seconds" gauge ["owner"]
        "When a certificate ends, seconds since 1970." = |view| {
        let shown = |one: &TlsStatus| {
            let certificate = one.certificate.as_ref()?;
            let ends = certificate.not_after_utc_micros / MICROS;
            Some((vec![one.owner.clone()], ends.to_string()))
        };
        view.certificates.iter().filter_map(shown).collect()
    };
    "labwire_certificate_unusable" gauge ["owner"]
        "Whether the files, as they are now, cannot be used." = |view| {
        let is_unusable = |one: &TlsStatus| u8::from(one.problem.is_some()).to_string();
        let all = view.certificates.iter();
        all.map(|one| (vec![one.owner.clone()], is_unusable(one))).collect()
    };
}

const MICROS: i64 = 1_000_000;

fn one(value: impl std::fmt::Display) -> Vec<Sample> {
    vec![(Vec::new(), value.to_string())]
}

fn flag(is_so: bool) -> Vec<Sample> {
    one(u8::from(is_so))
}

/// What was read from the store, where it could be read: a 0 that nobody counted would be a lie.
fn if_readable(view: &View, samples: Vec<Sample>) -> Vec<Sample> {
    if view.moment.is_readable {
        samples
    } else {
        Vec::new()
    }
}

fn of_lines(view: &View, read: impl Fn(&LineStatus) -> u64) -> Vec<Sample> {
    let lines = view.moment.lines.iter();
    lines
        .map(|line| (vec![line.id.clone()], read(line).to_string()))
        .collect()
}

fn since(view: &View, read: impl Fn(&LineStatus) -> Option<i64>) -> Vec<Sample> {
    let lines = view.moment.lines.iter();
    let known =
        |line: &LineStatus| Some((vec![line.id.clone()], (read(line)? / MICROS).to_string()));
    lines.filter_map(known).collect()
}

fn of_queue(view: &View, read: impl Fn(&Open) -> i64) -> Vec<Sample> {
    let sample = |open: &Open| {
        let labels = vec![open.destination.clone(), open.state.clone()];
        (labels, read(open).to_string())
    };
    let open = view.moment.counts.queue.iter();
    if_readable(view, open.map(sample).collect())
}

/// Of all nodes that share the laboratory, told by any of them.
fn of_nodes(view: &View, read: impl Fn(&Listed) -> Sample) -> Vec<Sample> {
    let nodes = view.moment.nodes.iter();
    let sample = |one: &Listed| {
        let (more, value) = read(one);
        let labels = [one.node.name.clone()].into_iter().chain(more);
        (labels.collect(), value)
    };
    nodes.map(sample).collect()
}

const fn name_of(turn: Turn) -> &'static str {
    match turn {
        Turn::Journal => "journal",
        Turn::Reply => "reply",
        Turn::Canonical => "canonical",
        Turn::Background => "background",
    }
}

impl View {
    /// All of it, as Prometheus reads text: for each metric `# HELP`, `# TYPE`, and its samples.
    fn written(&self) -> String {
        let mut text = String::new();
        for metric in ALL {
            let Metric {
                name, kind, help, ..
            } = metric;
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (values, value) in (metric.read)(self) {
                let labels = metric.labels.iter().zip(&values);
                let labels: Vec<String> = labels
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                let labels = match labels.as_slice() {
                    [] => String::new(),
                    labels => format!("{{{}}}", labels.join(",")),
                };
                text.push_str(&format!("{name}{labels} {value}\n"));
            }
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
