//! What people do about what waits: the work list, and every act on it.
//!
//! Each act is one transaction, has a name and a reason, writes an audit row with how it stood
//! before and after, and can be undone by the same person for ten seconds. The command line and the
//! web console call the same functions. An act that is refused changes nothing.
//!
//! What must not happen here: a release that a rule forbids, a message that leaves before its
//! release can be taken back, a result of one patient linked to another, a unit believed.

mod learned;
mod link;
mod list;
mod map;
mod message;
mod record;
mod refused;
mod release;
mod reread;
mod rerun;
mod rules;
mod undo;
mod urgency;

#[cfg(test)]
mod tests;

pub use self::{
    learned::{Mapping, learn, mappings},
    link::{Tube, is_linked, of_the_same_tube, tubes},
    list::{
        Counts, Entry, Late, Page, Part, Previous, Queued, Reason, ResultEntry, Subject, Waiting,
        counts, entry_of, waiting,
    },
    map::{Moved, waiting_for_code},
    refused::Refused,
    release::Leave,
    rerun::Told,
    rules::{Act, Permission, allowed, permits},
    undo::{Recent, last_act, recent},
    urgency::{Targets, Urgency, critical},
};

pub(crate) use self::urgency::beyond_limit;
/// What a person may do is said once, for the command line and the console.
pub use crate::people::Role;

use crate::{
    bridge::Site,
    model::ResultState,
    settle::{self, SettleContext, StoredResult},
    store::{Db, StoreError},
};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name that stays with every act.
    pub name: String,
    /// What the person may do.
    pub role: Role,
}

/// A person at work on a site: what every act needs.
#[derive(Clone, Copy, Debug)]
pub struct Acting<'a> {
    /// The site's files.
    pub site: &'a Site,
    /// Who.
    pub person: &'a Person,
    /// Why, in the person's words; kept with the act.
    pub reason: &'a str,
    /// Now, microseconds UTC.
    pub now: i64,
}

/// What was done, or why not.
pub type Outcome<T> = Result<Result<T, Refused>, StoreError>;

/// An act that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its number, for [`Acting::undo`].
    pub act: i64,
    /// Where the result stands now, where the act was about one.
    pub state: Option<ResultState>,
    /// What it releases does not leave before this instant, microseconds UTC; until then it can be
    /// undone.
    pub until: i64,
}

/// How long an act can be undone, microseconds.
pub const UNDO: i64 = 10_000_000;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [
        learned::ALL,
        list::ALL,
        map::ALL,
        record::ALL,
        release::ALL,
        rerun::ALL,
        undo::ALL,
        urgency::ALL,
    ]
    .concat()
}

impl Acting<'_> {
    /// Nobody acts who only looks on, or without a name and a reason.
    fn check(&self) -> Result<(), Refused> {
        if self.person.role < Role::Technician {
            return Err(Refused::NotAllowed);
        }
        if self.person.name.trim().is_empty() {
            return Err(Refused::NoName);
        }
        if self.reason.trim().is_empty() {
            return Err(Refused::NoReason);
        }
        Ok(())
    }

    fn context(&self) -> SettleContext<'_> {
        SettleContext {
            message: 0,
            line: "",
            received_at: self.now,
            now: self.now,
            specimen_age_max: self.site.laboratory.specimen_age_max,
            digest_input: b"",
            site: self.site,
        }
    }

    /// A result that a person may still decide about.
    fn open_result(&self, db: &mut dyn Db, id: i64) -> Outcome<StoredResult> {
        if let Err(refused) = self.check() {
            return Ok(Err(refused));
        }
        let Some(result) = settle::result_by_id(db, id)? else {
            return Ok(Err(Refused::NotFound));
        };
        if !result.state.is_open() {
            let state = result.state;
            return Ok(Err(Refused::NotOpen { state }));
        }
        Ok(Ok(result))
    }

    /// When what is released now may leave.
    const fn due_at(&self) -> i64 {
        self.now.saturating_add(UNDO)
    }
}

/// Goes on with what a step gave, or ends with its refusal.
macro_rules! granted {
    ($step:expr) => {
        match $step {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}
use granted;
