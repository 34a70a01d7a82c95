//! `[backup]`: when copies are made, where they go, and who can open them.

use jiff::civil::Time;

use super::read::{At, Table};
use crate::store::seal::Recipients;

/// What `[backup]` says.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The folder that copies go to, relative to `lab.toml`; without it none is made by itself.
    pub folder: Option<At<String>>,
    /// When.
    pub when: When,
    /// How many stay.
    pub keep: At<u32>,
    /// Public keys of age; nobody: copies are plain.
    pub recipients: Vec<At<String>>,
}

/// When copies are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Every day at this time, by the laboratory's clock.
    At(Time),
    /// So many hours after the one before.
    Every(u32),
}

/// At night, after the evening's work and before the morning's.
const AT: Time = Time::constant(2, 30, 0, 0);

impl Default for Backup {
    fn default() -> Self {
        Self {
            folder: None,
            when: When::At(AT),
            keep: At::unwritten(14),
            recipients: Vec::new(),
        }
    }
}

impl Backup {
    pub(super) fn read(table: Option<&Table<'_>>) -> Self {
        let Some(table) = table else {
            return Self::default();
        };
        let backup = Self {
            folder: table.text("folder"),
            when: when(table),
            keep: table.whole("keep", 14, 1..=10_000),
            recipients: recipients(table),
        };
        if let Some(folder) = backup
            .folder
            .as_ref()
            .filter(|_| backup.recipients.is_empty())
        {
            table.file().warning(
                "CONF-0264",
                folder.span.clone(),
                "backups hold patients, and these are not encrypted",
                "who can read this folder reads everything",
                "write recipients = [\"age1…\"]; `labwire backup --new-key KEYFILE` makes a key",
            );
        }
        backup
    }

    /// Whom copies are encrypted for; the error is a recipient that is none.
    ///
    /// # Errors
    /// The place in the list.
    pub fn keys(&self) -> Result<Recipients, usize> {
        let keys: Vec<&str> = self.recipients.iter().map(|one| one.as_str()).collect();
        Recipients::read(&keys)
    }
}

impl Backup {
    /// How old the last copy may be, hours; `None` where the site wants none.
    pub fn age_limit_h(&self, asked: u32) -> Option<i64> {
        let every = match self.when {
            When::At(_) => 24,
            When::Every(hours) => hours,
        };
        self.folder
            .as_ref()
            .map(|_| i64::from(asked.max(every.saturating_add(2))))
    }
}

/// What `[retention]` says: from which age on rows leave the store for archives. What is not written stays
/// in the store for ever.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The folder of archives, relative to `lab.toml`.
    pub folder: At<String>,
    /// Results with their messages, versions, pictures, calls and deliveries, by age in days.
    pub tubes_days: Option<At<u32>>,
    /// Messages from which no result came, and what devices were told.
    pub messages_days: Option<At<u32>>,
    /// The audit.
    pub audit_days: Option<At<u32>>,
    /// Public keys of age; none written: those of `[backup]`.
    pub recipients: Vec<At<String>>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            folder: At::unwritten("archive".to_owned()),
            tubes_days: None,
            messages_days: None,
            audit_days: None,
            recipients: Vec::new(),
        }
    }
}

/// Less would touch what still decides about new results: orders of some weeks, and the 72 hours within
/// which a device sends a result again.
const DAYS_MIN: u32 = 30;

impl Retention {
    pub(super) fn read(table: Option<&Table<'_>>, specimen_days: u32) -> Self {
        let Some(table) = table else {
            return Self::default();
        };
        let least = DAYS_MIN.max(specimen_days.saturating_add(7));
        let days = |key| {
            let days = table.whole(key, least, least..=36_500);
            days.is_written().then_some(days)
        };
        let retention = Self {
            folder: table
                .text("folder")
                .unwrap_or_else(|| Self::default().folder),
            tubes_days: days("tubes_days"),
            messages_days: days("messages_days"),
            audit_days: days("audit_days"),
            recipients: recipients(table),
        };
        retention.check(table);
        retention
    }

    fn check(&self, table: &Table<'_>) {
        let longest = self.tubes_days.iter().chain(&self.messages_days);
        let longest = longest.map(|days| **days).max();
        if let Some(audit) = &self.audit_days
            && longest.is_some_and(|longest| **audit < longest)
        {
            table.file().error(
                "CONF-0265",
                audit.span.clone(),
                "the audit leaves the store before what it is about",
                "fewer days than tubes_days or messages_days",
                "make audit_days at least as many",
            );
        }
    }

    /// Whom archives are encrypted for; the error is a recipient that is none.
    ///
    /// # Errors
    /// The place in the list.
    pub fn keys(&self, backup: &Backup) -> Result<Recipients, usize> {
        if self.recipients.is_empty() {
            return backup.keys();
        }
        let keys: Vec<&str> = self.recipients.iter().map(|one| one.as_str()).collect();
        Recipients::read(&keys)
    }
}

fn when(table: &Table<'_>) -> When {
    let every = table.whole("every_h", 24, 1..=168);
    let at = table.text("at");
    if let Some(at) = at.as_ref().filter(|_| every.is_written()) {
        table.file().error(
            "CONF-0262",
            at.span.clone(),
            "backups are made at a time or every so many hours, not both",
            "and `every_h` is written too",
            "leave one of them out",
        );
    }
    if every.is_written() {
        return When::Every(*every);
    }
    let Some(at) = at else {
        return When::At(AT);
    };
    match Time::strptime("%H:%M", at.as_str()) {
        Ok(time) => When::At(time),
        Err(_) => {
            table.file().error(
                "CONF-0261",
                at.span.clone(),
                format!("`{}` is no time of day", *at),
                "not hours and minutes",
                "write at = \"02:30\"",
            );
            When::At(AT)
        }
    }
}

/// Reads `recipients`; a secret key among them would be read by everybody who reads this file.
pub(super) fn recipients(table: &Table<'_>) -> Vec<At<String>> {
    let all = table.texts("recipients").unwrap_or_default();
    for one in &all {
        let is_secret = one.to_uppercase().starts_with("AGE-SECRET-KEY-");
        if is_secret || Recipients::read(&[one.as_str()]).is_err() {
            let (message, label) = if is_secret {
                (
                    "a secret key stands where a public one belongs".to_owned(),
                    "whoever reads this file can open every backup",
                )
            } else {
                (
                    format!("`{}` is no public key of age", **one),
                    "not age1… as `labwire backup --new-key` tells it",
                )
            };
            table.file().error(
                "CONF-0263",
                one.span.clone(),
                message,
                label,
                "write the public key, age1…, and keep the secret one where the backups are not",
            );
        }
    }
    all
}
