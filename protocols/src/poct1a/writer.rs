//! Writes messages that cannot be read otherwise than they were meant.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::dialect::AckName;

/// Who a message is from, in the sense of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'t> {
    /// The control id. The link gives each message that it sends an id of its own.
    pub control_id: &'t str,
    /// When it was made, as `2019-02-22T11:02:44-00:00`; without it the element is left out.
    pub created: Option<&'t str>,
}

/// What a device says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceText<'t> {
    /// Device id.
    pub id: &'t str,
    /// Vendor.
    pub vendor: Option<&'t str>,
    /// Model.
    pub model: Option<&'t str>,
    /// Serial number.
    pub serial: Option<&'t str>,
    /// Software version.
    pub software: Option<&'t str>,
    /// Name.
    pub name: Option<&'t str>,
    /// `SA` or `CS`.
    pub profile: Option<&'t str>,
}

/// Of whom or of what observations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectText<'t> {
    /// A patient, in `OBS.R01`.
    Patient {
        /// The id that was typed or scanned.
        id: &'t str,
        /// Location.
        location: Option<&'t str>,
    },
    /// A control, in `OBS.R02`.
    Control {
        /// Name.
        name: &'t str,
        /// Lot.
        lot: &'t str,
        /// Level.
        level: Option<&'t str>,
        /// Until when it may be used.
        expires: Option<&'t str>,
    },
}

/// One finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservationText<'t> {
    /// Code.
    pub id: &'t str,
    /// Its name.
    pub name: Option<&'t str>,
    /// The system of the code.
    pub system: Option<&'t str>,
    /// The value.
    pub value: &'t str,
    /// Its unit; not for words.
    pub unit: Option<&'t str>,
    /// Whether the value is words.
    pub is_qualitative: bool,
    /// How it came about.
    pub method: Option<&'t str>,
    /// Its status.
    pub status: Option<&'t str>,
    /// How it is to be seen.
    pub interpretation: Option<&'t str>,
    /// Reference range.
    pub normal: Option<&'t str>,
    /// A remark.
    pub note: Option<&'t str>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceText<'t> {
    /// Its role.
    pub role: &'t str,
    /// When.
    pub time: &'t str,
    /// `NEW` or `RES`.
    pub reason: Option<&'t str>,
    /// Of whom or of what.
    pub subject: SubjectText<'t>,
    /// What was found.
    pub observations: Vec<ObservationText<'t>>,
    /// Who measured.
    pub operator: Option<&'t str>,
}

/// Why a message is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// A character that XML has no way to write.
    #[error("write `{element}`: character {at} of it cannot stand in XML")]
    Character {
        /// The element.
        element: &'static str,
        /// Which byte of the text.
        at: usize,
    },
    /// Something that the message cannot do without.
    #[error("write `{element}`: it is empty")]
    Missing {
        /// The element.
        element: &'static str,
    },
    /// Observations of patients and of controls do not go into one message, nor do none.
    #[error("write observations: all of patients, or all of controls, at least one")]
    Mixed,
}

impl WriteError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Character { .. } => "POC-0401",
            Self::Missing { .. } => "POC-0402",
            Self::Mixed => "POC-0403",
        }
    }
}

/// Writes one message, element by element; the names are those of the standard.
#[derive(Debug)]
pub struct Writer {
    out: BytesMut,
    open: Vec<&'static str>,
}

type Written<T = ()> = Result<T, WriteError>;

impl Writer {
    /// Begins a message with its root element and its header.
    ///
    /// # Errors
    /// A control id that is empty, or text that XML cannot hold.
    pub fn begin(root: &'static str, head: Head<'_>) -> Written<Self> {
        let mut writer = Self {
            out: BytesMut::new(),
            open: Vec::new(),
        };
        writer.open(root);
        writer.open("HDR");
        writer.needed("HDR.control_id", head.control_id)?;
        writer.value("HDR.version_id", "POCT1")?;
        writer.optional("HDR.creation_dttm", head.created)?;
        writer.close();
        Ok(writer)
    }

    /// Begins an element.
    pub fn open(&mut self, name: &'static str) {
        self.put(b"<");
        self.put(name.as_bytes());
        self.put(b">");
        self.open.push(name);
    }

    /// Ends the element that was begun last.
    pub fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.put(b"</");
            self.put(name.as_bytes());
            self.put(b">");
        }
    }

    /// An element with its value.
    ///
    /// # Errors
    /// Text that XML cannot hold.
    pub fn value(&mut self, name: &'static str, value: &str) -> Written {
        self.attributed(name, &[("V", Some(value))])
    }

    /// An element with its attributes; those that are `None` are left out.
    ///
    /// # Errors
    /// Text that XML cannot hold.
    pub fn attributed(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, Option<&str>)],
    ) -> Written {
        self.put(b"<");
        self.put(name.as_bytes());
        for (attribute, value) in attributes {
            let Some(value) = value else { continue };
            if let Some(at) = forbidden(value) {
                return Err(WriteError::Character { element: name, at });
            }
            self.put(b" ");
            self.put(attribute.as_bytes());
            self.put(b"=\"");
            escape(&mut self.out, value.as_bytes());
            self.put(b"\"");
        }
        self.put(b"/>");
        Ok(())
    }

    /// An element with its value, if there is one.
    ///
    /// # Errors
    /// Text that XML cannot hold.
    pub fn optional(&mut self, name: &'static str, value: Option<&str>) -> Written {
        value.map_or(Ok(()), |value| self.value(name, value))
    }

    /// Ends everything that is open.
    pub fn finish(mut self) -> Bytes {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.freeze()
    }

    fn needed(&mut self, name: &'static str, value: &str) -> Written {
        if value.is_empty() {
            return Err(WriteError::Missing { element: name });
        }
        self.value(name, value)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// Where a text holds a character that XML 1.0 (2.2) does not have.
fn forbidden(text: &str) -> Option<usize> {
    text.char_indices()
        .find(|(_, c)| {
            (*c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{FFFE}' | '\u{FFFF}')
        })
        .map(|(at, _)| at)
}

/// Text between double quotes. White space is written by number, as a reader may make spaces of it.
pub(super) fn escape(out: &mut BytesMut, text: &[u8]) {
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\t' => out.extend_from_slice(b"&#9;"),
            b'\n' => out.extend_from_slice(b"&#10;"),
            b'\r' => out.extend_from_slice(b"&#13;"),
            _ => out.extend_from_slice(&[*byte]),
        }
    }
}

fn single(
    root: &'static str,
    head: Head<'_>,
    object: &'static str,
    field: (&'static str, &str),
) -> Written<Bytes> {
    let mut writer = Writer::begin(root, head)?;
    writer.open(object);
    writer.needed(field.0, field.1)?;
    Ok(writer.finish())
}

/// `HEL.R01`.
///
/// # Errors
/// No device id, or text that XML cannot hold.
pub fn hello(head: Head<'_>, device: &DeviceText<'_>) -> Written<Bytes> {
    let mut writer = Writer::begin("HEL.R01", head)?;
    writer.open("DEV");
    writer.needed("DEV.device_id", device.id)?;
    writer.optional("DEV.vendor_id", device.vendor)?;
    writer.optional("DEV.model_id", device.model)?;
    writer.optional("DEV.serial_id", device.serial)?;
    writer.optional("DEV.sw_version", device.software)?;
    writer.optional("DEV.device_name", device.name)?;
    if let Some(profile) = device.profile {
        writer.open("DSC");
        writer.value("DSC.connection_profile_cd", profile)?;
        writer.close();
    }
    Ok(writer.finish())
}

/// `DST.R01`.
///
/// # Errors
/// No time, or text that XML cannot hold.
pub fn status(head: Head<'_>, time: &str, observations: u32, events: u32) -> Written<Bytes> {
    let mut writer = Writer::begin("DST.R01", head)?;
    writer.open("DST");
    writer.needed("DST.status_dttm", time)?;
    writer.value("DST.new_observations_qty", &observations.to_string())?;
    writer.value("DST.new_events_qty", &events.to_string())?;
    writer.value("DST.condition_cd", "R")?;
    Ok(writer.finish())
}

/// `OBS.R01` for patients, `OBS.R02` for controls.
///
/// # Errors
/// Patients and controls in one message, an observation without a code, or text that XML cannot hold.
pub fn observations(head: Head<'_>, services: &[ServiceText<'_>]) -> Written<Bytes> {
    let is_patient =
        |service: &ServiceText<'_>| matches!(service.subject, SubjectText::Patient { .. });
    let patients = services
        .iter()
        .filter(|service| is_patient(service))
        .count();
    let root = match patients {
        0 => "OBS.R02",
        _ => "OBS.R01",
    };
    if services.is_empty() || (patients != 0 && patients != services.len()) {
        return Err(WriteError::Mixed);
    }
    let mut writer = Writer::begin(root, head)?;
    for service in services {
        write_service(&mut writer, service)?;
    }
    Ok(writer.finish())
}

fn write_service(writer: &mut Writer, service: &ServiceText<'_>) -> Written {
    writer.open("SVC");
    writer.value("SVC.role_cd", service.role)?;
    writer.value("SVC.observation_dttm", service.time)?;
    writer.optional("SVC.reason_cd", service.reason)?;
    match service.subject {
        SubjectText::Patient { id, location } => {
            writer.open("PT");
            writer.value("PT.patient_id", id)?;
            writer.optional("PT.location", location)?;
        }
        SubjectText::Control {
            name,
            lot,
            level,
            expires,
        } => {
            writer.open("CTC");
            writer.value("CTC.name", name)?;
            writer.value("CTC.lot_number", lot)?;
            writer.optional("CTC.expiration_date", expires)?;
            writer.optional("CTC.level_cd", level)?;
        }
    }
    for observation in &service.observations {
        write_observation(writer, observation)?;
    }
    writer.close();
    if let Some(operator) = service.operator {
        writer.open("OPR");
        writer.value("OPR.operator_id", operator)?;
        writer.close();
    }
    writer.close();
    Ok(())
}

fn write_observation(writer: &mut Writer, observation: &ObservationText<'_>) -> Written {
    writer.open("OBS");
    if observation.id.trim().is_empty() {
        let element = "OBS.observation_id";
        return Err(WriteError::Missing { element });
    }
    writer.attributed(
        "OBS.observation_id",
        &[
            ("V", Some(observation.id)),
            ("DN", observation.name),
            ("SN", observation.system),
        ],
    )?;
    if observation.is_qualitative {
        writer.value("OBS.qualitative_value", observation.value)?;
    } else {
        let value = [("V", Some(observation.value)), ("U", observation.unit)];
        writer.attributed("OBS.value", &value)?;
    }
    writer.optional("OBS.method_cd", observation.method)?;
    writer.optional("OBS.status_cd", observation.status)?;
    writer.optional("OBS.interpretation_cd", observation.interpretation)?;
    writer.optional("OBS.normal_lo-hi_limit", observation.normal)?;
    if let Some(note) = observation.note {
        writer.open("NTE");
        writer.value("NTE.text", note)?;
        writer.close();
    }
    writer.close();
    Ok(())
}

/// `EVS.R01` with one event: its description, time and severity (`C`, `W`, `N`).
///
/// # Errors
/// Text that XML cannot hold.
pub fn event(head: Head<'_>, description: &str, time: &str, severity: &str) -> Written<Bytes> {
    let mut writer = Writer::begin("EVS.R01", head)?;
    writer.open("EVT");
    writer.value("EVT.description", description)?;
    writer.value("EVT.event_dttm", time)?;
    writer.value("EVT.severity_cd", severity)?;
    Ok(writer.finish())
}

/// `REQ.R01`: `ROBS` for observations, `RDEV` for events.
///
/// # Errors
/// No code, or text that XML cannot hold.
pub fn request(head: Head<'_>, code: &str) -> Written<Bytes> {
    single("REQ.R01", head, "REQ", ("REQ.request_cd", code))
}

/// `REQ.R01` of a device for a patient (`RPAT`).
///
/// # Errors
/// No id, or text that XML cannot hold.
pub fn patient_request(head: Head<'_>, patient_id: &str) -> Written<Bytes> {
    let mut writer = Writer::begin("REQ.R01", head)?;
    writer.open("REQ");
    writer.value("REQ.request_cd", "RPAT")?;
    writer.open("PT");
    writer.needed("PT.patient_id", patient_id)?;
    Ok(writer.finish())
}

/// `DTV.R01`: a directive without more, such as `START_CONTINUOUS`.
///
/// # Errors
/// No command, or text that XML cannot hold.
pub fn directive(head: Head<'_>, command: &str) -> Written<Bytes> {
    single("DTV.R01", head, "DTV", ("DTV.command_cd", command))
}

/// `DTV.R02` with `SET_TIME`: the device's clock, as `2019-02-22T11:02:44-00:00`.
///
/// # Errors
/// No time, or text that XML cannot hold.
pub fn set_time(head: Head<'_>, time: &str) -> Written<Bytes> {
    let mut writer = Writer::begin("DTV.R02", head)?;
    writer.open("DTV");
    writer.value("DTV.command_cd", "SET_TIME")?;
    writer.close();
    writer.open("TM");
    writer.needed("TM.dttm", time)?;
    Ok(writer.finish())
}

/// `EOT.R01`: the end of a topic (`OBS`, `D_EV`, `OPL` …).
///
/// # Errors
/// No topic, or text that XML cannot hold.
pub fn end_of_topic(head: Head<'_>, topic: &str) -> Written<Bytes> {
    single("EOT.R01", head, "EOT", ("EOT.topic_cd", topic))
}

/// `END.R01`, and why (`NRM` normally).
///
/// # Errors
/// No reason, or text that XML cannot hold.
pub fn end(head: Head<'_>, reason: &str) -> Written<Bytes> {
    single("END.R01", head, "TRM", ("TRM.reason_cd", reason))
}

/// `KPA.R01`.
///
/// # Errors
/// No control id, or text that XML cannot hold.
pub fn keep_alive(head: Head<'_>) -> Written<Bytes> {
    Ok(Writer::begin("KPA.R01", head)?.finish())
}

/// `ESC.R01`: the message with that control id cannot be gone on with.
///
/// # Errors
/// No control id, or text that XML cannot hold.
pub fn escape_message(head: Head<'_>, of: &str) -> Written<Bytes> {
    let mut writer = Writer::begin("ESC.R01", head)?;
    writer.open("ESC");
    writer.needed("ESC.esc_control_id", of)?;
    writer.value("ESC.detail_cd", "OTH")?;
    Ok(writer.finish())
}

/// `ACK.R01`: the message with that control id was taken (`AA`) or not (`AE`), and words about it.
///
/// # Errors
/// Text that XML cannot hold.
pub fn acknowledgement(
    head: Head<'_>,
    name: AckName,
    of: &str,
    (is_accepted, note): (bool, Option<&str>),
) -> Written<Bytes> {
    let mut writer = Writer::begin("ACK.R01", head)?;
    writer.open("ACK");
    writer.value("ACK.type_cd", if is_accepted { "AA" } else { "AE" })?;
    writer.value(name.element(), of)?;
    writer.optional("ACK.note_txt", note)?;
    Ok(writer.finish())
}
