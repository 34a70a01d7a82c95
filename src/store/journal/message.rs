//! A journalled message, and where it stands.

use bytes::Bytes;

/// Where a journalled message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// The parser has still to see it, at the latest at the next start.
    Unparsed,
    /// Its results are stored.
    Parsed,
    /// A person has to look at it.
    Held,
    /// The same bytes came before.
    Retransmission,
    /// A person set it aside.
    SetAside,
}

impl MessageState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Unparsed,
        Self::Parsed,
        Self::Held,
        Self::Retransmission,
        Self::SetAside,
    ];

    /// The name stored and shown.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unparsed => "unparsed",
            Self::Parsed => "parsed",
            Self::Held => "held",
            Self::Retransmission => "retransmission",
            Self::SetAside => "set-aside",
        }
    }

    /// The inverse of [`MessageState::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.code() == code)
    }
}

/// A message of the journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, for ever.
    pub id: i64,
    /// The line it came from.
    pub line: String,
    /// The connection it came in.
    pub connection: u64,
    /// The session or block of that connection.
    pub session: u64,
    /// When it was received, UTC microseconds.
    pub received_at: i64,
    /// False when it ended without its end.
    pub is_complete: bool,
    /// As received.
    pub raw: Bytes,
    /// Where it stands.
    pub state: MessageState,
    /// How often the parser began with it.
    pub attempts: u64,
}

/// Shows everything but the bytes, which are patient data.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("line", &self.line)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}
