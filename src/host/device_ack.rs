//! Acknowledgements given without knowing more of a message than its header: to devices, and to
//! a host whose message could not be stored.

use labwire_protocols::{
    charset::Charset,
    hl7::{
        Message,
        ack::{self, Ack, AckMode, ErrLocation, ErrSegment, Outcome, Own},
    },
};

use super::reply;

/// The replies that the sender of `raw` wants, as MSH-15 and MSH-16 say; none for what has no
/// header. `time` is MSH-7. A message that is not stored gets CE or AR with 207, never AE.
pub fn device_ack(raw: &[u8], outcome: Outcome, control_id: &str, time: &str) -> Vec<Vec<u8>> {
    let end = raw
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'))
        .unwrap_or(raw.len());
    // Latin-1 maps every byte to itself and back, whatever the message's character set.
    let Ok(header) = Charset::Latin1.decode(raw.get(..end).unwrap_or_default()) else {
        return Vec::new();
    };
    let Ok((message, _)) = Message::parse(&header) else {
        return Vec::new();
    };
    let own = Own {
        application: "LABWIRE",
        time,
        control_id,
        version: "2.5.1",
        ..Own::default()
    };
    let location = ErrLocation {
        segment: "MSH",
        occurrence: 1,
        field: 10,
        component: 0,
    };
    let text = "not stored, keep the message and send it again";
    let error = ErrSegment {
        location,
        code: 207,
        text: text.into(),
        ..ErrSegment::default()
    };
    let errors = if outcome == Outcome::NotStored {
        vec![error]
    } else {
        Vec::new()
    };
    reply::codes(AckMode::of(&message.header()), outcome)
        .into_iter()
        .filter_map(|code| {
            let ack = Ack {
                code,
                text: "",
                errors: &errors,
            };
            let text = ack::build_ack(Some(message.header()), &ack, &own).ok()?;
            Charset::Latin1.encode(&text).ok()
        })
        .collect()
}
