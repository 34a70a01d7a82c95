//! A POCT1-A device at the bedside: it says hello, reports when it is asked for what is new, and ends.

use bytes::Bytes;
use labwire_protocols::wire::SendOutcome;

use super::{Language, Meaning, Ordered, Run, Status, Talk, Words, measure::Measured};
use crate::{
    clock::Clock,
    persona::{Analyte, Poct1aShape, Scale},
    text::fill,
};

/// The messages of a device. The link gives each its control id.
#[derive(Debug)]
pub(super) struct Poct1aLanguage {
    shape: Poct1aShape,
    clock: Clock,
    /// The data manager asked for observations in this conversation.
    is_asked: bool,
}

impl Poct1aLanguage {
    pub(super) const fn new(shape: Poct1aShape, clock: Clock) -> Self {
        Self {
            shape,
            clock,
            is_asked: false,
        }
    }

    /// A message of this name, made at this time of the device's clock.
    fn message(&self, name: &str, time: &str, body: &str) -> Bytes {
        let time = self.time(time);
        let header = format!(
            "<HDR><HDR.message_type V=\"{name}\"/><HDR.control_id V=\"1\"/>\
             <HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"{time}\"/></HDR>"
        );
        Bytes::from(format!("<{name}>{header}{body}</{name}>"))
    }

    /// `YYYYMMDDHHMMSS` as XML has it, with its zone.
    fn time(&self, stamp: &str) -> String {
        let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or("00");
        let (year, zone) = (part(0, 4), self.clock.zone());
        let [month, day] = [part(4, 6), part(6, 8)];
        let [hour, minute, second] = [part(8, 10), part(10, 12), part(12, 14)];
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}{zone}")
    }

    fn hello(&self, time: &str) -> Bytes {
        let body = fill(
            "<DEV><DEV.device_id V=\"{device}\"/><DEV.vendor_id V=\"{vendor}\"/>\
             <DEV.model_id V=\"{model}\"/><DEV.serial_id V=\"{serial}\"/>\
             <DCP><DCP.application_timeout V=\"60\"/></DCP>\
             <DSC><DSC.connection_profile_cd V=\"SA\"/></DSC></DEV>",
            &[
                ("device", self.shape.device),
                ("vendor", self.shape.vendor),
                ("model", self.shape.model),
                ("serial", self.shape.serial),
            ],
        );
        self.message("HEL.R01", time, &body)
    }

    fn status(&self, time: &str, count: usize) -> Bytes {
        let at = self.time(time);
        let body = format!(
            "<DST><DST.status_dttm V=\"{at}\"/><DST.new_observations_qty V=\"{count}\"/>\
             <DST.condition_cd V=\"R\"/></DST>"
        );
        self.message("DST.R01", time, &body)
    }
}

fn observation(measured: &Measured) -> String {
    let status = match measured.status {
        Status::Final | Status::Preliminary => "A",
        Status::CannotBeDone => "D",
    };
    fill(
        "<OBS><OBS.observation_id V=\"{code}\" DN=\"{name}\" SN=\"LN\"/>\
         <OBS.value V=\"{value}\" U=\"{unit}\"/><OBS.method_cd V=\"M\"/>\
         <OBS.status_cd V=\"{status}\"/><OBS.interpretation_cd V=\"{flag}\"/>{normal}</OBS>",
        &[
            ("code", measured.analyte.code),
            ("name", measured.analyte.test),
            ("value", &escape(&measured.text)),
            ("unit", &escape(measured.analyte.unit)),
            ("status", status),
            ("flag", measured.flag),
            ("normal", &normal(measured.analyte)),
        ],
    )
}

fn normal(analyte: &Analyte) -> String {
    match analyte.scale {
        Scale::Number { .. } => {
            let range = super::measure::range(analyte, ";");
            format!("<OBS.normal_lo-hi_limit V=\"[{range}]\"/>")
        }
        Scale::Choice(_) => String::new(),
    }
}

/// Text that may stand in an attribute.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

impl Language for Poct1aLanguage {
    /// It asks nothing: what it measures is a cartridge, and the order is typed in at the bedside.
    fn query(&mut self, _words: &Words<'_>) -> Bytes {
        Bytes::new()
    }

    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        let id = escape(words.specimen);
        let found: String = run.results.iter().map(observation).collect();
        let (name, role, subject) = if words.is_control {
            let control = format!(
                "<CTC><CTC.name V=\"{id}\"/><CTC.lot_number V=\"{id}\"/>\
                 <CTC.level_cd V=\"1\"/>{found}</CTC>"
            );
            ("OBS.R02", "LQC", control)
        } else {
            ("OBS.R01", "OBS", format!("<PT>{found}</PT>"))
        };
        let order = if words.is_control {
            String::new()
        } else {
            format!(
                "<ORD><ORD.universal_service_id V=\"{}\"/><ORD.order_id V=\"{id}\"/></ORD>",
                self.shape.service
            )
        };
        let at = self.time(&run.completed);
        let service = format!(
            "<SVC><SVC.role_cd V=\"{role}\"/><SVC.observation_dttm V=\"{at}\"/>\
             <SVC.status_cd V=\"NRM\"/><SVC.reason_cd V=\"NEW\"/>{subject}\
             <OPR><OPR.operator_id V=\"OP7\"/></OPR>{order}</SVC>"
        );
        self.message(name, words.time, &service)
    }

    /// Nothing is ordered; but a request opens the way for what is new.
    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        let text: String = message.iter().map(|byte| char::from(*byte)).collect();
        self.is_asked |= text.contains("<REQ.R01>") && text.contains("\"ROBS\"");
        None
    }

    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        let reply = match outcome {
            SendOutcome::Answered(reply) => reply,
            SendOutcome::Sent => return Meaning::Acknowledged,
            SendOutcome::Failed(_) => return Meaning::Failed,
        };
        let text: String = reply.iter().map(|byte| char::from(*byte)).collect();
        if text.contains("<ACK.type_cd V=\"AA\"/>") {
            Meaning::Acknowledged
        } else {
            Meaning::Refused
        }
    }

    fn on_open(&mut self) {
        self.is_asked = false;
    }

    fn opening(&mut self, talk: Talk, time: &str) -> Vec<Bytes> {
        self.is_asked = false;
        match talk {
            Talk::Query => Vec::new(),
            Talk::Results(count) => vec![self.hello(time), self.status(time, count)],
        }
    }

    fn closing(&mut self, talk: Talk, time: &str) -> Vec<Bytes> {
        match talk {
            Talk::Query => Vec::new(),
            Talk::Results(_) => {
                let body = "<EOT><EOT.topic_cd V=\"OBS\"/></EOT>";
                vec![self.message("EOT.R01", time, body)]
            }
        }
    }

    fn begins_again(&self) -> bool {
        true
    }

    fn may_report(&self) -> bool {
        self.is_asked
    }
}
