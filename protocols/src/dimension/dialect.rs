//! What differs between analyzers and sites, as data.

use std::time::Duration;

use thiserror::Error;

pub use crate::astm::link::ChecksumRule;

/// Bytes of one message. A result of thirty tests has some 900, a calibration some 600.
pub const MESSAGE_BYTES_MAX: usize = 16_384;
/// Fields of one message: four for each of a thousand tests.
pub const FIELDS_MAX: usize = 4_096;
/// Orders waiting for a poll: a morning's worklist.
pub const OUTGOING_MAX: usize = 256;
/// Bytes read and not yet looked at: two of the longest messages.
pub const INBOX_BYTES_MAX: usize = 32_768;
/// Things to make durable that no reply depends on and that the store has not answered yet. When
/// they are this many, what must be stored is answered NAK.
pub const DETACHED_MAX: usize = 4;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;

/// Which side of the line we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host: speaks only when it was polled or asked.
    Host,
    /// The analyzer.
    Instrument,
}

/// What a query is answered when the owner of the line did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// `N`: the analyzer takes the sample for one without an order.
    NoRequest,
    /// Nothing: the analyzer reports that its host is silent.
    Silence,
}

/// What fits into fields, and which values mean a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Longest patient name that is written. Logged names have 25 columns and fewer.
    pub patient_max: usize,
    /// Longest sample id that is written; a longer one is refused, never cut.
    pub sample_id_max: usize,
    /// Longest location that is written.
    pub location_max: usize,
    /// Most tests of one order.
    pub tests_max: usize,
    /// Longest test code.
    pub test_max: usize,
    /// What stands for the cup position of a sample that the analyzer places itself.
    pub cup_position: [u8; 2],
    /// Sample types from this number on are controls.
    pub control_type_min: usize,
    /// The priority of a control.
    pub control_priority: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            patient_max: 27,
            sample_id_max: 12,
            location_max: 6,
            tests_max: 64,
            test_max: 8,
            cup_position: *b"**",
            control_type_min: 5,
            control_priority: 3,
        }
    }
}

/// Everything that a line may say about its wire. The default is a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which side we are.
    pub role: Role,
    /// What to do about a checksum that does not fit.
    pub checksum: ChecksumRule,
    /// Whether ENQ, which probes the host, is answered ACK.
    pub answers_enq: bool,
    /// What a query is answered when nobody knew the answer in time.
    pub unanswered: Unanswered,
    /// How often one message is sent before it counts as refused.
    pub sends_max: u32,
    /// The timers.
    pub timers: Timers,
    /// The limits.
    pub limits: Limits,
    /// What fits into fields.
    pub layout: Layout,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            role: Role::Host,
            checksum: ChecksumRule::Strict,
            answers_enq: true,
            unanswered: Unanswered::NoRequest,
            sends_max: 3,
            timers: Timers::default(),
            limits: Limits::default(),
            layout: Layout::default(),
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
        let layout = &self.layout;
        for (name, value) in [
            ("sends_max", usize::try_from(self.sends_max).unwrap_or(1)),
            ("limits.message", self.limits.message),
            ("layout.sample_id_max", layout.sample_id_max),
            ("layout.tests_max", layout.tests_max),
            ("layout.test_max", layout.test_max),
        ] {
            if value == 0 {
                return Err(DialectError::Zero { name });
            }
        }
        // The fields of an order and the FS after each.
        let fixed = layout
            .patient_max
            .saturating_add(layout.sample_id_max)
            .saturating_add(layout.location_max)
            .saturating_add(40);
        let tests = layout
            .tests_max
            .saturating_mul(layout.test_max.saturating_add(1));
        let needed = fixed.saturating_add(tests);
        if needed > self.limits.message {
            return Err(DialectError::Limits { needed });
        }
        if layout.cup_position.iter().any(|byte| *byte < b' ') {
            return Err(DialectError::CupPosition);
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
    /// The longest order would be longer than a message.
    #[error("`limits.message`: the longest order has {needed} bytes")]
    Limits {
        /// How many.
        needed: usize,
    },
    /// A control character in the cup position.
    #[error("`layout.cup_position` holds a control character")]
    CupPosition,
}

impl DialectError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Zero { .. } => "DIM-0501",
            Self::Limits { .. } => "DIM-0502",
            Self::CupPosition => "DIM-0503",
        }
    }
}

/// The timers. None is known from the manual; they are set against the 15 s between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Host, after its ACK and before it says more: 20 ms, in which messages that were glued
    /// together in a stall pass by, so that only the last poll of several gets an order.
    pub turnaround: Duration,
    /// Receiver, for the next byte inside a message: 1 s, a thousand times what a byte takes.
    pub inter_byte: Duration,
    /// Sender, for ACK or NAK: 5 s.
    pub reply: Duration,
    /// Host, for the owner's answer to a query: 5 s. Instrument, for N or D: the same.
    pub answer: Duration,
    /// Sender of an order or a result, for its acceptance: 10 s.
    pub acceptance: Duration,
    /// Receiver, for the disk: 5 s, then NAK.
    pub commit: Duration,
    /// Before something no reply depends on is given to a store again that refused it: 10 s.
    pub retry: Duration,
    /// How long a report with the bytes of the last one counts as the same sent again: 60 s.
    pub repeat: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            turnaround: Duration::from_millis(20),
            inter_byte: Duration::from_secs(1),
            reply: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            acceptance: Duration::from_secs(10),
            commit: Duration::from_secs(5),
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
