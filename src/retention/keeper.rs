//! Archiving at work: a file at a time, beside the work of the bridge.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    audit_file,
    file::{self, About},
    open::{Ages, Judge},
    rows,
    unit::{Member, Unit},
};
use crate::{
    audit::{self, Archived},
    backups::make_folder,
    config::Loaded,
    store::{
        Clock, Db, Sql, Store, StoreError, Turn,
        seal::{Recipients, Seal},
    },
};

const MESSAGES: Sql =
    Sql::same("SELECT id, received_at FROM message WHERE id > $1 ORDER BY id LIMIT $2");
/// What devices were told: no result comes with it.
const DELIVERIES: Sql = Sql::same(
    "SELECT q.id, q.created_at FROM queue q WHERE q.id > $1 \
     AND NOT EXISTS (SELECT 1 FROM result r WHERE r.queue = q.id) \
     AND NOT EXISTS (SELECT 1 FROM queue_result r WHERE r.queue = q.id) ORDER BY q.id LIMIT $2",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&MESSAGES, &DELIVERIES];

/// Units of a file: some megabytes, gathered within a second or two.
const UNITS_MAX: usize = 500;

/// Rows looked at for a file, where most have to stay.
pub(super) const LOOKS_MAX: usize = 4_000;

/// Rows of the audit in a file.
const EVENTS_MAX: i64 = 5_000;

/// Units that one transaction removes: peers wait for it a few tens of milliseconds at most.
const REMOVED_AT_ONCE: usize = 20;

/// Between two files, so that the bridge and its readers have the machine to themselves.
const REST: Duration = Duration::from_secs(2);

/// Between two rounds through the store.
const ROUND: Duration = Duration::from_secs(6 * 3_600);

const DAY: i64 = 24 * 3_600 * 1_000_000;

/// What the site wants; nothing leaves the store that it does not name.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where archives go.
    pub folder: PathBuf,
    /// Whom they are encrypted for.
    pub recipients: Recipients,
    /// Results with all that belongs to them, by age in days.
    pub tubes_days: Option<u32>,
    /// Messages from which no result came, and what devices were told.
    pub messages_days: Option<u32>,
    /// The audit.
    pub audit_days: Option<u32>,
}

impl Plan {
    /// The plan of a site; `None` where everything stays in the store.
    pub fn of(loaded: &Loaded) -> Option<Self> {
        let asked = &loaded.lab.retention;
        let days = |days: &Option<crate::config::read::At<u32>>| days.as_ref().map(|days| **days);
        let plan = Self {
            folder: loaded.path(&asked.folder),
            recipients: asked.keys(&loaded.lab.backup).ok()?,
            tubes_days: days(&asked.tubes_days),
            messages_days: days(&asked.messages_days),
            audit_days: days(&asked.audit_days),
        };
        let any = [plan.tubes_days, plan.messages_days, plan.audit_days];
        any.iter().any(Option::is_some).then_some(plan)
    }

    fn ages(&self, now: i64) -> Ages {
        let before = |days: Option<u32>| Some(now.saturating_sub(i64::from(days?) * DAY));
        Ages {
            tubes_before: before(self.tubes_days),
            messages_before: before(self.messages_days),
        }
    }
}

/// Archives what a bridge at work need not keep.
#[derive(Debug)]
pub struct Keeper {
    plan: Plan,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Rows looked at in this round: messages, deliveries.
    looked: [i64; 2],
    /// Files of this process, to tell those of one second apart.
    number: u32,
}

/// What was gathered for one file.
#[derive(Debug, Default)]
struct Batch {
    units: Vec<Unit>,
    looked: [i64; 2],
    is_end: bool,
}

impl Keeper {
    /// A keeper that has not looked yet.
    pub fn new(plan: Plan, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            plan,
            store,
            clock,
            looked: [0; 2],
            number: 0,
        }
    }

    /// Archives what one file holds at most. `false` when a round through the store is over.
    ///
    /// # Errors
    /// The store's, and what the folder says.
    pub async fn look(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.utc_micros();
        if self.looked == [0; 2] {
            make_folder(&self.plan.folder)?;
            self.clear().await?;
            if self.events(now).await? {
                return Ok(true);
            }
        }
        let ages = self.plan.ages(now);
        let Some(before) = ages.tubes_before.max(ages.messages_before) else {
            return Ok(false);
        };
        let looked = self.looked;
        let batch = self
            .store
            .read(move |db| gather(db, ages, looked, before))
            .await?;
        self.looked = if batch.is_end { [0; 2] } else { batch.looked };
        if !batch.units.is_empty() {
            let about = About {
                kind: "tubes",
                before,
                now,
            };
            let lines = batch.units.iter().map(file::of_unit).collect();
            let (name, seal) = self.write(about, lines).await?;
            self.remove(batch.units, ages, (name, seal, about)).await?;
        }
        Ok(!batch.is_end)
    }

    /// Sets aside what the store knows nothing of. Mostly a process was killed before anything left the
    /// store for that file; but after the restore of an old backup, or in a folder of two stores, it may be
    /// the only place of what is in it.
    async fn clear(&self) -> Result<(), StoreError> {
        let known = self.store.read(rows::files).await?;
        let folder = &self.plan.folder;
        let aside = set_aside(folder, &known).map_err(|error| cannot(folder, error))?;
        for file in aside {
            tracing::warn!(
                file,
                "this store knows nothing of an archive: it has another name now, and is kept"
            );
        }
        Ok(())
    }

    async fn write(
        &mut self,
        about: About,
        lines: Vec<Value>,
    ) -> Result<(String, Seal), StoreError> {
        let at = Timestamp::from_microsecond(about.now).unwrap_or_default();
        let ending = if self.plan.recipients.is_empty() {
            "jsonl.gz"
        } else {
            "jsonl.gz.age"
        };
        // Another process may have begun in the same second: what is there is never overwritten, for its
        // rows may be nowhere else.
        let (name, target) = loop {
            self.number += 1;
            let name = format!(
                "labwire-archive-{}-{:04}-{}.{ending}",
                at.strftime("%Y%m%dT%H%M%SZ"),
                self.number,
                about.kind
            );
            let target = self.plan.folder.join(&name);
            if !target.exists() && !self.plan.folder.join(unlisted(&name)).exists() {
                break (name, target);
            }
        };
        let recipients = self.plan.recipients.clone();
        let writing =
            tokio::task::spawn_blocking(move || file::write(&target, &recipients, about, &lines));
        let seal = writing.await.unwrap_or(Err(StoreError::Panicked))?;
        Ok((name, seal))
    }

    /// Removes what is in the file, a few units at a time, and of those only what is as it was.
    async fn remove(
        &self,
        units: Vec<Unit>,
        ages: Ages,
        (name, seal, about): (String, Seal, About),
    ) -> Result<(), StoreError> {
        let mut units = units;
        let file = name.clone();
        let archive = self
            .store
            .transact(Turn::Background, move |db| {
                let id = rows::insert(
                    db,
                    (&file, about.kind, &seal.sha256),
                    about.before,
                    about.now,
                )?;
                let detail = format!("{file}, SHA-256 {}", seal.sha256);
                audit::write(
                    db,
                    about.now,
                    "labwire",
                    "archive",
                    &format!("archive:{id}"),
                    &detail,
                )?;
                Ok(id)
            })
            .await?;
        let mut count = 0;
        while !units.is_empty() {
            let rest = units.split_off(units.len().min(REMOVED_AT_ONCE));
            let some = std::mem::replace(&mut units, rest);
            count += self
                .store
                .transact(Turn::Background, move |db| remove(db, archive, &some, ages))
                .await?;
        }
        tracing::info!(file = name, units = count, "archived");
        Ok(())
    }

    /// Archives the oldest rows of the audit; `false` when there are none.
    async fn events(&mut self, now: i64) -> Result<bool, StoreError> {
        let Some(days) = self.plan.audit_days else {
            return Ok(false);
        };
        let before = now.saturating_sub(i64::from(days) * DAY);
        let oldest = move |db: &mut dyn Db| audit_file::oldest(db, before, EVENTS_MAX);
        let Some((lines, last)) = self.store.read(oldest).await? else {
            return Ok(false);
        };
        let about = About {
            kind: "audit",
            before,
            now,
        };
        let (name, seal) = self.write(about, lines).await?;
        self.store
            .transact(Turn::Background, move |db| {
                let id = rows::insert(db, (&name, about.kind, &seal.sha256), before, now)?;
                let count = audit_file::remove(db, &last)?;
                rows::count_events(db, id, i64::try_from(count).unwrap_or(i64::MAX))?;
                let detail = format!("{name}, up to {}, SHA-256 {}", last.head(), seal.sha256);
                audit::write(
                    db,
                    now,
                    "labwire",
                    "archive",
                    &Archived::subject(last.id),
                    &detail,
                )
            })
            .await?;
        Ok(true)
    }

    /// Archives until `stop`. A file that is under way then is finished first or has no row.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            let rest = match looked {
                Ok(true) => REST,
                Ok(false) => ROUND,
                Err(error) => {
                    self.looked = [0; 2];
                    tracing::error!(code = error.code(), %error, "nothing was archived");
                    ROUND
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

fn cannot(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::CannotOpen {
        path: path.display().to_string().into(),
        source: Arc::new(source),
    }
}

/// The name of an archive that the store knows nothing of.
fn unlisted(name: &str) -> String {
    format!("{name}.unlisted")
}

/// Renames whole files that are not `known`, and removes what never became whole; the new names.
fn set_aside(folder: &Path, known: &BTreeSet<String>) -> std::io::Result<Vec<String>> {
    let mut aside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.strip_suffix(".part").is_some_and(file::is_archive) {
            fs::remove_file(entry.path())?;
        } else if file::is_archive(name) && !known.contains(name) {
            let other = unlisted(name);
            let target = folder.join(&other);
            if !target.exists() {
                fs::rename(entry.path(), target)?;
                aside.push(other);
            }
        }
    }
    Ok(aside)
}

/// The next units that may go, from the oldest on.
fn gather(db: &mut dyn Db, ages: Ages, looked: [i64; 2], before: i64) -> Result<Batch, StoreError> {
    let judge = Judge::new(db, ages)?;
    let mut batch = Batch {
        looked,
        ..Batch::default()
    };
    let mut met = BTreeSet::new();
    let of_messages: fn(i64) -> Member = Member::Message;
    let kinds = [(&MESSAGES, of_messages), (&DELIVERIES, Member::Queue)];
    let mut looks = 0;
    for (kind, (sql, member)) in kinds.into_iter().enumerate() {
        let limit = i64::try_from(LOOKS_MAX).unwrap_or(i64::MAX);
        let rows = db.rows(sql, &[batch.looked[kind].into(), limit.into()])?;
        let may_be_more = rows.len() == LOOKS_MAX;
        for row in rows {
            if row.int(1)? >= before {
                break;
            }
            looks += 1;
            if looks > LOOKS_MAX || batch.units.len() >= UNITS_MAX {
                return Ok(batch);
            }
            batch.looked[kind] = row.int(0)?;
            let seed = member(row.int(0)?);
            if met.contains(&seed) {
                continue;
            }
            let Some(unit) = Unit::gather(db, seed)? else {
                continue;
            };
            met.extend(unit.members.iter().copied());
            if judge.may_go(db, &unit)? {
                batch.units.push(unit);
            }
        }
        // All that was asked for was looked at: more lies behind it, however much of it has to stay.
        if may_be_more && looks >= LOOKS_MAX {
            return Ok(batch);
        }
    }
    batch.is_end = true;
    Ok(batch)
}

/// Removes those of `units` that are as they were and may still go; how many.
fn remove(db: &mut dyn Db, archive: i64, units: &[Unit], ages: Ages) -> Result<usize, StoreError> {
    let judge = Judge::new(db, ages)?;
    let mut gone = Vec::new();
    for unit in units {
        let Some(seed) = unit.members.first() else {
            continue;
        };
        let now = Unit::gather(db, *seed)?;
        let is_same = now.is_some_and(|now| now.members == unit.members && now.rows == unit.rows);
        if is_same && judge.may_go(db, unit)? {
            unit.remove(db)?;
            gone.push(unit);
        }
    }
    rows::count(db, archive, &gone)?;
    Ok(gone.len())
}

#[cfg(test)]
impl Keeper {
    /// A process that is killed once its file is there, or once so many units of it have left.
    pub(super) async fn look_and_die(&mut self, after: Option<usize>) -> Result<(), StoreError> {
        let now = self.clock.utc_micros();
        let ages = self.plan.ages(now);
        let before = ages.tubes_before.max(ages.messages_before).unwrap_or(now);
        make_folder(&self.plan.folder)?;
        let gathered = self
            .store
            .read(move |db| gather(db, ages, [0; 2], before))
            .await?;
        let mut units = gathered.units;
        let about = About {
            kind: "tubes",
            before,
            now,
        };
        let lines = units.iter().map(file::of_unit).collect();
        let (name, seal) = self.write(about, lines).await?;
        if let Some(after) = after {
            units.truncate(after);
            self.remove(units, ages, (name, seal, about)).await?;
        }
        Ok(())
    }
}
