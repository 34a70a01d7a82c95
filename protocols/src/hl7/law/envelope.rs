//! MSH of this profile: written as it wants, and compared with what came.

use super::{Transaction, notes};
use crate::{
    hl7::{
        ack::{self, Ack, AckCode, ErrSegment, Outcome, Own},
        build::{self, MessageBuilder},
        header::Header,
    },
    wire::Note,
};

/// The version of the profile.
pub const VERSION: &str = "2.5.1";
/// The character set of the profile.
pub const CHARSET: &str = "UNICODE UTF-8";
/// MSH-15 of a message that begins a transaction: no commit acknowledgement.
pub const ACCEPT_ACK: &str = "NE";
/// MSH-16 of a message that begins a transaction: always one application acknowledgement.
pub const APPLICATION_ACK: &str = "AL";

/// Who begins a transaction with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// MSH-3.
    pub sending_application: &'a str,
    /// MSH-4.
    pub sending_facility: &'a str,
    /// MSH-5.
    pub receiving_application: &'a str,
    /// MSH-6.
    pub receiving_facility: &'a str,
    /// MSH-7, with the offset from UTC, such as `20250115101501+0700`.
    pub time: &'a str,
    /// MSH-10.
    pub control_id: &'a str,
    /// MSH-21 where a vendor wants its own; that of the transaction if empty.
    pub profile: &'a str,
    /// MSH-15 and MSH-16 where an analyzer wants other answers than the profile does.
    pub acks: Option<[&'a str; 2]>,
    /// MSH-18 where an analyzer reads another character set than the profile's; that one if empty.
    pub charset: &'a str,
}

/// Whether a message begins a transaction or ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Request,
    Reply,
}

/// A message that begins a transaction and so far has its MSH.
pub(super) fn begin(
    envelope: &Envelope<'_>,
    transaction: Transaction,
    kind: [&str; 3],
) -> MessageBuilder {
    let [message_type, trigger, structure] = kind;
    let profile = if envelope.profile.is_empty() {
        transaction.profile()
    } else {
        envelope.profile
    };
    let [accept_ack, application_ack] = envelope.acks.unwrap_or([ACCEPT_ACK, APPLICATION_ACK]);
    let charset = if envelope.charset.is_empty() {
        CHARSET
    } else {
        envelope.charset
    };
    MessageBuilder::new(&build::Header {
        sending_application: envelope.sending_application,
        sending_facility: envelope.sending_facility,
        receiving_application: envelope.receiving_application,
        receiving_facility: envelope.receiving_facility,
        time: envelope.time,
        message_type,
        trigger,
        structure,
        control_id: envelope.control_id,
        processing_id: "P",
        version: VERSION,
        accept_ack,
        application_ack,
        charset,
        profile,
    })
}

/// A reply that so far has MSH, MSA and, where it is negative, ERR: the profile wants one with
/// every AE and AR and none with AA. MSH-21 is the request's, so that a vendor's own form comes back.
pub(super) fn begin_reply(
    request: Header<'_>,
    transaction: Transaction,
    kind: [&str; 3],
    (code, errors): (AckCode, &[ErrSegment]),
    own: &Own<'_>,
) -> MessageBuilder {
    let asked = ack::standard(request.segment().field(21));
    let profile = if asked.is_empty() {
        transaction.profile()
    } else {
        &asked
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
    let charset = if own.charset.is_empty() {
        CHARSET
    } else {
        own.charset
    };
    let own = Own { charset, ..*own };
    let text = "";
    ack::begin_profiled_reply(
        Some(request),
        kind,
        &Ack { code, text, errors },
        &own,
        profile,
    )
}

/// Table 0357, for a refusal that says no more.
const INTERNAL_ERROR: u16 = 207;

/// MSA-1 of an application reply: what could not be stored is AR, so that it comes again.
pub(super) const fn application_code(outcome: Outcome) -> AckCode {
    match outcome {
        Outcome::Accepted => AckCode::AA,
        Outcome::Error => AckCode::AE,
        Outcome::Rejected | Outcome::NotStored => AckCode::AR,
    }
}

/// Compares MSH with what the profile says; nothing of it keeps a message from being read, for a
/// result is not lost over a header.
pub(super) fn check(
    header: Header<'_>,
    transaction: Transaction,
    part: Part,
    structures: &[&str],
) -> Vec<Note> {
    let msh = header.segment();
    let acks = (header.accept_ack(), header.application_ack());
    let wanted = match part {
        Part::Request => (ACCEPT_ACK, APPLICATION_ACK),
        Part::Reply => ("", ""),
    };
    let is_profile = |profile: &str| {
        let rest = profile.strip_prefix(transaction.prefix());
        // LAB-27 is not LAB-271.
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let found = [
        (
            structures.contains(&header.structure()),
            9,
            notes::STRUCTURE,
        ),
        (header.processing_id() == "P", 11, notes::PROCESSING),
        (header.version() == VERSION, 12, notes::VERSION),
        (acks == wanted, 15, notes::ACKNOWLEDGEMENT),
        (
            header.charsets().next() == Some(CHARSET),
            18,
            notes::CHARSET,
        ),
        (header.profiles().any(is_profile), 21, notes::PROFILE),
    ];
    let wrong = found.into_iter().filter(|(is_right, ..)| !is_right);
    wrong
        .map(|(_, field, note)| notes::at_field(note, msh, field))
        .collect()
}
