//! What makes a result the same result.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::Observation;

use super::SettleContext;

/// The key of an observation: line, tube, code with its qualifiers, run, completed time, value,
/// unit, status. A result without a completed time is the same only in the same message.
pub(super) fn of(
    context: &SettleContext<'_>,
    observation: &Observation,
    barcode: &str,
    specimen: Option<i64>,
) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(context.line);
    match specimen {
        Some(id) => part(&id.to_string()),
        None => part(&format!("barcode {barcode}")),
    }
    part(&observation.code);
    part(&observation.qualifiers.join("\u{1f}"));
    part(observation.run.as_deref().unwrap_or(""));
    part(&observation.text);
    part(&observation.unit);
    part(&observation.status_sent);
    match &observation.completed {
        Some(time) => part(&time.sent),
        None => hash.update(Sha256::digest(context.digest_input)),
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(16)
        .fold(String::with_capacity(36), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
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
