//! Critical values: who has to be told, who was, and what became of every try.
//!
//! A call is opened in the transaction that settles a result beyond a critical limit, whether the
//! result is released, held, or waits for its order: a life does not wait for a barcode. It is closed
//! when somebody was told *and* has read the value back (CLSI GP47, ISO 15189:2022 7.4.1.3). A call
//! belongs to a result version: what a device sends again opens nothing; the same value as a new
//! version takes the call over; another value that is critical too closes it and opens its own; one
//! that is critical no longer ends it, and is a call of its own where the ward was told the earlier
//! one. Controls are never called.
//!
//! What must not happen here: a critical value that nobody is asked to call, a call that is closed
//! without a read-back by a person, a row that disappears.

mod act;
mod note;
mod rows;

#[cfg(test)]
mod tests;

pub use self::{
    act::{Attempt, Refused, attempt},
    note::{Judged, note, replaced, taken_back},
    rows::{Call, Counts, Made, closed, counts, find, of_barcode, open},
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [act::ALL, note::ALL, rows::ALL].concat()
}

/// A value beyond a critical limit of its patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Critical {
    /// `low` or `high`.
    pub side: &'static str,
    /// The limit as people write it (`< 2.5`), or the device's own flag (`LL`, `HH`).
    pub beyond: String,
}

macro_rules! codes {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $code:literal, $doc:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[doc = $doc] #[serde(rename = $code)] $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As stored and shown.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The inverse of `code`.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// What has to be told.
    Kind {
        Critical = "critical", "A critical value.";
        Corrected = "corrected", "What was told as critical is so no longer, or stands no longer.";
    }
}

codes! {
    /// Where a call stands.
    State {
        Open = "open", "Nobody has read it back yet.";
        Told = "told", "Told and read back.";
        Replaced = "replaced", "A later version has a call of its own.";
        Ended = "ended", "The reason went away before anybody was told.";
    }
}

codes! {
    /// What came of a try.
    Outcome {
        NoAnswer = "no-answer", "Nobody answered.";
        Busy = "busy", "The line was busy.";
        Told = "told", "Somebody was told.";
    }
}
