//! Alerts: what somebody should look at before it harms a patient, raised and cleared by themselves.
//!
//! [`Watch`] measures now and then ([`measure`]), and [`judge`] compares what was measured with the
//! limits of `[alerts]`: an alert is raised at its limit and cleared well below it, so that a value
//! that swings around the limit is one alert. One row is open for each cause and what it is about;
//! a person acknowledges it by name. What is raised and cleared is sent by e-mail and webhook
//! ([`deliver`]) where the site wants it, tried again until it arrives, beside the work of the bridge
//! and never in its way; an outage of either is an alert itself.
//!
//! What must not happen here: a patient's data in an alert, a mail or a log; an alert that vanishes
//! without a row; a bridge that waits for a mail server.

mod deliver;
mod habit;
mod judge;
mod measure;
mod rows;
mod watch;

#[cfg(test)]
mod tests;

pub use self::{
    deliver::{Channel, Channels, SendError},
    habit::Habits,
    judge::{Change, Reading, judge},
    rows::{Alert, Waiting, acknowledge, cleared, count, open, waiting},
    watch::{LOOK_EVERY, Parts, Watch, run},
};

use crate::text::{self, Language};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [measure::ALL, rows::ALL].concat()
}

macro_rules! causes {
    ($($variant:ident = $code:literal, $is_urgent:literal, $doc:literal;)*) => {
        /// Why somebody should look.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum Cause {
            $(#[doc = $doc] #[serde(rename = $code)] $variant,)*
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As stored and shown.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The inverse of [`Cause::code`].
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Whether somebody has to act now, and not only look.
            pub const fn is_urgent(self) -> bool {
                match self { $(Self::$variant => $is_urgent),* }
            }
        }
    };
}

causes! {
    Calls = "calls", true, "Critical values that nobody was told in time.";
    Quiet = "quiet", true, "A line has gone quiet for longer than its habit.";
    QueueDepth = "queue-depth", false, "Many messages wait for a destination.";
    QueueAge = "queue-age", true, "The oldest message for a destination waits for long.";
    Errors = "errors", false, "Much of what a line says is wrong.";
    Disk = "disk", true, "The disk of the store fills up.";
    QcDue = "qc-due", false, "A control is due on a line.";
    Turnaround = "turnaround", false, "Results are about to miss their time.";
    Certificate = "certificate", true, "A certificate ends soon, has ended, or cannot be used.";
    Backup = "backup", true, "The last backup is old.";
    Delivery = "delivery", false, "Alerts do not leave by a channel.";
}

/// What an alert says, in a sentence: never anything of a patient.
pub fn say(language: Language, cause: Cause, subject: &str, (level, edge): (i64, i64)) -> String {
    let (level, edge) = (level.to_string(), edge.to_string());
    let args = [
        ("subject", subject),
        ("level", level.as_str()),
        ("limit", edge.as_str()),
    ];
    text::text(
        language,
        &format!("console.alerts.say.{}", cause.code()),
        &args,
    )
}
