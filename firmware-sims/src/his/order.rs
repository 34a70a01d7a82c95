//! What the simulated HIS writes: orders, changes, cancels, patient data, merges.

use bytes::Bytes;

use crate::text::escape;

/// A patient as the HIS knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Hospital number, PID-3 `PI`.
    pub id: String,
    /// Citizen id, PID-3 `NI`; may be empty.
    pub national_id: String,
    /// Insurance card, PID-3 `HC`; may be empty.
    pub insurance: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// Middle names.
    pub middle: String,
    /// `YYYYMMDD`.
    pub birth: String,
    /// `M` or `F`.
    pub sex: String,
}

/// One thing ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The HIS's number of this item; unique and never changed.
    pub placer: String,
    /// The HIS's code of the service.
    pub service: String,
    /// Its name.
    pub name: String,
}

/// What an order message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// NW.
    New,
    /// CA.
    Cancel,
    /// XO.
    Change,
}

impl Control {
    /// ORC-1.
    pub const fn code(self) -> &'static str {
        match self {
            Self::New => "NW",
            Self::Cancel => "CA",
            Self::Change => "XO",
        }
    }
}

/// One request form: one patient, one tube, some services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub control: Control,
    /// Whom it is for.
    pub patient: Patient,
    /// ORC-4.
    pub group: String,
    /// The tube.
    pub barcode: String,
    /// What is ordered.
    pub items: Vec<Item>,
    /// Whether it is urgent.
    pub is_stat: bool,
    /// Point of care, PV1-3.
    pub ward: String,
    /// PV1-19.
    pub visit: String,
    /// Collection, `YYYYMMDDHHMMSS`.
    pub collected: String,
    /// What tube it is, SPM-4 as written there; version 2.3.1 does not say it.
    pub tube_type: String,
}

/// Which HL7 the HIS speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 2.3.1: ORM^O01, the barcode in OBR-18.
    V231,
    /// 2.5.1: OML^O21, the barcode in SPM-2.
    #[default]
    V251,
}

impl Version {
    /// MSH-12.
    pub const fn code(self) -> &'static str {
        match self {
            Self::V231 => "2.3.1",
            Self::V251 => "2.5.1",
        }
    }
}

/// Writes the messages of one HIS.
#[derive(Clone, Debug)]
pub struct Writer {
    version: Version,
    prefix: String,
    control: u64,
}

/// A message and the id it will be acknowledged under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// MSH-10.
    pub control_id: String,
    /// The message; it never changes, however often it is sent.
    pub bytes: Bytes,
}

impl Writer {
    /// A writer whose control ids begin with `prefix`.
    pub fn new(version: Version, prefix: impl Into<String>) -> Self {
        Self {
            version,
            prefix: prefix.into(),
            control: 0,
        }
    }

    /// A writer that began at `time` (`YYYYMMDDHHMMSS`). The time is part of the ids, so that a
    /// second start does not repeat them; with it they are 18 of the 20 characters of MSH-10.
    pub fn since(version: Version, time: &str) -> Self {
        let short: String = time.chars().skip(4).collect();
        Self::new(version, format!("H{short}-"))
    }

    /// A request: OML^O21 or ORM^O01 (HL7 v2.5.1 4.4.6, v2.3.1 4.3).
    pub fn request(&mut self, request: &Request, time: &str) -> Written {
        let kind = match self.version {
            Version::V231 => "ORM^O01",
            Version::V251 => "OML^O21^OML_O21",
        };
        let mut segments = vec![
            pid(&request.patient),
            format!(
                "PV1|1|O|{}^^^BV01||||||||||||||||{}",
                escape(&request.ward),
                escape(&request.visit)
            ),
        ];
        for (index, item) in request.items.iter().enumerate() {
            segments.extend(self.item(request, item, index + 1, time));
        }
        self.write(kind, time, &segments)
    }

    /// New patient data: ADT^A08.
    pub fn update(&mut self, patient: &Patient, time: &str) -> Written {
        let segments = [format!("EVN||{time}"), pid(patient), "PV1|1|O".to_owned()];
        let kind = match self.version {
            Version::V231 => "ADT^A08",
            Version::V251 => "ADT^A08^ADT_A01",
        };
        self.write(kind, time, &segments)
    }

    /// One patient under two numbers: ADT^A40. `gone` is the number that disappears.
    pub fn merge(&mut self, survivor: &Patient, gone: &str, time: &str) -> Written {
        let segments = [
            format!("EVN||{time}"),
            pid(survivor),
            format!("MRG|{}^^^BV01^PI", escape(gone)),
        ];
        let kind = match self.version {
            Version::V231 => "ADT^A40",
            Version::V251 => "ADT^A40^ADT_A39",
        };
        self.write(kind, time, &segments)
    }

    fn item(&self, request: &Request, item: &Item, number: usize, time: &str) -> Vec<String> {
        let control = request.control.code();
        let priority = if request.is_stat { "S" } else { "R" };
        let placer = escape(&item.placer);
        let group = escape(&request.group);
        let service = escape(&item.service);
        let name = escape(&item.name);
        let collected = &request.collected;
        let barcode = escape(&request.barcode);
        let tube_type = &request.tube_type;
        let orc = format!("ORC|{control}|{placer}^HIS||{group}^HIS|||||{time}|||BS015^LÊ^AN");
        match self.version {
            Version::V231 => vec![
                orc,
                format!(
                    "OBR|{number}|{placer}^HIS||{service}^{name}^L|{priority}|{collected}|{collected}|||||||||||{barcode}"
                ),
            ],
            Version::V251 => vec![
                orc,
                format!("TQ1|{number}||||||||{priority}"),
                format!("OBR|{number}|{placer}^HIS||{service}^{name}^L|||{collected}"),
                format!("SPM|1|{barcode}&HIS||{tube_type}|||||||P||||||{collected}"),
            ],
        }
    }

    fn write(&mut self, kind: &str, time: &str, segments: &[String]) -> Written {
        self.control = self.control.saturating_add(1);
        let control_id = format!("{}{:06}", self.prefix, self.control);
        let version = self.version.code();
        let mut out = format!(
            "MSH|^~\\&|HIS|BV01|LABWIRE|LAB|{time}||{kind}|{control_id}|P|{version}||||||UNICODE UTF-8\r"
        );
        for segment in segments {
            out.push_str(segment);
            out.push('\r');
        }
        Written {
            control_id,
            bytes: Bytes::from(out),
        }
    }
}

fn pid(patient: &Patient) -> String {
    let mut ids = format!("{}^^^BV01^PI", escape(&patient.id));
    if !patient.national_id.is_empty() {
        ids.push_str(&format!("~{}^^^VN^NI", escape(&patient.national_id)));
    }
    if !patient.insurance.is_empty() {
        ids.push_str(&format!("~{}^^^BHXH^HC", escape(&patient.insurance)));
    }
    format!(
        "PID|1||{ids}||{}^{}^{}||{}|{}",
        escape(&patient.family),
        escape(&patient.given),
        escape(&patient.middle),
        patient.birth,
        patient.sex
    )
}
