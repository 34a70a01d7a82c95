//! The one place where what happens on a line becomes a log line, a counter and an event, so that
//! the three cannot disagree. Content bytes go to the capture ring alone.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use labwire_protocols::wire::SendOutcome;
use tokio::sync::watch;
use tracing::{debug, info, trace, warn};

use crate::{
    alarm::Alarms,
    capture::{CaptureEntry, Direction, Ring},
    clock::Clock,
    config::LineConfig,
    error::in_words,
    event::{Connection, LineEvent, Upstream},
    status::{ConnectionStatus, LineStatus, Phase, Problem},
};

/// What a line knows of itself, shared by its tasks and its handles.
pub(crate) struct Report {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) clock: Arc<dyn Clock>,
    status: Mutex<LineStatus>,
    capture: Mutex<Ring>,
    alarms: Mutex<Alarms>,
    local_addr: watch::Sender<Option<SocketAddr>>,
    /// What the line does when no connection is open.
    resting: Phase,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A panic while the lock was held cannot leave these plain values half-made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many messages a commit carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    pub(crate) whole: u64,
    pub(crate) incomplete: u64,
}

impl Report {
    pub(crate) fn new(
        config: &LineConfig,
        upstream: Arc<dyn Upstream>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let status = LineStatus {
            id: config.id.clone(),
            endpoint: config.endpoint.to_string(),
            ..LineStatus::default()
        };
        let resting = if config.endpoint.listens() {
            Phase::Listening
        } else {
            Phase::Retrying
        };
        Self {
            upstream,
            clock,
            status: Mutex::new(status),
            capture: Mutex::new(Ring::new(config.capture_bytes_max)),
            alarms: Mutex::default(),
            local_addr: watch::Sender::new(None),
            resting,
        }
    }

    pub(crate) fn status(&self) -> LineStatus {
        lock(&self.status).clone()
    }

    pub(crate) fn capture(&self) -> Vec<CaptureEntry> {
        lock(&self.capture).entries()
    }

    pub(crate) fn local_addr(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.local_addr.subscribe()
    }

    /// Logs, counts and passes on one event.
    pub(crate) fn emit(&self, event: LineEvent) {
        log(&event);
        if let Some((code, words)) = alarm(&event) {
            let now = self.clock.mono();
            let times = lock(&self.alarms).on(now, code);
            if let Some(times) = times {
                warn!(code, times, "{words}");
            }
        }
        self.count(&event);
        if let LineEvent::Listening(at) = event {
            self.local_addr.send_replace(Some(at));
        }
        self.upstream.on_event(event);
    }

    pub(crate) fn read(&self, connection: u64, bytes: &[u8]) {
        self.keep(connection, Direction::In, bytes);
        self.emit(LineEvent::Read {
            connection,
            bytes: bytes.len(),
        });
    }

    /// Keeps bytes for people to look at.
    pub(crate) fn keep(&self, connection: u64, way: Direction, bytes: &[u8]) {
        lock(&self.capture).push(self.clock.utc_micros(), connection, way, bytes);
    }

    pub(crate) fn machine_state(&self, connection: u64, state: &'static str) {
        if let Some(open) = find(&mut lock(&self.status), connection) {
            open.machine_state = state;
        }
    }

    pub(crate) fn committed(&self, carried: Carried, is_durable: bool) {
        let now = self.clock.utc_micros();
        let mut status = lock(&self.status);
        if !is_durable {
            status.counters.commit_failures += 1;
            return;
        }
        status.counters.messages += carried.whole;
        status.counters.incomplete_messages += carried.incomplete;
        if carried.whole > 0 {
            status.last_message_utc_micros = Some(now);
        }
    }

    pub(crate) fn acknowledged(&self) {
        let now = self.clock.utc_micros();
        lock(&self.status).last_acknowledgement_utc_micros = Some(now);
    }

    fn count(&self, event: &LineEvent) {
        let now = self.clock.utc_micros();
        let status = &mut *lock(&self.status);
        match event {
            LineEvent::Opening { .. } => status.phase = Phase::Opening,
            LineEvent::Listening(at) => {
                status.local_addr = Some(*at);
                status.phase = self.resting;
            }
            LineEvent::Unavailable(error) => {
                status.counters.open_failures += 1;
                status.problem(now, error.code(), in_words(error));
            }
            LineEvent::Retry { .. } => status.phase = Phase::Retrying,
            LineEvent::Connected(connection) => status.on_connected(connection),
            LineEvent::Replaced { .. } => {}
            LineEvent::Refused { peer, why } => {
                status.counters.refusals += 1;
                status.problem(now, why.code(), format!("{peer} was refused: {why}"));
            }
            LineEvent::Read { connection, bytes } => status.on_read(now, *connection, *bytes),
            LineEvent::Written { bytes, .. } => {
                status.counters.bytes_out += u64::try_from(*bytes).unwrap_or(0);
            }
            LineEvent::Note { note, .. } => *status.notes.entry(note.code).or_default() += 1,
            LineEvent::Finished(_, SendOutcome::Sent | SendOutcome::Answered(_)) => {
                status.counters.sent += 1;
            }
            LineEvent::Finished(_, SendOutcome::Failed(_)) => status.counters.send_failures += 1,
            LineEvent::Lost { connection, why } => {
                status.on_lost(*connection, self.resting);
                status.problem(now, why.code(), why.to_string());
            }
            LineEvent::Stopped => status.phase = Phase::Stopped,
        }
    }
}

fn find(status: &mut LineStatus, connection: u64) -> Option<&mut ConnectionStatus> {
    status
        .connections
        .iter_mut()
        .find(|open| open.connection.number == connection)
}

impl LineStatus {
    fn problem(&mut self, utc_micros: i64, code: &'static str, text: String) {
        self.last_problem = Some(Problem {
            utc_micros,
            code,
            text,
        });
    }

    fn on_connected(&mut self, connection: &Connection) {
        self.counters.connections += 1;
        self.phase = Phase::Connected;
        self.connections.push(ConnectionStatus {
            connection: connection.clone(),
            machine_state: "",
            last_byte_utc_micros: None,
        });
    }

    fn on_read(&mut self, now: i64, connection: u64, bytes: usize) {
        self.counters.bytes_in += u64::try_from(bytes).unwrap_or(0);
        self.last_byte_utc_micros = Some(now);
        if let Some(open) = find(self, connection) {
            open.last_byte_utc_micros = Some(now);
        }
    }

    fn on_lost(&mut self, connection: u64, resting: Phase) {
        self.counters.losses += 1;
        self.connections
            .retain(|open| open.connection.number != connection);
        if self.connections.is_empty() {
            self.phase = resting;
        }
    }
}

/// What a person should see although the line goes on by itself: its code and its words, never the
/// content. It is told at most once a minute, since whoever is refused comes again.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other news is a step of a line's life, or too small to tell"
)]
fn alarm(event: &LineEvent) -> Option<(&'static str, String)> {
    match event {
        LineEvent::Note { note, .. } if note.is_alarm() => {
            let words = match note.at {
                0 => note.text.to_owned(),
                at => format!("{} (at {at})", note.text),
            };
            Some((note.code, words))
        }
        LineEvent::Refused { peer, why } => {
            Some((why.code(), format!("{peer} was refused: {why}")))
        }
        LineEvent::Lost { why, .. } if why.is_alarm() => {
            Some((why.code(), format!("connection ended: {why}")))
        }
        _ => None,
    }
}

fn log(event: &LineEvent) {
    match event {
        LineEvent::Opening { attempt } => debug!(attempt, "opening the port"),
        LineEvent::Listening(at) => info!(%at, "listening"),
        LineEvent::Unavailable(error) => {
            warn!(
                code = error.code(),
                "cannot open the port: {}",
                in_words(error)
            );
        }
        LineEvent::Retry { after } => debug!(?after, "the port will be tried again"),
        LineEvent::Connected(connection) => {
            info!(connection = connection.number, peer = %connection.peer, "connected");
        }
        LineEvent::Replaced { old, new } => {
            info!(old, new, "a newer connection replaces the old one")
        }
        LineEvent::Refused { peer, why } => {
            debug!(code = why.code(), %peer, "connection refused: {why}");
        }
        LineEvent::Read { connection, bytes } => trace!(connection, bytes, "read"),
        LineEvent::Written { connection, bytes } => trace!(connection, bytes, "written"),
        LineEvent::Note { connection, note } => {
            debug!(connection, code = note.code, at = note.at, "{}", note.text);
        }
        LineEvent::Finished(id, outcome) => {
            debug!(
                out_id = id.0,
                outcome = outcome_name(outcome),
                "sending finished"
            );
        }
        LineEvent::Lost { connection, why } if why.is_alarm() => {
            debug!(connection, code = why.code(), "connection ended: {why}");
        }
        LineEvent::Lost { connection, why } => {
            info!(connection, code = why.code(), "connection ended: {why}");
        }
        LineEvent::Stopped => info!("stopped"),
    }
}

/// The outcome without the reply, which holds what must not be logged.
const fn outcome_name(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Sent => "sent",
        SendOutcome::Answered(_) => "answered",
        SendOutcome::Failed(_) => "failed",
    }
}
