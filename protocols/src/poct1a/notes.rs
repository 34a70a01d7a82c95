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
    /// At: byte offset of the message's first byte.
    MALFORMED = "POC-0101", "message refused: it is no well-formed XML";
    /// At: byte offset of the message's first byte.
    FORBIDDEN = "POC-0102", "message refused: document type or entity declarations are not read";
    /// At: byte offset of the message's first byte.
    TOO_LONG = "POC-0103", "message refused: longer than the limit";
    /// At: byte offset of the message's first byte.
    TOO_DEEP = "POC-0104", "message refused: too many elements, or too deep inside each other";
    /// At: byte offset of the message's first byte.
    CUT = "POC-0105", "message broken off: its next byte did not come";
    /// At: byte offset of the message that was cut.
    RESTARTED = "POC-0106", "message broken off: another began inside it";
    /// At: byte offset of the first one.
    BYTES_IGNORED = "POC-0107", "bytes outside a message ignored";
    /// At: byte offset of the message's first byte.
    REPEAT = "POC-0108", "repeat of the last message acknowledged, not stored again";
    /// At: byte offset of the message's first byte.
    NO_CONTROL_ID = "POC-0109", "message without a control id";
    /// At: byte offset of the message's first byte.
    BEFORE_HELLO = "POC-0110", "message before the device said hello, taken all the same";
    /// At: number of the message since the start.
    COMMIT_FAILED = "POC-0111", "message refused: the store failed";
    /// A reply that is no acknowledgement of the message.
    BAD_REPLY = "POC-0112", "reply to a message does not acknowledge it, the message was accepted";
    /// At: bytes discarded.
    INBOX_OVERFLOW = "POC-0113", "more bytes than were asked for, the rest discarded";
    /// At: byte offset of the message's first byte.
    ACK_UNASKED = "POC-0114", "acknowledgement of nothing that waits for one";
    /// At: byte offset of the message's first byte.
    ESCAPED = "POC-0115", "device cannot go on with what it was sent";
    /// A topic whose end did not come.
    TOPIC_UNENDED = "POC-0116", "topic without its end: gone on without it";
    /// The device refused to report as it measures.
    NOT_CONTINUOUS = "POC-0117", "device refused the continuous mode";
    /// A device's request that nobody answered in time.
    QUERY_UNANSWERED = "POC-0118", "request of the device not answered in time";
    /// At: number of the message since the start.
    STRAY_COMMIT = "POC-0119", "commit of a message of an earlier connection";
    /// At: how often it was sent.
    REPLY_TIMEOUT = "POC-0130", "no reply to a message in time";
    /// At: how often it was sent.
    SENDS_EXHAUSTED = "POC-0131", "message given up: no reply in time";
    /// The peer's word about a message of ours.
    REFUSED = "POC-0132", "message refused by the peer";
    /// At: messages waiting.
    QUEUE_FULL = "POC-0133", "message refused: too many are waiting to be sent";
    /// At: the offset where the payload is wrong, 0 if as a whole.
    UNSENDABLE = "POC-0134", "message refused: it breaks the protocol or a limit";
    /// An answer that no request waits for.
    NOT_ASKED = "POC-0135", "answer refused: no request waits for it";
    /// At: messages lost.
    LINE_LOST = "POC-0136", "messages not sent: the line was lost";
    /// At: messages dropped.
    EXPIRED = "POC-0137", "message dropped: its time passed before it could be sent";
    /// At: messages that stay waiting.
    NOT_REACHED = "POC-0138", "conversation ended before everything was sent";
    /// At: offset of the element.
    REFERENCE_ODD = "POC-0201", "a reference that XML does not know is kept as it is";
    /// At: offset of the element.
    ROLE_ODD = "POC-0202", "role, message and subject of an observation contradict each other";
    /// At: offset of the observation.
    NO_VALUE = "POC-0203", "observation without a value";
    /// At: offset of the first one.
    UNKNOWN_KEPT = "POC-0204", "elements that are not known are kept unread";
}

/// What people should see: messages refused, a store that fails, a mode that the device does not have,
/// messages that did not reach it.
pub(crate) const ALARMS: &[Note] = &[
    MALFORMED,
    FORBIDDEN,
    TOO_LONG,
    TOO_DEEP,
    CUT,
    COMMIT_FAILED,
    INBOX_OVERFLOW,
    TOPIC_UNENDED,
    NOT_CONTINUOUS,
    QUERY_UNANSWERED,
    SENDS_EXHAUSTED,
    REFUSED,
    QUEUE_FULL,
    UNSENDABLE,
    NOT_ASKED,
    EXPIRED,
];
