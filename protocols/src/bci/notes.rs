//! Every note the link and the reader can give. `CLAUSES-vendor.md` explains each code and says
//! what to do.

use crate::wire::Note;

macro_rules! notes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Note = Note::new($code, $text);)*
        /// All of them, in the order of their codes.
        pub const ALL: &[Note] = &[$($name),*];
    };
}

notes! {
    /// At: byte offset of the message's STX.
    CHECKSUM_REFUSED = "BCI-0101", "message refused: checksum differs";
    /// At: byte offset of the message's STX.
    CHECKSUM_TOLERATED = "BCI-0102", "message taken although its checksum differs";
    /// At: byte offset of the message's STX.
    FORM_REFUSED = "BCI-0103", "message refused: no GS before its checksum";
    /// At: byte offset of the message's STX.
    CONTROL_TOLERATED = "BCI-0104", "control character in a message taken";
    /// At: byte offset of the message's STX.
    TOO_LONG = "BCI-0105", "message refused: longer than the limit";
    /// At: byte offset of the message's STX.
    CUT = "BCI-0106", "message broken off: its next byte did not come";
    /// At: byte offset of the new STX.
    RESTARTED = "BCI-0107", "message begun again by a second STX";
    /// At: byte offset of the message's STX.
    REPEAT = "BCI-0108", "repeat of the last message acknowledged, not stored again";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "BCI-0109", "bytes outside a message ignored";
    /// At: byte offset of the message's STX.
    NO_ENQ = "BCI-0110", "message without a session, taken all the same";
    /// At: byte offset of the reply.
    REPLY_UNASKED = "BCI-0111", "ACK or NAK while nothing was sent";
    /// At: number of the message since the start.
    COMMIT_LATE = "BCI-0112", "message refused: the store did not answer in time";
    /// At: number of the message since the start.
    COMMIT_FAILED = "BCI-0113", "message refused: the store failed";
    /// At: number of the message since the start.
    COMMIT_REUSED = "BCI-0114", "message sent again belongs to the commit already asked for";
    /// At: byte offset of what came instead.
    REPLY_DROPPED = "BCI-0115", "reply dropped: the peer did not wait for it";
    /// At: byte offset of the ENQ or STX.
    STORE_BEHIND = "BCI-0116", "session or message refused: the store is behind";
    /// At: bytes of the message.
    DETACHED_FAILED = "BCI-0117", "message not stored yet, tried again later";
    /// At: bytes discarded.
    INBOX_OVERFLOW = "BCI-0118", "more bytes than were asked for, the rest discarded";
    /// A session that brought nothing more and was not ended.
    SESSION_SILENT = "BCI-0119", "session not ended by the peer";
    /// At: how often it was asked.
    ENQ_REFUSED = "BCI-0130", "peer is not ready for a session";
    /// At: how often it was asked.
    ENQ_TIMEOUT = "BCI-0131", "no reply to ENQ in time";
    /// At: byte offset of the peer's ENQ.
    CONTENTION = "BCI-0132", "both sides asked for the line: the host gives way";
    /// At: how often it was sent.
    MESSAGE_NAKED = "BCI-0133", "peer answered NAK to a message";
    /// At: how often it was sent.
    REPLY_TIMEOUT = "BCI-0134", "no reply to a message in time";
    /// At: how often it was tried.
    SENDS_EXHAUSTED = "BCI-0135", "message given up: refused too often";
    /// At: byte offset of what came instead.
    INTERRUPTED = "BCI-0136", "message given up: the peer spoke in place of its reply";
    /// At: messages waiting.
    QUEUE_FULL = "BCI-0137", "message refused: too many are waiting to be sent";
    /// At: the offset where the payload is wrong, 0 if as a whole.
    UNSENDABLE = "BCI-0138", "message refused: it breaks the protocol or a limit";
    /// At: messages lost.
    LINE_LOST = "BCI-0139", "messages not sent: the line was lost";
    /// At: messages dropped.
    EXPIRED = "BCI-0140", "message dropped: its time passed before it could be sent";
    /// At: offset of the field.
    UNKNOWN_KIND = "BCI-0201", "message of an unknown kind, kept unread";
    /// At: offset of the test.
    NO_TEST = "BCI-0202", "result fields before any test, kept unread";
}

/// What people should see: messages refused, a store that fails, orders that did not reach the device.
pub(crate) const ALARMS: &[Note] = &[
    CHECKSUM_REFUSED,
    FORM_REFUSED,
    TOO_LONG,
    CUT,
    COMMIT_LATE,
    COMMIT_FAILED,
    STORE_BEHIND,
    DETACHED_FAILED,
    INBOX_OVERFLOW,
    SENDS_EXHAUSTED,
    QUEUE_FULL,
    UNSENDABLE,
    EXPIRED,
];
