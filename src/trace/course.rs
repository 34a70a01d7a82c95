//! What happened with a tube, step by step, in the order of time.

use crate::tubes::rows::{TrackRow, kinds};

use super::{AuditRow, Trace, TracedResult, Tube};
use crate::{model::ResultState, queue::QueueRow};

/// Microseconds.
const SECOND: i64 = 1_000_000;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it happened or was told, UTC microseconds by the clock of Labwire: by no other can steps of
    /// several devices be put in order.
    pub at: i64,
    /// When it happened by the clock of the line, where that is another second.
    pub by_its_clock: Option<i64>,
    /// Who or where: `host:his`, `line-1 AU1`, `au-1`.
    pub place: String,
    /// What, in words.
    pub what: String,
}

/// Every step that the store knows: ordered, received, each event of the line, asked, told, measured,
/// decided, queued, answered.
pub fn course(trace: &Trace) -> Vec<Step> {
    let mut steps = Vec::new();
    for tube in &trace.tubes {
        of_order(tube, &mut steps);
    }
    // What came at the same moment stands in the order in which it happens.
    steps.extend(trace.track.iter().map(of_line));
    steps.extend(trace.audit.iter().filter_map(asked));
    for tube in &trace.tubes {
        for item in &tube.items {
            let told = item.told.iter().map(|(line, at)| Step {
                at: *at,
                by_its_clock: None,
                place: line.clone(),
                what: format!("was told to measure {}", item.service),
            });
            steps.extend(told);
        }
    }
    for result in &trace.results {
        of_result(result, &mut steps);
    }
    for row in trace.queue.values() {
        of_queue(row, &mut steps);
    }
    steps.sort_by_key(|step| step.at);
    steps.dedup();
    steps
}

fn of_order(tube: &Tube, steps: &mut Vec<Step>) {
    let from = |place: &str| {
        if place.is_empty() {
            String::new()
        } else {
            format!(", sent by {place}")
        }
    };
    for item in &tube.items {
        steps.push(Step {
            at: item.created_at,
            by_its_clock: None,
            place: format!("host:{}", tube.host),
            what: format!(
                "ordered {} ({}){}",
                item.service,
                item.tests.join(", "),
                from(&tube.receipt.station)
            ),
        });
    }
}

fn of_line(row: &TrackRow) -> Step {
    let detail = &row.detail;
    let mut what = match row.kind.as_str() {
        kinds::RECEIVED => "received in the laboratory: first reading of the barcode".to_owned(),
        kinds::ROUTED => format!("is to go to {}", detail.to),
        kinds::WAITS => "is to wait".to_owned(),
        kinds::ANSWERED => "the line answered".to_owned(),
        kinds::CLEARED => "a person found the second tube".to_owned(),
        "seen" => "barcode read".to_owned(),
        "kept" if detail.position.is_empty() => "kept".to_owned(),
        "kept" => format!("kept at {}", detail.position),
        "left" if !detail.to.is_empty() => format!("left for {}", detail.to),
        other => other.to_owned(),
    };
    for (before, text) in [
        (" on lane ", &detail.lane),
        (": ", &detail.why),
        (", command ", &detail.command),
    ] {
        if !text.is_empty() {
            what.push_str(before);
            what.push_str(text);
        }
    }
    Step {
        at: row.received_at,
        by_its_clock: (row.at / SECOND != row.received_at / SECOND).then_some(row.at),
        place: format!("{} {}", row.line, row.module),
        what,
    }
}

fn asked(row: &AuditRow) -> Option<Step> {
    (row.action == "asked").then(|| Step {
        at: row.at,
        by_its_clock: None,
        place: row.actor.trim_start_matches("line:").to_owned(),
        what: format!("asked what to measure ({})", row.detail),
    })
}

fn of_result(result: &TracedResult, steps: &mut Vec<Step>) {
    let stored = &result.stored;
    let seen = &stored.observation;
    let test = seen.test.as_deref().unwrap_or(&seen.code);
    let id = stored.id;
    steps.push(Step {
        at: stored.received_at,
        by_its_clock: None,
        place: stored.line.clone(),
        what: format!("r{id}: {test} = {} {}", seen.text, seen.unit)
            .trim_end()
            .to_owned(),
    });
    let decided = stored.state == ResultState::Released;
    if let Some(at) = result.decided_at.filter(|_| decided) {
        steps.push(Step {
            at,
            by_its_clock: None,
            place: "labwire".to_owned(),
            what: format!("r{id}: released"),
        });
    }
    let reasons: Vec<&str> = stored.holds.iter().map(|hold| hold.reason.code()).collect();
    if stored.state == ResultState::Held {
        steps.push(Step {
            at: stored.received_at,
            by_its_clock: None,
            place: "labwire".to_owned(),
            what: format!("r{id}: held, {}", reasons.join(", ")),
        });
    }
}

fn of_queue(row: &QueueRow, steps: &mut Vec<Step>) {
    let (id, kind, to) = (row.id, &row.kind, &row.destination);
    steps.push(Step {
        at: row.created_at,
        by_its_clock: None,
        place: "labwire".to_owned(),
        what: format!("queue {id}: {kind} for {to}"),
    });
    if let Some(at) = row.closed_at {
        let state = row.state.code();
        let answer = if row.answer.is_empty() {
            String::new()
        } else {
            format!(", answer {}", row.answer)
        };
        steps.push(Step {
            at,
            by_its_clock: None,
            place: to.clone(),
            what: format!("queue {id}: {state}{answer}"),
        });
    }
}
