//! Commands to a line (EAC^U07, `TT`) and what it answers (ACK, EAR^U08).

use labwire_protocols::{
    automation::{
        AutomationMessage, Body, Event, WriteError,
        segments::{CommandDraft, EquipmentDraft},
        write::{CommandContent, ContainerContent, Content, Envelope, build},
    },
    hl7::{
        Message,
        ack::{AckCode, Answer},
        material::ContainerDraft,
        tables::{CommandResponse, RemoteControl},
    },
};

use crate::tubes::site::decode;

/// Where a tube is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transport<'a> {
    pub(super) line: &'a str,
    /// ECD-1.
    pub(super) number: &'a str,
    pub(super) barcode: &'a str,
    /// The module, as the line calls it.
    pub(super) to: &'a str,
    /// The lane that it is to take first; empty for any.
    pub(super) lane: &'a str,
    /// As HL7 writes it.
    pub(super) time: &'a str,
    pub(super) control_id: &'a str,
}

/// EAC^U07 with one command: module and lane are its parameters.
pub(super) fn transport(to: &Transport<'_>) -> Result<String, WriteError> {
    let envelope = Envelope {
        sending_application: "LABWIRE",
        receiving_application: to.line,
        time: to.time,
        control_id: to.control_id,
        ..Envelope::default()
    };
    let mut draft = CommandDraft::new()
        .number(to.number)
        .control(RemoteControl::TransportTo)
        .response_required("Y")
        .parameters(&[to.to]);
    if !to.lane.is_empty() {
        draft = draft.parameters(&[to.lane]);
    }
    let command = CommandContent {
        command: draft,
        complete_by: "",
        container: Some(ContainerContent {
            container: ContainerDraft::new().id(&[to.barcode]),
            ..ContainerContent::default()
        }),
        clear: None,
    };
    let equipment = EquipmentDraft::new()
        .id(&[to.line, "LABWIRE"])
        .time(to.time);
    build(&envelope, &equipment, &Content::Commands(&[command]), None)
}

/// What the line says of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// ECD-1.
    pub(super) number: String,
    pub(super) is_done: bool,
    /// ECR-1 with its meaning.
    pub(super) outcome: String,
}

/// The answers in a message of the line; none in any other message.
pub(super) fn answers(raw: &[u8]) -> Vec<Answered> {
    let Some(text) = decode(raw) else {
        return Vec::new();
    };
    let Ok((message, _)) = Message::parse(&text) else {
        return Vec::new();
    };
    let Ok((read, _)) = AutomationMessage::read(&message) else {
        return Vec::new();
    };
    let Body::Commands(items) = &read.body else {
        return Vec::new();
    };
    if read.event != Event::Response {
        return Vec::new();
    }
    let answered = items.iter().filter_map(|item| {
        let outcome = item.group.response()?.outcome()?;
        Some(Answered {
            number: item.of.number().raw().to_owned(),
            is_done: outcome == CommandResponse::Ok,
            outcome: outcome.code().to_owned(),
        })
    });
    answered.collect()
}

/// Whether the reply to a command refuses it; the code.
pub(super) fn refusal(reply: &[u8]) -> Option<String> {
    let text = decode(reply)?;
    let (message, _) = Message::parse(&text).ok()?;
    let answer = Answer::read(&message).ok()?;
    let is_positive = answer.code.is_some_and(AckCode::is_positive);
    (!is_positive).then(|| answer.code_raw.to_owned())
}
