//! MSH as a typed view (HL7 v2.5.1 2.15.9), and a look at it in bytes that are not yet decoded.

use super::{Component, Field, Segment, Separators};

/// MSH of a parsed message.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    segment: Segment<'a>,
}

impl<'a> Header<'a> {
    pub(super) fn new(segment: Option<Segment<'a>>, separators: Separators) -> Self {
        Self {
            segment: segment.unwrap_or_else(|| Segment::new("MSH", 0, 0, separators)),
        }
    }

    /// The segment itself.
    pub const fn segment(&self) -> Segment<'a> {
        self.segment
    }

    /// MSH-3.
    pub fn sending_application(&self) -> Field<'a> {
        self.segment.field(3)
    }

    /// MSH-4.
    pub fn sending_facility(&self) -> Field<'a> {
        self.segment.field(4)
    }

    /// MSH-5.
    pub fn receiving_application(&self) -> Field<'a> {
        self.segment.field(5)
    }

    /// MSH-6.
    pub fn receiving_facility(&self) -> Field<'a> {
        self.segment.field(6)
    }

    /// MSH-7, as sent.
    pub fn time(&self) -> &'a str {
        self.segment.field(7).raw()
    }

    /// MSH-9.1, such as `ORU`.
    pub fn message_type(&self) -> &'a str {
        self.part(9, 1).raw()
    }

    /// MSH-9.2, such as `R01`.
    pub fn trigger(&self) -> &'a str {
        self.part(9, 2).raw()
    }

    /// MSH-9.3; often not sent.
    pub fn structure(&self) -> &'a str {
        self.part(9, 3).raw()
    }

    /// MSH-10, raw: it is compared and echoed, never interpreted.
    pub fn control_id(&self) -> &'a str {
        self.segment.field(10).raw()
    }

    /// MSH-11.1: `P` production, `T` training, `D` debugging (Mindray uses other letters for QC).
    pub fn processing_id(&self) -> &'a str {
        self.part(11, 1).raw()
    }

    /// MSH-12.1.
    pub fn version(&self) -> &'a str {
        self.part(12, 1).raw()
    }

    /// MSH-15.
    pub fn accept_ack(&self) -> &'a str {
        self.segment.field(15).raw()
    }

    /// MSH-16.
    pub fn application_ack(&self) -> &'a str {
        self.segment.field(16).raw()
    }

    /// MSH-18, all repeats.
    pub fn charsets(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.segment.field(18).repeats().map(|repeat| repeat.raw())
    }

    /// MSH-21, all repeats.
    pub fn profiles(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.segment.field(21).repeats().map(|repeat| repeat.raw())
    }

    fn part(&self, field: usize, component: usize) -> Component<'a> {
        self.segment.field(field).component(component)
    }
}

/// What [`peek`] finds; all values raw bytes, empty where not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The delimiters.
    pub separators: Separators,
    /// MSH-3.
    pub sending_application: &'a [u8],
    /// MSH-4.
    pub sending_facility: &'a [u8],
    /// MSH-9.1.
    pub message_type: &'a [u8],
    /// MSH-9.2.
    pub trigger: &'a [u8],
    /// MSH-10.
    pub control_id: &'a [u8],
    /// MSH-12.1.
    pub version: &'a [u8],
    /// MSH-15.
    pub accept_ack: &'a [u8],
    /// MSH-16.
    pub application_ack: &'a [u8],
    /// MSH-18, all repeats unsplit.
    pub charset: &'a [u8],
    /// MSA-1 and MSA-2, when there is an MSA segment.
    pub msa: Option<(&'a [u8], &'a [u8])>,
}

const BOM: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Reads MSH and MSA of an undecoded message in one pass; `None` when it does not begin with a
/// usable MSH. All character sets allowed on MLLP keep the delimiters as single bytes.
pub fn peek(bytes: &[u8]) -> Option<Peek<'_>> {
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let start = body
        .iter()
        .position(|byte| *byte != b'\r' && *byte != b'\n')?;
    let mut lines = lines(body.get(start..)?);
    let msh = lines.next()?;
    if !msh.starts_with(b"MSH") {
        return None;
    }
    let separators = Separators::read(msh).ok()?;
    // Split piece i of a header is field i + 1; pieces are taken once, in order.
    let mut found = [[].as_slice(); MSH_FIELDS];
    for (slot, piece) in found
        .iter_mut()
        .zip(msh.split(|byte| *byte == separators.field()))
    {
        *slot = piece;
    }
    let [
        _,
        _,
        application,
        facility,
        _,
        _,
        _,
        _,
        kind,
        control_id,
        ..,
    ] = found;
    let [.., version, _, _, accept, on_application, _, charset] = found;
    let first = |field: &[u8]| {
        field
            .iter()
            .position(|byte| *byte == separators.repetition())
            .unwrap_or(field.len())
    };
    let kind = kind.get(..first(kind)).unwrap_or_default();
    let mut kind = kind.split(|byte| *byte == separators.component());
    let message_type = kind.next().unwrap_or_default();
    Some(Peek {
        separators,
        sending_application: application,
        sending_facility: facility,
        message_type,
        trigger: kind.next().unwrap_or_default(),
        control_id,
        version: version
            .split(|byte| *byte == separators.component() || *byte == separators.repetition())
            .next()
            .unwrap_or_default(),
        accept_ack: accept,
        application_ack: on_application,
        charset,
        msa: lines.find_map(|line| msa(line, separators)),
    })
}

/// The lines of a message, cut where [`super::Message::parse`] cuts segments.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let has_cr = body.contains(&b'\r');
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0_usize;
        loop {
            let found = rest
                .get(from..)?
                .iter()
                .position(|byte| matches!(byte, b'\r' | b'\n'));
            let Some(end) = found.map(|found| from.saturating_add(found)) else {
                return Some(std::mem::take(&mut rest));
            };
            let (line, next) = rest.split_at_checked(end)?;
            let next = next.get(1..).unwrap_or_default();
            let is_inside = has_cr && rest.get(end) == Some(&b'\n') && end > 0;
            if !is_inside || matches!(next.first(), None | Some(b'\r')) || looks_like_segment(next)
            {
                rest = next;
                return Some(line);
            }
            from = end.saturating_add(1);
        }
    })
}

/// Three name characters and a delimiter: where a line feed in front ends a segment even in a
/// message whose segments end with CR.
pub(super) fn looks_like_segment(line: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    line.get(..3).is_some_and(|name| name.iter().all(is_name))
        && line.get(3).is_some_and(u8::is_ascii_punctuation)
}

/// Pieces of MSH up to field 18.
const MSH_FIELDS: usize = 18;

fn msa(line: &[u8], separators: Separators) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"MSA")?;
    let mut fields = rest.split(|byte| *byte == separators.field());
    if !fields.next()?.is_empty() {
        return None;
    }
    Some((
        fields.next().unwrap_or_default(),
        fields.next().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peek_finds_what_the_parsed_header_says() {
        let text = concat!(
            "MSH|^~\\&|AN1|LAB|BRIDGE|LAB2|20250115103000+0700||ACK^R01^ACK|A1|P^T|2.5.1^x|||AL|NE|",
            "|UNICODE UTF-8~8859/1|||LAB-29^IHE\rMSA|AA|4711|fine\r",
        );
        let peeked = peek(text.as_bytes()).unwrap();
        let message = crate::hl7::Message::parse(text).unwrap().0;
        let header = message.header();
        assert_eq!(peeked.control_id, header.control_id().as_bytes());
        assert_eq!(peeked.control_id, b"A1");
        assert_eq!(peeked.message_type, header.message_type().as_bytes());
        assert_eq!(
            (peeked.trigger, peeked.version),
            (&b"R01"[..], &b"2.5.1"[..])
        );
        assert_eq!(
            (peeked.accept_ack, peeked.application_ack),
            (&b"AL"[..], &b"NE"[..])
        );
        assert_eq!(
            peeked.sending_application,
            header.sending_application().raw().as_bytes()
        );
        assert_eq!(peeked.sending_facility, b"LAB");
        assert_eq!(peeked.charset, b"UNICODE UTF-8~8859/1");
        assert_eq!(
            header.charsets().collect::<Vec<_>>(),
            ["UNICODE UTF-8", "8859/1"]
        );
        assert_eq!(header.profiles().collect::<Vec<_>>(), ["LAB-29^IHE"]);
        assert_eq!(peeked.msa, Some((&b"AA"[..], &b"4711"[..])));
        assert_eq!(header.processing_id(), "P");
        assert_eq!(header.structure(), "ACK");
        assert_eq!(header.receiving_application().raw(), "BRIDGE");
        assert_eq!(header.receiving_facility().raw(), "LAB2");
        assert_eq!(header.time(), "20250115103000+0700");
        assert_eq!((header.version(), header.accept_ack()), ("2.5.1", "AL"));
        assert_eq!(header.application_ack(), "NE");
    }

    #[test]
    fn a_peek_needs_no_more_than_msh_says() {
        let short = peek(b"MSH|^~\\&|A").unwrap();
        assert_eq!(
            (short.sending_application, short.control_id),
            (&b"A"[..], &b""[..])
        );
        assert_eq!(short.msa, None);
        assert_eq!(peek(b""), None);
        assert_eq!(peek(b"\r\n"), None);
        assert_eq!(peek(b"PID|1"), None);
        assert!(peek(b"\xEF\xBB\xBF\r\nMSH|^~\\&|\xE9").is_some());
        assert_eq!(
            peek(b"MSH|^~\\&|A\rMSAX|AA|1\rMSA").unwrap().msa,
            Some((&b""[..], &b""[..]))
        );
    }
}
