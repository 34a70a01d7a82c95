//! Acknowledgements (HL7 v2.5.1 2.9): which are due, how ours are written, what theirs say.

use std::borrow::Cow;

use super::{
    Field, Message, ParseError, REPEATS_MAX, Segment,
    build::{self, BuildError, MessageBuilder, Name, SegmentWriter},
    header::Header,
};

/// MSA-1 (table 0008).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Application accept: processed.
    AA,
    /// Application error: sending it again unchanged cannot help.
    AE,
    /// Application reject: type, version or state of the receiver; may be sent again later.
    AR,
    /// Commit accept: safely stored.
    CA,
    /// Commit error: not stored.
    CE,
    /// Commit reject: type or version.
    CR,
}

impl AckCode {
    /// Reads MSA-1; `None` for anything else.
    pub fn parse(code: &str) -> Option<Self> {
        let all = [Self::AA, Self::AE, Self::AR, Self::CA, Self::CE, Self::CR];
        all.into_iter().find(|known| known.as_str() == code)
    }

    /// As it stands in MSA-1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AA => "AA",
            Self::AE => "AE",
            Self::AR => "AR",
            Self::CA => "CA",
            Self::CE => "CE",
            Self::CR => "CR",
        }
    }

    /// Whether it accepts.
    pub const fn is_positive(self) -> bool {
        matches!(self, Self::AA | Self::CA)
    }

    /// Whether it speaks of storing only.
    pub const fn is_commit(self) -> bool {
        matches!(self, Self::CA | Self::CE | Self::CR)
    }
}

/// MSH-15 and MSH-16 (table 0155): when a reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `AL`.
    Always,
    /// `NE`.
    Never,
    /// `ER`: only on error or reject.
    OnError,
    /// `SU`: only on success.
    OnSuccess,
}

impl Condition {
    /// Reads MSH-15 or MSH-16; `None` when empty or no code of the table (Mindray keeps the kind
    /// of a result in MSH-16).
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "AL" => Some(Self::Always),
            "NE" => Some(Self::Never),
            "ER" => Some(Self::OnError),
            "SU" => Some(Self::OnSuccess),
            _ => None,
        }
    }

    const fn is_met(self, is_success: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::OnError => !is_success,
            Self::OnSuccess => is_success,
        }
    }
}

/// Which replies a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// MSH-15 and MSH-16 empty: one reply, AA, AE or AR.
    Original,
    /// At least one of them given; the other, left empty, asks for nothing.
    Enhanced {
        /// MSH-15.
        accept: Condition,
        /// MSH-16.
        application: Condition,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Stored, and as far as known so far in order.
    Accepted,
    /// Its content is wrong: unchanged it will always be.
    Error,
    /// Its type, event, version or processing id is not for us.
    Rejected,
    /// It could not be stored; the sender shall keep it and try again.
    NotStored,
}

impl AckMode {
    /// From MSH-15 and MSH-16.
    pub fn read(accept: &str, application: &str) -> Self {
        match (Condition::parse(accept), Condition::parse(application)) {
            (None, None) => Self::Original,
            (accept, application) => Self::Enhanced {
                accept: accept.unwrap_or(Condition::Never),
                application: application.unwrap_or(Condition::Never),
            },
        }
    }

    /// From MSH of a message.
    pub fn of(header: &Header<'_>) -> Self {
        Self::read(header.accept_ack(), header.application_ack())
    }

    /// The code of the reply that is due at once; `None` when none is.
    pub fn immediate(self, outcome: Outcome) -> Option<AckCode> {
        let is_success = outcome == Outcome::Accepted;
        match self {
            Self::Original => Some(application_code(outcome)),
            Self::Enhanced { accept, .. } if accept.is_met(is_success) => {
                Some(commit_code(outcome))
            }
            Self::Enhanced { application, .. } => application
                .is_met(is_success)
                .then(|| application_code(outcome)),
        }
    }

    /// The code of the application reply that follows as a message of its own, after a commit
    /// acknowledgement was due; `result` is what processing came to.
    pub fn deferred(self, result: Outcome) -> Option<AckCode> {
        let Self::Enhanced {
            accept,
            application,
        } = self
        else {
            return None;
        };
        let was_committed = accept.is_met(true);
        (was_committed && application.is_met(result == Outcome::Accepted))
            .then(|| application_code(result))
    }
}

const fn application_code(outcome: Outcome) -> AckCode {
    match outcome {
        Outcome::Accepted => AckCode::AA,
        Outcome::Error => AckCode::AE,
        // Never AE: it would tell the sender to give up.
        Outcome::Rejected | Outcome::NotStored => AckCode::AR,
    }
}

const fn commit_code(outcome: Outcome) -> AckCode {
    match outcome {
        Outcome::Accepted => AckCode::CA,
        Outcome::Error | Outcome::NotStored => AckCode::CE,
        Outcome::Rejected => AckCode::CR,
    }
}

/// Table 0516.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Severity {
    /// `E`.
    #[default]
    Error,
    /// `F`.
    Fatal,
    /// `W`.
    Warning,
    /// `I`.
    Information,
}

impl Severity {
    /// As it stands in ERR-4.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "E",
            Self::Fatal => "F",
            Self::Warning => "W",
            Self::Information => "I",
        }
    }
}

/// Where an error lies (ERL); zero means "not said".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrLocation {
    /// Segment name.
    pub segment: &'static str,
    /// Which of the segments of that name, from 1.
    pub occurrence: usize,
    /// Field.
    pub field: usize,
    /// Component.
    pub component: usize,
}

/// One error to be reported in ERR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrSegment {
    /// Where, if somewhere.
    pub location: ErrLocation,
    /// Table 0357.
    pub code: u16,
    /// ERR-4.
    pub severity: Severity,
    /// ERR-7, for people; never content of the message.
    pub text: Cow<'static, str>,
}

/// What table 0357 calls a code.
pub const fn condition_text(code: u16) -> &'static str {
    match code {
        0 => "Message accepted",
        100 => "Segment sequence error",
        101 => "Required field missing",
        102 => "Data type error",
        103 => "Table value not found",
        104 => "Value too long",
        200 => "Unsupported message type",
        201 => "Unsupported event code",
        202 => "Unsupported processing id",
        203 => "Unsupported version id",
        204 => "Unknown key identifier",
        205 => "Duplicate key identifier",
        206 => "Application record locked",
        _ => "Application internal error",
    }
}

/// What a reply says of ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own<'a> {
    /// MSH-3, where the request does not say in MSH-5 whom it asked.
    pub application: &'a str,
    /// MSH-4, where the request has no MSH-6.
    pub facility: &'a str,
    /// MSH-7.
    pub time: &'a str,
    /// MSH-10.
    pub control_id: &'a str,
    /// MSH-18.
    pub charset: &'a str,
    /// MSH-12, where the request has none.
    pub version: &'a str,
}

/// What a reply says.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'a> {
    /// MSA-1.
    pub code: AckCode,
    /// MSA-3; left out if empty.
    pub text: &'a str,
    /// ERR; written with a negative code only (some analyzers refuse ERR beside AA).
    pub errors: &'a [ErrSegment],
}

/// Writes the general acknowledgement `ACK^<trigger>^ACK` (2.9.3): sender and receiver swapped,
/// processing id and version as asked. Without a readable request MSA-2 stays empty.
///
/// # Errors
/// See [`BuildError`]: only for texts beyond all limits.
pub fn build_ack(
    request: Option<Header<'_>>,
    ack: &Ack<'_>,
    own: &Own<'_>,
) -> Result<String, BuildError> {
    let trigger = request.map(|request| request.trigger()).unwrap_or_default();
    let structure = if trigger.is_empty() { "" } else { "ACK" };
    begin_reply(request, ["ACK", trigger, structure], ack, own).finish()
}

/// MSH, MSA and ERR of a reply of type `kind`.
pub(super) fn begin_reply(
    request: Option<Header<'_>>,
    kind: [&str; 3],
    ack: &Ack<'_>,
    own: &Own<'_>,
) -> MessageBuilder {
    begin_profiled_reply(request, kind, ack, own, "")
}

/// The same with MSH-21.
pub(super) fn begin_profiled_reply(
    request: Option<Header<'_>>,
    kind: [&str; 3],
    ack: &Ack<'_>,
    own: &Own<'_>,
    profile: &str,
) -> MessageBuilder {
    let [message_type, trigger, structure] = kind;
    // Values in other delimiters are rewritten, so that they mean the same in ours.
    let text = |n: usize| {
        let segment = request.map(|request| request.segment());
        segment
            .map(|segment| standard(segment.field(n)))
            .unwrap_or_default()
    };
    let or = |asked: String, own: &str| {
        if asked.is_empty() {
            own.to_owned()
        } else {
            asked
        }
    };
    let version = or(text(12), own.version);
    let header = build::Header {
        sending_application: &or(text(5), own.application),
        sending_facility: &or(text(6), own.facility),
        receiving_application: &text(3),
        receiving_facility: &text(4),
        time: own.time,
        message_type,
        trigger,
        structure,
        control_id: own.control_id,
        processing_id: &or(text(11), "P"),
        version: &version,
        charset: own.charset,
        profile,
        ..build::Header::default()
    };
    let mut builder = MessageBuilder::new(&header);
    let msa = SegmentWriter::new(Name::MSA)
        .text(1, ack.code.as_str())
        .encoded(2, &text(10));
    builder.push(if ack.text.is_empty() {
        msa
    } else {
        msa.text(3, ack.text)
    });
    if !ack.code.is_positive() {
        push_errors(&mut builder, ack.errors, is_since(&version, 2, 5));
    }
    builder
}

/// A field as it reads in the usual delimiters.
pub(super) fn standard(field: Field<'_>) -> String {
    SegmentWriter::new(Name::NTE)
        .echo(1, field)
        .value(1)
        .to_owned()
}

fn push_errors(builder: &mut MessageBuilder, errors: &[ErrSegment], is_new: bool) {
    if is_new {
        for error in errors {
            builder.push(err(error));
        }
    } else if !errors.is_empty() {
        builder.push(errors.iter().fold(SegmentWriter::new(Name::ERR), eld));
    }
}

fn number(n: usize) -> String {
    if n == 0 { String::new() } else { n.to_string() }
}

/// ERR as of 2.5: one segment an error.
fn err(error: &ErrSegment) -> SegmentWriter {
    let at = error.location;
    let occurrence = if at.segment.is_empty() {
        String::new()
    } else {
        number(at.occurrence)
    };
    let parts = [
        at.segment,
        &occurrence,
        &number(at.field),
        "",
        &number(at.component),
    ];
    let (code, text) = (error.code.to_string(), condition_text(error.code));
    let segment = SegmentWriter::new(Name::ERR)
        .components(2, &parts)
        .components(3, &[&code, text, "HL70357"])
        .text(4, error.severity.as_str());
    if error.text.is_empty() {
        segment
    } else {
        segment.text(7, &error.text)
    }
}

/// ERR up to 2.4: one segment, one ELD a repeat, whose code is its last component.
fn eld(segment: SegmentWriter, error: &ErrSegment) -> SegmentWriter {
    let at = error.location;
    let (code, text) = (error.code.to_string(), condition_text(error.code));
    let coded = [code.as_str(), text, "HL70357"].join("&");
    let parts = [
        at.segment,
        &number(at.occurrence),
        &number(at.field),
        &coded,
    ]
    .join("^");
    let before = segment.value(1).to_owned();
    let separator = if before.is_empty() { "" } else { "~" };
    segment.encoded(1, &format!("{before}{separator}{parts}"))
}

/// Whether version text `version` is `major.minor` or later; an unreadable one is not.
pub fn is_since(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.trim().parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(found_major), found_minor) => {
            (found_major, found_minor.unwrap_or(0)) >= (major, minor)
        }
        _ => false,
    }
}

/// What a reply of the peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// MSA-1; `None` when it is no code of table 0008.
    pub code: Option<AckCode>,
    /// MSA-1 as sent.
    pub code_raw: &'a str,
    /// MSA-2 as sent.
    pub control_id: &'a str,
    /// MSA-3.
    pub text: Cow<'a, str>,
    /// ERR of either form, then MSA-6, in the order sent.
    pub errors: Vec<AnswerError<'a>>,
}

/// One error the peer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerError<'a> {
    /// Table 0357; `None` for a code of the peer's own.
    pub code: Option<u16>,
    /// The code as sent.
    pub code_raw: &'a str,
    /// ERR-4 as sent; empty in the old form.
    pub severity: &'a str,
    /// Where, as sent: ERR-2, or the first three components of ELD.
    pub location: &'a str,
    /// What it says for people: ERR-7, ERR-8, or the text of the code.
    pub text: Cow<'a, str>,
}

impl<'a> Answer<'a> {
    /// Reads MSA and ERR of a reply.
    ///
    /// # Errors
    /// [`ParseError::SegmentMissing`] when there is no MSA.
    pub fn read(message: &Message<'a>) -> Result<Self, ParseError> {
        let msa = message
            .first("MSA")
            .ok_or(ParseError::SegmentMissing("MSA"))?;
        let mut errors: Vec<_> = message
            .all("ERR")
            .flat_map(read_err)
            .take(REPEATS_MAX)
            .collect();
        let condition = msa.field(6);
        if !condition.is_empty() {
            errors.push(AnswerError::new(
                condition.component(1).raw(),
                condition.component(2).text(),
            ));
        }
        let code_raw = msa.field(1).raw();
        Ok(Self {
            code: AckCode::parse(code_raw),
            code_raw,
            control_id: msa.field(2).raw(),
            text: msa.field(3).text(),
            errors,
        })
    }

    /// Every code of table 0357 that it names.
    pub fn error_codes(&self) -> impl Iterator<Item = u16> {
        self.errors.iter().filter_map(|error| error.code)
    }
}

impl<'a> AnswerError<'a> {
    fn new(code_raw: &'a str, text: Cow<'a, str>) -> Self {
        Self {
            code: code_raw.trim().parse().ok(),
            code_raw,
            severity: "",
            location: "",
            text,
        }
    }
}

fn read_err(segment: Segment<'_>) -> Vec<AnswerError<'_>> {
    let coded = segment.field(3);
    if !coded.is_empty() {
        let texts = [segment.field(7), segment.field(8)].map(|field| field.text());
        let text = texts.into_iter().find(|text| !text.is_empty());
        let error = AnswerError {
            severity: segment.field(4).raw(),
            location: segment.field(2).raw(),
            ..AnswerError::new(
                coded.component(1).raw(),
                text.unwrap_or_else(|| coded.component(2).text()),
            )
        };
        return vec![error];
    }
    let old = segment
        .field(1)
        .repeats()
        .filter(|repeat| !repeat.is_empty());
    old.map(|repeat| {
        let code = repeat.component(4);
        let error = AnswerError::new(code.subcomponent(1).raw(), code.subcomponent(2).text());
        AnswerError {
            location: before_code(repeat.raw(), code.raw()),
            ..error
        }
    })
    .collect()
}

/// The part of an ELD before its code.
fn before_code<'a>(eld: &'a str, code: &str) -> &'a str {
    let end = if code.is_empty() {
        None
    } else {
        eld.rfind(code)
    };
    end.and_then(|end| eld.get(..end.saturating_sub(1)))
        .unwrap_or(eld)
}

#[cfg(test)]
#[path = "ack_tests.rs"]
mod tests;
