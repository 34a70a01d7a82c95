//! Which character sets a message names in MSH-18 (HL7 v2.5.1 2.15.9.18, table 0211), read before
//! a single character is decoded.

use super::header::peek;

/// The names in MSH-18 in order, the first being the default of the message, the others those that
/// escapes switch to. Empty when the field is empty or there is no MSH. Names that are not ASCII
/// are left out: no character set has such a name.
pub fn names(message: &[u8]) -> Vec<&str> {
    let Some(peeked) = peek(message) else {
        return Vec::new();
    };
    let repeats = peeked
        .charset
        .split(|byte| *byte == peeked.separators.repetition());
    repeats
        .filter(|name| name.is_ascii())
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != "\"\"")
        .take(NAMES_MAX)
        .collect()
}

/// Most character sets one message switches between (table 0211 has some thirty).
const NAMES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &[u8], expected: &[&str]) {
        let mut message = b"MSH|^~\\&|||||||ACK|1|P|2.5.1||||||".to_vec();
        message.extend_from_slice(field);
        message.extend_from_slice(b"\rPID|1\r");
        assert_eq!(names(&message), expected);
    }

    #[test]
    fn names_are_read_in_order() {
        check(b"UNICODE UTF-8", &["UNICODE UTF-8"]);
        check(b"8859/1~GB 18030-2000|x", &["8859/1", "GB 18030-2000"]);
        check(b" UNICODE ", &["UNICODE"]);
        check(b"~8859/1", &["8859/1"]);
    }

    #[test]
    fn no_name_is_read_where_none_is_sent() {
        check(b"", &[]);
        check(b"\"\"", &[]);
        check(b"\xE9", &[]);
        assert!(names(b"PID|1").is_empty());
    }
}
