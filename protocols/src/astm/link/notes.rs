//! Every note the link can give. `CLAUSES.md` explains each code and says what to do.

use crate::wire::Note;

macro_rules! notes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Note = Note::new($code, $text);)*
        /// All of them, in the order of their codes.
        pub const ALL: &[Note] = &[$($name),*];
    };
}

notes! {
    /// At: byte offset of the frame's STX.
    CHECKSUM_REFUSED = "ASTM-0101", "frame refused: checksum differs";
    /// At: byte offset of the frame's STX.
    CHECKSUM_TOLERATED = "ASTM-0102", "frame taken although its checksum differs";
    /// At: byte offset of the frame's STX.
    NUMBER_REFUSED = "ASTM-0103", "frame refused: number neither expected nor last";
    /// At: byte offset of the frame's STX.
    REPEAT = "ASTM-0104", "repeat of the last frame acknowledged, not stored again";
    /// At: byte offset of the frame's STX.
    WRONG_REPEAT = "ASTM-0105", "frame refused: number of the last frame, other bytes";
    /// At: byte offset of the frame's STX.
    NUMBER_TOLERATED = "ASTM-0106", "frame taken although its number is out of order";
    /// At: byte offset of the frame's STX.
    CONTROL_REFUSED = "ASTM-0107", "frame refused: ENQ or EOT inside its text";
    /// At: byte offset of the frame's STX.
    CONTROL_TOLERATED = "ASTM-0108", "restricted character inside the text of a frame taken";
    /// At: byte offset of the frame's STX.
    FRAME_TOO_LONG = "ASTM-0109", "frame refused: longer than the limit";
    /// At: byte offset of the frame's STX.
    FRAME_CUT = "ASTM-0110", "frame broken off: its next byte did not come";
    /// At: byte offset of the new STX.
    FRAME_RESTARTED = "ASTM-0111", "frame begun again by a second STX";
    /// At: byte offset of the frame's STX.
    MESSAGE_TOO_LONG = "ASTM-0112", "frame refused: its message is longer than the limit";
    /// At: byte offset of the frame's STX.
    RECORD_TOO_LONG = "ASTM-0113", "frame refused: its record is longer than the limit";
    /// At: byte offset of the frame's STX.
    SESSION_TOO_LONG = "ASTM-0114", "frame refused: its session is longer than the limit";
    /// At: bytes of the message.
    INCOMPLETE_AT_EOT = "ASTM-0115", "message without its L record when the session ended";
    /// At: bytes of the message.
    INCOMPLETE_AT_TIMEOUT = "ASTM-0116", "message without its L record when the peer fell silent";
    /// At: bytes of the message.
    INCOMPLETE_AT_ENQ = "ASTM-0117", "message without its L record when the peer began again";
    /// At: bytes of the message.
    INCOMPLETE_AT_CLOSE = "ASTM-0118", "message without its L record when the line was lost";
    /// At: bytes of the message.
    INCOMPLETE_AT_HEADER = "ASTM-0119", "message without its L record when the next began";
    /// At: number of frames received in the session.
    RECEIVE_TIMEOUT = "ASTM-0120", "no frame and no EOT in time, session ended";
    /// ENQ came twice before the first frame.
    ENQ_AGAIN = "ASTM-0121", "ENQ again before the first frame, acknowledged again";
    /// At: number of frames received in the session.
    ENQ_RESTART = "ASTM-0122", "ENQ between frames, session begun again";
    /// At: number of frames received in the session.
    ENQ_IGNORED = "ASTM-0123", "ENQ between frames ignored";
    /// A session without a frame.
    KEEPALIVE = "ASTM-0124", "session without a frame";
    /// At: things the store has not answered yet.
    ENQ_BUSY = "ASTM-0125", "ENQ refused: the store is behind";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "ASTM-0126", "bytes outside a frame ignored";
    /// At: byte offset of the STX.
    FRAME_WITHOUT_ENQ_IGNORED = "ASTM-0127", "frame without ENQ ignored";
    /// At: byte offset of the STX.
    FRAME_WITHOUT_ENQ = "ASTM-0128", "session begun by a frame without ENQ";
    /// At: byte offset of the first byte.
    UNFRAMED = "ASTM-0129", "message without frames";
    /// At: index of the frame in its session.
    COMMIT_LATE = "ASTM-0130", "frame refused: the store did not answer in time";
    /// At: index of the frame in its session.
    COMMIT_FAILED = "ASTM-0131", "frame refused: the store failed";
    /// At: index of the frame in its session.
    COMMIT_REUSED = "ASTM-0132", "frame sent again belongs to the commit already asked for";
    /// At: index of the frame in its session.
    COMMIT_CONFLICT = "ASTM-0133", "frame sent again with other bytes while its commit is open";
    /// At: index of the frame in its session.
    REPLY_DROPPED = "ASTM-0134", "reply dropped: the peer did not wait for it";
    /// At: bytes of the message.
    DETACHED_FAILED = "ASTM-0135", "message not stored yet, tried again later";
    /// At: number of bytes.
    INBOX_OVERFLOW = "ASTM-0136", "more bytes than were asked for, the rest discarded";
    /// Counted per frame.
    CR_ADDED = "ASTM-0137", "record ended by ETX without CR, CR added";
    /// At: bytes of the message.
    LF_SEPARATED = "ASTM-0138", "records separated by LF, read as CR";
    /// At: bytes of the records.
    HEADER_MISSING = "ASTM-0139", "records without an H record before them";
    /// Both sides bid at once.
    CONTENTION = "ASTM-0140", "both sides sent ENQ";
    /// At: bids that failed in a row.
    ENQ_REFUSED = "ASTM-0141", "peer answered NAK to ENQ";
    /// At: bids that failed in a row.
    ENQ_UNANSWERED = "ASTM-0142", "peer did not answer ENQ";
    /// At: bids that failed in a row.
    ENQ_EXHAUSTED = "ASTM-0143", "message given up: peer never took the line";
    /// At: how often the frame was sent.
    FRAME_NAKED = "ASTM-0144", "peer answered NAK to a frame";
    /// At: how often the frame was sent.
    REPLY_UNKNOWN = "ASTM-0145", "peer answered a frame with something else, read as NAK";
    /// At: how often the frame was sent.
    SENDS_EXHAUSTED = "ASTM-0146", "message given up: peer refused one frame too often";
    /// At: bytes of the message acknowledged.
    REPLY_TIMEOUT = "ASTM-0147", "message given up: no reply to a frame in time";
    /// At: bytes of the message acknowledged.
    INTERRUPTED = "ASTM-0148", "peer asked for the line, message broken off";
    /// At: how often the frame was sent; 0 for ENQ.
    REPLY_STALE = "ASTM-0149", "reply too soon to belong to this frame, dropped";
    /// At: byte offset.
    REPLY_UNASKED = "ASTM-0150", "ACK, NAK or EOT while nothing was sent";
    /// At: messages waiting.
    QUEUE_FULL = "ASTM-0151", "message refused: too many are waiting to be sent";
    /// At: byte offset in the payload.
    UNSENDABLE = "ASTM-0152", "message refused: it breaks the protocol or a limit";
    /// At: messages that were waiting or under way.
    LINE_LOST = "ASTM-0153", "messages not sent: the line was lost";
    /// At: messages dropped.
    EXPIRED = "ASTM-0154", "message dropped: its time passed before the line was free";
    /// At: how often it was interrupted.
    INTERRUPTS_EXHAUSTED = "ASTM-0155", "message given up: peer interrupted it too often";
}

/// What people should see: frames and messages refused, limits passed, lines fought for in vain.
pub const ALARMS: &[Note] = &[
    CHECKSUM_REFUSED,
    NUMBER_REFUSED,
    WRONG_REPEAT,
    CONTROL_REFUSED,
    FRAME_TOO_LONG,
    FRAME_CUT,
    MESSAGE_TOO_LONG,
    RECORD_TOO_LONG,
    SESSION_TOO_LONG,
    ENQ_BUSY,
    COMMIT_LATE,
    COMMIT_FAILED,
    COMMIT_CONFLICT,
    DETACHED_FAILED,
    INBOX_OVERFLOW,
    ENQ_EXHAUSTED,
    SENDS_EXHAUSTED,
    REPLY_TIMEOUT,
    QUEUE_FULL,
    UNSENDABLE,
    EXPIRED,
    INTERRUPTS_EXHAUSTED,
];
