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
    CHECKSUM_REFUSED = "DIM-0101", "message refused: checksum differs";
    /// At: byte offset of the message's STX.
    CHECKSUM_TOLERATED = "DIM-0102", "message taken although its checksum differs";
    /// At: byte offset of the message's STX.
    FORM_REFUSED = "DIM-0103", "message refused: no FS before its checksum";
    /// At: byte offset of the message's STX.
    CONTROL_TOLERATED = "DIM-0104", "control character in a message taken";
    /// At: byte offset of the message's STX.
    TOO_LONG = "DIM-0105", "message refused: longer than the limit";
    /// At: byte offset of the message's STX.
    CUT = "DIM-0106", "message broken off: its next byte did not come";
    /// At: byte offset of the new STX.
    RESTARTED = "DIM-0107", "message begun again by a second STX";
    /// At: byte offset of the message's STX.
    REPEAT = "DIM-0108", "repeat of the last report accepted again, not stored again";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "DIM-0109", "bytes outside a message ignored";
    /// At: byte offset of the ENQ.
    ENQ_IGNORED = "DIM-0110", "ENQ ignored";
    /// At: byte offset of the reply.
    REPLY_UNASKED = "DIM-0111", "ACK or NAK while nothing was sent";
    /// At: number of the message since the start.
    COMMIT_LATE = "DIM-0112", "message refused: the store did not answer in time";
    /// At: number of the message since the start.
    COMMIT_FAILED = "DIM-0113", "message refused: the store failed";
    /// At: number of the message since the start.
    COMMIT_REUSED = "DIM-0114", "message sent again belongs to the commit already asked for";
    /// At: byte offset of the new STX.
    REPLY_DROPPED = "DIM-0115", "reply dropped: the peer did not wait for it";
    /// At: byte offset of the message's STX.
    STORE_BEHIND = "DIM-0116", "message refused: the store is behind";
    /// At: bytes of the message.
    DETACHED_FAILED = "DIM-0117", "message not stored yet, tried again later";
    /// At: bytes discarded.
    INBOX_OVERFLOW = "DIM-0118", "more bytes than were asked for, the rest discarded";
    /// The instrument says that it polls for the first time.
    FIRST_POLL = "DIM-0119", "instrument polls for the first time";
    /// At: byte offset of the message's STX.
    ACCEPTANCE_UNASKED = "DIM-0120", "acceptance of nothing that was sent";
    /// A reply that is no acceptance.
    BAD_REPLY = "DIM-0121", "reply to a report is no acceptance message, the report was accepted";
    /// A query that nobody answered in time.
    QUERY_UNANSWERED = "DIM-0122", "query not answered in time";
    /// At: how often it was sent.
    MESSAGE_NAKED = "DIM-0130", "peer answered NAK to a message";
    /// At: how often it was sent.
    REPLY_TIMEOUT = "DIM-0131", "no reply to a message in time";
    /// At: how often it was sent.
    SENDS_EXHAUSTED = "DIM-0132", "message given up: refused too often";
    /// At: byte offset of the peer's STX.
    INTERRUPTED = "DIM-0133", "message given up: the peer began one in place of its reply";
    /// An order or report that was acknowledged and never accepted.
    NOT_ACCEPTED = "DIM-0134", "message given up: acknowledged, but no acceptance came";
    /// At: messages waiting.
    QUEUE_FULL = "DIM-0135", "message refused: too many are waiting to be sent";
    /// At: the offset where the payload is wrong, 0 if as a whole.
    UNSENDABLE = "DIM-0136", "message refused: it breaks the protocol or a limit";
    /// An answer that no query waits for.
    NOT_ASKED = "DIM-0137", "answer refused: no query waits for it";
    /// An answer for another sample id than the query named.
    OTHER_SAMPLE = "DIM-0138", "answer refused: not for the sample that was asked for";
    /// At: messages lost.
    LINE_LOST = "DIM-0139", "messages not sent: the line was lost";
    /// At: messages dropped.
    EXPIRED = "DIM-0140", "message dropped: its time passed before it could be sent";
    /// An answer whose query is over.
    ANSWER_OUTDATED = "DIM-0141", "answer dropped: the instrument has gone on";
    /// At: offset of the field.
    LEVELS_ODD = "DIM-0201", "levels of a calibration do not fit their counts";
    /// At: offset of the field.
    TIME_ODD = "DIM-0202", "completion time is no time";
}

/// What people should see: messages refused, a store that fails, orders that did not reach the
/// analyzer or that it did not accept.
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
    QUERY_UNANSWERED,
    SENDS_EXHAUSTED,
    NOT_ACCEPTED,
    QUEUE_FULL,
    UNSENDABLE,
    NOT_ASKED,
    OTHER_SAMPLE,
    EXPIRED,
    ANSWER_OUTDATED,
];
