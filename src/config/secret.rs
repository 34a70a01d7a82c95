//! Secrets that somebody wrote where they do not belong: found, and never shown again.

use std::ops::Range;

/// The text with every password of an address in it made unreadable, byte for byte, so that every
/// place in it stays where it is.
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for secret in secrets(text) {
        shown.push_str(text.get(end..secret.start).unwrap_or_default());
        shown.push_str(&"*".repeat(secret.len()));
        end = secret.end;
    }
    shown.push_str(text.get(end..).unwrap_or_default());
    shown
}

/// Whether an address in the text holds a password.
pub fn is_in(text: &str) -> bool {
    !secrets(text).is_empty()
}

/// Where an address ends: in a file it stands in quotes.
const ENDS: [char; 6] = ['"', '\'', '`', '<', '>', '\\'];

/// Where passwords stand, in order: before the host of an address (`scheme://user:HERE@host`), and in
/// what follows a question mark (`password=HERE`).
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")) {
        let begin = from + at + "://".len();
        let rest = text.get(begin..).unwrap_or_default();
        let is_end = |letter: char| letter.is_whitespace() || ENDS.contains(&letter);
        let length = rest.find(is_end).unwrap_or(rest.len());
        let address = rest.get(..length).unwrap_or_default();
        found.extend(
            of_address(address)
                .into_iter()
                .map(|secret| begin + secret.start..begin + secret.end),
        );
        from = begin + length;
    }
    found
}

/// Of one address without its scheme.
fn of_address(address: &str) -> Vec<Range<usize>> {
    let (before, query) = match address.find('?') {
        Some(at) => (address.get(..at).unwrap_or_default(), at + 1),
        None => (address, address.len()),
    };
    let mut found = Vec::new();
    // The last sign before the host: a password may hold one, and a slash, though it should not.
    if let Some(host) = before.rfind('@')
        && let Some(colon) = before.get(..host).and_then(|user| user.find(':'))
    {
        found.push(colon + 1..host);
    }
    let mut begin = query;
    for pair in address.get(query..).unwrap_or_default().split('&') {
        if let Some(value) = pair.strip_prefix("password=") {
            found.push(begin + pair.len() - value.len()..begin + pair.len());
        }
        begin += pair.len() + 1;
    }
    found.retain(|secret| !secret.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_masked_and_nothing_else_is() {
        for (text, shown) in [
            (
                "url = \"postgres://me:se@cret@db/x\" # mine",
                "url = \"postgres://me:*******@db/x\" # mine",
            ),
            (
                "postgres://me@db/x?sslmode=require&password=abc&a=b",
                "postgres://me@db/x?sslmode=require&password=***&a=b",
            ),
            (
                "https://u:p/q@his/x and http://u:v@h",
                "https://u:***@his/x and http://u:*@h",
            ),
            ("`http://u:mật khẩu`", "`http://u:mật khẩu`"),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(masked(text).len(), text.len());
            assert_eq!(is_in(text), text != shown, "{text}");
        }
        for plain in [
            "tcp-listen://127.0.0.1:5001",
            "postgres://me@db.example:5433/x?sslmode=verify-full",
            "serial:///dev/ttyUSB0?baud=9600",
            "postgres://me:@db/x",
            "night-shift@lab.example: 10:30",
            "",
            "://",
        ] {
            assert_eq!(masked(plain), plain);
            assert!(!is_in(plain), "{plain}");
        }
    }
}
