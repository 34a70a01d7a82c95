//! Why an act was not carried out.

use thiserror::Error;

use crate::{
    model::{HoldReason, ResultState},
    text::{self, Language},
};

use super::Act;

/// Why an act was not carried out; nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Whoever only looks on decides nothing.
    #[error("your role sees this and decides nothing")]
    NotAllowed,
    /// Nobody acts without a name.
    #[error("say who you are")]
    NoName,
    /// Nobody acts without a reason.
    #[error("write why, in a few words")]
    NoReason,
    /// There is nothing of that number.
    #[error("there is nothing of that number")]
    NotFound,
    /// Somebody, or the rules, decided already.
    #[error("it is {} and waits for nobody", state.code())]
    NotOpen {
        /// Where the result stands.
        state: ResultState,
    },
    /// What holds it does not allow this act.
    #[error("it is held as {reason}, which {} does not end", act.code())]
    NotFor {
        /// What holds it.
        reason: HoldReason,
        /// What was asked.
        act: Act,
    },
    /// Nothing holds it that this act is for.
    #[error("nothing holds it that {} is for", act.code())]
    NotNeeded {
        /// What was asked.
        act: Act,
    },
    /// Nobody ordered the test.
    #[error("nobody ordered this test on this tube: a new order lets it go on")]
    NotOrdered,
    /// Only a verifier may.
    #[error("only a verifier may release this")]
    NeedsVerifier,
    /// The second look is another person's.
    #[error("you looked at it first: another verifier has to release it")]
    SamePerson,
    /// Only what is critical or STAT leaves at once.
    #[error("only a critical value or a STAT order leaves at once")]
    NotUrgent,
    /// No order in time on such a tube.
    #[error("there is no open order on this tube, or it is too old")]
    NoOrder,
    /// The device named another patient than the tube's.
    #[error("the device named another patient than the tube is of ({what} differs)")]
    OtherPatient {
        /// Which field, without its content.
        what: &'static str,
    },
    /// The result came before the tube was filled.
    #[error("the result came before this tube was taken")]
    BeforeCollection,
    /// The line is not in the site's files.
    #[error("there is no line of that name")]
    UnknownLine,
    /// The test is not in the catalogue.
    #[error("the catalogue has no test of that name")]
    UnknownTest,
    /// The code means something already.
    #[error("this code is mapped to {test} already: change it in lab.toml")]
    MappedAlready {
        /// To what.
        test: String,
    },
    /// No result ever came under this code, or in this unit.
    #[error("nothing waits under this code: check its spelling, capitals count")]
    NothingWaits,
    /// The unit is not the test's.
    #[error("{why}; values are never converted")]
    OtherUnit {
        /// Why, for a person.
        why: String,
    },
    /// Ten seconds are over.
    #[error("it is too late to undo this: act anew")]
    TooLate,
    /// Undone before.
    #[error("it is undone already")]
    UndoneAlready,
    /// Another person's act.
    #[error("somebody else did this: act anew")]
    NotYours,
    /// It is on its way.
    #[error("it has left already: it cannot be taken back")]
    HasLeft,
    /// The result was decided about since.
    #[error("something else happened to it since: act anew")]
    ChangedSince,
}

impl Refused {
    /// The stable code, and the end of its key in the texts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::NoName => "no-name",
            Self::NoReason => "no-reason",
            Self::NotFound => "not-found",
            Self::NotOpen { .. } => "not-open",
            Self::NotFor { .. } => "not-for",
            Self::NotNeeded { .. } => "not-needed",
            Self::NotOrdered => "not-ordered",
            Self::NeedsVerifier => "needs-verifier",
            Self::SamePerson => "same-person",
            Self::NotUrgent => "not-urgent",
            Self::NoOrder => "no-order",
            Self::OtherPatient { .. } => "other-patient",
            Self::BeforeCollection => "before-collection",
            Self::UnknownLine => "unknown-line",
            Self::UnknownTest => "unknown-test",
            Self::MappedAlready { .. } => "mapped-already",
            Self::NothingWaits => "nothing-waits",
            Self::OtherUnit { .. } => "other-unit",
            Self::TooLate => "too-late",
            Self::UndoneAlready => "undone-already",
            Self::NotYours => "not-yours",
            Self::HasLeft => "has-left",
            Self::ChangedSince => "changed-since",
        }
    }

    /// The words for a technician.
    pub fn told(&self, language: Language) -> String {
        let title = |reason: &HoldReason| text::hold(language, *reason).title;
        let key = format!("refused.{}", self.code());
        match self {
            Self::NotFor { reason, act } => {
                let act = text::act(language, *act);
                text::text(language, &key, &[("reason", &title(reason)), ("act", &act)])
            }
            Self::NotNeeded { act } => {
                text::text(language, &key, &[("act", &text::act(language, *act))])
            }
            Self::MappedAlready { test } => text::text(language, &key, &[("test", test)]),
            Self::OtherUnit { why } => text::text(language, &key, &[("why", why)]),
            Self::NotAllowed
            | Self::NoName
            | Self::NoReason
            | Self::NotFound
            | Self::NotOpen { .. }
            | Self::NotOrdered
            | Self::NeedsVerifier
            | Self::SamePerson
            | Self::NotUrgent
            | Self::NoOrder
            | Self::OtherPatient { .. }
            | Self::BeforeCollection
            | Self::UnknownLine
            | Self::UnknownTest
            | Self::NothingWaits
            | Self::TooLate
            | Self::UndoneAlready
            | Self::NotYours
            | Self::HasLeft
            | Self::ChangedSince => text::text(language, &key, &[]),
        }
    }
}
