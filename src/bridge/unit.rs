//! What is opened and closed as one, and what is open now.
//!
//! A unit is one thing of `lab.toml` with everything that belongs to it: an instrument with its line of
//! orders, its folder and its courier; a host with its ports and couriers; an automation line with its
//! keeper. One node of several serves a unit at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use labwire_drivers::{LineHandle, LineStatus};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Host, Instrument, LabConfig, Track},
    vitals::Lines,
};

use super::{device::Answers, track::LineBooks};

/// What concerns the whole site and is done once: alerts are judged and sent.
pub(crate) const SITE: &str = "site";

/// One thing that a node serves; each with its name in the store.
#[derive(Clone, Debug)]
pub(super) enum Unit {
    /// `line:<id>`
    Line(String, Box<Instrument>),
    /// `host:<id>`
    Host(String, Box<Host>),
    /// `track:<id>`
    Track(String, Box<Track>),
    /// See [`SITE`].
    Site,
}

impl Unit {
    /// All of a site, in the order in which they are opened.
    pub(super) fn all(lab: &LabConfig) -> Vec<Self> {
        let lines = lab
            .instruments
            .iter()
            .map(|one| Self::Line(format!("line:{}", *one.id), Box::new(one.clone())));
        let tracks = lab
            .tracks
            .iter()
            .map(|one| Self::Track(format!("track:{}", *one.id), Box::new(one.clone())));
        let hosts = lab
            .hosts
            .iter()
            .map(|one| Self::Host(format!("host:{}", *one.id), Box::new(one.clone())));
        lines
            .chain(tracks)
            .chain(hosts)
            .chain([Self::Site])
            .collect()
    }

    /// Its name in the store; for instruments and hosts also where rows of the queue go.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Line(name, _) | Self::Host(name, _) | Self::Track(name, _) => name,
            Self::Site => SITE,
        }
    }

    /// Under which name its messages stand in the journal.
    pub(super) fn line(&self) -> &str {
        match self {
            Self::Line(_, one) => &one.id,
            Self::Track(_, one) => &one.id,
            Self::Host(name, _) => name,
            Self::Site => SITE,
        }
    }
}

/// A unit at work. Dropped, it ends at once, without order.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) unit: String,
    /// Under which name its messages stand in the journal.
    pub(super) line: String,
    pub(super) lines: Vec<(String, LineHandle)>,
    pub(super) result_lines: Vec<LineHandle>,
    pub(super) track: Option<(String, LineBooks)>,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) stop: CancellationToken,
    /// Who knows the line of an instrument as long as it is open.
    pub(super) answers: Option<Arc<Answers>>,
    open: Open,
}

/// A unit that stops waits for the answers that are due; no peer takes longer.
const STOP_MAX: Duration = Duration::from_secs(60);

impl Opened {
    pub(super) fn new(unit: &Unit, open: &Open) -> Self {
        Self {
            unit: unit.name().to_owned(),
            line: unit.line().to_owned(),
            lines: Vec::new(),
            result_lines: Vec::new(),
            track: None,
            tasks: Vec::new(),
            stop: CancellationToken::new(),
            answers: None,
            open: open.clone(),
        }
    }

    /// Closes its lines, so that nothing new is promised.
    pub(super) async fn close(&self) {
        let lines = self.lines.iter().map(|(_, line)| line.stop());
        futures_util::future::join_all(lines).await;
    }

    /// Ends in order, once its lines are closed: what is on its way may still be answered.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        for line in &self.result_lines {
            line.stop().await;
        }
        for task in std::mem::take(&mut self.tasks) {
            let ending = task.abort_handle();
            // A task that panicked has been logged by the runtime.
            if tokio::time::timeout(STOP_MAX, task).await.is_err() {
                tracing::warn!(unit = self.unit, "ended without its last answers");
                ending.abort();
            }
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.open.remove(self);
        if let Some(answers) = self.answers.take() {
            answers.forget_line(&self.line);
        }
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
        let lines = self.lines.drain(..).map(|(_, line)| line);
        let lines: Vec<_> = lines.chain(self.result_lines.drain(..)).collect();
        // A line that is closed already ends its task at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move {
                futures_util::future::join_all(lines.iter().map(LineHandle::stop)).await;
            }));
        }
    }
}

/// What is open in this process now, for whoever shows it. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Open(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    units: BTreeSet<String>,
    lines: BTreeMap<String, LineHandle>,
    result_lines: BTreeMap<String, LineHandle>,
    tracks: BTreeMap<String, LineBooks>,
}

impl Open {
    fn see<T>(&self, see: impl FnOnce(&Shown) -> T) -> T {
        // A panic while it was held cannot leave it half changed.
        see(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn add(&self, opened: &Opened) {
        self.change(|shown| {
            shown.units.insert(opened.unit.clone());
            shown.lines.extend(opened.lines.iter().cloned());
            let named = |line: &LineHandle| (line.status().id, line.clone());
            shown
                .result_lines
                .extend(opened.result_lines.iter().map(named));
            shown.tracks.extend(opened.track.clone());
        });
    }

    fn remove(&self, opened: &Opened) {
        self.change(|shown| {
            shown.units.remove(&opened.unit);
            for (id, _) in &opened.lines {
                shown.lines.remove(id);
            }
            for line in &opened.result_lines {
                shown.result_lines.remove(&line.status().id);
            }
            if let Some((id, _)) = &opened.track {
                shown.tracks.remove(id);
            }
        });
    }

    /// Whether a unit is open here.
    pub fn serves(&self, unit: &str) -> bool {
        self.see(|shown| shown.units.contains(unit))
    }

    /// Every line by its id; a host's line of orders is `host:<id>`.
    pub fn lines(&self) -> BTreeMap<String, LineHandle> {
        self.see(|shown| shown.lines.clone())
    }

    /// Lines, and the connections on which results go to hosts, by their ids.
    pub fn all(&self) -> Vec<LineStatus> {
        let handles: BTreeMap<String, LineHandle> = self.see(|shown| {
            let all = shown.lines.iter().chain(&shown.result_lines);
            all.map(|(id, line)| (id.clone(), line.clone())).collect()
        });
        handles.values().map(LineHandle::status).collect()
    }

    /// The line or the connection of that id.
    pub fn line(&self, id: &str) -> Option<LineHandle> {
        self.see(|shown| {
            let found = shown.lines.get(id).or_else(|| shown.result_lines.get(id));
            found.cloned()
        })
    }

    /// The books of every automation line by its id.
    pub fn tracks(&self) -> BTreeMap<String, LineBooks> {
        self.see(|shown| shown.tracks.clone())
    }
}

impl Lines for Open {
    fn statuses(&self) -> Vec<LineStatus> {
        self.all()
    }
}
