//! Measuring again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    book::{self, ItemTests},
    model::{OrderStatus, Priority, ResultState},
    queue::{self, Download, DownloadKind},
    settle::{self, StoredResult},
    store::{Db, Sql, StoreError},
};

use super::{Act, Acting, Done, Outcome, granted, record::Before};

const POSTPONE: Sql = Sql::same("UPDATE queue SET due_at = $2 WHERE id = $1");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&POSTPONE];

/// How the device hears of a rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The order is on its way to it once more.
    Again,
    /// It gets the order when it asks for the tube.
    WhenItAsks,
    /// It has to be told by hand: it takes no orders, or none of this result.
    ByHand,
}

impl Acting<'_> {
    /// Sets a result aside because it is measured again, and tells its device the order once more
    /// where the device can be told.
    ///
    /// # Errors
    /// The store's.
    pub fn rerun(&self, db: &mut dyn Db, id: i64) -> Outcome<(Done, Told)> {
        let result = granted!(self.open_result(db, id)?);
        let before = Before::look(db, BTreeSet::new(), [id].into())?;
        settle::set_aside(db, id, self.now)?;
        let told = self.tell(db, &result)?;
        let changes = before.changes(db)?;
        let mut done = self.keep(db, Act::Rerun.code(), &format!("result:{id}"), &changes)?;
        done.state = Some(ResultState::SetAside);
        Ok(Ok((done, told)))
    }

    fn tell(&self, db: &mut dyn Db, result: &StoredResult) -> Result<Told, StoreError> {
        let line = self.site.lines.get(&result.line);
        let (Some(line), Some(specimen)) = (line, result.specimen) else {
            return Ok(Told::ByHand);
        };
        let Some(test) = result.observation.test.as_deref() else {
            return Ok(Told::ByHand);
        };
        let can_answer = line.profile.profile().answer.is_some();
        if line.profile.codes_of(test).is_empty() || !can_answer {
            return Ok(Told::ByHand);
        }
        let wants = |item: &book::BookItem| {
            item.status != OrderStatus::Cancelled && item.tests.iter().any(|own| own == test)
        };
        let items = book::open_items(db, specimen)?;
        let wanting = items.iter().filter(|item| wants(item));
        let tests: ItemTests = wanting
            .clone()
            .map(|item| (item.id, vec![test.to_owned()]))
            .collect::<BTreeMap<_, _>>();
        let priority = wanting.map(|item| item.priority).min();
        let Some(priority): Option<Priority> = priority else {
            return Ok(Told::ByHand);
        };
        if !line.is_told {
            let is_done = book::has_released(db, specimen, test)?;
            // Of what has a released result, a device that asks is not told.
            return Ok(if is_done {
                Told::ByHand
            } else {
                Told::WhenItAsks
            });
        }
        book::note_told(db, &line.id, &tests, self.now)?;
        let download = Download {
            line: line.id.clone(),
            kind: DownloadKind::Order,
            specimen,
            priority,
            items: tests,
        };
        let row = queue::enqueue_download(db, &download, self.now)?;
        db.exec(&POSTPONE, &[row.into(), self.due_at().into()])?;
        Ok(Told::Again)
    }
}
