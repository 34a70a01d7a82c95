//! The watch at work: looks, judges, writes down, and sends.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use labwire_drivers::{LineHandle, LineStatus};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::{Open, Running, SITE},
    certificates::{Certificates, Concern},
    config::Loaded,
    store::{Clock, Db, Store, StoreError, Turn},
};

use super::{
    Cause, Change, Channel, Channels, Habits, Reading, habit, judge,
    judge::Known,
    measure::{self, Asked, Errors},
    rows,
};

/// What is watched.
#[derive(Clone)]
pub struct Parts {
    /// The lines that are open here.
    pub open: Open,
    /// The store.
    pub store: Store,
    /// The site's files.
    pub loaded: Arc<Loaded>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The certificates of its ports.
    pub certificates: Arc<Certificates>,
    /// How full the disk of a path is, in per cent; `None` where that is not known.
    pub disk: fn(&Path) -> Option<i64>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Parts {
    /// What a bridge at work has to watch.
    pub fn of(running: &Running, loaded: Arc<Loaded>, clock: Arc<dyn Clock>) -> Self {
        Self {
            open: running.open.clone(),
            store: running.store.clone(),
            loaded,
            clock,
            certificates: Arc::clone(&running.certificates),
            disk: disk_percent,
        }
    }

    /// The folder of the store; `None` where a server keeps it.
    fn folder(&self) -> Option<PathBuf> {
        let file = self.loaded.lab.store.url.strip_prefix("sqlite:")?;
        let file = self
            .loaded
            .base
            .join(file.strip_prefix("//").unwrap_or(file));
        file.parent().map(Path::to_path_buf)
    }
}

/// How full the disk of a folder is for whoever is not root, in per cent, as `df` tells it.
fn disk_percent(folder: &Path) -> Option<i64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let percent = u128::from(used)
        .saturating_mul(100)
        .checked_div(u128::from(used).saturating_add(u128::from(disk.f_bavail)))?;
    i64::try_from(percent).ok()
}

/// How often a bridge is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often habits are learned anew.
const LEARN_EVERY: i64 = 3_600_000_000;

/// How often the level of an alert that stands is written down: minutes are what people read.
const LEVELS_EVERY: i64 = 60_000_000;

/// Looks at a bridge.
#[derive(Debug)]
pub struct Watch {
    parts: Parts,
    channels: Vec<Channel>,
    habits: Habits,
    learned_at: Option<i64>,
    levels_at: Option<i64>,
    errors: Errors,
}

impl Watch {
    /// A watch that has not looked yet.
    pub fn new(parts: Parts, channels: &Channels) -> Self {
        Self {
            parts,
            channels: channels.all(),
            habits: Habits::default(),
            learned_at: None,
            levels_at: None,
            errors: Errors::default(),
        }
    }

    /// Looks once: measures, judges, and writes down what is raised and cleared, with what has to be
    /// sent of it, in one transaction.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let now = self.parts.clock.utc_micros();
        self.learn(now).await?;
        let lab = &self.parts.loaded.lab;
        let asked = Asked {
            limits: lab.alerts.clone(),
            call_within: lab.console.call_within(),
            controls: lab
                .instruments
                .iter()
                .filter_map(|one| {
                    let every_h = one.qc_every_h.as_ref()?;
                    Some((one.id.to_string(), i64::from(**every_h)))
                })
                .collect(),
            backup_age_h: lab.backup.age_limit_h(*lab.alerts.backup_age_h),
            now,
        };
        let mut readings = self.of_machine(now);
        let (known, of_store) = self
            .parts
            .store
            .read(move |db| Ok((rows::known(db)?, measure::of_store(db, &asked)?)))
            .await?;
        readings.extend(of_store);
        let duty = self.duty();
        let known: Vec<Known> = known
            .into_iter()
            .filter(|one| duty.is_own(one.cause, &one.subject))
            .collect();
        readings.retain(|one| duty.is_own(one.cause, &one.subject));
        let mut changes = judge(&known, &readings);
        let is_time = self
            .levels_at
            .is_none_or(|at| !(0..LEVELS_EVERY).contains(&now.saturating_sub(at)));
        if !is_time {
            changes.retain(|change| !matches!(change, Change::Level(..)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.levels_at = Some(now);
        self.write_down(changes, now).await
    }

    /// What this process judges. Of several nodes each judges its own lines and certificates, and the
    /// one that serves the site whatever no node has a line for.
    fn duty(&self) -> Duty {
        let certificates = self.parts.certificates.list().into_iter();
        let lab = &self.parts.loaded.lab;
        let ids = lab.instruments.iter().map(|one| &*one.id);
        let ids = ids.chain(lab.tracks.iter().map(|one| &*one.id));
        let ids = ids.chain(lab.hosts.iter().map(|one| &*one.id));
        Duty {
            has_site: self.parts.open.serves(SITE),
            is_node: lab.node.is_some(),
            configured: ids.cloned().collect(),
            lines: self.parts.open.lines().into_keys().collect(),
            certificates: certificates.map(|one| one.owner).collect(),
        }
    }

    async fn learn(&mut self, now: i64) -> Result<(), StoreError> {
        // A time to come is one before the clock was set back.
        let is_fresh = |at: i64| (0..LEARN_EVERY).contains(&now.saturating_sub(at));
        if self.learned_at.is_some_and(is_fresh) {
            return Ok(());
        }
        let since = now.saturating_sub(habit::DAYS_MAX * 24 * LEARN_EVERY);
        let read = move |db: &mut dyn Db| measure::messages(db, habit::MESSAGES_MAX, since);
        let messages = self.parts.store.read(read).await?;
        self.habits = Habits::learn(&messages, &self.parts.loaded.lab.lab.zone());
        self.learned_at = Some(now);
        Ok(())
    }

    /// What lines, certificates and the disk say.
    fn of_machine(&mut self, now: i64) -> Vec<Reading> {
        let lab = &self.parts.loaded.lab;
        let lines: Vec<LineStatus> = self
            .parts
            .open
            .lines()
            .values()
            .map(LineHandle::status)
            .collect();
        let zone = lab.lab.zone();
        let mut readings = measure::quiet(&lines, &self.habits, &lab.alerts, (&zone, now));
        readings.extend(self.errors.look(&lines, *lab.alerts.errors_percent, now));
        let concerns = self.parts.certificates.concerns();
        let of = |one: &Concern| Reading::new(Cause::Certificate, &one.owner, 1, 1);
        readings.extend(concerns.iter().map(of));
        let full = self
            .parts
            .folder()
            .and_then(|folder| (self.parts.disk)(&folder));
        readings.extend(full.map(|percent| measure::disk(percent, *lab.alerts.disk_percent)));
        readings
    }

    async fn write_down(&self, changes: Vec<Change>, now: i64) -> Result<(), StoreError> {
        for change in &changes {
            if let Change::Raise(one) = change {
                let (cause, subject) = (one.cause.code(), one.subject.as_str());
                tracing::warn!(cause, subject, level = one.level, limit = one.edge, "alert");
            }
        }
        let channels = self.channels.clone();
        let write = move |db: &mut dyn Db| {
            let open = rows::known(db)?;
            for change in &changes {
                change.apply(db, &open, &channels, now)?;
            }
            Ok(())
        };
        self.parts.store.transact(Turn::Background, write).await
    }
}

/// See [`Watch::duty`].
struct Duty {
    has_site: bool,
    is_node: bool,
    lines: BTreeSet<String>,
    certificates: BTreeSet<String>,
    /// Ids of instruments, automation lines and hosts.
    configured: BTreeSet<String>,
}

impl Duty {
    fn is_own(&self, cause: Cause, subject: &str) -> bool {
        if !self.is_node {
            return true;
        }
        if matches!(cause, Cause::Quiet | Cause::Errors) {
            // The line of an alert may be in no node's file any more.
            return self.lines.contains(subject) || (self.has_site && self.is_gone(subject));
        }
        if cause == Cause::Certificate {
            return self.certificates.contains(subject);
        }
        self.has_site
    }

    fn is_gone(&self, line: &str) -> bool {
        let id = line.trim_start_matches("host:");
        let id = id.strip_suffix(":orders").unwrap_or(id);
        !self.configured.contains(id)
    }
}

impl Change {
    fn apply(
        &self,
        db: &mut dyn Db,
        open: &[Known],
        channels: &[Channel],
        now: i64,
    ) -> Result<(), StoreError> {
        let (id, cause, subject, event) = match self {
            Self::Level(id, level) => return rows::level(db, *id, *level),
            Self::Raise(reading) => {
                let id = rows::raise(db, reading, now)?;
                (id, reading.cause, reading.subject.as_str(), "raised")
            }
            Self::Clear(id) => {
                let Some(known) = open.iter().find(|known| known.id == *id) else {
                    return Ok(());
                };
                if !rows::clear(db, *id, now)? {
                    return Ok(());
                }
                (*id, known.cause, known.subject.as_str(), "cleared")
            }
        };
        for channel in channels.iter().map(|channel| channel.code()) {
            // That a channel is out of order is not told by it.
            if cause != Cause::Delivery || subject != channel {
                rows::send(db, id, channel, event, now)?;
            }
        }
        Ok(())
    }
}

/// How many words are sent in a row.
const DUE_MAX: i64 = 20;

/// What is older than a day is no news.
const GIVEN_UP_AFTER: i64 = 24 * 3_600_000_000;

/// The first wait after a failed try; it doubles up to a quarter of an hour.
const RETRY_FIRST: i64 = 30_000_000;
pub(super) const RETRY_LONGEST: i64 = 15 * 60_000_000;

fn wait_after(attempts: i64) -> i64 {
    let doubled = u32::try_from(attempts)
        .ok()
        .and_then(|attempts| 1_i64.checked_shl(attempts.min(20)));
    RETRY_FIRST
        .saturating_mul(doubled.unwrap_or(1))
        .min(RETRY_LONGEST)
}

/// Sends what is due by a channel, once each. After the first that fails the rest waits for its time.
///
/// # Errors
/// The store's.
pub(super) async fn deliver(
    parts: &Parts,
    channels: &Channels,
    channel: Channel,
) -> Result<(), StoreError> {
    let now = parts.clock.utc_micros();
    let read = move |db: &mut dyn Db| rows::due(db, channel.code(), now, DUE_MAX);
    for due in parts.store.read(read).await? {
        let sent = channels.send(channel, &due).await;
        let now = parts.clock.utc_micros();
        let is_over = now.saturating_sub(due.created_at) >= GIVEN_UP_AFTER;
        let id = due.id;
        let failed = sent.as_ref().err().map(|error| {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let reason = format!("{error}: {}", cause.unwrap_or_default());
            reason.chars().take(200).collect::<String>()
        });
        if let Some(reason) = &failed {
            tracing::warn!(channel = channel.code(), alert = due.alert.id, %reason, "an alert did not leave");
        }
        let has_failed = failed.is_some();
        let write = move |db: &mut dyn Db| match failed {
            None => rows::closed(db, id, ("sent", ""), now),
            Some(reason) if is_over => rows::closed(db, id, ("given-up", &reason), now),
            Some(reason) => {
                let due_at = now.saturating_add(wait_after(due.attempts));
                rows::defer(db, id, &reason, due_at)
            }
        };
        parts.store.transact(Turn::Background, write).await?;
        if has_failed {
            break;
        }
    }
    Ok(())
}

/// Watches until `stop`, looking every `every`; each channel sends beside it, so that a server that
/// does not answer keeps nobody waiting.
pub async fn run(parts: Parts, every: Duration, stop: CancellationToken) {
    let channels = Channels::of(&parts.loaded);
    let looking = look_on(parts.clone(), &channels, every, stop.clone());
    let sending = |channel| send_on(&parts, &channels, channel, every, stop.clone());
    tokio::join!(looking, sending(Channel::Email), sending(Channel::Webhook));
}

async fn look_on(parts: Parts, channels: &Channels, every: Duration, stop: CancellationToken) {
    let mut watch = Watch::new(parts, channels);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = watch.look().await {
            tracing::warn!(code = error.code(), "alerts cannot be looked at: {error}");
        }
    }
}

async fn send_on(
    parts: &Parts,
    channels: &Channels,
    channel: Channel,
    every: Duration,
    stop: CancellationToken,
) {
    if !channels.all().contains(&channel) {
        return;
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if !parts.open.serves(SITE) {
            continue;
        }
        let sent = tokio::select! {
            sent = deliver(parts, channels, channel) => sent,
            () = stop.cancelled() => return,
        };
        if let Err(error) = sent {
            tracing::warn!(code = error.code(), "alerts cannot be sent: {error}");
        }
    }
}
