//! What differs between devices and sites, as data.

use std::time::Duration;

use thiserror::Error;

/// Bytes of one message. Devices say 32,768 of themselves (`DSC.max_message_sz`) and less; this is
/// room for eight such.
pub const MESSAGE_BYTES_MAX: usize = 262_144;
/// Elements inside each other. An observation's note is the seventh.
pub const DEPTH_MAX: usize = 32;
/// Elements of one message: the shortest takes four bytes, a real one thirty.
pub const ELEMENTS_MAX: usize = 16_384;
/// Attributes of one element. The standard knows V, U, DN, SN, SV and a few.
pub const ATTRIBUTES_MAX: usize = 16;
/// Bytes of a name. The longest of the standard has some 30.
pub const NAME_BYTES_MAX: usize = 64;
/// Messages waiting to be sent: the operators of a ward, in parts.
pub const OUTGOING_MAX: usize = 256;
/// Bytes read and not yet looked at, while the store is behind.
pub const INBOX_BYTES_MAX: usize = 65_536;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;
/// Bytes of a control id that is echoed or remembered. Devices count.
pub const CONTROL_ID_BYTES_MAX: usize = 128;

/// Which side of the line we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The data manager (observation reviewer): asks and acknowledges.
    Host,
    /// The device, for simulators: says what its owner gives it.
    Device,
}

/// How the host takes what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One conversation: hello, status, what is new, end.
    Single,
    /// The conversation stays open and the device reports as it measures (`START_CONTINUOUS`). A
    /// device that refuses has a single conversation.
    Continuous,
}

/// What stands around a message that we send. Whatever a peer puts around its own is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// Nothing.
    Plain,
    /// LF after it.
    Line,
    /// VT before, FS CR after it, as in HL7's lower layer (HemoScreen).
    Mllp,
}

/// What the element is called that names the message acknowledged; both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckName {
    /// `ACK.ack_control_id` (StatStrip, and the standard's examples).
    AckControlId,
    /// `ACK.control_id` (HemoScreen, Sofia).
    ControlId,
}

impl AckName {
    /// The element's name.
    pub const fn element(self) -> &'static str {
        match self {
            Self::AckControlId => "ACK.ack_control_id",
            Self::ControlId => "ACK.control_id",
        }
    }
}

/// Everything that a line may say about its wire. The default is a host for single conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which side we are.
    pub role: Role,
    /// How the host takes what is new.
    pub mode: Mode,
    /// Whether the host asks for device events, too.
    pub asks_events: bool,
    /// What stands around messages that we send.
    pub wrap: Wrap,
    /// What an acknowledgement calls the message it is for.
    pub ack_name: AckName,
    /// How often one message is sent before it is given up; each time under the same control id.
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
            mode: Mode::Single,
            asks_events: true,
            wrap: Wrap::Plain,
            ack_name: AckName::AckControlId,
            sends_max: 2,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

impl Dialect {
    /// The device itself, for simulators.
    pub fn device() -> Self {
        Self {
            role: Role::Device,
            ..Self::default()
        }
    }

    /// Says what of it cannot work; a line is not opened with such a dialect.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), DialectError> {
        let sends = usize::try_from(self.sends_max).unwrap_or(1);
        for (name, value) in [
            ("sends_max", sends),
            ("limits.inbox", self.limits.inbox),
            ("limits.outgoing", self.limits.outgoing),
        ] {
            if value == 0 {
                return Err(DialectError::Zero { name });
            }
        }
        if self.limits.message < OWN_BYTES_MAX {
            return Err(DialectError::Limits);
        }
        Ok(())
    }
}

/// Bytes of the longest message that the link makes by itself: an acknowledgement with two control
/// ids and a time, everything in them escaped.
pub(super) const OWN_BYTES_MAX: usize = 2_048;

/// Why a dialect cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DialectError {
    /// A limit or count that must not be zero.
    #[error("`{name}` = 0: it is needed")]
    Zero {
        /// The key.
        name: &'static str,
    },
    /// An acknowledgement would be longer than a message.
    #[error("`limits.message`: an acknowledgement needs {OWN_BYTES_MAX} bytes")]
    Limits,
}

impl DialectError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Zero { .. } => "POC-0501",
            Self::Limits => "POC-0502",
        }
    }
}

/// The timers. Devices name their own patience in their hello (`DCP.application_timeout`, 30 to 120 s
/// seen); these are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Receiver, for the next byte inside a message: 10 s.
    pub inter_byte: Duration,
    /// Sender, for the acknowledgement of a message: 30 s.
    pub reply: Duration,
    /// Host, for the next message of a topic that it asked for: 60 s.
    pub topic: Duration,
    /// Host, for the owner's answer to a request of the device: 10 s.
    pub answer: Duration,
    /// How long a message with the bytes of the last one counts as the same sent again: 300 s.
    pub repeat: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            inter_byte: Duration::from_secs(10),
            reply: Duration::from_secs(30),
            topic: Duration::from_secs(60),
            answer: Duration::from_secs(10),
            repeat: Duration::from_secs(300),
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
