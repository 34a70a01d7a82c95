//! A line of the ledger, and what does not add up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::ResultState;

macro_rules! ends {
    ($($variant:ident = $code:literal, $doc:literal;)*) => {
        /// Where a result ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum End {
            $(#[doc = $doc] #[serde(rename = $code)] $variant,)*
        }

        impl End {
            /// Every end.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As shown.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }
        }
    };
}

ends! {
    Delivered = "delivered", "The host acknowledged it.";
    Sending = "being sent", "A worker may have sent it.";
    Queued = "queued", "On its way to the host.";
    Refused = "refused by the host", "The host refused it for good; a person decides.";
    Discarded = "discarded", "A named person gave its message up.";
    Held = "held", "A person decides; the reasons are shown.";
    WaitingForOrder = "waiting for its order", "No order on its barcode yet.";
    Kept = "kept", "Nobody ordered it: kept and shown, not posted.";
    Repeat = "sent again", "The device sent what was stored already.";
    Confirmed = "confirmed", "Measured again with the value that was released.";
    Replaced = "replaced", "A later version took its place.";
    SetAside = "set aside", "A person set it aside.";
    Control = "control", "Quality control or calibration.";
    Lost = "unaccounted for", "Released, and on no way to any host.";
}

impl End {
    /// The end of a result that is not on the queue because of its state; `None` for a released one.
    pub(crate) const fn of_state(state: ResultState) -> Option<Self> {
        match state {
            ResultState::Released => None,
            ResultState::Waiting => Some(Self::WaitingForOrder),
            ResultState::Held => Some(Self::Held),
            ResultState::Kept => Some(Self::Kept),
            ResultState::Repeat => Some(Self::Repeat),
            ResultState::Confirmed => Some(Self::Confirmed),
            ResultState::Replaced => Some(Self::Replaced),
            ResultState::SetAside => Some(Self::SetAside),
            ResultState::Control => Some(Self::Control),
        }
    }
}

/// A journalled message and where it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub message: i64,
    /// The line it came from.
    pub line: String,
    /// When it came, UTC microseconds.
    pub received_at: i64,
    /// Its length.
    pub bytes: u64,
    /// False when it ended without its end.
    pub is_complete: bool,
    /// Where the message itself stands, as stored.
    pub state: String,
    /// What was done with a host's message and answered, in a line.
    pub heard: Option<String>,
    /// Its results, counted by where they ended.
    pub ends: BTreeMap<End, u64>,
    /// Why results are held, counted by reason.
    pub holds: BTreeMap<&'static str, u64>,
    /// Who gave up messages with its results.
    pub discarded_by: BTreeSet<String>,
    /// Questions of a device.
    pub queries: u64,
    /// News of a device and parts that could not be read.
    pub events: u64,
}

impl Entry {
    /// Where it ended, in a line.
    pub fn story(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.state != "parsed" {
            parts.push(match self.state.as_str() {
                "unparsed" => "not read yet".to_owned(),
                "held" => "held: it could not be read, a person looks at it".to_owned(),
                "retransmission" => "the same bytes came before".to_owned(),
                "set-aside" => "set aside by a person".to_owned(),
                other => format!("in the unknown state `{other}`"),
            });
        }
        parts.extend(self.heard.clone());
        for (end, count) in &self.ends {
            parts.push(format!(
                "{} {}{}",
                counted(*count, "result", "results"),
                end.code(),
                self.why(*end)
            ));
        }
        let mut count = |number: u64, one: &str, many: &str| {
            if number > 0 {
                parts.push(counted(number, one, many));
            }
        };
        count(self.queries, "query", "queries");
        count(self.events, "event", "events");
        if parts.is_empty() {
            parts.push("nothing in it that Labwire keeps".to_owned());
        }
        parts.join(", ")
    }

    fn why(&self, end: End) -> String {
        if end == End::Held && !self.holds.is_empty() {
            let reasons: Vec<&str> = self.holds.keys().copied().collect();
            return format!(" ({})", reasons.join(", "));
        }
        if end == End::Discarded {
            let names: Vec<&str> = self.discarded_by.iter().map(String::as_str).collect();
            return format!(" by {}", names.join(", "));
        }
        String::new()
    }
}

/// `1 result`, `2 results`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code.
    pub code: &'static str,
    /// `message 12`, `result 7`, `queue 3` or `line xn-1`.
    pub subject: String,
    /// What does not add up, without patient data.
    pub what: String,
}

impl Finding {
    pub(super) fn new(code: &'static str, subject: String, what: impl Into<String>) -> Self {
        Self {
            code,
            subject,
            what: what.into(),
        }
    }
}
