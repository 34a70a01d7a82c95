//! What differs between instruments on the link, as data.

use std::time::Duration;

/// Text bytes of a frame by E1381-95; every receiver can take them.
pub const FRAME_TEXT_STANDARD: usize = 240;
/// Text bytes of a frame by LIS01-A2 6.3.1 (64,000 with the seven bytes around the text).
pub const FRAME_TEXT_LARGEST: usize = 63_993;
/// Text bytes we take in one frame: twice what LIS01-A2 allows, because some devices send their
/// histograms in one frame and count only the text.
pub const FRAME_TEXT_MAX: usize = 131_072;
/// Bytes of one record: a base64 picture of a scattergram is the largest seen, at some 50 kB.
pub const RECORD_BYTES_MAX: usize = 1_048_576;
/// Bytes of one message, H to L: a night's batch of a large analyzer stays below 1 MB.
pub const MESSAGE_BYTES_MAX: usize = 4_194_304;
/// Text bytes of one session, ENQ to EOT: sixty-four of the largest messages. A sender that never
/// ends its session would otherwise hold the line, and its journal rows, without end.
pub const SESSION_BYTES_MAX: u64 = 268_435_456;
/// Messages waiting to be sent: a rack of downloads is 50 to 100.
pub const OUTGOING_MAX: usize = 256;
/// Bytes waiting to be sent, over all messages: two of the largest.
pub const OUTGOING_BYTES_MAX: usize = 8_388_608;
/// Bytes read and not yet looked at, while a commit is awaited: one large frame.
pub const INBOX_BYTES_MAX: usize = 65_536;
/// Things to make durable that no reply depends on and that the store has not answered yet. When
/// they are this many, ENQ is answered NAK (LIS01-A2 6.2: the receiver is not ready).
pub const DETACHED_MAX: usize = 4;
/// Outputs kept before `poll` takes them; the rest of the bytes is looked at afterwards.
pub const OUTPUTS_MAX: usize = 1_024;

/// Everything that a line may say about its link. The default is a host by the standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Who gives way when both sides bid at once.
    pub role: Role,
    /// What to do about a checksum that does not fit.
    pub checksum: ChecksumRule,
    /// Which frame numbers are taken.
    pub frame_numbers: FrameNumberRule,
    /// What must be on disk before an ACK.
    pub durability: Durability,
    /// Sender: most text bytes in one frame, 1 to [`FRAME_TEXT_LARGEST`].
    pub frame_text_max: usize,
    /// Sender: every record starts a frame (the standard); otherwise the whole message is cut into
    /// frames without regard to its records.
    pub one_record_per_frame: bool,
    /// Receiver: records without ENQ and STX are taken too; a message ends on its L record, when
    /// nothing comes for [`Timers::unframed_idle`], or when the line closes. Nothing is answered.
    pub accepts_unframed: bool,
    /// Receiver: a frame opens a session when no ENQ came before it.
    pub accepts_frames_without_enq: bool,
    /// Receiver: ENQ between frames means that the peer starts again: what was begun ends
    /// incomplete, ACK is sent and frame 1 expected. Off: such an ENQ is ignored.
    pub serves_enq_in_transfer: bool,
    /// Sender: CR, LF, NUL and FF are not replies. By the standard they count as NAK.
    pub ignores_idle_bytes: bool,
    /// Sender: a reply that comes sooner than this after a frame or ENQ belongs to something older
    /// (an echo, a doubled ACK) and is dropped. Zero: every reply counts, but for noise that is
    /// read in the very instant of sending.
    pub stale_reply: Duration,
    /// Sender: how often one frame is sent before it counts as refused.
    pub sends_max: u32,
    /// Sender: how many bids in a row may fail.
    pub enq_attempts_max: u32,
    /// Sender: how often the receiver may interrupt one message.
    pub interrupts_max: u32,
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
            frame_numbers: FrameNumberRule::Strict,
            durability: Durability::Frame,
            frame_text_max: FRAME_TEXT_STANDARD,
            one_record_per_frame: true,
            accepts_unframed: false,
            accepts_frames_without_enq: false,
            serves_enq_in_transfer: true,
            ignores_idle_bytes: false,
            stale_reply: Duration::ZERO,
            sends_max: 6,
            enq_attempts_max: 6,
            interrupts_max: 6,
            timers: Timers::default(),
            limits: Limits::default(),
        }
    }
}

impl Dialect {
    /// An instrument by the standard: it wins a collision.
    pub fn instrument() -> Self {
        Self {
            role: Role::Instrument,
            ..Self::default()
        }
    }

    /// Text bytes of the frames we send, held within what LIS01-A2 allows.
    pub(super) fn sent_text_max(&self) -> usize {
        self.frame_text_max.clamp(1, FRAME_TEXT_LARGEST)
    }
}

/// Who gives way in a collision of two ENQ (LIS01-A2 6.2.7: the instrument has priority).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The computer system: waits 20 s for the instrument to bid.
    Host,
    /// The instrument: bids again after 1 s.
    Instrument,
}

/// What to do about a frame whose checksum differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumRule {
    /// Refuse it.
    Strict,
    /// Take it with a note.
    Warn,
    /// Do not compare; the two digits may even be missing.
    Off,
}

/// Which frame numbers are taken as new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameNumberRule {
    /// Only the number after the last one, beginning with 1.
    Strict,
    /// Also a number that stands still (with other bytes), and 0 or 1 at any time. A number that
    /// skips is refused all the same: a frame is missing.
    Lenient,
}

/// What must be on disk before an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every frame.
    Frame,
    /// The frame that ends a message, with the whole message; other frames are acknowledged at
    /// once. For slow disks and devices that send a whole message again.
    Message,
}

/// The timers of LIS01-A2 6.2 and 6.5.2, and our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Sender, after ENQ (6.2): 15 s.
    pub establishment: Duration,
    /// Sender, before the next ENQ after NAK (6.2): at least 10 s.
    pub busy: Duration,
    /// Instrument, after a collision (6.2.7): at least 1 s.
    pub contention_instrument: Duration,
    /// Host, after a collision (6.2.7): 20 s.
    pub contention_host: Duration,
    /// Sender, before the next ENQ after a timeout: 1 s.
    pub after_timeout: Duration,
    /// Sender, before the next ENQ after its own EOT. The standard knows none; ours is 20 ms, in
    /// which a doubled ACK of the last frame passes by instead of answering the next ENQ, and the
    /// peer can bid.
    pub between_sessions: Duration,
    /// Sender, for the reply to a frame (6.5.2): 15 s.
    pub reply: Duration,
    /// Receiver, for the next frame or EOT (6.5.2): 30 s.
    pub receive: Duration,
    /// Sender that honoured an interrupt (6.3.5): 15 s.
    pub interrupt: Duration,
    /// Receiver, for the next byte inside a frame. The standard knows none; ours is 5 s, then NAK. A
    /// whole frame may take as long as the next may (`receive`), and what 300 bit/s need for its bytes.
    pub inter_byte: Duration,
    /// Receiver, for the disk: 10 s, then NAK, before the sender's 15 s have passed.
    pub commit: Duration,
    /// Receiver of unframed records: silence that ends a message, 10 s.
    pub unframed_idle: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            establishment: Duration::from_secs(15),
            busy: Duration::from_secs(10),
            contention_instrument: Duration::from_secs(1),
            contention_host: Duration::from_secs(20),
            after_timeout: Duration::from_secs(1),
            between_sessions: Duration::from_millis(20),
            reply: Duration::from_secs(15),
            receive: Duration::from_secs(30),
            interrupt: Duration::from_secs(15),
            inter_byte: Duration::from_secs(5),
            commit: Duration::from_secs(10),
            unframed_idle: Duration::from_secs(10),
        }
    }
}

/// What one line may hold in memory. Past a limit a frame is refused and noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Text bytes of a received frame.
    pub frame_text: usize,
    /// Bytes of one record.
    pub record: usize,
    /// Bytes of one message.
    pub message: usize,
    /// Text bytes of one received session.
    pub session: u64,
    /// Messages waiting to be sent.
    pub outgoing: usize,
    /// Bytes waiting to be sent.
    pub outgoing_bytes: usize,
    /// Bytes read and not yet looked at.
    pub inbox: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_text: FRAME_TEXT_MAX,
            record: RECORD_BYTES_MAX,
            message: MESSAGE_BYTES_MAX,
            session: SESSION_BYTES_MAX,
            outgoing: OUTGOING_MAX,
            outgoing_bytes: OUTGOING_BYTES_MAX,
            inbox: INBOX_BYTES_MAX,
        }
    }
}
