//! Messages of HL7 chapter 13 as plain text, as the line writes and reads them.

use crate::text::{component, escape, field, part, segment, segments};

/// What is said of a tube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    Identified,
    InPosition { lane: &'a str },
    InProcess,
    Completed,
    Left { to: &'a str, lane: &'a str },
    Kept { place: &'a str },
    Missing,
}

impl Event<'_> {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Identified => "identified",
            Self::InPosition { .. } => "in position",
            Self::InProcess => "in process",
            Self::Completed => "completed",
            Self::Left { .. } => "left",
            Self::Kept { .. } => "kept",
            Self::Missing => "missing",
        }
    }

    /// SAC-8, SAC-13, SAC-14, SAC-15.
    fn fields(&self) -> [String; 4] {
        let of = |status: &str, tray: &str, position: &str, location: String| {
            [status, tray, position, &location].map(str::to_owned)
        };
        match self {
            Self::Identified => of("I^Identified^HL70370", "", "", String::new()),
            Self::InPosition { lane } => of("P", "", "", (*lane).to_owned()),
            Self::InProcess => of("O", "", "", String::new()),
            Self::Completed => of("R", "", "", String::new()),
            Self::Left { to, lane } => of("L", "", "", format!("{to}~{lane}")),
            Self::Kept { place } => of("R", "R1", place, "SHELF1".to_owned()),
            Self::Missing => of("M", "", "", String::new()),
        }
    }
}

/// Writes messages, each under its own control id.
#[derive(Debug)]
pub(super) struct Words {
    prefix: String,
    count: u64,
}

impl Words {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            count: 0,
        }
    }

    fn header(&mut self, time: &str, kind: &str) -> String {
        self.count += 1;
        let (prefix, count) = (&self.prefix, self.count);
        format!(
            "MSH|^~\\&|TRACK|LAB|LABWIRE|LAB|{time}||{kind}|{prefix}{count}|P|2.5.1|||AL|NE||UNICODE UTF-8\r"
        )
    }

    /// What is said of containers at a module, one SAC each.
    pub(super) fn containers(&mut self, time: &str, module: &str, containers: &[String]) -> String {
        let mut text = self.header(time, "SSU^U03^SSU_U03");
        text.push_str(&format!("EQU|{module}^TRACK|{time}|OP\r"));
        containers.iter().for_each(|sac| text.push_str(sac));
        text
    }

    /// The SAC of a container.
    pub(super) fn container(barcode: &str, event: &Event<'_>) -> String {
        let [status, tray, position, location] = event.fields();
        let barcode = escape(barcode);
        format!("SAC|||{barcode}|||||{status}|||||{tray}|{position}|{location}\r")
    }

    pub(super) fn state(&mut self, time: &str, module: &str, state: &str) -> String {
        let mut text = self.header(time, "ESU^U01^ESU_U01");
        text.push_str(&format!("EQU|{module}^TRACK|{time}|{state}\r"));
        text
    }

    /// Two packs for a test: one is used up, the other holds so many tests.
    pub(super) fn inventory(
        &mut self,
        time: &str,
        (module, test): (&str, &str),
        left: u32,
    ) -> String {
        let mut text = self.header(time, "INU^U05^INU_U05");
        let status = if left == 0 {
            "NE^Not Available Error"
        } else {
            "OK^OK Status"
        };
        text.push_str(&format!("EQU|{module}^TRACK|{time}|OP\r"));
        for (pack, status, left) in [(1, "NE^Not Available Error", 0), (2, status, left)] {
            text.push_str(&format!(
                "INV|R-{test}^{test}^99TRK|{status}^HL70383|SR^Single Test Reagent^HL70384|P{pack}\
                 |||100|{left}|{left}||{{tests}}||||{test}^{test}^99TRK\r"
            ));
        }
        text
    }

    pub(super) fn notification(
        &mut self,
        time: &str,
        module: &str,
        (state, code): (&str, &str),
    ) -> String {
        let mut text = self.header(time, "EAN^U09^EAN_U09");
        let number = self.count;
        text.push_str(&format!("EQU|{module}^TRACK|{time}|{state}\r"));
        text.push_str(&format!("NDS|{number}|{time}|S|{code}^^99TRK\r"));
        text
    }

    pub(super) fn response(&mut self, time: &str, command: &Command, outcome: &str) -> String {
        let mut text = self.header(time, "EAR^U08^EAR_U08");
        let Command {
            number,
            control,
            barcode,
            ..
        } = command;
        let barcode = escape(barcode);
        text.push_str(&format!("EQU|TRACK^LABWIRE|{time}\r"));
        text.push_str(&format!("ECD|{number}|{control}\r"));
        text.push_str(&format!("SAC|||{barcode}\r"));
        text.push_str(&format!("ECR|{outcome}^^HL70387|{time}\r"));
        text
    }

    /// CA for what asks for it; nothing for an acknowledgement.
    pub(super) fn acknowledgement(&mut self, time: &str, received: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(received).ok()?;
        let header = segment(text, "MSH")?;
        if component(field(header, 9), 1) == "ACK" {
            return None;
        }
        let asked = field(header, 10).to_owned();
        let mut reply = self.header(time, "ACK^U07^ACK");
        reply.push_str(&format!("MSA|CA|{asked}\r"));
        Some(reply)
    }
}

/// Whether a reply takes a message.
pub(super) fn is_taken(reply: &[u8]) -> bool {
    let text = std::str::from_utf8(reply).unwrap_or("");
    segments(text)
        .any(|segment| part(segment, '|', 1) == "MSA" && matches!(field(segment, 1), "CA" | "AA"))
}

/// EAC^U07: one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) number: String,
    pub(super) control: String,
    pub(super) to: String,
    pub(super) lane: String,
    pub(super) barcode: String,
}

impl Command {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        if component(field(segment(text, "MSH")?, 9), 1) != "EAC" {
            return None;
        }
        let command = segment(text, "ECD")?;
        let parameters = field(command, 5);
        Some(Self {
            number: field(command, 1).to_owned(),
            control: component(field(command, 2), 1).to_owned(),
            to: component(part(parameters, '~', 1), 1).to_owned(),
            lane: component(part(parameters, '~', 2), 1).to_owned(),
            barcode: component(field(segment(text, "SAC")?, 3), 1).to_owned(),
        })
    }
}
