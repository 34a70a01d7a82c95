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
/// header. `time` is MSH-7. A message that is not stored gets CE or AR with 207, never AE;
/// a query that nobody can answer gets AR with 200, or AE with 207 where only this answer fails.
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
    let errors: Vec<ErrSegment> = error(outcome).into_iter().collect();
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

/// Why it is not taken: HL7 table 0357.
fn error(outcome: Outcome) -> Option<ErrSegment> {
    let (field, code, text) = match outcome {
        Outcome::Accepted => return None,
        Outcome::Error => (10, 207, "kept, but no answer can be given"),
        Outcome::Rejected => (9, 200, "no answer is known to such a message"),
        Outcome::NotStored => (10, 207, "not stored, keep the message and send it again"),
    };
    let location = ErrLocation {
        segment: "MSH",
        occurrence: 1,
        field,
        component: 0,
    };
    Some(ErrSegment {
        location,
        code,
        text: text.into(),
        ..ErrSegment::default()
    })
}
