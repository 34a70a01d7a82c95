//! Hold, keep or release: the rules, as a function of what is known.

use crate::model::{Hold, HoldReason, Observation, ResultState, ResultStatus};

use super::{
    SettleContext, clock,
    matching::{Current, Tube, TubeMatch},
    name,
};

/// What was decided about one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) state: ResultState,
    pub(super) holds: Vec<Hold>,
    pub(super) version: i64,
    /// The version that it takes the place of, or repeats.
    pub(super) supersedes: Option<i64>,
    /// Rows that it replaces when it is released.
    pub(super) replaces: Vec<i64>,
    /// What deserves a look and holds nothing: `clock`, `name-differs`.
    pub(super) notes: Vec<&'static str>,
}

impl Decision {
    pub(super) fn plain(state: ResultState) -> Self {
        Self {
            state,
            holds: Vec::new(),
            version: 1,
            supersedes: None,
            replaces: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn repeat_of(first: i64) -> Self {
        Self {
            supersedes: Some(first),
            ..Self::plain(ResultState::Repeat)
        }
    }
}

/// Holds gathered so far.
pub(super) struct Held(Vec<Hold>);

impl Held {
    pub(super) fn with(holds: &[Hold], one_more: Hold) -> Self {
        let mut all = holds.to_vec();
        // The message may have said so already.
        if all.iter().all(|hold| hold.reason != one_more.reason) {
            all.push(one_more);
        }
        Self(all)
    }

    pub(super) fn decision(self) -> Decision {
        Decision {
            holds: self.0,
            ..Decision::plain(ResultState::Held)
        }
    }
}

/// Reasons that say: there is no final value here yet.
pub(super) fn is_weak(holds: &[Hold]) -> bool {
    holds.iter().any(|hold| {
        matches!(
            hold.reason,
            HoldReason::StatusNotFinal | HoldReason::StatusX | HoldReason::AbsentValue
        )
    })
}

pub(super) fn is_incomplete(holds: &[Hold]) -> bool {
    holds
        .iter()
        .any(|hold| hold.reason == HoldReason::Incomplete)
}

/// Whether it takes the place of what came before it.
pub(super) fn is_correction(observation: &Observation) -> bool {
    observation.supersedes || observation.status == ResultStatus::Correction
}

/// `of_patient` is what other results of the tube and its patient say against this one; it holds
/// where the result would be told.
pub(super) fn decide(
    context: &SettleContext<'_>,
    tube: &TubeMatch,
    observation: &Observation,
    holds: &[Hold],
    of_patient: &[Hold],
) -> Decision {
    match tube {
        TubeMatch::Unknown => {
            let held = Held::with(holds, Hold::new(HoldReason::UnknownSpecimen, ""));
            Decision {
                state: ResultState::Waiting,
                ..held.decision()
            }
        }
        TubeMatch::Ambiguous => {
            Held::with(holds, Hold::new(HoldReason::AmbiguousSpecimen, "")).decision()
        }
        TubeMatch::Cancelled => {
            Held::with(holds, Hold::new(HoldReason::OrderCancelled, "")).decision()
        }
        TubeMatch::One(tube) => decide_on_tube(context, tube, observation, (holds, of_patient)),
    }
}

fn decide_on_tube(
    context: &SettleContext<'_>,
    tube: &Tube,
    observation: &Observation,
    (holds, of_patient): (&[Hold], &[Hold]),
) -> Decision {
    let mut holds = holds.to_vec();
    let host = &tube.specimen.host;
    if let Some(what) = tube.mismatch(&observation.patient) {
        holds.push(Hold::new(HoldReason::PatientMismatch, what));
    }
    let oddity = clock::judge(
        observation.completed.as_ref(),
        context.received_at,
        tube.specimen.collected_at,
    );
    if oddity == clock::Oddity::WrongYear {
        holds.push(Hold::new(HoldReason::ClockYear, ""));
    }
    let mut notes = Vec::new();
    if oddity != clock::Oddity::None {
        notes.push("clock");
    }
    if name::differs(
        observation.patient.name.expose(),
        tube.patient.fields.expose(),
    ) {
        notes.push("name-differs");
    }
    let Some(test) = observation.test.as_deref() else {
        if holds.is_empty() {
            holds.push(Hold::new(
                HoldReason::UnknownTest,
                observation.code.as_str(),
            ));
        }
        return Decision {
            holds,
            notes,
            ..Decision::plain(ResultState::Held)
        };
    };
    if !tube.is_unordered && !tube.orders(test) {
        if tube.cancelled(test) {
            holds.push(Hold::new(HoldReason::OrderCancelled, ""));
        } else if !context.site.posts_extras(host) {
            return Decision {
                holds,
                notes,
                ..Decision::plain(ResultState::Kept)
            };
        }
    }
    holds.extend(tube_type(context, tube, test));
    holds.extend_from_slice(of_patient);
    let is_provisional = tube.is_provisional(test);
    if is_provisional {
        holds.push(Hold::new(HoldReason::ProvisionalOrder, ""));
    }
    if context.site.is_transfusion(context.line, test) {
        holds.push(Hold::new(HoldReason::Transfusion, ""));
    } else if !is_provisional && !context.site.releases_automatically(host) {
        holds.push(Hold::new(HoldReason::Review, ""));
    }
    let versions = Versions::of(tube, test, observation);
    Decision {
        notes,
        ..versions.decide(observation, holds)
    }
}

/// SPM-4, SPM-6: what a tube holds, and what was put into it before.
const TUBE_TYPES: [u16; 2] = [4, 6];

/// The type that was ordered is known, and the test needs another. Some hosts write the tube's
/// additive into SPM-4, some into SPM-6 as the standard has it, and either in a local code behind
/// the first.
fn tube_type(context: &SettleContext<'_>, tube: &Tube, test: &str) -> Option<Hold> {
    let fields = TUBE_TYPES
        .iter()
        .filter_map(|n| tube.specimen.fields.get(n));
    let repeats = fields.flat_map(|field| field.split('~'));
    let types: Vec<&str> = repeats
        .flat_map(|repeat| repeat.split('^').step_by(TRIPLET).take(2))
        .filter(|code| !code.is_empty())
        .collect();
    let fits = context.site.fits_tube(test, &types)?;
    (!fits).then(|| Hold::new(HoldReason::TubeType, types.join(" ")))
}

/// Code, text and system: CWE.1 to CWE.3, and CWE.4 to CWE.6 for the alternate.
const TRIPLET: usize = 3;

/// What is there already for this test on this tube, about the same thing.
struct Versions<'a> {
    released: Option<&'a Current>,
    held: Vec<&'a Current>,
    is_named: bool,
}

impl<'a> Versions<'a> {
    fn of(tube: &'a Tube, test: &str, observation: &Observation) -> Self {
        let of_test = || {
            let current = tube.current.iter();
            current.filter(|row| row.test == test && row.about == observation.about)
        };
        Self {
            released: of_test().rfind(|row| row.state == ResultState::Released),
            held: of_test()
                .filter(|row| row.state == ResultState::Held)
                .collect(),
            is_named: is_correction(observation),
        }
    }

    fn decide(&self, observation: &Observation, mut holds: Vec<Hold>) -> Decision {
        let is_same = |row: &Current| row.text == observation.text && row.unit == observation.unit;
        let mut decision = Decision::plain(ResultState::Released);
        if let Some(first) = self.released {
            if !self.is_named && !is_weak(&holds) {
                if is_same(first) && holds.is_empty() {
                    return Decision {
                        supersedes: Some(first.id),
                        ..Decision::plain(ResultState::Confirmed)
                    };
                }
                // The same value for another patient, or suspect, confirms nothing: a person looks.
                if !is_same(first) {
                    holds.push(Hold::new(HoldReason::SecondResult, ""));
                }
            }
            decision.version = first.version + 1;
            decision.supersedes = Some(first.id);
            decision.replaces.push(first.id);
        }
        for row in &self.held {
            let gives_way = self.is_named
                || row.is_weak
                || (row.is_incomplete && is_same(row) && !is_incomplete(&holds));
            if gives_way {
                decision.replaces.push(row.id);
            } else if !is_weak(&holds) && self.released.is_none() {
                push_once(&mut holds, HoldReason::SecondResult);
            }
        }
        if !holds.is_empty() {
            decision.state = ResultState::Held;
            decision.replaces.clear();
        }
        decision.holds = holds;
        decision
    }
}

/// A person releases it, whatever holds it: the version after the one that is released now. Siblings
/// that have no value of their own give way; others wait for their own decision.
pub(super) fn release(tube: &Tube, observation: &Observation, holds: &[Hold]) -> Decision {
    let test = observation.test.as_deref().unwrap_or_default();
    let versions = Versions::of(tube, test, observation);
    let mut decision = Decision {
        holds: holds.to_vec(),
        ..Decision::plain(ResultState::Released)
    };
    if let Some(first) = versions.released {
        decision.version = first.version + 1;
        decision.supersedes = Some(first.id);
        decision.replaces.push(first.id);
    }
    let is_same = |row: &Current| row.text == observation.text && row.unit == observation.unit;
    let gives_way = |row: &&&Current| {
        let is_weaker = row.is_weak && !is_weak(holds);
        is_weaker || (row.is_incomplete && is_same(row) && !is_incomplete(holds))
    };
    let weaker = versions.held.iter().filter(gives_way);
    decision.replaces.extend(weaker.map(|row| row.id));
    decision
}

/// A person's word on a result of a keyed order: its host knows no such order, so it is kept for the
/// ward, in the place of what was kept of the same test before.
pub(super) fn keep_for_ward(
    before: &[Current],
    observation: &Observation,
    holds: &[Hold],
) -> Decision {
    let same = before.iter().filter(|row| row.about == observation.about);
    let mut decision = Decision {
        holds: holds.to_vec(),
        ..Decision::plain(ResultState::Kept)
    };
    for row in same {
        decision.version = row.version + 1;
        decision.supersedes = Some(row.id);
        decision.replaces.push(row.id);
    }
    decision
}

/// Whether people keyed in the order of a result, and no host has ordered it since.
pub(super) fn is_keyed(holds: &[Hold]) -> bool {
    let mut reasons = holds.iter().map(|hold| hold.reason);
    reasons.any(|reason| reason == HoldReason::ProvisionalOrder)
}

fn push_once(holds: &mut Vec<Hold>, reason: HoldReason) {
    if holds.iter().all(|hold| hold.reason != reason) {
        holds.push(Hold::new(reason, ""));
    }
}
