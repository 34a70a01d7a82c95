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
    /// At: byte offset of the block's start code.
    BCC_REFUSED = "BAU-0101", "block refused: block check differs";
    /// At: byte offset of the block's start code.
    BCC_TOLERATED = "BAU-0102", "block taken although its block check differs";
    /// At: byte offset of the block's start code.
    CONTROL_REFUSED = "BAU-0103", "block refused: control character in it and no block check";
    /// At: byte offset of the block's start code.
    CONTROL_TOLERATED = "BAU-0104", "control character in a block taken, its block check fits";
    /// At: byte offset of the block's start code.
    BLOCK_TOO_LONG = "BAU-0105", "block refused: longer than the limit";
    /// At: byte offset of the block's start code.
    BLOCK_CUT = "BAU-0106", "block broken off: its next byte did not come";
    /// At: byte offset of the new start code.
    BLOCK_RESTARTED = "BAU-0107", "block begun again by a second start code";
    /// At: byte offset of the block's start code.
    TEXT_TOO_LONG = "BAU-0108", "block refused: its text is longer than the limit";
    /// At: byte offset of the block's start code.
    DAMAGED_KEPT = "BAU-0109", "damaged block kept: class A cannot have it sent again";
    /// At: bytes of the text.
    BLOCK_MISSING = "BAU-0110", "text incomplete: a block of it is missing";
    /// At: bytes of the text.
    TEXT_BROKEN_OFF = "BAU-0111", "text incomplete: another began before its last block";
    /// At: bytes of the text.
    TEXT_SILENT = "BAU-0112", "text incomplete: its next block did not come";
    /// At: bytes of the text.
    TEXT_LINE_LOST = "BAU-0113", "text incomplete: the line was lost";
    /// At: byte offset of the block's start code.
    REPEAT = "BAU-0114", "repeat of the last block acknowledged, not stored again";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "BAU-0115", "bytes outside a block ignored";
    /// At: byte offset of the ENQ or EOT.
    ENQ_IGNORED = "BAU-0116", "ENQ or EOT ignored";
    /// At: index of the block in its text.
    COMMIT_LATE = "BAU-0117", "block refused: the store did not answer in time";
    /// At: index of the block in its text.
    COMMIT_FAILED = "BAU-0118", "block refused: the store failed";
    /// At: index of the block in its text.
    COMMIT_REUSED = "BAU-0119", "block sent again belongs to the commit already asked for";
    /// At: byte offset of the new start code.
    REPLY_DROPPED = "BAU-0120", "reply dropped: the peer did not wait for it";
    /// At: byte offset of the block's start code.
    STORE_BEHIND = "BAU-0121", "block refused: the store is behind";
    /// At: bytes of the text.
    DETACHED_FAILED = "BAU-0122", "text not stored yet, tried again later";
    /// At: bytes discarded.
    INBOX_OVERFLOW = "BAU-0123", "more bytes than were asked for, the rest discarded";
    /// At: byte offset of the reply.
    REPLY_UNASKED = "BAU-0124", "ACK or NAK while nothing was sent";
    /// At: how often it was sent.
    BLOCK_NAKED = "BAU-0130", "peer answered NAK to a block";
    /// At: how often it was sent.
    REPLY_TIMEOUT = "BAU-0131", "no reply to a block in time";
    /// At: how often the block was sent.
    SENDS_EXHAUSTED = "BAU-0132", "message given up: one block was refused too often";
    /// At: how often the block was sent.
    SENDS_UNANSWERED = "BAU-0133", "message given up: no reply to a block in time";
    /// At: byte offset of the peer's start code.
    INTERRUPTED = "BAU-0134", "message given up: the peer began a text in place of its reply";
    /// At: messages waiting.
    QUEUE_FULL = "BAU-0135", "message refused: too many are waiting to be sent";
    /// At: the offset where the payload is wrong, 0 if as a whole.
    UNSENDABLE = "BAU-0136", "message refused: it breaks the protocol or a limit";
    /// An order that no request waits for.
    NOT_ASKED = "BAU-0137", "order refused: the analyzer asked for none";
    /// An order for another rack, cup, number or id than the request named.
    OTHER_SAMPLE = "BAU-0138", "order refused: not for the sample that was asked for";
    /// At: messages lost.
    LINE_LOST = "BAU-0139", "messages not sent: the line was lost";
    /// At: messages dropped.
    EXPIRED = "BAU-0140", "message dropped: its time passed before it could be sent";
    /// At: messages dropped.
    ANSWER_OUTDATED = "BAU-0141", "order dropped: the analyzer has gone on";
    /// At: offset of the block in the message.
    GROUP_SHORT = "BAU-0201", "flags of the last result are cut off";
    /// At: offset of the block in the message.
    NOT_WHOLE = "BAU-0202", "text without its last block, or with one missing";
    /// At: offset of the block in the message.
    END_CODE_ODD = "BAU-0203", "end code and block id contradict each other";
}

/// What people should see: blocks refused or damaged, texts that lack a block, orders that did not
/// reach the analyzer.
pub(crate) const ALARMS: &[Note] = &[
    BCC_REFUSED,
    CONTROL_REFUSED,
    BLOCK_TOO_LONG,
    BLOCK_CUT,
    TEXT_TOO_LONG,
    DAMAGED_KEPT,
    BLOCK_MISSING,
    TEXT_BROKEN_OFF,
    TEXT_SILENT,
    TEXT_LINE_LOST,
    COMMIT_LATE,
    COMMIT_FAILED,
    STORE_BEHIND,
    DETACHED_FAILED,
    INBOX_OVERFLOW,
    SENDS_EXHAUSTED,
    SENDS_UNANSWERED,
    QUEUE_FULL,
    UNSENDABLE,
    NOT_ASKED,
    OTHER_SAMPLE,
    EXPIRED,
    ANSWER_OUTDATED,
];
