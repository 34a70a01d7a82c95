//! What differs between lines, as data; what differs between models is the
//! [`Layout`](super::Layout).

use std::time::Duration;

use thiserror::Error;

/// Bytes of one text: an XN with all its scattergrams has some 50,000.
pub const TEXT_BYTES_MAX: usize = 131_072;
/// Lines of one text.
pub const LINES_MAX: usize = 256;
/// Texts waiting to be sent.
pub const OUTGOING_MAX: usize = 256;
/// Bytes read and not yet looked at.
pub const INBOX_BYTES_MAX: usize = 65_536;
/// Things to make durable that no reply depends on and that the store has not answered yet. When
/// they are this many, class B is answered NAK, and class A is no longer read.
pub const DETACHED_MAX: usize = 4;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;

/// Which side of the line we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host.
    Host,
    /// The analyzer: sends again what got no reply.
    Instrument,
}

/// Whether texts are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing is acknowledged; nothing can be sent again.
    A,
    /// Every text is answered ACK or NAK.
    B,
}

/// Everything that a line may say about its wire. The default is a host of class B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which side we are.
    pub role: Role,
    /// Whether texts are acknowledged.
    pub class: Class,
    /// How often one text is sent before it counts as refused.
    pub sends_max: u32,
    /// The timers.
    pub timers: Timers,
    /// The limits.
    pub limits: Limits,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            role: Role::Host,
            class: Class::B,
            sends_max: 3,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

impl Dialect {
    /// The analyzer itself, for simulators.
    pub fn instrument() -> Self {
        Self {
            role: Role::Instrument,
            ..Self::default()
        }
    }

    /// Says what of it cannot work; a line is not opened with such a dialect.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), DialectError> {
        for (name, value) in [
            ("sends_max", usize::try_from(self.sends_max).unwrap_or(1)),
            ("limits.text", self.limits.text),
            ("limits.outgoing", self.limits.outgoing),
            ("limits.inbox", self.limits.inbox),
        ] {
            if value == 0 {
                return Err(DialectError::Zero { name });
            }
        }
        Ok(())
    }
}

/// Why a dialect cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DialectError {
    /// A length or count that must not be zero.
    #[error("`{name}` = 0: it is needed")]
    Zero {
        /// The key.
        name: &'static str,
    },
}

impl DialectError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Zero { .. } => "SYX-0501",
        }
    }
}

/// The timers. None was read in a manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Receiver, for the next byte inside a text: 2 s.
    pub inter_byte: Duration,
    /// Sender, for ACK or NAK: 15 s; and as long after a text that got none, before the next one.
    pub reply: Duration,
    /// Receiver, for the disk: 10 s, then NAK.
    pub commit: Duration,
    /// Before something no reply depends on is given to a store again that refused it: 10 s.
    pub retry: Duration,
    /// How long a text with the bytes of the last one counts as the same sent again: 60 s.
    pub repeat: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            inter_byte: Duration::from_secs(2),
            reply: Duration::from_secs(15),
            commit: Duration::from_secs(10),
            retry: Duration::from_secs(10),
            repeat: Duration::from_secs(60),
        }
    }
}

/// What one line may hold in memory. Past a limit a text is refused and noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a text.
    pub text: usize,
    /// Texts waiting to be sent.
    pub outgoing: usize,
    /// Bytes read and not yet looked at.
    pub inbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text: TEXT_BYTES_MAX,
            outgoing: OUTGOING_MAX,
            inbox: INBOX_BYTES_MAX,
        }
    }
}

pub(super) const STX: u8 = 0x02;
pub(super) const ETX: u8 = 0x03;
pub(super) const ACK: u8 = 0x06;
pub(super) const LF: u8 = 0x0A;
pub(super) const CR: u8 = 0x0D;
pub(super) const NAK: u8 = 0x15;

/// What has no business in a text: anything but line ends below a space.
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != CR && byte != LF) || byte == 0x7F
}
