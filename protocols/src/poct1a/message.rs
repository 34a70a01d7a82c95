//! Messages as views of their bytes: what the standard names, typed, and everything else by its
//! place.
//!
//! Nothing is trimmed, converted or filled in. Where one thing is said twice the message is not read,
//! for there is no telling which is meant; its bytes are in the journal all the same.

use std::ops::Range;

use thiserror::Error;

use super::{
    notes,
    observation::{self, Service},
    take::Children,
    xml::{Document, Element, Fault, Value, XmlError},
};
use crate::wire::Note;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// The name of its root element, such as `OBS.R01`.
    pub name: &'m [u8],
    /// Its header.
    pub header: Header<'m>,
    /// What it says.
    pub body: Body<'m>,
    /// Elements beside the header and what was read.
    pub unknown: Vec<Unknown<'m>>,
}

/// `HDR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'m> {
    /// The message's name once more; not all devices say it.
    pub kind: Option<Value<'m>>,
    /// What an acknowledgement names.
    pub control_id: Option<Value<'m>>,
    /// `POCT1`.
    pub version: Option<Value<'m>>,
    /// When it was made, as `2019-02-22T11:02:44-00:00`.
    pub created: Option<Value<'m>>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'m> {
    /// `HEL.R01`: which device this is.
    Hello(Box<Device<'m>>),
    /// `DST.R01`: how the device is, and what is new on it.
    Status(Status<'m>),
    /// `ACK.R01`.
    Acknowledgement(Acknowledgement<'m>),
    /// `REQ.R01`: of a host for observations or events, of a device for a patient.
    Request(Request<'m>),
    /// `OBS.R01` (patients) and `OBS.R02` (controls, calibrations).
    Observations(Vec<Service<'m>>),
    /// `EVS.R01`.
    Events(Vec<Event<'m>>),
    /// `EOT.R01`, and the topic that it ends.
    EndOfTopic(Option<Value<'m>>),
    /// `END.R01`, and why.
    End(Option<Value<'m>>),
    /// `ESC.R01`: the peer cannot go on with a message.
    Escape(Escape<'m>),
    /// `KPA.R01`: the line is alive.
    KeepAlive,
    /// `DTV.R01` and the like, and the command.
    Directive(Option<Value<'m>>),
    /// Anything else.
    Other,
}

/// A value with the name that people read and the system that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coded<'m> {
    /// The code.
    pub value: Value<'m>,
    /// `DN`: its name.
    pub name: Option<Value<'m>>,
    /// `SN`: the system; `LN` is LOINC.
    pub system: Option<Value<'m>>,
}

/// An element that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown<'m> {
    /// Its name.
    pub name: &'m [u8],
    /// Where it lies in the message, tags included.
    pub span: Range<usize>,
}

/// `DEV`: a device, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device<'m> {
    /// Device id: a network address, a name, or both.
    pub id: Option<Value<'m>>,
    /// Vendor.
    pub vendor: Option<Value<'m>>,
    /// Model.
    pub model: Option<Value<'m>>,
    /// Serial number.
    pub serial: Option<Value<'m>>,
    /// Manufacturer's name.
    pub manufacturer: Option<Value<'m>>,
    /// Software version.
    pub software: Option<Value<'m>>,
    /// Name of the device.
    pub name: Option<Value<'m>>,
    /// Seconds that it waits for an answer (`DCP.application_timeout`).
    pub patience_s: Option<Value<'m>>,
    /// `SA` for single conversations, `CS` for continuous ones.
    pub profile: Option<Value<'m>>,
    /// Topics that it supports.
    pub topics: Vec<Value<'m>>,
    /// Directives that it obeys.
    pub directives: Vec<Value<'m>>,
    /// Bytes of the longest message that it takes.
    pub message_max: Option<Value<'m>>,
    /// Everything else in `DEV`, `DCP` and `DSC`.
    pub unknown: Vec<Unknown<'m>>,
}

/// `DST`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status<'m> {
    /// When.
    pub time: Option<Value<'m>>,
    /// How many observations have not been sent.
    pub new_observations: Option<Value<'m>>,
    /// How many events have not been sent.
    pub new_events: Option<Value<'m>>,
    /// `R`: ready.
    pub condition: Option<Value<'m>>,
}

/// `ACK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement<'m> {
    /// `AA` or `AE`.
    pub code: Option<Value<'m>>,
    /// The control id of the message that it is for.
    pub control_id: Option<Value<'m>>,
    /// Words.
    pub note: Option<Value<'m>>,
}

impl Acknowledgement<'_> {
    /// Whether it says that the message was taken.
    pub fn is_accepted(&self) -> bool {
        self.code.is_some_and(|code| code.raw() == b"AA")
    }
}

/// `REQ`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'m> {
    /// `ROBS` observations, `RDEV` events, `RPAT` a patient.
    pub code: Option<Value<'m>>,
    /// The patient or sample asked for.
    pub patient_id: Option<Value<'m>>,
}

/// `EVT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'m> {
    /// What happened.
    pub description: Option<Value<'m>>,
    /// When.
    pub time: Option<Value<'m>>,
    /// `C` critical, `W` warning, `N` note.
    pub severity: Option<Value<'m>>,
    /// Who was there.
    pub operator: Option<Value<'m>>,
    /// Everything else.
    pub unknown: Vec<Unknown<'m>>,
}

impl<'m> Event<'m> {
    fn with(mut self, unknown: Vec<Unknown<'m>>) -> Self {
        self.unknown.extend(unknown);
        self
    }
}

/// `ESC`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escape<'m> {
    /// The control id of the message that cannot be gone on with.
    pub control_id: Option<Value<'m>>,
    /// Why.
    pub detail: Option<Value<'m>>,
    /// Words.
    pub note: Option<Value<'m>>,
}

/// Why a message is not read. Its bytes are in the journal all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It is no well-formed XML.
    #[error("read a message: {0}")]
    Malformed(XmlError),
    /// It has a document type or a declaration inside.
    #[error("read a message: a declaration at {at} is not read")]
    Forbidden {
        /// The offset.
        at: usize,
    },
    /// More elements, depth or attributes than the limits.
    #[error("read a message: a limit is passed at {at}")]
    Limit {
        /// The offset.
        at: usize,
    },
    /// Something that can be once is there twice.
    #[error("read a message: what stands at {at} was said already")]
    Twice {
        /// The offset of the second one.
        at: usize,
    },
    /// An observation that does not say of what.
    #[error("read the observation at {at}: it names nothing")]
    Nameless {
        /// The offset of the observation.
        at: usize,
    },
}

impl ReadError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "POC-0301",
            Self::Forbidden { .. } => "POC-0302",
            Self::Limit { .. } => "POC-0303",
            Self::Twice { .. } => "POC-0304",
            Self::Nameless { .. } => "POC-0305",
        }
    }
}

impl From<XmlError> for ReadError {
    fn from(error: XmlError) -> Self {
        match error.fault {
            Fault::Forbidden => Self::Forbidden { at: error.at },
            Fault::Limit => Self::Limit { at: error.at },
            Fault::Unended | Fault::Tag | Fault::Mismatch | Fault::Twice | Fault::Outside => {
                Self::Malformed(error)
            }
        }
    }
}

/// Reads one message of the link.
///
/// # Errors
/// What of it cannot be read safely. A message that is read for a part is not read.
pub fn read(message: &[u8]) -> Result<(Message<'_>, Vec<Note>), ReadError> {
    let document = Document::read(message)?;
    let root = document.root().ok_or(XmlError {
        fault: Fault::Unended,
        at: 0,
    })?;
    let mut notes = Vec::new();
    note_references(root, &mut notes);
    let message = read_root(root, &mut notes)?;
    if let Some(unknown) = first_unknown(&message) {
        notes.push(notes::UNKNOWN_KEPT.at(count(unknown.span.start)));
    }
    Ok((message, notes))
}

/// Reads the message whose root element this is.
pub(super) fn read_root<'m>(
    root: Element<'_, 'm>,
    notes: &mut Vec<Note>,
) -> Result<Message<'m>, ReadError> {
    let mut children = Children::of(root);
    let mut unknown = Vec::new();
    let kept = &mut unknown;
    let header = header(children.one(b"HDR")?, kept)?;
    let body = match root.name() {
        b"HEL.R01" => Body::Hello(Box::new(device(children.one(b"DEV")?)?)),
        b"DST.R01" => Body::Status(status(&mut children, kept)?),
        b"ACK.R01" => Body::Acknowledgement(acknowledgement(&mut children, kept)?),
        b"REQ.R01" => Body::Request(request(&mut children, kept)?),
        b"OBS.R01" => Body::Observations(observation::services(&mut children, true, notes)?),
        b"OBS.R02" => Body::Observations(observation::services(&mut children, false, notes)?),
        b"EVS.R01" => Body::Events(events(&mut children)?),
        b"EOT.R01" => Body::EndOfTopic(inner(&mut children, b"EOT", b"EOT.topic_cd", kept)?),
        b"END.R01" => Body::End(inner(&mut children, b"TRM", b"TRM.reason_cd", kept)?),
        b"ESC.R01" => Body::Escape(escape(&mut children, kept)?),
        b"KPA.R01" => Body::KeepAlive,
        name if name.starts_with(b"DTV.") => {
            Body::Directive(inner(&mut children, b"DTV", b"DTV.command_cd", kept)?)
        }
        _ => Body::Other,
    };
    Ok(Message {
        name: root.name(),
        header,
        body,
        unknown: {
            unknown.extend(children.unknown());
            unknown
        },
    })
}

fn first_unknown<'a, 'm>(message: &'a Message<'m>) -> Option<&'a Unknown<'m>> {
    let inside: Vec<&Unknown<'m>> = match &message.body {
        Body::Hello(device) => device.unknown.iter().collect(),
        Body::Observations(services) => services.iter().flat_map(Service::all_unknown).collect(),
        Body::Events(events) => events.iter().flat_map(|event| &event.unknown).collect(),
        Body::Status(_)
        | Body::Acknowledgement(_)
        | Body::Request(_)
        | Body::EndOfTopic(_)
        | Body::End(_)
        | Body::Escape(_)
        | Body::KeepAlive
        | Body::Directive(_)
        | Body::Other => Vec::new(),
    };
    inside
        .into_iter()
        .chain(&message.unknown)
        .min_by_key(|unknown| unknown.span.start)
}

/// Notes the first reference that means nothing.
fn note_references(root: Element<'_, '_>, notes: &mut Vec<Note>) {
    // Depth is bounded by the document's own limit.
    let mut waiting = vec![root];
    while let Some(element) = waiting.pop() {
        let values = element.attributes().iter().map(|attribute| attribute.value);
        let mut values = values.chain(element.text());
        if values.any(|value| value.has_odd_reference()) {
            notes.push(notes::REFERENCE_ODD.at(count(element.span().start)));
            return;
        }
        waiting.extend(element.children());
    }
}

fn header<'m>(
    element: Option<Element<'_, 'm>>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Header<'m>, ReadError> {
    let Some(element) = element else {
        return Ok(Header::default());
    };
    let mut children = Children::of(element);
    let header = Header {
        kind: children.value(b"HDR.message_type")?,
        control_id: children.value(b"HDR.control_id")?,
        version: children.value(b"HDR.version_id")?,
        created: children.value(b"HDR.creation_dttm")?,
    };
    unknown.extend(children.unknown());
    Ok(header)
}

fn device<'m>(element: Option<Element<'_, 'm>>) -> Result<Device<'m>, ReadError> {
    let Some(element) = element else {
        return Ok(Device::default());
    };
    let mut dev = Children::of(element);
    let mut device = Device {
        id: dev.value(b"DEV.device_id")?,
        vendor: dev.value(b"DEV.vendor_id")?,
        model: dev.value(b"DEV.model_id")?,
        serial: dev.value(b"DEV.serial_id")?,
        manufacturer: dev.value(b"DEV.manufacturer_name")?,
        software: dev.value(b"DEV.sw_version")?,
        name: dev.value(b"DEV.device_name")?,
        ..Device::default()
    };
    if let Some(element) = dev.one(b"DCP")? {
        let mut dcp = Children::of(element);
        device.patience_s = dcp.value(b"DCP.application_timeout")?;
        device.unknown.extend(dcp.unknown());
    }
    if let Some(element) = dev.one(b"DSC")? {
        let mut dsc = Children::of(element);
        device.profile = dsc.value(b"DSC.connection_profile_cd")?;
        device.message_max = dsc.value(b"DSC.max_message_sz")?;
        device.topics = values(&dsc.all(b"DSC.topics_supported_cd"));
        device.directives = values(&dsc.all(b"DSC.directives_supported_cd"));
        device.unknown.extend(dsc.unknown());
    }
    device.unknown.extend(dev.unknown());
    Ok(device)
}

fn values<'m>(elements: &[Element<'_, 'm>]) -> Vec<Value<'m>> {
    elements.iter().filter_map(Element::value).collect()
}

fn status<'m>(
    children: &mut Children<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Status<'m>, ReadError> {
    let Some(element) = children.one(b"DST")? else {
        return Ok(Status::default());
    };
    let mut dst = Children::of(element);
    let status = Status {
        time: dst.value(b"DST.status_dttm")?,
        new_observations: dst.value(b"DST.new_observations_qty")?,
        new_events: dst.value(b"DST.new_events_qty")?,
        condition: dst.value(b"DST.condition_cd")?,
    };
    unknown.extend(dst.unknown());
    Ok(status)
}

fn acknowledgement<'m>(
    children: &mut Children<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Acknowledgement<'m>, ReadError> {
    let Some(element) = children.one(b"ACK")? else {
        return Ok(Acknowledgement {
            code: None,
            control_id: None,
            note: None,
        });
    };
    let mut ack = Children::of(element);
    // Sofia's specification calls it `type_id` (C).
    let code = match ack.value(b"ACK.type_cd")? {
        None => ack.value(b"ACK.type_id")?,
        code => code,
    };
    let control_id = match ack.value(b"ACK.ack_control_id")? {
        None => ack.value(b"ACK.control_id")?,
        control_id => control_id,
    };
    let note = ack.value(b"ACK.note_txt")?;
    unknown.extend(ack.unknown());
    Ok(Acknowledgement {
        code,
        control_id,
        note,
    })
}

fn request<'m>(
    children: &mut Children<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Request<'m>, ReadError> {
    let Some(element) = children.one(b"REQ")? else {
        return Ok(Request::default());
    };
    let mut req = Children::of(element);
    let request = Request {
        code: req.value(b"REQ.request_cd")?,
        patient_id: inner(&mut req, b"PT", b"PT.patient_id", unknown)?,
    };
    unknown.extend(req.unknown());
    Ok(request)
}

fn events<'m>(children: &mut Children<'_, 'm>) -> Result<Vec<Event<'m>>, ReadError> {
    let event = |element| {
        let mut evt = Children::of(element);
        let mut unknown = Vec::new();
        let operator = inner(&mut evt, b"OPR", b"OPR.operator_id", &mut unknown)?;
        let event = Event {
            description: evt.value(b"EVT.description")?,
            time: evt.value(b"EVT.event_dttm")?,
            severity: evt.value(b"EVT.severity_cd")?,
            operator,
            unknown,
        };
        Ok(event.with(evt.unknown()))
    };
    children.all(b"EVT").into_iter().map(event).collect()
}

fn escape<'m>(
    children: &mut Children<'_, 'm>,
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Escape<'m>, ReadError> {
    let Some(element) = children.one(b"ESC")? else {
        return Ok(Escape::default());
    };
    let mut esc = Children::of(element);
    let escape = Escape {
        control_id: esc.value(b"ESC.esc_control_id")?,
        detail: esc.value(b"ESC.detail_cd")?,
        note: esc.value(b"ESC.note_txt")?,
    };
    unknown.extend(esc.unknown());
    Ok(escape)
}

/// The value of an element's only child of interest.
pub(super) fn inner<'m>(
    children: &mut Children<'_, 'm>,
    outer: &[u8],
    name: &[u8],
    unknown: &mut Vec<Unknown<'m>>,
) -> Result<Option<Value<'m>>, ReadError> {
    let Some(element) = children.one(outer)? else {
        return Ok(None);
    };
    let mut inside = Children::of(element);
    let value = inside.value(name)?;
    unknown.extend(inside.unknown());
    Ok(value)
}

/// A length as a note carries it.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
