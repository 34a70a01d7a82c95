//! Which decisions concern somebody who has to be called.

use crate::{
    calls::{self, Judged},
    model::{Observation, ResultState},
    store::{Db, StoreError},
};

use super::{Session, StoredResult, decide::Decision, matching::TubeMatch};

impl Session<'_> {
    /// Judges a decision about a patient's result; what it means for calls is done with the rest of
    /// the transaction. `tube` is its key in `tubes`, where it has a tube.
    pub(super) fn judge_critical(
        &mut self,
        tube: Option<&str>,
        (id, is_new): (i64, bool),
        (line, received_at): (&str, i64),
        observation: &Observation,
        decision: &Decision,
    ) {
        let patient = match tube.and_then(|tube| self.tubes.get(tube)) {
            Some(TubeMatch::One(tube)) => Some(&tube.patient),
            Some(TubeMatch::Unknown | TubeMatch::Ambiguous | TubeMatch::Cancelled) | None => None,
        };
        let critical = match decision.state {
            ResultState::Released
            | ResultState::Held
            | ResultState::Waiting
            | ResultState::Kept => self
                .context
                .site
                .critical(observation, patient, received_at),
            // The same value stands already, or nothing of it stands.
            ResultState::Repeat
            | ResultState::Confirmed
            | ResultState::Replaced
            | ResultState::SetAside
            | ResultState::Control => None,
        };
        if critical.is_none() && is_new && decision.replaces.is_empty() {
            return;
        }
        self.judged.push(Judged {
            critical,
            is_new,
            replaces: decision.replaces.clone(),
            ..judged(id, line, observation)
        });
    }
}

/// A result of which nothing is judged yet.
fn judged(result: i64, line: &str, observation: &Observation) -> Judged {
    let test = observation.test.as_ref().unwrap_or(&observation.code);
    Judged {
        result,
        line: line.to_owned(),
        test: test.clone(),
        value: observation.text.trim().to_owned(),
        unit: observation.unit.clone(),
        critical: None,
        is_new: false,
        replaces: Vec::new(),
    }
}

/// A stored result stands otherwise than before by a way that decided nothing, such as an undo:
/// whether somebody has to be called is asked again. `critical` is what its value is now.
///
/// # Errors
/// The store's.
pub fn judge_again(
    db: &mut dyn Db,
    result: &StoredResult,
    critical: Option<calls::Critical>,
    now: i64,
) -> Result<(), StoreError> {
    let stands = result.state.is_open() || result.state == ResultState::Released;
    let one = Judged {
        critical: critical.filter(|_| stands),
        ..judged(result.id, &result.line, &result.observation)
    };
    calls::note(db, &[one], now)
}
