//! Which replies a sender wants, and what they say.

use labwire_protocols::hl7::{
    Separators,
    ack::{AckCode, AckMode, Condition, Outcome},
    header::Peek,
};

/// The codes of the replies that are due now, in order (HL7 v2.5.1 2.9.2, 2.9.3).
///
/// Content that will never be right is answered CR where the sender wants a commit reply alone:
/// CE would make it try for ever, CA would hide it.
pub(crate) fn codes(mode: AckMode, outcome: Outcome) -> Vec<AckCode> {
    let AckMode::Enhanced {
        accept,
        application,
    } = mode
    else {
        return vec![application_code(outcome)];
    };
    let is_met = |condition: Condition, is_success: bool| match condition {
        Condition::Always => true,
        Condition::Never => false,
        Condition::OnError => !is_success,
        Condition::OnSuccess => is_success,
    };
    let is_success = outcome == Outcome::Accepted;
    let will_tell = is_met(application, is_success);
    let is_stored = !matches!(outcome, Outcome::NotStored | Outcome::Rejected);
    let mut codes = Vec::new();
    if is_met(accept, is_stored && (is_success || will_tell)) {
        codes.push(match outcome {
            Outcome::Accepted => AckCode::CA,
            Outcome::Error if will_tell => AckCode::CA,
            Outcome::Error | Outcome::Rejected => AckCode::CR,
            Outcome::NotStored => AckCode::CE,
        });
    }
    if will_tell && codes.iter().all(|code| code.is_positive()) {
        codes.push(application_code(outcome));
    }
    codes
}

const fn application_code(outcome: Outcome) -> AckCode {
    match outcome {
        Outcome::Accepted => AckCode::AA,
        Outcome::Error => AckCode::AE,
        Outcome::Rejected | Outcome::NotStored => AckCode::AR,
    }
}

/// The header of a message that cannot be read, as far as its bytes are plain: enough to name it
/// in MSA-2.
pub(super) fn bare_header(peek: &Peek<'_>) -> Option<String> {
    let text = |bytes: &[u8]| {
        let is_plain = bytes.iter().all(|byte| (0x20..0x7F).contains(byte));
        if is_plain {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        } else {
            None
        }
    };
    if peek.separators != Separators::STANDARD {
        return None;
    }
    Some(format!(
        "MSH|^~\\&|{}|{}|||||{}^{}|{}|P|{}|||{}|{}\r",
        text(peek.sending_application).unwrap_or_default(),
        text(peek.sending_facility).unwrap_or_default(),
        text(peek.message_type)?,
        text(peek.trigger)?,
        text(peek.control_id)?,
        text(peek.version)?,
        text(peek.accept_ack).unwrap_or_default(),
        text(peek.application_ack).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, application: &str, outcome: Outcome, expected: &[&str]) {
        let codes = codes(AckMode::read(accept, application), outcome);
        let codes: Vec<&str> = codes.into_iter().map(AckCode::as_str).collect();
        assert_eq!(codes, expected, "{accept}/{application} {outcome:?}");
    }

    #[test]
    fn every_mode_gets_the_replies_it_asks_for() {
        use Outcome::{Accepted, Error, NotStored, Rejected};
        for (accept, application, accepted, error, rejected, not_stored) in [
            ("", "", &["AA"][..], &["AE"][..], &["AR"][..], &["AR"][..]),
            ("AL", "NE", &["CA"], &["CR"], &["CR"], &["CE"]),
            ("AL", "", &["CA"], &["CR"], &["CR"], &["CE"]),
            ("NE", "AL", &["AA"], &["AE"], &["AR"], &["AR"]),
            ("AL", "AL", &["CA", "AA"], &["CA", "AE"], &["CR"], &["CE"]),
            ("NE", "NE", &[], &[], &[], &[]),
            ("ER", "NE", &[], &["CR"], &["CR"], &["CE"]),
            ("SU", "NE", &["CA"], &[], &[], &[]),
            ("NE", "ER", &[], &["AE"], &["AR"], &["AR"]),
        ] {
            check(accept, application, Accepted, accepted);
            check(accept, application, Error, error);
            check(accept, application, Rejected, rejected);
            check(accept, application, NotStored, not_stored);
        }
    }
}
