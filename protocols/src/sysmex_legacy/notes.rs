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
    /// At: byte offset of the text's STX.
    CONTROL_TOLERATED = "SYX-0101", "control character in a text taken";
    /// At: byte offset of the text's STX.
    TOO_LONG = "SYX-0102", "text longer than the limit";
    /// At: byte offset of the text's STX.
    CUT = "SYX-0103", "text broken off: its next byte did not come";
    /// At: byte offset of the text's STX.
    RESTARTED = "SYX-0104", "text broken off by a second STX";
    /// At: byte offset of the text's STX.
    DAMAGED_KEPT = "SYX-0105", "damaged text kept: class A cannot have it sent again";
    /// At: byte offset of the text's STX.
    REPEAT = "SYX-0106", "repeat of the last text acknowledged, not stored again";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "SYX-0107", "bytes outside a text ignored";
    /// At: byte offset of the reply.
    REPLY_UNASKED = "SYX-0108", "ACK or NAK while nothing was sent";
    /// At: number of the text since the start.
    COMMIT_LATE = "SYX-0109", "text refused: the store did not answer in time";
    /// At: number of the text since the start.
    COMMIT_FAILED = "SYX-0110", "text refused: the store failed";
    /// At: number of the text since the start.
    COMMIT_REUSED = "SYX-0111", "text sent again belongs to the commit already asked for";
    /// At: byte offset of the new STX.
    REPLY_DROPPED = "SYX-0112", "reply dropped: the peer did not wait for it";
    /// At: byte offset of the text's STX.
    STORE_BEHIND = "SYX-0113", "text refused: the store is behind";
    /// At: bytes of the text.
    DETACHED_FAILED = "SYX-0114", "text not stored yet, tried again later";
    /// At: bytes discarded.
    INBOX_OVERFLOW = "SYX-0115", "more bytes than were asked for, the rest discarded";
    /// At: how often it was sent.
    TEXT_NAKED = "SYX-0130", "peer answered NAK to a text";
    /// At: how often it was sent.
    REPLY_TIMEOUT = "SYX-0131", "no reply to a text in time";
    /// At: how often it was sent.
    SENDS_EXHAUSTED = "SYX-0132", "text given up: refused too often";
    /// At: byte offset of the peer's STX.
    INTERRUPTED = "SYX-0133", "text given up: the peer began one in place of its reply";
    /// At: texts waiting.
    QUEUE_FULL = "SYX-0134", "text refused: too many are waiting to be sent";
    /// At: the offset where the payload is wrong, 0 if as a whole.
    UNSENDABLE = "SYX-0135", "text refused: it breaks the protocol or a limit";
    /// At: texts lost.
    LINE_LOST = "SYX-0136", "texts not sent: the line was lost";
    /// At: texts dropped.
    EXPIRED = "SYX-0137", "text dropped: its time passed before it could be sent";
    /// At: offset of the line.
    UNKNOWN_LINE = "SYX-0201", "line of a kind that the layout does not know, kept unread";
}

/// What people should see: texts damaged or refused, a store that fails, texts that did not reach the
/// analyzer.
pub(crate) const ALARMS: &[Note] = &[
    TOO_LONG,
    CUT,
    DAMAGED_KEPT,
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
