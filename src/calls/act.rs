//! What people do about a call: they try, and say what came of it.

use crate::{
    audit,
    store::{Db, Sql, StoreError},
};

use super::{Outcome, State, rows};

const ATTEMPT: Sql = Sql::same(
    "INSERT INTO call_attempt (call, at, actor, outcome, told_to, contact, read_back) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);
const TOLD: Sql = Sql::same(
    "UPDATE critical_call SET state = 'told', closed_at = $2, closed_by = $3 \
     WHERE id = $1 AND state = 'open'",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&ATTEMPT, &TOLD];

/// A try to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who tried, by login name.
    pub actor: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The name of whoever was told, or who was tried.
    pub told_to: String,
    /// Role or telephone.
    pub contact: String,
    /// Whoever was told has read it back.
    pub is_read_back: bool,
}

/// Why a try was not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such call.
    #[error("there is no such call")]
    NotFound,
    /// It is closed already.
    #[error("the call is closed already")]
    Closed,
    /// Nobody is named.
    #[error("nobody is named who was told or tried")]
    NoName,
    /// A read-back without anybody who was told.
    #[error("what was told to nobody cannot be read back")]
    NotTold,
}

/// A name or a telephone of more characters is cut.
const TEXT_CHARS_MAX: usize = 120;

/// Writes a try down. The call is closed when somebody was told and has read it back, and not before.
///
/// # Errors
/// The store's.
pub fn attempt(
    db: &mut dyn Db,
    call: i64,
    attempt: &Attempt,
    now: i64,
) -> Result<Result<State, Refused>, StoreError> {
    let short = |text: &str| -> String { text.trim().chars().take(TEXT_CHARS_MAX).collect() };
    let (told_to, contact) = (short(&attempt.told_to), short(&attempt.contact));
    let is_told = attempt.outcome == Outcome::Told;
    if told_to.is_empty() || attempt.actor.trim().is_empty() {
        return Ok(Err(Refused::NoName));
    }
    if attempt.is_read_back && !is_told {
        return Ok(Err(Refused::NotTold));
    }
    match rows::state(db, call)? {
        None => return Ok(Err(Refused::NotFound)),
        Some(State::Open) => {}
        Some(State::Told | State::Replaced | State::Ended) => return Ok(Err(Refused::Closed)),
    }
    let actor = attempt.actor.as_str();
    let params = [
        call.into(),
        now.into(),
        actor.into(),
        attempt.outcome.code().into(),
        told_to.as_str().into(),
        contact.as_str().into(),
        attempt.is_read_back.into(),
    ];
    db.exec(&ATTEMPT, &params)?;
    let state = if attempt.is_read_back {
        db.exec(&TOLD, &[call.into(), now.into(), actor.into()])?;
        State::Told
    } else {
        State::Open
    };
    let read_back = match (is_told, attempt.is_read_back) {
        (true, true) => ", read back",
        (true, false) => ", not read back",
        (false, _) => "",
    };
    let detail = format!("{}{read_back}: {told_to} {contact}", attempt.outcome.code());
    let subject = format!("call:{call}");
    audit::write(db, now, actor, "call-attempt", &subject, detail.trim_end())?;
    Ok(Ok(state))
}
