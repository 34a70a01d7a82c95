//! Releasing and setting aside.

use std::collections::BTreeSet;

use crate::{
    model::{Hold, HoldReason, ResultState},
    settle::{self, ByHand, StoredResult},
    store::{Db, Sql, StoreError},
};

use super::{
    Act, Acting, Done, Outcome, Refused, Role, granted,
    record::Before,
    record::Changes,
    rules::{self, Permission},
    urgency,
};

const VERIFIED_BY: Sql = Sql::same(
    "SELECT actor FROM act WHERE subject = $1 AND kind = 'verify' AND undone_at IS NULL ORDER BY id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&VERIFIED_BY];

/// When what is released leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// When it cannot be undone any more.
    #[default]
    Later,
    /// At once: a critical value, or a STAT order.
    Now,
}

impl Acting<'_> {
    /// Releases a held result: it goes to the host that ordered, as the version after the one that
    /// the host has. The rules look at it once more: what has changed since it was held counts.
    ///
    /// Where the site wants two verifiers, the first one's release is kept and the result stays held.
    ///
    /// # Errors
    /// The store's.
    pub fn release(&self, db: &mut dyn Db, id: i64, leave: Leave) -> Outcome<Done> {
        let result = granted!(self.open_result(db, id)?);
        let (state, holds) = granted!(self.judged(db, &result)?);
        let needs = rules::may_release(&holds);
        let needs = granted!(needs.map_err(|reason| Refused::NotFor {
            reason,
            act: Act::Release,
        }));
        if needs == Permission::Verifier && self.person.role < Role::Verifier {
            return Ok(Err(Refused::NeedsVerifier));
        }
        let due_at = match leave {
            Leave::Later => self.due_at(),
            Leave::Now if urgency::is_urgent(db, self.site, &result)? => self.now,
            Leave::Now => return Ok(Err(Refused::NotUrgent)),
        };
        let subject = format!("result:{id}");
        let is_transfusion = holds
            .iter()
            .any(|hold| hold.reason == HoldReason::Transfusion);
        if is_transfusion && self.site.transfusion_by_two {
            let name = self.person.name.trim();
            let before = verified_by(db, &subject)?;
            if before.is_empty() {
                let mut done = self.keep(db, "verify", &subject, &Changes::default())?;
                done.state = Some(ResultState::Held);
                return Ok(Ok(done));
            }
            if before.iter().all(|other| other == name) {
                return Ok(Err(Refused::SamePerson));
            }
        }
        let before = Before::look(db, BTreeSet::from([result.barcode.clone()]), [id].into())?;
        let one = ByHand {
            result: &result,
            observation: &result.observation,
            holds: &holds,
            tube: None,
            // Where nothing holds it any more, the rules say what it is: it may confirm another.
            is_released: state == ResultState::Held,
            due_at,
        };
        let states = settle::decide_by_hand(db, &self.context(), &[one])?;
        let changes = before.changes(db)?;
        let mut done = self.keep(db, Act::Release.code(), &subject, &changes)?;
        done.state = states.first().copied();
        Ok(Ok(done))
    }

    /// Where a result would stand now and what holds it, by the rules and the orders of this moment.
    fn judged(&self, db: &mut dyn Db, result: &StoredResult) -> Outcome<(ResultState, Vec<Hold>)> {
        let refuse = |reason| {
            let act = Act::Release;
            Ok(Err(Refused::NotFor { reason, act }))
        };
        if result.state == ResultState::Kept {
            return Ok(Err(Refused::NotOrdered));
        }
        if result.state == ResultState::Waiting {
            return refuse(HoldReason::UnknownSpecimen);
        }
        if result.specimen.is_none() && result.barcode.is_empty() {
            return refuse(HoldReason::NoSpecimen);
        }
        let of_message = of_message(result);
        let one = ByHand {
            result,
            observation: &result.observation,
            holds: &of_message,
            tube: None,
            is_released: false,
            due_at: self.now,
        };
        let (state, holds) = settle::judge(db, &self.context(), &one)?;
        match state {
            ResultState::Kept => Ok(Err(Refused::NotOrdered)),
            ResultState::Waiting => refuse(HoldReason::UnknownSpecimen),
            ResultState::Held
            | ResultState::Released
            | ResultState::Repeat
            | ResultState::Confirmed
            | ResultState::Replaced
            | ResultState::SetAside
            | ResultState::Control => Ok(Ok((state, holds))),
        }
    }

    /// Gives a result up, for good: it goes nowhere, and stays in the store with the reason.
    ///
    /// # Errors
    /// The store's.
    pub fn set_aside(&self, db: &mut dyn Db, id: i64) -> Outcome<Done> {
        let result = granted!(self.open_result(db, id)?);
        self.give_up(db, &result, Act::SetAside)
    }

    pub(super) fn give_up(
        &self,
        db: &mut dyn Db,
        result: &StoredResult,
        act: Act,
    ) -> Outcome<Done> {
        let before = Before::look(db, BTreeSet::new(), [result.id].into())?;
        settle::set_aside(db, result.id, self.now)?;
        let changes = before.changes(db)?;
        let subject = format!("result:{}", result.id);
        let mut done = self.keep(db, act.code(), &subject, &changes)?;
        done.state = Some(ResultState::SetAside);
        Ok(Ok(done))
    }
}

/// Reasons that the device's message gave: the others are asked again.
pub(super) fn of_message(result: &StoredResult) -> Vec<Hold> {
    let holds = result.holds.iter();
    holds
        .filter(|hold| hold.reason.is_of_message())
        .cloned()
        .collect()
}

fn verified_by(db: &mut dyn Db, subject: &str) -> Result<Vec<String>, StoreError> {
    db.rows(&VERIFIED_BY, &[subject.into()])?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}
