//! Taking an act back, within seconds and as long as nothing came of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::{self, unjson},
    model::{OrderStatus, Priority, QueueState, ResultState},
    queue::{self, News},
    settle,
    store::{
        Db, Param, Sql, StoreError,
        journal::{self, MessageState},
    },
};

use super::{
    Acting, Done, Outcome, Refused, UNDO, granted, learned,
    record::{self, Changes, Stand},
    urgency,
};

const ACT: Sql =
    Sql::same("SELECT at, actor, kind, subject, changes, undone_at FROM act WHERE id = $1");
const LAST: Sql = Sql::same(
    "SELECT id FROM act WHERE actor = $1 AND undone_at IS NULL AND kind <> 'undo' AND id > \
     (SELECT coalesce(max(id), 0) FROM act) - 1000 ORDER BY id DESC LIMIT 1",
);
const UNDONE: Sql = Sql::same("UPDATE act SET undone_at = $2 WHERE id = $1");
const PUT_BACK: Sql = Sql::same(
    "UPDATE result SET barcode = $2, specimen = $3, test = $4, state = $5, version = $6, \
     supersedes = $7, holds = $8, detail = $9, queue = $10, decided_at = $11 WHERE id = $1",
);
const MADE: Sql = Sql::same(
    "SELECT id, kind, state, attempts, CASE WHEN body IS NULL THEN 0 ELSE 1 END FROM queue \
     WHERE id > $1 AND id <= $2 ORDER BY id",
);
/// A message that a result can be put back into: one that was never tried.
const UNTRIED: Sql = Sql::same(
    "SELECT 1 FROM queue WHERE id = $1 AND state = 'waiting' AND attempts = 0 AND body IS NULL",
);
const ADD_LINK: Sql = Sql::same(
    "INSERT INTO queue_result (queue, result) VALUES ($1, $2) \
     ON CONFLICT (queue, result) DO NOTHING",
);
const TELL_BY: Sql = Sql::same("UPDATE result SET queue = $2 WHERE id = $1 AND queue IS NULL");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &ACT, &LAST, &UNDONE, &PUT_BACK, &MADE, &UNTRIED, &ADD_LINK, &TELL_BY, &FOLLOWERS,
];

/// A person's newest act that is not undone; one of long ago is not found.
///
/// # Errors
/// The store's.
pub fn last_act(db: &mut dyn Db, name: &str) -> Result<Option<i64>, StoreError> {
    let row = db.row_opt(&LAST, &[name.trim().into()])?;
    row.map(|row| row.int(0)).transpose()
}

/// A person's newest act, while it can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Its number, for [`Acting::undo`].
    pub act: i64,
    /// What was done: an act's code, or `verify` for the first of two looks.
    pub kind: String,
    /// To what: `result:17`, `message:3`, `line:xn-1`.
    pub subject: String,
    /// Until when it can be undone, microseconds UTC.
    pub until: i64,
    /// Results that it moved, and where each stands since.
    pub moved: Vec<(i64, ResultState)>,
}

/// What a person may still undo.
///
/// # Errors
/// The store's.
pub fn recent(db: &mut dyn Db, name: &str, now: i64) -> Result<Option<Recent>, StoreError> {
    let Some(act) = last_act(db, name)? else {
        return Ok(None);
    };
    let row = db.row(&ACT, &[act.into()])?;
    let until = row.int(0)?.saturating_add(UNDO);
    if now >= until {
        return Ok(None);
    }
    let changes: Changes = unjson(row.text(4)?)?;
    let moved = changes.results.iter();
    Ok(Some(Recent {
        act,
        kind: row.text(2)?.to_owned(),
        subject: row.text(3)?.to_owned(),
        until,
        moved: moved
            .filter_map(|(id, _, after)| Some((*id, ResultState::from_code(&after.state)?)))
            .collect(),
    }))
}

impl Acting<'_> {
    /// Undoes an act of the same person within ten seconds: everything stands as before. Refused
    /// where a message of it has left, or where something else happened to its results since.
    ///
    /// # Errors
    /// The store's.
    pub fn undo(&self, db: &mut dyn Db, act: i64) -> Outcome<Done> {
        granted!(self.check());
        let Some(row) = db.row_opt(&ACT, &[act.into()])? else {
            return Ok(Err(Refused::NotFound));
        };
        if row.opt_int(5)?.is_some() {
            return Ok(Err(Refused::UndoneAlready));
        }
        if row.text(1)? != self.person.name.trim() {
            return Ok(Err(Refused::NotYours));
        }
        if self.now.saturating_sub(row.int(0)?) >= UNDO || row.text(2)? == KIND {
            return Ok(Err(Refused::TooLate));
        }
        let changes: Changes = unjson(row.text(4)?)?;
        let subject = row.text(3)?.to_owned();
        let made = granted!(Self::is_untouched(db, &changes, row.int(0)?)?);
        self.take_back(db, &changes, &made)?;
        self.judge_again(db, &changes)?;
        db.exec(&UNDONE, &[act.into(), self.now.into()])?;
        let told = Changes {
            results: changes
                .results
                .into_iter()
                .map(|(id, before, after)| (id, after, before))
                .collect(),
            ..Changes::default()
        };
        let done = self.keep(db, KIND, &subject, &told)?;
        Ok(Ok(done))
    }

    /// Whether everything is as the act left it. Returns the messages that it made.
    fn is_untouched(db: &mut dyn Db, changes: &Changes, at: i64) -> Outcome<Vec<(i64, String)>> {
        let ids: BTreeSet<i64> = changes.results.iter().map(|(id, ..)| *id).collect();
        let own: BTreeSet<i64> = changes
            .results
            .iter()
            .filter_map(|(_, before, after)| after.queue.filter(|_| before.queue != after.queue))
            .collect();
        let mut made = Vec::new();
        for row in db.rows(&MADE, &[changes.made.0.into(), changes.made.1.into()])? {
            let id = row.int(0)?;
            let is_order = row.text(1)? != "result";
            let was_tried =
                row.text(2)? != QueueState::Waiting.code() || row.int(3)? > 0 || row.bool(4)?;
            if was_tried {
                return Ok(Err(Refused::HasLeft));
            }
            if is_order || own.contains(&id) {
                made.push((id, row.text(1)?.to_owned()));
            }
        }
        let now = record::stands(db, &BTreeSet::new(), &ids)?;
        if changes
            .results
            .iter()
            .any(|(id, _, after)| now.get(id) != Some(after))
        {
            return Ok(Err(Refused::ChangedSince));
        }
        // What came meanwhile follows these; without them it would follow nothing.
        for id in &ids {
            if has_followers(db, *id, &ids, at)? {
                return Ok(Err(Refused::ChangedSince));
            }
        }
        if let Some((id, _)) = &changes.message {
            let state = journal::message(db, *id)?.map(|one| one.state);
            if state != Some(MessageState::SetAside) {
                return Ok(Err(Refused::ChangedSince));
            }
        }
        Ok(Ok(made))
    }

    fn take_back(
        &self,
        db: &mut dyn Db,
        changes: &Changes,
        made: &[(i64, String)],
    ) -> Result<(), StoreError> {
        for (id, _, after) in &changes.results {
            if let (true, Some(specimen)) = (after.is_released(), after.specimen) {
                queue::withdraw_result(db, specimen, *id, self.now)?;
            }
        }
        for (id, _) in made.iter().filter(|(_, kind)| kind != "result") {
            let name = self.person.name.trim();
            queue::discard(db, *id, name, "undone", self.now)?;
        }
        let mut untold = BTreeMap::new();
        for (id, before, after) in &changes.results {
            let was_taken_out = before.queue.is_some() && after.queue != before.queue;
            let queue = match before.queue {
                Some(row) if was_taken_out && !is_untried(db, row)? => None,
                other => other,
            };
            put_back(db, *id, before, queue)?;
            if was_taken_out && queue.is_none() && before.is_released() {
                untold.insert(*id, before.clone());
            }
        }
        for (row, result) in &changes.links {
            if is_untried(db, *row)? {
                db.exec(&ADD_LINK, &[(*row).into(), (*result).into()])?;
            } else if let Some((_, before, _)) = changes.results.iter().find(|one| one.0 == *result)
            {
                untold.insert(*result, before.clone());
            }
        }
        for (result, before) in &untold {
            self.tell_again(db, *result, before)?;
        }
        self.count_again(db, changes)?;
        if let Some((id, outcome)) = &changes.message {
            journal::mark(db, *id, MessageState::Held, outcome.as_deref())?;
        }
        if let Some(mapping) = &changes.mapping {
            learned::drop(db, mapping, self.now)?;
        }
        Ok(())
    }

    /// Whether somebody has to be called follows from how the results stand now.
    fn judge_again(&self, db: &mut dyn Db, changes: &Changes) -> Result<(), StoreError> {
        for (id, ..) in &changes.results {
            let Some(result) = settle::result_by_id(db, *id)? else {
                continue;
            };
            let patient = match result.specimen {
                Some(tube) => {
                    let tube = book::specimen_by_id(db, tube)?;
                    Some(book::patient_of(db, tube.patient)?)
                }
                None => None,
            };
            let (of, at) = (&result.observation, result.received_at);
            let critical = urgency::beyond_limit(self.site, of, patient.as_ref(), at);
            settle::judge_again(db, &result, critical, self.now)?;
        }
        Ok(())
    }

    /// The status of the orders on every tube that is concerned, by what is released on it now.
    fn count_again(&self, db: &mut dyn Db, changes: &Changes) -> Result<(), StoreError> {
        let concerned = changes.results.iter();
        let tubes = concerned.flat_map(|(_, before, after)| [before.specimen, after.specimen]);
        let tubes: BTreeSet<i64> = tubes.flatten().collect();
        let tubes: Vec<i64> = tubes.into_iter().collect();
        let mut done = settle::released_tests_of(db, &tubes)?;
        let mut statuses = Vec::new();
        for (tube, items) in book::items_of(db, &tubes)? {
            let done = done.remove(&tube).unwrap_or_default();
            for item in items {
                let count = item.tests.iter().filter(|test| done.contains(test)).count();
                let status = match (item.status, count) {
                    (OrderStatus::Cancelled, _) => OrderStatus::Cancelled,
                    (_, 0) => OrderStatus::Scheduled,
                    (_, count) if count == item.tests.len() => OrderStatus::Complete,
                    _ => OrderStatus::Partial,
                };
                if status != item.status {
                    statuses.push((item.id, status));
                }
            }
        }
        book::set_statuses(db, &statuses, self.now)
    }

    /// A version that stands again, and whose message went without it or not at all, gets another.
    fn tell_again(&self, db: &mut dyn Db, result: i64, stand: &Stand) -> Result<(), StoreError> {
        let Some(id) = stand.specimen else {
            return Ok(());
        };
        let specimen = book::specimen_by_id(db, id)?;
        let items = book::open_items(db, id)?;
        let priority = items.iter().map(|item| item.priority).min();
        let news = News {
            host: specimen.host,
            specimen: id,
            priority: priority.unwrap_or(Priority::Routine),
            behind: queue::aside_before(db, result)?,
        };
        for row in queue::enqueue_results(db, &[news], self.now)? {
            if db.exec(&TELL_BY, &[result.into(), row.into()])? == 0 {
                db.exec(&ADD_LINK, &[row.into(), result.into()])?;
            }
        }
        Ok(())
    }
}

/// The kind of the act that undoes another.
const KIND: &str = "undo";

const FOLLOWERS: Sql = Sql::same(
    "SELECT id FROM result WHERE supersedes = $1 AND state <> 'repeat' \
     AND coalesce(decided_at, received_at) >= $2",
);

/// Whether a result came since that follows one which would stand otherwise.
fn has_followers(
    db: &mut dyn Db,
    id: i64,
    own: &BTreeSet<i64>,
    since: i64,
) -> Result<bool, StoreError> {
    for row in db.rows(&FOLLOWERS, &[id.into(), since.into()])? {
        if !own.contains(&row.int(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_untried(db: &mut dyn Db, row: i64) -> Result<bool, StoreError> {
    Ok(db.row_opt(&UNTRIED, &[row.into()])?.is_some())
}

fn put_back(
    db: &mut dyn Db,
    id: i64,
    before: &Stand,
    queue: Option<i64>,
) -> Result<(), StoreError> {
    let params: [Param; 11] = [
        id.into(),
        before.barcode.as_str().into(),
        before.specimen.into(),
        before.test.as_deref().into(),
        before.state.as_str().into(),
        before.version.into(),
        before.supersedes.into(),
        before.holds.as_str().into(),
        before.detail.as_str().into(),
        queue.into(),
        before.decided_at.into(),
    ];
    db.exec(&PUT_BACK, &params)?;
    Ok(())
}
