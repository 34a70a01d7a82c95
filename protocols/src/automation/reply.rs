//! Acknowledging messages of the chapter, and answering commands.
//!
//! The chapter asks for a commit acknowledgement as a rule (MSH-15 `AL`, MSH-16 `NE`); what a
//! request asks for comes as a message of its own ([`Event::answer`](super::Event::answer)).

use super::segments::{Command, CommandDraft};
use crate::hl7::{
    ack::{self, Ack, AckMode, ErrSegment, Outcome, Own},
    build::BuildError,
    header::Header,
};

/// Table 0357, for a refusal that says no more.
const INTERNAL_ERROR: u16 = 207;

/// Writes `ACK^<trigger>^ACK` with the code that the message asks for at once, or nothing when it
/// asks for none. A refusal without `errors` has code 207; what could not be stored is answered so
/// that it comes again.
///
/// # Errors
/// See [`BuildError`].
pub fn build_ack(
    header: Header<'_>,
    outcome: Outcome,
    errors: &[ErrSegment],
    own: &Own<'_>,
) -> Result<Option<String>, BuildError> {
    let Some(code) = AckMode::of(&header).immediate(outcome) else {
        return Ok(None);
    };
    let unexplained = [ErrSegment {
        code: INTERNAL_ERROR,
        ..ErrSegment::default()
    }];
    let errors = if errors.is_empty() {
        &unexplained
    } else {
        errors
    };
    let text = "";
    ack::build_ack(Some(header), &Ack { code, text, errors }, own).map(Some)
}

/// ECD of a response: the number and the command as they were sent, by which they are matched.
pub fn repeat_command(command: Command<'_>) -> CommandDraft {
    CommandDraft::new()
        .echo(1, command.segment.field(1))
        .echo(2, command.segment.field(2))
}

/// Whether a command asks for a response (ECD-3 `Y`).
pub fn wants_response(command: Command<'_>) -> bool {
    command.response_required().raw() == "Y"
}
