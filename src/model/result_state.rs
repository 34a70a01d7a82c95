//! Where a result version stands.

use serde::{Deserialize, Serialize};

macro_rules! result_states {
    ($($variant:ident = $code:literal, $doc:literal;)*) => {
        /// Where a result version stands. What became of a released one on its way to the host is
        /// the state of its queue rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ResultState {
            $(#[doc = $doc] #[serde(rename = $code)] $variant,)*
        }

        impl ResultState {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As stored and shown.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The inverse of [`ResultState::code`].
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

impl ResultState {
    /// Whether a person may still decide about it: it is on its way to nobody.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Held | Self::Kept => true,
            Self::Released
            | Self::Repeat
            | Self::Confirmed
            | Self::Replaced
            | Self::SetAside
            | Self::Control => false,
        }
    }
}

result_states! {
    Waiting = "waiting", "No order on its barcode yet; goes on by itself when one arrives.";
    Held = "held", "A person decides; the holds say why.";
    Released = "released", "Sent, or on its way, to the host that ordered it.";
    Kept = "kept", "Nobody ordered it: kept and shown, not posted.";
    Repeat = "repeat", "The device sent a result again that is stored already.";
    Confirmed = "confirmed", "A later measurement with the same value as the one released.";
    Replaced = "replaced", "A later version took its place.";
    SetAside = "set-aside", "A person set it aside, with a reason.";
    Control = "control", "Quality control or calibration; never near a patient.";
}
