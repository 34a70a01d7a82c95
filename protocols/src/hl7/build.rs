//! Writing messages: segments that cannot be invalid, whatever text is put into them.
//!
//! Texts are escaped, fields are set by number in any order, trailing empty ones are left out, and
//! nothing given can add a segment, a field or a component that was not asked for.

use std::borrow::Cow;

use thiserror::Error;

use super::{
    COMPONENTS_MAX, FIELDS_MAX, Field, MESSAGE_BYTES_MAX, Segment, Separators, escape,
    segment::{HEADERS, NAME_LEN},
};

/// The name of a segment: three capitals or digits, a capital first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name([u8; NAME_LEN]);

macro_rules! names {
    ($($name:ident)*) => {
        impl Name {
            $(
                #[doc = concat!("The `", stringify!($name), "` segment.")]
                pub const $name: Self = {
                    let [a, b, c] = *stringify!($name).as_bytes().first_chunk::<NAME_LEN>().unwrap();
                    Self([a, b, c])
                };
            )*
        }
    };
}

names! {
    MSH MSA ERR EVN PID PV1 MRG ORC OBR OBX NTE SPM SAC TQ1 TCD INV QRD QRF QAK DSP DSC QPD RCP
    FHS BHS BTS FTS EQU ECD ECR NDS ISD CNS TCC SID EQP ROL
}

impl Name {
    /// A name from a text; `None` when it has not the form of one.
    pub fn new(name: &str) -> Option<Self> {
        let bytes = <[u8; NAME_LEN]>::try_from(name.as_bytes()).ok()?;
        let is_rest = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let [first, rest @ ..] = bytes;
        (first.is_ascii_uppercase() && rest.iter().all(is_rest)).then_some(Self(bytes))
    }

    fn chars(self) -> impl Iterator<Item = char> {
        self.0.into_iter().map(char::from)
    }
}

/// Why a message could not be written; always a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Field 0, a field beyond [`FIELDS_MAX`], or MSH-1 or MSH-2.
    #[error("HL7-0901 write a segment: there is no field of this number")]
    NoSuchField,
    /// More than [`COMPONENTS_MAX`] components.
    #[error("HL7-0902 write a field: more components than the limit")]
    TooManyComponents,
    /// More than [`MESSAGE_BYTES_MAX`].
    #[error("HL7-0903 write a message: longer than the limit")]
    TooLong,
    /// A segment to be copied is none.
    #[error("HL7-0904 copy a segment: its name is not one")]
    BadSegment,
}

/// MSH of a message to be written. Every text is as it shall stand on the wire in the usual
/// delimiters (so that an HD may have its components), with what would break the segment escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// MSH-3.
    pub sending_application: &'a str,
    /// MSH-4.
    pub sending_facility: &'a str,
    /// MSH-5.
    pub receiving_application: &'a str,
    /// MSH-6.
    pub receiving_facility: &'a str,
    /// MSH-7, such as `20250115103000+0700`.
    pub time: &'a str,
    /// MSH-9.1.
    pub message_type: &'a str,
    /// MSH-9.2.
    pub trigger: &'a str,
    /// MSH-9.3.
    pub structure: &'a str,
    /// MSH-10.
    pub control_id: &'a str,
    /// MSH-11.
    pub processing_id: &'a str,
    /// MSH-12.
    pub version: &'a str,
    /// MSH-15.
    pub accept_ack: &'a str,
    /// MSH-16.
    pub application_ack: &'a str,
    /// MSH-18.
    pub charset: &'a str,
    /// MSH-21.
    pub profile: &'a str,
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    text: String,
    separators: Separators,
    error: Option<BuildError>,
}

impl MessageBuilder {
    /// A message in the usual delimiters that so far has its MSH.
    pub fn new(header: &Header<'_>) -> Self {
        let separators = Separators::STANDARD;
        let mut builder = Self {
            text: String::new(),
            separators,
            error: None,
        };
        let msh = SegmentWriter::header(Name::MSH, separators)
            .encoded(3, header.sending_application)
            .encoded(4, header.sending_facility)
            .encoded(5, header.receiving_application)
            .encoded(6, header.receiving_facility)
            .encoded(7, header.time)
            .components(9, &[header.message_type, header.trigger, header.structure])
            .encoded(10, header.control_id)
            .encoded(11, header.processing_id)
            .encoded(12, header.version)
            .encoded(15, header.accept_ack)
            .encoded(16, header.application_ack)
            .encoded(18, header.charset)
            .encoded(21, header.profile);
        builder.push(msh);
        builder
    }

    /// Adds a segment.
    pub fn push(&mut self, segment: SegmentWriter) -> &mut Self {
        self.error = self.error.or(segment.error);
        segment.write(&mut self.text);
        self
    }

    /// Adds a copy of a segment that was read: to the byte if its delimiters are the usual ones and
    /// no control character is in it (an IHE LAW query wants its QPD back unchanged), else rewritten.
    pub fn copy(&mut self, segment: Segment<'_>) -> &mut Self {
        let name = Name::new(segment.name()).filter(|_| !segment.is_header());
        let Some(name) = name else {
            self.error = self.error.or(Some(BuildError::BadSegment));
            return self;
        };
        let is_plain = !segment.raw().bytes().any(|byte| byte.is_ascii_control());
        if is_plain && segment.separators() == self.separators {
            self.text.push_str(segment.raw());
            self.text.push('\r');
            return self;
        }
        let fields = segment.fields().enumerate();
        let copy = fields.fold(SegmentWriter::new(name), |copy, (index, field)| {
            copy.echo(index.saturating_add(1), field)
        });
        self.push(copy)
    }

    /// The whole message, every segment ended by CR.
    ///
    /// # Errors
    /// The first fault of the caller; nothing is written in part.
    pub fn finish(self) -> Result<String, BuildError> {
        if self.text.len() > MESSAGE_BYTES_MAX {
            return Err(BuildError::TooLong);
        }
        self.error.map_or(Ok(self.text), Err)
    }

    /// The delimiters of the message.
    pub const fn separators(&self) -> Separators {
        self.separators
    }
}

/// A segment being written.
#[derive(Clone, Debug)]
#[must_use = "a segment is in no message before it is pushed"]
pub struct SegmentWriter {
    name: Name,
    fields: Vec<String>,
    separators: Separators,
    is_header: bool,
    error: Option<BuildError>,
}

impl SegmentWriter {
    /// An empty segment in the usual delimiters.
    pub fn new(name: Name) -> Self {
        let is_header = HEADERS.iter().any(|header| Name::new(header) == Some(name));
        let separators = Separators::STANDARD;
        if is_header {
            return Self::header(name, separators);
        }
        Self {
            name,
            fields: Vec::new(),
            separators,
            is_header,
            error: None,
        }
    }

    fn header(name: Name, separators: Separators) -> Self {
        let fields = vec![String::new(), separators.encoding_characters()];
        Self {
            name,
            fields,
            separators,
            is_header: true,
            error: None,
        }
    }

    /// Field `n` is this plain text.
    pub fn text(self, n: usize, text: &str) -> Self {
        let encoded = self.encode(text).into_owned();
        self.set(n, encoded)
    }

    /// Field `n` says "delete" (`""`).
    pub fn null(self, n: usize) -> Self {
        self.set(n, NULL.to_owned())
    }

    /// Field `n` has these components, each a plain text; trailing empty ones are left out.
    pub fn components(mut self, n: usize, components: &[&str]) -> Self {
        let joined = self.join(components);
        self.set(n, joined)
    }

    /// Field `n` has one more repeat, of these components. A first empty repeat keeps its place.
    pub fn repeat(mut self, n: usize, components: &[&str]) -> Self {
        let joined = self.join(components);
        let separator = char::from(self.separators.repetition());
        match self.slot(n) {
            Some(field) if field.is_empty() => self.set(n, joined),
            Some(field) => {
                field.push(separator);
                field.push_str(&joined);
                self
            }
            None => self,
        }
    }

    /// Component `component` of field `n` has these subcomponents; the components before it stay,
    /// or are empty.
    pub fn subcomponents(mut self, n: usize, component: usize, parts: &[&str]) -> Self {
        let Some(before) = component
            .checked_sub(1)
            .filter(|before| *before < COMPONENTS_MAX)
        else {
            self.error = Some(BuildError::TooManyComponents);
            return self;
        };
        let Some(separator) = self.separators.subcomponent() else {
            return self;
        };
        let parts: Vec<_> = parts
            .iter()
            .map(|part| self.encode(part).into_owned())
            .collect();
        let value = parts.join(&char::from(separator).to_string());
        let value = value.trim_end_matches(char::from(separator)).to_owned();
        let between = char::from(self.separators.component());
        let Some(field) = self.slot(n) else {
            return self;
        };
        let mut components: Vec<String> = field.split(between).map(str::to_owned).collect();
        components.resize(
            components.len().max(before.saturating_add(1)),
            String::new(),
        );
        if let Some(place) = components.get_mut(before) {
            *place = value;
        }
        *field = components.join(&between.to_string());
        self
    }

    /// Field `n` is this text in the delimiters of the message: components, repeats and escapes
    /// stay what they are; a field separator or a control character is escaped.
    pub fn encoded(self, n: usize, text: &str) -> Self {
        let kept = contained(text, self.separators).into_owned();
        self.set(n, kept)
    }

    /// Field `n` is what was read in another message: to the byte where both use the same
    /// delimiters, else rewritten.
    pub fn echo(self, n: usize, field: Field<'_>) -> Self {
        // Escaping a control character behind a lone escape character would make a sequence of both.
        let is_plain = !field.raw().bytes().any(|byte| byte.is_ascii_control());
        let text = if is_plain && field.separators() == self.separators {
            Cow::Borrowed(field.raw())
        } else {
            self.rewrite(field).into()
        };
        self.encoded(n, &text)
    }

    /// Field `n` as it will stand on the wire; empty if not set.
    pub fn value(&self, n: usize) -> &str {
        n.checked_sub(1)
            .and_then(|n| self.fields.get(n))
            .map_or("", String::as_str)
    }

    fn rewrite(&self, field: Field<'_>) -> String {
        let joined = |parts: Vec<String>, by: Option<u8>| {
            parts.join(&by.map(|by| char::from(by).to_string()).unwrap_or_default())
        };
        let sub = |text: &str| {
            let plain = escape::decode(text, field.separators()).0;
            if text == NULL {
                NULL.to_owned()
            } else {
                self.encode(&plain).into_owned()
            }
        };
        let component = |component: super::Component<'_>| {
            let parts = component
                .subcomponents()
                .map(|part| sub(part.raw()))
                .collect();
            joined(parts, self.separators.subcomponent())
        };
        let repeat = |repeat: super::Repeat<'_>| {
            joined(
                repeat.components().map(component).collect(),
                Some(self.separators.component()),
            )
        };
        joined(
            field.repeats().map(repeat).collect(),
            Some(self.separators.repetition()),
        )
    }

    fn encode<'t>(&self, text: &'t str) -> Cow<'t, str> {
        // Two quotes would be read as "delete".
        if text == NULL {
            Cow::Borrowed(QUOTES)
        } else {
            escape::encode(text, self.separators)
        }
    }

    fn join(&mut self, components: &[&str]) -> String {
        if components.len() > COMPONENTS_MAX {
            self.error = Some(BuildError::TooManyComponents);
        }
        let separator = char::from(self.separators.component());
        let mut joined = String::new();
        for (index, component) in components.iter().enumerate() {
            if index > 0 {
                joined.push(separator);
            }
            joined.push_str(&self.encode(component));
        }
        joined.truncate(joined.trim_end_matches(separator).len());
        joined
    }

    fn set(mut self, n: usize, value: String) -> Self {
        if let Some(field) = self.slot(n) {
            *field = value;
        }
        self
    }

    fn slot(&mut self, n: usize) -> Option<&mut String> {
        let is_own = self.is_header && n <= 2;
        let index = n.checked_sub(1).filter(|_| n <= FIELDS_MAX && !is_own);
        let Some(index) = index else {
            self.error = Some(BuildError::NoSuchField);
            return None;
        };
        if self.fields.len() < n {
            self.fields.resize(n, String::new());
        }
        self.fields.get_mut(index)
    }

    fn write(&self, out: &mut String) {
        let separator = char::from(self.separators.field());
        out.extend(self.name.chars());
        let used = self.fields.iter().rposition(|field| !field.is_empty());
        let used = used.map_or(0, |last| last.saturating_add(1));
        // MSH-1 is the separator that follows the name.
        let skipped = if self.is_header { 1 } else { 0 };
        for field in self.fields.iter().take(used).skip(skipped) {
            out.push(separator);
            out.push_str(field);
        }
        out.push('\r');
    }
}

/// "Delete what is known" (HL7 v2.5.1 2.5.3).
const NULL: &str = "\"\"";
/// Two quotes as a value.
const QUOTES: &str = r"\X2222\";

/// `text` with nothing in it that ends a field or a segment.
fn contained(text: &str, separators: Separators) -> Cow<'_, str> {
    let breaks = |byte: u8| byte == separators.field() || byte.is_ascii_control();
    if !text.bytes().any(breaks) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(8));
    let mut buffer = [0; 4];
    for c in text.chars() {
        let one: &str = c.encode_utf8(&mut buffer);
        if one.bytes().any(breaks) {
            out.push_str(&escape::encode(one, separators));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hl7::{FieldState, Message};

    const HEADER: Header<'_> = Header {
        sending_application: "BRIDGE",
        sending_facility: "LAB",
        receiving_application: "HIS^1.2.3^ISO",
        receiving_facility: "BV01",
        time: "20250115103000+0700",
        message_type: "ORU",
        trigger: "R01",
        structure: "ORU_R01",
        control_id: "BR1",
        processing_id: "P",
        version: "2.5.1",
        accept_ack: "AL",
        application_ack: "NE",
        charset: "UNICODE UTF-8",
        profile: "",
    };

    #[test]
    fn a_message_reads_as_it_was_written() {
        let mut builder = MessageBuilder::new(&HEADER);
        builder.push(
            SegmentWriter::new(Name::PID)
                .text(1, "1")
                .repeat(3, &["PID0098", "", "", "BV01", "PI"])
                .repeat(3, &["079", "", "", "VN", "NI", ""])
                .components(5, &["TRẦN", "B|NH"])
                .null(7),
        );
        builder.push(SegmentWriter::new(Name::SPM).text(4, "SER").subcomponents(
            2,
            2,
            &["A&B", "NS", ""],
        ));
        builder.push(SegmentWriter::new(Name::DSC));
        assert_eq!(
            builder.finish().unwrap(),
            concat!(
                "MSH|^~\\&|BRIDGE|LAB|HIS^1.2.3^ISO|BV01|20250115103000+0700||ORU^R01^ORU_R01|BR1",
                "|P|2.5.1|||AL|NE||UNICODE UTF-8\r",
                "PID|1||PID0098^^^BV01^PI~079^^^VN^NI||TRẦN^B\\F\\NH||\"\"\r",
                "SPM||^A\\T\\B&NS||SER\r",
                "DSC\r",
            )
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_a_fault_and_no_message() {
        for segment in [
            SegmentWriter::new(Name::PID).text(0, "x"),
            SegmentWriter::new(Name::PID).text(FIELDS_MAX + 1, "x"),
            SegmentWriter::new(Name::MSH).text(2, "x"),
            SegmentWriter::new(Name::BHS).null(1),
        ] {
            let mut builder = MessageBuilder::new(&HEADER);
            builder.push(segment);
            assert_eq!(builder.finish(), Err(BuildError::NoSuchField));
        }
        let many = vec!["x"; COMPONENTS_MAX + 1];
        let mut builder = MessageBuilder::new(&HEADER);
        builder.push(SegmentWriter::new(Name::PID).components(3, &many));
        assert_eq!(builder.finish(), Err(BuildError::TooManyComponents));
    }

    #[test]
    fn a_copy_in_the_same_delimiters_is_to_the_byte() {
        let text = "MSH|^~\\&|A\rPID|1||a^b&c~d\\T\\e|\"\"|x|||y||\r";
        let (message, _) = Message::parse(text).unwrap();
        let mut builder = MessageBuilder::new(&HEADER);
        builder.copy(message.first("PID").unwrap());
        assert!(
            builder
                .finish()
                .unwrap()
                .ends_with("\rPID|1||a^b&c~d\\T\\e|\"\"|x|||y||\r")
        );
    }

    #[test]
    fn a_copy_in_other_delimiters_means_the_same() {
        let text = "MSH$%*!/$A\rPID$1$$a%b/c*d!T!e^f|$\"\"%x\r";
        let (message, _) = Message::parse(text).unwrap();
        let mut builder = MessageBuilder::new(&HEADER);
        builder.copy(message.first("PID").unwrap());
        let copy = builder.finish().unwrap();
        assert!(
            copy.ends_with("\rPID|1||a^b&c~d/e\\S\\f\\F\\|\"\"^x\r"),
            "{copy}"
        );
        let mut builder = MessageBuilder::new(&HEADER);
        builder.copy(message.segments()[0]);
        assert_eq!(builder.finish(), Err(BuildError::BadSegment));
    }

    proptest! {
        #[test]
        fn whatever_text_is_written_reads_back_and_adds_nothing(
            text in any::<String>(), other in any::<String>(), n in 1..40_usize,
        ) {
            let mut builder = MessageBuilder::new(&HEADER);
            builder.push(
                SegmentWriter::new(Name::OBX)
                    .components(n, &[&text, "x", &other])
                    .text(n + 1, &text)
                    .encoded(n + 2, &other),
            );
            builder.push(SegmentWriter::new(Name::NTE).text(1, "end"));
            let written = builder.finish().unwrap();
            let (message, notes) = Message::parse(&written).unwrap();
            prop_assert!(notes.is_empty());
            prop_assert_eq!(message.segments().len(), 3);
            let obx = message.segments()[1];
            prop_assert!(obx.n() <= n + 2);
            prop_assert_eq!(obx.field(n).component(1).text(), text.as_str());
            prop_assert_eq!(obx.field(n).component(3).text(), other.as_str());
            prop_assert_eq!(obx.field(n + 1).text(), text.as_str());
            prop_assert!(text.is_empty() == (obx.field(n + 1).state() == FieldState::Empty));
            prop_assert!(obx.field(n + 1).state() != FieldState::Null);
        }
    }
}
