//! Backups that the bridge makes by itself, and what is known of the last one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    audit,
    config::{Loaded, keeping::When},
    store::{
        Backup, Clock, Db, Store, StoreError, Turn, journal,
        seal::{Recipients, Seal},
    },
};

/// The key of `meta` that tells of the last backup.
const LAST: &str = "backup";

/// The key of `meta` that says since when the site wants backups, UTC microseconds.
const WANTED: &str = "backup_wanted";

/// How often the clock is looked at; the time of day of a backup matters by the minute.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A backup that failed is tried again after so long.
const AGAIN_AFTER: i64 = 10 * 60 * 1_000_000;

const HOUR: i64 = 3_600_000_000;

/// What is known of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When its moment was, UTC microseconds.
    pub at: i64,
    /// Its file.
    pub file: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: String,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
}

/// The last backup, if there was one.
///
/// # Errors
/// The store's.
pub fn last(db: &mut dyn Db) -> Result<Option<Last>, StoreError> {
    let text = journal::meta(db, LAST)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// For how many hours there is no backup; `None` while nobody wanted one.
///
/// # Errors
/// The store's.
pub fn hours_without(db: &mut dyn Db, now: i64) -> Result<Option<i64>, StoreError> {
    let wanted = journal::meta(db, WANTED)?.and_then(|text| text.parse::<i64>().ok());
    let since = last(db)?.map(|last| last.at).max(wanted);
    Ok(since.map(|since| now.saturating_sub(since).max(0) / HOUR))
}

/// Writes down that a backup was made and passed its check.
///
/// # Errors
/// The store's.
pub fn note(db: &mut dyn Db, backup: &Backup, seal: &Seal, actor: &str) -> Result<(), StoreError> {
    let file = backup.to.display().to_string();
    let detail = format!("{file}, {} bytes, SHA-256 {}", seal.bytes, seal.sha256);
    let last = Last {
        at: backup.now,
        file,
        bytes: seal.bytes,
        sha256: seal.sha256.clone(),
        is_encrypted: seal.is_encrypted,
    };
    let text = serde_json::to_string(&last)
        .map_err(|_| StoreError::value("a backup that cannot be told"))?;
    journal::set_meta(db, LAST, &text)?;
    audit::write(db, backup.now, actor, "backup", "store:0", &detail)
}

/// What the site wants.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where copies go.
    pub folder: PathBuf,
    /// When.
    pub when: When,
    /// By whose clock.
    pub zone: TimeZone,
    /// How many stay.
    pub keep: usize,
    /// Whom they are encrypted for.
    pub recipients: Recipients,
    /// The store is a file of SQLite, and a plain copy is one too.
    pub is_file: bool,
}

impl Plan {
    /// The plan of a site; `None` where it names no folder. Recipients that cannot be read were told by
    /// the check, and then there is no plan either: nothing is written plain by mistake.
    pub fn of(loaded: &Loaded) -> Option<Self> {
        let asked = &loaded.lab.backup;
        Some(Self {
            folder: loaded.path(asked.folder.as_ref()?),
            when: asked.when,
            zone: loaded.lab.lab.zone(),
            keep: usize::try_from(*asked.keep).unwrap_or(usize::MAX),
            recipients: asked.keys().ok()?,
            is_file: loaded.lab.store.url.starts_with("sqlite:"),
        })
    }

    /// When the next one is due, UTC microseconds; the first at once.
    pub fn due(&self, last: Option<i64>) -> i64 {
        let Some(last) = last else {
            return i64::MIN;
        };
        match self.when {
            When::Every(hours) => last.saturating_add(i64::from(hours) * HOUR),
            When::At(time) => {
                let moment = Timestamp::from_microsecond(last).unwrap_or_default();
                let civil = moment.to_zoned(self.zone.clone());
                let today = civil.with().time(time).build();
                let next = today.ok().filter(|today| *today > civil).or_else(|| {
                    let tomorrow = civil.checked_add(Span::new().days(1)).ok()?;
                    tomorrow.with().time(time).build().ok()
                });
                // A calendar has no end that a laboratory lives to see; a day later is never wrong.
                next.map_or(last.saturating_add(24 * HOUR), |next| {
                    next.timestamp().as_microsecond()
                })
            }
        }
    }

    /// What is written at `now`.
    pub fn backup(&self, now: i64) -> Backup {
        Backup {
            to: self.folder.join(self.name(now)),
            recipients: self.recipients.clone(),
            now,
        }
    }

    fn name(&self, now: i64) -> String {
        let at = Timestamp::from_microsecond(now).unwrap_or_default();
        let stamp = at.strftime("%Y%m%dT%H%M%SZ");
        let ending = match (self.recipients.is_empty(), self.is_file) {
            (false, _) => "jsonl.gz.age",
            (true, true) => "db",
            (true, false) => "jsonl.gz",
        };
        format!("labwire-{stamp}.{ending}")
    }

    /// Removes what a process that was killed left unfinished. Other files stay.
    ///
    /// # Errors
    /// What the system says.
    pub fn clear_parts(&self) -> std::io::Result<()> {
        for path in self.files()? {
            let name = path.file_name().and_then(|name| name.to_str());
            // The second is what SQLite lays beside a copy that it writes.
            let endings = [".part", ".part-journal"];
            let ours = |name: &str| {
                let mut whole = endings
                    .iter()
                    .filter_map(|ending| name.strip_suffix(ending));
                whole.any(is_ours)
            };
            if name.is_some_and(ours) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes the oldest copies of ours beyond `keep`; returns how many.
    ///
    /// # Errors
    /// What the system says.
    pub fn rotate(&self) -> std::io::Result<usize> {
        let mut ours: Vec<PathBuf> = self.files()?;
        ours.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(is_ours)
        });
        // The stamp of a name sorts as its time does.
        ours.sort();
        let surplus = ours.len().saturating_sub(self.keep.max(1));
        for path in ours.iter().take(surplus) {
            fs::remove_file(path)?;
        }
        Ok(surplus)
    }

    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(&self.folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }
}

/// Whether a name is one that [`Plan::backup`] gives: nothing else in the folder is ever removed.
fn is_ours(name: &str) -> bool {
    let Some((stamp, ending)) = name
        .strip_prefix("labwire-")
        .and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let form = "dddddddd-dddddd-";
    let fits = stamp.len() == form.len()
        && stamp
            .bytes()
            .zip(form.bytes())
            .enumerate()
            .all(|(at, (byte, form))| match form {
                b'd' => byte.is_ascii_digit(),
                _ if at == 8 => byte == b'T',
                _ => byte == b'Z',
            });
    fits && ["jsonl.gz.age", "jsonl.gz", "db"].contains(&ending)
}

/// Makes the folder, for its owner alone.
///
/// # Errors
/// [`StoreError::CannotOpen`].
pub fn make_folder(path: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|source| StoreError::CannotOpen {
            path: path.display().to_string().into(),
            source: Arc::new(source),
        })
}

/// Makes the backups of a bridge at work.
#[derive(Debug)]
pub struct Keeper {
    /// What the site wants.
    pub plan: Plan,
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// After a failure: not before this.
    pub not_before: i64,
}

impl Keeper {
    /// Looks whether a backup is due, and makes it. `false` when none is.
    ///
    /// # Errors
    /// The store's, and what the folder says.
    pub async fn look(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.utc_micros();
        let last = self.store.read(last).await?.map(|last| last.at);
        // A clock that was set back must not keep a laboratory without backups.
        let last = last.filter(|at| *at <= now);
        if now < self.plan.due(last) || now < self.not_before {
            return Ok(false);
        }
        self.not_before = now.saturating_add(AGAIN_AFTER);
        let backup = self.plan.backup(now);
        make_folder(&self.plan.folder)?;
        let seal = self.store.backup(backup.clone()).await?;
        self.not_before = i64::MIN;
        let (file, bytes) = (backup.to.display().to_string(), seal.bytes);
        let is_encrypted = seal.is_encrypted;
        self.store
            .transact(Turn::Background, move |db| {
                note(db, &backup, &seal, "labwire")
            })
            .await?;
        tracing::info!(file, bytes, is_encrypted, "backup written and checked");
        if let Err(error) = self.plan.rotate() {
            tracing::warn!(%error, "old backups cannot be removed");
        }
        Ok(true)
    }

    async fn begin(&self) -> Result<(), StoreError> {
        let now = self.clock.utc_micros();
        self.store
            .transact(Turn::Background, move |db| {
                if journal::meta(db, WANTED)?.is_none() {
                    journal::set_meta(db, WANTED, &now.to_string())?;
                }
                Ok(())
            })
            .await
    }

    /// Makes backups until `stop`. One that is under way then is given up; its file has no name yet.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.plan.folder.is_dir()
            && let Err(error) = self.plan.clear_parts()
        {
            tracing::warn!(%error, "what an unfinished backup left cannot be removed");
        }
        if let Err(error) = self.begin().await {
            tracing::warn!(%error, "that backups are wanted cannot be written down");
        }
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            if let Err(error) = looked {
                tracing::error!(code = error.code(), %error, "no backup was made");
            }
        }
    }
}

#[cfg(test)]
mod tests;
