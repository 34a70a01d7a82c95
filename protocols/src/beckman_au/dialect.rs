//! What differs between instruments and sites, as data.

use std::time::Duration;

use thiserror::Error;

use super::{
    code::Kind,
    layout::{FIELD_COLUMNS_MAX, Layout, MARKS_MAX},
};
pub use crate::astm::link::Durability;

/// Bytes of one received block. The longest that an analyzer can be set to send is 2,048.
pub const BLOCK_BYTES_MAX: usize = 8_192;
/// Bytes of one received text: eleven blocks (`0` to `9` and `E`) of 2,048, and room to spare.
pub const TEXT_BYTES_MAX: usize = 65_536;
/// Blocks of one text that is written: `0` to `9`, then `E`.
pub const BLOCKS_MAX: usize = 11;
/// Messages waiting to be sent: as a host one answer, as a simulator a rack of results.
pub const OUTGOING_MAX: usize = 256;
/// Bytes read and not yet looked at: two of the largest blocks.
pub const INBOX_BYTES_MAX: usize = 16_384;
/// Things to make durable that no reply depends on and that the store has not answered yet. When
/// they are this many, blocks are answered NAK (class B), or the port is not read (class A).
pub const DETACHED_MAX: usize = 4;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;

/// Which side of the line we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host: speaks only when it was asked for an order.
    Host,
    /// The analyzer.
    Instrument,
}

/// Whether blocks are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing is: what is damaged or cannot be stored cannot be sent again.
    A,
    /// ACK or NAK for every block.
    B,
}

/// The block check character, one byte after the end code: the exclusive or of all bytes from the
/// code to the end code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bcc {
    /// There is none.
    Off,
    /// A block that it does not fit is refused.
    Strict,
    /// A block that it does not fit is taken with a note.
    Warn,
}

/// The analyzers, as far as their defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// AU480: field set B, no block check.
    Au480,
    /// AU680.
    Au680,
    /// AU5800.
    Au5800,
    /// DxC 700 AU.
    Dxc700Au,
    /// AU2700.
    Au2700,
    /// AU5400.
    Au5400,
}

/// Everything that a line may say about its wire. [`Dialect::host`] has a model's defaults, which
/// are where to begin: every width and switch is set in the analyzer's own menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which side we are.
    pub role: Role,
    /// Whether blocks are acknowledged.
    pub class: Class,
    /// The start code, STX unless the site chose another.
    pub start: u8,
    /// What ends a block that another follows; the same as `text_end` where ETB is off, and then
    /// the block id alone says whether another follows.
    pub block_end: u8,
    /// What ends the last block.
    pub text_end: u8,
    /// The block check character.
    pub bcc: Bcc,
    /// Whether the start code is part of the block check.
    pub bcc_covers_start: bool,
    /// Class B: what must be on disk before an ACK.
    pub durability: Durability,
    /// Whether ENQ is answered ACK and EOT passed over; converters and middleware add them.
    pub answers_enq: bool,
    /// Class B, sender: how often one block is sent before it counts as refused.
    pub sends_max: u32,
    /// The timers.
    pub timers: Timers,
    /// The limits.
    pub limits: Limits,
    /// The columns.
    pub layout: Layout,
}

impl Dialect {
    /// A host by the defaults of `model`.
    pub fn host(model: Model) -> Self {
        let (layout, bcc) = match model {
            Model::Au480 => (Layout::SET_B, Bcc::Off),
            Model::Au680 | Model::Au5800 | Model::Dxc700Au | Model::Au2700 | Model::Au5400 => {
                (Layout::SET_A, Bcc::Strict)
            }
        };
        Self {
            role: Role::Host,
            class: Class::B,
            start: STX,
            block_end: ETB,
            text_end: ETX,
            bcc,
            bcc_covers_start: false,
            durability: Durability::Frame,
            answers_enq: false,
            sends_max: 3,
            timers: Timers::default(),
            limits: Limits::default(),
            layout,
        }
    }

    /// The analyzer `model` itself, for simulators: it sends a block twice at most (AU2700/5400
    /// online specification 4.1).
    pub fn instrument(model: Model) -> Self {
        Self {
            role: Role::Instrument,
            sends_max: 2,
            ..Self::host(model)
        }
    }

    /// Whether `byte` ends a block.
    pub(super) const fn is_end(&self, byte: u8) -> bool {
        byte == self.block_end || byte == self.text_end
    }

    /// Says what of it cannot work; a line is not opened with such a dialect.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), DialectError> {
        for (name, code) in [
            ("start", self.start),
            ("block_end", self.block_end),
            ("text_end", self.text_end),
        ] {
            let is_taken = matches!(code, EOT | ENQ | ACK | NAK | CR | LF);
            if !(0x01..=0x1F).contains(&code) || is_taken {
                return Err(DialectError::ControlCode { name, code });
            }
        }
        if self.is_end(self.start) {
            return Err(DialectError::SameCodes);
        }
        check_layout(&self.layout)?;
        if self.sends_max == 0 {
            return Err(DialectError::Zero { name: "sends_max" });
        }
        if self.limits.block < self.layout.block_text_max.saturating_add(1) {
            return Err(DialectError::Limits);
        }
        Ok(())
    }
}

fn check_layout(layout: &Layout) -> Result<(), DialectError> {
    for (name, columns) in layout.widths() {
        if columns > FIELD_COLUMNS_MAX {
            return Err(DialectError::TooWide { name, columns });
        }
    }
    let marks = layout.group.marks.max(layout.control.group.marks);
    if marks > MARKS_MAX {
        let name = "group.marks";
        return Err(DialectError::TooWide {
            name,
            columns: marks,
        });
    }
    for (name, columns) in [
        ("sample_id", layout.sample_id),
        ("order.test_no", layout.order.test_no),
        ("group.test_no", layout.group.test_no),
        ("group.value", layout.group.value),
        ("control.group.test_no", layout.control.group.test_no),
        ("control.group.value", layout.control.group.value),
        ("control.control_no", layout.control.control_no),
    ] {
        if columns == 0 {
            return Err(DialectError::Zero { name });
        }
    }
    let order = layout.order.test_no.saturating_add(layout.order.dilution);
    let needed = [
        (Kind::Result, layout.group.columns()),
        (Kind::Control, layout.control.group.columns()),
        (Kind::Order, order),
    ]
    .into_iter()
    .filter_map(|(kind, group)| Some(layout.groups_at(kind)?.saturating_add(group)))
    .fold(0, usize::max);
    if layout.block_text_max < needed {
        return Err(DialectError::BlockTooShort { needed });
    }
    Ok(())
}

/// Why a dialect cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DialectError {
    /// A code outside 01h to 1Fh, or one that means something already.
    #[error(
        "`{name}` = {code:02X}h: take a code from 01h to 1Fh that is not EOT, ENQ, ACK, NAK, CR or LF"
    )]
    ControlCode {
        /// The key.
        name: &'static str,
        /// What it says.
        code: u8,
    },
    /// A start code that also ends.
    #[error("`start` is also `block_end` or `text_end`")]
    SameCodes,
    /// A field wider than any can be.
    #[error("`{name}` = {columns}: more than any field has")]
    TooWide {
        /// The key.
        name: &'static str,
        /// What it says.
        columns: usize,
    },
    /// A field that a text cannot do without, or a count that must not be zero.
    #[error("`{name}` = 0: it is needed")]
    Zero {
        /// The key.
        name: &'static str,
    },
    /// Not even one result fits into a block.
    #[error("`block_text_max`: at least {needed} columns are needed for a header and one result")]
    BlockTooShort {
        /// How many.
        needed: usize,
    },
    /// We would write blocks that we do not read.
    #[error("`limits.block` is less than `block_text_max`")]
    Limits,
}

impl DialectError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ControlCode { .. } => "BAU-0501",
            Self::SameCodes => "BAU-0502",
            Self::TooWide { .. } => "BAU-0503",
            Self::Zero { .. } => "BAU-0504",
            Self::BlockTooShort { .. } => "BAU-0505",
            Self::Limits => "BAU-0506",
        }
    }
}

/// The timers of class B and A, named after those of the AU2700/5400 online specification 4.2,
/// where they are 2 s and can be set from 0.1 to 9.9 s. Those of the other models are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Rest between what we receive and what we send, both ways of speaking: the analyzer is not
    /// ready sooner than 0.5 s after its own text (t1 to t3).
    pub turnaround: Duration,
    /// How long an order may take after its request (T1: 2 s, then the analyzer goes on without).
    pub answer: Duration,
    /// Receiver, for the next byte inside a block: 1 s, a thousand times what a byte takes.
    pub inter_byte: Duration,
    /// Receiver, for the next block of a text: 15 s, in which the analyzer has used its tries
    /// (two times T4, T5 and T7).
    pub between_blocks: Duration,
    /// Sender, for ACK or NAK (T4: 2 s).
    pub reply: Duration,
    /// Receiver, for the disk: 1.5 s, then NAK, before the analyzer's T4 has passed.
    pub commit: Duration,
    /// Before something no reply depends on is given to a store again that refused it.
    pub retry: Duration,
    /// How long a block with the bytes of the last one counts as the same sent again: 10 s.
    pub repeat: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            turnaround: Duration::from_millis(500),
            answer: Duration::from_secs(2),
            inter_byte: Duration::from_secs(1),
            between_blocks: Duration::from_secs(15),
            reply: Duration::from_secs(2),
            commit: Duration::from_millis(1_500),
            retry: Duration::from_secs(10),
            repeat: Duration::from_secs(10),
        }
    }
}

/// What one line may hold in memory. Past a limit a block is refused and noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a block, end code included.
    pub block: usize,
    /// Bytes of a text, all its blocks.
    pub text: usize,
    /// Messages waiting to be sent.
    pub outgoing: usize,
    /// Bytes read and not yet looked at.
    pub inbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block: BLOCK_BYTES_MAX,
            text: TEXT_BYTES_MAX,
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
pub(super) const ETB: u8 = 0x17;
