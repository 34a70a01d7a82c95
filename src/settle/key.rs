//! What makes a result the same result.

use sha2::{Digest, Sha256};

use crate::model::{Observation, ResultStatus};

/// The key of an observation: line, tube, code with its qualifiers, run, completed time, value,
/// unit, status as sent and whether it is final, what it is about. A result without a completed time is the same only in the same message.
///
/// `message` is the digest of the message that it came in.
pub(super) fn of(line: &str, message: &[u8], observation: &Observation, tube: Tube<'_>) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(line);
    match tube {
        Tube::Known(id) => part(&id.to_string()),
        Tube::Barcode(barcode) => part(&format!("barcode {barcode}")),
    }
    part(&observation.code);
    part(&observation.qualifiers.join("\u{1f}"));
    part(observation.run.as_deref().unwrap_or(""));
    part(&observation.text);
    part(&observation.unit);
    part(&observation.status_sent);
    // A report that becomes final says nothing else anew: O.26 from P to F, R.9 as before.
    if observation.status == ResultStatus::NotFinal {
        part("not final");
    }
    if let Some(about) = &observation.about {
        part(about);
    }
    match &observation.completed {
        Some(time) => part(&time.sent),
        None => hash.update(message),
    }
    let digest = hash.finalize();
    let halves = |byte: &u8| [byte >> 4, byte & 0x0F];
    let digits = digest.iter().take(16).flat_map(halves);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// What a result is of, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tube<'a> {
    /// A row of the book.
    Known(i64),
    /// Nobody ordered on it yet.
    Barcode(&'a str),
}

/// The digest of a message, without what differs when it is sent again.
pub(super) fn digest(digest_input: &[u8]) -> [u8; 32] {
    Sha256::digest(digest_input).into()
}

/// The key of the n-th identical result of one message (from 1): nothing is de-duplicated inside
/// one message.
pub(super) fn nth(key: &str, n: u32) -> String {
    if n <= 1 {
        key.to_owned()
    } else {
        format!("{key}#{n}")
    }
}
