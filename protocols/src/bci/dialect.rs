//! What differs between devices and sites, as data.

use std::time::Duration;

use thiserror::Error;

pub use crate::astm::link::ChecksumRule;

/// Bytes of one message. An antibiogram of forty drugs has some 2,500.
pub const MESSAGE_BYTES_MAX: usize = 16_384;
/// Fields of one message: six for each of forty drugs, and as much again.
pub const FIELDS_MAX: usize = 1_024;
/// Messages waiting to be sent: a morning's worklist.
pub const OUTGOING_MAX: usize = 256;
/// Bytes read and not yet looked at: two of the longest messages.
pub const INBOX_BYTES_MAX: usize = 32_768;
/// Things to make durable that no reply depends on and that the store has not answered yet. When
/// they are this many, sessions are answered NAK.
pub const DETACHED_MAX: usize = 4;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;

/// Which side of the line we are; it decides who gives way when both ask for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host: gives way.
    Host,
    /// The device.
    Instrument,
}

/// How the text of a message that we write is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// One field each (mini VIDAS).
    PerField,
    /// As many characters each, wherever that is (VITEK).
    Width(usize),
}

/// Everything that a line may say about its wire. The default is a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which side we are.
    pub role: Role,
    /// What to do about a checksum that does not fit.
    pub checksum: ChecksumRule,
    /// Whether the line ends that may stand after records are part of the checksum.
    pub sums_line_ends: bool,
    /// How messages that we write are cut.
    pub records: Records,
    /// How often ENQ or a message is sent before it counts as refused.
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
            checksum: ChecksumRule::Strict,
            sums_line_ends: true,
            records: Records::PerField,
            sends_max: 3,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

impl Dialect {
    /// The device itself, for simulators.
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
        let width = match self.records {
            Records::PerField => 1,
            Records::Width(width) => width,
        };
        for (name, value) in [
            ("sends_max", usize::try_from(self.sends_max).unwrap_or(1)),
            ("records.width", width),
            ("limits.message", self.limits.message),
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
            Self::Zero { .. } => "BCI-0501",
        }
    }
}

/// The timers. None is known from a manual; they are those of LIS01-A2, whose dialogue is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Receiver, for the next byte inside a message: 1 s, a thousand times what a byte takes.
    pub inter_byte: Duration,
    /// Receiver, for the next message or EOT of a session: 30 s.
    pub receive: Duration,
    /// Sender, for the reply to ENQ: 15 s.
    pub establishment: Duration,
    /// Sender, between the reply to ENQ and its message: 20 ms.
    pub turnaround: Duration,
    /// Sender, for the reply to a message: 15 s.
    pub reply: Duration,
    /// Sender, before ENQ is sent again to a peer that was not ready: 10 s.
    pub busy: Duration,
    /// Sender, after a session of its own, so that the peer has a chance to speak: 1 s.
    pub pause: Duration,
    /// Host, after both asked for the line: 20 s.
    pub contention: Duration,
    /// Receiver, for the disk: 10 s, then NAK.
    pub commit: Duration,
    /// Before something no reply depends on is given to a store again that refused it: 10 s.
    pub retry: Duration,
    /// How long a message with the bytes of the last one counts as the same sent again: 60 s.
    pub repeat: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            inter_byte: Duration::from_secs(1),
            receive: Duration::from_secs(30),
            establishment: Duration::from_secs(15),
            turnaround: Duration::from_millis(20),
            reply: Duration::from_secs(15),
            busy: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            contention: Duration::from_secs(20),
            commit: Duration::from_secs(10),
            retry: Duration::from_secs(10),
            repeat: Duration::from_secs(60),
        }
    }
}

/// What one line may hold in memory. Past a limit a message is refused and noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message.
    pub message: usize,
    /// Messages waiting to be sent.
    pub outgoing: usize,
    /// Bytes read and not yet looked at.
    pub inbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: MESSAGE_BYTES_MAX,
            outgoing: OUTGOING_MAX,
            inbox: INBOX_BYTES_MAX,
        }
    }
}

pub(super) const STX: u8 = 0x02;
pub(super) const ETX: u8 = 0x03;
pub(super) const EOT: u8 = 0x04;
pub(super) const ENQ: u8 = 0x05;
pub(super) const ACK: u8 = 0x06;
pub(super) const LF: u8 = 0x0A;
pub(super) const CR: u8 = 0x0D;
pub(super) const NAK: u8 = 0x15;
/// Before the checksum.
pub(super) const GS: u8 = 0x1D;
/// Before a record.
pub(super) const RS: u8 = 0x1E;

/// What cuts text into records and means nothing in it.
pub(super) const fn is_cut(byte: u8) -> bool {
    matches!(byte, RS | CR | LF)
}
